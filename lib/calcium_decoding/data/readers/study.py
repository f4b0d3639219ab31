"""The files of Ajioka et al. 2024: 50 ROI traces a session with run label and speed, and the table of sessions."""

import json
import re
from pathlib import Path

import numpy as np

from calcium_decoding.data.movies import Movie
from calcium_decoding.data.readers.common import Intake, check_folder, path_below, read_table, with_run_label
from calcium_decoding.data.readers.mat import check_array, check_cells, load_mat, mat_variables
from calcium_decoding.data.recording import Recording
from calcium_decoding.errors import DataError

N_ROI = 50
MOUSE_COLUMNS = ("mouse_No.", "Mouse_#")  # the two public copies of the table differ
SUBTRACTED = "assembled file without _raw in its name: its authors have subtracted a moving mean already"


def read_study(folder, rate_hz=30.0, simulated=False, strict=False, n_roi=N_ROI, movies=False):
    """Data set in the layout of the study's public code, one recording a session.

    MATLAB files may lie anywhere below ``folder`` and are found by name:

    - ``data_*.csv``: the session table, see :func:`read_session_table`.
    - The file in the table's column ``Signal_Path`` (relative to ``folder``), or else ``<Data_ID>.mat``. Variable
      ``dat_roi`` (50, T), ROI by time, dF/F in percent.
    - ``<Data_ID>_behavior.mat``: ``runrest`` (1, T), 0 rest and 1 run, and ``speed_rs`` (1, T), cm/s.
    - With ``movies``: ``<Data_ID>.tif``, (T, rows, columns). It stays on disk; a session without one is refused.

    Where no session has a signal file of its own, the assembled files are read: ``signal_5mice_raw.mat`` or else
    ``signal_5mice.mat``, with ``runrest_5mice.mat`` and ``speed_5mice.mat`` or else the behaviour files of the
    sessions.

    ``simulated``: mark the recordings so; they are in any case where a ``truth.json`` in the folder says so.
    ``strict``: raise at the first bad session instead of refusing it by name and going on. ``n_roi``: that every
    session must have.

    Returns a Dataset: animals ``"mouse 1"``... by the table's mouse number (two mice share a tag in ``Data_ID``),
    sessions in the order of the table and named by ``Data_ID``. Notes say on what share of frames run label and speed >
    0.5 cm/s disagree. Raises DataError: the table is unusable, there are no files of either layout, no session is
    usable, or ``truth.json`` is damaged. Source: Ajioka et al. 2024, PLoS Comput Biol, doi:10.1371/journal.pcbi.1011074
    """
    folder = check_folder(folder)
    simulated = simulated or _says_simulated(folder)
    table_path, files = _session_table_of(folder), _files_by_name(folder, "*.mat")
    tiffs = _files_by_name(folder, "*.tif") if movies else {}

    def find_any(name):
        return _find(files, f"{name}.mat", folder) if f"{name}.mat" in files else None

    assembled = find_any("signal_5mice_raw") or find_any("signal_5mice")
    if table_path is None and assembled is None:
        raise DataError(folder, "neither a table data_*.csv nor a file signal_5mice.mat",
                        "the study's files, one a session or assembled", "download them, or name their folder")
    table = None if table_path is None else read_session_table(table_path)
    if assembled is not None and not _has_signal_files(table, folder, files):
        return read_assembled(assembled, find_any("runrest_5mice") or folder, find_any("speed_5mice"), table_path,
                              rate_hz, simulated, strict, n_roi, folder if movies else None)
    intake = Intake(strict)
    for row in table.itertuples():
        # Outside the session: a path that leads out of the folder condemns the table.
        signal_path = path_below(folder, row.signal_path, table_path) if "signal_path" in table else None
        with intake.session(f"{row.animal}/{row.session}"):
            signal_path = signal_path or _find(files, f"{row.session}.mat", folder)
            if not signal_path.is_file():
                raise DataError(signal_path, "no such file", f"the signal of the session {row.session}",
                                "download it, or take the session out of the table")
            signal = load_mat(signal_path, ["dat_roi"])["dat_roi"]
            run, speed, behaviour_path = _behaviour(files, row.session, folder)
            movie = Movie(_find(tiffs, f"{row.session}.tif", folder)) if movies else None
            intake.recordings.append(_recording(
                signal, run, speed, n_roi, rate_hz=rate_hz, animal=row.animal, session=row.session,
                simulated=simulated, source=f"{signal_path} with {behaviour_path.name}", movie=movie))
    return intake.dataset(folder.name)


