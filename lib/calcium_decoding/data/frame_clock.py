"""Frames on their clock: missing, repeated and bad ones are named, and no window spans them."""

import itertools
from dataclasses import dataclass, replace

import numpy as np

from calcium_decoding.data.clock import LATE_FRAMES, MOST_RATE_ERROR, NOTE, checked_times
from calcium_decoding.data.recording import in_both, stretches_of
from calcium_decoding.errors import DataError, ParameterError

CUTS = ("cut_end", "cut_start")


@dataclass(frozen=True, eq=False)
class Steps:
    """What a clock does from frame to frame.

    ``period_s``: mean of its usual steps, s. ``jitter``: SD of these, as a share of the period. ``missing`` (T,), int:
    frames that are missing right before a frame. ``is_repeated``, ``goes_back`` (T,), bool: a frame comes less than
    half a period after the one before; earlier than it. ``number`` (T,), int: of each frame, from 0, had none been
    missing. ``slope_s``: period by regression on these over the longest run without a restart, s; finer than
    ``period_s``.
    """

    period_s: float
    jitter: float
    missing: np.ndarray
    is_repeated: np.ndarray
    goes_back: np.ndarray
    number: np.ndarray
    slope_s: float

    @classmethod
    def of(cls, times_s, where="times of frames"):
        """Steps of times of frames, shape (T,), s; DataError: fewer than two, or none that is later than another."""
        times = np.asarray(times_s, np.float64)
        steps = np.diff(times)
        if not (steps > 0).any():
            raise DataError(where, f"{len(times)} times, none later than the one before", "times that go on",
                            "give the time of each frame")
        median = np.median(steps[steps > 0])
        usual = steps[np.abs(steps / median - 1) < LATE_FRAMES]
        period = float(usual.mean()) if len(usual) else float(median)
        passed = np.round(steps / period).astype(np.int64)
        missing = np.where(steps / period - 1 >= LATE_FRAMES, np.maximum(passed - 1, 1), 0)
        back = steps < 0
        repeated = (steps / period - 1 <= -LATE_FRAMES) & ~back
        first, last = max(ranges_between(np.flatnonzero(back) + 1, len(times)), key=lambda run: run[1] - run[0])
        number = np.concatenate([[0], np.cumsum(np.where(back, 1, passed))])
        slope = float(np.polyfit(number[first:last], times[first:last] - times[first], 1)[0]) \
            if len(np.unique(number[first:last])) > 1 else period
        missing, repeated, back = (np.concatenate([[0], x]) for x in (missing, repeated, back))
        return cls(period, float(usual.std() / period) if len(usual) else 0.0, missing, repeated.astype(bool),
                   back.astype(bool), number, slope)

    def stretches(self):
        """Half-open ranges of frames that no missing, repeated frame or restart interrupts."""
        borders = np.flatnonzero((self.missing > 0) | self.goes_back)
        return in_both(stretches_of(~self.is_repeated), ranges_between(borders, len(self.missing)))


def ranges_between(borders, n):
    """Half-open ranges that some borders, in order and none of them 0, cut n frames into."""
    borders = [0, *(int(border) for border in borders), n]
    return list(itertools.pairwise(borders))


def frame_numbers(times_s):
    """Number of each frame, from 0, had none been missing between them, by its time; int, shape (T,).

    Where the pulses of all ``n`` frames are known and the file lacks some, ``drop_frames`` of :func:`with_times` is
    ``np.setdiff1d(np.arange(n), frame_numbers(times_s))``, if the first frame has the first pulse.
    """
    return Steps.of(times_s).number


