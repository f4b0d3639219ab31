"""Chapter 23: what Deep SHAP maps (``maps``, ``nulls``: FoldMaps) say, which ROIs stand out, and whether rightly."""

import json

import numpy as np
import pandas as pd
from scipy import stats

from calcium_decoding.data import published
from calcium_decoding.errors import DataError
from calcium_decoding.evaluation import cards, statistics
from calcium_decoding.evaluation.cards import Score, summarise
from calcium_decoding.explain.shap_maps import mean_map, warning
from calcium_decoding.plotting.brain import anatomy_of, show_image
from calcium_decoding.plotting.style import DECODED, NULL_COLOUR, RUN, SIGNAL, simulated_mark
from calcium_decoding.utils.code import code_digest
from decoding_book.chapters.regions import group_effects, roi_sets

# What the ledger asks for: frames after the labelled one, and the ROIs whose areas the study states, with the next.
PEAK_FRAME, NAMED = 3, (*roi_sets.LIMBS, 9)
UNIT = "mean |SHAP|, in units of the output"


def _known(maps):
    return [m for m in maps if not m.reason]


def roi_table(maps, nulls=(), dataset=None):
    """Sum over the window by ROI (from 1): mean and SD over folds, with the study's test against the null.

    ``p_holm``, ``stars``: rank-sum over folds, Holm over ROIs; a ROI whose values are all equal, such as a silent one,
    has no p. Published values stand beside where ``dataset`` is the study's own.
    """
    sums, null_sums = (np.array([m.by_roi for m in _known(some)]) for some in (maps, nulls))
    if not len(sums):
        return pd.DataFrame()
    rois = np.arange(1, sums.shape[1] + 1)
    table = pd.DataFrame({"roi": rois, "mean": sums.mean(axis=0)})
    table["sd"] = sums.std(axis=0, ddof=1) if len(sums) > 1 else None
    if len(null_sums):
        table["null"] = null_sums.mean(axis=0)
        groups = dict(zip(map(str, rois), sums.T, strict=True))
        groups |= {f"null {roi}": values for roi, values in zip(rois, null_sums.T, strict=True)}
        differ = np.ptp(np.concatenate([sums, null_sums]), axis=0) > 0
        tested = statistics.rank_sum_family([(str(roi), f"null {roi}") for roi in rois[differ]], groups)
        tested["roi"] = tested["group_a"].astype(int)
        table = table.merge(tested[["roi", "p_holm", "stars"]], on="roi", how="left")
    if dataset is not None and dataset.compare_with_study:
        theirs = published.table("shap_roi_by_fold").groupby("roi")["sum_over_frames_mean_abs_shap"].mean()
        table["published"] = table["roi"].map(theirs)
    return table


def fold_table(maps):
    """A row a fold: score, base, largest violation of the sum rule, ROI of the largest value."""
    rows = []
    for m in maps:
        row = {"fold": m.fold, "AUC": None if m.reason else m.auc}
        if not m.reason:
            row |= {"base": m.base, "sum rule missed by": f"{m.error:.1e} of the range",
                    "largest ROI": int(m.by_roi.argmax()) + 1}
        rows.append(row | {"no map because": m.reason})
    return pd.DataFrame(rows)


def ground_truth(dataset):
    """Share of the variance of each ROI that running drives through neurons, as simulated, and a statement on it.

    A row a ROI; see :func:`decoding_book.chapters.regions.group_effects.ground_truth`. Empty where there is no truth.
    """
    n_roi = dataset.recordings[0].n_roi
    sets = roi_sets.RoiSets(n_roi, {str(roi): (roi,) for roi in range(1, n_roi + 1)})
    return group_effects.ground_truth(dataset, sets)


