"""What a split is: intervals of frames for training, validation and test, and the claim that its scores may make."""

from dataclasses import dataclass, field, replace

import numpy as np

from calcium_decoding.data.recording import in_both
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.preprocessing.transforms import whole_number
from calcium_decoding.utils.files import hash_content

LEAKY = "none (LEAKY)"
CLAIMS = ("across animals", "across sessions", "within session", LEAKY)
ROLES = ("train", "valid", "test")


@dataclass(frozen=True, order=True)
class Segment:
    """Frames ``start .. stop - 1`` of the recording with id ``recording``."""

    recording: str
    start: int
    stop: int

    def __post_init__(self):
        # A numpy integer left as it is would give the same split another hash.
        where = f"of segment in {self.recording}"
        object.__setattr__(self, "start", whole_number(f"start {where}", self.start, 0))
        object.__setattr__(self, "stop", whole_number(f"stop {where}", self.stop, self.start + 1))

    def __len__(self):
        return self.stop - self.start


@dataclass(frozen=True)
class Fold:
    """One training with its validation and test frames; ``name``: unique in its split. ``test_group``: what one number
    is reported for, an animal or animal/session. ``tags``: such as ``valid_animal``."""

    name: str
    train: tuple[Segment, ...]
    valid: tuple[Segment, ...]
    test: tuple[Segment, ...]
    test_group: str
    tags: dict[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self):
        for role in ROLES:
            object.__setattr__(self, role, tuple(getattr(self, role)))

    @property
    def test_animal(self):
        """Animal that is tested, or None where the split is not about one."""
        return self.tags.get("test_animal")

    def ranges(self, role):
        """Ranges of one role by recording: dict of id to list of (start, stop)."""
        found = {}
        for segment in getattr(self, role):
            found.setdefault(segment.recording, []).append((segment.start, segment.stop))
        return found


