"""The movie of a simulated session: what the camera saw, frame by frame, and ROI traces taken from it."""

import numpy as np
from scipy.fft import irfft, rfftfreq
from threadpoolctl import threadpool_limits

from calcium_decoding.errors import ParameterError
from calcium_decoding.simulation.signals import generator
from calcium_decoding.simulation.widefield.worlds import FRAME_PX

CHUNK_FRAMES = 256  # noise is drawn by chunk, so that any stretch can be made by itself
ELECTRONS_PER_COUNT = 2.0
READ_NOISE_COUNTS = 6.0
STILL_PX = 0.002  # a smaller shift changes no count
# Of maps (counts per %), levels (%), counts, and shifts. Products and their sums are exact, in any order: those of maps
# and levels in float32 up to 32,768 counts, which is a change by 350 % where it is brightest, of shifts in float64.
MAP_STEP, LEVEL_STEP, COUNT_STEP, SHIFT_STEP = 2.0**-2, 2.0**-7, 2.0**-9, 2.0**-18


def render(session, start=0, stop=None):
    """Frames ``start`` to ``stop`` (all if left out) of a session's movie, (n, 128, 128), uint16, camera counts, with
    photon noise (normal, of the Poisson's variance) and read noise."""
    n = len(session.speed_cm_s)
    stop = n if stop is None else stop
    if not 0 <= start < stop <= n:
        raise ParameterError("frames", f"{start} .. {stop}", f"a range inside 0 .. {n}", "ask for frames it has")
    first = start // CHUNK_FRAMES
    frames = np.concatenate(list(chunks(session, first, -(-stop // CHUNK_FRAMES))))
    return frames[start - first * CHUNK_FRAMES : stop - first * CHUNK_FRAMES]


def chunks(session, first=0, stop=None):
    """Movie in chunks of at most 256 frames, (n, 128, 128), uint16.

    Counts are the same on all processors, because maps, levels and shifts are rounded to steps so large that no product
    or sum of them is ever rounded. Each step is far below the noise.
    """
    place = session.anatomy
    resting = _in_steps(place.resting.reshape(-1).astype(float), COUNT_STEP).astype(np.float32)
    maps = place.parcels.reshape(len(place.parcels), -1) * (resting / 100.0)
    maps = _in_steps(np.concatenate([maps, maps * -place.blood_weight().reshape(-1)]), MAP_STEP)
    levels = _in_steps(np.concatenate([session.activity(), session.blood], axis=1), LEVEL_STEP).astype(np.float32)
    n = len(levels)
    for number in range(first, -(-n // CHUNK_FRAMES) if stop is None else stop):
        frames = slice(number * CHUNK_FRAMES, min(n, (number + 1) * CHUNK_FRAMES))
        with threadpool_limits(1):  # products are so small that threads would mostly wait for each other
            images = levels[frames] @ maps
            images += resting
            images = _moved(images.reshape(-1, FRAME_PX, FRAME_PX), session.shift_px[frames])
        rng = generator(session.settings.seed, session.animal, session.session, 1000 + number)
        variance = np.maximum(images, 0) / ELECTRONS_PER_COUNT + READ_NOISE_COUNTS**2
        images += np.sqrt(variance, out=variance) * rng.standard_normal(images.shape, dtype=np.float32)
        yield np.clip(np.rint(images, out=images), 0, 65_535).astype(np.uint16)


def roi_traces(movie, masks, chunk_frames=CHUNK_FRAMES):
    """Mean dF/F (%) of each ROI (``masks`` (n_roi, H, W), bool) of a movie (T, H, W), relative to its own mean over
    time; (T, n_roi), float32."""
    weights = (masks / masks.sum(axis=(1, 2), keepdims=True)).reshape(len(masks), -1).astype(np.float32)
    means = np.concatenate([movie[i : i + chunk_frames].reshape(-1, weights.shape[1]).astype(np.float32) @ weights.T
                            for i in range(0, len(movie), chunk_frames)])
    resting = means.mean(axis=0, dtype=float)
    return (100.0 * (means - resting) / resting).astype(np.float32)


def _moved(images, shift_px):
    """Each frame moved by its (down, right) shift; frames that lie still are left as they are."""
    moving = np.flatnonzero(np.abs(shift_px).max(axis=1) > STILL_PX)
    if len(moving):
        down, right = (_shifts(shift_px[moving, axis]) for axis in (0, 1))
        images[moving] = _in_steps(down @ images[moving], COUNT_STEP) @ right.transpose(0, 2, 1)
    return images


def _shifts(by_px):
    """Matrices (n, 128, 128), each of which shifts a column of pixels, by interpolation in the Fourier domain."""
    pulses = _in_steps(irfft(np.exp(-2j * np.pi * by_px[:, None] * rfftfreq(FRAME_PX)), FRAME_PX), SHIFT_STEP)
    pixels = np.arange(FRAME_PX)
    return pulses[:, (pixels[:, None] - pixels) % FRAME_PX]


def _in_steps(values, step):
    """Round values to multiples of a power of two, in place (a new array would cost more than the arithmetic)."""
    values /= step
    np.rint(values, out=values)
    values *= step
    return values
