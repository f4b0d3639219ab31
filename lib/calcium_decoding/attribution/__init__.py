"""What a decoder looks at, by six methods, and what such maps can be held against.

Methods: Deep SHAP (:mod:`calcium_decoding.deep_shap`), expected gradients, gradient times input and masking of a
trained network; weights and forward patterns of logistic regression. A map says how much each ROI counts, and where a
method looks at a whole window, how much each frame.
"""

from calcium_decoding.attribution.measures import (
    asymmetry,
    centre_of_frames,
    curve_areas,
    late_over_early,
    precision_at,
    rank_agreement,
    surrogates,
)
from calcium_decoding.attribution.methods import (
    LINEAR,
    METHODS,
    OF_NETWORKS,
    Map,
    of_network,
    of_weights,
    predictor,
    randomised,
)

__all__ = ["LINEAR", "METHODS", "OF_NETWORKS", "Map", "asymmetry", "centre_of_frames", "curve_areas",
           "late_over_early", "of_network", "of_weights", "precision_at", "predictor", "randomised", "rank_agreement",
           "surrogates"]
