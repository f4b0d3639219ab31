"""Figures and tables: what is drawn is what was measured, simulated data say so, odd input does not break them."""

from dataclasses import replace
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import auc, roc_curve

import calcium_decoding as cd
from calcium_decoding import models, preprocessing, splits
from calcium_decoding.data import published
from calcium_decoding.data.recording import Dataset
from calcium_decoding.errors import ParameterError
from calcium_decoding.evaluation import cards, metrics
from calcium_decoding.experiments import compare, engine, tasks
from calcium_decoding.experiments.folds import FoldResult
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.models import names
from calcium_decoding.models.loop import History
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.plotting import comparisons, interactive, style
from calcium_decoding.preprocessing.windows import WindowSpec
from decoding_book.chapters import data_tour, tables


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def folds(tiny_dataset):
    spec, recipe = WindowSpec(4, 4), {"name": "raw", "rate_hz": 30.0}
    split = splits.build("animal_pairs", tiny_dataset, spec, preprocessing.build(**recipe))
    experiment = engine.Experiment(tiny_dataset, split, Traces(recipe, spec), training=TrainingSettings(epochs=2))
    return engine.run(experiment, ["gru", "logistic"], jobs=1), experiment


def words_on(ax):
    return " ".join(text.get_text() for text in ax.texts)


def test_every_plot_returns_its_axes_and_says_simulated(tiny_dataset, folds):
    results, _ = folds
    recording = tiny_dataset.recordings[0]
    correlations = data_tour.correlations(tiny_dataset).pivot_table("r", "animal", "roi").to_numpy()
    plots = [
        lambda ax: style.traces(recording, [0, 2], 0, 5, ax),
        lambda ax: style.behaviour_trace(recording, "run", 0, 5, ax),
        lambda ax: style.run_shares(tiny_dataset, ax),
        lambda ax: style.correlation_with_running(tiny_dataset, correlations, ax),
        lambda ax: style.learning_curves(results, ax),
        lambda ax: style.roc_by_group(results, ax),
        lambda ax: style.roc_by_role(results, ax),
        lambda ax: style.decoded_trace(tables.folds_testing(results, recording)[0], recording, 0, 5, ax),
        lambda ax: style.fold_scores(results, [], ax),
        lambda ax: style.histogram(np.arange(9), "x", ax, tiny_dataset),
    ]
    for plot in plots:
        ax = plt.figure().add_subplot()
        assert plot(ax) is ax and "simulated" in words_on(ax)
        assert ax.get_xlabel() or ax.get_ylabel()


def test_recorded_data_are_not_called_simulated(tiny_dataset, folds):
    ax = style.traces(replace(tiny_dataset.recordings[0], simulated=False), [0], 0, 5, plt.figure().add_subplot())
    assert "simulated" not in words_on(ax)
    recorded = [replace(fold, simulated=False) for fold in folds[0]]
    assert "simulated" not in words_on(style.roc_by_role(recorded, plt.figure().add_subplot()))
    mixed = [*recorded[:-1], folds[0][-1]]
    assert "simulated" in words_on(style.fold_scores(mixed, [], plt.figure().add_subplot()))


def test_what_is_drawn_says_whether_it_is_simulated(tiny_dataset, folds):
    recorded = replace(folds[0][0], simulated=False)
    table = pd.DataFrame({"x": [1.0, 2.0], "simulated": [False, True]})
    for one in (tiny_dataset, tiny_dataset.recordings[0], folds[0], [recorded, folds[0][1]], table,
                {"a": recorded, "b": tiny_dataset}, [[], table], True):
        assert style.is_simulated(one) is True
    for none in (recorded, [recorded], table[:1], [], {}, False):
        assert style.is_simulated(none) is False
    for silent in (table[["x"]], "a", [recorded, 3.0], [True, table[["x"]]]):
        with pytest.raises(TypeError):
            style.is_simulated(silent)


def test_running_is_shaded_where_the_animal_runs():
    ax = plt.figure().add_subplot()
    style.running_spans(ax, np.arange(10) * 0.5, [0, 1, 1, 0, 0, 0, 0, 1, 1, 1])
    spans = [(p.get_x(), p.get_x() + p.get_width()) for p in ax.patches]
    assert spans == [(0.5, 1.5), (3.5, 5.0)]


def test_folds_drawn_are_the_folds_scored(folds):
    results, _ = folds
    ax = style.fold_scores(results, [], plt.figure().add_subplot())
    drawn = sorted(y for line in ax.lines if line.get_marker() == "o" and len(line.get_ydata()) == 6
                   for y in line.get_ydata())
    assert drawn == pytest.approx(sorted(r.scores["auc"] for r in results))


