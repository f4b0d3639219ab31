"""NWB files as pynwb writes them, an extension written as groups of HDF5, and real samples."""

import http.server
import re
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pynwb
import pytest
from pynwb import TimeSeries, behavior, ophys
from pynwb.event import EventsTable
from pynwb.misc import AnnotationSeries, IntervalSeries

import calcium_decoding as cd
from calcium_decoding.data import readers
from calcium_decoding.data.readers import nwb_behaviour, read_nwb
from calcium_decoding.data.readers.activity.traces import reading
from calcium_decoding.errors import DataError, ParameterError

N, T, RATE = 5, 120, 20.0
TIMES = 3 + np.arange(T) / RATE
SIGNAL = np.random.default_rng(0).normal(size=(T, N)).astype(np.float32)
IS_CELL = np.array([True, False, True, True, False])
VALUES = np.sin(np.arange(T))
OPHYS = "processing/ophys/DfOverF"


def write(path, data=SIGNAL, times=TIMES, cells=None, names=("dFF",), add=None, subject="m7", stated=RATE, n_roi=N,
          **about):
    """A file with series of traces, and what ``add(file)`` adds to it."""
    file = pynwb.NWBFile("d", "id", datetime(2026, 1, 1, tzinfo=UTC), session_id="day1",
                         subject=pynwb.file.Subject(subject_id=subject) if subject else None)
    channel = ophys.OpticalChannel(name="c", description="d", emission_lambda=500.0)
    plane = file.create_imaging_plane(name="p", optical_channel=channel, description="d", excitation_lambda=480.0,
                                      device=file.create_device("d"), indicator="i", location="l",
                                      **({"imaging_rate": stated} if stated else {}))
    module = file.create_processing_module("ophys", "d")
    segmentation, traces = ophys.ImageSegmentation(), ophys.DfOverF()
    module.add([segmentation, traces])
    table = segmentation.create_plane_segmentation(name="t", description="d", imaging_plane=plane)
    for i in range(n_roi):
        table.add_roi(image_mask=np.ones((2, 2)), id=100 + i)
    if cells is not None:
        table.add_column(cells[0], "d", data=cells[1])
    for name in names:
        clock = {"starting_time": 3.0, "rate": RATE} if times is None else {"timestamps": times}
        traces.create_roi_response_series(name=name, data=data, unit="%", **clock, **about, rois=(
            table.create_roi_table_region(description="d", region=list(range(n_roi)))))
    if add is not None:
        add(file)
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)
    return path


def put(path, name, values):
    """Put other values into the series, as other programs than pynwb write them."""
    with h5py.File(path, "a") as file:
        attributes = dict(file[f"{OPHYS}/dFF/{name}"].attrs)
        del file[f"{OPHYS}/dFF/{name}"]
        file[f"{OPHYS}/dFF/{name}"] = values
        file[f"{OPHYS}/dFF/{name}"].attrs.update(attributes)
    return path


# Traces


@pytest.mark.parametrize("times", [TIMES, None])
@pytest.mark.parametrize("is_turned", [False, True])
def test_time_comes_first_however_it_is_stored(tmp_path, times, is_turned):
    path = put(write(tmp_path / "a.nwb", times=times), "data", SIGNAL.T if is_turned else SIGNAL)
    recording = read_nwb(path)
    np.testing.assert_array_equal(recording.signal, SIGNAL)
    np.testing.assert_allclose(recording.times_s, TIMES, rtol=1e-12)
    assert recording.id == "m7/day1" and recording.rate_hz == RATE and recording.signal_unit == "dFF (%)"
    assert recording.roi_names == ("100", "101", "102", "103", "104")
    assert recording.notes == (("stored (5, 120), ROI first; turned to time first",) if is_turned else ())


