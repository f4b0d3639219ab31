"""What decoding frame by frame costs in time: waiting, preprocessing, inference and sending, apart, with their tails."""

import os
import platform
from array import array
from importlib.metadata import version

import numpy as np

from calcium_decoding.models.decoders import name_of

PARTS = "waiting", "preprocessing", "inference", "sending", "total"
QUANTILES = {"p50_ms": 50, "p95_ms": 95, "p99_ms": 99, "p99_9_ms": 99.9, "max_ms": 100}


class Latency:
    """Times of the frames that were decoded, seconds."""

    def __init__(self):
        self._parts = array("d")

    def add(self, waiting, preprocessing, inference, sending):
        """One frame; ``waiting``: from when it was sent, None if that is not known."""
        self._parts.extend((np.nan if waiting is None else waiting, preprocessing, inference, sending))

    @property
    def parts_s(self):
        """Shape (n, 5): columns of :data:`PARTS`; NaN: not known, and then not in the total."""
        found = np.array(self._parts).reshape(-1, 4)
        return np.column_stack([found, np.nansum(found, axis=1)])

    def card(self, stream, counts=(), threads=1):
        """What JSON holds of it: ``latency`` a list of rows, a part each, columns in ms; ``look_ahead_ms``, which no
        faster machine takes away; frames ``missed``: never arrived, behind newer ones, or given when the next was due
        already; machine, threads, decoder."""
        parts, counts, period = 1000 * self.parts_s, stream.counts | dict(counts), 1000 / stream.fitted.rate_hz
        overdue = int((parts[:, -1] > period).sum())
        rows = []
        for name, values in zip(PARTS, parts.T, strict=True):
            values = values[~np.isnan(values)]
            rows.append({"part": name} | {column: round(float(np.percentile(values, q)), 4) if len(values) else None
                                          for column, q in QUANTILES.items()})
        about = stream.fitted.provenance
        return {
            "decoder": name_of(stream.fitted.source), "dataset": about.get("dataset"),
            "simulated": about.get("simulated"), "rate_hz": stream.fitted.rate_hz, "frame_shape": stream.frame_shape,
            "look_ahead_ms": stream.look_ahead_ms, "latency": rows, "frames": counts | {
                "overdue": overdue, "missed": counts["missing"] + counts.get("superseded", 0) + overdue},
            "machine": {"processor": _processor(), "cores": os.cpu_count(), "threads": threads,
                        "load_1_min": round(os.getloadavg()[0], 2), "system": platform.system(),
                        "python": platform.python_version(), "torch": version("torch")}}


def figure(card, ax):
    """Latency by part, ms, from the median to the maximum, on a logarithmic axis; the time between frames as a line."""
    rows = [row for row in card["latency"] if row["p50_ms"]]
    for y, row in enumerate(rows[::-1]):
        ax.plot([row[name] for name in QUANTILES], [y] * len(QUANTILES), "-", color="#767676", lw=1)
        for name, mark in zip(QUANTILES, "o^sDx", strict=True):
            ax.plot(row[name], y, mark, color="#0072B2", label=name.removesuffix("_ms").replace("_", ".") if not y else None)
    ax.axvline(1000 / card["rate_hz"], color="#D55E00", lw=1, label="next frame")
    ax.set(xscale="log", xlabel="ms", yticks=range(len(rows)), yticklabels=[row["part"] for row in rows[::-1]],
           title=f"{card['decoder']}: {card['look_ahead_ms']:.0f} ms of look-ahead come on top")
    ax.legend(fontsize=8, ncols=2)
    return ax


def _processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
