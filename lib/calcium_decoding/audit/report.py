"""What the audit of a split found, with the frames of every sample and of every fitted step."""

from dataclasses import asdict, dataclass, field

from calcium_decoding.audit.fitted import FittedStep
from calcium_decoding.audit.footprints import sample_intervals
from calcium_decoding.errors import ParameterError
from calcium_decoding.splits import ROLES


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
    fitted : tuple of FittedStep
        Every step that learnt or was chosen, with what it was fitted on.
    label_smoothing_frames : (int, int)
        Frames that the label's smoothing looks back and ahead.
    leaks : tuple of str
        What was found in a split that is marked as leaky; empty otherwise.
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
        """The interval of frames that each sample of a role touches.

        Parameters
        ----------
        fold : str
            Name of a fold.
        role : {"train", "valid", "test"}

        Returns
        -------
        Intervals
            One a window, in the order of the segments; ``intervals(...)[i]`` is (recording, start, stop).
        """
        split, spec, pipeline, n_frames = self._checked
        if role not in ROLES:
            raise ParameterError("role", repr(role), f"one of {', '.join(ROLES)}", "name one of these")
        segments = getattr(self._fold(fold), role)
        return sample_intervals(segments, spec, pipeline, n_frames, self.label_smoothing_frames, split.of_centres)

    def fitted_on(self, fold):
        """What each step was fitted on in a fold.

        Returns
        -------
        dict of str to tuple of Segment
            The frames by name of the step; empty for a step fitted on each recording by itself.
        """
        return {step.name: step.segments(self._fold(fold)) for step in self.fitted if step.fold in ("", fold)}

    def _fold(self, name):
        for fold in self._checked[0].folds:
            if fold.name == name:
                return fold
        raise ParameterError("fold", repr(name), f"a fold of the split, such as '{self.folds[0].name}'",
                             "name one of them")
