"""Every number that prose quotes comes from somewhere: a published table, or a setting named beside it."""

import re

import jupytext
import numpy as np
import pytest

from calcium_decoding.data import published
from calcium_decoding.evaluation import statistics
from decoding_book import claims
from decoding_book.parameters import CHAPTERS
from tests.conftest import ROOT

# Scores, differences and p-values; seconds, pixels and the like are settings of the text around them.
NUMBER = re.compile(r"(?<![\d.,/v])[01]\.\d{2,4}(?!\d|\.\d|\s*(s|ms|px|Hz|cm|%|million|seconds|of a second)\b)")


def theirs(table, take="value", **where):
    found = claims.look_up(table, **where)
    return getattr(found, take)


def loss(epoch):
    rows = published.table("training_epochs")
    rows = rows[(rows["experiment"] == "image_cnn_stage1") & (rows["variant"] == "batch_512_3_epochs")
                & (rows["metric"] == "valid_loss") & (rows["epoch"] == epoch)]
    return rows["value"].mean()


def stage_2(model):
    return theirs("paper_reported", figure="2E", model=model, metric="auc")


def window(frames):
    return theirs("paper_reported", experiment="image_cnn_gru_window", variant=f"half_window_{frames}_frames",
                  metric="auc")


def cutout(variant, take="value"):
    return theirs("paper_reported", take, experiment="cutout", variant=variant, metric="importance")


correlations = published.roi_run_correlation()
QUOTED = {
    "10_roi_rnn": {"0.001": 0.001},  # settings of the published training, see test_models
    "12_regions": {"0.21": lambda: correlations.mean(), "0.07": lambda: correlations.std(ddof=0),
                   "0.10": lambda: theirs("paper_reported", "sd", experiment="roi_run_correlation")},
    "20_cnn": {"0.44": lambda: loss(0), "0.73": lambda: loss(2)},
    "21_cnn_rnn": {
        "0.0001": lambda: theirs("rank_sum_check", family="Fig2E_without_lstm"),
        "0.003": lambda: stage_2("EfficientNet-B0+GRU") - stage_2("EfficientNet-B0+LSTM"),
        "0.896": lambda: window(1), "0.929": lambda: window(2), "0.955": lambda: window(5),
        "0.960": lambda: window(10)},
    "22_cut_out": {
        "0.79": np.pi / 4, "0.054": lambda: cutout("left_peak_cell"), "0.045": lambda: cutout("left_peak_cell", "sd"),
        "0.024": lambda: cutout("right_peak_cell"), "0.014": lambda: cutout("right_peak_cell", "sd")},
    "24_do_the_maps_mean_anything": {"0.95": 0.95},  # settings of benchmarks/shapley_agreement.py
    "41_m1_split_audit": {"0.82": lambda: theirs("paper2_author_runs", model="LSTM", recording="recording_009",
                                                 split="stratified_random_windows", task="ipsilateral",
                                                 metric="accuracy")},
}


def quoted(name):
    cells = jupytext.read(ROOT / "book" / f"{name}.py").cells
    text = " ".join(" ".join(cell.source.split()) for cell in cells if cell.cell_type == "markdown")
    return {match.group() for match in NUMBER.finditer(text)} - {f"{statistics.ALPHA}"}


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_number_in_prose_has_a_source_and_agrees_with_it(name):
    assert quoted(name) == set(QUOTED.get(name, {})), "name the source of the number in this test, or do not type it"
    for text, source in QUOTED.get(name, {}).items():
        values = source() if callable(source) else source
        decimals = len(text.split(".")[1])
        assert any(f"{value:.{decimals}f}" == text for value in np.atleast_1d(values)), (name, text, values)


def test_the_rule_finds_a_number_and_leaves_units_alone():
    assert [m.group() for m in NUMBER.finditer("AUC 0.912, 0.25 s, 0.5 px, version 1.10.2, p = 0.0001; 0.35 s")] == [
        "0.912", "0.0001"]
