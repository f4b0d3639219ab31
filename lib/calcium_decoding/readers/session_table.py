"""The study's session table: which session belongs to which mouse, in which order."""

import pandas as pd

from calcium_decoding.errors import DataError

MOUSE_COLUMNS = ("mouse_No.", "Mouse_#")  # the two public copies of the table differ


def read_session_table(path):
    """Session table of the study: one row a session, in the order that counts.

    Parameters
    ----------
    path : str or Path
        CSV with the columns ``Data_ID``, ``mouse_No.`` or ``Mouse_#``, and perhaps ``Signal_Path``.

    Returns
    -------
    DataFrame
        Columns ``session``, ``animal`` (``"mouse 1"``...) and, if the file has it, ``signal_path``.

    Raises
    ------
    DataError
        Unreadable, a column missing, no rows, an empty cell, a ``Data_ID`` that leads to another folder or
        stands twice, a mouse that is not a number.
    """
    try:
        table = pd.read_csv(path, dtype=str, skipinitialspace=True, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(path, f"a file that cannot be read as a table ({error})", "a CSV session table",
                        "save it as comma-separated text with a header line") from error
    table.columns = table.columns.str.strip()
    mouse_column = next((name for name in MOUSE_COLUMNS if name in table), None)
    if "Data_ID" not in table or mouse_column is None:
        raise DataError(path, f"the columns {', '.join(table.columns)}",
                        f"the columns Data_ID and {' or '.join(MOUSE_COLUMNS)}", "name the columns so")
    names = {"Data_ID": "session", mouse_column: "animal", "Signal_Path": "signal_path"}
    table = table[[name for name in names if name in table]].rename(columns=names)
    _check_rows(table, path)
    table = table.apply(lambda column: column.str.strip())
    _check_names(table, path)
    table["animal"] = [f"mouse {int(number)}" for number in table["animal"]]
    return table


def _check_rows(table, path):
    if table.empty:
        raise DataError(path, "no rows", "a row a session", "fill the table")
    incomplete = table.isna().any(axis=1)
    if incomplete.any():
        raise DataError(path, f"an empty cell in row {int(incomplete.argmax()) + 1} below the header",
                        "each row complete", "fill the cell, or remove the row")


def _check_names(table, path):
    odd = table["animal"][~table["animal"].str.fullmatch(r"[0-9]+")]
    if len(odd):
        raise DataError(path, f"the mouse number '{odd.iloc[0]}'", "whole numbers, 1 for mouse 1",
                        "number the mice")
    paths = table["session"][table["session"].str.contains(r"[/\\]")]
    if len(paths):
        raise DataError(path, f"the Data_ID '{paths.iloc[0]}'",
                        "a name without / or \\, since files are named after it", "rename the session")
    twice = table["session"][table["session"].duplicated()]
    if len(twice):
        raise DataError(path, f"the session {twice.iloc[0]} twice", "each Data_ID once",
                        "remove the second row")
