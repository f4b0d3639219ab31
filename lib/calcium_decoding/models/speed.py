"""Decoders of speed: the network of the study, least squares on a frame, ridge regression on the window."""

import numpy as np
import torch
from scipy.linalg import solve
from sklearn.linear_model import LinearRegression
from torch import nn

from calcium_decoding.errors import DataError
from calcium_decoding.models.linear import FrameDecoder
from calcium_decoding.models.recurrent import initialise, initialise_dense


class SpeedDecoder(nn.Module):
    """Two recurrent layers and three dense ones, each dense one behind batch normalisation and dropout.

    GRU of 64 units, every step; GRU of 32, last step; then normalisation, dropout 0.3, 16 ReLU units; normalisation,
    dropout 0.2, 8 ReLU units; normalisation, dropout 0.1, one linear unit (Ajioka et al. 2024, speed decoding).

    Parameters
    ----------
    n_roi : int
        Number of input columns.
    scaled : bool
        Ours, not published: the network's output is in units of the SD of the training speed about its mean, set by
        :meth:`prepare`, so a short training need not first learn the unit of the speed.

    Notes
    -----
    Batch normalisation as in Keras: epsilon 1e-3, and running means that keep 0.99 of themselves a step, which PyTorch
    calls momentum 0.01. The running variance is PyTorch's, with n - 1 in the divisor, Keras' with n: at batch 256 they
    differ by 0.4 %. Gates and initial weights as in :class:`~calcium_decoding.models.recurrent.RecurrentDecoder`.
    """

    task = "speed"

    def __init__(self, n_roi, scaled=False):
        super().__init__()
        self.scaled = scaled
        self.first = nn.GRU(n_roi, 64, batch_first=True)
        self.second = nn.GRU(64, 32, batch_first=True)
        self.dense = nn.Sequential(
            _BatchNorm(32), nn.Dropout(0.3), nn.Linear(32, 16), nn.ReLU(),
            _BatchNorm(16), nn.Dropout(0.2), nn.Linear(16, 8), nn.ReLU(),
            _BatchNorm(8), nn.Dropout(0.1), nn.Linear(8, 1))
        # Buffers travel with the weights.
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("sd", torch.ones(()))
        initialise(self.first)
        initialise(self.second)
        for layer in self.dense:
            if isinstance(layer, nn.Linear):
                initialise_dense(layer)

    def extra_repr(self):
        """What tells the two kinds apart where a network is named by its text."""
        return f"scaled={self.scaled}"

    def prepare(self, windows):
        """Take mean and SD of the training speed, if ``scaled``; to be called once before training.

        Parameters
        ----------
        windows : WindowSet
            Training windows, labels in the unit of the output. Speed that never changes is not scaled.

        Raises
        ------
        DataError
            A label is NaN or infinite.
        """
        speed = _finite_speed(windows)
        if self.scaled:
            self.mean.fill_(speed.mean())
            self.sd.fill_(speed.std() or 1.0)

    def forward(self, windows):
        """Speed, shape (batch,), of windows, shape (batch, length, n_roi), float32."""
        every_step, _ = self.first(windows)
        _, last = self.second(every_step)
        return self.mean + self.sd * self.dense(last[-1]).squeeze(-1)


class _BatchNorm(nn.BatchNorm1d):
    """Batch normalisation with Keras' settings that also takes a batch of one window, the rest of an epoch."""

    def __init__(self, n):
        super().__init__(n, eps=1e-3, momentum=0.01)

    def forward(self, x):
        if self.training and len(x) == 1:  # one window has no variance: use the running one and leave it alone
            return nn.functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias,
                                            training=False, eps=self.eps)
        return super().forward(x)


