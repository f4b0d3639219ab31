"""Patches that are occluded in images, and the map that their values make (Ajioka et al. 2024, Figs 3, S1 and S3, and
its code); the study's image has 128 x 128 pixels, others are scaled."""

from dataclasses import dataclass, field

import numpy as np

from calcium_decoding.errors import ParameterError

GRID = 8  # steps of the grid along each side of an image
LIMB_ROWS, LIMB_COLUMNS = (3, 5), (1, 6)  # of the two patches, in steps: two rows of cells, one column on either side


@dataclass(frozen=True, eq=False)
class Patch:
    """What is occluded in every frame, where ``mask`` (rows, columns) is True; ``name``: in pixels, ends included."""

    name: str
    mask: np.ndarray = field(repr=False)


@dataclass(frozen=True, eq=False)
class OccludedFrames:
    """Normalised frames, MovieFrames or ndarray (N, rows, columns), without each of several patches: all frames without
    the first, then all without the second. Pixels of a patch are set to 0, each pixel's own mean."""

    frames: object
    patches: tuple

    @property
    def shape(self):
        """All frames as often as there are patches, rows and columns."""
        return len(self), *self.frames.shape[1:]

    def __len__(self):
        return len(self.patches) * len(self.frames)

    def __getitem__(self, rows):
        """Frames by row, a slice or an array of int of any shape; float32, a copy."""
        rows = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else np.asarray(rows)
        which, row = np.divmod(rows, len(self.frames))
        found = np.array(self.frames[row])
        for i in np.unique(which):
            here = which == i
            found[here] = np.where(self.patches[i].mask, np.float32(0), found[here])
        return found


def nothing(shape):
    """No patch at all, for the score of the whole image."""
    return Patch("nothing", np.zeros(_checked(shape), bool))


def squares(shape):
    """The 64 squares on a torus, each a quarter of the image, in the order of the study's code: 49 inside, then 15 over
    an edge. ParameterError: eight does not divide rows and columns."""
    shape = _checked(shape)
    return [_square(shape, a, b) for a, b in corners()]


def corners():
    """Upper left corner of each of :func:`squares`, in steps of the grid: list of (row, column)."""
    inside, last = range(GRID - 1), GRID - 1
    return ([(a, b) for b in inside for a in inside] + [(last, last)] + [(last, b) for b in inside]
            + [(a, last) for a in inside])


def discs(shape):
    """The 49 discs of the study's code: centres on the inner points of the grid, radius one step, the rim included;
    stretched in an image that is not square."""
    shape = _checked(shape)
    down, right = (i * GRID / n for i, n in zip(np.indices(shape), shape, strict=True))  # in steps of the grid
    steps = [n // GRID for n in shape]
    return [Patch(f"disc at row {i * steps[0]}, column {j * steps[1]}", (down - i) ** 2 + (right - j) ** 2 <= 1 + 1e-9)
            for j in range(1, GRID) for i in range(1, GRID)]


def limb_pair(shape, shift=0):
    """Two patches at once, as in S3 Fig, over the limb areas of the study's images; as large as a square. ``shift``:
    steps of the grid by which both are moved down, over the edge and on from the top."""
    shape = _checked(shape)
    step, wide = (n // GRID for n in shape)
    rows = (np.arange(LIMB_ROWS[0] * step, LIMB_ROWS[1] * step) + shift * step) % shape[0]
    columns = np.concatenate([np.arange(c * wide, (c + 1) * wide) for c in LIMB_COLUMNS])
    sides = " and ".join(f"{c * wide}-{(c + 1) * wide - 1}" for c in LIMB_COLUMNS)
    return Patch(f"pair, rows {rows[0]}-{rows[-1]}, columns {sides}", _mask(shape, rows, columns))


def pairs(shape):
    """:func:`limb_pair` moved down step by step: eight positions, the first as published."""
    return [limb_pair(shape, shift) for shift in range(GRID)]


def cell_map(values):
    """Map of 8 x 8 cells, (..., 8, 8), float64, each the mean of the four of the 64 squares, (..., 64), around it."""
    values = np.asarray(values, np.float64)
    if values.shape[-1:] != (GRID**2,):
        raise ParameterError("values", f"shape {values.shape}", f"{GRID**2} values, one a square",
                             "give the values of all squares, in their order")
    by_corner = np.empty((*values.shape[:-1], GRID, GRID))
    for i, (a, b) in enumerate(corners()):
        by_corner[..., a, b] = values[..., i]
    above = by_corner + np.roll(by_corner, 1, axis=-2)
    return (above + np.roll(above, 1, axis=-1)) / 4


def _square(shape, a, b):
    rows, columns = ((np.arange(2 * n // GRID) + i * (n // GRID)) % n for i, n in zip((a, b), shape, strict=True))
    return Patch(f"rows {rows[0]}-{rows[-1]}, columns {columns[0]}-{columns[-1]}", _mask(shape, rows, columns))


def _mask(shape, rows, columns):
    mask = np.zeros(shape, bool)
    mask[np.ix_(rows, columns)] = True
    return mask


def _checked(shape):
    shape = tuple(int(n) for n in shape)
    if len(shape) != 2 or min(shape) < GRID or any(n % GRID for n in shape):
        raise ParameterError("image", f"{' x '.join(map(str, shape))} pixels", f"rows and columns that {GRID} divides",
                             "average other numbers of pixels (bin_px), or crop the movies")
    return shape
