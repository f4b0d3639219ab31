"""Behaviour files as their own programs write them: pandas, openpyxl, pyarrow, SciPy, h5py, pandas through pytables."""

import pickle

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io

import calcium_decoding as cd
from calcium_decoding.data.clock import with_behaviour
from calcium_decoding.data.readers.behaviour import read_behaviour
from calcium_decoding.errors import DataError, ParameterError

N = 50
TIMES = 0.25 + np.arange(N) / 20
SPEED = np.round(np.sin(np.arange(N) / 7) * 9, 3)
TABLE = pd.DataFrame({"time_s": TIMES, "speed_cm_s": SPEED, "lick": np.arange(N) % 2})


def same(found, times=TIMES, **expected):
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name].times_s, times, rtol=1e-12)
        np.testing.assert_array_equal(found[name].values, values)


# Tables


@pytest.mark.parametrize(("ending", "options", "asked"), [
    ("csv", {}, {}), ("txt", {"sep": ";"}, {}), ("tsv", {"sep": "\t"}, {}),
    ("csv", {"sep": ";", "decimal": ","}, {"decimal": ","}), ("csv", {"encoding": "utf-8-sig"}, {"time": 0}),
    ("csv", {"sep": "|"}, {"separator": "|"})])
def test_text_tables(tmp_path, ending, options, asked):
    path = tmp_path / f"b.{ending}"
    TABLE.to_csv(path, index=False, **options)
    same(read_behaviour(path, **asked), speed_cm_s=SPEED, lick=TABLE.lick)


def test_parquet_workbook_and_arrays_by_name(tmp_path):
    TABLE.to_parquet(tmp_path / "b.parquet")
    TABLE.set_index("time_s").to_parquet(tmp_path / "indexed.parquet")
    TABLE.to_excel(tmp_path / "b.xlsx", index=False)
    np.savez(tmp_path / "b.npz", **{name: TABLE[name] for name in TABLE})
    scipy.io.savemat(tmp_path / "b.mat", {name: TABLE[name].to_numpy() for name in TABLE})
    with h5py.File(tmp_path / "new.mat", "w", userblock_size=512) as file:
        for name in TABLE:
            file[name] = TABLE[name].to_numpy()[None]
    with h5py.File(tmp_path / "b.h5", "w") as file:
        for name in TABLE:
            file[f"wheel/{name}"] = TABLE[name].to_numpy()
    for name in ("b.parquet", "indexed.parquet", "b.xlsx", "b.npz", "b.mat", "new.mat"):
        same(read_behaviour(tmp_path / name), speed_cm_s=SPEED, lick=TABLE.lick)
    found = read_behaviour(tmp_path / "b.h5", columns={"wheel.speed_cm_s": "speed_cm_s"})
    same(found, speed_cm_s=SPEED)


def test_a_workbook_with_several_filled_sheets_names_them_and_an_empty_one_does_not_count(tmp_path):
    with pd.ExcelWriter(tmp_path / "b.xlsx") as book:
        TABLE.to_excel(book, sheet_name="wheel", index=False)
        pd.DataFrame().to_excel(book, sheet_name="empty", index=False)
    same(read_behaviour(tmp_path / "b.xlsx"), speed_cm_s=SPEED, lick=TABLE.lick)
    with pd.ExcelWriter(tmp_path / "b.xlsx") as book:
        TABLE.to_excel(book, sheet_name="wheel", index=False)
        TABLE.assign(speed_cm_s=0.0).to_excel(book, sheet_name="other", index=False)
    with pytest.raises(DataError, match=r"2 filled sheets \(wheel, other\).*sheet="):
        read_behaviour(tmp_path / "b.xlsx")
    same(read_behaviour(tmp_path / "b.xlsx", sheet="wheel"), speed_cm_s=SPEED, lick=TABLE.lick)
    with pytest.raises(DataError, match="no sheet called 'whel'"):
        read_behaviour(tmp_path / "b.xlsx", sheet="whel")


@pytest.mark.parametrize(("name", "factor", "asked"), [
    ("t_ms", 1e3, {}), ("Time (ms)", 1e3, {}), ("time [s]", 1, {}), ("timestamp_us", 1e6, {}),
    ("time", 1e3, {"unit": "ms"}), ("clock", 1, {"time": "clock", "unit": "s"}), ("frame", 100, {"rate_hz": 100}),
    ("count", 100, {"time": "count", "unit": "frames", "rate_hz": 100})])
def test_the_unit_of_time_is_in_the_name_or_said(tmp_path, name, factor, asked):
    path = tmp_path / "b.csv"
    pd.DataFrame({name: TIMES * factor, "speed": SPEED}).to_csv(path, index=False)
    if name == "frame":  # a rate alone would mean that rows follow each other at it
        asked = {**asked, "time": "frame"}
    same(read_behaviour(path, **asked), speed=SPEED)


