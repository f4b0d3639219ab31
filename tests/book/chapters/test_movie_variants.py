"""Networks on movies side by side: which experiment each condition is, which published figure, and in which order."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from calcium_decoding import preprocessing, splits
from calcium_decoding.data import published
from calcium_decoding.data.movies import Movie
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import ParameterError
from calcium_decoding.experiments import compare
from calcium_decoding.experiments.engine import Experiment
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.experiments.movies import Movies, MovieTraining
from calcium_decoding.models.images.training import OneCycle, Stage
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.preprocessing.windows import WindowSpec
from decoding_book.chapters import variants

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


def test_a_published_figure_stands_only_beside_what_was_made_the_same_way(plan):
    def means(**changes):
        return {c.name: round(c.published_score()[0], 3) for c in variants.movie_networks(plan, NAMES, changes=changes)
                if c.published}

    stated = {name: published.reported(*variants.PUBLISHED[name])[0] for name in variants.PUBLISHED}
    assert means(frozen=False) == stated == {"cnn": 0.896, "cnn_gru": 0.955, "cnn_lstm": 0.952}
    assert means(frozen=True) == means(frozen=False, images_each_side=4) == {"cnn": 0.896}
    assert [c.name for c in variants.movie_networks(plan, ["cnn_rnn", "cnn"])] == ["cnn", "cnn_rnn"]
    with pytest.raises(ParameterError, match="cnn_transformer"):
        variants.movie_networks(plan, ["cnn_transformer"])


def test_windows_change_how_many_images_are_seen_and_nothing_else(plan):
    planned = variants.windows(plan, [1, 5, 7], "cnn_gru", changes={"frozen": False})
    assert [c.name for c in planned] == ["cnn_gru, k = 1", "cnn_gru, k = 5", "cnn_gru, k = 7"]
    assert [c.value for c in planned] == pytest.approx([1 / 30, 5 / 30, 7 / 30])
    first, other = (c.experiment for c in planned[:2])
    assert replace(other.input, images_each_side=1) == first.input and other.training == first.training
    assert [c.published and c.published_score()[0] for c in planned] == [0.896, 0.955, None]
    assert not any(c.published for c in variants.windows(plan, [1, 5], "cnn_gru"))  # frozen: not the study's
    assert not any(c.published for c in variants.windows(plan, [1], "cnn_rnn", changes={"frozen": False}))
    for bad in ([5, 5], []):
        with pytest.raises(ParameterError, match="images_each_side"):
            variants.windows(plan, bad, "cnn_gru")


def test_frozen_and_fine_tuned_differ_in_that_alone(plan):
    one, two = variants.frozen_or_not(plan, "cnn_lstm")
    assert (one.name, two.name) == ("cnn_lstm, frozen", "cnn_lstm, fine-tuned")
    assert replace(two.experiment.training, frozen=True) == one.experiment.training
    assert two.experiment.input == one.experiment.input
    assert one.model == two.model == "cnn_lstm"


def test_controls_are_decoded_on_the_same_folds(plan, dataset):
    def traces(dataset, say=False, n_folds=0):
        spec, recipe = WindowSpec(0, 0), {"name": "raw", "rate_hz": 30.0}
        split = splits.build("animal_pairs", dataset, spec, preprocessing.build(**recipe))
        return Experiment(dataset, replace(split, folds=split.folds[:n_folds]), Traces(recipe, spec),
                          training=TrainingSettings())

    mean = replace(dataset, name="mean", recordings=tuple(replace(r, movie=None) for r in dataset.recordings))
    (control,) = variants.controls(traces, {"global mean": mean}, "logistic", n_folds=2)
    assert control.name == "global mean" and control.experiment.dataset is mean
    images = plan(n_folds=2)
    assert [f.name for f in control.experiment.split.folds] == [f.name for f in images.split.folds]


def test_networks_on_images_are_trained_once_whatever_the_order_of_conditions(plan, tmp_path):
    wanted = variants.windows(plan, [2, 1], "cnn_gru", n_folds=1)
    wanted += variants.movie_networks(plan, [], n_folds=1)
    found = compare.run(wanted, tmp_path, jobs=1)
    assert [r.name for r in found] == ["cnn_gru, k = 2", "cnn_gru, k = 1", "cnn"]
    assert len(list(tmp_path.glob("*.features.npy"))) == 1 == len(list(tmp_path.glob("*.weights.safetensors"))) - 2
    alone = compare.run(wanted[1:2], tmp_path, jobs=1)[0]
    assert alone.values() == found[1].values()
    assert [len(r.folds[0].history.valid_loss) for r in found] == [1, 1, 1]  # the network on images was trained first

    table = variants.window_table(found).set_index("condition")
    assert table["images"].tolist() == [5, 3, 1] and table["frames"].tolist() == [7, 5, 3]
    assert table["look-ahead (ms)"].tolist() == [100, 67, 33]
    # 200 frames hold 194 windows of 5 images, which lie over 198 images.
    assert table.loc["cnn_gru, k = 2", "passes, shared"] == pytest.approx(198 / 194, abs=0.005)
    assert table.loc["cnn", "passes, one by one"] == table.loc["cnn", "passes, shared"] == 1
    assert table.loc["cnn", "mean"] == pytest.approx(next(iter(found[2].values().values())))
