"""Train networks that decode images, and predict with them: one-cycle training, features computed once an image.

The settings of Ajioka et al. 2024 (DOI 10.1371/journal.pcbi.1011074) are the defaults; what their code took from its
framework stands in :class:`OneCycle` as numbers.
"""

import hashlib
import math
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from torch import nn

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.models import loop, training
from calcium_decoding.models.decoders import head_of
from calcium_decoding.models.images.cnn_rnn import for_inference
from calcium_decoding.utils.files import hash_content

INFERENCE_PIXELS = 2**19  # of a batch: 32 images of the study's size; a processor's cache holds no more
INFERENCE_BATCH = 512  # images at most
STRETCH = 1024  # windows whose features are held at a time


@dataclass(frozen=True)
class OneCycle:
    """Learning rate and momentum over a training, and the optimiser they drive.

    The rate rises by a half cosine from ``peak_rate / start_divisor`` to ``peak_rate`` and falls by another one to
    ``peak_rate / end_divisor``; the momentum does the opposite. The optimiser is Adam with decoupled weight decay, none
    on biases and normalisation layers. The defaults are those of fastai 2.5.2, which the study used.

    ``rise``: share of all steps until the peak. ``momentum`` ((float, float)): first moment's decay at both ends, and
    at the peak.
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
        """Set learning rate and momentum of an optimiser; see :meth:`at`."""
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
    ``every_frames``: train and validate on one image or window in so many; neighbours are nearly the same. 1: all, as
    published. ``consecutive``: take so many windows in a row at a time, so that they share the features of their
    images; 1: any windows, as published. Of images alone it has no meaning. ``cycle``: OneCycle. ``patience``: stop
    after so many epochs without a better validation loss; 0: never.
    """

    epochs: int = 3
    batch_size: int = 512
    every_frames: int = 1
    consecutive: int = 1
    cycle: OneCycle = field(default_factory=OneCycle)
    patience: int = 0
    label_smoothing = 0.0

    def __post_init__(self):
        training.check_settings(self, *((name, getattr(self, name) >= 1, "1 or more") for name in
                                        ("epochs", "batch_size", "every_frames", "consecutive")),
                                ("patience", self.patience >= 0, "0 or more"))
        if self.batch_size % self.consecutive:
            raise ParameterError("consecutive", self.consecutive, f"a divisor of the batch size {self.batch_size}",
                                 "change one of the two")

    def optimiser(self, network):
        """Of the parameters of a network that are trained."""
        return self.cycle.optimiser(network)

    def steps(self, n, generator):
        """Indices of the samples of each step of an epoch, a list of Tensor.

        Runs of ``consecutive`` samples in a row, in random order; what is left over at the end of the samples is
        dropped, as is an incomplete last batch, unless it is the only one.
        """
        runs = max(n // self.consecutive, 1)
        order = torch.randperm(runs, generator=generator)[:, None] * self.consecutive
        order = (order + torch.arange(min(self.consecutive, n))).flatten()
        found = list(order.split(self.batch_size))
        return found[:-1] if len(found) > 1 and len(found[-1]) < self.batch_size else found

    def set_rate(self, optimiser, position):
        """Set learning rate and momentum for a position from 0, the first step, to 1, the end."""
        self.cycle.set_rate(optimiser, position)

    def epochs_for(self, n):
        """Epochs of a training on so many samples."""
        return self.epochs


class _Samples:
    """Windows on a device; each kind has ``logits`` of some of them and ``all_logits``, shape (n, *head.shape)."""

    def __init__(self, windows, device="cpu"):
        self.of, self.device = windows, device

    def __len__(self):
        return len(self.of)

    def outputs(self, network, which):
        """What a network gives for some windows."""
        with _half_precision(self.device):
            return self.logits(network, which).float()

    def all_outputs(self, network):
        """What a network gives for all windows, without gradients."""
        network.eval()
        with torch.inference_mode(), _half_precision(self.device):
            return self.all_logits(for_inference(network)).float()


class Images(_Samples):
    """Images of three neighbouring frames with the label of the middle one.

    ``windows``: of three frames, over :class:`calcium_decoding.preprocessing.movie_frames.MovieFrames`. ``device``: str
    or torch.device.
    """

    def logits(self, network, which):
        """Output of a network for some images, shape (n,)."""
        return network(self.inputs(which))

    def inputs(self, which):
        """Some images, shape (n, 3, rows, columns)."""
        return torch.from_numpy(self.of.gather(which.cpu().numpy())).to(self.device)

    def all_logits(self, network):
        """Output of a network for all images, shape (n,)."""
        batch = inference_batch(self.of.frames, self.device)
        return torch.cat([self.logits(network, which) for which in torch.arange(len(self)).split(batch)])


class ImageSequences(_Samples):
    """Windows of consecutive images with the label of the one in the middle.

    ``windows``: over :class:`calcium_decoding.preprocessing.movie_frames.MovieFrames`; a window of 2k + 1 images has 2k
    + 3 frames. ``device``: str or torch.device.
    """

    def logits(self, network, which):
        """Output of a network for some windows, shape (n,); the features of an image are computed once."""
        images, where = _rows(self.of, which, self.of.spec.length - 2)
        # In training a batch is one piece, because batch normalisation looks at all of it.
        batch = len(images) if network.training else inference_batch(self.of.frames, self.device)
        features = torch.cat([network.image_decoder.features(self._images(some)) for some in
                              np.array_split(images, math.ceil(len(images) / batch))])
        return network.of_features(features[torch.from_numpy(where).to(features.device)])

    def all_logits(self, network):
        """Output of a network for all windows, shape (n,), by stretches: memory holds the features of one of them."""
        return torch.cat([self.logits(network, which) for which in torch.arange(len(self)).split(STRETCH)])

    def _images(self, first_rows):
        frames = self.of.frames[first_rows[:, None] + np.arange(3)]
        return torch.from_numpy(frames).to(self.device)


class FeatureSequences(_Samples):
    """Windows of features that a frozen network has given to each image.

    ``windows``: over an array (N, n_features); float16 is enough. ``device``: str or torch.device.
    """

    def logits(self, network, which):
        """Output of the network's recurrent part for some windows, shape (n,)."""
        images, where = _rows(self.of, which, self.of.spec.length)
        features = torch.from_numpy(self.of.frames[images].astype(np.float32)).to(self.device)
        return network.of_features(features[torch.from_numpy(where).to(self.device)])

    def all_logits(self, network):
        """Output for all windows, shape (n,)."""
        return torch.cat([self.logits(network, which) for which in torch.arange(len(self)).split(STRETCH)])


def _rows(windows, which, length):
    """First rows of the images that some windows hold, each once, and where each window finds its own, (n, length)."""
    starts = windows.starts[which.cpu().numpy()]
    return np.unique(starts[:, None] + np.arange(length), return_inverse=True)


def fit(network, train, valid, stage, seed, device="cpu", checkpoint=None, show_progress=False, report=None):
    """Train a network and leave it with the weights of its best validation epoch.

    The loss is that of its head, without label smoothing.

    Parameters
    ----------
    network : torch.nn.Module
        Changed in place.
    train, valid : Images, ImageSequences or FeatureSequences
    stage : Stage
    seed : int
        Of shuffling and dropout.
    device : str or torch.device
    checkpoint, show_progress, report
        As for :func:`calcium_decoding.models.loop.run`.

    Returns
    -------
    epochs.History

    Raises
    ------
    DataError
        The training samples hold one class only, or the loss became NaN or infinite.
    """
    labels = train.of.labels
    if (labels == labels[0]).all():
        raise DataError("training images", f"only label {labels[0]} in {len(train)} of them",
                        "labels that differ", "train on more sessions, or leave this fold out")
    with loop.deterministic():
        network.to(device)
        identity = "" if checkpoint is None else hash_content(
            [asdict(stage), seed, type(train).__name__, weights_hash(network), _digest(train), _digest(valid)])
        return training.fit_samples(network, train, valid, stage, seed, checkpoint, identity, show_progress, report)


def predict(network, samples):
    """What is decoded of each image or window, float64; see :func:`calcium_decoding.models.training.predict`."""
    with loop.deterministic():
        return head_of(network).decoded(samples.all_outputs(network.to(samples.device)).cpu().numpy())


def inference_batch(frames, device="cpu"):
    """How many images go through a network at a time when it predicts.

    ``frames``: MovieFrames or ndarray, shape (N, rows, columns). ``device``: str or torch.device. Returns int.
    """
    if torch.device(device).type == "cuda":
        return INFERENCE_BATCH
    return max(1, min(INFERENCE_BATCH, INFERENCE_PIXELS // math.prod(frames.shape[1:])))


def weights_hash(network):
    """Hexadecimal SHA-256 of all weights and running statistics of a network."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _half_precision(device):
    """Mixed precision where it pays: on CUDA, bfloat16, which needs no scaling of the loss."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda" and torch.cuda.is_bf16_supported())


def _digest(samples):
    windows = samples.of
    arrays = [windows.starts, np.asarray(windows.labels), windows.frames[windows.starts[[0, len(windows) // 2, -1]]]]
    return [hashlib.sha256(np.ascontiguousarray(x).data).hexdigest() for x in arrays]
