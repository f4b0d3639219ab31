"""The page of recipes: every command on it is run, as it stands, in a copy of the checkout.

Two things are not as on the page: the cluster's machine 10.0.0.5 is this one, with a free port, and of the SLURM array
one task is run, by a shell that sets the variable SLURM would set; `sbatch` itself is not run.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from calcium_decoding import cli
from calcium_decoding.errors import DataError
from calcium_decoding.evaluation.cards import ResultCard, Score
from decoding_book.pages import results
from tests.conftest import ROOT

pytestmark = pytest.mark.timeout(7200)
PAGE = (ROOT / "book" / "recipes.md").read_text(encoding="utf-8")
BLOCKS = {}
for section in PAGE.split("\n## ")[1:]:
    for number, block in enumerate(re.findall(r"^```bash\n(.*?)^```", section, re.M | re.S)):
        BLOCKS[section.splitlines()[0] + (f" ({number + 1})" if number else "")] = block


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A checkout that all recipes share, as a reader's does: what one leaves, the next finds."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("data_manifest.yaml", "_config.yml", "_toc.yml", "jupytext.toml"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "book", folder / "book", ignore=shutil.ignore_patterns("*.ipynb", ".*"))
    return folder


def shell(block, place, **environment):
    """Run a block of the page with bash; whatever it started in the background is stopped afterwards."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    log = place / "output.txt"
    with log.open("w") as output:
        process = subprocess.Popen(["bash", "-euo", "pipefail", "-c", block], cwd=place, stdout=output, stderr=output,
                                   start_new_session=True, env={**os.environ, "PATH": path, **environment})
        try:
            code = process.wait(timeout=1800)  # a limit for a busy machine
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
    assert code == 0, log.read_text()[-3000:]


def card(folder, chapter="10_roi_rnn"):
    return json.loads((folder / f"{chapter}.card.json").read_text())


def test_every_block_of_the_page_is_run_here():
    assert set(BLOCKS) == {"Another data set", "Another window", "A sweep", "One table of many runs", "A Dask cluster",
                           "A SLURM array", "A SLURM array (2)", "Your own recordings",
                           "The library in a script of your own", "Frame by frame", "Frame by frame (2)",
                           "Your own behaviour and your own network", "Movies, and features of them",
                           "A decoder that is kept and applied", "papermill by itself"}
    assert "```sh" not in PAGE and "\n    $" not in PAGE  # no command hides in another kind of block
    parsed = [line for line in re.findall(r"calcium-decoding (book run .+?)(?<!\\)\n", "".join(BLOCKS.values()), re.S)]
    assert len(parsed) == 6
    for line in parsed:
        words = subprocess.run(["bash", "-c", f"half=1 seed=1; printf '%s\\n' {line}"], capture_output=True, text=True)
        options = cli.parser().parse_args(words.stdout.split("\n")[:-1])
        assert options.profile == "smoke" and options.out.startswith("results/")


@pytest.mark.slow
def test_another_data_set(place, real_data_dir):
    shell(BLOCKS["Another data set"], place, CALCIUM_DECODING_DATA=str(real_data_dir))
    found = card(place / "results" / "widefield", "01_data_tour")
    assert found["dataset"] == "isfn-widefield" and found["simulated"] is False


@pytest.mark.slow
def test_windows_and_their_table(place):
    """The recipes of one window, of a sweep and of a table, one after the other."""
    shell(BLOCKS["A SLURM array (2)"], place)
    shell(BLOCKS["Another window"], place)
    causal = card(place / "results" / "causal")["provenance"]["parameters"]
    assert (causal["past_frames"], causal["future_frames"], causal["models"]) == (10, 0, "logistic_window")
    shell(BLOCKS["A sweep"], place)
    shell(BLOCKS["One table of many runs"], place)
    table = pd.read_csv(place / "results" / "scores.csv")
    scores = table[(table["metric"] == "auc") & (table["over"] == "mean of 6 folds")]
    windows = {Path(row["card"]).parent.name: (row["-p past_frames"], row["-p future_frames"])
               for _, row in scores.iterrows()}
    assert windows.items() >= {"causal": (10, 0), "half_5": (5, 5), "half_15": (15, 15)}.items()
    for name, value in zip(scores["card"], scores["value"], strict=True):
        stored = ResultCard.load(place / f"{name}.card.json").summary()
        assert value in [s.value for s in stored if s.metric == "auc"]


@pytest.mark.slow
def test_a_dask_cluster(place):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    block = BLOCKS["A Dask cluster"].replace("10.0.0.5", "127.0.0.1").replace("8786", str(port))
    assert block.count(str(port)) == 3
    shell(block, place)
    assert card(place / "results" / "cluster")["provenance"]["parameters"]["models"] == "logistic"


@pytest.mark.slow
def test_one_task_of_a_slurm_array(place):
    shell(BLOCKS["A SLURM array"], place, SLURM_ARRAY_TASK_ID="1")
    assert card(place / "results" / "seed_2")["provenance"]["seed"] == 2
    assert not (place / "results" / "seed_1").exists()
    (last,) = re.findall(r"--array=0-(\d+)", BLOCKS["A SLURM array"])
    assert len(re.search(r"seeds=\((.*)\)", BLOCKS["A SLURM array"]).group(1).split()) == int(last) + 1


