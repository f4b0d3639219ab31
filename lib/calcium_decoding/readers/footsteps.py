"""Two-photon recordings with footsteps, in the forms that the code of Mirzaee, Chang, Latifi 2025 reads.

Either traces (``.mat``) with a step table (``.xlsx``) of the same name, or one ``.csv``. Forms and names of variables
are facts of the public repository ``ghazalehmirzaee/neural_decoding``; its data are not public.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.readers.common import Intake, check_folder, check_rate, check_steps
from calcium_decoding.readers.mat import check_array, load_mat
from calcium_decoding.readers.step_table import FEET, frame_labels, read_step_table
from calcium_decoding.recording import Recording

VARIABLES = {"deconvolved": "DeconvMat_wanted", "dff": "deltaf_cells_not_excluded"}
UNITS = {"deconvolved": "deconvolved (a.u.)", "dff": "dF/F"}
KINEMATICS = ("contra_position_mm", "contra_velocity_mm_s", "ipsi_position_mm", "ipsi_velocity_mm_s")
KINEMATICS_ENDING = ".kinematics.csv"
NO_ANIMAL = "animal not stated by a folder: taken as an animal of its own"


def read_footsteps(folder, rate_hz=15.0, strict=False, trace="deconvolved", contralateral="right", first_frame=0):
    """Data set of footstep recordings in a folder.

    Files lie in one folder an animal (``folder/mouse 1/002.mat``), which is then known to have the same cells in each;
    a file in ``folder`` itself counts as an animal of its own, and a note says so. A recording is one of

    - ``NAME.mat`` (any version) with ``NAME.xlsx``: see :func:`read_traces_and_steps`;
    - ``NAME.csv``: see :func:`read_footstep_csv`.

    Beside either, ``NAME.kinematics.csv`` may hold the movement of both paws: the column ``frame`` (from 0) and any of
    ``contra_position_mm``, ``contra_velocity_mm_s``, ``ipsi_position_mm``, ``ipsi_velocity_mm_s``. (This file is a form
    of this library.)

    Parameters
    ----------
    folder : str or Path
    rate_hz : float
        Frames per second.
    strict : bool
        Raise at the first bad recording instead of refusing it by name and going on.
    trace : {"deconvolved", "dff"}
        Which of the two variables of a ``.mat`` file.
    contralateral : {"right", "left"}
        The foot on the other side than the imaged hemisphere; right where the left one was imaged, as in the study.
    first_frame : int
        Number of the first frame in step tables.

    Returns
    -------
    Dataset
        Its recordings have ``behaviour["footstep"]``: 0 none, 1 contralateral, 2 ipsilateral.

    Raises
    ------
    DataError
        No such folder, or nothing usable in it.
    ParameterError
        A trace or a foot that is not known.
    """
    for name, value, known in (("trace", trace, VARIABLES), ("contralateral", contralateral, FEET)):
        if value not in known:
            raise ParameterError(name, repr(value), f"one of {', '.join(known)}", "name one of these")
    folder = check_folder(folder)
    paths = sorted(path for path in [*folder.glob("*"), *folder.glob("*/*")] if _is_recording(path))
    if not paths:
        raise DataError(folder, "no .mat and no .csv files", "recordings, in a folder for each animal",
                        "name the folder that holds them")
    intake = Intake(strict)
    for path in paths:
        with intake.session(path.relative_to(folder).as_posix()):
            own = path.parent == folder
            about = {"animal": path.stem if own else path.parent.name, "session": path.stem, "source": str(path),
                     "notes": (NO_ANIMAL,) if own else ()}
            if path.suffix == ".mat":
                recording = read_traces_and_steps(path, path.with_suffix(".xlsx"), rate_hz, trace, contralateral,
                                                  first_frame, **about)
            else:
                recording = read_footstep_csv(path, rate_hz, **about)
            intake.recordings.append(recording)
    return intake.dataset(folder.name)


def read_traces_and_steps(traces, steps, rate_hz=15.0, trace="deconvolved", contralateral="right", first_frame=0,
                          **about):
    """One recording from a file of traces and a step table.

    Parameters
    ----------
    traces : str or Path
        ``.mat`` with ``DeconvMat_wanted`` (deconvolved) and ``deltaf_cells_not_excluded`` (dF/F), both (T, n_cells);
        the one that ``trace`` does not name may be missing.
    steps : str or Path
        Step table; see :func:`calcium_decoding.readers.step_table.read_step_table`.
    rate_hz, trace, contralateral, first_frame
        As for :func:`read_footsteps`.
    **about
        Other fields of :class:`Recording`.

    Returns
    -------
    Recording

    Raises
    ------
    DataError
        A file missing or damaged, a cell with NaN, two variables of different shape, cells on the first axis, a step
        table that does not fit.
    """
    traces = Path(traces)
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
    return _recording(signal, label, n_both, rate_hz, UNITS[trace], traces, about)


def read_footstep_csv(path, rate_hz=15.0, **about):
    """One recording from a ``.csv`` file: the number of the frame, a column a cell, the class last.

    Parameters
    ----------
    path : str or Path
        With a line of names. The first column counts frames, one more each row; the last is 0 (none), 1
        (contralateral) or 2 (ipsilateral).
    rate_hz : float
    **about
        Other fields of :class:`Recording`.

    Returns
    -------
    Recording

    Raises
    ------
    DataError
        Missing, not a table, too few columns, text, a cell with NaN, frames left out, a class that is not known.
    """
    path = Path(path)
    table = _load_csv(path)
    if table.shape[1] < 3:
        raise DataError(path, f"{table.shape[1]} columns", "the frame, a column a cell, and the class last",
                        "put commas between the columns")
    words = [str(name) for name in table if table[name].dtype.kind not in "fiub"]
    if words:
        raise DataError(path, f"text in the column {', '.join(words[:5])}", "numbers only", "repair these cells")
    clock, label = table.iloc[:, 0].to_numpy(), table.iloc[:, -1].to_numpy()
    _refuse_bad_cells(clock[:, None], f"column {table.columns[0]}", path)
    check_steps(clock, 1, "frames", f"{path}, column {table.columns[0]}")
    levels = np.unique(label)
    if not np.isin(levels, (0, 1, 2)).all():
        raise DataError(f"{path}, column {table.columns[-1]}", f"the classes {', '.join(map(str, levels[:5]))}",
                        "0 none, 1 contralateral, 2 ipsilateral", "put the class into the last column")
    signal = table.iloc[:, 1:-1].to_numpy(np.float64)
    _refuse_bad_cells(signal, "columns of cells", path)
    return _recording(signal, label, 0, rate_hz, UNITS["deconvolved"], path, about)


def _recording(signal, label, n_both, rate_hz, unit, path, about):
    notes = list(about.pop("notes", ()))
    if n_both:
        notes.append(f"both feet step in {n_both} frames: the step that began last gives the class")
    still = int((np.ptp(signal, axis=0) == 0).sum())
    if still:
        notes.append(f"{still} cells never change")
    about = {"animal": path.stem, "session": path.stem, "source": str(path), **about}
    behaviour = {"footstep": label, **_kinematics(path, len(signal))}
    return Recording(signal, behaviour, check_rate(rate_hz, path), signal_unit=unit, notes=tuple(notes), **about)


def _kinematics(path, n_frames):
    path = path.with_name(path.stem + KINEMATICS_ENDING)
    if not path.is_file():
        return {}
    table = _load_csv(path)
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


def _load_csv(path):
    try:
        table = pd.read_csv(path, encoding="utf-8-sig", index_col=False)
    except (OSError, ValueError) as error:
        raise DataError(path, f"a file that cannot be read as a table ({error})",
                        "comma-separated text with a line of column names", "save it as CSV (UTF-8)") from error
    if table.empty:
        raise DataError(path, "no rows below the column names", "a row a frame", "save it again")
    return table


def _is_recording(path):
    if path.name.startswith(".") or not path.is_file():
        return False
    if path.suffix == ".csv":
        return not path.name.endswith(KINEMATICS_ENDING) and not path.with_suffix(".mat").exists()
    return path.suffix == ".mat"
