"""How far the image of each frame lies from the mean image, to hundredths of a pixel; and frames moved back by that.

Cross-correlation through Fourier transforms; its peak is found on whole pixels, then on a grid of tenths by a matrix
product (Guizar-Sicairos, Thurman, Fienup 2008, DOI 10.1364/OL.33.000156), then between the tenths by a parabola. Before
that, slow brightness is taken off and the borders are faded out, so that areas that light up hardly look like movement.
It is no "phase" correlation, in which frequencies of nothing but photon noise count as much as any other.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.fft import irfft, irfft2, rfft2, rfftfreq
from scipy.ndimage import gaussian_filter
from scipy.signal.windows import tukey
from threadpoolctl import threadpool_limits

from calcium_decoding.data.movies import kept, stretches
from calcium_decoding.errors import DataError
from calcium_decoding.preprocessing.brain_masks import fine_px, mean_image
from calcium_decoding.utils.code import code_digest
from calcium_decoding.utils.files import write_npy
from calcium_decoding.utils.progress import progress

MOST_PX = 10
STEP_PX = 0.1  # of the fine grid
FADED = 0.25  # share of each side over which the image is faded out, its two ends together
ROUNDS = 3  # of motion correction, each against the mean image of the round before


def motion_corrected(dataset, folder):
    """The same data set with each movie moved back, frame by frame, onto its own mean image (of all its frames).

    Rigid motion correction by :class:`Registration` and :func:`moved`, in three rounds: one finds a shift a little too
    small, because a frame's own noise is in the mean image, and what that leaves would tell how far the frame had been
    moved. Traces and behaviour stay as they are; notes say that the movie was corrected, and by how much.

    ``folder``: corrected movies are written here, whole or not at all, named by what is in the movie and by this code.
    Returns a Dataset called ``NAME, motion-corrected``; movies have the type of the former ones, integers rounded.
    Raises DataError: a recording without a movie, before anything is read; a frame without an image; an image of one
    value. WriteError: the folder cannot be written, or its disk has no room.
    """
    dataset.require_movies()
    recordings = []
    for recording in progress(dataset.recordings, desc="motion correction", unit="movie", leave=False):
        try:
            movie, note = _corrected(recording.movie, Path(folder))
        except DataError as error:
            raise DataError(f"{recording.id}, {error.where}", error.found, error.expected, error.remedy) from error
        recordings.append(replace(recording, movie=movie, notes=(*recording.notes, note)))
    return replace(dataset, name=f"{dataset.name}, motion-corrected", recordings=tuple(recordings),
                   compare_with_study=False)


@threadpool_limits.wrap(limits=1)  # products are so small that threads would mostly wait for each other
def moved(frames, shifts):
    """Frames (n, H, W) moved down and right by ``shifts`` (n, 2), pixels: float32.

    Interpolation in the Fourier domain, as of :func:`scipy.ndimage.fourier_shift`: unlike splines it blurs nothing, so
    that the noise of a frame does not tell how far it was moved. Outside its borders an image goes on as its mirror
    image, so that opposite borders, which differ, do not meet.
    """
    frames, shifts = np.asarray(frames, np.float32), np.asarray(shifts, np.float64)
    down, right = (_matrices(shifts[:, axis], frames.shape[1 + axis]) for axis in (0, 1))
    return down @ frames @ right.transpose(0, 2, 1)


def most_px(shape):
    """Largest shift that is detected, pixels: 10, or a quarter of a small image's shorter side."""
    return min(MOST_PX, min(shape) // 4)


class Registration:
    """Finds the shift of frames in their plane against one image, ``template`` (H, W), such as their ``mean_image``.

    What does not move with the brain (dirt on the camera, a fixed pattern of its noise) pulls the result towards zero.
    """

    def __init__(self, template):
        template = np.asarray(template, np.float32)
        self.shape = template.shape
        self.most_px = most_px(template.shape)
        self._window = np.outer(*(tukey(n, FADED) for n in template.shape)).astype(np.float32)
        self._frequencies = np.fft.fftfreq(template.shape[0]), np.fft.rfftfreq(template.shape[1])
        self._conjugate = np.conj(rfft2(self._prepared(template[None])))

    def shifts(self, frames, first=0):
        """How far each of some frames (n, H, W) lies down and right of the template: shape (n, 2), float32, pixels;
        :func:`most_px` where it is farther away.

        ``first``: number of the first frame, for error messages. Raises DataError: a frame all of one value, such as a
        dropped or saturated one, or with values that are not finite.
        """
        frames = np.asarray(frames, np.float32)
        flat = np.flatnonzero(~(np.ptp(frames, axis=(1, 2)) > 0))
        if len(flat):
            raise DataError("movie", f"nothing in frame {first + flat[0]} (counted from 0): all of one value, or not "
                            "finite", "an image in each frame", "cut the movie before it, or repair the frame")
        product = rfft2(self._prepared(frames)) * self._conjugate
        correlation = irfft2(product, s=self.shape)
        peak = np.divmod(correlation.reshape(len(correlation), -1).argmax(axis=1), self.shape[1])
        half = np.array(self.shape) // 2
        coarse = (np.stack(peak, axis=1) + half) % self.shape - half  # on whole pixels
        # Half of the spectrum stands for all of it: columns that have a mirror image count twice.
        product[:, :, 1 : (self.shape[1] + 1) // 2] *= 2
        return self._fine(product, coarse)

    def _prepared(self, frames):
        width = fine_px(self.shape)
        slow = gaussian_filter(frames, (0, width, width), mode="nearest", truncate=3.0)
        return (frames - slow) * self._window

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


def _matrices(by_px, n):
    """Matrices (k, n, n), each of which shifts a column of n pixels that its mirror image goes on, period 2 n."""
    pulses = irfft(np.exp(-2j * np.pi * by_px[:, None] * rfftfreq(2 * n)), 2 * n).astype(np.float32)
    pixels = np.arange(n)
    return pulses[:, (pixels[:, None] - pixels) % (2 * n)] + pulses[:, (pixels[:, None] + pixels + 1) % (2 * n)]


class _MovedBack:
    """A movie with each of its frames moved back by its shift when a stretch is asked for, float32."""

    def __init__(self, movie, shifts):
        self.movie, self.shifts, self.shape = movie, shifts, movie.shape

    def __len__(self):
        return len(self.movie)

    def __getitem__(self, which):
        frames, shifts = self.movie[which], self.shifts[which]
        return moved(frames, -shifts) if shifts.any() else np.asarray(frames, np.float32)


def _corrected(movie, folder):
    movie_id, code = movie.content_hash()[:16], code_digest("preprocessing/motion.py", "preprocessing/brain_masks.py")
    shifts = _kept_shifts(movie, folder / f"shifts-{movie_id}-{code}.npy")
    copy = kept(movie, folder, f"corrected-{movie_id}", code, lambda: (
        _as_type(frames, movie.dtype) for _, frames in stretches(_MovedBack(movie, shifts))),
        f"correct {movie.path.name} once")
    distance, most = np.hypot(*shifts.T), most_px(movie.shape[1:])
    note = (f"movie corrected for motion, traces not: moved by {np.sqrt(np.mean(distance**2)):.2f} pixels (root mean "
            f"square), {distance.max():.2f} at most")
    if far := int((np.abs(shifts).max(axis=1) >= most).sum()):
        note += f"; {far} frames lie {most} pixels or more away, or show something else"
    return copy, note


def _kept_shifts(movie, path):
    """Shifts of all frames against their mean image, (T, 2), float32: as they were written, or found and written."""
    try:
        shifts = np.load(path, allow_pickle=False)
        if shifts.shape == (len(movie), 2):
            return shifts
    except (OSError, ValueError, EOFError):
        pass  # not there or damaged: found again
    shifts, steps = np.zeros((len(movie), 2), np.float32), 2 * ROUNDS * len(movie)
    with progress(None, total=steps, desc=f"register {movie.path.name}", unit="frame", leave=False) as bar:
        for _ in range(ROUNDS):
            seen = _MovedBack(movie, shifts)
            registered = Registration(mean_image(seen, bar.update))
            left = [registered.shifts(frames, first) for first, frames in stretches(seen, bar.update)]
            shifts = shifts + np.concatenate(left)
    write_npy(path, [shifts], shifts.shape, shifts.dtype)
    return shifts


def _as_type(frames, dtype):
    if dtype.kind == "f":
        return frames.astype(dtype)
    limits = np.iinfo(dtype)
    return np.rint(frames.astype(np.float64)).clip(limits.min, limits.max).astype(dtype)
