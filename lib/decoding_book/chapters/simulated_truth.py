"""Looking into a simulated data set: its pieces, its worlds, and how near it comes to the published figures."""

import numpy as np
import pandas as pd
import seaborn as sns
from scipy.ndimage import center_of_mass

from calcium_decoding import preprocessing, splits
from calcium_decoding.data import catalog, published
from calcium_decoding.data.published import GROUPS
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation.cards import Score, summarise
from calcium_decoding.experiments import engine
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.models.names import COLOURS, LABELS
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.plotting import style
from calcium_decoding.plotting.style import NULL_COLOUR, RUN, SIGNAL, simulated_mark
from calcium_decoding.preprocessing.windows import WindowSpec
from calcium_decoding.simulation import widefield
from calcium_decoding.simulation.widefield import RATE_HZ
from decoding_book.chapters import data_tour

WORLD_SIZE = {"animals": 3, "sessions_per_animal": 3, "frames_per_session": 3600}
REST_S, RUN_S = 2.0, 3.0  # around an onset that counts

COMPONENTS = {
    "driven": "neurons, by running", "spontaneous": "neurons, by themselves", "blood": "blood absorption",
    "motion": "movement", "drift": "bleaching, wander", "noise": "noise", "sum": "what is seen",
}


def session_of(name, animal, session):
    """One session of a simulated data set of the manifest, with all its components.

    ``animal``: counted from 1. ``session``: from 0. Raises ParameterError: the data set is not simulated, or has no
    such session.
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
    """Change of the image around the onsets of running, % of the rest before, and how many onsets there are.

    ``times_s``: from onset; each image, shape (128, 128), is the mean of a third of a second. Onsets have 2 s of rest
    before and 3 s of running after. Raises DataError: the session has none.
    """
    run = session.run
    before, after, half = round(REST_S * RATE_HZ), round(RUN_S * RATE_HZ), 5
    onsets = [t for t in np.flatnonzero(np.diff(run.astype(int)) == 1) + 1
              if before <= t < len(run) - after - half and not run[t - before : t].any() and run[t : t + after].all()]
    if not onsets:
        raise DataError(session.name, "no run of 3 s after a rest of 2 s", "at least one", "choose another session")

    def mean(first, last):
        return np.mean([movie[t + first : t + last].mean(axis=0) for t in onsets], axis=0)

    rest = mean(-before, -(before // 4))
    shown = np.array([mean(round(s * RATE_HZ) - half, round(s * RATE_HZ) + half) for s in times_s])
    return 100.0 * (shown - rest) / rest, len(onsets)


def two_views(session, movie):
    """ROI traces taken from the movie, shape (T, 50), % dF/F, against the ROI view of the same session.

    Returns a table with ``r`` and ``slope`` of each ROI, and the traces.
    """
    traces = widefield.roi_traces(movie, session.anatomy.masks())
    signal = session.signal() - session.signal().mean(axis=0)
    seen = traces - traces.mean(axis=0)
    slope = (signal * seen).sum(axis=0) / (signal**2).sum(axis=0)
    r = slope * signal.std(axis=0) / seen.std(axis=0)
    return pd.DataFrame({"roi": np.arange(1, len(r) + 1), "r": r, "slope": slope}), traces


def world_scores(seed, models=("logistic", "time_only"), store=None, jobs=None):
    """AUC by ``world``, ``model`` and ``fold`` of cheap decoders across three animals of a small data set of each."""
    spec, recipe = WindowSpec(0, 0), {"name": "published", "rate_hz": RATE_HZ}
    rows = []
    for world in widefield.WORLDS:
        dataset = widefield.dataset(widefield.SimulationSettings(world, seed, **WORLD_SIZE), f"world {world}")
        split = splits.build("animal_pairs", dataset, spec, preprocessing.build(**recipe))
        experiment = engine.Experiment(dataset, split, Traces(recipe, spec), training=TrainingSettings(seed=seed))
        folds = engine.run(experiment, models, store, jobs, label=world)
        rows += [{"world": world, "model": f.model, "fold": f.fold, "auc": f.scores["auc"]} for f in folds if f.scores]
    return pd.DataFrame(rows)


def calibration_scores(dataset, folds, raw_folds):
    """What is held against published figures, as scores of a result card; ``raw_folds``: baseline not subtracted."""
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


def calibration_table(scores, stored=None):
    """Published figures beside those of the simulation, and of a larger one, whose card is ``stored``."""
    r = published.roi_table()["mean_run_correlation"]
    logistic, gru, raw = (published.reported(*key)[0] for key in (
        ("roi_linear", "LogisticRegression", "preprocessed"), ("roi_rnn_architecture", "GRU", "preprocessed"),
        ("roi_rnn_raw", "GRU", "raw")))
    # Quantity; model, metric and field of the score; published value; what is wanted; what was put in to reach it.
    lines = [(f"running frames, mouse {a}", f"mouse {a}", "run_share", "value", published.run_share(a), "within 0.10",
              "shares of the sessions") for a in range(1, 6)]
    lines += [
        ("correlation of ROIs with running, mean", "ROI", "pearson_r", "value", r.mean(), "0.18 to 0.24",
         "size of the drive"),
        ("the same, SD over ROIs", "ROI", "pearson_r", "sd", r.std(ddof=1), "", "pattern over ROIs"),
        ("AUC, logistic on one frame", "logistic", "auc", "value", logistic, "0.75 to 0.85",
         "arousal, alike to running"),
        ("AUC, GRU on a window", "gru", "auc", "value", gru, "0.95 to 0.985", "strides, fidgets"),
        ("AUC, GRU, baseline not subtracted", "gru raw", "auc", "value", raw, "below the one above", "drift")]
    rows = []
    for quantity, model, metric, field, real, wanted, put_in in lines:
        row = {"quantity": quantity, "published, real mice": real, "wanted": wanted}
        for name, some in (("simulated", scores), ("simulated, large", stored and stored.scores)):
            if some is not None:
                row[name] = next((getattr(s, field) for s in some if (s.model, s.metric) == (model, metric)
                                  and s.scope.startswith("mean of ")), None)
        rows.append(row | {"put in by": put_in})
    return pd.DataFrame(rows)


def component_traces(session, roi, start_s, length_s, axes):
    """Each component of the trace of one ROI (from 1), and their sum at the bottom, with running shaded."""
    frames = slice(round(start_s * RATE_HZ), round((start_s + length_s) * RATE_HZ))
    parts = {name: part[frames, roi - 1] for name, part in session.components().items()}
    parts["sum"] = sum(parts.values())
    time_s = start_s + np.arange(len(parts["sum"])) / RATE_HZ
    for ax, (name, part) in zip(axes, parts.items(), strict=True):
        style.running_spans(ax, time_s, session.run[frames])
        ax.plot(time_s, part, color=RUN if name == "driven" else SIGNAL, lw=0.8)
        ax.set_ylabel(COMPONENTS[name], rotation=0, ha="right", va="center", fontsize=9)
        style.time_axis(ax, time_s)
    axes[0].set_title(f"ROI {roi}, each in % dF/F")
    simulated_mark(axes[0], True)
    return axes


def two_view_traces(session, traces, rois, start_s, length_s, ax):
    """ROI view and the same ROIs (from 1) taken from the movie, one above another."""
    frames, columns = slice(round(start_s * RATE_HZ), round((start_s + length_s) * RATE_HZ)), np.array(rois)[::-1] - 1
    signal = (session.signal() - session.signal().mean(axis=0))[frames][:, columns]
    time_s = start_s + np.arange(len(signal)) / RATE_HZ
    heights = np.arange(len(rois)) * 1.1 * np.ptp(signal, axis=0).max()
    for values, colour, width, label in ((signal, SIGNAL, 1.6, "ROI view"),
                                         (traces[frames][:, columns], "#E69F00", 0.8, "from the movie")):
        lines = ax.plot(time_s, values + heights, color=colour, lw=width)
        lines[0].set_label(label)
    ax.set_yticks(heights, columns + 1)
    style.time_axis(ax, time_s).set_ylabel("ROI (dF/F)")
    ax.legend(fontsize=8, loc="upper right", ncols=2)
    return simulated_mark(ax, True)


def plot_scenarios(table, ax):
    """AUC of cheap decoders in each world: a dot a fold."""
    worlds = list(widefield.WORLDS)
    for offset, (model, rows) in zip((-0.12, 0.12), table.groupby("model", sort=False), strict=True):
        places = rows["world"].map(worlds.index) + offset
        ax.plot(rows["auc"], places, "o", ms=4, alpha=0.6, color=COLOURS[model])
        for place, values in rows["auc"].groupby(places):
            ax.plot(values.mean(), place, "|", ms=14, color=SIGNAL)
        ax.plot([], [], "o", color=COLOURS[model], label=LABELS[model])
    ax.axvline(0.5, color=NULL_COLOUR, ls=":", lw=1)
    ax.set_yticks(range(len(worlds)), worlds)
    ax.invert_yaxis()
    ax.set(xlabel="AUC across animals (a dot is a fold, a bar the mean)", xlim=(0.2, 1.0))
    ax.legend(fontsize=8, loc="lower right")
    return simulated_mark(ax, True)


def parcel_map(anatomy, ax):
    """Parcels coloured by published group, the numbers of the left ROIs written in."""
    groups, order = published.roi_table()["group"].to_numpy(), [*GROUPS, "other"]
    colours = np.array(sns.color_palette("colorblind", len(order)))
    weights = np.array([anatomy.parcels[groups == g].sum(axis=0) for g in order])
    image = np.einsum("grc,gk->rck", weights, colours) + (1 - weights.sum(axis=0))[:, :, None]
    ax.imshow(np.clip(image, 0, 1))
    ax.contour(anatomy.parcels.argmax(axis=0), levels=np.arange(50) + 0.5, colors="white", linewidths=0.4)
    for i, parcel in enumerate(anatomy.parcels[:25]):
        row, column = center_of_mass(parcel)
        ax.text(column, row, str(i + 1), ha="center", va="center", fontsize=7)
    for group, colour in zip(order, colours, strict=True):
        ax.plot([], [], "s", color=colour, label=group.replace("_", "&"))
    ax.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    ax.set(title="50 areas", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return simulated_mark(ax, True)


def strip(changes, times_s, axes, label, brain):
    """Images of a change (shape (n, H, W), %) side by side with one scale, symmetric about zero.

    The scale is set by what is well inside ``brain`` (shape (H, W), 1 inside); what lies outside is left blank.
    """
    top = np.percentile(np.abs(changes[:, brain > 0.999]), 97)
    for change, time_s, ax in zip(changes, times_s, axes, strict=True):
        shown = ax.imshow(np.where(brain > 0.5, change, np.nan), cmap="RdBu_r", vmin=-top, vmax=top)
        ax.set(title=f"{time_s:+.1f} s", xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    axes[0].figure.colorbar(shown, ax=list(axes), label=label, shrink=0.8, pad=0.01)
    simulated_mark(axes[-1], True)
    return axes
