"""Ways to cut the link between brain and behaviour: each takes a data set and gives another."""

from dataclasses import replace

import numpy as np

from calcium_decoding.errors import DataError, ParameterError

# Whose behaviour the session at each place got, counted from 0, in mice 1 to 5 of Ajioka et al. 2024 (their code).
PUBLISHED_ORDER = (
    (0, 4, 5, 7, 8, 9, 3, 1, 6, 10, 2),
    (4, 7, 5, 2, 3, 10, 8, 6, 11, 9, 1, 0),
    (5, 10, 12, 8, 6, 9, 11, 2, 3, 7, 1, 4, 13, 0),
    (13, 10, 14, 8, 2, 11, 12, 5, 1, 6, 4, 3, 9, 7, 0),
    (7, 8, 1, 4, 9, 6, 2, 11, 0, 5, 10, 3),
)


def derangement(n, rng):
    """A random permutation of ``range(n)``, n at least 2, that moves every element, uniform among those; int64."""
    while True:
        order = rng.permutation(n)
        if not (order == np.arange(n)).any():
            return order


def permutation(n, rng):
    """A random permutation of ``range(n)``, uniform among all: some elements may stay."""
    return rng.permutation(n)


def repair_sessions(dataset, seed):
    """Pair each recording's signal with the behaviour of another session of the same animal; none keeps its own.

    Both are cut to the shorter of the two, from the start, so time within the session stays aligned: a drift that
    signal and behaviour share survives, which is what this null is for. Parts of a session are permuted within it.
    Raises DataError: nothing to pair a recording with. The study permuted sessions once, with three of 64 left in
    place; the idea is discussed in Harris 2020, DOI 10.1101/2020.11.29.402719.
    """
    return _reorder(dataset, seed, derangement)


def permute_sessions(dataset, seed):
    """As :func:`repair_sessions`, but a session may, by chance, keep its own behaviour.

    The real pairing is then one of those drawn from, which makes :func:`~calcium_decoding.evaluation.nulls.p_value`
    exact where sessions are exchangeable: a permutation test has to draw from a group, and the permutations without
    fixed points are none (Southworth et al. 2009; Hemerik & Goeman 2018, DOI 10.1007/s11749-017-0571-1).
    """
    return _reorder(dataset, seed, permutation)


def published_permutation(dataset, seed=None):
    """The one permutation of sessions that the study used; ``seed`` plays no part.

    Three of 64 sessions keep their own behaviour: 1 of mouse 1, 10 of mouse 2 and 11 of mouse 5, counted from 1. Raises
    DataError: other numbers of sessions by animal than the study's 11, 12, 14, 15 and 12. From the public code of
    Ajioka et al. 2024, DOI 10.1371/journal.pcbi.1011074, which drew it with seed 123.
    """
    found, wanted = [len(dataset.of_animal(a)) for a in dataset.animals], [len(order) for order in PUBLISHED_ORDER]
    if found != wanted or any(r.part for r in dataset.recordings):
        raise DataError(dataset.name, f"{found} recordings by animal", f"the study's {wanted} sessions",
                        "use the null 'repairing', which draws anew for any numbers of sessions")
    orders = iter(PUBLISHED_ORDER)
    return _reorder(dataset, 0, lambda n, rng: next(orders))


def shift_reach(dataset):
    """Largest shift of :func:`linear_shift`, frames: a quarter of the shortest recording."""
    return min(r.n_frames for r in dataset.recordings) // 4


def shift_behaviour(dataset, shift_frames):
    """Shift behaviour against signal without wrapping, within a window that is the same for every shift.

    Of each recording, the signal is cut to frames N .. T-N-1, N being :func:`shift_reach`, and gets the behaviour of
    ``shift_frames`` (-N .. N) frames later. A score may only be compared with scores of the same window,
    ``shift_behaviour(dataset, 0)``. Raises ParameterError: a shift beyond N; DataError: a recording of fewer than four
    frames.
    """
    reach = shift_reach(dataset)
    if not reach:
        raise DataError(dataset.name, "a recording of fewer than 4 frames", "4 frames or more", "leave it out")
    if abs(shift_frames) > reach:
        raise ParameterError("shift_frames", shift_frames, f"a shift of -{reach} .. {reach} frames, a quarter of the "
                             "shortest recording", "shift less, or leave short recordings out")

    def shifted(r):
        here = slice(reach, r.n_frames - reach)
        there = slice(here.start + shift_frames, here.stop + shift_frames)
        return _with(r, f"behaviour shifted by {shift_frames} frames, central window",
                     {name: values[there] for name, values in r.behaviour.items()}, r.signal[here])

    return replace(dataset, recordings=tuple(map(shifted, dataset.recordings)))


def linear_shift(dataset, seed):
    """Shift behaviour by one random number of frames other than 0; see :func:`shift_behaviour`.

    Harris 2020, DOI 10.1101/2020.11.29.402719, and arXiv 2012.06862, which proves what
    :func:`~calcium_decoding.evaluation.nulls.shift_p_value` computes. One of the two has to be stationary.
    """
    reach = shift_reach(dataset)
    size = np.random.default_rng(seed).integers(1, max(2, 2 * reach + 1))
    return shift_behaviour(dataset, int(size if size <= reach else reach - size))


def circular_shift(dataset, seed):
    """Rotate the behaviour of each recording by a random number of frames, its own for each recording.

    Where brain and behaviour both drift, the seam tears the drift apart, so that the null is lower than a score without
    any link. Shown as a warning, not to be used where anything drifts.
    """
    rng = np.random.default_rng(seed)

    def rotated(r):
        if r.n_frames < 2:
            raise DataError(r.id, "a single frame", "2 frames or more", "leave the recording out")
        by = rng.integers(1, r.n_frames)
        return _with(r, f"behaviour rotated by {by} frames", {n: np.roll(v, by) for n, v in r.behaviour.items()})

    return replace(dataset, recordings=tuple(map(rotated, dataset.recordings)))


def frame_shuffle(dataset, seed):
    """Put the behaviour of each recording in random order, frame by frame. A counter-example: it destroys the
    smoothness of behaviour as well, so that any two slow signals look linked."""
    rng = np.random.default_rng(seed)

    def shuffled(r):
        order = rng.permutation(r.n_frames)
        return _with(r, "behaviour shuffled frame by frame", {n: v[order] for n, v in r.behaviour.items()})

    return replace(dataset, recordings=tuple(map(shuffled, dataset.recordings)))


def _reorder(dataset, seed, order_of):
    rng = np.random.default_rng(seed)
    groups = {}
    for recording in dataset.recordings:
        groups.setdefault((recording.animal, recording.session if recording.part else ""), []).append(recording)
    paired = {}
    for members in groups.values():
        if len(members) < 2:
            raise DataError(members[0].id, "a single recording to re-pair", "two or more sessions an animal",
                            "show this result without this null, and say that it has none")
        for signal_of, behaviour_of in zip(members, order_of(len(members), rng), strict=True):
            paired[signal_of.id] = _pair(signal_of, members[behaviour_of])
    return replace(dataset, recordings=tuple(paired[r.id] for r in dataset.recordings))


def _pair(signal_of, behaviour_of):
    n = min(signal_of.n_frames, behaviour_of.n_frames)
    return _with(signal_of, f"paired with the behaviour of {behaviour_of.id}",
                 {name: values[:n] for name, values in behaviour_of.behaviour.items()}, signal_of.signal[:n])


def _with(recording, note, behaviour, signal=None):
    signal = recording.signal if signal is None else signal
    return replace(recording, signal=signal, behaviour=behaviour, notes=(*recording.notes, f"null: {note}"))