def with_times(recording, times_s, rule=None, drop_frames=(), offset_s=0.0):
    """A recording whose frames stand on their clock: TTL edges, or timestamps.

    A step that is half a period too long or more is a break: frames are missing there, and no window spans it. Frames
    that come less than half a period after the one before are repeated, and masked. Frames keep their numbers, and
    nothing is cut: a frame without a time is masked, and gets the time that it would have. Drift is no error; see
    :func:`calcium_decoding.data.clock_report`. What was done stands in the notes.

    Parameters
    ----------
    recording : Recording
    times_s : array_like, shape (n,)
        When each frame began, s.
    rule : str, optional
        What to do if there are more frames than times, or more times than frames: ``"cut_end"`` or ``"cut_start"``
        leaves out the last or the first of whichever is longer.
    drop_frames : sequence of int, optional
        In place of a rule: numbers (from 0) of those to leave out of whichever is longer.
    offset_s : float
        Added to all times. Plane k (from 0) of n that are imaged in turn begins k / (n * rate) after the volume.

    Returns
    -------
    Recording

    Raises
    ------
    DataError
        Numbers that differ without a rule; a clock that goes back; a rate that is not the recording's within 1 %; no
        frame left.
    ParameterError
        A rule that is not known, or two.
    """
    where, n = recording.source or recording.id, recording.n_frames
    times = np.asarray(times_s)
    times = times.reshape(-1) if 1 in times.shape else times
    if times.ndim != 1 or times.dtype.kind not in "fiu":
        raise DataError(where, f"times of shape {times.shape}, {times.dtype}", "one number a frame, s",
                        "give the time of each frame in seconds")
    frames, kept, notes = _paired(n, len(times), rule, drop_frames, where)
    times = checked_times(times[kept], where) + offset_s
    usable = np.zeros(n, bool)
    if len(times) > 1:
        steps = Steps.of(times, where)
        if abs(steps.slope_s * recording.rate_hz - 1) >= MOST_RATE_ERROR:
            raise DataError(where, f"steps of {steps.slope_s:.4g} s, {1 / steps.slope_s:.4g} Hz",
                            f"even steps of {1 / recording.rate_hz:.4g} s, {recording.rate_hz:.4g} Hz",
                            "give the right imaging rate, per plane, and times in seconds")
        usable[frames[~steps.is_repeated]] = True
        late = frames[steps.missing > 0]
        notes += _said(steps, frames, recording.rate_hz)
    else:
        usable[frames], late = True, np.array([], int)
    stretches = in_both(stretches_of(usable), ranges_between(late, n))
    full = np.interp(np.arange(n), frames, times)
    for side, nearest in ((np.arange(n) < frames[0], 0), (np.arange(n) > frames[-1], -1)):
        full[side] = times[nearest] + (np.arange(n)[side] - frames[nearest]) / recording.rate_hz
    return _masked(recording, stretches, notes, times_s=full)


def _paired(n, m, rule, drop, where):
    """Numbers of the frames that have a time, which times they are (bool, (m,)), and what to note."""
    drop = np.asarray(drop)
    if rule is not None and (drop.size or rule not in CUTS):
        raise ParameterError("rule", f"'{rule}'" + " and drop_frames" * bool(drop.size), f"{' or '.join(CUTS)}, or "
                             "drop_frames", "name one rule")
    longer, extra = max(n, m), abs(n - m)
    what = "frames than times" if n > m else "times than frames"
    if extra and rule is None and not drop.size:
        raise DataError(where, f"{n} frames and {m} times", "a time for each frame", f"see where the {extra} more "
                        f"{what} are from, then name a rule: cut_end, cut_start, or drop_frames; where the file has "
                        "times of its own, match_pulses finds out (--clock TIMES pulses=PULSES)")
    if not m:
        raise DataError(where, f"no times for {n} frames", "a time for each frame", "give their times")
    keep = np.ones(longer, bool)
    if drop.size:
        drop = np.unique(drop)
        if drop.dtype.kind not in "iu" or len(drop) != extra or drop[0] < 0 or drop[-1] >= longer:
            raise DataError(where, f"{len(drop)} numbers to leave out ({_few(drop)}), {n} frames and {m} times",
                            f"{extra} different whole numbers in 0 .. {longer - 1}", "name those that are too many")
        keep[drop] = False
        how = f"drop_frames {_few(drop)}"
    elif extra:
        keep[slice(longer - extra, None) if rule == "cut_end" else slice(None, extra)] = False
        how = f"{rule}: the {'last' if rule == 'cut_end' else 'first'} {extra}"
    notes = [f"{NOTE}{extra} more {what} ({n} and {m}); {how} {'masked' if n > m else 'left out'}"] if extra else []
    return (np.flatnonzero(keep), np.ones(m, bool), notes) if n > m else (np.arange(n), keep, notes)


