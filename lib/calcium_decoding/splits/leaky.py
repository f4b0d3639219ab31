"""The published regime that leaks, kept to be shown: overlapping windows dealt out at random."""

import math

import numpy as np

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.splits.core import LEAKY, ROLES, Fold, Segment, Split, sessions_of
from calcium_decoding.transforms import whole_number
from calcium_decoding.windows import valid_centres


def random_windows(dataset, spec, seed=0, shares=(0.7, 0.15, 0.15)):
    """Deal the windows of each session out at random within each class: one fold a session. Leaks on purpose.

    As in the code of Mirzaee, Chang, Latifi 2025 (arXiv 2504.16917): windows of stride 1 are made first and then dealt
    out, so a test window shares all frames but one with a neighbour in training. The split is marked as leaky and
    :func:`calcium_decoding.audit.audit` refuses it, with the frames named, unless called with ``allow_leak=True``.

    Parameters
    ----------
    dataset : Dataset
        With a run label, which gives the classes.
    spec : WindowSpec
    seed : int
    shares : (float, float, float)
        Of training, validation and test; they sum to 1.

    Returns
    -------
    Split
        Its segments hold centres of windows. Sessions with fewer than three windows of a class are in ``skipped``.

    Raises
    ------
    ParameterError
        Shares that are not positive or do not sum to 1.
    """
    if len(shares) != 3 or min(shares) <= 0 or not math.isclose(sum(shares), 1.0):
        raise ParameterError("shares", repr(shares), "three positive shares that sum to 1", "change the shares")
    rng = np.random.default_rng(whole_number("seed", seed, 0))
    folds, skipped = [], []
    for key, recordings in sessions_of(dataset.recordings).items():
        try:
            segments = _deal(recordings, spec, shares, rng)
        except DataError as error:
            skipped.append((key, error.found))
            continue
        animal = recordings[0].animal
        folds.append(Fold(f"LEAKY random windows of {key}", **segments, test_group=key,
                          tags={"test_animal": animal, "valid_animal": animal}))
    return Split("random_windows", folds, LEAKY, skipped, of_centres=True)


def _deal(recordings, spec, shares, rng):
    """Segments by role: runs of neighbouring centres that fell to the same role."""
    centres = [valid_centres(0, r.n_frames, spec) for r in recordings]
    labels = np.concatenate([r.run[c + spec.label_shift_frames] for r, c in zip(recordings, centres, strict=True)])
    role = np.empty(len(labels), dtype=np.int8)
    for value in (0, 1):
        here = rng.permutation(np.flatnonzero(labels == value))
        cuts = np.round(np.cumsum(shares[:2]) * len(here)).astype(int)
        parts = np.split(here, cuts)
        if not all(map(len, parts)):
            raise DataError("session", f"{len(here)} windows with run = {value}", "at least one in each role",
                            "leave the session out")
        for i, part in enumerate(parts):
            role[part] = i
    segments = {name: [] for name in ROLES}
    first = 0
    for recording, mine in zip(recordings, centres, strict=True):
        dealt = role[first:first + len(mine)]
        first += len(mine)
        # A new run begins where the role changes or a centre is missing (stride above 1).
        breaks = np.flatnonzero((np.diff(dealt) != 0) | (np.diff(mine) != 1)) + 1
        for run in np.split(np.arange(len(mine)), breaks):
            if len(run):
                segments[ROLES[dealt[run[0]]]].append(Segment(recording.id, mine[run[0]], mine[run[-1]] + 1))
    return segments
