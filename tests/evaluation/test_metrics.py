"""Scores against their definitions and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from calcium_decoding.errors import DataError
from calcium_decoding.evaluation import metrics


def test_auc_is_the_chance_that_a_running_frame_ranks_higher():
    rng = np.random.default_rng(0)
    labels, p = rng.integers(0, 2, 80), rng.random(80).round(1)  # rounding makes ties
    pairs = [(p[i] > p[j]) + 0.5 * (p[i] == p[j]) for i in np.flatnonzero(labels) for j in np.flatnonzero(labels == 0)]
    assert metrics.frame_scores(labels, p)["auc"] == pytest.approx(np.mean(pairs), abs=1e-12)


def test_accuracies_by_hand():
    scores = metrics.frame_scores(np.array([1, 1, 1, 0]), np.array([0.9, 0.8, 0.2, 0.1]))
    assert scores["accuracy"] == 0.75
    assert scores["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert scores["run_share"] == 0.75


def test_average_precision_and_brier_by_hand():
    # Ranked by p the labels are 1, 0, 1, 0: precision is 1/1 at the first running frame and 2/3 at the second.
    scores = metrics.frame_scores(np.array([0, 1, 0, 1]), np.array([0.6, 0.9, 0.1, 0.4]))
    assert scores["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert scores["brier"] == pytest.approx((0.6**2 + 0.1**2 + 0.1**2 + 0.6**2) / 4)


@pytest.mark.parametrize("share", [0.1, 0.8])
def test_a_decoder_that_knows_nothing_has_the_prevalence_as_average_precision(share):
    rng = np.random.default_rng(2)
    labels = (rng.random(40_000) < share).astype(np.uint8)
    scores = metrics.frame_scores(labels, rng.random(len(labels)))
    assert scores["average_precision"] == pytest.approx(share, abs=0.01)
    constant = metrics.frame_scores(labels, np.full(len(labels), labels.mean()))
    assert constant["average_precision"] == pytest.approx(constant["run_share"])
    assert constant["brier"] == pytest.approx(constant["run_share"] * (1 - constant["run_share"]))


@pytest.mark.parametrize("score", [metrics.frame_scores])
@pytest.mark.parametrize(("labels", "said"), [([0, 0], "only rest"), ([1, 1], "only running"), ([], "no frames")])
def test_one_class_has_no_score_and_says_so(labels, said, score):
    with pytest.raises(DataError, match=said):
        score(np.array(labels), np.full(len(labels), 0.5))


@pytest.mark.parametrize("score", [metrics.frame_scores])
@pytest.mark.parametrize(("labels", "p_run", "said"), [
    ([0, 1], [0.1, np.nan], "not finite"),
    ([0, 1], [0.1, 1.2], "0.1 to 1.2"),
    ([0, 1], [-3.0, 0.5], "-3 to 0.5"),
    ([0, 1, 1], [0.1, 0.2], r"\(3,\) and \(2,\)"),
    ([0, 2], [0.1, 0.2], "values 0, 2"),
])
def test_what_is_no_label_or_probability_is_refused(labels, p_run, said, score):
    with pytest.raises(DataError, match=said):
        score(np.array(labels), np.array(p_run))


def test_roc_curve_has_the_area():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 2000)
    p = rng.normal(size=2000) + labels
    x, y = metrics.roc(labels, p, 2001)
    assert np.trapezoid(y, x) == pytest.approx(roc_auc_score(labels, p), abs=2e-3)
    assert (np.diff(y) >= 0).all()


def test_speed_scores_against_the_formula():
    rng = np.random.default_rng(0)
    running = (rng.random(400) > 0.6).astype(np.uint8)
    speed = running * rng.gamma(4, 3, 400)
    predicted = speed + rng.normal(size=400)
    scores, notes = metrics.speed_scores(speed, predicted, running, (0.2, 11.0))

    def r2(y, p):
        return 1 - np.sum((y - p) ** 2) / np.sum((y - y.mean()) ** 2)

    run = running == 1
    said = np.where(run, 11.0, 0.2)
    expected = {"r2": r2(speed, predicted), "mae": np.mean(np.abs(speed - predicted)),
                "r2_running": r2(speed[run], predicted[run]), "mae_running": np.mean(np.abs(speed - predicted)[run]),
                "r2_class_mean": r2(speed, said), "mae_class_mean": np.mean(np.abs(speed - said))}
    assert scores == pytest.approx(expected) and notes == ()
    # Most of it is run against rest.
    assert scores["r2_class_mean"] > 0.5 > metrics.speed_scores(speed[run], said[run])[0]["r2"]


def test_a_negative_r2_is_reported():
    scores, _ = metrics.speed_scores(np.array([1.0, 2, 3]), np.array([3.0, 2, 1]))
    assert scores["r2"] == pytest.approx(-3.0) and scores["mae"] == pytest.approx(4 / 3)


def test_scores_of_speed_that_do_not_exist_are_left_out_with_a_reason():
    speed, flat = np.array([0.0, 1, 2, 5]), np.array([0.0, 0, 4, 4])
    scores, notes = metrics.speed_scores(speed, speed + 1)
    assert set(scores) == {"r2", "mae"} and "no run label" in notes[0]
    scores, notes = metrics.speed_scores(speed, speed + 1, np.zeros(4))
    assert set(scores) == {"r2", "mae"} and notes == ("no running frames: no R2 within running",)
    scores, notes = metrics.speed_scores(flat, flat + 1, np.array([0, 0, 1, 1]))
    assert set(scores) == {"r2", "mae", "mae_running"} and notes[0].startswith("one speed only in running frames")


@pytest.mark.parametrize(("speed", "predicted", "said"), [
    ([2.0, 2.0], [1.0, 3.0], "only speed 2"), ([], [], "no frames"), ([1.0, np.nan], [1.0, 2.0], "not finite"),
    ([1.0, 2.0], [1.0, np.inf], "predicted speed"), ([1.0, 2.0], [1.0], "shapes")])
def test_speeds_that_cannot_be_scored_are_refused(speed, predicted, said):
    with pytest.raises(DataError, match=said):
        metrics.speed_scores(np.array(speed), np.array(predicted))
