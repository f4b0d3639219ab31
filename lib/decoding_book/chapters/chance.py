"""Chapter 03: how far above chance each animal is, what nulls do to behaviour, and how often they err."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import seaborn as sns

from calcium_decoding import splits
from calcium_decoding.data.recording import Recording
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import cards, linear_null, nulls, statistics
from calcium_decoding.experiments import engine
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.plotting import style
from calcium_decoding.plotting.style import DECODED, NULL_COLOUR, RUN, SIGNAL, simulated_mark
from calcium_decoding.preprocessing.windows import WindowSpec
from decoding_book.chapters import null_level

PAIRINGS = ("repairing", "permuting")


@dataclass(frozen=True, eq=False)
class AnimalChance:
    """The linear decoder on one animal: a LinearNull by name of the null, and its AUC when it sees time alone."""

    animal: str
    by_null: dict
    time_only: float
    simulated: bool

    @property
    def observed(self):
        """Mean AUC over sessions."""
        return next(iter(self.by_null.values())).observed


def score_animals(dataset, n_draws, seed, recipe=None, names=PAIRINGS, jobs=None):
    """Score every animal among draws of nulls: a list of AnimalChance, and one of Refused, without two sessions."""
    scored, left_out = [], []
    for animal in dataset.animals:
        try:
            by_null = {name: linear_null.refit(dataset, animal, name, n_draws, seed, recipe, jobs=jobs,
                                               label=f"{animal}, {name}") for name in names}
            scored.append(AnimalChance(animal, by_null, time_only_auc(dataset, animal), dataset.simulated))
        except DataError as error:
            left_out.append(cards.Refused(session=animal, reason=f"{error.found}; expected {error.expected}"))
    return scored, left_out


def time_only_auc(dataset, animal):
    """Mean AUC over sessions of the linear decoder that sees no signal, only the time since the session began."""
    clocks = tuple(Recording(np.arange(r.n_frames)[:, None] / r.rate_hz, r.behaviour, r.rate_hz, r.animal, r.session,
                             r.part, simulated=r.simulated) for r in dataset.of_animal(animal))
    return linear_null.refit(replace(dataset, recordings=clocks), animal, n_draws=1, jobs=1, label="").observed


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


def over_animals(scored, name):
    """A sentence: the exact sign-flip test over animals of what they score above the mean of a null."""
    if len(scored) < 2:
        return f"{len(scored)} animals with a score: nothing can be said about animals"
    above = [one.observed - one.by_null[name].null_aucs.mean() for one in scored]
    return f"above the null: {statistics.sign_flip(above)}"


def card_scores(scored):
    """Scores for the result card: means over animals, and each animal."""
    if not scored:
        return []
    first = next(iter(scored[0].by_null))
    scores = [score for label, values in (
        ("linear", [one.observed for one in scored]), ("linear, time only", [one.time_only for one in scored]),
        (f"null {first}", [one.by_null[first].null_aucs.mean() for one in scored]))
        for score in cards.summarise(label, values, "auc", "animals")]
    for name in scored[0].by_null:
        scores += [cards.Score(model="linear", metric=f"p, {name}", scope=f"animal {one.animal}",
                               value=one.by_null[name].p_value()) for one in scored]
    return scores + [cards.Score(model="linear", metric="auc", scope=f"animal {one.animal}", value=one.observed)
                     for one in scored]


def plan(dataset, recipe):
    """The audited split that the card names, each session the test once; None where no animal has three sessions.

    The linear decoder, which has nothing to choose, also trains on the session that could validate.
    """
    try:
        split = splits.leave_one_session_out(dataset)
    except ParameterError:
        return None
    planned = engine.Experiment(dataset, split, Traces(recipe, WindowSpec(0, 0)))
    planned.audit()
    return planned


def stored_level():
    """The stored measurement of :mod:`decoding_book.chapters.null_level` that this book comes with."""
    return null_level.NullLevel.load(cards.stored_folder() / "null_level.json")


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


def what_nulls_do(dataset, animal, names, seed, ax):
    """Mean activity of an animal's first session, and below it when it runs: really, and by one draw of each null."""
    dataset = replace(dataset, recordings=dataset.of_animal(animal))
    first = dataset.recordings[0]
    time_s, trace = np.arange(first.n_frames) / first.rate_hz, first.signal.mean(axis=1)
    ax.plot(time_s, 0.2 + 1.6 * (trace - trace.min()) / (np.ptp(trace) or 1.0), color=SIGNAL, lw=0.7)
    _bouts(ax, 0, first.run, 0, first.rate_hz, RUN)
    for row, name in enumerate(names, 1):
        start = nulls.shift_reach(dataset) if name == "linear_shift" else 0  # which uses the middle of the session
        _bouts(ax, row, nulls.NULLS[name](dataset, seed).recordings[0].run, start, first.rate_hz, DECODED)
    labels = ["mean activity", "as recorded", *(nulls.NULLS[name].title for name in names)]
    ax.set_yticks([1.0] + [-row - 0.5 for row in range(len(names) + 1)], labels)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_title(f"{first.id}: when it runs")
    return simulated_mark(style.time_axis(ax, time_s), first)


