"""Movies as an input, and the features that a network has learned from them. A recurrent decoder of images starts from
the weights of the network on single images (``"cnn"``) of the same fold, as in Ajioka et al. 2024 (DOI
10.1371/journal.pcbi.1011074); trained weights lie beside the folds."""

import contextlib
import warnings
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from calcium_decoding.data.movies import mappable
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.experiments.folds import FoldTask
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.models import IMAGE_MODELS, build_image, loop, registry, training
from calcium_decoding.models.decoders import Network, decoder_of, name_of
from calcium_decoding.models.images.cnn_rnn import for_inference
from calcium_decoding.models.images.training import FeatureSequences, Images, ImageSequences, Stage, inference_batch
from calcium_decoding.models.training import DEVICES, TrainingSettings, check_settings
from calcium_decoding.preprocessing import Pipeline
from calcium_decoding.preprocessing.movie_frames import FrameScaling, MovieFrames, MovieScaling, image_window
from calcium_decoding.preprocessing.transforms import whole_number
from calcium_decoding.preprocessing.windows import WindowSet, WindowSpec
from calcium_decoding.utils.files import alone, hash_content, is_intact, write_npy
from calcium_decoding.utils.progress import progress

# Within a recording, its mean image and deviation may be taken from training frames only.
WITHIN = ("blocked", "random_windows")


@dataclass(frozen=True)
class MovieTraining:
    """How decoders of images are trained; the defaults are the study's (Ajioka et al. 2024 and its code).

    Parameters
    ----------
    weights : str
        Of the network on images at first, in :data:`calcium_decoding.models.names.WEIGHTS`.
    frozen : bool
        Recurrent decoders leave the network on images as stage 1 made it; its features are computed once and kept.
        Otherwise it is trained further, as published.
    norm_momentum : float
        Weight of a batch in the running statistics of batch normalisation; a short training needs more than 0.01.
    cnn, sequence : Stage
        Training of stage 1, the network on single images, and of stage 2 and any other decoder.
    seed, device
        As of :class:`~calcium_decoding.models.TrainingSettings`.
    """

    weights: str = "imagenet"
    frozen: bool = False
    norm_momentum: float = 0.01
    cnn: Stage = field(default_factory=Stage)
    sequence: Stage = field(default_factory=lambda: Stage(batch_size=32))
    seed: int = 2021
    device: str = "cpu"

    def __post_init__(self):
        check_settings(self, ("norm_momentum", 0 < self.norm_momentum <= 1, "above 0, 1 at most"),
                       ("device", self.device in DEVICES, "cpu, cuda or auto"))

    torch_device = TrainingSettings.torch_device


