"""Train networks that decode several things at once, such as footsteps and kinematics, and predict with them: AdamW,
one cycle, focal loss, as in the public code of Mirzaee, Chang, Latifi 2025 (arXiv 2504.16917)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy, log_softmax

from calcium_decoding.models import hybrid, loop, training
from calcium_decoding.models.decoders import ManyHeads
from calcium_decoding.models.heads import class_weights
from calcium_decoding.models.images.training import OneCycle
from calcium_decoding.models.linear import LinearDecoder, MajorityDecoder
from calcium_decoding.models.names import FOOTSTEP_LINEAR
from calcium_decoding.models.training import DEVICES, TrainingSettings, check_settings
from calcium_decoding.preprocessing.windows import Scaling

INFERENCE_BATCH = 512


@dataclass(frozen=True)
class FootstepTraining:
    """How a decoder of several things at once is trained; defaults are those of the study's code where it states them.

    Parameters
    ----------
    epochs, batch_size, patience, seed, device
        As of :class:`~calcium_decoding.models.TrainingSettings`.
    peak_rate, weight_decay, clip : float
        Of AdamW; the rate rises from a 25th of the peak over the first 30 % of the steps. Largest norm of the gradient.
    gamma, mixup : float
        Of the focal loss, 0: weighted cross entropy; alpha of the beta distribution that mixes windows, 0: no mixup.
    activity : bool
        Train the published activity head too: first principal component of the training frames.
    every_frames : int
        Train on one window in so many.
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
            self, ("peak_rate", self.peak_rate > 0, "more than 0"), ("clip", self.clip > 0, "more than 0"),
            ("device", self.device in DEVICES, "cpu, cuda or auto"),
            epochs=1, batch_size=2, patience=1, gamma=0, mixup=0, every_frames=1)

    @property
    def cycle(self):
        return OneCycle(self.peak_rate, rise=0.3, end_divisor=25e4, beta2=0.999, eps=1e-8,
                        weight_decay=self.weight_decay)

    def optimiser(self, network):
        """AdamW, which clips the gradient before each step."""
        def clip(*_):
            torch.nn.utils.clip_grad_norm_(network.parameters(), self.clip)

        found = self.cycle.optimiser(network)
        found.register_step_pre_hook(clip)
        return found

    def trained_on(self, windows):
        return windows.some(slice(None, None, self.every_frames))

    torch_device = TrainingSettings.torch_device


def build(decoder, n_roi, spec, head, settings):
    """A fresh decoder, for Heads: a name in :data:`calcium_decoding.models.names.FOOTSTEP_MODELS`, or a Network."""
    if not isinstance(decoder, str):
        return decoder.build(n_roi, spec.past_frames, spec.length, head, settings.seed)
    if decoder in FOOTSTEP_LINEAR:
        return MajorityDecoder(head) if decoder == "majority" else LinearDecoder(head, decoder == "logistic_window")
    outputs = head.size | ({"activity": 1} if settings.activity else {})
    return ManyHeads(hybrid.build(decoder, n_roi, outputs, settings.size, settings.seed), head, decoder)


def fit(decoder, train, valid, settings, checkpoint=None, report=None, trained=None):
    """:func:`fit_many` for one set of windows; ``decoder``: of :func:`build`."""
    if isinstance(decoder, torch.nn.Module):
        decoder.prepare(train)
        return fit_many(decoder, [train], [valid], settings, checkpoint, report, trained)
    decoder.head.require(train, "training windows")
    decoder.head.require(valid, "validation windows")
    decoder.fit(train, valid, settings)
    return loop.History()


