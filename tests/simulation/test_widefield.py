"""The simulated world: each piece against its closed form, what was planted found again, files against the readers."""

import itertools
import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from scipy.io import loadmat
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.optimize import least_squares
from scipy.stats import norm, ttest_1samp
from skimage.registration import phase_cross_correlation
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from calcium_decoding.data import catalog, published, readers
from calcium_decoding.data.movies import Movie
from calcium_decoding.errors import ParameterError, WriteError
from calcium_decoding.simulation import widefield
from calcium_decoding.simulation.widefield import (
    WORLDS,
    SimulationSettings,
    movie,
    physiology,
    render,
    roi_traces,
    simulate_session,
)
from calcium_decoding.simulation.widefield.movie import ELECTRONS_PER_COUNT, READ_NOISE_COUNTS
from calcium_decoding.simulation.widefield.physiology import simulate_speed, slow_noise, wanted_run_share
from calcium_decoding.simulation.widefield.session import ODD_GAIN, ONSET_SHIFT_PX, POSTURE_SHIFT_PX, brain_shift
from calcium_decoding.simulation.widefield.worlds import RATE_HZ
from calcium_decoding.utils.files import file_digest

SMALL = SimulationSettings(animals=2, sessions_per_animal=2, frames_per_session=600)
FILES = SimulationSettings(animals=2, sessions_per_animal=2, frames_per_session=300, movies=True)
ROIS = published.roi_table()
GROUP = ROIS["group"].to_numpy()
LEFT = (ROIS["hemisphere"] == "left").to_numpy()
HOMOLOGUE = ROIS["homologue_roi"].to_numpy() - 1


def rng(*seed):
    return np.random.default_rng(seed)


def still(session, **parts):
    """The session with nothing happening but ``parts``."""
    nothing = {name: np.zeros_like(session.noise) for name in ("driven", "spontaneous", "drift", "noise", "blood")}
    at_rest = dict.fromkeys(("run_shift_px", "sway_px"), np.zeros_like(session.sway_px))
    return replace(session, **(nothing | at_rest | parts))


def correlations(x, y):
    """Correlation of each column of x with y."""
    x, y = x - x.mean(axis=0), y - y.mean()
    return x.T @ y / np.sqrt((x**2).sum(axis=0) * (y**2).sum())


# Behaviour


@pytest.mark.parametrize("animal", range(1, 6))
def test_wanted_run_shares_are_evenly_spread_quantiles_of_the_published_ones(animal):
    by_hand = np.quantile(published.session_run_shares(animal), [1 / 2, 1 / 4, 3 / 4, 1 / 8, 5 / 8, 3 / 8, 7 / 8])
    found = [wanted_run_share(animal, session) for session in range(7)]
    np.testing.assert_allclose(found, by_hand)


@pytest.mark.parametrize("animal", range(1, 6))
def test_run_shares_follow_the_published_ones(animal):
    shares = [simulate_session(SimulationSettings(), animal, session).run.mean() for session in range(4)]
    assert abs(np.mean(shares) - published.run_share(animal)) < 0.10


def test_label_is_speed_above_the_threshold_of_the_study_and_rest_stays_below():
    session = simulate_session(SMALL, 1, 0)
    np.testing.assert_array_equal(session.run, session.speed_cm_s > 0.5)
    assert set(session.run) == {0, 1}
    rest = session.speed_cm_s[session.run == 0]
    assert rest.min() >= 0 and rest.max() < 0.5


def test_share_drift_makes_early_frames_run_more_than_late_ones():
    def early_and_late(drift):
        runs = np.array([simulate_speed(6000, 0.5, rng(1, s), drift) > 0.5 for s in range(20)])
        return runs[:, :2000].mean(), runs[:, 4000:].mean()

    # The wanted share falls in a straight line, so thirds lie 2/3 of the fall apart.
    early, late = early_and_late(0.6)
    assert abs(early - late - 0.4) < 0.1
    early, late = early_and_late(0.0)
    assert abs(early - late) < 0.1


# What neurons, indicator and blood do


def test_slow_noise_has_unit_variance_and_its_time_constant():
    x = slow_noise(400_000, 0.5, rng(1))
    assert abs(x.var() - 1.0) < 0.05
    lag = round(0.5 * RATE_HZ)
    assert abs(np.mean(x[lag:] * x[:-lag]) - np.exp(-1)) < 0.05


@pytest.mark.parametrize("frames", [-7, 0, 4])
def test_delay_moves_a_pulse_by_the_planted_lag(frames):
    pulse = np.zeros(50)
    pulse[20] = 1.0
    assert physiology.delay(pulse, frames).argmax() == 20 + frames


@pytest.mark.parametrize("group", sorted(set(GROUP)))
def test_lag_of_each_area_is_recovered_by_cross_correlation(group):
    planted = physiology.AREA_GAINS.loc[group, "lag_s"]
    assert abs(drive_lag_frames(group) - planted * RATE_HZ) <= 1


