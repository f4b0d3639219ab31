"""Figures about nulls: what each does to behaviour, where a score stands among them, how often they err."""

from dataclasses import replace

import numpy as np
import seaborn as sns

from calcium_decoding import nulls
from calcium_decoding.figures import DECODED, NULL_COLOUR, RUN, SIGNAL, simulated_mark, time_axis


def what_nulls_do(dataset, animal, names, seed, ax):
    """Mean activity of a session, and below it when the animal runs: really, and by one draw of each null.

    Parameters
    ----------
    dataset : Dataset
    animal : str
        Its first session is shown.
    names : sequence of str
        Names in :data:`calcium_decoding.nulls.NULLS`.
    seed : int
    """
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
    return simulated_mark(time_axis(ax, time_s), first.simulated)


def _bouts(ax, row, run, start, rate_hz, colour):
    """A strip, ``row`` below 0, with bars where ``run`` is 1; it begins at frame ``start``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], run.astype(int), [0]])))
    bars = [((start + a) / rate_hz, (b - a) / rate_hz) for a, b in edges.reshape(-1, 2)]
    ax.broken_barh([(start / rate_hz, len(run) / rate_hz)], (-row - 0.8, 0.6), color=NULL_COLOUR, alpha=0.12, lw=0)
    ax.broken_barh(bars, (-row - 0.8, 0.6), color=colour, lw=0)


def distribution(found, ax, simulated=False):
    """One animal: AUC of each draw of a null as a histogram, the observed AUC as a line, and the p-value.

    Parameters
    ----------
    found : LinearNull
    """
    sns.histplot(found.null_aucs, binwidth=0.01, ax=ax, color=NULL_COLOUR, edgecolor="white", lw=0.3)
    ax.axvline(found.observed, color=DECODED, lw=2.5)
    ax.axvline(0.5, color=SIGNAL, ls=":", lw=1)
    ax.text(found.observed, 1.0, "observed ", color=DECODED, fontsize=9, ha="right", va="top",
            transform=ax.get_xaxis_transform())
    ax.set(xlabel="AUC (mean over sessions)", ylabel="draws", title=f"{nulls.NULLS[found.null].title}\n"
                                                                    f"p = {found.p_value():.3f}")
    return simulated_mark(ax, simulated)


def animals(scored, name, ax, simulated=False):
    """Each animal: the observed AUC, the range of 95 % of a null's draws with their mean, and what time alone scores.

    Parameters
    ----------
    scored : list of AnimalChance
        Of :func:`calcium_decoding.chance.score_animals`.
    name : str
        Which null.
    """
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
    handles, labels = ax.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    ax.legend(unique.values(), unique.keys(), fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return simulated_mark(ax, simulated)


def level(measured, cells, ax):
    """Measured share of data sets in which each null rejects at 5 %, with its exact 95 % interval.

    Parameters
    ----------
    measured : NullLevel
    cells : sequence of str
        Names of its cells, each a colour.
    """
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
