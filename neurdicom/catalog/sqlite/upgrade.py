"""Quick upgrades of the schema, which change documents and edits alone; `migration` brings instances along.

Each is run in the transaction that also writes the schema's number.
"""

import sqlite3

from neurdicom.catalog.records import earlier_edit_id
from neurdicom.dicom.query.attributes import Level

#: The edits of an entity: `position` is their order, and those with `replaced` lie below others of their field.
_EDITS = """
CREATE TABLE edit (level TEXT, entity TEXT, replaced INTEGER, field TEXT, position INTEGER, id TEXT NOT NULL,
                   value TEXT NOT NULL, before TEXT NOT NULL, user TEXT NOT NULL, time TEXT NOT NULL,
                   PRIMARY KEY (level, entity, replaced, field, position)) WITHOUT ROWID
"""


def create_edits(db: sqlite3.Connection) -> None:
    """Create the table of edits, and bring those of a version before 5 along, which kept the last of each field."""
    columns = {row[1] for row in db.execute("PRAGMA table_info(edit)")}
    if "position" in columns:
        return
    if columns:
        db.execute("ALTER TABLE edit RENAME TO earlier_edit")
    db.execute(_EDITS)
    if not columns:
        return
    found = db.execute(
        "SELECT level, entity, field, value, user, time,"
        " row_number() OVER (PARTITION BY level, entity ORDER BY time, field) FROM earlier_edit"
    ).fetchall()
    db.executemany(
        "INSERT INTO edit VALUES (?, ?, 0, ?, ?, ?, ?, 'null', ?, ?)",
        [
            (level, entity, field, position, earlier_edit_id(Level(level), entity, field, time), value, user, time)
            for level, entity, field, value, user, time, position in found
        ],
    )
    db.execute("DROP TABLE earlier_edit")


def upgrade_from_4(db: sqlite3.Connection) -> None:
    """Bring a file of version 4 to version 5: edits have a history."""
    create_edits(db)
