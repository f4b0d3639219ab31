"""Something done with the decoder of every fold, in processes, and kept as JSON: an interrupted run goes on."""

import json
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from calcium_decoding.errors import DataError
from calcium_decoding.utils import parallel
from calcium_decoding.utils.code import code_digest
from calcium_decoding.utils.files import hash_content, write_json
from calcium_decoding.utils.progress import progress


def run(work, experiment, model, asked, ending, store=None, jobs=None, label="folds"):
    """Do some work with every fold, each in one thread, unless what it gave is stored.

    Parameters
    ----------
    work : callable
        ``work(task, asked)``, a function of a module, gives anything JSON can hold for a
        :class:`calcium_decoding.experiments.folds.FoldTask`.
    experiment : Experiment
    model : str
        Name of the decoder that the tasks train.
    asked : object
        What else decides the outcome; JSON can hold it.
    ending : str
        Of the files, which are called ``KEY.ENDING.json``.
    store : str or Path, optional
        Folder of finished folds.
    jobs : int, optional
        Processes; all processors if left out.
    label : str
        What the progress bar counts.

    Returns
    -------
    list
        What the work gave, in the order of the split.
    """
    folds = experiment.split.folds
    keys = [hash_content([ending, experiment.key(fold, model), asked, code_digest(work)]) for fold in folds]
    paths = [None if store is None else Path(store) / f"{key}.{ending}.json" for key in keys]
    found = {i: json.loads(path.read_text(encoding="utf-8")) for i, path in enumerate(paths) if path and path.exists()}
    calls = [(i, work, experiment.fold_task(fold, model), asked, paths[i]) for i, fold in enumerate(folds)
             if i not in found]
    done = parallel.in_processes(_run_and_save, calls, jobs)
    found |= dict(progress(done, total=len(calls), desc=label, unit="fold", disable=not calls))
    return [found[i] for i in range(len(folds))]


def one_class(train, test):
    """Why a fold has no decoder: which of its frames, ``"training"`` or ``"test"``, hold one class only; or ``""``."""
    some = next((name for name, windows in (("training", train), ("test", test))
                 if len(np.unique(windows.labels)) < 2), None)
    return f"{some} frames of one class only" if some else ""


def require_some(found, label):
    """Refuse where every fold has a reason to have nothing to show.

    ``found`` (list of dict): what the work of :func:`run` gave, each with ``reason``, which is empty in a fold that has
    something. ``label``: what was done, for the error. Raises DataError: no fold has anything.
    """
    reasons = list(dict.fromkeys(one["reason"] for one in found))
    if "" not in reasons:
        raise DataError(label, f"nothing in any of {len(found)} folds: {'; '.join(reasons)}", "one fold with a decoder",
                        "use recordings or a split in which training and test frames hold both classes")


@threadpool_limits.wrap(limits=1)  # sums in the same order as in :mod:`calcium_decoding.experiments.folds`
def _run_and_save(i, work, task, asked, path):
    found = work(task, asked)
    if path is not None:
        write_json(path, found)
    return i, found
