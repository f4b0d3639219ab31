"""Scores of footsteps and kinematics against scikit-learn, by hand, and in simulation."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, f1_score

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation.statistics import block_bootstrap
from calcium_decoding.experiments.folds import FoldResult
from calcium_decoding.models.loop import History
from decoding_book.chapters.bilateral import summaries
from decoding_book.chapters.bilateral.study import row


def fold_result(scores):
    nothing = np.empty(0, int)
    return FoldResult("fold", "a", "model", scores, "", History(), ("a",), nothing, nothing, nothing, nothing)


@pytest.fixture
def decoded():
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 300, p=[0.5, 0.3, 0.2])
    raw = rng.random((300, 3)) + 0.5 * np.eye(3)[labels]
    return labels, raw / raw.sum(1, keepdims=True)


def test_one_foot_stands_beside_the_majority_and_movement_is_scored_by_limb(decoded):
    steps, rng = decoded[0] == 2, np.random.default_rng(1)
    fold = fold_result({"ipsilateral_accuracy": 0.5, "kinematics_r2_contra_a": 0.2, "kinematics_r2_contra_b": 0.4,
                        "kinematics_r2_ipsi_a": 0.1, "kinematics_r2": 0.3})
    fold = replace(fold, others={"ipsilateral/labels": steps.astype(np.uint8),
                                 "ipsilateral/predicted": rng.random(300)})
    found = row({}, fold)
    assert found["ipsilateral_majority"] == pytest.approx(1 - steps.mean())
    assert found["ipsilateral_f1"] == pytest.approx(f1_score(steps, fold.others["ipsilateral/predicted"] > 0.5))
    assert found["r2_contralateral"] == pytest.approx(0.3) and "r2_ipsilateral" not in found and found["r2"] == 0.3


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

        interval = block_bootstrap(mean, 1200, 80, 150, seed=draw)
        covered += interval.low <= 0 <= interval.high
        naive = block_bootstrap(mean, 1200, 1, 150, seed=draw)
        short += naive.low <= 0 <= naive.high
    assert covered / 120 > 0.82
    assert short / 120 < 0.6


def test_the_bootstrap_leaves_out_draws_without_a_class_and_refuses_when_most_are(decoded):
    labels, p = decoded

    def balanced(rows):
        return summaries.balanced_accuracy_of(labels[rows], p.argmax(1)[rows])

    interval = block_bootstrap(balanced, 300, 30, 200)
    assert interval.low < interval.estimate < interval.high
    assert interval.estimate == pytest.approx(balanced_accuracy_score(labels, p.argmax(1)))
    with pytest.raises(DataError, match="bootstrap"):
        block_bootstrap(lambda rows: None, 300, 30, 20)
    with pytest.raises(ParameterError, match="block_frames"):
        block_bootstrap(balanced, 300, 200)


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
                        results.append(row(names, fold_result({"balanced_accuracy": score})))
    return pd.DataFrame(results)


def test_advantages_are_paired_and_have_every_spread():
    table = summaries.advantages(made_results()).set_index("model")
    lstm, logistic = table.loc["LSTM"], table.loc["logistic, 1 frame"]
    assert lstm["ahead by"] == pytest.approx(0.21)  # mean of 0.11 and 0.31
    half = stats.t.ppf(0.975, 1) * 0.1 / (1 - 0.21**2)  # a difference of balanced accuracies lies between -1 and 1
    low, high = np.tanh(np.arctanh(0.21) + np.array([-half, half]))
    assert lstm["95 % over animals"] == f"{low:+.3f} to {high:+.3f}"
    assert lstm["SD over blocks"] == "0.000 (2)" and lstm["SD over seeds"] == f"{np.std([0.2, 0.22], ddof=1):.3f} (2)"
    assert lstm["animals ahead"] == "2 of 2" and not table.filter(like="sign-flip").size
    assert "one-sided" in table.attrs["note"] and "0.25" in table.attrs["note"]
    # The linear model, fitted once, stands against the network of either seed.
    assert logistic["ahead by"] == pytest.approx(0.155)
    assert logistic["SD over seeds"] == f"{np.std([0.15, 0.16], ddof=1):.3f} (2)"


def test_one_animal_has_no_interval_and_no_p_value_and_says_so():
    table = summaries.advantages(made_results().query("animal == 'a'")).set_index("model")
    assert table.loc["LSTM", "95 % over animals"] == "one animal: none" and not table.filter(like="sign-flip").size
    assert table.loc["LSTM", "ahead by"] == pytest.approx(0.11)


def test_that_the_reference_is_better_is_tested_on_one_side():
    found = pd.concat([made_results().assign(animal=lambda x, i=i: x["animal"] + str(i)) for i in range(3)])
    p = summaries.advantages(found).set_index("model")["sign-flip p, one-sided"]
    assert p["LSTM"] == f"{1 / 64:.3f}"
    worse = found.assign(balanced_accuracy=1 - found["balanced_accuracy"])
    assert summaries.advantages(worse).set_index("model")["sign-flip p, one-sided"]["LSTM"] == "1.000"


def test_nothing_is_said_of_networks_that_have_not_converged_or_whose_seeds_disagree():
    found = made_results()
    falling = [replace(fold, history=History([1.0, 0.8], [1.0, 0.8], 1)) if model == "lstm" else fold
               for fold, model in zip(found["fold"], found["model"], strict=True)]
    table = summaries.advantages(found.assign(fold=falling)).set_index("model")
    assert table.loc["LSTM", "ahead by"] == "NOT CONVERGED: LSTM"
    assert table.loc["LSTM", ["95 % over animals", "SD over seeds", "animals ahead"]].isna().all()
    assert table.loc["logistic, 1 frame", "ahead by"] == pytest.approx(0.155)
    shown = summaries.summary(found.assign(fold=falling), ("balanced_accuracy",)).set_index("model")["training"]
    assert shown["LSTM"] == "NOT CONVERGED: training loss still fell by 20.0 % in the last epoch (8 of 8 trainings)"
    assert shown["hybrid"] == "" and "training" not in summaries.summary(found, ("balanced_accuracy",))
    feet = summaries.by_foot(found.assign(fold=falling, contralateral_auc=0.7)).set_index("score")
    assert feet.loc["training", ["hybrid", "LSTM"]].tolist() == ["", "NOT CONVERGED"]
    swept = summaries.sweep_table({"x": found.assign(fold=falling, value=1.0)})
    assert swept["LSTM"].tolist() == ["NOT CONVERGED"] and swept["hybrid"].tolist() == pytest.approx([0.655])
    apart = found.assign(balanced_accuracy=found["balanced_accuracy"] + 0.5 * found["seed"])
    assert summaries.advantages(apart).set_index("model").loc["LSTM", "ahead by"].startswith(
        "NO MORE THAN SEEDS DIFFER: seeds differ by 0.5")


def test_card_scores_are_means_over_animals_not_over_trainings():
    found = summaries.card_scores(made_results(), ("balanced_accuracy", "r2"))
    mean = {s.model: s for s in found if s.scope.startswith("mean of ")}
    assert mean["lstm"].scope == "mean of 2 animals" and mean["lstm"].n == 2
    assert mean["lstm"].value == pytest.approx((0.545 + 0.345) / 2)
    assert mean["lstm"].sd == pytest.approx(0.2 / np.sqrt(2))
    assert {s.scope for s in found} == {"mean of 2 animals", "animal a", "animal b"}
    assert {s.metric for s in found} == {"balanced_accuracy"}
    assert summaries.card_scores(pd.DataFrame(), ("balanced_accuracy",)) == []


def test_sweeps_stand_below_each_other_with_a_column_a_model():
    snr = pd.concat([made_results().assign(value=value) for value in (4, 0.5)])
    minutes = snr.query("value == 4 and model != 'lstm'")
    table = summaries.sweep_table({"SNR": snr, "not run": pd.DataFrame(), "minutes": minutes})
    assert table[["varied", "value", "animals"]].to_numpy().tolist() == [
        ["SNR", "0.5", 2], ["SNR", "4", 2], ["minutes", "4", 2]]
    assert table["LSTM"].tolist()[:2] == pytest.approx([0.445, 0.445]) and np.isnan(table["LSTM"].iloc[2])
    assert summaries.sweep_table({"not run": pd.DataFrame()}).empty
    card = summaries.sweep_scores(snr, "snr")
    assert [score.model for score in card if score.scope == "mean of 2 animals"] == [
        f"{model} at snr {value}" for value in ("0.5", "4") for model in ("hybrid", "lstm", "logistic")]
    assert summaries.sweep_scores(pd.DataFrame(), "snr") == []


def test_a_zero_that_stands_for_all_is_called_so_and_stands_last():
    minutes = pd.concat([made_results().assign(value=value) for value in (0.0, 0.5, 2.0)])
    assert summaries.sweep_table({"minutes": minutes}, zero="all")["value"].tolist() == ["0.5", "2", "all"]
    assert summaries.sweep_table({"noise": minutes})["value"].tolist() == ["0", "0.5", "2"]  # none was added
    named = [s.model for s in summaries.sweep_scores(minutes, "minutes", zero="all") if s.model.startswith("lstm")]
    assert list(dict.fromkeys(named)) == [f"lstm at minutes {value}" for value in ("0.5", "2", "all")]


def test_scores_of_one_foot_are_means_over_animals():
    found = made_results().assign(contralateral_auc=0.7, ipsilateral_f1=0.5)
    table = summaries.by_foot(found).set_index("score")
    assert table.loc["contra. auc"].tolist() == pytest.approx([0.7] * 3) and len(table) == 2
    assert list(table) == ["hybrid", "LSTM", "logistic, 1 frame"] and summaries.by_foot(pd.DataFrame()).empty
    assert summaries.advantages(pd.DataFrame()).empty
