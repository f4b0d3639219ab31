"""Decoders of images: a convolutional network on one image, or with a recurrent one on top of successive images.

An image is a movie frame between its two neighbours as channels, shape (3, H, W), float32 (Ajioka et al. 2024, DOI
10.1371/journal.pcbi.1011074). Windows of successive images overlap, so the features of an image are computed once and
shared by all its windows.
"""

import copy

import torch
from torch import nn

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.models.heads import BINARY, InUnits
from calcium_decoding.models.images.cnn import build_cnn, fold_norms
from calcium_decoding.models.names import IMAGE_MODELS
from calcium_decoding.models.recurrent import LAYERS

IMAGE_BATCH = 32  # images at a time where features are shared
WINDOW_BATCH = 512  # windows at a time: 11 images of 1280 features are 29 MB


def build_image(name, weights=None, seed=2021, image_decoder=None, frozen=False, data_dir=None,
                head=BINARY):
    """A fresh decoder of images by name, with the study's settings.

    Parameters
    ----------
    name : str
        A name in :data:`IMAGE_MODELS`.
    weights : str, optional
        First weights of the convolutional network: a name in
        :data:`calcium_decoding.models.images.cnn.WEIGHTS`.
    seed : int
        Seed of all random initial weights.
    image_decoder : ImageDecoder, optional
        In place of ``weights``: a trained decoder of single images to start from, as in the study's second stage. It
        is copied and not changed.
    frozen : bool
        Keep the convolutional network as it is while the recurrent one is trained.
    data_dir : str or Path, optional
        Where fetched weights lie.
    head : Head
        What it has to give.

    Returns
    -------
    ImageDecoder or SequenceDecoder

    Raises
    ------
    ParameterError
        Unknown name or weights, both or neither of ``weights`` and ``image_decoder``, or a frozen ``cnn``, which would
        have nothing to train.
    DataError
        The weights cannot be had.
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
        decoder = (ImageDecoder(build_cnn(weights, data_dir=data_dir, n_outputs=head.size), head)
                   if image_decoder is None else copy.deepcopy(image_decoder))
        return decoder if name == "cnn" else SequenceDecoder(decoder, name.removeprefix("cnn_"), frozen=frozen,
                                                             head=head)


def for_inference(network):
    """A copy in evaluation mode that predicts the same in less time: normalisations folded into convolutions.

    ``network``: an :class:`ImageDecoder`, alone or within a :class:`SequenceDecoder`. What is neither is copied as it
    is. Returns torch.nn.Module: of the same kind, not to be trained. Outputs differ by rounding.
    """
    ready = copy.deepcopy(network).eval()
    for module in ready.modules():
        if isinstance(module, ImageDecoder):
            fold_norms(module.cnn)
        elif isinstance(module, nn.RNNBase):
            module.flatten_parameters()  # a copy's weights lie apart, which cuDNN would mend at each call
    return ready


class ImageDecoder(InUnits):
    """One logit from one image (Ajioka et al. 2024, CNN).

    Parameters
    ----------
    cnn : timm.models.EfficientNet
        With one output, from :func:`~calcium_decoding.models.images.cnn.build_cnn`. Its memory is laid out with
        channels last, which convolutions on a CPU are faster with.

    Attributes
    ----------
    n_features : int
        Numbers that the network makes of an image before its output layer; 1280.
    """

    def __init__(self, cnn, head=BINARY):
        super().__init__(head)
        self.cnn = cnn.to(memory_format=torch.channels_last)
        self.n_features = cnn.num_features

    def features(self, images):
        """Averages over positions of the last convolution's channels.

        Parameters
        ----------
        images : Tensor, shape (n, 3, H, W), float32

        Returns
        -------
        Tensor, shape (n, n_features), float32

        Raises
        ------
        DataError
            Another shape, or integers.
        """
        _require_images(images, 4)
        return self.cnn.global_pool(self.cnn.forward_features(images))

    def forward(self, images):
        """Logits, shape (n,), of images, shape (n, 3, H, W), float32. Raises as :meth:`features`."""
        _require_images(images, 4)
        return self.in_units(self.cnn(images))


class SequenceDecoder(InUnits):
    """Features of successive images, a recurrent network on them, one logit after the last (Ajioka et al. 2024).

    Parameters
    ----------
    image_decoder : ImageDecoder
        Becomes part of this network. Its own output layer is not used.
    cell : {"gru", "lstm", "rnn"}
        The simple recurrent network has tanh units.
    hidden, layers : int
        Units of a recurrent layer, and the number of layers; they only look back.
    dropout : float
        Share of a recurrent layer's outputs left out in training, between layers.
    frozen : bool
        The convolutional network gets no gradients and stays in evaluation mode: no dropout, no skipped blocks, and
        batch normalisation with the running means and variances it came with. Features are then the same in training
        and after, and can be computed once and kept.

    Raises
    ------
    ParameterError
        Unknown cell, no units or layers, or a dropout outside of 0 to 1.

    Notes
    -----
    Initial weights are PyTorch's, as in the study's code.
    """

    def __init__(self, image_decoder, cell="gru", hidden=128, layers=2, dropout=0.2, frozen=False, head=BINARY):
        super().__init__(head)
        for name, value, good, expected in (
            ("cell", repr(cell), cell in LAYERS, f"one of {', '.join(LAYERS)}"),
            ("hidden", hidden, hidden >= 1, "1 or more"),
            ("layers", layers, layers >= 1, "1 or more"),
            ("dropout", dropout, 0 <= dropout < 1, "0 or more and below 1"),
        ):
            if not good:
                raise ParameterError(name, value, expected, "change this setting of the recurrent network")
        self.frozen = frozen
        self.image_decoder = image_decoder
        self.recurrent = LAYERS[cell](image_decoder.n_features, hidden, layers, batch_first=True,
                                      dropout=dropout if layers > 1 else 0.0)
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
        """Logits, shape (n,), of windows of images, shape (n, length, 3, H, W), float32, one by one.

        Raises
        ------
        DataError
            Another shape, or integers.
        """
        _require_images(images, 5)
        return self.of_features(self.image_decoder.features(images.flatten(0, 1)).unflatten(0, images.shape[:2]))

    def of_features(self, features):
        """Logits, shape (n,), of windows of features, shape (n, length, n_features), any floating-point type.

        Raises
        ------
        DataError
            Another shape.
        """
        self._require_features(features, 3)
        every_step, _ = self.recurrent(features.float())
        return self.in_units(self.readout(every_step[:, -1]))

    def of_stretch(self, images, length):
        """Logits of every window of uninterrupted images; the features of an image are computed once.

        In training mode, unless frozen, all images go through the network as one batch, as batch normalisation needs.

        Parameters
        ----------
        images : Tensor, shape (m, 3, H, W), float32
        length : int
            Images in a window.

        Returns
        -------
        Tensor, shape (m - length + 1,), float32

        Raises
        ------
        DataError
            Another shape, integers, or fewer images than a window has.
        """
        _require_images(images, 4)
        _require_enough(images, length)
        together = len(images) if self.image_decoder.training else IMAGE_BATCH
        features = torch.cat([self.image_decoder.features(part) for part in images.split(together)])
        return self.of_feature_stretch(features, length)

    def of_feature_stretch(self, features, length):
        """The same from the features of uninterrupted images, shape (m, n_features), any floating-point type.

        Raises
        ------
        DataError
            Another shape, or fewer images than a window has.
        """
        self._require_features(features, 2)
        _require_enough(features, length)
        windows = features.unfold(0, length, 1).transpose(1, 2)  # a view
        return torch.cat([self.of_features(part) for part in windows.split(WINDOW_BATCH)])

    def _require_features(self, features, ndim):
        n = self.image_decoder.n_features
        if features.ndim != ndim or features.shape[-1] != n or not features.is_floating_point():
            raise DataError("features", _described(features), f"{ndim} axes, the last of {n} features",
                            "give what `features` of the image decoder returns")


def _require_images(images, ndim):
    if images.ndim != ndim or images.shape[-3] != 3 or not images.is_floating_point():
        axes = "(n, 3, H, W)" if ndim == 4 else "(n, length, 3, H, W)"
        raise DataError("images", _described(images), f"shape {axes}, floating point",
                        "normalise the movie and put each frame between its neighbours as channels")


def _require_enough(stretch, length):
    if not 1 <= length <= len(stretch):
        raise DataError("uninterrupted images", f"{len(stretch)} for windows of {length}", "at least one window",
                        "use longer stretches or shorter windows")


def _described(tensor):
    return f"shape {tuple(tensor.shape)}, {str(tensor.dtype).removeprefix('torch.')}"
