"""Preprocessing: transforms one after the other, with one declared reach and recipes by name."""

import math

import numpy as np

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.preprocessing.recipes import RECIPES
from calcium_decoding.preprocessing.transforms import (
    ExponentialSmoothing,
    MinMax,
    MovingMeanBaseline,
    OnlyRois,
    ScaleByTraining,
    TrailingBaseline,
)


class Pipeline:
    """Transforms (a sequence, ``steps``) applied one after the other to whole recordings."""

    def __init__(self, steps):
        self.steps = tuple(steps)

    def __repr__(self):
        return f"Pipeline({list(self.steps)})"

    @property
    def look_back_frames(self):
        """How many earlier frames one output frame depends on: the sum over steps, or ``math.inf``."""
        return sum(step.look_back_frames for step in self.steps)

    @property
    def look_ahead_frames(self):
        """How many later frames one output frame depends on: the sum over steps, or ``math.inf``."""
        return sum(step.look_ahead_frames for step in self.steps)

    @property
    def fitted_on(self):
        """``"each recording"`` if any step is, else ``"training frames"`` if any is, else ``"nothing"``."""
        found = {step.fitted_on for step in self.steps}
        return next((x for x in ("each recording", "training frames") if x in found), "nothing")

    def fit(self, arrays, names):
        """Fit the steps that learn from training frames, each on the earlier steps' output on those frames.

        ``arrays`` (sequence of (ndarray, list of (int, int))): a whole recording's signal (T, n_roi) and its training
        ranges, half-open frames. ``names`` (sequence of str): recording ids, for error messages. Returns this Pipeline,
        fitted; fitting again forgets the former fit. Raises DataError: a range outside its recording, recordings with
        different numbers of ROIs, values that are not finite.
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
        """Apply all steps to a whole recording, shape (T, n_roi); the result is float32.

        ``name``: recording id, for error messages. Raises DataError: not two axes, values that are not finite, or what
        a step refuses. Raises ParameterError: a step that learns from training frames was not fitted.
        """
        return _apply(self.steps, signal, name)

    def describe(self):
        """One dict a step, in order, for provenance; the same before and after fitting."""
        return [step.describe() for step in self.steps]


def build(name, rate_hz, baseline_frames=1000, time_constant_s=0.2, only_rois=()):
    """Make a pipeline by the name of its recipe; :data:`RECIPES` says what each does.

    Parameters
    ----------
    name : {"published", "raw", "causal", "scaled", "events"}
    rate_hz : float
        Frames per second.
    baseline_frames : int
        Window of the baseline (``"published"``, ``"causal"``).
    time_constant_s : float
        Time constant of the smoothing (``"events"``), seconds.
    only_rois : sequence of int
        Numbers, counted from 1, of the ROIs that stay; the last step sets all others to 0. Empty: all stay.

    Returns
    -------
    Pipeline
        Not fitted.

    Raises
    ------
    ParameterError
        Unknown name, or a parameter out of range.
    """
    if name not in RECIPES:
        raise ParameterError("preprocessing", repr(name), f"one of {', '.join(RECIPES)}", "use one of these")
    if not 0 < rate_hz < math.inf:
        raise ParameterError("rate_hz", repr(rate_hz), "a positive number of frames a second",
                             "change rate_hz")
    steps = {
        "published": lambda: [MovingMeanBaseline(baseline_frames), MinMax()],
        "raw": lambda: [MinMax()],
        "causal": lambda: [TrailingBaseline(baseline_frames), ScaleByTraining("standard")],
        "scaled": lambda: [ScaleByTraining("standard")],
        "events": lambda: [ExponentialSmoothing(time_constant_s * rate_hz), ScaleByTraining("standard")],
    }
    restriction = [OnlyRois(only_rois)] if np.size(only_rois) else []
    return Pipeline([*steps[name](), *restriction])


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
        for start, stop in ranges:
            if not 0 <= start < stop <= len(transformed):
                raise DataError(f"recording {name}", f"training range {start} .. {stop}",
                                f"a range inside 0 .. {len(transformed)}", "mend the split")
            yield transformed[start:stop]
