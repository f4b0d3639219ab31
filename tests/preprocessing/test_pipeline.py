"""Transforms against their definitions, their declared reach, and what they refuse."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calcium_decoding import preprocessing
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.preprocessing import (
    Components,
    ExponentialSmoothing,
    MinMax,
    MovingMeanBaseline,
    Pipeline,
    ScaleByTraining,
    TrailingBaseline,
    moving_mean,
)
from calcium_decoding.preprocessing.transforms import COLUMNS_AT_ONCE


def noise(n_frames=300, n_roi=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n_frames, n_roi)).astype(np.float32)


def mean_by_loop(x, past, future):
    return np.array([x[max(0, i - past):i + future + 1].mean(axis=0) for i in range(len(x))])


@settings(max_examples=60, deadline=None)
@given(n_frames=st.integers(1, 60), frames=st.integers(1, 80), seed=st.integers(0, 99))
def test_moving_mean_is_the_mean_of_the_frames_that_exist(n_frames, frames, seed):
    x = np.random.default_rng(seed).normal(size=(n_frames, 2))
    past, future = (frames // 2, frames // 2 - 1) if frames % 2 == 0 else ((frames - 1) // 2,) * 2
    np.testing.assert_allclose(moving_mean(x, frames), mean_by_loop(x, past, future), rtol=0, atol=1e-14)


def test_moving_mean_by_hand():
    # MATLAB: movmean([1 2 3 10 20], 4) has frames i-2 .. i+1; movmean(..., 3) has i-1 .. i+1.
    np.testing.assert_allclose(moving_mean([1, 2, 3, 10, 20], 4), [1.5, 2, 4, 8.75, 11])
    np.testing.assert_allclose(moving_mean([1, 2, 3, 10, 20], 3), [1.5, 2, 5, 11, 15])


def test_moving_mean_keeps_its_precision_after_a_huge_frame():
    x = noise(5000, 1).astype(np.float64)
    x[10] = 1e14  # a running sum over the recording would be off by about 1e-3 from here on
    expected = mean_by_loop(x[1000:], 50, 49)[50:-50]
    np.testing.assert_allclose(moving_mean(x, 100)[1050:-50], expected, rtol=0, atol=1e-14)


def test_moving_mean_of_more_frames_than_exist_is_the_mean_and_needs_no_memory_for_them():
    x = noise(20, 2)
    np.testing.assert_allclose(moving_mean(x, 10**12), np.broadcast_to(x.mean(axis=0, dtype=float), x.shape))


@pytest.mark.parametrize("frames", [0, -1, 2.0, True, "10", None])
def test_frames_must_be_a_whole_number(frames):
    for use in (lambda: moving_mean([1.0], frames), lambda: MovingMeanBaseline(frames),
                lambda: TrailingBaseline(frames)):
        with pytest.raises(ParameterError, match="frames"):
            use()


@pytest.mark.parametrize("frames", [1, 2, 7, 10, 1000])
def test_baselines_match_loops(frames):
    x = noise() + 100
    x64 = x.astype(np.float64)
    centred = x64 - mean_by_loop(x64, frames // 2, (frames - 1) // 2)
    trailing = x64 - mean_by_loop(x64, frames - 1, 0)
    for step, expected in ((MovingMeanBaseline(frames), centred), (TrailingBaseline(frames), trailing)):
        found = step.transform(x)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_column_chunks_do_not_matter():
    x = noise(50, COLUMNS_AT_ONCE * 2 + 3)
    whole = MovingMeanBaseline(8).transform(x)
    single = np.column_stack([MovingMeanBaseline(8).transform(x[:, [i]]) for i in range(x.shape[1])])
    np.testing.assert_array_equal(whole, single)


def test_exponential_smoothing_is_the_weighted_mean_of_all_frames_so_far():
    x, tau = noise(80, 2), 6.5
    x64 = x.astype(np.float64)
    expected = []
    for t in range(len(x)):
        weights = np.exp(-np.arange(t, -1, -1) / tau)
        expected.append(weights @ x64[:t + 1] / weights.sum())
    np.testing.assert_allclose(ExponentialSmoothing(tau).transform(x), expected, rtol=1e-5, atol=1e-6)


def test_exponential_smoothing_forgets_after_its_declared_look_back():
    tau = 10.0
    back = ExponentialSmoothing(tau).look_back_frames
    assert math.exp(-back / tau) <= 1e-3 < math.exp(-(back - 1) / tau)


@pytest.mark.parametrize("tau", [0, -1, math.inf, math.nan, "1", True])
def test_time_constant_must_be_positive(tau):
    with pytest.raises(ParameterError, match="time_constant_frames"):
        ExponentialSmoothing(tau)


def test_minmax_of_each_roi():
    x = noise() * [1, 1e-6, 1e6] + [0, 5, -1e6]
    found = MinMax().transform(x)
    np.testing.assert_array_equal(found.min(axis=0), 0)
    np.testing.assert_array_equal(found.max(axis=0), 1)
    np.testing.assert_allclose(found, (x - x.min(axis=0)) / np.ptp(x, axis=0), atol=1e-6)


def test_minmax_refuses_a_constant_roi_by_name():
    x = noise()
    x[:, 1] = 0.1
    with pytest.raises(DataError, match=r"mouse2/s3.*number 2 \(counted from 1\)"):
        MinMax().transform(x, "mouse2/s3")


@pytest.mark.parametrize("step", [MovingMeanBaseline(70), TrailingBaseline(70), ExponentialSmoothing(9.0)])
def test_a_constant_roi_is_still_constant_after_each_step(step):
    x = noise(500).astype(np.float64)
    x[:, 1] = 0.1  # not exact in binary: a mean of many 0.1 differs from 0.1
    found = step.transform(x)
    assert np.ptp(found[:, 1]) == 0
    with pytest.raises(DataError, match="constant"):
        Pipeline([step, MinMax()]).transform(x, "a")


def test_scale_by_training_sees_only_training_frames():
    x = noise(200)
    x[100:] *= 50
    pipeline = Pipeline([ScaleByTraining()]).fit([(x, [(0, 40), (60, 100)])], ["a"])
    training = np.concatenate([x[:40], x[60:100]]).astype(np.float64)
    expected = (x - training.mean(axis=0)) / training.std(axis=0)
    np.testing.assert_allclose(pipeline.transform(x), expected, rtol=1e-5, atol=1e-5)
    changed = x.copy()
    changed[40:60], changed[100:] = -7, 9
    again = Pipeline([ScaleByTraining()]).fit([(changed, [(0, 40), (60, 100)])], ["a"])
    np.testing.assert_array_equal(again.transform(x), pipeline.transform(x))


def test_scale_by_training_merges_recordings_without_losing_precision():
    pieces = [(noise(50, 3, seed) * (seed + 1) + 1e5 * seed, [(0, 50)]) for seed in range(4)]
    step = ScaleByTraining().fit([signal for signal, _ in pieces])
    together = np.concatenate([signal for signal, _ in pieces]).astype(np.float64)
    np.testing.assert_allclose(step.offset, together.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(step.scale, together.std(axis=0), rtol=1e-12)


def test_roi_constant_in_training_is_zero():
    x = noise(100).astype(np.float64)
    x[:50, 1] = 0.1  # not exact in binary: its variance is not exactly 0
    step = ScaleByTraining().fit([x[:20], x[20:50]])
    found = Pipeline([step]).transform(x)
    np.testing.assert_array_equal(found[:, 1], 0)
    assert np.isfinite(found).all() and np.ptp(found[:, 0]) > 0


def test_step_is_fitted_on_the_earlier_steps_output():
    x = noise(200) + np.linspace(0, 30, 200, dtype=np.float32)[:, None]
    pipeline = preprocessing.build("causal", 30, baseline_frames=20).fit([(x, [(50, 150)])], ["a"])
    before = TrailingBaseline(20).transform(x)
    training = before[50:150].astype(np.float64)
    expected = (before - training.mean(axis=0)) / training.std(axis=0)
    np.testing.assert_allclose(pipeline.transform(x), expected, atol=1e-5)


def test_use_before_fit_is_refused():
    with pytest.raises(ParameterError, match="before fit"):
        preprocessing.build("scaled", 30).transform(noise(), "a")


def test_another_number_of_rois_is_refused():
    pipeline = preprocessing.build("scaled", 30).fit([(noise(50, 3), [(0, 50)])], ["a"])
    with pytest.raises(DataError, match="4 ROIs"):
        pipeline.transform(noise(50, 4), "b")
    with pytest.raises(DataError, match="ROIs"):
        pipeline.fit([(noise(50, 3), [(0, 50)]), (noise(50, 4), [(0, 50)])], ["a", "b"])


@pytest.mark.parametrize("ranges", [[(0, 51)], [(-1, 10)], [(10, 10)], []])
def test_training_ranges_must_lie_in_the_recording(ranges):
    with pytest.raises(DataError):
        preprocessing.build("scaled", 30).fit([(noise(50), ranges)], ["a"])


def test_values_that_are_not_finite_are_refused():
    x = noise()
    x[7, 1] = np.nan
    with pytest.raises(DataError, match="recording a: found NaN"):
        preprocessing.build("raw", 30).transform(x, "a")


def test_published_recipe_from_its_definition():
    x = noise(400) * 3 + 20
    x64 = x.astype(np.float64)
    flat = x64 - mean_by_loop(x64, 50, 49)
    expected = (flat - flat.min(axis=0)) / np.ptp(flat, axis=0)
    pipeline = preprocessing.build("published", 30, baseline_frames=100)
    found = pipeline.fit([(x, [(0, 400)])], ["a"]).transform(x, "a")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name, look_back, look_ahead, fitted_on", [
    ("published", math.inf, math.inf, "each recording"),
    ("raw", math.inf, math.inf, "each recording"),
    ("causal", 999, 0, "training frames"),
    ("scaled", 0, 0, "training frames"),
    ("events", 42, 0, "training frames"),  # ceil(0.2 s * 30 Hz * ln 1000)
])
def test_recipes_declare_their_reach(name, look_back, look_ahead, fitted_on):
    pipeline = preprocessing.build(name, 30.0)
    assert (pipeline.look_back_frames, pipeline.look_ahead_frames) == (look_back, look_ahead)
    assert pipeline.fitted_on == fitted_on


def test_every_recipe_is_listed_and_an_unknown_one_names_them():
    for name in preprocessing.RECIPES:
        preprocessing.build(name, 30)
    with pytest.raises(ParameterError, match="published, raw, trailing, centred_scaled, causal, scaled, events"):
        preprocessing.build("publish", 30)
    with pytest.raises(ParameterError, match="rate_hz"):
        preprocessing.build("raw", 0)


def test_components_are_the_largest_of_standardised_rois_and_weigh_by_the_root_of_their_sd():
    mixing = noise(6, 6, 1)
    x = noise(400, 6) @ mixing * [1, 20, 3, 4, 5, 6] + 7
    pipeline = preprocessing.build("scaled", 30.0, components={"n": 3})
    found = pipeline.fit([(x, [(0, 300)])], ["a"]).transform(x)
    assert found.shape == (400, pipeline.width(6)) == (400, 3) and pipeline.steps[-1].look_ahead_frames == 0
    largest = np.linalg.eigvalsh(np.corrcoef(x[:300].T))[::-1][:3] * 300 / 299
    np.testing.assert_allclose(np.cov(found[:300].T), np.diag(largest**0.5), atol=1e-3)
    every = Components(9).fit([x])
    assert every.width(6) == 6 and every.transform(x).shape == (400, 6)
    whole = Components(3, "each recording")
    assert whole.look_ahead_frames == math.inf
    np.testing.assert_array_equal(whole.transform(x), Components(3).fit([x]).transform(x))


def test_components_that_cannot_be_had_are_refused():
    for arguments in ({"n": 0}, {"n": 2, "fitted_on": "everything"}):
        with pytest.raises(ParameterError):
            Components(**arguments)
    with pytest.raises(ParameterError, match="before fit"):
        Components(2).transform(noise())
    with pytest.raises(DataError, match="2 training frames"):
        Components(3).fit([noise(2)])
    with pytest.raises(DataError, match="4 ROIs"):
        Components(2).fit([noise()]).transform(noise(n_roi=4))


STEPS = [MovingMeanBaseline(30), MovingMeanBaseline(7), TrailingBaseline(30), ExponentialSmoothing(3.0),
         ScaleByTraining().fit([noise()]), Components(2).fit([noise()]),
         Pipeline([MovingMeanBaseline(10), TrailingBaseline(6)])]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: repr(step)[:45])
@pytest.mark.parametrize("changed", [0, 100, 299])
def test_output_depends_only_on_frames_within_the_declared_reach(step, changed):
    x = noise()
    other = x.copy()
    # Frame 0 is taken off inside the baselines; changing it must not show beyond the reach either.
    other[changed] += 1
    difference = np.abs(step.transform(other) - step.transform(x)).max(axis=1)
    touched = np.flatnonzero(difference > 2e-3)
    assert len(touched)
    assert touched.min() >= changed - step.look_ahead_frames
    assert touched.max() <= changed + step.look_back_frames
    if step.look_ahead_frames == 0:
        np.testing.assert_array_equal(difference[:changed], 0)


def test_declared_reach_is_no_larger_than_needed():
    x = noise()
    other = x.copy()
    other[100] += 1
    for step in STEPS[:3]:
        touched = np.flatnonzero(np.abs(step.transform(other) - step.transform(x)).max(axis=1) > 1e-3)
        assert (touched.min(), touched.max()) == (100 - step.look_ahead_frames, 100 + step.look_back_frames)