def test_axes_that_are_not_sure_are_refused(tmp_path):
    square = SIGNAL[:N]
    with pytest.raises(DataError, match=r"a\.nwb, processing/ophys/DfOverF/dFF.*\(5, 5\) with 5 ROIs.*both axes"):
        read_nwb(write(tmp_path / "a.nwb", square, times=None))
    with pytest.raises(DataError, match="both axes"):
        read_nwb(write(tmp_path / "b.nwb", square, TIMES[:N]))
    with pytest.raises(DataError, match=r"\(120, 4\) with 5 ROIs and no timestamps.*no axis"):
        read_nwb(put(write(tmp_path / "c.nwb", times=None), "data", SIGNAL[:, :4]))
    path = write(tmp_path / "d.nwb")
    with h5py.File(path, "a") as file:  # without regions, the timestamps tell
        del file[f"{OPHYS}/dFF/rois"]
    recording = read_nwb(path)
    assert recording.roi_names == ("0", "1", "2", "3", "4") and "names none" in recording.notes[0]


def test_frames_missing_and_repeated_are_masked(tmp_path):
    times = TIMES.copy()
    times[50:] += 4 / RATE
    times[81] = times[80]
    path = write(tmp_path / "a.nwb", times=times)
    recording = read_nwb(path)
    assert recording.stretches == ((0, 50), (50, 81), (82, T))
    assert any("5 frames missing in 2 breaks" in note for note in recording.notes)
    np.testing.assert_array_equal(recording.signal, SIGNAL)
    times[60:] -= 5
    with pytest.raises(DataError, match="goes back"):
        read_nwb(put(path, "timestamps", times))


def test_numbers_of_frames_and_timestamps_that_differ_need_a_rule(tmp_path):
    path = put(write(tmp_path / "a.nwb"), "timestamps", TIMES[:-3])
    with pytest.raises(DataError, match="120 frames and 117 times"):
        read_nwb(path)
    recording = read_nwb(path, rule="cut_end")
    assert recording.stretches == ((0, 117),) and any("cut_end: the last 3" in note for note in recording.notes)


def test_the_rate_is_that_stated_if_the_timestamps_agree(tmp_path):
    jitter = TIMES + np.random.default_rng(1).normal(0, 1e-3, T)
    assert read_nwb(write(tmp_path / "a.nwb", times=jitter)).rate_hz == RATE
    other = read_nwb(write(tmp_path / "b.nwb", stated=30.0))
    assert other.rate_hz == RATE and "20 Hz by the times of the frames, not 30 Hz as stated" in other.notes
    assert read_nwb(write(tmp_path / "c.nwb", times=TIMES * 1.000001, stated=None)).rate_hz == RATE


@pytest.mark.parametrize(("name", "values"), [
    ("iscell", np.stack([IS_CELL, np.full(N, 0.9)], axis=1)), ("Accepted", IS_CELL), ("is_cell", IS_CELL.astype(int))])
def test_cells_only_by_default(tmp_path, name, values):
    path = write(tmp_path / "a.nwb", cells=(name, values))
    recording = read_nwb(path)
    np.testing.assert_array_equal(recording.signal, SIGNAL[:, IS_CELL])
    assert recording.roi_names == ("100", "102", "103")
    assert recording.notes == (f"{name} applied: 3 of 5 ROIs are cells",)
    assert read_nwb(path, cells_only=False).n_roi == N
    with pytest.raises(DataError, match="0 of 5 ROIs"):
        read_nwb(write(tmp_path / "b.nwb", cells=(name, values * 0)))


def test_several_series_need_a_name(tmp_path):
    path = write(tmp_path / "a.nwb", names=("dFF", "dFF_B", "dFF_V"))
    with pytest.raises(DataError, match=rf"3 series of traces.*{OPHYS}/dFF, {OPHYS}/dFF_B, {OPHYS}/dFF_V"):
        read_nwb(path)
    with pytest.raises(DataError, match="0 series of traces called 'FF'"):
        read_nwb(path, series="FF")
    assert read_nwb(path, series="dFF_V").signal_unit == "dFF_V (%)"
    assert read_nwb(path, series=f"{OPHYS}/dFF").n_roi == N


