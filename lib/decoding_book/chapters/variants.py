"""Networks, preprocessing and controls side by side: conditions of Figs 2E, 2F, 4 and S4 of Ajioka et al. 2024.

DOI 10.1371/journal.pcbi.1011074. ``plan`` is a function that makes an
:class:`~calcium_decoding.experiments.engine.Experiment`, of ROI
traces or of movies, of the arguments that a condition changes.
"""

import pandas as pd

from calcium_decoding import models
from calcium_decoding.errors import ParameterError
from calcium_decoding.experiments import compare
from calcium_decoding.experiments.compare import Condition
from calcium_decoding.models import IMAGE_MODELS
from calcium_decoding.preprocessing.transforms import whole_number

# How the study's tables call a network of ours.
_PUBLISHED = {"gru": "GRU", "lstm": "LSTM", "rnn": "SimpleRNN", "bigru": "BiGRU", "bilstm": "BiLSTM",
              "birnn": "BiSimpleRNN"}
NO_FILTER = "no filter"


def networks(plan, names, **options):
    """The same folds decoded by several models, as in Fig 4F.

    ``names`` (sequence of str): names in :data:`calcium_decoding.models.MODELS`. **options: for ``plan``: ``n_folds``,
    ``dataset``. Returns a list of Condition: named as the models. Raises ParameterError: a name that is not known.
    """
    unknown = [name for name in names if name not in models.MODELS]
    if unknown:
        raise ParameterError("names", ", ".join(unknown), f"names among {', '.join(models.MODELS)}", "mend the names")
    experiment = plan(say=False, **options)
    published = experiment.recipe["name"] == "published"
    return [Condition(name, experiment, name, published=(
        ("roi_rnn_architecture", _PUBLISHED[name], "preprocessed") if published and name in _PUBLISHED else None))
        for name in names]


def filters(plan, baseline_frames, model, **options):
    """The same model after moving-mean baselines of several lengths, and without any, as in Fig S4.

    The sizes that the study tried are not known; those of the book are ours.

    ``baseline_frames`` (sequence of int): lengths of the baseline, frames. **options: for ``plan``. Returns a list of
    Condition: the first one without baseline. Those whose figure the study published carry it. Empty where ``plan``
    uses neither recipe by itself: within recordings both would use test frames. Raises ParameterError: a length
    that is no number of frames, or given twice.
    """
    sizes = [whole_number("baseline_frames", size, 2) for size in baseline_frames]
    if len(set(sizes)) < len(sizes):
        raise ParameterError("baseline_frames", str(sizes), "each length once", "change the list")
    if plan(say=False, **options).recipe["name"] not in ("published", "raw"):
        return []
    network = _PUBLISHED.get(model)
    known = {1000: ("roi_rnn_architecture", network, "preprocessed")} if network else {}
    raw = ("roi_rnn_raw", "GRU", "raw") if model == "gru" else None
    return [Condition(NO_FILTER, plan(recipe="raw", say=False, **options), model, published=raw),
            *(Condition(f"{size} frames", plan(recipe="published", changes={"baseline_frames": size}, say=False,
                                               **options), model, published=known.get(size)) for size in sizes)]

STUDY_RATE_HZ, STUDY_IMAGES_EACH_SIDE = 30.0, 5
# Where the study's tables have a network of ours, with five images each side and the network on images trained on.
PUBLISHED = {
    "cnn": ("image_cnn_stage1", "EfficientNet-B0", "rgb_t-1_t_t+1"),
    "cnn_gru": ("image_cnn_gru_stage2", "EfficientNet-B0+GRU", "half_window_5_frames_nonfixed"),
    "cnn_lstm": ("image_cnn_lstm_stage2", "EfficientNet-B0+LSTM", "half_window_5_frames_nonfixed"),
}
_PUBLISHED_WINDOWS = (1, 2, 5, 10, 15)


