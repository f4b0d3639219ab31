"""Frames of a data set in one memory-mapped file, named by a hash of all that determines it, which all folds and
processes read and none copies."""

import contextlib
import fcntl
import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calcium_decoding.preprocessing.pipeline import build
from calcium_decoding.utils.code import code_digest
from calcium_decoding.utils.files import alone, hash_content, is_intact, write_npy

KEEP_BYTES = 2 * 2**30  # about eight times the ROI traces of 64 sessions of 18,000 frames


@dataclass(frozen=True)
class SharedSignals(Mapping):
    """Raw signals of recordings by id, in a file named by ``key``; ``rows``: half-open range of each recording in it.
    Small, so it travels to other processes; make it with :func:`share`."""

    folder: Path
    key: str
    n_roi: int
    rows: dict

    def __getitem__(self, name):
        """Signal of one recording, shape (T, n_roi), float32, memory-mapped."""
        return _open(self.folder / f"{self.key}.npy")[slice(*self.rows[name])]

    def __iter__(self):
        return iter(self.rows)

    def __len__(self):
        return len(self.rows)

    def preprocessed(self, recipe):
        """All signals preprocessed, each recording by itself: shape (N, n_roi), float32, memory-mapped.

        ``recipe``: arguments of ``preprocessing.build``, for a pipeline that learns nothing from training frames.
        Raises DataError: what the preprocessing refuses; WriteError: the folder cannot be written.
        """
        pipeline = build(**recipe)
        key = hash_content([self.key, recipe, code_digest("preprocessing")])
        return _made(self.folder / f"{key}.npy", (self.n_frames, pipeline.width(self.n_roi)),
                     (pipeline.transform(self[name], name) for name in self))

    @property
    def n_frames(self):
        """Rows of the file."""
        return max(stop for _, stop in self.rows.values())


@contextlib.contextmanager
def share(recordings, folder):
    """Lay the signals of recordings down in ``folder`` for other processes, for as long as the context lasts.

    Yields SharedSignals; or the signals themselves, by id, if they have different numbers of ROIs. Raises WriteError.
    """
    if len({r.n_roi for r in recordings}) != 1:
        yield {r.id: r.signal for r in recordings}
        return
    edges = [0, *np.cumsum([r.n_frames for r in recordings]).tolist()]
    rows = {r.id: (edges[i], edges[i + 1]) for i, r in enumerate(recordings)}
    key = hash_content([[r.id, r.signal_hash] for r in recordings])
    signals = SharedSignals(Path(folder), key, recordings[0].n_roi, rows)
    path = signals.folder / f"{key}.npy"
    with contextlib.ExitStack() as stack:
        _made(path, (signals.n_frames, signals.n_roi), (r.signal for r in recordings),
              while_alone=lambda: _lock(stack.enter_context(open(path, "rb")), fcntl.LOCK_SH))
        yield signals


def _made(path, shape, signals, while_alone=lambda: None):
    """The array at ``path``, made of ``signals`` if it is not there; one process at a time makes or removes files."""
    with alone(path.parent / ".lock"):
        if is_intact(path):
            os.utime(path)
        else:
            if path.exists():
                warnings.warn(f"{path} is not as it was written; it is made again", stacklevel=3)
            _make_room(path.parent, 4 * math.prod(shape))
            write_npy(path, signals, shape, np.float32)
        while_alone()
    return _open(path)


def _open(path):
    # Copy on write: PyTorch warns of arrays that it may not write to. Nobody writes, so nothing is copied.
    return np.load(path, mmap_mode="c", allow_pickle=False)


def _make_room(folder, n_bytes):
    """Remove what a killed process left, and the least recently used files that no run holds."""
    for leftover in folder.glob(".*.npy"):
        leftover.unlink()
    files = sorted(folder.glob("*.npy"), key=lambda path: path.stat().st_mtime_ns)
    total = n_bytes + sum(path.stat().st_size for path in files)
    for path in files:
        if total <= KEEP_BYTES:
            return
        with open(path, "rb") as file:
            if _lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB):
                total -= path.stat().st_size
                path.unlink()  # who has mapped it keeps it until the map is closed


def _lock(file, kind):
    """True if the lock was had, which several processes can have to read. It ends with the file or the process."""
    try:
        fcntl.flock(file, kind)
    except OSError:  # held by another one; or a file system without locks, where work is done twice at worst
        return False
    return True