def read_assembled(signal_path, runrest_path, speed_path=None, session_table=None, rate_hz=30.0,
                   simulated=False, strict=False, n_roi=N_ROI, movies=None):
    """Data set from the study's assembled files, all sessions of a mouse in one MATLAB cell array.

    ``signal_path``: ``signal1``..., cells of 1 by sessions, each (50, T), dF/F in percent; its authors have subtracted
    a moving mean unless its name ends in ``_raw``. ``runrest_path``: ``runrest1``..., cells of (1, T); or a folder with
    ``<Data_ID>_behavior.mat`` for each session of the table. ``speed_path``: ``speed1``..., cm/s. ``session_table``
    names the sessions, in the order of each mouse's rows; without it ``"session 1"``... ``movies``: folder of the
    ``.tif`` files.
    """
    signal_path, runrest_path = Path(signal_path), Path(runrest_path)
    simulated = simulated or _says_simulated(signal_path.parent)
    mice = _mice(signal_path)
    names = None if session_table is None else _names_by_mouse(session_table, mice)
    if runrest_path.is_dir() and names is None:
        raise DataError(runrest_path, "behaviour in a file a session, and no session table",
                        "a table that says which session is which", "give session_table, or runrest_5mice.mat")
    if movies is not None and names is None:
        raise DataError(movies, "movies, and no session table", "a table that says which session is which",
                        "give session_table, or read without movies")
    tiffs = {} if movies is None else _files_by_name(Path(movies), "*.tif")
    behaviour_files = _files_by_name(runrest_path, "*.mat") if runrest_path.is_dir() else None
    intake = Intake(strict)
    for mouse in mice:
        signals = _cells(signal_path, f"signal{mouse}")
        n = len(signals)
        sessions = [f"session {i + 1}" for i in range(n)] if names is None else names[mouse]
        if len(sessions) != n:
            raise DataError(session_table, f"{len(sessions)} rows for mouse {mouse}",
                            f"{n}, as in {signal_path.name}", "give the table that belongs to the files")
        if behaviour_files is None:
            runs = _cells(runrest_path, f"runrest{mouse}", n)
            speeds = [None] * n if speed_path is None else _cells(speed_path, f"speed{mouse}", n)
        for i, session in enumerate(sessions):
            with intake.session(f"mouse {mouse}/{session}"):
                run, speed = ((runs[i], speeds[i]) if behaviour_files is None
                              else _behaviour(behaviour_files, session, runrest_path)[:2])
                movie = None if movies is None else Movie(_find(tiffs, f"{session}.tif", movies))
                intake.recordings.append(_recording(
                    signals[i], run, speed, n_roi, rate_hz=rate_hz, animal=f"mouse {mouse}", session=session,
                    simulated=simulated, source=f"{signal_path}, signal{mouse}, cell {i + 1}", movie=movie,
                    notes=() if signal_path.stem.endswith("_raw") else (SUBTRACTED,)))
    return intake.dataset(signal_path.stem)


def _recording(dat_roi, runrest, speed, n_roi, notes=(), **about):
    # Shapes are judged here, in the file's own orientation, so that the message shows what is in the file.
    where = about["source"]
    shape = check_array(dat_roi, "the signal", where).shape
    if len(shape) != 2 or shape[0] != n_roi:
        swapped = len(shape) == 2 and shape[1] == n_roi
        raise DataError(where, f"a signal of shape {shape}", f"ROI by time, ({n_roi}, T)",
                        "swap time and ROI (transpose the variable)" if swapped else
                        f"give {n_roi} rows, or state another n_roi")
    behaviour = {"run": check_array(runrest, "the run label", where)}
    if speed is None:
        notes = (*notes, "no speed in the files: the run label could not be checked")
    else:
        behaviour["speed_cm_s"] = check_array(speed, "the speed", where)
    recording = Recording(dat_roi.T, behaviour, notes=notes, **about)
    spans = np.ptp(recording.signal, axis=0)
    constant = [name for name, span in zip(recording.roi_names, spans, strict=True) if span == 0]
    if constant:
        raise DataError(where, f"no change over the whole session in ROI {', '.join(constant)}",
                        "traces that vary (min-max scaling divides by their range)",
                        "leave the session out, or repair these ROIs")
    return with_run_label(recording)


def _says_simulated(folder):
    """Whether a ``truth.json`` in the folder says that the data are simulated."""
    path = folder / "truth.json"
    if not path.is_file():
        return False
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(path, f"content that cannot be read ({error})", "what the simulator wrote",
                        "simulate the set again, or take the file away if the data are recorded") from error
    return isinstance(content, dict) and content.get("simulated") is True


