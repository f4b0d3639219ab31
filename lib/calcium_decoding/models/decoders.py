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
from calcium_decoding.utils.files import hash_content
from calcium_decoding.utils.source import is_own, object_digest


@dataclass(frozen=True)
class Network:
    """A network of your own, from a class of :class:`torch.nn.Module`.

    The network takes windows, float32 of shape ``(batch, n_frames, n_roi)``, and gives ``(batch,)`` or ``(batch, 1)``
    for a binary task (a logit) or one quantity, else ``(batch, n_outputs)``: a logit a class, or a value a quantity, in
    units of its standard deviation about its mean in training, which this library puts back.

    Parameters
    ----------
    make : callable
        The class, or a function that gives a module. It is called with those of ``n_roi``, ``n_frames`` and
        ``n_outputs`` that it has arguments for, by name, and with ``options``; for movies with ``n_rows`` and
        ``n_columns`` in place of ``n_roi``.
    name : str
        How tables and figures call it; the name of the class if left empty.
    options : dict
        Further arguments of ``make``; JSON can hold them.
    version : str
        Change it where the source does not show that the decoder has changed.
    label, colour : str
        Of figures; chosen if left empty.
    """

    make: Callable
    name: str = ""
    options: Mapping = field(default_factory=dict)
    version: str = ""
    label: str = ""
    colour: str = ""

    def __post_init__(self):
        if not callable(self.make) or isinstance(self.make, nn.Module):
            raise ParameterError("Network", f"a {type(self.make).__name__}",
                                 "a class of torch.nn.Module, or a function that makes one",
                                 "give the class, without brackets: each fold makes a network anew")
        object.__setattr__(self, "name", self.name or self.make.__name__)

    def __reduce__(self):
        """Travel to other processes with the source of the class, which they may not be able to import."""
        return _restored, (_by_value(self.make, self.name), self.name, dict(self.options), self.version, self.label,
                           self.colour)

    def digest(self):
        """Hash of everything that determines what it is; see :func:`calcium_decoding.utils.source.object_digest`."""
        return hash_content(["network", self.name, object_digest(self.make), dict(self.options), self.version])

    def build(self, n_roi, past_frames, n_frames, head, seed):
        """A fresh network, checked: an :class:`OwnNetwork`. ``n_roi``: of images (rows, columns). ``seed``: of the
        initial weights.

        Raises DataError: it cannot be made or called, or gives what is not of the task's shape. The error names the
        class.
        """
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
            network = OwnNetwork(module, head, self.name)
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
        if not found.isfinite().all():
            raise self._refused("NaN or infinite outputs for windows of standard normal noise")
        if not found.requires_grad:
            raise self._refused("an output that does not depend on any weight that can be trained")

    def _refused(self, found):
        one = "(batch,) or (batch, 1)" if not self.head.shape else f"(batch, {self.head.size})"
        return DataError(f"network {self.name}", found,
                         f"a float tensor of shape {one}, with a gradient, for windows (batch, n_frames, n_roi)",
                         f"mend forward of {self.name}")


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
    name : str
        The name of its class if left empty.
    every_frames : int
        Of ``"window"``: keep each such frame, counted from the labelled one; neighbours are nearly equal.
    version : str
        Change it where neither source nor parameters show that the decoder has changed.
    label, colour : str
        Of figures; chosen if left empty.
    """

    estimator: object
    features: str | Callable = "frame"
    name: str = ""
    every_frames: int = 1
    version: str = ""
    label: str = ""
    colour: str = ""

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
        """Fit on all windows of a :class:`~calcium_decoding.preprocessing.windows.WindowSet`."""
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

    def decoded(self, windows):
        """Probabilities, or quantities in the unit of the labels, float64."""
        return self.output(windows)


def decoder_of(thing):
    """What a user gave as a decoder: a name of the registry, a :class:`Network`, an :class:`Estimator`, or one that
    takes a frame at a time, :class:`~calcium_decoding.models.online.Online`.

    Raises ParameterError: it is none of them.
    """
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
