"""Measured level of the nulls: how often a test at 5 % finds a link in simulated data that have none.

One data set is one simulated animal; the linear decoder is scored on it and refitted for some draws of each null.
"""

import json
import os
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict
from scipy.stats import binomtest

from calcium_decoding.data.catalog import simulator_rooms
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import cards, linear_null, nulls
from calcium_decoding.preprocessing.transforms import whole_number
from calcium_decoding.simulation import widefield
from calcium_decoding.utils.code import code_digest
from calcium_decoding.utils.files import hash_content, write_json
from calcium_decoding.utils.progress import progress

LEVEL = 0.05
DATASETS_AT_ONCE = 10  # what a process does before it stores
NULL_NAMES = ("repairing", "permuting", "linear_shift", "circular_shift", "frame_shuffle")


@dataclass(frozen=True)
class Cell:
    """One kind of simulated data; no baseline is taken off, which would hide the drift this is about."""

    says: str
    world: str
    drift: float
    sessions: int = 10
    frames: int = 1500
    drive: float = 1.0


CELLS = {
    "no_link": Cell("no link, nothing drifts", "no_link", 0.0),
    "drift_only": Cell("no link, brain and behaviour drift", "drift_only", 1.5),
    "drift_only_5": Cell("no link, drift, 5 sessions", "drift_only", 1.5, sessions=5),
    "drift_only_14": Cell("no link, drift, 14 sessions", "drift_only", 1.5, sessions=14),
    "weak_link": Cell("a weak link, nothing drifts", "single_area", 0.0, drive=0.15),
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Row(_Strict):
    """One null in one cell, tested with ``p_value`` or ``shift_p_value``; the interval is Clopper and Pearson's, 95 %.

    ``auc``, ``null_auc``: mean over data sets of the observed AUC, and of the mean AUC of the draws.
    """

    cell: str
    null: str
    test: str
    datasets: int
    rejected: int
    rate: float
    low: float
    high: float
    auc: float
    null_auc: float


def simulated(cell, seed):
    """One data set of a cell of :data:`CELLS`: one animal, in memory."""
    return widefield.dataset(settings_of(cell, seed))


def code_hash(make_dataset=simulated):
    """Short hash of the code that decides a measurement: nulls, decoder, this module, and what makes the data."""
    maker = simulator_rooms("no_link") if make_dataset is simulated else [make_dataset]
    return code_digest("evaluation/nulls", "evaluation/linear_null.py", measure, *maker)


class NullLevel(cards.Stored):
    """A measurement with what it was made with."""

    KIND, REMEDY = "a measured level", "measure it again"

    rows: list[Row]
    cells: dict[str, dict]
    draws: int
    seed: int
    code_version: str
    code_hash: str
    versions: dict[str, str]

    def table(self):
        """The rows as a DataFrame."""
        return pd.DataFrame([row.model_dump() for row in self.rows])

    def row(self, cell, null, test="(b+1)/(n+1)"):
        """One row by name."""
        return next(r for r in self.rows if (r.cell, r.null, r.test) == (cell, null, test))

    def merged(self, other):
        """This measurement with the rows of another one, which replace its own; DataError if code or draws differ."""
        mine, theirs = ((level.draws, level.seed, level.code_hash, level.versions) for level in (self, other))
        if mine != theirs:
            raise DataError("measured levels", f"{mine} and {theirs}", "the same draws, seed, code and versions",
                            "measure both again")
        rows = {(r.cell, r.null, r.test): r for level in (self, other) for r in level.rows}
        return self.model_copy(update={"rows": list(rows.values()), "cells": self.cells | other.cells})


def settings_of(cell, seed):
    """The SimulationSettings of one data set of a cell of :data:`CELLS`."""
    c = CELLS[cell]
    return widefield.SimulationSettings(world=c.world, seed=seed, sessions_per_animal=c.sessions,
                                        frames_per_session=c.frames, animals=1, drive=c.drive, drift=c.drift)


def measure(n_datasets=400, n_draws=39, seed=1, jobs=None, store=None, cells=("no_link", "drift_only"),
            names=NULL_NAMES, make_dataset=simulated):
    """Measure how often each null rejects at 5 %, a NullLevel; what ``store`` has is not measured again.

    ``n_datasets``: data sets a cell, or a dict by cell, in place of ``cells``. ``n_draws``: of each null a data set; 39
    is the fewest with which every test can reject. ``make_dataset(cell, seed)``: a Dataset of one animal; a function of
    a module, so that processes find it. Results do not depend on ``jobs``. Raises ParameterError: too few draws to
    reject at all, or an unknown null.
    """
    counts = n_datasets if isinstance(n_datasets, dict) else dict.fromkeys(cells, n_datasets)
    counts = {cell: whole_number("n_datasets", count, 1) for cell, count in counts.items()}
    n_draws = whole_number("n_draws", n_draws, 1)
    if n_draws < 39:
        raise ParameterError("n_draws", n_draws, "39 or more: with fewer, (b + 1) / (n / 2 + 1) is never 5 %",
                             "draw more")
    for name in names:
        nulls.null_of(name)
    tasks = [(make_dataset, cell, range(i, min(i + DATASETS_AT_ONCE, count)), tuple(names), n_draws, seed)
             for cell, count in counts.items() for i in range(0, count, DATASETS_AT_ONCE)]
    code = code_hash(make_dataset)
    paths = [None if store is None else Path(store) / f"{_key(task, code)}.json" for task in tasks]
    found = [None if path is None else _load(path) for path in paths]
    missing = [i for i, done in enumerate(found) if done is None]
    work = (joblib.delayed(_numbered)(i, tasks[i], paths[i]) for i in missing)
    jobs = min(jobs or os.cpu_count() or 1, max(1, len(missing)))
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(work) if missing else ()
    with progress(None, total=sum(counts.values()), desc="level of nulls", unit="data set",
                  disable=not missing) as bar:
        bar.update(sum(len(tasks[i][2]) for i, done in enumerate(found) if done is not None))
        for i, done in parallel:
            found[i] = done
            bar.update(len(done))
    by_cell = {cell: [one for task, done in zip(tasks, found, strict=True) if task[1] == cell for one in done]
               for cell in counts}
    return NullLevel(
        rows=[row for cell, done in by_cell.items() for name in names for row in _rows(cell, name, done, n_draws)],
        cells={cell: asdict(CELLS[cell]) if make_dataset is simulated else {"says": cell} for cell in counts},
        draws=n_draws, seed=seed, code_version=cards.code_version(), code_hash=code,
        versions={"numpy": np.__version__})


def _key(task, code):
    make_dataset, cell, which, names, n_draws, seed = task
    settings = asdict(CELLS[cell]) if make_dataset is simulated else make_dataset.__qualname__
    return hash_content([cell, settings, which.start, which.stop, names, n_draws, seed, code])


def _load(path):
    """Stored results of some data sets; None if they are not there or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _numbered(i, task, path):
    make_dataset, cell, which, names, n_draws, seed = task
    done = [_one(make_dataset, cell, number, names, n_draws, seed) for number in which]
    if path is not None:
        write_json(path, done)
    return i, done


def _one(make_dataset, cell, number, names, n_draws, seed):
    """Observed AUC, mean AUC of the draws and both p-values of one data set, by null."""
    entropy = np.random.SeedSequence([seed, zlib.crc32(cell.encode()), number])
    data_seed, draw_seed = (int(x) for x in entropy.generate_state(2))
    dataset = make_dataset(cell, data_seed)
    found = {}
    for name in names:
        one = linear_null.refit(dataset, dataset.animals[0], name, n_draws, draw_seed, jobs=1, label="")
        found[name] = {"auc": one.observed, "null_auc": float(np.mean(one.null_aucs)),
                       "p": nulls.p_value(one.observed, one.null_aucs),
                       "p_shift": nulls.shift_p_value(one.observed, one.null_aucs)}
    return found


def _rows(cell, name, done, n_draws):
    tests = {"p": "(b+1)/(n+1)"} | ({"p_shift": "(b+1)/(n/2+1)"} if name == "linear_shift" else {})
    for kind, test in tests.items():
        rejected = sum(one[name][kind] <= LEVEL for one in done)
        interval = binomtest(rejected, len(done)).proportion_ci(0.95, method="exact")
        yield Row(cell=cell, null=name, test=test, datasets=len(done), rejected=rejected, rate=rejected / len(done),
                  low=interval.low, high=interval.high,
                  auc=float(np.mean([one[name]["auc"] for one in done])),
                  null_auc=float(np.mean([one[name]["null_auc"] for one in done])))
