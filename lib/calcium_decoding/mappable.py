"""Movies that cannot be memory-mapped as they lie are converted once, to a file that can.

A compressed movie or a series of files would be decoded anew in every pass. The copy is uncompressed, keeps the type of
the pixels, and is named by what the files are (where, how large, how old), so that later runs find it without reading
the movie. A movie has one copy: when its files have changed, the former one goes.
"""

import contextlib
import fcntl
import math
import shutil
from functools import cache
from pathlib import Path

import numpy as np

from calcium_decoding.errors import DataError, WriteError
from calcium_decoding.files import hash_content, source_digest, whole_file
from calcium_decoding.movies import Movie
from calcium_decoding.progress import progress


def mappable(movie, folder, show_progress=True):
    """The same movie, in one file that can be memory-mapped.

    Parameters
    ----------
    movie : Movie
    folder : str or Path
        For copies; made if needed. Everything in it may be deleted while no run uses it.
    show_progress : bool
        While a movie is converted.

    Returns
    -------
    movie : Movie
        The one given if it maps; else one of the copy, with the same pixels, type and number of frames.
    note : str
        That and why there is a copy; empty if there is none. The same in the run that made the copy and in later ones.

    Raises
    ------
    DataError
        A frame that cannot be read. Nothing is left behind.
    WriteError
        The folder cannot be written, or its disk has no room. Nothing partial is left behind.
    """
    if movie.maps:
        return movie, ""
    place, state = _names(movie)
    path = Path(folder) / f"{place}-{state}.npy"
    copy = _intact(path, movie)
    if copy is None:
        with _alone(path.parent / f".{place}.lock") as alone:
            copy = _intact(path, movie)
            if copy is None:
                if alone:
                    _remove_former(path.parent, place)
                copy = _convert(movie, path, show_progress)
    why = "compressed or unevenly stored" if len(movie.files) == 1 else f"{len(movie.files)} files"
    return copy, f"{movie.path.name} ({why}) converted once: an uncompressed copy of its {len(movie)} frames is read"


def _names(movie):
    """Hashes of which movie it is, and of the state in which its files and this code are."""
    files = [file.resolve() for file in movie.files]
    try:
        states = [(found.st_size, found.st_mtime_ns) for found in (file.stat() for file in files)]
    except OSError as error:
        raise DataError(movie.path, f"a file that is gone ({error})", "the files that were there when it was opened",
                        "fetch or write the movie again") from error
    place = hash_content([str(movie.path.resolve()), movie.n_frames])
    return place, hash_content([[str(file) for file in files], states, _code_hash()])


def _intact(path, movie):
    """The movie of a copy; None if it is not there or not what it should be."""
    try:
        copy = Movie(path)
    except DataError:
        return None
    return copy if copy.shape == movie.shape and copy.dtype == movie.dtype else None


def _remove_former(folder, place):
    """Remove copies of a state that the movie's files are no longer in, and what a killed process left."""
    for former in (*folder.glob(f"{place}-*.npy"), *folder.glob(f".{place}-*.npy")):
        former.unlink(missing_ok=True)


def _convert(movie, path, show_progress):
    shape = tuple(map(int, movie.shape))
    needed, free = math.prod(shape) * movie.dtype.itemsize, shutil.disk_usage(path.parent).free
    if needed > free:
        raise WriteError(path.parent, f"{free / 1e9:.1f} GB free", f"{needed / 1e9:.1f} GB for {movie.path.name}",
                         "free disk space, or name another folder")
    kind = movie.dtype.newbyteorder("<")
    header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    with whole_file(path) as temporary, open(temporary, "wb") as file, \
            progress(None, total=len(movie), desc=f"convert {movie.path.name} once", unit="frame",
                     disable=not show_progress) as bar:
        # Plain writes: a full disk is then an error, where writing to a memory map would kill the process.
        np.lib.format.write_array_header_1_0(file, header)
        for frames in movie.stretches():
            file.write(np.ascontiguousarray(frames, kind).data)
            bar.update(len(frames))
    return Movie(path)


@contextlib.contextmanager
def _alone(path):
    """One process at a time; the lock ends with the process, however that ends. False where there are no locks."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "ab")  # closed below
    except OSError as error:
        raise WriteError(path.parent, f"a folder that cannot be written ({error.strerror})",
                         "a folder for copies of movies", "mend its permissions, or name another folder") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # a file system without locks, where work is done twice at worst
            yield False
        else:
            yield True


@cache
def _code_hash():
    here = Path(__file__).parent
    return hash_content([source_digest(here / f"{name}.py") for name in ("mappable", "movies", "stacks", "tiff_pages")])
