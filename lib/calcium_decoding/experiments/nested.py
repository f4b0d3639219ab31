"""Nested cross-validation over animals: decoder, epoch and threshold are chosen on inner animals, never on the test."""

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from calcium_decoding import splits
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import cards
from calcium_decoding.experiments import compare, engine, folds, tasks
from calcium_decoding.splits.audit import FittedStep, audit

# What is chosen here besides what each run fits, for the audit.
CHOSEN = (*folds.FITTED, FittedStep("choice of the decoder", "valid"), FittedStep("threshold", "valid"))

THRESHOLDS = np.linspace(0.01, 0.99, 99)


def run(dataset, candidates, training, store=None, jobs=None, task=None):
    """Test each animal with the candidate that does best on the others, and with the threshold that does.

    For each test animal every candidate (dict of str to (decoder, Traces)) is trained once for each of the other
    animals, which validates. The one with the best mean validation AUC over these inner runs is chosen, and one
    threshold for all its runs. Only then are its runs scored on the test animal, and averaged. ``task``: a Binary,
    running if left out. Returns a DataFrame, a row an animal: ``tested on``, ``chosen on the others``, ``their AUC``
    (on inner animals), ``threshold`` with the best balanced accuracy there; on the test animal ``AUC``, ``balanced
    accuracy`` at this threshold, ``at threshold 0.5``; ``reason`` if any has no scores. Raises ParameterError: no
    candidate, or fewer than three animals.
    """
    split = splits.nested_animals(dataset)
    task = task or tasks.Binary()
    asked = {name: engine.Experiment(dataset, split, traces, task, decoders=(decoder,), training=training)
             for name, (decoder, traces) in candidates.items()}
    for experiment in asked.values():
        audit(experiment.split, experiment.spec, experiment.input.pipeline(), dataset, fitted=CHOSEN,
              label_smoothing_frames=experiment.label_reach)
    found = compare.compare(asked, store=store, jobs=jobs, label="nested")
    rows = [_row(animal, {result.name: [fold for fold in result.folds if fold.test_group == animal]
                          for result in found}) for animal in dataset.animals]
    scores = pd.DataFrame(rows, columns=["tested on", "chosen on the others", "their AUC", "threshold", "AUC",
                                         "balanced accuracy", "at threshold 0.5", "reason"])
    return scores if scores["reason"].any() else scores.drop(columns="reason")


def attempt(dataset, candidates, training, store=None, jobs=None, task=None):
    """:func:`run` where the data allow it; returns its table, else an empty one, and a sentence that says so."""
    try:
        scores = run(dataset, candidates, training, store, jobs, task)
    except (DataError, ParameterError) as error:
        return pd.DataFrame(), f"no choice: {error.where}, found {error.found}, expected {error.expected}"
    return scores, f"each of {len(scores)} animals tested by what the others chose among {', '.join(candidates)}"


def best_threshold(labels, p_run):
    """The threshold (of 0.01, 0.02 .. 0.99) with the best balanced accuracy, mean over animals; of equals, nearest to
    0.5. ``labels``, ``p_run``: an ndarray an animal; one with one class only is passed over; DataError if all are."""
    accuracy = []
    for y, p in zip(labels, p_run, strict=True):
        running, resting = np.sort(p[y == 1]), np.sort(p[y == 0])
        if len(running) and len(resting):
            hits = 1 - np.searchsorted(running, THRESHOLDS, side="right") / len(running)
            rejections = np.searchsorted(resting, THRESHOLDS, side="right") / len(resting)
            accuracy.append((hits + rejections) / 2)
    if not accuracy:
        raise DataError("validation animals", "no animal with frames of 0 and of 1", "both classes in one of them",
                        "use more sessions, or keep the threshold of 0.5")
    mean = np.mean(accuracy, axis=0)
    best = THRESHOLDS[np.isclose(mean, mean.max(), atol=1e-12)]
    return float(best[np.argmin(np.abs(best - 0.5))])


def _row(animal, by_name):
    inner = {}
    for name, runs in by_name.items():
        validated = [roc_auc_score(r.valid_labels, r.valid_predicted) for r in runs
                     if len(np.unique(r.valid_labels)) == 2]
        if validated:
            inner[name] = float(np.mean(validated))
    tested = {name: [r for r in runs if r.scores] for name, runs in by_name.items()}
    if not inner or not any(tested.values()):
        reason = next((r.reason for runs in by_name.values() for r in runs if r.reason),
                      "no validation animal with both classes")
        return {"tested on": animal, "chosen on the others": "", "threshold": 0.5, "reason": reason}
    chosen = max(inner, key=inner.get)
    runs = tested[chosen]
    threshold = best_threshold([r.valid_labels for r in runs], [r.valid_predicted for r in runs])
    at_threshold = [balanced_accuracy_score(r.labels, r.predicted > threshold) for r in runs]
    return {"tested on": animal, "chosen on the others": chosen, "their AUC": inner[chosen], "threshold": threshold,
            "AUC": float(np.mean([r.scores["auc"] for r in runs])), "balanced accuracy": float(np.mean(at_threshold)),
            "at threshold 0.5": float(np.mean([r.scores["balanced_accuracy"] for r in runs])), "reason": ""}


def card_scores(scores):
    """Mean over animals of a table of :func:`run`, as scores of a result card."""
    return [score for metric, column in (("auc", "AUC"), ("balanced_accuracy", "balanced accuracy"))
            for score in cards.table_scores(scores, column, "chosen inside", metric, "animals, across animals")]
