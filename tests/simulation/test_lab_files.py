"""Simulated files of a lab whose faults are known, read as a reader would."""

import numpy as np
import pandas as pd
import pytest

import calcium_decoding as cd
from calcium_decoding.simulation import lab_files, plant_clock


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    rng = np.random.default_rng(0)
    recordings = [cd.Recording(rng.normal(size=(900, 6)), {"speed_cm_s": np.abs(np.sin(np.arange(900) / 30)) * 4},
                               30.0, "m1", session, simulated=True) for session in ("a", "b")]
    dataset = cd.Dataset("small", recordings)
    return dataset, lab_files.write_lab_files(dataset, tmp_path_factory.mktemp("lab"), seed=3)


def times(folder, session, name):
    return pd.read_csv(folder / "m1" / session / f"{name}.csv")["time_s"].to_numpy()


def test_the_cells_of_the_file_are_those_of_the_simulation(world):
    dataset, folder = world
    read = cd.read_suite2p(folder / "m1" / "a" / "suite2p", rate_hz=30, animal="m1", session="a")
    assert read.n_roi == 6 and any("6 of 26" in note for note in read.notes)
    frames = plant_clock(900, 30, seed=3, dropped=0.01, cut=(0, lab_files.PULSES), drift_ppm=150).frame
    true = 500 * (1 + dataset.recordings[0].signal[frames] / 100)
    np.testing.assert_allclose(np.sort(read.signal, axis=1), np.sort(true, axis=1), atol=0.01)


def test_on_one_clock_speed_is_what_was_simulated_and_the_early_end_is_masked(world):
    dataset, folder = world
    for recording, early in zip(dataset.recordings, (0, 10), strict=True):
        place = folder / "m1" / recording.session
        read = cd.read_suite2p(place / "suite2p", rate_hz=30, animal="m1", session=recording.session)
        at = cd.match_pulses(times(folder, recording.session, "frames"), times(folder, recording.session, "ttl"))
        got = cd.with_behaviour(cd.with_times(read, at), *cd.read_behaviour(place / "wheel.csv").values())
        true = np.interp(at, times(folder, recording.session, "ttl"), recording.behaviour["speed_cm_s"])
        usable = np.concatenate([np.arange(*stretch) for stretch in got.stretches])
        assert np.abs(got.behaviour["speed_cm_s"] - true)[usable].max() < 0.1
        assert len(got.stretches) > 3 and abs((got.n_frames - len(usable)) / 30 - early) < 0.5


def test_what_is_there_is_left_as_it_is(world):
    dataset, folder = world
    path = folder / "m1" / "a" / "frames.csv"
    before = path.stat().st_mtime_ns
    lab_files.write_lab_files(dataset, folder, seed=4)
    assert path.stat().st_mtime_ns == before
