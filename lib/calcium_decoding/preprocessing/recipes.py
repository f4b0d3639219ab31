"""What can be asked for by name, with a line on each.

Apart from what it stands for, so that a parameter is checked before anything heavy is imported.
"""

# calcium_decoding.preprocessing.build
RECIPES = {
    "published": "centred moving-mean baseline, min-max over the recording (Ajioka et al. 2024)",
    "raw": "min-max over the recording, no baseline (Ajioka et al. 2024, variant Raw)",
    "causal": "trailing-mean baseline, standardised by the training frames",
    "scaled": "standardised by the training frames",
    "events": "causal exponential smoothing of events, standardised by the training frames",
}

# What suits a split by its regime: the published one sees whole sessions, which a split within sessions forbids.
SUITS = {"animal_pairs": "published", "leave_one_session_out": "published", "blocked": "scaled", "last_part": "events",
         "nested_animals": "published", "random_windows": "raw"}
