"""Result cards of many runs, gathered into one table: what a sweep found."""

from pathlib import Path

import pandas as pd

from calcium_decoding.errors import DataError
from calcium_decoding.evaluation.cards import ResultCard
from calcium_decoding.utils.files import write_text


def table(folders, every=False):
    """Scores of all result cards in some folders and below them, a row a score; a card found twice counts once.

    ``every``: also medians and single folds, not only means. Columns: ``card`` (its file, without the ending),
    ``chapter``, ``data set``, ``data`` ("simulated" or "real"), ``claim``; ``-p NAME`` for every parameter that is not
    the same in all cards, empty where a chapter does not have it; ``model``, ``metric``, ``over``, ``value``, ``SD``,
    ``n``; ``split``, ``code``. DataError: there is no card, or one of them is damaged.
    """
    paths = sorted({path.resolve(): path for folder in folders for path in Path(folder).rglob("*.card.json")}.values())
    if not paths:
        raise DataError(", ".join(map(str, folders)) or "no folder", "no result card", "files *.card.json",
                        "name the folder given to --out")
    cards = {path: ResultCard.load(path) for path in paths}
    names = _differing(cards.values())
    return pd.DataFrame([row for path, card in cards.items() for row in _rows(path, card, names, every)])


def write(folders, path, every=False):
    """Write :func:`table` as CSV, whole or not at all, and return its path."""
    write_text(path, table(folders, every).to_csv(index=False))
    return Path(path)


def _differing(cards):
    """Names of parameters whose value is not the same in all cards; the data set has its own column."""
    given = [card.provenance.parameters for card in cards]
    names = dict.fromkeys(name for one in given for name in one if name != "dataset")
    return [name for name in names if any(one.get(name) != given[0].get(name) for one in given)]


def _rows(path, card, names, every):
    origin = {"card": path.as_posix().removesuffix(".card.json"), "chapter": card.chapter, "data set": card.dataset,
              "data": "simulated" if card.simulated else "real", "claim": card.claim,
              **{f"-p {name}": card.provenance.parameters.get(name) for name in names}}
    return [{**origin, "model": s.model, "metric": s.metric, "over": s.scope, "value": s.value, "SD": s.sd, "n": s.n,
             "split": card.provenance.split_hash, "code": card.provenance.code_version}
            for s in (card.scores if every else card.summary())]
