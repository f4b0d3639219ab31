"""What cut-outs say, as maps, tables and scores: where decoders lose most, on which side, in which animal.

``cuts`` are FoldOcclusions of the 64 squares, ``pairs`` those of the pair of S3 Fig and its seven other places.
"""

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
    """A table as a page shows it, under a red warning where the decoders are not above chance or their null."""
    shown, said = tables.show(table), warning(cuts, nulls)
    red = [{"selector": "caption", "props": "color: #B00020; font-weight: bold; text-align: left;"}]
    return shown.set_caption(said).set_table_styles(red, overwrite=False) if said else shown


def maps(cuts):
    """Map of each usable fold, shape (n_folds, 8, 8); of none, an empty list."""
    known = usable(cuts)
    return patches.cell_map([cut.importance for cut in known]) if known else []


def mean_and_sd(cuts):
    """Mean map of the usable folds and its sample SD; None where there is no fold, or only one for the SD."""
    each = maps(cuts)
    return (np.mean(each, axis=0) if len(each) else None, np.std(each, axis=0, ddof=1) if len(each) > 1 else None)


def by_animal(cuts):
    """Mean map of the folds of each test animal: dict of str to ndarray (8, 8)."""
    animals = np.array([cut.animal for cut in usable(cuts)])
    return {animal: maps(cuts)[animals == animal].mean(axis=0) for animal in dict.fromkeys(animals.tolist())}


def session_maps(cuts):
    """Map of each test session, mean over the folds that test it, beside the sessions that can have none.

    Returns a list of (animal, session, map (8, 8) or None, why there is none).
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
    """Largest cell of the left half and its mirror image: list of (row, column), and what each fold has in the two.

    ``elsewhere``: choose the cell for each fold by the folds that test other animals; nothing if there are none. As
    published it is chosen by the same folds that it is then read from, which makes it large by chance alone, and larger
    than its mirror image.
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


def _largest(cells):
    row, column = np.unravel_index(cells.argmax(), cells.shape)
    return {"largest cell": _place(row, column), "its importance": cells.max()}


def _place(row, column):
    return f"row {row + 1}, column {column + 1}"


def fold_table(cuts):
    """A row a fold: AUC of whole images pooled and by session, largest cell, left less right, what is missing."""
    rows = []
    for cut in cuts:
        row = {"fold": cut.fold, "AUC, pooled": None, "AUC, by session": None}
        if not cut.reason:
            cells = patches.cell_map(cut.importance)
            row |= {"AUC, pooled": cut.auc, "AUC, by session": np.mean(list(cut.base.values())), **_largest(cells),
                    "left less right": left_less_right(cells)}
        rows.append(row | {"sessions without AUC": ", ".join(cut.undefined), "no map because": cut.reason})
    return pd.DataFrame(rows)


def undefined_table(cuts):
    """Sessions that have no AUC of their own, and why: a row a session."""
    rows = {(cut.animal, name): why for cut in cuts for name, why in cut.undefined.items()}
    return pd.DataFrame([{"animal": a, "session": s, "no AUC because": why} for (a, s), why in rows.items()])


def peak_table(cuts, dataset):
    """The left peak and its mirror image, chosen on the same folds as published and on other animals.

    Published values stand beside where the data are the study's own.
    """
    rows = []
    for elsewhere, name in ((False, "the same folds, as published"), (True, "folds that test other animals")):
        cells, *sides = peak_cells(cuts, elsewhere)
        if not cells:
            continue
        row = {"cell chosen on": name, "cell": "; ".join(_place(*cell) for cell in dict.fromkeys(cells))}
        for side, variant, values in zip(("left", "right, mirrored"), ("left_peak_cell", "right_peak_cell"), sides,
                                         strict=True):
            row |= {f"{side}, mean": values.mean(), f"{side}, SD": values.std(ddof=1) if len(values) > 1 else None}
            if dataset.compare_with_study:
                theirs = published.reported("cutout", "EfficientNet-B0+GRU", variant, "importance")[:2]
                row[f"{side}, published"] = "" if elsewhere else "{:.3f} ± {:.3f}".format(*theirs)
        rows.append(row | {"folds": len(cells), "animals": len({cut.animal for cut in usable(cuts)})})
    return pd.DataFrame(rows)


