"""Tables of what a study found: scores by animal, advantages with intervals, what goes on the result card."""

import numpy as np
import pandas as pd

from calcium_decoding.errors import DataError
from calcium_decoding.evaluation.cards import Score, summarise
from calcium_decoding.evaluation.metrics.frames import METRIC_LABELS
from calcium_decoding.evaluation.statistics import block_bootstrap, sign_flip, t_interval
from calcium_decoding.explain import cell_importance
from calcium_decoding.models.names import FOOTSTEP_LABELS, FOOTSTEP_LINEAR

CLASS_METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auc")
MODEL_LABELS = FOOTSTEP_LABELS | {"aligned": "linear alignment", "read-in": "read-in alone",
                                  "all layers": "all layers", "within": "within animal"}
FOOTSTEP_METRICS = METRIC_LABELS | {"auc": "AUC, mean of classes", "r2": "R², mean of both limbs"}
_ONE_ANIMAL = "one animal: none"


def score_table(results):
    """A row a result: what it is called by, and its scores."""
    return pd.DataFrame([{**r.names, **r.scores} for r in results])


def by_animal(results, metric, value=None):
    """Mean score of each model on each animal over blocks and seeds: DataFrame of animals by models.

    ``value``: only results of this condition of a sweep. Raises DataError: no result has the score.
    """
    table = score_table(results)
    if value is not None:
        table = table[table["value"] == value]
    if metric not in table or table[metric].isna().all():
        raise DataError(f"score {metric}", "no result has it", "a test block in which it is defined",
                        "test on longer blocks")
    found = table.pivot_table(index="animal", columns="model", values=metric, sort=False)
    return found[[m for m in dict.fromkeys(table["model"]) if m in found]]


def has(results, metric):
    """Whether any result has a score."""
    return any(metric in r.scores for r in results)


def summary(results, metrics=CLASS_METRICS):
    """A row a model: mean over animals of each score, with its SD over animals."""
    if not has(results, metrics[0]):
        return pd.DataFrame({"note": [f"no {metrics[0]} on these data"]})
    rows = {}
    for metric in metrics:
        wide = by_animal(results, metric)
        rows[FOOTSTEP_METRICS.get(metric, metric.replace("_", " "))] = [
            f"{mean:.3f}" + (f" ± {sd:.3f}" if np.isfinite(sd) else "")
            for mean, sd in zip(wide.mean(), wide.std(ddof=1), strict=True)]
    return pd.DataFrame({"model": [MODEL_LABELS[m] for m in wide.columns], **rows})


def feet(results):
    """A row a model: accuracy of each foot against the rest beside what always saying the more frequent gets, and F1.

    Means over animals.
    """
    table = {}
    for foot in ("contralateral", "ipsilateral"):
        for metric in ("accuracy", "majority", "balanced_accuracy", "f1", "auc"):
            table[f"{foot[:-7]}. {metric.replace('_', ' ')}"] = by_animal(results, f"{foot}_{metric}").mean()
    return pd.DataFrame(table).rename(index=MODEL_LABELS).round(3).rename_axis("model").reset_index()


def advantages(results, reference="hybrid", metric="balanced_accuracy"):
    """What a model is ahead of each other one, paired by animal, block and seed, with every spread there is.

    A row a model: ``ahead by`` (mean over animals), ``95 % over animals`` (Student's t), ``SD over blocks``, ``SD over
    seeds`` (of the mean over the rest), ``animals ahead``, ``sign-flip p``. A spread over one is named.
    """
    table = score_table(results)
    wide = table.pivot_table(index=["animal", "block", "seed"], columns="model", values=metric, sort=False)
    rows = []
    for model in [m for m in dict.fromkeys(table["model"]) if m != reference and m in wide]:
        other = wide[model]
        if model in FOOTSTEP_LINEAR:  # needs no seed: compared with the reference of every seed
            other = other.groupby(["animal", "block"]).transform("first")
        difference = (wide[reference] - other).dropna()
        animal = difference.groupby("animal", sort=False).mean()
        rows.append({"model": MODEL_LABELS[model], "ahead by": round(float(animal.mean()), 3),
                     "95 % over animals": _interval(animal), "SD over blocks": _spread(difference, "block"),
                     "SD over seeds": _spread(difference, "seed"),
                     "animals ahead": f"{int((animal > 0).sum())} of {len(animal)}",
                     "sign-flip p": f"{sign_flip(animal.to_numpy()).p:.3f}" if len(animal) > 1 else _ONE_ANIMAL})
    return pd.DataFrame(rows)


def _interval(values):
    if len(values) < 2:
        return _ONE_ANIMAL
    found = t_interval(values.to_numpy())
    return f"{found.low:+.3f} to {found.high:+.3f}"


def _spread(difference, level):
    values = difference.groupby(level).mean()
    return f"{values.std(ddof=1):.3f} ({len(values)})" if len(values) > 1 else f"one {level}: none"


