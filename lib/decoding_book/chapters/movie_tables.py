"""Chapters 20 and 21: decoders of movies by session, animal and epoch, and what networks on images see."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import seaborn as sns

from calcium_decoding.data import published
from calcium_decoding.errors import DataError
from calcium_decoding.evaluation import cards, metrics
from calcium_decoding.models.names import COLOURS, LABELS
from calcium_decoding.plotting.brain import show_image
from calcium_decoding.plotting.style import DECODED, NULL_COLOUR, SIGNAL, legend_beside, simulated_mark
from calcium_decoding.preprocessing import confounds
from calcium_decoding.preprocessing.movie_frames import CHUNK_FRAMES, MovieFrames, MovieScaling
from calcium_decoding.utils.progress import progress


def by_session(folds):
    """Scores of each test session in each fold that tests it.

    ``folds`` (sequence of FoldResult): of decoders of running. Returns a DataFrame: ``model``, ``fold``, ``tested
    on`` (a test group, as a rule an animal), ``session``, ``run share``, ``auc``, ``accuracy`` (at 0.5), ``reason``:
    why there is no AUC; a session in which the animal always runs has none, and an accuracy. Folds without scores have
    no rows.
    """
    rows = []
    for fold in folds:
        for session in fold.recordings if fold.scores else ():
            _, labels, p_run = fold.trace(session)
            row = {"model": fold.model, "fold": fold.fold, "tested on": fold.test_group, "session": session,
                   "run share": float(np.mean(labels)), "auc": None,
                   "accuracy": float(np.mean((p_run > 0.5) == labels)), "reason": ""}
            try:
                row["auc"] = metrics.frame_scores(labels, p_run)["auc"]
            except DataError as error:
                row["reason"] = error.found
            rows.append(row)
    return pd.DataFrame(rows, dtype=object)


def session_table(folds, dataset):
    """A row a test animal and decoder: the AUC over all its frames beside those of its sessions.

    ``folds``: sequence of FoldResult. ``dataset``: if the published figures were measured on it, their means stand
    beside. Returns a DataFrame: ``tested on``, ``model``, ``folds``; ``AUC, pooled`` (over all test frames of the
    animal, as published; mean of its folds), ``AUC, by session`` (mean over sessions that have one, each the mean of
    its folds), ``lowest`` and ``highest`` of these, ``accuracy`` (mean of sessions), ``sessions without AUC``.
    """
    rows = []
    sessions = by_session(folds)
    for (group, model), mine in sessions.groupby(["tested on", "model"], sort=False) if len(sessions) else ():
        pooled = [f.scores["auc"] for f in folds if f.scores and (f.test_group, f.model) == (group, model)]
        scored = mine[mine["reason"] == ""].assign(auc=lambda rows: rows["auc"].astype(float))
        each = scored.groupby("session", sort=False)["auc"].mean()
        row = {"tested on": group, "model": model, "folds": len(pooled), "AUC, pooled": float(np.mean(pooled)),
               "AUC, by session": float(each.mean()) if len(each) else None,
               "lowest": float(each.min()) if len(each) else None,
               "highest": float(each.max()) if len(each) else None,
               "accuracy": float(mine["accuracy"].astype(float).mean()),
               "sessions without AUC": mine.loc[mine["reason"] != "", "session"].nunique()}
        if dataset.compare_with_study:
            row |= _published_sessions(model, dataset.animals.index(group) + 1)
        rows.append(row)
    return pd.DataFrame(rows)


def _published_sessions(model, mouse):
    """Published means over sessions and folds of one mouse; empty strings where there are none."""
    known = {"cnn": "image_cnn_stage1", "cnn_gru": "image_cnn_gru_stage2"}
    table = published.table("per_session_cnn")
    mine = table[(table["experiment"] == known.get(model)) & (table["test_mouse"] == mouse)]
    return {f"published {name}, by session": float(mine.loc[mine["metric"] == metric, "value"].mean()) if len(mine) else
            None for name, metric in (("AUC", "auc"), ("accuracy", "accuracy"))}


def frame_table(folds):
    """What an AUC does not say, a row a test group and decoder, means over folds.

    ``folds``: sequence of FoldResult. Returns a DataFrame: ``tested on``, ``model``, ``AUC``, ``balanced
    accuracy``, ``accuracy``; ``average precision`` with ``run share``, what it is without any skill; ``Brier score``
    with ``Brier, share only``, that of always saying the animal's own share of running.
    """
    rows = {}
    for fold in folds:
        if fold.scores:
            rows.setdefault((fold.test_group, fold.model), []).append(fold.scores)
    table = []
    for (group, model), scores in rows.items():
        mean = {name: float(np.mean([s[name] for s in scores])) for name in scores[0] if all(name in s for s in scores)}
        share = mean["run_share"]
        table.append({"tested on": group, "model": model, "AUC": mean["auc"],
                      "balanced accuracy": mean["balanced_accuracy"], "accuracy": mean["accuracy"],
                      "average precision": mean["average_precision"], "run share": share, "Brier score": mean["brier"],
                      "Brier, share only": share * (1 - share)})
    return pd.DataFrame(table)


def epoch_table(folds):
    """Mean losses by epoch, a row a decoder and epoch (Fig 2D).

    ``folds`` (sequence of FoldResult): those that could not be evaluated are left out. Returns pandas.DataFrame:
    ``model``, ``epoch`` from 1, ``folds``, ``training loss``, ``validation loss`` (mean over folds), ``kept in``: how
    many folds kept that epoch.
    """
    rows = []
    for model, histories in _histories(folds).items():
        for epoch in range(min(len(h.valid_loss) for h in histories)):
            rows.append({"model": model, "epoch": epoch + 1, "folds": len(histories),
                         "training loss": float(np.mean([h.train_loss[epoch] for h in histories])),
                         "validation loss": float(np.mean([h.valid_loss[epoch] for h in histories])),
                         "kept in": sum(h.best_epoch == epoch for h in histories)})
    return pd.DataFrame(rows)


def loss_scores(folds):
    """Validation loss after the first and after the last epoch, over folds, for the result card.

    Returns a list of Score: metrics ``valid_loss_first`` and ``valid_loss_last``.
    """
    scores = []
    for model, histories in _histories(folds).items():
        for metric, epoch in (("valid_loss_first", 0), ("valid_loss_last", -1)):
            scores += cards.summarise(model, [h.valid_loss[epoch] for h in histories], metric)
    return scores


def explained_scores(full, controls):
    """Share of a decoder's score that each control reaches by itself, over folds, for the result card.

    ``full``: list of FoldResult. ``controls``: dict of str to list of FoldResult. Returns a list of Score: metric
    ``share_explained``; see :func:`calcium_decoding.preprocessing.confounds.explained`. None of a control without a
    fold that has a share.
    """
    whole = {fold.fold: fold.scores["auc"] for fold in full if fold.scores}
    scores = []
    for name, folds in controls.items():
        shares, _ = confounds.explained({f.fold: f.scores["auc"] for f in folds if f.scores}, whole)
        scores += cards.summarise(name, shares.values(), "share_explained") if shares else []
    return scores


def _histories(folds):
    found = {}
    for fold in folds:
        if fold.history.valid_loss:
            found.setdefault(fold.model, []).append(fold.history)
    return found


@dataclass(frozen=True, eq=False)
class View:
    """Images of one recording as a network on images gets them.

    ``scaling``: what its frames are normalised by; the mean image is in camera counts, all pixels of the movie.
    ``frame``: the middle frame of ``image``, which gives it its label. ``image`` (ndarray, shape (3, rows, columns),
    float32): three normalised frames in a row. ``run_less_rest`` (ndarray, shape (rows, columns), float64, or None):
    mean of normalised frames of running less that of rest; None where the animal does one of the two only.
    ``sd_over_time``: SD of a normalised pixel over time, root mean square over pixels.
    """

    recording: object
    scaling: MovieScaling
    frame: int
    image: np.ndarray
    run_less_rest: np.ndarray | None
    sd_over_time: float


def view(experiment, recording):
    """Look at one recording the way an experiment feeds it to its network.

    ``experiment``: ImageExperiment. ``recording``: with a movie. Returns View: the image is that half a second into the
    longest bout of running, or in the middle where there is none. Raises DataError: the movie cannot be normalised.
    """
    settings, name = experiment.settings, recording.id
    ranges = None
    if settings.frame_scaling == "training":
        ranges = next((f.ranges("train")[name] for f in experiment.split.folds if name in f.ranges("train")), None)
    scaling = MovieScaling.of(recording.movie, ranges, name)
    frames = MovieFrames({name: recording.movie}, {name: scaling}, settings.bin_px)
    sums = {0: np.zeros(frames.shape[1:]), 1: np.zeros(frames.shape[1:])}
    squares = 0.0
    for first in progress(range(0, len(frames), CHUNK_FRAMES), desc="look", leave=False):
        pixels = frames[first : first + CHUNK_FRAMES].astype(np.float64)
        run = recording.run[first : first + CHUNK_FRAMES]
        squares += float(np.vdot(pixels, pixels))
        for label in sums:
            sums[label] += pixels[run == label].sum(axis=0)
    n_run = int(recording.run.sum())
    n_rest = len(frames) - n_run
    mean = (sums[0] + sums[1]) / len(frames)
    frame = _in_longest_bout(recording)
    return View(recording, scaling, frame, frames[np.arange(frame - 1, frame + 2)],
                sums[1] / n_run - sums[0] / n_rest if n_run and n_rest else None,
                float(np.sqrt(max(squares / len(frames) / mean.size - np.mean(mean**2), 0.0))))


def _in_longest_bout(recording):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], recording.run.astype(int), [0]]))).reshape(-1, 2)
    if not len(edges):
        return recording.n_frames // 2
    start, stop = max(edges.tolist(), key=lambda bout: bout[1] - bout[0])
    frame = min(start + round(0.5 * recording.rate_hz), stop - 1)
    return int(np.clip(frame, 1, recording.n_frames - 2))


def scaling_table(views):
    """Sizes of what frames are normalised by, and of what is left, a row a recording.

    ``views``: sequence of View. Returns a DataFrame: ``recording``; in camera counts ``mean``, ``SD of all
    pixels`` (over time and space: the one divisor) and ``SD of the mean picture`` (over space alone); in units of the
    divisor ``SD over time, normalised``, of a pixel, and ``run less rest, largest``.
    """
    return pd.DataFrame([{
        "recording": v.recording.id, "mean": float(v.scaling.mean.mean()), "SD of all pixels": v.scaling.sd,
        "SD of the mean picture": float(v.scaling.mean.std()), "SD over time, normalised": v.sd_over_time,
        "run less rest, largest": None if v.run_less_rest is None else float(np.abs(v.run_less_rest).max())}
        for v in views])


SHOWN_PERCENTILE = 99.5  # of the sizes of pixel values; what lies beyond is drawn as the end of the scale


def limit(*images):
    """Size of the largest pixel value shown, one scale for several images that are centred at zero."""
    return float(np.percentile(np.concatenate([np.abs(image).ravel() for image in images]), SHOWN_PERCENTILE)) or 1.0


def colour_image(image, of, ax, title=""):
    """Three frames as red, green and blue: grey where they agree, coloured where something changed between them.

    ``image`` (ndarray, shape (3, rows, columns)): normalised frames in order of time; 0 is drawn as middle grey.
    ``of``: the recording they are of.
    """
    ax.imshow(np.clip(0.5 + np.moveaxis(image, 0, -1) / (2 * limit(image)), 0, 1))
    ax.set(title=title, xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return simulated_mark(ax, of)


def change(image, of, ax, title=""):
    """A difference of normalised frames, red where it is above zero and blue below; None is said to be missing.

    ``image``: ndarray, shape (rows, columns), or None. ``of``: the recording it is of.
    """
    if image is None:
        ax.text(0.5, 0.5, "running only,\nor rest only", transform=ax.transAxes, ha="center", va="center", fontsize=9)
        ax.set(title=title, xticks=[], yticks=[])
        return simulated_mark(ax, of)
    most = limit(image)
    return show_image(image, of, ax, "normalised brightness", title, "RdBu_r", (-most, most))


def sessions(folds, ax):
    """AUC of each test session, a dot a session and fold, and over all frames of the animal, a bar a fold.

    ``folds`` (sequence of FoldResult): of one decoder; sessions without an AUC are counted in the title.
    """
    table = by_session(folds)
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
    return simulated_mark(ax, folds)


def shares(full, controls, ax):
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
    return simulated_mark(ax, full)


def validation_losses(folds, ax):
    """Validation loss by epoch of each decoder: thin lines folds, thick their mean, dots the kept epochs.

    ``folds``: sequence of FoldResult.
    """
    models = dict.fromkeys(fold.model for fold in folds if fold.history.valid_loss)
    for model in models:
        histories = [fold.history for fold in folds if fold.model == model and fold.history.valid_loss]
        shortest = min(len(h.valid_loss) for h in histories)
        for h in histories:
            ax.plot(np.arange(1, len(h.valid_loss) + 1), h.valid_loss, color=COLOURS[model], lw=0.5, alpha=0.4)
            ax.plot(h.best_epoch + 1, h.valid_loss[h.best_epoch], "o", color=COLOURS[model], ms=3.5, alpha=0.8)
        ax.plot(np.arange(1, shortest + 1), np.mean([h.valid_loss[:shortest] for h in histories], axis=0), ".-",
                color=COLOURS[model], lw=2.2, label=LABELS[model])
    ax.axhline(np.log(2), color=NULL_COLOUR, ls=":", lw=1, label="always one half")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set(xlabel="epoch", ylabel="validation loss (nats a frame)")
    legend_beside(ax)
    return simulated_mark(ax, folds)


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
