"""Splits: what they promise, and leaks planted for the audit to find."""

import dataclasses
import itertools
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score

from calcium_decoding import preprocessing, splits
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import DataError, LeakError, ParameterError
from calcium_decoding.preprocessing import (
    ExponentialSmoothing,
    MinMax,
    MovingMeanBaseline,
    Pipeline,
    ScaleByTraining,
    TrailingBaseline,
)
from calcium_decoding.preprocessing.windows import WindowSet, WindowSpec, valid_centres
from calcium_decoding.splits import ROLES, Fold, Segment, Split
from calcium_decoding.splits.audit import audit, footprint

SPEC = WindowSpec(3, 2)
NOTHING = Pipeline([])


def recording(animal, session, part="", n_frames=200, seed=None, run=None):
    seed = zlib.crc32(f"{animal}/{session}/{part}".encode()) if seed is None else seed
    run = np.arange(n_frames) // 10 % 2 if run is None else run
    signal = np.random.default_rng(seed).normal(size=(n_frames, 2))
    return Recording(signal, {"run": run}, 30.0, animal, session, part)


def dataset(n_animals=5, n_sessions=3, n_parts=0, n_frames=200):
    parts = [str(i) for i in range(n_parts)] or [""]
    return Dataset("test", tuple(recording(f"m{a}", f"s{s}", part, n_frames) for a in range(n_animals)
                                 for s in range(n_sessions) for part in parts))


def split_of(train, valid, test, claim="within session"):
    segments = [[Segment(*s) for s in role] for role in (train, valid, test)]
    return Split("by hand", [Fold("f1", *segments, test_group="g")], claim)


def frames_of(fold, role):
    return {(s.recording, i) for s in getattr(fold, role) for i in range(s.start, s.stop)}


# --- builders


def test_five_animals_give_each_ordered_pair_once():
    data = dataset()
    split = splits.animal_pairs(data)
    pairs = [(fold.test_animal, fold.tags["valid_animal"]) for fold in split.folds]
    assert len(pairs) == 20 and set(pairs) == set(itertools.permutations(data.animals, 2))
    assert split.claim == "across animals"
    for fold in split.folds:
        assert fold.name == f"test={fold.test_animal},valid={fold.tags['valid_animal']}"
        assert fold.test_group == fold.test_animal
        animals = {role: {s.recording.split("/")[0] for s in getattr(fold, role)} for role in ROLES}
        assert animals["test"] == {fold.test_animal} and animals["valid"] == {fold.tags["valid_animal"]}
        assert animals["train"] == set(data.animals) - animals["test"] - animals["valid"]
        assert sum(len(s) for role in ROLES for s in getattr(fold, role)) == sum(
            r.n_frames for r in data.recordings)


def test_two_animals_are_too_few_for_pairs():
    with pytest.raises(ParameterError, match=r"2 animal\(s\)"):
        splits.animal_pairs(dataset(2))


def test_each_session_with_all_its_parts_is_the_test_once():
    data = dataset(2, 4, n_parts=2)
    split = splits.leave_one_session_out(data)
    assert split.claim == "across sessions" and len(split.folds) == 8
    assert sorted(fold.test_group for fold in split.folds) == sorted(
        f"m{a}/s{s}" for a in range(2) for s in range(4))
    for fold in split.folds:
        animal, session = fold.test_group.split("/")
        sessions = {role: {s.recording.rsplit("/", 1)[0] for s in getattr(fold, role)} for role in ROLES}
        following = f"{animal}/s{(int(session[1:]) + 1) % 4}"
        assert sessions["test"] == {fold.test_group} and sessions["valid"] == {following}
        assert sessions["train"] == {f"{animal}/s{s}" for s in range(4)} - {fold.test_group, following}
        assert len(fold.test) == len(fold.valid) == 2 and len(fold.train) == 4
    assert len(audit(split, SPEC, preprocessing.build("raw", 30), data).folds) == 8


def test_animal_with_two_sessions_is_named_as_skipped():
    data = Dataset("test", (*dataset(1, 3).recordings, recording("few", "s0"), recording("few", "s1")))
    split = splits.leave_one_session_out(data)
    assert {fold.test_animal for fold in split.folds} == {"m0"}
    assert [name for name, _ in split.skipped] == ["few"] and "2 session" in split.skipped[0][1]
    with pytest.raises(ParameterError, match=r"no folds.*m0"):
        splits.leave_one_session_out(dataset(1, 2))


