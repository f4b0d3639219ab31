"""The experiments of a study of footsteps: over animals, places of the test block and seeds, and what is varied."""

import itertools
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

import calcium_decoding as cd
from calcium_decoding.data.readers.footsteps import KINEMATICS
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.experiments import FoldResult, compare, engine, stored, transfer
from calcium_decoding.explain import cell_importance
from calcium_decoding.models.names import FOOTSTEP_LINEAR
from calcium_decoding.models.training_footsteps import FootstepTraining
from calcium_decoding.preprocessing.windows import CLASSES
from calcium_decoding.simulation.footsteps import world
from calcium_decoding.splits import footsteps
from calcium_decoding.splits.core import ROLES, Segment, windows_of
from decoding_book.chapters.split_audit.ways import in_components, unrelated

# Ways to decode a new animal: calcium_decoding.experiments.transfer.WAYS, and the linear decoder within the animal.
ACROSS = "aligned", "read-in", "all layers", "within", "logistic_window"


@dataclass(frozen=True, eq=False)
class Study:
    """Recordings of footsteps (``all_cells``), and how all sections decode them. ``n_cells``: use so many cells, drawn
    at random; 0: all. ``window``, ``lstm_window``: frames that the hybrid and linear decoders see, and those of the
    LSTM. ``n_places``, ``blocks``: places that the test block can have in a recording, and how many of them are used,
    spread evenly. ``components``: principal components that linear decoders see."""

    all_cells: cd.Dataset
    n_cells: int = 0
    settings: FootstepTraining = field(default_factory=FootstepTraining)
    window: int = 32
    lstm_window: int = 10
    n_places: int = 5
    blocks: int = 1
    components: int = 20

    def __post_init__(self):
        if self.blocks > self.n_places:
            raise ParameterError("blocks", self.blocks, f"at most {self.n_places}, the places", "ask for fewer")
        object.__setattr__(self, "dataset", with_cells(self.all_cells, self.n_cells, self.settings.seed, most=True))
        self.task.of(self.dataset)

    @classmethod
    def of(cls, dataset, p):
        """The study that the parameters ``p`` of a chapter describe."""
        settings = FootstepTraining(p.epochs, p.batch_size, p.patience, p.learning_rate, mixup=p.mixup,
                                    activity=p.activity, every_frames=p.every_frames, seed=p.seed, device=p.device,
                                    size=p.size)
        used = (r for a in dataset.animals[: p.animals or None] for r in dataset.of_animal(a)[: p.sessions or None])
        return cls(replace(dataset, recordings=tuple(used)), p.cells, settings, p.window_frames, p.lstm_frames,
                   p.places, p.blocks, p.components)

    @property
    def animals(self):
        """Names of the animals."""
        return self.all_cells.animals

    @property
    def has_kinematics(self):
        """Whether every recording has the movement of both paws."""
        return all(name in r.behaviour for r in self.all_cells.recordings for name in KINEMATICS)

    @property
    def task(self):
        """Class of the step, each foot against the rest, and the movement of both paws where all animals have it."""
        kinematics = {"kinematics": cd.Continuous(*KINEMATICS)} if self.has_kinematics else {}
        return cd.Together(cd.Classes("footstep", {name: i for i, name in enumerate(CLASSES)}), each=CLASSES[1:],
                        **kinematics)

    @property
    def longest(self):
        """Frames of the longest window: all decoders are asked about the same frames."""
        return max(self.window, self.lstm_window)

    @property
    def split(self):
        """The blocked split at the places that are used, a fold for each recording."""
        whole = footsteps.blocked_split(self.all_cells, self.longest, self.n_places)
        places = np.linspace(0, self.n_places, self.blocks, endpoint=False, dtype=int)
        return replace(whole, folds=tuple(f for f in whole.folds if int(f.tags["block"]) - 1 in places))

    def folds(self, animal):
        """The folds of an animal, one for each place of the test block in all of its recordings."""
        by_place = {}
        for fold in self.split.folds:
            if fold.test_animal == animal:
                by_place.setdefault(fold.tags["block"], []).append(fold)
        return [replace(folds[0], **{role: [s for fold in folds for s in getattr(fold, role)] for role in ROLES})
                for folds in by_place.values()]

    def experiment(self, model, animal, folds, dataset=None, seed=0):
        """A decoder on some folds of an animal. Networks see the cells; of few windows they are trained on as many as
        of many. Linear decoders see principal components, and every training window, as in chapter 41."""
        length = self.lstm_window if model == "lstm" else self.window
        dataset = dataset or self.dataset
        dataset = replace(dataset, recordings=dataset.of_animal(animal))
        n_frames = sum(r.n_frames for r in dataset.recordings)
        gap = self.window + footsteps.EXTRA_GAP_FRAMES
        spans = footsteps.block_ranges(n_frames, 0, self.n_places, gap)["train"]
        full = sum(stop - start - self.window + 1 for start, stop in spans)
        here = sum(max(0, len(s) - self.longest + 1) for s in folds[0].train)
        linear = model in FOOTSTEP_LINEAR
        every = 1 if linear else self.settings.every_frames
        if here < full:
            every = max(1, round(every * here / full))
        later = self.longest - length
        split = replace(self.split, folds=[replace(fold, **{role: [
            Segment(s.recording, s.start + later, s.stop) for s in getattr(fold, role) if len(s) > later]
            for role in ROLES}) for fold in folds])
        settings = replace(self.settings, seed=self.settings.seed + seed, every_frames=every)
        sees = cd.Traces(in_components(self.components) if linear else "scaled", cd.WindowSpec(length - 1, 0))
        return cd.Experiment(dataset, split, sees, self.task, (model,), settings)

    def decode(self, models, seeds=1, label="decoders"):
        """Every model on every animal, block and seed; see :func:`run`. Linear decoders need one seed."""
        return run([({"animal": a, "seed": s, "model": m}, self.experiment(m, a, self.folds(a), seed=s))
                    for m in models for a in self.animals for s in seeds_of(m, seeds)], label)

    def sweep(self, conditions, models, n_animals=0, seeds=1, label="sweep"):
        """Models under changed conditions, on the first block; see :func:`run`. ``conditions`` (dict of float to
        (Dataset, float)): by value, recordings and share of the training frames. ``n_animals``: use so many; 0: all."""
        cases = []
        for value, (dataset, share) in conditions.items():
            for a in self.animals[: n_animals or None]:
                fold = self.folds(a)[0]
                fold = fold if share == 1 else with_training(fold, share, self.longest)
                cases += [({"animal": a, "seed": s, "model": m, "value": value},
                           self.experiment(m, a, [fold], dataset, s)) for m in models for s in seeds_of(m, seeds)]
        return run(cases, label)

    def at_snr(self, known, snr, n_animals=0):
        """The same sessions of some animals simulated again, in the world ``known``, with another noise alone."""
        other, found = known.model_copy(update={"snr": float(snr)}), []
        for animal in self.animals[: n_animals or None]:
            number = next(i for i in range(1, known.animals + 1) if world.animal_name(i) == animal)
            for i, _ in enumerate(self.dataset.of_animal(animal), 1):
                x = world.simulate_session(other, number, i)
                found.append(cd.Recording(getattr(x, known.trace), x.behaviour, world.RATE_HZ, animal,
                                          world.session_name(i), simulated=True))
        return with_cells(replace(self.dataset, recordings=tuple(found)), self.n_cells, self.settings.seed, True)

    def across(self, minutes, ways=ACROSS, width=32, seeds=1):
        """Each animal in turn as the new one, the others train the trunk; see :func:`run` and
        :mod:`calcium_decoding.experiments.transfer`. ``minutes`` (sequence of float): labelled minutes of the new
        animal; 0: all. ``ways``: as of :data:`ACROSS`. ``width``: channels of a read-in. DataError: a single animal."""
        if len(self.animals) < 2:
            raise DataError(self.all_cells.name, f"{len(self.animals)} animal", "two or more, others to train on",
                            "use more animals, or leave this section out")
        new = [(a, s) for s in range(seeds) for a in self.animals]
        jobs = {(a, s): self._job(a, self.folds(a)[0], s) for a, s in new}
        trunks = dict(zip(new, stored.run_tasks(
            [transfer.TrunkTask(dict(jobs[own, s] for own in self.animals if own != a), width) for a, s in new],
            label="trunks"), strict=True))
        alone, adapted = [], []
        for way, k, (a, s) in itertools.product(ways, minutes, new):
            names = {"animal": a, "seed": s, "model": way, "value": k}
            fold = transfer.first_minutes(self.folds(a)[0], k, self.dataset.rate_hz, self.longest,
                                          self.window + footsteps.EXTRA_GAP_FRAMES)
            if way not in FOOTSTEP_LINEAR and way != "within":
                key, job = self._job(a, fold, s)
                adapted.append((names, transfer.AdaptTask(
                    key, transfer.AdaptFoldTask(**vars(job), trunk=trunks[a, s], way=way))))
            elif s in seeds_of(way, seeds):
                alone.append((names, self.experiment("hybrid" if way == "within" else way, a, [fold], seed=s)))
        outcomes = stored.run_tasks([task for _, task in adapted], label="adaptations")
        found = [row(names, FoldResult.of(outcome)) for (names, _), outcome in zip(adapted, outcomes, strict=True)]
        return pd.concat([pd.DataFrame(found), run(alone, "within animals")], ignore_index=True)

    def _job(self, animal, fold, seed):
        """Key and fold task of the hybrid on a fold."""
        experiment = self.experiment("hybrid", animal, [fold], seed=seed)
        (fold,) = experiment.split.folds
        return experiment.key(fold, "hybrid"), experiment.fold_task(fold, "hybrid")

    def information(self):
        """What :func:`calcium_decoding.explain.cell_importance.information` gives on the first block of every animal, a
        list of SimpleNamespace with ``animal`` and ``simulated`` beside."""
        found = []
        for a in self.animals:
            (one,) = self.experiment("hybrid", a, self.folds(a)[:1]).map(
                cell_importance.information, "hybrid", name="information", label="where information sits")
            arrays = {name: np.array(one[name]) for name in ("tuning", "relevance", "attention") if name in one}
            found.append(SimpleNamespace(**one | arrays | {"animal": a, "simulated": self.dataset.simulated}))
        return found


