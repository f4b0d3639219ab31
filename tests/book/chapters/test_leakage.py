"""Scores from nothing: the published split far above chance, the purged one at chance, and where the rest goes."""

import numpy as np
import pytest

from calcium_decoding.errors import LeakError, ParameterError
from calcium_decoding.splits import audit
from decoding_book.chapters import leakage


@pytest.fixture(scope="module")
def scores():
    return leakage.score_schemes(seed=0, draws=4)


def by_scheme(scores, scheme, decoder="1-NN", metric="balanced_accuracy"):
    return scores[(scores["scheme"] == scheme) & (scores["decoder"] == decoder)][metric].to_numpy()


def test_traces_and_label_are_slow_and_know_nothing_of_each_other():
    signal, label = leakage.unrelated(3, n_frames=200_000)
    assert signal.shape == (200_000, 40) and signal.dtype == np.float32
    lag_20 = np.mean(signal[:-20] * signal[20:]) / signal.var()
    assert lag_20 == pytest.approx(np.exp(-1), abs=0.01)
    assert signal.std() == pytest.approx(1, abs=0.02) and signal[0].std() == pytest.approx(1, abs=0.4)
    assert np.bincount(label) / len(label) == pytest.approx([0.1587, 0.6827, 0.1587], abs=0.02)
    correlations = [np.corrcoef(trace, label)[0, 1] for trace in signal.T]
    # Of two independent AR(1) of this length: SD sqrt((1 + a^2) / (1 - a^2) / n).
    keep = np.exp(-2 / 20)
    assert np.abs(correlations).max() < 4 * np.sqrt((1 + keep) / (1 - keep) / 200_000)


def test_the_published_split_scores_as_the_record_says(scores):
    # On record for this recipe: accuracy 0.88, balanced accuracy 0.85 by 1-NN.
    assert by_scheme(scores, "random windows").mean() == pytest.approx(0.85, abs=0.03)
    assert by_scheme(scores, "random windows", metric="accuracy").mean() == pytest.approx(0.88, abs=0.03)
    assert (by_scheme(scores, "random windows", metric="sharing") == 1).all()


def test_a_forest_is_fooled_as_well():
    found = leakage.score_schemes(seed=0, draws=1, n_frames=3000, trees=8)
    assert by_scheme(found, "random windows", "random forest")[0] > 0.55
    assert by_scheme(found, "last part, purged", "random forest")[0] < 0.45


@pytest.mark.parametrize("scheme", ["random pieces", "last part, no gap", "last part, purged"])
def test_what_shares_no_frame_is_at_chance(scores, scheme):
    found = by_scheme(scores, scheme)
    error = found.std(ddof=1) / np.sqrt(len(found))
    assert abs(found.mean() - leakage.CHANCE) < 3.5 * error and error < 0.06
    assert (by_scheme(scores, scheme, metric="sharing") == 0).all()


@pytest.mark.parametrize("scheme", leakage.SCHEMES)
def test_each_window_is_dealt_at_most_once_and_gaps_are_as_said(scheme):
    train, test = leakage.deal(scheme, 6000, 32, seed=4)
    assert not set(train) & set(test) and min(train.min(), test.min()) >= 31 and max(train.max(), test.max()) < 6000
    gap = np.abs(test[:, None] - train).min() - 32
    assert gap == {"random windows": -31, "random pieces": 0, "last part, no gap": 0, "last part, purged": 232}[scheme]
    assert 0.13 < len(test) / (len(train) + len(test)) < 0.18
    if scheme == "random windows":
        assert len(train) + len(test) == 6000 - 31


def test_score_falls_with_distance_to_chance_whatever_the_window():
    found = leakage.score_by_distance(seed=0, draws=3, lengths=(1, 32), distances=(1, 8, 200), n_test=400)
    mean = found.groupby(["window_frames", "distance_frames"])["balanced_accuracy"].mean().unstack()
    assert (mean[1] > 0.75).all() and (mean[8] < mean[1] - 0.1).all() and (mean[200] < 0.42).all()
    # A single frame shares nothing, and scores as a window does that shares 31 of 32 frames.
    assert mean.loc[1, 1] == pytest.approx(mean.loc[32, 1], abs=0.08)


def test_nearest_neighbour_by_distance_agrees_with_scikit_learn():
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.neighbors import KNeighborsClassifier

    found = leakage.score_by_distance(seed=5, draws=1, n_frames=700, lengths=(4,), distances=(6,), n_test=25)
    signal, label = leakage.unrelated(5, 700)
    windows = np.stack([signal[t - 3:t + 1].ravel() for t in range(3, 700)])
    test = np.random.default_rng(5).choice(len(windows), 25, replace=False)
    decoded = []
    for i in test:
        far = np.abs(np.arange(len(windows)) - i) >= 6
        decoded.append(KNeighborsClassifier(1).fit(windows[far], label[3:][far]).predict(windows[i:i + 1])[0])
    assert found["balanced_accuracy"][0] == pytest.approx(balanced_accuracy_score(label[3:][test], decoded))


@pytest.mark.parametrize(("scheme", "embargo", "refused"), [
    ("random windows", 0, "895 of 895 test samples"), ("random pieces", 0, ""), ("last part, no gap", 0, ""),
    ("random pieces", 20, "test samples"), ("last part, no gap", 20, "test samples"), ("last part, purged", 20, "")])
def test_the_audit_refuses_the_schemes_that_leak(scheme, embargo, refused):
    train, test = (leakage.intervals(ends, 32) for ends in leakage.deal(scheme, 6000, 32, seed=0))
    if not refused:
        apart = audit.check_samples(train, test, embargo)
        assert apart == 232 or scheme != "last part, purged"
        return
    with pytest.raises(LeakError, match=refused):
        audit.check_samples(train, test, embargo)


def test_an_unknown_scheme_is_refused():
    with pytest.raises(ParameterError, match="random windows"):
        leakage.deal("random", 1000, 32, 0)
