"""Every shipped plugin as users run it: packed, uploaded, and run on an instance of a server."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from tests.support.images import COLUMNS, PIXELS, ROWS
from tests.support.plugin_site import Site
from tests.support.shipped import Shipped

UNITS = PIXELS * 2.0 - 10.0
CASES: dict[str, dict[str, Any]] = {
    "fuzzy_c_means": {"clusters": 2, "fuzziness": 1.5},
    "gaussian_mixture": {"components": 2},
    "k_means": {"clusters": 2},
    "kernel_k_means": {"clusters": 2},
    "mean_shift": {"bandwidth": 25},
    "non_local_means": {"h": 1e-6, "sigma": 0},
    "otsu": {},
    "region_growing": {"seed": "2,3", "tolerance": 6},
    "threshold": {},
}
EXPECTED = {
    "kernel_k_means": None,
    "mean_shift": None,
    "non_local_means": UNITS,
    "otsu": UNITS >= 38,
    "region_growing": (np.abs(UNITS - UNITS[2, 3]) <= 6),
    "threshold": UNITS >= 38,
}


@pytest.mark.parametrize("name", CASES)
def test_run(shipped: Shipped, site: Site, name: str) -> None:
    archive = (shipped.folder / "build" / f"{name}.zip").read_bytes()
    installed = site.install(archive)
    assert installed.status_code == 201, installed.text
    plugin = installed.json()
    assert plugin["id"] == f"org.neurdicom.{name.replace('_', '-')}"
    answer = site.run(plugin["id"], **CASES[name], format="npy")
    assert answer.status_code == 200, answer.text
    result = np.load(io.BytesIO(answer.content))
    expected = EXPECTED.get(name, 1 + (UNITS >= 38))
    assert result.shape == (ROWS, COLUMNS)
    if expected is not None:
        assert np.array_equal(result, expected)
    told = site.run(plugin["id"], **CASES[name], format="json").json()
    assert json.loads(answer.headers["X-Result-Json"]) == told
    picture = site.run(plugin["id"], **CASES[name])
    assert picture.headers["Content-Type"] == "image/png"


def test_what_a_plugin_refuses(shipped: Shipped, site: Site) -> None:
    for name in ("region_growing", "k_means"):
        assert site.install((shipped.folder / "build" / f"{name}.zip").read_bytes()).status_code == 201
    refused = site.run("org.neurdicom.region-growing", seed="6,0")
    assert refused.status_code == 500
    assert refused.json()["detail"].endswith(
        "seed 6, 0 lies outside the image of 6 rows and 8 columns; both count from 0"
    )
    assert site.run("org.neurdicom.region-growing", seed="x").json()["field"] == "seed"
    assert site.run("org.neurdicom.region-growing", seed="1,1", connectivity=6).json()["field"] == "connectivity"
    assert site.run("org.neurdicom.k-means", clusters=17).json()["field"] == "clusters"


def test_a_real_slice_gives_areas_and_segmentations(shipped: Shipped, site: Site) -> None:
    path = Path(str(get_testdata_file("CT_small.dcm")))
    stored = site.client.post(
        "/api/instances", content=path.read_bytes(), headers={"Content-Type": "application/dicom"}
    )
    instance, spacing = stored.json()["results"][0]["id"], dcmread(path).PixelSpacing
    try:
        plugins: dict[str, dict[str, Any]] = {
            "region_growing": {"seed": "64,64", "tolerance": 300},
            "k_means": {},
            "threshold": {},
        }
        for name, params in plugins.items():
            assert site.install((shipped.folder / "build" / f"{name}.zip").read_bytes()).status_code == 201
            url = f"/api/instances/{instance}/process/by_plugin/org.neurdicom.{name.replace('_', '-')}"
            told = site.client.get(url, params={**params, "format": "json"}).json()
            measured = told.get("clusters", [told])
            for each in measured:
                assert each["area_mm2"] == pytest.approx(each["pixels"] * spacing[0] * spacing[1])
            labels = np.load(io.BytesIO(site.client.get(url, params={**params, "format": "npy"}).content))
            answer = site.client.get(url, params={**params, "format": "dicom"})
            assert answer.status_code == 200, answer.text
            segmentation = dcmread(io.BytesIO(answer.content))
            assert segmentation.Modality == "SEG"
            assert segmentation.pixel_array.sum() == (labels > 0).sum()
    finally:
        site.client.delete(f"/api/instances/{instance}")
