"""Decoding behaviour from calcium imaging: any recording, any decoder, splits that do not leak.

Nothing heavy is imported here: rooms and names are looked up when they are first used (PEP 562).
"""

from importlib.metadata import version

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    ["data", "evaluation", "experiments", "explain", "models", "plotting", "preprocessing", "simulation", "splits",
     "streaming"],
    {
        "data": [
            "Dataset", "Movie", "Recording", "Series", "clock_report", "mask_frames", "match_pulses", "read",
            "read_behaviour", "read_nwb", "read_suite2p", "stretches_of", "usable_frames", "with_behaviour",
            "with_label", "with_times", "write_nwb"],
        "evaluation": ["ResultCard"],
        "experiments": [
            "Binary", "Classes", "Continuous", "Experiment", "Features", "MovieTraining", "Movies", "Together",
            "Traces", "job_settings", "load_decoder", "run"],
        "experiments.compare": ["compare"],
        "models": ["Estimator", "Network", "TrainingSettings", "register"],
        "preprocessing": ["WindowSpec"],
        "simulation": ["load_dataset"],
        "splits": ["Split"],
    },
)
__version__ = version("calcium-decoding")
