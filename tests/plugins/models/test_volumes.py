"""Networks that take a whole series, or all frames of an instance."""

import io

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from tests.support.networks import network, node, package
from tests.support.packages import package as plugin_package
from tests.support.plugin_site import PLUGIN, Site
from tests.support.series import COLUMNS, ROWS, ct_slice, enhanced_ct, slice_pixels
from tests.support.waiting import wait_for

DEPTH = 4
SPEC = {"layout": "NCDHW"}
LABELS = {"kind": "segmentation", "labels": ["background", "one", "two"]}
SHAPE = (1, 1, None, None, None)


def convolution(classes: int = 3, **options):
    """A convolution of 3 x 3 x 3 with random weights."""
    weights = {"w": np.random.default_rng(3).normal(size=(classes, 1, 3, 3, 3)).astype("f4")}
    layer = node("Conv", "x w", "y", "first", pads=[1] * 6)
    return network([layer], weights=weights, **{"shape": SHAPE} | options)


@pytest.fixture
def series(site: Site):
    """A series of four slices that came in another order than they lie in."""
    study = ""
    for number in (3, 1, 4, 2):
        file = io.BytesIO()
        ct_slice(number, series="1.2.826.9", study="1.2.826.8").save_as(file, enforce_file_format=True)
        answer = site.client.post(
            "/api/instances", content=file.getvalue(), headers={"Content-Type": "application/dicom"}
        )
        assert answer.status_code == 201, answer.text
        study = "1.2.826.8"
    yield "1.2.826.9"
    assert site.client.delete(f"/api/studies/{study}").status_code == 204


def values() -> np.ndarray:
    """The volume in Hounsfield units."""
    return np.stack([slice_pixels(number) for number in range(1, DEPTH + 1)]) * 2.0 - 1024


def result_of(site: Site, series: str, tool: str = "by_model/test.model") -> np.ndarray:
    answer = site.client.post(f"/api/series/{series}/process/{tool}?format=npy")
    assert answer.status_code == 202, answer.text
    path = f"/api/jobs/{answer.json()['id']}"
    wait_for(lambda: site.client.get(path).json()["state"] not in ("queued", "running"))
    job = site.client.get(path).json()
    assert (job["state"], job["done"], job["failed"]) == ("done", 1, 0), job
    (item,) = site.client.get(f"{path}/results").json()
    content = site.client.get(f"{item['url']}/content", params={"format": "npy"})
    assert content.status_code == 200, content.text
    return np.load(io.BytesIO(content.content))


def test_a_series_is_segmented_as_one_volume(site: Site, series: str) -> None:
    made = convolution()
    assert site.install_model(package(made, input=SPEC, output=LABELS)).status_code == 201
    expected = ReferenceEvaluator(made).run(None, {"x": values().astype("f4")[None, None]})[0][0].argmax(0)
    np.testing.assert_array_equal(result_of(site, series), expected)
    assert site.install(plugin_package(PLUGIN, models=["test.model"], level="series")).status_code == 201
    np.testing.assert_array_equal(result_of(site, series, "by_plugin/test.plugin"), expected)


def test_a_size_and_normalisation_of_a_volume(site: Site, series: str) -> None:
    same = network([node("Identity", "x", "y")], shape=(1, None, None, None, 1))
    spec = {"layout": "NDHWC", "size": [8, 10, 14], "normalisation": {"mean": -1000, "std": 100}}
    assert site.install_model(package(same, input=spec, output={"kind": "image"})).status_code == 201
    found = result_of(site, series)
    assert found.shape == (DEPTH, ROWS, COLUMNS)
    inner = (slice(1, -1),) * 3
    np.testing.assert_allclose(found[inner], ((values() + 1000) / 100)[inner], atol=0.05)


def test_a_single_image_is_a_volume_of_one_slice(site: Site) -> None:
    assert site.install_model(package(convolution(), input=SPEC, output=LABELS)).status_code == 201
    answer = site.run_model(format="npy")
    assert answer.status_code == 200, answer.text
    assert np.load(io.BytesIO(answer.content)).shape == (1, 6, 8)


def test_all_frames_of_an_instance_are_a_volume(site: Site) -> None:
    ds = enhanced_ct([0.0, 2.5, 5.0])
    file = io.BytesIO()
    ds.save_as(file, enforce_file_format=True)
    headers = {"Content-Type": "application/dicom"}
    assert site.client.post("/api/instances", content=file.getvalue(), headers=headers).status_code == 201
    made = convolution()
    assert site.install_model(package(made, input=SPEC, output=LABELS)).status_code == 201
    volume = np.stack([slice_pixels(number) + number for number in (1, 2, 3)]).astype("f4")
    expected = ReferenceEvaluator(made).run(None, {"x": volume[None, None]})[0][0].argmax(0)
    answer = site.run_model(instance=ds.SOPInstanceUID, format="npy")
    assert answer.status_code == 200, answer.text
    np.testing.assert_array_equal(np.load(io.BytesIO(answer.content)), expected)
    source = PLUGIN.replace('if by == "dataset":', 'if by == "dataset":\n            ds = ds[0]')
    assert site.install(plugin_package(source, models=["test.model"], level="series")).status_code == 201
    path = f"/api/instances/{ds.SOPInstanceUID}/process/by_plugin/test.plugin"
    answer = site.client.get(path, params={"format": "npy"})
    assert answer.status_code == 200, answer.text
    np.testing.assert_array_equal(np.load(io.BytesIO(answer.content)), expected)
    assert site.client.delete(f"/api/instances/{ds.SOPInstanceUID}").status_code == 204


def test_a_layout_with_depth_needs_an_input_with_as_many_axes(site: Site) -> None:
    answer = site.install_model(package(convolution(), output=LABELS))
    assert (answer.status_code, answer.json()["field"]) == (422, "input.layout")
    assert "5 axes" in answer.json()["detail"]