@pytest.mark.parametrize(("world", "frames"), [("lead", -15), ("lag", 15)])
def test_lag_of_the_worlds_is_recovered_by_cross_correlation(world, frames):
    for group in ("M2_M1", "FL_HL", "V1_Vm"):
        assert abs(drive_lag_frames(group, WORLDS[world].lag_s) - frames) <= 1
    # And in whole sessions: the two worlds differ by their lags and by nothing else.
    lead, lag = (simulate_session(SimulationSettings(world=w, frames_per_session=1200), 1, 0) for w in ("lead", "lag"))
    np.testing.assert_array_equal(lead.speed_cm_s, lag.speed_cm_s)
    x, y = (np.diff(s.driven[:, 5]) for s in (lead, lag))
    lags = np.arange(-60, 61)
    match = [np.sum(x[60:-60] * np.roll(y, -by)[60:-60]) for by in lags]
    assert abs(lags[np.argmax(match)] - 30) <= 1


def drive_lag_frames(group, lag_s=None):
    # Before the indicator and without noise: where the drive rises, against run onsets.
    speed = simulate_speed(9000, 0.5, rng(5))
    drive = physiology.area_drive(speed, rng(6), lag_s)[:, group == GROUP].mean(axis=1)  # strides of the sides cancel
    onsets = np.diff((speed > 0.5).astype(float), prepend=0.0).clip(min=0)
    rise = np.diff(drive, prepend=drive[0])
    lags = np.arange(-25, 26)
    return lags[np.argmax([np.sum(rise[25:-25] * np.roll(onsets, lag)[25:-25]) for lag in lags])]


def test_drive_of_an_animal_at_rest_is_nothing():
    assert not physiology.area_drive(np.zeros(600), rng(1)).any()


def test_sustained_drive_has_the_published_pattern_over_rois():
    r = ROIS["mean_run_correlation"].to_numpy()
    put_in = physiology.area_gains()["sustained"].to_numpy()
    np.testing.assert_allclose(put_in, physiology.SUSTAINED_PER_CORRELATION * (r + r[HOMOLOGUE]) / 2)


def test_indicator_keeps_the_mean_is_causal_and_has_the_decay_it_says():
    np.testing.assert_allclose(physiology.indicator(np.ones((600, 1)))[-1], 1.0, rtol=1e-6)
    impulse = np.zeros((300, 1))
    impulse[10] = 1.0
    response = physiology.indicator(impulse)[:, 0]
    assert np.abs(response[:10]).max() < 1e-12 and response[10] > 0
    late = response[40:70]  # the rise is over by then: a straight line in the logarithm
    slope = np.polyfit(np.arange(30) / RATE_HZ, np.log(late), 1)[0]
    assert abs(-1 / slope - physiology.DECAY_S) < 0.03 * physiology.DECAY_S


def test_limb_rhythm_has_unit_size_its_frequency_and_sides_in_turn():
    rhythm = physiology.limb_rhythm(np.ones(3000), np.full(3000, 2.7))
    np.testing.assert_allclose(rhythm.max(axis=0), 1.0, atol=0.01)
    np.testing.assert_allclose(rhythm[:, LEFT], -rhythm[:, HOMOLOGUE[LEFT]], atol=1e-9)
    power = np.abs(np.fft.rfft(rhythm, axis=0)) ** 2
    np.testing.assert_allclose(np.fft.rfftfreq(3000, 1 / RATE_HZ)[power.argmax(axis=0)], 2.7)
    assert not physiology.limb_rhythm(np.zeros(60), np.full(60, 3.0)).any()


def test_fidgets_take_their_share_of_time_in_the_areas_of_strides():
    moves = physiology.fidgets(120_000, rng(3))
    stride = physiology.area_gains()["stride"].to_numpy()
    assert not moves[:, stride == 0].any()
    # ROIs lie all over the cycle: the mean square over them is half the squared size.
    size = np.sqrt(2 * np.mean((moves[:, stride > 0] / stride[stride > 0]) ** 2, axis=1))
    assert abs(size.mean() / physiology.FIDGET_SHARE - 1) < 0.25


def test_arousal_is_one_slow_time_course_in_all_areas():
    one, two = (physiology.spontaneous(30_000, arousal, rng(4)) for arousal in (1.0, 2.0))
    shared = two - one
    size = np.linalg.svd(shared, compute_uv=False)
    assert size[1] < 1e-9 * size[0] and (shared.std(axis=0) > 0).all()
    course = shared[:, 0] / shared[:, 0].std()
    lag = round(3.0 * RATE_HZ)
    assert abs(np.mean(course[lag:] * course[:-lag]) - np.exp(-1)) < 0.15


