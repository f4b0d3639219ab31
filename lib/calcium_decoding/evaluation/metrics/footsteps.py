"""Scores of decoded footsteps and kinematics. What is not defined is named, never NaN; scikit-learn computes them."""

import numpy as np
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, r2_score, roc_auc_score

from calcium_decoding.data.readers.footsteps import KINEMATICS
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation.metrics import frames
from calcium_decoding.evaluation.statistics import Interval
from calcium_decoding.preprocessing.windows import CLASSES

FOOTSTEP_METRICS = frames.METRIC_LABELS | {"auc": "AUC, mean of classes", "r2": "R², mean of both limbs"}


def footstep_scores(labels, probabilities):
    """Scores of three classes over frames.

    ``labels`` (ndarray, shape (n,)): 0 none, 1 contralateral, 2 ipsilateral. ``probabilities`` (ndarray, shape (n, 3)):
    of each class; the largest is the decision. Returns ``scores`` (dict of str to float): ``accuracy``;
    ``balanced_accuracy``, mean recall of the classes; ``macro_f1``; ``recall_<class>``; ``auc_<class>``, one class
    against the rest from the scores; ``auc``, their mean. Without those that do not exist; ``notes`` (tuple of str):
    what does not exist, and why. Raises DataError: shapes that do not fit, values that are not finite, labels that are
    not 0, 1 or 2, no frames.
    """
    labels, probabilities = _checked(labels, probabilities)
    decided, notes = probabilities.argmax(1), ()
    scores = {"accuracy": float(accuracy_score(labels, decided))}
    present = [i for i in range(3) if (labels == i).any()]
    for i, name in enumerate(CLASSES):
        if i not in present:
            notes += (f"no frame of class {name}: no recall and no AUC of it, nor means over classes",)
            continue
        scores[f"recall_{name}"] = float((decided[labels == i] == i).mean())
        if len(present) > 1:
            scores[f"auc_{name}"] = float(roc_auc_score(labels == i, probabilities[:, i]))
        else:
            notes += (f"only frames of class {name}: no AUC",)
    if len(present) == 3:
        scores["balanced_accuracy"] = float(balanced_accuracy_score(labels, decided))
        scores["macro_f1"] = float(f1_score(labels, decided, average="macro"))
        scores["auc"] = float(np.mean([scores[f"auc_{name}"] for name in CLASSES]))
    return scores, notes


def foot_scores(labels, p, foot):
    """Scores of one foot against the rest.

    ``labels`` (ndarray, shape (n,)): 0 none, 1 contralateral, 2 ipsilateral. ``p`` (ndarray, shape (n,)): decoded
    probability of a step of this foot. ``foot``: {"contralateral", "ipsilateral"}. Returns ``scores`` (dict of str to
    float): ``<foot>_accuracy``, ``<foot>_balanced_accuracy`` and ``<foot>_f1`` (of the step) at 0.5, ``<foot>_auc``;
    ``<foot>_majority`` is the accuracy of always saying what is more frequent in these frames; ``notes`` (tuple of
    str).
    """
    steps = (np.asarray(labels) == CLASSES.index(foot)).astype(int)
    decided = np.asarray(p) > 0.5
    scores = {f"{foot}_accuracy": float(accuracy_score(steps, decided)),
              f"{foot}_majority": float(max(steps.mean(), 1 - steps.mean()))}
    if steps.min() == steps.max():
        return scores, (f"{foot} steps in {'all' if steps.any() else 'no'} frames: no balanced accuracy, F1 and AUC",)
    return scores | {f"{foot}_balanced_accuracy": float(balanced_accuracy_score(steps, decided)),
                     f"{foot}_f1": float(f1_score(steps, decided, zero_division=0)),
                     f"{foot}_auc": float(roc_auc_score(steps, p))}, ()


def kinematic_scores(true, predicted):
    """Coefficient of determination of each limb and variable.

    ``true``, ``predicted`` (ndarray, shape (n, 4)): columns as in
    :data:`calcium_decoding.data.readers.footsteps.KINEMATICS`, in one unit. Returns ``scores`` (dict of str to float):
    ``r2_<variable>``, ``r2_contralateral``, ``r2_ipsilateral`` (mean of position and velocity) and ``r2`` (mean of all
    four). Always saying the mean of these frames gets 0; saying another mean, less; ``notes`` (tuple of str): variables
    that do not change, and have no R2.
    """
    true, predicted = np.asarray(true, float), np.asarray(predicted, float)
    if true.shape != predicted.shape or true.ndim != 2 or true.shape[1] != len(KINEMATICS):
        raise DataError("kinematics", f"shapes {true.shape} and {predicted.shape}", "two of shape (n, 4)",
                        f"give columns {', '.join(KINEMATICS)}")
    scores, notes = {}, ()
    for i, name in enumerate(KINEMATICS):
        if np.ptp(true[:, i]) > 0:
            scores[f"r2_{name}"] = float(r2_score(true[:, i], predicted[:, i]))
        else:
            notes += (f"{name} does not change in {len(true)} frames: no R2 of it, nor of its limb",)
    for limb, start in (("contralateral", "r2_contra"), ("ipsilateral", "r2_ipsi")):
        values = [value for name, value in scores.items() if name.startswith(start + "_")]
        if len(values) == 2:
            scores[f"r2_{limb}"] = float(np.mean(values))
    if not notes:
        scores["r2"] = float(np.mean([scores["r2_contralateral"], scores["r2_ipsilateral"]]))
    return scores, notes


