"""Comparisons on result cards: every training that a figure compared, kept and given back."""

from dataclasses import asdict

import numpy as np

from calcium_decoding.evaluation import cards
from calcium_decoding.experiments.compare import Comparison, Condition, ConditionResult
from calcium_decoding.experiments.folds import FoldResult
from calcium_decoding.models.decoders import name_of
from calcium_decoding.models.loop import History


def recorded(found):
    """What a card keeps of a comparison: a list of :class:`calcium_decoding.evaluation.cards.Compared`."""
    return [cards.Compared(
        name=result.name, model=name_of(result.condition.model), value=result.condition.value,
        published=result.condition.published if result.condition.beside_published else None,
        kind=fold.kind, target=fold.target, classes=fold.classes, simulated=result.simulated,
        fits=[cards.Fit(fold=f.fold, test_group=f.test_group, seed=f.seed, scores=f.scores, reason=f.reason,
                        seconds=f.seconds, **asdict(f.history))
              for f in result.folds])
        for result in found for fold in result.folds[:1]]


def from_record(compared):
    """The Comparison of which :func:`recorded` kept the scores; it has no windows and no predictions."""
    nothing = np.empty(0)
    return Comparison(ConditionResult(
        Condition(one.name, None, one.model, one.value, one.published),
        [FoldResult(fit.fold, fit.test_group, one.model, fit.scores, fit.reason,
                    History(fit.train_loss, fit.valid_loss, fit.best_epoch, fit.stopped_early), (), *[nothing] * 4,
                    kind=one.kind, target=one.target, classes=one.classes, simulated=one.simulated, seed=fit.seed,
                    seconds=fit.seconds) for fit in one.fits]) for one in compared)
