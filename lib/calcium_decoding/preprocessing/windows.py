"""Windows over frames: strided views and start indices, never all windows copied, never across a border."""

from dataclasses import dataclass, replace

import numpy as np

from calcium_decoding.errors import DataError
from calcium_decoding.preprocessing.transforms import whole_number

CLASSES = ("none", "contralateral", "ipsilateral")  # of footsteps


@dataclass(frozen=True)
class WindowSpec:
    """Which frames around a centre frame t a decoder sees, and which label it has to give.

    The window is frames ``t - past_frames .. t + future_frames``, the label is that of frame
    ``t + label_shift_frames``. Ajioka et al. 2024 (DOI 10.1371/journal.pcbi.1011074) use 15 and 15 at 30 Hz.
    ``stride``: frames from one centre to the next. Raises ParameterError: a value that is not a whole number or is out
    of range.
    """

    past_frames: int
    future_frames: int
    stride: int = 1
    label_shift_frames: int = 0

    def __post_init__(self):
        for name, minimum in (("past_frames", 0), ("future_frames", 0), ("stride", 1),
                              ("label_shift_frames", -(2**31))):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), minimum))

    @property
    def length(self):
        """Frames in one window."""
        return self.past_frames + self.future_frames + 1

    @property
    def reach_back(self):
        """Frames before the centre that window and label need."""
        return max(self.past_frames, -self.label_shift_frames)

    @property
    def reach_ahead(self):
        """Frames after the centre that window and label need."""
        return max(self.future_frames, self.label_shift_frames)

    @property
    def frames_needed(self):
        """Least number of uninterrupted frames that hold one window and its label."""
        return self.reach_back + 1 + self.reach_ahead

    def look_ahead_ms(self, rate_hz):
        """Milliseconds from the centre frame to the last frame of the window."""
        return 1000 * self.future_frames / rate_hz


