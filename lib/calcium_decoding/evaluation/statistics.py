"""Inference: is a difference more than chance, and how sure is a mean?

The unit is the animal. Folds that test the same animal, or that share training animals, are not independent, so twenty
folds of five animals are five numbers. The study's own test, a rank-sum over folds, is here too, to compare with it.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from calcium_decoding.errors import DataError, ParameterError

MOST_ANIMALS = 20  # a million assignments of signs; of more animals so many are drawn
DRAWS = 99_999


def by_animal(values, animals):
    """One number an animal: the mean over its folds (or sessions).

    Parameters
    ----------
    values : array_like, shape (n,)
        Scores, or differences between two decoders on matched folds.
    animals : sequence of str or int, length n
        The test animal of each.

    Returns
    -------
    pandas.Series, shape (n_animals,), float64
        Indexed by animal, in order of appearance.

    Raises
    ------
    DataError
        No values, values that are not finite, or lengths that disagree.
    """
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
    ``floor``: the smallest ``p`` that so few animals, or so many draws, can give, whatever the effect."""

    effect: float
    p: float
    alternative: str
    floor: float
    n_animals: int

    def __str__(self):
        how = "exact" if self.n_animals <= MOST_ANIMALS else f"{DRAWS + 1:,} assignments,"
        return (f"mean difference {self.effect:+.3f} over {self.n_animals} animals, {how} sign-flip p = {self.p:.3g} "
                f"({self.alternative}; no p below {Fraction(self.floor)} is possible)")


def sign_flip(differences, alternative="two-sided"):
    """Sign-flip test of a mean difference over animals, exact for up to 20 of them.

    If the two decoders were alike, each animal's difference would as well have the other sign. ``p`` is the share of
    all 2**n assignments of signs whose mean is as far from 0 as the observed one, or farther. Of more than 20 animals,
    99,999 assignments are drawn, with a fixed seed, and the observed one is counted with them.

    Parameters
    ----------
    differences : array_like, shape (n_animals,)
        One an animal; see :func:`by_animal`.
    alternative : {"two-sided", "greater", "less"}
        ``"greater"``: the mean is above 0.

    Returns
    -------
    SignFlip
        Its ``floor`` is 2 / 2**n two-sided, 1 / 2**n one-sided: 1/16 and 1/32 for five animals, with which no effect
        reaches 0.05 two-sided: report the effect and the single animals first.

    Raises
    ------
    DataError
        Fewer than two animals, or values that are not finite.
    ParameterError
        An alternative that is none.

    Notes
    -----
    Assumes differences symmetric about 0 if nothing differs. Fisher 1935, The Design of Experiments, section 21.
    """
    differences = checked_values(differences, "differences", at_least=2, what="animals")
    n = len(differences)
    if alternative not in ("two-sided", "greater", "less"):
        raise ParameterError("alternative", repr(alternative), "'two-sided', 'greater' or 'less'", "choose one")
    if n > MOST_ANIMALS:
        signs = np.random.default_rng(0).choice((-1.0, 1.0), (DRAWS, n))
        sums, n_assignments = np.concatenate([[differences.sum()], signs @ differences]), DRAWS + 1
    else:
        sums, n_assignments = np.zeros(1), 2**n
        for difference in differences:
            sums = np.concatenate([sums + difference, sums - difference])
    observed = sums[0]
    same = 1e-12 * np.abs(differences).sum()  # sums that differ by rounding alone are equal
    if alternative == "two-sided":
        p = np.mean(np.abs(sums) >= abs(observed) - same)
    else:
        p = np.mean(sums >= observed - same) if alternative == "greater" else np.mean(sums <= observed + same)
    # Among all assignments is the opposite of the observed one, as far from 0; among those drawn it need not be.
    floor = (2 if alternative == "two-sided" and n <= MOST_ANIMALS else 1) / n_assignments
    return SignFlip(float(differences.mean()), float(p), alternative, floor, n)