def _few(numbers, most=8):
    return ", ".join(map(str, numbers[:most])) + (f" and {len(numbers) - most} more" if len(numbers) > most else "")


def _said(steps, frames, rate_hz):
    """Notes on missing and repeated frames, and on drift of half a frame or more over the recording."""
    found, late = [], np.flatnonzero(steps.missing)
    if len(late):
        found.append(f"{NOTE}{steps.missing.sum()} frames missing in {len(late)} breaks, the first before frame "
                     f"{frames[late[0]]}; no window spans them")
    if steps.is_repeated.any():
        found.append(f"{NOTE}{steps.is_repeated.sum()} repeated frames masked, the first "
                     f"{frames[np.argmax(steps.is_repeated)]}")
    drift = steps.slope_s * rate_hz - 1
    if abs(grown := drift * steps.number[-1]) >= LATE_FRAMES:
        found.append(f"{NOTE}frames come {1e6 * drift:+.0f} ppm from the stated {rate_hz:g} Hz, "
                     f"{grown / rate_hz:+.3g} s over the recording")
    return found


def _masked(recording, stretches, notes, **changes):
    """The recording with fewer frames that can be used; DataError if none is left."""
    stretches = in_both(recording.stretches, stretches)
    if not stretches:
        raise DataError(recording.source or recording.id, "no frame that can be used", "one at least",
                        "see that the bad frames, or the times, are of this recording")
    return replace(recording, stretches=stretches, notes=(*recording.notes, *notes), **changes)


def mask_frames(recording, bad, why="bad"):
    """A recording without the use of some frames: they keep their place, but no window spans them.

    ``bad``: bool, shape (T,), True for a bad frame; or numbers of frames, from 0. ``why``: for the note. Raises
    DataError: as many values as there are no frames, a number out of range, or no frame left. To make a recording of
    arrays with NaN, see :func:`usable_frames`.
    """
    bad, where = np.asarray(bad), recording.source or recording.id
    if bad.dtype.kind == "b" and bad.shape == (recording.n_frames,):
        is_bad = bad
    elif bad.dtype.kind in "iu" and bad.ndim == 1 and (not len(bad) or 0 <= bad.min() <= bad.max()
                                                       < recording.n_frames):
        is_bad = np.zeros(recording.n_frames, bool)
        is_bad[bad] = True
    elif not bad.size:
        is_bad = np.zeros(recording.n_frames, bool)
    else:
        raise DataError(where, f"bad frames of shape {bad.shape}, {bad.dtype}"
                        + (f", from {bad.min()} to {bad.max()}" if bad.dtype.kind in "iu" else ""),
                        f"True or False for each of {recording.n_frames} frames, or numbers in 0 .. "
                        f"{recording.n_frames - 1}", "see that they are of this recording")
    n = np.count_nonzero(is_bad)
    return _masked(recording, stretches_of(~is_bad), [f"{NOTE}{n} frames masked: {why}"] if n else [])


def usable_frames(*arrays):
    """Which frames are finite in all of some arrays, each (T,) or (T, k); bool, shape (T,).

    The way on for data with NaN: ``Recording(signal, behaviour, ..., stretches=stretches_of(usable_frames(signal)))``.
    """
    largest = np.finfo(np.float32).max  # what a recording can hold
    return np.logical_and.reduce([(np.abs(np.asarray(a).reshape(len(a), -1)) <= largest).all(axis=1) for a in arrays])
