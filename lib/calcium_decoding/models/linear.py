"""Linear decoders: of running and speed from a frame or a thinned window, of footsteps and kinematics; baselines."""

import numpy as np
from scipy.linalg import solve
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from calcium_decoding.errors import DataError
from calcium_decoding.models.heads import BINARY, Head, class_weights

QUANTITY = Head("continuous")
ROWS = 8192  # windows whose features are in memory at a time, where that is possible


class FrameDecoder:
    """What linear decoders see of a window: the labelled frame, after ``past_frames`` others, or each of
    ``every_frames``, counted from it, side by side; neighbours are nearly equal."""

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
    """Logistic regression on the time since the recording (or part) began, and on nothing else: a decoder can read the
    clock where brain and behaviour drift together. Knots lie at quantiles of the training times."""

    n_knots = 5  # of cubic splines: how fast the drift may turn

    def __init__(self, head=BINARY):
        self.head = head

    def features(self, windows):
        return windows.centre[:, None].astype(np.float64)

    def fit(self, windows):
        times = self.features(windows)
        knots = np.unique(np.quantile(times, np.linspace(0, 1, self.n_knots)))[:, None]
        if len(knots) < 2:
            raise DataError("training windows", "all at one time of their recordings", "windows at different times",
                            "train on longer stretches")
        splines = SplineTransformer(degree=3, knots=knots, extrapolation="constant")
        self.estimator = make_pipeline(splines, _logistic(self.head))
        self.estimator.fit(times, windows.labels)

    def output(self, windows):
        return _logits(self.estimator, self.features(windows), self.head).astype(np.float64)


# Penalties a linear decoder chooses from: inverse strength of the logistic, as multiples for the ridge regression.
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)


class LinearDecoder:
    """Logistic regression of classes and ridge regression of quantities, for Heads, on a ``window`` or its last
    frame."""

    def __init__(self, head, window):
        self.head, self.window = head, window

    def _features(self, windows):
        if not self.window:
            return windows.frames[windows.starts + windows.spec.length - 1]
        return windows.gather(np.arange(len(windows))).reshape(len(windows), -1)

    def fit(self, train, valid, settings):
        """Fit with each penalty, keep the one with the lowest class-weighted loss on the validation windows."""
        self.scalings, self.fitted = self.head.scalings(train), {}
        train = settings.trained_on(train)
        x, x_valid = self._features(train), self._features(valid)
        wanted, valid_wanted = (self.head.targets(windows, self.scalings) for windows in (train, valid))
        for name in (name for name in self.head if name not in self.head.of_class):
            y, y_valid = wanted[name], valid_wanted[name]
            if name in self.scalings:
                found = [Ridge(1 / c).fit(x, y) for c in PENALTIES]
                losses = [((ridge.predict(x_valid) - y_valid) ** 2).mean() for ridge in found]
            else:
                weight = class_weights(y, self.head.size[name])[y_valid]
                found = [LogisticRegression(C=c, class_weight="balanced", max_iter=200, tol=1e-3).fit(x, y)
                         for c in PENALTIES]
                losses = [np.average(-model.predict_log_proba(x_valid)[np.arange(len(valid)), y_valid], weights=weight)
                          for model in found]
            self.fitted[name] = found[int(np.argmin(losses))]

    def decoded(self, windows):
        """What is decoded, a structured array; a class against the rest has the probability of its class."""
        x = self._features(windows)
        return self._joined({name: model.predict(x).astype(float).reshape(len(x), -1) if name in self.scalings
                             else model.predict_proba(x).astype(np.float64) for name, model in self.fitted.items()})

    def _joined(self, found):
        for name, (of, i) in self.head.of_class.items():
            found[name] = np.stack([1 - found[of][:, i], found[of][:, i]], axis=1)
        return self.head.decoded(found, self.scalings)


class MajorityDecoder(LinearDecoder):
    """Says of every window the shares of the classes among the training windows, and their mean quantities."""

    def __init__(self, head):
        super().__init__(head, False)

    def fit(self, train, valid, settings):
        self.scalings = self.head.scalings(train)
        self.means = {name: values.mean(0) if name in self.scalings else
                      np.bincount(values, minlength=self.head.size[name]) / len(train)
                      for name, values in self.head.targets(train, self.scalings).items()}

    def decoded(self, windows):
        return self._joined({name: np.tile(mean.astype(np.float64), (len(windows), 1))
                             for name, mean in self.means.items()})


class LinearSpeed(FrameDecoder):
    """Least squares on the labelled frame (Ajioka et al. 2024, the baseline of speed decoding)."""

    def __init__(self, past_frames, head=QUANTITY):
        super().__init__(past_frames)
        self.head, self.estimator = head, LinearRegression()

    def fit(self, windows):
        self.estimator.fit(self.features(windows).astype(np.float64), finite_speed(windows))

    def _of_features(self, features):
        return self.estimator.predict(features.astype(np.float64))


class RidgeSpeed(FrameDecoder):
    """Ridge regression on a thinned window, its penalty chosen on five contiguous blocks of the training windows:
    neighbours of a frame are nearly its copies. ``penalty``: in units of the number of windows times the mean variance
    of a feature; ``weights``, (n_features,), float64; ``intercept``, not penalised. All comes from the sums of products
    of each block, so memory holds a few thousand rows at a time: ``sklearn.linear_model.Ridge`` with the penalty in its
    unit."""

    head = QUANTITY
    PENALTIES = tuple(10.0 ** power for power in range(-6, 3))
    BLOCKS = 5

    def fit(self, windows):
        """Fit on a WindowSet; DataError: fewer windows than blocks, or values not finite or without change."""
        speed = finite_speed(windows)
        if len(speed) < self.BLOCKS:
            raise DataError("training windows", str(len(speed)), f"{self.BLOCKS} or more", "train on longer stretches")
        blocks = [self._products(windows, speed, rows) for rows in np.array_split(np.arange(len(speed)), self.BLOCKS)]
        total = sum(blocks)
        errors = []
        for penalty in self.PENALTIES:
            ends = [np.append(_ridge(total - left_out, penalty), -1.0) for left_out in blocks]
            errors.append(sum(end @ left_out @ end for end, left_out in zip(ends, blocks, strict=True)))
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


def finite_speed(windows):
    speed = np.asarray(windows.labels, dtype=np.float64)
    if not np.isfinite(speed).all():
        raise DataError("training speed", f"{np.sum(~np.isfinite(speed))} values NaN or infinite",
                        "a number for every window", "leave these frames out")
    return speed
