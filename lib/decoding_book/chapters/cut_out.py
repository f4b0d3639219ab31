"""Chapter 22: maps of cut-outs, shape (n_folds, 8, 8), their peak and its mirror image, and what lies there."""

import textwrap
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy import stats

from calcium_decoding import simulation
from calcium_decoding.errors import DataError
from calcium_decoding.evaluation import cards, convergence, statistics
from calcium_decoding.experiments import compare, stored
from calcium_decoding.explain import occlusion, patches, shap_maps
from calcium_decoding.plotting.brain import outlines
from calcium_decoding.plotting.style import WARNING, simulated_mark, warned
from calcium_decoding.preprocessing import brain_masks
from calcium_decoding.utils.progress import progress

HALF = patches.GRID // 2
UNIT = "importance (drop in AUC)"
WITH = "map with "  # before a landmark: the score of a fold
PLANTED = {"driven": "neurons, planted", "blood": "blood, planted", "motion": "movement, planted"}
# The squares that the study's notebooks show as best and as its mirror image, and the session and fold they show.
EXAMPLE_SQUARES = {"left square": 10, "right square": 45}
EXAMPLE_SESSION, EXAMPLE_TEST, EXAMPLE_VALID = "20180129_Emx1G6_non_1", "mouse 2", "mouse 1"


def usable(cuts):
    """The FoldOcclusions that have something to show; DataError where none has."""
    stored.require_some([{"reason": cut.reason} for cut in cuts], "occlusion")
    return [cut for cut in cuts if not cut.reason]


def left_less_right(maps):
    """Mean of the left half of a map, shape (..., 8, 8), less that of its right half."""
    return maps[..., :HALF].mean(axis=(-2, -1)) - maps[..., HALF:].mean(axis=(-2, -1))


def largest(cells):
    """Where a map is largest, in words."""
    row, column = np.unravel_index(cells.argmax(), cells.shape)
    return f"row {row + 1}, column {column + 1}"


def peaks(maps, tested, elsewhere=False):
    """Largest cell of the left half of the mean map, and what each fold has there and in its mirror image: a row a
    fold. ``elsewhere``: choose the cell for each fold by the folds that test other animals; nothing if there are none.
    As published it is chosen by the folds that it is read from, which makes it larger than its mirror image by chance
    alone."""
    rows = []
    for animal, mine in zip(tested, maps, strict=True):
        chosen_by = maps[tested != animal] if elsewhere else maps
        if len(chosen_by):
            left_half = chosen_by.mean(axis=0)[:, :HALF]
            row, column = np.unravel_index(left_half.argmax(), left_half.shape)
            rows.append((animal, largest(left_half), mine[row, column], mine[row, -1 - column]))
    return pd.DataFrame(rows, columns=["animal", "cell", "left", "right"])


def overlay(cells, backdrop, ax, title, limits, said="", label=UNIT, cmap="RdBu_r", size=10):
    """A map (8, 8) over the mean image, with the outlines of the brain and of its ROIs where these are known. Red:
    something is lost without the place; blue: won. None is drawn as a missing panel. ``said``: a warning, in red."""
    rows, columns = backdrop.mean.shape
    ax.imshow(backdrop.mean, cmap="gray")
    if cells is None:
        ax.text(0.5, 0.5, "no map", color=WARNING, ha="center", va="center", transform=ax.transAxes)
    else:
        shown = ax.imshow(cells, cmap=cmap, vmin=limits[0], vmax=limits[1], alpha=0.55, interpolation="nearest",
                          extent=(-0.5, columns - 0.5, rows - 0.5, -0.5))
        ax.figure.colorbar(shown, ax=ax, label=label, shrink=0.75, pad=0.02)
    outlines(backdrop, ax)
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=size, pad=18)
    ax.spines[:].set_visible(False)
    return simulated_mark(warned(ax, said), backdrop)


@dataclass(frozen=True, eq=False)
class Backdrop:
    """The images of one animal, in pixels of its movies, shape (H, W). ``mean``: of one session, camera counts.
    ``brain``: bool. ``parcels`` (shape (n_roi, H, W)): weight of each ROI, where known. ``landmarks`` (dict):
    brightness, edge, vessels of the brain; in a simulation also what running puts into each pixel through neurons,
    blood and movement, SD over time in % dF/F."""

    mean: np.ndarray
    brain: np.ndarray
    simulated: bool
    parcels: np.ndarray | None = None
    landmarks: dict = field(default_factory=dict)


