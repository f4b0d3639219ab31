"""Windows over frames: strided views and start indices, never all windows copied, never across a border."""

from dataclasses import dataclass, replace

import numpy as np

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.preprocessing.transforms import whole_number

CLASSES = ("none", "contralateral", "ipsilateral")  # of footsteps


@dataclass(frozen=True)
class WindowSpec:
    """Which frames around a centre frame t a decoder sees, and which label it has to give.

    The window is frames ``t - past_frames .. t + future_frames``, the label is that of frame
    ``t + label_shift_frames``. Ajioka et al. 2024 (DOI 10.1371/journal.pcbi.1011074) use 15 and 15 at 30 Hz.
    Causal if ``future_frames`` is 0.

    Parameters
    ----------
    past_frames, future_frames : int
        Frames before and after the centre, at least 0.
    stride : int
        Frames from one centre to the next, at least 1.
    label_shift_frames : int
        Positive: later behaviour. Negative: earlier behaviour.

    Raises
    ------
    ParameterError
        A value that is not a whole number or is out of range.
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
        if not rate_hz > 0:
            raise ParameterError("rate_hz", repr(rate_hz), "a positive number of frames a second",
                                 "change rate_hz")
        return 1000 * self.future_frames / rate_hz


def valid_centres(start, stop, spec):
    """Centre frames whose window and label both lie in frames ``start .. stop - 1``.

    ``start``, ``stop``: half-open range of frames. ``spec``: WindowSpec. Returns ndarray, shape (n,), int64: ``n =
    ceil((stop - start - spec.reach_back - spec.reach_ahead) / stride)``, or 0.
    """
    return np.arange(start + spec.reach_back, stop - spec.reach_ahead, spec.stride, dtype=np.int64)


def view(signal, spec):
    """All windows of one uninterrupted signal as a read-only view, no copy.

    ``signal``: ndarray, shape (T, n_roi). ``spec``: WindowSpec. Returns ndarray, shape (n, length, n_roi): row i is the
    window around ``valid_centres(0, T, spec)[i]``. Raises DataError: not two axes, or too few frames for one window.
    """
    if not isinstance(signal, np.ndarray) or signal.ndim != 2:
        raise DataError("signal", f"{type(signal).__name__} of shape {np.shape(signal)}",
                        "an array (T, n_roi)", "give one row a frame and one column a ROI")
    centres = valid_centres(0, len(signal), spec)
    if not len(centres):
        raise _too_short("signal", len(signal), spec)
    windows = np.lib.stride_tricks.sliding_window_view(signal, spec.length, axis=0)
    rows = slice(centres[0] - spec.past_frames, centres[-1] - spec.past_frames + 1, spec.stride)
    return windows[rows].transpose(0, 2, 1)


@dataclass(frozen=True, eq=False)
class WindowSet:
    """Windows of several recordings over frames that are stored once. Make it with :meth:`build` or :meth:`over`.

    Attributes
    ----------
    frames : ndarray, shape (N, n_roi), float32
        From :meth:`build` the frames of all ranges, one after the other, and no others; from :meth:`over` the array
        that was given.
    starts : ndarray, shape (n,), int64
        Row of ``frames`` at which each window begins.
    labels : ndarray, shape (n,)
        Label of each window, in the type it was given; a structured array where several things are decoded at once.
    recording : ndarray, shape (n,), int32
        Index into ``ids``.
    centre : ndarray, shape (n,), int64
        Centre frame of each window, counted in its recording; the label is ``label_shift_frames`` later.
    ids : tuple of str
        Recording ids.
    spec : WindowSpec
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

        ``pieces`` (iterable of (str, ndarray (T, n_roi), array_like (T,), list of (int, int))): recording id,
        transformed signal, label of each frame, half-open ranges of frames. Raises DataError: no window fits any range,
        different numbers of ROIs, lengths that disagree, a range out of its recording, ranges that overlap, or a
        recording given twice. A range too short for a window is allowed if another range has windows.
        """
        kept, laid, n_kept, n_roi = [], [], 0, None
        for name, signal, label, ranges in pieces:
            label = np.asarray(label)
            n_roi = signal.shape[-1] if n_roi is None else n_roi
            _check_signal(name, signal, label, n_roi)
            rows = {}
            for start, stop in _checked_ranges(name, len(signal), ranges):
                if stop - start >= spec.frames_needed:
                    kept.append(signal[start:stop])
                    rows[start] = n_kept
                    n_kept += stop - start
            laid.append((name, label, ranges, rows))
        return cls._laid(lambda: np.concatenate(kept, dtype=np.float32, casting="same_kind"), laid, spec)

    @classmethod
    def over(cls, frames, pieces, spec):
        """Lay windows over ranges of frames that are in one array already, which is used as it is and not copied.

        ``frames`` (ndarray, shape (N, n_roi), float32): transformed signals of several recordings, each in one stretch;
        a memory map, as a rule. ``pieces`` (iterable of (str, int, array_like (T,), list of (int, int))): recording id,
        row of ``frames`` with its first frame, label of each frame, half-open ranges of frames. Raises DataError: as
        for :meth:`build`, or a recording that is not inside ``frames``.
        """
        laid = []
        for name, first, label, ranges in pieces:
            label = np.asarray(label)
            if not 0 <= first <= first + len(label) <= len(frames):
                raise DataError(f"recording {name}", f"rows {first} .. {first + len(label)}",
                                f"rows inside the {len(frames)} of the frames", "give the row of its first frame")
            rows = {start: first + start for start, _ in _checked_ranges(name, len(label), ranges)}
            laid.append((name, label, ranges, rows))
        return cls._laid(lambda: frames, laid, spec)

    @classmethod
    def _laid(cls, frames, pieces, spec):
        """Windows of pieces of (id, labels, ranges, rows), where ``rows`` gives each range's first row of frames."""
        starts, labels, recording, centre, ids = [], [], [], [], []
        longest = 0
        for index, (name, label, ranges, rows) in enumerate(pieces):
            if name in ids:
                raise DataError(f"recording {name}", "the recording twice", "each recording once",
                                "give all its ranges in one piece")
            ids.append(name)
            for start, stop in sorted(ranges):
                longest = max(longest, stop - start)
                centres = valid_centres(start, stop, spec)
                if len(centres):
                    starts.append(rows[start] + centres - spec.past_frames - start)
                    labels.append(label[centres + spec.label_shift_frames])
                    recording.append(np.full(len(centres), index, dtype=np.int32))
                    centre.append(centres)
        if not starts:
            raise _too_short(", ".join(ids[:5]) or "windows", longest, spec)
        return cls(frames(), *map(np.concatenate, (starts, labels, recording, centre)), ids=tuple(ids), spec=spec)

    def __len__(self):
        return len(self.starts)

    @property
    def n_roi(self):
        """Number of ROIs."""
        return self.frames.shape[1]

    def some(self, which):
        """WindowSet of some of the windows, by slice or array_like of int or bool, over the same frames."""
        return replace(self, **{name: getattr(self, name)[which] for name in ("starts", "labels", "recording",
                                                                              "centre")})

    def gather(self, indices):
        """Copy the windows with some indices, array_like of int, shape (k,), to (k, length, n_roi), float32."""
        first = self.starts[np.asarray(indices, dtype=np.int64)]
        return self.frames[first[:, None] + np.arange(self.spec.length)]


