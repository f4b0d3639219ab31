"""The leak audit: each planted leak is refused by name, what is clean passes, intervals agree with counting frames."""

import dataclasses
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from sklearn.model_selection import KFold, LeaveOneGroupOut

from calcium_decoding import splits
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import DataError, LeakError, ParameterError
from calcium_decoding.preprocessing import MinMax, MovingMeanBaseline, Pipeline, ScaleByTraining, TrailingBaseline
from calcium_decoding.preprocessing.transforms import Transform
from calcium_decoding.preprocessing.windows import WindowSpec, valid_centres
from calcium_decoding.splits import ROLES, Fold, Segment, Split
from calcium_decoding.splits.audit import (
    FittedStep,
    Intervals,
    audit,
    check_cv,
    check_samples,
    duplicates,
    least_distance,
    sample_intervals,
)
from calcium_decoding.splits.audit.footprints import common_frames

SPEC = WindowSpec(3, 2)
NOTHING = Pipeline([])


def recording(animal, session, signal=None, n_frames=200, n_roi=2, seed=None):
    if signal is None:
        seed = zlib.crc32(f"{animal}/{session}".encode()) if seed is None else seed
        signal = np.random.default_rng(seed).normal(size=(n_frames, n_roi))
    run = np.arange(len(signal)) // 10 % 2
    return Recording(signal, {"run": run}, 30.0, animal, session)


def dataset(n_animals=1, n_sessions=1, n_frames=200, n_roi=2):
    return Dataset("test", tuple(recording(f"m{a}", f"s{s}", None, n_frames, n_roi, seed=100 * a + s)
                                 for a in range(n_animals) for s in range(n_sessions)))


def split_of(train, valid, test, claim="within session"):
    segments = [[Segment(*s) for s in role] for role in (train, valid, test)]
    return Split("by hand", [Fold("f1", *segments, test_group="g")], claim)


# Training, validation and test of one recording of 200 frames, 20 frames apart.
BLOCKS = ([("m0/s0", 0, 60)], [("m0/s0", 80, 120)], [("m0/s0", 140, 200)])
ACROSS = ([("m0/s0", 0, 200)], [("m1/s0", 0, 200)], [("m2/s0", 0, 200)], "across animals")


# --- planted: overlapping windows


def test_overlapping_windows_dealt_at_random_are_refused_and_counted():
    data = dataset(2)
    split = splits.random_windows(data, SPEC)
    with pytest.raises(LeakError, match=r"frames \d+ \.\. \d+ touched by windows of both train and valid: (\d+) of \1"):
        audit(split, SPEC, NOTHING, data)
    passed = audit(split, SPEC, NOTHING, data, allow_leak=True)
    assert passed.claim == "none (LEAKY)" and len(passed.leaks) == 2
    assert "m0/s0" in passed.leaks[0] and "overlap" in passed.leaks[0]


def marked_leaky(split):
    folds = [dataclasses.replace(fold, name=f"LEAKY {fold.name}") for fold in split.folds]
    return dataclasses.replace(split, folds=folds, claim=splits.LEAKY)


def test_no_split_passes_by_permission_alone():
    data = dataset()
    overlapping = split_of([("m0/s0", 0, 60)], [("m0/s0", 70, 100)], [("m0/s0", 95, 200)])
    with pytest.raises(LeakError, match=r"frames 95 \.\. 99"):
        audit(overlapping, SPEC, NOTHING, data, allow_leak=True)
    marked = marked_leaky(overlapping)
    with pytest.raises(LeakError, match=r"frames 95 \.\. 99"):
        audit(marked, SPEC, NOTHING, data)
    assert "frames 95 .. 99" in audit(marked, SPEC, NOTHING, data, allow_leak=True).leaks[0]
    clean = marked_leaky(split_of(*BLOCKS))  # marked, but nothing is found: it claims nothing all the same
    with pytest.raises(LeakError, match="marked as leaky"):
        audit(clean, SPEC, NOTHING, data)


