"""Scores of frame-by-frame decoding. scikit-learn computes them; this module refuses what has no meaning."""

import numpy as np
from sklearn.metrics import balanced_accuracy_score, roc_auc_score, roc_curve

from calcium_decoding.errors import DataError


def frame_scores(labels, p_run):
    """Scores over frames.

    Parameters
    ----------
    labels : ndarray, shape (n,)
        0 rest, 1 run.
    p_run : ndarray, shape (n,)
        Decoded probability of running.

    Returns
    -------
    dict of str to float
        ``auc`` (area under the ROC curve), ``accuracy`` and ``balanced_accuracy`` at 0.5, ``run_share`` (share of
        running frames).

    Raises
    ------
    DataError
        Only one class is present, so that the area under the ROC curve does not exist; or a value is not finite.
    """
    labels, p_run = np.asarray(labels), np.asarray(p_run)
    if not np.isfinite(p_run).all():
        raise DataError("p_run", f"{np.count_nonzero(~np.isfinite(p_run))} values that are not finite",
                        "probabilities", "check training: the loss should have been refused")
    require_both_classes(labels, "test frames")
    return {
        "auc": float(roc_auc_score(labels, p_run)),
        "accuracy": float(np.mean((p_run > 0.5) == labels)),
        "balanced_accuracy": float(balanced_accuracy_score(labels, p_run > 0.5)),
        "run_share": float(np.mean(labels)),
    }


def require_both_classes(labels, where):
    """Raise DataError unless both rest (0) and run (1) are among ``labels``."""
    if len(np.unique(labels)) < 2:
        only = "no frames" if len(labels) == 0 else ("only running" if labels[0] else "only rest")
        raise DataError(where, only, "both rest and running frames, or the AUC does not exist",
                        "test on a longer stretch, or report the fold as not evaluable")


def roc(labels, p_run, n_points=200):
    """ROC curve on an even grid of false-positive rates.

    Returns
    -------
    false_positive_rate, true_positive_rate : ndarray, shape (n_points,)
    """
    grid = np.linspace(0, 1, n_points)
    false_positive, true_positive, _ = roc_curve(labels, p_run)
    return grid, np.interp(grid, false_positive, true_positive)
