"""Is a score any good: metrics, convergence, onsets, statistics over animals, prediction intervals, nulls, the card."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "cards": ["ResultCard", "Score"],
    "conformal": ["calibrate", "coverage"],
    "convergence": ["not_converged", "seeds_disagree"],
    "onsets": ["EventScores", "EventSettings", "event_scores"],
    "statistics": ["by_animal", "rank_sum", "sign_flip", "t_interval"],
})