class Blocks:
    """A splitter as scikit-learn's: five blocks of rows, 31 rows on each side of the tested one left out."""

    def split(self, X, y=None, groups=None):
        rows = np.arange(len(X))
        for test in np.array_split(rows, 5):
            yield rows[(rows < test[0] - 31) | (rows > test[-1] + 31)], test


def test_overlapping_windows_of_any_arrays_are_refused_with_recording_and_frames():
    ends = np.arange(31, 1000)
    windows = Intervals.around("day 1", ends, window=(31, 0))
    order = np.random.default_rng(0).permutation(len(ends))
    with pytest.raises(LeakError, match=r"fold 0.*of \d+ test samples.*day 1 frames \d+ \.\. \d+.*window \(31 back"):
        check_cv(KFold(5, shuffle=True, random_state=0), windows)
    with pytest.raises(LeakError, match="145 of 145 test samples"):
        check_samples(windows[order[145:]], windows[order[:145]])
    assert check_cv(Blocks(), windows) == [0] * 5
    with pytest.raises(LeakError, match="closer than 40 frames"):
        check_cv(Blocks(), windows, embargo_frames=40)
    with pytest.raises(LeakError, match="29 of 29"):
        # Without a gap of a window the last windows before a block share frames with its first ones.
        check_samples(windows[:500], windows[501:530])
    days = Intervals(np.repeat(["day 1", "day 2"], 500), np.tile(np.arange(500), 2), np.tile(np.arange(500), 2) + 32)
    assert check_cv(LeaveOneGroupOut(), days, groups=days.recording) == [None, None]


# --- planted: scaler, PCA, baseline fitted on test data


@pytest.mark.parametrize("name", ["scaler", "PCA", "baseline"])
@pytest.mark.parametrize("on", ["test", ("train", "test"), ("train", "valid", "test")])
def test_a_step_fitted_on_the_test_is_refused_by_name(name, on):
    data = dataset()
    with pytest.raises(LeakError, match=rf"fold f1.*step '{name}'.*m0/s0 frames 140 \.\. 199"):
        audit(split_of(*BLOCKS), SPEC, NOTHING, data, fitted=[FittedStep(name, on)])
    step = FittedStep(name, ("train", "valid"))
    found = audit(split_of(*BLOCKS), SPEC, NOTHING, data, fitted=[step])
    assert found.fitted == (step,)
    assert step.segments(split_of(*BLOCKS).folds[0]) == (Segment("m0/s0", 0, 60), Segment("m0/s0", 80, 120))


def test_a_step_fitted_on_named_frames_is_refused_where_they_meet_the_test():
    data = dataset()
    with pytest.raises(LeakError, match=r"step 'PCA'.*frames 0 \.\. 199.*frames 140 \.\. 199 of recording m0/s0"):
        audit(split_of(*BLOCKS), SPEC, NOTHING, data, fitted=[FittedStep("PCA", Segment("m0/s0", 0, 200))])
    clear = FittedStep("PCA", Segment("m0/s0", 0, 135))
    audit(split_of(*BLOCKS), SPEC, NOTHING, data, fitted=[clear])
    # The same frames reach the test through a trailing baseline of the test windows.
    with pytest.raises(LeakError, match=r"step 'PCA'.*reaches frames 131 \.\. 134"):
        audit(split_of(*BLOCKS), SPEC, Pipeline([TrailingBaseline(10)]), data, fitted=[clear])
    with pytest.raises(DataError, match="step 'PCA' fitted on m9/s0"):
        audit(split_of(*BLOCKS), SPEC, NOTHING, data, fitted=[FittedStep("PCA", Segment("m9/s0", 0, 10))])


def test_a_step_of_one_fold_is_checked_in_that_fold_alone():
    data = dataset()
    split = splits.blocked(data, 4, 10)
    on_block_1 = Segment("m0/s0", 0, 50)
    with pytest.raises(LeakError, match=r"test=m0/s0,block=1"):
        audit(split, SPEC, NOTHING, data, fitted=[FittedStep("PCA", on_block_1)])
    audit(split, SPEC, NOTHING, data, fitted=[FittedStep("PCA", on_block_1, fold="test=m0/s0,block=3")])


