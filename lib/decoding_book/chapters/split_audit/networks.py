"""Networks under the published split and under blocks in time, with true and with shifted labels."""

from dataclasses import replace

import numpy as np
import pandas as pd

from calcium_decoding.experiments import engine
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.experiments.tasks import Classes
from calcium_decoding.experiments.together import Together
from calcium_decoding.preprocessing.windows import CLASSES, WindowSpec
from calcium_decoding.splits import footstep_samples
from calcium_decoding.splits.core import LEAKY, ROLES, Fold, Segment, Split, ranges_of
from decoding_book.chapters.split_audit.compare import folds_of


def compare_networks(datasets, models, length, settings, n_blocks, seed, within, store, jobs):
    """Train networks under both splits; a DataFrame as of ``compare.compare``.

    Networks see the cells themselves, scaled on training frames under either split: the published scaling over
    everything is left out here, so that the difference is that of the windows alone. ``models``: names in
    :data:`calcium_decoding.models.names.FOOTSTEP_MODELS`. ``length``: frames of a window. ``settings``:
    FootstepTraining.
    """
    task = Together(Classes("footstep", {name: i for i, name in enumerate(CLASSES)}), each=CLASSES[1:])
    made = [(fold, dataset) for trace, dataset in datasets.items()
            for fold in folds_of(dataset, ("published", "blocked"), length, n_blocks, seed, within, trace)]
    plans = []
    for fold, dataset in made:
        (name,) = fold.samples.ids
        recordings = tuple(replace(r, behaviour={"footstep": fold.samples.labels}) for r in dataset.recordings
                           if r.id == name)
        dataset = replace(dataset, recordings=recordings)
        if fold.names["way"] == "published":
            split = _at_random(fold)
        else:
            split = footstep_samples.blocked_split(dataset, length, n_blocks)
            split = replace(split, folds=split.folds[fold.names["block"]:][:1])
        plans.append((engine.Experiment(dataset, split, Traces("scaled", WindowSpec(length - 1, 0)), task, models,
                                        settings), models))
    found = engine.run_many(plans, store, jobs, "networks", allow_leak=True)
    return pd.DataFrame([
        {**fold.names, "decoder": result.model, "balanced_accuracy": result.scores["balanced_accuracy"]}
        for (fold, _), results in zip(made, found, strict=True) for result in results])


def _at_random(fold):
    """Rows that were dealt out at random in one recording, as a split of window centres."""
    segments, (name,) = {}, fold.samples.ids
    for role in ROLES:
        is_in = np.zeros(len(fold.samples.frames), bool)
        is_in[getattr(fold.rows, role)] = True
        segments[role] = [Segment(name, *span) for span in ranges_of(is_in)]
    return Split("random_windows", [Fold(f"LEAKY {name}", **segments, test_group=name)], LEAKY, of_centres=True)
