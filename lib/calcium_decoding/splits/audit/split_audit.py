"""Leak audit: what a split claims, checked against the frames that its windows really touch."""

import itertools
from dataclasses import dataclass

import numpy as np

from calcium_decoding.errors import DataError, LeakError
from calcium_decoding.preprocessing.transforms import whole_number
from calcium_decoding.splits.audit.fitted import FittedStep, check_segments, refuse_fitted, steps_of, units
from calcium_decoding.splits.audit.footprints import Intervals, common_frames, footprint, sample_intervals
from calcium_decoding.splits.audit.repeats import duplicates
from calcium_decoding.splits.core import ROLES
from calcium_decoding.splits.gap import widest_step


@dataclass(frozen=True)
class FoldAudit:
    """One fold that passed: windows of each role, least number of frames between two roles in one recording (None if
    they share none), and ``spare_frames``, the same after preprocessing reach is taken off: at least 0."""

    name: str
    n_windows: dict[str, int]
    distance_frames: int | None
    spare_frames: int | None


@dataclass(frozen=True)
class Audit:
    """A split that passed the audit; ``fitted``: every step that learnt or was chosen, ``leaks``: what was found in a
    split that is marked as leaky."""

    claim: str
    folds: tuple[FoldAudit, ...]
    fitted: tuple[FittedStep, ...]
    leaks: tuple[str, ...]


def audit(split, spec, pipeline, dataset, label_smoothing_frames=(0, 0), fitted=(), embargo_frames=0,
          allow_leak=False):
    """Check every fold of a split; return an Audit only if nothing leaks.

    ``label_smoothing_frames``: how many frames the smoothing of the label looks back and ahead. ``fitted``: FittedSteps
    beside those of the pipeline. ``embargo_frames``: least number of frames between what two roles touch in one
    recording. ``allow_leak``: let a split pass that is marked as leaky, and list what was found; no other.

    Raises LeakError: an animal or session on both sides of a claim across them; preprocessing fitted on each recording
    in a claim within sessions; a step fitted or chosen on test frames; frames touched by two roles, or closer than the
    embargo; the same signal, or a stretch of it, at two places in two roles; a split marked as leaky. Raises DataError:
    a recording that the data set does not have, a segment out of range, a role without a window.
    """
    recordings = {r.id: r for r in dataset.recordings}
    n_frames = {r.id: r.n_frames for r in dataset.recordings}
    smoothing, embargo = label_smoothing_frames, whole_number("embargo_frames", embargo_frames, 0)
    own, folds, leaks = steps_of(pipeline), [], []
    for fold in split.folds:
        for role in ROLES:
            check_segments(getattr(fold, role), recordings, f"fold {fold.name}, {role}, recording")
        samples = {role: sample_intervals(getattr(fold, role), spec, pipeline, n_frames, smoothing, split.of_centres)
                   for role in ROLES}
        for role in ROLES:
            if not len(samples[role]):
                raise DataError(f"fold {fold.name}, {role}", "no window at all",
                                f"a segment of at least {spec.frames_needed} frames",
                                "use longer segments, shorter windows or a smaller label shift")
        distance = spare = None
        try:
            _check_claim(fold, split.claim, recordings)
            for step in own:
                if "each recording" in step.fitted_on:
                    refuse_fitted(step, fold, split.claim, samples["test"], recordings, pipeline)
            _check_content(fold, recordings)
            if split.of_centres:
                _check_samples(fold, samples)
            else:
                distance, spare = _check_frames(fold, spec, pipeline, n_frames, smoothing, embargo)
            for step in (*own, *fitted):
                refuse_fitted(step, fold, split.claim, samples["test"], recordings, pipeline)
            _check_duplicates(fold, samples, dataset)
        except LeakError as error:
            if not (allow_leak and split.is_leaky):
                raise
            leaks.append(str(error))
        folds.append(FoldAudit(fold.name, {role: len(samples[role]) for role in ROLES}, distance, spare))
    if split.is_leaky and not allow_leak:
        raise LeakError(f"split '{split.regime}'", "a split marked as leaky", "a split that claims something",
                        "use another regime, or allow_leak=True to show what the leak does")
    return Audit(split.claim, tuple(folds), (*own, *fitted), tuple(leaks))


def _check_claim(fold, claim, recordings):
    both = sorted(units(fold.test, claim, recordings) & units((*fold.train, *fold.valid), claim, recordings))
    if both:
        noun = "animal" if claim == "across animals" else "session"
        raise LeakError(f"fold {fold.name}", f"{noun} {', '.join(both)} in the test and in training or validation",
                        f"no {noun} on both sides of a claim {claim}",
                        f"take the {noun} out of one side, or make a smaller claim")


