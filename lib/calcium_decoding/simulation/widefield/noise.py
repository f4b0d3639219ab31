"""Slow random fluctuation and seeds."""

import numpy as np
from scipy.signal import lfilter

from calcium_decoding.simulation.widefield.worlds import RATE_HZ

ALL_SESSIONS = 999_999  # in place of a session: what an animal has in all of them


def generator(seed, animal, session, part):
    """Random numbers of one part of one session: no other part, session or process can move them."""
    return np.random.default_rng(np.random.SeedSequence([seed, animal, session, part]))


def slow_noise(n_frames, time_constant_s, rng):
    """Unit-variance first-order autoregressive noise, shape (n_frames,)."""
    keep = np.exp(-1.0 / (time_constant_s * RATE_HZ))
    shocks = rng.standard_normal(n_frames) * np.sqrt(1.0 - keep**2)
    shocks[0] = rng.standard_normal()
    return lfilter([1.0], [1.0, -keep], shocks)
