"""What a decoder loses when part of its input is occluded: patches of images, or ROIs, in the test alone.

As in Ajioka et al. 2024 (DOI 10.1371/journal.pcbi.1011074, Fig 3): pixels of a patch are set to 0 after frames are
normalised; importance is the AUC of whole images less that without the patch.
"""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import convergence, metrics
from calcium_decoding.experiments import engine, stored
from calcium_decoding.explain.patches import OccludedFrames, nothing
from calcium_decoding.models import training
from calcium_decoding.models.images.training import Images, ImageSequences
from calcium_decoding.preprocessing.movie_frames import MovieFrames
from calcium_decoding.utils import parallel
from calcium_decoding.utils.code import code_digest
from calcium_decoding.utils.files import hash_content, write_json

HELD_BYTES = 2**28  # test frames are held in memory up to this, and read anew for each patch above
RUN = 64  # windows in a row that are taken together where not all are: they share images
PATCHES_A_CALL = 16  # patches of one fold in one process, which share frames and network
WINDOWS_AT_A_TIME = 2**13  # of several patches that go through the network together, so that it is made ready once


@dataclass(frozen=True, eq=False)
class FoldOcclusion:
    """What the decoder of one fold loses without each patch.

    ``animal``: the test group. ``auc``: of whole images, over the test windows that were used, sessions pooled.
    ``pooled`` (ndarray, shape (n_patches,), float64): ``auc`` less the same without the patch. ``base``,
    ``by_session``: AUC, and its drops, by test session that has one. ``undefined``: test sessions without an AUC, and
    why; they are in no mean. ``training``, ``reason``: as of :class:`calcium_decoding.explain.FoldMap`.
    """

    fold: str
    animal: str
    model: str
    auc: float = 0.0
    pooled: np.ndarray = field(default_factory=lambda: np.empty(0))
    base: dict = field(default_factory=dict)
    by_session: dict = field(default_factory=dict)
    undefined: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)
    reason: str = ""
    simulated: bool = False

    @property
    def importance(self):
        """Mean drop over the sessions that have an AUC, shape (n_patches,)."""
        return np.mean(list(self.by_session.values()), axis=0)


def run(experiment, model, patches, store, every=1, jobs=None, label="occlusion"):
    """Test the decoder of every fold without each patch, list of FoldOcclusion; decoders are trained where needed.

    ``experiment``: of :class:`~calcium_decoding.experiments.Movies`. ``patches``: for images as the decoder sees them.
    ``store``: folder of finished folds, their weights, and a file for each patch and fold. ``every``: test on every
    n-th window (of several images 64 in a row); 1: all, as published. Raises ParameterError: ``every`` below 1, patches
    for images of another size, or images that are shuffled.
    """
    if every < 1:
        raise ParameterError("every", every, "1 or more", "test on every n-th window")
    if experiment.input.shuffled:
        raise ParameterError("input", "images in a random order (shuffled=True)", "images in their own order",
                             "score such a decoder; there is no map of it")
    shape = experiment.input.image_shape(experiment.dataset)
    for patch in patches:
        if patch.mask.shape != shape:
            raise ParameterError("patches", f"'{patch.name}' for images of {patch.mask.shape}", f"patches for {shape}",
                                 "make the patches for the size that the decoder sees")
    store = Path(store)
    folds = engine.run(experiment, [model], store, jobs, "decoders")
    patches = [nothing(shape), *patches]
    paths = {fold.name: _paths(store, experiment.key(fold, model), patches, every) for fold in experiment.split.folds}

    def work(missing, bar):
        missing = set(missing)
        with experiment.shared(store) as shared:
            calls = []
            for fold in experiment.split.folds:
                named = [pair for pair in zip(paths[fold.name], patches, strict=True) if pair[0] in missing]
                calls += [(experiment.fold_task(fold, model, shared, store), every, named[i : i + PATCHES_A_CALL])
                          for i in range(0, len(named), PATCHES_A_CALL)]
            for found in parallel.in_processes(_test, calls, jobs):
                yield from found.items()

    wanted = {path: path for result in folds if result.scores for path in paths[result.fold]}
    known = stored.run(wanted, stored.load_json, work, label, "patch")
    return [_fold_occlusion(result, [known.get(path) for path in paths[result.fold]], experiment.dataset.simulated)
            for result in folds]


