"""Pages that are made: quotes, results, execution, glossary, descriptions of figures, faults of rendered pages."""

import copy
import subprocess
import sys

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest

from calcium_decoding import simulation
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import DataError
from calcium_decoding.evaluation import cards
from calcium_decoding.plotting import alt_text, brain, interactive, script
from calcium_decoding.plotting.style import simulated_mark
from decoding_book import build
from decoding_book.pages import glossary, results


def card(name, simulated, scores):
    provenance = cards.Provenance(data_hash="d" * 16, split_hash="s" * 16, code_version="0 (test)", seed=1,
                                  parameters={}, versions={"python": "3.x"})
    return cards.ResultCard(chapter=name, dataset="simulated", simulated=simulated, claim="across animals",
                            null="none", scores=scores, provenance=provenance)


@pytest.fixture
def known():
    quick, long = (cards.summarise("gru", values) for values in ([0.5, 0.6], [0.9, 0.98]))
    fold = cards.Score(model="gru", metric="auc", scope="fold test=1", value=0.9)
    return [results.Kept("10_a", "this build", card("10_a", True, quick)),
            results.Kept("20_b", "this build", card("20_b", False, quick)),
            results.Kept("10_a", "stored", card("10_a", True, [*long, fold]))]


def test_a_quote_is_the_mean_of_the_stored_card_before_that_of_this_build(known):
    assert results.quote("AUC [[10_a|gru|auc]], [[20_b|gru|auc]].", known) == "AUC 0.94, 0.55."


@pytest.mark.parametrize("text", ["[[10_a|gru|r2]]", "[[nothing|gru|auc]]", "[[10_a|lstm|auc]]"])
def test_a_quote_of_what_no_card_holds_is_refused(known, text):
    with pytest.raises(DataError, match="quote"):
        results.quote(text, known)


def test_a_quote_of_trainings_that_have_not_converged_is_refused(known):
    mean, unsure = cards.summarise("lstm", [0.8, 0.9])[0], cards.Score(
        model="lstm", metric="converged", scope="over 2 folds", value=0)
    known.append(results.Kept("30_c", "stored", card("30_c", True, [mean, unsure])))
    with pytest.raises(DataError, match="converged"):
        results.quote("[[30_c|lstm|auc]]", known)
    assert list(results.results_table(known)["training"]) == ["", "", "", "NOT CONVERGED"]


def test_the_table_has_the_means_of_every_card_and_the_file_every_score(known):
    shown, every = results.results_table(known), results.results_table(known, every=True)
    assert list(shown["value"].round(4)) == [0.55, 0.55, 0.94]
    assert list(shown["data"]) == ["simulated", "real", "simulated"]
    assert list(shown["card"]) == ["this build", "this build", "stored"]
    assert list(results.results_table([results.Kept("10_a.days", "stored", known[2].card)])["card"]) == ["stored, days"]
    assert len(every) == 3 + 3 + 1  # a median each, and the fold
    page = results.results_page(known, "smoke")
    assert "2 of this build" in page and "1 that are stored" in page.replace("\n", " ")
    assert "2 of the cards were measured on **simulated** recordings, 1 on real ones" in page.replace("\n", " ")
    assert "## Latency" not in page
    timed = known[0].card.model_copy(update={"tables": {"latency": cards.Kept(
        columns={"part": ["inference"], "p99_ms": [0.61234]}, said="")}})
    page = results.results_page([results.Kept("52_c", "this build", timed)], "smoke")
    assert "**simulated** frames of" in page and "| part | p99 ms |" in page and "| inference | 0.612 |" in page


def test_the_execution_page_has_what_was_measured(known):
    stamps = {"10_a": {"seconds": 61.4, "peak_mb": 512.2, "made": "2026-01-02"},
              "20_b": {"seconds": 58.6, "peak_mb": 99.0, "made": "2026-01-02"}}
    page = results.execution_page(stamps, known, "smoke")
    assert "| [10_a](10_a) | simulated | 61 | 512 | 2026-01-02 |" in page
    assert "Together 2.0 minutes" in page and "d" * 16 in page and "| python | `3.x` |" in page