@dataclass(frozen=True)
class Movies:
    """Frames of movies, normalised: an image is a frame between its two neighbours, a window some images in a row.

    Parameters
    ----------
    images_each_side : int
        k of the 2k + 1 images that a recurrent decoder sees. A network of your own sees their 2k + 3 frames, float32 of
        shape ``(batch, n_frames, n_rows, n_columns)``.
    bin_px : int
        Average squares of n x n pixels; the study has 1.
    frame_scaling : {"auto", "session", "training"}
        What mean image and deviation are taken from. ``"auto"``: the session, or its training frames where the split
        lies within recordings.
    shuffled : bool
        A control of the library's recurrent decoders: each window's images in a random order, in training and test.
    """

    images_each_side: int = 5
    bin_px: int = 1
    frame_scaling: str = "auto"
    shuffled: bool = False
    # Settings and decoders by default; whether workers of a cluster have to see the same files.
    training, decoders, beside_files = MovieTraining, ("cnn", "cnn_gru"), True

    def __post_init__(self):
        for name, least in (("images_each_side", 0), ("bin_px", 1)):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), least))

    def on(self, dataset, regime):
        """The same for some data under a regime. Raises DataError: a recording without a movie."""
        without = [r.id for r in dataset.recordings if r.movie is None]
        if without:
            raise DataError(dataset.name, f"no movie of {', '.join(without[:5])}"
                            f"{' and others' if len(without) > 5 else ''}", "a movie of every recording",
                            "read the data set with movies=True, or decode from ROI traces")
        if self.frame_scaling != "auto":
            return self
        return replace(self, frame_scaling="training" if regime in WITHIN else "session")

    @property
    def window(self):
        """Frames of the widest window, a WindowSpec."""
        return image_window(self.images_each_side)

    def spec(self, decoder):
        """Frames around the labelled one that a decoder sees, a WindowSpec."""
        return image_window(0) if decoder == "cnn" else self.window

    def pipeline(self):
        """What is done to frames before they are decoded, for the audit."""
        return Pipeline([FrameScaling(self.frame_scaling)])

    def image_shape(self, dataset):
        """Rows and columns of the images that a decoder sees, (int, int)."""
        _, rows, columns = dataset.recordings[0].movie.shape
        return rows // self.bin_px, columns // self.bin_px

    def whole(self, movie, name, decoder, stretches):
        """Every window of a decoder in stretches of a movie, scaled by itself: a WindowSet without labels. ``name``:
        for errors."""
        frames = MovieFrames({name: movie}, {name: MovieScaling.of(movie, name=name)}, self.bin_px)
        blank = np.zeros(len(movie), np.float32)
        return WindowSet.over(frames, [(name, 0, blank, stretches)], self.spec(decoder))

    def resolve(self, decoder, head):
        decoder = decoder_of(decoder)
        if isinstance(decoder, str) and decoder in IMAGE_MODELS:
            return decoder
        own = registry.OWN.get(decoder) if isinstance(decoder, str) else registry.resolve(decoder)
        if not isinstance(own, Network):
            raise ParameterError("model", f"'{name_of(decoder)}'", f"one of {', '.join(IMAGE_MODELS)}, or a Network",
                                 "name one of these; other decoders take Features(of='cnn')")
        return own

    def decides(self, recordings, decoder, training):
        settings = asdict(self) | asdict(replace(training, device="cpu"))
        if decoder == "cnn":
            for name in ("images_each_side", "shuffled", "frozen", "sequence"):
                del settings[name]
        return [{r.id: [r.content_hash(), r.movie.content_hash()] for r in recordings}, settings, version("timm"),
                version("torch").partition("+")[0]]

    @contextlib.contextmanager
    def share(self, recordings, folder):
        """Movies that map, with their mean images and deviations; weights and features go to ``folder``."""
        folder = Path(folder)
        movies = {r.id: mappable(r.movie, folder / "movies")[0] for r in recordings}
        scalings = {}
        if self.frame_scaling == "session":
            for name, movie in progress(movies.items(), desc="mean images", unit="movie", leave=False):
                scalings[name] = MovieScaling.of(movie, name=name)
        yield SharedMovies(folder, movies, scalings)

    def fold_task(self, recordings, shared, about, key):
        """A MovieFoldTask with ``about`` of every FoldTask; ``key(decoder)`` names the weights of a decoder."""
        mine, of_cnn = (shared.folder / f"{key(one)}.weights.safetensors" for one in (about["decoder"], "cnn"))
        return MovieFoldTask(**about | {"weights": mine}, cnn_weights=of_cnn,
                             movies={r.id: shared.movies[r.id] for r in recordings},
                             scalings={r.id: shared.scalings[r.id] for r in recordings if r.id in shared.scalings})


