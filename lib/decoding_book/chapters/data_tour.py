"""Looking at recordings: what to show of them, and how their ROIs go with behaviour."""

import numpy as np
import pandas as pd

from calcium_decoding.errors import ParameterError
from calcium_decoding.preprocessing import MovingMeanBaseline


def recording_at(dataset, number):
    """Recording by its place in the data set, counted from 0; ParameterError if there is none."""
    if not 0 <= number < len(dataset.recordings):
        raise ParameterError("example", number, f"0 to {len(dataset.recordings) - 1}, a recording of {dataset.name}",
                             "choose a smaller number")
    return dataset.recordings[number]


def interesting_start_s(recording, length_s, label=None, tested=None):
    """Start, s, of ``length_s`` seconds in which a label (T,), running if left out, is most evenly 0 and not. They lie
    within the first segment of the recording that a Split ``tested`` tests, if it is given."""
    segments = [s for fold in tested.folds for s in fold.test if s.recording == recording.id] if tested else []
    first, stop = (segments[0].start, segments[0].stop) if segments else (0, recording.n_frames)
    n = min(round(length_s * recording.rate_hz), stop - first)
    running = np.concatenate([[0], np.cumsum((recording.run if label is None else label)[first:stop] > 0)])
    share = (running[n:] - running[:-n]) / n
    return float((first + np.argmin(np.abs(share - 0.5))) / recording.rate_hz)


def spread_of_rois(recording, n=8):
    """Columns of ``n`` ROIs spread evenly over the list."""
    return np.unique(np.linspace(0, recording.n_roi - 1, min(n, recording.n_roi)).round().astype(int))


def example_of_test(experiment):
    """The first test recording of the first fold whose test holds two classes (the first fold if none does)."""
    recordings = {r.id: r for r in experiment.dataset.recordings}
    tested = [segment for fold in experiment.split.folds for segment in fold.test]
    labels = ((s, experiment.task.target(recordings[s.recording])[s.start : s.stop]) for s in tested)
    return recordings[next((s for s, mine in labels if len(np.unique(mine)) > 1), tested[0]).recording]


def correlations(dataset, baseline_frames=1000, target="run"):
    """Pearson's ``r`` of each ROI (from 1), less its moving mean and not scaled, with a label of 0 and 1: a row each,
    as in S6 Fig of Ajioka et al. 2024. No row for a recording without both classes, or for a silent ROI."""
    rows = [pd.DataFrame(columns=["animal", "session", "recording", "roi", "r"])]
    for recording in dataset.recordings:
        label = recording.behaviour[target]
        if len(np.unique(label)) < 2:
            continue
        signal = MovingMeanBaseline(baseline_frames).transform(recording.signal).astype(float)
        x, y = signal - signal.mean(axis=0), label - label.mean()
        norm = np.sqrt((x**2).sum(axis=0) * (y**2).sum())
        active = np.flatnonzero(norm)
        rows.append(pd.DataFrame({"animal": recording.animal, "session": recording.session, "recording": recording.id,
                                  "roi": active + 1, "r": (y @ x)[active] / norm[active]}))
    return pd.concat(rows[1:] or rows, ignore_index=True)
