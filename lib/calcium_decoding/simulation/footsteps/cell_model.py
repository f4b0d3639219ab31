"""Cells of one motor cortex: what each is tuned to, its events, its fluorescence."""

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from calcium_decoding.data.readers.footsteps import KINEMATICS
from calcium_decoding.simulation.footsteps.gait import LIMBS
from calcium_decoding.simulation.signals import rise_and_decay

RISE_S, DECAY_S = 0.2, 1.2  # of GCaMP6s
TUNINGS = ("contralateral", "ipsilateral", "both", "none")
WEIGHTS = tuple(f"{limb}_{part}" for limb in LIMBS for part in ("step", "velocity", "position"))
MAX_LAG_FRAMES = 3
VELOCITY_MM_S, POSITION_MM = 40.0, 6.0  # of a usual step; what a weight of 1 refers to
CELL_DECIMALS = 7  # of what is drawn; why it is rounded: `simulation.signals`


def draw_cells(n_cells, shares, snr, rng):
    """What each cell of an animal is tuned to: DataFrame, a row a cell.

    Columns: ``cell`` (from 1), ``tuning``, :data:`WEIGHTS` (those of a limb sum to 1 where a cell is tuned to it, else
    0), ``lag_frames`` (by which the movement follows), ``base_hz``, ``gain_hz`` (events a second at full drive),
    ``amplitude`` (dF/F of one event) and ``snr``. ``shares``: of contralateral, ipsilateral and both kinds.
    """
    counts = [round(share * n_cells) for share in shares]
    tuning = np.repeat(TUNINGS, [*counts, n_cells - sum(counts)])
    cells = pd.DataFrame({"cell": np.arange(1, n_cells + 1), "tuning": rng.permutation(tuning)})
    for limb, own in zip(LIMBS, ("contralateral", "ipsilateral"), strict=True):
        is_tuned = cells["tuning"].isin([own, "both"]).to_numpy()
        # Most of a cell's drive is the step as such; the rest says how far and how fast.
        weights = rng.dirichlet([3.0, 2.0, 1.0], n_cells) * is_tuned[:, None]
        cells[[f"{limb}_step", f"{limb}_velocity", f"{limb}_position"]] = weights
    cells["lag_frames"] = rng.integers(0, MAX_LAG_FRAMES + 1, n_cells)
    cells["base_hz"] = rng.lognormal(np.log(0.2), 0.5, n_cells)
    cells["gain_hz"] = rng.lognormal(np.log(2.0), 0.5, n_cells) * (cells["tuning"] != "none")
    cells["amplitude"] = rng.lognormal(np.log(0.3), 0.3, n_cells)
    cells = cells.round(CELL_DECIMALS)
    cells["snr"] = float(snr)
    return cells


def drives(behaviour):
    """What the weights of :func:`draw_cells` weigh, shape (T, 6), float64, in the order of :data:`WEIGHTS`."""
    columns = []
    for limb, label in zip(LIMBS, (1, 2), strict=True):
        position, velocity = (behaviour[name] for name in KINEMATICS if name.startswith(limb))
        columns += [behaviour["footstep"] == label, np.clip(velocity / VELOCITY_MM_S, 0, None),
                    np.clip(position / POSITION_MM, 0, None)]
    return np.stack(columns, axis=1).astype(np.float64)


def rates(cells, behaviour, gain=1.0):
    """Events a second of each cell, shape (T, n_cells), float64: ``base_hz + gain * gain_hz * weights . drive(t +
    lag)``, where ``gain`` (n_cells,) is that of the session."""
    drive = drives(behaviour) @ cells[list(WEIGHTS)].to_numpy().T
    # Cells lead movement: at t they fire for what comes ``lag_frames`` later; past the end the last frame goes on.
    later = np.minimum(np.arange(len(drive))[:, None] + cells["lag_frames"].to_numpy(), len(drive) - 1)
    return cells["base_hz"].to_numpy() + gain * cells["gain_hz"].to_numpy() * np.take_along_axis(drive, later, axis=0)


def kernel(rate_hz, rise_s=RISE_S, decay_s=DECAY_S, n_frames=150):
    """Transient of one event, shape (n_frames,): ``(1 - exp(-t / rise)) exp(-t / decay)``, its peak 1."""
    values = rise_and_decay(np.arange(n_frames) / rate_hz, rise_s, decay_s)
    return values / values.max()


def fluorescence(events, rate_hz, rise_s=RISE_S, decay_s=DECAY_S):
    """Clean fluorescence of events, in transients of one event, shape (T, n_cells): a kernel of two exponentials is a
    filter of two poles, which sums it without cutting it."""
    slow, fast = np.exp(-1 / (decay_s * rate_hz)), np.exp(-(1 / decay_s + 1 / rise_s) / rate_hz)
    scale = kernel(rate_hz, rise_s, decay_s)[1] / (slow - fast)
    return scale * (lfilter([1.0], [1.0, -slow], events, axis=0) - lfilter([1.0], [1.0, -fast], events, axis=0))


def deconvolve(dff, rate_hz, decay_s=DECAY_S):
    """First-order deconvolution, (T, n_cells): ``max(0, y(t) - exp(-1 / (decay * rate)) y(t - 1))``, first frame 0.

    It leaves the rise of the indicator and the noise in. The algorithm of Mirzaee et al. 2025 is not known.
    """
    keep = np.exp(-1 / (decay_s * rate_hz))
    found = np.zeros_like(dff)
    np.maximum(dff[1:] - keep * dff[:-1], 0, out=found[1:])
    return found
