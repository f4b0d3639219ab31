"""Intervals: variance in closed form, coverage on data with a known mean, and what is too narrow."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import confidence


def as_table(scores):
    """A table of scores of shape (n_animals, n_sessions); sessions are called alike in every animal."""
    animals, sessions = np.indices(scores.shape)
    return pd.DataFrame({"animal": animals.ravel(), "session": sessions.ravel(), "auc": scores.ravel(),
                         "recording": np.arange(scores.size)})


def random_effects(n_animals, n_sessions, between, within, rng):
    return between * rng.normal(size=(n_animals, 1)) + within * rng.normal(size=(n_animals, n_sessions))


def test_variance_of_the_draws_in_closed_form():
    scores = random_effects(5, 8, 0.7, 1.0, np.random.default_rng(0))
    draws = confidence.bootstrap_draws(as_table(scores), "auc", n_draws=40_000)
    # Variance of the mean of 5 drawn animals: that of the animal means, and of 8 drawn sessions within an animal.
    expected = (scores.mean(axis=1).var() + (scores.var(axis=1) / 8).mean()) / 5
    assert draws.var() == pytest.approx(expected, rel=0.04)  # over 5 SD
    assert draws.mean() == pytest.approx(scores.mean(), abs=5 * np.sqrt(expected / 40_000))


def test_two_animals_of_one_session_by_enumeration():
    draws = confidence.bootstrap_draws(as_table(np.array([[0.0], [1.0]])), "auc", n_draws=20_000)
    values, counts = np.unique(draws, return_counts=True)
    assert values.tolist() == [0, 0.5, 1]
    np.testing.assert_allclose(counts / 20_000, [0.25, 0.5, 0.25], atol=0.02)


def test_an_animal_drawn_twice_has_its_sessions_drawn_twice():
    # Animals alike, so only sessions vary: were both drawn alike, all draws would be multiples of 1/2.
    draws = confidence.bootstrap_draws(as_table(np.array([[0.0, 1.0], [0.0, 1.0]])), "auc", n_draws=20_000)
    values, counts = np.unique(draws, return_counts=True)
    np.testing.assert_allclose(values, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(counts / 20_000, np.array([1, 4, 6, 4, 1]) / 16, atol=0.02)


def test_coverage_is_that_which_the_docstring_states():
    """True mean 0; animals differ more than their sessions do."""
    rng = np.random.default_rng(1)
    n, covered = 250, {}
    for n_animals in (5, 20):
        for i in range(n):
            scores = random_effects(n_animals, 6, 1.0, 0.5, rng)
            table = as_table(scores)
            intervals = {
                "hierarchical": confidence.hierarchical_bootstrap(table, "auc", n_draws=400, seed=i),
                "naive": confidence.hierarchical_bootstrap(table, "auc", levels=("recording",), n_draws=400, seed=i),
                "t": confidence.t_interval(scores.mean(axis=1))}
            for name, found in intervals.items():
                key = name, n_animals
                covered[key] = covered.get(key, 0) + (found.low <= 0 <= found.high) / n
    assert covered["hierarchical", 5] == pytest.approx(0.84, abs=0.07)  # 3 SD
    assert covered["hierarchical", 20] == pytest.approx(0.92, abs=0.05)
    assert covered["t", 5] == pytest.approx(0.95, abs=0.045) and covered["t", 20] == pytest.approx(0.95, abs=0.045)
    assert covered["naive", 5] < 0.65 and covered["naive", 20] < 0.65  # sessions taken for animals


def test_t_interval_agrees_with_scipy():
    values = [0.91, 0.95, 0.97, 0.96, 0.98]
    found, theirs = confidence.t_interval(values, 0.9), stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert (found.low, found.high) == (pytest.approx(theirs.low), pytest.approx(theirs.high))
    assert found.estimate == pytest.approx(np.mean(values)) and found.units == {"animal": 5}


def test_an_animal_counts_once_however_many_sessions_and_a_session_however_many_folds():
    table = pd.DataFrame({"animal": list("aaaab"), "session": [1, 1, 1, 2, 1], "auc": [0.5, 0.6, 0.7, 0.8, 1.0]})
    found = confidence.hierarchical_bootstrap(table, "auc")
    assert found.estimate == pytest.approx(((0.6 + 0.8) / 2 + 1.0) / 2)
    assert found.units == {"animal": 2, "session": 3}
    assert str(found).startswith("0.850 (95 % interval 0.") and str(found).endswith("; 2 animals, 3 sessions)")
    assert 0.6 <= found.low < 0.85 < found.high <= 1.0


def test_three_levels_another_statistic_and_the_seed():
    rng = np.random.default_rng(2)
    table = pd.DataFrame({"animal": np.repeat(list("abc"), 12), "session": np.tile(np.repeat([1, 2], 6), 3),
                          "block": np.tile(np.arange(6), 6), "auc": rng.random(36)})
    levels = ("animal", "session", "block")
    found = confidence.hierarchical_bootstrap(table, "auc", levels, np.median, n_draws=500, seed=3)
    medians = table.groupby(["animal", "session"])["auc"].median().groupby("animal").median()
    assert found.estimate == pytest.approx(medians.median())
    assert found.units == {"animal": 3, "session": 6, "block": 36} and found.low < found.estimate < found.high
    assert found == confidence.hierarchical_bootstrap(table, "auc", levels, np.median, n_draws=500, seed=3)
    assert found != confidence.hierarchical_bootstrap(table, "auc", levels, np.median, n_draws=500, seed=4)
    narrower = confidence.hierarchical_bootstrap(table, "auc", levels, np.median, n_draws=500, seed=3, level=0.5)
    assert found.low < narrower.low < narrower.high < found.high


def test_what_has_no_interval_is_refused():
    table = as_table(np.arange(6.0).reshape(3, 2))
    for bad, said in [(table[table["animal"] == 0], "1 animal"), (table.drop(columns="session"), "also session"),
                      (table.assign(auc=[0, 1, 2, np.nan, 4, 5]), "not finite"), (table[:0], "0 animal"),
                      (table.assign(animal=["a", None, "b", "b", "c", "c"]), "without animal")]:
        with pytest.raises(DataError, match=said):
            confidence.hierarchical_bootstrap(bad, "auc")
    with pytest.raises(DataError, match="2 animals or more"):
        confidence.t_interval([0.9])
    with pytest.raises(DataError, match="not finite"):
        confidence.t_interval([0.9, np.nan])
    with pytest.raises(ParameterError, match="n_draws"):
        confidence.hierarchical_bootstrap(table, "auc", n_draws=0)
    for level in (0, 1, 95):
        with pytest.raises(ParameterError, match="level"):
            confidence.hierarchical_bootstrap(table, "auc", level=level)
        with pytest.raises(ParameterError, match="level"):
            confidence.t_interval([0.9, 0.8], level)
