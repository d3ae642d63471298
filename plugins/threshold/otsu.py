"""Otsu's method: the threshold that best separates two groups of values (IEEE SMC-9, 1979)."""

import numpy as np


def otsu_threshold(values: np.ndarray) -> float:
    """Find the threshold with the largest variance between the values below it and the others.

    Parameters
    ----------
    values : ndarray
        Finite values. Every distinct value is a candidate; there are no bins.

    Returns
    -------
    float
        Smallest value of the upper group.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if distinct.size == 1:
        return float(distinct[0])
    below = np.cumsum(counts)[:-1]
    above = values.size - below
    sums = np.cumsum(counts * (distinct - distinct[0]))
    between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    return float(distinct[1:][np.argmax(between)])
