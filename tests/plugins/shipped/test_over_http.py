"""Every shipped plugin as users run it: packed, uploaded, and run on an instance of a server."""

import io
import json
from typing import Any

import numpy as np
import pytest

from tests.plugins.conftest import Site
from tests.plugins.images import COLUMNS, PIXELS, ROWS
from tests.plugins.shipped.conftest import Shipped

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
