"""The ledger ``book/reproduction.md``: every claim of both studies, what answers it, a verdict by one rule."""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from math import inf

from calcium_decoding.data.catalog import project_root
from calcium_decoding.evaluation.cards import stored_cards
from calcium_decoding.utils.files import write_text
from decoding_book import answers, claims
from decoding_book.pages import markdown

PAGE = "reproduction.md"
COMMAND = "calcium-decoding book ledger"
_GLUE = "\N{NO-BREAK SPACE}"  # a narrow column breaks between values, not inside one
MARKS = {"holds": "✓", "undecided": "?", "does not hold": "✗"}


class Verdict(StrEnum):
    """What can be said of a claim, and what that ``means``."""

    def __new__(cls, word, means):
        verdict = str.__new__(cls, word)
        verdict._value_, verdict.means = word, means
        return verdict

    REPRODUCED = ("reproduced",
                  "on the study's own recordings, trained as there: values within tolerance, every part holds")
    DIFFERS = ("differs",
               "on the study's own recordings, trained as there: a value lies outside, or a part does not hold")
    SHORTENED = "not comparable (shortened)", "on the study's own recordings, in a shortened training"
    OTHER = "not comparable (other recordings)", "on real recordings of somebody else"
    HOLDS = ("simulated: holds",
             "every part holds in the simulated world: a fact about that world, not for or against the claim")
    UNDECIDED = "simulated: undecided", "in the simulated world a part is undecided and none fails"
    FAILS = "simulated: does not hold", "in the simulated world a part does not hold"
    VALUES = "simulated: values only", "a value of ours beside a published one, without an order to test"
    NOT_CONVERGED = ("not converged", "a training that the claim needs had not converged, or its losses were not kept; "
                     "nothing is concluded")
    NOT_ANSWERED = "not answered", "what was measured does not answer the claim; the row says why"
    NOT_YET = "not yet done", "no stored result answers the claim; the chapter that can is named"
    CANNOT = "cannot be checked", "what it would take is not public, or nothing is claimed that a number could answer"


def write():
    """Write ``book/reproduction.md``, whole or not at all; returns its path and what is :func:`unresolved`."""
    path, stored = project_root() / "book" / PAGE, stored_cards()
    write_text(path, page(stored))
    return path, unresolved(stored)


def unresolved(stored, known=None):
    """Scores that claims ask of chapters which have a stored card, and that no card of these chapters holds; lines."""
    lines = []
    for study in (known or claims.load()).studies:
        for claim in (c for group in study.groups for c in group.claims):
            for side in filter(None, (claim.ours, claim.sound)):
                mine = {name: card for name, card in stored.items() if answers.asks(side, name, card)}
                if mine and answers.find(side, mine, study)[0] is None:
                    lines += [f"{claim.where}: {name} has no {score}" for name, card in mine.items()
                              for score in answers.missing(side, card)]
    return lines


def verdict(claim, study, ours, sound):
    """The rule: a Verdict and its reason, from a claim and what was found (Found or None). Nothing else decides."""
    if claim.no_check:
        return Verdict.CANNOT, claim.no_check
    if claim.unanswered:
        return Verdict.NOT_ANSWERED, claim.unanswered
    # Their protocol decides. The sound one does where the claim has no answer of the other kind by design.
    decides = ours if claim.ours else sound
    if decides is None:
        return Verdict.NOT_YET, " or ".join(map(_chapter_link, (claim.ours or claim.sound).chapters))
    if bad := [label for label in decides.not_converged if label in claim.compared()]:
        why = "not trained to the end" if decides.keeps_losses else "a short training, whose losses the card lacks"
        return Verdict.NOT_CONVERGED, f"{why}: {', '.join(bad)}"
    parts = claim.parts(decides.values, decides.error)
    answer = claims.weakest(parts) if parts else "values only"
    said = [f"{MARKS[part.answer]} {part.order}" for part in parts]
    if parts and claim.ours and sound:
        said += _sound_answer(claim, sound)
    if decides.card.simulated:
        built = claim.built_in and answer == "holds"
        return Verdict(f"simulated: {answer}"), "<br>".join(said + ["the world was built so"] * built)
    if not decides.own or decides.done.level == 2:
        return Verdict.SHORTENED if decides.own else Verdict.OTHER, "<br>".join([f"there: {answer}", *said])
    values = decides.values
    wrong = [f"{label} is outside the tolerance" for label, theirs in claim.theirs.values().items()
             if label in values and abs(values[label] - theirs.value) > _tolerance(claim, study, theirs)]
    differs = wrong or answer in claims.ANSWERS[:2]
    return Verdict.DIFFERS if differs else Verdict.REPRODUCED, "<br>".join(said + wrong)


