"""Simulated footsteps: shares, movement, tuning, events and fluorescence against closed forms."""

import json
from functools import cache

import numpy as np
import pytest
from scipy import stats

from calcium_decoding.data import catalog, download, readers
from calcium_decoding.errors import ParameterError
from calcium_decoding.simulation import datasets
from calcium_decoding.simulation.footsteps import cell_model, gait, world_files
from calcium_decoding.simulation.footsteps.world import RATE_HZ, World, known_cells, simulate, simulate_session

SMALL = {"animals": 2, "sessions": 2, "frames": 900, "min_cells": 30, "max_cells": 40}


@cache
def with_session(n_frames=3000, n_cells=400, **settings):
    world = World(animals=1, sessions=1, frames=n_frames, min_cells=n_cells, max_cells=n_cells, **settings)
    return world, simulate_session(world, 1, 1), known_cells(world, 1)


# Gait


@pytest.mark.parametrize("n_frames", [900, 3000])
def test_shares_of_the_classes_lie_in_the_published_ranges(n_frames):
    for seed in range(40):
        label = gait.labels(*gait.walk(n_frames, np.random.default_rng(seed)), n_frames)
        none, contra, ipsi = (np.mean(label == k) for k in range(3))
        assert 0.465 <= none <= 0.575 and 0.26 <= contra <= 0.29 and 0.18 <= ipsi <= 0.25


def test_feet_take_turns_in_steps_of_three_to_eight_frames():
    foot, first, last = gait.walk(3000, np.random.default_rng(5))
    assert set(last - first + 1) == {3, 4, 5, 6, 7, 8}
    assert (foot[1:] != foot[:-1]).all() and (first[1:] - last[:-1] >= 2).all()
    assert first[0] >= 1 and last[-1] < 3000


def test_a_paw_goes_forward_in_its_own_steps_and_back_between_them():
    session = with_session()[1]
    foot, first, last = session.steps
    for limb, which in (("contra", 1), ("ipsi", 2)):
        position, velocity = session.behaviour[f"{limb}_position_mm"], session.behaviour[f"{limb}_velocity_mm_s"]
        begins, ends = first[foot == which] - 1, last[foot == which]
        assert (position[ends] - position[begins] > 6).all()
        middle = (begins + ends) // 2 + 1
        assert (velocity[middle] > 5).all()
        is_step = session.behaviour["footstep"] == which
        assert velocity[~is_step].mean() < 0 < velocity[is_step].mean()
        # Velocity is the derivative of position: its integral (trapezoids) gives the position back.
        moved = np.concatenate([[0], np.cumsum((velocity[1:] + velocity[:-1]) / 2)]) / RATE_HZ
        assert np.abs(moved - (position - position[0])).max() < 5.0
        assert stats.pearsonr(moved, position).statistic > 0.98


def test_the_swing_follows_the_polynomial_of_least_jerk():
    foot, first, last = np.array([1, 2]), np.array([10, 25]), np.array([17, 28])
    rng = np.random.default_rng(0)
    position = gait.kinematics(foot, first, last, 40, 15.0, rng)["contra_position_mm"].astype(float)
    part = (np.arange(9, 18) - 9) / 8
    low, high = position[9], position[17]
    assert position[9:18] == pytest.approx(low + (high - low) * (6 * part**5 - 15 * part**4 + 10 * part**3), abs=1e-4)
    assert (position[:9] == position[0]).all() and (position[17:] == position[17]).all()


# Indicator


def test_fluorescence_of_one_event_is_the_kernel():
    one = np.zeros((150, 1))
    one[3] = 1
    found = cell_model.fluorescence(one, RATE_HZ)[:, 0]
    t_s = np.arange(147) / RATE_HZ
    wanted = (1 - np.exp(-t_s / 0.2)) * np.exp(-t_s / 1.2)
    assert found[3:] == pytest.approx(wanted / wanted.max(), abs=1e-9) and not found[:3].any()
    # Peak where the derivative is 0, at rise * ln(1 + decay / rise) = 0.39 s, then a decay of 1.2 s.
    assert found.argmax() - 3 == round(0.2 * np.log(1 + 1.2 / 0.2) * RATE_HZ)
    assert found[100] / found[82] == pytest.approx(np.exp(-18 / 18), rel=1e-3)


