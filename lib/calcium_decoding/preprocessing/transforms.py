"""Transforms of activity before decoding, each saying which frames it looks at and what it was fitted on.

Three declarations travel with every transform and decide whether a split leaks: ``look_back_frames`` and
``look_ahead_frames`` (how far from frame t the frames lie that the output at t depends on, ``math.inf`` for
the whole recording) and ``fitted_on`` (``"nothing"``, ``"each recording"`` or ``"training frames"``).
"""

import dataclasses
import math
from dataclasses import dataclass, field

import numpy as np
from scipy.signal import lfilter

from calcium_decoding.errors import DataError, ParameterError

COLUMNS_AT_ONCE = 64  # float64 working copies stay small however many ROIs a recording has


def whole_number(name, value, minimum):
    """``value`` as int, refused with :class:`ParameterError` if it is not a whole number >= ``minimum``."""
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_whole or value < minimum:
        raise ParameterError(name, repr(value), f"a whole number, at least {minimum}", f"change {name}")
    return int(value)


def moving_mean(x, frames):
    """Centred moving mean over time, as MATLAB ``movmean``: the window shrinks at the ends.

    Not causal: it looks ahead ``(frames - 1) // 2`` frames. An even window of 30 covers frames i-15 .. i+14.

    Parameters
    ----------
    x : array_like, shape (T, ...)
        Time first.
    frames : int
        Window length, at least 1. Longer than the recording is allowed.

    Returns
    -------
    ndarray, shape (T, ...), float64

    Raises
    ------
    ParameterError
        ``frames`` is not a whole number of at least 1.
    """
    frames = whole_number("frames", frames, 1)
    x = np.asarray(x, dtype=np.float64)
    return _window_mean(x.reshape(len(x), -1), frames // 2, (frames - 1) // 2).reshape(x.shape)


class Transform:
    """What all transforms share: a declared reach, and ``transform(signal, name) -> float32 (T, n_roi)``."""

    look_back_frames = 0
    look_ahead_frames = 0
    fitted_on = "nothing"

    @property
    def is_causal(self):
        """True if the output at frame t depends on no later frame of the recording t is in."""
        return self.look_ahead_frames == 0 and self.fitted_on != "each recording"

    def describe(self):
        """Name, parameters and reach as a dict that JSON can hold."""
        return {
            "step": type(self).__name__,
            "parameters": {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init},
            "look_back_frames": _reach_in_words(self.look_back_frames),
            "look_ahead_frames": _reach_in_words(self.look_ahead_frames),
            "fitted_on": self.fitted_on,
            "causal": self.is_causal,
        }


@dataclass(frozen=True)
class _MeanBaseline(Transform):
    """Subtract a moving mean over ``frames`` frames from each ROI."""

    frames: int = 1000

    def __post_init__(self):
        object.__setattr__(self, "frames", whole_number("frames", self.frames, 1))

    def transform(self, signal, name=""):
        past, future = self.look_back_frames, self.look_ahead_frames
        return _by_columns(lambda x: _minus_window_mean(x, past, future), signal)


@dataclass(frozen=True)
class MovingMeanBaseline(_MeanBaseline):
    """Subtract the centred :func:`moving_mean` over ``frames`` frames from each ROI. Not causal.

    Ajioka et al. 2024, DOI 10.1371/journal.pcbi.1011074: MATLAB ``movmean`` over 1,000 frames at 30 Hz.
    """

    @property
    def look_back_frames(self):
        return self.frames // 2

    @property
    def look_ahead_frames(self):
        return (self.frames - 1) // 2


@dataclass(frozen=True)
class TrailingBaseline(_MeanBaseline):
    """Subtract the mean of the last ``frames`` frames, the present one included, from each ROI. Causal.

    The window shrinks at the start of the recording, so frame 0 becomes 0.
    """

    @property
    def look_back_frames(self):
        return self.frames - 1


@dataclass(frozen=True)
class ExponentialSmoothing(Transform):
    """First-order low pass: the frame k frames ago weighs ``exp(-k / time_constant_frames)``. Causal.

    Start-up is unbiased: the weighted sum is divided by the sum of the weights of the frames that exist so
    far, so frame 0 stays as it is and a constant stays constant. The filter never quite forgets;
    ``look_back_frames`` is the number of frames after which a frame weighs less than 1e-3 of the present one
    (about 6.9 time constants), and all frames before that together carry less than 1e-3 of the output.

    Parameters
    ----------
    time_constant_frames : float
        Time constant in frames, above 0.
    """

    time_constant_frames: float

    def __post_init__(self):
        tau = self.time_constant_frames
        if isinstance(tau, bool) or not isinstance(tau, int | float | np.number) or not 0 < tau < math.inf:
            raise ParameterError("time_constant_frames", repr(tau), "a positive number of frames",
                                 "change time_constant_frames")
        object.__setattr__(self, "time_constant_frames", float(tau))

    @property
    def look_back_frames(self):
        return math.ceil(self.time_constant_frames * math.log(1000))

    def transform(self, signal, name=""):
        tau = self.time_constant_frames
        decay = math.exp(-1 / tau)
        gain = -math.expm1(-1 / tau)
        weight_so_far = -np.expm1(-np.arange(1, len(signal) + 1) / tau)[:, None]
        return _by_columns(lambda x: lfilter([gain], [1.0, -decay], x, axis=0) / weight_so_far, signal)


@dataclass(frozen=True)
class MinMax(Transform):
    """Scale each ROI of each recording to [0, 1] by its least and greatest value over the whole recording.

    Not causal, and every output frame depends on every frame of the recording. Ajioka et al. 2024,
    DOI 10.1371/journal.pcbi.1011074. A constant ROI is refused: the published formula divides by zero there.
    """

    look_back_frames = math.inf
    look_ahead_frames = math.inf
    fitted_on = "each recording"

    def transform(self, signal, name=""):
        """Raise :class:`DataError`, naming recording and ROI, if an ROI is constant."""
        low, high = signal.min(axis=0).astype(np.float64), signal.max(axis=0).astype(np.float64)
        constant = np.flatnonzero(low == high)
        if len(constant):
            rois = ", ".join(str(i + 1) for i in constant[:10]) + (", ..." if len(constant) > 10 else "")
            raise DataError(
                f"recording {name or '(no name)'}",
                f"{len(constant)} constant ROI(s) of {signal.shape[1]}: number {rois} (counted from 1)",
                "ROIs that vary, because min-max scaling divides by the range",
                "leave these ROIs out of every recording, or use a recipe that scales by training frames",
            )
        return _by_columns(lambda x, low, high: (x - low) / (high - low), signal, low, high)


@dataclass(eq=False)
class ScaleByTraining(Transform):
    """Scale each ROI by what it did on the training frames only. Causal once fitted.

    Unlike :class:`MinMax` it does not refuse an ROI that is constant on the training frames: that ROI is set
    to 0 everywhere, since nothing was learnt about its scale, and listed in ``constant_rois``.

    Parameters
    ----------
    kind : {"minmax", "standard"}
        ``"minmax"``: training range to [0, 1]; other frames may lie outside. ``"standard"``: training mean to
        0 and training standard deviation (divisor n) to 1.

    Attributes
    ----------
    constant_rois : tuple of int
        Columns, counted from 0, that were constant on the training frames. ``None`` before :meth:`fit`.
    """

    kind: str = "standard"
    constant_rois: tuple[int, ...] | None = field(default=None, init=False)
    offset: np.ndarray | None = field(default=None, init=False, repr=False)
    scale: np.ndarray | None = field(default=None, init=False, repr=False)

    fitted_on = "training frames"

    def __post_init__(self):
        if self.kind not in ("minmax", "standard"):
            raise ParameterError("kind", repr(self.kind), "'minmax' or 'standard'", "use one of these two")

    def fit(self, pieces):
        """Learn offset and scale from ``pieces``, an iterable of arrays (frames, n_roi) that is read once."""
        n, mean, squares, low, high = 0, 0.0, 0.0, math.inf, -math.inf
        for piece in pieces:
            piece = np.asarray(piece, dtype=np.float64)
            # Merged piece by piece (Chan et al. 1983), so that only one recording is in memory at a time.
            difference = piece.mean(axis=0) - mean
            total = n + len(piece)
            squares = squares + ((piece - piece.mean(axis=0)) ** 2).sum(axis=0)
            squares = squares + difference**2 * n * len(piece) / total
            mean = mean + difference * len(piece) / total
            n = total
            low, high = np.minimum(low, piece.min(axis=0)), np.maximum(high, piece.max(axis=0))
        if n == 0:
            raise DataError("ScaleByTraining", "no training frames", "at least one", "give training ranges")
        constant = low == high  # not squares == 0: rounding may leave a constant ROI a tiny variance
        self.constant_rois = tuple(int(i) for i in np.flatnonzero(constant))
        self.offset, scale = (low, high - low) if self.kind == "minmax" else (mean, np.sqrt(squares / n))
        self.scale = np.where(constant, math.inf, scale)  # dividing by infinity keeps the ROI at 0
        return self

    def transform(self, signal, name=""):
        if self.scale is None:
            raise ParameterError("ScaleByTraining", "transform before fit",
                                 "a scale learnt from training frames",
                                 "call fit with the training pieces of the fold first")
        if signal.shape[1] != len(self.scale):
            raise DataError(f"recording {name or '(no name)'}", f"{signal.shape[1]} ROIs",
                            f"{len(self.scale)} ROIs, as in training", "use the same ROIs in every recording")
        return _by_columns(lambda x, offset, scale: (x - offset) / scale, signal, self.offset, self.scale)


@dataclass(frozen=True)
class OnlyRois(Transform):
    """Set all ROIs but some to 0; their number stays. Causal.

    The region restriction of Ajioka et al. 2024, DOI 10.1371/journal.pcbi.1011074: after scaling, in training,
    validation and test alike, so that the decoder never sees the others and nothing in its shape changes.

    Parameters
    ----------
    rois : sequence of int
        Numbers of the ROIs that stay, counted from 1 as in the study.
    """

    rois: tuple[int, ...]

    def __post_init__(self):
        if isinstance(self.rois, str) or not np.iterable(self.rois) or not len(self.rois):
            raise ParameterError("only_rois", repr(self.rois), "numbers of ROIs, counted from 1",
                                 "name the ROIs that stay")
        rois = tuple(whole_number("only_rois", roi, 1) for roi in self.rois)
        if len(set(rois)) < len(rois):
            twice = sorted({roi for roi in rois if rois.count(roi) > 1})
            raise ParameterError("only_rois", f"ROI {', '.join(map(str, twice))} twice", "each ROI once",
                                 "name each ROI once")
        object.__setattr__(self, "rois", rois)

    def transform(self, signal, name=""):
        """Raise :class:`ParameterError`, naming the recording, if it has fewer ROIs than a number says."""
        if max(self.rois) > signal.shape[1]:
            raise ParameterError("only_rois", f"ROI {max(self.rois)}",
                                 f"numbers from 1 to {signal.shape[1]}, the ROIs of recording {name or '(no name)'}",
                                 "name ROIs that are there")
        kept = np.zeros_like(signal, dtype=np.float32)
        columns = np.array(self.rois) - 1
        kept[:, columns] = signal[:, columns]
        return kept


def _window_mean(x, past, future):
    """Mean over frames i-past .. i+future that exist; x (T, n) float64.

    A running sum over the recording would carry the rounding of one huge frame to all later ones. Sums from
    the left and from the right inside blocks of one window length need no subtraction: each window is the end
    of one block and the beginning of the next.
    """
    n_frames, n_columns = x.shape
    past, future = min(past, n_frames - 1), min(future, n_frames - 1)
    length = past + future + 1
    padded_length = -(-(n_frames + length - 1) // length) * length
    padded = np.zeros((padded_length, n_columns))
    padded[past:past + n_frames] = x
    blocks = padded.reshape(-1, length, n_columns)
    from_left = np.cumsum(blocks, axis=1).reshape(padded.shape)
    from_right = np.cumsum(blocks[:, ::-1], axis=1)[:, ::-1].reshape(padded.shape)
    total = from_left[length - 1:length - 1 + n_frames].copy()
    begins_inside = np.arange(n_frames) % length != 0  # a window that is one whole block is in from_left
    total[begins_inside] += from_right[:n_frames][begins_inside]
    i = np.arange(n_frames)
    count = np.minimum(i + future, n_frames - 1) - np.maximum(i - past, 0) + 1
    return total / count[:, None]


def _minus_window_mean(x, past, future):
    x = x - x[:1]  # so that a constant float64 ROI becomes exactly 0, not rounding that min-max blows up
    return x - _window_mean(x, past, future)


def _by_columns(function, signal, *per_column):
    out = np.empty(signal.shape, dtype=np.float32)
    for first in range(0, signal.shape[1], COLUMNS_AT_ONCE):
        some = slice(first, first + COLUMNS_AT_ONCE)
        out[:, some] = function(signal[:, some].astype(np.float64), *(values[some] for values in per_column))
    return out


def _reach_in_words(frames):
    return "whole recording" if math.isinf(frames) else int(frames)
