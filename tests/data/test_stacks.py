"""Damaged TIFF files are refused wherever they end, and files made by hand are read as they were meant."""

import importlib.util
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from calcium_decoding.data.movies import Movie
from calcium_decoding.errors import DataError
from tests.data.test_movies import WAYS

FRAMES = np.random.default_rng(2).integers(0, 60_000, size=(6, 4, 6)).astype(np.uint16)


def by_hand(frames, order=">", description=b"", pages=None, compression=1):
    """A classic TIFF file, the pages of which are written one after the other, each before its pixels."""
    n, rows, columns = frames.shape
    pages = n if pages is None else pages
    content = struct.pack(f"{order}2sHI", b"MM" if order == ">" else b"II", 42, 8)
    for page in range(pages):
        pixels = (frames[page] if pages == n else frames).astype(f"{order}u2").tobytes()
        tags = [(256, 4, 1, columns), (257, 4, 1, rows), (258, 3, 1, 16), (259, 3, 1, compression), (262, 3, 1, 1)]
        n_tags = len(tags) + 4 + bool(description)
        after = len(content) + 2 + 12 * n_tags + 4
        if description:
            tags.append((270, 2, len(description), after))
        start = after + len(description) + len(description) % 2
        tags += [(273, 4, 1, start), (277, 3, 1, 1), (278, 4, 1, rows), (279, 4, 1, rows * columns * 2)]
        content += struct.pack(f"{order}H", n_tags)
        for tag, kind, count, value in tags:
            short = kind == 3 and count == 1
            content += struct.pack(f"{order}HHI" + ("HH" if short else "I"), tag, kind, count, value, *[0] * short)
        content += struct.pack(f"{order}I", start + len(pixels) if page + 1 < pages else 0)
        content += description + b"\0" * (len(description) % 2) + pixels
    return content


IMAGEJ = b"ImageJ=1.53t\nimages=%d\nframes=%d\nunit=\\u00B5m\n\0"


@pytest.mark.parametrize("order", "<>")
def test_files_made_by_hand(tmp_path, order):
    path = tmp_path / "m.tif"
    for content in (by_hand(FRAMES, order), by_hand(FRAMES, order, IMAGEJ % (6, 6), pages=1)):
        path.write_bytes(content)
        movie = Movie(path)
        assert movie.maps and movie.dtype == np.uint16
        np.testing.assert_array_equal(movie[:], FRAMES)


def test_an_imagej_stack_beyond_4_gb_is_one_page_that_stands_for_all(tmp_path):
    path, n, size = tmp_path / "m.tif", 2100, 1024
    start = len(by_hand(np.zeros((1, 0, 0)), description=IMAGEJ % (n, n)))
    with open(path, "wb") as file:  # zeros take no room on disk
        header = by_hand(np.broadcast_to(np.uint16(0), (1, size, size)), description=IMAGEJ % (n, n))[:start]
        file.write(header)
        file.truncate(start + n * size * size * 2)
        file.seek(start + (n - 2) * size * size * 2)
        file.write(np.full((size, size), 77, ">u2").tobytes())
    movie = Movie(path)
    assert movie.shape == (n, size, size) and movie.maps and path.stat().st_size > 2**32
    last = movie[n - 3 :]
    assert [np.unique(frame).tolist() for frame in last] == [[0], [77], [0]]
    with open(path, "r+b") as file:
        file.truncate(start + n * size * size * 2 - 1)
    with pytest.raises(DataError, match=f"the {n} frames that its description says"):
        Movie(path)
    path.unlink()  # where nothing is sparse, 4 GB


