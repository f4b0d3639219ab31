"""Behaviour in NWB files. HDF5 groups are read as they are, so that extensions (ndx-pose) need not be installed."""

import contextlib
from functools import partial

import h5py
import numpy as np

from calcium_decoding.data.clock import Series
from calcium_decoding.data.readers.activity.traces import reading, require
from calcium_decoding.data.readers.behaviour.tables import Behaviour
from calcium_decoding.errors import DataError

ROOTS = ("acquisition/", "processing/", "intervals/", "analysis/", "stimulus/presentation/", "events/")
MOST_COLUMNS = 8  # of a series that is taken apart; more are no behaviour that a name would do for


@contextlib.contextmanager
def opened(path):
    """An NWB file at a path or an address as h5py.File; DataError: not one that can be read."""
    with reading(path, "an NWB file"):
        is_remote = str(path).startswith(("http://", "https://"))
        source = require("remfile", "formats", source_of(path)).File(str(path)) if is_remote else path
        with h5py.File(source, "r") as file:
            version = text_of(file.attrs.get("nwb_version", ""))
            if not version.startswith("2"):
                raise DataError(source_of(path), f"nwb_version '{version}'", "an NWB file, version 2",
                                "convert it with the tools of NWB")
            yield file


def source_of(path):
    """A path or address without its query, for error messages: that of a signed address is a secret."""
    return str(path).partition("?")[0] if "://" in str(path) else str(path)


