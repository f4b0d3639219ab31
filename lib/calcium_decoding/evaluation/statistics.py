"""Inference: is a difference more than chance, and how sure is a mean? The unit is the animal: folds share animals. The
study's own test, a rank-sum over folds, is here too."""

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special, stats
from statsmodels.stats.multitest import multipletests

from calcium_decoding.errors import DataError, ParameterError

MOST_ANIMALS = 20  # a million assignments of signs; of more animals so many are drawn
DRAWS = 99_999
LEVEL = 0.95  # nominal coverage of intervals
ALPHA = 0.05  # p below this are significant; no p is shown where none can be
ALTERNATIVES = ("two-sided", "greater", "less")
# Least and largest value of scores by a word of their name; of others nothing is known.
BOUNDS = {"auc": (0, 1), "accuracy": (0, 1), "f1": (0, 1), "recall": (0, 1), "precision": (0, 1), "brier": (0, 1),
          "r2": (-np.inf, 1), "correlation": (-1, 1), "mae": (0, np.inf)}


def by_animal(values, animals):
    """One number an animal: the mean over its folds (or sessions), a Series by animal in order of appearance.
    ``values``, shape (n,): scores, or differences of two decoders; ``animals``: the test animal of each. Raises
    DataError: no values, values that are not finite, or lengths that disagree."""
    values = checked_values(values, "values")
    if len(animals) != len(values):
        raise DataError("animals", f"{len(animals)} animals for {len(values)} values", "one animal a value",
                        "name the test animal of every fold")
    return pd.Series(values).groupby(np.asarray(animals), sort=False).mean()


