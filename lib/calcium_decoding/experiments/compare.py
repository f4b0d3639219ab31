"""Conditions: what one figure compares, such as window lengths or groups of areas; run together, tabled and tested."""

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from calcium_decoding.data import published
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import cards, convergence, nulls, statistics
from calcium_decoding.experiments import engine
from calcium_decoding.models.decoders import decoder_of, name_of


@dataclass(frozen=True, eq=False)
class Condition:
    """One bar of a figure: an experiment and a model under a ``name`` that a figure shows, such as ``"0.5 s"``.

    ``value``: position on a numeric axis. ``published`` (tuple of (str, str, str)): experiment, model and variant of it
    in the published tables. ``experiment``: None where only the scores are known, from a card.
    """

    name: str
    experiment: engine.Experiment | None
    model: str = "gru"
    value: float | None = None
    published: tuple | None = None

    @property
    def beside_published(self):
        """True if a published figure may be given too: there is one, and the data are the study's or imitate it."""
        if self.experiment is None:  # a card names it only where that held
            return self.published is not None
        dataset, decoded = self.experiment.dataset, self.experiment.task.name
        return (self.published is not None and decoded in ("run", "speed")
                and (dataset.compare_with_study or dataset.simulated))

    def published_score(self, metric="auc"):
        """Published mean and sample SD over folds, as stated or from saved folds; ParameterError if the tables have
        none."""
        try:
            return published.reported(*self.published or ("", "", ""), metric)[:2]
        except KeyError:
            folds = published.per_fold(*self.published or ("", "", ""), metric)["value"]
        if len(folds) < 2:
            raise ParameterError(f"condition '{self.name}'", f"published = {self.published}, {metric}",
                                 "experiment, model and variant in a published table", "mend the names, or leave out")
        return float(folds.mean()), float(folds.std(ddof=1))


@dataclass(frozen=True, eq=False)
class ConditionResult:
    """A condition with the results of its folds, in the order of its split, and of each seed in turn."""

    condition: Condition
    folds: list

    @property
    def name(self):
        return self.condition.name

    @property
    def simulated(self):
        experiment = self.condition.experiment
        return experiment.dataset.simulated if experiment else any(fold.simulated for fold in self.folds)

    @property
    def seeds(self):
        """Seeds with which it was trained, in order."""
        return list(dict.fromkeys(fold.seed for fold in self.folds))

    @property
    def main_score(self):
        return self.folds[0].main_score if self.folds else self.condition.experiment.task.main_score

    def evaluable(self):
        """Folds that have scores."""
        return [fold for fold in self.folds if fold.scores]

    def values(self, metric=None):
        """Score by name of the fold, mean over seeds, evaluable folds only; the main score without ``metric``."""
        return self._means(metric, "fold")

    def by_seed(self, metric=None):
        """Mean score over evaluable folds by seed of the training."""
        return self._means(metric, "seed")

    def _means(self, metric, by):
        metric, found = metric or self.main_score, {}
        for fold in self.evaluable():
            if metric not in fold.scores:
                raise ParameterError("metric", f"'{metric}' of {self.name}", f"one of {', '.join(fold.scores)}",
                                     "name one of these")
            found.setdefault(getattr(fold, by), []).append(fold.scores[metric])
        return {key: float(np.mean(values)) for key, values in found.items()}

    def by_animal(self, metric=None):
        """Mean score by test group (an animal), over its evaluable folds."""
        return _by_animal(self, self.values(metric))

    def not_converged(self):
        """Why its trainings have not converged; see :func:`calcium_decoding.evaluation.convergence.reasons`."""
        training = self.condition.experiment.training if self.condition.experiment else None
        patience = getattr(training, "patience", 0)
        return convergence.not_converged(self.folds, patience or convergence.PATIENCE)


class Comparison(list):
    """Conditions side by side: a list of ConditionResult. Without a metric, the main score of the task counts."""

    def table(self, metric=None):
        return table(self, metric)


