"""Simulated ensembles of one motor cortex, with known truth: settings, sessions, data sets.

A head-fixed mouse steps with both forelimbs while hundreds of its cells are imaged at 15 Hz, after what is known of the
recordings of Mirzaee, Chang, Latifi 2025 (arXiv 2504.16917). It stands for the kind of problem, not for its numbers."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from calcium_decoding.data.readers.footsteps import UNITS
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import ParameterError
from calcium_decoding.preprocessing.transforms import whole_number
from calcium_decoding.simulation.footsteps import cell_model, gait
from calcium_decoding.simulation.signals import autoregressive, generator

RATE_HZ = 15.0
DRIFT_S = 30.0  # time constant of the shared drift
NEUROPIL_S = 3.0  # and of what the neuropil has of its own
_WALK, _CELLS, _EVENTS, _NOISE, _SLOW, _ELSEWHERE, _SESSION = range(7)


@dataclass(frozen=True)
class World:
    """Settings of a simulated data set; all else follows from them. Raises ParameterError: a value out of range.

    - ``animals``; ``sessions`` of each, which share its cells; ``frames`` of a session, at least 300 (study: 3,000).
    - ``min_cells``, ``max_cells``: the number of cells of an animal is drawn between these, both inclusive.
    - ``snr``: peak of the transient of one event over the SD of the white noise.
    - ``contra_share``, ``ipsi_share``, ``both_share``: of cells tuned to contralateral steps, ipsilateral steps, both.
    - ``gain``: factor on every cell's tuned rate; 1 is about 2 events a second at full drive.
    - ``session_sd``: SD of the log of each cell's gain from session to session.
    - ``drift``: SD of a slow baseline that all cells share, in transients of one event.
    - ``neuropil``: share of the mean fluorescence of all cells that leaks into each, times a factor of mean 1.
    - ``rise_s``, ``decay_s``: of the indicator, s. ``trace``: what ``signal`` holds, ``"deconvolved"`` (see
      :func:`calcium_decoding.simulation.footsteps.cell_model.deconvolve`) or ``"dff"``.
    - ``zero_tuning``: negative control, the cells follow steps that were not recorded. Rates, rhythm and correlations
      between cells are unchanged, but independent of the recorded behaviour.
    """

    animals: int = 4
    sessions: int = 2
    frames: int = 3000
    min_cells: int = 400
    max_cells: int = 600
    snr: float = 4.0
    contra_share: float = 0.15
    ipsi_share: float = 0.10
    both_share: float = 0.05
    gain: float = 1.0
    session_sd: float = 0.3
    drift: float = 0.5
    neuropil: float = 0.3
    rise_s: float = cell_model.RISE_S
    decay_s: float = cell_model.DECAY_S
    trace: str = "deconvolved"
    zero_tuning: bool = False
    seed: int = 1

    def __post_init__(self):
        for name, low in (("animals", 1), ("sessions", 1), ("frames", 300), ("min_cells", 10),
                          ("max_cells", self.min_cells), ("seed", 0)):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), low))
        for name in ("contra_share", "ipsi_share", "both_share", "gain", "session_sd", "drift", "neuropil"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ParameterError(name, repr(getattr(self, name)), "0 or more", f"change {name}")
        for name in ("snr", "rise_s", "decay_s"):
            if not 0 < getattr(self, name) < np.inf:
                raise ParameterError(name, repr(getattr(self, name)), "a positive number", f"change {name}")
        if sum(self.shares) > 1:
            raise ParameterError("shares of tuned cells", repr(self.shares), "shares that sum to 1 at most",
                                 "make them smaller")
        if self.trace not in UNITS:
            raise ParameterError("trace", repr(self.trace), f"one of {', '.join(UNITS)}", "name one of these")

    @property
    def shares(self):
        """Shares of cells tuned to contralateral steps, ipsilateral steps and both."""
        return self.contra_share, self.ipsi_share, self.both_share


@dataclass(frozen=True, eq=False)
class Session:
    """One simulated session: ``behaviour`` of (T,) float32, with ``"footstep"`` and the kinematics of both paws;
    ``steps``, of :func:`gait.walk`; expected ``rates_hz``, true ``events`` a frame (uint8), ``dff`` (a share, not %)
    and ``deconvolved``, all (T, n_cells); ``drift`` (T,), the shared slow baseline, in transients of one event."""

    behaviour: dict
    steps: tuple
    rates_hz: np.ndarray
    events: np.ndarray
    drift: np.ndarray
    dff: np.ndarray
    deconvolved: np.ndarray


@dataclass(frozen=True, eq=False)
class AnimalTruth:
    """What is known of one animal: ``cells``, a row a cell (see :func:`cell_model.draw_cells`), and by session
    ``events`` (T, n_cells) a frame and ``steps`` (foot, first, last frame). In a world of zero tuning every cell's
    tuning is ``"none"`` and its weights are 0, since what it follows was not recorded."""

    cells: pd.DataFrame
    events: dict = field(default_factory=dict)
    steps: dict = field(default_factory=dict)


def simulate(world):
    """A data set and the truth about it.

    Returns a Dataset with recordings ``"animal 1/session 1"``... that have ``behaviour["footstep"]`` (0 none, 1
    contralateral, 2 ipsilateral) and the kinematics of both paws; and dict of str to AnimalTruth, by animal.
    """
    recordings, truth = [], {}
    for animal in range(1, world.animals + 1):
        name = animal_name(animal)
        truth[name] = AnimalTruth(known_cells(world, animal))
        for number in range(1, world.sessions + 1):
            session = simulate_session(world, animal, number)
            truth[name].events[session_name(number)] = session.events
            truth[name].steps[session_name(number)] = session.steps
            recordings.append(Recording(getattr(session, world.trace), session.behaviour, RATE_HZ, name,
                                        session_name(number), signal_unit=UNITS[world.trace], simulated=True))
    return Dataset("simulated footsteps", tuple(recordings), regime="blocked"), truth


def simulate_session(world, animal, number):
    """One session of one animal, both counted from 1, as a :class:`Session`; no other session can change it."""
    def rng(part):
        return generator(world.seed, animal, number, part)

    behaviour, steps = _behave(world.frames, rng(_WALK))
    cells = _cells(world, animal)
    followed = _behave(world.frames, rng(_ELSEWHERE))[0] if world.zero_tuning else behaviour
    session_gain = world.gain * rng(_SESSION).lognormal(0.0, world.session_sd, len(cells))
    rates_hz = cell_model.rates(cells, followed, session_gain)
    events = np.minimum(rng(_EVENTS).poisson(rates_hz / RATE_HZ), 255).astype(np.uint8)
    clean = cell_model.fluorescence(events, RATE_HZ, world.rise_s, world.decay_s)
    slow = rng(_SLOW)
    drift = world.drift * autoregressive(slow.standard_normal(world.frames), DRIFT_S * RATE_HZ)
    neuropil = clean.mean(axis=1) + clean.mean(axis=1).std() * autoregressive(
        slow.standard_normal(world.frames), NEUROPIL_S * RATE_HZ)
    share = world.neuropil * slow.uniform(0.0, 2.0, len(cells))
    # In transients of one event up to here; noise is drawn cell by cell as a part of them, so SNR holds exactly.
    noise = rng(_NOISE).standard_normal(clean.shape, np.float32) / cells["snr"].to_numpy(np.float32)
    dff = cells["amplitude"].to_numpy() * (clean + drift[:, None] + neuropil[:, None] * share + noise)
    return Session(behaviour, steps, rates_hz, events, drift, dff.astype(np.float32),
                   cell_model.deconvolve(dff, RATE_HZ, world.decay_s).astype(np.float32))


def known_cells(world, animal):
    """The truth about the cells of an animal, counted from 1: DataFrame; see :class:`AnimalTruth`."""
    cells = _cells(world, animal)
    if world.zero_tuning:
        cells["tuning"] = "none"
        cells[[*cell_model.WEIGHTS, "gain_hz"]] = 0.0
    return cells


def animal_name(number):
    """Name of an animal, counted from 1."""
    return f"animal {number}"


def session_name(number):
    """Name of a session, counted from 1."""
    return f"session {number}"


def _cells(world, animal):
    rng = generator(world.seed, animal, 0, _CELLS)
    n_cells = int(rng.integers(world.min_cells, world.max_cells + 1))
    return cell_model.draw_cells(n_cells, world.shares, world.snr, rng)


def _behave(n_frames, rng):
    steps = gait.walk(n_frames, rng)
    return {"footstep": gait.labels(*steps, n_frames), **gait.kinematics(*steps, n_frames, RATE_HZ, rng)}, steps