def test_a_chapter_s_page_has_descriptions_links_and_no_copy_of_the_plotting_library():
    html = f"<p>{script.inlined()}drawn</p>"
    outputs = [nbformat.v4.new_output("display_data", {"image/png": "x"}, metadata={"image/png": {"alt": "Dots."}}),
               nbformat.v4.new_output("display_data", {"text/html": html})]
    notebook = nbformat.v4.new_notebook(cells=[
        nbformat.v4.new_markdown_cell("# The AUC?\n\nAn AUC, a `fold`, a fold, folds, the AUC."),
        nbformat.v4.new_code_cell("1", outputs=outputs)])
    again = copy.deepcopy(notebook)
    page = results.chapter_page(notebook, "10_a", "smoke", {"AUC": "AUC", "fold": "Fold"})
    same = results.chapter_page(again, "10_a", "smoke", {"AUC": "AUC", "fold": "Fold"})
    assert same == page  # or it is rendered again
    assert page.cells[0].source == ("# The AUC?\n\n"
                                    "An {term}`AUC <AUC>`, a `fold`, a {term}`fold <Fold>`, folds, the AUC.")
    assert "files/10_a.ipynb" in page.cells[1].source and "files/10_a.py" in page.cells[1].source
    assert page.cells[2].metadata["mystnb"]["image"]["alt"] == "Dots."
    assert page.cells[2].outputs[1].data["text/html"] == '<p><script src="scripts/bokeh.min.js"></script>drawn</p>'


@pytest.mark.parametrize("profile, said", [("smoke", True), ("paper", True), ("demo", False)])
def test_a_page_says_where_its_prose_is_of_another_profile(profile, said):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# The AUC?")])
    page = results.chapter_page(notebook, "10_a", profile, {"AUC": "AUC"})
    assert ("what the text says was found is of the profile *demo*" in page.cells[1].source) == said


def test_glossary_terms_and_their_page():
    text = "# Glossary\n\nAUC\n: Area under\n  a curve.\n\nFrozen, fine-tuned\n: Kept, or not.\n"
    assert glossary.terms(text) == {"AUC": "AUC", "Frozen": "Frozen, fine-tuned", "fine-tuned": "Frozen, fine-tuned"}
    assert glossary.page(text) == ("# Glossary\n\n```{glossary}\nAUC\n  Area under\n  a curve.\n\n"
                                   "Frozen, fine-tuned\n  Kept, or not.\n```\n")
    linked = glossary.linked("Fine-tuned [frozen](x) networks, frozen.\n\n| frozen |\n\n$frozen$", glossary.terms(text),
                             set())
    assert linked.startswith("{term}`Fine-tuned <Frozen, fine-tuned>` [frozen](x) networks, frozen.")


def test_a_figure_in_words():
    fig, axes = plt.subplots(1, 2)
    axes[0].plot([0, 1, 2], [1, 2, 3], label="training")
    axes[0].plot([0, 1, 2], [1, 2, 4], "o", label="kept")
    axes[0].set(xlabel="epoch", ylabel="loss (nats)", title="Learning")
    axes[0].legend()
    shown = axes[1].imshow(np.eye(3))
    fig.colorbar(shown, ax=axes[1], label="weight")
    axes[1].set_xticks([0, 1], ["GRU", "logistic"])
    simulated_mark(axes[1], True)
    said = alt_text.describe(fig)
    plt.close(fig)
    assert said == ("Simulated data. Panel 1: Learning: dots and curves, x epoch, y loss (nats); "
                    "legend training, kept. Panel 2: Picture; for GRU, logistic. Colour: weight.")


def test_recorded_data_are_not_described_as_simulated_and_like_panels_are_said_once():
    fig, axes = plt.subplots(1, 3)
    for ax in axes:
        ax.bar([1, 2], [3, 4])
        ax.set_ylabel("AUC")
    assert alt_text.describe(fig) == "Bars, y AUC (3 panels alike)."
    plt.close(fig)


