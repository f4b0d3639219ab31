"""Movies in HDF5, zarr and NWB: arrays by name, time first, read a stretch at a time."""

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from calcium_decoding.data.stacks import Stack
from calcium_decoding.errors import DataError

_MOVIES = ("OnePhotonSeries", "TwoPhotonSeries")  # of NWB; others only by name


@dataclass(frozen=True, eq=False)
class ArrayStack:
    """Frames in an array ``name`` of a file, as of a :class:`~calcium_decoding.data.stacks.Stack`: number ``first`` and
    every ``step``-th from there; ``plane``: index in its last axis, if it has four. No file is left open."""

    path: Path
    name: str
    shape: tuple
    dtype: np.dtype
    first: int = 0
    step: int = 1
    plane: int | None = None
    maps = False

    def every(self, first, step, n):
        """Stack of ``n`` of the frames, from number ``first`` at so many a ``step``."""
        return replace(self, shape=(n, *self.shape[1:]), first=self.first + first * self.step, step=self.step * step)

    def read(self, start, stop):
        """Frames ``start`` to ``stop``, (n, rows, columns), in the byte order of this machine; DataError: damaged."""
        some = slice(self.first + start * self.step, self.first + (stop - 1) * self.step + 1, self.step)
        with _opened(self.path) as file:
            array = file[self.name] if self.name else file
            try:
                frames = np.asarray(array[some] if self.plane is None else array[some, :, :, self.plane])
            except Exception as error:  # each filter has errors of its own
                raise DataError(self.path, f"frames {start} .. {stop} of {self.name} that cannot be read ({error})",
                                "a whole array, in a compression that is installed here",
                                "fetch the file again; for filters of HDF5 install and import hdf5plugin") from error
        return frames.astype(self.dtype.newbyteorder("="), copy=False)


@contextlib.contextmanager
def _opened(path):
    try:
        file = contextlib.nullcontext(_zarr(path).open(path, mode="r")) if path.is_dir() else h5py.File(path, "r")
    except DataError:
        raise
    except Exception as error:
        raise DataError(path, f"no readable file ({error})", "a whole HDF5 or zarr file",
                        "fetch or write it again") from error
    with file as opened:
        yield opened


def _zarr(path):
    try:
        import zarr
    except ImportError as error:
        raise DataError(path, "a zarr folder, and no package zarr here", "the package zarr",
                        "pip install 'zarr>=3'") from error
    return zarr


def open_array(path, dataset=None, plane=None, n_frames=None):
    """Find a movie in an HDF5, NWB or zarr file.

    ``dataset``: name of the array, or of the series of NWB, or the end of it; the only one that can be meant if left
    out. ``plane``: counted from 1, of a series of several. ``n_frames``: frames to use, which also tells that time is
    the first axis where that is doubtful.

    Returns stacks, rate in Hz or None, times (T,) or None, notes, and names of files elsewhere that hold the frames,
    with the number of the first frame of each. DataError: no movie, several, or one of other axes or numbers.
    """
    with _opened(path) as file:
        if "nwb_version" in file.attrs:
            return _nwb(path, file, dataset, plane, n_frames)
        arrays = _arrays(file)
        name = _one(path, {name: f"{a.shape}, {a.dtype}" for name, a in arrays.items()}, dataset,
                    [name for name, a in arrays.items() if len(a.shape) == 3], "array")
        array = arrays[name]
        notes = ()
        if hasattr(array, "nchunks_initialized") and array.nchunks_initialized < array.nchunks:
            notes = (f"{array.nchunks - array.nchunks_initialized} of {array.nchunks} chunks of {name or path.name} "
                     f"are not stored: their pixels are {array.fill_value}",)
        return [_stack(path, name, array, plane, n_frames)], None, None, notes, ()


def _arrays(file):
    """Arrays by name, of an HDF5 file or a zarr array or group."""
    if hasattr(file, "shape"):
        return {"": file}
    if isinstance(file, h5py.File):
        found = {}
        file.visititems(lambda name, thing: found.update({name: thing}) if isinstance(thing, h5py.Dataset) else None)
        return found
    return {name: thing for name, thing in file.members(max_depth=None) if hasattr(thing, "shape")}


