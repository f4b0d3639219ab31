"""Files that are written whole or not at all, and hashes of what is in them."""

import ast
import contextlib
import errno
import hashlib
import json
import math
import os
import uuid
import zlib
from pathlib import Path

import filelock
import numpy as np

from calcium_decoding.errors import WriteError

# h5py and numpy report a full disk with errno set but with their own class of OSError.
_WRITE_FAILURES = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST,
    errno.EFBIG, errno.EIO,
}


@contextlib.contextmanager
def whole_file(path):
    """Yield a temporary path beside ``path``, of the same ending; on success rename it into place, else delete it.

    The folder is made if needed. Raises WriteError: the folder cannot be written or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush(temporary)  # a power cut would else leave a file of zeros under the final name
        os.replace(temporary, path)
        _flush(path.parent)
    except OSError as error:
        if isinstance(error, WriteError) or error.errno not in _WRITE_FAILURES:
            raise
        raise WriteError(path, f"the file could not be written ({error.strerror or error})",
                         "a folder that can be written, on a disk with room",
                         "free disk space, mend the folder's permissions, or name another folder") from error
    finally:
        with contextlib.suppress(OSError):  # not there, or where no file can be
            temporary.unlink()


def _flush(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot
            raise
    finally:
        os.close(descriptor)


def write_text(path, text):
    """Write ``text`` to ``path`` as UTF-8, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path, content):
    """Write ``content`` as JSON, whole or not at all; ValueError if a value is NaN or infinite."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def write_npy(path, chunks, shape, dtype):
    """Write ``chunks``, an iterable of arrays that the first axis joins to ``shape``, as one little-endian ``.npy``
    file, whole or not at all. A checksum follows the values; :func:`is_intact` reads it, numpy passes over it."""
    kind, total = np.dtype(dtype).newbyteorder("<"), 0
    header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": tuple(map(int, shape))}
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        # Plain writes: a full disk is then an error, where writing to a memory map would kill the process.
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in chunks:
            values = np.ascontiguousarray(chunk, kind).reshape(-1).view(np.uint8)
            total = zlib.crc32(values, total)
            file.write(values.data)
        file.write(b"%08x" % total)


def is_intact(path):
    """Whether a file holds what :func:`write_npy` wrote: its length, and its checksum; all of it is read."""
    total, step = 0, 1 << 24
    try:
        with open(path, "rb") as file:
            np.lib.format.read_magic(file)
            shape, _, kind = np.lib.format.read_array_header_1_0(file)
            left = math.prod(shape) * kind.itemsize
            while left and (part := file.read(min(left, step))):
                total, left = zlib.crc32(part, total), left - len(part)
            return not left and file.read() == b"%08x" % total
    except (OSError, ValueError, EOFError):
        return False


def file_digest(path, algorithm="sha256"):
    """Hexadecimal digest of a file's bytes by an algorithm that :func:`hashlib.new` knows."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def source_digest(path):
    """Short hash (16 hexadecimal digits) of what a Python file does: without comments, docstrings and layout."""
    return hash_content(plain_syntax(ast.parse(Path(path).read_text(encoding="utf-8"))))


def plain_syntax(tree):
    """A syntax tree as lists that JSON can hold, without docstrings; these are taken out of the tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) \
                and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return _plain(tree)


def _plain(node):
    """A syntax tree as lists; empty fields are left out, of which each version of Python has others."""
    if isinstance(node, ast.AST):
        return [type(node).__name__, [[name, _plain(value)] for name, value in ast.iter_fields(node)
                                      if value is not None and value != []]]
    return [_plain(item) for item in node] if isinstance(node, list) else repr(node)


def hash_content(content):
    """Short stable hash (16 hexadecimal digits) of anything JSON can hold; key order does not matter."""
    text = json.dumps(content, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hash_bytes(array):
    """Short hash of an array's content, with its shape and type."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()[:16] + f"{array.shape}{array.dtype}"


@contextlib.contextmanager
def alone(path):
    """One process at a time; the lock at ``path`` ends with the process. Yields False where the file system has no
    locks: work is then done twice at worst. Raises WriteError: the folder cannot be written."""
    lock = filelock.FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except NotImplementedError:
        yield False
        return
    except OSError as error:
        raise WriteError(path.parent, f"a folder that cannot be written ({error.strerror})",
                         "a folder for files that runs share",
                         "mend its permissions, or name another folder") from error
    try:
        yield True
    finally:
        lock.release()