def test_units_and_nan(tmp_path):
    holes = SIGNAL.copy()
    holes[:, 3], holes[40] = np.nan, np.inf
    recording = read_nwb(write(tmp_path / "a.nwb", holes, conversion=100.0, offset=1.0))
    np.testing.assert_allclose(recording.signal[:40], 100 * np.delete(SIGNAL, 3, 1)[:40] + 1, rtol=1e-5)
    assert recording.stretches == ((0, 40), (41, T)) and recording.roi_names == ("100", "101", "102", "104")
    assert any("1 of 5 ROIs without any finite value left out: 103" in note for note in recording.notes)
    assert any("1 of 120 frames" in note for note in recording.notes) and "signal is 100 times" in str(recording.notes)


def test_a_file_without_an_animal_asks_for_one(tmp_path):
    path = write(tmp_path / "a.nwb", subject=None)
    with pytest.raises(DataError, match="animal="):
        read_nwb(path)
    assert read_nwb(path, animal="x", session="y").id == "x/y"
    (found,) = readers.read("nwb", tmp_path, animal="x").recordings
    assert found.id == "x/day1"


def test_files_that_are_no_such_thing_are_refused(tmp_path):
    path = write(tmp_path / "a.nwb", add=behaviours)
    with h5py.File(path, "a") as file:
        del file[OPHYS]
    with pytest.raises(DataError, match=r"no series of traces, but .*trials \(TimeIntervals\).*lever \(TimeSeries\)"):
        read_nwb(path)
    assert "downsampled.lever" in nwb_behaviour(path)
    (tmp_path / "cut.nwb").write_bytes(path.read_bytes()[:5000])
    for name in ("cut.nwb", "nothing.nwb"):
        with pytest.raises(DataError, match=name):
            read_nwb(tmp_path / name)
    with h5py.File(tmp_path / "old.nwb", "w") as file:
        file["nwb_version"] = "NWB-1.0.5"
    with pytest.raises(DataError, match="version 2"):
        read_nwb(tmp_path / "old.nwb")


# Behaviour

FAST = 2.5 + np.arange(800) / 100
PLACE = np.random.default_rng(2).normal(size=(800, 2))


def behaviours(file):
    module = file.create_processing_module("behavior", "d")
    downsampled = file.create_processing_module("downsampled", "d")
    position = behavior.Position(spatial_series=behavior.SpatialSeries(
        name="place", data=PLACE, timestamps=FAST, reference_frame="r", conversion=0.5))
    module.add([
        position,
        behavior.PupilTracking(time_series=TimeSeries(name="diameter", data=PLACE[:, 0], rate=100.0, starting_time=2.5,
                                                      unit="px")),
        behavior.BehavioralTimeSeries(time_series=TimeSeries(name="lever", data=PLACE[:, 1], timestamps=FAST,
                                                             unit="mm")),
        behavior.BehavioralEvents(time_series=TimeSeries(name="lick", data=np.ones(3), timestamps=[3.01, 3.02, 4.0],
                                                         unit="n/a")),
        behavior.BehavioralEpochs(interval_series=IntervalSeries(name="grooming", data=[1, -1, 1, -1],
                                                                 timestamps=[3.0, 4.0, 5.0, 5.5])),
    ])
    downsampled.add(TimeSeries(name="lever", data=VALUES, timestamps=TIMES, unit="mm"))
    downsampled.add(TimeSeries(name="state_task", data=np.arange(T) % 3, timestamps=TIMES, unit="n/a"))
    file.add_acquisition(AnnotationSeries(name="remarks", data=["a", "b"], timestamps=[3.0, 4.0]))
    file.add_acquisition(TimeSeries(name="later", data=np.ones(50), rate=10.0, starting_time=500.0, unit="V"))
    file.add_acquisition(TimeSeries(name="components", data=np.ones((T, 30)), timestamps=TIMES, unit="V"))
    file.add_acquisition(TimeSeries(name="pair", data=PLACE, timestamps=FAST, unit="V"))
    file.add_acquisition(TimeSeries(name="twice", data=np.ones(3), timestamps=[3.0, 3.0, 4.0], unit="V"))
    rewards = EventsTable(name="rewards", description="d")
    for time in (3.5, 7.0):
        rewards.add_row(timestamp=time)
    file.add_events_table(rewards)
    file.add_trial_column("outcome", "d")
    for start in (6.0, 4.0, 8.0):  # in no order
        file.add_trial(start_time=start, stop_time=start + 0.5, outcome="hit")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = write(tmp_path_factory.mktemp("nwb") / "a.nwb", add=behaviours)
    pose(path)
    return path


