"""Figures about groups of ROIs: correlation with running, what a group is worth, and the ground truth in it."""

import seaborn as sns

from calcium_decoding.data.published import GROUPS
from calcium_decoding.evaluation import statistics
from calcium_decoding.plotting import style
from calcium_decoding.plotting.style import NULL_COLOUR, SIGNAL, simulated_mark
from decoding_book.chapters.regions.group_effects import ALONE, FILLS, REFIT

WAY_COLOURS = {ALONE: "#0072B2", REFIT: "#D55E00", FILLS["zero"]: "#999999", FILLS["mean"]: "#56B4E9"}


def correlations(table, by_roi, dataset, ax):
    """Correlation with running by ROI: dots are animals, grey bars mean and population SD over sessions.

    Open diamonds are published means, where they may stand. Where recordings differ in their ROIs, a histogram.
    """
    if by_roi.empty:
        return style.histogram(table["r"], "correlation with running (r)", ax, dataset)
    animals = table.pivot_table(index="animal", columns="roi", values="r", sort=False)
    animals = animals.reindex(columns=range(1, max(by_roi["roi"]) + 1)).to_numpy()
    groups = by_roi["group"].str.replace("&", "_").replace("none", "other")
    studied = {*GROUPS} <= set(groups) <= {*GROUPS, "other"} and len(groups) == animals.shape[1]
    style.correlation_with_running(dataset, animals, ax, list(groups) if studied else None)
    several = by_roi.dropna(subset="sd_population")
    if len(several):
        ax.errorbar(several["roi"], several["mean"], several["sd_population"].astype(float), fmt="none", lw=0.8,
                    color=NULL_COLOUR, alpha=0.6, zorder=0, label="SD over sessions")
    if "published" in by_roi:
        where = "published, real mice" if dataset.simulated else "published"
        ax.plot(by_roi["roi"], by_roi["published"], "D", mfc="white", color=SIGNAL, ms=4, alpha=0.8, label=where)
    ax.set_xlabel("ROI (a dot is an animal, the line their mean)")
    style.legend_beside(ax)
    return ax


def effects(table, ax, ways=None):
    """What each group is worth: a dot is a test animal, the bar their mean.

    ``ways``: of leaving a group out, all that are there if left out; or :data:`ALONE` by itself, which is no loss.
    """
    ways = [way for way in WAY_COLOURS if way in set(table["way"]) and (way in ways if ways else way != ALONE)]
    if not ways:
        return _nothing(ax)
    shown, groups = table[table["way"].isin(ways)], list(dict.fromkeys(table["group"]))
    sns.stripplot(shown, x="group", y="value", hue="way", order=groups, hue_order=ways, palette=WAY_COLOURS, ax=ax,
                  legend=False, dodge=len(ways) > 1, jitter=0.08, size=4.5, alpha=0.75)
    width = 0.8 / len(ways)
    for (group, way), values in shown.groupby(["group", "way"])["value"]:
        middle = groups.index(group) + (ways.index(way) - (len(ways) - 1) / 2) * width
        ax.hlines(values.mean(), middle - 0.4 * width, middle + 0.4 * width, color=SIGNAL, lw=2, zorder=3)
    alone = ways == [ALONE]
    ax.axhline(0.5 if alone else 0.0, color=NULL_COLOUR, ls="--", lw=1, zorder=0)
    for way in ways:
        ax.plot([], [], "o", color=WAY_COLOURS[way], label=way)
    ax.plot([], [], "--", color=NULL_COLOUR, lw=1, label="chance" if alone else "nothing lost")
    ax.set(xlabel="", ylabel="AUC (a dot is an animal)" if alone else "AUC lost (a dot is an animal)")
    style.legend_beside(ax, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
    return simulated_mark(ax, table)


def against_truth(table, truth, quantity, way, ax, label):
    """What a group is worth, mean over animals with its 95 % t interval, against a column of the ground truth."""
    if truth.empty or table.empty:
        return _nothing(ax, "no planted truth")
    for colour, (_, row) in zip(sns.color_palette("colorblind", len(truth)), truth.iterrows(), strict=True):
        values = table.loc[(table["group"] == row["group"]) & (table["way"] == way), "value"]
        error = None
        if len(values) > 1:
            interval = statistics.t_interval(values)
            error = [[values.mean() - interval.low], [interval.high - values.mean()]]
        ax.errorbar(row[quantity], values.mean(), error, fmt="o", color=colour, capsize=3, lw=1.2, ms=6,
                    label=row["group"])
    ax.axhline(0.5 if way == ALONE else 0.0, color=NULL_COLOUR, ls="--", lw=1)
    style.legend_beside(ax)
    ax.set(xlabel=label, ylabel="AUC" if way == ALONE else "AUC lost", title=way)
    return simulated_mark(ax, truth)


def _nothing(ax, why="no groups of areas"):
    ax.text(0.5, 0.5, why, ha="center", va="center", transform=ax.transAxes, color=NULL_COLOUR)
    ax.set_axis_off()
    return ax