def _bouts(ax, row, run, start, rate_hz, colour):
    """A strip, ``row`` below 0, with bars where ``run`` is 1; it begins at frame ``start``."""
    bars = [((start + a) / rate_hz, (b - a) / rate_hz) for a, b in style.stretches(run)]
    ax.broken_barh([(start / rate_hz, len(run) / rate_hz)], (-row - 0.8, 0.6), color=NULL_COLOUR, alpha=0.12, lw=0)
    ax.broken_barh(bars, (-row - 0.8, 0.6), color=colour, lw=0)


def distribution(found, ax, of):
    """AUC of each draw of a LinearNull as a histogram, the observed AUC as a line; ``of``: the data it is about."""
    sns.histplot(found.null_aucs, binwidth=0.01, ax=ax, color=NULL_COLOUR, edgecolor="white", lw=0.3)
    ax.axvline(found.observed, color=DECODED, lw=2.5)
    ax.axvline(0.5, color=SIGNAL, ls=":", lw=1)
    ax.text(found.observed, 1.0, "observed ", color=DECODED, fontsize=9, ha="right", va="top",
            transform=ax.get_xaxis_transform())
    ax.set(xlabel="AUC (mean over sessions)", ylabel="draws", title=f"{nulls.NULLS[found.null].title}\n"
                                                                    f"p = {found.p_value():.3f}")
    return simulated_mark(ax, of)


def animals(scored, name, ax):
    """Each animal: the observed AUC, 95 % of a null's draws with their mean, and what time alone scores."""
    if not scored:
        ax.set_title("no animal has two whole sessions")
    for x, one in enumerate(scored):
        values = one.by_null[name].null_aucs
        low, high = np.quantile(values, [0.025, 0.975])
        ax.vlines(x, low, high, color=NULL_COLOUR, lw=9, alpha=0.4, label=f"null: 95 % of {len(values)} draws")
        ax.plot(x, values.mean(), "_", color=NULL_COLOUR, ms=14, mew=2)
        ax.plot(x, one.observed, "o", color=DECODED, ms=8, label="linear decoder")
        ax.plot(x + 0.14, one.time_only, "x", color=RUN, ms=7, mew=2, label="time in session only")
    ax.axhline(0.5, color=SIGNAL, ls=":", lw=1)
    ax.set_xticks(range(len(scored)), [one.animal for one in scored])
    ax.set(xlim=(-0.6, len(scored) - 0.4), ylabel="AUC (mean over sessions)")
    style.legend_beside(ax)
    return simulated_mark(ax, scored)


def level(measured, cells, ax):
    """Share of data sets of some cells of a NullLevel in which each null rejects at 5 %, with exact 95 % intervals."""
    tests = list(dict.fromkeys((r.null, r.test) for r in measured.rows))
    for k, (colour, cell) in enumerate(zip(sns.color_palette("colorblind", len(cells)), cells, strict=True)):
        y = [-i + 0.18 * ((len(cells) - 1) / 2 - k) for i in range(len(tests))]
        rows = [measured.row(cell, *test) for test in tests]
        rates, lows, highs = (100 * np.array([getattr(r, name) for r in rows]) for name in ("rate", "low", "high"))
        ax.errorbar(rates, y, xerr=[rates - lows, highs - rates], fmt="o", color=colour, ms=5, capsize=3,
                    label=f"{measured.cells[cell]['says']} ({rows[0].datasets} data sets)")
    ax.axvline(5, color=SIGNAL, ls="--", lw=1)
    ax.set_xscale("function", functions=(np.sqrt, np.square))
    ax.set_xticks([0, 1, 5, 10, 20, 40, 60, 80, 100])
    ax.set_yticks([-i for i in range(len(tests))],
                  [nulls.NULLS[null].title + (", safe p" if "/2" in test else "") for null, test in tests])
    ax.set(xlabel="data sets with p of at most 0.05 (%); nominal: 5", xlim=(0, 100))
    ax.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.4, -0.18))
    return simulated_mark(ax, True)
