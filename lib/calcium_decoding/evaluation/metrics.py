"""Scores of frame-by-frame decoding. scikit-learn computes them; this module refuses what has no meaning."""

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    mean_absolute_error,
    r2_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)

from calcium_decoding.errors import DataError

# How figures and tables call them.
METRIC_LABELS = {"auc": "AUC", "balanced_accuracy": "balanced accuracy", "accuracy": "accuracy",
                 "macro_f1": "macro F1", "r2": "R²", "correlation": "correlation", "circular_error": "circular error"}


def frame_scores(labels, p_run):
    """Scores over frames, a dict: ``labels`` (0 rest, 1 run) and decoded ``p_run``, both shape (n,).

    ``auc``; ``accuracy`` and ``balanced_accuracy`` at 0.5; ``average_precision`` (of a decoder that knows nothing:
    ``run_share``, not 0.5); ``brier`` (mean squared difference of probability and label); ``run_share`` (share of
    running frames). Raises DataError: one class only, or what :func:`checked_frames` refuses.
    """
    labels, p_run = checked_frames(labels, p_run)
    require_both_classes(labels, "test frames")
    return {
        "auc": auc(labels, p_run),
        "accuracy": float(np.mean((p_run > 0.5) == labels)),
        "balanced_accuracy": float(balanced_accuracy_score(labels, p_run > 0.5)),
        "average_precision": float(average_precision_score(labels, p_run)),
        "brier": float(brier_score_loss(labels, p_run)),
        "run_share": float(np.mean(labels)),
    }


def speed_scores(speed, predicted, running=None, class_means=None):
    """Scores of a decoded speed over frames, all of shape (n,), and notes: which scores do not exist here, and why.

    ``r2`` and ``mae`` (mean absolute error, in the unit of the speed); over frames of ``running`` (0 rest, 1 run)
    ``r2_running``, by their own mean, and ``mae_running``; ``r2_class_mean`` and ``mae_class_mean`` of a decoder that
    knows run from rest alone, and says the ``class_means``, of resting and of running training frames. Raises
    DataError: a speed that never changes, values that are not finite, shapes that disagree.
    """
    speed, predicted = checked_speeds(speed, predicted)
    require_change(speed, "test frames")
    scores = {"r2": float(r2_score(speed, predicted)), "mae": float(mean_absolute_error(speed, predicted))}
    if running is None:
        return scores, ("no run label: no scores within running frames",)
    run, notes = np.asarray(running) == 1, ()
    if run.any() and np.ptp(speed[run]) > 0:
        scores["r2_running"] = float(r2_score(speed[run], predicted[run]))
    else:
        why = "one speed only in running frames" if run.any() else "no running frames"
        notes += (f"{why}: no R2 within running",)
    if run.any():
        scores["mae_running"] = float(mean_absolute_error(speed[run], predicted[run]))
    if class_means is not None:
        said = np.where(run, class_means[1], class_means[0])
        scores["r2_class_mean"] = float(r2_score(speed, said))
        scores["mae_class_mean"] = float(mean_absolute_error(speed, said))
    return scores, notes


def correlation(true, predicted):
    """Pearson's correlation as a dict with the key ``"correlation"``; empty where one of the two never changes."""
    if np.ptp(true) == 0 or np.ptp(predicted) == 0:
        return {}
    return {"correlation": float(np.corrcoef(np.asarray(true, float), np.asarray(predicted, float))[0, 1])}


def quantity_scores(true, predicted, period):
    """Scores of quantities, a column each of two tables with a row a window, and notes: which do not exist, and why.

    ``r2_<name>``, ``mae_<name>``, ``correlation_<name>``; of what goes round in a ``period`` (dict by name)
    ``r2_<name>`` by squared distances on the circle, and ``circular_error_<name>``, the mean absolute distance along
    the round, in its unit. ``r2``: the mean over quantities.
    """
    scores, notes, of_each = {}, (), []
    for name in true:
        x, y = true[name].to_numpy(float), predicted[name].to_numpy(float)
        if np.ptp(x) == 0:
            notes += (f"{name} never changes: no R2 of it",)
            continue
        if name in period:
            round_ = period[name]
            both = [np.stack([np.cos(2 * np.pi * v / round_), np.sin(2 * np.pi * v / round_)], axis=1) for v in (x, y)]
            scores[f"r2_{name}"] = float(r2_score(*both, multioutput="variance_weighted"))
            apart = np.abs(x - y) % round_
            scores[f"circular_error_{name}"] = float(np.minimum(apart, round_ - apart).mean())
        else:
            scores[f"r2_{name}"], scores[f"mae_{name}"] = float(r2_score(x, y)), float(mean_absolute_error(x, y))
            scores |= {f"correlation_{name}": value for value in correlation(x, y).values()}
        of_each.append(scores[f"r2_{name}"])
    return scores | {"r2": float(np.mean(of_each))}, notes


