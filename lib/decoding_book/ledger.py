"""The ledger ``book/reproduction.md``: every claim of both studies, the cards that answer it, a verdict by one rule."""

import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from calcium_decoding.data.catalog import project_root
from calcium_decoding.evaluation.cards import ResultCard, stored_folder
from calcium_decoding.utils.files import write_text
from decoding_book import claims
from decoding_book.pages import markdown

PAGE = "reproduction.md"
COMMAND = "calcium-decoding book ledger"
_GLUE = "\N{NO-BREAK SPACE}"  # a narrow column breaks between values, not inside one


def unresolved(cards, known=None):
    """Scores that claims ask of chapters which have a stored card, and that no card of these chapters holds.

    Returns a list of str: a line each.
    """
    lines = []
    for study in (known or claims.load()).studies:
        for claim in (c for group in study.groups for c in group.claims):
            for side in (claim.ours, claim.sound):
                mine = [s for s in cards if side and s.card.chapter in side.chapters]
                if mine and find(side, mine, study.dataset) is None:
                    lines += [f"{claim.where}: {stored.name} has no {name}" for stored in mine
                              for name in missing(side, stored.card)]
    return lines


def page(cards, known=None):
    """The text of the page; the same cards and claims give the same text."""
    known = known or claims.load()
    rows = [(study, [(group, [_row(claim, study, cards) for claim in group.claims]) for group in study.groups])
            for study in known.studies]
    parts = [_top(rows)]
    for study, groups in rows:
        parts.append(f"## {study.title}\n\n{study.about.strip()}\n")
        for group, mine in groups:
            note = f"{group.note.strip()}\n\n" if group.note else ""
            parts.append(f"### {group.title}\n\n{note}" + markdown.table(
                ("claim", "theirs", "ours, their protocol", "ours, sound protocol", "verdict, data"),
                [row.cells for row in mine]))
        parts.append(f"### {study.disagreements_title}\n\n" + markdown.table(
            ("subject", "paper", "code or other place", "we use"),
            [(d.subject, d.paper, d.elsewhere, d.used) for d in study.disagreements]))
    parts.append(_origins(rows))
    return "\n".join(parts)


class Verdict(StrEnum):
    """What can be said of a claim."""

    REPRODUCED = "reproduced"
    DIFFERS = "differs"
    SIMULATED = "not comparable (simulated)"
    OTHER = "not comparable (other recordings)"
    NOT_YET = "not yet done"
    CANNOT = "cannot be checked"


def verdict(claim, study, ours, sound):
    """The rule: from a claim and what was found, a verdict and its reason. Nothing else decides.

    ``claim``: Claim. ``study``: Study. ``ours``, ``sound``: scores under their protocol and under the sound one.
    Returns ``verdict`` (Verdict); ``reason``.
    """
    if claim.no_check:
        return Verdict.CANNOT, claim.no_check
    # Their protocol decides. The sound one does where the claim has no answer of the other kind by design.
    decides = ours if claim.ours else sound
    if decides is None:
        return Verdict.NOT_YET, " or ".join(chapter_link(chapter) for chapter in (claim.ours or claim.sound).chapters)
    card = decides.stored.card
    order = claims.all_hold(claim.direction, decides.values, decides.error) if claim.direction else None
    also = _sound_order(claim, order, sound if claim.ours else None)
    if not _is_own(card, study.dataset):
        reason = f"there the order {_says(order)}{also}" if order else "values only, no order to look at"
        reason += "; that world was built so" if claim.built_in and card.simulated else ""
        return (Verdict.SIMULATED if card.simulated else Verdict.OTHER), reason
    wrong = _outside(claim, study, decides)
    if order in ("undecided", "does not hold"):
        wrong.append(f"the order {_says(order)}")
    if wrong:
        return Verdict.DIFFERS, "; ".join(wrong) + also
    return Verdict.REPRODUCED, ("the order holds" if order else "values within the tolerance") + also


@dataclass(frozen=True, eq=False)
class _Row:
    verdict: Verdict
    cells: tuple
    cards: tuple


def _row(claim, study, cards):
    ours, sound = (find(side, cards, study.dataset) if side else None for side in (claim.ours, claim.sound))
    word, reason = verdict(claim, study, ours, sound)
    found = list(dict.fromkeys(each.stored for each in (ours, sound) if each))
    data = [f"on {each.card.dataset}{', **simulated**' if each.card.simulated else ''}, "
            f"{chapter_link(each.card.chapter)}" for each in found]
    cells = (f"**{claim.where}**<br>{claim.claim}", _theirs(claim), _ours(claim.ours, ours, claim),
             _ours(claim.sound, sound, claim), "<br>".join([f"**{word}**: {reason}", *data]))
    return _Row(word, cells, tuple(found))


