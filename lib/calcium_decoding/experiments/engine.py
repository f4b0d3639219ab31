"""Experiments: data set + preprocessing + window + split + models + training; each fold is one job, in a process of one
thread or on a Dask cluster, stored under a key of everything that determines it."""

import contextlib
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from itertools import chain
from pathlib import Path

from calcium_decoding import splits
from calcium_decoding.data.movies import Movie
from calcium_decoding.data.recording import Dataset
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import nulls
from calcium_decoding.experiments import fitted, stored, tasks
from calcium_decoding.experiments.folds import FITTED, FoldResult, Results
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.experiments.together import Together
from calcium_decoding.models import registry
from calcium_decoding.models.decoders import Network, decoder_of, name_of
from calcium_decoding.splits import Split
from calcium_decoding.splits.audit import audit
from calcium_decoding.utils import parallel
from calcium_decoding.utils.code import FOLD_ROOMS, code_digest
from calcium_decoding.utils.files import hash_content


@dataclass(frozen=True)
class Experiment:
    """From these recordings, cut windows of this input, let these decoders learn this task under this split.

    ``Experiment(dataset, decoders=["gru", Network(Mine)]).run().table()`` is a whole program.

    Parameters
    ----------
    dataset : Dataset
    split : Split or str, optional
        Who trains, validates and tests, or a name in :data:`calcium_decoding.splits.REGIMES`; what suits the data if
        left out. Audited before it is used.
    input : Traces, Movies or Features
    task : Binary, Classes, Continuous, or several of them Together
    decoders : sequence
        Names in :data:`calcium_decoding.models.MODELS`, ``SPEED_MODELS`` or ``IMAGE_MODELS``;
        :class:`~calcium_decoding.models.Network`, :class:`~calcium_decoding.models.Estimator`; a class of
        torch.nn.Module or a scikit-learn estimator will do.
    training : TrainingSettings, MovieTraining of movies, FootstepTraining of several tasks together
    n_folds : int
        Keep so many folds of the split, spread evenly over all of them; 0: all.

    Raises
    ------
    DataError, ParameterError, LeakError
        A recording lacks the behaviour, the data do not allow the split, a decoder cannot decode this.
    """

    dataset: Dataset
    split: Split | str | None = None
    input: Traces = field(default_factory=Traces)
    task: tasks.Binary | tasks.Classes | tasks.Continuous | Together = field(default_factory=tasks.Binary)
    decoders: tuple | None = None
    training: object = None
    n_folds: int = 0

    def __post_init__(self):
        for name, has, what in (("input", "on", "Traces(), Movies() or Features()"),
                                ("task", "of", "Binary(...), Classes(...), Continuous(...) or Together(...)")):
            if isinstance(getattr(self, name), type) or not hasattr(getattr(self, name), has):
                raise ParameterError(name, f"{getattr(self, name)!r:.80}", what, "give one of these")
        named = self.split is None or isinstance(self.split, str)
        # As they were given, so that what the data decided is decided anew where the data change.
        object.__setattr__(self, "_given", {name: getattr(self, name) for name in
                                            ("split", "input", "task", "decoders", "training", "n_folds")})
        regime = (self.split or self.dataset.regime) if named else self.split.regime
        kind = self.task if isinstance(self.task, Together) else self.input
        decoders = kind.decoders if self.decoders is None else self.decoders
        given = tuple(decoders) if isinstance(decoders, tuple | list) else (decoders,)
        for name, value in (("input", self.input.on(self.dataset, regime)), ("task", self.task.of(self.dataset)),
                            ("decoders", given), ("training", self.training or kind.training())):
            object.__setattr__(self, name, value)
        if named:
            object.__setattr__(self, "split", splits.build(regime, self.dataset, self.spec, self.input.pipeline(),
                                                           label_smoothing_frames=self.label_reach))
        else:
            object.__setattr__(self, "split", self.split.within(self.dataset, self.spec))
        if self.n_folds:
            object.__setattr__(self, "split", self.split.spread(self.n_folds))
        if isinstance(self.task, Together) and type(self.input) is not Traces:
            raise ParameterError("input", type(self.input).__name__, "Traces for several tasks together",
                                 "decode one of the tasks, or ROI traces")
        if not isinstance(self.training, kind.training):
            raise ParameterError("training", f"{type(self.training).__name__} for {type(kind).__name__}",
                                 kind.training.__name__, "give settings of this kind, or none")
        names = [name_of(decoder_of(decoder)) for decoder in self.decoders]
        if not names:
            raise ParameterError("decoders", "none", "one or more", "name some")
        if len(set(names)) < len(names):
            twice = ", ".join(sorted({name for name in names if names.count(name) > 1}))
            raise ParameterError("decoders", f"more than one called {twice}", "a name for each",
                                 "name them apart: Network(..., name=...)")
        for decoder in self.decoders:
            self.input.resolve(decoder, self.task.head)

    @property
    def spec(self):
        """The window, a WindowSpec."""
        return self.input.window

    @property
    def label_reach(self):
        """Frames before and after a frame that its label was made from, (int, int)."""
        return tasks.label_reach(self.task, self.dataset)

    @property
    def recipe(self):
        """Arguments of :func:`calcium_decoding.preprocessing.build`, a dict."""
        return self.input.preprocessing

    def with_(self, **changes):
        """The same with other arguments, or settings of the input (``window``, ``preprocessing``) or the training."""
        now = self._given | {name: changes.pop(name) for name in self._given if name in changes}
        kind = now["task"] if isinstance(now["task"], Together) else now["input"]
        for part, of in (("input", now["input"]), ("training", now["training"] or kind.training())):
            mine = {f.name: changes.pop(f.name) for f in fields(of) if f.name in changes}
            now[part] = replace(of, **mine) if mine else now[part]
        if unknown := [name for name in changes if name != "dataset"]:
            known = [f.name for thing in (self, self.input, self.training) for f in fields(thing)]
            raise ParameterError("with_", ", ".join(unknown), f"some of {', '.join(dict.fromkeys(known))}",
                                 "mend the name")
        return replace(self, **now | changes)

    def with_folds(self, n):
        """The same on ``n`` folds, spread evenly over all of them; all if ``n`` is 0."""
        return self.with_(n_folds=n)

    def run(self, **how):
        """Train and test every decoder on every fold; see :func:`run`. Returns Results."""
        return run(self, self.decoders, **how)

    def map(self, work, decoder="gru", *, name, store=None, jobs=None, label="folds", allow_leak=False, **asked):
        """Do some work with the fitted decoder of every fold, read where it was kept and trained otherwise.

        ``work(fitted, **asked)`` gets a :class:`~calcium_decoding.experiments.fitted.FittedFold` and gives a dict that
        JSON can hold, stored as ``KEY.NAME.json``. The rest as for :func:`run`. Returns a list of dict in the order of
        the split: ``fold``, ``animal`` (the test group), what the work gave, and ``reason``, why a fold has no decoder;
        else empty.
        """
        self.audit(allow_leak)
        return fitted.map_folds(self, work, decoder, name, asked, store, jobs, label)

    def fitted(self, decoder="gru", fold=0, store=None):
        """The decoder that was scored on a fold, by number, to be saved or applied to another recording: a
        FittedDecoder. ParameterError: of features of movies, or frames scaled by training frames, it cannot be applied
        to another recording."""
        return fitted.of_fold(self, decoder, fold, stored.settled(store)[0])

    def null(self, seed=0, way="repairing"):
        """The same on a draw of a null (``way`` in :data:`calcium_decoding.evaluation.nulls.NULLS`): behaviour of
        another session. Raises DataError: the data do not allow this null, such as one session an animal."""
        return self.with_(dataset=nulls.null_of(way)(self.dataset, seed))

    def audit(self, allow_leak=False):
        """Refuse a split that leaks; see :func:`calcium_decoding.splits.audit.audit`."""
        return audit(self.split, self.spec, self.input.pipeline(), self.dataset, fitted=FITTED,
                     label_smoothing_frames=self.label_reach, allow_leak=allow_leak)

    def key(self, fold, decoder):
        """Hash of everything that determines the result of a decoder on a fold."""
        return hash_content([self.input.decides(recordings_of(self, [fold]), decoder, self.training), asdict(fold),
                             self.split.of_centres, type(self.task).__name__, _pairs(asdict(self.task)),
                             self.dataset.simulated, registry.digest(decoder), code_digest(*FOLD_ROOMS)])

    def shared(self, folder):
        """What all folds share, in files under ``folder``: signals, or movies with what is made of them."""
        return self.input.share(recordings_of(self, self.split.folds), folder)

    def fold_task(self, fold, decoder, shared=None, store=None):
        """A FoldTask with only the recordings that a fold touches. ``shared``: of :meth:`shared`, else their signals.
        ``store``: folder of trained weights."""
        recordings = recordings_of(self, [fold])
        one_quantity = self.task.kind == "continuous" and not self.task.head.shape
        knows_running = one_quantity and all("run" in r.behaviour for r in recordings)
        about = {"split": replace(self.split, folds=(fold,)), "input": self.input, "task": self.task,
                 "training": self.training, "decoder": self.input.resolve(decoder, self.task.head),
                 "labels": {r.id: self.task.target(r) for r in recordings},
                 "running": {r.id: r.run for r in recordings} if knows_running else {},
                 "simulated": self.dataset.simulated,
                 "weights": None if store is None else Path(store) / f"{self.key(fold, decoder)}.weights.safetensors"}
        return self.input.fold_task(recordings, shared, about, lambda name: self.key(fold, name))


