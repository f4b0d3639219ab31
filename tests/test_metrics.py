"""Scores against their definitions and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from calcium_decoding import metrics
from calcium_decoding.errors import DataError


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


@pytest.mark.parametrize(("labels", "said"), [([0, 0], "only rest"), ([1, 1], "only running"), ([], "no frames")])
def test_one_class_has_no_auc_and_says_so(labels, said):
    with pytest.raises(DataError, match=said):
        metrics.frame_scores(np.array(labels), np.full(len(labels), 0.5))


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(DataError, match="not finite"):
        metrics.frame_scores(np.array([0, 1]), np.array([0.1, np.nan]))


def test_roc_curve_has_the_area():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 2000)
    p = rng.normal(size=2000) + labels
    x, y = metrics.roc(labels, p, 2001)
    assert np.trapezoid(y, x) == pytest.approx(roc_auc_score(labels, p), abs=2e-3)
    assert (np.diff(y) >= 0).all()
