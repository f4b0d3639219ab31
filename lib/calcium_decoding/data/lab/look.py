"""What a file or folder holds, without loading it all: its arrays, clocks, candidates for labels, what is doubtful."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from calcium_decoding.data.lab.contents import MOST_VALUES, contents
from calcium_decoding.data.readers.behaviour.tables import CLOCK
from calcium_decoding.errors import DataError

MOST_ARRAYS = 60  # that are shown
_SPEED = re.compile(r"speed|velocity|wheel|treadmill|encoder|running|motion", re.I)
_MAY_BE_CLOCK = re.compile(r"(^|[/_. ])(t|times?|timestamps?|start_time|frames?)($|[_. (\[/])", re.I)


@dataclass(frozen=True, eq=False)
class Look:
    """What is in a file or folder.

    ``kind``: in words. ``format``: of :func:`calcium_decoding.read`, ``"behaviour"`` if it holds no activity, empty if
    nothing here reads it. ``arrays``: a row each (name, shape, type, what it is). ``clocks``, ``labels``: what may be
    one, and why. ``doubts``: what a person has to decide. ``entry``: of a manifest, to start from. Printed, it is a
    report.
    """

    path: Path
    kind: str
    format: str
    arrays: tuple[tuple[str, str, str, str], ...]
    clocks: tuple[str, ...]
    labels: tuple[str, ...]
    doubts: tuple[str, ...]
    entry: dict

    def __str__(self):
        lines = [f"{self.path}: {self.kind}", ""]
        shown = self.arrays[:MOST_ARRAYS]
        widths = [max((len(row[i]) for row in shown), default=1) for i in range(3)]
        lines += [f"  {a:<{widths[0]}}  {b:<{widths[1]}}  {c:<{widths[2]}}  {says}".rstrip() for a, b, c, says in shown]
        lines += [f"  ... and {len(self.arrays) - len(shown)} more arrays"] if len(self.arrays) > len(shown) else []
        for title, of in (("clocks", self.clocks), ("may be labels", self.labels), ("doubtful", self.doubts)):
            lines += ["", f"{title}:", *(f"  {one}" for one in of)] if of else []
        return "\n".join([*lines, "", *self._start(), ""])

    def _start(self):
        if not self.entry:
            return ["No entry to start from: nothing here reads this as recordings or as behaviour."]
        if self.format == "behaviour":
            block = yaml.safe_dump({"behaviour": [self.entry]}, sort_keys=False, allow_unicode=True)
            words = ["calcium-decoding", "data", "add", "NAME", "RECORDINGS", "--behaviour", str(self.path)]
            words += [f"{key}={value}" for key, value in self.entry["options"].items()]
        else:
            block = yaml.safe_dump({"my-recordings": self.entry}, sort_keys=False, allow_unicode=True)
            words = ["calcium-decoding", "data", "add", "my-recordings", str(self.path)]
            words += ["--rate", str(self.entry["rate_hz"])] if "rate_hz" in self.entry else []
            words += [word for name in self.entry.get("options", {}) for word in (
                (f"--{name}", "???") if name in ("animal", "session") else ("--option", f"{name}=???"))]
        return ["To start from, in a manifest of your own (??? is to be filled in):",
                *(f"  {line}" for line in block.replace("'???'", "???").splitlines()), "",
                "or: " + re.sub(r"'([\w=]*\?\?\?)'", r"\1", shlex.join(words)) + " --manifest lab.yaml"]


def inspect(path):
    """Look into a file or folder without loading it all.

    Headers are read, and the first 100,000 values of a vector. Knows ``.npz``, ``.npy``, text tables, ``.parquet``,
    ``.xlsx``, ``.mat``, NWB and any HDF5, TIFF, zarr, folders of suite2p and wfield, and folders of any of these, of
    which one file an ending is looked into.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Look

    Raises
    ------
    DataError
        Nothing there, or a file that is not what its ending says.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise DataError(path, "no such file or folder", "recordings or behaviour", "mend the path")
    try:
        found = contents(path)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # damaged files make parsers raise nearly anything
        raise DataError(path, f"a file that cannot be looked into ({type(error).__name__}: {error})",
                        "a whole file of the kind its name says", "copy it again") from error
    clocks, labels, doubts, rows = [], [], list(found.doubts), []
    lengths = {array.shape[0] if len(array.shape) == 1 else max(array.shape): array.name for array in found.arrays
               if _is_vector(array) and _is_clock(array)}
    for array in found.arrays:
        says = [array.says] if array.says else []
        if _is_vector(array) and array.head is not None:
            values = np.ravel(array.head).astype(float)
            if _is_clock(array):
                clocks.append(_clock(array, values, doubts))
            elif label := _label(array, values):
                labels.append(label)
            if missing := np.count_nonzero(~np.isfinite(values)):
                says.append(f"{missing} of {len(values)} not finite")
        elif len(array.shape) == 2 and not (array.says and array.time_axis is None):
            says.append(_orientation(array, lengths, doubts))
            if array.head is not None and not np.isfinite(array.head.astype(float)).all():
                doubts.append(f"{array.name}: NaN or infinite values")
        elif array.time_axis is not None:
            says.append(f"time is axis {array.time_axis} ({array.why})")
        rows.append((array.name, str(array.shape), array.dtype, "; ".join(says)))
    return Look(path, found.kind, found.format, tuple(rows), tuple(clocks), tuple(labels), tuple(doubts),
                _entry(path, found, clocks))


