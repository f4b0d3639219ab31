"""Figures of footsteps show the numbers they are given, and say so where there are none."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from calcium_decoding.experiments.folds import FoldResult
from calcium_decoding.models.loop import History
from decoding_book.chapters.bilateral import figures
from decoding_book.chapters.bilateral.study import Result


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def result(model, animal, score, value=0.0, labels=(), predicted=()):
    names = {"animal": animal, "block": 0, "seed": 0, "model": model, "value": value}
    nothing = np.empty(0, int)
    return Result(names, FoldResult("fold", animal, model, {"balanced_accuracy": score, "auc": score}, "", History(),
                                    (animal,), nothing, nothing, np.array(labels, int), np.array(predicted, float),
                                    kind="classes", simulated=True))


RESULTS = [result("hybrid", "a", 0.7), result("hybrid", "b", 0.8), result("lstm", "a", 0.6), result("lstm", "b", 0.5)]


def values_of(ax, marker="o"):
    return [sorted(line.get_ydata()) for line in ax.lines if line.get_marker() == marker and len(line.get_ydata()) > 1]


def test_every_dot_is_an_animal_and_chance_is_drawn(ax):
    found = figures.strip(RESULTS, ax, nulls=[result("hybrid", "a", 0.3), result("hybrid", "b", 0.4)])
    assert found is ax and values_of(ax) == [[0.7, 0.8], [0.5, 0.6]]
    assert any(np.allclose(line.get_ydata(), 1 / 3) for line in ax.lines)
    band = ax.patches[0].get_extents().transformed(ax.transData.inverted())
    spread = np.std([0.3, 0.4], ddof=1)
    np.testing.assert_allclose([band.y0, band.y1], [0.35 - spread, 0.35 + spread], atol=1e-9)
    assert [text.get_text() for text in ax.texts] == ["simulated"]


def test_what_is_not_there_is_said(ax):
    figures.strip(RESULTS, ax, metric="r2")
    assert ax.texts[0].get_text() == "recordings without kinematics" and not ax.lines
    figures.curve([], "minutes", ax)
    assert ax.texts[1].get_text() == "not run on these data"


def test_curves_are_means_over_animals_with_all_at_the_end(ax):
    results = [result("hybrid", a, s, v) for a, v, s in
               (("a", 0.5, 0.4), ("b", 0.5, 0.6), ("a", 0.0, 0.8), ("b", 0.0, 0.9))]
    figures.curve(results, "minutes", ax, zero="all")
    thick = next(line for line in ax.lines if line.get_linewidth() == 2.4)
    np.testing.assert_allclose(thick.get_ydata(), [0.5, 0.85])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.5", "all"]


def test_the_confusion_matrix_is_that_of_the_named_model(ax):
    labels = np.array([0, 0, 1, 2])
    good, bad = np.eye(3)[labels], np.eye(3)[[1, 1, 1, 1]]
    results = [result("hybrid", "a", 1.0, labels=labels, predicted=good),
               result("hybrid", "b", 0.3, labels=labels, predicted=bad),
               result("lstm", "a", 0.3, labels=labels, predicted=bad)]
    figures.confusions(results, "hybrid", ax)
    shown = [float(text.get_text()) for text in ax.texts[:-1]]
    assert shown == [0.5, 0.5, 0, 0, 1, 0, 0, 0.5, 0.5] and ax.texts[-1].get_text() == "simulated"


def test_steps_are_shaded_from_their_first_to_their_last_frame(ax):
    figures.step_spans(ax, np.arange(8) / 2, [0, 1, 1, 0, 2, 0, 1, 1])
    spans = [(p.get_x(), p.get_x() + p.get_width(), p.get_label()) for p in ax.patches]
    assert [s[:2] for s in spans] == [(0.5, 1.5), (3.0, 4.0), (2.0, 2.5)]
    assert [s[2] for s in spans][::2] == ["contralateral step", "ipsilateral step"]


def test_deletion_curves_have_chance_and_one_line_an_animal(ax):
    table = {"cells": [0, 5, 0, 5], "share": [0.0, 0.5] * 2, "order": ["random"] * 2 + ["decoder"] * 2,
             "balanced_accuracy": [0.9, 0.8, 0.9, 0.4]}
    results = [SimpleNamespace(animal=a, simulated=False, deletion=table) for a in "ab"]
    figures.deletion_curves(results, ax, orders=["decoder"])
    drawn = [list(line.get_ydata()) for line in ax.lines if len(line.get_xdata()) == 2 and line.get_linestyle() == "-"]
    assert drawn == [[0.9, 0.4]] * 3
    assert list(ax.lines[0].get_xdata()) == [0.0, 50.0]
