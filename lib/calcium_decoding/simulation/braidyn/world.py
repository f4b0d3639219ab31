"""Mice that pull a lever for water while 44 cortical parcels are imaged: settings, behaviour, traces, what was planted.

After the design of BraiDyn-BC (Kondo et al., Scientific Data 2025; DANDI 001425): parcels, task, channels, the
correction for blood. Its recordings were not used. Weights were set so that a linear decoder that sees the second after
an onset scores across mice about what was reported for the real recordings (AUC 0.80 for the lever, 0.85 for licks);
nothing else was.
"""

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import pandas as pd
import pydantic
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from scipy import signal
from scipy.spatial.distance import cdist

from calcium_decoding.errors import ParameterError
from calcium_decoding.simulation.signals import autoregressive, generator, indicator_kernel

RATE_HZ = 30.0
CAMERA_HZ = 100.0  # of the video whose key points are tracked
RESPONSE_S = 2.0  # after the tone, in which a pull is rewarded
HELD_S = 0.3  # for which a pull has to be held
THRESHOLD_MM = 1.0  # of the lever, above which it counts as pulled
LICKS_HZ = 6.5
DECIMALS = 6  # of dF/F, a share
PERCENT = 0.01
# What drives the parcels: when, from the onset (s), until when (None: the end), and the weight of left and right
# parcels. Movement is preceded by its activity, tone and water are followed by theirs; water takes activity away, too.
PLANTED = {
    "pull": (-0.2, 0.25, {"MOs": (0.8, 0.4), "MOp": (0.8, 0.2), "SSp_ul": (0.6, 0.1), "SSp_ll": (0.4, 0.2),
                          "SSp_tr": (0.3, 0.2), "RSPagl": (0.3, 0.3)}),
    "lick": (-0.1, None, {"MOs": (0.2, 0.2), "MOp": (0.15, 0.15), "SSp_m": (0.4, 0.4), "SSp_n": (0.25, 0.25)}),
    "rightpaw": (-0.2, None, {"SSp_ul": (1.4, 0.2), "MOp": (1.2, 0.2), "SSp_un": (0.8, 0.1)}),
    "leftpaw": (-0.2, None, {"SSp_ul": (0.2, 1.4), "MOp": (0.2, 1.2), "SSp_un": (0.1, 0.8)}),
    "tone": (0.03, 0.3, {"AUDp": (1, 1), "AUDs": (0.8, 0.8), "VISa": (0.2, 0.2)}),
    "reward": (0.1, 0.9, {"RSPd": (0.8, 0.8), "RSPagl": (0.7, 0.7), "SSp_ul": (-0.3, -0.3), "VISp": (-0.4, -0.4)}),
}
_ANIMAL, _DAY, _BEHAVIOUR, _NOISE, _ELSEWHERE = range(5)


