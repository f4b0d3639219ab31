"""Conditions of one figure: run together, tabled by hand, tested against the published p-values and by enumeration."""

import re
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PathCollection

from calcium_decoding import preprocessing, splits
from calcium_decoding.data import published
from calcium_decoding.data.recording import Dataset
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import cards
from calcium_decoding.experiments import compare, compared, engine, tasks
from calcium_decoding.experiments.compare import Condition, ConditionResult
from calcium_decoding.experiments.engine import Experiment
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.models.loop import History
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.plotting import comparisons, style
from calcium_decoding.preprocessing.windows import WindowSpec
from decoding_book.chapters import tables

LENGTHS = (5, 10, 15, 20, 25, 30)


def plan(dataset, spec=None, say=False, n_folds=0):
    spec, recipe = spec or WindowSpec(2, 2), {"name": "raw", "rate_hz": 30.0}
    split = splits.build("animal_pairs", dataset, spec, preprocessing.build(**recipe))
    split = replace(split, folds=split.folds[: n_folds or None])
    return engine.Experiment(dataset, split, Traces(recipe, spec), training=TrainingSettings())


@pytest.fixture(scope="module")
def one_fold(tiny_dataset):
    return engine.run(plan(tiny_dataset, n_folds=1), ["logistic"], jobs=1)[0]


@pytest.fixture
def result(tiny_dataset, one_fold):
    """Makes a ConditionResult with given AUCs by (fold, test group); None: no score."""
    experiment = plan(tiny_dataset, n_folds=1)

    def make(name, scores, losses=(), train_auc=0.99, **options):
        folds = [replace(one_fold, fold=fold, test_group=group, reason="only rest" if auc is None else "",
                         scores={} if auc is None else {"auc": auc, "auc_train": train_auc},
                         history=History([*losses], [*losses], 0)) for (fold, group), auc in scores.items()]
        return ConditionResult(Condition(name, experiment, **options), folds)

    return make


@pytest.fixture
def published_lengths(result):
    """Fig 5B as the study saved it."""
    found = []
    for half in LENGTHS:
        key = ("roi_rnn_window_length", "GRU", f"half_window_{half}_frames")
        folds = published.per_fold(*key)
        scores = {(f"test={t},valid={v}", f"mouse {t}"): auc
                  for t, v, auc in folds[["test_mouse", "valid_mouse", "value"]].itertuples(index=False)}
        found.append(result(f"h{half}", scores, published=key, value=half / 30))
    return found


def test_every_condition_gets_its_own_folds_in_order(tiny_dataset, tmp_path):
    short, long = plan(tiny_dataset, WindowSpec(0, 0)), plan(tiny_dataset, WindowSpec(9, 9))
    wanted = [("a", short, "logistic"), ("b", long, "logistic_window"), ("c", short, "time_only"),
              ("d", short, "logistic")]
    found = compare.run([Condition(*which) for which in wanted], tmp_path, jobs=1)
    assert [r.name for r in found] == ["a", "b", "c", "d"]
    for condition, (_, experiment, model) in zip(found, wanted, strict=True):
        alone = engine.run(experiment, [model], jobs=1)
        assert condition.values() == {fold.fold: fold.scores["auc"] for fold in alone}
        assert list(condition.values()) == [fold.name for fold in experiment.split.folds]
    assert len(list(tmp_path.glob("*.npz"))) == 3 * 6  # a and d are the same


def test_labels_bring_value_and_published_key_and_decoders_take_the_place_of_others(tiny_dataset):
    asked = {"a": plan(tiny_dataset, n_folds=1), "b": plan(tiny_dataset, WindowSpec(1, 1), n_folds=1)}
    key = ("roi_linear", "LogisticRegression", "preprocessed")
    found = compare.compare(asked, ["logistic"], {"a": key}, {"b": 0.5}, jobs=1)
    assert [(r.name, r.condition.model, r.condition.published, r.condition.value) for r in found] == [
        ("a", "logistic", key, None), ("b", "logistic", None, 0.5)]
    assert [r.condition.experiment for r in found] == list(asked.values()) and found[0].simulated


