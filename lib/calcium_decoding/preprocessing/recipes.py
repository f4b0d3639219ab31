"""Recipes of :func:`calcium_decoding.preprocessing.build` by name, which can be checked without heavy imports."""

RECIPES = {
    "published": "centred moving-mean baseline, min-max over the recording (Ajioka et al. 2024)",
    "raw": "min-max over the recording, no baseline (Ajioka et al. 2024, variant Raw)",
    "trailing": "trailing-mean baseline, min-max over the recording: causal in its baseline alone",
    "centred_scaled": "centred moving-mean baseline, standardised by the training frames: causal in its scale alone",
    "causal": "trailing-mean baseline, standardised by the training frames",
    "scaled": "standardised by the training frames",
    "events": "causal exponential smoothing of events, standardised by the training frames",
}

# What suits a split by its regime: the published one sees whole sessions, which a split within sessions forbids.
SUITS = {"animal_pairs": "published", "leave_one_session_out": "published", "blocked": "scaled", "last_part": "events",
         "nested_animals": "published", "random_windows": "raw"}
