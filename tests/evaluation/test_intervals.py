"""Intervals: variance in closed form, coverage on data with a known mean, and what is too narrow."""

import numpy as np
import pytest
from scipy import stats

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import statistics


def random_effects(n_animals, n_sessions, between, within, rng):
    return between * rng.normal(size=(n_animals, 1)) + within * rng.normal(size=(n_animals, n_sessions))


def test_t_interval_agrees_with_scipy():
    values = [0.91, 0.95, 0.97, 0.96, 0.98]
    found, theirs = statistics.t_interval(values, 0.9), stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert (found.low, found.high) == (pytest.approx(theirs.low), pytest.approx(theirs.high))
    assert found.estimate == pytest.approx(np.mean(values)) and found.units == {"animal": 5}


def test_what_has_no_interval_is_refused():
    with pytest.raises(DataError, match="2 animals or more"):
        statistics.t_interval([0.9])
    with pytest.raises(DataError, match="not finite"):
        statistics.t_interval([0.9, np.nan])
    for level in (0, 1, 95):
        with pytest.raises(ParameterError, match="level"):
            statistics.t_interval([0.9, 0.8], level)
