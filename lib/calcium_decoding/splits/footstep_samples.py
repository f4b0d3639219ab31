"""Windows that end at the labelled frame, and the ways of dealing them out: as published, and soundly.

A sample is a window of L frames with the class of its last frame, one at every frame, never across recordings
(Mirzaee, Chang, Latifi 2025, arXiv 2504.16917). Recordings of one animal are laid end to end; a *row* counts frames in
that order, and stands for the window that ends there.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.preprocessing.transforms import whole_number
from calcium_decoding.splits.audit import Intervals
from calcium_decoding.splits.core import ROLES, Fold, Segment, Split, random_parts, ranges_of
from calcium_decoding.utils.files import hash_bytes, hash_content

LABEL = "footstep"
SHARES = (0.70, 0.15, 0.15)
EXTRA_GAP_FRAMES = 15
WAYS = {
    "random_windows": "as published: overlapping windows at random within class, 70/15/15",
    "blocked": "contiguous 70/15/15 of each recording, gaps between, blocks take turns",
    "other_session": "one session is the test; the end of each other session validates",
    "other_animal": "one animal is the test; the end of each other animal's recordings validates",
}
LEAKY = ("random_windows",)


@dataclass(frozen=True, eq=False)
class Samples:
    """Windows of ``length`` frames over some recordings that share their cells.

    ``frames`` (ndarray, shape (N, n_cells), float32): recordings end to end, as recorded. ``labels`` (ndarray, shape
    (N,), int64): 0 none, 1 contralateral, 2 ipsilateral. ``lengths``, ``ids``, ``animals``: of each recording.
    """

    frames: np.ndarray
    labels: np.ndarray
    lengths: tuple[int, ...]
    ids: tuple[str, ...]
    animals: tuple[str, ...]
    length: int

    @classmethod
    def of(cls, recordings, length):
        """Samples of recordings with the same cells; DataError if they have no footsteps, or are too short."""
        recordings = tuple(recordings)
        length = whole_number("window length", length, 1)
        for r in recordings:
            if LABEL not in r.behaviour or not np.isin(r.behaviour[LABEL], (0, 1, 2)).all():
                raise DataError(r.id, f"behaviour {', '.join(sorted(r.behaviour))}",
                                "a label 'footstep': 0 none, 1 contralateral, 2 ipsilateral",
                                "read it with its table of steps (format footsteps)")
            if r.n_roi != recordings[0].n_roi:
                raise DataError(r.id, f"{r.n_roi} cells", f"{recordings[0].n_roi}, as {recordings[0].id}",
                                "make samples of each animal by itself, or of features that all animals have")
            if r.n_frames < length:
                raise DataError(r.id, f"{r.n_frames} frames", f"{length}, one window", "use shorter windows")
        return cls(np.concatenate([r.signal for r in recordings]),
                   np.concatenate([r.behaviour[LABEL] for r in recordings]).astype(np.int64),
                   tuple(r.n_frames for r in recordings), tuple(r.id for r in recordings),
                   tuple(r.animal for r in recordings), length)

    def __len__(self):
        """Number of windows."""
        return len(self.rows)

    @cached_property
    def digest(self):
        """Short hash of frames, labels and where windows lie."""
        return hash_content([hash_bytes(self.frames), hash_bytes(self.labels), self.lengths, self.length])

    @property
    def rows(self):
        """Rows at which a window ends, in order."""
        return last_rows(self.lengths, self.length)

    def view(self, frames=None):
        """Windows over these or other ``frames`` as a read-only view, shape (N - L + 1, L, n_cells): the one that ends
        at ``row`` has index ``row - L + 1``. It holds windows across recordings too, which :attr:`rows` leaves out."""
        frames = self.frames if frames is None else frames
        return np.lib.stride_tricks.sliding_window_view(frames, self.length, axis=0).transpose(0, 2, 1)

    def flat(self, rows, frames=None):
        """Some windows as rows of a matrix, shape (len(rows), L * n_cells); copied."""
        return self.view(frames)[np.asarray(rows) - self.length + 1].reshape(len(rows), -1)

    def seen(self, rows):
        """Rows of all frames that some windows hold, sorted, each once."""
        is_seen = np.zeros(len(self.frames), bool)
        for back in range(self.length):
            is_seen[np.asarray(rows) - back] = True
        return np.flatnonzero(is_seen)

    def intervals(self, rows):
        """Frames that some windows touch, for :func:`calcium_decoding.splits.audit.check_samples`."""
        first = np.cumsum((0, *self.lengths[:-1]))
        of = np.searchsorted(first, rows, side="right") - 1
        return Intervals.around(np.array(self.ids)[of], np.asarray(rows) - first[of], window=(self.length - 1, 0))

    def shifted(self, frames):
        """The same signal with the labels of each recording moved on by so many frames, around its end: a null."""
        parts = np.split(self.labels, np.cumsum(self.lengths)[:-1])
        return Samples(self.frames, np.concatenate([np.roll(p, frames) for p in parts]), self.lengths, self.ids,
                       self.animals, self.length)


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows at which the windows of each role end, sorted, int64."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def last_rows(lengths, length):
    """Rows at which a window of ``length`` frames ends that lies in one recording, shape (n,), int64."""
    first = np.cumsum((0, *lengths[:-1]))
    return np.concatenate([np.arange(f + length - 1, f + n) for f, n in zip(first, lengths, strict=True)])


def split(lengths, way, block=0, seed=0, length=32, labels=None, n_blocks=5, gap_frames=None):
    """Deal out the windows of recordings that lie end to end; Rows.

    ``lengths``: frames of each recording; for ``"other_animal"`` a sequence of them an animal. ``way``: in
    :data:`WAYS`. ``block``: which block, session or animal is the test, counted from 0. ``labels`` (ndarray, shape
    (N,)): random windows are assigned within these classes, as published. ``n_blocks``: in how many steps the test
    block goes round a recording. ``gap_frames``: between parts of different roles; ``length + 15`` if left out. Raises
    ParameterError: an unknown way, a block that is not there, or a role left without windows.
    """
    if way not in WAYS:
        raise ParameterError("way of splitting", repr(way), f"one of {', '.join(WAYS)}", "name one of these")
    length, block = whole_number("window length", length, 1), whole_number("block", block, 0)
    gap = length + EXTRA_GAP_FRAMES if gap_frames is None else whole_number("gap_frames", gap_frames, 0)
    groups = [list(group) for group in lengths] if way == "other_animal" else [[n] for n in lengths]
    flat = [n for group in groups for n in group]
    n = {"random_windows": block + 1, "blocked": n_blocks}.get(way, len(groups))
    if block >= n or (way.startswith("other") and len(groups) < 2):
        raise ParameterError("block", f"{block} of {n}", "one that is there; two sessions or animals at least",
                             "count blocks, sessions and animals from 0")
    if way == "random_windows":
        found = _random(flat, length, seed, labels)
    elif way == "blocked":
        found = _rows([block_ranges(m, block, n_blocks, gap) for m in flat], flat, length)
    else:
        ranges = [{"test": [(0, m)]} if i == block else _end_validates(m, gap)
                  for i, group in enumerate(groups) for m in group]
        found = _rows(ranges, flat, length)
    empty = [role for role in ROLES if not len(getattr(found, role))]
    if empty:
        raise ParameterError(f"split '{way}' of {len(flat)} recordings", f"no window for {', '.join(empty)}",
                             "windows in each role", "use longer recordings, shorter windows or a smaller gap")
    return found


def block_ranges(n_frames, block, n_blocks, gap_frames, shares=SHARES):
    """Half-open ranges of frames by role in one recording, for one place of the test block.

    The test block begins at ``block / n_blocks`` of the recording; validation follows it, around the end if need be,
    and the rest trains. Training and validation give up frames for the gaps, the test none.

    Returns dict of str to list of (int, int).
    """
    start = block * n_frames // n_blocks
    n_test, n_valid = round(shares[2] * n_frames), round(shares[1] * n_frames)
    role = np.full(n_frames, ROLES.index("train"))
    for name, first, n in (("test", start, n_test), ("valid", start + n_test, n_valid)):
        role[np.arange(first, first + n) % n_frames] = ROLES.index(name)
    keep = np.ones(n_frames, bool)
    for name, others in (("train", ("test", "valid")), ("valid", ("test",))):
        near = np.isin(role, [ROLES.index(other) for other in others])
        reach = np.convolve(near, np.ones(2 * gap_frames + 1), mode="full")[gap_frames:gap_frames + n_frames] > 0.5
        keep &= ~((role == ROLES.index(name)) & reach)
    return {name: ranges_of(keep & (role == i)) for i, name in enumerate(ROLES)}


def blocked_split(dataset, length, n_blocks=5, gap_frames=None):
    """The blocked way as a :class:`Split` that the audit knows: a fold for each recording and place of the test block.
    """
    gap = length + EXTRA_GAP_FRAMES if gap_frames is None else gap_frames
    folds = []
    for r in dataset.recordings:
        for block in range(n_blocks):
            ranges = block_ranges(r.n_frames, block, n_blocks, gap)
            segments = {role: [Segment(r.id, *span) for span in ranges[role]] for role in ROLES}
            folds.append(Fold(f"test={r.id},block={block + 1}", **segments, test_group=f"{r.animal}/{r.session}",
                              tags={"test_animal": r.animal, "block": str(block + 1)}))
    return Split("blocked", folds, "within session")


def _random(lengths, length, seed, labels):
    rng, role = np.random.default_rng(whole_number("seed", seed, 0)), np.full(sum(lengths), -1)
    first = 0
    for n in lengths:
        rows = np.arange(first + length - 1, first + n)
        first += n
        of_class = np.zeros(len(rows)) if labels is None else labels[rows]
        for value in np.unique(of_class):
            for i, part in enumerate(random_parts(rows[of_class == value], SHARES, rng)):
                role[part] = i
    return Rows(*(np.flatnonzero(role == i) for i in range(3)))


def _end_validates(n_frames, gap):
    """The last part of a recording validates and what lies before it trains."""
    border = n_frames - round(SHARES[1] / (SHARES[0] + SHARES[1]) * n_frames)
    return {"train": [(0, max(border - gap, 0))], "valid": [(border, n_frames)]}


def _rows(ranges, lengths, length):
    """Rows whose window lies within one range of a role."""
    found, first = {role: [np.empty(0, np.int64)] for role in ROLES}, 0
    for of_recording, n in zip(ranges, lengths, strict=True):
        for role, spans in of_recording.items():
            found[role] += [np.arange(first + start + length - 1, first + stop) for start, stop in spans]
        first += n
    return Rows(*(np.concatenate(found[role]) for role in ROLES))
