"""Sets of ROIs, decoders that are given one of them, and how ROIs go with running.

As in Figs 6 and S6 of Ajioka et al. 2024, DOI 10.1371/journal.pcbi.1011074.
"""

import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from calcium_decoding.data import published
from calcium_decoding.evaluation import cards
from calcium_decoding.experiments.compare import Condition
from calcium_decoding.preprocessing import MovingMeanBaseline
from decoding_book.chapters.data_tour import pearson

LIMBS = (6, 8, 31, 33)  # FLa and HLa of both hemispheres: the only ROIs whose areas the study states
N_STUDY = 50
MOST_GROUPS = 12  # of names: each costs two refits on every fold


@dataclass(frozen=True)
class RoiSets:
    """Sets of ROIs that a data set allows, tuples of numbers from 1 by name, and their keys in the published tables.

    ``n_roi``: None where recordings differ in their ROIs. ``groups``: areas that do not overlap. ``statement``: what
    the sets are, or why there are none.
    """

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

    def without(self, group):
        """Numbers of all ROIs but those of one group."""
        return tuple(roi for roi in range(1, self.n_roi + 1) if roi not in self.groups[group])

    def everything(self):
        """ROIs that stay, by name of the set: all (which is empty), limbs, each group, all but each group, sides."""
        kept = {self.all: (), **self.limbs, **self.groups}
        return kept | {left_out(group): self.without(group) for group in self.groups} | self.sides


def left_out(group):
    """Name of the set of all ROIs but those of a group."""
    return f"without {group}"


def sets_of(dataset):
    """The RoiSets of a data set: the study's five groups of eight, where it has the study's 50 ROIs.

    Elsewhere groups are read from names of ROIs such as ``"M1_left"`` or ``"V1-2"``: what stands before the first of
    ``- _ . : /`` or a blank is the area. Recordings that have neither get none.
    """
    names = {r.roi_names for r in dataset.recordings}
    if len(names) > 1:
        return RoiSets(None, {}, statement="no groups of areas: recordings differ in their ROIs")
    names = next(iter(names))
    numbered = names == tuple(str(i + 1) for i in range(len(names)))
    if numbered and len(names) == N_STUDY and (dataset.compare_with_study or dataset.simulated):
        return _study_sets()
    groups, statement = _groups_by_name(names)
    return RoiSets(len(names), groups, statement=statement)


def _study_sets():
    table = published.roi_table()
    groups = {group: tuple(int(roi) for roi in table.loc[table["group"] == group, "roi"])
              for group in published.GROUPS}
    keys = {_words(group): ("roi_rnn_region_8", "GRU", group) for group in groups}
    keys |= {"FLa&HLa": ("roi_rnn_region_4", "GRU", "FLa_HLa"), "Other": ("roi_rnn_region_4", "GRU", "other_46"),
             f"all {N_STUDY}": ("roi_rnn_region_4", "GRU", "all_50")}
    limbs = {"FLa&HLa": LIMBS, "Other": tuple(int(roi) for roi in table["roi"] if roi not in LIMBS)}
    sides = {side: tuple(int(roi) for roi in table.loc[table["hemisphere"] == side, "roi"])
             for side in ("left", "right")}
    return RoiSets(N_STUDY, {_words(group): rois for group, rois in groups.items()}, limbs, sides,
                   "the study's: FLa&HLa (ROIs 6, 8, 31, 33), the other 46, five groups of eight", keys)


def _words(group):
    return group.replace("_", "&")


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


def restricted(experiment, rois):
    """The same experiment with all ROIs but some (all, if empty) set to 0, in training, validation and test."""
    if not len(rois):
        return experiment
    return experiment.with_(preprocessing={**experiment.recipe, "only_rois": list(rois)})


def conditions_of(experiment, sets, model="gru", names=None):
    """A Condition for each set of :meth:`RoiSets.everything`, or some; published figures stand beside a GRU alone."""
    return [Condition(name, restricted(experiment, rois), model,
                      published=sets.published.get(name) if model == "gru" else None)
            for name, rois in sets.everything().items() if names is None or name in names]


def pick(found, names):
    """Those of the results whose condition has one of the names, in the order of the names."""
    by_name = {result.name: result for result in found}
    return [by_name[name] for name in names if name in by_name]


def correlations(dataset, baseline_frames=1000, target="run"):
    """Pearson correlation of each ROI, baseline subtracted and not scaled, with a label of 0 and 1, in each recording.

    As in S6 Fig. ROIs are counted from 1. No row for a recording without both classes and for a ROI that is silent in
    a recording: they have no correlation.
    """
    rows = []
    for recording in dataset.recordings:
        label = recording.behaviour[target]
        if len(np.unique(label)) < 2:
            continue
        signal = MovingMeanBaseline(baseline_frames).transform(recording.signal).astype(np.float64)
        r = pearson(signal, label.astype(float))
        active = np.flatnonzero(np.isfinite(r))
        rows.append(pd.DataFrame({"animal": recording.animal, "recording": recording.id, "roi": active + 1,
                                  "r": r[active]}))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["animal", "recording", "roi", "r"])


def correlation_table(table, sets, dataset):
    """Correlation with running by ROI: over sessions (population SD, as published), and by animal (sample SD).

    ``published`` where the data are the study's or imitate its design. Empty where recordings differ in their ROIs.
    """
    if sets.n_roi is None:
        return pd.DataFrame()
    group = {roi: name for name, rois in sets.groups.items() for roi in rois}
    rows = []
    for roi, mine in table.groupby("roi"):
        animals = mine.groupby("animal", sort=False)["r"].mean()
        rows.append({"roi": int(roi), "group": group.get(roi, "none"), "sessions": len(mine), "mean": mine["r"].mean(),
                     "sd_population": mine["r"].std(ddof=0) if len(mine) > 1 else np.nan, "animals": len(animals),
                     "mean_of_animals": animals.mean(),
                     "sd_animals": animals.std()})
    found = pd.DataFrame(rows)
    if sets.published and (dataset.compare_with_study or dataset.simulated):
        found["published"] = found["roi"].map(published.roi_run_correlation())
    return found


def correlation_summary(by_roi):
    """Means over ROIs of :func:`correlation_table`, a row a group and one for all; SD is over ROIs, sample."""
    if by_roi.empty:
        return pd.DataFrame()
    rows, groups = [], dict(iter(by_roi.groupby("group", sort=False)))
    last = groups.pop("none", None)  # after the groups: ROIs that are in none
    for name, mine in [*groups.items(), *([("none", last)] if last is not None and groups else []), ("all", by_roi)]:
        row = {"group": name, "ROIs": len(mine), "mean r": mine["mean"].mean(),
               "SD over ROIs": mine["mean"].std(),
               "SD over sessions, mean of ROIs": mine["sd_population"].mean(skipna=False),
               "mean r of animals": mine["mean_of_animals"].mean(),
               "SD over animals, mean of ROIs": mine["sd_animals"].mean(skipna=False)}
        if "published" in mine:
            row["published mean r, real mice"] = mine["published"].mean()
        rows.append(row)
    return pd.DataFrame(rows)


def card_scores(table, by_roi):
    """Correlation with running, mean and least, as scores of a result card: the study says that all are positive."""
    values, unit = (table["r"], "ROIs of recordings") if by_roi.empty else (by_roi["mean"], "ROIs")
    if not len(values):
        return []
    least = cards.Score(model="ROI", metric="pearson_r", scope=f"smallest of {len(values)} {unit}",
                        value=float(values.min()))
    return [*cards.summarise("ROI", values, "pearson_r", unit), least]
