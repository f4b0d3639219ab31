"""The brain under the camera: images, areas, strips of frames."""

import numpy as np
import seaborn as sns

from calcium_decoding.data import catalog
from calcium_decoding.data.published import GROUPS, roi_table
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.plotting.style import simulated_mark
from calcium_decoding.simulation import widefield


def show_image(image, ax, label, title="", cmap="gray", limits=None, simulated=False):
    """An image with its scale; rows from the front, columns from the left, pixels.

    ``image``: ndarray, shape (H, W). ``label``: what the colours mean, with unit. ``limits`` ((float, float)): values
    of the ends of the scale.
    """
    low, high = limits or (None, None)
    shown = ax.imshow(image, cmap=cmap, vmin=low, vmax=high)
    ax.figure.colorbar(shown, ax=ax, label=label, shrink=0.75, pad=0.02)
    ax.set(title=title, xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return simulated_mark(ax, simulated)


def anatomy_of(dataset):
    """Where the ROIs of simulated data lie, in the first animal; None for others: the study's are not public."""
    try:
        entry = catalog.load_manifest().entry(dataset.name)
        settings = widefield.settings_of(entry) if entry.kind == "simulated" else None
    except (DataError, ParameterError):
        settings = None
    return None if settings is None else widefield.anatomy(settings.seed, 1)


def parcel_map(anatomy, ax, simulated=False):
    """Parcels coloured by published group, the numbers of the left ROIs written in."""
    groups = roi_table()["group"].to_numpy()
    order = [*GROUPS, "other"]
    colours = np.array(sns.color_palette("colorblind", len(order)))
    weights = np.array([anatomy.parcels[groups == g].sum(axis=0) for g in order])
    image = np.einsum("grc,gk->rck", weights, colours) + (1 - weights.sum(axis=0))[:, :, None]
    ax.imshow(np.clip(image, 0, 1))
    ax.contour(anatomy.parcels.argmax(axis=0), levels=np.arange(50) + 0.5, colors="white", linewidths=0.4)
    rows, cols = np.indices(anatomy.brain.shape)
    for i in range(25):
        weight = anatomy.parcels[i] / anatomy.parcels[i].sum()
        ax.text((weight * cols).sum(), (weight * rows).sum(), str(i + 1), ha="center", va="center", fontsize=7)
    for group, colour in zip(order, colours, strict=True):
        ax.plot([], [], "s", color=colour, label=group.replace("_", "&"))
    ax.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    ax.set(title="50 areas", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return simulated_mark(ax, simulated)


def strip(changes, times_s, axes, label, brain):
    """Images of a change side by side with one scale, symmetric about zero, set by what is well inside the brain.

    Parameters
    ----------
    changes : ndarray, shape (n, H, W), %
    times_s : sequence of float
    axes : sequence of Axes
    label : str
    brain : ndarray, shape (H, W)
        1 inside; what lies outside is left blank.
    """
    top = np.percentile(np.abs(changes[:, brain > 0.999]), 97)
    changes = np.where(brain > 0.5, changes, np.nan)
    for change, time_s, ax in zip(changes, times_s, axes, strict=True):
        shown = ax.imshow(change, cmap="RdBu_r", vmin=-top, vmax=top)
        ax.set(title=f"{time_s:+.1f} s", xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    axes[0].figure.colorbar(shown, ax=list(axes), label=label, shrink=0.8, pad=0.01)
    simulated_mark(axes[-1], True)
    return axes
