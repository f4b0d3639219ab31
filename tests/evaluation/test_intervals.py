"""Intervals of a mean over animals."""

import importlib.util
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from calcium_decoding.errors import DataError
from calcium_decoding.evaluation import statistics
from tests.conftest import ROOT


def test_t_interval_agrees_with_scipy():
    values = [0.91, 0.95, 0.97, 0.96, 0.98]
    found, theirs = statistics.t_interval(values), stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(theirs.low), pytest.approx(theirs.high))
    assert found.estimate == pytest.approx(np.mean(values))


def test_what_has_no_interval_is_refused():
    with pytest.raises(DataError, match="2 animals or more"):
        statistics.t_interval([0.9])
    with pytest.raises(DataError, match="not finite"):
        statistics.t_interval([0.9, np.nan])


def carried(values, to, back):
    """Mean and Student's half width on another scale, by the slope of the scale at the mean, taken numerically."""
    mean, half = np.mean(values), stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    slope = (to(mean + 1e-6) - to(mean - 1e-6)) / 2e-6
    return back(to(mean) - half * slope), back(to(mean) + half * slope)


@pytest.mark.parametrize(("values", "bounds", "to", "back"), [
    ([0.99, 0.97, 0.8], (0, 1), special.logit, special.expit),
    ([0.9, 0.5, 0.7], (-1, 1), np.arctanh, np.tanh),
    ([0.4, -0.9, 0.6], (-np.inf, 1), lambda x: -np.log(1 - x), lambda y: 1 - np.exp(-y)),
    ([2.0, 0.1, 4.0], (0, np.inf), np.log, np.exp),
])
def test_within_bounds_the_interval_is_made_on_a_scale_without(values, bounds, to, back):
    found = statistics.t_interval(values, bounds)
    assert (found.low, found.high) == pytest.approx(carried(values, to, back), rel=1e-5)
    assert found.estimate == pytest.approx(np.mean(values))


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_no_interval_leaves_its_bounds(values):
    low, high = statistics.t_interval(values, (0, 1))[1:]
    assert 0 <= low <= np.mean(values) + 1e-9 and np.mean(values) - 1e-9 <= high <= 1
    assert statistics.t_interval(np.array(values) - 1, (-np.inf, 0)).high <= 0


def test_values_on_a_bound_have_an_interval_and_values_beyond_are_refused():
    found = statistics.t_interval([1.0, 1.0, 0.85], (0, 1))
    assert 0 < found.low < 0.85 and 0.95 < found.high < 1
    assert statistics.t_interval([1.0, 1.0], (0, 1)) == (1, 1, 1)
    rounded = statistics.t_interval([np.nextafter(1, 2), 1.0, 0.85], (0, 1))  # as a mean of ones may be
    assert rounded == found
    with pytest.raises(DataError, match="values from 0 to 1"):
        statistics.t_interval([1 + 1e-9, 0.9], (0, 1))
    with pytest.raises(DataError, match="values from 0 to 1"):
        statistics.t_interval([0.5, 1.3], (0, 1))


@pytest.mark.parametrize(("metric", "bounds", "of_difference"), [
    ("auc_train", (0, 1), (-1, 1)), ("balanced_accuracy", (0, 1), (-1, 1)), ("macro_f1", (0, 1), (-1, 1)),
    ("correlation", (-1, 1), (-2, 2)), ("r2_running", (-np.inf, 1), (-np.inf, np.inf)),
    ("mae", (0, np.inf), (-np.inf, np.inf)), ("seconds", (-np.inf, np.inf), (-np.inf, np.inf))])
def test_bounds_by_the_name_of_a_score(metric, bounds, of_difference):
    assert statistics.bounds_of(metric) == bounds and statistics.bounds_of(metric, difference=True) == of_difference


def test_the_coverage_is_what_the_docstring_says():
    """Ranges of three and five animals, by simulation: 600 intervals of each kind, three standard errors of a share."""
    spec = importlib.util.spec_from_file_location("interval_coverage", ROOT / "benchmarks" / "interval_coverage.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    said = " ".join(statistics.t_interval.__doc__.split())
    stated = {kind: [float(x) for x in re.search(rf"(0\.\d+) to (0\.\d+) of {words}", said).groups()]
              for kind, words in (("AUC about", "AUCs whose logits"), ("R2", "R2 about"), ("less", "differences of"))}
    alone = [float(x) for x in re.search(r"Student's alone has (0\.\d+) to (0\.\d+)", said).groups()]
    drawn = [float(x) for x in re.search(r"over animals has (0\.\d+) to (0\.\d+)", said).groups()]
    for kind in module.KINDS:
        for n in module.ANIMALS:
            found, error = module.coverage(kind, n, 600, seed=1), 0.03
            assert found["bounded, outside"] == 0, (kind, n)
            if "fails" in kind:
                assert found["bounded"] == pytest.approx(0.7, abs=0.03 + error), (kind, n)
                continue
            low, high = next(of for words, of in stated.items() if words in kind)
            assert low - error <= found["bounded"] <= high + error, (kind, n)
            assert drawn[0] - 2 * error <= found["bootstrap"] <= drawn[1] + 2 * error, (kind, n)
            if "AUC about" in kind:
                assert alone[0] - error <= found["plain"] <= alone[1] + error, (kind, n)
