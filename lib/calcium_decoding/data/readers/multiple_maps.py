"""Public recordings of hippocampal cells in mice that run to and fro on a linear track."""

import numpy as np
from scipy.ndimage import median_filter

from calcium_decoding.data.readers.common import Intake, check_folder, read_table
from calcium_decoding.data.readers.mat import check_array, load_mat
from calcium_decoding.data.recording import Recording
from calcium_decoding.errors import DataError

ENVIRONMENT = "Environment A"
# On a log scale |velocity| of all trials has two humps, rest near 0.6 and running near 35, and its valley at
# 10 to 13. The median is taken before the absolute value, because tracking noise changes sign from frame to
# frame and running does not: with it 16 to 28 % of a day's frames are running, without it up to 55 %.
VELOCITY_THRESHOLD = 10.0
VELOCITY_MEDIAN_FRAMES = 11
VELOCITY_OUTLIER = 100.0  # running stays below about 80; what lies beyond are jumps of the tracker
# Most trials are one frame off the log. The most that is still aligned is 72 frames, missing at the end of the trial
# (position decoded from the cells keeps in step all along); the next is 669, in a film that was interrupted.
MOST_FRAMES_OFF = 100


def read_multiple_maps(folder, rate_hz=20.0, strict=False):
    """Hippocampal cells of mice on a linear track over eight days; one recording a trial.

    The events of a day are one matrix, cut into trials by a log. Behaviour is trimmed to the frames it shares with the
    log; a note says so. A trial that is more than 100 frames off is refused, and a day with two such trials altogether.
    The run label is |median of velocity over 11 centred frames| above 10 (velocity's own unit). The animals rest at the
    ends of the track, so place alone predicts rest.

    ``folder`` holds ``<mouse>/Environment A/`` with three files a day: ``behavior_<day>.mat`` (``my_mvmt``: an entry
    for each row of the log, with ``velocity`` and ``position``, empty where behaviour was not scored),
    ``finalEventsMat_<day>.mat`` (``allEventsMat``: frames by cells) and ``frameLog_<day>.csv`` (``trial``,
    ``begFrame``, ``endFrame``: counted from 1, both included).

    Returns a Dataset: animals named by folder, sessions ``"day 1"``..., parts ``"trial 2"``... as numbered in the log.
    ``behaviour``: ``"run"``, and ``"velocity"`` and ``"position"`` in their own units, outliers kept. ROI names hold
    the day, because cell 5 of one day is not cell 5 of the next. Raises DataError: nothing usable.
    Source: Sheintuch, Geva et al. 2020, Curr Biol, doi:10.1016/j.cub.2020.02.018; GitHub ``zivlab/multiple_maps``.
    """
    folder = check_folder(folder)
    places = sorted(folder.glob(f"*/{ENVIRONMENT}"))
    if not places:
        raise DataError(folder, "no mice", f"<mouse>/{ENVIRONMENT}", "download them, or name the folder above the mice")
    intake = Intake(strict)
    for place in places:
        mouse, names = place.parent.name, (path.stem.removeprefix("behavior_") for path in place.glob("behavior_*.mat"))
        days = sorted(int(name) for name in names if name.isdecimal())
        if not days:
            raise DataError(place, "behaviour of no day", "behavior_<day>.mat", "download it, or leave the mouse out")
        for day in days:
            with intake.session(f"{mouse}/day {day}"):
                _take_day(place, mouse, day, rate_hz, intake)
    return intake.dataset(folder.name)