@dataclass(frozen=True)
class Features(Movies):
    """Features that a network on single images has learned in each fold, in place of ROI traces: for any decoder of
    traces. Those of all images of a fold are held in memory, float32.

    Parameters
    ----------
    images_each_side, bin_px, frame_scaling
        As for :class:`Movies`; a decoder sees the features of 2k + 1 images.
    of : {"cnn"}
    network : MovieTraining
    """

    of: str = "cnn"
    network: MovieTraining = field(default_factory=MovieTraining)
    training, decoders = TrainingSettings, ("gru",)

    def __post_init__(self):
        super().__post_init__()
        if self.of != "cnn":
            raise ParameterError("Features(of=...)", repr(self.of), "'cnn'", "name the network on single images")
        if not isinstance(self.network, MovieTraining):
            raise ParameterError("Features(network=...)", f"{self.network!r:.80}", "a MovieTraining", "give one")

    resolve = Traces.resolve

    def decides(self, recordings, decoder, training):
        images = Movies(self.images_each_side, self.bin_px, self.frame_scaling)
        of_network = images.decides(recordings, self.of, self.network)
        mine = {"images_each_side": self.images_each_side, **asdict(training)}  # the rest is the network's
        return of_network if decoder == self.of else [of_network, mine]

    def fold_task(self, recordings, shared, about, key):
        images = super().fold_task(recordings, shared, about | {"decoder": self.of, "training": self.network},
                                   key)
        return FeatureFoldTask(**about, images=images)


class SharedMovies(NamedTuple):
    """What folds share: a folder for weights and features; Movie that maps and MovieScaling, if any, by recording."""

    folder: Path
    movies: dict
    scalings: dict


