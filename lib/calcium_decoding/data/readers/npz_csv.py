"""A plain format for your own recordings: one .npz or one .csv file a session."""

import csv
import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from calcium_decoding.data.frame_clock import with_times
from calcium_decoding.data.movies import Movie
from calcium_decoding.data.readers.common import Intake, readable, refuse_text, with_run_label
from calcium_decoding.data.recording import Recording
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.utils.files import whole_file

REQUIRED = ("signal", "rate_hz", "animal")
TEXTS = ("animal", "session", "part", "signal_unit")
LISTS = ("roi_names", "notes")
MOVIES = (".tif", ".tiff", ".npy", ".h5", ".hdf5", ".zarr", ".nwb", "")
CLOCK = ("times_s", "stretches", "reach")
FIELDS = ("signal", "rate_hz", *TEXTS, *LISTS, "simulated", *CLOCK)  # any other array of an .npz file is behaviour


def read_npz(path):
    """One session, a Recording, from an .npz file.

    It must hold ``signal`` (T, n_roi), ``rate_hz`` (frames per second) and ``animal`` (text). It may hold ``session``
    (text; the file's name if absent), ``part``, ``roi_names`` (n_roi texts), ``signal_unit``, ``simulated``, ``notes``,
    ``times_s`` (T,), ``stretches`` (k, 2) and ``reach`` (JSON), all as :class:`Recording` has them. Any other array is
    behaviour, shape (T,): ``run`` (0 or 1), ``speed_cm_s`` (cm/s), and whatever else was measured. A missing run label
    is made from ``speed_cm_s`` > 0.5, and a note says so. DataError: missing, damaged, a field missing, Python objects
    inside, or content that :class:`Recording` refuses.
    """
    path = Path(path)
    content = _load_npz(path)
    missing = [name for name in REQUIRED if name not in content]
    if missing:
        raise DataError(path, f"the arrays {', '.join(sorted(content)) or '(none)'}, and no {', '.join(missing)}",
                        f"at least {', '.join(REQUIRED)}", "save the file again with these")
    about = {name: str(content[name]) for name in TEXTS if name in content}
    about |= {name: tuple(map(str, np.ravel(content[name]))) for name in LISTS if name in content}
    about |= {name: content[name] for name in CLOCK[:2] if name in content}
    if "reach" in content:
        about["reach"] = {name: tuple(ends) for name, ends in json.loads(str(content["reach"])).items()}
    behaviour = {name: values for name, values in content.items() if name not in FIELDS}
    return _recording(path, content["signal"], behaviour, content["rate_hz"],
                      simulated=bool(np.any(content.get("simulated", False))), **about)


def write_npz(recording, path):
    """Write a Recording to a path that ends in ``.npz``, as :func:`read_npz` reads it, whole or not at all. DataError:
    another ending, or behaviour with a name that the format keeps for itself; WriteError: it cannot be written."""
    path = Path(path)
    if path.suffix != ".npz":
        raise DataError(path, f"the ending '{path.suffix}'", "a name that ends in .npz", "name it so")
    reserved = sorted({*recording.behaviour} & {*FIELDS, "file", "allow_pickle"})  # the last two are numpy's
    if reserved:
        raise DataError(recording.id, f"behaviour called {', '.join(reserved)}",
                        "names that the format does not use itself", "rename the behaviour")
    fields = {name: getattr(recording, name) for name in FIELDS}
    fields |= {name: np.array(fields[name], dtype=str) for name in LISTS}
    fields["reach"] = json.dumps({name: list(ends) for name, ends in recording.reach.items()})
    if recording.times_s is None:
        del fields["times_s"]
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **fields, **recording.behaviour)


