"""The simulated world: statistics against what was asked for, files against the ordinary readers, seeds."""

import json

import numpy as np
import pytest
from scipy.stats import norm

from calcium_decoding import published, readers, simulate
from calcium_decoding.errors import ParameterError
from calcium_decoding.files import file_digest
from calcium_decoding.simulate import SimulationSettings

SMALL = SimulationSettings(animals=2, sessions_per_animal=2, frames_per_session=600)


def test_run_shares_follow_the_published_ones():
    # 10 sessions of 10 minutes: the spread over sessions makes the mean of an animal uncertain by some points.
    settings = SimulationSettings(sessions_per_animal=10, frames_per_session=18_000)
    for animal in range(1, 6):
        share = published.run_share(animal)
        speeds = (simulate.simulate_speed(settings.frames_per_session, share, np.random.default_rng([animal, s]))
                  for s in range(settings.sessions_per_animal))
        shares = [np.mean(speed > 0.5) for speed in speeds]
        assert abs(np.mean(shares) - share) < 0.10


def test_label_is_speed_above_the_threshold_of_the_study():
    _, run, speed, _ = simulate.simulate_session(SMALL, 1, 0)
    np.testing.assert_array_equal(run, speed > 0.5)
    assert speed.min() >= 0 and run.min() == 0 and run.max() == 1


@pytest.mark.parametrize("frames", [-7, 0, 4])
def test_delay_moves_a_pulse_by_the_planted_lag(frames):
    pulse = np.zeros(50)
    pulse[20] = 1.0
    assert simulate._delay(pulse, frames).argmax() == 20 + frames


@pytest.mark.parametrize("group", ["M2_M1", "PT_RS", "Vl_A1"])
def test_planted_lag_is_recovered_by_cross_correlation(group):
    # Before the indicator and without noise, the sustained drive follows the run label by the lag of its area.
    speed = simulate.simulate_speed(6000, 0.5, np.random.default_rng(5))
    drive = simulate.area_drive(speed, np.random.default_rng(6))
    rois = np.flatnonzero(published.roi_table()["group"] == group)
    running = (speed > 0.5).astype(float)
    step = np.diff(running, prepend=0.0)
    response = np.diff(drive[:, rois[0]], prepend=0.0)
    lags = np.arange(-20, 21)
    match = [np.sum(response[20:-20] * np.roll(step, lag)[20:-20]) for lag in lags]
    planted = simulate.AREA_DRIVE.loc[group, "lag_s"] * simulate.RATE_HZ
    assert abs(lags[np.argmax(match)] - planted) <= 1


def test_indicator_keeps_the_mean_and_has_the_decay_it_says():
    step = np.ones((600, 1))
    np.testing.assert_allclose(simulate.indicator(step)[-1], 1.0, rtol=1e-6)
    impulse = np.zeros((300, 1))
    impulse[10] = 1.0
    response = simulate.indicator(impulse)[:, 0]
    assert np.abs(response[:10]).max() < 1e-12  # nothing before its cause
    late = response[40:70]  # the rise is over by then: a straight line in the logarithm
    slope = np.polyfit(np.arange(30) / simulate.RATE_HZ, np.log(late), 1)[0]
    assert abs(-1 / slope - 0.35) < 0.01


def test_slow_noise_has_unit_variance_and_its_time_constant():
    x = simulate._slow_noise(400_000, 0.5, np.random.default_rng(1))
    assert abs(x.var() - 1.0) < 0.05
    lag = round(0.5 * simulate.RATE_HZ)
    assert abs(np.mean(x[lag:] * x[:-lag]) - np.exp(-1)) < 0.05


def test_drift_has_no_part_faster_than_its_shortest_period():
    drift = simulate.baseline_drift(18_000, 1.0, np.random.default_rng(2))
    assert drift.shape == (18_000, 50)
    # Ten minutes in bins of 1/600 Hz; the shortest period asked for is 90 s, a taper keeps the ends from leaking.
    power = np.abs(np.fft.rfft((drift - drift.mean(axis=0)) * np.hanning(18_000)[:, None], axis=0)) ** 2
    assert power[12:].sum() < 1e-3 * power.sum()
    assert drift.std(axis=0).min() > 0.2


def test_noise_has_the_scale_asked_for():
    quiet, loud = (simulate.simulate_session(SimulationSettings(noise=noise, frames_per_session=3000), 1, 0)[0]
                   for noise in (0.0, 2.0))
    assert abs((loud - quiet).std() - 2.0) < 0.02


