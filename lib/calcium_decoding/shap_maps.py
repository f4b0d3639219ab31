"""Which ROIs and frames trained decoders use: Deep SHAP in each fold, summarised over its test windows.

As in Ajioka et al. 2024, DOI 10.1371/journal.pcbi.1011074, Fig 6: absolute values, averaged over test windows, the
background drawn from test windows too. See :mod:`calcium_decoding.deep_shap`.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from calcium_decoding import (
    conditions,
    deep_shap,
    executors,
    metrics,
    models,
    training,
)
from calcium_decoding.errors import ParameterError
from calcium_decoding.files import hash_content, source_digest, tree_digest, write_json
from calcium_decoding.progress import progress


@dataclass(frozen=True, eq=False)
class FoldMap:
    """What the decoder of one fold uses.

    Attributes
    ----------
    fold, animal : str
        ``animal`` is the test group.
    mean_abs : ndarray, shape (length, n_roi), float64
        Absolute Deep SHAP values, mean over the explained test windows, in units of the output. Empty where the fold
        has no score.
    auc : float
        Over all test windows.
    base, error : float
        See :class:`calcium_decoding.deep_shap.Explanation`.
    reason : str
        Why there is no map; empty if there is.
    """

    fold: str
    animal: str
    mean_abs: np.ndarray
    auc: float = 0.0
    base: float = 0.0
    error: float = 0.0
    reason: str = ""

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
    """Train a decoder on every fold and explain what it says about test windows.

    Parameters
    ----------
    experiment : Experiment
    model : str
        A name in :data:`calcium_decoding.deep_shap.EXPLAINED`.
    n_windows : int
        Test windows to explain in each fold, spread evenly; 0: all of them, as published.
    n_background : int
        Test windows they are compared with, drawn without replacement by the seed of the training; 10,000 in the
        study. All of them if there are fewer.
    output : {"probability", "logit"}
    store : str or Path, optional
        Folder of finished folds.
    jobs : int, optional
        Processes; all processors if left out.
    label : str
        What the progress bar counts.

    Returns
    -------
    list of FoldMap
        In the order of the split.

    Raises
    ------
    LeakError
        The split leaks.
    ParameterError
        A model without rules, or a negative number of windows.
    DataError
        The values of a fold do not add up to its output.
    """
    if model not in deep_shap.EXPLAINED:
        raise ParameterError("model", repr(model), f"one of {', '.join(deep_shap.EXPLAINED)}", "name one of these")
    if n_windows < 0 or n_background < 1:
        raise ParameterError("n_windows, n_background", f"{n_windows}, {n_background}", "0 or more, and 1 or more",
                             "change these numbers")
    experiment.audit()
    folds, asked = experiment.split.folds, (n_windows, n_background, output)
    code = [source_digest(Path(__file__)), tree_digest(Path(deep_shap.__file__).parent)]
    paths = [None if store is None else Path(store) / (
        hash_content(["deep_shap", experiment.key(fold, model), asked, code]) + ".shap.json") for fold in folds]
    found = [_load(path) for path in paths]
    missing = [i for i, fold_map in enumerate(found) if fold_map is None]
    calls = [(i, experiment.fold_task(folds[i], model), asked, paths[i]) for i in missing]
    work = executors.in_processes(_explain_fold, calls, jobs)
    for i, fold_map in progress(work, total=len(missing), desc=label, unit="fold", disable=not missing):
        found[i] = fold_map
    return found


def run_null(plan, dataset, seed, *asked, **how):
    """The same on one draw of the null of sessions, whose decoders have nothing to find.

    Parameters
    ----------
    plan : callable
        Gives the experiment on a data set: ``chapter.plan``.
    dataset : Dataset
    seed : int
    asked, how
        As for :func:`run` after ``experiment``; ``how`` may also have ``n_folds``.

    Returns
    -------
    maps : list of FoldMap
        Empty where there is no such null.
    statement : str
        Which null it is, or why there is none.
    """
    drawn, statement = conditions.drawn(dataset, seed)
    n_folds = how.pop("n_folds", 0)
    if drawn is None:
        return [], statement
    maps = run(plan(drawn, n_folds=n_folds, say=False), *asked, label="null", **how)
    return maps, f"{statement}, refitted on {len(maps)} folds"


def _load(path):
    if path is None or not path.exists():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    return FoldMap(**content | {"mean_abs": np.array(content["mean_abs"])})


@threadpool_limits.wrap(limits=1)  # sums in the same order as in :mod:`calcium_decoding.folds`
def _explain_fold(i, task, asked, path):
    n_windows, n_background, output = asked
    train, valid, test = task.windows()
    (fold,), settings = task.split.folds, task.training
    one_class = next((name for name, windows in (("training", train), ("test", test))
                      if len(np.unique(windows.labels)) < 2), None)
    if one_class:
        found = FoldMap(fold.name, fold.test_group, np.empty((0, 0)), reason=f"{one_class} frames of one class only")
    else:
        decoder = models.build(task.model, train.n_roi, task.spec.past_frames, settings.seed)
        training.fit(decoder, train, valid, settings)
        auc = metrics.auc(test.labels, training.predict(decoder, test, settings.torch_device()))
        n = len(test)
        explained = np.linspace(0, n, min(n_windows or n, n), endpoint=False, dtype=int)
        background = np.random.default_rng(settings.seed).choice(n, min(n_background, n), replace=False)
        mean_abs, base, error = _mean_abs(decoder, test, explained, background, output, settings.torch_device())
        found = FoldMap(fold.name, fold.test_group, mean_abs, float(auc), base, error)
    if path is not None:
        write_json(path, asdict(found) | {"mean_abs": found.mean_abs.tolist()})
    return i, found


def _mean_abs(decoder, test, explained, background, output, device, at_a_time=2000):
    """Mean of absolute values over windows, the base, and the largest error; few windows in memory at a time."""
    against, total, error = _windows(test, background), 0.0, 0.0
    for first in range(0, len(explained), at_a_time):
        some = _windows(test, explained[first : first + at_a_time])
        found = deep_shap.values(decoder, some, against, output, device=device)
        total, error = total + np.abs(found.values).sum(axis=0), max(error, found.error)
    return total / len(explained), found.base, error


def _windows(windows, which):
    return windows.frames[windows.starts[which][:, None] + np.arange(windows.spec.length)]
