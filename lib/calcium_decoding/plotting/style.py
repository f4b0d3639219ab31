"""One style for every figure. Each plot takes ``ax`` and returns it; animals are marks, never only bars."""

import textwrap
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from calcium_decoding.data.published import GROUPS
from calcium_decoding.data.recording import stretches_of
from calcium_decoding.evaluation import convergence, metrics
from calcium_decoding.evaluation.metrics import METRIC_LABELS
from calcium_decoding.models.names import COLOURS, LABELS
from calcium_decoding.plotting import alt_text

RUN, SIGNAL, DECODED = "#D55E00", "#222222", "#0072B2"
NULL_COLOUR, WARNING = "#767676", "#B00020"


def use_style():
    """Set the book's style: colour-blind safe, sharp, no chart junk."""
    sns.set_theme(context="notebook", style="ticks", palette="colorblind", rc={
        "figure.dpi": 110, "savefig.dpi": 160, "figure.constrained_layout.use": True, "axes.spines.top": False,
        "axes.spines.right": False, "legend.frameon": False, "font.size": 11, "axes.titlesize": 12,
        "axes.titlelocation": "left", "svg.fonttype": "none"})
    alt_text.show_in_notebooks()


def panels(n, width=9.0, height=3.2, **options):
    """``n`` panels side by side; returns the figure and an array of axes."""
    figure, axes = plt.subplots(1, n, figsize=(width, height), squeeze=False, **options)
    return figure, axes[0]


def stack(n, heights=None, width=9.0, height=1.4):
    """As :func:`panels`, above one another, with one time axis; ``heights``: relative to ``height``, inches."""
    heights = heights or [1] * n
    figure, axes = plt.subplots(n, 1, figsize=(width, height * sum(heights)), squeeze=False, sharex=True,
                                height_ratios=heights)
    return figure, axes[:, 0]


def simulated_mark(ax, of):
    """Write on the panel that its data are simulated, if they are; ``of``: what it shows, see :func:`is_simulated`."""
    if is_simulated(of):
        ax.text(1.0, 1.02, "simulated", transform=ax.transAxes, ha="right", va="bottom", color=WARNING, fontsize=9,
                fontweight="bold")
    return ax


def is_simulated(of):
    """True if any of some results is: anything with ``simulated``, a table with such a column, or several of these;
    TypeError if something does not say it."""
    of = getattr(of, "simulated", of)
    if isinstance(of, bool | np.bool_):
        return bool(of)
    if isinstance(of, str):
        raise TypeError(f"nothing says whether this is simulated; a table has a column 'simulated', not only '{of}'")
    return any([is_simulated(each) for each in (of.values() if isinstance(of, Mapping) else iter(of))])


def warned(ax, said):
    """The panel with a warning above its title, in red and no wider than the panel, if there is one."""
    title = ax.get_title(loc="left")
    if said and said not in title:
        drawn = ax.set_title(f"{said}\n{title}".strip(), color=WARNING, fontsize=8, fontweight="bold", pad=18,
                             loc="left", wrap=True)
        drawn._get_wrap_line_width = lambda: ax.get_window_extent().width  # matplotlib's own is the whole figure's
    return ax


def warned_of(ax, folds):
    """:func:`warned` of why trainings, FoldResults of one decoder, have not converged; as it was if they have."""
    return warned(ax, convergence.marked(convergence.not_converged(folds)))


def not_converged(ax, x):
    """Say in red, upright so that many have room, beside what is drawn at ``x`` that it has not converged."""
    ax.annotate(convergence.MARK, (x, 0.02), (4, 0), ax.get_xaxis_transform(), "offset points", rotation=90,
                ha="left", va="bottom", color=WARNING, fontsize=7, fontweight="bold")
    return ax


def null_label(n, draws=1, what="folds"):
    """What a legend calls ``n`` values, ``what`` in the plural, of so many draws of a null."""
    return f"null, {'one draw' if draws == 1 else f'{draws} draws'}, {n} {what if n > 1 else what.removesuffix('s')}"


def nothing(ax, why):
    """The panel that says why it is empty."""
    ax.text(0.5, 0.5, textwrap.fill(why, 30), ha="center", va="center", transform=ax.transAxes,
            color=WARNING if why.startswith("NO") else NULL_COLOUR)
    ax.set_axis_off()
    return ax


