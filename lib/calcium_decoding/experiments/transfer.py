"""Across animals: cells do not match, so a shared trunk sees every animal through a read-in of its own.

A trunk is trained on some animals together; a new animal gets a read-in fitted to k minutes of its labels. A linear
alignment without any gradient, and networks trained within the animal on the same k minutes and on all of its training
frames, are given next to it.
"""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from sklearn.linear_model import Ridge
from torch import nn

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.experiments import footstep_folds
from calcium_decoding.experiments.footstep_folds import Frames
from calcium_decoding.experiments.stored import Outcome
from calcium_decoding.models import hybrid, training_footsteps
from calcium_decoding.models.linear import PENALTIES
from calcium_decoding.splits.footstep_samples import Rows
from calcium_decoding.utils.files import hash_bytes, hash_content

# Frames since the class began, counted up to here, tell apart the moments of a step.
PHASES = 6
WAYS = {
    "aligned": "linear map onto the mean activity of the trained animals, fitted without gradients; trunk as it is",
    "read-in": "that map trained further, the trunk as it is",
    "all layers": "that map and the trunk trained further",
    "within": "the same network trained on this animal alone",
}


class SharedTrunk(nn.Module):
    """A linear read-in for each animal, and one network behind all of them.

    ``n_cells`` (sequence of int): of each animal. ``heads``: sequence of str. ``size``: of the trunk; a name in
    :data:`calcium_decoding.models.hybrid.SIZES`. ``width``: channels that a read-in makes of the cells of a frame.
    """

    def __init__(self, n_cells, heads, size, width=32, seed=0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.read_ins = nn.ModuleList([nn.Linear(n, width) for n in n_cells])
        self.trunk = hybrid.build("hybrid", width, heads, size, seed)

    def forward(self, x, animal=0):
        """Outputs by head of windows of one animal."""
        return self.trunk(self.read_ins[animal](x))

    def latent(self, frames, animal=0):
        """What a read-in makes of scaled frames, shape (T, width), float64."""
        with torch.inference_mode():
            return self.read_ins[animal](torch.from_numpy(frames)).double().numpy()


def condition_of(footstep):
    """Class of each frame and frames since it began, as one number below ``3 * PHASES``, shape (T,)."""
    footstep = np.asarray(footstep, np.int64)
    began = np.concatenate([[True], np.diff(footstep) != 0])
    since = np.arange(len(footstep)) - np.maximum.accumulate(np.where(began, np.arange(len(footstep)), 0))
    return footstep * PHASES + np.minimum(since, PHASES - 1)


def condition_means(values, conditions):
    """Mean of the rows of each condition, shape (3 * PHASES, width); rows of the class's mean where one is missing."""
    means = np.empty((3 * PHASES, values.shape[1]))
    for condition in range(3 * PHASES):
        rows = conditions == condition
        if not rows.any():
            rows = conditions // PHASES == condition // PHASES
        if not rows.any():
            raise DataError("animals to align", f"no frame of class {condition // PHASES}", "frames of every class",
                            "use more minutes")
        means[condition] = values[rows].mean(0)
    return means


@dataclass(frozen=True, eq=False)
class TrunkTask:
    """Train a trunk on several animals together.

    ``animals``: tuple of Frames. ``parts`` (tuple of Rows): their training and validation frames; test frames are not
    touched. ``settings``: FitSettings.
    """

    animals: tuple
    parts: tuple
    length: int
    settings: training_footsteps.FitSettings
    size: str = "april_9"
    width: int = 32

    def __post_init__(self):
        with_kinematics = {frames.kinematics is not None for frames in self.animals}
        if len(with_kinematics) != 1:
            raise ParameterError("animals of a trunk", f"{len(self.animals)}, kinematics known: {with_kinematics}",
                                 "one or more, kinematics known of all or of none", "choose other animals")

    def key(self):
        """All that determines the outcome."""
        return hash_content(["trunk", [f.digest() for f in self.animals],
                             [[hash_bytes(p.train), hash_bytes(p.valid)] for p in self.parts], self.length,
                             asdict(self.settings), self.size, self.width])

    def run(self, checkpoint=None, report=None):
        """An Outcome whose arrays are the weights of the trunk, and ``means``: mean latents by condition."""
        sets = [footstep_folds.prepare(f, p, self.length)[0] for f, p in zip(self.animals, self.parts, strict=True)]
        network = SharedTrunk([f.signal.shape[1] for f in self.animals], footstep_folds.heads_of(sets[0]["train"]),
                              self.size, self.width, self.settings.seed)
        history = training_footsteps.fit_many(network, [s["train"] for s in sets], [s["valid"] for s in sets],
                                              self.settings, checkpoint, report)
        network.cpu()
        means = [condition_means(network.latent(s["train"].frames[p.train], i), condition_of(f.footstep)[p.train])
                 for i, (s, p, f) in enumerate(zip(sets, self.parts, self.animals, strict=True))]
        weights = {f"trunk/{name}": value.numpy() for name, value in network.trunk.state_dict().items()}
        return Outcome({"history": asdict(history)}, {**weights, "means": np.mean(means, 0)})


@dataclass(frozen=True, eq=False)
class AdaptTask:
    """Bring a trained trunk to a new animal with some of its labels, and test it there.

    ``trunk``: of :class:`TrunkTask`. ``frames``: of the new animal. ``part``: ``train`` and ``valid`` are the labelled
    frames it may use. ``way``: {"aligned", "read-in", "all layers"}. ``length``, ``settings``, ``size``: as for the
    trunk.
    """

    trunk: Outcome
    frames: Frames
    part: Rows
    way: str
    length: int
    settings: training_footsteps.FitSettings
    size: str = "april_9"

    def __post_init__(self):
        if self.way not in WAYS or self.way == "within":
            raise ParameterError("way", repr(self.way), "aligned, read-in or all layers", "name one of these")

    def key(self):
        """All that determines the outcome."""
        return hash_content(["adapt", {name: hash_bytes(values) for name, values in self.trunk.arrays.items()},
                             self.frames.digest(), [hash_bytes(x) for x in (self.part.train, self.part.valid,
                                                                            self.part.test)],
                             self.way, self.length, asdict(self.settings), self.size])

    def run(self, checkpoint=None, report=None):
        """An Outcome as of :class:`calcium_decoding.experiments.footstep_folds.DecodeTask`."""
        network, windows, scaling, history = self.adapted(checkpoint, report)
        predicted = training_footsteps.Trained(network, self.settings.device).predict(windows["test"])
        return footstep_folds.scored(predicted, windows["test"], self.frames, scaling, history)

    def adapted(self, checkpoint=None, report=None):
        """The adapted :class:`SharedTrunk`, windows by role, scaling of the kinematics, losses."""
        windows, scaling = footstep_folds.prepare(self.frames, self.part, self.length)
        means = self.trunk.arrays["means"]
        network = SharedTrunk([self.frames.signal.shape[1]], footstep_folds.heads_of(windows["train"]), self.size,
                              means.shape[1], self.settings.seed)
        weights = {name.removeprefix("trunk/"): torch.from_numpy(np.array(values))
                   for name, values in self.trunk.arrays.items() if name.startswith("trunk/")}
        network.trunk.load_state_dict(weights)
        read_in = network.read_ins[0]
        align(read_in, windows["train"].frames, condition_of(self.frames.footstep), self.part, means)
        if self.way == "aligned":
            return network, windows, scaling, {}
        only = list(read_in.parameters()) if self.way == "read-in" else None
        history = training_footsteps.fit(network, windows["train"], windows["valid"], self.settings, checkpoint, report,
                                         only)
        return network, windows, scaling, asdict(history)


def align(read_in, frames, conditions, part, means):
    """Set a read-in to the ridge regression from frames to the mean latents of their conditions.

    ``read_in``: changed in place. ``frames`` (ndarray, shape (T, n_cells), float32): scaled. ``conditions`` (ndarray,
    shape (T,)): see :func:`condition_of`. ``part``: the penalty is chosen on its validation frames. ``means`` (ndarray,
    shape (3 * PHASES, width)): of the trained animals.
    """
    wanted = means[conditions]
    # As many frames as cells and fewer: strong penalties, all of one order with the number of frames.
    fits = [Ridge(1 / c).fit(frames[part.train], wanted[part.train]) for c in PENALTIES]
    errors = [((fit.predict(frames[part.valid]) - wanted[part.valid]) ** 2).mean() for fit in fits]
    best = fits[int(np.argmin(errors))]
    with torch.no_grad():
        read_in.weight.copy_(torch.from_numpy(best.coef_))
        read_in.bias.copy_(torch.from_numpy(best.intercept_))


def first_minutes(part, minutes, rate_hz, gap):
    """The part of a split whose labels end within the first minutes of its training frames.

    The last fifth of these frames, after a gap, chooses epoch and penalty; the test frames stay as they are.

    ``part``: ``train`` in order of time. ``minutes``: labelled; 0: all training frames, with the validation frames of
    the split. ``gap``: frames between training and validation. Returns Rows. Raises ParameterError: fewer minutes
    are there, or too few for a gap and a validation part.
    """
    if minutes == 0:
        return part
    n = round(60 * minutes * rate_hz)
    n_valid = n // 5
    if n > len(part.train) or n - n_valid - gap < n_valid:
        raise ParameterError("minutes", minutes, f"at most {len(part.train) / rate_hz / 60:.2f} here, and more than "
                             f"{5 * gap / 3 / rate_hz / 60:.2f}", "ask for other minutes, or use longer recordings")
    rows = part.train[:n]
    return Rows(rows[: n - n_valid - gap], rows[n - n_valid :], part.test)
