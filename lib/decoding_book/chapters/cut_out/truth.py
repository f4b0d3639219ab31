"""What lies where in the images that patches are taken from: brain, edge, vessels, a simulation's ground truth."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import stats

from calcium_decoding.data import catalog
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import cards
from calcium_decoding.explain import patches
from calcium_decoding.preprocessing import brain_masks
from calcium_decoding.utils.progress import progress
from decoding_book.chapters.cut_out import occlusion_tables

PLANTED = {"driven": "neurons, planted", "blood": "blood, planted", "motion": "movement, planted"}


@dataclass(frozen=True, eq=False)
class Backdrop:
    """The images of one animal, in pixels of its movies, shape (H, W).

    ``mean``: mean image of one session, camera counts. ``brain``: bool. ``simulated``: of the data set. ``parcels``
    (shape (n_roi, H, W)): weight of each ROI, where that is known. ``landmarks`` (dict): brightness, edge, vessels of
    the brain; in a simulation also what running puts into each pixel through neurons, blood and movement, SD over time
    in % dF/F.
    """

    mean: np.ndarray
    brain: np.ndarray
    simulated: bool
    parcels: np.ndarray | None = None
    landmarks: dict = field(default_factory=dict)


def backdrops(dataset, animals):
    """Backdrop by animal, from the first session of each, and where the ground truth is from, or why there is none."""
    truth, statement = _truth(dataset)
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


def _truth(dataset):
    """Maps and parcels that the simulation wrote beside its files, by name, and a statement on them."""
    if not dataset.simulated:
        return {}, "no planted truth: the data are not simulated"
    try:
        entry = catalog.load_manifest().entry(dataset.name)
        path = catalog.folder(entry) / "truth.npz"
    except (DataError, ParameterError):
        return {}, f"no planted truth: '{dataset.name}' is not a simulated set of the manifest"
    if entry.kind != "simulated" or not path.exists():
        return {}, f"no planted truth beside '{dataset.name}'"
    with np.load(path, allow_pickle=False) as truth:
        wanted = {name: truth[name] for name in truth.files if name.startswith(("map_", "parcels/"))}
    return wanted, f"planted truth of the world '{entry.world}', from the data set's own truth file"


def as_cells(picture):
    """An image seen through the squares: mean of each of the 64, then cells as for importance; shape (8, 8)."""
    return patches.cell_map([picture[cut.mask].mean() for cut in patches.squares(picture.shape)])


def agreement(cuts, found):
    """Does the map of an animal go with a landmark of its images? A row an animal and landmark.

    ``r``: Spearman's rank correlation over the 64 cells, both seen through the same squares. ``shifts as high``: share
    of all 64 shifts of the landmark on the torus, itself among them, with an r as high. Neighbouring cells share
    squares, so that 64 cells are far fewer places.
    """
    rows = []
    for animal, cells in occlusion_tables.by_animal(cuts).items():
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


def card_scores(table):
    """Scores for the result card from :func:`agreement`: mean over animals of each rank correlation.

    Ranks of nearly equal cells change with the last digit of an AUC: a regression test passes over their scope.
    """
    scores = []
    for name, mine in table.groupby("landmark", sort=False):
        (mean, _) = cards.summarise(f"map with {name}", mine["r"], "rank_r", unit="test groups")
        scores.append(mean.model_copy(update={"scope": f"over {len(mine)} test groups, mean"}))
    return scores
