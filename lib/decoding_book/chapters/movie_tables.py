"""Chapters 20 and 21: losses of decoders of movies by epoch, and what networks on images see."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd

from calcium_decoding.evaluation import cards
from calcium_decoding.experiments import compare
from calcium_decoding.plotting.style import stretches
from calcium_decoding.preprocessing.movie_frames import CHUNK_FRAMES, MovieFrames, MovieScaling
from calcium_decoding.utils.progress import progress


def epochs(folds):
    """Losses by epoch from 1, nats a frame, a row a fold and epoch; ``kept``: its weights were. Empty without any."""
    rows = [(f.model, f.fold, epoch + 1, *losses, epoch == f.history.best_epoch) for f in folds
            for epoch, losses in enumerate(zip(f.history.train_loss, f.history.valid_loss, strict=True))]
    return pd.DataFrame(rows, columns=["model", "fold", "epoch", "training_loss", "validation_loss", "kept"])


def loss_scores(losses):
    """Validation loss of :func:`epochs` after the first and after the last epoch, over folds, for the result card."""
    scores = []
    for model, mine in losses.groupby("model", sort=False):
        by_fold = mine.groupby("fold", sort=False)["validation_loss"]
        scores += cards.summarise(model, by_fold.first(), "valid_loss_first")
        scores += cards.summarise(model, by_fold.last(), "valid_loss_last")
    return scores


def under_models(found):
    """The same conditions called after their decoders, under which the ledger looks for them on the card."""
    return [replace(result, condition=replace(result.condition, name=result.condition.model)) for result in found]


def view(experiment, recording):
    """Images of one recording as an experiment on movies feeds them to its network: ``scaling`` (MovieScaling);
    ``image`` (float32, shape (3, rows, columns)): normalised frames about ``frame``, half a second into the longest
    bout of running, or in the middle; ``run_less_rest`` (shape (rows, columns)): mean of running frames less that of
    rest, NaN where there is one of the two only; ``sd_over_time``: of a normalised pixel, root mean square over pixels.
    DataError: the movie cannot be normalised."""
    settings, name = experiment.input, recording.id
    ranges = None
    if settings.frame_scaling == "training":
        ranges = next((f.ranges("train")[name] for f in experiment.split.folds if name in f.ranges("train")), None)
    scaling = MovieScaling.of(recording.movie, ranges, name)
    frames = MovieFrames({name: recording.movie}, {name: scaling}, settings.bin_px)
    sums, squares = np.zeros((2, *frames.shape[1:])), 0.0  # of rest and of running; of all
    for first in progress(range(0, len(frames), CHUNK_FRAMES), desc="look", leave=False):
        here = slice(first, first + CHUNK_FRAMES)
        pixels = frames[here].astype(np.float64)
        squares += float(np.vdot(pixels, pixels))
        for state in (0, 1):
            sums[state] += pixels[recording.run[here] == state].sum(axis=0)
    mean, counts = sums.sum(axis=0) / len(frames), np.bincount(recording.run, minlength=2)
    with np.errstate(invalid="ignore"):
        rest, run = sums / counts[:, None, None]
    frame, bouts = recording.n_frames // 2, stretches(recording.run)
    if len(bouts):
        start, stop = bouts[np.ptp(bouts, axis=1).argmax()]
        frame = int(np.clip(min(start + round(0.5 * recording.rate_hz), stop - 1), 1, recording.n_frames - 2))
    return SimpleNamespace(
        scaling=scaling, frame=frame, image=frames[np.arange(frame - 1, frame + 2)], run_less_rest=run - rest,
        sd_over_time=float(np.sqrt(max(squares / len(frames) / mean.size - np.mean(mean**2), 0.0))))


def window_table(found):
    """Window, look-ahead from the labelled frame, measured cost and score of each decoder of images. ``passes``: of the
    network on images for each window, by itself or with features shared over uninterrupted windows."""
    rows = []
    for result in found:
        experiment, folds = result.condition.experiment, result.evaluable()
        spec = experiment.input.spec(result.condition.model)
        images, windows = spec.length - 2, [len(fold.labels) / len(fold.recordings) for fold in folds]
        rows.append({
            "condition": result.name, "images": images, "frames": spec.length,
            "look-ahead (ms)": round(spec.look_ahead_ms(experiment.dataset.recordings[0].rate_hz)),
            "passes, one by one": images,
            "passes, shared": round(1 + (images - 1) / np.mean(windows), 2) if folds else None,
            "seconds a fold": round(np.mean([fold.seconds for fold in folds])) if folds else None})
    scores = compare.table(found).filter(["condition", "folds", "mean", "SD", "training"])
    return pd.DataFrame(rows).merge(scores, on="condition")
