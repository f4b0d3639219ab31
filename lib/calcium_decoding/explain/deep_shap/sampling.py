"""Interventional Shapley values by sampled permutations: slow, free of rules, what Deep SHAP is held against.

A player is a set of inputs that are switched together from a background window to the explained one, such as all frames
of a ROI. Its value is the mean change of the output when it is switched, over all orders of the players and all
background windows (Štrumbelj, Kononenko 2014, DOI 10.1007/s10115-013-0679-x). Each order is also taken backwards, which
cancels much of the noise (Mitchell et al. 2022, arXiv 2104.12199).
"""

import numpy as np
import torch

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.utils.progress import progress

ROWS = 4096  # mixed windows at a time


def sampled(decoder, windows, background, players, n_pairs=2, seed=0, label=None):
    """Shapley values of players, each background window with orders of its own.

    ``windows``, ``background``: (n, length, n_roi) and (m, length, n_roi), float32. ``players``, (length, n_roi), int:
    to which player each input belongs, from 0. ``n_pairs``: orders drawn for each background window; even. Returns by
    output, ``"probability"`` and ``"logit"``, shape (2, n, n_players), float64: values from the first and from the
    second half of the orders. They are independent, so they tell how much of the noise is left; their mean is the
    estimate. Each sums to the output, less its mean over the background.
    """
    if n_pairs < 2 or n_pairs % 2:
        raise ParameterError("n_pairs", n_pairs, "an even number, 2 or more", "draw so many: halves are compared")
    players = np.asarray(players)
    n_players = int(players.max()) + 1
    if not windows.shape[1:] == background.shape[1:] == players.shape:
        raise DataError("players", f"shape {players.shape}", f"{windows.shape[1:]}, as the windows",
                        "give a player to each frame and ROI")
    if len(np.unique(players)) != n_players or players.min() < 0:
        raise DataError("players", "numbers with gaps", f"each of 0 .. {n_players - 1}", "number them without gaps")
    rng = np.random.default_rng(seed)
    found = {output: np.zeros((2, len(windows), n_players)) for output in ("probability", "logit")}
    at_once = max(1, ROWS // (n_players + 1))
    for i in progress(range(len(windows)), desc=label, unit="window", disable=label is None):
        for pair in range(n_pairs):
            for first in range(0, len(background), at_once):
                some = background[first : first + at_once]
                rank = rng.permuted(np.tile(np.arange(n_players), (len(some), 1)), axis=1)
                for order in (rank, n_players - 1 - rank):
                    for output, steps in _outputs(decoder, windows[i], some, order, players).items():
                        gains = np.take_along_axis(np.diff(steps, axis=1), order, axis=1)
                        found[output][pair % 2, i] += gains.sum(axis=0)
    return {output: values / (n_pairs * len(background)) for output, values in found.items()}


def _outputs(decoder, window, background, rank, players):
    """Outputs while players are switched one by one, dict of (m, n_players + 1), float64."""
    switched = rank[:, None, :] < np.arange(rank.shape[1] + 1)[:, None]
    mixed = np.where(switched[..., players], window, background[:, None])
    with torch.inference_mode():
        logits = decoder(torch.from_numpy(mixed.reshape(-1, *window.shape))).double()
    steps = {"probability": logits.sigmoid(), "logit": logits}
    return {output: values.numpy().reshape(switched.shape[:2]) for output, values in steps.items()}
