"""Movies converted once: the same pixels, whole or not at all, found again, and made by one process at a time."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from calcium_decoding.data import movies
from calcium_decoding.data.movies import Movie, mappable
from calcium_decoding.errors import DataError, WriteError
from tests.data.test_movies import WAYS, bare_pages, big_endian, compressed, contiguous, series, uneven_pages

FRAMES = np.random.default_rng(4).integers(0, 60_000, size=(90, 12, 16)).astype(np.uint16)


def copies(folder):
    return sorted(p.name for p in folder.glob("*.npy")) + sorted(p.name for p in folder.glob(".*.npy"))


def convert(movie, folder):
    return mappable(movie, folder)


@pytest.mark.parametrize("write", [contiguous, big_endian, bare_pages])
def test_a_movie_that_maps_is_used_as_it_is(tmp_path, write):
    write(tmp_path / "m.tif", FRAMES)
    movie = Movie(tmp_path / "m.tif")
    assert convert(movie, tmp_path / "copies") == (movie, "") and not (tmp_path / "copies").exists()


@pytest.mark.parametrize("write", WAYS)
def test_pixels_stay_the_same(tmp_path, write):
    write(tmp_path / "m.tif", FRAMES)
    movie = Movie(tmp_path / "m.tif")
    found, note = convert(movie, tmp_path / "copies")
    assert found.maps and found.shape == movie.shape and bool(note) != movie.maps
    np.testing.assert_array_equal(found[:], FRAMES)
    assert found.content_hash() == Movie(found.path).content_hash() == movie.content_hash()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.uint32])
def test_the_type_is_kept_and_the_copy_is_an_ordinary_array_file(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "m.tif", (FRAMES % 250).astype(dtype), compression="zlib", byteorder=">",
                     photometric="minisblack")
    found, note = convert(Movie(tmp_path / "m.tif"), tmp_path / "copies")
    array = np.load(found.path)
    assert array.dtype == dtype == found.dtype
    np.testing.assert_array_equal(array, FRAMES % 250)
    assert note == "m.tif (compressed or unevenly stored) converted once: an uncompressed copy of its 90 frames is read"


def test_a_series_becomes_one_file(tmp_path):
    folder = series(tmp_path / "s", (FRAMES[:40], FRAMES[40:]), ("a1.tif", "a2.tif"))
    found, note = convert(Movie(folder), tmp_path / "copies")
    assert found.maps and "2 files" in note
    np.testing.assert_array_equal(found[:], FRAMES)


def test_a_later_run_finds_the_copy(tmp_path):
    compressed(tmp_path / "m.tif", FRAMES)
    first, note = convert(Movie(tmp_path / "m.tif"), tmp_path / "copies")
    made = first.path.stat()
    again, same_note = convert(Movie(tmp_path / "m.tif"), tmp_path / "copies")
    found = again.path.stat()
    assert again.path == first.path and same_note == note
    assert (found.st_ino, found.st_mtime_ns) == (made.st_ino, made.st_mtime_ns)


def test_a_changed_file_is_converted_anew_and_its_former_copy_goes(tmp_path):
    for name in ("m.tif", "other.tif"):
        compressed(tmp_path / name, FRAMES)
    other, _ = convert(Movie(tmp_path / "other.tif"), tmp_path / "copies")
    first, _ = convert(Movie(tmp_path / "m.tif"), tmp_path / "copies")
    part, _ = convert(Movie(tmp_path / "m.tif", 20), tmp_path / "copies")
    assert part.shape == (20, 12, 16) and part.path != first.path
    compressed(tmp_path / "m.tif", FRAMES[::-1])
    os.utime(tmp_path / "m.tif", ns=(0, 1))  # whatever the file system's clock
    second, _ = convert(Movie(tmp_path / "m.tif"), tmp_path / "copies")
    np.testing.assert_array_equal(second[:], FRAMES[::-1])
    assert copies(tmp_path / "copies") == sorted(p.path.name for p in (other, part, second))


class Interrupted(Movie):
    """A movie during the conversion of which somebody presses Ctrl-C."""

    def __getitem__(self, frames):
        if frames.start:
            raise KeyboardInterrupt
        return super().__getitem__(frames)


def test_an_interrupted_conversion_leaves_nothing_and_the_next_one_finishes(tmp_path, monkeypatch):
    monkeypatch.setattr(movies, "STRETCH_FRAMES", 30)
    compressed(tmp_path / "m.tif", FRAMES)
    with pytest.raises(KeyboardInterrupt):
        convert(Interrupted(tmp_path / "m.tif"), tmp_path / "copies")
    assert not copies(tmp_path / "copies")
    np.testing.assert_array_equal(convert(Movie(tmp_path / "m.tif"), tmp_path / "copies")[0][:], FRAMES)


def test_a_damaged_frame_leaves_nothing_and_the_mended_file_is_converted(tmp_path):
    path = tmp_path / "m.tif"
    compressed(path, FRAMES)
    whole = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        place = file.pages[60].dataoffsets[0]
    path.write_bytes(whole[:place] + b"\xff" * 8 + whole[place + 8 :])
    with pytest.raises(DataError, match="frame 60 that cannot be read"):
        convert(Movie(path), tmp_path / "copies")
    assert not copies(tmp_path / "copies")
    path.write_bytes(whole)
    np.testing.assert_array_equal(convert(Movie(path), tmp_path / "copies")[0][:], FRAMES)


def test_what_a_killed_process_left_goes_and_a_damaged_copy_is_made_again(tmp_path):
    compressed(tmp_path / "m.tif", FRAMES)
    found, _ = convert(Movie(tmp_path / "m.tif"), tmp_path / "copies")
    leftover = found.path.with_name(f".{found.path.stem}-x1y2z3.npy")
    leftover.write_bytes(b"half a copy")
    found.path.write_bytes(found.path.read_bytes()[:-10])
    again, _ = convert(Movie(tmp_path / "m.tif"), tmp_path / "copies")
    np.testing.assert_array_equal(again[:], FRAMES)
    assert copies(tmp_path / "copies") == [found.path.name]


CONVERT = """
import sys
from calcium_decoding.errors import WriteError
from calcium_decoding.data.movies import mappable
from calcium_decoding.data.movies import Movie
import resource
movie, folder, most = Movie(sys.argv[1]), sys.argv[2], int(sys.argv[3])
if most:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
try:
    copy, note = mappable(movie, folder)
    print(copy.content_hash(), copy.path.name)