def test_each_condition_is_trained_with_every_seed_and_a_card_gives_it_back(tiny_dataset, tmp_path):
    experiment = plan(tiny_dataset, n_folds=2).with_(epochs=1, seed=7)
    found = compare.compare({"a": experiment}, ["rnn"], {"a": ("roi_linear", "LogisticRegression", "preprocessed")},
                            {"a": 0.5}, seeds=2, jobs=1)
    alone = [engine.run(experiment.with_(seed=seed), ["rnn"], jobs=1) for seed in (7, 8)]
    scores = [[fold.scores["auc"] for fold in folds] for folds in alone]
    assert scores[0] != scores[1] and found[0].seeds == [7, 8]
    assert list(found[0].values().values()) == pytest.approx(np.mean(scores, axis=0))
    assert [fold.scores["auc"] for fold in found[0].folds] == scores[0] + scores[1]
    card = cards.ResultCard(
        chapter="a", dataset="tiny", simulated=True, claim="none", null="none", scores=[],
        comparisons={"some": compared.recorded(found)}, provenance=cards.provenance(tiny_dataset, "0", 7, {}))
    card.save(tmp_path / "a.card.json")
    kept = cards.ResultCard.load(tmp_path / "a.card.json")
    again = compared.from_record(kept.comparisons["some"])
    assert again.table().equals(found.table()) and again[0].seeds == [7, 8] and again[0].simulated == found[0].simulated
    assert again[0].condition.value == 0.5 and again[0].main_score == "auc"
    assert [fold.history for fold in again[0].folds] == [fold.history for fold in found[0].folds]
    assert kept.seconds() == pytest.approx(sum(fold.seconds for fold in found[0].folds))


def test_names_have_to_differ(tiny_dataset):
    with pytest.raises(ParameterError, match="more than one called a"):
        compare.run([Condition("a", plan(tiny_dataset), "logistic")] * 2)
    with pytest.raises(ParameterError, match="none"):
        compare.run([])


def test_table_and_card_by_hand(result):
    found = [result("x", {("f1", "m1"): 0.6, ("f2", "m1"): 0.8, ("f3", "m2"): 0.9}),
             result("y", {("f1", "m1"): 0.5, ("f2", "m1"): None, ("f3", "m2"): None})]
    table = compare.table(found).set_index("condition")
    assert table.loc["x", ["folds", "m1", "m2"]].tolist() == pytest.approx([3, 0.7, 0.9])
    assert table.loc["x", "mean"] == pytest.approx(2.3 / 3) and table.loc["x", "SD"] == pytest.approx(np.sqrt(
        ((0.6 - 2.3 / 3) ** 2 + (0.8 - 2.3 / 3) ** 2 + (0.9 - 2.3 / 3) ** 2) / 2))
    assert table.loc["y", "folds"] == 1 and table.loc["y", ["SD", "m2"]].isna().all()
    scores = {(s.model, s.scope): s.value for s in compare.card_scores(found)}
    assert scores["x", "mean of 2 test groups"] == pytest.approx(0.8)
    assert scores["x", "mean of 3 folds"] == pytest.approx(2.3 / 3) and scores["x", "fold f3"] == 0.9
    assert scores["y", "mean of 1 folds"] == 0.5 and ("y", "fold f2") not in scores
    missing = compare.not_evaluable(found)
    assert [(f.model, f.fold, f.reason) for f in missing] == [("y", "f2", "only rest"), ("y", "f3", "only rest")]


def test_the_test_over_folds_gives_the_published_p(published_lengths):
    ours = compare.tests(published_lengths).set_index(["condition_a", "condition_b"])
    theirs = published.table("rank_sum_check").query("family == 'Fig5B'")
    assert len(ours) == len(theirs) == 15
    for row in theirs.itertuples():
        names = tuple(f"h{g.split('_')[-2]}" for g in (row.group_a, row.group_b))
        here = ours.loc[names if names in ours.index else names[::-1]]
        assert here["p_rank_sum"] == pytest.approx(row.p_two_sided, rel=1e-3)
        assert here["p_holm"] == pytest.approx(row.p_holm, rel=1e-3)
        assert here["published, real mice"] == f"{here['p_holm']:.2g} {row.stars}"
        assert here["stars"] == row.stars


def test_published_p_come_from_the_family_of_the_study_whatever_is_shown(published_lengths):
    """Two lengths of six are shown: the study's p is that of fifteen pairs, which is no longer significant."""
    few = compare.short_tests(published_lengths[:2])
    theirs = published.table("rank_sum_check").query("family == 'Fig5B' and group_b == 'GRU|half_window_10_frames'")
    assert few["published, real mice"].tolist() == [f"{theirs['p_holm'].iloc[0]:.2g} n.s."] == ["0.12 n.s."]
    assert few["rank-sum p, Holm"].tolist() == ["0.012 *"]  # ours is of the one pair
    other = [replace(one, folds=[replace(fold, scores={"mae": fold.scores["auc"]}) for fold in one.folds])
             for one in published_lengths[:2]]
    assert "published, real mice" not in compare.short_tests(other, metric="mae")  # the study has no such p