def _one(path, there, wanted, candidates, what):
    """The name that is wanted, or the only candidate; ``there``: what to say of each."""
    if wanted is not None:
        candidates = [name for name in there if name == wanted.strip("/")] or \
                     [name for name in there if f"/{name}".endswith(f"/{wanted.strip('/')}")]
    if len(candidates) == 1:
        return candidates[0]
    said = "; ".join(f"{name or '(the array)'} {about}" for name, about in list(there.items())[:12])
    raise DataError(path, f"{len(candidates)} that can be meant{f' by {wanted!r}' if wanted else ''}, among: "
                    f"{said or 'nothing'}{' ...' * (len(there) > 12)}",
                    f"one {what} of frames, (T, rows, columns)",
                    f"name one of them: dataset={next(iter(there), '...')!r}")


def _stack(path, name, array, plane, n_frames):
    shape, kind = tuple(array.shape), np.dtype(array.dtype)
    if len(shape) not in (3, 4) or 0 in shape or kind.kind not in "uif":
        raise DataError(path, f"{name} of shape {shape}, {kind}",
                        "grey frames of integers or floats, (T, rows, columns), or (T, rows, columns, planes) of NWB",
                        "store frames so, one channel an array")
    if shape[0] == shape[1] != shape[2] and n_frames is None:
        raise DataError(path, f"{name} of shape {shape}: time may be its last axis", "(T, rows, columns)",
                        f"store time first; if it is, say so: n_frames={shape[0]}")
    if len(shape) == 3:
        if plane not in (None, 1):
            raise DataError(path, f"one plane in {name}, and plane {plane} asked for", "plane 1", "leave plane out")
        here = isinstance(array, h5py.Dataset) and array.chunks is None and not array.external
        if here and not array.is_virtual and (start := array.id.get_offset()) is not None:
            return Stack(path, shape, kind, start, int(np.prod(shape[1:])) * kind.itemsize)  # as it lies in the file
        return ArrayStack(path, name, shape, kind)
    if plane is None and shape[3] == 1:
        plane = 1
    if plane not in range(1, shape[3] + 1):
        raise DataError(path, f"{shape[3]} planes in {name} of shape {shape}, "
                        f"{f'and plane {plane} asked for' if plane is not None else 'none of them named'}", "one plane",
                        f"name one: plane=1 .. {shape[3]}")
    return ArrayStack(path, name, shape[:3], kind, plane=plane - 1)


def _nwb(path, file, dataset, plane, n_frames):
    there = {}

    def see(name, thing):
        if isinstance(thing, h5py.Group) and ("data" in thing or "external_file" in thing):
            kind = thing.attrs.get("neurodata_type", "")
            if kind in _MOVIES or kind == "ImageSeries" or "external_file" in thing:
                there[name] = kind

    file.visititems(see)
    about = {name: f"({kind}, " + (f"in {len(file[name]['external_file'])} files" if "external_file" in file[name] else
                                   str(file[name]["data"].shape)) + ")" for name, kind in there.items()}
    name = _one(path, about, dataset, [name for name, kind in there.items() if kind in _MOVIES], "series")
    series, times, rate = file[name], None, None
    if "timestamps" in series:
        times = series["timestamps"][:n_frames].astype(np.float64)
        rate = 1 / float(np.median(np.diff(times))) if len(times) > 1 else None
    elif "starting_time" in series:
        rate = float(series["starting_time"].attrs["rate"])
    if "external_file" in series:
        names = [n.decode() if isinstance(n, bytes) else n for n in series["external_file"]]
        first = series["external_file"].attrs.get("starting_frame")
        first = [None] * len(names) if first is None or len(first) != len(names) else [int(f) for f in first]
        outside = [(Path(path).parent / n, f) for n, f in zip(names, first, strict=True)]
        if absent := [p for p, _ in outside if not p.exists()]:
            raise DataError(path, f"{name}, frames of which are in {absent[0].name}, which is not there",
                            f"{', '.join(names[:3])} beside the NWB file", "fetch the movie too, or read traces alone")
        return [], rate, times, (), outside
    notes = ("NWB gives the axes of an image as (x, y): rows here are the first of them, as stored",)
    stack = _stack(path, f"{name}/data", series["data"], plane, n_frames)
    if times is not None and len(times) < min(stack.shape[0], n_frames or stack.shape[0]):
        raise DataError(path, f"{stack.shape[0]} frames and {len(times)} timestamps in {name}", "as many",
                        "use those that both have: n_frames, if they begin together")
    return [stack], rate, times, notes, ()
