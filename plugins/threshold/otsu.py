"""Otsu's method: the threshold that separates two groups of values best (IEEE SMC-9, 1979)."""

import numpy as np


def otsu_threshold(image: np.ndarray, bins: int = 256) -> float:
    """The threshold with the largest variance between the values below it and those above.

    Parameters
    ----------
    image : ndarray
        Values of any real type; those that are not finite do not count.
    bins : int
        Of the histogram.
    """
    values = image[np.isfinite(image)]
    if values.size == 0 or values.min() == values.max():
        return float(values.min()) if values.size else 0.0
    counts, edges = np.histogram(values, bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = values.size - below
    sums = np.cumsum(counts * centres)
    mean_below = sums[:-1] / np.maximum(below, 1)
    mean_above = (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    best = int(np.argmax(below * above * (mean_below - mean_above) ** 2))
    return float(edges[best + 1])
