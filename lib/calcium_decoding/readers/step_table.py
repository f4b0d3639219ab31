"""Tables of footsteps: which foot steps from which frame to which, and what that makes of each frame."""

import re

import numpy as np
import pandas as pd

from calcium_decoding.errors import DataError

COLUMNS = ("Foot", "Frame Start", "Frame End")
FEET = ("left", "right")
NONE, CONTRA, IPSI = 0, 1, 2


def read_step_table(path, first_frame=0):
    """Steps of one recording from an Excel sheet.

    Parameters
    ----------
    path : str or Path
        ``.xlsx``; its first sheet has the columns ``Foot`` (or ``Foot (L/R)``; R, L, right or left), ``Frame Start``
        and ``Frame End`` (inclusive). Other columns are left alone, empty rows too.
    first_frame : int
        Number of the first frame of a recording in the table. 0 is how the code of Mirzaee, Chang, Latifi 2025 (arXiv
        2504.16917) reads it.

    Returns
    -------
    DataFrame
        Columns ``foot`` (``"left"`` or ``"right"``), ``start`` and ``end`` (frames, inclusive, counted from 0), in
        order of start.

    Raises
    ------
    DataError
        Unreadable, a column missing, no steps, an empty cell, a foot that is neither, a frame that is no whole number,
        an end before its start, a step that is there twice, two steps of one foot that overlap.
    """
    rows = _load(path)
    rows = rows.dropna(how="all")
    if rows.empty:
        raise DataError(path, "no rows", "a row a step", "fill the table")
    foot, start, end = ([_cell(path, row, name, value) for row, value in rows[name].items()] for name in COLUMNS)
    steps = pd.DataFrame({"foot": foot, "start": np.array(start) - first_frame, "end": np.array(end) - first_frame,
                          "row": [row + 2 for row in rows.index]})  # as Excel counts, below the header
    backwards = steps[steps["end"] < steps["start"]]
    if len(backwards):
        step = backwards.iloc[0]
        raise DataError(path, f"row {step.row} that ends at frame {step.end + first_frame}, before its start at "
                        f"{step.start + first_frame}", "an end at or after the start", "mend the row")
    steps = steps.sort_values(["start", "end", "row"], kind="stable").reset_index(drop=True)
    _refuse_overlap(steps, path)
    return steps[["foot", "start", "end"]]


def frame_labels(steps, n_frames, contralateral="right", where="step table"):
    """Class of each frame.

    Parameters
    ----------
    steps : DataFrame
        Of :func:`read_step_table`.
    n_frames : int
        Of the recording.
    contralateral : {"right", "left"}
        The foot on the other side than the imaged hemisphere.
    where : str or Path
        For error messages.

    Returns
    -------
    label : ndarray, shape (n_frames,), float32
        0 none, 1 contralateral, 2 ipsilateral. Where both feet step, the step that began last counts.
    n_both : int
        Frames in which both feet step.

    Raises
    ------
    DataError
        A step outside the recording, or a foot that is neither left nor right.
    """
    if contralateral not in FEET:
        raise DataError(where, f"contralateral = '{contralateral}'", "left or right",
                        "name the foot on the other side than the imaged hemisphere")
    outside = steps[(steps["start"] < 0) | (steps["end"] >= n_frames)]
    if len(outside):
        step = outside.iloc[0]
        raise DataError(where, f"a step of the {step.foot} foot in frames {step.start} .. {step.end}, and "
                        f"{len(outside) - 1} more outside the recording",
                        f"steps inside its frames 0 .. {n_frames - 1}",
                        "see that table and traces are of one recording and that frames count from the number that "
                        "first_frame gives, or take these steps out")
    label, covered = np.zeros(n_frames, np.float32), np.zeros(n_frames, np.int64)
    for step in steps.sort_values("start", kind="stable").itertuples():
        label[step.start:step.end + 1] = CONTRA if step.foot == contralateral else IPSI
        covered[step.start:step.end + 1] += 1
    return label, int((covered > 1).sum())


def _load(path):
    try:
        table = pd.read_excel(path, dtype=object, engine="openpyxl")
    except FileNotFoundError as error:
        raise DataError(path, "no such file", "a step table (.xlsx)", "put it beside the traces") from error
    except MemoryError:
        raise
    except Exception as error:  # damaged archives raise nearly anything
        raise DataError(path, f"a file that cannot be read as a sheet ({type(error).__name__}: {error})",
                        "an Excel workbook (.xlsx)", "save it again as .xlsx") from error
    # The authors' code knows the first column as "Foot (L/R)".
    names = {name: re.sub(r"\s*\(.*\)$", "", str(name)).strip() for name in table.columns}
    found = list(names.values())
    if any(found.count(name) != 1 for name in COLUMNS):
        raise DataError(path, f"the columns {', '.join(map(str, table.columns)) or '(none)'}",
                        f"one column each called {', '.join(COLUMNS)}", "name the columns so, in the first row")
    return table.rename(columns=names)[list(COLUMNS)]


def _cell(path, row, name, value):
    where = f"{path}, row {row + 2}, column {name}"
    if pd.isna(value) or str(value).strip() == "":
        raise DataError(where, "an empty cell", "foot, start and end of each step", "fill the cell or remove the row")
    if name == "Foot":
        for foot in FEET:
            if str(value).strip().lower() in (foot, foot[0], f"{foot} foot"):
                return foot
        raise DataError(where, f"the foot '{value}'", "R, L, right or left", "name the foot so")
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number) or number != int(number):
        raise DataError(where, f"'{value}'", "the number of a frame", "give a whole number")
    return int(number)


def _refuse_overlap(steps, path):
    for foot, mine in steps.groupby("foot"):
        same = mine[mine.duplicated(["start", "end"])]
        if len(same):
            step = same.iloc[0]
            raise DataError(path, f"a step of the {foot} foot that is there twice, the second time in row {step.row}",
                            "each step once", "remove the second row")
        over = np.flatnonzero(mine["start"].to_numpy()[1:] <= mine["end"].cummax().to_numpy()[:-1])
        if len(over):
            step = mine.iloc[over[0] + 1]
            raise DataError(path, f"the step of the {foot} foot in row {step.row}, which begins before the one before "
                            "it ends", "steps of one foot that do not overlap", "mend start or end of one of them")
