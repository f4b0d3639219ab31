"""Two-photon recordings with footsteps, in the forms that the code of Mirzaee, Chang, Latifi 2025 reads (facts of the
public repository ``ghazalehmirzaee/neural_decoding``; its data are not public)."""

import re

import numpy as np
import pandas as pd

from calcium_decoding.data.readers import common
from calcium_decoding.data.readers.mat import check_array, load_mat
from calcium_decoding.data.readers.npz_csv import load_csv
from calcium_decoding.data.recording import Recording
from calcium_decoding.errors import DataError, ParameterError

COLUMNS = ("Foot", "Frame Start", "Frame End")  # of step tables
FEET = ("left", "right")
CONTRA, IPSI = 1, 2  # classes of frames; 0 is none
VARIABLES = {"deconvolved": "DeconvMat_wanted", "dff": "deltaf_cells_not_excluded"}
UNITS = {"deconvolved": "deconvolved (a.u.)", "dff": "dF/F"}
KINEMATICS = ("contra_position_mm", "contra_velocity_mm_s", "ipsi_position_mm", "ipsi_velocity_mm_s")
KINEMATICS_ENDING = ".kinematics.csv"
NO_ANIMAL = "animal not stated by a folder: taken as an animal of its own"


def read_footsteps(folder, rate_hz=15.0, strict=False, trace="deconvolved", contralateral="right", first_frame=0):
    """Data set of footstep recordings in a folder, ``behaviour["footstep"]``: 0 none, 1 contralateral, 2 ipsilateral.

    Files lie in one folder an animal (``folder/mouse 1/002.mat``), with the same cells in each; a file in ``folder``
    itself counts as an animal of its own, and a note says so. A recording is one of

    - ``NAME.mat`` (any version) with ``NAME.xlsx``: ``DeconvMat_wanted`` (deconvolved) and
      ``deltaf_cells_not_excluded`` (dF/F), both (T, n_cells), and a step table; see :func:`read_step_table`. The one
      that ``trace`` (``"deconvolved"`` or ``"dff"``) does not name may be missing.
    - ``NAME.csv``: a line of names; then the number of the frame, one more each row; a column a cell; the class last.

    Beside either, ``NAME.kinematics.csv`` (a form of this library) may hold the movement of both paws: the column
    ``frame`` (from 0) and any of :data:`KINEMATICS`. ``contralateral``: the foot on the other side than the imaged
    hemisphere; ``"right"`` where the left one was imaged, as in the study. ``first_frame``: number of the first frame
    in step tables. Raises DataError: no such folder, or nothing usable in it; ParameterError: a trace or a foot that is
    not known.
    """
    for name, value, known in (("trace", trace, VARIABLES), ("contralateral", contralateral, FEET)):
        if value not in known:
            raise ParameterError(name, repr(value), f"one of {', '.join(known)}", "name one of these")
    folder = common.check_folder(folder)
    paths = sorted(path for path in [*folder.glob("*"), *folder.glob("*/*")] if _is_recording(path))
    if not paths:
        raise DataError(folder, "no .mat and no .csv files", "recordings, in a folder for each animal",
                        "name the folder that holds them")
    intake = common.Intake(strict)
    for path in paths:
        with intake.session(path.relative_to(folder).as_posix()):
            own = path.parent == folder
            signal, label, notes = (_traces_and_steps(path, trace, contralateral, first_frame)
                                    if path.suffix == ".mat" else _csv(path))
            still = int((np.ptp(signal, axis=0) == 0).sum())
            notes += (f"{still} cells never change",) if still else ()
            intake.recordings.append(Recording(
                signal, {"footstep": label, **_kinematics(path, len(signal))}, rate_hz,
                path.stem if own else path.parent.name, path.stem, source=str(path),
                signal_unit=UNITS[trace if path.suffix == ".mat" else "deconvolved"],
                notes=((NO_ANIMAL,) if own else ()) + notes))
    return intake.dataset(folder.name)


def _traces_and_steps(traces, trace, contralateral, first_frame):
    steps = traces.with_suffix(".xlsx")
    wanted, other = VARIABLES[trace], next(v for name, v in VARIABLES.items() if name != trace)
    found = load_mat(traces, [wanted], [other])
    signal = check_array(found[wanted], wanted, traces)
    if signal.ndim != 2:
        raise DataError(traces, f"{wanted} of shape {signal.shape}", "shape (T, n_cells)", "save it as a matrix")
    if other in found and np.shape(found[other]) != signal.shape:
        raise DataError(traces, f"{wanted} of shape {signal.shape} and {other} of shape {np.shape(found[other])}",
                        "the same frames and cells in both", "save both again from one recording, a row a frame")
    table = read_step_table(steps, first_frame)
    last = int(table["end"].max())
    if signal.shape[0] <= last < signal.shape[1]:
        raise DataError(traces, f"{wanted} of shape {signal.shape} with steps up to frame {last}",
                        "time on the first axis: a row a frame, a column a cell",
                        "transpose the matrix, or see that the table is of this recording")
    _refuse_bad_cells(signal, wanted, traces)
    label, n_both = frame_labels(table, len(signal), contralateral, steps)
    both = (f"both feet step in {n_both} frames: the step that began last gives the class",) if n_both else ()
    return signal, label, both


