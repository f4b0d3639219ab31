"""The result card: every number with what it was measured on and how, as JSON and as a table."""

import json
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from calcium_decoding import __version__
from calcium_decoding.data.catalog import project_root
from calcium_decoding.errors import DataError
from calcium_decoding.utils.code import PACKAGE
from calcium_decoding.utils.files import tree_digest, write_json

# Scores of folds that a card summarises, by what is decoded.
SUMMARISED = {"binary": ("auc", "balanced_accuracy", "auc_train", "auc_valid"),
              "classes": ("balanced_accuracy", "macro_f1", "auc", "balanced_accuracy_train", "balanced_accuracy_valid"),
              "continuous": ("r2", "mae", "r2_running", "mae_running", "r2_class_mean", "mae_class_mean", "r2_train",
                                  "r2_valid")}
# What another processor may do to a score: at least this, and ten times what two other arithmetics did, because two
# are few to know by.
LEAST_TOLERANCE = 0.0002
TOLERANCE_PER_MOVED = 10
WIDEST_TOLERANCE = 0.2  # a number that may be further off is not worth comparing


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Score(_Strict):
    """One number: ``scope`` says over what ("mean of 20 folds", "fold test=mouse 1"); ``sd`` is the sample SD over
    ``n`` folds where the value is a mean."""

    model: str
    metric: str
    scope: str
    value: float
    sd: float | None = None
    n: int | None = None


class Refused(_Strict):
    """A session that was not used, and why."""

    session: str
    reason: str


class NotEvaluable(_Strict):
    """A fold that was planned but has no score, and why."""

    fold: str
    reason: str


@cache
def code_version():
    """Version of this library, the git commit where there is one, and the hash of its source."""
    try:
        commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=Path(__file__).parent, timeout=10,
                                capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        commit = "no git"
    return f"{__version__} (commit {commit}, source {source_hash()})"


class Provenance(_Strict):
    """What the numbers depend on."""

    data_hash: str
    split_hash: str
    code_version: str
    seed: int
    parameters: dict
    versions: dict[str, str]


def provenance(dataset, split_hash, seed, parameters):
    """Provenance of results on ``dataset``; see :class:`Provenance`."""
    import sklearn
    import torch

    versions = {"python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__,
                "scikit-learn": sklearn.__version__, "machine": platform.machine()}
    return Provenance(data_hash=dataset.content_hash(), split_hash=split_hash, code_version=code_version(),
                      seed=seed, parameters=json.loads(json.dumps(parameters)), versions=versions)


class Stored(_Strict):
    """A model that is kept in a file; ``KIND`` and ``REMEDY`` say of a file that is none what it should be."""

    KIND: ClassVar[str]
    REMEDY: ClassVar[str]

    def save(self, path):
        """Write as JSON, whole or not at all."""
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def load(cls, path):
        """Read a file; DataError if it is missing, not JSON, or not of this kind."""
        try:
            return cls.model_validate_json(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValidationError) as error:
            raise DataError(path, str(error).splitlines()[0], f"{cls.KIND} as this library writes it",
                            cls.REMEDY) from error