def _check_signal(name, signal, label, n_roi):
    where = f"recording {name}"
    if signal.ndim != 2 or label.ndim not in (1, 2) or len(label) != len(signal):
        raise DataError(where, f"signal of shape {signal.shape}, labels of shape {label.shape}",
                        "shapes (T, n_roi) and (T,), or (T, k) for several quantities", "give one label a frame")
    if signal.shape[1] != n_roi:
        raise DataError(where, f"{signal.shape[1]} ROIs after recordings with {n_roi}",
                        "one number of ROIs", "use the same ROIs in every recording")


def _checked_ranges(name, n_frames, ranges):
    """The ranges in order, or DataError if one lies outside the recording or two overlap."""
    last = 0
    for start, stop in sorted(ranges):
        if not last <= start < stop <= n_frames:
            raise DataError(f"recording {name}", f"range {start} .. {stop}",
                            f"half-open ranges inside 0 .. {n_frames} that do not overlap", "mend the split")
        last = stop
    return sorted(ranges)


def _too_short(where, found, spec):
    return DataError(where, f"at most {found} frames in one piece",
                     f"at least {spec.frames_needed} (window of {spec.length}, label shift of "
                     f"{spec.label_shift_frames} frames)",
                     "use a shorter window or smaller shift, or longer pieces")


@dataclass(frozen=True, eq=False)
class Scaling:
    """Mean and SD of each column over training frames only.

    ``mean``, ``sd`` (ndarray, shape (n_columns,), float64): a column that never changes in training has SD 1.
    """

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
