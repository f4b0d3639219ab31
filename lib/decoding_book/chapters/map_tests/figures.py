"""Images of maps by several methods, and of what they are held against; ``found``: Examined decoders."""

import textwrap

import numpy as np
import seaborn as sns

from calcium_decoding.errors import ParameterError
from calcium_decoding.explain import attribution
from calcium_decoding.explain.attribution import METHODS, STEPS
from calcium_decoding.explain.shap_maps import warning
from calcium_decoding.plotting.style import NULL_COLOUR, simulated_mark
from decoding_book.chapters.map_tests.tests import DRIVEN, TESTS, usable
from decoding_book.chapters.shap import marked, nothing, warned, window_ms

COLOURS = dict(zip(METHODS, ("#0072B2", "#56B4E9", "#009E73", "#D55E00", "#E69F00", "#CC79A7"), strict=True))
# Where a test lies by chance, or where it should lie: a dotted line.
LINES = {"precision": DRIVEN / 50, "single_area": DRIVEN / 50, "lag": 1, "late": 1}


def maps_by_roi(found, truth, ax):
    """Mean map over folds, a row a method, each in shares of its largest ROI.

    ``truth``: the simulated drive, shape (n_roi,), which is shown on top, or None.
    """
    known = usable(found)
    if not known:
        return nothing(warning(found), ax)
    rows = {} if truth is None else {"planted drive": np.asarray(truth)}
    rows |= {METHODS[m]: np.mean([one.by_roi(m) for one in known], axis=0) for m in METHODS}
    image = np.array([row / (row.max() or 1.0) for row in rows.values()])
    shown = ax.imshow(image, aspect="auto", cmap="magma", vmin=0, vmax=1, interpolation="nearest",
                      extent=(0.5, image.shape[1] + 0.5, len(image) - 0.5, -0.5))
    ax.figure.colorbar(shown, ax=ax, label="share of the largest", pad=0.02)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set(xlabel="ROI")
    return marked(found, ax)


def strip(rows, test, ax, found):
    """A test, a column a method: a dot an animal, a bar their mean; the dotted line is chance, or what is wanted.

    ``rows``: of :func:`~decoding_book.chapters.map_tests.tests.rows_of`. A red warning stands above if the decoders
    that were tested, ``found``, are not above chance. Raises ParameterError: an unknown test.
    """
    if test not in TESTS:
        raise ParameterError("test", repr(test), f"one of {', '.join(TESTS)}", "name one of these")
    mine = rows[rows["test"] == test]
    if mine.empty:
        return nothing("not tested here", ax)
    some = mine.groupby(["method", "animal"], sort=False)["value"].mean().reset_index()
    order = [m for m in METHODS if m in set(some["method"])]
    sns.stripplot(some, x="method", y="value", hue="method", order=order, hue_order=order, palette=COLOURS,
                  size=6, alpha=0.8, jitter=0.12, legend=False, ax=ax)
    ax.plot(range(len(order)), some.groupby("method")["value"].mean()[order], "_", color="black", ms=18, mew=2)
    ax.axhline(LINES.get(test, 0), color=NULL_COLOUR, ls=":", lw=1.2)
    ax.set_xticks(range(len(order)), [METHODS[m].replace(" ", "\n", 1) for m in order], fontsize=8)
    says, wanted = TESTS[test]
    ax.set(xlabel="", ylabel=textwrap.fill(says, 35), title=f"wanted: {wanted}")
    ax.title.set_fontsize(9)
    return simulated_mark(warned(warning(found), ax), mine)


def curves(found, which, ax):
    """AUC while ROIs are left out ("deletion") or put in alone ("insertion"), the largest of each map first.

    Means over folds.
    """
    known = [one for one in usable(found) if one.curves]
    if not known:
        return nothing("no curves were asked for", ax)
    index = ("deletion", "insertion").index(which)
    steps = STEPS[: len(known[0].curves["random"][index])]
    mean = {name: np.mean([one.curves[name][index] for one in known], axis=0) for name in known[0].curves
            if name != "whole"}
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
    return marked(found, ax)


def by_frame(named, spec, rate_hz, ax, dashed=()):
    """Share of each frame in the Deep SHAP map: by name a set of decoders, thin lines their folds, thick the mean.

    ``dashed``: names of sets whose mean is dashed, such as those of a film time-reversed, turned back.
    """
    ms, everything = window_ms(spec, rate_hz), []
    for colour, (name, found) in zip(sns.color_palette("colorblind"), named.items(), strict=False):
        known = [one.by_frame("deep_shap") for one in usable(found)]
        shares = [100 * frames / frames.sum() for frames in known if frames.sum() > 0]
        if not shares:
            continue
        everything += found
        ax.plot(ms, np.transpose(shares), color=colour, lw=0.5, alpha=0.5)
        ax.plot(ms, np.mean(shares, axis=0), color=colour, lw=2, ls="--" if name in dashed else "-", label=name)
    if not everything:
        return nothing("no map by frame", ax)
    ax.axhline(100 / len(ms), color=NULL_COLOUR, ls=":", lw=1.2)
    ax.axvline(0, color=NULL_COLOUR, ls=":", lw=1)
    ax.set(xlabel="frame, ms from the labelled one", ylabel=f"{METHODS['deep_shap']}, % of the window", ylim=(0, None))
    ax.legend(fontsize=8)
    return marked(everything, ax)


def against_truth(found, truth, label, ax):
    """Deep SHAP map against the truth of a simulated world: a dot a ROI, the mean over folds."""
    if truth is None:
        return nothing("this world was not asked for", ax)
    if not usable(found):
        return nothing(warning(found), ax)
    mean = np.mean([one.by_roi("deep_shap") for one in usable(found)], axis=0)
    ax.plot(truth, mean, "o", color=COLOURS["deep_shap"], alpha=0.7, ms=5)
    for roi in np.argsort(-mean)[:5]:
        ax.annotate(str(roi + 1), (truth[roi], mean[roi]), xytext=(4, 2), textcoords="offset points", fontsize=8)
    ax.set(xlabel=label, ylabel=f"{METHODS['deep_shap']}, sum over the window")
    ax.text(0.02, 0.98, f"rank r = {attribution.rank_agreement(mean, truth):.2f}", transform=ax.transAxes, va="top",
            fontsize=9)
    return marked(found, ax)


def beeswarm(one, ax, most=10):
    """Deep SHAP of single windows of a fold, summed over frames, as shap's own plot of so many ROIs: a dot a window."""
    if one.reason or not one.kept:
        return nothing("no values of single windows were kept", ax)
    try:
        import shap
    except ImportError:
        return nothing("the package shap is not installed", ax)
    values, inputs = np.array(one.kept["values"]), np.array(one.kept["inputs"])
    names = [f"ROI {i + 1}" for i in range(values.shape[1])]
    shap.plots.beeswarm(shap.Explanation(values, data=inputs, feature_names=names), max_display=most + 1, ax=ax,
                        show=False, plot_size=None, color_bar_label="mean activity in the window")
    ax.set_xlabel("Deep SHAP, sum over the window, in units of the output", fontsize=10)
    ax.tick_params(labelsize=9)
    said = f"NOT ABOVE CHANCE (AUC {one.auc:.2f})" if one.auc <= 0.55 else ""
    return simulated_mark(warned(said, ax), one)
