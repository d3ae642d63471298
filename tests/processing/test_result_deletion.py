"""Results go with what they came of; the limit; and what a crash leaves."""

import asyncio
import io
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.uid import generate_uid

from neurdicom.catalog.sqlite import SqliteCatalog
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.processing.result_records import ResultRecords
from tests.support.api import empty_trash, upload
from tests.support.catalogs import write_version_3
from tests.support.images import ct_image
from tests.support.packages import package
from tests.support.plugin_site import Site, upload_image
from tests.support.results import Counter, files, finished, ids
from tests.support.server import Server


@pytest.mark.parametrize("what", ["instances", "series", "studies", "patients"])
def test_results_go_with_their_source(any_site: Site, counter: Counter, what: str) -> None:
    site = any_site
    instance, data = ct_image()
    ds = dcmread(io.BytesIO(data))
    ds.PatientID = f"P-{what}"
    made = io.BytesIO()
    dcmwrite(made, ds, enforce_file_format=True)
    upload(site.client, made.getvalue())
    gone = Site(site.server, instance)
    stays = site.run(give="image").headers["X-Result-Id"]
    lost = [gone.run(give=give).headers["X-Result-Id"] for give in ("image", "json", "bytes")]
    entity = site.client.get(f"/api/instances/{instance}").json()
    level = {"instances": "id", "series": "series", "studies": "study", "patients": "patient"}[what]
    site.client.get("/api/results")  # writes those that wait
    kept = files(site.server)
    assert site.client.delete(f"/api/{what}/{entity[level]}").status_code == 204
    assert set(files(site.server)) == set(kept)
    empty_trash(site.client)
    assert [site.client.get(f"/api/results/{one}").status_code for one in lost] == [404] * 3
    assert ids(site.client.get("/api/results", params={"plugin": "test.plugin"})) == {stays}
    assert len(files(site.server)) == 1
    assert gone.run(give="json").status_code == 404


def test_a_replaced_instance_takes_its_results_along(any_site: Site, counter: Counter) -> None:
    site = any_site
    before = site.run()
    ds = dcmread(io.BytesIO(site.client.get(f"/api/instances/{site.instance}/file").content))
    ds.SeriesDescription = "another"
    made = io.BytesIO()
    dcmwrite(made, ds, enforce_file_format=True)
    assert upload(site.client, made.getvalue())["status"] == "replaced"
    assert site.client.get(f"/api/results/{before.headers['X-Result-Id']}").status_code == 404
    after = site.run()
    assert after.headers["X-Cache"] == "miss"
    assert ids(site.client.get(f"/api/instances/{site.instance}/results")) == {after.headers["X-Result-Id"]}


def test_results_go_with_their_plugin(any_site: Site, counter: Counter) -> None:
    site = any_site
    assert site.install(counter.archive("other.plugin")).status_code == 201
    old = site.run(give="image").headers["X-Result-Id"]
    assert site.install(counter.archive(version="2.0")).status_code == 200
    new = site.run(give="image").headers["X-Result-Id"]
    other = site.run("other.plugin", give="image").headers["X-Result-Id"]
    assert ids(site.client.get("/api/results", params={"instance": site.instance})) == {old, new, other}
    assert site.client.delete("/api/plugins/test.plugin").status_code == 204
    assert ids(site.client.get("/api/results", params={"instance": site.instance})) == {other}
    empty_trash(site.client)  # of other tests
    assert len(files(site.server)) == 1
    assert site.client.delete("/api/plugins/test.plugin").status_code == 404
    assert site.install(counter.archive()).status_code == 201
    assert site.run(give="image").headers["X-Cache"] == "miss"


@pytest.mark.parametrize("what", ["instance", "plugin", "reinstalled"])
def test_a_computation_that_ends_after_a_deletion_leaves_nothing(site: Site, counter: Counter, what: str) -> None:
    empty_trash(site.client)  # of other tests
    instance, data = ct_image()
    upload(site.client, data)
    late = Site(site.server, instance)
    answers: list[int] = []
    running = threading.Thread(target=lambda: answers.append(late.run(give="image", wait=1.0).status_code))
    running.start()
    while not counter.calls:
        time.sleep(0.01)
    if what == "instance":
        assert site.client.delete(f"/api/instances/{instance}").status_code == 204
    else:
        assert site.client.delete("/api/plugins/test.plugin").status_code == 204
    if what == "reinstalled":
        assert site.install(counter.archive(version="2.0")).status_code == 201
    running.join()
    assert answers == [200]
    assert site.client.get("/api/results").json() == []
    assert files(site.server) == []
    site.client.delete(f"/api/instances/{instance}")


