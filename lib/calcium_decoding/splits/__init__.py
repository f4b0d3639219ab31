"""Splits into training, validation and test: intervals of time, decided before any window is made.

A split holds half-open ranges of frames. Windows are laid inside them later, so no window can lie on both
sides. :func:`calcium_decoding.audit.audit` checks what a split claims against what window and preprocessing
touch. :func:`build` makes a split by the name of its regime; :class:`Blocked` and :meth:`Split.as_cv` give folds to
scikit-learn.
"""

from calcium_decoding.splits.core import CLAIMS, LEAKY, ROLES, Fold, Segment, Split, load
from calcium_decoding.splits.gap import (
    autocorrelation_frames,
    embargo_frames,
    label_reach,
    purge_gap_frames,
    widest_step,
)
from calcium_decoding.splits.leaky import random_windows
from calcium_decoding.splits.regimes import (
    REGIMES,
    animal_pairs,
    blocked,
    build,
    last_part,
    leave_one_session_out,
    nested_animals,
)
from calcium_decoding.splits.sklearn_interface import Blocked

__all__ = [
    "CLAIMS", "LEAKY", "REGIMES", "ROLES", "Blocked", "Fold", "Segment", "Split", "animal_pairs",
    "autocorrelation_frames", "blocked", "build", "embargo_frames", "label_reach", "last_part",
    "leave_one_session_out", "load", "nested_animals", "purge_gap_frames", "random_windows", "widest_step",
]
