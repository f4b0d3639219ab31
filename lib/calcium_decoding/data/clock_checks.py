"""The clock report: how many frames, how fast, what is missing, and where behaviour begins and ends."""

import numpy as np
import pandas as pd

from calcium_decoding.data.clock import LATE_FRAMES, MOST_RATE_ERROR, frame_times
from calcium_decoding.data.frame_clock import Steps
from calcium_decoding.data.recording import Recording, in_both
from calcium_decoding.errors import DataError, ParameterError

MOST_JITTER = 0.12  # SD of steps in frames: with more, steps that are half a frame off come by chance
MOST_TIMES_LONGER = 100  # than the frames behaviour may last, before its unit is in doubt


def clock_report(frames, rate_hz=None, n_file=None, ttl_s=None, behaviour=(), window=None, offset_s=0.0):
    """What can go wrong between a microscope, a camera and a computer, one line each; look at it before decoding.

    Parameters
    ----------
    frames : Recording, or array_like, shape (n,)
        A recording, with ``times_s`` if it has a clock; or the times of its frames, s, as they are in the file.
    rate_hz : float
        The rate that was asked for, frames per second; of a recording, its own if left out.
    n_file : int, optional
        Frames in the file of images or traces; those of the recording if left out.
    ttl_s : array_like, shape (m,), optional
        When the pulse of each frame came on the computer that recorded behaviour, s.
    behaviour : sequence of Series
        On the clock of the frames.
    window : WindowSpec, optional
        Windows of which the share that is lost is told.
    offset_s : float
        What has to be added to the clock of the behaviour to get that of the frames.

    Returns
    -------
    DataFrame
        ``item``; ``found`` and ``expected``, float, NaN where there is none; ``unit``; ``fault``, bool; ``verdict``, in
        words. Drift counts as a fault where it grows to half a frame: frames then need times of their own.

    Raises
    ------
    ParameterError
        No rate.
    DataError
        Times that are not finite numbers, or fewer than two.
    """
    recording = frames if isinstance(frames, Recording) else None
    rate_hz = rate_hz or (recording and recording.rate_hz)
    if not rate_hz or not rate_hz > 0:
        raise ParameterError("rate_hz", repr(rate_hz), "frames per second", "give the rate that was asked for")
    rows, where = _Rows(), "times of frames" if recording is None else recording.id
    if recording is None or recording.times_s is not None:
        times = _finite_times(frames if recording is None else recording.times_s, where)
        clock = "times of frames"
    else:
        times, clock = frame_times(recording), "frame numbers"
    n_file = n_file or (recording.n_frames if recording else None)
    n_file, counted = (len(times), None) if n_file is None else (n_file, n_file)
    if counted and clock != "frame numbers":
        _count(rows, clock, len(times), n_file)
    steps = Steps.of(times, where)
    if ttl_s is not None:
        ttl = _finite_times(ttl_s, f"{where}, TTL")
        if clock == "frame numbers":
            _count(rows, "TTL pulses", len(ttl), n_file)
            steps, times, clock = Steps.of(ttl, "TTL"), ttl, "TTL pulses"
        else:
            _count(rows, "TTL pulses", len(ttl), n_file, _ends(times, ttl, steps, Steps.of(ttl, "TTL")))
    if clock != "frame numbers":
        _steps(rows, clock, steps, times, rate_hz)
    if ttl_s is not None and clock != "TTL pulses":
        other = Steps.of(ttl, "TTL")
        _drift(rows, "drift of TTL against times of frames", other.slope_s / steps.slope_s - 1, other.number[-1],
               rate_hz)
    stretches = steps.stretches()
    if recording is not None:
        stretches = in_both(recording.stretches, stretches) if len(times) == recording.n_frames \
            else recording.stretches
    if window is not None:
        whole, kept = (sum(max(0, stop - start - window.frames_needed + 1) for start, stop in ranges)
                       for ranges in ([(0, len(times))], stretches))
        lost = 100 * (1 - kept / whole) if whole else 100.0
        rows.add("windows lost", lost, 0, "%", lost > 0,
                 f"{whole - kept} of {whole} windows of {window.length} frames")
    for one in behaviour:
        _coverage(rows, one, times - offset_s, 1 / rate_hz)
    return pd.DataFrame(rows.rows, columns=["item", "found", "expected", "unit", "fault", "verdict"])


