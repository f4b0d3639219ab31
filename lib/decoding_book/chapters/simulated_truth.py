"""Looking into a simulated data set: its pieces, its worlds, and how near it comes to the published figures."""

import numpy as np
import pandas as pd
import seaborn as sns

from calcium_decoding import preprocessing, splits
from calcium_decoding.data import catalog, published
from calcium_decoding.data.published import GROUPS, roi_table
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation.cards import Score, summarise
from calcium_decoding.experiments import engine
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.models.names import COLOURS, LABELS
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.plotting.style import (
    DECODED,
    NULL_COLOUR,
    RUN,
    SIGNAL,
    running_spans,
    simulated_mark,
    time_axis,
)
from calcium_decoding.preprocessing.windows import WindowSpec
from calcium_decoding.simulation import widefield
from calcium_decoding.simulation.widefield import RATE_HZ, WORLDS
from decoding_book.chapters import data_tour

WORLD_SIZE = {"animals": 3, "sessions_per_animal": 3, "frames_per_session": 3600}
REST_S, RUN_S = 2.0, 3.0  # around an onset that counts

COMPONENTS = {
    "driven": "neurons, by running", "spontaneous": "neurons, by themselves", "blood": "blood absorption",
    "motion": "movement", "drift": "bleaching, wander", "noise": "noise",
}


def session_of(name, animal, session):
    """One session of a simulated data set of the manifest, with all its components.

    ``name``: name of the entry. ``animal``: counted from 1. ``session``: counted from 0. Raises ParameterError: the
    data set is not simulated, or has no such session.
    """
    entry = catalog.load_manifest().entry(name)
    if entry.kind != "simulated":
        raise ParameterError("dataset", f"'{name}', which was recorded", "a simulated data set, whose truth is known",
                             "name one that `calcium-decoding data list` calls simulated")
    settings = widefield.settings_of(entry)
    if (animal, session) not in settings.sessions():
        raise ParameterError("animal, session", f"{animal}, {session}", f"a session of '{name}'",
                             "choose smaller numbers")
    return widefield.simulate_session(settings, animal, session)


