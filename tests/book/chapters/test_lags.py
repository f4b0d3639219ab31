"""Lags: closed forms, brute force, the simulator's own indicator, and lags planted without the simulator."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from calcium_decoding import preprocessing, splits
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.experiments import compare, engine
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


def words_on(ax):
    return [text.get_text() for text in ax.texts]


def plan(spec, dataset, say=False, n_folds=0):
    recipe = {"name": "scaled", "rate_hz": RATE_HZ}
    split = splits.build("animal_pairs", dataset, spec, preprocessing.build(**recipe))
    first = {fold.test_group: fold for fold in reversed(split.folds)}  # one fold a test animal
    return engine.Experiment(dataset, replace(split, folds=tuple(first.values())[::-1]), Traces(recipe, spec),
                             training=TrainingSettings())


@pytest.fixture(scope="module")
def curves():
    sets = {"lead": planted(-12), "lag": planted(12)}
    return lags.curves(plan, sets, SHIFTS, jobs=1)


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
    table = lags.table(curves, {"lead": -0.4, "lag": 0.4}).set_index("data")
    assert table.loc["lead", "lag (s)"] == pytest.approx(-0.4, abs=0.08)
    assert table.loc["lag", "lag (s)"] == pytest.approx(0.4, abs=0.08)
    assert table.loc["lag less lead", "lag (s)"] == pytest.approx(0.8, abs=0.08)
    assert table["animals"].tolist() == [4, 4, 4]
    assert table.loc["lag", "error (s)"] == pytest.approx(table.loc["lag", "lag (s)"] - 0.4)
    each = lags.peaks(curves["lag"])
    assert each["animal"].tolist() == [f"mouse {i}" for i in range(4)]
    assert (each["lag_s"] == each["indicator_s"] - each["peak_s"]).all() and each["lag_s"].min() > 0.2
    half = 3.182446 * each["lag_s"].std(ddof=1) / 2  # Student's t of 3 degrees of freedom, root of 4 animals
    assert table.loc["lag", "high"] - table.loc["lag", "low"] == pytest.approx(2 * half)
    scores = lags.card_scores(curves)
    assert [(s.model, s.metric, s.scope) for s in scores][1] == ("lag", "lag (s)", "mean of 4 animals")
    assert scores[1].value == pytest.approx(table.loc["lag", "lag (s)"])


def test_a_curve_that_peaks_at_an_end_has_no_lag(curves):
    rising = {"lag": [r for r in curves["lag"] if r.condition.value >= 0]}  # the peak lies at earlier behaviour
    assert lags.peaks(rising["lag"]).empty and lags.card_scores(rising) == []
    row = lags.table(rising).iloc[0]
    assert row["animals"] == 0 and row[["peak (s)", "lag (s)", "low", "planted (s)"]].isna().all()


def test_worlds_differ_by_their_planted_lag_alone():
    worlds = lags.worlds(5, sessions_per_animal=1, frames_per_session=900)
    assert {world: lags.planted_lag_s(world) for world in worlds} == {"lead": -0.5, "lag": 0.5}
    lead, lag = (worlds[world].recordings[0] for world in ("lead", "lag"))
    np.testing.assert_array_equal(lead.run, lag.run)
    assert (lead.signal != lag.signal).any(axis=0).all()  # a lag in every area


def test_figures_show_peaks_and_the_planted_lag(curves):
    ax = lags.lag_curve(curves["lag"], plt.figure().add_subplot(), 0.4)
    assert "simulated" in words_on(ax)
    lines = {line.get_label(): line for line in ax.lines}
    each = lags.peaks(curves["lag"])
    assert lines["peak of an animal"].get_xdata() == pytest.approx(each["peak_s"])
    alone = lines["indicator alone"].get_xdata()[0]
    assert alone == pytest.approx(each["indicator_s"].mean())
    assert lines["indicator and planted lag"].get_xdata()[0] == pytest.approx(alone - 0.4)
    ax = lags.behaviour_alone(curves["lag"][0], 1.0, plt.figure().add_subplot())
    assert "simulated" in words_on(ax)
    itself = next(line for line in ax.lines if line.get_label() == "running with itself")
    assert itself.get_ydata()[30] == pytest.approx(1) and itself.get_xdata()[30] == 0
    plt.close("all")


def traces_of(dataset, spec, recipe="published"):
    recipe = {"name": recipe, "rate_hz": 30.0, "baseline_frames": 100}
    split = splits.build("animal_pairs", dataset, spec, preprocessing.build(**recipe))
    return engine.Experiment(dataset, replace(split, folds=split.folds[:1]), Traces(recipe, spec))


def test_lengths_know_what_the_study_saved(tiny_dataset):
    asked = {str(half): traces_of(tiny_dataset, WindowSpec(half, half)) for half in (5, 7, 30)}
    assert lags.published_lengths(asked, "gru") == {
        half: ("roi_rnn_window_length", "GRU", f"half_window_{half}_frames") for half in ("5", "30")}
    assert lags.published_lengths(asked, "logistic_window") == {}


def test_look_ahead_adds_window_and_filter(tiny_dataset):
    shapes = {"both": WindowSpec(15, 15), "past": WindowSpec(30, 0), "later": WindowSpec(15, 15, label_shift_frames=10)}
    asked = {name: traces_of(tiny_dataset, spec) for name, spec in shapes.items()}
    asked |= {f"{name}, causal": traces_of(tiny_dataset, shapes[name], "causal") for name in ("both", "past")}
    table = lags.look_ahead_table(compare.compare(asked, ["logistic"], jobs=1)).set_index("condition")
    assert table["frames"].tolist() == [31] * 5
    assert table["window (ms)"].to_dict() == {"both": "500", "past": "0", "later": "167", "both, causal": "500",
                                              "past, causal": "0"}
    assert table["total (ms)"].tolist() == ["whole session"] * 3 + ["500", "0"]
    # A past-only window with the causal filter indeed does not see what comes later.
    signal = tiny_dataset.recordings[0].signal
    pipeline = asked["past, causal"].input.pipeline().fit([(signal, [(0, 300)])], ["a"])
    changed = signal.copy()
    changed[151:] += 7
    np.testing.assert_array_equal(pipeline.transform(signal)[:151], pipeline.transform(changed)[:151])


@pytest.mark.parametrize("half", [0, 4, 20])
def test_shifted_labels_are_those_of_later_frames_and_windows_are_counted(tiny_dataset, half):
    shifts = [-30, -20, -10, 0, 10, 30]

    def plan(spec, say):
        return traces_of(tiny_dataset, spec)

    planned = lags.label_shifts(plan, half, half, shifts, "logistic", "x ")
    assert [c.name for c in planned][2:5] == ["x -0.33 s", "x 0 s", "x +0.33 s"]
    for shift, result in zip(shifts, compare.run(planned, jobs=1), strict=True):
        fold = result.folds[0]
        recordings = {r.id: r for r in result.condition.experiment.dataset.recordings}
        for name in fold.recordings:
            centres, labels, _ = fold.trace(name)
            n = recordings[name].n_frames
            possible = [t for t in range(n) if t - half >= 0 and t + half < n and 0 <= t + shift < n]
            assert centres.tolist() == possible
            assert len(possible) == n - half - max(half, abs(shift))
            np.testing.assert_array_equal(labels, recordings[name].run[np.array(possible) + shift])
        assert result.condition.value == shift / 30