def test_a_model_that_has_not_converged_has_hollow_dots_and_nothing_published_beside(folds, tiny_dataset):
    history = {"gru": History([1.0, 0.5], [1.0, 0.5], 1), "logistic": History()}
    results = [replace(r, history=history[r.model]) for r in folds[0]]
    known = {"gru": (0.974, 0.014), "logistic": (0.797, 0.05)}
    ax = style.fold_scores(results, results[:1], plt.figure().add_subplot(), known)
    dots = [line.get_markerfacecolor() for line in ax.lines if line.get_marker() == "o" and len(line.get_ydata()) == 6]
    assert dots[0] == "none" and dots[1] != "none"
    assert [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "D"] == [pytest.approx(1.36)]
    bars = {round(line.get_xdata()[0], 2) for line in ax.lines if line.get_marker() == "_"}
    assert bars == {0.83, 1.36}  # mean of the one that has converged, and what is published of it
    assert "NOT CONVERGED" in words_on(ax)
    assert "null, one draw, 1 fold" in [text.get_text() for text in ax.get_legend().get_texts()]
    table = tables.score_table(results, [], tiny_dataset).set_index("decoder")
    assert table["training"].str.startswith("NOT CONVERGED: training loss").tolist() == [True, False]
    assert table["published AUC, real mice"].tolist() == ["", "0.797 ± 0.051"]
    assert "training" not in tables.score_table(results[6:], [], tiny_dataset)


def test_a_stored_card_says_what_has_not_converged():
    falling = History([1.0, 0.5], [1.0, 0.5], 1)
    folds = [FoldResult(f"f{i}", "a", "gru", {"auc": 0.9, "auc_train": 0.9}, "", falling, (), *[np.array([])] * 4)
             for i in range(2)]
    for some, said in ((folds, True), ([replace(one, history=History()) for one in folds], False)):
        card = SimpleNamespace(table=lambda some=some: pd.DataFrame([s.model_dump() for s in cards.fold_scores(some)]))
        summary = tables.stored_summary(card)
        assert ("training" in summary) == said and summary["AUC"].tolist() == ["0.900 ± 0.000"]


def test_roc_by_role_tells_apart_what_was_trained_on_from_what_was_not(folds):
    results, _ = folds
    ax = style.roc_by_role(results, plt.figure().add_subplot())
    said = dict(text.get_text().split() for text in ax.get_legend().get_texts())
    gru = [r.scores for r in results if r.model == "gru"]
    for role, score in (("training", "auc_train"), ("validation", "auc_valid"), ("test", "auc")):
        assert said[role] == f"{np.mean([s[score] for s in gru]):.3f}"
    # The curve over training windows belongs to the AUC over training windows.
    for r in results:
        assert auc(np.linspace(0, 1, 200), r.train_roc) == pytest.approx(r.scores["auc_train"], abs=0.01)


def test_every_model_has_a_name_and_a_colour():
    known = {**models.MODELS, **models.IMAGE_MODELS}
    assert set(known) | set(models.SPEED_MODELS) == set(names.DECODERS)
    assert set(names.DECODERS) <= set(names.COLOURS) == set(names.LABELS)  # a session may have added its own
    assert len({names.COLOURS[name] for name in known}) == len(known)


def test_no_network_no_curve(folds):
    results, _ = folds
    ax = style.learning_curves([r for r in results if r.model == "logistic"], plt.figure().add_subplot())
    assert "no network" in ax.get_title(loc="left") + ax.get_title()


def test_score_table_has_means_and_published_only_where_they_belong(folds, tiny_dataset):
    results, _ = folds
    table = tables.score_table(results, [], tiny_dataset)
    values = [r.scores["auc"] for r in results if r.model == "gru"]
    assert table["auc mean"][0] == pytest.approx(np.mean(values))
    assert table["auc SD"][0] == pytest.approx(np.std(values, ddof=1))
    assert table["published AUC, real mice"][0] == "0.974 ± 0.014"
    recorded = Dataset("r", tuple(replace(r, simulated=False) for r in tiny_dataset.recordings))
    assert "published AUC, real mice" not in tables.score_table(results, [], recorded)
    assert tables.published_scores(SimpleNamespace(dataset=tiny_dataset, task=tasks.Binary("run"))) == {}
    of_study = SimpleNamespace(dataset=replace(recorded, compare_with_study=True), task=tasks.Binary("run"))
    assert tables.published_scores(of_study)["gru"] == (0.974, 0.014)
    of_study.task = tasks.Binary("lick")  # nothing is published of licking
    assert tables.published_scores(of_study) == {}


def test_folds_without_a_score_are_listed_once(folds):
    results, _ = folds
    broken = [replace(r, scores={}, reason="test frames: only rest") if r.fold == results[0].fold else r
              for r in results]
    assert tables.not_evaluable_table(broken).to_numpy().tolist() == [[results[0].fold, "test frames: only rest"]]
    assert "none" in tables.show(tables.not_evaluable_table(results)).to_html()


