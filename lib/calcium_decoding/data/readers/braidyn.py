"""BraiDyn-BC (DANDI 001425): traces of 44 cortical parcels of mice that pull a lever, an NWB file a session."""

from dataclasses import replace
from datetime import datetime

import h5py
import numpy as np

from calcium_decoding.data.clock import Series, with_behaviour
from calcium_decoding.data.readers.common import Intake, check_folder, check_steps, readable
from calcium_decoding.data.recording import Recording
from calcium_decoding.errors import DataError

SIGNALS = ("dFF", "dFF_B", "dFF_V")
ON_FRAMES = ("state_lever", "lever", "lick", "lick_rate", "reward", "tone", "motion", "state_task")
PAWS = {"rightpawcenter": "rightpaw", "leftpawcenter": "leftpaw"}
SMOOTHED_S = 0.1  # over which the speed of a paw is taken, up to the frame


def read_braidyn(folder, rate_hz=30.0, signal="dFF", strict=False):
    """Data set of the task sessions below a folder: NWB files whose names hold ``task`` and ``behavior``.

    Sessions are called by their date, ROIs by their name in the atlas, so that a result can be followed back. Behaviour
    is what the files hold on imaging frames (``state_lever``, ``lever`` in mm, ``lick``, ``lick_rate`` in Hz,
    ``reward``, ``tone``, ``motion`` in a.u., ``state_task``), and of either paw ``rightpaw_x_px``, ``rightpaw_y_px``
    and ``rightpaw_speed_px_s``: the mean of the tracked positions within a frame, and how far it went in the 0.1 s up
    to the frame. ``signal``: ``"dFF"``, which is corrected for blood; ``"dFF_B"`` or ``"dFF_V"``, the channels it was
    made of.

    The correction was made over whole sessions and forwards as well as backwards in time, so that these traces look
    ahead of their frame by themselves; a note says so. Trials are not read: in the published files the labels of missed
    and failed ones are swapped. DataError: no such file, arrays that are missing, lengths or clocks that do not agree.
    """
    if signal not in SIGNALS:
        raise DataError("read_braidyn", f"the signal '{signal}'", f"one of {', '.join(SIGNALS)}", "name one of these")
    found = sorted(check_folder(folder).rglob("*.nwb"))
    paths = [path for path in found if "task" in path.name and "behavior" in path.name]
    if not paths:
        raise DataError(folder, f"{len(found)} NWB files, none with 'task' and 'behavior' in its name",
                        "task sessions, such as sub-X_ses-Y-task-day1_behavior+ophys.nwb",
                        "fetch these, or mend the path")
    intake = Intake(strict)
    for path in paths:
        with intake.session(path.name):
            intake.recordings.append(_read(path, rate_hz, signal))
    return intake.dataset(check_folder(folder).name)


def _read(path, rate_hz, signal):
    with readable(path, "an NWB file in the layout of BraiDyn-BC", "a whole file", "fetch it again"), \
            h5py.File(path) as file:
        traces = _at(file, f"processing/ophys/DfOverF/{signal}", path)
        data, times_s = traces["data"][()], traces["timestamps"][()]
        names = tuple(_at(file, "processing/ophys/ImageSegmentation/ROIs/roi_name", path).asstr()[()])
        if data.shape != (len(times_s), len(names)):
            raise DataError(path, f"{signal} of shape {data.shape}, {len(times_s)} times, {len(names)} ROIs",
                            "a value for each time and ROI", "fetch the file again")
        check_steps(times_s, 1 / rate_hz, "s", f"{path}, {signal}/timestamps")
        behaviour = {}
        for name in ON_FRAMES:
            one = _at(file, f"processing/downsampled/{name}", path)
            behaviour[name] = one["data"][()]
            if not np.array_equal(one["timestamps"][()], times_s):
                raise DataError(path, f"downsampled/{name} on other times than {signal}", "the times of the frames",
                                "put it on the frames with calcium_decoding.data.with_behaviour")
        series = []
        for name, short in PAWS.items():
            points = _at(file, f"processing/behavior/body_video_keypoints/{name}", path)
            series += [Series(f"{short}_{axis}_px", points["timestamps"][()], column, source=str(path))
                       for axis, column in zip("xy", points["data"][()].T, strict=True)]
        subject = _at(file, "general/subject/subject_id", path).asstr()[()]
        began = datetime.fromisoformat(_at(file, "session_start_time", path).asstr()[()])
        simulated = "SIMULATED" in str(file["general/notes"].asstr()[()] if "general/notes" in file else "")
    notes = (f"{signal} was filtered forwards and backwards and corrected over the whole session: it looks ahead",)
    recording = Recording(data, behaviour, rate_hz, subject, f"{began:%Y-%m-%d}", roi_names=names, notes=notes,
                          signal_unit="dF/F", source=str(path), times_s=times_s, simulated=simulated)
    return _with_speeds(with_behaviour(recording, *series, how="mean"), max(1, round(SMOOTHED_S * rate_hz)))


def _at(file, place, path):
    if place not in file:
        raise DataError(path, f"nothing at {place}", "a task session in the layout of BraiDyn-BC",
                        "see what is there with calcium-decoding data inspect")
    return file[place]


def _with_speeds(recording, frames):
    """With the speed of either paw (px/s) over some frames up to each; it was made from these and no later ones."""
    behaviour, reach = dict(recording.behaviour), dict(recording.reach)
    for short in PAWS.values():
        xy = np.stack([recording.behaviour[f"{short}_{axis}_px"] for axis in "xy"], 1)
        steps = np.linalg.norm(xy[frames:] - xy[:-frames], axis=1) * recording.rate_hz / frames
        behaviour[f"{short}_speed_px_s"] = np.concatenate([np.zeros(frames), steps])
        back, ahead = recording.reach[f"{short}_x_px"]
        reach[f"{short}_speed_px_s"] = back + frames, ahead
    notes = (*recording.notes, f"speed of the paws over {frames} frames up to each, 0 in the first {frames}")
    return replace(recording, behaviour=behaviour, reach=reach, notes=notes)
