"""Fitted decoders: of a fold, for any later analysis; and on their own, saved and applied to another recording."""

import contextlib
import json
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits
from torch import nn

from calcium_decoding import models, preprocessing
from calcium_decoding.errors import CalciumDecodingError, DataError, ParameterError
from calcium_decoding.experiments import stored, tasks
from calcium_decoding.experiments.folds import FoldTask
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.experiments.movies import Features, Movies, MovieTraining, build, images_of
from calcium_decoding.experiments.together import Together
from calcium_decoding.models import loop, registry, training, training_footsteps
from calcium_decoding.models.decoders import EstimatorDecoder, name_of
from calcium_decoding.models.hybrid import HybridSize
from calcium_decoding.models.training_footsteps import FootstepTraining
from calcium_decoding.preprocessing.windows import WindowSet, WindowSpec
from calcium_decoding.utils import parallel
from calcium_decoding.utils.code import code_digest
from calcium_decoding.utils.files import hash_content, write_json
from calcium_decoding.utils.source import is_own, object_digest

FORMAT = "calcium-decoding decoder 2"
RATE_TOLERANCE = 0.01


@dataclass(frozen=True, eq=False)
class FittedFold:
    """The decoder that was scored on a fold, the windows (WindowSet) it has seen, and the History of its training."""

    job: FoldTask
    decoder: object
    train: WindowSet
    valid: WindowSet
    test: WindowSet
    history: loop.History = field(default_factory=loop.History)

    @property
    def task(self):
        return self.job.task

    @property
    def seed(self):
        return self.job.training.seed

    def predict(self, windows, decoder=None):
        """What the decoder (or another one) gives for windows; see :func:`calcium_decoding.models.training.predict`."""
        return self.job.predict(self.decoder if decoder is None else decoder, windows)

    def refit(self, decoder, train):
        """Another decoder, fitted to some windows of this fold."""
        return replace(self.job, decoder=decoder, weights=None).trained(train, self.valid)[0]


def map_folds(experiment, work, decoder, name, asked, store=None, jobs=None, label="folds"):
    """The work of :meth:`calcium_decoding.experiments.engine.Experiment.map`, each fold in one thread."""
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
    decoder, history = job.trained(train, valid)
    return FittedFold(job, decoder, train, valid, test, history)


def of_fold(experiment, decoder, number, store):
    """The FittedDecoder of a fold; see :meth:`calcium_decoding.experiments.engine.Experiment.fitted`."""
    seen, of_movies = experiment.input, experiment.input.beside_files
    if isinstance(seen, Features) or (of_movies and (seen.frame_scaling != "session" or seen.shuffled)):
        raise ParameterError("input", f"{seen!r:.80}", "Traces, or Movies whose frames are scaled by the session",
                             "use map() for what its folds hold, or Movies(frame_scaling='session')")
    experiment.audit(experiment.split.is_leaky)
    fold, dataset = experiment.split.folds[number], experiment.dataset
    # Traces of one fold need no file for other processes.
    with tempfile.TemporaryDirectory() as folder, (
            experiment.shared(store or folder) if of_movies else contextlib.nullcontext()) as shared:
        one = fitted_fold(experiment.fold_task(fold, decoder, shared, store))
        scores = experiment.task.scores(one.test.labels, one.predict(one.test), {})[0]
    train, of = fold.ranges("train"), {r.id: r for r in dataset.recordings}
    first = of[next(iter(train))]
    pipeline = None if of_movies else seen.pipeline().fit(
        [(of[name].signal, train[name]) for name in train], list(train))
    return FittedDecoder(
        one.decoder, one.job.decoder, seen, experiment.task, pipeline, first.rate_hz,
        first.roi_names, first.signal_unit, {
            "dataset": dataset.name, "simulated": dataset.simulated, "data_hash": dataset.content_hash(),
            "split_hash": experiment.split.hash(), "fold": fold.name, "trained_on": sorted(train), "scores": scores,
            "training": asdict(experiment.training), "versions": stored.identity()},
        first.movie.shape[1:] if of_movies else ())


