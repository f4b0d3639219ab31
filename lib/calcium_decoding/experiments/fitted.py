"""Fitted decoders: of a fold, for any later analysis; and on their own, saved and applied to another recording."""

import json
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from threadpoolctl import threadpool_limits
from torch import nn

from calcium_decoding import models, preprocessing
from calcium_decoding.errors import CalciumDecodingError, DataError, ParameterError
from calcium_decoding.experiments import stored, tasks
from calcium_decoding.experiments.folds import FoldTask
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.models import registry, training
from calcium_decoding.models.decoders import EstimatorDecoder, name_of
from calcium_decoding.preprocessing.windows import WindowSet, WindowSpec
from calcium_decoding.utils import parallel
from calcium_decoding.utils.code import code_digest
from calcium_decoding.utils.files import hash_content, whole_file, write_json
from calcium_decoding.utils.source import is_own, object_digest

FORMAT = "calcium-decoding decoder 1"
RATE_TOLERANCE = 0.01


@dataclass(frozen=True, eq=False)
class FittedFold:
    """The decoder that was scored on a fold, with the windows it was trained, validated and tested on.

    ``job``: FoldTask. ``decoder``: the fitted decoder. ``train``, ``valid``, ``test``: WindowSet.
    """

    job: FoldTask
    decoder: object
    train: WindowSet
    valid: WindowSet
    test: WindowSet

    @property
    def fold(self):
        """The Fold."""
        return self.job.split.folds[0]

    @property
    def task(self):
        """What is decoded."""
        return self.job.task

    @property
    def seed(self):
        """Seed of the training."""
        return self.job.training.seed

    @property
    def device(self):
        """Where a network runs."""
        return self.job.training.torch_device()

    def predict(self, windows, decoder=None):
        """What the decoder (or another one) gives for windows; see :func:`calcium_decoding.models.training.predict`."""
        return self.job.predict(self.decoder if decoder is None else decoder, windows)

    def refit(self, decoder, train):
        """Another decoder, fitted to some windows of this fold."""
        return replace(self.job, decoder=decoder, weights=None).trained(train, self.valid)[0]


def map_folds(experiment, work, decoder, name, asked, store=None, jobs=None, label="folds"):
    """Do some work with the fitted decoder of every fold, each in one thread, unless what it gave is stored.

    Parameters
    ----------
    experiment : Experiment
    work : callable
        ``work(fitted, **asked)`` gives a dict that JSON can hold for a :class:`FittedFold`.
    decoder : str, Network or Estimator
        Read where it was kept, trained otherwise.
    name : str
        Of the analysis: the files are called ``KEY.NAME.json``.
    asked : dict
        What else decides the outcome; JSON can hold it.
    store, jobs, label
        As for :func:`calcium_decoding.experiments.engine.run`.

    Returns
    -------
    list of dict
        In the order of the split: ``fold``, ``animal`` (the test group), ``reason`` and what the work gave. A fold
        whose training or test frames have no scores has no decoder, and says so in its ``reason``, else empty.
    """
    (store, jobs, _), folds = stored.settled(store, jobs), experiment.split.folds
    does = object_digest(work) if is_own(work) or not hasattr(work, "__code__") else code_digest(work)
    keys = [hash_content([name, experiment.key(fold, decoder), asked, does]) for fold in folds]
    wanted = dict(zip(keys, folds, strict=True))
    paths = {key: None if store is None else Path(store) / f"{key}.{name}.json" for key in wanted}

    def on_missing(missing, bar):
        with tempfile.TemporaryDirectory() as folder, experiment.shared(store or folder) as shared:
            yield from parallel.in_processes(_run_and_save, [
                (key, work, experiment.fold_task(wanted[key], decoder, shared, store), asked, paths[key])
                for key in missing], jobs)

    found = stored.run(paths, stored.load_json, on_missing, label, "fold")
    return [found[key] for key in keys]


def fitted_fold(job):
    """The FittedFold of a FoldTask; DataError where training or test frames allow no score."""
    train, valid, test = job.windows()
    job.require(train, valid, test)
    return FittedFold(job, job.trained(train, valid)[0], train, valid, test)


def of_fold(experiment, decoder, number, store):
    """The FittedDecoder of a fold; see :meth:`calcium_decoding.experiments.engine.Experiment.fitted`."""
    if experiment.input.beside_files or experiment.task.kind == "together":
        raise ParameterError("experiment", f"{type(experiment.task).__name__} of {type(experiment.input).__name__}",
                             "one task, of Traces", "use map() for what its folds hold")
    experiment.audit(experiment.split.is_leaky)
    fold, dataset = experiment.split.folds[number], experiment.dataset
    one = fitted_fold(experiment.fold_task(fold, decoder, store=store))
    train, of = fold.ranges("train"), {r.id: r for r in dataset.recordings}
    pipeline = experiment.input.pipeline().fit([(of[name].signal, train[name]) for name in train], list(train))
    first = of[next(iter(train))]
    return FittedDecoder(
        one.decoder, registry.resolve(decoder), experiment.input, experiment.task, pipeline, first.rate_hz,
        first.roi_names, first.signal_unit, {
            "dataset": dataset.name, "simulated": dataset.simulated, "data_hash": dataset.content_hash(),
            "split_hash": experiment.split.hash(), "fold": fold.name, "trained_on": sorted(train),
            "scores": experiment.task.scores(one.test.labels, one.predict(one.test), {})[0],
            "training": asdict(experiment.training), "versions": stored.identity()})


