"""Readers by name: :func:`read` picks one by the format's name; :func:`load` does so for a data set of the manifest."""

from dataclasses import replace
from functools import partial

from calcium_decoding.data.readers.footsteps import read_footsteps
from calcium_decoding.data.readers.isfn import read_isfn
from calcium_decoding.data.readers.multiple_maps import read_multiple_maps
from calcium_decoding.data.readers.npz_csv import read_csv, read_files, read_npz
from calcium_decoding.data.readers.study import read_study
from calcium_decoding.errors import ParameterError

FORMATS = {
    "study": read_study,
    "isfn": read_isfn,
    "multiple_maps": read_multiple_maps,
    "npz": partial(read_files, read_one=read_npz, ending=".npz"),
    "csv": partial(read_files, read_one=read_csv, ending=".csv"),
    "footsteps": read_footsteps,
}
WITH_MOVIES = ("study", "npz", "csv")


def read(format, folder, **options):
    """Data set in a folder, named after it, read by the format's name.

    ``format``: a name of :data:`FORMATS`. ``folder``: for ``"npz"`` and ``"csv"`` a single file will do. Options go to
    the reader: all know ``strict`` (a bad session raises; else it is in ``refused``); all but ``"npz"`` and ``"csv"``,
    whose files hold it, ``rate_hz``; those of :data:`WITH_MOVIES` know ``movies``. Raises ParameterError: no such
    format, or movies of one that has none; DataError: nothing usable in the folder.
    """
    if format not in FORMATS:
        raise ParameterError("format", f"'{format}'", f"one of {', '.join(FORMATS)}", "name one of these formats")
    if format not in WITH_MOVIES and options.pop("movies", False):
        raise ParameterError(folder, f"movies asked of the format '{format}', which has none",
                             f"one of {', '.join(WITH_MOVIES)}", "choose a data set with movies")
    dataset = FORMATS[format](folder, **options)
    # Reasons end up on pages and cards, where the path of somebody's folder has no place.
    refused = tuple(replace(r, reason=r.reason.replace(f"{folder}/", "")) for r in dataset.refused)
    return replace(dataset, refused=refused)


def load(name, data_dir=None, **options):
    """Data set of ``data_manifest.yaml`` whose files are there; see :func:`calcium_decoding.load_dataset`."""
    from calcium_decoding.data import catalog, download  # not needed by those who read their own files

    entry = catalog.load_manifest().entry(name)
    if entry.format not in FORMATS:
        raise ParameterError(f"data set '{name}'", f"the format {entry.format}",
                             f"one of {', '.join(FORMATS)}", "name a data set of recordings")
    if entry.rate_hz is not None and entry.format not in ("npz", "csv"):  # those files state their own rate
        options = {"rate_hz": entry.rate_hz, **options}
    if entry.kind == "local":
        options = {**entry.options, **options}
    dataset = read(entry.format, download.require(entry, data_dir), **options)
    recordings = dataset.recordings
    if entry.kind == "simulated":
        recordings = tuple(replace(recording, simulated=True) for recording in recordings)
    return replace(dataset, name=name, recordings=recordings, regime=entry.regime or dataset.regime,
                   compare_with_study=entry.compare_with_study, caution=entry.caution)
