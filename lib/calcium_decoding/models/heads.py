"""What a decoder gives for a window, the loss it is trained with, and what its outputs mean."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import expit, softmax
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.models.names import KINDS
from calcium_decoding.preprocessing.windows import Scaling


@dataclass(frozen=True)
class Head:
    """Outputs of a decoder for one window.

    Parameters
    ----------
    kind : {"binary", "classes", "continuous"}
        A logit, a logit a class, or a value a quantity.
    size : int
        Number of classes or of quantities; 1 for ``"binary"``.
    balanced : bool
        Of classes: each counts alike in the loss, however often it occurs in training.
    """

    kind: str = "binary"
    size: int = 1
    balanced: bool = True

    def __post_init__(self):
        least = 2 if self.kind == "classes" else 1
        if self.kind not in KINDS or self.size < least or (self.kind == "binary" and self.size != 1):
            raise ParameterError("head", f"{self.kind} of size {self.size}", f"one of {', '.join(KINDS)}; 2 classes or "
                                 "more, one output of a binary one", "change the head")

    @property
    def shape(self):
        """Shape of the outputs for one window: () if it is one number."""
        return () if self.size == 1 and self.kind != "classes" else (self.size,)

    @property
    def label_type(self):
        """Type of labels as a tensor."""
        return torch.int64 if self.kind == "classes" else torch.float32

    def weights(self, labels):
        """Weight of each class from the labels of the training windows, Tensor of shape (size,); None if all alike."""
        if self.kind != "classes" or not self.balanced:
            return None
        found = class_weights(labels, self.size)
        # Validation may have classes that training lacks.
        return torch.tensor(np.where(found > 0, found, 1.0), dtype=torch.float32)

    def loss(self, outputs, labels, label_smoothing=0.0, weights=None, scale=None):
        """Mean cross entropy, or squared error, over windows. ``label_smoothing``: share of the label spread evenly
        over all classes. ``weights``: of :meth:`weights`. ``scale``: unit of each quantity in the squared error."""
        if self.kind == "binary":
            return binary_cross_entropy_with_logits(outputs, labels * (1.0 - label_smoothing) + label_smoothing / 2.0)
        if self.kind == "classes":
            return cross_entropy(outputs, labels, weights, label_smoothing=label_smoothing)
        return mse_loss(outputs, labels) if scale is None else mse_loss(outputs / scale, labels / scale)

    def decoded(self, outputs):
        """Probabilities (of the event; of each class), or the quantities as they are, float64."""
        outputs = np.asarray(outputs, np.float64)
        if self.kind == "continuous":
            return outputs
        return expit(outputs) if self.kind == "binary" else softmax(outputs, axis=1)


BINARY = Head()


class Heads(dict):
    """Outputs of a decoder of several things at once: Head by name, the main one first. ``of_class`` (dict of str to
    (str, int)): binary heads that say whether the label of another one is this class. Labels and what is decoded are
    structured arrays, shape (n,)."""

    kind, shape = "together", (0,)

    def __init__(self, heads, of_class=()):
        super().__init__(heads)
        self.of_class = dict(of_class)
        # Parts of a network are called so.
        if bad := [name for name in self if not name or "." in name or hasattr(nn.ModuleDict(), name)]:
            raise ParameterError("heads", ", ".join(map(repr, bad)), "names that torch allows for parts of a network: "
                                 "no dot, and none of its own, such as 'type'", "name it: Together(..., name=task)")

    @property
    def size(self):
        """Outputs of each head by name: two logits of a binary one."""
        return {name: 2 if head.kind == "binary" else head.size for name, head in self.items()}

    def require(self, windows, where):
        """Raise DataError unless every class of every head is among the labels of windows."""
        missing = [f"{i} of '{name}'" for name, n in self.size.items() if self[name].kind != "continuous"
                   for i in range(n) if not (windows.labels[name] == i).any()]
        if missing:
            raise DataError(where, f"no label {', '.join(missing)} in {len(windows)}", "all classes",
                            "use more frames, or leave this fold out")

    def scalings(self, train):
        """Scaling of the quantities of each head, by name, from training windows."""
        return {name: Scaling.of(_rows(train.labels[name])) for name, head in self.items() if head.kind == "continuous"}

    def targets(self, windows, scalings):
        """Labels by head as a decoder is trained on them: classes, int64, or quantities in units of their scaling."""
        return {name: scalings[name].apply(_rows(windows.labels[name])) if name in scalings
                else windows.labels[name].astype(np.int64) for name in self}

    def decoded(self, found, scalings):
        """Structured array of what was decoded from probabilities (n, classes) and scaled quantities (n, k) by head."""
        return joined({name: scalings[name].undo(found[name]).reshape(-1, *head.shape) if name in scalings
                       else found[name][:, 1] if head.kind == "binary" else found[name]
                       for name, head in self.items()})


def _rows(values):
    return np.ascontiguousarray(values).reshape(len(values), -1)


def joined(by_head):
    """Arrays of one length by head as a structured array, shape (n,)."""
    (n,) = {len(values) for values in by_head.values()}
    found = np.empty(n, [(name, values.dtype, values.shape[1:]) for name, values in by_head.items()])
    for name, values in by_head.items():
        found[name] = values
    return found


class InUnits(nn.Module):
    """A network that gives what a head says, quantities in the unit of the labels."""

    def __init__(self, head):
        super().__init__()
        self.head = head
        self.register_buffer("mean", torch.zeros(head.shape))
        self.register_buffer("sd", torch.ones(head.shape))

    @property
    def scale(self):
        """Unit of each quantity in the loss; None of anything else."""
        return self.sd if self.head.kind == "continuous" else None

    def prepare(self, windows):
        """Take mean and SD of the training labels, if they are quantities."""
        if self.head.kind == "continuous":
            found = Scaling.of(np.asarray(windows.labels, np.float64))
            self.mean.copy_(torch.as_tensor(found.mean))
            self.sd.copy_(torch.as_tensor(found.sd))

    def in_units(self, outputs):
        """Outputs of the last layer, shape (n, size), as they are decoded, shape (n, *head.shape)."""
        outputs = outputs.reshape(-1, *self.head.shape)
        return outputs * self.sd + self.mean if self.head.kind == "continuous" else outputs


def class_weights(labels, n_classes):
    """Inverse frequency of each class, shape (n_classes,), mean 1 over the samples; 0 where a class does not occur."""
    count = np.bincount(labels, minlength=n_classes)
    present = count > 0
    return np.where(present, len(labels) / (present.sum() * np.maximum(count, 1)), 0.0)
