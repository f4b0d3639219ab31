"""What our result cards say of a claim: which card answers, and the one rule that gives the verdict."""

import re
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from calcium_decoding import claims
from calcium_decoding.results import ResultCard, stored_folder


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

    Parameters
    ----------
    folder : Path, optional
        ``book/stored`` if left out.
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

    Parameters
    ----------
    side : Ours
    cards : sequence of Stored
    dataset : str or None
        The study's own recordings.

    Returns
    -------
    Found or None
        None if no card holds all scores.
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


def verdict(claim, study, ours, sound):
    """The rule: from a claim and what was found, a verdict and its reason. Nothing else decides.

    Parameters
    ----------
    claim : Claim
    study : Study
    ours, sound : Found or None
        Scores under their protocol and under the sound one.

    Returns
    -------
    verdict : Verdict
    reason : str
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
