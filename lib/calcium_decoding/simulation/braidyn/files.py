"""A simulated set as NWB files in the layout of BraiDyn-BC, with the truth beside."""

import tempfile
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np

from calcium_decoding.errors import DataError
from calcium_decoding.simulation.braidyn.world import PLANTED, RATE_HZ, World, parcels, simulate_session
from calcium_decoding.utils.files import whole_file, write_json
from calcium_decoding.utils.progress import progress

FIRST_DAY = datetime(2023, 1, 2, 10, tzinfo=UTC)
UNITS = {"lever": "mm", "lick_rate": "Hz", "motion": "a.u."}
SAYS = "SIMULATED: no animal was recorded"
CHANNELS = {"dFF": "hemodynamics-corrected dF/F calcium responses",
            "dFF_B": "dF/F of the frames with 470 nm excitation",
            "dFF_V": "dF/F of the frames with 405 nm excitation"}


def write(world, folder):
    """Simulate all sessions and write each as an NWB file (read by ``read_nwb``), with the truth beside.

    ``truth.npz`` holds ``weights/SUBJECT/DATE`` (6, 44), % dF/F, of what ``planted`` (6,) names, on ``parcels`` (44,);
    ``truth.json`` the settings. DataError: pynwb is not installed.
    """
    folder = Path(folder)
    truth = {"planted": np.array([*PLANTED]), "parcels": np.array(names())}
    sessions = [(a, d) for a in range(1, world.animals + 1) for d in range(1, world.days + 1)]
    for animal, day in progress(sessions, desc="simulate lever pulls", unit="session"):
        session = simulate_session(world, animal, day)
        subject, date = f"sim{animal:02d}", FIRST_DAY + timedelta(days=day - 1)
        name = f"sub-{subject}_ses-{date:%Y-%m-%d}-task-day{day}_behavior+ophys.nwb"
        with whole_file(folder / f"sub-{subject}" / name) as temporary:
            write_nwb(session, temporary, subject, date, f"{subject}_{date:%Y-%m-%d}_task-day{day}")
        truth[f"weights/{subject}/{date:%Y-%m-%d}"] = session.weights
    with whole_file(folder / "truth.npz") as temporary:
        np.savez_compressed(temporary, **truth)
    write_json(folder / "truth.json", {"simulated": True, "settings": world.model_dump()})


def world_of(entry):
    """The :class:`World` that a manifest entry asks for. ParameterError: a setting not known or out of range."""
    return World(seed=entry.seed, days=entry.sessions_per_animal, frames=entry.frames_per_session, **entry.settings)


def names():
    """Names of the 44 ROIs, such as ``MOs_left``."""
    table = parcels()
    return [f"{name}_{side}" for name, side in zip(table["name"], table["side"], strict=True)]


def write_nwb(session, path, subject, date, session_id):
    """Write one session as an NWB file: traces in ``processing/ophys``, behaviour on frames in ``downsampled``, key
    points on the clock of the camera in ``behavior``. Raw voltages, movies and videos of the source are not there."""
    nwb, pose, pose_series = _pynwb()
    file = nwb.NWBFile(session_description=f"cued lever pull. {SAYS}", identifier=session_id, session_id=session_id,
                       session_start_time=date, notes=SAYS, keywords=["simulated"])
    file.subject = nwb.file.Subject(subject_id=subject, species="Mus musculus", sex="U", age="P90D", description=SAYS)
    at = np.array(session.frames.index)
    _add_traces(nwb, file, session, at)
    behaviour = file.create_processing_module("behavior", "Processed behavioral data")
    frames = file.create_processing_module("downsampled", "session data, down-sampled to the time base of imaging dF/F")
    for name, values in session.frames.drop(columns="pupil").items():
        frames.add(nwb.TimeSeries(name=name, data=values.to_numpy(), unit=UNITS.get(name, "n/a"), timestamps=at,
                                  description=f"{name}. {SAYS}"))
    on_frames = np.searchsorted(session.camera_s, at).clip(max=len(session.camera_s) - 1)
    for module, which, clock in ((behaviour, slice(None), session.camera_s), (frames, on_frames, at)):
        series = [pose_series(name=name, description=f"{name}. {SAYS}", data=points[which, :2], unit="pixels",
                              reference_frame="(0,0) is the top left corner of the video", timestamps=clock,
                              confidence=points[which, 2])
                  for name, points in session.keypoints.items()]
        module.add(pose(name="body_video_keypoints", description=f"key points of the body video. {SAYS}",
                        pose_estimation_series=series, nodes=[*session.keypoints], source_software="simulation"))
        pupil = np.interp(clock, at, session.frames["pupil"])
        module.add(nwb.behavior.PupilTracking(name="pupil_tracking", time_series=nwb.TimeSeries(
            name="diameter", data=pupil, unit="pixels", timestamps=clock, description=f"diameter. {SAYS}")))
    module.add(_trials(nwb, session))
    for row in session.trials.to_dict("records"):
        if file.trials is None:
            for name in [*row][2:]:
                file.add_trial_column(name, name.replace("_", " "))
        file.add_trial(**row)
    with nwb.NWBHDF5IO(path, "w") as io:
        io.write(file)