def test_last_part_is_the_test():
    data = Dataset("test", (*dataset(2, 1, n_parts=4).recordings, recording("m9", "s0", "0")))
    split = splits.last_part(data)
    assert split.claim == "within session"
    assert [fold.test_group for fold in split.folds] == ["m0/s0", "m1/s0"]
    fold = split.folds[0]
    assert [s.recording for s in fold.train] == ["m0/s0/0", "m0/s0/1"]
    assert [s.recording for s in fold.valid + fold.test] == ["m0/s0/2", "m0/s0/3"]
    assert split.skipped == (("m9/s0", "1 part(s), needs 3: train, validate, test"),)
    audit(split, SPEC, preprocessing.build("causal", 30), data)


@settings(deadline=None, max_examples=80)
@given(n_frames=st.integers(100, 400), n_blocks=st.integers(3, 7), gap=st.integers(0, 30),
       n_parts=st.integers(0, 2))
def test_blocks_keep_their_distance_and_each_frame_is_tested_once(n_frames, n_blocks, gap, n_parts):
    data = dataset(1, 2, n_parts, n_frames)
    try:
        split = splits.blocked(data, n_blocks, gap)
    except ParameterError as error:
        # Refused only if validation after a gap, or training between two gaps, has no frames left.
        assert "gaps of" in error.found and n_frames // n_blocks <= 2 * gap
        return
    tested = [frame for fold in split.folds for frame in frames_of(fold, "test")]
    assert len(tested) == len(set(tested)) == sum(r.n_frames for r in data.recordings)
    for fold in split.folds:
        assert all(getattr(fold, role) for role in ROLES)
        for one, other in itertools.combinations(ROLES, 2):
            for a in getattr(fold, one):
                for b in getattr(fold, other):
                    if a.recording == b.recording:
                        assert max(a.start, b.start) - min(a.stop, b.stop) >= gap
        # Nothing but the gaps is given up.
        unused = n_frames - len({i for role in ROLES for name, i in frames_of(fold, role)
                                 if name == data.recordings[0].id})
        assert unused <= 3 * gap if fold.test[0].recording == data.recordings[0].id else unused == n_frames


def test_blocked_folds_are_of_one_session_each():
    split = splits.blocked(dataset(1, 2, 2), 4, 5)
    assert [fold.test_group for fold in split.folds] == ["m0/s0"] * 4 + ["m0/s1"] * 4
    for fold in split.folds:
        segments = fold.train + fold.valid + fold.test
        assert {s.recording.rsplit("/", 1)[0] for s in segments} == {fold.test_group}


@pytest.mark.parametrize("options", [{"n_blocks": 2}, {"n_blocks": 3.0}, {"gap_frames": -1},
                                     {"gap_frames": 90}, {"n_blocks": 300}])
def test_blocks_that_cannot_be_are_refused(options):
    with pytest.raises(ParameterError):
        splits.blocked(dataset(1, 1), **options)


def test_nested_animals_are_the_pairs_seen_from_the_test_animal():
    data = dataset(4)
    split, pairs = splits.nested_animals(data), splits.animal_pairs(data)
    assert split.folds == pairs.folds and split.regime == "nested_animals" and split.claim == "across animals"
    for animal in data.animals:
        inner = [fold.tags["valid_animal"] for fold in split.folds if fold.test_animal == animal]
        assert sorted(inner) == sorted(set(data.animals) - {animal})


def test_random_windows_are_dealt_within_class_once_each_and_say_leaky():
    data, spec = dataset(2, 1, 2, n_frames=400), WindowSpec(7, 0, 1, 2)
    split = splits.random_windows(data, spec, seed=3)
    assert split.is_leaky and split.of_centres and split.claim == "none (LEAKY)"
    assert all("LEAKY" in fold.name for fold in split.folds)
    assert [fold.test_group for fold in split.folds] == ["m0/s0", "m1/s0"]
    run = {r.id: r.run for r in data.recordings}
    for fold in split.folds:
        centres = {role: sorted(frames_of(fold, role)) for role in ROLES}
        dealt = [c for role in ROLES for c in centres[role]]
        assert sorted(dealt) == sorted((name, t) for name in run if name.startswith(fold.test_group)
                                       for t in valid_centres(0, 400, spec).tolist())
        share = {role: np.mean([run[name][t + 2] for name, t in centres[role]]) for role in ROLES}
        assert max(share.values()) - min(share.values()) < 0.01
        assert [len(centres[role]) / len(dealt) for role in ROLES] == pytest.approx([0.7, 0.15, 0.15], abs=0.01)
    assert splits.random_windows(data, spec, seed=3) == split != splits.random_windows(data, spec, seed=4)
    assert splits.build("random_windows", data, spec, NOTHING, seed=3) == split


