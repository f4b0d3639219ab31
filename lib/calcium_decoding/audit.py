"""Leak audit: what a split claims, checked against the frames that its windows really touch."""

import hashlib
import itertools
from dataclasses import asdict, dataclass

import numpy as np

from calcium_decoding.errors import DataError, LeakError
from calcium_decoding.splits import ROLES, widest_step
from calcium_decoding.windows import valid_centres


@dataclass(frozen=True)
class FoldAudit:
    """One fold that passed.

    Parameters
    ----------
    name : str
    n_windows : dict of str to int
        Windows of each role.
    distance_frames : int or None
        Least number of frames between two roles in one recording; None if they share no recording.
    spare_frames : int or None
        The same after preprocessing reach is taken off: at least 0.
    """

    name: str
    n_windows: dict[str, int]
    distance_frames: int | None
    spare_frames: int | None


@dataclass(frozen=True)
class Audit:
    """A split that passed the audit, with what was checked; :func:`audit` makes it.

    Parameters
    ----------
    split_hash : str
    regime, claim : str
    preprocessing : list of dict
        :meth:`Pipeline.describe`.
    folds : tuple of FoldAudit
    """

    split_hash: str
    regime: str
    claim: str
    preprocessing: list
    folds: tuple[FoldAudit, ...]

    def to_dict(self):
        """The audit as JSON can hold it."""
        return asdict(self)


def audit(split, spec, pipeline, dataset):
    """Check every fold of a split; return only if nothing leaks.

    Parameters
    ----------
    split : Split
    spec : WindowSpec
    pipeline : Pipeline
    dataset : Dataset

    Returns
    -------
    Audit

    Raises
    ------
    DataError
        A recording that the data set does not have, a segment out of range, a role without a window.
    LeakError
        An animal or session on both sides of a claim across them; preprocessing fitted on each recording in a
        claim within sessions; frames touched by two roles; the same signal under two names in two roles.
    """
    recordings = {recording.id: recording for recording in dataset.recordings}
    hashes = {}
    folds = []
    for fold in split.folds:
        n_windows = {role: _count_windows(fold, role, spec, recordings, dataset.name) for role in ROLES}
        _check_claim(fold, split.claim, pipeline, recordings)
        _check_content(fold, recordings, hashes)
        distance, spare = _check_frames(fold, spec, pipeline, recordings)
        folds.append(FoldAudit(fold.name, n_windows, distance, spare))
    return Audit(split.hash(), split.regime, split.claim, pipeline.describe(), tuple(folds))


def footprint(segment, spec, pipeline, n_frames):
    """Frames of its recording that the windows of a segment touch, through window, label and preprocessing.

    Steps fitted on training frames see all frames of the segment, whether or not a window covers them.

    Parameters
    ----------
    segment : Segment
    spec : WindowSpec
    pipeline : Pipeline
    n_frames : int
        Length of the recording.

    Returns
    -------
    (int, int)
        Half-open range within the recording.
    """
    first, stop = segment.start, segment.stop
    centres = valid_centres(first, stop, spec)
    is_fitted = any(step.fitted_on == "training frames" for step in pipeline.steps)
    if len(centres) and not is_fitted:
        # Labels are not preprocessed: the reach of preprocessing counts from the window, not from the label.
        shift, past, future = spec.label_shift_frames, spec.past_frames, spec.future_frames
        low = min(centres[0] - past - pipeline.look_back_frames, centres[0] + shift)
        high = max(centres[-1] + future + pipeline.look_ahead_frames, centres[-1] + shift) + 1
    else:
        low, high = first - pipeline.look_back_frames, stop + pipeline.look_ahead_frames
    return int(max(0, low)), int(min(n_frames, high))


def signal_hash(recording):
    """Hexadecimal SHA-256 of a recording's signal alone, so that a copy under another name is found."""
    digest = hashlib.sha256(str(recording.signal.shape).encode())
    digest.update(recording.signal.data)
    return digest.hexdigest()


def fold_classes(fold, dataset, label="run", spec=None):
    """Classes that occur in each role of a fold.

    Parameters
    ----------
    fold : Fold
    dataset : Dataset
    label : str
        Which behaviour.
    spec : WindowSpec, optional
        Count only frames that are the label of a window; without it, all frames of the segments.

    Returns
    -------
    dict of str to dict
        Role to {class: number of frames}.
    """
    behaviour = {r.id: r.behaviour[label] for r in dataset.recordings if label in r.behaviour}
    found = {}
    for role in ROLES:
        counts = {}
        for segment in getattr(fold, role):
            if segment.recording not in behaviour:
                raise DataError(f"recording {segment.recording}", f"no behaviour '{label}' in {dataset.name}",
                                "a label for every recording of the split", "name another behaviour")
            frames = slice(segment.start, segment.stop)
            if spec is not None:
                frames = valid_centres(segment.start, segment.stop, spec) + spec.label_shift_frames
            for value, count in zip(*np.unique(behaviour[segment.recording][frames], return_counts=True),
                                    strict=True):
                counts[value.item()] = counts.get(value.item(), 0) + int(count)
        found[role] = counts
    return found


