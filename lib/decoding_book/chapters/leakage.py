"""Chapter 02: high scores from traces and a label that are slow and independent, where such scores come from, and the
same decoders under several regimes: what a score claims decides what it is."""

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from calcium_decoding import splits
from calcium_decoding.errors import CalciumDecodingError, ParameterError
from calcium_decoding.experiments import Experiment, Traces, run
from calcium_decoding.simulation.signals import autoregressive
from calcium_decoding.splits.audit import Intervals
from calcium_decoding.splits.core import random_parts
from calcium_decoding.utils.progress import progress

CHANCE = 1 / 3  # balanced accuracy of three classes
TAU_FRAMES = 20
TEST_SHARE = 0.15
SCHEMES = {
    "random windows": "windows at every frame, dealt out at random (published)",
    "random pieces": "pieces of two window lengths dealt out at random; windows inside them",
    "last part, no gap": "training up to the border, the last 15 % are the test",
    "last part, purged": "the same, with a gap of a window and 10 autocorrelation times",
}
DISTANCES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 200)


def unrelated(seed, n_frames=6000):
    """Traces, float32 (n_frames, 40), and a label of 0, 1, 2 that know nothing of each other: all first-order
    autoregressive; a latent cut at -1 and +1 SD makes the label."""
    rng = np.random.default_rng(seed)
    slow = autoregressive(rng.standard_normal((n_frames, 41)), TAU_FRAMES)
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
    """Accuracies of the nearest neighbour (1-NN) on unrelated data under each scheme, a row each. ``trees``: of a
    random forest, on the first and the last scheme; 0: none. ``sharing``: test windows that share a frame with
    training."""
    rows = []
    for draw in progress(range(draws), desc="draws of unrelated data", unit="draw"):
        signal, label = unrelated(seed + draw, n_frames)
        windows = _flat_windows(signal, window_frames)
        for scheme in SCHEMES:
            train, test = deal(scheme, n_frames, window_frames, seed + draw)
            sharing = intervals(test, window_frames).overlapping(intervals(train, window_frames)).mean()
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
    """Score of the nearest neighbour when only windows at least so many frames away may be neighbours. ``distances``:
    from end to end of windows; 1 is the next window. ``n_test``: windows tested in each draw, at random places."""
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


def intervals(ends, window_frames):
    """Frames that windows with these last frames touch, as the audit takes them."""
    return Intervals.around("session", ends, window=(window_frames - 1, 0))


def _flat_windows(signal, window_frames):
    """One row a window, shape (n, window_frames * n_traces), float32."""
    windows = np.lib.stride_tricks.sliding_window_view(signal, window_frames, axis=0).transpose(0, 2, 1)
    return windows.reshape(len(windows), -1)


def by_regime(dataset, regimes, spec, recipe, training, decoders, task, options=None, **how):
    """Train and test the same decoders under each regime, leaky ones too. ``options``: of :func:`splits.build`, by
    regime. Returns Experiment and Results by regime, and why the data do not allow a regime; "" where they do."""
    experiments, results, reasons = {}, {}, {}
    for regime in regimes:
        try:
            traces = Traces(recipe, spec)
            split = splits.build(regime, dataset, spec, traces.pipeline(), **(options or {}).get(regime, {}))
            one = Experiment(dataset, split, traces, task, training=training)
            results[regime] = run(one, decoders, label=regime, allow_leak=split.is_leaky, **how)
            experiments[regime], reasons[regime] = one, ""
        except CalciumDecodingError as error:
            # Too few sessions, cells that change from day to day, a leak: said in the table, and no score.
            reasons[regime] = f"{error.where}: {error.found}"
    return experiments, results, reasons


def regime_table(experiments, results, reasons):
    """What became of each regime, a row each: claim, folds, and how many have a score, or why there are none."""
    rows = []
    for regime, reason in reasons.items():
        folds = results.get(regime, [])
        rows.append({"regime": regime, "claim": "not possible here" if reason else experiments[regime].split.claim,
                     "folds": 0 if reason else len(experiments[regime].split.folds),
                     "with a score": len({fold.fold for fold in folds if fold.scores}),
                     "reason": reason})
    found = pd.DataFrame(rows)
    return found if found["reason"].any() else found.drop(columns="reason")


def animal_scores(experiments, results):
    """Mean AUC over the folds that test an animal, a row a claim, animal and decoder; none where no fold has one."""
    columns = ["claim", "animal", "decoder", "score", "simulated"]
    found = []
    for regime, folds in results.items():
        scores = folds.by_animal("auc").melt(ignore_index=False, var_name="decoder", value_name="score").reset_index()
        one = experiments[regime]
        found.append(scores.assign(claim=one.split.claim, simulated=one.dataset.simulated))
    return pd.concat(found)[columns].dropna() if found else pd.DataFrame(columns=columns)