def test_fluorescence_of_many_events_is_their_convolution():
    events = np.random.default_rng(1).poisson(0.2, (400, 3)).astype(float)
    kernel = cell_model.kernel(RATE_HZ, n_frames=400)
    wanted = np.stack([np.convolve(events[:, i], kernel)[:400] for i in range(3)], axis=1)
    assert cell_model.fluorescence(events, RATE_HZ) == pytest.approx(wanted, abs=1e-9)


def test_deconvolution_undoes_a_plain_exponential_and_sees_one_frame_back():
    events = np.random.default_rng(2).poisson(0.1, (300, 2)).astype(float)
    keep, decayed = np.exp(-1 / (1.2 * RATE_HZ)), np.zeros((300, 2))
    for t in range(300):
        decayed[t] = events[t] + (keep * decayed[t - 1] if t else 0)
    found = cell_model.deconvolve(decayed, RATE_HZ)
    assert found[1:] == pytest.approx(events[1:], abs=1e-9) and not found[0].any()
    moved = decayed.copy()
    moved[200] += 5
    assert set(np.flatnonzero((cell_model.deconvolve(moved, RATE_HZ) != found).any(axis=1))) <= {200, 201}


def test_snr_is_the_peak_of_one_transient_over_the_sd_of_the_noise():
    quiet, clean = (with_session(snr=snr, drift=0.0, neuropil=0.0)[1].dff for snr in (4.0, 1e6))
    cells = with_session(snr=4.0)[2]
    noise_sd = (quiet - clean).std(axis=0)
    assert cells["amplitude"].to_numpy() / noise_sd == pytest.approx(4.0, rel=0.1)
    assert np.mean(cells["amplitude"].to_numpy() / noise_sd) == pytest.approx(4.0, rel=0.01)


def test_drift_is_slow_and_shared_and_has_the_set_size():
    with_drift, without = (with_session(drift=d, neuropil=0.0)[1] for d in (0.5, 0.0))
    cells = with_session()[2]
    added = (with_drift.dff - without.dff) / cells["amplitude"].to_numpy()
    np.testing.assert_allclose(added, np.repeat(with_drift.drift[:, None], 400, axis=1), atol=1e-4)
    many = [with_session(900, 10, drift=0.5, seed=seed)[1].drift for seed in range(30)]
    assert np.std(many) == pytest.approx(0.5, rel=0.25)
    assert np.mean([np.corrcoef(d[:-15], d[15:])[0, 1] for d in many]) > 0.8  # one second apart


def test_neuropil_makes_untuned_cells_follow_the_mean_of_all():
    def mean_r(neuropil):
        _, session, cells = with_session(snr=50.0, drift=0.0, neuropil=neuropil)
        untuned = (cells["tuning"] == "none").to_numpy()
        mean = session.dff[:, ~untuned].mean(axis=1)
        return np.mean([np.corrcoef(mean, trace)[0, 1] for trace in session.dff[:, untuned].T])

    assert mean_r(1.0) > mean_r(0.0) + 0.05


# Cells and events


def test_shares_of_tuned_cells_and_their_weights():
    cells = with_session()[2]
    assert cells["tuning"].value_counts().to_dict() == {"none": 280, "contralateral": 60, "ipsilateral": 40, "both": 20}
    for limb, own in (("contra", "contralateral"), ("ipsi", "ipsilateral")):
        weights = cells[[f"{limb}_step", f"{limb}_velocity", f"{limb}_position"]].sum(axis=1)
        is_tuned = cells["tuning"].isin([own, "both"])
        assert weights[is_tuned].to_numpy() == pytest.approx(1.0) and not weights[~is_tuned].any()
    assert set(cells["lag_frames"]) == {0, 1, 2, 3}
    assert (cells["gain_hz"] > 0).equals(cells["tuning"] != "none")


