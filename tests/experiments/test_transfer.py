"""Across animals, sweeps and where information sits: planted effects, brute force, truth."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LinearRegression

from calcium_decoding.data.recording import Dataset
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import cards, convergence
from calcium_decoding.experiments import compared, transfer
from calcium_decoding.explain import cell_importance
from calcium_decoding.models import hybrid, linear
from calcium_decoding.models.training_footsteps import FootstepTraining
from calcium_decoding.simulation.footsteps.world import World, simulate
from calcium_decoding.splits.core import Fold, Segment
from decoding_book.chapters.bilateral import study as sweeps
from decoding_book.chapters.bilateral.study import Study
from tests.models.test_training_footsteps import TINY, made_experiment, made_job, made_recording

SETTINGS = FootstepTraining(epochs=8, peak_rate=0.02, patience=8, size=TINY)


@pytest.fixture(scope="module")
def trunk():
    jobs = {str(seed): made_job(made_recording(seed=seed), settings=SETTINGS) for seed in (1, 2)}
    return transfer.TrunkTask(jobs, 8).run()


def adapting(trunk, recording, way, settings=SETTINGS):
    return transfer.AdaptFoldTask(**vars(made_job(recording, settings=settings)), trunk=trunk, way=way)


@pytest.mark.parametrize("way", ["aligned", "read-in", "all layers"])
def test_a_new_animal_with_other_cells_is_decoded_through_its_own_read_in(trunk, way):
    """Its cells are those of a trained animal in another order and number; with them in place of its own: chance."""
    new = made_recording(seed=3)
    order = np.random.default_rng(0).permutation(12)
    permuted = replace(new, signal=np.concatenate([new.signal[:, order], new.signal[:, order[:4]]], 1), roi_names=())
    task = adapting(trunk, permuted, way)
    found = task.run()
    assert found.scores["balanced_accuracy"] > 0.7
    # What was trained to align alone is the trunk: whether it has converged is read from its losses.
    assert (found.history.train_loss == trunk.facts["history"]["train_loss"]) == (way == "aligned")
    unrelated = replace(permuted, signal=np.random.default_rng(1).permutation(permuted.signal))
    assert adapting(trunk, unrelated, way).run().scores["balanced_accuracy"] < 0.5
    with pytest.raises(ParameterError, match="way"):
        replace(task, way="within")


def test_a_read_in_alone_leaves_the_trunk_as_it_was(trunk):
    given = {name.removeprefix("trunk/"): v for name, v in trunk.arrays.items() if name.startswith("trunk/")}
    same = {}
    for way in ("aligned", "read-in", "all layers"):
        task = adapting(trunk, made_recording(seed=3), way, replace(SETTINGS, epochs=2, peak_rate=0.01))
        network = task.trained(*task.windows()[:2])[0].module
        same[way] = {name: np.array_equal(v.numpy(), given[name]) for name, v in network.trunk.state_dict().items()}
        if way == "aligned":
            start = network.read_ins[0].weight.detach().clone()
        else:
            assert not torch.equal(network.read_ins[0].weight, start)
    assert all(same["aligned"].values()) and all(same["read-in"].values()) and not all(same["all layers"].values())


def test_conditions_are_class_and_frames_since_it_began():
    footstep = np.array([0, 0, 1, 1, 1, 0, 2] + [2] * 8)
    found = transfer.condition_of(footstep)
    p = transfer.PHASES
    assert found[:7].tolist() == [0, 1, p, p + 1, p + 2, 0, 2 * p]
    assert found[7:].tolist() == [2 * p + min(i, p - 1) for i in range(1, 9)]


def test_condition_means_fall_back_on_their_class_and_refuse_without_it():
    values, p = np.array([[1.0], [3.0], [5.0]]), transfer.PHASES
    means = transfer.condition_means(values, np.array([0, p, 2 * p]))
    assert means[:p, 0].tolist() == [1.0] * p and means[2 * p :, 0].tolist() == [5.0] * p
    with pytest.raises(DataError, match="class 2"):
        transfer.condition_means(values, np.array([0, 1, p]))


def test_alignment_is_the_ridge_regression_onto_the_means():
    rng = np.random.default_rng(0)
    frames, means = rng.standard_normal((400, 5)).astype(np.float32), rng.standard_normal((3 * transfer.PHASES, 2))
    conditions = rng.integers(0, len(means), 400)
    read_in = torch.nn.Linear(5, 2)
    transfer.align(read_in, frames, conditions, np.arange(300), np.arange(300, 400), means)
    x, y = frames[:300] - frames[:300].mean(0), means[conditions[:300]]
    y = y - y.mean(0)
    candidates = [np.linalg.solve(x.T @ x + np.eye(5) / c, x.T @ y).T for c in linear.PENALTIES]
    assert min(np.abs(read_in.weight.detach().numpy() - c).max() for c in candidates) < 1e-4


def test_the_first_minutes_hold_no_more_labels_than_asked_for():
    segments = [[Segment("a/1", *span)] for span in ((90, 2000), (2100, 2400), (2500, 2800))]
    fold = Fold("one", *segments, "a")
    found = transfer.first_minutes(fold, 1.0, 15, 11, 40)  # 900 labels, of frames 100 to 999
    assert [(s.start, s.stop) for s in (*found.train, *found.valid)] == [(90, 780), (810, 1000)]
    assert found.test == fold.test
    assert transfer.first_minutes(fold, 0, 15, 11, 40) is fold
    for minutes in (0.05, 10):
        with pytest.raises(ParameterError, match="minutes"):
            transfer.first_minutes(fold, minutes, 15, 11, 40)


def test_added_noise_has_the_size_asked_for_and_cells_are_nested():
    recording = made_recording(n=640)
    dataset = Dataset("made up", (recording,))
    (noisy,) = sweeps.with_noise(dataset, 2.0, 0).recordings
    ratio = (noisy.signal - recording.signal).std(0) / recording.signal.std(0)
    np.testing.assert_allclose(ratio, 2.0, rtol=0.12)
    few, more = (sweeps.with_cells(dataset, n, 0).recordings[0] for n in (4, 9))
    columns = [{tuple(c) for c in r.signal.T} for r in (few, more, recording)]
    assert columns[0] < columns[1] < columns[2] and set(few.roi_names) < set(more.roi_names)
    (many,) = sweeps.with_cells(dataset, 20, 0).recordings
    np.testing.assert_array_equal(many.signal[:, :12], recording.signal)
    for extra in many.signal[:, 12:].T:
        source = next(c for c in recording.signal.T if np.array_equal(np.sort(c), np.sort(extra)))
        offset = next(k for k in range(len(source)) if np.array_equal(np.roll(source, -k), extra))
        assert len(source) // 10 <= offset <= len(source) - len(source) // 10
    assert sweeps.with_cells(dataset, 20, 0, most=True).recordings[0] is recording
    fold = Fold("one", [Segment("a/1", 0, 60), Segment("a/1", 100, 150)], (), (), "a")
    (first,) = sweeps.with_training(fold, 0.25, 6).train  # 55 and 45 windows
    assert (first.start, first.stop) == (0, 30)
    assert sweeps.with_training(fold, 0.75, 6).train == (Segment("a/1", 0, 60), Segment("a/1", 100, 125))


def test_tuning_is_the_variance_lost_without_a_foot():
    recording = made_recording(n=960, seed=4)
    footstep = recording.behaviour["footstep"].astype(int)
    rows, lags = np.arange(20, 900), (-1, 2)
    table = cell_importance.tuning(recording.signal, footstep, rows, lags)
    x = {foot: np.stack([footstep[rows - lag] == code for lag in range(-1, 3)], 1).astype(float)
         for code, foot in ((1, "contralateral"), (2, "ipsilateral"))}
    y = recording.signal[rows]
    both = np.concatenate(list(x.values()), 1)
    for i in (0, 4, 9):
        r2 = LinearRegression().fit(both, y[:, i]).score(both, y[:, i])
        without = LinearRegression().fit(x["ipsilateral"], y[:, i]).score(x["ipsilateral"], y[:, i])
        assert table["either"][i] == pytest.approx(r2, abs=1e-6)
        assert table["contralateral"][i] == pytest.approx(r2 - without, abs=1e-6)
    assert table["contralateral"][:3].min() > 10 * table["contralateral"][3:].max()
    assert table["ipsilateral"][3:6].min() > 10 * table["ipsilateral"].drop([3, 4, 5]).max()


def test_relevance_is_gradient_times_input():
    torch.manual_seed(0)
    network = hybrid.build("hybrid", 12, {"footstep": 3}, TINY).eval()
    some = made_job(made_recording(n=640)).windows()[2].some(np.arange(5))
    found = cell_importance.relevance(network, some, batch=2)
    total = np.zeros(12)
    x = torch.from_numpy(some.gather(np.arange(5)))

    def margin(values, label):
        out = network(values[None])["footstep"][0]
        return out[label] - out[[i for i in range(3) if i != label]].mean()

    for window, label in zip(x, some.labels["footstep"], strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda v, label=label: margin(v, label), window)
        total += (jacobian * window).abs().sum(0).detach().numpy()
    np.testing.assert_allclose(found, total / (5 * 6), rtol=1e-4)


def test_a_decoder_loses_all_without_its_informative_cells_and_nothing_without_the_others():
    (found,) = made_experiment(made_recording(), settings=SETTINGS).map(
        cell_importance.information, "hybrid", name="information", jobs=1, shares=(0.0, 0.25, 0.5))
    curves = pd.DataFrame(found["deletion"]).set_index(["order", "cells"])
    whole = curves.loc[("random", 0), "balanced_accuracy"]
    assert whole > 0.7
    for order in ("decoder", "either tuning"):
        assert curves.loc[(order, 6), "balanced_accuracy"] < 0.45
    # Without the three cells of one foot, the other foot is decoded as before.
    gone = curves.loc[("contralateral tuning", 3)]
    assert gone["auc_contralateral"] < curves.loc[("random", 0), "auc_contralateral"] - 0.15
    assert gone["auc_ipsilateral"] > 0.85
    np.testing.assert_allclose(np.array(found["attention"]).sum(-1), 1, rtol=1e-5)
    assert np.array(found["attention"]).shape == (3, 4, 6)
    informative = np.arange(12) < 6
    for ranking in (found["relevance"], np.array(found["tuning"])[:, 2]):
        assert cell_importance.recovered(ranking, informative)["precision"] == 1.0


def test_recovered_truth_by_hand():
    found = cell_importance.recovered(np.array([5.0, 1, 4, 2]), np.array([True, True, False, False]))
    assert found == {"precision": 0.5, "by_chance": 0.5}
    with pytest.raises(DataError, match="truth"):
        cell_importance.recovered(np.arange(3.0), np.zeros(3, bool))


NULL = {"null_model": "logistic", "epochs": 1, "batch_size": 32, "patience": 8, "learning_rate": 0.02, "mixup": 0.0,
        "activity": False, "every_frames": 4, "seed": 0, "device": "cpu", "size": "small", "animals": 0, "sessions": 0,
        "cells": 0, "window_frames": 6, "lstm_frames": 4, "places": 5, "blocks": 2, "components": 20}


@pytest.fixture(scope="module")
def study():
    world = World(animals=3, sessions=1, frames=600, min_cells=20, max_cells=24, gain=3.0, snr=20.0, seed=3)
    dataset, _ = simulate(world)
    return Study(dataset, 0, FootstepTraining(epochs=1, every_frames=4, size=TINY), 6, 4, blocks=2), world


def test_a_study_runs_every_model_on_every_animal_block_and_seed(study):
    plan, _ = study
    found = plan.decode(["majority", "logistic"], seeds=2)
    assert found[["model", "animal", "block", "seed"]].to_numpy().tolist() == [
        [m, a, b, 0] for m in ("majority", "logistic") for a in plan.animals for b in (0, 2)]
    scores = found.groupby("model")["balanced_accuracy"].mean()
    assert scores["majority"] == pytest.approx(1 / 3) and scores["logistic"] > 0.5
    parameters = SimpleNamespace(**NULL)
    null, said = sweeps.decode_null(plan.all_cells, parameters)
    assert null["balanced_accuracy"].mean() < 0.45 < scores["logistic"] and "another recording" in said
    assert plan.split.claim == "within session" and len(plan.split.folds) == 6


def test_without_another_recording_or_a_decoder_there_is_no_null_and_it_says_so(study):
    plan, _ = study
    alone = replace(plan.all_cells, recordings=plan.all_cells.recordings[:1])
    assert sweeps.decode_null(alone, SimpleNamespace(null_model="logistic"))[1] == "none: one recording alone"
    none, said = sweeps.decode_null(plan.all_cells, SimpleNamespace(null_model=""))
    assert none.empty and said == "none: no decoder was asked for"


def test_a_card_keeps_the_trainings_of_a_table_and_gives_back_what_pages_show(study):
    plan, _ = study
    shares = {share: (plan.dataset, share) for share in (0.5, 1.0)}
    for found in (plan.decode(["logistic", "majority"]), plan.sweep(shares, ["logistic", "hybrid"], 2, seeds=2)):
        stored = [cards.Compared.model_validate_json(one.model_dump_json())
                  for one in compared.recorded(sweeps.compared(found))]
        again = sweeps.from_stored(compared.from_record(stored))
        keys = ["model", "animal", "block", *found.columns.intersection(["value"])]
        for metric in ("balanced_accuracy", "auc_contralateral", "contralateral_f1", "ipsilateral_majority", "r2",
                       "r2_ipsilateral", "balanced_accuracy_train"):
            pd.testing.assert_series_equal(found.groupby(keys)[metric].mean(), again.groupby(keys)[metric].mean())
        losses = [sorted(fold.history.valid_loss for fold in table["fold"]) for table in (again, found)]
        assert losses[0] == losses[1]
    assert found.groupby("model")["seed"].nunique().to_dict() == {"hybrid": 2, "logistic": 1}
    assert again.query("model == 'hybrid'")["seed"].nunique() == 2 and again["simulated"].all()
    assert sweeps.from_stored([]).empty


def test_a_sweep_of_the_signal_to_noise_ratio_changes_nothing_but_noise(study):
    plan, world = study
    (same,) = plan.at_snr(world, world.snr, 1).recordings
    np.testing.assert_array_equal(same.signal, plan.dataset.of_animal(plan.animals[0])[0].signal)
    (worse,) = plan.at_snr(world, 1.0, 1).recordings
    np.testing.assert_array_equal(worse.behaviour["footstep"], same.behaviour["footstep"])
    assert not np.array_equal(worse.signal, same.signal)
    found = plan.sweep({snr: (plan.at_snr(world, snr), 1) for snr in (0.5, 20.0)}, ["logistic"])
    low, high = found.groupby("value")["auc"].mean()
    assert low < high - 0.1
    (less,) = plan.sweep({0.5: (plan.dataset, 0.5)}, ["logistic"], 1)["fold"]
    assert less.test_group == plan.folds(plan.animals[0])[0].test_group


def test_across_animals_needs_two_and_tests_each_on_its_own_test_block(study):
    plan, _ = study
    found = plan.across([0.0], ["aligned", "logistic"], width=6, seeds=2)
    assert found[["model", "seed", "animal"]].to_numpy().tolist() == [
        [way, s, a] for way, seeds in (("aligned", 2), ("logistic", 1)) for s in range(seeds) for a in plan.animals]
    by_seed = found.query("model == 'aligned'").groupby("seed")["auc"].mean()
    assert by_seed[0] != by_seed[1]  # the trunk, too, has its seed
    for animal, fold in zip(found["animal"], found["fold"], strict=True):
        (test,) = plan.folds(animal)[0].test
        np.testing.assert_array_equal(fold.centre, np.arange(test.start + 5, test.stop))
    one = Study(replace(plan.dataset, recordings=plan.dataset.recordings[:1]), 0, plan.settings, 6, 4)
    with pytest.raises(DataError, match="two or more"):
        one.across([0.0], ["aligned"])


def test_without_the_movement_of_one_animal_none_is_decoded(study):
    plan, _ = study
    first, *rest = plan.dataset.recordings
    without = replace(first, behaviour={"footstep": first.behaviour["footstep"]})
    other = Study(replace(plan.dataset, recordings=(without, *rest)), 0, plan.settings, 6, 4)
    assert not other.has_kinematics and plan.has_kinematics
    assert list(other.task.tasks) == ["footstep"] and list(plan.task.tasks) == ["footstep", "kinematics"]


def test_the_lstm_with_its_shorter_window_is_asked_about_the_same_frames(study):
    plan, _ = study
    folds = plan.folds(plan.animals[0])[:1]
    ends = {}
    for model in ("lstm", "hybrid"):
        experiment = plan.experiment(model, plan.animals[0], folds)
        ends[model] = [w.centre for w in experiment.fold_task(experiment.split.folds[0], model).windows()]
    for ours, theirs in zip(ends["lstm"], ends["hybrid"], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("way", ["read-in", "all layers"])
def test_what_is_adapted_has_not_converged_where_its_trunk_has_not(trunk, way):
    for losses, unsure in (([1.0, 0.5], True), ([1.0, 0.99], False)):
        history = {"train_loss": losses, "valid_loss": losses, "best_epoch": 1}
        found = adapting(replace(trunk, facts={"history": history}), made_recording(seed=3), way).run()
        assert (found.history.train_loss == losses) == unsure
        assert not unsure or convergence.not_converged([found])
