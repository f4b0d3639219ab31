"""Movies in HDF5, zarr and NWB, in files of the libraries that others write them with."""

import os
import pickle
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from pynwb import NWBHDF5IO, NWBFile
from pynwb.image import ImageSeries
from pynwb.ophys import OnePhotonSeries, OpticalChannel, TwoPhotonSeries

from calcium_decoding.data.movies import Movie, mappable, split_channels
from calcium_decoding.errors import DataError

FRAMES = np.random.default_rng(6).integers(0, 60_000, (40, 12, 16)).astype(np.uint16)


def hdf5(path, frames=FRAMES, **how):
    with h5py.File(path, "w") as file:
        file.create_dataset("a/mov", data=frames, **how)
        file["a/traces"] = np.zeros((40, 5))
    return path


def in_zarr(path, frames=FRAMES, **how):
    group = zarr.open_group(path, mode="w")
    group.create_array("a/mov", data=frames, chunks=(7, 12, 16), **how)
    group.create_array("a/traces", data=np.zeros((40, 5)))
    return path


WAYS = {"as it lies": hdf5, "big-endian": lambda path: hdf5(path, FRAMES.astype(">u2")),
        "compressed": lambda path: hdf5(path, chunks=(7, 5, 16), compression="gzip", shuffle=True),
        "zarr": in_zarr, "zarr 2": lambda path: in_zarr_2(path)}


def in_zarr_2(path):
    zarr.open_group(path, mode="w", zarr_format=2).create_array("a/mov", data=FRAMES, chunks=(7, 12, 16))
    return path


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dataset", [None, "mov", "a/mov", "/a/mov"])
def test_frames_are_those_of_the_array(tmp_path, way, dataset):
    path = WAYS[way](tmp_path / ("m.zarr" if "zarr" in way else "m.h5"))
    movie = Movie(path, dataset=dataset)
    assert movie.shape == FRAMES.shape and movie.dtype == np.uint16 and movie.rate_hz is None
    for part in (slice(None), slice(3, 9), slice(-5, -2), slice(38, 400), slice(5, 5)):
        np.testing.assert_array_equal(movie[part], FRAMES[part])
    np.testing.assert_array_equal(Movie(path, 20, dataset=dataset)[15:40], FRAMES[15:20])
    assert movie.maps == (way in ("as it lies", "big-endian"))
    sent = pickle.dumps(movie)
    assert len(sent) < 5000
    np.testing.assert_array_equal(pickle.loads(sent)[30:], FRAMES[30:])
    np.save(tmp_path / "m.npy", FRAMES)
    assert movie.content_hash() == Movie(tmp_path / "m.npy").content_hash()
    copy, _ = mappable(movie, tmp_path / "copies")
    assert copy.maps
    np.testing.assert_array_equal(copy[:], FRAMES)
    for i, half in enumerate(split_channels(movie).values()):
        np.testing.assert_array_equal(half[4:11], FRAMES[i::2][4:11])


def test_a_zarr_array_that_is_no_group(tmp_path):
    zarr.save_array(tmp_path / "m.zarr", FRAMES)
    np.testing.assert_array_equal(Movie(tmp_path / "m.zarr")[:], FRAMES)


def test_a_zarr_whose_writing_was_interrupted_says_so(tmp_path):
    array = zarr.create_array(tmp_path / "m.zarr", shape=(40, 12, 16), chunks=(10, 12, 16), dtype="u2")
    array[:20] = FRAMES[:20]
    assert "2 of 4 chunks" in Movie(tmp_path / "m.zarr").notes[0]


def test_a_copy_is_made_again_when_a_chunk_of_zarr_changed(tmp_path):
    path = in_zarr(tmp_path / "m.zarr")
    mappable(Movie(path), tmp_path / "copies")
    other = FRAMES.copy()
    other[3] = 1
    zarr.open_group(path, mode="r+")["a/mov"][3] = 1
    for file in Movie(path).files:
        os.utime(file, (1, 1))  # another time than before, however coarse the clock
    np.testing.assert_array_equal(mappable(Movie(path), tmp_path / "copies")[0][:], other)


