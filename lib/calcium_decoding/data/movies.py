"""Movies on disk: TIFF as laboratories write it, ``.npy``, HDF5, NWB or zarr, read a stretch at a time."""

import hashlib
import math
import shutil
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import tifffile

from calcium_decoding.data.layouts import picked
from calcium_decoding.data.sources import open_source
from calcium_decoding.errors import DataError, ParameterError, WriteError
from calcium_decoding.utils.code import code_digest
from calcium_decoding.utils.files import alone, hash_content, is_intact, whole_file, write_npy
from calcium_decoding.utils.progress import progress

STRETCH_FRAMES, STRETCH_PIXELS = 256, 2**22  # of 128 x 128 pixels, 16 bits: 8 MB, which fits a processor's cache


class Seen:
    """What one pass through a movie gives, from stretches of frames that are added in order: ``top``, the highest
    value; how many pixel values, how many frames and which pixels have it; ``flat``: numbers of the frames of one
    value; ``bad``: number of the first frame with NaN or infinite pixels, after which the former are not followed."""

    def __init__(self, shape, dtype):
        self._kind = dtype.newbyteorder("<")
        self._digest = hashlib.sha256(str((*shape, self._kind.str)).encode())
        self.top, self.n_top, self.n_frames_top, self.pixels_top = None, 0, 0, None
        self.flat, self.bad, self.sums = [], None, PixelSums()

    def add(self, frames):
        """Take in a stretch of frames, ndarray, shape (n, rows, columns)."""
        self._digest.update(np.ascontiguousarray(frames, self._kind).data)
        if self.bad is None:
            self._expose(frames)
        self.sums.add(frames)

    @property
    def hash(self):
        """Hexadecimal SHA-256 of shape, type and the pixels so far."""
        return self._digest.hexdigest()

    def _expose(self, frames):
        highest, lowest = frames.max(axis=(1, 2)), frames.min(axis=(1, 2))
        finite = np.isfinite(highest) & np.isfinite(lowest)
        if not finite.all():
            self.bad = self.sums.n + int(np.argmin(finite))
            return
        self.flat += (self.sums.n + np.flatnonzero(highest == lowest)).tolist()
        if self.top is None or highest.max() > self.top:
            self.top, self.n_top, self.n_frames_top = highest.max(), 0, 0
            self.pixels_top = np.zeros(frames.shape[1:], bool)
        if (reach := highest == self.top).any():
            hits = frames[reach] == self.top
            self.n_top += int(np.count_nonzero(hits))
            self.n_frames_top += len(hits)
            self.pixels_top |= hits.any(axis=0)


class PixelSums:
    """Of frames less ``offset``: their number ``n``, sum ``total`` (rows, columns) and sum of squares, float64."""

    def __init__(self):
        self.n, self.offset, self.total, self.squares = 0, None, 0.0, 0.0

    def add(self, frames):
        """Take in a stretch of frames, ndarray, shape (n, rows, columns)."""
        frames = frames.astype(np.float64)
        if self.offset is None:  # squares of small numbers: a bright, steady movie loses no digits
            self.offset = frames[0].mean()
        with np.errstate(invalid="ignore", over="ignore"):  # of NaN or infinite pixels, which users of the sums refuse
            frames -= self.offset
            self.total = self.total + frames.sum(axis=0)
            self.squares += float(np.vdot(frames, frames))
        self.n += len(frames)


