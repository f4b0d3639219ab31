"""Pages of the book that are made, not written; and what each page is given before it is rendered."""

import base64
import json
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import nbformat
import pandas as pd

from calcium_decoding.data import catalog
from calcium_decoding.errors import DataError
from calcium_decoding.evaluation.cards import ResultCard, stored_cards
from calcium_decoding.evaluation.convergence import MARK
from calcium_decoding.plotting import script
from calcium_decoding.utils.files import write_text
from decoding_book.pages import glossary, markdown

FILTERED = ("chapter", "metric", "data set", "data", "card")  # columns of the results with a list to choose from
FIGURE_OF_THE_BOOK = ("10_roi_rnn", "decoded_trace")  # chapter and a word of the cell that draws it
# The JupyterLab that `make lab` starts on the reader's machine; a port of its own, as in the Makefile.
LAB = "http://localhost:8990/lab/tree/book"
WRITTEN_FOR = "demo"  # the profile that the prose of the chapters is about
# Paper has no next page to click on. What was shown comes back after printing.
_ALL_ROWS_ON_PAPER = """<script type="module">
  const { jQuery: $ } = await window.BUNDLE;
  let shown;
  const table = () => $("#results").DataTable();
  window.addEventListener("beforeprint", () => { shown = table().page.len(); table().page.len(-1).draw(); });
  window.addEventListener("afterprint", () => table().page.len(shown).draw());
</script>"""


class Kept(NamedTuple):
    """A result card, the name of its file without the ending, and whether it is of "this build" or "stored"."""

    name: str
    source: str
    card: ResultCard


def cards(executed, chapters):
    """Cards (list of Kept) of the executed chapters in a folder, then those stored; DataError: missing or damaged."""
    built = [Kept(name, "this build", ResultCard.load(executed / f"{name}.card.json")) for name in chapters]
    return built + [Kept(name.removesuffix(".card.json"), "stored", card) for name, card in stored_cards().items()]


def quote(text, known):
    """Prose with its numbers put in: ``[[card|model|metric]]`` becomes the mean in that card, two decimals, of a card
    stored with the book before one of this build, which may be of a quick profile. DataError: no such card or mean, or
    one of trainings that have not converged."""
    by_name = {kept.name: kept.card for kept in known}  # a stored card stands later in the list

    def value(match):
        name, *which = match.groups()
        scores = by_name[name].scores if name in by_name else []
        means = [s.value for s in by_name[name].summary() if [s.model, s.metric] == which] if scores else []
        if not means or any((s.model, s.metric, s.value) == (which[0], "converged", 0) for s in scores):
            raise DataError("a page of the book", f"the quote {match.group(0)}", "a mean in a result card of that "
                            "name, of trainings that have converged", "correct the quote, or store the card")
        return f"{means[0]:.2f}"

    return re.sub(r"\[\[([^|\]]+)\|([^|\]]+)\|([^|\]]+)\]\]", value, text)


def results_table(known, every=False):
    """Scores of all cards, a row a score, marked where training has not converged; ``every``: medians and folds too."""
    bad = {(id(kept), s.model) for kept in known for s in kept.card.scores if (s.metric, s.value) == ("converged", 0)}
    return pd.DataFrame([{
        "chapter": kept.card.chapter, "what": s.model, "metric": s.metric, "value": s.value, "SD": s.sd,
        "over": s.scope, "training": MARK * ((id(kept), s.model) in bad), "data set": kept.card.dataset,
        "data": "simulated" if kept.card.simulated else "real", "claim": kept.card.claim,
        "card": ", ".join([kept.source, *kept.name.split(".")[1:]])}
        for kept in known for s in (kept.card.scores if every else kept.card.summary())])


def collected(folders, every=False):
    """Scores of all result cards in some folders and below them, a row a score; a card found twice counts once. Columns
    ``-p NAME`` for every parameter that is not the same in all cards, empty where a chapter does not have it.
    ``every``: also medians and single folds, not only means. DataError: there is no card, or one of them is damaged."""
    paths = sorted({path.resolve(): path for folder in folders for path in Path(folder).rglob("*.card.json")}.values())
    if not paths:
        raise DataError(", ".join(map(str, folders)) or "no folder", "no result card", "files *.card.json",
                        "name the folder given to --out")
    cards = [ResultCard.load(path) for path in paths]
    given = pd.DataFrame([card.provenance.parameters for card in cards], dtype=object)
    given = given.drop(columns="dataset", errors="ignore").add_prefix("-p ")
    given = given.loc[:, [len(set(map(repr, given[name]))) > 1 for name in given]]
    return pd.DataFrame([
        {"card": path.as_posix().removesuffix(".card.json"), "chapter": card.chapter, "data set": card.dataset,
         "data": "simulated" if card.simulated else "real", "claim": card.claim, **parameters, "model": s.model,
         "metric": s.metric, "over": s.scope, "value": s.value, "SD": s.sd, "n": s.n,
         "split": card.provenance.split_hash, "code": card.provenance.code_version}
        for path, card, parameters in zip(paths, cards, given.to_dict("records"), strict=True)
        for s in (card.scores if every else card.summary())])


