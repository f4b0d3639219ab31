"""Where the brain, its edge and its large vessels are in a movie, from its mean image alone."""

import numpy as np
from scipy import ndimage
from skimage.filters import sato, threshold_otsu

from calcium_decoding.data.movies import stretches
from calcium_decoding.errors import DataError

VESSEL_SHARE = 0.10
N_SECTORS = 8
LEAST_PIXELS = 5  # of a sector
LEAST_SIDE_PX = 8


def fine_px(shape):
    """Width of edges and vessels where a camera sees the whole dorsal cortex, pixels: 1/64 of the shorter side, at
    least 2."""
    return max(2, round(min(shape) / 64))


def mean_image(movie, report=None):
    """Mean over all frames of a movie (T, H, W), in one pass: shape (H, W), float64; ``report``: as of ``stretches``.

    Raises DataError: frames smaller than 8 x 8 pixels, values that are not finite, or an image of one value.
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
    """Where the brain is: brighter than Otsu's threshold of the smoothed image, largest component, holes filled; bool.

    Otsu 1979, DOI 10.1109/TSMC.1979.4310076. Of an image that is all brain it gives the brighter part.
    """
    smooth = ndimage.gaussian_filter(np.asarray(mean, np.float64), fine_px(mean.shape) / 2)
    components, _ = ndimage.label(smooth > threshold_otsu(smooth))
    return ndimage.binary_fill_holes(components == 1 + np.argmax(np.bincount(components.ravel())[1:]))


def edge_mask(brain):
    """Ring along the border of the brain, :func:`fine_px` wide to either side; none where the image ends; bool."""
    width = fine_px(brain.shape)
    return ndimage.binary_dilation(brain, iterations=width) & ~_inside(brain, width)


def vessel_mask(mean, brain):
    """Large vessels: the tenth of the pixels inside the brain that looks most like a dark ridge; bool.

    Ridge filter of Sato et al. 1998, DOI 10.1016/S1361-8415(98)80009-1, for ridges of half :func:`fine_px` and all of
    it, on brightness relative to the brain around. Pixels of the edge ring, and as far again from the border, are left
    out. Raises DataError: the brain is too small to have an inside, or its brightness is not positive.
    """
    width = fine_px(brain.shape)
    inside = _inside(brain, 2 * width)
    if inside.sum() * VESSEL_SHARE < LEAST_PIXELS or not mean[brain].min() > 0:
        raise DataError("movie", f"a brain of {brain.sum()} pixels, the least of {mean[brain].min():.3g}",
                        "one with vessels inside, of positive brightness",
                        "give camera counts, not changes relative to a baseline, and look at the mean image: the "
                        "brain may not be its brightest part")
    around = ndimage.gaussian_filter(np.where(brain, mean, 0.0), 3 * width)
    weight = ndimage.gaussian_filter(brain.astype(np.float64), 3 * width)
    relative = np.ones(brain.shape)
    relative[brain] = mean[brain] * weight[brain] / around[brain]
    ridges = sato(relative, sigmas=(width / 2, width), black_ridges=True)
    return inside & (ridges > np.quantile(ridges[inside], 1 - VESSEL_SHARE))


def beside(vessels, brain):
    """Tissue beside vessels: up to twice :func:`fine_px` away, one pixel between left out, (H, W) bool."""
    near = ndimage.binary_dilation(vessels, iterations=2 * fine_px(brain.shape))
    return near & ~ndimage.binary_dilation(vessels) & brain


def sector_weights(mask, brain):
    """Weights that average the pixels of a mask sector by sector: shape (8, H * W), float64; rows add up to 1.

    Sectors of 45 degrees about the middle of the brain, clockwise from the left; one with fewer than five pixels of the
    mask averages all of it. Raises DataError: the mask is empty.
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
