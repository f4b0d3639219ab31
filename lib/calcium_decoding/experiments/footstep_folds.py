"""One decoder on one split of one animal's frames, as a job."""

import time
from dataclasses import asdict, dataclass

import numpy as np

from calcium_decoding.data.readers.footsteps import KINEMATICS
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation.metrics import footsteps
from calcium_decoding.experiments.stored import Outcome
from calcium_decoding.models import hybrid, training_footsteps
from calcium_decoding.models.linear import LinearDecoder, MajorityDecoder
from calcium_decoding.models.names import FOOTSTEP_LINEAR
from calcium_decoding.preprocessing.windows import Scaling, Windows
from calcium_decoding.splits.footstep_samples import Rows
from calcium_decoding.utils.files import hash_bytes, hash_content


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames of one animal, sessions one after another, with the behaviour on them.

    ``signal`` (ndarray, shape (T, n_cells), float32): as recorded; scaling is learned from training frames later.
    ``footstep``: ndarray, shape (T,), int64. ``kinematics`` (ndarray, shape (T, 4), float32, or None): columns as in
    :data:`calcium_decoding.data.readers.footsteps.KINEMATICS`.
    """

    signal: np.ndarray
    footstep: np.ndarray
    kinematics: np.ndarray | None = None

    @classmethod
    def of(cls, recordings):
        """Of the recordings of one animal, in order.

        Raises DataError: a recording has no footsteps, or other cells than the first.
        """
        recordings = tuple(recordings)
        for r in recordings:
            if "footstep" not in r.behaviour:
                raise DataError(r.id, f"behaviour {sorted(r.behaviour)}", "a label 'footstep': 0 none, 1, 2",
                                "read the recording with its table of steps")
            if r.n_roi != recordings[0].n_roi:
                raise DataError(r.id, f"{r.n_roi} cells", f"{recordings[0].n_roi}, as in {recordings[0].id}",
                                "decode recordings of other cells as another animal")
        known = all(name in r.behaviour for r in recordings for name in KINEMATICS)
        return cls(np.concatenate([r.signal for r in recordings]),
                   np.concatenate([r.behaviour["footstep"] for r in recordings]).astype(np.int64),
                   np.concatenate([np.stack([r.behaviour[k] for k in KINEMATICS], 1) for r in recordings])
                   if known else None)

    def digest(self):
        """Short hash of everything in it."""
        return hash_content([hash_bytes(x) for x in (self.signal, self.footstep, self.kinematics) if x is not None])

    def shifted(self, lengths):
        """The same signal, and behaviour of each recording circularly shifted by half its length: a null.

        ``lengths`` (sequence of int): frames of each recording.
        """
        def rolled(values):
            parts = np.split(values, np.cumsum(lengths)[:-1])
            return np.concatenate([np.roll(part, len(part) // 2, axis=0) for part in parts])

        return Frames(self.signal, rolled(self.footstep), None if self.kinematics is None else rolled(self.kinematics))


@dataclass(frozen=True, eq=False)
class DecodeTask:
    """Train one decoder on one split, test it.

    ``frames``: Frames. ``part``: Rows. ``model``: a name in :data:`calcium_decoding.models.names.FOOTSTEP_MODELS`.
    ``length``: frames of a window. ``settings``: FitSettings. ``size``: a name in
    :data:`calcium_decoding.models.hybrid.SIZES`.
    """

    frames: Frames
    part: Rows
    model: str
    length: int
    settings: training_footsteps.FitSettings
    size: str = "april_9"

    def key(self):
        """All that determines the outcome."""
        return hash_content([self.frames.digest(), *map(hash_bytes, (self.part.train, self.part.valid, self.part.test)),
                             self.model, self.length, asdict(self.settings), self.size])

    def run(self, checkpoint=None, report=None):
        """Train and test; an Outcome with ``scores``, ``notes``, losses and what was decoded."""
        return self.outcome(*self.trained(checkpoint, report))

    def trained(self, checkpoint=None, report=None):
        """The trained decoder, its windows by role, and its losses.

        Returns ``predict`` (callable): ``predict(windows)`` gives outputs by head; see
        :func:`calcium_decoding.models.training_footsteps.predict`; ``windows`` (dict of str to Windows); ``history``
        (dict).
        """
        began = time.perf_counter()
        windows, self_scaling = prepare(self.frames, self.part, self.length, self.settings.activity)
        if self.model in FOOTSTEP_LINEAR:
            decoder = MajorityDecoder() if self.model == "majority" else LinearDecoder(self.model == "logistic_window")
            decoder.fit(windows["train"], windows["valid"], self.settings)
            return decoder, windows, {"seconds": time.perf_counter() - began, "kinematics": self_scaling}
        network = hybrid.build(self.model, self.frames.signal.shape[1], heads_of(windows["train"]), self.size,
                               self.settings.seed)
        history = training_footsteps.fit(network, windows["train"], windows["valid"], self.settings, checkpoint, report)
        return (training_footsteps.Trained(network, self.settings.device), windows,
                {**asdict(history), "seconds": time.perf_counter() - began, "kinematics": self_scaling})

    def outcome(self, decoder, windows, history):
        """Outcome of a trained decoder on the test windows."""
        history = dict(history)
        scaling = history.pop("kinematics")
        return scored(decoder.predict(windows["test"]), windows["test"], self.frames, scaling, history)


def scored(predicted, windows, frames, scaling, history):
    """Outcome of what a decoder said of some windows.

    ``predicted`` (dict of str to ndarray): kinematics still standardised. ``windows``: Windows. ``frames``: Frames.
    ``scaling``: of the kinematics. ``history``: losses and the like. Returns Outcome: ``facts``: ``scores``, ``notes``,
    ``history``; ``arrays``: ``frame``, ``labels`` and outputs by head.
    """
    predicted, true = dict(predicted), None
    if scaling is not None:
        predicted["kinematics"] = scaling.undo(predicted["kinematics"])
        true = frames.kinematics[windows.last]
    found, notes = footsteps.all_scores(windows.labels, predicted, true)
    arrays = {"frame": windows.last, "labels": windows.labels, **predicted}
    arrays |= {} if true is None else {"true_kinematics": true}
    return Outcome({"scores": found, "notes": list(notes), "history": history}, arrays)


def prepare(frames, part, length, activity=False):
    """Windows of each role, scaled by what training frames are like.

    ``frames``: Frames. ``part``: Rows. ``activity``: add the first principal component of the training frames as a
    target. Returns ``windows`` (dict of str to Windows): ``"train"``, ``"valid"``, ``"test"``; ``kinematics`` (Scaling
    or None).
    """
    if not len(part.train):
        raise ParameterError("training frames", "none", "one at least", "shorten the windows or use more frames")
    ends = np.concatenate([part.train, part.valid, part.test])
    if ends.min() < length - 1 or ends.max() >= len(frames.signal):
        raise ParameterError("rows", f"windows that end at {ends.min()} to {ends.max()}",
                             f"{length - 1} to {len(frames.signal) - 1}", "make the split for these recordings")
    seen = np.unique(part.train[:, None] + np.arange(1 - length, 1))
    scaled = Scaling.of(frames.signal[seen]).apply(frames.signal)
    targets, scaling = {}, None
    if frames.kinematics is not None:
        scaling = Scaling.of(frames.kinematics[part.train])
        targets["kinematics"] = scaling.apply(frames.kinematics)
    if activity:
        axis = np.linalg.svd(scaled[seen] - scaled[seen].mean(0), full_matrices=False)[2][0]
        along = (scaled @ axis)[:, None]
        targets["activity"] = Scaling.of(along[seen]).apply(along)
    return {role: Windows(scaled, rows, length, frames.footstep[rows], {k: v[rows] for k, v in targets.items()})
            for role, rows in (("train", part.train), ("valid", part.valid), ("test", part.test))}, scaling


def heads_of(windows):
    """Names of the heads that a network needs for these windows."""
    return (*hybrid.CLASS_HEADS, *windows.targets)