def test_several_arrays_are_refused_with_their_shapes(tmp_path):
    path = hdf5(tmp_path / "m.h5")
    with h5py.File(path, "a") as file:
        file["b/mov"] = FRAMES[:, :5]
    with pytest.raises(DataError, match=r"m\.h5: found 2 that.*a/mov \(40, 12, 16\), uint16.*b/mov \(40, 5"):
        Movie(path)
    with pytest.raises(DataError, match=r"2 that can be meant by 'mov'"):
        Movie(path, dataset="mov")
    with pytest.raises(DataError, match=r"0 that can be meant by 'x/mov'"):
        Movie(path, dataset="x/mov")
    np.testing.assert_array_equal(Movie(path, dataset="b/mov")[:], FRAMES[:, :5])
    with pytest.raises(DataError, match=r"a/traces of shape \(40, 5\)"):
        Movie(path, dataset="traces")


def test_time_that_may_be_the_last_axis_is_refused_unless_frames_are_counted(tmp_path):
    path = hdf5(tmp_path / "m.h5", np.zeros((16, 16, 40), np.uint8))
    with pytest.raises(DataError, match=r"\(16, 16, 40\): time may be its last axis.*n_frames=16"):
        Movie(path)
    assert Movie(path, 16).shape == (16, 16, 40)


@pytest.mark.parametrize("more", [{"channel": 2}, {"plane": 2}])
def test_channels_and_planes_that_arrays_do_not_have_are_refused(tmp_path, more):
    with pytest.raises(DataError, match=r"m\.h5: found .* asked for"):
        Movie(hdf5(tmp_path / "m.h5"), **more)
    tifffile.imwrite(tmp_path / "m.tif", FRAMES, photometric="minisblack")
    with pytest.raises(DataError, match=r"m\.tif: found 1 channel .* asked for"):
        Movie(tmp_path / "m.tif", **more)
    with pytest.raises(DataError, match="dataset 'mov' asked for"):
        Movie(tmp_path / "m.tif", dataset="mov")


def test_damaged_files_are_refused(tmp_path):
    for name in ("m.h5", "m.nwb"):
        (tmp_path / name).write_bytes(b"no such thing")
        with pytest.raises(DataError, match="no readable file"):
            Movie(tmp_path / name)
    path = hdf5(tmp_path / "c.h5", chunks=(40, 12, 16), compression="gzip")
    movie, content = Movie(path), bytearray(path.read_bytes())
    with h5py.File(path) as file:
        place = file["a/mov"].id.get_chunk_info(0).byte_offset
    content[place : place + 60] = bytes(60)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"c\.h5: found frames 0 \.\. 5 of a/mov that cannot be read"):
        movie[:5]
    (tmp_path / "empty.zarr").mkdir()
    (tmp_path / "empty.zarr" / "zarr.json").write_text("{")
    with pytest.raises(DataError, match="no readable file"):
        Movie(tmp_path / "empty.zarr")


def nwb(path, *series):
    """Written by pynwb; ``series``: maker and its arguments."""
    file = NWBFile("a test", "1", datetime(2026, 1, 1, tzinfo=UTC))
    device = file.create_device("camera")
    channel = OpticalChannel(name="green", description="a channel", emission_lambda=510.0)
    plane = file.create_imaging_plane(name="plane", optical_channel=channel, description="cortex", device=device,
                                      excitation_lambda=470.0, indicator="GCaMP6f", location="M1")
    for kind, name, arguments in series:
        more = {} if kind is ImageSeries else {"imaging_plane": plane}
        file.add_acquisition(kind(name=name, unit="n.a.", **more, **arguments))
    with NWBHDF5IO(path, "w") as io:
        io.write(file)
    return path


@pytest.mark.parametrize("kind", [OnePhotonSeries, TwoPhotonSeries])
def test_nwb_series_inside_the_file(tmp_path, kind):
    path = nwb(tmp_path / "s.nwb", (kind, "movie", {"data": FRAMES, "rate": 12.5}),
               (ImageSeries, "face", {"data": FRAMES[:, :5], "timestamps": np.arange(40) / 8 + 3}))
    movie = Movie(path)
    np.testing.assert_array_equal(movie[:], FRAMES)
    assert movie.rate_hz == 12.5 and movie.times_s() is None and "axes of an image as (x, y)" in movie.notes[0]
    face = Movie(path, dataset="face")
    np.testing.assert_array_equal(face[:], FRAMES[:, :5])
    assert face.rate_hz == 8
    np.testing.assert_array_equal(face.times_s(), np.arange(40) / 8 + 3)
    half = split_channels(face)["violet"]
    np.testing.assert_array_equal(half.times_s(), np.arange(1, 40, 2) / 8 + 3)


