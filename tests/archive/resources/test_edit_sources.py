"""Edits of several sources are one list, and each is undone where it lies."""

import asyncio
from pathlib import Path

import pytest

from neurdicom.archive.edit import EditService
from neurdicom.catalog.records import Edit
from neurdicom.catalog.sqlite import SqliteCatalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import NotFound
from neurdicom.testing.arrivals import arrival, place_of

KEY = place_of(arrival(1)).study


class OtherEdits:
    """A source of edits that are not of attributes, kept in a list."""

    def __init__(self, *edits: Edit) -> None:
        self.edits = list(edits)

    async def history(self, level: Level, entity: str) -> list[Edit]:
        return [edit for edit in self.edits if (edit.level, edit.entity) == (level, entity)]

    async def undo(self, level: Level, entity: str, edit_id: str) -> bool:
        left = [edit for edit in self.edits if (edit.level, edit.entity, edit.id) != (level, entity, edit_id)]
        was_there = len(left) < len(self.edits)
        self.edits = left
        return was_there


def test_two_sources(tmp_path: Path) -> None:
    async def go() -> None:
        catalog = SqliteCatalog(tmp_path / "catalog.sqlite")
        await catalog.open()
        try:
            await catalog.store([arrival(1)])
            for time in ("2026-01-01", "2026-01-03"):
                await catalog.edit(Level.STUDY, KEY, {"study_id": time}, user="u", time=time)
            moves = [Edit(Level.STUDY, KEY, "patient", "p2", "u", f"2026-01-0{n}", "p1", f"move-{n}") for n in (2, 4)]
            other = OtherEdits(*moves)
            service = EditService(catalog, [other])
            history = await service.history(Level.STUDY, "1.2.1")
            assert [edit.time for edit in history] == [f"2026-01-0{n}" for n in (1, 2, 3, 4)]
            for edit in (history[3], history[0]):
                await service.undo(Level.STUDY, "1.2.1", edit.id, user="u")
                with pytest.raises(NotFound):
                    await service.undo(Level.STUDY, "1.2.1", edit.id, user="u")
            assert [edit.id for edit in other.edits] == ["move-2"]
            assert [edit.id for edit in await service.history(Level.STUDY, KEY)] == ["move-2", history[2].id]
            with pytest.raises(NotFound):
                await service.history(Level.STUDY, "1.2.9")
        finally:
            await catalog.close()

    asyncio.run(go())
