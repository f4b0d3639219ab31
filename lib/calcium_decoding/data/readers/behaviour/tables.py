"""Behaviour on a clock of its own: tables with a time column, arrays by name, key points, events, intervals."""

import csv
import re
import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from calcium_decoding.data.clock import Series
from calcium_decoding.data.readers.behaviour import keypoints
from calcium_decoding.data.readers.common import readable
from calcium_decoding.data.readers.mat import load_mat, mat_variables
from calcium_decoding.errors import DataError, ParameterError

UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6}  # how many of it make a second
TABLES = (".csv", ".tsv", ".txt", ".parquet", ".xlsx")
HDF5 = (".h5", ".hdf5", ".hdf")
ENDINGS = (*TABLES, ".mat", ".npz", *HDF5)
_UNIT_IN_NAME = re.compile(r"(?:^|[_ .(\[])(?:(s|secs?|seconds?)|(ms|msecs?|milliseconds?)|(us|microseconds?)|"
                           r"(frames?))[)\]]?$", re.I)
CLOCK = re.compile(r"(?:^|[_ .])(?:t|times?|timestamps?|frames?)(?:$|[_ .(\[])", re.I)
_START, _STOP = (re.compile(rf"^(?:{words})(?:$|[_ .(\[])", re.I)
                 for words in ("start|onset|on", "stop|end|offset|off"))


class Behaviour(dict):
    """Series by name, as :func:`read_behaviour` found them; ``notes``, a tuple of str: what was left out or masked."""

    def __init__(self, series, notes=()):
        super().__init__((one.name, one) for one in series)
        self.notes = tuple(notes)


class Table:
    """Columns by name, of numbers or text; ``frames``, the number of each row where rows are frames of a video."""

    def __init__(self, columns, frames=None, notes=()):
        self.columns, self.frames, self.notes = columns, frames, list(notes)


def read_behaviour(path, time=None, columns=None, *, unit=None, rate_hz=None, times_s=None, stop=None, by=None,
                   name=None, min_likelihood=None, separator=None, decimal=".", sheet=None, names=None):
    """Behaviour of one session on its own clock, for :func:`calcium_decoding.data.with_behaviour`.

    A table (``.csv``, ``.tsv``, ``.txt``, ``.parquet``, ``.xlsx``), arrays by name (``.mat`` of either generation,
    ``.npz``, HDF5; fields of structs and groups joined by dots), or key points: DeepLabCut (CSV, HDF5), SLEAP (analysis
    HDF5). Key points give ``<name>_x``, ``<name>_y`` and ``<name>_likelihood``, in pixels of the video, with the
    individual's name before where there are several. A table of one column, or ``columns=()``, is a table of events;
    one with start and stop, of intervals. NaN and empty cells are samples that are not there, and are counted.

    Parameters
    ----------
    path : path-like
    time : str or int, optional
        The column with the time of each row, by name or by number from 0. Left out: the one named like a clock.
    columns : sequence of str or dict of str to str, optional
        Columns to take, or their new names by column; all if left out.
    unit : {"s", "ms", "us", "frames"}, optional
        Unit of the time column, if its name (``time_s``, ``t (ms)``) does not say it; frames need ``rate_hz``.
    rate_hz : float, optional
        Frames per second of the camera or the counter; without a time column, rows follow each other at this rate
        from 0 s.
    times_s : array_like, shape (n,), optional
        When each row, or frame of the video, was taken, s; there is no time column then.
    stop : str or int, optional
        The column with the end of each interval; those with its start is ``time``.
    by : str, optional
        A column that says which kind each event or interval is of; each kind becomes a series.
    name : str, optional
        Of the events or intervals; the file's if left out.
    min_likelihood : float, optional
        Key points less likely than this become samples that are not there, and are counted.
    separator, decimal : str, optional
        Of text tables. A decimal comma is never guessed.
    sheet : str, optional
        Of a workbook with several filled sheets.
    names : sequence of str, optional
        Names of the columns, where the file has none, or has them in a form that is not read.

    Returns
    -------
    Behaviour
        A dict of str to Series, with ``notes``.

    Raises
    ------
    DataError
        A file that cannot be read, no clock or none whose unit is known, text in a column that is taken, several
        filled sheets, lengths that differ, or what :class:`Series` refuses.
    ParameterError
        An option that does not suit the file.
    """
    path, columns = Path(path), [columns] if isinstance(columns, str) else columns
    table = _table(path, separator, decimal, sheet, names)
    if not table.columns:
        raise DataError(path, "no column of numbers", "a table with a time column", "see that it is the right file")
    if min_likelihood is not None:
        _mask(table, min_likelihood, path)
    source, notes = path.name, table.notes
    if times_s is not None or (rate_hz is not None and time is None and unit is None):
        if time is not None or stop is not None or by is not None:
            raise ParameterError("time", "both times_s and a column with times", "one clock", "leave one of them out")
        chosen = _chosen(table, columns, (), path)
        clock = _row_times(table, chosen, times_s, rate_hz, path)
        return Behaviour([Series(new, clock, values, source=source)
                          for new, values in _values(chosen, table, len(clock), notes, columns, path)], notes)
    if table.frames is not None:
        raise DataError(path, "key points without times", "the rate or the times of the video's frames",
                        "give rate_hz=, or times_s= with a time for each frame")
    start = _column(table, time, path) if time is not None else _clock_column(table, path)
    stop = _column(table, stop, path) if stop is not None else _stop_column(table, start)
    clock, stops = (None if one is None else _seconds(table.columns[one], one, unit, rate_hz, path)
                    for one in (start, stop))
    if by is not None or stop is not None or (columns is not None and not len(columns)) or len(table.columns) == 1:
        return _events(table, clock, stops, (start, stop), columns, by, name or path.stem, path)
    chosen = _chosen(table, columns, (start,), path)
    return Behaviour([Series(new, clock, values, source=source)
                      for new, values in _values(chosen, table, len(clock), notes, columns, path)], notes)


