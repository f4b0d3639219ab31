"""The audit for arrays: intervals of frames, one a sample, whatever made the samples."""

from calcium_decoding.audit.footprints import common_frames
from calcium_decoding.errors import LeakError
from calcium_decoding.transforms import whole_number


def check_samples(train, test, embargo_frames=0, fitted=None, where="samples"):
    """Refuse training and test samples that touch the same frames; for any arrays, any decoder.

    Parameters
    ----------
    train, test : Intervals
        Frames that each sample touches.
    embargo_frames : int
        Least number of frames between a training and a test sample of one recording.
    fitted : dict of str to Intervals, optional
        What else was fitted or chosen, and on which samples or frames: ``{"scaler": train, "threshold": valid}``.
    where : str
        Which fold, for the error message.

    Returns
    -------
    int or None
        Frames between the nearest training and test sample; None if they share no recording.

    Raises
    ------
    LeakError
        Names the step, the recording and the frames.

    Examples
    --------
    >>> import numpy as np
    >>> ends = np.arange(31, 1000)
    >>> windows = Intervals.around("session 1", ends, window=(31, 0))
    >>> check_samples(windows[:600], windows[700:])
    69
    """
    embargo = whole_number("embargo_frames", embargo_frames, 0)
    _refuse("training", train, test, embargo, where)
    for name, intervals in (fitted or {}).items():
        _refuse(f"step '{name}'", intervals, test, 0, where)
    return least_distance(train, test)


def check_cv(cv, intervals, X=None, y=None, groups=None, embargo_frames=0):
    """:func:`check_samples` on each fold of a scikit-learn splitter.

    Parameters
    ----------
    cv : splitter with ``split``, or iterable of (train indices, test indices)
    intervals : Intervals
        Frames that each row of X touches.
    X, y, groups : array_like, optional
        What ``cv.split`` needs; the intervals themselves stand in for X if it is left out.
    embargo_frames : int

    Returns
    -------
    list of int or None
        Least distance in frames of each fold.

    Raises
    ------
    LeakError
        The first fold that leaks.
    """
    folds = cv.split(range(len(intervals)) if X is None else X, y, groups) if hasattr(cv, "split") else cv
    return [check_samples(intervals[train], intervals[test], embargo_frames, where=f"fold {i} of {cv}")
            for i, (train, test) in enumerate(folds)]


def least_distance(one, other):
    """Frames between the nearest two samples of different sides in one recording: negative if they overlap, None if
    they share no recording."""
    distances, others = [], other.merged()
    for name, (starts, stops) in one.merged().items():
        for low, high in zip(*others.get(name, ((), ())), strict=True):
            distances.append(int(min(max(a, low) - min(b, high) for a, b in zip(starts, stops, strict=True))))
    return min(distances, default=None)


def _refuse(role, one, test, embargo, where):
    hit = test.overlapping(one, embargo)
    if not hit.any():
        return
    shared = common_frames(one, test)
    if shared:
        name, first, last = shared[0]
        found = (f"{hit.sum()} of {len(test)} test samples touch frames that {role} touches too, in recording {name} "
                 f"frames {first} .. {last}{_others(shared)}{_in_words({**one.reach, **test.reach})}")
    else:
        name, start, stop = test[int(hit.argmax())]
        found = (f"{hit.sum()} of {len(test)} test samples closer than {embargo} frames to {role}, in recording {name} "
                 f"frames {start} .. {stop - 1}")
    raise LeakError(where, found, "no frame touched by both, and the embargo between them",
                    "split time first and make samples inside the parts, with a gap (splits.blocked, splits.Blocked); "
                    "fit and choose on training and validation samples only")


def _others(shared):
    return f" and {len(shared) - 1} more ranges" if len(shared) > 1 else ""


def _in_words(reach):
    steps = [f"{name} ({back} back, {ahead} ahead)" for name, (back, ahead) in reach.items() if back or ahead]
    return f"; steps that reach: {', '.join(steps)}" if steps else ""
