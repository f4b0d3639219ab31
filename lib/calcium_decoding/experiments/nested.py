"""Nested cross-validation over animals: decoder, epoch and threshold are chosen on inner animals, never on the test."""

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from calcium_decoding import splits
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import cards
from calcium_decoding.experiments import compare, engine, folds
from calcium_decoding.splits.audit import FittedStep, audit

# What is chosen here besides what each run fits, for the audit.
CHOSEN = (*folds.FITTED, FittedStep("choice of the decoder", "valid"), FittedStep("threshold", "valid"))

THRESHOLDS = np.linspace(0.01, 0.99, 99)


def run(dataset, candidates, training, store=None, jobs=None):
    """Test each animal with the candidate that does best on the others.

    For each test animal every candidate is trained once for each of the other animals, which validates: it picks the
    epoch of a network. The candidate with the best mean validation AUC over these inner runs is chosen, and one
    threshold for all its runs. Only then are its runs scored on the test animal, and averaged: one number an animal.

    ``dataset``: of three animals or more. ``candidates`` (dict of str to (decoder, Traces)): by name. ``training``:
    TrainingSettings of all. ``store``, ``jobs``: as for :func:`calcium_decoding.experiments.compare.run`. The folds are
    those of ``animal_pairs``; what was trained there is not trained again. Returns a DataFrame, a row an animal:
    ``tested on``, ``chosen on the others`` (name of the candidate), ``their AUC`` (of the chosen, on inner animals),
    ``threshold`` of the probability of running, with the best balanced accuracy there; on the test animal, mean over
    inner runs, ``AUC``, ``balanced accuracy`` at this threshold, ``at threshold 0.5``; and ``reason`` why an animal has
    no scores, if any has none. Raises ParameterError: no candidate, or fewer than three animals. Raises LeakError:
    preprocessing or window of a candidate leaks.
    """
    split = splits.nested_animals(dataset)
    asked = {name: engine.Experiment(dataset, split, traces, decoders=(decoder,), training=training)
             for name, (decoder, traces) in candidates.items()}
    for experiment in asked.values():
        audit(split, experiment.spec, experiment.input.pipeline(), dataset, fitted=CHOSEN)
    found = compare.compare(asked, store=store, jobs=jobs, label="nested")
    rows = [_row(animal, {result.name: [fold for fold in result.folds if fold.test_group == animal]
                          for result in found}) for animal in dataset.animals]
    scores = pd.DataFrame(rows, columns=["tested on", "chosen on the others", "their AUC", "threshold", "AUC",
                                         "balanced accuracy", "at threshold 0.5", "reason"])
    return scores if scores["reason"].any() else scores.drop(columns="reason")


def attempt(dataset, candidates, training, store=None, jobs=None):
    """:func:`run` where the data allow it; returns its table, else an empty one, and a sentence that says so."""
    try:
        scores = run(dataset, candidates, training, store, jobs)
    except (DataError, ParameterError) as error:
        return pd.DataFrame(), f"no choice: {error.where}, found {error.found}, expected {error.expected}"
    return scores, f"each of {len(scores)} animals tested by what the others chose among {', '.join(candidates)}"


def best_threshold(labels, p_run):
    """The threshold with the best balanced accuracy, averaged over animals; of equals the one nearest to 0.5.

    ``labels``, ``p_run`` (sequence of ndarray): one pair an animal. An animal with one class only has no balanced
    accuracy and is passed over. Returns float: among 0.01, 0.02 .. 0.99. Running is decoded above it. Raises DataError:
    no animal has both classes.
    """
    accuracy = []
    for y, p in zip(labels, p_run, strict=True):
        running, resting = np.sort(p[y == 1]), np.sort(p[y == 0])
        if len(running) and len(resting):
            hits = 1 - np.searchsorted(running, THRESHOLDS, side="right") / len(running)
            rejections = np.searchsorted(resting, THRESHOLDS, side="right") / len(resting)
            accuracy.append((hits + rejections) / 2)
    if not accuracy:
        raise DataError("validation animals", "no animal that both runs and rests", "both classes in one of them",
                        "use more sessions, or keep the threshold of 0.5")
    mean = np.mean(accuracy, axis=0)
    best = THRESHOLDS[np.isclose(mean, mean.max(), atol=1e-12)]
    return float(best[np.argmin(np.abs(best - 0.5))])


def _row(animal, by_name):
    inner = {}
    for name, runs in by_name.items():
        validated = [roc_auc_score(r.valid_labels, r.valid_p_run) for r in runs if len(np.unique(r.valid_labels)) == 2]
        if validated:
            inner[name] = float(np.mean(validated))
    tested = {name: [r for r in runs if r.scores] for name, runs in by_name.items()}
    if not inner or not any(tested.values()):
        reason = next((r.reason for runs in by_name.values() for r in runs if r.reason),
                      "no validation animal that both runs and rests")
        return {"tested on": animal, "chosen on the others": "", "threshold": 0.5, "reason": reason}
    chosen = max(inner, key=inner.get)
    runs = tested[chosen]
    threshold = best_threshold([r.valid_labels for r in runs], [r.valid_p_run for r in runs])
    at_threshold = [balanced_accuracy_score(r.labels, r.p_run > threshold) for r in runs]
    return {"tested on": animal, "chosen on the others": chosen, "their AUC": inner[chosen], "threshold": threshold,
            "AUC": float(np.mean([r.scores["auc"] for r in runs])), "balanced accuracy": float(np.mean(at_threshold)),
            "at threshold 0.5": float(np.mean([r.scores["balanced_accuracy"] for r in runs])), "reason": ""}


def card_scores(scores):
    """Mean over animals of a table of :func:`run`, as scores of a result card."""
    tested = scores.dropna(subset="AUC") if len(scores) else scores
    return [score for metric, column in (("auc", "AUC"), ("balanced_accuracy", "balanced accuracy")) if len(tested)
            for score in cards.summarise("chosen inside", tested[column].tolist(), metric, "animals, across animals")]