# Which columns


def _column(table, column, path):
    """Name of a column given by name or by number."""
    known = list(table.columns)
    if isinstance(column, int) and 0 <= column < len(known):
        return known[column]
    if column not in table.columns:
        raise DataError(path, f"no column {column!r}", f"one of {', '.join(known)}", "name one of these")
    return column


def _clock_column(table, path):
    known = list(table.columns)
    found = known if len(known) == 1 else [name for name in known if CLOCK.search(name) or _START.search(name)]
    found = [name for name in found if not _STOP.search(name)] or found
    if len(found) != 1:
        raise DataError(path, f"{'several columns that may be the clock' if found else 'no column named like a clock'}"
                        f" ({', '.join(found or known)})", "one time column", "name it: time=..., with unit= if its "
                        "name does not say it; or give rate_hz= where rows follow each other at one rate")
    return found[0]


def _stop_column(table, start):
    """The column that ends intervals, where there is exactly one beside one that begins them; else None."""
    found = [name for name in table.columns if _STOP.search(name)]
    return found[0] if len(found) == 1 and _START.search(start) else None


def _chosen(table, columns, clocks, path):
    """Name of each series to make, by column."""
    if columns is None:
        return {name: name for name in table.columns if name not in clocks}
    wanted = dict(columns) if isinstance(columns, dict) else {name: name for name in columns}
    return {_column(table, name, path): new for name, new in wanted.items()}


def _values(chosen, table, n, notes, columns, path):
    """New name and values of each column that is taken; what has another length is left out, or refused if named."""
    if text := [name for name in chosen if table.columns[name].dtype.kind not in "fiub"]:
        raise DataError(path, f"text in the column {', '.join(text)}", "numbers only",
                        "name the columns to take: columns=[...]; of text that names events, by=...; "
                        "with a decimal comma, decimal=','")
    lengths = {name: len(table.columns[name]) for name in chosen}
    if other := [f"{name} ({length})" for name, length in lengths.items() if length != n]:
        if columns is not None or len(other) == len(chosen):
            raise DataError(path, f"{n} times but other lengths: {', '.join(other)}", "a time for each value",
                            "name the time column that goes with them: time=...")
        notes.append(f"{path.name}: left out, as they do not have {n} values: {', '.join(other)}")
    found = []
    for name, new in chosen.items():
        if lengths[name] == n:
            values = table.columns[name].astype(np.float64)
            found.append((new, values))
            if missing := np.count_nonzero(~np.isfinite(values)):
                notes.append(f"{new}: {missing} of {n} samples are not there (empty or NaN)")
                values[~np.isfinite(values)] = np.nan
    return found


def _events(table, clock, stops, taken, columns, by, name, path):
    """Events or intervals of a table, of one kind or of several."""
    by = None if by is None else _column(table, by, path)
    others = [column for column in table.columns if column not in (*taken, by)]
    if others and columns is None:
        raise DataError(path, f"events or intervals with more columns ({', '.join(others)})", "times alone",
                        "columns=() leaves the others out; by=... makes a series of each kind that a column names")
    if columns is not None and len(columns):
        raise ParameterError("columns", f"{list(columns)} of events or intervals", "columns=()", "leave it empty")
    notes = [*table.notes, *([f"{path.name}: left out: {', '.join(others)}"] if others else [])]
    if by is None:
        return Behaviour([Series(name, clock, stops_s=stops, source=path.name)], notes)
    kinds = table.columns[by]
    if len(kinds) != len(clock):
        raise DataError(path, f"{len(clock)} times but {len(kinds)} of '{by}'", "a kind for each", "mend the file")
    if unnamed := np.count_nonzero(pd.isna(kinds)):
        raise DataError(path, f"{unnamed} rows without {by}", "a kind for each", "fill them in, or take them out")
    return Behaviour([Series(str(kind), clock[kinds == kind], stops_s=None if stops is None else stops[kinds == kind],
                             source=path.name) for kind in pd.unique(kinds)], notes)


