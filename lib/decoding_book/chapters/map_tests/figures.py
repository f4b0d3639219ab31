"""Images of maps by several methods, and of what they are held against."""

import numpy as np
import seaborn as sns

from calcium_decoding.errors import ParameterError
from calcium_decoding.explain import attribution, shap_maps
from calcium_decoding.explain.attribution import METHODS, measures
from calcium_decoding.plotting.style import NULL_COLOUR, simulated_mark
from decoding_book.chapters.map_tests.tests import DRIVEN, TESTS

COLOURS = dict(zip(METHODS, ("#0072B2", "#56B4E9", "#009E73", "#D55E00", "#E69F00", "#CC79A7"), strict=True))
# Where a test lies by chance, or where it should lie: a dotted line.
LINES = {"precision": DRIVEN / 50, "single_area": DRIVEN / 50, "lag": 1, "late": 1}


def maps_by_roi(found, truth, ax):
    """Mean map over folds, a row a method, each in shares of its largest ROI; the simulated drive on top.

    ``found``: sequence of Examined. ``truth``: ndarray, shape (n_roi,), or None.
    """
    known = [one for one in found if not one.reason]
    if not known:
        return _nothing(found, ax)
    rows = {METHODS[m]: np.mean([one.by_roi(m) for one in known], axis=0) for m in METHODS}
    if truth is not None:
        rows = {"planted drive": np.asarray(truth)} | rows
    image = np.array([row / (row.max() or 1.0) for row in rows.values()])
    shown = ax.imshow(image, aspect="auto", cmap="magma", vmin=0, vmax=1, interpolation="nearest",
                      extent=(0.5, image.shape[1] + 0.5, len(image) - 0.5, -0.5))
    ax.figure.colorbar(shown, ax=ax, label="share of the largest", pad=0.02)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set(xlabel="ROI")
    return _marked(found, ax)


def strip(rows, test, ax, found=None):
    """A test, a column a method: a dot an animal, a bar their mean; the dotted line is chance, or what is wanted.

    ``rows``: of :func:`decoding_book.chapters.map_tests.tests.rows_of`. ``test``: a name in
    :data:`decoding_book.chapters.map_tests.tests.TESTS`. ``found`` (sequence of Examined): a red warning stands above
    if their decoders are not above chance.
    """
    if test not in TESTS:
        raise ParameterError("test", repr(test), f"one of {', '.join(TESTS)}", "name one of these")
    mine = rows[rows["test"] == test]
    if mine.empty:
        return _said(ax, "not tested here")
    some = mine.groupby(["method", "animal"], sort=False)["value"].mean().reset_index()
    order = [m for m in METHODS if m in set(some["method"])]
    sns.stripplot(some, x="method", y="value", hue="method", order=order, hue_order=order, palette=COLOURS,
                  size=6, alpha=0.8, jitter=0.12, legend=False, ax=ax)
    means = some.groupby("method")["value"].mean()
    ax.plot(range(len(order)), means[order], "_", color="black", ms=18, mew=2)
    ax.axhline(LINES.get(test, 0), color=NULL_COLOUR, ls=":", lw=1.2)
    ax.set_xticks(range(len(order)), [METHODS[m].replace(" ", "\n", 1) for m in order], fontsize=8)
    says, wanted = TESTS[test]
    ax.set(xlabel="", ylabel=_wrapped(says), title=f"wanted: {wanted}")
    ax.title.set_fontsize(9)
    return _marked(found, ax) if found is not None else simulated_mark(ax, mine)


def curves(found, which, ax):
    """AUC of the network while ROIs are left out, or put in alone, the largest of each map first; mean over folds.

    ``found``: sequence of Examined. ``which``: {"deletion", "insertion"}.
    """
    known = [one for one in found if not one.reason and one.curves]
    if not known:
        return _said(ax, "no curves were asked for")
    index = ("deletion", "insertion").index(which)
    steps = measures.STEPS[: len(known[0].curves["random"][index])]
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
    return _marked(found, ax)


