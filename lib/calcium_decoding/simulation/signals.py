"""What both simulators are made of: random numbers, slow noise, and the transient of a calcium indicator."""

import numpy as np
from scipy.signal import lfilter

from calcium_decoding.errors import ParameterError

RISE_S, DECAY_S = 0.05, 0.35  # GCaMP6f, Chen et al. 2013, DOI 10.1038/nature12354


def generator(seed, animal, session, part):
    """Random numbers of one part of one session: no other part, session or process can change them."""
    return np.random.default_rng(np.random.SeedSequence([seed, animal, session, part]))


def autoregressive(shocks, tau_frames):
    """First-order autoregressive noise from standard normal shocks, along the first axis; ``shocks`` are changed.

    Each frame has unit variance, the first included.
    """
    keep = np.exp(-1.0 / tau_frames)
    shocks[1:] *= np.sqrt(1.0 - keep**2)
    return lfilter([1.0], [1.0, -keep], shocks, axis=0)


def rise_and_decay(t_s, rise_s, decay_s, begun_s=0.0):
    """Transient at times after a spike, ``exp(-t / decay) (1 - exp(-(t + begun) / rise))``."""
    return np.exp(-t_s / decay_s) * (1.0 - np.exp(-(t_s + begun_s) / rise_s))


def indicator_kernel(rate_hz, rise_s=RISE_S, decay_s=DECAY_S):
    """What one spike looks like: rise and decay (s), of unit area, shape (n,), over six decay times.

    Raises ParameterError: a value that is not positive.
    """
    if not min(rate_hz, rise_s, decay_s) > 0:
        raise ParameterError("indicator", f"{rate_hz} Hz, rise {rise_s} s, decay {decay_s} s", "positive numbers",
                             "change it")
    kernel = rise_and_decay(np.arange(max(1, round(6 * decay_s * rate_hz))) / rate_hz, rise_s, decay_s, 1 / rate_hz)
    return kernel / kernel.sum()
