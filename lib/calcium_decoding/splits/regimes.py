"""Regimes: one function a way of testing, by name; among them the published one that leaks, kept to be shown."""

import inspect
import itertools
from dataclasses import replace

import numpy as np

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.preprocessing.transforms import whole_number
from calcium_decoding.preprocessing.windows import valid_centres
from calcium_decoding.splits.core import LEAKY, ROLES, Fold, Segment, Split, random_parts, sessions_of
from calcium_decoding.splits.gap import behaviour_of, embargo_frames, purge_gap_frames


def animal_pairs(dataset):
    """Ordered pairs (test animal, validation animal); all other animals train. Five animals give 20 folds.

    Raises ParameterError: fewer than three animals. Ajioka et al. 2024, DOI 10.1371/journal.pcbi.1011074.
    """
    animals = dataset.animals
    if len(animals) < 3:
        raise ParameterError(f"split 'animal_pairs' of {dataset.name}", f"{len(animals)} animal(s)", "at least 3",
                             "use leave_one_session_out, last_part or blocked, which work within one animal")
    folds = []
    for test, valid in itertools.permutations(animals, 2):
        train = [r for r in dataset.recordings if r.animal not in (test, valid)]
        folds.append(_fold(f"test={test},valid={valid}", train, dataset.of_animal(valid),
                           dataset.of_animal(test), test))
    return Split("animal_pairs", folds, "across animals")


def nested_animals(dataset):
    """The folds of :func:`animal_pairs`, as the inner loops of a nested cross-validation; see
    :func:`calcium_decoding.experiments.nested.run`."""
    return replace(animal_pairs(dataset), regime="nested_animals")


def leave_one_session_out(dataset):
    """Within each animal every session, with all its parts, is the test once; the next one, cyclically, validates.

    Animals with fewer than three sessions are in ``skipped``. Raises ParameterError: no animal has three.
    """
    folds, skipped = [], []
    for animal in dataset.animals:
        sessions = sessions_of(dataset.of_animal(animal))
        keys = list(sessions)
        if len(keys) < 3:
            skipped.append((animal, f"{len(keys)} session(s), needs 3: train, validate, test"))
            continue
        for i, key in enumerate(keys):
            valid_key = keys[(i + 1) % len(keys)]
            train = [r for k in keys if k not in (key, valid_key) for r in sessions[k]]
            name = f"test={key},valid={valid_key}"
            folds.append(_fold(name, train, sessions[valid_key], sessions[key], key))
    return Split("leave_one_session_out", folds, "across sessions", skipped)


def last_part(dataset):
    """Each session by itself: its last part is the test, the last but one validates, the earlier ones train.

    Sessions with fewer than three parts are in ``skipped``. Raises ParameterError: no session has three.
    """
    folds, skipped = [], []
    for key, parts in sessions_of(dataset.recordings).items():
        if len(parts) < 3:
            skipped.append((key, f"{len(parts)} part(s), needs 3: train, validate, test"))
            continue
        folds.append(_fold(f"test={parts[-1].id}", parts[:-2], parts[-2:-1], parts[-1:], key))
    return Split("last_part", folds, "within session", skipped)


def blocked(dataset, n_blocks=5, gap_frames=0, embargo_times=0.0, label="run"):
    """Each session by itself: contiguous blocks of every recording take turns as the test, with a purge gap.

    In fold k block k of each part is the test, block k + 1 (cyclically) validates and the rest trains. Validation and
    training are trimmed, the test never. ``n_blocks``: at least 3. ``gap_frames``: frames between two roles;
    :func:`purge_gap_frames` says how many are needed. ``embargo_times``: autocorrelation times of the behaviour
    ``label`` added to the gap; see :func:`embargo_frames`. Raises ParameterError: a recording too short for so many
    blocks with so wide a gap, or a value out of range.
    """
    n_blocks, gap = whole_number("n_blocks", n_blocks, 3), whole_number("gap_frames", gap_frames, 0)
    gap += embargo_frames(dataset, embargo_times, label) if embargo_times else 0
    folds = []
    for key, recordings in sessions_of(dataset.recordings).items():
        for k in range(n_blocks):
            roles = {role: [] for role in ROLES}
            for recording in recordings:
                for role, segments in _block_roles(recording, n_blocks, k, gap).items():
                    roles[role] += segments
            animal = recordings[0].animal
            folds.append(Fold(f"test={key},block={k + 1}", **roles, test_group=key,
                              tags={"test_animal": animal, "valid_animal": animal, "block": str(k + 1)}))
    return Split("blocked", folds, "within session")


def random_windows(dataset, spec, seed=0, label="run"):
    """Assign the windows of each session at random within each class: one fold a session. Leaks on purpose.

    As in the code of Mirzaee, Chang, Latifi 2025 (arXiv 2504.16917): windows of stride 1 are made first; of each class
    of the behaviour ``label``, 70 % train, 15 % validate and 15 % test. The audit refuses it, unless called with
    ``allow_leak=True``. Segments of the Split hold centres of windows. Sessions with fewer than three windows of a
    class, or without windows of 0 or of 1, are in ``skipped``.
    """
    rng = np.random.default_rng(whole_number("seed", seed, 0))
    folds, skipped = [], []
    for key, recordings in sessions_of(dataset.recordings).items():
        try:
            segments = _assigned(recordings, spec, rng, label)
        except DataError as error:
            skipped.append((key, error.found))
            continue
        animal = recordings[0].animal
        folds.append(Fold(f"LEAKY random windows of {key}", **segments, test_group=key,
                          tags={"test_animal": animal, "valid_animal": animal}))
    return Split("random_windows", folds, LEAKY, skipped, of_centres=True)


