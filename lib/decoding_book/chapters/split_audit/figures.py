"""Figures of the split audit: ways of testing side by side, what windows and memory do to a leak, stored runs."""

import numpy as np
import seaborn as sns

from calcium_decoding.plotting.style import NULL_COLOUR, SIGNAL, simulated_mark
from decoding_book.chapters.split_audit.compare import CHANCE, LABELS, WAYS
from decoding_book.chapters.split_audit.published import TASKS

LABEL_COLOURS = {"true": "#0072B2", "shifted": "#D55E00"}
_LEAKY_SHADE = "#F3D9D9"


def ways(scores, trace, decoder, ax):
    """Balanced accuracy of one decoder by way of testing: each dot a recording or an animal, true and shifted labels.

    ``scores``: of :func:`decoding_book.chapters.split_audit.compare.compare`.
    """
    here = scores[(scores["trace"] == trace) & (scores["decoder"] == decoder)]
    mean = here.groupby(["way", "labels", "unit"], sort=False)["balanced_accuracy"].mean().reset_index()
    order = [way for way in WAYS if way in set(mean["way"])]
    sns.stripplot(mean, y="way", x="balanced_accuracy", hue="labels", order=order, palette=LABEL_COLOURS, dodge=True,
                  size=5, alpha=0.8, jitter=0.1, ax=ax)
    for i, way in enumerate(order):
        for shift, labels in ((-0.2, "true"), (0.2, "shifted")):
            values = mean[(mean["way"] == way) & (mean["labels"] == labels)]["balanced_accuracy"]
            if len(values):
                ax.vlines(values.mean(), i + shift - 0.15, i + shift + 0.15, color=SIGNAL, lw=2, zorder=3)
    if "published" in order:
        ax.axhspan(order.index("published") - 0.5, order.index("published") + 0.5, color=_LEAKY_SHADE, lw=0, zorder=0)
    ax.axvline(CHANCE, color=NULL_COLOUR, ls=":", lw=1)
    ax.text(CHANCE, -0.58, "chance", fontsize=8, color=NULL_COLOUR, ha="center", va="bottom")
    ax.set(xlabel="balanced accuracy (a dot is a recording or an animal)", ylabel="", xlim=(0.2, 1))
    ax.set_yticks(range(len(order)), [way.replace(", ", ",\n") for way in order])
    ax.set_title(f"{LABELS.get(trace, trace)}\n{LABELS.get(decoder, decoder)}", fontsize=11)
    ax.legend(title="labels", fontsize=8, loc="lower right")
    return simulated_mark(ax, here)


def points_by_length(points, ax):
    """Leak in points against the length of the window: dots are recordings, lines their mean.

    ``points``: of ``compare.leakage_points`` by ``length``, ``trace`` and ``labels``.
    """
    for trace, style in zip(dict.fromkeys(points["trace"]), ("-", "--"), strict=False):
        for labels, colour in LABEL_COLOURS.items():
            mine = points[(points["trace"] == trace) & (points["labels"] == labels)]
            ax.plot(mine["length"], mine["points"], "o", color=colour, ms=3.5, alpha=0.5)
            mean = mine.groupby("length")["points"].mean()
            ax.plot(mean.index, mean, style, color=colour, lw=1.6, label=f"{LABELS.get(trace, trace)}, {labels} labels")
    ax.axhline(0, color=NULL_COLOUR, ls=":", lw=1)
    ax.set(xlabel="frames of a window", ylabel="published less blocked (points)")
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return simulated_mark(ax, points)


def scores_by_memory(scores, ax):
    """Score of shifted labels in ``compare.by_decay`` by the memory of the trace: dots are animals, lines means."""
    shifted = scores[scores["labels"] == "shifted"]
    for way, colour in (("published", "#B00020"), ("blocked", "#0072B2")):
        mine = shifted[shifted["way"] == way]
        ax.plot(mine["memory_s"], mine["balanced_accuracy"], "o", color=colour, ms=4, alpha=0.6)
        mean = mine.groupby("memory_s")["balanced_accuracy"].mean()
        ax.plot(mean.index, mean, color=colour, lw=1.6, label=f"{way} split")
    ax.axhline(CHANCE, color=NULL_COLOUR, ls=":", lw=1, label="chance (1/3)")
    ax.set_xscale("log")
    ticks = np.unique(np.round(shifted["memory_s"], 2))
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set(xlabel="memory of the trace: autocorrelation below 1/e after (s)",
           ylabel="balanced accuracy, shifted labels", ylim=(0.2, 1))
    ax.legend(fontsize=8, loc="upper left")
    return simulated_mark(ax, scores)


def stored_runs(runs, ax, task):
    """``published.accuracies`` of one task by recording, with the accuracy of the most frequent answer."""
    mine = runs[(runs["task"] == task) & runs["majority"].notna()]
    order = sorted(set(mine["recording"]))
    for model, marker, colour in (("LSTM", "o", "#0072B2"), ("CNN-BiLSTM-attention", "s", "#D55E00")):
        here = mine[mine["model"] == model]
        ax.plot([order.index(r) for r in here["recording"]], here["accuracy"], marker, color=colour, alpha=0.8,
                label="hybrid" if marker == "s" else model)
    for i, recording in enumerate(order):
        level = mine[mine["recording"] == recording]["majority"].iloc[0]
        ax.hlines(level, i - 0.3, i + 0.3, color=NULL_COLOUR, lw=2, label="most frequent answer" if i == 0 else None)
    ax.set_xticks(range(len(order)), [r.removeprefix("recording_") for r in order])
    ax.set(xlabel="recording", ylabel="stored accuracy (a mark is a run)", ylim=(0.3, 1), title=TASKS[task])
    return ax


def example(recording, samples, rows, ax, start_s, length_s=8.0):
    """Where the training and test windows of a split of one recording end, over the steps of a stretch of it."""
    rate_hz = recording.rate_hz
    start, stop = round(start_s * rate_hz), round((start_s + length_s) * rate_hz)
    for value, colour, name in ((1, "#0072B2", "contralateral step"), (2, "#E69F00", "ipsilateral step")):
        inside = samples.labels[start:stop] == value
        edges = np.flatnonzero(np.diff(inside.astype(int), prepend=0, append=0)).reshape(-1, 2)
        for i, (first, last) in enumerate(edges):
            ax.axvspan((start + first) / rate_hz, (start + last) / rate_hz, color=colour, alpha=0.25, lw=0,
                       label=name if i == 0 else None)
    for height, (role, colour) in enumerate((("train", "#222222"), ("valid", "#767676"), ("test", "#B00020"))):
        ends = getattr(rows, role)
        ends = ends[(ends >= start) & (ends < stop)]
        ax.plot(ends / rate_hz, np.full(len(ends), height), "|", color=colour, ms=11)
    ax.set_yticks(range(3), ["training", "validation", "test"])
    ax.set(xlabel="last frame of a window (s)", ylim=(-0.7, 2.7), xlim=(start_s, start_s + length_s))
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return simulated_mark(ax, recording)