def _sound_answer(claim, sound):
    """What to add about the sound protocol, where it was measured with the same labels."""
    if any(label not in sound.values for order in claim.direction for label in claims.labels(order)):
        return []
    bad = [label for label in sound.not_converged if label in claim.compared()]
    answer = Verdict.NOT_CONVERGED if bad else claims.weakest(claim.parts(sound.values, sound.error))
    return [f"sound protocol: {answer}"]


def _tolerance(claim, study, theirs):
    """Largest difference from a published value that counts as the same: as the claim says, or else the published SD
    over the root of the number of animals, or, without an SD, 0.01; never less than the rounding of the text."""
    least = claim.tolerance
    if least is None:
        least = 0.01 if theirs.sd is None or not study.animals else theirs.sd / study.animals**0.5
    return max(least, 0.5 * 10.0**-claim.decimals)


# ---- the page


@dataclass(frozen=True, eq=False)
class _Row:
    """A claim with what was found: Founds under their protocol, nearer to it in part, and under the sound one."""

    claim: claims.Claim
    study: claims.Study
    ours: answers.Found | None
    nearer: answers.Found | None
    sound: answers.Found | None

    @classmethod
    def of(cls, claim, study, stored):
        ours, nearer = answers.find(claim.ours, stored, study) if claim.ours else (None, None)
        sound, _ = answers.find(claim.sound, stored, study) if claim.sound else (None, None)
        if ours and sound and sound.scores == ours.scores:  # where every animal was tested once
            sound = None
        return cls(claim, study, ours, nearer, sound)

    @cached_property
    def verdict(self):
        return verdict(self.claim, self.study, self.ours, self.sound)

    @property
    def anchor(self):
        return f"{self.study.cite}-" + re.sub(r"\W+", "-", self.claim.where.lower())

    @property
    def title(self):
        return f'<span id="{self.anchor}"></span>**{self.claim.where}**'

    def cells(self):
        """Of the table: claim, verdict, theirs, ours."""
        claim, (word, reason) = self.claim, self.verdict
        found = [self.ours or (None if claim.ours else self.sound), self.nearer]
        return (f"{self.title} {claim.claim}", f"**{word}**<br>{reason}", "; ".join(_values(claim)) or
                claim.theirs.stated or "–", "<br>".join(_brief(claim, each) for each in found if each) or "–")

    def details(self):
        """All that the table leaves out, as an item of a list."""
        claim = self.claim
        theirs = [claim.theirs.stated] * bool(claim.theirs.stated) + _values(claim, spread=True)
        theirs += [f"p {p:.2g} ({label})" for label, p in claim.theirs.p_values().items()]
        lines = [f"- **{claim.where}**: {claim.claim}"] + [f"  - theirs: {'; '.join(theirs)}"] * bool(theirs)
        for side, found in ((claim.ours, self.ours), (claim.ours, self.nearer), (claim.sound, self.sound)):
            if found:
                over = " or ".join(dict.fromkeys(s.scope.partition(" of ")[2] for s in found.scores.values()))
                made = [_made(found, side is claim.ours), f"over {over}", side.how, f"`{found.name}`"]
                made += [f"not as published: {found.done.differs}"] * bool(found.done.differs)
                lines.append(f"  - ours: {'; '.join([*_values(claim, found, True), *filter(None, made)])}")
                sure = {*found.scores} - {*found.not_converged}
                able = [order for order in claim.direction if sure.issuperset(claims.labels(order))]
                parts = claim.model_copy(update={"direction": able}).parts(found.values, found.error)
                lines += [f"    - {_decided(part, claim)}" for part in parts]
        return "\n".join(lines)