@dataclass(frozen=True)
class Split:
    """All folds of one evaluation and what their scores may claim.

    ``regime``: how it was made. ``claim``: what is new to the decoder in a test, one of :data:`CLAIMS`; the last is for
    splits that are shown because they leak. ``skipped``: animals or sessions left out, and why. ``of_centres``: the
    segments hold centres of windows, so that neighbours of different roles share frames: only a leaky split can be so.
    Raises ParameterError: unknown claim, no folds, two of one name, or centres with a claim.
    """

    regime: str
    folds: tuple[Fold, ...]
    claim: str
    skipped: tuple[tuple[str, str], ...] = ()
    of_centres: bool = False

    def __post_init__(self):
        object.__setattr__(self, "folds", tuple(self.folds))
        object.__setattr__(self, "skipped", tuple((str(name), str(reason)) for name, reason in self.skipped))
        if self.claim not in CLAIMS:
            raise ParameterError("claim", repr(self.claim), f"one of {', '.join(CLAIMS)}", "use one of these")
        if not self.folds:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.skipped) or "no reason given"
            raise ParameterError(f"split '{self.regime}'", f"no folds ({reasons})", "at least one fold",
                                 "choose a regime that suits the data set")
        if len({fold.name for fold in self.folds}) < len(self.folds):
            raise ParameterError(f"split '{self.regime}'", "two folds with one name", "unique names", "rename them")
        if self.of_centres and not self.is_leaky:
            raise ParameterError(f"split '{self.regime}'", f"segments of window centres and the claim {self.claim}",
                                 f"the claim {LEAKY}, since such windows share frames", "split frames, not windows")

    @property
    def is_leaky(self):
        """True if the split is marked as leaky: its scores claim nothing."""
        return self.claim == LEAKY

    def as_cv(self, windows):
        """The folds as index arrays (int64) of training, validation included, and test, for ``cv=`` of scikit-learn.

        ``windows``: WindowSet of the samples, one a row of X, laid over whole recordings; those that reach over the
        border of a segment are in neither. Raises DataError: a fold has no training or no test sample among them.
        """
        found = []
        for fold in self.folds:
            train, valid, test = (self.samples_of(fold, role, windows) for role in ROLES)
            train = np.union1d(train, valid)
            if not len(train) or not len(test):
                raise DataError(f"fold {fold.name}", f"{len(train)} training and {len(test)} test samples",
                                "at least one of each", "lay windows over all recordings that the split names")
            found.append((train, test))
        return found

    def spread(self, n):
        """The same with ``n`` folds, spread evenly over all of them; all if ``n`` is 0."""
        n = whole_number("n_folds", n, 0)
        which = np.unique(np.linspace(0, len(self.folds), n or len(self.folds), endpoint=False, dtype=int))
        return replace(self, folds=tuple(self.folds[i] for i in which))

    def within(self, dataset, spec):
        """The same on the frames of a Dataset that can be used, so that no window of ``spec`` spans what is between
        them. Raises DataError: nothing is left of a role of a fold."""
        stretches = {r.id: r.stretches for r in dataset.recordings if r.stretches != ((0, r.n_frames),)}
        if not stretches:
            return self
        if self.of_centres:
            stretches = {name: [(start + spec.reach_back, stop - spec.reach_ahead) for start, stop in ranges
                                if stop - start >= spec.frames_needed] for name, ranges in stretches.items()}
        folds = []
        for fold in self.folds:
            roles = {role: [Segment(name, *both) for name, ranges in fold.ranges(role).items()
                            for both in in_both(ranges, stretches.get(name, ranges))] for role in ROLES}
            if empty := [role for role in ROLES if not roles[role] and getattr(fold, role)]:
                raise DataError(f"fold {fold.name}", f"no usable frames to {empty[0]} on", "usable frames in each role",
                                "leave out recordings that are mostly masked")
            folds.append(replace(fold, **roles))
        return replace(self, folds=folds)

    def samples_of(self, fold, role, windows):
        """Indices of the windows (a WindowSet) that lie in the segments of one role of a fold, shape (k,), int64."""
        back, ahead = (0, 0) if self.of_centres else (windows.spec.reach_back, windows.spec.reach_ahead)
        is_inside = np.zeros(len(windows), bool)
        for name, ranges in fold.ranges(role).items():
            if name not in windows.ids:
                continue
            here = np.flatnonzero(windows.recording == windows.ids.index(name))
            starts, stops = (np.array(edge) for edge in zip(*sorted(ranges), strict=True))
            # Segments of a role do not overlap, so the last one that starts early enough is the only candidate.
            last = np.searchsorted(starts + back, windows.centre[here], side="right") - 1
            is_inside[here] = (last >= 0) & (windows.centre[here] < stops[last] - ahead)
        return np.flatnonzero(is_inside)

    def hash(self):
        """Short hash (16 hexadecimal digits) of everything that defines the split."""
        return hash_content({
            "regime": self.regime,
            "claim": self.claim,
            "skipped": [list(pair) for pair in self.skipped],
            **({"of_centres": True} if self.of_centres else {}),
            "folds": [
                {"name": fold.name, "test_group": fold.test_group, "tags": fold.tags}
                | {role: [[s.recording, s.start, s.stop] for s in getattr(fold, role)] for role in ROLES}
                for fold in self.folds
            ],
        })


def random_parts(rows, shares, rng):
    """Rows assigned at random to parts of these shares, a list of arrays; the last part takes what is left."""
    shuffled = rng.permutation(rows)
    return np.split(shuffled, np.round(np.cumsum(shares[:-1]) * len(shuffled)).astype(int))


def windows_of(segments, length, start, stop):
    """Segments that hold the windows number ``start .. stop - 1`` of those that end in some segments, one a frame."""
    found = []
    for segment in segments:
        n = max(0, len(segment) - length + 1)
        first, last = max(start, 0), min(stop, n)
        if first < last:
            found.append(Segment(segment.recording, segment.start + first, segment.start + last + length - 1))
        start, stop = start - n, stop - n
    return tuple(found)


def sessions_of(recordings):
    """Recordings by session, parts in order: dict of "animal/session" to list of Recording."""
    found = {}
    for recording in recordings:
        found.setdefault(f"{recording.animal}/{recording.session}", []).append(recording)
    return found
