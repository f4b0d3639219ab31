"""EfficientNet with one output, its initial weights by choice; the only place that imports timm, and when asked."""

import importlib
from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import conv2d, pad
from torch.nn.utils.fusion import fuse_conv_bn_weights

from calcium_decoding.data import catalog, download
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.models.names import WEIGHTS

HUB_ENTRY, LITE0_ENTRY = "efficientnet-b0-imagenet", "efficientnet-lite0"
HUB_TIMEOUT_S = 5.0
SMALL = 16  # pixels; on larger images PyTorch's own convolution is the faster one
# In training: share of the 1280 features left out; chance that the last block is skipped for an image, less of earlier
# ones, in proportion to depth.
RATES = {"drop_rate": 0.2, "drop_path_rate": 0.2}


def build_cnn(weights, data_dir=None, n_outputs=1):
    """EfficientNet with one logit or more, settings of the study (Ajioka et al. 2024; Tan, Le, arXiv 1905.11946).

    ``weights``: a name in :data:`WEIGHTS`; the output layer is random in every case. Takes images, shape (n, 3, H, W),
    float32. Lite0 is not the B0 of the study (no squeeze-and-excitation, ReLU6), and the weights of the hub are not
    known to be the study's. Raises ParameterError: unknown weights; DataError: they cannot be had.
    """
    if weights == "none":
        network = _create("efficientnet_b0", **RATES)
    elif weights == "imagenet":
        network = _from_hub(catalog.load_manifest().entry(HUB_ENTRY))
    elif weights == "lite0-offline":
        network = lite0(data_dir, **RATES)
    else:
        raise ParameterError("weights", repr(weights), f"one of {', '.join(WEIGHTS)}", "name one of these")
    # Made with a thousand outputs and changed here: timm would draw the weights of a single one from -1 to 1, PyTorch
    # draws them from -0.03 to 0.03, as in the study.
    network.reset_classifier(n_outputs)
    return use_products(network)


def lite0(data_dir=None, **options):
    """EfficientNet-Lite0 as trained on ImageNet, with its thousand outputs; options go to ``timm.create_model``.
    DataError if the file of the weights is not there, not intact, or not what this timm expects."""
    entry = catalog.load_manifest().entry(LITE0_ENTRY)
    data_dir = data_dir or weights_dir(entry)
    path = download.require(entry, data_dir) / entry.target
    finding = download.verify(entry, data_dir)[0]
    if finding.state != "ok":
        raise DataError(path, finding.found, finding.expected, f"run `calcium-decoding data fetch {entry.name}`")
    saved = torch.load(path, map_location="cpu", weights_only=True)
    network = _create("tf_efficientnet_lite0", **options)
    ours = network.state_dict()
    # Both list the same layers from input to output, under other names.
    pairs = list(zip(saved.items(), ours.items(), strict=False))

    def part(name):
        return name.rpartition(".")[2]  # weight, bias, running_mean ...

    if len(saved) != len(ours) or any(part(a) != part(b) or x.shape != y.shape for (a, x), (b, y) in pairs):
        raise DataError(path, f"{len(saved)} arrays, not in the order of this timm", f"{len(ours)} as in timm 1.0",
                        "install timm 1.0.31, with which the weights were compared")
    network.load_state_dict({ours_name: value for (_, value), (ours_name, _) in pairs})
    return network


def weights_dir(entry):
    """The data directory that has the file of an entry: the chosen one, or ``data/`` of the project."""
    own = entry.root / "data"
    return own if download.status(entry) != "present" == download.status(entry, own) else catalog.data_dir()


