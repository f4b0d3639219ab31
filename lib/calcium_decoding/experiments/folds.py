"""One decoder on one fold: what it needs, what it does, what it gives."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from threadpoolctl import threadpool_limits

from calcium_decoding import models, preprocessing
from calcium_decoding.errors import DataError
from calcium_decoding.evaluation import metrics
from calcium_decoding.models import loop, training
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.preprocessing.shared_frames import SharedSignals
from calcium_decoding.preprocessing.windows import WindowSet, WindowSpec
from calcium_decoding.splits import Split
from calcium_decoding.splits.audit import FittedStep

# What is fitted or chosen here besides the preprocessing, for the audit.
FITTED = (FittedStep("weights of the decoder", "train"), FittedStep("epoch at which training stops", "valid"))


@dataclass(frozen=True, eq=False)
class FoldResult:
    """One decoder on one fold.

    Attributes
    ----------
    fold, test_group, model : str
    scores : dict of str to float
        Over all test windows pooled: :func:`calcium_decoding.evaluation.metrics.frame_scores`, or
        :func:`calcium_decoding.evaluation.metrics.speed_scores`. ``auc_train`` and ``auc_valid`` (``r2_train`` and
        ``r2_valid``
        of a speed) are the same over training and validation windows, the latter where it exists. Empty if not
        evaluable.
    reason : str
        Why there are no scores; empty if there are.
    history : History
        Losses of each epoch; empty for a linear decoder.
    recordings : tuple of str
        Test recordings, in order.
    recording, centre : ndarray, shape (n,), int64
        For each test window: index into ``recordings``, and its centre, which is the labelled frame unless labels are
        shifted.
    labels : ndarray, shape (n,), uint8, or float32 of a speed
    predicted : ndarray, shape (n,), float64
        Decoded probability of running, or speed in the unit of the labels; NaN in a fold that is not evaluable, which
        has no scores either.
    valid_labels : ndarray, shape (m,)
    valid_predicted : ndarray, shape (m,), float64
        The same for the validation windows, on which thresholds and decoders may be chosen. Empty in a fold that is
        not evaluable.
    train_roc : ndarray, shape (200,), float64
        True-positive rates over the training windows, on the grid of :func:`calcium_decoding.evaluation.metrics.roc`:
        a decoder
        that fits these and no others has learned the training animals. Empty in a fold that is not evaluable, and of
        a speed.
    seconds : float
        What training and testing took; of a fold that was interrupted, since it went on.
    task : {"run", "speed"}
    running : ndarray, shape (n,), uint8
        Of a speed: run label of the frame whose speed is decoded. Empty where recordings have none, and if ``task``
        is ``"run"``, where it is the label.
    notes : tuple of str
        What is undefined in this fold, and why: a test session without movement, no running frames.
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
    task: str = "run"
    running: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))
    notes: tuple = ()

    @property
    def p_run(self):
        """Decoded probabilities of running; DataError if a speed was decoded."""
        return self._of_run(self.predicted)

    @property
    def valid_p_run(self):
        """Decoded probabilities of running in the validation windows; DataError if a speed was decoded."""
        return self._of_run(self.valid_predicted)

    def _of_run(self, predicted):
        if self.task != "run":
            raise DataError(f"fold {self.fold}", f"a decoded {self.task}", "decoded probabilities of running",
                            "use predicted and valid_predicted, in the unit of the labels")
        return predicted

    def trace(self, recording):
        """Labelled frames, labels and what was decoded of one test recording, in time order."""
        here = self.recording == self.recordings.index(recording)
        return self.centre[here], self.labels[here], self.predicted[here]