def test_no_p_is_published_where_the_study_has_not_saved_all_folds_of_its_family(published_lengths):
    keys = ("roi_rnn_architecture", "GRU", "preprocessed"), ("roi_rnn_raw", "GRU", "raw")
    found = [replace(one, condition=replace(one.condition, published=key))
             for one, key in zip(published_lengths, keys, strict=False)]
    assert "published, real mice" not in compare.short_tests(found)
    # Nor for two conditions of different panels.
    found[1] = published_lengths[1]
    assert "published, real mice" not in compare.short_tests(found)


def scores(*aucs):
    return {(f"f{i}", f"m{i}"): auc for i, auc in enumerate(aucs)}


def test_what_cannot_be_significant_is_not_printed_and_the_table_says_so_once(result):
    found = [result("a", scores(0.9, 0.91, 0.92)), result("b", scores(0.6, 0.63, 0.61))]
    short = compare.short_tests(found)
    assert short.columns.tolist() == ["pair", "difference", "over animals"] and "(+" in short["over animals"][0]
    assert short.attrs["note"] == (
        "No rank-sum p: with so few folds and a family of 1 none below 0.081 is possible. "
        "No sign-flip p (two-sided): with so few animals none below 0.25 is possible.")
    html = tables.show(short).to_html()
    assert html.count("none below 0.081") == 1 and "caption-side: bottom" in html
    # Six animals can: 2/64, and 1/64 where the sign was known beforehand.
    many = [result("a", scores(*np.linspace(0.9, 0.92, 6))), result("b", scores(*np.linspace(0.6, 0.64, 6)))]
    short = compare.short_tests(many)
    assert short["sign-flip p, two-sided (least possible)"].tolist() == ["0.031 (0.031)"]
    assert short["rank-sum p, Holm"].tolist() == ["0.0051 **"] and short.attrs["note"] == ""
    one_sided = compare.short_tests(many, alternative="greater")
    assert one_sided["sign-flip p, greater (least possible)"].tolist() == ["0.016 (0.016)"]
    wrong = compare.short_tests(many, alternative="less")
    assert wrong["sign-flip p, less (least possible)"].tolist() == ["1 (0.016)"]


FALLING, LEVEL = (0.7, 0.5, 0.4), (0.7, 0.41, 0.4)


def planted(result):
    """One that has converged, one whose loss still falls, one that learnt nothing, and one that needs no epochs."""
    key = ("roi_rnn_architecture", "GRU", "preprocessed")
    return [result("good", scores(0.9, 0.92, 0.91), LEVEL, published=key, value=0.0),
            result("falling", scores(0.7, 0.72, 0.71), FALLING, published=key, value=1.0),
            result("low", scores(0.5, 0.52, 0.51), LEVEL, 0.55, published=key, value=2.0),
            result("linear", scores(0.8, 0.82, 0.81), value=3.0)]


def test_no_difference_of_a_training_that_has_not_converged_is_printed(result):
    found = planted(result)
    assert compare.warning(found) == "NOT CONVERGED: falling, low" and compare.warning(found[::3]) == ""
    table = compare.table(found).set_index("condition")
    assert table["training"].tolist() == [
        "", "NOT CONVERGED: training loss still fell by 20.0 % in the last epoch (3 of 3 trainings)",
        "NOT CONVERGED: training AUC of 0.55 lies below 0.60 (3 of 3 trainings)", ""]
    assert (table["published, real mice"] != "").tolist() == [True, False, False, False]
    assert table["mean"].tolist() == pytest.approx([0.91, 0.71, 0.51, 0.81])  # what was measured stays
    assert "training" not in compare.table(found[::3])
    rows = compare.tests(found).set_index(["condition_a", "condition_b"])
    assert rows["not_converged"].tolist() == ["falling", "low", "", "falling, low", "falling", "low"]
    unconverged = rows[rows["not_converged"] != ""].drop(columns=["not_converged", "published, real mice"],
                                                      errors="ignore")
    assert unconverged.isna().all(axis=None)
    sure = rows.loc["good", "linear"]
    assert sure["difference"] == pytest.approx(0.1) and sure["family_size"] == 6 and sure["animals"] == 3
    short = compare.short_tests(found).set_index("pair")
    assert short.loc["good − falling", "difference"] == "NOT CONVERGED: falling"
    assert short.loc["good − falling"].iloc[1:].tolist() == [""] and short.loc["good − linear", "over animals"] != ""
    assert compare.short_tests(found[1:3])["difference"].tolist() == ["NOT CONVERGED: falling, low"]


