"""Stretches of frames that occur twice, under whatever name: equal, or each ROI a rescaled copy (gain above 0, offset).

Copies with added noise, resampled in time, with ROIs in another order, or mirrored are not found.
"""

import weakref
from dataclasses import dataclass

import numpy as np
import pandas as pd

from calcium_decoding.splits.core import Segment

MIN_ROW_VALUES = 32  # a single frame counts as a copy only if it holds so many different values
MIN_TURNS = 64  # a rescaled stretch has to share so many turning points, over frames and ROIs
MIN_FRAMES = 10
COMMON = 8  # what occurs more often than this is coarse data (all cells silent), not a copy
CORRELATION = 1 - 1e-5

_known = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Duplicate:
    """Frames that occur at two places, equally long segments; ``how``: ``"equal"`` or ``"rescaled"``."""

    one: Segment
    other: Segment
    how: str


def duplicates(dataset):
    """All stretches of frames that occur twice in a data set, a tuple of Duplicate; computed once for each data set.

    A single equal frame is found where it holds at least 32 different values; stretches, equal or rescaled, where they
    hold 64 turning points over all ROIs and 10 frames. What occurs more than 8 times is not taken for a copy.
    """
    if dataset not in _known:
        widths = dict.fromkeys(r.n_roi for r in dataset.recordings)
        groups = [[r for r in dataset.recordings if r.n_roi == width] for width in widths]
        _known[dataset] = tuple(found for group in groups
                                for found in (*_equal_frames(group), *_rescaled_stretches(group)))
    return _known[dataset]


def _equal_frames(recordings):
    if recordings[0].n_roi < MIN_ROW_VALUES:
        return []
    weights = _weights(recordings[0].n_roi)
    places = pd.concat([_places(i, np.arange(r.n_frames), r.signal.view(np.int32).astype(np.int64) @ weights)
                        for i, r in enumerate(recordings)])

    def is_copy(a, i, b, j, length):
        # Looked at frame by frame: cheap, since only frames of equal hash come here.
        one, other = recordings[a].signal[i:i + length], recordings[b].signal[j:j + length]
        return (one == other).all() and len(np.unique(one[0])) >= MIN_ROW_VALUES

    return _stretches(recordings, places, 1, is_copy, "equal")


def _rescaled_stretches(recordings):
    turns = [_turns(r.signal) for r in recordings]
    total = sum(int(t.sum()) for t in turns)
    if total < MIN_TURNS:
        return []
    # Long enough that an ordinary stretch has more turning points than asked for.
    length = max(MIN_FRAMES, int(np.ceil(1.5 * MIN_TURNS * sum(r.n_frames for r in recordings) / total)))
    weights = _weights(recordings[0].n_roi)
    places = [_places(0, [], [])]
    for i, recording in enumerate(recordings):
        starts = np.arange(recording.n_frames - length + 1)
        if not len(starts):
            continue
        sign = np.sign(np.diff(recording.signal, axis=0)).astype(np.int64) @ weights
        rolling = np.zeros(len(starts), np.int64)
        for k in range(length - 1):  # a polynomial hash; integers wrap around, which is meant
            rolling = rolling * 1_000_003 + sign[k:k + len(starts)]
        inside = np.concatenate([[0], np.cumsum(turns[i])])
        rich = inside[starts + length - 2] - inside[starts] >= MIN_TURNS
        places.append(_places(i, starts[rich], rolling[rich]))

    def is_copy(a, i, b, j, n):
        middle = (n - length) // 2
        return _is_rescaled(*(recordings[r].signal[s + middle:s + middle + length].astype(np.float64)
                              for r, s in ((a, i), (b, j))))

    return _stretches(recordings, pd.concat(places), length, is_copy, "rescaled")


def _turns(signal):
    """Turning points over all ROIs between frames t, t + 1 and t + 2, shape (T - 2,)."""
    sign = np.sign(np.diff(signal, axis=0)).astype(np.int8)
    return ((sign[1:] != sign[:-1]) & (sign[1:] != 0) & (sign[:-1] != 0)).sum(axis=1)


def _is_rescaled(one, other):
    """True if each ROI of one is a positive gain times the other's plus an offset."""
    one, other = one - one.mean(axis=0), other - other.mean(axis=0)
    sizes = np.sqrt((one**2).sum(axis=0) * (other**2).sum(axis=0))
    moves = sizes > 0
    constant_in_one_only = (one.any(axis=0) != other.any(axis=0)).any()
    return moves.any() and not constant_in_one_only and bool(
        ((one * other).sum(axis=0)[moves] >= CORRELATION * sizes[moves]).all())


def _places(recording, start, value):
    """A table of stretches: number of the recording, first frame, and hash."""
    return pd.DataFrame({"recording": recording, "start": start, "hash": value}, dtype=np.int64)


def _stretches(recordings, places, length, is_copy, how):
    """Pairs of places with equal hashes, joined where both move on together, and looked at."""
    places = places[places.groupby("hash")["hash"].transform("size").between(2, COMMON)]
    pairs = places.merge(places, on="hash", suffixes=("", "_2")).eval("apart = start_2 - start")
    pairs = pairs.query("recording < recording_2 or (recording == recording_2 and apart > 0)")
    which = ["recording", "recording_2", "apart"]
    pairs = pairs.sort_values([*which, "start"])
    # A new stretch where recordings or distance change, or frames are missing between.
    is_first = (pairs[which].diff() != 0).any(axis=1) | (pairs["start"].diff() > length)
    last = pairs["start"].groupby(is_first.cumsum()).max()
    found = []
    for (a, i, b, j), end in zip(pairs.loc[is_first, ["recording", "start", "recording_2", "start_2"]].to_numpy(), last,
                                 strict=True):
        n = end - i + length
        if is_copy(a, i, b, j, n):
            found.append(Duplicate(Segment(recordings[a].id, i, i + n), Segment(recordings[b].id, j, j + n), how))
    return found


def _weights(n):
    return np.random.default_rng(0).integers(-2**63, 2**63 - 1, size=n, dtype=np.int64)
