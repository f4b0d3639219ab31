"""Labels: against reckoning by hand, and nothing beyond the reach that they state changes them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calcium_decoding as cd
from calcium_decoding import data
from calcium_decoding.errors import DataError, ParameterError

RATE = 20.0


def recording(n=100, behaviour=None, **more):
    return cd.Recording(np.zeros((n, 1), np.float32), behaviour or {}, RATE, "a", "s", **more)


def test_positions_that_wrap_go_on_in_both_directions_and_nan_stays():
    true = np.cumsum(np.random.default_rng(0).uniform(-70, 100, 500))
    wrapped = true % 360
    np.testing.assert_allclose(data.unwrap_position(wrapped, 360) - wrapped[0], true - true[0], atol=1e-9)
    wrapped[[10, 11]] = np.nan
    true = np.cumsum(np.r_[0, np.full(499, 30.0)])
    wrapped = np.where(np.isnan(wrapped), np.nan, true % 360)
    found = data.unwrap_position(cd.Series("angle", np.arange(500), wrapped), 360)
    assert found.name == "angle" and np.flatnonzero(np.isnan(found.values)).tolist() == [10, 11]
    known = np.isfinite(wrapped)
    np.testing.assert_allclose(found.values[known], true[known])


def test_a_step_that_may_have_gone_either_way_is_refused():
    with pytest.raises(DataError, match=r"1 steps of more than 0.4 turns, the first to row 2"):
        data.unwrap_position([0, 10, 180, 190], 360)
    assert data.unwrap_position([0, 10, 180, 190], 360, longest_step=0.5)[-1] == 190
    with pytest.raises(DataError, match="from 0 to 500"):
        data.unwrap_position([0, 100, 200, 300, 400, 500], 360)
    with pytest.raises(ParameterError, match="turn"):
        data.unwrap_position([0, 1], 0)


def test_speed_is_that_of_an_even_movement_however_samples_lie():
    times = np.cumsum(np.random.default_rng(0).uniform(0.005, 0.03, 400))
    for causal in (False, True):
        found = data.speed_from_position(cd.Series("wheel_cm", times, -7 * times), 0.2, causal=causal)
        known = np.isfinite(found.values)
        np.testing.assert_allclose(found.values[known], 7)
        assert known[20:].all() and found.name == "speed_cm_s"
        assert found.reach_s == ((0.2, 0) if causal else (0.1, 0.1))
    around = data.speed_from_position(np.stack([3 * times, 4 * times], axis=1), 0.2, times)
    np.testing.assert_allclose(around.values[around.is_known], 5)
    even = data.speed_from_position(np.arange(50.0), 0.2, np.arange(50) / RATE)
    assert even.reach == (2, 2)
    np.testing.assert_allclose(even.values, RATE)
    with pytest.raises(ParameterError, match="two steps"):
        data.speed_from_position(np.arange(50.0), 0.05, np.arange(50) / RATE)
    with pytest.raises(DataError, match="50 values and 49 times"):
        data.speed_from_position(np.arange(50.0), 0.2, np.arange(49) / RATE)
    with pytest.raises(ParameterError, match="no times"):
        data.speed_from_position(np.arange(50.0), 0.2)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.booleans(), st.integers(0, 79))
def test_speed_looks_no_further_than_it_says(seed, causal, at):
    rng = np.random.default_rng(seed)
    times, position = np.cumsum(rng.uniform(0.01, 0.1, 80)), rng.normal(size=80)
    series = cd.Series("x", times, position)
    found = data.speed_from_position(series, 0.4, causal=causal)
    back, ahead = found.reach_s
    outside = (times < times[at] - back - 1e-5) | (times > times[at] + ahead + 1e-5)
    other = data.speed_from_position(cd.Series("x", times, position + 100 * outside), 0.4, causal=causal)
    np.testing.assert_equal(other.values[at], found.values[at])
    on_array = data.speed_from_position(position, 0.4, times, causal=causal)
    np.testing.assert_equal(on_array.values, found.values)
    back, ahead = on_array.reach
    outside = np.abs(np.arange(80) - at - (ahead - back) / 2) > (ahead + back) / 2
    other = data.speed_from_position(position + 100 * outside, 0.4, times, causal=causal)
    np.testing.assert_equal(other.values[at], found.values[at])


def by_hand(speed, above, below, shortest, pause):
    """Bouts of frames, one frame at a time; lengths in frames."""
    on, label = False, []
    for value in speed:
        on = value > above or (on and not value < below)
        label.append(on)
    text = "".join("1" if x else "0" for x in label)
    inner = text.strip("0")
    lead = len(text) - len(text.lstrip("0"))
    for part in sorted({p for p in inner.split("1") if p}, key=len):
        if len(part) < pause:
            inner = ("1" + inner + "1").replace("1" + part + "1", "1" * (len(part) + 2))
            inner = inner.replace("1" + part + "1", "1" * (len(part) + 2))[1:-1]
    text = "0" * lead + inner + "0" * (len(text) - lead - len(inner))
    for part in sorted({p for p in text.split("0") if p}, key=len):
        if len(part) < shortest:
            text = ("0" + text + "0").replace("0" + part + "0", "0" * (len(part) + 2))
            text = text.replace("0" + part + "0", "0" * (len(part) + 2))[1:-1]
    return np.array([int(x) for x in text])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from([0.0, 0.4, 0.6, 1.0]), min_size=1, max_size=60), st.integers(0, 6), st.integers(0, 6))
def test_bouts_are_those_of_hand(speed, shortest, pause):
    found = data.bouts(speed, 0.5, 0.3, shortest / RATE, pause / RATE, rate_hz=RATE)
    np.testing.assert_array_equal(found.values, by_hand(speed, 0.5, 0.3, shortest, pause))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(0, 8), st.integers(0, 8), st.integers(0, 99))
def test_bouts_look_no_further_than_they_say(seed, shortest, pause, at):
    rng = np.random.default_rng(seed)
    speed = np.abs(np.convolve(rng.normal(size=103), np.ones(4) / 2, "valid"))
    how = {"start_above": 0.9, "stop_below": 0.5, "shortest_s": shortest / RATE, "shortest_pause_s": pause / RATE}
    found = data.bouts(speed, rate_hz=RATE, **how)
    back, ahead = found.reach
    assert ahead == min(shortest + pause, 99)
    outside = (np.arange(100) < at - back) | (np.arange(100) > at + ahead)
    for other in (0.0, 9.0, 0.7):
        changed = np.where(outside, other, speed)
        assert data.bouts(changed, rate_hz=RATE, **how).values[at] == found.values[at]
    as_series = data.bouts(cd.Series("speed", np.arange(100) / RATE, speed), **how)
    np.testing.assert_array_equal(as_series.values, found.values)
    on_frames = data.on_frames(as_series, np.arange(100) / RATE, RATE)
    assert on_frames.reach[1] == shortest + pause and on_frames.reach[0] >= back


def test_bouts_end_where_speed_is_not_known():
    speed = np.ones(40)
    speed[[10, 30]] = np.nan
    found = data.bouts(speed, 0.5, 0.5, 15 / RATE, rate_hz=RATE)
    np.testing.assert_array_equal(found.values, np.r_[np.zeros(10), np.nan, np.ones(19), np.nan, np.zeros(9)])
    times = np.r_[0:20, 40:60] / RATE
    np.testing.assert_array_equal(data.bouts(np.ones(40), 0.5, 0.5, 21 / RATE, times_s=times).values, 0)
    for wrong in ({"start_above": 0.1}, {"shortest_s": -1}, {"shortest_pause_s": -1}):
        with pytest.raises(ParameterError):
            data.bouts(speed, **{"start_above": 1, "stop_below": 0.5, "shortest_s": 1, "rate_hz": 1, **wrong})


def test_a_label_of_a_recording_brings_its_reach_its_note_and_that_of_what_it_was_made_from():
    speed = np.r_[np.zeros(40), np.ones(30), np.zeros(30)]
    r = recording(behaviour={"speed_cm_s": speed}, reach={"speed_cm_s": (2, 3)}, stretches=((0, 90), (95, 100)))
    label = data.bouts(speed, 0.5, 0.3, 0.5, rate_hz=RATE)
    z = cd.with_label(r, "running", label, made_from="speed_cm_s")
    np.testing.assert_array_equal(z.behaviour["running"], speed)
    assert z.reach["running"] == (12, 13) and z.stretches == r.stretches
    assert z.notes[-1].startswith("clock: running: 1 from above 0.5") and "looks ahead 13 frames" in z.notes[-1]
    again = cd.with_behaviour(r, data.bouts(data.series_of(r, "speed_cm_s"), 0.5, 0.3, 0.5, name="running"))
    assert again.reach["running"] == (12, 13) and again.stretches == r.stretches
    np.testing.assert_array_equal(again.behaviour["running"], speed)
    plain = cd.with_label(r, "running", np.where(np.arange(100) < 10, np.nan, speed), (0, 5), "by eye")
    assert plain.reach["running"] == (0, 5) and plain.stretches == ((10, 90), (95, 100))
    assert "not known at 10 of 100 frames" in plain.notes[-1]
    for arguments, said in (((r, "speed_cm_s", speed), "already"), ((r, "x", speed[1:]), r"\(99,\)"),
                            ((r, "x", np.full(100, np.nan)), "no frame"),
                            ((r, "x", speed, (0, 0), "", "y"), "no behaviour y")):
        with pytest.raises(DataError, match=said):
            cd.with_label(*arguments)


def test_series_of_a_recording_leaves_out_what_cannot_be_used():
    r = recording(behaviour={"x": np.arange(100.0)}, stretches=((0, 20), (30, 100)))
    series = data.series_of(r, "x")
    assert len(series.times_s) == 90 and not set(range(20, 30)) & set(series.values)
    with pytest.raises(DataError, match="'y'"):
        data.series_of(r, "y")
