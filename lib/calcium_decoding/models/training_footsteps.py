"""Train networks that decode several things at once, such as footsteps and kinematics, and predict with them.

Networks go through the loop of training that every network of this library goes through
(:func:`calcium_decoding.models.loop.run`), with AdamW under a one-cycle schedule and a class-weighted focal loss, with
or without mixup, as in the public code of Mirzaee, Chang, Latifi 2025 (arXiv 2504.16917).
"""

import hashlib
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy, log_softmax

from calcium_decoding.models import hybrid, loop
from calcium_decoding.models.decoders import ManyHeads
from calcium_decoding.models.heads import class_weights
from calcium_decoding.models.images.training import OneCycle, weights_hash
from calcium_decoding.models.linear import LinearDecoder, MajorityDecoder
from calcium_decoding.models.names import FOOTSTEP_LINEAR
from calcium_decoding.models.training import DEVICES, check_settings, device_of
from calcium_decoding.preprocessing.windows import Scaling
from calcium_decoding.utils.files import hash_content

INFERENCE_BATCH = 512


@dataclass(frozen=True)
class FootstepTraining:
    """How a decoder of several things at once is trained; defaults are those of the study's code where it states them.

    Parameters
    ----------
    epochs, batch_size : int
    patience : int
        Stop after so many epochs without a better validation loss.
    peak_rate, weight_decay : float
        Of AdamW; the rate rises from a 25th of the peak over the first 30 % of the steps and falls by cosine.
    gamma : float
        Of the focal loss; 0 makes it the weighted cross entropy.
    clip : float
        Largest norm of the gradient.
    mixup : float
        Alpha of the beta distribution that mixes pairs of windows; 0: no mixup. One weight a window.
    activity : bool
        Train the published activity head too: first principal component of the training frames.
    every_frames : int
        Train on one window in so many; neighbours share all frames but one.
    seed : int
        Of initial weights, shuffling, dropout and mixup.
    device : str
        ``"cpu"``, ``"cuda"`` or ``"auto"``.
    size : str or HybridSize
        Of the hybrid network; a name in :data:`calcium_decoding.models.hybrid.SIZES`.
    """

    epochs: int = 100
    batch_size: int = 32
    patience: int = 7
    peak_rate: float = 1e-4
    weight_decay: float = 1e-5
    gamma: float = 2.0
    clip: float = 1.0
    mixup: float = 0.0
    activity: bool = False
    every_frames: int = 1
    seed: int = 0
    device: str = "cpu"
    size: str | hybrid.HybridSize = "april_9"

    def __post_init__(self):
        check_settings(
            self, ("epochs", self.epochs >= 1, "1 or more"), ("batch_size", self.batch_size >= 2, "2 or more"),
            ("patience", self.patience >= 1, "1 or more"), ("peak_rate", self.peak_rate > 0, "more than 0"),
            ("gamma", self.gamma >= 0, "0 or more"), ("clip", self.clip > 0, "more than 0"),
            ("mixup", self.mixup >= 0, "0 or more"), ("every_frames", self.every_frames >= 1, "1 or more"),
            ("device", self.device in DEVICES, "cpu, cuda or auto"))

    @property
    def cycle(self):
        """Learning rate and optimiser over the training."""
        return OneCycle(self.peak_rate, rise=0.3, end_divisor=25e4, beta2=0.999, eps=1e-8,
                        weight_decay=self.weight_decay)

    def trained_on(self, windows):
        """Those of some training windows, a WindowSet, that ``every_frames`` leaves."""
        return windows.some(slice(None, None, self.every_frames))

    def torch_device(self):
        """The device to train on; see :func:`calcium_decoding.models.training.device_of`."""
        return device_of(self.device)


def build(decoder, n_roi, spec, head, settings):
    """A fresh decoder of several things at once.

    ``decoder``: a name in :data:`calcium_decoding.models.names.FOOTSTEP_MODELS`, or a Network. ``head``: Heads.
    """
    if not isinstance(decoder, str):
        return decoder.build(n_roi, spec.past_frames, spec.length, head, settings.seed)
    if decoder in FOOTSTEP_LINEAR:
        return MajorityDecoder(head) if decoder == "majority" else LinearDecoder(head, decoder == "logistic_window")
    outputs = head.size | ({"activity": 1} if settings.activity else {})
    return ManyHeads(hybrid.build(decoder, n_roi, outputs, settings.size, settings.seed), head, decoder)


