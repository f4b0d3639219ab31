"""Class-weighted focal loss, with and without mixup."""

import numpy as np
from torch.nn.functional import cross_entropy, log_softmax


def class_weights(labels, n_classes):
    """Inverse frequency of each class, shape (n_classes,), mean 1 over the samples; 0 where a class does not occur."""
    count = np.bincount(labels, minlength=n_classes)
    present = count > 0
    return np.where(present, len(labels) / (present.sum() * np.maximum(count, 1)), 0.0)


def focal_loss(logits, labels, weights, gamma, mix=None):
    """Class-weighted focal loss, ``sum w_y (1 - p_y)^gamma (-log p_y) / sum w_y``.

    Lin, Goyal, Girshick, He, Dollar 2017, arXiv 1708.02002. With ``gamma`` 0 it is the weighted cross entropy.

    Parameters
    ----------
    logits : Tensor, shape (n, n_classes)
    labels : Tensor of int64, shape (n,)
    weights : Tensor, shape (n_classes,)
    gamma : float
    mix : (Tensor (n,), Tensor of int64 (n,)), optional
        Of mixup: weight of a sample's own label, and the label of the sample mixed in.
    """
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
