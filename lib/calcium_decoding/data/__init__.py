"""Recordings with behaviour on the same frames, movies, the catalogue of data sets and its download."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "catalog": ["load_manifest"],
    "movies": ["Movie"],
    "readers": ["read", "write_npz"],
    "recording": ["Dataset", "Recording", "Refusal", "stretches_of"],
})
