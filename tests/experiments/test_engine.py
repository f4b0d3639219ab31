"""Experiments: a planted effect is found, no effect scores chance, folds are stored and gone on with, leaks refused."""

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from calcium_decoding import models, preprocessing, splits
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import DataError, LeakError, ParameterError
from calcium_decoding.evaluation import nulls
from calcium_decoding.experiments import engine, folds, tasks
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.experiments.tasks import Continuous
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.preprocessing import shared_frames
from calcium_decoding.preprocessing.windows import WindowSpec
from calcium_decoding.simulation import widefield
from tests.conftest import ROOT, started_alone


def experiment(dataset, regime="animal_pairs", recipe="raw", spec=None, task=None, **settings):
    spec, recipe = spec or WindowSpec(5, 5), {"name": recipe, "rate_hz": 30.0}
    split = splits.build(regime, dataset, spec, preprocessing.build(**recipe))
    return engine.Experiment(dataset, split, Traces(recipe, spec), task or tasks.Binary(),
                             training=TrainingSettings(**settings))


def test_a_planted_effect_is_found_in_every_fold(tiny_dataset):
    results = engine.run(experiment(tiny_dataset), ["logistic", "logistic_window"], jobs=1)
    assert len(results) == 2 * 6
    assert min(r.scores["auc"] for r in results if r.model == "logistic") > 0.95
    window = np.mean([r.scores["auc"] for r in results if r.model == "logistic_window"])
    assert window > np.mean([r.scores["auc"] for r in results if r.model == "logistic"])


def test_training_scores_are_over_the_windows_trained_on(tiny_dataset):
    e = experiment(tiny_dataset)
    thinned = replace(e, training=replace(e.training, train_every=4))
    result = thinned.fold_task(e.split.folds[0], "logistic").run()
    train, valid, test = e.fold_task(e.split.folds[0], "logistic").windows()
    decoder = models.build("logistic", train.n_roi, e.spec.past_frames, e.training.seed)
    decoder.fit(train.some(slice(None, None, 4)))
    assert np.isclose(result.scores["auc_train"], roc_auc_score(train.labels[::4], decoder.output(train)[::4]))
    assert len(result.labels) == len(test) and len(result.valid_labels) == len(valid)
    assert e.key(e.split.folds[0], "logistic") != thinned.key(e.split.folds[0], "logistic")


def test_gru_finds_the_simulated_effect(clear_dataset):
    e = experiment(clear_dataset, recipe="published", spec=WindowSpec(10, 10), epochs=1, min_updates=150,
                   learning_rate=0.01)
    one = replace(e, split=splits.Split(e.split.regime, e.split.folds[:1], e.split.claim))
    assert engine.run(one, ["gru"], jobs=1)[0].scores["auc"] > 0.8


def test_no_link_scores_chance():
    # 12 independent data sets of 6 folds; the mean over folds of each is one draw around 0.5.
    means = []
    for seed in range(12):
        dataset = widefield.dataset(widefield.SimulationSettings(world="no_link", seed=seed, animals=3,
                                                           sessions_per_animal=3, frames_per_session=1500))
        results = engine.run(experiment(dataset, recipe="published"), ["logistic"], jobs=1)
        means.append(np.mean([r.scores["auc"] for r in results if r.scores]))
    error = np.std(means, ddof=1) / np.sqrt(len(means))
    assert abs(np.mean(means) - 0.5) < 3.5 * error
    assert error < 0.03  # else the line above could not fail


def test_predictions_are_of_the_test_recordings_alone_and_in_place(tiny_dataset):
    e = experiment(tiny_dataset)
    result = e.fold_task(e.split.folds[0], "logistic").run()
    test_ids = {s.recording for s in e.split.folds[0].test}
    assert set(result.recordings) == test_ids
    recording = next(r for r in tiny_dataset.recordings if r.id == result.recordings[1])
    centre, labels, p_run = result.trace(recording.id)
    np.testing.assert_array_equal(centre, np.arange(5, 295))
    np.testing.assert_array_equal(labels, recording.run[5:295])
    assert np.corrcoef(p_run, recording.signal[5:295, 0])[0, 1] > 0.5


