"""Region growing beside scikit-image's flood fill and scipy's labelled regions."""

from typing import Any

import numpy as np
import pytest
import scipy
from skimage import segmentation

from neurdicom.errors import PluginFailed
from tests.support.shipped import Image, Shipped, Slice


def connected(similar: Any, seeds: list[tuple[int, int]], connectivity: int) -> Any:
    """The parts of a mask that hold a seed."""
    parts, _ = scipy.ndimage.label(similar, scipy.ndimage.generate_binary_structure(2, connectivity // 4))
    wanted = {parts[seed] for seed in seeds} - {0}
    return np.isin(parts, list(wanted))


@pytest.mark.parametrize("connectivity", [4, 8])
def test_masks_are_scikit_images_to_the_pixel(shipped: Shipped, slice_: Slice, connectivity: int) -> None:
    rows, columns = slice_.pixels.shape
    random = np.random.default_rng(0)
    spread = slice_.pixels.std()
    for tolerance in (0.0, 0.1 * spread, spread, 3 * spread):
        for seed in zip(random.integers(0, rows, 5).tolist(), random.integers(0, columns, 5).tolist(), strict=True):
            mask, told = shipped.on_array(
                "region_growing", slice_.pixels, seed=list(seed), tolerance=tolerance, connectivity=connectivity
            )
            expected = segmentation.flood(
                slice_.pixels, seed, tolerance=tolerance, connectivity=1 if connectivity == 4 else 2
            )
            assert np.array_equal(mask == 1, expected)
            inside = slice_.pixels[expected]
            assert told["pixels"] == inside.size
            assert (told["min"], told["max"]) == (inside.min(), inside.max())
            assert told["mean"] == pytest.approx(inside.mean())
            assert told["standard_deviation"] == pytest.approx(inside.std(ddof=1) if inside.size > 1 else 0, abs=1e-6)
            assert told["centroid"] == pytest.approx(np.argwhere(expected).mean(axis=0))
            first, last = np.argwhere(expected).min(axis=0), np.argwhere(expected).max(axis=0)
            assert list(told["bounding_box"].values()) == [first[0], last[0], first[1], last[1]]


@pytest.mark.parametrize("connectivity", [4, 8])
def test_several_seeds(shipped: Shipped, mr: Slice, connectivity: int) -> None:
    seeds = [(10, 10), (40, 20), (60, 60)]
    options: dict[str, Any] = {"seed": [number for seed in seeds for number in seed], "connectivity": connectivity}
    mask, _ = shipped.on_file("region_growing", mr.path, **options, tolerance=80)
    one_by_one = [segmentation.flood(mr.pixels, seed, tolerance=80, connectivity=connectivity // 4) for seed in seeds]
    assert np.array_equal(mask == 1, np.any(one_by_one, axis=0))
    mask, told = shipped.on_file("region_growing", mr.path, **options, method="range", lower=200, upper=700)
    assert (told["lower"], told["upper"]) == (200, 700)
    similar = (mr.pixels >= 200) & (mr.pixels <= 700)
    assert np.array_equal(mask == 1, connected(similar, seeds, connectivity))


def confidence(pixels: Image, seeds: list[tuple[int, int]], multiplier: float, iterations: int) -> Any:
    """Confidence connected region growing as the guide of ITK describes the filter."""
    around = [pixels[max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2] for r, c in seeds]
    mean = np.mean([each.mean() for each in around])
    deviation = np.sqrt(np.mean([each.var(ddof=1) for each in around]))
    for step in range(iterations + 1):
        values = [pixels[seed] for seed in seeds]
        low = min(mean - multiplier * deviation, *values, np.inf)
        high = max(mean + multiplier * deviation, *values, -np.inf)
        region = connected((pixels >= low) & (pixels <= high), seeds, 4)
        if step < iterations:
            mean, deviation = pixels[region].mean(), pixels[region].std(ddof=1)
    return region


@pytest.mark.parametrize("seeds", [[(32, 32)], [(20, 30), (50, 40)]])
def test_confidence(shipped: Shipped, slice_: Slice, seeds: list[tuple[int, int]]) -> None:
    flat = [number for seed in seeds for number in seed]
    for multiplier, iterations in ((2.5, 4), (1.5, 0), (2.0, 1)):
        mask, _ = shipped.on_array(
            "region_growing",
            slice_.pixels,
            seed=flat,
            method="confidence",
            multiplier=multiplier,
            iterations=iterations,
        )
        assert np.array_equal(mask == 1, confidence(slice_.pixels, seeds, multiplier, iterations))


def test_the_area_follows_from_the_spacing(shipped: Shipped, mr: Slice) -> None:
    _, told = shipped.on_array(
        "region_growing", mr.pixels, seed=[32, 32], tolerance=50, _image={"spacing": [0.5, 0.25]}
    )
    assert told["area_mm2"] == pytest.approx(told["pixels"] * 0.125)
    assert "area_mm2" not in shipped.on_array("region_growing", mr.pixels, seed=[32, 32])[1]


def test_the_seed_is_the_middle_when_there_is_none(shipped: Shipped, slice_: Slice) -> None:
    rows, columns = slice_.pixels.shape
    mask, _ = shipped.on_file("region_growing", slice_.path, tolerance=100)
    assert np.array_equal(
        mask == 1, segmentation.flood(slice_.pixels, (rows // 2, columns // 2), tolerance=100, connectivity=1)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": [64, 0]}, "seed 64, 0 lies outside the image of 64 rows and 64 columns"),
        ({"seed": [-1, 0]}, "seed -1, 0 lies outside"),
        ({"seed": [1, 2, 3]}, "seed has 3 numbers"),
        ({"seed": []}, "seed has 0 numbers"),
        ({"seed": [1, 1], "method": "range", "lower": 2, "upper": 1}, "lower is 2 and upper 1"),
        ({"seed": [5, 5]}, "the pixel at seed 5, 5 is not a finite number"),
    ],
)
def test_what_is_refused(shipped: Shipped, mr: Slice, options: dict[str, Any], message: str) -> None:
    pixels = mr.pixels.copy()
    pixels[5, 5] = np.nan
    with pytest.raises(PluginFailed, match=message):
        shipped.on_array("region_growing", pixels, **options)


def test_what_is_no_number_is_never_inside(shipped: Shipped, mr: Slice) -> None:
    pixels = mr.pixels.copy()
    pixels[20:40] = np.nan
    mask, _ = shipped.on_array("region_growing", pixels, seed=[10, 10], tolerance=1e300)
    assert np.array_equal(mask, np.indices(pixels.shape)[0] < 20)
