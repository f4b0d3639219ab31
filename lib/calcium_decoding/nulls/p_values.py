"""p-values of an observed score among scores of a null."""

import math

import numpy as np

from calcium_decoding.errors import DataError, ParameterError


def p_value(observed, null_values, alternative="greater"):
    """Monte Carlo p-value, (b + 1) / (n + 1), where b of n null values are as extreme as the observed one.

    Parameters
    ----------
    observed : float
    null_values : array_like, shape (n,)
        A value that differs from the observed one by rounding only (1e-9) counts as extreme.
    alternative : {"greater", "less", "two-sided"}
        Two-sided: twice the smaller of the two, at most 1.

    Returns
    -------
    float
        Never 0: Phipson & Smyth 2010, DOI 10.2202/1544-6115.1585.

    Raises
    ------
    DataError
        No null values, or values that are not finite.
    ParameterError
        Unknown alternative.
    """
    b, n = _count(observed, null_values, alternative)
    p = (b + 1) / (n + 1)
    return min(1.0, 2 * p) if alternative == "two-sided" else p


def shift_p_value(observed, null_values, alternative="greater"):
    """p-value of a linear shift that is never too small: (b + 1) / (n / 2 + 1), at most 1.

    Shifted scores depend on each other, and the unshifted one stands in their middle. If the behaviour is stationary,
    the unshifted score is among the m highest with probability m / (N + 1) at most, N being the number of shifts to
    each side (Harris, arXiv 2012.06862). :func:`p_value` is about half of this and right only where the scores forget
    each other over many fewer shifts than there are.

    Parameters
    ----------
    observed : float
        On the central window.
    null_values : array_like, shape (n,)
        As from :meth:`~calcium_decoding.nulls.Null.draws`: n // 2 or more shifts to each side, evenly spread.
    alternative : {"greater", "less", "two-sided"}
    """
    b, n = _count(observed, null_values, alternative)
    return min(1.0, (2 if alternative == "two-sided" else 1) * (b + 1) / (n // 2 + 1))


def _count(observed, null_values, alternative):
    """How many of how many null values are as extreme as the observed one; to the rarer side if two-sided."""
    values = np.asarray(null_values, dtype=float).reshape(-1)
    if not len(values) or not np.isfinite(values).all() or not math.isfinite(observed):
        raise DataError("null values", f"{len(values)} values, or some of them or the observed one not finite",
                        "one finite null value or more", "leave out sessions without a score before drawing")
    above, below = (int(np.count_nonzero(sign * (values - observed) >= -1e-9)) for sign in (1, -1))
    counts = {"greater": above, "less": below, "two-sided": min(above, below)}
    if alternative not in counts:
        raise ParameterError("alternative", repr(alternative), f"one of {', '.join(counts)}", "name one of these")
    return counts[alternative], len(values)