def test_a_baseline_over_each_whole_recording_is_refused_within_sessions_only():
    step = FittedStep("percentile baseline", "each recording")
    with pytest.raises(LeakError, match="step percentile baseline, fitted on each recording as a whole"):
        audit(split_of(*BLOCKS), SPEC, NOTHING, dataset(), fitted=[step])
    audit(split_of(*ACROSS), SPEC, NOTHING, dataset(3), fitted=[step])


def test_preprocessing_that_declares_nothing_the_audit_knows_is_refused():
    class PcaOfEverything(Transform):
        fitted_on = "all recordings together"

    with pytest.raises(ParameterError, match=r"PcaOfEverything.*all recordings together"):
        audit(split_of(*ACROSS), SPEC, Pipeline([PcaOfEverything()]), dataset(3))


# --- planted: centred baseline, smoothed label


def test_a_centred_baseline_over_a_border_is_refused_with_step_and_frames():
    data = dataset()
    audit(split_of(*BLOCKS), SPEC, Pipeline([MovingMeanBaseline(20)]), data)
    with pytest.raises(LeakError, match=r"frames \d+ \.\. \d+ touched.*MovingMeanBaseline.*30 frames back and 30"):
        audit(split_of(*BLOCKS), SPEC, Pipeline([MovingMeanBaseline(61)]), data)


def test_a_smoothed_label_over_a_border_is_refused_with_step_and_frames():
    # Labels are of centres 3 .. 57 and 83 .. 117; 13 frames ahead and 13 back meet, 12 and 12 do not.
    data = dataset()
    audit(split_of(*BLOCKS), SPEC, NOTHING, data, label_smoothing_frames=(12, 12))
    with pytest.raises(LeakError, match=r"frames 70 .* smoothing of the label, which reaches 13 frames back and 13"):
        audit(split_of(*BLOCKS), SPEC, NOTHING, data, label_smoothing_frames=(13, 13))
    with pytest.raises(LeakError, match="smoothing of the label"):
        audit(split_of(*BLOCKS), SPEC, NOTHING, data, label_smoothing_frames=(15, 14))
    split = splits.build("blocked", data, SPEC, NOTHING, n_blocks=3, label_smoothing_frames=(8, 7))
    audit(split, SPEC, NOTHING, data, label_smoothing_frames=(8, 7))
    with pytest.raises(LeakError, match="smoothing of the label"):
        audit(split, SPEC, NOTHING, data, label_smoothing_frames=(16, 15))


def touched(segment, spec, pipeline, smoothing, n_frames):
    """For each sample the frames that it touches, counted one by one; the hull of window and label."""
    found = []
    for t in valid_centres(segment.start, segment.stop, spec):
        frames = {i for c in range(t - spec.past_frames, t + spec.future_frames + 1)
                  for i in (c - pipeline.look_back_frames, c + pipeline.look_ahead_frames)}
        label = t + spec.label_shift_frames
        frames |= {label - smoothing[0], label + smoothing[1]}
        found.append({i for i in range(int(min(frames)), int(max(frames)) + 1) if 0 <= i < n_frames})
    return found


specs = st.builds(WindowSpec, st.integers(0, 4), st.integers(0, 4), st.integers(1, 3), st.integers(-7, 7))
pipelines = st.builds(lambda a, b: Pipeline([MovingMeanBaseline(a), TrailingBaseline(b)]), st.integers(1, 9),
                      st.integers(1, 9))
smoothings = st.tuples(st.integers(0, 9), st.integers(0, 9))


@settings(deadline=None)
@given(start=st.integers(0, 40), length=st.integers(12, 40), spec=specs, pipeline=pipelines, smoothing=smoothings)
def test_the_interval_of_each_sample_is_what_it_touches(start, length, spec, pipeline, smoothing):
    segment = Segment("a", start, start + length)
    found = sample_intervals([segment], spec, pipeline, {"a": 90}, smoothing)
    expected = [("a", min(frames), max(frames) + 1) for frames in touched(segment, spec, pipeline, smoothing, 90)]
    assert [found[i] for i in range(len(found))] == expected


