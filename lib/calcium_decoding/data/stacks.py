"""The frames in one file, TIFF or ``.npy``: how many, where they lie, and how to read a stretch of them."""

import json
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tifffile

from calcium_decoding.data import layouts
from calcium_decoding.errors import DataError

# Bytes of a value of each kind of tag, 1 (byte) to 18 (64-bit offset); the last stands for kinds that nobody knows.
_BYTES = np.array([1, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 1, 1, 8, 8, 8, 1])
_WHOLE_NUMBERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
_COLUMNS, _ROWS = 256, 257
# With these alike, the pixels of all pages are decoded alike: size, bits, compression, fill order, samples, rows a
# strip, planes, predictor, tiles, sample format.
_ALIKE = (_COLUMNS, _ROWS, 258, 259, 266, 277, 278, 284, 317, 322, 323, 339)
_OFFSETS, _COUNTS = (273, 324), (279, 325)  # of strips, of tiles
_MOST_TAGS = 4096  # a page has some fifteen; more is damage
_TABLE_BYTES = 512  # read at once; more only for a page with more tags


@dataclass(frozen=True, eq=False)
class Stack:
    """Frames of one file. Small, so it travels to other processes; no file is left open.

    ``shape``: frames, rows, columns. ``dtype``: in the byte order of the file. ``start``, ``step``: first byte of the
    first frame and bytes from one to the next, where frames lie uncompressed at equal distances and can be mapped.
    ``offsets``, ``counts`` (T, segments): first byte and number of bytes of each strip or tile elsewhere.
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

    @property
    def first_bytes(self):
        """First byte of each frame, shape (T,)."""
        return self.start + self.step * np.arange(self.shape[0]) if self.maps else self.offsets[:, 0]

    def every(self, first, step, n):
        """Stack of ``n`` of the frames: number ``first`` and every ``step``-th from there. No pixel is copied."""
        shape = (n, *self.shape[1:])
        if self.maps:
            return replace(self, shape=shape, start=self.start + first * self.step, step=self.step * step)
        some = slice(first, first + (n - 1) * step + 1, step)
        return replace(self, shape=shape, offsets=self.offsets[some], counts=self.counts[some])

    def read(self, start, stop):
        """Frames ``start`` to ``stop``, (n, rows, columns), in the byte order of this machine.

        DataError: the file is gone or has become shorter, or its compressed pixels are damaged.
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
                        raise _cut(self.path, f"its {self.shape[0]} frames")
        except OSError as error:
            raise _unreadable(self.path, error) from error
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
            raise _damaged(self.path, f"frame {frame} that cannot be read ({error})") from error
        return frames


def open_stack(path, member=False):
    """Find the frames of a TIFF file, or of ``.npy`` with an array (T, rows, columns).

    Returns a Stack, of all pages in the order of the file, and a Layout where these are several channels or planes, or
    where the order is another one; else None, as of the ``member`` of a series that is described elsewhere.

    DataError: no such file; other pixels than integers and floats; frames of different size; more axes; a compression
    that this installation cannot read; a file that ends within its frames or its page table.
    """
    path = Path(path)
    if path.suffix.lower() == ".npy":
        return _npy(path), None
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            table = size, *_table(path, file.fileno(), size)
        with tifffile.TiffFile(path) as file:
            return _tiff(path, file, member, *table)
    except DataError:
        raise
    except Exception as error:  # tifffile meets damage with errors of many classes
        raise _unreadable(path, error) from error


def _no_codec(path, page):
    compression = getattr(page.compression, "name", page.compression)
    return DataError(path, f"pixels of {page.bitspersample} bits, compression {compression}", "pixels that can be "
                     "decoded here", "install imagecodecs, or save the movie uncompressed or with deflate")


def _npy(path):
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        shape, kind, start = array.shape, array.dtype, array.offset
    except (OSError, ValueError, EOFError, AttributeError) as error:  # AttributeError: an archive of arrays
        raise _damaged(path, f"no readable .npy file ({error})", "a whole file that numpy.save wrote") from error
    if len(shape) != 3 or 0 in shape or kind.kind not in "uif" or not array.flags.c_contiguous:
        order = "" if array.flags.c_contiguous else " in Fortran order"
        raise DataError(path, f"an array of shape {shape}, type {kind}{order}",
                        "grey frames of integers or floats, (T, rows, columns), in C order", "save it again so")
    return Stack(path, shape, kind, start, math.prod(shape[1:]) * kind.itemsize)


def _tiff(path, file, member, size, offsets, counts):
    page = file.pages.first
    kind = None if page.dtype is None else np.dtype(page.dtype).newbyteorder(file.byteorder)
    if page.samplesperpixel != 1 or len(page.shape) != 2 or kind is None or kind.kind not in "uif" or 0 in page.shape:
        colours = f", {page.samplesperpixel} colours" if page.samplesperpixel != 1 else ""
        raise DataError(path, f"pages of shape {page.shape}{colours}, type {kind}",
                        "grey frames of integers or floats, (T, rows, columns)", "store one grey page a frame")
    n, layout = (len(offsets), None) if member else _described(path, file, page, len(offsets))
    return _stack(path, page, kind, n, size, offsets, counts), layout


