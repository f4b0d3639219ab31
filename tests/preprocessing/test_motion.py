"""Motion correction: known movement is gone, what lies still stays as it is, copies are found again."""

import re
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import fourier_shift
from scipy.ndimage import shift as spline_shift
from skimage.registration import phase_cross_correlation

from calcium_decoding.data.movies import Movie, write_movie
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import DataError
from calcium_decoding.preprocessing import motion
from calcium_decoding.preprocessing.motion import Registration, motion_corrected, moved
from calcium_decoding.simulation import widefield
from calcium_decoding.simulation.widefield import SimulationSettings, simulate_session

SMALL = widefield.anatomy(1, 1).resting.astype(np.float64).reshape(32, 4, 32, 4).mean(axis=(1, 3))


def of_movies(folder, *movies):
    """A data set with a recording for each movie, given as an array."""
    folder.mkdir(exist_ok=True)
    recordings = []
    for i, movie in enumerate(movies):
        write_movie(folder / f"{i}.tif", [movie], movie.shape, movie.dtype)
        recordings.append(Recording(np.zeros((len(movie), 2)), {"run": np.arange(len(movie)) % 2}, 30.0, f"a{i}", "s",
                                    notes=("as it was",), movie=Movie(folder / f"{i}.tif")))
    return Dataset("movies", tuple(recordings), compare_with_study=True)


def small_movie(dtype=np.uint16, brightest=None, seed=0):
    """Twelve frames of the brain, seen with a quarter of the resolution and moved at random."""
    frames = moved(np.tile(SMALL, (12, 1, 1)), np.random.default_rng(seed).normal(0, 0.5, (12, 2)))
    return np.clip(frames * (brightest or SMALL.max()) / SMALL.max(), 0, brightest).astype(dtype)


def shifts_by_another_library(frames):
    """How far frames lie from their mean as scikit-image finds it, (n, 2)."""
    return -np.stack([phase_cross_correlation(frames.mean(axis=0), frame.astype(float), upsample_factor=100,
                                              normalization=None)[0] for frame in frames[::10]])


@pytest.fixture(scope="module")
def shaken(tmp_path_factory):
    """A simulated session whose brain was moved by known shifts, SD of half a pixel: before and after correction."""
    folder, planted = tmp_path_factory.mktemp("shaken"), np.random.default_rng(5).normal(0, 0.5, (300, 2))
    session = simulate_session(SimulationSettings(frames_per_session=300), 1, 0)
    session = replace(session, run_shift_px=planted, sway_px=np.zeros_like(planted))
    before = of_movies(folder / "raw", session.movie())
    return planted, before, motion_corrected(before, folder / "corrected"), folder / "corrected"


def test_known_movement_is_gone_as_another_library_sees_it(shaken):
    planted, before, after, _ = shaken
    found, left = (shifts_by_another_library(data.recordings[0].movie[:]) for data in (before, after))
    assert np.corrcoef(found[:, 0], planted[::10, 0])[0, 1] > 0.99  # the other library does see it
    assert found.std(axis=0).min() > 0.3 and left.std(axis=0).max() < 0.01 and np.abs(left).max() < 0.03


def test_what_is_left_does_not_tell_how_far_a_frame_was_moved(shaken):
    """One round leaves a fixed part of each shift: tiny, but a decoder scales what it sees."""
    planted, before, after, _ = shaken
    frames = after.recordings[0].movie[:].astype(np.float32)
    left = Registration(frames.mean(axis=0)).shifts(frames)
    raw = before.recordings[0].movie[:].astype(np.float32)
    once = moved(raw, -Registration(raw.mean(axis=0)).shifts(raw))
    of_one_round = Registration(once.mean(axis=0)).shifts(once)
    for axis in (0, 1):
        assert np.corrcoef(of_one_round[:, axis], planted[:, axis])[0, 1] > 0.8
        assert abs(np.corrcoef(left[:, axis], planted[:, axis])[0, 1]) < 0.3
    assert np.abs(left).max() < 0.001


def test_the_recording_says_so_and_the_rest_of_it_is_as_it_was(shaken):
    _, before, after, _ = shaken
    one, other = before.recordings[0], after.recordings[0]
    assert other.notes[0] == "as it was" and "movie corrected for motion, traces not" in other.notes[1]
    moved = float(re.search(r"moved by ([\d.]+) pixels", other.notes[1])[1])
    assert moved == pytest.approx(np.sqrt(2) / 2, rel=0.1)  # root mean square of two axes with an SD of 0.5
    assert other.content_hash() == one.content_hash() and other.movie.content_hash() != one.movie.content_hash()
    assert after.name == "movies, motion-corrected" and not after.compare_with_study
    assert (other.movie.dtype, other.movie.shape) == (one.movie.dtype, one.movie.shape) and other.movie.maps
    assert one.notes == ("as it was",)


