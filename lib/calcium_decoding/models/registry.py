"""Every decoder behind one signature, built by name.

A decoder takes windows of shape ``(batch, length, n_roi)``, time first, and gives one number a window: a logit of
running (``task`` "run", names in :data:`MODELS`) or a speed (``task`` "speed", names in :data:`SPEED_MODELS`). Networks
are ``torch.nn.Module``; linear decoders have ``fit(windows)`` and ``output(windows)``, those of running call the latter
``logits`` as well. Decoders of images (names in :data:`IMAGE_MODELS`, made by :func:`build_image`) take movie frames
with their neighbours, or windows of them, in place of ROIs.
"""

import torch

from calcium_decoding.errors import ParameterError
from calcium_decoding.models.linear import LinearSpeed, LogisticDecoder, RidgeSpeed, TimeDecoder
from calcium_decoding.models.names import MODELS, SPEED_MODELS
from calcium_decoding.models.recurrent import KerasDecoder, RecurrentDecoder, SpeedDecoder

# How each is made from the number of ROIs and the frames before the labelled one.
_RUN = {
    "gru": lambda n, past: RecurrentDecoder(n),
    "lstm": lambda n, past: RecurrentDecoder(n, cell="lstm"),
    "rnn": lambda n, past: RecurrentDecoder(n, cell="rnn"),
    "bigru": lambda n, past: RecurrentDecoder(n, cell="gru", bidirectional=True),
    "bilstm": lambda n, past: RecurrentDecoder(n, cell="lstm", bidirectional=True),
    "birnn": lambda n, past: RecurrentDecoder(n, cell="rnn", bidirectional=True),
    "gru_keras": lambda n, past: KerasDecoder(n),
    "lstm_keras": lambda n, past: KerasDecoder(n, cell="lstm"),
    "logistic": lambda n, past: LogisticDecoder(past),
    "logistic_window": lambda n, past: LogisticDecoder(past, every_frames=5),
    "time_only": lambda n, past: TimeDecoder(),
}
_SPEED = {
    "speed_gru": lambda n, past: SpeedDecoder(n),
    "speed_gru_scaled": lambda n, past: SpeedDecoder(n, scaled=True),
    "linear": lambda n, past: LinearSpeed(past),
    "ridge_window": lambda n, past: RidgeSpeed(past, every_frames=5),
}


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
    return "run" if name in MODELS else "speed"


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
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return (_RUN | _SPEED)[name](n_roi, past_frames)


def _require_known(name):
    if name not in MODELS | SPEED_MODELS:
        raise ParameterError("model", repr(name), f"one of {', '.join(MODELS | SPEED_MODELS)}", "name one of these")
