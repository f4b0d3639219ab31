"""Depthwise convolutions of small pictures: the numbers and gradients of the convolution they stand for."""

import copy

import pytest
import torch
from torch import nn

from calcium_decoding.models.images import cnn
from calcium_decoding.models.images.cnn import SMALL, Depthwise, use_products


def both(conv, rows, columns, seed=0):
    """Output, gradient of input, of weights (and bias) by PyTorch and by ours."""
    torch.manual_seed(seed)
    found = []
    picture, pull = torch.randn(3, conv.in_channels, rows, columns).double(), None
    for one in (copy.deepcopy(conv).double(), Depthwise.of(copy.deepcopy(conv)).double()):
        x = picture.clone().requires_grad_()
        y = one(x)
        pull = torch.randn_like(y) if pull is None else pull
        y.backward(pull)
        found.append([y, x.grad, *(p.grad for p in one.parameters())])
    return found


@pytest.mark.parametrize("rows, columns", [(1, 1), (2, 2), (3, 1), (2, 5), (4, 4), (5, 6)])
@pytest.mark.parametrize("kernel, stride, padding, bias", [(3, 1, 1, False), (5, 1, 2, False), (5, 2, 2, True),
                                                           (3, 2, 1, True), (3, 1, (1, 2), False)])
def test_outputs_and_gradients_are_those_of_the_convolution(rows, columns, kernel, stride, padding, bias):
    conv = nn.Conv2d(7, 7, kernel, stride, padding, groups=7, bias=bias)
    for theirs, ours in zip(*both(conv, rows, columns), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("rows, columns", [(1, 1), (2, 2), (3, 4), (4, 4), (7, 5)])
@pytest.mark.parametrize("kernel, stride", [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_padding_as_in_tensorflow_is_kept(rows, columns, kernel, stride):
    cnn._timm()
    from timm.layers import Conv2dSame

    conv = Conv2dSame(6, 6, kernel, stride, groups=6, bias=False)
    for theirs, ours in zip(*both(conv, rows, columns), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_whole_network_trains_as_before():
    cnn._timm()
    import timm

    torch.manual_seed(1)
    plain = timm.create_model("tf_efficientnet_lite0", drop_rate=0.0).double()
    ours = use_products(copy.deepcopy(plain))
    assert plain.state_dict().keys() == ours.state_dict().keys()
    used = [m for m in ours.modules() if isinstance(m, Depthwise)]
    assert len(used) == sum(isinstance(m, nn.Conv2d) and m.groups > 1 for m in plain.modules()) == 16
    pictures = torch.randn(4, 3, 40, 40).double()
    for network in (plain, ours):
        network.train()(pictures).square().mean().backward()
    for (name, p), q in zip(plain.named_parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(q.grad, p.grad, msg=lambda text, name=name: f"{name}: {text}")


def test_large_pictures_and_predictions_take_the_convolution(monkeypatch):
    layer = Depthwise.of(nn.Conv2d(2, 2, 3, padding=1, groups=2))
    monkeypatch.setattr(Depthwise, "_by_products", lambda *_: pytest.fail("products"))
    layer(torch.randn(1, 2, SMALL, 2))
    with torch.inference_mode():
        layer(torch.randn(1, 2, 1, 1))
