"""Blood and movement taken out of fluorescence by a second excitation, violet, at which the indicator hardly changes.

The violet trace, put on the times of the blue one and smoothed, is regressed out of it by ROI or by pixel, as in Musall
et al. 2019, DOI 10.1038/s41593-019-0502-4, but with slopes from training frames alone. What neurons and blood share
goes too: where both follow a behaviour, some of the neurons' part of it is lost.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from calcium_decoding.data.movies import kept, stretches
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.preprocessing.transforms import Transform, whole_number, window_mean
from calcium_decoding.utils.code import code_digest
from calcium_decoding.utils.files import hash_content


def with_control(recording, control, names=()):
    """A recording with a control trace beside each ROI: columns of ROIs, then as many of controls, for a preprocessing
    with ``blood``. ``control``: ndarray, (T, n_roi). DataError: another shape."""
    control = np.asarray(control)
    if control.shape != recording.signal.shape:
        raise DataError(recording.source or recording.id, f"a control of shape {control.shape}",
                        f"that of the signal, {recording.signal.shape}: one control trace a ROI, on the same frames",
                        "cut both to the frames they share, or take the control from the same ROIs")
    names = tuple(names) or tuple(f"{name} (control)" for name in recording.roi_names)
    return replace(recording, signal=np.concatenate([recording.signal, control], axis=1),
                   roi_names=(*recording.roi_names, *names))


@dataclass(frozen=True)
class AlignControl(Transform):
    """Put the control, the second half of the columns, on the times of the ROIs, the first half, and smooth it.

    Parameters
    ----------
    offset_frames : float
        How much later a frame of the control is than that of the ROIs with the same number, between -1 and 1: 0.5
        where blue and violet alternate and blue comes first.
    how : str
        ``"linear"``: between the control before and after; looks 1 frame ahead, also where that is the control of the
        same number, which is later than the frame itself. ``"previous"``: the last one before; looks ahead 0 frames.
    smooth_frames : int
        Length of a moving mean over the control, whose noise else makes the slope too small. 1: none.
    smoothing : str
        ``"centred"``: zero phase, looks ``(smooth_frames - 1) // 2`` frames ahead. ``"trailing"``: none ahead, but the
        control then lags by as much.
    """

    offset_frames: float = 0.5
    how: str = "linear"
    smooth_frames: int = 15
    smoothing: str = "centred"

    def __post_init__(self):
        if isinstance(self.offset_frames, bool) or not isinstance(self.offset_frames, int | float | np.number) or \
                not -1 < self.offset_frames < 1:
            raise ParameterError("offset_frames", repr(self.offset_frames), "a number between -1 and 1, in frames of "
                                 "one channel", "give 0.5, or -0.5 where the control comes first")
        for name, ways in (("how", ("linear", "previous")), ("smoothing", ("centred", "trailing"))):
            if getattr(self, name) not in ways:
                raise ParameterError(name, repr(getattr(self, name)), f"one of {', '.join(ways)}", "name one of these")
        object.__setattr__(self, "smooth_frames", whole_number("smooth_frames", self.smooth_frames, 1))

    @property
    def _mean_of(self):
        n = self.smooth_frames
        return (n // 2, (n - 1) // 2) if self.smoothing == "centred" else (n - 1, 0)

    @property
    def look_back_frames(self):
        return self._mean_of[0] + int(self.offset_frames > 0)

    @property
    def look_ahead_frames(self):
        return self._mean_of[1] + int(self.offset_frames != 0 and self.how == "linear")

    def transform(self, signal, name=""):
        n = _halves(signal.shape[1], name)
        return np.concatenate([signal[:, :n], self.on_signal(signal[:, n:])], axis=1, dtype=np.float32)

    def on_signal(self, control):
        """The control alone, (T, n), float64, at the times of the signal; at either end the nearest one is held."""
        control, offset = np.asarray(control, np.float64), self.offset_frames
        before = control if offset <= 0 else np.concatenate([control[:1], control[:-1]])
        if offset and self.how == "linear":
            after = control if offset > 0 else np.concatenate([control[1:], control[-1:]])
            before = before * (offset % 1) + after * (1 - offset % 1)
        return window_mean(before, *self._mean_of) if self.smooth_frames > 1 else before


@dataclass(eq=False)
class RegressOut(Transform):
    """Subtract from each ROI its control, the second half of the columns, times a slope by least squares from training
    frames. The mean of a ROI over them stays. Reaches no other frame: :class:`AlignControl` before it does. DataError:
    a control that is constant on the training frames, an odd number of columns."""

    fitted_on = "training frames"

    def width(self, n_roi):
        return n_roi // 2

    def fit(self, pieces):
        """Learn slopes from ``pieces``, an iterable of arrays (frames, 2 n_roi) that is read once."""
        sums = _Slopes()
        for piece in pieces:
            n = _halves(piece.shape[1], "")
            sums.add(piece[:, :n], piece[:, n:])
        self.slope = sums.slope
        if len(constant := np.flatnonzero(np.isnan(self.slope))):
            raise DataError("control traces", f"{len(constant)} that are constant on the training frames, the first of "
                            f"ROI {constant[0] + 1} (counted from 1)", "controls that vary", "leave these ROIs out, or "
                            "decode without the correction")
        self.offset = np.concatenate(sums.means)
        return self

    def transform(self, signal, name=""):
        n = _halves(signal.shape[1], name)
        self._check_fitted(signal, name)
        return (signal[:, :n] - self.slope * (signal[:, n:].astype(np.float64) - self.offset[n:])).astype(np.float32)


def blood_corrected(recording, violet, folder, training=None, align=None):
    """A recording whose movie is corrected by pixel as :class:`RegressOut` corrects ROIs. Traces stay as they are.

    Parameters
    ----------
    recording : Recording
        With its movie at blue excitation.
    violet : Movie
        As many frames of the same size; see :func:`calcium_decoding.data.movies.split_channels`.
    folder : path
        The corrected movie is written here, once, in the type of the former one: integers rounded, and set to the
        limits of the type beyond them.
    training : sequence of (int, int), optional
        Half-open ranges of the frames from which slopes are learnt. All frames if left out, which the notes then say.
    align : AlignControl, optional
        By default with the offset between the two movies.

    Returns
    -------
    Recording
        Its notes say what was done; the reach of every behaviour is widened by that of the correction, for the leak
        audit, which counts the distance between a label and the frames that a window around it was made from.

    Raises
    ------
    DataError
        No movie, movies of different shapes, ranges outside them. WriteError: no room.
    """
    blue = recording.movie
    if blue is None or violet.shape != blue.shape:
        raise DataError(recording.id, f"a blue movie of shape {None if blue is None else blue.shape}, a violet one of "
                        f"{violet.shape}", "two of one shape", "split the channels with split_channels")
    align = align or AlignControl(violet.offset_frames - blue.offset_frames)
    ranges = sorted(training) if training is not None else [(0, len(blue))]
    last = 0
    for start, stop in ranges:
        if not last <= start < stop <= len(blue):
            raise DataError(recording.id, f"training frames {start} .. {stop}", f"ranges inside 0 .. {len(blue)}, in "
                            "order, that do not overlap", "mend the split")
        last = stop
    state = hash_content([violet.content_hash(), repr(align), ranges, code_digest("preprocessing")])
    copy = kept(blue, Path(folder), f"blood-{blue.content_hash()[:16]}", state,
                lambda: _corrected(blue, violet, align, ranges), f"take blood out of {blue.path.name}")
    back, ahead = align.look_back_frames, align.look_ahead_frames
    learnt = f"{sum(stop - start for start, stop in ranges)} frames" if training is not None else \
        "all frames, those of any test among them"
    note = (f"movie corrected for blood by violet frames, traces not: slopes from {learnt}; looks back {back} and "
            f"ahead {ahead} frames; stored as {blue.dtype}")
    reach = {name: tuple(a + b for a, b in zip(recording.reach.get(name, (0, 0)), (back, ahead), strict=True))
             for name in recording.behaviour}
    return replace(recording, movie=copy, notes=(*recording.notes, note), reach=reach)


def _corrected(blue, violet, align, ranges):
    sums = _Slopes()
    for start, stop in ranges:
        for first, frames in stretches(_Part(blue, start, stop)):
            sums.add(_flat(frames), _aligned(violet, align, start + first, start + first + len(frames)))
    slope, mean = np.nan_to_num(sums.slope), sums.means[1]  # a pixel without violet stays as it is
    kind = blue.dtype
    for first, frames in stretches(blue):
        found = _flat(frames) - slope * (_aligned(violet, align, first, first + len(frames)) - mean)
        if kind.kind in "ui":
            found = np.rint(found).clip(np.iinfo(kind).min, np.iinfo(kind).max)
        yield found.reshape(frames.shape).astype(kind)


class _Part:
    """Frames ``start`` to ``stop`` of a movie, as if they were one."""

    def __init__(self, movie, start, stop):
        self.movie, self.start, self.shape = movie, start, (stop - start, *movie.shape[1:])

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, some):
        return self.movie[self.start + some.start : self.start + min(some.stop, len(self))]


def _flat(frames):
    return frames.reshape(len(frames), -1).astype(np.float64)


def _aligned(violet, align, start, stop):
    first, last = max(0, start - align.look_back_frames), min(len(violet), stop + align.look_ahead_frames)
    return align.on_signal(_flat(violet[first:last]))[start - first : stop - first]


class _Slopes:
    """Means of two sets of columns, and slopes of the first on the second, from pieces that are added (Chan et al.
    1983: only one is in memory at a time)."""

    def __init__(self):
        self.n, self.means, self.squares, self.products = 0, (0.0, 0.0), 0.0, 0.0

    def add(self, signal, control):
        signal, control = np.asarray(signal, np.float64), np.asarray(control, np.float64)
        means = signal.mean(axis=0), control.mean(axis=0)
        s, c = signal - means[0], control - means[1]
        apart = [one - other for one, other in zip(means, self.means, strict=True)]
        total = self.n + len(s)
        weight = self.n * len(s) / total
        self.squares = self.squares + (c**2).sum(axis=0) + apart[1] ** 2 * weight
        self.products = self.products + (s * c).sum(axis=0) + apart[0] * apart[1] * weight
        self.means = tuple(m + a * len(s) / total for m, a in zip(self.means, apart, strict=True))
        self.n = total

    @property
    def slope(self):
        """(n,), NaN where the control is constant."""
        if not self.n:
            raise DataError("RegressOut", "no training frames", "at least one", "give training ranges")
        # Rounding may leave a constant a tiny variance.
        varies = self.squares > self.n * np.square(1e-7 * np.maximum(np.abs(self.means[1]), 1e-30))
        return np.where(varies, self.products / np.where(varies, self.squares, 1), math.nan)


def _halves(n_columns, name):
    if n_columns % 2:
        raise DataError(f"recording {name or '(no name)'}", f"{n_columns} columns", "ROIs and as many controls",
                        "put the control beside the signal with preprocessing.with_control")
    return n_columns // 2
