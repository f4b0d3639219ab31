"""What a decoder uses, by six methods, and what such maps are held against: truth, random maps, deletion."""

from copy import deepcopy
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import metrics
from calcium_decoding.explain import deep_shap

# Name: how a figure calls it.
METHODS = {"deep_shap": "Deep SHAP", "expected_gradients": "expected gradients",
           "gradient_input": "gradient × input", "masking": "masking", "weights": "logistic weights",
           "patterns": "forward patterns"}
STEPS = (1, 2, 4, 8, 16)  # ROIs deleted, or inserted, and none; those below the number of ROIs are used


class Map(NamedTuple):
    """How much each ROI, (n_roi,), and each frame, (length,) (None of one frame), counts: 0 or more, in a unit of its
    own."""

    by_roi: np.ndarray
    by_frame: np.ndarray | None = None


def of_network(decoder, windows, background, output="probability", n_samples=50, seed=0):
    """Maps of a trained network by the methods for networks, dict of str to Map.

    ``windows``, shape (n, length, n_roi), are explained by comparison with ``background``, (m, length, n_roi), float32.
    ``n_samples``: of expected gradients, for each window. Values of single inputs are averaged over windows without
    their sign, then summed. Masking sets a ROI, or a frame, to its mean over the background. Raises ParameterError: the
    package shap is not installed.
    """
    decoder.eval()
    model, x = _Output(decoder, output), torch.from_numpy(windows).requires_grad_()
    gradients, = torch.autograd.grad(model(x).sum(), x)
    of_inputs = {"deep_shap": deep_shap.values(decoder, windows, background, output).values,
                 "expected_gradients": _expected_gradients(model, windows, background, n_samples, seed),
                 "gradient_input": gradients.numpy() * windows}
    sizes = {name: np.abs(inputs).mean(axis=0, dtype=float) for name, inputs in of_inputs.items()}
    return {**{name: Map(size.sum(axis=0), size.sum(axis=1)) for name, size in sizes.items()},
            "masking": _masking(model, windows, background)}


def _expected_gradients(model, windows, background, n_samples, seed):
    """Gradients at points between a window and background windows, times the way (Erion et al. 2021, DOI
    10.1038/s42256-021-00343-w), by shap's GradientExplainer: ndarray, shape (n, length, n_roi)."""
    try:
        import shap
    except ImportError as error:
        raise ParameterError("methods", "expected_gradients, without the package shap", "shap installed",
                             "pip install 'calcium-decoding[book]'") from error
    explainer = shap.GradientExplainer(model, torch.from_numpy(background))
    with torch.random.fork_rng(devices=[]):  # shap may draw from the global state
        found = explainer.shap_values(torch.from_numpy(windows), nsamples=n_samples, rseed=seed)
    return np.reshape(found, windows.shape)


def of_weights(weights, frames):
    """Maps of logistic regression on the labelled frame: ``weights``, shape (n_roi,), without sign, and ``patterns``:
    the covariance of each ROI with the logit over training ``frames``, (n, n_roi), without sign, over the SD of the
    logit. A weight may serve to cancel noise; a pattern says where the signal is (Haufe et al. 2014, DOI
    10.1016/j.neuroimage.2013.10.067)."""
    centred = np.asarray(frames, dtype=float)
    centred = centred - centred.mean(axis=0)
    logit = centred @ weights
    spread = logit.std() or 1.0
    return {"weights": Map(np.abs(weights)), "patterns": Map(np.abs(centred.T @ logit) / len(logit) / spread)}


def randomised(decoder, what, seed):
    """A copy of a network with shuffled weights: of ``"readout"``, the last layer, or ``"all"``. Their sizes stay, what
    was learnt is gone (Adebayo et al. 2018, arXiv 1810.03292)."""
    if what not in ("readout", "all"):
        raise ParameterError("what", repr(what), "readout or all", "name one of these")
    generator, copy = torch.Generator().manual_seed(seed), deepcopy(decoder)
    for name, weight in copy.named_parameters():
        if what == "all" or name.startswith("readout"):
            order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
            weight.data = weight.data.flatten()[order].reshape(weight.shape)
    return copy


class _Output(torch.nn.Module):
    """Output of a decoder with a second axis, which the package shap wants."""

    def __init__(self, decoder, output):
        super().__init__()
        self.decoder, self.of_probability = decoder, output == "probability"

    def forward(self, windows):
        logits = self.decoder(windows)
        return (logits.sigmoid() if self.of_probability else logits)[:, None]


def _masking(model, windows, background):
    """Mean absolute change of the output when a ROI, or a frame, is set to its mean over the background."""
    mean, changes = background.mean(axis=0), []
    with torch.inference_mode():
        before = model(torch.from_numpy(windows))
        for axis in (2, 1):
            sizes = np.empty(windows.shape[axis])
            for i in range(len(sizes)):
                where = (slice(None),) * axis + (i,)
                masked = windows.copy()
                masked[where] = mean[where[1:]]
                sizes[i] = float((model(torch.from_numpy(masked)) - before).abs().mean())
            changes.append(sizes)
    return Map(*changes)


