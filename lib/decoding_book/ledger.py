"""The ledger ``book/reproduction.md``: every claim of both studies, the cards that answer it, a verdict by one rule."""

import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import NamedTuple

from calcium_decoding.data.catalog import project_root
from calcium_decoding.evaluation.cards import ResultCard, stored_folder
from calcium_decoding.utils.files import write_text
from decoding_book import claims
from decoding_book.pages import markdown

PAGE = "reproduction.md"
COMMAND = "calcium-decoding book ledger"
_GLUE = "\N{NO-BREAK SPACE}"  # a narrow column breaks between values, not inside one
_SINGLE = re.compile(r"^(?:animal |fold test=)([^,]+)")  # scope of a single value, with the animal it was measured on


class Verdict(StrEnum):
    """What can be said of a claim."""

    REPRODUCED = "reproduced"
    DIFFERS = "differs"
    SIMULATED = "not comparable (simulated)"
    OTHER = "not comparable (other recordings)"
    NOT_YET = "not yet done"
    CANNOT = "cannot be checked"


MEANS = {
    Verdict.REPRODUCED: "measured on the study's own recordings: values within the tolerance, the stated order holds",
    Verdict.DIFFERS: "measured on the study's own recordings: a value lies outside, or the order does not hold",
    Verdict.SIMULATED: "ours was measured on simulated recordings. It speaks neither for nor against the claim; "
                       "whether the order of values holds in the simulated world is said, as a fact about that world",
    Verdict.OTHER: "ours was measured on real recordings of somebody else",
    Verdict.NOT_YET: "no stored result answers the claim; the chapter that can is named",
    Verdict.CANNOT: "what it would take is not public, or nothing is claimed that a number could answer",
}


class Stored(NamedTuple):
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


def write():
    """Write ``book/reproduction.md``, whole or not at all; returns its path and what is :func:`unresolved`."""
    path, cards = project_root() / "book" / PAGE, load_cards()
    write_text(path, page(cards))
    return path, unresolved(cards)


def load_cards(folder=None):
    """Stored result cards (list of Stored) by file name; those of ``book/stored`` if no folder is named."""
    return [Stored(path.name, ResultCard.load(path))
            for path in sorted((folder or stored_folder()).glob("*.card.json"))]


def unresolved(cards, known=None):
    """Scores that claims ask of chapters which have a stored card, and that no card of these chapters holds; lines."""
    lines = []
    for study in (known or claims.load()).studies:
        for claim in (c for group in study.groups for c in group.claims):
            for side in (claim.ours, claim.sound):
                mine = [s for s in cards if side and s.card.chapter in side.chapters]
                if mine and find(side, mine, study.dataset) is None:
                    lines += [f"{claim.where}: {stored.name} has no {name}" for stored in mine
                              for name in _missing(side, stored.card)]
    return lines


def find(side, cards, dataset):
    """The card (Found) that answers best; None if no card holds all scores that ``side`` (Ours) asks for.

    The study's own recordings, ``dataset``, go first, then most folds, then the order of chapters and of names.
    """
    found = []
    for stored in cards:
        card = stored.card
        if card.chapter in side.chapters and not _missing(side, card):
            held = _summaries(side, card)
            scores = {label: held[name] for label, name in side.names().items()}
            smallest = min(score.n or 1 for score in scores.values())
            rank = (not _is_own(card, dataset), -smallest, side.chapters.index(card.chapter), stored.name)
            found.append((rank, Found(stored, scores)))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def _missing(side, card):
    held = _summaries(side, card)
    return [f"{model}, {metric}, {side.of} of {side.over}" for model, metric in side.names().values()
            if (model, metric) not in held]


def _summaries(side, card):
    """Scores of a card by model and metric, over what ``side`` asks for."""
    # Where every animal is tested once, its only fold is its mean, and cards hold the mean over folds alone.
    units = ("folds", "test groups") if side.over == "test groups" else (side.over,)
    return {(score.model, score.metric): score for unit in units for score in card.scores
            if re.fullmatch(rf"{re.escape(side.of)} of \d+ {re.escape(unit)}", score.scope)}


def _is_own(card, dataset):
    return not card.simulated and dataset is not None and card.dataset == dataset


def verdict(claim, study, ours, sound):
    """The rule: a Verdict and its reason, from a claim and what was found (Found or None) under their protocol and
    under the sound one. Nothing else decides."""
    if claim.no_check:
        return Verdict.CANNOT, claim.no_check
    # Their protocol decides. The sound one does where the claim has no answer of the other kind by design.
    decides = ours if claim.ours else sound
    if decides is None:
        return Verdict.NOT_YET, " or ".join(map(_chapter_link, (claim.ours or claim.sound).chapters))
    card = decides.stored.card
    order = claims.all_hold(claim.direction, decides.values, decides.error) if claim.direction else None
    also = _sound_order(claim, sound) if order and claim.ours and sound else ""
    if not _is_own(card, study.dataset):
        reason = f"there the order {_says(order)}{also}" if order else "values only, no order to look at"
        reason += "; that world was built so" if claim.built_in and card.simulated else ""
        return (Verdict.SIMULATED if card.simulated else Verdict.OTHER), reason
    values = decides.values
    wrong = [f"{label} is outside the tolerance" for label, theirs in claim.theirs.values().items()
             if label in values and abs(values[label] - theirs.value) > _tolerance(claim, study, theirs)]
    if order in ("undecided", "does not hold"):
        wrong.append(f"the order {_says(order)}")
    if wrong:
        return Verdict.DIFFERS, "; ".join(wrong) + also
    return Verdict.REPRODUCED, ("the order holds" if order else "values within the tolerance") + also