def onset_average(session, movie, times_s):
    """Change of the image around the onsets of running, % of the rest before.

    ``session``: SimulatedSession. ``movie``: array, shape (T, 128, 128). ``times_s`` (sequence of float): times from
    onset, s; each image is the mean of a third of a second. Returns ``change`` (ndarray, shape (n_times, 128, 128),
    %); ``n_onsets``: onsets with 2 s of rest before and 3 s of running after. Raises DataError: the session has no such
    onset.
    """
    rate_hz, run = widefield.RATE_HZ, session.run
    before, after, half = round(REST_S * rate_hz), round(RUN_S * rate_hz), 5
    onsets = [t for t in np.flatnonzero(np.diff(run.astype(int)) == 1) + 1
              if before <= t < len(run) - after - half and not run[t - before : t].any() and run[t : t + after].all()]
    if not onsets:
        raise DataError(session.name, "no run of 3 s after a rest of 2 s", "at least one", "choose another session")
    rest = np.mean([movie[t - before : t - before // 4].mean(axis=0) for t in onsets], axis=0)
    shown = [np.mean([movie[t + round(s * rate_hz) - half : t + round(s * rate_hz) + half].mean(axis=0)
                      for t in onsets], axis=0) for s in times_s]
    return 100.0 * (np.array(shown) - rest) / rest, len(onsets)


def two_views(session, movie):
    """ROI traces taken from the movie against the ROI view of the same session.

    Returns a DataFrame: a row a ROI: ``r`` and ``slope`` of the movie's trace against the ROI view; ``traces``
    (ndarray, shape (T, 50), % dF/F): those of the movie.
    """
    traces = widefield.roi_traces(movie, session.anatomy.masks())
    signal = session.signal() - session.signal().mean(axis=0)
    seen = traces - traces.mean(axis=0)
    slope = (signal * seen).sum(axis=0) / (signal**2).sum(axis=0)
    r = slope * signal.std(axis=0) / seen.std(axis=0)
    return pd.DataFrame({"roi": np.arange(1, len(r) + 1), "r": r, "slope": slope}), traces


def agreement_table(views):
    """Least, median and largest agreement of the two views over ROIs."""
    rows = {"correlation": views["r"], "slope": views["slope"]}
    return pd.DataFrame([{"over 50 ROIs": name, "least": v.min(), "median": v.median(), "largest": v.max()}
                         for name, v in rows.items()])


def world_table():
    """What holds in each world."""
    return pd.DataFrame([{"world": name, "what holds in it": world.says} for name, world in widefield.WORLDS.items()])


def world_scores(seed, models=("logistic", "time_only"), store=None, jobs=None):
    """Decode a small data set of each world across animals with cheap decoders.

    Returns a DataFrame: ``world``, ``model``, ``fold``, ``auc``: six folds of three animals.
    """
    spec, recipe = WindowSpec(0, 0), {"name": "published", "rate_hz": widefield.RATE_HZ}
    rows = []
    for world in widefield.WORLDS:
        dataset = widefield.dataset(widefield.SimulationSettings(world, seed, **WORLD_SIZE), f"world {world}")
        split = splits.build("animal_pairs", dataset, spec, preprocessing.build(**recipe))
        experiment = engine.Experiment(dataset, split, Traces(recipe, spec), training=TrainingSettings(seed=seed))
        folds = engine.run(experiment, models, store, jobs, label=world)
        rows += [{"world": world, "model": f.model, "fold": f.fold, "auc": f.scores["auc"]} for f in folds if f.scores]
    return pd.DataFrame(rows)


def world_means(table):
    """Mean AUC of each decoder in each world, as scores of a result card."""
    return [summarise(f"{model} in {world}", rows["auc"])[0]
            for (world, model), rows in table.groupby(["world", "model"], sort=False)]


def calibration_scores(dataset, folds, raw_folds):
    """What is held against published figures, as scores of a result card.

    ``folds``, ``raw_folds`` (list of FoldResult): decoders on traces with the baseline subtracted, and without.
    """
    scores = []
    for number, animal in enumerate(dataset.animals, start=1):
        shares = [r.run.mean() for r in dataset.of_animal(animal)]
        scores.append(Score(model=f"mouse {number}", metric="run_share", scope=f"mean of {len(shares)} sessions",
                            value=float(np.mean(shares))))
    r = data_tour.correlations_with_running(dataset).mean().to_numpy()
    scores += summarise("ROI", r, "pearson_r", "ROIs")[:1]
    for label, results in (("logistic", folds), ("gru", folds), ("gru raw", raw_folds)):
        values = [f.scores["auc"] for f in results if f.model == label.split()[0] and f.scores]
        if values:
            scores += summarise(label, values)[:1]
    return scores


# Quantity, (model, metric) of the score, published value, what is wanted, and what was put in to reach it.
def _wanted():
    shares = [(f"running frames, mouse {a}", (f"mouse {a}", "run_share"), published.run_share(a), "within 0.10",
               "shares of the sessions") for a in range(1, 6)]
    r = published.roi_table()["mean_run_correlation"]
    return [
        *shares,
        ("correlation of ROIs with running, mean", ("ROI", "pearson_r"), r.mean(), "0.18 to 0.24", "size of the drive"),
        ("the same, SD over ROIs", ("ROI", "pearson_r", "sd"), r.std(ddof=1), "", "pattern over ROIs"),
        ("AUC, logistic on one frame", ("logistic", "auc"), _auc("roi_linear", "LogisticRegression", "preprocessed"),
         "0.75 to 0.85", "arousal, alike to running"),
        ("AUC, GRU on a window", ("gru", "auc"), _auc("roi_rnn_architecture", "GRU", "preprocessed"), "0.95 to 0.985",
         "strides, fidgets"),
        ("AUC, GRU, baseline not subtracted", ("gru raw", "auc"), _auc("roi_rnn_raw", "GRU", "raw"),
         "below the one above", "drift"),
    ]


def _auc(*key):
    return published.reported(*key)[0]


def calibration_table(scores, stored=None):
    """Published figures beside those of the simulation.

    ``scores`` (list of Score): see :func:`calibration_scores`. ``stored``: the same from a larger simulation. Returns
    DataFrame.
    """
    rows = []
    for quantity, key, real, wanted, put_in in _wanted():
        row = {"quantity": quantity, "published, real mice": real, "wanted": wanted, "simulated": _find(scores, key)}
        if stored is not None:
            row["simulated, large"] = _find(stored.scores, key)
        rows.append(row | {"put in by": put_in})
    return pd.DataFrame(rows)


def _find(scores, key):
    model, metric, *which = key
    found = [s for s in scores if s.model == model and s.metric == metric and s.scope.startswith("mean of ")]
    if not found:
        return None
    return found[0].sd if which else found[0].value


def component_traces(session, roi, start_s, length_s, axes):
    """Each component of one ROI's trace, and their sum at the bottom, with running shaded.

    ``session``: SimulatedSession. ``roi``: counted from 1. ``axes`` (sequence of Axes): one more than there are
    components.
    """
    frames = slice(round(start_s * RATE_HZ), round((start_s + length_s) * RATE_HZ))
    parts = {name: part[frames, roi - 1] for name, part in session.components().items()}
    parts["sum"] = sum(parts.values())
    time_s = start_s + np.arange(len(parts["sum"])) / RATE_HZ
    for ax, (name, part) in zip(axes, parts.items(), strict=True):
        running_spans(ax, time_s, session.run[frames])
        ax.plot(time_s, part, color=RUN if name == "driven" else SIGNAL, lw=0.8)
        ax.set_ylabel(COMPONENTS.get(name, "what is seen"), rotation=0, ha="right", va="center", fontsize=9)
        time_axis(ax, time_s)
    axes[0].set_title(f"ROI {roi}, each in % dF/F")
    simulated_mark(axes[0], True)
    return axes


def two_view_traces(session, traces, rois, start_s, length_s, ax):
    """ROI view and the same ROIs taken from the movie, one above another."""
    frames = slice(round(start_s * RATE_HZ), round((start_s + length_s) * RATE_HZ))
    signal = session.signal() - session.signal().mean(axis=0)
    time_s = start_s + np.arange(frames.stop - frames.start) / RATE_HZ
    step = 1.1 * np.ptp(signal[frames][:, [r - 1 for r in rois]], axis=0).max()
    for height, roi in enumerate(reversed(rois)):
        ax.plot(time_s, signal[frames, roi - 1] + height * step, color=SIGNAL, lw=1.6, label="ROI view")
        ax.plot(time_s, traces[frames, roi - 1] + height * step, color="#E69F00", lw=0.8, label="from the movie")
    ax.set_yticks([i * step for i in range(len(rois))], [str(r) for r in reversed(rois)])
    time_axis(ax, time_s).set_ylabel("ROI (dF/F)")
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles[:2], labels[:2], fontsize=8, loc="upper right", ncols=2)
    return simulated_mark(ax, True)


def plot_scenarios(table, ax):
    """AUC of cheap decoders in each world: a dot a fold."""
    for offset, (model, rows) in zip((-0.12, 0.12), table.groupby("model", sort=False), strict=True):
        for y, world in enumerate(WORLDS):
            values = rows.loc[rows["world"] == world, "auc"]
            ax.plot(values, np.full(len(values), y + offset), "o", ms=4, alpha=0.6, color=COLOURS[model])
            ax.plot(values.mean(), y + offset, "|", ms=14, color=SIGNAL)
        ax.plot([], [], "o", color=COLOURS[model], label=LABELS[model])
    ax.axvline(0.5, color=NULL_COLOUR, ls=":", lw=1)
    ax.set_yticks(range(len(WORLDS)), WORLDS)
    ax.invert_yaxis()
    ax.set(xlabel="AUC across animals (a dot is a fold, a bar the mean)", xlim=(0.2, 1.0))
    ax.legend(fontsize=8, loc="lower right")
    return simulated_mark(ax, True)


def correlation_pattern(measured, ax):
    """Correlation of each ROI with running, simulated against published."""
    real = roi_table()["mean_run_correlation"].to_numpy()
    ax.plot(real, measured, "o", color=DECODED, alpha=0.7, ms=5)
    ends = [min(real.min(), measured.min()) - 0.02, max(real.max(), measured.max()) + 0.02]
    ax.plot(ends, ends, color=NULL_COLOUR, ls=":", lw=1)
    ax.set(xlabel="published r, real mice", ylabel="simulated r", aspect="equal", xlim=ends, ylim=ends)
    return simulated_mark(ax, True)


def parcel_map(anatomy, ax):
    """Parcels coloured by published group, the numbers of the left ROIs written in."""
    groups = roi_table()["group"].to_numpy()
    order = [*GROUPS, "other"]
    colours = np.array(sns.color_palette("colorblind", len(order)))
    weights = np.array([anatomy.parcels[groups == g].sum(axis=0) for g in order])
    image = np.einsum("grc,gk->rck", weights, colours) + (1 - weights.sum(axis=0))[:, :, None]
    ax.imshow(np.clip(image, 0, 1))
    ax.contour(anatomy.parcels.argmax(axis=0), levels=np.arange(50) + 0.5, colors="white", linewidths=0.4)
    rows, cols = np.indices(anatomy.brain.shape)
    for i in range(25):
        weight = anatomy.parcels[i] / anatomy.parcels[i].sum()
        ax.text((weight * cols).sum(), (weight * rows).sum(), str(i + 1), ha="center", va="center", fontsize=7)
    for group, colour in zip(order, colours, strict=True):
        ax.plot([], [], "s", color=colour, label=group.replace("_", "&"))
    ax.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    ax.set(title="50 areas", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return simulated_mark(ax, True)


def strip(changes, times_s, axes, label, brain):
    """Images of a change side by side with one scale, symmetric about zero, set by what is well inside the brain.

    Parameters
    ----------
    changes : ndarray, shape (n, H, W), %
    times_s : sequence of float
    axes : sequence of Axes
    label : str
    brain : ndarray, shape (H, W)
        1 inside; what lies outside is left blank.
    """
    top = np.percentile(np.abs(changes[:, brain > 0.999]), 97)
    changes = np.where(brain > 0.5, changes, np.nan)
    for change, time_s, ax in zip(changes, times_s, axes, strict=True):
        shown = ax.imshow(change, cmap="RdBu_r", vmin=-top, vmax=top)
        ax.set(title=f"{time_s:+.1f} s", xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    axes[0].figure.colorbar(shown, ax=list(axes), label=label, shrink=0.8, pad=0.01)
    simulated_mark(axes[-1], True)
    return axes
