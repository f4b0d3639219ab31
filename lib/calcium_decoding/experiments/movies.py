"""Movies as an input, and the features that a network has learned from them.

A recurrent decoder of images starts from the weights of the network on single images (``"cnn"``) of the same fold, as
in Ajioka et al. 2024 (DOI 10.1371/journal.pcbi.1011074); trained weights lie beside the folds.
"""

import contextlib
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from calcium_decoding.data.movies import mappable
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.experiments.folds import FoldTask
from calcium_decoding.models import IMAGE_MODELS, build_image, loop, registry
from calcium_decoding.models.decoders import Network, decoder_of, name_of
from calcium_decoding.models.images import training as training_images
from calcium_decoding.models.images.cnn_rnn import for_inference
from calcium_decoding.models.images.training import FeatureSequences, Images, ImageSequences, Stage
from calcium_decoding.models.training import DEVICES, TrainingSettings, check_settings, device_of
from calcium_decoding.preprocessing import Pipeline
from calcium_decoding.preprocessing.movie_frames import FrameScaling, MovieFrames, MovieScaling, image_window
from calcium_decoding.preprocessing.transforms import whole_number
from calcium_decoding.preprocessing.windows import WindowSet, WindowSpec
from calcium_decoding.utils.files import alone, hash_content, whole_file
from calcium_decoding.utils.progress import progress

# Within a recording, its mean image and deviation may be taken from training frames only.
WITHIN = ("blocked", "random_windows")


