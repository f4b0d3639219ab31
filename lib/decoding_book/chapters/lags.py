"""Chapter 11: which frames a decoder sees, and whether activity leads or follows behaviour (positive lag: it follows).

Figs 5B and 5C of Ajioka et al. 2024, DOI 10.1371/journal.pcbi.1011074. An indicator is late, so that activity in step
with behaviour seems to follow it: the delay of behaviour seen through the indicator alone is taken off.
"""

import math

import numpy as np
import pandas as pd
from scipy.interpolate import CubicSpline

from calcium_decoding.data import published
from calcium_decoding.errors import DataError
from calcium_decoding.evaluation import cards, statistics
from calcium_decoding.experiments import compare
from calcium_decoding.plotting import comparisons
from calcium_decoding.plotting.style import DECODED, NULL_COLOUR, RUN, SIGNAL, legend_beside, simulated_mark
from calcium_decoding.preprocessing.windows import WindowSpec
from calcium_decoding.simulation import widefield
from calcium_decoding.simulation.signals import indicator_kernel

STUDY_RATE_HZ = 30.0


def published_lengths(experiments, model):
    """Keys of the published tables for experiments with centred windows, by their labels; only those that are there."""
    if model != "gru":
        return {}
    keys = {label: ("roi_rnn_window_length", "GRU", f"half_window_{one.spec.past_frames}_frames")
            for label, one in experiments.items() if one.recipe["rate_hz"] == STUDY_RATE_HZ}
    return {label: key for label, key in keys.items() if len(published.per_fold(*key))}


def look_ahead_ms(experiment):
    """What the window, from the labelled frame, and the preprocessing of an experiment look ahead, ms."""
    spec, ms = experiment.spec, 1000 / experiment.recipe["rate_hz"]
    return (spec.future_frames - spec.label_shift_frames) * ms, experiment.input.pipeline().look_ahead_frames * ms


def look_ahead_table(found):
    """:func:`calcium_decoding.experiments.compare.table` with frames and look-ahead of window, filter and both."""
    table = compare.table(found)
    looks = [look_ahead_ms(result.condition.experiment) for result in found]
    columns = {"frames": [result.condition.experiment.spec.length for result in found],
               "window (ms)": [_ms(window) for window, _ in looks],
               "filter (ms)": [_ms(steps) for _, steps in looks],
               "total (ms)": [_ms(window + steps) for window, steps in looks]}
    return pd.concat([table[["condition"]], pd.DataFrame(columns), table.drop(columns="condition")], axis=1)


def _ms(look_ahead):
    return "whole session" if math.isinf(look_ahead) else f"{look_ahead:.0f}"


def label_shifts(plan, past_frames, future_frames, shifts_frames, model, prefix="", **options):
    """Conditions with one window and earlier and later labels, that of frame t + shift; ``value`` is the shift, s.

    ``plan(spec=..., **options)`` makes an Experiment. Only frames t count whose window and label both lie in the
    recording.
    """
    planned = []
    for shift in shifts_frames:
        experiment = plan(spec=WindowSpec(past_frames, future_frames, label_shift_frames=shift), say=False, **options)
        shift_s = shift / experiment.recipe["rate_hz"]
        name = prefix + (f"{shift_s:+.2f} s" if shift else "0 s")
        planned.append(compare.Condition(name, experiment, model, shift_s))
    return planned


def behaviour_correlation(recordings, shifts_frames, kernel=(1.0,), target="run"):
    """Correlation of running, seen through a kernel, with running that is shifted: all a curve shows without a brain.

    Returns for each shift Pearson's r of ``(run * kernel)[t]`` with ``run[t + shift]`` over all t of all recordings.
    Raises DataError: recordings not longer than the shifts, or in which running does not change.
    """
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


def worlds(seed, sessions_per_animal=3, frames_per_session=3000):
    """Simulated data sets in which all areas ``lead`` by 0.5 s, or ``lag``, by name; behaviour is the same in both."""
    return {world: widefield.dataset(widefield.SimulationSettings(
        world=world, sessions_per_animal=sessions_per_animal, seed=seed, frames_per_session=frames_per_session))
        for world in ("lead", "lag")}


def planted_lag_s(world):
    """Lag simulated in a world with one lag for all areas, seconds; negative: the brain leads."""
    return float(widefield.informative_areas(widefield.SimulationSettings(world=world))["lag_s"][0])


def curves(plan, datasets, shifts_frames, store=None, jobs=None, n_folds=0):
    """Label-shift curves of logistic regression on one frame, lists of ConditionResult by name of the data set.

    A window would blur the curve by its own length. A decoder of one frame cannot undo the indicator's delay either.
    """
    planned = [condition for name, dataset in datasets.items() for condition in
               label_shifts(plan, 0, 0, shifts_frames, "logistic", f"{name} ", dataset=dataset, n_folds=n_folds)]
    found = compare.run(planned, store, jobs, "lag curves")
    n = len(shifts_frames)
    return {name: found[i * n:(i + 1) * n] for i, name in enumerate(datasets)}


