"""What both simulators are made of: random numbers, slow noise, the transient of a calcium indicator, MATLAB files.

A simulated set has the same bytes on all processors, which differ in the last bit of exponentials, products of matrices
and Fourier transforms: what leaves a simulator is computed in float64 and rounded to decimals far below the noise, and
labels are made from rounded values. Two processors then differ only where a half step lies between their results. With
and without AVX2 and FMA the signals differed by 2e-16 % dF/F on average before they were rounded to 0.001: a chance of
1e-5 for all 58 million values of ``simulated-study``.
"""

import numpy as np
from scipy.io import savemat
from scipy.signal import lfilter

from calcium_decoding.errors import ParameterError
from calcium_decoding.utils.files import whole_file

RISE_S, DECAY_S = 0.05, 0.35  # GCaMP6f, Chen et al. 2013, DOI 10.1038/nature12354


def generator(seed, animal, session, part):
    """Random numbers of one part of one session: no other part, session or process can change them."""
    return np.random.default_rng(np.random.SeedSequence([seed, animal, session, part]))


def autoregressive(shocks, tau_frames):
    """First-order autoregressive noise of unit variance from standard normal shocks, along the first axis; ``shocks``
    are changed."""
    keep = np.exp(-1.0 / tau_frames)
    shocks[1:] *= np.sqrt(1.0 - keep**2)
    return lfilter([1.0], [1.0, -keep], shocks, axis=0)


def rise_and_decay(t_s, rise_s, decay_s, begun_s=0.0):
    """Transient at times after a spike, ``exp(-t / decay) (1 - exp(-(t + begun) / rise))``."""
    return np.exp(-t_s / decay_s) * (1.0 - np.exp(-(t_s + begun_s) / rise_s))


def indicator_kernel(rate_hz, rise_s=RISE_S, decay_s=DECAY_S):
    """What one spike looks like: rise and decay (s), of unit area, shape (n,), over six decay times; or ParameterError.
    """
    if not min(rate_hz, rise_s, decay_s) > 0:
        raise ParameterError("indicator", f"{rate_hz} Hz, rise {rise_s} s, decay {decay_s} s", "positive numbers",
                             "change it")
    kernel = rise_and_decay(np.arange(max(1, round(6 * decay_s * rate_hz))) / rate_hz, rise_s, decay_s, 1 / rate_hz)
    return kernel / kernel.sum()


def write_mat(path, variables):
    """Write a MATLAB 5 file, whole or not at all, whose bytes follow from ``variables``, dict of arrays, alone."""
    with whole_file(path) as temporary:
        # Compression would make the bytes depend on the zlib at hand.
        savemat(temporary, variables, do_compression=False, format="5")
        with open(temporary, "r+b") as file:
            file.write(b"MATLAB 5.0 MAT-file".ljust(116))  # the header's text; scipy puts the time of writing there
