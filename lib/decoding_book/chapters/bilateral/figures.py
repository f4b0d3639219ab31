"""Figures of footsteps decoded from one motor cortex; every mark is an animal. ``found``: of :func:`.study.run`."""

import numpy as np
import pandas as pd

from calcium_decoding.evaluation.convergence import MARK
from calcium_decoding.plotting import comparisons, style
from calcium_decoding.plotting.style import NULL_COLOUR, SIGNAL, WARNING, legend_beside, simulated_mark
from decoding_book.chapters.bilateral import summaries
from decoding_book.chapters.bilateral.summaries import FOOTSTEP_METRICS, MODEL_LABELS
from decoding_book.chapters.split_audit import ways

FEET = {"contralateral": "#0072B2", "ipsilateral": "#D55E00"}
COLOURS = ways.COLOURS | {"aligned": "#882255", "read-in": "#999933", "all layers": "#332288", "within": "#CC79A7"}
TUNINGS = {"none": "#C8C8C8", "cell": SIGNAL, **FEET, "both": "#009E73"}
# In which order cells are taken away: what explain.cell_importance.information calls it.
ORDERS = {"random": SIGNAL, "decoder": "#CC79A7", **{f"{foot} tuning": colour for foot, colour in FEET.items()},
          "either tuning": TUNINGS["both"]}
LEAST = 4, 3  # values and animals, below which dots are no curve
CHANCE = {"balanced_accuracy": 1 / 3, "auc": 0.5, "r2": 0.0}


def step_spans(ax, time_s, labels):
    """Shade the steps of each foot."""
    for code, (foot, colour) in enumerate(FEET.items(), 1):
        style.running_spans(ax, time_s, np.asarray(labels) == code, f"{foot} step", colour)
    return ax


def dots(found, parts, ax, ylabel, chance, nulls=()):
    """Scores by model, or side by side if several: a dot is an animal, the bar is their mean with its SD. A model that
    has not converged has hollow dots and no mean, and says so in red. ``parts``: metric by its name on the axis.
    ``chance`` ((float, str)): a line with its name. ``nulls``: as ``found``, one draw of a null: a tick an animal."""
    if nothing(found, next(iter(parts.values())), ax):
        return ax
    by_model, unconverged = len(parts) == 1, summaries.not_converged(found)
    for place, metric in enumerate(parts.values()):
        wide = summaries.by_animal(found, metric)
        for i, model in enumerate(wide):
            width = 0.15 if by_model else 0.5 / wide.shape[1]
            x = i if by_model else place + 0.7 * (i - (wide.shape[1] - 1) / 2) / wide.shape[1]
            values, label = wide[model].dropna(), None if by_model else MODEL_LABELS[model]
            ax.plot(x + np.linspace(-width / 2, width / 2, len(values)), values, "o", color=COLOURS[model], alpha=0.7,
                    ms=5, label=label, mfc="none" if model in unconverged else COLOURS[model])
            if model in unconverged:
                style.not_converged(ax, x + width * 1.3)
            elif len(values) > 1:
                ax.errorbar(x + width * 1.3, values.mean(), values.std(ddof=1), fmt="_", color=SIGNAL, ms=8, capsize=2,
                            lw=1.2)
    names = [MODEL_LABELS[model].replace(" ", "\n") for model in wide] if by_model else list(parts)
    ax.set_xticks(range(len(names)), names, fontsize=8)
    _chance(ax, chance, next(iter(parts.values())), nulls)
    ax.set(ylabel=f"{ylabel}\n(a dot is an animal)", xlim=(-0.5, len(names) - 0.4))
    legend_beside(ax)
    return simulated_mark(ax, found)


def curve(found, xlabel, ax, metric="balanced_accuracy", nulls=(), zero=""):
    """A score along a changed condition, by model: thin lines are animals, thick ones their mean. Under four values or
    three animals there are dots without lines, and the title says so. Where a model has not converged its dots are
    hollow, lines leave it out, and the legend says so in red. ``found``: with a column ``value``. ``zero``: what a
    value of 0 means ("all"); it stands last."""
    if nothing(found, metric, ax):
        return ax
    values, n_animals = summaries.in_order(found["value"], zero), found["animal"].nunique()
    few = len(values) < LEAST[0] or n_animals < LEAST[1]
    if few:
        style.warned(ax, f"values: {len(values)}, animals: {n_animals}. Too few for a curve")
    _chance(ax, (CHANCE[metric], "chance"), metric, nulls)
    for model, mine in found.groupby("model", sort=False):
        wide = mine.pivot_table(index="value", columns="animal", values=metric).reindex(values)
        unconverged = [value for value, some in mine.groupby("value") if summaries.not_converged(some)]
        sure = wide[~wide.index.isin(unconverged)].reindex(values)
        ax.plot(sure.to_numpy(), "." if few else ".-", color=COLOURS[model], lw=0.6, ms=4, alpha=0.5)
        if unconverged:
            ax.plot(wide.mask(sure.notna()).to_numpy(), "o", color=COLOURS[model], mfc="none", ms=4, alpha=0.7)
        label = MODEL_LABELS[model] + (f": {MARK} at {len(unconverged)} of {len(values)}" if unconverged else "")
        ax.plot(sure.mean(axis=1).to_numpy(), "_" if few else "-", color=COLOURS[model], lw=2.4, ms=14, label=label)
    ax.set_xticks(range(len(values)), [summaries.said(v, zero) for v in values])
    ax.set(xlabel=xlabel, ylabel=FOOTSTEP_METRICS.get(metric, metric))
    legend_beside(ax)
    for text in ax.get_legend().get_texts():
        if MARK in text.get_text():
            text.set(color=WARNING, fontweight="bold")
    return simulated_mark(ax, found)


def deletion_curves(informed, ax, metric="balanced_accuracy", orders=None):
    """What is left without more and more cells, by the order in which they go: thin lines are animals. ``informed``: of
    :meth:`.study.Study.information`. ``orders`` (sequence of str): all if left out."""
    table = pd.concat([pd.DataFrame(one.deletion).assign(animal=one.animal) for one in informed])
    orders = orders or table["order"].unique()
    for order in orders:
        wide = table[table["order"] == order].pivot_table(index="share", columns="animal", values=metric)
        ax.plot(100 * wide.index, wide, color=ORDERS[order], lw=0.6, alpha=0.6)
        ax.plot(100 * wide.index, wide.mean(axis=1), color=ORDERS[order], lw=2.2,
                label=order if order == "random" else f"by {order}")
    _chance(ax, (0.5 if metric.startswith("auc") else CHANCE[metric], "chance"), metric)
    ax.set(xlabel="cells set to their mean (%)", ylabel=metric.replace("auc_", "AUC, ").replace("_", " "))
    legend_beside(ax)
    return simulated_mark(ax, informed)


def nothing(found, metric, ax):
    """True if no fold has a score, which the panel then says; it is left out where nothing was run at all."""
    if summaries.has(found, metric):
        return False
    if len(found):
        style.nothing(ax, "recordings without kinematics" if metric.startswith("r2") else "not run on these data")
    else:
        comparisons.strip([], ax)
    return True


def _chance(ax, chance, metric, nulls=()):
    ax.axhline(chance[0], color=NULL_COLOUR, ls="--", lw=1, label=chance[1], zorder=0)
    if len(nulls):
        comparisons.null(ax, [summaries.by_animal(nulls, metric).iloc[:, 0].dropna()], "animals")
