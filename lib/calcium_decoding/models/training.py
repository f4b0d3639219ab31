"""Fit a decoder and predict with it: one engine for every model.

Networks are trained on windows gathered batch by batch from the frames, so memory holds the frames once and never
all windows. The same seed gives the same bits on the same machine, also when training was interrupted and went on.
"""

import hashlib
import math
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.models import loop
from calcium_decoding.models.decoders import head_of
from calcium_decoding.utils.files import hash_content

INFERENCE_BATCH = 4096
DEVICES = "cpu", "cuda", "auto"


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained; the defaults are the study's (Ajioka et al. 2024 and its code).

    Parameters
    ----------
    epochs, batch_size : int
    train_every : int
        Train on one window in so many, from the first one on: neighbours share nearly all their frames.
    min_updates : int
        Train for more epochs than ``epochs`` until so many steps were taken: a short recording has few windows.
    learning_rate : float
        Of Adam with betas 0.9 and 0.999 and epsilon 1e-7.
    label_smoothing : float
        s in y' = y (1 - s) + s / 2, of two classes, or s / K of K; quantities are left as they are.
    patience : int
        Stop after so many epochs without a better validation loss; 0: never.
    seed : int
        Of initial weights, shuffling and dropout.
    device : str
        ``"cpu"``, ``"cuda"``, or ``"auto"``: CUDA where there is one.
    """

    epochs: int = 30
    batch_size: int = 256
    train_every: int = 1
    min_updates: int = 0
    learning_rate: float = 1e-3
    label_smoothing: float = 1e-3
    patience: int = 0
    seed: int = 123
    device: str = "cpu"

    def __post_init__(self):
        check_settings(
            self, ("epochs", self.epochs >= 1, "1 or more"),
            ("batch_size", self.batch_size >= 1, "1 or more"),
            ("train_every", self.train_every >= 1, "1 or more"),
            ("min_updates", self.min_updates >= 0, "0 or more"),
            ("learning_rate", self.learning_rate > 0, "more than 0"),
            ("patience", self.patience >= 0, "0 or more"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "0 or more and below 1"),
            ("device", self.device in DEVICES, "cpu, cuda or auto"))

    def optimiser(self, network):
        """Of the parameters of a network."""
        return torch.optim.Adam(network.parameters(), lr=self.learning_rate, eps=1e-7, fused=True)

    def steps(self, n_windows, generator):
        """Indices of the windows of each step of an epoch, a list of Tensor."""
        return torch.randperm(n_windows, generator=generator).split(self.batch_size)

    def set_rate(self, optimiser, position):
        """The learning rate stays as it is."""

    def epochs_for(self, n_windows):
        """Epochs that training on so many windows takes."""
        return max(self.epochs, math.ceil(self.min_updates / math.ceil(n_windows / self.batch_size)))

    def trained_on(self, windows):
        """Those of some training windows, a WindowSet, that ``train_every`` leaves."""
        return windows.some(slice(None, None, self.train_every))

    def torch_device(self):
        """The device to train on; see :func:`device_of`."""
        return device_of(self.device)


def check_settings(settings, *checks):
    """Raise ParameterError for the first check, (name, whether it is good, what is expected), that fails."""
    for name, good, expected in checks:
        if not good:
            raise ParameterError(name, getattr(settings, name), expected, "change this training setting")


def device_of(name):
    """Device by name: ``"cpu"``, ``"cuda"``, or ``"auto"``, which is CUDA where there is one.

    Raises ParameterError: CUDA was asked for by name and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ParameterError("device", "cuda, but no CUDA device here", "a device this machine has",
                             "use device 'cpu' or 'auto'")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def fit(decoder, train, valid, settings, checkpoint=None, show_progress=False, report=None):
    """Train a decoder and leave it with the weights of its best validation epoch.

    The loss is that of its head: cross entropy of classes, mean squared error of quantities.

    Parameters
    ----------
    decoder : torch.nn.Module or linear decoder
        Changed in place. One without a ``head`` decides between two.
    train, valid : WindowSet
        Validation chooses the epoch; a linear decoder has nothing to choose and does not see it.
    settings : TrainingSettings
    checkpoint : str or Path, optional
        File to go on from if training was interrupted. Written after each epoch, removed at the end.
    show_progress : bool
    report : callable, optional
        Called with the numbers of epochs done and planned, before the first epoch and after each.

    Returns
    -------
    epochs.History
        Empty for a linear decoder.

    Raises
    ------
    DataError
        The training windows hold one class or one speed only, or the loss became NaN or infinite.
    """
    train = settings.trained_on(train)
    if (train.labels == train.labels[0]).all():
        raise DataError("training windows", f"only label {train.labels[0]} in {len(train)} windows",
                        "values that differ" if head_of(decoder).kind == "continuous" else "two classes or more",
                        "train on more sessions, or leave this fold out")
    if not isinstance(decoder, nn.Module):
        decoder.fit(train)
        return loop.History()
    with loop.deterministic():
        return _fit_network(decoder, train, valid, settings, checkpoint, show_progress, report)


