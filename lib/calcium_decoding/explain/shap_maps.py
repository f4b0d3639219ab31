"""Which ROIs and frames trained decoders use: Deep SHAP in each fold, summarised over its test windows.

As in Ajioka et al. 2024, DOI 10.1371/journal.pcbi.1011074, Fig 6: absolute values, averaged over test windows, the
background drawn from test windows too. See :mod:`calcium_decoding.explain.deep_shap.explanation`.
"""

from dataclasses import dataclass

import numpy as np

from calcium_decoding.errors import ParameterError
from calcium_decoding.evaluation import metrics, statistics
from calcium_decoding.experiments import compare, stored
from calcium_decoding.explain import deep_shap
from calcium_decoding.models import names

AT_A_TIME = 2000  # windows in memory


@dataclass(frozen=True, eq=False)
class FoldMap:
    """What the decoder of one fold uses.

    ``animal``: the test group. ``mean_abs`` (ndarray, shape (length, n_roi), float64): absolute Deep SHAP values, mean
    over the explained test windows, in units of the output. Empty where the fold has no score. ``auc``: over all test
    windows. ``base``, ``error``: see :class:`calcium_decoding.explain.deep_shap.Explanation`. ``reason``: why there is
    no map; empty if there is. ``simulated``: of the data set.
    """

    fold: str
    animal: str
    mean_abs: np.ndarray
    auc: float = 0.0
    base: float = 0.0
    error: float = 0.0
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

    ``model``: a name in :data:`calcium_decoding.models.names.EXPLAINED`. ``n_windows``: test windows to explain in each
    fold, spread evenly; 0: all of them, as published. ``n_background``: test windows they are compared with, drawn
    without replacement by the seed of the training, or all if there are fewer; 10,000 in the study. ``output``:
    "probability" or "logit". ``store``, ``jobs``, ``label``: as for
    :meth:`calcium_decoding.experiments.engine.Experiment.map`. Raises LeakError: the split leaks. Raises
    ParameterError: a model without rules, or a negative number of windows. Raises DataError: the values of a fold do
    not add up to its output, or no fold has a decoder.
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
    experiment.audit()
    found = experiment.map(work, model, name=name, store=store, jobs=jobs, label=label, **asked)
    stored.require_some(found, label)
    return found


def run_null(plan, dataset, seed, *asked, **how):
    """The same on one draw of the null of sessions, whose decoders have nothing to find.

    ``plan``: ``chapter.plan``, which gives the experiment on a data set. ``asked``, ``how``: as for :func:`run` after
    ``experiment``; ``how`` may also have ``n_folds``. Returns the list of FoldMap, empty where there is no such null,
    and which null it is, or why there is none.
    """
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
        found = deep_shap.values(fitted.decoder, some, background, output, device=fitted.device)
        total, error = total + np.abs(found.values).sum(axis=0), max(error, found.error)
    return {"mean_abs": (total / len(which)).tolist(), "auc": float(auc), "base": found.base, "error": error}


def mean_map(maps):
    """Mean over folds, shape (length, n_roi), of :func:`run`; None where no fold has a map."""
    known = [m.mean_abs for m in maps if not m.reason]
    return np.mean(known, axis=0) if known else None


def warning(maps, nulls=()):
    """What to say in red above a map of any kind: its decoders are not above chance or their null; empty if they are.

    Above chance means that the 95 % t interval of the AUC over test animals (over folds, if one animal is tested) lies
    above 0.5, of which one fold alone says nothing; above the null, that the mean lies above every fold of the null.

    Parameters
    ----------
    maps : sequence of FoldMap, Examined or FoldOcclusion
    nulls : sequence of FoldResult

    Returns
    -------
    str
    """
    known = [m for m in maps if not m.reason]
    if not known:
        return "NO MAP: no fold has a score"
    aucs = statistics.by_animal([m.auc for m in known], [m.animal for m in known]).to_numpy()
    if len(aucs) < 2:
        aucs = np.array([m.auc for m in known])
    if len(aucs) < 2:
        return f"ONE FOLD ONLY (AUC {aucs[0]:.2f}): not known to be above chance"
    if statistics.t_interval(aucs).low <= 0.5:
        return f"NOT ABOVE CHANCE (AUC {aucs.mean():.2f}): this map means nothing"
    highest = max((fold.scores["auc"] for fold in nulls if fold.scores), default=0.0)
    return (f"NOT ABOVE ITS NULL (AUC {aucs.mean():.2f}, null up to {highest:.2f}): this map means nothing"
            if aucs.mean() <= highest else "")