def _stack(path, page, kind, n, size, offsets, counts):
    n_bytes = math.prod(page.shape) * kind.itemsize
    if n > len(offsets):  # one page that stands for all: ImageJ beyond 4 GB
        return _equal_steps(path, size, (n, *page.shape), kind, int(offsets[0, 0]), n_bytes)
    whole = (offsets > 0).all(axis=1) & (offsets + counts <= size).all(axis=1)
    if not whole.all():
        raise _cut(path, f"its {n} frames, in frame {int(np.argmin(whole))}")
    first = offsets[:, 0]
    steps = np.unique(np.diff(first)) if n > 1 else np.array([n_bytes])
    if page.is_final and _in_one_run(path, offsets, counts, n_bytes) and len(steps) == 1 and steps[0] >= n_bytes:
        return _equal_steps(path, size, (n, *page.shape), kind, int(first[0]), int(steps[0]))
    if offsets.shape[1] != math.prod(page.chunked) or not counts.all():
        raise _damaged(path, "frames with missing strips or tiles", "all pixels of each frame")
    if page.compression not in tifffile.TIFF.DECOMPRESSORS:
        raise _no_codec(path, page)
    return Stack(path, (n, *page.shape), kind, offsets=offsets, counts=counts)


def _equal_steps(path, size, shape, kind, start, step):
    if start + (shape[0] - 1) * step + math.prod(shape[1:]) * kind.itemsize > size:
        raise _cut(path, f"its {shape[0]} frames")
    return Stack(path, shape, kind, start, step)


def _in_one_run(path, offsets, counts, n_bytes):
    """Whether the strips of each page follow each other, so that its pixels lie in one run of ``n_bytes``."""
    if offsets.shape[1] == 1:
        short = (counts[:, 0] > 0) & (counts[:, 0] < n_bytes)
        if short.any():
            raise _cut(path, f"the pixels of frame {int(np.argmax(short))}")
        return True
    follow = offsets[:, 1:] == offsets[:, :-1] + counts[:, :-1]
    return bool(follow.all() and (counts.sum(axis=1) == n_bytes).all())


def _described(path, file, page, n_pages):
    """Number of frames: that of pages, or what the description of a single page says; and a Layout or None."""
    if page.is_scanimage:
        return n_pages, layouts.scanimage(path, file)
    if _describes_itself(page):  # tifffile would make a series of each page: seconds
        return n_pages, None
    series = file.series
    if layouts.in_files(file):
        return n_pages, layouts.indexed(path, file)
    n = sum(math.prod(s.shape[:-2]) for s in series)
    images = (file.imagej_metadata or {}).get("images", 1)
    if images > n:  # tifffile then leaves the description aside
        raise _cut(path, f"the {images} frames that its description says")
    if n != n_pages and not (n_pages == len(series) == 1 and series[0].dataoffset is not None):
        raise DataError(path, f"{n_pages} pages with a description of {n} frames", "a page a frame",
                        "write the file again as one stack")
    return n, layouts.by_axes(path, file)


def _describes_itself(page):
    try:
        return json.loads(page.description)["shape"] == list(page.shape)
    except (ValueError, TypeError, KeyError):
        return False


def _damaged(path, found, expected="a whole file"):
    return DataError(path, found, expected, "fetch or write the file again")


def _unreadable(path, error):
    return _damaged(path, f"no readable TIFF file ({error})", "a multi-page TIFF file")


def _cut(path, where):
    return _damaged(path, f"a file that ends within {where}")


# tifffile reads what is left of a damaged file and says so in its log. Here a movie that lost frames is refused: the
# chain of pages is followed to its end (TIFF 6.0; https://libtiff.gitlab.io/libtiff/specification/bigtiff.html).


