"""Trainings as jobs: each runs in a process, and what it found is stored under a key of all that determines it.

An interrupted run goes on: finished jobs are read, and one that was training goes on after its last epoch.
"""

import contextlib
import json
import zipfile
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from calcium_decoding import stored_jobs
from calcium_decoding.files import hash_content, source_digest, whole_file
from calcium_decoding.progress import progress


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a job found.

    Attributes
    ----------
    facts : dict
        Anything JSON can hold: scores, notes, losses.
    arrays : dict of str to ndarray
    """

    facts: dict
    arrays: dict = field(default_factory=dict)


def run(tasks, store=None, jobs=None, label="trainings"):
    """Run every task, in processes of one thread each.

    Parameters
    ----------
    tasks : sequence
        Each has ``key()``, a str that says all that determines its outcome beside the code, and
        ``run(checkpoint, report)``, which gives an :class:`Outcome`. Tasks of one key run once.
    store : str or Path, optional
        Folder of outcomes.
    jobs : int, optional
        Processes; all processors if left out. Outcomes do not depend on it.
    label : str
        What the progress bar counts.

    Returns
    -------
    list of Outcome
        In the order of the tasks.
    """
    store = None if store is None else Path(store)
    keys = [hash_content([task.key(), _code()]) for task in tasks]
    wanted = dict(zip(keys, tasks, strict=True))
    paths = {key: None if store is None else store / f"footsteps-{key}.npz" for key in wanted}
    found = {key: load(path) for key, path in paths.items()}
    missing = [(key, wanted[key], paths[key]) for key, outcome in found.items() if outcome is None]
    with progress(None, total=len(missing), desc=label, unit="training", disable=not missing) as bar:
        with contextlib.closing(stored_jobs.run(missing, save, jobs, bar)) as work:
            for key, outcome in work:
                found[key] = outcome
                bar.update()
    return [found[key] for key in keys]


def save(outcome, path):
    """Write an outcome, whole or not at all."""
    with whole_file(path) as temporary:
        np.savez_compressed(temporary, facts=np.array(json.dumps(outcome.facts, allow_nan=False)), **outcome.arrays)


def load(path):
    """The stored outcome, or None if it is not there or damaged: the job then runs again."""
    if path is None:
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            return Outcome(json.loads(str(file["facts"])), {name: file[name] for name in file if name != "facts"})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


# Modules that decide an outcome; what they are given (frames, rows, settings) stands in the key of a task.
_DETERMINING = ("decoding", "fitting", "information", "linear", "losses", "networks", "scores", "subjects", "windowed")


@cache
def _code():
    """Hash of the code that decides outcomes, and versions of what it calls."""
    here = Path(__file__).parent
    files = [*(here / f"{name}.py" for name in _DETERMINING),
             *(here.parent / f"{name}.py" for name in ("epochs", "image_training"))]
    return hash_content([{path.name: source_digest(path) for path in files},
                         {name: version(name).partition("+")[0] for name in ("numpy", "scikit-learn", "torch")}])
