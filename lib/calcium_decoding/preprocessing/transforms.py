"""Transforms of activity before decoding, each saying which frames it looks at and what it was fitted on."""

import math
from dataclasses import dataclass

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
    """Centred moving mean over time, as MATLAB ``movmean``: the window shrinks at the ends. Not causal.

    ``x``: array_like, shape (T, ...). ``frames``: window length, at least 1, else ParameterError; 30 cover frames
    i-15 .. i+14. Returns ndarray, shape (T, ...), float64.
    """
    frames = whole_number("frames", frames, 1)
    x = np.asarray(x, dtype=np.float64)
    return window_mean(x.reshape(len(x), -1), frames // 2, (frames - 1) // 2).reshape(x.shape)


class Transform:
    """What all transforms share: ``transform(signal, name) -> float32 (T, n_roi)``, and what decides if a split leaks.

    ``look_back_frames``, ``look_ahead_frames``: how far from frame t the frames lie that the output at t depends on;
    ``math.inf``: the whole recording. ``fitted_on``: ``"nothing"``, ``"each recording"`` or ``"training frames"``.
    """

    look_back_frames = 0
    look_ahead_frames = 0
    fitted_on = "nothing"
    offset = None  # (n_roi,), learnt by those that are fitted

    def width(self, n_roi):
        """Columns of the output, of a signal with so many."""
        return n_roi

    def _check_fitted(self, signal, name):
        if self.offset is None:
            raise ParameterError(type(self).__name__, "transform before fit", "what it learns from training frames",
                                 "call fit with the training pieces of the fold first")
        if signal.shape[1] != len(self.offset):
            raise DataError(f"recording {name or '(no name)'}", f"{signal.shape[1]} ROIs",
                            f"{len(self.offset)} ROIs, as in training", "use the same ROIs in every recording")


@dataclass(frozen=True)
class _MeanBaseline(Transform):
    frames: int = 1000

    def __post_init__(self):
        object.__setattr__(self, "frames", whole_number("frames", self.frames, 1))

    def transform(self, signal, name=""):
        def without_mean(x):
            x = x - x[:1]  # so that a constant float64 ROI becomes exactly 0, not rounding that min-max blows up
            return x - window_mean(x, self.look_back_frames, self.look_ahead_frames)

        return _by_columns(without_mean, signal)


@dataclass(frozen=True)
class MovingMeanBaseline(_MeanBaseline):
    """Subtract the centred :func:`moving_mean` over ``frames`` frames from each ROI. Not causal.

    Ajioka et al. 2024, DOI 10.1371/journal.pcbi.1011074: MATLAB ``movmean`` over 1,000 frames at 30 Hz.
    """

    look_back_frames = property(lambda self: self.frames // 2)
    look_ahead_frames = property(lambda self: (self.frames - 1) // 2)


@dataclass(frozen=True)
class TrailingBaseline(_MeanBaseline):
    """Subtract the mean of the last ``frames`` frames, the present one included, from each ROI. Causal."""

    look_back_frames = property(lambda self: self.frames - 1)


@dataclass(frozen=True)
class ExponentialSmoothing(Transform):
    """First-order low pass: the frame k frames ago weighs ``exp(-k / time_constant_frames)``. Causal.

    The weighted sum is divided by the weights of the frames that exist so far: a constant stays constant. Frames before
    ``look_back_frames`` (about 6.9 time constants) together carry less than 1e-3 of the output.
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
    """Scale each ROI of each recording to [0, 1] by its range over the whole recording; DataError if it is constant.

    As Ajioka et al. 2024, DOI 10.1371/journal.pcbi.1011074.
    """

    look_back_frames = math.inf
    look_ahead_frames = math.inf
    fitted_on = "each recording"

    def transform(self, signal, name=""):
        low, high = signal.min(axis=0).astype(np.float64), signal.max(axis=0).astype(np.float64)
        constant = np.flatnonzero(low == high)
        if len(constant):
            rois = ", ".join(str(i + 1) for i in constant[:10]) + (", ..." if len(constant) > 10 else "")
            raise DataError(f"recording {name or '(no name)'}",
                            f"{len(constant)} constant ROI(s) of {signal.shape[1]}: number {rois} (counted from 1)",
                            "ROIs that vary, because min-max scaling divides by the range",
                            "leave these ROIs out of every recording, or use a recipe that scales by training frames")
        return _by_columns(lambda x, low, high: (x - low) / (high - low), signal, low, high)


@dataclass(eq=False)
class ScaleByTraining(Transform):
    """Training mean of each ROI to 0 and its training standard deviation (divisor n) to 1. Causal once fitted.

    ROIs that are constant on the training frames are set to 0 everywhere: nothing was learnt about their scale.
    """

    kind = "standard"  # for evaluation.linear_null, by whose source a stored measurement is named
    fitted_on = "training frames"

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
        # Not squares == 0: rounding may leave a constant ROI a tiny variance. Dividing by infinity keeps it at 0.
        self.offset, self.scale = mean, np.where(low == high, math.inf, np.sqrt(squares / n))
        return self

    def transform(self, signal, name=""):
        self._check_fitted(signal, name)
        return _by_columns(lambda x, offset, scale: (x - offset) / scale, signal, self.offset, self.scale)


@dataclass(frozen=True)
class OnlyRois(Transform):
    """Set all ROIs to 0 but those with the numbers ``rois``, counted from 1. Causal. The region restriction of Ajioka
    et al. 2024, DOI 10.1371/journal.pcbi.1011074."""

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
        if max(self.rois) > signal.shape[1]:
            raise ParameterError("only_rois", f"ROI {max(self.rois)}",
                                 f"numbers from 1 to {signal.shape[1]}, the ROIs of recording {name or '(no name)'}",
                                 "name ROIs that are there")
        kept = np.zeros_like(signal, dtype=np.float32)
        columns = np.array(self.rois) - 1
        kept[:, columns] = signal[:, columns]
        return kept


@dataclass(eq=False)
class Components(Transform):
    """The first principal components of standardised ROIs, each divided by the fourth root of its variance.

    So large components weigh more for a decoder that compares distances, but not all. Causal if fitted on training
    frames. ``n``: components; as many as ROIs if there are fewer. ``fitted_on``: ``"training frames"``, or, as is often
    published, ``"each recording"``; a split within sessions then leaks. ``seed``: of the randomised decomposition.
    """

    n: int = 20
    fitted_on: str = "training frames"
    seed: int = 0

    def __post_init__(self):
        self.n = whole_number("components", self.n, 1)
        if self.fitted_on not in ("training frames", "each recording"):
            raise ParameterError("fitted_on", repr(self.fitted_on), "'training frames' or 'each recording'",
                                 "use one of these two")

    look_back_frames = look_ahead_frames = property(lambda self: math.inf if self.fitted_on == "each recording" else 0)

    def width(self, n_roi):
        return min(self.n, n_roi)

    def fit(self, pieces):
        """Learn the components from ``pieces``, an iterable of arrays (frames, n_roi)."""
        from sklearn.decomposition import PCA
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler()
        frames = scaler.fit_transform(np.concatenate(list(pieces)))
        k = self.width(frames.shape[1])
        if len(frames) < k:
            raise DataError("Components", f"{len(frames)} training frames", f"{k} or more, one a component",
                            "use longer recordings or fewer components")
        pca = PCA(k, svd_solver="randomized" if k < frames.shape[1] else "full", random_state=self.seed).fit(frames)
        root = np.sqrt(np.where(pca.explained_variance_ > 0, pca.explained_variance_, 1.0)) ** 0.5
        self.offset = scaler.mean_ + pca.mean_ * scaler.scale_
        self.weights = (pca.components_ / root[:, None] / scaler.scale_).T
        return self

    def transform(self, signal, name=""):
        fitted = self if self.fitted_on == "training frames" else Components(self.n, seed=self.seed).fit([signal])
        fitted._check_fitted(signal, name)
        return ((signal - fitted.offset) @ fitted.weights).astype(np.float32)


def window_mean(x, past, future):
    """Mean over frames i-past .. i+future that exist; x (T, n) float64."""
    # A running sum would carry the rounding of one huge frame to all later ones. Sums from the left and from the right
    # inside blocks of one window length need no subtraction: a window ends one block and begins the next.
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


def _by_columns(function, signal, *per_column):
    out = np.empty(signal.shape, dtype=np.float32)
    for first in range(0, signal.shape[1], COLUMNS_AT_ONCE):
        some = slice(first, first + COLUMNS_AT_ONCE)
        out[:, some] = function(signal[:, some].astype(np.float64), *(values[some] for values in per_column))
    return out