class _Rows:
    """Lines of the report; a line that is no fault says "fine", if it says nothing else."""

    def __init__(self):
        self.rows = []

    def add(self, item, found, expected, unit, fault, said, fine="fine"):
        """Add a line; ``said``: the verdict if it is a fault, ``fine``: if it is none."""
        self.rows.append((item, float(found), float(expected), unit, bool(fault), said if fault else fine))


def _finite_times(times, where):
    times = np.asarray(times)
    if times.ndim != 1 or times.dtype.kind not in "fiu" or len(times) < 2 or not np.isfinite(times).all():
        raise DataError(where, f"times of shape {times.shape}, {times.dtype}", "two finite numbers at least, s",
                        "give the time of each frame in seconds")
    return times.astype(np.float64)


def _count(rows, what, found, expected, ends=None):
    more = found - expected
    rows.add(f"number of {what}", found, expected, "frames", more != 0,
             f"{abs(more)} {'more' if more > 0 else 'fewer'} than frames"
             + (": {} before the first frame, {} between frames, {} after the last; see match_pulses".format(*ends)
                if ends else ", at an end that is not known; name a rule"))


def _ends(times, ttl, steps, of_ttl):
    """Pulses before the first frame, between frames, and after the last, if both clocks began together; None if that
    does not add up."""
    if steps.goes_back.any() or of_ttl.goes_back.any():
        return None
    there = ttl[0] + (times - ttl[0]) * of_ttl.slope_s / steps.slope_s
    half = LATE_FRAMES * of_ttl.period_s
    before, after = np.count_nonzero(ttl < there[0] - half), np.count_nonzero(ttl > there[-1] + half)
    between = int(steps.missing.sum()) - int(of_ttl.missing.sum()) - int(steps.is_repeated.sum())
    return (before, between, after) if before + after + between == len(ttl) - len(times) else None


def match_pulses(times_s, ttl_s, first=None):
    """When the pulse of each frame came: the times of the file tell which frames it lacks or has twice.

    Parameters
    ----------
    times_s : array_like, shape (n,)
        Times of the frames as they are in the file, s.
    ttl_s : array_like, shape (m,)
        When the pulse of each frame came, s, on the clock of behaviour; of more frames, or fewer, than are in the file.
    first : int, optional
        Number of the pulse of the first frame, from 0. If left out, both clocks have to begin together, within half a
        frame.

    Returns
    -------
    ndarray, shape (n,), float64
        For :func:`calcium_decoding.with_times`, which then masks what is missing or repeated. Drift between the clocks
        is gone.

    Raises
    ------
    DataError
        Clocks that do not fit: a restart, or numbers of frames and pulses that do not add up.
    """
    times, ttl = _finite_times(times_s, "times of frames"), _finite_times(ttl_s, "TTL")
    steps, of_ttl = Steps.of(times), Steps.of(ttl, "TTL")
    if steps.goes_back.any() or of_ttl.goes_back.any():
        raise DataError("times of frames and TTL", "a clock that goes back", "times in order",
                        "match each run of the clock by itself")
    if first is None:
        if (ends := _ends(times, ttl, steps, of_ttl)) is None:
            raise DataError("times of frames and TTL", f"{len(times)} frames from {times[0]:.6g} to {times[-1]:.6g} s, "
                            f"{steps.missing.sum()} missing and {steps.is_repeated.sum()} repeated, and {len(ttl)} "
                            f"pulses from {ttl[0]:.6g} to {ttl[-1]:.6g} s", "numbers that add up",
                            "say which pulse is that of the first frame (first), in an entry first_pulse; or name a "
                            "rule in with_times")
        first = ends[0]
    number = first + steps.number
    if not 0 <= first <= number[-1] <= of_ttl.number[-1]:
        raise DataError("times of frames and TTL", f"frames that end with pulse {number[-1]}",
                        f"pulses 0 .. {of_ttl.number[-1]}", "give the right first pulse, or leave out frames without "
                        "one")
    return np.interp(number, of_ttl.number, ttl)