@threadpool_limits.wrap(limits=1)  # sums in the same order as in :mod:`calcium_decoding.experiments.folds`
def _run_and_save(key, work, job, asked, path):
    (fold,) = job.split.folds
    found = {"fold": fold.name, "animal": fold.test_group, "reason": ""}
    try:
        fitted = fitted_fold(job)
    except DataError as error:
        found["reason"] = f"{error.where}: {error.found}"
    else:
        found |= work(fitted, **asked)
    if path is not None:
        write_json(path, found)
    return key, found


@dataclass(frozen=True, eq=False)
class FittedDecoder:
    """A fitted decoder with all that it needs to decode another recording.

    Attributes
    ----------
    decoder : object
        The fitted network or estimator.
    source : str, Network or Estimator
        What it was made from.
    input : Traces
    task : Binary, Classes or Continuous
    pipeline : Pipeline
        Fitted preprocessing.
    rate_hz : float
    roi_names : tuple of str
    signal_unit : str
    provenance : dict
        Data, fold, scores, seed and code it comes from; whether the data were simulated.
    """

    decoder: object
    source: object
    input: Traces
    task: object
    pipeline: preprocessing.Pipeline
    rate_hz: float
    roi_names: tuple
    signal_unit: str
    provenance: dict = field(default_factory=dict)

    def predict(self, recording):
        """Decode every frame of a recording that has a window; it needs no behaviour.

        Parameters
        ----------
        recording : Recording
            At the rate and in the unit of the training recordings, with the same ROIs. ROIs with the names of an atlas
            may come in any order, with others among them.

        Returns
        -------
        DataFrame
            ``frame`` (counted from 0), ``time_s``; ``probability`` of an event, ``class`` and ``probability_<class>``
            of classes, or a column a quantity in its unit.

        Raises
        ------
        DataError
            The recording does not fit; the message says what differs.
        """
        signal = recording.signal[:, self.columns(recording)]
        window, blank = self.input.window, np.zeros(recording.n_frames, np.float32)
        windows = WindowSet.build([(recording.id, self.pipeline.transform(signal, recording.id), blank,
                                    [(0, recording.n_frames)])], replace(window, stride=1))
        found = training.predict(self.decoder, windows)
        frames = windows.centre + window.label_shift_frames
        table = pd.DataFrame({"frame": frames, "time_s": frames / recording.rate_hz})
        if self.task.kind == "binary":
            return table.assign(probability=found)
        if self.task.kind == "classes":
            classes = np.array([*self.task.classes])
            return table.assign(**{"class": classes[found.argmax(axis=1)]},
                                **{f"probability_{name}": found[:, i] for i, name in enumerate(classes)})
        return pd.concat([table, self.task.quantities(found)], axis=1)

    def columns(self, recording):
        """Columns of a recording's signal that the decoder sees, in its order; DataError if the recording is unfit."""
        where, names = f"recording {recording.id}", list(recording.roi_names)
        if abs(recording.rate_hz / self.rate_hz - 1) > RATE_TOLERANCE:
            raise DataError(where, f"{recording.rate_hz:g} frames a second", f"{self.rate_hz:g}, as in training",
                            "resample the recording, or train a decoder at its rate")
        if recording.signal_unit != self.signal_unit:
            raise DataError(where, f"a signal in '{recording.signal_unit}'", f"'{self.signal_unit}', as in training",
                            "convert the signal, or name its unit alike if it is the same (signal_unit)")
        if tuple(names) == self.roi_names:
            return list(range(len(names)))
        missing = [name for name in self.roi_names if name not in names]
        if missing or all(name.isdecimal() for name in self.roi_names):
            found = f"no ROI {', '.join(missing[:5])}" if missing else "ROIs that are numbered otherwise"
            raise DataError(where, f"{len(names)} ROIs, {found}", f"the {len(self.roi_names)} ROIs of the training: "
                            f"{', '.join(self.roi_names[:5])}...", "give the same ROIs; names of an atlas "
                            "(roi_names) are matched in any order")
        return [names.index(name) for name in self.roi_names]

    def save(self, path):
        """Write to a file (safetensors, with JSON in its header), whole or not at all.

        Raises ParameterError: a decoder that cannot be kept.
        """
        tensors = {f"decoder/{name}": value for name, value in _tensors(self.decoder, self.source).items()}
        for i, step in enumerate(self.pipeline.steps):
            tensors |= {f"step{i}/{name}": torch.as_tensor(np.asarray(value))
                        for name, value in vars(step).items() if isinstance(value, np.ndarray)}
        own = not isinstance(self.source, str)
        about = {"format": FORMAT, "decoder": name_of(self.source),
                 "digest": registry.digest(self.source) if own else "",
                 "kind": type(self.source).__name__ if own else "", "preprocessing": self.input.preprocessing,
                 "window": asdict(self.input.window), "task": type(self.task).__name__,
                 "task_settings": asdict(self.task), "rate_hz": self.rate_hz, "roi_names": self.roi_names,
                 "signal_unit": self.signal_unit, "provenance": self.provenance}
        with whole_file(path) as temporary:
            save_file({name: value.contiguous().clone() for name, value in tensors.items()}, temporary,
                      metadata={"decoder": json.dumps(about)})