def test_nwb_with_several_series_or_none(tmp_path):
    path = nwb(tmp_path / "s.nwb", (OnePhotonSeries, "blue", {"data": FRAMES, "rate": 10.0}),
               (OnePhotonSeries, "violet", {"data": FRAMES[:, :5], "rate": 10.0}))
    with pytest.raises(DataError, match=r"2 that can be meant.*acquisition/blue \(OnePhotonSeries, \(40, 12, 16\)\)"):
        Movie(path)
    np.testing.assert_array_equal(Movie(path, dataset="violet")[:], FRAMES[:, :5])
    with pytest.raises(DataError, match="0 that can be meant, among: nothing"):
        Movie(nwb(tmp_path / "none.nwb"))


def test_nwb_planes_are_its_last_axis(tmp_path):
    volumes = np.stack([FRAMES, FRAMES + 1, FRAMES + 2], axis=-1)
    path = nwb(tmp_path / "s.nwb", (TwoPhotonSeries, "movie", {"data": volumes, "rate": 5.0}))
    np.testing.assert_array_equal(Movie(path, plane=3)[7:20], volumes[7:20, :, :, 2])
    for plane in (None, 0, 4):
        with pytest.raises(DataError, match=r"3 planes in acquisition/movie/data.*plane=1 \.\. 3"):
            Movie(path, plane=plane)


def test_nwb_frames_in_other_files_are_followed(tmp_path):
    (tmp_path / "raw").mkdir()
    for i, some in enumerate((FRAMES[:15], FRAMES[15:])):
        tifffile.imwrite(tmp_path / "raw" / f"m{i}.tif", some, photometric="minisblack", compression="zlib")
    files = ["raw/m0.tif", "./raw/m1.tif"]
    outside = {"external_file": files, "format": "external", "rate": 10.0, "num_samples": 40}
    path = nwb(tmp_path / "s.nwb", (OnePhotonSeries, "movie", {**outside, "starting_frame": [0, 15]}))
    movie = Movie(path)
    np.testing.assert_array_equal(movie[:], FRAMES)
    assert movie.rate_hz == 10 and [f.name for f in movie.files] == ["m0.tif", "m1.tif"]
    wrong = nwb(tmp_path / "w.nwb", (OnePhotonSeries, "movie", {**outside, "starting_frame": [0, 16]}))
    with pytest.raises(DataError, match=r"m1\.tif from frame 16 on; expected it to go on after 15 frames"):
        Movie(wrong)
    (tmp_path / "raw" / "m1.tif").unlink()
    with pytest.raises(DataError, match=r"frames of which are in m1\.tif, which is not there.*beside the NWB file"):
        Movie(path)
    (tmp_path / "raw" / "m0.avi").write_bytes(b"RIFF")
    video = nwb(tmp_path / "v.nwb", (OnePhotonSeries, "movie", {**outside, "external_file": ["raw/m0.avi"],
                                                                "starting_frame": [0]}))
    with pytest.raises(DataError, match=r"m0\.avi: found a \.avi file, compressed"):
        Movie(video)


def test_nwb_with_fewer_timestamps_than_frames(tmp_path):
    path = nwb(tmp_path / "s.nwb", (OnePhotonSeries, "movie", {"data": FRAMES, "timestamps": np.arange(40) / 10}))
    with h5py.File(path, "a") as file:  # as pynwb no longer writes it
        series = file["acquisition/movie"]
        times = series["timestamps"][:38]
        del series["timestamps"]
        series["timestamps"] = times
    with pytest.raises(DataError, match=r"40 frames and 38 timestamps.*n_frames"):
        Movie(path)
    assert len(Movie(path, 38)) == 38


def test_a_real_nwb_whose_movie_is_elsewhere_is_refused_by_name():
    path = Path(os.environ.get("CALCIUM_DECODING_DATA", "")) / "nwb_samples" / "2022_08_08.nwb"
    if not path.is_file():
        pytest.skip("CALCIUM_DECODING_DATA names no folder with nwb_samples/2022_08_08.nwb")
    with pytest.raises(DataError, match=r"2022_08_08\.nwb"):
        Movie(path)
