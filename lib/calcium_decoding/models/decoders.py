"""A user's own decoder: any torch network, any scikit-learn estimator."""

import copy
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.models.heads import Head, InUnits
from calcium_decoding.models.linear import FrameDecoder
from calcium_decoding.models.online import METHODS, Online
from calcium_decoding.preprocessing.windows import Scaling
from calcium_decoding.utils.files import hash_content
from calcium_decoding.utils.source import is_own, object_digest


@dataclass(frozen=True)
class Network:
    """A network of your own, from a class of :class:`torch.nn.Module`.

    It takes windows, float32 of shape ``(batch, n_frames, n_roi)``, and gives ``(batch,)`` or ``(batch, 1)`` for a
    binary task (a logit) or one quantity, else ``(batch, n_outputs)``: a logit a class, or a value a quantity, in units
    of its standard deviation about its mean in training, which this library puts back.

    Parameters
    ----------
    make : callable
        The class, or a function that gives a module. It is called with those of ``n_roi``, ``n_frames`` and
        ``n_outputs`` that it has arguments for, and with ``options``; for movies with ``n_rows`` and ``n_columns`` in
        place of ``n_roi``. Of several tasks at once, ``n_outputs`` is a dict by head, two of a binary one, and the
        network gives a dict of tensors.
    name : str
        How tables and figures call it; the name of the class if left empty.
    options : dict
        Further arguments of ``make``; JSON can hold them.
    version : str
        Change it where the source does not show that the decoder has changed.
    """

    make: Callable
    name: str = ""
    options: Mapping = field(default_factory=dict)
    version: str = ""

    def __post_init__(self):
        if not callable(self.make) or isinstance(self.make, nn.Module):
            raise ParameterError("Network", f"a {type(self.make).__name__}",
                                 "a class of torch.nn.Module, or a function that makes one",
                                 "give the class, without brackets: each fold makes a network anew")
        object.__setattr__(self, "name", self.name or self.make.__name__)

    def __reduce__(self):
        """Travel to other processes with the source of the class, which they may not be able to import."""
        return _restored, (_by_value(self.make, self.name), self.name, dict(self.options), self.version)

    def digest(self):
        """Hash of everything that determines what it is; see :func:`calcium_decoding.utils.source.object_digest`."""
        return hash_content(["network", self.name, object_digest(self.make), dict(self.options), self.version])

    def build(self, n_roi, past_frames, n_frames, head, seed):
        """A fresh :class:`OwnNetwork`, ``n_roi`` (rows, columns) of images; DataError: it cannot be made or called."""
        size = dict(zip(("n_rows", "n_columns"), n_roi, strict=True)) if isinstance(n_roi, tuple) else {"n_roi": n_roi}
        given = accepted(self.make, size | {"n_frames": n_frames, "n_outputs": head.size}) | dict(self.options)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                module = self.make(**given)
            except Exception as error:
                raise DataError(f"network {self.name}", f"{type(error).__name__}: {error}",
                                f"a module made by {self.name}({', '.join(given)})",
                                "give its arguments these names, or set others by Network(..., options={...})"
                                ) from error
            if not isinstance(module, nn.Module):
                raise DataError(f"network {self.name}", f"a {type(module).__name__}", "a torch.nn.Module",
                                "let the function return a module")
            network = (ManyHeads if head.kind == "together" else OwnNetwork)(module, head, self.name)
            network.check((n_frames, *size.values()))
        return network


def accepted(make, about):
    """Those of some arguments, a dict, that a class or function takes by name."""
    try:
        known = inspect.signature(make).parameters
    except (TypeError, ValueError):
        return {}
    anything = any(p.kind is p.VAR_KEYWORD for p in known.values())
    return {name: value for name, value in about.items() if name in known or anything}


