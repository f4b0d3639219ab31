"""Saturated movies and frames without a picture: planted, counted, refused beyond one percent."""

import numpy as np
import pytest

from calcium_decoding.data.movies import Movie
from calcium_decoding.errors import DataError
from calcium_decoding.preprocessing.exposure import check_exposure
from calcium_decoding.simulation import widefield

CLEAN = np.random.default_rng(1).integers(200, 3000, size=(500, 20, 20)).astype(np.uint16)


def movie(folder, frames, dtype=np.uint16):
    np.save(folder / "m.npy", frames.astype(dtype))
    return Movie(folder / "m.npy")


def saturated(share, top, seed=0):
    """The clean movie with a planted share of values at the top, and the values, frames and pixels that have it."""
    frames = CLEAN.astype(np.int64)
    hit = np.random.default_rng(seed).random(frames.shape) < share
    frames[hit] = top
    return frames, hit.sum(), hit.any(axis=(1, 2)).sum(), hit.any(axis=0).sum()


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int32, np.float32])
def test_a_clean_movie_is_accepted_without_a_note(tmp_path, dtype):
    assert check_exposure(movie(tmp_path, CLEAN, dtype)) == ()


def test_a_simulated_movie_is_clean(tmp_path):
    settings = widefield.SimulationSettings(animals=1, sessions_per_animal=1, frames_per_session=300)
    frames = widefield.render(widefield.simulate_session(settings, 1, 1))
    assert check_exposure(movie(tmp_path, frames)) == ()


@pytest.mark.parametrize(("dtype", "top"), [
    (np.uint16, 65_535), (np.uint16, 4095), (np.uint16, 16_383), (np.int16, 32_767), (np.float32, 65_535),
    (np.uint32, 2**32 - 1)])
def test_saturation_is_counted_and_beyond_one_percent_refused(tmp_path, dtype, top):
    frames, values, of_frames, of_pixels = saturated(0.004, top)
    note, = check_exposure(movie(tmp_path, frames, dtype))
    assert note.startswith(f"{values} pixel values (0.41 %) at {top}, the ceiling, ")
    assert note.endswith(f"in {of_frames} of 500 frames and {of_pixels} of 400 pixels")
    frames, values, *_ = saturated(0.012, top)
    with pytest.raises(DataError, match=rf"{values} pixel values \(1\.2 %\).*at most 1 %"):
        check_exposure(movie(tmp_path, frames, dtype))


def test_eight_bits(tmp_path):
    frames = np.clip(CLEAN // 8, 0, 255)
    assert (frames == 255).mean() > 0.1
    with pytest.raises(DataError, match="at 255, the ceiling"):
        check_exposure(movie(tmp_path, frames, np.uint8))
    assert check_exposure(movie(tmp_path, np.clip(frames, 0, 254), np.uint8)) == ()


def test_the_highest_value_counts_wherever_it_comes(tmp_path):
    """A value that looks like a ceiling is none if the movie goes beyond it later, in another stretch."""
    frames = np.random.default_rng(2).integers(200, 3000, size=(300, 150, 150))
    frames[:40, :10] = 4095
    assert check_exposure(movie(tmp_path, frames)) != ()  # 13 MB, two stretches; 0.9 %
    frames[290, 3, 4] = 4096
    assert check_exposure(movie(tmp_path, frames)) == ()
    frames[290, 3, 4] = 65_535
    note, = check_exposure(movie(tmp_path, frames))
    assert note.startswith("1 pixel values") and "in 1 of 300 frames" in note


def test_frames_of_one_value_are_named(tmp_path):
    frames = CLEAN.copy()
    frames[7], frames[499] = 0, 812
    assert check_exposure(movie(tmp_path, frames)) == ("2 of 500 frames of one value in all pixels: 7, 499",)
    frames[100:110] = 0
    with pytest.raises(DataError, match=r"12 of 500 frames of one value.*: 7, 100, 101, 102, 103\.\.\."):
        check_exposure(movie(tmp_path, frames))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_no_numbers_are_refused(tmp_path, value):
    frames = CLEAN.astype(np.float32)
    frames[41, 3, 3] = value
    with pytest.raises(DataError, match="NaN or infinite pixels in frame 41"):
        check_exposure(movie(tmp_path, frames, np.float32))


def test_only_the_frames_that_are_used_are_looked_at(tmp_path):
    frames = CLEAN.copy()
    frames[300:] = 65_535
    assert check_exposure(Movie(movie(tmp_path, frames).path, 300)) == ()
