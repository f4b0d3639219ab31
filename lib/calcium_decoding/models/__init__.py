"""Every decoder behind one signature, built by name.

A decoder takes windows of shape ``(batch, length, n_roi)``, time first, and gives one number a window: a logit of
running (``task`` "run", names in :data:`MODELS`) or a speed (``task`` "speed", names in :data:`SPEED_MODELS`). Networks
are ``torch.nn.Module``; linear decoders have ``fit(windows)`` and ``output(windows)``, those of running call the latter
``logits`` as well. Decoders of images (names in :data:`IMAGE_MODELS`, made by :func:`build_image`) take movie frames
with their neighbours, or windows of them, in place of ROIs.
"""

import torch

from calcium_decoding.errors import ParameterError
from calcium_decoding.models.images import IMAGE_MODELS, ImageDecoder, SequenceDecoder, build_image
from calcium_decoding.models.keras_cells import KerasDecoder, KerasGRU, KerasLSTM
from calcium_decoding.models.linear import LogisticDecoder, TimeDecoder
from calcium_decoding.models.recurrent import RecurrentDecoder
from calcium_decoding.models.speed import LinearSpeed, RidgeSpeed, SpeedDecoder

__all__ = ["IMAGE_MODELS", "MODELS", "SPEED_MODELS", "ImageDecoder", "KerasDecoder", "KerasGRU", "KerasLSTM",
           "LinearSpeed", "LogisticDecoder", "RecurrentDecoder", "RidgeSpeed", "SequenceDecoder", "SpeedDecoder",
           "TimeDecoder", "build", "build_image", "task_of"]

# Name: what it is, and how it is made from the number of ROIs and the frames before the labelled one.
_RUN = {
    "gru": ("gated recurrent unit of 32 units on the window", lambda n, past: RecurrentDecoder(n)),
    "lstm": ("long short-term memory of 32 units on the window", lambda n, past: RecurrentDecoder(n, cell="lstm")),
    "rnn": ("simple recurrent network of 32 tanh units on the window", lambda n, past: RecurrentDecoder(n, cell="rnn")),
    "bigru": ("two GRUs of 32 units, one a direction",
              lambda n, past: RecurrentDecoder(n, cell="gru", bidirectional=True)),
    "bilstm": ("two LSTMs of 32 units, one a direction",
               lambda n, past: RecurrentDecoder(n, cell="lstm", bidirectional=True)),
    "birnn": ("two simple recurrent networks of 32 units, one a direction",
              lambda n, past: RecurrentDecoder(n, cell="rnn", bidirectional=True)),
    "gru_keras": ("GRU as in the study's framework: hard sigmoid, one bias", lambda n, past: KerasDecoder(n)),
    "lstm_keras": ("LSTM as in the study's framework: hard sigmoid, one bias",
                   lambda n, past: KerasDecoder(n, cell="lstm")),
    "logistic": ("logistic regression on the labelled frame", lambda n, past: LogisticDecoder(past)),
    "logistic_window": ("logistic regression on every 5th frame of the window",
                        lambda n, past: LogisticDecoder(past, every_frames=5)),
    "time_only": ("logistic regression on the time since the recording began, blind to the signal",
                  lambda n, past: TimeDecoder()),
}
_SPEED = {
    "speed_gru": ("two GRUs, 64 and 32 units, then three dense layers, on the window", lambda n, past: SpeedDecoder(n)),
    "speed_gru_scaled": ("the same, in units of mean and SD of the training speed",
                         lambda n, past: SpeedDecoder(n, scaled=True)),
    "linear": ("linear regression on the labelled frame", lambda n, past: LinearSpeed(past)),
    "ridge_window": ("ridge regression on every 5th frame of the window",
                     lambda n, past: RidgeSpeed(past, every_frames=5)),
}
MODELS = {name: about for name, (about, _) in _RUN.items()}
SPEED_MODELS = {name: about for name, (about, _) in _SPEED.items()}


def task_of(name):
    """What a model decodes: "run" (a logit of running) or "speed" (a number in the unit of the labels).

    Parameters
    ----------
    name : str
        A name in :data:`MODELS` or :data:`SPEED_MODELS`.

    Raises
    ------
    ParameterError
        Unknown name.
    """
    _require_known(name)
    return "run" if name in _RUN else "speed"


def build(name, n_roi, past_frames, seed):
    """A fresh decoder by name.

    Parameters
    ----------
    name : str
        A name in :data:`MODELS` or :data:`SPEED_MODELS`.
    n_roi : int
    past_frames : int
        Frames of the window before the labelled one.
    seed : int
        Seed of the initial weights.

    Returns
    -------
    torch.nn.Module or a linear decoder
        Its ``task`` is "run" or "speed".

    Raises
    ------
    ParameterError
        Unknown name.
    """
    _require_known(name)
    _, make = (_RUN | _SPEED)[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make(n_roi, past_frames)


def _require_known(name):
    if name not in _RUN | _SPEED:
        raise ParameterError("model", repr(name), f"one of {', '.join(_RUN | _SPEED)}", "name one of these")