def time_axis(ax, time_s):
    """Limits and label of a time axis; in a stack only the lowest panel is labelled."""
    ax.set_xlim(time_s[0], time_s[-1])
    place = ax.get_subplotspec()
    if place is None or place.is_last_row():
        ax.set_xlabel("time (s)")
    return ax


def running_spans(ax, time_s, run, label="running", colour=RUN):
    """Shade the stretches in which the animal runs, or does what ``label`` says."""
    step = time_s[1] - time_s[0] if len(time_s) > 1 else 1.0
    for i, (start, stop) in enumerate(stretches(run)):
        ax.axvspan(time_s[start], time_s[stop - 1] + step, color=colour, alpha=0.15, lw=0,
                   label=None if i else label)
    return ax


def stretches(run):
    """First frame of each stretch in which the animal runs, and the first one after it, shape (n, 2)."""
    return np.array(stretches_of(run), int).reshape(-1, 2)


def legend_beside(ax, **place):
    """Legend to the right of the panel, or where ``place`` says, each label once; none without labels."""
    handles, labels = ax.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    if ax.get_legend() is not None:
        ax.get_legend().remove()
    if unique:
        place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)} | place
        ax.legend(unique.values(), unique.keys(), fontsize=8, **place)


def traces(recording, rois, start_s, length_s, ax):
    """Activity of some ROIs (columns of the signal, from 0) over a stretch, one above another, with running shaded."""
    time_s, signal, run = _stretch(recording, recording.signal, start_s, length_s)
    step = 1.2 * np.percentile(np.ptp(signal[:, list(rois)], axis=0), 90) or 1.0
    for height, roi in enumerate(reversed(list(rois))):
        ax.plot(time_s, signal[:, roi] - signal[:, roi].mean() + height * step, color=SIGNAL, lw=0.7)
    running_spans(ax, time_s, run)
    ax.set_yticks([i * step for i in range(len(rois))], [recording.roi_names[r] for r in reversed(list(rois))])
    time_axis(ax, time_s).set_ylabel("ROI")
    return simulated_mark(ax, recording)


def behaviour_trace(recording, name, start_s, length_s, ax):
    """One behavioural variable over time with running shaded; its name gives its unit."""
    time_s, values, run = _stretch(recording, recording.behaviour[name], start_s, length_s)
    ax.plot(time_s, values, color=SIGNAL, lw=0.9)
    running_spans(ax, time_s, run)
    time_axis(ax, time_s).set_ylabel("speed (cm/s)" if name == "speed_cm_s" else f"{name} (own unit)")
    return simulated_mark(ax, recording)


def _stretch(recording, values, start_s, length_s):
    frames = slice(round(start_s * recording.rate_hz), round((start_s + length_s) * recording.rate_hz))
    run = recording.behaviour.get("run", np.zeros(recording.n_frames))  # not every recording has it
    return start_s + np.arange(len(values[frames])) / recording.rate_hz, values[frames], run[frames]


def run_shares(dataset, ax):
    """Share of running frames: each dot one recording, grouped by animal."""
    shares = {animal: [100 * r.run.mean() for r in dataset.of_animal(animal)] for animal in dataset.animals}
    sns.stripplot(shares, ax=ax, color=RUN, alpha=0.8, size=6, jitter=0.15)
    for i, mine in enumerate(shares.values()):
        ax.hlines(np.mean(mine), i - 0.3, i + 0.3, color=SIGNAL, lw=2)
    ax.set(xlabel="", ylabel="running frames (%)", ylim=(0, 100))
    return simulated_mark(ax, dataset)


def correlation_with_running(dataset, correlations, ax, groups=None):
    """Correlation of each ROI with running, shape (n_animals, n_roi): dots are animals, coloured by the ``groups`` of
    ROIs, the line is their mean."""
    groups = np.array(["ROI"] * correlations.shape[1] if groups is None else groups)
    order = [g for g in (*GROUPS, "other") if g in groups] or ["ROI"]
    x = np.arange(1, correlations.shape[1] + 1)
    for colour, group in zip(sns.color_palette("colorblind", len(order)), order, strict=True):
        here = groups == group
        for animal in correlations:
            ax.plot(x[here], animal[here], ".", color=colour, alpha=0.45, ms=5)
        ax.plot([], [], "o", color=colour, label=group.replace("_", "&"))
    ax.plot(x, correlations.mean(axis=0), color=SIGNAL, lw=1)
    ax.axhline(0, color=NULL_COLOUR, lw=0.8, ls=":")
    ax.set(xlabel="ROI", ylabel="correlation with running (r)")
    if len(order) > 1:
        ax.legend(ncols=3, fontsize=8)
    return simulated_mark(ax, dataset)