def fit(decoder, train, valid, settings, checkpoint=None, report=None, trained=None):
    """Train a decoder of :func:`build` and leave it with the weights of its best validation epoch; returns its History.

    ``train``, ``valid``: WindowSet, whose labels have a field a head. ``checkpoint``, ``report``: as for
    :func:`calcium_decoding.models.loop.run`. ``trained``: change only these parameters, and keep the rest, running
    statistics included. Raises DataError: a class is missing in training or validation, or the loss became NaN.
    """
    if isinstance(decoder, torch.nn.Module):
        decoder.prepare(train)
        return fit_many(decoder, [train], [valid], settings, checkpoint, report, trained)
    decoder.head.require(train, "training windows")
    decoder.head.require(valid, "validation windows")
    decoder.fit(train, valid, settings)
    return loop.History()


def fit_many(network, trains, valids, settings, checkpoint=None, report=None, trained=None):
    """:func:`fit` on several sets of windows, such as those of several animals; a step sees windows of one set.

    ``network`` is called as ``network(x)`` with one set, and as ``network(x, i)`` with the number of the set where
    there are several; its ``head`` are Heads.
    """
    head = network.head
    for train, valid in zip(trains, valids, strict=True):
        head.require(train, "training windows")
        head.require(valid, "validation windows")
    with loop.deterministic():
        device = settings.torch_device()
        network.to(device)
        if trained is not None:
            for parameter in network.parameters():
                parameter.requires_grad_(any(parameter is p for p in trained))
        sets, tests = [], []
        for train, valid in zip(trains, valids, strict=True):
            scalings, activity = head.scalings(train), _activity_of(train) if settings.activity else None
            for found, windows in ((sets, settings.trained_on(train)), (tests, valid)):
                targets = head.targets(windows, scalings) | ({"activity": activity(windows)} if activity else {})
                found.append(_Labelled(windows, device, targets, head))
        optimiser = settings.cycle.optimiser(network)
        identity = hash_content([asdict(settings), str(network), weights_hash(network), trained is not None,
                                 [s.digest for s in (*sets, *tests)]]) if checkpoint else ""
        # cuDNN goes backward through recurrent layers in training mode only, and frozen layers are not in it.
        with torch.backends.cudnn.flags(enabled=trained is None):
            history = loop.run(
                network, optimiser, settings.epochs,
                lambda epoch, generator: _epoch(network, optimiser, sets, settings, epoch, generator,
                                                trained is not None),
                lambda: _valid_loss(network, tests, sets, settings),
                settings.seed, checkpoint, identity, report=report, patience=settings.patience)
        for parameter in network.parameters():
            parameter.requires_grad_(True)
        return history


def _activity_of(train):
    """The published target of the activity head: the first principal component of the training frames."""
    seen = np.unique(train.starts[:, None] + np.arange(train.spec.length))
    frames = train.frames[seen]
    axis = np.linalg.svd(frames - frames.mean(0), full_matrices=False)[2][0]
    scaling = Scaling.of((frames @ axis)[:, None])
    return lambda windows: scaling.apply((windows.frames[windows.starts + windows.spec.length - 1] @ axis)[:, None])


class _Frames:
    """Windows as tensors."""

    def __init__(self, windows, device):
        self.frames = torch.from_numpy(windows.frames).to(device)
        self.starts = torch.from_numpy(windows.starts).to(device)
        self.offsets = torch.arange(windows.spec.length, device=device)

    def __len__(self):
        return len(self.starts)

    def windows(self, which):
        rows = self.starts[which][:, None] + self.offsets
        return self.frames.index_select(0, rows.reshape(-1)).view(*rows.shape, -1)


class _Labelled(_Frames):
    """The same with targets by head, and the class weights of those with classes."""

    def __init__(self, windows, device, targets, head):
        super().__init__(windows, device)
        self.targets = {name: torch.from_numpy(values).to(device) for name, values in targets.items()}
        self.weights = {name: torch.tensor(class_weights(targets[name], head.size[name]), dtype=torch.float32,
                                           device=device) for name in head if head[name].kind != "continuous"}
        self.digest = [hashlib.sha256(np.ascontiguousarray(x).data).hexdigest()
                       for x in (windows.frames, windows.starts, *targets.values())]


def _call(network, x, i, n):
    return network(x) if n == 1 else network(x, i)