def test_blood_follows_running_late_and_settles_at_its_gain():
    gain = physiology.area_gains()["blood"].to_numpy()

    def response(running):
        return (physiology.blood_absorption(30.0 * running, rng(1))
                - physiology.blood_absorption(0.0 * running, rng(1)))  # what sways by itself drops out

    pulse = response(np.arange(900) == 100)
    assert (pulse.argmax(axis=0) == 100 + round(physiology.BLOOD_DELAY_S * RATE_HZ)).all()
    assert np.abs(pulse[:100]).max() < 1e-12 and pulse.min() > -1e-12
    np.testing.assert_allclose(pulse.sum(axis=0), gain, rtol=1e-6)
    np.testing.assert_allclose(response(np.arange(900) >= 100)[-1], gain, rtol=1e-6)


def test_drift_has_no_part_faster_than_its_shortest_period():
    drift = physiology.baseline_drift(18_000, 1.0, rng(2))
    # Ten minutes in bins of 1/600 Hz; the shortest period is 90 s, a taper keeps the ends from leaking.
    power = np.abs(np.fft.rfft((drift - drift.mean(axis=0)) * np.hanning(18_000)[:, None], axis=0)) ** 2
    assert power[12:].sum() < 1e-3 * power.sum()
    assert drift.shape == (18_000, 50) and drift.std(axis=0).min() > 0.2


def test_straight_fall_is_what_was_asked_for():
    level, falling = (physiology.baseline_drift(1000, 1.0, rng(2), fall) for fall in (0.0, 3.0))
    np.testing.assert_allclose(falling - level, np.tile(3.0 * (0.5 - np.arange(1000) / 1000)[:, None], 50), atol=1e-9)


def test_noise_is_white_has_the_scale_asked_for_and_moves_nothing_else():
    quiet, loud = (simulate_session(SimulationSettings(noise=noise, frames_per_session=3000), 1, 0)
                   for noise in (0.5, 2.0))
    assert abs(loud.noise.std() - 2.0) < 0.02
    assert abs(np.mean(loud.noise[1:] * loud.noise[:-1])) < 0.02 * 2.0**2
    for part in ("speed_cm_s", "driven", "spontaneous", "drift", "blood", "run_shift_px", "sway_px"):
        np.testing.assert_array_equal(getattr(quiet, part), getattr(loud, part))


# Movement


def test_brain_swings_when_a_run_begins_and_lies_still_at_rest():
    begins = np.arange(60, 60_000, 240)
    speed = np.zeros(60_000)
    speed[(begins[:, None] + np.arange(120)).reshape(-1)] = 20.0
    shift = brain_shift(speed, rng(1))[begins[:-1, None] + np.arange(-60, 180)]  # runs, time, axis
    assert not shift[:, :45].any() and not shift[:, 195:].any()  # half a second from any run
    course = np.linalg.norm(shift.mean(axis=0), axis=1)[60:]
    assert abs(course[60:110].mean() / POSTURE_SHIFT_PX - 1) < 0.15
    swing = course - course[60:110].mean()  # about where it lies during the run
    assert swing[0] > 0 > swing[5:15].min()  # forth and back
    assert abs(swing[0]) > np.abs(swing[6:18]).max() > np.abs(swing[24:36]).max()  # and dies away


def test_size_of_the_swing_is_as_stated():
    begins = np.arange(50, 60_000, 60)
    speed = np.zeros(60_100)
    speed[begins + 1] = 20.0
    quiet = brain_shift(speed, rng(2))[begins + 2]  # a frame later: the swing has hardly turned
    assert abs(np.median(np.linalg.norm(quiet, axis=1)) / ONSET_SHIFT_PX - 1) < 0.2


def test_movement_is_recovered_from_the_frames_by_registration():
    session = simulate_session(SimulationSettings(frames_per_session=300), 1, 0)
    planted = np.zeros((300, 2))
    planted[10:16] = [[0.5, 0.0], [0.0, -0.5], [1.3, -0.7], [-2.25, 0.4], [3.0, 2.0], [-0.2, -0.15]]
    frames = render(still(session, run_shift_px=planted), 0, 20).astype(float)
    for frame in (0, *range(10, 16)):
        found = phase_cross_correlation(session.anatomy.resting, frames[frame], upsample_factor=50,
                                        normalization=None)[0]
        np.testing.assert_allclose(-found, planted[frame], atol=0.1)


# Anatomy and placement


