"""Recurrent decoders: PyTorch's layers, the cells of the study's framework, and the study's network of speed.

In TensorFlow 1.15 Keras gates are hard sigmoids, ``clip(0.2 x + 0.5, 0, 1)``; there is one bias vector; the GRU resets
the state before the recurrent product (``reset_after=False``, Cho et al. 2014, arXiv 1406.1078). Weights have Keras'
names, shapes and order of gates, so saved ones fit as they are.
"""

import torch
from torch import nn

from calcium_decoding.models import fused_gru
from calcium_decoding.models.heads import BINARY, InUnits
from calcium_decoding.models.linear import QUANTITY, finite_speed

LAYERS = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}


class RecurrentDecoder(nn.Module):
    """One recurrent layer read at its last step, then one linear unit (Ajioka et al. 2024, ROI decoders). Its gates are
    PyTorch's; the study's are those of :class:`KerasDecoder`.

    Parameters
    ----------
    n_roi : int
    hidden : int
        Units of the recurrent layer, in each direction; 32 in the study.
    cell : {"gru", "lstm", "rnn"}
        The simple recurrent network has tanh units.
    bidirectional : bool
        A second layer reads the window backwards; each is read at its own last step, and the two are put side by side.
    head : Head
        A logit, or one a class.
    """

    def __init__(self, n_roi, hidden=32, cell="gru", bidirectional=False, head=BINARY):
        super().__init__()
        self.head = head
        self.recurrent = LAYERS[cell](n_roi, hidden, batch_first=True, bidirectional=bidirectional)
        self.readout = nn.Linear(hidden * (1 + bidirectional), head.size)
        initialise(self.recurrent)
        initialise_dense(self.readout)

    def forward(self, windows):
        """Logits, shape (batch,), of windows, shape (batch, length, n_roi), float32."""
        return self._read(self._last_states(windows))

    def of_stretch(self, frames, length):
        """Logits (n,) of every window of uninterrupted frames, (n + length - 1, n_roi), without gradients; None if
        windows of this network share nothing."""
        if not fused_gru.applies(self.recurrent, frames):
            return None
        return self._read(fused_gru.last_states_of_stretch(self.recurrent, frames, length))

    def _last_states(self, windows):
        if fused_gru.applies(self.recurrent, windows):
            return fused_gru.last_states(self.recurrent, windows)
        _, last = self.recurrent(windows)
        return last[0] if isinstance(last, tuple) else last  # an LSTM has state and memory; the state is its output

    def _read(self, last_states):
        return self.readout(torch.cat(tuple(last_states), dim=1)).view(-1, *self.head.shape)


def initialise(layer):
    """Initial weights of a recurrent layer of PyTorch's, by the rules of Keras for each gate by itself: Glorot uniform
    from the input, orthogonal recurrent, zero biases; 1 for the forget gate of an LSTM."""
    hidden = layer.hidden_size
    for direction in ("", "_reverse")[:1 + layer.bidirectional]:
        from_input, recurrent, bias, second_bias = (
            getattr(layer, f"{name}_l0{direction}").data for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        for first_row in range(0, len(recurrent), hidden):
            nn.init.xavier_uniform_(from_input[first_row:first_row + hidden])
            nn.init.orthogonal_(recurrent[first_row:first_row + hidden])
        nn.init.zeros_(bias)
        nn.init.zeros_(second_bias)
        if isinstance(layer, nn.LSTM):
            bias[hidden:2 * hidden] = 1.0  # gates in PyTorch's order: input, forget, candidate, output


def initialise_dense(layer):
    """Initial weights of a dense layer as in Keras, in place: Glorot uniform, zero bias."""
    nn.init.zeros_(layer.bias)
    nn.init.xavier_uniform_(layer.weight)


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
    """Gated recurrent unit, gates in the order update, reset, candidate."""

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
    """Long short-term memory, gates in the order input, forget, candidate, output; forget bias 1 at first."""

    def __init__(self, n_inputs, units):
        super().__init__(n_inputs, units, gates=4)
        self.bias.data[units:2 * units] = 1.0

    def forward(self, windows):
        state = memory = windows.new_zeros(len(windows), self.units)
        for frame in self.from_inputs(windows):
            into, forget, candidate, out = (frame + state @ self.recurrent_kernel).chunk(4, dim=1)
            memory = hard_sigmoid(forget) * memory + hard_sigmoid(into) * torch.tanh(candidate)
            state = hard_sigmoid(out) * torch.tanh(memory)
        return state


class KerasDecoder(nn.Module):
    """As :class:`RecurrentDecoder`, with a layer of the study's framework, ``cell`` "gru" or "lstm". With 50 ROIs and
    32 units the GRU has the 8,001 parameters of the study's saved model (Ajioka et al. 2024, code)."""

    def __init__(self, n_roi, hidden=32, cell="gru", head=BINARY):
        super().__init__()
        self.head = head
        self.recurrent = {"gru": KerasGRU, "lstm": KerasLSTM}[cell](n_roi, hidden)
        self.readout = nn.Linear(hidden, head.size)
        initialise_dense(self.readout)

    def forward(self, windows):
        return self.readout(self.recurrent(windows)).view(-1, *self.head.shape)


class SpeedDecoder(InUnits):
    """Two recurrent layers and three dense ones, each dense one behind batch normalisation and dropout.

    GRU of 64 units, every step; GRU of 32, last step; then 16 and 8 ReLU units and one linear unit (Ajioka et al.
    2024). ``scaled`` is ours: the output is in units of the SD of the training speed about its mean. Batch
    normalisation as in Keras but for the divisor of the running variance (n - 1; Keras: n).
    """

    scale = None  # the loss is in the unit of the labels

    def __init__(self, n_roi, scaled=False, head=QUANTITY):
        super().__init__(head)
        self.scaled = scaled
        self.first = nn.GRU(n_roi, 64, batch_first=True)
        self.second = nn.GRU(64, 32, batch_first=True)
        self.dense = nn.Sequential(
            _BatchNorm(32), nn.Dropout(0.3), nn.Linear(32, 16), nn.ReLU(),
            _BatchNorm(16), nn.Dropout(0.2), nn.Linear(16, 8), nn.ReLU(),
            _BatchNorm(8), nn.Dropout(0.1), nn.Linear(8, head.size))
        initialise(self.first)
        initialise(self.second)
        for layer in self.dense:
            if isinstance(layer, nn.Linear):
                initialise_dense(layer)

    def extra_repr(self):
        """What tells the two kinds apart where a network is named by its text."""
        return f"scaled={self.scaled}"

    def prepare(self, windows):
        """Take mean and SD of the training speed, if ``scaled``; DataError if one is NaN or infinite."""
        finite_speed(windows)
        if self.scaled:
            super().prepare(windows)

    def forward(self, windows):
        """Speed, shape (batch,), of windows, shape (batch, length, n_roi), float32."""
        every_step, _ = self.first(windows)
        _, last = self.second(every_step)
        return self.in_units(self.dense(last[-1]))


class _BatchNorm(nn.BatchNorm1d):
    """Batch normalisation with Keras' settings that also takes a batch of one window, the rest of an epoch."""

    def __init__(self, n):
        super().__init__(n, eps=1e-3, momentum=0.01)

    def forward(self, x):
        if self.training and len(x) == 1:  # one window has no variance: use the running one and leave it alone
            return nn.functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias,
                                            training=False, eps=self.eps)
        return super().forward(x)
