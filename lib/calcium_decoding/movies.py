"""Movies on disk: multi-page TIFF files, read a stretch at a time."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import tifffile

from calcium_decoding.errors import DataError
from calcium_decoding.files import whole_file


@dataclass(frozen=True, eq=False)
class Movie:
    """A movie that stays on disk until a stretch of it is asked for: ``movie[100:200]``.

    Parameters
    ----------
    path : str or Path
        Multi-page TIFF, one page a frame.
    n_frames : int, optional
        Use only so many frames from the beginning.

    Attributes
    ----------
    shape : (int, int, int)
        Frames, rows, columns.

    Raises
    ------
    DataError
        Not a TIFF file of grey frames of one size, or fewer frames than asked for.
    """

    path: Path
    n_frames: int | None = None

    def __post_init__(self):
        object.__setattr__(self, "path", Path(self.path))
        there = self._layout[0]
        if self.n_frames is not None and not 0 < self.n_frames <= there[0]:
            raise DataError(self.path, f"{there[0]} frames", f"at least {self.n_frames}", "ask for fewer frames")

    @property
    def shape(self):
        """Frames, rows, columns."""
        (n, rows, columns), _ = self._layout
        return (self.n_frames or n, rows, columns)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, frames):
        """Frames ``start:stop`` (step 1), ndarray of shape (n, rows, columns) in the type of the file."""
        if not isinstance(frames, slice) or frames.step not in (None, 1):
            raise TypeError("a movie gives a stretch of frames: movie[start:stop]")
        start, stop, _ = frames.indices(len(self))
        if stop <= start:
            return self[:1][:0]
        return np.array(self._frames[start:stop]) if self._layout[1] else self._read_pages(start, stop)

    def first(self, n_frames):
        """The same movie cut to its first ``n_frames`` frames."""
        return Movie(self.path, n_frames)

    def content_hash(self):
        """Hexadecimal SHA-256 of shape, type and all pixels used, however they are stored; read in pieces, a minute for
        a hundred gigabytes of fast disk."""
        kind = self[:1].dtype.newbyteorder("<")
        digest = hashlib.sha256(str((*self.shape, kind.str)).encode())
        for start in range(0, len(self), 256):
            digest.update(np.ascontiguousarray(self[start : start + 256], kind).data)
        return digest.hexdigest()

    @cached_property
    def _layout(self):
        """Shape of the file, and whether its frames follow each other uncompressed."""
        try:
            with tifffile.TiffFile(self.path) as file:
                series, size = list(file.series), file.filehandle.size
                first = series[0]
        except (OSError, IndexError, tifffile.TiffFileError) as error:
            raise DataError(self.path, f"no readable TIFF file ({error})", "a multi-page TIFF file",
                            "fetch or write the file again") from error
        shape, kind, start = first.shape, first.dtype, first.dataoffset
        if start is not None and start + first.nbytes > size:
            raise DataError(self.path, f"a file that ends within its {shape[0]} frames", "a whole file",
                            "fetch or write the file again")
        # Written a page at a time, each page may be a series of its own.
        alike = len(series) == 1 or (len(shape) == 2 and {(s.shape, s.dtype) for s in series} == {(shape, kind)})
        shape = (len(series), *shape) if len(shape) == 2 else shape
        if len(shape) != 3 or not alike or "S" in first.axes or kind is None or kind.kind not in "uif":
            raise DataError(self.path, f"pages of shape {' and '.join(str(s.shape) for s in series[:2])}, type {kind}",
                            "grey frames of one size, (T, rows, columns)", "store one grey page a frame")
        return shape, start is not None and len(series) == 1

    @cached_property
    def _frames(self):
        return tifffile.memmap(self.path, mode="r").reshape(self._layout[0])

    def _read_pages(self, start, stop):
        try:
            frames = tifffile.imread(self.path, key=range(start, stop))
        except (OSError, ValueError, IndexError, tifffile.TiffFileError) as error:
            raise DataError(self.path, f"frames {start} .. {stop} that cannot be read ({error})", "a whole file",
                            "fetch or write the file again") from error
        return frames.reshape(stop - start, *self.shape[1:])


def write_movie(path, chunks, shape, dtype=np.uint16):
    """Write a movie as multi-page TIFF, whole or not at all, without holding more than a chunk of it.

    Parameters
    ----------
    path : str or Path
    chunks : iterable of ndarray, shape (n, rows, columns)
        One after the other, ``shape[0]`` frames in all.
    shape : (int, int, int)
        Frames, rows, columns.
    dtype : dtype
        Type of the pixels.
    """
    frames = (frame for chunk in chunks for frame in chunk)
    with whole_file(path) as temporary:
        tifffile.imwrite(temporary, frames, shape=shape, dtype=dtype, photometric="minisblack",
                         metadata={"axes": "TYX"}, software=False, datetime=False)
