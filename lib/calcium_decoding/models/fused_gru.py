"""A gated recurrent unit on the CPU whose elementwise work is one pass: about twice as fast to train as ``nn.GRU``.

Same cell, weights and gradients as :class:`torch.nn.GRU` of one layer, for the one use this library has for it: windows
in, state after the last frame out, gradients for the weights. PyTorch runs some twenty small operations a time step;
here a step is two matrix products and one loop that numba compiles to vector instructions. Everything else (CUDA,
double precision, gradients for the input) is left to ``nn.GRU``. Measured in ``benchmarks/roi_rnn.py``.
"""

import numba
import numpy as np
import torch

BLOCK = 512  # windows at a time in inference: their states stay in the cache

# Sums may be reordered and multiplications fused, as in any BLAS; NaN and infinity keep their meaning, so a training
# that diverges shows. Without error_model="numpy" a check for division by zero would keep loops from being vectorised.
_OPTIONS = {"error_model": "numpy", "fastmath": {"contract", "arcp", "reassoc", "nsz"}, "nogil": True, "cache": True}


def applies(gru, windows):
    """Whether :func:`last_states` can stand in for ``gru(windows)``: one layer of float32 on the CPU."""
    return (isinstance(gru, torch.nn.GRU) and gru.num_layers == 1 and gru.bias
            and windows.device.type == "cpu" and windows.dtype == torch.float32 and not windows.requires_grad)


def last_states(gru, windows):
    """What ``gru(windows)[1]`` is, a Tensor, shape (batch, hidden), a direction, of windows, shape (batch, length,
    n_roi), fastest if time comes first in memory; differentiable with respect to the weights."""
    time_first = windows.transpose(0, 1).contiguous()
    forward, *backward = _weights(gru)
    return (_LastState.apply(time_first, *forward), *(_LastState.apply(time_first.flip(0), *w) for w in backward))


def last_states_of_stretch(gru, frames, length):
    """The same for every window of uninterrupted frames, shape (n + length - 1, n_roi), without gradients: windows
    share them, so what the input gives to the gates is computed once a frame."""
    n = len(frames) - length + 1
    states = []
    for backwards, weights in enumerate(_weights(gru)):
        arrays = [w.detach().numpy() for w in weights]
        state = torch.empty(n, gru.hidden_size)
        for start in range(0, n, BLOCK):
            stop = min(start + BLOCK, n)
            rows = frames[start : stop + length - 1]
            found = _stretch((rows.flip(0) if backwards else rows).contiguous().numpy(), length, *arrays)
            state[start:stop] = torch.from_numpy(found[:, ::-1].T.copy() if backwards else found.T)
        states.append(state)
    return tuple(states)


