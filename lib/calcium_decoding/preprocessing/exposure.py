"""Is a movie saturated, and are there frames without an image? What a camera cut off no decoder can see."""

import math

import numpy as np

from calcium_decoding.errors import DataError

# One percent of a frame of 128 x 128 is as much as one of fifty areas of the cortex: with more, a whole area may show
# nothing all session long. One percent of frames without an image is six seconds of a session of ten minutes.
MOST_SHARE = 0.01
_BIT_DEPTHS = range(8, 17)  # of cameras; their files are often of 16 bits whatever the camera has
_NAMED = 5  # frames listed by number


def check_exposure(movie):
    """Look through a Movie for saturated pixels and for frames that are all of one value; notes, a tuple of str.

    The ceiling is the movie's highest value, if that is the highest one of its type or of 8 to 16 bits (4095 of a
    camera of 12 bits, in a file of 16); else nothing is saturated. A camera that clips at another value, or a movie
    whose background was subtracted, is not recognised. Raises DataError: more than 1 % of all pixel values lie at the
    ceiling, more than 1 % of frames are of one value, or a value is NaN or infinite.
    """
    n, n_pixels, seen = len(movie), math.prod(movie.shape[1:]), movie.seen
    if seen.bad is not None:
        raise DataError(movie.path, f"NaN or infinite pixels in frame {seen.bad}", "finite pixels",
                        "write the movie again without them, for example with 0 outside the brain")
    notes = []
    if flat := seen.flat:
        numbers = ", ".join(map(str, flat[:_NAMED])) + ("..." if len(flat) > _NAMED else "")
        notes.append(f"{len(flat)} of {n} frames of one value in all pixels: {numbers}")
        if len(flat) / n > MOST_SHARE:
            raise DataError(movie.path, notes[-1], "at most 1 % of frames without an image",
                            "look at the movie there: leave out the part where the camera or the light was off")
    of_type = () if movie.dtype.kind == "f" else (np.iinfo(movie.dtype).max,)
    if seen.top in {*of_type, *(2**bits - 1 for bits in _BIT_DEPTHS)}:
        share = seen.n_top / (n * n_pixels)
        notes.append(f"{seen.n_top} pixel values ({100 * share:.2g} %) at {int(seen.top)}, the ceiling, in "
                     f"{seen.n_frames_top} of {n} frames and {np.count_nonzero(seen.pixels_top)} of {n_pixels} pixels")
        if share > MOST_SHARE:
            raise DataError(movie.path, notes[-1], "at most 1 % of pixel values at the ceiling",
                            "record with less light or gain; or crop the saturated part if it is none of the brain")
    return tuple(notes)
