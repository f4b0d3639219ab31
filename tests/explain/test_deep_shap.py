"""Deep SHAP against closed forms, Shapley values by enumeration, and the package shap."""

from copy import deepcopy
from itertools import combinations
from math import factorial

import numpy as np
import pytest
import torch

from calcium_decoding import models
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.explain import deep_shap
from calcium_decoding.explain.deep_shap import explanation
from calcium_decoding.models import RecurrentDecoder, names


def windows_of(n, length=9, n_roi=4, seed=0):
    """Windows that are smooth in time, as signals are."""
    steps = np.random.default_rng(seed).normal(size=(n, length, n_roi))
    return (np.cumsum(steps, axis=1) / np.sqrt(length)).astype(np.float32)


def decoder_of(model, n_roi=4, gain=2.0, seed=1):
    """A decoder whose gates and biases are away from where they begin, so that every rule matters."""
    decoder = models.build(model, n_roi, 4, seed)
    generator = torch.Generator().manual_seed(seed)
    for weight in decoder.parameters():
        weight.data.mul_(gain).add_(0.2 * torch.randn(weight.shape, generator=generator))
    return decoder


def output_of(decoder, windows, output):
    with torch.inference_mode():
        logits = deepcopy(decoder).double()(torch.from_numpy(windows).double())
    return (torch.sigmoid(logits) if output == "probability" else logits).numpy()


@pytest.mark.parametrize("output", names.OUTPUTS)
@pytest.mark.parametrize("model", names.EXPLAINED)
def test_base_and_values_sum_to_what_the_decoder_itself_gives(model, output):
    windows, background, decoder = windows_of(7), windows_of(11, seed=5), decoder_of(model)
    found = deep_shap.values(decoder, windows, background, output)
    of_background = output_of(decoder, background, output)
    np.testing.assert_allclose(found.base, of_background.mean(), atol=1e-7)
    wanted = output_of(decoder, windows, output)
    np.testing.assert_allclose(found.base + found.values.sum(axis=(1, 2)), wanted, rtol=0, atol=1e-5 * np.ptp(wanted))
    assert found.values.shape == windows.shape and found.error < deep_shap.TOLERANCE
    assert np.abs(found.values).sum() > 0.1 * np.ptp(wanted)


def test_a_decoder_near_its_linear_regime_gives_the_shapley_values_of_a_linear_function():
    """Of f(x) = w x + b they are w (x - mean of the background), and w is the gradient."""
    decoder = models.build("rnn", 4, 4, 0)
    decoder.recurrent.weight_ih_l0.data *= 1e-3
    windows, background = windows_of(5), windows_of(6, seed=2)
    decoder = decoder.double()
    x = torch.from_numpy(windows).double().requires_grad_()
    decoder(x).sum().backward()
    wanted = x.grad.numpy() * (windows - background.mean(axis=0, dtype=float))
    found = deep_shap.values(decoder, windows, background, "logit").values
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def trained_decoder(cell):
    """A small decoder of a rule with an interaction, whose labels are noisy, as real ones are."""
    torch.manual_seed(0)
    x = torch.from_numpy(windows_of(1500, length=6, n_roi=3, seed=0))
    drive = x[:, -1, 0] + 0.5 * x[:, 2, 1] * x[:, -1, 2] - 0.5 * x[:, -1, 1]
    y = (drive + 0.5 * torch.randn(len(x)) > 0).float()
    decoder = RecurrentDecoder(3, hidden=8, cell=cell)
    optimiser = torch.optim.Adam(decoder.parameters(), 0.02)
    for _ in range(80):
        optimiser.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(decoder(x), y).backward()
        optimiser.step()
    assert ((decoder(x) > 0) == (y > 0.5)).float().mean() > 0.8
    return decoder


def shapley_by_enumeration(decoder, windows, background, output):
    """Interventional Shapley values of ROIs, all frames of one together: every coalition, every background window."""
    n_roi = windows.shape[2]
    worth = {}
    for size in range(n_roi + 1):
        for coalition in combinations(range(n_roi), size):
            mixed = np.repeat(background[None], len(windows), axis=0)
            mixed[..., list(coalition)] = windows[:, None][..., list(coalition)]
            flat = mixed.reshape(-1, *windows.shape[1:])
            worth[coalition] = output_of(decoder, flat, output).reshape(len(windows), -1).mean(axis=1)
    values = np.zeros((len(windows), n_roi))
    for roi in range(n_roi):
        for coalition in worth:
            if roi not in coalition:
                weight = factorial(len(coalition)) * factorial(n_roi - len(coalition) - 1) / factorial(n_roi)
                values[:, roi] += weight * (worth[tuple(sorted((*coalition, roi)))] - worth[coalition])
    return values


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_roi_sums_agree_with_shapley_values_by_enumeration(cell):
    """The rules only approximate Shapley values: closely for the logit, less so where the probability saturates."""
    decoder = trained_decoder(cell)
    windows, background = (windows_of(n, length=6, n_roi=3, seed=s) for n, s in ((30, 8), (20, 9)))
    for output, least in (("logit", 0.99), ("probability", 0.97)):
        found = deep_shap.values(decoder, windows, background, output).values.sum(axis=1)
        wanted = shapley_by_enumeration(decoder, windows, background, output)
        assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] >= least