def _csv(path):
    _, table = load_csv(path)
    if table.shape[1] < 3:
        raise DataError(path, f"{table.shape[1]} columns", "the frame, a column a cell, and the class last",
                        "put commas between the columns")
    common.refuse_text(table, path)
    clock, label = table.iloc[:, 0].to_numpy(), table.iloc[:, -1].to_numpy()
    _refuse_bad_cells(clock[:, None], f"column {table.columns[0]}", path)
    common.check_steps(clock, 1, "frames", f"{path}, column {table.columns[0]}")
    levels = np.unique(label)
    if not np.isin(levels, (0, 1, 2)).all():
        raise DataError(f"{path}, column {table.columns[-1]}", f"the classes {', '.join(map(str, levels[:5]))}",
                        "0 none, 1 contralateral, 2 ipsilateral", "put the class into the last column")
    signal = table.iloc[:, 1:-1].to_numpy(np.float64)
    _refuse_bad_cells(signal, "columns of cells", path)
    return signal, label, ()


def _kinematics(path, n_frames):
    path = path.with_name(path.stem + KINEMATICS_ENDING)
    if not path.is_file():
        return {}
    _, table = load_csv(path)
    unknown = [name for name in table if name not in ("frame", *KINEMATICS)]
    if "frame" not in table or unknown or table.shape[1] < 2:
        raise DataError(path, f"the columns {', '.join(map(str, table.columns))}",
                        f"frame, and some of {', '.join(KINEMATICS)}", "name the columns so")
    if len(table) != n_frames or not np.array_equal(table["frame"], np.arange(n_frames)):
        raise DataError(path, f"{len(table)} rows for {n_frames} frames, or frames that do not count from 0",
                        "a row a frame, in order", "write one row for each frame of the recording")
    return {name: table[name].to_numpy() for name in KINEMATICS if name in table}


def _refuse_bad_cells(signal, name, path):
    bad = np.flatnonzero(~np.isfinite(signal).all(axis=0)) if signal.dtype.kind == "f" else ()
    if len(bad):
        few = ", ".join(str(cell + 1) for cell in bad[:10]) + (" ..." if len(bad) > 10 else "")
        raise DataError(path, f"NaN or infinite values in {len(bad)} cells of {name}: cells {few} (counted from 1)",
                        "finite numbers only", "leave these cells out of the matrix, or repair them")


def _is_recording(path):
    if path.name.startswith(".") or not path.is_file():
        return False
    if path.suffix == ".csv":
        return not path.name.endswith(KINEMATICS_ENDING) and not path.with_suffix(".mat").exists()
    return path.suffix == ".mat"


def read_step_table(path, first_frame=0):
    """Steps of one recording from an Excel sheet: DataFrame of ``foot`` (``"left"`` or ``"right"``), ``start`` and
    ``end`` (frames, inclusive, counted from 0), in order of start.

    The first sheet has the columns ``Foot`` (or ``Foot (L/R)``; R, L, right or left), ``Frame Start`` and ``Frame End``
    (inclusive). ``first_frame``: number of the first frame in the table. DataError: unreadable, incomplete, or steps of
    one foot that overlap.
    """
    rows = _load_sheet(path).dropna(how="all")
    if rows.empty:
        raise DataError(path, "no rows", "a row a step", "fill the table")
    steps = pd.DataFrame({name: [_cell(path, row, column, value) for row, value in rows[column].items()]
                          for name, column in zip(("foot", "start", "end"), COLUMNS, strict=True)})
    steps["row"] = rows.index + 2  # as Excel counts, below the header
    common.refuse_rows(steps, steps["end"] < steps["start"], path,
                       "row {row} that ends at frame {end}, before its start at {start}",
                       "an end at or after the start", "mend the row")
    steps = steps.sort_values(["start", "end", "row"], kind="stable", ignore_index=True)
    common.refuse_rows(steps, steps.duplicated(["foot", "start", "end"]), path,
                       "a step of the {foot} foot that is there twice, the second time in row {row}", "each step once",
                       "remove the second row")
    former_end = steps.groupby("foot")["end"].transform(lambda ends: ends.cummax().shift())
    common.refuse_rows(steps, steps["start"] <= former_end, path,
                       "the step of the {foot} foot in row {row}, which begins before the one before it ends",
                       "steps of one foot that do not overlap", "mend start or end of one of them")
    steps[["start", "end"]] -= first_frame
    return steps[["foot", "start", "end"]]


def frame_labels(steps, n_frames, contralateral="right", where="step table"):
    """Class of each frame, (n_frames,), float32: 0 none, 1 contralateral, 2 ipsilateral, and in how many both step;
    there the step that began last counts. DataError: a step outside the recording."""
    outside = (steps["start"] < 0) | (steps["end"] >= n_frames)
    common.refuse_rows(steps, outside, where, "a step of the {foot} foot in frames {start} .. {end}, and "
                       f"{outside.sum() - 1} more outside the recording",
                       f"steps inside its frames 0 .. {n_frames - 1}",
                       "see that table and traces are of one recording and that frames count from the number that "
                       "first_frame gives, or take these steps out")
    label, covered = np.zeros(n_frames, np.float32), np.zeros(n_frames, np.int64)
    for step in steps.sort_values("start", kind="stable").itertuples():
        label[step.start:step.end + 1] = CONTRA if step.foot == contralateral else IPSI
        covered[step.start:step.end + 1] += 1
    return label, int((covered > 1).sum())


def _load_sheet(path):
    with common.readable(path, "a sheet", "a step table, an Excel workbook (.xlsx)", "save it again as .xlsx"):
        table = pd.read_excel(path, dtype=object, engine="openpyxl")
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