def test_what_has_not_converged_stands_in_red_in_a_table(result):
    html = tables.show(compare.table(planted(result))).to_html()
    (rule,) = re.findall(r"([^}]*){\s*color: " + style.WARNING + r";\s*font-weight: bold;\s*}", html)
    assert len(re.findall(r"#T_\w+_row(\d)_col4", rule)) == 2 == rule.count("#T_")


def test_cards_hold_all_numbers_and_know_what_has_converged(result):
    found = planted(result)
    scores = {(s.model, s.metric, s.scope): s.value for s in compare.card_scores(found)}
    assert [scores[name, "converged", "over 3 folds"] for name in ("good", "falling", "low", "linear")] == [1, 0, 0, 1]
    assert scores["falling", "auc", "mean of 3 folds"] == pytest.approx(0.71)
    assert not [scope for _, metric, scope in scores if metric == "converged" and scope.startswith("mean of")]


def test_early_stopping_ended_a_training_by_the_patience_it_was_given(result):
    losses = (0.5, 0.4, 0.3, 0.2)
    one = result("a", scores(0.9, 0.9, 0.91), losses)
    folds = [replace(fold, history=History([*losses], [0.3, 0.4, 0.5, 0.6], 0)) for fold in one.folds]
    patient = one.condition.experiment.with_(patience=3)
    assert ConditionResult(one.condition, folds).not_converged() != ""
    assert ConditionResult(replace(one.condition, experiment=patient), folds).not_converged() == ""


def test_seeds_are_trained_one_by_one_and_have_to_agree(result, tiny_dataset):
    a, b = result("a", scores(0.90, 0.91, 0.92)), result("b", scores(0.88, 0.89, 0.90))

    def again(one, by):
        other = [replace(fold, scores={"auc": fold.scores["auc"] + by}, seed=2) for fold in one.folds]
        return ConditionResult(one.condition, [replace(fold, seed=1) for fold in one.folds] + other)

    agree = [again(a, 0.01), again(b, 0.005)]
    assert agree[0].by_seed() == pytest.approx({1: 0.91, 2: 0.92})
    assert agree[0].values() == pytest.approx({"f0": 0.905, "f1": 0.915, "f2": 0.925})
    row = compare.tests(agree).iloc[0]
    assert row["not_converged"] == "" and row["difference"] == pytest.approx(0.0225) and row["animals"] == 3
    far = compare.tests([again(a, 0.03), again(b, 0.03)]).iloc[0]
    assert far["not_converged"] == "seeds differ by 0.030, the conditions by 0.020" and np.isnan(far["difference"])


def test_the_test_over_animals_pairs_folds_by_name(result):
    a = result("a", {("f1", "m1"): 0.9, ("f2", "m1"): 0.7, ("f3", "m2"): 0.8, ("f4", "m3"): 0.6, ("f5", "m3"): None})
    b = result("b", {("f4", "m3"): 0.5, ("f3", "m2"): 0.6, ("f2", "m1"): 0.6, ("f1", "m1"): 0.6, ("f5", "m3"): 0.9})
    row = compare.tests([a, b]).iloc[0]
    each = np.array([(0.3 + 0.1) / 2, 0.2, 0.1])
    assert row["animals"] == 3 and row["paired_difference"] == pytest.approx(each.mean())
    assert row["p_sign_flip"] == row["p_floor"] == 2 / 8
    half = 4.302653 * each.std(ddof=1) / np.sqrt(3)  # Student's t of 2 degrees of freedom
    z, half = np.arctanh(each.mean()), half / (1 - each.mean() ** 2)  # a difference of AUCs lies between -1 and 1
    assert [row["low"], row["high"]] == pytest.approx([np.tanh(z - half), np.tanh(z + half)])
    flipped = compare.tests([a, b], against="a").iloc[0]
    assert flipped["condition_b"] == "a" and flipped["paired_difference"] == pytest.approx(-each.mean())


