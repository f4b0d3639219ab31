"""Scores of decoded frames: running, speed, footsteps and kinematics."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "frames": [
        "auc", "checked_frames", "class_scores", "confusion", "correlation", "frame_scores", "quantity_scores",
        "require_both_classes", "require_change", "roc", "speed_scores",
    ],
})
