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

ON_GAP = "carry", "restart"
COUNTS = "received", "decoded", "repeated", "late", "gaps", "missing", "held", "restarts"


class Decoded(NamedTuple):
    """What was decoded. ``frame``, ``time_s``: number and time of the frame that it refers to; label shifts count.
    ``given_frame``, ``given_s``: of the last frame that it depends on, with which it was given. ``outputs``: a dict by
    the columns of :meth:`FittedDecoder.predict`; ``value``: the first of them that is a number."""

    frame: int
    time_s: float
    given_frame: int
    given_s: float
    outputs: dict

    @property
    def value(self):
        return next(value for value in self.outputs.values() if not isinstance(value, str))


class StreamDecoder:
    """A fitted decoder that takes one frame at a time and gives what its ``predict`` gives on the whole recording.

    ``counts``: frames ``received``, windows ``decoded``; frames ``repeated`` (the number of the last one) and ``late``
    (a lower one), both left out; ``gaps``, frames ``missing`` in them, ``held``; ``restarts``. ``took_s``: of the last
    frame, seconds of preprocessing and of inference.

    Parameters
    ----------
    fitted : FittedDecoder
        Of :func:`calcium_decoding.load_decoder` or :meth:`Experiment.fitted`. Its window may reach beyond the decoded
        frame, and then runs late by ``look_ahead_ms``; its preprocessing may look at no later frame.
    scaling : MovieScaling, optional
        Of movies: mean image and SD of frames that are there before the stream is, such as
        ``MovieScaling.of(movie, [(0, 900)])``. ``predict`` takes them from the whole movie, which no stream has yet.
    on_gap : {"carry", "restart"}
        At missing frames the window starts anew, while running baseline and smoothing go on as if nothing were
        missing; or all starts anew, as at the first frame.
    hold_frames : int
        For at most so many missing frames in a row the last one stands in, and the window goes on. 0: never.

    Raises
    ------
    ParameterError
        A preprocessing step that looks ahead, by name, with its causal counterpart; a movie without ``scaling``.
    """

    def __init__(self, fitted, *, scaling=None, on_gap="carry", hold_frames=0):
        if on_gap not in ON_GAP:
            raise ParameterError("on_gap", repr(on_gap), f"one of {', '.join(ON_GAP)}", "name one of these")
        self.fitted, self.scaling, self.on_gap, self.hold_frames = fitted, scaling, on_gap, hold_frames
        self.frame_shape, self._steps = fitted.image_shape or (len(fitted.roi_names),), ()
        if fitted.image_shape:
            if scaling is None or scaling.mean.shape != self.frame_shape:
                raise ParameterError(
                    "scaling", "none, so that FrameScaling would look at the whole recording" if scaling is None else
                    f"a mean image of {scaling.mean.shape} pixels", f"mean image of {self.frame_shape} pixels, and SD, "
                    "of frames before the stream", "give scaling=MovieScaling.of(movie, [(0, 900)]) of such frames")
            self.spec = fitted.input.spec(fitted.source)
            shape = tuple(n // fitted.input.bin_px for n in self.frame_shape)
        else:
            self.spec, self._steps = fitted.input.window, online(fitted.pipeline, *self.frame_shape)
            shape = (fitted.pipeline.width(*self.frame_shape),)
        self.delay_frames = self.spec.future_frames - self.spec.label_shift_frames
        self.parts = (*self._steps, running(fitted.decoder, self.spec, shape))
        self.counts, self.took_s = dict.fromkeys(COUNTS, 0), (0.0, 0.0)
        self._start()

    @property
    def look_ahead_ms(self):
        """From the frame that a value refers to, to the one with which it is given, ms; computing comes on top.
        Negative where the labels of the training lay ahead of their windows."""
        return 1000 * self.delay_frames / self.fitted.rate_hz

    def reset(self):
        """Start anew, as at the first frame; the counts stay, and ``restarts`` is one more."""
        self._start()
        self.counts["restarts"] += 1

    def _start(self):
        self._first, self._last, self._row, self._in_window = None, None, None, 0
        self._times = deque(maxlen=max(self.delay_frames, 0) + 1)
        for part in self.parts:
            part.reset()

    def warm_up(self):
        """Run once on nothing, before the first frame, so that none pays for what is compiled."""
        for number in range(self.spec.length + 1):
            self.push(np.zeros(self.frame_shape, np.float32), number)
        self.counts = dict.fromkeys(COUNTS, 0)
        self._start()

    def push(self, frame, number=None, time_s=None, decode=True):
        """Take the next frame: a Decoded, or None as long as the window is not full, and for frames that are left out.

        ``frame``, shape (n_roi,) or (rows, columns): raw values in the unit and the order of ROIs of the training, or
        pixels. ``number``: by the camera's count; one more than the last if left out. ``time_s``: when it was taken,
        s; its number over the rate if left out. ``decode=False``: take it into baseline and window and decode nothing,
        for a frame behind which others wait. Raises DataError: a frame of another shape, or with NaN or infinite
        values; nothing was taken then.
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
        begun, rate_hz = time.perf_counter(), self.fitted.rate_hz
        self.counts["received"] += 1
        if missing := 0 if self._last is None else number - self._last - 1:
            self._mind_gap(missing)
        self._first = number if self._first is None else self._first
        self._last, time_s = number, number / rate_hz if time_s is None else float(time_s)
        if self.fitted.image_shape:
            row = MovieFrames({"": frame[None]}, {"": self.scaling}, self.fitted.input.bin_px)[:1][0]
        else:
            row = frame.astype(np.float32)  # as a Recording holds it
        for step in self._steps:
            row = step.push(row)
        ready = time.perf_counter()
        self._take(row, time_s)
        whole = decode and self._in_window >= self.spec.length
        found = self.parts[-1].value(number - self.spec.future_frames - self._first) if whole else None
        self.took_s = ready - begun, time.perf_counter() - ready
        if not whole:
            return None
        self.counts["decoded"] += 1
        known = len(self._times) == self._times.maxlen and self.delay_frames >= 0
        at = self._times[0] if known else time_s - self.delay_frames / rate_hz
        return Decoded(number - self.delay_frames, at, number, time_s, named(self.fitted.task, found))

    def _take(self, row, time_s):
        self._row, self._in_window = row, min(self._in_window + 1, self.spec.length)
        self._times.append(time_s)
        self.parts[-1].push(row)

    def _mind_gap(self, missing):
        self.counts["gaps"] += 1
        self.counts["missing"] += missing
        if missing <= self.hold_frames:
            self.counts["held"] += missing
            for _ in range(missing):
                self._take(self._row, self._times[-1] + 1 / self.fitted.rate_hz)
        elif self.on_gap == "restart":
            self._start()
        else:
            self._in_window = 0
            self._times.clear()
            self.parts[-1].reset()

    def save(self, path):
        """Write what is carried along, but not the decoder, to a safetensors file, whole or not at all."""
        if isinstance(self.parts[-1], Shown):
            raise ParameterError("decoder", f"'{name_of(self.fitted.source)}', which keeps its state itself",
                                 "a decoder of this library", "save its state by its own means")
        tensors = {f"{i}/{name}": torch.from_numpy(np.array(value))
                   for i, part in enumerate(self.parts) for name, value in part.state.items()}
        row = {} if self._row is None else {"row": torch.from_numpy(self._row)}
        loop.write_tensors(path, tensors | row, stream=json.dumps([
            self._identity, self.counts, self._first, self._last, self._in_window, list(self._times)]))

    def restore(self, path):
        """Go on from where :meth:`save` was called; DataError of no such file, or that of another decoder."""
        try:
            tensors, metadata = loop.read_tensors(path)
            identity, *rest, times = json.loads(metadata["stream"])
        except Exception as error:  # safetensors has no public class of its errors
            raise DataError(path, f"{type(error).__name__}: {error}", "a file of StreamDecoder.save",
                            "name such a file") from error
        if identity != self._identity:
            raise DataError(path, "the state of another decoder", "the state of this one", "start anew without it")
        self.counts, self._first, self._last, self._in_window = rest
        for i, part in enumerate(self.parts):
            part.state = {name: tensors[f"{i}/{name}"].numpy() for name in part.KEPT}
        self._times.clear()
        self._times.extend(times)
        self._row = tensors["row"].numpy() if "row" in tensors else None

    @property
    def _identity(self):
        fitted, scaling = self.fitted, self.scaling and [hash_bytes(self.scaling.mean), self.scaling.sd]
        weights = {name: hash_bytes(value.numpy()) for name, value in fitted.decoder.state_dict().items()
                   } if isinstance(fitted.decoder, torch.nn.Module) else fitted.provenance
        return hash_content([name_of(fitted.source), asdict(fitted.input), fitted.roi_names, weights, scaling])


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
