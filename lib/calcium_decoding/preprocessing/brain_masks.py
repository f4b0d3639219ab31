"""Where the brain, its edge and its large vessels are in a movie, from its mean image alone."""

import numpy as np
from scipy import ndimage
from skimage.filters import sato, threshold_otsu

from calcium_decoding.errors import DataError

VESSEL_SHARE = 0.10
N_SECTORS = 8
LEAST_PIXELS = 5  # of a sector
LEAST_SIDE_PX = 8
STRETCH_PIXELS = 2**22  # read at a time: 256 frames of 128 x 128


def fine_px(shape):
    """What counts as fine in an image, pixels: 1/64 of the shorter side, at least 2.

    Edges and vessels are about that wide where a camera sees the whole dorsal cortex.
    """
    return max(2, round(min(shape) / 64))


def stretches(movie, report=None):
    """Frames of a movie, one stretch after the other, at most 256 and at most four million pixels at a time.

    ``movie``: Movie or array, shape (T, H, W). ``report``: called with the number of frames of a stretch when it is
    done with. Yields ``first``: number of the first frame; ``frames`` (ndarray, shape (n, H, W)).
    """
    n = int(np.clip(STRETCH_PIXELS // np.prod(movie.shape[1:]), 1, 256))
    for first in range(0, len(movie), n):
        frames = np.asarray(movie[first : first + n])
        yield first, frames
        if report is not None:
            report(len(frames))


def mean_image(movie, report=None):
    """Mean over all frames, in one pass.

    ``movie``: Movie or array, shape (T, H, W). ``report``: as for :func:`stretches`. Returns ndarray, shape (H, W),
    float64, camera counts. Raises DataError: frames smaller than 8 x 8 pixels, values that are not finite, or an image
    of one value.
    """
    if len(movie.shape) != 3 or not len(movie) or min(movie.shape[1:]) < LEAST_SIDE_PX:
        raise DataError("movie", f"shape {tuple(movie.shape)}",
                        f"(frames, rows, columns) with {LEAST_SIDE_PX} x {LEAST_SIDE_PX} pixels or more",
                        "put frames on the first axis")
    mean = sum(frames.sum(axis=0, dtype=np.float64) for _, frames in stretches(movie, report)) / len(movie)
    if not np.isfinite(mean).all() or not np.ptp(mean) > 0:
        raise DataError("movie", "a mean image of one value, or values that are not finite", "a movie of a brain",
                        "look at its frames: they may be empty or saturated")
    return mean


def brain_mask(mean):
    """Where the brain is: brighter than Otsu's threshold of the smoothed image, largest component, holes filled.

    ``mean``: ndarray, shape (H, W). Returns ndarray, shape (H, W), bool.

    Otsu 1979, DOI 10.1109/TSMC.1979.4310076. Of an image that is all brain it gives the brighter part.
    """
    smooth = ndimage.gaussian_filter(np.asarray(mean, np.float64), fine_px(mean.shape) / 2)
    components, _ = ndimage.label(smooth > threshold_otsu(smooth))
    return ndimage.binary_fill_holes(components == 1 + np.argmax(np.bincount(components.ravel())[1:]))


def edge_mask(brain, width_px=None):
    """Ring along the border of the brain, so many pixels wide to either side; none where the image ends.

    ``brain``: ndarray, shape (H, W), bool. ``width_px``: :func:`fine_px` if left out. Returns ndarray, shape (H, W),
    bool.
    """
    width = fine_px(brain.shape) if width_px is None else width_px
    return ndimage.binary_dilation(brain, iterations=width) & ~_inside(brain, width)


def vessel_mask(mean, brain, share=VESSEL_SHARE):
    """Large vessels: the pixels inside the brain that look most like a dark ridge.

    Brightness counts relative to the brain around, so that the fall-off of the light does not look like a ridge.
    Pixels of the edge ring, and as far again from the border, are left out.

    ``mean``: ndarray, shape (H, W). ``brain``: ndarray, shape (H, W), bool. ``share``: share of the pixels so far
    inside that is taken, whatever there is to see. Returns ndarray, shape (H, W), bool. Raises DataError: the brain is
    too small to have an inside, or its brightness is not positive.

    Ridge filter of Sato et al. 1998, DOI 10.1016/S1361-8415(98)80009-1, as in scikit-image, for ridges of half
    :func:`fine_px` and all of it (1 and 2 pixels of 128).
    """
    width = fine_px(brain.shape)
    inside = _inside(brain, 2 * width)
    if inside.sum() * share < LEAST_PIXELS or not mean[brain].min() > 0:
        raise DataError("movie", f"a brain of {brain.sum()} pixels, the least of {mean[brain].min():.3g}",
                        "one with vessels inside, of positive brightness",
                        "give camera counts, not changes relative to a baseline, and look at the mean image: the "
                        "brain may not be its brightest part")
    around = ndimage.gaussian_filter(np.where(brain, mean, 0.0), 3 * width)
    weight = ndimage.gaussian_filter(brain.astype(np.float64), 3 * width)
    relative = np.ones(brain.shape)
    relative[brain] = mean[brain] * weight[brain] / around[brain]
    ridges = sato(relative, sigmas=(width / 2, width), black_ridges=True)
    return inside & (ridges > np.quantile(ridges[inside], 1 - share))


def beside(vessels, brain):
    """Tissue beside vessels: up to twice :func:`fine_px` away, one pixel between left out, (H, W) bool."""
    near = ndimage.binary_dilation(vessels, iterations=2 * fine_px(brain.shape))
    return near & ~ndimage.binary_dilation(vessels) & brain


def sector_weights(mask, brain):
    """Weights that average the pixels of a mask sector by sector.

    ``mask``, ``brain``: ndarray, shape (H, W), bool. Returns ndarray, shape (8, H * W), float64: rows add up to 1.
    Sectors of 45 degrees about the middle of the brain, clockwise from the left. A sector with fewer than five pixels
    of the mask averages all of the mask. Raises DataError: the mask is empty.
    """
    if not mask.any():
        raise DataError("movie", "a brain without border, or without tissue beside its vessels", "a brain with both",
                        "look at the mean image: the brain may fill it, or not be its brightest part")
    down, right = (i - m for i, m in zip(np.indices(mask.shape), ndimage.center_of_mass(brain), strict=True))
    sector = np.floor((np.arctan2(down, right) + np.pi) / (2 * np.pi) * N_SECTORS).astype(int) % N_SECTORS
    weights = (mask & (sector == np.arange(N_SECTORS)[:, None, None])).reshape(N_SECTORS, -1).astype(np.float64)
    weights[weights.sum(axis=1) < LEAST_PIXELS] = mask.reshape(-1)
    return weights / weights.sum(axis=1, keepdims=True)


def _inside(brain, distance_px):
    """Brain so far from its border; the end of the image is no border."""
    return ndimage.binary_erosion(brain, iterations=distance_px, border_value=1)