def agreement(maps, truth):
    """How well the ROIs with large values are those with large simulated drive, in one row; empty without either.

    Spearman's rank correlation over ROIs, and of the eight most driven ROIs how many are among the eight largest.
    """
    mean = mean_map(maps)
    if truth.empty or mean is None:
        return pd.DataFrame()
    sums, drive, k = mean.sum(axis=0), truth["share_driven"].to_numpy(), 8
    hits = len(set(np.argsort(-sums)[:k]) & set(np.argsort(-drive)[:k]))
    return pd.DataFrame([{"rank correlation with the planted share": float(stats.spearmanr(sums, drive).statistic),
                          f"of the {k} most driven, among the {k} largest": hits,
                          "expected by chance": k * k / len(sums)}])


def agreement_code():
    """Hash of the code behind a stored agreement with Shapley values; comments and docstrings do not count."""
    return code_digest("explain/deep_shap")


def stored_agreement():
    """Deep SHAP against sampled interventional Shapley values on a trained network, as it was measured and stored.

    Returns a table and a dict on model, data, seed and code. ``players``: what is switched together. ``r``: over
    windows and players; ``reliability``: of the sampled values, whose root is the largest r that can be expected;
    ``r_of_maps``: of mean absolute values. Raises DataError: the file is missing or not such a measurement.
    """
    path = cards.stored_folder() / "shapley_agreement.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return pd.DataFrame(content.pop("rows")), content
    except (OSError, ValueError, KeyError) as error:
        raise DataError(path, str(error), "a stored agreement", "run benchmarks/shapley_agreement.py") from error


def card_scores(maps, nulls=()):
    """Scores for the result card: AUC, and sums over the window of all ROIs, of the named ones by fold as well.

    Sums of other ROIs have a scope that a regression test passes over.
    """
    scores = []
    for suffix, known in (("", _known(maps)), (" null", _known(nulls))):
        if not known:
            continue
        scores += summarise(f"decoder{suffix}", [m.auc for m in known])[:1]
        sums = np.array([m.by_roi for m in known])
        for roi in range(1, sums.shape[1] + 1):
            mean = summarise(f"ROI {roi}{suffix}", sums[:, roi - 1], "sum_abs_shap")[0]
            named = roi in NAMED and not suffix
            scores.append(mean if named else mean.model_copy(update={"scope": f"over {len(known)} folds, mean"}))
        scores += [Score(model=f"ROI {roi}{suffix}", metric="sum_abs_shap", scope=f"fold {m.fold}",
                         value=float(m.by_roi[roi - 1])) for m in known for roi in NAMED if roi <= sums.shape[1]]
    return scores


def peak_scores(maps, past_frames):
    """Value of the named ROIs three frames after the labelled one, where the published map peaks, as card scores."""
    known = [m.mean_abs for m in _known(maps)]
    if not known or known[0].shape[0] <= past_frames + PEAK_FRAME:
        return []
    at = np.array(known)[:, past_frames + PEAK_FRAME]
    return [summarise(f"ROI {roi}", at[:, roi - 1], f"abs_shap_at_frame_{PEAK_FRAME}")[0]
            for roi in NAMED if roi <= at.shape[1]]


def roi_by_frame(maps, spec, rate_hz, ax):
    """Mean over folds, a row a ROI, a column a frame of the window, as Fig 6A of the study."""
    if (mean := mean_map(maps)) is None:
        return nothing(warning(maps), ax)
    ms, half, n_roi = window_ms(spec, rate_hz), 500 / rate_hz, mean.shape[1]
    shown = ax.imshow(mean.T, aspect="auto", cmap="magma", vmin=0, interpolation="nearest",
                      extent=(ms[0] - half, ms[-1] + half, n_roi + 0.5, 0.5))
    ax.figure.colorbar(shown, ax=ax, label=UNIT, pad=0.02)
    ax.axvline(0, color="white", ls=":", lw=1)
    ax.set(xlabel="frame, ms from the labelled one", ylabel="ROI")
    return marked(maps, ax)


def by_frame(maps, nulls, spec, rate_hz, ax, dataset):
    """Sum over ROIs at each frame: a thin line is a fold, the thick one their mean, grey the null."""
    known, null = ([m.by_frame for m in _known(some)] for some in (maps, nulls))
    if not known:
        return nothing(warning(maps), ax)
    ms = window_ms(spec, rate_hz)
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
    return marked(maps, ax)


