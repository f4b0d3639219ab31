"""References: what is taken for the same number, and that each stands where nbval finds it."""

import os
import re

import nbformat
from nbval.plugin import get_sanitize_patterns

from calcium_decoding.data import catalog
from calcium_decoding.evaluation.cards import Score
from decoding_book import execute, references


def blanked(folder, text):
    for regex, replacement in get_sanitize_patterns((folder / references.VARYING).read_text()):
        text = re.sub(regex, replacement, text)
    return text


def test_only_what_is_listed_of_a_chapter_is_taken_for_the_same(tmp_path):
    gru, cnn = (Score(model=f"{name}, 90 % (a+b)", metric="auc", scope="mean of 2 folds", value=0.5)
                for name in ("gru", "cnn"))
    text = "{} on simulated (simulated), split ab\ncnn, 90 % (a+b)  auc  mean of 2 folds  {}\n" \
           "gru, 90 % (a+b)  auc  mean of 2 folds  {}\n"

    def seen(chapter, of_cnn="-0.51", of_gru="0.50"):
        return blanked(tmp_path, text.format(chapter, of_cnn, of_gru))

    references._note(tmp_path / references.VARYING, "10_a", [(gru, ["0.49", "0.50"]), (cnn, [])])
    references._note(tmp_path / references.VARYING, "20_b", [(cnn, ["-0.51", "-0.50"])])
    assert "folds  any\n" in seen("10_a") and "folds  0.49 to 0.50\n" in seen("10_a")
    assert seen("10_a") == seen("10_a", "0.9", "0.49") != seen("10_a", of_gru="0.48")
    assert seen("10_a") != seen("10_a", of_gru="0.501")  # not a number that only begins as one that is listed
    assert seen("20_b") == seen("20_b", "-0.50") and len({seen("20_b", n) for n in ("-0.51", "-0.52", "0.50")}) == 3
    assert seen("30_c") == text.format("30_c", "-0.51", "0.50")
    # Measured again: what was listed of this chapter goes, what was of another stays.
    references._note(tmp_path / references.VARYING, "10_a", [])
    assert seen("10_a") == text.format("10_a", "-0.51", "0.50") and "-0.51 to -0.50" in seen("20_b")


def test_a_reference_is_made_from_folds_of_its_own(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(references, "ARITHMETIC", ({}, {"ATEN_CPU_CAPABILITY": "default"}))
    run = execute.run

    def watched(*args, **options):
        seen.append((os.environ.get("ATEN_CPU_CAPABILITY"), catalog.folds_folder()))
        return run(*args, **options)

    monkeypatch.setattr(execute, "run", watched)
    (path, varying, n_scores), = references.make(["01_data_tour"], tmp_path)
    notebook = nbformat.read(path, as_version=4)
    assert [cell.outputs != [] for cell in notebook.cells if cell.cell_type == "code"][-1]
    assert sum(cell.outputs != [] for cell in notebook.cells if cell.cell_type == "code") == 1
    assert len(varying) < n_scores and (tmp_path / references.VARYING).exists()
    assert [capability for capability, _ in seen] == [None, "default"] and seen[0][1] != seen[1][1]
    assert not {"ATEN_CPU_CAPABILITY", catalog.FOLDS_VARIABLE} & set(os.environ)  # as they were