except WriteError as error:
    print("refused", error)
"""


def test_two_processes_at_once_make_one_whole_file(tmp_path):
    uneven_pages(tmp_path / "m.tif", FRAMES)
    command = [sys.executable, "-c", CONVERT, tmp_path / "m.tif", tmp_path / "copies", "0"]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [worker.communicate(timeout=100) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    answers = {out for out, _ in said}
    assert len(answers) == 1 and sum("convert m.tif once" in err for _, err in said) == 1  # one bar, one conversion
    digest, name = answers.pop().split()
    assert digest == Movie(tmp_path / "m.tif").content_hash() and copies(tmp_path / "copies") == [name]


def test_a_file_that_cannot_grow_as_on_a_full_disk_is_an_error_that_leaves_nothing(tmp_path):
    compressed(tmp_path / "m.tif", FRAMES)
    command = [sys.executable, "-c", CONVERT, tmp_path / "m.tif", tmp_path / "copies", "20000"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith("refused") and "disk with room" in said and not copies(tmp_path / "copies")


def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    compressed(tmp_path / "m.tif", FRAMES)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=FRAMES.nbytes - 1))
    with pytest.raises(WriteError, match=r"0\.0 GB free.*for m\.tif"):
        convert(Movie(tmp_path / "m.tif"), tmp_path / "copies")
    assert not copies(tmp_path / "copies")


def test_a_movie_that_is_gone_is_refused(tmp_path):
    compressed(tmp_path / "m.tif", FRAMES)
    movie = Movie(tmp_path / "m.tif")
    (tmp_path / "m.tif").unlink()
    with pytest.raises(DataError, match="a file that is gone"):
        convert(movie, tmp_path / "copies")


def test_a_folder_that_cannot_be_is_a_write_error(tmp_path):
    compressed(tmp_path / "m.tif", FRAMES)
    (tmp_path / "copies").write_text("a file")
    with pytest.raises(WriteError, match="a folder that cannot be written"):
        convert(Movie(tmp_path / "m.tif"), tmp_path / "copies")
