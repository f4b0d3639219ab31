"""Nulls: data sets in which the link between brain and behaviour is cut and all else kept; by name in :data:`NULLS`."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from calcium_decoding.data.recording import in_both
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.preprocessing.transforms import whole_number

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


def repair_sessions(dataset, seed):
    """Pair each recording's signal with the behaviour of another session of the same animal; none keeps its own.

    Both are cut to the shorter, from the start, so that a drift they share survives. Parts of a session are permuted
    within it. Raises DataError: nothing to pair a recording with. Harris 2020, DOI 10.1101/2020.11.29.402719.
    """
    return _reorder(dataset, seed, derangement)


def permute_sessions(dataset, seed):
    """As :func:`repair_sessions`, but a session may keep its own behaviour, which makes :func:`p_value` exact where
    sessions are exchangeable (Hemerik & Goeman 2018, DOI 10.1007/s11749-017-0571-1)."""
    return _reorder(dataset, seed, lambda n, rng: rng.permutation(n))


def published_permutation(dataset, seed=None):
    """The one permutation of the public code of Ajioka et al. 2024 (DOI 10.1371/journal.pcbi.1011074), in which three
    of 64 sessions keep their own behaviour; DataError: other numbers of sessions by animal than the study's."""
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
    ``shift_frames`` (-N .. N) frames later. Compare scores with those of ``shift_behaviour(dataset, 0)`` only. Raises
    ParameterError: a shift beyond N; DataError: a recording of fewer than four frames.
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
                     {name: values[there] for name, values in r.behaviour.items()}, r.signal[here],
                     in_both(_cut(r.stretches, here), _cut(r.stretches, there)))

    return replace(dataset, recordings=tuple(map(shifted, dataset.recordings)))


def linear_shift(dataset, seed):
    """Shift behaviour by one random number of frames other than 0; see :func:`shift_behaviour`. One of the two has to
    be stationary. Harris 2020, DOI 10.1101/2020.11.29.402719; see :func:`shift_p_value`."""
    reach = shift_reach(dataset)
    size = np.random.default_rng(seed).integers(1, max(2, 2 * reach + 1))
    return shift_behaviour(dataset, int(size if size <= reach else reach - size))


def circular_shift(dataset, seed):
    """Rotate the behaviour of each recording by a random number of frames. A warning, not to be used where brain and
    behaviour both drift: the seam tears the drift apart."""
    rng = np.random.default_rng(seed)

    def rotated(r):
        if r.n_frames < 2:
            raise DataError(r.id, "a single frame", "2 frames or more", "leave the recording out")
        by = rng.integers(1, r.n_frames)
        return _with(r, f"behaviour rotated by {by} frames", {n: np.roll(v, by) for n, v in r.behaviour.items()})

    return replace(dataset, recordings=tuple(map(rotated, dataset.recordings)))


def frame_shuffle(dataset, seed):
    """Put the behaviour of each recording in random order, frame by frame. A counter-example: without the smoothness of
    behaviour any two slow signals look linked."""
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
                 {name: values[:n] for name, values in behaviour_of.behaviour.items()}, signal_of.signal[:n],
                 in_both(_cut(signal_of.stretches, slice(0, n)), behaviour_of.stretches))


def _cut(stretches, frames):
    """Stretches within a slice of frames, counted from its start."""
    return tuple((start - frames.start, stop - frames.start)
                 for start, stop in in_both(stretches, [(frames.start, frames.stop)]))


def _with(recording, note, behaviour, signal=None, stretches=None):
    cut = {} if signal is None else {"signal": signal, "stretches": stretches, "times_s": None}
    if stretches == ():
        raise DataError(recording.id, "no frame that can be used in both its signal and the behaviour it is to get",
                        "recordings with longer usable stretches", "leave the recording out")
    return replace(recording, behaviour=behaviour, notes=(*recording.notes, f"null: {note}"), **cut)


@dataclass(frozen=True)
class Null:
    """One way to cut the link, called as ``null(dataset, seed)``; ``fails``: when a p-value cannot be believed.
    ``pairing(n_sessions, rng)``: whose behaviour each session gets, if it re-pairs sessions at random."""

    title: str
    keeps: str
    cuts: str
    fails: str
    draw: Callable
    pairing: Callable | None = None

    def __call__(self, dataset, seed):
        return self.draw(dataset, seed)

    def observed(self, dataset):
        """The data that the observed score has to be computed on: ``dataset``, or its central window for shifts."""
        return shift_behaviour(dataset, 0) if self.draw is linear_shift else dataset

    def draws(self, dataset, n_draws, seed):
        """Iterator over ``n_draws`` draws, draw k with the seed ``(seed, k)``; linear shifts are spread evenly, half of
        them to each side. ParameterError: more draws than there are."""
        n_draws, most = whole_number("n_draws", n_draws, 1), math.inf
        if self.draw is linear_shift:
            sides = math.ceil(n_draws / 2), n_draws // 2
            reach = shift_reach(dataset)
            most = 2 * reach
            steps = [sign * round(reach * k / side) for sign, side in zip((1, -1), sides, strict=True)
                     for k in range(1, side + 1)]
            drawn = (shift_behaviour(dataset, step) for step in steps)
        else:
            most = 1 if self.draw is published_permutation else most
            drawn = (self.draw(dataset, (seed, k)) for k in range(n_draws))
        if n_draws > most:
            raise ParameterError("n_draws", n_draws, f"at most {most}: {self.title} has no more", "ask for fewer")
        return drawn

    def p_value(self, observed, null_values, alternative="greater"):
        """:func:`p_value`; of linear shifts, :func:`shift_p_value`."""
        count = shift_p_value if self.draw is linear_shift else p_value
        return count(observed, null_values, alternative)


