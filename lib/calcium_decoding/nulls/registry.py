"""Nulls by name, each with what it keeps, what it cuts and when it fails."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from calcium_decoding.errors import ParameterError
from calcium_decoding.nulls.ways import (
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
from calcium_decoding.transforms import whole_number


@dataclass(frozen=True)
class Null:
    """One way to cut the link.

    Attributes
    ----------
    title : str
        For tables and figures.
    keeps, cuts, fails : str
        What survives, what is cut, and when a p-value from it cannot be believed.
    draw : callable
        ``draw(dataset, seed) -> Dataset``; calling the null does the same.
    pairing : callable or None
        ``pairing(n_sessions, rng)``, whose behaviour each session gets; None unless the null re-pairs sessions at
        random.
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
        """Iterator over ``n_draws`` draws. Draw k has the seed ``(seed, k)``.

        Linear shifts are spread evenly instead, half of them to each side, as
        :func:`~calcium_decoding.nulls.shift_p_value` asks.

        Raises
        ------
        ParameterError
            More draws than there are: shifts, or the one published permutation.
        """
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
