"""Chapter 23: which ROIs stand out in Deep SHAP maps (``maps``, ``nulls``: FoldMaps), and whether rightly."""

import json

import numpy as np
import pandas as pd

from calcium_decoding.data import published
from calcium_decoding.errors import DataError
from calcium_decoding.evaluation import cards, statistics
from calcium_decoding.explain.attribution import rank_agreement
from calcium_decoding.plotting.style import DECODED
from decoding_book.chapters import regions

# What the ledger asks for: frames after the labelled one, and the ROIs whose areas the study states, with the next.
PEAK_FRAME, NAMED = 3, (*regions.LIMBS, 9)


def roi_table(sums, null_sums=(), dataset=None):
    """Sum over the window by ROI (from 1): mean and SD over folds, with the study's test against the null. ``sums``,
    ``null_sums``: shape (n_folds, n_roi). ``p_holm``, ``stars``: rank-sum over folds, Holm over ROIs; a ROI whose
    values are all equal has no p, and no ROI has one where so few folds cannot give a p below 0.05, which
    ``attrs["note"]`` says. Published values stand beside where ``dataset`` is the study's own."""
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
        if (least := tested["least_p_holm"].min()) < statistics.ALPHA:
            table = table.merge(tested[["roi", "p_holm", "stars"]], on="roi", how="left")
        else:
            table.attrs["note"] = (f"No rank-sum p against the null: with so few folds and a family of {len(tested)} "
                                   f"none below {least:.2g} is possible.")
    if dataset is not None and dataset.compare_with_study:
        theirs = published.table("shap_roi_by_fold").groupby("roi")["sum_over_frames_mean_abs_shap"].mean()
        table["published"] = table["roi"].map(theirs)
    return table


def ground_truth(dataset):
    """Share of the variance of each ROI that running drives through neurons, as simulated, a row a ROI, and a statement
    on it; see :func:`decoding_book.chapters.regions.ground_truth`."""
    return regions.ground_truth(dataset, {str(i + 1): (i + 1,) for i in range(dataset.recordings[0].n_roi)})


def against_truth(by_roi, truth, label, ax):
    """Sum over the window against a truth of a simulated world, both of shape (n_roi,): the eight largest are named."""
    ax.plot(truth, by_roi, "o", color=DECODED, alpha=0.7, ms=5)
    for roi in np.argsort(-by_roi)[:8]:
        ax.annotate(str(roi + 1), (truth[roi], by_roi[roi]), xytext=(4, 2), textcoords="offset points", fontsize=8)
    ax.set(xlabel=label, ylabel="mean |SHAP|, sum over the window")
    ax.text(0.02, 0.98, f"rank r = {rank_agreement(by_roi, truth):.2f}", transform=ax.transAxes, va="top", fontsize=9)
    return ax


def tidy(maps, nulls, ms):
    """Sums over the window by ROI and over ROIs by frame, a row each: ``decoder`` (trained or null), ``fold``,
    ``animal``, ``axis`` (roi, or ms of the frame, which are given), ``at``, ``value``."""
    return pd.DataFrame([
        {"decoder": decoder, "fold": m.fold, "animal": m.animal, "axis": axis, "at": float(at), "value": float(value)}
        for decoder, some in (("trained", maps), ("null", nulls)) for m in some if not m.reason
        for axis, places, values in (("roi", range(1, 1 + m.mean_abs.shape[1]), m.by_roi), ("ms", ms, m.by_frame))
        for at, value in zip(places, values, strict=True)])


def stored_agreement():
    """Deep SHAP against sampled interventional Shapley values on a trained network, as measured and stored: a table,
    and a dict on model, data, seed and code. ``players``: what is switched together. ``r``: over windows and players;
    ``reliability``: of the sampled values, whose root is the largest r to be expected; ``r_of_maps``: of mean absolute
    values. DataError: the file is missing or not such a measurement."""
    path = cards.stored_folder() / "shapley_agreement.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return pd.DataFrame(content.pop("rows")), content
    except (OSError, ValueError, KeyError) as error:
        raise DataError(path, str(error), "a stored agreement", "run benchmarks/shapley_agreement.py") from error


def card_scores(maps, nulls, past_frames):
    """Scores for the card: AUC; sums over the window of all ROIs, of the named ones by fold as well; then values of the
    named ones at :data:`PEAK_FRAME`. Sums of other ROIs have a scope that a regression test passes over."""
    scores = []
    for suffix, some in (("", maps), (" null", nulls)):
        known = [m for m in some if not m.reason]
        if not known:
            continue
        scores += cards.summarise(f"decoder{suffix}", [m.auc for m in known])[:1]
        for roi, values in enumerate(np.transpose([m.by_roi for m in known]), start=1):
            mean = cards.summarise(f"ROI {roi}{suffix}", values, "sum_abs_shap")[0]
            named = roi in NAMED and not suffix
            scores.append(mean if named else mean.model_copy(update={"scope": f"over {len(known)} folds, mean"}))
        scores += [cards.Score(model=f"ROI {roi}{suffix}", metric="sum_abs_shap", scope=f"fold {m.fold}",
                         value=float(m.by_roi[roi - 1])) for m in known for roi in NAMED if roi <= len(m.by_roi)]
    values = np.array([m.mean_abs for m in maps if not m.reason])
    if past_frames + PEAK_FRAME < values.shape[1]:
        scores += [cards.summarise(f"ROI {roi}", values[:, past_frames + PEAK_FRAME, roi - 1],
                             f"abs_shap_at_frame_{PEAK_FRAME}")[0] for roi in NAMED if roi <= values.shape[2]]
    return scores
