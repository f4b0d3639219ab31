"""Decoding from movies: a convolutional network on images, and a recurrent one on its features, fold by fold.

An :class:`ImageExperiment` goes through :func:`calcium_decoding.experiments.engine.run` as any other one. In each fold
the network on single images is trained first (stage 1); recurrent decoders start from its weights (stage 2). Trained
weights lie in the store next to the fold.
"""

import contextlib
import time
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from calcium_decoding.data.movies import mappable
from calcium_decoding.data.recording import Dataset
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import metrics
from calcium_decoding.experiments import engine
from calcium_decoding.experiments.folds import FITTED, FoldResult, scored
from calcium_decoding.experiments.tasks import Binary
from calcium_decoding.models import IMAGE_MODELS, build_image, loop
from calcium_decoding.models.images import training as training_images
from calcium_decoding.models.images.cnn_rnn import for_inference
from calcium_decoding.models.images.training import FeatureSequences, Images, ImageSequences, Stage
from calcium_decoding.models.training import device_of
from calcium_decoding.preprocessing import Pipeline
from calcium_decoding.preprocessing.movie_frames import FrameScaling, MovieFrames, MovieScaling, image_window
from calcium_decoding.preprocessing.windows import WindowSet, WindowSpec
from calcium_decoding.splits import Split
from calcium_decoding.splits.audit import audit
from calcium_decoding.utils.code import FOLD_ROOMS, code_digest
from calcium_decoding.utils.files import hash_content, whole_file
from calcium_decoding.utils.progress import progress


@dataclass(frozen=True)
class ImageSettings:
    """What is done with movies; the defaults are the study's (Ajioka et al. 2024 and its code).

    Parameters
    ----------
    weights : str
        Initial weights of the network on images: ``"imagenet"``, ``"lite0-offline"`` or ``"none"``; see
        :data:`calcium_decoding.models.images.cnn.WEIGHTS`.
    images_each_side : int
        k of the 2k + 1 images that a recurrent decoder sees.
    frozen : bool
        Recurrent decoders leave the network on images as stage 1 made it; its features are computed once and kept.
        Otherwise it is trained further, as published.
    bin_px : int
        Average squares of n x n pixels; the study has 1.
    frame_scaling : {"session", "training"}
        What mean image and deviation are taken from; see
        :class:`calcium_decoding.preprocessing.movie_frames.FrameScaling`.
    norm_momentum : float
        Weight of a batch in the running statistics of batch normalisation. With the study's 0.01 they follow within
        some hundred steps; a training of fewer steps needs more.
    cnn, sequence : Stage
        Training of stage 1 and of stage 2.
    seed : int
    device : str
        ``"cpu"``, ``"cuda"``, or ``"auto"``: CUDA where there is one.
    """

    weights: str = "imagenet"
    images_each_side: int = 5
    frozen: bool = False
    bin_px: int = 1
    frame_scaling: str = "session"
    norm_momentum: float = 0.01
    cnn: Stage = field(default_factory=Stage)
    sequence: Stage = field(default_factory=lambda: Stage(batch_size=32))
    seed: int = 2021
    device: str = "cpu"

    def spec(self, model):
        """Frames around the labelled one that a model sees, a WindowSpec."""
        return image_window(0 if model == "cnn" else self.images_each_side)

    def of(self, model):
        """What of these settings determines the result of a model."""
        rest = asdict(replace(self, device="cpu"))
        if model == "cnn":
            for name in ("images_each_side", "frozen", "sequence"):
                del rest[name]
        return rest


