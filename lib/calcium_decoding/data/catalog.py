"""What data exist, what their files should be and where they lie: the typed form of manifest and lock file."""

import difflib
import os
from pathlib import Path
from string import Formatter

import yaml

from calcium_decoding.data.sets.entries import Entry, Lock, Strict, check_relative, like, validated
from calcium_decoding.errors import DataError
from calcium_decoding.utils.code import code_digest
from calcium_decoding.utils.files import hash_content

MANIFEST_NAME = "data_manifest.yaml"
LOCK_NAME = "data_manifest.lock.json"
DATA_VARIABLE = "CALCIUM_DECODING_DATA"
LAB_VARIABLE = "CALCIUM_DECODING_MANIFEST"
FOLDS_VARIABLE = "CALCIUM_DECODING_FOLDS"
OWN_ROOMS = ("footsteps", "braidyn")  # worlds with a simulator each; all others are of one


def inside(base, relative, where):
    """Path of ``relative`` under ``base``; DataError if it leads out, after following symbolic links."""
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


# The manifest


class Manifest(Strict):
    """All entries of a manifest, by name."""

    entries: dict[like("[a-z0-9][a-z0-9.-]*", "a name of small letters, digits, . and -"), Entry]

    def entry(self, name):
        """The entry called ``name``; DataError with the names there are if there is none."""
        if name in self.entries:
            return self.entries[name]
        close = difflib.get_close_matches(str(name), self.entries, n=1, cutoff=0.0)
        raise DataError(MANIFEST_NAME, f"no entry called '{name}'", f"one of {', '.join(self.entries)}",
                        f"did you mean '{close[0]}'?" if close else "add entries to the manifest")


class _OneKeyLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # the one in C where there is one: far quicker
    """YAML reader that refuses a mapping with the same key twice."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:  # YAML would keep the last and lose the others without a word
            raise yaml.constructor.ConstructorError(None, None, f"'{twice}' is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def load_manifest(path=None):
    """Read and check a manifest; without ``path`` the one of this project, and that of the lab if the environment
    variable ``CALCIUM_DECODING_MANIFEST`` names one. DataError: no file, no YAML, a field that is missing, unknown or
    wrong, a path that leaves the data directory, a name that both have."""
    if path is not None:
        return read_manifest(Path(path))
    own = project_root() / MANIFEST_NAME
    known, lab = read_manifest(own), lab_manifest()
    if lab is None:
        return known
    labs = read_manifest(lab, is_lab=True)
    if both := sorted({*known.entries} & {*labs.entries}):
        raise DataError(f"data set '{both[0]}'", f"entries of this name in {own} and in {lab}", "one entry a name",
                        f"give that in {lab} another name")
    return known.model_copy(update={"entries": known.entries | labs.entries})


def lab_manifest():
    """Path of the lab's own manifest, as ``CALCIUM_DECODING_MANIFEST`` (``--manifest``) names it; None if not named."""
    said = os.environ.get(LAB_VARIABLE)
    return Path(said).expanduser().resolve() if said else None


def read_manifest(path, is_lab=False):
    """One manifest, the project's or a lab's, by itself; DataError as of :func:`load_manifest`."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _OneKeyLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        found = " ".join(str(error).split())  # YAML's messages have several lines
        remedy = "mend the file"
        if is_lab and not path.exists():
            remedy = f"mend --manifest or {LAB_VARIABLE}; `calcium-decoding data add` makes the file"
        raise DataError(path, found, "a readable YAML file", remedy) from error
    manifest = validated(Manifest, content, path, is_lab=is_lab)
    for name, entry in manifest.entries.items():
        entry._name, entry._root, entry._is_lab = name, path.resolve().parent, is_lab
    return manifest


def read_lock(root):
    """Files of DOI records and DANDI sets as first fetched, by record: what the lock file in ``root`` says."""
    path = root / LOCK_NAME
    return validated(Lock, path.read_bytes(), path, "delete the file and fetch again").root if path.is_file() else {}


# Where they lie


def project_root():
    """Nearest folder at or above the working directory, or else above this file, that holds the manifest."""
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


def data_dir(option=None):
    """The data directory: ``option`` (``--data-dir``), else the environment variable, else ``data`` in the project."""
    chosen = option or os.environ.get(DATA_VARIABLE)
    return Path(chosen).expanduser() if chosen else project_root() / "data"


def folder(entry, option=None):
    """Folder of an entry's files in the data directory (``option``: as of :func:`data_dir`); None for weights that the
    hub's own cache keeps. DataError: it is a link that leads out of the data directory.

    Simulated sets lie in the project's ``_build``, under a name that changes with their settings and the simulator.
    """
    if entry.kind == "simulated":
        words = {"title", "citation", "licence", "role", "caution", "regime", "compare_with_study"}
        key = hash_content([entry.model_dump(exclude=words), code_digest(*simulator_rooms(entry.world))])
        return entry.root / "_build" / "simulated" / f"{entry.name}-{key}"
    if entry.kind == "hub":
        return None
    return place_of(entry, entry.folder, option)


def place_of(entry, path, option=None):
    """Where a path of an entry leads: below the data directory; of own recordings in a lab's manifest, from there."""
    if entry.kind == "local" and entry.is_lab:
        return entry.root / Path(path).expanduser()
    return inside(data_dir(option), path, f"{MANIFEST_NAME}, entry '{entry.name}', field folder")


def local_files(entry, option=None):
    """All files of an entry of own recordings that are there: its recordings, their behaviour and clocks, sorted."""
    found = {*_files(folder(entry, option))}
    for pattern in entry.files_beside():
        wild = "".join(text + ("*" if field else "") for text, field, _, _ in Formatter().parse(pattern))
        place = place_of(entry, wild, option)
        found |= {path for path in Path(place.anchor).glob(str(place.relative_to(place.anchor))) if path.is_file()} \
            if "*" in wild else {*_files(place)}
    return sorted(found)


def _files(place):
    return [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]


def simulator_rooms(world):
    """Where the code is that simulates a world, for :func:`calcium_decoding.utils.code.code_digest`."""
    own = [f"simulation/{world}"] if world in OWN_ROOMS else ["simulation/widefield", "data/published"]
    return *own, "simulation/signals.py"
