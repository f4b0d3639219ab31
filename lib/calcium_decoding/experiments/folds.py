"""One decoder on one fold: what it needs, what it does, what it gives; results of many as a list that gives tables."""

import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits
from torch import nn

from calcium_decoding import models
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import cards, metrics
from calcium_decoding.experiments import stored
from calcium_decoding.models import loop, training
from calcium_decoding.models.decoders import name_of
from calcium_decoding.preprocessing.windows import WindowSet
from calcium_decoding.splits import Split
from calcium_decoding.splits.audit import FittedStep

# What is fitted or chosen here besides the preprocessing, for the audit.
FITTED = (FittedStep("weights of the decoder", "train"), FittedStep("epoch at which training stops", "valid"))


@dataclass(frozen=True, eq=False)
class FoldResult:
    """One decoder on one fold. ``reason``: why there are no ``scores``, else empty; ``predicted`` is then NaN.

    Attributes
    ----------
    scores : dict of str to float
        Over all test windows pooled; the main score over the others too: ``auc_train``, ``auc_valid``, ``r2_...``.
    history : History
        Losses of each epoch; empty for a linear decoder.
    recordings : tuple of str
        Test recordings, in order.
    recording, centre : ndarray, shape (n,), int64
        Of each test window: index into ``recordings``, and centre: the labelled frame, unless labels are shifted.
    labels : ndarray, shape (n,)
        0 and 1, uint8; number of the class, int64; or quantities, float32, shape (n, k) of several.
    predicted : ndarray, shape (n,) or (n, k), float64
        Probability, probability of each class, or quantities in the unit of the labels.
    valid_labels, valid_predicted : ndarray
        The same of the validation windows.
    train_roc : ndarray, shape (200,), float64
        True-positive rates over the training windows, on the grid of :func:`calcium_decoding.evaluation.metrics.roc`.
    seconds, seed : float, int
        What training and testing took; seed of the training.
    kind, target, classes : str, str, tuple of str
        Kind of the task, name of the behaviour, names of its classes.
    running : ndarray, shape (n,), uint8
        Of one quantity: run label of its frame; empty where recordings have none.
    notes : tuple of str
        What is undefined in this fold, and why.
    others : dict of str to ndarray
        Of the heads beside the main one: ``HEAD/labels``, ``HEAD/predicted`` and ``HEAD/valid_...``.
    """

    fold: str
    test_group: str
    model: str
    scores: dict
    reason: str
    history: loop.History
    recordings: tuple
    recording: np.ndarray
    centre: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    valid_labels: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))
    valid_predicted: np.ndarray = field(default_factory=lambda: np.empty(0))
    train_roc: np.ndarray = field(default_factory=lambda: np.empty(0))
    seconds: float = 0.0
    seed: int = 0
    kind: str = "binary"
    target: str = "run"
    classes: tuple = ()
    simulated: bool = False
    running: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))
    notes: tuple = ()
    others: dict = field(default_factory=dict)

    def outcome(self):
        """As it is stored, an Outcome."""
        content = asdict(self)
        arrays = {name: values for name, values in content.items() if isinstance(values, np.ndarray)}
        facts = {name: values for name, values in content.items() if name not in arrays and name != "others"}
        return stored.Outcome(facts, arrays | self.others)

    @classmethod
    def of(cls, outcome):
        """From what :meth:`outcome` gave."""
        facts = outcome.facts | {"history": loop.History(**outcome.facts["history"])}
        facts |= {name: tuple(facts[name]) for name in ("recordings", "notes", "classes")}
        arrays = {name: values for name, values in outcome.arrays.items() if "/" not in name}
        return cls(**facts, **arrays, others={k: v for k, v in outcome.arrays.items() if "/" in k})

    @property
    def animal(self):
        """Animal that is tested; several with a comma between."""
        return ", ".join(dict.fromkeys(name.split("/")[0] for name in self.recordings))

    @property
    def main_score(self):
        """Name of the score that stands for the others."""
        return cards.SUMMARISED[self.kind][0]

    def chance(self, metric=None):
        """A score, the main one without ``metric``, of a decoder that knows nothing; None if it has no such level."""
        levels = {"auc": 0.5, "balanced_accuracy": 1 / max(len(self.classes), 2), "r2": 0.0}
        return levels.get(metric or self.main_score)

    def save(self, path):
        stored.save(self.outcome(), path)

    @classmethod
    def load(cls, path):
        """What was written; None if it is not there or damaged: the fold is then trained again."""
        outcome = stored.load(path)
        try:
            return None if outcome is None else cls.of(outcome)
        except (TypeError, KeyError):
            return None

    def trace(self, recording):
        """Labelled frames, labels and what was decoded of one test recording, in time order."""
        here = self.recording == self.recordings.index(recording)
        return self.centre[here], self.labels[here], self.predicted[here]


