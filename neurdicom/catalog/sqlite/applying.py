"""The edits that apply to instances: those by which moves place them, then all others, the patient's first."""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from neurdicom.catalog.claims import applying_edits
from neurdicom.catalog.records import Edit
from neurdicom.catalog.sqlite.edits import effective_edits
from neurdicom.catalog.sqlite.lookup import any_moved, keys_of, row_of
from neurdicom.catalog.sqlite.parts import displaced_keys
from neurdicom.catalog.sqlite.rows import CHOSEN, json_of
from neurdicom.catalog.sqlite.stored_moves import OriginMove
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level


def edits_of_instances(
    db: sqlite3.Connection, chains: Sequence[Sequence[str]], origins: Sequence[int]
) -> list[tuple[Edit, ...]]:
    """List the edits that apply to each of several instances; the last of a field counts.

    Parameters
    ----------
    db : sqlite3.Connection
        A connection.
    chains : sequence of sequence of str
        For each instance the keys of all four levels, the patient's first.
    origins : sequence of int
        For each instance its origin.
    """
    is_moved = any_moved(db)
    own = applying_edits(chains, _edits(db, chains, is_moved=is_moved))
    if not is_moved:
        return own
    placed = {
        pk: OriginMove.from_blob(blob).edits
        for pk, blob in db.execute(
            f"SELECT pk, moved FROM origin WHERE pk {CHOSEN} AND moved IS NOT NULL", json_of(list(set(origins)))
        )
    }
    return [(*placed.get(origin, ()), *edits) for origin, edits in zip(origins, own, strict=True)]


def _edits(db: sqlite3.Connection, chains: Sequence[Sequence[str]], *, is_moved: bool) -> list[Edit]:
    """List the effective edits of all entities of chains; of a field the last one counts."""
    if db.execute("SELECT 1 FROM edit LIMIT 1").fetchone() is None:  # as in most archives
        return []
    found: list[Edit] = []
    for place, level in enumerate(Level):
        names = {chain[place]: chain[place] for chain in chains}
        if is_moved and level in (Level.STUDY, Level.SERIES):
            names |= {alias: key for key in list(names) for alias in _aliases(db, level, key)}
        elif is_moved and level is Level.INSTANCE:
            names |= _displaced(db, chains)
        of_level = [replace(edit, entity=names[edit.entity]) for edit in effective_edits(db, level, names)]
        found += sorted(of_level, key=lambda edit: edit.time) if is_moved else of_level
    return found


def _aliases(db: sqlite3.Connection, level: Level, key: str) -> tuple[str, ...]:
    row = row_of(db, level, key)
    return () if row is None else keys_of(db, level, row)


def _displaced(db: sqlite3.Connection, chains: Sequence[Sequence[str]]) -> dict[str, str]:
    """Map the keys of displaced files to those of the instances that are shown in their place."""
    rows = {series: row_of(db, Level.SERIES, series) for series in {chain[2] for chain in chains}}
    keys = displaced_keys(db, [row for row in rows.values() if row is not None])
    found: dict[str, str] = {}
    for _, _, series, instance in chains if keys else ():
        row = rows[series]
        if row is not None:
            found |= dict.fromkeys(keys.get((row, uid_of(instance)), ()), instance)
    return found