def _take_day(folder, mouse, day, rate_hz, intake):
    behaviour_path, events_path = folder / f"behavior_{day}.mat", folder / f"finalEventsMat_{day}.mat"
    log = _read_log(folder / f"frameLog_{day}.csv")
    events = check_array(load_mat(events_path, ["allEventsMat"])["allEventsMat"], "allEventsMat", events_path)
    if events.ndim != 2 or len(events) != log["endFrame"].iloc[-1]:
        raise DataError(events_path, f"events of shape {events.shape}",
                        f"frames by cells, with the {log['endFrame'].iloc[-1]} frames of the log",
                        "check that log and events belong together")
    trials = _read_trials(behaviour_path, log)
    misfits = [trial for trial in trials if trial["frames_off"] > MOST_FRAMES_OFF]
    if len(misfits) > 1:
        raise DataError(behaviour_path, "entries that do not match the frame log one to one: "
                        + "; ".join(_sizes(trial) for trial in misfits),
                        f"at most one trial more than {MOST_FRAMES_OFF} frames off",
                        "leave the day out, or align its entries with the log by hand")
    names = tuple(f"day{day}-cell{i + 1}" for i in range(events.shape[1]))
    for trial in trials:
        with intake.session(f"{mouse}/day {day}/{trial['name']}"):
            intake.recordings.append(_recording(
                trial, events, rate_hz=rate_hz, animal=mouse, session=f"day {day}", part=trial["name"],
                roi_names=names, signal_unit="events (a.u.)", source=f"{behaviour_path}, {trial['name']}"))


def _read_log(path):
    log = read_table(path, "the frame log of the day", "download it again")
    columns = ["trial", "begFrame", "endFrame"]
    if log.empty or not set(columns) <= set(log) or any(log[name].dtype.kind != "i" for name in columns):
        raise DataError(path, f"{len(log)} rows with the columns {', '.join(log)}",
                        f"rows of whole numbers in {', '.join(columns)}", "download it again")
    log = log[columns]
    expected_first = np.array([0, *log["endFrame"][:-1]]) + 1
    if (log["begFrame"] != expected_first).any() or (log["endFrame"] < log["begFrame"]).any():
        raise DataError(path, "trials that overlap, leave frames out or do not begin at frame 1",
                        "each trial to begin right after the one before", "download it again")
    return log


def _read_trials(path, log):
    entries = check_array(load_mat(path, ["my_mvmt"])["my_mvmt"], "my_mvmt", path, list)
    if len(entries) > len(log):
        raise DataError(path, f"{len(entries)} entries", f"at most {len(log)}, the rows of the frame log",
                        "check that log and behaviour belong together")
    trials = []
    for entry, row in zip(entries, log.itertuples(), strict=False):
        if not isinstance(entry, dict):  # an empty matrix: not scored
            continue
        if not {"velocity", "position"} <= set(entry):
            raise DataError(path, f"trial {row.trial} with {', '.join(entry)}", "velocity and position in each entry",
                            "download it again")
        velocity, position = np.ravel(entry["velocity"]), np.ravel(entry["position"])
        n_logged = row.endFrame - row.begFrame + 1
        trials.append({"name": f"trial {row.trial}", "velocity": velocity, "position": position,
                       "first": row.begFrame - 1, "n_logged": n_logged, "frames_off": abs(len(velocity) - n_logged)})
    return trials


def _sizes(trial):
    n = len(trial["velocity"])
    return f"{trial['name']} has {n} frames of behaviour and {trial['n_logged']} of imaging"


def _recording(trial, events, **about):
    if trial["frames_off"] > MOST_FRAMES_OFF:
        raise DataError(about["source"], _sizes(trial), f"equal lengths to within {MOST_FRAMES_OFF} frames",
                        "leave the trial out")
    n, first = min(len(trial["velocity"]), trial["n_logged"]), trial["first"]
    velocity, position = trial["velocity"][:n], trial["position"][:n]
    run = np.abs(median_filter(velocity, VELOCITY_MEDIAN_FRAMES, mode="nearest")) > VELOCITY_THRESHOLD
    notes = [f"run label: |median of velocity over {VELOCITY_MEDIAN_FRAMES} centred frames| > "
             f"{VELOCITY_THRESHOLD:g} (velocity's own unit)"]
    if trial["frames_off"]:
        notes.append(f"{_sizes(trial)}: trimmed to {n}")
    jumps = np.abs(velocity)[np.abs(velocity) > VELOCITY_OUTLIER]
    if len(jumps):
        notes.append(f"{len(jumps)} frames with |velocity| > {VELOCITY_OUTLIER:g}, up to {jumps.max():.0f}: "
                     "jumps of the tracker, kept in 'velocity'")
    return Recording(events[first:first + n], {"run": run, "velocity": velocity, "position": position},
                     notes=tuple(notes), **about)