# Clocks


def _seconds(values, name, unit, rate_hz, path):
    """A time column in seconds."""
    if values.dtype.kind not in "fiu":
        raise DataError(path, f"text or dates in the time column '{name}'", "numbers",
                        "write times as seconds from the start of imaging; with a decimal comma, give decimal=','")
    if unit is None and (found := _UNIT_IN_NAME.search(name)):
        unit = ("s", "ms", "us", "frames")[found.lastindex - 1]
    if unit not in (*UNITS, "frames"):
        raise DataError(path, f"the time column '{name}' in an unknown unit" if unit is None else f"the unit '{unit}'",
                        f"one of {', '.join(UNITS)} or frames", "give unit=, or say it in the name (time_s, t_ms)")
    if (unit == "frames") != (rate_hz is not None):
        raise DataError(path, f"times of '{name}' in {unit} and rate_hz = {rate_hz}",
                        "a rate for times in frames, and for no others", "mend unit= or rate_hz=")
    return values / (UNITS[unit] if rate_hz is None else rate_hz)


def _row_times(table, chosen, times_s, rate_hz, path):
    """When each row was taken, by its number."""
    lengths = sorted({len(table.columns[name]) for name in chosen})
    if len(lengths) != 1:
        raise DataError(path, f"columns of {', '.join(map(str, lengths))} values", "one length",
                        "name the columns of one clock: columns=[...]")
    frames = np.arange(lengths[0]) if table.frames is None else table.frames
    if times_s is None:
        return frames / rate_hz
    if rate_hz is not None:
        raise ParameterError("rate_hz", "both a rate and times", "one of them", "leave one of them out")
    times_s = np.asarray(times_s, np.float64)
    n = int(frames.max()) + 1
    if times_s.shape != (n,):
        raise DataError(path, f"{n} rows or frames and times_s of shape {times_s.shape}", "a time for each",
                        "find out which were dropped, and give the times of those that are there")
    return times_s[frames]


# Files


def _table(path, separator, decimal, sheet, names):
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise DataError(path, f"the ending '{ending}'", f"one of {', '.join(ENDINGS)}",
                        "of NWB use read_nwb; else write it as one of these")
    if sheet is not None and ending != ".xlsx":
        raise ParameterError("sheet", f"of a file that ends in {ending}", "a workbook (.xlsx)", "leave it out")
    if ending == ".mat":
        return _arrays(path, load_mat(path, mat_variables(path)))
    with readable(path, "behaviour", "a whole file of numbers", "see that it is whole and of the kind its name says"):
        if ending == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return _arrays(path, dict(file))
        if ending in HDF5:
            return _hdf5(path, names)
        if ending == ".parquet":
            return _frame(pd.read_parquet(path, engine="pyarrow"), names, path)
        if ending == ".xlsx":
            return _frame(_sheet(path, sheet, names), names, path)
        return _text(path, separator, decimal, names)


def _arrays(path, found):
    """Vectors of numbers by name, of nested dicts too; anything else is noted."""
    columns, others = {}, []

    def add(name, value):
        if isinstance(value, dict):
            for key, inner in value.items():
                add(f"{name}.{key}" if name else key, inner)
        elif _is_vector(value):
            columns[name] = value.reshape(-1)
        else:
            others.append(f"{name} {value.shape}" if hasattr(value, "shape") else name)

    add("", found)
    return Table(columns, notes=[f"{path.name}: no vectors, left out: {', '.join(others)}"] if others else ())


def _is_vector(value):
    return hasattr(value, "shape") and value.dtype.kind in "fiub" and value.size > 1 and value.size == max(value.shape)