def test_events_are_poisson_with_the_rates_of_the_tuning():
    _, session, _ = with_session()
    expected = session.rates_hz / RATE_HZ
    # Sum over frames of a Poisson variable: SD is the root of the expected sum.
    z = (session.events.sum(axis=0) - expected.sum(axis=0)) / np.sqrt(expected.sum(axis=0))
    assert stats.kstest(z, "norm").pvalue > 0.001
    dispersion = ((session.events - expected) ** 2 / expected).mean()
    assert dispersion == pytest.approx(1.0, abs=0.02)


def test_rates_are_base_plus_weighted_drive_some_frames_later():
    world, session, cells = with_session(session_sd=0.0)
    drive = cell_model.drives(session.behaviour)
    for i in (cells["tuning"] == "both").to_numpy().nonzero()[0][:5]:
        cell, t = cells.iloc[i], np.array([50, 700, 2500])
        weights = cell[list(cell_model.WEIGHTS)].to_numpy(float)
        wanted = cell.base_hz + cell.gain_hz * drive[t + cell.lag_frames] @ weights
        assert session.rates_hz[t, i] == pytest.approx(wanted)
    assert world.gain == 1.0


def test_events_show_the_planted_tuning_and_lag():
    _, session, cells = with_session(gain=5.0)
    label = session.behaviour["footstep"]
    r = {own: np.array([np.corrcoef(label == which, e)[0, 1] for e in session.events.T])
         for own, which in (("contralateral", 1), ("ipsilateral", 2))}
    for own, other in (("contralateral", "ipsilateral"), ("ipsilateral", "contralateral")):
        mine = (cells["tuning"] == own).to_numpy()
        assert r[own][mine].mean() > 0.2 > 0 > r[other][mine].mean()
    assert np.abs(r["contralateral"][(cells["tuning"] == "none").to_numpy()]).max() < 0.12
    # The lag at which events and the step agree best is the planted one for most strongly tuned cells.
    strong = cells[(cells["tuning"] == "contralateral") & (cells["gain_hz"] > 2) & (cells["contra_step"] > 0.5)]
    best = [np.argmax([np.corrcoef((label == 1)[k:2990 + k], session.events[:2990, i])[0, 1] for k in range(8)])
            for i in strong.index]
    assert np.mean(np.abs(np.array(best) - strong["lag_frames"]) <= 1) > 0.8


def test_zero_tuning_has_no_relation_but_the_same_rates():
    tuned, zero = (with_session(gain=5.0, zero_tuning=zero) for zero in (False, True))
    assert zero[1].events.mean() == pytest.approx(tuned[1].events.mean(), rel=0.1)
    assert (zero[2]["tuning"] == "none").all() and not zero[2][list(cell_model.WEIGHTS)].to_numpy().any()
    assert all(np.array_equal(zero[1].behaviour[k], tuned[1].behaviour[k]) for k in tuned[1].behaviour)

    def strongest(session):
        label = session.behaviour["footstep"]
        return np.mean([np.sort(np.abs([np.corrcoef(label == k, e)[0, 1] for e in session.events.T]))[-50:].mean()
                        for k in (1, 2)])

    # Under no relation |r| of the strongest 50 of 400 cells is about 1.5 / sqrt(3000 frames), more for slow gait.
    assert strongest(zero[1]) < 0.09 < 0.2 < strongest(tuned[1])


# Data sets


