"""What Deep SHAP maps say, as tables and scores: which ROIs stand out, and were they planted."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from calcium_decoding import confidence, deep_shap, published, region_effects, regions, results, statistics
from calcium_decoding.errors import DataError
from calcium_decoding.files import hash_content, source_digest
from calcium_decoding.results import Score, summarise

# What the ledger asks for: frames after the labelled one, and the ROIs whose areas the study states, with the next.
PEAK_FRAME, NAMED = 3, (*regions.LIMBS, 9)


def mean_map(maps):
    """Mean over folds, shape (length, n_roi), of :func:`run`; None where no fold has a map."""
    known = [m.mean_abs for m in maps if not m.reason]
    return np.mean(known, axis=0) if known else None


def warning(maps):
    """What to say in red above a map: its decoders are not above chance, or there are none; empty if all is well.

    Above chance means that the 95 % t interval of the AUC over test animals (over folds, if one animal is tested)
    lies above 0.5.
    """
    known = [m for m in maps if not m.reason]
    if not known:
        return "NO MAP: no fold has a score"
    aucs = statistics.by_animal([m.auc for m in known], [m.animal for m in known]).to_numpy()
    if len(aucs) < 2:
        aucs = np.array([m.auc for m in known])
    low = confidence.t_interval(aucs).low if len(aucs) > 1 else aucs[0]
    if len(aucs) < 2:
        return f"ONE FOLD ONLY (AUC {aucs[0]:.2f}): not known to be above chance"
    return f"NOT ABOVE CHANCE (AUC {aucs.mean():.2f}): this map means nothing" if low <= 0.5 else ""


def roi_table(maps, nulls=(), dataset=None):
    """Sum over the window by ROI, with the study's test against the null.

    Parameters
    ----------
    maps, nulls : sequence of FoldMap
    dataset : Dataset, optional
        Published values stand beside where it is the study's own.

    Returns
    -------
    pandas.DataFrame
        ``roi`` (from 1), ``mean`` and ``sd`` over folds, and with a null ``null``, ``p_holm`` and ``stars``: rank-sum
        over folds, Holm over ROIs. A ROI whose values are all equal, such as a silent one, has no p.
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


def planted(dataset):
    """Share of the variance of each ROI that running drives through neurons, as planted.

    Returns
    -------
    table : pandas.DataFrame
        A row a ROI; see :func:`calcium_decoding.region_effects.planted`. Empty where there is no truth.
    statement : str
    """
    n_roi = dataset.recordings[0].n_roi
    sets = regions.RoiSets(n_roi, {str(roi): (roi,) for roi in range(1, n_roi + 1)})
    return region_effects.planted(dataset, sets)


def agreement(maps, truth):
    """How well the ROIs with large values are those with large planted drive.

    Parameters
    ----------
    maps : sequence of FoldMap
    truth : DataFrame
        Of :func:`planted`.

    Returns
    -------
    pandas.DataFrame
        Spearman's rank correlation over ROIs, and of the eight ROIs with the largest planted share how many are among
        the eight with the largest values (``n * 8 / n_roi`` by chance). Empty without truth or maps.
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
    return hash_content({path.name: source_digest(path) for path in Path(deep_shap.__file__).parent.glob("*.py")})


def stored_agreement():
    """Deep SHAP against sampled interventional Shapley values on a trained network, as it was measured and stored.

    Returns
    -------
    table : pandas.DataFrame
        ``players`` (what is switched together), ``output``, ``windows`` explained, ``r`` over windows and players,
        ``reliability`` (of the sampled values: the largest r that can be expected is its root), ``r_of_maps`` (of mean
        absolute values), ``rms_error_over_rms`` and others.
    about : dict
        Model, data, seed and code.

    Raises
    ------
    DataError
        The file is missing or not such a measurement.
    """
    path = results.stored_folder() / "shapley_agreement.json"
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
