"""Across animals, sweeps and where information sits: planted effects, brute force, truth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LinearRegression

from calcium_decoding.data.recording import Dataset
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.experiments import transfer
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
    assert task.run().scores["balanced_accuracy"] > 0.7
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
    assert cell_importance.rank_correlation(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == pytest.approx(-1)
    with pytest.raises(DataError, match="truth"):
        cell_importance.recovered(np.arange(3.0), np.zeros(3, bool))
    with pytest.raises(DataError, match="rank"):
        cell_importance.rank_correlation(np.ones(3), np.arange(3.0))


@pytest.fixture(scope="module")
def study():
    world = World(animals=3, sessions=1, frames=600, min_cells=20, max_cells=24, gain=3.0, snr=20.0, seed=3)
    dataset, _ = simulate(world)
    return Study(dataset, FootstepTraining(epochs=1, every_frames=4, size=TINY), window=6, lstm_window=4, blocks=2,
                 seeds=2, jobs=1), world


def test_a_study_runs_every_model_on_every_animal_block_and_seed(study):
    plan, _ = study
    found = plan.decode(["majority", "logistic"])
    names = [(r.names["model"], r.names["animal"], r.names["block"], r.names["seed"]) for r in found]
    assert names == [(m, a, b, 0) for m in ("majority", "logistic") for a in plan.animals for b in (0, 2)]
    scores = {m: np.mean([r.scores["balanced_accuracy"] for r in found if r.names["model"] == m])
              for m in ("majority", "logistic")}
    assert scores["majority"] == pytest.approx(1 / 3) and scores["logistic"] > 0.5
    null = plan.null("logistic")
    at_chance = np.mean([r.scores["balanced_accuracy"] for r in null])
    assert at_chance < 0.45 < scores["logistic"]
    assert plan.split.claim == "within session" and len(plan.split.folds) == 6


def test_a_sweep_of_the_signal_to_noise_ratio_changes_nothing_but_noise(study):
    plan, world = study
    one = plan.animals[1]
    (same,) = plan.changed("snr", world.snr, [one], world).recordings
    np.testing.assert_array_equal(same.signal, plan.dataset.of_animal(one)[0].signal)
    (worse,) = plan.changed("snr", 1.0, [one], world).recordings
    np.testing.assert_array_equal(worse.behaviour["footstep"], same.behaviour["footstep"])
    assert not np.array_equal(worse.signal, same.signal)
    found = plan.sweep("snr", [0.5, 20.0], ["logistic"], known=world)
    low, high = (np.mean([r.scores["auc"] for r in found if r.names["value"] == v])
                 for v in (0.5, 20.0))
    assert low < high - 0.1
    with pytest.raises(DataError, match="world"):
        plan.sweep("snr", [1.0], ["logistic"])


def test_across_animals_needs_two_and_tests_each_on_its_own_test_block(study):
    plan, _ = study
    found = plan.across([0.0], ["aligned", "logistic"], width=6)
    assert [(r.names["model"], r.names["animal"]) for r in found] == [
        (way, a) for way in ("aligned", "logistic") for a in plan.animals]
    for r in found:
        (test,) = plan.fold(r.names["animal"], 0).test
        np.testing.assert_array_equal(r.fold.centre, np.arange(test.start + 5, test.stop))
    one = Study(plan.dataset, plan.settings, 6, 4, n_animals=1, jobs=1)
    with pytest.raises(DataError, match="two or more"):
        one.across([0.0], ["aligned"])


def test_without_the_movement_of_one_animal_none_is_decoded_and_the_page_says_so(study):
    plan, _ = study
    first, *rest = plan.dataset.recordings
    without = replace(first, behaviour={"footstep": first.behaviour["footstep"]})
    other = Study(replace(plan.dataset, recordings=(without, *rest)), plan.settings, 6, 4, jobs=1)
    assert not other.has_kinematics and "NOT in these" in other.described()
    assert list(other.task.tasks) == ["footstep"] and list(plan.task.tasks) == ["footstep", "kinematics"]
    assert plan.has_kinematics and "kinematics known" in plan.described()


def test_the_lstm_with_its_shorter_window_is_asked_about_the_same_frames(study):
    plan, _ = study
    folds = [plan.fold(plan.animals[0], 0)]
    ends = {}
    for model in ("lstm", "hybrid"):
        experiment = plan.experiment(model, plan.animals[0], folds)
        ends[model] = [w.centre for w in experiment.fold_task(experiment.split.folds[0], model).windows()]
    for ours, theirs in zip(ends["lstm"], ends["hybrid"], strict=True):
        np.testing.assert_array_equal(ours, theirs)
