"""Splits into training, validation and test: intervals of time, decided before any window is made.

A split holds half-open ranges of frames. Windows are laid inside them later, so no window can lie on both
sides. :func:`calcium_decoding.audit.audit` checks what a split claims against what window and preprocessing
touch.
"""

import inspect
import itertools
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from calcium_decoding.errors import DataError, LeakError, ParameterError
from calcium_decoding.files import hash_content, write_json
from calcium_decoding.transforms import whole_number

CLAIMS = ("across animals", "across sessions", "within session")
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
    """One training with its validation and test frames.

    Parameters
    ----------
    name : str
        Unique in its split.
    train, valid, test : tuple of Segment
    test_group : str
        What one number is reported for: an animal, or animal/session.
    tags : dict of str to str
        Further facts, such as ``test_animal`` and ``valid_animal``.
    """

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

    @property
    def valid_animal(self):
        """Animal that validates, or None where the split is not about one."""
        return self.tags.get("valid_animal")

    def ranges(self, role):
        """Ranges of one role by recording: dict of id to list of (start, stop)."""
        found = {}
        for segment in getattr(self, role):
            found.setdefault(segment.recording, []).append((segment.start, segment.stop))
        return found


@dataclass(frozen=True)
class Split:
    """All folds of one evaluation and what their scores may claim.

    Parameters
    ----------
    regime : str
        How it was made.
    folds : tuple of Fold
    claim : {"across animals", "across sessions", "within session"}
        What is new to the decoder in a test.
    skipped : tuple of (str, str)
        Animals or sessions left out, and why.
    """

    regime: str
    folds: tuple[Fold, ...]
    claim: str
    skipped: tuple[tuple[str, str], ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "folds", tuple(self.folds))
        object.__setattr__(self, "skipped", tuple((str(name), str(reason)) for name, reason in self.skipped))
        if self.claim not in CLAIMS:
            raise ParameterError("claim", repr(self.claim), f"one of {', '.join(CLAIMS)}", "use one of these")
        if not self.folds:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.skipped) or "no reason given"
            raise ParameterError(f"split '{self.regime}'", f"no folds ({reasons})", "at least one fold",
                                 "choose a regime that suits the data set")
        names = [fold.name for fold in self.folds]
        if len(set(names)) < len(names):
            raise ParameterError(f"split '{self.regime}'", "two folds with one name", "unique names",
                                 "rename the folds")

    def to_manifest(self):
        """Everything that defines the split, as JSON can hold it."""
        return {
            "regime": self.regime,
            "claim": self.claim,
            "skipped": [list(pair) for pair in self.skipped],
            "folds": [
                {"name": fold.name, "test_group": fold.test_group, "tags": dict(fold.tags)}
                | {role: [[s.recording, s.start, s.stop] for s in getattr(fold, role)] for role in ROLES}
                for fold in self.folds
            ],
        }

    def hash(self):
        """Short hash (16 hexadecimal digits) of the manifest."""
        return hash_content(self.to_manifest())

    def save(self, path):
        """Write the manifest as JSON, whole or not at all."""
        write_json(path, self.to_manifest())


