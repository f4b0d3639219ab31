"""Are the files of the catalogue here, and are they what they should be: sizes, digests, members of archives."""

import json
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from calcium_decoding.data.catalog import (
    DATA_VARIABLE,
    DONE_FILE,
    DONE_FILES,
    LOCK_NAME,
    PinnedFile,
    check_relative,
    folder,
    inside,
    validated,
)
from calcium_decoding.errors import DataError
from calcium_decoding.utils.files import file_digest

TARS = (".tar.gz", ".tgz", ".tar")
ARCHIVES = (".zip", *TARS)


@dataclass(frozen=True)
class ExpectedFile:
    """A file that should lie at ``target`` under a folder; ``checksum`` is sha256:, md5: or crc32: and the digest.

    A member of a tar archive has none of its own: ``checksum`` is then empty and its size is compared.
    """

    target: str
    bytes: int
    checksum: str

    def has_size(self, path):
        """True if ``path`` is a file of the right length; its bytes are not read."""
        return path.is_file() and path.stat().st_size == self.bytes


@dataclass(frozen=True)
class Finding:
    """What was seen of one file. ``state`` is ok, missing, checksum mismatch or unpinned."""

    file: str
    state: str
    found: str
    expected: str


def check_file(path, file):
    """Compare the file at ``path`` with its :class:`ExpectedFile` and return a :class:`Finding`."""
    promise = file.checksum or f"{file.bytes} bytes"
    if not path.is_file():
        return Finding(file.target, "missing", "nothing", promise)
    if not file.has_size(path):  # saves reading a long file
        return Finding(file.target, "checksum mismatch", f"{path.stat().st_size} bytes",
                       ", ".join(dict.fromkeys([f"{file.bytes} bytes", promise])))
    found = checksum(path, file.checksum.partition(":")[0]) if file.checksum else promise
    return Finding(file.target, "ok" if found == promise else "checksum mismatch", found, promise)


def checksum(path, algorithm):
    """Name of an algorithm, a colon and the digest of a file; knows crc32, that of zip archives, besides hashlib's."""
    if algorithm != "crc32":
        return f"{algorithm}:{file_digest(path, algorithm)}"
    value = 0
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            value = zlib.crc32(piece, value)
    return f"crc32:{value:08x}"


def members(archive):
    """What a zip or tar archive unpacks to, without the litter that operating systems leave; empty if it is missing.

    Returns a list of ExpectedFile: targets are relative to the folder of the archive. Raises DataError: the archive is
    broken, or a member is a link or its path leaves the folder.
    """
    if not Path(archive).is_file():
        return []
    with opened_archive(archive) as opened:
        if isinstance(opened, zipfile.ZipFile):
            found = [ExpectedFile(i.filename, i.file_size, f"crc32:{i.CRC:08x}") for i in opened.infolist()
                     if not i.is_dir()]
        else:
            found = [ExpectedFile(i.name.removeprefix("./"), i.size, "") for i in opened if not i.isdir()]
            if any(not i.isfile() for i in opened.getmembers() if not i.isdir()):
                raise ValueError("a member that is a link or no file")
        found = [file for file in found if not _is_litter(file.target)]
        for file in found:
            check_relative(file.target)
        return found


@contextmanager
def opened_archive(archive):
    """A zip or tar archive, open for reading; what goes wrong with it is a DataError that says what to do."""
    try:
        with tarfile.open(archive) if str(archive).endswith(TARS) else zipfile.ZipFile(archive) as opened:
            yield opened
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, ValueError, RuntimeError,
            OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise DataError(archive, f"an archive that cannot be unpacked ({error})",
                        "a whole archive, not encrypted, whose members stay in its folder",
                        "delete it and fetch it again; if that does not help, tell those who published it") from error


def _is_litter(name):
    base = PurePosixPath(name).name
    return name.startswith("__MACOSX/") or base.startswith("._") or base == ".DS_Store"


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

    Members of an archive that a DOI record delivered count once the archive is there.
    """
    if entry.kind == "repository":
        return [ExpectedFile(file.target, file.bytes, f"sha256:{file.sha256}") for file in entry.files]
    if entry.kind == "weights" and entry.hub is None:
        return [ExpectedFile(entry.target, entry.bytes, f"sha256:{entry.sha256}")]
    files = []
    for file in pins(entry) if entry.kind == "doi" else ():
        files.append(ExpectedFile(file.target, file.bytes, file.checksum))
        files += members(folder(entry, data_dir) / file.target) if file.target.endswith(ARCHIVES) else []
    return files


def status(entry, data_dir=None):
    """``present``, ``incomplete`` or ``missing``, by names and sizes; :func:`verify` reads the bytes."""
    place = folder(entry, data_dir)
    if place is None:
        return "present" if _in_hub_cache(entry.hub) else "missing"
    if entry.kind == "simulated":
        there = [(place / DONE_FILES.get(entry.world, DONE_FILE)).is_file()]
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

    Returns a list of Finding: one a file. ``unpinned`` is a file of your own, or one of a DOI record that was put in
    place by hand and never compared with the record; fetching the entry compares it.
    """
    place = folder(entry, data_dir)
    if place is None or entry.kind == "simulated":
        name = entry.hub if place is None else DONE_FILES.get(entry.world, DONE_FILE)
        there = _in_hub_cache(name) if place is None else (place / name).is_file()
        says = "in the hub's cache; timm checks it" if place is None else "the file that a simulation writes last"
        return [Finding(name, "ok" if there else "missing", "", says)]
    if entry.kind == "local":
        state = "unpinned" if place.is_dir() else "missing"
        return [Finding(name, state, "a file of your own", "no sum to compare with")
                for name in _matching(place, ["*"]) or [entry.folder]]
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
    """Folder of an entry whose files are there; if not, DataError gives the command that gets them."""
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
    raise DataError(f"data set '{entry.name}'", f"its files {state} in {place or 'the cache of the hub'}",
                    "all of its files", remedy)


def table(manifest, data_dir=None):
    """One dict an entry of a manifest: name, kind, role, licence, bytes (None if not known beforehand) and status."""
    return [{"name": name, "kind": entry.kind, "role": entry.role, "licence": entry.licence,
             "bytes": sum(file.bytes for file in files_of(entry, data_dir)) or None,
             "status": status(entry, data_dir)} for name, entry in manifest.entries.items()]


def matches(name, patterns):
    """True if a file's relative path or its last part fits one of the shell-style ``patterns``."""
    return any(fnmatchcase(part, pattern) for part in (name, PurePosixPath(name).name) for pattern in patterns)


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