def test_random_windows_with_a_stride_and_without_a_class():
    data = Dataset("d", (recording("m0", "s0"), recording("m1", "s0", run=np.zeros(200))))
    split = splits.random_windows(data, WindowSpec(3, 2, 4))
    assert sum(len(s) for role in ROLES for s in getattr(split.folds[0], role)) == len(valid_centres(
        0, 200, WindowSpec(3, 2, 4)))
    assert split.skipped == (("m1/s0", "0 windows with run = 1"),)
    licks = [dataclasses.replace(r, behaviour={"lick": r.run}) for r in data.recordings]
    licking = splits.random_windows(Dataset("d", tuple(licks)), WindowSpec(3, 2, 4), label="lick")
    assert licking.folds == split.folds and licking.skipped == (("m1/s0", "0 windows with lick = 1"),)


def test_random_windows_are_dealt_within_the_classes_of_any_behaviour():
    kinds = np.arange(300) // 10 % 3
    data = Dataset("d", (dataclasses.replace(recording("m0", "s0", n_frames=300), behaviour={"kind": kinds}),))
    fold = splits.random_windows(data, SPEC, label="kind").folds[0]
    shares = [[np.mean([kinds[t] == k for _, t in frames_of(fold, role)]) for k in range(3)] for role in ROLES]
    np.testing.assert_allclose(shares, 1 / 3, atol=0.03)
    with pytest.raises(ParameterError, match=r"no folds.*no behaviour 'run'"):
        splits.random_windows(data, SPEC)
    wide = splits.blocked(data, 3, 0, 1.0, label="kind")
    assert wide == splits.blocked(data, 3, splits.embargo_frames(data, 1, "kind"))


def test_only_a_leaky_split_may_be_of_centres():
    fold = splits.blocked(dataset(1, 1), 4, 3).folds[0]
    with pytest.raises(ParameterError, match="centres"):
        Split("x", [fold], "within session", of_centres=True)
    assert Split("x", [dataclasses.replace(fold, name=f"LEAKY {fold.name}")], splits.LEAKY, of_centres=True).is_leaky


# --- scikit-learn


def windows_of(data, spec):
    return WindowSet.build([(r.id, r.signal, r.run, [(0, r.n_frames)]) for r in data.recordings], spec)


@settings(deadline=None, max_examples=30)
@given(past=st.integers(0, 4), future=st.integers(0, 4), stride=st.integers(1, 3), shift=st.integers(-5, 5),
       gap=st.integers(0, 8))
def test_folds_as_indices_are_the_windows_inside_the_segments(past, future, stride, shift, gap):
    spec, data = WindowSpec(past, future, stride, shift), dataset(1, 2)
    windows, split = windows_of(data, spec), splits.blocked(data, 4, gap)
    for fold, (train, test) in zip(split.folds, split.as_cv(windows), strict=True):
        def inside(i, roles, fold=fold):
            name, t = windows.ids[windows.recording[i]], int(windows.centre[i])
            needed = {(name, k) for k in (*range(t - past, t + future + 1), t + shift)}
            return any(needed <= {(s.recording, k) for k in range(s.start, s.stop)}
                       for role in roles for s in getattr(fold, role))

        assert train.tolist() == [i for i in range(len(windows)) if inside(i, ("train", "valid"))]
        assert test.tolist() == [i for i in range(len(windows)) if inside(i, ("test",))]


def test_folds_of_centres_as_indices():
    data, spec = dataset(1, 2), WindowSpec(5, 0)
    windows, split = windows_of(data, spec), splits.random_windows(data, spec)
    train, test = split.as_cv(windows)[1]
    expected = {t for _, t in frames_of(split.folds[1], "test")}
    assert {int(t) for t in windows.centre[test]} == expected and set(windows.recording[test]) == {1}
    assert not set(train) & set(test) and len(train) + len(test) == 195


