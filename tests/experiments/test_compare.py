"""Conditions of one figure: run together, tabled by hand, tested against the published p-values and by enumeration."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from calcium_decoding import preprocessing, splits
from calcium_decoding.data import published
from calcium_decoding.data.recording import Dataset
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.experiments import compare, engine, tasks
from calcium_decoding.experiments.compare import Condition, ConditionResult
from calcium_decoding.experiments.engine import Experiment
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.plotting import comparisons
from calcium_decoding.preprocessing.windows import WindowSpec

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

    def make(name, scores, **options):
        folds = [replace(one_fold, fold=fold, test_group=group, scores={} if auc is None else {"auc": auc},
                         reason="only rest" if auc is None else "") for (fold, group), auc in scores.items()]
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


def test_the_test_over_animals_pairs_folds_by_name(result):
    a = result("a", {("f1", "m1"): 0.9, ("f2", "m1"): 0.7, ("f3", "m2"): 0.8, ("f4", "m3"): 0.6, ("f5", "m3"): None})
    b = result("b", {("f4", "m3"): 0.5, ("f3", "m2"): 0.6, ("f2", "m1"): 0.6, ("f1", "m1"): 0.6, ("f5", "m3"): 0.9})
    row = compare.tests([a, b]).iloc[0]
    each = np.array([(0.3 + 0.1) / 2, 0.2, 0.1])
    assert row["animals"] == 3 and row["paired_difference"] == pytest.approx(each.mean())
    assert row["p_sign_flip"] == row["p_floor"] == 2 / 8
    half = 4.302653 * each.std(ddof=1) / np.sqrt(3)  # Student's t of 2 degrees of freedom
    assert [row["low"], row["high"]] == pytest.approx([each.mean() - half, each.mean() + half])
    flipped = compare.tests([a, b], against="a").iloc[0]
    assert flipped["condition_b"] == "a" and flipped["paired_difference"] == pytest.approx(-each.mean())


def test_one_animal_has_no_test_over_animals_and_no_scores_no_test(result):
    a, b = (result(name, {("f1", "m1"): auc, ("f2", "m1"): auc + 0.1}) for name, auc in (("a", 0.6), ("b", 0.7)))
    row = compare.tests([a, b]).iloc[0]
    assert row["animals"] == 1 and row[["low", "high", "p_sign_flip", "paired_difference"]].isna().all()
    with pytest.raises(DataError):
        compare.tests([a, result("c", {("f1", "m1"): None})])
    with pytest.raises(ParameterError, match="unknown groups z"):
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
    assert {"chance", "mouse 1", "mouse 5", "published, real mice", "null: mean, SD over folds"} <= set(labels)
    diamonds = next(line for line in ax.lines if line.get_marker() == "D")
    assert diamonds.get_ydata() == pytest.approx([np.mean(list(r.values().values())) for r in published_lengths])
    assert "simulated" in [text.get_text() for text in ax.texts]
    ax = comparisons.strip(published_lengths, plt.figure().add_subplot(), published=False)
    assert not [line for line in ax.lines if line.get_marker() == "D"]


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
