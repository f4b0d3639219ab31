"""Figures of footsteps show the numbers they are given, and say so where there are none."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from calcium_decoding.experiments.folds import FoldResult
from calcium_decoding.models.loop import History
from calcium_decoding.models.names import FOOTSTEP_MODELS
from decoding_book.chapters.bilateral import figures, study
from decoding_book.chapters.bilateral.study import row


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def result(model, animal, score, value=0.0):
    names = {"animal": animal, "block": 0, "seed": 0, "model": model, "value": value}
    nothing = np.empty(0, int)
    return row(names, FoldResult("fold", animal, model, {"balanced_accuracy": score, "auc": score}, "", History(),
                                 (animal,), nothing, nothing, nothing, nothing, kind="classes", simulated=True))


RESULTS = pd.DataFrame([result("hybrid", "a", 0.7), result("hybrid", "b", 0.8), result("lstm", "a", 0.6),
                        result("lstm", "b", 0.5)])


def values_of(ax, marker="o"):
    return [sorted(line.get_ydata()) for line in ax.lines if line.get_marker() == marker and len(line.get_ydata()) > 1]


def test_every_dot_is_an_animal_and_chance_is_drawn(ax):
    nulls = pd.DataFrame([result("hybrid", "a", 0.3), result("hybrid", "b", 0.4)])
    found = figures.dots(RESULTS, {"": "balanced_accuracy"}, ax, "score", (1 / 3, "chance"), nulls)
    assert found is ax and values_of(ax) == [[0.7, 0.8], [0.5, 0.6]]
    assert any(np.allclose(line.get_ydata(), 1 / 3) for line in ax.lines)
    (ticks,) = [c for c in ax.collections if c.get_label() == "null, one draw, 2 animals"]
    assert [line[0, 1] for line in ticks.get_segments()] == [0.3, 0.4] and not ax.patches
    assert [text.get_text() for text in ax.texts] == ["simulated"]


def test_what_is_not_there_is_said(ax):
    figures.dots(RESULTS, {"": "r2"}, ax, "R²", (0, "mean"))
    assert ax.texts[0].get_text() == "recordings without kinematics" and not ax.lines
    figures.dots(RESULTS, {"": "f1"}, ax, "F1", (0, "mean"))
    assert ax.texts[1].get_text() == "not run on these data"


def test_no_figure_rather_than_an_empty_one():
    figure, (left, right) = plt.subplots(1, 2)
    figures.curve(pd.DataFrame(), "minutes", left)
    assert figure.axes == [right] and plt.fignum_exists(figure.number)
    figures.dots(pd.DataFrame(), {"": "auc"}, right, "score", (0.5, "chance"))
    assert not plt.fignum_exists(figure.number)


def swept(values, animals="abc"):
    return pd.DataFrame([result("hybrid", a, 0.4 + 0.1 * i + 0.01 * k, v)
                         for k, a in enumerate(animals) for i, v in enumerate(values)])


def test_curves_are_means_over_animals_with_all_at_the_end(ax):
    figures.curve(swept((0.5, 1.0, 2.0, 0.0)), "minutes", ax, zero="all")
    (thick,) = [line for line in ax.lines if line.get_linewidth() == 2.4]
    np.testing.assert_allclose(thick.get_ydata(), [0.41, 0.51, 0.61, 0.71])
    assert thick.get_linestyle() == "-" and not ax.get_title()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.5", "1", "2", "all"]


@pytest.mark.parametrize(("values", "animals"), [((0.5, 1.0, 2.0), "abc"), ((0.5, 1.0, 2.0, 0.0), "ab")])
def test_few_values_or_animals_are_dots_and_no_curve(ax, values, animals):
    figures.curve(swept(values, animals), "minutes", ax, zero="all")
    drawn = [line for line in ax.lines if len(line.get_ydata()) == len(values)]
    assert len(drawn) == len(animals) + 1 and {line.get_linestyle() for line in drawn} == {"None"}
    assert ax.get_title(loc="left") == f"values: {len(values)}, animals: {len(animals)}. Too few for a curve"
    wide = [line.get_ydata().mean() for line in drawn]
    assert wide[-1] == pytest.approx(np.mean(wide[:-1]))


def test_no_two_ways_to_decode_that_one_figure_shows_share_a_colour():
    shown = [FOOTSTEP_MODELS, [*study.ACROSS], figures.ORDERS]
    for names, colours in zip(shown, (figures.COLOURS, figures.COLOURS, figures.ORDERS), strict=True):
        assert len({colours[name] for name in names}) == len(names)


def test_scores_side_by_side_are_each_animals_and_named_once(ax):
    figures.dots(RESULTS, {"all": "auc", "again": "balanced_accuracy"}, ax, "score", (0.5, "chance"))
    assert values_of(ax) == [[0.7, 0.8], [0.5, 0.6]] * 2
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["hybrid", "LSTM", "chance"]


def test_steps_are_shaded_from_their_first_to_their_last_frame(ax):
    figures.step_spans(ax, np.arange(8) / 2, [0, 1, 1, 0, 2, 0, 1, 1])
    spans = [(p.get_x(), p.get_x() + p.get_width(), p.get_label()) for p in ax.patches]
    assert [s[:2] for s in spans] == [(0.5, 1.5), (3.0, 4.0), (2.0, 2.5)]
    assert [s[2] for s in spans][::2] == ["contralateral step", "ipsilateral step"]


def test_an_order_has_the_same_colour_whatever_stands_beside_it(ax):
    table = {"cells": [0, 5] * 2, "share": [0.0, 0.5] * 2, "order": ["random"] * 2 + ["decoder"] * 2,
             "balanced_accuracy": [0.9, 0.8, 0.9, 0.4]}
    figures.deletion_curves([SimpleNamespace(animal="a", simulated=False, deletion=table)], ax)
    one = [line.get_color() for line in ax.lines if line.get_label() == "by decoder"]
    figures.deletion_curves([SimpleNamespace(animal="a", simulated=False, deletion=table)], ax, orders=["decoder"])
    assert {line.get_color() for line in ax.lines if line.get_label() == "by decoder"} == set(one)


def test_deletion_curves_have_chance_and_one_line_an_animal(ax):
    table = {"cells": [0, 5, 0, 5], "share": [0.0, 0.5] * 2, "order": ["random"] * 2 + ["decoder"] * 2,
             "balanced_accuracy": [0.9, 0.8, 0.9, 0.4]}
    results = [SimpleNamespace(animal=a, simulated=False, deletion=table) for a in "ab"]
    figures.deletion_curves(results, ax, orders=["decoder"])
    drawn = [list(line.get_ydata()) for line in ax.lines if len(line.get_xdata()) == 2 and line.get_linestyle() == "-"]
    assert drawn == [[0.9, 0.4]] * 3
    assert list(ax.lines[0].get_xdata()) == [0.0, 50.0]
