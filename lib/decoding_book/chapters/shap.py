"""Chapter 23: what Deep SHAP maps say, which ROIs stand out, and whether they were simulated."""

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


def roi_table(maps, nulls=(), dataset=None):
    """Sum over the window by ROI, with the study's test against the null.

    ``maps``, ``nulls``: sequence of FoldMap. ``dataset``: published values are given next to where it is the study's
    own. Returns a DataFrame: ``roi`` (from 1), ``mean`` and ``sd`` over folds, and with a null ``null``, ``p_holm`` and
    ``stars``: rank-sum over folds, Holm over ROIs. A ROI whose values are all equal, such as a silent one, has no p.
    """
    sums, null_sums = (np.array([m.by_roi for m in some if not m.reason]) for some in (maps, nulls))
    if not len(sums):
        return pd.DataFrame()
    n_roi = sums.shape[1]
    table = pd.DataFrame({"roi": np.arange(1, n_roi + 1), "mean": sums.mean(axis=0)})
    table["sd"] = sums.std(axis=0, ddof=1) if len(sums) > 1 else None
    if len(null_sums):
        table["null"] = null_sums.mean(axis=0)
        groups = {str(i + 1): sums[:, i] for i in range(n_roi)}
        groups |= {f"null {i + 1}": null_sums[:, i] for i in range(n_roi)}
        pairs = [(str(i + 1), f"null {i + 1}") for i in range(n_roi)
                 if np.ptp(np.concatenate([sums[:, i], null_sums[:, i]])) > 0]
        tested = statistics.rank_sum_family(pairs, groups)
        tested["roi"] = tested["group_a"].astype(int)
        table = table.merge(tested[["roi", "p_holm", "stars"]], on="roi", how="left")
    if dataset is not None and dataset.compare_with_study:
        theirs = published.table("shap_roi_by_fold").groupby("roi")["sum_over_frames_mean_abs_shap"].mean()
        table["published"] = table["roi"].map(theirs)
    return table


def fold_table(maps):
    """A row a fold: score, base, largest violation of the sum rule, ROI and frame of the largest value."""
    rows = []
    for m in maps:
        row = {"fold": m.fold, "AUC": None if m.reason else m.auc}
        if not m.reason:
            row |= {"base": m.base, "sum rule missed by": f"{m.error:.1e} of the range",
                    "largest ROI": int(m.by_roi.argmax()) + 1}
        rows.append(row | {"no map because": m.reason})
    return pd.DataFrame(rows)


def ground_truth(dataset):
    """Share of the variance of each ROI that running drives through neurons, as simulated.

    Returns ``table`` (DataFrame): a row a ROI; see :func:`decoding_book.chapters.regions.group_effects.ground_truth`.
    Empty where there is no truth; ``statement``.
    """
    n_roi = dataset.recordings[0].n_roi
    sets = roi_sets.RoiSets(n_roi, {str(roi): (roi,) for roi in range(1, n_roi + 1)})
    return group_effects.ground_truth(dataset, sets)


def agreement(maps, truth):
    """How well the ROIs with large values are those with large simulated drive.

    ``maps``: sequence of FoldMap. ``truth``: of :func:`ground_truth`. Returns a DataFrame: spearman's rank correlation
    over ROIs, and of the eight ROIs with the largest simulated share how many are among the eight with the largest
    values (``n * 8 / n_roi`` by chance). Empty without truth or maps.
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

    Returns ``table`` (DataFrame): ``players`` (what is switched together), ``output``, ``windows`` explained,
    ``r`` over windows and players, ``reliability`` (of the sampled values: the largest r that can be expected is its
    root), ``r_of_maps`` (of mean absolute values), ``rms_error_over_rms`` and others; ``about`` (dict): model, data,
    seed and code. Raises DataError: the file is missing or not such a measurement.
    """
    path = cards.stored_folder() / "shapley_agreement.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return pd.DataFrame(content.pop("rows")), content
    except (OSError, ValueError, KeyError) as error:
        raise DataError(path, str(error), "a stored agreement", "run benchmarks/shapley_agreement.py") from error


