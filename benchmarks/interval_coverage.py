"""How often do intervals over few animals hold the mean they are of? Measured by simulation, in half a minute.

`python benchmarks/interval_coverage.py` prints a row a kind of animals: coverage of `t_interval` with bounds and
without, share of the latter that leave the bounds, and coverage of a bootstrap over animals; nominal 0.95.
"""

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from calcium_decoding.evaluation.statistics import t_interval

DRAWS, ANIMALS = 2000, (3, 5)


def scores(middle, sd):
    """Scores between 0 and 1 whose logits are normal."""
    return lambda rng, n: expit(logit(middle) + sd * rng.standard_normal(n))


def one_in_five_fails(rng, n):
    """AUCs near 0.97, of one animal in five near 0.85."""
    return scores(np.where(rng.random(n) < 0.2, 0.85, 0.97), 0.3)(rng, n)


def differences(a, b, common, own):
    """Differences of two scores of an animal, whose logits share a part."""
    def draw(rng, n):
        shared = common * rng.standard_normal(n)
        return np.subtract(*(expit(logit(middle) + shared + own * rng.standard_normal(n)) for middle in (a, b)))

    return draw


def shares_of_variance(middle, sd):
    """R2 whose distance from 1 is log-normal."""
    return lambda rng, n: 1 - (1 - middle) * np.exp(sd * rng.standard_normal(n))


SCORE, DIFFERENCE, R2 = (0, 1), (-1, 1), (-np.inf, 1)
KINDS = {
    "AUC about 0.97": (scores(0.97, 0.5), SCORE),
    "AUC about 0.95, animals very unlike": (scores(0.95, 1.0), SCORE),
    "AUC about 0.9": (scores(0.9, 0.8), SCORE),
    "AUC about 0.6": (scores(0.6, 0.5), SCORE),
    "AUC, one animal in five fails": (one_in_five_fails, SCORE),
    "0.97 less 0.95": (differences(0.97, 0.95, 0.5, 0.2), DIFFERENCE),
    "0.97 less 0.97": (differences(0.97, 0.97, 0.5, 0.3), DIFFERENCE),
    "0.97 less 0.6": (differences(0.97, 0.6, 0.5, 0.3), DIFFERENCE),
    "0.99 less 0.9, animals very unlike": (differences(0.99, 0.9, 0.8, 0.8), DIFFERENCE),
    "R2 about 0.44": (shares_of_variance(0.44, 0.3), R2),
    "R2 about 0, animals very unlike": (shares_of_variance(0.0, 0.8), R2),
}


def coverage(kind, n_animals, n_draws=DRAWS, seed=0):
    """What :func:`table` has of one kind and number of animals, as a dict."""
    (draw, bounds), rng = KINDS[kind], np.random.default_rng(seed)
    true = draw(rng, 10**6).mean()
    values = draw(rng, n_draws * n_animals).reshape(n_draws, n_animals)
    bounded, plain = (np.array([t_interval(row, limits)[1:] for row in values])
                      for limits in (bounds, (-np.inf, np.inf)))
    means = values[:, rng.integers(0, n_animals, (400, n_animals))].mean(axis=2)
    ends = {"bounded": bounded, "plain": plain, "bootstrap": np.quantile(means, [0.025, 0.975], axis=1).T}
    found = {name: float(np.mean((low <= true) & (true <= high))) for name, (low, high) in
             ((name, both.T) for name, both in ends.items())}
    outside = [float(np.mean((both[:, 0] < bounds[0]) | (both[:, 1] > bounds[1]))) for both in (bounded, plain)]
    return found | {"bounded, outside": outside[0], "plain, outside": outside[1]}


def table():
    """All kinds and numbers of animals, a DataFrame."""
    return pd.DataFrame([{"animals": n, "kind": kind, **coverage(kind, n)} for n in ANIMALS for kind in KINDS])


if __name__ == "__main__":
    print(table().round(3).to_string(index=False))
