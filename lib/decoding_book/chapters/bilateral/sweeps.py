"""Robustness: the same decoders with more noise, fewer or more cells, less training."""

from dataclasses import replace

import numpy as np

from calcium_decoding.errors import ParameterError
from calcium_decoding.splits.footstep_samples import Rows


def with_noise(frames, times, seed):
    """Frames with white noise added to every cell.

    ``frames``: Frames. ``times``: SD of the added noise over the cell's own SD (signal and noise together); 0 leaves
    the frames as they are. Returns Frames.
    """
    if times < 0:
        raise ParameterError("times", times, "0 or more", "change the amount of noise")
    if times == 0:
        return frames
    noise = np.random.default_rng(seed).standard_normal(frames.signal.shape, np.float32)
    return replace(frames, signal=frames.signal + np.float32(times) * frames.signal.std(0) * noise)


def with_cells(frames, n, seed):
    """Frames with ``n`` of the cells, drawn without replacement; more cells contain the fewer of the same seed.

    Where ``n`` is more than there are, the rest are cells that know nothing: copies of recorded ones, each moved in
    time around the end by an offset of its own, a tenth of the recording at least.

    ``frames``: Frames. Returns Frames.
    """
    n_frames, n_cells = frames.signal.shape
    if n < 1:
        raise ParameterError("cells", n, "1 or more", "keep one cell at least")
    rng = np.random.default_rng(seed)
    order = rng.permutation(n_cells)
    if n <= n_cells:
        return replace(frames, signal=np.ascontiguousarray(frames.signal[:, np.sort(order[:n])]))
    copied = order[np.arange(n - n_cells) % n_cells]
    offsets = rng.integers(n_frames // 10, n_frames - n_frames // 10, len(copied))
    rows = (np.arange(n_frames)[:, None] + offsets) % n_frames
    return replace(frames, signal=np.concatenate([frames.signal, frames.signal[rows, copied]], axis=1))


def with_training(part, share):
    """A split with the first share of its training frames.

    ``part``: ``train`` in order of time. ``share``: above 0, at most 1.
    """
    if not 0 < share <= 1:
        raise ParameterError("share", share, "above 0 and at most 1", "change the share of training frames")
    return Rows(part.train[: max(2, round(share * len(part.train)))], part.valid, part.test)