def pose(path):
    """What ndx-pose writes, without its package, and a series of ndx-events."""
    with h5py.File(path, "a") as file:
        for camera in ("body", "face"):
            group = file.create_group(f"processing/behavior/{camera}")
            group.attrs.update(neurodata_type="PoseEstimation", namespace="ndx-pose")
            for name in ("rightpaw", f"{camera}_only"):
                series = group.create_group(name)
                series.attrs.update(neurodata_type="PoseEstimationSeries", namespace="ndx-pose")
                series["data"], series["confidence"], series["timestamps"] = PLACE, PLACE[:, 0] ** 2, FAST
        group = file.create_group("acquisition/lfp")
        group.attrs.update(neurodata_type="ElectricalSeries", namespace="core")
        group["data"], group["timestamps"], group["electrodes"] = PLACE, FAST, [0, 1]
        group = file.create_group("acquisition/tones")
        group.attrs.update(neurodata_type="Events", namespace="ndx-events")
        group["timestamps"] = [3.5, 7.0]


def test_every_kind_of_behaviour_on_its_own_clock(path):
    found = nwb_behaviour(path)
    assert {name: one.kind for name, one in found.items() if one.kind != "samples"} == {
        "lick": "events", "rewards": "events", "tones": "events", "grooming": "intervals", "trials": "intervals"}
    assert {name for name, one in found.items() if one.kind == "samples"} == {
        "place_x", "place_y", "diameter", "BehavioralTimeSeries.lever", "downsampled.lever", "state_task", "later",
        "pair_0", "pair_1", "body.rightpaw_x", "body.rightpaw_y", "body.rightpaw_likelihood", "face.rightpaw_x",
        "face.rightpaw_y", "face.rightpaw_likelihood", "body_only_x", "body_only_y", "body_only_likelihood",
        "face_only_x", "face_only_y", "face_only_likelihood"}
    np.testing.assert_array_equal(found["place_y"].values, PLACE[:, 1] * 0.5)
    np.testing.assert_array_equal(found["face.rightpaw_x"].values, PLACE[:, 0])
    np.testing.assert_allclose(found["diameter"].times_s, FAST, rtol=1e-12)
    np.testing.assert_array_equal(found["lick"].times_s, [3.01, 3.02, 4.0])
    np.testing.assert_array_equal(found["trials"].times_s, [4, 6, 8])
    np.testing.assert_array_equal(found["trials"].stops_s, [4.5, 6.5, 8.5])
    np.testing.assert_array_equal(found["grooming"].stops_s, [4.0, 5.5])
    notes = "; ".join(found.notes)
    for said in (r"longer name.*downsampled\.lever", r"\(text\): \S*remarks", r"\(signals of electrodes\): \S*lfp",
                 r"\(30 columns\): \S*components", r"\(a column[^;]*trials/outcome",
                 r"\(a clock that goes from 3 to 3 s"):
        assert re.search(said, notes)


def test_behaviour_comes_onto_frames(path):
    recording = read_nwb(path)
    assert {*recording.behaviour} == {*nwb_behaviour(path)} - {"later"}
    assert "behaviour left out (known at no frame): later" in recording.notes
    np.testing.assert_allclose(recording.behaviour["downsampled.lever"], VALUES, rtol=1e-6)  # on the imaging clock
    np.testing.assert_array_equal(recording.behaviour["state_task"], np.arange(T) % 3)
    np.testing.assert_allclose(recording.behaviour["place_x"], PLACE[50:650:5, 0] / 2, rtol=1e-6)
    assert recording.behaviour["lick"][:2].tolist() == [2, 0] and recording.behaviour["lick"].sum() == 3
    np.testing.assert_array_equal(np.flatnonzero(recording.behaviour["trials"] > 0.5), [
        *range(20, 30), *range(60, 70), *range(100, 110)])
    assert recording.stretches == ((0, T),)