def results_page(known, profile):
    """The page with every card in one table that sorts, filters and is saved as CSV, without a network."""
    import itables
    from itables import options, to_html_datatable
    from itables.javascript import generate_init_offline_itables_html

    table = results_table(known)
    filtered = [{"targets": [i], "columnControl": ["order", ["searchList"]]}
                for i, name in enumerate(table.columns) if name in FILTERED]
    filtered.append({"targets": [table.columns.get_loc("training")], "className": "marked"})
    table["SD"] = table["SD"].map("{:.3f}".format).replace("nan", "")
    html = to_html_datatable(
        table.round(3), connected=False, table_id="results", showIndex=False, classes="display compact", maxBytes=0,
        style="width:100%", pageLength=25, lengthMenu=[25, 100, {"label": "all", "value": -1}], columnDefs=filtered,
        columnControl=["order"], display_logo_when_loading=False, ordering={"indicators": False, "handler": True},
        layout={"topStart": "pageLength", "topEnd": "search", "bottomStart": "info", "bottomEnd": "paging",
                "bottom2Start": {"buttons": [{"extend": "csvHtml5", "text": "Download the rows shown as CSV",
                                              "filename": "calcium_decoding_results"}]}})
    simulated = sum(kept.card.simulated for kept in known)
    stored = sum(kept.source == "stored" for kept in known)
    return f"""---
html_theme.sidebar_secondary.remove: true
---

# Every result in one table

The summary scores of {len(known)} result cards: {len(known) - stored} of this build (profile *{profile}*), and
{stored} that are stored with the book because they take longer than a page may. {simulated} of the cards were
measured on **simulated** recordings, {len(known) - simulated} on real ones; the column *data* says which. A simulated
number speaks neither for nor against a published one. Each row is a mean with its sample SD over what *over* names.

A click on the head of a column sorts by it. The list in the head of {", ".join(FILTERED)} filters. Medians and single
folds stand in [all scores (CSV)](files/all_scores.csv), {len(results_table(known, every=True))} rows.

```{{raw}} html
<div class="results-table">
{generate_init_offline_itables_html(options.dt_bundle)}
{html}
{_ALL_ROWS_ON_PAPER.replace("BUNDLE", "_itables_" + itables.__version__.replace(".", "_"))}
</div>
```
{_latency(known)}"""


def _latency(known):
    """How long a frame takes a decoder that runs frame by frame, of the cards that say it; empty if none does."""
    lines = []
    for kept in known:
        if (of := kept.card.tables.get("latency")) is not None:
            table = pd.DataFrame(of.columns).round(3)
            data = f"{'**simulated** ' if kept.card.simulated else ''}frames of {kept.card.dataset}"
            head = [name.replace("_", " ") for name in table]
            lines.append(f"\n## Latency\n\n{kept.card.chapter} ({kept.source}), {data}; columns in ms.\n\n"
                         + markdown.table(head, table.to_numpy().tolist()))
    return "".join(lines)


def execution_page(stamps, known, profile):
    """The page that says how this build was made; ``stamps``: by chapter, what a build keeps beside it."""
    built = {kept.name: kept.card for kept in known if kept.source == "this build"}
    rows = [(f"[{name}]({name})", built[name].dataset, f"{stamp['seconds']:.0f}", f"{stamp['peak_mb']:.0f}",
             stamp["made"]) for name, stamp in stamps.items()]
    total = sum(stamp["seconds"] for stamp in stamps.values())
    data, entries = {(c.dataset, c.provenance.data_hash): c for c in built.values()}, catalog.load_manifest().entries
    sets = [(f"`{name}`", "**simulated**" if card.simulated else "real", f"`{digest}`",
             entries[name].title if name in entries else "recordings of your own") for (name, digest), card
            in sorted(data.items())]
    versions = sorted({(what, version) for c in built.values() for what, version in c.provenance.versions.items()})
    code = sorted({c.provenance.code_version for c in built.values()})
    return f"""# How was this book made?

Each chapter is a notebook that was executed from top to bottom, by `calcium-decoding book build --profile {profile}`.
Nothing on a page was run by hand. *Smoke* is a look at whether everything works, on small data; *demo* is what the
chapters describe; *paper* is the published protocol.

## Time and memory

{markdown.table(("chapter", "data set", "seconds", "peak memory (MB)", "executed on"), rows)}

Together {total / 60:.1f} minutes. Seconds are those of the execution that made the page; folds that were kept from an
earlier run are not trained again and take no time. Memory is the most that the notebook and its worker processes held
at one time, looked at each half second; workers of a cluster are not counted. Other work on the machine makes both
larger.

## Data

{markdown.table(("data set", "data", "content", "what"), sets)}

The content hash is over every recording as the chapters read it. `data_manifest.yaml` says where each set comes from.

## Versions

{markdown.table(("what", "version"), [(what, f"`{version}`") for what, version in versions])}

Code: {"; ".join(f"`{version}`" for version in code)}.
"""