def fit_many(network, trains, valids, settings, checkpoint=None, report=None, trained=None):
    """Train a network, and leave it with the weights of its best validation epoch: a History.

    ``network``: its ``head`` are Heads. It is called as ``network(x)``, and as ``network(x, i)`` with the number of the
    set where there are several sets of windows, such as those of several animals; a step sees windows of one.
    ``trains``, ``valids``: WindowSets, whose labels have a field a head. ``checkpoint``, ``report``: as for
    :func:`calcium_decoding.models.loop.run`. ``trained``: change only these parameters, and keep the rest, running
    statistics included. Raises DataError: a class is missing, or the loss became NaN.
    """
    head = network.head
    with loop.deterministic():
        device = settings.torch_device()
        network.to(device)
        for parameter in network.parameters() if trained is not None else ():
            parameter.requires_grad_(any(parameter is p for p in trained))
        sets, tests = [], []
        for train, valid in zip(trains, valids, strict=True):
            head.require(train, "training windows")
            head.require(valid, "validation windows")
            scalings, activity = head.scalings(train), _activity_of(train) if settings.activity else None
            for found, windows in ((sets, settings.trained_on(train)), (tests, valid)):
                targets = head.targets(windows, scalings) | ({"activity": activity(windows)} if activity else {})
                found.append(_Labelled(windows, device, targets, head))
        numbers = [()] if len(sets) == 1 else [(i,) for i in range(len(sets))]

        def steps(generator):
            network.train(trained is None)
            found = [(i, which) for i, samples in enumerate(sets) for which in torch.randperm(
                len(samples), generator=generator).to(device).split(settings.batch_size) if len(which) > 1]
            mixed = torch.randperm(len(found), generator=generator).tolist() if len(sets) > 1 else range(len(found))
            return [found[place] for place in mixed]

        def loss_of(step):
            i, which = step
            x, mix = sets[i].windows(which).contiguous(), None
            if settings.mixup:
                share = torch.distributions.Beta(settings.mixup, settings.mixup).sample((len(which),)).to(device)
                partner = torch.randperm(len(which)).to(device)
                x, mix = share[:, None, None] * x + (1 - share[:, None, None]) * x[partner], (share, partner)
            targets = {name: values[which] for name, values in sets[i].targets.items()}
            return _loss(network(x, *numbers[i]), targets, sets[i].weights, settings.gamma, mix), len(which)

        def validate():
            return float(np.mean([float(_loss(_outputs(network, test, *numbers[i]), test.targets, sets[i].weights,
                                              settings.gamma)) for i, test in enumerate(tests)]))

        def digest():
            return [trained is not None, *(samples.digest() for samples in (*sets, *tests))]

        # cuDNN goes backward through recurrent layers in training mode only, and frozen layers are not in it.
        with torch.backends.cudnn.flags(enabled=trained is None):
            history = training.descend(network, settings, settings.epochs, steps, loss_of, validate, settings.seed,
                                       checkpoint, digest, report)
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


class _Labelled(training.Frames):
    """Windows with targets by head, and the class weights of those with classes."""

    def __init__(self, windows, device, targets, head):
        super().__init__(windows, device)
        self.targets = {name: torch.from_numpy(values).to(device) for name, values in targets.items()}
        self.weights = {name: torch.tensor(class_weights(targets[name], head.size[name]), dtype=torch.float32,
                                           device=device) for name in head if head[name].kind != "continuous"}


def _loss(outputs, targets, weights, gamma, mix=None):
    """Sum of the losses of all heads; ``mix``: share and partner of each sample in mixup."""
    total = 0.0
    for head, values in outputs.items():
        wanted = targets[head]
        other = None if mix is None else (mix[0], wanted[mix[1]])
        if head in weights:
            total = total + focal_loss(values, wanted, weights[head], gamma, other)
        else:
            if other is not None:
                wanted = other[0][:, None] * wanted + (1 - other[0][:, None]) * other[1]
            total = total + ((values - wanted) ** 2).mean()
    return total


def _outputs(network, samples, *number):
    network.eval()
    with torch.inference_mode():
        found = [network(samples.windows(which).contiguous(), *number)
                 for which in torch.arange(len(samples), device=samples.starts.device).split(INFERENCE_BATCH)]
    return {head: torch.cat([part[head] for part in found]) for head in found[0]}


def predict(decoder, windows, device="cpu"):
    """What a decoder (ManyHeads, or a linear one) says of each window, a structured array, shape (n,), with a field a
    head: probability of each class, or of the event; quantities in the unit of the labels."""
    if not isinstance(decoder, torch.nn.Module):
        return decoder.decoded(windows)
    with loop.deterministic():
        return decoder.decoded(_outputs(decoder.to(device), training.Frames(windows, device)))


def focal_loss(logits, labels, weights, gamma, mix=None):
    """Class-weighted focal loss, ``sum w_y (1 - p_y)^gamma (-log p_y) / sum w_y``; weighted cross entropy with
    ``gamma`` 0. Lin, Goyal, Girshick, He, Dollar 2017, arXiv 1708.02002. ``logits``: Tensor (n, n_classes); ``labels``:
    int64 (n,); ``weights``: (n_classes,). ``mix`` ((Tensor (n,), int64 (n,))), of mixup: weight of a sample's own
    label, and the label of the sample mixed in."""
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
