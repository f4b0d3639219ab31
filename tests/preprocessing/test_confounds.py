"""Controls of image decoders: masks against the simulator's truth, planted shifts, worlds with one cause."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import fourier_shift
from scipy.ndimage import shift as spline_shift
from skimage.registration import phase_cross_correlation

from calcium_decoding import preprocessing, splits
from calcium_decoding.data import movies, readers
from calcium_decoding.data.movies import Movie, write_movie
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import DataError
from calcium_decoding.experiments import engine
from calcium_decoding.experiments.folds import FoldResult
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.models.loop import History
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.preprocessing import brain_masks
from calcium_decoding.preprocessing.confounds import (
    CONTROLS,
    control_datasets,
    control_signals,
    control_table,
    explained,
)
from calcium_decoding.preprocessing.motion import Registration, most_px
from calcium_decoding.preprocessing.windows import WindowSpec
from calcium_decoding.simulation import widefield
from calcium_decoding.simulation.widefield import SimulationSettings, simulate_session
from decoding_book.chapters import tables

CLEAR = {"arousal": 0.0, "noise": 0.1, "drift": 0.2}  # what hides the cause of a world, made small
RESTING = widefield.anatomy(1, 1).resting.astype(np.float64)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Makes a world of three animals, movies on disk, and all of its controls; each world once."""
    made = {}

    def make(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            settings = SimulationSettings(name, animals=3, sessions_per_animal=1, frames_per_session=900, movies=True,
                                          **CLEAR)
            widefield.write_dataset(settings, folder)
            dataset = readers.read_study(folder, movies=True)
            made[name] = dataset, control_datasets(dataset)
        return made[name]

    return make


@pytest.fixture(scope="module")
def small_movie():
    """A movie of 40 frames of 64 x 64 pixels, the simulated brain seen with half the resolution, and its noise."""
    picture = RESTING.reshape(64, 2, 64, 2).mean(axis=(1, 3))
    rng = np.random.default_rng(0)
    changes = 1 + 0.01 * rng.standard_normal((40, 1, 1))
    return np.rint(picture * changes + 30 * rng.standard_normal((40, 64, 64))).clip(1).astype(np.uint16)


def decode(datasets, future_frames=15):
    """Folds across animals of logistic regression on a window: the ordinary engine, audit included."""
    spec, recipe = WindowSpec(15, future_frames), {"name": "published", "rate_hz": 30.0, "baseline_frames": 1000}
    plans = []
    for dataset in datasets:
        split = splits.build("animal_pairs", dataset, spec, preprocessing.build(**recipe))
        experiment = engine.Experiment(dataset, split, Traces(recipe, spec), training=TrainingSettings(seed=1))
        plans.append((experiment, ["logistic_window"]))
    return engine.run_many(plans, jobs=1)


def auc(folds):
    return np.mean([fold.scores["auc"] for fold in folds])


def overlap(found, truth):
    return (found & truth).sum() / (found | truth).sum()


def with_noise(pictures, rng):
    """As the simulator's camera: two electrons a count."""
    return pictures + rng.standard_normal(pictures.shape) * np.sqrt(pictures / 2 + 36)


def recording_of(movie, path, animal="a", session="s"):
    write_movie(path, [movie], movie.shape, movie.dtype)
    run = np.arange(len(movie)) // 5 % 2
    return Recording(np.zeros((len(movie), 2)), {"run": run, "speed_cm_s": run * 10.0}, 30.0, animal, session,
                     simulated=True, notes=("as it was",), movie=Movie(path))


# Worlds with one cause


def test_where_only_movement_follows_running_shifts_and_edge_decode_it(world):
    dataset, controls = world("motion_artefact_only")
    names = ("shifts", "edge", "global mean")
    full, *alone = decode([dataset, *(controls[name] for name in names)])
    found = dict(zip(names, alone, strict=True))
    score = {name: auc(folds) for name, folds in found.items()}
    assert min(score["shifts"], score["edge"]) > 0.8
    assert score["global mean"] < 0.6
    table = control_table(full, found).set_index("decoded from")
    assert table.loc["shifts alone", "share explained"] > 1  # ROI traces lie inside the brain and see little of it
    assert table.loc["shifts alone", "mean"] == pytest.approx(score["shifts"])
    assert set(table["folds"]) == {6}


def test_where_only_blood_follows_running_vessels_decode_it_and_shifts_do_not(world):
    _, controls = world("haemodynamics_only")
    names = ("vessels", "vessel contrast", "shifts")
    vessels, contrast, shifts = map(auc, decode([controls[name] for name in names], future_frames=75))
    assert min(vessels, contrast) > 0.85
    assert shifts < 0.6


def test_neurons_that_follow_running_look_like_no_movement():
    session = simulate_session(SimulationSettings("single_area", frames_per_session=300, drive=2.0), 2, 0)
    signals = control_signals(widefield.render(session))
    assert_allclose(signals["shifts"][:, :2].std(axis=0), 0, atol=0.006)
    assert signals["global mean"].std() > 0.1  # %: they do change the brightness


def test_shifts_are_those_of_the_simulator_in_every_animal(world):
    _, controls = world("motion_artefact_only")
    settings = SimulationSettings("motion_artefact_only", animals=3, sessions_per_animal=1, frames_per_session=900,
                                  **CLEAR)
    for animal, recording in enumerate(controls["shifts"].recordings, start=1):
        truth = simulate_session(settings, animal, 0).shift_px
        error = recording.signal[:, :2] - truth
        assert np.abs(truth).max() > 0.7 and (error.std(axis=0) < 0.01).all()
        assert_allclose(recording.signal[:, 2], np.hypot(*recording.signal[:, :2].T), rtol=1e-5)


def test_a_control_is_the_same_recordings_with_other_columns(world):
    dataset, controls = world("haemodynamics_only")
    assert list(controls) == list(CONTROLS)
    widths = {"global mean": 1, "edge": 8, "vessels": 8, "vessel contrast": 8, "shifts": 3}
    for name, control in controls.items():
        assert name in control.name and control.animals == dataset.animals
        for mine, theirs in zip(control.recordings, dataset.recordings, strict=True):
            assert mine.id == theirs.id and mine.movie is None and mine.n_roi == widths[name] and mine.simulated
            assert_array_equal(mine.run, theirs.run)
            assert mine.signal_unit == ("px" if name == "shifts" else "change (%)")
            assert any(CONTROLS[name] in note for note in mine.notes)


# Masks


@pytest.mark.parametrize("animal", [1, 2, 4])
def test_masks_are_where_the_simulator_put_brain_and_vessels(animal):
    session = simulate_session(SimulationSettings(frames_per_session=300), animal, 0)
    place, mean = session.anatomy, brain_masks.mean_image(widefield.render(session))
    brain = brain_masks.brain_mask(mean)
    assert overlap(brain, place.brain > 0.5) > 0.95
    vessels = brain_masks.vessel_mask(mean, brain)
    inside = place.brain > 0.999
    assert overlap(vessels & inside, (place.vessels > 0.25) & inside) > 0.7
    assert place.vessels[vessels].mean() > 5 * place.vessels[brain_masks.beside(vessels, brain)].mean()


def test_the_edge_is_a_ring_to_both_sides_but_not_at_the_end_of_the_picture():
    rows, columns = np.indices((192, 192))
    radius = np.hypot(rows - 96, columns - 96)
    ring = brain_masks.edge_mask(radius < 60)  # 192 / 64 = 3 pixels to either side
    assert 56 < radius[ring].min() < 58 and 62 < radius[ring].max() < 64
    cut = brain_masks.edge_mask(columns[:80, :80] < 30)  # half a picture of brain; 2 pixels are the least
    assert_array_equal(np.flatnonzero(cut.any(axis=0)), [28, 29, 30, 31])


def test_the_brain_has_no_holes_and_no_islands():
    rows, columns = np.indices((64, 64))
    brain = np.hypot(rows - 30, columns - 32) < 20
    picture = 100.0 + 900 * brain
    picture[28:31, 30:33] = 100  # a bleeding
    picture[58:62, 2:6] = 1000  # a reflection
    assert overlap(brain_masks.brain_mask(picture), brain) > 0.97


def test_sectors_run_clockwise_from_the_left_and_an_empty_one_has_the_mean_of_all():
    brain = np.ones((64, 64), bool)
    for down, right, sector in ((-5, -20, 0), (-20, -5, 1), (-20, 5, 2), (-5, 20, 3), (20, -5, 6), (5, -20, 7)):
        mask = np.zeros((64, 64), bool)
        mask[31 + down : 34 + down, 31 + right : 34 + right] = True
        weights = brain_masks.sector_weights(mask, brain)
        at = weights @ np.arange(64 * 64.0)  # of a mask in one sector all sectors have its mean
        assert_allclose(at, (32 + down) * 64 + 32 + right)
        other = np.roll(mask, (7, 0), axis=(0, 1)) & False
        other[60:63, 60:63] = True  # down right: sector 4 or 5
        both = brain_masks.sector_weights(mask | other, brain)
        assert both[sector][mask.reshape(-1)].sum() == pytest.approx(1)
    assert_allclose(weights.sum(axis=1), 1)


# Shifts


def test_planted_shifts_are_found_as_scikit_image_finds_them():
    rng = np.random.default_rng(1)
    planted = rng.uniform(-4, 4, size=(24, 2))
    planted[0], planted[1] = (0, 0), (-0.25, 7.5)
    spectrum = np.fft.fft2(RESTING)
    pictures = np.stack([np.fft.ifft2(fourier_shift(spectrum, by)).real for by in planted])
    clean = Registration(RESTING).shifts(pictures)
    assert_allclose(clean, planted, rtol=0.01, atol=0.01)
    noisy = with_noise(pictures.clip(0), rng)
    found = Registration(RESTING).shifts(noisy)
    assert found.dtype == np.float32
    assert_allclose(found, planted, rtol=0.01, atol=0.02)
    for frame, mine in zip(noisy[:6], found, strict=False):
        theirs, *_ = phase_cross_correlation(RESTING, frame, upsample_factor=100, normalization=None)
        assert_allclose(mine, -theirs, atol=0.05)


def test_planted_shifts_are_found_where_the_brain_fills_the_picture():
    rng = np.random.default_rng(2)
    planted = rng.normal(0, 0.5, size=(30, 2))
    cut = (slice(19, 109), slice(22, 101))  # 90 x 79 pixels, cortex up to every border
    pictures = np.stack([spline_shift(RESTING, by, mode="nearest")[cut] for by in planted])
    found = Registration(RESTING[cut]).shifts(with_noise(pictures, rng))
    assert np.sqrt(np.mean((found - planted) ** 2)) < 0.02
    assert np.polyfit(planted[:, 0], found[:, 0], 1)[0] == pytest.approx(1, abs=0.04)


def test_brightness_is_no_shift():
    rng = np.random.default_rng(3)
    frames = np.stack([fade * RESTING + add for fade, add in ((0.5, 0), (1.0, 0), (1.3, 400), (2.0, -100))])
    frames += rng.normal(0, 1, frames.shape)
    assert_allclose(Registration(RESTING).shifts(frames), 0, atol=0.005)


def test_a_shift_out_of_reach_stops_at_the_limit():
    frames = np.stack([np.roll(RESTING, 14, axis=0), np.roll(RESTING, 9, axis=1)])
    found = Registration(RESTING).shifts(frames)
    assert most_px(RESTING.shape) == 10 and most_px((16, 99)) == 4
    assert_allclose(found, [[10, 0], [0, 9]], atol=0.1)


@pytest.mark.parametrize("bad", [0, np.nan])
def test_a_frame_without_a_picture_is_refused_by_number(small_movie, bad):
    movie = small_movie.astype(np.float32)
    movie[17] = bad if bad == 0 else movie[17]
    movie[17, 3, 3] = bad
    if bad == 0:
        with pytest.raises(DataError, match=r"mine, movie.*frame 17"):
            control_signals(movie, "mine")
    with pytest.raises(DataError, match="frame 117"):
        Registration(RESTING[::2, ::2]).shifts(movie, first=100)


# Streaming


def test_streamed_from_disk_equals_all_at_once(small_movie, tmp_path, monkeypatch):
    whole = control_signals(small_movie)
    monkeypatch.setattr(movies, "STRETCH_PIXELS", 7 * 64 * 64)  # 40 frames are no multiple of 7
    streamed = control_signals(recording_of(small_movie, tmp_path / "m.tif").movie)
    for name, expected in whole.items():
        assert streamed[name].dtype == np.float32
        assert_allclose(streamed[name], expected, atol=2e-4)  # % and pixels


def test_columns_are_plain_means_over_pixels(small_movie):
    signals, counts = control_signals(small_movie), small_movie.astype(float)

    def change(mask):
        trace = counts[:, mask].mean(axis=1)
        return 100 * (trace / trace.mean() - 1)

    mean = counts.mean(axis=0)
    brain = brain_masks.brain_mask(mean)
    vessels = brain_masks.vessel_mask(mean, brain)
    middle = np.argwhere(brain).mean(axis=0)
    down, right = np.indices(mean.shape) - middle[:, None, None]
    upper_left = (down < 0) & (right < 0) & (-right > -down)  # the first sector
    assert_allclose(signals["global mean"][:, 0], change(np.ones_like(brain)), atol=1e-3)
    assert_allclose(signals["edge"][:, 0], change(brain_masks.edge_mask(brain) & upper_left), atol=1e-3)
    assert_allclose(signals["vessels"][:, 0], change(vessels & upper_left), atol=1e-3)
    tissue = brain_masks.beside(vessels, brain)
    assert not (tissue & vessels).any()
    assert_allclose(signals["vessel contrast"][:, 0],
                    change(vessels & upper_left) - change(tissue & upper_left), atol=1e-3)


class Made:
    """A movie whose frames are made when they are asked for; remembers the stretches."""

    def __init__(self, n_frames):
        self.shape, self.asked = (n_frames, 64, 64), []
        self.picture = RESTING.reshape(64, 2, 64, 2).mean(axis=(1, 3))

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, frames):
        start, stop, _ = frames.indices(len(self))
        self.asked.append((start, stop))
        noise = np.random.default_rng(start).normal(0, 30, (stop - start, 64, 64))
        return (self.picture + noise).clip(0).astype(np.uint16)


