"""Sets of ROIs, decoders that are given one of them, and what a group of ROIs is worth to a decoder, as in Figs 6 and
S6 of Ajioka et al. 2024, DOI 10.1371/journal.pcbi.1011074. Kept alone a group shows what it holds; left out with a
refit, what nobody else holds; set to a constant without one, how much the decoder leant on it."""

import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from calcium_decoding import simulation
from calcium_decoding.data import published
from calcium_decoding.evaluation import statistics

LIMBS = (6, 8, 31, 33)  # FLa and HLa of both hemispheres: the only ROIs whose areas the study states
N_STUDY = 50
MOST_GROUPS = 12  # of names: each costs two refits on every fold
ALONE, REFIT = "kept alone", "left out, refitted"
FILLS = {"zero": "set to 0, not refitted", "mean": "set to its mean, not refitted"}


@dataclass(frozen=True)
class RoiSets:
    """Sets of ROIs that a data set allows, tuples of numbers from 1 by name, and their keys in the published tables.
    ``n_roi``: None where recordings differ. ``groups``: areas that do not overlap. ``statement``: what they are, or why
    none."""

    n_roi: int | None
    groups: dict
    limbs: dict = field(default_factory=dict)
    sides: dict = field(default_factory=dict)
    statement: str = ""
    published: dict = field(default_factory=dict)

    @property
    def all(self):
        """Name of the set of all ROIs."""
        return "all ROIs" if self.n_roi is None else f"all {self.n_roi}"

    def everything(self):
        """ROIs that stay, by name of the set: all (which is empty), limbs, groups, all but each group, sides."""
        others = {left_out(group): tuple(roi for roi in range(1, self.n_roi + 1) if roi not in rois)
                  for group, rois in self.groups.items()}
        return {self.all: (), **self.limbs, **self.groups, **others, **self.sides}


def left_out(group):
    """Name of the set of all ROIs but those of a group."""
    return f"without {group}"


def sets_of(dataset):
    """The RoiSets of a data set: the study's five groups of eight, where it has the study's 50 ROIs. Elsewhere groups
    are read from names of ROIs such as ``"M1_left"`` or ``"V1-2"``: what stands before the first of ``- _ . : /`` or a
    blank is the area. Recordings that have neither get none."""
    names = {r.roi_names for r in dataset.recordings}
    if len(names) > 1:
        return RoiSets(None, {}, statement="no groups of areas: recordings differ in their ROIs")
    names = next(iter(names))
    numbered = names == tuple(str(i + 1) for i in range(len(names)))
    if numbered and len(names) == N_STUDY and (dataset.compare_with_study or dataset.simulated):
        return study_sets()
    groups, statement = _groups_by_name(names)
    return RoiSets(len(names), groups, statement=statement)


def study_sets():
    """The RoiSets of the study's 50 ROIs."""
    table = published.roi_table()
    of_group, sides = (table.groupby(by)["roi"].agg(tuple) for by in ("group", "hemisphere"))
    names = {group: group.replace("_", "&") for group in published.GROUPS}
    limbs = {"FLa&HLa": LIMBS, "Other": tuple(table.loc[~table["roi"].isin(LIMBS), "roi"])}
    keys = {name: ("roi_rnn_region_8", "GRU", group) for group, name in names.items()}
    keys |= {name: ("roi_rnn_region_4", "GRU", variant) for name, variant in (
        ("FLa&HLa", "FLa_HLa"), ("Other", "other_46"), (f"all {N_STUDY}", "all_50"))}
    return RoiSets(N_STUDY, {name: of_group[group] for group, name in names.items()}, limbs,
                   {side: sides[side] for side in ("left", "right")},
                   "the study's: FLa&HLa (ROIs 6, 8, 31, 33), the other 46, five groups of eight", keys)


