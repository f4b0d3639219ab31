"""Losses by epoch, what a network sees of a movie, and cells of chapters 20 and 21: sessions, shares, losses."""

import csv
from dataclasses import replace
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import tifffile

from calcium_decoding.data.movies import Movie
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.evaluation.metrics import frame_scores
from calcium_decoding.experiments import Experiment, Movies, MovieTraining
from calcium_decoding.experiments.folds import FoldResult, Results
from calcium_decoding.models.loop import History
from decoding_book.chapters import movie_tables
from tests.conftest import ROOT, run_cells, title_of

T, SIDE = 600, 8
SESSIONS = "rows = []\nfor fold in", "pooled = cnn.table", 'names = ["tested on"'
SHARES = "style.dots(shares, "


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def fold(name="test=a,valid=b", group="a", model="cnn", sessions=None, history=None):
    """A fold from (labels, probabilities) by session."""
    sessions = sessions or {"a/1": ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4]), "a/2": ([0, 1, 0, 1], [0.6, 0.8, 0.7, 0.9])}
    labels = np.concatenate([values for values, _ in sessions.values()]).astype(np.uint8)
    p_run = np.concatenate([p for _, p in sessions.values()])
    which = np.repeat(np.arange(len(sessions)), [len(v) for v, _ in sessions.values()])
    centre = np.concatenate([np.arange(len(v)) for v, _ in sessions.values()])
    return FoldResult(name, group, model, frame_scores(labels, p_run), "", history or History(), tuple(sessions), which,
                      centre, labels, p_run, simulated=True)


def by_session(*folds, **options):
    recordings = [Recording(np.zeros((4, 1)), {"run": [0, 1, 0, 1]}, 30.0, animal, "1") for animal in ("a", "b", "c")]
    chapter = SimpleNamespace(dataset=Dataset("d", tuple(recordings), **options))
    return run_cells("20_cnn", *SESSIONS, cnn=Results(folds), chapter=chapter)


def test_a_shift_between_sessions_costs_the_pooled_auc_and_not_that_of_sessions():
    after = by_session(fold())
    (table,) = after["page"]
    # Of 16 pairs of a running and a resting frame, the 4 of running in session 1 and rest in session 2 are wrong.
    assert table.loc[0, "AUC, pooled"] == pytest.approx(12 / 16) and table.loc[0, "AUC_by_session"] == 1.0
    assert list(after["sessions"]["AUC"]) == [1.0, 1.0] and list(after["sessions"]["accuracy"]) == [0.5, 0.5]
    assert table.loc[0, "accuracy"] == 0.5 and not [column for column in table if "published" in column]


def test_a_session_of_running_alone_has_an_accuracy_and_no_auc():
    (table,) = by_session(fold(sessions={"a/1": ([0, 1], [0.4, 0.9]), "a/2": ([1, 1], [0.9, 0.2])}))["page"]
    assert table.loc[0, ["sessions", "with_AUC", "lowest", "highest", "accuracy"]].tolist() == [2, 1, 1.0, 1.0, 0.75]


def test_sessions_tested_by_several_folds_count_once():
    good = fold(sessions={"a/1": ([0, 1], [0.1, 0.9]), "a/2": ([0, 1], [0.1, 0.9])})
    bad = fold("test=a,valid=c", sessions={"a/1": ([0, 1], [0.9, 0.1]), "a/2": ([0, 1], [0.1, 0.9])})
    after = by_session(good, bad, replace(good, fold="lost", scores={}))
    row = after["page"][0].iloc[0]
    assert row["AUC_by_session"] == pytest.approx((0.5 + 1.0) / 2)
    assert (row["lowest"], row["highest"]) == (0.5, 1.0)
    dots, bars = after["ax"].lines[:2]
    assert sorted(dots.get_ydata()) == [0, 1, 1, 1] and bars.get_ydata().tolist() == [1.0, bad.scores["auc"]]
    assert "simulated" in [text.get_text() for text in after["ax"].texts]


def test_published_sessions_stand_beside_on_the_study_s_own_data_only():
    (table,) = by_session(fold(), compare_with_study=True)["page"]
    with open(ROOT / "lib/calcium_decoding/data/published/per_session_cnn.csv") as file:
        rows = [r for r in csv.DictReader(file) if r["test_mouse"] == "1" and r["experiment"] == "image_cnn_stage1"]
    for score in ("auc", "accuracy"):
        expected = np.mean([float(r["value"]) for r in rows if r["metric"] == score])
        assert table.loc[0, f"published {score}, by session"] == pytest.approx(expected)


def test_frame_scores_by_animal():
    f = fold()
    (table,) = run_cells("20_cnn", "brier, share only", cnn=Results([f, replace(f, scores={})]))["page"]
    row = table.iloc[0]
    assert row["run_share"] == 0.5 and row["brier, share only"] == 0.25 and row["auc"] == f.scores["auc"]
    assert row["brier"] == pytest.approx(np.mean((f.predicted - f.labels) ** 2))


def test_losses_by_epoch_and_for_the_card():
    histories = [History([0.5, 0.3, 0.2], [0.6, 0.5, 0.9], 1), History([0.4, 0.2, 0.1], [0.4, 0.7, 0.5], 0)]
    folds = [fold(name, history=h) for name, h in zip("xy", histories, strict=True)] + [fold("z")]  # z: not trained
    (table,) = run_cells("20_cnn", "losses = movie_tables.epochs", cnn=folds)["page"]
    assert table["validation_loss"].tolist() == pytest.approx([0.5, 0.6, 0.7])
    assert table["kept_in"].tolist() == [1, 1, 0] and set(table["folds"]) == {2}
    scores = {(s.metric, s.scope): s.value for s in movie_tables.loss_scores(movie_tables.epochs(folds))}
    assert scores["valid_loss_first", "mean of 2 folds"] == pytest.approx(0.5)
    assert scores["valid_loss_last", "mean of 2 folds"] == pytest.approx(0.7)
    assert movie_tables.epochs([fold()]).empty and movie_tables.loss_scores(movie_tables.epochs([fold()])) == []


