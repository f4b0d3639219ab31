"""One style, and the plots that several chapters need; every plot takes `ax`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "clock": ["clock_coverage", "clock_drift", "clock_figure", "clock_steps"],
    "comparisons": ["curve", "strip"],
    "latency": ["latency_figure"],
    "style": ["decoded_trace", "learning_curves", "panels", "roc_by_group", "traces", "use_style"],
})
