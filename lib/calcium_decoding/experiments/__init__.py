"""Data, split, preprocessing, window and decoders run together: folds as stored jobs, and comparisons of them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "compare": ["Condition", "ConditionResult"],
    "fitted": ["FittedDecoder", "load_decoder"],
    "engine": ["Experiment", "run", "run_many"],
    "folds": ["FoldResult", "Results"],
    "inputs": ["Traces"],
    "movies": ["Features", "MovieTraining", "Movies"],
    "stored": ["job_settings"],
    "tasks": ["Binary", "Classes", "Continuous"],
})
