"""The files of Ajioka et al. 2024: 50 ROI traces a session with run label and speed, and the table of sessions."""

import itertools
import json
import re

import numpy as np

from calcium_decoding.data.movies import Movie
from calcium_decoding.data.readers import common
from calcium_decoding.data.readers.mat import check_array, load_mat, mat_variables
from calcium_decoding.data.recording import Recording
from calcium_decoding.errors import DataError

N_ROI = 50
MOUSE_COLUMNS = ("mouse_No.", "Mouse_#")  # the two public copies of the table differ
SUBTRACTED = "assembled file without _raw in its name: its authors have subtracted a moving mean already"


def read_study(folder, rate_hz=30.0, strict=False, movies=False):
    """Data set in the layout of the study's public code, one recording a session.

    Files may lie anywhere below ``folder`` and are found by name:

    - ``data_*.csv``: the session table, see :func:`read_session_table`.
    - The file in the table's column ``Signal_Path`` (relative to ``folder``), or else ``<Data_ID>.mat``. Variable
      ``dat_roi`` (50, T), ROI by time, dF/F in percent.
    - ``<Data_ID>_behavior.mat``: ``runrest`` (1, T), 0 rest and 1 run, and ``speed_rs`` (1, T), cm/s.
    - With ``movies``: ``<Data_ID>.tif``, (T, rows, columns). It stays on disk; a session without one is refused.

    Where no session has a signal file of its own, the assembled files are read, all sessions of a mouse in one cell
    array: ``signal1``... of ``signal_5mice_raw.mat`` or else ``signal_5mice.mat``, from which a moving mean has been
    subtracted; ``runrest1``... and ``speed1``... of ``runrest_5mice.mat`` and ``speed_5mice.mat``, or else the
    behaviour files of the sessions. Without a table sessions are ``"session 1"``...

    Returns a Dataset: animals ``"mouse 1"``... by the table's mouse number, sessions in the order of the table and
    named by ``Data_ID``; simulated where a ``truth.json`` in the folder says so. Raises DataError: the table is
    unusable, there are no files of either layout, no session is usable, or ``truth.json`` is damaged. Source: Ajioka et
    al. 2024, doi:10.1371/journal.pcbi.1011074
    """
    folder = common.check_folder(folder)
    simulated = _says_simulated(folder)
    table_path, files = _session_table_of(folder), _files_by_name(folder)
    table = None if table_path is None else read_session_table(table_path)
    assembled = next((name for name in ("signal_5mice_raw.mat", "signal_5mice.mat") if name in files), None)
    if table is None and assembled is None:
        raise DataError(folder, "neither a table data_*.csv nor a file signal_5mice.mat",
                        "the study's files, one a session or assembled", "download them, or name their folder")
    if assembled is None or _has_signal_files(table, folder, files):
        # A path that leads out of the folder condemns the table, not its session alone.
        paths = [common.path_below(folder, path, table_path) for path in table.get("signal_path", [])]
        sessions = [(row.animal, row.session, path, None, None, None, ())  # its files are still to be read
                    for row, path in itertools.zip_longest(table.itertuples(), paths)]
    else:
        if movies and table is None:
            raise DataError(folder, "movies, and no session table", "a table that says which session is which",
                            "put data_*.csv there, or read without movies")
        sessions = _assembled(_find(files, assembled, folder), table, table_path, files, folder)
    intake = common.Intake(strict)
    for animal, session, source, signal, run, speed, notes in sessions:
        with intake.session(f"{animal}/{session}"):
            if signal is None:
                source = source or _find(files, f"{session}.mat", folder)
                if not source.is_file():
                    raise DataError(source, "no such file", f"the signal of the session {session}",
                                    "download it, or take the session out of the table")
                signal = load_mat(source, ["dat_roi"])["dat_roi"]
                source = f"{source} with {session}_behavior.mat"
            if run is None:
                content = load_mat(_find(files, f"{session}_behavior.mat", folder), ["runrest"], optional=["speed_rs"])
                run, speed = content["runrest"], content.get("speed_rs")
            movie = Movie(_find(files, f"{session}.tif", folder)) if movies else None
            intake.recordings.append(_recording(
                signal, run, speed, notes, rate_hz=rate_hz, animal=animal, session=session,
                simulated=simulated, source=source, movie=movie))
    return intake.dataset(folder.name)