def text_of(value):
    """Text of an attribute or a scalar dataset, which may be bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)


def groups_of(file):
    """Groups that have a type, outside of the metadata: dict of path to (group, type)."""
    found = {}

    def visit(path, item):
        if path.startswith(ROOTS) and isinstance(item, h5py.Group) and "neurodata_type" in item.attrs:
            found[path] = item, text_of(item.attrs["neurodata_type"])

    file.visititems(visit)
    return found


def nwb_behaviour(path):
    """Behaviour in an NWB file, each on its own clock.

    Samples of one column keep the name of their series; those of several become ``name_x``, ``name_y`` of positions and
    key points, ``name_0`` ... of others, with ``name_likelihood`` of key points. Series in ``BehavioralEvents``, or
    without data, are events; tables of intervals (trials, epochs), by their name, and ``IntervalSeries`` are intervals,
    the latter ``name_1``, ``name_2`` ... where they have several codes.
    A name that several series have is preceded by that of what holds them: ``downsampled.lever``.

    Parameters
    ----------
    path : path or str
        A file, or the address (http, https) of one; the latter needs the extra ``formats``.

    Returns
    -------
    Behaviour
        Dict of name to :class:`~calcium_decoding.Series`. Its ``notes`` say what was left out, and why.

    Raises
    ------
    DataError
        No such file, or not an NWB file.
    """
    with opened(path) as file:
        return behaviour_of(groups_of(file), source_of(path))


def behaviour_of(groups, source, wanted=None):
    """Behaviour in groups of a file: all that can be read, or what is wanted by name; DataError then tells why not."""
    columns = [(path + suffix, make) for path, (group, kind) in groups.items()
               for suffix, make in _columns(group, kind, groups.get(path.rpartition("/")[0], ("", ""))[1])]
    good = [(path, make) for path, make in columns if not isinstance(make, str)]
    columns = dict(zip(_distinct([path for path, _ in good]), good, strict=True)) | {
        path: (path, make) for path, make in columns if isinstance(make, str)}
    if isinstance(wanted, dict):
        columns = {own: columns[_named(one, columns, source)] for own, one in wanted.items()}
    elif wanted is not None:
        columns = {name: columns[name] for name in dict.fromkeys(_named(one, columns, source) for one in wanted)}
    found, left_out, longer = [], {}, []
    for name, (path, make) in columns.items():
        try:
            if isinstance(make, str):
                raise DataError(f"{source}, {path}", make, "numbers on a clock", "name another behaviour")
            found.append(make(name=name, source=source))
        except DataError as error:
            if wanted is not None:
                raise
            left_out.setdefault(error.found, []).append(name)
        else:
            if "." in name and not isinstance(wanted, dict):
                longer.append(name)
    notes = [f"behaviour called by a longer name, since others have the same: {', '.join(longer)}"] * bool(longer)
    return Behaviour(found, (*notes, *(f"behaviour left out ({why}): {', '.join(names)}"
                                       for why, names in left_out.items())))


def _named(wanted, columns, source):
    fits = [name for name, (path, _) in columns.items()
            if wanted == name or f"/{path}".replace("/", ".").endswith("." + wanted.strip("/").replace("/", "."))]
    fits = [wanted] if wanted in fits else fits
    if len(fits) != 1:
        raise DataError(source, f"{len(fits)} behaviours called '{wanted}'", f"one of {', '.join(columns) or '(none)'}",
                        "name one of these, or () for none")
    return fits[0]


def _distinct(paths):
    """Ends of paths, joined by dots, as long as it takes to tell them apart."""
    parts, names = [path.split("/") for path in paths], []
    for own in parts:
        n = next((n for n in range(1, len(own)) if sum(own[-n:] == other[-n:] for other in parts) == 1), len(own))
        name = ".".join(own[-n:])
        names.append(name + "_" * names.count(name))
    return names


def _columns(group, kind, parent):
    """What a group holds: pairs of a suffix, and what makes a Series of it, or why none can be made, as text."""
    if "start_time" in group and "stop_time" in group:
        yield "", partial(_intervals, group)
    elif "timestamp" in group:  # EventsTable
        yield "", partial(_events, group, "timestamp")
    if "start_time" in group or "timestamp" in group:
        yield from ((f"/{name}", "a column of a table, of which only the times are read")
                    for name in map(text_of, group.attrs.get("colnames", ()))
                    if name not in ("start_time", "stop_time", "timestamp"))
    data = group.get("data")
    if is_traces(group, kind) or "external_file" in group:
        return  # traces and movies
    if not isinstance(data, h5py.Dataset):
        if isinstance(group.get("timestamps"), h5py.Dataset):
            yield "", partial(_events, group, "timestamps")
        return
    if data.ndim > 2:
        return
    if data.dtype.kind not in "fiub":
        yield "", "text" if h5py.check_string_dtype(data.dtype) else f"values of type {data.dtype}"
    elif not has_clock(group):
        yield "", "no clock"
    elif "electrodes" in group:
        yield "", "signals of electrodes"
    elif kind == "IntervalSeries":
        codes = np.unique(np.abs(data[()].astype(float)))
        codes = codes[codes > 0] if codes.any() else [1.0]  # it never happened
        for code in codes:
            yield f"_{code:g}" if len(codes) > 1 else "", partial(_interval_series, group, code)
    elif parent == "BehavioralEvents" and "timestamps" in group:
        yield "", partial(_events, group, "timestamps")
    elif data.ndim < 2 or data.shape[1] == 1:
        yield "", partial(_samples, group, data, None)
    elif data.shape[1] > MOST_COLUMNS:
        yield "", f"{data.shape[1]} columns"
    else:
        is_place = ("Spatial" in kind or "Pose" in kind) and data.shape[1] <= 3
        for k in range(data.shape[1]):
            yield f"_{'xyz'[k] if is_place else k}", partial(_samples, group, data, k)
    if isinstance(group.get("confidence"), h5py.Dataset):
        yield "_likelihood", partial(_samples, group, group["confidence"], None)


def is_traces(group, kind=""):
    """Whether a group is a series of traces of ROIs."""
    return "data" in group and ("rois" in group or kind == "RoiResponseSeries")


def time_axis(group):
    """Which axis of a series of traces is time, by its ROIs and timestamps (None: both or neither fit), and why."""
    shape = group["data"].shape
    n_roi, n_time = (len(group[name]) if name in group else None for name in ("rois", "timestamps"))
    if len(shape) == 1:
        fits = {0} if n_roi in (None, 1) else set()
    else:
        axes = (0, 1) if len(shape) == 2 else ()
        fits = {axis for axis in axes if n_roi in (None, shape[1 - axis])}
        timed = {axis for axis in axes if n_time in (None, shape[axis])}
        fits = fits & timed if timed else fits  # a wrong number of timestamps is told by the clock
    why = f"{'no named' if n_roi is None else n_roi} ROIs and {'no' if n_time is None else n_time} timestamps"
    if len(fits) == 1:
        return fits.pop(), why
    return None, f"{why}, so that {'both axes' if fits else 'no axis'} could be time"


def has_clock(group):
    """Whether a group has timestamps, or a starting time with a rate."""
    return "timestamps" in group or "rate" in getattr(group.get("starting_time"), "attrs", ())


def times_of(group, n):
    """Times of n samples of a group, s: its timestamps, or starting time and rate; float64."""
    if "timestamps" in group:
        return group["timestamps"][()].astype(np.float64)
    return float(group["starting_time"][()]) + np.arange(n) / float(group["starting_time"].attrs["rate"])


def scale_of(data):
    """What a dataset is multiplied by, and what is added, to be in its unit."""
    scale = (float(data.attrs.get(name, usual)) for name, usual in (("conversion", 1.0), ("offset", 0.0)))
    return tuple(value if np.isfinite(value) else usual for value, usual in zip(scale, (1.0, 0.0), strict=True))


def _samples(group, data, column, name, source):
    values = data[()].reshape(len(data)) if column is None else data[:, column]
    conversion, offset = scale_of(data)
    if (conversion, offset) != (1.0, 0.0):
        values = values * conversion + offset
    return Series(name, times_of(group, len(data)), values, source=source)


def _events(group, column, name, source):
    return Series(name, group[column][()].astype(np.float64), source=source)


def _intervals(group, name, source):
    starts, stops = (group[column][()].astype(np.float64) for column in ("start_time", "stop_time"))
    order = np.argsort(starts, kind="stable")  # rows of a table may stand in any order
    return Series(name, starts[order], stops_s=stops[order], source=source)


def _interval_series(group, code, name, source):
    """Its data are ``code`` where an interval of this kind begins, and ``-code`` where it ends."""
    times, data = times_of(group, len(group["data"])), group["data"][()]
    starts, stops = times[data == code], times[data == -code]
    if len(starts) != len(stops):
        raise DataError(f"{source}, '{name}'", f"{len(starts)} beginnings and {len(stops)} ends of intervals",
                        "an end for each beginning", "name another behaviour, or mend the file")
    return Series(name, starts, stops_s=stops, source=source)
