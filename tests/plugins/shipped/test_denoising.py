"""Non-local means beside its definition and scikit-image."""

import numpy as np
import pytest
import scipy
from skimage import restoration

from tests.support.shipped import Image, Shipped, Slice


def by_definition(pixels: Image, patch: int, reach: int, h: float, sigma: float) -> Image:
    """The weighted mean over all shifts, each weight by the mean squared difference of two whole patches."""
    margin = patch + reach
    padded = np.pad(pixels, margin, mode="reflect")
    rows, columns = pixels.shape
    sums, totals = np.zeros(pixels.shape), np.zeros(pixels.shape)
    inner = slice(margin, margin + rows), slice(margin, margin + columns)
    for down in range(-reach, reach + 1):
        for across in range(-reach, reach + 1):
            moved = np.roll(padded, (-down, -across), (0, 1))
            squares = scipy.ndimage.uniform_filter((padded - moved) ** 2, 2 * patch + 1)[inner]
            distance = np.maximum(squares - 2 * sigma**2, 0) / h**2
            weight = np.where(distance <= 5, np.exp(-distance), 0)
            sums += weight * moved[inner]
            totals += weight
    return sums / totals


@pytest.mark.parametrize(("patch_size", "reach"), [(5, 6), (3, 4), (1, 3)])
def test_it_is_what_the_definition_says(shipped: Shipped, mr: Slice, patch_size: int, reach: int) -> None:
    for h, sigma in ((41.3, 0.0), (20.7, 25.1)):
        denoised, told = shipped.on_array(
            "non_local_means", mr.pixels, patch_size=patch_size, patch_distance=reach, h=h, sigma=sigma
        )
        assert (told["h"], told["sigma"]) == pytest.approx((h, sigma))
        assert np.allclose(denoised, by_definition(mr.pixels, patch_size // 2, reach, h, sigma), atol=1e-3)


def test_it_is_near_scikit_images(shipped: Shipped, slice_: Slice) -> None:
    """Its box sums leave out a row and a column of each patch, so that the two differ by less than what both change."""
    denoised, told = shipped.on_file("non_local_means", slice_.path)
    reference = restoration.denoise_nl_means(slice_.pixels, 5, 6, h=told["h"], sigma=told["sigma"], preserve_range=True)
    changed = np.abs(reference - slice_.pixels).mean()
    assert np.abs(denoised - reference).mean() < changed
    assert np.corrcoef((denoised - slice_.pixels).ravel(), (reference - slice_.pixels).ravel())[0, 1] > 0.5


def test_it_takes_noise_away_as_scikit_image_does(shipped: Shipped, slice_: Slice) -> None:
    clean = scipy.ndimage.gaussian_filter(slice_.pixels, 1.5)[:128, :128]
    sigma = clean.std() / 15
    noisy = clean + np.random.default_rng(0).normal(0, sigma, clean.shape)
    denoised, told = shipped.on_array("non_local_means", noisy)
    assert told["sigma"] == pytest.approx(sigma, rel=0.15)
    reference = restoration.denoise_nl_means(noisy, 5, 6, h=0.8 * sigma, sigma=sigma, preserve_range=True)
    left, left_by_reference = ((each - clean).std() for each in (denoised, reference))
    assert left < 0.7 * sigma
    assert left < 1.1 * left_by_reference


def test_what_is_no_number_stays(shipped: Shipped, mr: Slice) -> None:
    pixels = mr.pixels.copy()
    pixels[10, 10], pixels[20, 20] = np.nan, np.inf
    denoised, _ = shipped.on_array("non_local_means", pixels)
    assert np.isnan(denoised[10, 10])
    assert np.isposinf(denoised[20, 20])
    assert np.isfinite(denoised).sum() == pixels.size - 2
