"""Recordings with known truth: a running mouse under a widefield camera, and footsteps of one motor cortex."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "clocks": ["PlantedClock", "plant_clock"],
    "datasets": ["ensure", "footstep_truth", "load_dataset", "planted"],
    "lab_files": ["write_lab_files"],
})
