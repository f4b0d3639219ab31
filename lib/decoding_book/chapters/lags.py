"""Chapter 11: does activity lead or follow behaviour? Where a label-shift curve peaks, and where the indicator puts it.

A fluorescent indicator is late and smears, so activity in step with behaviour looks as if it followed. The delay that
behaviour seen through the indicator has by itself is therefore taken off. Positive lag: activity follows behaviour.
"""

import numpy as np
import pandas as pd
from scipy.interpolate import CubicSpline

from calcium_decoding.errors import DataError
from calcium_decoding.evaluation import cards, statistics
from calcium_decoding.experiments import compare
from calcium_decoding.plotting import comparisons
from calcium_decoding.plotting.style import DECODED, NULL_COLOUR, RUN, SIGNAL, simulated_mark
from calcium_decoding.simulation import widefield
from calcium_decoding.simulation.signals import indicator_kernel
from decoding_book.chapters import timing


def behaviour_correlation(recordings, shifts_frames, kernel=(1.0,)):
    """Correlation of running, seen through a kernel, with running that is shifted: all a curve shows without a brain.

    ``recordings`` (sequence of Recording): of one animal; frames are pooled over them. ``shifts_frames`` (sequence of
    int): positive: later behaviour. ``kernel`` (array_like, shape (n,)): see :func:`indicator_kernel`; if left out, the
    autocorrelation of running. Returns ndarray, shape (n_shifts,): Pearson correlation of ``(run * kernel)[t]`` with
    ``run[t + shift]``, over t for which both exist. Raises DataError: recordings not longer than the shifts, or in
    which running does not change.
    """
    runs = [recording.run.astype(float) for recording in recordings]
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
    """Where a curve has its maximum, by a cubic spline through its points; None if that is at an end.

    ``x``, ``y`` (array_like, shape (n,)): at least four points, ``x`` rising.
    """
    spline = CubicSpline(x, y)
    inside = spline.derivative().roots(extrapolate=False)
    inside = inside[np.isfinite(inside)]
    if not len(inside) or spline(inside).max() <= max(y[0], y[-1]):
        return None
    return float(inside[spline(inside).argmax()])


def worlds(seed, sessions_per_animal=3, frames_per_session=3000):
    """Simulated data sets with one simulated lag for all areas, in memory: ``lead`` by 0.5 s, and ``lag``.

    Returns dict of str to Dataset: by world. Behaviour is the same in both.
    """
    return {world: widefield.dataset(_settings(world, sessions_per_animal=sessions_per_animal, seed=seed,
                                               frames_per_session=frames_per_session)) for world in ("lead", "lag")}


def planted_lag_s(world):
    """Lag simulated in a world with one lag for all areas, seconds; negative: the brain leads."""
    return float(widefield.informative_areas(_settings(world))["lag_s"][0])


def _settings(world, **settings):
    return widefield.SimulationSettings(world=world, **settings)


def curves(plan, datasets, shifts_frames, store=None, jobs=None, n_folds=0, model="logistic"):
    """Label-shift curves of a decoder that sees one frame, on several data sets; all missing folds in one run.

    A window would blur the curve by its own length. A decoder of one frame cannot undo the indicator's delay either.

    ``plan``: as in :mod:`decoding_book.chapters.timing`. ``datasets``: dict of str to Dataset. ``shifts_frames``:
    sequence of int. ``store``, ``jobs``, ``n_folds``: as elsewhere. ``model``: a decoder of the labelled frame. Returns
    dict of str to list of ConditionResult: by name of the data set, in the order of the shifts.
    """
    planned = [condition for name, dataset in datasets.items() for condition in
               timing.label_shifts(plan, 0, 0, shifts_frames, model, f"{name} ", dataset=dataset, n_folds=n_folds)]
    found = compare.run(planned, store, jobs, "lag curves")
    n = len(shifts_frames)
    return {name: found[i * n:(i + 1) * n] for i, name in enumerate(datasets)}


def peaks(found, metric="auc"):
    """Where the label-shift curve of each test animal peaks, and where behaviour through the indicator alone does.

    ``found`` (sequence of ConditionResult): one a shift, with the shift in seconds as ``value``. Returns
    pandas.DataFrame: a row a test group (an animal): ``animal``, ``peak_s``, ``indicator_s`` and ``lag_s``, their
    difference ``indicator_s - peak_s``. Groups whose curve has no score at some shift, or peaks at an end, are left
    out.
    """
    found = sorted(found, key=lambda result: result.condition.value)
    shifts_s = [result.condition.value for result in found]
    experiment = found[0].condition.experiment
    rate_hz = experiment.recipe["rate_hz"]
    frames = np.arange(round(shifts_s[0] * rate_hz), round(shifts_s[-1] * rate_hz) + 1)
    scores = [result.by_animal(metric) for result in found]
    rows = []
    for group in scores[0]:
        if not all(group in score for score in scores):
            continue
        alone = behaviour_correlation(recordings_of(found[0], group), frames, indicator_kernel(rate_hz))
        row = {"animal": group, "peak_s": peak(shifts_s, [score[group] for score in scores]),
               "indicator_s": peak(frames / rate_hz, alone)}
        if row["peak_s"] is not None and row["indicator_s"] is not None:
            rows.append(row | {"lag_s": row["indicator_s"] - row["peak_s"]})
    return pd.DataFrame(rows, columns=["animal", "peak_s", "indicator_s", "lag_s"])