def _steps(rows, clock, steps, times, rate_hz):
    measured = 1 / steps.slope_s
    wrong = abs(steps.slope_s * rate_hz - 1) >= MOST_RATE_ERROR
    rows.add("rate", measured, rate_hz, "Hz", wrong, f"the rate is {measured:.4g} Hz, not {rate_hz:.4g}")
    if not wrong:
        _drift(rows, f"drift of {clock} against the rate", steps.slope_s * rate_hz - 1, steps.number[-1], rate_hz)
    rows.add("jitter", 100 * steps.jitter, np.nan, "% of a frame (SD)", steps.jitter > MOST_JITTER,
             "too much to tell missing frames from late times: use TTL edges")
    longest = float(np.diff(times).max())
    at = int(np.argmax(np.diff(times)))
    rows.add("longest step", longest / steps.period_s, 1, "frames", steps.missing.any(),
             f"{longest:.4g} s after frame {at}, at {times[at]:.6g} s")
    n_breaks = np.count_nonzero(steps.missing)
    rows.add("frames missing", steps.missing.sum(), 0, "frames", n_breaks,
             f"in {n_breaks} breaks, the first before frame {np.argmax(steps.missing > 0)}: no window may span them")
    rows.add("frames repeated", steps.is_repeated.sum(), 0, "frames", steps.is_repeated.any(),
             f"the first is frame {np.argmax(steps.is_repeated)}: masked by with_times")
    at = np.flatnonzero(steps.goes_back)
    rows.add("restarts of the clock", len(at), 0, "times", len(at),
             f"at frame {', '.join(map(str, at[:5]))}: make each run a recording of its own (its part)")


def _drift(rows, item, drift, n, rate_hz):
    grown = drift * n
    rows.add(item, 1e6 * drift, 0, "ppm", abs(grown) >= LATE_FRAMES,
             f"grows to {grown / rate_hz:+.3g} s, {grown:+.1f} frames: use times, not frame numbers")


def _coverage(rows, series, times, period):
    """Where a behaviour begins after the first frame, ends before the last, or has a gap."""
    if series.kind == "samples":
        at = series.times_s[np.isfinite(series.values)]
        slack = max(period, series.longest_step_s)
    else:
        at, slack = np.array(series.span_s or ()), period
    if not len(at):
        said = "no sample" if series.kind == "samples" else \
            f"{series.kind} do not say from when to when somebody watched (span_s)"
        rows.add(f"{series.name}: covers", 0 if series.kind == "samples" else np.nan, 100, "% of frames",
                 series.kind == "samples", said, said)
        return
    first, last = times.min(), times.max()
    late, early = at[0] - first, last - at[-1]
    for what, off, side in (("begins after the first frame", late, times < at[0]),
                            ("ends before the last frame", early, times > at[-1] + slack)):
        rows.add(f"{series.name}: {what} by", max(off, 0.0), 0, "s", off > slack,
                 f"{np.count_nonzero(side)} of {len(times)} frames without it")
    if at[-1] - at[0] > MOST_TIMES_LONGER * max(last - first, period):
        times_longer = (at[-1] - at[0]) / max(last - first, period)
        rows.add(f"{series.name}: lasts", at[-1] - at[0], last - first, "s", True,
                 f"{times_longer:.0f} times as long as the frames: see that its times are in seconds")
    if series.kind == "samples" and len(at) > 1:
        gaps = np.diff(at)
        long = np.flatnonzero(gaps > slack)
        i = int(np.argmax(gaps))
        rows.add(f"{series.name}: longest gap", gaps[i], np.median(gaps), "s", len(long),
                 f"{len(long)} gaps of more than {slack:.3g} s, the longest at {at[i]:.6g} s")
