"""What decoding frame by frame costs in time: waiting, preprocessing, inference and sending apart, with their tails."""

import os
import platform
from array import array
from importlib.metadata import version
from pathlib import Path

import numpy as np

from calcium_decoding.models.decoders import name_of

PARTS = "waiting", "preprocessing", "inference", "sending", "total"
QUANTILES = {"p50_ms": 50, "p95_ms": 95, "p99_ms": 99, "p99_9_ms": 99.9, "max_ms": 100}


class Latency:
    """Times of the frames that were decoded, s."""

    def __init__(self):
        self._parts = array("d")

    def add(self, waiting, preprocessing, inference, sending):
        """One frame; ``waiting``: since it was sent, None if that is not known, and then not in the total."""
        self._parts.extend((np.nan if waiting is None else waiting, preprocessing, inference, sending))

    def card(self, stream, counts=(), threads=1):
        """What JSON holds of it: ``latency`` a list of rows, a part each, columns in ms; ``look_ahead_ms``, which no
        faster machine takes away; frames ``missed``: never arrived, behind newer ones, or ``overdue``, given when the
        next was due already; machine, threads, decoder."""
        parts, counts, rows = 1000 * np.array(self._parts).reshape(-1, 4), stream.counts | dict(counts), []
        parts = np.column_stack([parts, np.nansum(parts, axis=1)])
        overdue = int((parts[:, -1] > 1000 / stream.fitted.rate_hz).sum())
        for name, found in zip(PARTS, parts.T, strict=True):
            found = found[~np.isnan(found)]
            rows.append({"part": name} | {column: round(float(np.percentile(found, q)), 4) if len(found) else None
                                          for column, q in QUANTILES.items()})
        cpu = Path("/proc/cpuinfo")
        models = [line.partition(":")[2].strip() for line in (cpu.read_text().splitlines() if cpu.exists() else ())
                  if line.startswith("model name")]
        about = {name: stream.fitted.provenance.get(name) for name in ("dataset", "simulated")}
        return {
            "decoder": name_of(stream.fitted.source), **about, "rate_hz": stream.fitted.rate_hz,
            "frame_shape": stream.frame_shape, "look_ahead_ms": stream.look_ahead_ms, "latency": rows,
            "frames": counts | {"overdue": overdue,
                                "missed": counts["missing"] + counts.get("superseded", 0) + overdue},
            "machine": {"processor": (models or [platform.machine()])[0], "cores": os.cpu_count(), "threads": threads,
                        "load_1_min": round(os.getloadavg()[0], 2), "system": platform.system(),
                        "python": platform.python_version(), "torch": version("torch")}}
