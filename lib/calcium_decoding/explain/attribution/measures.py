"""Checks of a map: against truth, other maps, random maps, and scores by deletion and insertion of its ROIs."""

import numpy as np
from scipy import stats

from calcium_decoding.errors import DataError
from calcium_decoding.evaluation import metrics

STEPS = (1, 2, 4, 8, 16)  # ROIs deleted, or inserted, and none; those below the number of ROIs are used


def precision_at(by_roi, truth, k):
    """Share of the ``k`` largest ROIs of a map that are among the ``k`` largest of the truth; ``k / n_roi`` by chance.

    Of equal values the first count. Both of shape (n_roi,).
    """
    return len(set(_largest(by_roi)[:k].tolist()) & set(_largest(truth)[:k].tolist())) / k


def rank_agreement(a, b):
    """Spearman's rank correlation of two maps; 0 if one of them is constant, and so says nothing."""
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    return float(stats.spearmanr(a, b).statistic) if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0


def asymmetry(by_roi):
    """(left - right) / (left + right) of a map whose first half of ROIs lies left, the other right; -1 to 1."""
    left, right = np.sum(by_roi[: len(by_roi) // 2]), np.sum(by_roi[len(by_roi) // 2 :])
    return float((left - right) / (left + right)) if left + right > 0 else 0.0


def centre_of_frames(by_frame, past_frames):
    """Centre of mass over frames, frames from the labelled one; positive: after it."""
    by_frame = np.asarray(by_frame, dtype=float)
    if not by_frame.sum() > 0:
        raise DataError("map by frame", "zero everywhere", "a frame that counts", "explain another network")
    return float((np.arange(len(by_frame)) - past_frames) @ by_frame / by_frame.sum())


def late_over_early(by_frame):
    """Sum over the last third of the window over that of the first; 1 if all frames count alike."""
    third = max(1, len(by_frame) // 3)
    early = float(np.sum(by_frame[:third]))
    if not early > 0:
        raise DataError("map by frame", "zero in the first third", "frames that count", "explain another network")
    return float(np.sum(by_frame[-third:])) / early


def surrogates(by_roi, likeness, n, seed):
    """Random maps with the very values of a map, as smooth as it is.

    Parameters
    ----------
    by_roi : ndarray, shape (n_roi,)
    likeness : ndarray, shape (n_roi, n_roi)
        Similarity of ROIs, such as their correlation; negative entries and the diagonal do not count.
    n : int
    seed : int

    Returns
    -------
    ndarray, shape (n, n_roi)
        A shuffled map is smoothed over like ROIs, not at all to twice, in the degree that comes nearest to Moran's I
        of the map, and its ranks get the values of the map. After Burt et al. 2020, DOI
        10.1016/j.neuroimage.2020.117038, who match a variogram over distances; here no positions are needed.
    """
    by_roi, rng = np.asarray(by_roi, dtype=float), np.random.default_rng(seed)
    weights = np.clip(likeness, 0, None) * (1 - np.eye(len(by_roi)))
    rows = weights.sum(axis=1, keepdims=True)
    smoother = np.divide(weights, rows, out=np.zeros_like(weights), where=rows > 0)
    wanted, in_order, found = morans_i(by_roi, weights), np.sort(by_roi), np.empty((n, len(by_roi)))
    for i in range(n):
        z, tried = rng.permutation(_standardised(by_roi)), []
        once = _standardised(smoother @ z)
        twice = _standardised(smoother @ once)
        for share in np.linspace(0, 2, 17):
            blend = share * once + (1 - share) * z if share <= 1 else (share - 1) * twice + (2 - share) * once
            mixed = np.empty_like(z)
            mixed[np.argsort(blend, kind="stable")] = in_order
            tried.append((abs(morans_i(mixed, weights) - wanted), mixed))
        found[i] = min(tried, key=lambda pair: pair[0])[1]
    return found


def morans_i(by_roi, weights):
    """Moran's I: how alike the values of like ROIs are; 0 of a constant map."""
    z = np.asarray(by_roi, dtype=float) - np.mean(by_roi)
    if not (z @ z > 0 and weights.sum() > 0):
        return 0.0
    return float(len(z) * (z @ weights @ z) / (weights.sum() * (z @ z)))


def curve_areas(predict, windows, labels, fill, by_roi):
    """AUC while ROIs are deleted from windows, or inserted into empty ones, the largest of a map first.

    Parameters
    ----------
    predict : callable
        Gives an output, shape (n,), of windows.
    windows : ndarray, shape (n, length, n_roi)
    labels : ndarray, shape (n,)
        0 or 1.
    fill : ndarray, shape (n_roi,)
        Replaces a deleted ROI.
    by_roi : ndarray, shape (n_roi,)

    Returns
    -------
    deletion, insertion : list of float
        AUC at each of :data:`STEPS`. A good map has a low mean of the first and a high mean of the second (Petsiuk et
        al. 2018, arXiv 1806.07421).
    """
    order, without, alone = _largest(by_roi), windows.copy(), np.empty_like(windows)
    alone[:] = fill
    deletion, insertion, done = [], [], 0
    for k in (k for k in STEPS if k < windows.shape[2]):
        some, done = order[done:k], k
        without[..., some], alone[..., some] = fill[some], windows[..., some]
        deletion.append(float(metrics.auc(labels, predict(without))))
        insertion.append(float(metrics.auc(labels, predict(alone))))
    return deletion, insertion


def _largest(by_roi):
    return np.argsort(-np.asarray(by_roi, dtype=float), kind="stable")


def _standardised(values):
    return (values - values.mean()) / (values.std() or 1.0)
