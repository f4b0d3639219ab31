"""Simulated ensembles of one motor cortex during steps, with known truth: settings, sessions, data sets.

After what is known of the recordings of Mirzaee, Chang, Latifi 2025 (arXiv 2504.16917): the problem, not its numbers.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import pydantic
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from calcium_decoding.data.readers.footsteps import UNITS
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import ParameterError
from calcium_decoding.simulation.footsteps import cell_model, gait
from calcium_decoding.simulation.signals import autoregressive, generator

RATE_HZ = 15.0
DRIFT_S = 30.0  # time constant of the shared drift
NEUROPIL_S = 3.0  # and of what the neuropil has of its own
TRACE_DECIMALS = 5  # of dF/F, and of what is deconvolved; why they are rounded: `simulation.signals`
_WALK, _CELLS, _EVENTS, _NOISE, _SLOW, _ELSEWHERE, _SESSION = range(7)


class World(pydantic.BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Settings of a simulated data set; all else follows from them. Raises ParameterError: a value out of range.

    - ``animals``; ``sessions`` of each, which share its cells; ``frames`` of a session (study: 3,000).
    - ``min_cells``, ``max_cells``: the number of cells of an animal is drawn between these, both inclusive.
    - ``snr``: peak of the transient of one event over the SD of the white noise.
    - ``contra_share``, ``ipsi_share``, ``both_share``: of cells tuned to contralateral steps, ipsilateral steps, both.
    - ``gain``: factor on every cell's tuned rate; 1 is about 2 events a second at full drive.
    - ``session_sd``: SD of the log of each cell's gain from session to session.
    - ``drift``: SD of a slow baseline that all cells share, in transients of one event.
    - ``neuropil``: share of the mean fluorescence of all cells that leaks into each, times a factor of mean 1.
    - ``rise_s``, ``decay_s``: of the indicator. ``trace``: what ``signal`` holds, see :func:`cell_model.deconvolve`.
    - ``zero_tuning``: negative control, the cells follow steps that were not recorded.
    """

    animals: PositiveInt = 4
    sessions: PositiveInt = 2
    frames: int = pydantic.Field(3000, ge=300)
    min_cells: int = pydantic.Field(400, ge=10)
    max_cells: int = 600
    snr: PositiveFloat = 4.0
    contra_share: NonNegativeFloat = 0.15
    ipsi_share: NonNegativeFloat = 0.10
    both_share: NonNegativeFloat = 0.05
    gain: NonNegativeFloat = 1.0
    session_sd: NonNegativeFloat = 0.3
    drift: NonNegativeFloat = 0.5
    neuropil: NonNegativeFloat = 0.3
    rise_s: PositiveFloat = cell_model.RISE_S
    decay_s: PositiveFloat = cell_model.DECAY_S
    trace: Literal[tuple(UNITS)] = "deconvolved"
    zero_tuning: bool = False
    seed: NonNegativeInt = 1

    def __init__(self, **settings):
        try:
            super().__init__(**settings)
        except pydantic.ValidationError as error:
            problem = error.errors()[0]
            raise ParameterError(", ".join(("footsteps", *problem["loc"])), repr(problem["input"]),
                                 problem["msg"].removeprefix("Value error, "),
                                 f"change it; there are {', '.join(World.model_fields)}") from error

    @pydantic.model_validator(mode="after")
    def _fits(self):
        if self.max_cells < self.min_cells or sum(self.shares) > 1:
            raise ValueError("max_cells not below min_cells, and shares of cells that sum to 1 at most")
        return self

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
    """What is known of one animal: ``cells``, a row a cell (see :func:`cell_model.draw_cells`; of zero tuning, weights
    of 0), and by session ``events`` (T, n_cells) a frame."""

    cells: pd.DataFrame
    events: dict


def simulate(world):
    """A Dataset of recordings ``"animal 1/session 1"``..., and dict of str to AnimalTruth, by animal."""
    recordings, truth = [], {}
    for animal in range(1, world.animals + 1):
        name = animal_name(animal)
        truth[name] = AnimalTruth(known_cells(world, animal), {})
        for number in range(1, world.sessions + 1):
            session = simulate_session(world, animal, number)
            truth[name].events[session_name(number)] = session.events
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
    traces = dff, cell_model.deconvolve(dff, RATE_HZ, world.decay_s)
    return Session(behaviour, steps, rates_hz, events, drift,
                   *(trace.round(TRACE_DECIMALS).astype(np.float32) for trace in traces))


def known_cells(world, animal):
    """The truth about the cells of an animal, counted from 1: DataFrame; see :class:`AnimalTruth`."""
    cells = _cells(world, animal)
    if world.zero_tuning:
        cells["tuning"] = "none"
        cells[[*cell_model.WEIGHTS, "gain_hz"]] = 0.0
    return cells


def animal_name(number):
    return f"animal {number}"


def session_name(number):
    return f"session {number}"


def _cells(world, animal):
    rng = generator(world.seed, animal, 0, _CELLS)
    n_cells = int(rng.integers(world.min_cells, world.max_cells + 1))
    return cell_model.draw_cells(n_cells, world.shares, world.snr, rng)


def _behave(n_frames, rng):
    steps = gait.walk(n_frames, rng)
    return {"footstep": gait.labels(*steps, n_frames), **gait.kinematics(*steps, n_frames, RATE_HZ, rng)}, steps
