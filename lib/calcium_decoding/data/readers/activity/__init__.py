"""What a lab's programs write: activity of ROIs, each file or folder read as a recording."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "nwb": ["read_nwb"],
    "nwb_series": ["nwb_behaviour"],
    "nwb_write": ["write_nwb"],
    "programs": ["read_caiman", "read_inscopix", "read_minian", "read_wfield", "read_with_roiextractors"],
    "suite2p": ["read_suite2p"],
})
