"""Samples of images for networks, and how these are trained: one cycle, by default as in Ajioka et al. 2024."""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from calcium_decoding.errors import ParameterError
from calcium_decoding.models import training
from calcium_decoding.models.images.cnn_rnn import for_inference
from calcium_decoding.utils.files import hash_bytes

INFERENCE_PIXELS = 2**19  # of a batch: 32 images of the study's size; a processor's cache holds no more
INFERENCE_BATCH = 512  # images at most
STRETCH = 1024  # windows whose features are held at a time


@dataclass(frozen=True)
class OneCycle:
    """Learning rate and momentum over a training, and the optimiser they drive; defaults of fastai 2.5.2, as the
    study's.

    The rate rises by a half cosine from ``peak_rate / start_divisor`` to ``peak_rate``, over a share ``rise`` of all
    steps, and falls by another one to ``peak_rate / end_divisor``; the momentum (at both ends, and at the peak) does
    the opposite. The optimiser is Adam with decoupled weight decay, none on biases and normalisation layers.
    """

    peak_rate: float = 1e-3
    rise: float = 0.25
    start_divisor: float = 25.0
    end_divisor: float = 1e5
    momentum: tuple[float, float] = (0.95, 0.85)
    beta2: float = 0.99
    eps: float = 1e-5
    weight_decay: float = 0.01

    def at(self, position):
        """Learning rate and momentum at a position from 0, the first step, to 1, the end."""
        if position < self.rise:
            part, rates, moments = position / self.rise, (self.peak_rate / self.start_divisor, self.peak_rate), (0, 1)
        else:
            part = (position - self.rise) / (1 - self.rise)
            rates, moments = (self.peak_rate, self.peak_rate / self.end_divisor), (1, 0)
        weight = (1 - math.cos(math.pi * part)) / 2
        one, other = (self.momentum[i] for i in moments)
        return rates[0] + weight * (rates[1] - rates[0]), one + weight * (other - one)

    def set_rate(self, optimiser, position):
        rate, momentum = self.at(position)
        for group in optimiser.param_groups:
            group["lr"], group["betas"] = rate, (momentum, self.beta2)

    def optimiser(self, network):
        """Of the parameters of a network that are trained."""
        plain = {id(p) for module in network.modules() if isinstance(module, nn.modules.batchnorm._NormBase)
                 for p in module.parameters(recurse=False)}
        plain |= {id(p) for name, p in network.named_parameters() if "bias" in name.rpartition(".")[2]}
        trained = [p for p in network.parameters() if p.requires_grad]
        groups = [{"params": [p for p in trained if id(p) not in plain], "weight_decay": self.weight_decay},
                  {"params": [p for p in trained if id(p) in plain], "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=self.peak_rate, betas=(self.momentum[0], self.beta2), eps=self.eps,
                                 fused=True)


@dataclass(frozen=True)
class Stage:
    """How one network is trained.

    ``epochs``, ``batch_size``: an incomplete last batch is left out, as published, unless it is the only one.
    ``every_frames``: train and validate on one image or window in so many. ``consecutive``: take so many windows in a
    row, so that they share the features of their images. 1 of both: as published. ``patience``: stop after so many
    epochs without a better validation loss; 0: never.
    """

    epochs: int = 3
    batch_size: int = 512
    every_frames: int = 1
    consecutive: int = 1
    cycle: OneCycle = field(default_factory=OneCycle)
    patience: int = 0
    label_smoothing = 0.0

    def __post_init__(self):
        training.check_settings(self, epochs=1, batch_size=1, every_frames=1, consecutive=1, patience=0)
        if self.batch_size % self.consecutive:
            raise ParameterError("consecutive", self.consecutive, f"a divisor of the batch size {self.batch_size}",
                                 "change one of the two")

    def optimiser(self, network):
        return self.cycle.optimiser(network)

    def steps(self, n, generator):
        """Indices of the samples of each step of an epoch: runs of ``consecutive`` samples, in random order."""
        runs = max(n // self.consecutive, 1)
        order = torch.randperm(runs, generator=generator)[:, None] * self.consecutive
        order = (order + torch.arange(min(self.consecutive, n))).flatten()
        found = list(order.split(self.batch_size))
        return found[:-1] if len(found) > 1 and len(found[-1]) < self.batch_size else found

    def epochs_for(self, n):
        return self.epochs


class _Samples:
    """Windows on a device; each kind has ``logits`` of some of them, the output of a network, (n, *head.shape)."""

    def __init__(self, windows, device="cpu"):
        self.of, self.device = windows, device
        self.at_a_time = STRETCH

    def __len__(self):
        return len(self.of)

    def outputs(self, network, which):
        with _half_precision(self.device):
            return self.logits(network, which).float()

    def all_outputs(self, network):
        network.eval()
        with torch.inference_mode(), _half_precision(self.device):
            return self.all_logits(for_inference(network)).float()

    def all_logits(self, network):
        """``logits`` of all windows, by stretches: memory holds the features of one of them."""
        return torch.cat([self.logits(network, which) for which in torch.arange(len(self)).split(self.at_a_time)])

    def digest(self):
        """What a checkpoint must not go on without: the same windows and labels, and some of the frames."""
        some = self.of.frames[self.of.starts[[0, len(self) // 2, -1]]]
        return [hash_bytes(np.asarray(x)) for x in (self.of.starts, self.of.labels, some)]


class Images(_Samples):
    """Images of three neighbouring frames (windows of three, over a MovieFrames) with the label of the middle one."""

    def __init__(self, windows, device="cpu"):
        super().__init__(windows, device)
        self.at_a_time = inference_batch(windows.frames, device)

    def logits(self, network, which):
        return network(torch.from_numpy(self.of.gather(which.cpu().numpy())).to(self.device))


class ImageSequences(_Samples):
    """Windows of 2k + 1 consecutive images (2k + 3 frames) with the label of the middle one; features computed once an
    image. ``shuffle_seed``: hand the images of each window over in a random order of its own; None: as they lie."""

    def __init__(self, windows, device="cpu", shuffle_seed=None):
        super().__init__(windows, device)
        self.order = None
        if shuffle_seed is not None:
            order = np.tile(np.arange(self.n_images, dtype=np.int16), (len(windows), 1))
            self.order = np.random.default_rng(shuffle_seed).permuted(order, axis=1)

    def logits(self, network, which):
        which = which.cpu().numpy()
        order = np.arange(self.n_images) if self.order is None else self.order[which]
        images, where = np.unique(self.of.starts[which][:, None] + order, return_inverse=True)
        features = self._features(network, images)
        return network.of_features(features[torch.from_numpy(where).to(features.device)])

    @property
    def n_images(self):
        return self.of.spec.length - 2

    def _features(self, network, images):
        # In training a batch is one piece, because batch normalisation looks at all of it.
        batch = len(images) if network.training else inference_batch(self.of.frames, self.device)
        pieces = (torch.from_numpy(self.of.frames[some[:, None] + np.arange(3)]).to(self.device)
                  for some in np.array_split(images, math.ceil(len(images) / batch)))
        return torch.cat([network.image_decoder.features(piece) for piece in pieces])


class FeatureSequences(ImageSequences):
    """Windows of features, an array (N, n_features), that a frozen network has given to each image."""

    @property
    def n_images(self):
        return self.of.spec.length

    def _features(self, network, images):
        return torch.from_numpy(self.of.frames[images].astype(np.float32)).to(self.device)


def inference_batch(frames, device="cpu"):
    """How many images, of (N, rows, columns) ``frames``, go through a network at a time when it predicts."""
    if torch.device(device).type == "cuda":
        return INFERENCE_BATCH
    return max(1, min(INFERENCE_BATCH, INFERENCE_PIXELS // math.prod(frames.shape[1:])))


def _half_precision(device):
    """Mixed precision where it pays: on CUDA, bfloat16, which needs no scaling of the loss."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda" and torch.cuda.is_bf16_supported())