@pytest.mark.parametrize(("animal", "odd"), [(2, False), (3, True)])
def test_planted_placement_is_recovered_by_registration(animal, odd):
    first, other = widefield.anatomy(1, 1), widefield.anatomy(1, animal, odd)
    # Every parcel has a grey of its own; the same greys in both animals.
    greys = rng(8).uniform(0.5, 1.5, size=50)
    fixed, moving = (np.tensordot(greys, place.parcels, 1).astype(float) for place in (first, other))
    rows, cols = np.indices(fixed.shape) - (len(fixed) - 1) / 2
    z = cols - 1j * rows  # x to the right, y up

    def aligned(p, image):  # where the points of the first animal lie in the other one
        there = (1 + p[0] + 1j * p[1]) * z + p[2] + 1j * p[3]
        return map_coordinates(image, [(len(fixed) - 1) / 2 - there.imag, (len(fixed) - 1) / 2 + there.real], order=1)

    found = np.zeros(4)
    for blur in (6.0, 2.0, 0.0):  # coarse to fine, from no idea of the placement
        a, b = gaussian_filter(fixed, blur), gaussian_filter(moving, blur)
        keep = a > 0.5
        found = least_squares(lambda p, a=a, b=b, keep=keep: (aligned(p, b) - a)[keep], found, diff_step=1e-3,
                              x_scale=[0.1, 0.1, 5, 5]).x

    def similarity(p):  # template to image, as Placement says it: clockwise
        return p.scale * np.exp(-1j * np.deg2rad(p.rotation_deg)), p.shift_col_px - 1j * p.shift_row_px

    (a1, b1), (a2, b2) = similarity(first.placement), similarity(other.placement)
    turn, shift = 1 + found[0] + 1j * found[1], found[2] + 1j * found[3]
    assert abs(np.rad2deg(np.angle(turn / (a2 / a1)))) < 0.5
    assert abs(abs(turn) / abs(a2 / a1) - 1) < 0.01
    assert abs(shift - (b2 - a2 / a1 * b1)) < 0.5


def test_parcels_tile_the_brain_on_the_sides_they_belong_to():
    place = widefield.anatomy(1, 4)
    np.testing.assert_allclose(place.parcels.sum(axis=0), place.brain, atol=1e-3)
    masks = place.masks()
    assert masks.any(axis=(1, 2)).all() and masks.sum(axis=0).max() == 1
    columns = np.array([np.nonzero(mask)[1].mean() for mask in masks])
    assert columns[LEFT].max() < columns[~LEFT].min()


def test_each_animal_lies_in_a_place_of_its_own():
    one, two = widefield.anatomy(1, 1), widefield.anatomy(1, 2)
    assert one.placement != two.placement and one.placement == widefield.anatomy(1, 1).placement
    assert widefield.anatomy(2, 1).placement != one.placement


# The movie


def test_pixel_noise_is_photon_and_read_noise():
    session = still(simulate_session(SimulationSettings(frames_per_session=600), 2, 0))
    movie, resting = render(session).astype(np.float32), session.anatomy.resting
    expected = resting / ELECTRONS_PER_COUNT + READ_NOISE_COUNTS**2 + 1 / 12  # rounding
    np.testing.assert_allclose(movie.mean(axis=0), resting, atol=6 * np.sqrt(expected.max() / 600))
    variance = movie.var(axis=0, ddof=1)
    edges = np.quantile(resting, np.linspace(0, 1, 9))
    for low, high in itertools.pairwise(edges):  # from dark to bright
        these = (resting >= low) & (resting <= high)
        assert abs(variance[these].mean() / expected[these].mean() - 1) < 0.02
    noise = (movie - movie.mean(axis=0)) / np.sqrt(expected)
    assert abs(np.mean(noise[1:] * noise[:-1])) < 0.01  # frames are independent
    assert abs(np.mean(noise[:, 1:] * noise[:, :-1])) < 0.01  # and pixels


def test_any_stretch_of_a_movie_is_the_same_frames():
    session = simulate_session(SimulationSettings(frames_per_session=600), 1, 1)
    whole = render(session)
    assert whole.shape == (600, 128, 128) and whole.dtype == np.uint16
    np.testing.assert_array_equal(render(session, 200, 530), whole[200:530])  # across chunks
    np.testing.assert_array_equal(render(session, 599), whole[599:])
    for start, stop in ((-1, 10), (10, 10), (0, 601)):
        with pytest.raises(ParameterError, match="frames"):
            render(session, start, stop)


def test_blood_takes_light_away_most_over_vessels():
    session = simulate_session(SimulationSettings(frames_per_session=600), 1, 0)
    late = np.zeros_like(session.blood)
    late[300:] = 4.0  # %
    movie = render(still(session, blood=late)).astype(np.float32)
    place = session.anatomy
    change = movie[300:].mean(axis=0) / movie[:300].mean(axis=0) - 1
    tissue = (place.brain > 0.99) & (place.vessels < 0.01)
    large = (place.brain > 0.99) & (place.vessels > 0.8)
    assert abs(change[tissue].mean() + 0.04) < 0.001
    assert change[large].mean() < 2 * change[tissue].mean()