def load_decoder(path, source=None):
    """Read a decoder that :meth:`FittedDecoder.save` wrote. Nothing in the file is executed.

    Parameters
    ----------
    path : str or Path
    source : Network, Estimator, class or estimator, optional
        For a decoder of your own: what it was made from. The file holds its weights, not its code.

    Returns
    -------
    FittedDecoder

    Raises
    ------
    DataError
        No such file, or one of another kind; or your own class is another one than it was.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("decoder", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except Exception as error:  # safetensors has no public class of its errors
        raise DataError(path, f"{type(error).__name__}: {error}", "a file of FittedDecoder.save", "name such a file"
                        ) from error
    if about.get("format") != FORMAT:
        raise DataError(path, f"a file of format {about.get('format', 'unknown')}", FORMAT,
                        "name a file that FittedDecoder.save wrote")
    try:
        return _made_from(about, tensors, source, path)
    except CalciumDecodingError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
        raise DataError(path, f"a damaged file ({type(error).__name__}: {error})", "what FittedDecoder.save wrote",
                        "save the decoder again") from error


def _made_from(about, tensors, source, path):
    kind = about["kind"]
    if kind and source is None:
        raise DataError(path, f"a decoder of your own, {about['decoder']}", "what it was made from",
                        f"load_decoder(path, {about['decoder'] if kind == 'Network' else 'the estimator'})")
    source = registry.resolve(source if kind else about["decoder"])
    if kind and registry.digest(source) != about["digest"]:
        raise DataError(path, f"a decoder made from another {name_of(source)}", "the class or estimator as it was",
                        "give it as it was when the decoder was saved, name and options included")
    task, given = getattr(tasks, about["task"]), about["task_settings"]
    task = task(*given.pop("names", ()), **given)
    window, names = WindowSpec(**about["window"]), tuple(about["roi_names"])
    decoder = models.build(source, len(names), window.past_frames, 0, task.head, window.length)
    _restore(decoder, {name[8:]: value for name, value in tensors.items() if name.startswith("decoder/")})
    pipeline = preprocessing.build(**about["preprocessing"])
    for name, value in tensors.items():
        step, _, attribute = name.partition("/")
        if step != "decoder":
            object.__setattr__(pipeline.steps[int(step[4:])], attribute, value.numpy())
    return FittedDecoder(decoder, source, Traces(about["preprocessing"], window), task, pipeline, about["rate_hz"],
                         names, about["signal_unit"], about["provenance"])


def _tensors(decoder, source):
    if isinstance(decoder, nn.Module):
        return {name: value.detach().cpu() for name, value in decoder.state_dict().items()}
    if isinstance(decoder, EstimatorDecoder):
        return {"skops": torch.from_numpy(np.frombuffer(_skops().dumps(decoder.estimator), np.uint8).copy())}
    if hasattr(decoder, "weights"):
        return {"weights": torch.as_tensor(decoder.weights), "intercept": torch.as_tensor(decoder.intercept)}
    estimator = getattr(decoder, "estimator", None)
    if not hasattr(estimator, "coef_"):
        raise ParameterError("decoder", f"'{name_of(source)}'", "a decoder that sees the signal", "save another one")
    return {name: torch.as_tensor(np.asarray(getattr(estimator, name))) for name in ("coef_", "intercept_", "classes_")
            if hasattr(estimator, name)}


def _restore(decoder, tensors):
    if isinstance(decoder, nn.Module):
        decoder.load_state_dict(tensors)
    elif isinstance(decoder, EstimatorDecoder):
        data, skops = tensors["skops"].numpy().tobytes(), _skops()
        known = [name for name in skops.get_untrusted_types(data=data)  # it refuses what is of no such package
                 if name.split(".")[0] in ("numpy", "scipy", "sklearn")]
        decoder.estimator = skops.loads(data, trusted=known)
    else:
        of = decoder if "weights" in tensors else decoder.estimator
        for name, value in tensors.items():
            setattr(of, name, value.numpy())


def _skops():
    try:
        import skops.io
    except ModuleNotFoundError:
        raise ParameterError("decoder", "an estimator of scikit-learn", "the package skops, which keeps estimators "
                             "without pickle", "pip install skops") from None
    return skops.io
