"""Conditions: what one figure compares, such as window lengths or groups of areas; run together, tabled and tested.

The folds of one condition share animals and training data, so the study's test over folds is given next to one over
animals, with folds paired by name.
"""

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from calcium_decoding.data import published
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import cards, nulls, statistics
from calcium_decoding.experiments import engine
from calcium_decoding.models.decoders import decoder_of, name_of


@dataclass(frozen=True, eq=False)
class Condition:
    """One bar of a figure: an experiment and a model under a name.

    ``name``: as a figure shows it: ``"0.5 s"``, ``"FL&HL"``, ``"past only"``. ``model``: a name in
    :data:`calcium_decoding.models.MODELS`. ``value``: position on a numeric axis, if there is one; its unit is the
    axis's. ``published`` (tuple of (str, str, str)): experiment, model and variant under which the published tables
    have this condition.
    """

    name: str
    experiment: engine.Experiment
    model: str = "gru"
    value: float | None = None
    published: tuple | None = None

    @property
    def beside_published(self):
        """True if a published figure may be given too: there is one, and the data are the study's or imitate it."""
        dataset, decoded = self.experiment.dataset, self.experiment.task.name
        return (self.published is not None and decoded in ("run", "speed")
                and (dataset.compare_with_study or dataset.simulated))

    def published_score(self, metric="auc"):
        """Published mean and sample SD over folds, as the paper states them or else from its saved folds.

        Raises ParameterError: the condition names none, or the tables do not have it.
        """
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
    """A condition with the results of its folds, in the order of its split."""

    condition: Condition
    folds: list

    @property
    def name(self):
        """The condition's name."""
        return self.condition.name

    @property
    def simulated(self):
        """True if any recording of the data set is simulated."""
        return self.condition.experiment.dataset.simulated

    @property
    def main_score(self):
        """Name of the score that stands for the others."""
        return self.folds[0].main_score if self.folds else self.condition.experiment.task.main_score

    def evaluable(self):
        """Folds that have scores."""
        return [fold for fold in self.folds if fold.scores]

    def values(self, metric=None):
        """Score by name of the fold, evaluable folds only; the main score of the task without ``metric``."""
        metric = metric or self.main_score
        for fold in self.evaluable():
            if metric not in fold.scores:
                raise ParameterError("metric", f"'{metric}' of {self.name}", f"one of {', '.join(fold.scores)}",
                                     "name one of these")
        return {fold.fold: fold.scores[metric] for fold in self.evaluable()}

    def by_animal(self, metric=None):
        """Mean score by test group (an animal), over its evaluable folds."""
        return _by_animal(self, self.values(metric))


class Comparison(list):
    """Conditions side by side: a list of ConditionResult. Without a metric, the main score of the task counts."""

    def table(self, metric=None):
        """A row a condition; see :func:`table`."""
        return table(self, metric)

    def tests(self, against=None, metric=None):
        """A row a pair; see :func:`tests`."""
        return tests(self, against, metric)

    def card_scores(self, metric=None):
        """As scores of a result card; see :func:`card_scores`."""
        return card_scores(self, metric)


def compare(experiments, decoders=None, published=None, values=None, **how):
    """Run several experiments side by side.

    Parameters
    ----------
    experiments : dict of str to Experiment
        By label. Of one with several decoders, each makes a condition of its own, ``"label, decoder"``.
    decoders : sequence, optional
        In place of those of the experiments.
    published, values : dict of str to tuple or float, optional
        Those of :class:`Condition`, by label; a label without any has none.
    **how
        As for :func:`calcium_decoding.experiments.engine.run`.

    Returns
    -------
    Comparison
    """
    conditions = []
    for label, experiment in experiments.items():
        asked = decoders or experiment.decoders
        wanted = [decoder_of(decoder) for decoder in (asked if isinstance(asked, list | tuple) else [asked])]
        conditions += [Condition(f"{label}, {name_of(decoder)}" if len(wanted) > 1 else label, experiment, decoder,
                                 (values or {}).get(label), (published or {}).get(label)) for decoder in wanted]
    return run(conditions, **how)


def _metric(found, metric):
    """A score that was asked for, or the main one of conditions that decode alike."""
    main = list(dict.fromkeys(result.main_score for result in found))
    if metric is None and len(main) > 1:
        raise ParameterError("metric", f"none, and conditions whose main scores are {', '.join(main)}",
                             "one that all of them have", "name one, or compare conditions that decode alike")
    return metric or (main[0] if main else "auc")


