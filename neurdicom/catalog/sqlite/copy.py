"""A copy of the catalog, made while a server writes to it, and what the copy says of files."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from neurdicom.catalog.sqlite.schema import are_instances_waiting
from neurdicom.dicom.header import BlobRef
from neurdicom.errors import Unavailable

#: Pages that are copied between two looks at whether to go on.
_PAGES = 4096


def require_catalog(path: Path) -> None:
    """Refuse a path without a catalog, or with an empty file. Raises `Unavailable`."""
    if not path.is_file() or not path.stat().st_size:
        found = f"the catalog {path} is an empty file" if path.is_file() else f"there is no catalog {path}"
        raise Unavailable(f"{found}; restore a backup, or make its DICOM part from the files with `neurdicom reindex`")


def copy_catalog(source: Path, target: Path, *, left_out: str, check: Callable[[], None] = lambda: None) -> None:
    """Copy the catalog in one snapshot, into one file without a WAL; the server goes on writing.

    Parameters
    ----------
    source : Path
        The catalog's file.
    target : Path
        The copy, a file that does not exist.
    left_out : str
        Kind of documents that are deleted from the copy.
    check : callable
        Called now and then; an exception of it ends the copying.

    Raises
    ------
    Unavailable
        There is no catalog, or it can't be read or is damaged.
    OSError
        The copy can't be written.
    """
    require_catalog(source)
    target.touch(mode=0o600, exist_ok=False)
    try:
        with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)) as db:
            db.execute("PRAGMA query_only = ON")
            db.execute("BEGIN")  # one snapshot: a backup would begin anew after each write of another process
            db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            with closing(sqlite3.connect(target, isolation_level=None)) as copy:
                db.backup(copy, pages=_PAGES, progress=lambda *_: check())
                _finish(copy, source, left_out)
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY):
            raise OSError(f"the copy of the catalog can't be written: {error}") from error
        raise Unavailable(f"the catalog {source} can't be copied: {error}") from error


def _finish(copy: sqlite3.Connection, source: Path, left_out: str) -> None:
    """Make a copy one file, take documents out of it, and check it."""
    copy.execute("PRAGMA journal_mode = DELETE")
    copy.execute("DELETE FROM document WHERE kind = ?", (left_out,))
    (verdict,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise Unavailable(f"the catalog {source} is damaged ({verdict}); restore an earlier backup")


class CatalogCopy:
    """A copy of the catalog, read for the files that it names."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        # Those that a migration has yet to move are files of the archive as well.
        self._tables = ["instance", *(["old_instance"] if are_instances_waiting(db) else [])]
        # Displaced files are shown again when a move is undone.
        if db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'displaced'").fetchone():
            self._tables.append("displaced")

    def count(self) -> int:
        """Count the files that the copy names."""
        (count,) = self._db.execute("SELECT count FROM total WHERE level = 'instance'").fetchone()
        waiting = [self._db.execute(f"SELECT count(*) FROM {table}").fetchone() for table in self._tables[1:]]
        return int(count) + sum(int(more) for (more,) in waiting)

    def shards(self) -> set[str]:
        """List the first parts of the files' keys."""
        found = [self._db.execute(f"SELECT DISTINCT substr(blob_key, 1, 8) FROM {table}") for table in self._tables]
        return {shard for rows in found for (shard,) in rows}

    def blobs(self, shard: str) -> Iterator[BlobRef]:
        """Yield the files of a shard that the copy names, in the order of their keys."""
        select = "SELECT blob_key, size, sha256 FROM"
        within = "WHERE blob_key >= ?1 AND blob_key < ?2"
        statement = " UNION ALL ".join(f"{select} {table} {within}" for table in self._tables)
        for row in self._db.execute(f"{statement} ORDER BY blob_key", (f"{shard}/", f"{shard}0")):
            yield BlobRef(*row)

    def garbage(self, shard: str) -> dict[str, str]:
        """Map the keys of a shard that no instance has to the places where they are set aside, or to an empty text."""
        statement = "SELECT key, place FROM garbage WHERE key >= ? AND key < ?"
        return dict(self._db.execute(statement, (f"{shard}/", f"{shard}0")).fetchall())

    def members(self, kind: str, name: str) -> set[str]:
        """Collect the values that a top-level member has in the documents of a kind."""
        statement = "SELECT DISTINCT value ->> ? FROM document WHERE kind = ?"
        return {str(value) for (value,) in self._db.execute(statement, (f"$.{name}", kind)) if value is not None}


@contextmanager
def open_copy(path: Path) -> Iterator[CatalogCopy]:
    """Open a copy that nothing writes any more, for reading in any thread."""
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)) as db:
        yield CatalogCopy(db)