def class_scores(labels, probabilities, classes):
    """Scores of several classes over frames, and notes: classes that do not occur.

    ``labels`` (n,) are numbers of classes, counted from 0; of ``probabilities`` (n, n_classes) the largest decides.
    Over the classes that occur: ``balanced_accuracy`` (mean recall), ``macro_f1``, ``accuracy``; ``auc`` (mean of
    ``auc_<class>``, one against the rest); ``recall_<class>``; ``chance`` (balanced accuracy of knowing nothing).
    """
    labels, decided = np.asarray(labels), np.asarray(probabilities).argmax(axis=1)
    present = np.unique(labels)
    recall = dict(zip(present, recall_score(labels, decided, labels=present, average=None).tolist(), strict=True))
    scores = {"balanced_accuracy": float(np.mean(list(recall.values()))),
              "macro_f1": float(f1_score(labels, decided, labels=present, average="macro", zero_division=0)),
              "accuracy": float((decided == labels).mean()), "chance": 1 / len(present)}
    if len(present) > 1:
        one_vs_rest = {i: float(roc_auc_score(labels == i, probabilities[:, i])) for i in present}
        scores["auc"] = float(np.mean(list(one_vs_rest.values())))
        scores |= {f"auc_{classes[i]}": value for i, value in one_vs_rest.items()}
    scores |= {f"recall_{classes[i]}": value for i, value in recall.items()}
    notes = tuple(f"no frame of class {name}: no recall and no AUC of it" for i, name in enumerate(classes)
                  if i not in recall)
    return scores, notes


def confusion(labels, probabilities):
    """Share of the frames of each true class (row) given each class (column); zeros for a class without frames."""
    classes = range(probabilities.shape[1])
    return confusion_matrix(labels, np.argmax(probabilities, axis=1), labels=classes, normalize="true")


def require_change(speed, where):
    """Raise DataError unless there are two different values in ``speed``."""
    if not len(speed) or np.min(speed) == np.max(speed):
        raise DataError(where, f"only speed {speed[0]:g}" if len(speed) else "no frames",
                        "speeds that differ, or R2 does not exist",
                        "test on a longer stretch, or report the fold as not evaluable")


def checked_speeds(speed, predicted):
    """True and decoded speed as float64 arrays of shape (n,), or DataError if they are not that, or not finite."""
    speed, predicted = np.asarray(speed, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if speed.ndim != 1 or speed.shape != predicted.shape:
        raise DataError("speed and prediction", f"shapes {speed.shape} and {predicted.shape}", "two of shape (n,)",
                        "give one speed and one prediction a frame")
    for name, values in (("speed", speed), ("predicted speed", predicted)):
        if not np.isfinite(values).all():
            raise DataError(name, f"{np.count_nonzero(~np.isfinite(values))} values that are not finite",
                            "finite numbers", "check the data and the training")
    return speed, predicted


def checked_frames(labels, p_run):
    """``labels`` (0 rest, 1 run) and ``p_run`` (0 to 1) as arrays of shape (n,), or DataError if they are not that."""
    labels, p_run = np.asarray(labels), np.asarray(p_run)
    if labels.ndim != 1 or labels.shape != p_run.shape:
        raise DataError("labels and p_run", f"shapes {labels.shape} and {p_run.shape}", "two of shape (n,)",
                        "give one label and one probability a frame")
    if not np.isfinite(p_run).all():
        raise DataError("p_run", f"{np.count_nonzero(~np.isfinite(p_run))} values that are not finite",
                        "probabilities", "check training: the loss should have been refused")
    if len(p_run) and not 0 <= p_run.min() <= p_run.max() <= 1:
        raise DataError("p_run", f"values from {p_run.min():.3g} to {p_run.max():.3g}", "probabilities, 0 to 1",
                        "give the probability of running, not the logit or a regression's output")
    if not np.isin(labels, (0, 1)).all():
        raise DataError("labels", f"values {', '.join(map(str, np.unique(labels)[:5]))}", "0 for rest and 1 for run",
                        "recode the label")
    return labels, p_run


def require_both_classes(labels, where):
    """Raise DataError unless both rest (0) and run (1) are among ``labels``."""
    if len(np.unique(labels)) < 2:
        only = "no frames" if len(labels) == 0 else ("only running" if labels[0] else "only rest")
        raise DataError(where, only, "both rest and running frames, or the AUC does not exist",
                        "test on a longer stretch, or report the fold as not evaluable")


def auc(labels, p_run):
    """Area under the ROC curve alone; see :func:`frame_scores`."""
    return float(roc_auc_score(labels, p_run))


def roc(labels, p_run, n_points=200):
    """False- and true-positive rates of the ROC curve on an even grid of the former, two of shape (n_points,). Of
    probabilities (n, n_classes): mean over the classes that occur, each against the rest."""
    grid = np.linspace(0, 1, n_points)
    if np.ndim(p_run) == 2:
        of = [roc(labels == i, p_run[:, i], n_points)[1] for i in np.unique(labels)]
        return grid, np.mean(of, axis=0)
    false_positive, true_positive, _ = roc_curve(labels, p_run)
    return grid, np.interp(grid, false_positive, true_positive)
