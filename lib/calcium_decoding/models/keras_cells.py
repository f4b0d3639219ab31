"""The recurrent cells of the study's framework, TensorFlow 1.15 Keras, step by step.

They differ from PyTorch's in three ways: gates are hard sigmoids, ``clip(0.2 x + 0.5, 0, 1)``; there is one bias
vector; and the GRU resets the state before the recurrent product (``reset_after=False``, Cho et al. 2014, arXiv
1406.1078), not after. Weights have Keras' names, shapes and order of gates, so saved ones fit as they are.
"""

import torch
from torch import nn

from calcium_decoding.models.recurrent import initialise_dense


def hard_sigmoid(x):
    """Keras' hard sigmoid up to version 2, ``clip(0.2 x + 0.5, 0, 1)``; PyTorch's and Keras 3's have slope 1/6."""
    return torch.clamp(0.2 * x + 0.5, 0.0, 1.0)


class _KerasLayer(nn.Module):
    """Weights and their first values: Glorot uniform and orthogonal over all gates at once, zero bias."""

    def __init__(self, n_inputs, units, gates):
        super().__init__()
        self.units = units
        self.kernel = nn.Parameter(torch.empty(n_inputs, gates * units))
        self.recurrent_kernel = nn.Parameter(torch.empty(units, gates * units))
        self.bias = nn.Parameter(torch.zeros(gates * units))
        nn.init.xavier_uniform_(self.kernel)
        nn.init.orthogonal_(self.recurrent_kernel)

    def from_inputs(self, windows):
        """What the inputs add to the gates: one tensor, shape (batch, gates * units), for each frame."""
        return (windows @ self.kernel + self.bias).unbind(1)


class KerasGRU(_KerasLayer):
    """Gated recurrent unit, gates in the order update, reset, candidate.

    Parameters
    ----------
    n_inputs, units : int
    """

    def __init__(self, n_inputs, units):
        super().__init__(n_inputs, units, gates=3)

    def forward(self, windows):
        """State after the last frame, shape (batch, units), of windows, shape (batch, length, n_inputs)."""
        n_gated = 2 * self.units
        for_gates, for_candidate = self.recurrent_kernel[:, :n_gated], self.recurrent_kernel[:, n_gated:]
        state = windows.new_zeros(len(windows), self.units)
        for frame in self.from_inputs(windows):
            update, reset = hard_sigmoid(frame[:, :n_gated] + state @ for_gates).chunk(2, dim=1)
            candidate = torch.tanh(frame[:, n_gated:] + (reset * state) @ for_candidate)
            state = update * state + (1.0 - update) * candidate
        return state


class KerasLSTM(_KerasLayer):
    """Long short-term memory, gates in the order input, forget, candidate, output; forget bias 1 at first.

    Parameters
    ----------
    n_inputs, units : int
    """

    def __init__(self, n_inputs, units):
        super().__init__(n_inputs, units, gates=4)
        self.bias.data[units:2 * units] = 1.0

    def forward(self, windows):
        """State after the last frame, shape (batch, units), of windows, shape (batch, length, n_inputs)."""
        state = memory = windows.new_zeros(len(windows), self.units)
        for frame in self.from_inputs(windows):
            into, forget, candidate, out = (frame + state @ self.recurrent_kernel).chunk(4, dim=1)
            memory = hard_sigmoid(forget) * memory + hard_sigmoid(into) * torch.tanh(candidate)
            state = hard_sigmoid(out) * torch.tanh(memory)
        return state


class KerasDecoder(nn.Module):
    """One recurrent layer of the study's framework read at its last step, then one linear unit.

    With 50 ROIs and 32 units the GRU has the 8,001 parameters of the study's saved model (Ajioka et al. 2024, code).

    Parameters
    ----------
    n_roi : int
        Number of input columns.
    hidden : int
        Units of the recurrent layer; 32 in the study.
    cell : {"gru", "lstm"}
    """

    task = "run"

    def __init__(self, n_roi, hidden=32, cell="gru"):
        super().__init__()
        self.recurrent = {"gru": KerasGRU, "lstm": KerasLSTM}[cell](n_roi, hidden)
        self.readout = nn.Linear(hidden, 1)
        initialise_dense(self.readout)

    def forward(self, windows):
        """Logits, shape (batch,), of windows, shape (batch, length, n_roi), float32."""
        return self.readout(self.recurrent(windows)).squeeze(-1)