@dataclass(frozen=True)
class ImageExperiment:
    """Everything that determines a set of fold results from movies.

    Parameters
    ----------
    dataset : Dataset
        Its recordings have movies.
    split : Split
        Audited before it is used.
    settings : ImageSettings
    """

    dataset: Dataset
    split: Split
    settings: ImageSettings = field(default_factory=ImageSettings)

    def __post_init__(self):
        without = [r.id for r in self.dataset.recordings if r.movie is None]
        if without:
            raise DataError(self.dataset.name, f"no movie of {', '.join(without[:5])}"
                            f"{' and others' if len(without) > 5 else ''}", "a movie of every recording",
                            "read the data set with movies=True, or decode from ROI traces")

    @property
    def pipeline(self):
        """What is done to frames before they are decoded, for the audit."""
        return Pipeline([FrameScaling(self.settings.frame_scaling)])

    def audit(self, allow_leak=False):
        """Refuse a split that leaks; see :func:`calcium_decoding.splits.audit.audit`."""
        return audit(self.split, self.settings.spec("cnn_gru"), self.pipeline, self.dataset, fitted=FITTED,
                     allow_leak=allow_leak)

    def require(self, model):
        """Refuse a model that does not decode images."""
        if model not in IMAGE_MODELS:
            raise ParameterError("model", repr(model), f"one of {', '.join(IMAGE_MODELS)}", "name one of these")

    def key(self, fold, model):
        """Hash of everything that determines the result of a model on a fold."""
        content = {r.id: [r.content_hash(), r.movie.content_hash()] for r in engine.recordings_of(self, [fold])}
        return hash_content([content, asdict(fold), self.split.of_centres, self.settings.of(model), model,
                             code_digest(*FOLD_ROOMS), version("timm"),
                             version("torch").partition("+")[0]])

    @contextlib.contextmanager
    def shared(self, folder):
        """Movies that map, with their mean images and deviations; weights and features go to ``folder``."""
        folder, recordings = Path(folder), engine.recordings_of(self, self.split.folds)
        movies = {r.id: mappable(r.movie, folder / "movies")[0] for r in recordings}
        scalings = {}
        if self.settings.frame_scaling == "session":
            for name, movie in progress(movies.items(), desc="mean images", unit="movie", leave=False):
                scalings[name] = MovieScaling.of(movie, name=name)
        yield SharedMovies(folder, movies, scalings)

    def fold_task(self, fold, model, shared, store=None):
        """One decoder on one fold, with only the recordings that the fold touches; weights lie with the shared ones."""
        recordings = engine.recordings_of(self, [fold])
        return ImageFoldTask(replace(self.split, folds=(fold,)), self.settings, model,
                             {r.id: shared.movies[r.id] for r in recordings}, {r.id: r.run for r in recordings},
                             {r.id: shared.scalings[r.id] for r in recordings if r.id in shared.scalings},
                             shared.folder, self.key(fold, "cnn"), self.key(fold, model))


@dataclass(frozen=True)
class SharedMovies:
    """What the folds of an experiment on movies share.

    ``folder``: for weights and features. ``movies`` (dict of str to Movie): by recording; converted where the file
    itself cannot be mapped. ``scalings`` (dict of str to MovieScaling): empty if each fold takes them from its own
    training frames.
    """

    folder: Path
    movies: dict
    scalings: dict


