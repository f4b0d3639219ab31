"""Methods and measures of attribution against closed forms, enumeration and planted effects."""

import importlib.util

import numpy as np
import pytest
import torch

from calcium_decoding import models
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import metrics
from calcium_decoding.explain import attribution, deep_shap
from tests.conftest import ROOT
from tests.explain.test_deep_shap import shapley_by_enumeration, trained_decoder, windows_of

RNG = np.random.default_rng(0)
SPEC = importlib.util.spec_from_file_location("sampling", ROOT / "benchmarks" / "shapley_agreement.py")
sampling = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(sampling)


def nearly_linear_decoder(n_roi=6):
    """A simple recurrent network so near to its linear regime that its logit is linear in the windows."""
    decoder = models.build("rnn", n_roi, 4, 0)
    decoder.recurrent.weight_ih_l0.data *= 1e-3
    return decoder


def linear_weights(decoder, length, n_roi):
    x = torch.zeros(1, length, n_roi).requires_grad_()
    decoder(x).sum().backward()
    return x.grad.numpy()[0]


def test_of_a_linear_network_every_method_gives_its_closed_form():
    """Shapley values and expected gradients are w (x - mean), gradient times input w x, masking the sum over frames."""
    decoder, windows, background = nearly_linear_decoder(), windows_of(12, 9, 6) + 1, windows_of(20, 9, 6, seed=2)
    found = attribution.of_network(decoder, windows, background, output="logit", n_samples=200)
    weights = linear_weights(decoder, 9, 6)
    exact = weights * (windows - background.mean(axis=0))
    wanted = {"deep_shap": np.abs(exact).mean(axis=0).sum(axis=0),
              "gradient_input": np.abs(weights * windows).mean(axis=0).sum(axis=0),
              "masking": np.abs(exact.sum(axis=1)).mean(axis=0)}
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name].by_roi, values, rtol=2e-3)
    np.testing.assert_allclose(found["deep_shap"].by_frame, np.abs(exact).mean(axis=0).sum(axis=1), rtol=2e-3)
    np.testing.assert_allclose(found["masking"].by_frame, np.abs(exact.sum(axis=2)).mean(axis=0), rtol=2e-3)
    np.testing.assert_allclose(found["expected_gradients"].by_roi, wanted["deep_shap"], rtol=0.15)  # sampled


