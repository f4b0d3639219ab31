"""Experiments: data set + preprocessing + window + split + models + training; each fold is one job.

Folds run in processes of one thread each, which was the fastest way on a CPU, or on a Dask cluster. What a job found is
stored under a key of everything that determines it: an interrupted run goes on with the folds that are missing, one
that was training after its last epoch, and a changed parameter never meets a stale result.
"""

import contextlib
import os
import platform
import tempfile
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from calcium_decoding import models, preprocessing
from calcium_decoding.data.recording import Dataset
from calcium_decoding.errors import ParameterError
from calcium_decoding.experiments import stored, tasks
from calcium_decoding.experiments.folds import FITTED, FoldResult, FoldTask
from calcium_decoding.models import loop
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.preprocessing import shared_frames
from calcium_decoding.preprocessing.windows import WindowSpec
from calcium_decoding.splits import Split
from calcium_decoding.splits.audit import audit
from calcium_decoding.utils import parallel
from calcium_decoding.utils.code import FOLD_ROOMS, code_digest
from calcium_decoding.utils.files import hash_content


@dataclass(frozen=True)
class Experiment:
    """Everything that determines a set of fold results.

    Parameters
    ----------
    dataset : Dataset
    split : Split
        Audited before it is used.
    spec : WindowSpec
    recipe : dict
        Arguments of :func:`calcium_decoding.preprocessing.build`.
    training : TrainingSettings
    target, target_smoothing : str
        What is decoded: run and rest, or a speed; see :func:`calcium_decoding.experiments.tasks.target_of`. The audit
        counts the frames that the smoothing reaches.
    """

    dataset: Dataset
    split: Split
    spec: WindowSpec
    recipe: dict
    training: TrainingSettings
    target: str = "run"
    target_smoothing: str = "none"

    @property
    def task(self):
        """``"run"`` or ``"speed"``."""
        return tasks.task_of(self.target)

    def audit(self, allow_leak=False):
        """Refuse a split that leaks under everything this experiment does; see
        :func:`calcium_decoding.splits.audit.audit`."""
        return audit(self.split, self.spec, preprocessing.build(**self.recipe), self.dataset, fitted=FITTED,
                     label_smoothing_frames=tasks.reach(self.target_smoothing), allow_leak=allow_leak)

    def require(self, model):
        """Refuse a model that is unknown or decodes something else."""
        if models.task_of(model) != self.task:
            raise ParameterError("model", f"'{model}', which decodes {models.task_of(model)}",
                                 f"a model that decodes {self.task}", "name another model or another target")

    def key(self, fold, model):
        """Hash of everything that determines the result of a model on a fold."""
        content = {r.id: r.content_hash() for r in recordings_of(self, [fold])}
        return hash_content([content, asdict(fold), self.split.of_centres, asdict(self.spec), self.recipe,
                             asdict(self.training), self.target, self.target_smoothing, model,
                             code_digest(*FOLD_ROOMS)])

    def shared(self, folder):
        """Signals of all folds in a file under ``folder``; see
        :func:`calcium_decoding.preprocessing.shared_frames.share`."""
        return shared_frames.share(recordings_of(self, self.split.folds), Path(folder) / "frames")

    def fold_task(self, fold, model, signals=None):
        """One decoder on one fold, with only the recordings that the fold touches.

        Parameters
        ----------
        fold : Fold
        model : str
            A name in :data:`calcium_decoding.models.MODELS`.
        signals : SharedSignals or dict of str to ndarray, optional
            In place of the signals of the data set.

        Returns
        -------
        FoldTask
        """
        recordings = recordings_of(self, [fold])
        if signals is None:
            signals = {r.id: r.signal for r in recordings}
        elif not isinstance(signals, shared_frames.SharedSignals):
            signals = {r.id: signals[r.id] for r in recordings if r.id in signals}
        labels = {r.id: tasks.target_of(r, self.target, self.target_smoothing) for r in recordings}
        knows_running = self.task == "speed" and all("run" in r.behaviour for r in recordings)
        return FoldTask(replace(self.split, folds=(fold,)), self.spec, self.recipe, self.training, model, labels,
                        signals, self.task, {r.id: r.run for r in recordings} if knows_running else {})


def run(experiment, model_names, store=None, jobs=None, label="folds", allow_leak=False, scheduler=None):
    """Train and test decoders on every fold.

    Parameters
    ----------
    experiment : Experiment
    model_names : sequence of str
        Names in :data:`calcium_decoding.models.MODELS`.
    store : str or Path, optional
        Folder of finished folds.
    jobs : int, optional
        Processes; all processors if left out. Results do not depend on it.
    label : str
        What the progress bar counts.
    allow_leak : bool
        Run a split that is marked as leaky; its folds carry LEAKY in their names.
    scheduler : str, optional
        Address of a Dask scheduler whose workers train the folds instead of processes here; the environment variable
        ``CALCIUM_DECODING_SCHEDULER`` if left out. Results do not depend on it.

    Returns
    -------
    list of FoldResult
        Models in the order given, folds in the order of the split. A fold whose training or test frames hold one
        class, or one speed, only comes back without scores and with the reason.

    Raises
    ------
    LeakError
        The split leaks; see :func:`calcium_decoding.splits.audit.audit`.
    ParameterError, ClusterError
        The cluster cannot be used; see :func:`calcium_decoding.utils.parallel.on_cluster`.
    """
    return run_many([(experiment, model_names)], store, jobs, label, allow_leak, scheduler)[0]


