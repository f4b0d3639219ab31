"""The chapter rules, the profiles, the rendered page of one chapter, and nbval's references."""

import ast
import os
import re
import subprocess
import sys

import jupytext
import nbformat
import pytest
import yaml
from nbval.plugin import get_sanitize_patterns

from decoding_book import execute, references
from decoding_book.parameters import CHAPTERS, schema_of
from tests.conftest import ROOT

SANITIZE = ROOT / "tests" / "reference" / references.VARYING

ALLOWED_IMPORTS = {"numpy", "pandas", "matplotlib", "seaborn", "sklearn", "calcium_decoding", "decoding_book"}
# Chapters on what is one's own import what that is made of; that on decoders defines a network and an analysis.
OWN = "51_your_model"
OWN_IMPORTS = {"50_your_data": {"dataclasses", "pathlib"}, OWN: {"dataclasses", "torch"}}
OWN_DEFINITIONS = {"Mine", "lost_without"}


@pytest.fixture(scope="module", params=CHAPTERS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def notebook(name):
    return jupytext.read(ROOT / "book" / f"{name}.py")


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose_of(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def test_every_chapter_file_is_registered_and_in_the_table_of_contents():
    files = {p.stem for p in (ROOT / "book").glob("[0-9]*.py")}
    contents = (ROOT / "_toc.yml").read_text()
    assert files == set(CHAPTERS)
    assert files == set(re.findall(r"file: ([0-9]\w+)", contents)) - {"90_results"}


def test_title_is_a_question_and_the_first_cell_says_what_to_expect(notebook):
    first = prose_of(notebook)[0]
    assert re.match(r"# .+\?\n", first)
    for word in ("You will learn", "Data", "Cost", "Reproduces", "Adds", "smoke", "demo", "paper"):
        assert word in first, word


def test_imports_are_few_and_stand_in_the_first_code_cell(name, notebook):
    allowed = ALLOWED_IMPORTS | OWN_IMPORTS.get(name, set())
    for i, cell in enumerate(code_of(notebook)):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                modules = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
                assert i == 0 and {n.split(".")[0] for n in modules} <= allowed


def test_parameters_are_flat_literals_with_a_comment_each(name, notebook):
    cells = [c for c in code_of(notebook) if "parameters" in c.metadata.get("tags", [])]
    assert len(cells) == 1
    assert code_of(notebook)[1] is cells[0]
    assigned = {}
    for node in ast.parse(cells[0].source).body:
        assert isinstance(node, ast.Assign)
        assigned[node.targets[0].id] = ast.literal_eval(node.value)
    assert all(re.search(r"  # \S", line) for line in cells[0].source.splitlines())
    assert list(assigned) == sorted(assigned, key=list(assigned).index)
    assert set(assigned) == set(schema_of(name).model_fields)


def test_comments_say_what_the_schema_says(name, notebook):
    cell = next(c for c in code_of(notebook) if "parameters" in c.metadata.get("tags", []))
    for line in cell.source.splitlines():
        parameter, comment = line.split(" = ")[0], line.split("  # ")[1]
        description = schema_of(name).model_fields[parameter].description
        # The comment may be shorter than the schema where that lists alternatives with their meaning.
        assert comment.split(":")[0].split(",")[0] == description.split(":")[0].split(",")[0]


def test_the_call_after_the_parameters_checks_them(notebook):
    assert code_of(notebook)[2].source.startswith("chapter = start(")


def test_no_functions_and_classes_and_short_cells(name, notebook):
    for cell in code_of(notebook):
        tree = ast.parse(cell.source)
        own = [n for n in tree.body if name == OWN and getattr(n, "name", "") in OWN_DEFINITIONS]
        assert len(own) <= 1 and (not own or tree.body == own)  # a cell that defines something does nothing else
        assert not [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef, ast.Lambda))
                    and not any(n in ast.walk(one) for one in own)]
        # The cell of parameters is a list, a line each, and as long as the chapter has parameters.
        most = len(ast.parse(cell.source).body) if "parameters" in cell.metadata.get("tags", ()) else 20
        assert len(cell.source.splitlines()) <= most
        assert max(map(len, cell.source.splitlines())) <= 84  # what a page shows without scrolling


def test_it_says_what_it_does_not_show_and_ends_with_the_card(notebook):
    assert any(text.startswith("## What this does not show") for text in prose_of(notebook))
    last = notebook.cells[-1]
    assert last.metadata.get("tags") == [references.CARD_TAG] and "card.rounded()" in last.source
    assert [c for c in code_of(notebook) if references.CARD_TAG in c.metadata.get("tags", [])] == [last]


