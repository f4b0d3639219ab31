"""What cut-outs say, as maps, tables and scores: where decoders lose most, on which side, in which animal."""

import numpy as np
import pandas as pd
from scipy import stats

from calcium_decoding.data import published
from calcium_decoding.errors import DataError
from calcium_decoding.evaluation import cards, statistics
from calcium_decoding.explain import patches
from calcium_decoding.explain.shap_maps import warning
from decoding_book.chapters import tables

HALF = patches.GRID // 2
# The squares that the study's notebooks show as best and as its mirror image, and the session and fold they show.
EXAMPLE_SQUARES = {"left square": 10, "right square": 45}
EXAMPLE_SESSION, EXAMPLE_TEST, EXAMPLE_VALID = "20180129_Emx1G6_non_1", "mouse 2", "mouse 1"


def usable(cuts):
    """The folds that have something to show."""
    return [cut for cut in cuts if not cut.reason]


def show(table, cuts, nulls=()):
    """A table as a page shows it, under a red warning where :func:`warning` has one."""
    shown, said = tables.show(table), warning(cuts, nulls)
    red = [{"selector": "caption", "props": "color: #B00020; font-weight: bold; text-align: left;"}]
    return shown.set_caption(said).set_table_styles(red, overwrite=False) if said else shown


def maps(cuts, pooled=False):
    """Map of each usable fold, from the 64 squares: shape (n_folds, 8, 8).

    ``cuts`` (sequence of FoldOcclusion): of :func:`calcium_decoding.explain.patches.squares`. ``pooled``: from the AUC
    over all test windows, in place of the mean over sessions.
    """
    return patches.cell_map([cut.pooled if pooled else cut.importance for cut in usable(cuts)])


def over(cell_maps):
    """Mean and sample SD of maps, each (8, 8); no SD (None) of a single one."""
    return np.mean(cell_maps, axis=0), np.std(cell_maps, axis=0, ddof=1) if len(cell_maps) > 1 else None


def mean_and_sd(cuts):
    """Mean map of the usable folds and its sample SD; None where there is no fold, or only one for the SD."""
    return over(maps(cuts)) if usable(cuts) else (None, None)


def by_animal(cuts, pooled=False):
    """Mean map of the folds of each test animal: dict of str to ndarray (8, 8)."""
    animals = np.array([cut.animal for cut in usable(cuts)])
    return {animal: maps(cuts, pooled)[animals == animal].mean(axis=0) for animal in dict.fromkeys(animals.tolist())}


def session_maps(cuts):
    """Map of each test session, mean over the folds that test it, beside the sessions that can have none.

    Returns a list of (str, str, ndarray or None, str): animal, session, map (8, 8), and why there is none.
    """
    found, missing = {}, {}
    for cut in usable(cuts):
        for name, drops in cut.by_session.items():
            found.setdefault((cut.animal, name), []).append(patches.cell_map(drops))
    for cut in cuts:
        missing |= {(cut.animal, name): why for name, why in cut.undefined.items() if (cut.animal, name) not in found}
    listed = [(*place, np.mean(each, axis=0), "") for place, each in found.items()]
    return sorted([*listed, *((*place, None, why) for place, why in missing.items())], key=lambda row: row[:2])


def left_less_right(cell_maps):
    """Mean of the left half of a map less that of its right half, shape (...)."""
    return cell_maps[..., :HALF].mean(axis=(-2, -1)) - cell_maps[..., HALF:].mean(axis=(-2, -1))


def peak_cells(cuts, elsewhere=False):
    """Largest cell of the left half and its mirror image, and what each fold has there.

    ``cuts``: sequence of FoldOcclusion. ``elsewhere``: choose the cell for each fold by the folds that test other
    animals. As published it is chosen by the same folds that it is then read from, which makes it large by chance
    alone, and larger than its mirror image. Returns ``cells`` (list of (int, int)): row and column of the left cell, by
    fold. Empty if all folds test one animal and ``elsewhere`` is asked for; ``left, right`` (ndarray, shape
    (n_folds,)).
    """
    each, animals = maps(cuts), np.array([cut.animal for cut in usable(cuts)])
    cells, left, right = [], [], []
    for i, animal in enumerate(animals):
        chosen_by = each[animals != animal] if elsewhere else each
        if len(chosen_by):
            row, column = np.unravel_index(chosen_by.mean(axis=0)[:, :HALF].argmax(), (patches.GRID, HALF))
            cells.append((int(row), int(column)))
            left.append(each[i, row, column])
            right.append(each[i, row, -1 - column])
    return cells, np.array(left), np.array(right)


