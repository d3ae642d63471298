"""Files that nothing refers to: deleted at once, or once the backup that holds deletions has ended."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from neurdicom.archive import garbage
from neurdicom.archive.hold import KIND, DeletionHold, are_deletions_held
from neurdicom.archive.reindex import reindex
from neurdicom.archive.remove import RemoveService
from neurdicom.archive.trash.service import TrashService
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Conflict
from neurdicom.testing.faults import Fault
from tests.support.archive import ArchiveSite, archive
from tests.support.files import ROOT, dicom_file
from tests.support.no_results import NoResults
from tests.support.waiting import until

NEW = dicom_file(1, PatientName="New^Name")


async def replace_and_delete(stored: ArchiveSite) -> None:
    """Make garbage by a replacement, a duplicate and a deletion."""
    for file in (dicom_file(1), dicom_file(2)):
        await stored.add(file)
    await stored.add(NEW)
    await stored.add(NEW)
    garbage, results = stored.ingest.garbage, NoResults()
    trash = TrashService(stored.catalog, stored.blobs, garbage, results, stored.guard, stored.checker, 0.0)
    await RemoveService(stored.catalog, garbage, trash, results).delete(Level.INSTANCE, f"{ROOT}.1.1.2")


def test_a_hold_keeps_files_until_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurdicom.archive.hold.POLL_SECONDS", 0.01)

    async def test() -> None:
        async with archive(tmp_path) as stored:
            async with DeletionHold(stored.catalog.documents) as hold:
                async with DeletionHold(stored.catalog.documents):
                    assert await are_deletions_held(stored.catalog.documents)
                await replace_and_delete(stored)
                await asyncio.sleep(0.05)
                assert len(stored.files) == 4
                assert len(await stored.catalog.garbage()) == 3
                with pytest.raises(Conflict, match="backup"):
                    await reindex(stored.catalog, stored.blobs)
            assert not hold.was_lost
            await until(lambda: stored.files == [NEW], "the files to be deleted")
            await until(stored.catalog.garbage, "the garbage to be forgotten", holds=lambda keys: not keys)
            await stored.check()

    asyncio.run(test())


def test_a_hold_outlives_the_server_and_ends_with_its_lease(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            await stored.catalog.documents.add(KIND, "killed", {"owner": "killed", "until": time.time() + 60})
            await replace_and_delete(stored)
        async with archive(tmp_path) as stored:
            assert len(stored.files) == 4
            await stored.catalog.documents.put(KIND, {"killed": {"owner": "killed", "until": time.time() - 1}})
        async with archive(tmp_path) as stored:
            assert stored.files == [NEW]
            async with DeletionHold(stored.catalog.documents):
                assert await stored.catalog.documents.get(KIND, "killed") is None
            assert (await stored.catalog.documents.query(KIND)).items == []

    asyncio.run(test())


def test_two_holds_that_are_taken_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            documents = stored.catalog.documents
            add = documents.add

            async def add_slowly(kind: str, key: str, document: Mapping[str, Any]) -> bool:
                monkeypatch.undo()
                added = await add(kind, key, document)
                async with DeletionHold(documents):  # deletes holds that have ended
                    return added

            monkeypatch.setattr(documents, "add", add_slowly)
            async with DeletionHold(documents) as hold:
                assert await are_deletions_held(documents)
            assert not hold.was_lost

    asyncio.run(test())


def test_a_hold_that_was_taken_away_is_lost(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored, DeletionHold(stored.catalog.documents, seconds=0.2) as hold:
            [document] = (await stored.catalog.documents.query(KIND)).items
            await stored.catalog.documents.delete(KIND, document["owner"])
            await until(lambda: hold.was_lost, "the renewal to fail")

    asyncio.run(test())


def test_files_that_the_disk_keeps_are_deleted_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "AGAIN_SECONDS", 0.01)

    async def test() -> None:
        async with archive(tmp_path) as stored:
            with Fault(stored.blobs, "delete", OSError("the disk is read-only")) as fault:
                await replace_and_delete(stored)
                await until(lambda: fault.count > 5, "further attempts")
                assert len(stored.files) == 4
            await until(lambda: stored.files == [NEW], "the files to be deleted")
            await until(stored.catalog.garbage, "the garbage to be forgotten", holds=lambda keys: not keys)
            await stored.check()

    asyncio.run(test())
