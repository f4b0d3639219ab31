"""What data exist, what their files should be and where they lie: the typed form of manifest and lock file."""

import difflib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import AfterValidator, BaseModel, Field, NonNegativeInt, PositiveFloat, PositiveInt

from calcium_decoding.errors import DataError
from calcium_decoding.utils.code import code_digest
from calcium_decoding.utils.files import hash_content

MANIFEST_NAME = "data_manifest.yaml"
LOCK_NAME = "data_manifest.lock.json"
DATA_VARIABLE = "CALCIUM_DECODING_DATA"
FOLDS_VARIABLE = "CALCIUM_DECODING_FOLDS"
# By world, the file that its simulator writes last: it marks a set as complete. All but one are of one simulator.
DONE_FILES = {"footsteps": "truth.json"}
DONE_FILE = "data_64_5mice.csv"


def check_relative(path):
    """Return ``path`` if it is a plain relative path with forward slashes; ValueError if not."""
    if not path.isprintable() or "\\" in path or re.match(r"[A-Za-z]:", path) or {"", ".", ".."} & {*path.split("/")}:
        raise ValueError("a relative path with forward slashes that stays inside the data directory")
    return path


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


# The entries of a manifest


def _like(pattern, says):
    """A text type whose error says in words what the pattern asks for."""
    def check(text):
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(says)
        return text
    return Annotated[str, AfterValidator(check)]


Relative = Annotated[str, AfterValidator(check_relative)]
Sha256 = _like("[0-9a-f]{64}", "64 hexadecimal digits in small letters")
Doi = _like(r"10\.\d{4,9}/\S+", "a DOI, which starts with 10.")
Regime = Literal["animal_pairs", "blocked", "last_part", "leave_one_session_out"]


class Strict(BaseModel):
    """A model without room for misspelt fields."""

    model_config = {"extra": "forbid", "frozen": True, "allow_inf_nan": False}


class RecordFile(Strict):
    """Files that a DOI record should hold: any name that matches one of ``patterns`` (shell style)."""

    patterns: Annotated[list[str], Field(min_length=1)]
    format: str
    role: str
    required: bool = True


class _ListedFile(Strict):
    """A file under an entry's folder whose length and checksum the manifest gives."""

    target: Relative
    bytes: PositiveInt
    sha256: Sha256
    checksum = property(lambda self: f"sha256:{self.sha256}", doc="Algorithm and digest.")


class RepositoryFile(_ListedFile):
    """One file of a repository: ``path`` there, ``target`` under the entry's folder."""

    path: Relative


class PinnedFile(Strict):
    """A file of a DOI record, of known length and checksum; ``archive``: the one of its files that it was packed in."""

    target: Relative
    bytes: NonNegativeInt
    checksum: _like("(md5:[0-9a-f]{32})|(sha256:[0-9a-f]{64})", "md5: or sha256: and the digest")
    archive: str = ""


class Lock(pydantic.RootModel[dict[Doi, list[PinnedFile]]]):
    """The lock file: what DOI records hold, by DOI."""


class _Entry(Strict):
    title: str
    citation: Doi | None = None
    licence: str
    role: str
    format: str
    rate_hz: PositiveFloat | None = None
    regime: Regime | None = None
    compare_with_study: bool = False
    caution: str = ""
    _name: str = ""  # both are set by load_manifest
    _root: Path = Path()
    name = property(lambda self: self._name, doc="Name of the entry in the manifest.")
    root = property(lambda self: self._root, doc="Folder of the manifest; the lock file and ``_build`` lie there.")


class _Recordings(_Entry):
    rate_hz: PositiveFloat
    regime: Regime


class DoiEntry(_Recordings):
    """A Zenodo record; checksums come from the record and are pinned in the lock file."""

    kind: Literal["doi"]
    doi: _like(r"10\.5281/zenodo\.\d+", "a DOI of the form 10.5281/zenodo.NUMBER")
    folder: Relative
    files: Annotated[list[RecordFile], Field(min_length=1)]


class RepositoryEntry(_Recordings):
    """Files of a public GitHub repository at one commit."""

    kind: Literal["repository"]
    repository: _like(r"[\w-]+/[\w.-]*\w", "owner/name of a public repository")
    commit: _like("[0-9a-f]{40}", "40 hexadecimal digits in small letters")
    folder: Relative
    files: Annotated[list[RepositoryFile], Field(min_length=1)]

    @pydantic.model_validator(mode="after")
    def _targets_differ(self):
        targets = [file.target.casefold() for file in self.files]
        twice = sorted({target for target in targets if targets.count(target) > 1})
        if twice:
            raise ValueError(f"one file a target ({', '.join(twice)} is named twice)")
        return self


