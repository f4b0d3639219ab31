"""Scores of onsets: how long after the animal starts to run the decoder says so, and how often it does so at rest."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation.cards import summarise
from calcium_decoding.evaluation.metrics import checked_frames

# Columns of :func:`by_fold`, and what the same is called on a result card.
METRICS = {"detected": "onsets_detected", "delay (s)": "onset_delay_s", "false alarms a minute": "false_alarms_per_min"}


@dataclass(frozen=True)
class EventSettings:
    """What counts as an onset, and where its detection is looked for.

    ``threshold``: a frame is decoded as running where ``p_run`` is above it; choose it on training or validation
    animals. ``min_rest_s``, ``min_run_s``: an onset is a step from rest to run with at least so much rest just before
    and running just after. ``before_s``, ``after_s``: an onset at time t is detected if a decoded onset lies in [t -
    before_s, t + after_s); at most ``min_rest_s`` and ``min_run_s``, so that no two onsets compete. ``hold_s``: decoded
    running has to last so long before it counts, from its last frame. Raises ParameterError: a value is out of range.
    """

    threshold: float = 0.5
    min_rest_s: float = 1.0
    min_run_s: float = 1.0
    before_s: float = 0.5
    after_s: float = 1.0
    hold_s: float = 0.0

    def __post_init__(self):
        _within("threshold", self.threshold, 0, 1, "0.5 is where both classes are as probable")
        infinite = float("inf")
        _within("min_rest_s", self.min_rest_s, 0, infinite, "give seconds of rest before an onset")
        _within("min_run_s", self.min_run_s, 0, infinite, "give seconds of running after an onset")
        _within("before_s", self.before_s, 0, self.min_rest_s, "shorten it, or ask for more rest (min_rest_s)")
        _within("after_s", self.after_s, 0, self.min_run_s, "shorten it, or ask for longer runs (min_run_s)")
        _within("hold_s", self.hold_s, 0, infinite, "give seconds above threshold")

    def frames(self, name, rate_hz):
        """A duration of these settings in frames, rounded to the nearest."""
        return round(getattr(self, name) * rate_hz)


@dataclass(frozen=True, eq=False)
class EventScores:
    """Counts of one recording, or of several; ratios are None where they do not exist. ``onset_delay_s``,
    (n_detected,): from each detected onset to its decoded onset, negative if decoded before. ``n_false_alarms``:
    decoded onsets at rest, away from every step from rest to run. ``rest_s``: seconds of it."""

    n_onsets: int
    onset_delay_s: np.ndarray
    n_false_alarms: int
    rest_s: float

    @property
    def share_detected(self):
        """Detected onsets among onsets, 0 to 1. A decoder that says "run" all along detects none."""
        return len(self.onset_delay_s) / self.n_onsets if self.n_onsets else None

    @property
    def median_delay_s(self):
        """Median delay of the detected onsets, seconds; read it with :attr:`share_detected`."""
        return float(np.median(self.onset_delay_s)) if len(self.onset_delay_s) else None

    @property
    def false_alarms_per_min(self):
        """False alarms per minute of rest."""
        return 60 * self.n_false_alarms / self.rest_s if self.rest_s else None


def event_scores(frames, labels, p_run, rate_hz, settings=None):
    """Onset delays and false alarms of one recording, EventScores.

    ``frames``, shape (n,), int: increasing frame numbers; nothing is carried over a jump. ``labels`` (0 rest, 1 run)
    and ``p_run`` (decoded probability), shape (n,): at those frames. False alarms are counted on rest frames outside [t
    - before_s, t + after_s) of *every* step t from rest to run. Raises DataError: no frames, lengths that disagree,
    frame numbers that do not increase, values that are not probabilities; ParameterError: a rate that is not positive,
    or a search window of less than a frame.
    """
    settings = settings or EventSettings()
    labels, p_run = checked_frames(labels, p_run)
    frames = np.asarray(frames)
    if not 0 < rate_hz < float("inf"):
        raise ParameterError("rate_hz", rate_hz, "a positive number of frames per second", "give the imaging rate")
    if len(labels) == 0 or frames.shape != labels.shape:
        raise DataError("frames", f"frame numbers of shape {frames.shape} for labels of shape {labels.shape}",
                        "one frame number a label, one frame at least", "give the three arrays of one trace")
    if frames.dtype.kind not in "iu" or (np.diff(frames.astype(np.int64)) < 1).any():
        raise DataError("frames", "frame numbers that do not increase, or are not whole", "increasing whole numbers",
                        "give one recording at a time, in time order")
    frames = frames.astype(np.int64)
    before, after = settings.frames("before_s", rate_hz), settings.frames("after_s", rate_hz)
    if before + after == 0:
        raise ParameterError("before_s and after_s", f"less than a frame at {rate_hz:g} Hz", "a frame at least",
                             "look for detections longer")
    hold = max(1, settings.frames("hold_s", rate_hz))
    decoded = _steps(frames, p_run > settings.threshold, 1, hold) + hold - 1

    onsets = true_onsets(frames, labels, rate_hz, settings)
    delays = []
    for onset in onsets:
        found = decoded[(decoded >= onset - before) & (decoded < onset + after)]
        if len(found):
            delays.append((found[0] - onset) / rate_hz)

    quiet = labels == 0
    for step in _steps(frames, labels, 1, 1):
        quiet &= ~((frames >= step - before) & (frames < step + after))
    false_alarms = np.isin(decoded, frames[quiet])
    return EventScores(len(onsets), np.array(delays), int(false_alarms.sum()), float(quiet.sum() / rate_hz))


def true_onsets(frames, labels, rate_hz, settings):
    """Frame numbers of the onsets of running, shape (n_onsets,), int; see :class:`EventSettings`."""
    rest, run = (max(1, settings.frames(name, rate_hz)) for name in ("min_rest_s", "min_run_s"))
    return _steps(frames, labels, rest, run)


def pool(scores):
    """EventScores of several recordings as one, such as all sessions of a test animal; DataError if there are none."""
    scores = list(scores)
    if not scores:
        raise DataError("events", "nothing to pool", "one recording at least", "check which fold tests the animal")
    return EventScores(sum(s.n_onsets for s in scores), np.concatenate([s.onset_delay_s for s in scores]),
                       sum(s.n_false_alarms for s in scores), sum(s.rest_s for s in scores))


def by_fold(folds, rate_hz, settings=None):
    """Onset scores of the test recordings of each fold, pooled: a DataFrame with a row a fold that has scores.

    Columns ``model``, ``fold``, ``animal`` (the test group), ``onsets``, ``detected`` (share, 0 to 1), ``delay (s)``
    (median) and ``false alarms a minute``; NaN where undefined. Raises DataError: a fold decoded a speed.
    """
    rows = []
    for fold in folds:
        if not fold.scores:
            continue
        if fold.kind != "binary":
            raise DataError(f"fold {fold.fold}", f"decoded {fold.target}", "decoded probabilities of running",
                            "give folds of decoders of running")
        found = pool(event_scores(*fold.trace(name), rate_hz, settings) for name in fold.recordings)
        rows.append({"model": fold.model, "fold": fold.fold, "animal": fold.test_group, "onsets": found.n_onsets,
                     "detected": found.share_detected, "delay (s)": found.median_delay_s,
                     "false alarms a minute": found.false_alarms_per_min})
    columns = ["model", "fold", "animal", "onsets", *METRICS]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(METRICS, float))


def card_scores(table):
    """Onset scores of :func:`by_fold` for the result card: mean over test animals of each decoder, where defined."""
    by_animal = table.groupby(["model", "animal"], sort=False)[list(METRICS)].mean()
    scores = []
    for model, means in by_animal.groupby("model", sort=False):
        for column, metric in METRICS.items():
            defined = means[column].dropna()
            scores += summarise(model, defined, metric, unit="test animals")[:1] if len(defined) else []
    return scores


def _steps(frames, state, min_off, min_on):
    """Frames where ``state`` goes from 0 to 1, with so many frames of 0 before and of 1 from there on, and no gap."""
    frames, state = np.asarray(frames), np.asarray(state).astype(np.int8)
    found = []
    breaks = np.flatnonzero((np.diff(frames) != 1) | (np.diff(state) != 0)) + 1
    bounds = [0, *breaks, len(frames)]
    for last, here, stop in zip(bounds[:-2], bounds[1:-1], bounds[2:], strict=True):
        rises = state[here] == 1 and state[here - 1] == 0 and frames[here] == frames[here - 1] + 1
        if rises and here - last >= min_off and stop - here >= min_on:
            found.append(frames[here])
    return np.array(found, dtype=np.int64)


def _within(name, value, low, high, remedy):
    if not low <= value <= high or value == float("inf"):
        raise ParameterError(name, value, f"a number from {low:g} to {high:g}", remedy)
