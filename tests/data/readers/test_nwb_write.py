"""Recordings written as NWB, as pynwb, nwbinspector and read_nwb see them."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pynwb
import pytest
from pynwb import TimeSeries

import calcium_decoding as cd
from calcium_decoding.data import readers
from calcium_decoding.errors import DataError, WriteError

START = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def recording():
    """A recording with all that one can have: a clock with a gap, behaviour of both types, odd names, reach, notes."""
    rng = np.random.default_rng(0)
    times = 5 + np.arange(200) / 30 + (np.arange(200) > 100) * 0.5 + rng.normal(0, 1e-4, 200)
    signal = rng.normal(size=(200, 4)).astype(np.float32)
    behaviour = {"run": rng.random(200) > 0.5, "speed_cm_s": rng.normal(size=200), "paw/left:x": np.arange(200),
                 "paw:left/x": np.arange(200) * 2}
    made = cd.Recording(signal, behaviour, 30.0, "m/1", "d 1", "p2", ("a", "b", "ü", "M1/left"), "ΔF/F (%)", True,
                        notes=("one", "two; \"quoted\""), reach={"run": (3, 0)})
    return cd.with_times(made, times)


@pytest.fixture(scope="module")
def path(recording, tmp_path_factory):
    path = tmp_path_factory.mktemp("nwb") / "a.nwb"
    cd.write_nwb(recording, path, START)
    return path


def same(found, expected):
    assert found.content_hash() == expected.content_hash()
    for name in ("id", "animal", "session", "part", "roi_names", "signal_unit", "simulated", "notes", "stretches",
                 "rate_hz"):
        assert getattr(found, name) == getattr(expected, name)
    assert dict(found.reach) == dict(expected.reach) and list(found.behaviour) == list(expected.behaviour)
    assert all(found.behaviour[name].dtype == expected.behaviour[name].dtype for name in expected.behaviour)
    np.testing.assert_array_equal(found.times_s, expected.times_s)


def test_it_reads_back_bit_for_bit(recording, path, tmp_path):
    assert len(recording.stretches) == 2
    same(cd.read_nwb(path), recording)
    plain = replace(recording, times_s=None, stretches=(), behaviour={}, reach={}, notes=(), signal_unit="")
    cd.write_nwb(plain, tmp_path / "b.nwb", START)
    found = cd.read_nwb(tmp_path / "b.nwb")
    assert found.times_s is None and found.content_hash() == plain.content_hash() and found.signal_unit == ""


def test_what_others_add_to_the_file_is_read_too(recording, path, tmp_path):
    copy = tmp_path / "a.nwb"
    copy.write_bytes(path.read_bytes())
    with pynwb.NWBHDF5IO(copy, "a") as io:
        file = io.read()
        file.add_trial(start_time=6.0, stop_time=7.0)
        file.add_acquisition(TimeSeries(name="lever", data=np.arange(200), timestamps=recording.times_s, unit="mm"))
        io.write(file)
    found = cd.read_nwb(copy)
    assert {*found.behaviour} == {*recording.behaviour, "trials", "lever"}
    np.testing.assert_array_equal(found.behaviour["lever"], np.arange(200))
    assert found.notes[:len(recording.notes)] == recording.notes
    same(cd.read_nwb(copy, behaviour=list(recording.behaviour)), recording)


def test_some_of_it_under_another_name(recording, path):
    found = cd.read_nwb(path, animal="x", session="y", behaviour=["speed_cm_s"])
    assert found.id == "x/y/p2" and list(found.behaviour) == ["speed_cm_s"]
    with pytest.raises(DataError, match="'nothing'"):
        cd.read_nwb(path, behaviour=["nothing"])
    assert {*readers.nwb_behaviour(path)} == {"run", "speed_cm_s", "paw_left_x", "paw_left_x_"}


def test_pynwb_sees_the_same(recording, path):
    with pynwb.NWBHDF5IO(path, "r") as io:
        file = io.read()
        series = file.processing["ophys"]["Fluorescence"].roi_response_series["RoiResponseSeries"]
        np.testing.assert_array_equal(series.data[:], recording.signal)
        np.testing.assert_array_equal(series.timestamps[:], recording.times_s)
        assert list(series.rois.table["roi_name"][:]) == list(recording.roi_names)
        speed = file.processing["behavior"]["BehavioralTimeSeries"]["speed_cm_s"]
        np.testing.assert_array_equal(speed.data[:], recording.behaviour["speed_cm_s"])
        assert (file.session_start_time, file.subject.subject_id) == (START, "m/1")
    assert pynwb.validate(path=path) == []


def test_the_general_reader_finds_the_same_data(recording, path):
    found = cd.read_nwb(path, series="RoiResponseSeries", behaviour=["speed_cm_s"])
    np.testing.assert_array_equal(found.signal, recording.signal)
    np.testing.assert_array_equal(found.behaviour["speed_cm_s"], recording.behaviour["speed_cm_s"])
    assert found.stretches == recording.stretches and found.rate_hz == 30.0


@pytest.mark.parametrize("which", ["full", "plain"])
def test_nwbinspector_finds_nothing_critical(recording, path, tmp_path, which):
    from nwbinspector import Importance, inspect_nwbfile

    if which == "plain":
        path = tmp_path / "p.nwb"
        cd.write_nwb(cd.Recording(np.ones((30, 2)), {}, 30.0, "m1", "s1"), path, START, species="Mus musculus")
    found = list(inspect_nwbfile(nwbfile_path=path, importance_threshold=Importance.BEST_PRACTICE_SUGGESTION))
    serious = [one for one in found if one.importance.value >= Importance.CRITICAL.value]
    assert found and serious == []  # it says something: what a recording does not know


def test_whole_or_not_at_all(recording, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(WriteError):
        cd.write_nwb(recording, tmp_path / "file" / "a.nwb", START)
    with pytest.raises(DataError, match="time zone"):
        cd.write_nwb(recording, tmp_path / "a.nwb", datetime(2026, 1, 1))
    with pytest.raises(DataError, match=r"\.nwb"):
        cd.write_nwb(recording, tmp_path / "a.h5", START)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