class SimulatedEntry(_Recordings):
    """A set computed from a seed; see :mod:`calcium_decoding.simulation`."""

    kind: Literal["simulated"]
    world: str
    seed: NonNegativeInt
    sessions_per_animal: NonNegativeInt  # 0: as in the study
    frames_per_session: PositiveInt
    settings: dict[str, Any] = {}


class LocalEntry(_Entry):
    """Recordings of your own, in a folder of the data directory; nothing is fetched and nothing is pinned."""

    kind: Literal["local"]
    licence: str = "own recordings"
    role: str = "own recordings"
    folder: Relative
    regime: Regime
    options: dict[str, Any] = {}  # of the reader, such as {contralateral: left}


class WeightsEntry(_Entry, _ListedFile):
    """Pretrained weights: one file of a published Python package."""

    kind: Literal["weights"]
    package: _like(r"[A-Za-z0-9]([\w.-]*\w)?", "the name of a Python package")
    version: _like(r"\d[\w.+!]*", "a version number in quotation marks")
    member: Relative
    folder: Relative
    files = property(lambda self: [self], doc="The one file of the entry.")


class HubEntry(_Entry):
    """Pretrained weights by the name under which timm loads them from the hub, into the hub's own cache."""

    kind: Literal["hub"]
    hub: str


Entry = Annotated[DoiEntry | RepositoryEntry | SimulatedEntry | LocalEntry | WeightsEntry | HubEntry,
                  Field(discriminator="kind")]


class Manifest(Strict):
    """All entries of a manifest, by name."""

    entries: dict[_like("[a-z0-9][a-z0-9.-]*", "a name of small letters, digits, . and -"), Entry]

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
    """Read and check a manifest; without ``path`` the one of this project. DataError: no file, no YAML, a field that is
    missing, unknown or wrong, a path that leaves the data directory."""
    path = Path(path) if path is not None else project_root() / MANIFEST_NAME
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _OneKeyLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        found = " ".join(str(error).split())  # YAML's messages have several lines
        raise DataError(path, found, "a readable YAML file", "mend the file") from error
    manifest = validated(Manifest, content, path)
    for name, entry in manifest.entries.items():
        entry._name, entry._root = name, path.resolve().parent
    return manifest


def validated(model, content, where, remedy="mend this field"):
    """Make ``model`` from ``content`` (bytes: JSON); DataError names entry and field, what it holds and should hold."""
    try:
        return (model.model_validate_json if isinstance(content, bytes) else model.model_validate)(content)
    except pydantic.ValidationError as error:
        problem, *others = error.errors(include_url=False)
        kind, given, context = problem["type"], f"{problem['input']!r:.80}", problem.get("ctx", {})
        loc, place = list(problem["loc"]), [str(where)]
        if loc[:1] == ["entries"] and len(loc) > 1:
            place.append(f"entry '{loc[1]}'")
            loc = loc[3:]  # the third is the kind
        place += ["field " + ".".join(map(str, loc))] if loc else []
        found, expected = {
            "missing": ("no such field", "this field to be given"),
            "extra_forbidden": (f"a field that is not known, with value {given}",
                                "only known fields; is the name misspelt?"),
            "union_tag_invalid": (f"kind '{context.get('tag')}'", f"kind to be one of {context.get('expected_tags')}"),
            "union_tag_not_found": (given, "a field kind: doi, repository, simulated, local, weights or hub"),
        }.get(kind, (given, problem["msg"].removeprefix("Value error, ")))
        raise DataError(", ".join(place), found + (f" (and {len(others)} more problems)" if others else ""), expected,
                        remedy) from error


def read_lock(root):
    """Files of DOI records as they were first fetched, by DOI: what the lock file in the folder ``root`` says."""
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
    return inside(data_dir(option), entry.folder, f"{MANIFEST_NAME}, entry '{entry.name}', field folder")


def simulator_rooms(world):
    """Where the code is that simulates a world, for :func:`calcium_decoding.utils.code.code_digest`."""
    own = [f"simulation/{world}"] if world in DONE_FILES else ["simulation/widefield", "data/published"]
    return *own, "simulation/signals.py"
