"""Published figures that stand beside decoders of ours."""

import re
from dataclasses import replace

import pandas as pd

from calcium_decoding import models
from calcium_decoding.data import published
from calcium_decoding.evaluation import cards, convergence
from calcium_decoding.plotting import style
from decoding_book.chapters import tables
from tests.evaluation.test_convergence import FALLING, LEVEL, fold


def test_networks_carry_what_the_study_published():
    means = {name: round(published.reported(*key)[0], 3) for name, key in tables.PUBLISHED.items()}
    assert means.pop("gru null") == 0.492
    assert means == {"gru": 0.974, "lstm": 0.970, "rnn": 0.953, "bigru": 0.974, "bilstm": 0.960, "birnn": 0.967,
                     "logistic": 0.797, "cnn": 0.896, "cnn_gru": 0.955, "cnn_lstm": 0.952}
    assert set(means) <= {*models.MODELS, *models.IMAGE_MODELS}


def test_real_recordings_stand_with_their_null_and_caution(tmp_path, monkeypatch):
    def keep(name, simulated, converged):
        made = {"auc": 0.9, "balanced_accuracy": 0.8}
        scores = [cards.Score(model="gru", metric=metric, scope="mean of 4 folds", value=value, sd=0.1, n=4)
                  for metric, value in made.items()]
        scores += [cards.Score(model="gru", metric="converged", scope="over 4 folds", value=converged, n=4),
                   cards.Score(model="gru, as for its null", metric="auc", scope="over folds", value=0.88),
                   cards.Score(model="gru null", metric="auc", scope="mean of 40 draws", value=0.52, sd=0.2, n=40),
                   cards.Score(model="gru", metric="p", scope="of 40 draws", value=1 / 21, n=40)]
        cards.ResultCard(chapter="10_roi_rnn", dataset=name, simulated=simulated, claim="within session", null="shifts",
                         scores=scores, provenance=cards.Provenance(
                             data_hash="a", split_hash="b", code_version="c", seed=1, parameters={"target": "run"},
                             versions={})).save(tmp_path / f"10_roi_rnn.{name}.card.json")

    monkeypatch.setattr(cards, "stored_folder", lambda: tmp_path)
    assert tables.real_recordings("10_roi_rnn").empty
    keep("simulated-small", True, 1)
    assert tables.real_recordings("10_roi_rnn").empty
    keep("isfn-widefield", False, 0)
    table = tables.real_recordings("10_roi_rnn")
    assert table.to_dict("records") == [{
        "recordings": "isfn-widefield", "decodes": "run", "decoder": "GRU", "folds": 4,
        "AUC, mean ± SD": "0.900 ± 0.100", "mean on the null's frames": "0.880", "mean of the null": "0.520 ± 0.200",
        "draws": 40, "p": "0.048", "warning": "NOT CONVERGED"}]
    assert "no claim across sessions or animals is possible" in table.attrs["note"]
    assert tables.real_recordings("30_speed_regression").empty


def test_a_table_of_folds_names_what_has_not_converged():
    level, falling = fold(LEVEL), replace(fold(FALLING), model="lstm")
    assert tables.warning([level, falling]) == "NOT CONVERGED: LSTM"
    assert tables.warning([level]) == tables.warning([]) == ""


def test_a_pair_within_what_seeds_differ_stands_in_red_too():
    cells = pd.DataFrame({"difference": [convergence.marked("seeds differ by 0.040, the conditions by 0.030"), "0.1"]})
    html = tables.show(cells).to_html()
    (rule,) = re.findall(r"([^}]*){\s*color: " + style.WARNING + r";\s*font-weight: bold;\s*}", html)
    assert "row0_col0" in rule and "row1_col0" not in rule
