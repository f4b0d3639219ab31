"""Which experiments a study of footsteps takes: over animals, places of the test block and seeds."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from sklearn.metrics import f1_score

from calcium_decoding.data.readers.footsteps import KINEMATICS
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.experiments import engine, stored, transfer
from calcium_decoding.experiments.folds import FoldResult
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.experiments.tasks import Classes, Continuous
from calcium_decoding.experiments.together import Together
from calcium_decoding.explain import cell_importance
from calcium_decoding.models import hybrid
from calcium_decoding.models.names import FOOTSTEP_LINEAR
from calcium_decoding.models.training_footsteps import FootstepTraining
from calcium_decoding.preprocessing.windows import CLASSES, WindowSpec
from calcium_decoding.simulation.footsteps import world
from calcium_decoding.splits import footstep_samples
from calcium_decoding.splits.core import ROLES, Segment, windows_of

SWEEPS = {"snr": "signal-to-noise ratio", "noise": "added noise (SD of a cell)",
          "cells": "cells, drawn at random", "training": "share of the training frames"}


@dataclass(frozen=True, eq=False)
class Result:
    """A FoldResult with what it is called by: ``animal``, ``block``, ``seed``, ``model`` and what a section varies."""

    names: dict
    fold: FoldResult

    @property
    def simulated(self):
        """True if it was measured on simulated recordings."""
        return self.fold.simulated

    @cached_property
    def scores(self):
        """Scores by name. Of a foot also the accuracy of always saying what is more frequent, and F1 of the step; of
        the movement by variable and by limb, the mean of position and velocity."""
        found = {name.removeprefix("kinematics_"): value for name, value in self.fold.scores.items()}
        for limb, start in (("contralateral", "r2_contra_"), ("ipsilateral", "r2_ipsi_")):
            values = [value for name, value in found.items() if name.startswith(start)]
            found |= {f"r2_{limb}": float(np.mean(values))} if len(values) == 2 else {}
        for foot in CLASSES[1:]:
            if f"{foot}_accuracy" in found:
                steps, p = self.fold.others[f"{foot}/labels"], self.fold.others[f"{foot}/predicted"]
                found |= {f"{foot}_majority": float(max(steps.mean(), 1 - steps.mean())),
                          f"{foot}_f1": float(f1_score(steps, p > 0.5, zero_division=0))}
        return found


@dataclass(frozen=True, eq=False)
class Study:
    """Data and settings that all sections share.

    ``whole``: with a label ``"footstep"``. ``settings``: FootstepTraining. ``window``, ``lstm_window``: frames that the
    hybrid and linear decoders see, and those that the LSTM sees. ``n_animals``, ``n_sessions``, ``n_cells``: use so
    many, or all if there are fewer; 0: all. Cells are drawn at random. ``n_places``, ``blocks``: places that the test
    block can have in a recording, and how many of them are used, spread evenly. ``seeds``: networks are trained so many
    times from other initial weights.
    """

    whole: Dataset
    settings: FootstepTraining = field(default_factory=FootstepTraining)
    window: int = 32
    lstm_window: int = 10
    n_animals: int = 0
    n_sessions: int = 1
    n_cells: int = 0
    n_places: int = 5
    blocks: int = 1
    seeds: int = 1
    store: Path | None = None
    jobs: int | None = None

    def __post_init__(self):
        if self.blocks > self.n_places:
            raise ParameterError("blocks", self.blocks, f"at most {self.n_places}, the places", "ask for fewer")
        self.task.of(self.dataset)

    @classmethod
    def of(cls, dataset, parameters, store=None):
        """The study that the parameters of a chapter describe; names as in :mod:`decoding_book.parameters`."""
        p = parameters
        settings = FootstepTraining(p.epochs, p.batch_size, p.patience, p.learning_rate, mixup=p.mixup,
                                    activity=p.activity, every_frames=p.every_frames, seed=p.seed, device=p.device,
                                    size=p.size)
        return cls(dataset, settings, p.window_frames, p.lstm_frames, p.animals, p.sessions, p.cells, p.places,
                   p.blocks, p.seeds, store, p.jobs or None)

    def described(self):
        """What is trained and how it is tested, in a few lines."""
        s = self.settings
        size = hybrid.SIZES[s.size] if isinstance(s.size, str) else s.size
        cells = ", ".join(str(self.dataset.of_animal(a)[0].n_roi) for a in self.animals)
        kinematics = "known" if self.has_kinematics else "NOT in these recordings: sections on them stay empty"
        return "\n".join([
            f"animals  {', '.join(self.animals)}; cells {cells}; kinematics {kinematics}",
            f"split    blocked, 70/15/15, {self.blocks} of {self.n_places} places of the test block, audited",
            f"windows  {self.window} frames (LSTM: {self.lstm_window}), none after the labelled one",
            f"network  {size.units} units, dropout {size.dropout:g}, {size.attention_heads} heads, "
            f"channels {', '.join(map(str, size.channels))}",
            f"training {s.epochs} epochs at most, patience {s.patience}, peak rate {s.peak_rate:g}, batch "
            f"{s.batch_size}, one window in {s.every_frames}"])

    @property
    def animals(self):
        """Names of the animals that are used."""
        return self.whole.animals[: self.n_animals or None]

    @cached_property
    def all_cells(self):
        """The recordings that are used, with all their cells."""
        used = (r for a in self.animals for r in self.whole.of_animal(a)[: self.n_sessions or None])
        return replace(self.whole, recordings=tuple(used))

    @cached_property
    def dataset(self):
        """What is used of the data set."""
        return with_cells(self.all_cells, self.n_cells, self.settings.seed, most=True)

    @property
    def has_kinematics(self):
        """Whether every recording that is used has the movement of both paws."""
        return all(name in r.behaviour for r in self.all_cells.recordings for name in KINEMATICS)

    @property
    def task(self):
        """Class of the step, each foot against the rest, and the movement of both paws where all animals have it."""
        kinematics = {"kinematics": Continuous(*KINEMATICS)} if self.has_kinematics else {}
        return Together(Classes("footstep", {name: i for i, name in enumerate(CLASSES)}), each=CLASSES[1:],
                        **kinematics)

    @property
    def longest(self):
        """Frames of the longest window: all decoders are asked about the same frames."""
        return max(self.window, self.lstm_window)

    @property
    def places(self):
        """The places of the test block that are used, counted from 0."""
        return [int(i) for i in np.unique(np.linspace(0, self.n_places, self.blocks, endpoint=False, dtype=int))]

    @property
    def split(self):
        """The blocked split of what is used, a fold for each recording, for the result card."""
        whole = footstep_samples.blocked_split(self.all_cells, self.longest, self.n_places)
        kept = {str(place + 1) for place in self.places}
        return replace(whole, folds=tuple(fold for fold in whole.folds if fold.tags["block"] in kept))

    def fold(self, animal, place):
        """The blocks of all recordings of an animal with the test block at one place, a Fold."""
        folds = [fold for fold in footstep_samples.blocked_split(self.all_cells, self.longest, self.n_places).folds
                 if (fold.test_animal, fold.tags["block"]) == (animal, str(place + 1))]
        return replace(folds[0], **{role: [s for fold in folds for s in getattr(fold, role)] for role in ROLES})

    def experiment(self, model, animal, folds, dataset=None, seed=0):
        """A decoder on some folds of an animal.

        Few windows are trained on as often as many: all of them, where others leave some out.
        """
        length = self.lstm_window if model == "lstm" else self.window
        dataset = dataset or self.dataset
        dataset = replace(dataset, recordings=dataset.of_animal(animal))
        n_frames = sum(r.n_frames for r in dataset.recordings)
        gap = self.window + footstep_samples.EXTRA_GAP_FRAMES
        spans = footstep_samples.block_ranges(n_frames, 0, self.n_places, gap)["train"]
        full = sum(stop - start - self.window + 1 for start, stop in spans)
        here = sum(max(0, len(s) - self.longest + 1) for s in folds[0].train)
        every = self.settings.every_frames
        if here < full:
            every = max(1, round(every * here / full))
        later = self.longest - length
        split = replace(self.split, folds=[replace(fold, **{role: [
            Segment(s.recording, s.start + later, s.stop) for s in getattr(fold, role) if len(s) > later]
            for role in ROLES}) for fold in folds])
        settings = replace(self.settings, seed=self.settings.seed + seed, every_frames=every)
        return engine.Experiment(dataset, split, Traces("scaled", WindowSpec(length - 1, 0)), self.task, (model,),
                                 settings)

    def run(self, cases, label):
        """Run (names, experiment) pairs and give a Result for each fold."""
        cases = list(cases)
        found = engine.run_many([(experiment, experiment.decoders) for _, experiment in cases], self.store, self.jobs,
                                label)
        return [Result(names | {"block": int(fold.tags["block"]) - 1}, result)
                for (names, experiment), results in zip(cases, found, strict=True)
                for fold, result in zip(experiment.split.folds, results, strict=True)]

    def decode(self, models, ablations=(), dataset=None, label="decoders"):
        """Every model on every animal, block and seed; ablations with the first seed only. Linear models need none.

        ``dataset``: the recordings with something changed.
        """
        return self.run((({"animal": a, "seed": s, "model": m},
                          self.experiment(m, a, [self.fold(a, place) for place in self.places], dataset, s))
                         for m in (*models, *ablations) for a in self.animals
                         for s in range(1 if m in ablations or m in FOOTSTEP_LINEAR else self.seeds)), label)

    def null(self, model):
        """A model on behaviour moved on by half a recording, around its end: it has to sit at chance."""
        moved = replace(self.dataset, recordings=tuple(
            replace(r, behaviour={name: np.roll(values, r.n_frames // 2) for name, values in r.behaviour.items()})
            for r in self.dataset.recordings))
        return replace(self, seeds=1).decode([model], (), moved, "null") if model else []

    def sweep(self, kind, values, models, n_animals=0, known=None):
        """Models under one changed condition, on the first block and seed.

        ``kind``: a name in :data:`SWEEPS`. ``values``: sequence of float. ``models``: sequence of str. ``n_animals``:
        use so many of the study's; 0: all. ``known``: of ``"snr"``: the world the data set was simulated in.
        """
        cases = []
        for v in values:
            dataset = self.changed(kind, v, self.animals[: n_animals or None], known)
            for a in dataset.animals[: n_animals or None]:
                fold = self.fold(a, 0)
                fold = with_training(fold, v, self.longest) if kind == "training" else fold
                cases += [({"animal": a, "seed": 0, "model": m, "value": v}, self.experiment(m, a, [fold], dataset))
                          for m in models]
        return self.run(cases, f"sweep: {kind}")

    def changed(self, kind, value, animals, known=None):
        """The data set under a changed condition; see :meth:`sweep`."""
        if kind == "snr":
            if known is None:
                raise DataError(self.whole.name, "no simulated world", "a simulated data set",
                                "add noise instead (sweep 'noise')")
            found = [r for a in animals for r in _at_snr(known, a, len(self.dataset.of_animal(a)), value)]
            return with_cells(replace(self.dataset, recordings=tuple(found)), self.n_cells, self.settings.seed, True)
        if kind == "cells":
            return with_cells(self.all_cells, int(value), self.settings.seed)
        return with_noise(self.dataset, value, self.settings.seed) if kind == "noise" else self.dataset

    def across(self, minutes, ways=("aligned", "read-in", "all layers", "within", "logistic"), width=32):
        """Each animal in turn as the new one, the others train the trunk; see
        :mod:`calcium_decoding.experiments.transfer`.

        ``minutes`` (sequence of float): labelled minutes of the new animal; 0: all of its training frames. ``ways``
        (sequence of str): names in :data:`calcium_decoding.experiments.transfer.WAYS`, or of linear decoders trained
        within the animal. ``width``: channels of a read-in.
        """
        if len(self.animals) < 2:
            raise DataError(self.whole.name, f"{len(self.animals)} animal", "two or more, others to train on",
                            "use more animals, or leave this section out")
        jobs = dict(self._job(a, self.fold(a, 0), self.settings) for a in self.animals)
        trunks = dict(zip(self.animals, stored.run_tasks(
            [transfer.TrunkTask({key: job for own, (key, job) in zip(self.animals, jobs.items(), strict=True)
                                 if own != new}, width) for new in self.animals],
            self.store, self.jobs, "trunks"), strict=True))
        alone, adapted = [], []
        for way in ways:
            for k in minutes:
                for a in self.animals:
                    names = {"animal": a, "block": 0, "seed": 0, "model": way, "value": k}
                    fold = transfer.first_minutes(self.fold(a, 0), k, self.dataset.rate_hz, self.longest,
                                                  self.window + footstep_samples.EXTRA_GAP_FRAMES)
                    if way in FOOTSTEP_LINEAR or way == "within":
                        alone.append((names, self.experiment("hybrid" if way == "within" else way, a, [fold])))
                    else:
                        key, job = self._job(a, fold)
                        adapted.append((names, transfer.AdaptTask(
                            key, transfer.AdaptFoldTask(**vars(job), trunk=trunks[a], way=way))))
        outcomes = stored.run_tasks([task for _, task in adapted], self.store, self.jobs, "adaptations")
        found = [Result(names, FoldResult.of(outcome)) for (names, _), outcome in zip(adapted, outcomes, strict=True)]
        found += self.run(alone, "within animals")
        order = [(way, k, a) for way in ways for k in minutes for a in self.animals]
        return sorted(found, key=lambda r: order.index((r.names["model"], r.names["value"], r.names["animal"])))

    def _job(self, animal, fold, settings=None):
        """Key and fold task of the hybrid on a fold."""
        experiment = self.experiment("hybrid", animal, [fold])
        experiment = experiment if settings is None else replace(experiment, training=settings)
        (fold,) = experiment.split.folds
        return experiment.key(fold, "hybrid"), experiment.fold_task(fold, "hybrid")

    def information(self, model="hybrid"):
        """Where the information sits, by a model on the first block of every animal, with all cells it is given.

        Returns a list of SimpleNamespace: ``animal``, ``simulated``, and what
        :func:`calcium_decoding.explain.cell_importance.information` gives.
        """
        found = []
        for a in self.animals:
            (one,) = self.experiment(model, a, [self.fold(a, 0)]).map(
                cell_importance.information, model, name="information", store=self.store, jobs=self.jobs,
                label="where information sits")
            arrays = {name: np.array(one[name]) for name in ("tuning", "relevance", "attention") if name in one}
            found.append(SimpleNamespace(**one | arrays | {"animal": a, "simulated": self.dataset.simulated}))
        return found


def _at_snr(known, animal, n_sessions, snr):
    """The sessions of one animal, all the same but for the noise."""
    number = next(i for i in range(1, known.animals + 1) if world.animal_name(i) == animal)
    other = replace(known, snr=float(snr))
    found = [world.simulate_session(other, number, s) for s in range(1, n_sessions + 1)]
    return [Recording(getattr(x, known.trace), x.behaviour, world.RATE_HZ, animal, world.session_name(i),
                      simulated=True) for i, x in enumerate(found, 1)]


def with_noise(dataset, times, seed):
    """Recordings with white noise added to every cell.

    ``times``: SD of the added noise over the cell's own SD (signal and noise together); 0 leaves them as they are.
    """
    if times < 0:
        raise ParameterError("times", times, "0 or more", "change the amount of noise")
    found = []
    for animal in dataset.animals:
        rng = np.random.default_rng(seed)
        for r in dataset.of_animal(animal) if times else ():
            noise = rng.standard_normal(r.signal.shape, np.float32)
            found.append(replace(r, signal=r.signal + np.float32(times) * r.signal.std(0) * noise))
    return replace(dataset, recordings=tuple(found)) if times else dataset


def with_cells(dataset, n, seed, most=False):
    """Recordings with ``n`` of the cells, drawn without replacement; more cells contain the fewer of the same seed.

    Where ``n`` is more than there are, the rest are cells that know nothing: copies of recorded ones, each moved in
    time around the end by an offset of its own, a tenth of the recording at least. ``most``: no such copies, and all
    cells of 0.
    """
    if n < (0 if most else 1):
        raise ParameterError("cells", n, "1 or more", "keep one cell at least")
    found = []
    for r in dataset.recordings:
        rng = np.random.default_rng(seed)
        order = rng.permutation(r.n_roi)
        if most and not 0 < n < r.n_roi:
            found.append(r)
        elif n <= r.n_roi:
            kept = np.sort(order[:n])
            found.append(replace(r, signal=np.ascontiguousarray(r.signal[:, kept]),
                                 roi_names=tuple(r.roi_names[i] for i in kept)))
        else:
            copied = order[np.arange(n - r.n_roi) % r.n_roi]
            offsets = rng.integers(r.n_frames // 10, r.n_frames - r.n_frames // 10, len(copied))
            rows = (np.arange(r.n_frames)[:, None] + offsets) % r.n_frames
            names = *r.roi_names, *(f"{r.roi_names[i]} moved by {k}" for i, k in zip(copied, offsets, strict=True))
            found.append(replace(r, signal=np.concatenate([r.signal, r.signal[rows, copied]], axis=1), roi_names=names))
    return replace(dataset, recordings=tuple(found))


def with_training(fold, share, length):
    """A fold with the first share of its training windows; ``share``: above 0, at most 1."""
    if not 0 < share <= 1:
        raise ParameterError("share", share, "above 0 and at most 1", "change the share of training frames")
    n = sum(max(0, len(s) - length + 1) for s in fold.train)
    return replace(fold, train=windows_of(fold.train, length, 0, max(2, round(share * n))))
