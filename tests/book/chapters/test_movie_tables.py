"""Scores of decoders of movies, by hand: sessions against pooled frames, epochs, and what published tables say."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.evaluation.metrics import frame_scores
from calcium_decoding.experiments.folds import FoldResult
from calcium_decoding.models.loop import History
from decoding_book.chapters import movie_tables
from tests.conftest import ROOT


def fold(name="test=a,valid=b", group="a", model="cnn", sessions=None, history=None):
    """A fold from (labels, probabilities) by session."""
    sessions = sessions or {"a/1": ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4]), "a/2": ([0, 1, 0, 1], [0.6, 0.8, 0.7, 0.9])}
    labels = np.concatenate([values for values, _ in sessions.values()]).astype(np.uint8)
    p_run = np.concatenate([p for _, p in sessions.values()])
    which = np.repeat(np.arange(len(sessions)), [len(v) for v, _ in sessions.values()])
    centre = np.concatenate([np.arange(len(v)) for v, _ in sessions.values()])
    return FoldResult(name, group, model, frame_scores(labels, p_run), "", history or History(), tuple(sessions), which,
                      centre, labels, p_run, simulated=True)


def dataset(**options):
    recordings = [Recording(np.zeros((4, 1)), {"run": [0, 1, 0, 1]}, 30.0, animal, "1") for animal in ("a", "b", "c")]
    return Dataset("d", tuple(recordings), **options)


def test_a_shift_between_sessions_costs_the_pooled_auc_and_not_that_of_sessions():
    f = fold()
    table = movie_tables.session_table([f], dataset())
    # Of 16 pairs of a running and a resting frame, the 4 of running in session 1 and rest in session 2 are wrong.
    assert table.loc[0, "AUC, pooled"] == pytest.approx(12 / 16) and table.loc[0, "AUC, by session"] == 1.0
    by_session = movie_tables.by_session([f])
    assert list(by_session["auc"]) == [1.0, 1.0] and list(by_session["accuracy"]) == [0.5, 0.5]
    assert table.loc[0, "accuracy"] == 0.5 and "published AUC, by session" not in table


def test_a_session_of_running_alone_has_an_accuracy_and_no_auc():
    f = fold(sessions={"a/1": ([0, 1], [0.4, 0.9]), "a/2": ([1, 1], [0.9, 0.2])})
    rows = movie_tables.by_session([f])
    assert rows["auc"].tolist() == [1.0, None] and rows["reason"].tolist() == ["", "only running"]
    table = movie_tables.session_table([f], dataset())
    assert table.loc[0, ["sessions without AUC", "lowest", "highest", "accuracy"]].tolist() == [1, 1.0, 1.0, 0.75]


def test_sessions_tested_by_several_folds_count_once():
    good = fold(sessions={"a/1": ([0, 1], [0.1, 0.9]), "a/2": ([0, 1], [0.1, 0.9])})
    bad = fold("test=a,valid=c", sessions={"a/1": ([0, 1], [0.9, 0.1]), "a/2": ([0, 1], [0.1, 0.9])})
    row = movie_tables.session_table([good, bad], dataset()).iloc[0]
    assert row["folds"] == 2 and row["AUC, by session"] == pytest.approx((0.5 + 1.0) / 2)
    assert (row["lowest"], row["highest"]) == (0.5, 1.0)


def test_published_sessions_stand_beside_on_the_study_s_own_data_only():
    folds = [fold(model=model) for model in ("cnn", "cnn_gru", "cnn_rnn")]
    table = movie_tables.session_table(folds, dataset(compare_with_study=True)).set_index("model")
    with open(ROOT / "lib/calcium_decoding/data/published/per_session_cnn.csv") as file:
        rows = [r for r in csv.DictReader(file) if r["test_mouse"] == "1" and r["metric"] == "auc"]
    for model, experiment in (("cnn", "image_cnn_stage1"), ("cnn_gru", "image_cnn_gru_stage2")):
        expected = np.mean([float(r["value"]) for r in rows if r["experiment"] == experiment])
        assert table.loc[model, "published AUC, by session"] == pytest.approx(expected)
    assert np.isnan(table.loc["cnn_rnn", "published AUC, by session"])


def test_frame_scores_by_animal():
    f = fold()
    row = movie_tables.frame_table([f, replace(f, scores={})]).iloc[0]
    assert row["run share"] == 0.5 and row["Brier, share only"] == 0.25 and row["AUC"] == f.scores["auc"]
    assert row["Brier score"] == pytest.approx(np.mean((f.p_run - f.labels) ** 2))
    assert movie_tables.frame_table([replace(f, scores={})]).empty


def test_losses_by_epoch_and_for_the_card():
    histories = [History([0.5, 0.3, 0.2], [0.6, 0.5, 0.9], 1), History([0.4, 0.2, 0.1], [0.4, 0.7, 0.5], 0)]
    folds = [fold(name, history=h) for name, h in zip("xy", histories, strict=True)] + [fold("z")]  # z: not trained
    table = movie_tables.epoch_table(folds)
    assert table["validation loss"].tolist() == pytest.approx([0.5, 0.6, 0.7])
    assert table["kept in"].tolist() == [1, 1, 0] and set(table["folds"]) == {2}
    scores = {(s.metric, s.scope): s.value for s in movie_tables.loss_scores(folds)}
    assert scores["valid_loss_first", "mean of 2 folds"] == pytest.approx(0.5)
    assert scores["valid_loss_last", "mean of 2 folds"] == pytest.approx(0.7)
    assert movie_tables.loss_scores([fold()]) == [] and movie_tables.epoch_table([fold()]).empty


def test_shares_of_controls_for_the_card():
    full = fold(sessions={"a/1": ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4])})
    half = fold(sessions={"a/1": ([0, 0, 1, 1], [0.1, 0.5, 0.3, 0.6])})  # 3 of 4 pairs
    none = fold(sessions={"a/1": ([0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5])})
    scores = movie_tables.explained_scores([full], {"edge": [half], "shifts": [none], "nothing": []})
    means = {s.model: s.value for s in scores if s.scope == "mean of 1 folds"}
    assert means == {"edge": pytest.approx(0.5), "shifts": pytest.approx(0.0)}
