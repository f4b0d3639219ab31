"""Prediction intervals of a decoded speed: split conformal, within one animal and from one animal to another.

The nominal rate holds if new frames could as well have been among the calibrating ones, so coverage on test frames is
measured. Vovk, Gammerman, Shafer 2005, DOI 10.1007/b106715; Lei et al. 2018, DOI 10.1080/01621459.2017.1307116.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation.metrics import checked_speeds

# Of a split across animals the validation frames are another animal's, else they are earlier or later frames.
ACROSS, WITHIN = "validation frames", "earlier test frames"
SCORES = {"absolute": "one width for all frames", "scaled": "width grows with the decoded speed"}


def quantile(scores, level):
    """The ``ceil((n + 1) level)``-th smallest of ``scores`` (n,), sizes of errors of 0 or more.

    Of n + 1 exchangeable scores without ties the last is at most this with a probability of ``level`` at least. Raises
    DataError: so few scores that no finite interval has this coverage, or values that are negative or not finite;
    ParameterError: ``level`` not between 0 and 1.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if not 0 < level < 1:
        raise ParameterError("level", level, "a number between 0 and 1", "0.9 is usual")
    if scores.ndim != 1 or not np.isfinite(scores).all() or (scores < 0).any():
        raise DataError("calibration scores", f"shape {scores.shape}, with values negative or not finite"
                        if scores.ndim == 1 else f"shape {scores.shape}", "sizes of errors, shape (n,), 0 or more",
                        "calibrate on a fold that has scores")
    # The small number undoes rounding, such as 10 * 0.9 = 9.000000000000002, which would take the next score.
    rank = math.ceil((len(scores) + 1) * level - 1e-9)
    if rank > len(scores):
        raise DataError("calibration scores", f"{len(scores)} for coverage {level:g}",
                        f"{math.ceil(level / (1 - level) - 1e-9)} or more", "calibrate on more frames, or ask for less")
    return float(np.partition(scores, rank - 1)[rank - 1])


@dataclass(frozen=True)
class Band:
    """Prediction intervals: decoded speed plus and minus ``quantile``, times a size if scaled. ``offset``: of scaled
    scores, the size of the error expected at speed 0. ``least``: what no true value is below, such as 0 for a speed."""

    level: float
    quantile: float
    offset: float | None = None
    least: float = 0.0

    def around(self, predicted):
        """Lower and upper end at each decoded speed, two of shape (n,), neither below ``least``."""
        half = self.quantile * _size(predicted, self.offset)
        return np.maximum(predicted - half, self.least), np.maximum(predicted + half, self.least)

    def covers(self, speed, predicted):
        """Which true speeds lie within, shape (n,), bool."""
        low, high = self.around(np.asarray(predicted, dtype=np.float64))
        return (low <= speed) & (speed <= high)


def calibrate(speed, predicted, level, score="absolute"):
    """Band from frames whose speed is known and that did not train the decoder, cut at 0 unless a speed lies below.

    ``speed``, ``predicted``, shape (n,): true and decoded, in one unit. ``level``: nominal coverage, between 0 and 1.
    ``score``: ``"absolute"``: ``|error|``; or ``"scaled"``: over (decoded speed, at least 0, plus the mean absolute
    error of these frames). Raises DataError: too few frames, values that are not finite, shapes that disagree;
    ParameterError: unknown score, or ``level`` out of range.
    """
    if score not in SCORES:
        raise ParameterError("score", repr(score), f"one of {', '.join(SCORES)}", "name one of these")
    speed, predicted = checked_speeds(speed, predicted)
    errors = np.abs(speed - predicted)
    # A decoder without any error has intervals of width 0, whatever their size is divided by.
    offset = None if score == "absolute" else float(errors.mean()) or 1.0 if len(errors) else 1.0
    bound = quantile(errors / _size(predicted, offset), level)
    return Band(level, bound, offset, 0.0 if speed.min() >= 0 else -math.inf)


def _size(predicted, offset):
    predicted = np.asarray(predicted, dtype=np.float64)
    return np.ones_like(predicted) if offset is None else offset + np.maximum(predicted, 0.0)