def test_pairing_leaves_the_source_as_it_is_and_takes_edits_back(checkout):
    """What `make lab` does: sync makes the notebook; an edit saved there comes back into the source, and only that."""
    source, paired = (checkout / "book" / f"10_roi_rnn.{ending}" for ending in ("py", "ipynb"))
    before = source.read_text()
    sync = [sys.executable, "-m", "jupytext", "--sync", str(source)]
    subprocess.run(sync, cwd=checkout, check=True, capture_output=True)
    assert source.read_text() == before
    edited = nbformat.read(paired, as_version=4)
    cell = next(c for c in edited.cells if "seed = " in c.source)
    cell.source = re.sub(r"seed = \d+", "seed = 99", cell.source)
    edited.metadata["kernelspec"] = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    edited.metadata["language_info"] = {"name": "python", "version": "3.99"}
    nbformat.write(edited, paired)
    later = source.stat().st_mtime + 5
    os.utime(paired, (later, later))
    subprocess.run(sync, cwd=checkout, check=True, capture_output=True)
    assert source.read_text() == re.sub(r"seed = \d+", "seed = 99", before)


def test_every_chapter_has_every_profile_and_the_profiles_set_known_parameters(name):
    for profile in execute.PROFILES:
        content = yaml.safe_load((ROOT / "book" / "params" / f"{name}.{profile}.yaml").read_text())
        assert set(content) <= set(schema_of(name).model_fields)
    stray = {p.name.split(".")[0] for p in (ROOT / "book" / "params").iterdir()} - set(CHAPTERS)
    assert not stray


def test_no_executed_notebook_is_tracked_under_book():
    tracked = subprocess.run(["git", "ls-files", "book/*.ipynb"], cwd=ROOT, capture_output=True, text=True)
    assert tracked.stdout == ""


def test_reference_notebooks_have_the_code_of_the_chapters(name, notebook):
    reference = nbformat.read(ROOT / "tests" / "reference" / f"{name}.ipynb", as_version=4)
    injected = [c for c in reference.cells if "injected-parameters" in c.metadata.get("tags", [])]
    assert len(injected) == 1
    assert [c.source for c in reference.cells if c not in injected] == [c.source for c in code_of(notebook)]
    card = reference.cells[-1].outputs[0].text
    assert "simulated" in card and re.search(r"\d\.\d\d\n", card)


def test_nbval_fails_when_a_number_changes(tmp_path):
    """The regression net catches: the data tour's reference with one digit changed has to fail."""
    chapter = "01_data_tour"
    reference = nbformat.read(ROOT / "tests" / "reference" / f"{chapter}.ipynb", as_version=4)
    output = reference.cells[-1].outputs[0]
    lines = output.text.splitlines(keepends=True)
    place = next(i for i, line in enumerate(lines) if re.search(r"\d\.\d\d\n$", line))
    digit = lines[place][-2]
    lines[place] = lines[place][:-2] + str((int(digit) + 1) % 10) + "\n"
    output.text = "".join(lines)
    changed = tmp_path / f"{chapter}.ipynb"
    nbformat.write(reference, changed)
    command = [sys.executable, "-m", "pytest", "--nbval-lax", f"--nbval-sanitize-with={SANITIZE}", "-q", "-p",
               "no:cacheprovider", "--rootdir", str(ROOT), str(changed)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "1 failed" in result.stdout and "mismatch" in result.stdout.lower()


def test_of_every_card_most_numbers_are_compared():
    """What may vary stands in its card, once; no more than half of a card may be anything."""
    patterns = get_sanitize_patterns(SANITIZE.read_text())
    used = set()
    for chapter in CHAPTERS:
        text = nbformat.read(ROOT / "tests" / "reference" / f"{chapter}.ipynb", as_version=4).cells[-1].outputs[0].text
        seen = text
        for regex, replacement in patterns:
            seen, n = re.subn(regex, replacement, seen)
            used |= {regex} if n else set()
            assert n <= 1
        lines = [(a, b) for a, b in zip(text.splitlines(), seen.splitlines(), strict=True) if a != b]
        assert all(re.fullmatch(re.escape(re.sub(r"[-0-9.]+$", "", a)) + r"(any|\S+ to \S+)", b) for a, b in lines)
        assert seen.count("  any\n") <= 0.5 * len(re.findall(r"\.\d\d$", text, flags=re.M)), chapter
    assert used == {regex for regex, _ in patterns}
