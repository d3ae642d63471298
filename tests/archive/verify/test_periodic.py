"""The background check: by itself, resumed after `kill -9`, and by one server at a time."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from neurdicom.archive.verify.check import FileChecker
from neurdicom.archive.verify.periodic import PeriodicCheck
from neurdicom.archive.verify.registry import DamageRegistry
from neurdicom.archive.verify.repair import Repairer
from neurdicom.archive.verify.verification import Verification
from neurdicom.blobs.base import BlobDigest, Pace
from tests.support.api import upload
from tests.support.archive import ArchiveSite, archive
from tests.support.damage import file_of, flip
from tests.support.files import ROOT, dicom_file
from tests.support.server import Server
from tests.support.waiting import until, wait_for

#: About a second.
OFTEN = "0.00001"


def last(server: Server) -> dict[str, Any] | None:
    found = server.client.get("/api/storage").json()["last_check"]
    return None if found is None else dict(found)


def test_it_comes_by_itself_again_and_again(tmp_path: Path) -> None:
    with Server(tmp_path / "data", "--verify-days", OFTEN) as server:
        upload(server.client, dicom_file(1))
        first = wait_for(lambda: last(server), "the first check")
        assert first is not None
        assert (first["by"], first["damaged"], first["unknown"]) == ("background", 0, 0)
        flip(file_of(server, f"{ROOT}.1.1.1"))
        wait_for(lambda: server.client.get("/api/health").json()["damaged_files"] == 1, "the damage")
        assert server.client.get(f"/api/instances/{ROOT}.1.1.1/file").status_code == 410
        wait_for(lambda: (last(server) or {})["damaged"] == 1, "the end of that check")


def test_none_where_there_is_to_be_none(tmp_path: Path) -> None:
    with Server(tmp_path / "data", "--verify-days", "0") as server:
        upload(server.client, dicom_file(1))
        assert last(server) is None


def place(data: Path) -> dict[str, Any]:
    """The place of the check under way, as the catalog has it."""
    with closing(sqlite3.connect(f"file:{data / 'catalog.sqlite'}?mode=ro", uri=True)) as db:
        row = db.execute("SELECT value FROM document WHERE kind = 'verification' AND key = 'place'").fetchone()
    return {} if row is None else dict(json.loads(row[0]))


def test_it_is_resumed_where_it_was_killed(tmp_path: Path) -> None:
    """At a KiB a second, with ten series of a file of some hundred bytes."""
    data = tmp_path / "data"
    with Server(data) as server:
        for number in range(1, 11):
            upload(server.client, dicom_file(number, series=number))
    slow = Server(data, "--verify-days", OFTEN, "--verify-rate", "0.001").start()
    wait_for(lambda: place(data).get("after"), "a place in the catalog")
    slow.kill()
    checked = place(data)["report"]["files"]
    assert 0 < checked < 10
    with Server(data, "--verify-days", OFTEN, "--verify-rate", "0") as server:
        wait_for(lambda: f"is resumed after {checked} files" in server.log, "the check to be resumed")
        done = wait_for(lambda: last(server), "its end")
        assert done is not None
        assert (done["files"], done["damaged"]) == (10, 0)


def test_only_one_server_checks(tmp_path: Path) -> None:
    """The lease of a check keeps others out, of which both begin at once; the next one is due a day later."""

    async def test() -> None:
        async with archive(tmp_path) as here:
            for number in range(1, 6):
                await here.add(dicom_file(number, series=number))
            read: list[str] = []
            digest = here.blobs.digest

            async def counted(key: str, pace: Pace | None = None, *, from_disk: bool = False) -> BlobDigest:
                read.append(key)
                return await digest(key, pace, from_disk=from_disk)

            here.blobs.digest = counted  # type: ignore[method-assign]
            due = {"owner": None, "until": 0.0, "since": 0.0, "report": None}
            await here.catalog.documents.add("verification", "place", due)
            checks = [periodic(here, tmp_path / name) for name in ("one", "two")]
            for check in checks:
                await check.open()
            await until(lambda: here.catalog.documents.get("verification", "last"), "the end of a check")
            for check in checks:
                await check.close()
            last = await here.catalog.documents.get("verification", "last")
            assert last is not None
            assert last["files"] == 5
            assert len(read) == len(set(read)) == 5, "two servers have read the same files"

    asyncio.run(test())


def periodic(here: ArchiveSite, data: Path) -> PeriodicCheck:
    """The background check of a server on a folder of its own."""
    data.mkdir()
    documents = here.catalog.documents
    registry = DamageRegistry(documents, data)
    checker = FileChecker(here.catalog, here.blobs, registry)
    repairer = Repairer(here.catalog, here.blobs, registry, checker)
    verification = Verification(here.catalog, here.blobs, registry, checker, here.checker, repairer)
    return PeriodicCheck(documents, verification, data.name, days=1.0, rate=0.01)