def _frame(frame, names, path):
    """Columns of a DataFrame, its index too where it has a name."""
    frame = frame.reset_index() if frame.index.name else frame
    if names is not None:
        if len(names) != frame.shape[1]:
            raise DataError(path, f"{frame.shape[1]} columns and {len(names)} names", "a name a column", "mend names=")
        frame.columns = list(names)
    notes, (n_rows, n_columns) = [], frame.shape
    is_nameless = np.array([not str(name).strip() or str(name).startswith("Unnamed:") for name in frame.columns], bool)
    frame = frame.loc[:, ~(is_nameless & frame.isna().all().to_numpy())]
    filled = np.flatnonzero(frame.notna().any(axis=1))
    frame = frame.iloc[:filled[-1] + 1 if len(filled) else 0]  # spreadsheets leave empty rows at the end
    if empty := [f"{n - left} empty {what}" for n, left, what in zip(
            (n_rows, n_columns), frame.shape, ("rows at the end", "columns without a name"), strict=True) if n > left]:
        notes.append(f"{path.name}: {', '.join(empty)} left out")
    known = [str(name).strip() for name in frame.columns]
    if nameless := [i for i, name in enumerate(known) if not name or name.startswith("Unnamed:")]:
        raise DataError(path, f"no name above column {nameless[0]} (from 0)", "a line of column names",
                        "write it, or give names=")
    if len(set(known)) < len(known):
        raise DataError(path, f"two columns called {max(known, key=known.count)}", "a name a column", "rename one")
    if known and all(re.fullmatch(r"[-+\d.,eE]+", name) for name in known):
        raise DataError(path, f"numbers where the names should be ({', '.join(known[:4])})", "a line of column names",
                        "write it, or give names=")
    if frame.empty:
        raise DataError(path, "no rows below the column names", "a row for each time", "see that it is the right file")
    numbers = [series.dtype.kind in "fiub" for _, series in frame.items()]
    return Table({name: series.to_numpy(np.float64, na_value=np.nan) if is_number else series.to_numpy(object)
                   for name, is_number, (_, series) in zip(known, numbers, frame.items(), strict=True)}, notes=notes)


def sheets(path, header=0, n_rows=None):
    """All sheets of a workbook, DataFrames by name; of each its first rows, if so many are asked for."""
    return pd.read_excel(path, sheet_name=None, header=header, nrows=n_rows)


def _sheet(path, sheet, names):
    """The one filled sheet of a workbook, or the one that is named."""
    found = sheets(path, header=0 if names is None else None)
    filled = [name for name, frame in found.items() if not frame.empty]
    if sheet is None and len(filled) == 1:
        return found[filled[0]]
    if sheet not in found:
        raise DataError(path, f"{len(filled)} filled sheets ({', '.join(filled)})" if sheet is None else
                        f"no sheet called '{sheet}'", f"one of {', '.join(filled)}", "name the sheet: sheet=...")
    return found[sheet]


def separators_in(line):
    """Which of comma, semicolon and tab are in a line of column names, outside quotation marks."""
    return [one for one in ",;\t" if one in re.sub(r'"[^"]*"', "", line)]


def _text(path, separator, decimal, names):
    with open(path, encoding="utf-8-sig", newline="") as file:
        first, n_skipped = file.readline(), 0
        while first.startswith("#"):
            first, n_skipped = file.readline(), n_skipped + 1
    if first.split(",")[0].strip() == "scorer":
        return Table(*keypoints.read_deeplabcut_csv(path, names))
    if separator is None:
        there = separators_in(first)
        if len(there) > 1:
            raise DataError(path, f"{' and '.join(map(repr, there))} in its first line", "one separator",
                            "name it: separator=...")
        separator = there[0] if there else ","
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # of rows longer than the names
        frame = pd.read_csv(path, sep=separator, decimal=decimal, skiprows=n_skipped, encoding="utf-8-sig",
                            index_col=False, header=0 if names is None else None)
    if names is None:  # pandas would rename twins
        frame.columns = next(csv.reader([first], delimiter=separator))
    table = _frame(frame, names, path)
    table.notes += [f"{path.name}: {n_skipped} lines with # on top not read"] if n_skipped else []
    return table


def _hdf5(path, names):
    with h5py.File(path, "r") as file:
        if "tracks" in file and "node_names" in file:
            return Table(*keypoints.read_sleap(file, path))
        if any("pandas_type" in file[name].attrs for name in file):
            return Table(*keypoints.read_deeplabcut_hdf5(file, path, names))
        items = {}
        file.visititems(lambda name, item: items.update({name.replace("/", "."): item}))  # goes on while this is None
        return _arrays(path, {name: item[()] if _is_vector(item) else item for name, item in items.items()
                              if isinstance(item, h5py.Dataset)})


def _mask(table, least, path):
    if not 0 < least <= 1:
        raise ParameterError("min_likelihood", least, "above 0, at most 1", "give a likelihood such as 0.9")
    points = [name.removesuffix("_likelihood") for name in table.columns if name.endswith("_likelihood")]
    if not points:
        raise ParameterError("min_likelihood", f"of {path.name}, which has no likelihood", "key points with one",
                             "leave it out")
    for point in points:
        likelihood = table.columns[f"{point}_likelihood"]
        is_low = ~(likelihood >= least)  # NaN is low
        for name in (f"{point}_x", f"{point}_y"):
            table.columns[name] = np.where(is_low, np.nan, table.columns[name])
        table.notes.append(f"{point}: {np.count_nonzero(is_low)} of {len(is_low)} frames below likelihood {least:g}")
