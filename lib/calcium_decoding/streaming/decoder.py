"""Decode while frames come in: one at a time, with the state that the next one needs carried along."""

import json
import time
from collections import deque
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
import torch

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.models import loop
from calcium_decoding.models.decoders import name_of
from calcium_decoding.preprocessing.movie_frames import MovieFrames
from calcium_decoding.streaming.running import Shown, running
from calcium_decoding.streaming.steps import online
from calcium_decoding.utils.files import hash_bytes, hash_content

ON_GAP = {"carry": "the window starts anew, running baseline and smoothing go on as if nothing were missing",
          "restart": "all starts anew, as at the first frame"}
COUNTS = "received", "decoded", "repeated", "late", "gaps", "missing", "held", "restarts"


class Decoded(NamedTuple):
    """What was decoded. ``frame``, ``time_s``: number and time of the frame that it refers to; label shifts count.
    ``outputs``: by the columns of :meth:`FittedDecoder.predict`. ``given_frame``, ``given_s``: of the frame with which
    it was given, the last that it depends on."""

    frame: int
    time_s: float
    outputs: dict
    given_frame: int
    given_s: float

    @property
    def value(self):
        """The first of the values that is a number."""
        return next(value for value in self.outputs.values() if not isinstance(value, str))


class StreamDecoder:
    """A fitted decoder that takes one frame at a time and gives what its ``predict`` gives on the whole recording.

    Parameters
    ----------
    fitted : FittedDecoder
        Of :func:`calcium_decoding.load_decoder` or :meth:`Experiment.fitted`. A window that reaches beyond the decoded
        frame runs late by as much, ``look_ahead_ms``; preprocessing may look at no later frame.
    scaling : MovieScaling, optional
        Of movies: mean image and SD, from frames of this view that are there before the stream is, such as
        ``MovieScaling.of(movie, [(0, 900)])``. ``predict`` takes them from the whole movie, which no stream has yet.
    on_gap : {"carry", "restart"}
        What a missing frame does: :data:`ON_GAP`. Nothing is decoded until a window has all its frames again.
    hold_frames : int
        In place of at most so many missing frames in a row the last one stands, counted as ``held``, and the window
        goes on. 0: never.

    Attributes
    ----------
    counts : dict of str to int
        Frames ``received`` and taken, windows ``decoded``; frames ``repeated`` (the number of the last one) and
        ``late`` (a lower one), both left out; ``gaps`` and frames ``missing`` in them; ``held``; ``restarts``.
    took_s : (float, float)
        Preprocessing and inference of the last frame, seconds.

    Raises
    ------
    ParameterError
        A preprocessing step that looks ahead, by name, with its causal counterpart; a movie without ``scaling``.
    """

    def __init__(self, fitted, *, scaling=None, on_gap="carry", hold_frames=0):
        if on_gap not in ON_GAP:
            raise ParameterError("on_gap", repr(on_gap), f"one of {', '.join(ON_GAP)}", "name one of these")
        self.fitted, self.scaling, self.on_gap, self.hold_frames = fitted, scaling, on_gap, hold_frames
        if fitted.image_shape:
            if scaling is None:
                raise ParameterError(
                    "frame_scaling", "'session', which looks at the whole recording", "mean image and SD of frames that "
                    "are there before the stream", "give scaling=MovieScaling.of(movie, [(0, 900)]) of such frames")
            if scaling.mean.shape != fitted.image_shape:
                raise ParameterError("scaling", f"a mean image of {scaling.mean.shape} pixels", f"{fitted.image_shape}, "
                                     "as in training", "take it from frames of the training's size")
            self.frame_shape, self.spec = fitted.image_shape, fitted.input.spec(fitted.source)
            self._steps, shape = (), tuple(n // fitted.input.bin_px for n in self.frame_shape)
        else:
            self.frame_shape, self.spec = (len(fitted.roi_names),), fitted.input.window
            self._steps = online(fitted.pipeline, *self.frame_shape)
            shape = (fitted.pipeline.width(*self.frame_shape),)
        self.delay_frames = self.spec.future_frames - self.spec.label_shift_frames
        self._running = running(fitted, self.spec, shape)
        self.counts, self.took_s = dict.fromkeys(COUNTS, 0), (0.0, 0.0)
        self._start()

    @property
    def look_ahead_ms(self):
        """From the frame that a value refers to, to the one with which it is given, ms; computing comes on top.
        Negative where the labels of the training lay ahead of their windows."""
        return 1000 * self.delay_frames / self.fitted.rate_hz

    def _start(self):
        self._first, self._last, self._held_row, self._in_window = None, None, None, 0
        self._times = deque(maxlen=max(self.delay_frames, 0) + 1)
        for part in (*self._steps, self._running):
            part.reset()

    def reset(self):
        """Start anew, as at the first frame; the counts stay, and ``restarts`` is one more."""
        self._start()
        self.counts["restarts"] += 1

    def warm_up(self):
        """Run the decoder once on nothing, before the first frame, so that none pays for what is compiled."""
        for number in range(self.spec.length + 1):
            self.push(np.zeros(self.frame_shape, np.float32), number)
        self.counts = dict.fromkeys(COUNTS, 0)
        self._start()

    def push(self, frame, number=None, time_s=None, decode=True):
        """Take the next frame: a Decoded, or None as long as the window is not full, and for frames that are left out.

        Parameters
        ----------
        frame : array_like, shape (n_roi,) or (rows, columns)
            Raw values in the unit and the order of ROIs of the training, or a frame of a movie.
        number : int, optional
            Of the frame, by the camera's count; one more than the last if left out.
        time_s : float, optional
            When it was taken, s; its number over the rate if left out.
        decode : bool
            False: take it into baseline and window, and decode nothing; for a frame behind which others wait.

        Raises
        ------
        DataError
            A frame of another shape, or with NaN or infinite values. Nothing was taken then.
        """
        number = (0 if self._last is None else self._last + 1) if number is None else int(number)
        frame = np.asarray(frame)
        if frame.shape != self.frame_shape or frame.dtype.kind not in "fiu":
            raise DataError(f"frame {number}", f"shape {frame.shape}, {frame.dtype}", f"numbers of shape "
                            f"{self.frame_shape}", "give what the decoder was trained on, ROIs in the same order")
        if not np.isfinite(frame).all():
            raise DataError(f"frame {number}", "NaN or infinite values", "finite numbers",
                            "leave the frame out: the jump of its number makes a gap")
        if self._last is not None and number <= self._last:
            self.counts["repeated" if number == self._last else "late"] += 1
            return None
        self.counts["received"] += 1
        begun = time.perf_counter()
        missing = 0 if self._last is None else number - self._last - 1
        if missing:
            self._mind_gap(missing)
        self._first = number if self._first is None else self._first
        self._last, time_s = number, number / self.fitted.rate_hz if time_s is None else float(time_s)
        row = self._preprocessed(frame)
        ready = time.perf_counter()
        self._take(row, time_s)
        whole = decode and self._in_window >= self.spec.length
        found = self._running.value(number - self.spec.future_frames - self._first) if whole else None
        self.took_s = ready - begun, time.perf_counter() - ready
        if not whole:
            return None
        self.counts["decoded"] += 1
        known = len(self._times) == self._times.maxlen and self.delay_frames >= 0
        at = self._times[0] if known else time_s - self.delay_frames / self.fitted.rate_hz
        return Decoded(number - self.delay_frames, at, named(self.fitted.task, found), number, time_s)

    def _preprocessed(self, frame):
        if self.fitted.image_shape:
            return MovieFrames({"": frame[None]}, {"": self.scaling}, self.fitted.input.bin_px)[:1][0]
        row = frame.astype(np.float32)  # as a Recording holds it
        for step in self._steps:
            row = step.push(row)
        return row

    def _take(self, row, time_s):
        self._held_row = row
        self._times.append(time_s)
        self._in_window = min(self._in_window + 1, self.spec.length)
        self._running.push(row)

    def _mind_gap(self, missing):
        self.counts["gaps"] += 1
        self.counts["missing"] += missing
        if missing <= self.hold_frames and self._held_row is not None:
            self.counts["held"] += missing
            for _ in range(missing):
                self._take(self._held_row, self._times[-1] + 1 / self.fitted.rate_hz)
        elif self.on_gap == "restart":
            self._start()
        else:
            self._in_window = 0
            self._times.clear()
            self._running.reset()

    def save(self, path):
        """Write all that is carried along, without the decoder, to a safetensors file, whole or not at all."""
        if isinstance(self._running, Shown):
            raise ParameterError("decoder", f"'{name_of(self.fitted.source)}', which keeps its state itself",
                                 "a decoder of this library", "save its state by its own means")
        tensors = {f"{i}/{name}": torch.from_numpy(np.array(value))
                   for i, part in enumerate((*self._steps, self._running)) for name, value in part.state.items()}
        about = {"identity": self._identity, "counts": self.counts, "first": self._first, "last": self._last,
                 "in_window": self._in_window, "times": list(self._times),
                 "held_row": None if self._held_row is None else self._held_row.tolist()}
        loop.write_tensors(path, tensors, stream=json.dumps(about))

    def restore(self, path):
        """Go on from where :meth:`save` was called; DataError of no such file, or that of another decoder."""
        try:
            tensors, metadata = loop.read_tensors(path)
            about = json.loads(metadata["stream"])
        except Exception as error:  # safetensors has no public class of its errors
            raise DataError(path, f"{type(error).__name__}: {error}", "a file of StreamDecoder.save",
                            "name such a file") from error
        if about["identity"] != self._identity:
            raise DataError(path, "the state of another decoder", "the state of this one", "start anew without it")
        for i, part in enumerate((*self._steps, self._running)):
            part.state = {name: tensors[f"{i}/{name}"].numpy() for name in part.KEPT}
        self.counts = about["counts"]
        self._first, self._last, self._in_window = about["first"], about["last"], about["in_window"]
        self._times.clear()
        self._times.extend(about["times"])
        self._held_row = None if about["held_row"] is None else np.array(about["held_row"], np.float32)

    @property
    def _identity(self):
        fitted, weights = self.fitted, {}
        if isinstance(fitted.decoder, torch.nn.Module):
            weights = {name: hash_bytes(value.numpy()) for name, value in fitted.decoder.state_dict().items()}
        scaling = None if self.scaling is None else [hash_bytes(self.scaling.mean), self.scaling.sd]
        return hash_content([name_of(fitted.source), asdict(fitted.input), fitted.roi_names, fitted.provenance, weights,
                             scaling])


def named(task, found):
    """What ``predict`` says of one window, by the columns of its table."""
    if task.kind == "together":
        return {f"{head}_{name}": value for head, one in task.by_head.items()
                for name, value in named(one, found[head]).items()}
    if task.kind == "binary":
        return {"probability": float(found[0])}
    if task.kind == "classes":
        return {"class": [*task.classes][int(found[0].argmax())]} | {
            f"probability_{name}": float(value) for name, value in zip(task.classes, found[0], strict=True)}
    return {name: float(values.iloc[0]) for name, values in task.quantities(found).items()}