def _loss(outputs, targets, weights, gamma, share=None, partner=None):
    """Sum of the losses of all heads; ``share`` and ``partner`` are those of mixup."""
    total = 0.0
    for head, values in outputs.items():
        wanted = targets[head]
        if head in weights:
            mix = None if share is None else (share, wanted[partner])
            total = total + focal_loss(values, wanted, weights[head], gamma, mix)
        else:
            if share is not None:
                wanted = share[:, None] * wanted + (1 - share[:, None]) * wanted[partner]
            total = total + ((values - wanted) ** 2).mean()
    return total


def _epoch(network, optimiser, sets, settings, epoch, generator, frozen):
    network.train(not frozen)
    steps = []
    for i, samples in enumerate(sets):
        found = torch.randperm(len(samples), generator=generator).to(samples.starts.device).split(settings.batch_size)
        steps += [(i, which) for which in found if len(which) > 1]  # batch normalisation needs two
    order = torch.randperm(len(steps), generator=generator).tolist() if len(sets) > 1 else range(len(steps))
    total = count = 0
    for done, place in enumerate(order):
        i, which = steps[place]
        settings.cycle.set_rate(optimiser, (epoch + done / len(steps)) / settings.epochs)
        x, share, partner = sets[i].windows(which), None, None
        if settings.mixup:
            share = torch.distributions.Beta(settings.mixup, settings.mixup).sample((len(which),)).to(x.device)
            partner = torch.randperm(len(which)).to(x.device)
            x = share[:, None, None] * x + (1 - share[:, None, None]) * x[partner]
        optimiser.zero_grad(set_to_none=True)
        targets = {head: values[which] for head, values in sets[i].targets.items()}
        loss = _loss(_call(network, x, i, len(sets)), targets, sets[i].weights, settings.gamma, share, partner)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
        optimiser.step()
        total, count = total + float(loss.detach()) * len(which), count + len(which)
    return total / count


def _outputs(network, samples, i=0, n=1):
    network.eval()
    with torch.inference_mode():
        found = [_call(network, samples.windows(which), i, n)
                 for which in torch.arange(len(samples), device=samples.starts.device).split(INFERENCE_BATCH)]
    return {head: torch.cat([part[head] for part in found]) for head in found[0]}


def _valid_loss(network, tests, sets, settings):
    losses = [float(_loss(_outputs(network, test, i, len(tests)), test.targets, of_train.weights, settings.gamma))
              for i, (test, of_train) in enumerate(zip(tests, sets, strict=True))]
    return float(np.mean(losses))


def predict(decoder, windows, device="cpu"):
    """What a decoder says of each window, a structured array, shape (n,), with a float64 field a head.

    Probability of each class, shape (n_classes,), or of the event; quantities in the unit of the labels. ``decoder``:
    ManyHeads or a linear decoder. ``windows``: WindowSet. ``device``: where a network runs.
    """
    if not isinstance(decoder, torch.nn.Module):
        return decoder.decoded(windows)
    with loop.deterministic():
        return decoder.decoded(_outputs(decoder.to(device), _Frames(windows, device)))


def focal_loss(logits, labels, weights, gamma, mix=None):
    """Class-weighted focal loss, ``sum w_y (1 - p_y)^gamma (-log p_y) / sum w_y``.

    Lin, Goyal, Girshick, He, Dollar 2017, arXiv 1708.02002. With ``gamma`` 0 it is the weighted cross entropy.

    ``logits``: Tensor, shape (n, n_classes). ``labels``: Tensor of int64, shape (n,). ``weights``: Tensor, shape
    (n_classes,). ``mix`` ((Tensor (n,), Tensor of int64 (n,))): of mixup: weight of a sample's own label, and the label
    of the sample mixed in.
    """
    own, own_weight = _focal(logits, labels, weights, gamma)
    if mix is None:
        return own.sum() / own_weight.sum()
    share, others = mix
    other, other_weight = _focal(logits, others, weights, gamma)
    return (share * own + (1 - share) * other).sum() / (share * own_weight + (1 - share) * other_weight).sum()


def _focal(logits, labels, weights, gamma):
    weight = weights[labels]
    if gamma == 0:
        return weight * cross_entropy(logits, labels, reduction="none"), weight
    log_p = log_softmax(logits, 1).gather(1, labels[:, None])[:, 0]
    return -weight * (1 - log_p.exp()) ** gamma * log_p, weight
