"""A lab's own recordings: what is in its files, and entries of a manifest of its own."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "entry": ["add"],
    "look": ["Look", "inspect"],
})
