"""The fast refit against scikit-learn fitted again for every draw, and what its p-value means."""

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from scipy.ndimage import uniform_filter1d
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from calcium_decoding import preprocessing
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import linear_null, nulls

RATE_HZ = 30.0


def animal(lengths, link=0.0, n_roi=6, seed=0, name="a"):
    """Sessions of smooth noise; ``link`` of the run label is added to the first ROI."""
    rng = np.random.default_rng(seed)
    recordings = []
    for i, n in enumerate(lengths):
        signal = 100 + np.cumsum(rng.normal(size=(n, n_roi)), axis=0) / 5 + rng.normal(size=(n, n_roi))
        run = (uniform_filter1d(rng.normal(size=n), 12) > 0).astype(np.uint8)
        signal[:, 0] += link * run
        signal *= np.geomspace(0.1, 10, n_roi)  # ROIs of different scale, so that standardising matters
        recordings.append(Recording(signal, {"run": run}, RATE_HZ, name, f"s{i}", simulated=True))
    return Dataset("d", tuple(recordings))


def brute_force(dataset, penalty=1.0, only=None):
    """AUC of each session by scikit-learn, fitted on the frames of the others; rounding must not part equal frames."""
    found = []
    for test in dataset.recordings if only is None else [dataset.recordings[i] for i in only]:
        train = [r for r in dataset.recordings if r is not test]
        model = make_pipeline(StandardScaler(), Ridge(alpha=penalty))
        model.fit(np.concatenate([r.signal for r in train]).astype(float), np.concatenate([r.run for r in train]))
        found.append(roc_auc_score(test.run, model.predict(test.signal.astype(float)).round(12)))
    return np.array(found)


@pytest.mark.parametrize("null", sorted(set(nulls.NULLS) - {"published"}))
@pytest.mark.parametrize("lengths", [(200, 200, 200, 200, 200), (200, 150, 260, 181, 150)])
def test_every_draw_is_what_scikit_learn_refitted_on_that_draw_gives(null, lengths):
    dataset, n_draws, seed = animal(lengths, link=1.0), 6, 11
    found = linear_null.refit(dataset, "a", null, n_draws, seed, penalty=3.0, jobs=1, label="")
    chosen = nulls.NULLS[null]
    by_session = brute_force(chosen.observed(dataset), 3.0)
    np.testing.assert_allclose(found.by_session, by_session, rtol=0, atol=1e-9)
    assert found.observed == pytest.approx(by_session.mean(), abs=1e-9)
    expected = [brute_force(draw, 3.0).mean() for draw in chosen.draws(dataset, n_draws, seed)]
    np.testing.assert_allclose(found.null_aucs, expected, rtol=0, atol=1e-9)


def test_the_published_permutation_too():
    recordings = [r for i, order in enumerate(nulls.PUBLISHED_ORDER)
                  for r in animal([80] * len(order), seed=i, name=f"mouse {i + 1}").recordings]
    dataset = Dataset("study", tuple(recordings))
    permuted = nulls.published_permutation(dataset)
    with pytest.raises(DataError, match="the study's"):  # which needs all animals at once
        linear_null.refit(dataset, "mouse 2", "published", 1, label="")
    mouse = Dataset("one", permuted.of_animal("mouse 2"))
    found = linear_null.refit(mouse, "mouse 2", "repairing", 1, label="")
    np.testing.assert_allclose(found.by_session, brute_force(mouse), atol=1e-9)


def test_scores_with_ties_count_half():
    """Two ROIs that are on or off: four scores, so most frames tie."""
    rng = np.random.default_rng(2)
    recordings = tuple(
        Recording(rng.integers(0, 2, (60, 2)), {"run": rng.integers(0, 2, 60)}, RATE_HZ, "a", f"s{i}")
        for i in range(4))
    dataset = Dataset("ties", recordings)
    found = linear_null.refit(dataset, "a", n_draws=1, label="")
    np.testing.assert_allclose(found.by_session, brute_force(dataset), atol=1e-9)


@pytest.mark.parametrize("where", ["everywhere", "but in one session"])
def test_a_constant_roi_has_no_weight(where):
    dataset = animal([150] * 4, link=2.0)
    signals = [r.signal.copy() for r in dataset.recordings]
    for signal in signals[0 if where == "everywhere" else 1 :]:
        signal[:, 3] = 7.3
    dataset = replace(dataset, recordings=tuple(
        replace(r, signal=s) for r, s in zip(dataset.recordings, signals, strict=True)))
    found = linear_null.refit(dataset, "a", n_draws=2, label="")
    np.testing.assert_allclose(found.by_session, brute_force(dataset), atol=1e-9)


def test_a_recipe_is_applied_to_whole_sessions():
    dataset = animal([300, 250, 280, 260], link=1.0)
    recipe = {"name": "published", "rate_hz": RATE_HZ, "baseline_frames": 60}
    ready = [preprocessing.build(**recipe).transform(r.signal) for r in dataset.recordings]
    by_hand = replace(dataset, recordings=tuple(
        replace(r, signal=s) for r, s in zip(dataset.recordings, ready, strict=True)))
    expected = [brute_force(nulls.repair_sessions(by_hand, (4, k))).mean() for k in range(3)]
    found = linear_null.refit(dataset, "a", n_draws=3, seed=4, recipe=recipe, label="")
    np.testing.assert_allclose(found.by_session, brute_force(by_hand), atol=1e-9)
    np.testing.assert_allclose(found.null_aucs, expected, atol=1e-9)