def test_named_behaviour_only(path):
    assert read_nwb(path, behaviour=()).behaviour == {}
    recording = read_nwb(path, behaviour=["downsampled/lever", "lick", "trials"], how={"trials": "most"})
    assert {*recording.behaviour} == {"downsampled.lever", "lick", "trials"}
    assert {*read_nwb(path, behaviour="lick").behaviour} == {"lick"}
    for name, found in {"lever": "2 behaviours called 'lever'", "remarks": "remarks: found text",
                        "outcome": "only the times are read", "twice": "from 3 to 3", "later": "500",
                        "no": "0 behaviours"}.items():
        with pytest.raises(DataError, match=found):
            read_nwb(path, behaviour=[name])
    with pytest.raises(ParameterError, match="how"):
        read_nwb(path, behaviour=["lick"], how={"lick": "linear"})


def test_interval_series_of_several_codes_are_kept_apart(tmp_path):
    def add(file):
        for name, data in {"state": [1, 2, -2, -1], "open": [1, -1, 1, 0], "never": [0, 0, 0, 0]}.items():
            file.add_acquisition(IntervalSeries(name=name, data=np.array(data, np.int8),
                                                timestamps=[3.0, 4.0, 5.0, 6.0]))

    path = write(tmp_path / "a.nwb", add=add)
    found = nwb_behaviour(path)
    assert {name: (*one.times_s, *one.stops_s) for name, one in found.items()} == {
        "state_1": (3.0, 6.0), "state_2": (4.0, 5.0), "never": ()}
    assert "(2 beginnings and 1 ends of intervals): open" in str(found.notes)
    assert read_nwb(path, behaviour=["state_2"]).behaviour["state_2"].sum() == pytest.approx(20)


def test_a_series_without_a_rate_does_not_stand_in_the_way_of_others(path, tmp_path):
    copy = tmp_path / "a.nwb"
    copy.write_bytes(path.read_bytes())
    with h5py.File(copy, "a") as file:
        del file["acquisition/later/starting_time"].attrs["rate"]
    assert "(no clock): acquisition/later" in str(read_nwb(copy).notes)
    other = write(tmp_path / "b.nwb", times=None)
    with h5py.File(other, "a") as file:
        del file[f"{OPHYS}/dFF/starting_time"].attrs["rate"]
    with pytest.raises(DataError, match="dFF: found no timestamps, and no starting time with a rate"):
        read_nwb(other)


def test_it_is_decoded_straight_away(path):
    assert cd.Dataset([read_nwb(path, behaviour=["downsampled.lever"])]).recordings[0].n_frames == T


