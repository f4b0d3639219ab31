"""Jobs whose outcomes are stored: what is stored is read, the rest runs in processes; an interrupted run goes on."""

import contextlib
import json
import os
import platform
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

_now = {"store": None, "jobs": None, "scheduler": None}
_UNSET = object()


def job_settings(store=_UNSET, jobs=_UNSET, scheduler=_UNSET):
    """Set for this session what a run does where its own arguments say nothing; give what is set, a dict.

    Parameters
    ----------
    store : str, Path or None
        Folder of finished folds and trained decoders. None: nothing is kept.
    jobs : int or None
        Processes; None: one a processor.
    scheduler : str or None
        Address of a Dask scheduler; None: what ``CALCIUM_DECODING_SCHEDULER`` says, else processes here.
    """
    for name, value in (("store", store), ("jobs", jobs), ("scheduler", scheduler)):
        if value is not _UNSET:
            _now[name] = Path(value) if name == "store" and value is not None else value
    return dict(_now)


def settled(store=None, jobs=None, scheduler=None):
    """Store, processes and scheduler of a run: its own arguments, else those of the session."""
    store = _now["store"] if store is None else Path(store)
    return store, jobs or _now["jobs"], scheduler or _now["scheduler"] or os.environ.get(SCHEDULER_VARIABLE)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a job found: facts, anything JSON can hold (scores, notes, losses), and arrays by name."""

    facts: dict
    arrays: dict = field(default_factory=dict)


def run(paths, load, work, label, unit):
    """Outcomes by key: those that ``load(path)`` reads, and those that ``work(missing, bar)``, a generator of key and
    outcome that stores them, gives for the other keys. ``paths``: Path or None, by key."""
    found = {key: None if path is None else load(path) for key, path in paths.items()}
    missing = [key for key, outcome in found.items() if outcome is None]
    if missing:
        with progress(None, total=len(missing), desc=label, unit=unit) as bar, \
                contextlib.closing(work(missing, bar)) as done:
            for key, outcome in done:
                found[key] = outcome
                bar.update()
    return found


def run_tasks(tasks, label="trainings"):
    """Outcomes of tasks, in their order, run or read. A task has ``key()``, which determines it, and ``run()``."""
    (store, jobs, _), same = settled(), identity()
    keys = [hash_content([task.key(), same, code_digest(type(task).run)]) for task in tasks]
    wanted = dict(zip(keys, tasks, strict=True))
    paths = {key: None if store is None else Path(store) / f"footsteps-{key}.npz" for key in wanted}

    def work(missing, bar):
        return parallel.run([(key, wanted[key], paths[key]) for key in missing], save, jobs, bar)

    found = run(paths, load, work, label, "training")
    return [found[key] for key in keys]


def require_some(found, label):
    """Refuse (DataError) where every fold of ``Experiment.map`` has a reason to have nothing to show."""
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
    except Exception:  # which ones numpy and zipfile raise depends on the byte that is damaged
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
