"""A linear decoder tested on each session of one animal by leaving it out, refitted for a thousand nulls in a minute.

Nothing is approximated: least squares needs of a session its sums of squares and products, which no permutation
changes, and its products with a label, of which there are as many as pairs of sessions.
"""

import math
import os
from dataclasses import dataclass, replace

import joblib
import numpy as np
from threadpoolctl import threadpool_limits

from calcium_decoding import preprocessing
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import nulls
from calcium_decoding.preprocessing.transforms import ScaleByTraining, whole_number
from calcium_decoding.utils.progress import progress

DRAWS_AT_ONCE = 50  # scores of 50 draws of a session of 18,000 frames are 7 MB


class Sessions:
    """Sessions of one animal, ready for refits with any pairing of signals and labels, both cut to the shorter.

    The decoder is ridge regression of the 0/1 label on standardised ROIs, as ``make_pipeline(StandardScaler(),
    Ridge(penalty))`` of scikit-learn on the frames of all other sessions. ``signals``: shape (T_i, n_roi), one a
    session, two or more, the same ROIs, else DataError. ``labels``: shape (T_j,), 0 rest, 1 run. ``penalty``: above 0,
    at most a million, else ParameterError.
    """

    def __init__(self, signals, labels, penalty=1.0):
        if not 0 < penalty <= 1e6:  # more would shrink scores towards the size of ties, see _area
            raise ParameterError("penalty", penalty, "more than 0, at most a million", "use 1.0, or more to shrink")
        widths = {np.shape(signal)[1] for signal in signals}
        if len(signals) < 2 or len(widths) != 1:
            raise DataError("sessions to decode", f"{len(signals)} sessions with {sorted(widths)} ROIs",
                            "two sessions or more with the same ROIs", "choose an animal with several sessions")
        self.penalty = float(penalty)
        # One offset for all sessions changes no decoder with an intercept, and keeps sums of squares small.
        mean = np.mean([np.mean(signal, axis=0, dtype=float) for signal in signals], axis=0)
        self._signals = [np.asarray(signal, dtype=float) - mean for signal in signals]
        self._labels = [np.asarray(label, dtype=float) for label in labels]
        self._grams, self._products = {}, {}

    def auc(self, pairings, jobs=1, label="refits"):
        """Area under the ROC curve of each session, decoded by a decoder fitted on the others, for each pairing, NaN
        where a label has one class only. ``pairings``, shape (n_pairings, n_sessions), int: which label each signal
        gets. ``jobs``: threads; all processors if None. ``label``: of the progress bar; empty: none. DataError: a frame
        predicted as a million or more."""
        pairings, found = np.atleast_2d(pairings), []
        chunks = [pairings[i : i + DRAWS_AT_ONCE] for i in range(0, len(pairings), DRAWS_AT_ONCE)]
        jobs = min(jobs or os.cpu_count() or 1, len(chunks))
        bar = progress(None, total=len(pairings), desc=label, unit="refit", disable=not label)
        # BLAS threads of its own in each of our threads would make these small products many times slower.
        with bar, threadpool_limits(1, user_api="blas"):
            for i, signal in enumerate(self._signals):
                for j in np.unique(pairings[:, i]):
                    self._prepare(i, int(j), signal)
            work = (joblib.delayed(self._auc)(chunk) for chunk in chunks)
            for aucs in joblib.Parallel(n_jobs=jobs, prefer="threads", return_as="generator")(work):
                found.append(aucs)
                bar.update(len(aucs))
        return np.concatenate(found)

    def _cut(self, i, j):
        return min(len(self._signals[i]), len(self._labels[j]))

    def _prepare(self, i, j, signal):
        n = self._cut(i, j)
        if (i, n) not in self._grams:
            self._grams[i, n] = signal[:n].sum(axis=0), signal[:n].T @ signal[:n]
        if (i, j) not in self._products:
            label = self._labels[j][:n]
            self._products[i, j] = n, label.sum(), signal[:n].T @ label

    def _weights(self, pairing):
        """Weights of the decoder that leaves each session out, shape (n_sessions, n_roi)."""
        pairs = [self._products[i, j] for i, j in enumerate(pairing)]
        n, runs, products = (np.array(x, dtype=float) for x in zip(*pairs, strict=True))
        sums, grams = (np.array(x) for x in zip(*[self._grams[i, p[0]] for i, p in enumerate(pairs)], strict=True))
        n, runs, products, sums, grams = (x.sum(axis=0) - x for x in (n, runs, products, sums, grams))
        scatter = grams - sums[:, :, None] * sums[:, None, :] / n[:, None, None]
        variance = np.diagonal(scatter, axis1=1, axis2=2) / n[:, None]
        # A ROI that is constant in training gets no weight, whatever the penalty.
        constant = variance <= 1e-12 * np.diagonal(grams, axis1=1, axis2=2) / n[:, None]
        ridge = self.penalty * np.where(constant, 1.0, variance)
        system = scatter + ridge[:, :, None] * np.eye(ridge.shape[1])
        return np.linalg.solve(system, (products - sums * (runs / n)[:, None])[:, :, None])[:, :, 0]

    def _auc(self, pairings):
        weights = np.stack([self._weights(pairing) for pairing in pairings.tolist()])
        found = np.empty(pairings.shape)
        for i, signal in enumerate(self._signals):
            for j in np.unique(pairings[:, i]):
                here, n = pairings[:, i] == j, self._cut(i, j)
                found[here, i] = _area(weights[here, i] @ signal[:n].T, self._labels[j][:n])
        return found


