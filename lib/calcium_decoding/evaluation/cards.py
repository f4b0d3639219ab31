"""The result card: every number with what it was measured on and how, as JSON and as a table."""

import json
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from calcium_decoding import __version__
from calcium_decoding.data.catalog import project_root
from calcium_decoding.data.clock import NOTE
from calcium_decoding.errors import DataError
from calcium_decoding.evaluation import convergence
from calcium_decoding.utils.code import PACKAGE
from calcium_decoding.utils.files import file_digest, hash_content, write_text

CHECKSUM = "checksum"  # in a stored file, its last line
# Scores of folds that a card summarises, by what is decoded.
SUMMARISED = {"binary": ("auc", "balanced_accuracy", "auc_train", "auc_valid"),
              "classes": ("balanced_accuracy", "macro_f1", "auc", "balanced_accuracy_train", "balanced_accuracy_valid"),
              "continuous": ("r2", "mae", "r2_running", "mae_running", "r2_class_mean", "mae_class_mean", "r2_train",
                                  "r2_valid")}
# What another processor may do to a score: at least this, and ten times what two other arithmetics did.
LEAST_TOLERANCE = 0.0002
TOLERANCE_PER_MOVED = 10
WIDEST_TOLERANCE = 0.2  # a number that may be further off is not worth comparing
DECIMALS = 2  # coarse enough that another machine of the same architecture prints the same


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Score(_Strict):
    """One number: ``scope`` says over what ("mean of 20 folds", "fold test=mouse 1"); ``sd``: over ``n`` folds of a
    mean."""

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


class Fit(_Strict):
    """One training of a comparison: its fold and seed, all scores, the losses of its epochs, and what it took."""

    fold: str
    test_group: str
    seed: int
    scores: dict[str, float]
    reason: str = ""
    train_loss: list[float] = Field(default_factory=list)
    valid_loss: list[float] = Field(default_factory=list)
    best_epoch: int = -1
    stopped_early: bool = False
    seconds: float = 0.0


class Compared(_Strict):
    """One condition of a comparison, as a figure shows it, with all its trainings."""

    name: str
    model: str
    value: float | None = None
    published: tuple[str, str, str] | None = None
    kind: str
    target: str
    classes: tuple[str, ...] = ()
    simulated: bool
    fits: list[Fit]


class Kept(_Strict):
    """A tidy table behind figures, by column; ``said``: what has to stand above it in red, if anything."""

    columns: dict[str, list]
    said: str = ""


@cache
def code_version():
    """Version of this library, the git commit where there is one, and the hash of its source."""
    try:
        commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=Path(__file__).parent, timeout=10,
                                capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        commit = "no git"
    files = sorted(path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".csv"))
    source = hash_content({path.relative_to(PACKAGE).as_posix(): file_digest(path) for path in files})
    return f"{__version__} (commit {commit}, source {source})"


class Provenance(_Strict):
    """What the numbers depend on."""

    data_hash: str
    split_hash: str
    code_version: str
    seed: int
    parameters: dict
    versions: dict[str, str]


