"""Regimes: one function a way of testing, by name; among them the published one that leaks, kept to be shown."""

import inspect
import itertools
import math
from dataclasses import replace

import numpy as np

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.preprocessing.transforms import whole_number
from calcium_decoding.preprocessing.windows import valid_centres
from calcium_decoding.splits.core import LEAKY, ROLES, Fold, Segment, Split, random_parts, sessions_of
from calcium_decoding.splits.gap import embargo_frames, purge_gap_frames


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


def nested_animals(dataset):
    """The folds of :func:`animal_pairs`, as the inner loops of a nested cross-validation.

    Of the runs that share a test animal, epoch, decoder and threshold are chosen on their validation animals, and the
    scores of the chosen decoder on the test animal are averaged, so that n is the number of animals:
    :func:`calcium_decoding.experiments.nested.run`. Raises ParameterError: fewer than three animals.
    """
    return replace(animal_pairs(dataset), regime="nested_animals")


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
        sessions = sessions_of(dataset.of_animal(animal))
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
    for key, parts in sessions_of(dataset.recordings).items():
        if len(parts) < 3:
            skipped.append((key, f"{len(parts)} part(s), needs 3: train, validate, test"))
            continue
        folds.append(_fold(f"test={parts[-1].id}", parts[:-2], parts[-2:-1], parts[-1:], key))
    return Split("last_part", folds, "within session", skipped)


def blocked(dataset, n_blocks=5, gap_frames=0, embargo_times=0.0):
    """Each session by itself: contiguous blocks of every recording take turns as the test, with a purge gap.

    In fold k block k is the test, block k + 1 (cyclically) validates and the rest trains; of a session with parts,
    block k of each part. Validation and training are trimmed, the test never.

    Parameters
    ----------
    dataset : Dataset
    n_blocks : int
        At least 3.
    gap_frames : int
        Frames that lie between two roles and belong to none; :func:`purge_gap_frames` says how many are needed.
    embargo_times : float
        Autocorrelation times of the run label added to the gap; see :func:`embargo_frames`.

    Raises
    ------
    ParameterError
        A recording too short for so many blocks with so wide a gap, or a value out of range.
    """
    n_blocks, gap = whole_number("n_blocks", n_blocks, 3), whole_number("gap_frames", gap_frames, 0)
    gap += embargo_frames(dataset, embargo_times) if embargo_times else 0
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


def random_windows(dataset, spec, seed=0, shares=(0.7, 0.15, 0.15)):
    """Assign the windows of each session at random within each class: one fold a session. Leaks on purpose.

    As in the code of Mirzaee, Chang, Latifi 2025 (arXiv 2504.16917): windows of stride 1 are made first and then
    assigned, so a test window shares all frames but one with a neighbour in training. The audit refuses it
    and names the frames, unless called with ``allow_leak=True``.

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
            segments = _assigned(recordings, spec, shares, rng)
        except DataError as error:
            skipped.append((key, error.found))
            continue
        animal = recordings[0].animal
        folds.append(Fold(f"LEAKY random windows of {key}", **segments, test_group=key,
                          tags={"test_animal": animal, "valid_animal": animal}))
    return Split("random_windows", folds, LEAKY, skipped, of_centres=True)


REGIMES = {
    "animal_pairs": animal_pairs,
    "leave_one_session_out": leave_one_session_out,
    "last_part": last_part,
    "blocked": blocked,
    "nested_animals": nested_animals,
    "random_windows": random_windows,
}


def build(regime, dataset, spec, pipeline, embargo_frames=0, label_smoothing_frames=0, **options):
    """Make a split by name.

    ========================  ===============  ==========================================================
    name                      claim            design
    ========================  ===============  ==========================================================
    ``blocked``               within session   contiguous blocks, purged, with an embargo if asked for
    ``last_part``             within session   last trial of a session
    ``leave_one_session_out`` across sessions  each session of an animal once
    ``nested_animals``        across animals   each animal once, every choice made on the others
    ``animal_pairs``          across animals   as published: 20 pairs of five animals (Ajioka et al. 2024)
    ``random_windows``        none (LEAKY)     as published: overlapping windows at random (Mirzaee et al. 2025)
    ========================  ===============  ==========================================================

    Parameters
    ----------
    regime : str
        A name of the table.
    dataset : Dataset
    spec : WindowSpec
    pipeline : Pipeline
    embargo_frames : int
        For ``"blocked"``: frames added to the purge gap. Its option ``embargo_times`` takes autocorrelation times.
    label_smoothing_frames : int or (int, int)
        What the smoothing of the label reaches, which widens the gap of ``"blocked"``; see :func:`label_reach`.
    **options
        Further parameters of the regime. ``gap_frames`` of ``"blocked"`` is :func:`purge_gap_frames` unless given.

    Raises
    ------
    ParameterError
        Unknown regime or option, or what the regime refuses.
    LeakError
        ``"blocked"`` with preprocessing that looks at the whole recording.
    """
    if regime not in REGIMES:
        raise ParameterError("regime", repr(regime), f"one of {', '.join(REGIMES)}", "use one of these names")
    builder = REGIMES[regime]
    known = set(inspect.signature(builder).parameters) - {"dataset", "spec"}
    if unknown := sorted(set(options) - known):
        raise ParameterError(f"split '{regime}'", f"option(s) {', '.join(unknown)}",
                             f"options among {', '.join(sorted(known)) or '(none)'}", "leave them out")
    embargo = whole_number("embargo_frames", embargo_frames, 0)
    if regime == "blocked":
        needed = purge_gap_frames(spec, pipeline, label_smoothing_frames)
        gap = whole_number("gap_frames", options.get("gap_frames", needed), 0)
        options["gap_frames"] = gap + embargo
    elif embargo:
        raise ParameterError(f"split '{regime}'", f"embargo_frames = {embargo}", "0: only 'blocked' has gaps",
                             "leave it out, or use 'blocked'")
    if regime == "random_windows":
        options["spec"] = spec
    return builder(dataset, **options)


def _fold(name, train, valid, test, test_group):
    """Fold of whole recordings."""
    whole = ([Segment(r.id, 0, r.n_frames) for r in recordings] for recordings in (train, valid, test))
    return Fold(name, *whole, test_group, {"test_animal": test[0].animal, "valid_animal": valid[0].animal})


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


def _assigned(recordings, spec, shares, rng):
    """Segments by role: runs of neighbouring centres that fell to the same role."""
    centres = [valid_centres(0, r.n_frames, spec) for r in recordings]
    labels = np.concatenate([r.run[c + spec.label_shift_frames] for r, c in zip(recordings, centres, strict=True)])
    role = np.empty(len(labels), dtype=np.int8)
    for value in (0, 1):
        parts = random_parts(np.flatnonzero(labels == value), shares, rng)
        if not all(map(len, parts)):
            raise DataError("session", f"{sum(map(len, parts))} windows with run = {value}",
                            "at least one in each role", "leave the session out")
        for i, part in enumerate(parts):
            role[part] = i
    segments = {name: [] for name in ROLES}
    first = 0
    for recording, mine in zip(recordings, centres, strict=True):
        given = role[first:first + len(mine)]
        first += len(mine)
        # A new run begins where the role changes or a centre is missing (stride above 1).
        breaks = np.flatnonzero((np.diff(given) != 0) | (np.diff(mine) != 1)) + 1
        for run in np.split(np.arange(len(mine)), breaks):
            if len(run):
                segments[ROLES[given[run[0]]]].append(Segment(recording.id, mine[run[0]], mine[run[-1]] + 1))
    return segments