def valid_centres(start, stop, spec):
    """Centre frames, shape (n,), int64, whose window and label (WindowSpec) both lie in ``start .. stop - 1``."""
    return np.arange(start + spec.reach_back, stop - spec.reach_ahead, spec.stride, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class WindowSet:
    """Windows of several recordings over frames that are stored once. Make it with :meth:`build` or :meth:`over`.

    ``frames``, shape (N, n_roi), float32: from :meth:`build` the frames of all ranges, one after the other, and no
    others; from :meth:`over` the array that was given. Of each window ``starts``: row of ``frames`` at which it begins;
    ``labels``, a structured array where several things are decoded at once; ``recording``: index into ``ids``, the
    recordings; ``centre``: its centre frame, counted in its recording.
    """

    frames: np.ndarray
    starts: np.ndarray
    labels: np.ndarray
    recording: np.ndarray
    centre: np.ndarray
    ids: tuple[str, ...]
    spec: WindowSpec

    @classmethod
    def build(cls, pieces, spec):
        """Lay windows over the ranges of several recordings. None crosses a range or a recording.

        ``pieces`` (iterable of (str, ndarray (T, n_roi), array_like (T,), list of (int, int))): recording id, signal,
        label of each frame, half-open ranges. Raises DataError: no window fits, different numbers of ROIs, lengths that
        disagree, a range out of its recording, ranges that overlap, a recording twice.
        """
        kept, laid, n_kept, n_roi = [], [], 0, None
        for name, signal, label, ranges in pieces:
            label, where = np.asarray(label), f"recording {name}"
            if signal.ndim != 2 or label.ndim not in (1, 2) or len(label) != len(signal):
                raise DataError(where, f"signal of shape {signal.shape}, labels of shape {label.shape}",
                                "shapes (T, n_roi) and (T,), or (T, k) for several quantities",
                                "give one label a frame")
            n_roi = signal.shape[1] if n_roi is None else n_roi
            if signal.shape[1] != n_roi:
                raise DataError(where, f"{signal.shape[1]} ROIs after recordings with {n_roi}",
                                "one number of ROIs", "use the same ROIs in every recording")
            spans = []
            for start, stop in checked_ranges(name, len(signal), ranges):
                spans.append((start, stop, n_kept))
                if stop - start >= spec.frames_needed:
                    kept.append(signal[start:stop])
                    n_kept += stop - start
            laid.append((name, label, spans))
        return cls._laid(lambda: np.concatenate(kept, dtype=np.float32, casting="same_kind"), laid, spec)

    @classmethod
    def over(cls, frames, pieces, spec):
        """Lay windows over ``frames`` (shape (N, n_roi), float32), signals of several recordings, each in one stretch,
        not copied. ``pieces`` and errors: as for :meth:`build`, but in place of the signal its first row there."""
        laid = []
        for name, first, label, ranges in pieces:
            label = np.asarray(label)
            if not 0 <= first <= first + len(label) <= len(frames):
                raise DataError(f"recording {name}", f"rows {first} .. {first + len(label)}",
                                f"rows inside the {len(frames)} of the frames", "give the row of its first frame")
            checked = checked_ranges(name, len(label), ranges)
            laid.append((name, label, [(start, stop, first + start) for start, stop in checked]))
        return cls._laid(lambda: frames, laid, spec)

    @classmethod
    def _laid(cls, frames, pieces, spec):
        """Windows of pieces of (id, labels, spans); a span is a range and its first row of frames."""
        starts, labels, recording, centre, ids = [], [], [], [], []
        longest = 0
        for index, (name, label, spans) in enumerate(pieces):
            if name in ids:
                raise DataError(f"recording {name}", "the recording twice", "each recording once",
                                "give all its ranges in one piece")
            ids.append(name)
            for start, stop, row in spans:
                longest = max(longest, stop - start)
                centres = valid_centres(start, stop, spec)
                if len(centres):
                    starts.append(row + centres - spec.past_frames - start)
                    labels.append(label[centres + spec.label_shift_frames])
                    recording.append(np.full(len(centres), index, dtype=np.int32))
                    centre.append(centres)
        if not starts:
            raise DataError(", ".join(ids[:5]) or "windows", f"at most {longest} frames in one piece",
                            f"at least {spec.frames_needed} (window of {spec.length}, label shift of "
                            f"{spec.label_shift_frames} frames)",
                            "use a shorter window or smaller shift, or longer pieces")
        return cls(frames(), *map(np.concatenate, (starts, labels, recording, centre)), ids=tuple(ids), spec=spec)

    def __len__(self):
        return len(self.starts)

    @property
    def n_roi(self):
        """ROIs of a frame."""
        return self.frames.shape[1]

    def some(self, which):
        """WindowSet of some of the windows, by slice or array_like of int or bool, over the same frames."""
        return replace(self, **{name: getattr(self, name)[which] for name in ("starts", "labels", "recording",
                                                                              "centre")})

    def gather(self, indices):
        """Copy the windows with some indices, array_like of int, shape (k,), to (k, length, n_roi), float32."""
        first = self.starts[np.asarray(indices, dtype=np.int64)]
        return self.frames[first[:, None] + np.arange(self.spec.length)]


def checked_ranges(name, n_frames, ranges):
    """The half-open ranges in order, or DataError if one lies outside the recording or two overlap."""
    last = 0
    for start, stop in sorted(ranges):
        if not last <= start < stop <= n_frames:
            raise DataError(f"recording {name}", f"range {start} .. {stop}",
                            f"half-open ranges inside 0 .. {n_frames} that do not overlap", "mend the split")
        last = stop
    return sorted(ranges)


@dataclass(frozen=True, eq=False)
class Scaling:
    """Mean and SD of each column over training frames, shape (n_columns,), float64; SD 1 of one that never changes."""

    mean: np.ndarray
    sd: np.ndarray

    @classmethod
    def of(cls, values):
        """Fit on training frames, shape (n, n_columns)."""
        sd = values.std(0, dtype=np.float64)
        return cls(values.mean(0, dtype=np.float64), np.where(sd > 0, sd, 1.0))

    def apply(self, values):
        """(values - mean) / sd, float32."""
        return ((values - self.mean) / self.sd).astype(np.float32)

    def undo(self, values):
        """Back to the unit of the data, float64."""
        return np.asarray(values, np.float64) * self.sd + self.mean
