"""What a window is cut from: ROI traces, preprocessed. Movies and their features are in ``movies``."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from calcium_decoding import preprocessing
from calcium_decoding.data.recording import stretches_of
from calcium_decoding.errors import ParameterError
from calcium_decoding.experiments.folds import FoldTask
from calcium_decoding.models import registry, training_footsteps
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.preprocessing import shared_frames
from calcium_decoding.preprocessing.recipes import SUITS
from calcium_decoding.preprocessing.shared_frames import SharedSignals
from calcium_decoding.preprocessing.windows import WindowSet, WindowSpec


@dataclass(frozen=True)
class Traces:
    """ROI traces, preprocessed, in windows around the labelled frame.

    Parameters
    ----------
    preprocessing : str or dict
        Name in :data:`calcium_decoding.preprocessing.RECIPES`, or arguments of
        :func:`calcium_decoding.preprocessing.build`; ``"auto"``: what suits the split.
    window : WindowSpec
    """

    preprocessing: str | Mapping = "auto"
    window: WindowSpec = field(default_factory=lambda: WindowSpec(15, 15))
    # Settings and decoders by default; whether workers of a cluster have to see the same files.
    training, decoders, beside_files = TrainingSettings, ("gru",), False

    def __post_init__(self):
        if not isinstance(self.window, WindowSpec):
            raise ParameterError("window", repr(self.window), "a WindowSpec", "give WindowSpec(past, future)")

    def on(self, dataset, regime):
        """The same for some data under a regime: a recipe by name, with the imaging rate; DataError if rates differ."""
        given = self.preprocessing
        recipe = {"name": given} if isinstance(given, str) else dict(given)
        if recipe["name"] == "auto":
            recipe["name"] = SUITS.get(regime, "scaled")
        if "rate_hz" not in recipe:
            recipe["rate_hz"] = dataset.rate_hz
        return replace(self, preprocessing=recipe)

    def pipeline(self):
        """The transforms, new and not fitted, a Pipeline; their declared reach goes to the audit."""
        return preprocessing.build(**self.preprocessing)

    def resolve(self, decoder, head):
        """A decoder as it is built; ParameterError if it is unknown, or cannot give what a head asks for."""
        return registry.require(decoder, head)

    def decides(self, recordings, decoder, training):
        """What, besides fold, task and decoder, determines a result: anything that JSON can hold."""
        return [{r.id: r.content_hash() for r in recordings}, asdict(self), asdict(training)]

    def share(self, recordings, folder):
        """Signals of all folds in a file under ``folder``."""
        return shared_frames.share(recordings, Path(folder) / "frames")

    def fold_task(self, recordings, shared, about, key):
        """A TraceFoldTask, or a TogetherFoldTask, with ``about`` of every FoldTask, on shared or own signals."""
        if shared is None:
            shared = {r.id: r.signal for r in recordings}
        elif not isinstance(shared, SharedSignals):
            shared = {r.id: shared[r.id] for r in recordings if r.id in shared}
        kind = TogetherFoldTask if about["task"].kind == "together" else TraceFoldTask
        return kind(**about, signals=shared)


@dataclass(frozen=True, eq=False)
class TraceFoldTask(FoldTask):
    """One decoder of ROI traces on one fold. ``signals`` (SharedSignals or dict of str to ndarray (T, n_roi)): raw."""

    signals: Mapping = field(default_factory=dict)

    def _over(self):
        pipeline = self.input.pipeline()
        learns = any(step.fitted_on == "training frames" for step in pipeline.steps)
        if isinstance(self.signals, SharedSignals) and not learns:
            return self.over(self.signals.preprocessed(self.input.preprocessing),
                             {name: start for name, (start, _) in self.signals.rows.items()})
        train = self.fold.ranges("train")
        pipeline.fit([(self.signals[name], train[name]) for name in train], list(train))
        transformed = {}

        def over(ranges):
            for name in ranges:
                if name not in transformed:
                    transformed[name] = pipeline.transform(self.signals[name], name)
            return WindowSet.build([(name, transformed[name], self.labels[name], some)
                                    for name, some in ranges.items()], self.spec)

        return over


@dataclass(frozen=True, eq=False)
class TogetherFoldTask(TraceFoldTask):
    """One decoder of several things at once on one fold, its windows over whole recordings, end to end."""

    def _over(self):
        pipeline = self.input.pipeline()
        train = self.fold.ranges("train")
        if self.split.of_centres:
            train = {name: self._touched(len(self.labels[name]), ranges) for name, ranges in train.items()}
        pipeline.fit([(self.signals[name], train[name]) for name in train], list(train))
        frames = np.concatenate([pipeline.transform(self.signals[name], name) for name in self.labels])
        first = dict(zip(self.labels, np.cumsum([0, *map(len, self.labels.values())]).tolist(), strict=False))
        return self.over(frames, first)

    def _touched(self, n_frames, centres):
        """Ranges of the frames that the windows around some centres hold."""
        is_seen = np.zeros(n_frames, bool)
        for start, stop in centres:
            is_seen[max(0, start - self.spec.past_frames):stop + self.spec.future_frames] = True
        return list(stretches_of(is_seen))

    def require(self, train, valid, test):
        super().require(train, valid, test)
        self.task.head.require(train, "training frames")
        self.task.head.require(valid, "validation frames")

    def frame_labels(self, head):
        """Labels of a head at each row of the frames that windows lie over."""
        return np.concatenate([labels[head] for labels in self.labels.values()])

    def _new(self, train):
        return training_footsteps.build(self.decoder, train.n_roi, self.spec, self.task.head, self.training)

    def _fit(self, decoder, train, valid, checkpoint, report):
        return training_footsteps.fit(decoder, train, valid, self.training, checkpoint, report)

    def predict(self, decoder, windows):
        return training_footsteps.predict(decoder, windows, self.training.torch_device())

    def _run(self, checkpoint, report):
        found = super()._run(checkpoint, report)
        main, *others = self.task.head
        parts = {name: getattr(found, name) for name in ("labels", "predicted", "valid_labels", "valid_predicted")}
        parts = {name: values for name, values in parts.items() if values.dtype.names}
        return replace(found, kind=self.task.main.kind, **{name: values[main] for name, values in parts.items()},
                       others={f"{head}/{name}": values[head] for head in others for name, values in parts.items()})
