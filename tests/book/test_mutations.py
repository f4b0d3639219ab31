"""The regression net has to catch: five mistakes, each made in a copy of the library, turn a committed reference red.

Every run is nbval as `make test` starts it, on a committed reference notebook, against a copy of the library in which
one line is wrong. The copy has its own folder of finished folds, so nothing measured by the right library is met again.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest

from decoding_book.references import VARYING
from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
PACKAGE = "calcium_decoding"
# The quickest reference with a network, a split, windows and numbers that are not all near 1; half a minute a run.
QUICKEST = "23_shap"


@dataclass(frozen=True)
class Mutation:
    """One mistake: in a module of the library, a text that stands there once and what takes its place."""

    module: str
    right: str
    wrong: str
    references: tuple = (QUICKEST,)


MUTATIONS = {
    # The label is that of the window's first frame, not of its centre.
    "wrong window centre": Mutation(
        "preprocessing/windows.py", "labels.append(label[centres + spec.label_shift_frames])",
        "labels.append(label[centres - spec.past_frames + spec.label_shift_frames])"),
    # The smallest mistake of the five: the study's smoothing is 0.001. It shows in the map of the trained network.
    "label smoothing off": Mutation(
        "models/heads.py", "labels * (1.0 - label_smoothing) + label_smoothing / 2.0", "labels",
        (QUICKEST, "10_roi_rnn", "04_simulated_truth")),
    # Behind the audit, which sees the split: windows of the test animal are trained on all the same.
    "fold leak": Mutation(
        "experiments/folds.py", "ranges = self.fold.ranges(role)\n",
        "ranges = self.fold.ranges(role) | (self.fold.ranges('test') if role == 'train' else {})\n"),
    "last epoch in place of the best": Mutation(
        "models/loop.py", "    network.load_state_dict(state.best)\n", ""),
    # The area under a curve of one threshold, as when decisions are scored in place of probabilities.
    "AUC of thresholded scores": Mutation(
        "evaluation/metrics.py", "roc_auc_score(labels, p_run)",
        "roc_auc_score(labels, np.asarray(p_run) > 0.5)"),
}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Folder of simulated data, made by the first run and used by all: no mutation touches the simulator."""
    return tmp_path_factory.mktemp("simulated")


def copy_with(mutation, folder, simulated):
    """A checkout with what a reference needs, its library mutated."""
    shutil.copytree(ROOT / "lib", folder / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "book" / "stored", folder / "book" / "stored")
    shutil.copy(ROOT / "data_manifest.yaml", folder)
    (folder / "_build").mkdir()
    (folder / "_build" / "simulated").symlink_to(simulated)
    (folder / "tests" / "reference").mkdir(parents=True)
    if mutation is not None:
        path = folder / "lib" / PACKAGE / mutation.module
        source = path.read_text(encoding="utf-8")
        if source.count(mutation.right) != 1:
            pytest.fail(f"the mutation has lost its place: {mutation.right!r} stands {source.count(mutation.right)} "
                        f"times in {mutation.module}, not once; write it for the code as it is now")
        path.write_text(source.replace(mutation.right, mutation.wrong), encoding="utf-8")
    return folder


def nbval(reference, copy):
    """nbval on a committed reference, by the library of the copy."""
    for name in (f"{reference}.ipynb", VARYING):
        shutil.copy(ROOT / "tests" / "reference" / name, copy / "tests" / "reference")
    environment = {**os.environ, "PYTHONPATH": str(copy / "lib")}
    found = subprocess.run([sys.executable, "-c", f"import {PACKAGE}; print({PACKAGE}.__file__)"], cwd=copy,
                           env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.startswith(str(copy))  # not the library of the working tree
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-cell-timeout=600", "-q", "-p",
               "no:cacheprovider", f"--nbval-sanitize-with=tests/reference/{VARYING}", "--rootdir", str(copy),
               f"tests/reference/{reference}.ipynb"]
    result = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert list((copy / "_build" / "folds").glob("*")), result.stdout  # trained here, not taken from elsewhere
    return result


def test_without_a_mutation_the_reference_is_green(tmp_path, simulated):
    result = nbval(QUICKEST, copy_with(None, tmp_path, simulated))
    assert result.returncode == 0, result.stdout[-3000:]


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_turns_a_reference_red(name, tmp_path, simulated):
    mutation = MUTATIONS[name]
    copy = copy_with(mutation, tmp_path, simulated)
    for reference in mutation.references:
        result = nbval(reference, copy)
        if result.returncode:
            # Red by its numbers: the one cell with the card differs, and no cell stopped with an error.
            assert "1 failed" in result.stdout and "mismatch 'stdout'" in result.stdout, result.stdout[-3000:]
            return
    pytest.fail(f"no number changed by '{name}' in {', '.join(mutation.references)}: give a reference a score that "
                "sees it (another seed or number of steps in its smoke profile), and make the reference anew")


def test_a_mutation_without_its_place_is_named(tmp_path, simulated):
    lost = Mutation("preprocessing/windows.py", "a line that is not there", "")
    with pytest.raises(pytest.fail.Exception, match="lost its place: 'a line that is not there' stands 0 times"):
        copy_with(lost, tmp_path, simulated)