class OwnNetwork(InUnits):
    """A user's network whose outputs are checked, and put into the unit of the labels where quantities are decoded."""

    def __init__(self, module, head, name):
        super().__init__(head)
        self.module, self.name = module, name

    def forward(self, windows):
        """Outputs, shape (batch, *head.shape), of windows, shape (batch, n_frames, n_roi)."""
        found = self.module(windows)
        if self.head.size == 1 and found.ndim == 2 and found.shape[1] == 1:
            found = found[:, 0]
        if found.shape != (len(windows), *self.head.shape):
            raise self._refused(f"an output of shape {tuple(found.shape)} for {len(windows)} windows")
        return self.in_units(found)

    def check(self, shape):
        """Try a copy on two windows of noise, and see that it can learn."""
        try:
            trial = copy.deepcopy(self).train()
        except Exception as error:
            raise self._refused(f"a module that cannot be copied ({type(error).__name__}: {error})") from error
        windows = torch.randn(2, *shape)
        try:
            found = trial(windows)
        except DataError:
            raise
        except Exception as error:
            raise self._refused(f"{type(error).__name__} for windows of shape {tuple(windows.shape)}: {error}"
                                ) from error
        outputs = list(found.values()) if isinstance(found, dict) else [found]
        if not all(values.isfinite().all() for values in outputs):
            raise self._refused("NaN or infinite outputs for windows of standard normal noise")
        if not all(values.requires_grad for values in outputs):
            raise self._refused("an output that does not depend on any weight that can be trained")

    def _refused(self, found):
        if self.head.kind == "together":
            one = f"each head: {', '.join(f'{name} (batch, {n})' for name, n in self.head.size.items())}"
        else:
            one = "(batch,) or (batch, 1)" if not self.head.shape else f"(batch, {self.head.size})"
        return DataError(f"network {self.name}", found,
                         f"a float tensor of shape {one}, with a gradient, for windows (batch, n_frames, n_roi)",
                         f"mend forward of {self.name}")


class ManyHeads(OwnNetwork):
    """A network that gives a dict of outputs by head: logits, or quantities in units of the scaling that it keeps."""

    def __init__(self, module, head, name):
        nn.Module.__init__(self)
        self.module, self.head, self.name = module, head, name
        for one in (one for one in head if head[one].kind == "continuous"):
            self.register_buffer(f"mean_{one}", torch.zeros(head.size[one], dtype=torch.float64))
            self.register_buffer(f"sd_{one}", torch.ones(head.size[one], dtype=torch.float64))

    def forward(self, windows):
        """Outputs by head, each (batch, outputs), of windows, shape (batch, n_frames, n_roi)."""
        found = self.module(windows)
        shapes = {name: tuple(values.shape) for name, values in found.items()} if isinstance(found, dict) else {}
        wanted = {name: (len(windows), n) for name, n in self.head.size.items()}
        if not isinstance(found, dict) or {name: shapes[name] for name in shapes if name != "activity"} != wanted:
            raise self._refused(f"outputs {shapes}" if isinstance(found, dict) else f"a {type(found).__name__}")
        return found

    def prepare(self, windows):
        for name, scaling in self.head.scalings(windows).items():
            getattr(self, f"mean_{name}").copy_(torch.from_numpy(scaling.mean))
            getattr(self, f"sd_{name}").copy_(torch.from_numpy(scaling.sd))

    def decoded(self, outputs):
        """Structured array of probabilities and quantities in their units, float64."""
        found, scalings = {}, {}
        for name, head in self.head.items():
            if head.kind == "continuous":
                scalings[name] = Scaling(*(getattr(self, f"{of}_{name}").cpu().numpy() for of in ("mean", "sd")))
            values = outputs[name] if head.kind == "continuous" else outputs[name].softmax(1)
            found[name] = values.cpu().numpy().astype(np.float64)
        return self.head.decoded(found, scalings)


@dataclass(frozen=True)
class Estimator:
    """A decoder from any scikit-learn estimator.

    Parameters
    ----------
    estimator : sklearn.base.BaseEstimator
        A classifier for events and classes, a regressor for quantities; not fitted, each fold fits a copy. A
        ``random_state`` that is None becomes the seed of the training.
    features : {"frame", "window"} or callable
        What it sees of a window: the labelled frame, every frame side by side, or ``features(windows)``, shape (k, d),
        of windows ``(k, n_frames, n_roi)``.
    name, version : str
        As of :class:`Network`.
    every_frames : int
        Of ``"window"``: keep each such frame, counted from the labelled one; neighbours are nearly equal.
    """

    estimator: object
    features: str | Callable = "frame"
    name: str = ""
    every_frames: int = 1
    version: str = ""

    def __post_init__(self):
        if isinstance(self.estimator, type) or not (hasattr(self.estimator, "fit")
                                                    and hasattr(self.estimator, "predict")):
            raise ParameterError("Estimator", f"{self.estimator!r:.80}", "an estimator with fit and predict",
                                 "give an object, such as RandomForestClassifier()")
        if not (callable(self.features) or self.features in ("frame", "window")):
            raise ParameterError("features", repr(self.features), "'frame', 'window' or a function of windows",
                                 "name one of these")
        object.__setattr__(self, "name", self.name or type(self.estimator).__name__)

    def digest(self):
        """Hash of everything that determines what it is: class, parameters, features."""
        return hash_content(["estimator", self.name, object_digest(self.estimator), object_digest(self.features),
                             self.every_frames, self.version])

    def build(self, n_roi, past_frames, n_frames, head, seed):
        """A fresh decoder; see :class:`EstimatorDecoder`."""
        return EstimatorDecoder(self, past_frames, head, seed)


