"""Movies on disk: the same pixels however files store them, in stretches and series, and refusals of what is no movie.

What happens to damaged files is tested in ``test_stacks.py``.
"""

import hashlib
import itertools
import pickle
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import tifffile
from PIL import Image

from calcium_decoding.data import movies
from calcium_decoding.data.movies import Movie, mappable, write_movie
from calcium_decoding.data.stacks import Stack
from calcium_decoding.errors import DataError
from calcium_decoding.preprocessing.exposure import check_exposure
from calcium_decoding.preprocessing.movie_frames import MovieScaling

FRAMES = np.random.default_rng(1).integers(0, 60_000, size=(300, 12, 16)).astype(np.uint16)


def contiguous(path, frames):
    tifffile.imwrite(path, frames, photometric="minisblack")


def compressed(path, frames):
    tifffile.imwrite(path, frames, photometric="minisblack", compression="zlib")


def compressed_strips(path, frames):
    tifffile.imwrite(path, frames, photometric="minisblack", compression="zlib", predictor=True, rowsperstrip=5)


def compressed_tiles(path, frames):  # of 16 x 16, which is more than the frames have
    tifffile.imwrite(path, frames, photometric="minisblack", compression="zlib", tile=(16, 16), byteorder=">")


def strips(path, frames):
    tifffile.imwrite(path, frames, photometric="minisblack", rowsperstrip=5)


def imagej(path, frames):
    tifffile.imwrite(path, frames, imagej=True, metadata={"axes": "TYX"})


def imagej_hyperstack(path, frames):
    tifffile.imwrite(path, frames[:, None, None], imagej=True, metadata={"axes": "TZCYX"})


def imagej_slices(path, frames):  # ImageJ takes the pages of a plain stack for slices
    tifffile.imwrite(path, frames, imagej=True, metadata={"axes": "ZYX"})


def imagej_compressed(path, frames):
    tifffile.imwrite(path, frames, imagej=True, metadata={"axes": "TYX"}, compression="zlib")


def ome(path, frames):
    tifffile.imwrite(path, frames[:, None, None], ome=True, metadata={"axes": "TCZYX"}, photometric="minisblack")


def one_page_for_all(path, frames):
    tifffile.imwrite(path, frames, photometric="minisblack", truncate=True)


def big_endian(path, frames):
    tifffile.imwrite(path, frames, photometric="minisblack", byteorder=">")


def bigtiff(path, frames):
    tifffile.imwrite(path, frames, photometric="minisblack", bigtiff=True)


def big_endian_bigtiff(path, frames):
    tifffile.imwrite(path, frames, photometric="minisblack", bigtiff=True, byteorder=">", compression="zlib")


def page_by_page(path, frames):
    with tifffile.TiffWriter(path) as file:
        for frame in frames:
            file.write(frame, photometric="minisblack")


def bare_pages(path, frames):
    with tifffile.TiffWriter(path) as file:
        for frame in frames:
            file.write(frame, photometric="minisblack", metadata=None)


def uneven_pages(path, frames):  # a description of another length in each page
    with tifffile.TiffWriter(path) as file:
        for i, frame in enumerate(frames):
            file.write(frame, photometric="minisblack", description="x" * (i % 7 * 3), metadata=None)


