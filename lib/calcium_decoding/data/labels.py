"""Labels from what was measured: positions that wrap, speed, bouts; each says how far it looks back and ahead."""

import math
from dataclasses import replace

import numpy as np

from calcium_decoding.data.clock import GAP_STEPS, NOTE, OnFrames, Series, checked_times, frame_times, usable_of
from calcium_decoding.data.frame_clock import ranges_between
from calcium_decoding.data.recording import in_both, stretches_of
from calcium_decoding.errors import DataError, ParameterError

LONGEST_STEP_TURNS = 0.4  # half a turn and more cannot be told from a turn back


def unwrap_position(position, turn, longest_step=LONGEST_STEP_TURNS):
    """A position that starts anew after each turn, as one that goes on.

    ``position``: Series of samples, or array_like, shape (n,); NaN stays NaN. ``turn``: after how much it starts anew,
    in its unit (360, or the length of a belt). ``longest_step``: between two samples, in turns. Returns what it was
    given, a Series or ndarray, float64. Differences of what it returns reach no further than the samples that they are
    of. Raises DataError: values that span more than a turn, or a step that may have gone either way; ParameterError: a
    turn that is not positive.
    """
    if not 0 < turn < math.inf:
        raise ParameterError("turn", repr(turn), "a positive number", "give the position at which it starts anew")
    values, where = _values(position)
    is_known = np.isfinite(values)
    known = values[is_known]
    if len(known) and np.ptp(known) > turn * (1 + 1e-6):
        raise DataError(where, f"positions from {known.min():.6g} to {known.max():.6g}", f"at most a turn of {turn:g}",
                        "give the right turn; a position that goes on needs no unwrapping")
    steps = np.diff(known)
    turns = np.abs(steps - turn * np.round(steps / turn)) / turn
    if len(turns) and turns.max() > longest_step:
        i = np.flatnonzero(is_known)[1:][np.argmax(turns > longest_step)]
        raise DataError(where, f"{np.count_nonzero(turns > longest_step)} steps of more than {longest_step:g} turns, "
                        f"the first to row {i} (from 0)", "less than half a turn from sample to sample",
                        "sample the encoder faster, or leave samples that cannot be true out (NaN)")
    found = values.copy()
    found[is_known] = np.unwrap(known, period=turn)
    return _like(position, found)


def speed_from_position(position, window_s, times_s=None, name="speed_cm_s", causal=False):
    """Speed over a window around each sample: how far apart its ends are, over the time between.

    Parameters
    ----------
    position : Series, or array_like, shape (n,) or (n, 2)
        Where the animal was; of a wheel, unwrapped. Two columns, x and y, in an array.
    window_s : float
        Length of the window, s: the smoothing. Centred, it looks ahead half of it.
    times_s : array_like, shape (n,)
        Of an array: time of each sample or frame, s.
    name : str
        Of a Series that is returned; with its unit, that of the position a second.
    causal : bool
        The window ends at the sample, and looks ahead 0.

    Returns
    -------
    Series or OnFrames
        As ``position``: a Series, whose ``reach_s`` is the window; of an array, the values (n,), which of them are
        known, and their reach in samples. NaN where the window holds less than a quarter of its length.

    Raises
    ------
    DataError
        Times that do not fit or go back.
    ParameterError
        A window that is not positive, or too short for these samples.
    """
    if not 0 < window_s < math.inf:
        raise ParameterError("window_s", repr(window_s), "a positive number of seconds", "give the window's length")
    values, where = _values(position)
    times = _times(position, times_s, None, len(values), where)
    back, ahead = (window_s, 0.0) if causal else (window_s / 2, window_s / 2)
    is_known = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    at, known = times[is_known], values[is_known]
    speed = np.full(len(values), np.nan)
    if len(at):
        border = 1e-6 * window_s
        first = np.searchsorted(at, at - back - border)
        last = np.searchsorted(at, at + ahead + border, side="right") - 1
        length, way = at[last] - at[first], known[last] - known[first]
        way = np.abs(way) if way.ndim == 1 else np.linalg.norm(way, axis=1)
        enough = length >= window_s / 4 - 2 * border
        if not enough.any():
            raise ParameterError("window_s", f"{window_s:g} s, in which no two samples lie far enough apart",
                                 f"more than {2 * np.median(np.diff(times)) if len(times) > 1 else math.inf:.4g} s, "
                                 "two steps", "give a longer window")
        speed[is_known] = np.where(enough, way / np.where(enough, length, 1), np.nan)
    how = f"speed over {window_s:g} s{' before' if causal else ' around'} the sample"
    return _result(position, speed, times, (back, ahead), how, name)


