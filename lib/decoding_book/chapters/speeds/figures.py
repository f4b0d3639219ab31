"""Figures of decoded speeds: over time, against the truth, what a score is made of, how often intervals hold."""

import numpy as np
import seaborn as sns

from calcium_decoding.evaluation.conformal import ACROSS, WITHIN
from calcium_decoding.models.names import COLOURS, LABELS
from calcium_decoding.plotting.style import (
    NULL_COLOUR,
    SIGNAL,
    legend_beside,
    running_spans,
    simulated_mark,
    time_axis,
)
from decoding_book.chapters.speeds.speed_tables import PARTS

WAY_COLOURS = {ACROSS: "#D55E00", WITHIN: "#0072B2"}


def middle_session(found, n_frames):
    """A stretch to show, of the fold with the median R2 of the first condition, where speed changes most.

    Returns names of fold and recording, and the centre of the first window. Raises ValueError: no fold has a score.
    """
    folds = sorted(found[0].evaluable(), key=lambda fold: fold.scores["r2"])
    if not folds:
        raise ValueError("no fold has a score")
    fold = folds[(len(folds) - 1) // 2]
    stretches = []
    for name in fold.recordings:
        centre, speed, _ = fold.trace(name)
        stretches += [(np.std(speed[start:start + n_frames]), name, int(centre[start]))
                      for start in range(0, max(1, len(speed) - n_frames), max(1, n_frames // 2))]
    # Rest by itself, and steady running by itself, show little. Of equals the first.
    return fold.fold, *max(stretches, key=lambda stretch: stretch[0])[1:]


def trace(result, place, n_frames, rate_hz, ax, unit, band=None):
    """True and decoded speed over the stretch of one test recording that :func:`middle_session` gives; running shaded.

    ``band`` ((Band, str)): prediction intervals, and what they are called.
    """
    name, recording, first = place
    fold = next(fold for fold in result.folds if fold.fold == name)
    centre, speed, decoded = fold.trace(recording)
    here = (centre >= first) & (centre < first + n_frames)
    time_s, colour = centre[here] / rate_hz, COLOURS[fold.model]
    if len(fold.running):
        running_spans(ax, time_s, fold.running[fold.recording == fold.recordings.index(recording)][here])
    ax.plot(time_s, speed[here], color=SIGNAL, lw=1.6, label="true")
    if band is not None:
        ax.fill_between(time_s, *band[0].around(decoded[here]), color=colour, alpha=0.2, lw=0, label=band[1])
    ax.plot(time_s, decoded[here], color=colour, lw=1.2, label=result.name)
    time_axis(ax, time_s).set(ylabel=f"speed ({unit})")
    ax.set_title(f"{recording} ({name})", fontsize=10)
    legend_beside(ax)
    return simulated_mark(ax, fold)


def _colours():
    return {LABELS[model]: colour for model, colour in COLOURS.items()}


def by_speed(table, what, ax, unit):
    """Mean ``"decoded"`` speed or absolute ``"error"`` at each true speed; thin lines: test groups, thick: the mean."""
    for decoder, mine in table.groupby("decoder", sort=False):
        for _, group in mine.groupby("tested_on", sort=False):
            ax.plot(group["speed"], group[what], ".-", color=_colours()[decoder], lw=0.5, ms=3, alpha=0.4)
        mean = mine.groupby("speed")[what].mean()
        ax.plot(mean.index, mean, color=_colours()[decoder], lw=2.4, label=decoder)
    if what == "decoded":
        ends = [0, table["speed"].max()] if len(table) else [0, 1]
        ax.plot(ends, ends, color=NULL_COLOUR, ls="--", lw=1, label="as true")
        ax.set_ylabel(f"mean decoded speed ({unit})")
    else:
        ax.set(ylabel=f"mean absolute error ({unit})", ylim=(0, None))
        legend_beside(ax)
    ax.set_xlabel(f"true speed ({unit})")
    return simulated_mark(ax, table)


def parts(table, ax):
    """What R2 is made of: a dot a fold, the bar their mean; what lies below the axis is a triangle at its edge."""
    decoders, least, colours = list(dict.fromkeys(table["decoder"])), -1.0, _colours()
    width = 0.8 / max(1, len(decoders))
    for x, key in enumerate(PARTS):
        for i, decoder in enumerate(decoders):
            values = table.loc[table["decoder"] == decoder, key].dropna().to_numpy(dtype=float)
            middle = x + (i - (len(decoders) - 1) / 2) * width
            spread = middle + np.linspace(-0.25, 0.25, len(values)) * width
            low = values < least
            ax.plot(spread[~low], values[~low], "o", color=colours[decoder], ms=4, alpha=0.6,
                    label=decoder if x == 0 else None)
            ax.plot(spread[low], np.full(low.sum(), least), "v", color=colours[decoder], ms=5, clip_on=False)
            if len(values):
                ax.hlines(max(values.mean(), least), middle - 0.4 * width, middle + 0.4 * width, color=SIGNAL, zorder=3,
                          lw=1.8, ls="-" if values.mean() >= least else ":")
    ax.axhline(0, color=NULL_COLOUR, ls="--", lw=1, label="nothing explained", zorder=0)
    ax.set_xticks(range(len(PARTS)), [words.replace(", ", ",\n") for words in PARTS.values()])
    ax.set(ylabel="share of variance explained\n(a dot is a fold)", ylim=(least, 1.02))
    legend_beside(ax)
    return simulated_mark(ax, table)


def coverage(table, ax):
    """Measured against nominal coverage, absolute scores: thin lines are test groups (animals), thick the mean."""
    for way, mine in table[table["score"] == "absolute"].groupby("calibrated_on", sort=False):
        groups = mine.groupby(["tested_on", "level"], sort=False)["coverage"].mean().unstack("level")
        ax.plot(groups.columns, groups.T, ".-", color=WAY_COLOURS[way], lw=0.6, ms=4, alpha=0.5)
        ax.plot(groups.columns, groups.mean(), color=WAY_COLOURS[way], lw=2.4, label=way)
    ax.plot([0, 1], [0, 1], color=NULL_COLOUR, ls="--", lw=1, label="as asked for")
    ax.set(xlabel="nominal coverage", ylabel="measured coverage", xlim=(0.4, 1), ylim=(0, 1.01),
           title="absolute scores")
    ax.legend(fontsize=8, loc="lower right", title="calibrated on")
    return simulated_mark(ax, table)


def coverage_by_animal(table, level, ax):
    """Coverage at one level, absolute scores: a dot a fold in each test group (an animal, a day)."""
    mine = table[(table["score"] == "absolute") & np.isclose(table["level"], level)]
    sns.stripplot(mine, x="coverage", y="tested_on", hue="calibrated_on", palette=WAY_COLOURS, dodge=True, jitter=0.12,
                  size=5, alpha=0.8, ax=ax, legend=False)
    ax.axvline(level, color=NULL_COLOUR, ls="--", lw=1)
    ax.set(xlabel=f"measured coverage (a dot is a fold; dashed: {level:g}, as asked for)", ylabel="",
           xlim=(min(0.5, mine["coverage"].min() - 0.02), 1.01))
    return simulated_mark(ax, table)
