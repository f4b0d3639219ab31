"""The rendered book as one PDF: each page printed by headless Chromium, then joined, with a table of contents."""

import re
import shutil
import subprocess
import tempfile
from html import escape
from itertools import accumulate
from pathlib import Path

import yaml

from calcium_decoding.data import catalog
from calcium_decoding.errors import DataError
from calcium_decoding.utils.files import whole_file
from calcium_decoding.utils.progress import progress
from decoding_book.execute import ChapterError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
WAIT_MS = 10_000  # of the page's own time, for its scripts


def browser():
    """Path of the first known browser on this machine; DataError if there is none."""
    if (found := next(filter(None, map(shutil.which, BROWSERS)), None)) is None:
        raise DataError("book pdf", "no Chromium on this machine", f"one of {', '.join(BROWSERS)}",
                        "install Chromium, or print pages from your own browser: they have a style for paper")
    return found


def contents():
    """Pages in reading order: (title of the part, names of its pages), the first title empty."""
    toc = yaml.safe_load((catalog.project_root() / "_toc.yml").read_text(encoding="utf-8"))
    return [("", [toc["root"]])] + [(part["caption"], [page["file"] for page in part["chapters"]])
                                    for part in toc["parts"]]


def write(html=None, path=None, parts=None):
    """Print the rendered pages, by default all :func:`contents`, into one file and return its path. DataError: there is
    no Chromium, or the book has not been rendered. ChapterError: a page could not be printed."""
    from pypdf import PdfReader, PdfWriter

    build = catalog.project_root() / "_build"
    html, path = html or build / "html", path or build / "book.pdf"
    program, parts = browser(), parts or contents()
    names = [name for _, pages in parts for name in pages]
    if missing := [name for name in names if not (html / f"{name}.html").exists()]:
        raise DataError(html, f"no page {missing[0]}", "the rendered book", "run calcium-decoding book build first")
    with tempfile.TemporaryDirectory() as scratch:
        printed = {name: _print(program, html / f"{name}.html", Path(scratch) / f"{name}.pdf")
                   for name in progress(names, desc="printing", unit="page")}
        read = {name: PdfReader(file) for name, file in printed.items()}
        titles = {name: _title(html / f"{name}.html") for name in names}
        # The table of contents takes as many sheets as it takes, whatever the numbers in it.
        first = len(PdfReader(_contents(program, parts, titles, dict.fromkeys(names, 0), scratch)).pages)
        starts = dict(zip(names, accumulate((len(read[name].pages) for name in names), initial=first), strict=False))
        front = PdfReader(_contents(program, parts, titles, starts, scratch))
        book = PdfWriter()
        book.append(front, import_outline=False)
        for name in names:
            book.append(read[name], outline_item=titles[name], import_outline=False)
        book.add_metadata({"/Title": "Decoding calcium imaging"})
        book.compress_identical_objects()
        with whole_file(path) as temporary:
            book.write(temporary)
    return path


def _print(program, page, path):
    """One page as PDF."""
    command = [program, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer",
               f"--virtual-time-budget={WAIT_MS}", f"--print-to-pdf={path}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode != 0 or not path.exists():
        raise ChapterError(f"{page.name} could not be printed: {done.stderr.strip()[-300:]}")
    return path


def _title(page):
    title = re.search("<title>(.*?)</title>", page.read_text(encoding="utf-8"), re.S)
    return re.split(" (?:&#8212;|—) ", title[1])[0].strip()


def _contents(program, parts, titles, starts, scratch):
    """The table of contents as PDF; sheets are counted from 1, this table first."""
    rows = []
    for caption, names in parts:
        rows += [f"<h2>{escape(caption)}</h2>"] if caption else []
        rows += [f"<p><span>{titles[name]}</span><b>{starts[name] + 1}</b></p>" for name in names]
    page = Path(scratch) / "contents.html"
    page.write_text("<!doctype html><meta charset='utf-8'><title>Contents</title><style>@page { margin: 20mm } "
                    "body { font: 11pt sans-serif } p { display: flex; gap: 1em; margin: 3pt 0 } "
                    "span { flex: 1 } h2 { font-size: 12pt; margin: 14pt 0 4pt }</style>"
                    "<h1>Decoding calcium imaging</h1>" + "".join(rows), encoding="utf-8")
    return _print(program, page, Path(scratch) / "contents.pdf")
