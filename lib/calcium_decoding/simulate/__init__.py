"""Recordings with known truth: a simulated running mouse under a camera, in the study's own file formats.

One world, two views. Behaviour drives areas with their own kernels and lags; arousal, regional events, blood,
movement, drift and noise that know nothing of behaviour, or follow it without any neuron, are added; then the same
session is seen as 50 ROI traces or as a movie. What is where and when is saved beside the data. It stands for the
kind of problem, not for the study's numbers.
"""

from calcium_decoding.simulate.anatomy import Anatomy, Placement, anatomy
from calcium_decoding.simulate.movie import render, roi_traces
from calcium_decoding.simulate.session import SimulatedSession, dataset, informative_areas, simulate_session
from calcium_decoding.simulate.study_files import ensure, settings_of, write_dataset
from calcium_decoding.simulate.worlds import AS_IN_THE_STUDY, RATE_HZ, WORLDS, SimulationSettings, World

__all__ = [
    "AS_IN_THE_STUDY", "RATE_HZ", "WORLDS", "Anatomy", "Placement", "SimulatedSession", "SimulationSettings", "World",
    "anatomy", "dataset", "ensure", "informative_areas", "render", "roi_traces", "settings_of", "simulate_session",
    "write_dataset",
]
