"""Chapter 02: high scores from traces and a label that are slow and independent, and where such scores come from."""

import numpy as np
import pandas as pd
import seaborn as sns
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from calcium_decoding.errors import LeakError, ParameterError
from calcium_decoding.evaluation import cards
from calcium_decoding.plotting.style import NULL_COLOUR, SIGNAL, simulated_mark
from calcium_decoding.preprocessing.windows import WindowSpec, view
from calcium_decoding.simulation.signals import autoregressive
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
    """Traces, float32 (n_frames, n_traces), and a label of 0, 1, 2 that know nothing of each other.

    All are first-order autoregressive; a latent cut at -1 and +1 SD makes the label.
    """
    rng = np.random.default_rng(seed)
    slow = autoregressive(rng.standard_normal((n_frames, n_traces + 1)), tau_frames)
    return slow[:, 1:].astype(np.float32), np.digitize(slow[:, 0], (-1, 1))


def deal(scheme, n_frames, window_frames, seed):
    """Last frames of the training and of the test windows of a scheme in :data:`SCHEMES`, two arrays of int."""
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
    """Accuracies of the nearest neighbour (1-NN) on unrelated data under each scheme, a row each.

    ``trees``: of a random forest, which is slow and runs on the first and the last scheme only; 0: none. ``sharing``:
    share of test windows that share a frame with a training window.
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
                             "sharing": float(sharing)})
    return pd.DataFrame(rows).assign(simulated=True)


def score_by_distance(seed, draws=5, n_frames=6000, lengths=(1, 8, 32), distances=DISTANCES, n_test=500):
    """Score of the nearest neighbour when only windows at least so many frames away in time may be neighbours.

    ``distances``: from end to end of windows; 1 is the next window; below the window length they share frames.
    ``n_test``: windows tested in each draw, at random places.
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
                rows.append({"draw": draw, "window_frames": length, "distance_frames": distance, "simulated": True,
                             "balanced_accuracy": balanced_accuracy_score(labels[test], labels[nearest])})
    return pd.DataFrame(rows)


def contributions(scores):
    """What each leak adds to the balanced accuracy of 1-NN, mean and sample SD over draws.

    The first row and what the leaks add to it sum to the score of random windows.
    """
    mine = scores[scores["decoder"] == "1-NN"].pivot_table(index="draw", columns="scheme", values="balanced_accuracy")
    steps = {
        "no leak: last part, purged": mine["last part, purged"],
        "no gap at the border": mine["last part, no gap"] - mine["last part, purged"],
        "neighbours on both sides, no frame shared": mine["random pieces"] - mine["last part, no gap"],
        "shared frames: windows that overlap": mine["random windows"] - mine["random pieces"],
    }
    return pd.DataFrame([{"leak": name, "adds": values.mean(), "SD": values.std()} for name, values in steps.items()])


def card_scores(scores):
    """Mean balanced accuracy over draws for each scheme and decoder, as scores of a result card."""
    return [score for (scheme, decoder), part in scores.groupby(["scheme", "decoder"], sort=False)
            for score in cards.summarise(decoder, part["balanced_accuracy"], "balanced_accuracy",
                                         f"draws of nothing, {scheme}{' LEAKY' * (scheme == 'random windows')}")]


def verdicts(seed, n_frames=6000, window_frames=32):
    """What the audit says about each scheme, a row each, without and with an embargo."""
    rows = []
    for scheme in SCHEMES:
        train, test = (_intervals(ends, window_frames) for ends in deal(scheme, n_frames, window_frames, seed))
        row = {"scheme": scheme}
        for column, embargo in (("audit", 0), (f"audit with an embargo of {TAU_FRAMES} frames", TAU_FRAMES)):
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


def leak_schemes(scores, ax):
    """Score from unrelated data by scheme: each dot a draw of the data, the bar their mean."""
    schemes, decoders = list(dict.fromkeys(scores["scheme"])), list(dict.fromkeys(scores["decoder"]))
    for colour, decoder in zip(sns.color_palette("colorblind", len(decoders)), decoders, strict=True):
        shift = 0.22 * (decoders.index(decoder) - (len(decoders) - 1) / 2)
        for x, scheme in enumerate(schemes):
            here = scores.loc[(scores["scheme"] == scheme) & (scores["decoder"] == decoder), "balanced_accuracy"]
            if len(here):
                ax.plot(x + shift + np.linspace(-0.05, 0.05, len(here)), here, "o", color=colour, alpha=0.7, ms=5)
                ax.hlines(here.mean(), x + shift - 0.1, x + shift + 0.1, color=SIGNAL, lw=2)
        ax.plot([], [], "o", color=colour, label=decoder)
    ax.axhline(CHANCE, color=NULL_COLOUR, ls=":", lw=1, label="chance (1/3)")
    ax.set_xticks(range(len(schemes)), [scheme.replace(", ", ",\n").replace("random ", "random\n")
                                        for scheme in schemes])
    ax.set(ylabel="balanced accuracy (a dot is a draw)", ylim=(0.15, 1))
    ax.legend(fontsize=8, loc="upper right")
    return simulated_mark(ax, scores)


def plot_score_by_distance(scores, ax):
    """Score from unrelated data against the distance to the nearest training window, mean over draws.

    Filled marks: test and training windows share frames. Open marks: they share none.
    """
    lengths = list(dict.fromkeys(scores["window_frames"]))
    for colour, length in zip(sns.color_palette("viridis", len(lengths)), lengths, strict=True):
        mine = scores[scores["window_frames"] == length].groupby("distance_frames")["balanced_accuracy"].mean()
        ax.plot(mine.index, mine, color=colour, lw=1.5, label=f"window of {length}" if length > 1 else "single frame")
        ax.plot(mine[mine.index < length], "o", color=colour, ms=5)
        ax.plot(mine[mine.index >= length], "o", color=colour, mfc="white", ms=5)
    ax.plot([], [], "o", color=NULL_COLOUR, ms=5, label="frames shared")
    ax.plot([], [], "o", color=NULL_COLOUR, mfc="white", ms=5, label="no frame shared")
    ax.axhline(CHANCE, color=NULL_COLOUR, ls=":", lw=1)
    ax.axvline(TAU_FRAMES, color=NULL_COLOUR, ls="--", lw=1)
    ax.text(TAU_FRAMES * 1.08, 0.96, "autocorrelation time", fontsize=8, color=NULL_COLOUR, va="top",
            transform=ax.get_xaxis_transform())
    ax.set_xscale("log")
    ax.set_xticks([1, 2, 5, 10, 20, 50, 100, 200], ["1", "2", "5", "10", "20", "50", "100", "200"])
    ax.minorticks_off()
    ax.set(xlabel="distance to the nearest training window (frames)", ylabel="balanced accuracy of 1-NN",
           ylim=(0.15, 1))
    ax.legend(fontsize=8, loc="upper right", bbox_to_anchor=(1, 0.92))
    return simulated_mark(ax, scores)