def _groups_by_name(names):
    groups = {}
    for number, name in enumerate(names, start=1):
        groups.setdefault(re.split(r"[-_.:/\s]", name.strip())[0], []).append(number)
    what = f"{len(names)} ROIs that are not the study's"
    if not all(re.search(r"[^\W\d]", group) for group in groups) or len(groups) < 2 or len(groups) > len(names) / 2:
        return {}, (f"no groups of areas: {what}, and whose names do not tell areas; names such as 'M1_left' and "
                    "'M1_right' would")
    if len(groups) > MOST_GROUPS:
        return {}, f"no groups of areas: {what}, with {len(groups)} areas by name; at most {MOST_GROUPS} are compared"
    groups = {group: tuple(rois) for group, rois in groups.items()}
    return groups, f"{what}, by their names: " + ", ".join(f"{group} ({len(rois)})" for group, rois in groups.items())


def restricted(experiment, sets):
    """The same experiment for each set of :meth:`RoiSets.everything`, by name: all other ROIs are 0 in every window."""
    return {name: experiment.with_(preprocessing={**experiment.recipe, "only_rois": list(rois)}) if rois
            else experiment for name, rois in sets.everything().items()}


def effects(found, sets, masked=None):
    """What each group is worth on each test animal, mean over its folds. ``found``: results of :func:`restricted`;
    ``masked``: of ``occlusion.mask_rois``. ``value``: the AUC of the group by itself for :data:`ALONE`, the AUC lost on
    folds matched by name for other ways; ``converged``: whether all trainings that it compares have."""
    auc = pd.DataFrame({result.name: result.values() for result in found}).rename_axis("fold")
    by_way = {ALONE: auc[[*sets.groups]],
              REFIT: pd.DataFrame({group: auc[sets.all] - auc[left_out(group)] for group in sets.groups})}
    if masked is not None and len(masked):
        masked = masked.pivot_table("auc", "fold", ["fill", "group"], sort=False)
        by_way |= {way: -masked[fill].sub(masked["none", ""], axis="index") for fill, way in FILLS.items()}
    table = pd.concat(by_way, names=["way", "fold"]).melt(ignore_index=False, var_name="group").reset_index()
    table["animal"] = table["fold"].map({fold.fold: fold.test_group for result in found for fold in result.folds})
    means = table.dropna().groupby(["group", "way", "animal"], sort=False)["value"].mean().reset_index()
    unconverged = {result.name for result in found if result.not_converged()}
    return means.assign(simulated=any(result.simulated for result in found), converged=[
        unconverged.isdisjoint({ALONE: {group}, REFIT: {sets.all, left_out(group)}}.get(way, {sets.all}))
        for group, way in zip(means["group"], means["way"], strict=True)])


def bounds(way):
    """Least and largest value of what :func:`effects` has in a way."""
    return statistics.bounds_of("auc", difference=way != ALONE)


def worth(effects):
    """Mean over animals with its 95 % t interval, where there are several, as text: a row a group, a column a way."""
    rows = {}
    for (group, way), values in effects.groupby(["group", "way"], sort=False)["value"]:
        rows.setdefault(group, {"group": group})[way] = mean_and_interval(values, bounds(way))
    return pd.DataFrame(rows.values())


def mean_and_interval(values, bounds=(-np.inf, np.inf)):
    """Mean over animals with its 95 % t interval within bounds, where there are several, as text."""
    if len(values) < 2:
        return f"{np.mean(values):.3f}"
    return "{:.3f} ({:.3f} to {:.3f})".format(*statistics.t_interval(values, bounds))


def ground_truth(dataset, groups):
    """What the simulation put into each group, empty where its truth cannot be had, and a statement. ``share_driven``:
    share of variance that running drives through neurons, mean over ROIs and sessions; ``sustained``, ``stride``: %
    dF/F."""
    truth, statement = simulation.planted(dataset)
    if not truth or not groups:
        return pd.DataFrame(), "no planted truth: there are no groups" if truth else statement
    shares = np.mean([truth[name] for name in truth if name.startswith("share_driven/")], axis=0)
    values = {"share_driven": shares, "sustained": truth["sustained"], "stride": truth["stride"]}
    by_roi = pd.DataFrame(values, index=range(1, len(shares) + 1))
    table = pd.DataFrame({group: by_roi.loc[list(rois)].mean() for group, rois in groups.items()}).T
    return table.rename_axis("group").reset_index().assign(simulated=True), statement
