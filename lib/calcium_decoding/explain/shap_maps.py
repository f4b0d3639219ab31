"""Which ROIs and frames trained decoders use: mean absolute Deep SHAP in each fold (Ajioka et al. 2024, Fig 6)."""

from dataclasses import dataclass, field

import numpy as np

from calcium_decoding.errors import ParameterError
from calcium_decoding.evaluation import convergence, metrics, statistics
from calcium_decoding.experiments import compare, stored
from calcium_decoding.explain import deep_shap
from calcium_decoding.models import names

AT_A_TIME = 2000  # windows in memory


@dataclass(frozen=True, eq=False)
class FoldMap:
    """What the decoder of one fold uses.

    ``animal``: the test group. ``mean_abs`` (ndarray, shape (length, n_roi), float64): absolute Deep SHAP values, mean
    over the explained test windows, in units of the output; empty without a map. ``auc``: over all test windows.
    ``base``, ``error``: of :class:`calcium_decoding.explain.deep_shap.Explanation`. ``training``: of
    :func:`calcium_decoding.evaluation.convergence.learning`. ``reason``: why there is no map, if there is none.
    """

    fold: str
    animal: str
    mean_abs: np.ndarray
    auc: float = 0.0
    base: float = 0.0
    error: float = 0.0
    training: dict = field(default_factory=dict)
    reason: str = ""
    simulated: bool = False

    @property
    def by_roi(self):
        """Sum over the window, shape (n_roi,)."""
        return self.mean_abs.sum(axis=0)

    @property
    def by_frame(self):
        """Sum over ROIs, shape (length,)."""
        return self.mean_abs.sum(axis=1)


def run(experiment, model="gru", n_windows=200, n_background=100, output="probability", store=None, jobs=None,
        label="Deep SHAP"):
    """Train a decoder on every fold and explain what it says about test windows: list of FoldMap.

    ``model``: in :data:`calcium_decoding.models.names.EXPLAINED`. ``n_windows``: test windows to explain in each fold,
    spread evenly; 0: all, as published. ``n_background``: test windows they are compared with, drawn by the seed of the
    training; 10,000 in the study. ``output``: "probability" or "logit". The rest as for
    :meth:`calcium_decoding.experiments.engine.Experiment.map`. Raises ParameterError: a model without rules, or a
    negative number of windows; DataError: values do not add up to the output, or no fold has a decoder.
    """
    if n_windows < 0 or n_background < 1:
        raise ParameterError("n_windows, n_background", f"{n_windows}, {n_background}", "0 or more, and 1 or more",
                             "change these numbers")
    found = explained(_explained, experiment, model, "shap", store, jobs, label,
                      n_windows=n_windows, n_background=n_background, output=output)
    return [FoldMap(**one | {"mean_abs": np.array(one.get("mean_abs", np.empty((0, 0)))),
                             "simulated": experiment.dataset.simulated}) for one in found]


def explained(work, experiment, model, name, store=None, jobs=None, label="maps", **asked):
    """``experiment.map`` for a network that Deep SHAP has rules for. Raises as :func:`run`."""
    if model not in names.EXPLAINED:
        raise ParameterError("model", repr(model), f"one of {', '.join(names.EXPLAINED)}", "name one of these")
    if experiment.task.kind != "binary":
        raise ParameterError("task", f"{type(experiment.task).__name__} of {experiment.task.name}",
                             "Binary: the rules are for one logit",
                             "explain one class against the rest, or occlude ROIs by Experiment.map")
    found = experiment.map(work, model, name=name, store=store, jobs=jobs, label=label, **asked)
    stored.require_some(found, label)
    return found


def run_null(plan, dataset, seed, *asked, **how):
    """The same on the null of :func:`calcium_decoding.experiments.compare.run_null`. ``asked``, ``how``: as for
    :func:`run` after ``experiment``; ``how`` may also have ``n_folds``."""
    return compare.refitted(lambda experiment: run(experiment, *asked, label="null", **how), plan, dataset, seed,
                            n_folds=how.pop("n_folds", 0))


def spread(n_windows, n):
    """Rows of at most ``n`` of so many windows, spread evenly."""
    return np.linspace(0, n_windows, min(n, n_windows), endpoint=False, dtype=int)


def background_rows(n_windows, n, seed):
    """Rows of at most ``n`` of so many windows, drawn."""
    return np.random.default_rng(seed).choice(n_windows, min(n, n_windows), replace=False)


def _explained(fitted, n_windows, n_background, output):
    test, n, total, error = fitted.test, len(fitted.test), 0.0, 0.0
    auc = metrics.auc(test.labels, fitted.predict(test))
    which, background = spread(n, n_windows or n), test.gather(background_rows(n, n_background, fitted.seed))
    for first in range(0, len(which), AT_A_TIME):
        some = test.gather(which[first : first + AT_A_TIME])
        found = deep_shap.values(fitted.decoder, some, background, output, device=fitted.job.training.torch_device())
        total, error = total + np.abs(found.values).sum(axis=0), max(error, found.error)
    return {"mean_abs": (total / len(which)).tolist(), "auc": float(auc), "base": found.base, "error": error,
            "training": convergence.learning(fitted.history)}


def mean_map(maps):
    """Mean over folds, shape (length, n_roi), of :func:`run`; None where no fold has a map."""
    known = [m.mean_abs for m in maps if not m.reason]
    return np.mean(known, axis=0) if known else None


def warning(maps, nulls=()):
    """What to say in red above a map: its decoders are not above chance or their null, or have not converged; empty if
    all is well. ``maps``: of FoldMap, Examined or FoldOcclusion. ``nulls``: FoldResults. Above chance means that the 95
    % t interval of the AUC over test animals (over folds, if one animal is tested) lies above 0.5; above the null, that
    the mean lies above every fold of the null."""
    known = [m for m in maps if not m.reason]
    if not known:
        return "NO MAP: no fold has a score"
    aucs = statistics.by_animal([m.auc for m in known], [m.animal for m in known]).to_numpy()
    if len(aucs) < 2:
        aucs = np.array([m.auc for m in known])
    if len(aucs) < 2:
        return f"ONE FOLD ONLY (AUC {aucs[0]:.2f}): not known to be above chance"
    if statistics.t_interval(aucs).low <= 0.5:  # a test at 0.5, where the bounds of an AUC are far
        return f"NOT ABOVE CHANCE (AUC {aucs.mean():.2f}): this map means nothing"
    highest = max((fold.scores["auc"] for fold in nulls if fold.scores), default=0.0)
    if aucs.mean() <= highest:
        return f"NOT ABOVE ITS NULL (AUC {aucs.mean():.2f}, null up to {highest:.2f}): this map means nothing"
    return convergence.marked(convergence.reasons([m.training for m in known]))
