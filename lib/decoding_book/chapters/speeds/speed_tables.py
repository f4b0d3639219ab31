"""Speed as what is decoded: jumps of the tracker, and what a score of a speed is made of."""

from dataclasses import replace

import numpy as np
import pandas as pd

from calcium_decoding.evaluation import cards, metrics
from calcium_decoding.experiments.compare import Condition
from calcium_decoding.experiments.tasks import SPEEDS, Continuous
from calcium_decoding.models.names import LABELS

FENCE = 3.0  # interquartile ranges above the upper quartile: Tukey's outer fence
LEAST_RUNNING = 20  # frames, for quartiles to mean something
LEAST_IN_BIN = 30  # frames
PUBLISHED = {"speed_gru": ("roi_speed", "GRU", "all_50"), "linear": ("roi_speed", "LinearRegression", "all_50")}
SMOOTHING = "moving_mean_30"  # the published one


def outer_fence(recording):
    """The speed beyond which a frame is taken for a jump of the tracker; None with fewer than 20 running frames.

    The upper quartile over running frames plus three interquartile ranges (Tukey 1977, Exploratory Data Analysis).
    """
    running = Continuous("speed").target(recording)[recording.behaviour.get("run", np.zeros(recording.n_frames)) == 1]
    if len(running) < LEAST_RUNNING:
        return None
    lower, upper = np.quantile(running, (0.25, 0.75))
    return float(upper + FENCE * (upper - lower))


def repaired(dataset, target="speed"):
    """The data set with jumps of the tracker in its speed replaced, a table of sessions with jumps, and a statement.

    A flagged frame gets the speed between its nearest neighbours that were not flagged (linear in time); none is left
    out. A target that is not ``"speed"`` is left alone. Raises DataError: a recording has no speed.
    """
    if target != "speed":
        return dataset, pd.DataFrame(), f"{target} is taken as it is, without a search for outliers"
    rows, recordings = {}, []
    for recording in dataset.recordings:
        fence, speed = outer_fence(recording), Continuous("speed").target(recording)
        jumps = speed > fence if fence is not None else np.zeros(len(speed), bool)
        if jumps.any():
            name = "/".join((recording.animal, recording.session))
            row = rows.setdefault(name, {"session": name, "frames": 0, "flagged": 0, "fence": np.inf, "largest": 0.0})
            row |= {"frames": row["frames"] + len(speed), "flagged": row["flagged"] + int(jumps.sum()),
                    "fence": min(row["fence"], fence), "largest": max(row["largest"], float(speed.max()))}
            recording = _replaced(recording, speed, jumps)
        recordings.append(recording)
    n, total = sum(row["flagged"] for row in rows.values()), sum(r.n_frames for r in dataset.recordings)
    statement = (f"{n} of {total} frames lie beyond the outer fence of running speed and were replaced by interpolation"
                 if n else "no frame lies beyond the outer fence of running speed")
    return replace(dataset, recordings=tuple(recordings)), pd.DataFrame(list(rows.values())), statement


def _replaced(recording, speed, jumps):
    frames = np.arange(len(speed))
    # Sizes, not signed velocities: to and fro would cancel.
    speed = np.interp(frames, frames[~jumps], speed[~jumps])
    name = next(name for name in SPEEDS if name in recording.behaviour)
    note = f"{np.count_nonzero(jumps)} frames of '{name}' beyond the outer fence replaced by interpolation"
    return replace(recording, behaviour={**recording.behaviour, name: speed}, notes=(*recording.notes, note))


def conditions_of(experiment, models, ending=""):
    """A Condition for each decoder of a speed; a published figure beside, if the target is smoothed as published."""
    beside = PUBLISHED if experiment.task.smoothing == SMOOTHING else {}
    return [Condition(LABELS[model] + ending, experiment, model, published=beside.get(model))
            for model in models]


def beyond_classes(scores):
    """Share of what the class means leave unexplained that a decoder explains; below 0 if it does worse than they.

    None where the class means are not known, or leave nothing.
    """
    classes = scores.get("r2_class_mean")
    return None if classes is None or classes >= 1 else (scores["r2"] - classes) / (1 - classes)


# Columns of `parts`: what the score of a fold is set against.
PARTS = {"r2": "all frames", "r2_class_mean": "class mean, run known", "beyond_classes": "beyond the class mean",
         "r2_running": "running frames only"}


