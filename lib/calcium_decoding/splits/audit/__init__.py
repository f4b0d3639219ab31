"""Leak audit: for every sample the frames it touches, for every fitted step what it was fitted on.

:func:`audit` checks a split of this library. For samples that come from elsewhere there are :func:`check_samples` and
:func:`check_cv` on :class:`Intervals`. Whatever overlaps is refused with the names of the steps and the frames.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "fitted": ["FittedStep"],
    "footprints": ["Intervals", "check_cv", "check_samples", "footprint", "least_distance", "sample_intervals"],
    "repeats": ["Duplicate", "duplicates"],
    "report": ["Audit", "FoldAudit", "fold_classes", "not_evaluable"],
    "split_audit": ["audit"],
})