def test_losses_drawn_are_means_over_folds_and_dots_the_kept_epochs():
    histories = [History([1, 1], [0.6, 0.5], 1), History([1, 1], [0.4, 0.7], 0)]
    folds = [fold(n, history=h) for n, h in zip("xy", histories, strict=True)]
    after = run_cells("21_cnn_rnn", "losses = movie_tables.epochs", compared=[SimpleNamespace(folds=folds)], seed=0)
    lines = after["ax"].lines
    assert next(line for line in lines if line.get_label() == "CNN").get_ydata() == pytest.approx([0.5, 0.6])
    (kept,) = [line for line in lines if line.get_marker() == "o"]
    assert set(zip(kept.get_xdata(), kept.get_ydata(), strict=True)) == {(2, 0.5), (1, 0.4)}


def test_shares_drawn_are_those_of_the_controls():
    full = [fold(name, sessions={"a/1": ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4])}) for name in "xy"]
    aucs = {"edge": {"x": 0.75, "y": 1.0}, "shifts": {"x": 0.5}, "nothing": {}}
    found = [SimpleNamespace(name=name, values=lambda _, of=values: of) for name, values in aucs.items()]
    after = run_cells("20_cnn", SHARES, cnn=full, found=found, pooled=Results(full).table("auc"))
    assert after["shares"] == {"edge": [0.5, 1.0], "shifts": [0.0], "nothing": []}
    drawn = [line.get_ydata().tolist() for line in after["ax"].lines if line.get_marker() == "o"]
    assert drawn == [[0.5, 1.0], [0.0]]
    assert [text.get_text() for text in after["ax"].texts] == ["none", "simulated"]


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(4).integers(500, 900, (3, T, SIDE, SIDE), np.uint16)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, pixels):
    folder, recordings = tmp_path_factory.mktemp("movies"), []
    run = np.zeros(T, np.uint8)
    run[40:60] = run[300:500] = 1
    for animal, movie in enumerate(pixels):
        tifffile.imwrite(folder / f"{animal}.tif", movie, photometric="minisblack")
        recordings.append(Recording(movie.mean(axis=(1, 2))[:, None], {"run": run}, 30.0, f"a{animal}", "s",
                                    simulated=True, movie=Movie(folder / f"{animal}.tif")))
    return Dataset("pictures", tuple(recordings))


def experiment(dataset, regime="animal_pairs", **changes):
    return Experiment(dataset, regime, Movies(0, **changes), training=MovieTraining("none"))


def test_a_view_agrees_with_the_whole_movie_in_memory(dataset, pixels):
    recording, movie = dataset.recordings[1], pixels[1].astype(np.float64)
    seen = movie_tables.view(experiment(dataset, bin_px=2), recording)
    normalised = (movie - movie.mean(axis=0)) / movie.std()
    binned = normalised.reshape(T, 4, 2, 4, 2).mean(axis=(2, 4))
    assert seen.frame == 300 + 15  # half a second into the longest bout
    np.testing.assert_allclose(seen.image, binned[314:317], atol=1e-5)
    run = recording.run == 1
    np.testing.assert_allclose(seen.run_less_rest, binned[run].mean(axis=0) - binned[~run].mean(axis=0), atol=1e-5)
    assert seen.sd_over_time == pytest.approx(np.sqrt(binned.var(axis=0).mean()), rel=1e-4)
    assert seen.scaling.sd == pytest.approx(movie.std())
    np.testing.assert_allclose(seen.scaling.mean, movie.mean(axis=0), rtol=1e-6)


def test_a_view_within_recordings_is_scaled_by_training_frames(dataset, pixels):
    inside = experiment(dataset, "blocked", frame_scaling="training")
    seen = movie_tables.view(inside, dataset.recordings[0])
    ranges = inside.split.folds[0].ranges("train")[dataset.recordings[0].id]
    training = np.concatenate([pixels[0][a:b] for a, b in ranges]).astype(np.float64)
    assert seen.scaling.sd == pytest.approx(training.std()) and len(training) < T


@pytest.mark.parametrize("rests", [False, True])
def test_what_a_network_sees_is_drawn_and_of_an_animal_that_only_rests_too(dataset, rests):
    if rests:
        lazy = tuple(replace(r, behaviour={"run": np.zeros(T, np.uint8)}) for r in dataset.recordings)
        dataset = replace(dataset, recordings=lazy)
    after = run_cells("20_cnn", "movie_tables.view", "SD of the mean picture", experiment=experiment(dataset),
                      chapter=SimpleNamespace(rate_hz=30.0))
    seen, (mean, colours, change, difference) = after["seen"], after["axes"]
    assert np.isnan(seen.run_less_rest).all() == rests and seen.frame == (T // 2 if rests else 315)
    drawn = colours.images[0].get_array()
    np.testing.assert_allclose(drawn.mean(axis=(0, 1)), 0.5, atol=0.15)  # grey but for change
    np.testing.assert_array_equal(change.images[0].get_array(), seen.image[2] - seen.image[0])
    assert title_of(difference) == "running − rest"
    for ax in (mean, colours, change, difference):
        assert "simulated" in [text.get_text() for text in ax.texts]
    after["fig"].canvas.draw()