def test_rows_at_a_rate_or_with_times_of_their_own(tmp_path):
    path = tmp_path / "b.csv"
    TABLE[["speed_cm_s"]].to_csv(path, index=False)
    same(read_behaviour(path, rate_hz=20), np.arange(N) / 20, speed_cm_s=SPEED)
    same(read_behaviour(path, times_s=TIMES), TIMES, speed_cm_s=SPEED)
    with pytest.raises(DataError, match=r"50 rows or frames and times_s of shape \(49,\)"):
        read_behaviour(path, times_s=TIMES[:-1])


@pytest.mark.parametrize(("text", "asked", "says"), [
    ("time,speed\n0,1\n1,2\n", {}, "'time' in an unknown unit.*unit="),
    ("a,speed\n0,1\n1,2\n", {}, r"no column named like a clock \(a, speed\).*time="),
    ("time_s,frame_time_s,v\n0,0,1\n1,1,2\n", {}, r"several columns .*\(time_s, frame_time_s\)"),
    ("time_s,speed,state\n0,1,run\n1,2,rest\n", {}, "text in the column state.*columns="),
    ("time_s;speed, smoothed\n0;1\n1;2\n", {}, "',' and ';' in its first line.*separator="),
    ("time_s;speed\n0,5;1,5\n1,5;2,5\n", {"separator": ";"}, "time column 'time_s'.*decimal=','"),
    ("time_s,speed\n0,0,1,5\n0,5,1,6\n", {}, "cannot be read"),
    ("0.0,1.5\n0.5,1.6\n", {}, r"numbers where the names should be.*names="),
    ("time_s,v,v\n0,1,2\n1,1,2\n", {}, "two columns called v"),
    ("time_s,\n0,1\n1,1\n", {}, "no name above column 1"),
    ("time_s,v\n", {}, "no rows"),
    ("time_s,v\n0,1\n0,2\n", {}, "times in order"), ("time_s,v\n0,1\n,2\n", {}, "1 times_s that are not finite"),
    ("time_s,v\n2026-01-01 10:00,1\n2026-01-01 10:01,2\n", {}, "text or dates in the time column"),
    ("time_s,v\n0,1\n1,2\n", {"time": "t"}, "no column 't'.*time_s, v"),
    ("time_s,v\n0,1\n1,2\n", {"columns": ["w"]}, "no column 'w'"),
    ("time_s,v\n0,1\n1,2\n", {"time": "time_s", "rate_hz": 30}, "times of 'time_s' in s and rate_hz = 30"),
    ("frame,v\n0,1\n1,2\n", {}, "'frame' in frames and rate_hz = None"),
    ("time_s,v\n0,1\n1,2\n", {"unit": "minutes"}, "the unit 'minutes'"),
])
def test_what_is_not_sure_is_refused(tmp_path, text, asked, says):
    path = tmp_path / "b.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=rf"(?s)b\.csv.*{says}"):
        read_behaviour(path, **asked)


def test_the_columns_to_take_are_named_and_renamed_and_what_is_empty_is_counted(tmp_path):
    path = tmp_path / "b.csv"
    path.write_text("# wheel of rig 2\ntime_s,speed,state\n0,1,run\n1,,rest\n2,3,run\n")
    found = read_behaviour(path, columns={"speed": "speed_cm_s"})
    same(found, [0, 1, 2], speed_cm_s=[1, np.nan, 3])
    assert found.notes == ("b.csv: 1 lines with # on top not read",
                           "speed_cm_s: 1 of 3 samples are not there (empty or NaN)")
    path.write_text("time_s,v,,\n0,1,,\n1,,,\n2,3,,\n,,,\n")  # as spreadsheets export
    found = read_behaviour(path, columns="v")
    same(found, [0, 1, 2], v=[1, np.nan, 3])
    assert found.notes[0] == "b.csv: 1 empty rows at the end, 2 empty columns without a name left out"
    path.write_text("v,w\n1,2\n,\n3,4\n,\n")  # an empty row between others keeps its place in time
    same(read_behaviour(path, rate_hz=10), [0, 0.1, 0.2], v=[1, np.nan, 3], w=[2, np.nan, 4])
    path.write_text("0,1\n1,2\n")
    same(read_behaviour(path, names=["time_s", "v"]), [0, 1], v=[1, 2])


