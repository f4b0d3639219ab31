"""Executing chapters: what is kept, what papermill is refused, what is left on a page."""

import jupytext
import nbformat
import papermill
import pytest

from decoding_book import execute
from tests.conftest import ROOT


@pytest.mark.parametrize(("parameters", "said"), [({"exampel": 2}, "did you mean 'example'"),
                                                  ({"show_s": -1.0}, "greater than 0")])
def test_papermill_itself_is_refused_what_the_chapter_does_not_know(tmp_path, parameters, said):
    # Somebody may call papermill without our command; it only warns of unknown parameters.
    source = tmp_path / "chapter.ipynb"
    notebook = jupytext.read(ROOT / "book" / "01_data_tour.py")
    nbformat.write(notebook, source)
    with pytest.raises(papermill.PapermillExecutionError) as error:
        papermill.execute_notebook(source, tmp_path / "out.ipynb", parameters, kernel_name="python3", cwd=ROOT,
                                   progress_bar=False)
    assert error.value.ename == "ParameterError" and said in error.value.evalue


@pytest.mark.parametrize("left, stays", [("\x1b[A", False), ("\x1b[A\n  ", False), (" 40%|####    | 2/5", False),
                                         ("UserWarning: look here", True), ("\x1b[1mUserWarning\x1b[0m", True)])
def test_bars_leave_no_trace_on_a_page_and_warnings_stay(left, stays):
    output = nbformat.v4.new_output("stream", name="stderr", text=left)
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[output])])
    execute._tidy(page)
    assert len(page.cells[0].outputs) == stays
