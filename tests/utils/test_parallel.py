"""A real Dask cluster of two workers: same bits as here, a killed worker loses nothing, what cannot work is refused."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from distributed import Client, LocalCluster

from calcium_decoding.data.recording import Dataset
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.experiments import engine
from calcium_decoding.experiments.engine import Experiment
from calcium_decoding.experiments.movies import Movies, MovieTraining
from calcium_decoding.models.decoders import Network
from calcium_decoding.models.images.training import Stage
from calcium_decoding.simulation import widefield
from calcium_decoding.utils import parallel
from calcium_decoding.utils.parallel import ClusterError
from tests.conftest import ROOT
from tests.experiments.test_engine import experiment, same
from tests.experiments.test_movies import recording as planted_movie
from tests.test_cli import command

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1",
                      dashboard_address=None) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def work():
    """Six folds that take a second or so each, and their results from one process here."""
    settings = widefield.SimulationSettings(animals=3, sessions_per_animal=1, frames_per_session=3000)
    e = experiment(widefield.dataset(settings), recipe="published", epochs=4)
    return e, engine.run(e, ["gru"], jobs=1)


def stored(folder):
    return len(list(folder.glob("[!.]*.npz")))


def test_a_killed_worker_loses_nothing_and_results_are_those_from_here(cluster, work, tmp_path):
    e, local = work
    finished, victim = [], cluster.workers[0].pid

    def kill():
        while not stored(tmp_path):
            time.sleep(0.01)
        finished.append(stored(tmp_path))
        os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    remote = engine.run(e, ["gru"], store=tmp_path, scheduler=cluster.scheduler_address)
    killer.join()
    assert finished[0] < 5 and cluster.workers[0].pid != victim  # it died in the middle, and there is a new one
    assert len(remote) == 6 and stored(tmp_path) == 6
    for a, b in zip(local, remote, strict=True):
        same(a, b)


def test_movies_are_decoded_by_workers_that_see_the_same_files_also_when_one_is_killed(cluster, tmp_path):
    (tmp_path / "movies").mkdir()
    dataset = Dataset("planted", tuple(planted_movie(tmp_path / "movies", f"m{i}", i) for i in range(3)))
    e = Experiment(dataset, "animal_pairs", Movies(1),
                   training=MovieTraining("none", norm_momentum=0.3, cnn=Stage(1, 16, 4)))
    local = engine.run(e, ["cnn"], tmp_path / "here", jobs=2)
    store, victim = tmp_path / "there", cluster.workers[0].pid

    def kill():
        while not stored(store):
            time.sleep(0.01)
        os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    remote = engine.run(e, ["cnn"], store, scheduler=cluster.scheduler_address)
    killer.join()
    assert cluster.workers[0].pid != victim and len(remote) == 6
    for a, b in zip(local, remote, strict=True):
        same(a, b)
    with pytest.raises(ParameterError, match="store"):
        engine.run(e, ["cnn"], scheduler=cluster.scheduler_address)
    first = dataset.recordings[0].movie
    first.content_hash()
    planted_movie(tmp_path / "movies", "m0", 7)  # the workers now find another movie there
    changed = e.with_(seed=1)
    with pytest.raises(DataError, match=r"recording m0/s, on the worker .*another movie under .*m0\.tif"):
        engine.run(changed, ["cnn"], store, scheduler=cluster.scheduler_address)


class Mean(torch.nn.Module):
    """A user's network, of a module that the workers cannot import."""

    def __init__(self, n_roi, n_outputs):
        super().__init__()
        self.out = torch.nn.Linear(n_roi, n_outputs)

    def forward(self, windows):
        """From the mean over frames."""
        return self.out(windows.mean(1))


def test_a_network_of_ones_own_runs_on_workers_that_cannot_import_it(cluster, work):
    e = replace(work[0], split=replace(work[0].split, folds=work[0].split.folds[:2]))
    for a, b in zip(engine.run(e, [Network(Mean)], jobs=1),
                    engine.run(e, [Network(Mean)], scheduler=cluster.scheduler_address), strict=True):
        same(a, b)
        assert a.model == "Mean" and a.scores


