"""Decoders of images: a convolutional network on one image, or with a recurrent one on top of successive images. An
image is a movie frame between its two neighbours as channels, (3, H, W), float32 (Ajioka et al. 2024)."""

import copy

import torch
from torch import nn

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.models.heads import BINARY, InUnits
from calcium_decoding.models.images.cnn import build_cnn, fold_norms
from calcium_decoding.models.names import DECODERS, IMAGE_MODELS
from calcium_decoding.models.recurrent import LAYERS


def build_image(name, weights=None, seed=2021, image_decoder=None, frozen=False, data_dir=None, head=BINARY):
    """A fresh decoder of images by name (:data:`IMAGE_MODELS`), with the study's settings: ImageDecoder or
    SequenceDecoder.

    ``weights``: of the convolutional network at first, a name in :data:`calcium_decoding.models.names.WEIGHTS`; or in
    their place ``image_decoder``, a trained decoder of single images, of which a copy is taken. ``seed``: of all random
    initial weights. ``frozen``: keep the convolutional network as it is. ``data_dir``: where fetched weights lie.
    ``head``: what it has to give. Raises ParameterError: unknown name or weights, both or neither of ``weights`` and
    ``image_decoder``, or a frozen "cnn"; DataError: the weights cannot be had.
    """
    if name not in IMAGE_MODELS:
        raise ParameterError("model", repr(name), f"one of {', '.join(IMAGE_MODELS)}", "name one of these")
    if (weights is None) == (image_decoder is None):
        raise ParameterError("weights and image_decoder", "both" if weights else "neither", "one of the two",
                             "name first weights, or give a trained decoder of single images")
    if frozen and name == "cnn":
        raise ParameterError("frozen", True, "False for 'cnn'", "freeze it under a recurrent network, as in 'cnn_gru'")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = (ImageDecoder(build_cnn(weights, data_dir, head.size), head) if image_decoder is None
                   else copy.deepcopy(image_decoder))
        options = DECODERS[name].options
        return decoder if name == "cnn" else SequenceDecoder(decoder, frozen=frozen, head=head, **options)


def for_inference(network):
    """A copy that predicts the same, but for rounding, in less time, normalisations folded. Not to be trained."""
    ready = copy.deepcopy(network).eval()
    for module in ready.modules():
        if isinstance(module, ImageDecoder):
            fold_norms(module.cnn)
        elif isinstance(module, nn.RNNBase):
            module.flatten_parameters()  # a copy's weights lie apart, which cuDNN would mend at each call
    return ready


class ImageDecoder(InUnits):
    """One logit, or what its head says, from one image, by ``cnn`` of :func:`.build_cnn` (Ajioka et al. 2024, CNN),
    channels last in memory. ``n_features``: numbers it makes of an image; 1280."""

    def __init__(self, cnn, head=BINARY):
        super().__init__(head)
        self.cnn = cnn.to(memory_format=torch.channels_last)
        self.n_features = cnn.num_features

    def features(self, images):
        """Last convolution's channels, averaged over positions, (n, n_features), of images, (n, 3, H, W), float32."""
        _require_images(images, 4)
        return self.cnn.global_pool(self.cnn.forward_features(images))

    def forward(self, images):
        _require_images(images, 4)
        return self.in_units(self.cnn(images))


class SequenceDecoder(InUnits):
    """Features of successive images, two recurrent layers on them, one logit after the last (Ajioka et al. 2024).

    ``image_decoder``: becomes part of this network. ``cell``: "gru", "lstm" or "rnn", of ``hidden`` units. ``frozen``:
    the convolutional network stays as it is, so that features can be kept. ParameterError: unknown cell, or no units.
    """

    def __init__(self, image_decoder, cell="gru", hidden=128, frozen=False, head=BINARY):
        super().__init__(head)
        if cell not in LAYERS or hidden < 1:
            raise ParameterError("cell, hidden", f"{cell!r}, {hidden}", f"one of {', '.join(LAYERS)}, and 1 or more",
                                 "change these settings of the recurrent network")
        self.frozen = frozen
        self.image_decoder = image_decoder
        self.recurrent = LAYERS[cell](image_decoder.n_features, hidden, 2, batch_first=True, dropout=0.2)
        self.readout = nn.Linear(hidden, head.size)
        if frozen:
            image_decoder.requires_grad_(False)
        self.train()

    def train(self, mode=True):
        """Set training or evaluation mode; a frozen convolutional network stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.image_decoder.eval()
        return self

    def extra_repr(self):
        """What tells the two kinds apart where a network is named by its text."""
        return f"frozen={self.frozen}"

    def forward(self, images):
        """Logits, shape (n,), of windows of images, (n, length, 3, H, W), float32."""
        _require_images(images, 5)
        return self.of_features(self.image_decoder.features(images.flatten(0, 1)).unflatten(0, images.shape[:2]))

    def of_features(self, features):
        """Logits, shape (n,), of windows of features, (n, length, n_features); DataError of another shape."""
        n = self.image_decoder.n_features
        if features.ndim != 3 or features.shape[-1] != n or not features.is_floating_point():
            raise DataError("features", _described(features), f"3 axes, the last of {n} features",
                            "give what `features` of the image decoder returns")
        every_step, _ = self.recurrent(features.float())
        return self.in_units(self.readout(every_step[:, -1]))


def _require_images(images, ndim):
    if images.ndim != ndim or images.shape[-3] != 3 or not images.is_floating_point():
        axes = "(n, 3, H, W)" if ndim == 4 else "(n, length, 3, H, W)"
        raise DataError("images", _described(images), f"shape {axes}, floating point",
                        "normalise the movie and put each frame between its neighbours as channels")


def _described(tensor):
    return f"shape {tuple(tensor.shape)}, {str(tensor.dtype).removeprefix('torch.')}"
