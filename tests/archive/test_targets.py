"""Targets of DICOMweb paths, and lookups by id."""

import asyncio
from pathlib import Path

import pytest

from neurdicom.archive.lookup import get_entity, locate_instance, series_of
from neurdicom.archive.search import SearchService
from neurdicom.archive.targets import Target, TargetService
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import NotFound
from tests.support.archive import archive
from tests.support.files import ROOT, dicom_file


def test_a_study_of_more_series_than_a_page_of_a_list(tmp_path: Path) -> None:
    count = 101

    async def go() -> None:
        async with archive(tmp_path) as here:
            numbers = range(count, 0, -1)
            await asyncio.gather(*(here.add(dicom_file(1, series=number, SeriesNumber=number)) for number in numbers))
            study = f"{ROOT}.1"
            series = [entity["id"] for entity in await series_of(here.catalog, Level.STUDY, study)]
            assert series == [f"{study}.{number}" for number in range(1, count + 1)]
            targets = TargetService(here.catalog, SearchService(here.catalog))
            assert [uid_of(key) async for key in targets.instances(Target(study))] == [f"{uid}.1" for uid in series]

    asyncio.run(go())


def test_what_is_not_there(tmp_path: Path) -> None:
    async def go() -> None:
        async with archive(tmp_path) as here:
            await here.add(dicom_file(1))
            one = f"{ROOT}.1.1"
            assert [entity["id"] for entity in await series_of(here.catalog, Level.SERIES, one)] == [one]
            assert (await get_entity(here.catalog, Level.SERIES, one))["id"] == one
            assert await series_of(here.catalog, Level.SERIES, "1.2") == []
            assert await series_of(here.catalog, Level.STUDY, "1.2") == []
            with pytest.raises(NotFound, match=r"no study '1\.2'") as raised:
                await get_entity(here.catalog, Level.STUDY, "1.2", field="studies")
            assert raised.value.field == "studies"
            with pytest.raises(NotFound, match="no instance"):
                await locate_instance(here.catalog, "1.2")

    asyncio.run(go())
