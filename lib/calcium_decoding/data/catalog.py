"""What data exist, where they lie and whether they are intact: the typed form of ``data_manifest.yaml``.

:mod:`calcium_decoding.data.download` gets what is missing. Nothing here reaches for the network or writes a file.
"""

import difflib
import json
import os
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import yaml

from calcium_decoding.data.intact import ExpectedFile, Finding, check_file, members
from calcium_decoding.data.manifest_schema import (
    Entry,
    EntryName,
    OneKeyLoader,
    PinnedFile,
    Strict,
    check_relative,
    validated,
)
from calcium_decoding.errors import DataError
from calcium_decoding.utils.code import code_digest
from calcium_decoding.utils.files import hash_content

MANIFEST_NAME = "data_manifest.yaml"
LOCK_NAME = "data_manifest.lock.json"
DATA_VARIABLE = "CALCIUM_DECODING_DATA"
FOLDS_VARIABLE = "CALCIUM_DECODING_FOLDS"
SIMULATION_DONE = "data_64_5mice.csv"  # simulate.write_dataset writes it last
# Worlds with a simulator of their own: the file that each writes last. All others are of `simulate`.
_OTHER_SIMULATORS = {"footsteps": "truth.json"}


def inside(base, relative, where):
    """Path of ``relative`` under ``base``, after following symbolic links to see that it stays there.

    Raises
    ------
    DataError
        The path leads out of ``base``.
    """
    base = Path(base)
    try:
        path = base / check_relative(relative)
        if path.resolve().is_relative_to(base.resolve()):
            return path
        found = f"'{relative}', which leads to {path.resolve()}"
    except (ValueError, OSError, RuntimeError):  # RuntimeError: a loop of links, before Python 3.13
        found = f"'{relative}'"
    raise DataError(where, f"the path {found}", f"a path that stays inside {base}",
                    f"mend the path or the link; to keep data elsewhere use --data-dir or {DATA_VARIABLE}")


class Manifest(Strict):
    """All entries of a manifest, by name."""

    entries: dict[EntryName, Entry]

    def names(self):
        """Names of all entries, in the manifest's order."""
        return list(self.entries)

    def entry(self, name):
        """The entry called ``name``.

        Raises
        ------
        DataError
            There is none; the error lists the names there are.
        """
        if name in self.entries:
            return self.entries[name]
        close = difflib.get_close_matches(str(name), self.entries, n=1, cutoff=0.0)
        raise DataError(MANIFEST_NAME, f"no entry called '{name}'", f"one of {', '.join(self.entries)}",
                        f"did you mean '{close[0]}'?" if close else "add entries to the manifest")

    def table(self, data_dir=None):
        """One dict an entry: name, kind, role, licence, bytes (None if not known beforehand) and status."""
        return [
            {"name": name, "kind": entry.kind, "role": entry.role, "licence": entry.licence,
             "bytes": sum(file.bytes for file in files_of(entry, data_dir)) or None,
             "status": status(entry, data_dir)}
            for name, entry in self.entries.items()
        ]


def project_root():
    """Nearest folder at or above the working directory, or else above this file, that holds the manifest.

    Raises
    ------
    DataError
        There is none.
    """
    for start in (Path.cwd(), Path(__file__).resolve().parent):
        for place in (start, *start.parents):
            if (place / MANIFEST_NAME).is_file():
                return place
    raise DataError(Path.cwd(), f"no {MANIFEST_NAME} here or in a folder above", "a checkout of the book",
                    "change into the book's folder, or install the library from it with pip install -e")


def folds_folder():
    """Where finished folds are kept: what ``CALCIUM_DECODING_FOLDS`` says, else ``_build/folds`` of this project."""
    said = os.environ.get(FOLDS_VARIABLE)
    return Path(said).resolve() if said else project_root() / "_build" / "folds"


def load_manifest(path=None):
    """Read and check a manifest; without ``path`` the one of this project.

    Raises
    ------
    DataError
        No file, no YAML, a field that is missing, unknown or wrong, a path that leaves the data directory.
    """
    path = Path(path) if path is not None else project_root() / MANIFEST_NAME
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), OneKeyLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        found = " ".join(str(error).split())  # YAML's messages have several lines
        raise DataError(path, found, "a readable YAML file", "mend the file") from error
    manifest = validated(Manifest, content, path)
    for name, entry in manifest.entries.items():
        entry._name, entry._root = name, path.resolve().parent
    return manifest


def data_dir(option=None):
    """The data directory: ``option``, else the environment variable, else ``data`` in the project.

    Parameters
    ----------
    option : str or Path, optional
        What the user gave as ``--data-dir``.
    """
    return _chosen_dir(option)


def folder(entry, data_dir=None):
    """Folder of an entry's files, or None for weights that the hub's own cache keeps.

    Simulated sets lie in the project's ``_build``, whatever the data directory: they are remade from their
    seed, under a name that changes with their settings and with the simulator, and a data directory may be read-only.

    Raises
    ------
    DataError
        The folder is a link that leads out of the data directory.
    """
    if entry.kind == "simulated":
        words = {"title", "citation", "licence", "role", "caution", "regime", "compare_with_study"}
        # A new title does not make other data.
        key = hash_content([entry.model_dump(exclude=words), _simulator_digest(entry.world)])
        return entry.root / "_build" / "simulated" / f"{entry.name}-{key}"
    if entry.folder is None:
        return None
    return inside(_chosen_dir(data_dir), entry.folder, f"{MANIFEST_NAME}, entry '{entry.name}', field folder")


def done_file(world):
    """Name of the file that the simulator of a world writes last: it marks a set as complete."""
    return _OTHER_SIMULATORS[world] if world in _OTHER_SIMULATORS else SIMULATION_DONE


