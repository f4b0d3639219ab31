"""Which frames a sample touches, through window, label and preprocessing; and the audit for arrays of intervals."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from calcium_decoding.errors import DataError, LeakError
from calcium_decoding.preprocessing.transforms import whole_number
from calcium_decoding.preprocessing.windows import valid_centres


@dataclass(frozen=True, eq=False)
class Intervals:
    """For each sample the frames that it touches: ``start .. stop - 1`` of a recording.

    ``recording``: of each sample, shape (n,), or the one of all. ``start``, ``stop``: whole numbers, shape (n,),
    half-open. ``reach``: frames that each step looks back and ahead, by name; named in a refusal. Raises DataError:
    lengths that disagree, or an empty or reversed range.
    """

    recording: pd.Categorical
    start: np.ndarray
    stop: np.ndarray
    reach: dict = field(default_factory=dict)

    def __post_init__(self):
        start, stop, recording = np.atleast_1d(self.start), np.atleast_1d(self.stop), self.recording
        if not isinstance(recording, pd.Categorical):  # codes instead of names: a study has a million windows
            names = np.broadcast_to(recording, start.shape) if np.ndim(recording) == 0 else np.asarray(recording)
            recording = pd.Categorical(names.astype(str))
        for name, values in (("start", start), ("stop", stop)):
            if values.dtype.kind not in "iu" and not np.array_equal(values, np.floor(values)):
                raise DataError("intervals", f"{name} of type {values.dtype}", "whole numbers of frames",
                                "give frame numbers, not seconds")
            object.__setattr__(self, name, values.astype(np.int64))
        if not len(recording) == len(start) == len(stop) or start.ndim != 1 or stop.ndim != 1:
            raise DataError("intervals", f"shapes ({len(recording)},), {start.shape} and {stop.shape}",
                            "one recording, start and stop a sample", "give arrays of one length")
        if len(start) and (self.stop <= self.start).any():
            i = int(np.argmax(self.stop <= self.start))
            raise DataError(f"sample {i}", f"frames {start[i]} .. {stop[i]}", "a start before the stop (half-open)",
                            "add 1 to an inclusive stop")
        object.__setattr__(self, "recording", recording)

    @classmethod
    def around(cls, recording, centre, n_frames=None, **reach):
        """Intervals around centre frames, each step of ``reach`` adding what it looks back and ahead, such as
        ``window=(31, 0), baseline=(500, 499)``. ``n_frames``, the length of each recording, cuts them off; an infinite
        reach needs it."""
        centre = np.atleast_1d(np.asarray(centre))
        back, ahead = (sum(pair[i] for pair in reach.values()) for i in (0, 1))
        start, stop = centre - back, centre + ahead + 1
        if n_frames is not None:
            start, stop = np.maximum(start, 0), np.minimum(stop, n_frames)
        elif not np.isfinite(back + ahead):
            raise DataError("intervals", f"reach {reach}", "a finite reach, or the number of frames",
                            "give n_frames, the length of each recording")
        return cls(recording, start, stop, reach)

    def __len__(self):
        return len(self.start)

    def __getitem__(self, which):
        """Recording, start and stop of one sample (an integer), or the intervals of some (anything else)."""
        if isinstance(which, int | np.integer):
            return str(self.recording[which]), int(self.start[which]), int(self.stop[which])
        return Intervals(self.recording[which], self.start[which], self.stop[which], self.reach)

    @cached_property
    def merged(self):
        """Frames that any sample touches: dict of recording to (starts, stops) of ranges that do not meet."""
        found = {}
        for code, name in enumerate(self.recording.categories):
            here = self.recording.codes == code
            if here.any():
                order = np.argsort(self.start[here], kind="stable")
                start, reached = self.start[here][order], np.maximum.accumulate(self.stop[here][order])
                begins = np.concatenate([[True], start[1:] > reached[:-1]])
                found[name] = start[begins], reached[np.concatenate([begins[1:], [True]])]
        return found

    def overlapping(self, other, embargo_frames=0):
        """Which samples touch a frame of ``other``, or one closer than ``embargo_frames`` to it: bool, shape (n,)."""
        found = np.zeros(len(self), bool)
        for name, (starts, stops) in other.merged.items():
            if name not in self.recording.categories:
                continue
            here = np.flatnonzero(self.recording.codes == self.recording.categories.get_loc(name))
            # The last range of the other that starts before this sample stops is the only one that can be met.
            last = np.searchsorted(starts - embargo_frames, self.stop[here], side="left") - 1
            found[here] = (last >= 0) & (stops[last] + embargo_frames > self.start[here])
        return found


def common_frames(one, other):
    """Frames touched by both: list of (recording, first, last), inclusive, in order."""
    others, found = other.merged, []
    for name, mine in one.merged.items():
        theirs = others.get(name)
        i = j = 0
        while theirs is not None and i < len(mine[0]) and j < len(theirs[0]):
            low, high = max(mine[0][i], theirs[0][j]), min(mine[1][i], theirs[1][j])
            if low < high:
                found.append((name, int(low), int(high) - 1))
            i, j = (i + 1, j) if mine[1][i] < theirs[1][j] else (i, j + 1)
    return found


def sample_intervals(segments, spec, pipeline, n_frames, label_smoothing_frames=(0, 0), of_centres=False):
    """Intervals of the windows of some segments, in their order, cut at the ends of recordings (``n_frames`` by id);
    ``of_centres``: as of :class:`calcium_decoding.splits.Split`."""
    # Segments of centres are made of neighbouring centres, whatever the stride.
    by_segment = [np.arange(s.start, s.stop) if of_centres else valid_centres(s.start, s.stop, spec) for s in segments]
    centres = np.concatenate([np.empty(0, np.int64), *by_segment])
    n = np.array([len(c) for c in by_segment], int)
    low, high = _around(centres, centres, spec, pipeline, label_smoothing_frames)
    ends = np.repeat([n_frames[s.recording] for s in segments], n)
    return Intervals(pd.Categorical([s.recording for s in segments]).repeat(n), np.maximum(low, 0),
                     np.minimum(high, ends))


def footprint(segment, spec, pipeline, n_frames, label_smoothing_frames=(0, 0)):
    """Half-open range of frames that the windows of a segment touch, through window, label and preprocessing; steps
    fitted on training frames see all frames of the segment."""
    low, high = segment.start - pipeline.look_back_frames, segment.stop + pipeline.look_ahead_frames
    centres = valid_centres(segment.start, segment.stop, spec)
    if len(centres):
        of_samples = _around(centres[0], centres[-1], spec, pipeline, label_smoothing_frames)
        is_fitted = any(step.fitted_on == "training frames" for step in pipeline.steps)
        low, high = (min(low, of_samples[0]), max(high, of_samples[1])) if is_fitted else of_samples
    return int(max(0, low)), int(min(n_frames, high))


def _around(first, last, spec, pipeline, label_smoothing_frames):
    """Half-open range that the samples with centres ``first`` to ``last`` touch."""
    (back, ahead), shift = label_smoothing_frames, spec.label_shift_frames
    low = np.minimum(first - spec.past_frames - pipeline.look_back_frames, first + shift - back)
    high = np.maximum(last + spec.future_frames + pipeline.look_ahead_frames, last + shift + ahead) + 1
    return low, high


def check_samples(train, test, embargo_frames=0, fitted=None, where="samples"):
    """Refuse training and test samples (Intervals) that touch the same frames; for any arrays, any decoder.

    ``embargo_frames``: least number of frames between a training and a test sample of one recording. ``fitted``: what
    else was fitted, and on which frames: ``{"scaler": train, "threshold": valid}``. ``where``: for the message. Returns
    the frames between the nearest two, None if they share no recording. Raises LeakError: step, recording and frames.

    >>> windows = Intervals.around("session 1", np.arange(31, 1000), window=(31, 0))
    >>> check_samples(windows[:600], windows[700:])
    69
    """
    embargo = whole_number("embargo_frames", embargo_frames, 0)
    _refuse("training", train, test, embargo, where)
    for name, intervals in (fitted or {}).items():
        _refuse(f"step '{name}'", intervals, test, 0, where)
    return least_distance(train, test)


def check_cv(cv, intervals, X=None, y=None, groups=None, embargo_frames=0):
    """:func:`check_samples` on each fold of a scikit-learn splitter, or of pairs of index arrays; a list of distances.
    ``intervals``: frames that each row of X touches; they stand in for X if it is left out."""
    folds = cv.split(range(len(intervals)) if X is None else X, y, groups) if hasattr(cv, "split") else cv
    return [check_samples(intervals[train], intervals[test], embargo_frames, where=f"fold {i} of {cv}")
            for i, (train, test) in enumerate(folds)]


def least_distance(one, other):
    """Frames between the nearest two samples of different sides in one recording: negative if they overlap, None if
    they share no recording."""
    distances, others = [], other.merged
    for name, (starts, stops) in one.merged.items():
        for low, high in zip(*others.get(name, ((), ())), strict=True):
            distances.append(int(min(max(a, low) - min(b, high) for a, b in zip(starts, stops, strict=True))))
    return min(distances, default=None)


def _refuse(role, one, test, embargo, where):
    hit = test.overlapping(one, embargo)
    if not hit.any():
        return
    found = f"{hit.sum()} of {len(test)} test samples"
    if shared := common_frames(one, test):
        name, first, last = shared[0]
        more = f" and {len(shared) - 1} more ranges" if len(shared) > 1 else ""
        reach = [f"{step} ({back} back, {ahead} ahead)"
                 for step, (back, ahead) in {**one.reach, **test.reach}.items() if back or ahead]
        steps = f"; steps that reach: {', '.join(reach)}" if reach else ""
        found += f" touch frames that {role} touches too, in recording {name} frames {first} .. {last}{more}{steps}"
    else:
        name, start, stop = test[int(hit.argmax())]
        found += f" closer than {embargo} frames to {role}, in recording {name} frames {start} .. {stop - 1}"
    raise LeakError(where, found, "no frame touched by both, and the embargo between them",
                    "split time first and make samples inside the parts, with a gap (splits.blocked); "
                    "fit and choose on training and validation samples only")