def fold_table(cuts):
    """A row a fold: AUC of whole images pooled and by session, largest cell, left less right, what is missing."""
    rows = []
    for cut in cuts:
        row = {"fold": cut.fold, "AUC, pooled": None, "AUC, by session": None}
        if not cut.reason:
            cells = patches.cell_map(cut.importance)
            row_, column = np.unravel_index(cells.argmax(), cells.shape)
            row |= {"AUC, pooled": cut.auc, "AUC, by session": float(np.mean(list(cut.base.values()))),
                    "largest cell": f"row {row_ + 1}, column {column + 1}", "its importance": float(cells.max()),
                    "left less right": float(left_less_right(cells))}
        rows.append(row | {"sessions without AUC": ", ".join(cut.undefined), "no map because": cut.reason})
    return pd.DataFrame(rows)


def undefined_table(cuts):
    """Sessions that have no AUC of their own, and why: a row a session."""
    rows = {(cut.animal, name): why for cut in cuts for name, why in cut.undefined.items()}
    return pd.DataFrame([{"animal": a, "session": s, "no AUC because": why} for (a, s), why in rows.items()])


def peak_table(cuts, dataset):
    """The left peak and its mirror image, chosen on the same folds as published and on other animals.

    Returns a DataFrame: ``cell``: where the left one lies, rows and columns of the map from 1. Published values
    are given next to where the data are the study's own.
    """
    rows = []
    for elsewhere, name in ((False, "the same folds, as published"), (True, "folds that test other animals")):
        cells, left, right = peak_cells(cuts, elsewhere) if usable(cuts) else ([], [], [])
        if not cells:
            continue
        places = "; ".join(f"row {row + 1}, column {column + 1}" for row, column in dict.fromkeys(cells))
        row = {"cell chosen on": name, "cell": places}
        for side, values in (("left", left), ("right, mirrored", right)):
            row |= {f"{side}, mean": values.mean(), f"{side}, SD": values.std(ddof=1) if len(values) > 1 else None}
            if dataset.compare_with_study:
                row[f"{side}, published"] = "" if elsewhere else "{:.3f} ± {:.3f}".format(*_published_peak(side))
        rows.append(row | {"folds": len(left), "animals": len({cut.animal for cut in usable(cuts)})})
    return pd.DataFrame(rows)


def _published_peak(side):
    variant = "left_peak_cell" if side == "left" else "right_peak_cell"
    return published.reported("cutout", "EfficientNet-B0+GRU", variant, "importance")[:2]


def animal_table(cuts):
    """A row a test animal: its largest cell, and the left half less the right half of its map."""
    rows = []
    for animal, cells in by_animal(cuts).items() if usable(cuts) else ():
        row, column = np.unravel_index(cells.argmax(), cells.shape)
        rows.append({"tested on": animal, "folds": sum(cut.animal == animal for cut in usable(cuts)),
                     "largest cell": f"row {row + 1}, column {column + 1}", "its importance": cells.max(),
                     "mirrored": cells[row, -1 - column], "left less right": left_less_right(cells)})
    return pd.DataFrame(rows)


def pair_table(pairs):
    """Whole images against the two patches of S3 Fig, and against the same patches in other rows.

    ``pairs`` (sequence of FoldOcclusion): of :func:`calcium_decoding.explain.patches.pairs`. Returns pandas.DataFrame:
    ``AUC`` mean and SD over folds (pooled, as published), the study's rank-sum test over folds, ours over animals (sign
    flip, with the smallest p that so few animals allow), and of the seven other places, at how many the mean loss is as
    large.
    """
    known = usable(pairs)
    if not known:
        return pd.DataFrame()
    whole, drops = np.array([cut.auc for cut in known]), np.array([cut.pooled for cut in known])
    row = {"folds": len(known), "whole picture": whole.mean(), "pair cut out": (whole - drops[:, 0]).mean(),
           "loss": drops[:, 0].mean(), "SD of loss": drops[:, 0].std(ddof=1) if len(known) > 1 else None}
    try:
        row["p, rank sum over folds"] = statistics.rank_sum(whole, whole - drops[:, 0])
    except DataError:
        row["p, rank sum over folds"] = None
    animals = statistics.by_animal(drops[:, 0], [cut.animal for cut in known]).to_numpy()
    if len(animals) > 1:
        flip = statistics.sign_flip(animals)
        row |= {"p, sign flip over animals": flip.p, "smallest p possible": flip.floor}
    means = drops.mean(axis=0)
    return pd.DataFrame([row | {"mean loss in the other 7 places": means[1:].mean(),
                                "places with as large a loss": int((means[1:] >= means[0]).sum())}])


