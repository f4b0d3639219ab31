"""Training: the loss against its formula, the kept epoch, seeds, interruption, refusals, memory of windows."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from calcium_decoding import models
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.models import loop, training
from calcium_decoding.models.heads import BINARY
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.preprocessing.windows import WindowSet
from tests.models.test_registry import SPEC, window_set

SETTINGS = TrainingSettings(epochs=4, batch_size=64, learning_rate=0.01, seed=7)


def weights_after(settings, **options):
    decoder = models.build("gru", 5, SPEC.past_frames, settings.seed)
    history = training.fit(decoder, window_set(seed=1), window_set(seed=2), settings, **options)
    return history, torch.cat([p.detach().reshape(-1) for p in decoder.parameters()])


def test_loss_is_smoothed_cross_entropy():
    logits, labels, s = torch.tensor([0.3, -2.0, 1.5]), torch.tensor([1.0, 0.0, 0.0]), 0.001
    p = 1 / (1 + np.exp(-logits.numpy().astype(float)))
    y = labels.numpy() * (1 - s) + s / 2
    expected = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    assert abs(float(BINARY.loss(logits, labels, s)) - expected) < 1e-7


def test_one_step_is_adam_as_published():
    # First step of Adam: every weight moves by learning rate * g / (|g| + epsilon), in the direction of -g.
    windows = window_set(120)
    decoder = models.build("gru", 5, SPEC.past_frames, 1)
    before = [p.detach().clone() for p in decoder.parameters()]
    x = torch.from_numpy(windows.gather(np.arange(len(windows))))
    y = torch.from_numpy(windows.labels.astype(np.float32))
    gradients = torch.autograd.grad(BINARY.loss(decoder(x), y, 0.001), list(decoder.parameters()))
    settings = TrainingSettings(epochs=1, batch_size=len(windows), learning_rate=0.001)
    training.fit(decoder, windows, windows, settings)
    for old, new, g in zip(before, decoder.parameters(), gradients, strict=True):
        expected = old - 0.001 * g / (g.abs() + 1e-7)
        clear = g.abs() > 1e-5  # where the gradient is rounding noise its sign is too
        np.testing.assert_allclose(new.detach()[clear], expected[clear], atol=2e-6)


def test_the_epoch_with_the_lowest_validation_loss_is_kept():
    history, kept = weights_after(SETTINGS)
    assert history.best_epoch == int(np.argmin(history.valid_loss))
    # The kept weights give that validation loss again.
    decoder = models.build("gru", 5, SPEC.past_frames, 7)
    torch.nn.utils.vector_to_parameters(kept, decoder.parameters())
    valid = window_set(seed=2)
    p = np.clip(training.predict(decoder, valid), 1e-12, 1 - 1e-12)
    y = valid.labels * (1 - 0.001) + 0.0005
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    assert abs(loss - min(history.valid_loss)) < 1e-5


def test_a_worse_last_epoch_is_not_kept(monkeypatch):
    # Validation labels flipped: learning makes validation worse, so the first epochs are best.
    train = window_set(seed=1)
    flipped = WindowSet.build([("r", train.frames, 1 - (np.sin(np.arange(400) / 12) > 0).astype(np.uint8),
                                [(0, 400)])], SPEC)
    decoder = models.build("gru", 5, SPEC.past_frames, 7)
    history = training.fit(decoder, train, flipped, TrainingSettings(epochs=6, batch_size=32, learning_rate=0.02))
    assert history.best_epoch < 5 and history.valid_loss[-1] > min(history.valid_loss)


def test_a_seed_repeats_bit_by_bit_and_another_differs():
    (first, weights), (again, weights_again) = weights_after(SETTINGS), weights_after(SETTINGS)
    assert torch.equal(weights, weights_again) and first == again
    _, other = weights_after(TrainingSettings(epochs=4, batch_size=64, learning_rate=0.01, seed=8))
    assert not torch.equal(weights, other)


def test_resumed_training_equals_uninterrupted(tmp_path, monkeypatch):
    history, weights = weights_after(SETTINGS)
    checkpoint = tmp_path / "fold.safetensors"
    original, calls = TrainingSettings.steps, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(TrainingSettings, "steps", interrupted)
    with pytest.raises(KeyboardInterrupt):
        weights_after(SETTINGS, checkpoint=checkpoint)
    assert checkpoint.exists()
    resumed, resumed_weights = weights_after(SETTINGS, checkpoint=checkpoint)
    assert len(calls) == 3 + 2  # two epochs were done, the third broke off; two were left
    assert torch.equal(weights, resumed_weights) and resumed == history
    assert not checkpoint.exists()


def speed_window_set(seed):
    """Windows whose label is a speed, three times the first ROI of the labelled frame."""
    windows = window_set(seed=seed)
    return replace(windows, labels=3 * windows.frames[windows.starts + SPEC.past_frames, 0])


def speed_weights(**options):
    decoder = models.build("speed_gru", 5, SPEC.past_frames, SETTINGS.seed)
    history = training.fit(decoder, speed_window_set(1), speed_window_set(2), SETTINGS, **options)
    return decoder, history, torch.cat([v.detach().double().reshape(-1) for v in decoder.state_dict().values()])


def test_a_speed_is_trained_by_its_squared_error_and_predicted_in_its_unit():
    outside = torch.random.get_rng_state()
    decoder, history, _ = speed_weights()
    assert torch.equal(torch.random.get_rng_state(), outside)  # dropout draws from a state of its own
    valid = speed_window_set(2)
    error = np.mean((training.predict(decoder, valid) - valid.labels) ** 2)
    assert error == pytest.approx(min(history.valid_loss), rel=1e-5)
    assert min(history.valid_loss) < 0.9 * np.var(valid.labels)


def test_resumed_training_with_dropout_equals_uninterrupted(tmp_path, monkeypatch):
    _, history, weights = speed_weights()
    original, calls = TrainingSettings.steps, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(TrainingSettings, "steps", interrupted)
    with pytest.raises(KeyboardInterrupt):
        speed_weights(checkpoint=tmp_path / "fold.safetensors")
    torch.rand(7)  # somebody draws between
    _, resumed, resumed_weights = speed_weights(checkpoint=tmp_path / "fold.safetensors")
    assert len(calls) == 3 + 2 and torch.equal(weights, resumed_weights) and resumed == history


def test_one_speed_in_training_is_refused():
    still = replace(speed_window_set(1), labels=np.full(390, 2.5, np.float32))
    with pytest.raises(DataError, match=r"only label 2\.5 in 390 windows.*values that differ"):
        training.fit(models.build("linear", 5, SPEC.past_frames, 1), still, still, SETTINGS)


def test_epochs_are_reported_also_those_that_were_done_before(tmp_path, monkeypatch):
    seen = []
    weights_after(SETTINGS, report=lambda *at: seen.append(at))
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    original = TrainingSettings.steps
    monkeypatch.setattr(TrainingSettings, "steps", lambda *a: original(*a) if len(seen) < 7 else pytest.fail("stop"))
    with pytest.raises(pytest.fail.Exception):
        weights_after(SETTINGS, checkpoint=tmp_path / "c", report=lambda *at: seen.append(at))
    monkeypatch.undo()
    del seen[:]
    weights_after(SETTINGS, checkpoint=tmp_path / "c", report=lambda *at: seen.append(at))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_checkpoint_of_another_training_is_not_used(tmp_path, monkeypatch):
    checkpoint = tmp_path / "fold.safetensors"
    monkeypatch.setattr(loop.Path, "unlink", lambda *a, **k: None)  # leave the checkpoint of a finished training
    weights_after(SETTINGS, checkpoint=checkpoint)
    monkeypatch.undo()
    other = TrainingSettings(epochs=5, batch_size=64, learning_rate=0.02, seed=7)
    history, weights = weights_after(other, checkpoint=checkpoint)
    expected_history, expected = weights_after(other)
    assert torch.equal(weights, expected) and history == expected_history


def test_short_recordings_train_until_enough_steps():
    settings = TrainingSettings(epochs=2, batch_size=64, min_updates=30)
    n = len(window_set())
    assert settings.epochs_for(n) == int(np.ceil(30 / np.ceil(n / 64)))
    assert settings.epochs_for(10**6) == 2


@pytest.mark.parametrize("model", ["gru", "logistic_window"])
def test_training_on_one_window_in_so_many_is_training_on_these_alone(model):
    # The windows left are counted by hand: every third one, the first among them.
    windows, valid = window_set(seed=1), window_set(seed=2)
    kept = np.arange(0, len(windows), 3)
    alone = WindowSet(windows.frames, windows.starts[kept], windows.labels[kept], windows.recording[kept],
                      windows.centre[kept], windows.ids, windows.spec)
    predicted = []
    for train, settings in ((windows, replace(SETTINGS, train_every=3)), (alone, SETTINGS)):
        decoder = models.build(model, 5, SPEC.past_frames, 7)
        training.fit(decoder, train, valid, settings)
        predicted.append(training.predict(decoder, valid))
    np.testing.assert_array_equal(*predicted)
    assert replace(SETTINGS, min_updates=30, train_every=3).trained_on(windows).starts.tolist() == alone.starts.tolist()


def test_one_class_in_training_is_refused():
    train = WindowSet.build([("r", window_set().frames, np.zeros(400, np.uint8), [(0, 400)])], SPEC)
    with pytest.raises(DataError, match="only label 0"):
        training.fit(models.build("gru", 5, SPEC.past_frames, 1), train, train, SETTINGS)


def test_a_loss_that_is_not_finite_is_refused():
    with pytest.raises(DataError, match="learning rate"):
        weights_after(TrainingSettings(epochs=3, learning_rate=3e38))


@pytest.mark.parametrize("options", [{"epochs": 0}, {"learning_rate": -1.0}, {"label_smoothing": 1.0},
                                     {"batch_size": 0}, {"device": "tpu"}, {"min_updates": -1},
                                     {"train_every": 0}])
def test_settings_out_of_range_are_refused_by_name(options):
    with pytest.raises(ParameterError, match=next(iter(options))):
        TrainingSettings(**options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_by_name_without_cuda_says_what_to_do():
    with pytest.raises(ParameterError, match="device 'cpu' or 'auto'"):
        TrainingSettings(device="cuda").torch_device()
    assert TrainingSettings(device="auto").torch_device().type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_training_on_a_gpu_repeats_and_learns():
    settings = TrainingSettings(epochs=4, batch_size=64, learning_rate=0.01, seed=7, device="cuda")
    (first, weights), (again, weights_again) = weights_after(settings), weights_after(settings)
    assert torch.equal(weights.cpu(), weights_again.cpu()) and first == again
    assert first.valid_loss[-1] < first.valid_loss[0]


def test_training_state_of_torch_is_given_back():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    weights_after(TrainingSettings(epochs=1))
    assert torch.get_num_threads() == 2 and not torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)


def test_training_holds_frames_and_not_windows():
    # 60,000 frames of 50 ROIs are 12 MB; their windows of 31 frames would be 372 MB. Measured in a fresh process
    # against the same process before training; the whole 200,000-frame figure is in benchmarks/.
    script = """
import resource, numpy as np
from calcium_decoding import models
from calcium_decoding.models import training
from calcium_decoding.preprocessing.windows import WindowSet, WindowSpec
rng = np.random.default_rng(0)
def windows(n):
    run = (np.arange(n) // 50 % 2).astype(np.uint8)
    return WindowSet.build([("r", rng.random((n, 50), dtype=np.float32), run, [(0, n)])], WindowSpec(15, 15))
def fit(train):
    training.fit(models.build("gru", 50, 15, 1), train, windows(500), training.TrainingSettings(epochs=1,
                 batch_size=4096))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fit(windows(5000))
train = windows(60000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((fit(train) - before) / 1024 / (1 if __import__("sys").platform == "linux" else 1024))
"""
    grown = float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)
    assert grown < 150, f"training grew by {grown:.0f} MB"


def test_a_loss_that_only_repeats_is_no_better_one():
    losses, network = iter([2.0, 1.0, 1.0, 1.0, 1.0, 0.5]), torch.nn.Linear(1, 1)
    history = loop.run(network, torch.optim.Adam(network.parameters()), 6, lambda *_: 0.0, lambda: next(losses), 0,
                       patience=2)
    assert history.valid_loss == [2.0, 1.0, 1.0, 1.0]
