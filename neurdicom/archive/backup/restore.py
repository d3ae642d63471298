"""Restoring a backup into an empty data folder."""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from neurdicom.archive.backup.copying import DamagedFile, copy_file
from neurdicom.archive.backup.folder import BackupFolder
from neurdicom.archive.backup.manifest import (
    CATALOG,
    PACKAGES,
    SERVER_NAME,
    SETTINGS,
    BackedUpFile,
    read_manifest,
    read_sums,
)
from neurdicom.blobs.base import STORED_MODE, flush_folder
from neurdicom.data_folder import begin_restore, end_restore
from neurdicom.errors import Invalid

_THREADS = 4
_BATCH = 1024

#: Entries that an empty data folder may have: the root of a file system has the second.
_IGNORED = {"lock", "lost+found"}


@dataclass(slots=True)
class RestoreReport:
    """Result of a restore: its backup, numbers of files in use and set aside, and what is missing or damaged."""

    name: str
    has_catalog: bool
    files: int = 0
    set_aside: int = 0
    damaged: list[str] = field(default_factory=list)


def require_empty(data: Path) -> None:
    """Refuse a data folder that has anything. Raises `Invalid`."""
    if data.exists() and not data.is_dir():
        raise Invalid(f"{data} is a file; a new or an empty folder is expected")
    if data.is_dir() and (found := sorted({entry.name for entry in data.iterdir()} - _IGNORED)):
        raise Invalid(f"{data} is not empty, it has {found[0]!r}; move it aside, or give a new folder with --data")


class Restore:
    """Restore of one backup.

    Parameters
    ----------
    folder : BackupFolder
        Locked.
    backup : Path
        The backup's folder in it.
    data : Path
        The data folder: empty but for its lock, which the caller holds.
    progress : callable
        Called with the number of files so far, and of all.
    """

    def __init__(
        self, folder: BackupFolder, backup: Path, data: Path, progress: Callable[[int, int | None], None]
    ) -> None:
        self._blobs = folder.blobs
        self._backup = backup
        self._data = data
        self._progress = progress
        self._scratch = data / ".restore"
        self._damaged: list[str] = []

    def run(self) -> RestoreReport:
        """Copy the backup, comparing every file with its SHA-256.

        Until all is there, the folder is marked, and no server starts in it. Files that are missing or damaged in the
        backup are left out; the catalog has to be whole.

        Returns
        -------
        RestoreReport
            Names what was left out, and what had not been backed up.

        Raises
        ------
        DamagedFile
            The manifest, the list of files or the catalog is damaged. After any exception the data folder is empty.
        OSError
            The data folder can't be written.
        """
        manifest = read_manifest(self._backup)
        own = {file.path: file for file in read_sums(self._backup) if file.key is None}  # reads, and checks, all lines
        if manifest.has_catalog != (CATALOG in own):
            raise DamagedFile(f"{self._backup}: of manifest and list of files only one has a catalog")
        begin_restore(self._data)
        try:
            self._scratch.mkdir(mode=0o700)
            self._copy_own(own)
            report = RestoreReport(manifest.time, manifest.has_catalog)
            self._copy_blobs(manifest.files + manifest.set_aside, report)
            self._scratch.rmdir()
            for parent, _, _ in os.walk(self._data):
                flush_folder(Path(parent))
        except BaseException:
            self._empty()
            raise
        end_restore(self._data)
        report.damaged += [*manifest.damaged, *self._damaged]
        return report

    def _copy_own(self, own: dict[str, BackedUpFile]) -> None:
        catalog = own.pop(CATALOG, None)
        if catalog is not None:  # before all others, since without it there is nothing to restore
            copy_file(self._backup / CATALOG, self._data / CATALOG, self._scratch, sha256=catalog.sha256)
        for file in own.values():
            self._copy(self._backup / file.path, self._data / file.path, file)

    def _copy_blobs(self, total: int, report: RestoreReport) -> None:
        """Copy the files of instances, and count those that were whole."""
        files = (file for file in read_sums(self._backup) if file.key is not None)
        done = 0

        def copy(file: BackedUpFile) -> bool:
            key, folder = str(file.key), self._data / "blobs" / (file.place or "objects")
            return self._copy(self._blobs / key, folder / key, file)

        with ThreadPoolExecutor(_THREADS, "restore") as threads:
            while batch := list(islice(files, _BATCH)):
                for file, is_whole in zip(batch, threads.map(copy, batch), strict=True):
                    report.set_aside += is_whole and bool(file.place)
                    report.files += is_whole and not file.place
                    done += 1
                    self._progress(done, total)

    def _copy(self, source: Path, target: Path, file: BackedUpFile) -> bool:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            mode = STORED_MODE if file.key is not None else 0o600
            copy_file(source, target, self._scratch, sha256=file.sha256, mode=mode)
        except DamagedFile as error:
            self._damaged.append(str(error))
            return False
        return True

    def _empty(self) -> None:
        """Delete what was written, the mark last."""
        for name in (self._scratch.name, "blobs", *PACKAGES):
            shutil.rmtree(self._data / name, ignore_errors=True)
        for name in (CATALOG, SETTINGS, SERVER_NAME):
            (self._data / name).unlink(missing_ok=True)
        end_restore(self._data)
