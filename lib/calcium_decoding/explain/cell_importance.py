"""Where the information sits: tuning of each cell to each foot, what a decoder loses without some, recovered truth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import metrics
from calcium_decoding.models import loop
from calcium_decoding.preprocessing.windows import CLASSES

FEET = CLASSES[1:]
MAIN = "footstep"  # the head
# Cells may lead the movement, and the indicator follows it: lags of the label at which activity is explained.
LAGS = (-3, 8)


def tuning(signal, footstep, rows, lags=LAGS):
    """How much of each cell's variance each foot explains beyond the other, and the sign of it.

    A linear encoding model of each cell from indicators of both feet at several lags; the share of variance of a foot
    is what is lost when its indicators are left out. Fitted to training frames only.

    Parameters
    ----------
    signal : ndarray, shape (T, n_cells)
    footstep : ndarray, shape (T,)
    rows : ndarray of int
        Frames that may be used, away from the ends of the recording by the lags.
    lags : (int, int)
        First and last lag of the indicator, frames; at a positive lag activity follows the step.

    Returns
    -------
    DataFrame
        A row a cell: ``contralateral`` and ``ipsilateral`` (shares of variance), ``either`` (of both together).

    Raises
    ------
    DataError
        Fewer frames than the model needs.
    """
    steps = np.arange(lags[0], lags[1] + 1)
    rows = np.asarray(rows)
    rows = rows[(rows >= steps.max()) & (rows < len(footstep) + steps.min())]
    if len(rows) < 10 * len(steps):
        raise DataError("tuning", f"{len(rows)} frames", f"{10 * len(steps)} or more", "use a longer recording")
    by_foot = {foot: (footstep[rows[:, None] - steps] == code).astype(float) for code, foot in enumerate(FEET, 1)}
    y = signal[rows] - signal[rows].mean(0, dtype=float)
    total = np.maximum((y**2).sum(0), np.finfo(float).tiny)

    def explained(*feet):
        x = np.concatenate([by_foot[foot] for foot in feet], axis=1)
        x = x - x.mean(0)
        return 1 - ((y - x @ np.linalg.lstsq(x, y, rcond=None)[0]) ** 2).sum(0) / total

    both = explained(*FEET)
    return pd.DataFrame({FEET[0]: both - explained(FEET[1]), FEET[1]: both - explained(FEET[0]), "either": both})


def relevance(network, windows, batch=256):
    """How much each cell moves a network's decision, shape (n_cells,), float64: mean of |gradient times input|.

    The gradient is that of the logit of the labelled class less the mean of the others.
    """
    total = np.zeros(windows.frames.shape[1])
    network.cpu().eval()
    with loop.deterministic():
        for which in np.array_split(np.arange(len(windows)), -(-len(windows) // batch)):
            x = torch.from_numpy(windows.gather(which)).requires_grad_()
            logits = network(x)[MAIN]
            own = logits.gather(1, torch.from_numpy(windows.labels[MAIN][which])[:, None]).sum()
            gradient, = torch.autograd.grad(1.5 * own - 0.5 * logits.sum(), x)
            total += (gradient * x).abs().sum((0, 1)).double().detach().numpy()
    return total / (len(windows) * windows.spec.length)


def deletion_curve(predict, windows, order, counts):
    """Scores of a trained decoder with more and more cells set to their training mean.

    ``predict``: of a decoder. ``windows``: test windows. ``order`` (ndarray of int, shape (n_cells,)): cells, the first
    to go first. ``counts`` (sequence of int): how many are gone. Returns a DataFrame: ``cells`` gone,
    ``balanced_accuracy``, ``auc_contralateral``, ``auc_ipsilateral``.
    """
    rows, kept = [], ("balanced_accuracy", *(f"auc_{foot}" for foot in FEET))
    for count in counts:
        if not 0 <= count <= len(order):
            raise ParameterError("counts", count, f"0 to {len(order)} cells", "change the numbers of cells")
        frames = windows.frames.copy()
        frames[:, order[:count]] = 0
        found, _ = metrics.class_scores(windows.labels[MAIN], predict(replace(windows, frames=frames))[MAIN], CLASSES)
        rows.append({"cells": int(count), **{m: found[m] for m in kept}})
    return pd.DataFrame(rows)


def information(fitted, shares=(0.0, 0.05, 0.1, 0.2, 0.4, 0.7), n_shown=200):
    """Where the information sits: rank the cells of a fitted network, and test it without more and more of them.

    For :meth:`calcium_decoding.experiments.engine.Experiment.map`, of several tasks together with footsteps first.
    ``fitted``: FittedFold. ``shares`` (tuple of float): shares of the cells that are gone. ``n_shown``: test windows of
    each class whose attention is averaged. Returns a dict: ``deletion`` (columns of :func:`deletion_curve` by order),
    ``tuning``, ``relevance``, and ``attention`` where the network has any.
    """
    train, test, network = fitted.train, fitted.test, fitted.decoder.module
    table = tuning(train.frames, fitted.job.frame_labels(MAIN), train.starts + train.spec.length - 1)
    by_decoder, n_cells = relevance(network, train), len(table)
    orders = {"random": np.random.default_rng(fitted.seed).permutation(n_cells), "decoder": np.argsort(-by_decoder)}
    orders |= {f"{name} tuning": np.argsort(-table[name].to_numpy()) for name in (*FEET, "either")}
    counts = [round(share * n_cells) for share in shares]
    curves = [deletion_curve(fitted.predict, test, order, counts).assign(order=name, share=shares)
              for name, order in orders.items()]
    found = {"deletion": pd.concat(curves).to_dict("list"), "tuning": table.to_numpy().tolist(),
             "relevance": by_decoder.tolist()}
    if getattr(network, "attention", None) is not None:
        found["attention"] = attention_by_class(network, test, n_shown).tolist()
    return found


def attention_by_class(network, windows, n_shown=200):
    """Mean attention of the last frame on each frame of the window, shape (3, attention heads, length), float64.

    Averaged over at most ``n_shown`` windows of each class, spread evenly; a class without windows has zeros.
    """
    found = []
    for label in range(3):
        which = np.flatnonzero(windows.labels[MAIN] == label)
        which = which[np.unique(np.linspace(0, len(which) - 1, min(n_shown, len(which))).astype(int))]
        with torch.inference_mode():
            weights = network.cpu().eval().attention_weights(torch.from_numpy(windows.gather(which)))
        found.append(weights[:, :, -1].double().sum(0).numpy() / max(1, len(which)))
    return np.stack(found)


def recovered(ranking, is_informative):
    """How well a ranking of cells finds those that were made informative.

    Returns ``precision``, the share of truly informative cells among as many first ones as there are, and
    ``by_chance``, what any ranking gets on average. Raises DataError: no cell is informative, or all are.
    """
    is_informative = np.asarray(is_informative, bool)
    k = int(is_informative.sum())
    if not 0 < k < len(is_informative):
        raise DataError("truth", f"{k} of {len(is_informative)} cells informative", "some, but not all",
                        "there is nothing to find in such a simulation")
    first = np.argsort(-np.asarray(ranking), kind="stable")[:k]
    return {"precision": float(is_informative[first].mean()), "by_chance": k / len(is_informative)}


def rank_correlation(ranking, strength):
    """Spearman's correlation of a ranking of cells with the strength that was simulated."""
    if np.ptp(ranking) == 0 or np.ptp(strength) == 0:
        raise DataError("rank correlation", "values that are all the same", "values that differ",
                        "there is nothing to rank")
    return float(spearmanr(ranking, strength).statistic)
