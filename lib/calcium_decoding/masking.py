"""Masking without a refit: a decoder is trained on all ROIs and tested with some of them set to a constant.

What is lost says how much that decoder leant on them, not how much they add: it never learnt to do without.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from calcium_decoding import executors, metrics, models, preprocess, training
from calcium_decoding.files import hash_content, write_json
from calcium_decoding.progress import progress
from calcium_decoding.results import source_hash
from calcium_decoding.windows import WindowSet

COLUMNS = ["fold", "animal", "group", "fill", "auc"]


def run(experiment, groups, model="gru", store=None, jobs=None, label="masking"):
    """Train on all ROIs; then, in the test alone, set one group after the other to a constant.

    Parameters
    ----------
    experiment : Experiment
        On all ROIs; its split is audited where its folds are run, see :func:`calcium_decoding.experiments.run`.
    groups : dict of str to sequence of int
        Numbers of the ROIs of each group, counted from 1; see :func:`calcium_decoding.regions.sets_of`.
    model : str
    store : str or Path, optional
        Folder of finished folds.
    jobs : int, optional
        Processes; all processors if left out.
    label : str
        What the progress bar counts.

    Returns
    -------
    pandas.DataFrame
        ``fold``, ``animal`` (the test group), ``group`` (empty: nothing masked), ``fill`` and ``auc``. Fills are
        ``"zero"`` (the least value of a ROI where it was scaled by its range), ``"mean"`` (of the training frames) and
        ``"none"``. A fold whose training or test frames hold one class only has no rows. Empty without groups.
    """
    if not groups:
        return pd.DataFrame(columns=COLUMNS)
    tasks = [_one_fold(experiment, fold) for fold in experiment.split.folds]
    paths = [None if store is None else Path(store) / f"{_key(task, groups, model)}.masked.json" for task in tasks]
    found = [_load(path) for path in paths]
    missing = [i for i, rows in enumerate(found) if rows is None]
    work = executors.in_processes(_masked_fold, [(i, tasks[i], groups, model, paths[i]) for i in missing], jobs)
    for i, rows in progress(work, total=len(missing), desc=label, unit="fold", disable=not missing):
        found[i] = rows
    return pd.DataFrame([row for rows in found for row in rows], columns=COLUMNS)


def _one_fold(experiment, fold):
    """The experiment with one fold and the recordings it touches: what has to travel to another process."""
    touched = {s.recording for s in (*fold.train, *fold.valid, *fold.test)}
    dataset = replace(experiment.dataset,
                      recordings=tuple(r for r in experiment.dataset.recordings if r.id in touched))
    return replace(experiment, dataset=dataset, split=replace(experiment.split, folds=(fold,)))


def _load(path):
    if path is None or not path.exists():
        return None
    return json.loads(path.read_text(encoding="utf-8"))


def _key(task, groups, model):
    content = {r.id: r.content_hash() for r in task.dataset.recordings}
    return hash_content(["masked", content, asdict(task.split.folds[0]), asdict(task.spec), task.recipe,
                         asdict(task.training), groups, model, source_hash()])


@threadpool_limits.wrap(limits=1)  # sums in the same order as in :mod:`calcium_decoding.folds`
def _masked_fold(i, experiment, groups, model, path):
    rows = []
    train, valid, test = _windows(experiment)
    if len(np.unique(train.labels)) == 2 and len(np.unique(test.labels)) == 2:
        settings, (fold,) = experiment.training, experiment.split.folds
        decoder = models.build(model, train.n_roi, experiment.spec.past_frames, settings.seed)
        training.fit(decoder, train, valid, settings)
        fills = {"zero": np.zeros(train.n_roi, np.float32), "mean": train.frames.mean(axis=0, dtype=float)}
        for group, rois, fill in [("", (), "none"), *((g, r, f) for g, r in groups.items() for f in fills)]:
            columns, frames = np.array(rois, dtype=int) - 1, test.frames.copy()
            frames[:, columns] = fills[fill][columns] if group else 0
            p_run = training.predict(decoder, replace(test, frames=frames), settings.torch_device())
            auc = metrics.frame_scores(test.labels, p_run)["auc"]
            rows.append({"fold": fold.name, "animal": fold.test_group, "group": group, "fill": fill, "auc": auc})
    if path is not None:
        write_json(path, rows)
    return i, rows


def _windows(experiment):
    """Windows of the only fold: for training, validation and test."""
    (fold,), recordings = experiment.split.folds, {r.id: r for r in experiment.dataset.recordings}
    pipeline, ranges = preprocess.build(**experiment.recipe), fold.ranges("train")
    pipeline.fit([(recordings[name].signal, ranges[name]) for name in ranges], list(ranges))
    return [WindowSet.build([(name, pipeline.transform(recordings[name].signal, name), recordings[name].run, frames)
                             for name, frames in fold.ranges(role).items()], experiment.spec)
            for role in ("train", "valid", "test")]
