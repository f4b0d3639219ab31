"""Frames read bit by bit from files are the whole movie normalised in memory; images are three frames in a row."""

import math

import numpy as np
import pytest
import tifffile

from calcium_decoding.data.movies import Movie
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.preprocessing.movie_frames import FrameScaling, MovieFrames, MovieScaling, image_window
from calcium_decoding.preprocessing.windows import WindowSet

T, ROWS, COLUMNS = 700, 12, 8


def pixels(seed, level=1000):
    rng = np.random.default_rng(seed)
    return (level + 50 * np.arange(ROWS)[:, None] + rng.normal(0, 20, (T, ROWS, COLUMNS))).astype(np.uint16)


def written(folder, name, values):
    tifffile.imwrite(folder / f"{name}.tif", values, photometric="minisblack")
    return Movie(folder / f"{name}.tif")


def normalised(values):
    """As published, in one go: minus the mean image, divided by the SD of all pixels before that."""
    values = values.astype(np.float64)
    return (values - values.mean(axis=0)) / values.std()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("movies")
    values = {"a": pixels(1), "b": pixels(2, level=60000)}
    movies = {name: written(folder, name, v) for name, v in values.items()}
    return values, movies, {name: MovieScaling.of(movie) for name, movie in movies.items()}


def test_streamed_scaling_is_that_of_the_whole_movie(two):
    values, movies, scalings = two
    for name in values:
        np.testing.assert_allclose(scalings[name].mean, values[name].mean(axis=0), rtol=1e-6)
        assert scalings[name].sd == pytest.approx(values[name].std(), rel=1e-10)
    some = MovieScaling.of(movies["a"], [(5, 300), (650, 700)])
    kept = np.concatenate([values["a"][5:300], values["a"][650:]])
    np.testing.assert_allclose(some.mean, kept.mean(axis=0), rtol=1e-6)
    assert some.sd == pytest.approx(kept.std(), rel=1e-10)


def test_small_changes_on_a_bright_level_keep_their_digits(tmp_path):
    values = (60000 + np.random.default_rng(0).integers(0, 2, (T, 4, 4))).astype(np.uint16)
    assert MovieScaling.of(written(tmp_path, "m", values)).sd == pytest.approx(values.std(), rel=1e-9)


def test_frames_are_those_of_the_normalised_movies_in_any_order(two):
    values, movies, scalings = two
    expected = np.concatenate([normalised(values[name]) for name in values])
    frames = MovieFrames(movies, scalings)
    assert frames.shape == expected.shape and len(frames) == 2 * T and frames.first_row == {"a": 0, "b": T}
    rows = np.random.default_rng(3).integers(0, 2 * T, (40, 3))
    found = frames[rows]
    assert found.dtype == np.float32 and found.shape == (40, 3, ROWS, COLUMNS)
    np.testing.assert_allclose(found, expected[rows], atol=2e-4)  # float32 of values of 60,000 over an SD of 170
    np.testing.assert_array_equal(frames[690:710], frames[np.arange(690, 710)])
    assert frames[np.arange(2 * T)].shape == expected.shape  # more than one piece of a movie


def test_binning_averages_squares(two):
    _, movies, scalings = two
    whole, binned = MovieFrames(movies, scalings)[10:14], MovieFrames(movies, scalings, bin_px=4)
    assert binned.shape == (2 * T, 3, 2)
    brute = [[whole[:, r : r + 4, c : c + 4].mean(axis=(1, 2)) for c in (0, 4)] for r in (0, 4, 8)]
    np.testing.assert_allclose(binned[10:14], np.moveaxis(np.array(brute), -1, 0), atol=1e-6)


@pytest.mark.parametrize("k", [0, 1, 5])
def test_images_are_three_frames_and_windows_never_cross_a_movie(two, k):
    _, movies, scalings = two
    frames = MovieFrames(movies, scalings)
    labels = {name: np.arange(T) + 1000 * i for i, name in enumerate(movies)}
    windows = WindowSet.over(frames, [(name, frames.first_row[name], labels[name], [(0, T)]) for name in movies],
                             image_window(k))
    assert len(windows) == 2 * (T - 2 - 2 * k)  # 17,998 and 17,988 of 18,000 frames in the study
    last = len(windows) - 1
    np.testing.assert_array_equal(windows.gather([last])[0], frames[2 * T - 3 - 2 * k : 2 * T])
    assert windows.labels[last] == 1000 + T - 2 - k and windows.labels[0] == 1 + k


def test_a_converted_movie_gives_the_same_frames_to_the_bit(two, tmp_path):
    values, movies, scalings = two
    np.save(tmp_path / "a.npy", values["a"])
    mapped = MovieFrames({"a": Movie(tmp_path / "a.npy")}, {"a": scalings["a"]})
    np.testing.assert_array_equal(mapped[0:T], MovieFrames({"a": movies["a"]}, scalings)[0:T])


def test_movies_that_cannot_be_normalised_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"recording m1.*one value in all pixels"):
        MovieScaling.of(written(tmp_path, "flat", np.full((20, 4, 4), 7, np.uint16)), name="m1")
    broken = np.random.default_rng(0).normal(size=(20, 4, 4)).astype(np.float32)
    broken[3, 1, 1] = np.nan
    with pytest.raises(DataError, match=r"recording m2.*NaN or infinite"):
        MovieScaling.of(written(tmp_path, "nan", broken), name="m2")


def test_movies_of_two_sizes_and_bins_that_do_not_fit_are_refused(two, tmp_path):
    _, movies, scalings = two
    small = written(tmp_path, "small", pixels(1)[:, :4])
    with pytest.raises(DataError, match=r"different sizes.*'a': \(12, 8\).*'c': \(4, 8\)"):
        MovieFrames({"a": movies["a"], "c": small}, scalings)
    with pytest.raises(ParameterError, match=r"bin_px.*divisor of 12 and 8"):
        MovieFrames(movies, scalings, bin_px=3)


def test_the_audit_is_told_what_the_scaling_looks_at():
    whole, part = FrameScaling(), FrameScaling("training")
    assert (whole.fitted_on, whole.look_back_frames, whole.look_ahead_frames) == ("each recording", math.inf, math.inf)
    assert (part.fitted_on, part.look_back_frames, part.look_ahead_frames) == ("training frames", 0, 0)
    with pytest.raises(ParameterError, match="session or training"):
        FrameScaling("test")