def appended(path, frames):
    for part in (frames[: len(frames) // 3], frames[len(frames) // 3 :]):
        tifffile.imwrite(path, part, photometric="minisblack", append=True)


def pillow(path, frames, compression=None):
    first, *rest = (Image.fromarray(frame) for frame in frames)
    first.save(path, save_all=True, append_images=rest, compression=compression)


def pillow_deflate(path, frames):
    pillow(path, frames, "tiff_adobe_deflate")


def ours(path, frames):
    write_movie(path, [frames[:7], frames[7:]], frames.shape, frames.dtype)


WAYS_THAT_MAP = (contiguous, strips, imagej, imagej_hyperstack, imagej_slices, ome, one_page_for_all, big_endian,
                 bigtiff, page_by_page, bare_pages, ours)
WAYS = (*WAYS_THAT_MAP, compressed, compressed_strips, compressed_tiles, imagej_compressed, big_endian_bigtiff,
        uneven_pages, appended, pillow, pillow_deflate)


@pytest.mark.parametrize("write", WAYS)
def test_frames_are_those_of_the_array(tmp_path, write):
    write(tmp_path / "m.tif", FRAMES)
    movie = Movie(tmp_path / "m.tif")
    assert movie.shape == FRAMES.shape and len(movie) == 300 and movie.dtype == np.uint16
    for part in (slice(None), slice(3, 9), slice(0, 1), slice(-5, -2), slice(290, 400), slice(5, 5), slice(8, 3)):
        found = movie[part]
        assert found.shape == FRAMES[part].shape and found.dtype == np.uint16  # in the byte order of this machine
        np.testing.assert_array_equal(found, FRAMES[part])


@pytest.mark.parametrize("write", WAYS)
def test_what_lies_evenly_and_uncompressed_maps(tmp_path, write):
    write(tmp_path / "m.tif", FRAMES)
    movie = Movie(tmp_path / "m.tif", 290)
    assert movie.maps or write not in WAYS_THAT_MAP
    np.testing.assert_array_equal(movie[:], FRAMES[:290])


def test_compressed_files_do_not_map(tmp_path):
    for write in (compressed, imagej_compressed, uneven_pages, pillow_deflate):
        write(tmp_path / "m.tif", FRAMES)
        assert not Movie(tmp_path / "m.tif").maps


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, ">u2"])
def test_an_array_file_is_a_movie(tmp_path, dtype):
    np.save(tmp_path / "m.npy", FRAMES.astype(dtype))
    movie = Movie(tmp_path / "m.npy")
    assert movie.shape == FRAMES.shape and movie.maps and movie[:2].dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(movie[5:90], FRAMES[5:90])
    np.testing.assert_array_equal(movie[:], FRAMES)


def test_a_movie_travels_to_another_process_without_its_pixels(tmp_path):
    for write in (contiguous, compressed):
        write(tmp_path / "m.tif", FRAMES)
        movie = Movie(tmp_path / "m.tif", 250)
        movie[:]
        sent = pickle.dumps(movie)
        assert len(sent) < FRAMES.nbytes / 10
        np.testing.assert_array_equal(pickle.loads(sent)[240:], FRAMES[240:250])


