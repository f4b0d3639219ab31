"""The ledger ``book/reproduction.md``: every claim of both studies beside what our result cards say of it."""

from collections import Counter
from dataclasses import dataclass

from calcium_decoding import claims
from calcium_decoding.files import write_text
from calcium_decoding.manifest import project_root
from calcium_decoding.verdicts import MEANS, Verdict, chapter_link, find, load_cards, missing, verdict

PAGE = "reproduction.md"
COMMAND = "calcium-decoding book ledger"
_GLUE = "\N{NO-BREAK SPACE}"  # a narrow column breaks between values, not inside one


def unresolved(cards, known=None):
    """Scores that claims ask of chapters which have a stored card, and that no card of these chapters holds.

    Returns
    -------
    list of str
        A line each.
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
            parts.append(f"### {group.title}\n\n{note}" + _table(
                ("claim", "theirs", "ours, their protocol", "ours, sound protocol", "verdict, data"),
                [row.cells for row in mine]))
        parts.append(f"### {study.disagreements_title}\n\n" + _table(
            ("subject", "paper", "code or other place", "we use"),
            [(d.subject, d.paper, d.elsewhere, d.used) for d in study.disagreements]))
    parts.append(_origins(rows))
    return "\n".join(parts)


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


def _table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("\n", " ").strip() for cell in line) + " |"
                     for line in lines) + "\n"


def _top(rows):
    counted = Counter(row.verdict for _, groups in rows for _, mine in groups for row in mine)
    counts = _table(("verdict", "rows", "means"), [(f"**{v}**", counted[v], MEANS[v]) for v in Verdict])
    return f"""\
<!-- Written by `{COMMAND}` from published/claims.yaml, the published tables and the stored cards: edit those. -->

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
    table = _table(("card in `book/stored`", "data", "split", "seed", "code version"), lines)
    return "## The cards behind this page\n\n" + (table if used else "None yet.\n")


def write(path=None):
    """Write the page, whole or not at all.

    Parameters
    ----------
    path : Path, optional
        ``book/reproduction.md`` if left out.

    Returns
    -------
    path : Path
    unresolved : list of str
        See :func:`unresolved`.
    """
    path = path or project_root() / "book" / PAGE
    cards = load_cards()
    write_text(path, page(cards))
    return path, unresolved(cards)