def parts(found):
    """What R2 is made of: a row a fold and a column each of :data:`PARTS`; None where it does not exist."""
    rows = [{"decoder": result.name, "fold": fold.fold, "tested on": fold.test_group, "simulated": result.simulated,
             **fold.scores, "beyond_classes": beyond_classes(fold.scores)}
            for result in found for fold in result.evaluable()]
    return pd.DataFrame(rows, columns=["decoder", "fold", "tested on", "simulated", *PARTS, "mae_running"])


def parts_table(table):
    """:func:`parts` for a page: mean and sample SD over folds, a row a decoder; "none" where there is no number."""
    names = {**{key: f"R2, {words}" if key != "beyond_classes" else words for key, words in PARTS.items()},
             "mae_running": "error, running frames"}
    return pd.DataFrame([{"decoder": decoder, "folds": len(mine),
                          **{name: _mean_sd(mine[key].dropna().astype(float)) for key, name in names.items()}}
                         for decoder, mine in table.groupby("decoder", sort=False)])


def _mean_sd(values):
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return f"{values[0]:.2f}" if len(values) else "none"
    return f"{values.mean():.2f} ± {values.std(ddof=1):.2f}"


def by_speed(found, n_bins=8):
    """Mean decoded speed and mean absolute error in bins of the true speed, a row a condition, test group and bin.

    Bins have equal width from 0 to the 99.5 % quantile of all true speeds; the last holds all beyond. Bins of fewer
    than 30 frames have no row.
    """
    columns = ["decoder", "tested_on", "simulated", "speed", "decoded", "error", "frames"]
    every = [fold.labels for result in found for fold in result.evaluable()]
    if not every:
        return pd.DataFrame(columns=columns)
    edges = np.linspace(min(0.0, *(speed.min() for speed in every)), np.quantile(np.concatenate(every), 0.995),
                        n_bins + 1)
    rows = []
    for result in found:
        for group in dict.fromkeys(fold.test_group for fold in result.evaluable()):
            mine = [fold for fold in result.evaluable() if fold.test_group == group]
            speed = np.concatenate([fold.labels for fold in mine])
            decoded = np.concatenate([fold.predicted for fold in mine])
            which = np.clip(np.searchsorted(edges, speed, side="right") - 1, 0, n_bins - 1)
            for i in range(n_bins):
                here = which == i
                if np.count_nonzero(here) >= LEAST_IN_BIN:
                    rows.append((result.name, group, result.simulated, (edges[i] + edges[i + 1]) / 2,
                                 decoded[here].mean(), np.abs(decoded - speed)[here].mean(), np.count_nonzero(here)))
    return pd.DataFrame(rows, columns=columns)


def against_recorded(found, dataset):
    """Predictions from a repaired data set scored against the speed as recorded, a row a fold where the two differ."""
    of, rows = {r.id: r for r in dataset.recordings}, []
    for result in found:
        plan = result.condition.experiment
        for fold in result.evaluable():
            recorded = np.empty(len(fold.labels))
            for i, name in enumerate(fold.recordings):
                here = fold.recording == i
                speed = plan.task.target(of[name])
                recorded[here] = speed[fold.centre[here] + plan.spec.label_shift_frames]
            if not np.array_equal(recorded.astype(np.float32), fold.labels.astype(np.float32)):
                rows.append({"decoder": result.name, "fold": fold.fold, "R2 as repaired": fold.scores["r2"],
                             "R2 as recorded": metrics.speed_scores(recorded, fold.predicted)[0]["r2"]})
    return pd.DataFrame(rows)


def notes_table(found):
    """What does not exist in a fold, and why, and folds without any score: a row each, every note once."""
    rows = [(fold.fold, note) for result in found for fold in result.folds
            for note in (*fold.notes, f"no score: {fold.reason}" if fold.reason else "") if note]
    return pd.DataFrame(rows, columns=["fold", "note"]).drop_duplicates()


def card_scores(found, ending=""):
    """Scores of the result card by the decoder's own name and an ending, with what lies beyond the class means."""
    folds = [fold for result in found for fold in result.folds]
    scores = cards.fold_scores(folds, ending)
    for result in found:
        values = [beyond_classes(fold.scores) for fold in result.evaluable()]
        values = [value for value in values if value is not None]
        scores += cards.summarise(result.condition.model + ending, values, "beyond_classes") if values else []
    return scores


def coverage_scores(table, model):
    """Measured coverage of prediction intervals as scores of the result card, over folds."""
    groups = table.groupby(["calibrated_on", "score", "level"], sort=False)["coverage"]
    return [cards.summarise(model, values, f"coverage {100 * level:g} %, {score}, {way}")[0]
            for (way, score, level), values in groups]