def test_a_later_run_finds_the_movie_and_a_damaged_one_is_made_again(shaken, monkeypatch):
    _, before, after, folder = shaken
    path = after.recordings[0].movie.path
    made = path.stat().st_mtime_ns
    monkeypatch.setattr(Registration, "shifts", lambda *_: pytest.fail("registered again"))
    assert motion_corrected(before, folder).recordings[0].movie.path == path and path.stat().st_mtime_ns == made
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    motion_corrected(before, folder)
    assert path.read_bytes() == whole
    monkeypatch.setattr(motion, "code_digest", lambda *_: "another")
    monkeypatch.setattr(motion, "_kept_shifts", lambda movie, _: np.zeros((len(movie), 2), np.float32))
    found = motion_corrected(before, folder).recordings[0].movie
    assert [p.name for p in folder.glob("corrected-*")] == [found.path.name] != [path.name]


def test_frames_are_moved_as_scipy_moves_them():
    rng = np.random.default_rng(1)
    frames, shifts = SMALL[:30] + rng.normal(0, 50, (4, 30, 32)), rng.uniform(-3, 3, (4, 2))
    mirrored = np.concatenate([frames, frames[:, ::-1]], axis=1)
    mirrored = np.concatenate([mirrored, mirrored[:, :, ::-1]], axis=2)
    theirs = [np.fft.ifft2(fourier_shift(np.fft.fft2(frame), by)).real[:30, :32]
              for frame, by in zip(mirrored, shifts, strict=True)]
    assert_allclose(moved(frames, shifts), theirs, rtol=1e-5, atol=0.05)
    whole = moved(frames, np.tile([2, -3], (4, 1)))
    assert_allclose(whole[:, 2:, :-3], frames[:, :-2, 3:], rtol=1e-5, atol=0.05)
    assert_allclose(whole[:, :2], moved(frames, np.tile([0, -3], (4, 1)))[:, 1::-1], rtol=1e-5, atol=0.05)  # mirrored


def test_noise_is_as_strong_after_a_move_as_before_and_with_straight_lines_it_is_not():
    noise = np.random.default_rng(2).normal(size=(20, 48, 48)).astype(np.float32)
    for by in (0.25, 0.5, 1.3):
        assert moved(noise, np.full((20, 2), by)).var() == pytest.approx(noise.var(), rel=0.05)
    assert spline_shift(noise[0], 0.5, order=1).var() < 0.5 * noise[0].var()


def test_a_still_movie_stays_as_it_is(tmp_path):
    still = np.rint(np.linspace(0.8, 1.2, 12)[:, None, None] * SMALL).astype(np.uint16)
    noisy = np.rint(SMALL + np.random.default_rng(3).normal(0, 40, (12, *SMALL.shape))).clip(0).astype(np.uint16)
    data = motion_corrected(of_movies(tmp_path / "raw", still, noisy), tmp_path / "c")
    clean, other = (recording.movie[:].astype(int) for recording in data.recordings)
    assert_allclose(clean, still.astype(int), atol=1 + 0.001 * still.max())
    assert (other - noisy.astype(int)).std() < 0.2 * 40


@pytest.mark.parametrize(("dtype", "brightest"), [(np.uint8, 255), (np.int16, 32767), (np.float32, None)])
def test_the_type_is_kept_and_nothing_wraps_around(tmp_path, dtype, brightest):
    movie = small_movie(dtype, brightest)
    (recording,) = motion_corrected(of_movies(tmp_path / "raw", movie), tmp_path / "c").recordings
    found = recording.movie[:]
    assert found.dtype == dtype == np.load(recording.movie.path).dtype
    assert np.abs(found.astype(float) - movie.mean(axis=0)).max() < 0.3 * float(movie.max())


def test_what_cannot_be_corrected_is_refused_by_name(tmp_path):
    good, dark = small_movie(), small_movie(seed=1)
    dark[7] = 5
    data = of_movies(tmp_path / "raw", good, dark)
    without = replace(data, recordings=(data.recordings[0], replace(data.recordings[1], movie=None)))
    with pytest.raises(DataError, match="a1/s: found no movie"):
        motion_corrected(without, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with pytest.raises(DataError, match=r"a1/s, movie.*frame 7"):
        motion_corrected(data, tmp_path / "c")
    assert len(list((tmp_path / "c").glob("*corrected*.npy"))) == 1  # of the other movie; nothing partial


def test_frames_out_of_reach_are_counted(tmp_path):
    movie = np.tile(SMALL, (12, 1, 1))
    movie[4] = np.roll(movie[4], 9, axis=0)  # 8 are the most in an image of 32 pixels a side
    (recording,) = motion_corrected(of_movies(tmp_path / "raw", movie.astype(np.uint16)), tmp_path / "c").recordings
    assert "1 frames lie 8 pixels or more away" in recording.notes[-1]
    assert_array_equal(recording.behaviour["run"], np.arange(12) % 2)
