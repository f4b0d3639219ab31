"""Alternating steps of both forelimbs, as labels of frames and as movement of both paws."""

import numpy as np

from calcium_decoding.data.readers.footsteps import CONTRA, IPSI
from calcium_decoding.errors import ParameterError

LIMBS = ("contra", "ipsi")

STEP_FRAMES = (3, 8)
# Shares of frames, drawn for each session; the stored runs of Mirzaee et al. 2025 have 47 to 57 % without a step, 26 to
# 29 % contralateral and 18 to 25 % ipsilateral. What the two leave is 47 to 56 %.
CONTRA_SHARE, IPSI_SHARE = (0.262, 0.288), (0.182, 0.242)
CONTRA_STEP_FRAMES = 5.8  # mean
REACH_MM = 6.0  # how far before or behind the shoulder a paw lands, mean
REACH_SD_MM = 0.8
GAP_SPREAD = 1.0  # of the log of the pauses: most are a few frames, some are seconds
POSITION_DECIMALS = 5  # of mm; why it is rounded: `simulation.signals`


def walk(n_frames, rng):
    """Steps of a session, each (n,) int64: foot (1 contralateral, 2 ipsilateral), first and last frame, both inclusive.

    The feet take turns, with one frame or more between them. ParameterError: under 300 frames.
    """
    if n_frames < 300:
        raise ParameterError("frames", repr(n_frames), "300 or more", "simulate longer sessions")
    in_contra = round(rng.uniform(*CONTRA_SHARE) * n_frames)
    in_ipsi = round(rng.uniform(*IPSI_SHARE) * n_frames)
    n_pairs = round(in_contra / CONTRA_STEP_FRAMES)
    lengths = np.stack([_lengths(in_contra, n_pairs, rng), _lengths(in_ipsi, n_pairs, rng)], axis=1).ravel()
    pauses = _pauses(n_frames - in_contra - in_ipsi, 2 * n_pairs + 1, rng)
    first = np.cumsum(pauses[:-1]) + np.concatenate([[0], np.cumsum(lengths)[:-1]])
    foot = np.tile([CONTRA, IPSI], n_pairs)
    return foot, first, first + lengths - 1


def labels(foot, first, last, n_frames):
    """Class of each frame, shape (T,), float32: 0 none, 1 contralateral, 2 ipsilateral."""
    label = np.zeros(n_frames, np.float32)
    for which, start, end in zip(foot, first, last, strict=True):
        label[start:end + 1] = which
    return label


def kinematics(foot, first, last, n_frames, rate_hz, rng):
    """Position (mm, forward of the shoulder) and velocity (mm/s) of both paws: dict of (T,) float32.

    A step carries the paw to its landing place by a movement of least jerk; between steps the grid takes it back.
    """
    found = {}
    for limb, which in zip(LIMBS, (CONTRA, IPSI), strict=True):
        mine = foot == which
        # Between the frame before a step and its last frame the paw swings; a knot on each carries the position.
        begins, ends = first[mine] - 1, last[mine]
        rear, front = (sign * rng.normal(REACH_MM, REACH_SD_MM, len(begins)) for sign in (-1, 1))
        knots, places = (np.stack(pair, axis=1).ravel() for pair in ((begins, ends), (rear, front)))
        position = np.interp(np.arange(n_frames), knots, places)
        for start, end, low, high in zip(begins, ends, rear, front, strict=True):
            part = np.arange(end - start + 1) / (end - start)
            position[start:end + 1] = low + (high - low) * part**3 * (10 - 15 * part + 6 * part**2)
        position = position.round(POSITION_DECIMALS)
        found[f"{limb}_position_mm"] = position.astype(np.float32)
        found[f"{limb}_velocity_mm_s"] = (np.gradient(position) * rate_hz).astype(np.float32)
    return found


def _lengths(total, n, rng):
    """``n`` lengths of steps that sum to ``total``."""
    low, high = STEP_FRAMES
    lengths = rng.integers(low, high + 1, n)
    while (missing := total - lengths.sum()) != 0:
        free = np.flatnonzero(lengths < high if missing > 0 else lengths > low)
        chosen = rng.choice(free, min(abs(missing), len(free)), replace=False)
        lengths[chosen] += np.sign(missing)
    return lengths


def _pauses(total, n, rng):
    """``n`` pauses of one frame or more that sum to ``total``."""
    weights = rng.lognormal(0.0, GAP_SPREAD, n)
    ends = np.floor(np.cumsum(weights) / weights.sum() * (total - n) + 0.5).astype(np.int64)
    return np.diff(ends, prepend=0) + 1
