"""Which trainings a study of footsteps takes: over animals, places of the test block and seeds."""

from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from calcium_decoding.data import recording
from calcium_decoding.data.readers.footsteps import KINEMATICS
from calcium_decoding.data.recording import Dataset
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.experiments import stored, transfer
from calcium_decoding.experiments.footstep_folds import DecodeTask, Frames
from calcium_decoding.explain import cell_importance
from calcium_decoding.models import hybrid
from calcium_decoding.models.names import FOOTSTEP_LINEAR
from calcium_decoding.models.training_footsteps import FitSettings
from calcium_decoding.simulation.footsteps import world
from calcium_decoding.splits import footstep_samples
from calcium_decoding.splits.audit import check_samples
from calcium_decoding.splits.footstep_samples import Rows

SWEEPS = {"snr": "signal-to-noise ratio", "noise": "added noise (SD of a cell)",
          "cells": "cells, drawn at random", "training": "share of the training frames"}


@dataclass(frozen=True, eq=False)
class Result:
    """An outcome with what it is called by: ``animal``, ``block``, ``seed``, ``model`` and what a section varies."""

    names: dict
    outcome: stored.Outcome


@dataclass(frozen=True, eq=False)
class Study:
    """Data and settings that all sections share.

    ``dataset``: with a label ``"footstep"``. ``settings``: FitSettings. ``size``: a name in
    :data:`calcium_decoding.models.hybrid.SIZES`. ``window``, ``lstm_window``: frames that the hybrid and linear
    decoders see, and those that the LSTM sees. ``n_animals``, ``n_sessions``, ``n_cells``: use so many, or all if there
    are fewer; 0: all. Cells are drawn at random. ``n_places``, ``blocks``: places that the test block can have in a
    recording, and how many of them are used, spread evenly. ``seeds``: networks are trained so many times from other
    initial weights.
    """

    dataset: Dataset
    settings: FitSettings = field(default_factory=FitSettings)
    size: str = "april_9"
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
        for animal in self.animals:
            self.frames(animal)

    @classmethod
    def of(cls, dataset, parameters, store=None):
        """The study that the parameters of a chapter describe; names as in :mod:`decoding_book.parameters`."""
        p = parameters
        settings = FitSettings(p.epochs, p.batch_size, p.patience, p.learning_rate, mixup=p.mixup, activity=p.activity,
                               every_frames=p.every_frames, seed=p.seed, device=p.device)
        return cls(dataset, settings, p.size, p.window_frames, p.lstm_frames, p.animals, p.sessions, p.cells, p.places,
                   p.blocks, p.seeds, store, p.jobs or None)

    def described(self):
        """What is trained and how it is tested, in a few lines."""
        size, s = hybrid.SIZES[self.size] if isinstance(self.size, str) else self.size, self.settings
        cells = ", ".join(str(self.frames(a).signal.shape[1]) for a in self.animals)
        kinematics = "known" if self.has_kinematics else "NOT in these recordings: sections on them stay empty"
        return "\n".join([
            f"animals  {', '.join(self.animals)}; cells {cells}; kinematics {kinematics}",
            f"split    blocked, 70/15/15, {self.blocks} of {self.n_places} places of the test block, audited",
            f"windows  {self.window} frames (LSTM: {self.lstm_window}), none after the labelled one",
            f"network  {size.units} units, dropout {size.dropout:g}, {size.attention_heads} heads, "
            f"channels {', '.join(map(str, size.channels))}",
            f"training {s.epochs} epochs at most, patience {s.patience}, peak rate {s.peak_rate:g}, batch "
            f"{s.batch_size}, one window in {s.every_frames}"])

    @cached_property
    def animals(self):
        """Names of the animals that are used."""
        return self.dataset.animals[: self.n_animals or None]

    def recordings(self, animal):
        """Recordings of one animal that are used."""
        return self.dataset.of_animal(animal)[: self.n_sessions or None]

    @cached_property
    def used(self):
        """The data set with what is used of it."""
        return replace(self.dataset, recordings=tuple(r for a in self.animals for r in self.recordings(a)))

    @cache  # noqa: B019  a study lives as long as its chapter
    def frames(self, animal, all_cells=False):
        """Frames of one animal."""
        frames = Frames.of(self.recordings(animal))
        if not self.has_kinematics:  # of some animals only: no head for them, so that all are decoded alike
            frames = replace(frames, kinematics=None)
        if self.n_cells and not all_cells and self.n_cells < frames.signal.shape[1]:
            return with_cells(frames, self.n_cells, self.settings.seed)
        return frames

    def places(self):
        """The places of the test block that are used, counted from 0."""
        return [int(i) for i in np.unique(np.linspace(0, self.n_places, self.blocks, endpoint=False, dtype=int))]

    def rows(self, animal, block, part=None):
        """Rows of each role with the test block at one place; audited: no frame is in two roles."""
        length = max(self.window, self.lstm_window)
        recordings = self.recordings(animal)
        rows = footstep_samples.split([r.n_frames for r in recordings], "blocked", block, length=length,
                               n_blocks=self.n_places)
        taken = footstep_samples.Samples.of(recordings, length)
        check_samples(taken.intervals(rows.train), taken.intervals(rows.test), footstep_samples.EXTRA_GAP_FRAMES,
                      {"epoch and penalty": taken.intervals(rows.valid)}, f"{animal}, block {block + 1}")
        return rows

    @property
    def split(self):
        """The blocked split of what is used, for the result card."""
        whole = footstep_samples.blocked_split(self.used, max(self.window, self.lstm_window), self.n_places)
        kept = {str(place + 1) for place in self.places()}
        return replace(whole, folds=tuple(fold for fold in whole.folds if fold.tags["block"] in kept))

    @property
    def has_kinematics(self):
        """Whether every recording that is used has the movement of both paws."""
        return all(name in r.behaviour for a in self.animals for r in self.recordings(a) for name in KINEMATICS)

    def length(self, model):
        """Frames of a window that a model sees."""
        return self.lstm_window if model == "lstm" else self.window

    def task(self, model, frames, rows, seed=0):
        """One training. Few windows are trained on as often as many: all of them, where others leave some out."""
        settings = replace(self.settings, seed=self.settings.seed + seed)
        full = footstep_samples.split([len(frames.footstep)], "blocked", 0, length=self.window, n_blocks=self.n_places)
        if len(rows.train) < len(full.train):
            every = max(1, round(settings.every_frames * len(rows.train) / len(full.train)))
            settings = replace(settings, every_frames=every)
        return DecodeTask(frames, rows, model, self.length(model), settings, self.size)

    def run(self, cases, label):
        """Run (names, task) pairs and give a Result for each."""
        cases = list(cases)
        found = stored.run_tasks([task for _, task in cases], self.store, self.jobs, label)
        return [Result(names, outcome) for (names, _), outcome in zip(cases, found, strict=True)]

    def decode(self, models, ablations=()):
        """Every model on every animal, block and seed; ablations with the first seed only. Linear models need none."""
        def seeds(model):
            return 1 if model in ablations or model in FOOTSTEP_LINEAR else self.seeds

        return self.run((({"animal": a, "block": b, "seed": s, "model": m},
                          self.task(m, self.frames(a), self.rows(a, b), s))
                         for m in (*models, *ablations) for a in self.animals for b in self.places()
                         for s in range(seeds(m))), "decoders")

    def null(self, model):
        """A model on behaviour moved on by half a recording, around its end: it has to sit at chance."""
        def shifted(animal):
            frames = self.frames(animal)
            return frames.shifted([r.n_frames for r in self.recordings(animal)])

        return self.run((({"animal": a, "block": b, "seed": 0, "model": model},
                          self.task(model, shifted(a), self.rows(a, b))) for a in self.animals for b in self.places()),
                        "null") if model else []

    def sweep(self, kind, values, models, n_animals=0, known=None):
        """Models under one changed condition, on the first block and seed.

        ``kind``: a name in :data:`SWEEPS`. ``values``: sequence of float. ``models``: sequence of str. ``n_animals``:
        use so many of the study's; 0: all. ``known``: of ``"snr"``: the world the data set was simulated in.
        """
        cases = []
        for v in values:
            for a in self.animals[: n_animals or None]:
                frames, rows = self._changed(kind, v, a, known)
                cases += [({"animal": a, "block": 0, "seed": 0, "model": m, "value": v}, self.task(m, frames, rows))
                          for m in models]
        return self.run(cases, f"sweep: {kind}")

    def _changed(self, kind, value, animal, known):
        rows = self.rows(animal, 0)
        if kind == "snr":
            if known is None:
                raise DataError(self.dataset.name, "no simulated world", "a simulated data set",
                                "add noise instead (sweep 'noise')")
            other = replace(self, dataset=_at_snr(known, animal, len(self.recordings(animal)), value), n_animals=0)
            return other.frames(animal), rows
        if kind == "training":
            return self.frames(animal), with_training(rows, value)
        if kind == "cells":
            return with_cells(self.frames(animal, True), int(value), self.settings.seed), rows
        return with_noise(self.frames(animal), value, self.settings.seed), rows

    def across(self, minutes, ways=("aligned", "read-in", "all layers", "within", "logistic"), width=32):
        """Each animal in turn as the new one, the others train the trunk; see :mod:`.subjects`.

        ``minutes`` (sequence of float): labelled minutes of the new animal; 0: all of its training frames. ``ways``
        (sequence of str): names in :data:`calcium_decoding.experiments.transfer.WAYS`, or of linear decoders trained
        within the animal. ``width``: channels of a read-in.
        """
        if len(self.animals) < 2:
            raise DataError(self.dataset.name, f"{len(self.animals)} animal", "two or more, others to train on",
                            "use more animals, or leave this section out")
        trunks = self.run((({"animal": new}, transfer.TrunkTask(
            tuple(self.frames(a) for a in self.animals if a != new),
            tuple(self.rows(a, 0) for a in self.animals if a != new), self.window, self.settings, self.size, width))
            for new in self.animals), "trunks")
        trunk_of = {result.names["animal"]: result.outcome for result in trunks}
        gap = self.window + footstep_samples.EXTRA_GAP_FRAMES

        def task(way, animal, k):
            rate_hz = self.recordings(animal)[0].rate_hz
            rows = transfer.first_minutes(self.rows(animal, 0), k, rate_hz, gap)
            own = self.task("hybrid" if way == "within" else way if way in FOOTSTEP_LINEAR else "hybrid",
                            self.frames(animal), rows)
            if way not in transfer.WAYS or way == "within":
                return own
            return transfer.AdaptTask(trunk_of[animal], own.frames, rows, way, self.window, own.settings, self.size)

        return self.run((({"animal": a, "block": 0, "seed": 0, "model": way, "value": k}, task(way, a, k))
                         for way in ways for k in minutes for a in self.animals), "adaptations")

    def information(self, model="hybrid"):
        """Where the information sits, by a model on the first block of every animal, with all cells it is given."""
        return self.run((({"animal": a, "block": 0, "seed": 0, "model": model},
                          cell_importance.InformationTask(self.task(model, self.frames(a), self.rows(a, 0))))
                         for a in self.animals), "where information sits")


