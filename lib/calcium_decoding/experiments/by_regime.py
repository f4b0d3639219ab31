"""The same decoders under several regimes: what a score claims decides what it is."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from calcium_decoding import preprocessing, splits
from calcium_decoding.errors import CalciumDecodingError
from calcium_decoding.evaluation import cards
from calcium_decoding.experiments import engine
from calcium_decoding.experiments.inputs import Traces


@dataclass(frozen=True, eq=False)
class RegimeResult:
    """One regime.

    ``regime``: a name in :data:`calcium_decoding.splits.REGIMES`. ``experiment``: None where the data do not allow the
    regime. ``folds``: list of FoldResult. ``reason``: why the data do not allow it; empty if they do.
    """

    regime: str
    experiment: engine.Experiment | None
    folds: list
    reason: str = ""

    @property
    def claim(self):
        """What the scores may claim; empty where there are none."""
        return self.experiment.split.claim if self.experiment else ""


def run(dataset, regimes, spec, recipe, training, model_names, options=None, store=None, jobs=None):
    """Train and test the same decoders under each regime.

    Parameters
    ----------
    dataset : Dataset
    regimes : sequence of str
        Names in :data:`calcium_decoding.splits.REGIMES`. A leaky one is run, and says so in its claim and folds.
    spec : WindowSpec
    recipe : dict
        Arguments of :func:`calcium_decoding.preprocessing.build`.
    training : TrainingSettings
    model_names : sequence of str
    options : dict of str to dict, optional
        Options of :func:`calcium_decoding.splits.build` by regime.
    store, jobs
        As in :func:`calcium_decoding.experiments.engine.run`.

    Returns
    -------
    list of RegimeResult
        One a regime; one that the data do not allow comes back with the reason.
    """
    found = []
    for regime in regimes:
        try:
            pipeline = preprocessing.build(**recipe)
            split = splits.build(regime, dataset, spec, pipeline, **(options or {}).get(regime, {}))
            experiment = engine.Experiment(dataset, split, Traces(recipe, spec), training=training)
            folds = engine.run(experiment, model_names, store, jobs, label=regime, allow_leak=split.is_leaky)
            found.append(RegimeResult(regime, experiment, folds))
        except CalciumDecodingError as error:
            # Too few sessions, cells that change from day to day, a leak: said in the table, and no score.
            found.append(RegimeResult(regime, None, [], f"{error.where}: {error.found}"))
    return found


def animal_scores(compared, metric="auc"):
    """Scores by animal: the mean over the folds that test it.

    ``compared``: sequence of RegimeResult. Returns a DataFrame: columns ``regime``, ``claim``, ``animal``, ``model``,
    ``folds`` (with a score), ``planned`` and ``score`` (missing where no fold has one).
    """
    rows = []
    for result in compared:
        if result.experiment is None:
            continue
        animal = {r.id: r.animal for r in result.experiment.dataset.recordings}
        groups = {}
        for fold in result.folds:
            groups.setdefault((animal[fold.recordings[0]], fold.model), []).append(fold)
        for (name, model), folds in groups.items():
            values = [fold.scores[metric] for fold in folds if fold.scores]
            rows.append({"regime": result.regime, "claim": result.claim, "animal": name, "model": model,
                         "folds": len(values), "planned": len(folds),
                         "score": float(np.mean(values)) if values else None})
    return pd.DataFrame(rows, columns=["regime", "claim", "animal", "model", "folds", "planned", "score"])


def mean_table(scores):
    """Mean over animals, a row a claim, a column a decoder, with the number of animals.

    ``scores``: of :func:`animal_scores`.
    """
    kept = scores.dropna(subset="score")
    means = kept.pivot_table(index="claim", columns="model", values="score", sort=False)
    animals = kept.groupby("claim", sort=False)["animal"].nunique()
    return means.assign(animals=animals).reset_index().rename_axis(columns=None)


def table(compared):
    """What became of each regime, a row each: claim, folds, distance between training and test, or why not."""
    rows = []
    for r in compared:
        scored = sum(1 for f in r.folds if f.scores)
        rows.append({"regime": r.regime, "claim": r.claim or "not possible here",
                     "folds": len(r.experiment.split.folds) if r.experiment else 0,
                     "with a score": scored // max(1, len({f.model for f in r.folds})), "reason": r.reason})
    found = pd.DataFrame(rows)
    return found if found["reason"].any() else found.drop(columns="reason")


def card_scores(compared, metric="auc"):
    """Mean over animals for each claim and decoder, as scores of a result card; the claim stands in the scope.

    Returns a list of Score.
    """
    scores = animal_scores(compared, metric).dropna(subset="score")
    return [score for (claim, model), part in scores.groupby(["claim", "model"], sort=False)
            for score in cards.summarise(model, part["score"], metric, f"animals, {claim}")]
