"""What the two studies claim, as ``claims.yaml`` says it, with their numbers looked up in the published tables."""

import re
from functools import cache
from importlib.resources import files
from itertools import combinations, pairwise, product
from typing import Annotated, Any, NamedTuple

import numpy as np
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from calcium_decoding.data import published
from calcium_decoding.errors import DataError

# Differences of two means that are too small to call an order, and small enough to call two values level.
UNDECIDED, LEVEL = 0.005, 0.01
ALPHA = 0.05  # of the study's tests
ANSWERS = ("does not hold", "undecided", "holds")  # the weakest first
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
    """What the study says: a statement in our words, rows of a published table by label, and p-values by label."""

    stated: str = ""
    table: str = ""
    where: dict[str, Any] = {}
    rows: dict[str, dict[str, Any]] = {}
    p: dict[str, dict[str, Any]] = {}

    def values(self):
        """The numbers (Published) of ``rows`` by label."""
        return {label: look_up(self.table, **self.where | row) for label, row in self.rows.items()}

    def p_values(self):
        """p after Holm's correction by label of the pair, from ``rank_sum_check.csv``."""
        return {label: look_up("rank_sum_check", **row).value for label, row in self.p.items()}


class ScoreName(_Strict):
    """A score of a result card whose metric differs from that of its neighbours."""

    model: str
    metric: str


class Ours(_Strict):
    """Scores of one stored result by label, the ``of`` ("mean") over its ``over`` ("folds", "ROIs"), of the first
    chapter that can answer. ``source``: begin of the name of the only results asked. ``linear``: of linear decoders,
    which have no epochs. ``how``: what differs from the published analysis by design."""

    source: str = ""
    linear: bool = False
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
    """One row of the ledger. ``where``: panel or place in the study. ``direction``: the parts of the claim, an order
    each. ``tolerance``: largest difference from a published value that counts as the same; left out: SD over the root
    of the number of animals. ``built_in``: the simulated world was made so. ``no_check``, ``unanswered``: why it cannot
    be checked, or why what was measured does not answer it."""

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
    unanswered: str = ""

    @model_validator(mode="after")
    def _can_be_decided(self):
        if not (self.ours or self.sound or self.no_check or self.unanswered):
            raise ValueError(f"{self.where}: names neither scores of ours nor why it cannot be checked")
        if self.ours and not (self.direction or self.theirs.rows or self.unanswered):
            raise ValueError(f"{self.where}: scores of ours, but no published value and no direction to compare with")
        side = self.ours or self.sound
        unknown = [label for text in self.direction for label in labels(text) if side and label not in side.scores]
        if unknown:
            raise ValueError(f"{self.where}: direction names {unknown}, which are no labels of scores")
        return self

    def parts(self, values, error=None):
        """Every :func:`part` of the claim (list of Part). A difference that the study measured and found not
        significant counts as level here too, if it is larger than :data:`LEVEL`."""
        return [part(order, values, error, self.slack(order)) for order in self.direction]

    def compared(self):
        """Labels, a set, of the values that the verdict rests on."""
        return {label for order in self.direction for label in labels(order)} or {*self.theirs.rows}

    def slack(self, order):
        """Largest difference of values that an order calls level."""
        theirs, p = self.theirs.values(), self.theirs.p_values()
        same = [(a, b) for a, b in _pairs(order) if max(p.get(f"{a}, {b}", 0), p.get(f"{b}, {a}", 0)) >= ALPHA]
        return max([LEVEL, *(abs(theirs[a].value - theirs[b].value) + 1e-9 for a, b in same)])


class Group(_Strict):  # of one figure, or of one part of a study
    title: str
    note: str = ""
    claims: Annotated[list[Claim], Field(min_length=1)]


class Disagreement(_Strict):
    """A subject on which a study's paper and code, or two of its passages, differ."""

    subject: str
    paper: str
    elsewhere: str
    used: str


class Done(NamedTuple):
    """How near a run came to a protocol: ``level``, 0 to 2, the run's ``numbers``, and all that ``differs`` from it."""

    level: int
    numbers: str
    differs: str = ""

    @property
    def name(self):
        return ("their protocol", "their training", "shortened")[self.level]


