"""The decoding chapter on real recordings, as a user runs it. Skipped, saying so, where the recordings are not."""

import json

import pytest

from tests.test_cli import command


@pytest.fixture
def run_on(real_data_dir, tmp_path):
    def run(dataset):
        """As the README says, but for the comparisons of networks and filters, which nothing here looks at."""
        fewer = ("-p", "networks", "", "-p", "sweep_folds", "1")
        result = command("book", "run", "10_roi_rnn", "--dataset", dataset, "--data-dir", real_data_dir, *fewer,
                         "--out", tmp_path)
        assert result.returncode == 0, result.stderr
        page = (tmp_path / "10_roi_rnn.html").read_text()
        assert "Traceback" not in page and str(real_data_dir) not in page
        return json.loads((tmp_path / "10_roi_rnn.card.json").read_text())

    return run


def aucs(card, statistic):
    """Mean or median AUC over folds of each decoder, nulls left out."""
    return {s["model"]: s["value"] for s in card["scores"] if s["metric"] == "auc" and "null" not in s["model"]
            and s["scope"].startswith(statistic) and s["scope"].endswith("folds")}


def test_one_widefield_animal_in_blocks(run_on):
    card = run_on("isfn-widefield")
    assert card["simulated"] is False and card["claim"] == "within session"
    scores = aucs(card, "mean of")
    assert {"gru", "logistic_window"} <= set(scores)
    assert max(scores["gru"], scores["logistic_window"]) >= 0.93
    # 9 bouts, all in the first two thirds: the last block has no running, and says so.
    assert {f["reason"] for f in card["not_evaluable"]} == {"test frames: only rest"}
    assert card["null"].startswith("none: session re-pairing needs two or more sessions")


def test_days_of_hippocampal_events_each_by_itself(run_on):
    card = run_on("multiple-maps")
    assert card["simulated"] is False
    scores = aucs(card, "median of 23")
    assert {"gru", "logistic_window"} <= set(scores)
    assert max(scores["gru"], scores["logistic_window"]) >= 0.9
    reason = {r["session"]: r["reason"] for r in card["refused"]}["C11_M1/day 8"]
    assert "do not match the frame log" in reason
    null = next(s["value"] for s in card["scores"] if s["model"] == "gru null" and s["metric"] == "auc"
                and s["scope"].startswith("mean"))
    assert abs(null - 0.5) < 0.1
