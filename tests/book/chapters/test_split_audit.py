"""Ways of testing footsteps, the leaks they make, and what the stored numbers of the study say."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from calcium_decoding.data.recording import Dataset
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.models.training_footsteps import FootstepTraining
from calcium_decoding.simulation.footsteps.world import World, simulate
from decoding_book.chapters.bilateral.study import Study
from decoding_book.chapters.split_audit import published, ways

LENGTH = 8


@pytest.fixture(scope="module")
def traces():
    settings = {"animals": 2, "sessions": 2, "frames": 1200, "min_cells": 50, "max_cells": 60, "gain": 2.0, "snr": 8.0}
    return {trace: simulate(World(**settings, trace=trace))[0] for trace in ("deconvolved", "dff")}


@pytest.fixture(scope="module")
def scores(traces):
    return ways.run(ways.experiments(traces, length=LENGTH, n_blocks=2, components=10), jobs=1)


def mean(scores, **where):
    for name, value in where.items():
        scores = scores[scores[name] == value]
    return scores["value"].mean()


def test_unrelated_labels_are_at_chance_in_blocks_and_far_above_it_as_published(scores):
    """No relation is left, so the sound split has to say 1/3; on slow traces the published one says otherwise."""
    for trace in ("deconvolved", "dff"):
        for way in ("blocked", "other session", "other animal, population"):
            for decoder in ("nearest", "logistic_window"):
                found = mean(scores, trace=trace, way=way, decoder=decoder, labels="unrelated")
                assert found == pytest.approx(1 / 3, abs=0.07), (trace, way, decoder)
    assert mean(scores, trace="dff", way="published", decoder="nearest", labels="unrelated") > 0.6


def test_true_labels_are_decoded_where_cells_are_the_same(scores):
    for way in ("published", "blocked", "other session"):
        assert mean(scores, trace="deconvolved", way=way, decoder="logistic_window", labels="true") > 0.55
    assert mean(scores, trace="deconvolved", way="other animal, population", decoder="logistic_window",
                labels="true") < 0.55


def test_a_score_is_that_of_scikit_learn_on_the_same_windows(traces, scores):
    """By hand: scaling and components of the training frames, windows of their frames, the nearest neighbour."""
    recording = traces["dff"].recordings[0]
    fold = ways.experiment(traces["dff"], "blocked", LENGTH).split.folds[0]
    (start, stop), (first, last) = (fold.ranges(role)[recording.id][0] for role in ("train", "test"))
    scaler = StandardScaler().fit(recording.signal[start:stop])
    pca = PCA(10, svd_solver="randomized", random_state=0).fit(scaler.transform(recording.signal[start:stop]))
    frames = pca.transform(scaler.transform(recording.signal)) / pca.explained_variance_**0.25
    ends = [np.arange(a + LENGTH - 1, b) for a, b in ((start, stop), (first, last))]
    train, test = (np.stack([frames[e - LENGTH + 1:e + 1].ravel() for e in some]) for some in ends)
    labels = recording.behaviour["footstep"]
    said = KNeighborsClassifier(1).fit(train, labels[ends[0]]).predict(test)
    mine = scores.query("trace == 'dff' and way == 'blocked' and labels == 'true' and decoder == 'nearest'")
    assert mine["value"].iloc[0] == pytest.approx(balanced_accuracy_score(labels[ends[1]], said))


def test_unrelated_labels_are_those_of_the_next_recording(traces):
    plans = ways.experiments({"dff": traces["dff"]}, ("blocked",), 2, ("logistic_window",), length=LENGTH)
    true, unrelated = (plans["dff", "blocked", labels, "logistic_window"].dataset.recordings
                       for labels in ("true", "unrelated"))
    whole = traces["dff"].recordings
    assert [r.id for r in true] == [r.id for r in unrelated] == [whole[i].id for i in (0, 2)]
    for one, other, i in zip(true, unrelated, (0, 2), strict=True):
        assert np.array_equal(one.signal, other.signal)
        for name, values in whole[i + 1].behaviour.items():
            assert np.array_equal(other.behaviour[name], values)
            assert not np.array_equal(one.behaviour[name], values)
    last = ways.unrelated(traces["dff"]).recordings[-1]
    assert np.array_equal(last.behaviour["footstep"], whole[0].behaviour["footstep"])


def test_unrelated_labels_are_cut_to_the_shorter_and_need_another_recording(traces):
    long, short, *_ = traces["dff"].recordings
    short = replace(short, signal=short.signal[:900], behaviour={k: v[:900] for k, v in short.behaviour.items()})
    first, second = ways.unrelated(Dataset("two", (long, short))).recordings
    assert first.n_frames == second.n_frames == 900 and np.array_equal(first.signal, long.signal[:900])
    assert np.array_equal(second.behaviour["footstep"], long.behaviour["footstep"][:900])
    with pytest.raises(DataError, match="two or more"):
        ways.unrelated(Dataset("one", (long,)))


def test_the_linear_decoder_is_the_one_of_the_other_chapter(traces):
    """The same recording, split and window: the same score, in whichever chapter it is asked for."""
    dataset = Dataset("one", traces["deconvolved"].recordings[:1])
    mine = ways.experiment(dataset, "blocked", LENGTH, 2, components=10)
    whole = Study(dataset, window=LENGTH, lstm_window=2, n_places=2, blocks=2, components=10,
                  settings=FootstepTraining(every_frames=5))
    theirs = whole.decode(["logistic_window"])
    assert [fold.scores["balanced_accuracy"] for fold in mine.run(jobs=1)] == theirs["balanced_accuracy"].tolist()
    networks = whole.experiment("hybrid", dataset.animals[0], whole.split.folds)
    assert networks.training.every_frames == 5 and networks.recipe["name"] == "scaled"
    assert "components" not in networks.recipe


def test_points_are_differences_of_means_over_folds(scores):
    points = ways.leakage_points(scores)
    row = points.query("trace == 'dff' and decoder == 'nearest' and labels == 'unrelated'").iloc[0]
    mine = scores[scores["test_group"] == row["test_group"]]
    wanted = 100 * (mean(mine, trace="dff", way="published", decoder="nearest", labels="unrelated")
                    - mean(mine, trace="dff", way="blocked", decoder="nearest", labels="unrelated"))
    assert row["points"] == pytest.approx(wanted) and len(points) == 2 * 2 * 2 * 4 and points.notna().all(axis=None)


def test_the_leak_grows_with_the_memory_of_the_trace():
    made = {decay_s: simulate(World(animals=2, sessions=1, frames=2400, min_cells=60, max_cells=60, decay_s=decay_s,
                                    rise_s=decay_s / 6, trace="dff", drift=0.0))[0] for decay_s in (0.1, 2.4)}
    found = ways.run(ways.experiments(made, ("published", "blocked"), length=1, decoders=[ways.NEAREST]),
                     ("decay_s", "way", "labels", "decoder"), jobs=1)
    unrelated = found[found["labels"] == "unrelated"].groupby(["decay_s", "way"])["value"].mean()
    assert unrelated[2.4, "published"] > unrelated[0.1, "published"] + 0.15
    assert unrelated[2.4, "blocked"] == pytest.approx(1 / 3, abs=0.12)


def test_what_sees_the_test_frames_is_known_to_features(traces):
    """Training features move with test frames where they are fitted on everything, and only there."""
    (first, *_) = traces["deconvolved"].recordings
    moved = {}
    for way in ("blocked", "blocked, fitted on everything"):
        frames = []
        for extra in (0, 50):
            plan = ways.experiment(Dataset("one", (first,)), way, LENGTH, components=5, decoder=ways.NEAREST)
            ((start, stop),) = plan.split.folds[0].ranges("test")[first.id]
            signal = first.signal.copy()
            signal[start:stop] += extra
            plan = plan.with_(dataset=Dataset("one", (replace(first, signal=signal),)))
            train, _, _ = plan.fold_task(plan.split.folds[0], ways.NEAREST).windows()
            frames.append(train.frames)
        moved[way] = not np.allclose(*frames)
    assert moved == {"blocked": False, "blocked, fitted on everything": True}


def test_the_audit_refuses_the_published_way_by_itself(traces):
    said = {way: ways.verdict(traces["deconvolved"], way, length=LENGTH) for way in ways.WAYS}
    refused = {way for way, words in said.items() if words.startswith("REFUSED")}
    assert refused == {"published", "blocked, fitted on everything"}
    assert "preprocessing step Components" in said["blocked, fitted on everything"]
    assert said["blocked"] == "passed, 23 frames apart"
    alone = Dataset("one", traces["deconvolved"].recordings[:1])
    assert ways.verdict(alone, "other session", length=LENGTH) == "cannot be made: no other session"
    assert {key[1:3] for key in ways.experiments({"": alone}, length=LENGTH)} == {
        (way, "true") for way in ways.WAYS if not way.startswith("other")}
    with pytest.raises(ParameterError, match="by hand"):
        ways.experiment(alone, "by hand", LENGTH)


def test_card_scores_name_the_leaky_way(scores):
    card = ways.card_scores(scores)
    named = {score.model: score for score in card}
    assert all(("LEAKY" in name) == ("published" in name) for name in named)
    one = named["nearest, dff, blocked, unrelated"]
    assert one.scope == "mean of 4 recordings"
    assert one.value == pytest.approx(mean(scores, trace="dff", way="blocked", decoder="nearest", labels="unrelated"))
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


def test_every_stored_run_with_a_recording_is_a_mark():
    figure, axes = plt.subplots(1, 2)
    stored = published.accuracies()
    published.marks(stored, "ipsilateral", "accuracy", axes[0])
    published.marks(stored, "multiclass", "balanced_accuracy", axes[1])
    known = stored[(stored["task"] == "ipsilateral") & stored["majority"].notna()]
    drawn = [(line.get_marker(), line.get_markerfacecolor() != "none", value)
             for line in axes[0].lines for value in line.get_ydata()]
    assert sorted(drawn) == sorted(
        ("s" if model.startswith("CNN") else "o", split != "not stated", accuracy)
        for model, split, accuracy in known[["model", "split", "accuracy"]].to_numpy())
    (bars,) = axes[0].collections
    assert sorted(line[0, 1] for line in bars.get_segments()) == sorted(known.groupby("recording")["majority"].first())
    levels = [line.get_ydata()[0] for line in axes[1].lines if line.get_label() == "chance"]
    assert levels == [pytest.approx(1 / 3)] and not axes[1].collections
    plt.close(figure)
