"""Maps held against truth over folds: a planted ROI is found, stored folds are read again, tables and advice."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.explain import attribution, map_runs
from calcium_decoding.explain.map_runs import Examined, MapSettings
from calcium_decoding.models import training
from calcium_decoding.simulation import widefield
from calcium_decoding.utils.code import code_digest
from decoding_book.chapters import shap
from decoding_book.chapters.map_tests import figures, scenarios, tests
from tests.conftest import run_cells
from tests.explain.test_shap_maps import SPEC, plan

ASKED = MapSettings(10, 8, n_samples=10, shuffle=True, n_random=2, keep=True)
TRUTH = np.array([1.0, 0, 0, 0, 0])
CHAPTER = "24_do_the_maps_mean_anything"
LINEAR = "weights", "patterns"  # of logistic regression, which sees one frame


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("maps")


@pytest.fixture(scope="module")
def found(tiny_dataset, store):
    return map_runs.run(plan(tiny_dataset), "rnn", ASKED, store, jobs=1)


def examined(by_roi, animal="a", auc=0.9, by_frame=(1.0, 1.0, 2.0), fold=None, state=None):
    """An Examined whose every method has the same map."""
    def of(values):
        return {m: {"by_roi": list(values), "by_frame": None if m in LINEAR else list(by_frame)}
                for m in attribution.METHODS}

    maps = {"trained": of(by_roi)} | ({} if state is None else {"all": of(state)})
    return Examined(fold or f"test={animal}", animal, auc, auc, maps, simulated=True)


def test_every_method_finds_the_one_roi_that_follows_running(found):
    for one in found:
        assert one.auc > 0.9 and one.auc_logistic > 0.9
        for method in attribution.METHODS:
            assert one.by_roi(method).argmax() == 0
            assert (one.by_frame(method) is None) == (method in LINEAR)


def test_left_out_first_the_planted_roi_takes_the_score_with_it(found):
    deletion, insertion = found[0].curves["deep_shap"]
    assert found[0].curves["whole"] > 0.9 and deletion[0] < 0.7 and insertion[0] > 0.9
    assert len(found[0].kept["values"]) == 10 and len(found[0].kept["inputs"][0]) == 5


def test_stored_folds_are_read_again(found, tiny_dataset, store, monkeypatch):
    monkeypatch.setattr(training, "fit", None)  # training again would fail
    again = map_runs.run(plan(tiny_dataset), "rnn", ASKED, store, jobs=1)
    assert [one.maps for one in again] == [one.maps for one in found]
    with pytest.raises(TypeError):
        map_runs.run(plan(tiny_dataset), "rnn", replace(ASKED, n_windows=9), store, jobs=1)


def test_rows_hold_every_test_that_could_be_made(found):
    rows = tests.rows_of(found, TRUTH)
    assert set(rows["test"]) == {"planted", "precision", "asymmetry", "readout", "all", "deletion", "insertion"}
    assert set(rows["method"]) == set(attribution.METHODS)
    table = tests.table(rows)
    assert len(table) == 7 and list(table.columns[:3]) == ["test", "wanted", "animals"]


def test_folds_again_other_weights_and_backwards(tiny_dataset):
    every, asked = plan(tiny_dataset, n_folds=6), MapSettings(6, 5, n_samples=5)
    some = replace(every, split=replace(every.split, folds=every.split.folds[:1]))
    others = map_runs.other_folds(every, some, "rnn", asked, 1, jobs=1)
    assert [one.animal for one in others] == ["a0"] and others[0].fold != some.split.folds[0].name
    first = map_runs.run(some, "rnn", asked, jobs=1)
    other = map_runs.other_seeds(some, "rnn", asked, 1, jobs=1)
    assert other[0].fold == first[0].fold and other[0].maps != first[0].maps
    nulls, statement = map_runs.run_null(plan, tiny_dataset, 0, "rnn", asked, n_folds=1, jobs=1)
    assert nulls[0].auc < first[0].auc and "re-pairing" in statement
    backwards = scenarios.time_reversed(some, "rnn", asked, 1, jobs=1)
    assert backwards[0].auc > 0.9 and len(backwards[0].by_frame("deep_shap")) == SPEC.length


def test_played_backwards_frames_are_turned_back():
    """A signal that comes three frames before the label: forwards and turned back its frame is the same one."""
    maps = {"trained": {"masking": {"by_roi": [1.0], "by_frame": [3.0, 2.0, 1.0]},
                        "weights": {"by_roi": [1.0], "by_frame": None}}}
    turned = scenarios._turned(Examined("f", "a", maps=maps))
    assert turned.by_frame("masking").tolist() == [1, 2, 3] and turned.by_frame("weights") is None


def test_a_dataset_played_backwards_twice_is_itself(tiny_dataset):
    once = scenarios.reversed_in_time(tiny_dataset)
    np.testing.assert_array_equal(once.recordings[0].signal[::-1], tiny_dataset.recordings[0].signal)
    np.testing.assert_array_equal(once.recordings[0].run[::-1], tiny_dataset.recordings[0].run)
    twice = scenarios.reversed_in_time(once)
    assert twice.content_hash() == tiny_dataset.content_hash()


def test_in_flat_data_each_frame_says_equally_much_and_only_of_the_driven_rois():
    dataset = scenarios.flat(seed=2, n_frames=4000)
    lags, gains = range(-15, 16), []
    for r in dataset.recordings:
        middle = np.arange(20, r.n_frames - 20)
        gains.append([[r.signal[middle + lag][r.run[middle] == 1].mean(axis=0)
                       - r.signal[middle + lag][r.run[middle] == 0].mean(axis=0)] for lag in lags])
    gains = np.mean(gains, axis=0)[:, 0]
    driven, silent = gains[:, : scenarios.FLAT_INFORMATIVE], gains[:, scenarios.FLAT_INFORMATIVE :]
    assert np.abs(driven.mean(axis=1) / scenarios.FLAT_GAIN - 1).max() < 0.15 and np.abs(silent).max() < 0.1


def test_worlds_have_one_fold_an_animal_and_their_truth(tiny_dataset):
    world, truth = scenarios.examine(["haemodynamics_only"], plan(tiny_dataset), "rnn",
                                     MapSettings(4, 3, n_samples=3), 600, seed=1, jobs=1)["haemodynamics_only"]
    assert [one.animal for one in world] == ["mouse 1", "mouse 2", "mouse 3"]
    settings = widefield.SimulationSettings("haemodynamics_only", 1, frames_per_session=600, **scenarios.SIZE)
    sessions = [widefield.simulate_session(settings, *which) for which in settings.sessions()]
    np.testing.assert_allclose(truth, np.mean([s.shares()["blood"] for s in sessions], axis=0))
    assert truth.shape == (50,) and 0 < truth.min() < truth.max() < 1
    assert scenarios.planted_lag_frames("lead") == -15
    assert scenarios.planted_lag_frames("haemodynamics_only") is None
    with pytest.raises(ParameterError, match="worlds"):
        scenarios.examine(["no_link"], plan(tiny_dataset), "rnn", ASKED, 600, 1)


def test_values_of_every_test_by_hand():
    truth = np.r_[np.ones(8), np.zeros(42)] + np.arange(50) / 1000
    right, wrong = truth, truth[::-1]
    found = [examined(right, "a", state=wrong), examined(right, "b", state=right)]
    nulls, seeds = [examined(wrong, "a")], [examined(right, "a")]
    again = [examined(wrong, "a", fold="test=a,valid=c")]
    worlds = {"single_area": ([examined(wrong, "a")], truth), "motion_artefact_only": ([examined(right, "a")], truth),
              "lead": ([examined(right, "a", by_frame=[1, 0, 0] + [0] * 28)], truth),
              "lag": ([examined(right, "a", by_frame=[0] * 16 + [1] + [0] * 14)], truth)}
    rows = tests.rows_of(found, truth, nulls, again, seeds, worlds, [examined(right, by_frame=[1, 1, 4])])
    value = rows[rows["method"] == "deep_shap"].groupby(["test", "animal"])["value"].mean()
    r = attribution.rank_agreement(right, wrong)
    wanted = {("planted", "a"): 1, ("precision", "b"): 1, ("asymmetry", "a"): 0, ("all", "a"): r, ("all", "b"): 1,
              ("labels", "a"): r, ("folds", "a"): r, ("seeds", "a"): 1, ("animals", "b"): 1, ("single_area", "a"): 0,
              ("motion_artefact_only", "a"): 1, ("lag", "a"): 16 / 30, ("late", "a"): 4}
    for key, expected in wanted.items():
        assert value[key] == pytest.approx(expected), key
    assert "late" not in set(rows[rows["method"] == "weights"]["test"])
    cell = tests.table(rows).set_index("test")["logistic weights"]
    late, planted = (cell[tests.TESTS[test][0]] for test in ("late", "planted"))
    assert late == "–" and planted.startswith("1.")


def test_intervals_are_students_over_animals_on_fisher_s_scale():
    values = {"a": [0.1, 0.3], "b": [0.4], "c": [0.9]}
    rows = pd.DataFrame([{"test": "planted", "method": "masking", "animal": a, "value": v}
                         for a, some in values.items() for v in some])
    row = tests.by_animal(rows).iloc[0]
    means = np.array([0.2, 0.4, 0.9])
    half = 4.302653 * means.std(ddof=1) / np.sqrt(3)  # t of two degrees of freedom, 97.5 %
    low, high = np.tanh(np.arctanh(0.5) + np.array([-1, 1]) * half / (1 - 0.5**2))
    assert (row["mean"], row["low"], row["high"]) == pytest.approx((0.5, low, high), abs=1e-5)
    assert row["animals"] == 3


def test_advice_follows_from_the_table():
    def row(test, method, values):
        return [{"test": test, "method": method, "animal": str(i), "value": v} for i, v in enumerate(values)]

    def said(patterns, deletion, late):
        rows = pd.DataFrame([
            *row("planted", "patterns", [patterns] * 2), *row("planted", "deep_shap", [0.5, 0.5]),
            *row("all", "patterns", [0.9, 0.8]), *row("all", "deep_shap", [0.1, 0.2]),
            *row("readout", "patterns", [0.3, 0.2]), *row("readout", "deep_shap", [0.8, 0.9]),
            *row("deletion", "deep_shap", deletion), *row("late", "deep_shap", [late] * 2)])
        return " ".join(tests.advice(rows).split())

    one, other = said(0.9, [0.1, 0.11], 3.0), said(0.2, [-0.1, 0.2], 1.0)
    assert "begin with forward patterns" in one and "begin with Deep SHAP" in other
    assert "outlives shuffled weights (r above 0.5): forward patterns" in one
    assert "leaves much of the map (r above 0.5) by Deep SHAP." in one
    assert "smooth random maps: Deep SHAP." in one and "smooth random maps: none; of the others" in other
    assert "played backwards" in one and "not favoured" in other
    assert tests.advice(pd.DataFrame(columns=["test", "method", "animal", "value"])) == ""


def test_decoders_at_chance_get_a_red_warning_in_table_and_figures():
    chance = [examined([1, 2, 3], f"a{i}", auc) for i, auc in enumerate((0.4, 0.6, 0.55))]
    clear = [examined([1, 2, 3], f"a{i}", auc) for i, auc in enumerate((0.8, 0.9, 0.85))]
    table = tests.score_table({"clear": clear, "chance": chance, "none": []}).set_index("decoders")
    assert table.loc["clear", "warning"] == "" and "NOT ABOVE CHANCE" in table.loc["chance", "warning"]
    assert "NO MAP" in table.loc["none", "warning"]
    rows = tests.rows_of(chance, np.arange(3))
    for some, warned in ((chance, True), (clear, False)):
        shown = {"found": some, "ms": np.arange(3), "drive": np.arange(3), "played": some,
                 "in_worlds": {"haemodynamics_only": (some, np.arange(3))}, "flat": {"rnn": some}}
        of_rois = run_cells(CHAPTER, "shown = ax.imshow", **shown)
        of_truth = run_cells(CHAPTER, "artefacts = {", **shown)
        of_frames = run_cells(CHAPTER, "timed = {", "line.set_linestyle", **shown)
        axes = [of_rois["ax"], of_truth["axes"][0], of_frames["axes"][0], of_frames["axes"][2]]
        axes.append(figures.strip(rows, "planted", plt.figure().add_subplot(), some))
        assert all(("NOT ABOVE CHANCE" in ax.get_title(loc="left")) == warned for ax in axes)
        assert all("simulated" in [text.get_text() for text in ax.texts] for ax in axes)
        assert "not asked for" in of_truth["axes"][1].texts[0].get_text()
        assert "no map by frame" in of_frames["axes"][1].texts[0].get_text()
    assert "no curves" in figures.curves(chance, "deletion", plt.figure().add_subplot()).texts[0].get_text()
    with pytest.raises(ParameterError, match="test"):
        figures.strip(rows, "taste", axes[2], chance)
    plt.close("all")


def test_figures_of_real_runs(found):
    of = {"found": found, "ms": np.arange(SPEC.length), "drive": TRUTH, "in_worlds": {}, "flat": {},
          "played": found}
    image = run_cells(CHAPTER, "shown = ax.imshow", **of)["ax"].images[0].get_array()
    assert image.shape == (7, 5) and np.allclose(image.max(axis=1), 1)
    _, axes = plt.subplots(1, 2)
    lines = {line.get_label(): line.get_ydata() for line in figures.curves(found, "insertion", axes[0]).lines}
    wanted = np.mean([one.curves["deep_shap"][1] for one in found], axis=0)
    np.testing.assert_allclose(lines["Deep SHAP"], wanted)
    frames = run_cells(CHAPTER, "timed = {", "line.set_linestyle", **of)["axes"][2].lines
    (mean,) = [line for line in frames if line.get_label() == "film as it was"]
    np.testing.assert_allclose(mean.get_ydata().sum(), 100)
    pytest.importorskip("shap")
    labels = [t.get_text() for t in figures.beeswarm(found[0], axes[1]).get_yticklabels()]
    assert labels[-1] == "ROI 1" or labels[0] == "ROI 1"
    plt.close("all")


def test_what_is_refused(tiny_dataset):
    with pytest.raises(ParameterError, match="n_windows"):
        MapSettings(0)
    with pytest.raises(ParameterError, match="logistic"):
        map_runs.run(plan(tiny_dataset), "logistic")


def test_the_stored_agreement_is_of_this_code():
    """Whoever changes deep_shap measures again: benchmarks/shapley_agreement.py."""
    table, about = shap.stored_agreement()
    assert about["code_hash"] == code_digest("explain/deep_shap") and about["simulated"]
    assert set(table["output"]) == {"probability", "logit"} and (table["r"] <= 1).all()


def test_the_stored_agreement_is_what_the_chapter_says_of_it():
    """Maps of ROIs agree closely, single windows less, the probability less than the logit, frames least."""
    table, _ = shap.stored_agreement()
    for _, some in table.groupby(["updates", "output"]):
        some = some.set_index("players")
        assert some.loc["ROIs", "r_of_maps"] > some.loc["ROIs", "r"] > 0.95 and some.loc["ROIs", "r_of_maps"] > 0.98
        assert some["r_of_maps"].idxmin() == "frames" and some["r_of_maps"].idxmax() == "ROIs"
        assert some.loc["frames", "r_of_maps"] < 0.9
    r = table.pivot_table("r", ["updates", "players"], "output")
    assert (r["probability"] < r["logit"]).all()
    assert (table["reliability"] > 0.94).all()


def test_a_missing_agreement_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(shap.cards, "stored_folder", lambda: tmp_path)
    with pytest.raises(DataError, match="shapley_agreement"):
        shap.stored_agreement()


def test_three_equal_values_have_no_interval():
    rows = pd.DataFrame([("planted", "deep_shap", animal, 0.5, True) for animal in "abc"],
                        columns=["test", "method", "animal", "value", "simulated"])
    assert tests.by_animal(rows)[["low", "high"]].isna().all(axis=None)
    assert tests.table(rows)["Deep SHAP"].tolist() == ["0.50"]
