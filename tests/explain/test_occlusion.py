"""Pieces cut out of images: places against closed forms and the published ones, drops against brute force."""

import ast
import copy
import shutil
from dataclasses import fields, replace

import jupytext
import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
import yaml
from torch import nn

from calcium_decoding.data import published
from calcium_decoding.data.movies import Movie
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import ParameterError
from calcium_decoding.experiments.engine import Experiment
from calcium_decoding.experiments.movies import MovieFoldTask, Movies, MovieTraining
from calcium_decoding.explain import occlusion, patches
from calcium_decoding.models import SequenceDecoder, training
from calcium_decoding.models.images.training import OneCycle, Stage
from decoding_book import execute
from decoding_book.parameters import Images
from tests.conftest import ROOT

STUDY = (128, 128)


# Places.


def test_every_cell_of_the_torus_lies_in_four_squares_and_four_times_a_sixteenth_is_cut_out():
    squares = patches.squares(STUDY)
    assert len(squares) == 64 and len({cut.mask.tobytes() for cut in squares}) == 64
    assert {int(cut.mask.sum()) for cut in squares} == {32 * 32}
    np.testing.assert_array_equal(sum(cut.mask.astype(int) for cut in squares), np.full(STUDY, 4))
    over_an_edge = [any(m[0].any() and m[-1].any() for m in (cut.mask, cut.mask.T)) for cut in squares]
    assert over_an_edge == [False] * 49 + [True] * 15


def test_squares_edges_and_discs_lie_where_the_study_put_them_in_its_order():
    """All 113 pieces of the published table, by their rows and columns."""
    ours = {"square": patches.squares(STUDY)[:49], "edge": patches.squares(STUDY)[49:], "circle": patches.discs(STUDY)}
    table = published.table("cutout_one_session")
    assert len(table) == 113
    for row in table.itertuples():
        mask = ours[row.mask_kind][row.mask_index].mask
        for stretch, axis in (((row.row_start, row.row_stop), 1), ((row.col_start, row.col_stop), 0)):
            start, stop = stretch
            length = (stop - start) % 128 or 128
            expected = np.zeros(128, bool)
            # A disc over the far edge is named by a stop of 129, a pixel that no picture has.
            expected[(start + np.arange(length))[: 128 - start] if row.mask_kind == "circle"
                     else (start + np.arange(length)) % 128] = True
            np.testing.assert_array_equal(mask.any(axis=axis), expected)


def test_the_published_best_square_has_its_rows_and_columns():
    table = published.table("cutout_one_session").query("mask_kind == 'square'")
    best = patches.squares(STUDY)[table["importance"].to_numpy().argmax()]
    assert best.name == "rows 48-79, columns 16-47"
    expected = np.zeros(STUDY, bool)
    expected[48:80, 16:48] = True
    np.testing.assert_array_equal(best.mask, expected)


def test_discs_are_all_pixels_within_a_radius_of_sixteen():
    down, right = np.indices(STUDY)
    for index, (i, j) in enumerate((i, j) for j in range(1, 8) for i in range(1, 8)):
        expected = (down - 16 * i) ** 2 + (right - 16 * j) ** 2 <= 16**2
        np.testing.assert_array_equal(patches.discs(STUDY)[index].mask, expected)


def test_the_pair_of_patches_is_as_large_as_a_square_and_moves_around_the_torus():
    pair, *moved = patches.pairs(STUDY)
    expected = np.zeros(STUDY, bool)
    expected[48:80, 16:32] = expected[48:80, 96:112] = True
    np.testing.assert_array_equal(pair.mask, expected)
    assert len(moved) == 7 and pair.mask.sum() == 32 * 32
    for shift, cut in enumerate(moved, 1):
        np.testing.assert_array_equal(cut.mask, np.roll(expected, 16 * shift, axis=0))