def test_standardising_by_training_frames_is_the_decoders_own():
    """The recipe 'scaled' is the same decoder as none, since it standardises by the training frames of each fold."""
    dataset = animal([120] * 3, link=1.0)
    scaled = linear_null.refit(dataset, "a", n_draws=2, recipe={"name": "scaled", "rate_hz": RATE_HZ}, label="")
    np.testing.assert_array_equal(scaled.null_aucs, linear_null.refit(dataset, "a", n_draws=2, label="").null_aucs)


def test_results_do_not_depend_on_jobs_and_repeat_with_the_seed():
    dataset = animal([90] * 5)
    one, two, other = (linear_null.refit(dataset, "a", n_draws=120, seed=s, jobs=j, label="").null_aucs
                       for s, j in ((3, 1), (3, 2), (4, 2)))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_permuting_finds_the_share_of_all_permutations():
    """With all orders of five sessions listed, the Monte Carlo p-value has to come near the exact one."""
    dataset = animal([100] * 5, link=0.35, seed=5)
    signals, labels = [r.signal for r in dataset.recordings], [r.run for r in dataset.recordings]
    orders = np.array(list(permutations(range(5))))
    exact_values = linear_null.Sessions(signals, labels).auc(orders, label="").mean(axis=1)
    exact = np.mean(exact_values >= exact_values[0])  # the first order is the real one
    n_draws = 1000
    found = linear_null.refit(dataset, "a", "permuting", n_draws, seed=1, label="").p_value()
    assert 0.02 < exact < 0.5
    assert abs(found - exact) < 4 * math.sqrt(exact * (1 - exact) / n_draws) + 1 / n_draws


def test_a_planted_link_is_found_and_its_absence_is_not():
    linked = linear_null.refit(animal([200] * 6, link=6.0), "a", n_draws=99, label="")
    assert linked.observed > 0.9 and linked.p_value() == 0.01
    assert abs(np.mean(linked.null_aucs) - 0.5) < 0.1
    absent = linear_null.refit(animal([200] * 6), "a", n_draws=99, label="")
    assert absent.p_value() > 0.05


@pytest.mark.parametrize(("null", "n_sessions", "expected"), [
    ("repairing", 2, 1 / 2), ("repairing", 3, 1 / 3), ("repairing", 4, 1 / 10), ("repairing", 5, 1 / 45),
    ("permuting", 3, 1 / 6)])
def test_p_is_never_below_one_over_the_number_of_pairings(null, n_sessions, expected):
    """2, 9 and 44 orders without fixed points, plus the real one: more draws add no evidence."""
    found = linear_null.refit(animal([200] * n_sessions, link=5.0), "a", null, 400, label="")
    assert found.smallest_p == pytest.approx(expected)
    assert found.p_value() >= expected
    if null == "repairing":
        assert found.p_value() == pytest.approx(expected)


def test_a_linear_shift_uses_the_conservative_p_value():
    found = linear_null.refit(animal([200] * 3, link=5.0), "a", "linear_shift", 40, label="")
    assert found.observed > found.null_aucs.max()
    assert found.p_value() == pytest.approx(1 / 21)


def test_refusals():
    dataset = animal([100] * 3)
    with pytest.raises(ParameterError, match="null"):
        linear_null.refit(dataset, "a", "reparing")
    with pytest.raises(DataError, match="no animal b"):
        linear_null.refit(dataset, "b")
    with pytest.raises(DataError, match="two"):
        linear_null.refit(animal([100]), "a")
    with pytest.raises(ParameterError, match="penalty"):
        linear_null.refit(dataset, "a", penalty=0.0)
    with pytest.raises(ParameterError, match="n_draws"):
        linear_null.refit(dataset, "a", n_draws=0)
    parts = replace(dataset, recordings=tuple(
        replace(r, session="s", part=r.session) for r in dataset.recordings))
    with pytest.raises(DataError, match="parts"):
        linear_null.refit(parts, "a")


def test_an_outlier_that_no_label_can_explain_is_refused():
    dataset = animal([100] * 3, link=2.0)
    signal = dataset.recordings[0].signal.copy()
    signal[5, 0] = 1e9
    dataset = replace(dataset, recordings=(replace(dataset.recordings[0], signal=signal), *dataset.recordings[1:]))
    with pytest.raises(DataError, match="outliers"):
        linear_null.refit(dataset, "a", n_draws=2, label="")


def test_a_session_with_one_class_trains_but_is_left_out_of_the_mean():
    dataset = animal([120] * 5, link=2.0)
    rest = replace(dataset.recordings[2], behaviour={"run": np.zeros(120, int)})
    dataset = replace(dataset, recordings=(*dataset.recordings[:2], rest, *dataset.recordings[3:]))
    found = linear_null.refit(dataset, "a", n_draws=4, seed=2, label="")
    assert found.one_class == ("a/s2",) and np.isnan(found.by_session[2])
    for draw, value in zip((dataset, *(nulls.repair_sessions(dataset, (2, k)) for k in range(4))),
                           (found.observed, *found.null_aucs), strict=True):
        scored = [i for i, r in enumerate(draw.recordings) if r.run.any()]
        assert value == pytest.approx(brute_force(draw, only=scored).mean(), abs=1e-9)


def test_no_session_with_both_classes_is_refused():
    dataset = animal([50] * 3)
    dataset = replace(dataset, recordings=tuple(
        replace(r, behaviour={"run": np.full(50, i % 2)}) for i, r in enumerate(dataset.recordings)))
    with pytest.raises(DataError, match="both rest and running"):
        linear_null.refit(dataset, "a", n_draws=2, label="")
