"""Weighted k-means: k-means++ starts (Arthur and Vassilvitskii 2007) and Lloyd's iteration."""

from dataclasses import dataclass

import numpy as np

#: Largest number of points on which starts are compared; only the best start is iterated on all points.
SAMPLE = 20_000


@dataclass
class Solution:
    """Clusters of points, with their inertia: the weighted sum of squared distances from the means."""

    cluster_of: np.ndarray
    means: np.ndarray
    inertia: float
    iterations: int
    converged: bool


def best_clusters(
    points: np.ndarray, weights: np.ndarray, clusters: int, *, starts: int, iterations: int, seed: int
) -> Solution:
    """Run k-means from several starts, and return the clusters with the smallest inertia.

    Parameters
    ----------
    points : ndarray
        Shape (points, coordinates).
    weights : ndarray
        Weight of each point, shape (points,).
    clusters : int
        Number of clusters.
    starts : int
        Number of starts.
    iterations : int
        Largest number of iterations of a start.
    seed : int
        Seed of the random starts.

    Returns
    -------
    Solution
    """
    random = np.random.default_rng(seed)
    tried, tried_weights = points, weights
    if len(points) > SAMPLE:
        chosen = random.choice(len(points), SAMPLE, replace=False)
        tried, tried_weights = points[chosen], weights[chosen]
    best = None
    for _ in range(starts):
        run = _run(tried, tried_weights, _draw(tried, tried_weights, clusters, random), iterations)
        if best is None or run.inertia < best.inertia:
            best = run
    return best if tried is points else _run(points, weights, best.means, iterations)


def _draw(points: np.ndarray, weights: np.ndarray, clusters: int, random: np.random.Generator) -> np.ndarray:
    """Draw starting means, each with a probability that grows with its squared distance from those before."""
    means = points[[random.choice(len(points), p=weights / weights.sum())]]
    nearest = ((points - means[0]) ** 2).sum(axis=1)
    while len(means) < clusters:
        chances = weights * nearest
        if chances.sum() == 0.0:  # all points have the same features
            chances = weights
        chosen = points[random.choice(len(points), p=chances / chances.sum())]
        means = np.vstack([means, chosen])
        nearest = np.minimum(nearest, ((points - chosen) ** 2).sum(axis=1))
    return means


def _run(points: np.ndarray, weights: np.ndarray, means: np.ndarray, iterations: int) -> Solution:
    lengths = np.einsum("ij,ij->i", points, points)
    cluster_of = np.full(len(points), -1)
    converged, done = False, 0
    while not converged and done < iterations:
        distances = (means**2).sum(axis=1)[:, None] - 2.0 * means @ points.T  # without the points' lengths
        nearest = distances.argmin(axis=0)
        converged = bool(np.array_equal(nearest, cluster_of))
        cluster_of, done = nearest, done + 1
        members = (cluster_of == np.arange(len(means))[:, None]) * weights
        total = members.sum(axis=1)[:, None]
        # The mean of an empty cluster stays.
        means = np.where(total > 0.0, members @ points / np.maximum(total, 1e-300), means)
    distances = (means**2).sum(axis=1)[:, None] - 2.0 * means @ points.T
    squares = np.maximum(lengths + distances[cluster_of, np.arange(len(points))], 0.0)
    return Solution(cluster_of, means, float(weights @ squares), done, converged)
