"""Images of cut-outs: maps over the mean image, sessions, pairs of patches, left against right, landmarks."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from calcium_decoding.explain import patches, shap_maps
from calcium_decoding.plotting.style import DECODED, NULL_COLOUR, SIGNAL, legend_beside, simulated_mark
from decoding_book.chapters.cut_out import occlusion_tables

RED = "#B00020"
UNIT = "importance (drop in AUC)"


def grid(n, columns=4, width=3.4, height=3.3):
    """``n`` panels in rows of so many; returns the figure and a list of axes."""
    rows = -(-n // columns)
    figure, axes = plt.subplots(rows, min(n, columns), figsize=(width * min(n, columns), height * rows), squeeze=False)
    for ax in axes.flat[n:]:
        ax.set_axis_off()
    return figure, list(axes.flat[:n])


def scale(*cell_maps):
    """Ends of one scale for several maps, symmetric about zero."""
    most = max((float(np.abs(cells).max()) for cells in cell_maps if cells is not None), default=0.0) or 1e-3
    return -most, most


def overlay(cells, backdrop, ax, title="", limits=None, said="", label=UNIT, cmap="RdBu_r", size=10):
    """A map over the mean image, with the outlines of the brain and of its ROIs where these are known.

    ``cells`` (ndarray, shape (8, 8), or None): red: something is lost without the place; blue: something is won. None
    is drawn as a missing panel. ``backdrop``: of one animal. ``limits`` ((float, float)): ends of the scale; those of
    this map if left out. ``said``: a warning, in red. ``label``: what the colours mean. ``size``: of the title, points.
    """
    rows, columns = backdrop.mean.shape
    ax.imshow(backdrop.mean, cmap="gray")
    if cells is None:
        ax.text(0.5, 0.5, "no map", color=RED, ha="center", va="center", transform=ax.transAxes)
    else:
        low, high = limits or scale(cells)
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


def animals(cuts, found, axes, nulls=(), pooled=False):
    """The map of each test animal over its own mean image, one scale for all, as S1 Fig.

    ``cuts``: sequence of FoldOcclusion. ``found``: dict of str to Backdrop. ``axes`` (sequence of Axes): one an animal.
    ``nulls`` (sequence of FoldResult): for the warning.
    """
    said = shap_maps.warning(cuts, nulls)
    by = occlusion_tables.by_animal(cuts, pooled) if occlusion_tables.usable(cuts) else {}
    limits = scale(*by.values())
    for ax, (animal, backdrop) in zip(axes, found.items(), strict=True):
        n = sum(cut.animal == animal for cut in occlusion_tables.usable(cuts))
        overlay(by.get(animal), backdrop, ax, f"{animal}, {n} fold{'s' if n != 1 else ''}", limits, said)
    return axes


def models(cuts, backdrop, axes, nulls=(), name=""):
    """Mean over models, and their SD, over one animal's image, as Fig 3B.

    ``cuts``: sequence of FoldOcclusion. ``backdrop``: Backdrop. ``axes``: (Axes, Axes). ``name``: whose image lies
    below.
    """
    said = shap_maps.warning(cuts, nulls)
    known = occlusion_tables.usable(cuts)
    mean, sd = occlusion_tables.mean_and_sd(cuts)
    overlay(mean, backdrop, axes[0], f"mean of {len(known)} models, on {name}", None, said)
    limits = None if sd is None else (0, float(sd.max()) or 1e-3)
    overlay(sd, backdrop, axes[1], "SD over models", limits, said, "SD of importance", "viridis")
    return axes


def sessions(rows, found, axes, said=""):
    """Maps of single sessions, one scale; a session without an AUC says so in its panel.

    ``rows`` (sequence of tuple): of :func:`decoding_book.chapters.cut_out.occlusion_tables.session_maps`. ``found``:
    dict of str to Backdrop. ``axes``: sequence of Axes.
    """
    limits = scale(*(cells for _, _, cells, _ in rows))
    for ax, (animal, name, cells, why) in zip(axes, rows, strict=True):
        overlay(cells, found[animal], ax, name.replace("/", "\n") + (f"\nno AUC: {why}" if why else ""), limits, said,
                size=8)
    return axes


def pairs(folds, ax):
    """AUC of whole images, without the two patches of S3 Fig, and without the same patches in other rows.

    ``folds`` (sequence of FoldOcclusion): of :func:`calcium_decoding.explain.patches.pairs`. A line is a fold; grey
    dots are the mean over the other places.
    """
    for cut in occlusion_tables.usable(folds):
        values = [cut.auc, cut.auc - cut.pooled[0]]
        ax.plot([0, 1], values, "o-", color=DECODED, ms=4, lw=0.8, alpha=0.7)
        ax.plot(np.full(len(cut.pooled) - 1, 2.0), cut.auc - cut.pooled[1:], ".", color=NULL_COLOUR, ms=4, alpha=0.6)
    ax.plot([], [], "o-", color=DECODED, label="a fold")
    ax.plot([], [], ".", color=NULL_COLOUR, label="a fold and place")
    ax.axhline(0.5, color=NULL_COLOUR, ls="--", lw=1, label="chance")
    ax.set_xticks(range(3), ["whole\npicture", "without\nthe pair", "without the\npair elsewhere"])
    ax.set(ylabel="AUC", xlim=(-0.4, 2.4))
    legend_beside(ax)
    return _warned(folds, ax)


def sides(cuts, ax):
    """Left half of the map less its right half: a dot a fold, by test animal, the bar their mean."""
    known = occlusion_tables.usable(cuts)
    names = list(dict.fromkeys(cut.animal for cut in known))
    for place, animal in enumerate(names):
        values = occlusion_tables.left_less_right(occlusion_tables.maps([cut for cut in known if cut.animal == animal]))
        ax.plot(np.full(len(values), place), values, "o", color=DECODED, ms=5, alpha=0.7,
                label="a fold" if place == 0 else None)
        ax.hlines(values.mean(), place - 0.25, place + 0.25, color=SIGNAL, lw=1.8,
                  label="mean of its folds" if place == 0 else None)
    ax.axhline(0, color=NULL_COLOUR, ls="--", lw=1, label="both sides alike")
    ax.set_xticks(range(len(names)), names)
    ax.set(ylabel="importance, left less right", xlim=(-0.5, max(len(names), 1) - 0.5))
    legend_beside(ax)
    return _warned(cuts, ax)


def landmarks(table, ax, said=""):
    """How well maps go with what lies where: a dot an animal, the bar the mean.

    ``table``: of :func:`decoding_book.chapters.cut_out.truth.agreement`.
    """
    if table.empty:
        ax.text(0.5, 0.5, "no map, or no landmarks", ha="center", va="center", transform=ax.transAxes)
        ax.set_axis_off()
        return ax
    sns.stripplot(table, x="r", y="landmark", color=DECODED, size=5, alpha=0.7, jitter=0.12, ax=ax, zorder=2,
                  label="an animal")
    for place, name in enumerate(dict.fromkeys(table["landmark"])):
        mean = table.loc[table["landmark"] == name, "r"].mean()
        ax.vlines(mean, place - 0.3, place + 0.3, color=SIGNAL, lw=1.8, label=None if place else "mean over animals")
    ax.axvline(0, color=NULL_COLOUR, ls="--", lw=1, label="no relation")
    ax.set(xlabel="rank correlation of the map with it, over 64 cells", ylabel="", xlim=(-1, 1))
    legend_beside(ax)
    if said:
        ax.set_title(said, color=RED, fontsize=10, fontweight="bold", pad=18)
    return simulated_mark(ax, table)


def pieces(shape, ax):
    """How often each pixel is cut out: four squares hold each cell; one square, one over an edge, the pair drawn in.

    ``shape`` ((int, int)): rows and columns of the image.
    """
    drawn = {"a square": patches.squares(shape)[10], "a square over the edge": patches.edges(shape)[11],
             "a disc": patches.discs(shape)[24], "the pair of S3 Fig": patches.limb_pair(shape)}
    picture = np.ones((*shape, 3))
    for colour, (name, cut) in zip(sns.color_palette("colorblind"), drawn.items(), strict=False):
        picture[cut.mask] = 0.5 * picture[cut.mask] + 0.5 * np.array(colour)
        ax.plot([], [], "s", color=colour, label=name)
    ax.imshow(picture)
    for i in range(1, patches.GRID):
        ax.axhline(i * shape[0] / patches.GRID - 0.5, color=NULL_COLOUR, lw=0.4)
        ax.axvline(i * shape[1] / patches.GRID - 0.5, color=NULL_COLOUR, lw=0.4)
    ax.set(xlabel="column (pixels)", ylabel="row (pixels)", title="pieces, and the grid of 8 x 8 cells")
    legend_beside(ax)
    return ax


def _warned(cuts, ax):
    if said := shap_maps.warning(cuts):
        ax.set_title(said, color=RED, fontsize=10, fontweight="bold", pad=18)
    return simulated_mark(ax, cuts)
