"""Published tables: complete, and in agreement with what the paper's text states."""

import pytest

from calcium_decoding.data import published


@pytest.mark.parametrize("panel", published.FAMILIES)
def test_every_condition_of_a_panel_has_the_same_twenty_folds(panel):
    groups = list(published.family(panel).values())
    for folds in groups:
        assert len(folds) == 20 and folds.index.equals(groups[0].index) and folds.index.is_unique
        assert folds.between(0.5, 1).all()
        assert all(test != valid for test, valid in folds.index)


@pytest.mark.parametrize(("panel", "condition", "experiment"), [
    ("Fig2E_without_lstm", "EfficientNet-B0|rgb_t-1_t_t+1", "image_cnn_stage1"),
    ("Fig4E_without_linear", "GRU|raw", "roi_rnn_raw"),
    ("Fig4F", "BiGRU|preprocessed", "roi_rnn_architecture"),
    ("Fig6D", "GRU|other_46", "roi_rnn_region_4"),
    ("Fig6F", "GRU|V1_Vm", "roi_rnn_region_8"),
])
def test_folds_have_the_mean_and_sd_of_the_text(panel, condition, experiment):
    folds = published.family(panel)[condition]
    mean, sd, n, _ = published.reported(experiment, *condition.split("|"))
    assert len(folds) == n
    assert folds.mean() == pytest.approx(mean, abs=6e-4) and folds.std(ddof=1) == pytest.approx(sd, abs=6e-4)


def test_panels_compare_what_they_show():
    sizes = {panel: len(published.family(panel)) for panel in published.FAMILIES}
    assert sizes == {"Fig2E_without_lstm": 2, "Fig4E_without_linear": 2, "Fig4F": 6, "Fig5B": 6, "Fig6D": 3, "Fig6F": 5}
    assert set(published.table("rank_sum_check")["family"]) == set(sizes)
    with pytest.raises(KeyError):
        published.family("Fig9")


def test_a_pair_has_the_p_of_its_whole_panel_whichever_comes_first():
    five, ten = (("roi_rnn_window_length", "GRU", f"half_window_{n}_frames") for n in (5, 10))
    assert published.rank_sum(five, ten) == published.rank_sum(ten, five) == (0.1234, "n.s.")  # alone it has p 0.012
    gru, simple = (("roi_rnn_architecture", name, "preprocessed") for name in ("GRU", "SimpleRNN"))
    assert published.rank_sum(gru, simple) == (0.04198, "*")
    assert published.rank_sum(gru, ("roi_rnn_raw", "GRU", "raw")) == (None, "")  # not all its folds were saved
    assert published.rank_sum(gru, five) == published.rank_sum(gru, gru) == (None, "")
    assert published.rank_sum(("roi_rnn_null", "GRU", "preprocessed"), simple) == (None, "")


def test_a_table_in_hand_is_a_copy():
    table = published.table("rank_sum_check")
    table["stars"] = ""
    assert (published.table("rank_sum_check")["stars"] != "").all()
