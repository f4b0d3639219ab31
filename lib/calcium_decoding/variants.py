"""Networks and preprocessing side by side: the conditions of Figs 4 and S4 of Ajioka et al. 2024.

DOI 10.1371/journal.pcbi.1011074. Each function makes the conditions of one figure;
:func:`calcium_decoding.conditions.run` runs them. ``plan`` is :meth:`calcium_decoding.notebook.Chapter.plan`, or
anything that makes an ``Experiment`` of the same arguments.
"""

from calcium_decoding import models
from calcium_decoding.conditions import Condition
from calcium_decoding.errors import ParameterError
from calcium_decoding.transforms import whole_number

# How the study's tables call a network of ours.
_PUBLISHED = {"gru": "GRU", "lstm": "LSTM", "rnn": "SimpleRNN", "bigru": "BiGRU", "bilstm": "BiLSTM",
              "birnn": "BiSimpleRNN"}
NO_FILTER = "no filter"


def networks(plan, names, **options):
    """The same folds decoded by several models, as in Fig 4F.

    Parameters
    ----------
    plan : callable
    names : sequence of str
        Names in :data:`calcium_decoding.models.MODELS`.
    **options
        For ``plan``: ``n_folds``, ``dataset``.

    Returns
    -------
    list of Condition
        Named as the models.

    Raises
    ------
    ParameterError
        A name that is not known.
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

    Parameters
    ----------
    plan : callable
    baseline_frames : sequence of int
        Lengths of the baseline, frames.
    model : str
    **options
        For ``plan``.

    Returns
    -------
    list of Condition
        The first one without baseline. Those whose figure the study published carry it. Empty where ``plan`` uses
        neither recipe by itself: within recordings both would look at test frames.

    Raises
    ------
    ParameterError
        A length that is no number of frames, or given twice.
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

