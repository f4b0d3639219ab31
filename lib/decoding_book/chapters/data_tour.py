"""Looking at recordings before anything is decoded: what to show, and what to count."""

import numpy as np
import pandas as pd

from calcium_decoding.data import published
from calcium_decoding.errors import ParameterError
from calcium_decoding.preprocessing import moving_mean

BASELINE_FRAMES = 1000  # as in the study


def recording_at(dataset, number):
    """Recording by its place in the data set, counted from 0; ParameterError if there is none."""
    if not 0 <= number < len(dataset.recordings):
        raise ParameterError("example", number, f"0 to {len(dataset.recordings) - 1}, a recording of {dataset.name}",
                             "choose a smaller number")
    return dataset.recordings[number]


def interesting_start_s(recording, length_s, label=None):
    """Start of the stretch of ``length_s`` seconds in which a label is most evenly 0 and something else, seconds.

    ``label``: shape (T,); running if left out.
    """
    n = min(round(length_s * recording.rate_hz), recording.n_frames)
    running = np.concatenate([[0], np.cumsum((recording.run if label is None else label) > 0)])
    share = (running[n:] - running[:-n]) / n
    return float(np.argmin(np.abs(share - 0.5)) / recording.rate_hz)


def spread_of_rois(recording, n=8):
    """Columns of ``n`` ROIs spread evenly over the list."""
    return np.unique(np.linspace(0, recording.n_roi - 1, min(n, recording.n_roi)).round().astype(int))


def example_of_test(experiment):
    """The first test recording of the first fold whose test holds two classes (the first fold if none does)."""
    recordings = {r.id: r for r in experiment.dataset.recordings}
    for fold in experiment.split.folds:
        for s in fold.test:
            if len(np.unique(experiment.task.target(recordings[s.recording])[s.start : s.stop])) > 1:
                return recordings[s.recording]
    return recordings[experiment.split.folds[0].test[0].recording]


def run_share_table(dataset):
    """Share of running frames by animal, percent: mean and sample SD over recordings; published where comparable."""
    rows = []
    for number, animal in enumerate(dataset.animals, start=1):
        shares = 100 * np.array([r.run.mean() for r in dataset.of_animal(animal)])
        row = {"animal": animal, "recordings": len(shares), "run_share_percent": shares.mean(),
               "sd_percent": shares.std(ddof=1) if len(shares) > 1 else None}
        if dataset.compare_with_study:
            row["published_percent"] = 100 * published.run_share(number)
        rows.append(row)
    return pd.DataFrame(rows)


def correlations_with_running(dataset):
    """Pearson correlation of each ROI, baseline subtracted, with running: a row an animal, mean over its recordings.

    Recordings without both classes are left out, as are ROIs that are silent in a recording. Where animals or days
    differ in their ROIs, each is a column of its own, in one row called "all".
    """
    same = len({r.n_roi for r in dataset.recordings}) == 1
    rows = {}
    for recording in dataset.recordings:
        if len(np.unique(recording.run)) < 2:
            continue
        signal = recording.signal - _baseline(recording)
        r = pearson(signal, recording.run.astype(float))
        rows.setdefault(recording.animal if same else (recording.animal, recording.session), []).append(r)
    means = {key: _mean_of_present(np.array(values)) for key, values in rows.items()}
    if same:
        return pd.DataFrame(means).T
    values = np.concatenate(list(means.values()))
    return pd.DataFrame([values[np.isfinite(values)]], index=["all"])


def slow_share(dataset):
    """Share of variance slower than the study's 1,000-frame baseline, percent, one value a ROI and animal or day.

    ROIs that are silent in a recording have no variance to share and are left out of its mean.
    """
    shares = {}
    for recording in dataset.recordings:
        variance = recording.signal.var(axis=0, dtype=float)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = 100 * _baseline(recording).var(axis=0) / variance
        shares.setdefault((recording.animal, recording.n_roi), []).append(np.where(variance > 0, share, np.nan))
    values = np.concatenate([_mean_of_present(np.array(rows)) for rows in shares.values()])
    return values[np.isfinite(values)]


def _baseline(recording):
    # A baseline as long as the recording would be its mean, and hide nothing: say so by returning the mean.
    if recording.n_frames < 2 * BASELINE_FRAMES:
        return np.broadcast_to(recording.signal.mean(axis=0), recording.signal.shape)
    return moving_mean(recording.signal, BASELINE_FRAMES)


def pearson(signal, label):
    """Correlation of each column of a signal, shape (T, n_roi), with a label, shape (T,); NaN where it is silent."""
    x, y = signal - signal.mean(axis=0), label - label.mean()
    norm = np.sqrt((x**2).sum(axis=0) * (y**2).sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(norm > 0, x.T @ y / norm, np.nan)


def _mean_of_present(rows):
    """Mean over rows of what is not NaN; NaN where a column has nothing."""
    present = np.isfinite(rows)
    n = present.sum(axis=0)
    return np.where(n > 0, np.where(present, rows, 0.0).sum(axis=0) / np.maximum(n, 1), np.nan)
