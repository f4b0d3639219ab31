"""NWB files, local or at an address; only what is used is read."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from calcium_decoding.data.clock import frame_times, on_frames, with_behaviour
from calcium_decoding.data.frame_clock import with_times
from calcium_decoding.data.readers.activity.nwb_series import (
    behaviour_of,
    groups_of,
    has_clock,
    is_traces,
    opened,
    scale_of,
    source_of,
    text_of,
    time_axis,
    times_of,
)
from calcium_decoding.data.readers.activity.nwb_write import BEHAVIOUR, written_recording
from calcium_decoding.data.readers.activity.traces import cells_of, rate_of, recording_of
from calcium_decoding.errors import DataError

CELL_COLUMNS = ("iscell", "is_cell", "accepted")  # of a plane table, in any case
BLOCK_VALUES = 4_000_000  # that are read at once


def read_nwb(path, series=None, animal=None, session=None, cells_only=True, behaviour=None, how=None, rule=None):
    """A Recording from an NWB file.

    Which axis is time follows from the timestamps and from how many ROIs the series names, not from what is longer.
    ROIs keep the names that their plane table has for them (``roi_name``), else its ids.

    Parameters
    ----------
    path : path or str
        A file, or the address (http, https) of one, of which only what is needed is fetched (extra ``formats``).
    series : str, optional
        Name, or end of the path, of the series of traces; needed where there are several.
    animal, session : str, optional
        In place of the subject's id, and of the session's id or the file's name; ``"{date}"`` in the latter stands for
        the day on which the session began.
    cells_only : bool
        Keep the ROIs that the plane table says are cells (``iscell``, ``accepted``), if it does; the notes give both
        counts. False keeps all.
    behaviour : str, sequence of str, or dict, optional
        Names of :func:`nwb_behaviour`, or ends of their paths; a dict gives each a name of its own: ``{"paw_x_px":
        "behavior/keypoints/paw_x"}``. All that overlap the frames in time if left out, () for none.
    how : str or dict, optional
        As of :func:`~calcium_decoding.with_behaviour`.
    rule : str, optional
        As of :func:`~calcium_decoding.with_times`, for numbers of frames and timestamps that differ.

    Returns
    -------
    Recording

    Raises
    ------
    DataError
        Not an NWB file, no series of traces or several without a name, axes that are not sure, no name of the animal,
        a clock that does not fit, a behaviour that is not there or cannot be read.
    """
    source, behaviour = source_of(path), [behaviour] if isinstance(behaviour, str) else behaviour
    with opened(path) as file:
        groups = groups_of(file)
        if series is how is rule is None and (own := written_recording(file, source, behaviour, animal=animal,
                                                                       session=session)) is not None:
            if behaviour is not None:
                return own
            added = {place: group for place, group in groups.items() if not place.startswith(BEHAVIOUR)}
            return _on_frames(own, behaviour_of(added, source), how, may_lack=True)
        place, group = _chosen(groups, series, source)
        where = f"{source}, {place}"
        about = _about(file, path, animal, session, source)
        axis, why = time_axis(group)
        if axis is None:
            raise DataError(where, f"data of shape {group['data'].shape} with {why}", "(time, roi)",
                            "write the file again, with a timestamp a frame and a region of the plane table that names "
                            "each ROI")
        names, kept, notes, stated_hz = _rois(group, axis, cells_only, where)
        data = group["data"]
        if axis:
            notes.insert(0, f"stored {data.shape}, ROI first; turned to time first")
        signal, scaled = _signal(data, axis, kept)
        times, rate_hz, said = _clock(group, len(signal), stated_hz, where)
        unit = f"{place.rpartition('/')[2]} ({text_of(data.attrs.get('unit', 'a.u.'))})"
        recording = recording_of(signal, names, rate_hz, (*notes, *scaled, *said), signal_unit=unit, source=source,
                                 **about)
        recording = with_times(recording, times, rule)
        return _on_frames(recording, behaviour_of(groups, source, behaviour), how, may_lack=behaviour is None)


def _on_frames(recording, found, how, may_lack):
    """A recording with behaviour on its frames; what is known at none of them is left out if it may lack."""
    chosen = [one for one in found.values() if not may_lack or _is_known(one, recording, how)]
    strangers = [name for name in found if name not in {one.name for one in chosen}]
    notes = (*recording.notes, *found.notes)
    if strangers:
        notes = (*notes, f"behaviour left out (known at no frame): {', '.join(strangers)}")
    return with_behaviour(replace(recording, notes=notes), *chosen, how=how)


def _chosen(groups, series, source):
    """Path and group of the series of traces."""
    traces = {path: group for path, (group, kind) in groups.items() if is_traces(group, kind)}
    if not traces:
        held = [f"{path.partition('/')[2]} ({kind})" for path, (group, kind) in groups.items()
                if "data" in group or "timestamps" in group or "start_time" in group]
        raise DataError(source, f"no series of traces, but {', '.join(held) or 'nothing'}", "a RoiResponseSeries",
                        "name a file with traces of ROIs; behaviour alone is read by nwb_behaviour")
    fits = [path for path in traces if series is None or f"/{path}".endswith("/" + series.strip("/"))]
    if len(fits) != 1:
        raise DataError(source, f"{len(fits)} series of traces" + (f" called '{series}'" if series else ""),
                        f"one of {', '.join(traces)}", "name it with series=, by its last name or its path")
    return fits[0], traces[fits[0]]


def _about(file, path, animal, session, source):
    def text(name):
        return text_of(file[name][()]).strip() if name in file else ""

    animal = animal or text("general/subject/subject_id")
    if not animal:
        raise DataError(source, "no subject_id", "the name of the animal", "give it: animal=, or --animal")
    own_name = text("identifier") if "://" in str(path) else Path(path).stem
    session = (session or "").replace("{date}", text("session_start_time")[:10])
    return {"animal": animal, "session": session or text("general/session_id") or own_name,
            "simulated": "SIMULATED" in text("general/notes")}


def _rois(group, axis, cells_only, where):
    """Names of the ROIs that are kept, their columns, notes, and the imaging rate stated (or None)."""
    shape = group["data"].shape
    n = shape[1 - axis] if len(shape) == 2 else 1
    if "rois" not in group:
        return list(map(str, range(n))), np.arange(n), ["ROIs numbered from 0: the series names none"], None
    rows, table = group["rois"][()], group.file[group["rois"].attrs["table"]]
    ids = table["id"][()][rows]
    flag = next((name for name in table if name.lower() in CELL_COLUMNS), None)
    kept, notes = np.arange(n), []
    if flag is not None:
        is_cell = table[flag][()].reshape(len(table["id"]), -1)[:, 0][rows] > 0
        kept, note = cells_of(is_cell, cells_only, flag, where)
        notes.append(note)
    rate = table["imaging_plane/imaging_rate"][()] if "imaging_plane/imaging_rate" in table else None
    names = [text_of(name) for name in table["roi_name"][()][rows]] if "roi_name" in table else map(text_of, ids)
    names = np.array([*names])
    if len({*names}) < n:
        names = np.array([*map(text_of, ids)])
        notes.append("ROIs called by their id: several have one roi_name")
    return [*map(str, names[kept])], kept, notes, None if rate is None else float(rate)


def _signal(data, axis, kept):
    """Columns of a dataset as (T, n) float32, read block by block, and a note if they were scaled."""
    n_time, n_all = data.shape[axis], data.size // max(data.shape[axis], 1)
    signal, step = np.empty((n_time, len(kept)), np.float32), max(1, BLOCK_VALUES // max(n_all, 1))
    conversion, offset = scale_of(data)
    for start in range(0, n_time, step):
        part = slice(start, start + step)
        block = (data[:, part].T if axis else data[part].reshape(-1, n_all))[:, kept]
        signal[part] = block if (conversion, offset) == (1.0, 0.0) else block * conversion + offset
    return signal, [] if (conversion, offset) == (1.0, 0.0) else [
        f"signal is {conversion:g} times what is stored" + (f", plus {offset:g}" if offset else "")]


def _clock(group, n, stated_hz, where):
    """Times of the frames, s, their rate, and notes."""
    if not has_clock(group):
        raise DataError(where, "no timestamps, and no starting time with a rate",
                        "the clock of the frames", "write it to the file")
    times = times_of(group, n)
    if "timestamps" not in group:
        return times, float(group["starting_time"].attrs["rate"]), []
    return times, *rate_of(times, stated_hz, where)


def _is_known(series, recording, how):
    """Whether a series is known at any frame."""
    way = how.get(series.name) if isinstance(how, dict) else how
    return on_frames(series, frame_times(recording), recording.rate_hz, way).is_known.any() and (
        series.kind == "samples" or not len(series.times_s)
        or (series.times_s[0] <= frame_times(recording)[-1]
            and (series.times_s if series.stops_s is None else series.stops_s)[-1] >= frame_times(recording)[0]))
