"""One planted training of each kind that has not converged, and those that have."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from calcium_decoding.evaluation import convergence
from calcium_decoding.experiments.folds import FoldResult
from calcium_decoding.models.loop import History

LEVEL = [0.7, 0.4, 0.31, 0.30, 0.295]  # the last epoch takes off 1.7 %
FALLING = [0.7, 0.6, 0.5, 0.44]  # 12 %


def fold(train_loss, train_score=0.95, kind="binary", valid_loss=None, scored=True):
    nothing = np.array([])
    valid = list(train_loss) if valid_loss is None else valid_loss
    metric = {"binary": "auc", "classes": "balanced_accuracy", "continuous": "r2"}[kind]
    scores = {metric: 0.9, f"{metric}_train": train_score} if scored else {}
    return FoldResult("f", "a", "gru", scores, "", History(list(train_loss), valid, 0), (), nothing, nothing, nothing,
                      nothing, kind=kind, classes=("x", "y", "z") if kind == "classes" else ())


def test_a_training_that_stays_level_has_converged():
    assert convergence.not_converged([fold(LEVEL)] * 3) == ""
    assert convergence.not_converged([fold([0.5, 0.3, 0.31])]) == ""  # the last epoch was no better at all
    assert convergence.not_converged([]) == "" and convergence.marked("") == ""


def test_a_loss_that_still_falls_is_said_with_its_share_and_its_folds():
    said = convergence.not_converged([fold(LEVEL), fold(FALLING), fold([0.5, 0.47]), fold(LEVEL), fold(LEVEL)])
    assert said == "training loss still fell by 12.0 % in the last epoch (2 of 5 trainings)"
    assert convergence.marked(said) == f"NOT CONVERGED: {said}"
    assert convergence.not_converged([fold([1.0, 0.951])]) == ""
    assert convergence.not_converged([fold([1.0, 0.949])]) == (
        "training loss still fell by 5.1 % in the last epoch (1 of 1 training)")
    # Up and down again is no fall: below the lowest before counts.
    assert convergence.not_converged([fold([0.5, 0.3, 0.6, 0.295])]) == ""


def test_a_loss_that_rose_has_not_converged_either():
    assert convergence.not_converged([fold([0.5, 0.3, 0.4]), fold(LEVEL)]) == (
        "training loss ended 33.3 % above its lowest (1 of 2 trainings)")
    assert convergence.not_converged([fold([0.5, 0.3, 0.325])]) == ""
    # Whatever the validation loss did, unless training was stopped by it.
    assert convergence.not_converged([fold([0.5, 0.3, 0.4], valid_loss=[0.2, 0.3, 0.3])], patience=2) != ""
    told = replace(fold([0.5, 0.3, 0.4]), history=History([0.5, 0.3, 0.4], [0.2, 0.3, 0.3], 0, stopped_early=True))
    assert convergence.not_converged([told]) == ""


def test_one_epoch_tells_nothing_and_no_epoch_is_a_decoder_that_needs_none():
    assert convergence.not_converged([fold([0.1])]).startswith("one epoch only")
    assert convergence.not_converged([fold([], train_score=0.5)]) == ""
    assert convergence.not_converged([fold([0.1], scored=False)]) == ""  # no score, nothing to compare


def test_a_training_that_early_stopping_ended_has_converged():
    losses = [0.7, 0.6, 0.5, 0.4, 0.3, 0.2]
    stopped = fold(losses, valid_loss=[0.6, 0.7, 0.8, 0.8, 0.9, 0.9])
    assert convergence.not_converged([stopped]) == ""
    assert convergence.not_converged([stopped], patience=6) != ""
    assert convergence.not_converged([fold(losses[:3], valid_loss=[0.6, 0.7, 0.8])], patience=2) == ""
    told = replace(fold(losses), history=History(losses, losses, 5, stopped_early=True))
    assert convergence.not_converged([told]) == ""  # whatever the patience was
    # Unless another rule says otherwise.
    low = fold(losses, 0.55, valid_loss=[0.6, 0.7, 0.8, 0.8, 0.9, 0.9])
    assert convergence.not_converged([low]) == "training AUC of 0.55 lies below 0.60 (1 of 1 training)"


@pytest.mark.parametrize(("kind", "low", "high", "said"), [
    ("binary", 0.59, 0.61, "training AUC of 0.59 lies below 0.60"),
    ("classes", 0.46, 0.47, "training balanced accuracy of 0.46 lies below 0.47"),
    ("continuous", -0.11, 0.11, "training R² of -0.11 lies below 0.10"),
])
def test_a_low_training_score_is_said_by_its_kind(kind, low, high, said):
    assert convergence.not_converged([fold(LEVEL, high, kind), fold(LEVEL, low, kind)]) == f"{said} (1 of 2 trainings)"
    assert convergence.not_converged([fold(LEVEL, high, kind)]) == ""


def test_several_reasons_stand_side_by_side():
    assert convergence.not_converged([fold(FALLING, 0.55), fold(LEVEL)]) == (
        "training loss still fell by 12.0 % in the last epoch (1 of 2 trainings); "
        "training AUC of 0.55 lies below 0.60 (1 of 2 trainings)")


def test_a_stored_table_is_judged_like_the_folds_it_was_made_of(tmp_path):
    folds = [fold(FALLING), fold(LEVEL, 0.5), fold([0.3]), fold([])]
    table = pd.DataFrame([convergence.training_of(one) for one in folds])
    table.to_csv(tmp_path / "stored.csv", index=False)
    said = convergence.reasons(pd.read_csv(tmp_path / "stored.csv"))
    assert said == convergence.not_converged(folds) and said.count(";") == 2
    assert convergence.reasons(pd.DataFrame({"epochs": [4, 4], "loss_fall": [0.01, 0.2]})) == (
        "training loss still fell by 20.0 % in the last epoch (1 of 2 trainings)")


def test_seeds_that_disagree_by_more_than_the_conditions():
    said = convergence.seeds_disagree([0.93, 0.95, 0.97], [0.92, 0.92, 0.92])
    assert said == "seeds differ by 0.040, the conditions by 0.030"
    assert convergence.marked(said) == f"NO MORE THAN SEEDS DIFFER: {said}"  # both may have converged
    assert convergence.seeds_disagree({1: 0.92, 2: 0.92}, {1: 0.93, 2: 0.97}) != ""
    assert convergence.seeds_disagree([0.93, 0.95, 0.97], [0.80, 0.82, 0.81]) == ""
    assert convergence.seeds_disagree([0.9], [0.9]) == ""  # one seed says nothing about seeds
