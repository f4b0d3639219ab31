"""High scores from data with no relation at all, and where they come from.

Traces and label are independent, and both are slow. Whoever deals out overlapping windows at random scores far above
chance; whoever keeps training and test apart in time does not.
"""

import numpy as np
import pandas as pd
from scipy.signal import lfilter
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from calcium_decoding import results
from calcium_decoding.audit import Intervals, check_samples
from calcium_decoding.errors import LeakError, ParameterError
from calcium_decoding.progress import progress
from calcium_decoding.windows import WindowSpec, view

CHANCE = 1 / 3  # balanced accuracy of three classes
N_TRACES = 40
TAU_FRAMES = 20
TEST_SHARE = 0.15
SCHEMES = {
    "random windows": "windows at every frame, dealt out at random (published)",
    "random pieces": "pieces of two window lengths dealt out at random; windows inside them",
    "last part, no gap": "training up to the border, the last 15 % are the test",
    "last part, purged": "the same, with a gap of a window and 10 autocorrelation times",
}
DISTANCES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 200)


def unrelated(seed, n_frames=6000, n_traces=N_TRACES, tau_frames=TAU_FRAMES):
    """Traces and a three-class label that know nothing of each other.

    All are first-order autoregressive; a latent cut at -1 and +1 SD makes the label.

    Parameters
    ----------
    seed : int
    n_frames, n_traces : int
    tau_frames : float
        Autocorrelation time of traces and latent, frames.

    Returns
    -------
    signal : ndarray, shape (n_frames, n_traces), float32
    label : ndarray, shape (n_frames,), int64
        0, 1 or 2; the middle class has two thirds of the frames.
    """
    rng = np.random.default_rng(seed)
    keep = np.exp(-1 / tau_frames)
    shocks = rng.standard_normal((n_frames, n_traces + 1))
    shocks[1:] *= np.sqrt(1 - keep**2)  # so that each frame has unit variance, the first included
    slow = lfilter([1.0], [1.0, -keep], shocks, axis=0)
    return slow[:, 1:].astype(np.float32), np.digitize(slow[:, 0], (-1, 1))


