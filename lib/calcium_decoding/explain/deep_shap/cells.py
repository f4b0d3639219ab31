"""Recurrent cells frame by frame, forwards and, for a pair of windows, backwards with DeepLIFT's multipliers: how much
of the difference of an output between two windows correlates with the difference of an input, per unit of it.

Two rules carry a multiplier back exactly: rescale, for a function of one number: the slope of the line through both
points (Shrikumar et al. 2017, arXiv 1704.02685); product, for two factors that both differ: ``ab - a'b' = (a - a')(b +
b')/2 + (b - b')(a + a')/2``, which treats both alike: the Shapley value of two players.
"""

import torch

from calcium_decoding.errors import ParameterError
from calcium_decoding.models import KerasDecoder, KerasGRU, RecurrentDecoder
from calcium_decoding.models.names import EXPLAINED
from calcium_decoding.models.recurrent import hard_sigmoid


def cells_of(decoder):
    """The cells of a decoder, one a direction. Raises ParameterError: there are no rules for such a decoder."""
    if isinstance(decoder, RecurrentDecoder):
        layer = decoder.recurrent
        return [_CELLS[type(layer)](*_pytorch_weights(layer, name), torch.sigmoid)
                for name in ("", "_reverse")[: 1 + layer.bidirectional]]
    if isinstance(decoder, KerasDecoder):
        layer = decoder.recurrent
        weights = (layer.kernel.detach().t(), layer.recurrent_kernel.detach().t(), layer.bias.detach(),
                   torch.zeros_like(layer.bias))
        return [(KerasGru if isinstance(layer, KerasGRU) else Lstm)(*weights, hard_sigmoid)]
    raise ParameterError("decoder", type(decoder).__name__, f"the decoder of a model among {', '.join(EXPLAINED)}",
                         "name one of these models; a linear one has its weights to look at")


def _pytorch_weights(layer, direction):
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return [getattr(layer, f"{name}_l0{direction}").detach() for name in names]


def slope(at, at_other, y, y_other, derivative):
    """Rescale rule: (y - y') / (a - a'), or ``derivative`` between both points where the arguments nearly agree."""
    difference = at - at_other
    near = difference.abs() < torch.finfo(at.dtype).eps ** 0.4
    return torch.where(near, derivative, (y - y_other) / torch.where(near, 1.0, difference))


def logistic_slope(at, at_other, y, y_other):
    """:func:`slope` of the logistic curve."""
    middle = (y + y_other) / 2
    return slope(at, at_other, y, y_other, middle * (1 - middle))


def hard_slope(at, at_other, y, y_other):
    """:func:`slope` of Keras' hard sigmoid, which is straight between its two bends."""
    straight = (y > 0) & (y < 1) & (y_other > 0) & (y_other < 1)
    difference = at - at_other
    return torch.where(straight, 0.2, (y - y_other) / torch.where(difference == 0, 1.0, difference))


def _middle(pair):
    return (pair[0] + pair[1]) / 2


def _through_tanh(at, y):
    return slope(*at, *y, 1 - _middle(y) ** 2)


class _Cell:
    """Weights of a cell, gates in rows: ``from_input`` (G, n_roi), ``recurrent`` (G, H), two biases (G,).

    ``forward`` keeps what each frame did as a dict of tensors, shape (n, ·). ``back`` takes such a dict of pairs (of
    explained windows, of background) and carries multipliers, shape (explained, background, ·), back by one frame.
    """

    def __init__(self, from_input, recurrent, bias, second_bias, gate):
        self.from_input, self.recurrent, self.bias, self.second_bias = from_input, recurrent, bias, second_bias
        self.gate = gate
        self.hidden = recurrent.shape[1]

    def to(self, device, dtype):
        weights = (self.from_input, self.recurrent, self.bias, self.second_bias)
        return type(self)(*(w.to(device, dtype) for w in weights), self.gate)

    def forward(self, windows):
        """What each frame did, a list of dicts, and the last state, of windows (n, length, n_roi)."""
        given = windows @ self.from_input.t() + self.bias
        state, frames = self._start(windows), []
        for t in range(windows.shape[1]):
            did, state = self._step(given[:, t], state)
            frames.append(did)
        return frames, state[0]

    def begin(self, multiplier):
        """Multipliers of everything that a frame hands on, from those of the last state."""
        return (multiplier,)

    def _start(self, windows):
        return (windows.new_zeros(len(windows), self.hidden),)

    def _through_gate(self, at, y):
        return (logistic_slope if self.gate is torch.sigmoid else hard_slope)(*at, *y)


class Rnn(_Cell):
    """Simple recurrent cell with tanh."""

    def _step(self, given, state):
        at = given + state[0] @ self.recurrent.t() + self.second_bias
        y = torch.tanh(at)
        return {"at": at, "y": y}, (y,)

    def back(self, multipliers, pair):
        """Multipliers of what the input adds, (explained, background, G), and of all that the frame before hands on."""
        into = multipliers[0] * _through_tanh(pair["at"], pair["y"])
        return into, (into @ self.recurrent,)