def test_stored_folds_are_not_sent_again(cluster, work, tmp_path):
    e, local = work
    first = replace(e, split=replace(e.split, folds=e.split.folds[:2]))
    engine.run(first, ["gru"], store=tmp_path, jobs=1)
    counted = cluster.scheduler.transition_counter
    again = engine.run(first, ["gru"], store=tmp_path, scheduler=cluster.scheduler_address)
    assert cluster.scheduler.transition_counter == counted
    same(again[1], local[1])


def test_a_chapter_runs_on_the_cluster_by_the_options_of_the_command(cluster, checkout):
    rng = np.random.default_rng(0)
    folder = checkout / "data" / "mine"
    folder.mkdir(parents=True)
    for animal in ("m1", "m2", "m3"):
        run = (np.sin(np.arange(900) / 40 + rng.uniform(0, 6)) > 0).astype(np.uint8)
        np.savez(folder / f"{animal}.npz", signal=rng.normal(size=(900, 6)) + 2 * run[:, None], run=run, rate_hz=20.0,
                 animal=animal, session="day 1")
    with (checkout / "data_manifest.yaml").open("a") as file:
        file.write("\n  mine: {kind: local, title: Mine, format: npz, folder: mine, regime: animal_pairs}\n")
    options = ("--dataset", "mine", "--profile", "smoke", "-p", "models", "logistic", "-p", "null_models", "")
    counted = cluster.scheduler.transition_counter
    result = command("book", "run", "10_roi_rnn", *options, "--executor", "dask", "--scheduler",
                     cluster.scheduler_address, "--out", checkout / "out", cwd=checkout, CALCIUM_DECODING_DATA="")
    assert result.returncode == 0, result.stderr
    assert cluster.scheduler.transition_counter > counted
    assert stored(checkout / "_build" / "folds") >= 6  # what the workers found lies here


def test_an_address_that_does_not_answer_is_refused_soon(work, monkeypatch):
    monkeypatch.setattr(parallel, "TIMEOUT_S", 1)
    start = time.monotonic()
    for address in ("tcp://127.0.0.1:1", "nonsense"):
        with pytest.raises(ParameterError, match=f"{address}.*does not answer"):
            engine.run(work[0], ["gru"], scheduler=address)
    monkeypatch.setenv(parallel.SCHEDULER_VARIABLE, "tcp://127.0.0.1:1")
    with pytest.raises(ParameterError, match="does not answer"):
        engine.run(work[0], ["gru"])
    assert time.monotonic() - start < 60
    assert not [x for x in gc.get_objects() if type(x) is Client and x.status != "closed"]  # none to deadlock a next


def test_a_cluster_without_workers_is_refused(work, monkeypatch):
    monkeypatch.setattr(parallel, "TIMEOUT_S", 1)
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None) as empty:
        with pytest.raises(ClusterError, match="no worker within 1 s"):
            engine.run(work[0], ["gru"], scheduler=empty.scheduler_address)


def versions():
    """What this process has; another process says something else."""
    return {"calcium-decoding": "same", "process": os.environ.get("PYTEST_CURRENT_TEST", "")}


def test_other_versions_on_the_workers_are_refused(cluster, work):
    with pytest.raises(ClusterError, match=r"found process .*expected process .*test_other_versions.*install the same"):
        list(parallel.on_cluster(print, [("", {})], {}, cluster.scheduler_address, versions))


def test_without_dask_it_says_what_to_install(tmp_path):
    (tmp_path / "distributed.py").write_text("raise ModuleNotFoundError(name='distributed')\n")
    script = """
from calcium_decoding.utils import parallel
list(parallel.on_cluster(print, [("", {})], {}, "tcp://127.0.0.1:1", dict))
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT,
                           env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert found.returncode == 1 and "calcium-decoding[cluster]" in found.stderr.splitlines()[-1]
