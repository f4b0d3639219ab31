"""Leaks found by trying, not by asking: fit again, or change the test frames and see who notices."""

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from calcium_decoding.errors import DataError, LeakError, ParameterError


def check_refit(estimator, X_train, y_train=None, rtol=1e-4):
    """Refuse a fitted scikit-learn estimator that was not fitted on these training samples alone.

    A clone is fitted on the training samples; what it learnt (attributes with a trailing underscore) must be what the
    estimator learnt. A pipeline is walked step by step, so that the step is named.

    Parameters
    ----------
    estimator : fitted estimator or sklearn.pipeline.Pipeline
    X_train : array_like, shape (n, n_features)
    y_train : array_like, shape (n,), optional
    rtol : float
        Relative difference that passes for rounding.

    Returns
    -------
    list of str
        Names of the steps that were compared.

    Raises
    ------
    LeakError
        Names the step and what it learnt differently.
    ParameterError
        A step that learns something else each time: nothing can be compared.
    """
    steps = estimator.steps if isinstance(estimator, Pipeline) else [(type(estimator).__name__, estimator)]
    X, names = X_train, []
    for name, fitted in steps:
        if fitted is None or fitted == "passthrough":
            continue
        learnt = _learnt(fitted)
        if not learnt:
            raise DataError(f"step '{name}'", "nothing that was learnt", "a fitted estimator", "fit it first")
        again, once_more = (clone(fitted).fit(X, y_train) for _ in range(2))
        differ = _differences(_learnt(once_more), _learnt(again), rtol)
        if differ:
            raise ParameterError(f"step '{name}'", f"{', '.join(differ)} that differ from fit to fit",
                                 "a step that learns the same from the same samples", "set its random_state")
        differ = _differences(learnt, _learnt(again), rtol)
        if differ:
            raise LeakError(f"step '{name}'", f"{', '.join(differ)} other than {len(X)} training samples give",
                            "a step fitted on the training samples and nothing else",
                            "put the step into a scikit-learn Pipeline and fit that on the training samples")
        names.append(name)
        X = again.transform(X) if hasattr(again, "transform") else X
    return names


def check_blind(steps, signals, fold, seed=0):
    """Refuse preprocessing through which training or validation frames see test frames.

    The test frames are replaced by others; after each step the training and validation frames have to be as before.
    No declaration is believed. What is tried is one replacement: a step that looks at the test only now and then, or
    at the labels, may pass.

    Parameters
    ----------
    steps : sequence of (str, callable)
        Each takes and gives a dict of recording to array (T, ...), time first; they are applied in order.
    signals : dict of str to ndarray, shape (T, n_roi)
    fold : Fold
    seed : int

    Raises
    ------
    LeakError
        Names the first step whose output differs, the recording and the frames.
    """
    rng = np.random.default_rng(seed)
    before = {name: np.array(signal, dtype=np.float64) for name, signal in signals.items()}
    after = {name: signal.copy() for name, signal in before.items()}
    for name, ranges in fold.ranges("test").items():
        scale = before[name].std() or 1.0
        for start, stop in ranges:
            # Far outside the range of the data, so that extremes and percentiles move too.
            after[name][start:stop] += scale * rng.normal(5.0, 5.0, size=after[name][start:stop].shape)
    for step, function in steps:
        before, after = function(before), function(after)
        for role in ("train", "valid"):
            for name, ranges in fold.ranges(role).items():
                kept = np.concatenate([np.arange(start, stop) for start, stop in ranges])
                one, other = (x[name][kept].reshape(len(kept), -1) for x in (before, after))
                moved = kept[~np.isclose(one, other, rtol=1e-6, atol=1e-9, equal_nan=True).all(axis=1)]
                if len(moved):
                    raise LeakError(f"step '{step}'", f"{role} frames {moved[0]} .. {moved[-1]} of recording {name} "
                                    f"({len(moved)} frames) that change when test frames change",
                                    "training and validation that do not see the test",
                                    "fit the step on training frames, shorten its reach, or widen the gap")


def _learnt(estimator):
    """What fitting left behind: numbers and arrays of numbers."""
    found = {}
    for name, value in vars(estimator).items():
        if name.endswith("_") and not name.startswith(("_", "n_iter")):
            try:
                value = np.asarray(value, dtype=np.float64)
            except (TypeError, ValueError):
                continue
            found[name] = value
    return found


def _differences(found, expected, rtol):
    """Names of what was learnt differently."""
    def is_close(one, other):
        scale = np.abs(other).max(initial=0.0)
        return one is not None and one.shape == other.shape and np.allclose(one, other, rtol, rtol * scale, True)

    return [name for name, value in expected.items() if not is_close(found.get(name), value)]
