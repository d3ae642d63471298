"""Kernel k-means of an image (Dhillon, Guan and Kulis 2004) with a Gaussian kernel."""

import numpy as np
from features import kernel_features
from grey import as_grey, pixel_area
from lloyd import best_clusters
from pydicom import Dataset


class Plugin:
    """Plugin whose result is an image, the labels or the means, and JSON with the clusters."""

    def init(self):
        """Do nothing: there is nothing to prepare."""

    def process(
        self,
        ds: Dataset = None,
        *args,
        clusters=3,
        gamma=None,
        space=0.0,
        rank=100,
        n_init=5,
        max_iterations=100,
        seed=0,
        output="labels",
        frame=1,
        **kwargs,
    ):
        image = as_grey(ds, frame)
        is_finite = np.isfinite(image)
        values = image[is_finite]
        distinct, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        if distinct.size < clusters:
            raise ValueError(f"clusters is {clusters}, but the image has {distinct.size} distinct finite values")
        # In units of the standard deviation, so that gamma has the same meaning in every image.
        largest = np.abs(values).max() or 1.0  # values are scaled since the square of the largest may overflow
        scale = (values / largest).std() or 1.0
        if space > 0.0:
            points = np.column_stack([values / largest / scale, positions(is_finite) * space])
            weights, place = np.ones(len(values)), np.arange(len(values))
        else:
            points, weights = (distinct / largest / scale)[:, None], counts.astype(np.float64)
        gamma = 1.0 / points.shape[1] if gamma is None else gamma
        features, error = kernel_features(points, gamma, rank)
        found = best_clusters(features, weights, clusters, starts=n_init, iterations=max_iterations, seed=seed)

        cluster_of = found.cluster_of[place]
        means = np.array([mean_of(values[cluster_of == cluster]) if (cluster_of == cluster).any() else np.inf
                          for cluster in range(clusters)])  # fmt: skip
        order = np.argsort(means)
        label_of = np.argsort(order) + 1
        area = pixel_area(ds)
        described = [describe(index + 1, values[cluster_of == cluster], values.size, area)
                     for index, cluster in enumerate(order)]  # fmt: skip
        measured = {
            "clusters": described,
            "inertia": found.inertia,
            "iterations": found.iterations,
            "converged": found.converged,
            "gamma": gamma,
            "rank": features.shape[1],
            "kernel_error": error,
        }
        if output == "means":
            result = np.full(image.shape, np.nan)
            result[is_finite] = means[cluster_of]
        else:
            result = np.zeros(image.shape, np.uint8)
            result[is_finite] = label_of[cluster_of]
        return result, measured

    def destroy(self):
        """Do nothing: there is nothing to release."""


def positions(is_finite: np.ndarray) -> np.ndarray:
    """Return row and column of each finite pixel, shape (pixels, 2).

    They are scaled so that the longer side of the image has the standard deviation 1.
    """
    return np.argwhere(is_finite) / max(is_finite.shape) * np.sqrt(12.0)


def describe(label: int, values: np.ndarray, total: int, area: float | None) -> dict:
    """Describe a cluster by its size, its area, and its values.

    Parameters
    ----------
    label : int
        Label of the cluster.
    values : ndarray
        Values of its pixels.
    total : int
        Number of the pixels of all clusters.
    area : float or None
        Area of a pixel in mm2.

    Returns
    -------
    dict
    """
    described = {"label": label, "pixels": values.size, "fraction": values.size / total}
    if area is not None:
        described["area_mm2"] = values.size * area
    if values.size:
        described |= {"mean": mean_of(values), "min": values.min(), "max": values.max()}
    return described


def mean_of(values: np.ndarray) -> float:
    """Compute the mean without overflow of the sum."""
    largest = np.abs(values).max() or 1.0
    return float((values / largest).mean() * largest)
