"""Chapter 04: looking into a simulated data set: one session, the same under a camera, and other worlds."""

import numpy as np
import pandas as pd

import calcium_decoding as cd
from calcium_decoding.data import catalog
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import cards
from calcium_decoding.experiments import compared
from calcium_decoding.simulation import widefield
from calcium_decoding.simulation.widefield import RATE_HZ

WORLD_SIZE = {"animals": 5, "sessions_per_animal": 4, "frames_per_session": 3600}
# Stored comparisons that have published figures, by chapter and label, with the conditions that calibration looked at.
CALIBRATION = {
    ("10_roi_rnn", "networks"): ("gru", "logistic"), ("10_roi_rnn", "filters"): ("no filter", "1000 frames"),
    ("12_regions", "sets of ROIs"): ("FLa&HLa", "Other", "M2&M1", "PT&RS", "V1&Vm"),
    ("11_windows_and_lags", "lengths"): (), ("30_speed_regression", "decoders"): ("linear on one frame",),
    ("21_cnn_rnn", "networks"): (),
}


def session_of(name, animal, session):
    """One session (from 0) of an animal (from 1) of a simulated data set of the manifest, with all its components.
    ParameterError: the data set is not simulated, or has no such session."""
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
    before and 3 s of running after. DataError: the session has none."""
    run = session.run
    before, after, half = round(2 * RATE_HZ), round(3 * RATE_HZ), 5
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
    """``r`` and ``slope`` of each ROI between the traces taken from the movie and the ROI view of the same session, a
    table, and these traces, shape (T, 50), % dF/F."""
    traces = widefield.roi_traces(movie, session.anatomy.masks())
    signal = session.signal() - session.signal().mean(axis=0)
    seen = traces - traces.mean(axis=0)
    slope = (signal * seen).sum(axis=0) / (signal**2).sum(axis=0)
    r = slope * signal.std(axis=0) / seen.std(axis=0)
    return pd.DataFrame({"roi": np.arange(1, len(r) + 1), "r": r, "slope": slope}), traces


def calibration():
    """Stored comparisons beside the published figures, a row a condition that has one: ``published, real mice`` and
    ``simulated`` (mean ± SD over folds), ``met`` (the means differ by one published SD at most; a training that has not
    converged decides nothing) and ``set`` (calibration looked at it)."""
    rows = []
    for (chapter, label), looked_at in CALIBRATION.items():
        card = cards.stored_card(chapter)
        for result in compared.from_record(card.comparisons.get(label, ())) if card else ():
            if result.condition.beside_published and result.evaluable():
                values = list(result.values().values())
                theirs, sd = result.condition.published_score(result.main_score)
                rows.append((chapter, result.name, result.main_score, f"{theirs:.3f} ± {sd:.3f}",
                             f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}",
                             "not converged" if result.not_converged() else
                             "met" if abs(np.mean(values) - theirs) <= sd else "NOT met",
                             "set" if result.name in looked_at else ""))
    return pd.DataFrame(rows, columns=["chapter", "condition", "score", "published, real mice", "simulated", "met",
                                       "set"])


def world_scores(seed, models=("logistic", "time_only"), store=None, jobs=None):
    """AUC by ``world``, ``model`` and ``fold`` of cheap decoders; each animal of a small data set is tested once."""
    traces, settings = cd.Traces("published", cd.WindowSpec(0, 0)), cd.TrainingSettings(seed=seed)
    rows = []
    for world in widefield.WORLDS:
        dataset = widefield.dataset(widefield.SimulationSettings(world, seed, **WORLD_SIZE), f"world {world}")
        plan = cd.Experiment(dataset, "animal_pairs", traces, training=settings, n_folds=WORLD_SIZE["animals"])
        folds = cd.run(plan, models, store, jobs, label=world)
        rows += [{"world": world, "model": f.model, "fold": f.fold, "auc": f.scores["auc"]} for f in folds if f.scores]
    return pd.DataFrame(rows)