def test_one_animal_has_no_test_over_animals_and_no_scores_no_test(result):
    a, b = (result(name, {("f1", "m1"): auc, ("f2", "m1"): auc + 0.1}) for name, auc in (("a", 0.6), ("b", 0.7)))
    row = compare.tests([a, b]).iloc[0]
    assert row["animals"] == 1 and row[["low", "high", "p_sign_flip", "paired_difference"]].isna().all()
    with pytest.raises(DataError):
        compare.tests([a, result("c", {("f1", "m1"): None})])
    with pytest.raises(ParameterError, match="found z"):
        compare.tests([a, b], against="z")


def test_published_stands_beside_only_where_it_may(published_lengths):
    condition = published_lengths[0].condition
    assert condition.published_score() == pytest.approx((0.949, 0.031), abs=6e-4)  # methods A14
    dataset = condition.experiment.dataset
    recorded = Dataset("other", tuple(replace(r, simulated=False) for r in dataset.recordings))
    other = replace(condition, experiment=replace(condition.experiment, dataset=recorded))
    assert condition.beside_published and not other.beside_published
    assert not replace(condition, published=None).beside_published
    found = [ConditionResult(other, published_lengths[0].folds)]
    assert "published, real mice" not in compare.table(found)
    assert compare.table(published_lengths)["published, real mice"].iloc[0] == "0.949 ± 0.031"
    with pytest.raises(ParameterError, match="published"):
        replace(condition, published=("no", "such", "thing")).published_score()


def test_the_null_is_refitted_where_sessions_can_be_re_paired(tiny_dataset):
    folds, statement = compare.run_null(plan, tiny_dataset, "logistic", 0, jobs=1, n_folds=2)
    assert len(folds) == 2 and "refitted on 2 folds" in statement
    real = engine.run(plan(tiny_dataset, n_folds=2), ["logistic"], jobs=1)
    assert [f.fold for f in folds] == [f.fold for f in real]
    # Behaviour is a sine whose phase is drawn for each session: with another session's labels little is left.
    assert max(f.scores["auc"] for f in folds) < min(f.scores["auc"] for f in real)
    single = Dataset("single", tiny_dataset.recordings[::2])
    folds, statement = compare.run_null(plan, single, "logistic", 0, jobs=1)
    assert folds == [] and statement.startswith("none: session re-pairing needs")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_strip_shows_every_fold_the_means_and_published_ones(published_lengths):
    _, ax = plt.subplots()
    assert comparisons.strip(published_lengths, ax, nulls=published_lengths[0].folds) is ax
    dots = np.concatenate([c.get_offsets()[:, 1] for c in ax.collections if len(c.get_offsets()) > 1])
    aucs = [auc for r in published_lengths for auc in r.values().values()]
    assert sorted(dots) == pytest.approx(sorted(aucs))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert {"chance", "mouse 1", "mouse 5", "published, real mice", "null, one draw, 20 folds"} <= set(labels)
    (ticks,) = [c for c in ax.collections if c.get_label().startswith("null")]
    assert [line[0, 1] for line in ticks.get_segments()] == pytest.approx(list(published_lengths[0].values().values()))
    assert not ax.patches  # no band of one draw
    diamonds = next(line for line in ax.lines if line.get_marker() == "D")
    assert diamonds.get_ydata() == pytest.approx([np.mean(list(r.values().values())) for r in published_lengths])
    assert "simulated" in [text.get_text() for text in ax.texts]
    ax = comparisons.strip(published_lengths, plt.figure().add_subplot(), published=False)
    assert not [line for line in ax.lines if line.get_marker() == "D"]


def hollow(ax):
    """Places of hollow dots."""
    dots = [c for c in ax.collections if isinstance(c, PathCollection) and len(c.get_offsets())]
    return {round(c.get_offsets()[0, 0]) for c in dots if not len(c.get_facecolor())}


def test_a_strip_shows_what_has_not_converged_in_hollow_dots_without_mean_and_in_red(result):
    ax = comparisons.strip(planted(result), plt.figure().add_subplot())
    assert hollow(ax) == {1, 2}
    bars = {round(line.get_xdata()[0]): line.get_ydata()[0] for line in ax.lines if line.get_marker() == "_"
            and line.get_markersize() == 10}
    assert bars == pytest.approx({0: 0.91, 3: 0.81})
    (diamonds,) = [line for line in ax.lines if line.get_marker() == "D"]
    assert diamonds.get_xdata() == pytest.approx([0.42])
    red = [text for text in ax.texts if text.get_text() == "NOT CONVERGED"]
    assert [round(text.xy[0]) for text in red] == [1, 2]
    assert {text.get_color() for text in red} == {style.WARNING}