def backdrops(dataset, animals):
    """Backdrop by animal, from the first session of each, and where the ground truth is from, or why there is none."""
    truth, statement = simulation.planted(dataset)
    found = {}
    for animal in progress(list(animals), desc="mean pictures", unit="animal", leave=False):
        mean = brain_masks.mean_image(dataset.of_animal(animal)[0].movie)
        brain = brain_masks.brain_mask(mean)
        landmarks = {"brightness": mean, "brain's edge": brain_masks.edge_mask(brain).astype(float)}
        try:
            landmarks["vessels"] = brain_masks.vessel_mask(mean, brain).astype(float)
        except DataError as error:
            statement += f"; no vessels of {animal}: {error.found}"
        landmarks |= {name: truth[f"map_{key}/{animal}"] for key, name in PLANTED.items()
                      if f"map_{key}/{animal}" in truth}
        found[animal] = Backdrop(mean, brain, dataset.simulated, truth.get(f"parcels/{animal}"), landmarks)
    return found, statement


def as_cells(picture):
    """An image seen through the squares: mean of each of the 64, then cells as for importance; shape (8, 8)."""
    return patches.cell_map([picture[cut.mask].mean() for cut in patches.squares(picture.shape)])


def agreement(by_animal, found):
    """Does the map of an animal go with a landmark? A row an animal and landmark. ``by_animal``: mean map (8, 8);
    ``found``: Backdrop by animal. ``r``: Spearman's over the 64 cells, which share squares with their neighbours.
    ``shifts as high``: share of all 64 shifts of the landmark on the torus with an r as high."""
    rows = []
    for animal, cells in by_animal.items():
        for name, picture in found[animal].landmarks.items():
            landmark = as_cells(picture)
            if np.ptp(landmark) == 0 or np.ptp(cells) == 0:
                continue  # a world without it, or a decoder that loses nothing anywhere: there are no ranks
            a, b = (stats.rankdata(each).reshape(each.shape) for each in (cells, landmark))
            shifted = [float(np.corrcoef(a.ravel(), np.roll(b, (i, j), (0, 1)).ravel())[0, 1])
                       for i in range(8) for j in range(8)]
            rows.append({"tested on": animal, "landmark": name, "r": shifted[0],
                         "shifts as high": float(np.mean(np.array(shifted) >= shifted[0] - 1e-12)),
                         "simulated": found[animal].simulated})
    return pd.DataFrame(rows, columns=["tested on", "landmark", "r", "shifts as high", "simulated"])


def answer(landmarks, said=""):
    """What a map goes with, a sentence in lines. ``landmarks``: of :func:`agreement`; ``said``: a warning."""
    means = landmarks.groupby("landmark", sort=False)["r"].mean().sort_values(ascending=False)
    if said or means.empty:
        return textwrap.fill(f"What the map goes with cannot be said: {said or 'no landmark is known'}.", 78)
    (first, highest), *others = means.items()
    over = f"rank correlation {highest:.2f}, mean of {landmarks['tested on'].nunique()} animals"
    if highest <= 0:
        return textwrap.fill(f"The map goes with none of the landmarks; the highest is {first} ({over}).", 78)
    words = [f"The map goes most with {first} ({over})"]
    words += [f"then with {name} ({r:.2f})" for name, r in others[:1]]
    words += [f"and with {name} {r:.2f}" for name, r in others[1:] if name == PLANTED["driven"]]
    return textwrap.fill(", ".join(words) + ".", 78)


def of_arms(plans, model, every, seeds, store, jobs):
    """Cut-out maps of several experiments on movies (``plans``, by name), a Comparison. Each fold also has the rank
    correlation of its map with each landmark of the test animal, called ``"map with LANDMARK"``."""
    pool = {"store": store, "jobs": jobs}
    found = compare.run([compare.Condition(name, plan, model) for name, plan in plans.items()], label="motion",
                        seeds=seeds, **pool)
    for result in found:
        plan = result.condition.experiment
        squares = patches.squares(plan.input.image_shape(plan.dataset))
        places, _ = backdrops(plan.dataset, dict.fromkeys(fold.test_group for fold in result.folds))
        maps = {(seed, cut.fold): cut for seed in result.seeds for cut in occlusion.run(
            plan.with_(seed=seed), model, squares, every=every, label=f"occlusion, {result.name}", **pool)}
        for i, fold in enumerate(result.folds):
            cut = maps[fold.seed, fold.fold]
            if fold.scores and not cut.reason:
                of_map = agreement({cut.animal: patches.cell_map(cut.importance)}, places)
                result.folds[i] = replace(fold, scores=fold.scores | {
                    f"{WITH}{name}": float(r) for name, r in zip(of_map["landmark"], of_map["r"], strict=True)})
    return found


