"""Readers by name: :func:`read` picks one by the format's name; :func:`load` does so for a data set of the manifest."""

import inspect
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from calcium_decoding.data import readers
from calcium_decoding.data.clock import MOST_RATE_ERROR
from calcium_decoding.data.readers.common import Intake
from calcium_decoding.data.readers.footsteps import read_footsteps
from calcium_decoding.data.readers.isfn import read_isfn
from calcium_decoding.data.readers.multiple_maps import read_multiple_maps
from calcium_decoding.data.readers.npz_csv import read_csv, read_files, read_npz
from calcium_decoding.data.readers.study import read_study
from calcium_decoding.errors import DataError, ParameterError

# What a lab's programs write: by format, the file that a session is, or that the folder of a session holds. The reader
# of the format gives one recording.
OF_PROGRAMS = {"nwb": "*.nwb", "suite2p": "F.npy", "caiman": "*.hdf5", "inscopix": "*.csv", "minian": "*.zarr",
               "wfield": "SVT.npy"}


def read_sessions(folder, format, strict=False, **options):
    """Data set of the sessions below a folder, or of one, as a program of :data:`OF_PROGRAMS` writes them.

    Animal and session of each are its last two folders, ``<animal>/<session>`` (of a file: folder and file), without
    ``suite2p`` and ``plane*``, where the options do not say them and the file does not know them (NWB).
    """
    folder, mark = Path(folder), OF_PROGRAMS[format]
    paths = [folder] if folder.match(mark) else sorted(folder.rglob(mark))
    if not paths:
        raise DataError(folder, f"no {mark}", f"sessions in the format '{format}'", "name the folder that holds them")
    read_one, intake = getattr(readers, f"read_{format}"), Intake(strict)
    places = [path if "*" in mark else path.parent for path in paths]
    if format == "suite2p":  # all planes of a session are one recording
        places = dict.fromkeys(place.parent if place.name.startswith("plane") and place != folder else place
                               for place in places if place.name != "combined")
    if format == "minian":  # which keeps a folder for each array
        places = [path for path in places if (path / options.get("which", "C")).is_dir()] or places
    for place in places:
        name = place.relative_to(folder).as_posix() if place != folder else folder.name
        with intake.session(name):
            about = {**({} if format == "nwb" else _names(place, folder, options)), **options}
            _check_options(read_one, about, name)
            intake.recordings.append(read_one(place, **about))
    return intake.dataset(folder.stem)


def _names(place, folder, options):
    is_one = place.is_file() or place.suffix == ".zarr"  # else a folder, whose name may have a dot in it
    own = () if place.name in ("C.zarr", "S.zarr") else (place.stem if is_one else place.name,)
    above = place.relative_to(folder if place != folder else folder.parent).parent.parts
    parts = [part for part in (*above, *own) if part not in ("suite2p", "minian") and not part.startswith("plane")]
    parts = parts if is_one or place != folder else []
    found = dict(zip(("session", "animal"), parts[::-1], strict=False)) | {
        name: options[name] for name in ("animal", "session") if name in options}
    if missing := {"animal", "session"} - {*found}:
        raise DataError(place, f"no name of its {' and '.join(sorted(missing))}", "folders <animal>/<session>",
                        f"give the option{'s' if len(missing) > 1 else ''} {' and '.join(sorted(missing))}")
    return found


def _check_options(read_one, options, where):
    parameters = list(inspect.signature(read_one).parameters.values())
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return
    known = [one.name for one in parameters[1:] if one.name not in ("read_one", "ending")]
    if unknown := [name for name in options if name not in known]:
        raise ParameterError(where, f"the option {', '.join(unknown)}", f"options among {', '.join(known)}",
                             "name one of these")


FORMATS = {
    "study": read_study,
    "isfn": read_isfn,
    "multiple_maps": read_multiple_maps,
    "npz": partial(read_files, read_one=read_npz, ending=".npz"),
    "csv": partial(read_files, read_one=read_csv, ending=".csv"),
    "footsteps": read_footsteps,
    **{name: partial(read_sessions, format=name) for name in OF_PROGRAMS},
}
WITH_MOVIES = ("study", "npz", "csv")
WITH_RATE = ("npz", "csv", "nwb")  # files that say it themselves


def read(format, folder, **options):
    """Data set in a folder, named after it, read by the format's name.

    ``format``: a name of :data:`FORMATS`. ``folder``: a single file will do for ``"npz"``, ``"csv"`` and what programs
    write as one (:data:`OF_PROGRAMS`). Options go to the reader: all know ``strict`` (a bad session raises; else it is
    in ``refused``); all but those of :data:`WITH_RATE`, whose files hold it, ``rate_hz``; those of :data:`WITH_MOVIES`
    know ``movies``; those of programs ``animal`` and ``session``. Raises ParameterError: no such format, an option that
    the reader does not know, or movies of one that has none; DataError: nothing usable in the folder.
    """
    if format not in FORMATS:
        raise ParameterError("format", f"'{format}'", f"one of {', '.join(FORMATS)}", "name one of these formats")
    if format not in WITH_MOVIES and options.pop("movies", False):
        raise ParameterError(folder, f"movies asked of the format '{format}', which has none",
                             f"one of {', '.join(WITH_MOVIES)}", "choose a data set with movies")
    _check_options(FORMATS[format], options, f"format '{format}'")
    dataset = FORMATS[format](folder, **options)
    # Reasons end up on pages and cards, where the path of somebody's folder has no place.
    refused = tuple(replace(r, reason=r.reason.replace(f"{folder}/", "")) for r in dataset.refused)
    return replace(dataset, refused=refused)


