"""The book in its smoke profile, built once and opened in Chromium as a reader would."""

import io
import re
import shutil

import nbformat
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from pypdf import PdfReader

from calcium_decoding.errors import DataError
from calcium_decoding.evaluation.cards import ResultCard
from decoding_book import build
from decoding_book.pages import printed
from decoding_book.parameters import CHAPTERS
from tests.conftest import ROOT, copy_of_the_project

CHROMIUM = next(filter(None, map(shutil.which, printed.BROWSERS)), None)
pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"), pytest.mark.timeout(3600)]
CELLS = "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
# Of a page, what nobody should see: text that overflows it sideways, pictures that overlap what follows them.
LAYOUT = """() => {
  const blocks = [...document.querySelectorAll('article section > *, article .cell_output > *')]
    .filter(e => e.tagName != 'SECTION' && e.getClientRects().length);
  const overlaps = [];
  for (let i = 0; i + 1 < blocks.length; i++) {
    const [a, b] = [blocks[i], blocks[i + 1]];
    if (!a.contains(b) && !b.contains(a) && a.parentElement == b.parentElement
        && a.getBoundingClientRect().bottom > b.getBoundingClientRect().top + 2)
      overlaps.push(a.className + ' | ' + b.className);
  }
  const images = [...document.querySelectorAll('article img')].map(i => {
    const box = i.getBoundingClientRect();
    return {drawn: box.width / box.height, true: i.naturalWidth / i.naturalHeight, right: box.right};
  });
  return {wide: document.documentElement.scrollWidth - innerWidth, overlaps, images};
}"""


# Figures that show no simulated data: a drawing, the places of the pieces, a world not asked for, published accuracies.
NOT_SIMULATED = {"21_cnn_rnn": "8 windows use 40 features", "22_cut_out": "pieces, and the grid",
                 "24_do_the_maps_mean_anything": "this world was not asked for",
                 "41_m1_split_audit": "Panel 1: three classes"}


