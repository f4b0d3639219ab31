"""The networks of footsteps: published size, normalisation, attention, ablations."""

import pytest
import torch
from torch.nn.functional import group_norm, layer_norm

from calcium_decoding.errors import ParameterError
from calcium_decoding.models import hybrid, names

FOOTSTEP = {"footstep": 3}
FEET = FOOTSTEP | {"contralateral": 2, "ipsilateral": 2}
PUBLISHED, HEADS = FEET | {"activity": 1}, FEET | {"kinematics": 4, "activity": 1}
TINY = hybrid.HybridSize(8, 0.2, 4, (8, 8, 16))


def test_the_published_network_has_the_published_number_of_parameters():
    network = hybrid.build("hybrid", 431, PUBLISHED, "april_17")
    assert sum(p.numel() for p in network.parameters()) == 4_529_553


def test_the_earlier_version_is_smaller_and_has_its_own_heads_and_dropout():
    size = hybrid.SIZES["april_9"]
    assert (size.units, size.dropout, size.attention_heads) == (128, 0.5, 8)
    network = hybrid.build("hybrid", 431, PUBLISHED, "april_9")
    # By hand: convolutions, skip and norms; LSTM; attention; heads with outputs 3, 2, 2, 1.
    convolutions = 431 * 64 * 3 + 64 + 64 * 128 * 3 + 128 + 128 * 256 * 3 + 256 + 6 * 448 + 9 + 431 * 256 + 256 + 512
    lstm = 2 * (4 * 128 * (256 + 128) + 8 * 128) * 2
    attention = 4 * (256 * 256 + 256)
    heads = 4 * (256 * 128 + 128 + 2 * 128) + 129 * 8
    assert sum(p.numel() for p in network.parameters()) == convolutions + lstm + attention + heads


def test_mixed_norm_is_the_weighted_sum_of_three():
    torch.manual_seed(0)
    x, norm = torch.randn(5, 16, 7), hybrid.MixedNorm(16)
    norm.mix.data = torch.tensor([0.3, -1.0, 2.0])
    weights = torch.softmax(norm.mix, 0)
    batch = (x - x.mean((0, 2), keepdim=True)) / (x.var((0, 2), unbiased=False, keepdim=True) + 1e-5).sqrt()
    layer = layer_norm(x.transpose(1, 2), (16,)).transpose(1, 2)
    wanted = weights[0] * batch + weights[1] * group_norm(x, 8) + weights[2] * layer
    torch.testing.assert_close(norm(x), wanted)


@pytest.mark.parametrize("name", names.FOOTSTEP_NETWORKS)
def test_every_network_gives_every_head_and_follows_the_seed(name):
    x = torch.randn(3, 6, 9)
    one, again, other = (hybrid.build(name, 9, HEADS, TINY, seed).eval() for seed in (1, 1, 2))
    outputs = one(x)
    assert {head: tuple(v.shape) for head, v in outputs.items()} == {h: (3, n) for h, n in HEADS.items()}
    torch.testing.assert_close(outputs, again(x))
    assert not torch.equal(outputs["footstep"], other(x)["footstep"])


def test_an_ablation_lacks_the_part_it_is_named_after():
    kinds = {name: {type(m) for m in hybrid.build(name, 9, FOOTSTEP, TINY).modules()}
             for name in names.FOOTSTEP_NETWORKS}
    part = {"no_attention": torch.nn.MultiheadAttention, "no_convolution": torch.nn.Conv1d,
            "no_bilstm": torch.nn.LSTM}
    for name, kind in part.items():
        assert kind in kinds["hybrid"] and kind not in kinds[name]
        assert set(part.values()) - {kind} <= kinds[name]


def test_attention_weights_are_those_that_make_the_output():
    x, network = torch.randn(2, 6, 9), hybrid.build("hybrid", 9, FOOTSTEP, TINY).eval()
    weights = network.attention_weights(x)
    assert weights.shape == (2, 4, 6, 6)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 6))
    # Rebuild the output of the attention from the weights and the values.
    features, attention = network.features(x), network.attention
    value = features @ attention.in_proj_weight[32:].T + attention.in_proj_bias[32:]
    mixed = torch.einsum("bhts,bshd->bthd", weights, value.view(2, 6, 4, 4)).reshape(2, 6, 16)
    pooled = attention.out_proj(mixed).mean(1)
    torch.testing.assert_close(network.heads["footstep"](pooled), network(x)["footstep"])


def test_the_lstm_looks_at_the_last_step_of_windows_in_order():
    network = hybrid.build("lstm", 9, FOOTSTEP).eval()
    x = torch.randn(2, 6, 9)
    assert not torch.allclose(network(x)["footstep"], network(x.flip(1))["footstep"])
    torch.testing.assert_close(network.heads["footstep"](network.dense(network.lstm(x)[0][:, -1])),
                               network(x)["footstep"])


@pytest.mark.parametrize("arguments", [("cnn", 9, FOOTSTEP), ("hybrid", 0, FOOTSTEP), ("hybrid", 9, {"feet": 0}),
                                       ("hybrid", 9, {}), ("hybrid", 9, FOOTSTEP, "may_1")])
def test_what_cannot_be_built_is_refused(arguments):
    with pytest.raises(ParameterError):
        hybrid.build(*arguments)


def test_no_attention_weights_without_attention():
    network = hybrid.build("no_attention", 9, FOOTSTEP, TINY)
    with pytest.raises(ParameterError, match="attention"):
        network.attention_weights(torch.randn(2, 6, 9))