def _area(scores, label):
    """Area under the ROC curve of each row of ``scores`` (n, T), ties counted half; NaN if ``label`` has one class."""
    # Scores that differ by less than 1e-12 are ties: products of matrices do not round equal frames equally. So scores
    # are whole numbers of 1e-12, with the label as lowest bit, and sorted as such, five times as fast as ranking them.
    if not np.abs(scores).max() < 1e6:
        raise DataError("scores", f"a frame predicted as {np.abs(scores).max():.1e}", "predictions about 0 to 1",
                        "look for outliers in the signal")
    if not 0 < label.sum() < len(label):
        return np.full(len(scores), np.nan)
    keys = np.sort(np.rint(scores * 1e12).astype(np.int64) << 1 | label.astype(np.int64), axis=1)
    value, run, n_run = keys >> 1, keys & 1, label.sum()
    above = run @ np.arange(1.0, len(label) + 1) - n_run * (n_run + 1) / 2  # pairs with the run frame ranked higher
    for row in np.flatnonzero((value[:, 1:] == value[:, :-1]).any(axis=1)):
        _, which = np.unique(value[row], return_inverse=True)
        above[row] -= (np.bincount(which, run[row]) * np.bincount(which, 1 - run[row])).sum() / 2
    return above / (n_run * (len(label) - n_run))


@dataclass(frozen=True, eq=False)
class LinearNull:
    """The observed score of an animal among scores of a null. ``observed``: mean AUC over sessions; ``by_session``: of
    each; ``null_aucs``, shape (n_draws,): the mean for each draw. ``one_class``: ids of sessions with only rest or only
    running, which train but are in no mean."""

    null: str
    observed: float
    by_session: np.ndarray
    null_aucs: np.ndarray
    one_class: tuple

    def p_value(self, alternative="greater"):
        """p-value of its null; at least :attr:`smallest_p`."""
        return max(nulls.null_of(self.null).p_value(self.observed, self.null_aucs, alternative), self.smallest_p)

    @property
    def smallest_p(self):
        """Smallest p-value that more draws could lead to: one over the number of pairings, the real one included."""
        n = len(self.by_session)
        # The number of permutations without fixed points is the whole number nearest n!/e.
        return {"repairing": 1 / (1 + round(math.factorial(n) / math.e)), "permuting": 1 / math.factorial(n),
                "published": 0.5}.get(self.null, 0.0)


def refit(dataset, animal, null="repairing", n_draws=1000, seed=0, recipe=None, penalty=1.0, jobs=None,
          label="refits"):
    """Score one animal by leaving out each session, and refit the decoder for every draw of a null; a LinearNull.

    ``recipe``: arguments of :func:`calcium_decoding.preprocessing.build`, applied to whole sessions without its
    standardising, which the decoder does itself. ``penalty``, ``jobs``, ``label``: see :class:`Sessions`; ``seed``:
    :meth:`calcium_decoding.evaluation.nulls.Null.draws`. Raises DataError: a single session, sessions in parts, or a
    draw in which every session has one class only; ParameterError: unknown null, more draws than there are, a step that
    has to be fitted on training frames.
    """
    chosen, n_draws = nulls.null_of(null), whole_number("n_draws", n_draws, 1)
    recordings = dataset.of_animal(animal)
    if not recordings or any(r.part for r in recordings):
        raise DataError(dataset.name, f"no animal {animal}, or its sessions are in parts",
                        "an animal whose sessions are one recording each", "choose an animal with whole sessions")
    mine = replace(dataset, recordings=tuple(preprocessed(r, recipe) for r in recordings))
    base = chosen.observed(mine)
    signals, n = [r.signal for r in base.recordings], len(base.recordings)
    labels, own = [r.run for r in base.recordings], np.arange(n)
    if chosen.pairing is not None and n > 1:
        rngs = (np.random.default_rng((seed, k)) for k in range(n_draws))
        pairings = np.array([own, *(chosen.pairing(n, rng) for rng in rngs)])
    else:
        labels += [r.run for draw in chosen.draws(mine, n_draws, seed) for r in draw.recordings]
        pairings = np.arange(len(labels)).reshape(-1, n)
    aucs = Sessions(signals, labels, penalty).auc(pairings, jobs, label)
    without = ~np.isfinite(aucs)
    if without.all(axis=1).any():
        raise DataError(f"{dataset.name}, {animal}", "only rest or only running in every session, or in every session "
                        "of a draw", "both rest and running in some sessions", "use longer sessions")
    means = np.where(without, 0, aucs).sum(axis=1) / (~without).sum(axis=1)
    one_class = tuple(r.id for r, nothing in zip(base.recordings, without[0], strict=True) if nothing)
    return LinearNull(null, float(means[0]), aucs[0], means[1:], one_class)


def preprocessed(recording, recipe):
    """``recording`` with its signal transformed by ``recipe``, but for standardising by training frames; ParameterError
    if another step of it has to be fitted on training frames."""
    if recipe is None:
        return recording
    steps = preprocessing.build(**recipe).steps
    if steps and isinstance(steps[-1], ScaleByTraining) and steps[-1].kind == "standard":
        steps = steps[:-1]
    pipeline = preprocessing.Pipeline(steps)
    if pipeline.fitted_on == "training frames":
        raise ParameterError("recipe", repr(recipe["name"]), "steps that need no training frames", "use 'published'")
    return replace(recording, signal=pipeline.transform(recording.signal, recording.id))