def test_derived_instances_go_only_when_asked(any_site: Site, counter: Counter) -> None:
    pytest.importorskip("highdicom")
    site = any_site

    def stored(instance: str) -> str:
        answer = Site(site.server, instance).run(give="image", store="true")
        assert answer.status_code == 200, answer.text
        return answer.headers["X-Stored-Instances"]

    kept = [upload(site.client, data)["id"] for _, data in (ct_image(), ct_image(), ct_image())]
    made = [stored(instance) for instance in kept]
    here = lambda: [site.client.get(f"/api/instances/{one}").status_code for one in made]  # noqa: E731
    assert site.client.delete(f"/api/instances/{kept[0]}").status_code == 204
    assert here() == [200, 200, 200]
    assert site.client.delete(f"/api/instances/{kept[1]}", params={"derived": "true"}).status_code == 204
    assert here() == [200, 404, 200]
    assert site.client.delete("/api/plugins/test.plugin", params={"derived": "maybe"}).status_code == 422
    assert site.client.delete("/api/plugins/test.plugin", params={"derived": "true"}).status_code == 204
    assert here() == [200, 404, 404]
    assert site.client.get(f"/api/instances/{kept[2]}").status_code == 200
    for instance in (made[0], kept[2]):
        assert site.client.delete(f"/api/instances/{instance}").status_code == 204


def test_the_limit_deletes_what_was_not_used_longest(tmp_path: Path, counter: Counter) -> None:
    """Bodies of 2 MiB, and room for three and a half."""
    with Server(tmp_path / "data", "--results-size", "7") as server:
        site = Site(server, upload_image(server))
        assert site.install(counter.archive()).status_code == 201
        answers = []
        for factor in range(3):
            answers.append(site.run(give="big", factor=factor, format="npy"))
            site.client.get("/api/results")
            time.sleep(0.02)
        assert len(files(server)) == 3
        assert site.run(give="big", factor=0, format="npy").headers["X-Cache"] == "hit"
        site.run(give="big", factor=3, format="npy")
        records = {one["params"]["factor"]: one for one in site.client.get("/api/results").json()}
        assert {factor: one["evicted"] for factor, one in records.items()} == {0: False, 1: True, 2: False, 3: False}
        assert sum(path.stat().st_size for path in files(server)) <= 7 << 20
        calls = counter.calls
        content = site.client.get(records[1]["links"]["content"])
        assert (content.status_code, content.content == answers[1].content) == (200, True)
        assert counter.calls == calls + 1
        record = site.client.get(records[1]["links"]["self"]).json()
        assert (record["evicted"], record["created"]) == (False, records[1]["created"])
        gone = next(one for one in site.client.get("/api/results").json() if one["evicted"])
        assert site.install(counter.archive(version="2.0")).status_code == 200
        missing = site.client.get(gone["links"]["content"])
        assert (missing.status_code, missing.json()["code"]) == (410, "gone")
        assert site.client.get(records[0]["links"]["self"]).status_code == 200


def test_without_room_records_are_kept_alone(tmp_path: Path, counter: Counter) -> None:
    with Server(tmp_path / "data", "--results-size", "0") as server:
        site = Site(server, upload_image(server))
        assert site.install(counter.archive()).status_code == 201
        assert site.run(give="image").status_code == 200
        [record] = site.client.get("/api/results").json()
        assert (record["evicted"], record["content"], files(server)) == (True, [], [])
        assert site.run(give="image").headers["X-Cache"] == "miss"
        assert site.run().headers["X-Cache"] == "miss"
        assert site.run().headers["X-Cache"] == "hit"  # JSON lies in the record


