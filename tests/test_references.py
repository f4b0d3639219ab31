"""References: which numbers are left alone, and that each stands where nbval finds it."""

import os
import re

import nbformat
from nbval.plugin import get_sanitize_patterns

from calcium_decoding import manifest, references
from calcium_decoding.results import Score


def blanked(folder, text):
    for regex, replacement in get_sanitize_patterns((folder / references.VARYING).read_text()):
        text = re.sub(regex, replacement, text)
    return text


def test_only_the_numbers_listed_of_a_chapter_are_left_alone(tmp_path):
    gru, cnn = (Score(model=f"{name}, 90 % (a+b)", metric="auc", scope="mean of 2 folds", value=0.5)
                for name in ("gru", "cnn"))
    text = "{} on simulated (simulated), split ab\ncnn, 90 % (a+b)  auc  mean of 2 folds  -0.51\n" \
           "gru, 90 % (a+b)  auc  mean of 2 folds  0.50\n"
    references._note(tmp_path / references.VARYING, "10_a", [gru, cnn])
    references._note(tmp_path / references.VARYING, "20_b", [cnn])
    both = blanked(tmp_path, text.format("10_a"))
    assert both.count("  varies\n") == 2 and "0.5" not in both
    assert blanked(tmp_path, text.format("20_b")) == text.format("20_b").replace("-0.51", "varies")
    assert blanked(tmp_path, text.format("30_c")) == text.format("30_c")
    # Measured again: what was listed of this chapter goes, what was of another stays.
    references._note(tmp_path / references.VARYING, "10_a", [])
    assert blanked(tmp_path, text.format("10_a")) == text.format("10_a")
    assert "varies" in blanked(tmp_path, text.format("20_b"))


def test_a_reference_is_made_from_folds_of_its_own(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(references, "ARITHMETIC", ({}, {"ATEN_CPU_CAPABILITY": "default"}))
    run = references.chapters.run

    def watched(*args, **options):
        seen.append((os.environ.get("ATEN_CPU_CAPABILITY"), manifest.folds_folder()))
        return run(*args, **options)

    monkeypatch.setattr(references.chapters, "run", watched)
    (path, varying, n_scores), = references.make(["01_data_tour"], tmp_path)
    notebook = nbformat.read(path, as_version=4)
    assert [cell.outputs != [] for cell in notebook.cells if cell.cell_type == "code"][-1]
    assert sum(cell.outputs != [] for cell in notebook.cells if cell.cell_type == "code") == 1
    assert len(varying) < n_scores and (tmp_path / references.VARYING).exists()
    assert [capability for capability, _ in seen] == [None, "default"] and seen[0][1] != seen[1][1]
    assert not {"ATEN_CPU_CAPABILITY", manifest.FOLDS_VARIABLE} & set(os.environ)  # as they were