def pins(entry):
    """Files of a DOI entry as pinned in the lock file beside the manifest; empty if it was never fetched."""
    path = entry.root / LOCK_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        pinned = content.get(entry.name, {"doi": entry.doi, "files": []})
        if pinned["doi"] != entry.doi:
            raise DataError(path, f"pins of {pinned['doi']} under '{entry.name}'", f"pins of {entry.doi}",
                            f"delete '{entry.name}' from the lock file and fetch again")
        return [validated(PinnedFile, file, f"{path}, '{entry.name}'") for file in pinned["files"]]
    except FileNotFoundError:
        return []
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise DataError(path, f"content that is no lock file ({error!r})", "what `data fetch` wrote",
                        "delete the file and fetch again") from error


def files_of(entry, data_dir=None):
    """Every file whose bytes and digest are known, as a list of :class:`ExpectedFile`.

    Members of a zip archive that a DOI record delivered count once the archive is there.
    """
    if entry.kind == "repository":
        return [ExpectedFile(file.target, file.bytes, "sha256", file.sha256) for file in entry.files]
    if entry.kind == "weights" and entry.hub is None:
        return [ExpectedFile(entry.target, entry.bytes, "sha256", entry.sha256)]
    files = []
    for file in pins(entry) if entry.kind == "doi" else ():
        files.append(ExpectedFile(file.target, file.bytes, *file.checksum.split(":")))
        files += members(path) if (path := folder(entry, data_dir) / file.target).suffix == ".zip" else []
    return files


def status(entry, data_dir=None):
    """``present``, ``incomplete`` or ``missing``, by names and sizes; :func:`verify` reads the bytes."""
    place = folder(entry, data_dir)
    if place is None:
        return "present" if _in_hub_cache(entry.hub) else "missing"
    if entry.kind == "simulated":
        there = [(place / done_file(entry.world)).is_file()]
    elif entry.kind == "local":
        there = [place.is_dir() and any(place.iterdir())]
    elif files := files_of(entry, data_dir):
        there = [file.has_size(inside(place, file.target, entry.name)) for file in files]
    else:  # a record that was never resolved: files may have been put here by hand
        there = [bool(_matching(place, file.patterns)) for file in entry.files if file.required]
    if all(there):
        return "present"
    return "incomplete" if any(there) or (place.is_dir() and any(place.iterdir())) else "missing"


def verify(entry, data_dir=None):
    """Read every file and compare with what is expected.

    Returns
    -------
    list of Finding
        One a file. ``unpinned`` is a file of your own, or one of a DOI record that was put in place by hand and
        never compared with the record; fetching the entry compares it.
    """
    place = folder(entry, data_dir)
    if place is None:
        state = "ok" if _in_hub_cache(entry.hub) else "missing"
        return [Finding(entry.hub, state, "", "in the hub's cache; timm checks it")]
    if entry.kind == "simulated":
        done = done_file(entry.world)
        state = "ok" if (place / done).is_file() else "missing"
        return [Finding(done, state, "", "the file that a simulation writes last")]
    if entry.kind == "local":
        own = _matching(place, ["*"]) or [entry.folder]
        state = "unpinned" if place.is_dir() else "missing"
        return [Finding(name, state, "a file of your own", "no sum to compare with") for name in own]
    if files := files_of(entry, data_dir):
        return [check_file(inside(place, file.target, entry.name), file) for file in files]
    findings = []
    for file in entry.files:
        found = _matching(place, file.patterns)
        findings += [Finding(name, "unpinned", "a file never compared", "the record's sum") for name in found]
        if file.required and not found:
            findings.append(Finding(" or ".join(file.patterns), "missing", "", file.role))
    return findings


def require(entry, data_dir=None):
    """Folder of an entry whose files are there.

    Raises
    ------
    DataError
        They are not; the error gives the command that gets them.
    """
    place, state = folder(entry, data_dir), status(entry, data_dir)
    if state == "present":
        return place
    if entry.kind == "local":
        raise DataError(f"data set '{entry.name}'", f"nothing in {place}", "your recordings there",
                        f"put them there, or name the folder above it by --data-dir or {DATA_VARIABLE}")
    verb = "simulate" if entry.kind == "simulated" else "fetch"
    remedy = f"run `calcium-decoding data {verb} {entry.name}`"
    if verb == "fetch" and place is not None:
        remedy += f", or name the folder that has them by --data-dir or the variable {DATA_VARIABLE}"
    found = f"its files {state} in {place or 'the cache of the hub'}"
    raise DataError(f"data set '{entry.name}'", found, "all of its files", remedy)


def matches(name, patterns):
    """True if a file's relative path or its last part fits one of the shell-style ``patterns``."""
    parts = (name, PurePosixPath(name).name)
    return any(fnmatchcase(part, pattern) for part in parts for pattern in patterns)


def _chosen_dir(option):  # beside data_dir, whose name other functions use for their argument
    chosen = option or os.environ.get(DATA_VARIABLE)
    return Path(chosen).expanduser() if chosen else project_root() / "data"


def _simulator_digest(world):
    if world in _OTHER_SIMULATORS:
        return code_digest(f"simulation/{world}")
    return code_digest("simulation/widefield", "data/published")


def _matching(place, patterns):
    names = sorted(path.relative_to(place).as_posix() for path in place.rglob("*")) if place.is_dir() else []
    return [name for name in names if matches(name, patterns)]


def _in_hub_cache(hub):
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError:
        return False
    snapshots = Path(HF_HUB_CACHE) / f"models--timm--{hub}" / "snapshots"
    return any(snapshots.glob("*/*.safetensors")) or any(snapshots.glob("*/pytorch_model.bin"))