def card_scores(maps, nulls=()):
    """Scores for the result card: sums of named ROIs over the window, their value at the published peak, and AUC.

    The sums of all other ROIs are there too, with a scope that a regression test passes over.
    """
    scores = []
    for suffix, some in (("", maps), (" null", nulls)):
        known = [m for m in some if not m.reason]
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
    known = [m.mean_abs for m in maps if not m.reason]
    if not known or known[0].shape[0] <= past_frames + PEAK_FRAME:
        return []
    at = np.array(known)[:, past_frames + PEAK_FRAME]
    return [summarise(f"ROI {roi}", at[:, roi - 1], f"abs_shap_at_frame_{PEAK_FRAME}")[0]
            for roi in NAMED if roi <= at.shape[1]]

UNIT = "mean |SHAP|, in units of the output"


def roi_by_frame(maps, spec, rate_hz, ax):
    """Mean over folds, a row a ROI, a column a frame, ms from the labelled one, as Fig 6A of the study.

    ``maps`` (sequence of FoldMap): of :func:`calcium_decoding.explain.shap_maps.run`. ``spec``: WindowSpec.
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
    return _marked(maps, ax)


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
    return _marked(maps, ax)


def bars(maps, table, ax):
    """Sum over the window by ROI, as Fig 6B: bars are means, dots folds, grey ticks the null, stars against it.

    ``maps``: sequence of FoldMap. ``table``: of :func:`decoding_book.chapters.shap.roi_table`, in the order to show.
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
    return _marked(maps, ax)


def cortex(maps, dataset, ax):
    """Sums over the window on the parcels of the first simulated animal, as Fig 6C.

    Empty for recorded data: where the study's ROIs lie is not public.
    """
    mean, place = mean_map(maps), anatomy_of(dataset)
    if mean is None or place is None:
        return _nothing(maps, ax, "where these ROIs lie is not known")
    image = np.tensordot(mean.sum(axis=0), place.parcels, axes=1)
    image = np.where(place.brain > 0.5, image, np.nan)
    show_image(image, maps, ax, "mean |SHAP|, sum over the window", "where, in animal 1", "magma")
    ax.contour(place.parcels.argmax(axis=0) * (place.brain > 0.5), levels=np.arange(50) + 0.5, colors="white",
               linewidths=0.3)
    return _marked(maps, ax)


def against_truth(maps, truth, ax):
    """Sum over the window against the simulated share of variance that running drives: a dot is a ROI."""
    mean = mean_map(maps)
    if truth.empty or mean is None:
        return _nothing(maps, ax, "no planted truth")
    sums, drive = mean.sum(axis=0), truth["share_driven"].to_numpy()
    ax.plot(drive, sums, "o", color=DECODED, alpha=0.7, ms=5)
    for roi in np.argsort(-sums)[:8]:
        ax.annotate(str(roi + 1), (drive[roi], sums[roi]), xytext=(4, 2), textcoords="offset points", fontsize=8)
    ax.set(xlabel="share of variance driven by running, planted", ylabel="mean |SHAP|, sum over the window")
    return _marked(maps, ax)


def _ms(spec, rate_hz):
    return np.arange(-spec.past_frames, spec.future_frames + 1) * 1000 / rate_hz


def _marked(maps, ax):
    """The panel with a red warning where the decoders are not above chance."""
    if said := warning(maps):
        ax.set_title(said, color="#B00020", fontsize=10, fontweight="bold", pad=18, loc="left")
    return simulated_mark(ax, maps)


def _nothing(maps, ax, why=""):
    ax.text(0.5, 0.5, why or warning(maps), ha="center", va="center", transform=ax.transAxes, color=NULL_COLOUR)
    ax.set_axis_off()
    return ax
