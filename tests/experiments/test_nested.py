"""Nested cross-validation: what is chosen inside, that the test animal is never looked at, and averages by animal."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from calcium_decoding import splits
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.experiments import engine, nested
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.preprocessing.windows import WindowSpec

RAW, SCALED = ({"name": name, "rate_hz": 30.0} for name in ("raw", "scaled"))
SPEC, SETTINGS = WindowSpec(2, 2), TrainingSettings()


def make_dataset(animals=4, effect=1.0, seed=0, shift=0.0, n_frames=400):
    """The first ROI follows running; ``shift`` moves each animal's signal by its own amount."""
    rng = np.random.default_rng(seed)
    recordings = []
    for animal in range(animals):
        for session in range(2):
            run = (np.sin(np.arange(n_frames) / 15 + rng.uniform(0, 6)) > 0).astype(np.uint8)
            signal = rng.normal(size=(n_frames, 4)) + np.outer(run, [effect, 0, 0, 0]) + shift * animal
            recordings.append(Recording(signal, {"run": run}, 30.0, f"a{animal}", f"s{session}"))
    return Dataset("d", tuple(recordings))


def candidate(model="logistic", recipe=SCALED, name=""):
    return nested.Candidate(model, SPEC, recipe, SETTINGS, name)


def test_the_candidate_that_sees_the_signal_is_chosen_over_the_clock():
    scores = nested.run(make_dataset(), [candidate("time_only"), candidate("logistic")], jobs=1)
    assert [s.test_animal for s in scores] == ["a0", "a1", "a2", "a3"]
    for s in scores:
        assert s.chosen == "logistic" and s.inner["logistic"] > 0.7 and len(s.runs) == 3
        assert s.inner["logistic"] > s.inner["time_only"] + 0.1 and s.scores["auc"] > 0.7


def test_scores_are_the_averages_over_inner_runs_of_the_published_pairs():
    data = make_dataset()
    e = engine.Experiment(data, splits.animal_pairs(data), Traces(SCALED, SPEC), training=SETTINGS)
    pairs = {(f.test_animal, f.tags["valid_animal"]): r for f, r in
             zip(e.split.folds, engine.run(e, ["logistic"], jobs=1), strict=True)}
    for s in nested.run(data, [candidate()], jobs=1):
        runs = [r for (test, _), r in pairs.items() if test == s.test_animal]
        assert len(runs) == 3
        assert s.scores["auc"] == pytest.approx(np.mean([roc_auc_score(r.labels, r.p_run) for r in runs]))
        assert s.inner["logistic"] == pytest.approx(np.mean([roc_auc_score(r.valid_labels, r.valid_p_run)
                                                             for r in runs]))
        assert s.scores["balanced_accuracy"] == pytest.approx(
            np.mean([balanced_accuracy_score(r.labels, r.p_run > s.threshold) for r in runs]))


def test_the_choice_does_not_depend_on_the_test_animal():
    # Whatever the labels of the tested animal are, decoder and threshold stay, since others chose them.
    data = make_dataset(animals=3, shift=0.3)
    first = nested.run(data, [candidate(recipe=SCALED, name="scaled"), candidate(recipe=RAW, name="raw")], jobs=1)
    for animal in ("a0", "a2"):
        rng = np.random.default_rng(1)
        recordings = [r if r.animal != animal else replace(r, behaviour={"run": rng.permutation(r.run)})
                      for r in data.recordings]
        changed = nested.run(Dataset("d", tuple(recordings)),
                             [candidate(recipe=SCALED, name="scaled"), candidate(recipe=RAW, name="raw")], jobs=1)
        one, two = (next(s for s in scores if s.test_animal == animal) for scores in (first, changed))
        assert (one.chosen, one.threshold, one.inner) == (two.chosen, two.threshold, two.inner)
        assert one.scores != two.scores


def test_choosing_inside_is_not_better_than_chance_where_nothing_is_to_be_found():
    # The best of two decoders on the test itself would be above 0.5 on average; the choice of other animals is not.
    means, best_on_test = [], []
    for seed in range(6):
        data = make_dataset(effect=0.0, seed=seed, animals=3)
        both = [candidate(), nested.Candidate("logistic_window", WindowSpec(6, 6), SCALED, SETTINGS)]
        scores = nested.run(data, both, jobs=1)
        means.append(np.mean([s.scores["auc"] for s in scores]))
        alone = [[t.scores["auc"] for t in nested.run(data, [c], jobs=1)] for c in both]
        best_on_test.append(np.mean(np.max(alone, axis=0)))
    error = np.std(means, ddof=1) / np.sqrt(len(means))
    assert abs(np.mean(means) - 0.5) < 3.5 * error and error < 0.02
    assert np.mean(best_on_test) > np.mean(means)


def test_best_threshold_agrees_with_trying_each():
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, 2, 300) for _ in range(3)]
    p_run = [np.clip(0.25 + 0.2 * y + 0.15 * rng.normal(size=300), 0, 1) for y in labels]
    found = nested.best_threshold(labels, p_run)
    mean = [np.mean([balanced_accuracy_score(y, p > t) for y, p in zip(labels, p_run, strict=True)])
            for t in nested.THRESHOLDS]
    assert np.mean([balanced_accuracy_score(y, p > found) for y, p in zip(labels, p_run, strict=True)]) == max(mean)
    assert 0.25 < found < 0.45
    # Any threshold between the classes is as good: the one nearest to one half is taken.
    assert nested.best_threshold([np.array([0, 1])], [np.array([0.1, 0.9])]) == pytest.approx(0.5)
    assert nested.best_threshold([np.array([0, 1])], [np.array([0.615, 0.9])]) == pytest.approx(0.62)
    one_class = (np.ones(5, int), np.full(5, 0.9))
    assert nested.best_threshold([np.array([0, 1]), one_class[0]], [np.array([0.1, 0.2]), one_class[1]]) < 0.2
    with pytest.raises(DataError, match="both runs and rests"):
        nested.best_threshold([one_class[0]], [one_class[1]])


def test_an_animal_that_never_runs_has_a_reason_and_no_score():
    data = make_dataset()
    recordings = [replace(r, behaviour={"run": np.zeros(400)}) if r.animal == "a1" else r for r in data.recordings]
    scores = nested.run(Dataset("d", tuple(recordings)), [candidate()], jobs=1)
    assert [bool(s.scores) for s in scores] == [True, False, True, True]
    assert scores[1].reason == "test frames: only rest"
    found = nested.table(scores)
    assert found["reason"].tolist() == ["", "test frames: only rest", "", ""] and found["AUC"].isna().tolist()[1]
    card = nested.card_scores(scores)
    assert card[0].scope == "mean of 3 animals, across animals" and card[0].model == "chosen inside"
    assert card[0].value == pytest.approx(np.mean([s.scores["auc"] for s in scores if s.scores]))


def test_candidates_need_names_apart():
    with pytest.raises(ParameterError, match="own name"):
        nested.run(make_dataset(), [candidate(), candidate(recipe=RAW)])
    with pytest.raises(ParameterError, match="at least one"):
        nested.run(make_dataset(), [])


def test_where_the_data_do_not_allow_it_the_reason_is_given():
    scores, statement = nested.attempt(make_dataset(animals=2), [candidate()], jobs=1)
    assert scores == [] and "2 animal(s)" in statement and "at least 3" in statement
    assert nested.table(scores).empty and nested.card_scores(scores) == []
    scores, statement = nested.attempt(make_dataset(animals=3), [candidate()], jobs=1)
    assert len(scores) == 3 and statement == "each of 3 animals tested by what the others chose among logistic"
