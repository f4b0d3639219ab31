"""The page table of a TIFF file: where the pixels of each page lie, and whether the whole table is there.

tifffile reads what is left of a damaged file and says so in its log. A movie that lost frames is refused here instead,
so the chain of pages is followed to its end. What the tags mean is left to tifffile.
"""

import os
from dataclasses import dataclass

import numpy as np

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
class PageTable:
    """Where the pixels of all pages lie.

    ``size``: of the file, bytes. ``offsets``, ``counts`` (ndarray, shape (pages, segments), int64): first byte and
    number of bytes of each strip or tile. Counts are 0 where the file leaves them out.
    """

    size: int
    offsets: np.ndarray
    counts: np.ndarray

    def __len__(self):
        return len(self.offsets)


def page_table(path):
    """Follow the chain of pages of a classic or BigTIFF file to its end.

    Returns PageTable. Raises DataError: no TIFF file, a table that the file does not hold to its end, or pages of
    different size or form. Raises References. Raises ----------. Raises TIFF 6.0, Adobe 1992; BigTIFF:
    https://libtiff.gitlab.io/libtiff/specification/bigtiff.html.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        return _table(path, handle, os.fstat(handle).st_size)
    except OSError as error:
        raise unreadable(path, error) from error
    finally:
        os.close(handle)


def unreadable(path, error):
    """The refusal of a file that no reader takes for a TIFF file."""
    return DataError(path, f"no readable TIFF file ({error})", "a multi-page TIFF file",
                     "fetch or write the file again")


def cut(path, where):
    """The refusal of a file that ends too early."""
    return DataError(path, f"a file that ends within {where}", "a whole file", "fetch or write the file again")


def _table(path, handle, size):
    form, offset = _header(path, os.pread(handle, 16, 0))
    blocks = _chain(path, handle, size, form, offset)
    tags = np.frombuffer(b"".join(blocks), form)
    page = np.repeat(np.arange(len(blocks)), [len(block) // form.itemsize for block in blocks])
    n_bytes = np.take(_BYTES, tags["kind"], mode="clip") * tags["count"].astype(float)
    # Values that do not fit in the table, also of tags that are of no use here: they are part of the file.
    beyond = (n_bytes > form["offset"].itemsize) & (tags["offset"] + n_bytes > size)
    if beyond.any():
        raise cut(path, f"the table of page {page[np.argmax(beyond)] + 1}")
    single = np.select([tags["kind"] == 1, tags["kind"] == 3], [tags["byte"], tags["short"]], tags["offset"])
    _check_alike(path, tags, page, np.where(tags["count"] == 1, single.astype(float), -1.0 * tags["count"]))
    offsets, counts = (_segments(path, handle, tags[here], page[here], single[here], len(blocks))
                       for here in (np.isin(tags["tag"], _OFFSETS), np.isin(tags["tag"], _COUNTS)))
    if offsets is None or (counts is not None and counts.shape != offsets.shape):
        raise DataError(path, "pages that do not say where their pixels lie", "as many strips in each page",
                        "fetch or write the file again")
    return PageTable(size, offsets, np.zeros_like(offsets) if counts is None else counts)


def _header(path, head):
    """Form of a tag, a value of which is a number or the place of several, and place of the first page."""
    sign = {b"II": "<", b"MM": ">"}.get(head[:2], "")
    version = head[2:8] if sign == "<" else head[3:1:-1] + head[5:3:-1] + head[7:5:-1]
    if sign and version[:2] == b"\x2a\x00":
        wide, first = 4, head[4:8]
    elif sign and version == b"\x2b\x00\x08\x00\x00\x00":
        wide, first = 8, head[8:16]
    else:
        raise unreadable(path, "it does not begin as one")
    form = np.dtype({
        "names": ["tag", "kind", "count", "byte", "short", "offset"],
        "formats": [f"{sign}u2", f"{sign}u2", f"{sign}u{wide}", "u1", f"{sign}u2", f"{sign}u{wide}"],
        "offsets": [0, 2, 4, 4 + wide, 4 + wide, 4 + wide], "itemsize": 4 + 2 * wide})
    first = int.from_bytes(first, "little" if sign == "<" else "big")
    if not first:
        raise unreadable(path, "it has no page")
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
            raise cut(path, f"its page table, before page {number}")
        if offset in seen:
            raise DataError(path, f"a page table that leads from page {number - 1} back to an earlier one",
                            "a chain of pages with an end", "fetch or write the file again")
        seen.add(offset)
        block = os.pread(handle, _TABLE_BYTES, offset)
        n_tags = int.from_bytes(block[:n_count], order)
        if len(block) >= n_count and not 0 < n_tags <= _MOST_TAGS:
            raise DataError(path, f"{n_tags} tags in the table of page {number}", "some fifteen tags a page",
                            "fetch or write the file again")
        end = n_count + n_tags * form.itemsize
        if len(block) < end + wide:
            block = os.pread(handle, end + wide, offset)
        if len(block) < end + wide:
            raise cut(path, f"the table of page {number}")
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
