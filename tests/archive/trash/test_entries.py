"""Counts of an entry of the trash, with instances that arrive during the deletion."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from neurdicom.archive.edit import EditService
from neurdicom.archive.garbage import GarbageCollector
from neurdicom.archive.ingest.service import IngestService
from neurdicom.archive.trash.service import Deletion, TrashService
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.outcomes import StorePolicy
from neurdicom.catalog.records import Located
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Query
from neurdicom.errors import NotFound
from tests.support.archive import ArchiveSite, archive
from tests.support.files import ROOT, dicom_file
from tests.support.no_results import NoResults
from tests.support.trash import sha

FILES = [dicom_file(1), dicom_file(2, ContentLabel="LATE")]


def trash_of(stored: ArchiveSite) -> TrashService:
    garbage = GarbageCollector(stored.catalog, stored.blobs)
    observer = NoResults(has_trash=True)
    return TrashService(stored.catalog, stored.blobs, garbage, observer, stored.guard, stored.checker, 30.0)


def test_the_bytes_of_an_entry_are_those_of_its_files_also_of_one_that_arrives_meanwhile(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            catalog, trash = stored.catalog, trash_of(stored)
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


class EmptyingObserver(NoResults):
    """Observer by which somebody empties an earlier version from the trash while its bytes become current again."""

    trash: TrashService

    async def on_brought_back(self, place: str) -> None:
        await self.trash.empty(place.partition("/")[2])


def test_a_version_is_recorded_also_where_another_one_is_emptied_meanwhile(tmp_path: Path) -> None:
    first, second = dicom_file(1, ImageComments="first"), dicom_file(1, ImageComments="second")

    async def test() -> None:
        async with archive(tmp_path) as stored:
            catalog, blobs = stored.catalog, stored.blobs
            garbage, observer = GarbageCollector(catalog, blobs), EmptyingObserver(has_trash=True)
            trash = TrashService(catalog, blobs, garbage, observer, stored.guard, stored.checker, 30.0)
            observer.trash = trash
            policy = StorePolicy(keep_versions=True)
            stored.ingest = IngestService(catalog, blobs, replaced=trash.versions.note, policy=policy, garbage=garbage)
            for file in (first, second, first):
                await stored.add(file)
            entries, _ = await trash.page(limit=10)
            assert [(entry.kind, entry.sha256) for entry in entries] == [("version", sha(second))]

    asyncio.run(test())


class PurgingObserver(NoResults):
    """Observer by which somebody deletes a restored instance for good before its restoration has ended."""

    catalog: Catalog
    garbage: GarbageCollector

    async def on_brought_back(self, place: str) -> None:
        [instance] = (await self.catalog.find(Query(Level.INSTANCE))).items
        keys = await self.catalog.delete(Level.INSTANCE, instance["key"])
        await self.garbage.collect(dict.fromkeys(keys or (), ""))


def test_a_restored_version_that_is_deleted_at_once_leaves_no_file(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            catalog, blobs, observer = stored.catalog, stored.blobs, PurgingObserver(has_trash=True)
            garbage = GarbageCollector(catalog, blobs)
            observer.catalog, observer.garbage = catalog, garbage
            trash = TrashService(catalog, blobs, garbage, observer, stored.guard, stored.checker, 30.0)
            policy = StorePolicy(keep_versions=True)
            stored.ingest = IngestService(catalog, blobs, replaced=trash.versions.note, policy=policy, garbage=garbage)
            for comment in ("first", "second"):
                await stored.add(dicom_file(1, ImageComments=comment))
            [version], _ = await trash.page(limit=10)
            await trash.restore(version.id)
            [other], _ = await trash.page(limit=10)
            place = tmp_path / "blobs" / "versions" / version.id
            assert not [path for path in place.rglob("*") if path.is_file()]
            assert other.sha256 == sha(dicom_file(1, ImageComments="second"))

    asyncio.run(test())


class ImpatientObserver(NoResults):
    """Observer by which somebody empties the trash at the moment when results are set aside there."""

    trash: TrashService

    def __init__(self) -> None:
        super().__init__(has_trash=True)
        self.places: dict[str, str] = {}

    async def on_set_aside(self, level: Level, entity: str, place: str) -> None:
        entries, _ = await self.trash.page(limit=10)
        for entry in entries:
            await self.trash.empty(entry.id)
        self.places[place] = "set aside"

    async def on_discarded(self, place: str) -> None:
        self.places[place] = "discarded"


def test_no_result_is_set_aside_for_an_entry_that_is_emptied_already(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            garbage, observer = GarbageCollector(stored.catalog, stored.blobs), ImpatientObserver()
            trash = TrashService(stored.catalog, stored.blobs, garbage, observer, stored.guard, stored.checker, 30.0)
            observer.trash = trash
            await stored.add(FILES[0])
            entry = await trash.delete(Level.STUDY, f"{ROOT}.1", Deletion())
            assert observer.places == {entry.place: "set aside"}
            await trash.empty(entry.id)
            assert observer.places == {entry.place: "discarded"}

    asyncio.run(test())


@pytest.mark.parametrize("before", ["locate_all", "history", "delete"])
@pytest.mark.parametrize("is_killed", [False, True], ids=["", "killed"])
def test_edits_that_are_made_while_a_study_is_deleted_come_back_with_it(
    tmp_path: Path, before: str, *, is_killed: bool
) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            catalog, trash = stored.catalog, trash_of(stored)
            edits = EditService(catalog, trash=trash)
            for file in FILES:
                await stored.add(file)
            study = f"{ROOT}.1"
            [instance] = [one for one in await stored.instances() if one.endswith(".1")]
            series = (await catalog.get(Level.INSTANCE, instance) or {})["series"]
            await edits.change(Level.STUDY, study, {"study_id": "BEFORE"}, user="u")
            verb = getattr(catalog, before)

            async def late(*arguments: Any, **options: Any) -> Any:
                """Let all levels be edited just before a step of the deletion."""
                setattr(catalog, before, verb)
                await edits.change(Level.STUDY, study, {"study_description": "LATE"}, user="u")
                await edits.change(Level.STUDY, study, {"study_description": "LATER"}, user="u")
                await edits.change(Level.SERIES, series, {"series_description": "LATE"}, user="u")
                await edits.change(Level.INSTANCE, instance, {"image_comments": "LATE"}, user="u")
                return await verb(*arguments, **options)

            setattr(catalog, before, late)
            if is_killed:
                advance = trash._records.advance

                async def killed(*arguments: Any, **options: Any) -> Any:
                    raise KeyboardInterrupt

                trash._records.advance = killed  # type: ignore[method-assign]
                with pytest.raises(KeyboardInterrupt):
                    await trash.delete(Level.SERIES, series, Deletion())
                trash._records.advance = advance  # type: ignore[method-assign]
                await trash.open()
            else:
                await trash.delete(Level.SERIES, series, Deletion())
            with pytest.raises(NotFound):
                await edits.change(Level.STUDY, study, {"study_id": "AFTER"}, user="u")
            [entry], _ = await trash.page(limit=2)
            await trash.restore(entry.id)
            shown = [await catalog.get(*one) or {} for one in ((Level.STUDY, study), (Level.SERIES, series))]
            assert [one["study_id"] for one in shown[:1]] == ["BEFORE"]
            assert (shown[0]["study_description"], shown[1]["series_description"]) == ("LATER", "LATE")
            assert (await catalog.get(Level.INSTANCE, instance) or {})["image_comments"] == "LATE"
            assert [edit.value for edit in await edits.history(Level.STUDY, study)] == ["BEFORE", "LATE", "LATER"]
            await trash.close()

    asyncio.run(test())