def by_frame(named, spec, rate_hz, ax, method="deep_shap", dashed=()):
    """Share of each frame in a map: a line a set of decoders, the mean over their folds; thin lines are folds.

    ``named`` (dict of str to sequence of Examined): by legend. ``spec``: WindowSpec. ``dashed`` (sequence of str):
    names of sets whose lines are dashed, such as those of a film time-reversed, turned back.
    """
    ms = np.arange(-spec.past_frames, spec.future_frames + 1) * 1000 / rate_hz
    everything = []
    for colour, (name, found) in zip(sns.color_palette("colorblind"), named.items(), strict=False):
        known = [one.by_frame(method) for one in found if not one.reason]
        shares = [100 * frames / frames.sum() for frames in known if frames is not None and frames.sum() > 0]
        if not shares:
            continue
        everything += found
        ax.plot(ms, np.transpose(shares), color=colour, lw=0.5, alpha=0.5)
        ax.plot(ms, np.mean(shares, axis=0), color=colour, lw=2, ls="--" if name in dashed else "-", label=name)
    if not everything:
        return _said(ax, "no map by frame")
    ax.axhline(100 / len(ms), color=NULL_COLOUR, ls=":", lw=1.2)
    ax.axvline(0, color=NULL_COLOUR, ls=":", lw=1)
    ax.set(xlabel="frame, ms from the labelled one", ylabel=f"{METHODS[method]}, % of the window", ylim=(0, None))
    ax.legend(fontsize=8)
    return _marked(everything, ax)


def against_truth(found, truth, label, ax, method="deep_shap"):
    """Map against the truth of a simulated world: a dot a ROI, the mean over folds."""
    if truth is None:
        return _said(ax, "this world was not asked for")
    known = [one.by_roi(method) for one in found if not one.reason]
    if not known:
        return _nothing(found, ax)
    mean = np.mean(known, axis=0)
    ax.plot(truth, mean, "o", color=COLOURS[method], alpha=0.7, ms=5)
    for roi in np.argsort(-mean)[:5]:
        ax.annotate(str(roi + 1), (truth[roi], mean[roi]), xytext=(4, 2), textcoords="offset points", fontsize=8)
    r = attribution.rank_agreement(mean, truth)
    ax.set(xlabel=label, ylabel=f"{METHODS[method]}, sum over the window")
    ax.text(0.02, 0.98, f"rank r = {r:.2f}", transform=ax.transAxes, va="top", fontsize=9)
    return _marked(found, ax)


def beeswarm(one, ax, most=10):
    """Deep SHAP of single windows of a fold, summed over frames, as shap's own beeswarm plot: a dot a window.

    ``one``: with kept values. ``most``: ROIs to show.
    """
    if one.reason or not one.kept:
        return _said(ax, "no values of single windows were kept")
    try:
        import shap
    except ImportError:
        return _said(ax, "the package shap is not installed")
    values, inputs = np.array(one.kept["values"]), np.array(one.kept["inputs"])
    names = [f"ROI {i + 1}" for i in range(values.shape[1])]
    explanation = shap.Explanation(values, data=inputs, feature_names=names)
    shap.plots.beeswarm(explanation, max_display=most + 1, ax=ax, show=False, plot_size=None,
                        color_bar_label="mean activity in the window")
    ax.set_xlabel("Deep SHAP, sum over the window, in units of the output", fontsize=10)
    ax.tick_params(labelsize=9)
    return _marked([one], ax, single=True)


def _marked(found, ax, single=False):
    """The panel with a red warning where the decoders are not above chance."""
    said = shap_maps.warning(found) if not single else (
        f"NOT ABOVE CHANCE (AUC {found[0].auc:.2f})" if found[0].auc <= 0.55 else "")
    if said:
        ax.set_title(said, color="#B00020", fontsize=10, fontweight="bold", pad=18, loc="left")
    return simulated_mark(ax, found)


def _nothing(found, ax):
    return _said(ax, shap_maps.warning(found))


def _said(ax, text):
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes, color=NULL_COLOUR)
    ax.set_axis_off()
    return ax


def _wrapped(text, width=34):
    lines, line = [], ""
    for word in text.split():
        if len(line) + len(word) > width:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    return "\n".join([*lines, line])
