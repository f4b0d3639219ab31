"""Windows, sides and label shifts: the frames and labels they use, counted one by one, and what they look ahead."""

from dataclasses import replace

import numpy as np
import pytest

from calcium_decoding import preprocessing, splits
from calcium_decoding.errors import ParameterError
from calcium_decoding.experiments import compare, engine
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.models.training import TrainingSettings
from decoding_book.chapters import timing


@pytest.fixture
def plan(tiny_dataset):
    def make(spec, dataset=None, recipe="published", say=False, n_folds=0):
        dataset, recipe = dataset or tiny_dataset, {"name": recipe, "rate_hz": 30.0, "baseline_frames": 100}
        split = splits.build("animal_pairs", dataset, spec, preprocessing.build(**recipe))
        split = replace(split, folds=split.folds[: n_folds or None])
        return engine.Experiment(dataset, split, Traces(recipe, spec), training=TrainingSettings())

    return make


def shape(condition):
    spec = condition.experiment.spec
    return spec.past_frames, spec.future_frames


def test_lengths_are_centred_and_know_what_the_study_saved(plan):
    planned = timing.window_lengths(plan, [5, 7, 30], "gru", n_folds=1)
    assert [shape(c) for c in planned] == [(5, 5), (7, 7), (30, 30)]
    assert [c.name for c in planned] == ["±0.17 s", "±0.23 s", "±1.00 s"]
    assert [c.value for c in planned] == pytest.approx([5 / 30, 7 / 30, 1.0])
    assert [c.published and c.published[2] for c in planned] == ["half_window_5_frames", None, "half_window_30_frames"]
    assert all(len(c.experiment.split.folds) == 1 for c in planned)
    assert timing.window_lengths(plan, [5], "logistic_window")[0].published is None
    for bad in ([], [5, 5], [-1]):
        with pytest.raises(ParameterError):
            timing.window_lengths(plan, bad, "gru")


def test_sides_have_as_many_frames_or_as_long_a_side(plan):
    planned = {c.name: c for c in timing.sides(plan, 15, 15, "gru")}
    assert {name: shape(c) for name, c in planned.items()} == {
        "both sides": (15, 15), "past only": (30, 0), "future only": (0, 30), "past only, short": (15, 0),
        "future only, short": (0, 15), "both sides, causal filter": (15, 15), "past only, causal filter": (30, 0)}
    recipes = {name: c.experiment.recipe["name"] for name, c in planned.items()}
    assert {name for name, recipe in recipes.items() if recipe == "causal"} == {
        "both sides, causal filter", "past only, causal filter"}

    def causal(recipe="causal", **options):
        return plan(recipe=recipe, **options)

    assert len(timing.sides(causal, 15, 15, "gru")) == 5  # nothing to add where no filter looks ahead
    with pytest.raises(ParameterError, match="past_frames"):
        timing.sides(plan, 0, 15, "gru")


def test_look_ahead_adds_window_and_filter(plan):
    planned = timing.sides(plan, 15, 15, "logistic", n_folds=1)
    planned += timing.label_shifts(plan, 15, 15, [-10, 10], "logistic", n_folds=1)
    table = timing.look_ahead_table(compare.run(planned, jobs=1)).set_index("condition")
    assert table["frames"].tolist() == [31, 31, 31, 16, 16, 31, 31, 31, 31]
    window = dict(zip(table.index, table["window (ms)"], strict=True))
    assert window == {"both sides": "500", "past only": "0", "future only": "1000", "past only, short": "0",
                      "future only, short": "500", "both sides, causal filter": "500",
                      "past only, causal filter": "0", "-0.33 s": "833", "+0.33 s": "167"}
    causal = table.index.str.contains("causal")
    assert (table.loc[~causal, "total (ms)"] == "whole session").all()
    assert table.loc[causal, "total (ms)"].tolist() == ["500", "0"]
    # A past-only window with the causal filter indeed does not see what comes later.
    experiment = planned[6].experiment
    signal = experiment.dataset.recordings[0].signal
    pipeline = preprocessing.build(**experiment.recipe).fit([(signal, [(0, 300)])], ["a"])
    changed = signal.copy()
    changed[151:] += 7
    np.testing.assert_array_equal(pipeline.transform(signal)[:151], pipeline.transform(changed)[:151])


@pytest.mark.parametrize("half", [0, 4, 20])
def test_shifted_labels_are_those_of_later_frames_and_windows_are_counted(plan, half):
    shifts = [-30, -20, -10, 0, 10, 30]
    planned = timing.label_shifts(plan, half, half, shifts, "logistic", "x ", n_folds=1)
    assert [c.name for c in planned][2:5] == ["x -0.33 s", "x 0 s", "x +0.33 s"]
    for shift, result in zip(shifts, compare.run(planned, jobs=1), strict=True):
        fold = result.folds[0]
        recordings = {r.id: r for r in result.condition.experiment.dataset.recordings}
        for name in fold.recordings:
            centres, labels, _ = fold.trace(name)
            n = recordings[name].n_frames
            possible = [t for t in range(n) if t - half >= 0 and t + half < n and 0 <= t + shift < n]
            assert centres.tolist() == possible
            assert len(possible) == n - half - max(half, abs(shift))
            np.testing.assert_array_equal(labels, recordings[name].run[np.array(possible) + shift])
        assert result.condition.value == shift / 30
