"""Result cards: whole JSON, the fields that others rely on, rounding and its borders."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from calcium_decoding.errors import DataError, WriteError
from calcium_decoding.evaluation import cards
from calcium_decoding.evaluation.cards import NotEvaluable, Refused, ResultCard, Score
from calcium_decoding.experiments.folds import FoldResult
from calcium_decoding.models import loop


def card(**changes):
    provenance = cards.Provenance(data_hash="d", split_hash="s", code_version="1", seed=3,
                                  parameters={"epochs": 2}, versions={"python": "3"})
    content = dict(chapter="10_roi_rnn", dataset="simulated", simulated=True, claim="across animals", null="one draw",
                   scores=cards.summarise("gru", [0.90, 0.95, 0.97]),
                   refused=[Refused(session="C11_M1/day 8", reason="does not align")],
                   not_evaluable=[NotEvaluable(fold="block 5", reason="only rest")], provenance=provenance)
    return ResultCard(**(content | changes))


def fold(name, group, auc, model="gru"):
    scores = {"auc": auc, "balanced_accuracy": auc - 0.1} if auc is not None else {}
    nothing = np.array([])
    return FoldResult(name, group, model, scores, "" if scores else "only rest", loop.History(), (), nothing,
                      nothing, nothing, nothing)


def test_json_has_the_agreed_fields(tmp_path):
    card().save(tmp_path / "a.card.json")
    content = json.loads((tmp_path / "a.card.json").read_text())
    assert content["dataset"] == "simulated" and content["simulated"] is True
    assert {"model", "metric", "scope", "value"} <= set(content["scores"][0])
    assert content["refused"] == [{"session": "C11_M1/day 8", "reason": "does not align"}]
    assert {"data_hash", "split_hash", "code_version", "seed", "parameters"} <= set(content["provenance"])
    assert ResultCard.load(tmp_path / "a.card.json") == card()


def test_mean_sample_sd_and_median():
    mean, median = cards.summarise("gru", [0.90, 0.95, 0.97])
    assert mean.value == pytest.approx(0.94) and mean.n == 3 and mean.scope == "mean of 3 folds"
    assert mean.sd == pytest.approx(np.sqrt((0.04**2 + 0.01**2 + 0.03**2) / 2))
    assert median.value == 0.95 and median.scope == "median of 3 folds"
    assert cards.summarise("gru", [0.9])[0].sd is None


def test_fold_scores_by_group_leave_out_what_has_no_score():
    folds = [fold("1", "a", 0.9), fold("2", "a", 0.7), fold("3", "b", 1.0), fold("4", "b", None)]
    scores = {(s.metric, s.scope): s.value for s in cards.fold_scores(folds)}
    assert scores["auc", "mean of 3 folds"] == pytest.approx(2.6 / 3)
    assert scores["auc", "mean of 2 test groups"] == pytest.approx(0.9)
    assert scores["auc", "fold group a"] == pytest.approx(0.8) and ("auc", "fold 4") not in scores
    assert cards.fold_scores([fold("4", "b", None)]) == []


def test_fold_scores_of_a_speed_keep_a_negative_r2():
    folds = [replace(fold(str(i), group, None), scores={"r2": r2, "mae": 2.0}, reason="", kind="continuous")
             for i, (group, r2) in enumerate((("a", 0.5), ("a", -1.5), ("b", 0.1)))]
    scores = {(s.metric, s.scope): s.value for s in cards.fold_scores(folds)}
    assert scores["r2", "mean of 3 folds"] == pytest.approx(-0.3)
    assert scores["mae", "mean of 3 folds"] == 2.0 and scores["r2", "fold group a"] == -0.5
    assert scores["r2", "mean of 2 test groups"] == pytest.approx(-0.2) and scores["r2", "fold 1"] == -1.5
    assert not [s for s in scores if s[0] in ("auc", "r2_running")]


def test_nan_cannot_enter_a_card():
    with pytest.raises(ValidationError):
        Score(model="gru", metric="auc", scope="fold 1", value=float("nan"))


def test_rounded_lines_are_summaries_with_refusals():
    extra = Score(model="gru", metric="auc", scope="fold 1", value=0.123)
    alone = Score(model="cnn null", metric="auc", scope="mean of 1 folds", value=0.876)
    text = card(scores=[*card().scores, extra, alone]).rounded()
    assert "0.94" in text and "0.12" not in text and "0.88" not in text
    below = Score(model="gru", metric="r2", scope="mean of 2 folds", value=-0.001)
    assert "mean of 2 folds  0.00\n" in card(scores=[below]).rounded()
    assert "simulated" in text and "refused: C11_M1/day 8" in text and "not evaluable: block 5" in text


@pytest.mark.parametrize(("value", "elsewhere", "printed"), [
    (0.94, 0.94, None), (0.9451, 0.9451, "0.94 0.95"), (0.9449, 0.9449, "0.94 0.95"), (0.9453, 0.9453, None),
    (0.943, 0.9429, None), (0.943, 0.9428, "0.94 0.95"), (0.947, 0.9472, "0.94 0.95"), (-0.003, -0.0029, None),
    (0.001, 0.0017, "-0.01 0.00 0.01"), (0.9, 0.8998, None), (0.9, 0.898, "0.88 0.89 0.90 0.91 0.92"), (0.5, 0.7, "")])
def test_a_score_may_be_printed_as_what_it_is_after_ten_times_its_movement(value, elsewhere, printed):
    of, other = (card(scores=[Score(model="gru", metric="auc", scope="mean of 2 folds", value=v)])
                 for v in (value, elsewhere))
    assert of.varying([of, other]) == ([] if printed is None else [(of.scores[0], printed.split())])


def test_a_score_may_be_anything_that_another_arithmetic_does_not_have():
    some = card(scores=[Score(model="gru", metric="auc", scope="mean of 2 folds", value=0.94)])
    assert some.varying([card(scores=[])]) == [(some.scores[0], [])]


@pytest.mark.parametrize("text", ["{", '{"chapter": "x"}', ""])
def test_a_file_that_is_no_card_says_run_again(tmp_path, text):
    path = tmp_path / "x.card.json"
    path.write_text(text)
    with pytest.raises(DataError, match="run the chapter again"):
        ResultCard.load(path)


def test_a_card_that_cannot_be_written_leaves_nothing(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("kept")
    with pytest.raises(WriteError, match="another folder"):
        card().save(blocker / "x.card.json")
    assert blocker.read_text() == "kept" and list(tmp_path.iterdir()) == [blocker]


def test_code_version_follows_the_source():
    package = Path(cards.__file__).parents[1]
    files = {path.relative_to(package).as_posix(): sha256(path.read_bytes()).hexdigest()
             for ending in ("py", "csv") for path in package.rglob(f"*.{ending}")}
    content = json.dumps(files, sort_keys=True, separators=(",", ":"))
    version = cards.code_version()
    assert f"source {sha256(content.encode()).hexdigest()[:16]}" in version and "0.1.0" in version


def test_scores_of_a_table_are_means_by_what_the_texts_name_and_single_rows():
    table = pd.DataFrame({"decoder": ["gru", "lstm", "gru", "gru"], "at": [1.0, 1.0, 1.0, 2.0],
                          "tested on": ["a", "a", "b", "c"], "AUC": [0.7, 0.6, 0.9, None]})
    found = cards.table_scores(table, "AUC", "{decoder} at {at:g} s", single="animal {tested on}")
    scores = {(s.model, s.metric, s.scope): s.value for s in found}
    assert scores["gru at 1 s", "auc", "mean of 2 animals"] == pytest.approx(0.8)
    assert scores["lstm at 1 s", "auc", "median of 1 animals"] == 0.6
    assert scores["gru at 1 s", "auc", "animal b"] == 0.9
    assert not any(model == "gru at 2 s" for model, *_ in scores)  # its only row has no value
    alone = cards.table_scores(table, "AUC", "{decoder}", unit="", single="animal {tested on}")
    assert [(s.model, s.scope) for s in alone] == [("gru", "animal a"), ("gru", "animal b"), ("lstm", "animal a")]
    assert cards.table_scores(pd.DataFrame(), "r", "map") == []