def seeds_of(model, seeds):
    """Numbers of the seeds with which a model is trained: linear decoders need one."""
    return range(1 if model in FOOTSTEP_LINEAR else seeds)


def decode_null(dataset, p):
    """The decoder that the parameters ``p`` name, on recordings with the labels of others: as of :func:`run`, and which
    null that is. Empty where there is none, and why."""
    if not p.null_model or len(dataset.recordings) < 2:
        return pd.DataFrame(), "none: " + ("one recording alone" if p.null_model else "no decoder was asked for")
    found = Study.of(unrelated(dataset), p).decode([p.null_model], label="null")
    return found, f"{p.null_model} on the labels of another recording, one draw"


def run(cases, label):
    """Train and test (names, experiment) pairs: a DataFrame with a row a fold, of :func:`row`."""
    found = engine.run_many([(experiment, experiment.decoders) for _, experiment in cases], label=label)
    return pd.DataFrame([row(names | {"block": int(fold.tags["block"]) - 1}, result)
                         for (names, experiment), results in zip(cases, found, strict=True)
                         for fold, result in zip(experiment.split.folds, results, strict=True)])


def row(names, fold):
    """Names, ``fold`` (FoldResult), whether it was ``simulated``, and its scores, as one dict. Of a foot also the
    accuracy of the more frequent answer and F1 of the step; of the movement the mean R2 by limb."""
    scores = dict(fold.scores)
    for limb, start in (("contralateral", "r2_contra_"), ("ipsilateral", "r2_ipsi_")):
        values = [value for name, value in scores.items() if name.startswith(f"kinematics_{start}")]
        scores |= {f"r2_{limb}": float(np.mean(values))} if len(values) == 2 else {}
    for foot in CLASSES[1:]:
        if f"{foot}/labels" in fold.others and f"{foot}_accuracy" in scores:
            steps, p = fold.others[f"{foot}/labels"], fold.others[f"{foot}/predicted"]
            scores |= {f"{foot}_majority": float(max(steps.mean(), 1 - steps.mean())),
                       f"{foot}_f1": float(f1_score(steps, p > 0.5, zero_division=0))}
    fold = replace(fold, scores=scores)  # a card keeps the scores, and not what was decoded
    named = {name.removeprefix("kinematics_"): value for name, value in scores.items()}
    return {"block": 0, **names, "fold": fold, "simulated": fold.simulated, **named}


def compared(found):
    """All trainings of a table of :func:`run` as a card keeps them: a Comparison, a condition a model and value."""
    conditions = compare.Comparison()
    for (model, *value), mine in found.groupby(["model", *found.columns.intersection(["value"])], sort=False):
        name = " at ".join([model, *map("{:g}".format, value)])
        conditions.append(compare.ConditionResult(compare.Condition(name, None, model, *value), list(mine["fold"])))
    return conditions


def from_stored(conditions):
    """The table of which :func:`compared` kept the trainings; what was decoded, frame by frame, is not in it."""
    return pd.DataFrame([
        row({"animal": fold.test_group.split("/")[0], "seed": fold.seed, "model": one.condition.model,
             "value": one.condition.value, "block": int(fold.fold.rpartition("block=")[2]) - 1}, fold)
        for one in conditions for fold in one.folds])


def with_noise(dataset, times, seed):
    """Recordings with white noise added to every cell, SD ``times`` that of the cell, signal and noise together."""
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
    Where ``n`` is more than there are, the rest are copies of recorded cells, each moved in time around the end by an
    offset of its own, a tenth of the recording at least. ``most``: no such copies, and all cells of 0."""
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
