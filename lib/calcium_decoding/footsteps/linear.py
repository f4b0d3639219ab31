"""Linear decoders of footsteps and kinematics, and the one that knows nothing.

They see the same windows as the networks; the penalty is chosen on the validation windows that choose the epoch of a
network.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge

from calcium_decoding.footsteps.losses import class_weights
from calcium_decoding.footsteps.windowed import CLASSES, require_all_classes

# Penalties a linear decoder chooses from: inverse strength of the logistic, as multiples for the ridge regression.
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)


class LinearDecoder:
    """Multinomial logistic regression of the classes and ridge regression of the kinematics, from the same features.

    Parameters
    ----------
    window : bool
        See all frames of a window, or the last alone.
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