def test_a_world_is_repeatable_and_sessions_share_cells():
    one, truth = simulate(World(**SMALL, seed=3))
    again, _ = simulate(World(**SMALL, seed=3))
    other, _ = simulate(World(**SMALL, seed=4))
    assert one.content_hash() == again.content_hash() != other.content_hash()
    assert one.simulated and [r.id for r in one.recordings][:2] == ["animal 1/session 1", "animal 1/session 2"]
    assert len({r.n_roi for r in one.of_animal("animal 1")}) == 1
    assert not truth["animal 1"].cells.equals(truth["animal 2"].cells)
    assert not np.array_equal(one.recordings[0].behaviour["footstep"], one.recordings[1].behaviour["footstep"])


def test_a_session_does_not_depend_on_how_many_there_are():
    few, many = (World(**{**SMALL, "animals": a, "sessions": s}) for a, s in ((1, 1), (3, 4)))
    assert np.array_equal(simulate_session(few, 1, 1).dff, simulate_session(many, 1, 1).dff)


@pytest.mark.parametrize(("name", "value"), [
    ("animals", 0), ("frames", 100), ("snr", 0.0), ("snr", float("nan")), ("trace", "spikes"), ("gain", -1.0),
    ("contra_share", 0.95), ("max_cells", 300), ("drift", float("inf")), ("frames", 900.5),
])
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ParameterError):
        World(**{name: value})


def test_files_are_read_back_as_they_were_simulated_with_the_truth_beside(tmp_path):
    world = World(**SMALL, seed=7)
    world_files.write(world, tmp_path)
    dataset, truth = simulate(world)
    for trace in ("deconvolved", "dff"):
        found = readers.read("footsteps", tmp_path, trace=trace)
        for recording, made in zip(found.recordings, simulate(World(**SMALL, seed=7, trace=trace))[0].recordings,
                                   strict=True):
            assert recording.id == made.id and np.array_equal(recording.signal, made.signal)
            assert set(recording.behaviour) == set(made.behaviour)
            for name, values in made.behaviour.items():
                assert np.array_equal(recording.behaviour[name], values)
    found_world, found_truth = world_files.read_truth(tmp_path)
    assert found_world == world and list(found_truth) == list(dataset.animals)
    for animal in truth:
        assert found_truth[animal].cells.equals(truth[animal].cells.astype(found_truth[animal].cells.dtypes))
        for session, events in truth[animal].events.items():
            assert np.array_equal(found_truth[animal].events[session], events)


def test_the_manifest_makes_its_sets_once(tmp_path, monkeypatch):
    text = (catalog.project_root() / "data_manifest.yaml").read_text()
    entries = "entries:\n  simulated-footsteps-small:" + text.split("  simulated-footsteps-small:")[1].split("\n\n")[0]
    (tmp_path / "data_manifest.yaml").write_text(entries + "\n")
    monkeypatch.chdir(tmp_path)
    entry = catalog.load_manifest().entry("simulated-footsteps-small")
    assert download.status(entry) == "missing"
    folder = datasets.ensure("simulated-footsteps-small")
    made = (folder / "truth.json").stat().st_mtime_ns
    assert download.status(entry) == "present" and download.verify(entry)[0].state == "ok"
    assert datasets.ensure("simulated-footsteps-small") == folder
    assert (folder / "truth.json").stat().st_mtime_ns == made
    dataset = readers.load("simulated-footsteps-small")
    assert dataset.simulated and dataset.recordings[0].rate_hz == 15
    world, truth = datasets.footstep_truth("simulated-footsteps-small")
    assert world.frames == dataset.recordings[0].n_frames
    assert [len(truth[a].cells) for a in dataset.animals] == [dataset.of_animal(a)[0].n_roi for a in dataset.animals]
    assert json.loads((folder / "truth.json").read_text())["simulated"] is True


def test_other_entries_are_left_alone_and_unknown_settings_refused():
    assert datasets.footstep_truth("simulated-small") is None and datasets.footstep_truth("isfn-widefield") is None
    entry = catalog.load_manifest().entry("simulated-footsteps-small")
    with pytest.raises(ParameterError, match="colour"):
        world_files.world_of(entry.model_copy(update={"settings": {"colour": 1}}))
