"""Whether a file is the one it should be: sizes, digests and the members of zip archives."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from calcium_decoding.data.manifest_schema import check_relative
from calcium_decoding.errors import DataError
from calcium_decoding.utils.files import file_digest


def digest(path, algorithm):
    """Hexadecimal digest of a file; knows crc32, the checksum inside zip archives, besides hashlib's."""
    if algorithm != "crc32":
        return file_digest(path, algorithm)
    value = 0
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            value = zlib.crc32(piece, value)
    return f"{value:08x}"


@dataclass(frozen=True)
class ExpectedFile:
    """A file that should lie at ``target`` under a folder. ``algorithm`` is sha256, md5 or crc32."""

    target: str
    bytes: int
    algorithm: str
    digest: str

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


def check_file(path, expected):
    """Compare the file at ``path`` with its :class:`ExpectedFile` and return a :class:`Finding`."""
    promise = f"{expected.algorithm}:{expected.digest}"
    if not path.is_file():
        return Finding(expected.target, "missing", "nothing", promise)
    size = path.stat().st_size
    if size != expected.bytes:  # saves reading a long file
        promise = f"{expected.bytes} bytes, {promise}"
        return Finding(expected.target, "checksum mismatch", f"{size} bytes", promise)
    found = f"{expected.algorithm}:{digest(path, expected.algorithm)}"
    return Finding(expected.target, "ok" if found == promise else "checksum mismatch", found, promise)


def members(archive):
    """What a zip archive unpacks to, without the litter that operating systems leave; empty if it is missing.

    Returns
    -------
    list of ExpectedFile
        Targets are relative to the folder of the archive.

    Raises
    ------
    DataError
        The archive is broken or a member's path leaves the folder.
    """
    if not Path(archive).is_file():
        return []
    try:
        with zipfile.ZipFile(archive) as opened:
            files = [i for i in opened.infolist() if not i.is_dir() and not _is_litter(i.filename)]
        return [ExpectedFile(check_relative(i.filename), i.file_size, "crc32", f"{i.CRC:08x}") for i in files]
    except (zipfile.BadZipFile, ValueError) as error:
        raise DataError(
            archive,
            found=f"an archive that cannot be unpacked ({error})",
            expected="a whole zip archive whose members stay in its folder",
            remedy="delete it and fetch it again; if that does not help, tell those who published it",
        ) from error


def _is_litter(name):
    base = PurePosixPath(name).name
    return name.startswith("__MACOSX/") or base.startswith("._") or base == ".DS_Store"
