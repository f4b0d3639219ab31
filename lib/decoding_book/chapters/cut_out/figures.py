"""Images of cut-outs: maps over the mean image, sessions, pairs of patches, left against right, landmarks."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from calcium_decoding.explain import shap_maps
from calcium_decoding.plotting.style import DECODED, NULL_COLOUR, SIGNAL, legend_beside, simulated_mark
from decoding_book.chapters.cut_out import occlusion_tables

RED = "#B00020"
UNIT = "importance (drop in AUC)"


def grid(n, columns=4, width=3.4, height=3.3):
    """``n`` panels in rows of so many; returns the figure and a list of axes."""
    rows, columns = -(-n // columns), min(n, columns)
    figure, axes = plt.subplots(rows, columns, figsize=(width * columns, height * rows), squeeze=False)
    for ax in axes.flat[n:]:
        ax.set_axis_off()
    return figure, list(axes.flat[:n])


def overlay(cells, backdrop, ax, title, limits=None, said="", label=UNIT, cmap="RdBu_r", size=10):
    """A map (8, 8) over the mean image, with the outlines of the brain and of its ROIs where these are known.

    Red: something is lost without the place; blue: something is won. None is drawn as a missing panel. ``limits``: ends
    of the scale; those of this map if left out. ``said``: a warning, in red.
    """
    rows, columns = backdrop.mean.shape
    ax.imshow(backdrop.mean, cmap="gray")
    if cells is None:
        ax.text(0.5, 0.5, "no map", color=RED, ha="center", va="center", transform=ax.transAxes)
    else:
        low, high = limits or _scale(cells)
        shown = ax.imshow(cells, cmap=cmap, vmin=low, vmax=high, alpha=0.55, interpolation="nearest",
                          extent=(-0.5, columns - 0.5, rows - 0.5, -0.5))
        ax.figure.colorbar(shown, ax=ax, label=label, shrink=0.75, pad=0.02)
    ax.contour(backdrop.brain, levels=[0.5], colors="black", linewidths=1.2)
    if backdrop.parcels is not None:
        areas = np.where(backdrop.brain, backdrop.parcels.argmax(axis=0) + 1, 0)
        ax.contour(areas, levels=np.arange(len(backdrop.parcels)) + 0.5, colors="black", linewidths=0.3)
    ax.set(xticks=[], yticks=[])
    ax.set_title("\n".join(part for part in (textwrap.fill(said, 30), title) if part), fontsize=size,
                 color=RED if said else SIGNAL, fontweight="bold" if said else "normal")
    ax.spines[:].set_visible(False)
    return simulated_mark(ax, backdrop)


def _scale(*cell_maps):
    """Ends of one scale for several maps, symmetric about zero."""
    most = max((float(np.abs(cells).max()) for cells in cell_maps if cells is not None), default=0.0) or 1e-3
    return -most, most


def animals(cuts, found, axes, nulls=()):
    """The map of each test animal over its own mean image (``found``: Backdrop by animal), one scale, as S1 Fig."""
    said = shap_maps.warning(cuts, nulls)
    by = occlusion_tables.by_animal(cuts)
    for ax, (animal, backdrop) in zip(axes, found.items(), strict=True):
        n = sum(cut.animal == animal for cut in occlusion_tables.usable(cuts))
        overlay(by.get(animal), backdrop, ax, f"{animal}, {n} fold{'s' * (n != 1)}", _scale(*by.values()), said)
    return axes


def models(cuts, backdrop, axes, nulls=(), name=""):
    """Mean over models, and their SD, over the image of the animal of that name, as Fig 3B; two axes."""
    said = shap_maps.warning(cuts, nulls)
    mean, sd = occlusion_tables.mean_and_sd(cuts)
    overlay(mean, backdrop, axes[0], f"mean of {len(occlusion_tables.usable(cuts))} models, on {name}", said=said)
    limits = None if sd is None else (0, float(sd.max()) or 1e-3)
    overlay(sd, backdrop, axes[1], "SD over models", limits, said, "SD of importance", "viridis")
    return axes


def sessions(rows, found, axes, said=""):
    """Maps of sessions (rows of ``session_maps``), one scale; a session without an AUC says so in its panel."""
    limits = _scale(*(cells for _, _, cells, _ in rows))
    for ax, (animal, name, cells, why) in zip(axes, rows, strict=True):
        title = name.replace("/", "\n") + (f"\nno AUC: {why}" if why else "")
        overlay(cells, found[animal], ax, title, limits, said, size=8)
    return axes


def pairs(folds, ax):
    """AUC of whole images, without the two patches of S3 Fig, and without the same patches in other rows.

    A line is a fold; grey dots are the other places.
    """
    for cut in occlusion_tables.usable(folds):
        ax.plot([0, 1], [cut.auc, cut.auc - cut.pooled[0]], "o-", color=DECODED, ms=4, lw=0.8, alpha=0.7)
        ax.plot(np.full(len(cut.pooled) - 1, 2.0), cut.auc - cut.pooled[1:], ".", color=NULL_COLOUR, ms=4, alpha=0.6)
    ax.plot([], [], "o-", color=DECODED, label="a fold")
    ax.plot([], [], ".", color=NULL_COLOUR, label="a fold and place")
    ax.axhline(0.5, color=NULL_COLOUR, ls="--", lw=1, label="chance")
    ax.set_xticks(range(3), ["whole\npicture", "without\nthe pair", "without the\npair elsewhere"])
    ax.set(ylabel="AUC", xlim=(-0.4, 2.4))
    return _finished(ax, folds, shap_maps.warning(folds))


def sides(cuts, ax):
    """Left half of the map less its right half: a dot a fold, by test animal, the bar their mean."""
    known = occlusion_tables.usable(cuts)
    names = list(dict.fromkeys(cut.animal for cut in known))
    for place, animal in enumerate(names):
        values = occlusion_tables.left_less_right(occlusion_tables.maps([cut for cut in known if cut.animal == animal]))
        ax.plot(np.full(len(values), place), values, "o", color=DECODED, ms=5, alpha=0.7, label="a fold")
        ax.hlines(values.mean(), place - 0.25, place + 0.25, color=SIGNAL, lw=1.8, label="mean of its folds")
    ax.axhline(0, color=NULL_COLOUR, ls="--", lw=1, label="both sides alike")
    ax.set_xticks(range(len(names)), names)
    ax.set(ylabel="importance, left less right", xlim=(-0.5, max(len(names), 1) - 0.5))
    return _finished(ax, cuts, shap_maps.warning(cuts))


def landmarks(table, ax, said=""):
    """How well maps go with what lies where (table of ``truth.agreement``): a dot an animal, the bar the mean."""
    if table.empty:
        ax.text(0.5, 0.5, "no map, or no landmarks", ha="center", va="center", transform=ax.transAxes)
        ax.set_axis_off()
        return ax
    sns.stripplot(table, x="r", y="landmark", color=DECODED, size=5, alpha=0.7, jitter=0.12, ax=ax, zorder=2,
                  label="an animal")
    for place, (_, mine) in enumerate(table.groupby("landmark", sort=False)):
        ax.vlines(mine["r"].mean(), place - 0.3, place + 0.3, color=SIGNAL, lw=1.8, label="mean over animals")
    ax.axvline(0, color=NULL_COLOUR, ls="--", lw=1, label="no relation")
    ax.set(xlabel="rank correlation of the map with it, over 64 cells", ylabel="", xlim=(-1, 1))
    return _finished(ax, table, said)


def _finished(ax, of, said):
    legend_beside(ax)
    if said:
        ax.set_title(said, color=RED, fontsize=10, fontweight="bold", pad=18)
    return simulated_mark(ax, of)
