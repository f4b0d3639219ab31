"""The published way of testing footsteps beside sound ones on the same recordings: experiments, and their scores."""

from dataclasses import replace

import numpy as np
import pandas as pd
import seaborn as sns
from sklearn.neighbors import KNeighborsClassifier

import calcium_decoding as cd
from calcium_decoding import splits
from calcium_decoding.errors import DataError, LeakError, ParameterError
from calcium_decoding.evaluation import cards
from calcium_decoding.experiments import engine
from calcium_decoding.models.decoders import name_of
from calcium_decoding.models.names import FOOTSTEP_LABELS
from calcium_decoding.plotting.style import NULL_COLOUR, SIGNAL, simulated_mark
from calcium_decoding.preprocessing.windows import CLASSES
from calcium_decoding.splits import footsteps

# Which split, on what scaling and components are fitted, and what the decoder sees.
WAYS = {
    "published": ("random_windows", "each recording", "cells"),
    "blocked, fitted on everything": ("blocked", "each recording", "cells"),
    "blocked": ("blocked", "training frames", "cells"),
    "other session": ("other_session", "training frames", "cells"),
    "blocked, population": ("blocked", "training frames", "population"),
    "other animal, population": ("other_animal", "training frames", "population"),
}
NEAREST = cd.Estimator(KNeighborsClassifier(1, algorithm="brute"), "window", "nearest")
# Quick ones on purpose: the question is the split, not the decoder.
DECODERS = NEAREST, "logistic_window"
TASK = cd.Classes("footstep", {name: i for i, name in enumerate(CLASSES)})
BOTH_FEET = cd.Together(TASK, each=CLASSES[1:])  # what networks and linear decoders of footsteps are asked
CHANCE = TASK.chance
LABELS = FOOTSTEP_LABELS | {"nearest": "nearest neighbour", "dff": "fluorescence"}
COLOURS = dict(zip(FOOTSTEP_LABELS, (
    "#004B76", "#56B4E9", "#5A4FCF", "#3C8DBC", "#D55E00", "#E69F00", "#009E73", "#767676"), strict=True))
LABEL_COLOURS = {"true": "#0072B2", "unrelated": "#D55E00"}


def in_components(n, fitted_on="training frames", seed=0):
    """Preprocessing of quick decoders: the first ``n`` principal components of all scaled cells."""
    return {"name": "scaled", "components": {"n": n, "fitted_on": fitted_on, "seed": seed}}


def unrelated(dataset):
    """Recordings with the behaviour of the next one, the last with that of the first, both cut to the shorter: nothing
    is left to decode; rhythm, lengths and shares of steps, and what changes over a recording, stay. DataError: only
    one."""
    if len(dataset.recordings) < 2:
        raise DataError(dataset.name, "a single recording", "two or more: each gets the labels of another",
                        "show its scores without this control, and say so")
    found = []
    for r, other in zip(dataset.recordings, (*dataset.recordings[1:], dataset.recordings[0]), strict=True):
        n = min(r.n_frames, other.n_frames)
        found.append(replace(r, signal=r.signal[:n], behaviour={k: v[:n] for k, v in other.behaviour.items()}))
    return replace(dataset, recordings=tuple(found))


def labelled(dataset):
    """A data set with its ``"true"`` labels, and with ``"unrelated"`` ones if it has several recordings: a dict."""
    return {"true": dataset} | ({"unrelated": unrelated(dataset)} if len(dataset.recordings) > 1 else {})


def experiment(dataset, way, length, n_blocks=1, seed=0, components=20, decoder=DECODERS[-1]):
    """A quick decoder of principal components on some recordings, tested in one ``way`` of :data:`WAYS`. ``length``:
    frames of a window, the last of which is decoded. ``n_blocks``: places of the test block in a recording; random
    windows are dealt out as often. ``seed``: of these, and of the decomposition."""
    if way not in WAYS:
        raise ParameterError("way of testing", repr(way), f"one of {', '.join(WAYS)}", "name one of these")
    kind, fitted_on, sees = WAYS[way]
    if sees == "population":
        dataset = replace(dataset, recordings=tuple(map(_population, dataset.recordings)))
    spec = cd.WindowSpec(length - 1, 0)
    if kind == "random_windows":
        folds = [replace(fold, name=f"{fold.name}, {block + 1}") for r in dataset.recordings
                 for block in range(n_blocks) for fold in splits.random_windows(
                     replace(dataset, recordings=(r,)), spec, seed + block, label="footstep").folds]
        split = splits.Split(kind, folds, splits.LEAKY, of_centres=True)
    elif kind == "blocked":
        split = footsteps.blocked_split(dataset, length, n_blocks)
        split = replace(split, claim=splits.LEAKY) if fitted_on == "each recording" else split
    else:
        split = footsteps.other_split(dataset, kind.removeprefix("other_"), length)
    return cd.Experiment(dataset, split, cd.Traces(in_components(components, fitted_on, seed), spec),
                             BOTH_FEET if isinstance(decoder, str) else TASK, (decoder,))


