"""Movies on disk: the same pixels however a TIFF file stores them, and refusals of what is no movie."""

import numpy as np
import pytest
import tifffile

from calcium_decoding.errors import DataError
from calcium_decoding.movies import Movie, write_movie

FRAMES = np.random.default_rng(1).integers(0, 60_000, size=(300, 12, 16)).astype(np.uint16)  # more than one piece


def contiguous(path, frames):
    tifffile.imwrite(path, frames, photometric="minisblack")


def compressed(path, frames):
    tifffile.imwrite(path, frames, photometric="minisblack", compression="zlib")


def imagej(path, frames):
    tifffile.imwrite(path, frames, imagej=True, metadata={"axes": "TYX"})


def big_endian(path, frames):
    tifffile.imwrite(path, frames, photometric="minisblack", byteorder=">")


def bigtiff(path, frames):
    tifffile.imwrite(path, frames, photometric="minisblack", bigtiff=True)


def page_by_page(path, frames):
    with tifffile.TiffWriter(path) as file:
        for frame in frames:
            file.write(frame, photometric="minisblack")


def bare_pages(path, frames):
    with tifffile.TiffWriter(path) as file:
        for frame in frames:
            file.write(frame, photometric="minisblack", metadata=None)


def ours(path, frames):
    write_movie(path, [frames[:7], frames[7:]], frames.shape, frames.dtype)


WAYS = (contiguous, compressed, imagej, big_endian, bigtiff, page_by_page, bare_pages, ours)


@pytest.mark.parametrize("write", WAYS)
def test_frames_are_those_of_the_array(tmp_path, write):
    write(tmp_path / "m.tif", FRAMES)
    movie = Movie(tmp_path / "m.tif")
    assert movie.shape == FRAMES.shape and len(movie) == 300
    for part in (slice(None), slice(3, 9), slice(0, 1), slice(-5, -2), slice(290, 400), slice(5, 5), slice(8, 3)):
        found = movie[part]
        assert found.shape == FRAMES[part].shape and found.dtype.itemsize == 2
        np.testing.assert_array_equal(found, FRAMES[part])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("write", [contiguous, compressed])
def test_pixels_keep_their_type(tmp_path, write, dtype):
    frames = (FRAMES % 100).astype(dtype)
    write(tmp_path / "m.tif", frames)
    found = Movie(tmp_path / "m.tif")[10:20]
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, frames[10:20])


@pytest.mark.parametrize("write", [contiguous, compressed])
def test_one_page_is_a_movie_of_one_frame(tmp_path, write):
    write(tmp_path / "m.tif", FRAMES[0])
    np.testing.assert_array_equal(Movie(tmp_path / "m.tif")[:], FRAMES[:1])


def test_a_stretch_belongs_to_the_caller_and_the_file_stays_as_it_is(tmp_path):
    contiguous(tmp_path / "m.tif", FRAMES)
    movie = Movie(tmp_path / "m.tif")
    movie[0:5][:] = 0
    np.testing.assert_array_equal(movie[0:5], FRAMES[0:5])


@pytest.mark.parametrize("write", WAYS)
def test_first_frames_are_a_movie_too(tmp_path, write):
    write(tmp_path / "m.tif", FRAMES)
    movie = Movie(tmp_path / "m.tif").first(20)
    assert movie.shape == (20, 12, 16)
    np.testing.assert_array_equal(movie[15:40], FRAMES[15:20])
    np.testing.assert_array_equal(movie[-3:], FRAMES[17:20])
    np.testing.assert_array_equal(Movie(tmp_path / "m.tif", 20)[:], FRAMES[:20])


def test_content_hash_tells_pixels_and_not_how_they_are_stored(tmp_path):
    for write in WAYS:
        write(tmp_path / f"{write.__name__}.tif", FRAMES)
    hashes = {Movie(tmp_path / f"{write.__name__}.tif").content_hash() for write in WAYS}
    assert len(hashes) == 1
    contiguous(tmp_path / "short.tif", FRAMES[:280])
    one_off = FRAMES.copy()
    one_off[280, 3, 4] += 1
    contiguous(tmp_path / "one_off.tif", one_off)
    contiguous(tmp_path / "wide.tif", FRAMES.reshape(300, 16, 12))
    contiguous(tmp_path / "signed.tif", FRAMES.view(np.int16))
    others = [Movie(tmp_path / f"{name}.tif").content_hash() for name in ("short", "one_off", "wide", "signed")]
    assert len({*others, *hashes}) == 5
    assert Movie(tmp_path / "one_off.tif", 280).content_hash() == others[0]  # only the frames that are used


