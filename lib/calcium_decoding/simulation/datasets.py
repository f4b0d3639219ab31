"""Data sets by name: those of the manifest, simulated first where they are simulated and missing."""

import warnings

import numpy as np

from calcium_decoding.data import catalog, download, readers
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.simulation.braidyn import files
from calcium_decoding.simulation.footsteps import world_files
from calcium_decoding.simulation.widefield import settings_of, write_dataset
from calcium_decoding.utils.files import alone


def load_dataset(name, data_dir=None, **options):
    """Data set of ``data_manifest.yaml``, with what the manifest says about it; a simulated one is made if missing.

    ``name``: of the entry, such as ``"simulated-small"``; ``calcium-decoding data list`` shows them. ``data_dir``: data
    directory, if not the one that the environment or the project gives. Options go to the reader: ``movies``... Returns
    a Dataset called ``name``. Raises DataError: no such entry, files that are not there and not simulated, nothing
    usable; ParameterError: the entry holds no recordings.
    """
    ensure(name)
    return readers.load(name, data_dir, **options)


def ensure(name):
    """Make the simulated data set of a manifest entry unless it is there, and what is damaged of it again; its folder,
    or None for any other entry."""
    entry = catalog.load_manifest().entry(name)
    if entry.kind != "simulated":
        return None
    folder = catalog.folder(entry)
    with alone(folder.with_name(f".{folder.name}.lock")):
        for path in download.damaged(entry):
            warnings.warn(f"{path} is not as it was written; it is simulated again", stacklevel=2)
            path.unlink()
        if download.status(entry) != "present":
            own = {"footsteps": world_files, "braidyn": files}.get(entry.world)
            if own:
                own.write(own.world_of(entry), folder)
            else:
                write_dataset(settings_of(entry), folder)
            download.list_files(entry)
    return folder


def planted(dataset):
    """What a simulated data set of the manifest was made of.

    ``dataset``: of an entry, or made from one and called ``NAME, WHAT``. Returns the arrays of its ``truth.npz``, dict
    of str to ndarray, empty where there is none; and where they are from, or why there are none.
    """
    if not dataset.simulated:
        return {}, "no planted truth: the data are not simulated"
    try:
        entry = catalog.load_manifest().entry(dataset.name.partition(", ")[0])
        path = catalog.folder(entry) / "truth.npz"
    except (DataError, ParameterError):
        return {}, f"no planted truth: '{dataset.name}' is not a simulated set of the manifest"
    if entry.kind != "simulated" or not path.exists():
        return {}, f"no planted truth beside '{dataset.name}'"
    with np.load(path, allow_pickle=False) as truth:
        return dict(truth), f"planted truth of the world '{entry.world}', from the data set's own truth file"


def footstep_truth(name):
    """World and truth of a simulated set of footsteps, made if it is not there; None for any other entry."""
    entry = catalog.load_manifest().entry(name)
    if entry.kind != "simulated" or entry.world != "footsteps":
        return None
    return world_files.read_truth(ensure(name))
