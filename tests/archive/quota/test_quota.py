"""The quota over REST: the trash is emptied first, then the oldest studies go, whole, and protected ones never."""

import asyncio
import threading
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.support.api import upload
from tests.support.files import ROOT
from tests.support.quota import (
    PIXELS,
    ROOM,
    ROOM_BYTES,
    ServerMaker,
    catalog_of,
    entries,
    file_of,
    storage,
    store,
    studies_of,
)
from tests.support.server import Server
from tests.support.trash import held
from tests.support.waiting import wait_for


def metrics_of(server: Server) -> dict[str, float]:
    """The metrics of storage."""
    lines = server.client.get("/api/metrics").text.splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    names = ("neurdicom_stored", "neurdicom_max_storage", "neurdicom_protected", "neurdicom_over")
    return {name: float(value) for name, value in found.items() if name.startswith(names)}


def protect(server: Server, path: str) -> None:
    assert server.client.put(f"/api{path}/labels/protected").status_code == 204


def test_the_oldest_studies_go_as_a_whole(make_server: ServerMaker) -> None:
    server = make_server("--max-storage", ROOM)
    store(server, 1, 2, 3)
    assert studies_of(server) == [1, 2, 3]
    upload(server.client, file_of(1, 3))  # now study 1 is the latest; 7 files have room
    store(server, 4, 5)
    wait_for(lambda: studies_of(server), "room", holds=lambda found: found == [1, 4, 5])
    shown = wait_for(
        lambda: storage(server),
        "an empty trash",
        holds=lambda shown: shown["trash"] == {"count": 0, "bytes": 0},  # two sums, made one after the other
    )
    assert shown["quota"]["used"] == shown["instances"]["bytes"] <= ROOM_BYTES
    assert (shown["quota"]["max_storage"], shown["quota"]["alert"]) == (ROOM_BYTES, None)
    assert f"the study {ROOT}.2~" in server.log
    assert "over max_storage" in server.log
    counts = [server.client.get(f"/api/studies/{ROOT}.{study}").json()["images_count"] for study in (1, 4, 5)]
    assert counts == [3, 2, 2]


def test_the_trash_is_emptied_first_the_oldest_entry_first(make_server: ServerMaker) -> None:
    server = make_server("--max-storage", ROOM)
    store(server, 1)
    upload(server.client, file_of(1, 1, ImageComments="other"))  # an earlier version
    store(server, 2)
    assert server.client.delete(f"/api/studies/{ROOT}.2").status_code == 204
    assert [entry["kind"] for entry in entries(server)] == ["study", "version"]
    store(server, 3)
    assert len(entries(server)) == 2
    upload(server.client, file_of(3, 3))  # the eighth file
    wait_for(
        lambda: [entry["kind"] for entry in entries(server)], "the version to go", holds=lambda it: it == ["study"]
    )
    upload(server.client, file_of(4, 1))
    wait_for(lambda: entries(server), "the study in the trash to go", holds=lambda found: not found)
    assert studies_of(server) == [1, 3, 4]
    wait_for(lambda: storage(server)["quota"]["used"], "room", holds=lambda used: used <= ROOM_BYTES)
    assert studies_of(server) == [1, 3, 4]


def test_protected_studies_and_patients_stay_and_an_alert_tells_when_nothing_else_is_left(
    make_server: ServerMaker,
) -> None:
    server = make_server("--max-storage", ROOM)
    store(server, 1)
    store(server, 2, patient="KEEP")
    protect(server, f"/studies/{ROOT}.1")
    [patient] = server.client.get("/api/patients", params={"patient_id": "KEEP"}).json()
    protect(server, f"/patients/{patient['id']}")
    store(server, 3, 4)
    wait_for(lambda: studies_of(server), "room", holds=lambda found: found == [1, 2, 4])
    health = server.client.get("/api/health").json()
    assert health["alerts"] == []
    shown = storage(server)["quota"]
    assert (shown["protected"]["count"], shown["alert"]) == (2, None)
    assert 4 * PIXELS < shown["protected"]["bytes"] < shown["used"]

    store(server, 5, patient="KEEP")
    store(server, 6, patient="KEEP")
    [alert] = wait_for(lambda: server.client.get("/api/health").json()["alerts"], "an alert")
    assert alert["code"] == "over_max_storage"
    assert "protected" in alert["detail"]
    assert studies_of(server) == [1, 2, 5, 6]
    shown = storage(server)["quota"]
    assert shown["alert"] == {name: alert[name] for name in ("since", "detail")}
    assert shown["protected"]["bytes"] == shown["used"] > ROOM_BYTES
    assert metrics_of(server) == {
        'neurdicom_stored_bytes{kind="instances"}': shown["used"],
        'neurdicom_stored_bytes{kind="trash"}': 0,
        "neurdicom_max_storage_bytes": ROOM_BYTES,
        "neurdicom_protected_bytes": shown["used"],
        "neurdicom_over_max_storage": 1,
    }
    assert server.log.count("nothing can be deleted") == 1
    store(server, 7, patient="KEEP")  # uploads go on
    assert studies_of(server) == [1, 2, 5, 6, 7]

    assert server.client.delete(f"/api/patients/{patient['id']}/labels/protected").status_code == 204
    wait_for(lambda: studies_of(server), "room", holds=lambda found: found == [1, 6, 7])
    wait_for(lambda: not server.client.get("/api/health").json()["alerts"], "the end of the alert")
    assert "within max_storage again" in server.log


