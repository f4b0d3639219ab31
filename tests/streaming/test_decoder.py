"""Frame by frame the same numbers as on the whole recording, and nothing across a gap."""


import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calcium_decoding import models
from calcium_decoding.errors import DataError
from calcium_decoding.preprocessing import WindowSet, WindowSpec
from calcium_decoding.streaming import StreamDecoder

N_ROI = 4
SIGNAL = np.random.default_rng(5).normal(size=(80, N_ROI)).astype(np.float32)
RUN = (SIGNAL[:, 0] > 0).astype(np.uint8)


def windows(spec, ranges=((0, 80),)):
    return WindowSet.build([("r", SIGNAL, RUN, list(ranges))], spec)


def trained(name, spec):
    decoder = models.build(name, N_ROI, spec.past_frames, seed=3)
    if hasattr(decoder, "fit"):
        decoder.fit(windows(spec))
    return decoder


@pytest.mark.parametrize("name", ["gru", "lstm_keras", "logistic", "logistic_window", "time_only"])
@pytest.mark.parametrize("spec", [WindowSpec(5, 0), WindowSpec(5, 3), WindowSpec(6, 2, label_shift_frames=4)])
def test_a_decoder_gives_the_numbers_of_the_whole_recording(name, spec):
    decoder = trained(name, spec)
    stream = StreamDecoder(decoder, spec, N_ROI)
    given_at = [(k, found) for k, frame in enumerate(SIGNAL) if (found := stream.push(frame)) is not None]
    assert [k for k, _ in given_at] == list(range(spec.length - 1, 80))
    assert all(k - found.frame == spec.future_frames - spec.label_shift_frames == stream.delay_frames
               for k, found in given_at)
    whole = windows(spec)  # a label shift leaves out windows whose label lies beyond the end
    values = {found.frame: found.value for _, found in given_at}
    expected = models.predict(decoder, whole)
    np.testing.assert_allclose([values[c + spec.label_shift_frames] for c in whole.centre], expected, rtol=0, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.sets(st.integers(0, 79), max_size=6), st.integers(0, 4), st.integers(0, 4))
def test_no_window_lies_across_frames_that_are_missing(missing, past, future):
    spec = WindowSpec(past, future)
    decoder = models.build("gru", N_ROI, past, seed=3)
    stream = StreamDecoder(decoder, spec, N_ROI)
    found = [one for k in range(80) if k not in missing and (one := stream.push(SIGNAL[k], k)) is not None]
    kept = [k for k in range(80) if k not in missing]
    whole = [c for c in range(80) if all(k in kept for k in range(c - past, c + future + 1))]
    assert [one.frame for one in found] == whole


def test_what_cannot_be_decoded_is_refused_and_nothing_is_lost():
    stream = StreamDecoder(models.build("gru", N_ROI, 2, seed=3), WindowSpec(2, 0), N_ROI)
    stream.push(SIGNAL[0], 10)
    stream.push(SIGNAL[1], 11)
    for bad, number, said in ((SIGNAL[2, :3], 12, r"shape \(3,\)"), (np.full(N_ROI, np.nan), 12, "NaN"),
                              (SIGNAL[2], 11, "came before")):
        with pytest.raises(DataError, match=said):
            stream.push(bad, number)
    assert stream.push(SIGNAL[2]).frame == 12
