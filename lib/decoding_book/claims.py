"""What the two studies claim, claim by claim, with their numbers looked up in the published tables.

The claims stand in ``claims.yaml``; no published number does. A claim names the rows of a table that hold its
numbers, the scores of result cards that answer it, and the order of values it asserts.
"""

import re
from functools import cache
from importlib.resources import files
from itertools import combinations, pairwise, product
from typing import Annotated, Any, NamedTuple

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from calcium_decoding.data import published
from calcium_decoding.errors import DataError

# Differences of two means that are too small to call an order, and small enough to call two values level.
UNDECIDED, LEVEL = 0.005, 0.01
# Columns of mean and SD in the tables whose rows are summaries; in all others a row is one value.
_SUMMARY = {"paper_reported": ("mean", "sd"), "shap_roi_frame": ("mean_abs_shap", "sd_across_folds")}
_VALUE = {"rank_sum_check": "p_holm", "cutout_one_session": "importance", "roi_table": "mean_run_correlation",
          "shap_roi_by_fold": "sum_over_frames_mean_abs_shap"}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Published(NamedTuple):
    """A published number: one value, or a mean with its sample SD."""

    value: float
    sd: float | None = None


class Theirs(_Strict):
    """What the study says: a statement in our words, rows of a published table by label, p-values by label.

    ``where`` holds what all ``rows`` share.
    """

    stated: str = ""
    table: str = ""
    where: dict[str, Any] = {}
    rows: dict[str, dict[str, Any]] = {}
    p: dict[str, dict[str, Any]] = {}

    def values(self):
        """The numbers (Published) of ``rows`` by label."""
        return {label: look_up(self.table, self.where | row) for label, row in self.rows.items()}

    def p_values(self):
        """p after Holm's correction by label of the pair, from ``rank_sum_check.csv``."""
        return {label: look_up("rank_sum_check", row).value for label, row in self.p.items()}


class ScoreName(_Strict):
    """A score of a result card whose metric differs from that of its neighbours."""

    model: str
    metric: str


class Ours(_Strict):
    """Scores of one result card by label, such as the ``of`` ("mean") over its ``over`` ("folds", "ROIs").

    ``chapter`` may be a list of those that can answer, the first preferred. ``how`` says what differs from the
    published protocol.
    """

    chapters: Annotated[list[str], BeforeValidator(lambda x: [x] if isinstance(x, str) else x)] = Field(alias="chapter")
    metric: str = "auc"
    of: str = "mean"
    over: str = "folds"
    scores: Annotated[dict[str, str | ScoreName], Field(min_length=1)]
    how: str = ""

    def names(self):
        """(model, metric) by label."""
        return {label: (name.model, name.metric) if isinstance(name, ScoreName) else (name, self.metric)
                for label, name in self.scores.items()}


class Claim(_Strict):
    """One row of the ledger.

    ``where``: panel or place in the study. ``direction`` (list of str): orders that the claim asserts, such as ``"GRU >
    linear, null"`` or ``"0.5 s ~ 1 s"``; labels or numbers. ``tolerance``: largest difference from a published value
    that counts as the same. Left out: SD over the root of the number of animals. ``built_in``: the simulated world was
    made to be so, which its order then says nothing about. ``no_check``: why the claim cannot be checked at all.
    """

    where: str
    claim: str
    theirs: Theirs = Theirs()
    ours: Ours | None = None
    sound: Ours | None = None
    direction: list[str] = []
    tolerance: float | None = None
    decimals: int = 3
    built_in: bool = False
    no_check: str = ""

    @model_validator(mode="after")
    def _can_be_decided(self):
        if not (self.ours or self.sound or self.no_check):
            raise ValueError(f"{self.where}: names neither scores of ours nor why it cannot be checked")
        if self.ours and not (self.direction or self.theirs.rows):
            raise ValueError(f"{self.where}: scores of ours, but no published value and no direction to compare with")
        side = self.ours or self.sound
        unknown = [label for text in self.direction for label in labels(text) if side and label not in side.scores]
        if unknown:
            raise ValueError(f"{self.where}: direction names {unknown}, which are no labels of scores")
        return self


class Group(_Strict):
    """Claims of one figure, or of one part of a study."""

    title: str
    note: str = ""
    claims: Annotated[list[Claim], Field(min_length=1)]


class Disagreement(_Strict):
    """A subject on which a study's paper and code, or two of its passages, differ."""

    subject: str
    paper: str
    elsewhere: str
    used: str


