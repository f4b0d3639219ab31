"""The movie of a simulated session: what the camera saw, frame by frame, and ROI traces taken from it."""

import numpy as np
from scipy.fft import irfft2, rfft2
from threadpoolctl import threadpool_limits

from calcium_decoding.errors import ParameterError
from calcium_decoding.simulation.signals import generator
from calcium_decoding.simulation.widefield.worlds import FRAME_PX

CHUNK_FRAMES = 256  # noise is drawn by chunk, so that any stretch can be made by itself
ELECTRONS_PER_COUNT = 2.0
READ_NOISE_COUNTS = 6.0
STILL_PX = 0.002  # a smaller shift changes no count


def render(session, start=0, stop=None):
    """Frames ``start`` to ``stop`` (all if left out) of a session's movie, (n, 128, 128), uint16, camera counts.

    Each pixel is the resting fluorescence times what its areas, its blood and their parcels do; the image is then moved
    (exactly, in the Fourier domain), and photon and read noise are added. Photon noise is drawn from a normal
    distribution of the Poisson's variance: counts are in the hundreds or thousands.
    """
    n = len(session.speed_cm_s)
    stop = n if stop is None else stop
    if not 0 <= start < stop <= n:
        raise ParameterError("frames", f"{start} .. {stop}", f"a range inside 0 .. {n}", "ask for frames it has")
    first = start // CHUNK_FRAMES
    frames = np.concatenate(list(chunks(session, first, -(-stop // CHUNK_FRAMES))))
    return frames[start - first * CHUNK_FRAMES : stop - first * CHUNK_FRAMES]


def chunks(session, first=0, stop=None):
    """Movie in chunks of at most 256 frames, (n, 128, 128), uint16: little memory however long it is."""
    place = session.anatomy
    flat = place.parcels.reshape(len(place.parcels), -1) * place.resting.reshape(-1)
    maps = np.concatenate([flat, flat * -place.blood_weight().reshape(-1)]) / 100.0
    levels = np.concatenate([session.activity(), session.blood], axis=1).astype(np.float32)
    n = len(levels)
    for number in range(first, -(-n // CHUNK_FRAMES) if stop is None else stop):
        frames = slice(number * CHUNK_FRAMES, min(n, (number + 1) * CHUNK_FRAMES))
        with threadpool_limits(1):  # a product in several threads may round differently
            images = levels[frames] @ maps
        images += place.resting.reshape(-1)
        images = _moved(images.reshape(-1, FRAME_PX, FRAME_PX), session.shift_px[frames])
        rng = generator(session.settings.seed, session.animal, session.session, 1000 + number)
        variance = np.maximum(images, 0) / ELECTRONS_PER_COUNT + READ_NOISE_COUNTS**2
        images += np.sqrt(variance, out=variance) * rng.standard_normal(images.shape, dtype=np.float32)
        yield np.clip(np.rint(images, out=images), 0, 65_535).astype(np.uint16)


def roi_traces(movie, masks, chunk_frames=CHUNK_FRAMES):
    """Mean dF/F (%) of each ROI of a movie (T, H, W), relative to its own mean over time; (T, n_roi), float32.

    ``masks``: (n_roi, H, W), bool. ``SimulatedSession.signal`` is relative to rest instead, before bleaching adds to
    it, and has no photon noise.
    """
    weights = (masks / masks.sum(axis=(1, 2), keepdims=True)).reshape(len(masks), -1).astype(np.float32)
    means = np.concatenate([movie[i : i + chunk_frames].reshape(-1, weights.shape[1]).astype(np.float32) @ weights.T
                            for i in range(0, len(movie), chunk_frames)])
    resting = means.mean(axis=0, dtype=float)
    return (100.0 * (means - resting) / resting).astype(np.float32)


def _moved(images, shift_px):
    """Each frame moved by its (down, right) shift; frames that lie still are left as they are."""
    moving = np.flatnonzero(np.abs(shift_px).max(axis=1) > STILL_PX)
    if len(moving):
        down, right = np.fft.fftfreq(FRAME_PX), np.fft.rfftfreq(FRAME_PX)
        by_row = np.exp(-2j * np.pi * shift_px[moving, :1] * down).astype(np.complex64)
        by_col = np.exp(-2j * np.pi * shift_px[moving, 1:] * right).astype(np.complex64)
        spectrum = rfft2(images[moving]) * by_row[:, :, None] * by_col[:, None, :]
        images[moving] = irfft2(spectrum, s=(FRAME_PX, FRAME_PX))
    return images