def _mice(signal_path):
    variables = mat_variables(signal_path)
    mice = sorted(int(match[1]) for name in variables if (match := re.fullmatch(r"signal(\d+)", name)))
    if not mice:
        raise DataError(signal_path, f"the variables {', '.join(variables) or '(none)'}",
                        "signal1, signal2... with the sessions of mouse 1, 2...", "give the assembled signal file")
    return mice


def _names_by_mouse(table_path, mice):
    table = read_session_table(table_path)
    extra = sorted(set(table["animal"]) - {f"mouse {mouse}" for mouse in mice})
    if extra:
        raise DataError(table_path, f"rows for {', '.join(extra)}", "only mice that the signal file holds",
                        "give the table that belongs to the files")
    return {mouse: list(table["session"][table["animal"] == f"mouse {mouse}"]) for mouse in mice}


def _cells(path, name, n=None):
    cells = check_cells(load_mat(path, [name])[name], name, path)
    if n is not None and len(cells) != n:
        raise DataError(path, f"{len(cells)} sessions in {name}", f"{n}, as in the signal file",
                        "give files that were assembled together")
    return cells


def _behaviour(files, session, folder):
    path = _find(files, f"{session}_behavior.mat", folder)
    content = load_mat(path, ["runrest"], optional=["speed_rs"])
    return content["runrest"], content.get("speed_rs"), path


def _files_by_name(folder, pattern):
    files = {}
    for path in sorted(folder.rglob(pattern)):
        files.setdefault(path.name, []).append(path)
    return files


def _find(files, name, folder):
    found = files.get(name, [])
    if len(found) != 1:
        remedy = "move the others away" if found else "download it, or take its session out of the table"
        raise DataError(folder, f"{len(found) or 'no'} files called {name}", "exactly one, in it or below", remedy)
    return found[0]


def _has_signal_files(table, folder, files):
    if table is None:
        return False
    if "signal_path" in table:
        return any((folder / path.replace("\\", "/")).is_file() for path in table["signal_path"])
    return any(f"{session}.mat" in files for session in table["session"])


def _session_table_of(folder):
    tables = sorted(folder.glob("data_*.csv"))
    if len(tables) > 1:
        raise DataError(folder, f"the tables {', '.join(path.name for path in tables)}", "one session table",
                        "move the others away")
    return tables[0] if tables else None


def read_session_table(path):
    """Session table of the study (CSV), one row a session, in the order that counts: DataFrame of ``session``,
    ``animal`` (``"mouse 1"``...) and, if the file has it, ``signal_path``.

    DataError: unreadable, a column missing, no rows, an empty cell, a ``Data_ID`` that leads to another folder or
    stands twice, a mouse that is not a number.
    """
    table = read_table(path, "a CSV session table", "save it as comma-separated text with a header line",
                       dtype=str, skipinitialspace=True, encoding="utf-8-sig")
    table.columns = table.columns.str.strip()
    mouse_column = next((name for name in MOUSE_COLUMNS if name in table), None)
    if "Data_ID" not in table or mouse_column is None:
        raise DataError(path, f"the columns {', '.join(table.columns)}",
                        f"the columns Data_ID and {' or '.join(MOUSE_COLUMNS)}", "name the columns so")
    names = {"Data_ID": "session", mouse_column: "animal", "Signal_Path": "signal_path"}
    table = table[[name for name in names if name in table]].rename(columns=names)
    if table.empty:
        raise DataError(path, "no rows", "a row a session", "fill the table")
    incomplete = table.isna().any(axis=1)
    if incomplete.any():
        raise DataError(path, f"an empty cell in row {int(incomplete.argmax()) + 1} below the header",
                        "each row complete", "fill the cell, or remove the row")
    table = table.apply(lambda column: column.str.strip())
    odd = table["animal"][~table["animal"].str.fullmatch(r"[0-9]+")]
    if len(odd):
        raise DataError(path, f"the mouse number '{odd.iloc[0]}'", "whole numbers, 1 for mouse 1", "number the mice")
    paths = table["session"][table["session"].str.contains(r"[/\\]")]
    if len(paths):
        raise DataError(path, f"the Data_ID '{paths.iloc[0]}'",
                        "a name without / or \\, since files are named after it", "rename the session")
    twice = table["session"][table["session"].duplicated()]
    if len(twice):
        raise DataError(path, f"the session {twice.iloc[0]} twice", "each Data_ID once", "remove the second row")
    table["animal"] = [f"mouse {int(number)}" for number in table["animal"]]
    return table
