"""Decoding from movies with a planted effect, through the engine that all experiments use."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from calcium_decoding import splits
from calcium_decoding.data.movies import Movie
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import DataError, LeakError, ParameterError
from calcium_decoding.experiments import engine
from calcium_decoding.experiments.movies import ImageExperiment, ImageSettings
from calcium_decoding.models.images import training as training_images
from calcium_decoding.models.images.training import OneCycle, Stage

pytestmark = pytest.mark.slow

T, SIDE = 260, 32
SETTINGS = ImageSettings("none", images_each_side=2, norm_momentum=0.3, cnn=Stage(4, 16, 2, cycle=OneCycle(0.005)),
                         sequence=Stage(2, 16, 2, consecutive=4, cycle=OneCycle(0.003)))


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


def experiment(dataset, settings=SETTINGS, regime="animal_pairs"):
    split = _split(dataset, settings, regime)
    return ImageExperiment(dataset, replace(split, folds=split.folds[:1]), settings)


def _split(dataset, settings, regime):
    probe = ImageExperiment(dataset, None, settings)
    return splits.build(regime, dataset, settings.spec("cnn_gru"), probe.pipeline)


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
    monkeypatch.setattr(training_images, "fit", lambda *a, **k: pytest.fail("trained again"))
    again = engine.run(experiment(dataset), ["cnn", "cnn_gru"], store, jobs=1)
    np.testing.assert_array_equal(again[1].predicted, first[1].predicted)
    for path in store.glob("*.npz"):
        path.unlink()  # the folds are gone, the weights are not
    from_weights = engine.run(experiment(dataset), ["cnn", "cnn_gru"], store, jobs=1)
    np.testing.assert_array_equal(from_weights[1].predicted, first[1].predicted)
    assert [fold.history for fold in from_weights] == [fold.history for fold in first]  # kept beside the weights
    assert len(list(store.glob("*.weights.safetensors"))) == 2


def test_the_same_seed_gives_the_same_bits_in_another_process(dataset, done, tmp_path):
    short = replace(SETTINGS, cnn=replace(SETTINGS.cnn, epochs=1))
    split = _split(dataset, short, "animal_pairs")
    two = ImageExperiment(dataset, replace(split, folds=split.folds[:2]), short)
    apart = engine.run(two, ["cnn"], tmp_path / "a", jobs=2)
    here = engine.run(experiment(dataset, short), ["cnn"], tmp_path / "b", jobs=1)
    np.testing.assert_array_equal(apart[0].predicted, here[0].predicted)


def test_features_of_a_frozen_network_are_kept_and_decode(dataset, done):
    store, _ = done
    frozen = replace(SETTINGS, frozen=True)
    (fold,) = engine.run(experiment(dataset, frozen), ["cnn_gru"], store, jobs=1)
    assert fold.scores["auc"] > 0.8
    features, = (np.load(path) for path in store.glob("*.features.npy"))
    assert features.shape == (3 * T, 1280) and features.dtype == np.float16 and not features[[0, T - 1, T]].any()
    assert features[1 : T - 1].any(axis=1).all()


def test_a_key_holds_what_determines_a_fold_and_nothing_else(dataset, tmp_path):
    one = experiment(dataset)
    fold = one.split.folds[0]

    def key(model, other=dataset, **changes):
        return experiment(other, replace(SETTINGS, **changes)).key(fold, model)

    assert key("cnn", images_each_side=4) == one.key(fold, "cnn") != one.key(fold, "cnn_gru")
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
        experiment(dataset, regime="blocked").audit()
    settings = replace(SETTINGS, frame_scaling="training", cnn=replace(SETTINGS.cnn, epochs=1, every_frames=8))
    inside = experiment(dataset, settings, "blocked")
    (fold,) = engine.run(inside, ["cnn"], tmp_path, jobs=1)
    assert fold.scores and len(fold.predicted) > 20


def test_an_animal_that_never_runs_is_named_not_scored(dataset, tmp_path):
    lazy = recording(tmp_path, "m9", 9, run=np.zeros(T, np.uint8))
    still = replace(dataset, recordings=(lazy, *dataset.recordings[1:]))
    e = experiment(still)
    fold = next(f for f in _split(still, SETTINGS, "animal_pairs").folds if f.test_group == "m9")
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
        ImageExperiment(traces, e.split, SETTINGS)
