"""The network that lies in the repository: what its script makes, and what it says of a CT slice."""

import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pydicom
import pytest
import scipy
from click.testing import CliRunner
from onnx.reference import ReferenceEvaluator
from pydicom.data import get_testdata_file

from neurdicom.cli.main import main
from tests.support.checkout import CHECKOUT
from tests.support.plugin_site import Site
from tests.support.waiting import wait_for

FOLDER = CHECKOUT / "models" / "tissues"
CT = Path(str(get_testdata_file("CT_small.dcm")))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """make_tissues.py."""
    spec = importlib.util.spec_from_file_location("make_tissues", FOLDER / "make_tissues.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def slice_(site: Site) -> Iterator[str]:
    """A CT slice on the server, with the model."""
    archive = FOLDER.parent / "tissues.zip"
    result = CliRunner().invoke(main, ["model", "pack", str(FOLDER), "-o", str(archive)])
    assert result.exit_code == 0, result.output
    assert site.install_model(archive.read_bytes()).status_code == 201
    archive.unlink()
    headers = {"Content-Type": "application/dicom"}
    assert site.client.post("/api/instances", content=CT.read_bytes(), headers=headers).status_code == 201
    ds = pydicom.dcmread(CT)
    yield ds.SOPInstanceUID
    assert site.client.delete(f"/api/studies/{ds.StudyInstanceUID}").status_code == 204


@pytest.mark.slow
def test_the_script_makes_the_network_that_is_kept(script: ModuleType) -> None:
    made, kept = script.make(), onnx.load_model(FOLDER / "tissues.onnx")
    assert [each.op_type for each in made.graph.node] == [each.op_type for each in kept.graph.node]
    for new, old in zip(made.graph.initializer, kept.graph.initializer, strict=True):
        new_array, old_array = onnx.numpy_helper.to_array(new), onnx.numpy_helper.to_array(old)
        np.testing.assert_allclose(new_array, old_array, rtol=1e-3, atol=1e-3, err_msg=new.name)


def test_it_tells_tissues_better_than_thresholds(script: ModuleType) -> None:
    network = ReferenceEvaluator(str(FOLDER / "tissues.onnx"))
    random = np.random.default_rng(1)
    right, simply = [], []
    for _ in range(4):
        values, classes = script.phantom(random)
        scores = network.run(None, {"hounsfield": (values / 1000).astype("f4")[None, None]})[0]
        right.append((scores[0].argmax(0) == classes).mean())
        simply.append((np.digitize(values, [-500, -30, 180]) == classes).mean())
    assert np.mean(right) > 0.97
    assert np.mean(right) > np.mean(simply) + 0.01


def test_what_it_says_of_a_ct_slice(site: Site, slice_: str) -> None:
    answer = site.run_model("org.neurdicom.tissues", instance=slice_, format="npy")
    assert answer.status_code == 200, answer.text
    labels = np.load(io.BytesIO(answer.content))
    ds = pydicom.dcmread(CT)
    values = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    network = ReferenceEvaluator(str(FOLDER / "tissues.onnx"))
    scores = network.run(None, {"hounsfield": (values / 1000).astype("f4")[None, None]})[0]
    assert (labels == scores[0].argmax(0)).mean() > 0.9999
    smoothed = scipy.ndimage.gaussian_filter(values, 0.8, mode="nearest")
    assert (labels == np.digitize(smoothed, [-500, -30, 180])).mean() > 0.9
    assert (labels[values > 500] == 3).all()
    assert (labels[smoothed < -700] == 0).all()


def segmentations(site: Site) -> list[dict[str, Any]]:
    """The segmentations in the study of the slice."""
    study = pydicom.dcmread(CT).StudyInstanceUID
    return [
        each
        for series in site.client.get(f"/api/studies/{study}/series").json()
        if series["modality"] == "SEG"
        for each in site.client.get(f"/api/series/{series['id']}/instances").json()
    ]


def test_it_becomes_a_segmentation_in_the_study(site: Site, slice_: str) -> None:
    answer = site.run_model("org.neurdicom.tissues", instance=slice_, store=True)
    assert answer.status_code == 200, answer.text
    found = segmentations(site)
    assert len(found) == 1
    made = pydicom.dcmread(io.BytesIO(site.client.get(f"/api/instances/{found[0]['id']}/file").content))
    assert [each.SegmentLabel for each in made.SegmentSequence] == ["Fat", "Soft tissue", "Bone"]
    assert made.SegmentSequence[2].SegmentedPropertyTypeCodeSequence[0].CodeValue == "272673000"


def test_it_is_checked_on_the_command_line(tmp_path: Path) -> None:
    picture = tmp_path / "labels.npy"
    arguments = ["model", "check", str(FOLDER), "--on", str(CT), "--format", "npy", "-o", str(picture)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "Tissues 1.0 by NeurDICOM: segmentation, id org.neurdicom.tissues" in result.output
    assert "hounsfield tensor(float)" in result.output
    assert np.load(picture).shape == (128, 128)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "META.json").write_text((FOLDER / "META.json").read_text())
    (broken / "tissues.onnx").write_bytes((FOLDER / "tissues.onnx").read_bytes()[:-100])
    result = CliRunner().invoke(main, ["model", "check", str(broken)])
    assert result.exit_code != 0
    assert "cut off" in str(result.exception or result.output) + result.output


def test_a_job_runs_it_on_a_series(site: Site, slice_: str) -> None:
    series = pydicom.dcmread(CT).SeriesInstanceUID
    answer = site.client.post(f"/api/series/{series}/process/by_model/org.neurdicom.tissues?store=true")
    assert answer.status_code == 202, answer.text
    path = f"/api/jobs/{answer.json()['id']}"
    wait_for(lambda: site.client.get(path).json()["state"] not in ("queued", "running"))
    job = site.client.get(path).json()
    assert (job["state"], job["done"], job["failed"]) == ("done", 1, 0), job
    assert len(segmentations(site)) == 1
