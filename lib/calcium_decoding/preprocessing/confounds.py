"""Confounds of a movie, as decoders without a view of the cortex: its brightness, edge, vessels and movement.

Each control is a few numbers a frame, laid out as ROIs, so that any decoder, split and audit runs on it unchanged. What
a control reaches is no proof that a decoder of images uses it: the indicator shines through vessels.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from calcium_decoding.data.movies import stretches
from calcium_decoding.errors import DataError
from calcium_decoding.preprocessing import brain_masks, motion
from calcium_decoding.preprocessing.brain_masks import N_SECTORS
from calcium_decoding.preprocessing.motion import Registration
from calcium_decoding.utils.code import code_digest
from calcium_decoding.utils.files import hash_content, whole_file
from calcium_decoding.utils.progress import progress

CONTROLS = {
    "global mean": "mean brightness of the whole image",
    "edge": "brightness along the brain's border, by sector",
    "vessels": "brightness of large vessels, by sector",
    "vessel contrast": "brightness of large vessels less that of the tissue beside them, by sector",
    "shifts": "how far the image lies from its mean place: down, right, and the distance",
}
CHANCE = 0.5
LEAST_SCORE = 0.1  # above chance; with less, a share is little else than noise divided by noise


def control_datasets(dataset, store=None):
    """Each control in place of the ROIs of a data set: same behaviour, same names, no movie.

    Masks, means and the image that frames are registered to come from all frames of a recording, without its labels.
    The leak audit cannot know that: it matters for a split within recordings alone. ``store``: folder where an
    interrupted run finds what is done. Returns dict of str to Dataset, by name in :data:`CONTROLS`. Raises DataError: a
    recording without a movie, before anything is read; or what :func:`control_signals` refuses.
    """
    dataset.require_movies()
    frames = sum(len(recording.movie) for recording in dataset.recordings)
    with progress(None, total=2 * frames, desc="controls", unit="frame") as bar:
        found = [(recording, _stored_signals(recording, store, bar.update)) for recording in dataset.recordings]
    return {name: replace(dataset, name=f"{dataset.name}, {name} alone", compare_with_study=False,
                          recordings=tuple(_as_recording(r, name, signals[name]) for r, signals in found))
            for name in CONTROLS}


def explained(control, full):
    """How much of a decoder's score a control reaches by itself: (AUC of the control - 0.5) / (AUC - 0.5), by fold.

    ``control``, ``full``: AUC by name of the fold. Returns two dicts: shares of folds; and why a fold has none: a score
    is missing, or that of the full decoder is less than 0.1 above chance.
    """
    shares, reasons = {}, {}
    for fold in dict.fromkeys([*full, *control]):
        if fold not in full or fold not in control:
            reasons[fold] = f"no score of the {'control' if fold in full else 'full decoder'}"
        elif full[fold] - CHANCE < LEAST_SCORE:
            reasons[fold] = f"full decoder near chance (AUC {full[fold]:.3f})"
        else:
            shares[fold] = (control[fold] - CHANCE) / (full[fold] - CHANCE)
    return shares, reasons


def control_table(full, controls):
    """A row for the full decoder and one a control: scores over folds, and how much of the score the control reaches.

    ``full`` (list of FoldResult): of one decoder on the whole of the data; ``controls`` (dict of str to such lists): on
    the same folds. DataFrame: ``decoded from``; ``folds`` with a score; ``mean`` and ``SD`` (sample, over folds) of the
    AUC; ``share explained`` (mean over paired folds), ``over animals`` (smallest and largest mean of a test group);
    ``paired folds``; ``without a share`` (how many folds, and why). None where there is no number. Raises DataError:
    two results of one fold, or decoders of a speed, which have no AUC.
    """
    whole, groups = _aucs(full, "full decoder"), {fold.fold: fold.test_group for fold in full}
    rows = [{"decoded from": "everything", **_mean_and_sd(whole), "share explained": 1.0 if whole else None,
             "over animals": "", "paired folds": len(whole), "without a share": ""}]
    for name, results in controls.items():
        alone = _aucs(results, name)
        shares, reasons = explained(alone, whole)
        of_groups = pd.Series(shares, dtype=float).groupby(groups).mean()
        why = Counter(reason.split(" (")[0] for reason in reasons.values())  # without the AUC that a reason tells
        rows.append({"decoded from": f"{name} alone", **_mean_and_sd(alone),
                     "share explained": float(np.mean(list(shares.values()))) if shares else None,
                     "over animals": f"{of_groups.min():.2f} to {of_groups.max():.2f} (n = {len(of_groups)})"
                                     if len(of_groups) > 1 else "",
                     "paired folds": len(shares), "without a share": "; ".join(f"{n}: {x}" for x, n in why.items())})
    return pd.DataFrame(rows, dtype=object)  # so that undefined values stay None and do not become NaN


@threadpool_limits.wrap(limits=1)  # a product in several threads may round differently
def control_signals(movie, name="movie", report=None):
    """All controls of a movie, in two passes through it: dict by name in :data:`CONTROLS` of (T, n) float32.

    ``movie`` (Movie or array, shape (T, H, W)): camera counts. ``name``: for error messages. ``report``: called with
    the number of frames of each stretch. ``"global mean"`` (one column), ``"edge"`` and ``"vessels"`` (a column a
    sector): change of brightness, % of the mean over all frames. ``"vessel contrast"``: that of vessels less that of
    tissue beside them, %. ``"shifts"``: down, right and distance, pixels; see :class:`Registration`. Raises DataError:
    no brain in the movie; a frame of one value; brightness that is not positive.
    """
    try:
        return _signals(movie, report)
    except DataError as error:
        raise DataError(f"{name}, {error.where}", error.found, error.expected, error.remedy) from error


def _signals(movie, report):
    mean = brain_masks.mean_image(movie, report)
    brain = brain_masks.brain_mask(mean)
    vessels = brain_masks.vessel_mask(mean, brain)
    masks = brain_masks.edge_mask(brain), vessels, brain_masks.beside(vessels, brain)
    weights = np.concatenate([np.full((1, mean.size), 1 / mean.size),
                              *(brain_masks.sector_weights(mask, brain) for mask in masks)])
    levels = weights @ mean.reshape(-1)
    if not levels.min() > 0:
        raise DataError("movie", f"a mean brightness of {levels.min():.3g} in a part of the image", "more than 0",
                        "give camera counts, not changes relative to a baseline")
    weights, mean = (100 * weights / levels[:, None]).T.astype(np.float32), mean.astype(np.float32)
    registered = Registration(mean)
    changes, shifts = [], []
    for first, frames in stretches(movie, report):
        frames = frames.astype(np.float32)
        shifts.append(registered.shifts(frames, first))
        changes.append((frames - mean).reshape(len(frames), -1) @ weights)
    changes, shifts = np.concatenate(changes), np.concatenate(shifts)
    whole, edge, inside, tissue = np.split(changes, 1 + N_SECTORS * np.arange(3), axis=1)
    return {"global mean": whole, "edge": edge, "vessels": inside, "vessel contrast": inside - tissue,
            "shifts": np.column_stack([shifts, np.hypot(*shifts.T)])}


def _stored_signals(recording, store, report):
    movie = recording.movie
    if store is None:
        return control_signals(movie, recording.id, report)
    path = Path(store) / (hash_content([movie.content_hash(), code_digest("preprocessing")]) + ".controls.npz")
    try:
        with np.load(path, allow_pickle=False) as file:
            signals = {name: file[name] for name in CONTROLS}
        report(2 * len(movie))
        return signals
    except Exception:  # not there or damaged: computed again
        signals = control_signals(movie, recording.id, report)
    with whole_file(path) as temporary:
        np.savez(temporary, **signals)
    return signals


def _as_recording(recording, name, signal):
    columns = {"global mean": ("global mean",), "shifts": ("down", "right", "distance")}.get(
        name, tuple(f"{name} {i + 1}" for i in range(N_SECTORS)))
    notes = (f"control: {CONTROLS[name]}; masks and means from all frames of the recording",)
    if name == "shifts":
        most = motion.most_px(recording.movie.shape[1:])
        if far := int((np.abs(signal[:, :2]).max(axis=1) >= most).sum()):
            notes += (f"{far} frames lie {most} pixels or more away, or show something else; cut off there",)
    return replace(recording, signal=signal, roi_names=columns, signal_unit="px" if name == "shifts" else "change (%)",
                   notes=recording.notes + notes, movie=None)


def _aucs(folds, label):
    """AUC by name of the fold, of those that have one."""
    if len({fold.fold for fold in folds}) < len(folds) or any(fold.kind != "binary" for fold in folds):
        raise DataError(label, "two results of one fold, or a decoded speed", "one decoder of running",
                        "give the results of one model")
    return {fold.fold: fold.scores["auc"] for fold in folds if fold.scores}


def _mean_and_sd(values):
    values = list(values.values())
    return {"folds": len(values), "mean": float(np.mean(values)) if values else None,
            "SD": float(np.std(values, ddof=1)) if len(values) > 1 else None}