def predict(decoder, windows, device="cpu"):
    """Decoded probability, probability of each class, or quantities in the unit of the labels: a row a window, float64.

    Shape (n,); (n, classes) or (n, quantities) of several.

    Parameters
    ----------
    decoder : torch.nn.Module or linear decoder
    windows : WindowSet
    device : str or torch.device
        Where a network runs.
    """
    if isinstance(decoder, nn.Module):
        with loop.deterministic():
            output = _Frames(windows, device).all_outputs(decoder.to(device)).cpu().numpy().astype(np.float64)
    elif hasattr(decoder, "decoded"):
        return decoder.decoded(windows)
    else:
        output = decoder.output(windows)
    return head_of(decoder).decoded(output)


class _Frames:
    """Windows on a device, gathered batch by batch from their frames."""

    def __init__(self, windows, device):
        self.of = windows
        self.frames = torch.from_numpy(windows.frames).to(device)
        self.starts = torch.from_numpy(windows.starts).to(device)
        self.offsets = torch.arange(windows.spec.length, device=device)[:, None]

    def __len__(self):
        return len(self.starts)

    def windows(self, which):
        # Time first in memory: twice as fast to gather, and recurrent layers need it so. The view is batch first.
        rows = (self.starts[which] + self.offsets).reshape(-1)
        return self.frames.index_select(0, rows).view(len(self.offsets), len(which), -1).transpose(0, 1)

    def stretches(self):
        """Uninterrupted frames under all windows, in order, if nearly all windows begin one frame after another."""
        breaks = torch.nonzero(self.starts.diff() != 1).flatten() + 1
        if (len(breaks) + 1) * len(self.offsets) > len(self):
            return ()
        ends = [0, *breaks.tolist(), len(self)]
        return [self.frames[self.starts[a] : self.starts[b - 1] + len(self.offsets)] for a, b in pairwise(ends)]

    def outputs(self, network, which):
        return network(self.windows(which))

    def all_outputs(self, network):
        network.eval()
        with torch.inference_mode():
            shared = self.stretches() if hasattr(network, "of_stretch") else ()
            found = [network.of_stretch(stretch, len(self.offsets)) for stretch in shared]
            if found and found[0] is not None:
                return torch.cat(found)
            order = torch.arange(len(self), device=self.starts.device)
            return torch.cat([self.outputs(network, which) for which in order.split(INFERENCE_BATCH)])


def _fit_network(network, train, valid, settings, checkpoint, show_progress, report):
    network.to(device := settings.torch_device())
    identity = "" if checkpoint is None else hash_content([asdict(settings), str(network), _digest(train),
                                                           _digest(valid)])
    return fit_samples(network, _Frames(train, device), _Frames(valid, device), settings, settings.seed, checkpoint,
                       identity, show_progress, report)


def fit_samples(network, train, valid, settings, seed, checkpoint=None, identity="", show_progress=False, report=None):
    """Train a network on samples of any input; see :func:`fit`.

    ``train``, ``valid``: have ``of`` (the WindowSet), ``outputs(network, which)`` and ``all_outputs(network)``.
    ``settings``: TrainingSettings, or what has its ``optimiser``, ``steps``, ``set_rate``, ``epochs_for``, ``patience``
    and ``label_smoothing``. The rest as for :func:`calcium_decoding.models.loop.run`. Returns History.
    """
    device, head = next(network.parameters()).device, head_of(network)
    if hasattr(network, "prepare"):
        network.prepare(train.of)
    optimiser, weights = settings.optimiser(network), head.weights(train.of.labels)
    loss_of = partial(head.loss, label_smoothing=settings.label_smoothing, scale=getattr(network, "scale", None),
                      weights=None if weights is None else weights.to(device))
    labels, valid_labels = (torch.from_numpy(np.asarray(samples.of.labels)).to(device, head.label_type)
                            for samples in (train, valid))
    n_epochs = settings.epochs_for(len(train))

    def train_epoch(epoch, generator):
        network.train()
        total, steps = 0.0, settings.steps(len(train), generator)
        for i, which in enumerate(torch.cat(steps).to(device).split([len(step) for step in steps])):
            settings.set_rate(optimiser, (epoch + i / len(steps)) / n_epochs)
            optimiser.zero_grad(set_to_none=True)
            loss = loss_of(train.outputs(network, which), labels[which])
            loss.backward()
            optimiser.step()
            total += float(loss.detach()) * len(which)
        return total / sum(map(len, steps))

    return loop.run(network, optimiser, n_epochs, train_epoch,
                    lambda: float(loss_of(valid.all_outputs(network), valid_labels)), seed, checkpoint, identity,
                    show_progress, report, settings.patience)


def _digest(windows):
    """What a checkpoint must not go on without: the same frames, windows and labels."""
    arrays = (windows.frames, windows.starts, windows.labels)
    return [hashlib.sha256(np.ascontiguousarray(x).data).hexdigest() for x in arrays]