def test_ten_conditions_that_have_not_converged_remain_readable(result):
    found = [result(f"condition {i}", scores(0.6, 0.7, 0.8), FALLING) for i in range(10)]
    figure = plt.figure(figsize=(10, 3.8))
    ax = comparisons.strip(found, figure.add_subplot())
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts if text.get_text() == "NOT CONVERGED"]
    assert len(boxes) == 10 and not [i for i in range(9) if boxes[i].x1 >= boxes[i + 1].x0]
    assert all(ax.bbox.y0 <= box.y0 and box.y1 <= ax.bbox.y1 for box in boxes)


def test_a_curve_leaves_out_what_has_not_converged(result):
    ax = comparisons.curve(planted(result), plt.figure().add_subplot(), "x")
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_allclose(lines["mean, SD over folds"].get_ydata(), [0.91, np.nan, np.nan, 0.81])
    np.testing.assert_allclose(lines["m0"].get_ydata(), [0.9, np.nan, np.nan, 0.8])
    open_dots = [line for line in ax.lines if line.get_marker() == "o" and line.get_markerfacecolor() == "none"]
    assert open_dots[0].get_xydata().tolist() == [[1, 0.7], [2, 0.5]]
    assert [text.xy[0] for text in ax.texts if text.get_text() == "NOT CONVERGED"] == [1, 2]
    assert [list(line.get_xdata()) for line in ax.lines if line.get_marker() == "D"] == [[0]]


def test_a_null_is_a_band_from_twenty_draws_on(published_lengths):
    draws = [[replace(fold, scores={"auc": 0.5 + 0.01 * i}) for fold in published_lengths[0].folds[:2]]
             for i in range(20)]
    ax = comparisons.strip(published_lengths, plt.figure().add_subplot(), nulls=draws)
    (band,) = ax.patches
    means = 0.5 + 0.01 * np.arange(20)
    ends = band.get_extents().transformed(ax.transData.inverted())
    assert [ends.y0, ends.y1] == pytest.approx([means.mean() - means.std(ddof=1), means.mean() + means.std(ddof=1)])
    assert "null: mean, SD over 20 draws" in [text.get_text() for text in ax.get_legend().get_texts()]
    ax = comparisons.strip(published_lengths, plt.figure().add_subplot(), nulls=draws[:19])
    assert not ax.patches and "null, 19 draws, 38 folds" in [t.get_text() for t in ax.get_legend().get_texts()]


@pytest.mark.parametrize("draw", [comparisons.strip, lambda found, ax: comparisons.curve(found, ax, "s")])
def test_nothing_compared_leaves_no_axes_behind(draw):
    figure, ax = plt.subplots()
    assert draw([], ax) is ax and figure.axes == []


def test_curve_shows_animals_and_the_mean_in_order_of_value(published_lengths):
    _, ax = plt.subplots()
    assert comparisons.curve(published_lengths[::-1], ax, "half length (s)", published=False) is ax
    lines = {line.get_label(): line for line in ax.lines}
    mean = lines["mean, SD over folds"]
    assert mean.get_xdata() == pytest.approx(np.array(LENGTHS) / 30)
    assert mean.get_ydata() == pytest.approx([np.mean(list(r.values().values())) for r in published_lengths])
    assert lines["mouse 2"].get_ydata() == pytest.approx([r.by_animal()["mouse 2"] for r in published_lengths])
    assert ax.get_xlabel() == "half length (s)" and ax.get_ylabel() == "AUC"


def test_conditions_that_decode_different_things_are_not_compared_by_an_unnamed_score(tiny_dataset):
    both = {name: Experiment(tiny_dataset, task=task, decoders=("logistic",)).with_folds(2)
            for name, task in (("event", tasks.Binary("run")), ("classes", tasks.Classes("run")))}
    found = compare.compare(both, jobs=1)
    with pytest.raises(ParameterError, match="auc, balanced_accuracy"):
        found.table()
    assert len(found.table("auc")) == 2
    with pytest.raises(ParameterError, match=r"'foo'.*balanced_accuracy"):
        found.table("foo")
    assert [r.name for r in compare.compare({"x": both["event"]}, "logistic", jobs=1)] == ["x"]