def measured(found):
    """Names of the scores of :func:`of_arms` that every fold with a map has, list of str."""
    folds = [fold.scores for result in found for fold in result.evaluable()]
    return [name for name in (folds[0] if folds else ()) if name.startswith(WITH) and all(name in f for f in folds)]


def followed(found):
    """What the maps of :func:`of_arms` go with, a row an arm: AUC, rank correlations, the largest, or why there is
    none."""
    rows = []
    for result in found:
        folds, aucs = result.evaluable(), list(result.values().values())
        said = shap_maps.warning([occlusion.FoldOcclusion(f.fold, f.test_group, f.model, f.scores["auc"],
                                                          training=convergence.training_of(f)) for f in folds])
        r = {name.removeprefix(WITH): np.mean(list(result.values(name).values()))
             for name in measured([result])} if folds else {}
        rows.append({"arm": result.name, "folds": len(aucs), "AUC": np.mean(aucs) if aucs else None, **r,
                     "goes most with": said or max(r, key=r.get, default="")})
    return pd.DataFrame(rows)


def example(known):
    """The fold and session that the study's notebooks show if there, else the first: (FoldOcclusion, str)."""
    places = [(cut, session) for cut in known for session in cut.by_session]
    return next((place for place in places if (place[1].rpartition("/")[2], place[0].animal) == (
        EXAMPLE_SESSION, EXAMPLE_TEST) and f"valid={EXAMPLE_VALID}" in place[0].fold), places[0])


def card_scores(known, pairs, landmarks):
    """Scores for the card: peak and mirror image, left against right by animal, the pair, the example, landmarks.
    ``known``, ``pairs``: usable folds of the squares, and of the pair of S3 Fig and its other places. Ranks of nearly
    equal cells change with the last digit of an AUC: a regression test passes over their scope."""
    maps, tested = patches.cell_map([cut.importance for cut in known]), np.array([cut.animal for cut in known])
    scores = []
    for suffix in ("", ", chosen elsewhere"):
        table = peaks(maps, tested, elsewhere=bool(suffix))
        if len(table):
            scores += _over_folds(f"left peak{suffix}", table["left"], table["animal"], "importance")
            scores += _over_folds(f"right mirrored{suffix}", table["right"], table["animal"], "importance")
    scores += _over_folds("left less right", left_less_right(maps), tested, "importance")
    by_animal = [left_less_right(maps[tested == animal].mean(axis=0)) for animal in dict.fromkeys(tested)]
    if len(by_animal) > 1:
        for name, value in (("most left animal", max(by_animal)), ("most right animal", min(by_animal))):
            scores += cards.summarise(name, [value], "left_less_right", unit="test groups")[:1]
    cut, session = example(known)
    for name, index in EXAMPLE_SQUARES.items():
        scores += cards.summarise(f"{name}, example session", [cut.by_session[session][index]], "importance",
                                  unit="sessions")[:1]
    cell = np.unravel_index(maps.mean(axis=0).argmax(), maps.shape[1:])
    scores += [cards.Score(model="cell of the largest mean", metric=axis, scope="map, from 1", value=float(i + 1))
               for axis, i in zip(("row", "column"), cell, strict=True)]
    tested, whole = [cut.animal for cut in pairs], np.array([cut.auc for cut in pairs])
    scores += _over_folds("whole picture", whole, tested, "auc")
    scores += _over_folds("pair cut out", whole - [cut.pooled[0] for cut in pairs], tested, "auc")
    return scores + cards.table_scores(landmarks, "r", "map with {landmark}", "rank_r", "test groups", compared=False)


def _over_folds(name, values, animals, metric):
    """Mean over folds, and over test animals where some have several folds."""
    scores = cards.summarise(name, values, metric)[:1]
    means = statistics.by_animal(values, animals)
    if 1 < len(means) < len(values):
        scores += cards.summarise(name, means, metric, unit="test groups")[:1]
    return scores