NULLS = {
    "repairing": Null(
        "session re-pairing, no session in place",
        "each signal and each behaviour whole, time within the session, a drift they share",
        "which behaviour went with which signal",
        "few sessions: the real pairing shares no pair with a draw while draws share pairs with each other, so p is "
        "somewhat too small; sessions that change over days",
        repair_sessions, derangement),
    "permuting": Null(
        "session permutation, any order",
        "the same as re-pairing",
        "which behaviour went with which signal, but for sessions that stay by chance (one on average)",
        "sessions that change over days; fewer than 4 sessions cannot reach 5 %",
        permute_sessions, lambda n, rng: rng.permutation(n)),
    "published": Null(
        "the study's one permutation",
        "the same as re-pairing",
        "which behaviour went with which signal, but for three of 64 sessions",
        "one draw gives no p-value; three sessions keep their link",
        published_permutation),
    "linear_shift": Null(
        "linear shift",
        "each signal and each behaviour but their ends, their smoothness",
        "what happened at the same time",
        "both drift; links slower than the shifts; costs half of the frames",
        linear_shift),
    "circular_shift": Null(
        "circular shift (unsafe)",
        "all frames, smoothness but for one seam",
        "what happened at the same time, and time within the session",
        "signal and behaviour both drift: up to every time",
        circular_shift),
    "frame_shuffle": Null(
        "frame shuffle (a counter-example)",
        "the share of running",
        "what happened at the same time, and the smoothness of behaviour",
        "always: signals and behaviour are smooth",
        frame_shuffle),
}


def null_of(name):
    """A null by its name in :data:`NULLS`; ParameterError if there is none."""
    if name not in NULLS:
        raise ParameterError("null", repr(name), f"one of {', '.join(NULLS)}", "name one of these")
    return NULLS[name]


def p_value(observed, null_values, alternative="greater"):
    """Monte Carlo p-value, (b + 1) / (n + 1), where b of n null values are as extreme as the observed one; never 0.

    ``null_values``: shape (n,); one that differs by rounding only (1e-9) counts as extreme. ``alternative``:
    ``"greater"``, ``"less"`` or ``"two-sided"``: twice the smaller of the two, at most 1. Raises DataError: no null
    values, or not finite; ParameterError: unknown alternative. Phipson & Smyth 2010, DOI 10.2202/1544-6115.1585.
    """
    b, n = _count(observed, null_values, alternative)
    p = (b + 1) / (n + 1)
    return min(1.0, 2 * p) if alternative == "two-sided" else p


def shift_p_value(observed, null_values, alternative="greater"):
    """p-value of a linear shift that is never too small: (b + 1) / (n / 2 + 1), at most 1.

    Shifted scores depend on each other. If the behaviour is stationary, the unshifted one is among the m highest with
    probability m / (N + 1) at most, N being the number of shifts to each side (Harris, arXiv 2012.06862). ``observed``:
    on the central window; ``null_values``: of :meth:`Null.draws`.
    """
    b, n = _count(observed, null_values, alternative)
    return min(1.0, (2 if alternative == "two-sided" else 1) * (b + 1) / (n // 2 + 1))


def _count(observed, null_values, alternative):
    """How many of how many null values are as extreme as the observed one; to the rarer side if two-sided."""
    values = np.asarray(null_values, dtype=float).reshape(-1)
    if not len(values) or not np.isfinite(values).all() or not math.isfinite(observed):
        raise DataError("null values", f"{len(values)} values, or some of them or the observed one not finite",
                        "one finite null value or more", "leave out sessions without a score before drawing")
    above, below = (int(np.count_nonzero(sign * (values - observed) >= -1e-9)) for sign in (1, -1))
    counts = {"greater": above, "less": below, "two-sided": min(above, below)}
    if alternative not in counts:
        raise ParameterError("alternative", repr(alternative), f"one of {', '.join(counts)}", "name one of these")
    return counts[alternative], len(values)
