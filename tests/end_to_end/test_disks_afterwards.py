"""Deletions and versions that a full disk has cut short: they are finished when it has room, without a restart."""

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.api import install, upload
from tests.support.disks import SmallDiskServer
from tests.support.files import dicom_file
from tests.support.packages import package
from tests.support.waiting import wait_for

COUNT = 9
LABEL = "kept"
PLUGIN = """
class Plugin:
    def process(self, ds=None, **parameters): return ds.pixel_array * 2.0
"""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallDiskServer]:
    """A server on a small disk, with instances that have labels and results."""
    with SmallDiskServer.with_dimse(tmp_path / "data") as server:
        install(server.client, package(PLUGIN))
        for number in range(1, COUNT + 1):
            id = upload(server.client, dicom_file(number))["id"]
            assert server.client.put(f"/api/instances/{id}/labels/{LABEL}").status_code in (200, 201, 204)
            assert server.client.get(f"/api/instances/{id}/process/by_plugin/test.plugin").status_code == 200
        assert len(server.client.get("/api/results").json()) == COUNT  # writes those that wait
        yield server


def change(http: httpx.Client, instances: list[str]) -> Counter[int]:
    """Delete instances, for good too, and send others anew; count the statuses."""
    statuses = Counter[int]()
    for number, (id, act) in enumerate(zip(instances, itertools.cycle(("trash", "purge", "send")), strict=False), 1):
        if act == "send":
            content = dicom_file(number, ImageComments="another version")
            answer = http.post("/api/instances", content=content, headers={"Content-Type": "application/dicom"})
        else:
            answer = http.delete(f"/api/instances/{id}", params={"purge": "true"} if act == "purge" else {})
        statuses[answer.status_code] += 1
    return statuses


def unfinished(server: SmallDiskServer, before: dict[str, str], purged: set[str]) -> list[str]:
    """What is in neither place, or in both."""
    http = server.client
    there = {one["id"]: one["sha256"] for one in http.get("/api/instances").json()}
    trash = {one["uids"]["sop_instance_uid"]: one for one in http.get("/api/trash").json()}
    found = []
    for id, sha256 in before.items():
        if id not in there and id not in purged | trash.keys():
            found.append(f"{id} is neither there nor in the trash")
        if there.get(id, sha256) != sha256:
            versions = [one["sha256"] for one in http.get(f"/api/instances/{id}/versions").json()]
            if sha256 not in versions:
                found.append(f"the version {sha256} of {id} is not among {versions}")
    results = http.get("/api/results").json()
    found += [f"there is a result of {one['instances']}" for one in results if not {*one["instances"]} <= there.keys()]
    labelled = {one["id"] for one in http.get("/api/instances", params={"labels": LABEL}).json()}
    found += [f"{id} has lost its label" for id in there.keys() - labelled]
    objects = [path for path in (server.files / "results" / "objects").rglob("*") if path.is_file()]
    if len(objects) > len(before) - len(purged - there.keys()):
        found.append(f"{len(objects)} files of results are left")
    return found


@pytest.mark.parametrize("pages", [0, 1, 3, 6, 10, 15, 25, 40])
def test_what_a_full_disk_has_cut_short(small: SmallDiskServer, pages: int) -> None:
    http = small.client
    before = {one["id"]: one["sha256"] for one in http.get("/api/instances", params={"sort": "instance_number"}).json()}
    with small.full(but=4096 * pages):
        statuses = change(http, list(before))
    assert statuses.keys() <= {200, 201, 204, 507}
    wait_for(
        lambda: unfinished(small, before, {*list(before)[1::3]}),
        "everything to be finished",
        holds=lambda left: not left,
    )
    for entry in http.get("/api/trash").json():
        answer = http.post(f"/api/trash/{entry['id']}/restore")
        assert answer.status_code == 200, answer.text
    there = {one["id"] for one in http.get("/api/instances").json()}
    assert there >= before.keys() - {*list(before)[1::3]}, "restored"
    labelled = {one["id"] for one in http.get("/api/instances", params={"labels": LABEL}).json()}
    assert labelled == there
    of = {id for one in http.get("/api/results").json() for id in one["instances"]}
    assert of == there, "results come back"
    assert "Traceback" not in small.log
