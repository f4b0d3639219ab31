"""Data sets by name: those of the manifest, simulated first where they are simulated and missing."""

from calcium_decoding.data import catalog, download, readers
from calcium_decoding.simulation.footsteps import world_files
from calcium_decoding.simulation.widefield import settings_of, write_dataset


def load_dataset(name, data_dir=None, **options):
    """Data set of ``data_manifest.yaml``, with what the manifest says about it; a simulated one is made if missing.

    Parameters
    ----------
    name : str
        Name of the entry, such as ``"simulated-small"``; ``calcium-decoding data list`` shows them.
    data_dir : str or Path, optional
        Data directory, if it is not the one the environment or the project gives.
    **options
        Passed to the reader: ``movies``, ``strict``, ``mice``...

    Returns
    -------
    Dataset
        Called ``name``; its recordings are marked as simulated if the entry is.

    Raises
    ------
    DataError
        No such entry, files that are not there and not simulated (the message says how to get them), nothing usable.
    ParameterError
        The entry is not a data set that can be read here: pretrained weights, say.
    """
    ensure(name)
    return readers.load(name, data_dir, **options)


def ensure(name):
    """Make the simulated data set of a manifest entry unless it is there.

    Parameters
    ----------
    name : str
        Name in ``data_manifest.yaml``.

    Returns
    -------
    Path or None
        Its folder; None if the entry is not a simulated set, which is left alone.
    """
    entry = catalog.load_manifest().entry(name)
    if entry.kind != "simulated":
        return None
    folder = catalog.folder(entry)
    if download.status(entry) != "present":
        if entry.world == "footsteps":
            world_files.write(world_files.world_of(entry), folder)
        else:
            write_dataset(settings_of(entry), folder)
    return folder


def footstep_truth(name):
    """World and truth of a simulated set of footsteps, made if it is not there; None for any other entry."""
    entry = catalog.load_manifest().entry(name)
    if entry.kind != "simulated" or entry.world != "footsteps":
        return None
    return world_files.read_truth(ensure(name))