def compare(experiments, decoders=None, published=None, values=None, seeds=1, **how):
    """Run several experiments side by side, a Comparison.

    Parameters
    ----------
    experiments : dict of str to Experiment
        By label. Of one with several decoders, each makes a condition of its own, ``"label, decoder"``.
    decoders : sequence, optional
        In place of those of the experiments.
    published, values : dict of str to tuple or float, optional
        Those of :class:`Condition`, by label.
    seeds : int
        Train each condition so many times, with the seed of its training and those that follow.
    **how
        As for :func:`run`.
    """
    conditions = []
    for label, experiment in experiments.items():
        asked = decoders or experiment.decoders
        wanted = [decoder_of(decoder) for decoder in (asked if isinstance(asked, list | tuple) else [asked])]
        conditions += [Condition(f"{label}, {name_of(decoder)}" if len(wanted) > 1 else label, experiment, decoder,
                                 (values or {}).get(label), (published or {}).get(label)) for decoder in wanted]
    return run(conditions, seeds=seeds, **how)


def _metric(found, metric):
    """A score that was asked for, or the main one of conditions that decode alike."""
    main = list(dict.fromkeys(result.main_score for result in found))
    if metric is None and len(main) > 1:
        raise ParameterError("metric", f"none, and conditions whose main scores are {', '.join(main)}",
                             "one that all of them have", "name one, or compare conditions that decode alike")
    return metric or (main[0] if main else "auc")


def run(conditions, store=None, jobs=None, label="conditions", seeds=1):
    """Train and test every condition: a Comparison, in the order given; ``seeds`` as for :func:`compare`, the rest as
    for :func:`calcium_decoding.experiments.engine.run`. ParameterError: no conditions, or two of one name."""
    conditions = list(conditions)
    names = [c.name for c in conditions]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not conditions:
        raise ParameterError("conditions", f"more than one called {', '.join(twice)}" if twice else "none",
                             "one condition or more, each with a name of its own", "name each by what is different")
    plans = [(one.experiment.with_(seed=one.experiment.training.seed + more) if more else one.experiment, [one.model])
             for one in conditions for more in range(seeds)]
    found = engine.run_many(plans, store, jobs, label)
    return Comparison(ConditionResult(one, [fold for folds in found[i * seeds : (i + 1) * seeds] for fold in folds])
                      for i, one in enumerate(conditions))


def warning(found):
    """Which conditions have not converged, in words for a figure or table that shows them; empty if all have."""
    return convergence.marked(", ".join(result.name for result in found if result.not_converged()))


def run_null(plan, dataset, model, seed, store=None, jobs=None, **options):
    """Refit one decoder on a null of re-paired sessions: a list of FoldResult, empty if there is none, and which null
    it is, or why there is none. ``plan(dataset=..., say=False, **options)`` makes an Experiment."""
    return refitted(lambda experiment: engine.run(experiment, [model], store, jobs, "null"), plan, dataset, seed,
                    **options)


def refitted(work, plan, dataset, seed, **options):
    """:func:`run_null` for any ``work(experiment)`` that gives a list of results by fold."""
    null, statement = drawn(dataset, seed)
    if null is None:
        return [], statement
    found = work(plan(dataset=null, say=False, **options))
    return found, f"{statement}, refitted on {len(found)} folds"


def drawn(dataset, seed, way="repairing"):
    """One draw of a null of sessions, "repairing" or "published" (the study's): Dataset or None, and which it is, or
    why not."""
    name, how = {"repairing": ("session re-pairing", " without fixed points"),
                 "published": ("the study's session permutation", "")}[way]
    try:
        return nulls.null_of(way)(dataset, seed), f"{name}{how}, one draw"
    except DataError as error:
        return None, f"none: {name} needs {error.expected}; {error.where} has {error.found}"


def table(found, metric=None):
    """A row a condition, a DataFrame: ``condition``, ``folds``, ``mean`` and sample ``SD`` over folds, a column a test
    animal, ``published, real mice`` where that may be given, and ``training`` where one has not converged."""
    metric = _metric(found, metric)
    animals = list(dict.fromkeys(fold.test_group for result in found for fold in result.folds))
    unconverged = {result.name: convergence.marked(result.not_converged()) for result in found}
    rows = []
    for result in found:
        values, mine = list(result.values(metric).values()), result.by_animal(metric)
        row = {"condition": result.name, "folds": len(values), "mean": float(np.mean(values)) if values else None,
               "SD": float(np.std(values, ddof=1)) if len(values) > 1 else None}
        if any(unconverged.values()):
            row["training"] = unconverged[result.name]
        row |= {animal: mine.get(animal) for animal in animals}
        if any(other.condition.beside_published for other in found):
            row["published, real mice"] = (
                "{:.3f} ± {:.3f}".format(*result.condition.published_score(metric))
                if result.condition.beside_published and not unconverged[result.name] else "")
        rows.append(row)
    return pd.DataFrame(rows)