def decoded(task, patches, every=1):
    """Yield test windows of a fold (WindowSet, the same each time) and ``p_run``, (n,), float64, without each patch."""
    network, windows, patches = task.trained(*task.windows()[:2])[0], _windows(task, every), tuple(patches)
    samples, device = Images if task.model == "cnn" else ImageSequences, next(network.parameters()).device
    together = max(1, WINDOWS_AT_A_TIME // len(windows))
    for first in range(0, len(patches), together):
        some = patches[first : first + together]
        starts = [windows.starts + i * len(windows.frames) for i in range(len(some))]
        rest = {name: np.tile(getattr(windows, name), len(some)) for name in ("labels", "recording", "centre")}
        without = replace(windows, frames=OccludedFrames(windows.frames, some), starts=np.concatenate(starts),
                          **rest)
        p_run = training.predict_samples(network, samples(without, device))
        yield from ((windows, mine) for mine in p_run.reshape(len(some), -1))


def _windows(task, every):
    """Test windows over the frames of test recordings alone, held in memory where they are few."""
    ranges = task.fold.ranges("test")
    frames = MovieFrames({name: task.movies[name] for name in ranges},
                         {name: task.frames.scalings[name] for name in ranges}, task.input.bin_px)
    windows = task.over(frames, frames.first_row)(ranges)
    run = 1 if task.model == "cnn" else RUN
    which = np.flatnonzero(np.arange(len(windows)) // run % every == 0)
    held = frames[:] if 4 * math.prod(frames.shape) <= HELD_BYTES else frames
    return replace(windows.some(which), frames=held)


def _test(task, every, named):
    """Score patches of one fold and write a file for each as soon as it is done."""
    found = {}
    for (path, _), (windows, p_run) in zip(named, decoded(task, [patch for _, patch in named], every), strict=True):
        found[path] = _scores(windows, p_run)
        write_json(path, found[path])
    return found


def _scores(windows, p_run):
    """AUC over all windows, and of each session or why it has none, as JSON can hold it."""
    content = {"pooled": None, "sessions": {}, "undefined": {}}
    if len(np.unique(windows.labels)) == 2:
        content["pooled"] = metrics.auc(windows.labels, p_run)
    for i, name in enumerate(windows.ids):
        here = windows.recording == i
        try:
            metrics.require_both_classes(windows.labels[here], name)
            content["sessions"][name] = metrics.auc(windows.labels[here], p_run[here])
        except DataError as error:
            content["undefined"][name] = error.found
    return content


def _fold_occlusion(result, contents, simulated):
    found = FoldOcclusion(result.fold, result.test_group, result.model, reason=result.reason, simulated=simulated)
    if not result.scores:
        return found
    whole, *without = contents
    found = replace(found, undefined=whole["undefined"], training=convergence.training_of(result))
    if whole["pooled"] is None or not whole["sessions"]:
        return replace(found, reason="no test session has an AUC: " + "; ".join(
            f"{name} {why}" for name, why in found.undefined.items()))
    drops = {name: np.array([auc - content["sessions"][name] for content in without])
             for name, auc in whole["sessions"].items()}
    pooled = np.array([whole["pooled"] - content["pooled"] for content in without])
    return replace(found, auc=whole["pooled"], pooled=pooled, base=whole["sessions"], by_session=drops)


def _paths(store, key, patches, every):
    """A file for each patch, named by all that its scores depend on."""
    masks = [[patch.mask.shape, np.packbits(patch.mask).tobytes().hex()] for patch in patches]
    code = code_digest("explain")
    return [store / (hash_content(["cut_out", key, every, mask, code]) + ".cut.json") for mask in masks]


COLUMNS = ["fold", "animal", "group", "fill", "auc"]


def mask_rois(experiment, groups, model="gru", store=None, jobs=None, label="masking"):
    """Train on all ROIs; then, in the test alone, set one group after the other to a constant.

    Parameters
    ----------
    experiment : Experiment
    groups : dict of str to sequence of int
        Numbers of the ROIs of each group, counted from 1.
    model, store, jobs, label
        As for :meth:`calcium_decoding.experiments.engine.Experiment.map`.

    Returns
    -------
    pandas.DataFrame
        ``fold``, ``animal`` (the test group), ``group`` (empty: nothing masked), ``fill`` and ``auc``. Fills are
        ``"zero"``, ``"mean"`` (of the frames that training windows lie over) and ``"none"``.
    """
    if not groups:
        return pd.DataFrame(columns=COLUMNS)
    found = experiment.map(_masked, model, name="masked", store=store, jobs=jobs, label=label, groups=groups)
    return pd.DataFrame([{"fold": one["fold"], "animal": one["animal"], **row}
                         for one in found for row in one.get("rows", ())], columns=COLUMNS)


def _masked(fitted, groups):
    rows, train, test = [], fitted.train, fitted.test
    fills = {"zero": np.zeros(train.n_roi, np.float32), "mean": train.frames.mean(axis=0, dtype=float)}
    for group, rois, fill in [("", (), "none"), *((g, r, f) for g, r in groups.items() for f in fills)]:
        columns, frames = np.array(rois, dtype=int) - 1, test.frames.copy()
        frames[:, columns] = fills[fill][columns] if group else 0
        p_run = fitted.predict(replace(test, frames=frames))
        rows.append({"group": group, "fill": fill, "auc": metrics.frame_scores(test.labels, p_run)["auc"]})
    return {"rows": rows}