def test_on_a_linear_world_precision_at_k_is_one_for_every_method():
    """Two ROIs carry the label; every method has to name them."""
    rng = np.random.default_rng(1)
    run = (np.arange(1200) // 60 % 2).astype(float)
    frames = rng.normal(size=(1200, 6)) + np.outer(run, [0, 0, 2.0, 0, 2.0, 0])
    frames = frames.astype(np.float32)
    decoder = nearly_linear_decoder()
    decoder.recurrent.weight_ih_l0.data[:, [0, 1, 3, 5]] *= 0.1
    windows = np.stack([frames[i : i + 5] for i in range(0, 1100, 50)])
    found = attribution.of_network(decoder, windows, windows[::3], output="logit")
    weights = np.array([0, 0, 1.0, 0, 1.0, 0])
    found |= attribution.of_weights(weights, frames)
    assert set(found) == set(attribution.METHODS)
    for one in found.values():
        assert attribution.precision_at(one.by_roi, [0, 0, 1, 0, 1, 0], 2) == 1


def test_weights_cancel_noise_and_patterns_do_not():
    """Haufe's example: the second ROI holds the noise of the first and no signal; its weight is -1, its pattern 0."""
    rng = np.random.default_rng(3)
    signal, noise = rng.normal(size=(2, 200_000))
    found = attribution.of_weights(np.array([1.0, -1.0]), np.column_stack([signal + noise, noise]))
    np.testing.assert_allclose(found["weights"].by_roi, [1, 1])
    np.testing.assert_allclose(found["patterns"].by_roi, [1, 0], atol=0.01)


def test_randomised_weights_are_the_old_ones_in_another_order_top_first():
    decoder = models.build("gru", 5, 3, 0)
    top, whole = (attribution.randomised(decoder, what, 1) for what in ("readout", "all"))
    before, after = dict(decoder.named_parameters()), dict(top.named_parameters())
    for name, weight in before.items():
        changed = not torch.equal(weight, after[name])
        assert changed == (name == "readout.weight")
        shuffled = dict(whole.named_parameters())[name]
        assert torch.equal(weight.flatten().sort().values, shuffled.flatten().sort().values)
    assert not torch.equal(before["recurrent.weight_ih_l0"], dict(whole.named_parameters())["recurrent.weight_ih_l0"])
    with pytest.raises(ParameterError, match="readout or all"):
        attribution.randomised(decoder, "gru", 1)


def test_measures_of_agreement():
    truth = np.arange(10.0)
    assert attribution.precision_at(truth, truth, 3) == 1 and attribution.precision_at(-truth, truth, 3) == 0
    assert attribution.precision_at([0, 0, 9, 1], [0, 9, 9, 0], 2) == 0.5
    assert attribution.rank_agreement(truth**3, truth) == pytest.approx(1)
    assert attribution.rank_agreement(truth, np.ones(10)) == 0
    assert attribution.asymmetry([3.0, 3.0, 1.0, 1.0]) == pytest.approx(0.5)
    assert attribution.centre_of_frames([0, 0, 1, 1, 0], 2) == pytest.approx(0.5)
    assert attribution.late_over_early([1, 1, 5, 5, 4, 4]) == pytest.approx(4)
    with pytest.raises(DataError, match="zero"):
        attribution.centre_of_frames(np.zeros(5), 2)
    with pytest.raises(DataError, match="zero"):
        attribution.late_over_early([0, 1, 1])


def test_surrogates_have_the_values_and_the_smoothness_of_the_map_and_nothing_else_of_it():
    place = np.linspace(0, 1, 50)
    likeness = np.exp(-((place[:, None] - place) ** 2) / 0.02)
    smooth_map, rough_map = np.sin(4 * place) + 1.1, np.random.default_rng(0).random(50)
    weights = likeness * (1 - np.eye(50))
    for by_roi in (smooth_map, rough_map):
        found = attribution.surrogates(by_roi, likeness, 40, seed=1)
        np.testing.assert_array_equal(np.sort(found, axis=1), np.tile(np.sort(by_roi), (40, 1)))
        smoothness = [attribution.morans_i(one, weights) for one in found]
        assert np.mean(smoothness) == pytest.approx(attribution.morans_i(by_roi, weights), abs=0.15)
        assert abs(np.mean([attribution.rank_agreement(one, by_roi) for one in found])) < 0.25
    shuffled = [attribution.morans_i(np.random.default_rng(i).permutation(smooth_map), weights) for i in range(40)]
    assert np.mean(shuffled) < attribution.morans_i(smooth_map, weights) - 0.5


def test_morans_i_is_that_of_its_definition():
    rng = np.random.default_rng(5)
    x, w = rng.normal(size=7), rng.random((7, 7))
    z = x - x.mean()
    wanted = 7 / w.sum() * sum(w[i, j] * z[i] * z[j] for i in range(7) for j in range(7)) / (z**2).sum()
    assert attribution.morans_i(x, w) == pytest.approx(wanted)


def test_curves_fall_and_rise_with_the_roi_that_carries_the_label():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 400)
    windows = rng.normal(size=(400, 3, 4)).astype(np.float32)
    windows[:, :, 2] += 3 * labels[:, None]

    def predict(some):
        return some.sum(axis=(1, 2))

    def areas(by_roi):
        deletion, insertion = attribution.curve_areas(predict, windows, labels, np.zeros(4), np.array(by_roi))
        assert len(deletion) == len(insertion) == 2  # one ROI and two of four
        return deletion, insertion

    good, bad = areas([0, 0, 1, 0]), areas([3, 2, 0, 1])
    assert good[0][0] < 0.6 and good[1][0] > 0.99
    assert bad[0][0] > 0.9 and bad[1][0] < 0.6
    alone = windows[:, :, 2].sum(axis=1)
    assert good[1][0] == pytest.approx(metrics.auc(labels, alone))


def test_sampled_shapley_values_are_those_of_all_coalitions():
    decoder = trained_decoder("gru")
    windows, background = windows_of(3, 6, 3, 8), windows_of(8, 6, 3, 9)
    players = np.tile(np.arange(3), (6, 1))
    found = sampling.sampled(decoder, windows, background, players, n_pairs=20, seed=0)
    for output, halves in found.items():
        wanted = shapley_by_enumeration(decoder, windows, background, output)
        np.testing.assert_allclose(halves.mean(axis=0), wanted, atol=0.03 * np.ptp(wanted))
        sums = deep_shap.values(decoder, windows, background, output)
        np.testing.assert_allclose(halves.sum(axis=2), np.tile(sums.outputs - sums.base, (2, 1)), atol=1e-5)


def test_sampled_shapley_values_of_a_linear_network_are_exact_for_any_players():
    decoder, windows, background = nearly_linear_decoder(), windows_of(3, 9, 6), windows_of(5, 9, 6, seed=2)
    inputs = linear_weights(decoder, 9, 6) * (windows - background.mean(axis=0))
    for players in (np.arange(54).reshape(9, 6), np.tile(np.arange(9)[:, None], (1, 6))):
        halves = sampling.sampled(decoder, windows, background, players, seed=3)["logit"]
        wanted = np.stack([np.bincount(players.ravel(), one.ravel()) for one in inputs])
        np.testing.assert_allclose(halves[0], wanted, atol=2e-3 * np.abs(wanted).max())


def test_what_they_refuse():
    windows, players = windows_of(2, 9, 6), np.tile(np.arange(6), (9, 1))
    with pytest.raises(ParameterError, match="n_pairs"):
        sampling.sampled(nearly_linear_decoder(), windows, windows, players, n_pairs=3)
    with pytest.raises(DataError, match="players"):
        sampling.sampled(nearly_linear_decoder(), windows, windows, players[:5])
    with pytest.raises(DataError, match="gaps"):
        sampling.sampled(nearly_linear_decoder(), windows, windows, players * 2)
