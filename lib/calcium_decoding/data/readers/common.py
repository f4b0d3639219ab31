"""What the readers share: collecting sessions, reading tables, checking the run label and the clock."""

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from calcium_decoding.data.recording import Dataset, Refusal
from calcium_decoding.errors import DataError

RUN_THRESHOLD_CM_S = 0.5  # running is faster than this (Ajioka et al. 2024, doi:10.1371/journal.pcbi.1011074)


class Intake:
    """Recordings collected one session at a time; a bad one is put on record, or raises where ``strict``."""

    def __init__(self, strict):
        self.strict, self.recordings, self.refused = strict, [], []

    @contextlib.contextmanager
    def session(self, name):
        """Turn a DataError raised inside into a refusal of ``name``."""
        try:
            yield
        except DataError as error:
            if self.strict:
                raise
            self.refused.append(Refusal(name, str(error)))

    def dataset(self, name):
        """What came in, as a :class:`Dataset`; raises DataError if every session was refused."""
        return Dataset(name, tuple(self.recordings), tuple(self.refused))


def with_run_label(recording):
    """The recording with its run label made from its speed, or checked against it, and a note that says so."""
    if "speed_cm_s" not in recording.behaviour:
        return recording
    fast = recording.behaviour["speed_cm_s"] > RUN_THRESHOLD_CM_S
    if "run" not in recording.behaviour:
        return replace(recording, behaviour={"run": fast, **recording.behaviour},
                       notes=(*recording.notes, f"run label made from speed > {RUN_THRESHOLD_CM_S} cm/s"))
    percent = 100 * np.mean(fast != recording.run)
    note = f"run label and speed > {RUN_THRESHOLD_CM_S} cm/s disagree on {percent:.2g} % of frames"
    # A recording that was written out and read again brings this note along.
    return replace(recording, notes=tuple(dict.fromkeys((*recording.notes, note))))


@contextlib.contextmanager
def readable(path, kind, expected, remedy):
    """Turn whatever goes wrong while a file is read as ``kind`` into a DataError; it is one if there is no file."""
    if not Path(path).is_file():
        raise DataError(path, "no such file", expected, "download it or put it there, or mend the path to it")
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # cut or overwritten bytes make parsers raise nearly anything
        raise DataError(path, f"a file that cannot be read as {kind} ({type(error).__name__}: {error})", expected,
                        remedy) from error


def read_table(path, expected, remedy="save it as CSV (UTF-8)", **options):
    """A CSV file as :func:`pandas.read_csv` reads it with these options; DataError if it cannot be read."""
    with readable(path, "a table", expected, remedy):
        return pd.read_csv(path, **options)


def refuse_text(table, path):
    """DataError if a column of a table holds anything but numbers."""
    words = [str(name) for name in table if table[name].dtype.kind not in "fiub"]
    if words:
        raise DataError(path, f"text in the column {', '.join(words)}", "numbers only", "repair these cells")


def refuse_rows(table, bad, where, found, expected, remedy):
    """DataError about the first row of a table where ``bad`` is true; ``found`` has columns, ``{foot}``, to fill in."""
    if bad.any():
        raise DataError(where, found.format(**table[bad].iloc[0]), expected, remedy)


def check_steps(clock, step, unit, where):
    """Check that a clock, (T,), goes on by ``step`` from frame to frame; DataError if a step is off by half a step or
    more (a frame is missing, or stands twice), or the mean by 1 %."""
    steps = np.diff(np.ravel(clock)) / step
    if len(steps) and not (np.all(np.abs(steps - 1) < 0.5) and abs(steps.mean() - 1) < 0.01):
        raise DataError(where, f"steps of {step * steps.min():.4g} to {step * steps.max():.4g} {unit}, "
                        f"{step * steps.mean():.4g} on average", f"even steps of {step:.4g} {unit}",
                        "give the right imaging rate, or split the recording where frames are missing")


def check_folder(folder):
    """The folder as a Path; DataError if it is not there."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(folder, "no such folder", "the folder of the data set", "download it, or mend the path")
    return folder


def path_below(folder, relative, where):
    """A path below ``folder`` as a table gives it, perhaps with backslashes; DataError if it leads out of it."""
    path = folder / str(relative).replace("\\", "/")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(where, f"the path {relative}", f"a path inside {folder}",
                        "write paths relative to the folder of the data set")
    return path
