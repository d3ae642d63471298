"""Plugins of level series over HTTP: series, multi-frame instances, and what else lies in a series."""

import io
import json
import shutil
import uuid
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from tests.support.native_plugins import IMAGE, VOLUME, native
from tests.support.packages import package
from tests.support.processing_jobs import JobsClient
from tests.support.series import COLUMNS, ROWS, ct_slice, enhanced_ct, slice_pixels
from tests.support.server import Server

PYTHON = """
class Plugin:
    def process(self, ds, **kwargs):
        return {"type": type(ds).__name__, "instances": [one.SOPInstanceUID for one in ds],
                "windows": [str(one.get("WindowCenter")) for one in ds]}
"""


def new_uid() -> str:
    """Return a UID that has room for more components."""
    return f"2.25.{uuid.uuid4().int >> 32}"


def saved(ds: Dataset) -> bytes:
    made = io.BytesIO()
    ds.save_as(made, enforce_file_format=True)
    return made.getvalue()


def series_of(count: int, **elements: Any) -> tuple[str, list[Dataset]]:
    uid = new_uid()
    return uid, [ct_slice(n, series=uid, study=uid + ".1", z=-2.5 * n, **elements) for n in range(1, count + 1)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobsClient]:
    """A server with a native and a Python plugin for series."""
    if shutil.which("cc") is None:
        pytest.skip("a C compiler is needed for a native plugin")
    folder = tmp_path_factory.mktemp("plugins")
    with Server(tmp_path_factory.mktemp("volumes"), "--plugin-workers", "2", "--plugin-memory", "64") as server:
        client = JobsClient(server.client)
        client.install(package(PYTHON, plugin_guid="python", level="series"))
        client.install(native(folder, "native", VOLUME))
        client.install(native(folder, "slices", IMAGE))
        yield client


def store(site: JobsClient, datasets: Sequence[Dataset]) -> list[str]:
    return site.store(*(saved(ds) for ds in datasets))


def over_series(site: JobsClient, uid: str, plugin: str, **params: Any) -> list[dict[str, Any]]:
    job = site.ended(site.process("series", uid, plugin, **params))
    assert job["state"] == "done", job
    return site.results(job["id"])


def content(site: JobsClient, item: dict[str, Any], **params: Any) -> Any:
    answer = site.http.get(f"/api/results/{item['result']}/content", params=params)
    assert answer.status_code == 200, answer.text
    return answer


def test_a_series_is_one_volume(site: JobsClient) -> None:
    uid, files = series_of(4)
    store(site, [files[n] for n in (2, 0, 3, 1)])
    (item,) = over_series(site, uid, "native")
    assert (item["series"], item["instance"]) == (uid, None)
    volume = np.load(io.BytesIO(content(site, item, format="npy").content))
    np.testing.assert_array_equal(volume, np.stack([slice_pixels(n) * 2.0 - 1023 for n in (4, 3, 2, 1)]))
    shown = content(site, item, format="png", frame=3)
    assert shown.headers["X-Shape"] == f"{ROWS},{COLUMNS}"
    assert site.http.get(f"/api/results/{item['result']}/content?format=png&frame=5").status_code == 422


def test_a_multi_frame_instance_is_one_volume(site: JobsClient) -> None:
    (uid,) = store(site, [enhanced_ct([5.0, 0.0, 2.5], uid=new_uid(), series=new_uid(), study=new_uid())])
    for method in (site.http.get, site.http.post):
        answer = method(f"/api/instances/{uid}/process/by_plugin/native", params={"format": "f64"})
        assert (answer.status_code, answer.headers["X-Shape"]) == (200, f"3,{ROWS},{COLUMNS}"), answer.text
        volume = np.frombuffer(answer.content).reshape(3, ROWS, COLUMNS)
        np.testing.assert_array_equal(volume, np.stack([slice_pixels(n) + n + 1.0 for n in (2, 3, 1)]))
        image = json.loads(answer.headers["X-Result-Json"])["_image"]
        assert (image["frames"], image["instances"]) == ([2, 3, 1], [uid] * 3)
    answer = site.http.get(f"/api/instances/{uid}/process/by_plugin/native", params={"frame": 4})
    assert (answer.status_code, answer.json()["field"]) == (422, "frame")
    assert site.http.get(f"/api/instances/{uid}/process/by_plugin/python").json()["instances"] == [uid]


def test_a_single_image_is_a_volume_of_one_slice(site: JobsClient) -> None:
    _, files = series_of(1)
    (uid,) = store(site, files)
    answer = site.http.get(f"/api/instances/{uid}/process/by_plugin/native", params={"format": "f32"})
    assert answer.headers["X-Shape"] == f"1,{ROWS},{COLUMNS}"
    assert site.http.get("/api/instances/1.2.3.4.5/process/by_plugin/native").status_code == 404


def test_without_process_volume_slices_come_one_by_one(site: JobsClient) -> None:
    uid, files = series_of(5)
    ids = store(site, files)
    items = over_series(site, uid, "slices")
    assert {item["instance"] for item in items} == set(ids)
    for item in items:
        image = np.load(io.BytesIO(content(site, item, format="npy").content))
        assert (image.shape, image[0, 0]) == ((ROWS, COLUMNS), 7)
    answer = site.http.get(f"/api/instances/{ids[0]}/process/by_plugin/slices", params={"format": "f64"})
    assert answer.headers["X-Shape"] == f"{ROWS},{COLUMNS}"


