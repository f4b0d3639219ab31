"""One animal under the camera: brain outline, 50 parcels, vessels, light; where it lies in the image.

Outline and parcels are ours (the study's are not public); the limb areas lie where its occlusion map has its peak.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import affine_transform, gaussian_filter

from calcium_decoding.simulation.signals import generator
from calcium_decoding.simulation.widefield.worlds import ALL_SESSIONS, FRAME_PX

CENTRE_PX = (FRAME_PX - 1) / 2
# Row (anterior: small) and column of ROIs 1 to 25 in the template, pixels; homologues mirror them about the midline.
LEFT_PARCELS = (
    (20, 54), (28, 44), (33, 56), (42, 50), (40, 31),            # motor areas, and one in no group
    (52, 40), (56, 30), (61, 48), (67, 40), (50, 20),            # limbs; lateral
    (62, 20), (72, 28), (75, 17), (76, 54), (85, 56),            # lateral; parietal and retrosplenial
    (94, 56), (77, 42), (88, 45), (97, 44), (90, 34),            # parietal; visual
    (106, 50), (82, 26), (87, 18), (99, 30), (98, 21),           # visual; lateral visual and auditory
)
PEAK_COUNTS = 9000.0  # camera counts where the light is brightest
DARK_COUNTS = 300.0
BORDER_PX = 1.5  # softness of parcel borders and outline


@dataclass(frozen=True)
class Placement:
    """Where a brain lies in the image: rotated (clockwise as shown, row 0 on top), scaled, then shifted."""

    shift_row_px: float
    shift_col_px: float
    rotation_deg: float
    scale: float

    def matrix(self):
        """Linear part of the map from an output pixel to the template, (2, 2), about the image centre."""
        angle = np.deg2rad(self.rotation_deg)
        rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        return rotation.T / self.scale

    def apply(self, image):
        """Template to this animal's image, shape (128, 128), linear interpolation, zeros outside."""
        matrix = self.matrix()
        centre = np.array([CENTRE_PX, CENTRE_PX])
        offset = centre - matrix @ (centre + np.array([self.shift_row_px, self.shift_col_px]))
        return affine_transform(image, matrix, offset=offset, order=1, mode="constant")


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Maps of one animal; arrays are float32 in the animal's own placement.

    - ``brain`` (128, 128): 1 inside the outline, 0 outside, soft between.
    - ``parcels`` (50, 128, 128): weight of each ROI in each pixel; their sum is ``brain``.
    - ``vessels`` (128, 128): 0 where there is none, up to 1 in the middle of a large one.
    - ``resting`` (128, 128), camera counts: fluorescence at rest, light fall-off, outline and vessels.
    """

    placement: Placement
    brain: np.ndarray
    parcels: np.ndarray
    vessels: np.ndarray
    resting: np.ndarray

    def masks(self):
        """Pixels of each ROI as a user would draw them, (50, 128, 128) bool: well inside the parcel and the brain."""
        return (self.parcels > 0.5) & (self.brain > 0.98)

    def blood_weight(self):
        """How much more blood acts on a pixel than on tissue alone, (128, 128): 1 without vessel, 3 in a large one."""
        return 1.0 + 2.0 * self.vessels

    def relative_gradient(self):
        """Relative change of a pixel when the brain moves by one pixel, (2, 128, 128): down, and right."""
        return np.stack([-g / self.resting for g in np.gradient(self.resting)]).astype(np.float32)

    def roi_mean(self, maps):
        """Mean of relative changes over each ROI as extracted from the movie, ``(..., 128, 128)`` to ``(50, ...)``."""
        return np.tensordot(self._roi_weights(), maps, axes=([1, 2], [-2, -1]))

    def mixing(self):
        """ROI traces extracted from the movie as mixtures of the areas: two (50, 50) arrays, activity and blood."""
        return self.roi_mean(self.parcels), self.roi_mean(self.parcels * self.blood_weight())

    def _roi_weights(self):
        # An ROI trace is a ratio of mean counts, so bright pixels weigh more. Float64: sums leave the last bit open.
        weights = self.masks() * self.resting.astype(float)
        return weights / weights.sum(axis=(1, 2), keepdims=True)


@lru_cache(maxsize=16)
def anatomy(seed, animal, odd=False):
    """The :class:`Anatomy` of one animal, by seed and number; ``odd``: far from where the others lie."""
    rng = generator(seed, animal, ALL_SESSIONS, 1)
    placement = Placement(*np.round([*rng.uniform(-4, 4, size=2), rng.uniform(-4, 4), rng.uniform(0.95, 1.05)], 6))
    if odd:
        placement = Placement(9.0, -7.0, 11.0, 0.88)
    outline, template = _outline(), _template()
    vessels = placement.apply(_vessels(rng) * outline)
    brain = gaussian_filter(placement.apply(outline), BORDER_PX)
    parcels = np.stack([gaussian_filter(placement.apply(parcel), BORDER_PX) for parcel in template])
    parcels *= brain / np.maximum(parcels.sum(axis=0), 1e-6)
    rows, cols = np.indices((FRAME_PX, FRAME_PX)) - CENTRE_PX
    light = np.exp(-((rows - rng.uniform(-8, 8)) ** 2 + (cols - rng.uniform(-8, 8)) ** 2) / (2 * 55.0**2))
    resting = DARK_COUNTS + PEAK_COUNTS * light * brain * (1.0 - 0.45 * vessels)
    return Anatomy(placement, *(a.round(4).astype(np.float32) for a in (brain, parcels, vessels, resting)))


def _outline():
    """Dorsal cortex seen from above, (128, 128), 0 or 1: narrower in front."""
    rows, cols = np.indices((FRAME_PX, FRAME_PX)) - CENTRE_PX
    width = 52.0 + 0.10 * rows
    return ((np.abs(rows) / 53.0) ** 2.5 + (np.abs(cols) / width) ** 2.5 < 1).astype(float)


def _template():
    """Hard parcels in the template, (50, 128, 128), 0 or 1: each pixel belongs to the nearest centre of its side."""
    left = np.array(LEFT_PARCELS, float)
    centres = np.concatenate([left, np.column_stack([left[:, 0], FRAME_PX - 1 - left[:, 1]])])
    rows, cols = np.indices((FRAME_PX, FRAME_PX))
    distance = (rows - centres[:, 0, None, None]) ** 2 + (cols - centres[:, 1, None, None]) ** 2
    nearest = distance.argmin(axis=0)
    return (nearest == np.arange(len(centres))[:, None, None]) * _outline()


def _vessels(rng, n_large=7):
    """Vessels in the template, (128, 128), 0 to 1: the midline sinus and branching random walks from the sides."""
    image = np.zeros((FRAME_PX, FRAME_PX))
    image[:, FRAME_PX // 2 - 1 : FRAME_PX // 2 + 1] = 1.0
    for _ in range(n_large):
        side = rng.choice([-1.0, 1.0])
        place = np.array([rng.uniform(10, 118), CENTRE_PX + side * 55])
        heading, width = np.array([rng.uniform(-0.4, 0.4), -side]), 1.0
        while abs(place[1] - CENTRE_PX) > 4 and 0 <= place[0] < FRAME_PX and width > 0.25:
            row, col = (round(float(c)) for c in np.clip(place, 0, FRAME_PX - 1))
            image[row, col] = max(image[row, col], width)
            heading = heading + rng.normal(0, 0.15, size=2)
            heading /= np.linalg.norm(heading)
            place, width = place + heading, width * 0.992
    blurred = gaussian_filter(image, 0.9)
    return np.clip(blurred / blurred[:, FRAME_PX // 2].max(), 0, 1)
