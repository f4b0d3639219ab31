"""Tables of what a study found, and what goes on the result card. ``found``: of :func:`.study.run`, a row a fold."""

import numpy as np
import pandas as pd

from calcium_decoding.errors import DataError
from calcium_decoding.evaluation import convergence
from calcium_decoding.evaluation.cards import Score, converged, summarise
from calcium_decoding.evaluation.metrics import METRIC_LABELS
from calcium_decoding.evaluation.statistics import block_bootstrap, bounds_of, sign_flip, t_interval
from calcium_decoding.explain import attribution, cell_importance
from calcium_decoding.models.names import FOOTSTEP_LABELS, FOOTSTEP_LINEAR
from calcium_decoding.preprocessing.windows import CLASSES

MODEL_LABELS = FOOTSTEP_LABELS | {"aligned": "linear alignment", "read-in": "read-in alone",
                                  "all layers": "all layers", "within": "within animal"}
FOOTSTEP_METRICS = METRIC_LABELS | {"auc": "AUC, mean of classes", "r2": "R², mean of both limbs"}


def by_animal(found, metric):
    """Mean score over blocks and seeds: DataFrame of animals by models. DataError: no fold has the score."""
    if not has(found, metric):
        raise DataError(f"score {metric}", "no result has it", "a test block in which it is defined",
                        "test on longer blocks")
    wide = found.pivot_table(index="animal", columns="model", values=metric, sort=False)
    return wide[[model for model in found["model"].unique() if model in wide]]


def has(found, metric):
    """Whether any fold has a score."""
    return metric in found and bool(found[metric].notna().any())


def not_converged(found):
    """Why trainings of a model have not converged, by model; of those that have not."""
    said = {model: convergence.not_converged(mine["fold"]) for model, mine in found.groupby("model", sort=False)}
    return {model: reason for model, reason in said.items() if reason}


def summary(found, metrics=("accuracy", "balanced_accuracy", "macro_f1", "auc")):
    """A row a model: mean over animals of each score, with its SD over animals, and what has not converged."""
    if not has(found, metrics[0]):
        return pd.DataFrame({"note": [f"no {metrics[0]} on these data"]})
    rows = {}
    for metric in metrics:
        wide = by_animal(found, metric)
        rows[FOOTSTEP_METRICS.get(metric, metric.replace("_", " "))] = [
            f"{mean:.3f}" + (f" ± {sd:.3f}" if np.isfinite(sd) else "")
            for mean, sd in zip(wide.mean(), wide.std(ddof=1), strict=True)]
    if unconverged := not_converged(found):
        rows["training"] = [convergence.marked(unconverged.get(model, "")) for model in wide.columns]
    return pd.DataFrame({"model": [MODEL_LABELS[m] for m in wide.columns], **rows})


def by_foot(found):
    """A row a score of one foot against the rest, a column a model: mean over animals; and what has not converged.
    Empty if nothing was run."""
    scores = {f"{foot[:-7]}. {metric.replace('_', ' ')}": by_animal(found, f"{foot}_{metric}").mean()
              for foot in CLASSES[1:] for metric in ("accuracy", "majority", "balanced_accuracy", "f1", "auc")
              if has(found, f"{foot}_{metric}")}
    table = pd.DataFrame(scores)
    if scores and (unconverged := not_converged(found)):
        table["training"] = [convergence.MARK if model in unconverged else "" for model in table.index]
    return table.rename(index=MODEL_LABELS).T.rename_axis("score").reset_index() if scores else table


def advantages(found, reference="hybrid", metric="balanced_accuracy"):
    """What a model is ahead of each other one, paired by animal, block and seed, a row a model: ``ahead by`` (mean over
    animals), ``95 % over animals`` (Student's t, within the bounds of a difference), SD over blocks, and over seeds of
    the mean over the rest, one-sided ``sign-flip p`` where so many animals can give one below 0.05. Where one of the
    two has not converged, or their seeds disagree by more than the two, it says so instead."""
    if not has(found, metric):
        return pd.DataFrame()
    wide = found.pivot_table(index=["animal", "block", "seed"], columns="model", values=metric, sort=False)
    rows, unconverged, note = [], not_converged(found), ""
    for model in [m for m in found["model"].unique() if m != reference and m in wide]:
        both = wide[[reference, model]]
        if model in FOOTSTEP_LINEAR:  # needs no seed: compared with the reference of every seed
            both = both.assign(**{model: both[model].groupby(["animal", "block"]).transform("first")})
        both = both.dropna()
        said = ", ".join(MODEL_LABELS[m] for m in both if m in unconverged) or convergence.seeds_disagree(
            *both.groupby("seed").mean().to_numpy().T)
        if said:
            rows.append({"model": MODEL_LABELS[model], "ahead by": convergence.marked(said)})
            continue
        difference = both[reference] - both[model]
        animal, interval = difference.groupby("animal", sort=False).mean(), "one animal: none"
        row = {"model": MODEL_LABELS[model], "ahead by": round(float(animal.mean()), 3),
               "95 % over animals": interval, "SD over blocks": _spread(difference, "block"),
               "SD over seeds": _spread(difference, "seed"), "animals ahead": f"{(animal > 0).sum()} of {len(animal)}"}
        if len(animal) > 1:
            _, *ends = t_interval(animal.to_numpy(), bounds_of(metric, difference=True))
            row["95 % over animals"] = "{:+.3f} to {:+.3f}".format(*ends)
            flip = sign_flip(animal.to_numpy(), "greater")
            if flip.can_tell:
                row["sign-flip p, one-sided"] = f"{flip.p:.3f}"
            else:
                note = f"No sign-flip p (one-sided): with so few animals none below {flip.floor:.2g} is possible."
        rows.append(row)
    table = pd.DataFrame(rows)
    table.attrs["note"] = note
    return table


