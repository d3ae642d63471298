"""Search while a study goes to another patient: entities that are there before and after are found."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from neurdicom.archive.query import QueryService
from neurdicom.catalog.records import Page
from neurdicom.catalog.sqlite import SqliteCatalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Query
from neurdicom.testing.arrivals import arrival
from neurdicom.testing.move_requests import merge, study_to, two_patients


class MovedMeanwhile(SqliteCatalog):
    """Catalog in which a study is moved after the first query."""

    waiting = False

    async def find(self, query: Query) -> Page:
        page = await super().find(query)
        if self.waiting:
            self.waiting = False
            await self.move(study_to("p2", "1.2.1", "again"))
        return page


@pytest.mark.parametrize("level", [Level.STUDY, Level.SERIES, Level.INSTANCE])
def test_what_is_moved_meanwhile_is_found(tmp_path: Path, level: Level) -> None:
    async def go() -> None:
        catalog = MovedMeanwhile(tmp_path / "catalog.sqlite")
        await catalog.open()
        try:
            await catalog.store([*two_patients(), arrival(4, patient="p3", study="1.2.4", series="2.4")])
            await catalog.move(merge("p3", "p2"))
            keys: dict[str, Any]
            for keys in ({"0020000D": {"vr": "UI", "Value": ["1.2.1"]}}, {"00081030": {"vr": "LO"}}, {}):
                catalog.waiting = True
                empty = {"00100010": {"vr": "PN"}, "00100020": {"vr": "LO"}, "0020000D": {"vr": "UI"}}
                found = await QueryService(catalog).find(level, empty | keys, limit=10)
                assert not catalog.waiting
                of_study = [one for one in found.items if one["0020000D"]["Value"] == ["1.2.1"]]
                assert len(of_study) == 1, keys
                patient = of_study[0]["00100020"]["Value"][0], of_study[0]["00100010"]["Value"][0]["Alphabetic"]
                assert patient in (("P1", "DOE^JOHN"), ("P2", "ROE^JANE"))
                await catalog.undo_move("again")
        finally:
            await catalog.close()

    asyncio.run(go())
