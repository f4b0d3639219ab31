"""Splits of recordings with footsteps: contiguous with gaps, other sessions, other animals; shares as in Mirzaee,
Chang, Latifi 2025 (arXiv 2504.16917), who deal out windows at random."""

from calcium_decoding.errors import ParameterError
from calcium_decoding.splits.core import ROLES, Fold, Segment, Split
from calcium_decoding.splits.regimes import without

SHARES = (0.70, 0.15, 0.15)
EXTRA_GAP_FRAMES = 15  # between roles, beside the length of a window


def block_ranges(n_frames, block, n_blocks, gap_frames):
    """Half-open ranges of frames by role in one recording, dict of str to list of (int, int).

    The test block begins at ``block / n_blocks`` of the recording; validation follows it, around the end if need be,
    and the rest trains. Training and validation give up frames for the gaps, the test none.
    """
    start = block * n_frames // n_blocks
    n_test, n_valid = round(SHARES[2] * n_frames), round(SHARES[1] * n_frames)
    test, valid = _around(start, n_test, n_frames), _around(start + n_test, n_valid, n_frames)
    return {"train": without([(0, n_frames)], [*test, *valid], gap_frames), "valid": without(valid, test, gap_frames),
            "test": test}


def _around(first, n, n_frames):
    """Ranges of the ``n`` frames from ``first`` on, around the end of the recording if need be."""
    first %= n_frames
    beyond = [(0, first + n - n_frames)] if first + n > n_frames else []
    return [*beyond, (first, min(first + n, n_frames))]


def blocked_split(dataset, length, n_blocks=5, gap_frames=None):
    """A Split with a fold for each recording and place of the test block; see :func:`block_ranges`. ``length``: frames
    of a window. ``gap_frames``: between roles; ``length + 15`` if left out."""
    gap = length + EXTRA_GAP_FRAMES if gap_frames is None else gap_frames
    folds = []
    for r in dataset.recordings:
        for block in range(n_blocks):
            ranges = block_ranges(r.n_frames, block, n_blocks, gap)
            segments = {role: [Segment(r.id, *span) for span in ranges[role]] for role in ROLES}
            folds.append(Fold(f"test={r.id},block={block + 1}", **segments, test_group=f"{r.animal}/{r.session}",
                              tags={"test_animal": r.animal, "block": str(block + 1)}))
    return Split("blocked", folds, "within session")


def other_split(dataset, of, length):
    """A Split in which each animal, or each session of an animal, is the test once; the others train.

    The end of each other recording validates, after a gap as in :func:`blocked_split`. ``of`` ({"animal", "session"}).
    ``length``: frames of a window. Raises ParameterError: there is no other one.
    """
    animals, folds = dataset.animals, []
    for group in [dataset.recordings] if of == "animal" else [dataset.of_animal(animal) for animal in animals]:
        names = [r.animal if of == "animal" else f"{r.animal}/{r.session}" for r in group]
        for test in dict.fromkeys(names) if len(set(names)) > 1 else ():
            roles = {role: [] for role in ROLES}
            for r, name in zip(group, names, strict=True):
                border = r.n_frames - round(SHARES[1] / (SHARES[0] + SHARES[1]) * r.n_frames)
                gap = length + EXTRA_GAP_FRAMES
                spans = {"test": (0, r.n_frames)} if name == test else {"train": (0, border - gap),
                                                                        "valid": (border, r.n_frames)}
                for role, (start, stop) in spans.items():
                    roles[role] += [Segment(r.id, start, stop)] if start < stop else []
            folds.append(Fold(f"test={test}", **roles, test_group=test, tags={"test_animal": test.split("/")[0]}))
    if not folds:
        raise ParameterError(f"split of {dataset.name}", f"no other {of}", f"two {of}s or more",
                             "use more recordings, or blocked_split")
    return Split(f"other_{of}", folds, f"across {of}s")
