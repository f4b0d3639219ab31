"""Figures and views of movies: what is drawn is what is in the frames and in the scores; simulated data say so."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import tifffile

from calcium_decoding.data.movies import Movie
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.experiments import Experiment, Movies, MovieTraining
from calcium_decoding.models.loop import History
from calcium_decoding.preprocessing import confounds
from decoding_book.chapters import movie_tables
from tests.book.chapters.test_movie_tables import fold

T, SIDE = 600, 8


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


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


def test_an_animal_that_only_rests_has_no_difference_and_a_picture_all_the_same(dataset):
    lazy = replace(dataset.recordings[0], behaviour={"run": np.zeros(T, np.uint8)})
    seen = movie_tables.view(experiment(dataset), lazy)
    assert seen.run_less_rest is None and seen.frame == T // 2
    ax = movie_tables.change(seen.run_less_rest, lazy, plt.figure().add_subplot(), "difference")
    assert "rest only" in ax.texts[0].get_text()


def test_every_plot_returns_its_axes_and_says_simulated(dataset):
    recording, cnn = dataset.recordings[0], fold(history=History([0.5, 0.4], [0.6, 0.5], 1))
    image = np.random.default_rng(0).normal(size=(3, 6, 6))
    plots = [
        lambda ax: movie_tables.colour_image(image, recording, ax, "t"),
        lambda ax: movie_tables.change(image[0], recording, ax, "t"),
        lambda ax: movie_tables.change(None, recording, ax, "t"),
        lambda ax: movie_tables.sessions([cnn], ax),
        lambda ax: movie_tables.shares([cnn], {"edge": [cnn]}, ax),
        lambda ax: movie_tables.validation_losses([cnn], ax),
    ]
    for plot in plots:
        ax = plt.figure().add_subplot()
        assert plot(ax) is ax and "simulated" in " ".join(text.get_text() for text in ax.texts)
    recorded = movie_tables.sessions([replace(cnn, simulated=False)], plt.figure().add_subplot())
    assert not recorded.texts


def test_frames_that_agree_are_grey_and_change_is_coloured():
    image = np.zeros((3, 4, 4))
    image[:, 0, 0] = 2.0
    image[2, 1, 1] = 2.0
    drawn = movie_tables.colour_image(image, [], plt.figure().add_subplot()).images[0].get_array()
    assert drawn[0, 0].tolist() == [1, 1, 1] and drawn[3, 3].tolist() == [0.5, 0.5, 0.5]
    assert drawn[1, 1].tolist() == [0.5, 0.5, 1.0]  # brighter in the last frame: blue


def test_sessions_drawn_are_those_scored_and_bars_are_folds():
    folds = [fold(), fold("test=b,valid=a", "b", sessions={"b/1": ([0, 1], [0.1, 0.9]), "b/2": ([1, 1], [0.9, 0.2])})]
    ax = movie_tables.sessions(folds, plt.figure().add_subplot())
    dots = np.concatenate([c.get_offsets()[:, 1] for c in ax.collections if not hasattr(c, "get_segments")])
    scored = movie_tables.by_session(folds)
    assert sorted(dots) == pytest.approx(sorted(scored.loc[scored["reason"] == "", "auc"].astype(float)))
    bars = [s[0, 1] for c in ax.collections if hasattr(c, "get_segments") for s in c.get_segments()]
    assert sorted(bars) == pytest.approx(sorted(f.scores["auc"] for f in folds))
    assert "1 sessions without an AUC" in ax.get_title(loc="left") + ax.get_title()


def test_shares_drawn_are_those_explained():
    full = [fold(name, sessions={"a/1": ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4])}) for name in "xy"]
    half = [fold(name, sessions={"a/1": ([0, 0, 1, 1], p)}) for name, p in (
        ("x", [0.1, 0.5, 0.3, 0.6]), ("y", [0.1, 0.2, 0.3, 0.4]))]
    ax = movie_tables.shares(full, {"edge": half, "none": []}, plt.figure().add_subplot())
    drawn = next(line for line in ax.lines if line.get_marker() == "o")
    expected, _ = confounds.explained({f.fold: f.scores["auc"] for f in half},
                                      {f.fold: f.scores["auc"] for f in full})
    assert drawn.get_ydata().tolist() == list(expected.values()) == [0.5, 1.0]
    assert [text.get_text() for text in ax.texts] == ["no fold", "simulated"]


def test_losses_drawn_are_means_over_folds_and_dots_the_kept_epochs():
    histories = [History([1, 1], [0.6, 0.5], 1), History([1, 1], [0.4, 0.7], 0)]
    ax = movie_tables.validation_losses([fold(n, history=h) for n, h in zip("xy", histories, strict=True)],
                                   plt.figure().add_subplot())
    mean = next(line for line in ax.lines if line.get_label() == "CNN")
    assert mean.get_ydata() == pytest.approx([0.5, 0.6])
    kept = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines if line.get_marker() == "o"]
    assert kept == [(2, 0.5), (1, 0.4)]