def run(experiment, model_names, store=None, jobs=None, label="folds", allow_leak=False, scheduler=None):
    """Train and test decoders on every fold: Results, decoders in the order given, folds in that of the split.

    A fold whose training or test frames hold one class, or one value, comes back without scores and with the reason.

    Parameters
    ----------
    experiment : Experiment
    model_names : sequence of str, Network or Estimator
    store, jobs, scheduler : optional
        As for :func:`calcium_decoding.experiments.job_settings`, and as it says if left out.
    label : str
        What the progress bar counts.
    allow_leak : bool
        Run a split that is marked as leaky; its folds carry LEAKY in their names.

    Raises
    ------
    LeakError, ParameterError, ClusterError
        The split leaks, a decoder is unknown or cannot decode this, the cluster cannot be used.
    """
    return run_many([(experiment, model_names)], store, jobs, label, allow_leak, scheduler)[0]


def run_many(plans, store=None, jobs=None, label="folds", allow_leak=False, scheduler=None):
    """:func:`run` for several (Experiment, decoders), with one progress bar: a list of Results. A fold that two of them
    share is trained once; where one leaks, nothing is trained."""
    store, jobs, scheduler = stored.settled(store, jobs, scheduler)
    plans = [(experiment, tuple(names)) for experiment, names in plans]
    for experiment in {id(experiment): experiment for experiment, _ in plans}.values():
        experiment.audit(allow_leak)
    for experiment, names in plans:
        for name in names:
            experiment.input.resolve(name, experiment.task.head)
    asked = [[(experiment, fold, model) for model in names for fold in experiment.split.folds]
             for experiment, names in plans]
    keys = [[experiment.key(fold, model) for experiment, fold, model in of_plan] for of_plan in asked]
    wanted = {}
    for key, one in zip(chain(*keys), chain(*asked), strict=True):
        wanted.setdefault(key, one)
    paths = {key: None if store is None else Path(store) / f"{key}.npz" for key in wanted}

    def work(missing, bar):
        asked = {key: wanted[key] for key in missing}
        return _on_cluster(asked, paths, store, scheduler) if scheduler else _here(asked, paths, store, jobs, bar)

    found = stored.run(paths, FoldResult.load, work, label, "fold")
    return [Results(found[key] for key in of_plan) for of_plan in keys]


