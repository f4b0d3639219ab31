"""Splits for scikit-learn: objects with ``split`` and ``get_n_splits``, for arrays that never were recordings."""

import numpy as np

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.preprocessing.transforms import whole_number


class Blocked:
    """Contiguous blocks take turns as the test; training keeps a distance from them. For ``cv=`` of scikit-learn.

    Rows of X are consecutive in time: one row a frame, or a window of stride 1. ``groups`` names the recording of each
    row, and blocks are cut within each recording. For whole sessions or animals on one side use
    :class:`sklearn.model_selection.LeaveOneGroupOut`; for the other regimes :meth:`Split.as_cv`.

    Parameters
    ----------
    n_blocks : int
        At least 2.
    gap_frames : int
        Rows left out of the training on each side of the test: at least the length of a window less one, plus what
        preprocessing reaches, plus an embargo (:func:`purge_gap_frames`, :func:`embargo_frames`).
    """

    def __init__(self, n_blocks=5, gap_frames=0):
        self.n_blocks = whole_number("n_blocks", n_blocks, 2)
        self.gap_frames = whole_number("gap_frames", gap_frames, 0)

    def __repr__(self):
        return f"Blocked(n_blocks={self.n_blocks}, gap_frames={self.gap_frames})"

    def get_n_splits(self, X=None, y=None, groups=None):
        """Number of folds."""
        return self.n_blocks

    def split(self, X, y=None, groups=None):
        """Yield indices of training and test rows of each fold.

        Parameters
        ----------
        X : array_like, shape (n, ...)
        y : ignored
        groups : array_like, shape (n,), optional
            Recording of each row; all rows are one recording if left out.

        Raises
        ------
        DataError
            ``groups`` of another length.
        ParameterError
            A recording with fewer rows than blocks, or nothing left to train on.
        """
        groups = np.zeros(len(X), int) if groups is None else np.asarray(groups)
        if groups.shape != (len(X),):
            raise DataError("groups", f"shape {groups.shape}", f"one recording a row, shape ({len(X)},)",
                            "name the recording of each row")
        rows = [np.flatnonzero(groups == g) for g in np.unique(groups)]
        shortest = min(map(len, rows), default=0)
        if shortest < self.n_blocks:
            raise ParameterError("n_blocks", f"{self.n_blocks} blocks of a recording of {shortest} rows",
                                 "at least one row a block", "use fewer blocks, or leave the recording out")
        for k in range(self.n_blocks):
            train, test = [], []
            for mine in rows:
                low, high = k * len(mine) // self.n_blocks, (k + 1) * len(mine) // self.n_blocks
                test.append(mine[low:high])
                train += [mine[:max(0, low - self.gap_frames)], mine[high + self.gap_frames:]]
            train = np.sort(np.concatenate(train))
            if not len(train):
                raise ParameterError("gap_frames", f"{self.gap_frames} rows, which leave no training row in block {k}",
                                     "a gap that leaves something to train on", "use a smaller gap or fewer blocks")
            yield train, np.sort(np.concatenate(test))
