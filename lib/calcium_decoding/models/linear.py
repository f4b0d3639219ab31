"""Linear decoders of running: from one frame, from a thinned window, from the time alone."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from calcium_decoding.errors import DataError

ROWS = 8192  # windows whose features are in memory at a time, where that is possible


class FrameDecoder:
    """What linear decoders of the signal share: which frames of the window they see.

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

    def features(self, windows, which=slice(None)):
        """Flattened input, shape (n, n_features), float32, of (some) windows of a WindowSet."""
        if self.every_frames is None:
            offsets = np.array([self.past_frames])
        else:
            offsets = np.arange(self.past_frames % self.every_frames, windows.spec.length, self.every_frames)
        rows = windows.starts[which][:, None] + offsets
        return np.ascontiguousarray(windows.frames[rows], np.float32).reshape(len(rows), -1)

    def pieces(self, rows):
        """Rows in pieces that need little memory as features."""
        return np.array_split(rows, max(1, len(rows) // ROWS))

    def output(self, windows):
        """Logits, or speed in the unit of the training labels, shape (n,), float64."""
        return np.concatenate([self._of_features(self.features(windows, rows)).astype(np.float64)
                               for rows in self.pieces(np.arange(len(windows)))])


class LogisticDecoder(FrameDecoder):
    """Logistic regression on one frame or on a thinned window.

    Parameters
    ----------
    past_frames : int
        Frames of the window before the labelled one: says where the labelled frame is.
    every_frames : int or None
        None: the labelled frame alone, as in the study. Otherwise each such frame of the window, counted from the
        labelled one, side by side.
    """

    task = "run"

    def __init__(self, past_frames, every_frames=None):
        super().__init__(past_frames, every_frames)
        self.estimator = LogisticRegression(C=1.0, solver="lbfgs", max_iter=1000)

    def fit(self, windows):
        """Fit on all windows of a :class:`~calcium_decoding.windows.WindowSet`."""
        self.estimator.fit(self.features(windows), windows.labels)

    def _of_features(self, features):
        return self.estimator.decision_function(features)

    logits = FrameDecoder.output


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

    task = "run"

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

    def output(self, windows):
        """Logits, shape (n,), float64."""
        return self.estimator.decision_function(self.features(windows)).astype(np.float64)

    logits = output