def clock_notes(dataset):
    """What recordings note about their clocks (list of str): rules, masked frames, how behaviour got on frames; each
    once, with the recordings that it is of."""
    found = {}
    for recording in dataset.recordings:
        for note in recording.notes:
            if note.startswith(NOTE):
                found.setdefault(note.removeprefix(NOTE), []).append(recording.id)
    return [f"{note} ({', '.join(ids) if len(ids) < 4 else f'{len(ids)} recordings'})" for note, ids in found.items()]


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
        """Write JSON, a field a line: of many trainings it would be twice as large if every number had its own. The
        last line is a checksum of the others."""
        content = self.model_dump(mode="json")
        content[CHECKSUM] = hash_content(content)
        short = {"separators": (",", ":"), "allow_nan": False, "ensure_ascii": False}
        lines = [f'"{name}":{json.dumps(value, **short)}' for name, value in content.items()]
        write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")

    @classmethod
    def load(cls, path):
        """Read a file; DataError if it is missing, not JSON, not of this kind, or not what was written."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if isinstance(content, dict) and content.pop(CHECKSUM, None) not in (None, hash_content(content)):
                raise ValueError("values that are not those that were written: the checksum differs")
            return cls.model_validate_json(json.dumps(content))
        except (OSError, ValueError) as error:
            raise DataError(path, str(error).splitlines()[0], f"{cls.KIND} as this library writes it",
                            cls.REMEDY) from error


class ResultCard(Stored):
    """The result of one chapter.

    ``simulated``: any number was measured on simulated recordings. ``claim``: what the split allows to be said.
    ``null``: which null is given next to the scores, or why there is none. ``clock``: what was done to put frames and
    behaviour on one clock, see :func:`clock_notes`. ``comparisons``: trainings of the figures that compare. ``tables``:
    what other figures are drawn from.
    """

    KIND, REMEDY = "a result card", "run the chapter again"

    chapter: str
    dataset: str
    simulated: bool
    kind: Literal["decoding", "data"] = "decoding"
    claim: str
    null: str
    clock: list[str] = Field(default_factory=list)
    scores: list[Score]
    refused: list[Refused] = Field(default_factory=list)
    not_evaluable: list[NotEvaluable] = Field(default_factory=list)
    comparisons: dict[str, list[Compared]] = Field(default_factory=dict)
    tables: dict[str, Kept] = Field(default_factory=dict)
    provenance: Provenance

    def table(self):
        """Scores as a DataFrame, one row a score."""
        return pd.DataFrame([score.model_dump() for score in self.scores])

    def origin(self):
        """What the numbers depend on as a DataFrame with columns ``what`` and ``value``, for the page."""
        p = self.provenance
        rows = {"data": f"{self.dataset} ({'simulated' if self.simulated else 'recorded'}), content {p.data_hash}",
                "split": f"{p.split_hash}, a claim {self.claim}", "null": self.null, "seed": str(p.seed),
                "code": p.code_version, "run with": ", ".join(f"{k} {v}" for k, v in p.versions.items()),
                "parameters": ", ".join(f"{k}={v}" for k, v in p.parameters.items())}
        rows |= {"clock": "; ".join(self.clock)} if self.clock else {}
        return pd.DataFrame({"what": rows.keys(), "value": rows.values()})

    def rounded(self):
        """The lines that a regression test compares: summary scores, rounded; folds and machines left out, and means of
        one fold, since a network that was trained on nothing ends elsewhere for the last bit of an input."""
        kind = "simulated" if self.simulated else "recorded"
        lines = [f"{self.chapter} on {self.dataset} ({kind}), {self.claim}, split {self.provenance.split_hash}"]
        rows = [(s.model, s.metric, s.scope, _printed(s.value)) for s in self.compared()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += ["  ".join(x.ljust(w) for x, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines += [f"refused: {r.session}" for r in self.refused]
        lines += [f"not evaluable: {f.fold}" for f in self.not_evaluable]
        return "\n".join(lines)

    def summary(self):
        """The means over folds, animals or ROIs, without medians and single folds."""
        return [score for score in self.scores if score.scope.startswith("mean of ")]

    def seconds(self):
        """What all trainings took on one processor, those of comparisons and of single folds."""
        compared = [fit.seconds for of_label in self.comparisons.values() for one in of_label for fit in one.fits]
        return sum(compared) + sum(score.value for score in self.scores if score.metric == "seconds")

    def compared(self):
        """The scores of which :meth:`rounded` has a line."""
        return [score for score in self.summary() if not score.scope.startswith("mean of 1 folds")]

    def varying(self, others):
        """Scores that :meth:`rounded` could print otherwise on another kind of processor, and how. ``others``:
        ResultCards of the same run with other arithmetic; a score may lie off by 0.0002 and ten times what it moved
        there. Returns pairs of the Score and what could be printed, a list of str, empty for a score that could be off
        by more than 0.2."""
        found = []
        elsewhere = [{(s.model, s.metric, s.scope): s.value for s in card.compared()} for card in others]
        for score in self.compared():
            values = [of.get((score.model, score.metric, score.scope), np.inf) for of in elsewhere]
            moved = max([abs(value - score.value) for value in values], default=0.0)
            tolerance = LEAST_TOLERANCE + TOLERANCE_PER_MOVED * moved
            if tolerance > WIDEST_TOLERANCE:
                found.append((score, []))
                continue
            low, high = (round((score.value + by) * 10**DECIMALS) for by in (-tolerance, tolerance))
            if low < high:
                found.append((score, [_printed(i / 10**DECIMALS) for i in range(low, high + 1)]))
        return found


def _printed(value):
    return f"{round(value, DECIMALS) + 0.0:.{DECIMALS}f}"  # -0.00 is 0.00


def stored_folder():
    """Folder of results that ship with the book."""
    return project_root() / "book" / "stored"


def stored_cards():
    """Cards that ship with the book, measured where it takes longer than a page may, by the name of their file."""
    return {path.name: ResultCard.load(path) for path in sorted(stored_folder().glob("*.card.json"))}


def stored_card(name):
    """The card ``book/stored/<name>.card.json``; None if it is not there."""
    path = stored_folder() / f"{name}.card.json"
    return ResultCard.load(path) if path.exists() else None


def summarise(model, values, metric="auc", unit="folds"):
    """Mean with sample SD over ``values``, and their median, which a few odd folds cannot move, as two scores."""
    values = np.asarray(list(values), dtype=float)
    sd = float(values.std(ddof=1)) if len(values) > 1 else None
    n = len(values)
    return [Score(model=model, metric=metric, scope=f"mean of {n} {unit}", value=float(values.mean()), sd=sd, n=n),
            Score(model=model, metric=metric, scope=f"median of {n} {unit}", value=float(np.median(values)), n=n)]


def converged(model, reason, n):
    """Whether ``n`` folds of a model have converged, 1 or 0, a Score; ``reason``: why they have not, else empty."""
    return Score(model=model, metric="converged", scope=f"over {n} folds", value=float(not reason), n=n)


def table_scores(table, value, model, metric="auc", unit="animals", single="", compared=True):
    """Scores of a table with a row a measurement, a list: mean and median of the column ``value`` for each ``model``,
    ``metric`` and ``unit``, texts that may name columns, such as ``"{decoder} at {length_s:g} s"``. ``unit`` is what
    the rows are; if it is empty, there are no means. ``single``: scope of a score for each row, such as ``"animal
    {animal}"``; if it is empty, rows have none. Rows without a value are left out. ``compared=False``: the mean alone,
    in a scope that :meth:`ResultCard.rounded` passes over, since it varies with rounding."""
    groups, scores = {}, []
    for row in [] if table.empty else table.dropna(subset=value).to_dict("records"):
        groups.setdefault(tuple(text.format(**row) for text in (model, metric, unit)), []).append(row)
    for (name, of, over), rows in groups.items():
        means = summarise(name, [row[value] for row in rows], of, over) if unit else []
        scores += means if compared else [means[0].model_copy(update={"scope": f"over {len(rows)} {over}, mean"})]
        scores += [Score(model=name, metric=of, scope=single.format(**row), value=row[value])
                   for row in rows if single]
    return scores


def fold_scores(folds, suffix=""):
    """Scores of fold results, a list of Score: over folds, by test group, and of each fold; ``converged``: 1 if all
    trainings have. ``folds``: FoldResults; those without scores are left out. ``suffix``: added to the model's name.
    Folds share animals and training data: their SD is not a standard error."""
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
        scores.append(converged(name, convergence.not_converged(mine), len(mine)))
        groups = dict.fromkeys(fold.test_group for fold in mine)
        if 1 < len(groups) < len(mine):
            means = {g: np.mean([fold.scores[main] for fold in mine if fold.test_group == g]) for g in groups}
            scores += summarise(name, means.values(), main, unit="test groups")[:1]
            scores += [Score(model=name, metric=main, scope=f"fold group {g}", value=float(v))
                       for g, v in means.items()]
        scores += [Score(model=name, metric=metric, scope=f"fold {fold.fold}", value=value)
                   for fold in mine for metric, value in {**fold.scores, "seconds": fold.seconds}.items()]
    return scores