def _values(claim, found=None, spread=False):
    """Published values of a claim, or those found, each with its label; ``spread``: and its SD."""
    pairs = found.scores if found else claim.theirs.values()
    return [f"{label} {each.value:.{claim.decimals}f}".replace(" ", _GLUE) + (
        f"{_GLUE}±{_GLUE}{each.sd:.{claim.decimals}f}" if spread and each.sd is not None else "")
        for label, each in pairs.items()]


def _brief(claim, found):
    return f"{'; '.join(_values(claim, found))}<br>{_made(found, claim.ours)}"


def _made(found, theirs):
    """How near to their protocol, by which numbers, on what, and what had not converged."""
    data = "**simulated**" + ", older world" * found.older if found.card.simulated else found.card.dataset
    bad = f"; **{Verdict.NOT_CONVERGED}**: {', '.join(found.not_converged)}" if found.not_converged else ""
    name = found.done.name if theirs else "sound protocol" + ", shortened" * (found.done.level == 2)
    return f"*{name}*: {found.done.numbers}; {data}, {_chapter_link(found.card.chapter)}{bad}"


def _decided(part, claim):
    """An order, its answer, and the difference that decides, with half its 95 % interval."""
    spread = ("" if part.error == 0 else ", fewer than three animals" if part.error == inf else
              f"{_GLUE}±{_GLUE}{part.error:.{claim.decimals}f}")
    first, second = part.pair
    return f"{part.order}: {part.answer} ({first} less {second}: {part.gap:+.{claim.decimals}f}{spread})"


def _chapter_link(chapter):
    return f"[chapter {chapter[:2]}]({chapter})"


def page(stored, known=None):
    """The text of the page; the same results and claims give the same text."""
    groups, parts = {}, []
    for study in (known or claims.load()).studies:
        parts.append(f"## {study.title}\n\n{study.about.strip()}\n")
        if study.protocols:
            parts.append(_folded("What the study did, with which runs are compared",
                                 "\n".join(map(_protocol, study.protocols))))
        for group in study.groups:
            groups[group.title] = [_Row.of(claim, study, stored) for claim in group.claims]
            parts.append(_group(group, groups[group.title]))
        parts.append(f"### {study.disagreements_title}\n\n" + markdown.table(
            ("subject", "paper", "code or other place", "we use"),
            [(d.subject, d.paper, d.elsewhere, d.used) for d in study.disagreements]))
    used = {each.name: each.card for rows in groups.values() for row in rows
            for each in (row.ours, row.nearer, row.sound) if each}
    text = "\n".join([_top(groups), *parts, _origins(used)])
    return re.sub(r"\b1 (epoch|fold|session|test group)s\b", r"1 \1", text)


def _group(group, rows):
    tested = [row.cells() for row in rows if not row.claim.no_check]
    text = [f"### {group.title}\n"] + [f"{group.note.strip()}\n"] * bool(group.note)
    text += [markdown.table(("claim", "verdict", "theirs", "ours"), tested)] * bool(tested)
    for reason in dict.fromkeys(row.claim.no_check for row in rows if row.claim.no_check):
        titles = "; ".join(row.title for row in rows if row.claim.no_check == reason)
        text.append(f"**{Verdict.CANNOT}** ({reason}): {titles}.\n")
    more = [row.details() for row in rows if not row.claim.no_check or row.claim.theirs.rows]
    return "\n".join(text + [_folded(f"Details: {group.title}", "\n".join(more))] * bool(more))


