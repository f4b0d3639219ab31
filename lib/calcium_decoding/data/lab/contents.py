"""What arrays a file or folder holds: names, shapes and types from headers, and the first of the values."""

import csv
import json
import re
import zipfile
from dataclasses import dataclass, replace

import h5py
import numpy as np
import pandas as pd
import scipy.io

from calcium_decoding.data.readers.behaviour.tables import TABLES, separators_in, sheets

MOST_VALUES = 100_000  # of a vector, the first that are looked at
MOST_BYTES = 20_000_000  # files and variables that are smaller are read whole, where a part cannot be
MOVIES = (".tif", ".tiff")
HDF5 = (".h5", ".hdf5", ".hdf", ".nwb", ".mat")


@dataclass(frozen=True, eq=False)
class Array:
    """An array of a file; ``head``: its first values, of a table of more axes some; None if they were not read.

    ``says``: what the format knows of it; ``time_axis``: which axis is time, if that is known, and ``why``.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    head: np.ndarray | None = None
    last: float | None = None
    says: str = ""
    time_axis: int | None = None
    why: str = ""


@dataclass(frozen=True)
class Contents:
    """What was found: ``kind`` in words, ``format`` of the readers (``"behaviour"`` of what has no activity, or empty),
    its arrays, what is doubtful, what the file says for an entry, by field, and options that its reader
    has to be given."""

    kind: str
    format: str
    arrays: list[Array]
    doubts: list[str]
    entry: dict
    asks: tuple[str, ...] = ()


def contents(path):
    """:class:`Contents` of a file or folder that exists; formats that are not known have no arrays."""
    ending = path.suffix.lower()
    if path.is_dir():
        return _folder(path)
    if ending == ".npz":
        return _npz(path)
    if ending == ".npy":
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        return Contents("one array", "", [_array(path.stem, array)], ["an array alone says neither rate nor clock"], {})
    if ending in HDF5 and h5py.is_hdf5(path):
        return _hdf5(path, ending)
    if ending == ".mat":
        return _mat(path)
    if ending in TABLES:
        return _table(path, ending)
    if ending in MOVIES:
        return _tiff(path)
    return Contents(f"a file that ends in {ending or 'nothing'}", "", [], ["no reader knows files of this ending"], {})


def _array(name, stored, **more):
    """Array of anything with shape, dtype and slices."""
    shape, kind = tuple(map(int, stored.shape)), np.dtype(stored.dtype).kind
    head = last = None
    if kind in "fiub" and 0 not in shape and shape:
        if max(shape) == np.prod(shape, dtype=float):  # a vector, perhaps as a row or a column
            axis = shape.index(max(shape))
            at = [0] * len(shape)
            at[axis] = slice(MOST_VALUES)
            head = np.asarray(stored[tuple(at)])
            at[axis] = shape[axis] - 1
            last = float(stored[tuple(at)])
        elif len(shape) == 2:
            head = np.asarray(stored[:100, :100])
    return Array(name, shape, str(stored.dtype), head, last, **more)


# Arrays by name


def _npz(path):
    arrays = []
    with zipfile.ZipFile(path) as file, np.load(path, allow_pickle=False) as values:
        for info in file.infolist():
            name = info.filename.removesuffix(".npy")
            with file.open(info) as member:
                version = np.lib.format.read_magic(member)
                shape, _, dtype = (np.lib.format.read_array_header_1_0 if version == (1, 0)
                                   else np.lib.format.read_array_header_2_0)(member)
            small = info.file_size < MOST_BYTES and dtype.kind in "fiub"
            arrays.append(_array(name, values[name]) if small else Array(name, shape, str(dtype)))
        found = {array.name: array for array in arrays}
        if {"signal", "rate_hz"} <= {*found}:
            rate = float(np.ravel(values["rate_hz"])[0])
            return Contents("a session in the .npz format of this library", "npz", arrays, [], {"rate_hz": rate})
    return Contents("arrays by name", "behaviour", arrays, ["no 'signal' and 'rate_hz': read as behaviour only"], {})


def _mat(path):
    arrays = []
    for name, shape, kind in scipy.io.whosmat(path, appendmat=False):
        small = kind not in ("struct", "cell", "char", "object") and np.prod(shape, dtype=float) * 8 < MOST_BYTES
        value = scipy.io.loadmat(path, variable_names=[name], appendmat=False)[name] if small else None
        arrays.append(_array(name, value) if isinstance(value, np.ndarray) else Array(name, shape, kind))
    return Contents("MATLAB variables", "behaviour", arrays, ["fields of structs are not looked into"] if
                    any(array.dtype == "struct" for array in arrays) else [], {})


def _hdf5(path, ending):
    with h5py.File(path, "r") as file:
        if ending == ".nwb":
            return _nwb(file)
        if "tracks" in file and "node_names" in file:
            names = [one.decode() if isinstance(one, bytes) else str(one) for one in file["node_names"][()]]
            return Contents("key points of SLEAP", "behaviour", [_array("tracks", file["tracks"], says=", ".join(names),
                            time_axis=3, why="SLEAP: (tracks, xy, nodes, frames)")],
                            ["the file has no clock: give the camera's rate, or the times of its frames"], {})
        if any("pandas_type" in file[name].attrs for name in file):
            key = next(name for name in file if "pandas_type" in file[name].attrs)
            table = [_array(f"{key}/table", file[key]["table"])] if "table" in file[key] else []
            return Contents("a table of pandas, such as DeepLabCut writes", "behaviour", table,
                            ["the file has no clock: give the camera's rate, or the times of its frames"], {})
        found = []
        file.visititems(lambda name, item: found.append((name, item)) if isinstance(item, h5py.Dataset) else None)
        if "estimates/C" in file:
            known = {f"estimates/{name}" for name in ("C", "S", "F_dff", "YrA", "R")}
            arrays = [_array(name, item, **({"time_axis": 1, "why": "CaImAn: (component, frame)"} if name in known
                                            else {})) for name, item in found]
            fr = file["params/data/fr"][()] if "params/data/fr" in file else None
            doubts = [] if "estimates/idx_components" in file and file["estimates/idx_components"].shape else [
                "no accepted components (idx_components)"]
            return Contents("output of CaImAn", "caiman", arrays, doubts, {} if fr is None else {"rate_hz": float(fr)})
        arrays = [_array(name, item) for name, item in found]
    return Contents("MATLAB variables (7.3)" if ending == ".mat" else "HDF5 arrays", "behaviour", arrays, [], {})


def _text_of(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def _nwb(file):
    from calcium_decoding.data.readers.activity.nwb_series import is_traces, time_axis

    arrays, doubts, rates, traces = [], [], set(), []

    def visit(name, item):
        kind = _text_of(item.attrs.get("neurodata_type", ""))
        if isinstance(item, h5py.Dataset) or not kind:
            return
        if kind == "TimeIntervals" or ("start_time" in item and "stop_time" in item):
            arrays.append(_array(f"{name}/start_time", item["start_time"], says=f"{kind}: intervals, s"))
            return
        if not isinstance(item.get("data"), h5py.Dataset):
            return
        data, clock, n_time, rate = item["data"], "no clock", None, None
        if "timestamps" in item and item["timestamps"].shape and len(item["timestamps"]):
            times = item["timestamps"]
            n_time, head = len(times), times[:MOST_VALUES]
            step = float(np.median(np.diff(head))) if len(head) > 1 else np.nan
            rate = 1 / step if step > 0 else None
            clock = f"{n_time} timestamps, {head[0]:.6g} to {float(times[n_time - 1]):.6g} s" + (
                f", about {rate:.4g} Hz" if rate else "")
        elif "starting_time" in item:
            rate = float(item["starting_time"].attrs.get("rate", np.nan))
            clock = f"from {float(item['starting_time'][()]):.6g} s at {rate:.6g} Hz"
        axis, why = time_axis(item) if is_traces(item, kind) else (0, "NWB: time first")
        if is_traces(item, kind):
            traces.append(name)
            rates.update([round(rate, 4)] if rate else [])
            if axis != 0:
                doubts.append(f"{name}: {'time is the second axis' if axis else 'the axes are not sure'} ({why})")
        if n_time is not None and axis is not None and data.shape[axis] != n_time:
            doubts.append(f"{name}: {data.shape[axis]} values and {n_time} timestamps")
        unit = _text_of(data.attrs.get("unit", ""))
        arrays.append(_array(name, data, says=f"{kind}{f', {unit}' if unit else ''}; {clock}", time_axis=axis, why=why))

    file.visititems(visit)
    if not traces:
        doubts.append("no RoiResponseSeries: no traces")
    if len(traces) > 1:
        doubts.append(f"{len(traces)} series of traces ({', '.join(traces)}): name one of them")
    subject = file.get("general/subject/subject_id")
    entry = {} if len(rates) != 1 else {"rate_hz": rates.pop()}
    animal = "" if subject is None else _text_of(subject[()]).strip()
    entry |= {"animal": animal} if animal else {}
    asks = (*(["series"] if len(traces) > 1 else []), *([] if animal else ["animal"]))
    return Contents("an NWB file", "nwb", arrays, doubts, entry, asks)


# Tables


def _table(path, ending):
    doubts = []
    if ending == ".parquet":
        import pyarrow.parquet

        file = pyarrow.parquet.ParquetFile(path)
        first = next(file.iter_batches(1000), None)
        frame = pd.DataFrame() if first is None else first.to_pandas()
        return Contents("a table", "behaviour", _columns(frame, file.metadata.num_rows), doubts, {})
    if ending == ".xlsx":
        filled = {name: frame for name, frame in sheets(path, n_rows=1000).items() if not frame.empty}
        doubts += [f"{len(filled)} filled sheets: name one (sheet=)"] if len(filled) > 1 else []
        return Contents("a workbook", "behaviour", [
            array for name, frame in filled.items()
            for array in _columns(frame, len(frame), f"{name}: " if len(filled) > 1 else "")], doubts, {})
    return _text(path)


def _columns(frame, n, before=""):
    """Columns of the first rows of a table of about ``n`` rows."""
    return [Array(f"{before}{name}", (n,), str(column.dtype), *(
        (column.to_numpy(), float(column.iloc[-1]) if len(column) == n else None)
        if column.dtype.kind in "fiub" and len(column) else (None, None))) for name, column in frame.items()]


def _text(path):
    size = path.stat().st_size
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        text = file.read(MOST_BYTES if size <= MOST_BYTES else 1_000_000)
    lines = text.splitlines()
    if size > MOST_BYTES:
        lines = lines[:-1]
    about = [line for line in lines[:50] if line.startswith("#")]
    lines = lines[len(about):]
    if not lines:
        return Contents("an empty table", "", [], ["no lines"], {})
    n = len(lines) - 1 if size <= MOST_BYTES else int(size / np.mean([len(line) + 1 for line in lines]))
    approx = [] if size <= MOST_BYTES else [f"about {n} rows, of which the first {len(lines)} were looked at"]
    if lines[0].split(",")[0] == "scorer":
        heads = [line.split(",") for line in lines[:4]]
        points = [f"{head[0]}: {', '.join(dict.fromkeys(head[1:]))}" for head in heads
                  if head[0] in ("individuals", "bodyparts")]
        n_heads = len(points) + 2
        return Contents("key points of DeepLabCut", "behaviour", [Array("rows", (n + 1 - n_heads,), "table",
                        says="; ".join(points))],
                        [*approx, "the file has no clock: give the camera's rate, or the times of its frames"], {})
    first, separators = lines[0], separators_in(lines[0])
    if len(separators) > 1:
        return Contents("a table", "behaviour", [], [f"several separators in '{first[:60]}': give separator="], {})
    separator = separators[0] if separators else ","
    second = lines[1].split(",") if len(lines) > 1 else []
    if second and second[0].strip().lower().startswith("time") and {one.strip() for one in second[1:]} <= {
            "accepted", "rejected", "undecided"} and len(second) > 1:
        kept = sum(one.strip() == "accepted" for one in second[1:])
        traces = Array("traces", (n - 1, len(second) - 1), "float64", time_axis=0, why="a row a frame",
                       says=f"{kept} cells accepted of {len(second) - 1}")
        return Contents("cell traces of Inscopix", "inscopix", [traces], approx, {})
    frame = pd.DataFrame(list(csv.reader(lines[1:2001], delimiter=separator)))
    names = [name.strip() for name in next(csv.reader([first], delimiter=separator))]
    if frame.shape[1] > len(names):
        return Contents("a table", "behaviour", [], [f"rows longer than the {len(names)} names: a decimal comma?"], {})
    columns, doubts = {}, approx
    for i, name in enumerate(names):
        values = frame[i] if i in frame else pd.Series([], dtype=float)
        numbers = pd.to_numeric(values.where(values != ""), errors="coerce")
        if numbers.notna().sum() < (values.fillna("") != "").sum():
            comma = pd.to_numeric(values.str.replace(",", "."), errors="coerce").notna().all()
            doubts.append(f"'{name}' holds " + ("numbers with a decimal comma: give decimal=','" if comma else "text"))
            columns[name] = values
        else:
            columns[name] = numbers
    rois = [name for name in names if name.startswith("roi_")]
    if about and rois:
        rate = re.search(r"rate_hz:\s*([\d.]+)", "\n".join(about))
        return Contents("a session in the .csv format of this library", "csv", [
            Array("roi_*", (n, len(rois)), "float64", time_axis=0, why="a row a frame"),
            *_columns(pd.DataFrame({name: columns[name] for name in names if name not in rois}), n)], doubts,
            {"rate_hz": float(rate[1])} if rate else {})
    if about:
        doubts.append(f"{len(about)} lines with # on top")
    return Contents("a table", "behaviour", _columns(pd.DataFrame(columns), n), doubts, {})


# Movies and folders


def _tiff(path):
    import tifffile

    with tifffile.TiffFile(path) as file:
        page, size = file.pages[0], path.stat().st_size
        whole = size < 200e6
        n = len(file.pages) if whole else max(1, round(size / page.nbytes))
        doubts = [] if whole else [f"about {n} pages, by the size of the file"]
        doubts += ["ScanImage: channels and planes may be interleaved"] if file.is_scanimage else []
    images = Array("images", (n, *page.shape), str(page.dtype), time_axis=0, why="a page a frame")
    return Contents("a movie", "", [images], [*doubts, "a movie goes beside traces: .npz or .csv of the same name"], {})


def _zarr(path):
    """Arrays of a zarr folder from its metadata, of either version."""
    arrays = []
    for mark in sorted([*path.rglob(".zarray"), *path.rglob("zarr.json")]):
        about = json.loads(mark.read_text())
        if "shape" in about:
            name = mark.parent.relative_to(path).as_posix()
            says = about.get("dimension_names") or json.loads(
                (mark.parent / ".zattrs").read_text() if (mark.parent / ".zattrs").is_file() else "{}").get(
                "_ARRAY_DIMENSIONS", [])
            axis = says.index("frame") if "frame" in says else None
            arrays.append(Array(path.stem if name == "." else name, tuple(about["shape"]),
                                str(about.get("dtype", about.get("data_type"))), says=", ".join(map(str, says)),
                                time_axis=axis, why="" if axis is None else "its dimensions are named"))
    is_minian = any(array.name == "C" or array.name.endswith("/C") for array in arrays)
    return Contents("output of Minian" if is_minian else "zarr arrays", "minian" if is_minian else "", arrays, [], {})


def _folder(path):
    if path.suffix == ".zarr" or any((path / mark).is_file() for mark in (".zgroup", ".zarray", "zarr.json")):
        return _zarr(path)
    for mark, kind, format in (("F.npy", "output of suite2p", "suite2p"), ("SVT.npy", "output of wfield", "wfield")):
        if places := sorted(place.parent for place in path.rglob(mark)):
            return _npy_folders(path, places, kind, format)
    files = sorted(file for file in path.iterdir() if not file.name.startswith("."))
    endings = {}
    for file in files:
        is_one = file.is_file() or file.suffix == ".zarr"
        endings.setdefault(file.suffix.lower() if is_one else "folders", []).append(file)
    arrays, doubts, formats, entry = [], [], [], {}
    for ending, several in endings.items():
        doubts.append(f"{len(several)} {'folders' if ending == 'folders' else f'files {ending}'}"
                      + (f", of which {several[0].name} was looked at" if ending != "folders" else ""))
        if ending == "folders":
            continue
        found = contents(several[0])
        formats += [found.format] if found.format not in ("", "behaviour") else []
        entry |= {name: value for name, value in found.entry.items() if len(several) == 1 or name == "rate_hz"}
        arrays += [replace(array, name=f"{several[0].name}: {array.name}") for array in found.arrays]
        doubts += [f"{several[0].name}: {doubt}" for doubt in found.doubts]
    return Contents("a folder", formats[0] if len(set(formats)) == 1 else "", arrays, doubts, entry)


def _npy_folders(path, places, kind, format):
    place, arrays, doubts = places[0], [], []
    wanted = ("F", "Fneu", "spks", "iscell") if format == "suite2p" else ("U", "SVT")
    for name in wanted:
        if (place / f"{name}.npy").is_file():
            axis = None if name in ("iscell", "U") else 1
            stored = np.load(place / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            arrays.append(_array(name, stored, time_axis=axis, why="" if axis is None else
                                 f"{format}: ({'roi' if format == 'suite2p' else 'component'}, frame)",
                                 says={"iscell": "(roi, is it a cell and how likely)", "U": "(pixels, component)"}.get(
                                     name, "")))
    if len(places) > 1:
        doubts.append(f"{len(places)} folders ({', '.join(one.relative_to(path).as_posix() for one in places[:5])}); "
                      "the first was looked at")
    if format == "suite2p":
        cells = np.load(place / "iscell.npy", allow_pickle=False) if (place / "iscell.npy").is_file() else None
        doubts.append("no iscell.npy" if cells is None else
                      f"{int(np.sum(cells[:, 0] > 0))} of {len(cells)} ROIs are cells (iscell); those alone are used")
        doubts.append("ops.npy is a pickle and is not read: give the rate of ONE plane")
    else:
        doubts.append("the files say no rate")
    return Contents(kind, format, arrays, doubts, {})
