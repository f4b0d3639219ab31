"""Chapters 20 and 21: decoders of movies by session, animal and epoch, and what networks on images see."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import seaborn as sns

from calcium_decoding.data import published
from calcium_decoding.errors import DataError
from calcium_decoding.evaluation import cards, metrics
from calcium_decoding.models.names import COLOURS, LABELS
from calcium_decoding.plotting.brain import show_image
from calcium_decoding.plotting.style import DECODED, NULL_COLOUR, SIGNAL, legend_beside, simulated_mark, stretches
from calcium_decoding.preprocessing import confounds
from calcium_decoding.preprocessing.movie_frames import CHUNK_FRAMES, MovieFrames, MovieScaling
from calcium_decoding.utils.progress import progress

SHOWN_PERCENTILE = 99.5  # of the sizes of pixel values; what lies beyond is drawn as the end of the scale
# Columns of the table by frame, and the scores they are means of.
FRAME_SCORES = {"AUC": "auc", "balanced accuracy": "balanced_accuracy", "accuracy": "accuracy",
                "average precision": "average_precision", "run share": "run_share", "Brier score": "brier"}


def by_session(folds):
    """Scores of each test session in each fold that tests it: a row each; folds without scores have none.

    ``reason``: why there is no AUC; a session in which the animal always runs has none, and an accuracy (at 0.5).
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
    """A row a test animal and decoder: the AUC over all its frames, as published, beside those of its sessions.

    Pooled: mean of its folds. By session: mean, lowest and highest over sessions that have one, each the mean of its
    folds. Published means stand beside where they were measured on ``dataset``.
    """
    rows = []
    sessions = by_session(folds)
    for (group, model), mine in sessions.groupby(["tested on", "model"], sort=False) if len(sessions) else ():
        pooled = [f.scores["auc"] for f in folds if f.scores and (f.test_group, f.model) == (group, model)]
        each = mine[mine["reason"] == ""].astype({"auc": float}).groupby("session", sort=False)["auc"].mean()
        row = {"tested on": group, "model": model, "folds": len(pooled), "AUC, pooled": float(np.mean(pooled)),
               "AUC, by session": each.mean(), "lowest": each.min(), "highest": each.max(),
               "accuracy": float(mine["accuracy"].astype(float).mean()),
               "sessions without AUC": mine.loc[mine["reason"] != "", "session"].nunique()}
        if dataset.compare_with_study:
            row |= _published_sessions(model, dataset.animals.index(group) + 1)
        rows.append(row)
    return pd.DataFrame(rows)


def _published_sessions(model, mouse):
    """Published means over sessions and folds of one mouse; NaN where there are none."""
    known = {"cnn": "image_cnn_stage1", "cnn_gru": "image_cnn_gru_stage2"}
    table = published.table("per_session_cnn")
    means = table[(table["experiment"] == known.get(model)) & (table["test_mouse"] == mouse)].groupby("metric")["value"]
    return {f"published {name}, by session": means.mean().get(name.lower()) for name in ("AUC", "accuracy")}


def frame_table(folds):
    """What an AUC does not say, a row a test group and decoder, means over folds.

    Average precision without any skill is the share of running; the last column is the Brier score of always saying
    the animal's own share.
    """
    scores = pd.DataFrame([{"tested on": f.test_group, "model": f.model} |
                           {name: f.scores[score] for name, score in FRAME_SCORES.items()} for f in folds if f.scores])
    if scores.empty:
        return scores
    mean = scores.groupby(["tested on", "model"], sort=False).mean().reset_index()
    return mean.assign(**{"Brier, share only": mean["run share"] * (1 - mean["run share"])})


def epoch_table(folds):
    """Losses by epoch from 1, means over folds, a row a decoder and epoch (Fig 2D); how many folds kept that epoch."""
    rows = []
    for model, histories in _histories(folds).items():
        for epoch in range(min(len(h.valid_loss) for h in histories)):
            rows.append({"model": model, "epoch": epoch + 1, "folds": len(histories),
                         "training loss": float(np.mean([h.train_loss[epoch] for h in histories])),
                         "validation loss": float(np.mean([h.valid_loss[epoch] for h in histories])),
                         "kept in": sum(h.best_epoch == epoch for h in histories)})
    return pd.DataFrame(rows)


def loss_scores(folds):
    """Validation loss after the first and after the last epoch, over folds, for the result card."""
    scores = []
    for model, histories in _histories(folds).items():
        for metric, epoch in (("valid_loss_first", 0), ("valid_loss_last", -1)):
            scores += cards.summarise(model, [h.valid_loss[epoch] for h in histories], metric)
    return scores


def _histories(folds):
    found = {}
    for fold in folds:
        if fold.history.valid_loss:
            found.setdefault(fold.model, []).append(fold.history)
    return found


def explained_scores(full, controls):
    """Share of a decoder's score that each control reaches by itself, over folds, for the result card."""
    return [score for name, values in _explained(full, controls).items() if values
            for score in cards.summarise(name, values, "share_explained")]


def _explained(full, controls):
    """Shares over folds by control, of :func:`calcium_decoding.preprocessing.confounds.explained`."""
    def aucs(folds):
        return {fold.fold: fold.scores["auc"] for fold in folds if fold.scores}

    return {name: list(confounds.explained(aucs(folds), aucs(full))[0].values()) for name, folds in controls.items()}


