"""Chapter 03: how far above chance each animal is."""

from dataclasses import replace

import numpy as np
import pandas as pd

import calcium_decoding as cd
from calcium_decoding import splits
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import cards, linear_null, statistics

PAIRINGS = ("repairing", "permuting")


def with_label(dataset, task):
    """The data with what is decoded, a Binary, in the place of running, where the linear null looks for it."""
    return replace(dataset, recordings=tuple(replace(r, behaviour={"run": task.target(r)}) for r in dataset.recordings))


def score_animals(dataset, n_draws, seed, recipe=None, jobs=None):
    """Score every animal among draws of session re-pairing and permutation: a DataFrame, and a list of Refused, the
    animals without two sessions. A row an animal: ``sessions``, ``AUC``, that of the decoder that sees ``time only``;
    of re-paired sessions ``null mean``, ``null low`` and ``null high``, which hold 95 % of the draws; for each null
    ``p``, and the ``least p`` that any number of draws could give."""
    rows, left_out = [], []
    for animal in dataset.animals:
        try:
            found = {name: linear_null.refit(dataset, animal, name, n_draws, seed, recipe, jobs=jobs,
                                             label=f"{animal}, {name}") for name in PAIRINGS}
            # What sees no signal, only the time since the session began.
            clocks = tuple(replace(r, signal=np.arange(r.n_frames)[:, None] / r.rate_hz, roi_names=())
                           for r in dataset.of_animal(animal))
            time_only = linear_null.refit(replace(dataset, recordings=clocks), animal, n_draws=1, jobs=1, label="")
        except DataError as error:
            left_out.append(cards.Refused(session=animal, reason=f"{error.found}; expected {error.expected}"))
            continue
        first = found[PAIRINGS[0]]
        low, high = np.quantile(first.null_aucs, [0.025, 0.975])
        row = {"animal": animal, "sessions": len(first.by_session), "AUC": first.observed,
               "time only": time_only.observed, "null mean": first.null_aucs.mean(), "null low": low, "null high": high,
               "simulated": dataset.simulated}
        for name, null in found.items():
            row |= {f"p, {name}": null.p_value(), f"least p, {name}": null.smallest_p}
        rows.append(row)
    return pd.DataFrame(rows), left_out


def over_animals(scored):
    """A sentence: the sign-flip test over animals of what they score above the mean of re-paired sessions, one-sided
    because that is the hypothesis, and the 95 % interval of that difference."""
    if len(scored) < 2:
        return f"{len(scored)} animals with a score: nothing can be said about animals"
    above = scored["AUC"] - scored["null mean"]
    interval = statistics.t_interval(above, statistics.bounds_of("auc", difference=True))
    return (f"above the null: {statistics.sign_flip(above, 'greater')}; "
            f"95 % interval {interval.low:+.3f} to {interval.high:+.3f}")


def plan(dataset, recipe, task):
    """The audited split that the card names, each session the test once; None where no animal has three sessions. The
    linear decoder, which has nothing to choose, also trains on the session that could validate."""
    try:
        split = splits.leave_one_session_out(dataset)
    except ParameterError:
        return None
    planned = cd.Experiment(dataset, split, cd.Traces(recipe, cd.WindowSpec(0, 0)), task)
    planned.audit()
    return planned
