"""Recurrent networks from PyTorch's own layers."""

import torch
from torch import nn

from calcium_decoding.models import fused_gru

LAYERS = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}


class RecurrentDecoder(nn.Module):
    """One recurrent layer read at its last step, then one linear unit (Ajioka et al. 2024, ROI decoders).

    Parameters
    ----------
    n_roi : int
        Number of input columns.
    hidden : int
        Units of the recurrent layer, in each direction; 32 in the study.
    cell : {"gru", "lstm", "rnn"}
        The simple recurrent network has tanh units.
    bidirectional : bool
        A second layer reads the window backwards. Each is read at its own last step, after the whole window, and the
        two are put side by side, as Keras' bidirectional wrapper does.

    Notes
    -----
    Initial weights: see :func:`initialise`. Gates are PyTorch's (logistic sigmoid, two bias vectors); the study's had
    a hard sigmoid and one bias: see :class:`~calcium_decoding.models.keras_cells.KerasDecoder`.
    """

    task = "run"

    def __init__(self, n_roi, hidden=32, cell="gru", bidirectional=False):
        super().__init__()
        self.recurrent = LAYERS[cell](n_roi, hidden, batch_first=True, bidirectional=bidirectional)
        self.readout = nn.Linear(hidden * (1 + bidirectional), 1)
        initialise(self.recurrent)
        initialise_dense(self.readout)

    def forward(self, windows):
        """Logits, shape (batch,), of windows, shape (batch, length, n_roi), float32."""
        return self._read(self._last_states(windows))

    def of_stretch(self, frames, length):
        """Logits of every window of uninterrupted frames, shape (n + length - 1, n_roi) -> (n,); no gradients.

        None if windows of this network share nothing: decode them one by one.
        """
        if not fused_gru.applies(self.recurrent, frames):
            return None
        return self._read(fused_gru.last_states_of_stretch(self.recurrent, frames, length))

    def _last_states(self, windows):
        if fused_gru.applies(self.recurrent, windows):
            return fused_gru.last_states(self.recurrent, windows)
        _, last = self.recurrent(windows)
        return last[0] if isinstance(last, tuple) else last  # an LSTM has state and memory; the state is its output

    def _read(self, last_states):
        return self.readout(torch.cat(tuple(last_states), dim=1)).squeeze(-1)


def initialise(layer):
    """Initial weights of a recurrent layer of PyTorch's, drawn in place.

    Glorot uniform from the input, orthogonal recurrent, zero biases; 1 for the forget gate of an LSTM. These are the
    rules of the study's framework, applied to each gate by itself: Keras draws the kernels of all gates as one matrix,
    so its first input weights are smaller (for 50 ROIs and the three gates of 32 units by a factor of 0.75).
    """
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