def _sound_order(claim, sound):
    """What to add about the order under the sound protocol, where it was measured with the same labels."""
    if any(label not in sound.values for direction in claim.direction for label in claims.labels(direction)):
        return ""
    return f"; under the sound protocol it {_says(claims.all_hold(claim.direction, sound.values, sound.error))}"


def _says(order):
    return "is undecided" if order == "undecided" else order


def _tolerance(claim, study, theirs):
    """Largest difference from a published value that counts as the same: as the claim says, or else the published SD
    over the root of the number of animals, or, without an SD, 0.01; never less than the rounding of the text."""
    least = claim.tolerance
    if least is None:
        least = 0.01 if theirs.sd is None or not study.animals else theirs.sd / study.animals**0.5
    return max(least, 0.5 * 10.0**-claim.decimals)


def page(cards, known=None):
    """The text of the page; the same cards and claims give the same text."""
    counted, used, parts = Counter(), {}, []
    for study in (known or claims.load()).studies:
        parts.append(f"## {study.title}\n\n{study.about.strip()}\n")
        for group in study.groups:
            rows = []
            for claim in group.claims:
                word, cells, answered_by = _row(claim, study, cards)
                counted[word] += 1
                used |= {stored.name: stored.card for stored in answered_by}
                rows.append(cells)
            note = f"{group.note.strip()}\n\n" if group.note else ""
            parts.append(f"### {group.title}\n\n{note}" + markdown.table(
                ("claim", "theirs", "ours, their protocol", "ours, sound protocol", "verdict, data"), rows))
        parts.append(f"### {study.disagreements_title}\n\n" + markdown.table(
            ("subject", "paper", "code or other place", "we use"),
            [(d.subject, d.paper, d.elsewhere, d.used) for d in study.disagreements]))
    return "\n".join([_top(counted), *parts, _origins(used)])


def _row(claim, study, cards):
    """Verdict, cells and cards of a claim."""
    ours, sound = (find(side, cards, study.dataset) if side else None for side in (claim.ours, claim.sound))
    word, reason = verdict(claim, study, ours, sound)
    answered_by = [each.stored for each in (ours, sound) if each]
    data = dict.fromkeys(f"on {each.card.dataset}{', **simulated**' if each.card.simulated else ''}, "
                         f"{_chapter_link(each.card.chapter)}" for each in answered_by)
    cells = (f"**{claim.where}**<br>{claim.claim}", _theirs(claim), _ours(claim.ours, ours, claim),
             _ours(claim.sound, sound, claim), "<br>".join([f"**{word}**: {reason}", *data]))
    return word, cells, answered_by


def _theirs(claim):
    lines = [claim.theirs.stated] if claim.theirs.stated else []
    lines += [_labelled(label, v.value, v.sd, claim) for label, v in claim.theirs.values().items()]
    lines += [f"p {p:.2g} ({label}, Holm)" for label, p in claim.theirs.p_values().items()]
    return ";<br>".join(lines) or "–"


def _ours(side, found, claim):
    if side is None:
        return "–"
    if found is None:
        return f"not yet ({side.how})" if side.how else "not yet"
    over = " or ".join(dict.fromkeys(score.scope.partition(" of ")[2] for score in found.scores.values()))
    values = [_labelled(label, score.value, score.sd, claim) for label, score in found.scores.items()]
    return f"{';<br>'.join(values)}<br>({'; '.join(filter(None, (over, side.how)))})"


def _labelled(label, value, sd, claim):
    spread = "" if sd is None else f"{_GLUE}±{_GLUE}{sd:.{claim.decimals}f}"
    return f"{label} {value:.{claim.decimals}f}{spread}"


def _chapter_link(chapter):
    return f"[chapter {chapter[:2]}]({chapter})"


def _top(counted):
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


def _origins(used):
    lines = [(f"`{name}`", f"{card.dataset} ({'simulated' if card.simulated else 'recorded'}), "
              f"content {card.provenance.data_hash}", card.provenance.split_hash, card.provenance.seed,
              card.provenance.code_version) for name, card in sorted(used.items())]
    table = markdown.table(("card in `book/stored`", "data", "split", "seed", "code version"), lines)
    return "## The cards behind this page\n\n" + (table if lines else "None yet.\n")
