"""A mouse on a treadmill, and what its neurons, their indicator and blood do: activity of 50 areas in % dF/F.

Sources of the numbers: kinetics of GCaMP6f, Chen et al. 2013, DOI 10.1038/nature12354; haemodynamics that follow
behaviour with a delay of a second or two, Valley et al. 2020, DOI 10.1152/jn.00304.2019; which areas matter, Ajioka et
al. 2024, DOI 10.1371/journal.pcbi.1011074. Sizes of gains and noise are ours, calibrated as chapter 04 shows.
"""

from functools import cache

import numpy as np
import pandas as pd
from scipy.ndimage import uniform_filter1d
from scipy.signal import fftconvolve, lfilter
from scipy.stats import norm

from calcium_decoding.data.published import roi_table, session_run_shares
from calcium_decoding.data.readers import RUN_THRESHOLD_CM_S
from calcium_decoding.simulation.signals import DECAY_S, RISE_S, autoregressive, indicator_kernel
from calcium_decoding.simulation.widefield.worlds import RATE_HZ

KERNELS = ("sustained", "onset", "offset", "speed", "stride")
# Gains of the kernels of each published ROI group, % dF/F before the indicator, lag in seconds (negative: the area
# leads behaviour) and gain of blood absorption, % while running. Sustained activity is set by ROI, see `area_gains`.
AREA_GAINS = pd.DataFrame(
    [
        # group    onset offset speed stride lag_s blood
        ("M2_M1", 0.60, 0.00, 0.15, 1.3, -0.20, 0.15),
        ("FL_HL", 0.35, 0.10, 0.20, 6.3, 0.05, 0.18),
        ("PT_RS", 0.20, 0.20, 0.10, 0.0, 0.10, 0.24),
        ("V1_Vm", 0.20, 0.00, 0.10, 0.0, 0.15, 0.21),
        ("Vl_A1", 0.20, 0.15, 0.05, 0.0, 0.20, 0.18),
        ("other", 0.20, 0.00, 0.10, 1.2, 0.05, 0.15),
    ],
    columns=["group", "onset", "offset", "speed", "stride", "lag_s", "blood"],
).set_index("group")
POSTERIOR_LIMBS, POSTERIOR_STRIDE = (7, 9, 32, 34), 0.5  # ROIs of FL_HL with less of a stride, and its share
SUSTAINED_PER_CORRELATION = 2.0  # % dF/F for a published correlation of 1
TRANSIENT_S = 0.4
FIDGET_SHARE = 0.07  # share of time
AROUSAL_ALIKE = 0.95  # how much the pattern of arousal over areas is that of running: 0 none, 1 the same
AROUSAL_SPREAD = 0.15  # how much it differs between sessions, SD of the logarithm
# How animals and days differ, SD of the logarithm: gain of each area between animals, of all areas between sessions;
# stride of each area between animals (which limbs lead), of all between sessions; arousal between animals.
GAIN_SPREAD, STRIDE_SPREAD, AROUSAL_ANIMAL_SPREAD = (0.2, 0.2), (0.35, 0.3), 0.3
BLOOD_DELAY_S = 1.5
USUAL_CM_S = 22.0  # of a run
SPEED_TIME_CONSTANT_S = 0.15
SPEED_DECIMALS = 3  # of cm/s; labels are made from the rounded speed, see `simulation.signals`
N_DRAWS = 12  # of speed, of which the best is kept


@cache
def area_gains():
    """Gain of every kernel in each ROI: DataFrame of 50 rows with :data:`KERNELS`, ``lag_s`` and ``blood``. That
    sustained activity is proportional to the published correlation with running is an assumption, no finding."""
    rois = roi_table()
    gains = AREA_GAINS.loc[list(rois["group"])].reset_index(drop=True)
    gains.loc[rois["roi"].isin(POSTERIOR_LIMBS).to_numpy(), "stride"] *= POSTERIOR_STRIDE
    r = rois["mean_run_correlation"].to_numpy()
    homologue = rois["homologue_roi"].to_numpy() - 1
    gains.insert(0, "sustained", SUSTAINED_PER_CORRELATION * (r + r[homologue]) / 2)
    return gains


