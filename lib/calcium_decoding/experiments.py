"""Experiments: data set + preprocessing + window + split + models + training; each fold is one job.

Folds run in processes of one thread each, which was the fastest way on a CPU. A finished fold is stored under a key
of everything that determines it: an interrupted run goes on with the folds that are missing, and a changed
parameter never meets a stale result.
"""

import json
import os
import warnings
import zipfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import joblib
import numpy as np

from calcium_decoding import metrics, models, preprocess, training
from calcium_decoding.audit import FittedStep, audit
from calcium_decoding.errors import DataError
from calcium_decoding.files import file_digest, hash_content, whole_file
from calcium_decoding.progress import progress
from calcium_decoding.recording import Dataset
from calcium_decoding.splits import Split
from calcium_decoding.windows import WindowSet, WindowSpec

# Modules that cannot change the result of a fold. All others can: a change in one of them makes stored folds stale.
_NOT_DETERMINING = frozenset(
    "audit brain_figures chance chapters cli comparison confidence events fetch figures intact leakage linear_null "
    "manifest manifest_schema movies nested notebook null_figures null_level nulls parameters progress published "
    "readers results simulate simulated_truth split_figures statistics tables tour".split()
)


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
        Arguments of :func:`calcium_decoding.preprocess.build`.
    training : TrainingSettings
    """

    dataset: Dataset
    split: Split
    spec: WindowSpec
    recipe: dict
    training: training.TrainingSettings


@dataclass(frozen=True, eq=False)
class FoldResult:
    """One decoder on one fold.

    Attributes
    ----------
    fold, test_group, model : str
    scores : dict of str to float
        See :func:`calcium_decoding.metrics.frame_scores`; over all test windows pooled. Empty if not evaluable.
    reason : str
        Why there are no scores; empty if there are.
    history : History
        Losses of each epoch; empty for a linear decoder.
    recordings : tuple of str
        Test recordings, in order.
    recording, centre : ndarray, shape (n,), int64
        For each test window: index into ``recordings``, and its centre, which is the labelled frame unless labels are
        shifted.
    labels : ndarray, shape (n,), uint8
    p_run : ndarray, shape (n,), float64
        Decoded probability of running; NaN in a fold that is not evaluable, which has no scores either.
    valid_labels : ndarray, shape (m,), uint8
    valid_p_run : ndarray, shape (m,), float64
        The same for the validation windows, on which thresholds and decoders may be chosen. Empty in a fold that is
        not evaluable.
    """

    fold: str
    test_group: str
    model: str
    scores: dict
    reason: str
    history: training.History
    recordings: tuple
    recording: np.ndarray
    centre: np.ndarray
    labels: np.ndarray
    p_run: np.ndarray
    valid_labels: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))
    valid_p_run: np.ndarray = field(default_factory=lambda: np.empty(0))

    def trace(self, recording):
        """Labelled frames, labels and decoded probabilities of one test recording, in time order."""
        here = self.recording == self.recordings.index(recording)
        return self.centre[here], self.labels[here], self.p_run[here]


# What is fitted or chosen here beside the preprocessing, for the audit.
FITTED = (FittedStep("weights of the decoder", "train"), FittedStep("epoch at which training stops", "valid"))


def run(experiment, model_names, store=None, jobs=None, label="folds", allow_leak=False):
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

    Returns
    -------
    list of FoldResult
        Models in the order given, folds in the order of the split. A fold whose training or test frames hold one
        class only comes back without scores and with the reason.

    Raises
    ------
    LeakError
        The split leaks; see :func:`calcium_decoding.audit.audit`.
    """
    audit(experiment.split, experiment.spec, preprocess.build(**experiment.recipe), experiment.dataset, fitted=FITTED,
          allow_leak=allow_leak)
    tasks = [(experiment, fold, model) for model in model_names for fold in experiment.split.folds]
    paths = [None if store is None else Path(store) / f"{_key(*task)}.npz" for task in tasks]
    results = [None if path is None else _load(path) for path in paths]
    missing = [i for i, result in enumerate(results) if result is None]
    work = (joblib.delayed(_numbered)(i, _slim(*tasks[i]), paths[i]) for i in missing)
    jobs = min(jobs or os.cpu_count() or 1, max(1, len(missing)))
    with warnings.catch_warnings():
        # joblib replaces a worker that has grown by hundreds of megabytes, as one does on large folds; no fold is lost.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given", category=UserWarning)
        done = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(work) if missing else ()
        for i, result in progress(done, total=len(missing), desc=label, unit="fold", disable=not missing):
            results[i] = result
    return results


