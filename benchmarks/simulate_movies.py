"""Speed and memory of simulated movies at 128 x 128, against the frame-by-frame program one would write first.

The peer makes the same frames of the same sessions: areas and blood times their maps with NumPy, ``scipy.ndimage``'s
``shift``, ``Generator.poisson`` and read noise, each frame appended with ``tifffile``. Both arms simulate two sessions
and write their movies with two processes; ours also writes traces, behaviour and truth. Processes are started before
the clock. A third arm writes one session of 18,000 frames in one process and says its peak memory, and its speed by
processor time, which hardly depends on what else the machine does. Files go to a temporary folder. Prints a table and,
last, one line of JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from roi_rnn import peak_mb

N_FRAMES, LONG_FRAMES, N_PROCESSES = 3000, 18_000, 2


def settings_of(n_frames, animals=N_PROCESSES):
    from calcium_decoding.simulation.widefield import SimulationSettings

    return SimulationSettings(animals=animals, sessions_per_animal=1, frames_per_session=n_frames, movies=True)


def ours(n_frames, folder):
    from calcium_decoding.simulation import widefield

    widefield.write_dataset(settings_of(n_frames), folder, jobs=N_PROCESSES)


def peer(n_frames, folder):
    import joblib

    settings = settings_of(n_frames)
    work = (joblib.delayed(_peer_session)(settings, *which, folder) for which in settings.sessions())
    joblib.Parallel(n_jobs=N_PROCESSES)(work)


def _peer_session(settings, animal, session, folder):
    import numpy as np
    import tifffile
    from scipy.ndimage import shift

    from calcium_decoding.simulation.widefield import simulate_session
    from calcium_decoding.simulation.widefield.movie import ELECTRONS_PER_COUNT, READ_NOISE_COUNTS
    simulated = simulate_session(settings, animal, session)
    place, rng = simulated.anatomy, np.random.default_rng([animal, session])
    activity, by_blood = simulated.activity(), place.parcels * place.blood_weight()
    images = Path(folder) / "data_of_image_64_5mice"
    images.mkdir(parents=True, exist_ok=True)
    with tifffile.TiffWriter(images / f"{simulated.name}.tif") as file:
        for t in range(settings.frames_per_session):
            change = np.tensordot(activity[t], place.parcels, 1) - np.tensordot(simulated.blood[t], by_blood, 1)
            frame = shift(place.resting * (1 + change / 100), simulated.shift_px[t], mode="nearest")
            counts = rng.poisson(np.maximum(frame, 0) * ELECTRONS_PER_COUNT) / ELECTRONS_PER_COUNT
            counts += rng.normal(0, READ_NOISE_COUNTS, counts.shape)
            file.write(np.clip(np.rint(counts), 0, 65_535).astype(np.uint16), contiguous=True)


def speed(make, n_frames):
    """Frames written a second, and the mean count of the first 300 frames of the first movie."""
    from calcium_decoding.data.movies import Movie

    with tempfile.TemporaryDirectory() as folder:
        make(300, f"{folder}/first")  # what processes import at first use is no part of the speed
        start = time.perf_counter()
        make(n_frames, f"{folder}/timed")
        seconds = time.perf_counter() - start
        movies = sorted(Path(folder).glob("timed/data_of_image_64_5mice/*.tif"))
        return {"frames_per_s": round(len(movies) * n_frames / seconds),
                "mean_count": round(float(Movie(movies[0])[:300].mean()), 1)}


def memory(n_frames):
    """Peak memory of this process while it writes one long session, and frames a second of clock and processor."""
    from calcium_decoding.simulation import widefield

    with tempfile.TemporaryDirectory() as folder:
        start, worked = time.perf_counter(), time.process_time()
        widefield.write_dataset(settings_of(n_frames, animals=1), folder)
        seconds, worked = time.perf_counter() - start, time.process_time() - worked
    return {"peak_mb": round(peak_mb()), "frames_per_s": round(n_frames / seconds),
            "frames_per_cpu_s": round(n_frames / worked)}


ARMS = {"ours": lambda o: speed(ours, o.frames), "peer": lambda o: speed(peer, o.frames),
        "memory": lambda o: memory(o.long_frames)}


def main():
    """Run each arm in a fresh process and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=N_FRAMES, help="of each of the two sessions")
    parser.add_argument("--long-frames", type=int, default=LONG_FRAMES, help="of the session for peak memory")
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        return print(json.dumps(ARMS[options.arm](options)))
    found = {}
    for name in ARMS:
        command = [sys.executable, __file__, "--arm", name, "--frames", str(options.frames), "--long-frames",
                   str(options.long_frames)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found[name] = json.loads(done.stdout.splitlines()[-1])
    print(f"{'':<36}{'frames/s':>10}{'mean count':>12}{'peak memory, MB':>17}")
    for name, label in (("ours", "in chunks, two processes"), ("peer", "frame by frame, two processes")):
        print(f"{label:<36}{found[name]['frames_per_s']:>10}{found[name]['mean_count']:>12}")
    print(f"{f'one session of {options.long_frames} frames':<36}{found['memory']['frames_per_s']:>10}"
          f"{'':>12}{found['memory']['peak_mb']:>17}")
    print(json.dumps({
        "frames": options.frames, "frames_per_s": found["ours"]["frames_per_s"],
        "peer_frames_per_s": found["peer"]["frames_per_s"],
        "speed_ratio": round(found["ours"]["frames_per_s"] / found["peer"]["frames_per_s"], 2),
        "long_frames": options.long_frames, "peak_mb": found["memory"]["peak_mb"],
        "frames_per_cpu_s": found["memory"]["frames_per_cpu_s"]}))


if __name__ == "__main__":
    main()