class Study(_Strict):
    """One study.

    ``dataset``: its own recordings in ``data_manifest.yaml``, on which alone a claim can be reproduced; None: not
    public. ``animals``: how many animals its means rest on.
    """

    title: str
    cite: str
    dataset: str | None
    animals: int | None
    about: str
    groups: Annotated[list[Group], Field(min_length=1)]
    disagreements_title: str
    disagreements: Annotated[list[Disagreement], Field(min_length=1)]


class Claims(_Strict):
    """The claims of all studies."""

    studies: Annotated[list[Study], Field(min_length=1)]


@cache
def load():
    """The claims that come with the library; DataError if the file does not fit its schema."""
    return parse((files("decoding_book") / "claims.yaml").read_text(encoding="utf-8"))


def parse(text):
    """Claims from the text of a YAML file; see :func:`load`."""
    try:
        return Claims.model_validate(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError) as error:
        raise DataError("claims.yaml", str(error).replace("\n", "; "), "claims as decoding_book.claims types them",
                        "mend the entry named") from error


def look_up(name, where):
    """A number (Published) in a published table, from the value that each column has to have.

    Several rows that match are summarised as mean and sample SD; with ``take: min`` the smallest is taken. Percentages
    become shares of one. DataError: no such table or column, no row that matches, or several summaries that match.
    """
    take = where.get("take", "mean")
    where = {column: value for column, value in where.items() if column != "take"}
    try:
        rows = published.table(name)
        for column, value in where.items():
            rows = rows[rows[column] == value]
    except KeyError as error:
        raise DataError("claims.yaml", f"{name}: {error}", "a published table and its columns",
                        "see published/README.md") from error
    if rows.empty or (name in _SUMMARY and len(rows) > 1) or take not in ("mean", "min"):
        raise DataError("claims.yaml", f"{len(rows)} rows of {name} with {where}, take: {take}",
                        "rows that match, one if they are summaries; take: mean or min", "mend the entry")
    if name in _SUMMARY:
        mean, sd = rows[list(_SUMMARY[name])].iloc[0]
        scale = 100 if "unit" in rows and rows["unit"].iloc[0] == "percent" else 1
        return Published(float(mean) / scale, float(sd) / scale)
    values = rows[_VALUE.get(name, "value")]
    if take == "min" or len(values) == 1:
        return Published(float(values.min()))
    return Published(float(values.mean()), float(values.std(ddof=1)))


def labels(direction):
    """Labels that a direction names, numbers left out."""
    return [word for word in _words(direction, "[>~,]") if not re.fullmatch(r"-?\d+(\.\d+)?", word)]


def holds(direction, values, error=None):
    """Does an order hold? "holds", "undecided" or "does not hold".

    ``direction``: ``"a, b > c > d"``: every value on one side above every one on the next. ``"a ~ b ~ c"``: all within
    :data:`LEVEL`. ``values``: by label; a word that is a number stands for itself. ``error``: standard error of the
    difference of two labels, or of one label from a number; 0 if left out. Undecided: some difference that the order
    needs is no larger than :data:`UNDECIDED`, or than its standard error, either way; or one between values that should
    be level is larger than :data:`LEVEL` but not than its error.
    """
    error = error or (lambda a, b: 0.0)

    def gap(a, b):
        first, second = (values[word] if word in values else float(word) for word in (a, b))
        return first - second

    def above(a, b):
        least = max(UNDECIDED, error(a, b))
        return "holds" if gap(a, b) > least else "undecided" if gap(a, b) >= -least else "does not hold"

    def level(a, b):
        apart = abs(gap(a, b))
        return "holds" if apart <= LEVEL else "undecided" if apart <= error(a, b) else "does not hold"

    if "~" in direction:
        return _weakest(level(a, b) for a, b in combinations(_words(direction, "[~,]"), 2))
    sides = [_words(side, ",") for side in _words(direction, ">")]
    return _weakest(above(a, b) for left, right in pairwise(sides) for a, b in product(left, right))


def all_hold(directions, values, error=None):
    """The weakest answer of :func:`holds` over several directions."""
    return _weakest(holds(direction, values, error) for direction in directions)


def _weakest(answers):
    return min(answers, key=("does not hold", "undecided", "holds").index)


def _words(text, between):
    return [word.strip() for word in re.split(between, text)]
