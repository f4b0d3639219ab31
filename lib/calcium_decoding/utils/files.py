"""Files that are written whole or not at all, and hashes of what is in them."""

import ast
import contextlib
import errno
import hashlib
import json
import os
import tempfile
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
    """Yield a temporary path beside ``path``; on success rename it into place, on any error delete it.

    ``path``: the file to make. Its folder is made if needed. An existing file is replaced only on success. Yields Path:
    write here. Same folder and ending as ``path``, so libraries that look at the ending work. Raises WriteError: the
    folder cannot be written or the disk is full. The former content of ``path`` is untouched.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files private; results are ordinary files
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if isinstance(error, WriteError) or error.errno not in _WRITE_FAILURES:
            raise
        raise WriteError(
            path,
            found=f"the file could not be written ({error.strerror or error})",
            expected="a folder that can be written, on a disk with room",
            remedy="free disk space, mend the folder's permissions, or name another folder",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path, text):
    """Write ``text`` to ``path`` as UTF-8, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path, content):
    """Write ``content`` as JSON, whole or not at all; NaN and infinity are refused.

    Raises ValueError: a value is NaN or infinite: results say why a number is missing instead.
    """
    write_text(path, json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def write_npy(path, chunks, shape, dtype):
    """Write arrays, joined along the first axis to ``shape``, as one little-endian ``.npy`` file, whole or not at all.

    ``chunks`` (iterable of ndarray): one after the other, so that little memory is needed.
    """
    kind = np.dtype(dtype).newbyteorder("<")
    header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": tuple(map(int, shape))}
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        # Plain writes: a full disk is then an error, where writing to a memory map would kill the process.
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk, kind).data)


def file_digest(path, algorithm="sha256"):
    """Hexadecimal digest of a file's bytes, read in chunks.

    ``algorithm``: name that :func:`hashlib.new` knows; ``md5`` for checksums that a repository gives in that form.
    """
    digest = hashlib.new(algorithm)
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def source_digest(path):
    """Short hash (16 hexadecimal digits) of what a Python file does: without comments, docstrings and layout.

    Raises SyntaxError: the file is not Python.
    """
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


def tree_digest(folder, endings=(".py", ".csv")):
    """Short hash (16 hexadecimal digits) of the names and bytes of all files below a folder with these endings."""
    files = sorted(p for p in Path(folder).rglob("*") if p.suffix in endings)
    return hash_content({p.relative_to(folder).as_posix(): file_digest(p) for p in files})


def hash_content(content):
    """Short stable hash (16 hexadecimal digits) of anything JSON can hold; key order does not matter."""
    text = json.dumps(content, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hash_bytes(array):
    """Short hash of an array's content, with its shape and type."""
    values = array if array.flags.c_contiguous else array.copy(order="C")
    return hashlib.sha256(values.data).hexdigest()[:16] + f"{array.shape}{array.dtype}"


@contextlib.contextmanager
def alone(path):
    """One process at a time; the lock at ``path`` ends with the process, however that ends.

    Yields False where the file system has no locks: work is then done twice at worst. Raises WriteError: the folder
    cannot be written.
    """
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