class World(pydantic.BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Settings of a simulated set; all else follows from them. Raises ParameterError: a value out of range.

    - ``animals``; ``days`` of each, one session a day; ``frames`` of a session. The design has 25, 15 and 54,000.
    - ``amplitude``: of what behaviour drives, % dF/F at weight 1.
    - ``animal_sd``, ``day_sd``: SD of the log of each weight from animal to animal, and from a day to the next.
    - ``blood``: scale of blood in both channels. ``motion``: of movement in both channels, % dF/F.
    - ``linked``: if not, the parcels follow the behaviour of another session.
    """

    animals: PositiveInt = 5
    days: PositiveInt = 4
    frames: int = pydantic.Field(5400, ge=900)
    amplitude: NonNegativeFloat = 0.95
    animal_sd: NonNegativeFloat = 0.4
    day_sd: NonNegativeFloat = 0.2
    blood: NonNegativeFloat = 1.0
    motion: NonNegativeFloat = 0.3
    linked: bool = True
    seed: NonNegativeInt = 1

    def __init__(self, **settings):
        try:
            super().__init__(**settings)
        except pydantic.ValidationError as error:
            problem = error.errors()[0]
            raise ParameterError(", ".join(map(str, ("braidyn", *problem["loc"]))), repr(problem["input"]),
                                 problem["msg"], f"change it; there are {', '.join(World.model_fields)}") from error


@dataclass(frozen=True, eq=False)
class Session:
    """One simulated session. ``frames``: behaviour on imaging frames, a column each; ``camera_s`` (n,): times of the
    video; ``keypoints``: by name (n, 3), x, y (px) and likelihood; ``trials``: a row a trial; ``dff``, ``blue``,
    ``violet``: (T, 44), a share; ``weights`` (6, 44): of what is in :data:`PLANTED`, % dF/F."""

    frames: pd.DataFrame
    camera_s: np.ndarray
    keypoints: dict
    trials: pd.DataFrame
    dff: np.ndarray
    blue: np.ndarray
    violet: np.ndarray
    weights: np.ndarray


@cache
def parcels():
    """The 44 parcels, a DataFrame: name, side, description, centre (px) and area (px)."""
    with resources.as_file(resources.files(__package__) / "parcels.csv") as path:
        return pd.read_csv(path, comment="#")


def weights(world, animal, day):
    """How strongly each of :data:`PLANTED` drives each parcel, (6, 44), % dF/F; each day goes on from the one
    before."""
    table = parcels()
    group = np.array([[of.get(name, (0, 0))[side == "right"] for name, side in zip(table["name"], table["side"],
                                                                                   strict=True)]
                      for _, _, of in PLANTED.values()])
    changes = [world.animal_sd * generator(world.seed, animal, 0, _ANIMAL).standard_normal(group.shape)]
    changes += [world.day_sd * generator(world.seed, animal, one, _DAY).standard_normal(group.shape)
                for one in range(2, day + 1)]
    return world.amplitude * group * np.exp(sum(changes))


def simulate_session(world, animal, day):
    """The session of one animal on one day, both counted from 1; no other can change it."""
    def rng(part):
        return generator(world.seed, animal, day, part)

    own = rng(_BEHAVIOUR)
    events, trials = _events(world.frames / RATE_HZ, own)
    behaviour, camera_s, keypoints = _behave(world.frames, events, trials, own)
    followed = events if world.linked else _events(world.frames / RATE_HZ, rng(_ELSEWHERE))[0]
    planted = weights(world, animal, day)
    drive = np.stack([_boxes(behaviour.index, followed[name] if stop is None else
                             np.stack([followed[name][:, 0], followed[name][:, 0] + stop - start], 1), start)
                      for name, (start, stop, _) in PLANTED.items()], 1)
    noise = rng(_NOISE)
    calcium = signal.fftconvolve(drive @ planted, indicator_kernel(RATE_HZ)[:, None])[: world.frames]
    calcium = noise.lognormal(0, 0.15) * calcium + _spontaneous(world.frames, noise)
    shared = calcium.mean(1)
    behaviour["pupil"] = 40 + 4 * _slow(shared, noise)
    blood = -world.blood * np.outer(_slow(shared, noise), noise.lognormal(0, 0.2, calcium.shape[1])) * 0.5
    moved = world.motion * np.outer(behaviour["motion"], noise.normal(0, 1, calcium.shape[1]))
    white = 0.25 * noise.standard_normal((2, *calcium.shape))
    blue, violet = calcium + blood + moved + white[0], 0.8 * blood + moved + white[1]
    blue, violet, dff = (np.round(PERCENT * x, DECIMALS).astype(np.float32) for x in corrected(blue, violet))
    return Session(behaviour, camera_s, keypoints, trials, dff, blue, violet, planted)


def corrected(blue, violet):
    """Both channels filtered, and what the violet one does not explain of the blue one, as BraiDyn-BC makes ``dFF``:
    0.01 to 10 Hz, forwards and backwards, then a regression over the session. All three look ahead."""
    band = signal.butter(5, (0.01, 10), "bandpass", fs=RATE_HZ, output="sos")
    violet = np.concatenate([violet[:1], (violet[1:] + violet[:-1]) / 2])  # its frames lie between the blue ones
    blue, violet = (signal.sosfiltfilt(band, x, axis=0) for x in (blue, violet))
    centred, other = blue - blue.mean(0), violet - violet.mean(0)
    return blue, violet, centred - (centred * other).sum(0) / (other**2).sum(0) * other


def _events(length_s, rng):
    """Onsets and ends (s) by name, each (n, 2), and the trials."""
    found, rows, t = {name: [] for name in PLANTED}, [], 2.0
    while (t := t + rng.uniform(3, 6)) < length_s - 6:
        reaction, held = 0.25 + rng.exponential(0.5), rng.uniform(0.2, 0.8)
        pulls, is_hit = rng.random() < 0.8 and reaction < RESPONSE_S, held >= HELD_S
        found["tone"].append((t, t + 0.5))
        row = {"start_time": t, "stop_time": t + RESPONSE_S, "lever": np.nan, "reward": np.nan, "reaction_time": np.nan,
               "required_pull_duration": HELD_S, "trial_outcome": "missed"}
        if pulls:
            found["pull"].append((t + reaction, t + reaction + held))
            row["trial_outcome"] = "failed"
        if pulls and is_hit:
            water = t + reaction + HELD_S
            row |= {"stop_time": water, "lever": t + reaction, "reward": water, "reaction_time": reaction,
                    "trial_outcome": "success"}
            found["reward"].append((water, water + 0.1))
            begins = water + rng.uniform(0.1, 0.3)
            found["lick"].append((begins, begins + rng.uniform(1.2, 2.2)))
        rows.append(row)
        t = row["stop_time"]
    for name, rate_hz, longest in (("pull", 0.06, 0.6), ("lick", 0.05, 1.5), ("rightpaw", 0.08, 0.7),
                                   ("leftpaw", 0.08, 0.7)):
        for start in rng.uniform(1, length_s - 4, rng.poisson(rate_hz * length_s)):
            found[name].append((start, start + rng.uniform(0.25, longest)))
    found["rightpaw"] += found["pull"]  # it is the right paw that pulls; the left one often goes along
    found["leftpaw"] += [pull for pull in found["pull"] if rng.random() < 0.4]
    return {name: np.array(sorted(pairs)).reshape(-1, 2) for name, pairs in found.items()}, pd.DataFrame(rows)


def _behave(n_frames, events, trials, rng):
    """What is measured: on frames, and key points on the clock of the camera."""
    at = np.arange(n_frames) / RATE_HZ
    camera_s = np.round(np.arange(round(n_frames / RATE_HZ * CAMERA_HZ)) / CAMERA_HZ - 0.004, 6)
    lever = 5 * _boxes(at, events["pull"], rise_s=0.04) + 0.1 * rng.standard_normal(n_frames)
    lever = np.round(lever, 3)
    licks = np.concatenate([np.arange(start, stop, 1 / LICKS_HZ) for start, stop in events["lick"]] or [[]])
    licks = np.histogram(licks + rng.normal(0, 0.01, len(licks)), np.append(at, at[-1] + 1 / RATE_HZ))[0]
    state = np.zeros(n_frames, np.int16)
    for start, stop in trials[["start_time", "stop_time"]].to_numpy():
        state[(at >= start) & (at < stop)] = 1
    for start, _ in events["reward"]:
        state[(at >= start) & (at < start + 1)] = 2
    keypoints = {}
    for name, place in (("rightpaw", (210, 150)), ("leftpaw", (110, 150))):
        out = _boxes(camera_s, events[name], rise_s=0.05)
        x, y = (one + 0.4 * rng.standard_normal(len(camera_s)) for one in (place[0] + 12 * out, place[1] - 30 * out))
        keypoints[f"{name}center"] = np.round(np.stack([x, y, rng.beta(60, 1, len(x))], 1), 3)
    keypoints["lickport"] = np.round(np.array([160, 60, 0.99]) + 0.05 * rng.standard_normal((len(camera_s), 3)), 3)
    keypoints["lickport"][:, 2] = keypoints["lickport"][:, 2].clip(0, 1)
    moving = sum(_boxes(at, events[name], rise_s=0.1) for name in ("pull", "lick", "rightpaw", "leftpaw"))
    table = {"lever": lever, "state_lever": lever > THRESHOLD_MM, "lick": licks > 0,
             "lick_rate": np.round(pd.Series(licks).rolling(30, min_periods=1).sum().to_numpy(float), 3),
             "reward": _boxes(at, events["reward"]) > 0, "tone": _boxes(at, events["tone"]) > 0,
             "motion": np.round(moving + 0.2 * rng.standard_normal(n_frames), 3), "state_task": state}
    return pd.DataFrame(table, index=pd.Index(at, name="time_s")), camera_s, keypoints


def _boxes(at, spans, shift_s=0.0, rise_s=0.0):
    """1 within spans (s), 0 elsewhere, at some times; the rise takes about three times ``rise_s``."""
    at, out = np.asarray(at), np.zeros(len(at))
    for start, stop in spans + shift_s:
        inside = (at >= start) & (at < stop)
        if rise_s:
            inside = np.clip(np.tanh((at - start) / rise_s) * (at >= start), 0, 1) * (
                1 - np.clip(np.tanh((at - stop) / rise_s), 0, 1))
        out = np.maximum(out, inside)
    return out


def _slow(shared, rng):
    """What follows all parcels slowly, of unit variance: the response of vessels, and a wander of its own."""
    t = np.arange(round(5 * RATE_HZ)) / RATE_HZ
    kernel = t**2 * np.exp(-t / 0.5)
    follows = signal.fftconvolve(shared - shared.mean(), kernel / kernel.sum())[: len(shared)]
    return follows / follows.std() + 0.5 * autoregressive(rng.standard_normal(len(shared)), 5 * RATE_HZ)


def _spontaneous(n_frames, rng):
    """Activity that no behaviour here explains, (T, 44), % dF/F: one wave over all parcels, and one that neighbours
    share.
    """
    table = parcels()
    near = np.exp(-cdist(table[["x_px", "y_px"]], table[["x_px", "y_px"]]) / 100)
    local = autoregressive(rng.standard_normal((n_frames, len(table))), 0.5 * RATE_HZ) @ np.linalg.cholesky(near).T
    wave = autoregressive(rng.standard_normal(n_frames), 2 * RATE_HZ)
    return 0.5 * local + 0.7 * np.outer(wave, rng.lognormal(0, 0.2, len(table)))
