"""Output folders of suite2p. Its pickles, ops.npy and stat.npy, are never opened."""

import re
from pathlib import Path

import numpy as np

from calcium_decoding.data.readers.activity.traces import cells_of, one_of, reading, recording_of
from calcium_decoding.errors import DataError, ParameterError


def read_suite2p(folder, rate_hz, animal, session, part="", neuropil=0.7, signal="F", cells_only=True):
    """A Recording from an output folder of suite2p.

    Files are (roi, time) and become (T, n_roi). ROIs are named by their number in the files, from 0; those of several
    planes ``plane0_12``.

    Parameters
    ----------
    folder : path
        A folder with ``plane*`` folders, one that holds it as ``suite2p``, or a single plane folder.
    rate_hz : float
        Volumes per second: frames per plane and second (``fs`` of suite2p).
    animal, session, part : str
        As of :class:`~calcium_decoding.Recording`.
    neuropil : float
        This share of ``Fneu`` is taken off ``F``.
    signal : str
        ``"F"``, or ``"spks"``, deconvolved.
    cells_only : bool
        Keep what ``iscell.npy`` says are cells; the notes give both counts. False keeps all ROIs.

    Returns
    -------
    Recording
        Signal in arbitrary units, without behaviour.

    Raises
    ------
    DataError
        A file is missing or damaged, their lengths differ, planes differ in their number of frames, no ROI is a cell,
        or the path is a ``Fall.mat``.
    ParameterError
        Another signal, or a share that is not within 0 and 1.
    """
    one_of(signal, ("F", "spks"), "signal")
    if not 0 <= neuropil <= 1:
        raise ParameterError("neuropil", str(neuropil), "a share of Fneu, 0 to 1", "give 0.7, or 0 for none")
    planes = _planes(Path(folder))
    found = [_plane(plane, signal, neuropil, cells_only) for plane in planes]
    lengths = [values.shape[1] for values, _, _ in found]
    if len(set(lengths)) > 1:
        raise DataError(folder, "numbers of frames that differ: " + ", ".join(
            f"{plane.name} {n}" for plane, n in zip(planes, lengths, strict=True)), "the same in all planes",
            "read each plane folder by itself, as a part with its own clock")
    several = len(planes) > 1
    notes = [f"{plane.name + ': ' if several else ''}{note}" for plane, (_, _, note) in zip(planes, found, strict=True)]
    if several:
        notes.append(f"{len(planes)} planes side by side; the frame time is that of the volume, and planes imaged in "
                     "turn lag it by up to a frame")
    notes.append("deconvolved by suite2p (spks), with its own look-ahead" if signal == "spks"
                 else f"F - {neuropil:g} Fneu" if neuropil else "F, neuropil not subtracted")
    names = [f"{plane.name}_{i}" if several else str(i)
             for plane, (_, kept, _) in zip(planes, found, strict=True) for i in kept]
    return recording_of(np.concatenate([values for values, _, _ in found]).T, names, rate_hz, notes, animal=animal,
                        session=session, part=part, signal_unit=f"{signal} (a.u.)", source=str(folder))


def _planes(folder):
    for place in (folder, folder / "suite2p"):
        planes = [path for path in place.glob("plane*") if (path / "F.npy").is_file()]
        if planes:
            return sorted(planes, key=lambda path: [int(n) for n in re.findall(r"\d+", path.name)])
    if folder.suffix == ".mat" or ((folder / "Fall.mat").is_file() and not (folder / "F.npy").is_file()):
        raise DataError(folder, "a Fall.mat", "a plane folder with F.npy and iscell.npy",
                        "name that folder: the iscell in Fall.mat may be older than what was sorted by hand")
    if not (folder / "F.npy").is_file():
        raise DataError(folder, "no F.npy, in it or in plane*", "an output folder of suite2p", "name the folder that "
                        "holds plane0")
    return [folder]


def _plane(folder, signal, neuropil, cells_only):
    """Values (n, T) of the ROIs that are kept, their numbers, and a note."""
    traces, iscell = _array(folder / f"{signal}.npy"), folder / "iscell.npy"
    background = _array(folder / "Fneu.npy") if signal == "F" and neuropil else None
    if background is not None and background.shape != traces.shape:
        raise DataError(folder, f"F.npy of shape {traces.shape} and Fneu.npy of shape {background.shape}", "the same",
                        "run suite2p again, or give neuropil=0")
    if iscell.is_file() or cells_only:
        is_cell = np.asarray(_array(iscell)).reshape(len(_array(iscell)), -1)[:, 0] > 0
        if len(is_cell) != len(traces):
            raise DataError(folder, f"{len(traces)} ROIs in {signal}.npy and {len(is_cell)} in iscell.npy",
                            "a line of iscell.npy for each ROI", "save the sorted ROIs again in suite2p")
        kept, note = cells_of(is_cell, cells_only, "iscell", iscell)
    else:
        kept, note = np.arange(len(traces)), f"no iscell.npy: all {len(traces)} ROIs, sorted by nobody"
    values = traces[kept]
    return values if background is None else values - np.float32(neuropil) * background[kept], kept, note


def _array(path):
    if path.name == "iscell.npy" and not path.is_file():
        raise DataError(path, "no such file", "which ROIs are cells",
                        "copy it there, or read all ROIs, cells or not, with cells_only=False")
    with reading(path, "a .npy file of numbers"):
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    if values.dtype.kind not in "fiub" or (values.ndim != 2 and path.name != "iscell.npy"):
        raise DataError(path, f"shape {values.shape}, {values.dtype}", "numbers, (roi, time)", "run suite2p again")
    return values
