"""Leak audit: for every sample the frames it touches, for every fitted step what it was fitted on.

:func:`audit` checks a split of this library. For samples that come from elsewhere there are :func:`check_samples` and
:func:`check_cv` on :class:`Intervals`, and two checks that believe no declaration: :func:`check_refit` fits a
scikit-learn estimator again, :func:`check_blind` changes the test frames and looks who notices. Whatever overlaps is
refused with the names of the steps and the frames.
"""

from calcium_decoding.audit.classes import fold_classes, not_evaluable
from calcium_decoding.audit.duplicates import Duplicate, duplicates
from calcium_decoding.audit.fitted import FittedStep
from calcium_decoding.audit.footprints import Intervals, footprint, sample_intervals
from calcium_decoding.audit.probe import check_blind, check_refit
from calcium_decoding.audit.report import Audit, FoldAudit
from calcium_decoding.audit.samples import check_cv, check_samples, least_distance
from calcium_decoding.audit.split_audit import audit, signal_hash

__all__ = [
    "Audit", "Duplicate", "FittedStep", "FoldAudit", "Intervals", "audit", "check_blind", "check_cv", "check_refit",
    "check_samples", "duplicates", "fold_classes", "footprint", "least_distance", "not_evaluable", "sample_intervals",
    "signal_hash",
]