def test_damaged_bodies_are_computed_again(site: Site, counter: Counter) -> None:
    empty_trash(site.client)  # of other tests
    first = site.run(give="image", format="npy")
    site.client.get("/api/results")
    for damaged in (None, b"short"):
        [body] = files(site.server)
        body.unlink()  # stored files are read-only
        if damaged is not None:
            body.write_bytes(damaged)
        for format in ("npy", "png"):
            again = site.run(give="image", format=format)
            assert again.status_code == 200
        content = site.client.get(f"/api/results/{first.headers['X-Result-Id']}/content", params={"format": "npy"})
        assert content.content == first.content
        site.client.delete(f"/api/results/{first.headers['X-Result-Id']}")
        assert site.run(give="image", format="npy").headers["X-Cache"] == "miss"
        site.client.get("/api/results")


def test_kill_9_while_results_are_kept(tmp_path: Path, counter: Counter) -> None:
    """Each record that is there after a crash is whole; what was told to be there for good is there."""
    path, kept = tmp_path / "data", 0
    server = Server(path).start()
    site = Site(server, upload_image(server))
    assert site.install(counter.archive()).status_code == 201
    for round_ in range(2):
        stop = threading.Event()

        def load(round_: int = round_, stop: threading.Event = stop, site: Site = site) -> None:
            import httpx

            for factor in range(10_000):
                try:
                    if stop.is_set() or site.run(give="big", factor=factor + round_ * 10_000).status_code != 200:
                        return
                except httpx.HTTPError:
                    return

        loads = [threading.Thread(target=load) for _ in range(2)]
        for each in loads:
            each.start()
        time.sleep(0.6)
        server.process.kill()
        stop.set()
        for each in loads:
            each.join()
        server.kill()
        (path / "results" / "spool" / "left").write_bytes(b"x")
        server = Server(path).start()
        site = Site(server, site.instance)
        records = site.client.get("/api/results", params={"limit": 1000}).json()
        assert len(records) >= kept
        kept = len(records)
        bodies = files(server)
        assert len(bodies) == sum(len(one["content"]) for one in records)
        assert not list((path / "results" / "spool").iterdir())
        for one in records[:20]:
            content = site.client.get(one["links"]["content"])
            assert content.status_code == 200
            assert content.content.startswith(b"\x89PNG")
            assert content.headers["X-Cache"] == "hit"
    assert kept > 0
    server.stop()


def test_what_lost_its_source_in_a_crash_goes_at_the_next_start(tmp_path: Path, counter: Counter) -> None:
    path = tmp_path / "data"
    server = Server(path).start()
    site = Site(server, upload_image(server))
    second, data = ct_image()
    upload(site.client, data)
    assert site.install(counter.archive()).status_code == 201
    assert site.install(counter.archive("gone.plugin")).status_code == 201
    stays = site.run(give="image").headers["X-Result-Id"]
    Site(server, second).run(give="image")
    site.run("gone.plugin", give="image")
    assert len(site.client.get("/api/results").json()) == 3
    server.kill()

    async def delete_behind() -> None:
        """Delete as a server that died right after the transaction of a deletion."""
        catalog = SqliteCatalog(path / "catalog.sqlite")
        await catalog.open()
        await catalog.delete(Level.INSTANCE, second)
        await catalog.documents.delete("plugin", "gone.plugin")
        await catalog.close()

    asyncio.run(delete_behind())
    with Server(path) as server:
        assert ids(server.client.get("/api/results")) == {stays}
        assert len(files(server)) == 1
        assert Site(server, site.instance).run(give="image").headers["X-Cache"] == "hit"


def test_what_was_stored_when_the_server_died_is_named_at_the_next_start(tmp_path: Path, counter: Counter) -> None:
    path = tmp_path / "data"
    server = Server(path).start()
    site = Site(server, upload_image(server))
    assert site.install(counter.archive()).status_code == 201
    answer = site.run(give="image", store="true")
    result, stored = answer.headers["X-Result-Id"], answer.headers["X-Stored-Instances"]
    server.kill()

    async def take_back() -> None:
        """Take the note back, as if the server died between the transactions of the instance and of its note."""
        catalog = SqliteCatalog(path / "catalog.sqlite")
        await catalog.open()
        records = ResultRecords(catalog.documents)
        record = await records.find(result)
        assert record is not None
        assert [uid_of(key) for key in record.made] == [stored]
        await records.put([replace(record, stored=[])])
        await catalog.close()

    asyncio.run(take_back())
    with Server(path) as server:
        assert server.client.get(f"/api/results/{result}").json()["stored"] == [stored]
        assert ids(server.client.get("/api/results", params={"stored": stored})) == {result}