@threadpool_limits.wrap(limits=1)  # sums in the same order as in :mod:`calcium_decoding.experiments.folds`
def _run_and_save(key, work, job, asked, path):
    (fold,) = job.split.folds
    found = {"fold": fold.name, "animal": fold.test_group, "reason": ""}
    try:
        fitted = fitted_fold(job)
    except DataError as error:
        found["reason"] = f"{error.where}: {error.found}"
    else:
        found |= _checked(work(fitted, **asked), work)
    if path is not None:
        write_json(path, found)
    return key, found


def _checked(gave, work):
    """What some work gave, or DataError if it is no dict that JSON can hold."""
    found = f"a {type(gave).__name__}"
    try:
        if isinstance(gave, dict):
            json.dumps(gave, allow_nan=False)
            return gave
    except (TypeError, ValueError) as error:
        found = f"a dict with something else ({error})"
    raise DataError(f"what {getattr(work, '__name__', 'the work')} gave", found, "a dict of names, finite numbers and "
                    "lists of them, that JSON can hold", "give arrays as lists (.tolist()) and None for NaN")


@dataclass(frozen=True, eq=False)
class FittedDecoder:
    """A fitted decoder with all that it needs to decode another recording.

    ``decoder``, ``source``: the fitted network or estimator, and the name, Network or Estimator it was made from.
    ``pipeline``: fitted preprocessing; None of movies. ``provenance``: data, whether they were simulated, fold, scores,
    settings, versions. The rest as in training; ``image_shape``: rows and columns of a movie.
    """

    decoder: object
    source: object
    input: Traces | Movies
    task: object
    pipeline: preprocessing.Pipeline | None
    rate_hz: float
    roi_names: tuple
    signal_unit: str
    provenance: dict = field(default_factory=dict)
    image_shape: tuple = ()

    def predict(self, recording):
        """Decode every frame of a recording that has a window, a DataFrame; the recording needs no behaviour.

        Columns ``frame`` (from 0), ``time_s``; ``probability`` of an event, ``class`` and ``probability_<class>`` of
        classes, or a column a quantity in its unit; of several heads, with ``<head>_`` before. Frames of a movie are
        scaled by this movie. Raises DataError: not the rate, unit, ROIs or size of images of the training; named ROIs
        may come in any order. Frames beside the recording's stretches are not decoded, nor seen.
        """
        if self.image_shape:
            windows = self.input.whole(self.movie(recording), recording.id, self.source, recording.stretches)
            found = training.predict_samples(self.decoder, images_of(self.source, windows))
        else:
            signal = self.pipeline.transform(recording.signal[:, self.columns(recording)], recording.id)
            blank = np.zeros(recording.n_frames, np.float32)
            windows = WindowSet.build([(recording.id, signal, blank, recording.stretches)],
                                      replace(self.input.window, stride=1))
            predict = training_footsteps.predict if self.task.kind == "together" else training.predict
            found = predict(self.decoder, windows)
        frames = windows.centre + windows.spec.label_shift_frames
        table = pd.DataFrame({"frame": frames, "time_s": frames / recording.rate_hz if recording.times_s is None
                              else recording.times_s[frames]})
        return pd.concat([table, _decoded(self.task, found)], axis=1)

    def movie(self, recording):
        """The movie of a recording; DataError if it has none, or one of another rate or size."""
        self._require_rate(recording)
        if recording.movie is None or recording.movie.shape[1:] != self.image_shape:
            found = "no movie" if recording.movie is None else f"images of {recording.movie.shape[1:]} pixels"
            raise DataError(f"recording {recording.id}", found, f"a movie of {self.image_shape} pixels, as in training",
                            "read the recording with its movie, or crop or bin it to this size")
        return recording.movie

    def columns(self, recording):
        """Columns of a recording's signal that the decoder sees, in its order; DataError if the recording is unfit."""
        self._require_rate(recording)
        where, names = f"recording {recording.id}", list(recording.roi_names)
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

    def _require_rate(self, recording):
        if abs(recording.rate_hz / self.rate_hz - 1) > RATE_TOLERANCE:
            raise DataError(f"recording {recording.id}", f"{recording.rate_hz:g} frames a second",
                            f"{self.rate_hz:g}, as in training",
                            "resample the recording, or train a decoder at its rate")

    def save(self, path):
        """Write to a safetensors file, whole or not at all; ParameterError of a decoder that cannot be kept."""
        tensors = {f"decoder/{name}": value for name, value in _tensors(self.decoder, self.source).items()}
        for i, step in enumerate(self.pipeline.steps if self.pipeline else ()):
            tensors |= {f"step{i}/{name}": torch.as_tensor(np.asarray(value))
                        for name, value in vars(step).items() if isinstance(value, np.ndarray)}
        own = not isinstance(self.source, str)
        about = {"format": FORMAT, "decoder": name_of(self.source),
                 "digest": registry.digest(self.source) if own else "",
                 "kind": type(self.source).__name__ if own else "", "input": asdict(self.input),
                 "task": _written(self.task), "rate_hz": self.rate_hz, "roi_names": self.roi_names,
                 "signal_unit": self.signal_unit, "provenance": self.provenance, "image_shape": self.image_shape}
        loop.write_tensors(path, tensors, decoder=json.dumps(about))


