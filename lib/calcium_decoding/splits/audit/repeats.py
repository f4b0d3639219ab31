"""Stretches of frames that occur twice, under whatever name: equal, or each ROI a rescaled copy (gain above 0, offset).

Copies with added noise, resampled in time, with ROIs in another order, or mirrored are not found.
"""

import weakref
from dataclasses import dataclass

import numpy as np

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

    A single equal frame is found where it holds at least 32 different values. Stretches, equal or rescaled, are found
    from the length on that holds 64 turning points over all ROIs: about 10 noisy frames of 50 ROIs, about 100 frames of
    one; at least 10 frames. What occurs more than 8 times is not taken for a copy.
    """
    if dataset not in _known:
        by_width = {}
        for recording in dataset.recordings:
            by_width.setdefault(recording.n_roi, []).append(recording)
        _known[dataset] = tuple(found for group in by_width.values()
                                for found in (*_equal_frames(group), *_rescaled_stretches(group)))
    return _known[dataset]


def _equal_frames(recordings):
    if recordings[0].n_roi < MIN_ROW_VALUES:
        return []
    weights = _weights(recordings[0].n_roi)
    hashes = [(r.signal.view(np.int32).astype(np.int64) @ weights) for r in recordings]
    places = _places(hashes)

    def is_copy(a, i, b, j, length):
        # Looked at frame by frame: cheap, since only frames of equal hash come here.
        one, other = recordings[a].signal[i:i + length], recordings[b].signal[j:j + length]
        return (one == other).all() and len(np.unique(one[0])) >= MIN_ROW_VALUES

    return _stretches(recordings, np.concatenate(hashes), places, 1, is_copy, "equal")


def _rescaled_stretches(recordings):
    turns = [_turns(r.signal) for r in recordings]
    total = sum(int(t.sum()) for t in turns)
    frames = sum(r.n_frames for r in recordings)
    if total < MIN_TURNS:
        return []
    # Long enough that an ordinary stretch has more turning points than asked for.
    length = max(MIN_FRAMES, int(np.ceil(1.5 * MIN_TURNS * frames / total)))
    weights = _weights(recordings[0].n_roi)
    long_enough = [i for i, r in enumerate(recordings) if r.n_frames >= length]
    hashes, places = [], []
    for i in long_enough:
        sign = np.sign(np.diff(recordings[i].signal, axis=0)).astype(np.int64) @ weights
        starts = np.arange(recordings[i].n_frames - length + 1)
        rolling = np.zeros(len(starts), np.int64)
        for k in range(length - 1):  # a polynomial hash; integers wrap around, which is meant
            rolling = rolling * 1_000_003 + sign[k:k + len(starts)]
        inside = np.concatenate([[0], np.cumsum(turns[i])])
        rich = inside[starts + length - 2] - inside[starts] >= MIN_TURNS
        hashes.append(rolling[rich])
        places.append(np.column_stack([np.full(rich.sum(), i), starts[rich]]))
    if not hashes:
        return []

    def is_copy(a, i, b, j, n):
        middle = (n - length) // 2
        one, other = (recordings[r].signal[s + middle:s + middle + length].astype(np.float64)
                      for r, s in ((a, i), (b, j)))
        return _is_rescaled(one, other)

    return _stretches(recordings, np.concatenate(hashes), np.concatenate(places), length, is_copy, "rescaled")


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


def _stretches(recordings, hashes, places, length, is_copy, how):
    """Pairs of places with equal hashes, joined where both move on together, and looked at."""
    order = np.argsort(hashes, kind="stable")
    hashes, places = hashes[order], places[order]
    first = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]]))
    size = np.diff(np.append(first, len(hashes)))
    pairs = [(places[first[size == n] + i], places[first[size == n] + j])
             for n in range(2, COMMON + 1) for i in range(n) for j in range(i + 1, n)]
    one, other = (np.concatenate(side) for side in zip(*pairs, strict=True))
    if not len(one):
        return []
    order = np.lexsort((one[:, 1], other[:, 1] - one[:, 1], other[:, 0], one[:, 0]))
    one, other = one[order], other[order]
    # A new stretch where recordings or distance change, or frames are missing between.
    same = (np.diff(one[:, 0]) == 0) & (np.diff(other[:, 0]) == 0) & (np.diff(other[:, 1] - one[:, 1]) == 0)
    joined = same & (np.diff(one[:, 1]) <= length)
    found = []
    for run in np.split(np.arange(len(one)), np.flatnonzero(~joined) + 1):
        (a, i), (b, j) = one[run[0]], other[run[0]]
        n = int(one[run[-1], 1] - i + length)
        if is_copy(a, i, b, j, n):
            found.append(Duplicate(Segment(recordings[a].id, i, i + n), Segment(recordings[b].id, j, j + n), how))
    return found


def _places(hashes):
    return np.concatenate([np.column_stack([np.full(len(h), i), np.arange(len(h))]) for i, h in enumerate(hashes)])


def _weights(n):
    return np.random.default_rng(0).integers(-2**63, 2**63 - 1, size=n, dtype=np.int64)
