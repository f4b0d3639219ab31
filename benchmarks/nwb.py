"""Memory and time of reading an NWB session with all behaviour, against pynwb with ``[:]`` of every array.

The session is written with pynwb as a lab would have it: 54,000 frames (half an hour at 30 Hz) of 44 ROIs with
timestamps, 20 behaviours on the frames, and 6 positions of a camera at 180 Hz. The peer reads each array and its times
and keeps them, on as many clocks as there are; ours also puts them all on the frames. Both run in a fresh process.
Prints a table and, last, one line of JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from roi_rnn import peak_mb

N_FRAMES, N_ROI, RATE_HZ, CAMERA_HZ = 54_000, 44, 30.0, 180.0
N_BEHAVIOURS, N_POSITIONS = 20, 6


def write(path, n_frames):
    import numpy as np
    import pynwb
    from pynwb import ophys

    rng, times = np.random.default_rng(0), np.arange(n_frames) / RATE_HZ
    file = pynwb.NWBFile("simulated", "id", datetime(2026, 1, 1, tzinfo=UTC), session_id="s1",
                         subject=pynwb.file.Subject(subject_id="m1"))
    plane = file.create_imaging_plane(
        name="plane", description="d", device=file.create_device("d"), excitation_lambda=480.0, imaging_rate=RATE_HZ,
        indicator="i", location="l",
        optical_channel=ophys.OpticalChannel(name="channel", description="d", emission_lambda=510.0))
    table = ophys.PlaneSegmentation(name="rois", description="d", imaging_plane=plane)
    for _ in range(N_ROI):
        table.add_roi(image_mask=np.ones((2, 2)))
    traces, module = ophys.DfOverF(), file.create_processing_module("ophys", "d")
    module.add([ophys.ImageSegmentation(plane_segmentations=[table]), traces])
    traces.create_roi_response_series(
        name="dFF", data=rng.normal(size=(n_frames, N_ROI)), timestamps=times, unit="%",
        rois=table.create_roi_table_region(description="d", region=list(range(N_ROI))))
    module = file.create_processing_module("behavior", "d")
    for i in range(N_BEHAVIOURS):
        module.add(pynwb.TimeSeries(name=f"b{i}", data=rng.normal(size=n_frames), timestamps=times, unit="u"))
    for i in range(N_POSITIONS):
        module.add(pynwb.behavior.SpatialSeries(
            name=f"paw{i}", data=rng.normal(size=(round(n_frames * CAMERA_HZ / RATE_HZ), 2)), starting_time=0.0,
            rate=CAMERA_HZ, reference_frame="camera"))
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)


def ours(path):
    from calcium_decoding.data.readers import read_nwb

    return read_nwb(path)


def peer(path):
    import pynwb

    with pynwb.NWBHDF5IO(path, "r") as io:
        return [(one.data[:], one.get_timestamps()[:] if hasattr(one, "get_timestamps") else None)
                for one in io.read().objects.values() if isinstance(one, pynwb.TimeSeries)]


ARMS = {"ours": ours, "peer": peer}


def arm(name, path):
    """Run one arm in this process and print its figures as JSON."""
    import numpy  # noqa: F401  of both

    start = time.perf_counter()
    found = ARMS[name](path)
    seconds = time.perf_counter() - start
    print(json.dumps({"peak_mb": round(peak_mb()), "seconds": round(seconds, 2),
                      "n_behaviours": len(found.behaviour) if name == "ours" else len(found) - 1}))


def main():
    """Run both arms in fresh processes and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=N_FRAMES)
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        return arm(options.arm, options.path)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "session.nwb"
        write(path, options.frames)
        for name in ARMS:
            command = [sys.executable, __file__, "--arm", name, "--path", str(path)]
            found[name] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        file_mb = round(path.stat().st_size / 1e6)
    print(f"{f'a file of {file_mb} MB':<28}{'peak memory, MB':>16}{'s':>8}")
    for name, label in (("ours", "on the frames"), ("peer", "pynwb, every array")):
        print(f"{label:<28}{found[name]['peak_mb']:>16}{found[name]['seconds']:>8}")
    print(json.dumps({
        "frames": options.frames, "file_mb": file_mb, "peak_mb": found["ours"]["peak_mb"],
        "peer_peak_mb": found["peer"]["peak_mb"],
        "memory_ratio": round(found["ours"]["peak_mb"] / found["peer"]["peak_mb"], 2),
        "seconds": found["ours"]["seconds"], "peer_seconds": found["peer"]["seconds"],
        "n_behaviours": found["ours"]["n_behaviours"]}))


if __name__ == "__main__":
    main()