class Results(list):
    """A list of FoldResult."""

    @property
    def simulated(self):
        """True if any was measured on simulated recordings."""
        return any(fold.simulated for fold in self)

    def of(self, *decoders):
        """Those of some decoders, by name; Results."""
        return Results(fold for fold in self if fold.model in decoders)

    def table(self, metric=None):
        """Scores in rows, a DataFrame, of one ``metric`` or of all: a row a fold and score, one with the reason, and no
        value, for a fold that has none. Columns ``decoder``, ``fold``, ``test_group``, ``animal``, ``metric``,
        ``value``, ``simulated`` and ``reason``. Raises ParameterError: no fold has this score."""
        rows = []
        for fold in self:
            about = {"decoder": fold.model, "fold": fold.fold, "test_group": fold.test_group,
                     "animal": fold.animal}
            scores = fold.scores or {metric or "": None}
            rows += [{**about, "metric": name, "value": value, "simulated": fold.simulated, "reason": fold.reason}
                     for name, value in scores.items() if metric in (None, name)]
        known = list(dict.fromkeys(name for fold in self for name in fold.scores))
        if metric is not None and known and metric not in known:
            raise ParameterError("metric", repr(metric), f"one of {', '.join(known)}", "name one of these")
        return pd.DataFrame(rows, columns=["decoder", "fold", "test_group", "animal", "metric", "value", "simulated",
                                           "reason"])

    def by_animal(self, metric=None):
        """Mean over folds of a score, or of the main one, a DataFrame, a row a tested animal, a column a decoder."""
        metric = metric or self.main_score
        table = self.table(metric).dropna(subset="value")
        by_animal = table.pivot_table(index="animal", columns="decoder", values="value", sort=False)
        return by_animal.rename_axis(columns=None)

    @property
    def main_score(self):
        return self[0].main_score if self else ""