@dataclass(frozen=True, eq=False)
class Movie:
    """A movie that stays on disk until a stretch of it is asked for: ``movie[100:200]``.

    Parameters
    ----------
    path : str or Path
        A TIFF file (classic or BigTIFF, compressed or not): one page a frame, an ImageJ stack, ScanImage 5 or later,
        OME-TIFF or Micro-Manager (a file of several leads to the others). A ``.npy`` file with an array (T, rows,
        columns). A folder with a series of TIFF files, see :func:`~calcium_decoding.data.sources.series_files`, or of
        PrairieView (Bruker) with its XML file, which gives the order. HDF5 or zarr with an array (T, rows, columns).
        NWB with a OnePhotonSeries or TwoPhotonSeries, in the file or in others that it names.
    n_frames : int, optional
        Use only so many from the beginning.
    channel : int or str, optional
        Number or name of the channel, as the source gives it; counted from 1 where it gives none. Needed, as ``plane``
        (int, counted from 1), where there are several.
    dataset : str, optional
        Name of an array in HDF5 or zarr, of a series in NWB; needed where there are several.
    every : (int, int)
        First frame and step: (1, 2) is every second frame, from the second on. See :func:`split_channels`.

    Raises
    ------
    DataError
        No such file; a file that is damaged or cut short; no grey frames of one size and type; a gap in a series; too
        few frames; several channels, planes or arrays and none named, with what there is.
    """

    path: Path
    n_frames: int | None = None
    channel: int | str | None = None
    plane: int | None = None
    dataset: str | None = None
    every: tuple[int, int] = (0, 1)

    def __post_init__(self):
        object.__setattr__(self, "path", Path(self.path))
        first, step = self.every
        if not (isinstance(first, int) and isinstance(step, int) and 0 <= first < step):
            raise ParameterError("every", repr(self.every), "(first, step), whole numbers, 0 <= first < step",
                                 "name the first frame and the step")
        there = int(self._edges[-1])
        if there == 0 or (self.n_frames is not None and not 0 < self.n_frames <= there):
            raise DataError(self.path, f"{there} frames", f"at least {self.n_frames or 1}", "ask for fewer frames")

    @property
    def opened_by(self):
        """All that this movie is opened by; ``Movie(*movie.opened_by)`` opens it again, as its files are then."""
        return self.path, self.n_frames, self.channel, self.plane, self.dataset, self.every

    @property
    def rate_hz(self):
        """Frames a second of this channel and plane, as its files say, float; None if they do not."""
        return None if self._found.rate_hz is None else self._found.rate_hz / self.every[1]

    @property
    def offset_frames(self):
        """How much later than frame 0 of all channels frame 0 of this movie begins, in its own frames: 0.5 for the
        second of two interleaved channels."""
        return self.every[0] / self.every[1]

    @property
    def notes(self):
        """What was left out or taken for granted, tuple of str."""
        first, step = self.every
        return self._found.notes + ((f"every {step}. frame, from frame {first} (from 0)",) if step > 1 else ())

    def times_s(self):
        """When each frame began, s, (T,), float64, read anew from PrairieView or NWB; None: not known."""
        times = open_source(self.path, self.channel, self.plane, self.dataset, self._needed).times_s
        return None if times is None else times[self.every[0]::self.every[1]][:len(self)]

    @property
    def shape(self):
        """Frames, rows, columns, (int, int, int)."""
        return (self.n_frames or int(self._edges[-1]), *self._stacks[0].shape[1:])

    @property
    def dtype(self):
        """Type of a pixel, in the byte order of this machine: signed or unsigned integers, or floats."""
        return self._stacks[0].dtype.newbyteorder("=")

    @property
    def files(self):
        """The files that hold the frames, in their order, tuple of Path."""
        paths = dict.fromkeys(stack.path for stack in self._stacks)
        return tuple(file for path in paths
                     for file in (sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]))

    @property
    def maps(self):
        """Whether all frames can be memory-mapped as they lie; :func:`mappable` converts a movie once if not."""
        return len(self._stacks) == 1 and self._stacks[0].maps

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, frames):
        """Frames ``start:stop`` (step 1), ndarray of shape (n, rows, columns), which belongs to the caller."""
        if not isinstance(frames, slice) or frames.step not in (None, 1):
            raise TypeError("a movie gives a stretch of frames: movie[start:stop]")
        start, stop, _ = frames.indices(len(self))
        if stop <= start:
            return np.empty((0, *self.shape[1:]), self.dtype)
        files = range(np.searchsorted(self._edges, start, "right") - 1, np.searchsorted(self._edges, stop))
        parts = [self._stacks[i].read(max(start - self._edges[i], 0), min(stop, self._edges[i + 1]) - self._edges[i])
                 for i in files]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    @cached_property
    def seen(self):
        """What one pass through all frames gives, a :class:`Seen`; the movie is read when this is first asked for."""
        seen = Seen(self.shape, self.dtype)
        for _, frames in stretches(self):
            seen.add(frames)
        return seen

    def content_hash(self):
        """Hexadecimal SHA-256 of shape, type and all pixels used, however they are stored."""
        return self.__dict__.get("_hash") or self.seen.hash

    def __getstate__(self):  # the images of ``seen`` stay in this process, the hash goes along
        state = dict(self.__dict__)
        if "seen" in state:
            state["_hash"] = state.pop("seen").hash
        return state

    @cached_property
    def _found(self):
        return replace(open_source(self.path, self.channel, self.plane, self.dataset, self._needed), times_s=None)

    @property
    def _needed(self):
        """Frames of all channels that ``n_frames`` takes."""
        return self.n_frames and self.every[0] + (self.n_frames - 1) * self.every[1] + 1

    @cached_property
    def _stacks(self):
        if self.every[1] == 1:
            return self._found.stacks
        n = sum(stack.shape[0] for stack in self._found.stacks)
        return picked(self._found.stacks, np.arange(n)[self.every[0]::self.every[1]])

    @cached_property
    def _edges(self):
        """First frame of each file, and the end of the last one."""
        return np.cumsum([0, *(stack.shape[0] for stack in self._stacks)])


