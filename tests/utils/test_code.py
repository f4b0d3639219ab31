"""What decides a stored result: keys are blind to figures, to the book and to comments, and see all that computes."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from calcium_decoding.utils.code import code_digest
from tests.conftest import ROOT

# Keys of folds, of work on their decoders, of simulated sets and stored measurements, by the library on the path.
KEYS = """
import json
import numpy as np
import calcium_decoding as cd
from calcium_decoding import splits
from calcium_decoding.data import catalog
from calcium_decoding.explain import map_runs, shap_maps
from calcium_decoding.utils.code import code_digest
from decoding_book.chapters import null_level

rng = np.random.default_rng(0)
run = (np.arange(300) // 30 % 2).astype(np.uint8)
dataset = cd.Dataset("d", tuple(cd.Recording(rng.normal(size=(300, 3)), {"run": run}, 30.0, f"a{a}", "s")
                                for a in range(3)))
recipe, spec = {"name": "scaled", "rate_hz": 30.0}, cd.WindowSpec(2, 2)
split = splits.build("animal_pairs", dataset, spec, cd.preprocessing.build(**recipe))
experiment = cd.Experiment(dataset, split, cd.Traces(recipe, spec), training=cd.TrainingSettings())
entries = catalog.load_manifest().entries
print(json.dumps({
    "fold": experiment.key(split.folds[0], "gru"),
    "map": code_digest(shap_maps.run), "maps": code_digest(map_runs.run),
    "simulated": catalog.folder(entries["simulated-small"]).name,
    "simulated footsteps": catalog.folder(entries["simulated-footsteps-small"]).name,
    "null level": null_level.code_hash(), "agreement": code_digest("explain/deep_shap")}))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "lib", folder / "lib", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "data_manifest.yaml", folder)
    return folder


def keys(folder):
    done = subprocess.run([sys.executable, "-c", KEYS], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(folder / "lib")})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def before(copy):
    return keys(copy)


def test_a_new_module_of_figures_or_of_the_book_and_an_edited_comment_change_no_key(copy, before):
    lib = copy / "lib"
    (lib / "calcium_decoding" / "plotting" / "new.py").write_text("A = 1\n")
    (lib / "decoding_book" / "new.py").write_text("A = 1\n")
    (lib / "decoding_book" / "chapters" / "new.py").write_text("A = 1\n")
    edited = [*(lib / "calcium_decoding").rglob("*.py")]
    for path in edited:
        path.write_text(path.read_text() + "\n# one more comment\n")
    assert len(edited) > 80 and keys(copy) == before


@pytest.mark.parametrize(("room", "module", "stale"), [
    ("models", "linear", {"fold"}), ("splits", "core", {"fold"}), ("preprocessing", "windows", {"fold"}),
    ("explain/deep_shap", "cells", {"map", "maps", "agreement"}),
    ("simulation/widefield", "worlds", {"simulated", "null level"}),
])
def test_an_edit_makes_stale_what_its_room_computes_and_nothing_else(copy, before, room, module, stale):
    path = copy / "lib" / "calcium_decoding" / room / f"{module}.py"
    kept = path.read_text()
    path.write_text(f"{kept}\nONE_MORE = 1\n")
    try:
        after = keys(copy)
    finally:
        path.write_text(kept)
    assert {name for name in before if after[name] != before[name]} == stale


def test_a_function_of_a_script_counts_by_its_file(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "script_work.py").write_text('def work():\n    """Ours."""\n    return 1\n')
    import script_work

    first = code_digest(script_work.work)
    code_digest.cache_clear()
    (tmp_path / "script_work.py").write_text("def work():\n    return 1  # the same\n")
    assert code_digest(script_work.work) == first
    code_digest.cache_clear()
    (tmp_path / "script_work.py").write_text("def work():\n    return 2\n")
    assert code_digest(script_work.work) != first


def test_a_room_that_is_not_there_is_refused():
    with pytest.raises(FileNotFoundError, match="no code in"):
        code_digest("attic")