class Protocol(_Strict):
    """How a study trained and tested in the analyses of some ``chapters`` (of some ``metrics``, if given).
    ``parameters``: by name in a card, the published value, or a list of them, null if a card need not have it; and how
    another is said. ``brief``: those that a row gives. ``sessions``: None if each was taken by itself."""

    chapters: list[str]
    metrics: list[str] = []
    about: str
    parameters: dict[str, tuple[Any, str]] = {}
    brief: list[str] = []
    sessions: int | None = None
    frames: int
    input: str = ""
    folds: int | None = None

    def done(self, parameters, recorded, folds):
        """What a run did (Done): its parameters by name, (sessions, frames) or None if unknown, its numbers of folds.
        It is their protocol if nothing differs, their training if folds alone do."""
        said = {name: f"{name} not known" if parameters.get(name) is None else text.format(parameters[name])
                for name, (_, text) in self.parameters.items()}
        differs = [said[name] for name, (theirs, _) in self.parameters.items()
                   if parameters.get(name) not in (theirs if isinstance(theirs, list) else [theirs])]
        numbers = [said[name] for i, name in enumerate(self.brief) if i == 0 or said[name] in differs]
        amount = self.amount(*recorded) if recorded else "frames not known"
        numbers += [amount, self.input] if self.input and recorded else [amount]
        differs += [] if amount == self.amount(self.sessions, self.frames) else [amount]
        numbers += [] if {*differs} & {*numbers} else differs  # a row says at least something that differs
        level = 2 if differs else 0
        if self.folds and folds:
            numbers.append(f"{' or '.join(map(str, folds))} of {self.folds} folds")
            level = max(level, int({*folds} != {self.folds}))
        return Done(level, ", ".join(numbers), ", ".join(differs))

    def amount(self, sessions, frames):
        """So many sessions of so many frames each, as text."""
        return f"{sessions} × {frames:,} frames" if self.sessions else f"recordings of {frames:,} frames"


class Study(_Strict):
    """One study; ``dataset``: its own recordings in ``data_manifest.yaml``, on which alone a claim can be reproduced,
    None if they are not public; ``animals``: how many its means rest on."""

    title: str
    cite: str
    dataset: str | None
    animals: int | None
    about: str
    protocols: list[Protocol] = []
    groups: Annotated[list[Group], Field(min_length=1)]
    disagreements_title: str
    disagreements: Annotated[list[Disagreement], Field(min_length=1)]


class Claims(_Strict):
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


@cache
def look_up(name, /, take="mean", **where):
    """A number (Published) in a published table, from the value that each column has to have. Several rows that match
    are summarised as mean and sample SD, or by the smallest (``take="min"``). Percentages become shares of one.
    DataError: no such table or column, no row that matches, or several summaries that match."""
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


class Part(NamedTuple):
    """One order, its answer, and the two labels that decide it with their difference and half its 95 % interval."""

    order: str
    answer: str
    pair: tuple[str, str]
    gap: float
    error: float


def labels(order):
    """Labels that an order names, numbers left out."""
    return [word for word in _words(order, "[>=~,]+") if not re.fullmatch(r"-?\d+(\.\d+)?", word)]


def part(order, values, error=None, slack=LEVEL):
    """Does an order hold? A Part, whose answer is one of :data:`ANSWERS`.

    ``order``: ``"a, b > c > d"``: every value on one side above every one on the next. ``"a, b >= c"``: not below, by
    more than ``slack``. ``"a ~ b ~ c"``: all within ``slack``. ``values``: by label; a number stands for itself.
    ``error``: half the 95 % interval of the difference of two labels, or of one from a number; 0 if left out.
    Undecided: some difference that the order needs is no larger than :data:`UNDECIDED`, or than its error, either way;
    or one that should be within ``slack`` is larger, but not than its error.
    """
    found = []
    for a, b in _pairs(order):
        gap = float(np.subtract(*(values[word] if word in values else float(word) for word in (a, b))))
        sure = error(a, b) if error else 0.0
        if ">=" in order or "~" in order:
            beyond = abs(gap) if "~" in order else -gap
            answer = "holds" if beyond <= slack else "undecided" if beyond <= sure else "does not hold"
        else:
            beyond, least = -gap, max(UNDECIDED, sure)
            answer = "holds" if gap > least else "undecided" if gap >= -least else "does not hold"
        found.append((ANSWERS.index(answer), -beyond, Part(order, answer, (a, b), gap, sure)))
    return min(found, key=lambda one: one[:2])[2]


def weakest(parts):
    """The weakest answer of some parts."""
    return min((one.answer for one in parts), key=ANSWERS.index)


def _pairs(order):
    """Pairs of labels that an order compares."""
    sides = [_words(side, ",") for side in _words(order, "~|>=?")]
    pairs = combinations(sides, 2) if "~" in order else pairwise(sides)
    return [pair for left, right in pairs for pair in product(left, right)]


def _words(text, between):
    return [word.strip() for word in re.split(between, text)]