def test_arrays_of_other_lengths_are_named_and_fields_of_structs_are_found(tmp_path):
    path = tmp_path / "bpod.mat"
    scipy.io.savemat(path, {"SessionData": {"TrialStartTimestamp": np.array([1.0, 5.0, 9.0]), "nTrials": 3.0,
                                            "Raw": {"x": np.arange(7.0)}, "Info": "text"}})
    found = read_behaviour(path, time="SessionData.TrialStartTimestamp", unit="s", columns=(), name="trial")
    assert found["trial"].kind == "events" and list(found["trial"].times_s) == [1, 5, 9]
    assert "SessionData.Raw.x" in found.notes[-1] and "SessionData.nTrials" in found.notes[0]
    np.savez(tmp_path / "b.npz", time_s=TIMES, speed=SPEED, other=np.arange(7))
    found = read_behaviour(tmp_path / "b.npz")
    same(found, speed=SPEED)
    assert found.notes == ("b.npz: left out, as they do not have 50 values: other (7)",)
    with pytest.raises(DataError, match=r"50 times but other lengths: other \(7\)"):
        read_behaviour(tmp_path / "b.npz", columns=["other"])


def test_events_and_intervals(tmp_path):
    path = tmp_path / "licks.csv"
    path.write_text("time_ms\n100\n100\n250\n")
    found = read_behaviour(path)
    assert list(found) == ["licks"] and found["licks"].kind == "events"
    np.testing.assert_allclose(found["licks"].times_s, [0.1, 0.1, 0.25])
    path.write_text("start_s,stop_s,kind\n0,2,run\n3,4,rest\n5,8,run\n")
    with pytest.raises(DataError, match=r"more columns \(kind\).*by="):
        read_behaviour(path)
    found = read_behaviour(path, by="kind")
    assert list(found) == ["run", "rest"] and list(found["run"].stops_s) == [2, 8]
    found = read_behaviour(path, columns=(), name="bout")
    assert list(found["bout"].times_s) == [0, 3, 5] and found.notes == ("licks.csv: left out: kind",)
    path.write_text("t_s,event\n0,lick\n1,tone\n2,lick\n3,\n")
    with pytest.raises(DataError, match="1 rows without event"):
        read_behaviour(path, by="event")
    path.write_text("t_s,event\n0,lick\n1,tone\n2,lick\n")
    found = read_behaviour(path, by="event")
    assert list(found["lick"].times_s) == [0, 2] and found["tone"].kind == "events"


def test_a_file_of_another_kind_or_none_is_named(tmp_path):
    (tmp_path / "b.nwb").write_bytes(b"x")
    with pytest.raises(DataError, match=r"b\.nwb.*read_nwb"):
        read_behaviour(tmp_path / "b.nwb")
    for name in ("b.csv", "b.h5", "b.parquet"):
        with pytest.raises(DataError, match="no such file"):
            read_behaviour(tmp_path / name)
        (tmp_path / name).write_bytes(b"\x00\x01")
        with pytest.raises(DataError, match=name):
            read_behaviour(tmp_path / name)
    with pytest.raises(ParameterError, match="sheet"):
        read_behaviour(tmp_path / "b.csv", sheet="x")
    np.savez(tmp_path / "c.npz", v=SPEED)
    with pytest.raises(ParameterError, match="one clock"):
        read_behaviour(tmp_path / "c.npz", time="v", times_s=TIMES)


# Key points


def deeplabcut(individuals=False, n=N):
    rng = np.random.default_rng(1)
    heads = [("net", *who, part, what) for who in ([("mouse1",), ("mouse2",)] if individuals else [()])
             for part in ("paw_left", "nose") for what in ("x", "y", "likelihood")]
    values = rng.random((n, len(heads)))
    names = ["scorer", *(["individuals"] if individuals else []), "bodyparts", "coords"]
    return pd.DataFrame(values, columns=pd.MultiIndex.from_tuples(heads, names=names))


@pytest.mark.parametrize("individuals", [False, True])
def test_deeplabcut_as_csv_and_as_hdf5(tmp_path, individuals):
    table = deeplabcut(individuals)
    table.to_csv(tmp_path / "paws.csv")
    table.to_hdf(tmp_path / "paws.h5", key="df_with_missing", format="table", mode="w")
    expected = {"_".join(head[1:]): table[head] for head in table}
    for name in ("paws.csv", "paws.h5"):
        same(read_behaviour(tmp_path / name, rate_hz=30), np.arange(N) / 30, **expected)
    same(read_behaviour(tmp_path / "paws.h5", times_s=TIMES), TIMES, **expected)
    assert ("mouse2_nose_x" in expected) == individuals


