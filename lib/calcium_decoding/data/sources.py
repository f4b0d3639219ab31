"""What is behind the path of a movie: which files, and which of their frames in which order."""

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calcium_decoding.data import layouts
from calcium_decoding.data.stacks import open_stack
from calcium_decoding.errors import DataError

_VIDEO = (".avi", ".mp4", ".mov", ".mkv", ".mj2")
_HDF5, _ZARR = (".h5", ".hdf5", ".hdf", ".nwb"), (".zarray", ".zgroup", "zarr.json")


@dataclass(frozen=True, eq=False)
class Found:
    """What is behind a path: stacks in the order of time, and what their files say of them."""

    stacks: list
    rate_hz: float | None = None
    times_s: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def open_source(path, channel=None, plane=None, dataset=None, n_frames=None):
    """Find the frames of a Movie, a Found; ``n_frames``: more are not needed. Errors: those of Movie."""
    is_zarr = path.is_dir() and any((path / name).is_file() for name in _ZARR)
    if not is_zarr and path.suffix.lower() not in _HDF5:
        if dataset is not None:
            raise DataError(path, f"a movie in no named array, and dataset {dataset!r} asked for",
                            "dataset for HDF5, NWB or zarr", "leave dataset out")
        return _open_files(path, channel, plane, n_frames)
    from calcium_decoding.data import arrays  # h5py takes long to import

    stacks, rate_hz, times, notes, outside = arrays.open_array(path, dataset, plane, n_frames)
    if not outside and channel not in (None, 1):
        raise DataError(path, f"arrays of one channel, and channel {channel!r} asked for", "an array a channel",
                        "name the array of the channel (dataset)")
    frames = 0
    for file, first in outside:
        if first not in (None, frames):
            raise DataError(path, f"{file.name} from frame {first} on", f"it to go on after {frames} frames",
                            "fetch the files again, all of them")
        part = _open_files(file, channel, plane, None)
        stacks, notes, frames = stacks + part.stacks, notes + part.notes, frames + sum(s.shape[0] for s in part.stacks)
    return Found(_alike(stacks), rate_hz, times, notes)


def _open_files(path, channel, plane, n_frames):
    """Of TIFF files, a folder of them, or ``.npy``."""
    if path.suffix.lower() in _VIDEO:
        raise DataError(path, f"a {path.suffix} file, compressed for eyes", "TIFF, .npy, HDF5 or zarr",
                        "convert it without loss, to a TIFF stack")
    layout = layouts.prairieview(path) if path.is_dir() else None
    if layout:
        stacks = [open_stack(file, member=True)[0] for file in layout.files]
    else:
        some = _tiffs(path) if path.is_dir() else [path]
        first = layouts.master_of(some[0]) if len(some) > 1 else some[0]
        stack, layout = open_stack(first)
        if layout and layout.files:
            stacks = [stack if file == first else open_stack(file, member=True)[0] for file in layout.files]
            if path.is_dir() and (left := {*some} - {*layout.files}):
                raise DataError(path, f"{min(left).name}, which the description in {first.name} does not name",
                                "the files of one movie", "keep other files out of the folder")
        elif len(some) > 1:
            some = series_files(path)
            opened = [open_stack(file) for file in some]
            stacks, layout = [stack for stack, _ in opened], layouts.joined(some, [other for _, other in opened])
        else:
            stacks = [stack]
    _alike(stacks)
    if layout is None and channel in (None, 1) and plane in (None, 1):
        return Found(stacks)
    layout = layout or layouts.Layout()
    pages, times, notes = layout.of(path, stacks, channel, plane, n_frames)
    return Found(layouts.picked(stacks, pages), layout.rate_hz, times, notes)


def _alike(stacks):
    """The stacks; DataError: their frames differ in size or type."""
    for stack in stacks[1:]:
        one, other = ((*s.shape[1:], s.dtype.newbyteorder("=")) for s in (stacks[0], stack))
        if one != other:
            raise DataError(stack.path, "frames of {} x {} pixels, {}".format(*other),
                            "frames of one size and type, as in {}: {} x {}, {}".format(stacks[0].path.name, *one),
                            "leave out the files that are no frames of this movie")
    return stacks


def series_files(folder):
    """TIFF files of a folder in the order of the one number in which their names differ, list of Path.

    It runs without gaps; the first file may lack it, as of cameras that begin a new file when one is full (``run.tif``,
    ``run@0001.tif``). DataError: no TIFF file; more than one number; a number that is missing or there twice.
    """
    folder = Path(folder)
    paths = _tiffs(folder)
    if len(paths) == 1:
        return paths
    numbered = sorted(zip(_numbers(folder, paths), paths, strict=True))
    for (number, path), (following, other) in itertools.pairwise(numbered):
        if following != number + 1:
            raise DataError(folder, f"number {number} twice, {path.name} and {other.name}" if following == number
                            else f"no file with the number {number + 1} after {path.name}",
                            f"a series of one movie without gaps, up to {numbered[-1][1].name}",
                            "find the missing file, or keep the files of one movie in the folder")
    return [path for _, path in numbered]


def _tiffs(folder):
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".tif", ".tiff") and not p.name.startswith("."))
    if not paths:
        raise DataError(folder, "a folder without .tif or .tiff files", "a series of TIFF files",
                        "name the folder that holds the frames")
    return paths


def _numbers(folder, paths):
    words = [re.split(r"([0-9]+)", p.stem) for p in paths]
    if len({tuple(word[::2]) for word in words}) == 1:
        columns = [[int(digits) for digits in column] for column in zip(*(word[1::2] for word in words), strict=True)]
        varying = [column for column in columns if len(set(column)) > 1] or columns[-1:]
        if len(varying) == 1:
            return varying[0]
    else:
        first = min(paths, key=lambda p: len(p.stem))
        rest = [re.fullmatch(r"([^0-9A-Za-z]+)([0-9]+)", p.stem.removeprefix(first.stem)) for p in paths if p != first]
        if all(rest) and len({found[1] for found in rest}) == 1:
            numbers = {p: int(found[2]) for p, found in zip([p for p in paths if p != first], rest, strict=True)}
            return [numbers.get(p, 1 if min(numbers.values()) == 2 else 0) for p in paths]
    raise DataError(folder, f"names like {paths[0].name} and {paths[-1].name}", "names that differ in one number",
                    "keep the files of one movie in the folder, numbered in their order")