def run_many(plans, store=None, jobs=None, label="folds", allow_leak=False, scheduler=None):
    """Train and test decoders on every fold of several experiments, in one go with one progress bar.

    Parameters
    ----------
    plans : sequence of (Experiment, sequence of str)
        Experiments with the names of their models. A fold that two of them share is trained once.
    store, jobs, label, allow_leak, scheduler
        As for :func:`run`.

    Returns
    -------
    list of list of FoldResult
        For each plan what :func:`run` returns.

    Raises
    ------
    LeakError
        A split leaks; nothing was trained then.
    ParameterError
        A model that is unknown or decodes something else than the experiment's target.
    """
    plans = [(experiment, tuple(names)) for experiment, names in plans]
    for experiment, names in plans:
        experiment.audit(allow_leak)
        for name in names:
            experiment.require(name)
    keys = [[experiment.key(fold, model) for model in names for fold in experiment.split.folds]
            for experiment, names in plans]
    wanted = {}
    for of_plan, (experiment, names) in zip(keys, plans, strict=True):
        tasks = [(experiment, fold, model) for model in names for fold in experiment.split.folds]
        wanted |= {key: task for key, task in zip(of_plan, tasks, strict=True) if key not in wanted}
    paths = {key: None if store is None else Path(store) / f"{key}.npz" for key in wanted}
    scheduler = scheduler or os.environ.get(parallel.SCHEDULER_VARIABLE)

    def work(missing, bar):
        tasks = {key: wanted[key] for key in missing}
        return _on_cluster(tasks, paths, scheduler) if scheduler else _here(tasks, paths, store, jobs, bar)

    found = stored.run(paths, _load, work, label, "fold")
    return [[found[key] for key in of_plan] for of_plan in keys]


def _here(missing, paths, store, jobs, bar):
    """Run in processes; frames lie in files that all of them read."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory()) if store is None else store
        shared, calls = {}, []
        for key, (experiment, fold, model) in missing.items():
            if id(experiment) not in shared:
                shared[id(experiment)] = stack.enter_context(experiment.shared(folder))
            calls.append((key, experiment.fold_task(fold, model, shared[id(experiment)]), paths[key]))
        yield from parallel.run(calls, _save, jobs, bar)


def _on_cluster(missing, paths, scheduler):
    """Run on a cluster, which may not see this disk: signals travel, and results are stored here."""
    if not all(isinstance(experiment, Experiment) for experiment, _, _ in missing.values()):
        raise ParameterError("scheduler", f"{scheduler}, and movies to decode", "ROI traces, which travel to workers",
                             "run without a scheduler: movies are decoded where they lie")
    calls, pieces = [], {}
    for key, (experiment, fold, model) in missing.items():
        recordings = recordings_of(experiment, [fold])
        hashes = {r.id: shared_frames.signal_hash(r) for r in recordings}
        pieces |= {hashes[r.id]: r.signal for r in recordings}
        calls.append(((key, experiment.fold_task(fold, model, {})), hashes))
    for key, result in parallel.on_cluster(_run_remotely, calls, pieces, scheduler, identity):
        if paths[key] is not None:
            _save(result, paths[key])
        yield key, result


def _run_remotely(named_task, signals):
    key, task = named_task
    return key, replace(task, signals=signals).run()


def recordings_of(experiment, folds):
    """Recordings that some folds touch, in the order of the data set."""
    names = {s.recording for fold in folds for s in (*fold.train, *fold.valid, *fold.test)}
    return tuple(r for r in experiment.dataset.recordings if r.id in names)


def identity():
    """What the result of a fold depends on besides the experiment: code and versions, as a dict of str."""
    packages = ("numba", "numpy", "scipy", "scikit-learn", "torch")
    return {"calcium-decoding": code_digest(*FOLD_ROOMS), "Python": platform.python_version().rpartition(".")[0],
            **{name: version(name).partition("+")[0] for name in packages}}


def _save(result, path):
    content = asdict(result)
    arrays = {k: v for k, v in content.items() if isinstance(v, np.ndarray)}
    stored.save(stored.Outcome({k: v for k, v in content.items() if k not in arrays}, arrays), path)


def _load(path):
    """The stored fold, or None if it is not there or damaged: it is then trained again."""
    if (outcome := stored.load(path)) is None:
        return None
    facts = outcome.facts
    facts |= {"history": loop.History(**facts["history"]), "recordings": tuple(facts["recordings"]),
              "notes": tuple(facts["notes"])}
    return FoldResult(**facts, **outcome.arrays)
