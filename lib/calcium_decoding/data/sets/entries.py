"""The entries of a manifest: what is said of a data set, of weights, and of recordings of your own."""

import re
from fnmatch import fnmatchcase
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, BaseModel, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from calcium_decoding.errors import DataError


def check_relative(path):
    """Return ``path`` if it is a plain relative path with forward slashes; ValueError if not."""
    if not path.isprintable() or "\\" in path or re.match(r"[A-Za-z]:", path) or {"", ".", ".."} & {*path.split("/")}:
        raise ValueError("a relative path with forward slashes that stays inside the data directory")
    return path


def like(pattern, says):
    """A text type whose error says in words what the pattern asks for."""
    def check(text):
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(says)
        return text
    return Annotated[str, AfterValidator(check)]


def _check_place(path, info):
    """A path of an entry: in a lab's own manifest any, else one that stays inside the data directory."""
    return path if (info.context or {}).get("lab") else check_relative(path)


def _check_pattern(path, info):
    """A path with {animal}, {session} or {part} in it."""
    if unknown := {field for _, field, _, _ in Formatter().parse(path)} - {None, "animal", "session", "part"}:
        raise ValueError(f"a path with {{animal}}, {{session}} or {{part}} and not {{{'}, {'.join(sorted(unknown))}}}")
    return _check_place(path, info)


Relative = Annotated[str, AfterValidator(check_relative)]
Place = Annotated[str, AfterValidator(_check_place)]
Pattern = Annotated[str, AfterValidator(_check_pattern)]
Sha256 = like("[0-9a-f]{64}", "64 hexadecimal digits in small letters")
DandiRecord = like(r"dandi:\d{6}@\S+", "dandi:NUMBER@VERSION")
Doi = like(r"10\.\d{4,9}/\S+", "a DOI, which starts with 10.")
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
    checksum: like("(md5:[0-9a-f]{32})|(sha256:[0-9a-f]{64})", "md5: or sha256: and the digest")
    archive: str = ""


class FileList(pydantic.RootModel[list[PinnedFile]]):
    """What a simulation wrote."""


class Lock(pydantic.RootModel[dict[Doi | DandiRecord, list[PinnedFile]]]):
    """The lock file: what DOI records and sets of DANDI hold."""


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
    _name: str = ""  # these are set by load_manifest
    _root: Path = Path()
    _is_lab: bool = False
    name = property(lambda self: self._name, doc="Name of the entry in the manifest.")
    root = property(lambda self: self._root, doc="Folder of the manifest; the lock file and ``_build`` lie there.")
    is_lab = property(lambda self: self._is_lab, doc="It stands in a lab's own manifest, not in the project's.")


class _Recordings(_Entry):
    rate_hz: PositiveFloat
    regime: Regime


class DoiEntry(_Recordings):
    """A Zenodo record; checksums come from the record and are pinned in the lock file."""

    kind: Literal["doi"]
    doi: like(r"10\.5281/zenodo\.\d+", "a DOI of the form 10.5281/zenodo.NUMBER")
    folder: Relative
    files: Annotated[list[RecordFile], Field(min_length=1)]
    record = property(lambda self: self.doi, doc="Its name in the lock file.")


class DandiEntry(_Entry):
    """A set of the DANDI archive: the assets whose path fits one of ``paths`` (shell style) and has all words of
    ``containing`` in it. Sizes and checksums come from the archive and are pinned in the lock file."""

    kind: Literal["dandi"]
    dandiset: like(r"\d{6}", "six digits in quotation marks")
    version: like(r"latest|draft|\d+\.\d{6}\.\d{4}", "latest, draft, or a version such as 0.230402.1234")
    paths: Annotated[list[str], Field(min_length=1)] = ["*.nwb"]
    containing: list[str] = []
    folder: Relative
    regime: Regime
    options: dict[str, Any] = {}  # of the reader
    api: str = "https://api.dandiarchive.org/api"
    record = property(lambda self: f"dandi:{self.dandiset}@{self.version}", doc="Its name in the lock file.")

    def chooses(self, path, patterns=None):
        """True if the entry chooses the asset of this path, and it fits one of ``patterns``, if there are any."""
        return (any(fnmatchcase(path, one) for one in self.paths) and all(word in path for word in self.containing)
                and (patterns is None or any(fnmatchcase(path, one) for one in patterns)))


