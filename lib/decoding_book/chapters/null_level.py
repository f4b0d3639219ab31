"""Measured level of the nulls: how often a test at 5 % finds a link in simulated animals that have none."""

import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from calcium_decoding.data.catalog import simulator_rooms
from calcium_decoding.errors import ParameterError
from calcium_decoding.evaluation import cards, linear_null, nulls
from calcium_decoding.experiments import stored
from calcium_decoding.preprocessing.transforms import whole_number
from calcium_decoding.simulation import widefield
from calcium_decoding.utils import parallel
from calcium_decoding.utils.code import code_digest
from calcium_decoding.utils.files import hash_content, write_json

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


@dataclass(frozen=True)
class Row:
    """One null in a cell: rate of rejection with Clopper and Pearson's 95 % interval; mean AUC, observed and drawn."""

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
    return code_digest("evaluation/nulls.py", "evaluation/linear_null.py", measure, *maker)


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
        return pd.DataFrame(self.rows)


def settings_of(cell, seed):
    """The SimulationSettings of one data set of a cell of :data:`CELLS`."""
    c = CELLS[cell]
    return widefield.SimulationSettings(world=c.world, seed=seed, sessions_per_animal=c.sessions,
                                        frames_per_session=c.frames, animals=1, drive=c.drive, drift=c.drift)


def measure(n_datasets, n_draws=39, seed=1, jobs=None, store=None, names=NULL_NAMES, make_dataset=simulated):
    """Measure how often each null rejects at 5 %, a NullLevel; what ``store`` has is not measured again. ``n_datasets``
    (dict): data sets by cell. ``n_draws``: of each null a data set. ``make_dataset(cell, seed)``: a Dataset of one
    animal; a function of a module, so that processes find it. Results do not depend on ``jobs``. ParameterError: too
    few draws to reject at all, or an unknown null."""
    counts = {cell: whole_number("n_datasets", count, 1) for cell, count in n_datasets.items()}
    n_draws = whole_number("n_draws", n_draws, 1)
    if n_draws < 39:
        raise ParameterError("n_draws", n_draws, "39 or more: with fewer, (b + 1) / (n / 2 + 1) is never 5 %",
                             "draw more")
    for name in names:
        nulls.null_of(name)
    code = code_hash(make_dataset)
    tasks = {}
    for cell, count in counts.items():
        settings = asdict(CELLS[cell]) if make_dataset is simulated else make_dataset.__qualname__
        for which in (range(i, min(i + DATASETS_AT_ONCE, count)) for i in range(0, count, DATASETS_AT_ONCE)):
            key = hash_content([cell, settings, which.start, which.stop, names, n_draws, seed, code])
            tasks[key] = make_dataset, cell, which, names, n_draws, seed
    paths = {key: None if store is None else Path(store) / f"{key}.json" for key in tasks}

    def work(missing, _):
        return parallel.in_processes(_measured, [(key, tasks[key], paths[key]) for key in missing], jobs)

    found = stored.run(paths, stored.load_json, work, "level of nulls", "part")
    by_cell = {cell: [one for key, task in tasks.items() if task[1] == cell for one in found[key]] for cell in counts}
    return NullLevel(
        rows=[row for cell, done in by_cell.items() for name in names for row in _rows(cell, name, done)],
        cells={cell: asdict(CELLS[cell]) if make_dataset is simulated else {"says": cell} for cell in counts},
        draws=n_draws, seed=seed, code_version=cards.code_version(), code_hash=code,
        versions={"numpy": np.__version__})


def _measured(key, task, path):
    make_dataset, cell, which, names, n_draws, seed = task
    done = [_one(make_dataset, cell, number, names, n_draws, seed) for number in which]
    if path is not None:
        write_json(path, done)
    return key, done


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


def _rows(cell, name, done):
    tests = {"p": "(b+1)/(n+1)"} | ({"p_shift": "(b+1)/(n/2+1)"} if name == "linear_shift" else {})
    for kind, test in tests.items():
        rejected = sum(one[name][kind] <= LEVEL for one in done)
        interval = binomtest(rejected, len(done)).proportion_ci(0.95, method="exact")
        yield Row(cell=cell, null=name, test=test, datasets=len(done), rejected=rejected, rate=rejected / len(done),
                  low=interval.low, high=interval.high,
                  auc=float(np.mean([one[name]["auc"] for one in done])),
                  null_auc=float(np.mean([one[name]["null_auc"] for one in done])))
