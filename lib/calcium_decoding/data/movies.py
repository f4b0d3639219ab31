"""Movies on disk: TIFF as laboratories write it, or ``.npy``, read a stretch at a time."""

import hashlib
import itertools
import math
import re
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import tifffile

from calcium_decoding.data.stacks import open_stack
from calcium_decoding.errors import DataError, WriteError
from calcium_decoding.utils.code import code_digest
from calcium_decoding.utils.files import alone, hash_content, whole_file, write_npy
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

    ``path`` (str or Path): a TIFF file, one page a frame or an ImageJ stack (classic or BigTIFF, compressed or not, one
    plane and one channel); a ``.npy`` file with an array (T, rows, columns); or a folder with a series of TIFF files,
    see :func:`series_files`. ``n_frames``: use only so many from the beginning. Raises DataError: no such file, a file
    that is damaged or cut short, no grey frames of one size and type, a gap in a series, or too few frames.
    """

    path: Path
    n_frames: int | None = None

    def __post_init__(self):
        object.__setattr__(self, "path", Path(self.path))
        there = int(self._edges[-1])
        if self.n_frames is not None and not 0 < self.n_frames <= there:
            raise DataError(self.path, f"{there} frames", f"at least {self.n_frames}", "ask for fewer frames")

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
        return tuple(stack.path for stack in self._stacks)

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
    def _stacks(self):
        paths = series_files(self.path) if self.path.is_dir() else [self.path]
        stacks = []
        for path in paths:
            stacks.append(open_stack(path))
            one, other = ((*s.shape[1:], s.dtype.newbyteorder("=")) for s in (stacks[0], stacks[-1]))
            if one != other:
                raise DataError(path, "frames of {} x {} pixels, {}".format(*other),
                                "frames of one size and type, as in {}: {} x {}, {}".format(paths[0].name, *one),
                                "leave out the files that are no frames of this movie")
        return stacks

    @cached_property
    def _edges(self):
        """First frame of each file, and the end of the last one."""
        return np.cumsum([0, *(stack.shape[0] for stack in self._stacks)])


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


def series_files(folder):
    """TIFF files of a folder in the order of the one number in which their names differ, list of Path.

    It runs without gaps; the first file may lack it, as of cameras that begin a new file when one is full (``run.tif``,
    ``run@0001.tif``). DataError: no TIFF file; more than one number; a number that is missing or there twice.
    """
    folder = Path(folder)
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".tif", ".tiff") and not p.name.startswith("."))
    if not paths:
        raise DataError(folder, "a folder without .tif or .tiff files", "a series of TIFF files",
                        "name the folder that holds the frames")
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
    place = hash_content([str(movie.path.resolve()), movie.n_frames])
    return place, hash_content([[str(file) for file in files], states, code_digest("data")])


def _intact(path, movie):
    """The movie of a copy; None if it is not there or not what it should be."""
    try:
        copy = Movie(path)
    except DataError:
        return None
    return copy if copy.shape == movie.shape and copy.dtype == movie.dtype else None


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
