"""Linear decoders: of running and speed from a frame or a thinned window, of footsteps and kinematics, and baselines.

Those of footsteps see the same windows as the networks; their penalty is chosen on the validation windows that choose
the epoch of a network. Baselines know the time in the session only, or nothing.
"""

import numpy as np
from scipy.linalg import solve
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from calcium_decoding.errors import DataError
from calcium_decoding.models.heads import BINARY, Head, class_weights
from calcium_decoding.preprocessing.windows import CLASSES, require_all_classes

QUANTITY = Head("continuous")
ROWS = 8192  # windows whose features are in memory at a time, where that is possible


class FrameDecoder:
    """What linear decoders of the signal share: which frames of the window they see.

    ``past_frames``: frames of the window before the labelled one: says where the labelled frame is. ``every_frames``:
    none: the labelled frame alone, as in the study. Otherwise each such frame of the window, counted from the labelled
    one, side by side; neighbouring frames of a slow signal are nearly equal, so thinning loses little.
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
    """Logistic regression on one frame or on a thinned window, multinomial of several classes."""

    def __init__(self, past_frames, every_frames=None, head=BINARY):
        super().__init__(past_frames, every_frames)
        self.head, self.estimator = head, _logistic(head)

    def fit(self, windows):
        """Fit on all windows of a WindowSet."""
        self.estimator.fit(self.features(windows), windows.labels)

    def _of_features(self, features):
        return _logits(self.estimator, features, self.head)


def _logistic(head):
    weight = "balanced" if head.kind == "classes" and head.balanced else None
    return LogisticRegression(C=1.0, solver="lbfgs", max_iter=1000, class_weight=weight)


def _logits(estimator, features, head):
    if head.kind == "binary":
        return estimator.decision_function(features)
    found = np.full((len(features), head.size), -np.inf)  # a class that training windows lack
    found[:, estimator.classes_.astype(int)] = estimator.predict_log_proba(features)
    return found


class TimeDecoder:
    """Logistic regression on the time since the recording began, and on nothing else: the control beside a score.

    Where brain and behaviour drift together within a session, a decoder can score by reading the clock. What this one
    scores takes no brain. The time is in frames: knots lie at quantiles of the training times, so its unit cancels.
    Beyond the training times the nearest one counts. Of a session with parts it sees the time within the part.
    """

    n_knots = 5  # of cubic splines: how fast the drift may turn

    def __init__(self, head=BINARY):
        self.head = head

    def features(self, windows):
        """Centre frame of each window, shape (n, 1), float64."""
        return windows.centre[:, None].astype(np.float64)

    def fit(self, windows):
        """Fit on all windows of a WindowSet."""
        times = self.features(windows)
        knots = np.unique(np.quantile(times, np.linspace(0, 1, self.n_knots)))[:, None]
        if len(knots) < 2:
            raise DataError("training windows", "all at one time of their recordings", "windows at different times",
                            "train on longer stretches")
        splines = SplineTransformer(degree=3, knots=knots, extrapolation="constant")
        self.estimator = make_pipeline(splines, _logistic(self.head))
        self.estimator.fit(times, windows.labels)

    def output(self, windows):
        """Logits, shape (n, *head.shape), float64."""
        return _logits(self.estimator, self.features(windows), self.head).astype(np.float64)


# Penalties a linear decoder chooses from: inverse strength of the logistic, as multiples for the ridge regression.
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)


class LinearDecoder:
    """Multinomial logistic regression of the classes and ridge regression of the kinematics, from the same features.

    ``window``: see all frames of a window, or the last alone.
    """

    def __init__(self, window):
        self.window = window

    def _features(self, windows):
        if not self.window:
            return windows.frames[windows.last]
        return windows.gather(np.arange(len(windows))).reshape(len(windows), -1)

    def fit(self, train, valid, settings):
        """Fit with each penalty, keep the one with the lowest class-weighted loss on the validation windows."""
        require_all_classes(train.labels, "training windows")
        require_all_classes(valid.labels, "validation windows")
        train = train.part(np.arange(0, len(train), settings.every_frames))
        x, x_valid = self._features(train), self._features(valid)
        weight = class_weights(train.labels, len(CLASSES))[valid.labels]
        fitted = [LogisticRegression(C=c, class_weight="balanced", max_iter=200, tol=1e-3).fit(x, train.labels)
                  for c in PENALTIES]
        losses = [np.average(-model.predict_log_proba(x_valid)[np.arange(len(valid)), valid.labels], weights=weight)
                  for model in fitted]
        self.classes = fitted[int(np.argmin(losses))]
        self.kinematics = None
        if "kinematics" in train.targets:
            ridges = [Ridge(1 / c).fit(x, train.targets["kinematics"]) for c in PENALTIES]
            errors = [((r.predict(x_valid) - valid.targets["kinematics"]) ** 2).mean() for r in ridges]
            self.kinematics = ridges[int(np.argmin(errors))]
        return self

    def predict(self, windows):
        """As :func:`predict`; a foot against the rest has the probability of its class."""
        x = self._features(windows)
        p = self.classes.predict_proba(x).astype(np.float64)
        found = {"footstep": p, "contralateral": p[:, 1], "ipsilateral": p[:, 2]}
        return found if self.kinematics is None else found | {"kinematics": self.kinematics.predict(x).astype(float)}


class MajorityDecoder:
    """Says of every window the shares of the classes among the training windows, and their mean kinematics."""

    def fit(self, train, valid, settings):
        """Count."""
        self.shares = np.bincount(train.labels, minlength=3) / len(train)
        self.means = {name: values.mean(0) for name, values in train.targets.items() if name == "kinematics"}
        return self

    def predict(self, windows):
        """As :func:`predict`."""
        p = np.tile(self.shares, (len(windows), 1))
        rest = {name: np.tile(mean.astype(np.float64), (len(windows), 1)) for name, mean in self.means.items()}
        return {"footstep": p, "contralateral": p[:, 1], "ipsilateral": p[:, 2]} | rest


class LinearSpeed(FrameDecoder):
    """Least squares on the labelled frame (Ajioka et al. 2024, the baseline of speed decoding)."""

    def __init__(self, past_frames, head=QUANTITY):
        super().__init__(past_frames)
        self.head, self.estimator = head, LinearRegression()

    def fit(self, windows):
        """Fit on all windows of a WindowSet. Raises DataError: a speed is NaN or infinite."""
        self.estimator.fit(self.features(windows).astype(np.float64), finite_speed(windows))

    def _of_features(self, features):
        return self.estimator.predict(features.astype(np.float64))


class RidgeSpeed(FrameDecoder):
    """Ridge regression on a thinned window, its penalty chosen within the training windows.

    Training windows are cut into five contiguous blocks in the order of their recordings; the penalty is the one of
    :attr:`PENALTIES` with the least squared error on the blocks left out. Leaving out single frames would not do:
    the neighbours of a frame are nearly its copies, and no penalty would be the best.

    ``penalty``: the chosen one, in units of the number of windows times the mean variance of a feature; ``weights``,
    (n_features,), float64; ``intercept``, not penalised. Everything needed is in the sums of products of each block, so
    memory holds a few thousand rows of features at a time. The same as ``sklearn.linear_model.Ridge`` with the penalty
    in its unit.
    """

    head = QUANTITY
    PENALTIES = tuple(10.0 ** power for power in range(-6, 3))
    BLOCKS = 5

    def fit(self, windows):
        """Fit on all windows of a :class:`~calcium_decoding.preprocessing.windows.WindowSet`.

        Raises
        ------
        DataError
            A speed is NaN or infinite, fewer windows than blocks, or a signal that never changes.
        """
        speed = finite_speed(windows)
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


def finite_speed(windows):
    speed = np.asarray(windows.labels, dtype=np.float64)
    if not np.isfinite(speed).all():
        raise DataError("training speed", f"{np.sum(~np.isfinite(speed))} values NaN or infinite",
                        "a number for every window", "leave these frames out")
    return speed