@settings(deadline=None)
@given(gap=st.integers(0, 25), spec=specs, pipeline=pipelines, smoothing=smoothings)
def test_the_audit_refuses_exactly_where_frames_meet(gap, spec, pipeline, smoothing):
    data = dataset()
    roles = [[("m0/s0", 0, 50)], [("m0/s0", 50 + gap, 100 + gap)], [("m0/s0", 100 + 2 * gap, 150 + 2 * gap)]]
    frames = [set().union(*touched(Segment(*role[0]), spec, pipeline, smoothing, 200)) for role in roles]
    leaks = frames[0] & frames[1] or frames[1] & frames[2] or frames[0] & frames[2]
    if leaks:
        with pytest.raises(LeakError, match="m0/s0"):
            audit(split_of(*roles), spec, pipeline, data, smoothing)
    else:
        audit(split_of(*roles), spec, pipeline, data, smoothing)


def test_an_embargo_is_demanded_beyond_what_is_touched():
    data = dataset()
    assert audit(split_of(*BLOCKS), SPEC, NOTHING, data, embargo_frames=20).folds[0].spare_frames == 20
    with pytest.raises(LeakError, match="20 frames between what train and valid touch"):
        audit(split_of(*BLOCKS), SPEC, NOTHING, data, embargo_frames=21)


# --- planted: copies


def test_the_same_session_under_two_names_trimmed_and_rescaled_is_refused():
    data = dataset(3, n_frames=400, n_roi=20)
    original = data.recordings[2].signal
    low, high = original[37:337].min(axis=0), original[37:337].max(axis=0)
    copy = recording("m0", "again", (original[37:337] - low) / (high - low))
    both = Dataset("d", (*data.recordings, copy))
    split = split_of([("m0/s0", 0, 400), ("m0/again", 0, 300)], [("m1/s0", 0, 400)], [("m2/s0", 0, 400)],
                     "across animals")
    message = r"frames 3. \.\. 33. of m2/s0 \(test\) a rescaled copy of frames \d+ \.\. 29. of m0/again \(train\)"
    with pytest.raises(LeakError, match=message):
        audit(split, SPEC, NOTHING, both)
    without = split_of([("m0/s0", 0, 400)], [("m1/s0", 0, 400)], [("m2/s0", 0, 400)], "across animals")
    audit(without, SPEC, NOTHING, both)


@pytest.mark.parametrize("n_roi, length, gain, how", [
    (40, 1, 1.0, "equal"), (40, 60, 1.0, "equal"), (40, 60, 2.5, "rescaled"), (5, 120, 1.0, "rescaled"),
    (1, 400, 0.3, "rescaled")])
def test_duplicated_frames_in_two_roles_are_refused(n_roi, length, gain, how):
    rng = np.random.default_rng(1)
    signal = rng.normal(size=(1500, n_roi)).astype(np.float32)
    signal[950:950 + length] = gain * signal[40:40 + length] + (0 if gain == 1 else 3)
    data = Dataset("d", (recording("m0", "s0", signal),))
    split = split_of([("m0/s0", 0, 500)], [("m0/s0", 600, 800)], [("m0/s0", 900, 1500)])
    first, last = 40, 40 + length - 1
    how = "equal to" if how == "equal" else "a rescaled copy of"
    match = rf"frames {first} \.\. {last} of m0/s0 \(train\) {how} frames 950 \.\. {950 + length - 1} of m0/s0 \(test\)"
    with pytest.raises(LeakError, match=match):
        audit(split, SPEC, NOTHING, data)
    # The copy in the gap, or both in one role, is nobody's advantage.
    audit(split_of([("m0/s0", 560, 800)], [("m0/s0", 820, 940)], [("m0/s0", 1360, 1500)]), SPEC, NOTHING, data)
    audit(split_of([("m0/s0", 0, 1100)], [("m0/s0", 1360, 1420)], [("m0/s0", 1430, 1500)]), SPEC, NOTHING,
          Dataset("d", (recording("m0", "s0", signal[:1500]),)))