def learning_curves(results, ax):
    """Training and validation loss of the first network: thin lines folds, thick their mean, dots the kept epochs."""
    trained = [r for r in results if r.history.valid_loss]
    if not trained:
        ax.set_title("no network was trained")
        return ax
    model = trained[0].model
    histories = [r.history for r in trained if r.model == model]
    for name, label, colour in (("train_loss", "training", NULL_COLOUR),
                                ("valid_loss", "validation", COLOURS[model])):
        losses = pd.DataFrame([getattr(h, name) for h in histories]).T
        losses.index += 1
        ax.plot(losses, color=colour, lw=0.5, alpha=0.35)
        # Folds of different size may train for different numbers of epochs: the mean ends with the shortest.
        ax.plot(losses.mean(axis=1, skipna=False), color=colour, lw=2.2, label=label)
    best = [h.best_epoch for h in histories]
    ax.plot([b + 1 for b in best], [h.valid_loss[b] for h, b in zip(histories, best, strict=True)], "o", ms=4,
            color=COLOURS[model], label="kept epoch")
    if trained[0].kind != "continuous":
        ax.axhline(np.log(len(trained[0].classes) or 2), color=NULL_COLOUR, ls=":", lw=1)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set(xlabel="epoch", ylabel="loss (nats a frame)", title=f"{LABELS[model]}: learning")
    ax.legend(fontsize=8)
    return simulated_mark(warned_of(ax, _scored(trained, model)), results)


def decoded_trace(result, recording, start_s, length_s, ax):
    """Label and decoded probability of one test recording over time; of several classes, the true and the likeliest."""
    centre, labels, predicted = result.trace(recording.id)
    time_s = centre / recording.rate_hz
    here = (time_s >= start_s) & (time_s <= start_s + length_s)
    if not here.any():
        return nothing(ax, f"{result.fold} tests nothing between {start_s:.0f} and {start_s + length_s:.0f} s")
    how = {"color": COLOURS[result.model], "label": LABELS[result.model]}
    time_axis(ax, time_s[here])
    if result.kind == "binary":
        running_spans(ax, time_s[here], labels[here], "running" if result.target == "run" else result.target)
        ax.plot(time_s[here], predicted[here], lw=1.2, **how)
        ax.axhline(0.5, color=NULL_COLOUR, ls=":", lw=1)
        ax.set(ylabel=f"p({result.target})", ylim=(-0.03, 1.03))
    else:
        ax.step(time_s[here], labels[here], color=SIGNAL, lw=1.2, where="mid", label="true")
        ax.plot(time_s[here], predicted[here].argmax(axis=1), ".", ms=3, **how)
        ax.set(ylabel=result.target)
        ax.set_yticks(range(len(result.classes)), result.classes)
    if ax.get_subplotspec().is_first_row():
        ax.set_title(f"{recording.id} ({result.fold})")
    legend_beside(ax)
    return simulated_mark(warned_of(ax, [result]), recording)


def roc_by_group(results, ax):
    """Mean ROC curve of each test group (an animal) for the first model, of several classes each against the rest; a
    legend only where there are few groups."""
    groups = {}
    for result in _scored(results, results[0].model):
        groups.setdefault(result.test_group, []).append(metrics.roc(result.labels, result.predicted)[1])
    for colour, (group, curves) in zip(sns.color_palette("viridis", len(groups)), groups.items(), strict=True):
        ax.plot(np.linspace(0, 1, 200), np.mean(curves, axis=0), color=colour, lw=1.5, label=group)
    return _roc_axes(ax, results, "test group", "tested on" if len(groups) <= 6 else None)


def roc_by_role(results, ax):
    """Mean ROC curve of the first model, of several classes each against the rest, over training, validation and test
    windows, with the mean score of each."""
    mine, main = _scored(results, results[0].model), results[0].main_score
    curves = {"training": (f"{main}_train", [r.train_roc for r in mine]),
              "validation": (f"{main}_valid", [metrics.roc(r.valid_labels, r.valid_predicted)[1] for r in mine
                                               if f"{main}_valid" in r.scores]),
              "test": (main, [metrics.roc(r.labels, r.predicted)[1] for r in mine])}
    for (role, (score, of_folds)), colour in zip(curves.items(), (NULL_COLOUR, "#E69F00", SIGNAL), strict=True):
        values = [r.scores[score] for r in mine if score in r.scores]
        if values:
            ax.plot(np.linspace(0, 1, 200), np.mean(of_folds, axis=0), color=colour, lw=1.8,
                    label=f"{role} {np.mean(values):.3f}")
    return _roc_axes(ax, results, "role", f"mean {METRIC_LABELS[main]}")


