"""Recording and Dataset refuse what a decoder would stumble over, and say what, where and why."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calcium_decoding.data.recording import Dataset, Recording, Refusal
from calcium_decoding.errors import CalciumDecodingError, DataError

T, N_ROI = 20, 3


def make(signal=None, run=None, animal="mouse 1", session="a", rate_hz=30.0, **about):
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(T, N_ROI)) if signal is None else signal
    run = rng.integers(0, 2, T) if run is None else run
    return Recording(signal, {"run": run}, rate_hz, animal, session, **about)


def refuses(found, expected, **arguments):
    with pytest.raises(DataError) as caught:
        make(source="file.mat", **arguments)
    assert caught.value.where == "file.mat"
    assert found in caught.value.found and expected in caught.value.expected
    assert caught.value.remedy
    return caught.value


def test_casts_names_and_measures():
    recording = make(signal=np.arange(T * N_ROI).reshape(T, N_ROI), run=np.ones((1, T)), part="trial 2")
    assert recording.signal.dtype == np.float32 and recording.signal.flags.c_contiguous
    assert recording.run.dtype == np.uint8 and recording.run.shape == (T,)
    assert recording.roi_names == ("1", "2", "3")
    assert recording.id == "mouse 1/a/trial 2" and make().id == "mouse 1/a"
    assert (recording.n_frames, recording.n_roi) == (T, N_ROI)


def test_arrays_are_read_only():
    recording = make()
    for values in (recording.signal, recording.run):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite_is_refused_with_its_place(bad):
    signal = np.zeros((T, N_ROI))
    signal[7, 2] = bad
    refuses("frame 7, column 2", "finite", signal=signal)
    run = np.zeros(T)
    run[5] = bad
    refuses("'run', the first at frame 5", "finite", run=run)


@pytest.mark.parametrize("shape", [(0, N_ROI), (T, 0), (T,), (2, T, N_ROI)])
def test_signal_of_another_shape_is_refused(shape):
    refuses(str(shape), "(T, n_roi)", signal=np.zeros(shape), run=np.zeros(T))


def test_swapped_axes_are_told_from_unequal_lengths():
    swapped = refuses("(3, 20)", "time on the first axis", signal=np.zeros((N_ROI, T)))
    assert "transpose" in swapped.remedy
    unequal = refuses("20 frames of signal but 19 values of 'run'", "equal lengths", run=np.zeros(T - 1))
    assert "transpose" not in unequal.remedy


@pytest.mark.parametrize("level", [2, -1, 0.5])
def test_label_other_than_0_and_1_is_refused(level):
    run = np.zeros(T)
    run[3] = level
    refuses(str(level), "0 for rest and 1 for run", run=run)


@pytest.mark.parametrize("values", [np.zeros((T, N_ROI), complex), np.full((T, N_ROI), "a"),
                                    np.full((T, N_ROI), None)])
def test_what_is_not_a_real_number_is_refused(values):
    refuses(str(values.dtype), "real numbers", signal=values)


@pytest.mark.parametrize("rate_hz", [0, -1, np.nan])
def test_rate_must_be_positive(rate_hz):
    refuses(str(rate_hz), "positive", rate_hz=rate_hz)


def test_number_of_roi_names_must_fit():
    refuses("2 ROI names for 3 columns", "one name a column", roi_names=("a", "b"))


def test_behaviour_of_two_dimensions_is_refused():
    refuses("(2, 20)", "one value a frame", run=np.zeros((2, T)))


def test_run_label_that_is_not_there_is_asked_for():
    recording = Recording(np.zeros((T, N_ROI)), {"speed_cm_s": np.zeros(T)}, 30, "mouse 1", "a")
    with pytest.raises(DataError, match=r"mouse 1/a: found behaviour \['speed_cm_s'\]; expected a run label"):
        _ = recording.run


def test_without_a_source_errors_name_the_recording():
    with pytest.raises(DataError, match=r"^mouse 1/a: found signal of shape"):
        make(signal=np.zeros((0, N_ROI)))


@given(change=st.sampled_from(["signal", "run", "animal", "session", "rate_hz"]),
       frame=st.integers(0, T - 1), roi=st.integers(0, N_ROI - 1))
def test_hash_sees_every_change(change, frame, roi):
    before = make()
    signal, run = before.signal.copy(), before.run.copy()
    signal[frame, roi] += change == "signal"
    run[frame] ^= change == "run"
    about = {"animal": "mouse 2", "session": "b", "rate_hz": 20.0}
    after = make(signal, run, **{name: value for name, value in about.items() if name == change})
    assert after.content_hash() != before.content_hash()
    assert make(before.signal.copy(), before.run.copy()).content_hash() == before.content_hash()


def test_dataset_keeps_order_and_finds_animals():
    recordings = tuple(make(animal=animal, session=session)
                       for animal, session in [("mouse 2", "b"), ("mouse 1", "b"), ("mouse 2", "a")])
    dataset = Dataset("set", recordings)
    assert dataset.animals == ("mouse 2", "mouse 1")
    assert [recording.session for recording in dataset.of_animal("mouse 2")] == ["b", "a"]
    assert dataset.content_hash() == Dataset("set", recordings[::-1]).content_hash()
    assert dataset.content_hash() != Dataset("set", recordings[:2]).content_hash()


def test_dataset_is_simulated_if_any_recording_is():
    real, simulated = make(), make(session="b", simulated=True)
    assert not Dataset("set", (real,)).simulated
    assert Dataset("set", (real, simulated)).simulated


def test_dataset_without_recordings_tells_what_was_refused():
    with pytest.raises(DataError, match=r"set: found no usable recording \(mouse 1/a: cut short\)"):
        Dataset("set", (), (Refusal("mouse 1/a", "cut short"),))
    with pytest.raises(DataError, match="no sessions at all"):
        Dataset("set", ())


def test_dataset_refuses_two_recordings_of_one_name():
    with pytest.raises(DataError, match="more than one recording called mouse 1/a;"):
        Dataset("set", (make(), make(), make(session="b")))


def test_errors_are_caught_by_either_name():
    for kind in (CalciumDecodingError, ValueError):
        with pytest.raises(kind):
            make(rate_hz=0)