def test_a_reindex_keeps_results_of_files_that_are_there(tmp_path: Path, counter: Counter) -> None:
    path = tmp_path / "data"
    with Server(path) as server:
        site = Site(server, upload_image(server))
        assert site.install(counter.archive()).status_code == 201
        answers = [site.run(give=give) for give in ("json", "image")]
        results = {answer.headers["X-Result-Id"] for answer in answers}
    subprocess.run([sys.executable, "-m", "neurdicom", "reindex", "--data", str(path)], check=True, capture_output=True)
    with Server(path) as server:
        assert ids(server.client.get("/api/results")) == results
        for give, before in zip(("json", "image"), answers, strict=True):
            after = Site(server, site.instance).run(give=give)
            assert (after.headers["X-Cache"], after.content) == ("hit", before.content)
            assert after.headers["ETag"] == before.headers["ETag"]
    for blob in (path / "blobs" / "objects").rglob("*"):
        if blob.is_file():
            blob.unlink()
    subprocess.run([sys.executable, "-m", "neurdicom", "reindex", "--data", str(path)], check=True, capture_output=True)
    with Server(path) as server:
        assert ids(server.client.get("/api/results")) == set()


def test_a_catalog_of_the_version_before_gets_terms(tmp_path: Path, counter: Counter) -> None:
    path = tmp_path / "data"
    write_version_3(path, "DROP TABLE term", "DROP TABLE termed", "PRAGMA user_version = 2")
    with Server(path) as server:
        site = Site(server, upload_image(server))
        assert site.install(counter.archive()).status_code == 201
        result = site.run(factor=3).headers["X-Result-Id"]
        assert ids(server.client.get("/api/results", params={"value": "measurements.volume_ml > 2"})) == {result}


def test_a_full_disk_fails_no_request(site: Site, counter: Counter) -> None:
    """The answer comes all the same; it is not kept, and told so."""
    objects = site.server.data / "results" / "objects"
    aside = objects.with_name("aside")
    objects.rename(aside)
    try:
        for _ in range(2):
            answer = site.run(give="image")
            assert answer.status_code == 200
            site.client.get("/api/results")
        assert counter.calls == 2
        assert site.client.get("/api/results", params={"instance": site.instance}).json() == []
    finally:
        aside.rename(objects)
    assert site.run(give="image").status_code == 200
    assert ids(site.client.get(f"/api/instances/{site.instance}/results")) != set()


def test_a_volumes_result_goes_with_any_of_its_slices(any_site: Site, counter: Counter) -> None:
    site = any_site
    slices = []
    series, study = generate_uid(), generate_uid()
    for number in range(3):
        ds = dcmread(io.BytesIO(ct_image()[1]))
        ds.SeriesInstanceUID, ds.StudyInstanceUID = series, study
        ds.InstanceNumber, ds.ImagePositionPatient = number + 1, [0, 0, number]
        ds.ImageOrientationPatient, ds.PixelSpacing = [1, 0, 0, 0, 1, 0], [1, 1]
        made = io.BytesIO()
        dcmwrite(made, ds, enforce_file_format=True)
        slices.append(upload(site.client, made.getvalue())["id"])
    source = """
import numpy as np
class Plugin:
    def init(self): pass
    def process(self, ds=None, *args, **kwargs):
        return np.stack([one.pixel_array + 100 * n for n, one in enumerate(ds)] * 2)
    def destroy(self): pass
"""
    try:
        assert site.install(package(source, plugin_guid="volume", level="series")).status_code == 201
        job = site.client.post(f"/api/series/{series}/process/by_plugin/volume").json()["id"]
        assert finished(site.client, job)["done"] == 1
        [record] = site.client.get(f"/api/series/{series}/results").json()
        assert (record["level"], record["series"], record["instances"]) == ("series", series, slices)
        for each in slices:
            assert ids(site.client.get(f"/api/instances/{each}/results")) == {record["id"]}
        pictures = [
            site.client.get(record["links"]["content"], params={"format": "lum8", "frame": n}).content for n in (1, 4)
        ]
        assert pictures[0] == pictures[1]
        assert site.client.delete(f"/api/instances/{slices[1]}").status_code == 204
        assert site.client.get(record["links"]["self"]).status_code == 404
        empty_trash(site.client)
        assert files(site.server) == []
    finally:
        site.client.delete(f"/api/studies/{study}")
