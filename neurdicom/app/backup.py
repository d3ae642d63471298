"""Backup of a data folder while its server runs, the check of backups, and their restoring."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from neurdicom.app.backends import make_catalog
from neurdicom.archive.backup.check import CheckOfBackups, check_backups, delete_old_backups
from neurdicom.archive.backup.folder import BackupFolder
from neurdicom.archive.backup.restore import Restore, RestoreReport, require_empty
from neurdicom.archive.backup.run import BackupReport, BackupRun, BackupSource
from neurdicom.archive.hold import KIND, DeletionHold
from neurdicom.catalog.sqlite.copy import copy_catalog, open_copy, require_catalog
from neurdicom.config import Settings
from neurdicom.data_folder import FolderLock, server_name
from neurdicom.errors import NeurdicomError, Unavailable

ResultT = TypeVar("ResultT")
Progress = Callable[[int, int | None], None]


async def back_up(
    settings: Settings, config: Path | None, target: Path, *, keep: int | None, progress: Progress
) -> BackupReport:
    """Back up the data folder of a server, which may run.

    Parameters
    ----------
    settings : Settings
        `data` is the folder; with `mongodb_uri`, the catalog is no part of the backup.
    config : Path or None
        Settings file, which becomes a part of the backup.
    target : Path
        Folder of the backups; made if it does not exist.
    keep : int or None
        Number of backups that stay; None for all.
    progress : callable
        Called with the number of files so far, and of all, None where that is not known.

    Returns
    -------
    BackupReport
        Also where files were missing or damaged.

    Raises
    ------
    Invalid
        The target is another server's, has other things, or lies in the data folder.
    Conflict
        Another command uses the backups.
    Unavailable
        The catalog can't be copied, or the target can't be written.
    """
    catalog_file = settings.data / "catalog.sqlite"
    if not settings.mongodb_uri:
        require_catalog(catalog_file)  # opening it would make an empty one
    copy = None if settings.mongodb_uri else partial(_copy, catalog_file)
    source = BackupSource(settings.data, config, copy, open_copy)
    folder = BackupFolder(target)
    with _errors_of(target, "written"):
        folder.prepare(settings.data, server_name(settings.data))
        with folder.locked(exclusive=True):
            report = await _run_held(settings, partial(BackupRun, source, folder, progress))
            if keep is not None and not report.damaged:  # an older backup may have what this one lacks
                await asyncio.to_thread(delete_old_backups, folder, keep)
    return report


def _copy(source: Path, target: Path, check: Callable[[], None]) -> None:
    copy_catalog(source, target, left_out=KIND, check=check)


async def _run_held(settings: Settings, make: Callable[[Callable[[], None]], BackupRun]) -> BackupReport:
    """Run a backup in a thread, and hold deletions meanwhile."""
    catalog = make_catalog(settings)
    try:
        await catalog.open()
        async with DeletionHold(catalog.documents) as hold:
            report = await _in_thread(lambda check: make(check).run())
        if hold.was_lost and report.damaged:
            report.damaged.append(
                "the hold on deletions was lost, since the command was paused or the catalog did not respond: missing "
                "files may have been deleted since; run the backup again"
            )
        return report
    finally:
        await catalog.close()


async def _in_thread(work: Callable[[Callable[[], None]], ResultT]) -> ResultT:
    """Run work in a thread; when this is cancelled, the function that the work calls now and then raises."""
    stopped = threading.Event()

    def check() -> None:
        if stopped.is_set():
            raise CancelledError

    running = asyncio.ensure_future(asyncio.to_thread(work, check))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stopped.set()
        await asyncio.wait([running])
        raise


def _checked(progress: Progress, check: Callable[[], None]) -> Progress:
    def report(done: int, total: int | None) -> None:
        check()
        progress(done, total)

    return report


async def verify(target: Path, progress: Progress) -> CheckOfBackups:
    """Compare all files of all backups in a folder with their SHA-256. Raises `Invalid`, `Conflict`."""
    folder = BackupFolder(target)
    with _errors_of(target, "read"):
        folder.require()
        with folder.locked(exclusive=False):
            return await _in_thread(lambda check: check_backups(folder, _checked(progress, check)))


async def restore(target: Path, data: Path, *, at: datetime | None, progress: Progress) -> RestoreReport:
    """Restore a backup into a new data folder.

    Parameters
    ----------
    target : Path
        Folder of the backups.
    data : Path
        The new data folder; made if it does not exist.
    at : datetime or None
        The latest backup that is not later than this; None for the latest.
    progress : callable
        Called with the number of files so far, and of all.

    Returns
    -------
    RestoreReport
        Also where files were missing or damaged in the backup.

    Raises
    ------
    Invalid
        The data folder is not empty or lies in the folder of backups, or there is no folder of backups.
    NotFound
        There is no backup of that time.
    Gone
        The catalog, the manifest or the list of files of the backup is damaged.
    Conflict
        Another command uses the backups or the data folder.
    Unavailable
        One of the two folders can't be read or written.
    """
    folder = BackupFolder(target)
    with _errors_of(target, "read"):
        folder.require()
        folder.require_apart(data)
        with folder.locked(exclusive=False):
            backup = folder.latest(at)
            with _errors_of(data, "written"):
                require_empty(data)
                lock = FolderLock(data)
                try:
                    return await _in_thread(
                        lambda check: Restore(folder, backup, data, _checked(progress, check)).run()
                    )
                finally:
                    lock.release()


@contextmanager
def _errors_of(path: Path, verb: str) -> Iterator[None]:
    """Make errors of the disk into ours; `verb` says what can't be done with the path."""
    try:
        yield
    except NeurdicomError:  # some are errors of the system, too
        raise
    except OSError as error:
        raise Unavailable(f"{path} can't be {verb}: {error.strerror or error}") from error