def load(name, data_dir=None, **options):
    """Data set of ``data_manifest.yaml`` whose files are there; see :func:`calcium_decoding.load_dataset`."""
    from calcium_decoding.data import catalog  # not needed by those who read their own files

    return load_entry(catalog.load_manifest().entry(name), data_dir, **options)


def load_entry(entry, data_dir=None, **options):
    """Data set of an entry of a manifest whose files are there, with what the entry says about it.

    Sets of DANDI are read from the archive itself with ``stream=True``; ``only`` chooses by path, shell style.
    """
    from calcium_decoding.data import download

    if entry.format not in FORMATS:
        raise ParameterError(f"data set '{entry.name}'", f"the format {entry.format}",
                             f"one of {', '.join(FORMATS)}", "name a data set of recordings")
    if entry.rate_hz is not None and entry.format not in WITH_RATE:
        options = {"rate_hz": entry.rate_hz, **options}
    options = {**getattr(entry, "options", {}), **options}
    if entry.kind == "dandi" and options.pop("stream", False):
        dataset = _streamed(entry, **options)
    else:
        dataset = read(entry.format, download.require(entry, data_dir), **options)
    if entry.kind == "local":
        dataset = _with_its_behaviour(dataset, entry, data_dir, options.get("strict", False))
    recordings = dataset.recordings
    for recording in recordings if entry.rate_hz is not None else ():
        if abs(recording.rate_hz / entry.rate_hz - 1) >= MOST_RATE_ERROR:
            raise DataError(f"data set '{entry.name}', {recording.id}", f"{recording.rate_hz:g} Hz by its file",
                            f"{entry.rate_hz:g} Hz, as the entry says", "mend the rate of the entry, or leave it out")
    if entry.kind == "simulated":
        recordings = tuple(replace(recording, simulated=True) for recording in recordings)
    return replace(dataset, name=entry.name, recordings=recordings, regime=entry.regime or dataset.regime,
                   compare_with_study=entry.compare_with_study, caution=entry.caution)


def _streamed(entry, only=None, strict=False, **options):
    """Data set of an entry of DANDI, read from the archive."""
    from calcium_decoding.data.sets import dandi

    intake = Intake(strict)
    for path, address in dandi.addresses(entry, only).items():
        with intake.session(path):
            intake.recordings.append(readers.read_nwb(address, **options))
    return intake.dataset(entry.name)


def _with_its_behaviour(dataset, entry, data_dir, strict):
    """A data set with the clock, the behaviour and the labels that its entry names for each recording."""
    if not (entry.clock or entry.behaviour or entry.label):
        return dataset
    named = [file for file in entry.files_beside() if "{" not in file]
    if named and len(dataset.recordings) > 1:
        raise DataError(f"data set '{entry.name}'", f"the one file {named[0]} for {len(dataset.recordings)} recordings",
                        "a file for each", "name it by what differs, as in behaviour/{animal}_{session}.csv")
    intake = Intake(strict)
    for recording in dataset.recordings:
        with intake.session(recording.id):
            intake.recordings.append(_with_entry(recording, entry, data_dir))
    refused = [replace(r, reason=r.reason.replace(f"{entry.root}/", "")) for r in intake.refused]
    return replace(dataset, recordings=tuple(intake.recordings), refused=(*dataset.refused, *refused))


def _with_entry(recording, entry, data_dir):
    from calcium_decoding import data
    from calcium_decoding.data import catalog

    def opened(pattern, options):
        path = pattern.format(animal=recording.animal, session=recording.session, part=recording.part)
        _check_options(readers.read_behaviour, options, f"data set '{entry.name}', {path}")
        return readers.read_behaviour(catalog.place_of(entry, path, data_dir), **options)

    def times_in(pattern):
        found = opened(pattern, entry.clock.options)
        if len(found) != 1:
            raise DataError(recording.id, f"{len(found)} series in {pattern}", "one, with the times of the frames",
                            "choose it by the options: {time: ..., columns: []}")
        return next(iter(found.values())).times_s

    if clock := entry.clock:
        times = times_in(clock.file)
        if clock.pulses:
            times = data.match_pulses(times, times_in(clock.pulses), clock.first_pulse)
        recording = data.with_times(recording, times, clock.rule, clock.drop_frames, clock.offset_s)
    for one in entry.behaviour:
        found = opened(one.file, one.options)
        recording = data.with_behaviour(recording, found, how=one.how, exposure_s=one.exposure_s,
                                        longest_gap_s=one.longest_gap_s, offset_s=one.offset_s)
    for name, rule in entry.label.items():
        source, times = rule.source, data.frame_times(recording)
        columns = [source] if source in recording.behaviour or not rule.speed_s else [f"{source}_x", f"{source}_y"]
        if lacking := [one for one in columns if one not in recording.behaviour]:
            raise DataError(recording.id, f"behaviour {', '.join(recording.behaviour) or '(none)'}",
                            " and ".join(f"'{one}'" for one in lacking), "name a behaviour that is there")
        if rule.speed_s:
            position = np.stack([recording.behaviour[one] for one in columns], axis=1)
            speed = data.speed_from_position(position, rule.speed_s, times, causal=True)
            source = f"{source}_speed"
            recording = data.with_label(recording, source, speed, made_from=columns)
        found = data.bouts(recording.behaviour[source], rule.above, rule.above if rule.below is None else rule.below,
                           rule.shortest_s, rule.shortest_pause_s, times_s=times)
        recording = data.with_label(recording, name, found, made_from=source)
    return recording
