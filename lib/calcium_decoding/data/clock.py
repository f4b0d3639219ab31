"""Clocks: behaviour on clocks of its own, and frames on theirs; each way says how far it looks ahead."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from calcium_decoding.data.recording import Recording, in_both, stretches_of
from calcium_decoding.errors import DataError, ParameterError

# How a kind of behaviour gets on frames, the first by default.
WAYS = MappingProxyType({"samples": ("previous", "mean", "linear"), "events": ("count",),
                         "intervals": ("share", "most")})
GAP_STEPS = 5  # a clock that stands still for more of its own steps has a gap
LATE_FRAMES = 0.5  # a step between frames that is off by so much of a frame is a fault
MOST_RATE_ERROR = 0.01
NOTE = "clock: "  # how notes about clocks begin, for those who collect them
BORDER = 1e-4  # of a frame: what lies so close before a frame's begin is taken to be at it, for times that were rounded


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
        What was measured; NaN where it was not. Without it these are events, or intervals, and n may be 0: an animal
        that never licked.
    stops_s : array_like, shape (n,), optional
        When each interval ends, s.
    source : str
        For error messages.
    span_s : (float, float), optional
        From when to when somebody watched, s; outside, nothing is known. Events and intervals do not say it themselves.
    reach_s : (float, float)
        Seconds before and after its time that a value was made from, if it was smoothed.

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
    span_s: tuple[float, float] | None = None
    reach_s: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self):
        where = self.where
        found = {name: np.array(getattr(self, name)) for name in ("times_s", "values", "stops_s")
                 if getattr(self, name) is not None}
        if len(found) > 2:
            raise DataError(where, "values and stops_s", "samples or intervals", "give one of them")
        least = 1 if "values" in found else 0
        for name, array in found.items():
            if array.dtype.kind not in "fiub" or array.shape != (len(np.ravel(found["times_s"])),) \
                    or len(array) < least:
                raise DataError(where, f"{name} of shape {array.shape}, {array.dtype}",
                                f"numbers, one for each of {np.size(found['times_s'])} times"
                                + ", at least one" * least, "give one column of numbers and its clock")
            found[name] = array.astype(np.float64)
            if name != "values" and not np.isfinite(found[name]).all():
                raise DataError(where, f"{np.count_nonzero(~np.isfinite(found[name]))} {name} that are not finite",
                                "a time for each row", "leave these rows out")
        steps = np.diff(found["times_s"])
        wrong = np.flatnonzero(steps <= 0 if "values" in found else steps < 0)
        if len(wrong):
            i, at = wrong[0], found["times_s"]
            raise DataError(where, f"a clock that goes from {at[i]:.6g} to {at[i + 1]:.6g} s in row {i + 1} (from 0), "
                            f"and so {len(wrong)} times", "times in order",
                            "see what restarted the clock, and give each run of it by itself")
        if "stops_s" in found and (found["stops_s"] < found["times_s"]).any():
            i = np.flatnonzero(found["stops_s"] < found["times_s"])[0]
            raise DataError(where, f"an interval that ends before it begins, in row {i} (from 0)",
                            "stops_s not before times_s", "mend the table")
        for name in ("span_s", "reach_s"):
            if (pair := getattr(self, name)) is None:
                continue
            pair = tuple(map(float, pair))
            if len(pair) != 2 or not np.isfinite(pair).all() or (name == "reach_s" and min(pair) < 0) \
                    or (name == "span_s" and pair[0] >= pair[1]):
                raise DataError(where, f"{name} = {pair}", "two finite numbers: from and until for span_s, two lengths "
                                "for reach_s", "give both in seconds")
            object.__setattr__(self, name, pair)
        for name, array in found.items():
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def kind(self):
        """``"samples"``, ``"events"`` or ``"intervals"``."""
        return "samples" if self.values is not None else "events" if self.stops_s is None else "intervals"

    @property
    def where(self):
        """Source and name, for error messages."""
        return f"{self.source + ', ' if self.source else ''}'{self.name}'"

    @property
    def longest_step_s(self):
        """Steps of samples that are longer are gaps: five median steps, s; 0 of one sample."""
        return GAP_STEPS * float(np.median(np.diff(self.times_s))) if len(self.times_s) > 1 else 0.0


@dataclass(frozen=True, eq=False)
class OnFrames:
    """Behaviour on frames: ``values`` (T,), float64, NaN where not known; ``is_known`` (T,), bool; ``reach``, the
    frames before and after a frame that its value was made from, (int, int); ``how`` it was done."""

    values: np.ndarray
    is_known: np.ndarray
    reach: tuple[int, int]
    how: str


def on_frames(series, times_s, rate_hz, how=None, exposure_s=None, longest_gap_s=None):
    """Put a Series on frames that begin at some times.

    A frame lasts until the next one begins, or a period where that one is missing: what happens once counts once.

    Parameters
    ----------
    series : Series
    times_s : ndarray, shape (T,)
        When each frame began, s, on the clock of the series; in order.
    rate_hz : float
        Frames per second.
    how : str, optional
        ``"previous"``: the last sample until the frame began; looks ahead 0 frames. ``"mean"``: of the samples within
        the exposure; 0 frames beyond the frame itself. ``"linear"``: between the samples before and after the frame's
        begin; as many frames ahead as the next sample is away. ``"count"``: of events within the frame. ``"share"``: of
        the frame that intervals cover; ``"most"``: 1 where that is half of it or more, else 0. The first that suits the
        kind of series, if left out.
    exposure_s : float, optional
        How long a frame takes in light, for ``"mean"``; the whole frame if left out.
    longest_gap_s : float, optional
        Samples are not carried, or joined, over more than this: such frames are not known. 5 median steps of the
        series, or 2 frames if that is longer, if left out. ``math.inf`` for values that were written when they changed;
        they then reach back as far as that was (give them as intervals, and they reach nowhere).

    Returns
    -------
    OnFrames

    Raises
    ------
    DataError
        Times of frames that are not finite or go back.
    ParameterError
        A way that does not suit the kind of series, or an exposure longer than a frame.
    """
    period = 1 / rate_hz
    how = how or WAYS[series.kind][0]
    if how not in WAYS[series.kind]:
        raise ParameterError("how", f"'{how}' for {series.kind} ('{series.name}')",
                             f"one of {', '.join(WAYS[series.kind])}", "name one of these")
    exposure = math.inf if exposure_s is None else exposure_s
    if not 0 < exposure or math.inf > exposure > period * 1.01:
        raise ParameterError("exposure_s", f"{exposure:g} s", f"more than 0, at most a frame of {period:.4g} s",
                             "give the exposure of a frame in seconds")
    begin = checked_times(times_s, series.where)
    border = BORDER * period + 4 * np.spacing(np.abs(begin).max())
    begin, end = begin - border, _frame_ends(begin, period) - border
    if series.kind == "samples":
        found = _samples_on_frames(series, begin, end, border, period, how, exposure, longest_gap_s)
    else:
        if series.kind == "events":
            values = np.diff(np.searchsorted(series.times_s, [begin, end]), axis=0)[0].astype(np.float64)
        else:
            covered = _covered(series, end) - _covered(series, begin)
            values = np.round(np.clip(covered / np.maximum(end - begin, border), 0, 1), 9)  # off cumulated rounding
            values = values if how == "share" else (values >= 0.5).astype(np.float64)
        found = values, end > begin, (0, 0)
    values, is_known, reach = found
    if series.span_s is not None:
        is_known = is_known & (begin + 2 * border >= series.span_s[0]) & (end <= series.span_s[1])
    reach = tuple(own + math.ceil(made / period - 1e-9) for own, made in zip(reach, series.reach_s, strict=True))
    return OnFrames(np.where(is_known, values, np.nan), is_known, reach, how)


def _samples_on_frames(series, begin, end, border, period, how, exposure, longest_gap_s):
    """Values, whether they are known, and reach; ``begin`` and ``end`` lie ``border`` before what they were."""
    gap = max(series.longest_step_s, 2 * period) if longest_gap_s is None else longest_gap_s
    is_finite = np.isfinite(series.values)
    at, values = series.times_s[is_finite], series.values[is_finite]  # a sample that is NaN is no sample
    if not len(at):
        return np.full(len(begin), np.nan), np.zeros(len(begin), bool), (0, 0)
    if how == "mean":
        borders = np.searchsorted(at, np.stack([begin, np.minimum(begin + exposure, end)], axis=1))
        n = borders[:, 1] - borders[:, 0]
        sums = np.add.reduceat(np.append(values, 0.0), borders.ravel())[::2]
        return sums / np.maximum(n, 1), n > 0, (0, 0)
    true_begin = begin + border
    before = np.searchsorted(at, true_begin + border, side="right") - 1
    has_before, before = before >= 0, np.maximum(before, 0)
    age = np.maximum(true_begin - at[before], 0)
    frame, frame_of = np.arange(len(begin)), np.searchsorted(begin, at, side="right") - 1
    back = np.maximum(frame - frame_of[before], np.ceil(age / period - BORDER))
    if how == "previous":
        is_known = has_before & (age <= gap + border)
        return values[before], is_known, (_most(back, is_known), 0)
    exact = has_before & (np.abs(true_begin - at[before]) <= border)
    after = np.minimum(before + 1, len(at) - 1)
    is_between = has_before & (after > before) & (at[after] - at[before] <= gap + border) & ~exact
    ahead = np.maximum(frame_of[after] - frame, np.floor((at[after] - begin) / period))
    found = np.where(exact, values[before], np.interp(true_begin, at, values))
    return found, exact | is_between, (_most(back, is_between), _most(ahead, is_between))


def _most(frames, which):
    return max(0, int(frames[which].max())) if which.any() else 0


def _frame_ends(begin, period):
    """When each frame ends: as the next one begins, or after a period where that one is late."""
    ends = begin + period
    is_next = np.diff(begin) < (1 + LATE_FRAMES) * period
    ends[:-1][is_next] = begin[1:][is_next]
    return ends


def _covered(series, times):
    """Seconds that intervals have covered until some times; overlapping intervals count once."""
    stops = np.maximum.accumulate(series.stops_s)
    starts = np.maximum(series.times_s, np.concatenate([[-np.inf], stops[:-1]])) if len(stops) else stops
    stops = np.maximum(stops, starts)
    total = np.concatenate([[0.0], np.cumsum(stops - starts)])
    i = np.searchsorted(starts, times, side="right")
    last = np.append(-np.inf, stops)[i]
    return total[i] - np.maximum(last - times, 0)


def checked_times(times_s, where):
    """Times of frames as float64, shape (T,); DataError: not numbers, not finite, or going back."""
    times = np.asarray(times_s)
    if times.ndim != 1 or not times.size or times.dtype.kind not in "fiu" or not np.isfinite(times).all():
        raise DataError(where, f"times of frames of shape {times.shape}, {times.dtype}"
                        + (f", {np.count_nonzero(~np.isfinite(times))} not finite" if times.dtype.kind == "f" else ""),
                        "a finite number a frame, s", "give one time a frame in seconds")
    times = times.astype(np.float64)
    if len(back := np.flatnonzero(np.diff(times) < 0)):
        i = back[0] + 1
        raise DataError(where, f"a clock of frames that goes back from {times[i - 1]:.6g} to {times[i]:.6g} s at frame "
                        f"{i} (from 0), and so {len(back)} times", "times in order",
                        "the clock was restarted: make each run of it a recording of its own (its part), and give it "
                        "its own times")
    return times


def with_behaviour(recording, *series, how=None, exposure_s=None, longest_gap_s=None, offset_s=0.0):
    """A recording with behaviour of other clocks put on its frames; frames where one is not known are no longer used.

    ``series``: each a Series, or what :func:`calcium_decoding.read_behaviour` gives, whose notes go along. ``how``: of
    all of them, or a dict by name; the rest as of :func:`on_frames`.
    ``offset_s``: what has to be added to the clock of the series to get that of the frames. Frames begin at the
    recording's ``times_s``, or at 0, 1 / rate ... if it has none. Notes say what was done and how many frames it cost.
    Raises DataError: no frame at which all are known, with both clocks' ranges, or a name that the recording has;
    ParameterError: as of :func:`on_frames`, or a name in ``how`` that no series has.
    """
    notes = [note for one in series for note in getattr(one, "notes", ())]
    series = [part for one in series for part in (one.values() if isinstance(one, Mapping) else (one,))]
    usable, names = usable_of(recording), [one.name for one in series]
    times = frame_times(recording)[usable]
    if isinstance(how, Mapping) and (unknown := sorted({*how} - {*names})):
        raise ParameterError("how", ", ".join(unknown), f"names among {', '.join(names)}", "mend the name")
    behaviour, reach, stretches, said = dict(recording.behaviour), dict(recording.reach), recording.stretches, {}
    for one in series:
        if one.name in behaviour:
            raise DataError(recording.id, f"behaviour '{one.name}' twice", "one behaviour a name", "rename one of them")
        way = how.get(one.name) if isinstance(how, Mapping) else how
        found = on_frames(one, times - offset_s, recording.rate_hz, way, exposure_s, longest_gap_s)
        values = np.full(recording.n_frames, np.nan)
        values[usable] = found.values
        stretches = in_both(stretches, stretches_of(np.isfinite(values)))
        lost = np.count_nonzero(~found.is_known)
        if not stretches:
            low, high = one.span_s or (one.times_s[0], one.times_s[-1])
            raise DataError(f"{recording.id}, '{one.name}'", f"times from {low + offset_s:.6g} to "
                            f"{high + offset_s:.6g} s for frames from {times[0]:.6g} to {times[-1]:.6g} s"
                            + (f", {lost} of {len(times)} frames without a value" if lost < len(times) else ""),
                            "clocks that overlap, and a frame at which every behaviour is known",
                            "give the offset between the clocks (offset_s), or leave out what is not needed")
        behaviour[one.name], reach[one.name] = values, found.reach
        n_bad = 0 if one.values is None else np.count_nonzero(~np.isfinite(one.values))
        how_done = (f"by '{found.how}', looks ahead {found.reach[1]} frames"
                    + (f"; {n_bad} samples that are not finite left out" if n_bad else "")
                    + (f"; not known at {lost} of {len(times)} frames, which are masked" if lost else ""))
        said.setdefault(how_done, []).append(one.name)
    notes = (*recording.notes, *notes, *(f"{NOTE}{', '.join(names)} {how_done}" for how_done, names in said.items()))
    return replace(recording, behaviour=behaviour, reach=reach, stretches=stretches, notes=notes)


def usable_of(recording):
    """Numbers of the frames that can be used, int, in order."""
    return np.concatenate([np.arange(start, stop) for start, stop in recording.stretches])


def frame_times(recording: Recording):
    """When each frame began, s, shape (T,): as the recording says, or evenly from 0."""
    return np.arange(recording.n_frames) / recording.rate_hz if recording.times_s is None else recording.times_s


def align_clock(series, pulses_s, pulses_on_frames_s):
    """A Series on the clock of the frames, by pulses that both clocks recorded.

    ``pulses_s``, ``pulses_on_frames_s`` (ndarray, shape (k,), k >= 2): when each pulse came, s, on the clock of the
    series and on that of the frames. Between pulses time runs evenly; before the first and after the last as it does
    between these two. This takes out offset and drift. Raises DataError: numbers of pulses that differ, or a step
    between pulses that is not the same on both clocks within 1 %.
    """
    here, there = (checked_times(pulses, series.where) for pulses in (pulses_s, pulses_on_frames_s))
    if len(here) != len(there) or len(here) < 2 or not (np.diff(here) > 0).all():
        raise DataError(series.where, f"{len(here)} and {len(there)} pulses", "the same pulses on both clocks, two at "
                        "least, each later than the one before", "see which pulses one of them lacks, and leave these "
                        "out of the other")
    off = np.abs(np.diff(there) / np.diff(here) - 1)
    if off.max() > MOST_RATE_ERROR:
        i = int(np.argmax(off > MOST_RATE_ERROR))
        raise DataError(series.where, f"{here[i + 1] - here[i]:.6g} s between pulses {i} and {i + 1} (from 0) on one "
                        f"clock, {there[i + 1] - there[i]:.6g} s on the other", "the same within 1 %",
                        "a pulse is missing on one side, and others came in its place: pair them again")
    speed = (there[-1] - there[0]) / (here[-1] - here[0])

    def moved(times):
        outside = np.where(times < here[0], times - here[0], np.where(times > here[-1], times - here[-1], 0))
        return np.interp(times, here, there) + speed * outside

    span = series.span_s and tuple(moved(np.array(series.span_s)))
    stops = None if series.stops_s is None else moved(series.stops_s)
    return replace(series, times_s=moved(series.times_s), stops_s=stops, span_s=span)
