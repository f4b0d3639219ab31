"""Decoders from outside that take one time step a call, by the contract of the FALCON benchmark."""

import copy
from dataclasses import dataclass

import numpy as np

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.utils.files import hash_content
from calcium_decoding.utils.source import object_digest

METHODS = ("reset", "predict", "observe", "on_done")


@dataclass(frozen=True)
class Online:
    """A decoder that sees one frame at a time: what it decodes of a frame cannot depend on a later one.

    Its methods are those of a decoder of the FALCON benchmark (https://snel-repo.github.io/falcon):
    ``reset(dataset_tags)`` with the name of the recording in a list, before its first frame and after a gap;
    ``predict(observation)``, shape (1, n_roi), gives (1, n_outputs); ``observe(observation)`` for a frame of which
    nothing is asked; ``on_done(dones)`` at the end of a stretch. It comes trained: a fold only tests it, on frames that
    are preprocessed as for the other decoders, so that the preprocessing has to be causal too for the whole to be.

    Parameters
    ----------
    decoder : object
        Gives a probability of an event, probabilities of classes, or quantities in their units.
    name, version : str
        As of :class:`~calcium_decoding.models.decoders.Network`; other weights are another version.
    """

    decoder: object
    name: str = ""
    version: str = ""

    def __post_init__(self):
        missing = [name for name in METHODS if not callable(getattr(self.decoder, name, None))]
        if missing or isinstance(self.decoder, type):
            lacks = ", ".join(missing) or "brackets"
            raise ParameterError("Online", f"a {type(self.decoder).__name__} without {lacks}",
                                 f"an object with {', '.join(METHODS)}", "add these methods, or give an object")
        object.__setattr__(self, "name", self.name or type(self.decoder).__name__)

    def digest(self):
        """Hash of its source, name and version."""
        return hash_content(["online", self.name, object_digest(self.decoder), self.version])

    def build(self, n_roi, past_frames, n_frames, head, seed):
        """A copy for one fold."""
        return OnlineDecoder(self, head)


class OnlineDecoder:
    """A copy of a decoder that takes one frame at a time, for one fold."""

    def __init__(self, of, head):
        self.of, self.head, self.decoder = of, head, copy.deepcopy(of.decoder)

    def fit(self, windows):
        """Nothing: it comes trained."""

    def decoded(self, windows):
        """What it says at the last frame of each window, having seen no later one, float64: frames are shown in order,
        each once, and it starts anew after a gap, and in another recording."""
        ends = windows.starts + windows.spec.length - 1
        order = np.lexsort((ends, windows.recording))
        found = np.empty((len(windows), *self.head.shape))
        row, stretch = None, None
        for i in order:
            start = windows.starts[i]
            here = windows.recording[i], windows.centre[i] - ends[i]  # rows of two stretches may lie side by side
            if stretch != here or start > row + 1:
                if row is not None:
                    self.decoder.on_done(np.ones(1, bool))
                stretch, row = here, start - 1
                self.decoder.reset([windows.ids[here[0]]])
            for before in range(row + 1, ends[i]):
                self.decoder.observe(windows.frames[before][None])
            said = np.asarray(self.decoder.predict(windows.frames[ends[i]][None]), float)
            if said.size != max(1, self.head.size if self.head.shape else 1) or not np.isfinite(said).all():
                raise DataError(f"decoder {self.of.name}", f"{said.size} values, shape {said.shape}, for one frame"
                                f"{'' if np.isfinite(said).all() else ', not all finite'}",
                                f"{self.head.size} finite numbers, shape (1, {self.head.size})", "mend predict")
            found[i], row = said.reshape(self.head.shape), ends[i]
        if row is not None:
            self.decoder.on_done(np.ones(1, bool))
        return found
