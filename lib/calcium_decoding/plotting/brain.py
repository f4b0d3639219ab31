"""The brain under the camera: images, and where ROIs lie."""

import numpy as np

from calcium_decoding.data import catalog
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.plotting.style import simulated_mark
from calcium_decoding.simulation import widefield


def show_image(image, of, ax, label, title="", cmap="gray", limits=None):
    """An image (H, W) with its scale. ``of``: what it was made from, which says whether that is simulated. ``label``:
    what the colours mean, with unit. ``limits``: values of the ends of the scale."""
    low, high = limits or (None, None)
    shown = ax.imshow(image, cmap=cmap, vmin=low, vmax=high)
    ax.figure.colorbar(shown, ax=ax, label=label, shrink=0.75, pad=0.02)
    ax.set(title=title, xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return simulated_mark(ax, of)


def outlines(place, ax, colour="black"):
    """Outlines of a brain and, where known, of its ROIs: ``place`` has ``brain``, shape (H, W), and ``parcels``, the
    weight of each ROI, shape (n_roi, H, W), or None."""
    inside = np.asarray(place.brain) > 0.5
    ax.contour(inside, levels=[0.5], colors=colour, linewidths=1.2)
    if place.parcels is not None:
        areas = np.where(inside, place.parcels.argmax(axis=0) + 1, 0)
        ax.contour(areas, levels=np.arange(len(place.parcels)) + 0.5, colors=colour, linewidths=0.3)
    return ax


def anatomy_of(dataset):
    """Where the ROIs of simulated data lie, in the first animal; None for others: the study's are not public."""
    try:
        entry = catalog.load_manifest().entry(dataset.name)
        settings = widefield.settings_of(entry) if entry.kind == "simulated" else None
    except (DataError, ParameterError):
        settings = None
    return None if settings is None else widefield.anatomy(settings.seed, 1)
