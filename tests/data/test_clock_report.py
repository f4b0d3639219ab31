"""The clock report names each fault that was planted, with its number, and none on a clock that has none."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calcium_decoding as cd
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import cards
from calcium_decoding.simulation.clocks import plant_clock as plant

N, RATE = 6000, 30.0


def report(clock, **more):
    found = cd.clock_report(clock.times_s, RATE, ttl_s=clock.ttl_s, **more)
    assert list(found) == ["item", "found", "expected", "unit", "fault", "verdict"] and found["item"].is_unique
    assert ((found["verdict"] == "fine") | found["fault"]).all()
    return found.set_index("item")


def faults(table):
    return set(table.index[table["fault"]])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.005, 0.02, 0.05]))
def test_a_clean_clock_has_no_fault_whatever_its_jitter(seed, jitter):
    found = report(plant(N, RATE, seed, jitter=jitter), n_file=N, window=cd.WindowSpec(15, 15))
    assert not faults(found), found[found["fault"]]
    assert found.loc["drift of times of frames against the rate", "found"] == pytest.approx(0, abs=5)
    assert found.loc["windows lost", "found"] == 0


@pytest.mark.parametrize("seed", range(3))
def test_frames_that_were_dropped_are_counted(seed):
    clock = plant(N, RATE, seed, dropped=0.01)
    found = report(clock, window=cd.WindowSpec(15, 15))
    assert faults(found) == {"number of TTL pulses", "longest step", "frames missing", "windows lost"}
    assert found.loc["frames missing", "found"] == clock.planted["dropped"] == 60
    gap = np.diff(clock.frame)
    first = np.argmax(gap > 1) + 1
    assert f"in {clock.planted['breaks']} breaks, the first before frame {first}" in found.loc["frames missing",
                                                                                              "verdict"]
    assert found.loc["longest step", "found"] == pytest.approx(gap.max(), abs=0.1)
    assert "60 more than frames: 0 before the first frame, 60 between frames, 0 after" in found.loc[
        "number of TTL pulses", "verdict"]
    whole = sum(np.all(gap[i:i + 30] == 1) for i in range(len(gap) - 29))
    n = len(clock.frame) - 30
    assert found.loc["windows lost", "found"] == pytest.approx(100 * (1 - whole / n))


@pytest.mark.parametrize("ppm", [200.0, -200.0])
def test_drift_is_measured_against_the_rate_and_the_other_clock(ppm):
    found = report(plant(N, RATE, 1, drift_ppm=ppm))
    names = {"drift of times of frames against the rate", "drift of TTL against times of frames"}
    assert faults(found) == names
    for name, sign in zip(sorted(names, reverse=True), (1, -1), strict=True):
        assert found.loc[name, "found"] == pytest.approx(sign * ppm, abs=3)
        assert f"{sign * np.sign(ppm) * 1.2:+.1f} frames" in found.loc[name, "verdict"]
    # Over a minute it comes to less than half a frame, and does no harm.
    assert not faults(cd.clock_report(plant(1800, RATE, 1, drift_ppm=ppm).times_s, RATE).set_index("item"))


@pytest.mark.parametrize(("cut", "drift"), [((3, 0), 0), ((0, 3), 0), ((3, 3), 0), ((0, 3), 200), ((3, 3), -200)])
def test_frames_that_were_cut_are_found_at_their_end(cut, drift):
    found = report(plant(N, RATE, 2, cut=cut, drift_ppm=drift))
    assert {"number of TTL pulses"} == {name for name in faults(found) if "drift" not in name}
    assert f"{sum(cut)} more than frames: {cut[0]} before the first frame, 0 between frames, {cut[1]} after the last" \
        in found.loc["number of TTL pulses", "verdict"]


def test_without_times_the_end_is_not_known_and_that_is_said():
    clock = plant(N, RATE, 0, cut=(0, 3))
    r = cd.Recording(np.zeros((N - 3, 1), np.float32), {}, RATE, "a", "s")
    found = cd.clock_report(r, ttl_s=clock.ttl_s).set_index("item")
    assert faults(found) == {"number of TTL pulses"}
    assert "3 more than frames, at an end that is not known" in found.loc["number of TTL pulses", "verdict"]
    shifted = replace(clock, times_s=clock.times_s + 1000)  # clocks that did not begin together
    assert "not known" in report(shifted).loc["number of TTL pulses", "verdict"]
    assert faults(report(plant(N, RATE, 0), n_file=N + 2)) >= {"number of times of frames", "number of TTL pulses"}


def test_a_restart_and_repeated_frames_are_named():
    found = report(plant(N, RATE, 3, restart_at=2500))
    assert faults(found) == {"restarts of the clock"} and found.loc["restarts of the clock", "found"] == 1
    assert "at frame 2500" in found.loc["restarts of the clock", "verdict"]
    clock = plant(N, RATE, 3, repeated=4)
    found = report(clock)
    assert faults(found) == {"frames repeated", "number of TTL pulses"} and found.loc["frames repeated", "found"] == 4
    first = np.argmax(np.diff(clock.frame, prepend=-1) == 0)
    assert f"the first is frame {first}" in found.loc["frames repeated", "verdict"]
    assert "4 fewer than frames: 0 before the first frame, -4 between" in found.loc["number of TTL pulses", "verdict"]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6))
def test_all_faults_at_once_are_all_counted(seed):
    clock = plant(N, RATE, seed, dropped=0.01, drift_ppm=200, cut=(3, 3), repeated=5)
    found = report(clock)
    assert found.loc["frames missing", "found"] == 60 and found.loc["frames repeated", "found"] == 5
    assert found.loc["drift of times of frames against the rate", "found"] == pytest.approx(200, abs=5)
    assert "3 before the first frame, 55 between frames, 3 after" in found.loc["number of TTL pulses", "verdict"]


def test_a_wrong_rate_and_too_much_jitter_are_named():
    clock = plant(N, RATE, 0)
    found = cd.clock_report(clock.times_s, 20.0).set_index("item")
    assert faults(found) == {"rate"} and found.loc["rate", "verdict"] == "the rate is 30 Hz, not 20"
    noisy = cd.clock_report(plant(N, RATE, 0, jitter=0.12).times_s, RATE).set_index("item")
    assert "jitter" in faults(noisy) and "TTL" in noisy.loc["jitter", "verdict"]
    with pytest.raises(ParameterError, match="rate_hz"):
        cd.clock_report(clock.times_s)
    with pytest.raises(DataError, match="two finite"):
        cd.clock_report([np.nan, 1.0], RATE)


def test_where_behaviour_begins_late_ends_early_and_has_gaps():
    times = np.arange(600) / RATE
    at = np.r_[2:9:0.01, 12:15:0.01]
    found = cd.clock_report(times, RATE, behaviour=[
        cd.Series("speed", at, at), cd.Series("lick", [3.0]), cd.Series("cue", [3.0], span_s=(-1, 30)),
        cd.Series("pupil", np.arange(-1, 21, 0.1), np.ones(220)), cd.Series("lost", [1, 2], [np.nan, np.nan])],
        ).set_index("item")
    assert faults(found) == {"speed: begins after the first frame by", "speed: ends before the last frame by",
                             "speed: longest gap", "lost: covers"}
    assert found.loc["speed: begins after the first frame by", "found"] == 2
    assert "60 of 600 frames without it" in found.loc["speed: begins after the first frame by", "verdict"]
    assert found.loc["speed: ends before the last frame by", "found"] == pytest.approx(times[-1] - 14.99)
    assert found.loc["speed: longest gap", "found"] == pytest.approx(3.01)
    assert "1 gaps" in found.loc["speed: longest gap", "verdict"] and "span_s" in found.loc["lick: covers", "verdict"]


def test_times_in_milliseconds_are_suspected():
    times, at = np.arange(600) / RATE, np.arange(0, 20, 0.01)
    found = cd.clock_report(times, RATE, behaviour=[cd.Series("speed", 1000 * at, at)]).set_index("item")
    assert "1001 times as long as the frames: see that its times are in seconds" in found.loc["speed: lasts", "verdict"]
    with pytest.raises(DataError, match=r"33\.33 s, 0\.03 Hz.*in seconds"):
        cd.with_times(cd.Recording(np.zeros((600, 1)), {}, RATE, "a", "s"), 1000 * times)


def test_planted_clocks_are_the_same_again_and_refuse_what_leaves_no_frames():
    one, same, other = (plant(500, RATE, seed, dropped=0.1, repeated=2) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.times_s, same.times_s)
    assert len(np.intersect1d(one.frame, other.frame)) < len(one.frame) == 452
    assert np.diff(one.frame).min() == 0 and one.frame[[0, -1]].tolist() == [0, 499]
    for wrong in ({"dropped": 1.0}, {"cut": (250, 249)}, {"cut": (-1, 0)}, {"restart_at": 500}, {"repeated": 499}):
        with pytest.raises(ParameterError, match="three frames or more"):
            plant(500, RATE, **wrong)
    with pytest.raises(ParameterError, match="one a pulse"):
        one.file_of(cd.Recording(np.zeros((9, 1)), {}, RATE, "a", "s"))


def test_the_report_of_a_recording_counts_what_it_masks_and_goes_on_a_card():
    clock = plant(N, RATE, 5, dropped=0.01)
    whole = cd.Recording(np.zeros((N, 1), np.float32), {}, RATE, "a", "s", simulated=True)
    r = cd.with_times(clock.file_of(whole), clock.times_s)
    assert "dropped 60, breaks" in r.notes[0] and "60 frames missing" in r.notes[1]
    found = cd.clock_report(cd.mask_frames(r, [1000]), window=cd.WindowSpec(0, 0)).set_index("item")
    assert found.loc["windows lost", "found"] == pytest.approx(100 / r.n_frames)
    assert found.loc["number of times of frames", "fault"] == False  # noqa: E712
    scores = cards.table_scores(found.reset_index(), "found", "clock", "{item} ({unit})", "", f"recording {r.id}")
    assert {s.metric: s.value for s in scores}["frames missing (frames)"] == 60
    assert len(scores) == found["found"].notna().sum()


def test_the_card_says_once_what_was_done_to_which_clock():
    times = np.arange(200) / RATE
    rs = [cd.with_times(cd.Recording(np.zeros((200 + (i < 2), 1), np.float32), {}, RATE, "a", f"s{i}",
                                     notes=("of no clock",)), times, rule="cut_end" if i < 2 else None)
          for i in range(3)]
    rs += [cd.mask_frames(r, [3], "saturated") for r in
           (cd.Recording(np.zeros((9, 1)), {}, RATE, "b", f"s{i}") for i in range(5))]
    notes = cards.clock_notes(cd.Dataset("mine", tuple(rs)))
    assert notes == ["1 more frames than times (201 and 200); cut_end: the last 1 masked (a/s0, a/s1)",
                     "1 frames masked: saturated (5 recordings)"]
    provenance = cards.Provenance(data_hash="d", split_hash="s", code_version="1", seed=0, parameters={}, versions={})
    of = {"chapter": "x", "dataset": "mine", "simulated": False, "claim": "none", "null": "none", "scores": [],
          "provenance": provenance}
    assert "cut_end" in cards.ResultCard(**of, clock=notes).origin().set_index("what").loc["clock", "value"]
    assert "clock" not in set(cards.ResultCard(**of).origin()["what"])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from([0, 200, -200]))
def test_frames_matched_to_pulses_bring_back_what_belongs_together(seed, drift):
    """Frames hold their own number as signal, and so does behaviour on the clock of the pulses."""
    clock = plant(N, RATE, seed, dropped=0.01, cut=(3, 3), repeated=3, drift_ppm=drift)
    np.testing.assert_array_equal(cd.match_pulses(clock.times_s, clock.ttl_s), clock.ttl_s[clock.frame])
    whole = cd.Recording(np.arange(N, dtype=np.float32)[:, None], {}, RATE, "a", "s", simulated=True)
    at = np.arange(0, N / RATE + 2, 0.001)
    behaviour = cd.Series("frame", at, np.interp(at, clock.ttl_s, np.arange(N)))
    z = cd.with_behaviour(cd.with_times(clock.file_of(whole), cd.match_pulses(clock.times_s, clock.ttl_s)), behaviour)
    usable = np.concatenate([np.arange(*stretch) for stretch in z.stretches])
    assert len(usable) == N - 60 - 6
    assert np.abs(z.behaviour["frame"] - z.signal[:, 0])[usable].max() < 0.05
    # With the numbers of frames alone, it lags behind by what was lost.
    naive = cd.with_behaviour(clock.file_of(whole), behaviour, offset_s=-clock.ttl_s[0])
    assert naive.signal[-1, 0] - naive.behaviour["frame"][-1] == pytest.approx(60, abs=0.2)


def test_clocks_that_do_not_add_up_are_not_matched():
    clock = plant(N, RATE, 0, cut=(3, 3))
    with pytest.raises(DataError, match=r"5994 frames.*6000 pulses.*\(first\)"):
        cd.match_pulses(clock.times_s + 50, clock.ttl_s)
    np.testing.assert_array_equal(cd.match_pulses(clock.times_s + 50, clock.ttl_s, first=3), clock.ttl_s[3:-3])
    with pytest.raises(DataError, match=r"end with pulse 6003.*0 \.\. 5999"):
        cd.match_pulses(clock.times_s + 50, clock.ttl_s, first=10)
    with pytest.raises(DataError, match="goes back"):
        cd.match_pulses(plant(N, RATE, 0, restart_at=50).times_s, clock.ttl_s)
    few = np.delete(clock.ttl_s, [100, 101])  # the computer missed two pulses, the file has all frames
    np.testing.assert_allclose(cd.match_pulses(clock.times_s, few), clock.ttl_s[3:-3], atol=0.01 * 4 / RATE)