def run_fold(experiment, fold, model_name, checkpoint=None):
    """Train and test one decoder on one fold; see :func:`run`."""
    recordings, split = {r.id: r for r in experiment.dataset.recordings}, experiment.split
    pipeline = preprocess.build(**experiment.recipe)
    ranges = fold.ranges("train")
    pipeline.fit([(recordings[name].signal, ranges[name]) for name in ranges], list(ranges))
    transformed = {}

    def windows(role):
        pieces = []
        for name, frames in fold.ranges(role).items():
            if name not in transformed:
                transformed[name] = pipeline.transform(recordings[name].signal, name)
            whole = [(0, recordings[name].n_frames)]
            pieces.append((name, transformed[name], recordings[name].run, whole if split.of_centres else frames))
        found = WindowSet.build(pieces, experiment.spec)
        return _only(found, split.samples_of(fold, role, found)) if split.of_centres else found

    train, valid, test = windows("train"), windows("valid"), windows("test")
    history, p_run, scores, reason = training.History(), np.full(len(test), np.nan), {}, ""
    valid_labels, valid_p_run = valid.labels[:0], np.empty(0)
    try:
        metrics.require_both_classes(test.labels, "test frames")
        metrics.require_both_classes(train.labels, "training frames")
    except DataError as error:
        reason = f"{error.where}: {error.found}"
    else:
        settings = experiment.training
        decoder = models.build(model_name, train.frames.shape[1], experiment.spec.past_frames, settings.seed)
        history = training.fit(decoder, train, valid, settings, checkpoint=checkpoint)
        p_run = training.predict(decoder, test, settings.torch_device())
        valid_labels, valid_p_run = valid.labels, training.predict(decoder, valid, settings.torch_device())
        scores = metrics.frame_scores(test.labels, p_run)
    return FoldResult(fold.name, fold.test_group, model_name, scores, reason, history, tuple(test.ids),
                      test.recording, test.centre, test.labels, p_run, valid_labels, valid_p_run)


def _only(windows, which):
    """Some of the windows, over the same frames."""
    return replace(windows, **{name: getattr(windows, name)[which]
                               for name in ("starts", "labels", "recording", "centre")})


def _recordings_of(experiment, fold):
    """The recordings that a fold touches, in the order of the data set."""
    names = {s.recording for s in (*fold.train, *fold.valid, *fold.test)}
    return tuple(r for r in experiment.dataset.recordings if r.id in names)


def _slim(experiment, fold, model):
    """The task with only the recordings its fold touches: what has to travel to another process."""
    dataset = replace(experiment.dataset, recordings=_recordings_of(experiment, fold))
    return replace(experiment, dataset=dataset, split=replace(experiment.split, folds=(fold,))), fold, model


def _numbered(i, task, path):
    checkpoint = None if path is None else path.with_suffix(".checkpoint.safetensors")
    result = run_fold(*task, checkpoint=checkpoint)
    if path is not None:
        _save(result, path)
    return i, result


def _key(experiment, fold, model):
    content = {r.id: r.content_hash() for r in _recordings_of(experiment, fold)}
    return hash_content([content, asdict(fold), asdict(experiment.spec), experiment.recipe,
                         asdict(experiment.training), model, _code_hash()])


def _code_hash():
    folder = Path(__file__).parent
    files = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.py"))}
    return hash_content({name: file_digest(path) for name, path in files.items()
                         if name.split("/")[0] not in _NOT_DETERMINING})


_ARRAYS = ("recording", "centre", "labels", "p_run", "valid_labels", "valid_p_run")


def _save(result, path):
    rest = {k: v for k, v in asdict(result).items() if k not in _ARRAYS}
    with whole_file(path) as temporary:
        np.savez_compressed(temporary, meta=np.array(json.dumps(rest)), **{k: getattr(result, k) for k in _ARRAYS})


def _load(path):
    """The stored fold, or None if it is not there or damaged: it is then trained again."""
    try:
        with np.load(path, allow_pickle=False) as file:
            rest = json.loads(str(file["meta"]))
            arrays = {name: file[name] for name in _ARRAYS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    rest["history"] = training.History(**rest["history"])
    rest["recordings"] = tuple(rest["recordings"])
    return FoldResult(**rest, **arrays)
