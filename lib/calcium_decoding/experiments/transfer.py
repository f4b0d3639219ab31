"""Across animals: cells do not match, so a shared trunk sees every animal through a read-in of its own. Beside it: a
linear alignment without gradients, and networks trained within the animal."""

from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from sklearn.linear_model import Ridge
from torch import nn

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import convergence
from calcium_decoding.experiments.inputs import TogetherFoldTask
from calcium_decoding.experiments.stored import Outcome
from calcium_decoding.models import hybrid, loop, training_footsteps
from calcium_decoding.models.decoders import ManyHeads
from calcium_decoding.models.linear import PENALTIES
from calcium_decoding.splits.core import windows_of
from calcium_decoding.utils.files import hash_bytes, hash_content

# Frames since the class began, counted up to here, tell apart the moments of a step.
PHASES = 6
MAIN = "footstep"  # the head
WAYS = {
    "aligned": "linear map onto the mean activity of the trained animals, fitted without gradients; trunk as it is",
    "read-in": "that map trained further, the trunk as it is",
    "all layers": "that map and the trunk trained further",
    "within": "the same network trained on this animal alone",
}


class SharedTrunk(nn.Module):
    """A linear read-in of ``width`` channels for each animal, with so many cells each, and one network behind all."""

    def __init__(self, n_cells, head, settings, width=32):
        super().__init__()
        self.head = head
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.read_ins = nn.ModuleList([nn.Linear(n, width) for n in n_cells])
        self.trunk = hybrid.build("hybrid", width, head.size, settings.size, settings.seed)

    def forward(self, x, animal=0):
        return self.trunk(self.read_ins[animal](x))


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
    """Train a trunk on several animals (dict of str, key of the result, to TogetherFoldTask) together."""

    animals: dict
    width: int = 32

    def key(self):
        return hash_content(["trunk", list(self.animals), self.width])

    def run(self, checkpoint=None, report=None):
        """An Outcome whose arrays are the weights of the trunk, and ``means``: mean latents by condition."""
        jobs = list(self.animals.values())
        sets, settings = [job.windows() for job in jobs], jobs[0].training
        network = SharedTrunk([train.n_roi for train, _, _ in sets], jobs[0].task.head, settings, self.width)
        history = training_footsteps.fit_many(network, [train for train, _, _ in sets], [valid for _, valid, _ in sets],
                                              settings, checkpoint, report)
        network.cpu()
        means = []
        for i, (job, (train, _, _)) in enumerate(zip(jobs, sets, strict=True)):
            rows = _last_rows(train)
            with torch.inference_mode():
                latent = network.read_ins[i](torch.from_numpy(train.frames[rows])).double().numpy()
            means.append(condition_means(latent, condition_of(job.frame_labels(MAIN))[rows]))
        weights = {f"trunk/{name}": value.numpy() for name, value in network.trunk.state_dict().items()}
        return Outcome({"history": asdict(history)}, {**weights, "means": np.mean(means, 0)})


@dataclass(frozen=True, eq=False)
class AdaptFoldTask(TogetherFoldTask):
    """Bring a trunk (of :class:`TrunkTask`) to a new animal by one of :data:`WAYS`, with the frames of its fold.
    Its history is the trunk's where nothing else was trained, or where that has not converged: nor has the fold."""

    trunk: Outcome = None
    way: str = "aligned"

    def __post_init__(self):
        if self.way not in WAYS or self.way == "within":
            raise ParameterError("way", repr(self.way), "aligned, read-in or all layers", "name one of these")

    def _new(self, train):
        network = SharedTrunk([train.n_roi], self.task.head, self.training, self.trunk.arrays["means"].shape[1])
        network.trunk.load_state_dict({name.removeprefix("trunk/"): torch.from_numpy(np.array(values))
                                       for name, values in self.trunk.arrays.items() if name.startswith("trunk/")})
        return ManyHeads(network, self.task.head, self.way)

    def _fit(self, decoder, train, valid, checkpoint, report):
        (read_in,) = decoder.module.read_ins
        align(read_in, train.frames, condition_of(self.frame_labels(MAIN)), _last_rows(train), _last_rows(valid),
              self.trunk.arrays["means"])
        trunk = loop.History(**self.trunk.facts["history"])
        if self.way == "aligned":
            decoder.prepare(train)
            return trunk
        only = list(read_in.parameters()) if self.way == "read-in" else None
        history = training_footsteps.fit(decoder, train, valid, self.training, checkpoint, report, only)
        return trunk if convergence.reasons([convergence.learning(trunk)]) else history


@dataclass(frozen=True, eq=False)
class AdaptTask:
    """An AdaptFoldTask (``job``) as a stored job. ``name``: key of the result of the hybrid on its fold."""

    name: str
    job: AdaptFoldTask

    def key(self):
        trunk = {name: hash_bytes(values) for name, values in self.job.trunk.arrays.items()}
        return hash_content(["adapt", trunk, self.name, self.job.way])

    def run(self, checkpoint=None, report=None):
        return self.job.run(checkpoint, report).outcome()


def _last_rows(windows):
    return windows.starts + windows.spec.length - 1


def align(read_in, frames, conditions, train, valid, means):
    """Set a read-in to the ridge regression from scaled frames, (T, n_cells), to the mean latents of their conditions.
    ``train``, ``valid``: rows; the latter choose the penalty."""
    wanted = means[conditions]
    # As many frames as cells and fewer: strong penalties, all of one order with the number of frames.
    fits = [Ridge(1 / c).fit(frames[train], wanted[train]) for c in PENALTIES]
    errors = [((fit.predict(frames[valid]) - wanted[valid]) ** 2).mean() for fit in fits]
    best = fits[int(np.argmin(errors))]
    with torch.no_grad():
        read_in.weight.copy_(torch.from_numpy(best.coef_))
        read_in.bias.copy_(torch.from_numpy(best.intercept_))


def first_minutes(fold, minutes, rate_hz, length, gap):
    """A fold whose labels end within the first minutes (0: all) of its training frames; the last fifth of these, after
    a ``gap``, chooses epoch and penalty. ``length``: frames of a window. ParameterError: fewer minutes are there, or
    too few for a gap and a validation part."""
    if minutes == 0:
        return fold
    n, there = round(60 * minutes * rate_hz), sum(max(0, len(s) - length + 1) for s in fold.train)
    n_valid = n // 5
    if n > there or n - n_valid - gap < n_valid:
        raise ParameterError("minutes", minutes, f"at most {there / rate_hz / 60:.2f} here, and more than "
                             f"{5 * gap / 3 / rate_hz / 60:.2f}", "ask for other minutes, or use longer recordings")
    return replace(fold, train=windows_of(fold.train, length, 0, n - n_valid - gap),
                   valid=windows_of(fold.train, length, n - n_valid, n))
