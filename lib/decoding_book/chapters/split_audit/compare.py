"""The published split beside sound ones on the same data: what a decoder scores, and what of it the split made.

Decoders are quick ones on purpose: the question is the split, not the decoder. Each sees principal components of the
cells, fitted where the way of testing allows it.
"""

import warnings
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from calcium_decoding import preprocessing, simulation
from calcium_decoding.data.recording import Recording
from calcium_decoding.errors import LeakError, ParameterError
from calcium_decoding.evaluation import cards
from calcium_decoding.experiments import stored
from calcium_decoding.preprocessing.windows import WindowSpec
from calcium_decoding.simulation.footsteps.world import RATE_HZ, World, simulate
from calcium_decoding.splits import audit, autocorrelation_frames, footstep_samples
from calcium_decoding.splits.footstep_samples import Samples, split
from calcium_decoding.utils.files import hash_bytes, hash_content

CHANCE = 1 / 3  # balanced accuracy of three classes
COMPONENTS = 20
# Which split, on what scaling and components are fitted, and what the decoder sees.
WAYS = {
    "published": ("random_windows", "everything", "cells"),
    "blocked, fitted on everything": ("blocked", "everything", "cells"),
    "blocked": ("blocked", "training", "cells"),
    "other session": ("other_session", "training", "cells"),
    "blocked, population": ("blocked", "training", "population"),
    "other animal, population": ("other_animal", "training", "population"),
}
WITHIN = ("published", "blocked, fitted on everything", "blocked", "blocked, population")
DECODERS = {"logistic_last": "logistic, last frame", "logistic_window": "logistic, window", "nearest": "1-NN, window"}
LABELS = {**DECODERS, "lstm": "LSTM", "dff": "fluorescence"}
QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.99)
DECAYS_S = (0.1, 0.3, 0.6, 1.2, 2.4)


@dataclass(frozen=True, eq=False)
class Fold:
    """One training and test: which windows, and what it is called by.

    ``samples``: Samples. ``rows``: Rows. ``fitted_on`` ({"everything", "training"}): frames from which scaling and
    components are learnt. ``names`` (dict of str to str or int): columns of the table of scores.
    """

    samples: Samples
    rows: footstep_samples.Rows
    fitted_on: str
    names: dict


def features(fold, components=COMPONENTS, seed=0):
    """Scaled principal components of every frame, shape (N, k), float32.

    Each is divided by the fourth root of its variance on the frames it was fitted on: large components weigh more for a
    nearest neighbour, but not all.
    """
    frames = fold.samples.frames
    seen = frames if fold.fitted_on == "everything" else frames[fold.samples.seen(fold.rows.train)]
    k = min(components, frames.shape[1])
    steps = make_pipeline(StandardScaler(), PCA(k, svd_solver="randomized" if k < frames.shape[1] else "full",
                                                random_state=seed))
    steps.fit(seen)
    sd = np.sqrt(steps[-1].explained_variance_)
    return (steps.transform(frames) / np.sqrt(np.where(sd > 0, sd, 1.0))).astype(np.float32)


def audited(dataset, length, n_blocks):
    """The blocked split of a data set (``split``) and its ``audit``, with scaling by training frames and the gap as
    embargo."""
    blocked = footstep_samples.blocked_split(dataset, length, n_blocks)
    pipeline = preprocessing.build("scaled", rate_hz=dataset.recordings[0].rate_hz, baseline_frames=2)
    passed = audit.audit(blocked, WindowSpec(length - 1, 0), pipeline, dataset,
                         embargo_frames=length + footstep_samples.EXTRA_GAP_FRAMES)
    return SimpleNamespace(split=blocked, audit=passed)


