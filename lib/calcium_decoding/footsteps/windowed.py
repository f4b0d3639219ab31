"""Windows over stored frames with the behaviour at their last frame, and scaling that saw training frames only."""

from dataclasses import dataclass

import numpy as np

from calcium_decoding.errors import DataError
from calcium_decoding.footsteps.gait import KINEMATICS

__all__ = ["CLASSES", "KINEMATICS", "Scaling", "Windows", "head_labels", "require_all_classes"]

CLASSES = ("none", "contralateral", "ipsilateral")


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows over frames that are stored once; each ends at the frame whose behaviour is decoded.

    Parameters
    ----------
    frames : ndarray, shape (N, n_cells), float32
        Scaled; see :class:`Scaling`.
    last : ndarray, shape (n,), int64
        Row of the last frame of each window.
    length : int
        Frames of a window.
    labels : ndarray, shape (n,), int64
        0 none, 1 contralateral, 2 ipsilateral.
    targets : dict of str to ndarray (n, k), float32
        Of the heads that are regressed, by name: ``"kinematics"``, ``"activity"``; standardised on training frames.
    """

    frames: np.ndarray
    last: np.ndarray
    length: int
    labels: np.ndarray
    targets: dict

    def __len__(self):
        return len(self.last)

    def __post_init__(self):
        if len(self.last) and (self.last.min() < self.length - 1 or self.last.max() >= len(self.frames)):
            raise DataError("windows", f"last frames {self.last.min()} to {self.last.max()} of {len(self.frames)}",
                            f"windows of {self.length} frames inside the recording", "leave such windows out")

    def gather(self, which):
        """Some windows, shape (len(which), length, n_cells)."""
        return self.frames[self.last[which][:, None] + np.arange(1 - self.length, 1)]

    def part(self, which):
        """Windows with some of the samples, over the same frames."""
        return Windows(self.frames, self.last[which], self.length, self.labels[which],
                       {name: values[which] for name, values in self.targets.items()})


@dataclass(frozen=True, eq=False)
class Scaling:
    """Mean and SD of each column over training frames only.

    Attributes
    ----------
    mean, sd : ndarray, shape (n_columns,), float64
        A column that never changes in training has SD 1.
    """

    mean: np.ndarray
    sd: np.ndarray

    @classmethod
    def of(cls, values):
        """Fit on training frames, shape (n, n_columns)."""
        sd = values.std(0, dtype=np.float64)
        return cls(values.mean(0, dtype=np.float64), np.where(sd > 0, sd, 1.0))

    def apply(self, values):
        """(values - mean) / sd, float32."""
        return ((values - self.mean) / self.sd).astype(np.float32)

    def undo(self, values):
        """Back to the unit of the data, float64."""
        return np.asarray(values, np.float64) * self.sd + self.mean


def head_labels(labels, head):
    """Labels of a head with classes: three classes, or one foot against the rest."""
    return labels if head == "footstep" else (labels == CLASSES.index(head)).astype(np.int64)


def require_all_classes(labels, where):
    """Raise DataError unless all three classes are among ``labels``."""
    missing = [name for i, name in enumerate(CLASSES) if not (labels == i).any()]
    if missing:
        raise DataError(where, f"no frame with label {', '.join(missing)} in {len(labels)}", "all three classes",
                        "use more frames, or leave this fold out")
