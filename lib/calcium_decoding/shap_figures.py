"""Pictures of Deep SHAP maps: ROI by frame, by ROI, by frame, on the cortex."""

import numpy as np

from calcium_decoding import published
from calcium_decoding.brain_figures import anatomy_of, picture
from calcium_decoding.figures import DECODED, NULL_COLOUR, RUN, SIGNAL, simulated_mark
from calcium_decoding.shap_tables import mean_map, warning

UNIT = "mean |SHAP|, in units of the output"


def roi_by_frame(maps, spec, rate_hz, ax, simulated=False):
    """Mean over folds, a row a ROI, a column a frame, ms from the labelled one, as Fig 6A of the study.

    Parameters
    ----------
    maps : sequence of FoldMap
        Of :func:`calcium_decoding.shap_maps.run`.
    spec : WindowSpec
    rate_hz : float
    """
    if (mean := mean_map(maps)) is None:
        return _nothing(maps, ax)
    ms = _ms(spec, rate_hz)
    half, n_roi = 500 / rate_hz, mean.shape[1]
    shown = ax.imshow(mean.T, aspect="auto", cmap="magma", vmin=0, interpolation="nearest",
                      extent=(ms[0] - half, ms[-1] + half, n_roi + 0.5, 0.5))
    ax.figure.colorbar(shown, ax=ax, label=UNIT, pad=0.02)
    ax.axvline(0, color="white", ls=":", lw=1)
    ax.set(xlabel="frame, ms from the labelled one", ylabel="ROI")
    return _marked(maps, ax, simulated)


def by_frame(maps, nulls, spec, rate_hz, ax, dataset):
    """Sum over ROIs at each frame: a thin line is a fold, the thick one their mean, grey the null."""
    known, null = ([m.by_frame for m in some if not m.reason] for some in (maps, nulls))
    if not known:
        return _nothing(maps, ax)
    ms = _ms(spec, rate_hz)
    ax.plot(ms, np.transpose(known), color=DECODED, lw=0.6, alpha=0.5)
    ax.plot(ms, np.mean(known, axis=0), color=DECODED, lw=2, label="mean of folds")
    if null:
        ax.plot(ms, np.mean(null, axis=0), color=NULL_COLOUR, lw=1.5, ls="--", label="null, mean")
    if dataset.compare_with_study and len(ms) == 31:
        theirs = published.table("shap_frame_by_fold").groupby("frame_offset")["sum_over_rois_mean_abs_shap"].mean()
        ax.plot(theirs.index * 1000 / rate_hz, theirs, color=SIGNAL, ls=":", label="published, mean")
    ax.axvline(0, color=NULL_COLOUR, ls=":", lw=1)
    ax.set(xlabel="frame, ms from the labelled one", ylabel="mean |SHAP|, sum over ROIs", ylim=(0, None))
    ax.legend(fontsize=8)
    return _marked(maps, ax, dataset.simulated)


def bars(maps, table, ax, simulated=False):
    """Sum over the window by ROI, as Fig 6B: bars are means, dots folds, grey ticks the null, stars against it.

    Parameters
    ----------
    maps : sequence of FoldMap
    table : DataFrame
        Of :func:`calcium_decoding.shap_tables.roi_table`, in the order to show.
    """
    known = [m.by_roi for m in maps if not m.reason]
    if not known:
        return _nothing(maps, ax)
    x, rois = np.arange(len(table)), table["roi"].to_numpy()
    ax.bar(x, table["mean"], color=DECODED, alpha=0.35, width=0.8, label="mean of folds")
    for i, fold in enumerate(known):
        ax.plot(x, fold[rois - 1], ".", color=DECODED, ms=4, label="fold" if i == 0 else None)
    if "null" in table:
        ax.plot(x, table["null"], "_", color=NULL_COLOUR, ms=9, mew=2, label="null, mean")
        top = np.max(known, axis=0)[rois - 1]
        for place, height, stars in zip(x, top, table["stars"].fillna(""), strict=True):
            if "*" in stars:
                ax.text(place, height, stars, ha="center", va="bottom", fontsize=8, color=RUN)
    if "published" in table:
        ax.plot(x, table["published"], "D", mfc="white", color=SIGNAL, ms=4, label="published, mean")
    ax.set_xticks(x, rois, fontsize=7, rotation=90)
    ax.set(xlabel="ROI", ylabel="mean |SHAP|, sum over the window", xlim=(-1, len(x)))
    ax.legend(fontsize=8)
    return _marked(maps, ax, simulated)


def cortex(maps, dataset, ax):
    """Sums over the window on the parcels of the first simulated animal, as Fig 6C.

    Empty for recorded data: where the study's ROIs lie is not public.
    """
    mean, place = mean_map(maps), anatomy_of(dataset)
    if mean is None or place is None:
        return _nothing(maps, ax, "where these ROIs lie is not known")
    image = np.tensordot(mean.sum(axis=0), place.parcels, axes=1)
    image = np.where(place.brain > 0.5, image, np.nan)
    picture(image, ax, "mean |SHAP|, sum over the window", "where, in animal 1", "magma")
    ax.contour(place.parcels.argmax(axis=0) * (place.brain > 0.5), levels=np.arange(50) + 0.5, colors="white",
               linewidths=0.3)
    return _marked(maps, ax, True)


def against_planted(maps, truth, ax):
    """Sum over the window against the planted share of variance that running drives: a dot is a ROI."""
    mean = mean_map(maps)
    if truth.empty or mean is None:
        return _nothing(maps, ax, "no planted truth")
    sums, drive = mean.sum(axis=0), truth["share_driven"].to_numpy()
    ax.plot(drive, sums, "o", color=DECODED, alpha=0.7, ms=5)
    for roi in np.argsort(-sums)[:8]:
        ax.annotate(str(roi + 1), (drive[roi], sums[roi]), xytext=(4, 2), textcoords="offset points", fontsize=8)
    ax.set(xlabel="share of variance driven by running, planted", ylabel="mean |SHAP|, sum over the window")
    return _marked(maps, ax, True)


def _ms(spec, rate_hz):
    return np.arange(-spec.past_frames, spec.future_frames + 1) * 1000 / rate_hz


def _marked(maps, ax, simulated):
    """The panel with a red warning where the decoders are not above chance."""
    if said := warning(maps):
        ax.set_title(said, color="#B00020", fontsize=10, fontweight="bold", pad=18, loc="left")
    return simulated_mark(ax, simulated)


def _nothing(maps, ax, why=""):
    ax.text(0.5, 0.5, why or warning(maps), ha="center", va="center", transform=ax.transAxes, color=NULL_COLOUR)
    ax.set_axis_off()
    return ax
