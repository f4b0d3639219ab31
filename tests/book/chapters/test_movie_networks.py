"""Networks on movies side by side: trained once, whatever their order, and what their windows cost."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from calcium_decoding.data.movies import Movie
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.experiments import compare
from calcium_decoding.experiments.compare import Condition
from calcium_decoding.experiments.engine import Experiment
from calcium_decoding.experiments.movies import Movies, MovieTraining
from calcium_decoding.models.images.training import OneCycle, Stage
from decoding_book.chapters import movie_tables

T, SIDE = 200, 16
NAMES = ["cnn_gru", "cnn_lstm", "cnn_rnn"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder, rng, recordings = tmp_path_factory.mktemp("movies"), np.random.default_rng(0), []
    for animal in range(3):
        run = (np.sin(np.arange(T) / 12 + rng.uniform(0, 6)) > 0).astype(np.uint8)
        path = folder / f"{animal}.tif"
        movie = rng.integers(900, 1100, (T, SIDE, SIDE), np.uint16) + 60 * run[:, None, None].astype(np.uint16)
        tifffile.imwrite(path, movie, photometric="minisblack")
        recordings.append(Recording(movie.mean(axis=(1, 2))[:, None], {"run": run}, 30.0, f"a{animal}", "s",
                                    simulated=True, movie=Movie(path)))
    return Dataset("pictures", tuple(recordings))


@pytest.fixture
def plan(dataset):
    stage = Stage(1, 16, 8, cycle=OneCycle(0.002))

    def make(changes=None, say=False, n_folds=0):
        training = MovieTraining("none", frozen=True, norm_momentum=0.3, cnn=stage, sequence=stage)
        whole = Experiment(dataset, "animal_pairs", Movies(), training=training).with_(**changes or {})
        return replace(whole, split=replace(whole.split, folds=whole.split.folds[: n_folds or None]))

    return make


def test_networks_on_images_are_trained_once_whatever_the_order_of_conditions(plan, tmp_path):
    wanted = [Condition(f"cnn_gru, k = {k}", plan(changes={"images_each_side": k}, n_folds=1), "cnn_gru")
              for k in (2, 1)]
    wanted.append(Condition("cnn", plan(n_folds=1), "cnn"))
    found = compare.run(wanted, tmp_path, jobs=1)
    assert [r.name for r in found] == ["cnn_gru, k = 2", "cnn_gru, k = 1", "cnn"]
    assert len(list(tmp_path.glob("*.features.npy"))) == 1 == len(list(tmp_path.glob("*.weights.safetensors"))) - 2
    alone = compare.run(wanted[1:2], tmp_path, jobs=1)[0]
    assert alone.values() == found[1].values()
    assert [len(r.folds[0].history.valid_loss) for r in found] == [1, 1, 1]  # the network on images was trained first

    table = movie_tables.window_table(found).set_index("condition")
    assert table["images"].tolist() == [5, 3, 1] and table["frames"].tolist() == [7, 5, 3]
    assert table["look-ahead (ms)"].tolist() == [100, 67, 33]
    # 200 frames hold 194 windows of 5 images, which lie over 198 images.
    assert table.loc["cnn_gru, k = 2", "passes, shared"] == pytest.approx(198 / 194, abs=0.005)
    assert table.loc["cnn", "passes, one by one"] == table.loc["cnn", "passes, shared"] == 1
    assert table.loc["cnn", "mean"] == pytest.approx(next(iter(found[2].values().values())))
