"""Headers and locations of instances, with the edits that apply to them, from one snapshot."""

import sqlite3
import zlib
from collections.abc import Sequence

import orjson

from neurdicom.catalog.claims import described_instances, transfer_syntax_of
from neurdicom.catalog.records import DescribedInstance, Located, Location
from neurdicom.catalog.sqlite.applying import edits_of_instances
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
    found: list[tuple[list[str], bytes, str]] = []
    size = 0
    key = KEY[Level.INSTANCE]
    rows = db.execute(
        f"SELECT instance.pk, origin, layout, {_KEYS} FROM {TABLES[level]}"
        f" WHERE {level}.pk = ? AND {key} > ? ORDER BY {key}",
        (row_of(db, level, entity), after),
    ).fetchall()
    origins = []
    for pk, origin, layout, *chain in rows:
        (data,) = db.execute("SELECT data FROM header WHERE pk = ?", (pk,)).fetchone()
        header = zlib.decompress(data)
        found.append((chain, header, transfer_syntax_of(layout)))
        origins.append(origin)
        size += len(header)
        if size >= budget:
            break
    applying = edits_of_instances(db, [chain for chain, *_ in found], origins)
    return described_instances(found, applying)


def samples(db: sqlite3.Connection, level: Level, entities: Sequence[str]) -> dict[str, DescribedInstance]:
    """Look up an instance of each entity, for `Catalog.samples`."""
    named = {entity: row for entity in entities if (row := row_of(db, level, entity)) is not None}
    rows = db.execute(
        f"SELECT page.key, header.data, instance.origin, instance.layout, {_KEYS} FROM json_each(?) AS page"
        f" CROSS JOIN {level} AS entity ON entity.pk = page.value CROSS JOIN header ON header.pk = {_SOURCE[level]}"
        f" CROSS JOIN instance ON instance.pk = header.pk{JOINS[Level.INSTANCE]}",
        (orjson.dumps(list(named.values())).decode(),),
    )
    references = list(named)
    chosen = [(references[number], *rest) for number, *rest in rows]
    found = [(chain, zlib.decompress(data), transfer_syntax_of(layout)) for _, data, _, layout, *chain in chosen]
    applying = edits_of_instances(db, [chain for chain, *_ in found], [origin for _, _, origin, *_ in chosen])
    made = described_instances(found, applying)
    return dict(zip((entity for entity, *_ in chosen), made, strict=True))


def located(db: sqlite3.Connection, level: Level, entity: str) -> list[Located]:
    """List the locations and edits of all instances below an entity, for `Catalog.locate_all`."""
    rows = db.execute(
        f"SELECT blob_key, size, sha256, layout, origin, {_KEYS}"
        f" FROM {TABLES[level]} WHERE {level}.pk = ? ORDER BY {KEY[Level.INSTANCE]}",
        (row_of(db, level, entity),),
    ).fetchall()
    chains = [chain for _, _, _, _, _, *chain in rows]
    applying = edits_of_instances(db, chains, [origin for _, _, _, _, origin, *_ in rows])
    return [
        Located(Location(instance, BlobRef(*blob), orjson.loads(layout), bool(own), study, series), own)
        for (*blob, layout, _, _, study, series, instance), own in zip(rows, applying, strict=True)
    ]


def headers(db: sqlite3.Connection, level: Level, entity: str) -> list[bytes]:
    """List the stored headers of all instances below an entity, for `Catalog.headers`."""
    rows = db.execute(
        f"SELECT data FROM {TABLES[level]} CROSS JOIN header ON header.pk = instance.pk"
        f" WHERE {level}.pk = ? ORDER BY {KEY[Level.INSTANCE]}",
        (row_of(db, level, entity),),
    )
    return [zlib.decompress(data) for (data,) in rows]