def test_a_seed_repeats_and_another_differs():
    first, again = (simulate.simulate_session(SMALL, 2, 1)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = simulate.simulate_session(SimulationSettings(animals=2, frames_per_session=600, seed=2), 2, 1)[0]
    assert np.abs(first - other).max() > 0.1


def test_more_sessions_leave_the_first_ones_as_they_were():
    more = SimulationSettings(animals=3, sessions_per_animal=5, frames_per_session=600)
    np.testing.assert_array_equal(simulate.simulate_session(SMALL, 1, 1)[0], simulate.simulate_session(more, 1, 1)[0])


def test_no_link_means_signal_is_independent_of_behaviour():
    # Correlation of each ROI with running over independent sessions, as a z-value; one in twenty may pass 1.96.
    settings = SimulationSettings(world="no_link", sessions_per_animal=40, frames_per_session=1200)
    linked = SimulationSettings(sessions_per_animal=40, frames_per_session=1200)

    def z_values(settings):
        r = []
        for session in range(40):
            signal, run, _, _ = simulate.simulate_session(settings, 2, session)
            if 0 < run.mean() < 1:
                r.append([np.corrcoef(signal[:, i], run)[0, 1] for i in range(0, 50, 5)])
        r = np.array(r)
        return r.mean(axis=0) / (r.std(axis=0, ddof=1) / np.sqrt(len(r)))

    bound = norm.ppf(1 - 0.001 / 20)
    assert np.abs(z_values(settings)).max() < bound
    assert np.abs(z_values(linked)).max() > bound


def test_files_are_the_study_s_and_the_ordinary_reader_reads_them(tmp_path):
    simulate.write_dataset(SMALL, tmp_path)
    dataset = readers.read_study(tmp_path, simulated=True)
    assert [r.animal for r in dataset.recordings] == ["mouse 1"] * 2 + ["mouse 2"] * 2
    signal, run, speed, _ = simulate.simulate_session(SMALL, 2, 1)
    np.testing.assert_array_equal(dataset.recordings[3].signal, signal)
    np.testing.assert_array_equal(dataset.recordings[3].run, run)
    np.testing.assert_array_equal(dataset.recordings[3].behaviour["speed_cm_s"], speed)
    assert dataset.simulated and not dataset.refused
    assert list((tmp_path / "data_of_behavior_64_5mice").glob("*_behavior.mat"))


def test_truth_says_which_roi_carries_what_and_when(tmp_path):
    simulate.write_dataset(SMALL, tmp_path)
    with np.load(tmp_path / "truth.npz", allow_pickle=False) as truth:
        limb = published.roi_table()["group"].to_numpy() == "FL_HL"
        assert truth["stride"][limb].min() > truth["stride"][~limb].max()
        assert truth["lag_s"][0] == -0.20
        gains = [name for name in truth if name.startswith("gain/")]
        assert len(gains) == 4 and truth[gains[0]].shape == (50,)
    assert json.loads((tmp_path / "truth.json").read_text())["simulated"] is True


def test_no_link_truth_carries_nothing():
    truth = simulate.roi_truth(SimulationSettings(world="no_link"))
    assert all(not truth[name].any() for name in ("sustained", "onset", "speed", "stride"))


def test_same_settings_write_the_same_arrays_and_tables(tmp_path):
    simulate.write_dataset(SMALL, tmp_path / "one")
    simulate.write_dataset(SMALL, tmp_path / "two")
    table = "data_64_5mice.csv"
    assert file_digest(tmp_path / "one" / table) == file_digest(tmp_path / "two" / table)
    one, two = (readers.read_study(tmp_path / name) for name in ("one", "two"))
    assert one.content_hash() == two.content_hash()


def test_an_interrupted_simulation_is_not_taken_for_a_whole_one(tmp_path, monkeypatch):
    calls = []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*args)

    original = simulate.simulate_session
    monkeypatch.setattr(simulate, "simulate_session", interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate.write_dataset(SMALL, tmp_path)
    assert not (tmp_path / "data_64_5mice.csv").exists()
    monkeypatch.setattr(simulate, "simulate_session", original)
    simulate.write_dataset(SMALL, tmp_path)
    assert len(readers.read_study(tmp_path).recordings) == 4


def test_a_folder_of_another_simulation_is_refused(tmp_path):
    simulate.write_dataset(SMALL, tmp_path)
    with pytest.raises(ParameterError, match="other settings"):
        simulate.write_dataset(SimulationSettings(animals=2, frames_per_session=600, seed=9), tmp_path)


@pytest.mark.parametrize(("options", "named"), [
    ({"world": "mars"}, "paper_like"), ({"sessions_per_animal": 0}, "sessions_per_animal"),
    ({"frames_per_session": 10}, "frames_per_session"), ({"noise": -1.0}, "noise"), ({"animals": 6}, "animals")])
def test_settings_out_of_range_are_refused_by_name(options, named):
    with pytest.raises(ParameterError, match=named):
        SimulationSettings(**options)