def test_what_is_too_old_goes_to_the_trash_and_may_come_back(make_server: ServerMaker) -> None:
    days = 4 / 86400
    server = make_server("--max-age-days", f"{days:.8f}")
    store(server, 1, 2)
    protect(server, f"/studies/{ROOT}.2")
    [entry] = wait_for(lambda: entries(server), "the end of the study")
    assert studies_of(server) == [2]
    assert (entry["kind"], entry["instances"], entry["user"]) == ("study", 2, None)
    assert entry["reason"] == "older than max_age_days"
    assert entry["uids"]["study_instance_uid"] == f"{ROOT}.1"
    began = datetime.now(UTC)
    assert server.client.post(f"/api/trash/{entry['id']}/restore").status_code == 200
    assert studies_of(server) == [1, 2]
    [again] = wait_for(lambda: entries(server), "the end of the restored study")
    assert (datetime.fromisoformat(again["time"]) - began).total_seconds() >= 4
    assert (again["id"] != entry["id"], again["instances"]) == (True, 2)
    shown = storage(server)
    assert shown["trash"] == {"count": 1, "bytes": again["bytes"]}
    assert shown["quota"]["max_age_days"] == pytest.approx(days, rel=1e-3)


def test_without_limits_nothing_goes(make_server: ServerMaker) -> None:
    server = make_server()
    store(server, 1, 2)
    shown = storage(server)
    assert shown["quota"] | {"used": 0} == {
        "max_storage": 0,
        "used": 0,
        "max_age_days": 0.0,
        "protected": {"count": 0, "bytes": 0},
        "alert": None,
    }
    sizes = [one["size"] for one in server.client.get("/api/instances").json()]
    assert shown["instances"] == {"count": 4, "bytes": sum(sizes)}
    assert shown["quota"]["used"] == sum(sizes)


def test_without_a_trash_studies_are_deleted_for_good(make_server: ServerMaker) -> None:
    server = make_server("--max-storage", ROOM, "--trash-days", "0")
    store(server, 1, 2, 3, 4)
    wait_for(lambda: studies_of(server), "room", holds=lambda found: found == [2, 3, 4])
    assert entries(server) == []


def test_a_study_that_a_job_is_to_work_on_goes_last(make_server: ServerMaker) -> None:
    """The job sends it to a node that nobody answers for, and is tried again and again."""
    server = make_server()
    store(server, 1, 2)
    node = {"name": "away", "protocol": "DICOMWEB", "url": "http://127.0.0.1:9/dicom-web"}
    assert server.client.post("/api/dicom_nodes", json=node).status_code == 201
    sent = server.client.post("/api/dicom_nodes/away/send", json={"studies": [f"{ROOT}.1"]})
    assert sent.status_code == 202, sent.text
    server = make_server("--max-storage", ROOM)
    store(server, 3, 4)
    wait_for(lambda: studies_of(server), "room", holds=lambda found: found == [1, 3, 4])
    job = server.client.get(f"/api/jobs/{sent.json()['id']}").json()
    assert job["state"] in ("queued", "running")


def test_uploads_go_on_meanwhile_and_no_study_loses_a_part(make_server: ServerMaker) -> None:
    server = make_server("--max-storage", ROOM, "--stable-seconds", "5")
    failed: list[Any] = []

    def send(first: int) -> None:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            for study in range(first, first + 6):
                for number in (1, 2):
                    result = upload(client, file_of(study, number))
                    if result["status"] != "stored":
                        failed.append(result)

    threads = [threading.Thread(target=send, args=(first,)) for first in (1, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    wait_for(lambda: storage(server)["quota"]["used"], "room", holds=lambda used: used <= ROOM_BYTES)
    found = server.client.get("/api/studies", params={"limit": 1000}).json()
    assert {one["images_count"] for one in found} == {2}
    assert len(found) == 3


@pytest.mark.parametrize("make_server", ["sqlite"], indirect=True)
def test_a_backup_under_way_delays_it(make_server: ServerMaker) -> None:
    server = make_server("--max-storage", ROOM)
    store(server, 1, 2, 3)
    with held(server):
        store(server, 4)
        ended = time.time() + 5
        while time.time() < ended:
            assert studies_of(server) == [1, 2, 3, 4]
            assert entries(server) == []
            time.sleep(0.2)
    wait_for(lambda: studies_of(server), "room", holds=lambda found: found == [2, 3, 4])


def test_a_restored_study_counts_as_new(make_server: ServerMaker) -> None:
    server = make_server("--max-storage", ROOM)
    store(server, 1, 2)
    assert server.client.delete(f"/api/studies/{ROOT}.1").status_code == 204
    [entry] = entries(server)
    assert server.client.post(f"/api/trash/{entry['id']}/restore").status_code == 200
    store(server, 3)
    assert studies_of(server) == [1, 2, 3]
    store(server, 4)
    wait_for(lambda: studies_of(server), "room", holds=lambda found: found == [1, 3, 4])
    store(server, 5)
    wait_for(lambda: studies_of(server), "room", holds=lambda found: found == [3, 4, 5])


def test_only_one_server_at_a_time_makes_room(make_server: ServerMaker) -> None:
    """Another one has the lease, and does nothing until that ends."""
    server = make_server()
    store(server, 1, 2, 3, 4)
    server.stop()
    until = time.time() + 8

    async def take() -> None:
        catalog = catalog_of(server)
        await catalog.open()
        try:
            await catalog.documents.add("quota", "state", {"owner": "another", "until": until, "alert": None})
        finally:
            await catalog.close()

    asyncio.run(take())
    server = make_server("--max-storage", ROOM)
    while time.time() < until - 0.5:
        assert studies_of(server) == [1, 2, 3, 4]
        time.sleep(0.2)
    wait_for(lambda: studies_of(server), "room", holds=lambda found: found == [2, 3, 4])
