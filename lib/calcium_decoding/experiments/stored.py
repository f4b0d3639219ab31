"""Jobs whose outcomes are stored: what is stored is read, the rest runs in processes; an interrupted run goes on."""

import contextlib
import json
import zipfile
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from calcium_decoding.errors import DataError
from calcium_decoding.utils import parallel
from calcium_decoding.utils.code import FOLD_ROOMS, code_digest
from calcium_decoding.utils.files import hash_content, whole_file, write_json
from calcium_decoding.utils.progress import progress


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a job found.

    ``facts``: anything JSON can hold: scores, notes, losses. ``arrays``: dict of str to ndarray.
    """

    facts: dict
    arrays: dict = field(default_factory=dict)


def run(paths, load, work, label, unit):
    """Outcomes by key: those that are stored, and those that some work gives for the other keys, under a progress bar.

    ``paths`` (dict of str to Path or None): the file of each outcome, by key. ``load``: ``load(path)`` gives a stored
    outcome; None if it is not there or damaged. ``work``: ``work(missing, bar)`` is a generator of key and outcome of
    each missing key, which stores them as it goes. ``label``, ``unit``: what the bar counts. Returns a dict by key.
    """
    found = {key: None if path is None else load(path) for key, path in paths.items()}
    missing = [key for key, outcome in found.items() if outcome is None]
    if missing:
        with progress(None, total=len(missing), desc=label, unit=unit) as bar, \
                contextlib.closing(work(missing, bar)) as done:
            for key, outcome in done:
                found[key] = outcome
                bar.update()
    return found


def run_tasks(tasks, store=None, jobs=None, label="trainings"):
    """Run every task, in processes of one thread each.

    ``tasks``: each has ``key()``, a str that says all that determines its outcome besides the code, and
    ``run(checkpoint, report)``, which gives an :class:`Outcome`. Tasks of one key run once. ``store``: folder of
    outcomes. ``jobs``: processes; all processors if left out. Outcomes do not depend on it. ``label``: what the
    progress bar counts. Returns a list of Outcome: in the order of the tasks.
    """
    keys = [hash_content([task.key(), _versions(), code_digest(*FOLD_ROOMS, type(task).run)]) for task in tasks]
    wanted = dict(zip(keys, tasks, strict=True))
    paths = {key: None if store is None else Path(store) / f"footsteps-{key}.npz" for key in wanted}

    def work(missing, bar):
        return parallel.run([(key, wanted[key], paths[key]) for key in missing], save, jobs, bar)

    found = run(paths, load, work, label, "training")
    return [found[key] for key in keys]


def run_on_decoders(work, experiment, model, asked, ending, store=None, jobs=None, label="folds"):
    """Do some work with the decoder of every fold, each in one thread, unless what it gave is stored.

    Parameters
    ----------
    work : callable
        ``work(task, windows, asked)``, a function of a module, gives a dict that JSON can hold for a
        :class:`calcium_decoding.experiments.folds.FoldTask` and its windows for training, validation and test.
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
    list of dict
        In the order of the split: ``fold``, ``animal`` (the test group), ``reason`` and what the work gave. A fold
        whose training or test frames hold one class only has no decoder, and says so in its ``reason``, else empty.
    """
    folds = experiment.split.folds
    keys = [hash_content([ending, experiment.key(fold, model), asked, code_digest(work)]) for fold in folds]
    wanted = dict(zip(keys, folds, strict=True))
    paths = {key: None if store is None else Path(store) / f"{key}.{ending}.json" for key in wanted}

    def on_missing(missing, bar):
        return parallel.in_processes(_run_and_save, [
            (key, work, experiment.fold_task(wanted[key], model), asked, paths[key]) for key in missing], jobs)

    found = run(paths, load_json, on_missing, label, "fold")
    return [found[key] for key in keys]


def require_some(found, label):
    """Refuse where every fold has a reason to have nothing to show.

    ``found``: of :func:`run_on_decoders`. ``label``: what was done, for the error. Raises DataError: no fold has
    anything.
    """
    reasons = list(dict.fromkeys(one["reason"] for one in found))
    if "" not in reasons:
        raise DataError(label, f"nothing in any of {len(found)} folds: {'; '.join(reasons)}", "one fold with a decoder",
                        "use recordings or a split in which training and test frames hold both classes")


@threadpool_limits.wrap(limits=1)  # sums in the same order as in :mod:`calcium_decoding.experiments.folds`
def _run_and_save(key, work, task, asked, path):
    (fold,), (train, valid, test) = task.split.folds, task.windows()
    one_class = [f"{name} frames of one class only" for name, windows in (("training", train), ("test", test))
                 if len(np.unique(windows.labels)) < 2]
    found = {"fold": fold.name, "animal": fold.test_group, "reason": one_class[0] if one_class else ""}
    if not one_class:
        found |= work(task, (train, valid, test), asked)
    if path is not None:
        write_json(path, found)
    return key, found


def save(outcome, path):
    """Write an outcome, whole or not at all."""
    with whole_file(path) as temporary:
        np.savez_compressed(temporary, facts=np.array(json.dumps(outcome.facts, allow_nan=False)), **outcome.arrays)


def load(path):
    """The stored outcome, or None if it is not there or damaged: the job then runs again."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return Outcome(json.loads(str(file["facts"])), {name: file[name] for name in file if name != "facts"})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def load_json(path):
    """What was written as JSON, or None if it is not there or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


@cache
def _versions():
    return {name: version(name).partition("+")[0] for name in ("numpy", "scikit-learn", "torch")}
