"""Masking without a refit: a decoder is trained on all ROIs and tested with some of them set to a constant.

What is lost says how much that decoder leant on them, not how much they add: it never learnt to do without.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from calcium_decoding import models
from calcium_decoding.evaluation import metrics
from calcium_decoding.experiments import fold_map
from calcium_decoding.models import training

COLUMNS = ["fold", "animal", "group", "fill", "auc"]


def run(experiment, groups, model="gru", store=None, jobs=None, label="masking"):
    """Train on all ROIs; then, in the test alone, set one group after the other to a constant.

    Parameters
    ----------
    experiment : Experiment
        On all ROIs; its split is audited where its folds are run, see :func:`calcium_decoding.experiments.engine.run`.
    groups : dict of str to sequence of int
        Numbers of the ROIs of each group, counted from 1.
    model : str
    store, jobs, label
        As for :func:`calcium_decoding.experiments.fold_map.run`.

    Returns
    -------
    pandas.DataFrame
        ``fold``, ``animal`` (the test group), ``group`` (empty: nothing masked), ``fill`` and ``auc``. Fills are
        ``"zero"`` (the least value of a ROI where it was scaled by its range), ``"mean"`` (of the training frames) and
        ``"none"``. A fold whose training or test frames hold one class only has no rows. Empty without groups.
    """
    if not groups:
        return pd.DataFrame(columns=COLUMNS)
    found = fold_map.run(_masked, experiment, model, groups, "masked", store, jobs, label)
    return pd.DataFrame([row for rows in found for row in rows], columns=COLUMNS)


def _masked(task, groups):
    rows = []
    train, valid, test = task.windows()
    if not fold_map.one_class(train, test):
        settings, (fold,) = task.training, task.split.folds
        decoder = models.build(task.model, train.n_roi, task.spec.past_frames, settings.seed)
        training.fit(decoder, train, valid, settings)
        fills = {"zero": np.zeros(train.n_roi, np.float32), "mean": train.frames.mean(axis=0, dtype=float)}
        for group, rois, fill in [("", (), "none"), *((g, r, f) for g, r in groups.items() for f in fills)]:
            columns, frames = np.array(rois, dtype=int) - 1, test.frames.copy()
            frames[:, columns] = fills[fill][columns] if group else 0
            p_run = training.predict(decoder, replace(test, frames=frames), settings.torch_device())
            auc = metrics.frame_scores(test.labels, p_run)["auc"]
            rows.append({"fold": fold.name, "animal": fold.test_group, "group": group, "fill": fill, "auc": auc})
    return rows
