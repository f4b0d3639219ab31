"""Has a training converged? One rule, on plain values; differences of trainings that have not are printed nowhere."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

MARK, WITHIN_SEEDS = "NOT CONVERGED", "NO MORE THAN SEEDS DIFFER"
FALLING = 0.05  # share of the training loss that the last epoch may take off
RISEN = 0.1  # share by which it may stand above its lowest: mixup and dropout alone move it by up to 0.08
PATIENCE = 5  # epochs without a better validation loss, after which more epochs change nothing
# Least main score on training windows, as a share of the way from chance to 1: AUC 0.6, balanced accuracy 0.6 of two
# classes and 0.47 of three, R2 0.1.
FLOORS = {"auc": 0.2, "balanced_accuracy": 0.2, "r2": 0.1}
COLUMNS = ["epochs", "loss_fall", "metric", "train_score", "chance"]


def not_converged(folds, patience=PATIENCE):
    """Why trainings have not converged, in words with the numbers; empty if all have. ``folds``: FoldResults of one
    decoder; those without scores are left out. ``patience``: that of early stopping. See :func:`reasons`."""
    return reasons([training_of(fold, patience) for fold in folds if fold.scores])


def reasons(trainings):
    """:func:`not_converged` for plain values, such as columns of a stored table.

    A training has not converged if its last epoch took more than 5 % off the lowest training loss before it, or ended
    more than 10 % above it; if it had one epoch, of which nothing is known; or if its main score on training windows
    lies below a floor (:data:`FLOORS`).
    One such fold is enough. A decoder without epochs has converged. ``trainings``: DataFrame, or sequence of dict, with
    a row a training: ``epochs``; ``loss_fall`` (of :func:`learning`); ``metric`` ("auc", "balanced_accuracy" or "r2"),
    ``train_score`` and ``chance`` of it. All but the first may be missing.
    """
    from calcium_decoding.evaluation.metrics import METRIC_LABELS  # and scikit-learn, which a card does not need

    table = pd.DataFrame(trainings).reindex(columns=COLUMNS)
    trained, said = table[table["epochs"] > 0], []
    falls = trained["loss_fall"].astype(float)

    def of(which):
        return f"({which.sum()} of {len(table)} training{'s' if len(table) > 1 else ''})"

    if (one := (trained["epochs"] == 1) & falls.isna()).any():
        said.append(f"one epoch only, so that it is not known whether the loss still fell {of(one)}")
    if (falling := falls > FALLING).any():
        said.append(f"training loss still fell by {100 * falls.max():.1f} % in the last epoch {of(falling)}")
    if (rising := falls < -RISEN).any():
        said.append(f"training loss ended {-100 * falls.min():.1f} % above its lowest {of(rising)}")
    for metric, mine in trained.groupby("metric"):
        floors = mine["chance"] + FLOORS.get(metric, -np.inf) * (1 - mine["chance"])
        if (low := mine["train_score"] < floors).any():
            worst = mine["train_score"].astype(float).idxmin()
            said.append(f"training {METRIC_LABELS.get(metric, metric)} of {mine['train_score'][worst]:.2f} lies below "
                        f"{floors[worst]:.2f} {of(low)}")
    return "; ".join(said)


def learning(history, patience=PATIENCE):
    """``epochs`` of a History and ``loss_fall``, as a dict: the share that the last epoch took off the lowest training
    loss before it, below 0 if it rose. 0 also if early stopping ended the training, or if it fell while the validation
    loss had not become better for ``patience`` epochs; None after one epoch."""
    losses, valid = history.train_loss, history.valid_loss
    fall = None if len(losses) == 1 else 0.0
    stale = len(valid) - 1 - valid.index(min(valid)) if valid else 0
    if len(losses) > 1 and not history.stopped_early and min(losses[:-1]) > 0:
        fall = 1 - losses[-1] / min(losses[:-1])
        fall = min(fall, 0.0) if stale >= patience else fall
    return {"epochs": len(losses), "loss_fall": fall}


def training_of(fold, patience=PATIENCE):
    """What :func:`reasons` has to know of a FoldResult, as a dict."""
    metric = fold.main_score
    return learning(fold.history, patience) | {
        "metric": metric, "train_score": fold.scores.get(f"{metric}_train"), "chance": fold.chance()}


def seeds_disagree(a_by_seed, b_by_seed):
    """Why a difference of two conditions is not known for their seeds: those of one differ by more than the two do;
    empty if not. ``a_by_seed``, ``b_by_seed`` (sequence of float, or dict by seed): mean over folds for each seed."""
    a, b = (np.array([*(means.values() if isinstance(means, Mapping) else means)], float)
            for means in (a_by_seed, b_by_seed))
    spread, effect = max(np.ptp(a), np.ptp(b)), abs(a.mean() - b.mean())
    if max(len(a), len(b)) < 2 or spread <= effect:
        return ""
    return f"seeds differ by {spread:.3f}, the conditions by {effect:.3f}"


def marked(reason):
    """A reason behind the words that mark it, which stand in red wherever they are shown; empty without one."""
    return f"{WITHIN_SEEDS if reason.startswith('seeds') else MARK}: {reason}" if reason else ""
