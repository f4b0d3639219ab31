"""Where the information sits: tuning of each cell to each foot, what a decoder loses without some, recovered truth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from calcium_decoding.errors import DataError
from calcium_decoding.evaluation import metrics
from calcium_decoding.explain.attribution import precision_at
from calcium_decoding.models import loop
from calcium_decoding.preprocessing.windows import CLASSES

FEET = CLASSES[1:]
MAIN = "footstep"  # the head
# Cells may lead the movement, and the indicator follows it: lags of the label at which activity is explained.
LAGS = (-3, 8)
N_SHOWN = 200  # test windows of each class whose attention is averaged


def tuning(signal, footstep, rows, lags=LAGS):
    """How much of each cell's variance each foot explains beyond the other: a DataFrame with a row a cell.

    ``contralateral`` and ``ipsilateral`` are shares of variance, ``either`` that of both together. A linear encoding
    model of each cell, ``signal`` (T, n_cells), from indicators of both feet, ``footstep`` (T,), at several ``lags``
    (first and last, frames; at a positive one activity follows the step). ``rows``: training frames. Raises DataError:
    too few.
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
    """How much each cell moves a network's decision, shape (n_cells,), float64: mean over windows and frames of
    |gradient times input|, the gradient of the logit of the labelled class less the mean of the others."""
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
    """Scores, a DataFrame, with the first ``counts`` cells of an order set to their training mean, which is 0."""
    rows, scores = [], ("balanced_accuracy", "auc_contralateral", "auc_ipsilateral")
    for count in counts:
        frames = windows.frames.copy()
        frames[:, order[:count]] = 0
        found, _ = metrics.class_scores(windows.labels[MAIN], predict(replace(windows, frames=frames))[MAIN], CLASSES)
        rows.append({"cells": int(count), **{m: found[m] for m in scores}})
    return pd.DataFrame(rows)


def information(fitted, shares=(0.0, 0.05, 0.1, 0.2, 0.4, 0.7)):
    """Where the information sits: rank the cells of a fitted network, and test it without some ``shares`` of them. Work
    for :meth:`calcium_decoding.experiments.engine.Experiment.map`, of footsteps first; a dict: ``deletion``,
    ``tuning``, ``relevance``, and ``attention`` where the network has any."""
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
        found["attention"] = attention_by_class(network, test).tolist()
    return found


def attention_by_class(network, windows):
    """Mean attention of the last frame on each, by class, shape (3, attention heads, length), float64."""
    found = []
    for label in range(3):
        which = np.flatnonzero(windows.labels[MAIN] == label)
        which = which[np.unique(np.linspace(0, len(which) - 1, min(N_SHOWN, len(which))).astype(int))]
        with torch.inference_mode():
            weights = network.cpu().eval().attention_weights(torch.from_numpy(windows.gather(which)))
        found.append(weights[:, :, -1].double().sum(0).numpy() / max(1, len(which)))
    return np.stack(found)


def recovered(ranking, is_informative):
    """How well a ranking of cells finds those that were made informative, both (n_cells,): ``precision`` among as many
    first ones as there are, and ``by_chance``. DataError: no cell is informative, or all are."""
    is_informative = np.asarray(is_informative, bool)
    k = int(is_informative.sum())
    if not 0 < k < len(is_informative):
        raise DataError("truth", f"{k} of {len(is_informative)} cells informative", "some, but not all",
                        "there is nothing to find in such a simulation")
    return {"precision": precision_at(ranking, is_informative, k), "by_chance": k / len(is_informative)}
