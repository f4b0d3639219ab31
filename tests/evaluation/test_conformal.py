"""Prediction intervals: the exact quantile, coverage where it is promised and where it is not, refusals."""

import numpy as np
import pytest
from scipy import stats

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import conformal
from calcium_decoding.experiments.folds import FoldResult
from calcium_decoding.models.loop import History


def fold(speed, predicted, valid_speed, valid_predicted, recording=None, running=None, scores=None):
    n = len(speed)
    recording = np.zeros(n, int) if recording is None else np.asarray(recording)
    names = tuple(f"r{i}" for i in range(recording.max() + 1))
    return FoldResult("test=a", "a", "linear", {"r2": 0.0} if scores is None else scores, "", History(), names,
                      recording, np.arange(n), np.asarray(speed, np.float32), np.asarray(predicted, float),
                      np.asarray(valid_speed, np.float32), np.asarray(valid_predicted, float), kind="continuous",
                      running=np.empty(0, np.uint8) if running is None else np.asarray(running, np.uint8))


@pytest.mark.parametrize(("n", "level", "rank"), [(9, 0.9, 9), (19, 0.9, 18), (99, 0.9, 90), (10, 0.5, 6), (4, 0.8, 4),
                                                  (999, 0.95, 950)])
def test_the_quantile_is_the_score_of_the_exact_rank(n, level, rank):
    scores = np.random.default_rng(0).permutation(np.arange(1, n + 1) / 7)
    assert conformal.quantile(scores, level) == pytest.approx(rank / 7)


def test_coverage_of_exchangeable_frames_has_its_known_distribution():
    """Given the calibration frames, coverage is a Beta(rank, n + 1 - rank) variable for any decoder without ties."""
    rng, n, level, draws = np.random.default_rng(1), 39, 0.9, 4000
    error = rng.standard_exponential((draws, n))
    quantiles = np.array([conformal.quantile(row, level) for row in error])
    covered = stats.expon.cdf(quantiles)  # of new frames, exactly
    assert covered.mean() == pytest.approx(36 / 40, abs=4 * np.sqrt(0.09 / 41 / draws))
    assert stats.kstest(covered, stats.beta(36, 4).cdf).pvalue > 1e-3


@pytest.mark.parametrize("score", conformal.SCORES)
def test_intervals_cover_new_frames_of_the_same_kind(score):
    rng = np.random.default_rng(2)
    predicted = rng.uniform(0, 40, 40_000)
    speed = np.abs(predicted + (1 + 0.2 * predicted) * rng.standard_t(4, 40_000))
    band = conformal.calibrate(speed[:20_000], predicted[:20_000], 0.9, score)
    assert band.covers(speed[20_000:], predicted[20_000:]).mean() == pytest.approx(0.9, abs=0.01)


def test_scaled_scores_even_out_coverage_where_the_error_grows_with_speed():
    rng = np.random.default_rng(3)
    predicted = np.where(rng.random(40_000) < 0.7, 0.5, rng.uniform(15, 40, 40_000))
    speed = np.maximum(predicted + 0.2 * (2 + predicted) * rng.normal(size=40_000), 0)
    fast, half = predicted > 10, np.arange(40_000) < 20_000
    shares = {}
    for score in conformal.SCORES:
        band = conformal.calibrate(speed[half], predicted[half], 0.9, score)
        inside = band.covers(speed, predicted)
        shares[score] = inside[fast & ~half].mean(), inside[~fast & ~half].mean()
    assert shares["absolute"][0] < 0.7 and shares["absolute"][1] > 0.99
    assert shares["scaled"][0] > 0.8


def test_the_lower_end_is_never_below_zero_and_loses_no_true_speed():
    band = conformal.Band(0.9, 5.0)
    low, high = band.around(np.array([-9.0, 2.0, 20.0]))
    assert low.tolist() == [0, 0, 15] and high.tolist() == [0, 7, 25]
    assert band.covers(np.array([0.0, 7.0, 14.9]), np.array([2.0, 2.0, 20.0])).tolist() == [True, True, False]


@pytest.mark.parametrize("score", conformal.SCORES)
def test_values_below_zero_are_covered_too(score):
    """A wheel's own unit may have its rest below 0: a cut at 0 would lose every resting frame."""
    rng = np.random.default_rng(6)
    values = -0.2 + 0.1 * rng.normal(size=4000)
    band = conformal.calibrate(values[:2000], np.full(2000, -0.2), 0.9, score)
    assert band.covers(values[2000:], np.full(2000, -0.2)).mean() == pytest.approx(0.9, abs=0.03)


