"""Scores of footsteps and kinematics against scikit-learn, by hand, and in simulation."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation.metrics import footsteps
from calcium_decoding.experiments.stored import Outcome
from calcium_decoding.preprocessing.windows import CLASSES
from decoding_book.chapters.bilateral import summaries
from decoding_book.chapters.bilateral.study import Result


@pytest.fixture
def decoded():
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 300, p=[0.5, 0.3, 0.2])
    raw = rng.random((300, 3)) + 0.5 * np.eye(3)[labels]
    return labels, raw / raw.sum(1, keepdims=True)


def test_class_scores_are_those_of_scikit_learn(decoded):
    labels, p = decoded
    found, notes = footsteps.footstep_scores(labels, p)
    decided = p.argmax(1)
    assert notes == ()
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels, decided))
    assert found["balanced_accuracy"] == pytest.approx(metrics.recall_score(labels, decided, average="macro"))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(labels, decided, average="macro"))
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(labels, p, multi_class="ovr", average="macro"))
    for i, name in enumerate(CLASSES):
        # By hand: share of pairs of a frame of the class and another one that are in the right order.
        inside, outside = p[labels == i, i], p[labels != i, i]
        pairs = (inside[:, None] > outside).mean() + 0.5 * (inside[:, None] == outside).mean()
        assert found[f"auc_{name}"] == pytest.approx(pairs)


def test_one_foot_against_the_rest_stands_beside_the_majority(decoded):
    labels, p = decoded
    found, _ = footsteps.foot_scores(labels, p[:, 2], "ipsilateral")
    steps = labels == 2
    assert found["ipsilateral_majority"] == pytest.approx(1 - steps.mean())
    assert found["ipsilateral_auc"] == pytest.approx(metrics.roc_auc_score(steps, p[:, 2]))
    assert found["ipsilateral_f1"] == pytest.approx(metrics.f1_score(steps, p[:, 2] > 0.5))
    assert found["ipsilateral_balanced_accuracy"] == pytest.approx(
        metrics.balanced_accuracy_score(steps, p[:, 2] > 0.5))


def test_what_is_not_defined_is_named_and_never_nan():
    labels = np.array([0, 0, 1, 1])
    found, notes = footsteps.footstep_scores(labels, np.eye(3)[[0, 1, 1, 0]])
    assert found.keys() == {"accuracy", "recall_none", "recall_contralateral", "auc_none", "auc_contralateral"}
    assert len(notes) == 1 and "ipsilateral" in notes[0]
    found, notes = footsteps.footstep_scores(np.zeros(4, int), np.eye(3)[[0, 1, 1, 0]])
    assert found.keys() == {"accuracy", "recall_none"} and any("no AUC" in note for note in notes)
    found, notes = footsteps.foot_scores(labels, np.ones(4), "ipsilateral")
    assert found.keys() == {"ipsilateral_accuracy", "ipsilateral_majority"} and "no frames" in notes[0]


def test_kinematics_are_scored_by_limb_and_variable():
    rng = np.random.default_rng(1)
    true = rng.standard_normal((200, 4))
    predicted = true + rng.standard_normal((200, 4)) * [0.1, 0.5, 1.0, 2.0]
    found, notes = footsteps.kinematic_scores(true, predicted)
    each = metrics.r2_score(true, predicted, multioutput="raw_values")
    assert notes == ()
    assert found["r2_contra_velocity_mm_s"] == pytest.approx(each[1])
    assert found["r2_contralateral"] == pytest.approx(each[:2].mean())
    assert found["r2_ipsilateral"] == pytest.approx(each[2:].mean())
    assert found["r2"] == pytest.approx(each.mean())
    assert footsteps.kinematic_scores(true, np.tile(true.mean(0), (200, 1)))[0]["r2"] == pytest.approx(0)
    true[:, 3] = 4.0
    found, notes = footsteps.kinematic_scores(true, predicted)
    assert "r2_ipsilateral" not in found and "r2" not in found and "r2_contralateral" in found
    assert "ipsi_velocity_mm_s" in notes[0]


def test_confusion_has_a_row_a_true_class():
    p = np.eye(3)[[0, 1, 1, 1, 2]]
    np.testing.assert_allclose(footsteps.confusion([0, 0, 1, 1, 1], p), [[0.5, 0.5, 0], [0, 2 / 3, 1 / 3], [0, 0, 0]])


def test_the_block_bootstrap_covers_the_mean_of_an_autocorrelated_series():
    """Blocks shorter than the memory of the series would cover far too rarely; those of the right length do not."""
    rng, covered, short = np.random.default_rng(2), 0, 0
    for draw in range(120):
        shocks = rng.standard_normal(1200)
        series = np.empty(1200)
        series[0] = shocks[0]
        for t in range(1, 1200):
            series[t] = 0.9 * series[t - 1] + shocks[t]

        def mean(rows, series=series):
            return float(series[rows].mean())

        interval = footsteps.block_bootstrap(mean, 1200, 80, 150, seed=draw)
        covered += interval.low <= 0 <= interval.high
        naive = footsteps.block_bootstrap(mean, 1200, 1, 150, seed=draw)
        short += naive.low <= 0 <= naive.high
    assert covered / 120 > 0.82
    assert short / 120 < 0.6


def test_the_bootstrap_leaves_out_draws_without_a_class_and_refuses_when_most_are(decoded):
    labels, p = decoded

    def balanced(rows):
        return footsteps.balanced_accuracy_of(labels[rows], p.argmax(1)[rows])

    interval = footsteps.block_bootstrap(balanced, 300, 30, 200)
    assert interval.low < interval.estimate < interval.high
    assert interval.estimate == pytest.approx(footsteps.footstep_scores(labels, p)[0]["balanced_accuracy"])
    with pytest.raises(DataError, match="bootstrap"):
        footsteps.block_bootstrap(lambda rows: None, 300, 30, 20)
    with pytest.raises(ParameterError, match="block_frames"):
        footsteps.block_bootstrap(balanced, 300, 200)


@pytest.mark.parametrize("labels, p", [([0, 1], np.ones((3, 3))), ([0, 3], np.ones((2, 3))),
                                       ([0, 1], np.full((2, 3), np.nan)), ([], np.ones((0, 3)))])
def test_what_cannot_be_scored_is_refused(labels, p):
    with pytest.raises(DataError):
        footsteps.footstep_scores(np.array(labels, int), p)


def made_results():
    """Two animals, two blocks, two seeds; the LSTM is 0.1 behind on one animal and 0.3 on the other; a linear model."""
    results = []
    for animal, behind in (("a", 0.1), ("b", 0.3)):
        for block in (0, 2):
            for seed in (0, 1):
                base = 0.6 + 0.05 * block + 0.01 * seed
                for model, score in (("hybrid", base), ("lstm", base - behind - 0.02 * seed), ("logistic", 0.5)):
                    if model != "logistic" or seed == 0:
                        names = {"animal": animal, "block": block, "seed": seed, "model": model}
                        results.append(Result(names, Outcome({"scores": {"balanced_accuracy": score}, "notes": []})))
    return results


def test_advantages_are_paired_and_have_every_spread():
    table = summaries.advantages(made_results()).set_index("model")
    lstm, logistic = table.loc["LSTM"], table.loc["logistic, 1 frame"]
    assert lstm["ahead by"] == pytest.approx(0.21)  # mean of 0.11 and 0.31
    low, high = stats.t.interval(0.95, 1, 0.21, 0.1)
    assert lstm["95 % over animals"] == f"{low:+.3f} to {high:+.3f}"
    assert lstm["SD over blocks"] == "0.000 (2)" and lstm["SD over seeds"] == f"{np.std([0.2, 0.22], ddof=1):.3f} (2)"
    assert lstm["animals ahead"] == "2 of 2" and lstm["sign-flip p"] == "0.500"
    # The linear model, fitted once, stands against the network of either seed.
    assert logistic["ahead by"] == pytest.approx(0.155)
    assert logistic["SD over seeds"] == f"{np.std([0.15, 0.16], ddof=1):.3f} (2)"


def test_one_animal_has_no_interval_and_no_p_value_and_says_so():
    table = summaries.advantages([r for r in made_results() if r.names["animal"] == "a"]).set_index("model")
    assert table.loc["LSTM", ["95 % over animals", "sign-flip p"]].tolist() == ["one animal: none"] * 2
    assert table.loc["LSTM", "ahead by"] == pytest.approx(0.11)


def test_card_scores_are_means_over_animals_not_over_trainings():
    found = summaries.card_scores(made_results(), ("balanced_accuracy", "r2"))
    mean = {s.model: s for s in found if s.scope.startswith("mean of ")}
    assert mean["lstm"].scope == "mean of 2 animals" and mean["lstm"].n == 2
    assert mean["lstm"].value == pytest.approx((0.545 + 0.345) / 2)
    assert mean["lstm"].sd == pytest.approx(0.2 / np.sqrt(2))
    assert {s.scope for s in found} == {"mean of 2 animals", "animal a", "animal b"}
    assert {s.metric for s in found} == {"balanced_accuracy"}
    assert summaries.card_scores([], ("balanced_accuracy",)) == []


def test_sweeps_stand_below_each_other_with_a_column_a_model():
    snr = [Result({**r.names, "value": value}, r.outcome) for value in (4, 0.5) for r in made_results()]
    minutes = [r for r in snr if r.names["value"] == 4 and r.names["model"] != "lstm"]
    table = summaries.sweep_table([(snr, "SNR"), ([], "not run"), (minutes, "minutes")])
    assert table[["varied", "value"]].to_numpy().tolist() == [["SNR", "0.5"], ["SNR", "4"], ["minutes", "4"]]
    assert table["LSTM"].tolist()[:2] == pytest.approx([0.445, 0.445]) and np.isnan(table["LSTM"].iloc[2])
    assert summaries.sweep_table([([], "not run")]).empty
