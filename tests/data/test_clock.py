"""Behaviour on clocks of its own, and frames on theirs: against reckoning frame by frame; reach is what it says."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calcium_decoding as cd
from calcium_decoding import data
from calcium_decoding.data.clock import WAYS
from calcium_decoding.errors import DataError, ParameterError

RATE = 20.0
PERIOD = 1 / RATE


def recording(n=100, **more):
    signal = np.random.default_rng(0).normal(size=(n, 2)).astype(np.float32)
    return cd.Recording(signal, {}, RATE, "a", "s", **more)


def clock(n, seed, gaps=True):
    """Times of frames with jitter, and some frames missing."""
    rng = np.random.default_rng(seed)
    steps = PERIOD * (1 + rng.uniform(-0.2, 0.2, n))
    steps[rng.random(n) < 0.05 * gaps] *= rng.integers(2, 9)
    return 3 + np.cumsum(steps)


def samples(seed, until=12.0, name="x"):
    rng = np.random.default_rng(seed)
    at = np.sort(rng.uniform(2, until, rng.integers(1, 300)))
    at = at[np.diff(at, prepend=0) > 1e-6]
    values = rng.normal(size=len(at))
    values[rng.random(len(at)) < 0.05] = np.nan
    return cd.Series(name, at, values)


def ends(times):
    return [times[i + 1] if i + 1 < len(times) and times[i + 1] - times[i] < 1.5 * PERIOD else times[i] + PERIOD
            for i in range(len(times))]


@pytest.mark.parametrize("seed", range(8))
def test_samples_on_frames_are_those_of_reckoning_frame_by_frame(seed):
    times, series = clock(100, seed), samples(seed)
    known = np.isfinite(series.values)
    at, values = series.times_s[known], series.values[known]
    gap = max(5 * np.median(np.diff(series.times_s)), 2 * PERIOD)
    found = {how: data.on_frames(series, times, RATE, how, exposure_s=0.04) for how in WAYS["samples"]}
    for i, (begin, end) in enumerate(zip(times, ends(times), strict=True)):
        before = [(a, v) for a, v in zip(at, values, strict=True) if a <= begin]
        after = [(a, v) for a, v in zip(at, values, strict=True) if a > begin]
        within = [v for a, v in zip(at, values, strict=True) if begin <= a < min(begin + 0.04, end)]
        expected = {"mean": np.mean(within) if within else np.nan, "previous": np.nan, "linear": np.nan}
        if before and begin - before[-1][0] <= gap:
            expected["previous"] = before[-1][1]
        if before and after and after[0][0] - before[-1][0] <= gap:
            share = (begin - before[-1][0]) / (after[0][0] - before[-1][0])
            expected["linear"] = (1 - share) * before[-1][1] + share * after[0][1]
        for how, value in expected.items():
            assert found[how].values[i] == pytest.approx(value, nan_ok=True, abs=1e-12), (how, i)
            assert found[how].is_known[i] == np.isfinite(value)


@pytest.mark.parametrize("seed", range(8))
def test_events_and_intervals_on_frames_are_those_of_reckoning_frame_by_frame(seed):
    rng, times = np.random.default_rng(seed), clock(100, seed)
    starts = np.sort(rng.uniform(2, 9, 40))
    stops = starts + rng.exponential(0.1, 40)  # many overlap
    count = data.on_frames(cd.Series("lick", starts), times, RATE)
    share = data.on_frames(cd.Series("epoch", starts, stops_s=stops), times, RATE)
    most = data.on_frames(cd.Series("epoch", starts, stops_s=stops), times, RATE, "most")
    fine = np.linspace(0, 1, 2001)[:-1] + 0.00025
    for i, (begin, end) in enumerate(zip(times, ends(times), strict=True)):
        assert count.values[i] == sum(begin <= s < end for s in starts)
        at = begin + fine * (end - begin)
        covered = np.any([(s <= at) & (at < e) for s, e in zip(starts, stops, strict=True)], axis=0).mean()
        assert share.values[i] == pytest.approx(covered, abs=5e-3)
    np.testing.assert_array_equal(most.values, share.values >= 0.5)
    assert count.reach == share.reach == (0, 0) and count.is_known.all()


def test_each_event_counts_once_however_the_frames_jitter():
    times = clock(200, 1, gaps=False)
    events = np.sort(np.random.default_rng(0).uniform(times[0], times[-1] + PERIOD, 5000))
    assert data.on_frames(cd.Series("lick", events), times, RATE).values.sum() == 5000


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from(["previous", "mean", "linear", "count", "share"]), st.integers(0, 99))
def test_nothing_beyond_the_declared_reach_changes_a_value(seed, how, frame):
    """Samples are changed, and events and intervals added, outside the frames that the value says it was made from."""
    rng, times = np.random.default_rng(seed), clock(100, seed)
    if how in WAYS["samples"]:
        series = samples(seed)
        at = series.times_s
    else:
        at = np.sort(rng.uniform(2, 9, 60))
        series = cd.Series("x", at, stops_s=None if how == "count" else at + 0.03)
    found = data.on_frames(series, times, RATE, how)
    back, ahead = found.reach
    low = times[frame - back] if frame >= back else -math.inf
    high = ends(times)[frame + ahead] if frame + ahead < len(times) else math.inf
    if how in WAYS["samples"]:
        values = np.where((at < low - 1e-5) | (at >= high), series.values + 100, series.values)
        other = cd.Series("x", at, values)
    else:
        keep = (at + 0.03 > low) & (at < high)
        other = cd.Series("x", at[keep], stops_s=None if how == "count" else at[keep] + 0.03)
    assert data.on_frames(other, times, RATE, how).values[frame] == pytest.approx(
        found.values[frame], nan_ok=True, abs=1e-8)


def test_behaviour_many_times_as_fast_as_the_frames_is_averaged_in_each_of_them():
    at = np.arange(2500) / 250  # as of a wheel at 250 Hz beside imaging at 8 Hz
    wheel = cd.Series("v", at, np.random.default_rng(0).normal(size=len(at)))
    found = cd.with_behaviour(cd.Recording(np.zeros((80, 1)), {}, 8.0, "a", "s"), wheel, how="mean")
    expected = [wheel.values[(at >= i / 8) & (at < (i + 1) / 8)].mean() for i in range(80)]
    np.testing.assert_allclose(found.behaviour["v"], expected, rtol=1e-5, atol=1e-7)
    assert found.reach["v"] == (0, 0) and found.stretches == ((0, 80),)


def test_declared_look_ahead_of_linear_is_needed():
    """Samples every 5 frames: the frame after a sample sees one 4 frames ahead, and no more than that is declared."""
    series = cd.Series("x", np.arange(0, 5, 5 * PERIOD), np.arange(20.0))
    found = data.on_frames(series, np.arange(90) * PERIOD, RATE, "linear")
    np.testing.assert_allclose(found.values, np.arange(90) / 5)
    assert found.reach == (4, 4)
    assert data.on_frames(series, np.arange(90) * PERIOD, RATE, "previous").reach == (4, 0)


@pytest.mark.parametrize("start", [0.0, 12.0, 1.7e9], ids=["from 0", "from 12 s", "since 1970"])
@pytest.mark.parametrize("decimals", [15, 6])
def test_what_stands_at_a_frames_begin_is_at_it_however_times_were_rounded(start, decimals):
    rate = 30.0
    times = start + np.arange(3000) / rate
    at = np.round(start + np.arange(3000) / rate, decimals)
    series = cd.Series("x", at, np.arange(3000.0))
    for how in WAYS["samples"]:
        found = data.on_frames(series, times, rate, how)
        np.testing.assert_allclose(found.values, np.arange(3000), atol=1e-4)
    assert data.on_frames(series, times, rate).reach == (0, 0)
    np.testing.assert_array_equal(data.on_frames(cd.Series("x", at), times, rate).values, 1)
    epochs = cd.Series("x", at[::20], stops_s=at[10::20])
    np.testing.assert_allclose(data.on_frames(epochs, times, rate).values, (np.arange(3000) // 10) % 2 == 0, atol=1e-3)


def test_behaviour_that_ends_early_has_a_gap_or_one_sample_is_known_only_there():
    series = cd.Series("x", np.r_[0:2:0.01, 3:4:0.01], np.ones(300))
    z = cd.with_behaviour(recording(), series)
    assert z.stretches == ((0, 42), (60, 82))  # 2 frames, the least, after the last sample at 1.99 and 3.99 s
    assert z.reach == {"x": (2, 0)} and "not known at 36 of 100 frames, which are masked" in z.notes[0]
    one = data.on_frames(cd.Series("x", [1.0], [7.0]), np.arange(100) * PERIOD, RATE)
    np.testing.assert_array_equal(np.flatnonzero(one.is_known), [20, 21, 22])
    held = data.on_frames(cd.Series("x", [1.0], [7.0]), np.arange(100) * PERIOD, RATE, longest_gap_s=math.inf)
    assert held.is_known.sum() == 80 and held.reach == (79, 0)
    nothing = data.on_frames(cd.Series("x", [1.0, 2.0], [np.nan, np.nan]), np.arange(100) * PERIOD, RATE)
    assert not nothing.is_known.any()


def test_samples_that_are_nan_are_left_out_and_said_so():
    values = np.arange(1000.0)
    values[300:400] = np.nan
    z = cd.with_behaviour(recording(), cd.Series("x", np.arange(1000) / 200, values), how="mean")
    assert z.stretches == ((0, 30), (40, 100)) and "100 samples that are not finite" in z.notes[0]


def test_no_event_is_an_animal_that_never_licked_but_no_sample_is_no_behaviour():
    z = cd.with_behaviour(recording(), cd.Series("lick", []), cd.Series("epoch", [], stops_s=[]))
    assert not z.behaviour["lick"].any() and not z.behaviour["epoch"].any() and z.stretches == ((0, 100),)
    with pytest.raises(DataError, match="at least one"):
        cd.Series("x", [], [])
    watched = cd.with_behaviour(recording(), cd.Series("lick", [2.02], span_s=(1.0, 3.0)))
    assert watched.stretches == ((20, 60),) and np.flatnonzero(watched.behaviour["lick"][20:60]).tolist() == [20]


@pytest.mark.parametrize(("arguments", "found"), [
    ({"times_s": [0, 1, 1], "values": [1, 2, 3]}, "from 1 to 1 s in row 2"),
    ({"times_s": [0, 2, 1]}, "from 2 to 1 s in row 2"),
    ({"times_s": [0, 1], "values": [1, 2, 3]}, r"values of shape \(3,\)"),
    ({"times_s": [0, 1], "values": ["a", "b"]}, "<U1"),
    ({"times_s": [0, np.nan]}, "1 times_s that are not finite"),
    ({"times_s": [[0, 1]]}, r"shape \(1, 2\)"),
    ({"times_s": [0, 1], "stops_s": [1, 0.5]}, "ends before it begins, in row 1"),
    ({"times_s": [0], "values": [1], "stops_s": [1]}, "values and stops_s"),
    ({"times_s": [0], "span_s": (3, 1)}, "span_s"),
    ({"times_s": [0], "reach_s": (-1, 0)}, "reach_s"),
])
def test_series_that_are_refused(arguments, found):
    with pytest.raises(DataError, match=found) as caught:
        cd.Series("x", source="wheel.csv", **arguments)
    assert "wheel.csv, 'x'" in str(caught.value)


def test_what_with_behaviour_refuses():
    r, series = recording(), cd.Series("x", [100.0, 101.0], [1, 2])
    with pytest.raises(DataError, match=r"100 to 101 s for frames from 0 to 4.95 s.*offset_s"):
        cd.with_behaviour(r, series)
    assert cd.with_behaviour(r, series, offset_s=-98.0).stretches == ((40, 100),)
    with pytest.raises(DataError, match="'x' twice"):
        cd.with_behaviour(r, series, series, offset_s=-98.0)
    with pytest.raises(ParameterError, match="'count' for samples"):
        cd.with_behaviour(r, series, how="count")
    with pytest.raises(ParameterError, match="found y;"):
        cd.with_behaviour(r, series, how={"y": "mean"})
    with pytest.raises(ParameterError, match="at most a frame"):
        cd.with_behaviour(r, series, how="mean", exposure_s=0.1)
    with pytest.raises(DataError, match=r"goes back from 0\.1 to 0 s at frame 3"):
        data.on_frames(series, [0, 0.05, 0.1, 0], RATE)


def test_smoothing_of_a_series_comes_on_top_of_its_reach():
    series = cd.Series("x", np.arange(0, 6, PERIOD), np.arange(120.0), reach_s=(0.5, 0.12))
    assert cd.with_behaviour(recording(), series).reach["x"] == (10, 3)


def test_clocks_are_aligned_by_pulses_that_both_recorded():
    pulses = np.cumsum(np.random.default_rng(0).uniform(1, 9, 30))
    at, there = np.linspace(0, pulses[-1] + 5, 50), 1.0002 * pulses + 17
    moved = data.align_clock(cd.Series("x", at, at, span_s=(0, 9)), pulses, there)
    np.testing.assert_allclose(moved.times_s, 1.0002 * at + 17)
    assert moved.span_s == pytest.approx((17, 26.0018))
    with pytest.raises(DataError, match="29 and 30 pulses"):
        data.align_clock(cd.Series("x", at, at), pulses[1:], there)
    with pytest.raises(DataError, match="between pulses 9 and 10"):
        data.align_clock(cd.Series("x", at, at), np.delete(pulses, 10), there[:-1])


# --- Frames on their clock ----------------------------------------------------------------------------------


def test_numbers_that_differ_are_refused_and_each_rule_says_what_it_did():
    times = 5 + np.arange(103) * PERIOD
    with pytest.raises(DataError, match=r"100 frames and 103 times.*cut_end, cut_start, or drop_frames"):
        cd.with_times(recording(source="tuesday.npz"), times)
    end, start, drop = (cd.with_times(recording(), times, **rule) for rule in (
        {"rule": "cut_end"}, {"rule": "cut_start"}, {"drop_frames": [0, 50, 51]}))
    np.testing.assert_array_equal(end.times_s, times[:100])
    np.testing.assert_array_equal(start.times_s, times[3:])
    np.testing.assert_array_equal(drop.times_s, np.delete(times, [0, 50, 51]))
    assert end.stretches == start.stretches == ((0, 100),) and drop.stretches == ((0, 49), (49, 100))
    assert end.notes == ("clock: 3 more times than frames (100 and 103); cut_end: the last 3 left out",)
    assert "drop_frames 0, 50, 51 left out" in drop.notes[0] and "2 frames missing in 1 breaks" in drop.notes[1]


def test_frames_without_a_time_keep_their_place_and_are_masked():
    r, times = recording(), 5 + np.arange(97) * PERIOD
    end, start, drop = (cd.with_times(r, times, **rule) for rule in (
        {"rule": "cut_end"}, {"rule": "cut_start"}, {"drop_frames": [0, 50, 51]}))
    assert (end.stretches, start.stretches, drop.stretches) == (
        ((0, 97),), ((3, 100),), ((1, 50), (52, 100)))
    assert all(each.n_frames == 100 for each in (end, start, drop))
    np.testing.assert_allclose(start.times_s, 5 + np.arange(-3, 97) * PERIOD)
    np.testing.assert_allclose(end.times_s, 5 + np.arange(100) * PERIOD)
    assert "cut_end: the last 3 masked" in end.notes[0]
    np.testing.assert_array_equal(drop.times_s[[1, 49, 52]], times[[0, 48, 49]])


@pytest.mark.parametrize(("change", "error", "said"), [
    ({"rule": "cut"}, ParameterError, "cut_end or cut_start"),
    ({"rule": "cut_end", "drop_frames": [1]}, ParameterError, "one rule"),
    ({"drop_frames": [1, 2]}, DataError, "3 different whole numbers in 0 .. 102"),
    ({"drop_frames": [1, 2, 103]}, DataError, "3 different"),
    ({"drop_frames": [1, 2, 2]}, DataError, "3 different"),
    ({"drop_frames": [1, 2, 2.5]}, DataError, "3 different"),
])
def test_rules_that_do_not_fit_are_refused(change, error, said):
    with pytest.raises(error, match=said):
        cd.with_times(recording(), np.arange(103) * PERIOD, **change)


def test_a_wrong_rate_and_a_clock_that_restarts_are_refused_and_drift_is_not():
    even = np.arange(100) * PERIOD
    with pytest.raises(DataError, match=r"0.1 s, 10 Hz; expected even steps of 0.05 s, 20 Hz"):
        cd.with_times(recording(), 2 * even)
    with pytest.raises(DataError, match=r"0\.0506 s"):
        cd.with_times(recording(), 1.012 * even)
    assert cd.with_times(recording(), 1.008 * even).notes == (
        "clock: frames come +8000 ppm from the stated 20 Hz, +0.0396 s over the recording",)
    assert cd.with_times(recording(), 1.0002 * even).notes == ()
    with pytest.raises(DataError, match=r"goes back from 2.95 to 0 s at frame 60.*its part"):
        cd.with_times(recording(), np.r_[even[:60], even[:40]])
    with pytest.raises(DataError, match="1 not finite"):
        cd.with_times(recording(), np.r_[even[:99], np.nan])
    assert cd.with_times(recording(1), [7.0]).times_s.tolist() == [7.0]


def test_rates_of_clocks_in_whole_milliseconds_are_right():
    times = np.round(np.arange(1000) / 30, 3)  # steps of 33 and 34 ms
    r = cd.Recording(np.ones((1000, 1)), {}, 30, "a", "s")
    assert cd.with_times(r, times).stretches == ((0, 1000),)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from([0, 1, 1, 1, 1, 1, 1, 2, 5]), min_size=20, max_size=99), st.integers(0, 999))
def test_breaks_and_repeats_are_where_frames_are_missing_or_stand_twice(steps, seed):
    number = np.concatenate([[0], np.cumsum([*steps, *[1] * 50])])
    jitter = np.random.default_rng(seed).uniform(-0.1, 0.1, len(number))
    times = np.maximum.accumulate((number + np.where(np.diff(number, prepend=-1) == 0, 0.15, jitter)) * PERIOD)
    r = recording(len(number))
    z = cd.with_times(r, times)
    usable = [i for i in range(len(number)) if i == 0 or number[i] > number[i - 1]]
    assert [i for start, stop in z.stretches for i in range(start, stop)] == usable
    assert all(number[stop - 1] - number[start] == stop - 1 - start for start, stop in z.stretches)
    joined = [(a, b) for (_, a), (b, _) in zip(z.stretches, z.stretches[1:], strict=False) if a == b]
    assert all(number[b] - number[b - 1] > 1 for _, b in joined)
    np.testing.assert_array_equal(data.frame_numbers(times), number)


def test_a_plane_that_begins_later_sees_behaviour_that_much_later():
    at = np.arange(0, 6, 0.001)
    first, third = (cd.with_behaviour(cd.with_times(recording(), np.arange(100) * PERIOD, offset_s=k / (4 * RATE)),
                                      cd.Series("x", at, at)) for k in (0, 2))
    np.testing.assert_allclose(third.behaviour["x"] - first.behaviour["x"], PERIOD / 2, atol=1e-5)


def test_the_missing_pulses_of_a_file_can_be_named():
    ttl = (np.arange(100) + np.random.default_rng(3).uniform(-0.1, 0.1, 100)) * PERIOD
    lost = [7, 8, 40]
    numbers = data.frame_numbers(np.delete(ttl, lost))
    drop = np.setdiff1d(np.arange(100), numbers)
    assert drop.tolist() == lost
    assert cd.with_times(recording(97), ttl, drop_frames=drop).stretches == ((0, 7), (7, 38), (38, 97))


# --- Bad frames ---------------------------------------------------------------------------------------------


def test_bad_frames_by_number_or_bool_are_masked():
    bad = np.zeros(100, bool)
    bad[[0, 50]] = True
    for given_bad in (bad, [0, 50], np.array([50, 0, 50])):
        z = cd.mask_frames(recording(), given_bad, why="laser off")
        assert z.stretches == ((1, 50), (51, 100)) and z.notes == ("clock: 2 frames masked: laser off",)
    assert cd.mask_frames(recording(), []).notes == ()
    for wrong in ([100], [-1], bad[:99], [0.5], np.ones((100, 2), bool)):
        with pytest.raises(DataError, match="True or False for each of 100 frames"):
            cd.mask_frames(recording(), wrong)
    with pytest.raises(DataError, match="no frame that can be used"):
        cd.mask_frames(recording(), np.ones(100, bool))
    with pytest.raises(DataError, match="no frame that can be used"):
        cd.mask_frames(recording(stretches=((0, 5),)), np.arange(5))


def test_the_way_on_for_nan_that_the_refusal_names():
    signal = np.ones((50, 3))
    signal[[4, 5, 30], [0, 2, 1]] = np.nan, np.inf, 1e39
    with pytest.raises(DataError, match=r"stretches=cd\.stretches_of\(cd\.usable_frames\(signal\)\)"):
        cd.Recording(signal, {}, RATE, "a", "s")
    r = cd.Recording(signal, {}, RATE, "a", "s", stretches=cd.stretches_of(cd.usable_frames(signal)))
    assert r.stretches == ((0, 4), (6, 30), (31, 50)) and np.isfinite(r.signal).all()
    speed = np.r_[np.nan, np.ones(49)]
    assert np.flatnonzero(~cd.usable_frames(signal, speed)).tolist() == [0, 4, 5, 30]