def shape_table(cuts, discs):
    """Discs against the squares with the same centres, a row a fold that has both.

    ``cuts``, ``discs`` (sequence of FoldOcclusion): of :func:`calcium_decoding.explain.patches.squares` and
    :func:`~calcium_decoding.explain.patches.discs`. Returns a DataFrame: ``rank correlation`` over the 49
    places, and mean and largest importance of each shape. A disc has 0.79 of the area of a square.
    """
    squares, rows = {cut.fold: cut for cut in usable(cuts)}, []
    for disc in usable(discs):
        if disc.fold in squares:
            one, other = squares[disc.fold].importance[: len(disc.pooled)], disc.importance
            differ = np.ptp(one) > 0 and np.ptp(other) > 0  # a decoder that loses nothing anywhere has no ranks
            rows.append({"fold": disc.fold, "places": len(other),
                         "rank correlation": float(stats.spearmanr(one, other).statistic) if differ else None,
                         "squares, mean": one.mean(), "discs, mean": other.mean(), "squares, largest": one.max(),
                         "discs, largest": other.max()})
    return pd.DataFrame(rows)


def example(cuts):
    """The session and fold that the study's notebooks show if there, else the first: (FoldOcclusion, session)."""
    known = usable(cuts)
    named = [cut for cut in known if EXAMPLE_SESSION in {name.rpartition("/")[2] for name in cut.by_session}
             and cut.animal == EXAMPLE_TEST and f"valid={EXAMPLE_VALID}" in cut.fold]
    if not known:
        return None, ""
    cut = (named or known)[0]
    session = next((name for name in cut.by_session if named and name.rpartition("/")[2] == EXAMPLE_SESSION),
                   next(iter(cut.by_session)))
    return cut, session


def card_scores(cuts, pairs):
    """Scores for the result card: peak and mirror image, left against right by animal, the pair, the example session.

    ``cuts``, ``pairs`` (sequence of FoldOcclusion): of :func:`calcium_decoding.explain.patches.squares` and
    :func:`~calcium_decoding.explain.patches.pairs`. Returns a list of Score.
    """
    scores, known = [], usable(cuts)
    if known:
        animals = [cut.animal for cut in known]
        for suffix in ("", ", chosen elsewhere"):
            cells, *sides = peak_cells(cuts, bool(suffix))
            for side, values in zip(("left peak", "right mirrored"), sides, strict=True):
                if cells:
                    scores += _over_folds(f"{side}{suffix}", values, animals, "importance")
        scores += _over_folds("left less right", left_less_right(maps(cuts)), animals, "importance")
        by = {animal: left_less_right(cells) for animal, cells in by_animal(cuts).items()}
        if len(by) > 1:
            for name, animal in (("most left animal", max(by, key=by.get)), ("most right animal", min(by, key=by.get))):
                scores += cards.summarise(name, [by[animal]], "left_less_right", unit="test groups")[:1]
        cut, session = example(cuts)
        for name, index in EXAMPLE_SQUARES.items():
            scores += cards.summarise(f"{name}, example session", [cut.by_session[session][index]], "importance",
                                      unit="sessions")[:1]
        cell = np.unravel_index(over(maps(cuts))[0].argmax(), (patches.GRID, patches.GRID))
        scores += [cards.Score(model="cell of the largest mean", metric=axis, scope="map, from 1", value=float(i + 1))
                   for axis, i in zip(("row", "column"), cell, strict=True)]
    known = usable(pairs)
    if known:
        animals, whole = [cut.animal for cut in known], np.array([cut.auc for cut in known])
        for name, values in (("whole picture", whole),
                             ("pair cut out", whole - [cut.pooled[0] for cut in known])):
            scores += _over_folds(name, values, animals, "auc")
    return scores


def _over_folds(name, values, animals, metric):
    """Mean over folds, and over test animals where some have several folds."""
    scores = cards.summarise(name, values, metric)[:1]
    means = statistics.by_animal(values, animals).to_numpy()
    if 1 < len(means) < len(values):
        scores += cards.summarise(name, means, metric, unit="test groups")[:1]
    return scores
