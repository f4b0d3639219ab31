"""How far apart training and test have to be: purge (what samples touch) and embargo (how long behaviour remembers)."""

import math

import numpy as np
from statsmodels.tsa.stattools import acf

from calcium_decoding.errors import DataError, LeakError, ParameterError
from calcium_decoding.preprocessing.transforms import whole_number


def purge_gap_frames(spec, pipeline, label_smoothing_frames=0):
    """Frames that must lie between two roles: window, label shift, reach of preprocessing and of label smoothing.

    Parameters
    ----------
    spec : WindowSpec
    pipeline : Pipeline
    label_smoothing_frames : int or (int, int)
        See :func:`label_reach`.

    Raises
    ------
    LeakError
        A step looks at the whole recording, so no gap is wide enough.
    """
    reach = pipeline.look_back_frames + pipeline.look_ahead_frames
    if math.isinf(reach):
        step = widest_step(pipeline)
        raise LeakError(
            f"preprocessing step {type(step).__name__}",
            "a step that looks at the whole recording, test frames included, in a split within recordings",
            "steps of limited reach",
            "use the recipe 'causal' or 'scaled' (or 'events'), or a split across sessions or animals",
        )
    return int(spec.length + abs(spec.label_shift_frames) + reach + sum(label_reach(label_smoothing_frames)))


def label_reach(label_smoothing_frames):
    """How many frames before and after a frame its smoothed label depends on, (int, int).

    Parameters
    ----------
    label_smoothing_frames : int or (int, int)
        Length of a centred :func:`~calcium_decoding.preprocessing.moving_mean` (30 frames for the speed of Ajioka et
        al. 2024; 0 or 1: not smoothed), or the frames that it looks back and ahead.
    """
    if isinstance(label_smoothing_frames, tuple | list):
        back, ahead = label_smoothing_frames
        return whole_number("label look-back", back, 0), whole_number("label look-ahead", ahead, 0)
    frames = max(1, whole_number("label_smoothing_frames", label_smoothing_frames, 0))
    return frames // 2, (frames - 1) // 2


def widest_step(pipeline):
    """The step of a pipeline that reaches furthest, or None if none reaches beyond the present frame."""
    reach = [step.look_back_frames + step.look_ahead_frames for step in pipeline.steps]
    return pipeline.steps[int(np.argmax(reach))] if reach and max(reach) > 0 else None


def autocorrelation_frames(values):
    """Autocorrelation time, frames: the first lag at which the autocorrelation is below 1/e, at least 1.

    Parameters
    ----------
    values : array_like, shape (T,)

    Raises
    ------
    DataError
        Fewer than three frames, values that are not finite, or a constant.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) < 3 or not np.isfinite(values).all() or np.ptp(values) == 0:
        raise DataError("autocorrelation time", f"{values.size} values of shape {values.shape} that are too few, "
                        "constant or not finite", "finite values of three frames or more that vary",
                        "measure it on a recording in which the behaviour changes")
    # The sum of all sample autocorrelations of a centred series is zero, so one of them is below 1/e.
    return int(np.argmax(acf(values, nlags=len(values) - 1, fft=True) < 1 / math.e))


def embargo_frames(dataset, times=3.0, label="run"):
    """A few autocorrelation times of the behaviour, to be kept free between training and test.

    Samples that share no frame are still alike while behaviour and activity remember each other; see chapter
    ``02_splits_and_leakage``.

    Parameters
    ----------
    dataset : Dataset
    times : float
        How many autocorrelation times.
    label : str
        Which behaviour.

    Returns
    -------
    int
        Frames: ``times`` x the median of :func:`autocorrelation_frames` over recordings in which it changes, rounded
        up.

    Raises
    ------
    ParameterError
        ``times`` is negative or not finite.
    DataError
        The behaviour changes in no recording, or a recording does not have it.
    """
    if not 0 <= times < math.inf:
        raise ParameterError("times", repr(times), "0 or more autocorrelation times", "change it")
    found = []
    for recording in dataset.recordings:
        if label not in recording.behaviour:
            raise DataError(recording.id, f"no behaviour '{label}'", f"one of {', '.join(recording.behaviour)}",
                            "name another behaviour")
        values = recording.behaviour[label]
        if values.min() < values.max() and len(values) > 2:
            found.append(autocorrelation_frames(values))
    if not found:
        raise DataError(dataset.name, f"'{label}' changes in no recording", "a behaviour that changes",
                        "set the embargo by hand, or use other data")
    return math.ceil(times * float(np.median(found)))