def all_scores(labels, predicted, true_kinematics=None):
    """Every score of what a decoder said of some frames.

    ``labels``: ndarray, shape (n,). ``predicted`` (dict of str to ndarray): as
    :func:`calcium_decoding.models.training_footsteps.predict` gives it, kinematics in their unit. ``true_kinematics``:
    ndarray, shape (n, 4). Returns ``scores`` (dict of str to float); ``notes`` (tuple of str).
    """
    found = [footstep_scores(labels, predicted["footstep"])]
    found += [foot_scores(labels, predicted[foot], foot) for foot in CLASSES[1:]]
    if true_kinematics is not None:
        found.append(kinematic_scores(true_kinematics, predicted["kinematics"]))
    scores = {name: value for part, _ in found for name, value in part.items()}
    return scores, tuple(note for _, notes in found for note in notes)


def confusion(labels, probabilities):
    """Share of the frames of each true class (row) that are given each class (column), shape (3, 3).

    A class without frames has a row of zeros.
    """
    return frames.confusion(*_checked(labels, probabilities))


def block_bootstrap(statistic, n_frames, block_frames, n_draws=1000, seed=0, level=0.95):
    """Percentile interval of a statistic of consecutive frames, by drawing blocks of them with replacement.

    Blocks start anywhere and wrap around (circular block bootstrap), so every frame is drawn as often as any other.

    ``statistic``: ``statistic(rows)`` of an integer array of frame numbers; a draw for which it gives None (a class is
    missing) is left out. ``block_frames``: longer than activity and behaviour resemble themselves. Returns Interval.
    Raises ParameterError: a block longer than a quarter of the frames, or shorter than a frame. Raises DataError: the
    statistic does not exist in more than half of the draws.

    Politis, Romano 1992, in Exploring the Limits of Bootstrap (Wiley). The interval speaks of other frames of the same
    recording, not of other animals, and not of other seeds of the network.
    """
    if not 1 <= block_frames <= n_frames / 4:
        raise ParameterError("block_frames", block_frames, f"1 to {n_frames // 4}, a quarter of the frames",
                             "shorten the blocks or use more frames")
    rng = np.random.default_rng(seed)
    n_blocks = -(-n_frames // block_frames)
    draws = []
    for starts in rng.integers(0, n_frames, (n_draws, n_blocks)):
        rows = ((starts[:, None] + np.arange(block_frames)).ravel()[:n_frames]) % n_frames
        if (value := statistic(rows)) is not None:
            draws.append(value)
    if len(draws) < n_draws / 2:
        raise DataError("block bootstrap", f"no statistic in {n_draws - len(draws)} of {n_draws} draws",
                        "a statistic in most draws", "use more frames, or shorter blocks")
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(statistic(np.arange(n_frames))), float(low), float(high), level,
                    {"block": n_frames // block_frames})


def balanced_accuracy_of(labels, decided):
    """Balanced accuracy of three classes, shape (n,) each; None if a class is missing."""
    recalls = [(decided[labels == i] == i).mean() for i in range(3) if (labels == i).any()]
    return float(np.mean(recalls)) if len(recalls) == 3 else None


def _checked(labels, probabilities):
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, float)
    if labels.ndim != 1 or probabilities.shape != (len(labels), 3) or not len(labels):
        raise DataError("labels and probabilities", f"shapes {labels.shape} and {probabilities.shape}",
                        "shapes (n,) and (n, 3), n at least 1", "give one label and three probabilities a frame")
    if not np.isfinite(probabilities).all():
        raise DataError("probabilities", f"{np.count_nonzero(~np.isfinite(probabilities))} that are not finite",
                        "finite numbers", "check the training")
    if not np.isin(labels, (0, 1, 2)).all():
        raise DataError("labels", f"values {', '.join(map(str, np.unique(labels)[:5]))}",
                        "0 none, 1 contralateral, 2 ipsilateral", "recode the labels")
    return labels.astype(np.int64), probabilities
