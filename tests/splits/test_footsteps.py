"""Splits of recordings with footsteps against brute force, and random windows of a label of three classes."""

import numpy as np
import pytest

from calcium_decoding import preprocessing, splits
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import LeakError, ParameterError
from calcium_decoding.preprocessing.windows import WindowSet, WindowSpec
from calcium_decoding.splits import audit, footsteps

L, GAP = 8, 8 + 15
SPEC, SCALED = WindowSpec(L - 1, 0), preprocessing.build("scaled", rate_hz=15.0)


def recording(n_frames=500, animal="a", session="1", seed=0):
    rng = np.random.default_rng(seed)
    return Recording(rng.standard_normal((n_frames, 3)), {"footstep": rng.integers(0, 3, n_frames)}, 15.0, animal,
                     session, simulated=True)


@pytest.fixture(scope="module")
def dataset():
    return Dataset("d", tuple(recording(n, animal, session, n) for n, animal, session in
                              ((500, "a", "1"), (620, "a", "2"), (520, "b", "1"), (560, "b", "2"))))


def test_random_windows_are_dealt_out_within_class():
    one = recording()
    (fold,) = splits.random_windows(Dataset("d", (one,)), SPEC, seed=3, label="footstep").folds
    ends = {role: np.concatenate([np.arange(s.start, s.stop) for s in getattr(fold, role)]) for role in splits.ROLES}
    assert np.array_equal(np.sort(np.concatenate(list(ends.values()))), np.arange(L - 1, 500))
    labels = one.behaviour["footstep"]
    for k in range(3):
        n = (labels[L - 1:] == k).sum()
        assert [(labels[part] == k).sum() / n for part in ends.values()] == pytest.approx([0.7, 0.15, 0.15], abs=2 / n)


@pytest.mark.parametrize("block", range(5))
def test_blocks_keep_their_distance_and_shares(dataset, block):
    split = footsteps.blocked_split(dataset, L)
    fold = split.folds[block]
    (name,), n = fold.ranges("test"), 500
    windows = WindowSet.build([(name, dataset.recordings[0].signal, np.zeros(n), [(0, n)])], SPEC)
    rows = {role: split.samples_of(fold, role, windows) for role in splits.ROLES}
    # The test part is whole: 15 % of the recording, less the frames that only begin a window.
    assert len(rows["test"]) == round(0.15 * n) - L + 1 and len(rows["train"]) > 0.5 * n


def test_blocks_go_round_and_agree_with_brute_force():
    n, gap = 400, 12
    for block in range(5):
        ranges = footsteps.block_ranges(n, block, 5, gap)
        frames = {role: {t for a, b in spans for t in range(a, b)} for role, spans in ranges.items()}
        test = {(block * n // 5 + i) % n for i in range(60)}
        valid = {(block * n // 5 + 60 + i) % n for i in range(60)}
        assert frames["test"] == test
        assert frames["valid"] == {t for t in valid if min(abs(t - u) for u in test) > gap}
        rest = set(range(n)) - test - valid
        assert frames["train"] == {t for t in rest if min(abs(t - u) for u in test | valid) > gap}


def test_other_session_and_other_animal_share_nothing_with_the_test(dataset):
    for of, names in (("session", ["a/1", "a/2", "b/1", "b/2"]), ("animal", ["a", "b"])):
        split = footsteps.other_split(dataset, of, L)
        assert [fold.test_group for fold in split.folds] == names and split.claim == f"across {of}s"
        passed = audit.audit(split, SPEC, SCALED, dataset)
        assert min(fold.distance_frames for fold in passed.folds) >= GAP
    first = footsteps.other_split(dataset, "session", L).folds[0]
    border = 620 - round(0.15 / 0.85 * 620)
    assert first.ranges("test") == {"a/1": [(0, 500)]}
    assert first.ranges("train") == {"a/2": [(0, border - GAP)]} and first.ranges("valid") == {"a/2": [(border, 620)]}
    with pytest.raises(ParameterError, match="no other session"):
        footsteps.other_split(Dataset("d", dataset.recordings[:1]), "session", L)


def test_the_audit_passes_the_blocked_split_and_refuses_it_without_gaps(dataset):
    passed = audit.audit(footsteps.blocked_split(dataset, L), SPEC, SCALED, dataset, embargo_frames=GAP)
    assert len(passed.folds) == 20 and all(fold.spare_frames >= GAP for fold in passed.folds)
    with pytest.raises(LeakError, match="embargo"):
        audit.audit(footsteps.blocked_split(dataset, L, gap_frames=3), SPEC, SCALED, dataset, embargo_frames=GAP)
