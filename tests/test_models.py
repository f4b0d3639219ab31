"""One suite over every model: shapes, gradients, seeds; the GRU against its published size and a written-out cell."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from calcium_decoding import models, training
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.training import TrainingSettings
from calcium_decoding.windows import WindowSet, WindowSpec

SPEC = WindowSpec(6, 4)
SEEING = [name for name in models.MODELS if name != "time_only"]  # the control sees no signal, on purpose


def window_set(n_frames=400, n_roi=5, seed=0):
    """Frames whose first ROI is the label plus noise."""
    rng = np.random.default_rng(seed)
    run = (np.sin(np.arange(n_frames) / 12) > 0).astype(np.uint8)
    signal = rng.normal(size=(n_frames, n_roi)).astype(np.float32)
    signal[:, 0] += 2.0 * run
    return WindowSet.build([("r", signal, run, [(0, n_frames)])], SPEC)


@pytest.mark.parametrize("name", SEEING)
def test_every_model_trains_and_predicts_a_probability_a_window(name):
    windows = window_set()
    decoder = models.build(name, 5, SPEC.past_frames, seed=1)
    training.fit(decoder, windows, windows, TrainingSettings(epochs=3, learning_rate=0.02))
    p_run = training.predict(decoder, windows)
    assert p_run.shape == (len(windows),) and p_run.dtype == np.float64
    assert ((p_run >= 0) & (p_run <= 1)).all()
    assert p_run[windows.labels == 1].mean() > p_run[windows.labels == 0].mean() + 0.2


@pytest.mark.parametrize("name", models.MODELS)
def test_prediction_of_a_window_does_not_depend_on_the_others(name):
    windows = window_set()
    decoder = models.build(name, 5, SPEC.past_frames, seed=1)
    training.fit(decoder, windows, windows, TrainingSettings(epochs=1))
    few = WindowSet.build([("r", windows.frames, np.zeros(400, np.uint8), [(100, 150)])], SPEC)
    np.testing.assert_allclose(training.predict(decoder, few), training.predict(decoder, windows)[100:140], atol=1e-6)


@pytest.mark.parametrize("name", [n for n in models.MODELS if n == "gru"])
def test_every_parameter_of_a_network_gets_a_gradient(name):
    network = models.build(name, 5, SPEC.past_frames, seed=1)
    network(torch.randn(8, SPEC.length, 5)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_gru_has_the_published_size_plus_the_second_bias():
    # 7,968 + 33 in the study's cell with one bias vector; PyTorch's has 96 more.
    network = models.build("gru", 50, 15, seed=1)
    assert sum(p.numel() for p in network.parameters()) == 7_968 + 96 + 33


def test_gru_equals_a_cell_written_out():
    network = models.build("gru", 3, 2, seed=4)
    x = np.random.default_rng(0).normal(size=(7, 3))
    w_ih, w_hh, b_ih, b_hh = (p.detach().numpy().astype(float) for p in network.recurrent.parameters())
    state, sigmoid = np.zeros(32), lambda a: 1 / (1 + np.exp(-a))
    for frame in x:
        (r_i, z_i, n_i), (r_h, z_h, n_h) = np.split(w_ih @ frame + b_ih, 3), np.split(w_hh @ state + b_hh, 3)
        reset, update = sigmoid(r_i + r_h), sigmoid(z_i + z_h)
        state = (1 - update) * np.tanh(n_i + reset * n_h) + update * state
    expected = network.readout.weight.detach().numpy()[0] @ state + float(network.readout.bias.detach()[0])
    found = float(network(torch.tensor(x[None], dtype=torch.float32)).detach())
    assert abs(found - expected) < 1e-5


def test_initial_weights_are_those_of_the_study():
    network = models.build("gru", 50, 15, seed=1)
    bound = np.sqrt(6 / (50 + 32))  # Glorot uniform
    weights = network.recurrent.weight_ih_l0.detach().numpy()
    assert np.abs(weights).max() <= bound and np.abs(weights).max() > 0.95 * bound
    gate = network.recurrent.weight_hh_l0.detach()[:32]
    np.testing.assert_allclose(gate @ gate.T, np.eye(32), atol=1e-5)
    assert not network.recurrent.bias_ih_l0.detach().any()


def test_a_seed_repeats_and_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    one, two = (models.build("gru", 5, 3, seed=9) for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(one.recurrent.weight_ih_l0, two.recurrent.weight_ih_l0)
    other = models.build("gru", 5, 3, seed=10)
    assert not torch.equal(one.recurrent.weight_ih_l0, other.recurrent.weight_ih_l0)


@pytest.mark.parametrize(("every", "offsets"), [(None, [6]), (5, [1, 6]), (3, [0, 3, 6, 9])])
def test_logistic_sees_the_labelled_frame_and_its_thinned_window(every, offsets):
    windows = window_set()
    expected = np.stack([windows.gather([i])[0][offsets].ravel() for i in range(20)])
    found = models.LogisticDecoder(SPEC.past_frames, every).features(windows)[:20]
    np.testing.assert_array_equal(found, expected)


def drifting(n_frames=2000, seed=0, drift=True):
    """Windows of noise with a label whose probability rises over the recording, or stays."""
    rng = np.random.default_rng(seed)
    p = np.linspace(0.05, 0.95, n_frames) if drift else np.full(n_frames, 0.5)
    run = (rng.random(n_frames) < p).astype(np.uint8)
    signal = rng.normal(size=(n_frames, 5)).astype(np.float32)
    return WindowSet.build([("r", signal, run, [(0, n_frames)])], SPEC), p[6:-4]


def test_the_clock_learns_the_drift_and_nothing_else():
    windows, p = drifting()
    decoder = models.build("time_only", 5, SPEC.past_frames, seed=1)
    training.fit(decoder, windows, windows, TrainingSettings())
    p_run = training.predict(decoder, windows)
    assert p_run.shape == (len(windows),) and p_run.dtype == np.float64
    assert np.abs(p_run - p).max() < 0.15  # the truth it was drawn from
    flat, _ = drifting(drift=False)
    training.fit(decoder, flat, flat, TrainingSettings())
    assert np.abs(training.predict(decoder, flat) - 0.5).max() < 0.2


def test_the_clock_is_blind_to_the_signal():
    windows, _ = drifting()
    other = replace(windows, frames=np.random.default_rng(9).permutation(windows.frames) * 100)
    first, second = (models.build("time_only", 5, SPEC.past_frames, seed=1) for _ in range(2))
    training.fit(first, windows, windows, TrainingSettings())
    training.fit(second, other, other, TrainingSettings())
    np.testing.assert_array_equal(training.predict(first, windows), training.predict(second, other))
    np.testing.assert_array_equal(training.predict(first, windows), training.predict(first, other))


def test_beyond_the_training_times_the_clock_stands_still():
    windows, _ = drifting()
    decoder = models.build("time_only", 5, SPEC.past_frames, seed=1)
    early = WindowSet.build([("r", windows.frames, np.tile([0, 0, 1, 1, 1], 400), [(0, 1000)])], SPEC)
    training.fit(decoder, early, early, TrainingSettings())
    p_run = training.predict(decoder, windows)
    assert np.ptp(p_run[1000:]) < 1e-9


def test_one_moment_is_no_time_to_learn():
    one = WindowSet.build([(name, np.zeros((11, 2), np.float32), np.full(11, i), [(0, 11)])
                           for i, name in enumerate("ab")], SPEC)
    with pytest.raises(DataError, match="all at one time"):
        models.build("time_only", 2, SPEC.past_frames, seed=1).fit(one)


def test_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(ParameterError, match="gru"):
        models.build("transformer", 5, 3, seed=1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_network_on_a_gpu_agrees_with_the_cpu():
    network = models.build("gru", 5, 3, seed=1)
    x = torch.randn(64, 11, 5)
    on_cpu = network(x).detach()
    np.testing.assert_allclose(network.to("cuda")(x.to("cuda")).detach().cpu(), on_cpu, atol=1e-4)
