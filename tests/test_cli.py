"""The command as a newcomer types it: what it prints, its exit status, and that nothing is left after a refusal."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from calcium_decoding import cli
from calcium_decoding.data import readers
from decoding_book import parameters
from tests.conftest import ROOT

PROGRAM = Path(sys.executable).parent / "calcium-decoding"


def command(*words, cwd=ROOT, **environment):
    return subprocess.run([PROGRAM, *map(str, words)], cwd=cwd, capture_output=True, text=True,
                          env={**os.environ, **environment})


def test_list_names_every_entry_and_its_state():
    result = command("data", "list")
    assert result.returncode == 0
    for name in ("zenodo-10408334", "isfn-widefield", "multiple-maps", "simulated", "efficientnet-lite0"):
        assert re.search(rf"^{name} .*(present|missing|incomplete)$", result.stdout, re.M)


def test_a_reader_that_has_read_enough_is_no_error():
    process = subprocess.Popen([PROGRAM, "data", "list"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 141


def test_simulate_with_own_settings_is_read_back(tmp_path):
    out = tmp_path / "world"
    result = command("data", "simulate", "--world", "no_link", "--sessions", 1, "--frames", 400, "--seed", 5, "--out",
                     out)
    assert result.returncode == 0, result.stderr
    assert len(readers.read_study(out, movies=True).recordings) == 5
    assert "session/s" in result.stderr  # a progress bar


def test_simulate_sizes_without_movies(tmp_path):
    out = tmp_path / "world"
    result = command("data", "simulate", "--animals", 1, "--sessions", "study", "--frames", 300, "--no-movies",
                     "--jobs", 1, "--out", out)
    assert result.returncode == 0, result.stderr
    assert len(readers.read_study(out).recordings) == 11  # as many as mouse 1 of the study
    assert not list(out.rglob("*.tif"))


def test_simulate_names_the_worlds():
    result = command("data", "simulate", "--world", "list")
    assert result.returncode == 0 and "haemodynamics_only" in result.stdout


@pytest.mark.parametrize(("words", "said"), [
    (("data", "fetch", "zenod"), "zenodo-10408334"),
    (("data", "fetch", "nothing-like-it"), "isfn-widefield"),
    (("data", "simulate", "--world", "mars", "--out", "x"), "paper_like"),
    (("data", "simulate", "isfn-widefield"), "data fetch isfn-widefield"),
    (("data", "simulate", "--world", "lag"), "--out"),
    (("data", "simulate", "simulated", "--seed", "0"), "leave 'simulated' or the settings out"),
    (("data", "simulate", "--out", "x", "--sessions", "0"), "1 or more, or study"),
    (("book", "run", "99_none"), "10_roi_rnn"),
    (("book", "run", "10_roi_rnn", "-p", "epoch", "3"), "did you mean 'epochs'"),
    (("book", "run", "10_roi_rnn", "-p", "epochs", "0"), "greater than or equal to 1"),
    (("book", "run", "10_roi_rnn", "--dataset", "simulatd"), "simulated"),
    (("book", "run", "10_roi_rnn", "--dataset", "efficientnet-lite0"), "pretrained weights"),
    (("book", "run", "10_roi_rnn", "--profile", "smoke", "-p", "regime", "blocked", "-p", "recipe", "published"),
     "use the recipe 'causal' or 'scaled'"),
    (("book", "run", "10_roi_rnn", "--profile", "quick"), "smoke, demo or paper"),
])
def test_what_cannot_be_done_is_said_in_one_line_without_a_traceback(words, said, tmp_path):
    result = command(*words, *(("--out", tmp_path / "out") if words[1] == "run" else ()))
    assert result.returncode == 1
    assert said in result.stderr.replace("smoke, demo, paper", "smoke, demo or paper")
    # Above it may stand the bar of a simulated set that is made first.
    assert "Traceback" not in result.stderr and "\ncalcium-decoding: " in f"\n{result.stderr}"
    assert not (tmp_path / "out").exists()


def test_data_that_are_not_here_give_the_command_that_gets_them(tmp_path):
    result = command("book", "run", "10_roi_rnn", "--dataset", "isfn-widefield", "--profile", "smoke", "--out",
                     tmp_path / "out", CALCIUM_DECODING_DATA=str(tmp_path / "empty"))
    assert result.returncode == 1
    assert "calcium-decoding data fetch isfn-widefield" in result.stderr
    assert not list(tmp_path.glob("out/*"))


def test_verify_finds_a_changed_file(checkout):
    folder = checkout / "data" / "isfn_widefield"
    folder.mkdir(parents=True)
    (folder / "data_animal1.mat").write_bytes(b"not the recording")
    result = command("data", "verify", "isfn-widefield", cwd=checkout, CALCIUM_DECODING_DATA="")
    assert result.returncode == 1
    assert "data_animal1.mat" in result.stdout and "mismatch" in result.stdout and "missing" in result.stdout


def test_run_leaves_notebook_page_and_card_and_hides_this_machine(tmp_path):
    result = command("book", "run", "01_data_tour", "--profile", "smoke", "-p", "show_s", "20", "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {f"01_data_tour.{ending}" for ending in ("ipynb", "html", "card.json")}
    notebook = (tmp_path / "01_data_tour.ipynb").read_text()
    assert "show_s = 20" in notebook and str(tmp_path) not in notebook and "out_dir = \\\"/" not in notebook
    card = json.loads((tmp_path / "01_data_tour.card.json").read_text())
    assert card["simulated"] is True and card["provenance"]["parameters"]["show_s"] == 20.0
    assert str(tmp_path) not in json.dumps(card) and "/tmp" not in json.dumps(card)
    assert "<img" in (tmp_path / "01_data_tour.html").read_text()


def test_own_recordings_run_by_a_local_entry(checkout):
    rng = np.random.default_rng(0)
    folder = checkout / "data" / "mine"
    folder.mkdir(parents=True)
    for animal in ("m1", "m2", "m3"):
        run = (np.sin(np.arange(900) / 40 + rng.uniform(0, 6)) > 0).astype(np.uint8)
        np.savez(folder / f"{animal}.npz", signal=rng.normal(size=(900, 6)) + 2 * run[:, None], run=run, rate_hz=20.0,
                 animal=animal, session="day 1")
    with (checkout / "data_manifest.yaml").open("a") as file:
        file.write("\n  mine: {kind: local, title: Mine, format: npz, folder: mine, regime: animal_pairs}\n")
    result = command("book", "run", "10_roi_rnn", "--dataset", "mine", "--profile", "smoke", "-p", "models", "logistic",
                     "-p", "null_models", "", "-p", "recipe", "scaled", "--out", checkout / "out", cwd=checkout,
                     CALCIUM_DECODING_DATA="")
    assert result.returncode == 0, result.stderr
    card = json.loads((checkout / "out" / "10_roi_rnn.card.json").read_text())
    assert card["simulated"] is False and card["dataset"] == "mine"
    mean = next(s["value"] for s in card["scores"] if s["metric"] == "auc" and s["scope"].startswith("mean of 6"))
    assert mean > 0.95


def test_a_chapter_that_fails_says_where_and_leaves_nothing(checkout):
    folder = checkout / "data" / "mine"
    folder.mkdir(parents=True)
    np.savez(folder / "a.npz", signal=np.full((500, 3), np.nan), run=np.zeros(500), rate_hz=20.0, animal="m",
             session="s")
    with (checkout / "data_manifest.yaml").open("a") as file:
        file.write("\n  mine: {kind: local, title: Mine, format: npz, folder: mine, regime: blocked}\n")
    result = command("book", "run", "01_data_tour", "--dataset", "mine", "--profile", "smoke", "--out",
                     checkout / "out", cwd=checkout, CALCIUM_DECODING_DATA="")
    assert result.returncode == 1
    assert "NaN" in result.stderr and "a.npz" in result.stderr
    assert not list(checkout.glob("out/*"))


def test_a_result_folder_that_cannot_be_written_is_named(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("kept")
    result = command("book", "run", "01_data_tour", "--profile", "smoke", "--out", blocker)
    assert result.returncode == 1 and str(blocker) in result.stderr and "another folder" in result.stderr
    assert list(tmp_path.iterdir()) == [blocker]


@pytest.mark.parametrize("name, text", [("snrs", "4"), ("lengths", "10"), ("cell_counts", "200")])
def test_a_single_number_of_a_list_is_taken_as_typed(name, text, monkeypatch):
    chapter = "41_m1_split_audit" if name == "lengths" else "40_bilateral_m1"
    seen = {}
    monkeypatch.setattr("decoding_book.execute.run", lambda *given: seen.update(given[3]) or {})
    assert cli.main(["book", "run", chapter, "-p", name, text, "-p", "seed", "7"]) == 0
    assert seen == {name: text, "seed": 7}


@pytest.mark.parametrize(("name", "text", "value"), [
    ("cnn_epochs", "3", 3), ("cnn_rate", "1e-3", 0.001), ("cnn_rate", ".5", 0.5), ("frozen", "true", True),
    ("frozen", "False", False), ("networks", "gru,logistic", "gru,logistic"), ("networks", "", ""),
    ("cnn_epochs", "2.5", "2.5"), ("cnn_epochs", "many", "many"), ("epoch", "3", "3")])
def test_typed_values(name, text, value):
    found = parameters.typed("21_cnn_rnn", name, text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(("words", "said"), [
    (("--executor", "dask"), "add --scheduler ADDRESS"),
    (("--scheduler", "tcp://127.0.0.1:8786"), "add --executor dask"),
    (("--executor", "processes", "--scheduler", "tcp://127.0.0.1:8786"), "both or none")])
@pytest.mark.parametrize("what", [("run", "01_data_tour"), ("build",)])
def test_executor_and_scheduler_belong_together(capsys, what, words, said):
    assert cli.main(["book", *what, *words]) == 1
    assert said in capsys.readouterr().err