def split_channels(movie, order=("blue", "violet")):
    """Movies of the channels that alternate frame by frame in one, dict of str to Movie, with equal numbers of frames.

    ``order``: names of the channels, from the first frame on. Each movie has the rate of the whole divided by their
    number, and begins ``offset_frames`` of its own frames after the first one: 0.5 for the second of two. The frames of
    a last cycle that is not whole are left out; ``notes`` say where the frames of each are. Nothing is copied. Raises
    ParameterError: fewer than two names, or a name twice; a movie that is split already.
    """
    n = len(order)
    if n < 2 or len(set(order)) < n or isinstance(order, str) or movie.every != (0, 1):
        raise ParameterError("order", repr(order), "two different names or more, of a movie that is not split yet",
                             "name the channels in the order of their frames")
    return {name: replace(movie, n_frames=len(movie) // n, every=(i, n)) for i, name in enumerate(order)}


def stretches(movie, report=None):
    """Frames of anything (T, rows, columns), in stretches of at most 256 frames and four million pixels.

    Yields the number of the first frame and the frames; ``report`` is called with their number when they are done with.
    """
    n = max(1, min(STRETCH_FRAMES, STRETCH_PIXELS // math.prod(movie.shape[1:])))
    for first in range(0, len(movie), n):
        frames = np.asarray(movie[first : first + n])
        yield first, frames
        if report is not None:
            report(len(frames))


def write_movie(path, chunks, shape, dtype=np.uint16):
    """Write ``chunks``, arrays (n, rows, columns) that the first axis joins to ``shape``, as multi-page TIFF."""
    frames = (frame for chunk in chunks for frame in chunk)
    with whole_file(path) as temporary:
        tifffile.imwrite(temporary, frames, shape=shape, dtype=dtype, photometric="minisblack",
                         metadata={"axes": "TYX"}, software=False, datetime=False)


def mappable(movie, folder):
    """The same movie, in one file that can be memory-mapped: itself if it maps, else a copy in ``folder``.

    The copy is named by what the files are (where, how large, how old), so that later runs find it; when they have
    changed, the former copy goes. Returns the Movie and a note that and why there is a copy, or "". DataError: a frame
    that cannot be read. WriteError: the folder cannot be written, or its disk has no room.
    """
    if movie.maps:
        return movie, ""
    copy = kept(movie, folder, *_names(movie), lambda: (frames for _, frames in stretches(movie)),
                f"convert {movie.path.name} once")
    why = "compressed or unevenly stored" if len(movie.files) == 1 else f"{len(movie.files)} files"
    return copy, f"{movie.path.name} ({why}) converted once: an uncompressed copy of its {len(movie)} frames is read"


def kept(movie, folder, place, state, frames, desc):
    """A Movie of the shape and type of ``movie`` in ``folder``: found there, or else written now, whole or not at all.

    ``place``, ``state``: which movie it is, and all that decides what is in it; those of other states go. ``frames()``:
    its frames in stretches. WriteError: the folder cannot be written, or its disk has no room.
    """
    path = Path(folder) / f"{place}-{state}.npy"
    copy = _intact(path, movie)
    if copy is None:
        with alone(path.parent / f".{place}.lock") as locked:
            copy = _intact(path, movie)
            if copy is None:
                if locked:  # of a state that is no longer, and what a killed process left
                    for former in (*path.parent.glob(f"{place}-*.npy"), *path.parent.glob(f".{place}-*.npy")):
                        former.unlink(missing_ok=True)
                copy = _written(movie, path, frames(), desc)
    return copy


def _names(movie):
    """Hashes of which movie it is, and of the state in which its files and this code are."""
    files = [file.resolve() for file in movie.files]
    try:
        states = [(found.st_size, found.st_mtime_ns) for found in (file.stat() for file in files)]
    except OSError as error:
        raise DataError(movie.path, f"a file that is gone ({error})", "the files that were there when it was opened",
                        "fetch or write the movie again") from error
    place = hash_content([str(movie.path.resolve()), *movie.opened_by[1:]])
    return place, hash_content([[str(file) for file in files], states, code_digest("data")])


def _intact(path, movie):
    """The movie of a copy; None if it is not there or not what it should be, which is said."""
    if is_intact(path):
        copy = Movie(path)
        return copy if copy.shape == movie.shape and copy.dtype == movie.dtype else None
    if path.exists():
        warnings.warn(f"{path} is not as it was written; {movie.path.name} is converted again", stacklevel=4)
    return None


def _written(movie, path, parts, desc):
    needed, free = math.prod(movie.shape) * movie.dtype.itemsize, shutil.disk_usage(path.parent).free
    if needed > free:
        raise WriteError(path.parent, f"{free / 1e9:.1f} GB free", f"{needed / 1e9:.1f} GB for {movie.path.name}",
                         "free disk space, or name another folder")

    seen = Seen(movie.shape, movie.dtype)

    def chunks():
        with progress(None, total=len(movie), desc=desc, unit="frame") as bar:
            for frames in parts:
                seen.add(frames)
                yield frames
                bar.update(len(frames))

    write_npy(path, chunks(), movie.shape, movie.dtype)
    copy = Movie(path)
    copy.__dict__["seen"] = seen
    return copy
