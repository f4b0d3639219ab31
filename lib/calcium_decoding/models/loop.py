"""The loop over epochs that every network goes through: keep the best one, store each, go on where it stopped."""

import contextlib
import json
import math
import os
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from threadpoolctl import threadpool_limits
from torch import nn

from calcium_decoding.errors import DataError
from calcium_decoding.utils.files import hash_content, whole_file

HEADER, CHECKSUM = "calcium_decoding", "checksum"  # what is in the header of a file


@dataclass
class History:
    """What happened in training: one value an epoch, the epoch (counted from 0) whose weights were kept, and whether
    early stopping ended it before the epochs that were planned."""

    train_loss: list[float] = field(default_factory=list)
    valid_loss: list[float] = field(default_factory=list)
    best_epoch: int = -1
    stopped_early: bool = False


def run(network, optimiser, n_epochs, train_epoch, validate, seed, checkpoint=None, identity="", report=None,
        patience=0):
    """Train a network epoch by epoch, in place, and leave it with the weights of its best validation epoch: a History.

    ``train_epoch(epoch, generator)`` goes through the training samples once, shuffled by the generator, and gives their
    mean loss; ``validate()`` that of the validation samples. ``seed``: of shuffling and dropout. ``checkpoint``: file
    to go on from if it is of this ``identity``, a hash of all that determines the training; written after each epoch,
    removed at the end. ``report``: called with the numbers of epochs done and planned. ``patience``: stop after so many
    epochs without a better validation loss; 0: never. Raises DataError: a loss became NaN or infinite.
    """
    device = next(network.parameters()).device
    report = report or (lambda done, planned: None)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)  # of dropout
        state = _State(network, optimiser, torch.Generator().manual_seed(seed), History())
        if checkpoint is not None:
            state.restore(checkpoint, identity)
        epochs = range(len(state.history.train_loss), n_epochs)
        report(epochs.start, epochs.stop)
        for epoch in epochs:
            losses = state.history.valid_loss
            if patience and losses and epoch - losses.index(min(losses)) > patience:  # an equal loss is no better one
                state.history.stopped_early = True
                break
            state.history.train_loss.append(train_epoch(epoch, state.generator))
            loss = validate()
            if not (math.isfinite(loss) and math.isfinite(state.history.train_loss[-1])):
                raise DataError(f"{getattr(network, 'name', type(network).__name__)}, epoch {epoch}",
                                "a loss that is NaN or infinite", "a finite loss",
                                "lower the learning rate, and check that the signal is scaled")
            state.history.valid_loss.append(loss)
            if loss <= min(state.history.valid_loss):
                state.history.best_epoch = epoch
                state.best = {name: value.detach().clone() for name, value in network.state_dict().items()}
            if checkpoint is not None:
                state.save(checkpoint, identity)
            report(epoch + 1, epochs.stop)
    network.load_state_dict(state.best)
    if checkpoint is not None:
        Path(checkpoint).unlink(missing_ok=True)
    return state.history


def write_tensors(path, tensors, **metadata):
    """Write tensors as safetensors, whole or not at all, with some strings in the header."""
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}  # some may be shared
    with whole_file(path) as temporary:
        header = metadata | {CHECKSUM: _checksum(copies, metadata)}  # one string, as several would stand in any order
        save_file(copies, temporary, metadata={HEADER: json.dumps(header)})


def read_tensors(path):
    """Tensors by name, and the strings in the header, of a file of :func:`write_tensors`. ValueError: other tensors or
    strings than were written."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        metadata = json.loads((file.metadata() or {}).get(HEADER, "{}"))
    if metadata.pop(CHECKSUM, None) != _checksum(tensors, metadata):
        raise ValueError("tensors that are not those that were written")
    return tensors, metadata


def _checksum(tensors, metadata):
    parts = [[name, str(value.dtype), [*value.shape], f"{zlib.crc32(value.reshape(-1).view(torch.uint8).numpy()):08x}"]
             for name, value in sorted(tensors.items())]
    return hash_content([parts, metadata])


def save_weights(path, network, history):
    """Write a trained network with the History of its training."""
    write_tensors(path, network.state_dict(), history=json.dumps(asdict(history)))


def load_weights(path, network):
    """Put weights of :func:`save_weights` into a network: a History; None if the file is not there or damaged."""
    try:
        tensors, metadata = read_tensors(path)
        network.load_state_dict(tensors)
        return History(**json.loads(metadata["history"]))
    except (SafetensorError, OSError, TypeError, KeyError, ValueError, RuntimeError):
        return None


@contextlib.contextmanager
def deterministic():
    """One thread and deterministic algorithms: sums in the same order each time, so a seed repeats bit by bit."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS needs it to repeat; read at first use
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    torch.set_num_threads(1)
    blas = threadpool_limits(1, user_api="blas")  # the fused recurrent unit calls it
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # guards against reading before writing; costs 10 %
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(strict)
        torch.utils.deterministic.fill_uninitialized_memory = fill
        blas.restore_original_limits()
        torch.set_num_threads(threads)


@dataclass
class _State:
    """Everything training needs to go on after an epoch."""

    network: nn.Module
    optimiser: torch.optim.Optimizer
    generator: torch.Generator
    history: History
    best: dict = field(default_factory=dict)

    @property
    def device(self):
        return next(self.network.parameters()).device

    def save(self, path, identity):
        tensors = {f"network/{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"best/{k}": v for k, v in self.best.items()}
        tensors |= {"shuffle": self.generator.get_state(), "dropout/cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            tensors["dropout/cuda"] = torch.cuda.get_rng_state(self.device)
        for index, slots in self.optimiser.state_dict()["state"].items():
            tensors |= {f"adam/{index}/{slot}": value for slot, value in slots.items()}
        write_tensors(path, tensors, identity=identity, history=json.dumps(asdict(self.history)))

    def restore(self, path, identity):
        """Go on from ``path`` if it is there and belongs to this very training; else start afresh."""
        if not Path(path).exists():
            return
        try:
            tensors, metadata = read_tensors(path)
            if metadata["identity"] != identity:
                return
            self.history = History(**json.loads(metadata["history"]))
        except (SafetensorError, OSError, TypeError, KeyError, ValueError):
            return  # damaged
        self.network.load_state_dict({k[8:]: v for k, v in tensors.items() if k.startswith("network/")})
        self.best = {k[5:]: v.to(self.device) for k, v in tensors.items() if k.startswith("best/")}
        self.generator.set_state(tensors["shuffle"])
        torch.set_rng_state(tensors["dropout/cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["dropout/cuda"], self.device)
        slots, parameters = {}, [p for group in self.optimiser.param_groups for p in group["params"]]
        for name, value in tensors.items():
            if name.startswith("adam/"):
                _, index, slot = name.split("/")
                of = parameters[int(index)]
                # In the memory layout of the weight: a fused step walks through both as they lie.
                laid = torch.empty_like(of).copy_(value) if value.shape == of.shape else value
                slots.setdefault(int(index), {})[slot] = laid
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": slots})