def area_drive(speed_cm_s, rng, lag_s=None, stride_gain=1.0):
    """What running drives in each ROI before the indicator, (T, 50), % dF/F: the five :data:`KERNELS`.

    Strides have 2 to 6 Hz, more when running faster. Each area has its own lag, or all have ``lag_s``. ``stride_gain``:
    that of each ROI, (50,), in this animal and session.
    """
    running = speed_cm_s > RUN_THRESHOLD_CM_S
    edges = np.diff(running.astype(float), prepend=float(running[0]))
    decay = [1.0, -np.exp(-1 / (TRANSIENT_S * RATE_HZ))]
    kernels = {
        "sustained": running.astype(float),
        "onset": lfilter([1.0], decay, edges.clip(min=0)),
        "offset": lfilter([1.0], decay, (-edges).clip(min=0)),
        "speed": np.clip(speed_cm_s / 30.0, 0, 2),
    }
    stride_hz = np.where(running, 2.0 + 4.0 * np.clip(speed_cm_s / 50.0, 0, 1), 0.0)
    strides = limb_rhythm(running * np.exp(0.5 * slow_noise(len(running), 2.0, rng)), stride_hz)
    gains = area_gains()
    drive = stride_gain * gains["stride"].to_numpy() * strides
    for name, kernel in kernels.items():
        drive += np.outer(kernel, gains[name])
    lags_s = gains["lag_s"] if lag_s is None else np.full(len(gains), lag_s)
    for column, lag in enumerate(lags_s):
        drive[:, column] = delay(drive[:, column], round(lag * RATE_HZ))
    return drive * rng.lognormal(0.0, 0.05, size=drive.shape[1])


def limb_rhythm(amplitude, rate_hz):
    """Fluctuation locked to limb movement, (T, 50), of unit gain, the two sides in turn. ``rate_hz`` (T,): cycles/s."""
    phase = 2 * np.pi * np.cumsum(rate_hz) / RATE_HZ
    side = np.where(roi_table()["hemisphere"] == "left", 0.0, np.pi)
    place = 0.6 * (np.arange(len(side)) % 25)
    return amplitude[:, None] * np.sin(phase[:, None] + side + place)


def fidgets(n_frames, rng, stride_gain=1.0):
    """Limb movements of about a second that are no running, (T, 50), % dF/F before the indicator."""
    going = slow_noise(n_frames, 0.5, rng) > norm.isf(FIDGET_SHARE)
    smooth = uniform_filter1d(going.astype(float), round(0.2 * RATE_HZ))
    rate_hz = np.clip(3.5 + slow_noise(n_frames, 2.0, rng), 2.0, 6.0)
    return stride_gain * area_gains()["stride"].to_numpy() * limb_rhythm(smooth, rate_hz)


def spontaneous(n_frames, arousal, rng, stride_gain=1.0):
    """Arousal, regional events of both hemispheres, and fidgets, (T, 50), % dF/F before the indicator."""
    rois = roi_table()
    groups = sorted(set(rois["group"]))
    shared = arousal * slow_noise(n_frames, 3.0, rng)
    regional = {}
    for group in groups:
        starts = (rng.random(n_frames) < 0.25 / RATE_HZ) * rng.gamma(2.0, 1.0, n_frames)
        regional[group] = lfilter([1.0], [1.0, -np.exp(-1 / (0.3 * RATE_HZ))], starts)
    # Arousal acts where running acts: no fixed pattern over areas tells the two apart.
    sustained = area_gains()["sustained"].to_numpy()
    own = (1.0 - AROUSAL_ALIKE) + AROUSAL_ALIKE * sustained / sustained.mean()
    own *= rng.lognormal(0.0, AROUSAL_SPREAD, size=len(rois))
    local = rng.lognormal(0.0, 0.2, size=len(rois))
    events = np.column_stack([0.5 * regional[group] for group in rois["group"]])
    return np.outer(shared, own) + events * local + fidgets(n_frames, rng, stride_gain)


def indicator(activity, rise_s=RISE_S, decay_s=DECAY_S):
    """See activity (T, n_roi) through GCaMP6f: convolve with a causal rise-and-decay kernel of unit area."""
    return fftconvolve(activity, indicator_kernel(RATE_HZ, rise_s, decay_s)[:, None], axes=0)[: len(activity)]


