"""Behaviour files, each on a clock of its own."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "tables": ["Behaviour", "read_behaviour"],
})
