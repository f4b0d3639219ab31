"""Jobs whose outcomes are stored: what is stored is read, the rest runs in processes; an interrupted run goes on."""

import contextlib
import json
import os
import platform
import zipfile
import zlib
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np

from calcium_decoding.errors import DataError
from calcium_decoding.utils import parallel
from calcium_decoding.utils.code import FOLD_ROOMS, code_digest
from calcium_decoding.utils.files import hash_content, whole_file
from calcium_decoding.utils.parallel import SCHEDULER_VARIABLE
from calcium_decoding.utils.progress import progress


@dataclass
class _Jobs:
    store: Path | None = None
    jobs: int | None = None
    scheduler: str | None = None


_now = _Jobs()
_UNSET = object()


def job_settings(store=_UNSET, jobs=_UNSET, scheduler=_UNSET):
    """Set for this session what a run does where its own arguments say nothing; give what is set.

    Parameters
    ----------
    store : str, Path or None
        Folder of finished folds and trained decoders. None: nothing is kept.
    jobs : int or None
        Processes; None: one a processor.
    scheduler : str or None
        Address of a Dask scheduler; None: what ``CALCIUM_DECODING_SCHEDULER`` says, else processes here.

    Returns
    -------
    dict
    """
    for name, value in (("store", store), ("jobs", jobs), ("scheduler", scheduler)):
        if value is not _UNSET:
            setattr(_now, name, Path(value) if name == "store" and value is not None else value)
    return dict(vars(_now))


def settled(store=None, jobs=None, scheduler=None):
    """Store, processes and scheduler of a run: its own arguments, else those of the session."""
    store = _now.store if store is None else Path(store)
    return store, jobs or _now.jobs, scheduler or _now.scheduler or os.environ.get(SCHEDULER_VARIABLE)


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
    same = identity()
    keys = [hash_content([task.key(), same, code_digest(type(task).run)]) for task in tasks]
    wanted = dict(zip(keys, tasks, strict=True))
    paths = {key: None if store is None else Path(store) / f"footsteps-{key}.npz" for key in wanted}

    def work(missing, bar):
        return parallel.run([(key, wanted[key], paths[key]) for key in missing], save, jobs, bar)

    found = run(paths, load, work, label, "training")
    return [found[key] for key in keys]


def require_some(found, label):
    """Refuse where every fold has a reason to have nothing to show.

    ``found``: of :meth:`calcium_decoding.experiments.engine.Experiment.map`. ``label``: what was done, for the error.
    Raises DataError: no fold has anything.
    """
    reasons = list(dict.fromkeys(one["reason"] for one in found))
    if "" not in reasons:
        raise DataError(label, f"nothing in any of {len(found)} folds: {'; '.join(reasons)}", "one fold with a decoder",
                        "use recordings or a split in which training and test frames hold both classes")


def save(outcome, path):
    """Write an outcome, whole or not at all."""
    with whole_file(path) as temporary:
        np.savez_compressed(temporary, facts=np.array(json.dumps(outcome.facts, allow_nan=False)), **outcome.arrays)


def load(path):
    """The stored outcome, or None if it is not there or damaged: the job then runs again."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return Outcome(json.loads(str(file["facts"])), {name: file[name] for name in file if name != "facts"})
    except (OSError, ValueError, KeyError, EOFError, TypeError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return None


def load_json(path):
    """What was written as JSON, or None if it is not there or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def identity():
    """What the result of a fold depends on besides the experiment: code and versions, as a dict of str."""
    packages = ("numba", "numpy", "scipy", "scikit-learn", "torch")
    return {"calcium-decoding": code_digest(*FOLD_ROOMS), "Python": platform.python_version().rpartition(".")[0],
            **{name: version(name).partition("+")[0] for name in packages}}
