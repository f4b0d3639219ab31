"""Readers: one file a format, each giving recordings that the rest of the library understands."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "activity": ["nwb_behaviour", "read_caiman", "read_inscopix", "read_minian", "read_nwb", "read_suite2p",
                 "read_wfield", "read_with_roiextractors", "write_nwb"],
    "behaviour": ["Behaviour", "read_behaviour"],
    "common": ["RUN_THRESHOLD_CM_S"],
    "footsteps": ["read_footsteps"],
    "formats": ["FORMATS", "WITH_MOVIES", "load", "load_entry", "read"],
    "isfn": ["read_isfn"],
    "mat": ["load_mat"],
    "multiple_maps": ["read_multiple_maps"],
    "npz_csv": ["read_csv", "read_npz", "write_npz"],
    "study": ["read_study"],
})
