"""One-cycle training against closed forms and another library; shared features against recomputing them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.models import SequenceDecoder, loop, training
from calcium_decoding.models.images.training import FeatureSequences, Images, ImageSequences, OneCycle, Stage
from calcium_decoding.preprocessing.movie_frames import image_window
from calcium_decoding.preprocessing.windows import WindowSet, WindowSpec


class Small(nn.Module):
    """A convolutional network with all that makes training and evaluation differ, small enough for tests."""

    n_features = 6

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)
        self.dropout, self.output = nn.Dropout(0.2), nn.Linear(6, 1)

    def features(self, images):
        return torch.relu(self.norm(self.convolution(images))).mean(dim=(2, 3))

    def forward(self, images):
        return self.output(self.dropout(self.features(images)))[:, 0]


def windows(k=0, seed=0, n=240):
    """Windows over frames whose upper half is brighter in one of the two classes."""
    rng = np.random.default_rng(seed)
    labels = (np.sin(np.arange(n) / 9) > 0).astype(np.uint8)
    frames = rng.normal(size=(n, 8, 8)).astype(np.float32)
    frames[:, :4] += labels[:, None, None]
    return WindowSet.over(frames, [("m", 0, labels, [(0, n // 2), (n // 2, n)])], image_window(k))


def network(cell=None, frozen=False, seed=1):
    torch.manual_seed(seed)
    return Small() if cell is None else SequenceDecoder(Small(), cell, hidden=8, frozen=frozen)


def flat(module):
    return torch.cat([v.detach().double().flatten() for v in module.state_dict().values()])


STAGE = Stage(epochs=4, batch_size=24, cycle=OneCycle(peak_rate=0.02))


def test_the_cycle_goes_through_its_closed_form():
    cycle = OneCycle(peak_rate=0.001)
    assert cycle.at(0) == pytest.approx((0.001 / 25, 0.95)) and cycle.at(0.25) == pytest.approx((0.001, 0.85))
    assert cycle.at(1) == pytest.approx((1e-8, 0.95))
    assert cycle.at(0.125) == pytest.approx(((0.001 + 0.001 / 25) / 2, 0.9))
    assert cycle.at(0.625) == pytest.approx(((0.001 + 1e-8) / 2, 0.9))


def test_the_cycle_is_that_of_another_library_but_for_its_grid_of_steps():
    n, cycle = 4000, OneCycle(peak_rate=0.01)
    parameter = nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.AdamW([parameter], lr=0.01, betas=(0.95, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.01, total_steps=n, pct_start=0.25,
                                                   div_factor=25, final_div_factor=1e5 / 25)
    for step in range(n):
        group = optimiser.param_groups[0]
        # Their rise ends one step early and their fall ends at the last step.
        position = step / (0.25 * n - 1) * 0.25 if step < 0.25 * n else 0.25 + 0.75 * (step - 0.25 * n + 1) / (0.75 * n)
        assert cycle.at(position) == pytest.approx((group["lr"], group["betas"][0]), rel=1e-6)
        optimiser.step()
        schedule.step()


def test_the_optimiser_is_adam_with_decoupled_decay_and_a_moving_momentum():
    """Three steps written out after the framework of the study: decay first, then debiased moments."""
    cycle, module = OneCycle(peak_rate=0.05, weight_decay=0.1), nn.Linear(4, 1, bias=False).double()
    weight = module.weight.detach().numpy().copy()
    optimiser, mean, square = cycle.optimiser(module), np.zeros((1, 4)), np.zeros((1, 4))
    for step in range(1, 4):
        rate, momentum = cycle.at(step / 4)
        for group in optimiser.param_groups:
            group["lr"], group["betas"] = rate, (momentum, cycle.beta2)
        gradient = np.array([[1.0, -2.0, 0.5, step]])
        module.weight.grad = torch.from_numpy(gradient)
        optimiser.step()
        weight *= 1 - rate * 0.1
        mean = momentum * mean + (1 - momentum) * gradient
        square = 0.99 * square + 0.01 * gradient**2
        weight -= rate * (mean / (1 - momentum**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-5)
        np.testing.assert_allclose(module.weight.detach().numpy(), weight, rtol=1e-10)


def test_only_weights_decay():
    decayed, plain = (group["params"] for group in OneCycle().optimiser(network("gru")).param_groups)
    assert {p.ndim for p in plain} == {1} and {p.ndim for p in decayed} == {2, 4}
    frozen = OneCycle().optimiser(network("gru", frozen=True))
    assert sum(p.numel() for group in frozen.param_groups for p in group["params"]) == sum(
        p.numel() for name, p in network("gru").named_parameters() if not name.startswith("image_decoder"))


def test_batches_hold_runs_of_neighbours_once_each_and_no_incomplete_one():
    generator = torch.Generator().manual_seed(0)
    plain = Stage(batch_size=20).steps(103, generator)
    assert [len(b) for b in plain] == [20] * 5 and len(set(torch.cat(plain).tolist())) == 100
    assert torch.cat(plain).tolist() != sorted(torch.cat(plain).tolist())
    runs = Stage(batch_size=20, consecutive=5).steps(103, generator)
    together = torch.cat(runs).view(-1, 5)
    assert (together.diff(dim=1) == 1).all() and (together[:, 0] % 5 == 0).all() and len(together.unique()) == 100
    assert [len(b) for b in Stage(batch_size=20).steps(7, generator)] == [7]


class Features:
    """In place of a network: gives the features that it was handed."""

    training = False

    def of_features(self, features):
        return features[..., 0]


def test_shuffled_images_are_those_of_each_window_in_an_order_of_its_own():
    frames = np.arange(60.0, dtype=np.float32)[:, None]
    laid = WindowSet.over(frames, [("m", 0, np.zeros(60), [(0, 60)])], WindowSpec(3, 3))
    which = torch.arange(0, len(laid), 3)
    ordered = FeatureSequences(laid).logits(Features(), which).numpy()
    np.testing.assert_array_equal(ordered, laid.starts[::3, None] + np.arange(7))
    shuffled, again, other = (FeatureSequences(laid, shuffle_seed=seed).logits(Features(), which).numpy()
                              for seed in (1, 1, 2))
    np.testing.assert_array_equal(np.sort(shuffled, axis=1), ordered)
    np.testing.assert_array_equal(shuffled, again)
    places = shuffled - ordered[:, :1]
    assert len(np.unique(places, axis=0)) > 0.9 * len(places) and (shuffled != other).any()
    assert abs(places.mean(axis=0) - 3).max() < 1.5  # every place gets early and late images


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_shared_features_give_what_each_window_by_itself_gives(cell):
    """On a trained network; relative to the spread of its outputs."""
    samples, trained = ImageSequences(windows(k=3)), network(cell)
    training.fit_samples(trained, samples, ImageSequences(windows(k=3, seed=5)), STAGE, seed=1)
    trained.eval()
    with torch.inference_mode():
        shared = samples.all_logits(trained)
        frames = torch.from_numpy(samples.of.gather(np.arange(len(samples))))
        alone = torch.cat([trained(w[None].unfold(1, 3, 1).movedim(-1, 2)) for w in frames])
    assert len(shared) == 2 * (120 - 8) and float(shared.std()) > 0.1
    assert float((shared - alone).abs().max() / alone.std()) < 1e-4


def test_windows_in_a_row_cost_fewer_images_and_give_the_same_outputs(monkeypatch):
    samples, decoder = ImageSequences(windows(k=3)), network("gru").eval()
    seen = []
    original = decoder.image_decoder.features
    monkeypatch.setattr(decoder.image_decoder, "features", lambda x: seen.append(len(x)) or original(x))
    row, apart = torch.arange(16), torch.arange(16) * 14
    with torch.inference_mode():
        together = samples.logits(decoder, row)
        in_a_row = sum(seen)
        samples.logits(decoder, apart)
        monkeypatch.undo()
        np.testing.assert_allclose(together, samples.all_logits(decoder)[row], atol=1e-6)
    assert in_a_row == 16 + 6 and sum(seen) - in_a_row == 16 * 7


def test_kept_features_of_a_frozen_network_decode_as_its_images_do():
    whole, decoder = windows(k=3), network("gru", frozen=True).eval()
    with torch.inference_mode():
        images = torch.from_numpy(whole.frames).unfold(0, 3, 1).movedim(-1, 1)
        features = np.zeros((len(whole.frames), 6), np.float16)
        features[1:-1] = decoder.image_decoder.features(images)
        kept = FeatureSequences(replace(whole, frames=features, starts=whole.starts + 1, spec=WindowSpec(3, 3)))
        expected = ImageSequences(whole).all_logits(decoder)
        assert float((kept.all_logits(decoder) - expected).abs().max() / expected.std()) < 5e-3  # float16


def test_a_frozen_network_stays_as_it_was_in_training():
    decoder = network("gru", frozen=True)
    before, rest = flat(decoder.image_decoder), flat(decoder.recurrent)
    training.fit_samples(decoder, ImageSequences(windows(k=2)), ImageSequences(windows(k=2, seed=5)), STAGE, seed=1)
    assert torch.equal(flat(decoder.image_decoder), before) and not torch.equal(flat(decoder.recurrent), rest)
    moving = network("gru")
    training.fit_samples(moving, ImageSequences(windows(k=2)), ImageSequences(windows(k=2, seed=5)), STAGE, seed=1)
    assert not torch.equal(flat(moving.image_decoder), before)


def test_training_learns_repeats_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    train, valid, test = (Images(windows(seed=s)) for s in range(3))

    def trained(**options):
        decoder = network()
        return training.fit_samples(decoder, train, valid, STAGE, 3, **options), decoder

    history, decoder = trained()
    again, twin = trained()
    assert history == again and torch.equal(flat(decoder), flat(twin))
    p = training.predict_samples(decoder, test)
    assert np.mean((p > 0.5) == test.of.labels) > 0.9 and history.best_epoch == np.argmin(history.valid_loss)
    original, calls = Stage.steps, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(Stage, "steps", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(checkpoint=tmp_path / "c.safetensors")
    torch.rand(5)
    resumed, weights = trained(checkpoint=tmp_path / "c.safetensors")
    assert len(calls) == 3 + 2 and resumed == history and torch.equal(flat(weights), flat(decoder))


def test_bad_settings_and_one_class_are_refused():
    with pytest.raises(ParameterError, match=r"consecutive.*divisor of the batch size 32"):
        Stage(batch_size=32, consecutive=5)
    with pytest.raises(ParameterError, match=r"every_frames.*1 or more"):
        Stage(every_frames=0)
    one = windows()
    resting = Images(replace(one, labels=np.zeros_like(one.labels)))
    with pytest.raises(DataError, match="only label 0 in 236"):
        training.fit_samples(network(), resting, resting, STAGE, 1)
    with pytest.raises(DataError, match="NaN or infinite"):
        training.fit_samples(network(), Images(one), Images(one), Stage(2, 24, cycle=OneCycle(peak_rate=math.inf)), 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda_in_mixed_precision_it_learns_too():
    decoder = network("gru")
    training.fit_samples(decoder, ImageSequences(windows(k=2), "cuda"), ImageSequences(windows(k=2, seed=5), "cuda"),
                         STAGE, 1)
    test = ImageSequences(windows(k=2, seed=9), "cuda")
    assert np.mean((training.predict_samples(decoder, test) > 0.5) == test.of.labels) > 0.85


def test_resumed_training_of_weights_with_channels_last_equals_uninterrupted(tmp_path):
    """A fused step walks through weights and moments as they lie in memory."""
    images = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(0))

    def trained(stop=99, checkpoint=None):
        torch.manual_seed(1)
        network = torch.nn.Conv2d(3, 4, 2).to(memory_format=torch.channels_last)
        optimiser = OneCycle(0.05).optimiser(network)

        def epoch(number, generator):
            if number == stop:
                raise KeyboardInterrupt
            optimiser.zero_grad()
            loss = network(images).square().mean()
            loss.backward()
            optimiser.step()
            return float(loss.detach())

        loop.run(network, optimiser, 6, epoch, lambda: float(network(images).square().mean().detach()), 0, checkpoint,
                 "this")
        return flat(network)

    with pytest.raises(KeyboardInterrupt):
        trained(3, tmp_path / "c.safetensors")
    assert torch.equal(trained(checkpoint=tmp_path / "c.safetensors"), trained())
    (tmp_path / "c.safetensors").write_bytes(b"cut short")
    assert torch.equal(trained(checkpoint=tmp_path / "c.safetensors"), trained())  # a damaged one is not gone on from
