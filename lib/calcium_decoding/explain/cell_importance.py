"""Where the information sits: tuning of each cell to each foot, what a decoder loses without some, recovered truth."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation.metrics import footsteps
from calcium_decoding.experiments.footstep_folds import DecodeTask
from calcium_decoding.experiments.stored import Outcome
from calcium_decoding.explain.attribution import precision_at, rank_agreement
from calcium_decoding.models import loop
from calcium_decoding.preprocessing.windows import CLASSES

FEET = CLASSES[1:]
# Cells may lead the movement, and the indicator follows it: lags of the label at which activity is explained.
LAGS = (-3, 8)


def tuning(signal, footstep, rows, lags=LAGS):
    """How much of each cell's variance each foot explains beyond the other: a DataFrame with a row a cell.

    ``contralateral`` and ``ipsilateral`` are shares of variance, ``either`` that of both together. A linear encoding
    model of each cell, ``signal`` (T, n_cells), from indicators of both feet, ``footstep`` (T,), at several ``lags``
    (first and last, frames; at a positive one activity follows the step); the share of a foot is what is lost when its
    indicators are left out. ``rows``: training frames. Raises DataError: fewer frames than the model needs.
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
    """How much each cell moves a network's decision, shape (n_cells,), float64.

    Mean over windows and frames of |gradient times input|, the gradient of the logit of the labelled class less the
    mean of the others.
    """
    total = np.zeros(windows.frames.shape[1])
    network.cpu().eval()
    with loop.deterministic():
        for which in np.array_split(np.arange(len(windows)), -(-len(windows) // batch)):
            x = torch.from_numpy(windows.gather(which)).requires_grad_()
            logits = network(x)["footstep"]
            own = logits.gather(1, torch.from_numpy(windows.labels[which])[:, None]).sum()
            gradient, = torch.autograd.grad(1.5 * own - 0.5 * logits.sum(), x)
            total += (gradient * x).abs().sum((0, 1)).double().detach().numpy()
    return total / (len(windows) * windows.length)


def deletion_curve(predict, windows, order, counts):
    """Scores of a trained decoder with the first ``counts`` cells of an order set to their training mean, which is 0.

    A DataFrame: ``cells`` gone, ``balanced_accuracy``, ``auc_contralateral``, ``auc_ipsilateral``.
    """
    rows, scores = [], ("balanced_accuracy", "auc_contralateral", "auc_ipsilateral")
    for count in counts:
        if not 0 <= count <= len(order):
            raise ParameterError("counts", count, f"0 to {len(order)} cells", "change the numbers of cells")
        frames = windows.frames.copy()
        frames[:, order[:count]] = 0
        found, _ = footsteps.footstep_scores(windows.labels, predict(replace(windows, frames=frames))["footstep"])
        rows.append({"cells": int(count), **{m: found[m] for m in scores}})
    return pd.DataFrame(rows)


@dataclass(frozen=True, eq=False)
class InformationTask:
    """Train a network, rank its cells, and test it without more and more of them: ``shares`` of the cells."""

    decode: DecodeTask
    shares: tuple = (0.0, 0.05, 0.1, 0.2, 0.4, 0.7)

    def key(self):
        """All that determines the outcome."""
        return ["information", self.decode.key(), self.shares]

    def run(self, checkpoint=None, report=None):
        """Outcome of the decoder, with ``deletion`` (rows by order), ``tuning``, ``relevance`` and ``attention``."""
        task = self.decode
        decoder, windows, history = task.trained(checkpoint, report)
        found = task.outcome(decoder, windows, history)
        table = tuning(windows["train"].frames, task.frames.footstep, task.part.train)
        by_decoder = relevance(decoder.network, windows["train"])
        n_cells = len(table)
        orders = {"random": np.random.default_rng(task.settings.seed).permutation(n_cells),
                  "decoder": np.argsort(-by_decoder)}
        orders |= {f"{name} tuning": np.argsort(-table[name].to_numpy()) for name in (*FEET, "either")}
        counts = [round(share * n_cells) for share in self.shares]
        curves = [deletion_curve(decoder.predict, windows["test"], order, counts).assign(order=name, share=self.shares)
                  for name, order in orders.items()]
        facts = {**found.facts, "deletion": pd.concat(curves).to_dict("list")}
        arrays = {**found.arrays, "tuning": table.to_numpy(), "relevance": by_decoder}
        if getattr(decoder.network, "attention", None) is not None:
            arrays["attention"] = attention_by_class(decoder.network, windows["test"])
        return Outcome(facts, arrays)


def attention_by_class(network, windows, n_shown=200):
    """Mean attention of the last frame on each frame of the window, shape (3, attention heads, length), float64.

    Averaged over at most ``n_shown`` windows of each class, spread evenly; a class without windows has zeros.
    """
    found = []
    for label in range(3):
        which = np.flatnonzero(windows.labels == label)
        which = which[np.unique(np.linspace(0, len(which) - 1, min(n_shown, len(which))).astype(int))]
        with torch.inference_mode():
            weights = network.cpu().eval().attention_weights(torch.from_numpy(windows.gather(which)))
        found.append(weights[:, :, -1].double().sum(0).numpy() / max(1, len(which)))
    return np.stack(found)


def recovered(ranking, is_informative):
    """How well a ranking of cells (the largest first) finds those that were made informative, both (n_cells,).

    ``precision``: share of truly informative cells among as many first ones as there are; ``by_chance``: what any
    ranking gets on average. Raises DataError: no cell is informative, or all are.
    """
    is_informative = np.asarray(is_informative, bool)
    k = int(is_informative.sum())
    if not 0 < k < len(is_informative):
        raise DataError("truth", f"{k} of {len(is_informative)} cells informative", "some, but not all",
                        "there is nothing to find in such a simulation")
    return {"precision": precision_at(ranking, is_informative, k), "by_chance": k / len(is_informative)}


def rank_correlation(ranking, strength):
    """Spearman's correlation of a ranking of cells with the strength that was simulated; DataError if one is constant.
    """
    if np.ptp(ranking) == 0 or np.ptp(strength) == 0:
        raise DataError("rank correlation", "values that are all the same", "values that differ",
                        "there is nothing to rank")
    return rank_agreement(ranking, strength)
