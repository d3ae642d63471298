"""Headers and locations of instances, with the edits that apply to them, from one snapshot."""

import sqlite3
import zlib
from collections.abc import Sequence

import orjson

from neurdicom.catalog.claims import applying_edits, described_instances
from neurdicom.catalog.records import DescribedInstance, Edit, Located, Location
from neurdicom.catalog.sqlite.edits import effective_edits
from neurdicom.catalog.sqlite.lookup import KEY, TABLES, row_of
from neurdicom.catalog.sqlite.select import JOINS
from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.query.attributes import Level

#: Row of the earliest instance; for a patient that of the latest study.
_SOURCE = {
    Level.PATIENT: "(SELECT source FROM study WHERE parent = entity.pk"
    " ORDER BY study_date DESC, study_time DESC, source DESC LIMIT 1)",
    Level.STUDY: "entity.source",
    Level.SERIES: "entity.source",
    Level.INSTANCE: "entity.pk",
}


_KEYS = ", ".join(KEY[level] for level in Level)


def described(db: sqlite3.Connection, level: Level, entity: str, after: str, budget: int) -> list[DescribedInstance]:
    """List headers and edits of the instances below an entity, for `Catalog.described`."""
    found: list[tuple[list[str], bytes]] = []
    size = 0
    key = KEY[Level.INSTANCE]
    rows = db.execute(
        f"SELECT instance.pk, {_KEYS} FROM {TABLES[level]} WHERE {level}.pk = ? AND {key} > ? ORDER BY {key}",
        (row_of(db, level, entity), after),
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
    """Look up an instance of each entity, for `Catalog.samples`."""
    named = {entity: row for entity in entities if (row := row_of(db, level, entity)) is not None}
    rows = db.execute(
        f"SELECT page.key, header.data, {_KEYS} FROM json_each(?) AS page"
        f" CROSS JOIN {level} AS entity ON entity.pk = page.value CROSS JOIN header ON header.pk = {_SOURCE[level]}"
        f" CROSS JOIN instance ON instance.pk = header.pk{JOINS[Level.INSTANCE]}",
        (orjson.dumps(list(named.values())).decode(),),
    )
    references = list(named)
    chosen = [(references[number], *rest) for number, *rest in rows]
    found = [(entity, chain, zlib.decompress(data)) for entity, data, *chain in chosen]
    edits = _edits(db, [chain for _, chain, _ in found])
    made = described_instances([(chain, header) for _, chain, header in found], edits)
    return dict(zip((entity for entity, *_ in found), made, strict=True))


def located(db: sqlite3.Connection, level: Level, entity: str) -> list[Located]:
    """List the locations and edits of all instances below an entity, for `Catalog.locate_all`."""
    rows = db.execute(
        f"SELECT blob_key, size, sha256, layout, {_KEYS}"
        f" FROM {TABLES[level]} WHERE {level}.pk = ? ORDER BY {KEY[Level.INSTANCE]}",
        (row_of(db, level, entity),),
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
        f"SELECT data FROM {TABLES[level]} CROSS JOIN header ON header.pk = instance.pk"
        f" WHERE {level}.pk = ? ORDER BY {KEY[Level.INSTANCE]}",
        (row_of(db, level, entity),),
    )
    return [zlib.decompress(data) for (data,) in rows]


def _edits(db: sqlite3.Connection, chains: list[list[str]]) -> list[Edit]:
    if db.execute("SELECT 1 FROM edit LIMIT 1").fetchone() is None:  # as in most archives
        return []
    found: list[Edit] = []
    for place, level in enumerate(Level):
        found += effective_edits(db, level, {chain[place] for chain in chains})
    return found