class EstimatorDecoder(FrameDecoder):
    """A copy of an estimator, to be fitted on the windows of a fold."""

    def __init__(self, of, past_frames, head, seed):
        from sklearn.base import clone, is_regressor

        super().__init__(past_frames, of.every_frames if of.features == "window" else None)
        self.of, self.head, self.estimator = of, head, clone(of.estimator)
        kinds = ("a classifier", "a regressor")
        found, wanted = kinds[is_regressor(self.estimator)], kinds[head.kind == "continuous"]
        if found != wanted:
            raise ParameterError(f"estimator {of.name}", found, f"{wanted}, for a task that is {head.kind}",
                                 "use another estimator or another task")
        unset = [name for name, value in self.estimator.get_params().items()
                 if name.rpartition("__")[2] == "random_state" and value is None]
        self.estimator.set_params(**dict.fromkeys(unset, seed))

    def features(self, windows, which=slice(None)):
        """Input of the estimator, shape (k, d), of (some) windows of a WindowSet."""
        if not callable(self.of.features):
            return super().features(windows, which)
        found = np.asarray(self.of.features(windows.gather(np.arange(len(windows))[which])))
        if found.ndim != 2 or len(found) != len(windows.starts[which]):
            raise DataError(f"features of {self.of.name}", f"shape {found.shape}",
                            f"shape ({len(windows.starts[which])}, d): a row a window", "mend the function")
        return found

    def fit(self, windows):
        pieces = [self.features(windows, rows) for rows in self.pieces(np.arange(len(windows)))]
        try:
            self.estimator.fit(np.concatenate(pieces), windows.labels)
        except (TypeError, ValueError) as error:
            raise DataError(f"estimator {self.of.name}", str(error), f"a fit to {len(windows)} windows",
                            "mend the estimator or its features") from error

    def _of_features(self, features):
        if self.head.kind == "continuous":
            return np.asarray(self.estimator.predict(features)).reshape(len(features), *self.head.shape)
        found = np.zeros((len(features), max(2, self.head.size)))
        known = self.estimator.classes_.astype(int)
        if hasattr(self.estimator, "predict_proba"):
            found[:, known] = self.estimator.predict_proba(features)
        else:  # it only decides
            found[np.arange(len(features)), self.estimator.predict(features).astype(int)] = 1.0
        return found[:, 1] if self.head.kind == "binary" else found

    decoded = FrameDecoder.output  # probabilities, or quantities in the unit of the labels


def decoder_of(thing):
    """What a user gave as a decoder: a name, a :class:`Network`, an :class:`Estimator`, or an
    :class:`~calcium_decoding.models.online.Online`; ParameterError if it is none of them."""
    if isinstance(thing, str | Network | Estimator | Online):
        return thing
    if isinstance(thing, type) and issubclass(thing, nn.Module):
        return Network(thing)
    if not isinstance(thing, type) and all(hasattr(thing, name) for name in METHODS):
        return Online(thing)
    if not isinstance(thing, type) and hasattr(thing, "fit") and hasattr(thing, "predict"):
        return Estimator(thing)
    raise ParameterError("decoder", f"{thing!r:.80}", "a name, a class of torch.nn.Module or a scikit-learn estimator",
                         "wrap it: Network(MyClass) or Estimator(my_estimator)")


def name_of(decoder):
    """How tables call a decoder."""
    return decoder if isinstance(decoder, str) else decoder.name


def _by_value(thing, name):
    import cloudpickle

    module = sys.modules.get(getattr(thing, "__module__", None))
    here = is_own(thing) and module is not None and thing.__module__ != "__main__"
    if here:
        cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps(thing)
    except Exception as error:
        raise DataError(f"network {name}", f"a class that cannot be sent to a worker ({type(error).__name__}: {error})",
                        "a class that uses no open files, locks or other objects of this process",
                        "make such objects inside of __init__, or run with jobs=1") from error
    finally:
        if here:
            cloudpickle.unregister_pickle_by_value(module)


def _restored(make, *rest):
    import cloudpickle

    return Network(cloudpickle.loads(make), *rest)


def head_of(decoder):
    """The Head of a decoder that is built; one that names none decides between two."""
    return getattr(decoder, "head", Head())
