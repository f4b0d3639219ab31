"""Nulls: data sets in which the link between brain and behaviour is cut and everything else is kept.

:data:`NULLS` has them by name, each with what it keeps, what it cuts and when it fails. How often each of them finds a
link that is not there is measured in :mod:`calcium_decoding.null_level`.
"""

from calcium_decoding.nulls.p_values import p_value, shift_p_value
from calcium_decoding.nulls.registry import NULLS, Null, null_of
from calcium_decoding.nulls.ways import (
    PUBLISHED_ORDER,
    circular_shift,
    derangement,
    frame_shuffle,
    linear_shift,
    permutation,
    permute_sessions,
    published_permutation,
    repair_sessions,
    shift_behaviour,
    shift_reach,
)

__all__ = [
    "NULLS", "PUBLISHED_ORDER", "Null", "circular_shift", "derangement", "frame_shuffle", "linear_shift", "null_of",
    "p_value", "permutation", "permute_sessions", "published_permutation", "repair_sessions", "shift_behaviour",
    "shift_p_value", "shift_reach",
]
