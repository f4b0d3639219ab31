"""Tests of maps by method, curves of deletion and insertion, single windows; ``found``: Examined decoders."""

import textwrap

import numpy as np

from calcium_decoding.errors import ParameterError
from calcium_decoding.explain.attribution import METHODS, STEPS
from calcium_decoding.explain.shap_maps import warning
from calcium_decoding.plotting.style import NULL_COLOUR, dots, nothing, simulated_mark, warned
from decoding_book.chapters.map_tests.tests import DRIVEN, TESTS, usable

COLOURS = dict(zip(METHODS, ("#0072B2", "#56B4E9", "#009E73", "#D55E00", "#E69F00", "#CC79A7"), strict=True))
# Where a test lies by chance, or where it should lie: a dotted line.
LINES = {"precision": DRIVEN / 50, "single_area": DRIVEN / 50, "lag": 1, "late": 1}


def strip(rows, test, ax, found):
    """A test, a column a method: a dot an animal, a bar their mean; the dotted line is chance, or what is wanted. A red
    warning stands above if the decoders that were tested, ``found``, are not above chance. ParameterError: unknown
    test."""
    if test not in TESTS:
        raise ParameterError("test", repr(test), f"one of {', '.join(TESTS)}", "name one of these")
    mine = rows[rows["test"] == test]
    if mine.empty:
        return nothing(ax, "not tested here")
    by_animal = mine.groupby(["method", "animal"], sort=False)["value"].mean()
    dots({label: by_animal[method] for method, label in METHODS.items() if method in by_animal}, ax,
         colours={label: COLOURS[method] for method, label in METHODS.items()})
    ax.axhline(LINES.get(test, 0), color=NULL_COLOUR, ls=":", lw=1.2)
    ax.tick_params(axis="x", labelsize=8)
    says, wanted = TESTS[test]
    ax.set_ylabel(textwrap.fill(says, 35))
    ax.set_title(f"wanted: {wanted}", fontsize=9)
    return simulated_mark(warned(ax, warning(found)), mine)


def curves(found, which, ax):
    """AUC, mean over folds, while ROIs go ("deletion") or are put in alone ("insertion"), the largest of a map
    first."""
    known = [one for one in usable(found) if one.curves]
    if not known:
        return nothing(ax, "no curves were asked for")
    index = ("deletion", "insertion").index(which)
    mean = {name: np.mean([one.curves[name][index] for one in known], axis=0) for name in known[0].curves
            if name != "whole"}
    steps = STEPS[: len(mean["random"])]
    for name, label in METHODS.items():
        ax.plot(steps, mean[name], "o-", color=COLOURS[name], ms=4, label=label)
    ax.plot(steps, mean["random"], "s--", color=NULL_COLOUR, ms=4, label="random order")
    ax.plot(steps, np.mean([mean[f"smooth {name}"] for name in METHODS], axis=0), "s:", color="black", ms=4,
            label="random, as smooth")
    ax.axhline(np.mean([one.curves["whole"] for one in known]), color=NULL_COLOUR, lw=0.8)
    ax.axhline(0.5, color=NULL_COLOUR, ls=":", lw=1)
    ax.set_xscale("log", base=2)
    ax.set_xticks(steps, steps)
    ax.set(xlabel=f"ROIs {'left out' if which == 'deletion' else 'put in'}", ylabel="AUC", title=which)
    return simulated_mark(warned(ax, warning(found)), found)


def beeswarm(one, ax):
    """Deep SHAP of single windows of a fold, summed over frames, as shap's own plot of so many ROIs: a dot a window."""
    if one.reason or not one.kept:
        return nothing(ax, "no values of single windows were kept")
    import shap

    values, inputs = np.array(one.kept["values"]), np.array(one.kept["inputs"])
    names = [f"ROI {i + 1}" for i in range(values.shape[1])]
    shap.plots.beeswarm(shap.Explanation(values, data=inputs, feature_names=names), max_display=11, ax=ax,
                        show=False, plot_size=None, color_bar_label="mean activity in the window")
    ax.set_xlabel("Deep SHAP, sum over the window, in units of the output", fontsize=10)
    ax.tick_params(labelsize=9)
    return simulated_mark(ax, one)