def movie_networks(plan, names, **options):
    """The network on images alone, then with recurrent ones on top, on the same folds, as in Fig 2E.

    ``names`` (sequence of str): names in :data:`calcium_decoding.models.IMAGE_MODELS`; ``"cnn"`` is put first.
    **options: for ``plan``: ``n_folds``, ``dataset``, ``changes``. Returns a list of Condition: named as the models.
    Those that the study published carry it: recurrent ones only if they see as many images as its own did, and train
    the network on images as it did. Raises ParameterError: a name that is not known.
    """
    names = list(dict.fromkeys(["cnn", *names]))
    if unknown := [name for name in names if name not in IMAGE_MODELS]:
        raise ParameterError("names", ", ".join(unknown), f"names among {', '.join(IMAGE_MODELS)}", "mend the names")
    experiment = plan(say=False, **options)
    as_published = not experiment.training.frozen and experiment.input.images_each_side == STUDY_IMAGES_EACH_SIDE
    return [Condition(name, experiment, name, published=(
        PUBLISHED.get(name) if name == "cnn" or as_published else None)) for name in names]


def windows(plan, images_each_side, model, **options):
    """Centred windows of several numbers of images, as in Fig 2F.

    Parameters
    ----------
    plan : callable
    images_each_side : sequence of int
        k of windows of 2k + 1 images; 1, 2, 5, 10 and 15 in the study.
    model : str
    **options
        For ``plan``.

    Returns
    -------
    list of Condition
        Named by the model and k. ``value`` is k in seconds, without the one frame more that the outermost image holds.

    Raises
    ------
    ParameterError
        A k twice, or none.
    """
    sides = [whole_number("images_each_side", k, 0) for k in images_each_side]
    if not sides or len(set(sides)) < len(sides):
        raise ParameterError("images_each_side", str(sides), "one number or more, each once", "change the list")
    changes = options.pop("changes", None) or {}
    planned = []
    for k in sides:
        experiment = plan(say=False, changes={**changes, "images_each_side": k}, **options)
        rate_hz = experiment.dataset.recordings[0].rate_hz
        known = (model == "cnn_gru" and not experiment.training.frozen and rate_hz == STUDY_RATE_HZ
                 and k in _PUBLISHED_WINDOWS)
        planned.append(Condition(f"{model}, k = {k}", experiment, model, k / rate_hz, (
            "image_cnn_gru_window", "EfficientNet-B0+GRU", f"half_window_{k}_frames") if known else None))
    return planned


def frozen_or_not(plan, model, **options):
    """The same decoder with the network on images kept as it is, and trained further with the recurrent one.

    Returns a list of Condition: ``"<model>, frozen"`` and ``"<model>, fine-tuned"``.
    """
    return [Condition(f"{model}, {name}", plan(say=False, changes={"frozen": frozen}, **options), model)
            for name, frozen in (("frozen", True), ("fine-tuned", False))]


def controls(plan, datasets, model, **options):
    """A decoder of each control, on the same folds.

    ``plan``: as above, for ROIs, which is how controls are laid out. ``datasets`` (dict of str to Dataset): of
    :func:`calcium_decoding.preprocessing.confounds.control_datasets`. ``model``: a name in
    :data:`calcium_decoding.models.MODELS`. **options: for ``plan``. Returns a list of Condition: named as the controls.
    """
    return [Condition(name, plan(dataset=dataset, say=False, **options), model) for name, dataset in datasets.items()]


def window_table(found, metric="auc"):
    """Window and cost of each decoder, with its score.

    ``found`` (sequence of ConditionResult): of :func:`networks` or :func:`windows`. Returns a DataFrame: ``condition``;
    ``images`` and ``frames`` of a window; ``look-ahead (ms)``, from the labelled frame to the last of the window;
    ``passes, one by one`` and ``passes, shared``: how often the network on images runs for each window, over
    uninterrupted windows, if each computes the features of its images by itself and if they are shared; ``seconds a
    fold``, measured, training and testing; ``folds``, and ``mean`` and ``SD`` of the score.
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
            "passes, shared": round(1 + (images - 1) / (sum(windows) / len(windows)), 2) if windows else None,
            "seconds a fold": round(sum(fold.seconds for fold in folds) / len(folds)) if folds else None})
    rows = pd.DataFrame(rows)
    scores = compare.table(found, metric)
    return rows.merge(scores.drop(columns=[c for c in scores if c not in ("condition", "folds", "mean", "SD")]),
                      on="condition")
