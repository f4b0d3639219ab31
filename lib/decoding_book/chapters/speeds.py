"""Chapter 30: jumps of the tracker, what the score of a decoded speed is made of, and decoded speed over time."""

from dataclasses import replace

import numpy as np
import pandas as pd

from calcium_decoding.evaluation import cards, metrics
from calcium_decoding.experiments.tasks import Continuous, speed_name
from calcium_decoding.models.names import COLOURS
from calcium_decoding.plotting.style import SIGNAL, legend_beside, running_spans, simulated_mark, time_axis, warned_of

FENCE = 3.0  # interquartile ranges above the upper quartile: Tukey's outer fence
LEAST_RUNNING = 20  # frames, for quartiles to mean something
# Where the study has a decoder of ours, of a speed smoothed by a moving mean of 30 frames.
PUBLISHED = {"speed_gru": ("roi_speed", "GRU", "all_50"), "linear": ("roi_speed", "LinearRegression", "all_50")}
# Columns of `parts`: what the score of a fold is set against.
PARTS = {"r2": "all frames", "r2_class_mean": "class mean, run known", "beyond_classes": "beyond the class mean",
         "r2_running": "running frames only"}


def outer_fence(recording):
    """The speed beyond which a frame is taken for a jump of the tracker: the upper quartile over running frames plus
    three interquartile ranges (Tukey 1977, Exploratory Data Analysis). None with fewer than 20 running frames."""
    running = Continuous("speed").target(recording)[recording.behaviour.get("run", np.zeros(recording.n_frames)) == 1]
    if len(running) < LEAST_RUNNING:
        return None
    lower, upper = np.quantile(running, (0.25, 0.75))
    return float(upper + FENCE * (upper - lower))


def repaired(dataset, target="speed"):
    """The data set with jumps of the tracker in its speed replaced, a table of sessions with jumps, and a statement. A
    flagged frame gets the speed between its nearest neighbours that were not flagged (linear in time). A target that is
    not ``"speed"`` is left alone. DataError: a recording has no speed."""
    if target != "speed":
        return dataset, pd.DataFrame(), f"{target} is taken as it is, without a search for outliers"
    rows, recordings = [], []
    for recording in dataset.recordings:
        fence, speed = outer_fence(recording), Continuous("speed").target(recording)
        jumps = speed > (np.inf if fence is None else fence)
        if jumps.any():
            rows.append((f"{recording.animal}/{recording.session}", len(speed), jumps.sum(), fence, speed.max()))
            frames = np.arange(len(speed))
            # Sizes, not signed velocities: to and fro would cancel.
            speed = np.interp(frames, frames[~jumps], speed[~jumps])
            name = speed_name(recording)
            note = f"{jumps.sum()} frames of '{name}' beyond the outer fence replaced by interpolation"
            recording = replace(recording, behaviour={**recording.behaviour, name: speed},
                                notes=(*recording.notes, note))
        recordings.append(recording)
    flagged = pd.DataFrame(rows, columns=["session", "frames", "flagged", "fence", "largest"])
    flagged = flagged.groupby("session", sort=False).agg(
        {"frames": "sum", "flagged": "sum", "fence": "min", "largest": "max"}).reset_index()
    total = sum(recording.n_frames for recording in dataset.recordings)
    statement = (f"{flagged['flagged'].sum()} of {total} frames lie beyond the outer fence of running speed and were "
                 "replaced by interpolation" if rows else "no frame lies beyond the outer fence of running speed")
    return replace(dataset, recordings=tuple(recordings)), flagged, statement


def parts(found):
    """What R2 is made of: a row a fold and a column each of :data:`PARTS`; missing where it does not exist.
    ``beyond_classes``: share of what the class means leave unexplained that a decoder explains; may be negative."""
    table = pd.DataFrame([{"decoder": result.name, **fold.scores} for result in found for fold in result.evaluable()],
                         columns=["decoder", *PARTS, "mae_running"])
    classes = table["r2_class_mean"].astype(float)
    return table.assign(beyond_classes=(table["r2"] - classes) / (1 - classes).where(classes < 1))


def parts_table(table):
    """:func:`parts` for a page: mean and sample SD over folds, a row a decoder; "none" where there is no number."""
    names = {**{key: f"R2, {words}" if key != "beyond_classes" else words for key, words in PARTS.items()},
             "mae_running": "error, running frames"}
    groups = table.groupby("decoder", sort=False)
    said = groups[[*names]].agg(_mean_sd).rename(columns=names)
    said.insert(0, "folds", groups.size())
    return said.reset_index()


def _mean_sd(values):
    values = values.dropna().astype(float)
    if len(values) < 2:
        return f"{values.iloc[0]:.2f}" if len(values) else "none"
    return f"{values.mean():.2f} ± {values.std():.2f}"


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


def card_scores(found, ending=""):
    """Scores of the result card by the decoder's own name and an ending, with what lies beyond the class means."""
    scores = cards.fold_scores([fold for result in found for fold in result.folds], ending)
    for result in found:
        values = parts([result])["beyond_classes"].dropna()
        scores += cards.summarise(result.condition.model + ending, values, "beyond_classes") if len(values) else []
    return scores


def middle_session(found, n_frames):
    """A stretch to show, of the fold with the median R2 of the first condition, where speed changes most: names of fold
    and recording, and the centre of the first window. ValueError: no fold has a score."""
    folds = sorted(found[0].evaluable(), key=lambda fold: fold.scores["r2"])
    if not folds:
        raise ValueError("no fold has a score")
    fold = folds[(len(folds) - 1) // 2]
    stretches = []
    for name in fold.recordings:
        centre, speed, _ = fold.trace(name)
        stretches += [(np.std(speed[start:start + n_frames]), name, int(centre[start]))
                      for start in range(0, max(1, len(speed) - n_frames), max(1, n_frames // 2))]
    # Rest by itself, and steady running by itself, show little. Of equals the first.
    return fold.fold, *max(stretches, key=lambda stretch: stretch[0])[1:]


def trace(result, place, n_frames, rate_hz, ax, unit, band=None):
    """True and decoded speed over the stretch of one test recording that :func:`middle_session` gives; running shaded.
    ``band`` ((Band, str)): prediction intervals, and what they are called."""
    name, recording, first = place
    fold = next(fold for fold in result.folds if fold.fold == name)
    centre, speed, decoded = fold.trace(recording)
    here = (centre >= first) & (centre < first + n_frames)
    time_s, colour = centre[here] / rate_hz, COLOURS[fold.model]
    if len(fold.running):
        running_spans(ax, time_s, fold.running[fold.recording == fold.recordings.index(recording)][here])
    ax.plot(time_s, speed[here], color=SIGNAL, lw=1.6, label="true")
    if band is not None:
        ax.fill_between(time_s, *band[0].around(decoded[here]), color=colour, alpha=0.2, lw=0, label=band[1])
    ax.plot(time_s, decoded[here], color=colour, lw=1.2, label=result.name)
    time_axis(ax, time_s).set(ylabel=f"speed ({unit})")
    ax.set_title(f"{recording} ({name})", fontsize=10)
    legend_beside(ax)
    return simulated_mark(warned_of(ax, [fold]), fold)
