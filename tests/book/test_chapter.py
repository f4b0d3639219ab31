"""A chapter that was started: what it decodes, and what it puts on its card."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import cards
from calcium_decoding.evaluation.cards import ResultCard, Score
from calcium_decoding.experiments import compare, engine
from calcium_decoding.experiments.tasks import Binary
from calcium_decoding.explain.shap_maps import FoldMap
from decoding_book import execute
from decoding_book.chapter import Chapter
from decoding_book.chapters import shap
from decoding_book.parameters import validate
from tests.conftest import ROOT


@pytest.mark.parametrize("name", ["02_splits_and_leakage", "03_chance_and_nulls", "11_windows_and_lags"])
def test_what_a_chapter_decodes_is_a_behaviour_of_0_and_1(name, tiny_dataset):
    behaviour = {"lick": np.arange(300) // 7 % 2, "speed_cm_s": np.linspace(0, 9, 300), "odour": np.arange(300) % 3}
    recordings = tuple(replace(r, behaviour=behaviour) for r in tiny_dataset.recordings)
    data, given = replace(tiny_dataset, recordings=recordings), execute.merged_parameters(name, "smoke")
    asked = {target: Chapter(name, validate(name, given | {"target": target}), data)
             for target in ("lick", "odour", "speed_cm_s", "run")}
    assert asked["lick"].task == Binary("lick")
    for target in ("odour", "speed_cm_s"):
        with pytest.raises(ParameterError, match="other values than 0 and 1"):
            assert asked[target].task
    with pytest.raises(DataError, match="run label"):
        assert asked["run"].task


def test_the_card_takes_scores_results_and_comparisons_in_any_mix(tiny_dataset, tmp_path):
    given = execute.merged_parameters("10_roi_rnn", "smoke") | {"out_dir": str(tmp_path), "recipe": "scaled"}
    chapter = Chapter("10_roi_rnn", validate("10_roi_rnn", given), tiny_dataset)
    experiment = chapter.plan(n_folds=2, say=False)
    results = engine.run(experiment, ["logistic"], jobs=1)
    compared = compare.compare({"alone": experiment}, ["time_only"], jobs=1)
    by_hand = [Score(model=name, metric="auc", scope="animal a0", value=0.5) for name in "xyz"]
    card = chapter.card(experiment, scores=[by_hand[0], by_hand[1:], results, [compared]])
    models = dict.fromkeys(score.model for score in card.scores)
    assert list(models) == ["x", "y", "z", "logistic", "alone"]
    assert card == ResultCard.load(tmp_path / "10_roi_rnn.card.json")
    assert card.provenance.split_hash == experiment.split.hash()


def test_a_page_gets_the_comparison_that_was_stored_and_says_what_training_it_was(
        tiny_dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cards, "stored_folder", lambda: tmp_path)
    given = execute.merged_parameters("11_windows_and_lags", "smoke") | {"out_dir": str(tmp_path), "recipe": "scaled"}
    chapter = Chapter("11_windows_and_lags", validate("11_windows_and_lags", given), tiny_dataset)
    assert chapter.stored("lengths") == [] and "no training of lengths is stored" in capsys.readouterr().out
    experiment = chapter.plan(n_folds=2, say=False)
    compared = compare.compare({"short": experiment}, ["time_only"], seeds=3, jobs=1)
    chapter.card(experiment, comparisons={"lengths": compared, "sides": compare.Comparison()})
    found, said = chapter.stored("lengths"), " ".join(capsys.readouterr().out.split())
    assert found.table().equals(compared.table())
    assert "not trained on this page" in said and f"content {tiny_dataset.content_hash()}" in said
    assert "2 folds of 2 test animals, 3 seed(s); train_every 1, epochs 1" in said
    assert "`calcium-decoding book store 11_windows_and_lags`" in said
    assert chapter.stored("sides") == []


def test_the_profile_of_stored_trainings_is_known_where_there_is_one_and_valid():
    chapters = [path.name.split(".")[0] for path in sorted((ROOT / "book" / "params").glob("*.stored.yaml"))]
    assert chapters
    for name in chapters:
        merged = execute.merged_parameters(name, "stored")
        assert validate(name, merged).model_dump() == merged
    with pytest.raises(ParameterError, match="one of smoke, demo, paper"):
        execute.merged_parameters("01_data_tour", "stored")


def test_a_page_gets_the_table_that_was_stored_with_what_has_to_be_said_of_it(
        tiny_dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cards, "stored_folder", lambda: tmp_path)
    given = execute.merged_parameters("23_shap", "smoke") | {"out_dir": str(tmp_path), "recipe": "scaled"}
    chapter = Chapter("23_shap", validate("23_shap", given), tiny_dataset)
    nothing, said = chapter.stored_table("maps")
    assert nothing.empty and said == "" and "nothing of maps is stored" in capsys.readouterr().out
    maps = [FoldMap(f"f{i}", f"a{i % 2}", np.full((3, 2), i / 7)) for i in range(3)]
    maps.append(FoldMap("f3", "a1", np.empty((0, 0)), reason="one class"))
    table = shap.tidy(maps[1:], maps[:1], [-33.3, 0, 33.3])
    assert len(table) == 3 * (2 + 3)
    sums = table.groupby(["decoder", "axis"])["value"].sum()
    assert sums["trained", "roi"] == pytest.approx(6 * (1 + 2) / 7) == pytest.approx(sums["trained", "ms"])
    chapter.card(chapter.plan(n_folds=2, say=False), tables={"maps": (table, "NOT CONVERGED")})
    kept, said = chapter.stored_table("maps")
    printed = " ".join(capsys.readouterr().out.split())
    assert said == "NOT CONVERGED" and kept.pop("simulated").eq(tiny_dataset.simulated).all()
    pd.testing.assert_frame_equal(kept, table.round(6))
    assert "not trained on this page" in printed and "2 test animals" in printed
