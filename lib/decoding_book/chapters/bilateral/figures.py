"""Figures of footsteps decoded from one motor cortex; every mark is an animal."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from calcium_decoding.data.readers.footsteps import KINEMATICS
from calcium_decoding.evaluation.metrics import confusion
from calcium_decoding.plotting.style import NULL_COLOUR, SIGNAL, legend_beside, simulated_mark, time_axis
from calcium_decoding.preprocessing.windows import CLASSES
from decoding_book.chapters.bilateral import summaries
from decoding_book.chapters.bilateral.summaries import FOOTSTEP_METRICS, MODEL_LABELS

FEET = {"contralateral": "#0072B2", "ipsilateral": "#D55E00"}
COLOURS = dict(zip(MODEL_LABELS, (
    "#004B76", "#56B4E9", "#5A4FCF", "#3C8DBC", "#D55E00", "#E69F00", "#009E73", "#767676", "#009E73", "#56B4E9",
    "#004B76", "#CC79A7"), strict=True))
AXES = {"contra_position_mm": "contralateral\nposition (mm)", "contra_velocity_mm_s": "contralateral\nvelocity (mm/s)",
        "ipsi_position_mm": "ipsilateral\nposition (mm)", "ipsi_velocity_mm_s": "ipsilateral\nvelocity (mm/s)"}
CHANCE = {"balanced_accuracy": 1 / 3, "auc": 0.5, "r2": 0.0}


def step_spans(ax, time_s, labels):
    """Shade the steps of each foot."""
    step = time_s[1] - time_s[0] if len(time_s) > 1 else 1.0
    for code, (foot, colour) in enumerate(FEET.items(), 1):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(labels) == code, [0]]).astype(int)))
        for i, (start, stop) in enumerate(edges.reshape(-1, 2)):
            ax.axvspan(time_s[start], time_s[stop - 1] + step, color=colour, alpha=0.18, lw=0,
                       label=f"{foot} step" if i == 0 else None)
    return ax


def activity(recording, cells, start_s, length_s, ax):
    """Activity of some cells (columns), each in units of its SD, one above another, with the steps shaded."""
    frames = slice(round(start_s * recording.rate_hz), round((start_s + length_s) * recording.rate_hz))
    signal = recording.signal[frames][:, list(cells)] / recording.signal[:, list(cells)].std(0)
    time_s = start_s + np.arange(len(signal)) / recording.rate_hz
    step_spans(ax, time_s, recording.behaviour["footstep"][frames])
    for height, values in enumerate(signal.T):
        ax.plot(time_s, values - values.min() + 4 * height, color=SIGNAL, lw=0.7)
    ax.set_yticks(4 * np.arange(len(cells)), [recording.roi_names[c] for c in cells])
    time_axis(ax, time_s).set_ylabel("cell (4 SD apart)")
    legend_beside(ax)
    return simulated_mark(ax, recording.simulated)


def decoded_feet(result, rate_hz, start_s, length_s, ax):
    """Decoded probability of a step of each foot over test frames; shaded: the true steps."""
    time_s, here = _stretch(result, rate_hz, start_s, length_s)
    step_spans(ax, time_s, result.fold.labels[here])
    for foot, colour in FEET.items():
        ax.plot(time_s, result.fold.others[f"{foot}/predicted"][here], color=colour, lw=1.2)
    ax.axhline(0.5, color=NULL_COLOUR, ls=":", lw=1)
    time_axis(ax, time_s).set(ylabel="decoded p(step)", ylim=(-0.03, 1.03))
    legend_beside(ax)
    return simulated_mark(ax, result)


def decoded_kinematics(result, rate_hz, start_s, length_s, variable, ax):
    """True and decoded movement over test frames; ``variable``: one of KINEMATICS."""
    if _nothing([result], "r2", ax):
        return ax
    time_s, here = _stretch(result, rate_hz, start_s, length_s)
    column = KINEMATICS.index(variable)
    ax.plot(time_s, result.fold.others["kinematics/labels"][here, column], color=SIGNAL, lw=1.2, label="true")
    ax.plot(time_s, result.fold.others["kinematics/predicted"][here, column], lw=1.2, label="decoded",
            color=FEET["contralateral" if variable.startswith("contra") else "ipsilateral"])
    time_axis(ax, time_s).set_ylabel(AXES[variable])
    legend_beside(ax)
    return simulated_mark(ax, result)


def _stretch(result, rate_hz, start_s, length_s):
    frames = result.fold.centre
    first = int(np.searchsorted(frames, frames[0] + round(start_s * rate_hz)))
    here = slice(first, first + round(length_s * rate_hz))
    return frames[here] / rate_hz, here


def confusions(results, model, ax):
    """Confusion matrix of a model, mean over animals: of the frames of each true class, the share given each class."""
    shares = np.mean([confusion(r.fold.labels, r.fold.predicted) for r in results
                      if r.names["model"] == model and not r.fold.reason], axis=0)
    names = [name.removesuffix("lateral") for name in CLASSES]
    sns.heatmap(shares, annot=True, fmt=".2f", cmap="Blues", vmin=0, vmax=1, square=True, cbar=False, ax=ax,
                xticklabels=names, yticklabels=names)
    ax.set(xlabel="decoded", ylabel="true", title=MODEL_LABELS[model])
    return simulated_mark(ax, results)


def strip(results, ax, metric="balanced_accuracy", nulls=()):
    """A score by model: a dot is an animal, the bar is their mean with its SD; the null and chance beside."""
    if _nothing(results, metric, ax):
        return ax
    wide = summaries.by_animal(results, metric)
    _chance(ax, metric, nulls)
    for place, model in enumerate(wide):
        _dots(ax, place, wide[model].dropna(), COLOURS[model])
    ax.set_xticks(range(wide.shape[1]), [MODEL_LABELS[m].replace(" ", "\n") for m in wide], fontsize=8)
    ax.set(ylabel=f"{FOOTSTEP_METRICS.get(metric, metric)}\n(a dot is an animal)", xlim=(-0.5, wide.shape[1] - 0.4))
    legend_beside(ax)
    return simulated_mark(ax, results)


def by_part(results, parts, ax, ylabel, chance=None):
    """Several scores side by side, each by model: a dot is an animal.

    ``parts`` (dict of str to str): metric by its name on the axis. ``chance`` ((float, str)): a line with its name.
    """
    if _nothing(results, next(iter(parts.values())), ax):
        return ax
    models = list(dict.fromkeys(r.names["model"] for r in results))
    for place, metric in enumerate(parts.values()):
        wide = summaries.by_animal(results, metric)
        for i, model in enumerate(models):
            shift = 0.7 * (i - (len(models) - 1) / 2) / len(models)
            _dots(ax, place + shift, wide[model].dropna(), COLOURS[model], 0.5 / len(models))
    for model in models:
        ax.plot([], [], "o", color=COLOURS[model], label=MODEL_LABELS[model])
    if chance is not None:
        ax.axhline(chance[0], color=NULL_COLOUR, ls="--", lw=1, label=chance[1], zorder=0)
    ax.set_xticks(range(len(parts)), list(parts))
    ax.set_ylabel(ylabel)
    legend_beside(ax)
    return simulated_mark(ax, results)


def curve(results, xlabel, ax, metric="balanced_accuracy", nulls=(), zero=""):
    """A score along a changed condition, by model: thin lines are animals, thick ones their mean.

    ``results``: each with a ``value``. ``zero``: what a value of 0 means ("all"); it stands last.
    """
    if _nothing(results, metric, ax):
        return ax
    table = summaries.score_table(results)
    values = sorted(set(table["value"]), key=lambda v: (zero != "" and v == 0, v))
    x = dict(zip(values, range(len(values)), strict=True))
    _chance(ax, metric, nulls)
    for model in dict.fromkeys(table["model"]):
        wide = table[table["model"] == model].pivot_table(index="value", columns="animal", values=metric).loc[values]
        place = [x[v] for v in wide.index]
        for animal in wide:
            ax.plot(place, wide[animal], ".-", color=COLOURS[model], lw=0.6, ms=4, alpha=0.5)
        ax.plot(place, wide.mean(axis=1), "-", color=COLOURS[model], lw=2.4, label=MODEL_LABELS[model])
    ax.set_xticks([x[v] for v in values], [zero if zero and v == 0 else f"{v:g}" for v in values])
    ax.set(xlabel=xlabel, ylabel=FOOTSTEP_METRICS.get(metric, metric))
    legend_beside(ax)
    return simulated_mark(ax, results)


def deletion_curves(results, ax, metric="balanced_accuracy", orders=None):
    """What is left without more and more cells, by the order in which they go: thin lines are animals.

    ``results``: of :meth:`.study.Study.information`. ``orders`` (sequence of str): all if left out.
    """
    table = summaries.deletions(results)
    orders = list(orders or dict.fromkeys(table["order"]))
    for colour, order in zip(sns.color_palette("colorblind", len(orders)), orders, strict=True):
        wide = table[table["order"] == order].pivot_table(index="share", columns="animal", values=metric)
        ax.plot(100 * wide.index, wide, color=colour, lw=0.6, alpha=0.6)
        ax.plot(100 * wide.index, wide.mean(axis=1), color=colour, lw=2.2,
                label=order if order == "random" else f"by {order}")
    _chance(ax, "auc" if metric.startswith("auc") else metric, ())
    ax.set(xlabel="cells set to their mean (%)", ylabel=metric.replace("auc_", "AUC, ").replace("_", " "))
    legend_beside(ax)
    return simulated_mark(ax, results)


def tunings(result, ax, cells=None):
    """Share of variance that each foot explains of each cell, on axes by root; ``cells``: their true tuning, if known.
    """
    contra, ipsi = np.sqrt(np.maximum(result.tuning[:, :2], 0)).T
    kinds = ["cell"] * len(contra) if cells is None else cells["tuning"].tolist()
    palette = {"contralateral": FEET["contralateral"], "ipsilateral": FEET["ipsilateral"], "both": "#009E73",
               "none": "#C8C8C8", "cell": SIGNAL}
    for kind in [k for k in ("none", "cell", "contralateral", "ipsilateral", "both") if k in kinds]:
        here = np.array([k == kind for k in kinds])
        ax.plot(contra[here], ipsi[here], "o", ms=4, alpha=0.7, color=palette[kind], label=f"{kind} ({here.sum()})")
    ax.set(xlabel="root of variance explained\nby contralateral steps alone",
           ylabel="root of variance explained\nby ipsilateral steps alone", title=result.animal)
    legend_beside(ax)
    return simulated_mark(ax, result)


def attention(results, rate_hz, ax):
    """Attention of the last frame of a window on each frame, by class: thin lines are animals, thick ones the mean."""
    for label, (name, colour) in enumerate(zip(CLASSES, (NULL_COLOUR, *FEET.values()), strict=True)):
        curves = np.stack([r.attention[label].mean(0) for r in results])
        time_s = (np.arange(curves.shape[1]) - curves.shape[1] + 1) / rate_hz
        ax.plot(time_s, curves.T, color=colour, lw=0.6, alpha=0.6)
        ax.plot(time_s, curves.mean(0), color=colour, lw=2.2, label=name)
    ax.axhline(1 / curves.shape[1], color=NULL_COLOUR, ls=":", lw=1, label="even")
    ax.set(xlabel="time before the decoded frame (s)", ylabel="attention (mean of heads)", ylim=(0, None))
    legend_beside(ax)
    return simulated_mark(ax, results)


def attention_heads(result, rate_hz, ax):
    """Attention of each head of one animal's network on each frame of the window, mean of the classes."""
    weights = result.attention.mean(0)
    edges = (np.arange(weights.shape[1] + 1) - weights.shape[1] + 0.5) / rate_hz
    mesh = ax.pcolormesh(edges, np.arange(len(weights) + 1) + 0.5, weights, cmap="viridis", vmin=0)
    plt.colorbar(mesh, ax=ax, label="attention")
    ax.set(xlabel="time before the decoded frame (s)", ylabel="head", yticks=range(1, len(weights) + 1),
           title=result.animal)
    return simulated_mark(ax, result)