@pytest.mark.parametrize(("world", "animal"), [("paper_like", 1), ("one_mouse_different", 3)])
def test_roi_traces_of_the_movie_are_the_signal_and_photon_noise(world, animal):
    session = simulate_session(SimulationSettings(world=world, frames_per_session=1200), animal, 1)
    masks, resting, signal = session.anatomy.masks(), session.anatomy.resting, session.signal()
    found = roi_traces(render(session), masks)
    # A trace of a movie is relative to its own mean, the signal to rest: the same light, another zero.
    relative = 100 * ((1 + signal / 100) / (1 + signal / 100).mean(axis=0) - 1)
    pixel = resting / movie.ELECTRONS_PER_COUNT + movie.READ_NOISE_COUNTS**2 + 1 / 12
    noise = 100 * np.array([np.sqrt(pixel[mask].sum()) / resting[mask].sum() for mask in masks])
    assert ((found - relative).std(axis=0) < 1.25 * noise).all()
    slopes = [np.polyfit(relative[:, roi], found[:, roi], 1)[0] for roi in range(50)]
    np.testing.assert_allclose(slopes, 1.0, atol=0.05)
    r = np.array([np.corrcoef(found[:, roi], signal[:, roi])[0, 1] for roi in range(50)])
    assert np.median(r) > 0.98
    clear = noise < 0.1 * signal.std(axis=0)  # where photon noise alone leaves r above 0.995
    assert clear.any() and r[clear].min() > 0.98


def test_maps_say_what_changes_in_each_pixel_of_the_movie():
    session = simulate_session(SimulationSettings(frames_per_session=600), 1, 0)
    inside, truth = session.anatomy.brain > 0.98, session.maps()
    centred = session.blood - session.blood.mean(axis=0)
    for name, parts in (("driven", {"driven": 10 * session.driven}), ("blood", {"blood": 10 * centred})):
        movie = render(still(session, **parts)).astype(np.float32)  # ten times as large: photon noise is small
        mean = movie.mean(axis=0)
        noise = mean / ELECTRONS_PER_COUNT + READ_NOISE_COUNTS**2
        measured = 10 * np.sqrt((movie.var(axis=0) - noise).clip(min=0)) / mean
        assert np.corrcoef(measured[inside], truth[name][inside])[0, 1] > 0.99, name
        assert abs(np.mean(measured[inside]) / np.mean(truth[name][inside]) - 1) < 0.05, name


def test_gradient_says_what_a_small_movement_changes_in_each_pixel():
    session = simulate_session(SimulationSettings(frames_per_session=600), 1, 0)
    place, there = session.anatomy, session.anatomy.brain > 0.98
    for axis in (0, 1):
        shift = np.zeros((600, 2))
        shift[:300, axis], shift[300:, axis] = 0.3, -0.3
        movie = render(still(session, run_shift_px=shift)).astype(np.float32)
        change = (movie[:300].mean(axis=0) - movie[300:].mean(axis=0)) / 0.6 / place.resting
        predicted = place.relative_gradient()[axis]
        assert np.corrcoef(change[there], predicted[there])[0, 1] > 0.95
        # In ROIs, where the trace is made of it, to a few per cent of the largest.
        rois = place.roi_mean(predicted)
        np.testing.assert_allclose(place.roi_mean(change), rois, atol=0.15 * np.abs(rois).max())


# Worlds


def test_components_add_up_to_the_signal_and_shares_are_of_its_variance():
    session = simulate_session(SMALL, 1, 0)
    parts = session.components()
    assert set(parts) == {"driven", "spontaneous", "drift", "noise", "blood", "motion"}
    thousandths = 1000 * session.signal().astype(float)
    np.testing.assert_allclose(thousandths, np.rint(thousandths), atol=0.01)
    np.testing.assert_allclose(1000 * sum(parts.values()), thousandths, rtol=0, atol=0.51)
    shares = session.shares()
    np.testing.assert_allclose(shares["noise"], parts["noise"].var(axis=0) / session.signal().var(axis=0), rtol=1e-3)
    alone = still(session, noise=session.noise).shares()
    np.testing.assert_allclose(alone.pop("noise"), 1.0)
    assert not any(share.any() for share in alone.values())


def test_maps_are_zero_where_nothing_links_brain_and_running():
    of = {world: simulate_session(SimulationSettings(world=world, frames_per_session=600), 1, 0).maps()
          for world in WORLDS}
    for world, maps in of.items():
        linked = {"driven": world not in ("haemodynamics_only", "motion_artefact_only"),
                  "blood": world in ("paper_like", "motion", "one_mouse_different", "haemodynamics_only"),
                  "motion": world in ("paper_like", "motion", "one_mouse_different", "motion_artefact_only")}
        for name, image in maps.items():
            assert bool(image.any()) == (linked[name] and world not in ("no_link", "drift_only")), (world, name)


def test_in_single_area_the_driven_map_lies_in_the_limb_areas_of_both_sides():
    session = simulate_session(SimulationSettings(world="single_area", frames_per_session=600), 2, 0)
    image, masks = session.maps()["driven"] ** 2, session.anatomy.masks()
    for side in (LEFT, ~LEFT):
        limbs = masks[side & (GROUP == "FL_HL")].any(axis=0)
        others = masks[side & (GROUP != "FL_HL")].any(axis=0)
        assert image[limbs].mean() > 30 * image[others].mean()