@pytest.mark.parametrize("shape", [(16, 16), (32, 64)])
def test_pieces_scale_with_the_picture(shape):
    for make in (patches.squares, patches.pairs):
        for ours, study in zip(make(shape), make(STUDY), strict=True):
            np.testing.assert_array_equal(ours.mask, study.mask[:: 128 // shape[0], :: 128 // shape[1]])
    # Thirteen pixels within a radius of two; those around row or column 14 lack the one pixel beyond the last.
    assert [cut.mask.sum() for cut in patches.discs((16, 16))] == [
        13 - (i == 7) - (j == 7) for j in range(1, 8) for i in range(1, 8)]


@pytest.mark.parametrize("shape", [(100, 128), (128, 4), (0, 8), (64, 64, 3)])
def test_sizes_that_eight_does_not_divide_are_refused(shape):
    for make in (patches.squares, patches.discs, patches.limb_pair, patches.nothing):
        with pytest.raises(ParameterError, match="rows and columns that 8 divides"):
            make(shape)


def test_a_cell_is_the_mean_of_its_four_squares():
    values = np.random.default_rng(0).normal(size=(3, 64))
    squares = patches.squares(STUDY)
    found = patches.cell_map(values)
    for r in range(8):
        for c in range(8):
            holding = [i for i, cut in enumerate(squares) if cut.mask[16 * r : 16 * r + 16, 16 * c : 16 * c + 16].all()]
            assert len(holding) == 4
            np.testing.assert_allclose(found[:, r, c], values[:, holding].mean(axis=1), rtol=1e-12)
    with pytest.raises(ParameterError, match="64 values"):
        patches.cell_map(np.zeros(49))


def test_the_published_session_has_its_best_cell_where_the_best_square_lies():
    table = published.table("cutout_one_session").query("mask_kind != 'circle'")
    found = patches.cell_map(table["importance"].to_numpy())
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert (row, column) in [(3, 1), (4, 1)]
    by_hand = table.query("row_start in [32, 48] and col_start in [0, 16] and wraps == 0")["importance"]
    assert found[3, 1] == pytest.approx(by_hand.mean()) and len(by_hand) == 4


def test_cutting_leaves_the_frames_alone_and_sets_nothing_else():
    frames = np.random.default_rng(1).normal(size=(20, 16, 16)).astype(np.float32)
    before, cuts = frames.copy(), tuple(patches.squares((16, 16))[10:12])
    without = patches.OccludedFrames(frames, cuts)
    expected = np.concatenate([np.where(cut.mask, 0, frames) for cut in cuts])
    assert without.shape == expected.shape == (40, 16, 16) and len(without) == 40
    for rows in (slice(3, 29), slice(None), np.array([[1, 22], [39, 3]]), 4, 24):
        np.testing.assert_array_equal(without[rows], expected[rows])
    np.testing.assert_array_equal(frames, before)


# Drops, with networks small enough for tests in place of EfficientNet; all else is as in an experiment.

T, SIDE, PATCH = 260, 16, (slice(4, 8), slice(10, 14))
TRAINING = MovieTraining("none", cnn=Stage(6, 16, cycle=OneCycle(0.03)),
                         sequence=Stage(4, 16, consecutive=4, cycle=OneCycle(0.02)))


class Small(nn.Module):
    n_features = 8

    def __init__(self):
        super().__init__()
        self.convolution, self.output = nn.Conv2d(3, 8, 4, stride=4), nn.Linear(8, 1)
        self.norm = nn.BatchNorm2d(8, momentum=0.3)

    def features(self, images):
        return torch.relu(self.norm(self.convolution(images))).mean(dim=(2, 3))

    def forward(self, images):
        return self.output(self.features(images))[:, 0]


class SmallTask(MovieFoldTask):
    def _new(self, train):
        of = Small() if self.decoder == "cnn" else self._image_decoder
        torch.manual_seed(1)
        return Small() if self.decoder == "cnn" else SequenceDecoder(copy.deepcopy(of), "gru", hidden=8)


class SmallMovies(Movies):
    def fold_task(self, *given):
        task = super().fold_task(*given)
        return SmallTask(**{part.name: getattr(task, part.name) for part in fields(task)})


def recording(folder, animal, session, run, seed):
    """A noisy movie with one patch that is brighter in running; nothing else follows running."""
    rng = np.random.default_rng(seed)
    movie = rng.normal(2000, 60, (T, SIDE, SIDE))
    movie[:, *PATCH] += 80 * run[:, None, None]
    path = folder / f"{animal}{session}.tif"
    tifffile.imwrite(path, movie.astype(np.uint16), photometric="minisblack")
    return Recording(movie.mean(axis=(1, 2))[:, None], {"run": run}, 30.0, animal, session, movie=Movie(path))


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """Three animals; the first one has a second session in which it only runs."""
    folder = tmp_path_factory.mktemp("movies")
    runs = [(np.sin(np.arange(T) / 12 + i) > 0).astype(np.uint8) for i in range(3)]
    sessions = [recording(folder, f"m{i}", "s", run, i) for i, run in enumerate(runs)]
    sessions.insert(1, recording(folder, "m0", "only", np.ones(T, np.uint8), 7))
    whole = Experiment(Dataset("planted", tuple(sessions)), "animal_pairs", SmallMovies(2), training=TRAINING)
    return replace(whole, split=replace(whole.split, folds=tuple(f for f in whole.split.folds
                                                                 if f.test_group == "m0")[:1]))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def found(experiment, store):
    cuts = patches.squares((SIDE, SIDE))
    return {model: occlusion.run(experiment, model, cuts, store, every, jobs=1)[0]
            for model, every in (("cnn", 1), ("cnn_gru", 2))}


def by_hand(experiment, store, model, cut):
    """Labels and probabilities, window by window: the whole movie cut out in memory, each image computed anew."""
    fold = experiment.split.folds[0]
    with experiment.shared(store) as shared:
        task = experiment.fold_task(fold, model, shared, store)
    network, k = task.trained(*task.windows()[:2])[0].eval(), 0 if model == "cnn" else 2
    rows = []
    for name in fold.ranges("test"):
        movie = tifffile.imread(task.movies[name].path).astype(np.float64)
        frames = ((movie - movie.mean(axis=0)) / movie.std()).astype(np.float32)
        frames[:, cut.mask] = 0
        for t in range(k + 1, T - k - 1):
            images = torch.from_numpy(np.stack([frames[i - 1 : i + 2] for i in range(t - k, t + k + 1)]))
            with torch.no_grad():
                rows.append((name, int(task.labels[name][t]), network(images[None] if k else images).item()))
    table = pd.DataFrame(rows, columns=["session", "label", "logit"])
    return table if model == "cnn" else table[table.index // occlusion.RUN % 2 == 0]  # every second run of windows


def auc(table):
    """By counting pairs of a running and a resting frame."""
    run, rest = (table.loc[table["label"] == label, "logit"].to_numpy() for label in (1, 0))
    return np.mean((run[:, None] > rest) + 0.5 * (run[:, None] == rest))


@pytest.mark.parametrize("model", ["cnn", "cnn_gru"])
def test_drops_equal_brute_force_exactly(experiment, store, found, model):
    fold_cut, cuts = found[model], patches.squares((SIDE, SIDE))
    which = [int(np.abs(fold_cut.pooled).argmax()), 0, 49, 60]  # the largest; inside, at the corners, over an edge
    whole = by_hand(experiment, store, model, patches.nothing((SIDE, SIDE)))
    exactly = {"rel": 0, "abs": 1e-12}  # the AUC counts pairs: another order of a single one is 1e-5
    assert fold_cut.auc == pytest.approx(auc(whole), **exactly)
    for i in which:
        without = by_hand(experiment, store, model, cuts[i])
        assert fold_cut.pooled[i] == pytest.approx(auc(whole) - auc(without), **exactly)
        one, less = (table[table["session"] == "m0/s"] for table in (whole, without))
        assert fold_cut.by_session["m0/s"][i] == pytest.approx(auc(one) - auc(less), **exactly)


def test_the_map_peaks_at_the_planted_patch(found):
    for fold_cut in found.values():
        assert fold_cut.base["m0/s"] > 0.8
        cells = patches.cell_map(fold_cut.importance)
        assert np.unravel_index(cells.argmax(), (8, 8)) in [(2, 5), (2, 6), (3, 5), (3, 6)]
        assert cells[2:4, 5:7].mean() > 0.15 > 0.05 > np.abs(cells[5:, :4]).max()


def test_a_session_without_an_auc_is_named_and_in_no_mean(found):
    for fold_cut in found.values():
        assert fold_cut.undefined == {"m0/only": "only running"}
        assert set(fold_cut.by_session) == set(fold_cut.base) == {"m0/s"} and not fold_cut.reason
        np.testing.assert_array_equal(fold_cut.importance, fold_cut.by_session["m0/s"])
        assert np.isfinite(fold_cut.importance).all() and np.isfinite(fold_cut.pooled).all()


def test_a_fold_whose_sessions_all_lack_an_auc_says_so(experiment, store):
    """Thinned to one window in 300, each test session holds a single one."""
    cut = patches.limb_pair((SIDE, SIDE))
    (fold_cut,) = occlusion.run(experiment, "cnn", [cut], store, every=300, jobs=1)
    assert fold_cut.reason.startswith("no test session has an AUC") and "m0/only only running" in fold_cut.reason
    assert not fold_cut.by_session and set(fold_cut.undefined) == {"m0/s", "m0/only"}


def test_an_interrupted_run_goes_on_with_the_pieces_that_are_missing(experiment, found, store, tmp_path, monkeypatch):
    for path in [*store.glob("*.npz"), *store.glob("*.safetensors")]:  # networks that are trained already
        shutil.copy(path, tmp_path)
    cuts, predict, tested = patches.squares((SIDE, SIDE))[:10], training.predict_samples, []

    def interrupted(network, samples):
        if isinstance(samples.of.frames, patches.OccludedFrames):
            (cut,) = samples.of.frames.patches
            tested.append(cut.name)
            if len(tested) == 5:
                raise KeyboardInterrupt
        return predict(network, samples)

    def run():
        return occlusion.run(experiment, "cnn", cuts, tmp_path, 3, jobs=1)[0]

    monkeypatch.setattr(training, "predict_samples", interrupted)
    monkeypatch.setattr(occlusion, "WINDOWS_AT_A_TIME", 1)  # one piece at a time, as in long sessions
    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(list(tmp_path.glob("*.cut.json"))) == 4
    again = run()
    assert len(tested) == 5 + 7 and tested[5] == tested[4]  # the whole picture and ten pieces, less four that are kept
    np.testing.assert_array_equal(run().pooled, again.pooled)
    assert len(tested) == 5 + 7
    next(tmp_path.glob("*.cut.json")).write_text('{"pooled": 0.')  # a damaged file is made again
    np.testing.assert_array_equal(run().pooled, again.pooled)
    assert len(tested) == 5 + 8


def test_wrong_arguments_are_refused_before_anything_is_trained(experiment, tmp_path):
    with pytest.raises(ParameterError, match="patches for"):
        occlusion.run(experiment, "cnn", patches.squares((32, 32)), tmp_path)
    with pytest.raises(ParameterError, match="1 or more"):
        occlusion.run(experiment, "cnn", patches.squares((SIDE, SIDE)), tmp_path, every=0)
    with pytest.raises(ParameterError, match="random order"):
        occlusion.run(experiment.with_(shuffled=True), "cnn_gru", patches.squares((SIDE, SIDE)), tmp_path)
    with pytest.raises(ParameterError, match="one of cnn"):
        occlusion.run(experiment, "gru", patches.squares((SIDE, SIDE)), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("profile", [*execute.PROFILES, execute.STORED])
def test_the_chapter_takes_the_networks_of_chapter_20(profile):
    """All that a network on images depends on is the same in both, so that it is trained once."""
    def of(name):
        cells = jupytext.read(ROOT / "book" / f"{name}.py").cells
        cell = next(cell for cell in cells if "parameters" in cell.metadata.get("tags", []))
        values = {node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(cell.source).body}
        return values | yaml.safe_load((ROOT / "book" / "params" / f"{name}.{profile}.yaml").read_text())

    names = set(Images.model_fields) - {"out_dir", "data_dir", "jobs", "device", "null_folds"}
    ours, theirs = of("22_cut_out"), of("20_cnn")
    assert {name: ours[name] for name in names} == {name: theirs[name] for name in names}
