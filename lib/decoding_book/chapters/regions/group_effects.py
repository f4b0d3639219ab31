"""What a group of ROIs is worth to a decoder: kept alone, left out with a refit, or set to a constant without one.

Alone it shows what it holds; left out, what nobody else holds; set to a constant, how much the decoder leant on it.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats

from calcium_decoding.data import catalog
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import statistics
from calcium_decoding.evaluation.cards import Score, summarise
from calcium_decoding.experiments import compare
from calcium_decoding.experiments.engine import Experiment
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.preprocessing.windows import WindowSpec
from calcium_decoding.simulation import widefield
from decoding_book.chapters.regions import roi_sets

ALONE, REFIT = "kept alone", "left out, refitted"
FILLS = {"zero": "set to 0, not refitted", "mean": "set to its mean, not refitted"}


def effects(found, sets, without_refit=None):
    """What each group is worth on each test animal, mean over its folds; ``without_refit``: of ``occlusion.mask_rois``.

    ``value`` is the AUC of the group by itself for :data:`ALONE`, the AUC lost on folds matched by name for other ways.
    """
    by_name = {result.name: result for result in found}
    whole, rows = by_name[sets.all].values(), []
    group_of = {fold.fold: fold.test_group for result in found for fold in result.folds}
    for group in sets.groups:
        rows += [(group, ALONE, fold, auc) for fold, auc in by_name[group].values().items()]
        rows += [(group, REFIT, fold, whole[fold] - auc)
                 for fold, auc in by_name[roi_sets.left_out(group)].values().items() if fold in whole]
    table = pd.DataFrame(rows, columns=["group", "way", "fold", "value"])
    table["animal"] = table["fold"].map(group_of)
    if without_refit is not None and len(without_refit):
        is_whole = without_refit["group"] == ""
        unmasked, rows = without_refit[is_whole].set_index("fold")["auc"], without_refit[~is_whole]
        rows = rows.assign(way=rows["fill"].map(FILLS), value=rows["fold"].map(unmasked) - rows["auc"])
        table = pd.concat([table, rows[table.columns]])
    table = table.groupby(["group", "way", "animal"], sort=False)["value"].mean().reset_index()
    return table.assign(simulated=any(result.simulated for result in found))


def effect_table(table):
    """Mean over animals with its 95 % t interval, a row a group, a column a way; see :func:`effects`."""
    if table.empty:
        return pd.DataFrame()
    cells = {}
    for (group, way), values in table.groupby(["group", "way"], sort=False)["value"]:
        sign = "" if way == ALONE else "+"
        text = f"{values.mean():{sign}.3f}"
        if len(values) > 1:
            interval = statistics.t_interval(values)
            text += f" ({interval.low:{sign}.3f} to {interval.high:{sign}.3f})"
        name = f"{way}: {'AUC' if way == ALONE else 'AUC lost'}"
        cells.setdefault(group, {"group": group})[name] = text
    return pd.DataFrame(cells.values())


def ground_truth(dataset, sets):
    """What the simulation put into each group, empty where its truth cannot be had, and a statement that says so.

    ``share_driven``: share of the variance of its ROIs that running drives through neurons, mean over ROIs and
    sessions; ``sustained``, ``stride``: mean gains in % dF/F.
    """
    if not dataset.simulated:
        return pd.DataFrame(), "no planted truth: the data are not simulated"
    if not sets.groups:
        return pd.DataFrame(), "no planted truth: there are no groups"
    try:
        entry = catalog.load_manifest().entry(dataset.name)
        path = catalog.folder(entry) / "truth.npz"
    except (DataError, ParameterError):
        return pd.DataFrame(), f"no planted truth: '{dataset.name}' is not a simulated set of the manifest"
    if entry.kind != "simulated" or not path.exists():
        return pd.DataFrame(), f"no planted truth beside '{dataset.name}'"
    with np.load(path, allow_pickle=False) as truth:
        shares = np.mean([truth[name] for name in truth.files if name.startswith("share_driven/")], axis=0)
        values = {"share_driven": shares, "sustained": truth["sustained"], "stride": truth["stride"]}
    rows = [{"group": group, "simulated": True} | {name: float(np.mean(value[np.array(rois) - 1]))
                                                   for name, value in values.items()}
            for group, rois in sets.groups.items()]
    return pd.DataFrame(rows), f"planted truth of the world '{entry.world}', from the data set's own truth file"


def agreement(table, truth):
    """Spearman's rank correlation over groups of :func:`effects` and each quantity of :func:`ground_truth`.

    Five groups give no p worth printing.
    """
    if truth.empty or table.empty:
        return pd.DataFrame()
    means = table.groupby(["way", "group"], sort=False)["value"].mean()
    truth, rows = truth.set_index("group").drop(columns="simulated"), []
    for way in dict.fromkeys(table["way"]):
        mine = means[way].loc[truth.index]
        rows.append({"way": way} | {name: float(stats.spearmanr(mine, truth[name]).statistic) for name in truth})
    return pd.DataFrame(rows)


def one_area_world(seed, frames=1200, store=None, jobs=None):
    """Results and :func:`effects` in a small world in which running drives the limb areas (``"FL&HL"``) alone.

    Three animals, three sessions each, in memory; logistic regression on one frame, which takes seconds.
    """
    dataset = widefield.dataset(widefield.SimulationSettings(
        world="single_area", animals=3, sessions_per_animal=3, seed=seed, frames_per_session=frames))
    sets = replace(roi_sets.sets_of(dataset), limbs={}, sides={}, published={})
    experiment = Experiment(dataset, "animal_pairs", Traces("published", WindowSpec(0, 0)),
                            training=TrainingSettings(seed=seed))
    found = compare.run(roi_sets.conditions_of(experiment, sets, "logistic"), store, jobs, label="one driven area")
    return found, effects(found, sets)


def cost_of_selection(scores, found):
    """What is lost by choosing on other animals, and what is feigned by choosing on the tested ones.

    ``scores``: of :func:`calcium_decoding.experiments.nested.run`. ``found``: its candidates on all folds.
    """
    scores = scores.dropna(subset="AUC") if len(scores) else scores
    if scores.empty:
        return pd.DataFrame()
    tested = pd.DataFrame({result.name: result.by_animal() for result in found}).loc[scores["tested on"]]
    best = tested.mean().idxmax()
    rows = [("on the other animals, for each tested one", ", ".join(dict.fromkeys(scores["chosen on the others"])),
             scores["AUC"].mean()),
            ("in hindsight, one for all", best, tested[best].mean()),
            ("in hindsight, one for each", ", ".join(dict.fromkeys(tested.idxmax(axis=1))), tested.max(axis=1).mean())]
    return pd.DataFrame(rows, columns=["choice", "set", "AUC"])


def card_scores(table):
    """AUC lost without each group, means over animals of :func:`effects`, as scores of a result card.

    The scope does not begin with "mean of", so that a regression test passes over them: differences near 0 are rounded
    to either sign.
    """
    lost = table[table["way"] != ALONE].groupby(["group", "way"], sort=False)["value"]
    return [Score(model=f"{group} {way}", metric="auc_lost", scope=f"loss, mean of {len(values)} animals",
                  value=float(values.mean()), sd=float(values.std(ddof=1)) if len(values) > 1 else None, n=len(values))
            for (group, way), values in lost]


def world_scores(found):
    """All ROIs, the driven group, and all but that in :func:`one_area_world`, as scores of a result card."""
    driven = widefield.WORLDS["single_area"].only_group.replace("_", "&")
    return [summarise(f"{result.name} (simulated, one driven area)", result.values().values())[0]
            for result in found if result.name in (found[0].name, driven, roi_sets.left_out(driven))]


def agreement_scores(table):
    """Rank correlations of :func:`agreement`, as scores of a result card."""
    return [Score(model=row["way"], metric=f"spearman_r_{name}", scope="over groups", value=row[name])
            for row in table.to_dict("records") for name in row if name != "way" and np.isfinite(row[name])]