def score(fold, decoders=tuple(DECODERS), components=COMPONENTS, seed=0):
    """Scores of some decoders on one fold, a list of dict: ``decoder``, ``accuracy``, ``balanced_accuracy``,
    ``majority`` (accuracy of always giving the most frequent class of the training), ``train``, ``test`` (windows).
    """
    frames, labels = features(fold, components, seed), fold.samples.labels
    train, test = fold.rows.train, fold.rows.test
    majority = float(np.mean(labels[test] == np.bincount(labels[train]).argmax()))
    windows = {True: [fold.samples.flat(rows, frames) for rows in (train, test)],
               False: [frames[train], frames[test]]}
    rows = []
    for name in decoders:
        x, x_test = windows[name != "logistic_last"]
        decoder = KNeighborsClassifier(1, algorithm="brute") if name == "nearest" else \
            LogisticRegression(C=0.01, class_weight="balanced", max_iter=100, tol=1e-3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # what is compared is splits, with equal effort
            found = decoder.fit(x, labels[train]).predict(x_test)
        rows.append({"decoder": name, "accuracy": accuracy_score(labels[test], found),
                     "balanced_accuracy": balanced_accuracy_score(labels[test], found), "majority": majority,
                     "train": len(train), "test": len(test)})
    return rows


@dataclass(frozen=True, eq=False)
class ScoreTask:
    """:func:`score` as a job; see :func:`calcium_decoding.experiments.stored.run_tasks`."""

    fold: Fold
    decoders: tuple
    components: int
    seed: int

    def key(self):
        """All that determines the scores beside the code."""
        rows = self.fold.rows
        return hash_content([self.fold.samples.digest, hash_bytes(rows.train), hash_bytes(rows.test),
                             self.fold.fitted_on, self.decoders, self.components, self.seed])

    def run(self, checkpoint=None, report=None):
        """An Outcome with ``scores``."""
        return stored.Outcome({"scores": score(self.fold, self.decoders, self.components, self.seed)})


def folds_of(dataset, ways, length, n_blocks, seed=0, within=0, trace=""):
    """Folds of every way, with the true labels and with shifted ones.

    ``ways``: in :data:`WAYS`. ``length``: frames of a window. ``n_blocks``: places of the test block in a recording;
    the published split is assigned as often. ``within``: recordings for ways within a recording, spread evenly; 0: all.
    ``trace``: what the signal is. Shifted labels are moved on by a third of each recording, around its end: any
    relation is cut, rhythm and shares stay. Returns a list of Fold.
    """
    chosen = dataset.recordings
    if within and within < len(chosen):
        chosen = [chosen[i] for i in np.linspace(0, len(chosen), within, endpoint=False, dtype=int)]
    folds = []
    for way in ways:
        if way not in WAYS:
            raise ParameterError("way of testing", repr(way), f"one of {', '.join(WAYS)}", "name one of these")
        kind, fitted_on, sees = WAYS[way]
        if kind == "other_animal":
            groups = [[_population(r) for a in dataset.animals for r in dataset.of_animal(a)]]
        elif kind == "other_session":
            groups = [dataset.of_animal(animal) for animal in dataset.animals]
        else:
            groups = [[_population(r) if sees == "population" else r] for r in chosen]
        for group in groups:
            made = Samples.of(group, length)
            for labels, these in (("true", made), ("shifted", made.shifted(min(made.lengths) // 3))):
                names = {"trace": trace, "way": way, "labels": labels}
                folds += list(_of_group(these, kind, fitted_on, names, n_blocks, seed))
    return folds


def compare(datasets, length, ways=tuple(WAYS), decoders=tuple(DECODERS), n_blocks=3, seed=0, within=0, jobs=None,
            components=COMPONENTS, store=None):
    """Score decoders under every way of testing, with true and with shifted labels.

    ``datasets`` (dict of str to Dataset): the same recordings by kind of trace. The rest as for :func:`folds_of`.
    Returns a DataFrame, a row a fold and decoder: ``trace``, ``way``, ``labels``, ``unit`` (what is tested: a
    recording, or an animal), ``block``, and what :func:`score` gives.
    """
    folds = [fold for trace, dataset in datasets.items()
             for fold in folds_of(dataset, ways, length, n_blocks, seed, within, trace)]
    return _scored(folds, decoders, components, seed, jobs, store, "splits")


def by_length(datasets, lengths, n_blocks=2, seed=0, within=0, jobs=None, store=None):
    """Nearest neighbour under the published and the blocked split, by length of the window; column ``length``."""
    folds = []
    for trace, dataset in datasets.items():
        for length in lengths:
            for fold in folds_of(dataset, ("published", "blocked"), length, n_blocks, seed, within, trace):
                folds.append(Fold(fold.samples, fold.rows, fold.fitted_on, {**fold.names, "length": length}))
    return _scored(folds, ("nearest",), COMPONENTS, seed, jobs, store, "window lengths")


def by_decay(length, decays_s=DECAYS_S, draws=3, seed=0, jobs=None, frames=3000, cells=100, store=None):
    """The same on simulated fluorescence of indicators with other decays; columns ``decay_s`` and ``memory_s``.

    The rise is a sixth of the decay, as in GCaMP6s; nothing drifts. ``memory_s`` is the time after which the
    autocorrelation of the first component falls below 1/e, median over the draws.
    """
    folds = []
    for decay_s in decays_s:
        world = World(animals=draws, sessions=1, frames=frames, min_cells=cells, max_cells=cells, decay_s=decay_s,
                      rise_s=decay_s / 6, trace="dff", drift=0.0, seed=seed)
        made = folds_of(simulate(world)[0], ("published", "blocked"), length, 1, seed, trace="dff")
        whole = [f for f in made if (f.names["way"], f.names["labels"]) == ("published", "true")]
        memory_s = float(np.median([autocorrelation_frames(features(f)[:, 0]) for f in whole]) / RATE_HZ)
        folds += [Fold(f.samples, f.rows, f.fitted_on, {**f.names, "decay_s": decay_s, "memory_s": memory_s})
                  for f in made]
    return _scored(folds, ("nearest",), COMPONENTS, seed, jobs, store, "decay times")


def traces_of(name, data_dir=None, traces=("deconvolved", "dff")):
    """The recordings of a data set by kind of trace: dict of str to Dataset; a recording without it is in ``refused``.

    A ``.csv`` holds one kind of trace, which is read under either name.
    """
    return {trace: simulation.load_dataset(name, data_dir, trace=trace) for trace in traces}


def leakage_points(scores, by=("trace", "decoder", "labels"), metric="balanced_accuracy"):
    """Published less blocked, in ``points`` (hundredths), each row a recording; ``by``: columns that tell conditions
    apart."""
    keys = [*by, "unit"]
    both = scores[scores["way"].isin(("published", "blocked"))]
    wide = both.pivot_table(index=keys, columns="way", values=metric, sort=False)
    return (100 * (wide["published"] - wide["blocked"])).rename("points").reset_index()


def table(scores, metric="balanced_accuracy"):
    """Mean over what is tested, a row a way and kind of label, a column a trace and decoder."""
    wide = scores.pivot_table(index=["way", "labels"], columns=["trace", "decoder"], values=metric, sort=False)
    order = [(way, labels) for way in WAYS for labels in ("true", "shifted") if (way, labels) in wide.index]
    wide = wide.loc[order]
    wide.columns = [f"{LABELS.get(trace, trace)}: {LABELS.get(name, name)}" for trace, name in wide.columns]
    return wide.reset_index()


def verdicts(dataset, length, n_blocks=3, seed=0):
    """What the audit says of each way on the first recordings, a row each: of ``windows`` (training and validation
    against test) and of ``scaling and components`` (the frames they were fitted on against test windows)."""
    rows = []
    for way, (kind, fitted_on, _) in WAYS.items():
        if kind == "other_animal":
            group = [_population(r) for r in dataset.recordings]
        else:
            first = dataset.of_animal(dataset.animals[0])
            group = first if kind == "other_session" else first[:1]
        made = Samples.of(group, length)
        try:
            fold = next(iter(_of_group(made, kind, fitted_on, {}, n_blocks, seed)))
        except ParameterError as error:
            rows.append({"way": way, "windows": f"cannot be made: {error.found}", "scaling and components": ""})
            continue
        test = made.intervals(fold.rows.test)
        seen = made.rows if fitted_on == "everything" else fold.rows.train
        chosen_on = made.intervals(np.union1d(fold.rows.train, fold.rows.valid))
        rows.append({"way": way, "windows": _verdict(chosen_on, test, None),
                     "scaling and components": _verdict(None, test, made.intervals(seen))})
    return pd.DataFrame(rows)


def card_scores(scores, metrics=("balanced_accuracy",)):
    """Means over recordings or animals as scores of a result card, a score a trace, way, decoder and kind of label."""
    found = []
    for (trace, way, decoder, labels), part in scores.groupby(["trace", "way", "decoder", "labels"], sort=False):
        unit = "animals" if way.startswith("other animal") else "recordings"
        name = f"{decoder}, {trace}, {way}{' LEAKY' if way == 'published' else ''}{', shifted' * (labels == 'shifted')}"
        for metric in metrics:
            found += cards.summarise(name, part.groupby("unit")[metric].mean(), metric, unit)[:1]
    return found


def _of_group(made, kind, fitted_on, names, n_blocks, seed):
    """Folds over samples that lie end to end."""
    if kind == "other_animal":
        animals = tuple(dict.fromkeys(made.animals))
        lengths = [[n for n, own in zip(made.lengths, made.animals, strict=True) if own == a] for a in animals]
        units, n = animals, len(animals)
    else:
        lengths = made.lengths
        units, n = (made.ids, len(made.ids)) if kind == "other_session" else (made.ids[:1] * n_blocks, n_blocks)
    if kind.startswith("other") and n < 2:
        return
    for block in range(n):
        rows = split(lengths, kind, block, seed + block, made.length, made.labels, n_blocks)
        yield Fold(made, rows, fitted_on, {**names, "unit": units[block], "block": block})


def _scored(folds, decoders, components, seed, jobs, store, label):
    tasks = [ScoreTask(fold, tuple(decoders), components, seed) for fold in folds]
    outcomes = stored.run_tasks(tasks, store, jobs, label)
    return pd.DataFrame([{**fold.names, **row} for fold, outcome in zip(folds, outcomes, strict=True)
                         for row in outcome.facts["scores"]])


def _population(recording):
    """The same recording as what every animal has: mean, SD and quantiles over its cells, each cell standardised over
    the recording without a look at labels."""
    signal = recording.signal
    sd = signal.std(axis=0)
    scaled = (signal - signal.mean(axis=0)) / np.where(sd > 0, sd, 1.0)
    over_cells = [scaled.mean(axis=1), scaled.std(axis=1), *np.quantile(scaled, QUANTILES, axis=1)]
    return Recording(np.stack(over_cells, axis=1), recording.behaviour, recording.rate_hz, recording.animal,
                     recording.session, recording.part, simulated=recording.simulated)


def _verdict(train, test, fitted):
    try:
        if fitted is not None:
            audit.check_samples(test[:0], test, fitted={"scaling and components": fitted})
            return "fitted on training frames"
        distance = audit.check_samples(train, test)
    except LeakError as error:
        return f"REFUSED: {error.found}"
    return "passed, no recording in common" if distance is None else f"passed, {distance} frames apart"
