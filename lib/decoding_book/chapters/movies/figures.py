"""Figures of decoding from movies: images as colours, sessions, controls, features that windows share."""

import numpy as np
import pandas as pd
import seaborn as sns

from calcium_decoding.models.names import LABELS
from calcium_decoding.plotting.brain import picture
from calcium_decoding.plotting.comparisons import legend_beside
from calcium_decoding.plotting.style import DECODED, MODEL_COLOURS, NULL_COLOUR, SIGNAL, simulated_mark
from calcium_decoding.preprocessing import confounds
from decoding_book.chapters.movies import movie_tables

SHOWN_PERCENTILE = 99.5  # of the sizes of pixel values; what lies beyond is drawn as the end of the scale


def limit(*images):
    """Size of the largest pixel value shown, one scale for several images that are centred at zero."""
    return float(np.percentile(np.concatenate([np.abs(image).ravel() for image in images]), SHOWN_PERCENTILE)) or 1.0


def colour_image(image, ax, title="", simulated=False):
    """Three frames as red, green and blue: grey where they agree, coloured where something changed between them.

    ``image`` (ndarray, shape (3, rows, columns)): normalised frames in order of time; 0 is drawn as middle grey.
    """
    ax.imshow(np.clip(0.5 + np.moveaxis(image, 0, -1) / (2 * limit(image)), 0, 1))
    ax.set(title=title, xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return simulated_mark(ax, simulated)


def change(image, ax, title="", simulated=False):
    """A difference of normalised frames, red where it is above zero and blue below; None is said to be missing.

    ``image``: ndarray, shape (rows, columns), or None.
    """
    if image is None:
        ax.text(0.5, 0.5, "running only,\nor rest only", transform=ax.transAxes, ha="center", va="center", fontsize=9)
        ax.set(title=title, xticks=[], yticks=[])
        return simulated_mark(ax, simulated)
    most = limit(image)
    return picture(image, ax, "normalised brightness", title, "RdBu_r", (-most, most), simulated)


def sessions(folds, ax, simulated=False):
    """AUC of each test session, a dot a session and fold, and over all frames of the animal, a bar a fold.

    ``folds`` (sequence of FoldResult): of one decoder; sessions without an AUC are counted in the title.
    """
    table = movie_tables.by_session(folds)
    scored = table[table["reason"] == ""]
    groups = list(dict.fromkeys(fold.test_group for fold in folds if fold.scores))
    values = pd.DataFrame({"group": scored["tested on"], "auc": scored["auc"].astype(float)})
    sns.stripplot(values, x="group", y="auc", order=groups, color=DECODED, size=4, alpha=0.6, jitter=0.15, ax=ax,
                  zorder=2, label="one session")
    for fold in folds:
        if fold.scores:
            place = groups.index(fold.test_group)
            ax.hlines(fold.scores["auc"], place - 0.32, place + 0.32, color=SIGNAL, lw=1.4, alpha=0.7,
                      label="all frames of the animal, a fold")
    ax.axhline(0.5, color=NULL_COLOUR, ls="--", lw=1, label="chance")
    without = table.loc[table["reason"] != "", "session"].nunique()
    ax.set(xlabel="", ylabel="AUC", title=f"{without} sessions without an AUC" if without else "")
    legend_beside(ax)
    return simulated_mark(ax, simulated)


def shares(full, controls, ax, simulated=False):
    """How much of a decoder's score each control reaches by itself: a dot a fold, the bar their mean.

    ``full`` (list of FoldResult): of one decoder of images. ``controls`` (dict of str to list of FoldResult): of one
    decoder each, on the same folds.
    """
    whole = {fold.fold: fold.scores["auc"] for fold in full if fold.scores}
    for place, folds in enumerate(controls.values()):
        values, _ = confounds.explained({fold.fold: fold.scores["auc"] for fold in folds if fold.scores}, whole)
        values = np.array(list(values.values()))
        if not len(values):
            ax.text(place, 0, "no fold", ha="center", va="bottom", fontsize=8, color=NULL_COLOUR)
            continue
        ax.plot(place + np.linspace(-0.1, 0.1, len(values)), values, "o", color=DECODED, ms=4.5, alpha=0.6)
        ax.hlines(values.mean(), place - 0.28, place + 0.28, color=SIGNAL, lw=1.8,
                  label="mean over folds" if place == 0 else None)
    ax.axhline(1, color=NULL_COLOUR, ls=":", lw=1, label="as good as the network")
    ax.axhline(0, color=NULL_COLOUR, ls="--", lw=1, label="chance")
    ax.set_xticks(range(len(controls)), [name.replace(" ", "\n") for name in controls])
    ax.set(ylabel="share of the score reached\n(a dot is a fold)", xlim=(-0.5, len(controls) - 0.5))
    legend_beside(ax)
    return simulated_mark(ax, simulated)


def validation_losses(folds, ax, simulated=False):
    """Validation loss by epoch of each decoder: thin lines folds, thick their mean, dots the kept epochs.

    ``folds``: sequence of FoldResult.
    """
    models = dict.fromkeys(fold.model for fold in folds if fold.history.valid_loss)
    for model in models:
        histories = [fold.history for fold in folds if fold.model == model and fold.history.valid_loss]
        shortest = min(len(h.valid_loss) for h in histories)
        for h in histories:
            ax.plot(np.arange(1, len(h.valid_loss) + 1), h.valid_loss, color=MODEL_COLOURS[model], lw=0.5, alpha=0.4)
            ax.plot(h.best_epoch + 1, h.valid_loss[h.best_epoch], "o", color=MODEL_COLOURS[model], ms=3.5, alpha=0.8)
        ax.plot(np.arange(1, shortest + 1), np.mean([h.valid_loss[:shortest] for h in histories], axis=0), ".-",
                color=MODEL_COLOURS[model], lw=2.2, label=LABELS[model])
    ax.axhline(np.log(2), color=NULL_COLOUR, ls=":", lw=1, label="always one half")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set(xlabel="epoch", ylabel="validation loss (nats a frame)")
    legend_beside(ax)
    return simulated_mark(ax, simulated)


def shared_features(images_each_side, ax, n_windows=8):
    """Which images successive windows hold: dark where features have to be computed, light where they are there.

    ``images_each_side``: k of windows of 2k + 1 images.
    """
    length = 2 * images_each_side + 1
    state = np.zeros((n_windows, n_windows + length - 1))
    for window in range(n_windows):
        state[window, window : window + length] = 1
        state[window, window + length - 1 if window else slice(0, length)] = 2
    sns.heatmap(state, ax=ax, cmap=sns.color_palette(["white", "#BBD7EA", DECODED], as_cmap=False), vmin=0, vmax=2,
                cbar=False, linewidths=1, linecolor="white")
    computed, used = int((state == 2).sum()), n_windows * length
    ax.set(xlabel="image", ylabel="window", xticks=[], yticks=[],
           title=f"{n_windows} windows use {used} features; {computed} have to be computed")
    return ax