def fold_norms(cnn):
    """Make each batch normalisation part of the convolution before it, in place: the same outputs in evaluation mode,
    but for rounding, one pass over memory less. Not to be trained afterwards."""
    for block in list(cnn.modules()):
        # In timm's blocks layers are named in the order in which they work, and a normalisation holds its activation.
        for (_, conv), (norm_name, norm) in pairwise(list(block.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                conv.weight, conv.bias = fuse_conv_bn_weights(conv.weight, conv.bias, norm.running_mean,
                                                              norm.running_var, norm.eps, norm.weight, norm.bias)
                setattr(block, norm_name, norm.act)


def _from_hub(entry):
    if download.status(entry) != "present":
        _require_answer(entry)
    try:
        return _create(entry.hub, pretrained=True, **RATES)
    except Exception as error:  # timm and the hub's client raise many kinds, and some are private
        raise _not_had(entry, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}") from error


def _require_answer(entry):
    """One short try: the hub's own client would go on trying for most of a minute."""
    import huggingface_hub
    import requests

    url = huggingface_hub.hf_hub_url(f"timm/{entry.hub}", "model.safetensors")
    try:
        requests.head(url, timeout=HUB_TIMEOUT_S)
    except requests.exceptions.RequestException as error:
        raise _not_had(entry, f"no connection to {url} ({type(error).__name__})") from error


def _not_had(entry, found):
    return DataError(
        f"weights 'imagenet' ({entry.hub})", found, "weights in the hub's cache, or an answer from the hub",
        f"choose weights 'lite0-offline' (after `calcium-decoding data fetch {LITE0_ENTRY}`) or 'none', or make the "
        "network once on a machine with the network there and copy the hub's cache")


def _create(name, **options):
    return _timm().create_model(name, bn_eps=1e-3, bn_momentum=0.01, **options)


def _timm():
    """timm, also where a torchvision built for CUDA stands over a torch without it, and fails at import for want of two
    operators. Nothing here calls them, so their names are enough."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if torch.version.cuda is not None or "torchvision::nms" not in str(error):
            raise
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return importlib.import_module("timm")


class Depthwise(nn.Conv2d):
    """A convolution of each channel by itself, which computes small images as products of pixels and weights.

    There few of a kernel's weights meet a pixel at all, and PyTorch 2.13 takes up to a hundred times as long for the
    gradient on a CPU: a step of training EfficientNet took 0.4 to 0.5 of the time on images of 32 x 32, 0.8 on 64 x 64.
    Outputs and gradients are the same but for rounding.
    """

    same = False

    @classmethod
    def of(cls, conv):
        """In place of ``conv``, a torch.nn.Conv2d or timm's ``Conv2dSame`` with as many groups as channels."""
        made = torch.nn.utils.skip_init(cls, conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride,
                                        conv.padding, groups=conv.groups, bias=conv.bias is not None)
        made.weight, made.bias, made.same = conv.weight, conv.bias, type(conv).__name__ == "Conv2dSame"
        return made

    def forward(self, x):
        """Convolve, shape (n, channels, rows, columns)."""
        sides = [self._sides(size, axis) for axis, size in enumerate(x.shape[2:])]
        if x.device.type == "cpu" and torch.is_grad_enabled() and x.shape[2] * x.shape[3] <= SMALL:
            return self._by_products(x, [(before, n_out) for before, _, n_out in sides])
        (top, bottom, _), (left, right, _) = sides
        if top == bottom and left == right:
            return conv2d(x, self.weight, self.bias, self.stride, (top, left), groups=self.groups)
        return conv2d(pad(x, (left, right, top, bottom)), self.weight, self.bias, self.stride, groups=self.groups)

    def _sides(self, size, axis):
        """Zeros before and after, and size of the output, along one axis."""
        kernel, stride, around = self.kernel_size[axis], self.stride[axis], self.padding[axis]
        if not self.same:
            return around, around, (size + 2 * around - kernel) // stride + 1
        n_out = -(-size // stride)
        around = max((n_out - 1) * stride + kernel - size, 0)
        return around // 2, around - around // 2, n_out

    def _by_products(self, x, sides):
        (n, channels, *sizes), n_outs = x.shape, [n_out for _, n_out in sides]
        rows, columns = (torch.arange(size) - stride * torch.arange(n_out)[:, None] + before
                         for size, stride, (before, n_out) in zip(sizes, self.stride, sides, strict=True))
        # For each output (first two axes) and input pixel (last two): which weight joins them, the extra one if none.
        row, column = rows[:, None, :, None], columns[None, :, None, :]
        height, width = self.kernel_size
        joined = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        which = torch.where(joined, row * width + column, height * width).flatten(2).flatten(0, 1)
        weights = pad(self.weight.reshape(channels, -1), (0, 1)).T[which]  # (outputs, pixels, channels)
        pixels = x.permute(0, 2, 3, 1).reshape(n, 1, -1, channels)
        found = (pixels * weights).sum(dim=2)
        if self.bias is not None:
            found = found + self.bias
        return found.view(n, *n_outs, channels).permute(0, 3, 1, 2)


def use_products(network):
    """Put :class:`Depthwise` in place of every depthwise convolution of a network, in place; returns the network."""
    for block in list(network.modules()):
        for name, conv in list(block.named_children()):
            if isinstance(conv, nn.Conv2d) and 1 < conv.groups == conv.in_channels == conv.out_channels:
                setattr(block, name, Depthwise.of(conv))
    return network
