"""Headers and locations of instances, with the edits that apply to them, from one snapshot."""

import sqlite3
import zlib
from collections.abc import Sequence

import orjson

from neurdicom.catalog.base import DescribedInstance, Edit, Located, Location
from neurdicom.catalog.claims import applying_edits, described_instances
from neurdicom.catalog.sqlite.select import JOINS
from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.query.attributes import Level


def _tables(level: Level) -> str:
    """Join the tables in the order in which SQLite should visit them: from the entity down, then up from it."""
    tables, below = str(level), level
    while below.child is not None:
        tables += f" CROSS JOIN {below.child} ON {below.child}.parent = {below}.pk"
        below = below.child
    return tables + "".join(f" CROSS JOIN {each} ON {each}.pk = {each.child}.parent" for each in reversed(level.above))


_TABLES = {level: _tables(level) for level in Level}


def described(db: sqlite3.Connection, level: Level, entity: str, after: str, budget: int) -> list[DescribedInstance]:
    """List headers and edits of the instances below an entity, for `Catalog.described`."""
    found: list[tuple[list[str], bytes]] = []
    size = 0
    rows = db.execute(
        "SELECT instance.pk, patient.id, study.id, series.id, instance.id"
        # The plus keeps SQLite from walking all instances in the order of their ids.
        f" FROM {_TABLES[level]} WHERE {level}.id = ? AND +instance.id > ? ORDER BY +instance.id",
        (entity, after),
    ).fetchall()
    for pk, *chain in rows:
        (data,) = db.execute("SELECT data FROM header WHERE pk = ?", (pk,)).fetchone()
        header = zlib.decompress(data)
        found.append((chain, header))
        size += len(header)
        if size >= budget:
            break
    return described_instances(found, _edits(db, [chain for chain, _ in found]))


def samples(db: sqlite3.Connection, level: Level, entities: Sequence[str]) -> dict[str, DescribedInstance]:
    """Look up the earliest instance of each entity, for `Catalog.samples`."""
    source = "pk" if level is Level.INSTANCE else "source"
    rows = db.execute(
        f"SELECT page.value, header.data, patient.id, study.id, series.id, instance.id FROM json_each(?) AS page"
        f" CROSS JOIN {level} AS entity ON entity.id = page.value CROSS JOIN header ON header.pk = entity.{source}"
        f" CROSS JOIN instance ON instance.pk = header.pk{JOINS[Level.INSTANCE]}",
        (orjson.dumps(list(entities)).decode(),),
    )
    found = [(entity, chain, zlib.decompress(data)) for entity, data, *chain in rows]
    edits = _edits(db, [chain for _, chain, _ in found])
    made = described_instances([(chain, header) for _, chain, header in found], edits)
    return dict(zip((entity for entity, *_ in found), made, strict=True))


def located(db: sqlite3.Connection, level: Level, entity: str) -> list[Located]:
    """List the locations and edits of all instances below an entity, for `Catalog.locate_all`."""
    rows = db.execute(
        "SELECT blob_key, size, sha256, layout, patient.id, study.id, series.id, instance.id"
        f" FROM {_TABLES[level]} WHERE {level}.id = ? ORDER BY +instance.id",
        (entity,),
    ).fetchall()
    chains = [chain for _, _, _, _, *chain in rows]
    return [
        Located(Location(instance, BlobRef(*blob), orjson.loads(layout), bool(own), study, series), own)
        for (*blob, layout, _, study, series, instance), own in zip(
            rows, applying_edits(chains, _edits(db, chains)), strict=True
        )
    ]


def headers(db: sqlite3.Connection, level: Level, entity: str) -> list[bytes]:
    """List the stored headers of all instances below an entity, for `Catalog.headers`."""
    rows = db.execute(
        f"SELECT data FROM {_TABLES[level]} CROSS JOIN header ON header.pk = instance.pk"
        f" WHERE {level}.id = ? ORDER BY +instance.id",
        (entity,),
    )
    return [zlib.decompress(data) for (data,) in rows]


def _edits(db: sqlite3.Connection, chains: list[list[str]]) -> list[Edit]:
    if db.execute("SELECT 1 FROM edit LIMIT 1").fetchone() is None:  # as in most archives
        return []
    found = []
    for place, level in enumerate(Level):
        wanted = orjson.dumps(list({chain[place] for chain in chains})).decode()
        rows = db.execute(
            "SELECT entity, field, edit.value, user, time FROM json_each(?) AS wanted"
            " CROSS JOIN edit ON level = ? AND entity = wanted.value ORDER BY entity, field",
            (wanted, level),
        )
        found += [Edit(level, one, field, orjson.loads(value), user, time) for one, field, value, user, time in rows]
    return found