def rank_sum(a, b):
    """Two-sided Wilcoxon rank-sum test of two independent groups, as the study computed it.

    Parameters
    ----------
    a, b : array_like, shape (n_a,) and (n_b,)
        Values of two groups, such as the AUCs of 20 folds each.

    Returns
    -------
    float
        p, by the normal approximation with correction for continuity and ties.

    Raises
    ------
    DataError
        An empty group, values that are not finite, or all equal, so that there are no ranks.

    Notes
    -----
    Ajioka et al. 2024, DOI 10.1371/journal.pcbi.1011074. MATLAB's ``ranksum`` counts exactly below 10 values a group,
    where the approximation here is coarse. Folds that share animals are not independent, so these p are too small as
    evidence about animals: show :func:`sign_flip` with them.
    """
    a, b = checked_values(a, "a"), checked_values(b, "b")
    if np.ptp(np.concatenate([a, b])) == 0:
        raise DataError("rank sum", f"{len(a) + len(b)} equal values", "values that differ", "there is nothing to test")
    return float(stats.mannwhitneyu(a, b, alternative="two-sided", method="asymptotic", use_continuity=True).pvalue)


def rank_sum_family(pairs, groups):
    """Rank-sum tests of ``pairs`` of names of ``groups`` (dict of name to values), corrected by the method of Holm.

    Returns a DataFrame, a row a pair: ``group_a``, ``group_b``, ``difference`` (mean of a less mean of b),
    ``family_size``, ``p_two_sided``, ``p_holm`` and ``stars`` of the latter. Raises DataError as :func:`rank_sum`,
    ParameterError: no pairs, or an unknown group. Holm 1979, Scandinavian Journal of Statistics 6: 65-70.
    """
    pairs = list(pairs)
    unknown = sorted({str(name) for pair in pairs for name in pair} - {str(name) for name in groups})
    if not pairs or unknown:
        raise ParameterError("pairs", f"unknown groups {', '.join(unknown)}" if unknown else "no pairs",
                             f"pairs of {', '.join(map(str, groups))}", "give two groups or more, by their names")
    p = [rank_sum(groups[a], groups[b]) for a, b in pairs]
    table = pd.DataFrame(pairs, columns=["group_a", "group_b"])
    table["difference"] = [np.mean(groups[a]) - np.mean(groups[b]) for a, b in pairs]
    table["family_size"] = len(pairs)
    table["p_two_sided"] = p
    table["p_holm"] = multipletests(p, method="holm")[1]
    table["stars"] = [_stars(value) for value in table["p_holm"]]
    return table


def _stars(p):
    return next((stars for limit, stars in ((0.001, "***"), (0.01, "**"), (0.05, "*")) if p < limit), "n.s.")


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval at a nominal coverage ``level``; ``str()`` says over how many ``units``, such as
    ``{"animal": 5, "session": 64}``."""

    estimate: float
    low: float
    high: float
    level: float
    units: dict

    def __str__(self):
        units = ", ".join(f"{n} {name}{'s' if n > 1 else ''}" for name, n in self.units.items())
        return f"{self.estimate:.3f} ({100 * self.level:g} % interval {self.low:.3f} to {self.high:.3f}; {units})"


def t_interval(values, level=0.95):
    """Interval of the mean over animals by Student's t: right for few animals, if their values are about normal.

    Parameters
    ----------
    values : array_like, shape (n_animals,)
        One number an animal; see :func:`by_animal`.
    level : float
        Nominal coverage.

    Returns
    -------
    Interval

    Raises
    ------
    DataError
        Fewer than two animals, or values that are not finite.
    ParameterError
        ``level`` out of range.
    """
    values, n = checked_values(values, "values", at_least=2, what="animals"), len(values)
    mean = float(values.mean())
    half = float(stats.t.ppf((1 + _checked_level(level)) / 2, n - 1) * stats.sem(values))
    return Interval(mean, mean - half, mean + half, level, {"animal": n})


def _checked_level(level):
    if not 0 < level < 1:
        raise ParameterError("level", level, "a number between 0 and 1", "0.95 is usual")
    return level