def test_truth_of_the_areas_says_what_each_world_drives():
    paper = widefield.informative_areas(SimulationSettings(drive=2.0))
    assert paper["stride"][GROUP == "FL_HL"].min() > paper["stride"][GROUP != "FL_HL"].max()
    np.testing.assert_allclose(paper["sustained"], 2 * physiology.area_gains()["sustained"])
    np.testing.assert_allclose(paper["lag_s"], physiology.AREA_GAINS.loc[GROUP, "lag_s"])
    alone = widefield.informative_areas(SimulationSettings(world="single_area"))
    assert (alone["sustained"] > 0).tolist() == (GROUP == "FL_HL").tolist() and not alone["blood"].any()
    assert (widefield.informative_areas(SimulationSettings(world="lead"))["lag_s"] == -0.5).all()
    for world in ("no_link", "drift_only"):
        truth = widefield.informative_areas(SimulationSettings(world=world))
        assert not any(truth[name].any() for name in (*physiology.KERNELS, "blood"))


def decoding(world, later=0):
    """Mean AUC over test sessions, with its interval: logistic regression of frames, trained on the other animals.

    The label is decoded from what is seen ``later`` frames later.
    """
    settings = SimulationSettings(world=world, sessions_per_animal=4, frames_per_session=1500)
    data = [(r.animal, StandardScaler().fit_transform(r.signal)[later::5], r.behaviour["run"][: r.n_frames - later : 5])
            for r in widefield.dataset(settings).recordings]
    aucs = []
    for test in sorted({animal for animal, _, _ in data}):
        x, y = (np.concatenate([s[part] for s in data if s[0] != test]) for part in (1, 2))
        with threadpool_limits(1):
            model = LogisticRegression(C=0.01).fit(x, y)
        aucs += [roc_auc_score(run, model.decision_function(signal)) for who, signal, run in data if who == test]
    return ttest_1samp(aucs, 0.5).confidence_interval(0.99)


def test_no_link_decodes_at_chance():
    low, high = decoding("no_link")
    assert low < 0.5 < high


@pytest.mark.parametrize(("world", "later_s"), [("paper_like", 0), ("motion_artefact_only", 0),
                                                ("haemodynamics_only", physiology.BLOOD_DELAY_S)])
def test_worlds_with_any_link_decode_above_chance(world, later_s):
    # Where only blood or movement follows running the traces tell it all the same, although no neuron does.
    assert simulate_session(SimulationSettings(world=world, frames_per_session=300), 1, 0).driven.any() == (
        world == "paper_like")
    assert decoding(world, round(later_s * RATE_HZ)).low > 0.5


def many_sessions(world, n=40, frames=1200):
    sessions = [simulate_session(SimulationSettings(world=world, frames_per_session=frames), 2, s) for s in range(n)]
    return np.array([s.signal()[:, ::5] for s in sessions]), np.array([s.run for s in sessions], float)


def z_values(signals, runs):
    """Mean correlation of each ROI with running over independent sessions, in standard errors."""
    r = np.array([correlations(x, y) for x, y in zip(signals, runs, strict=True) if y.std() > 0])
    return r.mean(axis=0) / (r.std(axis=0, ddof=1) / np.sqrt(len(r)))


BOUND = norm.ppf(1 - 0.001 / 20)  # ten ROIs, two sides


def test_no_link_means_signal_is_independent_of_behaviour():
    assert np.abs(z_values(*many_sessions("no_link"))).max() < BOUND
    assert np.abs(z_values(*many_sessions("paper_like"))).max() > BOUND


def test_drift_only_links_signal_and_behaviour_by_the_time_in_the_session_alone():
    signals, runs = many_sessions("drift_only")
    assert np.abs(z_values(signals, runs)).min() > BOUND
    # What all sessions share at the same time is what time explains; beyond it nothing is left.
    assert np.abs(z_values(signals - signals.mean(axis=0), runs - runs.mean(axis=0))).max() < BOUND


def test_one_mouse_is_different_and_the_others_are_not():
    usual, odd = (SimulationSettings(world=w, frames_per_session=300) for w in ("paper_like", "one_mouse_different"))
    which = WORLDS["one_mouse_different"].odd_animal
    for animal in range(1, 6):
        one, two = (simulate_session(settings, animal, 0) for settings in (usual, odd))
        same = one.signal().tobytes() == two.signal().tobytes()
        assert same == (animal != which) == (one.anatomy.placement == two.anatomy.placement)
        if animal == which:
            np.testing.assert_allclose(two.gain, ODD_GAIN * one.gain)
            np.testing.assert_allclose(two.driven, ODD_GAIN * one.driven)
            assert ODD_GAIN < 1 and abs(two.anatomy.placement.rotation_deg) > 4


# Seeds and settings