def test_folds_without_samples_are_refused():
    data = dataset(3, 1)
    windows = windows_of(Dataset("part", data.recordings[:1]), SPEC)
    with pytest.raises(DataError, match="0 training and"):
        splits.animal_pairs(data).as_cv(windows)


def test_scikit_learn_takes_the_splits():
    rng = np.random.default_rng(0)
    run = (np.sin(np.arange(600) / 15) > 0).astype(np.uint8)
    data = Dataset("d", tuple(Recording(rng.normal(size=(600, 3)) + run[:, None], {"run": run}, 30.0, f"m{a}", "s")
                              for a in range(3)))
    spec = WindowSpec(2, 0)
    windows = windows_of(data, spec)
    X, y = windows.gather(np.arange(len(windows))).reshape(len(windows), -1), windows.labels
    estimator = LogisticRegression()
    scores = cross_val_score(estimator, X, y, cv=splits.animal_pairs(data).as_cv(windows), scoring="roc_auc")
    assert len(scores) == 6 and scores.min() > 0.9
    blocked = splits.blocked(data, 3, 12).as_cv(windows)
    search = GridSearchCV(estimator, {"C": [1e-6, 1.0]}, cv=blocked, scoring="accuracy")
    assert search.fit(X, y).best_params_ == {"C": 1.0}


# --- embargo


@pytest.mark.parametrize("tau", [5, 20, 80])
def test_autocorrelation_time_of_a_first_order_process_is_its_time_constant(tau):
    keep = np.exp(-1 / tau)
    slow = lfilter([1], [1, -keep], np.random.default_rng(tau).normal(size=400_000))
    assert splits.autocorrelation_frames(slow) == pytest.approx(tau, rel=0.12)


def test_autocorrelation_time_of_a_telegraph_is_that_of_its_rates():
    # Switching with probability p a frame: the autocorrelation is (1 - 2 p) ** lag.
    rng = np.random.default_rng(0)
    telegraph = np.cumsum(rng.random(300_000) < 0.01) % 2
    assert splits.autocorrelation_frames(telegraph) == pytest.approx(-1 / np.log(1 - 0.02), rel=0.12)
    assert splits.autocorrelation_frames(rng.normal(size=1000)) == 1


@pytest.mark.parametrize("values", [np.ones(50), [1.0, 2.0], [1.0, np.nan, 2.0], np.zeros((5, 2))])
def test_no_autocorrelation_time_without_change(values):
    with pytest.raises(DataError, match="autocorrelation time"):
        splits.autocorrelation_frames(values)