def bars(maps, table, ax):
    """Sum over the window by ROI, as Fig 6B: bars are means, dots folds, grey ticks the null, stars against it.

    ``table``: of :func:`roi_table`, in the order to show.
    """
    known = [m.by_roi for m in _known(maps)]
    if not known:
        return nothing(warning(maps), ax)
    x, rois = np.arange(len(table)), table["roi"].to_numpy()
    of_folds = np.array(known)[:, rois - 1].T
    ax.bar(x, table["mean"], color=DECODED, alpha=0.35, width=0.8, label="mean of folds")
    ax.plot(x, of_folds, ".", color=DECODED, ms=4, label=["fold", *["_"] * (len(known) - 1)])
    if "null" in table:
        ax.plot(x, table["null"], "_", color=NULL_COLOUR, ms=9, mew=2, label="null, mean")
        for place, height, stars in zip(x, of_folds.max(axis=1), table["stars"].fillna(""), strict=True):
            if "*" in stars:
                ax.text(place, height, stars, ha="center", va="bottom", fontsize=8, color=RUN)
    if "published" in table:
        ax.plot(x, table["published"], "D", mfc="white", color=SIGNAL, ms=4, label="published, mean")
    ax.set_xticks(x, rois, fontsize=7, rotation=90)
    ax.set(xlabel="ROI", ylabel="mean |SHAP|, sum over the window", xlim=(-1, len(x)))
    ax.legend(fontsize=8)
    return marked(maps, ax)


def cortex(maps, dataset, ax):
    """Sums over the window on the parcels of the first simulated animal, as Fig 6C; the study's are not public."""
    mean, place = mean_map(maps), anatomy_of(dataset)
    if mean is None or place is None:
        return nothing("where these ROIs lie is not known" if place is None else warning(maps), ax)
    image = np.where(place.brain > 0.5, np.tensordot(mean.sum(axis=0), place.parcels, axes=1), np.nan)
    show_image(image, maps, ax, "mean |SHAP|, sum over the window", "where, in animal 1", "magma")
    ax.contour(place.parcels.argmax(axis=0) * (place.brain > 0.5), levels=np.arange(50) + 0.5, colors="white",
               linewidths=0.3)
    return warned(warning(maps), ax)


def against_truth(maps, truth, ax):
    """Sum over the window against the simulated share of variance that running drives: a dot is a ROI."""
    mean = mean_map(maps)
    if truth.empty or mean is None:
        return nothing("no planted truth", ax)
    sums, drive = mean.sum(axis=0), truth["share_driven"].to_numpy()
    ax.plot(drive, sums, "o", color=DECODED, alpha=0.7, ms=5)
    for roi in np.argsort(-sums)[:8]:
        ax.annotate(str(roi + 1), (drive[roi], sums[roi]), xytext=(4, 2), textcoords="offset points", fontsize=8)
    ax.set(xlabel="share of variance driven by running, planted", ylabel="mean |SHAP|, sum over the window")
    return marked(maps, ax)


def window_ms(spec, rate_hz):
    """Frames of a window, ms from the labelled one."""
    return np.arange(-spec.past_frames, spec.future_frames + 1) * 1000 / rate_hz


def marked(maps, ax):
    """The panel marked if simulated, with a red warning where the decoders are not above chance."""
    return simulated_mark(warned(warning(maps), ax), maps)


def warned(said, ax):
    """The panel with a warning as its title, in red, if there is one."""
    if said:
        ax.set_title(said, color="#B00020", fontsize=10, fontweight="bold", pad=18, loc="left")
    return ax


def nothing(why, ax):
    """The panel that says why it is empty."""
    ax.text(0.5, 0.5, why, ha="center", va="center", transform=ax.transAxes, color=NULL_COLOUR)
    ax.set_axis_off()
    return ax