def peaks(found):
    """Where the label-shift curve of each test animal peaks, where behaviour through the indicator does, and the lag.

    The lag is ``indicator_s - peak_s``. Animals whose curve has no score at some shift, or peaks at an end, are left
    out.
    """
    found = sorted(found, key=lambda result: result.condition.value)
    shifts_s = [result.condition.value for result in found]
    experiment = found[0].condition.experiment
    rate_hz = experiment.recipe["rate_hz"]
    frames = np.arange(round(shifts_s[0] * rate_hz), round(shifts_s[-1] * rate_hz) + 1)
    scores = [result.by_animal() for result in found]
    rows = []
    for group in scores[0]:
        if not all(group in score for score in scores):
            continue
        alone = behaviour_correlation(recordings_of(found[0], group), frames, indicator_kernel(rate_hz),
                                      experiment.task.name)
        row = {"animal": group, "peak_s": peak(shifts_s, [score[group] for score in scores]),
               "indicator_s": peak(frames / rate_hz, alone)}
        if row["peak_s"] is not None and row["indicator_s"] is not None:
            rows.append(row | {"lag_s": row["indicator_s"] - row["peak_s"]})
    return pd.DataFrame(rows, columns=["animal", "peak_s", "indicator_s", "lag_s"])


def recordings_of(result, group):
    """Recordings on which a condition's folds test a group (an animal), in the order of the data set."""
    tested = {name for fold in result.folds if fold.test_group == group for name in fold.recordings}
    return [r for r in result.condition.experiment.dataset.recordings if r.id in tested]


def table(by_dataset, planted=None):
    """Lags with 95 % t intervals over animals beside the simulated ones, seconds, a row a data set.

    Where two data sets have a ``planted`` lag, a last row gives their difference, from which the indicator's delay
    cancels.
    """
    planted, columns = planted or {}, {"peak (s)": "peak_s", "indicator alone (s)": "indicator_s"}
    found = {name: peaks(results).set_index("animal").astype(float) for name, results in by_dataset.items()}
    rows = [{"data": name, "animals": len(mine), **{column: mine[key].mean() for column, key in columns.items()},
             **_estimate(mine["lag_s"], planted.get(name))} for name, mine in found.items()]
    if len(planted) == 2:
        first, second = planted
        apart = (found[second]["lag_s"] - found[first]["lag_s"]).dropna()
        rows.append({"data": f"{second} less {first}", "animals": len(apart)}
                    | _estimate(apart, planted[second] - planted[first]))
    return pd.DataFrame(rows, columns=["data", "animals", *columns, "lag (s)", "low", "high", "planted (s)",
                                       "error (s)"])


def card_scores(by_dataset):
    """Mean lag over animals of each data set, seconds, for the result card; data sets with no such lag have none."""
    scores = []
    for name, found in by_dataset.items():
        lags_s = peaks(found)["lag_s"]
        if len(lags_s):
            scores += cards.summarise(name, lags_s, "lag (s)", unit="animals")[:1]
    return scores


def _estimate(lags_s, planted_s):
    if len(lags_s) < 2:
        return {"planted (s)": planted_s}
    interval = statistics.t_interval(lags_s)
    error = None if planted_s is None else interval.estimate - planted_s
    return {"lag (s)": interval.estimate, "low": interval.low, "high": interval.high, "planted (s)": planted_s,
            "error (s)": error}


def behaviour_alone(found, most_s, ax):
    """Correlation of running with shifted running, itself and through the indicator: thin lines are test animals."""
    experiment = found.condition.experiment
    rate_hz, target = experiment.recipe["rate_hz"], experiment.task.name
    what = "running" if target == "run" else target
    frames = np.arange(-round(most_s * rate_hz), round(most_s * rate_hz) + 1)
    kernels = {f"{what} with itself": (NULL_COLOUR, (1.0,)),
               "through the indicator": (RUN, indicator_kernel(rate_hz))}
    for label, (colour, kernel) in kernels.items():
        rows = np.array([behaviour_correlation(recordings_of(found, group), frames, kernel, target)
                         for group in found.by_animal()])
        ax.plot(frames / rate_hz, rows.T, color=colour, lw=0.6, alpha=0.6)
        ax.plot(frames / rate_hz, rows.mean(axis=0), color=colour, lw=2.2, label=label)
    ax.axvline(0, color=NULL_COLOUR, ls=":", lw=1)
    ax.set(xlabel="label shift (s)", ylabel=f"correlation with {what} (r)")
    ax.legend(fontsize=8, loc="lower center")
    return simulated_mark(ax, found)


def lag_curve(found, ax, planted_s=None):
    """A label-shift curve with its peak, and where the indicator and a simulated lag would put that."""
    comparisons.curve(found, ax, "label shift (s)" if ax.get_subplotspec().is_last_row() else "")
    estimates = peaks(found)
    if len(estimates):
        alone = estimates["indicator_s"].mean()
        ax.axvline(alone, color=RUN, lw=1.5, ls="--", label="indicator alone")
        if planted_s is not None:
            ax.axvline(alone - planted_s, color=SIGNAL, lw=1.5, ls=":", label="indicator and planted lag")
        low, high = ax.get_ylim()
        height = low + 0.03 * (high - low)
        ax.plot(estimates["peak_s"], np.full(len(estimates), height), "^", color=DECODED, ms=7, alpha=0.7,
                label="peak of an animal")
    legend_beside(ax)
    return ax