def bouts(speed, start_above, stop_below, shortest_s, shortest_pause_s=0.0, *, times_s=None, rate_hz=None,
          name="running"):
    """Label of bouts: 1 from where something rises above a threshold until it falls below a lower one.

    Pauses that are too short are filled first, then bouts that are too short are left out; both look ahead, since
    nobody knows at the start of a bout how long it will last. With 0 for both, the label looks ahead 0.

    Parameters
    ----------
    speed : Series, or array_like, shape (n,)
        Samples, or a value a frame. NaN, or a gap of more than five steps, ends what came before.
    start_above, stop_below : float
        A bout starts above the one and stops below the other, which is not larger.
    shortest_s : float
        Bouts that do not last so long are none; bouts at the end of what is known count as far as they are known.
    shortest_pause_s : float
        Pauses between bouts that do not last so long belong to the bout.
    times_s, rate_hz : array_like, shape (n,), or float
        Of an array: time of each value, s, or values a second.
    name : str
        Of a Series that is returned.

    Returns
    -------
    Series or OnFrames
        0 and 1, NaN where the speed is. Its reach back is that of the two lengths and of the longest time that the
        speed stayed between the thresholds in these data.

    Raises
    ------
    ParameterError
        Thresholds the wrong way round, lengths that are negative.
    DataError
        Times that do not fit or go back.
    """
    if not stop_below <= start_above or not 0 <= min(shortest_s, shortest_pause_s):
        raise ParameterError("bouts", f"start above {start_above:g}, stop below {stop_below:g}, shortest bout "
                             f"{shortest_s:g} s, shortest pause {shortest_pause_s:g} s",
                             "stop_below <= start_above, lengths of 0 or more", "change these")
    values, where = _values(speed)
    times = _times(speed, times_s, rate_hz, len(values), where)
    steps = np.diff(times)
    step = 1 / rate_hz if rate_hz else float(np.median(steps)) if len(steps) else 0.0
    gaps = np.flatnonzero(steps > GAP_STEPS * step) + 1
    found, held = np.full(len(values), np.nan), 0.0
    for start, stop in in_both(stretches_of(np.isfinite(values)), ranges_between(gaps, len(values))):
        at = np.append(times[start:stop], times[stop - 1] + step)
        is_on, held_here = _hysteresis(values[start:stop], at, start_above, stop_below)
        pauses = stretches_of(~is_on)
        for i, j in pauses:
            if 0 < i and j < len(is_on) and at[j] - at[i] < shortest_pause_s - 1e-6 * step:
                is_on[i:j] = True
        for i, j in stretches_of(is_on):
            if at[j] - at[i] < shortest_s - 1e-6 * step:
                is_on[i:j] = False
        found[start:stop], held = is_on, max(held, held_here)
    length = shortest_s + shortest_pause_s
    how = f"1 from above {start_above:g} until below {stop_below:g}, bouts of {shortest_s:g} s or more, pauses of " \
          f"{shortest_pause_s:g} s or more"
    return _result(speed, found, times, (length + held, length), how, name)


def _hysteresis(values, at, start_above, stop_below):
    """Which values lie in a bout, and the longest time since the value that decided it."""
    decides = (values > start_above) | (values < stop_below)
    last = np.maximum.accumulate(np.where(decides, np.arange(len(values)), -1))
    held = at[np.arange(len(values))] - at[np.maximum(last, 0)]
    return (last >= 0) & (values > start_above)[np.maximum(last, 0)], float(held.max())


def series_of(recording, name):
    """A behaviour of a recording as a Series, of the frames that can be used alone; DataError: it does not have it."""
    if name not in recording.behaviour:
        raise DataError(recording.id, f"behaviour {', '.join(sorted(recording.behaviour)) or 'none'}", f"'{name}'",
                        "name one that is there")
    usable = usable_of(recording)
    reach_s = tuple(frames / recording.rate_hz for frames in recording.reach.get(name, (0, 0)))
    return Series(name, frame_times(recording)[usable], recording.behaviour[name][usable], source=recording.id,
                  reach_s=reach_s)


