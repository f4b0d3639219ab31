"""Worlds in which it is known which ROIs and which frames carry the label, and what maps say in them."""

from dataclasses import replace

import numpy as np

import calcium_decoding as cd
from calcium_decoding.errors import ParameterError
from calcium_decoding.explain import map_runs
from calcium_decoding.models import names
from calcium_decoding.simulation import widefield
from calcium_decoding.splits import animal_pairs
from decoding_book.parameters import TRUTH_OF

SIZE = {"animals": 3, "sessions_per_animal": 3}
FLAT_ROIS, FLAT_INFORMATIVE, FLAT_GAIN, BOUT = 8, 4, 0.3, 400


def examine(names, experiment, model, asked, frames, seed, store=None, jobs=None):
    """Decoders and their maps in small simulated worlds of three animals, with an experiment's window and training.
    ``names``: of :data:`TRUTH_OF`. ``frames``: of each of nine sessions, at 30 Hz. Returns by world a list of Examined,
    one fold a test animal, and the truth, shape (50,): each ROI's share of variance, mean over sessions.
    ParameterError: an unknown world."""
    if unknown := set(names) - set(TRUTH_OF):
        raise ParameterError("worlds", ", ".join(sorted(unknown)), f"of {', '.join(TRUTH_OF)}", "name these")
    found = {}
    for name in names:
        settings = widefield.SimulationSettings(world=name, seed=seed, frames_per_session=frames, **SIZE)
        sessions = [widefield.simulate_session(settings, *which) for which in settings.sessions()]
        dataset = cd.Dataset(f"simulated {name}", tuple(s.recording() for s in sessions))
        truth = np.mean([s.shares()[TRUTH_OF[name]] for s in sessions], axis=0)
        of_world = experiment.with_(dataset=dataset, split=one_fold_an_animal(dataset),
                                    preprocessing=experiment.recipe | {"rate_hz": widefield.RATE_HZ})
        found[name] = map_runs.run(of_world, model, asked, store, jobs, name), truth
    return found


def planted_lag_frames(name):
    """Lag of a world's areas behind behaviour, frames; None where areas have lags of their own."""
    lag_s = widefield.WORLDS[name].lag_s
    return None if lag_s is None else lag_s * widefield.RATE_HZ


def one_fold_an_animal(dataset):
    """Ordered pairs of animals, of which those stay in which the next animal validates."""
    split, animals = animal_pairs(dataset), dataset.animals
    wanted = {f"test={a},valid={b}" for a, b in zip(animals, animals[1:] + animals[:1], strict=True)}
    return replace(split, folds=tuple(f for f in split.folds if f.name in wanted))


def flat(seed, n_frames=2400):
    """Data in which every frame of a window says equally much: white noise on a level that lasts for long bouts. A map
    that favours late frames then shows a habit of the network or of the method. Three animals, two sessions each, eight
    ROIs, four of which are higher while the animal runs; of windows of 31 frames one in thirteen crosses a border of
    bouts."""
    rng, recordings = np.random.default_rng(seed), []
    for animal in range(1, 4):
        for session in range(2):
            run = ((np.arange(n_frames) + rng.integers(BOUT)) // BOUT % 2).astype(np.uint8)
            signal = rng.normal(size=(n_frames, FLAT_ROIS))
            signal[:, :FLAT_INFORMATIVE] += FLAT_GAIN * run[:, None]
            recordings.append(cd.Recording(signal, {"run": run}, widefield.RATE_HZ, f"animal {animal}", f"s{session}",
                                        simulated=True))
    return cd.Dataset("simulated, all frames alike", tuple(recordings))


def reversed_in_time(dataset):
    """The same recordings time-reversed."""
    return replace(dataset, recordings=tuple(
        replace(r, signal=r.signal[::-1], behaviour={name: b[::-1] for name, b in r.behaviour.items()}, movie=None)
        for r in dataset.recordings))


def time_reversed(experiment, model, asked, n, store=None, jobs=None):
    """The first ``n`` folds of an experiment, everything time-reversed; frames are turned back in the maps. A frame
    that counts because of the data keeps its place; one that counts because it is read last comes out first."""
    spec, split = experiment.spec, experiment.split
    spec = replace(spec, past_frames=spec.future_frames, future_frames=spec.past_frames,
                   label_shift_frames=-spec.label_shift_frames)
    backwards = experiment.with_(dataset=reversed_in_time(experiment.dataset), window=spec,
                                 split=replace(split, folds=split.folds[:n]))
    asked = replace(asked, shuffle=False, n_random=0, keep=False)
    return [_turned(one) for one in map_runs.run(backwards, model, asked, store, jobs, "played backwards")]


def _turned(one):
    maps = {state: {method: of | {"by_frame": of["by_frame"] and of["by_frame"][::-1]} for method, of in some.items()}
            for state, some in one.maps.items()}
    return replace(one, maps=maps)


def on_flat(experiment, model, asked, seed, n_frames=2400, store=None, jobs=None):
    """What a network looks at where all frames say the same, and one that reads the window from both ends, if any: list
    of Examined by model (``gru`` and ``bigru``, say)."""
    dataset = flat(seed, n_frames)
    of_flat = cd.Experiment(dataset, one_fold_an_animal(dataset), cd.Traces("scaled", experiment.spec),
                         training=experiment.training)
    return {name: map_runs.run(of_flat, name, asked, store, jobs, f"all frames alike, {name}")
            for name in (model, f"bi{model}") if name in names.EXPLAINED}