def _theirs(claim):
    values = [_labelled(label, v.value, v.sd, claim) for label, v in claim.theirs.values().items()]
    values += [f"p {p:.2g} ({label}, Holm)" for label, p in claim.theirs.p_values().items()]
    return _lines(([claim.theirs.stated] if claim.theirs.stated else []) + values) or "–"


def _ours(side, found, claim):
    if side is None:
        return "–"
    if found is None:
        return f"not yet ({side.how})" if side.how else "not yet"
    over = " or ".join(dict.fromkeys(score.scope.partition(" of ")[2] for score in found.scores.values()))
    values = [_labelled(label, score.value, score.sd, claim) for label, score in found.scores.items()]
    return _lines(values) + f"<br>({'; '.join(filter(None, (over, side.how)))})"


def _labelled(label, value, sd, claim):
    spread = "" if sd is None else f"{_GLUE}±{_GLUE}{sd:.{claim.decimals}f}"
    return f"{label} {value:.{claim.decimals}f}{spread}"


def _lines(parts):
    return ";<br>".join(parts)


def _top(rows):
    counted = Counter(row.verdict for _, groups in rows for _, mine in groups for row in mine)
    counts = markdown.table(("verdict", "rows", "means"), [(f"**{v}**", counted[v], MEANS[v]) for v in Verdict])
    return f"""\
<!-- Written by `{COMMAND}` from claims.yaml, the published tables and the stored cards: edit those. -->

# What did the studies claim, and what did we find?

Every claim and every figure of both studies, one row each, with what was measured here beside it. No result and no
verdict in these rows was typed: theirs come from the published tables that ship with the library, ours from stored
result cards, and one rule gives the verdicts. Below the rows of each study: where its paper and its code disagree.

- **theirs**: the published value, mean ± sample SD (over 20 folds unless the row says otherwise), or the statement in
  our words where no number was published. p: rank-sum test with Holm's correction, recomputed from saved folds.
- **ours, their protocol**: the same analysis as published, mean ± sample SD.
- **ours, sound protocol**: the same question with what the published way leaves open closed; the row says what.
- **verdict, data**: the verdict, its reason, and what ours was measured on, with its chapter. Simulated data are called
  simulated.
- **tolerance** for a published mean: its SD over the root of the number of animals, not of folds, which share animals.
  An order of values is called *undecided* where a difference it needs is {claims.UNDECIDED:g} or less, or no larger
  than its standard error over animals, or measured on fewer than three of them (known where the card holds a value
  per animal); values within {claims.LEVEL:g} count as level. Tests and intervals stand in the chapters.

{counts}"""


def _origins(rows):
    used = sorted({stored for _, groups in rows for _, mine in groups for row in mine for stored in row.cards},
                  key=lambda stored: stored.name)
    lines = [(f"`{s.name}`", f"{s.card.dataset} ({'simulated' if s.card.simulated else 'recorded'}), "
              f"content {s.card.provenance.data_hash}", s.card.provenance.split_hash, s.card.provenance.seed,
              s.card.provenance.code_version) for s in used]
    table = markdown.table(("card in `book/stored`", "data", "split", "seed", "code version"), lines)
    return "## The cards behind this page\n\n" + (table if used else "None yet.\n")


def write(path=None):
    """Write the page, whole or not at all.

    ``path``: ``book/reproduction.md`` if left out. Returns ``path`` (Path); ``unresolved`` (list of str): see
    :func:`unresolved`.
    """
    path = path or project_root() / "book" / PAGE
    cards = load_cards()
    write_text(path, page(cards))
    return path, unresolved(cards)


MEANS = {
    Verdict.REPRODUCED: "measured on the study's own recordings: values within the tolerance, the stated order holds",
    Verdict.DIFFERS: "measured on the study's own recordings: a value lies outside, or the order does not hold",
    Verdict.SIMULATED: "ours was measured on simulated recordings. It speaks neither for nor against the claim; "
                       "whether the order of values holds in the simulated world is said, as a fact about that world",
    Verdict.OTHER: "ours was measured on real recordings of somebody else",
    Verdict.NOT_YET: "no stored result answers the claim; the chapter that can is named",
    Verdict.CANNOT: "what it would take is not public, or nothing is claimed that a number could answer",
}

