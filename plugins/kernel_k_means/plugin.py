"""Kernel k-means of an image (Dhillon, Guan and Kulis 2004) with a Gaussian kernel."""

import numpy as np
from features import kernel_features
from grey import as_grey, pixel_area
from lloyd import best_clusters
from pydicom import Dataset


class Plugin:
    """Answers an image, the labels, and JSON with the clusters."""

    def init(self):
        """Nothing to prepare."""

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
        # In units of the standard deviation, so that gamma means the same in every image.
        largest = np.abs(values).max() or 1.0  # whose square may be no double
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
        """Nothing to release."""


def positions(is_finite: np.ndarray) -> np.ndarray:
    """Give row and column of each pixel that counts, shape (pixels, 2).

    The longer side of the image is as wide as evenly spread values of standard deviation 1.
    """
    return np.argwhere(is_finite) / max(is_finite.shape) * np.sqrt(12.0)


def describe(label: int, values: np.ndarray, total: int, area: float | None) -> dict:
    """What is told of a cluster."""
    described = {"label": label, "pixels": values.size, "fraction": values.size / total}
    if area is not None:
        described["area_mm2"] = values.size * area
    if values.size:
        described |= {"mean": mean_of(values), "min": values.min(), "max": values.max()}
    return described


def mean_of(values: np.ndarray) -> float:
    """Mean, also where the sum is too large for a double."""
    largest = np.abs(values).max() or 1.0
    return float((values / largest).mean() * largest)
