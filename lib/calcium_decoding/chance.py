"""How far above chance is each animal: its score among scores of nulls, as tables and as scores for the card."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from calcium_decoding import (
    audit,
    experiments,
    linear_null,
    null_level,
    nulls,
    preprocess,
    results,
    splits,
    statistics,
    training,
)
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.recording import Recording
from calcium_decoding.windows import WindowSpec

PAIRINGS = ("repairing", "permuting")


@dataclass(frozen=True, eq=False)
class AnimalChance:
    """The linear decoder on one animal, session by session.

    Attributes
    ----------
    animal : str
    by_null : dict of str to LinearNull
        Its score among the scores of each null.
    time_only : float
        Mean AUC over sessions of the same decoder when all it sees is the time since the session began.
    """

    animal: str
    by_null: dict
    time_only: float

    @property
    def observed(self):
        """Mean AUC over sessions."""
        return next(iter(self.by_null.values())).observed


def score_animals(dataset, n_draws, seed, recipe=None, names=PAIRINGS, jobs=None):
    """Score every animal that has two sessions or more among draws of nulls; see :func:`linear_null.refit`.

    Returns
    -------
    scored : list of AnimalChance
    left_out : list of Refused
        Animals without a score, and why.
    """
    scored, left_out = [], []
    for animal in dataset.animals:
        try:
            by_null = {name: linear_null.refit(dataset, animal, name, n_draws, seed, recipe, jobs=jobs,
                                               label=f"{animal}, {name}") for name in names}
            scored.append(AnimalChance(animal, by_null, time_only_auc(dataset, animal)))
        except DataError as error:
            left_out.append(results.Refused(session=animal, reason=f"{error.found}; expected {error.expected}"))
    return scored, left_out


def time_only_auc(dataset, animal):
    """Mean AUC over sessions of the linear decoder that sees no signal, only the time since the session began."""
    clocks = tuple(_clock(r) for r in dataset.of_animal(animal))
    return linear_null.refit(replace(dataset, recordings=clocks), animal, n_draws=1, jobs=1, label="").observed


def _clock(recording):
    time_s = np.arange(recording.n_frames) / recording.rate_hz
    return Recording(time_s[:, None], recording.behaviour, recording.rate_hz, recording.animal, recording.session,
                     recording.part, simulated=recording.simulated)


def null_table():
    """The nulls by name: what each keeps, what it cuts, when it fails."""
    return pd.DataFrame([{"null": null.title, "keeps": null.keeps, "cuts": null.cuts, "fails": null.fails}
                         for null in nulls.NULLS.values()])


def animal_table(scored):
    """One row an animal: sessions, score, what time alone and the first null score; by null, p and the least p."""
    rows = []
    for one in scored:
        first = next(iter(one.by_null.values()))
        row = {"animal": one.animal, "sessions": len(first.by_session), "AUC": one.observed,
               "time only": one.time_only, "null mean": first.null_aucs.mean()}
        for name, found in one.by_null.items():
            row |= {f"p, {name}": found.p_value(), f"least p, {name}": found.smallest_p}
        rows.append(row)
    return pd.DataFrame(rows)


def above_chance(scored, name="permuting"):
    """Observed minus mean null AUC of each animal, shape (n_animals,)."""
    return np.array([one.observed - one.by_null[name].null_aucs.mean() for one in scored])


def over_animals(scored, name="permuting"):
    """A sentence: the exact sign-flip test over animals of what they score above the mean of a null."""
    if len(scored) < 2:
        return f"{len(scored)} animals with a score: nothing can be said about animals"
    return f"above the null: {statistics.sign_flip(above_chance(scored, name))}"


def card_scores(scored):
    """Scores for the result card: means over animals, and each animal."""
    if not scored:
        return []
    scores = []
    for label, values in (("linear", [one.observed for one in scored]),
                          ("linear, time only", [one.time_only for one in scored])):
        scores += results.summarise(label, values, "auc", "animals")
    first = next(iter(scored[0].by_null))
    null_means = [one.by_null[first].null_aucs.mean() for one in scored]
    scores += results.summarise(f"null {first}", null_means, "auc", "animals")
    for name in scored[0].by_null:
        scores += [results.Score(model="linear", metric=f"p, {name}", scope=f"animal {one.animal}",
                                 value=one.by_null[name].p_value()) for one in scored]
    return scores + [results.Score(model="linear", metric="auc", scope=f"animal {one.animal}", value=one.observed)
                     for one in scored]


def plan(dataset, recipe):
    """The audited split that the card names, or None where no animal has three sessions.

    Each session of an animal is the test once. The audit keeps it apart from the sessions that train and from the one
    that could validate; the linear decoder, which has nothing to choose, trains on both.
    """
    try:
        split = splits.leave_one_session_out(dataset)
    except ParameterError:
        return None
    spec = WindowSpec(0, 0)
    audit.audit(split, spec, preprocess.build(**recipe), dataset)
    return experiments.Experiment(dataset, split, spec, recipe, training.TrainingSettings())


def stored_level():
    """The stored measurement of :mod:`calcium_decoding.null_level` that this book comes with."""
    return null_level.NullLevel.load(results.stored_folder() / "null_level.json")


def level_origin(level):
    """What a stored measurement was made with, and whether that is the code at hand, as lines of text."""
    same = level.code_hash == null_level.code_hash()
    return "\n".join([f"measured with seed {level.seed}, {level.draws} draws of a null a data set",
                      f"by version {level.code_version}",
                      "nulls, decoder and simulator are those of the code at hand" if same else
                      "nulls, decoder or simulator have changed since: measure again before quoting it"])


def level_table(level):
    """The measured level, a row a cell and a null: share of data sets rejected, per cent, with its 95 % interval."""
    return pd.DataFrame([{
        "data": level.cells[row.cell]["says"],
        "null": nulls.NULLS[row.null].title + (", safe p" if "/2" in row.test else ""),
        "data sets": row.datasets,
        "rejected_percent": f"{100 * row.rate:.1f} ({100 * row.low:.1f} to {100 * row.high:.1f})",
        "AUC": row.auc, "null AUC": row.null_auc,
    } for row in level.rows])