def chapter_page(notebook, chapter, profile, names):
    """An executed chapter, changed in place, as it is rendered: links to its files and to the glossary, whose terms are
    ``names``, and figures with their descriptions."""
    seen = set()
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = glossary.linked(cell.source, names, seen)
    files = ", ".join(f"{{download}}`{word} <files/{chapter}.{ending}>`" for word, ending in
                      (("notebook", "ipynb"), ("source", "py"), ("result card", "card.json")))
    line = (f"Files of this page: {files}. Profile *{profile}*; [how it was made](execution).\n\n"
            f"```{{button-link}} {LAB}/{chapter}.ipynb\n:color: primary\n:outline:\n"
            "Open in JupyterLab (while `make lab` runs)\n```")
    if profile != WRITTEN_FOR:
        line += (f"\n\n```{{note}}\nNumbers and figures here are of the profile *{profile}*; what the text says was "
                 f"found is of the profile *{WRITTEN_FOR}*.\n```")
    # With an id of its own: the random one of a new cell would make each page a new one, to be rendered again.
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(line, id="page-files", metadata={"tags": ["page-files"]}))
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if alt := output.get("metadata", {}).get("image/png", {}).get("alt"):
                cell.metadata["mystnb"] = {"image": {"alt": alt}}
            if "text/html" in output.get("data", {}):
                output.data["text/html"] = script.linked("".join(output.data["text/html"]))
    return notebook


def stage(root, executed, chapters, profile, pages):
    """Lay everything that is rendered into the folder ``pages``, emptied first; ``executed``: folder of chapters with
    cards and stamps. DataError: a card is missing, a quote is wrong, or the first page has no figure."""
    shutil.rmtree(pages, ignore_errors=True)
    (pages / "files").mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml", "book/references.bib", "book/logo.svg"):
        shutil.copy(root / name, pages)
    shutil.copytree(root / "book" / "_static", pages / "_static")
    known = cards(executed, chapters)
    names = glossary.terms((root / "book" / "glossary.md").read_text(encoding="utf-8"))
    for path in (root / "book").glob("*.md"):
        text = quote(path.read_text(encoding="utf-8"), known)
        write_text(pages / path.name, glossary.page(text) if path.stem == "glossary" else text)
    stamps = {name: json.loads((executed / f"{name}.key.json").read_text()) for name in chapters}
    write_text(pages / "execution.md", execution_page(stamps, known, profile))
    write_text(pages / "90_results.md", results_page(known, profile))
    write_text(pages / "files" / "all_scores.csv", results_table(known, every=True).to_csv(index=False))
    write_text(pages / "extra" / script.LINKED, script.text())
    for name in chapters:
        shutil.copy(root / "book" / f"{name}.py", pages / "files")
        for ending in ("ipynb", "card.json"):
            shutil.copy(executed / f"{name}.{ending}", pages / "files")
        notebook = nbformat.read(executed / f"{name}.ipynb", as_version=4)
        if name == FIGURE_OF_THE_BOOK[0]:
            (pages / "figure.png").write_bytes(_figure(notebook))
        nbformat.write(chapter_page(notebook, name, profile, names), pages / f"{name}.ipynb")


def _figure(notebook):
    """The image on the first page, as the chapter of this build drew it."""
    drawn = [output.data["image/png"] for cell in notebook.cells if FIGURE_OF_THE_BOOK[1] in cell.source
             for output in cell.get("outputs", ()) if "image/png" in output.get("data", {})]
    if drawn:
        return base64.b64decode(drawn[0])
    raise DataError(FIGURE_OF_THE_BOOK[0], "no figure of a decoded trace", "the figure of the first page",
                    "name another cell in pages.FIGURE_OF_THE_BOOK")