def deal(scheme, n_frames, window_frames, seed):
    """Last frames of the training and test windows of a scheme.

    Parameters
    ----------
    scheme : str
        A name in :data:`SCHEMES`.
    n_frames, window_frames : int
    seed : int

    Returns
    -------
    train, test : ndarray of int
        Windows are frames ``t - window_frames + 1 .. t``.
    """
    rng, ends = np.random.default_rng(seed), np.arange(window_frames - 1, n_frames)
    if scheme == "random windows":
        order = rng.permutation(ends)
        cut = round(TEST_SHARE * len(ends))
        return np.sort(order[cut:]), np.sort(order[:cut])
    if scheme == "random pieces":
        piece = 2 * window_frames
        of_window = ends // piece
        inside = of_window == (ends - window_frames + 1) // piece
        pieces = rng.permutation(n_frames // piece)
        tested = np.isin(of_window, pieces[:round(TEST_SHARE * len(pieces))])
        return ends[inside & ~tested], ends[inside & tested]
    if scheme not in SCHEMES:
        raise ParameterError("scheme", repr(scheme), f"one of {', '.join(SCHEMES)}", "name one of these")
    border = round((1 - TEST_SHARE) * n_frames)
    gap = window_frames + 10 * TAU_FRAMES if scheme == "last part, purged" else 0
    return ends[ends < border - gap], ends[ends - window_frames + 1 >= border]


def score_schemes(seed, draws=5, n_frames=6000, window_frames=32, trees=0):
    """Score decoders on unrelated data under each scheme.

    Parameters
    ----------
    seed : int
    draws : int
        Independent data sets.
    n_frames, window_frames : int
    trees : int
        Of a random forest, which is slow and runs on the first and the last scheme only; 0: none. The nearest
        neighbour (1-NN) runs on all.

    Returns
    -------
    DataFrame
        Columns ``draw``, ``scheme``, ``decoder``, ``accuracy``, ``balanced_accuracy`` (chance: 1/3), ``train``,
        ``test`` (windows) and ``sharing`` (share of test windows that share a frame with a training window).
    """
    rows = []
    for draw in progress(range(draws), desc="draws of unrelated data", unit="draw"):
        signal, label = unrelated(seed + draw, n_frames)
        windows = _flat_windows(signal, window_frames)
        for scheme in SCHEMES:
            train, test = deal(scheme, n_frames, window_frames, seed + draw)
            sharing = _intervals(test, window_frames).overlapping(_intervals(train, window_frames)).mean()
            decoders = {"1-NN": KNeighborsClassifier(1)}
            if trees and scheme in ("random windows", "last part, purged"):
                decoders["random forest"] = RandomForestClassifier(trees, random_state=seed + draw)
            for name, decoder in decoders.items():
                first = window_frames - 1
                decoded = decoder.fit(windows[train - first], label[train]).predict(windows[test - first])
                rows.append({"draw": draw, "scheme": scheme, "decoder": name,
                             "accuracy": accuracy_score(label[test], decoded),
                             "balanced_accuracy": balanced_accuracy_score(label[test], decoded),
                             "train": len(train), "test": len(test), "sharing": float(sharing)})
    return pd.DataFrame(rows)


def score_by_distance(seed, draws=5, n_frames=6000, lengths=(1, 8, 32), distances=DISTANCES, n_test=500):
    """Score of the nearest neighbour when only windows so far away in time may be neighbours.

    Parameters
    ----------
    seed, draws, n_frames
        As in :func:`score_schemes`.
    lengths : sequence of int
        Window lengths, frames.
    distances : sequence of int
        Least distance in frames between a test window and the training windows, from end to end of the windows:
        1 is the next window; below the window length they share frames.
    n_test : int
        Windows tested in each draw, at random places.

    Returns
    -------
    DataFrame
        Columns ``draw``, ``window_frames``, ``distance_frames``, ``balanced_accuracy``.
    """
    rows = []
    for draw in progress(range(draws), desc="score by distance", unit="draw"):
        signal, label = unrelated(seed + draw, n_frames)
        rng = np.random.default_rng(seed + draw)
        for length in lengths:
            windows, labels = _flat_windows(signal, length), label[length - 1:]
            test = rng.choice(len(windows), min(n_test, len(windows)), replace=False)
            # Squared distances up to a term that is the same for all neighbours of a test window.
            unlikeness = (windows**2).sum(axis=1) - 2 * windows[test] @ windows.T
            apart = np.abs(test[:, None] - np.arange(len(windows)))
            for distance in distances:
                nearest = np.where(apart < distance, np.inf, unlikeness).argmin(axis=1)
                score = balanced_accuracy_score(labels[test], labels[nearest])
                rows.append({"draw": draw, "window_frames": length, "distance_frames": distance,
                             "balanced_accuracy": score})
    return pd.DataFrame(rows)


def contributions(scores, decoder="1-NN"):
    """What each leak adds to the balanced accuracy: differences between schemes, draw by draw.

    Parameters
    ----------
    scores : DataFrame
        Of :func:`score_schemes`.
    decoder : str

    Returns
    -------
    DataFrame
        Columns ``leak``, ``adds`` (mean over draws) and ``SD`` (sample SD over draws, missing for a single one); the
        first row and what the leaks add to it sum to the score of random windows.
    """
    mine = scores[scores["decoder"] == decoder].pivot_table(index="draw", columns="scheme", values="balanced_accuracy")
    steps = {
        "no leak: last part, purged": mine["last part, purged"],
        "no gap at the border": mine["last part, no gap"] - mine["last part, purged"],
        "neighbours on both sides, no frame shared": mine["random pieces"] - mine["last part, no gap"],
        "shared frames: windows that overlap": mine["random windows"] - mine["random pieces"],
    }
    return pd.DataFrame([{"leak": name, "adds": values.mean(), "SD": values.std() if len(values) > 1 else None}
                         for name, values in steps.items()])


def card_scores(scores):
    """Mean balanced accuracy over draws for each scheme and decoder, as scores of a result card.

    Parameters
    ----------
    scores : DataFrame
        Of :func:`score_schemes`.

    Returns
    -------
    list of Score
    """
    return [score for (scheme, decoder), part in scores.groupby(["scheme", "decoder"], sort=False)
            for score in results.summarise(decoder, part["balanced_accuracy"], "balanced_accuracy",
                                           f"draws of nothing, {scheme}{' LEAKY' * (scheme == 'random windows')}")]


def verdicts(seed, n_frames=6000, window_frames=32, embargo_frames=TAU_FRAMES):
    """What the audit says about each scheme, a row each, without and with an embargo."""
    rows = []
    for scheme in SCHEMES:
        train, test = (_intervals(ends, window_frames) for ends in deal(scheme, n_frames, window_frames, seed))
        row = {"scheme": scheme}
        for column, embargo in (("audit", 0), (f"audit with an embargo of {embargo_frames} frames", embargo_frames)):
            try:
                row[column] = f"passed, {check_samples(train, test, embargo)} frames apart"
            except LeakError as error:
                row[column] = f"REFUSED: {error.found}"
        rows.append(row)
    return pd.DataFrame(rows)


def _intervals(ends, window_frames):
    return Intervals.around("session", ends, window=(window_frames - 1, 0))


def _flat_windows(signal, window_frames):
    """One row a window, shape (n, window_frames * n_traces), float32."""
    windows = view(signal, WindowSpec(window_frames - 1, 0))
    return windows.reshape(len(windows), -1)
