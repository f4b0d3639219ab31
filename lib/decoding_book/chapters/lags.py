"""Chapter 11: how far a decoder looks ahead, and whether activity leads or follows behaviour (positive lag: follows).

Figs 5B and 5C of Ajioka et al. 2024, DOI 10.1371/journal.pcbi.1011074. An indicator is late, so that activity in step
with behaviour seems to follow it: the delay of behaviour seen through the indicator alone is taken off.
"""

import math

import numpy as np
import pandas as pd
from scipy.interpolate import CubicSpline

from calcium_decoding.errors import DataError
from calcium_decoding.experiments import compare
from calcium_decoding.simulation.signals import indicator_kernel


def look_ahead_table(found):
    """:func:`calcium_decoding.experiments.compare.table` with frames and look-ahead of window, filter and both, ms; the
    window's is counted from the labelled frame."""
    rows = []
    for result in found:
        experiment = result.condition.experiment
        spec, ms = experiment.spec, 1000 / experiment.recipe["rate_hz"]
        window = (spec.future_frames - spec.label_shift_frames) * ms
        steps = experiment.input.pipeline().look_ahead_frames * ms
        rows.append((spec.length, _ms(window), _ms(steps), _ms(window + steps)))
    looks = pd.DataFrame(rows, columns=["frames", "ahead by window (ms)", "by filter (ms)", "in total (ms)"])
    table = compare.table(found)
    return pd.concat([table[["condition"]], looks, table.drop(columns="condition")], axis=1)


def _ms(look_ahead):
    return "whole session" if math.isinf(look_ahead) else f"{look_ahead:.0f}"


def behaviour_correlation(recordings, shifts_frames, kernel=(1.0,), target="run"):
    """Pearson's r of ``(run * kernel)[t]`` with ``run[t + shift]`` for each shift, over all t: all a curve shows
    without a brain. DataError: recordings not longer than the shifts, or running that does not change."""
    runs = [recording.behaviour[target].astype(float) for recording in recordings]
    seen = [np.convolve(run, kernel)[: len(run)] for run in runs]
    values = []
    for shift in shifts_frames:
        pair = np.array([np.concatenate([x[max(0, -shift) : max(0, len(x) - max(0, shift))] for x in seen]),
                         np.concatenate([x[max(0, shift) : max(0, len(x) + min(0, shift))] for x in runs])])
        if pair.shape[1] < 2 or (np.ptp(pair, axis=1) == 0).any():
            raise DataError(", ".join(r.id for r in recordings[:3]), f"no change of running, shifted by {shift} frames",
                            "running and rest in recordings longer than the shift", "shift less, or use other data")
        values.append(np.corrcoef(pair)[0, 1])
    return np.array(values)


def peak(x, y):
    """Where a curve of at least four points has its maximum, by a cubic spline; None if that is at an end."""
    spline = CubicSpline(x, y)
    inside = spline.derivative().roots(extrapolate=False)
    inside = inside[np.isfinite(inside)]
    if not len(inside) or spline(inside).max() <= max(y[0], y[-1]):
        return None
    return float(inside[spline(inside).argmax()])


def peaks(found):
    """Where the label-shift curve of each test animal peaks (``peak_s``), where behaviour through the indicator does
    (``indicator_s``), and ``lag_s``, the latter less the former: a row an animal. ``found``: conditions whose ``value``
    is the label shift, s. Animals without a score at some shift, or with a peak at an end, are left out."""
    experiment = found[0].condition.experiment
    rate_hz = experiment.recipe["rate_hz"]
    scores = pd.DataFrame({result.condition.value: result.by_animal() for result in found})
    scores = scores.sort_index(axis="columns").dropna()
    shifts_s = scores.columns.to_numpy()
    frames = np.arange(round(shifts_s[0] * rate_hz), round(shifts_s[-1] * rate_hz) + 1)
    rows = {}
    for animal, mine in scores.iterrows():
        alone = behaviour_correlation(recordings_of(found[0], animal), frames, indicator_kernel(rate_hz),
                                      experiment.task.name)
        rows[animal] = peak(shifts_s, mine.to_numpy()), peak(frames / rate_hz, alone)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["peak_s", "indicator_s"], dtype=float).dropna()
    return table.assign(lag_s=table["indicator_s"] - table["peak_s"])


def recordings_of(result, group):
    """Recordings on which a condition's folds test a group (an animal), in the order of the data set."""
    tested = {name for fold in result.folds if fold.test_group == group for name in fold.recordings}
    return [r for r in result.condition.experiment.dataset.recordings if r.id in tested]
