"""Processing jobs over HTTP: what they do, what they tell, and what is refused."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid

from tests.support.checkout import CHECKOUT
from tests.support.packages import meta, package, zipped
from tests.support.processing_jobs import GUID, JobsClient, calls, series_files, tally
from tests.support.server import Server


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobsClient]:
    """A server with the plugin."""
    with Server(tmp_path_factory.mktemp("processing"), "--plugin-workers", "2") as server:
        client = JobsClient(server.client)
        client.install(tally())
        yield client


def test_a_series(site: JobsClient, tmp_path: Path) -> None:
    uid, files = series_files(9)
    ids = site.store(*files)
    job = site.ended(site.process("series", uid, log=str(tmp_path / "log")))
    assert (job["kind"], job["state"], job["done"], job["failed"], job["total"]) == ("process", "done", 9, 0, 9)
    assert job["results"] == {"url": f"/api/jobs/{job['id']}/results", "unit": "instance", "skipped": {}}
    assert job["request"]["plugin"] == GUID
    assert job["request"]["series"] == [uid]
    assert calls(tmp_path / "log") == dict.fromkeys(ids, 1)
    results = site.results(job["id"])
    assert [(each["number"], each["instance"], each["series"]) for each in results] == [
        (number, id, uid) for number, id in enumerate(ids)
    ]
    assert {each["state"] for each in results} == {"done"}
    assert [each["number"] for each in site.results(job["id"], limit=2, offset=5)] == [5, 6]
    assert site.results(job["id"], state="failed") == []


def test_items_that_fail_do_not_end_the_job_and_are_told(site: JobsClient, tmp_path: Path) -> None:
    log = tmp_path / "log"
    uid, files = series_files(8)
    ids = site.store(*files)
    site.install(tally(plugin_guid="test.short", timeout=3))
    job = site.ended(site.process("series", uid, "test.short", log=str(log), bad=[2], crash=[4], hang=[6]))
    assert (job["state"], job["done"], job["failed"], job["total"]) == ("done", 5, 3, 8)
    failed = {each["instance"]: each["error"] for each in site.results(job["id"], state="failed")}
    assert {id: error["code"] for id, error in failed.items()} == {
        ids[1]: "plugin_failed",
        ids[3]: "plugin_crashed",
        ids[5]: "plugin_timeout",
    }
    assert "slice 2 is bad" in failed[ids[1]]["detail"]
    assert "SIGSEGV" in failed[ids[3]]["detail"]
    assert {each["instance"] for each in job["errors"]} == set(failed)
    assert {each["code"] for each in job["errors"]} == {"plugin_failed", "plugin_crashed", "plugin_timeout"}
    assert set(calls(log).values()) == {1}, "what fails for good is not tried again by itself"

    again = site.http.post(f"/api/jobs/{job['id']}/retry")
    assert again.status_code == 202, again.text
    over = site.ended(job["id"])
    assert (over["state"], over["done"], over["failed"]) == ("done", 5, 3)
    assert calls(log) == {id: 2 if id in failed else 1 for id in ids}, "only what failed is run again"
    assert [each["state"] for each in site.results(job["id"])].count("failed") == 3


def test_a_retry_takes_the_plugin_of_then(site: JobsClient, tmp_path: Path) -> None:
    uid, files = series_files(4)
    site.store(*files)
    broken = tally("broken", plugin_guid="test.mended")
    digest = site.install(broken)
    job = site.ended(site.process("series", uid, "test.mended", bad=[1, 2, 3, 4]))
    assert (job["state"], job["failed"], job["request"]["digest"]) == ("failed", 4, digest)
    mended = site.install(tally("mended", plugin_guid="test.mended", params={"bad": {"type": "text", "isnull": True}}))
    answer = site.http.post(f"/api/jobs/{job['id']}/retry")
    assert answer.status_code == 422, "parameters that the new version does not take"
    assert answer.json()["field"]
    mended = site.install(tally("3", plugin_guid="test.mended"))
    answer = site.http.post(f"/api/jobs/{job['id']}/retry")
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    assert site.ended(job["id"])["request"]["digest"] == mended
    assert site.http.delete("/api/plugins/test.mended").status_code == 204
    assert site.http.post(f"/api/jobs/{job['id']}/retry").status_code == 404


def test_what_can_not_be_tried_again(site: JobsClient) -> None:
    uid, files = series_files(1)
    site.store(*files)
    job = site.ended(site.process("series", uid))
    for id, status in ((job["id"], 409), ("nothing", 404)):
        assert site.http.post(f"/api/jobs/{id}/retry").status_code == status
    assert site.http.get("/api/jobs/nothing/results").status_code == 404
    assert site.http.get(f"/api/jobs/{job['id']}/results", params={"state": "sad"}).status_code == 422
    assert site.http.delete(f"/api/jobs/{job['id']}").status_code == 204
    assert site.http.get(f"/api/jobs/{job['id']}/results").status_code == 404


def test_studies_patients_and_queries(site: JobsClient) -> None:
    patient: dict[str, Any] = {"PatientID": generate_uid()[-16:], "StudyInstanceUID": generate_uid()}
    one, first = series_files(3, Modality="MR", SeriesNumber=1, **patient)
    two, second = series_files(2, Modality="CT", SeriesNumber=2, **patient)
    other, third = series_files(2, Modality="MR", **patient | {"StudyInstanceUID": generate_uid()})
    site.store(*first, *second, *third)
    study = patient["StudyInstanceUID"]
    person = site.http.get(f"/api/series/{one}").json()["patient"]

    def series_of(job: str) -> list[str]:
        assert site.ended(job)["state"] == "done"
        return [each["series"] for each in site.results(job)]

    assert series_of(site.process("studies", study)) == [one] * 3 + [two] * 2
    assert sorted(series_of(site.process("patients", person))) == sorted([one] * 3 + [two] * 2 + [other] * 2)
    of_patient = {"patient_id": patient["PatientID"]}
    assert series_of(site.select(filters=of_patient | {"modality": "CT"})) == [two] * 2
    found = series_of(site.select(filters=of_patient | {"modality": "MR", "instance_number": "2-"}))
    assert sorted(found) == sorted([one] * 2 + [other])
    assert len(series_of(site.select(level="studies", filters=of_patient | {"modality": ["CT"]}))) == 5
    assert series_of(site.select(level="series", filters=of_patient | {"series_number": 2})) == [two] * 2
    instance = site.results(site.process("series", other))
    mixed: dict[str, Any] = {
        "studies": [study],
        "series": [one, other],
        "instances": [each["instance"] for each in instance],
    }
    assert len(series_of(site.select(**mixed))) == 7, "each once"
    assert series_of(site.select(filters={"patient_id": "nobody at all"})) == []
    many = of_patient | {"series_number": [*range(2000)]}
    assert {one, two} <= {*series_of(site.select(level="series", filters=many))}
    dry = site.http.post("/api/process", json={"plugin": GUID, "dry_run": True, "filters": of_patient})
    assert (dry.status_code, dry.json()) == (200, {"total": 7, "skipped": {}})


def test_results_that_were_stored_are_not_processed_in_turn(site: JobsClient) -> None:
    source = "class Plugin:\n    def process(self, ds, gain=1): return ds.pixel_array * gain"
    params = {"gain": {"type": "int", "default": 1}}
    site.install(package(source, plugin_guid="test.image", params=params))
    uid, files = series_files(2, PixelSpacing=[1, 1])
    ids = site.store(*files)
    study = site.http.get(f"/api/series/{uid}").json()["study"]
    first = site.ended(site.select("test.image", studies=[study], store=True))
    assert (first["done"], first["failed"]) == (2, 0), first["errors"]
    results = site.results(first["id"])
    stored = [one for each in results for one in each["stored"]]
    assert len(set(stored)) == 2
    for each in results:
        assert site.http.get(each["url"]).status_code == 200
        assert site.http.get(f"/api/instances/{each['stored'][0]}").json()["study"] == study
    again = site.ended(site.process("studies", study, "test.image", gain=2))
    assert (again["total"], again["results"]["skipped"]) == (2, {"derived": 2})
    assert {each["instance"] for each in site.results(again["id"])} == set(ids)
    series = site.http.get(f"/api/instances/{stored[0]}").json()["series"]
    assert site.ended(site.process("series", series, "test.image"))["done"] == 2, "which is what was asked for"
    cached = site.ended(site.process("studies", study, "test.image", gain=2))
    assert [each["cached"] for each in site.results(cached["id"])] == [True, True]


def test_frames_and_series(site: JobsClient, tmp_path: Path) -> None:
    library = tmp_path / "plugin.so"
    example = CHECKOUT / "native_examples" / "invert"
    source = next(example.glob("*.c*"))
    include = CHECKOUT / "bridge" / "include"
    compiler = "gcc" if source.suffix == ".c" else "g++"
    subprocess.run([compiler, "-shared", "-fPIC", f"-I{include}", str(source), "-o", str(library)], check=True)
    native: dict[str, Any] = {
        "META.json": json.dumps(meta(plugin_guid="test.native")),
        "plugin.so": library.read_bytes(),
    }
    site.install(zipped(native))
    source_of_series = "class Plugin:\n    def process(self, slices): return {'slices': len(slices)}"
    site.install(package(source_of_series, plugin_guid="test.whole", level="series"))
    uid, files = series_files(2, NumberOfFrames=3, PixelData=bytes(4 * 6 * 2 * 3))
    ids = site.store(*files)
    job = site.ended(site.process("series", uid, "test.native"))
    assert (job["done"], job["failed"], job["results"]["unit"]) == (6, 0, "frame"), job["errors"]
    items = [(each["instance"], each["frame"]) for each in site.results(job["id"])]
    assert items == [(id, frame) for id in ids for frame in (1, 2, 3)]
    job = site.ended(site.process("series", uid, "test.native", frame="2"))
    assert [each["frame"] for each in site.results(job["id"])] == [2, 2]
    job = site.ended(site.select("test.native", instances=ids, frame=4))
    assert (job["failed"], {error["code"] for error in job["errors"]}) == (2, {"invalid"})
    job = site.ended(site.process("series", uid))
    assert (job["done"], job["results"]["unit"]) == (2, "instance"), "a Python plugin gets the whole of it"

    job = site.ended(site.process("series", uid, "test.whole"))
    assert (job["done"], job["failed"], job["results"]["unit"]) == (1, 0, "series"), job["errors"]
    (item,) = site.results(job["id"])
    assert (item["series"], item["instance"], item["frame"]) == (uid, None, None)
    assert site.http.get(item["url"] + "/content").json() == {"slices": 2}
    job = site.ended(site.select("test.whole", instances=ids))
    assert (job["done"], job["failed"], job["results"]["unit"]) == (2, 0, "instance"), job["errors"]
    refused = site.http.post("/api/process", json={"plugin": "test.whole", "instances": ids, "series": [uid]})
    assert (refused.status_code, refused.json()["field"]) == (422, "instances")
    assert site.ended(site.select("test.whole", filters={"series_instance_uid": uid}))["done"] == 1


def test_what_does_not_fit_is_left_out_and_told(site: JobsClient) -> None:
    site.install(tally(plugin_guid="test.mr", modalities=["MR"]))
    site.install(tally(plugin_guid="test.reports", modalities="SR"))
    study = generate_uid()
    _, images = series_files(2, Modality="MR", StudyInstanceUID=study)
    _, others = series_files(3, Modality="CT", StudyInstanceUID=study)
    bare: dict[str, Any] = dict.fromkeys(NO_PIXELS)
    _, reports = series_files(1, Modality="SR", StudyInstanceUID=study, **bare)
    _, empty = series_files(1, Modality="MR", StudyInstanceUID=study, **bare)
    site.store(*images, *others, *reports, *empty)
    expected = {
        "test.mr": (3, {"modality": 4}),  # the tool is made for MR: it gets an instance without pixels, too
        "test.reports": (1, {"modality": 6}),
        GUID: (5, {"modality": 1, "no_pixels": 1}),
    }
    for plugin, (total, skipped) in expected.items():
        job = site.ended(site.process("studies", study, plugin))
        assert (job["total"], job["done"], job["results"]["skipped"]) == (total, total, skipped), plugin


NO_PIXELS = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelData",
)


@pytest.mark.parametrize(
    ("request_", "status", "field"),
    [
        ({"plugin": "nothing", "filters": {}}, 404, None),
        ({"filters": {}}, 422, "plugin"),
        ({"plugin": GUID, "model": "m", "filters": {}}, 422, "plugin"),
        ({"plugin": 7, "filters": {}}, 422, "plugin"),
        ({"plugin": GUID}, 422, "filters"),
        ({"plugin": GUID, "level": "series"}, 422, "filters"),
        ({"plugin": GUID, "filters": []}, 422, "filters"),
        ({"plugin": GUID, "filters": {"colour": "red"}}, 422, "colour"),
        ({"plugin": GUID, "filters": {"study_date": "yesterday"}}, 422, "study_date"),
        ({"plugin": GUID, "filters": {"modality": {"is": "CT"}}}, 422, "modality"),
        ({"plugin": GUID, "filters": {"patient_id": "x" * 20_000}}, 422, "filters"),
        ({"plugin": GUID, "level": "frames", "filters": {}}, 422, "level"),
        ({"plugin": GUID, "level": "studies", "filters": {"instance_number": "1"}}, 422, "instance_number"),
        ({"plugin": GUID, "series": "1.2"}, 422, "series"),
        ({"plugin": GUID, "series": ["1.2.3.4"]}, 404, "series"),
        ({"plugin": GUID, "series": ["1"] * 3 + [str(n) for n in range(1001)]}, 422, "series"),
        ({"plugin": GUID, "series": ["1.2"], "filters": {}}, 422, "filters"),
        ({"plugin": GUID, "filters": {}, "params": []}, 422, "params"),
        ({"plugin": GUID, "filters": {}, "params": {"seconds": "x"}}, 422, "seconds"),
        ({"plugin": GUID, "filters": {}, "params": {"bad": list(range(20_000))}}, 422, "params"),
        ({"plugin": GUID, "filters": {}, "params": {"colour": "red"}}, 422, "colour"),
        ({"plugin": GUID, "filters": {}, "format": "gif"}, 422, "format"),
        ({"plugin": GUID, "filters": {}, "store": "yes"}, 422, "store"),
        ({"plugin": GUID, "filters": {}, "frame": 0}, 422, "frame"),
        ({"plugin": GUID, "filters": {}, "dry_run": 1}, 422, "dry_run"),
        ({"plugin": GUID, "filters": {}, "colour": 1}, 422, "colour"),
    ],
)
def test_what_is_refused(site: JobsClient, request_: dict[str, Any], status: int, field: str | None) -> None:
    before = site.http.get("/api/jobs", params={"limit": 1}).headers["X-Total-Count"]
    answer = site.http.post("/api/process", json=request_)
    assert (answer.status_code, answer.json().get("field")) == (status, field), answer.text
    assert site.http.get("/api/jobs", params={"limit": 1}).headers["X-Total-Count"] == before


def test_what_is_refused_of_one_entity(site: JobsClient) -> None:
    uid, files = series_files(1)
    site.store(*files)
    for path, params, status in (
        (f"/api/series/{uid}/process/by_plugin/nothing", {}, 404),
        (f"/api/series/1.2.3/process/by_plugin/{GUID}", {}, 404),
        (f"/api/studies/1.2.3/process/by_plugin/{GUID}", {}, 404),
        (f"/api/patients/nobody/process/by_plugin/{GUID}", {}, 404),
        (f"/api/series/{uid}/process/by_plugin/{GUID}", {"seconds": "long"}, 422),
        (f"/api/series/{uid}/process/by_plugin/{GUID}", {"frame": "every"}, 422),
        (f"/api/series/{uid}/process/by_plugin/{GUID}", {"colour": "red"}, 422),
        (f"/api/series/{uid}/process/by_plugin/{GUID}", {"format": "gif"}, 422),
    ):
        answer = site.http.post(path, params=params)
        assert answer.status_code == status, (path, params, answer.text)
    path = f"/api/series/{uid}/process/by_plugin/{GUID}"
    too_long: list[dict[str, Any]] = [{"json": {"bad": [1] * 100_000 + ["x"]}}, {"data": {"bad": "1," * 100_000 + "x"}}]
    for request_ in too_long:
        refused = site.http.post(path, **request_)
        assert (refused.status_code, refused.json()["field"]) == (422, "params"), "too long: it is not converted"
    assert site.http.get(path).status_code == 405