@dataclass(frozen=True, eq=False)
class ImageFoldTask:
    """One decoder of images on one fold, with what it needs and nothing else.

    ``split``: with the one fold. ``settings``: ImageSettings. ``model``: a name in
    :data:`calcium_decoding.models.IMAGE_MODELS`. ``movies``, ``labels``, ``scalings``: movie, run label of each frame,
    MovieScaling by recording; no scalings: from the training frames. ``folder``: for weights and features. ``cnn_key``,
    ``key``: names of the weights of stage 1, and of this decoder.
    """

    split: Split
    settings: ImageSettings
    model: str
    movies: dict
    labels: dict
    scalings: dict
    folder: Path
    cnn_key: str
    key: str

    @property
    def fold(self):
        """The one fold."""
        return self.split.folds[0]

    @cached_property
    def frames(self):
        """Normalised frames of the fold's recordings, a MovieFrames."""
        train = self.fold.ranges("train")
        missing = [name for name in self.movies if name not in self.scalings and name not in train]
        if missing:
            raise DataError(f"fold {self.fold.name}", f"no training frames of {', '.join(missing)}",
                            "training frames of every recording", "scale frames by the session (frame_scaling)")
        scalings = {name: self.scalings.get(name) or MovieScaling.of(movie, train[name], name)
                    for name, movie in self.movies.items()}
        return MovieFrames(self.movies, scalings, self.settings.bin_px)

    def windows(self, role, model=None):
        """Windows of a role, a WindowSet over :attr:`frames`."""
        return WindowSet.over(self.frames, [(name, self.frames.first_row[name], self.labels[name], ranges)
                                            for name, ranges in self.fold.ranges(role).items()],
                              self.settings.spec(model or self.model))

    def run(self, checkpoint=None, report=None):
        """Train and test, in one thread.

        ``checkpoint``, ``report``: as for :func:`calcium_decoding.models.loop.run`. Returns FoldResult.
        """
        began = time.perf_counter()
        test = self.windows("test")
        result = FoldResult(self.fold.name, self.fold.test_group, self.model, {}, "", loop.History(),
                            tuple(test.ids), test.recording, test.centre, test.labels, np.full(len(test), np.nan))
        try:
            metrics.require_both_classes(test.labels, "test frames")
            metrics.require_both_classes(self.windows("train").labels, "training frames")
        except DataError as error:
            return replace(result, reason=f"{error.where}: {error.found}")
        network, history = self.trained(checkpoint, report)
        on_train, on_valid, on_test = (
            (samples.windows.labels, training_images.predict(network, samples))
            for samples in (self._samples("train"), self._samples("valid"), self._samples("test", every=1)))
        result = scored(replace(result, history=history, predicted=on_test[1], valid_labels=on_valid[0],
                                    valid_predicted=on_valid[1]), Binary(), *on_train)
        return replace(result, seconds=time.perf_counter() - began)

    def trained(self, checkpoint=None, report=None):
        """The decoder of this fold: read if it was trained before, else trained and kept.

        Returns ``network`` (ImageDecoder or SequenceDecoder): on the device of the settings; ``history``
        (epochs.History).
        """
        if self.model == "cnn":
            return self._kept(self.cnn_key, self._new_image_decoder, self.settings.cnn, checkpoint, report)
        return self._kept(self.key, self._sequence_decoder, self.settings.sequence, checkpoint, report)

    @cached_property
    def _image_decoder(self):
        """Stage 1 of this fold."""
        return replace(self, model="cnn", key=self.cnn_key).trained()[0]

    def _new_image_decoder(self):
        decoder = build_image("cnn", self.settings.weights, self.settings.seed)
        for module in decoder.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = self.settings.norm_momentum
        return decoder

    def _sequence_decoder(self):
        return build_image(self.model, seed=self.settings.seed, image_decoder=self._image_decoder,
                           frozen=self.settings.frozen)

    def _kept(self, key, build, stage, checkpoint, report):
        path, device = self.folder / f"{key}.weights.safetensors", device_of(self.settings.device)
        network = build()
        if path.exists():
            history = loop.load_weights(path, network)
            return network.to(device), history
        history = training_images.fit(network, self._samples("train"), self._samples("valid"), stage,
                                      self.settings.seed, device, checkpoint, report=report)
        loop.save_weights(path, network, history)
        return network, history

    def _samples(self, role, every=None):
        """What the decoder is trained, validated or tested on."""
        stage = self.settings.cnn if self.model == "cnn" else self.settings.sequence
        windows, device = self.windows(role), device_of(self.settings.device)
        which = _thinned(len(windows), stage.consecutive, every or stage.every_frames)
        windows = replace(windows, **{name: getattr(windows, name)[which]
                                      for name in ("starts", "labels", "recording", "centre")})
        if self.model == "cnn":
            return Images(windows, device)
        if not self.settings.frozen:
            return ImageSequences(windows, device)
        k = self.settings.images_each_side
        return FeatureSequences(replace(windows, frames=self.features, starts=windows.starts + 1,
                                        spec=WindowSpec(k, k)), device)

    @cached_property
    def features(self):
        """Features of the image around each frame of :attr:`frames`, shape (N, n_features), float16, memory-mapped.

        Rows of the first and last frame of a recording, which have no image, are 0.
        """
        path = self.folder / f"{self.cnn_key}.features.npy"
        if not path.exists():
            self._write_features(path)
        return np.load(path, mmap_mode="r")

    def _write_features(self, path):
        network = for_inference(self._image_decoder)
        device = next(network.parameters()).device
        batch = training_images.inference_batch(self.frames, device)
        with whole_file(path) as temporary, loop.deterministic(), torch.inference_mode():
            kept = np.lib.format.open_memmap(temporary, "w+", np.float16, (len(self.frames), network.n_features))
            for name, first in self.frames.first_row.items():
                for rows in np.array_split(first + np.arange(1, len(self.movies[name]) - 1),
                                           -(-len(self.movies[name]) // batch)):
                    images = torch.from_numpy(self.frames[rows[:, None] + np.arange(-1, 2)])
                    kept[rows] = network.features(images.to(device)).float().cpu().numpy()
            kept.flush()


def _thinned(n, consecutive, every):
    """Indices of every n-th run of consecutive samples."""
    runs = np.arange(0, n, consecutive * every)
    which = (runs[:, None] + np.arange(consecutive)).ravel()
    return which[which < n]