def precision_at(by_roi, truth, k):
    """Share of the ``k`` largest of a map by ROI that are among those of the truth; of equals the first count."""
    return len(set(_largest(by_roi)[:k].tolist()) & set(_largest(truth)[:k].tolist())) / k


def rank_agreement(a, b):
    """Spearman's rank correlation of two maps; 0 if one of them is constant, and so says nothing."""
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    return float(stats.spearmanr(a, b).statistic) if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0


def asymmetry(by_roi):
    """(left - right) / (left + right) of a map whose first half of ROIs lies left, the other right; -1 to 1."""
    left, right = np.sum(by_roi[: len(by_roi) // 2]), np.sum(by_roi[len(by_roi) // 2 :])
    return float((left - right) / (left + right)) if left + right > 0 else 0.0


def centre_of_frames(by_frame, past_frames):
    """Centre of mass over frames, frames from the labelled one; positive: after it."""
    by_frame = np.asarray(by_frame, dtype=float)
    if not by_frame.sum() > 0:
        raise DataError("map by frame", "zero everywhere", "a frame that counts", "explain another network")
    return float((np.arange(len(by_frame)) - past_frames) @ by_frame / by_frame.sum())


def late_over_early(by_frame):
    """Sum over the last third of the window over that of the first; 1 if all frames count alike."""
    third = max(1, len(by_frame) // 3)
    early = float(np.sum(by_frame[:third]))
    if not early > 0:
        raise DataError("map by frame", "zero in the first third", "frames that count", "explain another network")
    return float(np.sum(by_frame[-third:])) / early


def surrogates(by_roi, likeness, n, seed):
    """Random maps, shape (n, n_roi), with the very values of a map, as smooth as it is. ``likeness``, shape (n_roi,
    n_roi): similarity of ROIs, such as their correlation. A shuffled map is smoothed over like ROIs, in the degree that
    comes nearest to Moran's I of the map, and its ranks get the values of the map. After Burt et al. 2020, DOI
    10.1016/j.neuroimage.2020.117038, who match a variogram over distances."""
    by_roi, rng = np.asarray(by_roi, dtype=float), np.random.default_rng(seed)
    weights = np.clip(likeness, 0, None) * (1 - np.eye(len(by_roi)))
    rows = weights.sum(axis=1, keepdims=True)
    smoother = np.divide(weights, rows, out=np.zeros_like(weights), where=rows > 0)
    wanted, in_order, found = morans_i(by_roi, weights), np.sort(by_roi), np.empty((n, len(by_roi)))
    for i in range(n):
        z, tried = rng.permutation(_standardised(by_roi)), []
        once = _standardised(smoother @ z)
        twice = _standardised(smoother @ once)
        for share in np.linspace(0, 2, 17):
            blend = share * once + (1 - share) * z if share <= 1 else (share - 1) * twice + (2 - share) * once
            mixed = np.empty_like(z)
            mixed[np.argsort(blend, kind="stable")] = in_order
            tried.append((abs(morans_i(mixed, weights) - wanted), mixed))
        found[i] = min(tried, key=lambda pair: pair[0])[1]
    return found


def morans_i(by_roi, weights):
    """Moran's I: how alike the values of like ROIs are; 0 of a constant map."""
    z = np.asarray(by_roi, dtype=float) - np.mean(by_roi)
    if not (z @ z > 0 and weights.sum() > 0):
        return 0.0
    return float(len(z) * (z @ weights @ z) / (weights.sum() * (z @ z)))


def curve_areas(predict, windows, labels, fill, by_roi):
    """AUC at each of :data:`STEPS` of deletion and of insertion: ROIs are set to ``fill``, shape (n_roi,), in windows,
    or put into windows that are filled, the largest of a map first. ``predict`` gives an output, shape (n,), of
    windows, shape (n, length, n_roi). A good map has a low mean of the first and a high mean of the second (Petsiuk et
    al. 2018, arXiv 1806.07421)."""
    order, without, alone = _largest(by_roi), windows.copy(), np.empty_like(windows)
    alone[:] = fill
    deletion, insertion, done = [], [], 0
    for k in (k for k in STEPS if k < windows.shape[2]):
        some, done = order[done:k], k
        without[..., some], alone[..., some] = fill[some], windows[..., some]
        deletion.append(float(metrics.auc(labels, predict(without))))
        insertion.append(float(metrics.auc(labels, predict(alone))))
    return deletion, insertion


def _largest(by_roi):
    return np.argsort(-np.asarray(by_roi, dtype=float), kind="stable")


def _standardised(values):
    return (values - values.mean()) / (values.std() or 1.0)