def recordings_of(result, group):
    """Recordings on which a condition's folds test a group (an animal), in the order of the data set."""
    tested = {name for fold in result.folds if fold.test_group == group for name in fold.recordings}
    return [r for r in result.condition.experiment.dataset.recordings if r.id in tested]


def table(by_dataset, planted=None, metric="auc"):
    """Lags with intervals over animals, and the ground truth: a row a data set.

    ``by_dataset`` (dict of str to list of ConditionResult): of :func:`curves`. ``planted`` (dict of str to float):
    simulated lag by name of the data set, seconds. Where two sets have one, a last row gives the difference between the
    first and the second, from which the indicator's delay cancels. Returns a DataFrame: ``data``, ``animals``,
    ``peak (s)``, ``indicator alone (s)``, ``lag (s)``, its 95 % t interval ``low`` and ``high``, ``planted (s)`` and
    ``error (s)``. None where there are fewer than two animals or nothing is simulated.
    """
    planted = planted or {}
    rows, found = [], {}
    for name, conditions_run in by_dataset.items():
        found[name] = peaks(conditions_run, metric).set_index("animal")
        of = found[name]
        row = {"data": name, "animals": len(of), "peak (s)": of["peak_s"].mean() if len(of) else None,
               "indicator alone (s)": of["indicator_s"].mean() if len(of) else None}
        rows.append(row | _estimate(of["lag_s"], planted.get(name)))
    if len(planted) == 2:
        first, second = planted
        apart = (found[second]["lag_s"] - found[first]["lag_s"]).dropna()
        rows.append({"data": f"{second} less {first}", "animals": len(apart)}
                    | _estimate(apart, planted[second] - planted[first]))
    columns = ["data", "animals", "peak (s)", "indicator alone (s)", "lag (s)", "low", "high", "planted (s)",
               "error (s)"]
    return pd.DataFrame(rows, columns=columns)


def card_scores(by_dataset, metric="auc"):
    """Mean lag over animals of each data set, seconds, for the result card; data sets with no such lag have none."""
    scores = []
    for name, found in by_dataset.items():
        lags_s = peaks(found, metric)["lag_s"]
        if len(lags_s):
            scores += cards.summarise(name, lags_s, "lag (s)", unit="animals")[:1]
    return scores


def _estimate(lags_s, planted_s):
    if len(lags_s) < 2:
        return {"lag (s)": None, "low": None, "high": None, "planted (s)": planted_s, "error (s)": None}
    interval = statistics.t_interval(lags_s)
    error = None if planted_s is None else interval.estimate - planted_s
    return {"lag (s)": interval.estimate, "low": interval.low, "high": interval.high, "planted (s)": planted_s,
            "error (s)": error}


def behaviour_alone(found, most_s, ax, simulated=False):
    """Correlation of running with shifted running, itself and seen through the indicator: thin lines are test animals.

    ``found``: says which recordings test which animal. ``most_s``: largest shift, seconds. ``simulated``: mark the
    panel as simulated.
    """
    rate_hz = found.condition.experiment.recipe["rate_hz"]
    frames = np.arange(-round(most_s * rate_hz), round(most_s * rate_hz) + 1)
    kernels = {"running with itself": (NULL_COLOUR, (1.0,)),
               "through the indicator": (RUN, indicator_kernel(rate_hz))}
    for label, (colour, kernel) in kernels.items():
        rows = np.array([behaviour_correlation(recordings_of(found, group), frames, kernel)
                         for group in found.by_animal()])
        ax.plot(frames / rate_hz, rows.T, color=colour, lw=0.6, alpha=0.6)
        ax.plot(frames / rate_hz, rows.mean(axis=0), color=colour, lw=2.2, label=label)
    ax.axvline(0, color=NULL_COLOUR, ls=":", lw=1)
    ax.set(xlabel="label shift (s)", ylabel="correlation with running (r)")
    ax.legend(fontsize=8, loc="lower center")
    return simulated_mark(ax, simulated)


def lag_curve(found, ax, planted_s=None, simulated=False):
    """A label-shift curve with its peak, and where the indicator and a simulated lag would put that.

    ``found`` (sequence of ConditionResult): one a shift; see :func:`decoding_book.chapters.lags.curves`. ``planted_s``:
    simulated lag, seconds, if there is one. ``simulated``: mark the panel as simulated.
    """
    place = ax.get_subplotspec()
    lowest = place is None or place.is_last_row()
    comparisons.curve(found, ax, "label shift (s)" if lowest else "", simulated=simulated)
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
    comparisons.legend_beside(ax)
    return ax