class RepositoryEntry(_Recordings):
    """Files of a public GitHub repository at one commit."""

    kind: Literal["repository"]
    repository: like(r"[\w-]+/[\w.-]*\w", "owner/name of a public repository")
    commit: like("[0-9a-f]{40}", "40 hexadecimal digits in small letters")
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
    options: dict[str, Any] = {}  # of the reader


class BehaviourFile(Strict):
    """Behaviour of each recording, on a clock of its own: see :func:`read_behaviour` and :func:`with_behaviour`."""

    file: Pattern
    options: dict[str, Any] = {}  # of read_behaviour, such as {time: t_ms, columns: [speed_cm_s]}
    how: str | dict[str, str] | None = None
    exposure_s: PositiveFloat | None = None
    longest_gap_s: PositiveFloat | None = None
    offset_s: float = 0.0


class ClockRule(Strict):
    """A file with the time of each frame of a recording, and what to do where their numbers differ: see
    :func:`with_times`. ``pulses``: of the same frames on the clock of behaviour; see :func:`match_pulses`."""

    file: Pattern
    options: dict[str, Any] = {}  # of read_behaviour
    pulses: Pattern | None = None  # read with the same options
    first_pulse: NonNegativeInt | None = None  # number of the first frame's, if it is not found
    rule: Literal["cut_end", "cut_start"] | None = None
    drop_frames: list[NonNegativeInt] = []
    offset_s: float = 0.0


class LabelRule(Strict):
    """A label of 0 and 1 from a behaviour: see :func:`bouts`. ``speed_s``: the behaviour is a position (``from``, or
    ``from_x`` and ``from_y``), and the label one of its speed over so many seconds, in its unit a second."""

    source: str = Field(alias="from")
    speed_s: PositiveFloat | None = None
    above: float
    below: float | None = None  # as above, if left out
    shortest_s: NonNegativeFloat = 0.0
    shortest_pause_s: NonNegativeFloat = 0.0


class LocalEntry(_Entry):
    """Recordings of your own: a file, or a folder; nothing is fetched and nothing is pinned. Paths are relative to the
    data directory, in a lab's own manifest to the folder of that file."""

    kind: Literal["local"]
    licence: str = "own recordings"
    role: str = "own recordings"
    folder: Place
    regime: Regime
    options: dict[str, Any] = {}  # of the reader, such as {contralateral: left}
    clock: ClockRule | None = None
    behaviour: list[BehaviourFile] = []
    label: dict[str, LabelRule] = {}  # by the name of the behaviour that it makes

    def files_beside(self):
        """Patterns of the files beside the recordings: their behaviour, their clocks."""
        clock = [self.clock.file, self.clock.pulses] if self.clock else []
        return [*(one.file for one in self.behaviour), *filter(None, clock)]


class WeightsEntry(_Entry, _ListedFile):
    """Pretrained weights: one file of a published Python package."""

    kind: Literal["weights"]
    package: like(r"[A-Za-z0-9]([\w.-]*\w)?", "the name of a Python package")
    version: like(r"\d[\w.+!]*", "a version number in quotation marks")
    member: Relative
    folder: Relative
    files = property(lambda self: [self], doc="The one file of the entry.")


class HubEntry(_Entry):
    """Pretrained weights by the name under which timm loads them from the hub, into the hub's own cache."""

    kind: Literal["hub"]
    hub: str


Entry = Annotated[DoiEntry | DandiEntry | RepositoryEntry | SimulatedEntry | LocalEntry | WeightsEntry | HubEntry,
                  Field(discriminator="kind")]


def validated(model, content, where, remedy="mend this field", is_lab=False):
    """Make ``model`` from ``content`` (bytes: JSON); DataError names entry and field, what it holds and should hold."""
    try:
        make = model.model_validate_json if isinstance(content, bytes) else model.model_validate
        return make(content, context={"lab": is_lab})
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
            "union_tag_not_found": (given, "a field kind: doi, dandi, repository, simulated, local, weights or hub"),
        }.get(kind, (given, problem["msg"].removeprefix("Value error, ")))
        raise DataError(", ".join(place), found + (f" (and {len(others)} more problems)" if others else ""), expected,
                        remedy) from error