def test_a_seed_repeats_and_another_differs():
    first, again = (simulate_session(SMALL, 2, 1) for _ in range(2))
    np.testing.assert_array_equal(first.signal(), again.signal())
    np.testing.assert_array_equal(render(first, 100, 110), render(again, 100, 110))
    other = simulate_session(replace(SMALL, seed=2), 2, 1)
    for part in ("speed_cm_s", "driven", "spontaneous", "drift", "noise", "blood", "run_shift_px", "sway_px", "gain"):
        assert not np.array_equal(getattr(first, part), getattr(other, part)), part


def test_sessions_and_animals_differ_from_each_other():
    signals = {simulate_session(SMALL, animal, session).noise.tobytes() for animal, session in SMALL.sessions()}
    assert len(signals) == len(SMALL.sessions()) == 4


def test_more_sessions_leave_the_first_ones_as_they_were():
    more = replace(SMALL, animals=3, sessions_per_animal=5)
    np.testing.assert_array_equal(simulate_session(SMALL, 1, 1).signal(), simulate_session(more, 1, 1).signal())


@pytest.mark.parametrize(("options", "named"), [
    ({"world": "mars"}, "paper_like"), ({"seed": -1}, "seed"), ({"sessions_per_animal": -1}, "sessions_per_animal"),
    ({"sessions_per_animal": 2.5}, "sessions_per_animal"), ({"frames_per_session": 10}, "frames_per_session"),
    ({"animals": 6}, "animals"), ({"animals": 0}, "animals"), ({"noise": -1.0}, "noise"), ({"drive": "2"}, "drive"),
    ({"drift": float("nan")}, "drift"), ({"arousal": float("inf")}, "arousal")])
def test_settings_out_of_range_are_refused_by_name(options, named):
    with pytest.raises(ParameterError, match=named):
        SimulationSettings(**options)


def test_as_in_the_study_means_its_64_sessions():
    settings = SimulationSettings(sessions_per_animal=widefield.AS_IN_THE_STUDY)
    animals = [animal for animal, _ in settings.sessions()]
    assert [animals.count(a) for a in range(1, 6)] == [11, 12, 14, 15, 12]


def test_names_have_the_tags_of_the_study_and_are_told_apart_by_date():
    settings = SimulationSettings(frames_per_session=300)
    names = [simulate_session(settings, animal, session).name for animal in range(1, 6) for session in range(2)]
    assert [name.split("_")[2] for name in names[::2]] == ["LR", "non", "R", "L", "non"]
    dates = [name.split("_")[0] for name in names]
    assert len(set(dates)) == 10 and all(len(date) == 8 and date.isdigit() for date in dates)


def test_settings_come_from_the_manifest():
    entry = catalog.load_manifest().entry("simulated-small")
    settings = widefield.settings_of(entry)
    assert (settings.world, settings.seed, settings.frames_per_session) == (entry.world, entry.seed,
                                                                            entry.frames_per_session)
    assert {name: getattr(settings, name) for name in entry.settings} == dict(entry.settings)


# Files


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    widefield.write_dataset(FILES, folder)
    return folder


def digests(folder):
    return {p.relative_to(folder).as_posix(): file_digest(p) for p in folder.rglob("*") if p.is_file()}


def test_files_are_the_study_s_and_the_ordinary_reader_reads_them(written):
    dataset = readers.read_study(written, movies=True, strict=True)
    assert dataset.simulated and not dataset.refused
    in_memory = widefield.dataset(FILES).recordings
    assert [(r.animal, r.session) for r in dataset.recordings] == [(r.animal, r.session) for r in in_memory]
    for found, made, which in zip(dataset.recordings, in_memory, FILES.sessions(), strict=True):
        np.testing.assert_array_equal(found.signal, made.signal)
        for name in ("run", "speed_cm_s"):
            np.testing.assert_array_equal(found.behaviour[name], made.behaviour[name])
        np.testing.assert_array_equal(found.movie[250:], render(simulate_session(FILES, *which), 250))


def test_assembled_files_are_read_back(tmp_path):
    settings = SimulationSettings(animals=2, sessions_per_animal=2, frames_per_session=1300)
    widefield.write_dataset(settings, tmp_path)
    made = widefield.dataset(settings).recordings

    shutil.rmtree(tmp_path / "data_of_signal_64_5mice")
    raw = readers.read_study(tmp_path, strict=True).recordings
    (tmp_path / "signal_5mice_raw.mat").unlink()
    for found, one in zip(raw, made, strict=True):
        assert (found.animal, found.session) == (one.animal, one.session)
        np.testing.assert_array_equal(found.signal, one.signal)
        for name in ("run", "speed_cm_s"):
            np.testing.assert_array_equal(found.behaviour[name], one.behaviour[name])
    for found, one in zip(readers.read_study(tmp_path, strict=True).recordings, made, strict=True):
        x = one.signal.astype(float)
        for i in (0, 1, 499, 500, 650, 801, 1299):  # MATLAB's movmean of 1,000: 500 back, 499 ahead
            np.testing.assert_allclose(found.signal[i], x[i] - x[max(0, i - 500) : i + 500].mean(axis=0), atol=1e-4)


