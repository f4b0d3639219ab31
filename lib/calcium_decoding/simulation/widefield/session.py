"""One simulated session: behaviour, and every component of the signal by itself."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.signal import lfilter
from threadpoolctl import threadpool_limits

from calcium_decoding.data.published import roi_table
from calcium_decoding.data.readers import RUN_THRESHOLD_CM_S
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.preprocessing.blood import with_control
from calcium_decoding.simulation.signals import generator
from calcium_decoding.simulation.widefield.brains import anatomy
from calcium_decoding.simulation.widefield.movie import render
from calcium_decoding.simulation.widefield.physiology import (
    AROUSAL_ANIMAL_SPREAD,
    GAIN_SPREAD,
    STRIDE_SPREAD,
    area_drive,
    area_gains,
    baseline_drift,
    blood_absorption,
    indicator,
    simulate_speed,
    slow_noise,
    spontaneous,
    wanted_run_share,
)
from calcium_decoding.simulation.widefield.worlds import ALL_SESSIONS, ANIMAL_TAGS, RATE_HZ, SimulationSettings

ODD_GAIN = 0.4
ONSET_SHIFT_PX = 0.5  # median size of the jerk when a run begins
POSTURE_SHIFT_PX = 0.04  # while a run lasts
SWAY_PX = 0.04, 0.03  # SD of slow and of fast movement that has nothing to do with running
# Violet excitation: what blood takes away, as a share of that at blue, and the spread of it over areas, SD of the
# logarithm; share of the drift; noise, times that of blue, for violet is dimmer. Ours: they differ by set-up.
VIOLET_BLOOD, VIOLET_SPREAD, VIOLET_DRIFT, VIOLET_NOISE = 0.8, 0.15, 0.3, 1.5
SIGNAL_DECIMALS, SHIFT_DECIMALS = 3, 3  # of % dF/F, and pixels; why they are rounded: `simulation.signals`
GAIN_DECIMALS, SHARE_DECIMALS, MAP_DECIMALS = 9, 6, 5


@dataclass(frozen=True, eq=False)
class SimulatedSession:
    """What happened in one session, before a camera or a ROI saw it; arrays are float64.

    - ``animal`` counts from 1, ``session`` from 0. ``speed_cm_s``: (T,).
    - ``driven``, ``spontaneous``, ``drift``, ``noise``: (T, 50), relative change of fluorescence of each area, % dF/F:
      caused by running (without coupling: by another session's); by the brain itself; slow; white.
    - ``blood``: (T, 50), light that blood takes away over tissue without large vessels, %.
    - ``run_shift_px``, ``sway_px``: (T, 2), how far the brain lies from its place, down and right: by running (without
      coupling: by another session's), and by itself; ``shift_px`` is their sum.
    - ``gain``: (50,), of each area in this animal and session.
    """

    settings: SimulationSettings
    animal: int
    session: int
    speed_cm_s: np.ndarray
    driven: np.ndarray
    spontaneous: np.ndarray
    drift: np.ndarray
    noise: np.ndarray
    blood: np.ndarray
    run_shift_px: np.ndarray
    sway_px: np.ndarray
    gain: np.ndarray

    @property
    def name(self):
        """``Data_ID`` in the pattern of the study; as there, the tag does not tell the animal."""
        day = np.datetime64(f"{2000 + self.animal}-01-01") + self.session
        return f"{str(day).replace('-', '')}_sim_{ANIMAL_TAGS[self.animal - 1]}_1"

    @property
    def run(self):
        """Run label, shape (T,), uint8: speed above 0.5 cm/s."""
        return (self.speed_cm_s > RUN_THRESHOLD_CM_S).astype(np.uint8)

    @property
    def shift_px(self):
        """How far the brain lies from its place, (T, 2): down, and right."""
        return self.run_shift_px + self.sway_px

    @property
    def anatomy(self):
        """:class:`~calcium_decoding.simulation.widefield.brains.Anatomy` of the animal."""
        return anatomy(self.settings.seed, self.animal, self.settings.parts.odd_animal == self.animal)

    def activity(self):
        """All that changes the fluorescence of the areas themselves, (T, 50), % dF/F."""
        return self.driven + self.spontaneous + self.drift + self.noise

    @threadpool_limits.wrap(limits=1)  # a product in several threads may round differently
    def components(self):
        """ROI traces of each component by itself, dict of (T, 50), % dF/F; their sum, rounded, is the signal."""
        place = self.anatomy
        activity, blood = place.mixing()
        parts = {name: getattr(self, name) @ activity.T for name in ("driven", "spontaneous", "drift", "noise")}
        parts["blood"] = -self.blood @ blood.T
        parts["motion"] = 100.0 * self.shift_px @ place.roi_mean(place.relative_gradient()).T
        return parts

    def signal(self):
        """The 50 ROI traces, shape (T, 50), float32, % dF/F, rounded to 0.001."""
        return sum(self.components().values()).round(SIGNAL_DECIMALS).astype(np.float32)

    @threadpool_limits.wrap(limits=1)
    def violet(self, offset_frames=0.5):
        """ROI traces at violet excitation, (T, 50), float32, %: blood, movement, drift and noise, and no calcium.
        Each frame is so much later than that of :meth:`signal` with the same number, as where the two alternate."""
        parts, rng = self.components(), generator(self.settings.seed, self.animal, self.session, 5)
        share = VIOLET_BLOOD * rng.lognormal(0.0, VIOLET_SPREAD, size=parts["blood"].shape[1])
        seen = share * parts["blood"] + parts["motion"] + VIOLET_DRIFT * parts["drift"]
        later = np.concatenate([seen[1:], seen[-1:]])
        noise = rng.normal(0.0, VIOLET_NOISE * self.settings.noise, size=seen.shape) @ self.anatomy.mixing()[0].T
        return ((1 - offset_frames) * seen + offset_frames * later + noise).round(SIGNAL_DECIMALS).astype(np.float32)

    def shares(self):
        """Share of the variance of each ROI that comes from each component, dict of (50,)."""
        parts = self.components()
        total = sum(parts.values()).var(axis=0)
        return {name: (part.var(axis=0) / total).round(SHARE_DECIMALS) for name, part in parts.items()}

    @threadpool_limits.wrap(limits=1)
    def maps(self):
        """What the animal's own running puts into each pixel as ``driven`` (by neurons), ``blood`` and ``motion``: dict
        of (128, 128), float32, SD over time in % dF/F."""
        place, linked = self.anatomy, float(self.settings.parts.linked)
        by_pixel = place.parcels.reshape(len(place.parcels), -1).T
        down, right = place.relative_gradient()
        (vv, vh), (_, hh) = np.cov(self.run_shift_px.T)
        maps = {
            "driven": _sd_of_mixture(by_pixel, self.driven),
            "blood": _sd_of_mixture(by_pixel, self.blood) * place.blood_weight().reshape(-1),
            "motion": 100.0 * np.sqrt(vv * down**2 + 2 * vh * down * right + hh * right**2),
        }
        return {name: (linked * m).reshape(place.brain.shape).round(MAP_DECIMALS).astype(np.float32)
                for name, m in maps.items()}

    def movie(self):
        """All frames at once, (T, 128, 128), uint16."""
        return render(self)

    def recording(self, violet=False):
        """The session as the ordinary reader would give it; ``violet``: with those traces beside the ROIs."""
        found = Recording(self.signal(), {"run": self.run, "speed_cm_s": self.speed_cm_s}, RATE_HZ,
                          f"mouse {self.animal}", self.name, simulated=True, source=f"simulated {self.name}")
        return with_control(found, self.violet()) if violet else found


def simulate_session(settings, animal, session):
    """One session (counted from 0) of one animal (1 to 5), a :class:`SimulatedSession`; it depends on no other."""
    world, n = settings.parts, settings.frames_per_session
    behaviour, brain, other, blood, motion = (generator(settings.seed, animal, session, part) for part in range(5))
    share = wanted_run_share(animal, session)
    speed = simulate_speed(n, share, behaviour, world.share_drift)
    # Without coupling the brain follows a run the animal never made, with a share that no session has for itself.
    felt = speed if world.linked else simulate_speed(n, wanted_run_share(animal, 0), other, world.share_drift)
    own = generator(settings.seed, animal, ALL_SESSIONS, 0)
    gain = own.lognormal(0.0, GAIN_SPREAD[0], size=len(roi_table()))
    arousal = settings.arousal * own.lognormal(0.0, AROUSAL_ANIMAL_SPREAD)
    stride = own.lognormal(0.0, STRIDE_SPREAD[0], size=len(gain)) * brain.lognormal(0.0, STRIDE_SPREAD[1])
    drive = area_drive(felt, brain, world.lag_s, stride)
    gain *= brain.lognormal(0.0, GAIN_SPREAD[1]) * (ODD_GAIN if world.odd_animal == animal else 1.0)
    return SimulatedSession(
        settings, animal, session, speed,
        driven=settings.drive * world.neural * driven_groups(world) * gain * indicator(drive),
        spontaneous=gain * indicator(spontaneous(n, arousal, brain, stride)),
        drift=baseline_drift(n, settings.drift, brain, world.brain_drift),
        noise=brain.normal(0.0, settings.noise, size=drive.shape),
        blood=world.haemodynamics * blood_absorption(felt, blood),
        run_shift_px=(world.motion * brain_shift(felt, motion)).round(SHIFT_DECIMALS),
        sway_px=(world.sway * brain_sway(n, motion)).round(SHIFT_DECIMALS),
        gain=gain.round(GAIN_DECIMALS),
    )


def driven_groups(world):
    """1 for each ROI whose neurons running can drive in a world, else 0, shape (50,)."""
    groups = roi_table()["group"].to_numpy()
    return np.ones(len(groups)) if not world.only_group else (groups == world.only_group).astype(float)


def brain_shift(speed_cm_s, rng):
    """Movement of the brain under the camera, (T, 2), pixels down and right: a damped swing when a run begins; a
    lasting shift, which begins a quarter of a second before the run label, and small jitter while it lasts."""
    running = speed_cm_s > RUN_THRESHOLD_CM_S
    onsets = np.flatnonzero(np.diff(running.astype(int), prepend=int(running[0])) > 0)
    push = np.zeros((len(running), 2))
    size = ONSET_SHIFT_PX * rng.lognormal(0.0, 0.4, size=len(onsets))
    angle = rng.normal(0.4, 0.3, size=len(onsets))
    push[onsets] = size[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    t = np.arange(round(1.5 * RATE_HZ)) / RATE_HZ
    swing = np.exp(-t / 0.3) * np.cos(2 * np.pi * 1.5 * t)
    swings = np.column_stack([np.convolve(push[:, axis], swing)[: len(running)] for axis in range(2)])
    jitter = lfilter([0.5], [1.0, -0.5], rng.normal(size=(len(running), 2)), axis=0)
    held = uniform_filter1d(running.astype(float), round(0.5 * RATE_HZ))
    posture = POSTURE_SHIFT_PX * held[:, None] * np.array([np.cos(0.4), np.sin(0.4)])
    return swings + posture + 0.06 * jitter * running[:, None]


def brain_sway(n_frames, rng):
    """Movement of the brain by breath and posture, at rest too, (T, 2), pixels down and right: slow and fast noise."""
    slow, fast = SWAY_PX
    return np.column_stack([slow * slow_noise(n_frames, 1.0, rng) + fast * slow_noise(n_frames, 0.05, rng)
                            for _ in range(2)])


def dataset(settings, name=None, violet=False):
    """All sessions in memory, ROI traces only, as a Dataset; ``name``: that of the world if left out. ``violet``: with
    as many traces at violet excitation beside them, for a preprocessing with ``blood``."""
    recordings = tuple(simulate_session(settings, *which).recording(violet) for which in settings.sessions())
    return Dataset(name or f"simulated {settings.world}", recordings, caution=f"Simulated: {settings.parts.says}.")


def informative_areas(settings):
    """What running does to each ROI, by kernel: dict of (50,), and ``lag_s``; zero where nothing links them."""
    world = settings.parts
    gains = area_gains()
    scale = settings.drive * world.neural * world.linked * driven_groups(world)
    truth = {name: gains[name].to_numpy() * scale for name in gains if name not in ("lag_s", "blood")}
    lag_s = gains["lag_s"].to_numpy() if world.lag_s is None else np.full(len(gains), world.lag_s)
    return truth | {"lag_s": lag_s, "blood": gains["blood"].to_numpy() * world.haemodynamics * world.linked}


def _sd_of_mixture(weights, traces):
    """SD over time of ``traces @ weights.T``, (n,), from the covariance of the traces."""
    return np.sqrt(np.einsum("ni,ij,nj->n", weights, np.cov(traces.T), weights, optimize=True).clip(min=0))
