"""Lags: closed forms, brute force, the simulator's own indicator, and lags planted without the simulator."""

from dataclasses import replace

import numpy as np
import pytest

from calcium_decoding import preprocessing, splits
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.experiments import compare, engine
from calcium_decoding.experiments.compare import Condition, ConditionResult
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.preprocessing.windows import WindowSpec
from calcium_decoding.simulation.widefield.physiology import indicator
from decoding_book.chapters import lags

RATE_HZ = 30.0
SHIFTS = list(range(-40, 41, 10))


def running(n, rng, switch=1 / 60):
    """Telegraph process: its autocorrelation falls exponentially, with a time constant of 1 / (2 switch) frames."""
    return (np.cumsum(rng.random(n) < switch) % 2).astype(np.uint8)


def planted(lag_frames, seed=0, animals=4, n=2500):
    """Behaviour through the indicator, ``lag_frames`` late, in noise: no part of the simulator."""
    rng = np.random.default_rng(seed)
    recordings = []
    for animal in range(animals):
        run = running(n + 100, rng)
        seen = indicator(run[:, None].astype(float))
        signal = np.column_stack([seen, np.zeros_like(seen)]) + rng.normal(0, 0.6, (n + 100, 2))
        keep = slice(50, n + 50)
        late = np.roll(signal, lag_frames, axis=0)
        recordings.append(Recording(late[keep], {"run": run[keep]}, RATE_HZ, f"mouse {animal}", "s", simulated=True))
    return Dataset(f"planted {lag_frames}", tuple(recordings))


def plan(spec, dataset):
    recipe = {"name": "scaled", "rate_hz": RATE_HZ}
    split = splits.build("animal_pairs", dataset, spec, preprocessing.build(**recipe))
    first = {fold.test_group: fold for fold in reversed(split.folds)}  # one fold a test animal
    return engine.Experiment(dataset, replace(split, folds=tuple(first.values())[::-1]), Traces(recipe, spec),
                             training=TrainingSettings())


@pytest.fixture(scope="module")
def curves():
    asked = {(world, shift): plan(WindowSpec(0, 0, label_shift_frames=shift), dataset)
             for world, dataset in (("lead", planted(-12)), ("lag", planted(12))) for shift in SHIFTS}
    found = compare.run([Condition(f"{world} {shift}", experiment, "logistic", shift / RATE_HZ)
                         for (world, shift), experiment in asked.items()], jobs=1)
    return {"lead": found[:len(SHIFTS)], "lag": found[len(SHIFTS):]}


def test_the_kernel_is_that_of_the_simulator():
    run = running(500, np.random.default_rng(1)).astype(float)
    kernel = lags.indicator_kernel(RATE_HZ)
    np.testing.assert_allclose(np.convolve(run, kernel)[:500], indicator(run[:, None])[:, 0], atol=1e-12)
    assert kernel.sum() == pytest.approx(1) and (kernel >= 0).all()
    with pytest.raises(ParameterError):
        lags.indicator_kernel(RATE_HZ, decay_s=0.0)


def test_behaviour_correlation_against_pairs_counted_one_by_one():
    rng = np.random.default_rng(2)
    recordings = planted(0, 2, animals=2, n=120).recordings
    kernel = rng.random(5)
    found = lags.behaviour_correlation(recordings, [-7, 0, 3], kernel)
    for shift, r in zip([-7, 0, 3], found, strict=True):
        pairs = []
        for recording in recordings:
            run = recording.run.astype(float)
            for t in range(len(run)):
                if 0 <= t + shift < len(run):
                    seen = sum(kernel[k] * run[t - k] for k in range(5) if t - k >= 0)
                    pairs.append((seen, run[t + shift]))
        assert r == pytest.approx(np.corrcoef(np.array(pairs).T)[0, 1])
    assert lags.behaviour_correlation(recordings, [0])[0] == pytest.approx(1)
    with pytest.raises(DataError, match="no change"):
        lags.behaviour_correlation(recordings, [120])


def test_the_indicator_alone_peaks_at_the_median_of_its_kernel():
    """Where an exponential autocorrelation is slow against the kernel, half of the kernel lies on either side."""
    recordings = planted(0, 3, animals=1, n=60_000).recordings
    kernel, frames = lags.indicator_kernel(RATE_HZ), np.arange(-30, 31)
    cumulated = np.cumsum(kernel)
    median = int(np.argmax(cumulated >= 0.5))
    found = lags.peak(frames, lags.behaviour_correlation(recordings, frames, kernel))
    assert -median - 1.5 <= found <= -median + 1.5