def blood_absorption(speed_cm_s, rng):
    """Light that blood takes away, (T, 50), % of fluorescence: a response to running that peaks after 1.5 s (a gamma
    function), and vasomotion, slow noise shared by all areas."""
    t = np.arange(round(8 * BLOOD_DELAY_S * RATE_HZ)) / RATE_HZ
    response = (t / BLOOD_DELAY_S) ** 3 * np.exp(3 * (1 - t / BLOOD_DELAY_S))
    running = (speed_cm_s > RUN_THRESHOLD_CM_S).astype(float)
    follows = fftconvolve(running, response / response.sum())[: len(running)]
    sways = 0.3 * slow_noise(len(running), 4.0, rng)
    return np.outer(follows + sways, area_gains()["blood"])


def baseline_drift(n_frames, scale, rng, fall=0.0):
    """Slow drift of each ROI, (T, 50), % dF/F: shared bleaching, sines of 1.5 to 10 minutes, half of them shared, and a
    straight ``fall`` from the first to the last frame."""
    t_s = np.arange(n_frames) / RATE_HZ
    n_roi, n_waves = len(roi_table()), 5

    def wander(columns):
        period_s = rng.uniform(90.0, 600.0, size=(n_waves, columns))
        phase = rng.uniform(0, 2 * np.pi, size=(n_waves, columns))
        total = sum(np.sin(2 * np.pi * t_s[:, None] / period_s[i] + phase[i]) for i in range(n_waves))
        return total * np.sqrt(2.0 / n_waves)

    bleaching = 2.0 * np.exp(-t_s / 200.0)[:, None]
    straight = fall * (0.5 - np.arange(n_frames) / n_frames)[:, None]
    return scale * (bleaching + 0.7 * wander(1) + 0.7 * wander(n_roi)) + straight


def delay(x, frames):
    """Shift later by ``frames`` (earlier if negative), holding the end values."""
    source = np.clip(np.arange(len(x)) - frames, 0, len(x) - 1)
    return x[source]


def wanted_run_share(animal, session):
    """Share of running frames wanted in a session, 0 to 1: quantile 1/2, 1/4, 3/4, 1/8 ... (van der Corput) of the
    animal's published sessions."""
    quantile, step, rest = 0.0, 0.5, session + 1
    while rest:
        quantile, step, rest = quantile + step * (rest % 2), step / 2, rest // 2
    return float(np.quantile(session_run_shares(animal), quantile))


def simulate_speed(n_frames, share, rng, share_drift=0.0):
    """Running speed, (T,), cm/s: bouts of running and rest with a wanted share of frames above 0.5 cm/s, which falls by
    ``share_drift`` from the first to the last frame. The best of some draws is kept."""
    draws = [_speed(n_frames, share, rng, share_drift) for _ in range(N_DRAWS)]
    return min(draws, key=lambda speed: abs(np.mean(speed > RUN_THRESHOLD_CM_S) - share))


def _speed(n_frames, share, rng, share_drift):
    running = np.zeros(n_frames, bool)
    t, is_running = 0, rng.random() < share + share_drift / 2
    # Speed is still above the threshold for a while after the animal stops.
    coast_s = SPEED_TIME_CONSTANT_S * np.log(USUAL_CM_S / RUN_THRESHOLD_CM_S)
    while t < n_frames:
        share_now = np.clip(share + share_drift * (0.5 - t / n_frames), 0.04, 0.96)
        run_s = 3.0 + 9.0 * share_now
        mean_s = run_s - coast_s if is_running else run_s * (1.0 - share_now) / share_now + coast_s
        length = max(15, round(RATE_HZ * rng.gamma(2.0, mean_s / 2.0)))
        running[t : t + length] = is_running
        t, is_running = t + length, not is_running
    pace = USUAL_CM_S * np.exp(0.35 * slow_noise(n_frames, 4.0, rng))
    keep = np.exp(-1.0 / (SPEED_TIME_CONSTANT_S * RATE_HZ))
    speed = (pace * lfilter([1.0 - keep], [1.0, -keep], running.astype(float))).round(SPEED_DECIMALS)
    jitter = np.minimum(0.4, np.abs(0.1 * rng.standard_normal(n_frames))).round(SPEED_DECIMALS)
    return np.where(speed > RUN_THRESHOLD_CM_S, speed, jitter)


def slow_noise(n_frames, time_constant_s, rng):
    """Unit-variance first-order autoregressive noise, shape (n_frames,)."""
    shocks = rng.standard_normal(n_frames)
    shocks[0] = rng.standard_normal()
    return autoregressive(shocks, time_constant_s * RATE_HZ)