@dataclass(frozen=True)
class MovieTraining:
    """How decoders of images are trained; the defaults are the study's (Ajioka et al. 2024 and its code).

    Parameters
    ----------
    weights : str
        Initial weights of the network on images: ``"imagenet"``, ``"lite0-offline"`` or ``"none"``; see
        :data:`calcium_decoding.models.images.cnn.WEIGHTS`.
    frozen : bool
        Recurrent decoders leave the network on images as stage 1 made it; its features are computed once and kept.
        Otherwise it is trained further, as published.
    norm_momentum : float
        Weight of a batch in the running statistics of batch normalisation. With the study's 0.01 they follow within
        some hundred steps; a training of fewer steps needs more.
    cnn, sequence : Stage
        Training of stage 1, the network on single images, and of stage 2 and any other decoder.
    seed : int
    device : str
        ``"cpu"``, ``"cuda"``, or ``"auto"``: CUDA where there is one.
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

    def torch_device(self):
        """The device to train on."""
        return device_of(self.device)

    def stage(self, decoder):
        """How a decoder is trained, a Stage."""
        return self.cnn if decoder == "cnn" else self.sequence


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
        What mean image and deviation are taken from; see
        :class:`calcium_decoding.preprocessing.movie_frames.FrameScaling`. ``"auto"``: the session, or its training
        frames where the split lies within recordings.
    """

    images_each_side: int = 5
    bin_px: int = 1
    frame_scaling: str = "auto"
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

    def resolve(self, decoder, head):
        """A decoder as it is built; ParameterError unless it decodes images."""
        decoder = decoder_of(decoder)
        if isinstance(decoder, str) and decoder in IMAGE_MODELS:
            return decoder
        own = registry.own(decoder) if isinstance(decoder, str) else registry.resolve(decoder)
        if not isinstance(own, Network):
            raise ParameterError("model", f"'{name_of(decoder)}'", f"one of {', '.join(IMAGE_MODELS)}, or a Network",
                                 "name one of these; other decoders take Features(of='cnn')")
        return own

    def decides(self, recordings, decoder, training):
        """What, besides fold, task and decoder, determines a result: anything that JSON can hold."""
        settings = asdict(self) | asdict(replace(training, device="cpu"))
        if decoder == "cnn":
            for name in ("images_each_side", "frozen", "sequence"):
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
    """Features that a network on single images has learned, in place of ROI traces: for any decoder of traces.

    In each fold the network is trained on the same task and training frames; the features of all images of the fold are
    held in memory, float32.

    Parameters
    ----------
    images_each_side, bin_px, frame_scaling
        As for :class:`Movies`; a decoder sees the features of 2k + 1 images.
    of : {"cnn"}
        The network.
    network : MovieTraining
        Its training.
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

    def resolve(self, decoder, head):
        """A decoder as it is built; ParameterError if it is unknown, or cannot give what a head asks for."""
        return registry.require(decoder, head)

    def decides(self, recordings, decoder, training):
        """What, besides fold, task and decoder, determines a result: anything that JSON can hold."""
        images = Movies(self.images_each_side, self.bin_px, self.frame_scaling)
        of_network = images.decides(recordings, self.of, self.network)
        mine = {"images_each_side": self.images_each_side, **asdict(training)}  # the rest is the network's
        return of_network if decoder == self.of else [of_network, mine]

    def fold_task(self, recordings, shared, about, key):
        """A FeatureFoldTask with ``about`` of every FoldTask."""
        images = super().fold_task(recordings, shared, about | {"decoder": self.of, "training": self.network},
                                   key)
        return FeatureFoldTask(**about, images=images)


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
class MovieFoldTask(FoldTask):
    """One decoder of images on one fold.

    ``cnn_weights``: file in which the weights of stage 1 are kept. ``movies``, ``scalings``: Movie and MovieScaling by
    recording; no scalings: from the training frames.
    """

    cnn_weights: Path | None = None
    movies: dict = field(default_factory=dict)
    scalings: dict = field(default_factory=dict)

    @property
    def spec(self):
        """The window, a WindowSpec."""
        return self.input.spec(self.decoder)

    @property
    def stage(self):
        """How the decoder is trained, a Stage."""
        return self.training.stage(self.decoder)

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
        """What a decoder gives for windows; see :func:`calcium_decoding.models.images.training.predict`."""
        return training_images.predict(decoder, self._samples(windows))

    def trained(self, train, valid, checkpoint=None, report=None):
        """As of any FoldTask; two processes that need the same weights at a time make them once."""
        with contextlib.nullcontext() if self.weights is None else alone(self.weights.with_suffix(".lock")):
            return super().trained(train, valid, checkpoint, report)

    @cached_property
    def features(self):
        """Features of the image around each frame of :attr:`frames`, shape (N, n_features), float16, memory-mapped.

        Rows of the first and last frame of a recording, which have no image, are 0.
        """
        # Rows lie in the order of the recordings, which the weights do not depend on.
        key, order = self.cnn_weights.name.partition(".")[0], hash_content(list(self.movies))[:8]
        path = self.cnn_weights.with_name(f"{key}.{order}.features.npy")
        with alone(path.with_suffix(".lock")):
            if not path.exists():
                self._write_features(path)
        return np.load(path, mmap_mode="r")

    def over(self, spec):
        """A function that lays windows over ranges of frames, dict of str to list of (int, int)."""
        return lambda ranges: WindowSet.over(self.frames, [(name, self.frames.first_row[name], self.labels[name], some)
                                                           for name, some in ranges.items()], spec)

    def _over(self):
        return self.over(self.spec)

    def _new(self, train):
        settings, head = self.training, self.task.head
        if isinstance(self.decoder, Network):
            return self.decoder.build(train.frames.shape[1:], self.spec.past_frames, self.spec.length, head,
                                      settings.seed)
        if self.decoder != "cnn":
            return build_image(self.decoder, seed=settings.seed, image_decoder=self._image_decoder,
                               frozen=settings.frozen, head=head)
        decoder = build_image("cnn", settings.weights, settings.seed, head=head)
        for module in decoder.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = settings.norm_momentum
        return decoder

    @cached_property
    def _image_decoder(self):
        """Stage 1 of this fold."""
        stage_1 = replace(self, decoder="cnn", weights=self.cnn_weights)
        lay = self.over(stage_1.spec)  # over the frames that are there: their scaling may have taken a pass
        train, valid = (self._lay(lay, role) for role in ("train", "valid"))
        return stage_1.trained(train, stage_1.trained_on(valid))[0]

    def _fit(self, decoder, train, valid, checkpoint, report):
        return training_images.fit(decoder, self._samples(self.trained_on(train)), self._samples(valid), self.stage,
                                   self.training.seed, self.training.torch_device(), checkpoint, report=report)

    def _samples(self, windows):
        """What the decoder is trained, validated or tested on."""
        device = self.training.torch_device()
        if self.decoder == "cnn" or isinstance(self.decoder, Network):
            return Images(windows, device)
        if not self.training.frozen or windows.frames is not self.frames:  # features were made of these frames alone
            return ImageSequences(windows, device)
        return FeatureSequences(_of_features(windows, self.features), device)

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


@dataclass(frozen=True, eq=False)
class FeatureFoldTask(FoldTask):
    """One decoder of features on one fold. ``images``: MovieFoldTask of the network that makes them."""

    images: MovieFoldTask | None = None

    @property
    def movies(self):
        """Movie by recording."""
        return self.images.movies

    @property
    def spec(self):
        """The window in images, a WindowSpec."""
        return WindowSpec(self.input.images_each_side, self.input.images_each_side)

    def _over(self):
        lay, features = self.images.over(self.input.window), np.asarray(self.images.features, np.float32)
        return lambda ranges: _of_features(lay(ranges), features)


def _of_features(windows, features):
    """Windows over the features of images in place of windows over frames, which begin and end a frame further out."""
    spec = WindowSpec(windows.spec.past_frames - 1, windows.spec.future_frames - 1)
    return replace(windows, frames=features, starts=windows.starts + 1, spec=spec)
