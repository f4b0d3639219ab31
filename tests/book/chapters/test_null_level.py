"""The measured level of the nulls, small: which fail by a wide margin, and that a measurement can be trusted."""

import importlib.util
import json

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import beta

from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import cards
from decoding_book.chapters import null_level

SMALL = {"n_datasets": {"still": 20, "drift": 20}, "n_draws": 39, "seed": 1, "jobs": 1}


def smooth_noise(cell, seed):
    """Eight sessions of 400 frames of 8 autoregressive traces and a label from another one; nothing links them.

    In the cell "drift", traces and label climb from beginning to end of every session. The design of the simulation in
    Harris 2020, DOI 10.1101/2020.11.29.402719, with a decoder in place of a correlation.
    """
    rng = np.random.default_rng(seed)
    n_sessions, n, keep, trend = 8, 400, np.exp(-1 / 20), 3.0 * (cell == "drift")
    weights, recordings = rng.normal(size=8), []
    for i in range(n_sessions):
        slow = lfilter([np.sqrt(1 - keep**2)], [1, -keep], rng.normal(size=(n + 100, 9)), axis=0)[100:]
        slow += trend * np.outer(np.linspace(-0.5, 0.5, n), [1.0, *weights])
        run = slow[:, 0] > np.quantile(slow[:, 0], 0.7)
        recordings.append(Recording(slow[:, 1:], {"run": run}, 30.0, "a", f"s{i}", simulated=True))
    return Dataset(cell, tuple(recordings))


def row_of(level, cell, null, test="(b+1)/(n+1)"):
    """One row of a measurement by name."""
    return next(r for r in level.rows if (r.cell, r.null, r.test) == (cell, null, test))


@pytest.fixture(scope="module")
def level(tmp_path_factory):
    store = tmp_path_factory.mktemp("level")
    return store, null_level.measure(**SMALL, store=store, make_dataset=smooth_noise)


def test_frame_shuffle_and_circular_shift_fail_where_brain_and_behaviour_drift(level):
    shuffle, circular = (row_of(level[1], "drift", name) for name in ("frame_shuffle", "circular_shift"))
    assert shuffle.low > 0.5 and circular.low > 0.5
    assert circular.auc > 0.6 and abs(circular.null_auc - 0.5) < 0.03  # the drift scores, and the null has none of it
    assert row_of(level[1], "still", "frame_shuffle").low > 0.05


@pytest.mark.parametrize("cell", ["still", "drift"])
@pytest.mark.parametrize("name", ["repairing", "permuting"])
def test_session_pairings_are_compatible_with_5_percent(level, cell, name):
    row = row_of(level[1], cell, name)
    assert row.low <= 0.05 <= row.high and row.rejected < row.datasets / 4


def test_a_null_of_sessions_keeps_the_drift(level):
    row = row_of(level[1], "drift", "repairing")
    assert row.null_auc > 0.6 and abs(row.auc - row.null_auc) < 0.03


def test_the_safe_shift_rejects_no_more_often_than_the_plain_one(level):
    for cell in ("still", "drift"):
        plain, safe = row_of(level[1], cell, "linear_shift"), row_of(level[1], cell, "linear_shift", "(b+1)/(n/2+1)")
        assert safe.rejected <= plain.rejected
    assert row_of(level[1], "still", "linear_shift", "(b+1)/(n/2+1)").low <= 0.05


def test_intervals_are_exact_binomial(level):
    """Clopper and Pearson by the beta distribution."""
    for row in level[1].rows:
        k, n = row.rejected, row.datasets
        low = beta.ppf(0.025, k, n - k + 1) if k else 0.0
        high = beta.ppf(0.975, k + 1, n - k) if k < n else 1.0
        assert (row.rate, row.low, row.high) == pytest.approx((k / n, low, high), abs=1e-9)


def test_more_data_sets_go_on_from_those_that_are_there(level):
    store, found = level
    files = sorted(store.iterdir())
    assert len(files) == 2 * 2  # 20 data sets a cell, ten a file
    stamps = [f.stat().st_mtime_ns for f in files]
    again = null_level.measure(**SMALL, store=store, make_dataset=smooth_noise)
    assert again.rows == found.rows
    assert [f.stat().st_mtime_ns for f in files] == stamps


def test_a_damaged_or_missing_part_is_measured_again_and_gives_the_same(tmp_path):
    one = {**SMALL, "n_datasets": {"still": 11}, "names": ("repairing",), "make_dataset": smooth_noise}
    whole = null_level.measure(**one, store=tmp_path)
    first, second = sorted(tmp_path.iterdir())
    first.write_text("[{")
    second.unlink()
    assert null_level.measure(**one, store=tmp_path).rows == whole.rows
    assert all(json.loads(f.read_text()) for f in (first, second))


def test_neither_jobs_nor_the_other_nulls_change_a_result():
    options = {**SMALL, "n_datasets": {"drift": 12}, "make_dataset": smooth_noise}
    one = null_level.measure(**options, names=("repairing", "circular_shift"))
    two = null_level.measure(**{**options, "jobs": 2}, names=("repairing",))
    assert two.rows == [row_of(one, "drift", "repairing")]


def test_the_simulator_gives_each_cell_what_it_says():
    for name, cell in null_level.CELLS.items():
        settings = null_level.settings_of(name, seed=4)
        assert (settings.sessions_per_animal, settings.animals, settings.drift) == (cell.sessions, 1, cell.drift)
    cell = null_level.CELLS["drift_only_5"]
    dataset = null_level.simulated("drift_only_5", seed=4)
    assert [r.n_frames for r in dataset.recordings] == [cell.frames] * cell.sessions == [1500] * 5
    found = null_level.measure({"drift_only_5": 2}, n_draws=39, jobs=1, names=("repairing",))
    assert found.cells["drift_only_5"]["sessions"] == 5 and found.rows[0].datasets == 2


def test_the_code_hash_is_that_of_what_makes_the_data_not_of_its_docstrings(tmp_path):
    source = 'def made(cell, seed):\n    """Make it."""\n    return 1\n'
    other_docstring, other_result = source.replace("Make it", "Makes it"), source.replace("return 1", "return 2")
    found = []
    for number, text in enumerate((source, other_docstring, other_result)):
        path = tmp_path / f"{number}" / "maker.py"
        path.parent.mkdir()
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(f"maker{number}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found.append(null_level.code_hash(module.made))
    assert found[0] == found[1] != found[2]


def test_the_measurement_in_the_book_is_of_this_code():
    """Whoever changes nulls, their decoder or the simulator measures again: book/stored/README.md says how."""
    level = null_level.NullLevel.load(cards.stored_folder() / "null_level.json")
    assert level.code_hash == null_level.code_hash()


def test_a_stored_measurement_comes_back_and_a_damaged_one_is_refused(level, tmp_path):
    path = tmp_path / "level.json"
    level[1].save(path)
    loaded = null_level.NullLevel.load(path)
    assert loaded == level[1] and loaded.code_hash == null_level.code_hash(smooth_noise)
    assert list(loaded.table()["null"].unique()) == list(null_level.NULL_NAMES)
    path.write_text(path.read_text().replace('"rows"', '"row"'))
    with pytest.raises(DataError, match="measure it again"):
        null_level.NullLevel.load(path)


def test_too_few_draws_and_unknown_nulls_are_refused():
    with pytest.raises(ParameterError, match="39 or more"):
        null_level.measure({"no_link": 1}, n_draws=38)
    with pytest.raises(ParameterError, match="null"):
        null_level.measure({"no_link": 1}, names=("shuffle",))