REGIMES = {regime.__name__: regime for regime in (animal_pairs, leave_one_session_out, last_part, blocked,
                                                  nested_animals, random_windows)}


def build(regime, dataset, spec, pipeline, label_smoothing_frames=(0, 0), **options):
    """Make a split by name: a key of :data:`REGIMES`, whose functions say what each does.

    ``blocked`` and ``last_part`` test within a session, ``leave_one_session_out`` across sessions, ``animal_pairs`` and
    ``nested_animals`` across animals; a score under ``random_windows`` claims nothing. Frames that a recording says
    cannot be used are in no role.

    ``options``: of the regime; ``gap_frames`` of ``"blocked"`` is :func:`purge_gap_frames` unless given, wider by
    ``label_smoothing_frames``, (int, int). Returns Split. Raises ParameterError: unknown regime or option, or what the
    regime refuses; LeakError: ``"blocked"`` with preprocessing that looks at the whole recording.
    """
    if regime not in REGIMES:
        raise ParameterError("regime", repr(regime), f"one of {', '.join(REGIMES)}", "use one of these names")
    builder = REGIMES[regime]
    known = set(inspect.signature(builder).parameters) - {"dataset", "spec"}
    if unknown := sorted(set(options) - known):
        raise ParameterError(f"split '{regime}'", f"option(s) {', '.join(unknown)}",
                             f"options among {', '.join(sorted(known)) or '(none)'}", "leave them out")
    if regime == "blocked":
        options = {"gap_frames": purge_gap_frames(spec, pipeline, label_smoothing_frames)} | options
    if regime == "random_windows":
        options["spec"] = spec
    return builder(dataset, **options).within(dataset, spec)


def _fold(name, train, valid, test, test_group):
    whole = ([Segment(r.id, 0, r.n_frames) for r in recordings] for recordings in (train, valid, test))
    return Fold(name, *whole, test_group, {"test_animal": test[0].animal, "valid_animal": valid[0].animal})


def _block_roles(recording, n_blocks, k, gap):
    edges = [i * recording.n_frames // n_blocks for i in range(n_blocks + 1)]
    spans = list(itertools.pairwise(edges))
    test, valid = spans[k], spans[(k + 1) % n_blocks]
    # Neighbouring training blocks are joined, so that windows may lie across the borders between them.
    rest = without([(0, recording.n_frames)], [test, valid], 0)
    kept_valid = without([valid], [test], gap)
    kept = {"train": without(rest, [test, *kept_valid], gap), "valid": kept_valid, "test": [test]}
    if test[0] == test[1] or not all(kept.values()):
        raise ParameterError(f"split 'blocked' of {recording.id}", f"{n_blocks} blocks of about "
                             f"{recording.n_frames // n_blocks} frames with gaps of {gap} frames",
                             "frames left for training, validation and test", "use fewer blocks, shorter windows or "
                             "preprocessing of shorter reach, or leave the recording out")
    return {role: [Segment(recording.id, *span) for span in spans] for role, spans in kept.items()}


def without(spans, others, gap):
    """Parts of ``spans`` at least ``gap`` frames away from each of ``others``; empty parts are left out."""
    for low, high in others:
        before = [(start, min(stop, low - gap)) for start, stop in spans]
        after = [(max(start, high + gap), stop) for start, stop in spans]
        spans = sorted((start, stop) for start, stop in before + after if start < stop)
    return spans


def _assigned(recordings, spec, rng, label):
    """Segments by role: runs of neighbouring centres that fell to the same role."""
    by_recording = [valid_centres(0, r.n_frames, spec) for r in recordings]
    labels = np.concatenate([behaviour_of(r, label)[centres + spec.label_shift_frames]
                             for r, centres in zip(recordings, by_recording, strict=True)])
    role = np.empty(len(labels), dtype=np.int8)
    for value in np.union1d((0, 1), labels) if labels.max() <= 1 else np.unique(labels):
        parts = random_parts(np.flatnonzero(labels == value), (0.7, 0.15, 0.15), rng)
        if not all(map(len, parts)):
            raise DataError("session", f"{sum(map(len, parts))} windows with {label} = {value:g}",
                            "at least one in each role", "leave the session out")
        for i, part in enumerate(parts):
            role[part] = i
    segments, centre = {name: [] for name in ROLES}, np.concatenate(by_recording)
    of = np.repeat(np.arange(len(recordings)), [len(centres) for centres in by_recording])
    # A new run begins where recording or role change or a centre is missing (stride above 1).
    breaks = np.flatnonzero((np.diff(of) != 0) | (np.diff(role) != 0) | (np.diff(centre) != 1)) + 1
    for first, last in zip([0, *breaks], [*breaks - 1, len(role) - 1], strict=True):
        segments[ROLES[role[first]]].append(Segment(recordings[of[first]].id, centre[first], centre[last] + 1))
    return segments
