"""What a manifest says of a data set, and what the DANDI archive says."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "dandi": ["addresses", "chosen", "files"],
    "entries": ["Entry", "LocalEntry", "Lock", "PinnedFile", "validated"],
})