def test_a_network_without_products_agrees_with_the_package_shap():
    """A simple recurrent network written with a module of its own for every tanh, which shap's DeepExplainer needs."""
    shap = pytest.importorskip("shap")
    length, n_roi, hidden = 4, 3, 5
    decoder = RecurrentDecoder(n_roi, hidden, "rnn")
    for weight in decoder.parameters():
        weight.data.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(4)))
    layer = decoder.recurrent

    class Elementary(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.from_input, self.from_state = torch.nn.Linear(n_roi, hidden), torch.nn.Linear(hidden, hidden)
            self.from_input.weight, self.from_input.bias = layer.weight_ih_l0, layer.bias_ih_l0
            self.from_state.weight, self.from_state.bias = layer.weight_hh_l0, layer.bias_hh_l0
            self.tanh = torch.nn.ModuleList(torch.nn.Tanh() for _ in range(length))
            self.readout, self.sigmoid = decoder.readout, torch.nn.Sigmoid()

        def forward(self, x):
            state = x.new_zeros(len(x), hidden)
            for t in range(length):
                state = self.tanh[t](self.from_input(x[:, t]) + self.from_state(state))
            return self.sigmoid(self.readout(state))

    windows, background = (windows_of(n, length, n_roi, s) for n, s in ((6, 1), (10, 2)))
    explainer = shap.DeepExplainer(Elementary(), torch.from_numpy(background))
    theirs = explainer.shap_values(torch.from_numpy(windows))
    ours = deep_shap.values(decoder, windows, background).values
    np.testing.assert_allclose(ours, np.reshape(theirs, ours.shape), rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", ["gru", "lstm", "birnn", "gru_keras"])
def test_values_follow_their_roi_and_a_roi_without_weights_gets_none(model, monkeypatch):
    monkeypatch.setattr(explanation, "TOLERANCE", 1e-9)  # in float64: the order of ROIs changes what float32 rounds to
    windows, background, decoder = windows_of(4), windows_of(6, seed=5), decoder_of(model)
    inputs = [p for name, p in decoder.recurrent.named_parameters() if "weight_ih" in name or name == "kernel"]
    columns = [p.data.t() if name_is_keras(decoder) else p.data for p in inputs]
    for weights in columns:
        weights[:, 2] = 0
    before = deep_shap.values(decoder, windows, background).values
    assert not before[..., 2].any() and np.abs(before).sum(axis=(0, 1))[[0, 1, 3]].min() > 0
    order = [3, 0, 2, 1]
    for weights in columns:
        weights.copy_(weights[:, order].clone())
    after = deep_shap.values(decoder, windows[..., order], background[..., order]).values
    np.testing.assert_allclose(after, before[..., order], rtol=0, atol=1e-10)


def name_is_keras(decoder):
    return hasattr(decoder.recurrent, "kernel")


def test_a_window_that_is_the_background_gets_no_values():
    windows = windows_of(1)
    found = deep_shap.values(decoder_of("gru"), windows, np.repeat(windows, 3, axis=0))
    assert not found.values.any() and found.error == 0


def test_values_do_not_depend_on_how_many_pairs_are_done_at_a_time():
    windows, background, decoder = windows_of(5), windows_of(13, seed=5), decoder_of("bilstm")
    whole = deep_shap.values(decoder, windows, background).values
    for batch in (1, 7, 30):
        some = deep_shap.values(decoder, windows, background, batch=batch).values
        np.testing.assert_allclose(some, whole, rtol=0, atol=2e-6 * np.abs(whole).max() + 1e-7)


def test_the_mean_over_the_background_is_the_mean_of_single_ones():
    windows, background, decoder = windows_of(3), windows_of(4, seed=5), decoder_of("gru")
    single = [deep_shap.values(decoder, windows, background[i : i + 1]).values for i in range(4)]
    np.testing.assert_allclose(deep_shap.values(decoder, windows, background).values, np.mean(single, axis=0),
                               rtol=0, atol=1e-6)


def test_an_output_that_hardly_varies_still_sums():
    """In float32 its rounding alone is more than the tolerance."""
    decoder = decoder_of("gru")
    decoder.readout.weight.data *= 1e-5
    decoder.readout.bias.data += 2.0
    found = deep_shap.values(decoder, windows_of(4), windows_of(5, seed=3))
    assert 0 < np.ptp(found.outputs) < 1e-4 and found.error < deep_shap.TOLERANCE


def test_a_wrong_rule_is_noticed(monkeypatch):
    monkeypatch.setattr("calcium_decoding.explain.deep_shap.cells._middle", lambda pair: pair[0])
    with pytest.raises(DataError, match="sum within"):
        deep_shap.values(decoder_of("gru"), windows_of(4), windows_of(5, seed=3))


def test_what_it_refuses():
    decoder, windows = decoder_of("gru"), windows_of(3)
    with pytest.raises(ParameterError, match=r"SpeedDecoder.*gru, lstm, rnn"):
        deep_shap.values(models.build("speed_gru", 4, 4, 0), windows, windows)
    with pytest.raises(ParameterError, match="LogisticDecoder"):
        deep_shap.values(models.build("logistic", 4, 4, 0), windows, windows)
    with pytest.raises(ParameterError, match="output"):
        deep_shap.values(decoder, windows, windows, "label")
    with pytest.raises(ParameterError, match="batch"):
        deep_shap.values(decoder, windows, windows, batch=0)
    with pytest.raises(DataError, match="background"):
        deep_shap.values(decoder, windows, windows[:, 1:])
    with pytest.raises(DataError, match="not finite"):
        deep_shap.values(decoder, np.full_like(windows, np.nan), windows)