def animal_table(cuts):
    """A row a test animal: its largest cell and the mirror image, the left half less the right half of its map."""
    rows = []
    for animal, cells in by_animal(cuts).items():
        mirrored = cells[:, ::-1].flat[cells.argmax()]
        rows.append({"tested on": animal, "folds": sum(cut.animal == animal for cut in usable(cuts)),
                     **_largest(cells), "mirrored": mirrored, "left less right": left_less_right(cells)})
    return pd.DataFrame(rows)


def pair_table(pairs):
    """Whole images against the two patches of S3 Fig, and against the same patches in other rows.

    AUC over folds (pooled, as published), the study's rank-sum test over folds, ours over animals (sign flip, with the
    smallest p that so few animals allow), and at how many of the seven other places the mean loss is as large.
    """
    known = usable(pairs)
    if not known:
        return pd.DataFrame()
    whole, drops = np.array([cut.auc for cut in known]), np.array([cut.pooled for cut in known])
    loss = drops[:, 0]
    row = {"folds": len(known), "whole picture": whole.mean(), "pair cut out": (whole - loss).mean(),
           "loss": loss.mean(), "SD of loss": loss.std(ddof=1) if len(known) > 1 else None}
    try:
        row["p, rank sum over folds"] = statistics.rank_sum(whole, whole - loss)
    except DataError:
        row["p, rank sum over folds"] = None
    animals = statistics.by_animal(loss, [cut.animal for cut in known]).to_numpy()
    if len(animals) > 1:
        flip = statistics.sign_flip(animals)
        row |= {"p, sign flip over animals": flip.p, "smallest p possible": flip.floor}
    means = drops.mean(axis=0)
    return pd.DataFrame([row | {"mean loss in the other 7 places": means[1:].mean(),
                                "places with as large a loss": int((means[1:] >= means[0]).sum())}])


def shape_table(cuts, discs):
    """Discs against the 49 squares with the same centres, a row a fold that has both.

    A disc has 0.79 of the area of a square.
    """
    squares, rows = {cut.fold: cut for cut in usable(cuts)}, []
    for disc in usable(discs):
        if disc.fold in squares:
            one, other = squares[disc.fold].importance[: len(disc.pooled)], disc.importance
            differ = np.ptp(one) > 0 and np.ptp(other) > 0  # a decoder that loses nothing anywhere has no ranks
            rows.append({"fold": disc.fold, "places": len(other),
                         "rank correlation": stats.spearmanr(one, other).statistic if differ else None,
                         "squares, mean": one.mean(), "discs, mean": other.mean(), "squares, largest": one.max(),
                         "discs, largest": other.max()})
    return pd.DataFrame(rows)


def example(cuts):
    """The fold and session that the study's notebooks show if there, else the first: (FoldOcclusion, str)."""
    known = usable(cuts)
    for cut in known:
        for session in cut.by_session:
            if (session.rpartition("/")[2] == EXAMPLE_SESSION and cut.animal == EXAMPLE_TEST
                    and f"valid={EXAMPLE_VALID}" in cut.fold):
                return cut, session
    return (known[0], next(iter(known[0].by_session))) if known else (None, "")


def card_scores(cuts, pairs):
    """Scores for the card: peak and mirror image, left against right by animal, the pair, the example session."""
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
            for name, value in (("most left animal", max(by.values())), ("most right animal", min(by.values()))):
                scores += cards.summarise(name, [value], "left_less_right", unit="test groups")[:1]
        cut, session = example(cuts)
        for name, index in EXAMPLE_SQUARES.items():
            scores += cards.summarise(f"{name}, example session", [cut.by_session[session][index]], "importance",
                                      unit="sessions")[:1]
        cell = np.unravel_index(mean_and_sd(cuts)[0].argmax(), (patches.GRID, patches.GRID))
        scores += [cards.Score(model="cell of the largest mean", metric=axis, scope="map, from 1", value=float(i + 1))
                   for axis, i in zip(("row", "column"), cell, strict=True)]
    known = usable(pairs)
    if known:
        animals, whole = [cut.animal for cut in known], np.array([cut.auc for cut in known])
        scores += _over_folds("whole picture", whole, animals, "auc")
        scores += _over_folds("pair cut out", whole - [cut.pooled[0] for cut in known], animals, "auc")
    return scores


def _over_folds(name, values, animals, metric):
    """Mean over folds, and over test animals where some have several folds."""
    scores = cards.summarise(name, values, metric)[:1]
    means = statistics.by_animal(values, animals).to_numpy()
    if 1 < len(means) < len(values):
        scores += cards.summarise(name, means, metric, unit="test groups")[:1]
    return scores