def load_decoder(path, source=None):
    """Read a decoder that :meth:`FittedDecoder.save` wrote, a FittedDecoder. Nothing in the file is executed.

    Parameters
    ----------
    path : str or Path
    source : Network, Estimator, class or estimator, optional
        What a decoder of your own was made from: the file holds its weights, not its code.

    Raises
    ------
    DataError
        No such file, or one of another kind; or your own class is another one than it was.
    """
    try:
        tensors, metadata = loop.read_tensors(path)
        about = json.loads(metadata.get("decoder", "{}"))
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
    source = registry.resolve(source) if kind else about["decoder"]
    if kind and registry.digest(source) != about["digest"]:
        raise DataError(path, f"a decoder made from another {name_of(source)}", "the class or estimator as it was",
                        "give it as it was when the decoder was saved, name and options included")
    task, settings = _read(about["task"]), about["provenance"]["training"]
    names, image_shape, pipeline = tuple(about["roi_names"]), tuple(about["image_shape"]), None
    if image_shape:
        as_input, settings = Movies(**about["input"]), MovieTraining("none", settings["frozen"])
        size = tuple(n // as_input.bin_px for n in image_shape)
        decoder = build(source, as_input.spec(source), size, task.head, settings,
                        lambda: build("cnn", None, size, task.head, settings, None))
    else:
        as_input = Traces(about["input"]["preprocessing"], WindowSpec(**about["input"]["window"]))
        pipeline, window = as_input.pipeline(), as_input.window
        n_columns = pipeline.width(len(names))
        if task.kind == "together":
            size = settings["size"] if isinstance(settings["size"], str) else HybridSize(**settings["size"])
            settings = FootstepTraining(size=size, activity=settings["activity"])
            decoder = training_footsteps.build(source, n_columns, window, task.head, settings)
        else:
            decoder = models.build(source, n_columns, window.past_frames, 0, task.head, window.length)
    _restore(decoder, {name[8:]: value for name, value in tensors.items() if name.startswith("decoder/")})
    for name, value in tensors.items():
        step, _, attribute = name.partition("/")
        if step != "decoder":
            object.__setattr__(pipeline.steps[int(step[4:])], attribute, value.numpy())
    return FittedDecoder(decoder, source, as_input, task, pipeline, about["rate_hz"], names, about["signal_unit"],
                         about["provenance"], image_shape)


def _decoded(task, found):
    """What was decoded, as columns of a table."""
    if task.kind == "together":
        return pd.concat([_decoded(one, found[name]).add_prefix(f"{name}_") for name, one in task.by_head.items()],
                         axis=1)
    if task.kind == "binary":
        return pd.DataFrame({"probability": found})
    if task.kind == "classes":
        classes = np.array([*task.classes])
        return pd.DataFrame({"class": classes[found.argmax(axis=1)]} | {
            f"probability_{name}": found[:, i] for i, name in enumerate(classes)})
    return task.quantities(found)


def _written(task):
    """A task as JSON holds it."""
    if task.kind == "together":
        return ["Together", {name: _written(one) for name, one in task.tasks.items()}, task.each]
    return [type(task).__name__, asdict(task)]


def _read(about):
    kind, given, *each = about
    if kind == "Together":
        return Together(**{name: _read(one) for name, one in given.items()}, each=each[0])
    return getattr(tasks, kind)(*given.pop("names", ()), **given)


def _tensors(decoder, source):
    if isinstance(decoder, nn.Module):
        return decoder.state_dict()
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
