"""Figures about splits: leaks taken apart, and one decoder under several claims."""

import numpy as np
import seaborn as sns

from calcium_decoding import leakage
from calcium_decoding.figures import MODEL_COLOURS, MODEL_LABELS, NULL_COLOUR, SIGNAL, simulated_mark
from calcium_decoding.splits import LEAKY

CLAIM_LABELS = {"within session": "within session", "across sessions": "across sessions",
                "across animals": "across animals", LEAKY: "LEAKY\nrandom windows"}


def leak_schemes(scores, ax, metric="balanced_accuracy"):
    """Score from unrelated data by scheme: each dot a draw of the data, the bar their mean.

    Parameters
    ----------
    scores : DataFrame
        Of :func:`calcium_decoding.leakage.score_schemes`.
    """
    schemes, decoders = list(dict.fromkeys(scores["scheme"])), list(dict.fromkeys(scores["decoder"]))
    for colour, decoder in zip(sns.color_palette("colorblind", len(decoders)), decoders, strict=True):
        shift = 0.22 * (decoders.index(decoder) - (len(decoders) - 1) / 2)
        for x, scheme in enumerate(schemes):
            here = scores[(scores["scheme"] == scheme) & (scores["decoder"] == decoder)][metric]
            if len(here):
                ax.plot(x + shift + np.linspace(-0.05, 0.05, len(here)), here, "o", color=colour, alpha=0.7, ms=5)
                ax.hlines(here.mean(), x + shift - 0.1, x + shift + 0.1, color=SIGNAL, lw=2)
        ax.plot([], [], "o", color=colour, label=decoder)
    ax.axhline(leakage.CHANCE, color=NULL_COLOUR, ls=":", lw=1, label="chance (1/3)")
    ax.set_xticks(range(len(schemes)), [scheme.replace(", ", ",\n").replace("random ", "random\n")
                                        for scheme in schemes])
    ax.set(ylabel=f"{metric.replace('_', ' ')} (a dot is a draw)", ylim=(0.15, 1))
    ax.legend(fontsize=8, loc="upper right")
    return simulated_mark(ax, True)


def score_by_distance(scores, ax, tau_frames=leakage.TAU_FRAMES):
    """Score from unrelated data against the distance to the nearest training window: lines are means over draws.

    Filled marks: test and training windows share frames. Open marks: they share none.

    Parameters
    ----------
    scores : DataFrame
        Of :func:`calcium_decoding.leakage.score_by_distance`.
    tau_frames : float
        Autocorrelation time, marked.
    """
    lengths = list(dict.fromkeys(scores["window_frames"]))
    for colour, length in zip(sns.color_palette("viridis", len(lengths)), lengths, strict=True):
        mine = scores[scores["window_frames"] == length].groupby("distance_frames")["balanced_accuracy"].mean()
        distance, values = mine.index.to_numpy(), mine.to_numpy()
        ax.plot(distance, values, color=colour, lw=1.5, label=f"window of {length}" if length > 1 else "single frame")
        shares = distance < length
        ax.plot(distance[shares], values[shares], "o", color=colour, ms=5)
        ax.plot(distance[~shares], values[~shares], "o", color=colour, mfc="white", ms=5)
    ax.plot([], [], "o", color=NULL_COLOUR, ms=5, label="frames shared")
    ax.plot([], [], "o", color=NULL_COLOUR, mfc="white", ms=5, label="no frame shared")
    ax.axhline(leakage.CHANCE, color=NULL_COLOUR, ls=":", lw=1)
    ax.axvline(tau_frames, color=NULL_COLOUR, ls="--", lw=1)
    ax.text(tau_frames * 1.08, 0.96, "autocorrelation time", fontsize=8, color=NULL_COLOUR, va="top",
            transform=ax.get_xaxis_transform())
    ax.set_xscale("log")
    ax.set_xticks([1, 2, 5, 10, 20, 50, 100, 200], ["1", "2", "5", "10", "20", "50", "100", "200"])
    ax.minorticks_off()
    ax.set(xlabel="distance to the nearest training window (frames)", ylabel="balanced accuracy of 1-NN",
           ylim=(0.15, 1))
    ax.legend(fontsize=8, loc="upper right", bbox_to_anchor=(1, 0.92))
    return simulated_mark(ax, True)


def regimes(scores, ax, simulated=False):
    """Score by claim and decoder: each dot an animal, lines join the scores of one animal, bars are means over animals.

    Parameters
    ----------
    scores : DataFrame
        Of :func:`calcium_decoding.comparison.animal_scores`.
    """
    scores = scores.dropna(subset="score")
    claims = [claim for claim in CLAIM_LABELS if claim in set(scores["claim"])]
    models = list(dict.fromkeys(scores["model"]))
    for i, model in enumerate(models):
        shift = 0.5 * (i - (len(models) - 1) / 2) / max(1, len(models))
        wide = scores[scores["model"] == model].pivot_table(index="animal", columns="claim", values="score")[claims]
        for values in wide.to_numpy():
            ax.plot(np.arange(len(claims)) + shift, values, "-o", color=MODEL_COLOURS[model], alpha=0.5, ms=5, lw=0.7)
        ax.hlines(wide.mean(), np.arange(len(claims)) + shift - 0.1, np.arange(len(claims)) + shift + 0.1,
                  color=SIGNAL, lw=2, zorder=3)
        ax.plot([], [], "o", color=MODEL_COLOURS[model], label=MODEL_LABELS[model])
    ax.axhline(0.5, color=NULL_COLOUR, ls=":", lw=1, label="chance")
    if LEAKY in claims:
        ax.axvspan(claims.index(LEAKY) - 0.5, len(claims) - 0.5, color=NULL_COLOUR, alpha=0.12, lw=0)
    ax.set_xticks(range(len(claims)), [CLAIM_LABELS[claim] for claim in claims])
    ax.set(ylabel="AUC (a dot is an animal)", xlim=(-0.5, len(claims) - 0.5))
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return simulated_mark(ax, simulated)
