"""Results over a series: one segmentation of a volume, one object a slice of a job, and what a job tells of them."""

import time
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage

from tests.support.derived_objects import COLUMNS, ROWS, ct_slice, errors_of
from tests.support.dicom_output import DerivedSite

VOLUME = "return np.stack([each.pixel_array for each in ds]) {}"


def run_job(site: DerivedSite, series: str, **params: Any) -> dict[str, Any]:
    """Run the plugin over a series as a job, to its end."""
    answer = site.client.post(
        f"/api/series/{series}/process/by_plugin/test.derived", params={"store": "true", **params}
    )
    assert answer.status_code == 202, answer.text
    deadline = time.monotonic() + 60
    while True:
        job: dict[str, Any] = site.client.get(f"/api/jobs/{answer.json()['id']}").json()
        if job["state"] not in ("queued", "running"):
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.05)


def derived(site: DerivedSite) -> list[str]:
    """SOP Instance UIDs of what is not of the source series, by instance number."""
    source = ct_slice(1)
    found = site.client.get("/api/instances", params={"study_instance_uid": source.StudyInstanceUID}).json()
    others = [each for each in found if each["series"] != source.SeriesInstanceUID]
    return [each["id"] for each in sorted(others, key=lambda each: each["instance_number"])]


@pytest.fixture
def series(site: DerivedSite) -> str:
    """Six slices, uploaded from the top down."""
    for number in range(6, 0, -1):
        site.upload(ct_slice(number))
    return str(ct_slice(1).SeriesInstanceUID)


def test_a_segmentation_of_a_volume(site: DerivedSite, series: str) -> None:
    import highdicom  # takes a second, which every collection would spend

    site.plugin(VOLUME.format("> 500"), level="series", result={"type": "SEGMENTATION"})
    job = run_job(site, series)
    assert (job["state"], job["done"], job["errors"]) == ("done", 1, [])
    (uid,) = derived(site)
    assert errors_of(site.file(uid)) == []
    seg = highdicom.seg.segread(site.file(uid))
    sources = [f"{series}.{number}" for number in range(1, 7)]
    found = seg.get_pixels_by_source_instance(sources, combine_segments=True)
    values = [np.frombuffer(ct_slice(number).PixelData, "<i2").reshape(ROWS, COLUMNS) for number in range(1, 7)]
    assert np.array_equal(found, np.stack(values) > 500)
    again = run_job(site, series)
    assert (again["state"], derived(site)) == ("done", [uid])


def test_images_of_a_volume(site: DerivedSite, series: str) -> None:
    site.plugin(VOLUME.format("* 0.37 - 1024"), level="series", input="modality")
    assert run_job(site, series)["errors"] == []
    made = [dcmread(site.file(uid)) for uid in derived(site)]
    assert [ds.SOPClassUID for ds in made] == [CTImageStorage] * 6
    assert [ds.ImagePositionPatient[2] for ds in made] == [2.5 * number for number in range(1, 7)]
    assert [len(ds.SourceImageSequence) for ds in made] == [1] * 6
    assert [errors_of(site.file(ds.SOPInstanceUID)) for ds in made] == [[]] * 6


def test_a_job_over_slices(site: DerivedSite, series: str) -> None:
    site.plugin("return {'mean': float(ds.pixel_array.mean())}", result={"type": "MEASUREMENTS"})
    job = run_job(site, series)
    assert (job["done"], job["errors"]) == (6, [])
    reports = [dcmread(site.file(uid)) for uid in derived(site)]
    assert [ds.Modality for ds in reports] == ["SR"] * 6
    assert len({ds.SeriesInstanceUID for ds in reports}) == 1


def test_a_report_of_a_volume(site: DerivedSite, series: str) -> None:
    site.plugin("return {'slices': len(ds)}", level="series", result={"type": "MEASUREMENTS"})
    assert run_job(site, series)["errors"] == []
    (uid,) = derived(site)
    assert errors_of(site.file(uid)) == []
    (study,) = dcmread(site.file(uid)).CurrentRequestedProcedureEvidenceSequence
    assert len(study.ReferencedSeriesSequence[0].ReferencedSOPSequence) == 6
