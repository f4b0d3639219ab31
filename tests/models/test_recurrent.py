"""Recurrent networks against their cells written out in numpy, against Keras, and against closed forms of size."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from calcium_decoding import models
from calcium_decoding.models.recurrent import KerasGRU, KerasLSTM, initialise

TORCH_CELLS = ["gru", "lstm", "rnn", "bigru", "bilstm", "birnn"]
KERAS_CELLS = ["gru_keras", "lstm_keras"]
GATES = {"gru": 3, "lstm": 4, "rnn": 1}


def scrambled(name, n_roi=3, seed=4):
    """A network with weights that are nowhere zero, biases included, and large enough that hard gates shut and open."""
    network = models.build(name, n_roi, 2, seed)
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return network


def windows(n=6, length=9, n_roi=3):
    return 3 * np.random.default_rng(0).normal(size=(n, length, n_roi))


def arrays(module):
    return {name: value.detach().numpy().astype(float) for name, value in module.named_parameters()}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def hard(x):
    return np.clip(0.2 * x + 0.5, 0, 1)


def last_state(kind, layer, x, suffix=""):
    """State after the last frame of one window, from PyTorch's formulas."""
    weights = arrays(layer)
    w_ih, w_hh, b_ih, b_hh = (weights[f"{n}_l0{suffix}"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    state, memory = np.zeros(w_hh.shape[1]), np.zeros(w_hh.shape[1])
    for frame in x:
        a, b = w_ih @ frame + b_ih, w_hh @ state + b_hh
        if kind == "gru":
            (r_i, z_i, n_i), (r_h, z_h, n_h) = np.split(a, 3), np.split(b, 3)
            update = sigmoid(z_i + z_h)
            state = (1 - update) * np.tanh(n_i + sigmoid(r_i + r_h) * n_h) + update * state
        elif kind == "lstm":
            into, forget, candidate, out = np.split(a + b, 4)
            memory = sigmoid(forget) * memory + sigmoid(into) * np.tanh(candidate)
            state = sigmoid(out) * np.tanh(memory)
        else:
            state = np.tanh(a + b)
    return state


def keras_last_state(kind, layer, x):
    """The same of the study's framework, gate by gate as its documentation writes them, and the gates' values."""
    weights = arrays(layer)
    units, seen = layer.units, []
    k = np.split(weights["kernel"], weights["kernel"].shape[1] // units, axis=1)
    u = np.split(weights["recurrent_kernel"], len(k), axis=1)
    b = np.split(weights["bias"], len(k))
    state, memory = np.zeros(units), np.zeros(units)
    for frame in x:
        if kind == "gru_keras":
            update = hard(frame @ k[0] + state @ u[0] + b[0])
            reset = hard(frame @ k[1] + state @ u[1] + b[1])
            candidate = np.tanh(frame @ k[2] + (reset * state) @ u[2] + b[2])
            state = update * state + (1 - update) * candidate
            seen += [update, reset]
        else:
            into, forget, out = (hard(frame @ k[i] + state @ u[i] + b[i]) for i in (0, 1, 3))
            memory = forget * memory + into * np.tanh(frame @ k[2] + state @ u[2] + b[2])
            state = out * np.tanh(memory)
            seen += [into, forget, out]
    return state, np.concatenate(seen)


def found(network, x):
    return network(torch.tensor(x, dtype=torch.float32)).detach().numpy()


def read_out(network, states):
    return np.array(states) @ network.readout.weight.detach().numpy()[0] + float(network.readout.bias.detach()[0])


@pytest.mark.parametrize("name", TORCH_CELLS)
def test_every_network_equals_its_cell_written_out(name):
    network, x, kind = scrambled(name), windows(), name.removeprefix("bi")
    states = [last_state(kind, network.recurrent, window) for window in x]
    if name.startswith("bi"):  # the second layer reads from the end and is read when it has arrived at the beginning
        backwards = [last_state(kind, network.recurrent, window[::-1], "_reverse") for window in x]
        states = np.concatenate([states, backwards], axis=1)
    np.testing.assert_allclose(found(network, x), read_out(network, states), atol=2e-5)


@pytest.mark.parametrize("name", KERAS_CELLS)
def test_the_cells_of_the_study_equal_their_formulas(name):
    network, x = scrambled(name), windows()
    states, gates = zip(*(keras_last_state(name, network.recurrent, window) for window in x), strict=True)
    gates = np.concatenate(gates)
    assert min((gates == 0).mean(), (gates == 1).mean(), ((gates > 0) & (gates < 1)).mean()) > 0.01
    np.testing.assert_allclose(found(network, x), read_out(network, states), atol=2e-5)


@pytest.mark.parametrize("cell", [KerasGRU, KerasLSTM])
def test_gradients_of_the_cells_of_the_study_equal_differences(cell):
    layer = cell(3, 4).double()
    x = torch.tensor(windows(2, 5), requires_grad=True)
    names, values = zip(*layer.named_parameters(), strict=True)

    def state(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), x)

    assert torch.autograd.gradcheck(state, (x, *values))


@pytest.mark.parametrize("name", TORCH_CELLS + KERAS_CELLS)
def test_sizes_follow_from_the_formulas(name):
    n, units = 50, 32
    gates = GATES[name.removeprefix("bi").removesuffix("_keras")]
    biases, directions = 1 if name in KERAS_CELLS else 2, 2 if name.startswith("bi") else 1
    expected = directions * gates * (n * units + units**2 + biases * units) + directions * units + 1
    assert sum(p.numel() for p in models.build(name, n, 15, seed=1).parameters()) == expected


def test_the_gru_of_the_study_has_the_published_size():
    assert sum(p.numel() for p in models.build("gru_keras", 50, 15, seed=1).parameters()) == 7_968 + 33 == 8_001


def test_initial_weights_of_pytorch_layers_are_glorot_and_orthogonal_gate_by_gate():
    for name in TORCH_CELLS:
        weights = arrays(models.build(name, 50, 15, seed=1).recurrent)
        for key, value in weights.items():
            if "weight_ih" in key:
                for gate in value.reshape(-1, 32, 50):
                    bound = np.sqrt(6 / (50 + 32))
                    assert 0.95 * bound < np.abs(gate).max() <= bound
                    assert abs(gate.std() / (bound / np.sqrt(3)) - 1) < 0.05  # uniform
            elif "weight_hh" in key:
                for gate in value.reshape(-1, 32, 32):
                    np.testing.assert_allclose(gate @ gate.T, np.eye(32), atol=1e-5)
            else:
                forget = np.zeros(len(value))
                if "lstm" in name and "bias_ih" in key:
                    forget[32:64] = 1  # once, not in both biases
                np.testing.assert_array_equal(value, forget)


@pytest.mark.parametrize("name", KERAS_CELLS)
def test_initial_weights_of_the_cells_of_the_study_are_drawn_over_all_gates(name):
    weights = arrays(models.build(name, 50, 15, seed=1).recurrent)
    n = len(weights["bias"])
    bound = np.sqrt(6 / (50 + n))
    assert 0.95 * bound < np.abs(weights["kernel"]).max() <= bound
    np.testing.assert_allclose(weights["recurrent_kernel"] @ weights["recurrent_kernel"].T, np.eye(32), atol=1e-5)
    assert weights["kernel"].shape == (50, n) and weights["recurrent_kernel"].shape == (32, n)
    np.testing.assert_array_equal(weights["bias"], np.repeat([0, 1, 0, 0] if n == 128 else [0, 0, 0], 32))


def test_two_directions_start_from_different_weights():
    weights = arrays(models.build("bigru", 5, 3, seed=1).recurrent)
    assert np.abs(weights["weight_ih_l0"] - weights["weight_ih_l0_reverse"]).max() > 0.1


def test_initial_weights_do_not_depend_on_what_was_there():
    layer = torch.nn.LSTM(3, 4)
    torch.manual_seed(0)
    initialise(layer)
    first = arrays(layer)
    for parameter in layer.parameters():
        parameter.data += 5
    torch.manual_seed(0)
    initialise(layer)
    for name, value in arrays(layer).items():
        np.testing.assert_array_equal(value, first[name])


PEER = """
import json, sys
import numpy as np
import keras
from keras import layers, ops

def hard(x):
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)

makers = {
    "gru_keras": lambda: layers.GRU(32, reset_after=False, recurrent_activation=hard),
    "lstm_keras": lambda: layers.LSTM(32, recurrent_activation=hard),
    "gru": lambda: layers.GRU(32), "lstm": lambda: layers.LSTM(32), "rnn": lambda: layers.SimpleRNN(32),
}
given, found = np.load(sys.argv[1]), {}
for name in json.loads(sys.argv[2]):
    layer = makers[name.removeprefix("bi")]()
    if name.startswith("bi"):
        layer = layers.Bidirectional(layer)
    network = keras.Sequential([layer, layers.Dense(1)])
    network.build((None, *given["x"].shape[1:]))
    network.set_weights([given[f"{name}/{i}"] for i in range(len(network.get_weights()))])
    found[name] = np.asarray(network(given["x"]))[:, 0]
np.savez(sys.argv[3], **found)
"""


def keras_weights(name, network):
    """Weights of a network in the order and layout of Keras' ``set_weights``."""
    weights, listed = {k: v.detach().numpy() for k, v in network.named_parameters()}, []
    if name in KERAS_CELLS:
        listed = [weights[f"recurrent.{k}"] for k in ("kernel", "recurrent_kernel", "bias")]
    else:
        for suffix in ("", "_reverse") if name.startswith("bi") else ("",):
            w_ih, w_hh, b_ih, b_hh = (weights[f"recurrent.{k}_l0{suffix}"]
                                      for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
            if name.endswith("gru"):  # PyTorch: reset, update, candidate; Keras: update, reset, candidate
                order = np.r_[32:64, 0:32, 64:96]
                listed += [w_ih[order].T, w_hh[order].T, np.stack([b_ih[order], b_hh[order]])]
            else:
                listed += [w_ih.T, w_hh.T, b_ih + b_hh]
    return [*listed, weights["readout.weight"].T, weights["readout.bias"]]


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    """Outputs of the same networks built with Keras, from one process with its JAX backend."""
    if not (importlib.util.find_spec("keras") and importlib.util.find_spec("jax")):
        pytest.skip("keras with jax is not installed; the numpy references above still hold")
    folder, names = tmp_path_factory.mktemp("keras"), TORCH_CELLS + KERAS_CELLS
    given = {f"{name}/{i}": value for name in names for i, value in enumerate(keras_weights(name, scrambled(name)))}
    np.savez(folder / "given.npz", x=windows().astype(np.float32), **given)
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "KERAS_HOME": str(folder)}
    done = subprocess.run([sys.executable, "-c", PEER, folder / "given.npz", json.dumps(names), folder / "found.npz"],
                          env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return np.load(folder / "found.npz")


@pytest.mark.parametrize("name", TORCH_CELLS + KERAS_CELLS)
def test_keras_gives_the_same(name, peer):
    np.testing.assert_allclose(found(scrambled(name), windows()), peer[name], atol=1e-5, rtol=1e-5)