def _is_vector(array):
    return bool(array.shape) and 0 not in array.shape and max(array.shape) == np.prod(array.shape, dtype=float) > 1


def _is_clock(array):
    return bool((CLOCK.search(array.name) or _MAY_BE_CLOCK.search(array.name)) and array.head is not None
                and np.size(array.head) > 1 and np.all(np.diff(np.ravel(array.head)[:1000].astype(float)) >= 0))


def _clock(array, values, doubts):
    """What a clock says: its range, its rate, its gaps."""
    steps = np.diff(values[np.isfinite(values)])
    step = float(np.median(steps)) if len(steps) else np.nan
    last = f"{array.last:.6g}" if array.last is not None else "..."
    part = f" in the first {len(values)}" if len(values) < max(array.shape) else ""
    if step > 0 and (gaps := np.count_nonzero(steps > 1.5 * step)):
        doubts.append(f"{array.name}: {gaps} gaps longer than 1.5 steps{part}, the longest {steps.max():.4g}")
    if np.count_nonzero(steps < 0):
        doubts.append(f"{array.name}: goes back {np.count_nonzero(steps < 0)} times{part}")
    if not re.search(r"(_|\(|\[)(s|ms|us)[)\]]?$|start_time$|timestamps$", array.name):
        doubts.append(f"{array.name}: its unit is not in its name")
    rate = f", {1 / step:.6g} a unit" if step > 0 else ""
    return f"{array.name}: {max(array.shape)} times from {values[0]:.6g} to {last}, median step {step:.6g}{rate}"


def _label(array, values):
    """Why a vector may be a label, or empty."""
    known = values[np.isfinite(values)]
    part = f" in the first {len(values)}" if len(values) < max(array.shape) else ""
    levels = np.unique(known[:MOST_VALUES])
    if len(levels) == 2 and set(levels) <= {0.0, 1.0}:
        return f"{array.name}: 0 and 1, {100 * known.mean():.3g} % ones{part}"
    if 2 <= len(levels) <= 8 and len(known) > 50:
        return f"{array.name}: {len(levels)} levels ({', '.join(f'{level:g}' for level in levels)}){part}"
    if _SPEED.search(array.name) and len(known):
        return f"{array.name}: named like a speed, {known.min():.4g} to {known.max():.4g}{part}; needs a threshold"
    return ""


def _orientation(array, lengths, doubts):
    """Which axis is time, and why."""
    if array.time_axis is not None:
        return f"time is the {('first', 'second')[array.time_axis]} axis ({array.why})"
    fits = [axis for axis in (0, 1) if array.shape[axis] in lengths]
    if len(fits) == 1:
        return f"time is the {('first', 'second')[fits[0]]} axis (as long as {lengths[array.shape[fits[0]]]})"
    if array.shape[0] == array.shape[1] and not fits:
        return "square: an image or a mask?"
    longer = int(array.shape[1] > array.shape[0])
    sure = max(array.shape) >= 3 * min(array.shape)
    if not sure or fits:
        doubts.append(f"{array.name} {array.shape}: which axis is time is not sure")
    return f"time is perhaps the {('first', 'second')[longer]} axis (the longer)"


def _entry(path, found, clocks):
    """An entry to start from, or what one says of a behaviour file; empty if nothing here reads it."""
    if found.format == "behaviour":
        options = {"time": clocks[0].partition(":")[0].replace("/", ".")} if len(clocks) == 1 else {
            "rate_hz": "???"} if "key points" in found.kind or "pandas" in found.kind else {"time": "???"}
        return {"file": str(path), "options": options}
    if not found.format:
        return {}
    asks = found.format in ("suite2p", "inscopix", "caiman", "minian", "wfield")
    rate = found.entry.get("rate_hz", "???" if asks and found.format != "inscopix" else None)
    names = {} if found.format in ("npz", "csv", "nwb") else {"animal": "???", "session": "???"}
    names |= {name: "???" for name in found.asks}
    return {"kind": "local", "title": path.stem, "format": found.format, "folder": str(path),
            **({} if rate is None or found.format in ("npz", "csv", "nwb") else {"rate_hz": rate}),
            "regime": "blocked",
            **({"options": names} if names else {})}
