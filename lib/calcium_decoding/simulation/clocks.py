"""Clocks with planted faults: what a file of frames says, and what a computer beside it saw."""

from dataclasses import dataclass, replace

import numpy as np

from calcium_decoding.errors import ParameterError


@dataclass(frozen=True, eq=False)
class PlantedClock:
    """Frames of a file whose faults are known.

    ``frame`` (n,), int: number of the true frame, from 0, that each frame of the file is. ``times_s`` (n,): its time as
    the file says. ``ttl_s`` (m,): when the pulse of each true frame came, on the computer that recorded behaviour.
    ``planted``: how many of each fault.
    """

    frame: np.ndarray
    times_s: np.ndarray
    ttl_s: np.ndarray
    planted: dict[str, float]

    def file_of(self, recording):
        """The frames of a recording that are in the file, a Recording without its behaviour, movie and times.

        ParameterError: the recording does not have as many frames as there were pulses.
        """
        if recording.n_frames != len(self.ttl_s):
            raise ParameterError("recording", f"{recording.n_frames} frames", f"{len(self.ttl_s)}, one a pulse",
                                 "plant a clock of as many frames")
        note = "faults planted in its clock: " + ", ".join(f"{name} {n:g}" for name, n in self.planted.items() if n)
        return replace(recording, signal=recording.signal[self.frame], behaviour={}, reach={}, stretches=(),
                       times_s=None, movie=None, notes=(*recording.notes, note))


def plant_clock(n_frames, rate_hz, seed=0, dropped=0.0, drift_ppm=0.0, cut=(0, 0), restart_at=None, repeated=0,
                jitter=0.01, start_s=1.0):
    """A clock of ``n_frames`` frames with faults of which each is known.

    ``dropped``: share of the frames that the file lacks, never its first or last. ``drift_ppm``: by how much longer
    the file's seconds make an interval than the computer's do. ``cut``: frames that the file lacks before its first and
    after its last. ``restart_at``: number of the frame in the file at which its clock begins anew. ``repeated``: frames
    that stand in the file twice, the copy right after. ``jitter``: SD of each time, in frames. ``start_s``: when the
    first frame began. Returns a PlantedClock; the same for the same ``seed``. ParameterError: out of range.
    """
    n_dropped, rng = round(dropped * n_frames), np.random.default_rng(seed)
    n = n_frames - sum(cut) - n_dropped
    if not (min(cut) >= 0 and 0 <= dropped < 1 and repeated >= 0 and jitter >= 0 and rate_hz > 0 and n >= 3 + repeated
            and (restart_at is None or 0 < restart_at < n + repeated)):
        raise ParameterError("plant_clock", f"{n_frames} frames, {dropped:g} dropped, {cut} cut, {repeated} repeated, "
                             f"restart at {restart_at}, jitter {jitter:g}", "faults that leave three frames or more",
                             "plant fewer, or in more frames")
    true = start_s + np.arange(n_frames) / rate_hz
    kept = np.arange(cut[0], n_frames - cut[1])
    gone = rng.choice(kept[1:-1], n_dropped, replace=False)
    frame = np.setdiff1d(kept, gone)
    twice = rng.choice(len(frame) - 1, repeated, replace=False)
    is_copy = np.insert(np.zeros(len(frame), bool), twice + 1, True)
    frame = np.insert(frame, twice + 1, frame[twice])
    ttl, read = (np.clip(rng.normal(0, jitter, size), -0.2, 0.2) / rate_hz for size in (n_frames, len(frame)))
    times = (true[frame] - true[0]) * (1 + 1e-6 * drift_ppm) + start_s + np.where(is_copy, 0.25 / rate_hz, read)
    if restart_at is not None:
        times[restart_at:] -= times[restart_at] - start_s
    planted = {"dropped": n_dropped, "breaks": int(np.count_nonzero(np.diff(np.unique(frame)) > 1)),
               "drift_ppm": drift_ppm, "cut_start": cut[0], "cut_end": cut[1], "repeated": repeated,
               "restarts": int(restart_at is not None)}
    return PlantedClock(frame, times, true + ttl, planted)