def test_faults_of_rendered_pages(tmp_path):
    (tmp_path / "a.html").write_text('<h1 id="top">A</h1><a href="b.html#there">x</a><a href="#top">y</a>'
                                     '<img src="p.png" alt="A picture"><a href="https://example.org/none">z</a>')
    (tmp_path / "b.html").write_text('<h2 id="there">B</h2>')
    (tmp_path / "p.png").write_bytes(b"x")
    assert glossary.faults(tmp_path) == []
    (tmp_path / "b.html").write_text('<h2 id="moved">B</h2><img src="p.png" alt=" "><a href="c.html">c</a>')
    found = glossary.faults(tmp_path)
    assert [line.split(":")[0] for line in found] == ["a.html", "b.html", "b.html"]
    assert "no such place" in found[0] and "alternative text" in found[1] and "not there" in found[2]


def test_peak_memory_is_that_of_the_processes_started():
    holds = [sys.executable, "-c", "x = bytearray(300_000_000); import time; time.sleep(3)"]
    earlier = subprocess.Popen([*holds[:2], holds[2].replace("3)", "60)")])  # there before, and not counted
    with build.metered() as took:
        subprocess.run(holds, check=True)
    earlier.kill()
    earlier.wait()
    assert 300 < took.peak_mb < 600 and took.seconds > 3


class Fold:
    """What the browser asks of a fold result."""

    model, target, classes, scores = "gru", "run", (), {}

    def trace(self, recording):
        return np.arange(10, 290), np.zeros(280), np.linspace(0, 1, 280)


def drawn(layout, kind):
    return [r for r in layout.select({}) if type(r).__name__ == "GlyphRenderer" and type(r.glyph).__name__ == kind]


def test_the_browser_draws_the_recording_as_it_is(tiny_dataset):
    recording = tiny_dataset.recordings[0]
    made = interactive.recording(recording, [0, 3], [Fold()], 2.0, 4.0)
    lines = drawn(made.layout, "Line")
    values = {line.name: line.data_source.data["value"] for line in lines if "value" in line.data_source.data}
    assert set(values) == {recording.roi_names[0], recording.roi_names[3]}
    for roi in (0, 3):
        np.testing.assert_allclose(values[recording.roi_names[roi]], recording.signal[:, roi], rtol=1e-6)
    p_run = next(line.data_source.data for line in lines if "decoded" in line.data_source.data)
    np.testing.assert_allclose(p_run["time_s"], np.arange(10, 290) / recording.rate_hz, rtol=1e-6)
    np.testing.assert_allclose(p_run["decoded"], np.linspace(0, 1, 280), rtol=1e-6)
    spans = drawn(made.layout, "VStrip")[0].data_source.data
    inside = (np.arange(300)[:, None] / 30 >= spans["x0"]) & (np.arange(300)[:, None] / 30 < spans["x1"])
    np.testing.assert_array_equal(inside.any(axis=1), recording.run.astype(bool))
    assert "simulated recording" in made.says and "GRU" in made.says
    assert made.says.replace("'", "&#x27;") in made._repr_html_()


def test_the_map_of_rois_has_a_patch_where_each_lies():
    simulation.ensure("simulated-small")
    data = Dataset("simulated-small", (Recording(np.zeros((10, 50)), {"run": np.zeros(10)}, 30.0, "a", "s",
                                                 simulated=True),))
    made = interactive.roi_map(data, np.linspace(-1, 1, 50), "r")
    source = drawn(made.layout, "Patches")[0].data_source.data
    anatomy = brain.anatomy_of(data)
    rows, columns = np.indices(anatomy.brain.shape)
    for roi in (0, 17, 49):
        weight = anatomy.parcels[roi] / anatomy.parcels[roi].sum()
        assert abs(np.mean(source["xs"][roi]) - (weight * columns).sum()) < 2
        assert abs(128 - np.mean(source["ys"][roi]) - (weight * rows).sum()) < 2
    assert list(source["roi"]) == list(range(1, 51)) and "simulated" in made.says


def test_rois_of_unknown_place_stand_in_rows(tiny_dataset):
    made = interactive.roi_map(tiny_dataset, np.arange(5.0), "r")
    source = drawn(made.layout, "Patches")[0].data_source.data
    assert [np.min(x) for x in source["xs"]] == [0, 1, 2, 3, 4] and "not known" in made.says
