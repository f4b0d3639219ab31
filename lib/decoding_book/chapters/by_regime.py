"""Chapter 02: the same decoders under several regimes: what a score claims decides what it is."""

import numpy as np
import pandas as pd

from calcium_decoding import splits
from calcium_decoding.errors import CalciumDecodingError
from calcium_decoding.evaluation import cards
from calcium_decoding.experiments import engine
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.models.names import COLOURS, LABELS
from calcium_decoding.plotting.style import NULL_COLOUR, SIGNAL, legend_beside, simulated_mark

CLAIM_LABELS = {"within session": "within session", "across sessions": "across sessions",
                "across animals": "across animals", splits.LEAKY: "LEAKY\nrandom windows"}


def run(dataset, regimes, spec, recipe, training, decoders, options=None, **how):
    """Train and test the same decoders under each regime, leaky ones included, that the data allow.

    ``options``: of :func:`calcium_decoding.splits.build`, by regime. Returns ``experiments`` and ``results``, dict of
    str to Experiment and Results by regime, and ``reasons``, why the data do not allow a regime; "" where they do.
    """
    experiments, results, reasons = {}, {}, {}
    for regime in regimes:
        try:
            traces = Traces(recipe, spec)
            split = splits.build(regime, dataset, spec, traces.pipeline(), **(options or {}).get(regime, {}))
            one = engine.Experiment(dataset, split, traces, training=training)
            results[regime] = engine.run(one, decoders, label=regime, allow_leak=split.is_leaky, **how)
            experiments[regime], reasons[regime] = one, ""
        except CalciumDecodingError as error:
            # Too few sessions, cells that change from day to day, a leak: said in the table, and no score.
            reasons[regime] = f"{error.where}: {error.found}"
    return experiments, results, reasons


def table(experiments, results, reasons):
    """What became of each regime, a row each: claim, folds, and how many have a score, or why there are none."""
    rows = []
    for regime, reason in reasons.items():
        folds = results.get(regime, [])
        rows.append({"regime": regime, "claim": "not possible here" if reason else experiments[regime].split.claim,
                     "folds": 0 if reason else len(experiments[regime].split.folds),
                     "with a score": sum(bool(fold.scores) for fold in folds) // max(1, len({f.model for f in folds})),
                     "reason": reason})
    found = pd.DataFrame(rows)
    return found if found["reason"].any() else found.drop(columns="reason")


def animal_scores(experiments, results):
    """Mean AUC over the folds that test an animal, a row a claim, animal and decoder; none where no fold has one."""
    rows = [(experiments[regime].split.claim, fold.recordings[0].split("/")[0], fold.model, fold.scores.get("auc"),
             fold.simulated) for regime, folds in results.items() for fold in folds]
    rows = pd.DataFrame(rows, columns=["claim", "animal", "model", "score", "simulated"])
    groups = rows.groupby(["claim", "animal", "model"], sort=False)
    return groups.agg({"score": _mean, "simulated": "any"}).reset_index()


def _mean(values):
    return np.mean(values.dropna().tolist()) if values.notna().any() else None


def mean_table(scores):
    """Mean over animals, a row a claim, a column a decoder, with the number of animals."""
    kept = scores.dropna(subset="score")
    means = kept.pivot_table(index="claim", columns="model", values="score", sort=False)
    animals = kept.groupby("claim", sort=False)["animal"].nunique()
    return means.assign(animals=animals).reset_index().rename_axis(columns=None)


def card_scores(scores):
    """Mean over animals for each claim and decoder, as scores of a result card; the claim stands in the scope."""
    groups = scores.dropna(subset="score").groupby(["claim", "model"], sort=False)["score"]
    return [score for (claim, model), values in groups
            for score in cards.summarise(model, values, "auc", f"animals, {claim}")]


def figure(scores, ax):
    """Score by claim and decoder: dots are animals, joined by thin lines, bars are means over animals."""
    scores = scores.dropna(subset="score")
    claims = [claim for claim in CLAIM_LABELS if claim in set(scores["claim"])]
    models, x = list(dict.fromkeys(scores["model"])), np.arange(len(claims))
    for i, model in enumerate(models):
        here = x + 0.5 * (i - (len(models) - 1) / 2) / len(models)
        wide = scores[scores["model"] == model].pivot_table(index="animal", columns="claim", values="score")[claims]
        ax.plot(here, wide.T, "-o", color=COLOURS[model], alpha=0.5, ms=5, lw=0.7)
        ax.hlines(wide.mean(), here - 0.1, here + 0.1, color=SIGNAL, lw=2, zorder=3)
        ax.plot([], [], "o", color=COLOURS[model], label=LABELS[model])
    ax.axhline(0.5, color=NULL_COLOUR, ls=":", lw=1, label="chance")
    if splits.LEAKY in claims:
        ax.axvspan(claims.index(splits.LEAKY) - 0.5, len(claims) - 0.5, color=NULL_COLOUR, alpha=0.12, lw=0)
    ax.set_xticks(x, [CLAIM_LABELS[claim] for claim in claims])
    ax.set(ylabel="AUC (a dot is an animal)", xlim=(-0.5, len(claims) - 0.5))
    legend_beside(ax)
    return simulated_mark(ax, scores)