def test_memory_does_not_grow_with_the_movie():
    def peak(movie):
        tracemalloc.start()
        control_signals(movie)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    short, long = Made(600), Made(2400)  # 5 and 20 MB as they are
    assert peak(long) < peak(short) + 1.5e6
    expected = [(a, min(a + 256, 2400)) for a in range(0, 2400, 256)]
    assert long.asked == 2 * expected  # twice through, in order, never more than 256 frames


# Data sets


def test_stored_controls_are_used_and_damaged_ones_made_again(small_movie, tmp_path):
    dataset = Dataset("mine", (recording_of(small_movie, tmp_path / "1.tif"),
                               recording_of(small_movie[::-1].copy(), tmp_path / "2.tif", session="t")))
    store = tmp_path / "store"
    made = control_datasets(dataset, store)
    files = sorted(store.iterdir())
    assert len(files) == 2
    for file in files:  # something to tell stored ones by
        with np.load(file) as content:
            np.savez(file, **{name: content[name] + 1 for name in content})
    again = control_datasets(dataset, store)["edge"]
    assert_allclose(again.recordings[1].signal, made["edge"].recordings[1].signal + 1, rtol=1e-5)
    for file in files:
        file.write_bytes(file.read_bytes()[:100])
    mended = control_datasets(dataset, store)["edge"]
    assert_array_equal(mended.recordings[1].signal, made["edge"].recordings[1].signal)
    assert_array_equal(mended.recordings[0].behaviour["speed_cm_s"], dataset.recordings[0].behaviour["speed_cm_s"])
    assert mended.recordings[0].notes[0] == "as it was"


