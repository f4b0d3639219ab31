"""Types of the entries in ``data_manifest.yaml`` and readable errors for what does not fit them."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from calcium_decoding.errors import DataError


def check_relative(path):
    """Return ``path`` if it is a plain relative path with forward slashes.

    Raises
    ------
    ValueError
        Absolute, with ``..``, a drive or a backslash, empty, or with characters that do not print.
    """
    parts = path.split("/")
    if (not path.isprintable() or "\\" in path or re.match(r"[A-Za-z]:", path)
            or any(part in ("", ".", "..") for part in parts)):
        raise ValueError("a relative path with forward slashes that stays inside the data directory")
    return path


def _like(pattern, says):
    """A text type whose error says in words what the pattern asks for."""
    def check(text):
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(says)
        return text
    return Annotated[str, AfterValidator(check)]


Relative = Annotated[str, AfterValidator(check_relative)]
Sha256 = _like("[0-9a-f]{64}", "64 hexadecimal digits in small letters")
Commit = _like("[0-9a-f]{40}", "40 hexadecimal digits in small letters")
Checksum = _like("(md5:[0-9a-f]{32})|(sha256:[0-9a-f]{64})", "md5: or sha256: and the digest")
Doi = _like(r"10\.\d{4,9}/\S+", "a DOI, which starts with 10.")
ZenodoDoi = _like(r"10\.5281/zenodo\.\d+", "a DOI of the form 10.5281/zenodo.NUMBER")
Repository = _like(r"[\w-]+/[\w.-]*\w", "owner/name of a public repository")
Package = _like(r"[A-Za-z0-9]([\w.-]*\w)?", "the name of a Python package")
Version = _like(r"\d[\w.+!]*", "a version number in quotation marks")
EntryName = _like("[a-z0-9][a-z0-9.-]*", "a name of small letters, digits, . and -")
Regime = Literal["animal_pairs", "blocked", "last_part", "leave_one_session_out"]


class Strict(BaseModel):
    """A model without room for misspelt fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RecordFile(Strict):
    """Files that a DOI record should hold: any name that matches one of ``patterns`` (shell style)."""

    patterns: Annotated[list[str], Field(min_length=1)]
    format: str
    role: str
    required: bool = True


class RepositoryFile(Strict):
    """One file of a repository: ``path`` there, ``target`` under the entry's folder."""

    path: Relative
    target: Relative
    bytes: PositiveInt
    sha256: Sha256


class PinnedFile(Strict):
    """One file of a DOI record as the lock file remembers it."""

    target: Relative
    bytes: NonNegativeInt
    checksum: Checksum


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
    _name: str = PrivateAttr(default="")
    _root: Path = PrivateAttr(default=Path())

    @property
    def name(self):
        """Name of the entry in the manifest."""
        return self._name

    @property
    def root(self):
        """Folder of the manifest; the lock file and ``_build`` lie there."""
        return self._root


class DoiEntry(_Entry):
    """A Zenodo record; checksums come from the record and are pinned in the lock file."""

    kind: Literal["doi"]
    doi: ZenodoDoi
    folder: Relative
    rate_hz: PositiveFloat
    regime: Regime
    files: Annotated[list[RecordFile], Field(min_length=1)]


class RepositoryEntry(_Entry):
    """Files of a public GitHub repository at one commit."""

    kind: Literal["repository"]
    repository: Repository
    commit: Commit
    folder: Relative
    rate_hz: PositiveFloat
    regime: Regime
    files: Annotated[list[RepositoryFile], Field(min_length=1)]

    @model_validator(mode="after")
    def _targets_differ(self):
        targets = [file.target.casefold() for file in self.files]
        twice = sorted({target for target in targets if targets.count(target) > 1})
        if twice:
            raise ValueError(f"one file a target ({', '.join(twice)} is named twice)")
        return self


class SimulatedEntry(_Entry):
    """A set computed from a seed; see :mod:`calcium_decoding.simulation.widefield` and
    :mod:`calcium_decoding.footsteps`."""

    kind: Literal["simulated"]
    world: str
    seed: NonNegativeInt
    sessions_per_animal: NonNegativeInt  # 0: as in the study
    frames_per_session: PositiveInt
    settings: dict[str, Any] = {}
    rate_hz: PositiveFloat
    regime: Regime


class LocalEntry(_Entry):
    """Recordings of your own, in a folder of the data directory; nothing is fetched and nothing is pinned."""

    kind: Literal["local"]
    licence: str = "own recordings"
    role: str = "own recordings"
    folder: Relative
    regime: Regime
    options: dict[str, Any] = {}  # of the reader, such as {contralateral: left}


class WeightsEntry(_Entry):
    """Pretrained weights: one member of a published Python package, or a name on the hub that timm reads."""

    kind: Literal["weights"]
    hub: str | None = None
    package: Package | None = None
    version: Version | None = None
    member: str | None = None
    target: Relative | None = None
    bytes: PositiveInt | None = None
    sha256: Sha256 | None = None
    folder: Relative | None = None

    @model_validator(mode="after")
    def _one_source(self):
        names = ("package", "version", "member", "target", "bytes", "sha256", "folder")
        given = [name for name in names if getattr(self, name) is not None]
        if given != ([] if self.hub else list(names)):
            raise ValueError(f"either hub alone, or all of {', '.join(names)}")
        return self


Entry = Annotated[
    DoiEntry | RepositoryEntry | SimulatedEntry | LocalEntry | WeightsEntry, Field(discriminator="kind")
]


class OneKeyLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # the one in C where there is one: far quicker
    """YAML reader that refuses a mapping with the same key twice."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:  # YAML would keep the last and lose the others without a word
                said = f"'{key}' is there twice"
                raise yaml.constructor.ConstructorError(None, None, said, node.start_mark)
        return super().construct_mapping(node, deep)


def validated(model, content, where):
    """Make ``model`` from ``content``; what is wrong becomes a readable error.

    Raises
    ------
    DataError
        Names the file ``where``, the entry, the field, what it holds and what it should hold.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        first, more = problems[0], len(problems) - 1
        loc = list(first["loc"])
        place = [str(where)]
        if loc[:1] == ["entries"] and len(loc) > 1:
            place.append(f"entry '{loc[1]}'")
            loc = loc[3:]  # the third is the kind
        if loc:
            place.append("field " + ".".join(map(str, loc)))
        raise DataError(", ".join(place), _found(first) + (f" (and {more} more problems)" if more else ""),
                        _expected(first), "mend this field") from error


def _found(problem):
    if problem["type"] == "missing":
        return "no such field"
    if problem["type"] == "extra_forbidden":
        return f"a field that is not known, with value {problem['input']!r:.80}"
    if problem["type"] == "union_tag_invalid":
        return f"kind '{problem['ctx']['tag']}'"
    return f"{problem['input']!r:.80}"


def _expected(problem):
    kind, context = problem["type"], problem.get("ctx", {})
    texts = {
        "extra_forbidden": "only known fields; is the name misspelt?",
        "missing": "this field to be given",
        "union_tag_invalid": f"kind to be one of {context.get('expected_tags')}",
        "union_tag_not_found": "a field kind: doi, repository, simulated, local or weights",
    }
    return texts.get(kind, problem["msg"].removeprefix("Value error, "))
