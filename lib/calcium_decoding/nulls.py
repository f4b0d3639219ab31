"""Nulls: data sets in which the link between brain and behaviour is cut and everything else is kept."""

from dataclasses import replace

import numpy as np

from calcium_decoding.errors import DataError


def derangement(n, rng):
    """A random permutation of ``range(n)`` that moves every element, uniform among those.

    Parameters
    ----------
    n : int
        At least 2.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (n,), int64
    """
    while True:
        order = rng.permutation(n)
        if not (order == np.arange(n)).any():
            return order


def repair_sessions(dataset, seed):
    """Pair each recording's signal with the behaviour of another session of the same animal.

    No recording keeps its own behaviour. Both are cut to the shorter of the two, from the start, so time within the
    session stays aligned: a drift that signal and behaviour share survives, which is what this null is for. Where a
    session has parts, parts are re-paired within their session; otherwise sessions within their animal.

    Parameters
    ----------
    dataset : Dataset
    seed : int

    Returns
    -------
    Dataset
        Same names and order.

    Raises
    ------
    DataError
        An animal (or a session with parts) has one recording only: there is nothing to pair it with.

    Notes
    -----
    The study permuted sessions once, with two of 64 left in place; here none is. The idea is discussed in
    Harris 2020, DOI 10.1101/2020.11.29.402719.
    """
    rng = np.random.default_rng(seed)
    groups = {}
    for recording in dataset.recordings:
        groups.setdefault((recording.animal, recording.session if recording.part else ""), []).append(recording)
    repaired = {}
    for members in groups.values():
        if len(members) < 2:
            raise DataError(members[0].id, "a single recording to re-pair", "two or more sessions an animal",
                            "show this result without this null, and say that it has none")
        for signal_of, behaviour_of in zip(members, derangement(len(members), rng), strict=True):
            repaired[signal_of.id] = _pair(signal_of, members[behaviour_of])
    return replace(dataset, recordings=tuple(repaired[r.id] for r in dataset.recordings))


def _pair(signal_of, behaviour_of):
    n = min(signal_of.n_frames, behaviour_of.n_frames)
    return replace(
        signal_of,
        signal=signal_of.signal[:n],
        behaviour={name: values[:n] for name, values in behaviour_of.behaviour.items()},
        notes=(*signal_of.notes, f"null: paired with the behaviour of {behaviour_of.id}"),
    )
