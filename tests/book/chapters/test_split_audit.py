"""Splits of footstep windows, the leaks they make, and what the stored numbers of the study say."""

import numpy as np
import pandas as pd
import pytest

from calcium_decoding import preprocessing
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import DataError, LeakError, ParameterError
from calcium_decoding.preprocessing.windows import WindowSpec
from calcium_decoding.simulation.footsteps.world import World, simulate
from calcium_decoding.splits import audit, footstep_samples
from calcium_decoding.splits.footstep_samples import Samples, split
from decoding_book.chapters.split_audit import compare, published

LENGTHS, L = (500, 620), 8


def recording(n_frames=500, cells=3, animal="a", session="1", seed=0, **behaviour):
    rng = np.random.default_rng(seed)
    return Recording(rng.standard_normal((n_frames, cells)),
                     behaviour or {"footstep": rng.integers(0, 3, n_frames)}, 15.0, animal, session, simulated=True)


@pytest.fixture(scope="module")
def made():
    return Samples.of([recording(n, session=str(n), seed=n) for n in LENGTHS], L)


# Samples


def test_windows_are_views_that_end_at_their_row_and_cross_no_recording(made):
    assert np.shares_memory(made.view(), made.frames) and len(made) == sum(n - L + 1 for n in LENGTHS)
    for row in (L - 1, 300, 499, 500 + L - 1, 1119):
        assert row in made.rows
        assert np.array_equal(made.view()[row - L + 1], made.frames[row - L + 1:row + 1])
        assert np.array_equal(made.flat([row])[0], made.frames[row - L + 1:row + 1].ravel())
    assert not np.isin(np.arange(500, 500 + L - 1), made.rows).any()
    name, start, stop = made.intervals(made.rows)[len(made) - 1]
    assert (name, start, stop) == ("a/620", 620 - L, 620)
    assert np.array_equal(made.seen([20, 21]), np.arange(20 - L + 1, 22))


def test_shifted_labels_stay_in_their_recording(made):
    moved = made.shifted(100)
    assert np.array_equal(moved.labels[100:500], made.labels[:400])
    assert np.array_equal(moved.labels[:100], made.labels[400:500])
    assert np.array_equal(np.bincount(moved.labels[500:]), np.bincount(made.labels[500:]))
    assert np.shares_memory(moved.frames, made.frames)


def test_recordings_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="footstep"):
        Samples.of([recording(run=np.zeros(500))], L)
    with pytest.raises(DataError, match="4 cells"):
        Samples.of([recording(), recording(cells=4, session="2")], L)
    with pytest.raises(DataError, match="500 frames"):
        Samples.of([recording()], 501)
    with pytest.raises(DataError, match="0 none"):
        Samples.of([recording(footstep=np.full(500, 3.0))], L)


# Ways of splitting


def test_random_windows_are_dealt_out_within_class(made):
    rows = split(made.lengths, "random_windows", seed=3, length=L, labels=made.labels)
    both = np.concatenate([rows.train, rows.valid, rows.test])
    assert np.array_equal(np.sort(both), made.rows)
    for k in range(3):
        n = (made.labels[made.rows] == k).sum()
        found = [(made.labels[part] == k).sum() / n for part in (rows.train, rows.valid, rows.test)]
        assert found == pytest.approx([0.7, 0.15, 0.15], abs=2 / n)
    again = split(made.lengths, "random_windows", seed=3, length=L, labels=made.labels)
    other = split(made.lengths, "random_windows", seed=4, length=L, labels=made.labels)
    assert np.array_equal(rows.test, again.test) and not np.array_equal(rows.test, other.test)
    with pytest.raises(LeakError, match="touch"):
        audit.check_samples(made.intervals(rows.train), made.intervals(rows.test))


@pytest.mark.parametrize("block", range(5))
def test_blocks_keep_their_distance_and_shares(made, block):
    rows = split(made.lengths, "blocked", block, length=L)
    gap = L + 15
    roles = {"train": rows.train, "valid": rows.valid, "test": rows.test}
    for one, other in (("train", "test"), ("train", "valid"), ("valid", "test")):
        assert audit.check_samples(made.intervals(roles[one]), made.intervals(roles[other]), embargo_frames=gap) >= gap
    # The test part is whole: 15 % of each recording, less the frames that only begin a window.
    assert len(rows.test) == sum(round(0.15 * n) - L + 1 for n in LENGTHS)
    assert len(rows.train) > 0.5 * sum(LENGTHS)


