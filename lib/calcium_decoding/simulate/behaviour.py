"""A simulated mouse on a treadmill: bouts of running and rest, and speed."""

import numpy as np
from scipy.signal import lfilter

from calcium_decoding.published import session_run_shares
from calcium_decoding.readers import RUN_THRESHOLD_CM_S
from calcium_decoding.simulate.noise import slow_noise
from calcium_decoding.simulate.worlds import RATE_HZ

USUAL_CM_S = 22.0
SPEED_TIME_CONSTANT_S = 0.15
N_DRAWS = 12


def wanted_run_share(animal, session):
    """Share of running frames wanted in a session, 0 to 1.

    A quantile of the animal's published sessions. The quantiles 1/2, 1/4, 3/4, 1/8 ... (van der Corput) spread
    evenly however many sessions there are, so few sessions have about the mean of the animal as well.
    """
    quantile, step, rest = 0.0, 0.5, session + 1
    while rest:
        quantile, step, rest = quantile + step * (rest % 2), step / 2, rest // 2
    return float(np.quantile(session_run_shares(animal), quantile))


def simulate_speed(n_frames, share, rng, share_drift=0.0):
    """Running speed in cm/s: bouts of running and rest with a wanted share of running frames.

    The best of some draws is kept, because a short session has few bouts and would often miss the share.

    Parameters
    ----------
    n_frames : int
        At 30 Hz.
    share : float
        Wanted share of frames above 0.5 cm/s, 0 to 1.
    rng : numpy.random.Generator
    share_drift : float
        Fall of the share from the first to the last frame; the mean stays where it can.

    Returns
    -------
    ndarray, shape (n_frames,), float64, cm/s
        Rest is jitter below 0.4 cm/s, so the threshold of the study cuts cleanly.
    """
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
    speed = pace * lfilter([1.0 - keep], [1.0, -keep], running.astype(float))
    jitter = np.minimum(0.4, np.abs(0.1 * rng.standard_normal(n_frames)))
    return np.where(speed > RUN_THRESHOLD_CM_S, speed, jitter)