@dataclass(frozen=True, eq=False)
class FoldTask:
    """One decoder on one fold, with what it needs and nothing else: it travels to other processes and machines.

    Each input has a kind of its own, which knows what windows lie over (``_over``). ``split``: with the one fold.
    ``labels``: target of each frame, (T,) or (T, k), by recording; ``running``: of one quantity, run labels, if known.
    ``weights``: file in which a trained network is kept.
    """

    split: Split
    input: object
    task: object
    training: object
    decoder: object
    labels: dict
    running: dict = field(default_factory=dict)
    simulated: bool = False
    weights: Path | None = None

    @property
    def model(self):
        return name_of(self.decoder)

    @property
    def fold(self):
        return self.split.folds[0]

    @property
    def spec(self):
        return self.input.window

    def run(self, checkpoint=None, report=None):
        """Train and test, in one thread: a FoldResult; as of :func:`calcium_decoding.models.training.fit`."""
        began = time.perf_counter()
        with threadpool_limits(1):  # sums in the same order, however many processors there are
            result = self._run(checkpoint, report)
        return replace(result, seconds=time.perf_counter() - began, seed=self.training.seed)

    def windows(self):
        """Windows for training, validation and test, three WindowSets."""
        over = self._over()
        return tuple(self._lay(over, role) for role in ("train", "valid", "test"))

    def over(self, frames, first, spec=None):
        """A function that lays windows over ranges of ``frames``; recordings begin at the rows ``first``."""
        return lambda ranges: WindowSet.over(frames, [(name, first[name], self.labels[name], some)
                                                      for name, some in ranges.items()], spec or self.spec)

    def _lay(self, over, role):
        ranges = self.fold.ranges(role)
        if not self.split.of_centres:
            return over(ranges)
        whole = over({name: [(0, len(self.labels[name]))] for name in ranges})
        return whole.some(self.split.samples_of(self.fold, role, whole))

    def _run(self, checkpoint, report):
        fold = self.fold
        train, valid, test = self.windows()
        result = FoldResult(fold.name, fold.test_group, self.model, {}, "", loop.History(), tuple(test.ids),
                            test.recording, test.centre, test.labels, np.full(test.labels.shape, np.nan),
                            valid.labels[:0], kind=self.task.kind, target=self.task.name, simulated=self.simulated,
                            classes=tuple(getattr(self.task, "classes", None) or ()), running=self._running(test))
        try:
            self.require(train, valid, test)
        except DataError as error:
            return replace(result, reason=f"{error.where}: {error.found}")
        decoder, history = self.trained(train, valid, checkpoint, report)
        train = self.trained_on(train)
        on_train, on_valid, on_test = (self.predict(decoder, windows) for windows in (train, valid, test))
        result = replace(result, history=history, predicted=on_test, valid_labels=valid.labels,
                         valid_predicted=on_valid)
        return self._scored(result, train, on_train)

    def require(self, train, valid, test):
        """Raise DataError unless a decoder can be trained and scored on these windows."""
        self.task.require(test.labels, "test frames")
        self.task.require(self.trained_on(train).labels, "training frames")

    def trained(self, train, valid, checkpoint=None, report=None):
        """The decoder, trained on some windows and validated on others, and its History; read where it was kept."""
        decoder = self._new(train)
        kept = self.weights is not None and isinstance(decoder, nn.Module)
        if kept and (history := loop.load_weights(self.weights, decoder)) is not None:
            return decoder.to(self.training.torch_device()), history
        history = self._fit(decoder, train, valid, checkpoint, report)
        if kept:
            loop.save_weights(self.weights, decoder, history)
        return decoder, history

    def _new(self, train):
        return models.build(self.decoder, train.n_roi, self.spec.past_frames, self.training.seed, self.task.head,
                            self.spec.length)

    def _fit(self, decoder, train, valid, checkpoint, report):
        return training.fit(decoder, train, valid, self.training, checkpoint=checkpoint, report=report)

    def trained_on(self, train):
        """Those of some training windows that the settings of the training leave."""
        return self.training.trained_on(train)

    def predict(self, decoder, windows):
        """What a decoder gives for windows; see :func:`calcium_decoding.models.training.predict`."""
        return training.predict(decoder, windows, self.training.torch_device())

    def _scored(self, result, train, on_train):
        running, seen = self._running(train), {}
        if self.running:
            both = 0 < np.count_nonzero(running) < len(running)
            seen = {"running": result.running,
                    "class_means": [train.labels[running == one].mean() for one in (0, 1)] if both else None}
        scores, notes = self.task.scores(result.labels, result.predicted, seen)
        for role, labels, decoded in (("train", train.labels, on_train),
                                      ("valid", result.valid_labels, result.valid_predicted)):
            scores |= {f"{name}_{role}": value for name, value in self.task.short_scores(labels, decoded).items()}
        if self.task.kind in ("binary", "classes"):
            result = replace(result, train_roc=metrics.roc(train.labels, on_train)[1])
        elif self.task.kind == "continuous" and not self.task.head.shape:
            notes += self._still(result)
        return replace(result, scores=scores, notes=notes)

    def _still(self, result):
        notes = ()
        for i, name in enumerate(result.recordings):
            here = result.recording == i
            if here.any() and np.ptp(result.labels[here]) == 0:
                notes += (f"{name}: its {self.task.name} never changes, so it has no R2 of its own",)
            elif len(result.running) and here.any() and not result.running[here].any():
                notes += (f"{name}: never runs",)
        return notes

    def _running(self, windows):
        """Run label of the labelled frames of windows; empty where it is the label, or not known."""
        found = np.empty(len(windows) if self.running else 0, np.uint8)
        for i, name in enumerate(windows.ids if self.running else ()):
            here = windows.recording == i
            found[here] = self.running[name][windows.centre[here] + self.spec.label_shift_frames]
        return found
