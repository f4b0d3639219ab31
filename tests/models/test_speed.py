"""Models of speed: against scikit-learn, closed forms, planted effects, and Keras' rules of batch normalisation."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from calcium_decoding import models
from calcium_decoding.errors import DataError
from calcium_decoding.models import linear
from calcium_decoding.preprocessing.windows import WindowSet, WindowSpec

SPEC = WindowSpec(6, 4)


def smooth_noise(n, columns, seed):
    return np.cumsum(np.random.default_rng(seed).normal(size=(n, columns)), axis=0) / 10


def window_set(n_frames=600, n_roi=4, seed=0, speed=None):
    """Slow signals; speed is a weighted sum of two of them and of one five frames before, in cm/s, plus noise."""
    signal = smooth_noise(n_frames, n_roi, seed).astype(np.float32)
    if speed is None:
        late = np.roll(signal[:, 2], 5)
        noise = np.random.default_rng(seed + 1).normal(size=n_frames)
        speed = 12 + 3 * signal[:, 0] - 2 * signal[:, 1] + 4 * late + 0.1 * noise
    return WindowSet.build([("r", signal, np.asarray(speed, np.float64), [(0, n_frames)])], SPEC)


def by_hand(windows, offsets):
    return np.stack([window[offsets].ravel() for window in windows.gather(np.arange(len(windows)))]).astype(float)


def test_linear_is_least_squares_on_the_labelled_frame():
    windows, fresh = window_set(), window_set(seed=5)
    decoder = models.build("linear", 4, SPEC.past_frames, seed=1)
    decoder.fit(windows)
    x = np.column_stack([by_hand(windows, [6]), np.ones(len(windows))])
    weights, *_ = np.linalg.lstsq(x, windows.labels, rcond=None)
    found = decoder.output(fresh)
    np.testing.assert_allclose(found, by_hand(fresh, [6]) @ weights[:-1] + weights[-1], rtol=1e-8)
    assert found.dtype == np.float64 and found.shape == (len(fresh),)


@pytest.mark.parametrize("rows", [7, 8192])
def test_ridge_equals_scikit_learn_with_the_penalty_it_chose(monkeypatch, rows):
    monkeypatch.setattr(linear, "ROWS", rows)  # nothing depends on how many rows are held at a time
    windows, fresh = window_set(), window_set(seed=5)
    decoder = models.build("ridge_window", 4, SPEC.past_frames, seed=1)
    decoder.fit(windows)
    x = by_hand(windows, [1, 6])
    peer = Ridge(alpha=decoder.penalty * len(x) * x.var(axis=0).mean()).fit(x, windows.labels)
    np.testing.assert_allclose(decoder.weights, peer.coef_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(decoder.intercept, peer.intercept_, rtol=1e-6)
    np.testing.assert_allclose(decoder.output(fresh), peer.predict(by_hand(fresh, [1, 6])), rtol=1e-6)


@pytest.mark.parametrize("noise", [0.0, 3.0, 100.0])
def test_ridge_chooses_the_penalty_that_refitting_without_each_block_chooses(noise):
    clean = window_set(n_frames=203, n_roi=30)
    speed = np.zeros(203)
    speed[clean.centre] = clean.labels + noise * np.random.default_rng(8).normal(size=len(clean))
    windows = window_set(n_frames=203, n_roi=30, speed=speed)
    x, y = by_hand(windows, [1, 6]), windows.labels

    def error(penalty):
        total = 0.0
        for train, test in KFold(5).split(x):
            alpha = penalty * len(train) * x[train].var(axis=0).mean()
            total += np.sum((Ridge(alpha=alpha).fit(x[train], y[train]).predict(x[test]) - y[test]) ** 2)
        return total

    decoder = linear.RidgeSpeed(SPEC.past_frames, every_frames=5)
    decoder.fit(windows)
    assert decoder.penalty == min(decoder.PENALTIES, key=error)


def test_the_more_noise_the_larger_the_penalty():
    chosen = []
    for noise in (0.0, 1000.0):
        clean = window_set(n_frames=300, n_roi=30)
        speed = np.zeros(300)
        speed[clean.centre] = clean.labels + noise * np.random.default_rng(8).normal(size=len(clean))
        decoder = linear.RidgeSpeed(SPEC.past_frames, every_frames=5)
        decoder.fit(window_set(n_frames=300, n_roi=30, speed=speed))
        chosen.append(decoder.penalty)
    assert chosen[0] < chosen[1]


def test_the_window_beats_the_frame_where_the_past_matters():
    windows = window_set(n_frames=2000)
    errors = {}
    for name in ("linear", "ridge_window"):
        decoder = models.build(name, 4, SPEC.past_frames, seed=1)
        decoder.fit(windows)
        errors[name] = np.mean((decoder.output(windows) - windows.labels) ** 2)
    assert errors["ridge_window"] < 0.02 < errors["linear"]  # the noise has variance 0.01


@pytest.mark.parametrize("name", ["linear", "ridge_window"])
def test_masked_regions_and_a_constant_speed_are_no_trouble(name):
    windows, decoder = window_set(), models.build(name, 4, SPEC.past_frames, seed=1)
    windows.frames[:, 1:] = 0
    decoder.fit(windows)
    x = by_hand(windows, [6] if name == "linear" else [1, 6])[:, ::4]  # what is left of the signal
    alpha = 0 if name == "linear" else decoder.penalty * len(x) * x.var(axis=0).mean() / 4  # 3 of 4 variances are 0
    expected = Ridge(alpha=alpha).fit(x, windows.labels).predict(x)
    np.testing.assert_allclose(decoder.output(windows), expected, rtol=1e-6)
    decoder.fit(window_set(speed=np.full(600, 7.0)))
    np.testing.assert_allclose(decoder.output(windows), 7.0, atol=1e-6)


@pytest.mark.parametrize("name", models.SPEED_MODELS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_speed_that_is_no_number_is_refused(name, bad):
    speed = np.ones(600)
    speed[300] = bad
    decoder, windows = models.build(name, 4, SPEC.past_frames, seed=1), window_set(speed=speed)
    with pytest.raises(DataError, match="training speed"):
        decoder.prepare(windows) if isinstance(decoder, torch.nn.Module) else decoder.fit(windows)


def test_ridge_refuses_a_dead_signal_and_too_few_windows():
    dead = window_set()
    dead.frames[:] = 3.3
    with pytest.raises(DataError, match="never changes"):
        linear.RidgeSpeed(6, 5).fit(dead)
    with pytest.raises(DataError, match="5 or more"):
        linear.RidgeSpeed(6, 5).fit(window_set(n_frames=14))


def test_the_speed_network_has_the_published_layers():
    n = 50
    network = models.build("speed_gru", n, 15, seed=1)
    recurrent = 3 * 64 * (n + 64 + 2) + 3 * 32 * (64 + 32 + 2)
    dense = (32 * 16 + 16) + (16 * 8 + 8) + (8 + 1)
    normalisation = 2 * (32 + 16 + 8)
    assert sum(p.numel() for p in network.parameters()) == recurrent + dense + normalisation
    kinds = [torch.nn.BatchNorm1d, torch.nn.Dropout, torch.nn.Linear, torch.nn.ReLU]
    assert all(isinstance(layer, kinds[i % 4]) for i, layer in enumerate(network.dense)) and len(network.dense) == 11
    assert [layer.p for layer in network.dense if isinstance(layer, torch.nn.Dropout)] == [0.3, 0.2, 0.1]


def test_batch_normalisation_follows_keras():
    norm = models.build("speed_gru", 4, 6, seed=1).dense[0]
    x = torch.tensor(np.random.default_rng(0).normal(3, 2, size=(256, 32)), dtype=torch.float32)
    y = x.numpy().astype(float)
    np.testing.assert_allclose(norm.train()(x).detach(), (y - y.mean(0)) / np.sqrt(y.var(0) + 1e-3), atol=1e-5)
    mean, variance = 0.01 * y.mean(0), 0.99 + 0.01 * y.var(0)  # moving values keep 0.99 of 0 and of 1
    np.testing.assert_allclose(norm.running_mean, mean, rtol=1e-5)
    np.testing.assert_allclose(norm.running_var, variance, rtol=2e-4)  # n - 1 against n in the divisor
    np.testing.assert_allclose(norm.eval()(x).detach(), (y - mean) / np.sqrt(variance + 1e-3), rtol=1e-3, atol=1e-3)


def test_one_window_left_over_is_normalised_by_the_running_values():
    network = models.build("speed_gru", 4, 6, seed=1)
    norm, x = network.dense[0], torch.randn(1, 32)
    before = {k: v.clone() for k, v in norm.state_dict().items()}
    trained = norm.train()(x)
    assert all(torch.equal(v, before[k]) for k, v in norm.state_dict().items())
    assert torch.equal(trained, norm.eval()(x))


def train(network, x, y, steps, rate=0.01):
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    torch.manual_seed(1)  # dropout
    for _ in range(steps):
        optimiser.zero_grad()
        (network.train()(x) - y).square().mean().backward()
        optimiser.step()


def test_the_scaled_network_is_the_published_one_in_another_unit():
    windows = window_set()
    plain, scaled = (models.build(name, 4, 6, seed=3).eval() for name in ("speed_gru", "speed_gru_scaled"))
    plain.prepare(windows)
    scaled.prepare(windows)
    x = torch.from_numpy(windows.gather(range(50)))
    expected = windows.labels.mean() + windows.labels.std() * plain(x).detach().numpy()
    np.testing.assert_allclose(scaled(x).detach(), expected, rtol=1e-5)
    again = models.build("speed_gru_scaled", 4, 6, seed=8).eval()
    again.load_state_dict(scaled.state_dict())  # mean and SD travel with the weights
    assert torch.equal(again(x), scaled(x))


def test_a_speed_that_never_changes_keeps_its_unit():
    network = models.build("speed_gru_scaled", 4, 6, seed=3)
    network.prepare(window_set(speed=np.full(600, 7.0)))
    assert float(network.mean) == 7.0 and float(network.sd) == 1.0


def test_training_the_scaled_network_does_not_depend_on_the_unit_and_training_the_published_one_does():
    cm_s = window_set(n_frames=250)
    mm_s = replace(cm_s, labels=10 * cm_s.labels)
    x, r2 = torch.from_numpy(cm_s.gather(range(len(cm_s)))), {}
    for name in ("speed_gru", "speed_gru_scaled"):
        for unit, windows in (("cm", cm_s), ("mm", mm_s)):
            network, y = models.build(name, 4, 6, seed=3), torch.tensor(windows.labels, dtype=torch.float32)
            network.prepare(windows)
            train(network, x, y, 50)
            with torch.no_grad():
                r2[name, unit] = 1 - float((network.eval()(x) - y).square().mean() / y.var(correction=0))
    assert min(r2["speed_gru_scaled", "cm"], r2["speed_gru_scaled", "mm"]) > 0.5
    assert abs(r2["speed_gru_scaled", "cm"] - r2["speed_gru_scaled", "mm"]) < 0.05
    assert r2["speed_gru", "mm"] < r2["speed_gru", "cm"] - 0.2