def frame_intervals(results, model, rate_hz, block_s=6.0, n_draws=500):
    """A row an animal: balanced accuracy on its first test block, with a block bootstrap interval over its frames."""
    rows = []
    for r in results:
        if r.fold.reason or (r.names["model"], r.names["block"], r.names["seed"]) != (model, 0, 0):
            continue
        labels, decided = r.fold.labels, r.fold.predicted.argmax(1)
        block = min(round(block_s * rate_hz), len(labels) // 4)
        found = block_bootstrap(
            lambda rows, y=labels, d=decided: balanced_accuracy_of(y[rows], d[rows]), len(labels), block,
            n_draws)
        rows.append({"animal": r.names["animal"], "test frames": len(labels),
                     "balanced accuracy": round(found.estimate, 3), "95 % over blocks of frames":
                     f"{found.low:.3f} to {found.high:.3f}"})
    return pd.DataFrame(rows)


def balanced_accuracy_of(labels, decided):
    """Balanced accuracy of three classes, shape (n,) each; None if a class is missing."""
    recalls = [(decided[labels == i] == i).mean() for i in range(3) if (labels == i).any()]
    return float(np.mean(recalls)) if len(recalls) == 3 else None


def sweep_table(sweeps, metric="balanced_accuracy"):
    """A row a value of each sweep, a column a model: mean over animals of a score. Empty if nothing was run.

    ``sweeps`` (sequence of (results, str)): and what was varied; those without such a score are left out.
    """
    tables = []
    for results, varied in sweeps:
        if has(results, metric):
            table = score_table(results).pivot_table(index="value", columns="model", values=metric, sort=False)
            table = table.sort_index().rename(columns=MODEL_LABELS).rename_axis(columns=None).reset_index()
            tables.append(table.assign(value=[f"{v:g}" for v in table["value"]]).assign(varied=varied))
    if not tables:
        return pd.DataFrame()
    whole = pd.concat(tables, ignore_index=True)
    return whole[["varied", "value", *(name for name in whole if name not in ("varied", "value"))]]


def deletions(results):
    """Deletion curves of all animals: DataFrame with ``animal``, ``order``, ``share`` gone, and scores."""
    return pd.concat([pd.DataFrame(r.deletion).assign(animal=r.animal) for r in results], ignore_index=True)


def kept_cells(study, animal):
    """Which cells of an animal a study uses, as column numbers of the recording, in order."""
    whole, used = study.all_cells.of_animal(animal)[0], study.dataset.of_animal(animal)[0]
    return np.flatnonzero(np.isin(whole.roi_names, used.roi_names))


def recovery(results, study, truth):
    """A row an animal, foot and ranking: are the cells found that were made to follow the foot?

    ``results``: of :meth:`.study.Study.information`. ``truth`` (dict of str to AnimalTruth, or None): the table is
    empty without. ``rank correlation``: of the ranking with the simulated gain on this foot.
    """
    rows = []
    for r in results if truth is not None else ():
        cells = truth[r.animal].cells.iloc[kept_cells(study, r.animal)]
        tuning = dict(zip((*cell_importance.FEET, "either"), r.tuning.T, strict=True))
        for foot, ranking, values in ((*cell_importance.FEET[:1], "tuning", tuning["contralateral"]),
                                      (*cell_importance.FEET[1:], "tuning", tuning["ipsilateral"]),
                                      ("either", "tuning", tuning["either"]),
                                      ("either", "decoder", r.relevance)):
            wanted = cells["tuning"].isin(["contralateral", "ipsilateral", "both"] if foot == "either"
                                          else [foot, "both"]).to_numpy()
            found = cell_importance.recovered(values, wanted)
            rows.append({"animal": r.animal, "foot": foot, "ranked by": ranking,
                         "precision": found["precision"], "by chance": found["by_chance"],
                         "rank correlation": cell_importance.rank_correlation(values, cells["gain_hz"] * wanted)})
    return pd.DataFrame(rows)


def card_scores(results, metrics, suffix="", value=None, details=()):
    """Scores for the result card: of each model the mean over animals, and each animal's.

    ``metrics``: those that no result has are left out. ``suffix``: added to the model's name. ``value``: only results
    of this condition of a sweep. ``details``: further scores, of which only each animal's goes on the card.
    """
    found = []
    for metric in (m for m in (*metrics, *details) if has(results, m)):
        wide = by_animal(results, metric, value)
        for model in wide:
            values = wide[model].dropna()
            found += summarise(model + suffix, values, metric, unit="animals")[:1] if metric in metrics else []
            found += [Score(model=model + suffix, metric=metric, scope=f"animal {animal}", value=float(v))
                      for animal, v in values.items()]
    return found


def sweep_scores(results, metrics, name):
    """:func:`card_scores` of every value of a sweep, as ``<model> at <name> <value>``."""
    values = sorted({r.names["value"] for r in results})
    return [score for v in values for score in card_scores(results, metrics, f" at {name} {v:g}", v)]


def not_evaluable(results):
    """A row a note: scores that do not exist, and why."""
    rows = [{"animal": r.names["animal"], "model": r.names["model"], "note": note}
            for r in results for note in r.fold.notes or [r.fold.reason] if note]
    return pd.DataFrame(rows or [{"note": "every score exists in every test block"}])


def recovery_scores(table):
    """Scores for the result card of what :func:`recovery` found; none without rows."""
    found = []
    for (foot, ranked_by), rows in () if table.empty else table.groupby(["foot", "ranked by"], sort=False):
        name = f"{foot} by {ranked_by}"
        found += summarise(name, rows["precision"], "precision", unit="animals")[:1]
        if (foot, ranked_by) == ("either", "tuning"):
            found += summarise(name, rows["by chance"], "precision_by_chance", unit="animals")[:1]
        found += [Score(model=name, metric="rank_correlation", scope=f"animal {animal}", value=float(value))
                  for animal, value in zip(rows["animal"], rows["rank correlation"], strict=True)]
    return found
