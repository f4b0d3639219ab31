"""Which frames a decoder sees, and how far from the frame whose label it gives: lengths, sides, label shifts.

Figs 5B and 5C of Ajioka et al. 2024, DOI 10.1371/journal.pcbi.1011074. Each function makes the conditions of one
figure; :func:`calcium_decoding.experiments.compare.run` runs them. ``plan`` is a
function that makes an Experiment of the arguments that a condition changes; see
:func:`calcium_decoding.experiments.compare.run`.
"""

import math

import pandas as pd

from calcium_decoding import preprocessing
from calcium_decoding.data import published
from calcium_decoding.errors import ParameterError
from calcium_decoding.experiments import compare
from calcium_decoding.preprocessing.transforms import whole_number
from calcium_decoding.preprocessing.windows import WindowSpec

STUDY_RATE_HZ = 30.0


def window_lengths(plan, half_frames, model, **options):
    """Centred windows of several lengths, as in Fig 5B.

    ``half_frames`` (sequence of int): frames on either side of the labelled one; 5 to 30 in the study. **options: for
    ``plan``: ``n_folds``, ``dataset``. Returns a list of Condition: ``value`` is the half length in seconds. Raises
    ParameterError: a half length twice, or none.
    """
    half_frames = [whole_number("half_frames", half, 0) for half in half_frames]
    if not half_frames or len(set(half_frames)) < len(half_frames):
        raise ParameterError("half_frames", str(half_frames), "one half length or more, each once", "change the list")
    planned = []
    for half in half_frames:
        experiment = plan(spec=WindowSpec(half, half), say=False, **options)
        rate_hz = experiment.recipe["rate_hz"]
        planned.append(compare.Condition(f"±{half / rate_hz:.2f} s", experiment, model, half / rate_hz,
                                         _published_length(half, model, rate_hz)))
    return planned


def _published_length(half, model, rate_hz):
    key = ("roi_rnn_window_length", "GRU", f"half_window_{half}_frames")
    known = model == "gru" and rate_hz == STUDY_RATE_HZ and len(published.per_fold(*key))
    return key if known else None


def sides(plan, past_frames, future_frames, model, **options):
    """The same number of frames, or the same half length, on both sides of the labelled frame or on one of them.

    Where the preprocessing of ``plan`` looks ahead, two conditions with the recipe ``"causal"`` are added: in the last
    one no step looks ahead.

    ``past_frames``, ``future_frames``: frames before and after the labelled one in the window with two sides, at least
    1 each. **options: for ``plan``. Returns a list of Condition. Raises ParameterError: no frames on one side.
    """
    past, future = whole_number("past_frames", past_frames, 1), whole_number("future_frames", future_frames, 1)
    total = past + future
    shapes = {"both sides": (past, future), "past only": (total, 0), "future only": (0, total),
              "past only, short": (past, 0), "future only, short": (0, future)}
    planned = [compare.Condition(name, plan(spec=WindowSpec(*shape), say=False, **options), model)
               for name, shape in shapes.items()]
    if _look_ahead(planned[0].experiment)[1] > 0:
        planned += [compare.Condition(f"{name}, causal filter", plan(
            spec=WindowSpec(*shapes[name]), recipe="causal", say=False, **options), model)
            for name in ("both sides", "past only")]
    return planned


def label_shifts(plan, past_frames, future_frames, shifts_frames, model, prefix="", **options):
    """The same window with earlier and later labels, as in Fig 5C: the label is that of frame t + shift.

    Only frames t count whose window and label both lie in the recording: of T frames, with a window of half length h
    and a shift s, those from ``max(h, -s)`` to ``T - 1 - max(h, s)``, which are ``T - h - max(h, |s|)``.

    ``past_frames``, ``future_frames``: the window around frame t. ``shifts_frames`` (sequence of int): positive: later
    behaviour. ``prefix``: put before the names, to tell the conditions of several data sets apart. **options: for
    ``plan``. Returns a list of Condition: ``value`` is the shift in seconds; the one without shift is called ``"0 s"``.
    """
    planned = []
    for shift in shifts_frames:
        experiment = plan(spec=WindowSpec(past_frames, future_frames, label_shift_frames=shift), say=False, **options)
        shift_s = shift / experiment.recipe["rate_hz"]
        planned.append(compare.Condition(prefix + (f"{shift_s:+.2f} s" if shift else "0 s"), experiment, model,
                                         shift_s))
    return planned


def look_ahead_table(found, metric="auc"):
    """:func:`calcium_decoding.experiments.compare.table` with what each condition looks ahead, from the labelled frame.

    ``found``: sequence of ConditionResult. Returns a DataFrame: after ``condition``: ``frames`` of the window; ``window
    (ms)`` and ``filter (ms)``, the look-ahead of the window and of the preprocessing; ``total (ms)``, their sum. Text,
    because it may be ``"whole session"``.
    """
    table = compare.table(found, metric)
    looks = [_look_ahead(result.condition.experiment) for result in found]
    columns = {"frames": [result.condition.experiment.spec.length for result in found],
               "window (ms)": [_ms(window) for window, _ in looks],
               "filter (ms)": [_ms(steps) for _, steps in looks],
               "total (ms)": [_ms(window + steps) for window, steps in looks]}
    return pd.concat([table[["condition"]], pd.DataFrame(columns), table.drop(columns="condition")], axis=1)


def _look_ahead(experiment):
    """Look-ahead of the window from the labelled frame, and of the preprocessing, in ms."""
    spec, rate_hz = experiment.spec, experiment.recipe["rate_hz"]
    steps = preprocessing.build(**experiment.recipe).look_ahead_frames
    return 1000 * (spec.future_frames - spec.label_shift_frames) / rate_hz, 1000 * steps / rate_hz


def _ms(look_ahead):
    return "whole session" if math.isinf(look_ahead) else f"{look_ahead:.0f}"
