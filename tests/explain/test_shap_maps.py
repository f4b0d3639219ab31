"""Deep SHAP over folds: the planted ROI leads, stored folds are not done again, null, warning, tables."""

from dataclasses import replace
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from calcium_decoding import models, splits
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.experiments import tasks
from calcium_decoding.experiments.engine import Experiment
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.explain import deep_shap, map_runs, shap_maps
from calcium_decoding.explain.shap_maps import FoldMap
from calcium_decoding.models import training
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.preprocessing.windows import WindowSpec
from decoding_book.chapters import shap
from tests.conftest import run_cells

SPEC = WindowSpec(3, 2)


def plan(dataset, n_folds=2, say=False):
    split = splits.animal_pairs(dataset)
    split = type(split)(**{**split.__dict__, "folds": split.folds[:n_folds]})
    settings = TrainingSettings(epochs=3, batch_size=64, learning_rate=0.01)
    return Experiment(dataset, split, Traces({"name": "scaled", "rate_hz": 30.0}, SPEC), training=settings)


@pytest.fixture(scope="module")
def maps(tiny_dataset):
    return shap_maps.run(plan(tiny_dataset), "rnn", 20, 10, jobs=1)


def fold_map(by_roi, auc=0.9, animal="a", reason="", **changes):
    return FoldMap(f"test={animal}", animal, np.asarray(by_roi, float)[None] / 2 * np.ones((2, 1)), auc, reason=reason,
                   **changes)


def test_the_roi_that_follows_running_has_the_largest_values(maps):
    for found in maps:
        assert found.mean_abs.shape == (6, 5) and found.auc > 0.9 and found.error < deep_shap.TOLERANCE
        assert found.by_roi.argmax() == 0 and found.by_roi[0] > 2 * found.by_roi[1:].max()
        np.testing.assert_allclose(found.by_frame.sum(), found.by_roi.sum())


def test_maps_know_how_their_training_ended(maps, tiny_dataset):
    experiment = plan(tiny_dataset)
    for one, fold in zip(maps, experiment.split.folds, strict=True):
        task = experiment.fold_task(fold, "rnn")
        history = task.trained(*task.windows()[:2])[1]
        fall = max(0.0, 1 - history.train_loss[-1] / min(history.train_loss[:-1]))
        assert one.training == {"epochs": 3, "loss_fall": pytest.approx(fall)}