def _weights(gru):
    """W_ih, W_hh, b_ih, b_hh of each direction."""
    return [[getattr(gru, f"{name}_l0{direction}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            for direction in ("", "_reverse")[: 1 + gru.bidirectional]]


class _LastState(torch.autograd.Function):
    """Batch last in memory (hidden, batch): every loop then runs along contiguous memory."""

    @staticmethod
    def forward(ctx, windows, *weights):
        length, batch, _ = windows.shape
        hidden = weights[1].shape[1]
        state = torch.empty(length + 1, hidden, batch)
        state[0] = 0
        gates, recurrent = torch.empty(length, 3 * hidden, batch), torch.empty(length, hidden, batch)
        _forward(windows.numpy(), *(w.detach().numpy() for w in weights), state.numpy(), gates.numpy(),
                 recurrent.numpy())
        ctx.save_for_backward(windows, weights[1], state, gates, recurrent)
        return state[-1].t()

    @staticmethod
    def backward(ctx, grad):
        windows, w_hh, state, gates, recurrent = ctx.saved_tensors
        rows = gates.shape[1]
        grads = [torch.zeros(rows, windows.shape[2]), torch.zeros_like(w_hh), torch.zeros(rows), torch.zeros(rows)]
        _backward(grad.t().clone(memory_format=torch.contiguous_format).numpy(), windows.numpy(),
                  w_hh.detach().t().contiguous().numpy(), state.numpy(), gates.numpy(), recurrent.numpy(),
                  *(g.numpy() for g in grads))
        return None, *grads


@numba.njit(inline="always", error_model="numpy")
def _tanh(x):
    # A rational function of degree 9 over 8, fitted by us for least largest relative error on -9 .. 9: 2e-8 in exact
    # arithmetic, 4e-7 in float32. Its only slow instruction is one division. Beyond 9 tanh is 1 in float32. The
    # comparisons let NaN through.
    limit = np.float32(9.0)
    x = limit if x > limit else x
    x = -limit if x < -limit else x
    y = x * x
    p = np.float32(1.335465451e-08)
    p = p * y + np.float32(2.060907690e-05)
    p = p * y + np.float32(3.495587770e-03)
    p = p * y + np.float32(1.338102532e-01)
    p = p * y + np.float32(9.999999794e-01)
    q = np.float32(7.776555350e-07)
    q = q * y + np.float32(3.285634257e-04)
    q = q * y + np.float32(2.587698079e-02)
    q = q * y + np.float32(4.671434091e-01)
    q = q * y + np.float32(1.0)
    return x * p / q


@numba.njit(inline="always", error_model="numpy")
def _sigmoid(x):
    return np.float32(0.5) * _tanh(np.float32(0.5) * x) + np.float32(0.5)


@numba.njit(**_OPTIONS)
def _step(given, offset, gates, b_ih, b_hh, before, recurrent, after):
    """One time step in place: ``gates`` (3H, B) comes in as W_hh h and goes out as r, z, n.

    ``given`` (3H, >= offset + B) is W_ih x; ``recurrent`` (H, B) keeps what r multiplies; ``after`` may be ``before``.
    """
    hidden, batch = before.shape
    for j in range(2 * hidden):
        gate, bias = gates[j], b_ih[j] + b_hh[j]
        for b in range(batch):
            gate[b] = _sigmoid(gate[b] + given[j, offset + b] + bias)
    for j in range(hidden):
        k = 2 * hidden + j
        r, z, n, a = gates[j], gates[hidden + j], gates[k], recurrent[j]
        old, new = before[j], after[j]
        for b in range(batch):
            a[b] = n[b] + b_hh[k]
        for b in range(batch):
            n[b] = _tanh(given[k, offset + b] + b_ih[k] + r[b] * a[b])
        for b in range(batch):
            new[b] = n[b] + z[b] * (old[b] - n[b])


@numba.njit(**_OPTIONS)
def _forward(windows, w_ih, w_hh, b_ih, b_hh, state, gates, recurrent):
    given = np.empty(gates.shape[1:], np.float32)
    for t in range(len(windows)):
        np.dot(w_ih, windows[t].T, given)
        np.dot(w_hh, state[t], gates[t])
        _step(given, 0, gates[t], b_ih, b_hh, state[t], recurrent[t], state[t + 1])


@numba.njit(**_OPTIONS)
def _stretch(frames, length, w_ih, w_hh, b_ih, b_hh):
    hidden, batch = w_hh.shape[1], len(frames) - length + 1
    given = np.dot(w_ih, frames.T)
    state, recurrent = np.zeros((hidden, batch), np.float32), np.empty((hidden, batch), np.float32)
    gates = np.empty((3 * hidden, batch), np.float32)
    for t in range(length):
        np.dot(w_hh, state, gates)
        _step(given, t, gates, b_ih, b_hh, state, recurrent, state)
    return state


@numba.njit(**_OPTIONS)
def _gate_gradients(grad, state, gates, recurrent, out):
    """Gradients of what goes into the gates, (3H, B), r and z as they are and n before r; ``grad`` becomes z grad."""
    one = np.float32(1)
    hidden, batch = grad.shape
    for j in range(hidden):
        r, z, n, a = gates[j], gates[hidden + j], gates[2 * hidden + j], recurrent[j]
        d, old = grad[j], state[j]
        d_r, d_z, d_n = out[j], out[hidden + j], out[2 * hidden + j]
        for b in range(batch):
            d_n[b] = d[b] * (one - z[b]) * (one - n[b] * n[b])
        for b in range(batch):
            d_z[b] = d[b] * (old[b] - n[b]) * z[b] * (one - z[b])
        for b in range(batch):
            d_r[b] = d_n[b] * a[b] * r[b] * (one - r[b])
        for b in range(batch):
            d[b] *= z[b]


@numba.njit(**_OPTIONS)
def _add_to(total, part):
    for j in range(len(total)):
        for i in range(total.shape[1]):
            total[j, i] += part[j, i]


@numba.njit(**_OPTIONS)
def _add_rows_to(total, part):
    for j in range(len(total)):
        row, found = part[j], np.float32(0)
        for b in range(len(row)):
            found += row[b]
        total[j] += found


@numba.njit(**_OPTIONS)
def _backward(grad, windows, w_hh_t, state, gates, recurrent, d_w_ih, d_w_hh, d_b_ih, d_b_hh):
    hidden = len(grad)
    d = np.empty(gates.shape[1:], np.float32)
    back = np.empty_like(grad)
    of_ih, of_hh = np.empty_like(d_w_ih), np.empty_like(d_w_hh)
    for t in range(len(windows) - 1, -1, -1):
        _gate_gradients(grad, state[t], gates[t], recurrent[t], d)
        _add_to(d_w_ih, np.dot(d, windows[t], of_ih))
        _add_rows_to(d_b_ih, d)
        for j in range(hidden):  # the recurrent side of n lies behind r
            row, r = d[2 * hidden + j], gates[t, j]
            for b in range(len(row)):
                row[b] *= r[b]
        _add_to(d_w_hh, np.dot(d, state[t].T, of_hh))
        _add_rows_to(d_b_hh, d)
        _add_to(grad, np.dot(w_hh_t, d, back))
