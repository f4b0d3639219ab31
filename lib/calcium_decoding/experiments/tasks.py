"""What a decoder has to give for each frame: run or rest, or a speed, smoothed or not."""

import re

import numpy as np
import pandas as pd

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.preprocessing.transforms import moving_mean

# Behaviours that say how fast an animal was, the first one there counts, with their units.
SPEEDS = {"speed_cm_s": "cm/s", "velocity": "the recording's own unit"}


def task_of(target):
    """``"run"`` (a class is decoded) or ``"speed"`` (a number is)."""
    return "run" if target == "run" else "speed"


def target_of(recording, target="run", smoothing="none"):
    """Target of each frame of a recording.

    ``target``: ``"run"``: the run label. ``"speed"``: ``speed_cm_s`` or else the size of ``velocity``, in its unit.
    Otherwise the name of a behaviour, taken as it is. ``smoothing``: of a speed: ``"none"``; ``"moving_mean_30"``, the
    centred moving mean over frames i-15 .. i+14 of Ajioka et al. 2024 (MATLAB ``movmean``); ``"causal_30"``, the mean
    over frames i-29 .. i. Windows shrink at the ends of the recording. Any number of frames may stand for 30. Returns
    ndarray, shape (T,), uint8 for ``"run"``, else float32. Raises DataError: the recording does not have the behaviour.
    Raises ParameterError: unknown smoothing, or a run label that is to be smoothed.
    """
    kind, frames = _parsed(smoothing)
    if target == "run":
        if kind != "none":
            raise ParameterError("target_smoothing", repr(smoothing), "'none' for run and rest", "decode speed instead")
        return recording.run
    name = target if target != "speed" else next((n for n in SPEEDS if n in recording.behaviour), "a speed")
    if name not in recording.behaviour:
        raise DataError(f"recording {recording.id}", f"behaviour {', '.join(sorted(recording.behaviour)) or 'none'}",
                        f"{name}, in {' or '.join(SPEEDS)}" if target == "speed" else f"'{name}'",
                        "decode what was measured, or another data set")
    values = recording.behaviour[name].astype(np.float64)
    if target == "speed" and name == "velocity":
        values = np.abs(values)  # there and back count alike
    if kind == "moving_mean":
        values = moving_mean(values, frames)
    elif kind == "causal":
        values = pd.Series(values).rolling(frames, min_periods=1).mean().to_numpy()
    return values.astype(np.float32)


def unit_of(recording, target="speed"):
    """Unit of a target, for axes."""
    name = target if target != "speed" else next((n for n in SPEEDS if n in recording.behaviour), "")
    return "0 rest, 1 run" if target == "run" else SPEEDS.get(name, "the recording's own unit")


def reach(smoothing):
    """Frames before and after a frame that its smoothed target depends on, for the audit, as (int, int)."""
    kind, frames = _parsed(smoothing)
    return {"none": (0, 0), "moving_mean": (frames // 2, (frames - 1) // 2), "causal": (frames - 1, 0)}[kind]


def _parsed(smoothing):
    found = re.fullmatch(r"(none)|(moving_mean|causal)_([1-9]\d*)", str(smoothing))
    if not found:
        raise ParameterError("target_smoothing", repr(smoothing),
                             "none, moving_mean_30 or causal_30, or another number", "name one of these")
    return ("none", 1) if found[1] else (found[2], int(found[3]))
