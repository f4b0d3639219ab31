"""Transforms that declare what they look at and were fitted on, and windows over ROI or movie frames."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "blood": ["AlignControl", "RegressOut", "blood_corrected", "with_control"],
    "motion": ["motion_corrected"],
    "pipeline": ["Pipeline", "build"],
    "recipes": ["RECIPES"],
    "transforms": [
        "Components", "ExponentialSmoothing", "MinMax", "MovingMeanBaseline", "OnlyRois", "ScaleByTraining",
        "TrailingBaseline", "Transform", "moving_mean",
    ],
    "windows": ["WindowSet", "WindowSpec"],
})
