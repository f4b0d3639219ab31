"""Frame by frame the same numbers as on the whole recording; what cannot be so is refused; frames that are missing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier

import calcium_decoding as cd
from calcium_decoding import models
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.models.online import Online
from calcium_decoding.preprocessing.recipes import RECIPES
from calcium_decoding.streaming import StreamDecoder
from tests.streaming.conftest import recording

JITTER = np.random.default_rng(0).uniform(0, 0.01, 240)
NEW = replace(recording("new", 9), behaviour={}, times_s=7 + np.arange(240) / 20 + JITTER)
RUN, ODOUR, SPEED = cd.Binary("run"), cd.Classes("odour"), cd.Continuous("speed_cm_s")


class Counts:
    """A decoder from outside: the running mean since it was reset."""

    def reset(self, dataset_tags):
        self.sum, self.n = 0.0, 0

    def observe(self, observation):
        self.sum, self.n = self.sum + float(observation.mean()), self.n + 1

    def predict(self, observation):
        self.observe(observation)
        return np.array([[1 / (1 + np.exp(-self.sum / self.n))]])

    def on_done(self, dones):
        pass


def streamed(stream, recording, numbers=None):
    """All that a stream gives for (some) frames of a recording, as the table that ``predict`` gives."""
    found = []
    for k in range(recording.n_frames) if numbers is None else numbers:
        one = stream.push(recording.signal[k], k, None if recording.times_s is None else recording.times_s[k])
        if one is not None:
            assert one.given_frame == k == one.frame + stream.delay_frames
            found.append({"frame": one.frame, "time_s": one.time_s, **one.outputs})
    return pd.DataFrame(found)


def require_equal(found, expected, atol=1e-6):
    """Every frame that ``predict`` decodes, and those whose labels it would not have."""
    found = found[found["frame"].isin(expected["frame"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=0, atol=atol)


OWN = cd.Estimator(RandomForestClassifier(3), "window")
HEADS = cd.Together(ODOUR, speed=SPEED)


@pytest.mark.parametrize(("decoder", "task"), [
    *[(name, RUN) for name in models.names.MODELS], *[(name, SPEED) for name in models.names.SPEED_MODELS],
    ("gru", ODOUR), ("gru", cd.Continuous("speed_cm_s", period=20)), (OWN, ODOUR),
    (Online(Counts()), RUN), ("lstm", HEADS), ("logistic_window", HEADS)], ids=lambda x: getattr(x, "name", x))
def test_every_decoder_gives_the_numbers_of_the_whole_recording(fitted, decoder, task):
    one = fitted(decoder, task, window=(4, 0 if task is HEADS else 2, 1, 0))
    require_equal(streamed(StreamDecoder(one), NEW), one.predict(NEW))


@pytest.mark.parametrize("window", [(5, 0, 1, 0), (6, 2, 3, 4), (6, 2, 1, -9)])
def test_windows_and_label_shifts(fitted, window):
    one = fitted(window=window)
    stream, expected = StreamDecoder(one), one.predict(NEW)
    assert stream.look_ahead_ms == 50 * (window[1] - window[3]) == 50 * stream.delay_frames
    found = streamed(stream, NEW)
    assert len(found) == 240 - sum(window[:2])
    if window[3] > window[1]:  # the time of a frame that is yet to come is reckoned by the rate
        pd.testing.assert_series_equal(found["time_s"][:-2], expected["time_s"], atol=0.011, rtol=0)
        expected["time_s"] = found["time_s"]
    require_equal(found, expected)


AHEAD = {"published": "MovingMeanBaseline.*MinMax.*TrailingBaseline.*ScaleByTraining",
         "raw": "MinMax.*ScaleByTraining", "trailing": "MinMax, which looks at the whole",
         "centred_scaled": "MovingMeanBaseline, which looks at 24 later"}
BLOOD = {"smooth_frames": 5, "how": "previous", "smoothing": "trailing"}
STEPS = {name: {"name": name} for name in RECIPES} | {
    "rois": {"name": "causal", "only_rois": (1, 4)}, "components": {"name": "events", "components": {"n": 3}},
    "components of each": {"name": "scaled", "components": {"n": 3, "fitted_on": "each recording"}},
    "blood": {"name": "causal", "blood": BLOOD},
    "blood late": {"name": "scaled", "blood": BLOOD | {"offset_frames": -0.5}},
    "blood ahead": {"name": "scaled", "blood": BLOOD | {"how": "linear"}}}
AHEAD |= {"components of each": "Components.*fitted on 'training frames'",
          "blood ahead": "AlignControl, which looks at 1"}


@pytest.mark.parametrize("name", STEPS)
def test_every_preprocessing_is_streamed_or_refused_by_name(fitted, name):
    one = fitted("logistic", recipe=STEPS[name])
    if name in AHEAD:
        with pytest.raises(ParameterError, match=AHEAD[name]):
            StreamDecoder(one)
        return
    # A huge frame leaves nothing behind.
    rough = replace(NEW, signal=NEW.signal + 1e4 * (np.arange(240) == 60)[:, None])
    for recorded in (NEW, rough):
        require_equal(streamed(StreamDecoder(one), recorded), one.predict(recorded))


@settings(deadline=None, max_examples=25)
@given(missing=st.sets(st.integers(0, 79), max_size=9), future=st.integers(0, 2))
def test_no_window_lies_across_frames_that_are_missing(fitted, missing, future):
    one, kept = fitted("gru", recipe="scaled", window=(4, future, 1, 0)), sorted(set(range(80)) - missing)
    found = streamed(StreamDecoder(one, on_gap="restart"), NEW, kept)
    carried = streamed(StreamDecoder(one), NEW, kept)
    whole = [c for c in range(80) if set(range(c - 4, c + future + 1)) <= set(kept)]
    assert (found["frame"].tolist() if len(found) else []) == whole
    pd.testing.assert_frame_equal(found, carried, atol=1e-6)  # scaled keeps nothing
    if whole:
        expected = one.predict(NEW).set_index("frame").loc[whole, "probability"]
        assert np.allclose(found["probability"], expected, atol=1e-6)


def test_gaps_by_rule_and_counted(fitted):
    one, numbers = fitted(), [*range(100), *range(103, 180), *range(180, 240)]
    restart, carry, hold = (StreamDecoder(one, **how) for how in (
        {"on_gap": "restart"}, {}, {"hold_frames": 3}))
    # restart: as two recordings; carry: the baseline goes on over the frames that came, as if none were missing
    after = one.predict(replace(NEW, signal=NEW.signal[103:], times_s=NEW.times_s[103:], stretches=()))
    after["frame"] += 103
    require_equal(streamed(restart, NEW, numbers).query("frame > 103"), after)
    joined = one.predict(replace(NEW, signal=NEW.signal[numbers], times_s=NEW.times_s[numbers], stretches=()))
    joined["frame"] = np.array(numbers)[joined["frame"]]
    found = streamed(carry, NEW, numbers)
    require_equal(found, joined[~joined["frame"].between(103, 106)].reset_index(drop=True))
    assert carry.counts | {"decoded": 0} == {"received": 237, "decoded": 0, "repeated": 0, "late": 0, "gaps": 1,
                                             "missing": 3, "held": 0, "restarts": 0}
    # hold: the last frame, preprocessed, stands in for three, and decoding goes on at once
    assert len(streamed(hold, NEW, numbers)) == 237 - 4 and hold.counts["held"] == 3
    assert len(found) == 237 - 2 * 4


def test_a_decoder_from_outside_starts_anew_after_a_gap(fitted):
    one = fitted(Online(Counts()), recipe="scaled")
    found = streamed(StreamDecoder(one), NEW, [*range(100), *range(103, 240)])["probability"]
    alone = one.predict(replace(NEW, signal=NEW.signal[103:], times_s=None, stretches=()))["probability"]
    assert np.allclose(found[-len(alone):], alone, atol=1e-6)


def test_repeats_late_frames_and_bad_ones_change_nothing(fitted):
    one, clean = fitted(), StreamDecoder(fitted())
    stream, found, expected = StreamDecoder(one), [], []
    for k in range(40):
        if k > 10:
            assert stream.push(NEW.signal[k] + 1, k - 1) is None and stream.push(NEW.signal[0], k - 5) is None
        for bad, said in ((NEW.signal[k, :3], r"shape \(3,\)"), (np.full(6, np.nan), "NaN"),
                          (np.array(["a"] * 6), "<U1"), (NEW.signal[:2], r"\(2, 6\)")):
            with pytest.raises(DataError, match=said):
                stream.push(bad, k)
        found.append(stream.push(NEW.signal[k], k))
        expected.append(clean.push(NEW.signal[k]))
    assert found == expected and stream.counts["repeated"] == stream.counts["late"] == 29
    assert stream.counts["received"] == 40


def test_frames_behind_which_others_wait_are_in_the_window_all_the_same(fitted):
    one = fitted("lstm")
    stream = StreamDecoder(one)
    found = {k: stream.push(frame, k, decode=k % 3 == 0) for k, frame in enumerate(NEW.signal)}
    given = {k: each.value for k, each in found.items() if each is not None}
    expected = one.predict(NEW).set_index("frame")["probability"]
    assert sorted(given) == [k for k in range(4, 240) if k % 3 == 0]
    assert all(abs(value - expected[k]) < 1e-6 for k, value in given.items())


@pytest.mark.parametrize(("decoder", "recipe"), [("gru", "causal"), ("lstm", "events"), ("logistic_window", "causal"),
                                                 ("gru", STEPS["blood"])], ids=str)
def test_state_is_saved_and_restored(fitted, tmp_path, decoder, recipe):
    one = fitted(decoder, recipe=recipe, window=(6, 2, 1, 0))
    first, numbers = StreamDecoder(one, hold_frames=2), [*range(57), *range(59, 120)]
    before = streamed(first, NEW, numbers[:58])
    first.save(tmp_path / "state")
    second = StreamDecoder(one, hold_frames=2)
    second.restore(tmp_path / "state")
    whole = streamed(StreamDecoder(one, hold_frames=2), NEW, numbers)
    for stream in (first, second):
        pd.testing.assert_frame_equal(streamed(stream, NEW, numbers[58:]), whole[len(before):].reset_index(drop=True),
                                      check_exact=True)
    assert first.counts == second.counts
    with pytest.raises(DataError, match="another decoder"):
        StreamDecoder(fitted("rnn")).restore(tmp_path / "state")
    with pytest.raises(DataError, match=r"a file of StreamDecoder\.save"):
        second.restore(__file__)
    with pytest.raises(ParameterError, match="on_gap"):
        StreamDecoder(one, on_gap="skip")