def experiments(datasets, ways=tuple(WAYS), within=0, decoders=DECODERS, **how):
    """Those of every kind of trace, way and decoder, with the true labels and with :func:`unrelated` ones: Experiment
    by all four. ``datasets``: the same recordings by kind of trace. What needs another session, animal or recording is
    left out where there is none. ``within``: recordings for ways within one, spread evenly; 0: all."""
    found = {}
    for trace, dataset in datasets.items():
        some = np.linspace(0, len(dataset.recordings), within or len(dataset.recordings), endpoint=False, dtype=int)
        sessions = max(len(dataset.of_animal(animal)) for animal in dataset.animals)
        there = {"other session": sessions > 1, "other animal, population": len(dataset.animals) > 1}
        for way in (way for way in ways if there.get(way, True)):
            for labels, whole in labelled(dataset).items():
                used = whole if way in there else replace(whole, recordings=tuple(
                    whole.recordings[i] for i in np.unique(some)))
                found |= {(trace, way, labels, name_of(one)): experiment(used, way, decoder=one, **how)
                          for one in decoders}
    return found


def run(plans, names=("trace", "way", "labels", "decoder"), **how):
    """Train and test ``plans`` (Experiment by key), leaky ones too: as of ``Results.table``, keys in columns
    ``names``."""
    found = engine.run_many([(plan, plan.decoders) for plan in plans.values()], allow_leak=True, **how)
    return pd.concat([results.table("balanced_accuracy").assign(**dict(zip(names, key, strict=True)))
                      for key, results in zip(plans, found, strict=True)], ignore_index=True)


def verdict(dataset, way, **how):
    """What the audit says of a way of testing, a str; ``how`` as for :func:`experiment`."""
    try:
        folds = experiment(dataset, way, **how).audit().folds
    except LeakError as error:
        return f"REFUSED: {error.found}"
    except ParameterError as error:
        return f"cannot be made: {error.found}"
    apart = [fold.distance_frames for fold in folds if fold.distance_frames is not None]
    return f"passed, {min(apart)} frames apart" if apart else "passed, no recording in common"


def leakage_points(scores, by=("trace", "decoder", "labels")):
    """Published less blocked in ``points``, hundredths of balanced accuracy, of each recording. ``scores``: of
    :func:`run`. ``by``: columns that tell conditions apart."""
    wide = scores.pivot_table(index=[*by, "test_group", "simulated"], columns="way", values="value", sort=False)
    return (100 * (wide["published"] - wide["blocked"])).dropna().rename("points").reset_index()


def table(scores):
    """Mean balanced accuracy over what is tested, a row a way and kind of label, a column a trace and decoder."""
    wide = scores.pivot_table(index=["way", "labels"], columns=["trace", "decoder"], values="value", sort=False)
    wide.columns = [f"{LABELS.get(name, name)}: {LABELS.get(trace, trace)}" for trace, name in wide.columns]
    return wide.reset_index()


def card_scores(scores):
    """Means over recordings or animals as scores of a result card, a score a trace, way, decoder and kind of label."""
    found = []
    for (trace, way, labels, decoder), part in scores.groupby(["trace", "way", "labels", "decoder"], sort=False):
        unit = "animals" if way.startswith("other animal") else "recordings"
        leaky = " LEAKY" if way == "published" else ""
        name = f"{decoder}, {trace}, {way}{leaky}{', unrelated' if labels == 'unrelated' else ''}"
        found += cards.summarise(name, part.groupby("test_group")["value"].mean(), "balanced_accuracy", unit)[:1]
    return found


def strips(scores, trace, decoder, ax):
    """Balanced accuracy of one decoder by way of testing, true and unrelated labels; a dot: a recording or an
    animal."""
    here = scores[(scores["trace"] == trace) & (scores["decoder"] == decoder)]
    mean = here.groupby(["way", "labels", "test_group"], sort=False)["value"].mean().reset_index()
    order = [way for way in WAYS if way in set(mean["way"])]
    sns.stripplot(mean, y="way", x="value", hue="labels", order=order, palette=LABEL_COLOURS, dodge=True, size=5,
                  alpha=0.8, jitter=0.1, ax=ax)
    for (way, labels), value in mean.groupby(["way", "labels"])["value"].mean().items():
        middle = order.index(way) + (-0.2 if labels == "true" else 0.2)
        ax.vlines(value, middle - 0.15, middle + 0.15, color=SIGNAL, lw=2, zorder=3)
    if "published" in order:
        ax.axhspan(order.index("published") - 0.5, order.index("published") + 0.5, color="#F3D9D9", lw=0, zorder=0)
    ax.axvline(CHANCE, color=NULL_COLOUR, ls=":", lw=1)
    ax.text(CHANCE, -0.58, "chance", fontsize=8, color=NULL_COLOUR, ha="center", va="bottom")
    ax.set(xlabel="balanced accuracy (a dot is a recording or an animal)", ylabel="", xlim=(0.2, 1))
    ax.set_yticks(range(len(order)), [way.replace(", ", ",\n") for way in order])
    ax.set_title(f"{LABELS.get(trace, trace)}\n{LABELS.get(decoder, decoder)}", fontsize=11)
    ax.legend(title="labels", fontsize=8, loc="lower right")
    return simulated_mark(ax, here)


def _population(recording):
    """The same with mean, SD and quantiles over its standardised cells, what every animal has, in their place."""
    signal = recording.signal
    sd = signal.std(axis=0)
    scaled = (signal - signal.mean(axis=0)) / np.where(sd > 0, sd, 1.0)
    over_cells = [scaled.mean(axis=1), scaled.std(axis=1), *np.quantile(scaled, (0.5, 0.75, 0.9, 0.95, 0.99), axis=1)]
    return replace(recording, signal=np.stack(over_cells, axis=1), roi_names=())