def test_peak_of_a_parabola_and_none_at_an_end():
    x = np.arange(-3.0, 4.0)
    assert lags.peak(x, 1 - (x - 0.4) ** 2) == pytest.approx(0.4)
    assert lags.peak(x, x) is None and lags.peak(x, -x) is None and lags.peak(x, x**2) is None


def test_planted_lags_are_found_in_every_animal(curves):
    lead, lag = (lags.peaks(curves[world]) for world in ("lead", "lag"))
    assert lead["lag_s"].mean() == pytest.approx(-0.4, abs=0.08)
    assert lag["lag_s"].mean() == pytest.approx(0.4, abs=0.08)
    assert (lag["lag_s"] - lead["lag_s"]).mean() == pytest.approx(0.8, abs=0.08)
    assert lag.index.tolist() == lead.index.tolist() == [f"mouse {i}" for i in range(4)]
    assert (lag["lag_s"] == lag["indicator_s"] - lag["peak_s"]).all() and lag["lag_s"].min() > 0.2


def test_a_curve_that_peaks_at_an_end_has_no_lag(curves):
    rising = [r for r in curves["lag"] if r.condition.value >= 0]  # the peak lies at earlier behaviour
    assert lags.peaks(rising).empty


def test_an_animal_without_a_score_at_some_shift_has_no_lag(curves):
    first, *others = curves["lag"]
    folds = [replace(fold, scores={}) if fold.test_group == "mouse 1" else fold for fold in first.folds]
    found = lags.peaks([*others, ConditionResult(first.condition, folds)])  # in any order
    expected = lags.peaks(curves["lag"]).drop(index="mouse 1")
    assert found.index.tolist() == ["mouse 0", "mouse 2", "mouse 3"]
    assert found["lag_s"].tolist() == expected["lag_s"].tolist()


def traces_of(dataset, spec, recipe="published"):
    recipe = {"name": recipe, "rate_hz": 30.0, "baseline_frames": 100}
    split = splits.build("animal_pairs", dataset, spec, preprocessing.build(**recipe))
    return engine.Experiment(dataset, replace(split, folds=split.folds[:1]), Traces(recipe, spec))


def test_look_ahead_adds_window_and_filter(tiny_dataset):
    shapes = {"both": WindowSpec(15, 15), "past": WindowSpec(30, 0), "later": WindowSpec(15, 15, label_shift_frames=10)}
    asked = {name: traces_of(tiny_dataset, spec) for name, spec in shapes.items()}
    asked |= {f"{name}, causal": traces_of(tiny_dataset, shapes[name], "causal") for name in ("both", "past")}
    table = lags.look_ahead_table(compare.compare(asked, ["logistic"], jobs=1)).set_index("condition")
    assert table["frames"].tolist() == [31] * 5
    assert table["ahead by window (ms)"].to_dict() == {
        "both": "500", "past": "0", "later": "167", "both, causal": "500", "past, causal": "0"}
    assert table["in total (ms)"].tolist() == ["whole session"] * 3 + ["500", "0"]
    # A past-only window with the causal filter indeed does not see what comes later.
    signal = tiny_dataset.recordings[0].signal
    pipeline = asked["past, causal"].input.pipeline().fit([(signal, [(0, 300)])], ["a"])
    changed = signal.copy()
    changed[151:] += 7
    np.testing.assert_array_equal(pipeline.transform(signal)[:151], pipeline.transform(changed)[:151])


@pytest.mark.parametrize("half", [0, 4, 20])
def test_shifted_labels_are_those_of_later_frames_and_windows_are_counted(tiny_dataset, half):
    for shift in [-30, -20, -10, 0, 10, 30]:
        experiment = traces_of(tiny_dataset, WindowSpec(half, half, label_shift_frames=shift))
        fold = engine.run(experiment, ["logistic"], jobs=1)[0]
        recordings = {r.id: r for r in tiny_dataset.recordings}
        for name in fold.recordings:
            centres, labels, _ = fold.trace(name)
            n = recordings[name].n_frames
            possible = [t for t in range(n) if t - half >= 0 and t + half < n and 0 <= t + shift < n]
            assert centres.tolist() == possible
            assert len(possible) == n - half - max(half, abs(shift))
            np.testing.assert_array_equal(labels, recordings[name].run[np.array(possible) + shift])