def test_published_tables_are_the_paper_s():
    assert published.reported("roi_rnn_architecture", "GRU", "preprocessed")[:3] == (0.974, 0.014, 20)
    folds = published.per_fold("roi_rnn_architecture", "GRU", "preprocessed")
    assert len(folds) == 20 and folds["value"].mean() == pytest.approx(0.97377, abs=1e-5)
    assert published.run_share(5) == pytest.approx(0.80, abs=0.01)
    assert list(published.roi_table().query("group == 'FL_HL'")["roi"]) == [6, 7, 8, 9, 31, 32, 33, 34]
    with pytest.raises(KeyError):
        published.reported("roi_rnn_architecture", "GPT", "preprocessed")


def test_the_stretch_shown_holds_running_and_rest(clear_dataset):
    for r in clear_dataset.recordings:
        start = round(data_tour.interesting_start_s(r, 20) * r.rate_hz)
        share = r.run[start : start + 600].mean()
        every = [r.run[s : s + 600].mean() for s in range(0, r.n_frames - 600 + 1)]
        assert abs(share - 0.5) == pytest.approx(min(abs(np.array(every) - 0.5)))


def test_the_stretch_shown_is_one_that_is_tested_and_a_panel_without_says_so(clear_dataset):
    split = cd.Experiment(clear_dataset, split="blocked").split
    for r in clear_dataset.recordings:
        tested = next(s for fold in split.folds for s in fold.test if s.recording == r.id)
        start = round(data_tour.interesting_start_s(r, 5, tested=split) * r.rate_hz)
        assert tested.start <= start and start + 5 * r.rate_hz <= tested.stop
    one = clear_dataset.recordings[0]
    fold = cd.Experiment(clear_dataset, split="blocked", decoders=["logistic"]).with_folds(1).run()[0]
    _, (ax,) = style.panels(1)
    style.decoded_trace(fold, one, one.n_frames / one.rate_hz + 1, 5, ax)
    assert "tests nothing" in ax.texts[0].get_text().replace("\n", " ")


def test_a_recording_the_data_set_lacks_is_refused(tiny_dataset):
    assert data_tour.recording_at(tiny_dataset, 5) is tiny_dataset.recordings[5]
    with pytest.raises(ParameterError, match="0 to 5"):
        data_tour.recording_at(tiny_dataset, 6)


def test_the_summary_of_a_stored_card_is_its_means_and_what_folds_took(folds):
    found, _ = folds
    provenance = {"data_hash": "d", "split_hash": "s", "code_version": "v", "seed": 1, "parameters": {}, "versions": {}}
    timed = [replace(fold, seconds=90.0 if fold.model == "gru" else 6.0) for fold in found]
    card = cards.ResultCard(chapter="c", dataset="d", simulated=True, claim="x", null="none", provenance=provenance,
                            scores=cards.fold_scores(timed))
    table = tables.stored_summary(card).set_index("decoder")
    of_gru = [fold.scores["auc"] for fold in found if fold.model == "gru"]
    assert table.loc["gru", "AUC"] == f"{np.mean(of_gru):.3f} ± {np.std(of_gru, ddof=1):.3f}"
    assert table.loc["gru", "folds"] == 6 and list(table["minutes a fold"]) == ["1.5", "0.1"]
    assert tables.stored_summary(None).empty


@pytest.mark.parametrize("of, expected", [
    (True, True), ([], False), (pd.DataFrame({"simulated": [False, True]}), True),
    ([SimpleNamespace(simulated=False), SimpleNamespace(simulated=False)], False),
    ({"a": [SimpleNamespace(simulated=False)], "b": SimpleNamespace(simulated=np.bool_(True))}, True)])
def test_what_a_panel_shows_says_whether_it_is_simulated(of, expected):
    assert style.is_simulated(of) is expected


def test_what_cannot_say_whether_it_is_simulated_is_refused():
    with pytest.raises(TypeError):
        style.is_simulated([object()])


