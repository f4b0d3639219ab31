"""Movements from the behaviour of BraiDyn-BC, windows around their onsets, and the decoder of others."""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from calcium_decoding.data import frame_times, speed_from_position
from calcium_decoding.errors import DataError
from calcium_decoding.models import Estimator

# Of each movement: the behaviour, what it has to exceed, and the pause (s) that does not end it.
MOVEMENTS = {"lever": ("state_lever", 0.5, 0.2), "lick": ("lick", 0.5, 0.5),
             "right paw": ("rightpaw", None, 0.2), "left paw": ("leftpaw", None, 0.2)}
SMOOTHED_S = 0.1  # over which the speed of a paw is taken, up to the frame
# AUC, leave one mouse out, of 25 recorded mice: github.com/v1hns/braidyn-decoding at 2b884ad, not peer-reviewed.
REPORTED = pd.DataFrame([("lever", 0.804, 0.909), ("lick", 0.850, 0.962)],
                        columns=["movement", "linear, reported", "GRU, reported"])


def movements(dataset, paw_px_s):
    """The data set with each of :data:`MOVEMENTS` as behaviour of 0 and 1, its pauses filled; paws move if faster than
    ``paw_px_s``. Their labels look ahead by the pause, which the audit counts."""
    recordings = []
    for recording in dataset.recordings:
        behaviour, reach = dict(recording.behaviour), dict(recording.reach)
        for name, (source, above, pause_s) in MOVEMENTS.items():
            columns = [source] if above is not None else [f"{source}_x_px", f"{source}_y_px"]
            if lacking := [column for column in columns if column not in behaviour]:
                raise DataError(recording.id, f"behaviour {', '.join(recording.behaviour)}", " and ".join(lacking),
                                "read them by the option behaviour, as the entry braidyn-bc of data_manifest.yaml does")
            pause, (back, ahead) = round(pause_s * recording.rate_hz), recording.reach.get(columns[0], (0, 0))
            if above is None:
                speed = speed_from_position(np.stack([behaviour[column] for column in columns], axis=1), SMOOTHED_S,
                                            frame_times(recording), causal=True)
                moves, back = speed.values > paw_px_s, back + speed.reach[0]  # noqa: PD011
            else:
                moves = behaviour[source] > above
            padded = np.pad(moves, pause)
            behaviour[name] = ndimage.binary_closing(padded, np.ones(pause + 1))[pause:len(padded) - pause]
            reach[name] = back + pause, ahead + pause
        recordings.append(replace(recording, behaviour=behaviour, reach=reach))
    return replace(dataset, recordings=tuple(recordings))


def around(dataset, movement, window, quiet_s=2.0):
    """The data set with nothing usable but a window around each onset of a movement and around frames far from any.

    Each usable stretch is one window long, so that one window lies in it, and the movement is 1 at the labelled frame
    of those of onsets alone. Quiet frames are ``quiet_s`` or more from all frames of the movement. Windows do not
    overlap: an onset too soon after another one, or too near to an end, is left out, and notes say how many. DataError:
    a recording without any.
    """
    back, ahead = window.past_frames, window.future_frames + 1
    recordings = []
    for recording in dataset.recordings:
        moves = recording.behaviour[movement] > 0.5
        onsets = np.flatnonzero(np.diff(moves, prepend=moves[:1]) & moves)
        near = ndimage.binary_dilation(moves, np.ones(2 * round(quiet_s * recording.rate_hz) + 1))
        taken, label, kept = np.zeros(recording.n_frames + 1, bool), np.zeros(recording.n_frames), []
        for is_onset, frames in ((True, onsets), (False, np.flatnonzero(~near))):
            for frame in frames:
                first, last = frame - back, frame + ahead
                if first >= 0 and last <= recording.n_frames and not taken[max(0, first - 1):last + 1].any():
                    taken[first:last] = True
                    label[frame] = is_onset
                    kept.append((int(first), int(last)))
        if not kept:
            raise DataError(recording.id, f"no window around an onset of {movement}, and no quiet one",
                            "some of either", "leave the recording out, or shorten the window")
        note = f"{label.sum():.0f} of {len(onsets)} onsets of {movement}, {len(kept) - label.sum():.0f} quiet windows"
        recordings.append(replace(recording, behaviour={movement: label}, reach={movement: recording.reach[movement]},
                                  stretches=tuple(sorted(kept)), notes=(*recording.notes, note)))
    return replace(dataset, recordings=tuple(recordings))


def counts(dataset, movement):
    """Windows around onsets of a movement, and quiet ones, by animal, a DataFrame."""
    rows = [(r.animal, r.behaviour[movement].sum(), len(r.stretches)) for r in dataset.recordings]
    table = pd.DataFrame(rows, columns=["animal", "onsets", "windows"]).groupby("animal", sort=False).sum()
    return table.assign(quiet=table["windows"] - table["onsets"]).astype(int)


def after_less_before(windows):
    """Mean over the last two thirds of each window less the mean over its first third, (k, n_roi)."""
    first = windows.shape[1] // 3
    return windows[:, first:].mean(axis=1) - windows[:, :first].mean(axis=1)


def linear():
    """Logistic regression on :func:`after_less_before`, a decoder."""
    return Estimator(make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000)),
                     features=after_less_before, name="linear")


def without_cue(result, dataset, frames, cue="tone"):
    """AUC by fold, an array, of the test windows of a ConditionResult that hold no ``cue``: none at the labelled
    frame nor in so many before it. NaN where one class is left."""
    cues, found = {r.id: r.behaviour[cue] > 0.5 for r in dataset.recordings}, []
    for fold in result.evaluable():
        keeps = np.ones(len(fold.labels), bool)
        for i, name in enumerate(fold.recordings):
            heard = np.convolve(cues[name], np.ones(frames + 1))[:len(cues[name])] > 0.5
            keeps[fold.recording == i] = ~heard[fold.centre[fold.recording == i]]
        labels = fold.labels[keeps]
        found.append(roc_auc_score(labels, fold.predicted[keeps]) if 0 < labels.mean() < 1 else np.nan)
    return np.array(found)
