"""One decoder under several regimes: claims, averages by animal, and what the data do not allow."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from calcium_decoding.experiments.tasks import Binary
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.preprocessing.windows import WindowSpec
from decoding_book.chapters import leakage
from tests.experiments.test_nested import make_dataset

REGIMES = ("blocked", "leave_one_session_out", "nested_animals", "random_windows")


@pytest.fixture(scope="module")
def compared():
    return run(make_dataset(3), Binary())


def run(dataset, task):
    label, recipe = {"label": task.name}, {"name": "scaled", "rate_hz": 30.0}
    options = {"blocked": {"n_blocks": 3, "embargo_times": 0.5, **label}, "random_windows": label}
    return leakage.by_regime(dataset, REGIMES, WindowSpec(2, 2), recipe, TrainingSettings(), ["logistic", "time_only"],
                             task, options, jobs=1)


def test_each_regime_has_its_claim_or_its_reason(compared):
    experiments, results, reasons = compared
    claims = {regime: one.split.claim for regime, one in experiments.items()}
    assert claims == {"blocked": "within session", "nested_animals": "across animals", "random_windows": "none (LEAKY)"}
    assert "needs 3: train, validate, test" in reasons["leave_one_session_out"] and list(results) == list(experiments)
    table = leakage.regime_table(*compared)
    assert table["folds"].tolist() == [18, 0, 6, 6] and table["with a score"].tolist() == [18, 0, 6, 6]
    assert table["claim"][1] == "not possible here" and "reason" in table


def test_scores_by_animal_are_means_over_the_folds_that_test_it(compared):
    scores = leakage.animal_scores(*compared[:2])
    assert len(scores) == 3 * 3 * 2
    row = scores[(scores["claim"] == "within session") & (scores["animal"] == "a1") & (scores["decoder"] == "logistic")]
    expected = [f.scores["auc"] for f in compared[1]["blocked"].of("logistic") if f.test_group.startswith("a1/")]
    assert row["score"].item() == pytest.approx(np.mean(expected)) and len(expected) == 6
    assert scores[scores["decoder"] == "logistic"]["score"].min() > 0.7


def test_another_behaviour_is_decoded_as_running_would_be(compared):
    """The same values by another name, in recordings without a run label."""
    data = make_dataset(3)
    licking = replace(data, recordings=tuple(replace(r, behaviour={"lick": r.run}) for r in data.recordings))
    scores = [leakage.animal_scores(*found[:2]) for found in (compared, run(licking, Binary("lick")))]
    pd.testing.assert_frame_equal(*scores)
    assert len(scores[0]) == 3 * 3 * 2


def test_sessions_with_other_cells_are_no_one_s_training():
    data = make_dataset(3)
    fewer = replace(data.recordings[1], signal=data.recordings[1].signal[:, :3], roi_names=())
    mixed = replace(data, recordings=(data.recordings[0], fewer, *data.recordings[2:]))
    experiments, results, reasons = leakage.by_regime(
        mixed, ["nested_animals"], WindowSpec(2, 2), {"name": "scaled", "rate_hz": 30.0}, TrainingSettings(),
        ["logistic"], Binary(), jobs=1)
    assert experiments == results == {} and "ROIs" in reasons["nested_animals"]
    assert leakage.animal_scores(experiments, results).empty
