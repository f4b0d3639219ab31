"""MATLAB files of either generation behind one function, with errors a reader can act on."""

import h5py
import numpy as np
import scipy.io
import scipy.sparse

from calcium_decoding.data.readers.common import readable
from calcium_decoding.errors import DataError


def load_mat(path, names, optional=()):
    """Variables of a MATLAB file, version 4 to 7.2 (through SciPy) or 7.3 (HDF5), dict of str to object.

    Numbers are arrays in MATLAB's own orientation, text is ``str``, a cell array a list in MATLAB's column order, a
    struct a dict. DataError: the file is missing, cut short or not a MATLAB file, or lacks a variable of ``names``.
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
    with _readable(path):
        if h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                return [name for name in file if not name.startswith("#")]  # "#refs#" holds what is in cells
        return [name for name, _, _ in scipy.io.whosmat(path, appendmat=False)]


_KINDS = {np.ndarray: "a plain matrix of numbers", list: "a cell array", dict: "a struct", str: "text"}


def check_array(value, name, where, kind=np.ndarray):
    """``value`` if it is an array (``kind``: list for a cell array), as :func:`load_mat` gives it; else DataError."""
    if not isinstance(value, kind):
        raise DataError(where, f"{name} as {_KINDS[type(value)]}", _KINDS[kind],
                        f"save the variable as {_KINDS[kind]}")
    return value


def _readable(path):
    return readable(path, "MATLAB data", "a whole MATLAB file (.mat), version 4 to 7.3",
                    "download or copy it again; if it is not a .mat file, convert it")


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
