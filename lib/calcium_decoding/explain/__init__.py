"""What a trained decoder uses: occlusion, Deep SHAP, attribution, and checks of such maps."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "patches": ["discs", "pairs", "squares"],
    "occlusion": ["FoldOcclusion", "mask_rois"],
    "shap_maps": ["FoldMap", "mean_map", "warning"],
})
