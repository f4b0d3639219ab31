"""Do maps mean anything? Each method held against truth, random weights, random maps, other folds and flat time."""

import textwrap
from itertools import permutations

import numpy as np
import pandas as pd

from calcium_decoding.evaluation import cards, statistics
from calcium_decoding.explain import attribution, shap_maps
from calcium_decoding.explain.attribution import METHODS
from decoding_book.chapters.map_tests.scenarios import planted_lag_frames

DRIVEN = 8  # ROIs that running drives in the world single_area; as many are looked for elsewhere
# Name of a test: what it measures, and what is wanted.
TESTS = {
    "planted": ("rank correlation with the planted drive", "near 1"),
    "precision": ("of the 8 most driven ROIs, share among the 8 largest", "1; 0.16 by chance"),
    "single_area": ("the same where running drives 8 ROIs only", "1; 0.16 by chance"),
    "haemodynamics_only": ("rank correlation with blood, where blood alone follows running", "says what maps follow"),
    "motion_artefact_only": ("rank correlation with movement, where that alone follows", "says what maps follow"),
    "lag": ("shift of the centre between the worlds lead and lag, of that planted", "1"),
    "asymmetry": ("left-right asymmetry more than planted", "near 0"),
    "readout": ("rank correlation with the map of a shuffled read-out", "near 0"),
    "all": ("rank correlation with the map of shuffled weights", "near 0"),
    "labels": ("rank correlation with the map of labels of other sessions", "near 0"),
    "deletion": ("AUC lost beyond smooth random maps, largest ROIs left out first", "above 0"),
    "insertion": ("AUC won beyond smooth random maps, largest ROIs put in first", "above 0"),
    "animals": ("rank correlation between test animals", "near 1"),
    "folds": ("rank correlation between folds of a test animal", "near 1"),
    "seeds": ("rank correlation between first weights of a fold", "near 1"),
    "late": ("where all frames say the same: last third over first", "1"),
}
# Least and largest value of a test, for intervals; of others that of a rank correlation or of a difference of AUCs.
BOUNDS = {"precision": (0, 1), "single_area": (0, 1), "asymmetry": (-2, 2), "late": (0, np.inf),
          "lag": (-np.inf, np.inf)}


def usable(found):
    """The Examined decoders of folds that have a map."""
    return [one for one in found if not one.reason]


def rows_of(found, truth=None, nulls=(), again=(), seeds=(), worlds=None, flat=()):
    """Every test of every method on every test animal; tests for which there is nothing have no rows. Examined
    decoders: ``found``; ``nulls``, of labels of other sessions; ``again``, of other folds of the same test animals;
    ``seeds``, from other initial weights; ``flat``, where all frames say the same. ``truth`` (shape (n_roi,)):
    simulated drive. ``worlds``: of :func:`.scenarios.examine`."""
    sets = [usable(some) for some in (found, nulls, again, seeds, flat)]
    rows = [(test, method, one.animal, float(value), one.simulated) for method in METHODS
            for test, one, value in (*_of_folds(method, truth, *sets), *_in_worlds(method, worlds or {}))]
    return pd.DataFrame(rows, columns=["test", "method", "animal", "value", "simulated"])


def _of_folds(method, truth, found, nulls, again, seeds, flat):
    for one in found:
        mine = one.by_roi(method)
        if truth is not None:
            yield "planted", one, attribution.rank_agreement(mine, truth)
            yield "precision", one, attribution.precision_at(mine, truth, DRIVEN)
            yield "asymmetry", one, attribution.asymmetry(mine) - attribution.asymmetry(truth)
        for state in [state for state in one.maps if state != "trained"]:
            yield state, one, attribution.rank_agreement(mine, one.by_roi(method, state))
        if one.curves:
            ours, smooth = (np.mean(one.curves[name], axis=1) for name in (method, f"smooth {method}"))
            yield "deletion", one, smooth[0] - ours[0]
            yield "insertion", one, ours[1] - smooth[1]
        for test, others in (("labels", nulls), ("folds", again), ("seeds", seeds)):
            for other in others:  # the same fold, or for "folds" another fold of the same test animal
                if one.animal == other.animal and (one.fold == other.fold) == (test != "folds"):
                    yield test, one, attribution.rank_agreement(mine, other.by_roi(method))
    for one, other in permutations(found, 2):
        if one.animal != other.animal:
            yield "animals", one, attribution.rank_agreement(one.by_roi(method), other.by_roi(method))
    for one in flat:
        if (by_frame := one.by_frame(method)) is not None:
            yield "late", one, attribution.late_over_early(by_frame)


def _in_worlds(method, worlds):
    for name, (found, truth) in worlds.items():
        for one in usable(found):
            if name == "single_area":
                yield name, one, attribution.precision_at(one.by_roi(method), truth, DRIVEN)
            elif planted_lag_frames(name) is None:
                yield name, one, attribution.rank_agreement(one.by_roi(method), truth)
    if {"lead", "lag"} <= set(worlds):
        lead, lag = ({one.animal: one for one in usable(worlds[name][0])} for name in ("lead", "lag"))
        planted = planted_lag_frames("lag") - planted_lag_frames("lead")
        for animal in [a for a in lead if a in lag and lead[a].by_frame(method) is not None]:
            first, then = (attribution.centre_of_frames(one[animal].by_frame(method), 0) for one in (lead, lag))
            yield "lag", lead[animal], (then - first) / planted


