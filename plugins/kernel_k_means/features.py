"""Feature vectors of points whose inner products approximate a Gaussian kernel."""

import numpy as np


def kernel_features(points: np.ndarray, gamma: float, rank: int, tolerance: float = 1e-6) -> tuple[np.ndarray, float]:
    """Factorise the kernel matrix K = F F^T by pivoted incomplete Cholesky (Fine and Scheinberg, JMLR 2, 2001).

    Only the columns of the pivots are computed: memory and time grow with the number of points, not with its square.
    The next pivot is the point with the largest remaining error.

    Parameters
    ----------
    points : ndarray
        Shape (points, coordinates).
    gamma : float
        K(x, y) = exp(-gamma |x - y|^2).
    rank : int
        Largest number of features.
    tolerance : float
        Error of the diagonal elements of K at which the factorisation ends.

    Returns
    -------
    features : ndarray
        F, shape (points, features).
    error : float
        Largest error of the diagonal elements of K; no other element has a larger one.
    """
    count = len(points)
    features = np.zeros((count, min(rank, count)), order="F")  # filled and read by columns
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