def _assembled(path, table, table_path, files, folder):
    """Animal, session, source, signal, run label, speed and notes of each session; None: in a file of its own."""
    variables = mat_variables(path)
    mice = sorted(int(match[1]) for name in variables if (match := re.fullmatch(r"signal(\d+)", name)))
    if not mice:
        raise DataError(path, f"the variables {', '.join(variables) or '(none)'}",
                        "signal1, signal2... with the sessions of mouse 1, 2...", "give the assembled signal file")
    if table is None and "runrest_5mice.mat" not in files:
        raise DataError(folder, "behaviour in a file a session, and no session table",
                        "a table that says which session is which", "put data_*.csv or runrest_5mice.mat there")
    extra = set() if table is None else {*table["animal"]} - {f"mouse {mouse}" for mouse in mice}
    if extra:
        raise DataError(table_path, f"rows for {', '.join(sorted(extra))}", "only mice that the signal file holds",
                        "give the table that belongs to the files")
    for mouse in mice:
        signals = _cells(path, f"signal{mouse}")
        n = len(signals)
        names = ([f"session {i + 1}" for i in range(n)] if table is None
                 else list(table["session"][table["animal"] == f"mouse {mouse}"]))
        if len(names) != n:
            raise DataError(table_path, f"{len(names)} rows for mouse {mouse}", f"{n}, as in {path.name}",
                            "give the table that belongs to the files")
        runs, speeds = (_cells(_find(files, f"{name}_5mice.mat", folder), f"{name}{mouse}", n)
                        if f"{name}_5mice.mat" in files else [None] * n for name in ("runrest", "speed"))
        for i, session in enumerate(names):
            yield (f"mouse {mouse}", session, f"{path}, signal{mouse}, cell {i + 1}", signals[i], runs[i], speeds[i],
                   () if path.stem.endswith("_raw") else (SUBTRACTED,))


def _recording(dat_roi, runrest, speed, notes, **about):
    # Shapes are judged here, in the file's own orientation, so that the message shows what is in the file.
    where = about["source"]
    shape = check_array(dat_roi, "the signal", where).shape
    if len(shape) != 2 or shape[0] != N_ROI:
        raise DataError(where, f"a signal of shape {shape}", f"ROI by time, ({N_ROI}, T)",
                        "swap time and ROI (transpose the variable)" if shape[1:] == (N_ROI,) else f"give {N_ROI} rows")
    behaviour = {"run": check_array(runrest, "the run label", where)}
    if speed is None:
        notes = (*notes, "no speed in the files: the run label could not be checked")
    else:
        behaviour["speed_cm_s"] = check_array(speed, "the speed", where)
    recording = Recording(dat_roi.T, behaviour, notes=notes, **about)
    if constant := [str(i + 1) for i in np.flatnonzero(np.ptp(recording.signal, axis=0) == 0)]:
        raise DataError(where, f"no change over the whole session in ROI {', '.join(constant)}",
                        "traces that vary (min-max scaling divides by their range)",
                        "leave the session out, or repair these ROIs")
    return common.with_run_label(recording)


def _says_simulated(folder):
    path = folder / "truth.json"
    if not path.is_file():
        return False
    with common.readable(path, "JSON", "what the simulator wrote",
                         "simulate the set again, or take the file away if the data are recorded"):
        content = json.loads(path.read_text(encoding="utf-8"))
    return isinstance(content, dict) and content.get("simulated") is True


def _cells(path, name, n=None):
    cells = check_array(load_mat(path, [name])[name], name, path, list)
    if n is not None and len(cells) != n:
        raise DataError(path, f"{len(cells)} sessions in {name}", f"{n}, as in the signal file",
                        "give files that were assembled together")
    return cells


def _files_by_name(folder):
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".mat", ".tif")):
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
    """Session table of the study (CSV): DataFrame of ``session``, ``animal`` (``"mouse 1"``...) and, if the file has
    it, ``signal_path``. DataError: unreadable or incomplete, a ``Data_ID`` that is a path or stands twice, a mouse that
    is not a number."""
    table = common.read_table(path, "a CSV session table", "save it as comma-separated text with a header line",
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
    common.refuse_rows(table, ~table["animal"].str.fullmatch(r"[0-9]+"), path, "the mouse number '{animal}'",
                       "whole numbers, 1 for mouse 1", "number the mice")
    common.refuse_rows(table, table["session"].str.contains(r"[/\\]"), path, "the Data_ID '{session}'",
                       "a name without / or \\, since files are named after it", "rename the session")
    common.refuse_rows(table, table["session"].duplicated(), path, "the session {session} twice", "each Data_ID once",
                       "remove the second row")
    table["animal"] = [f"mouse {int(number)}" for number in table["animal"]]
    return table
