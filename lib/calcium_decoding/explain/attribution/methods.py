"""Six attribution methods: which ROIs, and which frames, a decoder uses."""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch

from calcium_decoding.errors import ParameterError
from calcium_decoding.explain import deep_shap

# Name: how a figure calls it.
METHODS = {"deep_shap": "Deep SHAP", "expected_gradients": "expected gradients",
           "gradient_input": "gradient × input", "masking": "masking", "weights": "logistic weights",
           "patterns": "forward patterns"}
LINEAR = ("weights", "patterns")
OF_NETWORKS = tuple(name for name in METHODS if name not in LINEAR)


@dataclass(frozen=True, eq=False)
class Map:
    """How much each ROI and each frame counts.

    Attributes
    ----------
    by_roi : ndarray, shape (n_roi,), float64
        0 or more. Its unit depends on the method: compare orders, not sizes.
    by_frame : ndarray, shape (length,), float64, or None
        None if the method uses one frame only.
    """

    by_roi: np.ndarray
    by_frame: np.ndarray | None = None


def of_network(decoder, windows, background, names=OF_NETWORKS, output="probability", n_samples=50, seed=0):
    """Maps of a trained network by several methods.

    Parameters
    ----------
    decoder : RecurrentDecoder or KerasDecoder
    windows, background : ndarray, shape (n, length, n_roi) and (m, length, n_roi), float32
        To be explained, and what they are compared with.
    names : sequence of str
        Of :data:`OF_NETWORKS`.
    output : {"probability", "logit"}
        What is explained.
    n_samples : int
        Of expected gradients, for each window.
    seed : int
        Of these samples.

    Returns
    -------
    dict of str to Map
        Values of single inputs are averaged over windows without their sign; by ROI they are then summed over frames,
        by frame over ROIs. Masking sets a ROI, or a frame, to its mean over the background.

    Raises
    ------
    ParameterError
        An unknown method; or the package shap, which expected gradients come from, is not installed.
    """
    if unknown := set(names) - set(OF_NETWORKS):
        raise ParameterError("methods", ", ".join(sorted(unknown)), f"of {', '.join(OF_NETWORKS)}", "name these")
    decoder.eval()
    model = _Output(decoder, output)
    found = {}
    for name in names:
        if name == "deep_shap":
            inputs = deep_shap.values(decoder, windows, background, output).values
        elif name == "expected_gradients":
            inputs = expected_gradients(model, windows, background, n_samples, seed)
        elif name == "gradient_input":
            inputs = _gradients(model, windows) * windows
        else:
            found[name] = _masking(model, windows, background)
            continue
        size = np.abs(inputs).mean(axis=0, dtype=float)
        found[name] = Map(size.sum(axis=0), size.sum(axis=1))
    return found


def expected_gradients(model, windows, background, n_samples, seed):
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
    """Maps of logistic regression on the labelled frame: its weights, and the pattern they stand for.

    Parameters
    ----------
    weights : ndarray, shape (n_roi,)
    frames : ndarray, shape (n, n_roi)
        Training frames.

    Returns
    -------
    dict of str to Map
        ``weights``, without sign; ``patterns``: covariance of each ROI with the logit, without sign, over the SD of the
        logit. A weight may serve to cancel noise that other ROIs carry; a pattern says where the signal is that the
        decoder extracts (Haufe et al. 2014, DOI 10.1016/j.neuroimage.2013.10.067).
    """
    centred = np.asarray(frames, dtype=float)
    centred = centred - centred.mean(axis=0)
    logit = centred @ weights
    spread = logit.std() or 1.0
    return {"weights": Map(np.abs(weights)), "patterns": Map(np.abs(centred.T @ logit) / len(logit) / spread)}


def randomised(decoder, what, seed):
    """A copy of a network some of whose weights are drawn anew, from the top down.

    Parameters
    ----------
    decoder : torch.nn.Module
    what : {"readout", "all"}
        The last layer, or every layer.
    seed : int

    Notes
    -----
    Each weight matrix is shuffled: the sizes of the weights stay, what was learnt is gone. Adebayo et al. 2018, arXiv
    1810.03292.
    """
    if what not in ("readout", "all"):
        raise ParameterError("what", repr(what), "readout or all", "name one of these")
    generator, copy = torch.Generator().manual_seed(seed), deepcopy(decoder)
    for name, weight in copy.named_parameters():
        if what == "all" or name.startswith("readout"):
            order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
            weight.data = weight.data.flatten()[order].reshape(weight.shape)
    return copy


def predictor(network):
    """A function that gives logits, shape (n,), float64, of windows, shape (n, length, n_roi), float32."""
    def predict(windows):
        with torch.inference_mode():
            return network(torch.from_numpy(windows)).double().numpy()

    return predict


class _Output(torch.nn.Module):
    """Output of a decoder with a second axis, which the package shap wants."""

    def __init__(self, decoder, output):
        super().__init__()
        self.decoder, self.of_probability = decoder, output == "probability"

    def forward(self, windows):
        logits = self.decoder(windows)
        return (logits.sigmoid() if self.of_probability else logits)[:, None]


def _gradients(model, windows):
    x = torch.from_numpy(windows).requires_grad_()
    gradients, = torch.autograd.grad(model(x).sum(), x)
    return gradients.numpy()


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
