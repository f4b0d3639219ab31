"""A public widefield recording of one mouse with its pupil, wheel and whisking."""

import numpy as np
from scipy.ndimage import gaussian_filter1d

from calcium_decoding.data.readers.common import check_folder, check_steps
from calcium_decoding.data.readers.mat import check_array, load_mat
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import DataError

WHEEL_THRESHOLD = 0.5  # in the wheel's own unit: well above its noise at rest, far below its maximum, 7.8
WHEEL_SMOOTHING_FRAMES = 5  # standard deviation


def read_isfn(folder, rate_hz=10.0, strict=True):
    """Data set of one recording, widefield: 48 cortical parcels in a unit not named, with pupil, wheel and whisking.

    ``folder`` holds ``data_animal1.mat``: ``x`` (48, T); ``t`` (T, 1), seconds, checked against ``rate_hz``;
    ``behavior_traces`` (3, T) in the order of the cell array ``behavior_labels``. The run label is |wheel - median|,
    smoothed by a Gaussian of 5 frames SD (9.7 % of frames in 9 bouts, against 47 without), above 0.5. ``strict`` has no
    effect. DataError: the file is missing, cut or lacks a variable; times that do not fit the rate; labels that do not
    fit the traces, or no wheel. Source: GitHub ``hadasbenisty/ISFN_workshop_WideFieldCa``; no licence, no DOI.
    """
    folder = check_folder(folder)
    path = folder / "data_animal1.mat"
    data = load_mat(path, ["x", "t", "behavior_traces", "behavior_labels"])
    labels = check_array(data["behavior_labels"], "behavior_labels", path, list)
    traces, signal, t_s = (check_array(data[name], name, path) for name in ("behavior_traces", "x", "t"))
    if len(labels) != len(traces) or "wheel" not in labels:
        raise DataError(path, f"{len(traces)} traces with the labels {', '.join(map(str, labels))}",
                        "one label a trace, one of them 'wheel'", "check the file")
    if t_s.size != signal.shape[-1]:
        raise DataError(path, f"{t_s.size} times for a signal of shape {signal.shape}",
                        "parcels by time, with one time a frame",
                        "swap parcels and time (transpose x), or cut both to the frames they share")
    traces = dict(zip(labels, traces, strict=True))
    movement = np.abs(traces["wheel"] - np.median(traces["wheel"]))
    run = gaussian_filter1d(movement, WHEEL_SMOOTHING_FRAMES) > WHEEL_THRESHOLD
    note = (f"run label: |wheel - median|, smoothed by a Gaussian of {WHEEL_SMOOTHING_FRAMES} frames SD, > "
            f"{WHEEL_THRESHOLD} (wheel's own unit): {100 * run.mean():.1f} % of frames in "
            f"{np.count_nonzero(np.diff(run.astype(np.int8), prepend=0) == 1)} bouts")
    recording = Recording(signal.T, {"run": run, **traces}, rate_hz, "animal 1", "session 1", signal_unit="a.u.",
                          source=str(path), notes=(note,))
    check_steps(t_s, 1 / recording.rate_hz, "s", path)
    return Dataset(folder.name, (recording,))