def test_matlab_variables_have_the_study_s_shapes(written):
    name = simulate_session(FILES, 2, 0).name
    assert loadmat(written / f"data_of_signal_64_5mice/{name}.mat")["dat_roi"].shape == (50, 300)
    behaviour = loadmat(written / f"data_of_behavior_64_5mice/{name}_behavior.mat")
    assert behaviour["runrest"].shape == behaviour["speed_rs"].shape == (1, 300)
    assert loadmat(written / "signal_5mice.mat")["signal2"].shape == (1, 2)
    assert loadmat(written / "runrest_5mice.mat")["runrest1"][0, 1].shape == (1, 300)


def test_movies_are_multi_page_tiff_files_that_any_program_reads(written):
    session = simulate_session(FILES, 1, 1)
    path = written / f"data_of_image_64_5mice/{session.name}.tif"
    whole = tifffile.imread(path)
    assert whole.shape == (300, 128, 128) and whole.dtype == np.uint16
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 300
        np.testing.assert_array_equal(np.stack([page.asarray() for page in file.pages]), whole)
    np.testing.assert_array_equal(whole, render(session))
    masks = session.anatomy.masks()
    np.testing.assert_array_equal(roi_traces(Movie(path), masks), roi_traces(whole, masks))


def test_truth_lies_beside_the_data(written):
    about = json.loads((written / "truth.json").read_text(encoding="utf-8"))
    assert about["simulated"] is True and about["settings"]["world"] == "paper_like"
    with np.load(written / "truth.npz", allow_pickle=False) as truth:
        for animal in (1, 2):
            place = widefield.anatomy(FILES.seed, animal)
            assert about["placement"][f"mouse {animal}"]["rotation_deg"] == place.placement.rotation_deg
            np.testing.assert_allclose(truth[f"parcels/mouse {animal}"], place.parcels, atol=1e-3)
            sessions = [simulate_session(FILES, animal, s) for s in range(2)]
            for name in ("driven", "blood", "motion"):
                np.testing.assert_allclose(truth[f"map_{name}/mouse {animal}"],
                                           (sessions[0].maps()[name] + sessions[1].maps()[name]) / 2, rtol=1e-5)
            for session in sessions:
                np.testing.assert_allclose(truth[f"shift_px/{session.name}"], session.shift_px, rtol=1e-6)
                np.testing.assert_array_equal(truth[f"gain/{session.name}"], session.gain)
                np.testing.assert_array_equal(truth[f"share_noise/{session.name}"], session.shares()["noise"])
        np.testing.assert_array_equal(truth["lag_s"], physiology.AREA_GAINS.loc[GROUP, "lag_s"])


def test_files_do_not_depend_on_the_number_of_processes(written, tmp_path):
    widefield.write_dataset(FILES, tmp_path, jobs=2)
    assert digests(tmp_path) == digests(written)


def test_an_interrupted_simulation_leaves_nothing_partial_and_goes_on(written, tmp_path, monkeypatch):
    whole_chunks, calls = movie.chunks, []

    def interrupted(session):
        calls.append(session)
        for chunk in whole_chunks(session):
            yield chunk
            if len(calls) == 2:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(movie, "chunks", interrupted)
        with pytest.raises(KeyboardInterrupt):
            widefield.write_dataset(FILES, tmp_path)
    images = list((tmp_path / "data_of_image_64_5mice").iterdir())
    assert [p.name for p in images] == [f"{simulate_session(FILES, 1, 0).name}.tif"]
    assert not (tmp_path / "data_64_5mice.csv").exists()
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("data_of_*/*")}
    widefield.write_dataset(FILES, tmp_path)
    assert digests(tmp_path) == digests(written)
    assert {p: p.stat().st_mtime_ns for p in before} == before  # what was there is not made again


def test_a_folder_of_another_simulation_is_refused(written):
    before = digests(written)
    with pytest.raises(ParameterError, match="other settings"):
        widefield.write_dataset(replace(FILES, seed=9), written)
    assert digests(written) == before


def test_a_disk_without_room_for_the_movies_is_refused_with_their_size(tmp_path, monkeypatch):
    study = SimulationSettings(sessions_per_animal=widefield.AS_IN_THE_STUDY, frames_per_session=18_000, movies=True)
    assert study.movie_bytes == 64 * 18_000 * 128 * 128 * 2 and replace(study, movies=False).movie_bytes == 0
    settings = replace(study, animals=1, sessions_per_animal=2, frames_per_session=9000)  # 590 MB
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=settings.movie_bytes - 1))
    with pytest.raises(WriteError, match=r"0\.6 GB for the movies"):
        widefield.write_dataset(settings, tmp_path / "big")
    assert not (tmp_path / "big").exists()
