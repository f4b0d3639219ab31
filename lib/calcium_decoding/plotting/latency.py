"""Latency of a decoder that runs frame by frame."""

from calcium_decoding.plotting.style import DECODED, NULL_COLOUR, RUN, simulated_mark

_MARKS = {"p50_ms": "o", "p95_ms": "^", "p99_ms": "s", "p99_9_ms": "D", "max_ms": "x"}


def latency_figure(card, ax):
    """Latency by part, ms, from the median to the maximum, of a latency card; the time between frames as a line."""
    rows = [row for row in card["latency"] if row["p50_ms"]][::-1]
    for y, row in enumerate(rows):
        ax.plot([row[name] for name in _MARKS], [y] * len(_MARKS), "-", color=NULL_COLOUR, lw=1)
        for name, mark in _MARKS.items():
            label = name.removesuffix("_ms").replace("_", ".")
            ax.plot(row[name], y, mark, color=DECODED, ls="none", label=label if not y else None)
    ax.axvline(1000 / card["rate_hz"], color=RUN, lw=1, label="next frame")
    ax.set(xscale="log", xlabel="ms", yticks=range(len(rows)), yticklabels=[row["part"] for row in rows],
           title=f"{card['decoder']}, look-ahead of {card['look_ahead_ms']:.0f} ms apart")
    ax.legend(fontsize=8, ncols=2)
    return simulated_mark(ax, bool(card["simulated"]))
