"""Mean shift beside scikit-learn, which is imported where it is called: that takes seconds of every collection."""

import numpy as np
import pytest

from tests.support.shipped import Shipped, Slice


@pytest.mark.parametrize("quantile", [0.05, 0.3])
def test_modes_and_labels_are_scikit_learns(shipped: Shipped, slice_: Slice, quantile: float) -> None:
    from sklearn.cluster import MeanShift, estimate_bandwidth
    from sklearn.metrics import adjusted_rand_score

    rows, columns = (size // 2 for size in slice_.pixels.shape)
    pixels = slice_.pixels[rows - 10 : rows + 10, columns - 10 : columns + 10]
    column = pixels.reshape(-1, 1)
    bandwidth = estimate_bandwidth(column, quantile=quantile)
    labels, told = shipped.on_array("mean_shift", pixels, quantile=quantile)
    assert told["bandwidth"] == pytest.approx(bandwidth)
    reference = MeanShift(bandwidth=bandwidth).fit(column)
    assert told["modes"] == pytest.approx(np.sort(reference.cluster_centers_.ravel()))
    assert adjusted_rand_score(reference.labels_, labels.ravel()) == 1.0
    means, _ = shipped.on_array("mean_shift", pixels, output="means", bandwidth=bandwidth)
    assert np.allclose(means, np.array(told["modes"])[labels.astype(int) - 1])


def test_filtering_climbs_to_scikit_learns_modes(shipped: Shipped, mr: Slice) -> None:
    """Climb with one seed as one pixel does; in units of the two bandwidths the kernel is our ball."""
    from sklearn.cluster import MeanShift

    pixels = mr.pixels[16:48, 16:48]
    spatial, bandwidth = 4.0, 120.0
    filtered, _ = shipped.on_array("mean_shift", pixels, output="means", spatial_bandwidth=spatial, bandwidth=bandwidth)
    places = np.argwhere(np.ones(pixels.shape))
    points = np.column_stack([places / spatial, pixels.ravel() / bandwidth])
    for at in range(0, len(points), 41):
        climbed = MeanShift(bandwidth=1.0, seeds=points[[at]]).fit(points).cluster_centers_[0]
        assert filtered.ravel()[at] == pytest.approx(climbed[2] * bandwidth, abs=0.05)
