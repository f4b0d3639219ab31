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
from calcium_decoding.experiments.tasks import Binary
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


def candidate(model="logistic", recipe=SCALED, spec=SPEC):
    return model, Traces(recipe, spec)


def run(data, candidates):
    return nested.run(data, candidates, SETTINGS, jobs=1).set_index("tested on")


def test_the_candidate_that_sees_the_signal_is_chosen_over_the_clock():
    data = make_dataset()
    scores = run(data, {"clock": candidate("time_only"), "signal": candidate()})
    alone = run(data, {"clock": candidate("time_only")})
    assert list(scores.index) == ["a0", "a1", "a2", "a3"] and set(scores["chosen on the others"]) == {"signal"}
    assert (scores["their AUC"] > 0.7).all() and (scores["their AUC"] > alone["their AUC"] + 0.1).all()
    assert (scores["AUC"] > 0.7).all() and "reason" not in scores


def test_scores_are_the_averages_over_inner_runs_of_the_published_pairs():
    data = make_dataset()
    e = engine.Experiment(data, splits.animal_pairs(data), Traces(SCALED, SPEC), training=SETTINGS)
    pairs = {(f.test_animal, f.tags["valid_animal"]): r for f, r in
             zip(e.split.folds, engine.run(e, ["logistic"], jobs=1), strict=True)}
    for animal, row in run(data, {"one": candidate()}).iterrows():
        runs = [r for (test, _), r in pairs.items() if test == animal]
        assert len(runs) == 3
        assert row["AUC"] == pytest.approx(np.mean([roc_auc_score(r.labels, r.predicted) for r in runs]))
        assert row["their AUC"] == pytest.approx(np.mean([roc_auc_score(r.valid_labels, r.valid_predicted)
                                                          for r in runs]))
        assert row["balanced accuracy"] == pytest.approx(
            np.mean([balanced_accuracy_score(r.labels, r.predicted > row["threshold"]) for r in runs]))


def test_another_behaviour_is_decoded_where_the_recordings_run_too():
    data = make_dataset()
    licks = [replace(r, behaviour={"lick": r.run, "run": np.arange(r.n_frames) % 2}) for r in data.recordings]
    licking = nested.run(Dataset("d", tuple(licks)), {"one": candidate()}, SETTINGS, jobs=1, task=Binary("lick"))
    assert licking.set_index("tested on").equals(run(data, {"one": candidate()}))


def test_the_choice_does_not_depend_on_the_test_animal():
    # Whatever the labels of the tested animal are, decoder and threshold stay, since others chose them.
    data, both = make_dataset(animals=3, shift=0.3), {"scaled": candidate(), "raw": candidate(recipe=RAW)}
    first, chosen = run(data, both), ["chosen on the others", "threshold", "their AUC"]
    for animal in ("a0", "a2"):
        rng = np.random.default_rng(1)
        recordings = [r if r.animal != animal else replace(r, behaviour={"run": rng.permutation(r.run)})
                      for r in data.recordings]
        changed = run(Dataset("d", tuple(recordings)), both)
        assert first.loc[animal, chosen].tolist() == changed.loc[animal, chosen].tolist()
        assert first.loc[animal, "AUC"] != changed.loc[animal, "AUC"]


def test_choosing_inside_is_not_better_than_chance_where_nothing_is_to_be_found():
    # The best of two decoders on the test itself would be above 0.5 on average; the choice of other animals is not.
    means, best_on_test = [], []
    both = {"frame": candidate(), "window": candidate("logistic_window", spec=WindowSpec(6, 6))}
    for seed in range(6):
        data = make_dataset(effect=0.0, seed=seed, animals=3)
        means.append(run(data, both)["AUC"].mean())
        best_on_test.append(np.mean(np.max([run(data, {name: one})["AUC"] for name, one in both.items()], axis=0)))
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
    with pytest.raises(DataError, match="frames of 0 and of 1"):
        nested.best_threshold([one_class[0]], [one_class[1]])


def test_an_animal_that_never_runs_has_a_reason_and_no_score():
    data = make_dataset()
    recordings = [replace(r, behaviour={"run": np.zeros(400)}) if r.animal == "a1" else r for r in data.recordings]
    found = nested.run(Dataset("d", tuple(recordings)), {"one": candidate()}, SETTINGS, jobs=1)
    assert found["reason"].tolist() == ["", "test frames: only rest", "", ""]
    assert found["AUC"].isna().tolist() == [False, True, False, False]
    card = nested.card_scores(found)
    assert card[0].scope == "mean of 3 animals, across animals" and card[0].model == "chosen inside"
    assert card[0].value == pytest.approx(found["AUC"].dropna().mean())


def test_without_a_candidate_nothing_is_run():
    with pytest.raises(ParameterError, match="none"):
        run(make_dataset(), {})


def test_where_the_data_do_not_allow_it_the_reason_is_given():
    scores, statement = nested.attempt(make_dataset(animals=2), {"one": candidate()}, SETTINGS, jobs=1)
    assert scores.empty and "2 animal(s)" in statement and "at least 3" in statement
    assert nested.card_scores(scores) == []
    scores, statement = nested.attempt(make_dataset(animals=3), {"one": candidate()}, SETTINGS, jobs=1)
    assert len(scores) == 3 and statement == "each of 3 animals tested by what the others chose among one"