def _protocol(protocol):
    kind = f" ({', '.join(protocol.metrics)})" if protocol.metrics else ""
    size = [protocol.amount(protocol.sessions, protocol.frames), protocol.input]
    size += [f"{protocol.folds} folds"] * bool(protocol.folds)
    return (f"- {', '.join(map(_chapter_link, protocol.chapters))}{kind}: {protocol.about.strip()}; "
            f"{', '.join(filter(None, size))}.")


def _folded(title, text):
    return f":::{{admonition}} {title}\n:class: dropdown\n\n{text.strip()}\n:::\n"


def _top(groups):
    found = {title: {word: [row for row in rows if row.verdict[0] is word] for word in Verdict}
             for title, rows in groups.items()}
    counts = {word: sum(len(of[word]) for of in found.values()) for word in Verdict}
    there = [word for word in Verdict if counts[word]]
    matrix = markdown.table(("figure", *there), [
        *((title.partition(".")[0], *(_links(of[word]) for word in there)) for title, of in found.items()),
        ("**rows**", *(f"**{counts[word]}**" for word in there))])
    none = ", ".join(f"*{word}*" for word in Verdict if not counts[word])
    means = "\n".join(f"- **{word}** ({counts[word]}): {word.means}" for word in Verdict)
    return f"""\
<!-- Written by `{COMMAND}` from claims.yaml, the published tables and the stored results: edit those. -->

# What did the studies claim, and what did we find?

Every claim and every figure of both studies, with what was measured here beside it. No result and no verdict was typed:
theirs come from the published tables that ship with the library, ours from stored results, and one rule gives the
verdicts. A link leads to the row.

{matrix}
No row is: {none or "–"}.

{_folded("How to read a row", f"{means}{chr(10)}{LEGEND}")}"""


def _links(rows):
    if len(rows) > 1 and rows[0].claim.no_check:
        return f'<a href="#{rows[0].anchor}">{len(rows)} rows</a>'
    return ", ".join(f'<a href="#{row.anchor}">{row.claim.where}</a>' for row in rows)


LEGEND = f"""\
- **theirs**: the published value, a mean over 20 folds unless the row says otherwise, or a statement in our words. SD
  and p (rank-sum test, Holm's correction over the family of the study's own figure) stand in the details.
- **ours**: *their protocol* is said only where epochs, updates, learning rate, batch, frames, input, network and folds
  are the published ones; *their training* where the number of folds alone is not; everything else is *shortened*, with
  its numbers. *Sound protocol*: what the published way leaves open is closed; the details say how.
- **parts**: a claim is tested part by part: ✓ holds, ✗ does not hold, ? undecided; the weakest part gives the verdict.
  *a > b*: every value on the left above every one on the right; undecided where a difference is
  {claims.UNDECIDED:g} or less, or within half its 95 % t interval over animals, or measured on fewer than three of
  them (known where the stored result has a value per animal). *a ~ b*: level, within {claims.LEVEL:g}, or within what
  the study measured and found not significant. *a >= b*: no further below than that.
- **tolerance** for a published mean: its SD over the root of the number of animals, since folds share them.
- **older world**: simulated before the world was calibrated (chapter 04), easier and with animals more alike; no number
  of it can be compared with one of the world as it is."""


def _origins(used):
    lines = [(f"`{name}`", f"{card.dataset} ({'simulated' if card.simulated else 'recorded'}), "
              f"content {card.provenance.data_hash}", card.provenance.split_hash, card.provenance.seed,
              card.provenance.code_version) for name, card in sorted(used.items())]
    table = markdown.table(("file in `book/stored`", "data", "split", "seed", "code version"), lines)
    return "## The results behind this page\n\n" + (table if lines else "None yet.\n")
