"""Shipped plugins with images that nobody expects, and with parameters that can't be met."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from neurdicom.errors import NeurdicomError, PluginFailed
from tests.support.images import ct_image
from tests.support.shipped import Image, Shipped

#: Native plugin to parameters that any image of one distinct value can meet.
NATIVE: dict[str, dict[str, Any]] = {
    "fuzzy_c_means": {"clusters": 1},
    "gaussian_mixture": {"components": 1},
    "k_means": {"clusters": 1},
    "mean_shift": {},
    "non_local_means": {},
    "region_growing": {"seed": [0, 0]},
}
TWO_GROUPS = np.random.default_rng(0).uniform(0, 10, (5, 8)) + 40 * (np.arange(8) > 3)


def test_this_is_all_of_them(shipped: Shipped) -> None:
    native = {name for name in shipped.names if (shipped.folder / name / f"{name}.so").exists()}
    assert native == {*NATIVE, "otsu"}
    assert set(shipped.names) - native == {"hello", "kernel_k_means", "threshold"}
    packed = {path.stem for path in (shipped.folder / "build").glob("*.zip")}
    assert packed == set(shipped.names)


@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (37, 53)])
def test_constant_images_of_any_size(shipped: Shipped, name: str, shape: tuple[int, int]) -> None:
    result, told = shipped.on_array(name, np.full(shape, -7.25), **NATIVE[name])
    assert result.shape == shape
    assert np.array_equal(result, np.full(shape, -7.25 if name == "non_local_means" else 1.0))
    assert told.get("converged", True)


@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize("factor", [1e-308, 1e-3, 0.37, 1e6, 1e140])
def test_labels_do_not_depend_on_the_scale(shipped: Shipped, name: str, factor: float) -> None:
    options: dict[str, dict[str, Any]] = {
        "fuzzy_c_means": {"clusters": 2},
        "gaussian_mixture": {"components": 2, "regularisation": 0},
        "k_means": {"clusters": 2},
        "mean_shift": {"bandwidth": 15 * factor},
        "non_local_means": {"h": 3 * factor},
        "region_growing": {"seed": [0, 0], "tolerance": 15 * factor},
    }
    result, _ = shipped.on_array(name, TWO_GROUPS * factor, **options[name])
    if name == "non_local_means":
        denoised, _ = shipped.on_array(name, TWO_GROUPS, h=3)
        assert np.allclose(result / factor, denoised)
    elif name == "region_growing":
        assert np.array_equal(result, TWO_GROUPS < 20)
    else:
        assert np.array_equal(result, np.where(TWO_GROUPS < 20, 1, 2))


def extreme() -> Image:
    pixels = np.random.default_rng(0).normal(0, 100, (40, 30))
    pixels[0, :5] = np.nan, np.inf, -np.inf, 1.7e308, -1.7e308
    return pixels


@pytest.mark.parametrize("name", [*NATIVE, "otsu"])
def test_extreme_values_end_in_a_result_or_in_words(shipped: Shipped, name: str) -> None:
    options = {"seed": [20, 20]} if name == "region_growing" else {}
    for pixels in (extreme(), np.full((3, 3), np.nan), np.full((3, 3), np.inf), np.array([[1e308, -1e308]])):
        try:
            result, _ = shipped.on_array(name, pixels, **options)
        except PluginFailed as error:
            assert len(str(error)) > 20, "it says why"
        else:
            assert result.shape == pixels.shape
            assert np.isin(result[~np.isfinite(pixels)], [0.0]).all() or name == "non_local_means"


@pytest.mark.parametrize("name", [*NATIVE, "otsu"])
def test_the_same_gives_the_same(shipped: Shipped, name: str) -> None:
    pixels = np.random.default_rng(1).normal(0, 100, (64, 48)).round(1)
    options = {"seed": [20, 20], "tolerance": 100} if name == "region_growing" else {}
    first, again = (shipped.on_array(name, pixels, **options) for _ in range(2))
    assert np.array_equal(first[0], again[0])
    assert first[1] == again[1]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("k_means", {"clusters": 3}, "clusters is 3, but the image has only 2 distinct values"),
        ("fuzzy_c_means", {"clusters": 3}, "clusters is 3, but the image has only 2 distinct values"),
        ("gaussian_mixture", {"components": 3}, "components is 3, but the image has only 2 distinct values"),
        ("otsu", {"classes": 3}, "classes is 3, but the image has only 2 distinct values"),
        ("fuzzy_c_means", {"clusters": 2, "cluster": 3}, "cluster is 3; 1 to 2 is expected"),
        ("mean_shift", {"spatial_bandwidth": 2}, "set output to means"),
        ("mean_shift", {"bandwidth": 0}, "bandwidth is 0; more than 0 is expected"),
    ],
)
def test_what_the_image_can_not_give(shipped: Shipped, name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginFailed, match=message):
        shipped.on_array(name, [[1.0, 2.0], [1.0, float("nan")]], **options)


def test_integers_and_fractions_are_counted_alike(shipped: Shipped) -> None:
    """Integers are counted in a table, fractions by hashing."""
    pixels = np.random.default_rng(2).integers(-3000, 3000, (200, 150)).astype(float)
    pixels[0, 0] = -0.0
    for name, options in (("k_means", {"clusters": 5}), ("otsu", {"classes": 3}), ("mean_shift", {"quantile": 0.2})):
        whole, _ = shipped.on_array(name, pixels, **options)
        fractions, _ = shipped.on_array(name, pixels / 8192, **options)
        assert np.array_equal(whole, fractions)


def test_more_values_than_can_be_divided_exactly(shipped: Shipped) -> None:
    pixels = np.random.default_rng(3).normal(0, 1, (1024, 600)) + 8 * (np.arange(600) > 300)
    labels, told = shipped.on_array("k_means", pixels, clusters=2, n_init=2)
    assert told["algorithm"] == "lloyd"
    assert np.array_equal(labels == 2, np.broadcast_to(pixels > 4, labels.shape))
    with pytest.raises(PluginFailed, match="614400 distinct values"):
        shipped.on_array("otsu", pixels)


@pytest.mark.parametrize("name", ["kernel_k_means", "threshold"])
@pytest.mark.parametrize("file", ["examples_rgb_color.dcm", "rtdose.dcm", "examples_palette.dcm", "MR_small.dcm"])
def test_python_plugins_take_colour_and_frames(shipped: Shipped, name: str, file: str) -> None:
    path = Path(str(get_testdata_file(file)))
    ds = pydicom.dcmread(path)
    frames = int(ds.get("NumberOfFrames", 1))
    labels, told = shipped.on_file(name, path, frame=frames)
    assert labels.shape == (ds.Rows, ds.Columns)
    assert labels.dtype == np.uint8
    assert sum(each["pixels"] for each in told.get("clusters", [{"pixels": labels.size}])) == labels.size
    with pytest.raises(NeurdicomError, match=f"frame is {frames + 1}; the instance has {frames}"):
        shipped.on_file(name, path, frame=frames + 1)


def test_python_plugins_say_what_the_image_can_not_give(shipped: Shipped, tmp_path: Path) -> None:
    ds = pydicom.dcmread(io.BytesIO(ct_image()[1]))
    ds.PixelData = bytes(len(ds.PixelData))
    ds.save_as(tmp_path / "black.dcm")
    with pytest.raises(NeurdicomError, match="clusters is 3, but the image has 1 distinct finite value"):
        shipped.on_file("kernel_k_means", tmp_path / "black.dcm")
    mask, told = shipped.on_file("threshold", tmp_path / "black.dcm")
    assert mask.all()
    assert told["threshold"] == -10
    with pytest.raises(NeurdicomError, match="upper is -20, and threshold is -10"):
        shipped.on_file("threshold", tmp_path / "black.dcm", upper=-20)
