"""Otsu's method: the threshold that separates two groups of values best (IEEE SMC-9, 1979)."""

import numpy as np


def otsu_threshold(values: np.ndarray) -> float:
    """The threshold with the largest variance between the values below it and those from it on.

    Parameters
    ----------
    values : ndarray
        Finite values. Every distinct one is tried, so none is binned.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if distinct.size == 1:
        return float(distinct[0])
    below = np.cumsum(counts)[:-1]
    above = values.size - below
    sums = np.cumsum(counts * (distinct - distinct[0]))
    between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    return float(distinct[1:][np.argmax(between)])
