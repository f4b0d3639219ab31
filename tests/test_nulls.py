"""Nulls: what session re-pairing keeps and what it cuts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calcium_decoding import nulls
from calcium_decoding.errors import DataError
from calcium_decoding.recording import Dataset, Recording


def recordings(lengths, animal="a", parts=False):
    rng = np.random.default_rng(0)
    return tuple(
        Recording(rng.normal(size=(n, 2)), {"run": (rng.random(n) < 0.5).astype(int)}, 30.0, animal,
                  "s0" if parts else f"s{i}", part=f"p{i}" if parts else "")
        for i, n in enumerate(lengths))


@given(st.integers(2, 12), st.integers(0, 10_000))
def test_a_derangement_moves_everything(n, seed):
    order = nulls.derangement(n, np.random.default_rng(seed))
    assert sorted(order) == list(range(n)) and not (order == np.arange(n)).any()


def test_derangements_of_three_are_equally_likely():
    rng = np.random.default_rng(0)
    counts = {}
    for _ in range(4000):
        order = tuple(int(i) for i in nulls.derangement(3, rng))
        counts[order] = counts.get(order, 0) + 1
    assert set(counts) == {(1, 2, 0), (2, 0, 1)}
    assert abs(counts[(1, 2, 0)] - 2000) < 200  # over 6 SD


@pytest.mark.parametrize("parts", [False, True])
def test_no_recording_keeps_its_behaviour_and_each_is_used_once(parts):
    dataset = Dataset("d", recordings([50, 50, 50, 50], parts=parts))
    repaired = nulls.repair_sessions(dataset, seed=5)
    labels = [r.run.tobytes() for r in dataset.recordings]
    new = [r.run.tobytes() for r in repaired.recordings]
    assert sorted(labels) == sorted(new) and all(a != b for a, b in zip(labels, new, strict=True))
    for old, fresh in zip(dataset.recordings, repaired.recordings, strict=True):
        np.testing.assert_array_equal(old.signal, fresh.signal)
        assert old.id == fresh.id


def test_behaviour_stays_within_the_animal():
    dataset = Dataset("d", recordings([40, 40], "a") + recordings([40, 40], "b"))
    dataset.recordings[2].behaviour["run"].flags.writeable = True
    dataset.recordings[2].behaviour["run"][:] = 1
    repaired = nulls.repair_sessions(dataset, seed=1)
    assert repaired.recordings[3].run.all() and not repaired.recordings[0].run.all()


def test_lengths_that_differ_are_cut_from_the_end():
    dataset = Dataset("d", recordings([30, 50]))
    first, second = nulls.repair_sessions(dataset, seed=0).recordings
    assert first.n_frames == second.n_frames == 30
    np.testing.assert_array_equal(first.run, dataset.recordings[1].run[:30])
    np.testing.assert_array_equal(second.signal, dataset.recordings[1].signal[:30])


def test_a_seed_repeats():
    dataset = Dataset("d", recordings([20] * 6))
    one, two, other = (nulls.repair_sessions(dataset, seed=s).content_hash() for s in (3, 3, 4))
    assert one == two and one != other


def test_a_single_session_has_no_such_null():
    with pytest.raises(DataError, match="two or more sessions"):
        nulls.repair_sessions(Dataset("d", recordings([20])), seed=0)