class ResultCard(Stored):
    """The result of one chapter.

    Attributes
    ----------
    simulated : bool
        True if any number was measured on simulated recordings.
    claim : str
        What the split allows to be said ("across animals", "within session").
    null : str
        Which null is given next to the scores, or why there is none.
    """

    KIND, REMEDY = "a result card", "run the chapter again"

    chapter: str
    dataset: str
    simulated: bool
    kind: Literal["decoding", "data"] = "decoding"
    claim: str
    null: str
    scores: list[Score]
    refused: list[Refused] = Field(default_factory=list)
    not_evaluable: list[NotEvaluable] = Field(default_factory=list)
    provenance: Provenance

    def table(self, scope=None):
        """Scores as a DataFrame, one row a score; only those whose scope starts with ``scope`` if given."""
        table = pd.DataFrame([score.model_dump() for score in self.scores])
        return table if scope is None else table[table["scope"].str.startswith(scope)].reset_index(drop=True)

    def origin(self):
        """What the numbers depend on as a DataFrame with columns ``what`` and ``value``, for the page."""
        p = self.provenance
        rows = {"data": f"{self.dataset} ({'simulated' if self.simulated else 'recorded'}), content {p.data_hash}",
                "split": f"{p.split_hash}, a claim {self.claim}", "null": self.null, "seed": str(p.seed),
                "code": p.code_version, "run with": ", ".join(f"{k} {v}" for k, v in p.versions.items()),
                "parameters": ", ".join(f"{k}={v}" for k, v in p.parameters.items())}
        return pd.DataFrame({"what": rows.keys(), "value": rows.values()})

    def rounded(self, decimals=2):
        """The lines that a regression test compares: summary scores, rounded; folds and machines left out.

        A mean of one fold is left out too: a network on images that was trained on nothing, as the null of a smoke run
        is, ends elsewhere for the last bit of an input.

        Parameters
        ----------
        decimals : int
            Coarse enough that another machine of the same architecture prints the same.
        """
        kind = "simulated" if self.simulated else "recorded"
        lines = [f"{self.chapter} on {self.dataset} ({kind}), {self.claim}, split {self.provenance.split_hash}"]
        rows = [(s.model, s.metric, s.scope, _printed(s.value, decimals)) for s in self.compared()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += ["  ".join(x.ljust(w) for x, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines += [f"refused: {r.session}" for r in self.refused]
        lines += [f"not evaluable: {f.fold}" for f in self.not_evaluable]
        return "\n".join(lines)

    def summary(self):
        """The means over folds, animals or ROIs, without medians and single folds."""
        return [score for score in self.scores if score.scope.startswith("mean of ")]

    def compared(self):
        """The scores of which :meth:`rounded` has a line."""
        return [score for score in self.summary() if not score.scope.startswith("mean of 1 folds")]

    def varying(self, others, decimals=2):
        """Scores that :meth:`rounded` could print otherwise on another kind of processor, and how.

        A score may lie off by 0.0002 and ten times what it moved with other arithmetic.

        Parameters
        ----------
        others : sequence of ResultCard
            Of the same run with other arithmetic.
        decimals : int

        Returns
        -------
        list of (Score, list of str)
            What could be printed; empty for a score that could be off by more than 0.2.
        """
        found = []
        elsewhere = [{(s.model, s.metric, s.scope): s.value for s in card.compared()} for card in others]
        for score in self.compared():
            values = [of.get((score.model, score.metric, score.scope), np.inf) for of in elsewhere]
            moved = max([abs(value - score.value) for value in values], default=0.0)
            tolerance = LEAST_TOLERANCE + TOLERANCE_PER_MOVED * moved
            if tolerance > WIDEST_TOLERANCE:
                found.append((score, []))
                continue
            low, high = (round((score.value + by) * 10**decimals) for by in (-tolerance, tolerance))
            if low < high:
                found.append((score, [_printed(i / 10**decimals, decimals) for i in range(low, high + 1)]))
        return found


def _printed(value, decimals):
    return f"{round(value, decimals) + 0.0:.{decimals}f}"  # -0.00 is 0.00


def stored_folder():
    """Folder of results that ship with the book."""
    return project_root() / "book" / "stored"


def stored_card(name):
    """A card that ships with the book, measured where it takes longer than a page may; None if it is not there.

    ``name``: ``book/stored/<name>.card.json``.
    """
    path = stored_folder() / f"{name}.card.json"
    return ResultCard.load(path) if path.exists() else None


def summarise(model, values, metric="auc", unit="folds"):
    """Mean with sample SD over ``values``, and their median, which a few odd folds cannot move, as two scores."""
    values = np.asarray(list(values), dtype=float)
    sd = float(values.std(ddof=1)) if len(values) > 1 else None
    n = len(values)
    return [Score(model=model, metric=metric, scope=f"mean of {n} {unit}", value=float(values.mean()), sd=sd, n=n),
            Score(model=model, metric=metric, scope=f"median of {n} {unit}", value=float(np.median(values)), n=n)]


def fold_scores(folds, suffix=""):
    """Scores of fold results: over folds, by test group, and of each fold.

    ``folds`` (sequence of FoldResult): those without scores are left out; the card names them elsewhere. ``suffix``:
    added to the model's name, such as ``" null"``. Returns a list of Score: folds share animals and training data: the
    SD over folds is not a standard error.
    """
    scores = []
    for model in dict.fromkeys(fold.model for fold in folds):
        mine = [fold for fold in folds if fold.model == model and fold.scores]
        name = model + suffix
        if not mine:
            continue
        main = SUMMARISED[mine[0].kind][0]
        for metric in SUMMARISED[mine[0].kind]:
            values = [fold.scores[metric] for fold in mine if metric in fold.scores]
            scores += summarise(name, values, metric) if values else []
        groups = dict.fromkeys(fold.test_group for fold in mine)
        if 1 < len(groups) < len(mine):
            means = {g: np.mean([fold.scores[main] for fold in mine if fold.test_group == g]) for g in groups}
            scores += summarise(name, means.values(), main, unit="test groups")[:1]
            scores += [Score(model=name, metric=main, scope=f"fold group {g}", value=float(v))
                       for g, v in means.items()]
        scores += [Score(model=name, metric=metric, scope=f"fold {fold.fold}", value=value)
                   for fold in mine for metric, value in {**fold.scores, "seconds": fold.seconds}.items()]
    return scores


@cache
def source_hash():
    """Short hash (16 hexadecimal digits) of the library's source files."""
    return tree_digest(PACKAGE)
