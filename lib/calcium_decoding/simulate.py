"""Recordings with known truth: a simulated running mouse and 50 cortical ROIs, in the study's own file formats.

Behaviour drives areas with their own gains and lags; shared arousal, regional events, baseline drift and noise that
know nothing of behaviour are added; the indicator low-passes it all. What carries the label, where and at which lag,
is saved beside the data. This is the ROI view only; it stands for the kind of problem, not for the study's numbers.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.io import savemat
from scipy.signal import fftconvolve, lfilter

from calcium_decoding import manifest
from calcium_decoding.errors import ParameterError
from calcium_decoding.files import whole_file, write_json, write_text
from calcium_decoding.progress import progress
from calcium_decoding.published import roi_table, run_share
from calcium_decoding.readers import RUN_THRESHOLD_CM_S

RATE_HZ = 30.0
ANIMAL_TAGS = ("LR", "non", "R", "L", "non")  # as in the study's Data_ID: mice 2 and 5 share a tag
N_ANIMALS = len(ANIMAL_TAGS)
WORLDS = {
    "paper_like": "behaviour drives the areas of the study, limb areas most",
    "no_link": "behaviour and brain are independent: every decoder has to score at chance",
}

# Drive of each published ROI group by running: gains in % dF/F, lag in seconds (negative: the area leads behaviour).
# Which areas matter and in which order follows the study's Figs 5 and 6; the sizes are ours.
AREA_DRIVE = pd.DataFrame(
    [
        # group    sustained onset speed stride lag_s
        ("M2_M1", 0.50, 0.60, 0.15, 0.3, -0.20),
        ("FL_HL", 0.35, 0.35, 0.20, 3.6, 0.05),
        ("PT_RS", 0.40, 0.20, 0.10, 0.0, 0.10),
        ("V1_Vm", 0.25, 0.20, 0.10, 0.0, 0.15),
        ("Vl_A1", 0.20, 0.20, 0.05, 0.0, 0.20),
        ("other", 0.30, 0.20, 0.10, 0.2, 0.05),
    ],
    columns=["group", "sustained", "onset", "speed", "stride", "lag_s"],
).set_index("group")


@dataclass(frozen=True)
class SimulationSettings:
    """What to simulate; together with the code this determines every byte.

    Parameters
    ----------
    world : str
        A name in :data:`WORLDS`.
    seed : int
    sessions_per_animal, frames_per_session : int
        The study has 11 to 15 sessions of 18,000 frames in each of 5 animals.
    animals : int
        1 to 5; fewer than the study's five for tests.
    drive : float
        Scale of what running drives; 1 is the calibrated world, more makes a clearer effect for tests.
    noise : float
        SD of white noise, % dF/F, added after the indicator.
    drift : float
        Scale of the slow baseline drift, % dF/F.
    arousal : float
        Scale of the fluctuation shared by all ROIs, % dF/F.
    """

    world: str = "paper_like"
    seed: int = 1
    sessions_per_animal: int = 4
    frames_per_session: int = 2400
    animals: int = N_ANIMALS
    drive: float = 1.0
    noise: float = 0.3
    drift: float = 1.5
    arousal: float = 0.7

    def __post_init__(self):
        if self.world not in WORLDS:
            raise ParameterError("world", repr(self.world), f"one of {', '.join(WORLDS)}", "name one of these")
        for name, least in (("sessions_per_animal", 1), ("frames_per_session", 300), ("animals", 1)):
            if getattr(self, name) < least:
                raise ParameterError(name, getattr(self, name), f"at least {least}", "ask for more")
        if self.animals > N_ANIMALS:
            raise ParameterError("animals", self.animals, f"at most {N_ANIMALS}, as the study has", "ask for fewer")
        for name in ("drive", "noise", "drift", "arousal"):
            if not getattr(self, name) >= 0:
                raise ParameterError(name, getattr(self, name), "0 or more", "give a scale, not a sign")


def simulate_session(settings, animal, session):
    """One session of one animal.

    Parameters
    ----------
    settings : SimulationSettings
    animal : int
        1 to 5.
    session : int
        Counted from 0.

    Returns
    -------
    signal : ndarray, shape (T, 50), float32, % dF/F
    run : ndarray, shape (T,), uint8
        1 where speed > 0.5 cm/s.
    speed_cm_s : ndarray, shape (T,), float32
    truth : dict of str to ndarray
        ``gain`` (50,) of this animal and session, ``share_driven`` (50,) share of each ROI's variance that running
        causes.
    """
    behaviour_rng, brain_rng, other_rng = (_rng(settings.seed, animal, session, part) for part in range(3))
    n = settings.frames_per_session
    speed = simulate_speed(n, run_share(animal), behaviour_rng)
    # In the world without a link the brain follows a run the animal never made.
    drive_speed = speed if settings.world != "no_link" else simulate_speed(n, run_share(animal), other_rng)
    drive = area_drive(drive_speed, brain_rng)
    animal_gain = _rng(settings.seed, animal, 999_999, 0).lognormal(0.0, 0.15, size=drive.shape[1])
    gain = animal_gain * brain_rng.lognormal(0.0, 0.15)
    driven = settings.drive * indicator(drive) * gain
    rest_of_brain = indicator(spontaneous(n, settings.arousal, brain_rng)) * gain
    signal = driven + rest_of_brain + baseline_drift(n, settings.drift, brain_rng)
    signal += brain_rng.normal(0.0, settings.noise, size=signal.shape)
    truth = {"gain": gain, "share_driven": driven.var(axis=0) / signal.var(axis=0)}
    run = (speed > RUN_THRESHOLD_CM_S).astype(np.uint8)
    return signal.astype(np.float32), run, speed.astype(np.float32), truth


def simulate_speed(n_frames, share, rng):
    """Running speed in cm/s: bouts of running and rest with a wanted share of running frames.

    Parameters
    ----------
    n_frames : int
    share : float
        Wanted share of frames above 0.5 cm/s, 0 to 1.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (n_frames,), float64, cm/s
        Rest is jitter below 0.4 cm/s, so the threshold of the study cuts cleanly.
    """
    running = np.zeros(n_frames, bool)
    t, is_running = 0, rng.random() < share
    time_constant_s, usual_cm_s = 0.15, 22.0
    coast_s = time_constant_s * np.log(usual_cm_s / RUN_THRESHOLD_CM_S)  # still above threshold after the stop
    mean_run_s = 3.0 + 9.0 * share
    mean_rest_s = mean_run_s * (1.0 - share) / share
    while t < n_frames:
        mean_s = mean_run_s - coast_s if is_running else mean_rest_s + coast_s
        length = max(15, round(RATE_HZ * rng.gamma(2.0, mean_s / 2.0)))
        running[t : t + length] = is_running
        t, is_running = t + length, not is_running
    pace = usual_cm_s * np.exp(0.35 * _slow_noise(n_frames, 4.0, rng))
    keep = np.exp(-1.0 / (time_constant_s * RATE_HZ))
    speed = pace * lfilter([1.0 - keep], [1.0, -keep], running.astype(float))
    jitter = np.minimum(0.4, np.abs(0.1 * rng.standard_normal(n_frames)))
    return np.where(speed > RUN_THRESHOLD_CM_S, speed, jitter)


def area_drive(speed_cm_s, rng):
    """What running drives in each ROI before the indicator, (T, 50), % dF/F.

    Four kernels: sustained while running, a transient at onset, one that follows speed, and a fluctuation locked to
    the strides (2 to 6 Hz, faster when running faster). Each area has its own lag.
    """
    rois = roi_table()
    running = speed_cm_s > RUN_THRESHOLD_CM_S
    onset = np.diff(running.astype(float), prepend=0.0).clip(min=0)
    transient = lfilter([1.0], [1.0, -np.exp(-1 / (0.4 * RATE_HZ))], onset)
    stride_hz = np.where(running, 2.0 + 4.0 * np.clip(speed_cm_s / 50.0, 0, 1), 0.0)
    phase = 2 * np.pi * np.cumsum(stride_hz) / RATE_HZ
    kernels = {
        "sustained": running.astype(float),
        "onset": transient,
        "speed": np.clip(speed_cm_s / 30.0, 0, 2),
    }
    drive = np.zeros((len(speed_cm_s), len(rois)))
    for column, (group, hemisphere) in enumerate(zip(rois["group"], rois["hemisphere"], strict=True)):
        area = AREA_DRIVE.loc[group]
        # Limbs of the two sides step in turn; each ROI of an area has its own place in the stride.
        side = 0.0 if hemisphere == "left" else np.pi
        stride = area["stride"] * running * np.sin(phase + side + 0.6 * (column % 25))
        total = stride + sum(area[name] * kernel for name, kernel in kernels.items())
        drive[:, column] = _delay(total, round(area["lag_s"] * RATE_HZ))
    return drive * rng.lognormal(0.0, 0.05, size=drive.shape[1])


def spontaneous(n_frames, arousal, rng):
    """Activity that does not depend on behaviour, (T, 50), % dF/F before the indicator: shared arousal and
    regional events that both hemispheres share."""
    rois = roi_table()
    groups = sorted(set(rois["group"]))
    shared = arousal * _slow_noise(n_frames, 3.0, rng)
    regional = {}
    for group in groups:
        events = (rng.random(n_frames) < 0.25 / RATE_HZ) * rng.gamma(2.0, 1.0, n_frames)
        regional[group] = lfilter([1.0], [1.0, -np.exp(-1 / (0.3 * RATE_HZ))], events)
    own = rng.lognormal(0.0, 0.2, size=len(rois))
    return np.column_stack([(shared + 0.5 * regional[g]) * w for g, w in zip(rois["group"], own, strict=True)])


def indicator(activity, rise_s=0.05, decay_s=0.35):
    """See activity through GCaMP6f: convolve each column with a causal rise-and-decay kernel of unit area.

    Parameters
    ----------
    activity : ndarray, shape (T, n_roi)
    rise_s, decay_s : float
        Time constants in seconds.
    """
    t = np.arange(round(6 * decay_s * RATE_HZ)) / RATE_HZ
    kernel = np.exp(-t / decay_s) * (1.0 - np.exp(-(t + 1 / RATE_HZ) / rise_s))
    return fftconvolve(activity, (kernel / kernel.sum())[:, None], axes=0)[: len(activity)]


def baseline_drift(n_frames, scale, rng):
    """Slow drift of each ROI, (T, 50), % dF/F: bleaching shared by all, and a wander over minutes of which half is
    shared. The wander is a sum of sines with periods of 1.5 to 10 minutes, so it has no fast part."""
    t_s = np.arange(n_frames) / RATE_HZ
    n_roi, n_waves = len(roi_table()), 5

    def wander(columns):
        period_s = rng.uniform(90.0, 600.0, size=(n_waves, columns))
        phase = rng.uniform(0, 2 * np.pi, size=(n_waves, columns))
        waves = np.sin(2 * np.pi * t_s[:, None, None] / period_s + phase)
        return waves.sum(axis=1) * np.sqrt(2.0 / n_waves)

    bleaching = 2.0 * np.exp(-t_s / 200.0)[:, None]
    return scale * (bleaching + 0.7 * wander(1) + 0.7 * wander(n_roi))


def write_dataset(settings, folder):
    """Simulate all animals and write them as the study's files, with the truth beside.

    Layout (read by :func:`calcium_decoding.readers.read_study`): ``data_64_5mice.csv``, one
    ``data_of_behavior_64_5mice/<Data_ID>_behavior.mat`` (``runrest``, ``speed_rs``) and one
    ``data_of_signal_64_5mice/<Data_ID>.mat`` (``dat_roi``) a session, ``truth.npz`` and ``truth.json``.
    The table is written last and marks the set as complete: an interrupted simulation, being fast, is made again.

    Parameters
    ----------
    settings : SimulationSettings
    folder : str or Path
        A folder for this simulation alone; one that holds another simulation is refused.

    Raises
    ------
    ParameterError
        The folder holds a simulation with other settings.
    WriteError
        A file could not be written; nothing partial is left.
    """
    folder = Path(folder)
    marker = folder / "truth.json"
    description = {"simulated": True, "settings": asdict(settings), "world": WORLDS[settings.world]}
    if marker.exists() and json.loads(marker.read_text())["settings"] != asdict(settings):
        raise ParameterError(folder, "a simulation made with other settings", "an empty folder or the same settings",
                             "name another folder, or delete this one")
    description["area_drive"] = AREA_DRIVE.reset_index().to_dict("records")
    write_json(marker, description)
    rows, truths = [], {}
    sessions = [(a, s) for a in range(1, settings.animals + 1) for s in range(settings.sessions_per_animal)]
    for animal, session in progress(sessions, desc=f"simulate {settings.world}", unit="session"):
        name = f"{20010101 + session}_sim_{ANIMAL_TAGS[animal - 1]}{animal}_1"
        signal_path = f"data_of_signal_64_5mice/{name}.mat"
        signal, run, speed, truth = simulate_session(settings, animal, session)
        truths |= {f"{key}/mouse {animal}/{name}": value for key, value in truth.items()}
        _savemat(folder / signal_path, {"dat_roi": signal.T})
        _savemat(folder / f"data_of_behavior_64_5mice/{name}_behavior.mat",
                 {"runrest": run[None].astype(float), "speed_rs": speed[None]})
        rows.append({"Data_ID": name, "mouse_No.": animal, "Signal_Path": signal_path})
    with whole_file(folder / "truth.npz") as temporary:
        np.savez_compressed(temporary, **roi_truth(settings), **truths)
    write_text(folder / "data_64_5mice.csv", pd.DataFrame(rows).to_csv(index=False))


def roi_truth(settings):
    """What each ROI carries: arrays of shape (50,), by name of the kernel and ``lag_s``; zero if there is no link."""
    drive = AREA_DRIVE.loc[list(roi_table()["group"])]
    link = 0.0 if settings.world == "no_link" else settings.drive
    return {name: drive[name].to_numpy() * (1.0 if name == "lag_s" else link) for name in drive}


def ensure(name):
    """Make the simulated data set of a manifest entry unless it is there; other kinds of entry are left alone.

    Parameters
    ----------
    name : str
        Name in ``data_manifest.yaml``.

    Returns
    -------
    Path or None
        Its folder, or None if the entry is not a simulated set.
    """
    entry = manifest.load_manifest().entry(name)
    if entry.kind != "simulated":
        return None
    folder = manifest.folder(entry)
    if manifest.status(entry) != "present":
        write_dataset(settings_of(entry), folder)
    return folder


def settings_of(entry):
    """The :class:`SimulationSettings` that a manifest entry of a simulated set asks for."""
    return SimulationSettings(entry.world, entry.seed, entry.sessions_per_animal, entry.frames_per_session,
                              **entry.settings)


def _savemat(path, variables):
    with whole_file(path) as temporary:
        # Compression would make the bytes depend on the zlib at hand.
        savemat(temporary, variables, do_compression=False, format="5")


def _rng(seed, animal, session, part):
    return np.random.default_rng(np.random.SeedSequence([seed, animal, session, part]))


def _slow_noise(n_frames, time_constant_s, rng):
    """Unit-variance first-order autoregressive noise, shape (n_frames,)."""
    keep = np.exp(-1.0 / (time_constant_s * RATE_HZ))
    shocks = rng.standard_normal(n_frames) * np.sqrt(1.0 - keep**2)
    shocks[0] = rng.standard_normal()
    return lfilter([1.0], [1.0, -keep], shocks)


def _delay(x, frames):
    """Shift later by ``frames`` (earlier if negative), holding the end values."""
    source = np.clip(np.arange(len(x)) - frames, 0, len(x) - 1)
    return x[source]