@pytest.fixture(scope="module")
def built_book(tmp_path_factory):
    """Folder of the rendered pages. Finished folds and simulated data are those of the checkout: the references, which
    come after, are of the same profile and find them there."""
    folder = copy_of_the_project(tmp_path_factory.mktemp("book"))
    (folder / "_build").mkdir()
    for kept in ("folds", "simulated"):
        (ROOT / "_build" / kept).mkdir(parents=True, exist_ok=True)
        (folder / "_build" / kept).symlink_to(ROOT / "_build" / kept, target_is_directory=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield build.build("smoke").parent


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """An empty page whose errors are kept in ``page.errors``."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda said: page.errors.append(said.text) if said.type == "error" else None)
    # The book is read without a network too.
    page.on("request", lambda asked: page.errors.append(asked.url) if asked.url.startswith("http") else None)
    yield page
    context.close()


def opened(page, folder, name, width=1280):
    page.set_viewport_size({"width": width, "height": 900})
    page.goto((folder / name).as_uri())
    return page


def test_every_page_opens_without_an_error_and_every_figure_is_there(built_book, page):
    names = [name for _, names in printed.contents() for name in names]
    assert set(CHAPTERS) < set(names)
    for name in names:
        opened(page, built_book, f"{name}.html")
        assert page.locator("h1").first.inner_text().strip()
        text = page.locator("article").inner_text()
        assert "Traceback" not in text and page.errors == [], name
        images = page.eval_on_selector_all("article img", "all => all.map(i => [i.naturalWidth, i.alt, i.complete])")
        assert all(complete and width > 200 and len(alt) > 10 for width, alt, complete in images), name
        if name in CHAPTERS:
            assert len(images) >= 3 and "SIMULATED" in text
            others = [alt for _, alt, _ in images if not alt.startswith("Simulated data")]
            assert [alt.startswith(NOT_SIMULATED.get(name, "?")) for alt in others] == [True] * (
                name in NOT_SIMULATED), (name, others)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_every_page_is_for_readers_of_little_sight_and_by_keyboard_too(built_book, page, scheme, width):
    """What axe finds: contrast, names of pictures, buttons and tables, what a keyboard cannot reach."""
    page.emulate_media(color_scheme=scheme)
    # The theme has its logo outside of all landmarks; docutils writes the list of references.
    told = {"exclude": [[".citation-list"]]}, {"resultTypes": ["violations"], "rules": {"region": {"enabled": False}}}
    found = {}
    for name in [name for _, names in printed.contents() for name in names]:
        opened(page, built_book, f"{name}.html", width).wait_for_load_state("load")
        # A colour on its way from one theme to the other has a contrast that nobody reads.
        page.wait_for_function("document.getAnimations().every(a => a.playState !== 'running')")
        found |= {f"{name}: {wrong['help']}": [node["html"][:200] for node in wrong["nodes"][:3]]
                  for wrong in Axe().run(page, *told).response["violations"]}
    assert found == {}


def test_the_recording_can_be_moved_in(built_book, page):
    opened(page, built_book, "10_roi_rnn.html")
    start = "Bokeh.documents[0].roots()[0].children[0].x_range.start"
    page.wait_for_function(f"window.Bokeh && Bokeh.documents.length && {start} !== undefined")
    strip = page.locator(".browser .bk-Figure").nth(2)
    strip.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    before, box = page.evaluate(start), strip.bounding_box()
    whole = page.evaluate("Bokeh.documents[0].roots()[0].children[2].x_range.end")
    x, y = box["x"] + 60 + (box["width"] - 60) * (before + 10) / whole, box["y"] + box["height"] / 4
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 80, y, steps=5)
    page.mouse.up()
    page.wait_for_function(f"{start} > {before + 1}")
    assert page.errors == []


def drawn_map(page, built_book, name):
    opened(page, built_book, f"{name}.html")
    page.wait_for_function("window.Bokeh && Bokeh.documents.length")
    drawn = page.locator(".browser .bk-Figure")
    drawn.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    return drawn.bounding_box()


def pointed(page, box, along, across):
    """What the tooltip says with the pointer at these shares of a box; empty where nothing is under it."""
    page.mouse.move(box["x"] + box["width"] * along, box["y"] + box["height"] * across)
    page.wait_for_timeout(100)
    shown = page.locator(".bk-tooltip-content")
    return shown.first.inner_text() if shown.count() else ""


def test_a_map_names_the_roi_under_the_pointer(built_book, page):
    box = drawn_map(page, built_book, "01_data_tour")
    pointed(page, box, 0.34, 0.5)
    assert "FL&HL" in pointed(page, box, 0.35, 0.5)
    assert "simulated" in page.locator(".browser").get_attribute("aria-label") and page.errors == []


def test_a_map_names_the_cell_under_the_pointer(built_book, page):
    box = drawn_map(page, built_book, "22_cut_out")
    steps = [i / 60 for i in range(61)]
    to_the_right, down = ([re.search(r"row, column:\s*(\d), (\d)", pointed(page, box, *place)) for place in places]
                          for places in ([(i, 0.4) for i in steps], [(0.4, i) for i in steps]))
    across, below = ([tuple(map(int, found.groups())) for found in line if found] for line in (to_the_right, down))
    assert list(dict.fromkeys(column for _, column in across)) == list(range(1, 9)), across
    assert list(dict.fromkeys(row for row, _ in below)) == list(range(1, 9)), below
    assert len({row for row, _ in across}) == len({column for _, column in below}) == 1
    assert "8 by 8 cells, simulated" in page.locator(".browser").get_attribute("aria-label") and page.errors == []


def test_results_sort_filter_and_come_as_a_table(built_book, page):
    opened(page, built_book, "90_results.html")
    page.wait_for_selector("#results tbody tr")
    heads = page.locator(".results-table thead tr").first.locator("th")
    values = []
    for _ in range(2):
        heads.nth(3).locator("button").first.click()
        page.wait_for_timeout(300)
        values.append([float(row[3]) for row in page.eval_on_selector_all("#results tbody tr", CELLS)])
    assert len(values[0]) == 25 and values[0] == sorted(values[0]) and values[1] == sorted(values[1], reverse=True)
    assert values[0] != values[1]
    shown = page.locator(".results-table .dt-info").inner_text()
    heads.nth(0).locator("button").last.click()
    page.locator(".dtcc-list button").filter(has_text="01_data_tour").first.click()
    page.keyboard.press("Escape")
    assert {row[0] for row in page.eval_on_selector_all("#results tbody tr", CELLS)} == {"01_data_tour"}
    assert page.locator(".results-table .dt-info").inner_text() != shown
    with page.expect_download() as download:
        page.get_by_text("Download the rows shown").click()
    saved = pd.read_csv(io.StringIO(download.value.path().read_text(encoding="utf-8-sig")))
    assert set(saved["chapter"]) == {"01_data_tour"} and "data set" in saved
    assert page.errors == []


def test_search_finds_a_term_where_it_stands(built_book, page):
    page.goto((built_book / "search.html").as_uri() + "?q=balanced+accuracy")
    page.wait_for_selector("#search-results li a")
    found = page.eval_on_selector_all("#search-results li a", "all => all.map(a => a.getAttribute('href'))")
    assert any(href.startswith("glossary.html") for href in found)


@pytest.mark.parametrize("name", ["intro", "10_roi_rnn", "reproduction", "90_results"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_overflows_or_overlaps(built_book, page, name, width):
    opened(page, built_book, f"{name}.html", width).wait_for_timeout(1000)
    found = page.evaluate(LAYOUT)
    assert found["wide"] <= 0 and found["overlaps"] == []
    for image in found["images"]:
        assert image["right"] <= width + 1 and image["drawn"] == pytest.approx(image["true"], rel=0.03)


def test_files_of_a_chapter_can_be_had(built_book, page):
    opened(page, built_book, "01_data_tour.html")
    links = page.eval_on_selector_all("article a.download", "all => all.map(a => a.getAttribute('href'))")
    files = {(built_book / link).name: built_book / link for link in links}
    assert set(files) == {f"01_data_tour.{ending}" for ending in ("ipynb", "py", "card.json")}
    assert files["01_data_tour.py"].read_bytes() == (ROOT / "book" / "01_data_tour.py").read_bytes()
    assert ResultCard.load(files["01_data_tour.card.json"]).chapter == "01_data_tour"
    notebook = nbformat.read(files["01_data_tour.ipynb"], as_version=4)
    assert any("image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ()))


def test_the_book_on_paper(built_book, tmp_path):
    parts = [("", ["intro"]), ("Some", ["01_data_tour", "reproduction", "90_results"])]
    path = printed.write(built_book, tmp_path / "book.pdf", parts)
    book = PdfReader(path)
    titles = {entry.title: book.get_destination_page_number(entry) for entry in book.outline}
    assert len(titles) == 4 and next(iter(titles.values())) == 1
    contents = book.pages[0].extract_text()
    for title, place in titles.items():
        assert title.split()[0] in book.pages[place].extract_text()
        assert str(place + 1) in contents
    pages = [page.extract_text() for page in book.pages]
    assert all(len(text.split()) > 3 or page.images for text, page in zip(pages, book.pages, strict=True))
    assert len(pages) > 6
    shown, there = re.search(r"Showing 1 to (\d+) of (\d+) entries", " ".join(pages)).groups()
    assert shown == there and int(there) > 100  # not the first sheet of the table alone


def test_without_a_browser_the_command_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DataError, match="no Chromium on this machine"):
        printed.browser()