def test_unlikely_key_points_are_masked_and_counted(tmp_path):
    table = deeplabcut()
    table.to_csv(tmp_path / "paws.csv")
    found = read_behaviour(tmp_path / "paws.csv", rate_hz=30, min_likelihood=0.6)
    low = table["net"]["nose"]["likelihood"] < 0.6
    np.testing.assert_array_equal(np.isnan(found["nose_x"].values), low)
    np.testing.assert_array_equal(found["nose_y"].values[~low],  # noqa: PD011
                                  table["net"]["nose"]["y"][~low])
    assert f"nose: {low.sum()} of 50 frames below likelihood 0.6" in found.notes
    recording = cd.Recording(np.zeros((N, 1)), {}, 30.0, "a", "s")
    on = with_behaviour(recording, found["nose_x"])
    assert on.behaviour["nose_x"].shape == (N,) and np.isfinite(on.behaviour["nose_x"]).all()
    with pytest.raises(ParameterError, match="min_likelihood"):
        read_behaviour(tmp_path / "paws.csv", rate_hz=30, min_likelihood=0)


def test_key_points_without_a_clock_and_labels_of_a_training_are_refused(tmp_path):
    table = deeplabcut()
    table.to_csv(tmp_path / "paws.csv")
    with pytest.raises(DataError, match=r"key points without times.*rate_hz="):
        read_behaviour(tmp_path / "paws.csv")
    table.index = [f"labeled-data/video/img{i}.png" for i in range(N)]
    table.to_csv(tmp_path / "training.csv")
    with pytest.raises(DataError, match="frame numbers in order"):
        read_behaviour(tmp_path / "training.csv", rate_hz=30)
    table = deeplabcut().drop(index=[3, 4])
    table.to_csv(tmp_path / "dropped.csv")  # frame numbers are kept, not rows counted
    assert read_behaviour(tmp_path / "dropped.csv", rate_hz=30)["nose_x"].times_s[3] == 5 / 30
    deeplabcut().to_hdf(tmp_path / "fixed.h5", key="df", mode="w")
    with pytest.raises(DataError, match="fixed format"):
        read_behaviour(tmp_path / "fixed.h5", rate_hz=30)


class Harmful:
    def __reduce__(self):
        return print, ("the pickle was run",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_in_the_names_is_spelt_and_never_run(tmp_path, protocol, capsys):
    path = tmp_path / "paws.h5"
    table = deeplabcut()
    table.to_hdf(path, key="df", format="table", mode="w")
    with h5py.File(path, "a") as file:
        stored = file["df/table"]
        stored.attrs["values_block_0_kind"] = np.void(pickle.dumps([tuple(head) for head in table], protocol))
    assert "paw_left_likelihood" in read_behaviour(path, rate_hz=30)
    with h5py.File(path, "a") as file:
        file["df/table"].attrs["values_block_0_kind"] = np.void(pickle.dumps([Harmful()], protocol))
    with pytest.raises(DataError, match=r"column names in a form that is not read.*names="):
        read_behaviour(path, rate_hz=30)
    names = [f"c{i}" for i in range(6)]
    same(read_behaviour(path, rate_hz=30, names=names), np.arange(N) / 30,
         **dict(zip(names, table.to_numpy().T, strict=True)))
    assert "run" not in capsys.readouterr().out


@pytest.mark.parametrize("tracks", [1, 2])
@pytest.mark.parametrize("turned", [False, True])
def test_sleap(tmp_path, tracks, turned):
    rng = np.random.default_rng(0)
    at, scores = rng.random((tracks, 2, 3, N)), rng.random((tracks, 3, N))
    at[0, :, 1, 5:9] = np.nan
    with h5py.File(tmp_path / "s.analysis.h5", "w") as file:
        file["tracks"], file["point_scores"] = (at.T, scores.T) if turned else (at, scores)
        file["node_names"] = [b"nose", b"paw", b"tail"]
        file["track_names"] = [f"m{i}".encode() for i in range(tracks)]
    found = read_behaviour(tmp_path / "s.analysis.h5", times_s=TIMES)
    name = "paw_y" if tracks == 1 else "m0_paw_y"
    np.testing.assert_array_equal(found[name].values, at[0, 1, 1])
    np.testing.assert_array_equal(found[name.replace("_y", "_likelihood")].values, scores[0, 1])
    assert len(found) == 9 * tracks and f"{name}: 4 of 50 samples are not there (empty or NaN)" in found.notes
    assert any("turned" in note for note in found.notes) == turned
    with h5py.File(tmp_path / "s.analysis.h5", "a") as file:
        del file["node_names"]
        file["node_names"] = [b"nose"]
    with pytest.raises(DataError, match=r"tracks of shape"):
        read_behaviour(tmp_path / "s.analysis.h5", times_s=TIMES)
