"""Points of a few coordinates whose inner products are a Gaussian kernel's."""

import numpy as np


def kernel_features(points: np.ndarray, gamma: float, rank: int, tolerance: float = 1e-6) -> tuple[np.ndarray, float]:
    """The kernel's matrix K = F F^T by pivoted incomplete Cholesky (Fine and Scheinberg, JMLR 2, 2001).

    Only the columns of the pivots are ever computed: memory and time grow with the number of points, not with its
    square. A pivot is the point that the features so far describe worst.

    Parameters
    ----------
    points : ndarray
        Shape (points, coordinates).
    gamma : float
        K(x, y) = exp(-gamma |x - y|^2).
    rank : int
        At most so many features.
    tolerance : float
        It ends when no diagonal element of K is off by more.

    Returns
    -------
    features : ndarray
        F, shape (points, features).
    error : float
        The largest error that a diagonal element of K is left with; elements beside the diagonal have none larger.
    """
    count = len(points)
    features = np.zeros((count, min(rank, count)), order="F")  # it is filled and read by columns
    left = np.ones(count)
    for used in range(features.shape[1]):
        pivot = int(np.argmax(left))
        if left[pivot] <= tolerance:
            return features[:, :used], float(left[pivot])
        column = np.exp(-gamma * ((points - points[pivot]) ** 2).sum(axis=1))
        column -= features[:, :used] @ features[pivot, :used]
        features[:, used] = column / np.sqrt(left[pivot])
        left = np.maximum(left - features[:, used] ** 2, 0.0)
        left[pivot] = 0.0
    return features, float(left.max())