@pytest.mark.parametrize("write", WAYS)
def test_a_file_that_ends_anywhere_is_refused(tmp_path, write):
    write(tmp_path / "whole.tif", FRAMES)
    content, path = (tmp_path / "whole.tif").read_bytes(), tmp_path / "cut.tif"
    np.testing.assert_array_equal(Movie(tmp_path / "whole.tif")[:], FRAMES)
    for n_bytes in (*range(0, len(content) - 40, max(1, len(content) // 80)), *range(len(content) - 40, len(content))):
        path.write_bytes(content[:n_bytes])
        try:
            found = Movie(path)[:]
        except DataError as error:
            assert any(text in str(error) for text in ("whole file", "no readable TIFF")), error
        else:  # some writers end with up to sixteen bytes that nothing in the file refers to
            assert n_bytes >= len(content) - 16
            np.testing.assert_array_equal(found, FRAMES)


def test_where_a_file_ends_is_said(tmp_path):
    path = tmp_path / "m.tif"
    content = by_hand(FRAMES)
    page = len(content) // 6
    for n_bytes, message in ((len(content) - 1, "within its 6 frames, in frame 5"),
                             (3 * page, "within its page table, before page 4"),
                             (3 * page + 20, "within the table of page 4"), (12, "within the table of page 1")):
        path.write_bytes(content[:n_bytes])
        with pytest.raises(DataError, match=message):
            Movie(path)


def test_only_the_page_table_is_cut(tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", FRAMES, photometric="minisblack")
    with tifffile.TiffFile(tmp_path / "m.tif") as file:
        pixels_end = file.series[0].dataoffset + FRAMES.nbytes
    content = (tmp_path / "m.tif").read_bytes()
    assert len(content) > pixels_end + 500  # five more pages
    (tmp_path / "m.tif").write_bytes(content[: len(content) - 30])
    with pytest.raises(DataError, match="ends within the table of page 6"):
        Movie(tmp_path / "m.tif")
    (tmp_path / "m.tif").write_bytes(content[:pixels_end])
    with pytest.raises(DataError, match="ends within its page table, before page 2"):
        Movie(tmp_path / "m.tif")


@pytest.mark.parametrize("write", WAYS)
def test_a_damaged_byte_is_refused_or_does_no_harm(tmp_path, write):
    """Whatever the damage, the answer is frames or a :class:`DataError`, never another error."""
    write(tmp_path / "whole.tif", FRAMES)
    content, path = (tmp_path / "whole.tif").read_bytes(), tmp_path / "damaged.tif"
    rng = np.random.default_rng(5)
    refused = 0
    for place in rng.choice(len(content), 60, replace=False):
        damaged = bytearray(content)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            movie = Movie(path)
            assert movie[:1].ndim == 3
        except DataError:
            refused += 1
    assert refused


def test_pages_in_a_circle_are_refused(tmp_path):
    content = bytearray(by_hand(FRAMES, "<"))
    end_of_first = 8 + 2 + 12 * 9
    assert struct.unpack("<I", content[end_of_first : end_of_first + 4])[0] == end_of_first + 4 + FRAMES[0].nbytes
    content[end_of_first : end_of_first + 4] = struct.pack("<I", 8)
    (tmp_path / "m.tif").write_bytes(content)
    with pytest.raises(DataError, match="back to an earlier one"):
        Movie(tmp_path / "m.tif")


def test_damaged_pixels_are_refused_by_frame(tmp_path):
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, FRAMES, photometric="minisblack", compression="zlib")
    with tifffile.TiffFile(path) as file:
        place = file.pages[3].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[place : place + 4] = b"\xff" * 4
    path.write_bytes(content)
    movie = Movie(path)
    np.testing.assert_array_equal(movie[:3], FRAMES[:3])
    with pytest.raises(DataError, match="frame 3 that cannot be read"):
        movie[2:5]


def test_a_description_of_fewer_frames_than_pages_is_refused(tmp_path):
    (tmp_path / "m.tif").write_bytes(by_hand(FRAMES, "<", IMAGEJ % (2, 2)))
    with pytest.raises(DataError, match="6 pages with a description of 2 frames"):
        Movie(tmp_path / "m.tif")


def test_an_ome_file_of_fewer_frames_than_it_says_is_refused_unless_they_are_counted(tmp_path):
    path = tmp_path / "m.ome.tif"
    tifffile.imwrite(path, FRAMES[:, None, None], ome=True, metadata={"axes": "TCZYX"}, photometric="minisblack")
    tifffile.tiffcomment(path, tifffile.tiffcomment(path).replace('SizeT="6"', 'SizeT="8"'))
    with pytest.raises(DataError, match=r"2 of 8 frames that are in no file.*number 6 .*n_frames=6"):
        Movie(path)
    np.testing.assert_array_equal(Movie(path, 6)[:], FRAMES)


def test_a_compression_without_its_codec_names_the_package(tmp_path):
    """Written by libtiff; read exactly where the package is installed."""
    first, *rest = (Image.fromarray(frame) for frame in FRAMES)
    first.save(tmp_path / "m.tif", save_all=True, append_images=rest, compression="tiff_lzw")
    if importlib.util.find_spec("imagecodecs"):
        np.testing.assert_array_equal(Movie(tmp_path / "m.tif")[:], FRAMES)
    else:
        with pytest.raises(DataError, match=r"compression LZW.*install imagecodecs"):
            Movie(tmp_path / "m.tif")


def test_zstd_is_read_or_named(tmp_path):
    try:
        tifffile.imwrite(tmp_path / "m.tif", FRAMES, photometric="minisblack", compression="zstd")
    except Exception:  # no codec here: a file that says it is so compressed
        (tmp_path / "m.tif").write_bytes(by_hand(FRAMES, compression=50_000))
        with pytest.raises(DataError, match=r"compression ZSTD.*install imagecodecs"):
            Movie(tmp_path / "m.tif")[:]
    else:
        np.testing.assert_array_equal(Movie(tmp_path / "m.tif")[:], FRAMES)


def test_a_file_that_became_shorter_is_refused(tmp_path):
    path = tmp_path / "m.npy"
    np.save(path, FRAMES)
    movie = Movie(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match="within its 6 frames"):
        movie[:]
    path.unlink()
    with pytest.raises(DataError, match="No such file"):
        movie[:]