def test_number_of_processes_does_not_matter(tiny_dataset):
    e = experiment(tiny_dataset, epochs=1)
    one, two = (engine.run(e, ["gru"], jobs=jobs) for jobs in (1, 2))
    for a, b in zip(one, two, strict=True):
        assert a.fold == b.fold
        np.testing.assert_array_equal(a.predicted, b.predicted)


def test_finished_folds_are_not_trained_again_and_read_back_equal(tiny_dataset, tmp_path, monkeypatch):
    e = experiment(tiny_dataset)
    first = engine.run(e, ["logistic"], store=tmp_path, jobs=1)
    monkeypatch.setattr(folds.FoldTask, "run", lambda *a, **k: pytest.fail("trained again"))
    again = engine.run(e, ["logistic"], store=tmp_path, jobs=1)
    for a, b in zip(first, again, strict=True):
        assert (a.fold, a.model, a.scores, a.recordings, a.history) == (b.fold, b.model, b.scores, b.recordings,
                                                                         b.history)
        for name in ("recording", "centre", "labels", "predicted"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_a_damaged_stored_fold_is_trained_again(tiny_dataset, tmp_path, damage):
    e = experiment(tiny_dataset)
    one = replace(e, split=splits.Split(e.split.regime, e.split.folds[:1], e.split.claim))
    first = engine.run(one, ["logistic"], store=tmp_path, jobs=1)[0]
    path = next(tmp_path.glob("*.npz"))
    path.write_bytes(path.read_bytes()[:-200] if damage is None else damage)
    again = engine.run(one, ["logistic"], store=tmp_path, jobs=1)[0]
    assert again.scores == first.scores
    assert folds.FoldResult.load(path).scores == first.scores  # and the store is whole again


@pytest.mark.parametrize("change", ["spec", "recipe", "training", "data", "model"])
def test_a_change_of_anything_that_matters_makes_stored_folds_stale(tiny_dataset, change):
    e, model = experiment(tiny_dataset), "gru"
    key = e.key(e.split.folds[0], model)
    if change == "spec":
        e = e.with_(window=WindowSpec(5, 4))
    elif change == "recipe":
        e = e.with_(preprocessing={"name": "published", "rate_hz": 30.0})
    elif change == "training":
        e = replace(e, training=replace(e.training, seed=1))
    elif change == "data":
        r = tiny_dataset.recordings[0]
        signal = r.signal.copy()
        signal[7, 2] += 1e-3
        e = replace(e, dataset=Dataset("tiny", (replace(r, signal=signal), *tiny_dataset.recordings[1:])))
    else:
        model = "logistic"
    assert e.key(e.split.folds[0], model) != key


def test_a_fold_without_both_classes_is_reported_and_the_others_go_on(tiny_dataset):
    resting = [replace(r, behaviour={"run": np.zeros(300)}) if r.animal == "a0" else r for r in tiny_dataset.recordings]
    results = engine.run(experiment(Dataset("d", tuple(resting))), ["logistic"], jobs=1)
    for r in results:
        if r.test_group == "a0":
            assert r.reason == "test frames: only rest" and not r.scores
        else:
            assert "training frames: only rest" in r.reason or r.scores["auc"] > 0.9


def test_a_leaking_split_is_refused_before_training(tiny_dataset):
    e = experiment(tiny_dataset)
    fold = e.split.folds[0]
    leaking = replace(fold, train=(*fold.train, fold.test[0]))
    with pytest.raises(LeakError):
        engine.run(replace(e, split=splits.Split("x", (leaking,), e.split.claim)), ["logistic"], jobs=1)


RUN = """
import sys; sys.path.insert(0, {root!r})
import numpy as np
from tests.experiments.test_engine import experiment
from calcium_decoding import experiments
from calcium_decoding.data.recording import Dataset, Recording
rng = np.random.default_rng(0)
def recording(a, s):
    run = (np.sin(np.arange(3000) / 30) > 0).astype(int)
    return Recording(rng.normal(size=(3000, 5)) + run[:, None], {{"run": run}}, 30.0, f"a{{a}}", f"s{{s}}")
dataset = Dataset("d", tuple(recording(a, s) for a in range(3) for s in range(2)))
results = experiments.run(experiment(dataset, epochs=4), ["gru"], store={store!r}, jobs={jobs})
print(",".join(f"{{r.scores['auc']:.9f}}" for r in results))
"""


def started(store, jobs=1):
    """A run of six folds in a process, and group of processes, of its own."""
    script = RUN.format(root=str(ROOT), store=str(store), jobs=jobs)
    return started_alone([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def stored_folds(store):
    return {p: p.stat().st_mtime_ns for p in store.glob("[!.]*.npz")}


def wait_for_folds(process, store, n):
    deadline = time.monotonic() + 300
    while len(stored_folds(store)) < n and time.monotonic() < deadline:
        assert process.poll() is None, "finished before it could be stopped"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return finished(started(tmp_path_factory.mktemp("whole")))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_run_goes_on_where_it_stopped(tmp_path, uninterrupted, jobs):
    victim = started(tmp_path, jobs)
    wait_for_folds(victim, tmp_path, 2)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    kept = stored_folds(tmp_path)
    assert 2 <= len(kept) < 6
    assert finished(started(tmp_path, jobs)) == uninterrupted and len(uninterrupted.split(",")) == 6
    assert kept.items() < stored_folds(tmp_path).items() and len(stored_folds(tmp_path)) == 6


def test_a_run_that_is_interrupted_stops_cleanly_and_keeps_what_it_has(tmp_path, uninterrupted):
    victim = started(tmp_path, 2)
    wait_for_folds(victim, tmp_path, 1)
    victim.send_signal(signal.SIGINT)
    _, err = victim.communicate(timeout=60)
    assert victim.returncode != 0 and "\nKeyboardInterrupt\n" in err and err.count("Traceback") == 1, err
    assert 1 <= len(stored_folds(tmp_path)) < 6
    with pytest.raises(ProcessLookupError):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:  # its workers end soon after
            os.killpg(victim.pid, 0)
            time.sleep(0.1)
    assert finished(started(tmp_path)) == uninterrupted


def test_two_runs_at_once_on_one_store_agree_and_leave_whole_files(tmp_path, uninterrupted):
    together = [started(tmp_path), started(tmp_path)]
    assert [finished(process) for process in together] == [uninterrupted] * 2
    assert len(stored_folds(tmp_path)) == 6 and all(folds.FoldResult.load(path) for path in stored_folds(tmp_path))
    left = {p.name for p in tmp_path.iterdir() if p not in stored_folds(tmp_path)}
    weights = {f"{p.stem}.weights.safetensors" for p in stored_folds(tmp_path)}
    assert left == {"frames"} | weights  # no checkpoint, nothing half written


def slow_dataset(seed, drift, n_frames=900, animals=3):
    """Noise that knows nothing of running, which comes in bouts and, if asked for, more and more in each session."""
    rng = np.random.default_rng(seed)
    recordings = []
    for animal in range(animals):
        for session in range(3):
            bouts = np.repeat(rng.random(n_frames // 30 + 1), 30)[:n_frames]
            run = bouts < (np.linspace(0, 1, n_frames) if drift else 0.5)
            signal = rng.normal(size=(n_frames, 4))
            recordings.append(Recording(signal, {"run": run}, 30.0, f"a{animal}", f"s{session}"))
    return Dataset("slow", tuple(recordings))


@pytest.mark.parametrize("regime", ["animal_pairs", "leave_one_session_out"])
def test_the_clock_scores_where_behaviour_drifts_and_only_there(regime):
    def score(seed, drift):
        results = engine.run(experiment(slow_dataset(seed, drift), regime, "scaled"), ["time_only"], jobs=1)
        return np.mean([r.scores["auc"] for r in results])

    assert score(0, True) > 0.75
    flat = [score(seed, False) for seed in range(6)]
    error = np.std(flat, ddof=1) / np.sqrt(len(flat))
    assert abs(np.mean(flat) - 0.5) < 3.5 * error and error < 0.03


def test_a_leaky_split_runs_only_when_asked_to_and_says_so():
    dataset = slow_dataset(0, False)
    e = experiment(dataset, "random_windows", "scaled")
    with pytest.raises(LeakError, match="overlap"):
        engine.run(e, ["time_only"], jobs=1)
    leaky = engine.run(e, ["time_only"], jobs=1, allow_leak=True)
    assert all("LEAKY" in r.fold for r in leaky)
    for result, fold in zip(leaky, e.split.folds, strict=True):
        tested = sorted((s.recording, t) for s in fold.test for t in range(s.start, s.stop))
        assert list(zip([result.recordings[i] for i in result.recording], result.centre.tolist(),
                        strict=True)) == tested
        run = next(r for r in dataset.recordings if r.id == result.recordings[0]).run
        np.testing.assert_array_equal(result.labels, run[result.centre])
    # Bouts of 30 frames and windows dealt at random: even the clock knows the bout of a test window.
    sound = engine.run(experiment(dataset, "animal_pairs", "scaled"), ["time_only"], jobs=1)
    assert np.mean([r.scores["auc"] for r in leaky]) > np.mean([r.scores["auc"] for r in sound]) + 0.1
    with pytest.raises(LeakError, match="segments of both"):
        fold = experiment(dataset).split.folds[0]
        mixed = splits.Split("x", (replace(fold, train=(*fold.train, fold.test[0])),), "within session")
        engine.run(replace(e, split=mixed), ["time_only"], jobs=1, allow_leak=True)


def test_validation_predictions_are_of_the_validation_windows(tiny_dataset, tmp_path):
    e = experiment(tiny_dataset)
    first = engine.run(e, ["logistic"], store=tmp_path, jobs=1)
    fold = e.split.folds[2]
    expected = np.concatenate([r.run[5:295] for r in tiny_dataset.recordings if r.animal == fold.tags["valid_animal"]])
    np.testing.assert_array_equal(first[2].valid_labels, expected)
    # The same frames as the test of the fold in which they are tested, by another decoder that knows the effect too.
    assert roc_auc_score(first[2].valid_labels, first[2].valid_predicted) > 0.95
    again = engine.run(e, ["logistic"], store=tmp_path, jobs=1)
    np.testing.assert_array_equal(again[2].valid_predicted, first[2].valid_predicted)


def counted_runs(monkeypatch):
    """Names of folds as they are trained, in this process."""
    names, original = [], folds.FoldTask.run

    def run(task, *args):
        names.append((task.split.folds[0].name, task.model))
        return original(task, *args)

    monkeypatch.setattr(folds.FoldTask, "run", run)
    return names


def same(one, other):
    """Every field of two fold results is equal, bit by bit, but for the time it took."""
    for name in set(folds.FoldResult.__dataclass_fields__) - {"seconds"}:
        a, b = getattr(one, name), getattr(other, name)
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b


def test_plans_run_together_give_what_they_give_alone_and_share_folds(tiny_dataset, tmp_path, monkeypatch):
    e = experiment(tiny_dataset)
    first = replace(e, split=replace(e.split, folds=e.split.folds[:3]))
    longer = e.with_(window=WindowSpec(8, 2))
    alone = [engine.run(plan, ["logistic"], jobs=1) for plan in (first, e, longer)]
    names = counted_runs(monkeypatch)
    plans = [(first, ["logistic"]), (e, ["logistic"]), (longer, ["logistic"]), (e, [])]
    together = engine.run_many(plans, tmp_path, jobs=1)
    assert len(names) == 6 + 6  # the three folds of the first plan are folds of the second
    assert [len(results) for results in together] == [3, 6, 6, 0]
    for one, other in zip(alone, together, strict=False):
        for a, b in zip(one, other, strict=True):
            same(a, b)
    engine.run_many(plans, tmp_path, jobs=1)
    assert len(names) == 12


def test_a_leak_in_any_plan_is_refused_before_anything_is_trained(tiny_dataset, monkeypatch):
    e = experiment(tiny_dataset)
    fold = e.split.folds[0]
    leaking = replace(e, split=replace(e.split, folds=(replace(fold, train=(*fold.train, fold.test[0])),)))
    names = counted_runs(monkeypatch)
    with pytest.raises(LeakError):
        engine.run_many([(e, ["logistic"]), (leaking, ["logistic"])], jobs=1)
    assert not names


@pytest.mark.parametrize("recipe", ["published", "raw", "causal"])
def test_shared_frames_give_the_bits_that_copies_give(tiny_dataset, recipe):
    e = experiment(tiny_dataset, recipe=recipe, epochs=2)
    e = replace(e, split=replace(e.split, folds=e.split.folds[:2]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # PyTorch warns of arrays that it may not write to
        shared = engine.run(e, ["gru", "logistic_window"], jobs=1)
    copied = [e.fold_task(fold, model).run() for model in ("gru", "logistic_window") for fold in e.split.folds]
    for a, b in zip(shared, copied, strict=True):
        same(a, b)


@pytest.mark.parametrize("regime", ["blocked", "random_windows"])
def test_shared_frames_give_the_bits_that_copies_give_within_recordings(regime):
    dataset = slow_dataset(1, False)
    e = experiment(dataset, regime, "raw" if regime == "random_windows" else "scaled")
    e = replace(e, split=replace(e.split, folds=e.split.folds[:2]))
    shared = engine.run(e, ["logistic"], jobs=1, allow_leak=True)
    for a, fold in zip(shared, e.split.folds, strict=True):
        same(a, e.fold_task(fold, "logistic").run())


def test_recordings_with_different_numbers_of_rois_run_each_by_itself():
    dataset = slow_dataset(2, False, animals=1)
    wide = [replace(r, signal=np.tile(r.signal, (1, i + 1)), roi_names=()) for i, r in enumerate(dataset.recordings)]
    e = experiment(Dataset("wide", tuple(wide)), "blocked", "scaled")
    for a, fold in zip(engine.run(e, ["logistic"], jobs=2), e.split.folds, strict=True):
        same(a, e.fold_task(fold, "logistic").run())


def test_frames_are_prepared_once_and_later_runs_find_them(tiny_dataset, tmp_path):
    e = experiment(tiny_dataset, recipe="published")
    engine.run(e, ["logistic"], store=tmp_path, jobs=1)
    made = {path: path.stat().st_ino for path in (tmp_path / "frames").glob("*.npy")}
    assert len(made) == 2  # raw and preprocessed
    engine.run(e.with_(window=WindowSpec(3, 3)), ["logistic"], store=tmp_path, jobs=1)
    assert {path: path.stat().st_ino for path in (tmp_path / "frames").glob("*.npy")} == made
    other = e.with_(preprocessing={**e.recipe, "baseline_frames": 20})
    engine.run(other, ["logistic"], store=tmp_path, jobs=1)
    assert len(list((tmp_path / "frames").glob("*.npy"))) == 3


def test_without_a_store_nothing_is_left(tiny_dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    engine.run(experiment(tiny_dataset), ["logistic"], jobs=1)
    assert not list(tmp_path.iterdir())


def test_signals_travel_only_where_they_are_needed(tiny_dataset, tmp_path):
    extra = Recording(np.random.default_rng(1).normal(size=(300, 5)), {"run": tiny_dataset.recordings[0].run}, 30.0,
                      "b", "s")
    e = experiment(tiny_dataset)
    wide = replace(e, dataset=Dataset("d", (*tiny_dataset.recordings, extra)))
    task = wide.fold_task(e.split.folds[0], "gru")
    assert set(task.signals) == set(task.labels) == {r.id for r in tiny_dataset.recordings}
    assert task.split.folds == e.split.folds[:1]
    with shared_frames.share(tiny_dataset.recordings, tmp_path) as signals:
        light = len(pickle.dumps(e.fold_task(e.split.folds[0], "gru", signals)))
    assert len(pickle.dumps(task)) - light > 0.95 * sum(r.signal.nbytes for r in tiny_dataset.recordings)


def speed_dataset(still=(), n_frames=400, seed=0):
    """Three animals, two sessions each, whose first ROI is their speed and noise; named sessions never move."""
    rng = np.random.default_rng(seed)
    recordings = []
    for animal in range(3):
        for session in range(2):
            name = f"a{animal}/s{session}"
            run = (np.sin(np.arange(n_frames) / 15 + rng.uniform(0, 6)) > 0) & (name not in still)
            speed = run * rng.gamma(4, 3, n_frames)
            signal = rng.normal(size=(n_frames, 5)) + np.outer(speed, [0.5, 0, 0, 0, 0])
            recordings.append(Recording(signal, {"run": run, "speed_cm_s": speed}, 30.0, *name.split("/")))
    return Dataset("speed", tuple(recordings))


def speed_experiment(dataset, smoothing="none", **settings):
    return experiment(dataset, task=Continuous("speed", smoothing=smoothing), **settings)


def test_a_planted_speed_is_decoded_in_its_unit_and_scored_within_running_too(tmp_path):
    e = speed_experiment(speed_dataset(), recipe="scaled")
    results = engine.run(e, ["linear", "ridge_window"], store=tmp_path, jobs=1)
    for r in results:
        assert (r.kind, r.target) == ("continuous", "speed") and not r.reason and r.notes == ()
        error = np.abs(r.labels - r.predicted)
        assert r.scores["mae"] == pytest.approx(error.mean()) and r.scores["mae"] < 3
        assert r.scores["mae_running"] == pytest.approx(error[r.running == 1].mean())
        assert 0.5 < r.scores["r2"] and r.scores["r2_running"] < r.scores["r2"] > r.scores["r2_class_mean"] - 0.2
        recording = next(x for x in e.dataset.recordings if x.id == r.recordings[0])
        centre, speed, _ = r.trace(recording.id)
        np.testing.assert_array_equal(speed, recording.behaviour["speed_cm_s"][centre])
        np.testing.assert_array_equal(r.running[r.recording == 0], recording.run[centre])
    for a, b in zip(results, engine.run(e, ["linear", "ridge_window"], store=tmp_path, jobs=1), strict=True):
        same(a, b)


def test_the_network_of_the_study_learns_speed_and_processes_agree():
    e = speed_experiment(speed_dataset(), "causal_5", epochs=2, min_updates=300, learning_rate=0.005, batch_size=64)
    e = replace(e, split=replace(e.split, folds=e.split.folds[:2]))
    one, two = (engine.run(e, ["speed_gru_scaled"], jobs=jobs) for jobs in (1, 2))
    for a, b in zip(one, two, strict=True):
        same(a, b)
        assert a.scores["r2"] > 0.3 and "r2_valid" in a.scores and len(a.history.train_loss) >= 2


def test_sessions_without_movement_are_named_and_folds_of_nothing_else_have_a_reason():
    results = engine.run(speed_experiment(speed_dataset(["a0/s1"])), ["linear"], jobs=1)
    noted = {r.test_group: r.notes for r in results}
    assert noted["a0"] == ("a0/s1: its speed never changes, so it has no R2 of its own",) and noted["a1"] == ()
    results = engine.run(speed_experiment(speed_dataset(["a0/s0", "a0/s1"])), ["linear"], jobs=1)
    for r in results:
        if r.test_group == "a0":
            assert r.reason == "test frames: only speed 0" and r.scores == {} and np.isnan(r.predicted).all()
        elif "a0" in r.fold.split("valid=")[1]:
            assert "r2_valid" not in r.scores and r.scores["r2"] > 0.5
        else:
            assert np.isfinite(list(r.scores.values())).all()


def test_recordings_without_a_run_label_are_scored_without_it():
    bare = [replace(r, behaviour={"speed_cm_s": r.behaviour["speed_cm_s"]}) for r in speed_dataset().recordings]
    for r in engine.run(speed_experiment(Dataset("bare", tuple(bare))), ["linear"], jobs=1):
        assert not len(r.running) and "r2_running" not in r.scores and r.scores["r2"] > 0.5
        assert r.notes == ("no run label: no scores within running frames",)


def test_the_audit_counts_what_the_smoothing_of_the_target_reaches():
    e = speed_experiment(speed_dataset(n_frames=900))
    tight = e.with_(split=splits.build("blocked", e.dataset, e.spec, preprocessing.build("scaled", 30.0)),
                    preprocessing={"name": "scaled", "rate_hz": 30.0})
    assert engine.run(tight, ["linear"], jobs=1)
    smoothed = tight.with_(task=Continuous("speed", smoothing="moving_mean_30"))
    with pytest.raises(LeakError, match="smoothing of the label"):
        engine.run(smoothed, ["linear"], jobs=1)
    wide = splits.build("blocked", e.dataset, e.spec, preprocessing.build("scaled", 30.0),
                        label_smoothing_frames=smoothed.task.reach)
    assert engine.run(replace(smoothed, split=wide), ["linear"], jobs=1)


@pytest.mark.parametrize(("target", "model"), [("run", "linear"), ("speed", "logistic"), ("run", "nothing")])
def test_a_model_that_decodes_something_else_is_refused_before_training(target, model):
    e = experiment(speed_dataset()).with_(task=tasks.task_of(target))
    with pytest.raises(ParameterError, match=model):
        engine.run(e, [model], jobs=1)


def test_target_and_smoothing_are_part_of_the_key():
    e = experiment(speed_dataset())
    fold = e.split.folds[0]
    targets = Continuous("speed"), Continuous("speed_cm_s"), Continuous("speed", smoothing="causal_30")
    variants = [e, *(e.with_(task=task) for task in targets)]
    assert len({one.key(fold, "linear") for one in variants}) == 4


def test_a_null_is_the_same_experiment_on_behaviour_of_other_sessions(tiny_dataset):
    e = engine.Experiment(tiny_dataset, decoders=("logistic",))
    null = e.null(seed=3)
    assert null.split.regime == e.split.regime and null.decoders == e.decoders and null.input == e.input
    expected = nulls.null_of("repairing")(tiny_dataset, 3)
    assert [r.content_hash() for r in null.dataset.recordings] == [r.content_hash() for r in expected.recordings]
    (one, *_), (other, *_) = (x.with_folds(2).run(jobs=1) for x in (e, null))
    assert other.scores["auc"] < one.scores["auc"] and e.key(e.split.folds[0], "logistic") != null.key(
        null.split.folds[0], "logistic")
    single = replace(tiny_dataset, recordings=tuple({r.animal: r for r in tiny_dataset.recordings}.values()))
    with pytest.raises(DataError, match="session"):
        engine.Experiment(single, "animal_pairs", decoders=("logistic",)).null()


def test_the_order_of_classes_and_whether_data_are_simulated_decide_a_key(tiny_dataset):
    def key(dataset=tiny_dataset, **classes):
        e = engine.Experiment(dataset, task=tasks.Classes("run", classes), decoders=("logistic",))
        return e.key(e.split.folds[0], "logistic")

    recorded = replace(tiny_dataset, recordings=tuple(replace(r, simulated=False) for r in tiny_dataset.recordings))
    keys = [key(rest=0, run=1), key(run=1, rest=0), key(recorded, rest=0, run=1)]
    assert len(set(keys)) == 3 and key(rest=0, run=1) == keys[0]


def test_what_the_data_decided_is_decided_anew_also_after_some_folds_were_chosen(tiny_dataset):
    def with_states(n, slower=1):
        return replace(tiny_dataset, recordings=tuple(
            replace(r, rate_hz=r.rate_hz / slower, behaviour={"state": r.run * (1 + np.arange(r.n_frames) % n)})
            for r in tiny_dataset.recordings))

    few = engine.Experiment(with_states(1), "blocked", task=tasks.Classes("state"), decoders=("logistic",))
    few = few.with_folds(2)
    other = few.with_(dataset=with_states(2, slower=2))
    assert other.recipe["rate_hz"] == few.recipe["rate_hz"] / 2 and len(other.split.folds) == 2
    assert len(few.task.classes) == 2 and len(other.task.classes) == 3
    assert few.with_(split="animal_pairs").recipe["name"] == "published"
    assert len(few.null(1).split.folds) == 2 == len(few.null(1).with_folds(0).with_folds(2).split.folds)


def test_map_audits_and_what_is_no_input_or_task_is_refused(tiny_dataset):
    leaky = engine.Experiment(tiny_dataset, "random_windows", decoders=("logistic",)).with_folds(1)
    with pytest.raises(LeakError):
        leaky.map(len, "logistic", name="x")
    for name, bad in (("task", "run"), ("input", Traces), ("decoders", [])):
        with pytest.raises(ParameterError, match=name):
            engine.Experiment(tiny_dataset, **{name: bad})
    with pytest.raises(ParameterError, match="n_folds"):
        leaky.with_folds(-1)


def test_a_damaged_fold_and_damaged_weights_are_made_again(tiny_dataset, tmp_path):
    e = engine.Experiment(tiny_dataset, decoders=("gru",), training=TrainingSettings(epochs=1)).with_folds(1)
    (first,) = e.run(store=tmp_path, jobs=1)
    (path,), (weights,) = tmp_path.glob("*.npz"), tmp_path.glob("*.weights.safetensors")
    whole = path.read_bytes()
    for place in range(60, len(whole), len(whole) // 40):  # a bit flips on the disk
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        folds.FoldResult.load(path)
    path.write_bytes(whole[:100])
    weights.write_bytes(weights.read_bytes()[:50])
    (again,) = e.run(store=tmp_path, jobs=1)
    same(first, again)
