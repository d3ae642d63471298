"""k-means, fuzzy c-means, Gaussian mixture and kernel k-means beside scikit-learn and plain numpy.

scikit-learn is imported where it is called: that takes seconds of every collection.
"""

from typing import Any

import numpy as np
import pytest

from tests.support.shipped import Image, Shipped, Slice


def inertia_of(pixels: Image, labels: Image) -> float:
    groups = [pixels[labels == label] for label in np.unique(labels)]
    return sum(float(((group - group.mean()) ** 2).sum()) for group in groups)


@pytest.mark.parametrize("clusters", [2, 4])
def test_k_means_finds_what_scikit_learn_finds(shipped: Shipped, slice_: Slice, clusters: int) -> None:
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    values, first, counts = np.unique(slice_.pixels, return_inverse=True, return_counts=True)
    reference = KMeans(clusters, n_init=10, tol=0, random_state=0).fit(values[:, None], sample_weight=counts)
    for algorithm in ("exact", "lloyd"):
        labels, told = shipped.on_file("k_means", slice_.path, clusters=clusters, algorithm=algorithm)
        assert told["algorithm"] == algorithm
        assert told["inertia"] == pytest.approx(reference.inertia_, rel=1e-3)
        assert told["inertia"] == pytest.approx(inertia_of(slice_.pixels, labels), rel=1e-9)
        assert adjusted_rand_score(reference.labels_[first].ravel(), labels.ravel()) > 0.99
        assert sorted(np.unique(labels)) == list(range(1, clusters + 1))
        means = [slice_.pixels[labels == label].mean() for label in range(1, clusters + 1)]
        assert means == sorted(means)
        assert [each["mean"] for each in told["clusters"]] == pytest.approx(means)
    assert shipped.on_file("k_means", slice_.path, clusters=clusters)[1]["inertia"] <= reference.inertia_ * (1 + 1e-9)


def test_k_means_gives_the_image_of_means(shipped: Shipped, mr: Slice) -> None:
    labels, told = shipped.on_file("k_means", mr.path)
    means, _ = shipped.on_file("k_means", mr.path, output="means")
    for each in told["clusters"]:
        assert np.allclose(means[labels == each["label"]], each["mean"])
        assert each["pixels"] == (labels == each["label"]).sum()


def test_lloyd_depends_on_its_seed_only(shipped: Shipped, mr: Slice) -> None:
    options: dict[str, Any] = {"algorithm": "lloyd", "clusters": 9, "n_init": 1}
    first, again, other = (shipped.on_file("k_means", mr.path, **options, seed=seed) for seed in (1, 1, 2))
    assert first[1] == again[1]
    assert np.array_equal(first[0], again[0])
    assert first[1]["inertia"] != other[1]["inertia"]


def bezdek(pixels: Image, clusters: int, fuzziness: float) -> tuple[Image, float]:
    """The updates of Bezdek's fuzzy c-means over all pixels, written down as they stand in the book."""
    values = pixels.ravel()
    centres = np.quantile(values, (np.arange(clusters) + 0.5) / clusters) + np.arange(clusters) * 1e-3
    for _ in range(2000):
        distances = np.abs(values - centres[:, None]) + 1e-12
        memberships = 1.0 / ((distances[:, None] / distances[None]) ** (2 / (fuzziness - 1))).sum(axis=1)
        powers = memberships**fuzziness
        before, centres = centres, (powers * values).sum(axis=1) / powers.sum(axis=1)
        if np.abs(centres - before).max() < 1e-7 * np.ptp(values):
            break
    return np.sort(centres), float((powers * (values - centres[:, None]) ** 2).sum())


@pytest.mark.parametrize(("clusters", "fuzziness"), [(3, 2.0), (2, 1.7)])
def test_fuzzy_c_means_reaches_bezdeks_objective(
    shipped: Shipped, slice_: Slice, clusters: int, fuzziness: float
) -> None:
    pixels = slice_.pixels[::2, ::2]  # fewer, for the reference's sake
    centres, objective = bezdek(pixels, clusters, fuzziness)
    labels, told = shipped.on_array("fuzzy_c_means", pixels, clusters=clusters, fuzziness=fuzziness)
    assert told["converged"]
    assert told["objective"] == pytest.approx(objective, rel=1e-4)
    assert told["centres"] == pytest.approx(centres, abs=1e-3 * np.ptp(pixels))
    nearest = np.abs(pixels - np.array(told["centres"])[:, None, None]).argmin(axis=0) + 1
    assert np.array_equal(labels, nearest)