def test_a_recording_without_a_movie_is_refused_by_name(small_movie, tmp_path):
    there = recording_of(small_movie, tmp_path / "1.tif")
    gone = replace(there, session="lost", movie=None)
    with pytest.raises(DataError, match="a/lost: found no movie"):
        control_datasets(Dataset("mine", (there, gone)))


def test_frames_at_the_limit_are_noted(small_movie, tmp_path):
    movie = small_movie.copy()
    movie[5] = np.roll(movie[5], 13, axis=0)
    control = control_datasets(Dataset("mine", (recording_of(movie, tmp_path / "1.tif"),)))["shifts"]
    assert any("1 frames lie 10 pixels" in note for note in control.recordings[0].notes)


@pytest.mark.parametrize(("movie", "found"), [
    (np.zeros((20, 32, 32), np.uint16), "one value"),
    (np.full((20, 32, 32), 65535, np.uint16), "one value"),
    (np.zeros((20, 32), np.uint16), r"shape \(20, 32\)"),
    (np.zeros((20, 5, 32), np.uint16), r"shape \(20, 5, 32\)"),
    (np.full((20, 32, 32), np.nan, np.float32), "not finite"),
    (np.random.default_rng(0).normal(size=(20, 64, 64)).astype(np.float32), "a brain|brightness"),
])
def test_what_shows_no_brain_is_refused(movie, found):
    with pytest.raises(DataError, match=f"mine, movie: found .*({found})"):
        control_signals(movie, "mine")