def _nothing(results, metric, ax):
    """Say on the panel that there is nothing to draw, if so."""
    if any(metric in r.scores for r in results):
        return False
    why = "recordings without kinematics" if results and metric.startswith("r2") else "not run on these data"
    ax.text(0.5, 0.5, why, transform=ax.transAxes, ha="center", va="center", color=NULL_COLOUR)
    ax.set_axis_off()
    return True


def _chance(ax, metric, nulls):
    if metric in CHANCE:
        ax.axhline(CHANCE[metric], color=NULL_COLOUR, ls="--", lw=1, label="chance", zorder=0)
    if nulls:
        values = summaries.by_animal(nulls, metric).iloc[:, 0]
        spread = values.std(ddof=1) if len(values) > 1 else 0.0
        ax.axhspan(values.mean() - spread, values.mean() + spread, color=NULL_COLOUR, alpha=0.25, lw=0, zorder=0,
                   label="null: mean, SD")


def _dots(ax, x, values, colour, width=0.15):
    ax.plot(x + np.linspace(-width / 2, width / 2, len(values)), values, "o", color=colour, alpha=0.7, ms=5)
    if len(values) > 1:
        ax.errorbar(x + width * 1.3, values.mean(), values.std(ddof=1), fmt="_", color=SIGNAL, ms=8, capsize=2, lw=1.2)
