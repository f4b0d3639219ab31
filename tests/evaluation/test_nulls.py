"""Nulls: what each keeps and what it cuts, and what its p-value means."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import nulls


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


def animals_like_the_study(n_frames=6):
    found = []
    for i, order in enumerate(nulls.PUBLISHED_ORDER):
        for j in range(len(order)):
            speed = np.full(n_frames, 100 * i + j)
            found.append(Recording(np.ones((n_frames, 2)), {"run": np.arange(n_frames) % 2, "speed_cm_s": speed}, 30.0,
                                   f"mouse {i + 1}", f"session {j + 1}"))
    return Dataset("study", tuple(found))


def test_the_published_permutation_leaves_three_sessions_in_place():
    dataset = animals_like_the_study()
    permuted = nulls.NULLS["published"](dataset, seed=99)
    source = [int(r.behaviour["speed_cm_s"][0]) for r in permuted.recordings]
    expected = [100 * i + j for i, order in enumerate(nulls.PUBLISHED_ORDER) for j in order]
    assert source == expected
    stayed = [r.id for r, s, own in zip(permuted.recordings, source,
                                        (int(r.behaviour["speed_cm_s"][0]) for r in dataset.recordings), strict=True)
              if s == own]
    assert stayed == ["mouse 1/session 1", "mouse 2/session 10", "mouse 5/session 11"]


def test_the_published_permutation_is_what_its_seed_draws():
    """The study's code: numpy's global seed 123, one permutation a mouse, in order."""
    rng = np.random.RandomState(123)  # the generator they used
    assert nulls.PUBLISHED_ORDER == tuple(tuple(rng.permutation(n).tolist()) for n in (11, 12, 14, 15, 12))


def test_the_published_permutation_is_refused_for_other_data():
    with pytest.raises(DataError, match="11, 12, 14, 15, 12"):
        nulls.published_permutation(Dataset("d", recordings([20] * 11)))
    with pytest.raises(ParameterError, match="at most 1"):
        nulls.NULLS["published"].draws(animals_like_the_study(), 2, 0)


def test_permuting_lets_one_session_stay_on_average():
    dataset = Dataset("d", recordings([12] * 5))
    own = [r.run.tobytes() for r in dataset.recordings]
    assert len(set(own)) == 5
    stayed = [sum(r.run.tobytes() == o for r, o in zip(nulls.permute_sessions(dataset, (7, k)).recordings, own,
                                                       strict=True)) for k in range(600)]
    assert abs(np.mean(stayed) - 1) < 5 / np.sqrt(600)  # mean and variance of the number of fixed points are both 1
    assert max(stayed) == 5 or 3 in stayed


def frame_numbers(lengths):
    """Recordings whose speed is the frame's number and whose signal is the frame's number too."""
    return Dataset("d", tuple(
        Recording(np.column_stack([np.arange(n)] * 2), {"run": np.arange(n) % 2, "speed_cm_s": np.arange(n)}, 30.0,
                  "a", f"s{i}") for i, n in enumerate(lengths)))


@given(st.integers(-25, 25))
def test_every_shift_sees_the_same_signal_and_never_wraps(shift):
    dataset = frame_numbers([100, 140])
    shifted = nulls.shift_behaviour(dataset, shift)
    for r, n in zip(shifted.recordings, (100, 140), strict=True):
        np.testing.assert_array_equal(r.signal[:, 0], np.arange(25, n - 25))
        np.testing.assert_array_equal(r.behaviour["speed_cm_s"], np.arange(25, n - 25) + shift)
        np.testing.assert_array_equal(r.run, (np.arange(25, n - 25) + shift) % 2)


def test_linear_shifts_are_spread_evenly_and_never_nought():
    null, dataset = nulls.NULLS["linear_shift"], frame_numbers([400, 440])

    def shift_of(draw):
        return int(draw.recordings[0].behaviour["speed_cm_s"][0] - draw.recordings[0].signal[0, 0])

    shifts = [shift_of(draw) for draw in null.draws(dataset, 40, seed=0)]
    assert sorted(shifts) == [k for k in range(-100, 101, 5) if k]
    single = [shift_of(null(dataset, seed)) for seed in range(300)]
    assert 0 not in single and min(single) < -90 and max(single) > 90 and max(map(abs, single)) <= 100
    assert shift_of(null.observed(dataset)) == 0
    with pytest.raises(ParameterError, match="at most 200"):
        null.draws(dataset, 201, seed=0)
    with pytest.raises(ParameterError, match="quarter"):
        nulls.shift_behaviour(dataset, 101)
    with pytest.raises(DataError, match="4 frames"):
        nulls.shift_behaviour(frame_numbers([3]), 0)


def test_circular_shift_rotates_all_behaviour_of_a_recording_together():
    dataset = frame_numbers([50, 60])
    rotations = []
    for r in nulls.circular_shift(dataset, seed=3).recordings:
        speed = r.behaviour["speed_cm_s"].astype(int)
        rotations.append(-speed[0] % r.n_frames)
        np.testing.assert_array_equal(speed, (np.arange(r.n_frames) - rotations[-1]) % r.n_frames)
        np.testing.assert_array_equal(r.run, speed % 2)
        np.testing.assert_array_equal(r.signal[:, 0], np.arange(r.n_frames))
    assert 0 not in rotations and rotations[0] != rotations[1]
    with pytest.raises(DataError, match="single frame"):
        nulls.circular_shift(frame_numbers([1]), seed=0)


def test_frame_shuffle_keeps_the_frames_and_nothing_of_their_order():
    shuffled = nulls.frame_shuffle(frame_numbers([2000]), seed=1).recordings[0]
    speed = shuffled.behaviour["speed_cm_s"]
    np.testing.assert_array_equal(np.sort(speed), np.arange(2000))
    np.testing.assert_array_equal(shuffled.run, speed.astype(int) % 2)
    assert abs(np.corrcoef(speed, np.arange(2000))[0, 1]) < 5 / np.sqrt(2000)


@pytest.mark.parametrize("name", sorted(set(nulls.NULLS) - {"published"}))
def test_draws_differ_repeat_with_the_seed_and_say_what_was_done(name):
    null, dataset = nulls.NULLS[name], Dataset("d", recordings([80] * 6))
    one, two = ([d.content_hash() for d in null.draws(dataset, 4, seed=5)] for _ in range(2))
    assert one == two and len(set(one)) == 4
    assert all("null: " in r.notes[-1] for r in null(dataset, 5).recordings)
    assert null.keeps and null.cuts and null.fails


def test_an_unknown_null_is_refused():
    with pytest.raises(ParameterError, match="repairing"):
        nulls.null_of("shuffle")


@pytest.mark.parametrize(("alternative", "expected"), [("greater", 3 / 11), ("less", 10 / 11), ("two-sided", 6 / 11)])
def test_p_values_by_hand(alternative, expected):
    """0.8 among 0.0, 0.1 .. 0.9: 0.8 and 0.9 are as high, 0.0 .. 0.8 as low."""
    values = np.arange(10) / 10
    assert nulls.p_value(0.8, values, alternative) == pytest.approx(expected)


def test_p_is_never_nought_and_ties_by_rounding_count():
    assert nulls.p_value(1.0, np.zeros(99)) == 0.01
    assert nulls.p_value(0.1 + 0.2, [0.3]) == 1.0
    assert nulls.p_value(0.0, np.zeros(5), "two-sided") == 1.0
    assert nulls.shift_p_value(1.0, np.zeros(38)) == 0.05
    assert nulls.shift_p_value(0.0, np.zeros(38)) == 1.0


@pytest.mark.parametrize(("observed", "values"), [(0.5, []), (0.5, [np.nan, 0.4]), (np.nan, [0.4])])
def test_p_values_of_nothing_are_refused(observed, values):
    for p in (nulls.p_value, nulls.shift_p_value):
        with pytest.raises(DataError, match="null values"):
            p(observed, values)
    with pytest.raises(ParameterError, match="alternative"):
        nulls.p_value(0.5, [0.4], "both")


def test_the_bound_of_the_linear_shift_is_reached_by_a_periodic_score():
    """A score with a period of N + 1 shifts and any phase: the unshifted one is the highest every (N + 1)th time, twice
    as often as (b + 1) / (n + 1) says (Harris, arXiv 2012.06862)."""
    reach = 19
    shifts = np.array([s for s in range(-reach, reach + 1) if s])
    observed, values = [], []
    for phase in range(reach + 1):
        observed.append(np.cos(2 * np.pi * phase / (reach + 1)))
        values.append(np.cos(2 * np.pi * (shifts + phase) / (reach + 1)))
    plain = [nulls.p_value(o, v) for o, v in zip(observed, values, strict=True)]
    safe = [nulls.shift_p_value(o, v) for o, v in zip(observed, values, strict=True)]
    assert np.mean(np.array(plain) <= 1 / 39) == pytest.approx(1 / 20)
    for level in (0.05, 0.1, 0.25, 0.5):
        assert np.mean(np.array(safe) <= level + 1e-12) <= level + 1e-12


@pytest.mark.parametrize(("name", "n_sessions", "low", "high"), [
    ("permuting", 5, 0.03, 0.055), ("permuting", 10, 0.04, 0.06), ("repairing", 5, 0.09, 0.13),
    ("repairing", 10, 0.06, 0.08)])
def test_only_permutations_with_fixed_points_hold_their_level(name, n_sessions, low, high):
    """A score that is a sum over pairs, each pair's part random: no link, so 5 % should be rejected.

    Of two orders without fixed points, each shares no pair with the real order, but one pair on average with the other.
    """
    rng, n_draws, repeats = np.random.default_rng(1), 39, 6000
    parts = rng.normal(size=(repeats, n_sessions, n_sessions))
    pool = np.array([nulls.NULLS[name].pairing(n_sessions, rng) for _ in range(2000)])
    orders = pool[rng.integers(0, len(pool), (repeats, n_draws))]
    values = np.take_along_axis(parts[:, None], orders[..., None], axis=3)[..., 0].sum(axis=2)
    observed = np.trace(parts, axis1=1, axis2=2)
    p = [nulls.p_value(o, v) for o, v in zip(observed, values, strict=True)]
    assert low < np.mean(np.array(p) <= 0.05) < high  # over 4 SD to either side of what theory gives
