"""What is decoded of a recording's behaviour: the label of a frame, what a decoder has to give, how well it gave it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import metrics
from calcium_decoding.models.heads import BINARY, Head
from calcium_decoding.preprocessing.transforms import moving_mean

# Behaviours that say how fast an animal was, the first one there counts, with their units.
OWN_UNIT = "the recording's own unit"
SPEEDS = {"speed_cm_s": "cm/s", "velocity": OWN_UNIT}
MOST_CLASSES = 100


@dataclass(frozen=True)
class Binary:
    """Is something going on or not: running, licking, whisking.

    Parameters
    ----------
    name : str
        A behaviour of the recordings, 0 or 1 in each frame.
    reach : (int, int)
        Frames before and after a frame that its label was made from, for the audit.
    """

    name: str = "run"
    reach: tuple = (0, 0)
    kind, main_score, chance, head = "binary", "auc", 0.5, BINARY

    def of(self, dataset):
        """The task on some data; DataError if a recording does not have the behaviour, or it is not 0 and 1."""
        for recording in dataset.recordings:
            levels = np.unique(_behaviour(recording, self.name))
            if not np.isin(levels, (0, 1)).all():
                raise DataError(f"recording {recording.id}", f"'{self.name}' with values "
                                f"{', '.join(f'{x:g}' for x in levels[:5])}", "0 and 1",
                                "threshold it first, or decode it as Classes or Continuous")
        return self

    def target(self, recording):
        """Label of each frame, shape (T,), uint8."""
        return _behaviour(recording, self.name).astype(np.uint8)

    def require(self, labels, where):
        """Raise DataError unless both 0 and 1 are among the labels of some windows."""
        metrics.require_both_classes(labels, where)

    def scores(self, labels, predicted, seen):
        """Scores and notes; see :func:`calcium_decoding.evaluation.metrics.frame_scores`."""
        return metrics.frame_scores(labels, predicted), ()

    def short_scores(self, labels, predicted):
        """The main score alone, as a dict; empty where it does not exist."""
        return {"auc": metrics.auc(labels, predicted)} if len(np.unique(labels)) == 2 else {}


@dataclass(frozen=True)
class Classes:
    """Which of several things is going on: an odour, a choice, a state.

    Parameters
    ----------
    name : str
        A behaviour of the recordings, one number a class.
    classes : dict of str to number, optional
        Names of the classes; those that occur in the data, by their number, if left out.
    balanced : bool
        Each class counts alike in training, however often it occurs.
    reach : (int, int)
        As of :class:`Binary`.
    """

    name: str
    classes: Mapping | None = None
    balanced: bool = True
    reach: tuple = (0, 0)
    kind, main_score = "classes", "balanced_accuracy"

    @property
    def head(self):
        """A logit a class."""
        return Head("classes", len(self.classes), self.balanced)

    @property
    def chance(self):
        """Balanced accuracy of a decoder that knows nothing."""
        return 1 / len(self.classes)

    def of(self, dataset):
        """The task on some data, with the classes that occur in them."""
        levels = sorted({float(x) for r in dataset.recordings for x in np.unique(_behaviour(r, self.name))})
        named = dict(self.classes) if self.classes else {f"{level:g}": level for level in levels[: MOST_CLASSES + 1]}
        where = f"{dataset.name}, behaviour '{self.name}'"
        if len(levels) > MOST_CLASSES or len(named) < 2:
            raise DataError(where, f"{len(levels)} different values", f"2 to {MOST_CLASSES}, one a class",
                            "decode it as Continuous, or bin it first" if len(named) > 1 else "decode something else")
        named = {str(label): float(np.float32(level)) for label, level in named.items()}  # as behaviour is kept
        unknown = [level for level in levels if level not in named.values()]
        if unknown:
            raise DataError(where, f"values {', '.join(f'{x:g}' for x in unknown[:5])}",
                            f"those of the classes: {', '.join(f'{k} {v:g}' for k, v in named.items())}",
                            "name a class for each value")
        return replace(self, classes=named)

    def target(self, recording):
        """Number of the class of each frame, counted from 0 in the order of :attr:`classes`, shape (T,), int64."""
        values = _behaviour(recording, self.name)
        found = np.full(len(values), -1, np.int64)
        for i, level in enumerate(self.classes.values()):
            found[values == np.float32(level)] = i
        return found

    def require(self, labels, where):
        """Raise DataError unless there are two classes among the labels of some windows."""
        present = np.unique(labels)
        if len(present) < 2:
            only = f"only class {[*self.classes][present[0]]}" if len(present) else "no frames"
            raise DataError(where, only, "two classes or more", "use longer stretches, or report the fold as not "
                            "evaluable")

    def scores(self, labels, predicted, seen):
        return metrics.class_scores(labels, predicted, tuple(self.classes))

    def short_scores(self, labels, predicted):
        scores, _ = metrics.class_scores(labels, predicted, tuple(self.classes))
        return {self.main_score: scores[self.main_score]}


@dataclass(frozen=True, init=False)
class Continuous:
    """How much: a speed, a position, an angle; several at once.

    Parameters
    ----------
    *names : str
        Behaviours of the recordings. ``"speed"`` is ``speed_cm_s`` or else the size of ``velocity``.
    smoothing : str
        ``"none"``; ``"moving_mean_30"``, the centred mean over frames i-15 .. i+14 of Ajioka et al. 2024 (MATLAB
        ``movmean``); ``"causal_30"``, over i-29 .. i. Windows shrink at the ends of a recording. Any number may stand
        for 30.
    period : float or dict of str to float, optional
        Of quantities that go round, such as a phase (360) or the position on a ring (its length): they are decoded as
        sine and cosine.
    """

    names: tuple
    smoothing: str
    period: Mapping
    kind, main_score, chance = "continuous", "r2", 0.0

    def __init__(self, *names, smoothing="none", period=None):
        if not names or not all(isinstance(name, str) for name in names):
            raise ParameterError("Continuous", repr(names), "names of behaviours", "name one quantity or more")
        period = {} if period is None else dict(period) if isinstance(period, Mapping) else dict.fromkeys(names, period)
        if any(name not in names or not value > 0 for name, value in period.items()):
            raise ParameterError("period", repr(period), f"a positive number for some of {', '.join(names)}",
                                 "give the length of one round")
        if period and smoothing != "none":
            raise ParameterError("smoothing", repr(smoothing), "'none' for what goes round", "smooth it beforehand")
        for name, value in (("names", names), ("smoothing", smoothing), ("period", period)):
            object.__setattr__(self, name, value)
        _parsed(smoothing)

    @property
    def name(self):
        return ", ".join(self.names)

    @property
    def head(self):
        """A value a quantity, two of one that goes round."""
        return Head("continuous", len(self.names) + len(self.period))

    @property
    def reach(self):
        """Frames before and after a frame that its smoothed target depends on, for the audit."""
        kind, frames = _parsed(self.smoothing)
        return {"none": (0, 0), "moving_mean": (frames // 2, (frames - 1) // 2), "causal": (frames - 1, 0)}[kind]

    def of(self, dataset):
        """The task on some data; DataError if a recording does not have a quantity."""
        for recording in dataset.recordings:
            for name in self.names:
                _quantity(recording, name)
        return self

    def target(self, recording):
        """Value of each frame, shape (T,) or (T, size), float32; sine and cosine of a quantity that goes round."""
        columns = []
        for name in self.names:
            values = _quantity(recording, name)
            if name in self.period:
                angle = 2 * np.pi * values / self.period[name]
                columns += [np.sin(angle), np.cos(angle)]
            else:
                columns.append(self._smoothed(values))
        found = np.stack(columns, axis=1).astype(np.float32)
        return found[:, 0] if found.shape[1] == 1 else found

    def _smoothed(self, values):
        kind, frames = _parsed(self.smoothing)
        if kind == "moving_mean":
            return moving_mean(values, frames)
        if kind == "causal":
            return pd.Series(values).rolling(frames, min_periods=1).mean().to_numpy()
        return values

    def quantities(self, values):
        """Quantities in their units from what is decoded, shape (n,) or (n, size); a DataFrame, a column a name."""
        values, found, i = np.asarray(values, np.float64).reshape(len(values), -1), {}, 0
        for name in self.names:
            if name in self.period:
                found[name] = np.arctan2(values[:, i], values[:, i + 1]) / (2 * np.pi) * self.period[name]
                found[name] %= self.period[name]
            else:
                found[name] = values[:, i]
            i += 1 + (name in self.period)
        return pd.DataFrame(found)

    def require(self, labels, where):
        """Raise DataError unless every quantity takes two values among the labels of some windows."""
        for column in np.asarray(labels).reshape(len(labels), -1).T:
            metrics.require_change(column, where)

    def scores(self, labels, predicted, seen):
        """Scores and notes; ``seen``: what is known of running, of one quantity."""
        if not self.head.shape:
            scores, notes = metrics.speed_scores(labels, predicted, **seen)
            return scores | metrics.correlation(labels, predicted), notes
        return metrics.quantity_scores(self.quantities(labels), self.quantities(predicted), self.period)

    def short_scores(self, labels, predicted):
        if (np.ptp(np.asarray(labels).reshape(len(labels), -1), axis=0) == 0).any():
            return {}
        return {"r2": self.scores(labels, predicted, {})[0]["r2"]}

    def unit(self, dataset):
        """Unit of what is decoded, for axes."""
        if len(self.names) > 1 or self.period:
            return self.name
        found = [speed_name(r) if self.names[0] == "speed" else self.names[0] for r in dataset.recordings]
        return " or ".join(dict.fromkeys(SPEEDS.get(name, OWN_UNIT) for name in found))


def task_of(name, smoothing="none"):
    """The task that a parameter names: ``"run"``, ``"binary:NAME"``, ``"classes:NAME"``, or quantities, comma
    between."""
    kind, _, rest = name.rpartition(":")
    if name == "run" or kind == "binary":
        if smoothing != "none":
            raise ParameterError("target_smoothing", repr(smoothing), "'none' for run and rest", "decode speed instead")
        return Binary(rest)
    if kind == "classes":
        return Classes(rest)
    if kind:
        raise ParameterError("target", repr(name), "binary:NAME, classes:NAME, or names of quantities",
                             "name one of these")
    return Continuous(*(part.strip() for part in name.split(",")), smoothing=smoothing)


def event_of(name, dataset):
    """The task of a behaviour that names what is going on: Binary if it is 0 and 1 in the data, Classes otherwise."""
    if ":" in name:
        return task_of(name)
    binary = all(np.isin(_behaviour(recording, name), (0, 1)).all() for recording in dataset.recordings)
    return Binary(name) if binary else Classes(name)


def label_reach(task, dataset):
    """Frames before and after a frame that its label was made from, (int, int): by the task, and before it by whoever
    put the behaviour on the frames."""
    names = {name for one in getattr(task, "tasks", {"": task}).values() for name in getattr(one, "names", [one.name])}
    made = [r.reach.get(speed_name(r) if name == "speed" else name, (0, 0)) for r in dataset.recordings
            for name in names]
    return tuple(own + max(ends) for own, ends in zip(task.reach, zip(*made, strict=True), strict=True))


def speed_name(recording):
    """Name of the behaviour that says how fast an animal was; empty if none does."""
    return next((name for name in SPEEDS if name in recording.behaviour), "")


def _quantity(recording, name):
    """A quantity of a recording, shape (T,), float64."""
    if name != "speed":
        return _behaviour(recording, name).astype(np.float64)
    known = speed_name(recording)
    if not known:
        raise DataError(f"recording {recording.id}", f"behaviour {', '.join(sorted(recording.behaviour)) or 'none'}",
                        f"a speed, in {' or '.join(SPEEDS)}", "decode what was measured, or another data set")
    values = recording.behaviour[known].astype(np.float64)
    return np.abs(values) if known == "velocity" else values  # there and back count alike


def _behaviour(recording, name):
    if name == "run":
        return recording.run
    if name not in recording.behaviour:
        raise DataError(f"recording {recording.id}", f"behaviour {', '.join(sorted(recording.behaviour)) or 'none'}",
                        f"'{name}'", "decode what was measured, or another data set")
    return recording.behaviour[name]


def _parsed(smoothing):
    found = re.fullmatch(r"(none)|(moving_mean|causal)_([1-9]\d*)", str(smoothing))
    if not found:
        raise ParameterError("target_smoothing", repr(smoothing),
                             "none, moving_mean_30 or causal_30, or another number", "name one of these")
    return ("none", 1) if found[1] else (found[2], int(found[3]))