def _trials(nwb, session):
    table = nwb.epoch.TimeIntervals(name="trials", description=f"trials of the cued lever pull. {SAYS}")
    for name in [*session.trials][2:]:
        table.add_column(name, name.replace("_", " "))
    for row in session.trials.to_dict("records"):
        table.add_row(**row)
    return table


def _add_traces(nwb, file, session, at):
    device = file.create_device("widefield", description=SAYS)
    channel = nwb.ophys.OpticalChannel(name="channel", description="emission", emission_lambda=525.0)
    ophys = file.create_processing_module("ophys", "optical physiology processed data")
    segmentation, traces = nwb.ophys.ImageSegmentation(), nwb.ophys.DfOverF()
    ophys.add(segmentation)
    ophys.add(traces)
    regions = {}
    for name, table, wavelength in (("B", "ROIs", 470.0), ("V", "ROIs_V", 405.0)):
        plane = file.create_imaging_plane(name=name, optical_channel=channel, description=SAYS, device=device,
                                          excitation_lambda=wavelength, imaging_rate=RATE_HZ, location="dorsal cortex",
                                          indicator="simulated")
        rois = segmentation.create_plane_segmentation(f"ROIs of the Allen CCF. {SAYS}", plane, table)
        rois.add_column("roi_name", "name of the ROIs")
        rois.add_column("roi_description", "description of the ROIs")
        for (_, row), roi in zip(parcels().iterrows(), names(), strict=True):  # the masks are with the real files
            rois.add_roi(pixel_mask=[(round(row["x_px"]), round(row["y_px"]), 1.0)], roi_name=roi,
                         roi_description=f"{row['description']}, {row['side']}")
        regions[name] = rois
    for (name, says), data in zip(CHANNELS.items(), (session.dff, session.blue, session.violet), strict=True):
        plane = regions["V" if name == "dFF_V" else "B"]
        traces.create_roi_response_series(
            name=name, data=data, unit="a.u.", timestamps=at, description=f"{says}. {SAYS}",
            rois=plane.create_roi_table_region("all", region=[*range(data.shape[1])]))


@cache
def _pynwb():
    """pynwb, and the classes of key points: those of the extension ndx-pose, as far as this layout uses it."""
    try:
        import pynwb
        from pynwb import spec
    except ImportError as error:
        raise DataError("pynwb", "no such package", "pynwb, which writes NWB files", "pip install pynwb") from error
    builder = spec.NWBNamespaceBuilder("Pose estimation, as ndx-pose has it", "ndx-pose", version="0.1.1",
                                       author=["ndx-pose"], contact=["ndx-pose"])
    builder.include_type("SpatialSeries", namespace="core")
    builder.include_type("NWBDataInterface", namespace="core")
    builder.add_spec("pose.yaml", spec.NWBGroupSpec(
        "Estimated positions of one body part", neurodata_type_def="PoseEstimationSeries",
        neurodata_type_inc="SpatialSeries", datasets=[spec.NWBDatasetSpec(
            "Likelihood of each position", name="confidence", dtype="float32", shape=(None,), dims=("num_frames",))]))
    builder.add_spec("pose.yaml", spec.NWBGroupSpec(
        "Estimated positions of body parts", neurodata_type_def="PoseEstimation",
        neurodata_type_inc="NWBDataInterface", default_name="PoseEstimation",
        groups=[spec.NWBGroupSpec("A body part", neurodata_type_inc="PoseEstimationSeries", quantity="*")],
        datasets=[spec.NWBDatasetSpec(f"{name} of the estimation", name=name, dtype="text", quantity="?", **shape)
                  for name, shape in (("description", {}), ("source_software", {}),
                                      ("nodes", {"shape": (None,), "dims": ("num_body_parts",)}))]))
    with tempfile.TemporaryDirectory() as folder:
        builder.export("ndx-pose.namespace.yaml", outdir=folder)
        pynwb.load_namespaces(f"{folder}/ndx-pose.namespace.yaml")
    return pynwb, *(pynwb.get_class(name, "ndx-pose") for name in ("PoseEstimation", "PoseEstimationSeries"))
