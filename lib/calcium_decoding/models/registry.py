"""Every decoder of ROI traces behind one signature, built by name or from a user's own class.

A decoder takes windows of shape ``(batch, length, n_roi)``, time first, and gives what its
:class:`~calcium_decoding.models.heads.Head` says: a logit, a logit a class, or a value a quantity. Networks are
``torch.nn.Module``; others have ``fit(windows)`` and ``output(windows)``. Decoders of images (names in
:data:`IMAGE_MODELS`, made by :func:`build_image`) take movie frames with their neighbours, or windows of them, in place
of ROIs.
"""

from dataclasses import replace

import torch

from calcium_decoding.errors import ParameterError
from calcium_decoding.models import names
from calcium_decoding.models.decoders import Estimator, Network, OwnNetwork, decoder_of, name_of
from calcium_decoding.models.heads import BINARY, KINDS
from calcium_decoding.models.linear import QUANTITY, LinearSpeed, LogisticDecoder, RidgeSpeed, TimeDecoder
from calcium_decoding.models.recurrent import KerasDecoder, RecurrentDecoder, SpeedDecoder


def _recurrent(kind, **options):
    """A maker of recurrent decoders; those of quantities are put into the unit of the labels."""
    def make(n, past, head):
        network = kind(n, head=head, **options)
        return OwnNetwork(network, head, "recurrent network") if head.kind == "continuous" else network
    return make


# How each is made from the number of ROIs, the frames before the labelled one, and the head.
_MAKERS = {
    "gru": _recurrent(RecurrentDecoder),
    "lstm": _recurrent(RecurrentDecoder, cell="lstm"),
    "rnn": _recurrent(RecurrentDecoder, cell="rnn"),
    "bigru": _recurrent(RecurrentDecoder, cell="gru", bidirectional=True),
    "bilstm": _recurrent(RecurrentDecoder, cell="lstm", bidirectional=True),
    "birnn": _recurrent(RecurrentDecoder, cell="rnn", bidirectional=True),
    "gru_keras": _recurrent(KerasDecoder),
    "lstm_keras": _recurrent(KerasDecoder, cell="lstm"),
    "logistic": lambda n, past, head: LogisticDecoder(past, head=head),
    "logistic_window": lambda n, past, head: LogisticDecoder(past, every_frames=5, head=head),
    "time_only": lambda n, past, head: TimeDecoder(),
    "speed_gru": lambda n, past, head: SpeedDecoder(n, head=head),
    "speed_gru_scaled": lambda n, past, head: SpeedDecoder(n, scaled=True, head=head),
    "linear": lambda n, past, head: LinearSpeed(past, head),
    "ridge_window": lambda n, past, head: RidgeSpeed(past, every_frames=5),
}
_own = {}


def register(name, decoder, label="", colour=""):
    """Give a decoder of your own a name, as those of this library have one.

    Parameters
    ----------
    name : str
    decoder : Network, Estimator, class of torch.nn.Module, or scikit-learn estimator
    label, colour : str
        Of tables and figures; the name, and a colour that is chosen, if left empty.

    Raises
    ------
    ParameterError
        A name of this library.
    """
    if name in _MAKERS or name in names.IMAGE_MODELS:
        raise ParameterError("name", repr(name), "a name that is not taken by this library", "choose another name")
    decoder = decoder_of(decoder)
    if isinstance(decoder, str):
        raise ParameterError("decoder", f"the name '{decoder}'", "a class or an estimator", "give the decoder itself")
    _own[name] = replace(decoder, name=name)
    names.show(name, label, colour)


def resolve(decoder):
    """A decoder as it is built: the name of one of this library, a Network or an Estimator.

    Raises ParameterError: an unknown name, or no decoder at all.
    """
    decoder = decoder_of(decoder)
    if isinstance(decoder, str) and decoder in _own:
        return _own[decoder]
    if isinstance(decoder, str) and decoder not in _MAKERS and decoder not in names.FOOTSTEP_MODELS:
        raise ParameterError("model", repr(decoder), f"one of {', '.join([*_MAKERS, *_own])}", "name one of these")
    if not isinstance(decoder, str):
        names.show(decoder.name, decoder.label, decoder.colour)
    return decoder


def own(name):
    """A user's own decoder by the name it was registered under; None if there is none."""
    return _own.get(name)


def require(decoder, head):
    """Raise ParameterError if a decoder cannot give what a head asks for."""
    decoder = resolve(decoder)
    if head.kind == "together" and not isinstance(decoder, str | Network):
        raise ParameterError("model", f"'{decoder.name}'", f"a Network, or one of {', '.join(names.FOOTSTEP_MODELS)}",
                             "name one of these, or decode one thing at a time")
    if isinstance(decoder, Estimator):
        decoder.build(1, 0, 1, head, 0)
    if isinstance(decoder, str) and not fits(decoder, head):
        kinds, most = names.DECODES.get(decoder, (KINDS if decoder in _MAKERS else ("several things together",), None))
        says = " or ".join(kinds) + (f", {most} at a time" if most else "")
        raise ParameterError("model", f"'{decoder}', which decodes {says}",
                             f"one that decodes {head.kind}, {head.size} at a time: "
                             f"{', '.join(name for name in _MAKERS | names.FOOTSTEP_MODELS if fits(name, head))}",
                             "name another model or another target")


def require_travels(decoder):
    """Raise DataError if a decoder of one's own cannot be sent to another process."""
    if isinstance(decoder, Network):
        decoder.__reduce__()


def fits(name, head):
    """True if a decoder of this library can give what a head asks for."""
    if head.kind == "together" or name not in _MAKERS:
        return head.kind == "together" and name in names.FOOTSTEP_MODELS
    kinds, most = names.DECODES.get(name, (KINDS, None))
    return head.kind in kinds and not (most and head.size > most)


def digest(decoder):
    """What of a decoder a stored result depends on: its name, or a hash of a user's own."""
    decoder = resolve(decoder)
    return decoder if isinstance(decoder, str) else decoder.digest()


def build(decoder, n_roi, past_frames, seed, head=None, n_frames=None):
    """A fresh decoder.

    Parameters
    ----------
    decoder : str, Network or Estimator
        A name in :data:`MODELS` or :data:`SPEED_MODELS`, or a decoder of your own.
    n_roi : int
    past_frames : int
        Frames of the window before the labelled one.
    seed : int
        Seed of the initial weights.
    head : Head, optional
        What it has to give; what the name decodes if left out.
    n_frames : int, optional
        Frames of the window, for a network of your own; twice ``past_frames`` and one if left out.

    Returns
    -------
    torch.nn.Module, or a decoder with ``fit`` and ``output``
        Its ``head`` says what it gives.

    Raises
    ------
    ParameterError
        Unknown name, or one that cannot give this.
    DataError
        A network of your own that cannot be made or used.
    """
    decoder = resolve(decoder)
    head = head or default_head(decoder)
    require(decoder, head)
    if not isinstance(decoder, str):
        return decoder.build(n_roi, past_frames, n_frames or 2 * past_frames + 1, head, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _MAKERS[decoder](n_roi, past_frames, head)


def default_head(decoder):
    """What a decoder gives where nothing else is asked for: two classes, or one quantity."""
    return QUANTITY if name_of(decoder) in names.SPEED_MODELS else BINARY
