"""What is in a file is said from its headers, quickly, and the entry it suggests is one that reads it."""

import time

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import tifffile
import yaml

import calcium_decoding as cd
from calcium_decoding import cli
from calcium_decoding.data import lab
from calcium_decoding.data.readers import write_npz
from calcium_decoding.errors import DataError
from tests.data.readers.test_behaviour import deeplabcut

T = np.arange(400) / 20
RUN = (np.sin(T) > 0).astype(np.uint8)


def said(look, name):
    return next(row for row in look.arrays if row[0] == name)


def test_a_file_of_ten_gigabytes_takes_no_time(tmp_path):
    shape = (25_000_000, 100)  # 10 GB of float32, sparse on disk
    with open(tmp_path / "big.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + 4 * shape[0] * shape[1])
    with h5py.File(tmp_path / "big.h5", "w") as file:
        file.create_dataset("dff", shape, "f4")
        file.create_dataset("time_s", (shape[0],), "f8")
        file["time_s"][:200_000] = np.arange(200_000) / 30
        file["time_s"][-1] = shape[0] / 30
    for name in ("big.npy", "big.h5"):
        began = time.perf_counter()
        look = lab.inspect(tmp_path / name)
        assert time.perf_counter() - began < 2.5  # the whole command has 5 s
        assert "(25000000, 100)" in str(look)
    assert "25000000 times from 0 to 833333, median step 0.0333333, 30 a unit" in look.clocks[0]
    assert "first axis (as long as time_s)" in said(look, "dff")[3]


def test_a_session_of_this_library(tmp_path):
    recording = cd.Recording(np.zeros((400, 3)), {"run": RUN, "speed_cm_s": RUN * 9.0}, 20.0, "m", "s", times_s=T)
    write_npz(recording, tmp_path / "day.npz")
    look = lab.inspect(tmp_path / "day.npz")
    assert look.format == "npz" and said(look, "signal")[1] == "(400, 3)"
    assert "first axis (as long as times_s)" in said(look, "signal")[3]
    assert [one.partition(":")[0] for one in look.labels] == ["run", "speed_cm_s"]
    assert f"0 and 1, {100 * RUN.mean():.3g} % ones" in look.labels[0] and not look.doubts
    assert look.entry == {"kind": "local", "title": "day", "format": "npz", "folder": str(tmp_path / "day.npz"),
                          "regime": "blocked"}
    text = str(look)
    assert yaml.safe_load(text[text.index("my-recordings"):text.index("\nor: ")])["my-recordings"] == look.entry


@pytest.mark.parametrize("ending", ["csv", "parquet", "xlsx", "npz", "mat", "h5"])
def test_behaviour_of_any_kind(tmp_path, ending):
    path = tmp_path / f"wheel.{ending}"
    speed = np.sin(T) * 5
    speed[3] = np.nan
    table = pd.DataFrame({"t_s": T, "lick": RUN, "wheel_speed": speed, "state": np.arange(400) % 3})
    arrays = {name: table[name].to_numpy() for name in table}
    if ending == "npz":
        np.savez(path, **arrays)
    elif ending == "mat":
        scipy.io.savemat(path, arrays)
    elif ending == "h5":
        with h5py.File(path, "w") as file:
            for name, values in arrays.items():
                file[name] = values
    else:
        getattr(table, {"csv": "to_csv", "parquet": "to_parquet", "xlsx": "to_excel"}[ending])(path, index=False)
    look = lab.inspect(path)
    assert look.format == "behaviour" and look.entry == {"file": str(path), "options": {"time": "t_s"}}
    assert look.clocks == ("t_s: 400 times from 0 to 19.95, median step 0.05, 20 a unit",)
    assert {one.partition(":")[0] for one in look.labels} == {"lick", "wheel_speed", "state"}
    assert "1 of 400 not finite" in said(look, "wheel_speed")[3]
    found = cd.read_behaviour(look.entry["file"], **look.entry["options"])  # what it suggests reads the file
    assert set(found) == {"lick", "wheel_speed", "state"}


@pytest.mark.parametrize(("text", "doubt"), [
    ("time;v\n0,5;1,5\n1,0;2,5\n", "'time' holds numbers with a decimal comma"),
    ("time,state\n0,run\n1,rest\n", "text"),
    ("t;v, smooth\n0;1\n", "several separators"), ("t_s,v\n0,0,1,5\n", "decimal comma?"),
    ("# rig 2\ntime_s,v\n0,1\n1,1\n", "1 lines with # on top"),
    ("time,v\n0,1\n1,1\n", "its unit is not in its name"),
    ("time_s,v\n0,1\n1,1\n2,1\n3,1\n9,1\n", "1 gaps longer than 1.5 steps, the longest 6")])
def test_doubts_of_text_tables(tmp_path, text, doubt):
    (tmp_path / "b.csv").write_text(text)
    assert any(doubt in one for one in lab.inspect(tmp_path / "b.csv").doubts)


def test_key_points_and_traces_of_programs(tmp_path):
    deeplabcut().to_csv(tmp_path / "paws.csv")
    look = lab.inspect(tmp_path / "paws.csv")
    assert look.kind == "key points of DeepLabCut" and said(look, "rows")[1] == "(50,)"
    assert "paw_left, nose" in said(look, "rows")[3] and look.entry["options"] == {"rate_hz": "???"}
    (tmp_path / "cells.csv").write_text(" ,C0,C1\nTime(s)/Cell Status,accepted, rejected\n0.0,1,2\n0.1,1,2\n")
    look = lab.inspect(tmp_path / "cells.csv")
    assert look.format == "inscopix" and said(look, "traces")[1] == "(2, 2)"
    assert "1 cells accepted of 2" in said(look, "traces")[3]


def test_a_suite2p_folder(tmp_path):
    plane = tmp_path / "m1" / "day1" / "suite2p" / "plane0"
    plane.mkdir(parents=True)
    for name in ("F", "Fneu", "spks"):
        np.save(plane / f"{name}.npy", np.zeros((7, 300), np.float32))
    np.save(plane / "iscell.npy", np.c_[np.arange(7) < 3, np.zeros(7)])
    look = lab.inspect(tmp_path)
    assert look.format == "suite2p" and "second axis (suite2p: (roi, frame))" in said(look, "F")[3]
    assert any("3 of 7 ROIs are cells" in one for one in look.doubts) and look.entry["rate_hz"] == "???"


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_tiff_and_a_folder_of_several(tmp_path, version):
    import zarr

    group = zarr.open_group(tmp_path / "out.zarr", mode="w", zarr_format=version)
    group.create_array("C", shape=(5, 900), dtype="f4", chunks=(5, 100))
    look = lab.inspect(tmp_path / "out.zarr")
    assert look.format == "minian" and said(look, "C")[1] == "(5, 900)"
    tifffile.imwrite(tmp_path / "m.tif", np.zeros((6, 32, 40), np.uint16), photometric="minisblack")
    look = lab.inspect(tmp_path / "m.tif")
    assert said(look, "images")[1] == "(6, 32, 40)" and look.entry == {}
    look = lab.inspect(tmp_path)
    assert {row[0] for row in look.arrays} == {"m.tif: images", "out.zarr: C"} and look.format == "minian"


def test_axes_that_are_not_sure_are_said(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((90, 100)), y=np.zeros((5, 500)), m=np.zeros((8, 8)))
    look = lab.inspect(tmp_path / "a.npz")
    assert "second axis (the longer)" in said(look, "y")[3]
    assert "x (90, 100): which axis is time is not sure" in look.doubts
    assert not any(one.startswith(("y ", "m ")) for one in look.doubts) and "square" in said(look, "m")[3]


def test_caiman(tmp_path):
    with h5py.File(tmp_path / "c.hdf5", "w") as file:
        file["estimates/C"], file["params/data/fr"] = np.zeros((4, 100)), 15.0
    look = lab.inspect(tmp_path / "c.hdf5")
    assert look.format == "caiman" and look.entry["rate_hz"] == 15.0
    assert any("idx_components" in one for one in look.doubts)


def test_nwb(tmp_path):
    pynwb = pytest.importorskip("pynwb")
    from datetime import UTC, datetime

    from pynwb.ophys import Fluorescence, ImageSegmentation, OpticalChannel

    nwb = pynwb.NWBFile("d", "id", datetime(2026, 1, 1, tzinfo=UTC))
    nwb.subject = pynwb.file.Subject(subject_id="m7", species="Mus musculus")
    channel = OpticalChannel(name="c", description="d", emission_lambda=500.0)
    plane = nwb.create_imaging_plane(name="p", optical_channel=channel, description="d", excitation_lambda=480.0,
                                     device=nwb.create_device("d"), indicator="GCaMP6f", location="M1")
    module = nwb.create_processing_module("ophys", "d")
    segments = ImageSegmentation()
    module.add(segments)
    table = segments.create_plane_segmentation("d", plane, name="ps")
    for _ in range(3):
        table.add_roi(image_mask=np.ones((2, 2)))
    rois = table.create_roi_table_region(region=[0, 1, 2], description="d")
    traces = Fluorescence()
    module.add(traces)
    traces.create_roi_response_series(name="good", data=np.zeros((400, 3)), rois=rois, unit="a.u.", timestamps=T)
    wheel = pynwb.TimeSeries(name="wheel_speed", data=np.zeros(800), unit="cm/s", rate=40.0, starting_time=1.0)
    nwb.add_acquisition(wheel)
    nwb.add_trial(start_time=1.0, stop_time=2.0)
    nwb.add_trial(start_time=3.0, stop_time=4.0)
    with pynwb.NWBHDF5IO(tmp_path / "s.nwb", "w") as io:
        io.write(nwb)
    look = lab.inspect(tmp_path / "s.nwb")
    good = said(look, "processing/ophys/Fluorescence/good")
    assert good[1] == "(400, 3)" and "400 timestamps, 0 to 19.95 s, about 20 Hz" in good[3]
    assert "time is the first axis (3 ROIs and 400 timestamps)" in good[3] and not look.doubts
    assert "cm/s; from 1 s at 40 Hz" in said(look, "acquisition/wheel_speed")[3]
    assert look.entry["format"] == "nwb" and "rate_hz" not in look.entry  # the file says it
    with h5py.File(tmp_path / "s.nwb", "a") as file:  # as some programs write it
        where = file["processing/ophys/Fluorescence/good"]
        attributes = dict(where["data"].attrs)
        del where["data"]
        where["data"] = np.zeros((3, 400))
        where["data"].attrs.update(attributes)
    doubts = lab.inspect(tmp_path / "s.nwb").doubts
    assert any("time is the second axis (3 ROIs and 400 timestamps)" in one for one in doubts)


def test_what_is_not_there_or_damaged_is_refused(tmp_path, capsys):
    with pytest.raises(DataError, match="no such file or folder"):
        lab.inspect(tmp_path / "none")
    for name in ("a.npz", "a.parquet", "a.xlsx", "a.tif", "a.npy", "a.mat"):
        (tmp_path / name).write_bytes(b"damaged")
        assert cli.main(["data", "inspect", str(tmp_path / name)]) == 1
        assert name in capsys.readouterr().err
    (tmp_path / "a.doc").write_bytes(b"x")
    assert cli.main(["data", "inspect", str(tmp_path / "a.doc")]) == 0
    assert "No entry to start from" in capsys.readouterr().out


@pytest.mark.parametrize(("path", "format", "name", "says"), [
    ("nwb_samples/A0634-210127.nwb", "nwb", "(35743, 10)", "time is the first axis"),
    ("nwb_samples/2022_08_08.nwb", "nwb", "(219, 2000)", "time is the second axis"),
    ("suite2p_sample", "suite2p", "(219, 2000)", "20 of 219 ROIs are cells"),
    ("isfn_widefield/data_animal1.mat", "behaviour", "(48, 4000)", "time is the second axis (as long as t)"),
    ("multiple_maps/C6_M4/Environment A", "", "", "8 files .csv")])
def test_real_samples(real_data_dir, path, format, name, says):
    if not (real_data_dir / path).exists():
        pytest.skip(f"{path} is not in the data directory")
    look = lab.inspect(real_data_dir / path)
    assert look.format == format and name in str(look) and says in str(look)
