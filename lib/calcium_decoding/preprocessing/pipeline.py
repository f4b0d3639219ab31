"""Preprocessing: transforms one after the other, with one declared reach and recipes by name."""

import math

import numpy as np

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.preprocessing import blood as blood_correction
from calcium_decoding.preprocessing import transforms
from calcium_decoding.preprocessing.recipes import RECIPES
from calcium_decoding.preprocessing.windows import checked_ranges


class Pipeline:
    """Transforms (a sequence, ``steps``) applied one after the other to whole recordings."""

    def __init__(self, steps):
        self.steps = tuple(steps)

    def __repr__(self):
        return f"Pipeline({list(self.steps)})"

    @property
    def look_back_frames(self):
        """Earlier frames that one output frame depends on: the sum over steps, or ``math.inf``."""
        return sum(step.look_back_frames for step in self.steps)

    @property
    def look_ahead_frames(self):
        """Later frames that one output frame depends on, likewise."""
        return sum(step.look_ahead_frames for step in self.steps)

    @property
    def fitted_on(self):
        """``"each recording"`` if any step is, else ``"training frames"`` if any is, else ``"nothing"``."""
        found = {step.fitted_on for step in self.steps}
        return next((x for x in ("each recording", "training frames") if x in found), "nothing")

    def width(self, n_roi):
        """Columns of the output, of a signal with so many."""
        for step in self.steps:
            n_roi = step.width(n_roi)
        return n_roi

    def fit(self, arrays, names):
        """Fit the steps that learn from training frames, each on the earlier steps' output; returns this Pipeline.

        ``arrays`` (sequence of (ndarray, list of (int, int))): a whole recording's signal (T, n_roi) and its training
        ranges, half-open frames. ``names``: of the recordings, for error messages. Raises DataError: a range outside
        its recording, ranges that overlap, different numbers of ROIs, values that are not finite.
        """
        arrays = list(arrays)
        widths = {name: np.shape(signal)[-1] for (signal, _), name in zip(arrays, names, strict=True)}
        if len(set(widths.values())) > 1:
            raise DataError("training recordings", f"numbers of ROIs {widths}", "one number of ROIs",
                            "use the same ROIs in every recording")
        for i, step in enumerate(self.steps):
            if step.fitted_on == "training frames":
                step.fit(_training_frames(self.steps[:i], arrays, names))
        return self

    def transform(self, signal, name=""):
        """Apply all steps to a whole recording, shape (T, n_roi); the result is float32. Raises DataError: not two
        axes, values that are not finite, or what a step refuses; ParameterError: a step was not fitted."""
        return _apply(self.steps, signal, name)


def build(name, rate_hz, baseline_frames=1000, time_constant_s=0.2, only_rois=(), components=None,
          blood=None):
    """Make a pipeline, not fitted, by the name of its recipe; :data:`RECIPES` says what each does.

    ``baseline_frames``: window of the baseline. ``time_constant_s``: of the smoothing (``"events"``). ``only_rois``:
    numbers, counted from 1, of the ROIs that are not set to 0; empty: all. ``components`` (dict): arguments of
    :class:`Components`, which is then the last step. ``blood`` (dict): arguments of :class:`AlignControl`, by which
    the second half of the columns, violet traces, is regressed out of the first, before these are scaled.
    Raises ParameterError: unknown name, or a value out of range.
    """
    if name not in RECIPES:
        raise ParameterError("preprocessing", repr(name), f"one of {', '.join(RECIPES)}", "use one of these")
    if not 0 < rate_hz < math.inf:
        raise ParameterError("rate_hz", repr(rate_hz), "a positive number of frames a second", "change rate_hz")
    steps = []
    if name in ("published", "centred_scaled"):
        steps.append(transforms.MovingMeanBaseline(baseline_frames))
    elif name in ("trailing", "causal"):
        steps.append(transforms.TrailingBaseline(baseline_frames))
    elif name == "events":
        steps.append(transforms.ExponentialSmoothing(time_constant_s * rate_hz))
    if blood is not None:
        steps += [blood_correction.AlignControl(**blood), blood_correction.RegressOut()]
    steps.append(transforms.MinMax() if name in ("published", "raw", "trailing") else transforms.ScaleByTraining())
    if np.size(only_rois):
        steps.append(transforms.OnlyRois(only_rois))
    if components:
        steps.append(transforms.Components(**components))
    return Pipeline(steps)


def _apply(steps, signal, name):
    signal = np.asarray(signal)
    where = f"recording {name or '(no name)'}"
    if signal.ndim != 2 or 0 in signal.shape:
        raise DataError(where, f"signal of shape {signal.shape}", "shape (T, n_roi), neither of them 0",
                        "give one row a frame and one column a ROI")
    if not np.isfinite(signal).all():
        raise DataError(where, "NaN or infinite values in the signal", "finite numbers only",
                        "repair these frames, or leave the ROI or the recording out")
    for step in steps:
        signal = step.transform(signal, name)
    return signal.astype(np.float32, copy=False)


def _training_frames(steps, arrays, names):
    for (signal, ranges), name in zip(arrays, names, strict=True):
        transformed = _apply(steps, signal, name)
        for start, stop in checked_ranges(name, len(transformed), ranges):
            yield transformed[start:stop]
