"""Deep SHAP of recurrent decoders, whose contributions add up to the output exactly."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "cells": ["cells_of", "logistic_slope"],
    "explanation": ["Explanation", "PAIRS", "TOLERANCE", "values"],
})
