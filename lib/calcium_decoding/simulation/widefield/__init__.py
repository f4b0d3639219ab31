"""Recordings with known truth: a simulated running mouse under a camera, in the study's own file formats.

One world, two views. Behaviour drives areas with their own kernels and lags; arousal, regional events, blood,
movement, drift and noise that know nothing of behaviour, or follow it without any neuron, are added; then the same
session is seen as 50 ROI traces or as a movie. What is where and when is saved beside the data. It stands for the
kind of problem, not for the study's numbers.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "brains": ["Anatomy", "Placement", "anatomy"],
    "movie": ["render", "roi_traces"],
    "session": ["SimulatedSession", "dataset", "informative_areas", "simulate_session"],
    "study_files": ["settings_of", "write_dataset"],
    "worlds": ["AS_IN_THE_STUDY", "RATE_HZ", "SimulationSettings", "WORLDS", "World"],
})
