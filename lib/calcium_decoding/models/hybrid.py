"""Networks of footsteps, after Mirzaee, Chang, Latifi 2025 (arXiv 2504.16917); sizes and layers are those of the first
author's public code. Every network takes windows ``(batch, frames, cells)`` and gives a dict of outputs by head."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from calcium_decoding.errors import ParameterError
from calcium_decoding.models.names import FOOTSTEP_NETWORKS, FOOTSTEP_SIZES


@dataclass(frozen=True)
class HybridSize:
    """Size of the hybrid network: units of a direction of the recurrent layers; attention heads, a divisor of twice
    ``units`` and, without the recurrent part, of the last of ``channels``; these are multiples of 8."""

    units: int = 128
    dropout: float = 0.5
    attention_heads: int = 8
    channels: tuple[int, int, int] = (64, 128, 256)


# Both versions cite "Table 2" of the preprint; which of them it prints is not known. The small one is ours, for pages
# that have to be ready in minutes.
SIZES = {"april_9": HybridSize(), "april_17": HybridSize(256, 0.6, 16), "small": HybridSize(32, 0.3, 4, (32, 48, 64))}


class MixedNorm(nn.Module):
    """Sum of batch, group and layer normalisation of ``(batch, channels, frames)`` with learned weights."""

    def __init__(self, channels, groups=8):
        super().__init__()
        self.batch, self.group = nn.BatchNorm1d(channels), nn.GroupNorm(groups, channels)
        self.layer, self.mix = nn.LayerNorm(channels), nn.Parameter(torch.zeros(3))

    def forward(self, x):
        weights = self.mix.softmax(0)
        layer = self.layer(x.transpose(1, 2)).transpose(1, 2)
        return weights[0] * self.batch(x) + weights[1] * self.group(x) + weights[2] * layer


class Convolutions(nn.Module):
    """Three convolutions over time with mixed normalisation, and a skip of kernel 1 around them: ``(batch, frames,
    cells)`` becomes ``(batch, frames, channels[-1])``."""

    def __init__(self, n_cells, size):
        super().__init__()
        widths = (n_cells, *size.channels)
        blocks = []
        for i, (a, b) in enumerate(pairwise(widths)):
            blocks += [nn.Conv1d(a, b, 3, padding=1), MixedNorm(b), nn.ReLU()]
            blocks += [nn.Dropout(size.dropout / 2)] if i < 2 else []
        self.blocks, self.skip = nn.Sequential(*blocks), nn.Conv1d(n_cells, widths[-1], 1)
        self.norm = nn.GroupNorm(8, widths[-1])
        for module in self.modules():
            if isinstance(module, nn.Conv1d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, x):
        x = x.transpose(1, 2)
        return self.norm(self.blocks(x) + self.skip(x)).transpose(1, 2)


def _dense_head(width, hidden, dropout, outputs):
    head = nn.Sequential(nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Dropout(dropout),
                         nn.Linear(hidden, outputs))
    _xavier(head)
    return head


def _xavier(module):
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


def _lstm(inputs, units, dropout, bidirectional):
    lstm = nn.LSTM(inputs, units, 2, batch_first=True, bidirectional=bidirectional, dropout=dropout)
    for name, values in lstm.named_parameters():
        if name.startswith("weight_hh"):
            for gate in values.data.chunk(4):
                nn.init.orthogonal_(gate)
        elif name.startswith("weight_ih"):
            nn.init.xavier_uniform_(values)
        else:
            nn.init.zeros_(values)
    return lstm


class Hybrid(nn.Module):
    """Convolutions, BiLSTM, self-attention over time, mean over time, one dense head an output. ``heads`` (dict of str
    to int): outputs of each. ``without`` ({"", "attention", "convolution", "bilstm"}): the part that is left out."""

    def __init__(self, n_cells, heads, size, without=""):
        super().__init__()
        width = n_cells
        self.convolutions = self.lstm = self.attention = None
        if without != "convolution":
            self.convolutions, width = Convolutions(n_cells, size), size.channels[-1]
        if without != "bilstm":
            self.lstm, width = _lstm(width, size.units, size.dropout, True), 2 * size.units
        if without != "attention":
            self.attention = nn.MultiheadAttention(width, size.attention_heads, batch_first=True)
        self.heads = nn.ModuleDict({name: _dense_head(width, size.units, size.dropout, n)
                                    for name, n in heads.items()})

    def forward(self, x):
        """Outputs by head, each ``(batch, outputs)``, of windows ``(batch, frames, cells)``."""
        features = self.features(x)
        if self.attention is not None:
            features = self.attention(features, features, features, need_weights=False)[0]
        pooled = features.mean(1)
        return {name: head(pooled) for name, head in self.heads.items()}

    def features(self, x):
        """Features of each frame before the attention, ``(batch, frames, width)``."""
        x = x if self.convolutions is None else self.convolutions(x)
        return x if self.lstm is None else self.lstm(x)[0]

    def attention_weights(self, x):
        """Attention from each frame to each, ``(batch, attention heads, frames, frames)``; ParameterError if none."""
        if self.attention is None:
            raise ParameterError("network", "one without attention", "one with attention", "use 'hybrid'")
        features = self.features(x)
        return self.attention(features, features, features, average_attn_weights=False)[1]


class LstmBaseline(nn.Module):
    """The study's baseline ("Table 1"): LSTM of two layers of 64 units, last step, dense layers of 64 and 32."""

    def __init__(self, n_cells, heads, dropout=0.3):
        super().__init__()
        self.lstm = _lstm(n_cells, 64, dropout, False)
        self.dense = nn.Sequential(nn.BatchNorm1d(64), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(dropout),
                                   nn.Linear(64, 32), nn.ReLU(), nn.Dropout(dropout))
        self.heads = nn.ModuleDict({name: nn.Linear(32, n) for name, n in heads.items()})
        _xavier(self.dense)
        _xavier(self.heads)

    def forward(self, x):
        last = self.dense(self.lstm(x)[0][:, -1])
        return {name: head(last) for name, head in self.heads.items()}


def build(name, n_cells, heads, size="april_9", seed=0):
    """A fresh network by its name in :data:`~calcium_decoding.models.names.FOOTSTEP_NETWORKS`. ``heads`` (dict of str
    to int): outputs of each. ``size``: HybridSize or a name in :data:`SIZES`. ``seed``: of the weights."""
    if name not in FOOTSTEP_NETWORKS:
        raise ParameterError("network", repr(name), f"one of {', '.join(FOOTSTEP_NETWORKS)}", "name one of these")
    if isinstance(size, str) and size not in FOOTSTEP_SIZES:
        raise ParameterError("size", repr(size), f"one of {', '.join(FOOTSTEP_SIZES)}", "name one of these")
    if not heads or min(heads.values()) < 1:
        raise ParameterError("heads", f"{heads}", "one or more, each with outputs", "say what is decoded")
    if n_cells < 1:
        raise ParameterError("n_cells", n_cells, "1 or more", "give the number of columns of the signal")
    size = SIZES[size] if isinstance(size, str) else size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name == "lstm":
            return LstmBaseline(n_cells, heads)
        return Hybrid(n_cells, heads, size, "" if name == "hybrid" else name.removeprefix("no_"))
