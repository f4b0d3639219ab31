"""Simulated sessions as files of a lab: a suite2p folder, tables of a microscope and of a wheel; clocks differ."""

import numpy as np
import pandas as pd

from calcium_decoding.simulation.clocks import plant_clock

PULSES, WHEEL_HZ, OTHERS = 3, 100, 20  # pulses after the last frame, wheel samples a second, ROIs that are no cells


def write_lab_files(dataset, folder, seed=0):
    """Write the recordings of a simulated Dataset below ``folder`` as a lab has them: animal/session/ with
    suite2p/plane0, ``frames.csv`` (when each frame of the file was taken, by the microscope), ``ttl.csv`` (its pulses,
    on the computer of the wheel) and ``wheel.csv``. One frame in 100 is missing, pulses go on after the last frame,
    clocks drift, and the wheel of the last session ends ten seconds early. What is there is left as it is."""
    for i, r in enumerate(dataset.recordings):
        to, rng = folder / r.animal / r.session, np.random.default_rng(seed + i)
        if (to / "wheel.csv").is_file():
            continue
        (plane := to / "suite2p" / "plane0").mkdir(parents=True, exist_ok=True)
        clock = plant_clock(r.n_frames, r.rate_hz, seed + i, dropped=0.01, cut=(0, PULSES), drift_ppm=150)
        cells = r.signal[clock.frame].T
        traces = np.concatenate([cells, rng.normal(0, cells.std(), (OTHERS, cells.shape[1]))])
        order = rng.permutation(len(traces))
        around = 300 + rng.normal(0, 5, traces.shape)  # neuropil
        is_cell = np.stack([order < len(cells), rng.random(len(order))], axis=1)
        for name, values in (("F", 500 * (1 + traces[order] / 100) + 0.7 * around), ("Fneu", around),
                             ("spks", np.maximum(traces[order], 0))):
            np.save(plane / f"{name}.npy", values.astype(np.float32))
        np.save(plane / "iscell.npy", is_cell)
        ends_early = 10 * (r is dataset.recordings[-1])
        at = np.arange(clock.ttl_s[0] - 1, clock.ttl_s[-1] - ends_early, 1 / WHEEL_HZ)
        speed = np.interp(at, clock.ttl_s, r.behaviour["speed_cm_s"]).round(3)
        for name, columns in (("frames", {"time_s": clock.times_s}), ("ttl", {"time_s": clock.ttl_s}),
                              ("wheel", {"time_s": at, "speed_cm_s": speed})):
            pd.DataFrame(columns).to_csv(to / f"{name}.csv", index=False)
    return folder