class LinearSpeed(FrameDecoder):
    """Least squares on the labelled frame (Ajioka et al. 2024, the baseline of speed decoding).

    Parameters
    ----------
    past_frames : int
        Frames of the window before the labelled one: says where the labelled frame is.
    """

    task = "speed"

    def __init__(self, past_frames):
        super().__init__(past_frames)
        self.estimator = LinearRegression()

    def fit(self, windows):
        """Fit on all windows of a :class:`~calcium_decoding.windows.WindowSet`.

        Raises
        ------
        DataError
            A speed is NaN or infinite.
        """
        self.estimator.fit(self.features(windows).astype(np.float64), _finite_speed(windows))

    def _of_features(self, features):
        return self.estimator.predict(features.astype(np.float64))


class RidgeSpeed(FrameDecoder):
    """Ridge regression on a thinned window, its penalty chosen within the training windows.

    Training windows are cut into five contiguous blocks in the order of their recordings; the penalty is the one of
    :attr:`PENALTIES` with the least squared error on the blocks left out. Leaving out single frames would not do:
    the neighbours of a frame are nearly its copies, and no penalty would be the best.

    Parameters
    ----------
    past_frames, every_frames : int
        As for :class:`LogisticDecoder`.

    Attributes
    ----------
    penalty : float
        The chosen one, in units of the number of windows times the mean variance of a feature.
    weights : ndarray, shape (n_features,), float64
    intercept : float
        In the unit of the speed; not penalised.

    Notes
    -----
    Everything needed is in the sums of products of each block, so memory holds a few thousand rows of features at a
    time. The same as ``sklearn.linear_model.Ridge`` with the penalty in its unit.
    """

    task = "speed"
    PENALTIES = tuple(10.0 ** power for power in range(-6, 3))
    BLOCKS = 5

    def fit(self, windows):
        """Fit on all windows of a :class:`~calcium_decoding.windows.WindowSet`.

        Raises
        ------
        DataError
            A speed is NaN or infinite, fewer windows than blocks, or a signal that never changes.
        """
        speed = _finite_speed(windows)
        if len(speed) < self.BLOCKS:
            raise DataError("training windows", str(len(speed)), f"{self.BLOCKS} or more", "train on longer stretches")
        blocks = [self._products(windows, speed, rows) for rows in np.array_split(np.arange(len(speed)), self.BLOCKS)]
        total = sum(blocks)
        errors = [sum(_squared_error(left_out, _ridge(total - left_out, penalty)) for left_out in blocks)
                  for penalty in self.PENALTIES]
        self.penalty = self.PENALTIES[int(np.argmin(errors))]
        *weights, self.intercept = _ridge(total, self.penalty)
        self.weights = np.array(weights)

    def _of_features(self, features):
        return features @ self.weights + self.intercept

    def _products(self, windows, speed, rows):
        """Sums over windows of the products of all columns: features, 1, speed."""
        total = 0.0
        for piece in self.pieces(rows):
            columns = np.column_stack([self.features(windows, piece), np.ones(len(piece)), speed[piece]])
            total = total + columns.T @ columns
        return total


def _ridge(products, penalty):
    """Weights and, last, the intercept of ridge regression from the sums of products of features, 1 and speed."""
    left, right = products[:-1, :-1].copy(), products[:-1, -1]
    n, sums = left[-1, -1], left[-1, :-1]
    features = np.arange(len(left) - 1)
    squares = left[features, features] / n
    variance = np.mean(squares - (sums / n) ** 2)
    if not variance > 1e-12 * np.mean(squares):  # nothing but rounding
        raise DataError("training windows", "a signal that never changes", "a signal", "leave these recordings out")
    left[features, features] += penalty * n * variance
    return solve(left, right, assume_a="pos")


def _squared_error(products, weights):
    """Sum of squared errors of weights on the windows whose sums of products are given."""
    ends = np.append(weights, -1.0)
    return ends @ products @ ends


def _finite_speed(windows):
    speed = np.asarray(windows.labels, dtype=np.float64)
    if not np.isfinite(speed).all():
        raise DataError("training speed", f"{np.sum(~np.isfinite(speed))} values NaN or infinite",
                        "a number for every window", "leave these frames out")
    return speed
