"""The fused recurrent unit is PyTorch's own, faster."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calcium_decoding import models
from calcium_decoding.models import fused_gru, training
from calcium_decoding.preprocessing.windows import WindowSet, WindowSpec


def gru_and_windows(batch=37, length=9, n_roi=5, hidden=8, bidirectional=False, scale=1.0, seed=0):
    torch.manual_seed(seed)
    gru = torch.nn.GRU(n_roi, hidden, batch_first=True, bidirectional=bidirectional)
    with torch.no_grad():
        for weight in gru.parameters():
            weight.mul_(scale)
    return gru, torch.randn(batch, length, n_roi)


@settings(deadline=None, max_examples=25)
@given(batch=st.integers(1, 70), length=st.integers(1, 12), n_roi=st.integers(1, 9), hidden=st.integers(1, 33),
       bidirectional=st.booleans(), scale=st.sampled_from([0.1, 1.0, 5.0]))
def test_states_and_gradients_are_those_of_torch(batch, length, n_roi, hidden, bidirectional, scale):
    gru, windows = gru_and_windows(batch, length, n_roi, hidden, bidirectional, scale)
    theirs, ours = gru(windows)[1], fused_gru.last_states(gru, windows)
    assert len(ours) == 1 + bidirectional
    torch.testing.assert_close(torch.stack(ours), theirs, rtol=1e-4, atol=1e-5)
    weights = list(gru.parameters())
    direction = torch.randn(theirs.shape)
    expected = torch.autograd.grad((theirs * direction).sum(), weights)
    found = torch.autograd.grad((torch.stack(ours) * direction).sum(), weights)
    for name, f, e in zip(dict(gru.named_parameters()), found, expected, strict=True):
        torch.testing.assert_close(f, e, rtol=1e-3, atol=2e-5 * max(1.0, float(e.abs().max())),
                                   msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_stretch_gives_what_its_windows_give(bidirectional):
    gru, _ = gru_and_windows(bidirectional=bidirectional)
    n, length = fused_gru.BLOCK + 17, 9  # more than one block
    frames = torch.randn(n + length - 1, 5)
    with torch.no_grad():
        expected = gru(frames.unfold(0, length, 1).transpose(1, 2))[1]
        found = torch.stack(fused_gru.last_states_of_stretch(gru, frames, length))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_the_gates_are_exact_over_the_whole_range():
    # One unit that does nothing but its candidate: tanh of the input, whatever its size.
    gru = torch.nn.GRU(1, 1, batch_first=True)
    with torch.no_grad():
        for weight in gru.parameters():
            weight.zero_()
        gru.weight_ih_l0[2] = 1.0
        gru.bias_ih_l0[1] = -1e4  # z = 0: the state is the candidate
    x = np.r_[np.linspace(-30, 30, 20001), 0.0, 1e-6, -1e-6, 1e30, -1e30].astype(np.float32)
    (found,) = fused_gru.last_states(gru, torch.from_numpy(x)[:, None, None])
    expected = np.tanh(x.astype(np.float64))
    np.testing.assert_allclose(found.detach().numpy()[:, 0], expected, rtol=5e-7, atol=1e-30)


def test_values_that_are_not_finite_show():
    gru, windows = gru_and_windows()
    windows[3, 2, 1] = float("nan")
    (found,) = fused_gru.last_states(gru, windows)
    assert torch.isnan(found[3]).all()
    assert not torch.isnan(found[[i for i in range(len(found)) if i != 3]]).any()


def test_it_stands_aside_where_it_does_not_apply():
    gru, windows = gru_and_windows()
    assert fused_gru.applies(gru, windows)
    assert not fused_gru.applies(gru, windows.double())
    assert not fused_gru.applies(gru, windows.clone().requires_grad_())
    assert not fused_gru.applies(torch.nn.GRU(5, 8, num_layers=2), windows)
    assert not fused_gru.applies(torch.nn.LSTM(5, 8), windows)
    assert fused_gru.applies(gru, windows)


def test_training_with_it_is_training_without_it(monkeypatch):
    rng = np.random.default_rng(0)
    signal, run = rng.normal(size=(3000, 6)).astype(np.float32), (np.arange(3000) // 50 % 2).astype(np.uint8)
    signal[:, 0] += run
    windows = WindowSet.build([("a", signal, run, [(0, 2000)]), ("b", signal, run, [(2000, 3000)])], WindowSpec(4, 4))
    found = {}
    for name in ("gru", "bigru"):
        for fused in (True, False):
            network = models.build(name, 6, 4, seed=1)
            with monkeypatch.context() as patch:
                if not fused:
                    patch.setattr(fused_gru, "applies", lambda *_: False)
                history = training.fit(network, windows, windows, training.TrainingSettings(epochs=2, batch_size=64))
                found[name, fused] = np.r_[history.train_loss, history.valid_loss, training.predict(network, windows)]
        np.testing.assert_allclose(found[name, True], found[name, False], rtol=2e-3, atol=2e-4)


def test_windows_that_skip_frames_are_decoded_one_by_one():
    rng = np.random.default_rng(1)
    signal, run = rng.normal(size=(400, 6)).astype(np.float32), (np.arange(400) // 50 % 2).astype(np.uint8)
    network = models.build("gru", 6, 4, seed=1)
    every = WindowSet.build([("a", signal, run, [(0, 150), (170, 400)])], WindowSpec(4, 4))
    third = WindowSet.build([("a", signal, run, [(0, 150), (170, 400)])], WindowSpec(4, 4, stride=3))
    of_every = dict(zip(every.centre.tolist(), training.predict(network, every), strict=True))
    expected = [of_every[centre] for centre in third.centre.tolist()]
    np.testing.assert_allclose(training.predict(network, third), expected, atol=1e-6)
