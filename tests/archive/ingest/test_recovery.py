"""Recovery, at the next start and by a reindex, of files that an earlier process left."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from neurdicom.archive.ingest import recovery
from neurdicom.archive.reindex import reindex
from neurdicom.catalog.outcomes import SameInstance, StorePolicy
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Unavailable
from neurdicom.testing.blob_suite import put
from neurdicom.testing.faults import Fault
from tests.support.archive import archive
from tests.support.files import ROOT, dicom_file


def test_a_file_between_the_blob_store_and_the_catalog(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            await stored.add(dicom_file(1))
            put(stored.blobs, dicom_file(2))
            put(stored.blobs, dicom_file(1))  # a duplicate that was not acknowledged
        async with archive(tmp_path) as stored:
            assert await stored.instances() == [f"{ROOT}.1.1.1", f"{ROOT}.1.1.2"]
            study = await stored.catalog.get(Level.STUDY, f"{ROOT}.1")
            assert study is not None
            assert study["images_count"] == 2
            await stored.check()

    asyncio.run(test())


def test_an_old_orphan_does_not_replace_what_came_later(tmp_path: Path) -> None:
    async def test() -> None:
        newer = dicom_file(1, PatientName="Newer^Name")
        async with archive(tmp_path) as stored:
            put(stored.blobs, dicom_file(1))
            await stored.add(newer)
        async with archive(tmp_path) as stored:
            assert stored.files == [newer]
            await stored.check()

    asyncio.run(test())


def test_an_old_orphan_of_another_patient_is_entered(tmp_path: Path) -> None:
    """It has the UIDs of a later arrival, and another place."""

    async def test() -> None:
        async with archive(tmp_path) as stored:
            put(stored.blobs, dicom_file(1, patient="other"))
            await stored.add(dicom_file(1))
        async with archive(tmp_path) as stored:
            assert stored.files == [dicom_file(1, patient="other"), dicom_file(1)]
            assert len(set(await stored.instances())) == 2
            await stored.check()

    asyncio.run(test())


def test_an_old_orphan_that_does_not_say_whose_it_is(tmp_path: Path) -> None:
    """It belongs to the patient that the later arrival names, and does not replace it."""

    async def test() -> None:
        async with archive(tmp_path) as stored:
            put(stored.blobs, dicom_file(1, PatientID=None))
            await stored.add(dicom_file(1))
        async with archive(tmp_path) as stored:
            assert stored.files == [dicom_file(1)]
            await stored.check()

    asyncio.run(test())


@pytest.mark.parametrize("same_instance", ["version", "keep", "refuse"])
def test_a_later_file_that_a_crash_left(tmp_path: Path, same_instance: SameInstance) -> None:
    """It was not acknowledged: a policy that keeps the first file holds for it too, but it is no conflict."""
    policy = StorePolicy("refuse", same_instance)
    later, elsewhere = dicom_file(1, ImageComments="later"), dicom_file(1, patient="other")

    async def test() -> None:
        async with archive(tmp_path) as stored:
            await stored.add(dicom_file(1))
            put(stored.blobs, later)
            put(stored.blobs, elsewhere)
        async with archive(tmp_path, policy=policy) as stored:
            assert stored.files == [later if same_instance == "version" else dicom_file(1), elsewhere]
            await stored.check()

    asyncio.run(test())


def test_garbage_that_a_crash_left(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            await stored.add(dicom_file(1))
            with Fault(stored.blobs, "delete", OSError("the disk is gone")):
                assert (await stored.add(dicom_file(1, PatientName="New^Name"))).status == "replaced"
            assert len(stored.files) == 2
        async with archive(tmp_path) as stored:
            assert stored.files == [dicom_file(1, PatientName="New^Name")]
            assert await stored.catalog.garbage() == {}
            await stored.check()

    asyncio.run(test())


def test_a_lost_catalog_deletes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "MOST_UNKNOWN", 3)

    async def test() -> None:
        async with archive(tmp_path) as stored:
            for number in range(5):
                await stored.add(dicom_file(number))
        for file in tmp_path.glob("catalog*"):
            file.unlink()
        async with archive(tmp_path) as stored:
            assert await stored.instances() == []
            assert len(stored.files) == 5
            await reindex(stored.catalog, stored.blobs)
            assert len(await stored.instances()) == 5
            await stored.check()

    asyncio.run(test())


def test_a_file_that_is_no_instance_is_left_alone(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            put(stored.blobs, b"whatever this is")
        async with archive(tmp_path) as stored:
            assert await stored.instances() == []
            assert stored.files == [b"whatever this is"]

    asyncio.run(test())


def test_reindex_gives_the_same_catalog(tmp_path: Path) -> None:
    async def entities() -> dict[str, Any]:
        async with archive(tmp_path) as stored:
            ids = {
                Level.INSTANCE: await stored.instances(),
                Level.STUDY: [f"{ROOT}.{study}" for study in range(2)],
                Level.SERIES: [f"{ROOT}.{study}.1" for study in range(2)],
            }
            found = {key: await stored.catalog.get(level, key) for level, keys in ids.items() for key in keys}
            for entity in found.values():
                assert entity is not None
                entity.pop("received", None)
            return found

    async def test() -> None:
        async with archive(tmp_path) as stored:
            for number in range(10):
                await stored.add(dicom_file(number, study=number % 2))
            await stored.add(dicom_file(3, study=1, PatientName="Replaced^Name"))
            await stored.catalog.edit(
                Level.STUDY, f"{ROOT}.1", {"study_description": "Edited"}, user="somebody", time="2024-01-01T00:00:00"
            )
            deleted = await stored.catalog.delete(Level.INSTANCE, f"{ROOT}.0.1.4")
            assert deleted is not None
        before = await entities()
        async with archive(tmp_path, recover=False) as stored:
            report = await reindex(stored.catalog, stored.blobs)
            assert (report.files, report.instances, report.superseded, report.unreadable) == (9, 9, 0, 0)
            await stored.check()
        assert await entities() == before

    asyncio.run(test())


def test_reindex_keeps_the_latest_of_two_files_of_an_instance(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            put(stored.blobs, dicom_file(1))
            put(stored.blobs, b"not DICOM")
            put(stored.blobs, dicom_file(1, PatientName="Later^Name"))
            report = await reindex(stored.catalog, stored.blobs)
            assert (report.files, report.instances, report.superseded, report.unreadable) == (3, 1, 1, 1)
            assert stored.files == [b"not DICOM", dicom_file(1, PatientName="Later^Name")]

    asyncio.run(test())


def test_reindex_refuses_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            await stored.add(dicom_file(1))
            await stored.add(dicom_file(1, patient="other"))
            before = await stored.instances()
        async with archive(tmp_path, policy=StorePolicy("refuse", "refuse")) as stored:
            report = await reindex(stored.catalog, stored.blobs)
            assert (report.files, report.instances, report.superseded, report.unreadable) == (2, 2, 0, 0)
            assert await stored.instances() == before
            await stored.check()

    asyncio.run(test())


def test_reindex_when_the_catalog_fails(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            await stored.add(dicom_file(1))
            with Fault(stored.catalog, "store", Unavailable("no answer")), pytest.raises(Unavailable):
                await reindex(stored.catalog, stored.blobs)
            assert len(stored.files) == 1
            await reindex(stored.catalog, stored.blobs)
            await stored.check()

    asyncio.run(test())


def test_a_deleted_file_that_stays_on_the_disk_does_not_come_back(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            await stored.add(dicom_file(1))
            assert await stored.catalog.delete(Level.INSTANCE, f"{ROOT}.1.1.1") is not None
        async with archive(tmp_path, recover=False) as stored:
            with Fault(stored.blobs, "delete", OSError("the disk is read-only")):
                await stored.ingest.recover()
            assert await stored.instances() == []
            assert len(stored.files) == 1
        async with archive(tmp_path) as stored:
            assert stored.files == []

    asyncio.run(test())