# From an address


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Serves parts of files."""

    sent = 0  # bytes of ranges; the whole is asked for once, for its length, and not read

    def do_GET(self):
        path = Path(self.directory) / self.path.partition("?")[0].lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        if "Range" in self.headers:
            low, high = self.headers["Range"].removeprefix("bytes=").split("-")
            part = content[int(low):int(high) + 1 if high else None]
            Ranges.sent += len(part)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {low}-{int(low) + len(part) - 1}/{len(content)}")
        else:
            part = content
            self.send_response(200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *args):
        pass


@pytest.fixture
def address(path):
    def handler(*args):
        return Ranges(*args, directory=path.parent)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_file_at_an_address(path, address):
    pytest.importorskip("remfile")
    far, near = read_nwb(f"{address}/a.nwb?signature=secret"), read_nwb(path)
    assert far.content_hash() == near.content_hash() and far.source == f"{address}/a.nwb"
    with pytest.raises(DataError, match=r"nothing\.nwb") as error:
        read_nwb(f"{address}/nothing.nwb?signature=secret")
    assert "secret" not in str(error.value)


def test_of_a_movie_at_the_same_address_nothing_is_fetched(path, address):
    pytest.importorskip("remfile")
    large = path.with_name("large.nwb")
    large.write_bytes(path.read_bytes())
    with h5py.File(large, "a") as file:
        group = file.create_group("acquisition/movie")
        group.attrs.update(neurodata_type="TwoPhotonSeries", namespace="core")
        group["data"], group["timestamps"] = np.ones((T, 256, 256), np.uint16), TIMES
    before = Ranges.sent
    far = read_nwb(f"{address}/large.nwb")
    assert far.content_hash() == read_nwb(path).content_hash()
    assert 0 < Ranges.sent - before < large.stat().st_size / 8


def test_what_a_failed_request_says_keeps_the_signature_out():
    with pytest.raises(DataError, match=r"https://x\.org/a\.nwb: found .*GET /a\.nwb\?\.\.\. failed") as error:
        with reading("https://x.org/a.nwb?signature=secret", "an NWB file"):
            raise OSError("GET /a.nwb?signature=secret failed")
    assert "secret" not in str(error.value)


def test_an_address_without_remfile(monkeypatch):
    monkeypatch.setitem(sys.modules, "remfile", None)
    with pytest.raises(DataError, match=r"https://x\.org/a\.nwb.*remfile.*calcium-decoding\[formats\]"):
        read_nwb("https://x.org/a.nwb?signature=secret")


# Size

MEASURE = """
import re, sys
from pathlib import Path
from calcium_decoding.data.readers import read_nwb
recording = read_nwb(sys.argv[1])
peak_kb = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]  # ru_maxrss is the parent's too
print(len(recording.behaviour), recording.n_frames, int(peak_kb) / 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is told by Linux")
def test_half_an_hour_of_widefield_with_all_behaviour_takes_less_than_500_mb(tmp_path):
    n, n_roi, rng = 54_000, 44, np.random.default_rng(0)
    times = np.arange(n) / 30

    def add(file):
        module = file.create_processing_module("downsampled", "d")
        for i in range(20):
            module.add(TimeSeries(name=f"b{i}", data=rng.normal(size=n), timestamps=times, unit="u"))
        for i in range(6):
            module.add(behavior.SpatialSeries(name=f"paw{i}", data=rng.normal(size=(6 * n, 2)), rate=180.0,
                                              starting_time=0.0, reference_frame="r"))

    path = write(tmp_path / "a.nwb", rng.normal(size=(n, n_roi)), times, add=add, n_roi=n_roi, stated=30.0)
    out = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True).stdout
    n_behaviour, n_frames, peak_mb = map(float, out.split())
    assert (n_behaviour, n_frames) == (32, n) and peak_mb < 500, out


# Real files


@pytest.mark.parametrize(("name", "series", "shape", "rate"), [
    ("2022_08_08", "Fluorescence", (2000, 20), 10.0), ("A0634-210127", None, (35743, 10), 30.0)])
def test_real_samples_as_pynwb_reads_them(real_data_dir, name, series, shape, rate):
    path = real_data_dir / "nwb_samples" / f"{name}.nwb"
    if not path.is_file():
        pytest.skip("nwb_samples is not in the data directory")
    recording = read_nwb(path, series=series, animal="a")
    assert recording.signal.shape == shape and recording.rate_hz == rate and recording.session == name
    with pynwb.NWBHDF5IO(path, "r") as io:
        traces = io.read().processing["ophys"]["Fluorescence"].roi_response_series[series or "RoiResponseSeries"]
        ids = list(traces.rois.table.id[:])
        columns = [ids.index(int(roi)) for roi in recording.roi_names]
        data = traces.data[:].T if series else traces.data[:]
        np.testing.assert_array_equal(recording.signal, data[:, columns].astype(np.float32))
    if series:
        assert recording.notes == ("stored (219, 2000), ROI first; turned to time first",
                                   "iscell applied: 20 of 219 ROIs are cells")
        with pytest.raises(DataError, match=r"3 series.*Deconvolved.*Neuropil"):
            read_nwb(path, animal="a")
