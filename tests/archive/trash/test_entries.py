"""Counts of an entry of the trash, with instances that arrive during the deletion."""

import asyncio
from pathlib import Path
from typing import Any

from neurdicom.archive.garbage import GarbageCollector
from neurdicom.archive.trash.service import Deletion, TrashService
from neurdicom.catalog.records import Located
from neurdicom.dicom.query.attributes import Level
from tests.support.archive import archive
from tests.support.files import ROOT, dicom_file
from tests.support.no_results import NoResults

FILES = [dicom_file(1), dicom_file(2, ContentLabel="LATE")]


def test_the_bytes_of_an_entry_are_those_of_its_files_also_of_one_that_arrives_meanwhile(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            catalog, garbage = stored.catalog, GarbageCollector(stored.catalog, stored.blobs)
            trash = TrashService(
                catalog, stored.blobs, garbage, NoResults(has_trash=True), stored.guard, stored.checker, 30.0
            )
            await stored.add(FILES[0])
            locate_all = catalog.locate_all

            async def late(*arguments: Any, **options: Any) -> list[Located]:
                """Let an instance arrive after those of its study were located."""
                found = await locate_all(*arguments, **options)
                await stored.add(FILES[1])
                return found

            catalog.locate_all = late  # type: ignore[method-assign]
            entry = await trash.delete(Level.STUDY, f"{ROOT}.1", Deletion())
            assert (entry.instances, entry.bytes) == (2, sum(map(len, FILES)))

    asyncio.run(test())