def test_what_is_no_movie_is_refused(tmp_path):
    path = tmp_path / "m.tif"
    with pytest.raises(DataError, match="No such file"):
        Movie(path)
    for content in (b"", b"hello world, this is no picture"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="no readable TIFF"):
            Movie(path)
    colours = (FRAMES[:, :, :, None] % 256 // [1, 2, 3]).astype(np.uint8)
    for pages in (colours[:5], colours[0]):  # a single one has three axes, as a movie has
        tifffile.imwrite(path, pages, photometric="rgb")
        with pytest.raises(DataError, match="grey frames"):
            Movie(path)
    tifffile.imwrite(path, FRAMES.reshape(60, 5, 12, 16), photometric="minisblack", metadata={"axes": "TZYX"})
    with pytest.raises(DataError, match="grey frames"):
        Movie(path)
    tifffile.imwrite(path, (FRAMES * (1 + 1j)).astype(np.complex64), photometric="minisblack")
    with pytest.raises(DataError, match="grey frames"):
        Movie(path)


def test_pages_of_two_sizes_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "m.tif") as file:
        for frame in (FRAMES[0], FRAMES[1], FRAMES[2, :6]):
            file.write(frame, photometric="minisblack")
    with pytest.raises(DataError, match="one size"):
        Movie(tmp_path / "m.tif")


@pytest.mark.parametrize("write", [contiguous, bare_pages])
def test_a_file_cut_short_is_refused(tmp_path, write):
    write(tmp_path / "whole.tif", FRAMES)
    content = (tmp_path / "whole.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="whole file"):
        Movie(tmp_path / "cut.tif")[:]


@pytest.mark.parametrize("n_frames", [301, 0, -1])
def test_frames_that_are_not_there_are_refused(tmp_path, n_frames):
    contiguous(tmp_path / "m.tif", FRAMES)
    with pytest.raises(DataError, match="300 frames"):
        Movie(tmp_path / "m.tif", n_frames)
    with pytest.raises(DataError, match="300 frames"):
        Movie(tmp_path / "m.tif").first(n_frames)


def test_only_stretches_can_be_asked_for(tmp_path):
    contiguous(tmp_path / "m.tif", FRAMES)
    movie = Movie(tmp_path / "m.tif")
    for index in (3, slice(None, None, 2), slice(None, None, -1), [1, 2], (0, 0)):
        with pytest.raises(TypeError, match="stretch"):
            movie[index]


def broken():
    yield FRAMES[:100]
    raise KeyboardInterrupt


@pytest.mark.parametrize(("chunks", "error"), [
    (broken(), KeyboardInterrupt), ([FRAMES[:100]], ValueError), ([FRAMES, FRAMES], ValueError),
    ([FRAMES[:, :5]], ValueError), ([FRAMES + 0.5], ValueError)])
def test_a_movie_is_written_whole_or_not_at_all(tmp_path, chunks, error):
    path = tmp_path / "movies" / "m.tif"
    with pytest.raises(error):
        write_movie(path, chunks, FRAMES.shape)
    assert not list(path.parent.iterdir())  # no partial file under another name either


def test_a_failed_write_leaves_the_former_movie(tmp_path):
    ours(tmp_path / "m.tif", FRAMES)
    with pytest.raises(ValueError):
        write_movie(tmp_path / "m.tif", [FRAMES[:100]], FRAMES.shape)
    np.testing.assert_array_equal(Movie(tmp_path / "m.tif")[:], FRAMES)


def test_the_same_movie_has_the_same_bytes(tmp_path):
    for name, cut in (("a", 7), ("b", 150)):
        write_movie(tmp_path / f"{name}.tif", iter([FRAMES[:cut], FRAMES[cut:]]), FRAMES.shape)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
