"""Nested cross-validation over animals: decoder, epoch and threshold are chosen on inner animals, never on the test."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from calcium_decoding import preprocessing, splits
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import cards
from calcium_decoding.experiments import engine, folds
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.preprocessing.windows import WindowSpec
from calcium_decoding.splits.audit import FittedStep, audit

# What is chosen here besides what each run fits, for the audit.
CHOSEN = (*folds.FITTED, FittedStep("choice of the decoder", "valid"), FittedStep("threshold", "valid"))

THRESHOLDS = np.linspace(0.01, 0.99, 99)


@dataclass(frozen=True)
class Candidate:
    """A decoder with its settings, among which the inner loop chooses.

    Parameters
    ----------
    model : str
        A name in :data:`calcium_decoding.models.MODELS`.
    spec : WindowSpec
    recipe : dict
        Arguments of :func:`calcium_decoding.preprocessing.build`.
    training : TrainingSettings
    name : str
        How it is called in results; the model's name if left empty.
    """

    model: str
    spec: WindowSpec
    recipe: dict
    training: TrainingSettings
    name: str = ""

    def __post_init__(self):
        object.__setattr__(self, "name", self.name or self.model)


@dataclass(frozen=True, eq=False)
class NestedScore:
    """One test animal.

    ``chosen``: name of the candidate with the best inner score. ``inner`` (dict of str to float): for each candidate
    the area under the ROC curve on the inner animals, mean over them. ``threshold``: of the probability of running,
    with the best balanced accuracy on the inner animals. ``scores`` (dict of str to float): of the chosen candidate on
    the test animal, averaged over its inner runs: ``auc``, ``balanced_accuracy`` at the chosen threshold and
    ``balanced_accuracy_at_half``. Empty if there are none. ``runs`` (tuple of FoldResult): the inner runs of the chosen
    candidate: one a validation animal. ``reason``: why there are no scores; empty if there are.
    """

    test_animal: str
    chosen: str
    inner: dict
    threshold: float
    scores: dict
    runs: tuple
    reason: str = ""


def run(dataset, candidates, store=None, jobs=None):
    """Test each animal with the candidate that does best on the others.

    For each test animal every candidate is trained once for each of the other animals, which validates: it picks the
    epoch of a network. The candidate with the best mean validation score over these inner runs is chosen, and one
    threshold for all its runs. Only then are its runs scored on the test animal, and averaged: one number an animal.

    Parameters
    ----------
    dataset : Dataset
        Three animals or more.
    candidates : sequence of Candidate
    store : str or Path, optional
        Folder of finished folds, as in :func:`calcium_decoding.experiments.engine.run`. The folds are those of the
        split ``animal_pairs``, so what was trained there is not trained again.
    jobs : int, optional

    Returns
    -------
    list of NestedScore
        One an animal, in the order of the data set.

    Raises
    ------
    ParameterError
        No candidate, two of one name, or fewer than three animals.
    LeakError
        A candidate's preprocessing or window leaks.
    """
    names = [candidate.name for candidate in candidates]
    if not names or len(set(names)) < len(names):
        raise ParameterError("candidates", ", ".join(names) or "none", "at least one, each with its own name",
                             "name the candidates apart")
    split = splits.nested_animals(dataset)
    by_name = {}
    for candidate in candidates:
        audit(split, candidate.spec, preprocessing.build(**candidate.recipe), dataset, fitted=CHOSEN)
        experiment = engine.Experiment(dataset, split, Traces(candidate.recipe, candidate.spec),
                                       training=candidate.training)
        by_name[candidate.name] = engine.run(experiment, [candidate.model], store, jobs,
                                             label=f"nested: {candidate.name}")
    return [_score(animal, {name: [r for r in runs if r.test_group == animal] for name, runs in by_name.items()})
            for animal in dataset.animals]


def attempt(dataset, candidates, store=None, jobs=None):
    """:func:`run` where the data allow it.

    Returns ``scores`` (list of NestedScore): empty where the data do not allow it; ``statement``: what was chosen
    among, or why nothing was.
    """
    try:
        scores = run(dataset, candidates, store, jobs)
    except (DataError, ParameterError) as error:
        return [], f"no choice: {error.where}, found {error.found}, expected {error.expected}"
    return scores, f"each of {len(scores)} animals tested by what the others chose among " \
                   f"{', '.join(candidate.name for candidate in candidates)}"


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


def table(scores):
    """Nested scores as a DataFrame, a row a test animal."""
    rows = [{"tested on": s.test_animal, "chosen on the others": s.chosen, "their AUC": s.inner.get(s.chosen),
             "threshold": s.threshold, "AUC": s.scores.get("auc"),
             "balanced accuracy": s.scores.get("balanced_accuracy"),
             "at threshold 0.5": s.scores.get("balanced_accuracy_at_half"), "reason": s.reason} for s in scores]
    found = pd.DataFrame(rows)
    return found if found.empty or found["reason"].any() else found.drop(columns="reason")


def _score(animal, by_name):
    inner = {}
    for name, runs in by_name.items():
        validated = [roc_auc_score(r.valid_labels, r.valid_p_run) for r in runs if len(np.unique(r.valid_labels)) == 2]
        if validated:
            inner[name] = float(np.mean(validated))
    tested = {name: [r for r in runs if r.scores] for name, runs in by_name.items()}
    if not inner or not any(tested.values()):
        reason = next((r.reason for runs in by_name.values() for r in runs if r.reason),
                      "no validation animal that both runs and rests")
        return NestedScore(animal, "", inner, 0.5, {}, (), reason)
    chosen = max(inner, key=inner.get)
    runs = tested[chosen]
    threshold = best_threshold([r.valid_labels for r in runs], [r.valid_p_run for r in runs])
    scores = {
        "auc": float(np.mean([r.scores["auc"] for r in runs])),
        "balanced_accuracy": float(np.mean([balanced_accuracy_score(r.labels, r.p_run > threshold) for r in runs])),
        "balanced_accuracy_at_half": float(np.mean([r.scores["balanced_accuracy"] for r in runs])),
    }
    return NestedScore(animal, chosen, inner, threshold, scores, tuple(runs))


def card_scores(scores):
    """Mean over animals of nested scores, as scores of a result card.

    ``scores``: sequence of NestedScore. Returns a list of Score.
    """
    tested = [s.scores for s in scores if s.scores]
    return [score for metric in ("auc", "balanced_accuracy") if tested
            for score in cards.summarise("chosen inside", [s[metric] for s in tested], metric,
                                         "animals, across animals")]
