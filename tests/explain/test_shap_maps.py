"""Deep SHAP over folds: the planted ROI leads, stored folds are not done again, null, warning, tables."""

from dataclasses import replace

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

SPEC = WindowSpec(3, 2)


def plan(dataset, n_folds=2, say=False):
    split = splits.animal_pairs(dataset)
    split = type(split)(**{**split.__dict__, "folds": split.folds[:n_folds]})
    settings = TrainingSettings(epochs=3, batch_size=64, learning_rate=0.01)
    return Experiment(dataset, split, Traces({"name": "scaled", "rate_hz": 30.0}, SPEC), training=settings)


@pytest.fixture(scope="module")
def maps(tiny_dataset):
    return shap_maps.run(plan(tiny_dataset), "rnn", 20, 10, jobs=1)


def fold_map(by_roi, auc=0.9, animal="a", reason=""):
    return FoldMap(f"test={animal}", animal, np.asarray(by_roi, float)[None] / 2 * np.ones((2, 1)), auc, reason=reason)


def test_the_roi_that_follows_running_has_the_largest_values(maps):
    for found in maps:
        assert found.mean_abs.shape == (6, 5) and found.auc > 0.9 and found.error < deep_shap.TOLERANCE
        assert found.by_roi.argmax() == 0 and found.by_roi[0] > 2 * found.by_roi[1:].max()
        np.testing.assert_allclose(found.by_frame.sum(), found.by_roi.sum())


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
    _, axes = plt.subplots(1, 3)
    shap.roi_by_frame(chance, WindowSpec(1, 0), 30.0, axes[0])
    shap.roi_by_frame(clear, WindowSpec(1, 0), 30.0, axes[1])
    shap.roi_by_frame([], WindowSpec(1, 0), 30.0, axes[2])
    assert "CHANCE" in axes[0].get_title(loc="left") and axes[1].get_title(loc="left") == ""
    assert "NO MAP" in axes[2].texts[0].get_text()
    np.testing.assert_allclose(axes[1].images[0].get_array(), np.transpose([[0.5, 1.0]] * 2))
    plt.close("all")


def test_the_table_tests_each_roi_against_the_null_and_corrects_for_their_number():
    rng = np.random.default_rng(0)
    sums, null = rng.uniform(2, 3, (12, 3)), rng.uniform(0, 2.5, (12, 3))
    sums[:, 2] = null[:, 2] = 0.0
    table = shap.roi_table([fold_map(s) for s in sums], [fold_map(s) for s in null])
    p = [stats.mannwhitneyu(sums[:, i], null[:, i], method="asymptotic").pvalue for i in range(2)]
    low, high = np.argsort(p)
    np.testing.assert_allclose(table["p_holm"].iloc[low], 2 * p[low])
    np.testing.assert_allclose(table["p_holm"].iloc[high], max(2 * p[low], p[high]))
    assert pd.isna(table["p_holm"].iloc[2]) and list(table["roi"]) == [1, 2, 3]
    np.testing.assert_allclose(table["mean"], sums.mean(axis=0))


def test_agreement_counts_the_driven_rois_among_the_largest():
    drive = np.arange(20) / 20
    truth = pd.DataFrame({"group": [str(i) for i in range(1, 21)], "share_driven": drive})
    best = shap.agreement([fold_map(drive)], truth).iloc[0]
    worst = shap.agreement([fold_map(drive[::-1])], truth).iloc[0]
    assert best.iloc[0] == pytest.approx(1) and best.iloc[1] == 8 and best.iloc[2] == pytest.approx(64 / 20)
    assert worst.iloc[0] == pytest.approx(-1) and worst.iloc[1] == 0


def test_the_card_has_the_rows_of_the_ledger():
    maps = [FoldMap(f"f{i}", "a", np.full((31, 50), 0.01 * (i + 1)), 0.9) for i in range(2)]
    scores = {(s.model, s.metric, s.scope): s.value for s in shap.card_scores(maps)}
    assert scores["ROI 8", "sum_abs_shap", "mean of 2 folds"] == pytest.approx(31 * 0.015)
    assert ("ROI 7", "sum_abs_shap", "mean of 2 folds") not in scores
    peaks = {s.model: s.value for s in shap.peak_scores(maps, 15)}
    assert peaks["ROI 33"] == pytest.approx(0.015)
    assert not shap.peak_scores([FoldMap("f", "a", np.ones((3, 50)))], 1)


def test_what_it_refuses(tiny_dataset):
    with pytest.raises(ParameterError, match="logistic"):
        shap_maps.run(plan(tiny_dataset), "logistic")
    with pytest.raises(ParameterError, match=r"Classes of run.*one logit"):
        shap_maps.run(replace(plan(tiny_dataset), task=tasks.Classes("run")), "gru")
    with pytest.raises(ParameterError, match="n_background"):
        shap_maps.run(plan(tiny_dataset), "rnn", n_background=0)
