"""One decoder on one fold: what it needs, what it does, what it gives."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from threadpoolctl import threadpool_limits

from calcium_decoding import metrics, models, preprocess, training
from calcium_decoding.audit import FittedStep
from calcium_decoding.errors import DataError
from calcium_decoding.shared_frames import SharedSignals
from calcium_decoding.splits import Split
from calcium_decoding.windows import WindowSet, WindowSpec

# What is fitted or chosen here beside the preprocessing, for the audit.
FITTED = (FittedStep("weights of the decoder", "train"), FittedStep("epoch at which training stops", "valid"))


@dataclass(frozen=True, eq=False)
class FoldResult:
    """One decoder on one fold.

    Attributes
    ----------
    fold, test_group, model : str
    scores : dict of str to float
        See :func:`calcium_decoding.metrics.frame_scores`; over all test windows pooled. ``auc_train`` and
        ``auc_valid`` are the same over training and validation windows, the latter where both classes are among them.
        Empty if not evaluable.
    reason : str
        Why there are no scores; empty if there are.
    history : History
        Losses of each epoch; empty for a linear decoder.
    recordings : tuple of str
        Test recordings, in order.
    recording, centre : ndarray, shape (n,), int64
        For each test window: index into ``recordings``, and its centre, which is the labelled frame unless labels are
        shifted.
    labels : ndarray, shape (n,), uint8
    p_run : ndarray, shape (n,), float64
        Decoded probability of running; NaN in a fold that is not evaluable, which has no scores either.
    valid_labels : ndarray, shape (m,), uint8
    valid_p_run : ndarray, shape (m,), float64
        The same for the validation windows, on which thresholds and decoders may be chosen. Empty in a fold that is
        not evaluable.
    train_roc : ndarray, shape (200,), float64
        True-positive rates over the training windows, on the grid of :func:`calcium_decoding.metrics.roc`: a decoder
        that fits these and no others has learned the training animals. Empty in a fold that is not evaluable.
    seconds : float
        What training and testing took; of a fold that was interrupted, since it went on.
    """

    fold: str
    test_group: str
    model: str
    scores: dict
    reason: str
    history: training.History
    recordings: tuple
    recording: np.ndarray
    centre: np.ndarray
    labels: np.ndarray
    p_run: np.ndarray
    valid_labels: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))
    valid_p_run: np.ndarray = field(default_factory=lambda: np.empty(0))
    train_roc: np.ndarray = field(default_factory=lambda: np.empty(0))
    seconds: float = 0.0

    def trace(self, recording):
        """Labelled frames, labels and decoded probabilities of one test recording, in time order."""
        here = self.recording == self.recordings.index(recording)
        return self.centre[here], self.labels[here], self.p_run[here]


@dataclass(frozen=True, eq=False)
class FoldTask:
    """One decoder on one fold, with what it needs and nothing else: it travels to other processes and machines.

    Parameters
    ----------
    split : Split
        With the one fold.
    spec : WindowSpec
    recipe : dict
        Arguments of :func:`calcium_decoding.preprocess.build`.
    training : TrainingSettings
    model : str
        A name in :data:`calcium_decoding.models.MODELS`.
    labels : dict of str to ndarray (T,)
        Label of each frame, by recording.
    signals : SharedSignals or dict of str to ndarray (T, n_roi)
        Raw signals by recording. Shared ones are preprocessed once for all folds, unless the preprocessing learns
        from training frames; the fold then has a copy of its own, as with a dict. The results are the same bits.
    """

    split: Split
    spec: WindowSpec
    recipe: dict
    training: training.TrainingSettings
    model: str
    labels: dict
    signals: Mapping

    def run(self, checkpoint=None, report=None):
        """Train and test, in one thread.

        Parameters
        ----------
        checkpoint, report
            As for :func:`calcium_decoding.training.fit`.

        Returns
        -------
        FoldResult
        """
        began = time.perf_counter()
        with threadpool_limits(1):  # sums in the same order, however many processors there are
            result = self._run(checkpoint, report)
        return replace(result, seconds=time.perf_counter() - began)

    def _run(self, checkpoint, report):
        (fold,) = self.split.folds
        lay = self._layer(fold)
        train, valid, test = lay("train"), lay("valid"), lay("test")
        history, p_run, scores, reason = training.History(), np.full(len(test), np.nan), {}, ""
        valid_labels, valid_p_run, train_roc = valid.labels[:0], np.empty(0), np.empty(0)
        try:
            metrics.require_both_classes(test.labels, "test frames")
            metrics.require_both_classes(train.labels, "training frames")
        except DataError as error:
            reason = f"{error.where}: {error.found}"
        else:
            settings = self.training
            decoder = models.build(self.model, train.n_roi, self.spec.past_frames, settings.seed)
            history = training.fit(decoder, train, valid, settings, checkpoint=checkpoint, report=report)
            p_run = training.predict(decoder, test, settings.torch_device())
            valid_labels, valid_p_run = valid.labels, training.predict(decoder, valid, settings.torch_device())
            train_p_run = training.predict(decoder, train, settings.torch_device())
            train_roc = metrics.roc(train.labels, train_p_run)[1]
            scores = {**metrics.frame_scores(test.labels, p_run), "auc_train": metrics.auc(train.labels, train_p_run)}
            if len(np.unique(valid_labels)) == 2:
                scores["auc_valid"] = metrics.auc(valid_labels, valid_p_run)
        return FoldResult(fold.name, fold.test_group, self.model, scores, reason, history, tuple(test.ids),
                          test.recording, test.centre, test.labels, p_run, valid_labels, valid_p_run, train_roc)

    def _layer(self, fold):
        """A function that lays the windows of a role."""
        pipeline = preprocess.build(**self.recipe)
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
            return _only(whole, self.split.samples_of(fold, role, whole))

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


def _only(windows, which):
    """Some of the windows, over the same frames."""
    return replace(windows, **{name: getattr(windows, name)[which]
                               for name in ("starts", "labels", "recording", "centre")})
