"""Networks, preprocessing and controls side by side: conditions of Figs 2E, 2F, 4 and S4 of Ajioka et al. 2024.

DOI 10.1371/journal.pcbi.1011074. ``plan`` makes an Experiment, of movies, for :func:`controls` of traces, of the
arguments that a condition changes.
"""

import numpy as np
import pandas as pd

from calcium_decoding.errors import ParameterError
from calcium_decoding.experiments import compare
from calcium_decoding.experiments.compare import Condition
from calcium_decoding.models import IMAGE_MODELS
from calcium_decoding.preprocessing.transforms import whole_number

# Where the study's tables have a network of ours: on traces less their moving mean, and on images with five each side.
NETWORKS = {name: ("roi_rnn_architecture", theirs, "preprocessed") for name, theirs in {
    "gru": "GRU", "lstm": "LSTM", "rnn": "SimpleRNN", "bigru": "BiGRU", "bilstm": "BiLSTM",
    "birnn": "BiSimpleRNN"}.items()}
PUBLISHED = {
    "cnn": ("image_cnn_stage1", "EfficientNet-B0", "rgb_t-1_t_t+1"),
    "cnn_gru": ("image_cnn_gru_stage2", "EfficientNet-B0+GRU", "half_window_5_frames_nonfixed"),
    "cnn_lstm": ("image_cnn_lstm_stage2", "EfficientNet-B0+LSTM", "half_window_5_frames_nonfixed"),
}
NO_FILTER = "no filter"
STUDY_RATE_HZ, STUDY_IMAGES_EACH_SIDE = 30.0, 5
_PUBLISHED_WINDOWS = (1, 2, 5, 10, 15)


def published_filters(model):
    """Keys of the published tables by the labels of baselines, for a decoder; the lengths of Fig S4 are not stated."""
    return {"1000 frames": NETWORKS.get(model), NO_FILTER: ("roi_rnn_raw", "GRU", "raw") if model == "gru" else None}


def movie_networks(plan, names, **options):
    """The network on images alone, then recurrent ones on top, on the same folds, as in Fig 2E; a list of Condition.

    Published figures go to recurrent networks that see as many images as the study's, and train the network on images.
    Raises ParameterError: a name that is not known.
    """
    names = list(dict.fromkeys(["cnn", *names]))
    if unknown := [name for name in names if name not in IMAGE_MODELS]:
        raise ParameterError("names", ", ".join(unknown), f"names among {', '.join(IMAGE_MODELS)}", "mend the names")
    experiment = plan(say=False, **options)
    as_published = not experiment.training.frozen and experiment.input.images_each_side == STUDY_IMAGES_EACH_SIDE
    return [Condition(name, experiment, name, published=(
        PUBLISHED.get(name) if name == "cnn" or as_published else None)) for name in names]


def windows(plan, images_each_side, model, changes=None, **options):
    """Centred windows of 2k + 1 images, as in Fig 2F; a list of Condition whose ``value`` is k in seconds.

    Raises ParameterError: a k twice, or none.
    """
    sides = [whole_number("images_each_side", k, 0) for k in images_each_side]
    if not sides or len(set(sides)) < len(sides):
        raise ParameterError("images_each_side", str(sides), "one number or more, each once", "change the list")
    planned = []
    for k in sides:
        experiment = plan(say=False, changes={**(changes or {}), "images_each_side": k}, **options)
        rate_hz = experiment.dataset.recordings[0].rate_hz
        known = (model == "cnn_gru" and not experiment.training.frozen and rate_hz == STUDY_RATE_HZ
                 and k in _PUBLISHED_WINDOWS)
        planned.append(Condition(f"{model}, k = {k}", experiment, model, k / rate_hz, (
            "image_cnn_gru_window", "EfficientNet-B0+GRU", f"half_window_{k}_frames") if known else None))
    return planned


def frozen_or_not(plan, model, **options):
    """The same decoder with the network on images kept as it is, and trained further; two Conditions."""
    return [Condition(f"{model}, {name}", plan(say=False, changes={"frozen": frozen}, **options), model)
            for name, frozen in (("frozen", True), ("fine-tuned", False))]


def controls(plan, datasets, model, **options):
    """A decoder of each control (dict of str to Dataset), on the same folds; a list of Condition."""
    return [Condition(name, plan(dataset=dataset, say=False, **options), model) for name, dataset in datasets.items()]


def window_table(found):
    """Window, look-ahead from the labelled frame, measured cost and score of each decoder of images.

    ``passes``: how often the network on images runs for each window, if each computes the features of its images by
    itself, and if they are shared over uninterrupted windows.
    """
    rows = []
    for result in found:
        experiment, folds = result.condition.experiment, result.evaluable()
        spec = experiment.input.spec(result.condition.model)
        images, windows = spec.length - 2, [len(fold.labels) / len(fold.recordings) for fold in folds]
        rows.append({
            "condition": result.name, "images": images, "frames": spec.length,
            "look-ahead (ms)": round(spec.look_ahead_ms(experiment.dataset.recordings[0].rate_hz)),
            "passes, one by one": images,
            "passes, shared": round(1 + (images - 1) / np.mean(windows), 2) if folds else None,
            "seconds a fold": round(np.mean([fold.seconds for fold in folds])) if folds else None})
    return pd.DataFrame(rows).merge(compare.table(found)[["condition", "folds", "mean", "SD"]], on="condition")