def halves(fold, gap_frames):
    """Test windows of a fold that calibrate and test windows that are then covered or not, as two bool arrays: the
    earlier and the later half of the test recordings, or of a single one, then with ``gap_frames`` between them that
    belong to neither. Raises DataError: a half holds no window."""
    n = len(fold.recordings)
    if n > 1:
        first = fold.recording < n // 2
        last = ~first
    else:
        middle = (fold.centre.min() + fold.centre.max()) / 2
        first, last = fold.centre < middle - gap_frames / 2, fold.centre > middle + gap_frames / 2
    if not (first.any() and last.any()):
        raise DataError(f"fold {fold.fold}", f"{len(fold.centre)} test windows with a gap of {gap_frames} frames",
                        "windows on either side of the gap", "test on longer recordings, or narrow the gap")
    return first, last


def calibrations(fold, level, gap_frames, score="absolute"):
    """Both ways of calibrating one fold: :data:`ACROSS` or :data:`WITHIN`, :class:`Band`, test windows to cover
    (bool)."""
    first, last = halves(fold, gap_frames)
    across = calibrate(fold.valid_labels, fold.valid_predicted, level, score)
    within = calibrate(fold.labels[first], fold.predicted[first], level, score)
    return [(ACROSS, across, np.ones(len(fold.labels), bool)), (WITHIN, within, last)]


def coverage(folds, levels, gap_frames):
    """How often the truth lies in the intervals: a DataFrame with a row a fold, way of calibrating, score and level,
    and which folds cannot be calibrated, and why, a list of str.

    ``folds``: FoldResults of one decoder of a speed; those without scores have no row. ``levels``: nominal coverages.
    ``gap_frames``: see :func:`halves`. Columns ``fold``, ``tested_on``, ``simulated``, ``calibrated_on``, ``score``,
    ``level``, ``coverage`` (share of frames, 0 to 1), ``running`` and ``rest`` (over frames of either kind; None where
    there are none or no run label) and ``width`` (mean, unit of the speed).
    """
    rows, notes = [], []
    for fold in (fold for fold in folds if fold.scores):
        try:
            rows += [row for level in levels for score in SCORES for row in _measured(fold, level, gap_frames, score)]
        except DataError as error:
            notes.append(f"{fold.fold}: {error.where}, {error.found}")
    return pd.DataFrame(rows, columns=["fold", "tested_on", "simulated", "calibrated_on", "score", "level", "coverage",
                                       "running", "rest", "width"]), notes


def _measured(fold, level, gap_frames, score):
    for way, band, which in calibrations(fold, level, gap_frames, score):
        low, high = band.around(fold.predicted[which])
        inside = band.covers(fold.labels[which], fold.predicted[which])
        running = fold.running[which] if len(fold.running) else np.full(len(inside), 2)
        by_kind = [float(inside[running == kind].mean()) if (running == kind).any() else None for kind in (1, 0)]
        yield (fold.fold, fold.test_group, fold.simulated, way, score, level, float(inside.mean()), *by_kind,
               float(np.mean(high - low)))


def coverage_table(table, level):
    """Coverage at one level, for a page: a row a way of calibrating and score; means over test groups (animals), and
    the extremes, in percent."""
    rows = []
    for (way, score), mine in table[np.isclose(table["level"], level)].groupby(["calibrated_on", "score"], sort=False):
        groups = mine.groupby("tested_on", sort=False)["coverage"].mean() * 100
        kinds = {kind: mine[kind].dropna().astype(float) * 100 for kind in ("running", "rest")}
        rows.append({"calibrated on": way, "score": score, "nominal_percent": 100 * level,
                     "mean_percent": groups.mean(), "least": f"{groups.min():.1f} ({groups.idxmin()})",
                     "greatest": f"{groups.max():.1f} ({groups.idxmax()})",
                     **{kind: f"{values.mean():.1f}" if len(values) else "none" for kind, values in kinds.items()},
                     "mean width": mine["width"].mean()})
    return pd.DataFrame(rows)
