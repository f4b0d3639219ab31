"""Pictures of the brain: maps, strips of frames, the pieces of a simulated session."""

import numpy as np
import seaborn as sns

from calcium_decoding.data import catalog
from calcium_decoding.data.published import GROUPS, roi_table
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.models.names import LABELS
from calcium_decoding.plotting.style import (
    DECODED,
    MODEL_COLOURS,
    NULL_COLOUR,
    RUN,
    SIGNAL,
    running_spans,
    simulated_mark,
    time_axis,
)
from calcium_decoding.simulation import widefield
from calcium_decoding.simulation.widefield import RATE_HZ, WORLDS

COMPONENTS = {
    "driven": "neurons, by running", "spontaneous": "neurons, by themselves", "blood": "blood absorption",
    "motion": "movement", "drift": "bleaching, wander", "noise": "noise",
}


def picture(image, ax, label, title="", cmap="gray", limits=None, simulated=False):
    """An image with its scale; rows from the front, columns from the left, pixels.

    Parameters
    ----------
    image : ndarray, shape (H, W)
    label : str
        What the colours mean, with unit.
    limits : (float, float), optional
        Values of the ends of the scale.
    """
    low, high = limits or (None, None)
    shown = ax.imshow(image, cmap=cmap, vmin=low, vmax=high)
    ax.figure.colorbar(shown, ax=ax, label=label, shrink=0.75, pad=0.02)
    ax.set(title=title, xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return simulated_mark(ax, simulated)


def anatomy_of(dataset):
    """Where the ROIs of simulated data lie, in the first animal; None for others: the study's places are not public."""
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
    """Pictures of a change side by side with one scale, symmetric about zero, set by what is well inside the brain.

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


def component_traces(session, roi, start_s, length_s, axes):
    """Each component of one ROI's trace, and their sum at the bottom, with running shaded.

    Parameters
    ----------
    session : SimulatedSession
    roi : int
        Counted from 1.
    axes : sequence of Axes
        One more than there are components.
    """
    frames = slice(round(start_s * RATE_HZ), round((start_s + length_s) * RATE_HZ))
    parts = {name: part[frames, roi - 1] for name, part in session.components().items()}
    parts["sum"] = sum(parts.values())
    time_s = start_s + np.arange(len(parts["sum"])) / RATE_HZ
    for ax, (name, part) in zip(axes, parts.items(), strict=True):
        running_spans(ax, time_s, session.run[frames])
        ax.plot(time_s, part, color=RUN if name == "driven" else SIGNAL, lw=0.8)
        ax.set_ylabel(COMPONENTS.get(name, "what is seen"), rotation=0, ha="right", va="center", fontsize=9)
        time_axis(ax, time_s)
    axes[0].set_title(f"ROI {roi}, each in % dF/F")
    simulated_mark(axes[0], True)
    return axes


def two_view_traces(session, traces, rois, start_s, length_s, ax):
    """ROI view and the same ROIs taken from the movie, one above another."""
    frames = slice(round(start_s * RATE_HZ), round((start_s + length_s) * RATE_HZ))
    signal = session.signal() - session.signal().mean(axis=0)
    time_s = start_s + np.arange(frames.stop - frames.start) / RATE_HZ
    step = 1.1 * np.ptp(signal[frames][:, [r - 1 for r in rois]], axis=0).max()
    for height, roi in enumerate(reversed(rois)):
        ax.plot(time_s, signal[frames, roi - 1] + height * step, color=SIGNAL, lw=1.6, label="ROI view")
        ax.plot(time_s, traces[frames, roi - 1] + height * step, color="#E69F00", lw=0.8, label="from the movie")
    ax.set_yticks([i * step for i in range(len(rois))], [str(r) for r in reversed(rois)])
    time_axis(ax, time_s).set_ylabel("ROI (dF/F)")
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles[:2], labels[:2], fontsize=8, loc="upper right", ncols=2)
    return simulated_mark(ax, True)


def world_scores(table, ax):
    """AUC of cheap decoders in each world: a dot a fold."""
    for offset, (model, rows) in zip((-0.12, 0.12), table.groupby("model", sort=False), strict=True):
        for y, world in enumerate(WORLDS):
            values = rows.loc[rows["world"] == world, "auc"]
            ax.plot(values, np.full(len(values), y + offset), "o", ms=4, alpha=0.6, color=MODEL_COLOURS[model])
            ax.plot(values.mean(), y + offset, "|", ms=14, color=SIGNAL)
        ax.plot([], [], "o", color=MODEL_COLOURS[model], label=LABELS[model])
    ax.axvline(0.5, color=NULL_COLOUR, ls=":", lw=1)
    ax.set_yticks(range(len(WORLDS)), WORLDS)
    ax.invert_yaxis()
    ax.set(xlabel="AUC across animals (a dot is a fold, a bar the mean)", xlim=(0.2, 1.0))
    ax.legend(fontsize=8, loc="lower right")
    return simulated_mark(ax, True)


def correlation_pattern(measured, ax):
    """Correlation of each ROI with running, simulated against published."""
    real = roi_table()["mean_run_correlation"].to_numpy()
    ax.plot(real, measured, "o", color=DECODED, alpha=0.7, ms=5)
    ends = [min(real.min(), measured.min()) - 0.02, max(real.max(), measured.max()) + 0.02]
    ax.plot(ends, ends, color=NULL_COLOUR, ls=":", lw=1)
    ax.set(xlabel="published r, real mice", ylabel="simulated r", aspect="equal", xlim=ends, ylim=ends)
    return simulated_mark(ax, True)
