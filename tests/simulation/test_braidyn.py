"""Simulated lever pulls: what was planted, when, and that the files are what other libraries read."""

import json
import os
import shutil
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest

from calcium_decoding.data import catalog, readers
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.simulation import datasets
from calcium_decoding.simulation.braidyn import files
from calcium_decoding.simulation.braidyn.world import RATE_HZ, World, corrected, parcels, simulate_session, weights
from decoding_book.chapters.forelimbs import events

SMALL = World(animals=1, days=2, frames=900)


@cache
def strong(**settings):
    world = World(frames=5400, amplitude=40.0, **settings)
    return world, simulate_session(world, 1, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lever")
    files.write(SMALL, folder)
    return folder


def rise(session, roi, onsets_s, before_s):
    """Mean signal from ``before_s`` before onsets until them, less that of the second before."""
    trace, n = session.dff[:, files.names().index(roi)], round(before_s * RATE_HZ)
    at = [round(t * RATE_HZ) for t in onsets_s if t > 3]
    return np.mean([trace[i - n:i].mean() - trace[i - n - 30:i - n].mean() for i in at])


def test_activity_leads_movement_and_follows_the_tone():
    _, session = strong()
    frames = session.frames
    tones = frames.index[1:][np.diff(frames["tone"].to_numpy(int)) > 0]
    state = frames["state_lever"].to_numpy(int)
    pulls = [frames.index[i + 1] for i in np.flatnonzero(np.diff(state) > 0) if not state[max(0, i - 60):i].any()]
    sd = session.dff.std()
    assert rise(session, "MOp_left", pulls, 0.1) > 0.2 * sd
    assert rise(session, "MOp_left", pulls, 0.1) > 1.3 * rise(session, "MOp_right", pulls, 0.1)
    assert abs(rise(session, "AUDp_left", tones, 0.1)) < 0.2 * sd
    assert rise(session, "AUDp_left", tones + 0.4, 0.2) > 0.5 * sd


def test_each_parcel_follows_what_was_planted_and_an_unlinked_one_does_not():
    (_, linked), (_, unlinked) = strong(), strong(linked=False)
    pulled = linked.frames["state_lever"].to_numpy(float)
    left = files.names().index("MOp_left")
    assert np.array_equal(linked.frames["lever"], unlinked.frames["lever"])
    assert np.corrcoef(pulled, linked.dff[:, left])[0, 1] > 0.4
    assert abs(np.corrcoef(pulled, unlinked.dff[:, left])[0, 1]) < 0.15


def test_weights_wander_from_day_to_day_and_differ_between_animals():
    still, wanders = World(day_sd=0.0), World(day_sd=0.2)
    assert np.array_equal(weights(still, 1, 1), weights(still, 1, 9))
    planted = weights(wanders, 1, 1) > 0
    logs = [np.log(weights(wanders, 1, day)[planted]) for day in (1, 2, 10)]
    assert np.std(logs[1] - logs[0]) == pytest.approx(0.2, rel=0.35)
    assert np.std(logs[2] - logs[0]) == pytest.approx(0.2 * 3, rel=0.35)
    assert not np.allclose(weights(wanders, 1, 1), weights(wanders, 2, 1))


def test_correction_takes_out_what_both_channels_share():
    rng = np.random.default_rng(0)
    t = np.arange(30_000) / RATE_HZ
    calcium, blood, later = (np.sin(2 * np.pi * hz * at)[:, None] for hz, at in (
        (0.7, t), (0.31, t), (0.31, t + 0.5 / RATE_HZ)))  # violet frames come half a frame after the blue ones
    blue, violet, dff = corrected(calcium - 2 * blood, -later + 1e-3 * rng.normal(size=later.shape))
    assert abs(np.sum((violet - violet.mean(0)) * dff)) < 1e-6 * np.sum(violet**2)
    middle = slice(10_000, 20_000)  # where the filter has forgotten the ends
    assert np.corrcoef(calcium[middle, 0], dff[middle, 0])[0, 1] > 0.999
    assert np.corrcoef(calcium[middle, 0], blue[middle, 0])[0, 1] < 0.6


def test_a_session_does_not_depend_on_others_and_settings_out_of_range_are_refused():
    one, again = simulate_session(SMALL, 1, 2), simulate_session(World(animals=3, days=7, frames=900), 1, 2)
    assert np.array_equal(one.dff, again.dff) and one.frames.equals(again.frames)
    with pytest.raises(ParameterError, match="frames"):
        World(frames=10)
    entry = catalog.load_manifest().entry("simulated-braidyn")
    assert files.world_of(entry).animals == 5
    with pytest.raises(ParameterError, match="colour"):
        files.world_of(entry.model_copy(update={"settings": {"colour": 1}}))


def test_trials_agree_with_the_traces_of_behaviour():
    _, session = strong()
    at = session.frames.index.to_numpy()
    assert {"success"} <= set(session.trials["trial_outcome"]) <= {"success", "failed", "missed"}
    for trial in session.trials.to_dict("records"):
        here = session.frames[(at >= trial["start_time"]) & (at < trial["stop_time"] + 0.1)]
        assert here["tone"].iloc[0]
        hit = trial["trial_outcome"] == "success"
        assert hit == np.isfinite(trial["reward"]) == (here["reward"].any() and hit)
        if hit:
            held = session.frames[(at > trial["lever"] + 0.1) & (at < trial["reward"] - 0.05)]
            assert held["state_lever"].all()


def test_pynwb_reads_the_files_as_they_were_simulated(folder):
    pynwb = pytest.importorskip("pynwb")
    path = sorted(folder.rglob("*.nwb"))[0]
    assert path.name == "sub-sim01_ses-2023-01-02-task-day1_behavior+ophys.nwb"
    session = simulate_session(SMALL, 1, 1)
    with pynwb.NWBHDF5IO(path, "r", load_namespaces=True) as io:
        file = io.read()
        assert "SIMULATED" in file.notes and "SIMULATED" in file.session_description
        traces = file.processing["ophys"]["DfOverF"]
        for name, expected in (("dFF", session.dff), ("dFF_B", session.blue), ("dFF_V", session.violet)):
            assert np.array_equal(traces[name].data[()], expected)
            assert np.array_equal(traces[name].timestamps[()], session.frames.index)
        assert list(traces["dFF"].rois.table["roi_name"][()]) == files.names()
        assert np.array_equal(file.processing["downsampled"]["lever"].data[()], session.frames["lever"])
        paw = file.processing["behavior"]["body_video_keypoints"].pose_estimation_series["rightpawcenter"]
        assert np.array_equal(paw.data[()], session.keypoints["rightpawcenter"][:, :2])
        for trials in (file.trials, file.processing["downsampled"]["trials"]):
            assert np.allclose(trials["start_time"][()], session.trials["start_time"])


def test_the_reader_gives_traces_behaviour_and_names(folder):
    options = catalog.load_manifest().entry("braidyn-bc").options
    dataset = readers.read("nwb", folder, **options)
    assert [r.id for r in dataset.recordings] == ["sim01/2023-01-02", "sim01/2023-01-03"] and dataset.simulated
    recording, session = dataset.recordings[1], simulate_session(SMALL, 1, 2)
    assert np.array_equal(recording.signal, session.dff) and list(recording.roi_names) == files.names()
    for name in ("state_lever", "lick", "tone"):
        assert np.array_equal(recording.behaviour[name], session.frames[name].to_numpy(np.float32))
    inside = (session.camera_s >= recording.times_s[50]) & (session.camera_s < recording.times_s[51])
    for paw in ("rightpaw", "leftpaw"):
        for axis, name in enumerate("xy"):
            mean = session.keypoints[f"{paw}center"][inside, axis].mean()
            assert recording.behaviour[f"{paw}_{name}_px"][50] == pytest.approx(mean)
    violet = readers.read("nwb", folder, **options | {"series": "dFF_V"}).recordings[1]
    assert np.array_equal(violet.signal, session.violet)


def test_an_entry_of_the_real_set_reads_what_lies_in_its_folder(folder, tmp_path):
    entry = catalog.load_manifest().entry("braidyn-bc")
    shutil.copytree(folder, tmp_path / entry.folder)
    found = datasets.load_dataset("braidyn-bc", tmp_path)
    assert found.content_hash() == readers.read("nwb", folder, **entry.options).content_hash()
    assert events.movements(found, 100.0).recordings[0].behaviour["lever"].any()


def test_behaviour_that_a_file_lacks_is_refused_by_name(folder, tmp_path):
    source = sorted(folder.rglob("*.nwb"))[0]
    path = tmp_path / source.name
    path.write_bytes(source.read_bytes())
    with h5py.File(path, "a") as file:
        del file["processing/downsampled/lick"]
    with pytest.raises(DataError, match=r"0 behaviours called 'downsampled/lick'"):
        readers.read("nwb", tmp_path, strict=True, **catalog.load_manifest().entry("braidyn-bc").options)


def test_truth_lies_beside_and_says_what_it_is(folder):
    with np.load(folder / "truth.npz", allow_pickle=False) as truth:
        assert list(truth["parcels"]) == files.names() and truth["planted"][0] == "pull"
        assert np.array_equal(truth["weights/sim01/2023-01-03"], weights(SMALL, 1, 2))
    assert json.loads((folder / "truth.json").read_text())["settings"]["frames"] == 900
    assert datasets.ensure("isfn-widefield") is None


def test_parcels_are_those_of_the_masks():
    path = Path(os.environ.get("CALCIUM_DECODING_DATA", "")) / "allen_ccf_masks" / "AllenCCF_masks.h5"
    if not path.is_file():
        pytest.skip("CALCIUM_DECODING_DATA names no folder with the masks of the atlas")
    with h5py.File(path) as file:
        for (_, row), key in zip(parcels().iterrows(), sorted(file["masks"]), strict=True):
            mask = file["masks"][key]
            assert (row["name"], row["side"]) == (mask.attrs["name"], mask.attrs["side"])
            y, x = np.nonzero(mask[()])
            assert (row["x_px"], row["y_px"]) == pytest.approx((x.mean(), y.mean()), abs=0.06)
            assert row["area_px"] == len(x)
