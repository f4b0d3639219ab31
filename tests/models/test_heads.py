"""Losses, weights and meanings of outputs against closed forms."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from calcium_decoding.errors import ParameterError
from calcium_decoding.models.heads import BINARY, Head, Heads, class_weights


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(("head", "shape", "kind"), [
    (BINARY, (), torch.float32), (Head("classes", 2), (2,), torch.int64), (Head("classes", 5), (5,), torch.int64),
    (Head("continuous"), (), torch.float32), (Head("continuous", 3), (3,), torch.float32)])
def test_shape_of_outputs_and_type_of_labels(head, shape, kind):
    assert head.shape == shape and head.label_type is kind


@pytest.mark.parametrize("given", [("classes", 1), ("binary", 2), ("other", 1), ("continuous", 0)])
def test_a_head_that_has_no_meaning_is_refused(given):
    with pytest.raises(ParameterError, match=f"{given[0]} of size {given[1]}"):
        Head(*given)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_binary_loss_is_the_cross_entropy_of_smoothed_labels(smoothing):
    x, y = rng().normal(size=20), rng().integers(0, 2, 20)
    p, q = 1 / (1 + np.exp(-x)), y * (1 - smoothing) + smoothing / 2
    expected = -(q * np.log(p) + (1 - q) * np.log(1 - p)).mean()
    found = BINARY.loss(torch.tensor(x), torch.tensor(y, dtype=torch.float64), smoothing)
    assert np.isclose(float(found), expected) and np.allclose(BINARY.decoded(x), p)
    assert BINARY.weights(y) is None


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("balanced", [True, False])
def test_the_loss_of_classes_is_the_weighted_cross_entropy(smoothing, balanced):
    head, x, y = Head("classes", 3, balanced), rng().normal(size=(30, 3)), rng().choice(3, 30, p=[0.7, 0.2, 0.1])
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    w = class_weights(y, 3) if balanced else np.ones(3)
    q = (1 - smoothing) * np.eye(3)[y] + smoothing / 3
    expected = -(q * w * np.log(p)).sum() / w[y].sum()  # as torch.nn.CrossEntropyLoss is documented
    weights = head.weights(y)
    assert (weights is None) != balanced
    found = head.loss(torch.tensor(x), torch.tensor(y), smoothing, None if weights is None else weights.double())
    assert np.isclose(float(found), expected, rtol=1e-6)
    assert np.allclose(head.decoded(x), p) and np.allclose(head.decoded(x).sum(axis=1), 1)


def test_balanced_classes_count_alike():
    x, y = rng().normal(size=(50, 3)), np.repeat([0, 1, 2], [40, 7, 3])
    head = Head("classes", 3)
    found = head.loss(torch.tensor(x), torch.tensor(y), weights=head.weights(y).double())
    nll = -(x - np.log(np.exp(x).sum(axis=1, keepdims=True)))[np.arange(50), y]
    assert np.isclose(float(found), np.mean([nll[y == i].mean() for i in range(3)]), rtol=1e-6)


def test_class_weights_are_those_of_scikit_learn_and_0_where_there_is_no_sample():
    y = rng().choice(4, 100, p=[0.5, 0.3, 0.15, 0.05])
    assert np.allclose(class_weights(y, 4), compute_class_weight("balanced", classes=np.arange(4), y=y))
    assert np.isclose(class_weights(y, 4)[y].mean(), 1)
    assert np.allclose(class_weights(np.array([0, 0, 0, 2]), 4), [4 / 6, 0, 2, 0])


def test_the_loss_of_quantities_is_the_squared_error_in_their_units():
    x, y, unit = rng().normal(size=(2, 10, 2))[0], rng().normal(size=(10, 2)) * [1, 50], np.array([1.0, 50.0])
    head = Head("continuous", 2)
    assert np.isclose(float(head.loss(torch.tensor(x), torch.tensor(y))), ((x - y) ** 2).mean())
    found = head.loss(torch.tensor(x), torch.tensor(y), label_smoothing=0.5, scale=torch.tensor(unit))
    assert np.isclose(float(found), (((x - y) / unit) ** 2).mean())
    assert np.array_equal(head.decoded(x), x) and head.weights(y) is None


def test_huge_logits_stay_probabilities():
    assert np.array_equal(BINARY.decoded([-1e4, 0, 1e4]), [0, 0.5, 1])
    assert np.array_equal(Head("classes", 2).decoded([[1e4, -1e4], [-np.inf, 0]]), [[1, 0], [0, 1]])


@pytest.mark.parametrize("name", ["type", "paw.x", "training", "keys", ""])
def test_names_of_heads_that_no_part_of_a_network_can_have_are_refused(name):
    with pytest.raises(ParameterError, match="no dot"):
        Heads({"footstep": Head("classes", 3), name: BINARY})
    Heads({"footstep": Head("classes", 3), "each": BINARY})
