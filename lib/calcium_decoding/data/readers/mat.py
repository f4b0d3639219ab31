"""MATLAB files of either generation behind one function, with errors a reader can act on."""

import contextlib
from pathlib import Path

import h5py
import numpy as np
import scipy.io
import scipy.sparse

from calcium_decoding.errors import DataError


def load_mat(path, names, optional=()):
    """Variables of a MATLAB file, version 4 to 7.2 (through SciPy) or 7.3 (HDF5), dict of str to object.

    Numbers are arrays in MATLAB's own orientation (version 7.3 stores them transposed; that is undone), text is
    ``str``, a cell array a list in MATLAB's column order, a struct a dict. Those of ``optional`` are left out if they
    are not there. DataError: the file is missing, cut short or not a MATLAB file, or a variable of ``names`` is not in
    it.
    """
    found = mat_variables(path)
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(path, f"the variables {', '.join(found) or '(none)'}, and no {', '.join(missing)}",
                        f"the variable{'s' if len(names) > 1 else ''} {', '.join(names)}",
                        "check that this is the right file, or save it again with these names")
    wanted = [*names, *(name for name in optional if name in found)]
    with _readable(path):
        if h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                return {name: _from_hdf5(file, file[name]) for name in wanted}
        contents = scipy.io.loadmat(path, variable_names=wanted, appendmat=False)
        return {name: _from_scipy(contents[name]) for name in wanted}


def mat_variables(path):
    """Names of the variables in a MATLAB file; DataError if it is missing, cut short or none."""
    if not Path(path).is_file():
        raise DataError(path, "no such file", "a MATLAB file (.mat)", "download it, or mend the path to it")
    with _readable(path):
        if h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                return [name for name in file if not name.startswith("#")]  # "#refs#" holds what is in cells
        return [name for name, _, _ in scipy.io.whosmat(path, appendmat=False)]


def check_array(value, name, where):
    """``value`` if it is an array, as :func:`load_mat` gives for a MATLAB matrix; else DataError."""
    if isinstance(value, np.ndarray):
        return value
    kind = {list: "a cell array", dict: "a struct", str: "text"}[type(value)]
    raise DataError(where, f"{name} as {kind}", "a matrix of numbers", "save the variable as a plain matrix")


def check_cells(value, name, where):
    """``value`` if it is a list, as :func:`load_mat` gives for a MATLAB cell array; else DataError."""
    if isinstance(value, list):
        return value
    kind = {dict: "a struct", str: "text"}.get(type(value), "a plain matrix")
    raise DataError(where, f"{name} as {kind}", "a cell array", "save the variable as a cell array")


@contextlib.contextmanager
def _readable(path):
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # cut or overwritten bytes make the parsers raise nearly anything
        raise DataError(path, f"bytes that cannot be read as MATLAB data ({type(error).__name__}: {error})",
                        "a whole MATLAB file, version 4 to 7.3",
                        "download or copy it again; if it is not a .mat file, convert it") from error


def _from_scipy(value):
    if scipy.sparse.issparse(value):
        return value.toarray()
    if value.dtype.names:
        structs = [{name: _from_scipy(struct[name]) for name in value.dtype.names}
                   for struct in value.ravel(order="F")]
        return structs[0] if len(structs) == 1 else structs
    if value.dtype == object:
        return [_from_scipy(cell) for cell in value.ravel(order="F")]
    if value.dtype.kind == "U":
        return "".join(value.ravel())
    return value


def _from_hdf5(file, item):
    if isinstance(item, h5py.Group):
        return {name: _from_hdf5(file, item[name]) for name in item}
    matlab_class = item.attrs.get("MATLAB_class", b"")
    matlab_class = matlab_class.decode() if isinstance(matlab_class, bytes) else str(matlab_class)
    if item.attrs.get("MATLAB_empty", 0):  # the stored numbers are then the shape of an empty array
        empty = {"cell": [], "char": ""}
        return empty.get(matlab_class, np.empty(tuple(int(n) for n in item[()])))
    if h5py.check_ref_dtype(item.dtype):
        return [_from_hdf5(file, file[reference]) for reference in item[()].ravel()]
    if matlab_class == "char":
        return "".join(chr(code) for code in item[()].ravel())
    return item[()].T
