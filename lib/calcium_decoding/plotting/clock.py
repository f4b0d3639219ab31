"""Figures of the clock report: steps from frame to frame, drift, and when each behaviour was known."""

import itertools

import numpy as np

from calcium_decoding.data.clock import frame_times
from calcium_decoding.data.frame_clock import Steps
from calcium_decoding.data.recording import Recording
from calcium_decoding.plotting import style
from calcium_decoding.plotting.style import DECODED, NULL_COLOUR, SIGNAL, WARNING

MOST_STEP = 4.5  # frames; longer steps are drawn at the top edge


def clock_figure(frames, rate_hz=None, ttl_s=None, behaviour=(), simulated=None, offset_s=0.0):
    """The three plots of a clock above one another; what to look at before :func:`calcium_decoding.with_times`.

    ``frames``, ``rate_hz``, ``ttl_s``, ``behaviour``, ``offset_s``: as of :func:`calcium_decoding.clock_report`.
    ``simulated``: of times that are no recording, which says it itself. Returns a matplotlib Figure.
    """
    recording = frames if isinstance(frames, Recording) else None
    if recording is None and simulated is None:
        raise TypeError("nothing says whether these times are simulated: give simulated=True or False")
    of = bool(simulated) if recording is None else recording
    times = np.asarray(frames, np.float64) if recording is None else frame_times(recording)
    rate_hz = rate_hz or recording.rate_hz
    n_rows = 1 + len(behaviour)
    figure, axes = style.stack(3, [1.5, 1.5, 0.7 + 0.28 * n_rows], width=7.0)
    clock_steps(times, rate_hz, axes[0], of)
    clock_drift(times, rate_hz, axes[1], of, ttl_s)
    stretches = Steps.of(times).stretches() if recording is None else recording.stretches
    clock_coverage(times, stretches, behaviour, axes[2], of, offset_s)
    return figure


def clock_steps(times_s, rate_hz, ax, of):
    """Step to each frame in frames, over time; missing and repeated frames, and restarts, in red. ``of``: see
    :func:`calcium_decoding.plotting.style.simulated_mark`."""
    steps, at = Steps.of(times_s), np.asarray(times_s)[1:]
    size = np.diff(times_s) * rate_hz
    is_odd = ((steps.missing > 0) | steps.is_repeated | steps.goes_back)[1:]
    shown = np.clip(size, -0.4, MOST_STEP)
    ax.plot(at[~is_odd], shown[~is_odd], ".", color=SIGNAL, ms=2, label="step as it should be")
    for which, marker, label in ((steps.missing[1:] > 0, "^", f"{steps.missing.sum()} frames missing"),
                                 (steps.is_repeated[1:], "v", f"{steps.is_repeated.sum()} repeated"),
                                 (steps.goes_back[1:], "X", f"{steps.goes_back.sum()} restarts")):
        if which.any():
            ax.plot(at[which], shown[which], marker, color=WARNING, ms=5, label=label)
    ax.axhline(1, color=NULL_COLOUR, lw=0.8, ls=":")
    ax.set(ylabel="step (frames)", ylim=(-0.6, MOST_STEP + 2), title="Steps from frame to frame")
    return _finished(ax, times_s, of)


def clock_drift(times_s, rate_hz, ax, of, ttl_s=None):
    """How far frames, and TTL pulses, come after where the rate puts them by their number; missing ones counted."""
    clocks = {"times of frames": (times_s, SIGNAL)} | ({} if ttl_s is None else {"TTL pulses": (ttl_s, DECODED)})
    for name, (times, colour) in clocks.items():
        steps, times = Steps.of(times), np.asarray(times, np.float64)
        late = 1000 * (times - times[0] - steps.number / rate_hz)
        borders = [0, *np.flatnonzero(steps.goes_back), len(times)]
        for i, (start, stop) in enumerate(itertools.pairwise(borders)):
            ax.plot(times[start:stop], late[start:stop] - (late[start] if i else 0), color=colour, lw=1,
                    label=f"{name}: {1e6 * (steps.slope_s * rate_hz - 1):+.0f} ppm")
    ax.axhspan(-500 / rate_hz, 500 / rate_hz, color=NULL_COLOUR, alpha=0.15, lw=0, label="half a frame")
    ax.margins(y=0.3)  # room for the legend
    ax.set(ylabel="late by (ms)", title=f"Drift against {rate_hz:g} Hz")
    return _finished(ax, times_s, of)


def clock_coverage(times_s, stretches, behaviour, ax, of, offset_s=0.0):
    """When frames can be used, and when each behaviour (Series) was known: a bar a row, broken where it was not."""
    times = np.asarray(times_s, np.float64)
    rows = {"frames": [(times[start], times[stop - 1]) for start, stop in stretches]}
    for one in behaviour:
        if one.kind == "samples":
            at = one.times_s[np.isfinite(one.values)] + offset_s
            is_late = np.diff(at, prepend=at[:1]) > one.longest_step_s
            begins = np.append(np.flatnonzero(is_late), len(at)) if len(at) else np.array([0])
            rows[one.name] = [(at[i], at[j - 1]) for i, j in zip([0, *begins], begins, strict=False) if i < j]
        else:
            rows[one.name] = [] if one.span_s is None else [(one.span_s[0] + offset_s, one.span_s[1] + offset_s)]
            ax.plot(one.times_s + offset_s, np.full(len(one.times_s), len(rows) - 1), "|", color=SIGNAL, ms=7)
    for row, (name, spans) in enumerate(rows.items()):
        ax.broken_barh([(start, stop - start) for start, stop in spans], (row - 0.3, 0.6),
                       color=NULL_COLOUR if name == "frames" else DECODED, alpha=0.6, lw=0)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set(ylim=(len(rows) - 0.5, -0.5), title="When each was known")
    return _finished(ax, times_s, of)


def _finished(ax, times_s, of):
    """Time axis, legend and mark."""
    low, high = np.min(times_s), np.max(times_s)
    style.time_axis(ax, (low - 0.01 * (high - low), high + 0.01 * (high - low)))
    style.legend_beside(ax, loc="upper left", bbox_to_anchor=(0.0, 1.0), ncols=4, columnspacing=1.2)
    return style.simulated_mark(ax, of)