def test_a_fold_is_what_one_gets_by_hand(maps, tiny_dataset):
    """Train, lay the evenly spread windows, explain, average absolute values."""
    experiment = plan(tiny_dataset)
    train, valid, test = experiment.fold_task(experiment.split.folds[0], "rnn").windows()
    settings = experiment.training
    decoder = models.build("rnn", 5, 3, settings.seed)
    training.fit(decoder, train, valid, settings)
    every = np.stack([test.frames[s : s + 6] for s in test.starts])
    which = [i * len(test) // 20 for i in range(20)]
    drawn = np.random.default_rng(settings.seed).choice(len(test), 10, replace=False)
    wanted = deep_shap.values(decoder, every[which], every[drawn])
    np.testing.assert_allclose(maps[0].mean_abs, np.abs(wanted.values).mean(axis=0), rtol=1e-4, atol=1e-7)
    with torch.inference_mode():
        base = torch.sigmoid(decoder(torch.from_numpy(every[drawn]))).mean()
    np.testing.assert_allclose(maps[0].base, base, atol=1e-5)


def test_stored_folds_are_read_again_and_other_questions_are_not(maps, tiny_dataset, tmp_path, monkeypatch):
    first = shap_maps.run(plan(tiny_dataset), "rnn", 20, 10, store=tmp_path, jobs=1)
    np.testing.assert_array_equal(first[1].mean_abs, maps[1].mean_abs)
    monkeypatch.setattr(training, "fit", None)  # training again would fail
    again = shap_maps.run(plan(tiny_dataset), "rnn", 20, 10, store=tmp_path, jobs=1)
    np.testing.assert_array_equal(again[1].mean_abs, first[1].mean_abs)
    assert again[1].auc == first[1].auc
    other = shap_maps.run(plan(tiny_dataset), "rnn", 20, 9, store=tmp_path, jobs=1)  # of the decoder that was kept
    assert other[1].auc == first[1].auc and not np.array_equal(other[1].mean_abs, first[1].mean_abs)
    with pytest.raises(TypeError):
        shap_maps.run(plan(tiny_dataset), "gru", 20, 10, store=tmp_path, jobs=1)


def test_the_null_is_refitted_on_swapped_sessions(tiny_dataset, maps):
    nulls, statement = shap_maps.run_null(plan, tiny_dataset, 0, "rnn", 20, 10, n_folds=1, jobs=1)
    assert len(nulls) == 1 and "re-pairing" in statement
    assert nulls[0].by_roi[0] != maps[0].by_roi[0] and nulls[0].auc < maps[0].auc


def test_where_no_fold_has_a_decoder_the_reasons_are_named(tiny_dataset):
    always = tuple(replace(r, behaviour={"run": 0 * r.run + 1}) for r in tiny_dataset.recordings)
    experiment = plan(replace(tiny_dataset, recordings=always))
    for ask in (lambda: shap_maps.run(experiment, "rnn", 20, 10, jobs=1),
                lambda: map_runs.run(experiment, "rnn", map_runs.MapSettings(20, 10), jobs=1)):
        with pytest.raises(DataError, match="nothing in any of 2 folds: test frames: only running"):
            ask()


def test_decoders_at_chance_get_a_red_warning():
    clear = [fold_map([1, 2], auc, f"a{i}") for i, auc in enumerate((0.8, 0.9, 0.85))]
    chance = [fold_map([1, 2], auc, f"a{i}") for i, auc in enumerate((0.4, 0.6, 0.55))]
    assert shap_maps.warning(clear) == "" and "NOT ABOVE CHANCE" in shap_maps.warning(chance)
    assert "NO MAP" in shap_maps.warning([fold_map([1, 2], reason="one class")])
    falling = [replace(clear[0], training={"epochs": 3, "loss_fall": 0.3}), *clear[1:]]
    assert shap_maps.warning(falling) == (
        "NOT CONVERGED: training loss still fell by 30.0 % in the last epoch (1 of 3 trainings)")
    assert "CHANCE" in shap_maps.warning([replace(one, training=falling[0].training) for one in chance])
    for nulls, empty in ((clear, False), ([], True)):
        after = run_cells("23_shap", "shap_maps.mean_map", maps=chance, nulls=nulls, ms=np.array([-33.3, 0]),
                          values=np.array([m.mean_abs for m in chance]), chapter=SimpleNamespace(rate_hz=30.0))
        first, second = after["axes"]
        assert "CHANCE" in first.get_title(loc="left") and second.get_title(loc="left") == ""
        if empty:
            assert "NO MAP" in second.texts[0].get_text()
        else:
            np.testing.assert_allclose(second.images[0].get_array(), np.transpose([[0.5, 1.0]] * 2))
        plt.close("all")


def test_the_table_tests_each_roi_against_the_null_and_corrects_for_their_number():
    rng = np.random.default_rng(0)
    sums, null = rng.uniform(2, 3, (12, 3)), rng.uniform(0, 2.5, (12, 3))
    sums[:, 2] = null[:, 2] = 0.0
    table = shap.roi_table(sums, null)
    p = [stats.mannwhitneyu(sums[:, i], null[:, i], method="asymptotic").pvalue for i in range(2)]
    low, high = np.argsort(p)
    np.testing.assert_allclose(table["p_holm"].iloc[low], 2 * p[low])
    np.testing.assert_allclose(table["p_holm"].iloc[high], max(2 * p[low], p[high]))
    assert pd.isna(table["p_holm"].iloc[2]) and list(table["roi"]) == [1, 2, 3]
    np.testing.assert_allclose(table["mean"], sums.mean(axis=0))
    few = shap.roi_table(sums[:3], null[:3])  # three against three: no ROI can have a p below 0.05
    assert not {"p_holm", "stars"} & set(few) and "family of 2 none below 0.16" in few.attrs["note"]


def test_agreement_counts_the_driven_rois_among_the_largest():
    drive = np.arange(20) / 20
    for mean, r, hits in ((drive, 1, 1), (drive[::-1], -1, 0)):
        (table,) = run_cells("23_shap", "agreement = pd", mean=mean, drive=drive, truth=[drive], said="")["page"]
        assert table.iloc[0].tolist() == pytest.approx([r, hits, 8 / 20])
    (table,) = run_cells("23_shap", "agreement = pd", mean=mean, truth=[], said="")["page"]
    assert table.empty


def test_sums_by_roi_are_drawn_largest_first_with_stars_where_they_are_above_the_null():
    rng = np.random.default_rng(0)
    maps = [fold_map(np.array([1, 3, 2]) + rng.uniform(0, 0.1, 3), 0.9 + i / 1000, f"a{i}") for i in range(12)]
    nulls = [fold_map(rng.uniform(1, 1.1, 3)) for _ in range(12)]
    of = {"values": np.array([m.mean_abs for m in maps]), "null_values": np.array([m.mean_abs for m in nulls])}
    after = run_cells("23_shap", "shap.roi_table", 'largest_first["stars"]', maps=maps, said="", **of,
                      chapter=SimpleNamespace(dataset=SimpleNamespace(compare_with_study=False)))
    ax = after["ax"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["2", "3", "1"]
    sums = np.array([m.by_roi for m in maps])
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], sums.mean(axis=0)[[1, 2, 0]])
    stars = [text.get_text() for text in ax.texts]
    assert stars[:2] == ["***", "***"] and "*" not in stars[2]
    plt.close("all")


def test_the_card_has_the_rows_of_the_ledger():
    maps = [FoldMap(f"f{i}", "a", np.full((31, 50), 0.01 * (i + 1)), 0.9) for i in range(2)]
    scores = {(s.model, s.metric, s.scope): s.value for s in shap.card_scores(maps, [], 15)}
    assert scores["ROI 8", "sum_abs_shap", "mean of 2 folds"] == pytest.approx(31 * 0.015)
    assert ("ROI 7", "sum_abs_shap", "mean of 2 folds") not in scores
    assert scores["ROI 33", "abs_shap_at_frame_3", "mean of 2 folds"] == pytest.approx(0.015)
    short = shap.card_scores([FoldMap("f", "a", np.ones((3, 50)))], [], 1)
    assert short and not [score for score in short if "at_frame" in score.metric]


def test_what_it_refuses(tiny_dataset):
    with pytest.raises(ParameterError, match="logistic"):
        shap_maps.run(plan(tiny_dataset), "logistic")
    with pytest.raises(ParameterError, match=r"Classes of run.*one logit"):
        shap_maps.run(replace(plan(tiny_dataset), task=tasks.Classes("run")), "gru")
    with pytest.raises(ParameterError, match="n_background"):
        shap_maps.run(plan(tiny_dataset), "rnn", n_background=0)
