"""Preprocessing, frame by frame: what each step of a pipeline keeps of the frames before."""

import math

import numpy as np

from calcium_decoding.errors import ParameterError
from calcium_decoding.preprocessing.transforms import ExponentialSmoothing, TrailingBaseline

# What to fit a decoder with in place of a step that sees what is yet to come.
COUNTERPARTS = {
    "MovingMeanBaseline": "TrailingBaseline, in the recipe 'causal'",
    "MinMax": "ScaleByTraining, in the recipes 'causal', 'scaled' and 'events'",
    "Components": "components fitted on 'training frames'",
    "AlignControl": "AlignControl(how='previous', smoothing='trailing')"}


def online(pipeline, n):
    """The steps of a fitted Pipeline in order, each with ``push(row)``, for frames of ``n`` columns. ParameterError
    names the steps that look at later frames, or at the whole recording, and the causal counterpart of each."""
    if ahead := [step for step in pipeline.steps if step.look_ahead_frames]:
        raise ParameterError(
            "preprocessing", " and ".join(f"{type(step).__name__}, which looks at " + (
                "the whole recording" if math.isinf(step.look_ahead_frames)
                else f"{step.look_ahead_frames} later frames") for step in ahead), "steps that look at no later frame",
            "fit a decoder with " + " and ".join(
                COUNTERPARTS.get(type(step).__name__, "a step that looks back only") for step in ahead))
    made = []
    for step in pipeline.steps:
        made.append(OWN.get(type(step), Recent if step.look_back_frames else Step)(step, n))
        n = step.width(n)
    return made


class Kept:
    """What a part of a stream keeps between frames: the attributes that ``KEPT`` names, arrays and whole numbers."""

    KEPT = ()

    @property
    def state(self):
        return {name: np.array(getattr(self, name)) for name in self.KEPT}

    @state.setter
    def state(self, found):
        for name in self.KEPT:
            setattr(self, name, found[name].copy() if found[name].ndim else int(found[name]))


class Step(Kept):
    """A step that looks at one frame at a time. ``push``: its output, shape (n,), float32, at the next frame."""

    def __init__(self, step, n):
        self.step, self.n = step, n

    def reset(self):
        """Forget all frames."""

    def push(self, row):
        return self.step.transform(row[None])[0]


class Recent(Step):
    """Any step, on the last frames that it looks at."""

    KEPT = "rows", "count"

    def reset(self):
        self.rows, self.count = np.zeros((int(self.step.look_back_frames) + 1, self.n), np.float32), 0

    def push(self, row):
        self.rows[:-1], self.rows[-1] = self.rows[1:], row
        self.count = min(self.count + 1, len(self.rows))
        return self.step.transform(self.rows[-self.count:])[-1]


class Trailing(Step):
    """:class:`TrailingBaseline` at a cost that its length does not change."""

    KEPT = "block", "later", "left", "first", "count"

    def reset(self):
        # As in transforms.window_mean: no sum is subtracted from another, so one huge frame leaves no rounding.
        frames = self.step.frames
        self.block, self.later = np.zeros((frames, self.n)), np.zeros((frames + 1, self.n))
        self.left, self.first, self.count = np.zeros(self.n), np.zeros(self.n), 0

    def push(self, row):
        self.first = self.first if self.count else row.astype(np.float64)
        row, place = row - self.first, self.count % len(self.block)
        if place == 0:  # a block is full: of each of its frames, the sum from there to its end
            self.later[:-1] = np.cumsum(self.block[::-1], axis=0)[::-1]
            self.left = np.zeros(self.n)
        self.block[place], self.left, self.count = row, self.left + row, self.count + 1
        mean = (self.left + self.later[place + 1]) / min(self.count, len(self.block))
        return (row - mean).astype(np.float32)


class Smooth(Step):
    """:class:`ExponentialSmoothing` by its recursion."""

    KEPT = "level", "count"

    def reset(self):
        self.level, self.count = np.zeros(self.n), 0

    def push(self, row):
        tau, self.count = self.step.time_constant_frames, self.count + 1
        self.level = math.exp(-1 / tau) * self.level - math.expm1(-1 / tau) * row.astype(np.float64)
        return (self.level / -math.expm1(-self.count / tau)).astype(np.float32)


OWN = {TrailingBaseline: Trailing, ExponentialSmoothing: Smooth}
