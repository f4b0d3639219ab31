"""Fit a decoder and predict with it: one engine for every model. Networks are trained on windows gathered batch by
batch; the same seed gives the same bits on the same machine, also when training was interrupted and went on."""

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
from calcium_decoding.utils.files import hash_bytes, hash_content

INFERENCE_BATCH = 4096
DEVICES = "cpu", "cuda", "auto"


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained; the defaults are the study's (Ajioka et al. 2024 and its code).

    Parameters
    ----------
    epochs, batch_size : int
    train_every : int
        Train and validate on one window in so many, from the first one on: neighbours share nearly all their frames.
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
        check_settings(self, ("learning_rate", self.learning_rate > 0, "more than 0"),
                       ("label_smoothing", 0 <= self.label_smoothing < 1, "0 or more and below 1"),
                       ("device", self.device in DEVICES, "cpu, cuda or auto"),
                       epochs=1, batch_size=1, train_every=1, min_updates=0, patience=0)

    def optimiser(self, network):
        """Of the parameters of a network."""
        return torch.optim.Adam(network.parameters(), lr=self.learning_rate, eps=1e-7, fused=True)

    def steps(self, n_windows, generator):
        """Indices of the windows of each step of an epoch, a list of Tensor."""
        return torch.randperm(n_windows, generator=generator).split(self.batch_size)

    def epochs_for(self, n_windows):
        """Epochs that training on so many windows takes."""
        return max(self.epochs, math.ceil(self.min_updates / math.ceil(n_windows / self.batch_size)))

    def trained_on(self, windows):
        """Those of some training or validation windows, a WindowSet, that ``train_every`` leaves."""
        return windows.some(slice(None, None, self.train_every))

    def torch_device(self):
        """The device to train on; see :func:`device_of`."""
        return device_of(self.device)


def check_settings(settings, *checks, **least):
    """ParameterError for the first check, (name, is good, expected), or ``least`` value by name, that fails."""
    least = [(name, getattr(settings, name) >= value, f"{value} or more") for name, value in least.items()]
    for name, good, expected in (*least, *checks):
        if not good:
            raise ParameterError(name, getattr(settings, name), expected, "change this training setting")


def device_of(name):
    """Device by name; "auto" is CUDA where there is one. ParameterError if CUDA was asked for and is not there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ParameterError("device", "cuda, but no CUDA device here", "a device this machine has",
                             "use device 'cpu' or 'auto'")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def fit(decoder, train, valid, settings, checkpoint=None, report=None):
    """Train a decoder, in place, and leave it with the weights of its best validation epoch: a History, empty for a
    linear one, which does not see the validation windows.

    Parameters
    ----------
    decoder : torch.nn.Module or linear decoder
        Its ``head`` has the loss: cross entropy of classes, mean squared error of quantities.
    train, valid : WindowSet
    settings : TrainingSettings
    checkpoint, report : optional
        As of :func:`calcium_decoding.models.loop.run`.

    Raises
    ------
    DataError
        The training windows hold one class or one value only, or the loss became NaN or infinite.
    """
    train, valid = settings.trained_on(train), settings.trained_on(valid)
    if isinstance(decoder, nn.Module):
        train, valid = (Frames(windows, settings.torch_device()) for windows in (train, valid))
        return fit_samples(decoder, train, valid, settings, settings.seed, checkpoint, report)
    _require_change(train.labels, decoder)
    decoder.fit(train)
    return loop.History()


def _require_change(labels, decoder):
    if (labels == labels[0]).all():
        raise DataError("training windows", f"only label {labels[0]} in {len(labels)} windows",
                        "values that differ" if head_of(decoder).kind == "continuous" else "two classes or more",
                        "train on more sessions, or leave this fold out")


def predict(decoder, windows, device="cpu"):
    """What is decoded, a row a window, float64: probability, probability of each class, or quantities in their unit.
    ``decoder``: torch.nn.Module or linear decoder. ``windows``: WindowSet. ``device``: where a network runs."""
    if isinstance(decoder, nn.Module):
        return predict_samples(decoder, Frames(windows, device))
    if hasattr(decoder, "decoded"):
        return decoder.decoded(windows)
    return head_of(decoder).decoded(decoder.output(windows))


class Frames:
    """Windows on a device, gathered batch by batch from their frames."""

    def __init__(self, windows, device):
        self.of, self.device = windows, device
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

    def digest(self):
        """What a checkpoint must not go on without: the same frames, windows and labels."""
        return [hash_bytes(np.asarray(x)) for x in (self.of.frames, self.of.starts, self.of.labels)]


def predict_samples(network, samples):
    """What a network says of samples of any input, see :func:`fit_samples`, float64: as :func:`predict`."""
    with loop.deterministic():
        return head_of(network).decoded(samples.all_outputs(network.to(samples.device)).cpu().numpy())


def fit_samples(network, train, valid, settings, seed, checkpoint=None, report=None):
    """:func:`fit` on samples of any input, which have ``of`` (a WindowSet), ``device``, ``outputs(network, which)``,
    ``all_outputs(network)`` and ``digest()``. ``settings``: TrainingSettings, or the like."""
    with loop.deterministic():
        _require_change(train.of.labels, network)
        network.to(train.device)
        head = head_of(network)
        if hasattr(network, "prepare"):
            network.prepare(train.of)
        weights = head.weights(train.of.labels)
        loss_of = partial(head.loss, label_smoothing=settings.label_smoothing, scale=getattr(network, "scale", None),
                          weights=None if weights is None else weights.to(train.device))
        labels, valid_labels = (torch.from_numpy(np.asarray(samples.of.labels)).to(train.device, head.label_type)
                                for samples in (train, valid))

        def steps(generator):
            found = settings.steps(len(train), generator)
            return torch.cat(found).to(train.device).split([len(step) for step in found])

        return descend(network, settings, settings.epochs_for(len(train)), steps,
                       lambda which: (loss_of(train.outputs(network, which), labels[which]), len(which)),
                       lambda: float(loss_of(valid.all_outputs(network), valid_labels)), seed, checkpoint,
                       lambda: [type(train).__name__, train.digest(), valid.digest()], report)


def descend(network, settings, n_epochs, steps, loss_of, validate, seed, checkpoint, digest, report):
    """Train a network step by step, whatever it learns: a History. ``steps(generator)`` gives the steps of an epoch;
    ``loss_of(step)`` the mean loss, a Tensor, and the number of its samples; ``digest()`` what a checkpoint depends on
    besides network and settings. The rest as for :func:`calcium_decoding.models.loop.run`."""
    optimiser, cycle = settings.optimiser(network), getattr(settings, "cycle", None)
    identity = ""
    if checkpoint:
        weights = {name: hash_bytes(value.cpu().numpy()) for name, value in network.state_dict().items()}
        identity = hash_content([asdict(settings), seed, str(network), weights, digest()])

    def train_epoch(epoch, generator):
        network.train()
        total, count, planned = 0.0, 0, steps(generator)
        for i, step in enumerate(planned):
            if cycle:
                cycle.set_rate(optimiser, (epoch + i / len(planned)) / n_epochs)
            optimiser.zero_grad(set_to_none=True)
            loss, n = loss_of(step)
            loss.backward()
            optimiser.step()
            total, count = total + float(loss.detach()) * n, count + n
        return total / count

    return loop.run(network, optimiser, n_epochs, train_epoch, validate, seed, checkpoint, identity, report,
                    settings.patience)
