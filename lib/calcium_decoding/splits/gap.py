"""How far apart training and test have to be: purge (what samples touch) and embargo (how long behaviour remembers)."""

import math

import numpy as np
from statsmodels.tsa.stattools import acf

from calcium_decoding.errors import DataError, LeakError, ParameterError


def purge_gap_frames(spec, pipeline, label_smoothing_frames=(0, 0)):
    """Frames that must lie between two roles: window, label shift, reach of preprocessing and of label smoothing.

    ``label_smoothing_frames``: how many frames the smoothing of the label looks back and ahead, (int, int). Raises
    LeakError: a step looks at the whole recording.
    """
    reach = pipeline.look_back_frames + pipeline.look_ahead_frames
    if math.isinf(reach):
        step = widest_step(pipeline)
        raise LeakError(f"preprocessing step {type(step).__name__}",
                        "a step that looks at the whole recording, test frames included, in a split within recordings",
                        "steps of limited reach",
                        "use the recipe 'causal' or 'scaled' (or 'events'), or a split across sessions or animals")
    return int(spec.length + abs(spec.label_shift_frames) + reach + sum(label_smoothing_frames))


def widest_step(pipeline):
    """The step of a pipeline that reaches furthest, or None if none reaches beyond the present frame."""
    reach = [step.look_back_frames + step.look_ahead_frames for step in pipeline.steps]
    return pipeline.steps[int(np.argmax(reach))] if reach and max(reach) > 0 else None


def autocorrelation_frames(values):
    """Autocorrelation time, frames: the first lag at which the autocorrelation of ``values`` (T,) is below 1/e, at
    least 1. Raises DataError: fewer than three frames, values that are not finite, or a constant."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) < 3 or not np.isfinite(values).all() or np.ptp(values) == 0:
        raise DataError("autocorrelation time", f"{values.size} values of shape {values.shape} that are too few, "
                        "constant or not finite", "finite values of three frames or more that vary",
                        "measure it on a recording in which the behaviour changes")
    # The sum of all sample autocorrelations of a centred series is zero, so one of them is below 1/e.
    return int(np.argmax(acf(values, nlags=len(values) - 1, fft=True) < 1 / math.e))


def embargo_frames(dataset, times, label="run"):
    """Frames to be kept free between training and test because behaviour remembers itself over them.

    ``times`` (float) times the median of :func:`autocorrelation_frames` of the behaviour ``label`` over the recordings
    in which it changes, rounded up; see chapter ``02_splits_and_leakage``. Raises ParameterError: ``times`` is negative
    or not finite; DataError: the behaviour changes in no recording, or a recording does not have it.
    """
    if not 0 <= times < math.inf:
        raise ParameterError("times", repr(times), "0 or more autocorrelation times", "change it")
    behaviour = [behaviour_of(recording, label) for recording in dataset.recordings]
    found = [autocorrelation_frames(values) for values in behaviour if values.min() < values.max() and len(values) > 2]
    if not found:
        raise DataError(dataset.name, f"'{label}' changes in no recording", "a behaviour that changes",
                        "set the embargo by hand, or use other data")
    return math.ceil(times * float(np.median(found)))


def behaviour_of(recording, label):
    """A behaviour of a recording by name, shape (T,), or DataError if there is none of this name."""
    if label not in recording.behaviour:
        raise DataError(recording.id, f"no behaviour '{label}'", f"one of {', '.join(recording.behaviour)}",
                        "name another behaviour")
    return recording.behaviour[label]
