"""Images for image decoders: frames of movies, normalised, read when they are asked for, never a whole movie.

As Ajioka et al. 2024 (DOI 10.1371/journal.pcbi.1011074), less the mean image of a session, divided by the standard
deviation of all its pixels; three neighbouring frames are the three colours of an image.
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


def image_window(images_each_side):
    """WindowSpec of a decoder of images: of 2k + 1 images of three frames each, k being ``images_each_side``."""
    return WindowSpec(images_each_side + NEIGHBOURS, images_each_side + NEIGHBOURS)


@dataclass(eq=False)
class FrameScaling(Transform):
    """Minus the mean image, divided by one standard deviation. :class:`MovieFrames` does it; this tells the leak audit.

    ``frames``: ``"session"``: both of the whole recording, as published; or ``"training"``: of its training frames.
    """

    frames: str = "session"

    def __post_init__(self):
        if self.frames not in ("session", "training"):
            raise ParameterError("frame_scaling", repr(self.frames), "session or training", "name one of these")

    fitted_on = property(lambda self: "each recording" if self.frames == "session" else "training frames")
    look_back_frames = look_ahead_frames = property(lambda self: math.inf if self.frames == "session" else 0)


@dataclass(frozen=True, eq=False)
class MovieScaling:
    """What a movie is normalised by: mean image, shape (rows, columns), float32, and SD of all pixels of all frames."""

    mean: np.ndarray
    sd: float

    @classmethod
    def of(cls, movie, ranges=None, name="movie"):
        """From a Movie or its ``ranges`` of frames, half-open; the whole is passed through once, for its hash too.

        ``name``: for error messages. Raises DataError: NaN or infinite pixels, or a movie without any variation.
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
    """Normalised frames of several movies as if they lay in one array: ``frames[rows]``; only those are read.

    ``movies``, ``scalings`` (dict of str to Movie and MovieScaling): by recording, all of one size. ``bin_px``: average
    squares of so many pixels a side, for smaller images. Raises DataError: movies of different sizes; ParameterError:
    ``bin_px`` does not divide rows and columns.
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
        """Frames by slice or ndarray of int, any shape: float32, that shape and the two axes of an image."""
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
                if self.bin_px > 1:
                    _, rows, columns = self.shape
                    pixels = pixels.reshape(j - i, rows, self.bin_px, columns, self.bin_px).mean(axis=(2, 4))
                out[i:j] = pixels