def run(conditions, store=None, jobs=None, label="conditions"):
    """Train and test every condition; folds that are missing go through one pool with one progress bar.

    Parameters
    ----------
    conditions : sequence of Condition
        A fold that several share is trained once.
    store, jobs, label
        As for :func:`calcium_decoding.experiments.engine.run`.

    Returns
    -------
    Comparison
        In the order given.

    Raises
    ------
    ParameterError
        No conditions, or two of one name.
    LeakError
        A split leaks.
    """
    conditions = list(conditions)
    names = [c.name for c in conditions]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not conditions:
        raise ParameterError("conditions", f"more than one called {', '.join(twice)}" if twice else "none",
                             "one condition or more, each with a name of its own", "name each by what is different")
    plans, places = [], []
    for condition in conditions:
        index = next((i for i, plan in enumerate(plans) if plan[0] is condition.experiment), len(plans))
        if index == len(plans):
            plans.append((condition.experiment, []))
        models = plans[index][1]
        if condition.model not in models:
            models.append(condition.model)
        places.append((index, condition.model))
    found = engine.run_many(plans, store, jobs, label)
    return Comparison(ConditionResult(condition, [fold for fold in found[i] if fold.model == name_of(model)])
                      for condition, (i, model) in zip(conditions, places, strict=True))


def run_null(plan, dataset, model, seed, store=None, jobs=None, **options):
    """Refit one decoder on data whose sessions are permuted without fixed points: what is given next to the conditions.

    ``plan``: ``plan(dataset, recipe=..., n_folds=..., spec=..., changes=..., say=...)`` makes an Experiment. ``seed``:
    of the session permutation. ``store``, ``jobs``: as for :func:`run`. **options: for ``plan``, such as ``n_folds``.
    Returns ``folds`` (list of FoldResult): empty if there is no such null; ``statement``: which null it is, or why
    there is none.
    """
    return refitted(lambda experiment: engine.run(experiment, [model], store, jobs, "null"), plan, dataset, seed,
                    **options)


def refitted(work, plan, dataset, seed, **options):
    """What some work gives for the experiment on one draw of the null of sessions, a list of results by fold.

    ``work``: ``work(experiment)``. ``plan``, ``dataset``, ``seed``, ``options``: as for :func:`run_null`. Returns the
    list: empty where there is no such null; ``statement``: which null it is, or why there is none.
    """
    null, statement = drawn(dataset, seed)
    if null is None:
        return [], statement
    found = work(plan(dataset=null, say=False, **options))
    return found, f"{statement}, refitted on {len(found)} folds"


def drawn(dataset, seed, way="repairing"):
    """One draw of a null of sessions, where the data allow it.

    ``way`` ({"repairing", "published"}): names in :data:`calcium_decoding.evaluation.nulls.NULLS`: without fixed
    points, or the study's permutation. Returns ``dataset`` (Dataset or None); ``statement``: which null it is, or why
    there is none.
    """
    name, how = {"repairing": ("session re-pairing", " without fixed points"),
                 "published": ("the study's session permutation", "")}[way]
    try:
        return nulls.null_of(way)(dataset, seed), f"{name}{how}, one draw"
    except DataError as error:
        return None, f"none: {name} needs {error.expected}; {error.where} has {error.found}"


def table(found, metric=None):
    """A row a condition: mean and sample SD over folds, then one column for each test animal, the mean of its folds.

    ``found``: sequence of ConditionResult. ``metric``: a key of ``FoldResult.scores``. Returns a DataFrame:
    ``condition``, ``folds``, ``mean``, ``SD``, the test animals, and ``published, real mice`` where a published figure
    may be given; see :attr:`Condition.beside_published`. None where there is no number.
    """
    metric = _metric(found, metric)
    animals = list(dict.fromkeys(fold.test_group for result in found for fold in result.folds))
    rows = []
    for result in found:
        values, mine = list(result.values(metric).values()), result.by_animal(metric)
        row = {"condition": result.name, "folds": len(values), "mean": float(np.mean(values)) if values else None,
               "SD": float(np.std(values, ddof=1)) if len(values) > 1 else None}
        row |= {animal: mine.get(animal) for animal in animals}
        if any(other.condition.beside_published for other in found):
            row["published, real mice"] = (
                "{:.3f} ± {:.3f}".format(*result.condition.published_score(metric))
                if result.condition.beside_published else "")
        rows.append(row)
    return pd.DataFrame(rows)