def test_reading_a_movie_in_stretches_keeps_none_of_it(tmp_path):
    path, n_bytes = tmp_path / "m.npy", 400 * 2**20
    with open(path, "wb") as file:  # all zeros, and no room taken on disk
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<u2", "fortran_order": False, "shape": (n_bytes // 2**15, 128, 128)})
        file.truncate(file.tell() + n_bytes)
    code = f"""if True:
        import resource
        from calcium_decoding.data.movies import Movie, stretches
        movie = Movie({str(path)!r})
        movie[:10]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        total = sum(int(frames.sum()) + len(frames) for _, frames in stretches(movie))
        print(total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(found[0]) == n_bytes // 2**15 and int(found[1]) * unit < n_bytes / 5


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
    movie = Movie(tmp_path / "m.tif", 20)
    assert movie.shape == (20, 12, 16)
    np.testing.assert_array_equal(movie[15:40], FRAMES[15:20])
    np.testing.assert_array_equal(movie[-3:], FRAMES[17:20])


@pytest.mark.parametrize("n_pixels", [1, 500, 192 * 7, 10**9])
def test_stretches_are_the_movie_in_its_order(tmp_path, n_pixels, monkeypatch):
    monkeypatch.setattr(movies, "STRETCH_PIXELS", n_pixels)
    compressed(tmp_path / "m.tif", FRAMES)
    stretches = [frames for _, frames in movies.stretches(Movie(tmp_path / "m.tif", 270))]
    np.testing.assert_array_equal(np.concatenate(stretches), FRAMES[:270])
    assert all(len(s) == 1 or (s.size <= n_pixels and len(s) <= 256) for s in stretches)


@pytest.mark.parametrize("order", list(itertools.permutations(["hash", "exposure", "scaling"])))
@pytest.mark.parametrize("write", [contiguous, compressed])
def test_each_frame_is_read_once_for_hash_exposure_and_scaling(tmp_path, write, order, monkeypatch):
    """In whatever order they are asked for, of a movie as it lies and of one that is converted."""
    write(tmp_path / "m.tif", FRAMES)
    read, counts = Stack.read, np.zeros(len(FRAMES), int)

    def counted(stack, start, stop):
        counts[start:stop] += 1
        return read(stack, start, stop)

    monkeypatch.setattr(Stack, "read", counted)
    movie, _ = mappable(Movie(tmp_path / "m.tif"), tmp_path / "copies")
    ways = {"hash": movie.content_hash, "exposure": partial(check_exposure, movie),
            "scaling": partial(MovieScaling.of, movie)}
    found = {name: ways[name]() for name in order}
    assert (counts == 1).all()
    expected = hashlib.sha256(f"{FRAMES.shape}"[:-1].encode() + b", '<u2')" + FRAMES.tobytes()).hexdigest()
    assert found["hash"] == expected and found["exposure"] == ()
    assert found["scaling"].sd == pytest.approx(FRAMES.std(), rel=1e-10)
    whole = MovieScaling.of(movie, [(0, len(FRAMES))])  # the same numbers to the last digit, from a pass of its own
    assert whole.sd == found["scaling"].sd and np.array_equal(whole.mean, found["scaling"].mean)
    sent = pickle.dumps(movie)  # the hash goes along, what was seen of the pixels does not
    assert b"PixelSums" not in sent
    assert pickle.loads(sent).content_hash() == found["hash"] and (counts == 2).all()


def test_content_hash_is_that_of_shape_type_and_pixels(tmp_path):
    frames = np.random.default_rng(3).integers(0, 999, (70, 300, 300)).astype(">u2")  # 13 MB, more than a stretch
    np.save(tmp_path / "m.npy", frames)
    expected = hashlib.sha256(b"(70, 300, 300, '<u2')" + frames.astype("<u2").tobytes()).hexdigest()
    assert Movie(tmp_path / "m.npy").content_hash() == expected


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
    for pixels, kind in ((FRAMES * (1 + 1j)).astype(np.complex64), "complex64"), (FRAMES > 30_000, "bool"):
        tifffile.imwrite(path, pixels, photometric="minisblack")
        with pytest.raises(DataError, match=f"type {kind}.*grey frames"):
            Movie(path)


@pytest.mark.parametrize("shape", [(30, 2, 12, 16), (3, 20, 12, 16)])
def test_imagej_stacks_of_several_channels_or_slices_are_refused(tmp_path, shape):
    for axes in ("TCYX", "TZYX"):
        tifffile.imwrite(tmp_path / "m.tif", FRAMES[:60].reshape(shape), imagej=True, metadata={"axes": axes})
        with pytest.raises(DataError, match="one plane and one channel"):
            Movie(tmp_path / "m.tif")


def test_array_files_that_are_no_movies_are_refused(tmp_path):
    path = tmp_path / "m.npy"
    for array, message in ((FRAMES[0], "grey frames"), (FRAMES > 3, "type bool"), (FRAMES.T, "Fortran"),
                           (FRAMES[:0], "readable|shape"), (FRAMES.astype(complex), "complex128"),
                           (np.array([[[None]]]), "no readable .npy")):
        np.save(path, array, allow_pickle=True)
        with pytest.raises(DataError, match=message):
            Movie(path)
    np.save(path, FRAMES)
    whole = path.read_bytes()
    for n_bytes in (0, 5, 60, 128, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:n_bytes])
        with pytest.raises(DataError, match=r"no readable \.npy"):
            Movie(path)


def series(folder, parts, names, write=contiguous):
    folder.mkdir()
    for part, name in zip(parts, names, strict=True):
        write(folder / name, part)
    return folder


@pytest.mark.parametrize("write", [contiguous, compressed, pillow])
def test_one_file_a_frame_in_the_order_of_numbers(tmp_path, write):
    names = [f"frame_{i}.tif" for i in range(2, 14)]  # by letters, 10 would come before 2
    folder = series(tmp_path / "s", FRAMES[:12, None], names, write)
    (folder / "notes.txt").write_text("not a frame")
    (folder / "._frame_3.tif").write_bytes(b"what some systems leave beside a file")
    movie = Movie(folder)
    assert movie.shape == (12, 12, 16) and [f.name for f in movie.files] == names and not movie.maps
    np.testing.assert_array_equal(movie[:], FRAMES[:12])
    np.testing.assert_array_equal(movie[4:7], FRAMES[4:7])
    np.testing.assert_array_equal(Movie(folder, 5)[3:], FRAMES[3:5])


@pytest.mark.parametrize("names", [
    ("run_8.tif", "run_9.tiff", "run_10.TIF"), ("m3_0.tif", "m3_1.tif", "m3_2.tif"),
    ("run.tif", "run@0001.tif", "run@0002.tif"), ("run.tif", "run_2.tif", "run_3.tif")])
def test_several_stacks_are_one_movie(tmp_path, names):
    movie = Movie(series(tmp_path / "s", (FRAMES[:100], FRAMES[100:101], FRAMES[101:]), names))
    assert movie.shape == FRAMES.shape and [f.name for f in movie.files] == list(names)
    for part in (slice(None), slice(0, 100), slice(99, 102), slice(100, 101), slice(101, 300), slice(40, 40)):
        np.testing.assert_array_equal(movie[part], FRAMES[part])
    contiguous(tmp_path / "one.tif", FRAMES)
    assert movie.content_hash() == Movie(tmp_path / "one.tif").content_hash()


def test_a_folder_of_one_file_is_that_movie(tmp_path):
    movie = Movie(series(tmp_path / "s", [FRAMES], ["any name.tif"]))
    assert movie.maps
    np.testing.assert_array_equal(movie[:], FRAMES)


@pytest.mark.parametrize(("numbers", "missing"), [((1, 2, 4, 5), 3), ((0, 9, 10), 1), ((8, 9, 11), 10)])
def test_a_gap_in_a_series_is_refused_by_its_number(tmp_path, numbers, missing):
    folder = series(tmp_path / "s", FRAMES[: len(numbers), None], [f"f{i}.tif" for i in numbers])
    with pytest.raises(DataError, match=f"no file with the number {missing} after"):
        Movie(folder)


def test_a_series_that_begins_after_its_file_without_number_is_refused(tmp_path):
    folder = series(tmp_path / "s", FRAMES[:3, None], ["run.tif", "run_3.tif", "run_4.tif"])
    with pytest.raises(DataError, match=r"no file with the number 1 after run\.tif"):
        Movie(folder)


@pytest.mark.parametrize("names", [
    ("a1.tif", "b2.tif"), ("a1_1.tif", "a2_2.tif"), ("run.tif", "reference.tif"), ("run.tif", "run_x1.tif")])
def test_files_of_which_nobody_knows_the_order_are_refused(tmp_path, names):
    with pytest.raises(DataError, match="differ in one number"):
        Movie(series(tmp_path / "s", FRAMES[: len(names), None], names))


@pytest.mark.parametrize("names", [("f1.tif", "f01.tif"), ("f1.tif", "f1.tiff"), ("f1.tif", "f2.tif", "f2.tiff")])
def test_a_number_that_is_there_twice_is_refused(tmp_path, names):
    with pytest.raises(DataError, match="twice"):
        Movie(series(tmp_path / "s", FRAMES[: len(names), None], names))


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"without \.tif"):
        Movie(tmp_path)


@pytest.mark.parametrize("other", [FRAMES[:3, :5], FRAMES[:3].astype(np.int16), FRAMES[:3].astype(np.float32)])
def test_a_series_of_two_sizes_or_types_is_refused(tmp_path, other):
    folder = series(tmp_path / "s", (FRAMES[:3], other), ("f1.tif", "f2.tif"))
    with pytest.raises(DataError, match=r"f2\.tif.*one size and type"):
        Movie(folder)


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