def independent(kind, rng, n_frames=3000, n_roi=50):
    if kind == "white":
        return rng.normal(size=(n_frames, n_roi))
    if kind == "slow, one common source":
        slow = lfilter([1], [1, -0.98], rng.normal(size=(n_frames, 1)), axis=0)
        return slow * rng.normal(size=n_roi) + 1e-3 * rng.normal(size=(n_frames, n_roi))
    if kind == "coarse":
        return np.round(rng.normal(size=(n_frames, n_roi)))
    events = rng.random((n_frames, n_roi)) < 0.02
    if kind == "binary events":
        return events.astype(float)
    if kind == "denoised":  # noiseless decays: all pieces of an exponential are copies of one another
        return lfilter([1], [1, -0.95], events * rng.gamma(2.0, size=events.shape), axis=0)
    return np.exp(-np.arange(n_frames)[:, None] / 900) * rng.gamma(2.0, size=n_roi)


@pytest.mark.parametrize("n_roi", [3, 50])
@pytest.mark.parametrize("kind", ["white", "slow, one common source", "coarse", "binary events", "denoised",
                                  "bleaching without noise"])
def test_independent_recordings_are_no_copies(kind, n_roi):
    rng = np.random.default_rng(2)
    data = Dataset("d", tuple(recording("m", f"s{i}", independent(kind, rng, n_roi=n_roi)) for i in range(4)))
    assert duplicates(data) == ()


@pytest.mark.parametrize("kind", ["white", "slow, one common source", "binary events", "denoised"])
def test_a_rescaled_copy_is_found_in_each_kind_of_signal(kind):
    rng = np.random.default_rng(3)
    signals = [independent(kind, rng) for _ in range(3)]
    signals.append(signals[1][500:1500] * rng.gamma(2.0, size=50) + 2)
    data = Dataset("d", tuple(recording("m", f"s{i}", x) for i, x in enumerate(signals)))
    found = [copy for copy in duplicates(data) if copy.how == "rescaled"]
    assert {(c.one.recording, c.other.recording, c.one.start - c.other.start) for c in found} == {
        ("m/s1", "m/s3", 500)}
    assert sum(len(c.one) for c in found) > 600  # where a silent stretch is lost to rounding, the rest is found


# --- planted: the same animal, threshold, early stopping


def test_a_step_that_saw_the_tested_animal_in_another_session_is_refused_across_animals():
    data = dataset(3, 2)
    other = FittedStep("PCA", Segment("m2/s1", 0, 200))
    with pytest.raises(LeakError, match="step 'PCA', fitted on frames of m2, tested in a claim across animals"):
        audit(split_of(*ACROSS), SPEC, NOTHING, data, fitted=[other])
    audit(split_of(*ACROSS[:3], "across sessions"), SPEC, NOTHING, data, fitted=[other])
    with pytest.raises(LeakError, match="animal m2 in the test and in training"):
        audit(split_of([("m2/s1", 0, 200)], *ACROSS[1:]), SPEC, NOTHING, data)


def test_a_threshold_chosen_on_test_scores_is_refused():
    data = dataset(3)
    with pytest.raises(LeakError, match=r"step 'threshold', fitted on the test: m2/s0 frames 0 \.\. 199"):
        audit(split_of(*ACROSS), SPEC, NOTHING, data, fitted=[FittedStep("threshold", "test")])
    audit(split_of(*ACROSS), SPEC, NOTHING, data, fitted=[FittedStep("threshold", "valid")])
    windows = Intervals.around("day 1", np.arange(31, 1000), window=(31, 0))
    train, valid, test = windows[:400], windows[450:600], windows[650:]
    assert check_samples(train, test, fitted={"scaler": train, "threshold": valid}) == 219
    with pytest.raises(LeakError, match="step 'threshold' touches too, in recording day 1"):
        check_samples(train, test, fitted={"scaler": train, "threshold": test})


