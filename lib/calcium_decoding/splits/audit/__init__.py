"""Leak audit: :func:`audit` checks a split; for samples from elsewhere there are :func:`check_samples` and
:func:`check_cv` on :class:`Intervals`. What overlaps is refused with the names of the steps and the frames."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "fitted": ["FittedStep"],
    "footprints": ["Intervals", "check_cv", "check_samples", "footprint", "least_distance", "sample_intervals"],
    "repeats": ["Duplicate", "duplicates"],
    "split_audit": ["Audit", "FoldAudit", "audit"],
})
