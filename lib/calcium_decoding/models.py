"""Every decoder behind one signature, built by name.

A decoder takes windows of shape ``(batch, length, n_roi)``, time first, and gives one logit a window. Networks are
``torch.nn.Module``; linear baselines are scikit-learn estimators behind the same two calls in
:mod:`calcium_decoding.training`.
"""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer
from torch import nn

from calcium_decoding.errors import DataError, ParameterError


class RecurrentDecoder(nn.Module):
    """One recurrent layer read at its last step, then one linear unit (Ajioka et al. 2024, ROI decoders).

    Parameters
    ----------
    n_roi : int
        Number of input columns.
    hidden : int
        Units of the recurrent layer; 32 in the study.

    Notes
    -----
    Initial weights as in the study's framework: Glorot uniform from the input, orthogonal recurrent, zero biases.
    The gate is PyTorch's (logistic sigmoid, two bias vectors); the study's had a hard sigmoid and one bias.
    """

    def __init__(self, n_roi, hidden=32):
        super().__init__()
        self.recurrent = nn.GRU(n_roi, hidden, batch_first=True)
        self.readout = nn.Linear(hidden, 1)
        for gate in range(3):
            rows = slice(gate * hidden, (gate + 1) * hidden)
            nn.init.xavier_uniform_(self.recurrent.weight_ih_l0.data[rows])
            nn.init.orthogonal_(self.recurrent.weight_hh_l0.data[rows])
        for bias in (self.recurrent.bias_ih_l0, self.recurrent.bias_hh_l0, self.readout.bias):
            nn.init.zeros_(bias)
        nn.init.xavier_uniform_(self.readout.weight)

    def forward(self, windows):
        """Logits, shape (batch,), of windows, shape (batch, length, n_roi), float32."""
        _, last = self.recurrent(windows)
        return self.readout(last[-1]).squeeze(-1)


class LogisticDecoder:
    """Logistic regression on one frame or on a thinned window.

    Parameters
    ----------
    past_frames : int
        Frames of the window before the labelled one: says where the labelled frame is.
    every_frames : int or None
        None: the labelled frame alone, as in the study. Otherwise each such frame of the window, counted from the
        labelled one, side by side; neighbouring frames of a slow signal are nearly equal, so thinning loses little.
    """

    def __init__(self, past_frames, every_frames=None):
        self.past_frames, self.every_frames = past_frames, every_frames
        self.estimator = LogisticRegression(C=1.0, solver="lbfgs", max_iter=1000)

    def features(self, windows):
        """Flattened input, shape (n, n_features), float32, of a :class:`~calcium_decoding.windows.WindowSet`."""
        length = windows.spec.length
        if self.every_frames is None:
            offsets = np.array([self.past_frames])
        else:
            offsets = np.arange(self.past_frames % self.every_frames, length, self.every_frames)
        # Column by column of offsets: never the whole window in memory.
        return np.concatenate([windows.frames[windows.starts + offset] for offset in offsets], axis=1)

    def fit(self, windows):
        """Fit on all windows of a :class:`~calcium_decoding.windows.WindowSet`."""
        self.estimator.fit(self.features(windows), windows.labels)

    def logits(self, windows):
        """Logits, shape (n,), float64."""
        return self.estimator.decision_function(self.features(windows)).astype(np.float64)


class TimeDecoder:
    """Logistic regression on the time since the recording began, and on nothing else: the control beside a score.

    Where brain and behaviour drift together within a session, a decoder can score by reading the clock. What this one
    scores takes no brain. The time is in frames: knots lie at quantiles of the training times, so its unit cancels.
    Beyond the training times the nearest one counts. Of a session with parts it sees the time within the part.

    Parameters
    ----------
    n_knots : int
        Of cubic splines: how fast the drift may turn.
    """

    def __init__(self, n_knots=5):
        self.n_knots = n_knots

    def features(self, windows):
        """Centre frame of each window, shape (n, 1), float64."""
        return windows.centre[:, None].astype(np.float64)

    def fit(self, windows):
        """Fit on all windows of a :class:`~calcium_decoding.windows.WindowSet`."""
        times = self.features(windows)
        knots = np.unique(np.quantile(times, np.linspace(0, 1, self.n_knots)))[:, None]
        if len(knots) < 2:
            raise DataError("training windows", "all at one time of their recordings", "windows at different times",
                            "train on longer stretches")
        splines = SplineTransformer(degree=3, knots=knots, extrapolation="constant")
        self.estimator = make_pipeline(splines, LogisticRegression(C=1.0, solver="lbfgs", max_iter=1000))
        self.estimator.fit(times, windows.labels)

    def logits(self, windows):
        """Logits, shape (n,), float64."""
        return self.estimator.decision_function(self.features(windows)).astype(np.float64)


MODELS = {
    "gru": "gated recurrent unit of 32 units on the window",
    "logistic": "logistic regression on the labelled frame",
    "logistic_window": "logistic regression on every 5th frame of the window",
    "time_only": "logistic regression on the time since the recording began, blind to the signal",
}


def build(name, n_roi, past_frames, seed):
    """A fresh decoder by name.

    Parameters
    ----------
    name : str
        A name in :data:`MODELS`.
    n_roi : int
    past_frames : int
        Frames of the window before the labelled one.
    seed : int
        Seed of the initial weights.

    Returns
    -------
    RecurrentDecoder, LogisticDecoder or TimeDecoder

    Raises
    ------
    ParameterError
        Unknown name.
    """
    if name == "gru":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return RecurrentDecoder(n_roi)
    if name == "logistic":
        return LogisticDecoder(past_frames)
    if name == "logistic_window":
        return LogisticDecoder(past_frames, every_frames=5)
    if name == "time_only":
        return TimeDecoder()
    raise ParameterError("model", repr(name), f"one of {', '.join(MODELS)}", "name one of these")