def tests(found, against=None, metric=None, alternative="two-sided"):
    """Is a difference between conditions more than chance? A row a pair, as the study tested and as we do: a DataFrame.

    ``against``: name of the condition to test each other one against; all pairs if left out. ``alternative``: as of
    :func:`calcium_decoding.evaluation.statistics.sign_flip`. Columns ``condition_a``, ``condition_b``;
    ``not_converged``, what forbids to compare them, and then nothing else. As published, over folds: ``difference`` of
    means, ``family_size``, ``p_rank_sum``, ``p_holm``, ``stars``, ``least_p_holm``. Ours, over animals: ``animals``,
    ``paired_difference`` (folds matched by name, then their mean in each animal), ``low`` and ``high`` of its 95 % t
    interval, ``p_sign_flip`` and ``p_floor``, the smallest p that so many animals can give; None where fewer than two
    are shared. ``published, real mice``: the study's own p and stars, corrected in its own family. Raises DataError: a
    condition without a score, or two whose scores are all equal; ParameterError: fewer than two conditions, or
    ``against`` is none of them.

    The rank-sum test takes folds as independent, which they are not, so its p is too small as evidence about animals.
    The sign-flip p and its interval are not corrected for the number of pairs.
    """
    metric = _metric(found, metric)
    by_name = {result.name: result for result in found}
    pairs = (list(combinations(by_name, 2)) if against is None else
             [(name, against) for name in by_name if name != against])
    if not pairs or not {name for pair in pairs for name in pair} <= set(by_name):
        raise ParameterError("against", against, f"one of two conditions or more: {', '.join(by_name)}",
                             "name one of these, or compare more")
    unconverged = [name for name, result in by_name.items() if result.not_converged()]
    rows = pd.DataFrame(pairs, columns=["condition_a", "condition_b"])
    rows["not_converged"] = [_incomparable(by_name[a], by_name[b], unconverged, metric) for a, b in pairs]
    is_sure = rows["not_converged"] == ""
    sure = [pair for pair, good in zip(pairs, is_sure, strict=True) if good]
    family = pd.DataFrame(columns=["difference", "family_size", "p_rank_sum", "p_holm", "stars", "least_p_holm"])
    if sure:  # Holm's family is all pairs: which of them converged was known only afterwards
        family = statistics.rank_sum_family(pairs, {n: list(r.values(metric).values()) for n, r in by_name.items()})
        family = family.drop(columns=["group_a", "group_b"]).rename(columns={"p_two_sided": "p_rank_sum"})[is_sure]
    ours = [paired(by_name[a], by_name[b], metric, alternative) for a, b in sure]
    ours = pd.DataFrame(ours, rows.index[is_sure], OURS, float)
    said = _published_tests(sure, by_name, metric)
    theirs = {"published, real mice": [said.get(pair, "") for pair in pairs]} if said else {}
    return pd.concat([rows, family, ours, pd.DataFrame(theirs)], axis=1)


def _incomparable(a, b, unconverged, metric):
    """What forbids to compare two conditions, in a few words; empty if nothing does."""
    names = [result.name for result in (a, b) if result.name in unconverged]
    return ", ".join(names) or (convergence.seeds_disagree(a.by_seed(metric), b.by_seed(metric))
                                if a.evaluable() and b.evaluable() else "")


def short_tests(found, against=None, metric=None, alternative="two-sided"):
    """:func:`tests` for a page, a DataFrame: difference over folds and its rank-sum p; difference over animals with its
    95 % interval and the sign-flip p. Empty where there are not two conditions with scores, or no ``against``. A p that
    cannot fall below 0.05 with so few folds or animals is not shown; ``attrs["note"]`` says why."""
    metric = _metric(found, metric)
    found = [result for result in found if result.evaluable()]
    if len(found) < 2 or (against is not None and against not in [result.name for result in found]):
        return pd.DataFrame()
    rows = tests(found, against, metric, alternative)
    short = pd.DataFrame({
        "pair": rows["condition_a"] + " − " + rows["condition_b"],
        "difference": rows["difference"].astype(object).where(rows["not_converged"] == "", [
            convergence.marked(said) for said in rows["not_converged"]]),
        "rank-sum p, Holm": [f"{row.p_holm:.2g} {row.stars}" if row.least_p_holm < statistics.ALPHA else ""
                             for row in rows.itertuples()],
        "over animals": [_interval(row) for row in rows.itertuples()],
        f"sign-flip p, {alternative} (least possible)": [
            f"{row.p_sign_flip:.2g} ({row.p_floor:.2g})" if row.p_floor < statistics.ALPHA else ""
            for row in rows.itertuples()]})
    short = pd.concat([short, rows.filter(like="published")], axis=1)
    short = short.loc[:, (short != "").any()]
    short.attrs["note"] = _too_few(rows, alternative)
    return short