class Gru(_Cell):
    """PyTorch's GRU, gates in the order reset, update, candidate; the reset gate multiplies the recurrent product."""

    def _step(self, given, state):
        h, two = state[0], 2 * self.hidden
        from_state = h @ self.recurrent.t() + self.second_bias
        at = given[:, :two] + from_state[:, :two]
        gates = self.gate(at)
        reset, update = gates.chunk(2, dim=1)
        product = from_state[:, two:]
        at_candidate = given[:, two:] + reset * product
        candidate = torch.tanh(at_candidate)
        did = {"at": at, "gates": gates, "reset": reset, "update": update, "product": product,
               "at_candidate": at_candidate, "candidate": candidate, "gap": h - candidate}
        return did, (candidate + update * (h - candidate),)

    def back(self, multipliers, pair):
        m = multipliers[0]
        kept = m * _middle(pair["update"])
        of_candidate = (m - kept) * _through_tanh(pair["at_candidate"], pair["candidate"])
        of_gates = torch.cat([of_candidate * _middle(pair["product"]), m * _middle(pair["gap"])], dim=-1)
        of_gates = of_gates * self._through_gate(pair["at"], pair["gates"])
        of_product = of_candidate * _middle(pair["reset"])
        before = kept + torch.cat([of_gates, of_product], dim=-1) @ self.recurrent
        return torch.cat([of_gates, of_candidate], dim=-1), (before,)


class KerasGru(_Cell):
    """Keras' first GRU, gates in the order update, reset, candidate; the reset gate multiplies the state."""

    def _step(self, given, state):
        h, two = state[0], 2 * self.hidden
        at = given[:, :two] + h @ self.recurrent[:two].t()
        gates = self.gate(at)
        update, reset = gates.chunk(2, dim=1)
        at_candidate = given[:, two:] + (reset * h) @ self.recurrent[two:].t()
        candidate = torch.tanh(at_candidate)
        did = {"at": at, "gates": gates, "reset": reset, "update": update, "before": h,
               "at_candidate": at_candidate, "candidate": candidate, "gap": h - candidate}
        return did, (candidate + update * (h - candidate),)

    def back(self, multipliers, pair):
        m, two = multipliers[0], 2 * self.hidden
        kept = m * _middle(pair["update"])
        of_candidate = (m - kept) * _through_tanh(pair["at_candidate"], pair["candidate"])
        of_product = of_candidate @ self.recurrent[two:]
        of_gates = torch.cat([m * _middle(pair["gap"]), of_product * _middle(pair["before"])], dim=-1)
        of_gates = of_gates * self._through_gate(pair["at"], pair["gates"])
        before = kept + of_product * _middle(pair["reset"]) + of_gates @ self.recurrent[:two]
        return torch.cat([of_gates, of_candidate], dim=-1), (before,)


class Lstm(_Cell):
    """LSTM, which hands on state and memory; gates in the order input, forget, candidate, output, as everywhere."""

    def _start(self, windows):
        return _Cell._start(self, windows) * 2

    def begin(self, multiplier):
        """See :meth:`_Cell.begin`; nothing asks for the last memory."""
        return multiplier, torch.zeros_like(multiplier)

    def _step(self, given, state):
        h, memory = state
        at = given + h @ self.recurrent.t() + self.second_bias
        at_into, at_forget, at_candidate, at_out = at.chunk(4, dim=1)
        into, forget, out = self.gate(at_into), self.gate(at_forget), self.gate(at_out)
        candidate = torch.tanh(at_candidate)
        kept = forget * memory + into * candidate
        shown = torch.tanh(kept)
        did = {"at_into": at_into, "at_forget": at_forget, "at_candidate": at_candidate, "at_out": at_out,
               "into": into, "forget": forget, "candidate": candidate, "out": out, "before": memory, "memory": kept,
               "shown": shown}
        return did, (out * shown, kept)

    def back(self, multipliers, pair):
        m, of_memory = multipliers
        of_memory = of_memory + m * _middle(pair["out"]) * _through_tanh(pair["memory"], pair["shown"])
        into = torch.cat([
            of_memory * _middle(pair["candidate"]) * self._through_gate(pair["at_into"], pair["into"]),
            of_memory * _middle(pair["before"]) * self._through_gate(pair["at_forget"], pair["forget"]),
            of_memory * _middle(pair["into"]) * _through_tanh(pair["at_candidate"], pair["candidate"]),
            m * _middle(pair["shown"]) * self._through_gate(pair["at_out"], pair["out"])], dim=-1)
        return into, (into @ self.recurrent, of_memory * _middle(pair["forget"]))


_CELLS = {torch.nn.GRU: Gru, torch.nn.LSTM: Lstm, torch.nn.RNN: Rnn}