def with_label(recording, name, values, reach=(0, 0), note="", made_from=()):
    """A recording with one more behaviour on its frames, and how far it looks back and ahead, for the leak audit.

    ``values``: array_like, shape (T,), or OnFrames, which brings its reach and note. Frames at which they are NaN are
    no longer used. ``reach``: frames before and after a frame that its value was made from, (int, int). ``made_from``:
    names of the recording's behaviours that it was made from; what these reach comes on top. Raises DataError: a name
    that the recording has, or lacks; no frame left; what :class:`Recording` refuses.
    """
    if isinstance(values, OnFrames):
        reach, note, values = values.reach, note or values.how, values.values
    made_from = (made_from,) if isinstance(made_from, str) else tuple(made_from)
    if name in recording.behaviour or (missing := [one for one in made_from if one not in recording.behaviour]):
        raise DataError(recording.id, f"behaviour '{name}' already" if name in recording.behaviour
                        else f"no behaviour {', '.join(missing)}", "a new name, made from behaviours that are there",
                        f"name others than {', '.join(sorted(recording.behaviour))}")
    values = np.asarray(values, np.float64)
    if values.shape != (recording.n_frames,):
        raise DataError(recording.id, f"'{name}' of shape {values.shape}", f"a value for each of {recording.n_frames} "
                        "frames", "give one value a frame")
    stretches = in_both(recording.stretches, stretches_of(np.isfinite(values)))
    if not stretches:
        raise DataError(recording.id, f"no frame at which '{name}' is known", "one at least", "see what it was made of")
    before, after = zip(reach, *(recording.reach.get(one, (0, 0)) for one in made_from), strict=True)
    reach = (reach[0] + max((0, *before[1:])), reach[1] + max((0, *after[1:])))
    lost = recording.n_frames - np.count_nonzero(np.isfinite(values))
    said = f"{NOTE}{name}{': ' + note if note else ''}, looks ahead {reach[1]} frames" \
           + (f"; not known at {lost} of {recording.n_frames} frames, which are masked" if lost else "")
    return replace(recording, behaviour={**recording.behaviour, name: values}, stretches=stretches,
                   reach={**recording.reach, name: reach}, notes=(*recording.notes, said))


def _values(given):
    """Numbers of a Series of samples, or an array, float64, and where they are from."""
    if isinstance(given, Series):
        if given.kind != "samples":
            raise DataError(given.where, given.kind, "samples", "give what was measured")
        return given.values, given.where
    values = np.asarray(given)
    if values.dtype.kind not in "fiub" or values.ndim not in (1, 2) or not len(values):
        raise DataError("values", f"shape {values.shape}, {values.dtype}", "numbers, shape (n,)", "give one row a time")
    return values.astype(np.float64), "values"


def _times(given, times_s, rate_hz, n, where):
    if isinstance(given, Series):
        return given.times_s
    if (times_s is None) == (rate_hz is None):
        raise ParameterError("times_s", "times and a rate" if rate_hz else "no times of an array", "one of them",
                             "give the time of each value, or values a second")
    times = np.arange(n) / rate_hz if times_s is None else checked_times(times_s, where)
    if len(times) != n:
        raise DataError(where, f"{n} values and {len(times)} times", "a time for each value", "give as many")
    return times


def _like(given, values):
    return replace(given, values=values) if isinstance(given, Series) else values


def _result(given, values, times, reach_s, how, name):
    """A Series of a Series; of an array, OnFrames, whose reach is the most samples that lie within these seconds."""
    if isinstance(given, Series):
        reach_s = tuple(own + more for own, more in zip(given.reach_s, reach_s, strict=True))
        return replace(given, name=name, values=values, reach_s=reach_s)
    border, here = 1e-6 * sum(reach_s), np.arange(len(times))
    back = here - np.searchsorted(times, times - reach_s[0] - border)
    ahead = np.searchsorted(times, times + reach_s[1] + border, side="right") - 1 - here
    return OnFrames(values, np.isfinite(values), (int(back.max()), int(ahead.max())), how)
