"""Keys of series and studies that moves have made of several: each has the canonical one of its parts."""

import sqlite3
from collections.abc import Sequence

from neurdicom.catalog.sqlite.parts import OriginPart, keys_by, parts_below
from neurdicom.catalog.sqlite.rows import CHOSEN, json_of
from neurdicom.dicom.identity import SEPARATOR
from neurdicom.dicom.query.attributes import Level


def settle_study_key(db: sqlite3.Connection, pk: int) -> None:
    """Recompute the digest of a study's key from its parts."""
    parts = parts_below(db, Level.STUDY, pk)
    if parts:
        db.execute("UPDATE study SET digest = ? WHERE pk = ?", (_digest(keys_by(Level.STUDY, parts)[0]), pk))


def settle_series_key(db: sqlite3.Connection, pk: int) -> None:
    """Recompute the digests of the keys of a series and of its instances from its parts."""
    parts = parts_below(db, Level.SERIES, pk)
    if not parts:
        return
    key = keys_by(Level.SERIES, parts)[0]
    below = next(part.natural.below for part in parts if part.natural.key == key)
    db.execute("UPDATE series SET digest = ?, below = ? WHERE pk = ?", (_digest(key), below, pk))
    for natural in dict.fromkeys(part.natural for part in parts):
        own = None if natural.below == below else natural.below
        db.execute(
            f"UPDATE instance SET digest = ? WHERE parent = ? AND origin {CHOSEN} AND digest IS NOT ?",
            (own, pk, *json_of(_of(parts, natural)), own),
        )


def _of(parts: Sequence[OriginPart], natural: object) -> list[int]:
    return [part.pk for part in parts if part.natural == natural]


def _digest(key: str) -> str:
    return key.rpartition(SEPARATOR)[2]
