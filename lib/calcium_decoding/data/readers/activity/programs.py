"""Output of CaImAn, Inscopix, Minian and wfield, and whatever roiextractors reads."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from calcium_decoding.data.frame_clock import with_times
from calcium_decoding.data.readers.activity.traces import cells_of, one_of, rate_of, reading, recording_of, require
from calcium_decoding.errors import DataError


def read_caiman(path, rate_hz, animal, session, part="", which="C", cells_only=True):
    """A Recording from the HDF5 file of CaImAn.

    Components keep the order of the file and are named by their number in it, from 0; CaImAn's own plots may sort them.

    Parameters
    ----------
    path : path
        An ``.hdf5`` file that CaImAn saved.
    rate_hz : float
        Frames per second. The file states one too, which nobody may have set; the notes say if it differs.
    animal, session, part : str
        As of :class:`~calcium_decoding.Recording`.
    which : str
        ``"C"``, denoised, in units of the movie; ``"S"``, deconvolved; ``"F_dff"``, relative to a running baseline.
    cells_only : bool
        Keep the accepted components (``idx_components``) if the file names them; the notes give both counts.

    Returns
    -------
    Recording

    Raises
    ------
    DataError
        Not such a file, or without these traces; no component accepted.
    ParameterError
        Other traces.
    """
    one_of(which, ("C", "S", "F_dff"), "which")
    with reading(path, "a file of CaImAn"), h5py.File(path, "r") as file:
        estimates = file["estimates"]
        traces, accepted = (_numbers(estimates.get(name)) for name in (which, "idx_components"))
        if traces is None or traces.ndim != 2:
            held = [name for name in ("C", "S", "F_dff") if _numbers(estimates.get(name)) is not None]
            raise DataError(path, f"no estimates/{which}, but {', '.join(held) or 'no traces'}", "(component, frame)",
                            "choose other traces with which=, or compute them in CaImAn and save again")
        size = _numbers(file.get("estimates/A/shape"))  # of the components in space: pixels, components
        if size is not None and size[1] != len(traces):
            raise DataError(path, f"{which} of shape {traces.shape} with {size[1]} components in A",
                            "(component, frame)", "write the traces again as CaImAn does, a row a component")
        stated = _numbers(file.get("params/data/fr"))
        notes = [f"CaImAn {which}" + " (the baseline of dF/F looks ahead)" * (which == "F_dff")
                 + " (deconvolved, with its own look-ahead)" * (which == "S")]
        if stated is not None and abs(float(stated[()]) / rate_hz - 1) > 0.01:
            notes.append(f"the file states {float(stated[()]):g} Hz, {rate_hz:g} Hz were given")
        if accepted is None:
            kept, note = np.arange(len(traces)), f"no idx_components: all {len(traces)} components"
        else:
            is_cell = np.isin(np.arange(len(traces)), accepted[()])
            if (n := accepted.size) != is_cell.sum():
                raise DataError(path, f"{n} idx_components, {is_cell.sum()} of them numbers of the {len(traces)} "
                                "components", "numbers of components", "save the results again in CaImAn")
            kept, note = cells_of(is_cell, cells_only, "idx_components", path)
        signal = traces[()][kept].T
    return recording_of(signal, kept, rate_hz, [*notes, note], animal=animal, session=session, part=part,
                        signal_unit=f"{which} (a.u.)" if which != "F_dff" else "dF/F", source=str(path))


def _numbers(item):
    """A dataset, or None where there is none or it says NoneType, as CaImAn writes what was not computed."""
    return item if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiub" else None


def read_inscopix(path, animal, session, part="", rate_hz=None, cells_only=True):
    """A Recording from a CSV file of cell traces, as Inscopix exports them.

    Two header rows, names of the cells and ``accepted``, ``undecided`` or ``rejected``; the first column is time, s.
    Frames with blanks are masked. ``rate_hz``: by the times if left out. ``cells_only``: leave out rejected cells; the
    notes give all counts. ``animal``, ``session``, ``part``: as of :class:`~calcium_decoding.Recording`. Raises
    DataError: not such a file, text among the numbers, a clock that does not fit, every cell rejected.
    """
    with reading(path, "cell traces of Inscopix"):
        heads = pd.read_csv(path, header=None, nrows=2, dtype=str, skipinitialspace=True).fillna("")
        names, states = (np.char.strip(row.astype(str)) for row in heads.to_numpy()[:2])
        table = pd.read_csv(path, header=None, skiprows=2, skipinitialspace=True, na_values=["", " "])
    known = {"accepted", "undecided", "rejected"}
    if not states[0].lower().startswith("time") or len(names) < 2 or not {*states[1:]} <= known:
        strange = [states[0], *sorted({*states[1:]} - known)]
        raise DataError(path, f"a second row with {', '.join(strange[:4])}", "Time(s)/Cell Status, then accepted, "
                        "undecided or rejected for each cell", "export the traces of the cell set again")
    words = [names[i] or "time" for i in range(len(names)) if table[i].dtype.kind not in "fiu"]
    if words:
        raise DataError(path, f"text in the column {', '.join(words)}", "numbers", "repair these cells")
    times = table[0].to_numpy(float)
    kept, note = cells_of(states[1:] != "rejected", cells_only, "cell status", path)
    note += ": " + ", ".join(f"{np.count_nonzero(states[1:] == one)} {one}" for one in sorted(known))
    rate_hz, notes = rate_of(times, rate_hz, path)
    recording = recording_of(table.iloc[:, 1:].to_numpy(float)[:, kept], names[1:][kept], rate_hz, [note, *notes],
                             animal=animal, session=session, part=part, signal_unit="a.u.", source=str(path))
    return with_times(recording, times)


def read_minian(folder, rate_hz, animal, session, part="", which="C"):
    """A Recording from zarr output of Minian; needs the extra ``formats``.

    ``folder``: a zarr folder that holds the array ``which`` (``"C"``, denoised, or ``"S"``, deconvolved) with
    ``unit_id`` and ``frame``, or a folder with ``C.zarr``. Cells are named by their unit_id; where numbers of frames
    are missing, no window spans the gap. ``animal``, ``session``, ``part``: as of :class:`~calcium_decoding.Recording`.
    Raises DataError: no zarr installed, no such arrays, or axes that are not sure; ParameterError: another array.
    """
    one_of(which, ("C", "S"), "which")
    zarr, folder = require("zarr", "formats", folder), Path(folder)
    place = folder / f"{which}.zarr" if (folder / f"{which}.zarr").is_dir() else folder
    with reading(place, "zarr output of Minian"):
        group = zarr.open_group(place, mode="r")
        if missing := [name for name in (which, "unit_id", "frame") if name not in group]:
            raise DataError(place, f"the arrays {', '.join(sorted(group.array_keys())) or '(none)'}, and no "
                            f"{', '.join(missing)}", f"{which} with unit_id and frame",
                            "name the zarr folder of Minian")
        arrays = [group[name] for name in (which, "unit_id", "frame")]
        if any(array.dtype.kind not in "fiu" for array in arrays):  # zarr 3 itself opens no pickles
            raise DataError(place, "arrays of something else than numbers", "numbers", "save them again in Minian")
        dims = arrays[0].metadata.to_dict().get("dimension_names") or arrays[0].attrs.get("_ARRAY_DIMENSIONS")
        traces, units, frames = (array[:] for array in arrays)
    fits = [names for names, shape in ((["unit_id", "frame"], (len(units), len(frames))),
                                       (["frame", "unit_id"], (len(frames), len(units)))) if traces.shape == shape]
    if dims is not None:
        fits = [names for names in fits if names == list(dims)]
    if len(fits) != 1:
        raise DataError(place, f"{which} of shape {traces.shape}, {len(units)} units, {len(frames)} frames, axes "
                        f"{', '.join(dims or ['not named'])}", "(unit_id, frame)", "save it with the names of its axes")
    recording = recording_of(traces.T if fits[0][0] == "unit_id" else traces, units, rate_hz, [f"Minian {which}"],
                             animal=animal, session=session, part=part, signal_unit=f"{which} (a.u.)",
                             source=str(place))
    return with_times(recording, frames / rate_hz)


def read_wfield(folder, rate_hz, animal, session, part="", masks=None, components="SVT.npy"):
    """A Recording from a widefield movie as wfield decomposes it: each ROI is the mean over its mask.

    Parameters
    ----------
    folder : path
        Holds ``U.npy``, (height, width, k) or (height x width, k), and ``SVT.npy``, (k, T).
    rate_hz : float
        Frames per second, of one wavelength.
    animal, session, part : str
        As of :class:`~calcium_decoding.Recording`.
    masks : path or ndarray
        In the frame of U: bool (n_roi, height, width), or labels (height, width), 0 for none; as array, ``.npy``, or
        HDF5, in which every image is the mask of a ROI of its name.
    components : str
        ``"SVTcorr.npy"`` for those corrected for blood.

    Returns
    -------
    Recording

    Raises
    ------
    DataError
        A file is missing, sizes differ, or a mask has no pixel with values.
    """
    folder, loaded = Path(folder), {}
    if masks is None:
        raise DataError(folder, "no masks", "which pixels a ROI is", "give masks=: a path or an array")
    for name in ("U.npy", components):
        with reading(folder / name, "a .npy file of numbers"):
            loaded[name] = np.load(folder / name, mmap_mode="r", allow_pickle=False)
    names, masks = _masks(masks)
    if not len(masks):
        raise DataError(folder, "no ROI in the masks", "one at least", "give masks that have pixels")
    u, svt = loaded["U.npy"], loaded[components]
    n_pixels = masks[0].size
    if u.shape[:-1] not in (masks.shape[1:], (n_pixels,)) or svt.ndim != 2 or u.shape[-1] != len(svt):
        raise DataError(folder, f"U of shape {u.shape}, {components} {svt.shape}, masks {masks.shape}",
                        "(height, width, k), (k, T), (n_roi, height, width)", "use masks in the frame of this movie")
    u = u.reshape(n_pixels, -1)
    weights, lacking = [], 0
    for name, mask in zip(names, masks.reshape(len(masks), -1), strict=True):
        pixels = u[np.flatnonzero(mask)]
        is_finite = np.isfinite(pixels).all(axis=1)
        if not is_finite.any():
            raise DataError(folder, f"0 pixels of the ROI '{name}' with values", "one at least",
                            "see that the masks lie where the brain is, or leave the ROI out")
        weights.append(pixels[is_finite].mean(axis=0, dtype=np.float64))
        lacking += int(np.count_nonzero(~is_finite))
    notes = [f"mean of U over each of {len(names)} masks, times {components}"]
    notes += [f"{lacking} pixels of masks without values left out"] * (lacking > 0)
    return recording_of((np.array(weights) @ svt).T, names, rate_hz, notes, animal=animal, session=session, part=part,
                        signal_unit="a.u.", source=str(folder))


def _masks(masks):
    """Names and masks, bool, (n_roi, height, width), of an array or a file."""
    if not isinstance(masks, np.ndarray):
        path = Path(masks)
        with reading(path, "masks of ROIs"):
            if path.suffix != ".npy":
                found = {}
                with h5py.File(path, "r") as file:
                    file.visititems(lambda name, item: found.update({name: item[()] != 0})
                                    if isinstance(item, h5py.Dataset) and item.ndim == 2 else None)
                names = [name.rpartition("/")[2] for name in found]
                return names if len({*names}) == len(names) else list(found), np.stack(list(found.values()))
            masks = np.load(path, allow_pickle=False)
    if masks.ndim == 2:
        labels = np.unique(masks[masks != 0])
        return list(map(str, labels)), labels[:, None, None] == masks
    return list(map(str, range(1, len(masks) + 1))), masks != 0


def read_with_roiextractors(extractor, animal, session, part="", which="raw", cells_only=True):
    """A Recording from a ``SegmentationExtractor`` of roiextractors (extra ``formats``), which reads more formats.

    ``which``: ``"raw"``, ``"dff"``, ``"deconvolved"`` or other traces that it has. ``cells_only``: keep the ROIs that
    it says are accepted, if it does. ``animal``, ``session``, ``part``: as of :class:`~calcium_decoding.Recording`.
    Raises DataError: no such traces, axes that are not (time, roi), or a clock that does not fit.
    """
    where, n_frames = type(extractor).__name__, extractor.get_num_samples()
    traces, ids = extractor.get_traces(name=which), list(extractor.get_roi_ids())
    if traces is None:
        held = [name for name, values in extractor.get_traces_dict().items() if values is not None]
        raise DataError(where, f"no traces '{which}'", f"one of {', '.join(held)}", "choose with which=")
    if traces.shape != (n_frames, len(ids)):
        raise DataError(where, f"traces of shape {traces.shape}, {n_frames} frames and {len(ids)} ROIs", "(time, roi)",
                        "update roiextractors")
    kept, notes = np.arange(len(ids)), [f"{which} of {where}"]
    if "is_accepted" in extractor.get_property_keys():
        kept, note = cells_of(np.asarray(extractor.get_property("is_accepted", ids), bool), cells_only, "is_accepted",
                              where)
        notes.append(note)
    times = np.asarray(extractor.get_timestamps(), np.float64)
    rate_hz, said = rate_of(times, extractor.get_sampling_frequency(), where)
    recording = recording_of(traces[:, kept], [ids[i] for i in kept], rate_hz, [*notes, *said], animal=animal,
                             session=session, part=part, signal_unit=f"{which} (a.u.)", source=where)
    return with_times(recording, times)
