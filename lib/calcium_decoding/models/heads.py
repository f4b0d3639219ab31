"""What a decoder gives for a window, the loss it is trained with, and what its outputs mean."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import expit, softmax
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from calcium_decoding.errors import ParameterError
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
        Of classes: each counts alike in the loss, however often it occurs among the training windows.
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
        """Mean loss over windows: cross entropy, or squared error.

        ``outputs``, ``labels``: Tensor, shape (n, *shape) and (n,) or (n, size). ``label_smoothing``: share of the
        label that is spread evenly over all classes. ``weights``: of :meth:`weights`. ``scale`` (Tensor or None): unit
        of each quantity in the squared error.
        """
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