def tests(found, against=None, metric=None):
    """Is a difference between conditions more than chance? A row a pair, as the study tested and as we do.

    ``found`` (sequence of ConditionResult): two or more. ``against``: name of the condition to test each other one
    against; all pairs if left out. Returns a DataFrame: ``condition_a``, ``condition_b``; as published, over folds:
    ``difference`` (mean of a less mean of b), ``family_size``, ``p_rank_sum``, ``p_holm``, ``stars``; ours, over
    animals: ``animals``, ``paired_difference`` (folds matched by name, then their mean in each test animal), ``low``
    and ``high`` of its 95 % t interval, ``p_sign_flip`` (two-sided) and ``p_floor``, the smallest p that this
    number of animals can give: 1/16 for five. None where fewer than two animals are shared. Where published folds are
    comparable, also ``published, real mice``: Holm's p and stars that the same tests give on the published folds.
    Raises DataError: a condition without a single score, or two whose scores are all equal; see
    :func:`calcium_decoding.evaluation.statistics.rank_sum`. Raises ParameterError: fewer than two conditions, or
    ``against`` is none of them.

    The rank-sum test takes folds as independent, which they are not (they share animals), so its p is too small as
    evidence about animals. The sign-flip p and its interval are not corrected for the number of pairs.
    """
    metric = _metric(found, metric)
    by_name = {result.name: result for result in found}
    pairs = (list(combinations(by_name, 2)) if against is None else
             [(name, against) for name in by_name if name != against])
    family = statistics.rank_sum_family(pairs, {n: list(r.values(metric).values()) for n, r in by_name.items()})
    family = family.rename(columns={"group_a": "condition_a", "group_b": "condition_b", "p_two_sided": "p_rank_sum"})
    ours = [paired(by_name[a], by_name[b], metric)
            for a, b in zip(family["condition_a"], family["condition_b"], strict=True)]
    said = _published_tests(pairs, by_name, metric)
    theirs = {"published, real mice": [said.get(pair, "") for pair in pairs]} if said else {}
    return pd.concat([family, pd.DataFrame(ours), pd.DataFrame(theirs)], axis=1)


def short_tests(found, against=None, metric=None):
    """:func:`tests` for a page: a row a pair; empty where there are not two conditions with scores.

    ``found``, ``against``, ``metric``: as for :func:`tests`. Conditions without a score, or an ``against`` that is not
    there, leave no row. Returns a DataFrame: difference of means over folds and its rank-sum p, then the mean
    difference over animals with its 95 % interval and the sign-flip p with the least that is possible.
    """
    metric = _metric(found, metric)
    found = [result for result in found if result.evaluable()]
    if len(found) < 2 or (against is not None and against not in [result.name for result in found]):
        return pd.DataFrame()
    rows = tests(found, against, metric)
    short = pd.DataFrame({
        "pair": rows["condition_a"] + " − " + rows["condition_b"], "difference": rows["difference"],
        "rank-sum p, Holm": _p_and_stars(rows), "over animals": [_interval(row) for row in rows.itertuples()],
        "sign-flip p (least possible)": [_flip(row) for row in rows.itertuples()]})
    return pd.concat([short, rows.filter(like="published")], axis=1)


def _p_and_stars(family):
    return family["p_holm"].map("{:.2g}".format) + " " + family["stars"]


def _interval(row):
    if row.animals < 2:
        return "one animal only"
    return f"{row.paired_difference:+.3f} ({row.low:+.3f} to {row.high:+.3f}; n = {row.animals})"


def _flip(row):
    return "" if row.animals < 2 else f"{row.p_sign_flip:.2g} ({row.p_floor:.2g})"


def _published_tests(pairs, by_name, metric):
    """Holm's p and stars by pair that the published folds give, in one family; of pairs with published folds only."""
    folds = {name: published.per_fold(*result.condition.published, metric)["value"]
             for name, result in by_name.items() if result.condition.beside_published}
    pairs = [(a, b) for a, b in pairs if len(folds.get(a, ())) and len(folds.get(b, ()))]
    return dict(zip(pairs, _p_and_stars(statistics.rank_sum_family(pairs, folds)), strict=True)) if pairs else {}


def paired(a, b, metric="auc"):
    """Difference of two conditions over test animals, as a dict; see the columns of :func:`tests`."""
    theirs = b.values(metric)
    shared = {name: value - theirs[name] for name, value in a.values(metric).items() if name in theirs}
    differences = list(_by_animal(a, shared).values())
    nothing = dict.fromkeys(("paired_difference", "low", "high", "p_sign_flip", "p_floor"))
    if len(differences) < 2:
        return {"animals": len(differences), **nothing}
    flip, interval = statistics.sign_flip(differences), statistics.t_interval(differences)
    return {"animals": len(differences), "paired_difference": flip.effect, "low": interval.low, "high": interval.high,
            "p_sign_flip": flip.p, "p_floor": flip.floor}


def card_scores(found, metric=None):
    """Scores for the result card: of each condition over folds, over test animals, and of each fold.

    Returns a list of Score: ``model`` is the name of the condition. A condition without scores has none here; the card
    names its folds elsewhere.
    """
    metric = _metric(found, metric)
    scores = []
    for result in found:
        values, animals = result.values(metric), result.by_animal(metric)
        if not values:
            continue
        scores += cards.summarise(result.name, values.values(), metric)
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
    groups = {}
    for fold in result.folds:
        if fold.fold in values:
            groups.setdefault(fold.test_group, []).append(values[fold.fold])
    return {group: float(np.mean(mine)) for group, mine in groups.items()}
