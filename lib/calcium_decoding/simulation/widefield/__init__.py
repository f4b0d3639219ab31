"""A simulated running mouse under a camera, with known truth, as 50 ROI traces and as movies of the same sessions.

It stands for the kind of problem, not for the study's numbers.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "brains": ["Anatomy", "Placement", "anatomy"],
    "movie": ["render", "roi_traces"],
    "session": ["SimulatedSession", "dataset", "informative_areas", "simulate_session"],
    "study_files": ["settings_of", "write_dataset"],
    "worlds": ["AS_IN_THE_STUDY", "RATE_HZ", "SimulationSettings", "WORLDS", "World"],
})