def by_animal(rows):
    """``mean``, ``low`` and ``high`` (95 % t interval; NaN if all equal) over ``animals`` of a test and method."""
    found = []
    for (test, method), some in rows.groupby(["test", "method"], sort=False):
        values = statistics.by_animal(some["value"].to_numpy(), some["animal"].to_numpy()).to_numpy()
        low, high = statistics.t_interval(values, BOUNDS.get(test, (-1, 1)))[1:] if np.ptp(values) else [np.nan] * 2
        found.append({"test": test, "method": method, "mean": float(values.mean()), "low": low, "high": high,
                      "animals": len(values)})
    return pd.DataFrame(found, columns=["test", "method", "mean", "low", "high", "animals"])


def table(rows):
    """A row a test, a column a method: mean with its interval over animals; a dash where a method cannot be tested."""
    means = by_animal(rows)
    # Two animals have an interval by Student's t, and it says nothing: thirteen times as wide as their distance.
    means["cell"] = [f"{m.mean:.2f}" + f" ({m.low:.2f} to {m.high:.2f})" * (m.animals > 2 and m.low < m.high)
                     for m in means.itertuples()]
    cells = means.pivot_table("cell", "test", "method", aggfunc="first").reindex(columns=METHODS).fillna("–")
    tests = [test for test in TESTS if test in cells.index]
    says = pd.DataFrame([TESTS[test] for test in tests], tests, ["test", "wanted"])
    says["animals"] = means.groupby("test")["animals"].max()
    return says.join(cells.rename(columns=METHODS)).reset_index(drop=True)


def score_table(named):
    """AUC of named sets of decoders behind the maps; a warning where not above chance or not converged."""
    rows = []
    for name, found in named.items():
        known = usable(found)
        aucs = {} if not known else {"AUC, network": np.mean([one.auc for one in known]),
                                     "AUC, logistic": np.mean([one.auc_logistic for one in known])}
        rows.append({"decoders": name, "folds": len(known), **aucs, "warning": shap_maps.warning(found)})
    return pd.DataFrame(rows)


def advice(rows):
    """What to do, as it follows from the table, with rule and numbers: lines of 84 characters; empty without rows."""
    means = by_animal(rows).set_index(["test", "method"])
    tests = {test for test, _ in means.index}
    said = []

    def of(test, key="mean"):
        return means.loc[test][key]

    def names(methods):
        return ", ".join(METHODS[m] for m in methods) or "none"

    if "planted" in tests:
        ranked = of("planted").sort_values(ascending=False)
        said.append(f"To ask where the brain follows behaviour, begin with {METHODS[ranked.index[0]]}: its order comes "
                    f"nearest to the planted one (r = {ranked.iloc[0]:.2f}; {METHODS[ranked.index[-1]]} is last with "
                    f"{ranked.iloc[-1]:.2f}).")
    if "all" in tests:
        blind = [m for m in means.loc["all"].index if of("all")[m] > 0.5]
        said.append(f"To ask what a network learnt, do not use a method whose map outlives shuffled weights "
                    f"(r above 0.5): {names(blind)}." if blind else
                    "No method's map outlives shuffled weights (all r at most 0.5), so none shows the input alone.")
    if "readout" in tests and (kept := [m for m in means.loc["readout"].index if of("readout")[m] > 0.5]):
        said.append(f"Shuffle all weights for that test: a shuffled read-out alone leaves much of the map (r above "
                    f"0.5) by {names(kept)}.")
    if "deletion" in tests and len(of("deletion", "low").dropna()):
        better = [m for m in means.loc["deletion"].index if of("deletion", "low")[m] > 0]
        others = [m for m in means.loc["deletion"].index if m not in better]
        said.append(f"Left out first, the ROIs of these methods cost surely more AUC than those of smooth random maps: "
                    f"{names(better)}"
                    + ("; of the others that cannot be told from these folds." if others else "."))
    if {"animals", "seeds"} <= tests:
        seeds, animals = of("seeds")["deep_shap"], of("animals")["deep_shap"]
        said.append(f"Deep SHAP of one fold from other first weights agrees at r = {seeds:.2f}, of other animals at "
                    f"{animals:.2f}: average over several first weights and all folds before naming a ROI"
                    + (", and show the spread." if min(seeds, animals) < 0.9 else "."))
    worlds = [w for w in ("haemodynamics_only", "motion_artefact_only") if w in tests]
    if worlds:
        follows = "; ".join(f"{w.split('_')[0]} r = {of(w)['deep_shap']:.2f}" for w in worlds)
        said.append(f"Where blood or movement alone follows running there is a map all the same (Deep SHAP with the "
                    f"truth of that world: {follows}): a map never tells neurons from these. Measure them, and decode "
                    f"from them alone.")
    if "late" in tests:
        late = of("late")["deep_shap"]
        said.append(f"Where all frames say the same, Deep SHAP gives the last third {late:.1f} times the first: "
                    + ("do not read a late peak as timing before the network was also trained on the film played "
                       "backwards." if late > 1.25 else "late frames are not favoured by much here."))
    return textwrap.fill(" ".join(said), 72)


def card_scores(rows, found):
    """Scores for the result card; what varies with rounding has a scope that a regression test passes over."""
    known = usable(found)
    return [cards.summarise("decoder", [one.auc for one in known])[0],
            cards.summarise("logistic", [one.auc_logistic for one in known])[0],
            *(cards.Score(model=METHODS[row["method"]], metric=f"map_{row['test']}", n=row["animals"],
                    scope=f"over {row['animals']} animals, mean", value=row["mean"])
              for row in by_animal(rows).to_dict("records"))]