def checked_values(values, name, at_least=1, what="values"):
    """``values`` as a float64 array of shape (n,), or DataError if they are fewer or not all finite numbers."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < at_least:
        raise DataError(name, f"shape {values.shape}", f"shape (n,) of {at_least} {what} or more",
                        f"give one number for each of {at_least} {what} or more")
    if not np.isfinite(values).all():
        raise DataError(name, f"{np.count_nonzero(~np.isfinite(values))} of {len(values)} values that are not finite",
                        "finite numbers", "leave out folds without a score, and say which")
    return values


@dataclass(frozen=True)
class SignFlip:
    """Result of :func:`sign_flip`; ``str()`` is a sentence for the page. ``effect``: mean difference over animals.
    ``floor``: the smallest ``p`` that so few animals, or so many draws, can give."""

    effect: float
    p: float
    floor: float
    n_animals: int
    alternative: str = "two-sided"

    @property
    def can_tell(self):
        """Whether so many animals can give a p below 0.05: one that cannot be is not worth showing."""
        return self.floor < ALPHA

    def __str__(self):
        sided = self.alternative if self.alternative == "two-sided" else f"one-sided, {self.alternative} than 0"
        effect, least = f"mean difference {self.effect:+.3f} over {self.n_animals} animals", Fraction(self.floor)
        if not self.can_tell:
            return f"{effect}; no p-value ({sided}), since none below {least} is possible"
        how = "exact" if self.n_animals <= MOST_ANIMALS else f"{DRAWS + 1:,} assignments,"
        return f"{effect}, {how} sign-flip p = {self.p:.3g} ({sided}; no p below {least} is possible)"


def sign_flip(differences, alternative="two-sided"):
    """Sign-flip test of a mean difference over animals, exact for up to 20 of them: a SignFlip.

    If the two decoders were alike, each animal's difference would as well have the other sign. ``p`` is the share of
    all 2**n assignments of signs whose mean is as far from 0 as the observed one, or farther; one-sided, on that side.
    Of more than 20 animals 99,999 assignments are drawn, with a fixed seed, and the observed one is counted with them.
    Five animals have a ``floor`` of 1/16 two-sided, with which no effect reaches 0.05, and of 1/32 one-sided.

    ``differences``, shape (n_animals,): see :func:`by_animal`. ``alternative``: "greater" or "less" where the sign was
    known beforehand; else "two-sided". Raises DataError: fewer than two animals, or values that are not finite;
    ParameterError: another alternative. Fisher 1935, The Design of Experiments, section 21.
    """
    if alternative not in ALTERNATIVES:
        raise ParameterError("alternative", repr(alternative), f"one of {', '.join(ALTERNATIVES)}", "name one of these")
    differences = checked_values(differences, "differences", at_least=2, what="animals")
    n = len(differences)
    if n > MOST_ANIMALS:
        signs = np.random.default_rng(0).choice((-1.0, 1.0), (DRAWS, n))
        # Among all assignments is the opposite of the observed one, as far from 0; among those drawn it need not be.
        sums, floor = np.concatenate([[differences.sum()], signs @ differences]), 1 / (DRAWS + 1)
    else:
        sums, floor = np.zeros(1), (2 if alternative == "two-sided" else 1) / 2**n
        for difference in differences:
            sums = np.concatenate([sums + difference, sums - difference])
    far = {"two-sided": np.abs(sums), "greater": sums, "less": -sums}[alternative]
    same = 1e-12 * np.abs(differences).sum()  # sums that differ by rounding alone are equal
    return SignFlip(float(differences.mean()), float(np.mean(far >= far[0] - same)), floor, n, alternative)


def rank_sum(a, b):
    """Two-sided Wilcoxon rank-sum test of two groups, shapes (n_a,) and (n_b,), as the study computed it: p.

    By the normal approximation with correction for continuity and ties, coarse below 10 values a group. Too small as
    evidence about animals, which folds share: show :func:`sign_flip` with it. Raises DataError: an empty group, values
    that are not finite, or all equal. Ajioka et al. 2024, DOI 10.1371/journal.pcbi.1011074.
    """
    a, b = checked_values(a, "a"), checked_values(b, "b")
    if np.ptp(np.concatenate([a, b])) == 0:
        raise DataError("rank sum", f"{len(a) + len(b)} equal values", "values that differ", "there is nothing to test")
    return float(stats.mannwhitneyu(a, b, alternative="two-sided", method="asymptotic", use_continuity=True).pvalue)


def least_rank_sum(n_a, n_b):
    """The smallest p of :func:`rank_sum` for groups of so many different values: all of one above all of the other."""
    return rank_sum(range(n_a), range(n_a, n_a + n_b))


def rank_sum_family(pairs, groups):
    """Rank-sum tests of ``pairs`` of names of ``groups`` (dict of name to values), corrected by the method of Holm.

    Returns a DataFrame, a row a pair: ``group_a``, ``group_b``, ``difference`` (mean of a less mean of b),
    ``family_size``, ``p_two_sided``, ``p_holm``, ``stars`` of the latter, and ``least_p_holm``, the smallest that
    groups and families of these sizes can give. Raises DataError as :func:`rank_sum`, ParameterError: no pairs, or an
    unknown group. Holm 1979, Scandinavian Journal of Statistics 6: 65-70.
    """
    pairs = list(pairs)
    unknown = sorted({str(name) for pair in pairs for name in pair} - {str(name) for name in groups})
    if not pairs or unknown:
        raise ParameterError("pairs", f"unknown groups {', '.join(unknown)}" if unknown else "no pairs",
                             f"pairs of {', '.join(map(str, groups))}", "give two groups or more, by their names")
    table = pd.DataFrame(pairs, columns=["group_a", "group_b"])
    table["difference"] = [np.mean(groups[a]) - np.mean(groups[b]) for a, b in pairs]
    table["family_size"] = len(pairs)
    table["p_two_sided"] = [rank_sum(groups[a], groups[b]) for a, b in pairs]
    table["p_holm"] = multipletests(table["p_two_sided"], method="holm")[1]
    table["stars"] = [next((stars for limit, stars in ((0.001, "***"), (0.01, "**"), (0.05, "*")) if p < limit), "n.s.")
                      for p in table["p_holm"]]
    # Holm's p never falls when another p of the family rises, so it is least where each is.
    table["least_p_holm"] = multipletests([least_rank_sum(len(groups[a]), len(groups[b])) for a, b in pairs],
                                          method="holm")[1]
    return table


class Interval(NamedTuple):
    """An estimate with its 95 % interval."""

    estimate: float
    low: float
    high: float


def t_interval(values, bounds=(-np.inf, np.inf)):
    """Interval of the mean over animals by Student's t: right for few animals, if their values are about normal.

    Where values have ``bounds`` (least and largest, see :func:`bounds_of`), mean and standard error are carried to a
    scale without (logit between two bounds, which is Fisher's z between -1 and 1; logarithm of the distance from one),
    the interval is made there and carried back: it stays within the bounds, and values may lie on them.

    Measured coverage (nominal 0.95; ``benchmarks/interval_coverage.py``) over three and over five animals: 0.91 to
    0.95 of AUCs whose logits are normal with an SD of 0.5 to 1 about 0.6 to 0.97, where Student's alone has 0.87 to
    0.95 and leaves the bounds in up to four of five cases; 0.92 to 0.94 of R2 about 0 and 0.44; 0.88 to 0.97 of
    differences of two AUCs, bounds -1 and 1, as Student's alone. If one animal in five fails, 0.7. A bootstrap over
    animals has 0.63 to 0.84.

    ``values``, shape (n_animals,): see :func:`by_animal`. Raises DataError: fewer than two, not finite, or beyond the
    bounds.
    """
    values = checked_values(values, "values", at_least=2, what="animals")
    low, high = bounds
    near = 1e-12 * (high - low) if np.isfinite(bounds).all() else 0.0  # a mean of values on a bound may lie beyond it
    inside = np.clip(values, low, high)
    values = np.where(np.abs(values - inside) <= near, inside, values)
    if not low <= values.min() <= values.max() <= high:
        raise DataError("values", f"{values.min():g} to {values.max():g}", f"values from {low:g} to {high:g}",
                        "give the bounds of these values")
    mean, n = float(values.mean()), len(values)
    half = float(special.stdtrit(n - 1, (1 + LEVEL) / 2) * values.std(ddof=1) / np.sqrt(n))
    if half == 0 or not np.isfinite(bounds).any():
        return Interval(mean, mean - half, mean + half)
    ends = half * np.array([-1, 1])
    if np.isfinite(bounds).all():
        share = (mean - low) / (high - low)
        ends = low + (high - low) * special.expit(special.logit(share) + ends / (high - low) / (share * (1 - share)))
    elif np.isfinite(high):
        ends = high - (high - mean) * np.exp(-ends / (high - mean))
    else:
        ends = low + (mean - low) * np.exp(ends / (mean - low))
    return Interval(mean, *map(float, ends))


def bounds_of(metric, difference=False):
    """Least and largest value of a score by its name, (-inf, inf) if it has none; or of a difference of two."""
    low, high = next((bounds for word, bounds in BOUNDS.items() if word in metric), (-np.inf, np.inf))
    return (low - high, high - low) if difference else (low, high)


def block_bootstrap(statistic, n_frames, block_frames, n_draws=1000, seed=0):
    """Percentile interval of a statistic of consecutive frames, by drawing blocks of them with replacement.

    Blocks start anywhere and wrap around (circular block bootstrap). The interval speaks of other frames of the same
    recording, not of other animals or seeds. ``statistic(rows)``: of an integer array of frame numbers; a draw for
    which it gives None (a class is missing) is left out. ``block_frames``: longer than activity and behaviour resemble
    themselves. Raises ParameterError: a block longer than a quarter of the frames, or shorter than a frame; DataError:
    the statistic does not exist in more than half of the draws. Politis, Romano 1992, in Exploring the Limits of
    Bootstrap (Wiley).
    """
    if not 1 <= block_frames <= n_frames / 4:
        raise ParameterError("block_frames", block_frames, f"1 to {n_frames // 4}, a quarter of the frames",
                             "shorten the blocks or use more frames")
    rng = np.random.default_rng(seed)
    n_blocks = -(-n_frames // block_frames)
    draws = []
    for starts in rng.integers(0, n_frames, (n_draws, n_blocks)):
        rows = ((starts[:, None] + np.arange(block_frames)).ravel()[:n_frames]) % n_frames
        if (value := statistic(rows)) is not None:
            draws.append(value)
    if len(draws) < n_draws / 2:
        raise DataError("block bootstrap", f"no statistic in {n_draws - len(draws)} of {n_draws} draws",
                        "a statistic in most draws", "use more frames, or shorter blocks")
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(statistic(np.arange(n_frames))), float(low), float(high))
