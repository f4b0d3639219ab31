"""Networks under the published split and under blocks in time, with true and with shifted labels."""

import pandas as pd

from calcium_decoding.experiments import stored
from calcium_decoding.experiments.footstep_folds import DecodeTask, Frames
from decoding_book.chapters.split_audit.compare import folds_of


def compare_networks(datasets, models, length, settings, n_blocks, seed, within, store, jobs, size):
    """Train networks under both splits; a DataFrame as of ``compare.compare``.

    Networks see the cells themselves, scaled on training frames under either split: the published scaling over
    everything is left out here, so that the difference is that of the windows alone. ``models``: names in
    :data:`calcium_decoding.models.names.FOOTSTEP_MODELS`. ``length``: frames of a window. ``size``: a name in
    :data:`calcium_decoding.models.hybrid.SIZES`.
    """
    folds = [fold for trace, dataset in datasets.items()
             for fold in folds_of(dataset, ("published", "blocked"), length, n_blocks, seed, within, trace)]
    tasks = [DecodeTask(Frames(fold.samples.frames, fold.samples.labels), fold.rows, model, length, settings, size)
             for fold in folds for model in models]
    outcomes = stored.run_tasks(tasks, store, jobs, "networks")
    return pd.DataFrame([
        {**fold.names, "decoder": model, "balanced_accuracy": outcome.facts["scores"]["balanced_accuracy"]}
        for (fold, model), outcome in zip(((f, m) for f in folds for m in models), outcomes, strict=True)])