# Shares


def fold(name, score, group="g", **other):
    scores = {} if score is None else {"auc": score}
    return FoldResult(name, group, "gru", scores, "" if scores else "only rest", History(), (), *[np.empty(0)] * 4,
                      **other)


def test_the_share_explained_is_taken_fold_by_fold():
    shares, reasons = explained({"a": 0.6, "b": 0.5, "c": 0.4, "d": 0.95, "f": 0.9},
                                {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.8, "e": 0.7})
    assert shares == {"a": pytest.approx(0.25), "b": 0, "c": pytest.approx(-0.5), "d": pytest.approx(1.5)}
    assert reasons == {"e": "no score of the control", "f": "no score of the full decoder"}


@pytest.mark.parametrize("score", [0.2, 0.5, 0.599])
def test_a_decoder_at_chance_has_nothing_to_explain(score):
    shares, reasons = explained({"a": 0.7}, {"a": score})
    assert not shares and f"near chance (AUC {score:.3f})" in reasons["a"]


def test_the_table_pairs_folds_and_says_what_is_missing():
    full = [fold("1", 0.9, "x"), fold("2", 0.7, "x"), fold("3", 0.8, "y"), fold("4", 0.51, "y"), fold("5", None, "y")]
    controls = {"edge": [fold("3", 0.8), fold("1", 0.6), fold("2", 0.6), fold("4", 0.9), fold("5", 0.7)],
                "shifts": [fold("5", 0.6), fold("4", None)]}
    table = control_table(full, controls).set_index("decoded from")
    everything, edge, shifts = (table.loc[name] for name in ("everything", "edge alone", "shifts alone"))
    assert everything["folds"] == 4 and everything["mean"] == pytest.approx((0.9 + 0.7 + 0.8 + 0.51) / 4)
    assert edge["SD"] == pytest.approx(np.std([0.8, 0.6, 0.6, 0.9, 0.7], ddof=1))
    assert edge["share explained"] == pytest.approx((0.25 + 0.5 + 1) / 3)
    assert edge["over animals"] == "0.38 to 1.00 (n = 2)" and edge["paired folds"] == 3
    assert edge["without a share"] == "1: full decoder near chance; 1: no score of the full decoder"
    assert shifts["share explained"] is None and shifts["SD"] is None and shifts["folds"] == 1
    assert "4: no score of the control" in shifts["without a share"]
    assert not any(isinstance(value, float) and np.isnan(value) for value in table.to_numpy().ravel())
    html = tables.show(table.reset_index()).to_html()
    assert "nan" not in html.lower() and "None" not in html and "0.583" in html


def test_a_table_of_two_decoders_at_once_is_refused():
    with pytest.raises(DataError, match="full decoder"):
        control_table([fold("1", 0.9), fold("1", 0.8)], {})
    with pytest.raises(DataError, match="edge"):
        control_table([fold("1", 0.9)], {"edge": [fold("1", 0.8, kind="continuous")]})


def test_a_table_of_decoders_without_a_score_has_no_numbers():
    table = control_table([fold("1", None)], {"edge": [fold("1", None)]})
    assert list(table["mean"]) == [None, None] and list(table["folds"]) == [0, 0]


def test_every_control_says_what_it_is():
    assert set(CONTROLS) == set(control_signals(Made(20)))
