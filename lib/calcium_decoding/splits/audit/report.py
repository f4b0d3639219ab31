"""What the audit of a split found: frames of every sample and fitted step, and classes in each part of a fold."""

from dataclasses import asdict, dataclass, field

import numpy as np

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.preprocessing.windows import valid_centres
from calcium_decoding.splits.audit.fitted import FittedStep
from calcium_decoding.splits.audit.footprints import sample_intervals
from calcium_decoding.splits.core import ROLES


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
    """A split that passed the audit, with what was checked; :func:`audit` makes it.

    ``preprocessing``: :meth:`Pipeline.describe`. ``fitted``: every step that learnt or was chosen.
    ``label_smoothing_frames``: how far the label's smoothing looks back and ahead. ``leaks``: what was found in a split
    that is marked as leaky; empty otherwise.
    """

    split_hash: str
    regime: str
    claim: str
    preprocessing: list
    folds: tuple[FoldAudit, ...]
    fitted: tuple[FittedStep, ...] = ()
    label_smoothing_frames: tuple[int, int] = (0, 0)
    leaks: tuple[str, ...] = ()
    _checked: tuple = field(default=(), repr=False, compare=False)

    def to_dict(self):
        """The audit as JSON can hold it."""
        return {
            "split_hash": self.split_hash, "regime": self.regime, "claim": self.claim,
            "preprocessing": self.preprocessing, "folds": [asdict(fold) for fold in self.folds],
            "fitted": [step.describe() for step in self.fitted],
            "label_smoothing_frames": list(self.label_smoothing_frames), "leaks": list(self.leaks),
        }

    def intervals(self, fold, role):
        """Intervals of frames that the samples of a role ("train", "valid" or "test") touch in a fold.

        One a window, in the order of the segments; ``intervals(...)[i]`` is (recording, start, stop).
        """
        split, spec, pipeline, n_frames = self._checked
        if role not in ROLES:
            raise ParameterError("role", repr(role), f"one of {', '.join(ROLES)}", "name one of these")
        segments = getattr(self._fold(fold), role)
        return sample_intervals(segments, spec, pipeline, n_frames, self.label_smoothing_frames, split.of_centres)

    def fitted_on(self, fold):
        """Segments that each step was fitted on in a fold, by its name; none for one fitted on each recording."""
        return {step.name: step.segments(self._fold(fold)) for step in self.fitted if step.fold in ("", fold)}

    def _fold(self, name):
        for fold in self._checked[0].folds:
            if fold.name == name:
                return fold
        raise ParameterError("fold", repr(name), f"a fold of the split, such as '{self.folds[0].name}'",
                             "name one of them")


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