def _scored(results, model):
    return [r for r in results if r.model == model and r.scores]


def _roc_axes(ax, results, by, legend):
    ax.plot([0, 1], [0, 1], color=NULL_COLOUR, ls=":", lw=1)
    ax.set(xlabel="false-positive rate", ylabel="true-positive rate", aspect="equal", xlim=(-0.01, 1), ylim=(0, 1.01),
           title=f"{LABELS[results[0].model]}: ROC by {by}")
    if legend:
        ax.legend(fontsize=8, loc="lower right", title=legend)
    return simulated_mark(warned_of(ax, _scored(results, results[0].model)), results)


def fold_scores(results, nulls, ax, published=None):
    """Main score of each fold by model, next to one draw of a null; bars are mean and SD over folds. ``published``:
    mean and SD by model, drawn open next to ours. Of a model that has not converged, hollow dots alone."""
    names = list(dict.fromkeys(r.model for r in results))
    for x, model in enumerate(names):
        mine = _scored(results, model)
        unconverged = bool(convergence.not_converged(mine))
        _column(ax, x - 0.17, mine, COLOURS[model], unconverged, bar=not unconverged)
        _column(ax, x + 0.17, _scored(nulls, model), NULL_COLOUR, bar=False)
        if unconverged:
            not_converged(ax, x + 0.36)
        elif published and model in published:
            mean, sd = published[model]
            ax.errorbar(x + 0.36, mean, sd, fmt="D", mfc="white", color=SIGNAL, ms=6, capsize=3,
                        label="published, other data" if is_simulated(results) else "published")
    if nulls:
        ax.plot([], [], "o", color=NULL_COLOUR, label=null_label(len({fold.fold for fold in nulls if fold.scores})))
    ax.axhline(results[0].chance(), color=NULL_COLOUR, ls=":", lw=1, label="chance")
    ax.set_xticks(range(len(names)), [LABELS[model] for model in names])
    ax.set(ylabel=f"{METRIC_LABELS[results[0].main_score]} (a dot is a fold)", xlim=(-0.6, len(names) - 0.3),
           title="Score by fold")
    legend_beside(ax, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3)
    return simulated_mark(ax, results)


def _column(ax, x, results, colour, hollow=False, bar=True):
    values = [r.scores[r.main_score] for r in results]
    if values:
        ax.plot(x + np.linspace(-0.07, 0.07, len(values)), values, "o", color=colour, alpha=0.5, ms=4,
                mfc="none" if hollow else colour)
    if bar and len(values) > 1:
        ax.errorbar(x, np.mean(values), np.std(values, ddof=1), fmt="_", color=SIGNAL, ms=14, capsize=4, lw=1.5)


def histogram(values, label, ax, of):
    """How values are spread, each ROI of each animal one count; ``of``: what they were measured on."""
    sns.histplot(np.asarray(values), bins=20, ax=ax, color=DECODED, edgecolor="white")
    ax.set(xlabel=label, ylabel="ROIs")
    return simulated_mark(ax, of)


def dots(groups, ax, dot="a fold", bar="mean over folds", colours=None):
    """Columns side by side: a dot a value, a bar their mean; a column without values says so. ``groups`` (dict of str
    to sequence of float): values by column. ``dot``, ``bar``: names in a legend. ``colours``: of dots, by column."""
    for place, (name, values) in enumerate(groups.items()):
        if not len(values):
            ax.text(place, 0, "none", ha="center", va="bottom", fontsize=8, color=NULL_COLOUR)
            continue
        colour = colours[name] if colours else DECODED
        beside = np.linspace(-0.1, 0.1, len(values)) if len(values) > 1 else np.zeros(1)
        ax.plot(place + beside, values, "o", color=colour, ms=5, alpha=0.7, label=dot)
        ax.hlines(np.mean(values), place - 0.28, place + 0.28, color=SIGNAL, lw=1.8, label=bar)
    ax.set_xticks(range(len(groups)), [textwrap.fill(name, 12) for name in groups])
    ax.set_xlim(-0.5, max(len(groups), 1) - 0.5)
    return ax
