"""Figures of lags: what behaviour alone makes of a label-shift curve, and where a curve peaks."""

import numpy as np

from calcium_decoding import condition_figures, lags
from calcium_decoding.figures import DECODED, NULL_COLOUR, RUN, SIGNAL, simulated_mark


def behaviour_alone(found, most_s, ax, simulated=False):
    """Correlation of running with shifted running, itself and seen through the indicator: thin lines are test animals.

    Parameters
    ----------
    found : ConditionResult
        Says which recordings test which animal.
    most_s : float
        Largest shift, seconds.
    simulated : bool
        Mark the panel as simulated.
    """
    rate_hz = found.condition.experiment.recipe["rate_hz"]
    frames = np.arange(-round(most_s * rate_hz), round(most_s * rate_hz) + 1)
    kernels = {"running with itself": (NULL_COLOUR, (1.0,)),
               "through the indicator": (RUN, lags.indicator_kernel(rate_hz))}
    for label, (colour, kernel) in kernels.items():
        rows = np.array([lags.behaviour_correlation(lags.recordings_of(found, group), frames, kernel)
                         for group in found.by_animal()])
        ax.plot(frames / rate_hz, rows.T, color=colour, lw=0.6, alpha=0.6)
        ax.plot(frames / rate_hz, rows.mean(axis=0), color=colour, lw=2.2, label=label)
    ax.axvline(0, color=NULL_COLOUR, ls=":", lw=1)
    ax.set(xlabel="label shift (s)", ylabel="correlation with running (r)")
    ax.legend(fontsize=8, loc="lower center")
    return simulated_mark(ax, simulated)


def lag_curve(found, ax, planted_s=None, simulated=False):
    """A label-shift curve with its peak, and where the indicator and a planted lag would put that.

    Parameters
    ----------
    found : sequence of ConditionResult
        One a shift; see :func:`calcium_decoding.lags.curves`.
    ax : matplotlib.axes.Axes
    planted_s : float, optional
        Planted lag, seconds, if there is one.
    simulated : bool
        Mark the panel as simulated.
    """
    place = ax.get_subplotspec()
    lowest = place is None or place.is_last_row()
    condition_figures.curve(found, ax, "label shift (s)" if lowest else "", simulated=simulated)
    estimates = lags.peaks(found)
    if len(estimates):
        alone = estimates["indicator_s"].mean()
        ax.axvline(alone, color=RUN, lw=1.5, ls="--", label="indicator alone")
        if planted_s is not None:
            ax.axvline(alone - planted_s, color=SIGNAL, lw=1.5, ls=":", label="indicator and planted lag")
        low, high = ax.get_ylim()
        height = low + 0.03 * (high - low)
        ax.plot(estimates["peak_s"], np.full(len(estimates), height), "^", color=DECODED, ms=7, alpha=0.7,
                label="peak of an animal")
    condition_figures.legend_beside(ax)
    return ax
