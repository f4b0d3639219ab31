"""Who trains, validates and tests: intervals of frames, regimes by name, purge gaps, and the leak audit."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "core": ["CLAIMS", "Fold", "LEAKY", "ROLES", "Segment", "Split"],
    "gap": ["autocorrelation_frames", "embargo_frames", "purge_gap_frames", "widest_step"],
    "regimes": [
        "REGIMES", "animal_pairs", "blocked", "build", "last_part", "leave_one_session_out", "nested_animals",
        "random_windows",
    ],
})
