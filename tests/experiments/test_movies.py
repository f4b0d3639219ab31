"""Decoding from movies with a planted effect, through the engine that all experiments use."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from calcium_decoding.data.movies import Movie
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import DataError, LeakError, ParameterError
from calcium_decoding.experiments import engine
from calcium_decoding.experiments.engine import Experiment
from calcium_decoding.experiments.fitted import load_decoder
from calcium_decoding.experiments.movies import Features, Movies, MovieTraining
from calcium_decoding.experiments.tasks import Binary, Classes, Continuous
from calcium_decoding.models import Network, TrainingSettings, training
from calcium_decoding.models.images.training import OneCycle, Stage

pytestmark = pytest.mark.slow

T, SIDE = 260, 32
TRAINING = MovieTraining("none", norm_momentum=0.3, cnn=Stage(4, 16, 2, cycle=OneCycle(0.005)),
                         sequence=Stage(2, 16, 2, consecutive=4, cycle=OneCycle(0.003)))
LONG = replace(TRAINING, sequence=Stage(30, 16, 2, cycle=OneCycle(0.05)))
SHORT = replace(TRAINING, cnn=replace(TRAINING.cnn, epochs=1))


def recording(folder, animal, seed, run=None):
    """A noisy movie with a patch that is brighter in running."""
    rng = np.random.default_rng(seed)
    run = (np.sin(np.arange(T) / 12 + rng.uniform(0, 6)) > 0).astype(np.uint8) if run is None else run
    movie = rng.normal(2000, 60, (T, SIDE, SIDE))
    movie[:, 4:16, 4:16] += 90 * run[:, None, None]
    path = folder / f"{animal}.tif"
    tifffile.imwrite(path, movie.astype(np.uint16), photometric="minisblack")
    return Recording(movie.mean(axis=(1, 2))[:, None], {"run": run}, 30.0, animal, "s", movie=Movie(path))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("movies")
    return Dataset("planted", tuple(recording(folder, f"m{i}", i) for i in range(3)))


def experiment(dataset, training=TRAINING, regime="animal_pairs", n_folds=1, task=None, **seen):
    whole = Experiment(dataset, regime, Movies(**{"images_each_side": 2} | seen), task or Binary("run"),
                       training=training)
    return replace(whole, split=replace(whole.split, folds=whole.split.folds[:n_folds]))


@pytest.fixture(scope="module")
def done(dataset, tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    return store, engine.run(experiment(dataset), ["cnn", "cnn_gru"], store, jobs=1)


def test_both_networks_find_the_planted_patch_in_an_animal_they_never_saw(done):
    cnn, gru = done[1]
    assert cnn.scores["auc"] > 0.85 and gru.scores["auc"] > 0.85
    assert len(cnn.predicted) == T - 2 and len(gru.predicted) == T - 6 and (gru.centre[0], gru.centre[-1]) == (3, T - 4)
    assert len(cnn.history.valid_loss) == 4 and len(gru.history.valid_loss) == 2
    assert not np.isnan(gru.predicted).any() and len(gru.train_roc) == 200


def test_a_finished_fold_is_read_and_weights_are_kept(dataset, done, monkeypatch):
    store, first = done
    monkeypatch.setattr(training, "fit_samples", lambda *a, **k: pytest.fail("trained again"))
    again = engine.run(experiment(dataset), ["cnn", "cnn_gru"], store, jobs=1)
    np.testing.assert_array_equal(again[1].predicted, first[1].predicted)
    for path in store.glob("*.npz"):
        path.unlink()  # the folds are gone, the weights are not
    from_weights = engine.run(experiment(dataset), ["cnn", "cnn_gru"], store, jobs=1)
    np.testing.assert_array_equal(from_weights[1].predicted, first[1].predicted)
    assert [fold.history for fold in from_weights] == [fold.history for fold in first]  # kept beside the weights
    assert len(list(store.glob("*.weights.safetensors"))) == 2


def test_the_same_seed_gives_the_same_bits_in_another_process(dataset, done, tmp_path):
    apart = engine.run(experiment(dataset, SHORT, n_folds=2), ["cnn"], tmp_path / "a", jobs=2)
    here = engine.run(experiment(dataset, SHORT), ["cnn"], tmp_path / "b", jobs=1)
    np.testing.assert_array_equal(apart[0].predicted, here[0].predicted)


def test_features_of_a_frozen_network_are_kept_and_decode(dataset, done):
    store, _ = done
    frozen = replace(TRAINING, frozen=True)
    (fold,) = engine.run(experiment(dataset, frozen), ["cnn_gru"], store, jobs=1)
    assert fold.scores["auc"] > 0.8
    features, = (np.load(path) for path in store.glob("*.features.npy"))
    assert features.shape == (3 * T, 1280) and features.dtype == np.float16 and not features[[0, T - 1, T]].any()
    assert features[1 : T - 1].any(axis=1).all()


def test_a_key_holds_what_determines_a_fold_and_nothing_else(dataset, tmp_path):
    one = experiment(dataset)
    fold = one.split.folds[0]

    def key(model, other=dataset, **changes):
        return experiment(other).with_(**changes).key(fold, model)

    assert key("cnn", images_each_side=4) == one.key(fold, "cnn") != one.key(fold, "cnn_gru")
    assert key("cnn", shuffled=True) == one.key(fold, "cnn")
    assert key("cnn_gru", shuffled=True) != one.key(fold, "cnn_gru")
    assert key("cnn", sequence=Stage(9)) == one.key(fold, "cnn") and key("cnn", seed=1) != one.key(fold, "cnn")
    assert key("cnn_gru", images_each_side=4) != one.key(fold, "cnn_gru") != key("cnn_gru", frozen=True)
    assert key("cnn", bin_px=2) != one.key(fold, "cnn")
    r = dataset.recordings[0]
    pixels = tifffile.imread(r.movie.path)
    pixels[7, 3, 3] += 1
    tifffile.imwrite(tmp_path / "other.tif", pixels, photometric="minisblack")
    changed = replace(dataset, recordings=(replace(r, movie=Movie(tmp_path / "other.tif")), *dataset.recordings[1:]))
    assert key("cnn", changed) != one.key(fold, "cnn")


def test_within_recordings_frames_are_scaled_by_training_frames_or_refused(dataset, tmp_path):
    with pytest.raises(LeakError, match="FrameScaling"):
        experiment(dataset, regime="blocked", frame_scaling="session").audit()
    inside = experiment(dataset, replace(SHORT, cnn=replace(SHORT.cnn, every_frames=8)), "blocked")
    assert inside.input.frame_scaling == "training"
    (fold,) = engine.run(inside, ["cnn"], tmp_path, jobs=1)
    assert fold.scores and len(fold.predicted) > 20


def test_an_animal_that_never_runs_is_named_not_scored(dataset, tmp_path):
    lazy = recording(tmp_path, "m9", 9, run=np.zeros(T, np.uint8))
    still = replace(dataset, recordings=(lazy, *dataset.recordings[1:]))
    e = experiment(still, n_folds=None)
    fold = next(f for f in e.split.folds if f.test_group == "m9")
    (result,) = engine.run(replace(e, split=replace(e.split, folds=(fold,))), ["cnn"], tmp_path, jobs=1)
    assert result.scores == {} and "test frames" in result.reason


def test_what_cannot_be_decoded_is_refused(dataset):
    e = experiment(dataset)
    with pytest.raises(ParameterError, match=r"'gru'.*cnn_gru"):
        engine.run(e, ["gru"])
    with pytest.raises(ParameterError, match="movies to decode"):
        engine.run(e, ["cnn"], scheduler="tcp://127.0.0.1:1")
    traces = replace(dataset, recordings=tuple(replace(r, movie=None) for r in dataset.recordings))
    with pytest.raises(DataError, match=r"no movie of m0/s, m1/s, m2/s"):
        Experiment(traces, e.split, Movies())
    with pytest.raises(ParameterError, match=r"LogisticRegression.*Features"):
        replace(e, decoders=(LogisticRegression(),))
    with pytest.raises(ParameterError, match=r"TrainingSettings for Movies.*MovieTraining"):
        replace(e, training=TrainingSettings())
    with pytest.raises(ParameterError, match="resnet"):
        Features(of="resnet")


def test_without_settings_the_two_published_networks_decode_with_the_published_ones(dataset):
    e = Experiment(dataset, input=Movies())
    assert e.decoders == ("cnn", "cnn_gru") and e.training == MovieTraining() and e.input.frame_scaling == "session"


class Means(torch.nn.Module):
    """Mean of each square of 4 x 4 pixels over all frames, then a linear layer."""

    def __init__(self, n_frames, n_rows, n_columns, n_outputs):
        super().__init__()
        self.out = torch.nn.Linear(n_rows * n_columns // 16, n_outputs)

    def forward(self, frames):
        return self.out(torch.nn.functional.avg_pool2d(frames.mean(1), 4).flatten(1))


def test_a_network_of_ones_own_decodes_movies(dataset, tmp_path):
    (fold,) = replace(experiment(dataset, LONG), decoders=(Network(Means),)).run(store=tmp_path, jobs=1)
    assert fold.model == "Means" and fold.scores["auc"] > 0.85 and len(fold.predicted) == T - 6
    with pytest.raises(DataError, match=r"network Linear.*\(2, 7, 32, 32\)"):
        replace(experiment(dataset), decoders=(Network(torch.nn.Linear, options={"in_features": 3, "out_features": 1}),
                                               )).run(jobs=1)


@pytest.fixture(scope="module")
def rich(dataset):
    """The same with a brightness of four steps and a quantity that both follow running."""
    recordings = []
    for r in dataset.recordings:
        level = r.run * 2.0 + (np.arange(T) // 60 % 2)
        recordings.append(replace(r, behaviour={"run": r.run, "level": level, "cm": 30.0 + 12.0 * r.run}))
    return replace(dataset, recordings=tuple(recordings))


def test_classes_and_quantities_are_decoded_from_movies(rich, tmp_path):
    (classes,) = engine.run(experiment(rich, SHORT, task=Classes("level")), ["cnn"], tmp_path, jobs=1)
    assert classes.predicted.shape == (T - 2, 4) and np.allclose(classes.predicted.sum(axis=1), 1)
    assert {"balanced_accuracy", "macro_f1"} <= set(classes.scores)
    quantity = replace(experiment(rich, LONG, task=Continuous("cm")), decoders=(Network(Means),))
    (found,) = quantity.run(store=tmp_path, jobs=1)
    assert found.scores["r2"] > 0.5 and 30 < found.predicted.mean() < 42  # in the unit of the labels


def test_features_of_the_network_are_decoded_by_any_decoder_of_traces(dataset, done, tmp_path):
    store = shutil.copytree(done[0], tmp_path / "store")
    e = replace(experiment(dataset), input=Features(2, network=TRAINING), training=TrainingSettings(epochs=5),
                decoders=("gru", "logistic", RandomForestClassifier(20)))
    before = set(store.glob("*.weights.safetensors"))
    gru, logistic, forest = e.run(store=store, jobs=1)
    assert min(fold.scores["auc"] for fold in (gru, logistic, forest)) > 0.8
    assert len(gru.predicted) == T - 6 and (gru.centre[0], gru.centre[-1]) == (3, T - 4)
    assert len(set(store.glob("*.weights.safetensors")) - before) == 1  # the GRU's own: the network's was kept
    features, = (np.load(path) for path in store.glob("*.features.npy"))
    with e.shared(store) as shared:
        test = e.fold_task(e.split.folds[0], "gru", shared, store).windows()[2]
    np.testing.assert_array_equal(test.gather([0])[0], features[test.starts[0] : test.starts[0] + 5])
    assert test.centre[0] == 3 and features[test.starts[0]].any() and not features[test.starts[0] - 1].any()


def test_features_are_those_of_the_recordings_in_whatever_order_they_come(dataset, done, tmp_path):
    store = shutil.copytree(done[0], tmp_path / "store")
    e = replace(experiment(dataset), input=Features(2, network=TRAINING), training=TrainingSettings(),
                decoders=(LogisticRegression(),))
    turned = replace(e, dataset=replace(dataset, recordings=dataset.recordings[::-1]), split=e.split)
    (one,), (other,) = e.run(store=store, jobs=1), turned.map(
        lambda fitted: {"auc": fitted.task.short_scores(fitted.test.labels, fitted.predict(fitted.test))["auc"]},
        LogisticRegression(), name="auc", store=store, jobs=1)
    assert other["auc"] == pytest.approx(one.scores["auc"], abs=1e-9)
    assert len(list(store.glob("*.features.npy"))) == 2


def test_settings_that_make_no_sense_are_refused():
    for make, name in ((lambda: Movies(-1), "images_each_side"), (lambda: Movies(bin_px=0), "bin_px"),
                       (lambda: MovieTraining(device="foo"), "device"), (lambda: Stage(patience=-1), "patience"),
                       (lambda: Features(network="cnn"), "network")):
        with pytest.raises(ParameterError, match=name):
            make()


class Blur(torch.nn.Module):
    """A small network of frames."""

    def __init__(self, n_frames):
        super().__init__()
        self.weights = torch.nn.Linear(n_frames * 16, 1)

    def forward(self, frames):
        """A logit of each window."""
        return self.weights(torch.nn.functional.adaptive_avg_pool2d(frames, 4).flatten(1))


@pytest.mark.parametrize(("decoder", "settings", "close"), [
    ("cnn", TRAINING, 1e-4), ("cnn_gru", TRAINING, 1e-4), (Blur, TRAINING, 1e-5),
    ("cnn_gru", replace(TRAINING, frozen=True), 0.02)], ids=["cnn", "cnn_gru", "own", "frozen"])
def test_a_decoder_of_images_is_saved_and_applied_to_a_movie(dataset, done, tmp_path, decoder, settings, close):
    store = done[0]
    planned = experiment(dataset, settings)
    (fold,) = planned.with_(decoders=[decoder]).run(store=store, jobs=1)
    one = planned.fitted(decoder, 0, store)
    (test,) = (r for r in dataset.recordings if r.id == fold.recordings[0])
    bare = replace(test, behaviour={})
    found = one.predict(bare)
    assert np.array_equal(found["frame"], fold.centre)
    np.testing.assert_allclose(found["probability"], fold.predicted, atol=close)  # kept features have half precision
    one.save(tmp_path / "kept.safetensors")
    loaded = load_decoder(tmp_path / "kept.safetensors", None if isinstance(decoder, str) else decoder)
    np.testing.assert_array_equal(loaded.predict(bare)["probability"], found["probability"])
    assert loaded.provenance == json.loads(json.dumps(one.provenance))


def test_a_movie_that_does_not_fit_is_refused(dataset, done, tmp_path):
    one, first = experiment(dataset).fitted("cnn", 0, done[0]), dataset.recordings[0]
    with pytest.raises(DataError, match="no movie"):
        one.predict(replace(first, movie=None))
    with pytest.raises(DataError, match="15 frames a second"):
        one.predict(replace(first, rate_hz=15.0))
    tifffile.imwrite(tmp_path / "small.tif", np.zeros((T, 16, SIDE), np.uint16), photometric="minisblack")
    with pytest.raises(DataError, match=r"\(16, 32\) pixels.*\(32, 32\)"):
        one.predict(replace(first, movie=Movie(tmp_path / "small.tif")))
    with pytest.raises(ParameterError, match="scaled by the session"):
        experiment(dataset, regime="blocked").fitted("cnn")
    with pytest.raises(ParameterError, match="shuffled=True"):
        experiment(dataset, shuffled=True).fitted("cnn_gru")
    with pytest.raises(ParameterError, match="map"):
        Experiment(dataset, "animal_pairs", Features()).fitted("gru")