def test_a_decoder_without_error_has_intervals_of_width_zero():
    speed = np.arange(50.0)
    for score in conformal.SCORES:
        low, high = conformal.calibrate(speed, speed, 0.9, score).around(speed)
        assert (low == speed).all() and (high == speed).all()


@pytest.mark.parametrize(("scores", "level", "error", "says"), [
    (np.ones(8), 0.9, DataError, "9 or more"), (np.ones(18), 0.95, DataError, "19 or more"),
    ([], 0.5, DataError, "1 or more"), ([1.0, np.nan], 0.5, DataError, "not finite"),
    ([1.0, -1.0], 0.5, DataError, "negative"), (np.ones((3, 3)), 0.5, DataError, "shape"),
    (np.ones(9), 1.0, ParameterError, "between 0 and 1"), (np.ones(9), 0.0, ParameterError, "between 0 and 1"),
])
def test_refusals_of_the_quantile(scores, level, error, says):
    with pytest.raises(error, match=says):
        conformal.quantile(scores, level)


def test_other_refusals():
    with pytest.raises(ParameterError, match="absolute, scaled"):
        conformal.calibrate(np.ones(9), np.ones(9), 0.5, "normal")
    with pytest.raises(DataError, match="shapes"):
        conformal.calibrate(np.ones(9), np.ones(8), 0.5)
    with pytest.raises(DataError, match="gap of 100 frames"):
        conformal.halves(fold(np.ones(50), np.ones(50), [], []), 100)


def test_halves_are_sessions_or_parts_with_a_gap():
    first, last = conformal.halves(fold(np.ones(90), np.ones(90), [], [], np.repeat([0, 1, 2], 30)), 10)
    assert first.tolist() == [True] * 30 + [False] * 60 and (last == ~first).all()
    first, last = conformal.halves(fold(np.ones(100), np.ones(100), [], []), 20)
    assert np.flatnonzero(last).min() - np.flatnonzero(first).max() > 20 and abs(first.sum() - last.sum()) <= 1


def test_coverage_is_measured_on_the_tested_animal_and_never_taken_for_granted():
    """The tested animal errs three times as much as the validation animal: that calibration has to fall short."""
    rng = np.random.default_rng(4)
    speed, run = rng.uniform(20, 60, 8000), np.tile([0, 1], 4000)
    decoded = speed + 3 * rng.normal(size=8000)
    one = fold(speed, decoded, speed, speed + rng.normal(size=8000), np.repeat([0, 1], 4000), run)
    table, notes = conformal.coverage([one], [0.9], 0)
    by_way = table[table["score"] == "absolute"].set_index("calibrated_on")["coverage"]
    short = 2 * stats.norm.cdf(stats.norm.ppf(0.95) / 3) - 1
    assert notes == [] and by_way[conformal.ACROSS] == pytest.approx(short, abs=0.02)
    assert by_way[conformal.WITHIN] == pytest.approx(0.9, abs=0.02)
    width = table[table["score"] == "absolute"].set_index("calibrated_on")["width"]
    assert width[conformal.WITHIN] == pytest.approx(2 * 3 * stats.norm.ppf(0.95), rel=0.05)
    page = conformal.coverage_table(table, 0.9)
    assert len(page) == 4 and not page.isna().any(axis=None)


def test_folds_that_cannot_be_calibrated_are_named_and_leave_no_nan():
    rng = np.random.default_rng(5)
    speed = rng.uniform(0, 9, 40)
    short = fold(speed, speed, speed, speed)
    still = fold(np.tile(speed, 20), np.tile(speed, 20) + 1, speed, speed + 1, running=np.zeros(800))
    unscored = fold(speed, np.full(40, np.nan), [], [], scores={})
    table, notes = conformal.coverage([short, still, unscored], [0.9], 60)
    assert len(notes) == 1 and "gap of 60 frames" in notes[0]
    assert table["running"].isna().all() and len(table) == 4  # never runs: said as "none"
    page = conformal.coverage_table(table, 0.9)
    assert set(page["running"]) == {"none"} and not page.isna().any(axis=None)
