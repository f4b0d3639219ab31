"""What a decoder uses, by six attribution methods, and sanity checks of such maps.

Methods: Deep SHAP (:mod:`calcium_decoding.explain.deep_shap.explanation`), expected gradients, gradient times input
and masking of a trained network; weights and forward patterns of logistic regression. A map says how much each ROI
counts, and where a method uses a whole window, how much each frame.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "measures": [
        "asymmetry", "centre_of_frames", "curve_areas", "late_over_early", "precision_at", "rank_agreement",
        "surrogates",
    ],
    "methods": ["LINEAR", "METHODS", "Map", "OF_NETWORKS", "of_network", "of_weights", "predictor", "randomised"],
})