@dataclass(frozen=True, eq=False)
class FoldTask:
    """One decoder on one fold, with what it needs and nothing else: it travels to other processes and machines.

    ``split``: with the one fold. ``spec``: WindowSpec. ``recipe``: arguments of
    :func:`calcium_decoding.preprocessing.build`. ``training``: TrainingSettings. ``model``: a name in
    :data:`calcium_decoding.models.MODELS`, or in ``SPEED_MODELS`` for a speed. ``labels`` (dict of str to ndarray
    (T,)): run label or speed of each frame, by recording. ``signals`` (SharedSignals or dict of str to ndarray (T,
    n_roi)): raw signals by recording. Shared ones are preprocessed once for all folds, unless the preprocessing learns
    from training frames; the fold then has a copy of its own, as with a dict. The results are the same bits. ``task``:
    {"run", "speed"}. ``running`` (dict of str to ndarray (T,)): of a speed: run labels by recording, for scores within
    running. Empty if not every recording has one.
    """

    split: Split
    spec: WindowSpec
    recipe: dict
    training: TrainingSettings
    model: str
    labels: dict
    signals: Mapping
    task: str = "run"
    running: dict = field(default_factory=dict)

    def run(self, checkpoint=None, report=None):
        """Train and test, in one thread.

        ``checkpoint``, ``report``: as for :func:`calcium_decoding.models.training.fit`. Returns FoldResult.
        """
        began = time.perf_counter()
        with threadpool_limits(1):  # sums in the same order, however many processors there are
            result = self._run(checkpoint, report)
        return replace(result, seconds=time.perf_counter() - began)

    def windows(self):
        """Windows for training, validation and test, three WindowSets."""
        lay = self._layer(*self.split.folds)
        return lay("train"), lay("valid"), lay("test")

    def _run(self, checkpoint, report):
        (fold,) = self.split.folds
        train, valid, test = self.windows()
        result = FoldResult(fold.name, fold.test_group, self.model, {}, "", loop.History(), tuple(test.ids),
                            test.recording, test.centre, test.labels, np.full(len(test), np.nan), valid.labels[:0],
                            task=self.task, running=self._running(test))
        require = metrics.require_both_classes if self.task == "run" else metrics.require_change
        try:
            require(test.labels, "test frames")
            require(train.labels, "training frames")
        except DataError as error:
            return replace(result, reason=f"{error.where}: {error.found}")
        decoder, history = self.trained(train, valid, checkpoint, report)
        train = self.training.trained_on(train)
        on_train, on_valid, on_test = (self.predict(decoder, windows) for windows in (train, valid, test))
        result = replace(result, history=history, predicted=on_test, valid_labels=valid.labels,
                         valid_predicted=on_valid)
        return (scored_run(result, train.labels, on_train) if self.task == "run" else
                self._scored_speed(result, train, on_train))

    def trained(self, train, valid, checkpoint=None, report=None):
        """The decoder, trained on some windows and validated on others, and its History."""
        decoder = models.build(self.model, train.n_roi, self.spec.past_frames, self.training.seed)
        return decoder, training.fit(decoder, train, valid, self.training, checkpoint=checkpoint, report=report)

    def predict(self, decoder, windows):
        """What a decoder gives for windows; see :func:`calcium_decoding.models.training.predict`."""
        return training.predict(decoder, windows, self.training.torch_device())

    def _scored_speed(self, result, train, on_train):
        running = self._running(train)
        both = 0 < np.count_nonzero(running) < len(running)
        means = [train.labels[running == one].mean() for one in (0, 1)] if both else None
        scores, notes = metrics.speed_scores(result.labels, result.predicted,
                                             result.running if len(running) else None, means)
        scores["r2_train"] = metrics.speed_scores(train.labels, on_train)[0]["r2"]
        if np.ptp(result.valid_labels) > 0:
            scores["r2_valid"] = metrics.speed_scores(result.valid_labels, result.valid_predicted)[0]["r2"]
        for i, name in enumerate(result.recordings):
            here = result.recording == i
            if here.any() and np.ptp(result.labels[here]) == 0:
                notes += (f"{name}: its speed never changes, so it has no R2 of its own",)
            elif len(result.running) and here.any() and not result.running[here].any():
                notes += (f"{name}: never runs",)
        return replace(result, scores=scores, notes=notes)

    def _running(self, windows):
        """Run label of the labelled frames of windows; empty where it is the label, or not known."""
        found = np.empty(len(windows) if self.running else 0, np.uint8)
        for i, name in enumerate(windows.ids if self.running else ()):
            here = windows.recording == i
            found[here] = self.running[name][windows.centre[here] + self.spec.label_shift_frames]
        return found

    def _layer(self, fold):
        """A function that lays the windows of a role."""
        pipeline = preprocessing.build(**self.recipe)
        learns = any(step.fitted_on == "training frames" for step in pipeline.steps)
        if isinstance(self.signals, SharedSignals) and not learns:
            over = self._over_shared()
        else:
            over = self._over_own(pipeline, fold)

        def lay(role):
            ranges = fold.ranges(role)
            if not self.split.of_centres:
                return over(ranges)
            whole = over({name: [(0, len(self.labels[name]))] for name in ranges})
            return whole.some(self.split.samples_of(fold, role, whole))

        return lay

    def _over_shared(self):
        frames = self.signals.preprocessed(self.recipe)
        return lambda ranges: WindowSet.over(
            frames, [(name, self.signals.rows[name][0], self.labels[name], some) for name, some in ranges.items()],
            self.spec)

    def _over_own(self, pipeline, fold):
        train = fold.ranges("train")
        pipeline.fit([(self.signals[name], train[name]) for name in train], list(train))
        transformed = {}

        def over(ranges):
            for name in ranges:
                if name not in transformed:
                    transformed[name] = pipeline.transform(self.signals[name], name)
            return WindowSet.build([(name, transformed[name], self.labels[name], some)
                                    for name, some in ranges.items()], self.spec)

        return over


def scored_run(result, train_labels, on_train):
    """A FoldResult of running with its scores, from what was decoded of its windows and of those trained on."""
    scores = {**metrics.frame_scores(result.labels, result.predicted), "auc_train": metrics.auc(train_labels, on_train)}
    if len(np.unique(result.valid_labels)) == 2:
        scores["auc_valid"] = metrics.auc(result.valid_labels, result.valid_predicted)
    return replace(result, scores=scores, train_roc=metrics.roc(train_labels, on_train)[1])
