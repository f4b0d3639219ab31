"""Stored results that answer a claim: where they are looked up, which of them goes first, and how they were made."""

import re
from dataclasses import dataclass
from functools import cache, cached_property
from math import inf

import pandas as pd

from calcium_decoding.data import catalog, published
from calcium_decoding.evaluation import statistics
from calcium_decoding.evaluation.cards import ResultCard
from calcium_decoding.models import names
from decoding_book.claims import Done

_SINGLE = re.compile(r"^(?:animal |fold test=)([^,]+)")  # scope of a single value, with the animal it was measured on


@dataclass(frozen=True, eq=False)
class Found:
    """Stored results that answer a claim or part of it, ``done`` in what way, and whether on the study's ``own``
    data."""

    name: str
    card: ResultCard
    scores: dict
    done: Done
    own: bool = False

    @property
    def values(self):
        """Value by label."""
        return {label: score.value for label, score in self.scores.items()}

    @property
    def keeps_losses(self):
        """Does the card say which of its trainings converged? Older ones don't."""
        return bool(self._converged)

    @property
    def older(self):
        """Was this measured in the widefield world before its calibration? Cards of networks kept no losses then."""
        return self.card.simulated and "footsteps" not in self.card.dataset and not self.keeps_losses and self._trained

    @property
    def _converged(self):
        return {score.model: score.value for score in self.card.scores if score.metric == "converged"}

    @property
    def _trained(self):
        return any(name.endswith("epochs") for name in self.card.provenance.parameters)

    @property
    def not_converged(self):
        """Labels of conditions of which a training had not converged, their score ``converged`` being below 1; or,
        after a shortened training of which a card keeps no such score, all but those of linear decoders."""
        known = self._converged
        if not known and self._trained and self.done.level == 2:
            known = {score.model: float(_linear(score.model)) for score in self.scores.values()}
        return [label for label, score in self.scores.items() if known.get(score.model, 1) < 1]

    def error(self, a, b):
        """Half the 95 % t interval of the difference of two labels, or of one from a number, over the animals that both
        have: infinite over fewer than three, 0 where the card holds means alone."""
        asked = [self.scores[label] for label in (a, b) if label in self.scores]
        singles = [self._by_animal.get((score.model, score.metric)) for score in asked]
        if any(one is None for one in singles):
            return 0.0
        differences = (singles[0] - singles[1]).dropna() if len(singles) > 1 else singles[0]
        if len(differences) < 3:
            return inf
        _, low, high = statistics.t_interval(differences.to_numpy())
        return (high - low) / 2

    @cached_property
    def _by_animal(self):
        """Means by model, metric and animal, a Series, of the single values on the card."""
        singles = [(score.model, score.metric, animal[1], score.value) for score in self.card.scores
                   if (animal := _SINGLE.match(score.scope))]
        table = pd.DataFrame(singles, columns=["model", "metric", "animal", "value"])
        return table.groupby(["model", "metric", "animal"])["value"].mean()

    @property
    def rank(self):
        """Smaller is better: the study's own recordings, nearness to its protocol, convergence, frames, folds."""
        sessions, frames = _recorded(self.card.dataset) or (0, 0)
        folds = min(score.n or 1 for score in self.scores.values())
        others = not (self.own or self.card.simulated)
        return not self.own, others, self.done.level, bool(self.not_converged), -sessions * frames, -folds


def find(side, stored, study):
    """What answers best, and what answers in part, but was trained nearer to the protocol, or until something converged
    that had not in the best: Found or None, each. The best has all that ``side`` (Ours) asks for. ``stored``: cards by
    name. Equal ranks go by chapter, then name."""
    whole, partly = [], []
    for name, card in sorted(stored.items(), key=lambda item: item[0]):
        scores = _scores(side, card) if asks(side, name, card) else {}
        if scores:
            own = not card.simulated and study.dataset is not None and card.dataset == study.dataset
            one = Found(name, card, scores, _done(side, card, scores, study, own), own)
            (whole if len(scores) == len(side.scores) else partly).append(one)

    def order(one):
        return one.rank, side.chapters.index(one.card.chapter)

    best = min(whole, key=order, default=None)
    nearer = [one for one in partly if one.done.level < (best.done.level if best else 2)
              or (best and set(best.not_converged) & (set(one.scores) - set(one.not_converged)))]
    return best, min(nearer, key=order, default=None)


def _linear(model):
    return model in names.DECODERS and names.DECODERS[model].makes.startswith("linear.")


def asks(side, name, card):
    """Does a claim's ``side`` (Ours) ask this card, by the name of its file, at all?"""
    return card.chapter in side.chapters and name.startswith(side.source)


def missing(side, card):
    """Scores that ``side`` asks for and a card does not hold, as text."""
    return [f"{model}, {metric}, {side.of} of {side.over}" for label, (model, metric) in side.names().items()
            if label not in _scores(side, card)]


def _scores(side, card):
    """Scores of a card by label, of those that ``side`` asks for."""
    # Where every animal is tested once, its only fold is its mean, and cards hold the mean over folds alone.
    units = ("folds", "test groups") if side.over == "test groups" else (side.over,)
    held = {(score.model, score.metric): score for unit in units for score in card.scores
            if re.fullmatch(rf"{re.escape(side.of)} of \d+ {re.escape(unit)}", score.scope)}
    return {label: held[name] for label, name in side.names().items() if name in held}


def _done(side, card, scores, study, own):
    for protocol in study.protocols:
        if card.chapter in protocol.chapters and (not protocol.metrics or side.metric in protocol.metrics):
            recorded = (protocol.sessions, protocol.frames) if own else _recorded(card.dataset)
            folds = sorted({score.n for score in scores.values()}) if side.over == "folds" else []
            if side.linear:
                protocol = protocol.model_copy(update={"parameters": {}, "brief": []})
            return protocol.done(card.provenance.parameters, recorded, folds)
    return Done(2, "no protocol to compare with")


@cache
def _recorded(dataset):
    """Sessions, and frames of each, of a simulated data set; None of others, of which the manifest does not say it."""
    entry = catalog.load_manifest().entries.get(dataset)
    if entry is None or entry.kind != "simulated":
        return None
    theirs = published.table("sessions")
    animals = entry.settings.get("animals", theirs["mouse"].nunique())
    return entry.sessions_per_animal * animals or len(theirs), entry.frames_per_session