def test_memberships_add_up_to_one(shipped: Shipped, mr: Slice) -> None:
    options: dict[str, Any] = {"clusters": 4, "fuzziness": 1.5, "output": "membership"}
    memberships = [shipped.on_file("fuzzy_c_means", mr.path, **options, cluster=each)[0] for each in (1, 2, 3, 4)]
    assert np.allclose(sum(memberships), 1.0)
    labels, told = shipped.on_file("fuzzy_c_means", mr.path, clusters=4, fuzziness=1.5)
    assert np.array_equal(np.argmax(memberships, axis=0) + 1, labels)
    coefficient = (np.array(memberships) ** 2).sum() / mr.pixels.size
    assert told["partition_coefficient"] == pytest.approx(coefficient)


@pytest.mark.parametrize("components", [2, 3])
def test_the_mixture_is_as_likely_as_scikit_learns(shipped: Shipped, slice_: Slice, components: int) -> None:
    from sklearn.metrics import adjusted_rand_score
    from sklearn.mixture import GaussianMixture

    pixels = slice_.pixels[::4, ::4]
    column = pixels.reshape(-1, 1)
    reference = GaussianMixture(components, tol=1e-6, max_iter=1000, random_state=0).fit(column)
    labels, told = shipped.on_array("gaussian_mixture", pixels, components=components)
    assert told["mean_log_likelihood"] == pytest.approx(reference.score(column), abs=1e-3)
    assert told["bic"] == pytest.approx(reference.bic(column), rel=1e-4)
    order = reference.means_.ravel().argsort()
    assert told["means"] == pytest.approx(reference.means_.ravel()[order], abs=1e-2 * np.ptp(pixels))
    assert told["weights"] == pytest.approx(reference.weights_[order], abs=1e-2)
    assert adjusted_rand_score(reference.predict(column), labels.ravel()) > 0.98


def test_probabilities_are_those_of_the_mixture_that_is_told(shipped: Shipped, mr: Slice) -> None:
    _, told = shipped.on_file("gaussian_mixture", mr.path)
    weights, means, deviations = (
        np.array(told[name])[:, None, None] for name in ("weights", "means", "standard_deviations")
    )
    densities = weights / deviations * np.exp(-(((mr.pixels - means) / deviations) ** 2) / 2)
    probability, _ = shipped.on_file("gaussian_mixture", mr.path, output="probability", component=2)
    assert np.allclose(probability, densities[1] / densities.sum(axis=0), atol=1e-9)


@pytest.mark.parametrize("options", [{"clusters": 3}, {"clusters": 4, "gamma": 5.0}])
def test_kernel_k_means_is_k_means_in_the_kernels_space(shipped: Shipped, mr: Slice, options: dict[str, Any]) -> None:
    """KernelPCA with all components embeds the kernel's whole matrix, which the plugin never makes."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import KernelPCA
    from sklearn.metrics import adjusted_rand_score

    labels, told = shipped.on_file("kernel_k_means", mr.path, **options, n_init=50)
    values, first, counts = np.unique(mr.pixels, return_inverse=True, return_counts=True)
    points = (values / mr.pixels.std())[:, None]
    embedded = KernelPCA(None, kernel="rbf", gamma=told["gamma"], remove_zero_eig=True).fit_transform(points)
    reference = KMeans(options["clusters"], n_init=50, tol=0, random_state=0).fit(embedded, sample_weight=counts)
    assert told["inertia"] == pytest.approx(reference.inertia_, rel=1e-3)
    assert adjusted_rand_score(reference.labels_[first].ravel(), labels.ravel()) > 0.98


def test_kernel_k_means_by_value_and_position(shipped: Shipped, mr: Slice) -> None:
    """Find no pixel nearer to another cluster's mean, by the kernel's matrix of all pixels."""
    from sklearn.metrics.pairwise import rbf_kernel

    labels, told = shipped.on_file("kernel_k_means", mr.path, space=0.5)
    rows, columns = np.indices(mr.pixels.shape).reshape(2, -1) / max(mr.pixels.shape) * np.sqrt(12) * 0.5
    points = np.column_stack([mr.pixels.ravel() / mr.pixels.std(), rows, columns])
    kernel = rbf_kernel(points, gamma=told["gamma"])
    members = (labels.ravel() == np.array([[1], [2], [3]])) / np.array([[each["pixels"]] for each in told["clusters"]])
    crossed = members @ kernel
    lengths = (crossed * members).sum(axis=1)
    distances = 1 - 2 * crossed + lengths[:, None]
    assert (distances.argmin(axis=0) + 1 == labels.ravel()).mean() > 0.999
    assert told["inertia"] == pytest.approx(distances.min(axis=0).sum(), rel=1e-3)
    assert told["kernel_error"] < 1e-3
    assert told["rank"] <= 100
