"""One style, and the plots that several chapters need; every plot takes `ax`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "style": ["use_style"],
})