def _spread(difference, level):
    values = difference.groupby(level).mean()
    return f"{values.std(ddof=1):.3f} ({len(values)})" if len(values) > 1 else f"one {level}: none"


def frame_intervals(folds, rate_hz, block_s=1.0, n_draws=500):
    """A row an animal: balanced accuracy of one of its ``folds``, with a bootstrap interval over blocks of frames."""
    rows = []
    for fold in (fold for fold in folds if not fold.reason):
        labels, decided = fold.labels, fold.predicted.argmax(1)
        block = min(round(block_s * rate_hz), len(labels) // 4)
        found = block_bootstrap(lambda rows, y=labels, d=decided: balanced_accuracy_of(y[rows], d[rows]),
                                len(labels), block, n_draws)
        rows.append({"animal": fold.animal, "test frames": len(labels), "blocks": len(labels) // block,
                     "balanced accuracy": round(found.estimate, 3),
                     "95 % over blocks of frames": f"{found.low:.3f} to {found.high:.3f}"})
    return pd.DataFrame(rows)


def balanced_accuracy_of(labels, decided):
    """Balanced accuracy of three classes, shape (n,) each; None if a class is missing."""
    recalls = [(decided[labels == i] == i).mean() for i in range(3) if (labels == i).any()]
    return float(np.mean(recalls)) if len(recalls) == 3 else None


def said(value, zero=""):
    """A value of a sweep in words; ``zero``: what 0 stands for ("all"), if not for itself."""
    return zero if zero and value == 0 else f"{value:g}"


def in_order(values, zero=""):
    """Different values of a sweep from the smallest on, as a list; a 0 that stands for something stands last."""
    return sorted(set(values), key=lambda value: (zero != "" and value == 0, value))


def sweep_table(sweeps, metric="balanced_accuracy", zero=""):
    """A row a value of each sweep, a column a model: mean over animals of a score, or that the model has not converged.
    ``sweeps`` (dict of str to DataFrame): by what was varied; those without the score are left out."""
    rows = []
    for varied, found in sweeps.items():
        for value in in_order(found["value"], zero) if has(found, metric) else ():
            mine = found[found["value"] == value]
            scores = dict(by_animal(mine, metric).mean()) | dict.fromkeys(not_converged(mine), convergence.MARK)
            rows.append({"varied": varied, "value": said(value, zero), "animals": mine["animal"].nunique(),
                         **{MODEL_LABELS[model]: score for model, score in scores.items()}})
    return pd.DataFrame(rows)


def truth_of(study, truth, animal):
    """What was simulated of the cells that a study uses of an animal, a DataFrame; ``truth``: AnimalTruth by animal."""
    whole, used = study.all_cells.of_animal(animal)[0], study.dataset.of_animal(animal)[0]
    return truth[animal].cells.iloc[np.flatnonzero(np.isin(whole.roi_names, used.roi_names))]


def recovery(informed, study, truth):
    """A row an animal and ranking (``model``: "ipsilateral by tuning"): are the cells found that were made to follow a
    foot, or either? ``informed``: of :meth:`.study.Study.information`. ``truth``: AnimalTruth by animal; the table is
    empty without. ``rank_correlation``: of the ranking with the simulated gain on this foot."""
    rows = []
    for one in informed if truth is not None else ():
        cells = truth_of(study, truth, one.animal)
        rankings = [(foot, "tuning", one.tuning[:, i]) for i, foot in enumerate((*CLASSES[1:], "either"))]
        for foot, ranked_by, values in (*rankings, ("either", "decoder", one.relevance)):
            wanted = cells["tuning"].isin([*CLASSES[1:], "both"] if foot == "either" else [foot, "both"]).to_numpy()
            found = cell_importance.recovered(values, wanted)
            rows.append({"model": f"{foot} by {ranked_by}", "animal": one.animal, "precision": found["precision"],
                         "precision_by_chance": found["by_chance"],
                         "rank_correlation": attribution.rank_agreement(values, cells["gain_hz"] * wanted)})
    return pd.DataFrame(rows, columns=["model", "animal", "precision", "precision_by_chance", "rank_correlation"])


def card_scores(found, metrics, suffix="", details=()):
    """Scores for the result card: of each model the mean over animals, and each animal's; of ``details`` only each
    animal's. Scores that no fold has are left out. ``suffix``: added to the model's name."""
    scores = []
    for metric in (m for m in (*metrics, *details) if has(found, m)):
        for model, values in by_animal(found, metric).items():
            values = values.dropna()
            scores += summarise(model + suffix, values, metric, unit="animals")[:1] if metric in metrics else []
            scores += [Score(model=model + suffix, metric=metric, scope=f"animal {animal}", value=float(v))
                       for animal, v in values.items()]
    return scores


def trained(found, suffix=""):
    """A score for the result card of each model: have all its trainings converged?"""
    unconverged = not_converged(found)
    return [converged(model + suffix, unconverged.get(model, ""), len(mine))
            for model, mine in found.groupby("model", sort=False)]


def sweep_scores(found, name, metrics=("balanced_accuracy",), zero=""):
    """:func:`card_scores` and :func:`trained` of every value of a sweep, as ``<model> at <name> <value>``; none of an
    empty one."""
    scores = []
    for value in in_order(found["value"], zero) if len(found) else ():
        here, suffix = found[found["value"] == value], f" at {name} {said(value, zero)}"
        scores += card_scores(here, metrics, suffix) + trained(here, suffix)
    return scores