@dataclass(frozen=True, eq=False)
class MovieFoldTask(FoldTask):
    """One decoder of images on one fold. ``cnn_weights``: file of stage 1. No ``scalings``: from the training
    frames."""

    cnn_weights: Path | None = None
    movies: dict = field(default_factory=dict)
    scalings: dict = field(default_factory=dict)

    @property
    def spec(self):
        return self.input.spec(self.decoder)

    @property
    def stage(self):
        return self.training.cnn if self.decoder == "cnn" else self.training.sequence

    @cached_property
    def frames(self):
        train = self.fold.ranges("train")
        missing = [name for name in self.movies if name not in self.scalings and name not in train]
        if missing:
            raise DataError(f"fold {self.fold.name}", f"no training frames of {', '.join(missing)}",
                            "training frames of every recording", "scale frames by the session (frame_scaling)")
        scalings = {name: self.scalings.get(name) or MovieScaling.of(movie, train[name], name)
                    for name, movie in self.movies.items()}
        return MovieFrames(self.movies, scalings, self.input.bin_px)

    def windows(self):
        """Windows for training, validation, of which the stage leaves some, and test, three WindowSets."""
        train, valid, test = super().windows()
        return train, self.trained_on(valid), test

    def trained_on(self, train):
        """Those of some windows that the stage leaves: every n-th run of consecutive ones."""
        runs = np.arange(0, len(train), self.stage.consecutive * self.stage.every_frames)
        which = (runs[:, None] + np.arange(self.stage.consecutive)).ravel()
        return train.some(which[which < len(train)])

    def predict(self, decoder, windows):
        return training.predict_samples(decoder, self._samples(windows))

    def trained(self, train, valid, checkpoint=None, report=None):
        """As of any FoldTask; two processes that need the same weights at a time make them once."""
        with contextlib.nullcontext() if self.weights is None else alone(self.weights.with_suffix(".lock")):
            return super().trained(train, valid, checkpoint, report)

    @cached_property
    def features(self):
        """Features of the image around each of the :attr:`frames`, (N, n_features), float16, memory-mapped."""
        # Rows lie in the order of the recordings, which the weights do not depend on.
        key, order = self.cnn_weights.name.partition(".")[0], hash_content(list(self.movies))[:8]
        path = self.cnn_weights.with_name(f"{key}.{order}.features.npy")
        with alone(path.with_suffix(".lock")):
            if not is_intact(path):
                if path.exists():
                    warnings.warn(f"{path} is not as it was written; it is made again", stacklevel=2)
                self._write_features(path)
        return np.load(path, mmap_mode="r")

    def _over(self, spec=None):
        return self.over(self.frames, self.frames.first_row, spec)

    def _new(self, train):
        return build(self.decoder, self.spec, train.frames.shape[1:], self.task.head, self.training,
                     lambda: self._image_decoder)

    @cached_property
    def _image_decoder(self):
        """Stage 1 of this fold."""
        stage_1 = replace(self, decoder="cnn", weights=self.cnn_weights)
        lay = self._over(stage_1.spec)  # over the frames that are there: their scaling may have taken a pass
        train, valid = (self._lay(lay, role) for role in ("train", "valid"))
        return stage_1.trained(train, stage_1.trained_on(valid))[0]

    def _fit(self, decoder, train, valid, checkpoint, report):
        return training.fit_samples(decoder, self._samples(self.trained_on(train)), self._samples(valid), self.stage,
                                    self.training.seed, checkpoint, report)

    def _samples(self, windows):
        """What the decoder is trained, validated or tested on."""
        device, single = self.training.torch_device(), self.decoder == "cnn" or isinstance(self.decoder, Network)
        shuffle = {"shuffle_seed": self.training.seed} if self.input.shuffled and not single else {}
        if single or not self.training.frozen or windows.frames is not self.frames:  # features are of these frames only
            return images_of(self.decoder, windows, device, **shuffle)
        return FeatureSequences(_of_features(windows, self.features), device, **shuffle)

    def _write_features(self, path):
        network = for_inference(self._image_decoder)
        device = next(network.parameters()).device
        batch, edge = inference_batch(self.frames, device), np.zeros((1, network.n_features))

        def chunks():
            for name, first in self.frames.first_row.items():  # first and last images lack a neighbour
                yield edge
                for rows in np.array_split(first + np.arange(1, len(self.movies[name]) - 1),
                                           -(-len(self.movies[name]) // batch)):
                    images = torch.from_numpy(self.frames[rows[:, None] + np.arange(-1, 2)])
                    yield network.features(images.to(device)).float().cpu().numpy()
                yield edge

        with loop.deterministic(), torch.inference_mode():
            write_npy(path, chunks(), (len(self.frames), network.n_features), np.float16)


@dataclass(frozen=True, eq=False)
class FeatureFoldTask(FoldTask):
    """One decoder of features on one fold. ``images``: MovieFoldTask of the network that makes them."""

    images: MovieFoldTask | None = None

    @property
    def movies(self):
        return self.images.movies

    @property
    def spec(self):
        return WindowSpec(self.input.images_each_side, self.input.images_each_side)

    def _over(self):
        lay, features = self.images._over(self.input.window), np.asarray(self.images.features, np.float32)
        return lambda ranges: _of_features(lay(ranges), features)


def build(decoder, spec, size, head, training, stage_1):
    """A fresh decoder of images of ``size`` (rows, columns). ``spec``: its window, a WindowSpec. ``training``: a
    MovieTraining. ``stage_1()``: the network on single images that a recurrent decoder starts from."""
    if isinstance(decoder, Network):
        return decoder.build(size, spec.past_frames, spec.length, head, training.seed)
    if decoder != "cnn":
        return build_image(decoder, seed=training.seed, image_decoder=stage_1(), frozen=training.frozen, head=head)
    found = build_image("cnn", training.weights, training.seed, head=head)
    for module in found.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = training.norm_momentum
    return found


def images_of(decoder, windows, device="cpu", **shuffle):
    """What a decoder of images takes in place of windows over frames: single images, or sequences of them."""
    kind = Images if decoder == "cnn" or isinstance(decoder, Network) else ImageSequences
    return kind(windows, device, **shuffle)


def _of_features(windows, features):
    """Windows over the features of images in place of windows over frames, which begin and end a frame further out."""
    spec = WindowSpec(windows.spec.past_frames - 1, windows.spec.future_frames - 1)
    return replace(windows, frames=features, starts=windows.starts + 1, spec=spec)