def _check_content(fold, recordings):
    seen = {}
    for role in ROLES:
        for name in dict.fromkeys(segment.recording for segment in getattr(fold, role)):
            alike = seen.setdefault(recordings[name].signal_hash, {})
            for other, other_role in alike.items():
                if other != name and other_role != role:
                    raise LeakError(f"fold {fold.name}",
                                    f"the same signal as {other} ({other_role}) and as {name} ({role})",
                                    "each signal once", "leave one of the two recordings out of the data set")
            alike[name] = role


def _check_frames(fold, spec, pipeline, n_frames, smoothing, embargo):
    distances, spares = [], []
    for role, other_role in itertools.combinations(ROLES, 2):
        for pair in itertools.product(getattr(fold, role), getattr(fold, other_role)):
            one, other = pair
            if one.recording != other.recording:
                continue
            ours, theirs = (footprint(s, spec, pipeline, n_frames[s.recording], smoothing) for s in pair)
            distances.append(max(one.start, other.start) - min(one.stop, other.stop))
            spares.append(max(ours[0], theirs[0]) - min(ours[1], theirs[1]))
            if spares[-1] < 0:
                raise _overlap(fold, (role, one, ours), (other_role, other, theirs), spec, pipeline, smoothing)
            if spares[-1] < embargo:
                raise LeakError(f"fold {fold.name}, recording {one.recording}",
                                f"{spares[-1]} frames between what {role} and {other_role} touch",
                                f"an embargo of {embargo} frames or more",
                                "widen the gap between segments (gap_frames or embargo_times of splits.build)")
    return min(distances, default=None), min(spares, default=None)


def _overlap(fold, one, two, spec, pipeline, smoothing):
    (role, segment, ours), (other_role, other, theirs) = one, two
    where = f"fold {fold.name}, recording {segment.recording}"
    first, last = max(segment.start, other.start), min(segment.stop, other.stop) - 1
    if first <= last:
        return LeakError(where, f"frames {first} .. {last} in segments of both {role} and {other_role}",
                         "each frame in one role", "mend the split")
    first, last = max(ours[0], theirs[0]), min(ours[1], theirs[1]) - 1
    bare = [footprint(s, spec, pipeline, max(ours[1], theirs[1])) for s in (segment, other)]
    if max(bare[0][0], bare[1][0]) >= min(bare[0][1], bare[1][1]):
        step, (back, ahead) = "smoothing of the label", smoothing
    else:
        widest = widest_step(pipeline)
        step = f"preprocessing step {type(widest).__name__}"
        back, ahead = widest.look_back_frames, widest.look_ahead_frames
    return LeakError(where, f"frames {first} .. {last} touched by both {role} ({segment.start} .. {segment.stop - 1}) "
                     f"and {other_role} ({other.start} .. {other.stop - 1}) through {step}, "
                     f"which reaches {back} frames back and {ahead} ahead", "frames touched by one role only",
                     "widen the gap between segments (splits.purge_gap_frames), or use preprocessing of shorter reach")


def _check_samples(fold, samples):
    for role, other_role in itertools.combinations(ROLES, 2):
        shared = common_frames(samples[role], samples[other_role])
        if shared:
            name, first, last = shared[0]
            n = int(samples[other_role].overlapping(samples[role]).sum())
            raise LeakError(f"fold {fold.name}, recording {name}",
                            f"frames {first} .. {last} touched by windows of both {role} and {other_role}: "
                            f"{n} of {len(samples[other_role])} {other_role} windows overlap windows of {role}",
                            "windows of one role only on each frame",
                            "split time before windows are made: the regime 'blocked'")


def _check_duplicates(fold, samples, dataset):
    for copy in duplicates(dataset):
        for role, other_role in itertools.permutations(ROLES, 2):
            both = np.flatnonzero(_is_touched(copy.one, samples[role]) & _is_touched(copy.other, samples[other_role]))
            if len(both):
                one, other = (f"{s.start + both[0]} .. {s.start + both[-1]} of {s.recording} ({of})"
                              for s, of in ((copy.one, role), (copy.other, other_role)))
                how = "equal to" if copy.how == "equal" else "a rescaled copy of"
                raise LeakError(f"fold {fold.name}", f"frames {one} {how} frames {other}",
                                "each stretch of activity once", "leave one of the two stretches out of the data set")


def _is_touched(segment, samples):
    """For each frame of a segment, whether a sample touches it: bool, shape (len(segment),)."""
    frames = np.arange(segment.start, segment.stop)
    return Intervals(segment.recording, frames, frames + 1).overlapping(samples)