def test_python_gets_the_images_of_a_series_with_edits(site: JobsClient) -> None:
    """Reports and label maps that lie in the series are none of its slices."""
    uid, files = series_of(3)
    report = ct_slice(8, series=uid, study=uid + ".1", PixelData=None, Rows=None, Columns=None)
    label = ct_slice(9, series=uid, study=uid + ".1", SOPClassUID=SegmentationStorage)
    label.file_meta.MediaStorageSOPClassUID = SegmentationStorage
    store(site, [*files, report, label])
    assert site.http.put(f"/api/instances/{uid}.2", json={"window_center": [77]}).status_code == 200
    (item,) = over_series(site, uid, "python")
    found = content(site, item).json()
    assert found == {
        "type": "list",
        "instances": [f"{uid}.{n}" for n in (3, 2, 1)],
        "windows": ["40.0", "77.0", "40.0"],
    }
    (item,) = over_series(site, uid, "native")
    assert np.load(io.BytesIO(content(site, item, format="npy").content)).shape == (3, ROWS, COLUMNS)


def test_what_is_no_volume_is_told_by_the_job(site: JobsClient) -> None:
    uid, files = series_of(3)
    files.append(ct_slice(4, series=uid, study=uid + ".1", ImageOrientationPatient=[0, 1, 0, 0, 0, -1]))
    store(site, files)
    job = site.ended(site.process("series", uid, "native"))
    (item,) = site.results(job["id"])
    assert (item["state"], item["error"]["code"]) == ("failed", "invalid")
    assert f"instance {uid}.4 has another orientation" in item["error"]["detail"]


def test_a_volume_that_does_not_fit_is_refused(site: JobsClient) -> None:
    pixels = np.zeros((160, 256, 256), "i2")
    (uid,) = store(site, [ct_slice(1, series=new_uid(), study=new_uid(), pixels=pixels, NumberOfFrames=160)])
    answer = site.http.get(f"/api/instances/{uid}/process/by_plugin/native", params={"format": "png"})
    assert (answer.status_code, answer.json()["code"]) == (507, "plugin_memory")
    assert "160 slices of 256 x 256 takes 80 MiB" in answer.json()["detail"]
    assert "64 MiB" in answer.json()["detail"]


def test_an_underscore_is_reserved(site: JobsClient, tmp_path: Path) -> None:
    archive = native(tmp_path, "reserved", VOLUME, params={"_image": {"type": "text"}})
    answer = site.http.post("/api/plugins", content=archive, headers={"Content-Type": "application/zip"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


REAL = ["series-ct-philips-tilt", "series-mr-siemens"]


@pytest.mark.parametrize("name", REAL)
def test_real_series(site: JobsClient, data_set: Path, name: str) -> None:
    """Tilted gantries and vendors' own ways, against pydicom."""
    paths = sorted(path for path in (data_set / name).rglob("*") if path.is_file())
    with warnings.catch_warnings(action="ignore"):
        datasets = [ds for ds in (pydicom.dcmread(path, force=True) for path in paths) if "PixelData" in ds]
    uid = datasets[0].SeriesInstanceUID
    ours = [ds for ds in datasets if ds.SeriesInstanceUID == uid]
    site.store(*(path.read_bytes() for path, ds in zip(paths, datasets, strict=False) if ds in ours))
    (item,) = over_series(site, uid, "native")
    assert item["state"] == "done", item
    volume = np.load(io.BytesIO(content(site, item, format="npy").content))

    def place(ds: Dataset) -> float:
        row, column = np.array(ds.ImageOrientationPatient, float).reshape(2, 3)
        return float(np.dot(np.cross(row, column), np.array(ds.ImagePositionPatient, float)))

    expected = np.stack([
        ds.pixel_array * float(ds.get("RescaleSlope", 1)) + float(ds.get("RescaleIntercept", 0)) + 1
        for ds in sorted(ours, key=place)
    ])  # fmt: skip
    np.testing.assert_allclose(volume, expected, rtol=1e-12)


def test_several_images_of_each_place_are_for_python(site: JobsClient, data_set: Path) -> None:
    """An fMRI run: each place was imaged again and again."""
    paths = sorted((data_set / "series-mr-ge-epi").glob("*.dcm"))
    ids = site.store(*(path.read_bytes() for path in paths))
    uid = str(pydicom.dcmread(paths[0], stop_before_pixels=True).SeriesInstanceUID)
    job = site.ended(site.process("series", uid, "native"))
    (item,) = site.results(job["id"])
    assert item["error"]["code"] == "invalid"
    assert "lie where another one does" in item["error"]["detail"]
    (item,) = over_series(site, uid, "python")
    assert sorted(content(site, item).json()["instances"]) == sorted(ids)


def test_derived_objects_follow_the_order_of_the_slices(site: JobsClient) -> None:
    ds = enhanced_ct([5.0, 0.0, 2.5], uid=new_uid(), series=new_uid(), study=new_uid())
    (uid,) = store(site, [ds])
    answer = site.http.get(f"/api/instances/{uid}/process/by_plugin/native", params={"format": "dicom"})
    assert answer.status_code == 200, answer.text
    boundary = answer.headers["Content-Type"].partition("boundary=")[2].encode()
    parts = answer.content.split(b"--" + boundary)[1:-1]
    made = [pydicom.dcmread(io.BytesIO(part.partition(b"\r\n\r\n")[2])) for part in parts]
    found = {float(one.ImagePositionPatient[2]): one for one in made}
    for z, number in ((0.0, 2), (2.5, 3), (5.0, 1)):
        one = found[z]
        values = one.pixel_array * float(one.get("RescaleSlope", 1)) + float(one.get("RescaleIntercept", 0))
        np.testing.assert_allclose(values, slice_pixels(number) + number + 1.0, atol=0.01)