def _table(path, handle, size):
    """First byte and number of bytes (0: not said) of each strip or tile, (pages, segments)."""
    form, offset = _header(path, os.pread(handle, 16, 0))
    blocks = _chain(path, handle, size, form, offset)
    tags = np.frombuffer(b"".join(blocks), form)
    page = np.repeat(np.arange(len(blocks)), [len(block) // form.itemsize for block in blocks])
    n_bytes = np.take(_BYTES, tags["kind"], mode="clip") * tags["count"].astype(float)
    # Values that do not fit in the table, also of tags that are of no use here: they are part of the file.
    beyond = (n_bytes > form["offset"].itemsize) & (tags["offset"] + n_bytes > size)
    if beyond.any():
        raise _cut(path, f"the table of page {page[np.argmax(beyond)] + 1}")
    single = np.select([tags["kind"] == 1, tags["kind"] == 3], [tags["byte"], tags["short"]], tags["offset"])
    _check_alike(path, tags, page, np.where(tags["count"] == 1, single.astype(float), -1.0 * tags["count"]))
    offsets, counts = (_segments(path, handle, tags[here], page[here], single[here], len(blocks))
                       for here in (np.isin(tags["tag"], _OFFSETS), np.isin(tags["tag"], _COUNTS)))
    if offsets is None or (counts is not None and counts.shape != offsets.shape):
        raise _damaged(path, "pages that do not say where their pixels lie", "as many strips in each page")
    return offsets, np.zeros_like(offsets) if counts is None else counts


def _header(path, head):
    """Form of a tag, a value of which is a number or the place of several, and place of the first page."""
    sign = {b"II": "<", b"MM": ">"}.get(head[:2], "")
    version = head[2:8] if sign == "<" else head[3:1:-1] + head[5:3:-1] + head[7:5:-1]
    if sign and version[:2] == b"\x2a\x00":
        wide, first = 4, head[4:8]
    elif sign and version == b"\x2b\x00\x08\x00\x00\x00":
        wide, first = 8, head[8:16]
    else:
        raise _unreadable(path, "it does not begin as one")
    form = np.dtype({
        "names": ["tag", "kind", "count", "byte", "short", "offset"],
        "formats": [f"{sign}u2", f"{sign}u2", f"{sign}u{wide}", "u1", f"{sign}u2", f"{sign}u{wide}"],
        "offsets": [0, 2, 4, 4 + wide, 4 + wide, 4 + wide], "itemsize": 4 + 2 * wide})
    first = int.from_bytes(first, "little" if sign == "<" else "big")
    if not first:
        raise _unreadable(path, "it has no page")
    return form, first


def _chain(path, handle, size, form, offset):
    """Tags of one page after the other, as bytes."""
    wide = form["offset"].itemsize
    n_count = 2 if wide == 4 else 8
    order = "little" if form["tag"].str[0] == "<" else "big"
    blocks, seen = [], set()
    while offset:
        number = len(blocks) + 1
        if offset >= size:
            raise _cut(path, f"its page table, before page {number}")
        if offset in seen:
            raise _damaged(path, f"a page table that leads from page {number - 1} back to an earlier one",
                           "a chain of pages with an end")
        seen.add(offset)
        block = os.pread(handle, _TABLE_BYTES, offset)
        n_tags = int.from_bytes(block[:n_count], order)
        if len(block) >= n_count and not 0 < n_tags <= _MOST_TAGS:
            raise _damaged(path, f"{n_tags} tags in the table of page {number}", "some fifteen tags a page")
        end = n_count + n_tags * form.itemsize
        if len(block) < end + wide:
            block = os.pread(handle, end + wide, offset)
        if len(block) < end + wide:
            raise _cut(path, f"the table of page {number}")
        blocks.append(block[n_count:end])
        offset = int.from_bytes(block[end : end + wide], order)
    return blocks


def _check_alike(path, tags, page, values):
    n_pages = page[-1] + 1
    found = {}
    for tag in _ALIKE:
        here = tags["tag"] == tag
        found[tag] = np.zeros(n_pages)
        found[tag][page[here]] = values[here]
    rows, columns = found[_ROWS], found[_COLUMNS]
    for tag, of_pages in found.items():
        if (differ := of_pages != of_pages[0]).any():
            other = int(np.argmax(differ))
            if tag in (_ROWS, _COLUMNS):
                raise DataError(path, f"frames of {rows[0]:.0f} x {columns[0]:.0f} pixels and, in page {other + 1}, of "
                                f"{rows[other]:.0f} x {columns[other]:.0f}", "frames of one size",
                                "leave out the pages that are no frames, or crop them")
            raise DataError(path, f"page {other + 1} stored in another way than the first (tag {tag})",
                            "pages of one type and form", "write the file again as one stack")


def _segments(path, handle, tags, page, single, n_pages):
    """Values of the one of these tags that each page has, shape (pages, segments); None if it is not in each."""
    n = tags["count"]
    if not np.array_equal(page, np.arange(n_pages)) or (n != n[0]).any() or n[0] == 0:
        return None
    if n[0] == 1:
        return single.astype(np.int64)[:, None]
    values = np.empty((n_pages, int(n[0])), np.int64)
    for i, tag in enumerate(tags):
        if int(tag["kind"]) not in _WHOLE_NUMBERS:
            return None
        kind = np.dtype(_WHOLE_NUMBERS[int(tag["kind"])]).newbyteorder(tags.dtype["tag"].str[0])
        n_bytes = int(n[0]) * kind.itemsize
        wide = tags.dtype["offset"].itemsize
        content = tags[i : i + 1].tobytes()[-wide:][:n_bytes] if n_bytes <= wide \
            else os.pread(handle, n_bytes, int(tag["offset"]))
        values[i] = np.frombuffer(content, kind)
    return values