def view(experiment, recording):
    """Images of one recording as an experiment on movies feeds them to its network.

    Has ``scaling`` (MovieScaling: mean image in camera counts, all pixels of the movie); ``image`` (float32, shape (3,
    rows, columns)): normalised frames about ``frame``, half a second into the longest bout of running, or in the middle
    where there is none; ``run_less_rest`` (shape (rows, columns)): mean of running frames less that of rest, None where
    the animal does one of the two only; ``sd_over_time``: of a normalised pixel, root mean square over pixels. Raises
    DataError: the movie cannot be normalised.
    """
    settings, name = experiment.input, recording.id
    ranges = None
    if settings.frame_scaling == "training":
        ranges = next((f.ranges("train")[name] for f in experiment.split.folds if name in f.ranges("train")), None)
    scaling = MovieScaling.of(recording.movie, ranges, name)
    frames = MovieFrames({name: recording.movie}, {name: scaling}, settings.bin_px)
    rest, run, squares = np.zeros(frames.shape[1:]), np.zeros(frames.shape[1:]), 0.0
    for first in progress(range(0, len(frames), CHUNK_FRAMES), desc="look", leave=False):
        pixels = frames[first : first + CHUNK_FRAMES].astype(np.float64)
        running = recording.run[first : first + CHUNK_FRAMES] == 1
        squares += float(np.vdot(pixels, pixels))
        rest += pixels[~running].sum(axis=0)
        run += pixels[running].sum(axis=0)
    n, n_run = len(frames), int(recording.run.sum())
    mean, frame = (rest + run) / n, _in_longest_bout(recording)
    return SimpleNamespace(
        scaling=scaling, frame=frame, image=frames[np.arange(frame - 1, frame + 2)],
        run_less_rest=run / n_run - rest / (n - n_run) if 0 < n_run < n else None,
        sd_over_time=float(np.sqrt(max(squares / n / mean.size - np.mean(mean**2), 0.0))))


def _in_longest_bout(recording):
    bouts = stretches(recording.run)
    if not len(bouts):
        return recording.n_frames // 2
    start, stop = bouts[np.ptp(bouts, axis=1).argmax()]
    frame = min(start + round(0.5 * recording.rate_hz), stop - 1)
    return int(np.clip(frame, 1, recording.n_frames - 2))


def _limit(image):
    """Size of the largest pixel value shown, on a scale that is centred at zero."""
    return float(np.percentile(np.abs(image), SHOWN_PERCENTILE)) or 1.0


def colour_image(image, of, ax, title=""):
    """Three normalised frames of a recording as red, green and blue: grey where they agree, middle grey at 0.

    ``image``: shape (3, rows, columns), in order of time.
    """
    ax.imshow(np.clip(0.5 + np.moveaxis(image, 0, -1) / (2 * _limit(image)), 0, 1))
    ax.set(title=title, xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return simulated_mark(ax, of)


def change(image, of, ax, title=""):
    """A difference of normalised frames of a recording, red above zero and blue below; None is said to be missing."""
    if image is None:
        ax.text(0.5, 0.5, "running only,\nor rest only", transform=ax.transAxes, ha="center", va="center", fontsize=9)
        ax.set(title=title, xticks=[], yticks=[])
        return simulated_mark(ax, of)
    most = _limit(image)
    return show_image(image, of, ax, "normalised brightness", title, "RdBu_r", (-most, most))


def sessions(folds, ax):
    """AUC of each test session of one decoder, a dot a session and fold; over all frames of the animal, a bar a fold.

    Sessions without an AUC are counted in the title.
    """
    table = by_session(folds)
    scored = table[table["reason"] == ""].astype({"auc": float})
    groups = list(dict.fromkeys(fold.test_group for fold in folds if fold.scores))
    sns.stripplot(scored, x="tested on", y="auc", order=groups, color=DECODED, size=4, alpha=0.6, jitter=0.15, ax=ax,
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
    """How much of the score of a decoder of images each control reaches by itself: a dot a fold, the bar their mean.

    ``controls``: dict of name to folds of one decoder.
    """
    for place, values in enumerate(_explained(full, controls).values()):
        if not values:
            ax.text(place, 0, "no fold", ha="center", va="bottom", fontsize=8, color=NULL_COLOUR)
            continue
        ax.plot(place + np.linspace(-0.1, 0.1, len(values)), values, "o", color=DECODED, ms=4.5, alpha=0.6)
        ax.hlines(np.mean(values), place - 0.28, place + 0.28, color=SIGNAL, lw=1.8, label="mean over folds")
    ax.axhline(1, color=NULL_COLOUR, ls=":", lw=1, label="as good as the network")
    ax.axhline(0, color=NULL_COLOUR, ls="--", lw=1, label="chance")
    ax.set_xticks(range(len(controls)), [name.replace(" ", "\n") for name in controls])
    ax.set(ylabel="share of the score reached\n(a dot is a fold)", xlim=(-0.5, len(controls) - 0.5))
    legend_beside(ax)
    return simulated_mark(ax, full)


def validation_losses(folds, ax):
    """Validation loss by epoch of each decoder: thin lines folds, thick their mean, dots the kept epochs."""
    for model, histories in _histories(folds).items():
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
