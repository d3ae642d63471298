"""Uploads, edits, deletions and reading of one patient at the same time."""

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from pydicom.uid import generate_uid

from tests.support.archive_client import Archive
from tests.support.resource_files import make_file

WORKERS, STEPS = 6, 40


def test_everything_at_once_gives_no_error_and_exact_counts(archive: Archive) -> None:
    patient_id = generate_uid()
    studies = [generate_uid() for _ in range(2)]
    series = {study: [generate_uid() for _ in range(2)] for study in studies}
    instances = {each: [generate_uid() for _ in range(4)] for study in studies for each in series[study]}
    patient = archive.get(f"/studies/{archive.make(PatientID=patient_id)[0]['study']}").json()["patient"]

    def work(seed: int) -> list[str]:
        choose = random.Random(seed)
        wrong = []
        with httpx.Client(base_url=archive.server.url, timeout=20) as client:
            for step in range(STEPS):
                study = choose.choice(studies)
                one = choose.choice(series[study])
                uid = choose.choice(instances[one])
                file = make_file(
                    PatientID=patient_id,
                    StudyInstanceUID=study,
                    SeriesInstanceUID=one,
                    SOPInstanceUID=uid,
                    InstanceNumber=step % 3,
                )
                requests: list[tuple[str, str, dict[str, Any]]] = [
                    ("POST", "/api/instances", {"content": file}),
                    ("POST", "/api/instances", {"content": file}),
                    ("POST", "/api/instances", {"content": file}),
                    ("PUT", f"/api/studies/{study}", {"json": {"study_description": f"{seed} {step}"}}),
                    ("DELETE", f"/api/instances/{uid}", {}),
                    ("DELETE", f"/api/series/{one}", {}),
                    ("GET", f"/api/series/{one}/instances", {}),
                    ("GET", f"/api/instances/{uid}/file", {}),
                    ("GET", f"/api/instances/{uid}/tags", {}),
                    ("GET", f"/api/instances/{uid}/image", {}),
                    ("GET", f"/api/instances/{uid}/file?transfer_syntax=1.2.840.10008.1.2", {}),
                    ("GET", f"/api/patients/{patient}/studies?sort=-study_date", {}),
                ]
                method, path, body = choose.choice(requests)
                try:
                    answer = client.request(method, path, **body)
                except httpx.TimeoutException:
                    return [*wrong, f"{method} {path}: no answer"]
                if answer.status_code not in {200, 201, 204, 404} or (method == "POST" and answer.status_code == 404):
                    wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return wrong

    with ThreadPoolExecutor(WORKERS) as pool:
        assert [problem for problems in pool.map(work, range(WORKERS)) for problem in problems] == []

    listed = archive.get("/instances", patient=patient, limit=1000).json()
    assert archive.get(f"/patients/{patient}").json()["images_count"] == len(listed)
    assert archive.get(f"/patients/{patient}").json()["studies_count"] == len({one["study"] for one in listed})
    for study in archive.get(f"/patients/{patient}/studies").json():
        below = [one for one in listed if one["study"] == study["id"]]
        assert (study["images_count"], study["series_count"]) == (len(below), len({one["series"] for one in below}))
    for one in listed:
        assert archive.get(f"/instances/{one['id']}/file", original="true").headers["ETag"] == f'"{one["sha256"]}"'
    before = {path for path in (archive.server.data / "blobs" / "objects").rglob("*") if path.is_file()}
    archive.delete(f"/patients/{patient}")
    after = {path for path in (archive.server.data / "blobs" / "objects").rglob("*") if path.is_file()}
    assert len(before) - len(after) == len(listed)