def test_embargo_is_a_multiple_of_the_median_and_widens_the_gap():
    periods = (20, 40, 60)
    runs = [np.arange(600) // period % 2 for period in periods]
    resting = recording("m3", "s0", n_frames=600, run=np.zeros(600))
    data = Dataset("d", (*(recording(f"m{i}", "s0", n_frames=600, run=run) for i, run in enumerate(runs)), resting))
    times = [splits.autocorrelation_frames(run) for run in runs]
    assert times == sorted(times) and splits.embargo_frames(data, 2.5) == int(np.ceil(2.5 * times[1]))
    assert splits.embargo_frames(data, 0) == 0
    plain, wide = (splits.build("blocked", data, SPEC, NOTHING, n_blocks=3, embargo_times=k) for k in (0.0, 1.0))
    distance = [audit(s, SPEC, NOTHING, data).folds[0].distance_frames for s in (plain, wide)]
    assert distance == [6, 6 + times[1]]
    assert plain == splits.build("blocked", data, SPEC, NOTHING, n_blocks=3)
    with pytest.raises(DataError, match="changes in no recording"):
        splits.embargo_frames(Dataset("d", (resting,)), 3)
    with pytest.raises(ParameterError, match="times"):
        splits.embargo_frames(data, -1)
    with pytest.raises(DataError, match="no behaviour 'speed'"):
        splits.embargo_frames(data, 1, label="speed")


# --- build and gap


def test_purge_gap_is_the_sum_of_what_reaches():
    pipeline = Pipeline([MovingMeanBaseline(11), TrailingBaseline(8), ScaleByTraining()])
    assert splits.purge_gap_frames(WindowSpec(3, 2, 1, -4), pipeline) == 6 + 4 + (5 + 5) + 7
    assert splits.purge_gap_frames(WindowSpec(3, 2, 1, -4), pipeline, (15, 14)) == 6 + 4 + (5 + 5) + 7 + 29


@pytest.mark.parametrize("recipe", ["published", "raw"])
def test_no_gap_is_wide_enough_for_a_whole_recording_minmax(recipe):
    with pytest.raises(LeakError, match=r"MinMax.*'causal' or 'scaled'"):
        splits.build("blocked", dataset(1, 1), SPEC, preprocessing.build(recipe, 30))


def test_build_derives_the_gap_and_the_audit_agrees():
    data = dataset(2, 1, n_frames=400)
    pipeline = Pipeline([MovingMeanBaseline(20), ScaleByTraining()])
    split = splits.build("blocked", data, SPEC, pipeline, n_blocks=4)
    found = audit(split, SPEC, pipeline, data)
    assert {fold.distance_frames for fold in found.folds} == {6 + 19}
    assert {fold.spare_frames for fold in found.folds} == {6}
    wider = splits.build("blocked", data, SPEC, pipeline, n_blocks=4, gap_frames=35)
    assert audit(wider, SPEC, pipeline, data).folds[0].distance_frames == 6 + 19 + 10


@pytest.mark.parametrize("regime", ["animal_pairs", "leave_one_session_out", "last_part"])
def test_build_by_name(regime):
    data = dataset(3, 3, 3)
    assert splits.build(regime, data, SPEC, NOTHING) == splits.REGIMES[regime](data)
    with pytest.raises(ParameterError, match="gap_frames"):
        splits.build(regime, data, SPEC, NOTHING, gap_frames=3)


def test_build_refuses_unknown_names():
    with pytest.raises(ParameterError, match="animal_pairs, leave_one_session_out, last_part, blocked"):
        splits.build("random", dataset(), SPEC, NOTHING)
    with pytest.raises(ParameterError, match="n_folds"):
        splits.build("blocked", dataset(), SPEC, NOTHING, n_folds=3)


# --- hash


def test_hash_does_not_depend_on_key_order_or_number_type():
    split = splits.blocked(dataset(1, 1), 4, 3)

    def rebuilt(fold):
        segments = {role: [Segment(s.recording, np.int64(s.start), np.int32(s.stop))
                           for s in getattr(fold, role)] for role in ROLES}
        return Fold(fold.name, **segments, test_group=fold.test_group, tags=dict(reversed(fold.tags.items())))

    again = dataclasses.replace(split, folds=[rebuilt(fold) for fold in split.folds])
    assert again.hash() == split.hash()
    assert splits.blocked(dataset(1, 1), 4, 3).hash() == split.hash()


@given(which=st.integers(0, 3), role=st.sampled_from(ROLES), move=st.integers(-5, 5))
def test_hash_changes_exactly_when_a_segment_changes(which, role, move):
    split = splits.blocked(dataset(1, 1), 4, 6)
    fold = split.folds[which]
    first, *rest = getattr(fold, role)
    moved = Segment(first.recording, first.start, first.stop + move)
    folds = list(split.folds)
    folds[which] = dataclasses.replace(fold, **{role: [moved, *rest]})
    assert (dataclasses.replace(split, folds=folds).hash() == split.hash()) == (move == 0)


@pytest.mark.parametrize("segment", [("a", -1, 3), ("a", 3, 3), ("a", 3, 2), ("a", 0.0, 3)])
def test_segment_must_be_a_range(segment):
    with pytest.raises(ParameterError, match="of segment in a"):
        Segment(*segment)


def test_split_checks_its_claim_and_names():
    fold = splits.animal_pairs(dataset()).folds[0]
    with pytest.raises(ParameterError, match="across the board"):
        Split("x", [fold], "across the board")
    with pytest.raises(ParameterError, match="unique"):
        Split("x", [fold, fold], "across animals")
    with pytest.raises(ParameterError, match="no folds"):
        Split("x", [], "across animals")


# --- audit


def touched_by_loop(segment, spec, pipeline, n_frames):
    """All frames that a window, its label or the preprocessing of its frames needs, one by one."""
    found = set()
    for t in valid_centres(segment.start, segment.stop, spec):
        for i in range(t - spec.past_frames, t + spec.future_frames + 1):
            found |= set(range(i - pipeline.look_back_frames, i + pipeline.look_ahead_frames + 1))
        found.add(t + spec.label_shift_frames)
    if pipeline.fitted_on == "training frames":
        for i in range(segment.start, segment.stop):
            found |= set(range(i - pipeline.look_back_frames, i + pipeline.look_ahead_frames + 1))
    return {int(i) for i in found if 0 <= i < n_frames}


pipelines = st.builds(
    lambda steps, scale: Pipeline(steps + ([ScaleByTraining()] if scale else [])),
    st.lists(st.one_of(st.builds(MovingMeanBaseline, st.integers(1, 9)),
                       st.builds(TrailingBaseline, st.integers(1, 9)),
                       st.builds(ExponentialSmoothing, st.floats(0.3, 1.5))), max_size=2),
    st.booleans())


@settings(deadline=None)
@given(start=st.integers(0, 40), length=st.integers(12, 40), past=st.integers(0, 4), future=st.integers(0, 4),
       shift=st.integers(-7, 7), pipeline=pipelines)
def test_footprint_spans_the_frames_that_are_touched(start, length, past, future, shift, pipeline):
    spec, segment = WindowSpec(past, future, 1, shift), Segment("a", start, start + length)
    touched = touched_by_loop(segment, spec, pipeline, 90)
    assert footprint(segment, spec, pipeline, 90) == (min(touched), max(touched) + 1)


@settings(deadline=None)
@given(gap=st.integers(0, 25), pipeline=pipelines, shift=st.integers(-3, 3))
def test_audit_refuses_exactly_the_splits_whose_frames_meet(gap, pipeline, shift):
    data = Dataset("d", (recording("m0", "s0", n_frames=200),))
    name, spec = data.recordings[0].id, WindowSpec(2, 2, 1, shift)
    roles = [[(name, 0, 40)], [(name, 40 + gap, 80 + gap)], [(name, 80 + 2 * gap, 120 + 2 * gap)]]
    touched = [touched_by_loop(Segment(*role[0]), spec, pipeline, 200) for role in roles]
    leaks = any(a & b for a, b in itertools.combinations(touched, 2))
    if leaks:
        with pytest.raises(LeakError, match="fold f1, recording m0/s0"):
            audit(split_of(*roles), spec, pipeline, data)
    else:
        audit(split_of(*roles), spec, pipeline, data)


def test_clean_splits_pass():
    data = dataset(3, 3, 0, 200)
    published = preprocessing.build("published", 30, baseline_frames=20)
    found = audit(splits.animal_pairs(data), SPEC, published, data)
    assert found.claim == "across animals" and len(found.folds) == 6
    assert found.folds[0].distance_frames is None
    assert found.folds[0].n_windows == {role: 3 * 195 for role in ROLES}
    audit(splits.leave_one_session_out(data), SPEC, published, data)
    causal = preprocessing.build("causal", 30, baseline_frames=10)
    audit(splits.build("blocked", data, SPEC, causal, n_blocks=4), SPEC, causal, data)


def test_planted_overlap_is_refused_with_its_frames():
    data = Dataset("d", (recording("m0", "s0"),))
    split = split_of([("m0/s0", 0, 60)], [("m0/s0", 70, 100)], [("m0/s0", 95, 200)])
    with pytest.raises(LeakError, match=r"f1, recording m0/s0: found frames 95 \.\. 99 .*valid and test"):
        audit(split, SPEC, NOTHING, data)


def test_planted_gap_too_small_names_the_step():
    data = dataset(1, 1)
    pipeline = Pipeline([ExponentialSmoothing(0.5), TrailingBaseline(40), ScaleByTraining()])
    split = splits.blocked(data, 4, gap_frames=20)
    message = r"frames \d+ \.\. \d+ touched.*TrailingBaseline, which reaches 39 frames back"
    with pytest.raises(LeakError, match=message):
        audit(split, SPEC, pipeline, data)
    audit(split, SPEC, preprocessing.build("scaled", 30), data)


def test_planted_whole_recording_minmax_is_refused_within_sessions():
    data = dataset(1, 1)
    with pytest.raises(LeakError, match=r"step MinMax.*'causal', 'scaled'"):
        audit(splits.blocked(data, 4, 20), SPEC, Pipeline([MinMax()]), data)
    parts = dataset(1, 1, 3)
    with pytest.raises(LeakError, match="step MinMax"):
        audit(splits.last_part(parts), SPEC, preprocessing.build("published", 30), parts)


def test_whole_recording_reach_is_refused_even_when_the_claim_is_of_sessions():
    # Training and validation share a recording: min-max lets validation see all of it.
    data = dataset(1, 2)
    split = split_of([("m0/s0", 0, 80)], [("m0/s0", 120, 200)], [("m0/s1", 0, 200)], "across sessions")
    audit(split, SPEC, preprocessing.build("scaled", 30), data)
    with pytest.raises(LeakError, match=r"MinMax, which reaches inf frames"):
        audit(split, SPEC, preprocessing.build("raw", 30), data)


def test_planted_animal_and_session_on_both_sides():
    data = dataset(2, 3)
    split = split_of([("m0/s0", 0, 200)], [("m1/s0", 0, 200)], [("m0/s1", 0, 200)], "across animals")
    with pytest.raises(LeakError, match="animal m0 in the test"):
        audit(split, SPEC, NOTHING, data)
    audit(dataclasses.replace(split, claim="across sessions"), SPEC, NOTHING, data)
    split = split_of([("m1/s0", 0, 200)], [("m0/s0", 0, 200)], [("m0/s1", 0, 200)], "across animals")
    with pytest.raises(LeakError, match="animal m0 in the test and in training or validation"):
        audit(split, SPEC, NOTHING, data)
    split = split_of([("m0/s0", 0, 90)], [("m0/s1", 0, 200)], [("m0/s0", 100, 200)], "across sessions")
    with pytest.raises(LeakError, match="session m0/s0 in the test"):
        audit(split, SPEC, NOTHING, data)
    audit(dataclasses.replace(split, claim="within session"), SPEC, NOTHING, data)


def test_planted_parts_of_one_session_on_both_sides():
    data = dataset(1, 2, 2)
    split = split_of([("m0/s0/0", 0, 200)], [("m0/s1/0", 0, 200)], [("m0/s0/1", 0, 200)], "across sessions")
    with pytest.raises(LeakError, match="session m0/s0 in the test"):
        audit(split, SPEC, NOTHING, data)


def test_planted_same_signal_under_two_names():
    copies = [recording("m0", "s0", seed=1), recording("m1", "s0", seed=2),
              recording("m2", "s0", seed=1, run=np.zeros(200))]
    data = Dataset("d", tuple(copies))
    with pytest.raises(LeakError, match=r"same signal as m2/s0 \(train\) and as m0/s0 \(test\)"):
        audit(splits.animal_pairs(data), SPEC, NOTHING, data)
    # The same copy twice in training is no leak.
    data = Dataset("d", (*copies, recording("m3", "s0", seed=3)))
    split = split_of([("m0/s0", 0, 200), ("m2/s0", 0, 200)], [("m1/s0", 0, 200)], [("m3/s0", 0, 200)],
                     "across animals")
    audit(split, SPEC, NOTHING, data)


@pytest.mark.parametrize("train, message", [
    ([("m0/s0", 0, 201)], "frames 0 .. 201"),
    ([("m7/s0", 0, 10)], "recording the data set does not have"),
    ([], "fold f1, train: found no window"),
    ([("m0/s0", 0, 5)], "fold f1, train: found no window"),
])
def test_segments_that_do_not_fit_the_data_are_refused(train, message):
    data = dataset(3, 1)
    split = split_of(train, [("m1/s0", 0, 200)], [("m2/s0", 0, 200)], "across animals")
    with pytest.raises(DataError, match=message):
        audit(split, SPEC, NOTHING, data)


def test_some_folds_are_spread_over_all_of_them():
    split = splits.build("blocked", dataset(), SPEC, NOTHING, n_blocks=4)
    names = [fold.name for fold in split.folds]
    assert [fold.name for fold in split.spread(2).folds] == [names[0], names[len(names) // 2]]
    assert [fold.name for fold in split.spread(0).folds] == names == [f.name for f in split.spread(999).folds]
