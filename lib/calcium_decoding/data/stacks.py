"""The frames in one file, TIFF or ``.npy``: how many, where they lie, and how to read a stretch of them."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from calcium_decoding.data.tiff import cut, page_table, unreadable
from calcium_decoding.errors import DataError

_SEVERAL_FILES = ("ome", "mmstack", "ndtiff")  # kinds that tifffile puts together from several files


@dataclass(frozen=True, eq=False)
class Stack:
    """Frames of one file. Small, so it travels to other processes; no file is left open.

    ``shape`` ((int, int, int)): frames, rows, columns. ``dtype``: of a pixel, in the byte order of the file. ``start``,
    ``step``: first byte of the first frame and bytes from one frame to the next, where frames lie uncompressed at equal
    distances. Such a file can be memory-mapped. ``offsets``, ``counts`` (ndarray, shape (T, segments), int64): first
    byte and number of bytes of each strip or tile, where they do not.
    """

    path: Path
    shape: tuple
    dtype: np.dtype
    start: int | None = None
    step: int | None = None
    offsets: np.ndarray | None = None
    counts: np.ndarray | None = None

    @property
    def maps(self):
        """Whether the frames can be memory-mapped as they lie."""
        return self.step is not None

    def mapped(self):
        """Frames as one read-only memory-mapped array, shape (T, rows, columns), in the byte order of the file."""
        pixel = self.dtype.itemsize
        return np.ndarray(self.shape, self.dtype, np.memmap(self.path, np.uint8, "r"), self.start,
                          (self.step, self.shape[2] * pixel, pixel))

    def read(self, start, stop):
        """Frames ``start`` to ``stop``, ndarray, shape (n, rows, columns), in the byte order of this machine.

        Raises DataError: the file is gone or has become shorter, or its compressed pixels are damaged.
        """
        if not self.maps:
            return self._decoded(start, stop)
        frames = np.empty((stop - start, *self.shape[1:]), self.dtype)
        runs = [frames] if self.step == frames[0].nbytes else frames
        try:
            with open(self.path, "rb") as file:
                for i, run in enumerate(runs):
                    file.seek(self.start + (start + i) * self.step)
                    if file.readinto(run.data) < run.nbytes:
                        raise cut(self.path, f"its {self.shape[0]} frames")
        except OSError as error:
            raise unreadable(self.path, error) from error
        return frames.astype(self.dtype.newbyteorder("="), copy=False)

    def _decoded(self, start, stop):
        _, rows, columns = self.shape
        frame = start
        try:
            frames = np.empty((stop - start, rows, columns), self.dtype.newbyteorder("="))
            # The file is opened once a stretch and its page table not at all: the places of the pixels are known.
            with tifffile.TiffFile(self.path) as file:
                page, content = file.pages.first, file.filehandle
                for frame in range(start, stop):
                    for segment, (offset, count) in enumerate(zip(self.offsets[frame], self.counts[frame],
                                                                  strict=True)):
                        content.seek(int(offset))
                        pixels, (_, _, row, column, _), _ = page.decode(
                            content.read(int(count)), segment, jpegtables=page.jpegtables)
                        part = pixels[0, : rows - row, : columns - column, 0]
                        frames[frame - start, row : row + part.shape[0], column : column + part.shape[1]] = part
        except (ImportError, NotImplementedError) as error:
            raise _no_codec(self.path, page) from error
        except Exception as error:  # each codec has errors of its own
            raise DataError(self.path, f"frame {frame} that cannot be read ({error})", "a whole file",
                            "fetch or write the file again") from error
        return frames


def open_stack(path):
    """Find the frames of a file.

    ``path``: TIFF, or ``.npy`` with an array of shape (T, rows, columns). Returns Stack. Raises DataError: no such
    file; colour, complex or other pixels than integers and floats; frames of different size; more axes than frames,
    rows and columns; a compression that this installation cannot read; or a file that ends within its frames or its
    page table.
    """
    path = Path(path)
    if path.suffix.lower() == ".npy":
        return _npy(path)
    table = page_table(path)
    try:
        with tifffile.TiffFile(path) as file:
            return _tiff(path, file, table)
    except DataError:
        raise
    except Exception as error:  # tifffile meets damage with errors of many classes
        raise unreadable(path, error) from error


def _no_codec(path, page):
    compression = getattr(page.compression, "name", page.compression)
    return DataError(path, f"pixels of {page.bitspersample} bits, compression {compression}", "pixels that can be "
                     "decoded here", "install imagecodecs, or save the movie uncompressed or with deflate")


def _npy(path):
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        shape, kind, start = array.shape, array.dtype, array.offset
    except (OSError, ValueError, EOFError, AttributeError) as error:  # AttributeError: an archive of arrays
        raise DataError(path, f"no readable .npy file ({error})", "a whole file that numpy.save wrote",
                        "fetch or write the file again") from error
    if len(shape) != 3 or 0 in shape or kind.kind not in "uif" or not array.flags.c_contiguous:
        order = "" if array.flags.c_contiguous else " in Fortran order"
        raise DataError(path, f"an array of shape {shape}, type {kind}{order}",
                        "grey frames of integers or floats, (T, rows, columns), in C order", "save it again so")
    return Stack(path, shape, kind, start, math.prod(shape[1:]) * kind.itemsize)


def _tiff(path, file, table):
    page = file.pages.first
    kind = None if page.dtype is None else np.dtype(page.dtype).newbyteorder(file.byteorder)
    if page.samplesperpixel != 1 or len(page.shape) != 2 or kind is None or kind.kind not in "uif" or 0 in page.shape:
        colours = f", {page.samplesperpixel} colours" if page.samplesperpixel != 1 else ""
        raise DataError(path, f"pages of shape {page.shape}{colours}, type {kind}",
                        "grey frames of integers or floats, (T, rows, columns)",
                        "store one grey page a frame")
    n = _n_frames(path, file, page, len(table))
    n_bytes = math.prod(page.shape) * kind.itemsize
    if n > len(table):  # one page that stands for all: ImageJ beyond 4 GB
        return _equal_steps(path, table, (n, *page.shape), kind, int(table.offsets[0, 0]), n_bytes)
    whole = (table.offsets > 0).all(axis=1) & (table.offsets + table.counts <= table.size).all(axis=1)
    if not whole.all():
        raise cut(path, f"its {n} frames, in frame {int(np.argmin(whole))}")
    first = table.offsets[:, 0]
    steps = np.unique(np.diff(first)) if n > 1 else np.array([n_bytes])
    if page.is_final and _in_one_run(path, table, n_bytes) and len(steps) == 1 and steps[0] >= n_bytes:
        return _equal_steps(path, table, (n, *page.shape), kind, int(first[0]), int(steps[0]))
    if table.offsets.shape[1] != math.prod(page.chunked) or not table.counts.all():
        raise DataError(path, "frames with missing strips or tiles", "all pixels of each frame",
                        "fetch or write the file again")
    if page.compression not in tifffile.TIFF.DECOMPRESSORS:
        raise _no_codec(path, page)
    return Stack(path, (n, *page.shape), kind, offsets=table.offsets, counts=table.counts)


def _equal_steps(path, table, shape, kind, start, step):
    if start + (shape[0] - 1) * step + math.prod(shape[1:]) * kind.itemsize > table.size:
        raise cut(path, f"its {shape[0]} frames")
    return Stack(path, shape, kind, start, step)


def _in_one_run(path, table, n_bytes):
    """Whether the strips of each page follow each other, so that its pixels lie in one run of ``n_bytes``."""
    if table.offsets.shape[1] == 1:
        short = (table.counts[:, 0] > 0) & (table.counts[:, 0] < n_bytes)
        if short.any():
            raise cut(path, f"the pixels of frame {int(np.argmax(short))}")
        return True
    follow = table.offsets[:, 1:] == table.offsets[:, :-1] + table.counts[:, :-1]
    return bool(follow.all() and (table.counts.sum(axis=1) == n_bytes).all())


def _n_frames(path, file, page, n_pages):
    """Number of frames: that of pages, or what the description of a single page says."""
    if _describes_itself(page):  # tifffile would make a series of each page: seconds
        return n_pages
    series = file.series
    if any(s.kind in _SEVERAL_FILES and (None in s.pages or s.is_multifile) for s in series):
        raise DataError(path, "one of several files that belong together", "one file, or a folder of a numbered series",
                        "save the movie as one BigTIFF file")
    axes = [[length for length in s.shape[:-2] if length > 1] for s in series]
    if max(map(len, axes)) > 1:
        raise DataError(path, f"axes {series[0].axes} of lengths {series[0].shape}",
                        "grey frames of one plane and one channel, (T, rows, columns)",
                        "store one grey page a frame, one plane and channel a file")
    n = sum(math.prod(lengths) for lengths in axes)
    images = (file.imagej_metadata or {}).get("images", 1)
    if images > n:  # tifffile then leaves the description aside
        raise cut(path, f"the {images} frames that its description says")
    if n != n_pages and not (n_pages == len(series) == 1 and series[0].dataoffset is not None):
        raise DataError(path, f"{n_pages} pages with a description of {n} frames", "a page a frame",
                        "write the file again as one stack")
    return n


def _describes_itself(page):
    """Whether tifffile wrote this page by itself, with a description of it alone."""
    try:
        return json.loads(page.description)["shape"] == list(page.shape)
    except (ValueError, TypeError, KeyError):
        return False
