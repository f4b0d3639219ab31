"""Every decoder of ROI traces behind one signature, built by name or from a user's own class. It takes windows, shape
``(batch, length, n_roi)``, and gives what its Head says: a ``torch.nn.Module``, or ``fit(windows)`` and ``output``."""

import importlib
from dataclasses import replace

import torch

from calcium_decoding.errors import ParameterError
from calcium_decoding.models import names
from calcium_decoding.models.decoders import Estimator, Network, OwnNetwork, accepted, decoder_of
from calcium_decoding.models.heads import Head

OF_TRACES = names.MODELS | names.SPEED_MODELS
OWN = {}  # a user's decoders by the names they were registered under


def register(name, decoder, label="", colour=""):
    """Give a decoder of your own a name, as those of this library have one; ParameterError if it is one of these.

    Parameters
    ----------
    name : str
    decoder : Network, Estimator, class of torch.nn.Module, or scikit-learn estimator
    label, colour : str
        Of tables and figures; the name, and a colour that is chosen, if left empty.
    """
    if name in names.DECODERS:
        raise ParameterError("name", repr(name), "a name that is not taken by this library", "choose another name")
    decoder = decoder_of(decoder)
    if isinstance(decoder, str):
        raise ParameterError("decoder", f"the name '{decoder}'", "a class or an estimator", "give the decoder itself")
    OWN[name] = replace(decoder, name=name)
    names.show(name, label, colour)


def resolve(decoder):
    """A decoder as it is built: a name of this library, a Network or an Estimator; ParameterError of an unknown one."""
    decoder = decoder_of(decoder)
    if isinstance(decoder, str) and decoder in OWN:
        return OWN[decoder]
    if isinstance(decoder, str) and decoder not in OF_TRACES and decoder not in names.FOOTSTEP_MODELS:
        raise ParameterError("model", repr(decoder), f"one of {', '.join([*OF_TRACES, *OWN])}", "name one of these")
    if not isinstance(decoder, str):
        names.show(decoder.name)
    return decoder


def require(decoder, head):
    """A decoder as it is built; ParameterError if it is unknown, or cannot give what a head asks for."""
    decoder = resolve(decoder)
    if head.kind == "together" and not isinstance(decoder, str | Network):
        raise ParameterError("model", f"'{decoder.name}'", f"a Network, or one of {', '.join(names.FOOTSTEP_MODELS)}",
                             "name one of these, or decode one thing at a time")
    if isinstance(decoder, Estimator):
        decoder.build(1, 0, 1, head, 0)
    if isinstance(decoder, str) and not fits(decoder, head):
        row = names.DECODERS.get(decoder)
        says = "several things together" if row is None else " or ".join(row.decodes) + (
            f", {row.most} at a time" if row.most else "")
        raise ParameterError("model", f"'{decoder}', which decodes {says}",
                             f"one that decodes {head.kind}, {head.size} at a time: "
                             f"{', '.join(name for name in [*OF_TRACES, *names.FOOTSTEP_MODELS] if fits(name, head))}",
                             "name another model or another target")
    return decoder


def fits(name, head):
    """True if a decoder of this library can give what a head asks for."""
    if head.kind == "together" or name not in names.DECODERS:
        return head.kind == "together" and name in names.FOOTSTEP_MODELS
    row = names.DECODERS[name]
    return head.kind in row.decodes and not (row.most and head.size > row.most)


def digest(decoder):
    """What of a decoder a stored result depends on: its name, or a hash of a user's own."""
    of_library = isinstance(decoder, str) and decoder in names.DECODERS  # those of images too
    decoder = decoder if of_library else resolve(decoder)
    return decoder if isinstance(decoder, str) else decoder.digest()


def build(decoder, n_roi, past_frames, seed, head=None, n_frames=None):
    """A fresh decoder by name, or of your own: a torch.nn.Module, or one with ``fit`` and ``output``.

    Parameters
    ----------
    decoder : str, Network or Estimator
    n_roi, past_frames, seed : int
        Columns of the signal, frames of the window before the labelled one, seed of the initial weights.
    head : Head, optional
        What it has to give; what the name decodes if left out, an event of a decoder of your own.
    n_frames : int, optional
        Frames of the window, for a network of your own; twice ``past_frames`` and one if left out.

    Raises
    ------
    ParameterError, DataError
        Unknown name, or one that cannot give this; a network of your own that cannot be made or used.
    """
    decoder = resolve(decoder)
    row = names.DECODERS[decoder] if isinstance(decoder, str) else None
    head = head or Head(row.decodes[0] if row else "binary")
    require(decoder, head)
    if row is None:
        return decoder.build(n_roi, past_frames, n_frames or 2 * past_frames + 1, head, seed)
    module, _, kind = row.makes.rpartition(".")
    kind = getattr(importlib.import_module(f"calcium_decoding.models.{module}"), kind)
    about = accepted(kind, {"n_roi": n_roi, "past_frames": past_frames, "head": head})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = kind(**about, **row.options)
    # One that mainly decodes events gives quantities in units of their SD.
    in_sd = head.kind == "continuous" != row.decodes[0]
    return OwnNetwork(made, head, "recurrent network") if in_sd else made