def load(path):
    """Read a split that :meth:`Split.save` wrote.

    Raises
    ------
    DataError
        Not a split manifest. (A file that does not exist raises FileNotFoundError.)
    """
    text = Path(path).read_text(encoding="utf-8")
    try:
        content = json.loads(text)
        folds = [Fold(f["name"], **{role: [Segment(*s) for s in f[role]] for role in ROLES},
                      test_group=f["test_group"], tags=f["tags"]) for f in content["folds"]]
        return Split(content["regime"], folds, content["claim"], content["skipped"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(path, f"no split manifest ({type(error).__name__}: {error})",
                        "a file written by Split.save", "make the split again and save it") from error


def animal_pairs(dataset):
    """Ordered pairs (test animal, validation animal); all other animals train. Five animals give 20 folds.

    Ajioka et al. 2024, DOI 10.1371/journal.pcbi.1011074.

    Raises
    ------
    ParameterError
        Fewer than three animals.
    """
    animals = dataset.animals
    if len(animals) < 3:
        raise ParameterError(f"split 'animal_pairs' of {dataset.name}", f"{len(animals)} animal(s)",
                             "at least 3",
                             "use leave_one_session_out, last_part or blocked, which work within one animal")
    folds = []
    for test, valid in itertools.permutations(animals, 2):
        train = [r for r in dataset.recordings if r.animal not in (test, valid)]
        folds.append(_fold(f"test={test},valid={valid}", train, dataset.of_animal(valid),
                           dataset.of_animal(test), test))
    return Split("animal_pairs", folds, "across animals")


def leave_one_session_out(dataset, valid="next"):
    """Within each animal every session, with all its parts, is the test once; another validates.

    Parameters
    ----------
    dataset : Dataset
    valid : {"next", "previous"}
        Which session validates, in order of appearance and cyclically.

    Returns
    -------
    Split
        Animals with fewer than three sessions are in ``skipped``.

    Raises
    ------
    ParameterError
        No animal has three sessions, or ``valid`` is unknown.
    """
    if valid not in ("next", "previous"):
        raise ParameterError("valid", repr(valid), "'next' or 'previous'", "use one of these two")
    step = 1 if valid == "next" else -1
    folds, skipped = [], []
    for animal in dataset.animals:
        sessions = _sessions(dataset.of_animal(animal))
        keys = list(sessions)
        if len(keys) < 3:
            skipped.append((animal, f"{len(keys)} session(s), needs 3: train, validate, test"))
            continue
        for i, key in enumerate(keys):
            valid_key = keys[(i + step) % len(keys)]
            train = [r for k in keys if k not in (key, valid_key) for r in sessions[k]]
            name = f"test={key},valid={valid_key}"
            folds.append(_fold(name, train, sessions[valid_key], sessions[key], key))
    return Split("leave_one_session_out", folds, "across sessions", skipped)


def last_part(dataset):
    """Each session by itself: its last part is the test, the last but one validates, the earlier ones train.

    Parts are in order of appearance in the data set. Sessions with fewer than three are in ``skipped``.

    Raises
    ------
    ParameterError
        No session has three parts.
    """
    folds, skipped = [], []
    for key, parts in _sessions(dataset.recordings).items():
        if len(parts) < 3:
            skipped.append((key, f"{len(parts)} part(s), needs 3: train, validate, test"))
            continue
        folds.append(_fold(f"test={parts[-1].id}", parts[:-2], parts[-2:-1], parts[-1:], key))
    return Split("last_part", folds, "within session", skipped)


def blocked(dataset, n_blocks=5, gap_frames=0):
    """Each session by itself: contiguous blocks of every recording take turns as the test, with a purge gap.

    In fold k block k is the test, block k + 1 (cyclically) validates and the rest trains; of a session with
    parts, block k of each part. Validation and training are trimmed, the test never, until segments of
    different roles are at least ``gap_frames`` frames apart.

    Parameters
    ----------
    dataset : Dataset
    n_blocks : int
        At least 3.
    gap_frames : int
        Frames that lie between two roles and belong to none; :func:`purge_gap_frames` says how many are
        needed.

    Raises
    ------
    ParameterError
        A recording too short for so many blocks with so wide a gap, or a value out of range.
    """
    n_blocks, gap = whole_number("n_blocks", n_blocks, 3), whole_number("gap_frames", gap_frames, 0)
    folds = []
    for key, recordings in _sessions(dataset.recordings).items():
        for k in range(n_blocks):
            roles = {role: [] for role in ROLES}
            for recording in recordings:
                for role, segments in _block_roles(recording, n_blocks, k, gap).items():
                    roles[role] += segments
            animal = recordings[0].animal
            folds.append(Fold(f"test={key},block={k + 1}", **roles, test_group=key,
                              tags={"test_animal": animal, "valid_animal": animal, "block": str(k + 1)}))
    return Split("blocked", folds, "within session")


REGIMES = {
    "animal_pairs": animal_pairs,
    "leave_one_session_out": leave_one_session_out,
    "last_part": last_part,
    "blocked": blocked,
}


def build(regime, dataset, spec, pipeline, embargo_frames=0, **options):
    """Make a split by name.

    Parameters
    ----------
    regime : {"animal_pairs", "leave_one_session_out", "last_part", "blocked"}
    dataset : Dataset
    spec : WindowSpec
    pipeline : Pipeline
    embargo_frames : int
        For ``"blocked"``: frames added to the purge gap, a few autocorrelation times of the behaviour.
    **options
        Further parameters of the builder. ``gap_frames`` of ``"blocked"`` is derived from ``spec`` and
        ``pipeline`` with :func:`purge_gap_frames` unless given.

    Raises
    ------
    ParameterError
        Unknown regime or option, or what the builder refuses.
    LeakError
        ``"blocked"`` with preprocessing that looks at the whole recording.
    """
    if regime not in REGIMES:
        raise ParameterError("regime", repr(regime), f"one of {', '.join(REGIMES)}", "use one of these names")
    builder = REGIMES[regime]
    known = set(inspect.signature(builder).parameters) - {"dataset"}
    if unknown := sorted(set(options) - known):
        raise ParameterError(f"split '{regime}'", f"option(s) {', '.join(unknown)}",
                             f"options among {', '.join(sorted(known)) or '(none)'}", "leave them out")
    embargo = whole_number("embargo_frames", embargo_frames, 0)
    if regime == "blocked":
        needed = purge_gap_frames(spec, pipeline)
        gap = whole_number("gap_frames", options.get("gap_frames", needed), 0)
        options["gap_frames"] = gap + embargo
    elif embargo:
        raise ParameterError(f"split '{regime}'", f"embargo_frames = {embargo}", "0: only 'blocked' has gaps",
                             "leave it out, or use 'blocked'")
    return builder(dataset, **options)


def purge_gap_frames(spec, pipeline):
    """Frames that must lie between two roles in one recording: window span, label shift, preprocessing reach.

    Returns
    -------
    int

    Raises
    ------
    LeakError
        A step looks at the whole recording, so no gap is wide enough.
    """
    reach = pipeline.look_back_frames + pipeline.look_ahead_frames
    if math.isinf(reach):
        step = widest_step(pipeline)
        raise LeakError(
            f"preprocessing step {type(step).__name__}",
            "a step that looks at the whole recording, test frames included, in a split within recordings",
            "steps of limited reach",
            "use the recipe 'causal' or 'scaled' (or 'events'), or a split across sessions or animals",
        )
    return int(spec.length + abs(spec.label_shift_frames) + reach)


def widest_step(pipeline):
    """The step of a pipeline that reaches furthest, or None if none reaches beyond the present frame."""
    reach = [step.look_back_frames + step.look_ahead_frames for step in pipeline.steps]
    return pipeline.steps[int(np.argmax(reach))] if reach and max(reach) > 0 else None


def _fold(name, train, valid, test, test_group):
    """Fold of whole recordings."""
    whole = ([Segment(r.id, 0, r.n_frames) for r in recordings] for recordings in (train, valid, test))
    return Fold(name, *whole, test_group, {"test_animal": test[0].animal, "valid_animal": valid[0].animal})


def _sessions(recordings):
    found = {}
    for recording in recordings:
        found.setdefault(f"{recording.animal}/{recording.session}", []).append(recording)
    return found


def _block_roles(recording, n_blocks, k, gap):
    edges = [i * recording.n_frames // n_blocks for i in range(n_blocks + 1)]
    spans = list(itertools.pairwise(edges))
    test, valid = spans[k], spans[(k + 1) % n_blocks]
    # Neighbouring training blocks are joined, so that windows may lie across the borders between them.
    rest = _without([(0, recording.n_frames)], [test, valid], 0)
    kept_valid = _without([valid], [test], gap)
    kept = {"train": _without(rest, [test, *kept_valid], gap), "valid": kept_valid, "test": [test]}
    if test[0] == test[1] or not all(kept.values()):
        raise ParameterError(
            f"split 'blocked' of {recording.id}",
            f"{n_blocks} blocks of about {recording.n_frames // n_blocks} frames with gaps of {gap} frames",
            "frames left for training, validation and test",
            "use fewer blocks, shorter windows or preprocessing of shorter reach, or leave the recording out",
        )
    return {role: [Segment(recording.id, *span) for span in spans] for role, spans in kept.items()}


def _without(spans, others, gap):
    """Parts of ``spans`` at least ``gap`` frames away from each of ``others``; empty parts are left out."""
    for low, high in others:
        before = [(start, min(stop, low - gap)) for start, stop in spans]
        after = [(max(start, high + gap), stop) for start, stop in spans]
        spans = sorted((start, stop) for start, stop in before + after if start < stop)
    return spans
