"""Onset delays and false alarms that were planted, and a count frame by frame."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import onsets
from calcium_decoding.evaluation.onsets import EventSettings, true_onsets
from calcium_decoding.experiments import FoldResult
from calcium_decoding.models.loop import History

RATE_HZ = 10.0  # so 1 s is 10 frames


def trace(n, bouts):
    """Zeros, with ones in the half-open ranges of frames."""
    values = np.zeros(n, dtype=np.uint8)
    for start, stop in bouts:
        values[start:stop] = 1
    return values


def scores(labels, decoded, chosen=None, frames=None):
    frames = np.arange(len(labels)) if frames is None else frames
    return onsets.event_scores(frames, labels, 0.1 + 0.8 * decoded, RATE_HZ, chosen)


def test_planted_delays_a_miss_and_false_alarms():
    labels = trace(600, [(100, 150), (250, 300), (400, 460)])
    decoded = trace(600, [(103, 150), (246, 300),  # 3 frames late, 4 frames early; the third onset is missed
                          (50, 52), (350, 351)])  # two false alarms
    found = scores(labels, decoded)
    assert found.n_onsets == 3
    np.testing.assert_allclose(found.onset_delay_s, [0.3, -0.4])
    assert found.share_detected == pytest.approx(2 / 3) and found.median_delay_s == pytest.approx(-0.05)
    assert found.n_false_alarms == 2
    # Rest is 600 - 160 frames, less the 5 before each onset.
    assert found.rest_s == pytest.approx((600 - 160 - 3 * 5) / RATE_HZ)
    assert found.false_alarms_per_min == pytest.approx(2 / (42.5 / 60))


@pytest.mark.parametrize(("offset", "detected", "false_alarms"), [
    (-6, 0, 1), (-5, 1, 0), (0, 1, 0), (9, 1, 0), (10, 0, 0)])  # window [-0.5 s, 1.0 s): frames -5 .. 9
def test_edges_of_the_search_window(offset, detected, false_alarms):
    labels = trace(200, [(100, 150)])
    found = scores(labels, trace(200, [(100 + offset, 101 + offset)]))
    assert (len(found.onset_delay_s), found.n_false_alarms) == (detected, false_alarms)


def test_the_first_decoded_onset_counts():
    found = scores(trace(200, [(100, 150)]), trace(200, [(102, 103), (105, 150)]))
    np.testing.assert_allclose(found.onset_delay_s, [0.2])
    assert found.n_false_alarms == 0  # decoded onsets while the animal runs are none


@pytest.mark.parametrize(("bouts", "onsets"), [
    ([(100, 110)], [100]), ([(100, 109)], []),  # runs 10 frames or 9, 10 asked for
    ([(10, 30)], [10]), ([(9, 30)], []), ([(0, 50)], []),  # rests 10 frames, 9, 0 before
    ([(50, 70), (80, 100)], [50, 80]), ([(50, 70), (79, 100)], [50]),
    ([(185, 195)], [185]), ([(191, 200)], [])])  # ten frames seen, or nine to the end
def test_what_is_an_onset(bouts, onsets):
    labels = trace(200, bouts)
    assert true_onsets(np.arange(200), labels, RATE_HZ, EventSettings()).tolist() == onsets


def test_an_answer_to_a_bout_too_short_to_be_an_onset_is_no_false_alarm():
    labels = trace(200, [(100, 104)])
    found = scores(labels, trace(200, [(97, 100), (107, 109), (120, 122)]))
    assert found.n_onsets == 0 and found.n_false_alarms == 1  # only the one at 120
    assert found.rest_s == pytest.approx((200 - 15) / RATE_HZ)  # frames 95 .. 109 are not counted


def test_nothing_is_carried_over_a_gap():
    labels = trace(200, [(100, 150)])
    frames = np.arange(200) + np.where(np.arange(200) >= 95, 7, 0)  # only 5 frames of rest seen before the onset
    found = scores(labels, trace(200, [(100, 150)]), frames=frames)
    assert found.n_onsets == 0
    whole = scores(labels, trace(200, [(100, 150)]), frames=np.arange(200) + 1000)
    assert whole.n_onsets == 1 and whole.onset_delay_s.tolist() == [0.0]
    # A step of the decoder across a gap is no decoded onset: when it began is not known.
    frames = np.arange(200) + np.where(np.arange(200) >= 50, 1, 0)
    assert scores(labels, trace(200, [(50, 60)]), frames=frames).n_false_alarms == 0
    assert scores(labels, trace(200, [(50, 60)])).n_false_alarms == 1


def test_holding_removes_flicker_and_costs_delay():
    labels = trace(300, [(150, 200)])
    decoded = trace(300, [(50, 52), (80, 82), (151, 200)])
    plain, held = (scores(labels, decoded, EventSettings(hold_s=s)) for s in (0.0, 0.3))
    assert (plain.n_false_alarms, held.n_false_alarms) == (2, 0)
    np.testing.assert_allclose([*plain.onset_delay_s, *held.onset_delay_s], [0.1, 0.3])  # frames 151, and 151 .. 153


def test_threshold():
    labels, p = trace(200, [(100, 150)]), np.full(200, 0.1)
    p[100:103], p[103:150] = 0.6, 0.9
    delay = [onsets.event_scores(np.arange(200), labels, p, RATE_HZ, EventSettings(threshold=t)).onset_delay_s.tolist()
             for t in (0.5, 0.8, 0.95)]
    assert delay == [[0.0], [0.3], []]


def test_a_decoder_that_always_says_run_detects_nothing():
    found = scores(trace(200, [(100, 150)]), np.ones(200))
    assert found.n_onsets == 1 and found.n_false_alarms == 0 and found.share_detected == 0


def by_hand(frames, labels, p_run, rate_hz, s):
    """The definitions, frame by frame, over a dictionary of frame numbers."""
    label, p = dict(zip(frames, labels, strict=True)), dict(zip(frames, p_run, strict=True))
    back, ahead, rest, run = (round(x * rate_hz) for x in (s.before_s, s.after_s, s.min_rest_s, s.min_run_s))
    hold = max(1, round(s.hold_s * rate_hz))
    steps = [f for f in frames if label[f] == 1 and label.get(f - 1) == 0]
    onsets = [f for f in steps if all(label.get(f - i) == 0 for i in range(1, rest + 1))
              and all(label.get(f + i) == 1 for i in range(run))]
    decoded = [f + hold - 1 for f in frames if p.get(f - 1, 1) <= s.threshold
               and all(p.get(f + i, 0) > s.threshold for i in range(hold))]
    delays = []
    for onset in onsets:
        near = [d for d in decoded if -back <= d - onset < ahead]
        if near:
            delays.append((min(near) - onset) / rate_hz)
    quiet = [f for f in frames if label[f] == 0 and not any(-back <= f - t < ahead for t in steps)]
    return len(onsets), delays, len(set(quiet) & set(decoded)), len(quiet) / rate_hz


@settings(deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3]), st.sampled_from([0.5, 0.3]))
def test_agrees_with_a_count_by_hand(seed, hold_s, threshold):
    rng = np.random.default_rng(seed)
    frames = np.flatnonzero(rng.random(300) > 0.02)  # with gaps
    bouts = np.repeat(np.arange(60) % 2, rng.integers(1, 12, 60))[:300]
    labels = np.pad(bouts, (0, 300 - len(bouts)))[frames]
    p = np.clip(0.2 + 0.5 * labels + rng.normal(size=len(frames)) * 0.2, 0, 1)
    chosen = EventSettings(threshold=threshold, min_rest_s=0.4, min_run_s=0.5, before_s=0.3, after_s=0.5,
                           hold_s=hold_s)
    found = onsets.event_scores(frames, labels, p, RATE_HZ, chosen)
    n_onsets, delays, false_alarms, rest_s = by_hand(frames.tolist(), labels, p, RATE_HZ, chosen)
    assert (found.n_onsets, found.n_false_alarms) == (n_onsets, false_alarms)
    np.testing.assert_allclose(found.onset_delay_s, delays)
    assert found.rest_s == pytest.approx(rest_s)


def test_pooled_counts_add_up():
    one = scores(trace(200, [(100, 150)]), trace(200, [(103, 150), (50, 51)]))
    two = scores(trace(400, [(100, 150)]), trace(400, [(300, 310)]))
    both = onsets.pool([one, two])
    assert (both.n_onsets, len(both.onset_delay_s), both.n_false_alarms) == (2, 1, 2)
    assert both.rest_s == pytest.approx(one.rest_s + two.rest_s) and both.onset_delay_s.tolist() == [0.3]
    assert both.false_alarms_per_min == pytest.approx(2 / ((14.5 + 34.5) / 60))
    with pytest.raises(DataError, match="nothing to pool"):
        onsets.pool([])


def test_ratios_that_do_not_exist_are_none():
    none = scores(trace(100, []), trace(100, []))
    assert none.share_detected is None and none.median_delay_s is None and none.false_alarms_per_min == 0
    assert scores(np.ones(20), np.ones(20)).false_alarms_per_min is None


@pytest.mark.parametrize("change", [
    {"threshold": 1.5}, {"min_rest_s": -1.0}, {"before_s": 1.1}, {"after_s": 1.1}, {"hold_s": float("nan")},
    {"min_run_s": float("inf")}])
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(ParameterError, match=next(iter(change))):
        replace(EventSettings(), **change)


def test_input_that_cannot_be_scored_is_refused():
    good = np.arange(4), np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.9, 0.9])
    for place, value, said in [(0, np.array([0, 1, 1, 2]), "do not increase"), (0, np.arange(4) / 30, "not whole"),
                               (0, np.arange(3), r"\(3,\)"), (1, np.array([0, 0, 1]), r"\(3,\)"),
                               (2, np.array([0.1, np.nan, 0.9, 0.9]), "not finite"), (2, np.full(4, 7.0), "0 to 1")]:
        arrays = list(good)
        arrays[place] = value
        with pytest.raises(DataError, match=said):
            onsets.event_scores(*arrays, RATE_HZ)
    with pytest.raises(DataError, match="one frame at least"):
        onsets.event_scores(*(a[:0] for a in good), RATE_HZ)
    with pytest.raises(ParameterError, match="rate_hz"):
        onsets.event_scores(*good, 0)
    with pytest.raises(ParameterError, match="less than a frame"):
        onsets.event_scores(*good, 0.1)


def fold_of(model, labels, decoded):
    """A fold that tested two recordings."""
    return FoldResult("a1 tests", "a1", model, {"auc": 0.9}, "", History(), ("s1", "s2"),
                      np.repeat([0, 1], [len(part) for part in labels]),
                      np.concatenate([7 + np.arange(len(part)) for part in labels]), np.concatenate(labels),
                      0.1 + 0.8 * np.concatenate(decoded))


def test_a_fold_is_scored_recording_by_recording_and_pooled():
    # The first recording ends at rest and the second begins running: that is no onset, nor is its decoding late.
    labels = [trace(300, [(100, 150), (200, 240)]), trace(200, [(0, 60), (120, 170)])]
    decoded = [trace(300, [(104, 150), (202, 240), (270, 272)]), trace(200, [(0, 60)])]
    heard, nothing = fold_of("gru", labels, decoded), fold_of("silent", labels, [0 * part for part in decoded])
    table = onsets.by_fold([heard, nothing, replace(heard, scores={})], RATE_HZ)
    assert list(table["model"]) == ["gru", "silent"] and list(table["onsets"]) == [3, 3]
    found = table.iloc[0]
    assert found["detected"] == pytest.approx(2 / 3) and found["delay (s)"] == pytest.approx(0.3)
    rest_s = (500 - 50 - 40 - 60 - 50 - 3 * 5) / RATE_HZ
    assert found["false alarms a minute"] == pytest.approx(60 / rest_s)
    assert table["detected"][1] == 0 and np.isnan(table["delay (s)"][1]) and table["false alarms a minute"][1] == 0
    cards = onsets.card_scores(table)
    assert {(c.model, c.metric): c.value for c in cards} == {
        ("gru", "onsets_detected"): found["detected"], ("gru", "onset_delay_s"): found["delay (s)"],
        ("gru", "false_alarms_per_min"): found["false alarms a minute"], ("silent", "onsets_detected"): 0.0,
        ("silent", "false_alarms_per_min"): 0.0}
    assert onsets.card_scores(table[:0]) == []
    with pytest.raises(DataError, match="decoded speed"):
        onsets.by_fold([replace(heard, kind="continuous", target="speed")], RATE_HZ)