@pytest.fixture(scope="module")
def of_classes(tiny_dataset):
    """Folds of four classes, decoded from recordings that have no run label."""
    def pace(recording):
        return recording.run * (1 + np.arange(recording.n_frames) // 40 % 3)

    dataset = replace(tiny_dataset, recordings=tuple(replace(r, behaviour={"pace": pace(r)})
                                                     for r in tiny_dataset.recordings))
    e = engine.Experiment(dataset, task=tasks.Classes("pace"), decoders=("logistic", "time_only"),
                          training=TrainingSettings(epochs=1)).with_folds(3)
    return dataset, e, e.run(jobs=1)


def test_classes_are_drawn_by_their_main_score_against_their_chance(of_classes):
    dataset, e, results = of_classes
    found = compare.compare({"all": e}, ["logistic"], jobs=1)
    shown = results[0].recordings[0]
    recording = next(r for r in dataset.recordings if r.id == shown)
    fig, axes = plt.subplots(2, 4)
    style.traces(recording, [0, 1], 0, 5, axes[0, 0])
    style.decoded_trace(results[0], recording, 0, 10, axes[0, 1])
    assert [t.get_text() for t in axes[0, 1].get_yticklabels()] == ["0", "1", "2", "3"]
    for draw, ax in ((style.roc_by_role, axes[0, 2]), (style.roc_by_group, axes[0, 3])):
        draw(results.of("logistic"), ax)
    assert axes[0, 2].get_legend().get_title().get_text() == "mean balanced accuracy"
    style.fold_scores(results, [], axes[1, 0])
    comparisons.strip(found, axes[1, 1])
    for ax in axes[1, :2]:
        assert "balanced accuracy" in ax.get_ylabel()
        assert any(np.allclose(line.get_ydata(), 0.25) for line in ax.lines)  # chance of four classes
    mean = np.mean([fold.scores["balanced_accuracy"] for fold in results.of("logistic")])
    assert compare.table(found)["mean"][0] == pytest.approx(mean)
    assert "balanced_accuracy" in {score.metric for score in compare.card_scores(found)}
    assert interactive.recording(recording, [0, 1], results[:1], 0).says.count("class of pace") == 1
    plt.close(fig)


def test_the_roc_of_classes_is_the_mean_over_each_against_the_rest(of_classes):
    fold = of_classes[2][0]
    grid, curve = metrics.roc(fold.labels, fold.predicted)
    each = [np.interp(grid, *roc_curve(fold.labels == i, fold.predicted[:, i])[:2]) for i in np.unique(fold.labels)]
    np.testing.assert_allclose(curve, np.mean(each, axis=0))


def test_dots_are_values_and_bars_their_means_and_an_empty_column_says_so():
    _, (ax, empty) = style.panels(2)
    style.dots({"one": [1.0, 3.0], "no value": [], "another": [2.0]}, ax, colours={"one": "red", "another": "blue"})
    assert [line.get_ydata().tolist() for line in ax.lines] == [[1.0, 3.0], [2.0]]
    assert [bar.get_segments()[0][0, 1] for bar in ax.collections] == [2.0, 2.0]
    assert [text.get_text() for text in ax.texts] == ["none"] and ax.lines[0].get_color() == "red"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["one", "no value", "another"]
    assert style.warned(ax, "").get_title(loc="left") == "" != style.warned(ax, "AT CHANCE").get_title(loc="left")
    assert style.nothing(empty, "why").texts[0].get_text() == "why" and not empty.axison
    plt.close("all")


def test_a_warning_stays_within_its_panel_above_the_title_it_had():
    figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
    said = "NOT CONVERGED: training loss still fell by 20 % in the last epoch (3 of 3 trainings)"
    for ax in axes:
        ax.set_title("wanted: 1", loc="left")
        style.simulated_mark(style.warned(style.warned(ax, said), said), True)
    figure.draw_without_rendering()
    for ax in axes:
        assert ax.get_title(loc="left") == f"{said}\nwanted: 1"
        title, panel = ax._left_title.get_window_extent(), ax.get_window_extent()
        assert title.width <= panel.width and not title.overlaps(ax.texts[0].get_window_extent())


def test_traces_curves_and_rocs_of_a_network_that_has_not_converged_say_so(folds, tiny_dataset):
    falling, recording = History([1.0, 0.5], [1.0, 0.5], 1), tiny_dataset.recordings[0]
    for history, marked in ((falling, True), (replace(falling, train_loss=[1.0, 0.99]), False)):
        results = [replace(r, history=history, scores=r.scores | {"auc_train": 0.9})
                   for r in folds[0] if r.model == "gru"]
        for plot in (style.learning_curves, style.roc_by_role, style.roc_by_group, lambda some, ax: style.decoded_trace(
                tables.folds_testing(some, recording)[0], recording, 0, 5, ax)):
            title = plot(results, plt.figure().add_subplot()).get_title(loc="left")
            assert ("NOT CONVERGED" in title) == marked


def test_ticks_of_a_null_lie_within_the_axes():
    ax = plt.figure().add_subplot()
    ax.plot([0, 1], [0.8, 0.9])
    comparisons.null(ax, [[0.3, 0.5]])
    low, high = ax.get_ylim()
    assert low < 0.3 and high > 0.9 and ax.get_xlim()[1] < 1.1


def test_a_map_to_touch_carries_its_warning(tiny_dataset):
    made = interactive.roi_map(tiny_dataset, np.arange(5.0), "r", "NOT ABOVE CHANCE")
    assert made.says.startswith("NOT ABOVE CHANCE") and any(
        getattr(one, "text", "") == "NOT ABOVE CHANCE" for one in made.layout.above)
