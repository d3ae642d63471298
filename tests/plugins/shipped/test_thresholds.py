"""Thresholding beside scikit-image."""

import numpy as np
import numpy.typing as npt
import pytest
import skimage

from tests.support.shipped import Image, Shipped, Slice


def variance_between(pixels: Image, mask: npt.NDArray[np.bool_]) -> float:
    low, high = pixels[~mask], pixels[mask]
    return float(low.size * high.size * (low.mean() - high.mean()) ** 2)


def test_otsu_is_scikit_images_within_a_value(shipped: Shipped, slice_: Slice) -> None:
    """Its counts are single precision, so it may be a value off; ours is never the worse one."""
    reference = skimage.filters.threshold_otsu(slice_.pixels.astype(int))
    distinct = np.unique(slice_.pixels)
    labels, told = shipped.on_file("otsu", slice_.path)
    (threshold,) = told["thresholds"]
    assert abs(np.searchsorted(distinct, threshold) - np.searchsorted(distinct, reference)) <= 1
    assert np.array_equal(labels == 1, slice_.pixels > threshold)
    best = variance_between(slice_.pixels, slice_.pixels > reference)
    assert variance_between(slice_.pixels, labels == 1) >= best * (1 - 1e-12)
    mask, measured = shipped.on_file("threshold", slice_.path)
    assert np.array_equal(mask, labels)
    assert measured["threshold"] == distinct[np.searchsorted(distinct, threshold) + 1]


@pytest.mark.parametrize("classes", [3, 4])
def test_several_classes_are_scikit_images(shipped: Shipped, mr: Slice, classes: int) -> None:
    pixels = np.floor(mr.pixels / 16)  # so that its table of bins holds every value
    bins = int(np.ptp(pixels)) + 1
    reference = skimage.filters.threshold_multiotsu(pixels.astype(int), classes, nbins=bins)
    labels, told = shipped.on_array("otsu", pixels, classes=classes)
    assert told["thresholds"] == pytest.approx(reference, abs=1)
    assert np.array_equal(labels, np.digitize(pixels, told["thresholds"], right=True))
    inverted, counted = shipped.on_array("otsu", pixels, classes=classes, invert=True)
    assert np.array_equal(inverted, classes - 1 - labels)
    assert {each["label"]: each["pixels"] for each in counted["classes"]} == {
        label: (inverted == label).sum() for label in range(classes)
    }


def test_separability_is_the_share_of_the_variance(shipped: Shipped, mr: Slice) -> None:
    labels, told = shipped.on_file("otsu", mr.path)
    within = sum(((mr.pixels[labels == each] - mr.pixels[labels == each].mean()) ** 2).sum() for each in (0, 1))
    assert told["separability"] == pytest.approx(1 - within / (mr.pixels.var() * mr.pixels.size))


def test_binary_thresholds(shipped: Shipped, mr: Slice) -> None:
    mask, told = shipped.on_file("threshold", mr.path, threshold=400, upper=900)
    inside = (mr.pixels >= 400) & (mr.pixels <= 900)
    assert np.array_equal(mask, inside)
    assert told["pixels"] == inside.sum()
    assert told["area_mm2"] == pytest.approx(inside.sum() * 0.3125**2)
    assert np.array_equal(shipped.on_file("threshold", mr.path, threshold=400, upper=900, invert=True)[0], ~inside)
    values, _ = shipped.on_file("threshold", mr.path, threshold=400, keep="values")
    assert np.array_equal(values, np.where(mr.pixels >= 400, mr.pixels, mr.pixels.min()))
