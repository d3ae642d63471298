"""Connections to SQLite in threads of their own, one writer and a few readers: the event loop never waits for them."""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from neurdicom.catalog.sqlite import refresh, schema
from neurdicom.errors import StorageFull, Unavailable

T = TypeVar("T")
Connection = sqlite3.Connection

log = logging.getLogger(__name__)

#: Least number of instances for which SQLite's planner needs statistics.
_ANALYZE_FROM = 1000
_BUSY_SECONDS = 30.0
_CACHE_KIB = {"writer": 32_000, "reader": 8_000}
#: Pages in the WAL at which it is copied into the file; large, so that a page that changes often is copied once.
_CHECKPOINT_PAGES = 8_000


def connect(path: Path, role: str) -> sqlite3.Connection:
    """Open a connection whose transactions the caller begins and ends."""
    db = sqlite3.connect(
        path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute(f"PRAGMA cache_size = -{_CACHE_KIB[role]}")
    if role == "reader":
        db.execute("PRAGMA query_only = ON")
    return db


class Connections:
    """The writer and the readers of one catalog file.

    A verb runs in one transaction: a reader sees one snapshot, a write commits durably or not at all.
    """

    def __init__(self, path: Path, readers: int = 4) -> None:
        self._path = path
        self._readers = readers
        self._writer: sqlite3.Connection | None = None
        self._idle: queue.SimpleQueue[tuple[int, sqlite3.Connection]] = queue.SimpleQueue()
        self._all: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._generation = 0
        self._analyzed = _ANALYZE_FROM
        self._write_thread: ThreadPoolExecutor | None = None
        self._read_threads: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Open the file and bring its schema up to date. Raises `Unavailable`."""
        self._write_thread = ThreadPoolExecutor(1, "catalog-writer")
        self._read_threads = ThreadPoolExecutor(self._readers, "catalog-reader")
        try:
            await asyncio.get_running_loop().run_in_executor(self._write_thread, self._prepare)
        except BaseException:
            await self.close()
            raise

    def _prepare(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = connect(self._path, "writer")
            if schema.prepare(self._writer):
                refresh.add_missing_columns(self._writer)
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(f"the catalog {self._path} can't be opened: {error}") from error

    async def close(self) -> None:
        """Finish running verbs, then close. Idempotent."""
        threads = (self._read_threads, self._write_thread)
        self._read_threads = self._write_thread = None
        for executor in threads:
            if executor is not None:
                await asyncio.to_thread(executor.shutdown)
        await asyncio.to_thread(self._close_all)

    def _close_all(self) -> None:
        readers, self._all, self._idle = self._all, [], queue.SimpleQueue()
        for db in readers:
            db.close()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function in a thread, in one snapshot of the catalog."""
        if self._read_threads is None:
            raise Unavailable("the catalog is not open")
        return await asyncio.get_running_loop().run_in_executor(self._read_threads, self._read, work)

    async def write(self, work: Callable[[sqlite3.Connection], T], finished: Callable[[T], None] = lambda _: None) -> T:
        """Run a function in the writer thread, in one durable transaction.

        `finished` is called in that thread with its result after the commit, even if the caller was cancelled.
        """
        if self._write_thread is None:
            raise Unavailable("the catalog is not open")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._write_thread, self._write, work, finished)

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            generation, db = self._reader()
        except sqlite3.DatabaseError as error:
            raise self._unavailable("read", error) from error
        try:
            db.execute("BEGIN")
            try:
                return _check(work(db))
            finally:
                db.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            if _is_fault_of_ours(error):
                raise
            raise self._unavailable("read", error) from error
        finally:
            self._idle.put((generation, db))

    def _reader(self) -> tuple[int, sqlite3.Connection]:
        """Return an idle reader that has the latest statistics, or a new one."""
        while not self._idle.empty():
            try:
                generation, db = self._idle.get_nowait()
            except queue.Empty:
                break
            if generation == self._generation:
                return generation, db
            with self._lock:
                self._all.remove(db)
            db.close()
        generation, db = self._generation, connect(self._path, "reader")
        with self._lock:
            self._all.append(db)
        return generation, db

    def _write(self, work: Callable[[sqlite3.Connection], T], finished: Callable[[T], None]) -> T:
        db = self._writer
        if db is None:
            raise Unavailable("the catalog is not open")
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                result = _check(work(db))
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        except sqlite3.DatabaseError as error:
            if _is_fault_of_ours(error):
                raise
            raise self._unavailable("written", error) from error
        finished(result)
        self._analyze(db)
        return result

    def _unavailable(self, how: str, error: sqlite3.DatabaseError) -> Unavailable:
        """Log why the file can't be read or written, and make the error, which tells no path.

        SQLite has rolled a transaction back that it reports a full disk for.
        """
        log.error("the catalog %s can't be %s: %s", self._path, how, error)
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return StorageFull(f"the catalog can't be {how}: the disk is full")
        return Unavailable(f"the catalog can't be {how} now; the server's log says why")

    def _analyze(self, db: sqlite3.Connection) -> None:
        """Update the statistics of SQLite's planner each time the number of instances has doubled."""
        count = db.execute("SELECT count FROM total WHERE level = 'instance'").fetchone()[0]
        if count < 2 * self._analyzed:
            return
        self._analyzed = max(count, _ANALYZE_FROM)
        try:
            db.execute("PRAGMA analysis_limit = 400")
            db.execute("ANALYZE")
        except sqlite3.OperationalError as error:  # the write itself is done
            log.warning("the statistics of the catalog %s could not be updated: %s", self._path, error)
        with self._lock:  # readers see it when they connect again
            self._generation += 1


def _is_fault_of_ours(error: sqlite3.DatabaseError) -> bool:
    """Tell whether a statement is wrong, and not the file or its disk."""
    return isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.DataError)


def _check(result: T) -> T:
    """Refuse a cursor as a result: its finalizer would reset the statement while this thread runs it again."""
    if isinstance(result, sqlite3.Cursor):
        raise TypeError("the work of a transaction returned a cursor; fetch its rows")
    return result
