"""A catalog of version 4 is upgraded when it is opened: its edits get ids, and can be undone."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from neurdicom.catalog.sqlite import SqliteCatalog, schema
from neurdicom.dicom.query.attributes import Level
from neurdicom.testing.arrivals import arrival, place_of
from neurdicom.testing.move_requests import split

_OF_4 = """
ALTER TABLE edit RENAME TO newer;
CREATE TABLE edit (level TEXT, entity TEXT, field TEXT, value TEXT, user TEXT, time TEXT,
                   PRIMARY KEY (level, entity, field)) WITHOUT ROWID;
INSERT INTO edit SELECT level, entity, field, value, user, time FROM newer WHERE NOT replaced;
DROP TABLE newer;
DROP INDEX origin_moved;
ALTER TABLE origin DROP COLUMN moved;
ALTER TABLE instance DROP COLUMN digest;
DROP TABLE move;
DROP TABLE moved_patient;
DROP TABLE displaced;
PRAGMA user_version = 4;
"""


async def write(path: Path) -> None:
    """Make a file as version 4 left it: of two edits of a field the last is there."""
    catalog = SqliteCatalog(path)
    await catalog.open()
    await catalog.store([arrival(1), arrival(2, series="1.2.1.2")])
    for value in (7, 8):
        await catalog.edit(Level.INSTANCE, "1.9.1", {"instance_number": value}, user="u", time=f"t{value}")
        await catalog.edit(Level.PATIENT, "p1", {"patient_name": f"N{value}"}, user="u", time=f"t{value}")
    await catalog.close()
    with closing(sqlite3.connect(path)) as db:
        db.executescript(_OF_4)


def test_edits_of_version_4(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"

    async def go() -> None:
        await write(path)
        catalog = SqliteCatalog(path)
        ids = []
        for _ in range(2):
            await catalog.open()
            assert not await catalog.needs_migration()
            [number] = await catalog.history(Level.INSTANCE, "1.9.1")
            [name] = await catalog.history(Level.PATIENT, "p1")
            assert (number.value, number.before, number.entity) == (8, None, place_of(arrival(1)).instance)
            assert (name.value, name.before, name.time) == ("N8", None, "t8")
            ids.append((number.id, name.id))
            await catalog.close()
        assert ids[0] == ids[1]
        assert len({*ids[0], ""}) == 3
        await catalog.open()
        assert await catalog.moves(Level.STUDY, "1.2.1") == []
        await catalog.move(split([place_of(arrival(2, series="1.2.1.2")).series]))
        assert len(await catalog.undo_move("m") or ()) == 1
        # One more lies above, and then the one of before goes: the file tells what was there at first.
        await catalog.edit(Level.INSTANCE, "1.9.1", {"instance_number": 9}, user="u", time="t9")
        _, later = await catalog.history(Level.INSTANCE, "1.9.1")
        assert later.before == 8
        assert await catalog.undo(Level.INSTANCE, "1.9.1", number.id)
        assert await catalog.undo(Level.INSTANCE, "1.9.1", later.id)
        assert await catalog.undo(Level.PATIENT, "p1", name.id)
        instance, study = await catalog.get(Level.INSTANCE, "1.9.1"), await catalog.get(Level.STUDY, "1.2.1")
        assert instance is not None
        assert study is not None
        assert (instance["instance_number"], study["patient_name"]) == (1, "DOE^JOHN")
        await catalog.close()

    asyncio.run(go())
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
        assert db.execute("SELECT count(*) FROM edit").fetchone() == (0,)
