"""Looking at what a network on images sees: mean picture, an image as colours, running less rest, and their sizes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from calcium_decoding.preprocessing.movie_frames import CHUNK_FRAMES, MovieFrames, MovieScaling
from calcium_decoding.utils.progress import progress


@dataclass(frozen=True, eq=False)
class View:
    """Pictures of one recording as a network on images gets them.

    ``scaling``: what its frames are normalised by; the mean picture is in camera counts, all pixels of the movie.
    ``frame``: the middle frame of ``image``, which gives it its label. ``image`` (ndarray, shape (3, rows, columns),
    float32): three normalised frames in a row. ``run_less_rest`` (ndarray, shape (rows, columns), float64, or None):
    mean of normalised frames of running less that of rest; None where the animal does one of the two only.
    ``sd_over_time``: SD of a normalised pixel over time, root mean square over pixels.
    """

    recording: object
    scaling: MovieScaling
    frame: int
    image: np.ndarray
    run_less_rest: np.ndarray | None
    sd_over_time: float


def view(experiment, recording):
    """Look at one recording the way an experiment feeds it to its network.

    ``experiment``: ImageExperiment. ``recording``: with a movie. Returns View: the image is that half a second into the
    longest bout of running, or in the middle where there is none. Raises DataError: the movie cannot be normalised.
    """
    settings, name = experiment.settings, recording.id
    ranges = None
    if settings.frame_scaling == "training":
        ranges = next((f.ranges("train")[name] for f in experiment.split.folds if name in f.ranges("train")), None)
    scaling = MovieScaling.of(recording.movie, ranges, name)
    frames = MovieFrames({name: recording.movie}, {name: scaling}, settings.bin_px)
    sums = {0: np.zeros(frames.shape[1:]), 1: np.zeros(frames.shape[1:])}
    squares = 0.0
    for first in progress(range(0, len(frames), CHUNK_FRAMES), desc="look", leave=False):
        pixels = frames[first : first + CHUNK_FRAMES].astype(np.float64)
        run = recording.run[first : first + CHUNK_FRAMES]
        squares += float(np.vdot(pixels, pixels))
        for label in sums:
            sums[label] += pixels[run == label].sum(axis=0)
    n_run = int(recording.run.sum())
    n_rest = len(frames) - n_run
    mean = (sums[0] + sums[1]) / len(frames)
    frame = _in_longest_bout(recording)
    return View(recording, scaling, frame, frames[np.arange(frame - 1, frame + 2)],
                sums[1] / n_run - sums[0] / n_rest if n_run and n_rest else None,
                float(np.sqrt(max(squares / len(frames) / mean.size - np.mean(mean**2), 0.0))))


def _in_longest_bout(recording):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], recording.run.astype(int), [0]]))).reshape(-1, 2)
    if not len(edges):
        return recording.n_frames // 2
    start, stop = max(edges.tolist(), key=lambda bout: bout[1] - bout[0])
    frame = min(start + round(0.5 * recording.rate_hz), stop - 1)
    return int(np.clip(frame, 1, recording.n_frames - 2))


def scaling_table(views):
    """Sizes of what frames are normalised by, and of what is left, a row a recording.

    ``views``: sequence of View. Returns a DataFrame: ``recording``; in camera counts ``mean``, ``SD of all
    pixels`` (over time and space: the one divisor) and ``SD of the mean picture`` (over space alone); in units of the
    divisor ``SD over time, normalised``, of a pixel, and ``run less rest, largest``.
    """
    return pd.DataFrame([{
        "recording": v.recording.id, "mean": float(v.scaling.mean.mean()), "SD of all pixels": v.scaling.sd,
        "SD of the mean picture": float(v.scaling.mean.std()), "SD over time, normalised": v.sd_over_time,
        "run less rest, largest": None if v.run_less_rest is None else float(np.abs(v.run_less_rest).max())}
        for v in views])
