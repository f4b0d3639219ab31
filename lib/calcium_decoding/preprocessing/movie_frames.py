"""Images for image decoders: frames of movies, normalised, read when they are asked for, never a whole movie.

Ajioka et al. 2024 (DOI 10.1371/journal.pcbi.1011074 and its code) subtract the mean image of a session and divide by
one number, the standard deviation of all its pixels; three neighbouring frames are the three colours of an image,
whose label is that of the middle frame.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from calcium_decoding.data.movies import PixelSums
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.preprocessing.transforms import Transform
from calcium_decoding.preprocessing.windows import WindowSpec

CHUNK_FRAMES = 256
NEIGHBOURS = 1  # frames before and after the middle one of an image


def image_window(images_each_side=0):
    """Frames around a centre frame that a decoder of images sees.

    ``images_each_side``: k of a window of 2k + 1 images; 0: one image, three frames. Returns WindowSpec.
    """
    return WindowSpec(images_each_side + NEIGHBOURS, images_each_side + NEIGHBOURS)


@dataclass(eq=False)
class FrameScaling(Transform):
    """Minus the mean image, divided by one standard deviation. :class:`MovieFrames` does it; this tells the leak audit.

    ``frames`` ({"session", "training"}): mean and deviation of the whole recording, as published: every image then
    depends on every frame of its recording. Or of the training frames of that recording only, for a split within
    recordings.
    """

    frames: str = "session"

    def __post_init__(self):
        if self.frames not in ("session", "training"):
            raise ParameterError("frame_scaling", repr(self.frames), "session or training", "name one of these")

    @property
    def fitted_on(self):
        """What mean and deviation are taken from."""
        return "each recording" if self.frames == "session" else "training frames"

    @property
    def look_back_frames(self):
        """How many earlier frames, and as many later ones, an image depends on."""
        return math.inf if self.frames == "session" else 0

    look_ahead_frames = look_back_frames


@dataclass(frozen=True, eq=False)
class MovieScaling:
    """What the frames of a movie are normalised by.

    ``mean`` (ndarray, shape (rows, columns), float32): mean image. ``sd``: standard deviation of all pixel values, over
    time and space, before the mean image is subtracted.
    """

    mean: np.ndarray
    sd: float

    @classmethod
    def of(cls, movie, ranges=None, name="movie"):
        """Mean image and standard deviation, of the one pass through a movie that its hash takes too, or of a part.

        ``movie``: Movie. ``ranges`` (list of (int, int)): half-open ranges of frames; all if left out. ``name``: for
        error messages. Raises DataError: NaN or infinite pixels, or a movie without any variation.
        """
        sums = PixelSums() if ranges else movie.seen.sums
        for start, stop in ranges or ():
            for first in range(start, stop, CHUNK_FRAMES):
                sums.add(movie[first : min(first + CHUNK_FRAMES, stop)])
        mean = sums.total / sums.n
        overall = mean.mean()
        variance = sums.squares / (sums.n * mean.size) - overall**2
        if not math.isfinite(variance):
            raise DataError(f"recording {name}", "NaN or infinite pixels", "finite pixel values",
                            "repair the movie, or leave the recording out")
        if variance <= 0:
            raise DataError(f"recording {name}", "one value in all pixels of all frames", "a movie of something",
                            "leave the recording out, or write its movie again")
        return cls((mean + sums.offset).astype(np.float32), math.sqrt(variance))


@dataclass(frozen=True, eq=False)
class MovieFrames:
    """Normalised frames of several movies as if they lay in one array: ``frames[rows]``.

    Only the frames asked for are read. :class:`calcium_decoding.preprocessing.windows.WindowSet` lays windows over it.

    ``movies`` (dict of str to Movie): by recording, all of one size. ``scalings``: dict of str to MovieScaling.
    ``bin_px``: average squares of so many pixels a side: images are smaller, and so is what a decoder costs. Raises
    DataError: movies of different sizes. Raises ParameterError: ``bin_px`` does not divide rows and columns.
    """

    movies: dict
    scalings: dict
    bin_px: int = 1

    def __post_init__(self):
        sizes = {name: movie.shape[1:] for name, movie in self.movies.items()}
        if len(set(sizes.values())) > 1:
            raise DataError("movies", f"frames of different sizes: {sizes}", "one size", "crop or bin the movies")
        rows, columns = next(iter(sizes.values()))
        if self.bin_px < 1 or rows % self.bin_px or columns % self.bin_px:
            raise ParameterError("bin_px", self.bin_px, f"a divisor of {rows} and {columns}", "choose such a number")

    @cached_property
    def first_row(self):
        """Row of the first frame of each recording, dict of str to int, in order."""
        edges = np.cumsum([0, *(len(movie) for movie in self.movies.values())])
        return dict(zip(self.movies, edges[:-1].tolist(), strict=True))

    @property
    def shape(self):
        """Frames of all movies, rows and columns of an image."""
        _, rows, columns = next(iter(self.movies.values())).shape
        return sum(len(movie) for movie in self.movies.values()), rows // self.bin_px, columns // self.bin_px

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        """Frames by row.

        ``rows``: slice or ndarray of int, any shape. Returns ndarray, float32: the shape of ``rows`` and the two axes
        of an image.
        """
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        wanted, where = np.unique(np.asarray(rows), return_inverse=True)
        found = np.empty((len(wanted), *self.shape[1:]), np.float32)
        for name, first in self.first_row.items():
            here = slice(*np.searchsorted(wanted, (first, first + len(self.movies[name]))))
            if here.stop > here.start:
                self._read(name, wanted[here] - first, found[here])
        return found[where.reshape(np.shape(rows))]

    def _read(self, name, frames, out):
        """Frames in rising order, read by uninterrupted runs."""
        movie, scaling = self.movies[name], self.scalings[name]
        breaks = [0, *(np.flatnonzero(np.diff(frames) > 1) + 1), len(frames)]
        for a, b in pairwise(breaks):
            for i in range(a, b, CHUNK_FRAMES):
                j = min(i + CHUNK_FRAMES, b)
                pixels = movie[int(frames[i]) : int(frames[j - 1]) + 1].astype(np.float32)
                pixels -= scaling.mean
                pixels *= np.float32(1 / scaling.sd)
                out[i:j] = _binned(pixels, self.bin_px)


def _binned(frames, bin_px):
    if bin_px == 1:
        return frames
    n, rows, columns = frames.shape
    return frames.reshape(n, rows // bin_px, bin_px, columns // bin_px, bin_px).mean(axis=(2, 4))