def test_blocks_go_round_and_agree_with_brute_force():
    n, gap = 400, 12
    for block in range(5):
        ranges = footstep_samples.block_ranges(n, block, 5, gap)
        frames = {role: {t for a, b in spans for t in range(a, b)} for role, spans in ranges.items()}
        test = {(block * n // 5 + i) % n for i in range(60)}
        valid = {(block * n // 5 + 60 + i) % n for i in range(60)}
        assert frames["test"] == test
        assert frames["valid"] == {t for t in valid if min(abs(t - u) for u in test) > gap}
        rest = set(range(n)) - test - valid
        assert frames["train"] == {t for t in rest if min(abs(t - u) for u in test | valid) > gap}


def test_other_session_and_other_animal_share_nothing_with_the_test(made):
    rows = split(made.lengths, "other_session", 1, length=L)
    assert np.array_equal(rows.test, made.rows[made.rows >= 500])
    assert max(rows.valid.max(), rows.train.max()) < 500
    assert rows.valid.min() - rows.train.max() > L + 15
    rows = split([[300, 300], [400]], "other_animal", 0, length=L)
    assert rows.test.max() < 600 <= rows.train.min() and len(rows.test) == 2 * (300 - L + 1)


@pytest.mark.parametrize(("way", "options"), [
    ("by_hand", {}), ("blocked", {"block": 5}), ("other_session", {"block": 2}), ("blocked", {"gap_frames": 400}),
])
def test_splits_that_cannot_be_made(way, options):
    with pytest.raises(ParameterError):
        split(LENGTHS, way, length=L, **options)
    with pytest.raises(ParameterError):
        split(LENGTHS[:1], "other_session", length=L)


def test_the_audit_passes_the_blocked_split_and_refuses_it_without_gaps():
    dataset = Dataset("d", (recording(),))
    spec = WindowSpec(L - 1, 0)
    pipeline = preprocessing.build("scaled", rate_hz=15.0, baseline_frames=30)
    passed = audit.audit(footstep_samples.blocked_split(dataset, L), spec, pipeline, dataset, embargo_frames=L + 15)
    assert len(passed.folds) == 5 and all(fold.spare_frames >= L + 15 for fold in passed.folds)
    with pytest.raises(LeakError, match="embargo"):
        split = footstep_samples.blocked_split(dataset, L, gap_frames=3)
        audit.audit(split, spec, pipeline, dataset, embargo_frames=L + 15)


# What splits do to scores


@pytest.fixture(scope="module")
def traces():
    settings = {"animals": 2, "sessions": 2, "frames": 1200, "min_cells": 50, "max_cells": 60, "gain": 2.0, "snr": 8.0}
    return {trace: simulate(World(**settings, trace=trace))[0] for trace in ("deconvolved", "dff")}


@pytest.fixture(scope="module")
def scores(traces):
    return compare.compare(traces, 8, decoders=("nearest", "logistic_window"), n_blocks=3, jobs=1, components=10)


def mean(scores, **where):
    for name, value in where.items():
        scores = scores[scores[name] == value]
    return scores["balanced_accuracy"].mean()


def test_shifted_labels_are_at_chance_in_blocks_and_far_above_it_as_published(scores):
    """No relation is left, so the sound split has to say 1/3; on slow traces the published one says otherwise."""
    for trace in ("deconvolved", "dff"):
        for way in ("blocked", "other session", "other animal, population"):
            for decoder in ("nearest", "logistic_window"):
                found = mean(scores, trace=trace, way=way, decoder=decoder, labels="shifted")
                assert found == pytest.approx(1 / 3, abs=0.07), (trace, way, decoder)
    assert mean(scores, trace="dff", way="published", decoder="nearest", labels="shifted") > 0.6


def test_true_labels_are_decoded_where_cells_are_the_same(scores):
    for way in ("published", "blocked", "other session"):
        assert mean(scores, trace="deconvolved", way=way, decoder="logistic_window", labels="true") > 0.55
    assert mean(scores, trace="deconvolved", way="other animal, population", decoder="logistic_window",
                labels="true") < 0.55


def test_points_are_differences_of_means_over_folds(scores):
    points = compare.leakage_points(scores)
    row = points.query("trace == 'dff' and decoder == 'nearest' and labels == 'shifted'").iloc[0]
    mine = scores[scores["unit"] == row["unit"]]
    wanted = 100 * (mean(mine, trace="dff", way="published", decoder="nearest", labels="shifted")
                    - mean(mine, trace="dff", way="blocked", decoder="nearest", labels="shifted"))
    assert row["points"] == pytest.approx(wanted) and len(points) == 2 * 2 * 2 * 4 and points.notna().all(axis=None)


def test_scores_do_not_depend_on_the_number_of_processes(traces, scores):
    again = compare.compare({"dff": traces["dff"]}, 8, ("blocked",), ("nearest",), 1, jobs=2, components=10)
    first = scores[(scores["trace"] == "dff") & (scores["way"] == "blocked") & (scores["decoder"] == "nearest")
                   & (scores["block"] == 0)]
    assert again["balanced_accuracy"].to_numpy() == pytest.approx(first["balanced_accuracy"].to_numpy())


def test_finished_scores_are_read_and_nothing_else_is(traces, tmp_path, monkeypatch):
    def compared(seed=0, components=10, length=8):
        return compare.compare({"dff": traces["dff"]}, length, ("published", "blocked"), ("nearest",), 1, seed, 1,
                               jobs=1, components=components, store=tmp_path)

    first = compared()
    with monkeypatch.context() as patch:
        patch.setattr(compare, "score", lambda *a: pytest.fail("scored again"))
        pd.testing.assert_frame_equal(compared(), first)
    seen = len(list(tmp_path.glob("*.npz")))
    assert seen == 4  # true and shifted labels under both splits
    for changed in ({"seed": 1}, {"components": 9}, {"length": 9}):
        assert not compared(**changed).equals(first)
    assert len(list(tmp_path.glob("*.npz"))) == 4 * seen


def test_the_leak_grows_with_the_memory_of_the_trace():
    found = compare.by_decay(1, (0.1, 2.4), 2, jobs=1, frames=2400, cells=60)
    shifted = found[found["labels"] == "shifted"].groupby(["decay_s", "way"])["balanced_accuracy"].mean()
    assert found.groupby("decay_s")["memory_s"].first().is_monotonic_increasing
    assert shifted[2.4, "published"] > shifted[0.1, "published"] + 0.15
    assert shifted[2.4, "blocked"] == pytest.approx(1 / 3, abs=0.12)


def test_what_sees_the_test_frames_is_known_to_features(traces):
    """Training features move with test frames where they are fitted on everything, and only there."""
    dataset = traces["deconvolved"]
    moved = {}
    for way in ("blocked", "blocked, fitted on everything"):
        fold = compare.folds_of(dataset, (way,), 8, 3, within=1)[0]
        frames = fold.samples.frames.copy()
        frames[fold.rows.test] += 50.0
        changed = compare.Fold(Samples(frames, fold.samples.labels, *(getattr(fold.samples, n) for n in (
            "lengths", "ids", "animals", "length"))), fold.rows, fold.fitted_on, fold.names)
        before, after = (compare.features(f, 5)[fold.rows.train] for f in (fold, changed))
        moved[way] = not np.allclose(before, after)
    assert moved == {"blocked": False, "blocked, fitted on everything": True}


def test_the_audit_refuses_the_published_way_by_itself(traces):
    said = compare.verdicts(traces["deconvolved"], 8).set_index("way")
    refused = said.apply(lambda column: column.str.startswith("REFUSED"))
    assert refused["windows"].to_dict() == {way: way == "published" for way in compare.WAYS}
    assert refused["scaling and components"].to_dict() == {
        way: fitted == "everything" for way, (_, fitted, _) in compare.WAYS.items()}
    assert "23 frames apart" in said.loc["blocked", "windows"]
    alone = Dataset("one", traces["deconvolved"].recordings[:1])
    said = compare.verdicts(alone, 8).set_index("way")["windows"]
    assert said["blocked"].startswith("passed") and said["other session"] == "cannot be made: there is no other one"


def test_card_scores_name_the_leaky_way(scores):
    card = compare.card_scores(scores)
    named = {score.model: score for score in card}
    assert all(("LEAKY" in name) == ("published" in name) for name in named)
    one = named["nearest, dff, blocked, shifted"]
    assert one.scope == "mean of 4 recordings"
    assert one.value == pytest.approx(mean(scores, trace="dff", way="blocked", decoder="nearest", labels="shifted"))
    assert named["nearest, dff, other animal, population"].scope == "mean of 2 animals"


# Stored runs


def test_majority_follows_from_the_counts():
    found = published.majority_accuracies().set_index(["recording", "task"])["majority"]
    assert found["recording_002", "multiclass"] == pytest.approx(221 / 451)
    assert found["recording_009", "contralateral"] == pytest.approx(1 - 115 / 451)
    assert found.xs("multiclass", level="task").between(0.46, 0.57).all()


def test_balanced_accuracies_agree_with_counting():
    found = published.accuracies()
    run = found.query("model == 'LSTM' and recording == 'recording_002' and task == 'contralateral'")
    # 118 steps of 451 windows; accuracy 0.776053 are 350 right, recall 0.737288 are 87 of the 118.
    assert run["balanced_accuracy"].item() == pytest.approx((87 / 118 + (350 - 87) / (451 - 118)) / 2, abs=1e-5)
    assert run["points_above"].item() == pytest.approx(100 * (350 / 451 - (1 - 118 / 451)), abs=1e-3)


def test_runs_without_a_recording_have_no_majority_and_nothing_is_lost():
    found = published.accuracies()
    unknown = found["recording"] == "not stated"
    assert found["majority"].isna().equals(unknown) and unknown.sum() == 6
    assert isinstance(found, pd.DataFrame) and not found.duplicated(["model", "recording", "split", "task",
                                                                     "accuracy"]).any()