# Scope of a single value, with the animal it was measured on.
_SINGLE = re.compile(r"^(?:animal |fold test=)([^,]+)")


@dataclass(frozen=True, eq=False)
class Stored:
    """A result card and the name of its file."""

    name: str
    card: ResultCard


@dataclass(frozen=True, eq=False)
class Found:
    """The card that answers a claim, and its scores by label."""

    stored: Stored
    scores: dict

    @property
    def values(self):
        """Value by label."""
        return {label: score.value for label, score in self.scores.items()}

    def error(self, a, b):
        """Standard error of the difference of two labels, or of one from a number, over the animals that both have.

        Infinite over fewer than three, 0 where the card holds means alone.
        """
        singles = [self._by_animal(self.scores[label]) for label in (a, b) if label in self.scores]
        if any(values.empty for values in singles):
            return 0.0
        differences = singles[0] if len(singles) == 1 else (singles[0] - singles[1]).dropna()
        return float(differences.sem()) if len(differences) >= 3 else inf

    def _by_animal(self, score):
        """Mean over the folds that test an animal, by animal: Series, empty where the card holds means alone."""
        table = self.stored.card.table()
        mine = table[(table["model"] == score.model) & (table["metric"] == score.metric)]
        return mine["value"].groupby(mine["scope"].str.extract(_SINGLE, expand=False)).mean()


def load_cards(folder=None):
    """Stored result cards, sorted by file name.

    ``folder``: ``book/stored`` if left out.
    """
    folder = folder or stored_folder()
    return [Stored(path.name, ResultCard.load(path)) for path in sorted(folder.glob("*.card.json"))]


def missing(side, card):
    """Names of scores that ``side`` asks for and a card does not hold, as text."""
    scores = _summaries(side, card)
    return [f"{model}, {metric}, {side.of} of {side.over}" for model, metric in side.names().values()
            if (model, metric) not in scores]


def _summaries(side, card):
    """Scores of a card by model and metric, over what ``side`` asks for."""
    # Where every animal is tested once, its only fold is its mean, and cards hold the mean over folds alone.
    units = ("folds", "test groups") if side.over == "test groups" else (side.over,)
    return {(score.model, score.metric): score for unit in units for score in card.scores
            if re.fullmatch(rf"{re.escape(side.of)} of \d+ {re.escape(unit)}", score.scope)}


def find(side, cards, dataset):
    """The card that answers best: the study's own recordings first, then most folds, then order of chapters and names.

    ``side``: Ours. ``cards``: sequence of Stored. ``dataset``: the study's own recordings. Returns Found or None: None
    if no card holds all scores.
    """
    found = []
    for stored in cards:
        card = stored.card
        if card.chapter in side.chapters and not missing(side, card):
            scores = _summaries(side, card)
            scores = {label: scores[name] for label, name in side.names().items()}
            own = _is_own(card, dataset)
            smallest = min(score.n or 1 for score in scores.values())
            found.append(((not own, -smallest, side.chapters.index(card.chapter), stored.name), Found(stored, scores)))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def _is_own(card, dataset):
    return not card.simulated and dataset is not None and card.dataset == dataset


def _sound_order(claim, order, sound):
    """What to add about the order under the sound protocol, where it was measured with the same labels."""
    if order is None or sound is None or any(x not in sound.values for d in claim.direction for x in claims.labels(d)):
        return ""
    under = claims.all_hold(claim.direction, sound.values, sound.error)
    return f"; under the sound protocol it {_says(under)}"


def _says(order):
    return "is undecided" if order == "undecided" else order


def _outside(claim, study, found):
    """Labels whose value of ours lies outside the tolerance around the published one."""
    wrong = []
    for label, theirs in claim.theirs.values().items():
        if label in found.values and abs(found.values[label] - theirs.value) > tolerance(claim, study, theirs):
            wrong.append(f"{label} is outside the tolerance")
    return wrong


def tolerance(claim, study, theirs):
    """Largest difference from a published value that counts as the same: as the claim says, or else the published SD
    over the root of the number of animals, or, without an SD, 0.01; never less than the rounding of the text."""
    rounding = 0.5 * 10.0**-claim.decimals
    if claim.tolerance is not None:
        return max(claim.tolerance, rounding)
    if theirs.sd is None or not study.animals:
        return max(0.01, rounding)
    return max(theirs.sd / study.animals**0.5, rounding)


def chapter_link(chapter):
    """The chapter by its number, as a link."""
    return f"[chapter {chapter[:2]}]({chapter})"