@pytest.mark.slow
def test_your_own_recordings(place):
    shell(BLOCKS["Your own recordings"], place)
    found = card(place / "results" / "mine")
    assert found["dataset"] == "mine" and found["simulated"] is False
    assert max(s["value"] for s in found["scores"] if s["metric"] == "auc") > 0.9  # what was planted is found


@pytest.mark.slow
def test_a_script_of_your_own(place):
    shell(BLOCKS["The library in a script of your own"], place)
    scores, apart = (place / "output.txt").read_text().splitlines()[-2:]
    scores = [float(score) for score in re.findall(r"\d\.\d+|\d\.", scores)]
    assert len(scores) == 4 and min(scores) > 0.6 and apart.endswith("[60, 60, 60, 60]")


@pytest.mark.slow
def test_frame_by_frame(place):
    shell(BLOCKS["Frame by frame"], place)
    decoded = re.findall(r"frame (\d+): running with probability (\d\.\d\d), 0 ms late",
                         (place / "output.txt").read_text())
    assert [int(frame) for frame, _ in decoded] == [50, 100, 150]
    shell(BLOCKS["Frame by frame (2)"], place)
    latency, table = json.loads((place / "latency.json").read_text()), pd.read_csv(place / "streamed.csv")
    assert latency["simulated"] and latency["frames"]["missing"] == 0 and table["frame"].iloc[-1] == 299


@pytest.mark.slow
def test_your_own_behaviour_and_network(place):
    shell(BLOCKS["Your own behaviour and your own network"], place)
    rows = re.findall(r"^mouse \d +([\d.]+) +([\d.]+) +([\d.]+)$", (place / "output.txt").read_text(), re.M)
    assert len(rows) == 3 and min(float(x) for row in rows for x in row) > 0.3  # chance: 0.25


@pytest.mark.slow
def test_movies_and_features_of_them(place):
    shell(BLOCKS["Movies, and features of them"], place)
    rows = re.findall(r"^\d +(images|features, \w+) +2 +(\d\.\d+)", (place / "output.txt").read_text(), re.M)
    assert [name for name, _ in rows] == ["images", "features, gru", "features, LogisticRegression"]
    assert len(list((place / "_build" / "mine").glob("*.features.npy"))) == 2  # a fold each, shared by both decoders


@pytest.mark.slow
def test_a_decoder_that_is_kept_and_applied(place):
    shell(BLOCKS["A decoder that is kept and applied"], place)
    said = (place / "output.txt").read_text()
    assert re.search(r"gru of run, fold test=mouse 1,.*, SIMULATED; on the recordings held out auc 0\.[89]\d", said)
    table = pd.read_csv(place / "decoded.csv")
    assert table["probability"].between(0, 1).all() and table["frame"].iloc[[0, -1]].tolist() == [15, 2084]


@pytest.mark.slow
def test_papermill_by_itself(place):
    shell(BLOCKS["papermill by itself"], place)
    executed = nbformat.read(place / "results" / "papermill" / "executed.ipynb", as_version=4)
    assert "01_data_tour on simulated-small" in executed.cells[-1].outputs[0].text
    assert card(place / "_build" / "cards", "01_data_tour")["provenance"]["parameters"]["show_s"] == 20.0


def planted(folder, name, value, **parameters):
    """A card with a mean and a fold."""
    provenance = {"data_hash": "d", "split_hash": "s", "code_version": "c", "seed": 1,
                  "parameters": {"dataset": "x", "seed": 1, **parameters}, "versions": {}}
    scores = [Score(model="gru", metric="auc", scope="mean of 2 folds", value=value, sd=0.1, n=2),
              Score(model="gru", metric="auc", scope="fold a", value=value + 0.1)]
    ResultCard(chapter=name, dataset="x", simulated=True, claim="across animals", null="none", scores=scores,
               provenance=provenance).save(folder / f"{name}.card.json")


def test_the_table_has_a_column_for_what_differs_and_for_nothing_else(tmp_path):
    planted(tmp_path / "a", "10_roi_rnn", 0.5, past_frames=5, epochs=3)
    planted(tmp_path / "b", "10_roi_rnn", 0.7, past_frames=9, epochs=3)
    planted(tmp_path / "b" / "deeper", "11_windows_and_lags", 0.6, past_frames=9, epochs=3, shifts="0,5")
    found = results.collected([tmp_path, tmp_path / "b"])
    assert list(found["value"]) == [0.5, 0.7, 0.6]
    assert [c for c in found if c.startswith("-p")] == ["-p past_frames", "-p shifts"]
    assert list(found["-p past_frames"]) == [5, 9, 9] and list(found["-p shifts"].fillna("")) == ["", "", "0,5"]
    assert set(found["data"]) == {"simulated"}
    assert len(results.collected([tmp_path], every=True)) == 6


def test_a_folder_without_cards_and_a_damaged_card_are_refused(tmp_path):
    with pytest.raises(DataError, match="no result card"):
        results.collected([tmp_path])
    (tmp_path / "x.card.json").write_text("{")
    with pytest.raises(DataError, match=r"x\.card\.json"):
        results.collected([tmp_path])