def not_evaluable(split, dataset, label="run", classes=(0, 1), spec=None):
    """Folds whose training or test frames lack a class, so that a score would mean nothing.

    Returns
    -------
    list of (str, str)
        Fold name and reason.
    """
    found = []
    for fold in split.folds:
        counts = fold_classes(fold, dataset, label, spec)
        lacking = [f"{role} has no frame with {label} = {c}"
                   for role in ("train", "test") for c in classes if not counts[role].get(c)]
        if lacking:
            found.append((fold.name, "; ".join(lacking)))
    return found


def _count_windows(fold, role, spec, recordings, dataset_name):
    n_windows = 0
    for segment in getattr(fold, role):
        where = f"fold {fold.name}, {role}, recording {segment.recording}"
        if segment.recording not in recordings:
            raise DataError(where, "a recording the data set does not have",
                            f"one of {', '.join(list(recordings)[:5])}, ... of {dataset_name}",
                            "make the split from this data set")
        if segment.stop > recordings[segment.recording].n_frames:
            raise DataError(where, f"frames {segment.start} .. {segment.stop}",
                            f"frames inside 0 .. {recordings[segment.recording].n_frames}",
                            "make the split from this data set")
        n_windows += len(valid_centres(segment.start, segment.stop, spec))
    if not n_windows:
        raise DataError(f"fold {fold.name}, {role}", "no window at all",
                        f"a segment of at least {spec.frames_needed} frames",
                        "use longer segments, shorter windows or a smaller label shift")
    return n_windows


def _check_claim(fold, claim, pipeline, recordings):
    if claim == "within session":
        step = next((s for s in pipeline.steps if s.fitted_on == "each recording"), None)
        if step is not None:
            raise LeakError(
                f"fold {fold.name}",
                f"step {type(step).__name__}, fitted on each recording as a whole",
                "steps that do not look at the whole test recording in a claim within sessions",
                "use the recipe 'causal', 'scaled' or 'events', or a split across sessions or animals",
            )
        return
    noun = "animal" if claim == "across animals" else "session"

    def units(*roles):
        found = [recordings[segment.recording] for role in roles for segment in getattr(fold, role)]
        return {r.animal if noun == "animal" else f"{r.animal}/{r.session}" for r in found}

    both = sorted(units("test") & units("train", "valid"))
    if both:
        raise LeakError(
            f"fold {fold.name}",
            f"{noun} {', '.join(both)} in the test and in training or validation",
            f"no {noun} on both sides of a claim {claim}",
            f"take the {noun} out of one side, or make a smaller claim",
        )


def _check_content(fold, recordings, hashes):
    seen = {}
    for role in ROLES:
        for segment in getattr(fold, role):
            name = segment.recording
            if name not in hashes:
                hashes[name] = signal_hash(recordings[name])
            for other, other_role in seen.setdefault(hashes[name], {}).items():
                if other != name and other_role != role:
                    raise LeakError(f"fold {fold.name}",
                                    f"the same signal as {other} ({other_role}) and as {name} ({role})",
                                    "each signal once", "leave one of the two recordings out of the data set")
            seen[hashes[name]][name] = role


def _check_frames(fold, spec, pipeline, recordings):
    distances, spares = [], []
    for role, other_role in itertools.combinations(ROLES, 2):
        others = {}
        for segment in getattr(fold, other_role):
            others.setdefault(segment.recording, []).append(segment)
        for segment in getattr(fold, role):
            n_frames = recordings[segment.recording].n_frames
            ours = footprint(segment, spec, pipeline, n_frames)
            for other in others.get(segment.recording, ()):
                theirs = footprint(other, spec, pipeline, n_frames)
                distances.append(max(segment.start, other.start) - min(segment.stop, other.stop))
                spares.append(max(ours[0], theirs[0]) - min(ours[1], theirs[1]))
                if spares[-1] < 0:
                    raise _overlap(fold, (role, segment, ours), (other_role, other, theirs), pipeline)
    return min(distances, default=None), min(spares, default=None)


def _overlap(fold, one, two, pipeline):
    (role, segment, ours), (other_role, other, theirs) = one, two
    where = f"fold {fold.name}, recording {segment.recording}"
    first, last = max(segment.start, other.start), min(segment.stop, other.stop) - 1
    if first <= last:
        return LeakError(where, f"frames {first} .. {last} in segments of both {role} and {other_role}",
                         "each frame in one role", "mend the split")
    step = widest_step(pipeline)
    first, last = max(ours[0], theirs[0]), min(ours[1], theirs[1]) - 1
    return LeakError(
        where,
        f"frames {first} .. {last} touched by both {role} ({segment.start} .. {segment.stop - 1}) and "
        f"{other_role} ({other.start} .. {other.stop - 1}) through preprocessing step {type(step).__name__}, "
        f"which reaches {step.look_back_frames} frames back and {step.look_ahead_frames} ahead",
        "frames touched by one role only",
        "widen the gap between segments (splits.purge_gap_frames), or use preprocessing of shorter reach",
    )