def _here(missing, paths, store, jobs, bar):
    """Run in processes; frames lie in files that all of them read."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory()) if store is None else store
        calls = [(key, task, paths[key]) for key, task in _tasks(missing, folder, store, stack)]
        for decoder in () if jobs == 1 else {task.model: task.decoder for _, task, _ in calls}.values():
            if isinstance(decoder, Network):
                decoder.__reduce__()  # refuses one that cannot be sent to another process
        yield from parallel.run(calls, FoldResult.save, jobs, bar)


def _tasks(missing, folder, store, stack):
    """Key and FoldTask of each missing fold, on what the folds of its experiment share."""
    shared = {}
    for key, (experiment, fold, decoder) in missing.items():
        if id(experiment) not in shared:
            shared[id(experiment)] = stack.enter_context(experiment.shared(folder))
        yield key, experiment.fold_task(fold, decoder, shared[id(experiment)], store)


def _on_cluster(missing, paths, store, scheduler):
    """Run on a cluster; results are stored here."""
    of_movies = {key: one for key, one in missing.items() if one[0].input.beside_files}
    traces = {key: one for key, one in missing.items() if key not in of_movies}
    with contextlib.ExitStack() as stack:
        for run_there, calls, pieces in ((_run_remotely, *_traces_to_send(traces)),
                                         (_run_beside_files, _movies_to_send(of_movies, store, stack), {})):
            for key, result in parallel.on_cluster(run_there, calls, pieces, scheduler, stored.identity):
                if paths[key] is not None:
                    result.save(paths[key])
                yield key, result


def _traces_to_send(missing):
    """Signals travel: the workers may not see this disk."""
    calls, pieces = [], {}
    for key, (experiment, fold, decoder) in missing.items():
        recordings = recordings_of(experiment, [fold])
        hashes = {r.id: r.signal_hash for r in recordings}
        pieces |= {hashes[r.id]: r.signal for r in recordings}
        calls.append(((key, experiment.fold_task(fold, decoder, {})), hashes))
    return calls, pieces


def _movies_to_send(missing, store, stack):
    """Movies stay where they are: the workers have to see the same files, and the store for weights and features."""
    if missing and store is None:
        raise ParameterError("store", "none, and movies to decode on a cluster", "a folder that the workers see too",
                             "name one (store, or CALCIUM_DECODING_FOLDS), or run without a scheduler")
    return [((key, task, {name: movie.content_hash() for name, movie in task.movies.items()}), {})
            for key, task in _tasks(missing, store, store, stack)]


def _run_remotely(named_task, signals):
    key, task = named_task
    return key, replace(task, signals=signals).run()


def _run_beside_files(named_task, _):
    key, task, hashes = named_task
    for name, movie in task.movies.items():
        where = f"recording {name}, on the worker {platform.node()}"
        try:
            there = Movie(*movie.opened_by)
            state = tuple((file.stat().st_mtime_ns, file.stat().st_size) for file in there.files)
        except (DataError, OSError) as error:
            raise DataError(where, f"no movie {movie.path} ({error})", "the files that the computer which started the "
                            "run sees, under the same path", "mount the same disk there") from error
        if _movie_hash(movie.opened_by, state) != hashes[name]:
            raise DataError(where, f"another movie under {movie.path}", "the same pixels as on the computer which "
                            "started the run", "mount the same disk there")
    return key, task.run()


@cache
def _movie_hash(opened_by, state):
    return Movie(*opened_by).content_hash()


def _pairs(thing):
    """Dicts as lists of pairs: the order of classes, and of heads, counts."""
    return [[name, _pairs(value)] for name, value in thing.items()] if isinstance(thing, Mapping) else thing


def recordings_of(experiment, folds):
    """Recordings that some folds touch, in the order of the data set."""
    names = {s.recording for fold in folds for s in (*fold.train, *fold.valid, *fold.test)}
    return tuple(r for r in experiment.dataset.recordings if r.id in names)
