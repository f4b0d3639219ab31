"""Speed as what is decoded: flagged jumps, what scores are made of, and what does not exist, against known truth."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from calcium_decoding import splits
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import conformal, metrics
from calcium_decoding.experiments import compare
from calcium_decoding.experiments.compare import Condition, ConditionResult
from calcium_decoding.experiments.engine import Experiment
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.experiments.tasks import Continuous
from calcium_decoding.models.names import LABELS
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.plotting import comparisons
from calcium_decoding.preprocessing.windows import WindowSpec
from decoding_book import chapter, execute, parameters
from decoding_book.chapters import speeds


def make_recording(animal, session, seed, jumps=(), still=False, name="velocity", n=400):
    rng = np.random.default_rng(seed)
    run = np.zeros(n, np.uint8) if still else (np.sin(np.arange(n) / 20 + seed) > 0).astype(np.uint8)
    speed = run * (30 + 5 * np.sin(np.arange(n) / 7) + rng.normal(size=n))
    signal = np.column_stack([speed + rng.normal(size=n), run + 0.3 * rng.normal(size=n), rng.normal(size=n)])
    if name == "velocity":
        speed = speed * np.where(np.arange(n) // 50 % 2, 1, -1)  # there and back
    speed[list(jumps)] = 900.0
    return Recording(signal, {"run": run, name: speed}, 30.0, animal, session, simulated=True)


def make_dataset(**of_last):
    pairs = [(f"a{a}", f"s{s}") for a in range(3) for s in range(2)]
    recordings = [make_recording(animal, session, i, **(of_last if i == 5 else {}))
                  for i, (animal, session) in enumerate(pairs)]
    return Dataset("made", tuple(recordings))


def experiment(dataset, smoothing="none"):
    return Experiment(dataset, splits.animal_pairs(dataset),
                      Traces({"name": "scaled", "rate_hz": 30.0}, WindowSpec(2, 2)),
                      Continuous("speed", smoothing=smoothing), training=TrainingSettings(epochs=1))


def conditions(experiment, *models):
    return [Condition(LABELS[model], experiment, model) for model in models]


@pytest.fixture(scope="module")
def found():
    return compare.run(conditions(experiment(make_dataset()), "linear", "ridge_window"), jobs=1)


def test_the_fence_is_tukeys_and_the_planted_jumps_are_flagged():
    recording = make_recording("a", "s", 1, jumps=(40, 41, 200))
    running = np.abs(recording.behaviour["velocity"][recording.run == 1])
    low, high = np.percentile(running, [25, 75])
    assert speeds.outer_fence(recording) == pytest.approx(high + 3 * (high - low))
    data = Dataset("one", (recording, make_recording("a", "t", 2)))
    fixed, flagged, statement = speeds.repaired(data)
    assert flagged.to_dict("records")[0] | {"fence": 0} == {"session": "a/s", "frames": 400, "flagged": 3, "fence": 0,
                                                            "largest": 900.0}
    assert "3 of 800 frames" in statement and len(flagged) == 1
    before, after = (np.abs(d.recordings[0].behaviour["velocity"]) for d in (data, fixed))
    changed = np.flatnonzero(before != after)
    assert changed.tolist() == [40, 41, 200] and len(after) == 400  # no frame is left out
    assert after[40] == pytest.approx(before[39] + (before[42] - before[39]) / 3, rel=1e-5)
    assert "3 frames" in fixed.recordings[0].notes[-1]
    assert fixed.recordings[1] is data.recordings[1]


def test_calm_speeds_are_not_flagged():
    assert speeds.repaired(make_dataset())[1].empty


def test_a_session_that_never_runs_has_no_fence_and_nothing_flagged():
    recording = make_recording("a", "s", 1, jumps=(9,), still=True)
    assert speeds.outer_fence(recording) is None
    assert speeds.repaired(Dataset("one", (recording,)))[1].empty


def test_refusals_and_other_behaviours():
    data = Dataset("one", (make_recording("a", "s", 1, name="wheel"),))
    with pytest.raises(DataError, match="speed_cm_s or velocity"):
        speeds.repaired(data)
    assert speeds.repaired(data, "wheel")[0] is data
    assert Continuous("wheel").unit(data) == "the recording's own unit"


def test_beyond_the_class_mean_is_the_share_of_its_error_taken_away(found):
    rng = np.random.default_rng(0)
    run = np.tile([0, 1], 500)
    speed = run * (20 + 6 * rng.normal(size=1000))
    decoded = speed + 2 * rng.normal(size=1000)
    scores, _ = metrics.speed_scores(speed, decoded, run, (0.0, 20.0))
    theirs, ours = np.sum((speed - 20 * run) ** 2), np.sum((speed - decoded) ** 2)
    cases = scores, {**scores, "r2": scores["r2_class_mean"]}, {"r2": 0.3}, {"r2": 0.3, "r2_class_mean": 1.0}
    folds = [replace(found[0].folds[0], scores=case) for case in cases]
    beyond = speeds.parts([ConditionResult(found[0].condition, folds)])["beyond_classes"]
    assert beyond[0] == pytest.approx(1 - ours / theirs) and beyond[1] == pytest.approx(0)
    assert beyond[2:].isna().all()


def test_a_decoder_that_knows_only_run_and_rest_scores_high_and_explains_nothing_beyond(found):
    fold = found[0].folds[0]
    boxes = np.where(fold.running == 1, 30.0, 0.0)
    scores, _ = metrics.speed_scores(fold.labels, boxes, fold.running, (0.0, 30.0))
    box = ConditionResult(found[0].condition, [replace(fold, predicted=boxes, scores=scores)])
    row = speeds.parts([box]).iloc[0]
    assert row["r2"] > 0.9 and row["beyond_classes"] == pytest.approx(0) and row["r2_running"] <= 0
    assert speeds.parts([found[0]])["beyond_classes"].min() > 0.1  # the signal holds more than the class


def test_scores_against_the_recorded_speed_are_named_where_jumps_were_replaced():
    data = make_dataset(jumps=(100,))
    fixed, _, _ = speeds.repaired(data)
    ours = compare.run(conditions(experiment(fixed), "linear"), jobs=1)
    table = speeds.against_recorded(ours, data)
    assert len(table) == 2 and table["fold"].str.startswith("test=a2").all()  # the two folds that test the animal
    assert (table["R2 as repaired"] > 0.8).all() and (table["R2 as recorded"] < 0.5).all()
    assert speeds.against_recorded(ours, fixed).empty


def test_negative_scores_stay_and_what_does_not_exist_is_said_in_words(found):
    fold = found[0].folds[0]
    worse = replace(fold, scores={"r2": -2.5, "mae": 9.0})
    gone = replace(found[0].folds[1], scores={}, reason="test frames: only speed 0")
    other = found[0].folds[2]
    made = ConditionResult(found[0].condition, [worse, gone, other])
    mean = np.mean([-2.5, other.scores["r2"]])
    assert compare.table([made], "r2")["mean"][0] == pytest.approx(mean)
    alone = ConditionResult(found[0].condition, [worse])
    nothing = ConditionResult(found[1].condition, [gone])
    table = speeds.parts_table(speeds.parts([alone, nothing]))
    assert not table.isna().any(axis=None) and not (table.astype(str) == "nan").any(axis=None)
    assert set(speeds.parts_table(speeds.parts([alone]))["R2, running frames only"]) == {"none"}


def test_an_animal_that_never_moves_is_a_row_of_reasons_and_no_nan():
    recordings = [make_recording(f"a{a}", f"s{s}", 2 * a + s, still=a == 2) for a in range(3) for s in range(2)]
    ours = compare.run(conditions(experiment(Dataset("made", tuple(recordings))), "linear"), jobs=1)
    reasons = [fold.reason for fold in ours[0].folds if fold.fold.startswith("test=a2")]
    assert len(reasons) == 2 and all(reason.startswith("test frames: only speed 0") for reason in reasons)
    alone = [fold for fold in ours[0].folds if fold.reason.startswith("training frames: only speed 0")]
    assert len(alone) == 2  # where it is the only animal that trains
    assert compare.table(ours, "r2")["folds"].tolist() == [2]
    scores = speeds.card_scores(ours)
    assert all(np.isfinite(score.value) for score in scores)
    assert ("linear", "r2", "mean of 2 folds") in {(s.model, s.metric, s.scope) for s in scores}


def test_published_figures_are_the_papers():
    asked = experiment(make_dataset(), "moving_mean_30")
    gru, linear = (Condition(name, asked, name, published=key) for name, key in speeds.PUBLISHED.items())
    assert gru.published_score("r2") == (0.44, 0.12) and linear.published_score("mae") == (17.4, 1.12)


def test_the_card_has_scores_by_the_decoders_own_name_and_measured_coverage(found):
    names = {(score.model, score.metric) for score in speeds.card_scores(found, ", none")}
    assert {("linear, none", "r2"), ("linear, none", "r2_running"), ("ridge_window, none", "beyond_classes")} <= names


def test_the_trace_shows_the_recorded_speed_and_the_intervals(found):
    place = speeds.middle_session(found, 120)
    _, ax = plt.subplots()
    band = conformal.Band(0.9, 4.0)
    speeds.trace(found[0], place, 120, 30.0, ax, "cm/s", (band, "90 %"))
    true = next(line for line in ax.lines if line.get_label() == "true")
    fold = next(f for f in found[0].folds if f.fold == place[0])
    recording = next(r for r in found[0].condition.experiment.dataset.recordings if r.id == place[1])
    frames = np.round(true.get_xdata() * 30).astype(int)
    assert np.array_equal(true.get_ydata(), Continuous("speed").target(recording)[frames])
    assert "90 %" in ax.get_legend_handles_labels()[1] and fold.fold in ax.get_title() + ax.get_title("left")
    median = np.median([f.scores["r2"] for f in found[0].folds])
    assert sorted(f.scores["r2"] for f in found[0].folds).index(fold.scores["r2"]) == 2 and fold.scores["r2"] <= median
    plt.close("all")


def test_chance_of_r2_is_drawn_at_zero_and_an_error_has_none(found):
    _, axes = plt.subplots(1, 2)
    comparisons.strip(found, axes[0], metric="r2")
    comparisons.strip(found, axes[1], metric="mae")
    dashed = [[line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == "--"] for ax in axes]
    assert dashed == [[0.0], []]
    assert axes[0].get_ylabel().startswith("R²")
    plt.close("all")


def test_errors_without_any_score_are_an_empty_table(found):
    nothing = [ConditionResult(found[0].condition, [replace(found[0].folds[0], scores={}, reason="no")])]
    assert speeds.parts(nothing).empty and speeds.parts_table(speeds.parts(nothing)).empty
    with pytest.raises(ValueError, match="no fold has a score"):
        speeds.middle_session(nothing, 10)


def chapter_of(dataset, **changes):
    given = {**execute.defaults("30_speed_regression"), "past_frames": 2, "future_frames": 2, **changes}
    return chapter.Chapter("30_speed_regression", parameters.validate("30_speed_regression", given), dataset)


def test_a_planned_experiment_decodes_the_target_and_keeps_its_smoothing_apart():
    data = make_dataset()
    chapter = chapter_of(data, regime="blocked", recipe="scaled", n_blocks=3)
    gaps = {}
    for smoothing in ("none", "moving_mean_30", "causal_30"):
        plan = chapter.plan(say=False, target="speed", target_smoothing=smoothing)
        assert plan.task == Continuous("speed", smoothing=smoothing)
        fold = plan.split.folds[1]
        ends = {segment.recording: segment.start for segment in fold.test}
        gaps[smoothing] = min(abs(ends[segment.recording] - segment.stop) for segment in fold.train
                              if segment.recording in ends and segment.stop <= ends[segment.recording])
    assert gaps["moving_mean_30"] == gaps["causal_30"] == gaps["none"] + 29
    assert chapter.plan(say=False).task == Continuous("speed")


def test_a_data_set_without_speed_is_refused_when_it_is_planned():
    data = Dataset("one", tuple(make_recording(f"a{a}", "s", a, name="wheel") for a in range(3)))
    with pytest.raises(DataError, match="speed_cm_s or velocity"):
        chapter_of(data).plan(say=False, target="speed")
    assert chapter_of(data).plan(say=False, target="wheel").task.name == "wheel"


@pytest.mark.parametrize(("name", "value"), [("smoothings", "mean_30"), ("smoothings", ""), ("models", "gru"),
                                             ("target", ""), ("folds", -1)])
def test_parameters_that_make_no_sense_are_refused(name, value):
    with pytest.raises(ParameterError, match=name):
        chapter_of(make_dataset(), **{name: value})