def test_early_stopping_on_test_data_is_refused():
    data = dataset(3)
    with pytest.raises(LeakError, match="step 'early stopping', fitted on the test"):
        audit(split_of(*ACROSS), SPEC, NOTHING, data, fitted=[FittedStep("early stopping", "test")])
    same = split_of(ACROSS[0], ACROSS[2], ACROSS[2], "across animals")
    with pytest.raises(LeakError, match="animal m2 in the test and in training or validation"):
        audit(same, SPEC, NOTHING, data)
    with pytest.raises(LeakError, match=r"frames 140 \.\. 199 in segments of both valid and test"):
        audit(split_of(BLOCKS[0], BLOCKS[2], BLOCKS[2]), SPEC, NOTHING, data)


# --- the object


def test_the_audit_tells_its_windows_and_fitted_steps():
    pipeline = Pipeline([TrailingBaseline(5), ScaleByTraining()])
    found = audit(split_of(*BLOCKS), SPEC, pipeline, dataset(), label_smoothing_frames=(2, 1),
                  fitted=[FittedStep("threshold", "valid")])
    intervals = sample_intervals([Segment(*BLOCKS[2][0])], SPEC, pipeline, {"m0/s0": 200}, (2, 1))
    assert len(intervals) == found.folds[0].n_windows["test"] == 55
    assert intervals[0] == ("m0/s0", 136, 146) and intervals[54] == ("m0/s0", 190, 200)
    assert found.fitted == (FittedStep("ScaleByTraining", "train"), FittedStep("threshold", "valid"))
    assert found.fitted[0].fitted_on == ("train",)
    with pytest.raises(ParameterError, match="step 'PCA'"):
        FittedStep("PCA", "everything")
    whole = audit(split_of(*ACROSS), SPEC, Pipeline([MinMax()]), dataset(3))
    assert whole.fitted == (FittedStep("MinMax", "each recording"),)
    touched = sample_intervals([Segment(*ACROSS[0][0])], SPEC, Pipeline([MinMax()]), {"m0/s0": 200})
    assert touched[7] == ("m0/s0", 0, 200)


# --- interval arithmetic against sets of frames

ranges = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 60), st.integers(1, 15)), min_size=1, max_size=12)


def of(pieces):
    return Intervals([p[0] for p in pieces], [p[1] for p in pieces], [p[1] + p[2] for p in pieces])


def frames_of(piece):
    return {(piece[0], i) for i in range(piece[1], piece[1] + piece[2])}


@settings(deadline=None)
@given(one=ranges, other=ranges, embargo=st.integers(0, 6))
def test_overlaps_are_those_of_sets(one, other, embargo):
    theirs = set().union(*map(frames_of, other))
    wide = {(name, i + k) for name, i in theirs for k in range(-embargo, embargo + 1)}
    assert of(one).overlapping(of(other), embargo).tolist() == [bool(frames_of(p) & wide) for p in one]
    ours = set().union(*map(frames_of, one))
    assert {(name, i) for name, low, high in common_frames(of(one), of(other))
            for i in range(low, high + 1)} == ours & theirs
    distances = [abs(i - j) - 1 for n, i in ours for m, j in theirs if n == m]
    if not distances:
        assert least_distance(of(one), of(other)) is None
    elif ours & theirs:
        assert least_distance(of(one), of(other)) < 0
    else:
        assert least_distance(of(one), of(other)) == min(distances)


def test_intervals_that_cannot_be_are_refused():
    with pytest.raises(DataError, match="start before the stop"):
        Intervals("a", [3], [3])
    with pytest.raises(DataError, match="shapes"):
        Intervals(["a"], [3, 4], [5, 6])
    with pytest.raises(DataError, match="not seconds"):
        Intervals("a", [0.5], [1.5])
    with pytest.raises(DataError, match="n_frames"):
        Intervals.around("a", [5], minmax=(np.inf, np.inf))
    assert Intervals.around("a", [5, 9], n_frames=12, baseline=(np.inf, 2))[1] == ("a", 0, 12)
    assert len(sample_intervals([], SPEC, NOTHING, {})) == 0
    assert {role: len(getattr(split_of(*BLOCKS).folds[0], role)) for role in ROLES} == dict.fromkeys(ROLES, 1)
