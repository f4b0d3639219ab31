"""Nulls: data sets in which the link between brain and behaviour is cut and everything else is kept.

:data:`NULLS` has them by name, each with what it keeps, what it cuts and when it fails. How often each of them finds a
link that is not there is measured in chapter 03 of the book.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "registry": ["NULLS", "Null", "null_of", "p_value", "shift_p_value"],
    "ways": [
        "PUBLISHED_ORDER", "circular_shift", "derangement", "frame_shuffle", "linear_shift", "permutation",
        "permute_sessions", "published_permutation", "repair_sessions", "shift_behaviour", "shift_reach",
    ],
})
