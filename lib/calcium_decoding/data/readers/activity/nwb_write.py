"""Recordings written as NWB; what NWB has no place for stands beside the data as JSON, and is read back from there."""

import json
import re
import uuid
from datetime import datetime

import numpy as np

from calcium_decoding.data.recording import Recording
from calcium_decoding.errors import DataError
from calcium_decoding.utils.files import whole_file

ABOUT = "calcium_decoding_recording"  # in scratch
TRACES = "processing/ophys/Fluorescence/RoiResponseSeries"
BEHAVIOUR = "processing/behavior/BehavioralTimeSeries"
FIELDS = ("animal", "session", "part", "rate_hz", "signal_unit", "simulated", "roi_names", "notes", "stretches")


def write_nwb(recording, path, start_time, description="Calcium imaging with behaviour on the same frames", **subject):
    """Write a Recording as NWB, whole or not at all; :func:`read_nwb` gives it back bit for bit.

    Its movie is not written. What NWB requires and a recording does not know (microscope, indicator, place in the
    brain, masks of the ROIs) says ``unknown`` or is left out.

    Parameters
    ----------
    recording : Recording
    path : path
        Ends in ``.nwb``.
    start_time : datetime
        When the session began, with its time zone.
    description : str
        Of the session.
    **subject : str
        What else is known of the animal, as :class:`pynwb.file.Subject` has it: species, sex, age (``"P90D"``), ... Sex
        and age are ``U`` and ``P0D/`` (0 days or more) where they are not given.

    Raises
    ------
    DataError
        Another ending, or a start without a time zone.
    WriteError
        It cannot be written.
    """
    if not str(path).endswith(".nwb"):
        raise DataError(path, "another ending", "a name that ends in .nwb", "name it so")
    if not isinstance(start_time, datetime) or start_time.tzinfo is None:
        raise DataError(path, f"start_time {start_time!r}", "a datetime with its time zone",
                        "datetime(2026, 1, 31, 9, 30, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin'))")
    import pynwb  # takes a second

    subject = {"subject_id": recording.animal, "sex": "U", "age": "P0D/"} | subject
    file = pynwb.NWBFile(description, str(uuid.uuid4()), start_time, session_id=recording.session,
                         subject=pynwb.file.Subject(**subject))
    series = _traces(file, recording)
    names = _group_names(recording.behaviour)
    if names:
        clock = {"timestamps": series} if recording.times_s is not None else _clock(recording)
        container = pynwb.behavior.BehavioralTimeSeries()
        file.create_processing_module("behavior", "behaviour on the frames").add(container)
        for group, name in names.items():
            container.add_timeseries(pynwb.TimeSeries(name=group, data=_packed(recording.behaviour[name]), unit="n/a",
                                                      description=name, **clock))
    about = {name: getattr(recording, name) for name in FIELDS} | {"simulated": bool(recording.simulated)}
    about |= {"behaviour": names, "has_times": recording.times_s is not None,
              "reach": {name: list(map(int, frames)) for name, frames in recording.reach.items()}}
    file.add_scratch(json.dumps(about), name=ABOUT, description="what read_nwb of calcium-decoding needs, as JSON")
    with whole_file(path) as temporary:
        with pynwb.NWBHDF5IO(temporary, "w") as io:
            io.write(file)


def _traces(file, recording):
    """Add the signal; returns its series."""
    from hdmf.common import VectorData
    from pynwb import ophys

    channel = ophys.OpticalChannel(name="OpticalChannel", description="unknown", emission_lambda=np.nan)
    plane = file.create_imaging_plane(
        name="ImagingPlane", optical_channel=channel, description="unknown", device=file.create_device("Microscope"),
        excitation_lambda=np.nan, imaging_rate=recording.rate_hz, indicator="unknown", location="unknown")
    table = ophys.PlaneSegmentation(
        name="PlaneSegmentation", description="ROIs, without their masks", imaging_plane=plane,
        id=list(range(recording.n_roi)),
        columns=[VectorData(name="image_mask", description="unknown: one empty pixel, as there must be some mask",
                            data=np.zeros((recording.n_roi, 1, 1), np.float32)),
                 VectorData(name="roi_name", description="name of the ROI", data=list(recording.roi_names))])
    module = file.create_processing_module("ophys", "activity of the ROIs")
    fluorescence = ophys.Fluorescence()
    module.add([ophys.ImageSegmentation(plane_segmentations=[table]), fluorescence])
    rois = table.create_roi_table_region(description="all ROIs", region=list(range(recording.n_roi)))
    series = ophys.RoiResponseSeries(name="RoiResponseSeries", data=_packed(recording.signal), rois=rois,
                                     unit=recording.signal_unit or "n/a", **_clock(recording))
    fluorescence.add_roi_response_series(series)
    return series


def _clock(recording):
    return {"starting_time": 0.0, "rate": recording.rate_hz} if recording.times_s is None else {
        "timestamps": recording.times_s}


def _packed(values):
    from pynwb import H5DataIO

    return H5DataIO(values, compression="gzip")


def _group_names(names):
    """Names that HDF5 can hold, for names of behaviour: dict of the former to the latter."""
    found = {}
    for name in names:
        group = re.sub(r"[/:]", "_", name)
        while group in found:
            group += "_"
        found[group] = name
    return found


def written_recording(file, source, behaviour=None, **names):
    """What :func:`write_nwb` wrote to an open file, as a Recording; None if it is not such a file, or lacks some
    ``behaviour``. ``names``: animal and session, in place of those of the file."""
    if f"scratch/{ABOUT}" not in file:
        return None
    about = json.loads(file[f"scratch/{ABOUT}"][()])
    groups, has_times = about.pop("behaviour"), about.pop("has_times")
    chosen = set(groups.values()) if behaviour is None else set(behaviour)
    if not chosen <= set(groups.values()):
        return None
    about |= {"roi_names": tuple(about["roi_names"]), "notes": tuple(about["notes"]),
              "reach": {name: tuple(frames) for name, frames in about["reach"].items() if name in chosen}}
    return Recording(file[TRACES]["data"][()], {name: file[f"{BEHAVIOUR}/{group}/data"][()]
                                                for group, name in groups.items() if name in chosen},
                     times_s=file[TRACES]["timestamps"][()] if has_times else None, source=source,
                     **(about | {name: value for name, value in names.items() if value}))
