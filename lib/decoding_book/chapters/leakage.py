"""Chapter 02: high scores from data with no relation at all, and where they come from.

Traces and label are independent, and both are slow. Whoever assigns overlapping windows at random scores far above
chance; whoever keeps training and test apart in time does not.
"""

import numpy as np
import pandas as pd
import seaborn as sns
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from calcium_decoding.errors import LeakError, ParameterError
from calcium_decoding.evaluation import cards
from calcium_decoding.models.names import COLOURS, LABELS
from calcium_decoding.plotting.style import NULL_COLOUR, SIGNAL, simulated_mark
from calcium_decoding.preprocessing.windows import WindowSpec, view
from calcium_decoding.simulation.signals import autoregressive
from calcium_decoding.splits import LEAKY
from calcium_decoding.splits.audit import Intervals, check_samples
from calcium_decoding.splits.core import random_parts
from calcium_decoding.utils.progress import progress

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

    ``tau_frames``: autocorrelation time of traces and latent, frames. Returns ``signal`` (ndarray, shape (n_frames,
    n_traces), float32); ``label`` (ndarray, shape (n_frames,), int64): 0, 1 or 2; the middle class has two thirds of
    the frames.
    """
    rng = np.random.default_rng(seed)
    slow = autoregressive(rng.standard_normal((n_frames, n_traces + 1)), tau_frames)
    return slow[:, 1:].astype(np.float32), np.digitize(slow[:, 0], (-1, 1))


def deal(scheme, n_frames, window_frames, seed):
    """Last frames of the training and test windows of a scheme.

    ``scheme``: a name in :data:`SCHEMES`. Returns ``train, test`` (ndarray of int): windows are frames ``t -
    window_frames + 1 .. t``.
    """
    rng, ends = np.random.default_rng(seed), np.arange(window_frames - 1, n_frames)
    if scheme == "random windows":
        test, train = random_parts(ends, (TEST_SHARE, 1 - TEST_SHARE), rng)
        return np.sort(train), np.sort(test)
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

    ``draws``: independent data sets. ``trees``: of a random forest, which is slow and runs on the first and the last
    scheme only; 0: none. The nearest neighbour (1-NN) runs on all. Returns a DataFrame: columns ``draw``, ``scheme``,
    ``decoder``, ``accuracy``, ``balanced_accuracy`` (chance: 1/3), ``train``, ``test`` (windows) and ``sharing`` (share
    of test windows that share a frame with a training window).
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

    ``seed``, ``draws``, ``n_frames``: as in :func:`score_schemes`. ``lengths`` (sequence of int): window lengths,
    frames. ``distances`` (sequence of int): least distance in frames between a test window and the training windows,
    from end to end of the windows: 1 is the next window; below the window length they share frames. ``n_test``: windows
    tested in each draw, at random places. Returns a DataFrame: columns ``draw``, ``window_frames``,
    ``distance_frames``, ``balanced_accuracy``.
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

    ``scores``: of :func:`score_schemes`. Returns a DataFrame: columns ``leak``, ``adds`` (mean over draws) and ``SD``
    (sample SD over draws, missing for a single one); the first row and what the leaks add to it sum to the score of
    random windows.
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

    ``scores``: of :func:`score_schemes`. Returns a list of Score.
    """
    return [score for (scheme, decoder), part in scores.groupby(["scheme", "decoder"], sort=False)
            for score in cards.summarise(decoder, part["balanced_accuracy"], "balanced_accuracy",
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

CLAIM_LABELS = {"within session": "within session", "across sessions": "across sessions",
                "across animals": "across animals", LEAKY: "LEAKY\nrandom windows"}


def leak_schemes(scores, ax, metric="balanced_accuracy"):
    """Score from unrelated data by scheme: each dot a draw of the data, the bar their mean.

    ``scores``: of :func:`decoding_book.chapters.leakage.score_schemes`.
    """
    schemes, decoders = list(dict.fromkeys(scores["scheme"])), list(dict.fromkeys(scores["decoder"]))
    for colour, decoder in zip(sns.color_palette("colorblind", len(decoders)), decoders, strict=True):
        shift = 0.22 * (decoders.index(decoder) - (len(decoders) - 1) / 2)
        for x, scheme in enumerate(schemes):
            here = scores[(scores["scheme"] == scheme) & (scores["decoder"] == decoder)][metric]
            if len(here):
                ax.plot(x + shift + np.linspace(-0.05, 0.05, len(here)), here, "o", color=colour, alpha=0.7, ms=5)
                ax.hlines(here.mean(), x + shift - 0.1, x + shift + 0.1, color=SIGNAL, lw=2)
        ax.plot([], [], "o", color=colour, label=decoder)
    ax.axhline(CHANCE, color=NULL_COLOUR, ls=":", lw=1, label="chance (1/3)")
    ax.set_xticks(range(len(schemes)), [scheme.replace(", ", ",\n").replace("random ", "random\n")
                                        for scheme in schemes])
    ax.set(ylabel=f"{metric.replace('_', ' ')} (a dot is a draw)", ylim=(0.15, 1))
    ax.legend(fontsize=8, loc="upper right")
    return simulated_mark(ax, True)


def plot_score_by_distance(scores, ax, tau_frames=TAU_FRAMES):
    """Score from unrelated data against the distance to the nearest training window: lines are means over draws.

    Filled marks: test and training windows share frames. Open marks: they share none.

    ``scores``: of :func:`decoding_book.chapters.leakage.score_by_distance`. ``tau_frames``: autocorrelation time,
    marked.
    """
    lengths = list(dict.fromkeys(scores["window_frames"]))
    for colour, length in zip(sns.color_palette("viridis", len(lengths)), lengths, strict=True):
        mine = scores[scores["window_frames"] == length].groupby("distance_frames")["balanced_accuracy"].mean()
        distance, values = mine.index.to_numpy(), mine.to_numpy()
        ax.plot(distance, values, color=colour, lw=1.5, label=f"window of {length}" if length > 1 else "single frame")
        shares = distance < length
        ax.plot(distance[shares], values[shares], "o", color=colour, ms=5)
        ax.plot(distance[~shares], values[~shares], "o", color=colour, mfc="white", ms=5)
    ax.plot([], [], "o", color=NULL_COLOUR, ms=5, label="frames shared")
    ax.plot([], [], "o", color=NULL_COLOUR, mfc="white", ms=5, label="no frame shared")
    ax.axhline(CHANCE, color=NULL_COLOUR, ls=":", lw=1)
    ax.axvline(tau_frames, color=NULL_COLOUR, ls="--", lw=1)
    ax.text(tau_frames * 1.08, 0.96, "autocorrelation time", fontsize=8, color=NULL_COLOUR, va="top",
            transform=ax.get_xaxis_transform())
    ax.set_xscale("log")
    ax.set_xticks([1, 2, 5, 10, 20, 50, 100, 200], ["1", "2", "5", "10", "20", "50", "100", "200"])
    ax.minorticks_off()
    ax.set(xlabel="distance to the nearest training window (frames)", ylabel="balanced accuracy of 1-NN",
           ylim=(0.15, 1))
    ax.legend(fontsize=8, loc="upper right", bbox_to_anchor=(1, 0.92))
    return simulated_mark(ax, True)


def regimes(scores, ax, simulated=False):
    """Score by claim and decoder: each dot an animal, lines join the scores of one animal, bars are means over animals.

    ``scores``: of :func:`calcium_decoding.experiments.by_regime.animal_scores`.
    """
    scores = scores.dropna(subset="score")
    claims = [claim for claim in CLAIM_LABELS if claim in set(scores["claim"])]
    models = list(dict.fromkeys(scores["model"]))
    for i, model in enumerate(models):
        shift = 0.5 * (i - (len(models) - 1) / 2) / max(1, len(models))
        wide = scores[scores["model"] == model].pivot_table(index="animal", columns="claim", values="score")[claims]
        for values in wide.to_numpy():
            ax.plot(np.arange(len(claims)) + shift, values, "-o", color=COLOURS[model], alpha=0.5, ms=5, lw=0.7)
        ax.hlines(wide.mean(), np.arange(len(claims)) + shift - 0.1, np.arange(len(claims)) + shift + 0.1,
                  color=SIGNAL, lw=2, zorder=3)
        ax.plot([], [], "o", color=COLOURS[model], label=LABELS[model])
    ax.axhline(0.5, color=NULL_COLOUR, ls=":", lw=1, label="chance")
    if LEAKY in claims:
        ax.axvspan(claims.index(LEAKY) - 0.5, len(claims) - 0.5, color=NULL_COLOUR, alpha=0.12, lw=0)
    ax.set_xticks(range(len(claims)), [CLAIM_LABELS[claim] for claim in claims])
    ax.set(ylabel="AUC (a dot is an animal)", xlim=(-0.5, len(claims) - 0.5))
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return simulated_mark(ax, simulated)
