"""Behaviour on clocks of its own, put on the frames of a recording; each way says how far it looks ahead."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from calcium_decoding.data.recording import Recording, in_both, stretches_of
from calcium_decoding.errors import DataError, ParameterError

# How a kind of behaviour gets on frames, the first by default.
WAYS = MappingProxyType({"samples": ("previous", "mean", "linear"), "events": ("count",), "intervals": ("share",)})


@dataclass(frozen=True, eq=False)
class Series:
    """Behaviour on a clock of its own: samples, events, or intervals.

    Parameters
    ----------
    name : str
        What it is, with its unit (``"speed_cm_s"``).
    times_s : array_like, shape (n,)
        When, s: of each sample or event, or when each interval begins. In order.
    values : array_like, shape (n,), optional
        What was measured; without it these are events, or intervals.
    stops_s : array_like, shape (n,), optional
        When each interval ends, s.
    source : str
        For error messages.

    Raises
    ------
    DataError
        Lengths that differ, text, times that are not finite, go back or stand twice, intervals that end before they
        begin.
    """

    name: str
    times_s: np.ndarray
    values: np.ndarray | None = None
    stops_s: np.ndarray | None = None
    source: str = ""

    def __post_init__(self):
        where = f"{self.source + ', ' if self.source else ''}'{self.name}'"
        found = {name: np.array(getattr(self, name)) for name in ("times_s", "values", "stops_s")
                 if getattr(self, name) is not None}
        for name, array in found.items():
            if array.dtype.kind not in "fiub" or array.shape != (len(found["times_s"]),) or not array.size:
                raise DataError(where, f"{name} of shape {array.shape}, {array.dtype}",
                                f"numbers, one for each of {np.size(found['times_s'])} times, at least one",
                                "give one column of numbers and its clock")
            found[name] = array.astype(np.float64)
            if name != "values" and not np.isfinite(found[name]).all():
                raise DataError(where, f"{np.count_nonzero(~np.isfinite(found[name]))} {name} that are not finite",
                                "a time for each row", "leave these rows out")
        if len(found) > 2:
            raise DataError(where, "values and stops_s", "samples or intervals", "give one of them")
        steps = np.diff(found["times_s"])
        wrong = np.flatnonzero(steps <= 0 if "values" in found else steps < 0)
        if len(wrong):
            i, at = wrong[0], found["times_s"]
            raise DataError(where, f"a clock that goes from {at[i]:.6g} to {at[i + 1]:.6g} s in row {i + 1} (from 0), "
                            f"and so {len(wrong)} times", "times in order",
                            "see what restarted the clock, and give each run of it by itself")
        if "stops_s" in found and (found["stops_s"] < found["times_s"]).any():
            raise DataError(where, "an interval that ends before it begins", "stops_s not before times_s",
                            "mend the table")
        for name, array in found.items():
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def kind(self):
        """``"samples"``, ``"events"`` or ``"intervals"``."""
        return "samples" if self.values is not None else "events" if self.stops_s is None else "intervals"


@dataclass(frozen=True, eq=False)
class OnFrames:
    """Behaviour on frames: ``values`` (T,), float64; ``is_known`` (T,), bool; ``reach``, the frames before and after a
    frame that its value was made from, (int, int); ``how`` it was done."""

    values: np.ndarray
    is_known: np.ndarray
    reach: tuple[int, int]
    how: str


def on_frames(series, times_s, rate_hz, how=None, exposure_s=None, longest_gap_s=None):
    """Put a Series on frames that begin at some times.

    Parameters
    ----------
    series : Series
    times_s : ndarray, shape (T,)
        When each frame began, s, on the clock of the series.
    rate_hz : float
        Frames per second.
    how : str, optional
        ``"previous"``: the last sample until the frame began; looks ahead 0 frames. ``"mean"``: of the samples within
        the exposure; 0 frames beyond the frame itself. ``"linear"``: between the samples before and after the frame's
        begin; as many frames ahead as the next sample is away. ``"count"``: of events within the frame. ``"share"``: of
        the frame that intervals cover. The first that suits the kind of series, if left out.
    exposure_s : float, optional
        How long a frame takes in light, for ``"mean"``; until the next frame is due if left out.
    longest_gap_s : float, optional
        Samples are not carried, or joined, over more than this: such frames are not known. 5 median steps of the
        series, or 2 frames if that is longer, if left out; ``math.inf`` for values that were written when they changed.

    Returns
    -------
    OnFrames

    Raises
    ------
    ParameterError
        A way that does not suit the kind of series, or an exposure longer than a frame.
    """
    period = 1 / rate_hz
    how = how or WAYS[series.kind][0]
    if how not in WAYS[series.kind]:
        raise ParameterError("how", f"'{how}' for {series.kind} ('{series.name}')",
                             f"one of {', '.join(WAYS[series.kind])}", "name one of these")
    exposure = period if exposure_s is None else exposure_s
    if not 0 < exposure <= period * 1.01:
        raise ParameterError("exposure_s", f"{exposure:g} s", f"more than 0, at most a frame of {period:.4g} s",
                             "give the exposure of a frame in seconds")
    begin, at = np.asarray(times_s, np.float64), series.times_s
    if series.kind == "events":
        found = np.searchsorted(at, begin + period) - np.searchsorted(at, begin)
        return OnFrames(found.astype(np.float64), np.ones(len(begin), bool), (0, 0), how)
    if series.kind == "intervals":
        covered = _covered(series, begin + period) - _covered(series, begin)
        return OnFrames(np.clip(covered / period, 0, 1), np.ones(len(begin), bool), (0, 0), how)
    step = float(np.median(np.diff(at))) if len(at) > 1 else math.inf
    gap = max(5 * step, 2 * period) if longest_gap_s is None else longest_gap_s
    values, is_finite = series.values, np.isfinite(series.values)
    at, values = at[is_finite], values[is_finite]  # a sample that is NaN is no sample
    if not len(at):
        return OnFrames(np.full(len(begin), np.nan), np.zeros(len(begin), bool), (0, 0), how)
    if how == "mean":
        first, last = np.searchsorted(at, begin), np.searchsorted(at, begin + exposure)
        sums = np.concatenate([[0.0], np.cumsum(values - values[0])])
        n = last - first
        means = (sums[last] - sums[first]) / np.maximum(n, 1) + values[0]
        return OnFrames(np.where(n > 0, means, np.nan), n > 0, (0, 0), how)
    before = np.searchsorted(at, begin, side="right") - 1
    age = begin - at[np.maximum(before, 0)]
    if how == "previous":
        is_known = (before >= 0) & (age <= gap)
        back = math.ceil(age[is_known].max() / period - 1e-9) if is_known.any() else 0
        return OnFrames(np.where(is_known, values[np.maximum(before, 0)], np.nan), is_known, (back, 0), how)
    exact = (before >= 0) & (age == 0)
    after = np.where(exact, before, np.minimum(before + 1, len(at) - 1))
    between = at[after] - at[np.maximum(before, 0)]
    is_known = exact | ((before >= 0) & (before < len(at) - 1) & (between <= gap))
    back, ahead = (math.ceil(x[is_known].max() / period - 1e-9) if is_known.any() else 0
                   for x in (age, at[after] - begin))
    return OnFrames(np.where(is_known, np.interp(begin, at, values), np.nan), is_known, (back, ahead), how)


def _covered(series, times):
    """Seconds that intervals have covered until some times; overlapping intervals count once."""
    stops = np.maximum.accumulate(series.stops_s)
    starts = np.maximum(series.times_s, np.concatenate([[-np.inf], stops[:-1]]))
    stops = np.maximum(stops, starts)
    total = np.concatenate([[0.0], np.cumsum(stops - starts)])
    i = np.searchsorted(starts, times, side="right")
    return total[i] - np.where(i > 0, np.maximum(stops[np.maximum(i - 1, 0)] - times, 0), 0)


def with_behaviour(recording, *series, how=None, exposure_s=None, longest_gap_s=None, offset_s=0.0):
    """A recording with behaviour of other clocks put on its frames; frames where one is not known are no longer used.

    ``series``: each a Series. ``how``: of all of them, or a dict by name; the rest as of :func:`on_frames`.
    ``offset_s``: what has to be added to the clock of the series to get that of the frames. Frames begin at the
    recording's ``times_s``, or at 0, 1 / rate ... if it has none. Notes say what was done and how many frames it cost.
    Raises DataError: no frame at which all are known, with both clocks' ranges, or a name that the recording has.
    """
    times = frame_times(recording)
    behaviour, reach, notes = dict(recording.behaviour), dict(recording.reach), list(recording.notes)
    stretches = recording.stretches
    for one in series:
        if one.name in behaviour:
            raise DataError(recording.id, f"behaviour '{one.name}' twice", "one behaviour a name", "rename one of them")
        way = how.get(one.name) if isinstance(how, Mapping) else how
        found = on_frames(one, times - offset_s, recording.rate_hz, way, exposure_s, longest_gap_s)
        stretches = in_both(stretches, stretches_of(found.is_known))
        lost = np.count_nonzero(~found.is_known)
        if not stretches:
            raise DataError(f"{recording.id}, '{one.name}'", f"times from {one.times_s[0] + offset_s:.6g} to "
                            f"{one.times_s[-1] + offset_s:.6g} s for frames from {times[0]:.6g} to {times[-1]:.6g} s",
                            "clocks that overlap", "give the offset between the clocks (offset_s)")
        behaviour[one.name], reach[one.name] = found.values, found.reach
        notes.append(f"{one.name}: {found.how}, looks ahead {found.reach[1]} frames"
                     + (f"; not known at {lost} of {len(times)} frames, which are masked" if lost else ""))
    return replace(recording, behaviour=behaviour, reach=reach, stretches=stretches, notes=tuple(notes))


def frame_times(recording: Recording):
    """When each frame began, s, shape (T,): as the recording says, or evenly from 0."""
    return np.arange(recording.n_frames) / recording.rate_hz if recording.times_s is None else recording.times_s
