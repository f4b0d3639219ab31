"""One suite over every model: shapes, gradients, seeds, planted cues; the linear ones against what they should see.

The cells of the recurrent networks stand in ``test_recurrent``, the models of speed in ``test_speed_models``.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from calcium_decoding import models
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.models import linear, training
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.preprocessing.windows import WindowSet, WindowSpec

SPEC = WindowSpec(6, 4)
SEEING = [name for name in models.MODELS if name != "time_only"]  # the control sees no signal, on purpose
EVERY = models.MODELS | models.SPEED_MODELS
NETWORKS = [name for name in EVERY if isinstance(models.build(name, 2, 1, 0), torch.nn.Module)]


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


def test_the_suite_has_every_network():
    assert set(NETWORKS) == {"gru", "lstm", "rnn", "bigru", "bilstm", "birnn", "gru_keras", "lstm_keras", "speed_gru",
                             "speed_gru_scaled"}


@pytest.mark.parametrize("name", EVERY)
def test_a_model_says_what_it_decodes(name):
    kind = "binary" if name in models.MODELS else "continuous"
    decoder = models.build(name, 3, 2, seed=1)
    assert decoder.head == models.Head(kind)
    if name not in NETWORKS:
        assert hasattr(decoder, "output")


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_of_a_network_gets_a_gradient(name):
    network = models.build(name, 5, SPEC.past_frames, seed=1)
    network(torch.randn(8, SPEC.length, 5)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("n", "length"), [(1, 11), (7, 1), (3, 31)])
def test_a_network_gives_one_float32_a_window(name, n, length):
    network = models.build(name, 5, 0, seed=1)
    for mode in (network.train(), network.eval()):
        output = mode(torch.randn(n, length, 5))
        assert output.shape == (n,) and output.dtype == torch.float32 and output.isfinite().all()


@pytest.mark.parametrize("name", NETWORKS)
def test_permuting_windows_permutes_outputs(name):
    network = models.build(name, 5, SPEC.past_frames, seed=1).eval()
    x, order = torch.randn(40, SPEC.length, 5), torch.randperm(40)
    torch.testing.assert_close(network(x[order]), network(x)[order], atol=1e-6, rtol=1e-5)
    time_first = x.transpose(0, 1).contiguous().transpose(0, 1)  # how training lays windows in memory
    torch.testing.assert_close(network(time_first), network(x), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_seed_repeats_and_leaves_the_global_generator_alone(name):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    one, two = (models.build(name, 5, 3, seed=9) for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    weights = two.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in one.state_dict().items())
    other = models.build(name, 5, 3, seed=10).state_dict()
    drawn = [key for key, value in weights.items() if value.ndim == 2]
    assert drawn and not any(torch.equal(other[key], weights[key]) for key in drawn)


def cued(frame, n, seed):
    """Windows of noise; the target, -1 or 1, is added to the first ROI at one frame only."""
    generator = torch.Generator().manual_seed(seed)
    target = 2.0 * torch.randint(2, (n,), generator=generator) - 1
    x = 0.5 * torch.randn(n, SPEC.length, 5, generator=generator)
    x[:, frame, 0] += 2 * target
    return x, target


def share_right(network, frame, seed):
    """How often the sign of the output is the target, on new windows."""
    x, target = cued(frame, 384, seed)
    with torch.no_grad():
        return (network.eval()(x).sign() == target).float().mean()


def learn_cue(network, frame):
    x, target = cued(frame, 256, seed=1)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    torch.manual_seed(1)  # dropout
    for _ in range(32):
        optimiser.zero_grad()
        (network(x) - target).square().mean().backward()
        optimiser.step()


@pytest.mark.parametrize("frame", [0, SPEC.past_frames, SPEC.length - 1])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_finds_a_cue_at_the_first_the_labelled_and_the_last_frame(name, frame):
    network = models.build(name, 5, SPEC.past_frames, seed=1)
    learn_cue(network, frame)
    assert share_right(network, frame, seed=2) > 0.85
    assert share_right(network, (frame + 5) % SPEC.length, seed=3) < 0.8  # it learnt the frame, not the ROI alone


@pytest.mark.parametrize(("direction", "frame"), [("forward", 0), ("backward", SPEC.length - 1)])
@pytest.mark.parametrize("name", [name for name in NETWORKS if name.startswith("bi")])
def test_each_direction_by_itself_remembers_a_cue_at_its_own_beginning(name, direction, frame):
    network = models.build(name, 5, SPEC.past_frames, seed=1)
    deaf = slice(32, 64) if direction == "forward" else slice(0, 32)  # read-out weights of the other direction
    network.readout.weight.data[:, deaf] = 0
    network.readout.weight.register_hook(lambda g: g.index_fill(1, torch.arange(64)[deaf], 0.0))
    learn_cue(network, frame)
    assert not network.readout.weight[:, deaf].any()
    assert share_right(network, frame, seed=2) > 0.85


@pytest.mark.parametrize(("every", "offsets"), [(None, [6]), (5, [1, 6]), (3, [0, 3, 6, 9])])
def test_logistic_sees_the_labelled_frame_and_its_thinned_window(every, offsets):
    windows = window_set()
    expected = np.stack([windows.gather([i])[0][offsets].ravel() for i in range(20)])
    found = linear.LogisticDecoder(SPEC.past_frames, every).features(windows)[:20]
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
@pytest.mark.parametrize("name", NETWORKS)
def test_network_on_a_gpu_agrees_with_the_cpu(name):
    network = models.build(name, 5, 3, seed=1).eval()
    x = torch.randn(64, 11, 5)
    on_cpu = network(x).detach()
    np.testing.assert_allclose(network.to("cuda")(x.to("cuda")).detach().cpu(), on_cpu, atol=1e-4)
