"""How far the image of each frame lies from the mean image, to hundredths of a pixel.

Cross-correlation through Fourier transforms; its peak is found on whole pixels, then on a grid of tenths by a matrix
product (Guizar-Sicairos, Thurman, Fienup 2008, DOI 10.1364/OL.33.000156), then between the tenths by a parabola.
Before that, slow brightness is taken off and the borders are faded out: areas that light up then hardly look like
movement, nor does what enters at a border. The correlation is not divided by its magnitude ("phase" correlation):
that lets frequencies in which a single frame holds nothing but photon noise count as much as any other.
"""

import numpy as np
from scipy.fft import irfft2, rfft2
from scipy.ndimage import gaussian_filter
from scipy.signal.windows import tukey

from calcium_decoding.errors import DataError
from calcium_decoding.preprocessing.brain_masks import LEAST_SIDE_PX, fine_px

MOST_PX = 10
STEP_PX = 0.1  # of the fine grid
FADED = 0.25  # share of each side over which the image is faded out, its two ends together


def most_px(shape):
    """Largest shift that is detected, pixels: 10, or a quarter of a small image's shorter side."""
    return min(MOST_PX, min(shape) // 4)


class Registration:
    """Finds the shift of frames against one image.

    ``template`` (ndarray, shape (H, W)): such as the mean over all frames. Raises DataError: the template is no
    image, all of one value, or smaller than 8 x 8 pixels.

    A shift of the whole image in its plane; no rotation, no warping. What does not move with the brain (dirt on the
    camera, a fixed pattern of its noise) pulls the result towards zero.
    """

    def __init__(self, template):
        template = np.asarray(template, np.float32)
        if template.ndim != 2 or min(template.shape) < LEAST_SIDE_PX or not np.ptp(template) > 0:
            values = "of one value" if template.size and np.ptp(template) == 0 else ""
            raise DataError("template", f"shape {template.shape} {values}".strip(),
                            f"an image of {LEAST_SIDE_PX} x {LEAST_SIDE_PX} pixels or more, with something in it",
                            "look at the movie: it may be empty, saturated or swapped in its axes")
        self.shape = template.shape
        self.most_px = most_px(template.shape)
        self._window = np.outer(*(tukey(n, FADED) for n in template.shape)).astype(np.float32)
        self._frequencies = np.fft.fftfreq(template.shape[0]), np.fft.rfftfreq(template.shape[1])
        self._conjugate = np.conj(rfft2(self._prepared(template[None])))

    def shifts(self, frames, first=0):
        """Shift of each frame.

        ``frames``: ndarray, shape (n, H, W). ``first``: number of the first of them, for error messages. Returns
        ndarray, shape (n, 2), float32, pixels: how far the image lies down and right of the template; :func:`most_px`
        where it is farther away. The correction that brings it back has the opposite sign:
        ``skimage.registration.phase_cross_correlation(template, frame)`` gives that one. Raises DataError: a frame all
        of one value, such as a dropped or saturated one, or with values that are not finite.
        """
        frames = np.asarray(frames, np.float32)
        flat = np.flatnonzero(~(np.ptp(frames, axis=(1, 2)) > 0))
        if len(flat):
            raise DataError("movie", f"nothing in frame {first + flat[0]} (counted from 0): all of one value, or not "
                            "finite", "an image in each frame", "cut the movie before it, or repair the frame")
        product = rfft2(self._prepared(frames)) * self._conjugate
        coarse = self._coarse(irfft2(product, s=self.shape))
        # Half of the spectrum stands for all of it: columns that have a mirror image count twice.
        product[:, :, 1 : (self.shape[1] + 1) // 2] *= 2
        return self._fine(product, coarse)

    def _prepared(self, frames):
        width = fine_px(self.shape)
        slow = gaussian_filter(frames, (0, width, width), mode="nearest", truncate=3.0)
        return (frames - slow) * self._window

    def _coarse(self, correlation):
        """Peak on whole pixels, (n, 2)."""
        peak = np.divmod(correlation.reshape(len(correlation), -1).argmax(axis=1), self.shape[1])
        half = np.array(self.shape) // 2
        return (np.stack(peak, axis=1) + half) % self.shape - half

    def _fine(self, product, coarse):
        offsets = np.arange(-8, 9) * STEP_PX
        down, right = (np.exp(2j * np.pi * (coarse[:, i, None] + offsets)[:, :, None] * f).astype(np.complex64)
                       for i, f in enumerate(self._frequencies))
        correlation = (down @ product @ right.transpose(0, 2, 1)).real
        peak = np.divmod(correlation.reshape(len(correlation), -1).argmax(axis=1), len(offsets))
        row, column = (np.clip(i, 1, len(offsets) - 2) for i in peak)
        at = np.arange(len(correlation))
        along_rows = _top(*(correlation[at, row + i, column] for i in (-1, 0, 1)))
        along_columns = _top(*(correlation[at, row, column + i] for i in (-1, 0, 1)))
        found = coarse + np.stack([offsets[row] + STEP_PX * along_rows, offsets[column] + STEP_PX * along_columns], 1)
        return found.clip(-self.most_px, self.most_px).astype(np.float32)


def _top(before, middle, after):
    """Where the parabola through three points a step apart has its top, steps from the middle one, -1 to 1."""
    bend = 2 * middle - before - after
    return np.divide(after - before, 2 * bend, out=np.zeros_like(bend), where=bend > 0).clip(-1, 1)
