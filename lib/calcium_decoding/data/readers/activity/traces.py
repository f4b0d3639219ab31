"""What these readers share: arrays of ROIs become a recording, and what was done to them is said."""

import contextlib
from pathlib import Path

import numpy as np

from calcium_decoding.data.clock import MOST_RATE_ERROR, checked_times
from calcium_decoding.data.frame_clock import Steps
from calcium_decoding.data.recording import Recording, stretches_of
from calcium_decoding.errors import DataError, ParameterError


def recording_of(signal, names, rate_hz, notes=(), **about):
    """A Recording of a signal, (T, n_roi), in which ROIs without any value are left out, and frames with NaN masked.

    ``about``: animal, session and what else :class:`Recording` knows. Both are said in the notes.
    """
    signal, names, notes = np.asarray(signal), np.asarray(names, dtype=str), list(notes)
    is_finite = np.abs(signal) <= np.finfo(np.float32).max
    if not is_finite.all():
        empty = ~is_finite.any(axis=0)
        if empty.any() and not empty.all():
            notes.append(f"{empty.sum()} of {len(names)} ROIs without any finite value left out: "
                         f"{', '.join(names[empty][:8])}" + ", ..." * int(empty.sum() > 8))
            signal, names, is_finite = signal[:, ~empty], names[~empty], is_finite[:, ~empty]
        usable = is_finite.all(axis=1)
        if usable.any() and not usable.all():
            notes.append(f"{np.count_nonzero(~usable)} of {len(usable)} frames with NaN or infinite values masked")
            about["stretches"] = stretches_of(usable)
    return Recording(signal, {}, rate_hz, roi_names=tuple(map(str, names)), notes=tuple(notes), **about)


def cells_of(is_cell, cells_only, column, where):
    """Numbers of the ROIs to keep, and the note that says so; ``is_cell``: bool, (n_roi,). DataError: none is one."""
    n, total = np.count_nonzero(is_cell), len(is_cell)
    if not cells_only:
        return np.arange(total), f"{column} not applied: all {total} ROIs, of which {n} are cells"
    if not n:
        raise DataError(where, f"0 of {total} ROIs that are cells ({column})", "one cell at least",
                        "sort the ROIs in the program that made them, or read all with cells_only=False")
    return np.flatnonzero(is_cell), f"{column} applied: {n} of {total} ROIs are cells"


def rate_of(times_s, stated_hz, where):
    """Rate of frames at some times, and notes: the one stated if the times agree with it, else that of the times."""
    measured = 1 / Steps.of(checked_times(times_s, where), where).period_s
    if stated_hz and abs(measured / stated_hz - 1) < MOST_RATE_ERROR:
        return float(stated_hz), []
    rate_hz = float(f"{measured:.4g}")  # so that sessions of one microscope have one rate
    return rate_hz, [f"{rate_hz:g} Hz by the times of the frames"
                     + (f", not {stated_hz:g} Hz as stated" if stated_hz else "")]


def one_of(value, known, parameter):
    """ParameterError if a value is not one of those known."""
    if value not in known:
        raise ParameterError(parameter, repr(value), f"one of {', '.join(known)}", "name one of these")


@contextlib.contextmanager
def reading(path, kind):
    """Turn whatever goes wrong while a path is read as ``kind`` into a DataError that names it."""
    address = str(path).partition("?")[0]
    if "://" not in address and not Path(path).exists():
        raise DataError(path, "no such file or folder", kind, "mend the path")
    try:
        yield
    except (MemoryError, DataError, ParameterError):
        raise
    except Exception as error:  # cut or overwritten bytes make parsers raise nearly anything
        secret = str(path).partition("?")[2]  # of a signed address
        said = str(error).replace(secret, "...") if secret else error
        raise DataError(address, f"what cannot be read as {kind} ({type(error).__name__}: {said})", kind,
                        "write it again with the program that made it, or fetch it again") from error


def require(module, extra, where):
    """Import a module of an extra; DataError that names the extra if it is not installed."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DataError(where, f"no package '{module.partition('.')[0]}' ({error})", f"the extra '{extra}'",
                        f"pip install 'calcium-decoding[{extra}]'") from error
