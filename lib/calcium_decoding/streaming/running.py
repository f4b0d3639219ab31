"""Fitted decoders, frame by frame: each keeps of its window what the next frame leaves in it."""

import numba
import numpy as np
import torch
from torch import nn

from calcium_decoding.models import fused_gru, training
from calcium_decoding.models.decoders import head_of
from calcium_decoding.models.images.cnn_rnn import SequenceDecoder, for_inference
from calcium_decoding.models.online import OnlineDecoder
from calcium_decoding.models.recurrent import RecurrentDecoder
from calcium_decoding.preprocessing.windows import WindowSet
from calcium_decoding.streaming.steps import Kept


def running(decoder, spec, shape):
    """What runs a fitted decoder on frames of a shape: ``push(frame)``, then ``value(centre)``, what ``predict`` says
    of the window that ends with it, shape (1, ...), whose centre has this number in its recording."""
    if len(shape) == 2:
        of = Sequences if isinstance(decoder, SequenceDecoder) else Windows
        return of(for_inference(decoder), spec, shape)
    if isinstance(decoder, OnlineDecoder):
        return Shown(decoder, spec, shape)
    if isinstance(decoder, RecurrentDecoder) and isinstance(decoder.recurrent, nn.GRU) and \
            not decoder.recurrent.bidirectional:
        return Carried(decoder, spec, shape)
    return Windows(decoder.eval() if isinstance(decoder, nn.Module) else decoder, spec, shape)


class Windows(Kept):
    """Any decoder, on the window as a whole."""

    KEPT = ("rows",)

    def __init__(self, decoder, spec, shape):
        self.decoder, self.spec, self.shape = decoder, spec, shape

    def reset(self):
        self.rows = np.zeros((self.spec.length, *self.shape), np.float32)

    def push(self, row):
        self.rows[:-1], self.rows[-1] = self.rows[1:], row

    def value(self, centre):
        if isinstance(self.decoder, nn.Module):
            with torch.inference_mode():
                outputs = self.decoder(self._batch())
            return self.decoder.decoded(outputs) if isinstance(outputs, dict) else \
                head_of(self.decoder).decoded(outputs.numpy())
        none = np.zeros(1, np.int64)
        return training.predict(self.decoder, WindowSet(self.rows, none, none, none, np.array([centre]), ("stream",),
                                                        self.spec))

    def _batch(self):
        found = torch.from_numpy(self.rows)[None]
        return found.contiguous(memory_format=torch.channels_last) if found.ndim == 4 else found


class Shown(Windows):
    """A decoder from outside that takes one frame at a time, and keeps what it needs itself."""

    KEPT = ()

    def reset(self):
        self.decoder.decoder.reset(["stream"])
        self.row = None

    def push(self, row):
        if self.row is not None:
            self.decoder.decoder.observe(self.row)
        self.row = row[None]

    def value(self, centre):
        said, self.row = self.decoder.decoder.predict(self.row), None
        return np.asarray(said, float).reshape(1, *self.decoder.head.shape)


class Carried(Windows):
    """A GRU: the states of all windows that the frame lies in, side by side, each one step further. A window begins
    with every frame, so a frame costs one step of as many windows as a window has frames, in one product."""

    KEPT = "states", "place"

    def reset(self):
        hidden, length = self.decoder.recurrent.hidden_size, self.spec.length
        self.weights = [weight.detach().numpy() for weight in fused_gru._weights(self.decoder.recurrent)[0]]
        self.states, self.place = np.zeros((hidden, length), np.float32), 0
        self.work = [np.empty((rows, length), np.float32) for rows in (3 * hidden, 3 * hidden, hidden)]

    def push(self, row):
        self.states[:, self.place] = 0
        _advance(np.ascontiguousarray(row, np.float32), *self.weights, self.states, *self.work)
        self.place = (self.place + 1) % self.spec.length  # of the window that began first, and is now whole

    def value(self, centre):
        with torch.inference_mode():
            last = torch.from_numpy(self.states[:, self.place].copy())[None]
            return self.decoder.head.decoded(self.decoder._read([last]).numpy())


@numba.njit(**fused_gru._OPTIONS)
def _advance(row, w_ih, w_hh, b_ih, b_hh, states, given, gates, recurrent):
    given[:] = np.dot(w_ih, row).reshape(-1, 1)
    np.dot(w_hh, states, gates)
    fused_gru._step(given, 0, gates, b_ih, b_hh, states, recurrent, states)


class Sequences(Windows):
    """A convolutional and a recurrent network on images: features once an image, which are kept."""

    KEPT = "rows", "features"

    def reset(self):
        self.rows = np.zeros((3, *self.shape), np.float32)
        self.features = np.zeros((self.spec.length - 2, self.decoder.image_decoder.n_features), np.float32)

    @torch.inference_mode()
    def push(self, row):
        super().push(row)
        found = self.decoder.image_decoder.features(self._batch())[0].numpy()
        self.features[:-1], self.features[-1] = self.features[1:], found

    @torch.inference_mode()
    def value(self, centre):
        return self.decoder.head.decoded(self.decoder.of_features(torch.from_numpy(self.features)[None]).numpy())