def read_csv(path):
    """One session, a Recording, from a .csv file, a row a frame.

    It begins with the lines ``# animal: name`` and ``# rate_hz: 30``, and perhaps ``# session: name`` (the file's name
    if absent), ``# part: name``, ``# signal_unit: unit``. Then a header and a row a frame. The first column is
    ``frame`` (one more each row) or ``time_s`` (seconds); columns that start with ``roi_`` are the signal, and what
    follows is the ROI's name; all others are behaviour, as in :func:`read_npz`. Where frames are missing, or stand
    twice, by the first column, no window spans them, and a note says so. DataError: missing, not a table, a header line
    or column missing, text among the numbers, a clock that goes back or is not that of the rate, or content that
    :class:`Recording` refuses.
    """
    path = Path(path)
    header, table = load_csv(path)
    missing = [f"'# {name}:'" for name in ("animal", "rate_hz") if not header.get(name)]
    if missing:
        raise DataError(path, f"lines on top for {', '.join(header) or 'nothing'}",
                        f"lines that start with {' and '.join(missing)}", "write them above the column names")
    rois = [name for name in table if name.startswith("roi_")]
    clock = table.columns[0]
    if clock not in ("frame", "time_s") or not rois:
        raise DataError(path, f"{table.shape[1]} columns, the first of them {', '.join(table.columns[:4])}",
                        "frame or time_s first, and columns that start with roi_",
                        "name the columns so, and put commas between them")
    refuse_text(table, path)
    behaviour = {name: table[name].to_numpy() for name in table.columns[1:] if name not in rois}
    recording = _recording(path, table[rois].to_numpy(), behaviour, header["rate_hz"],
                           roi_names=tuple(name.removeprefix("roi_") for name in rois),
                           **{name: header[name] for name in TEXTS if header.get(name)})
    times = table[clock].to_numpy()
    return with_times(recording, times if clock == "time_s" else (times - times[0]) / recording.rate_hz)


def read_files(folder, read_one, ending, strict=False, movies=False, movie=None):
    """Data set of the files in a folder (or one file) that have one ending, a session each, in order of their names.

    ``movies``: attach the movie of each session, a file or a folder with a series of the name of the session's file.
    ``movie``: what else is said of it to :class:`~calcium_decoding.data.Movie`, such as ``{"channel": 2, "plane": 1}``.
    """
    folder = Path(folder)
    paths = [folder] if folder.is_file() else sorted(folder.glob(f"*{ending}"))
    if not paths:
        raise DataError(folder, f"no {ending} files", f"a folder with a {ending} file for each session",
                        "name the folder that holds them")
    intake = Intake(strict)
    for path in paths:
        with intake.session(path.name):
            recording = read_one(path)
            if movies:
                beside = _movie_beside(path, movie or {})
                recording = replace(recording, movie=beside, notes=(*recording.notes, *beside.notes))
            intake.recordings.append(recording)
    return intake.dataset(folder.stem)


def _recording(path, signal, behaviour, rate_hz, **about):
    about = {"session": path.stem, "signal_unit": "a.u.", "source": str(path), **about}
    return with_run_label(Recording(signal, behaviour, rate_hz, **about))


def _movie_beside(path, options):
    found = [path.with_suffix(ending) for ending in MOVIES if path.with_suffix(ending).exists()]
    if len(found) != 1:
        raise DataError(path, f"{', '.join(p.name for p in found) or 'no movie'} beside it",
                        f"one movie: {', '.join(path.stem + ending for ending in MOVIES)}, the last a folder",
                        "put the movie there under this name, or read without movies")
    if unknown := sorted({*options} - {"n_frames", "channel", "plane", "dataset"}):
        raise ParameterError("movie", ", ".join(unknown), "n_frames, channel, plane or dataset", "name one of these")
    return Movie(found[0], **options)


def _load_npz(path):
    with readable(path, "arrays", "a whole .npz file of plain arrays, without Python objects",
                  "save it again with numpy.savez from arrays of numbers and text"), \
            np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def load_csv(path):
    """Lines on top, ``# name: value``, as a dict of str, and the table below, DataFrame; DataError if there is none."""
    with readable(path, "a table", "comma-separated text with a line of column names", "save it as CSV (UTF-8)"), \
            open(path, encoding="utf-8-sig", newline="") as file, warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # of rows longer than the names
        header = {}
        while (line := file.readline()).startswith("#"):
            name, _, value = line[1:].partition(":")
            header[name.strip()] = value.strip().rstrip(",")  # spreadsheets pad short lines with commas
        names = [name.strip() for name in next(csv.reader([line]), [])]
        if not names:
            raise ValueError("no line of column names")
        if len(set(names)) < len(names):
            raise ValueError(f"two columns called {max(names, key=names.count)}")
        table = pd.read_csv(file, header=None, names=names, index_col=False)
        if table.empty:
            raise ValueError("no rows below the column names")
    return header, table
