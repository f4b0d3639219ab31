"""Several tasks decoded at once, by one network with a head for each: footsteps and the movement of both paws."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.experiments import tasks
from calcium_decoding.models.heads import Heads, joined
from calcium_decoding.models.training_footsteps import FootstepTraining


@dataclass(frozen=True, init=False)
class Together:
    """Several tasks at once; the first is the main one: ``Together(Classes("footstep"), paws=Continuous("x", "y"))``.

    Decoders are names in :data:`calcium_decoding.models.names.FOOTSTEP_MODELS`, or a Network that gives a dict of
    outputs by head; the training is a :class:`~calcium_decoding.models.training_footsteps.FootstepTraining`.

    Parameters
    ----------
    *tasks, **named : Binary, Classes or Continuous
        A head is called by the name of the behaviour, or by the one given here.
    each : sequence of str
        Classes of the main task that get a binary head of their own, against the rest (Mirzaee, Chang, Latifi 2025).
    """

    tasks: Mapping
    each: tuple
    kind, training, decoders = "together", FootstepTraining, ("hybrid",)

    def __init__(self, *tasks, each=(), **named):
        found = {task.name: task for task in tasks} | named
        if "each" in found:
            raise ParameterError("Together", "a head called each, which is an option here", "another name",
                                 "give it one: Together(..., name=task)")
        if len(found) < len(tasks) + len(named) or len(found) + len(each) < 2 or set(each) & set(found):
            raise ParameterError("Together", f"heads {', '.join((*found, *each))}", "two or more, a name for each",
                                 "name them apart: Together(..., name=task)")
        object.__setattr__(self, "tasks", found)
        object.__setattr__(self, "each", tuple(each))

    @property
    def main(self):
        return next(iter(self.tasks.values()))

    @property
    def name(self):
        return self.main.name

    @property
    def main_score(self):
        return self.main.main_score

    @property
    def chance(self):
        return self.main.chance

    @property
    def classes(self):
        return getattr(self.main, "classes", None)

    @property
    def reach(self):
        """Frames before and after a frame that its labels depend on, for the audit."""
        return tuple(max(ends) for ends in zip(*(task.reach for task in self.tasks.values()), strict=True))

    @property
    def by_head(self):
        """The task of each head, a dict: the main one, of each of its classes asked for, the others."""
        (main, task), *others = self.tasks.items()
        return {main: task} | {name: tasks.Binary(name) for name in self.each} | dict(others)

    @property
    def head(self):
        main, task = next(iter(self.tasks.items()))
        return Heads({name: one.head for name, one in self.by_head.items()},
                     {name: (main, [*task.classes].index(name)) for name in self.each})

    def of(self, dataset):
        found = Together(each=self.each, **{name: task.of(dataset) for name, task in self.tasks.items()})
        if unknown := [name for name in self.each if name not in (found.classes or ())]:
            raise ParameterError("each", ", ".join(unknown), f"classes of {found.name}: "
                                 f"{', '.join(found.classes or ()) or 'none'}", "name some of these")
        return found

    def target(self, recording):
        """Labels of each frame, a structured array, shape (T,), with a field a head."""
        labels = {name: task.target(recording) for name, task in self.tasks.items()}
        head = self.head
        labels |= {name: (labels[of] == i).astype(np.uint8) for name, (of, i) in head.of_class.items()}
        return joined({name: labels[name] for name in head})

    def require(self, labels, where):
        """Raise DataError unless the main task can be scored on the labels of some windows."""
        self.main.require(labels[next(iter(self.tasks))], where)

    def scores(self, labels, predicted, seen):
        """Scores of the main task, and of each other head with its name before; notes on what has none."""
        (main, task), *others = self.by_head.items()
        scores, notes = task.scores(labels[main], predicted[main], seen)
        for name, other in others:
            try:
                other.require(labels[name], f"{name}, test frames")
            except DataError as error:
                notes += (f"{error.where}: {error.found}, no scores",)
                continue
            found, more = other.scores(labels[name], predicted[name], {})
            scores |= {f"{name}_{score}": value for score, value in found.items()}
            notes += tuple(more)
        return scores, tuple(notes)

    def short_scores(self, labels, predicted):
        main = next(iter(self.tasks))
        return self.main.short_scores(labels[main], predicted[main])
