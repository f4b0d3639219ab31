"""Nulls by name, each with what it keeps, what it cuts and when it fails; p-values of a score among theirs."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation.nulls.ways import (
    circular_shift,
    derangement,
    frame_shuffle,
    linear_shift,
    permutation,
    permute_sessions,
    published_permutation,
    repair_sessions,
    shift_behaviour,
    shift_reach,
)
from calcium_decoding.preprocessing.transforms import whole_number


@dataclass(frozen=True)
class Null:
    """One way to cut the link, called as ``null(dataset, seed)``.

    ``title``: for tables and figures. ``keeps``, ``cuts``, ``fails``: what survives, what is cut, and when a p-value
    from it cannot be believed. ``pairing``: ``pairing(n_sessions, rng)``, whose behaviour each session gets, if it
    re-pairs sessions at random.
    """

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
        """Iterator over ``n_draws`` draws, of which draw k has the seed ``(seed, k)``. Linear shifts are spread evenly
        instead, half of them to each side, as :func:`shift_p_value` asks. Raises ParameterError: more draws than there
        are: shifts, or the one published permutation."""
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
        permute_sessions, permutation),
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

    ``null_values``: shape (n,); one that differs from the observed one by rounding only (1e-9) counts as extreme.
    ``alternative``: ``"greater"``, ``"less"`` or ``"two-sided"``: twice the smaller of the two, at most 1. Raises
    DataError: no null values, or not finite; ParameterError: unknown alternative. Phipson & Smyth 2010, DOI
    10.2202/1544-6115.1585.
    """
    b, n = _count(observed, null_values, alternative)
    p = (b + 1) / (n + 1)
    return min(1.0, 2 * p) if alternative == "two-sided" else p


def shift_p_value(observed, null_values, alternative="greater"):
    """p-value of a linear shift that is never too small: (b + 1) / (n / 2 + 1), at most 1.

    Shifted scores depend on each other, and the unshifted one stands in their middle. If the behaviour is stationary,
    it is among the m highest with probability m / (N + 1) at most, N being the number of shifts to each side (Harris,
    arXiv 2012.06862). :func:`p_value` is about half of this and right only where the scores forget each other over many
    fewer shifts than there are. ``observed``: on the central window; ``null_values``: of :meth:`Null.draws`.
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
