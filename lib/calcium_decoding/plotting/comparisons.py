"""Figures of conditions side by side, or along an axis; every mark is a fold or an animal."""

import textwrap

import numpy as np
import pandas as pd
import seaborn as sns

from calcium_decoding.evaluation.metrics.frames import METRIC_LABELS
from calcium_decoding.plotting.style import NULL_COLOUR, SIGNAL, legend_beside, simulated_mark


def strip(found, ax, published=None, nulls=(), metric=None):
    """Conditions side by side: a dot a fold, coloured by its test animal; the bar is mean and sample SD over folds.

    Parameters
    ----------
    found : sequence of ConditionResult
    published : bool, optional
        Draw published means and SDs as open diamonds: where the condition has one and the data are the study's or
        imitate its design if left out, never if False.
    nulls : sequence of FoldResult, optional
        Folds refitted on a null, drawn as a grey band: mean and sample SD.
    metric : str, optional
        A key of ``FoldResult.scores``; the main score of the task if left out.
    """
    metric = metric or (found[0].main_score if found else "auc")
    rows = pd.DataFrame([(place, fold.test_group, fold.scores[metric]) for place, result in enumerate(found)
                         for fold in result.evaluable()], columns=["place", "tested on", "score"])
    groups = list(dict.fromkeys(rows["tested on"]))
    _chance_and_null(ax, found, nulls, metric)
    colours = {"hue": "tested on", "hue_order": groups, "palette": _colours(groups)}
    sns.stripplot(rows, x="place", y="score", **(colours if len(groups) <= 8 else {"color": SIGNAL}),
                  order=range(len(found)), jitter=0.13, size=4.5, alpha=0.8, ax=ax, zorder=2)
    for place, values in rows.groupby("place")["score"]:
        ax.errorbar(place + 0.26, values.mean(), values.std() if len(values) > 1 else None, fmt="_", color=SIGNAL,
                    ms=10, capsize=3, lw=1.4, label="mean, SD over folds")
    _published(ax, found, [place + 0.42 for place in range(len(found))], published, metric)
    ax.set_xticks(range(len(found)), [textwrap.fill(result.name, 11) for result in found])
    ax.set(xlabel="", ylabel=f"{METRIC_LABELS.get(metric, metric)} (a dot is a fold)", xlim=(-0.5, len(found) - 0.4))
    legend_beside(ax)
    return simulated_mark(ax, [*found, *nulls])


def curve(found, ax, xlabel, published=None, nulls=(), metric=None):
    """Conditions along a numeric axis: thin lines are test animals, the thick one is the mean over folds, with its SD.

    Parameters
    ----------
    found : sequence of ConditionResult
        Each with a ``value``.
    xlabel : str
        Says the unit of ``value``.
    published, nulls, metric
        As for :func:`strip`.
    """
    metric = metric or (found[0].main_score if found else "auc")
    found = sorted((r for r in found if r.evaluable()), key=lambda result: result.condition.value)
    x = np.array([result.condition.value for result in found])
    _chance_and_null(ax, found, nulls, metric)
    groups = list(dict.fromkeys(fold.test_group for result in found for fold in result.evaluable()))
    colours = _colours(groups)
    for group in groups:
        mine = [(place, result.by_animal(metric)[group]) for place, result in zip(x, found, strict=True)
                if group in result.by_animal(metric)]
        ax.plot(*zip(*mine, strict=True), ".-", color=colours[group], lw=0.9, ms=4, alpha=0.9,
                label=group if len(groups) <= 8 else None)
    values = [list(result.values(metric).values()) for result in found]
    mean = np.array([np.mean(v) for v in values])
    sd = np.array([np.std(v, ddof=1) if len(v) > 1 else 0.0 for v in values])
    ax.fill_between(x, mean - sd, mean + sd, color=SIGNAL, alpha=0.12, lw=0)
    ax.plot(x, mean, "-", color=SIGNAL, lw=2.4, label="mean, SD over folds")
    _published(ax, found, x, published, metric)
    ax.set(xlabel=xlabel, ylabel=METRIC_LABELS.get(metric, metric))
    legend_beside(ax)
    return simulated_mark(ax, [*found, *nulls])


def _colours(groups):
    return dict(zip(groups, sns.color_palette("viridis", len(groups)), strict=True))


def _chance_and_null(ax, found, nulls, metric):
    levels = {fold.chance(metric) for result in found for fold in result.folds}
    if len(levels) == 1 and None not in levels:  # one level for all, of a score that has one
        ax.axhline(*levels, color=NULL_COLOUR, ls="--", lw=1, zorder=1,
                   label="mean of the test frames" if metric == "r2" else "chance")
    values = [fold.scores[metric] for fold in nulls if fold.scores]
    if values:
        mean, sd = np.mean(values), np.std(values, ddof=1) if len(values) > 1 else 0.0
        ax.axhspan(mean - sd, mean + sd, color=NULL_COLOUR, alpha=0.25, lw=0, label="null: mean, SD over folds",
                   zorder=0)


def _published(ax, found, x, wanted, metric):
    beside = [] if wanted is False else [(place, r) for place, r in zip(x, found, strict=True)
                                         if r.condition.beside_published]
    if not beside:
        return
    mean, sd = np.array([r.condition.published_score(metric) for _, r in beside]).T
    other = beside[0][1].condition.experiment.dataset.simulated
    ax.errorbar([place for place, _ in beside], mean, sd, fmt="D", mfc="white", color=SIGNAL, ms=5, capsize=2, lw=1,
                alpha=0.7, label="published, real mice" if other else "published")
