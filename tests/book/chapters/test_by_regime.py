"""One decoder under several regimes: claims, averages by animal, and what the data do not allow."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.preprocessing.windows import WindowSpec
from decoding_book.chapters import by_regime
from tests.experiments.test_nested import make_dataset

REGIMES = ("blocked", "leave_one_session_out", "nested_animals", "random_windows")


@pytest.fixture(scope="module")
def compared():
    return by_regime.run(make_dataset(3), REGIMES, WindowSpec(2, 2), {"name": "scaled", "rate_hz": 30.0},
                         TrainingSettings(), ["logistic", "time_only"], {"blocked": {"n_blocks": 3}}, jobs=1)


def test_each_regime_has_its_claim_or_its_reason(compared):
    experiments, results, reasons = compared
    claims = {regime: one.split.claim for regime, one in experiments.items()}
    assert claims == {"blocked": "within session", "nested_animals": "across animals", "random_windows": "none (LEAKY)"}
    assert "needs 3: train, validate, test" in reasons["leave_one_session_out"] and list(results) == list(experiments)
    table = by_regime.table(*compared)
    assert table["folds"].tolist() == [18, 0, 6, 6] and table["with a score"].tolist() == [18, 0, 6, 6]
    assert table["claim"][1] == "not possible here" and "reason" in table


def test_scores_by_animal_are_means_over_the_folds_that_test_it(compared):
    scores = by_regime.animal_scores(*compared[:2])
    assert len(scores) == 3 * 3 * 2
    row = scores[(scores["claim"] == "within session") & (scores["animal"] == "a1") & (scores["model"] == "logistic")]
    expected = [f.scores["auc"] for f in compared[1]["blocked"].of("logistic") if f.test_group.startswith("a1/")]
    assert row["score"].item() == pytest.approx(np.mean(expected)) and len(expected) == 6
    assert scores[scores["model"] == "logistic"]["score"].min() > 0.7


def test_card_scores_carry_the_claim_in_their_scope(compared):
    by_animal = by_regime.animal_scores(*compared[:2])
    scores = {(s.model, s.scope): s.value for s in by_regime.card_scores(by_animal)}
    leaky = by_animal[(by_animal["claim"] == "none (LEAKY)") & (by_animal["model"] == "time_only")]["score"]
    assert scores["time_only", "mean of 3 animals, none (LEAKY)"] == pytest.approx(leaky.mean())
    assert ("logistic", "mean of 3 animals, within session") in scores
    means = by_regime.mean_table(by_animal).set_index("claim")
    assert means.loc["none (LEAKY)", "time_only"] == pytest.approx(leaky.mean())
    assert means["animals"].tolist() == [3, 3, 3]


def test_figure_draws_each_animal_and_names_the_leaky_column(compared):
    scores = by_regime.animal_scores(*compared[:2])
    assert not list(by_regime.figure(scores, plt.figure().add_subplot()).texts)
    ax = by_regime.figure(scores.assign(simulated=True), plt.figure().add_subplot())
    drawn = np.concatenate([line.get_ydata() for line in ax.lines if len(line.get_ydata()) == 3])
    np.testing.assert_allclose(np.sort(drawn), np.sort(scores["score"].astype(float)))
    labels = [tick.get_text() for tick in ax.get_xticklabels()]
    assert labels == ["within session", "across animals", "LEAKY\nrandom windows"]
    assert "AUC" in ax.get_ylabel() and "simulated" in [text.get_text() for text in ax.texts]
    plt.close("all")


def test_sessions_with_other_cells_are_no_one_s_training():
    data = make_dataset(3)
    fewer = replace(data.recordings[1], signal=data.recordings[1].signal[:, :3], roi_names=())
    mixed = replace(data, recordings=(data.recordings[0], fewer, *data.recordings[2:]))
    experiments, results, reasons = by_regime.run(
        mixed, ["nested_animals"], WindowSpec(2, 2), {"name": "scaled", "rate_hz": 30.0}, TrainingSettings(),
        ["logistic"], jobs=1)
    assert experiments == results == {} and "ROIs" in reasons["nested_animals"]
    assert by_regime.animal_scores(experiments, results).empty
