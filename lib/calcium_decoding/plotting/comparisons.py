"""Figures of conditions side by side, or along an axis; every mark is a fold or an animal."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from calcium_decoding.evaluation.metrics import METRIC_LABELS
from calcium_decoding.plotting import style
from calcium_decoding.plotting.style import NULL_COLOUR, SIGNAL, legend_beside, simulated_mark

LEAST_DRAWS = 20  # of a null, before its spread is known and drawn as a band


def strip(found, ax, published=None, nulls=(), metric=None):
    """Conditions side by side: a dot a fold, coloured by its test animal; the bar is mean and sample SD over folds. A
    condition that has not converged has hollow dots, no mean and nothing published, and says so in red.

    ``found``: ConditionResults. ``published``: draw published means and SDs as open diamonds: where there is one and
    the data are the study's or imitate its design if None, never if False. ``nulls``: FoldResults on a draw of a null,
    or a list of them for each of several draws. ``metric``: a key of ``FoldResult.scores``; if left out, the main one.
    """
    if not found:
        return _left_out(ax)
    metric = metric or found[0].main_score
    group_of = {fold.fold: fold.test_group for result in found for fold in result.folds}
    rows = pd.DataFrame([(place, group_of[name], mean) for place, result in enumerate(found) for name, mean
                         in result.values(metric).items()], columns=["place", "tested on", "score"])
    groups = list(dict.fromkeys(rows["tested on"]))
    _chance_and_null(ax, found, nulls, metric)
    unconverged = [place for place, result in enumerate(found) if result.not_converged()]
    colours = {"hue": "tested on", "hue_order": groups, "palette": _colours(groups)}
    before = len(ax.collections)
    sns.stripplot(rows, x="place", y="score", **(colours if len(groups) <= 8 else {"color": SIGNAL}),
                  order=range(len(found)), jitter=0.13, size=4.5, alpha=0.8, ax=ax, zorder=2)
    for dots in ax.collections[before:]:
        if len(dots.get_offsets()) and round(dots.get_offsets()[0, 0]) in unconverged:
            dots.set(edgecolor=dots.get_facecolor(), facecolor="none", linewidth=1)
    for place, values in rows.groupby("place")["score"]:
        if place in unconverged:
            style.not_converged(ax, place + 0.2)
            continue
        ax.errorbar(place + 0.26, values.mean(), values.std() if len(values) > 1 else None, fmt="_", color=SIGNAL,
                    ms=10, capsize=3, lw=1.4, label="mean, SD over folds")
    _published(ax, found, [place + 0.42 for place in range(len(found))], published, metric)
    ax.set_xticks(range(len(found)), [
        textwrap.fill(result.name.replace("_", " "), 11, break_long_words=False) for result in found],
                  fontsize=8 if len(found) > 6 else None)
    ax.set(xlabel="", ylabel=f"{METRIC_LABELS.get(metric, metric)} (a dot is a fold)", xlim=(-0.5, len(found) - 0.4))
    legend_beside(ax)
    return simulated_mark(ax, _all(found, nulls))


def curve(found, ax, xlabel, published=None, nulls=(), metric=None):
    """Conditions along a numeric axis: thin lines are test animals, the thick one is the mean over folds, with its SD;
    they leave out a condition that has not converged. ``found``: ConditionResults, each with a ``value``. ``xlabel``:
    says its unit. The others: as for :func:`strip`.
    """
    if not found:
        return _left_out(ax)
    metric = metric or found[0].main_score
    found = sorted((r for r in found if r.evaluable()), key=lambda result: result.condition.value)
    x = np.array([result.condition.value for result in found])
    sure = np.array([not result.not_converged() for result in found], bool)
    _chance_and_null(ax, found, nulls, metric)
    groups = list(dict.fromkeys(fold.test_group for result in found for fold in result.evaluable()))
    colours = _colours(groups)
    for group in groups:
        mine = np.array([result.by_animal(metric).get(group, np.nan) for result in found])
        known = np.isfinite(mine)
        ax.plot(x[known], np.where(sure, mine, np.nan)[known], ".-", color=colours[group], lw=0.9, ms=4, alpha=0.9,
                label=group if len(groups) <= 8 else None)
        if (hollow := known & ~sure).any():
            ax.plot(x[hollow], mine[hollow], "o", color=colours[group], mfc="none", ms=4)
    for place in x[~sure]:
        style.not_converged(ax, place)
    values = [list(result.values(metric).values()) for result in found]
    mean = np.where(sure, [np.mean(v) for v in values], np.nan)
    sd = np.array([np.std(v, ddof=1) if len(v) > 1 else 0.0 for v in values])
    ax.fill_between(x, mean - sd, mean + sd, color=SIGNAL, alpha=0.12, lw=0)
    ax.plot(x, mean, "-", color=SIGNAL, lw=2.4, label="mean, SD over folds" if sure.any() else None)
    _published(ax, found, x, published, metric)
    ax.set(xlabel=xlabel, ylabel=METRIC_LABELS.get(metric, metric))
    legend_beside(ax)
    return simulated_mark(ax, _all(found, nulls))


def null(ax, draws, what="folds"):
    """What a null scored: a grey band, mean and SD over draws, if there are 20 or more; else a tick a value, at the
    left. ``draws``: a sequence of values for each draw, which are ``what``; empty ones are passed over."""
    draws = [list(values) for values in draws if len(values)]
    if len(draws) >= LEAST_DRAWS:
        means = [np.mean(values) for values in draws]
        mean, sd = np.mean(means), np.std(means, ddof=1)
        ax.axhspan(mean - sd, mean + sd, color=NULL_COLOUR, alpha=0.25, lw=0, zorder=0,
                   label=f"null: mean, SD over {len(draws)} draws")
    elif draws:
        values = np.concatenate(draws)
        ax.update_datalim(np.column_stack([values, values]), updatex=False)  # which lines of such axes do not
        ax.hlines(values, 0, 0.03, transform=ax.get_yaxis_transform(), color=NULL_COLOUR, lw=1.5,
                  label=style.null_label(sum(map(len, draws)), len(draws), what))


def _left_out(ax):
    """No figure rather than an empty one."""
    figure = ax.figure
    ax.remove()
    if not figure.axes:
        plt.close(figure)
    return ax


def _colours(groups):
    return dict(zip(groups, sns.color_palette("viridis", len(groups)), strict=True))


def _draws(nulls):
    return list(nulls) if len(nulls) and isinstance(nulls[0], list | tuple) else [nulls]


def _all(found, nulls):
    return [*found, *(fold for draw in _draws(nulls) for fold in draw)]


def _chance_and_null(ax, found, nulls, metric):
    levels = {fold.chance(metric) for result in found for fold in result.folds}
    if len(levels) == 1 and None not in levels:  # one level for all, of a score that has one
        ax.axhline(*levels, color=NULL_COLOUR, ls="--", lw=1, zorder=1,
                   label="mean of the test frames" if metric == "r2" else "chance")
    null(ax, [[fold.scores[metric] for fold in draw if fold.scores] for draw in _draws(nulls)])


def _published(ax, found, x, wanted, metric):
    beside = [] if wanted is False else [(place, r) for place, r in zip(x, found, strict=True)
                                         if r.condition.beside_published and not r.not_converged()]
    if not beside:
        return
    mean, sd = np.array([r.condition.published_score(metric) for _, r in beside]).T
    other = beside[0][1].simulated
    ax.errorbar([place for place, _ in beside], mean, sd, fmt="D", mfc="white", color=SIGNAL, ms=5, capsize=2, lw=1,
                alpha=0.7, label="published, real mice" if other else "published")