def _too_few(rows, alternative):
    """Why p-values are missing from a table of tests, a sentence for each kind; empty if none is."""
    said, folds = [], rows[rows["least_p_holm"] >= statistics.ALPHA]
    if len(folds):
        said.append(f"No rank-sum p: with so few folds and a family of {folds['family_size'].max():.0f} none below "
                    f"{folds['least_p_holm'].min():.2g} is possible.")
    animals = rows[rows["p_floor"] >= statistics.ALPHA]
    if len(animals):
        least = animals["p_floor"].min()
        said.append(f"No sign-flip p ({alternative}): with so few animals none below {least:.2g} is possible.")
    return " ".join(said)


def _interval(row):
    if row.not_converged:
        return ""
    if row.animals < 2:
        return "one animal only"
    return f"{row.paired_difference:+.3f} ({row.low:+.3f} to {row.high:+.3f}; n = {row.animals:.0f})"


def _published_tests(pairs, by_name, metric):
    """Holm's p and stars of the study by pair, in the family of its own panel; of pairs that a panel compares only."""
    theirs = {name: result.condition.published for name, result in by_name.items() if result.condition.beside_published}
    tests = {(a, b): published.rank_sum(theirs[a], theirs[b]) for a, b in pairs
             if metric == "auc" and a in theirs and b in theirs}
    return {pair: f"{p:.2g} {stars}" for pair, (p, stars) in tests.items() if stars}


OURS = ["animals", "paired_difference", "low", "high", "p_sign_flip", "p_floor"]


def paired(a, b, metric="auc", alternative="two-sided"):
    """Difference of two conditions over test animals, as a dict; see the columns of :func:`tests`."""
    theirs = b.values(metric)
    shared = {name: value - theirs[name] for name, value in a.values(metric).items() if name in theirs}
    differences = list(_by_animal(a, shared).values())
    if len(differences) < 2:
        return {"animals": len(differences)} | dict.fromkeys(OURS[1:])
    flip = statistics.sign_flip(differences, alternative)
    interval = statistics.t_interval(differences, statistics.bounds_of(metric, difference=True))
    return dict(zip(OURS, (len(differences), flip.effect, interval.low, interval.high, flip.p, flip.floor),
                    strict=True))


def card_scores(found, metric=None):
    """A list of Score, whose ``model`` is the condition: over folds, over test animals, of each fold, and
    ``converged``."""
    metric = _metric(found, metric)
    scores = []
    for result in found:
        values, animals = result.values(metric), result.by_animal(metric)
        if not values:
            continue
        scores += cards.summarise(result.name, values.values(), metric)
        scores.append(cards.converged(result.name, result.not_converged(), len(values)))
        if 1 < len(animals) < len(values):
            scores += cards.summarise(result.name, animals.values(), metric, unit="test groups")[:1]
        scores += [cards.Score(model=result.name, metric=metric, scope=f"fold group {animal}", value=float(value))
                   for animal, value in animals.items()]
        scores += [cards.Score(model=result.name, metric=metric, scope=f"fold {fold}", value=value)
                   for fold, value in values.items()]
    return scores


def not_evaluable(found):
    """Folds without a score as the card names them: FoldResults under the name of their condition."""
    return [replace(fold, model=result.name) for result in found for fold in result.folds if not fold.scores]


def _by_animal(result, values):
    """Mean over folds by test group, a dict, of values by name of the fold."""
    groups = {fold.fold: fold.test_group for fold in result.folds}
    return statistics.by_animal([*values.values()], [groups[fold] for fold in values]).to_dict() if values else {}