def _at_snr(known, animal, n_sessions, snr):
    """The sessions of one animal, all the same but for the noise."""
    number = next(i for i in range(1, known.animals + 1) if world.animal_name(i) == animal)
    other = replace(known, snr=float(snr))
    found = [world.simulate_session(other, number, s) for s in range(1, n_sessions + 1)]
    recordings = tuple(recording.Recording(getattr(x, known.trace), x.behaviour, world.RATE_HZ, animal,
                                           world.session_name(i), simulated=True) for i, x in enumerate(found, 1))
    return Dataset("simulated footsteps", recordings)


def with_noise(frames, times, seed):
    """Frames with white noise added to every cell.

    ``frames``: Frames. ``times``: SD of the added noise over the cell's own SD (signal and noise together); 0 leaves
    the frames as they are. Returns Frames.
    """
    if times < 0:
        raise ParameterError("times", times, "0 or more", "change the amount of noise")
    if times == 0:
        return frames
    noise = np.random.default_rng(seed).standard_normal(frames.signal.shape, np.float32)
    return replace(frames, signal=frames.signal + np.float32(times) * frames.signal.std(0) * noise)


def with_cells(frames, n, seed):
    """Frames with ``n`` of the cells, drawn without replacement; more cells contain the fewer of the same seed.

    Where ``n`` is more than there are, the rest are cells that know nothing: copies of recorded ones, each moved in
    time around the end by an offset of its own, a tenth of the recording at least.

    ``frames``: Frames. Returns Frames.
    """
    n_frames, n_cells = frames.signal.shape
    if n < 1:
        raise ParameterError("cells", n, "1 or more", "keep one cell at least")
    rng = np.random.default_rng(seed)
    order = rng.permutation(n_cells)
    if n <= n_cells:
        return replace(frames, signal=np.ascontiguousarray(frames.signal[:, np.sort(order[:n])]))
    copied = order[np.arange(n - n_cells) % n_cells]
    offsets = rng.integers(n_frames // 10, n_frames - n_frames // 10, len(copied))
    rows = (np.arange(n_frames)[:, None] + offsets) % n_frames
    return replace(frames, signal=np.concatenate([frames.signal, frames.signal[rows, copied]], axis=1))


def with_training(part, share):
    """A split with the first share of its training frames.

    ``part``: ``train`` in order of time. ``share``: above 0, at most 1.
    """
    if not 0 < share <= 1:
        raise ParameterError("share", share, "above 0 and at most 1", "change the share of training frames")
    return Rows(part.train[: max(2, round(share * len(part.train)))], part.valid, part.test)
