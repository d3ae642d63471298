"""One backup of a data folder: the packages, the catalog's copy, then the files that the copy names."""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from neurdicom import __version__
from neurdicom.archive.backup import manifest
from neurdicom.archive.backup.copying import DamagedFile, FileCopy, copy_file, new_file, read_file, write_text
from neurdicom.archive.backup.folder import BackupFolder, name_of
from neurdicom.archive.backup.manifest import BackedUpFile, BackupManifest
from neurdicom.archive.backup.set_aside import SetAsideListing
from neurdicom.archive.backup.stored import FileToBackUp, files_to_back_up
from neurdicom.blobs.base import STORED_MODE, flush_folder
from neurdicom.dicom.header import BlobRef
from neurdicom.errors import Conflict

#: Files that are copied at a time, since each waits for its flush.
_THREADS = 4

_ARCHIVE = re.compile(r"([0-9a-f]{64})\.zip")
_SHARD = re.compile(r"[0-9]{8}")


class NamedFiles(Protocol):
    """Reader of a copied catalog: the files and packages that its documents name."""

    def count(self) -> int:
        """Count the files that the copy names."""

    def shards(self) -> set[str]:
        """List the first parts of the files' keys."""

    def blobs(self, shard: str) -> Iterator[BlobRef]:
        """Yield the files of a shard that the copy names, in the order of their keys."""

    def garbage(self, shard: str) -> dict[str, str]:
        """Map the keys of a shard that no instance has to the places where they are set aside, or to an empty text."""

    def members(self, kind: str, name: str) -> set[str]:
        """Collect the values that a top-level member has in the documents of a kind."""


@dataclass(frozen=True, slots=True)
class BackupSource:
    """Data folder and settings file to back up, and the functions that copy and read its catalog.

    Attributes
    ----------
    data : Path
        The data folder.
    config : Path or None
        The settings file.
    copy_catalog : callable or None
        Copies the catalog to a path; its second argument is called meanwhile, to end it by an exception. None where
        the catalog is not in the data folder.
    open_copy : callable
        Opens such a copy.
    """

    data: Path
    config: Path | None
    copy_catalog: Callable[[Path, Callable[[], None]], None] | None
    open_copy: Callable[[Path], AbstractContextManager[NamedFiles]]


@dataclass(slots=True)
class BackupReport:
    """Counts of a backup: its files of instances, those that were copied, and what is missing or damaged.

    Attributes
    ----------
    files, bytes : int
        Number and bytes of the files in use.
    set_aside, set_aside_bytes : int
        Number and bytes of those in the trash and of earlier versions.
    new_files, new_bytes : int
        Number and bytes of those that were copied.
    damaged : list of str
        What is missing or damaged in the data folder.
    lacking : list of str
        The part of it that the backup does not have from an earlier one.
    """

    name: str
    files: int = 0
    bytes: int = 0
    set_aside: int = 0
    set_aside_bytes: int = 0
    new_files: int = 0
    new_bytes: int = 0
    damaged: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)

    def add_damage(self, text: str, *, is_kept: bool = False) -> None:
        """Name what is missing or damaged; `is_kept` where the backup has it from an earlier one."""
        self.damaged.append(f"{text}; the backup has it from an earlier one" if is_kept else text)
        if not is_kept:
            self.lacking.append(text)


class BackupRun:
    """A backup under way; its folder is locked, and deletions are held.

    Parameters
    ----------
    source : BackupSource
        The data folder and its catalog.
    folder : BackupFolder
        Gets the backup.
    progress : callable
        Called with the number of files so far, and of all, None where that is not known.
    check : callable
        Called now and then; an exception of it ends the backup.
    """

    def __init__(
        self,
        source: BackupSource,
        folder: BackupFolder,
        progress: Callable[[int, int | None], None],
        check: Callable[[], None],
    ) -> None:
        self._source = source
        self._folder = folder
        self._progress = progress
        self._check = check
        self._stored = source.data / "blobs"
        self._objects = self._stored / "objects"
        self._report = BackupReport(name_of(datetime.now(UTC)))
        self._target = folder.path / self._report.name
        self._own: dict[str, BackedUpFile] = {}  # files in the backup's own folder, by path

    def run(self) -> BackupReport:
        """Make the backup.

        Returns
        -------
        BackupReport
            Also where files were missing or damaged; the others are backed up.

        Raises
        ------
        Unavailable
            The catalog can't be copied.
        Conflict
            There is a backup that is later than now.
        OSError
            The backup can't be written. Like after any exception, its folder is gone; files of instances that were
            copied stay for the next one.
        """
        self._folder.delete_leftovers()
        if (names := self._folder.names()) and names[-1] >= self._report.name:
            raise Conflict(
                f"{self._folder.path} has a backup of {names[-1]}, which is later than now ({self._report.name}); set "
                "the clock right, or move that backup aside"
            )
        self._target.mkdir(mode=0o700)
        try:
            self._copy_packages()
            latest = self._latest_key() if self._source.copy_catalog else None
            opened = self._copy_catalog()
            self._copy_packages()  # those that were installed before the catalog was copied
            self._copy_settings()
            with opened as copy:
                if copy is not None:
                    self._name_missing_packages(copy)
                self._write(self._blobs(copy, latest))
        except BaseException:
            shutil.rmtree(self._target, ignore_errors=True)
            raise
        return self._report

    # -- the backup's own files ------------------------------------------------------------------------------

    def _copy_catalog(self) -> AbstractContextManager[NamedFiles | None]:
        if self._source.copy_catalog is None:
            return nullcontext()
        path = self._target / manifest.CATALOG
        self._source.copy_catalog(path, self._check)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        self._add(manifest.CATALOG, read_file(path))
        return self._source.open_copy(path)

    def _copy_packages(self) -> None:
        """Copy the archives of plugins and models that are not in the backup yet."""
        for kind in manifest.PACKAGES:
            folder = self._source.data / kind
            if not folder.is_dir():
                continue
            (self._target / kind).mkdir(mode=0o700, exist_ok=True)
            for name in sorted(os.listdir(folder)):  # noqa: PTH208 - names are all that is needed
                path = f"{kind}/{name}"
                if (archive := _ARCHIVE.fullmatch(name)) and path not in self._own:
                    self._check()
                    self._copy_own(folder / name, path, archive[1])

    def _name_missing_packages(self, copy: NamedFiles) -> None:
        for folder, kind in manifest.PACKAGES.items():
            for digest in sorted(copy.members(kind, "digest")):
                source = self._source.data / folder / f"{digest}.zip"
                if f"{folder}/{source.name}" not in self._own and not source.exists():
                    self._report.add_damage(f"{source}, the archive of a {kind}, is missing")

    def _copy_settings(self) -> None:
        self._copy_own(self._source.data / manifest.SERVER_NAME, manifest.SERVER_NAME)
        if self._source.config is not None:
            path = self._source.config.resolve()  # often a symbolic link, which no copy follows
            self._copy_own(path, manifest.SETTINGS)

    def _copy_own(self, source: Path, path: str, sha256: str | None = None) -> None:
        try:
            self._add(path, copy_file(source, self._target / path, self._folder.scratch, sha256=sha256))
        except DamagedFile as error:
            if source.exists() and str(error) not in self._report.damaged:  # else removed meanwhile, or found before
                self._report.add_damage(str(error))

    def _add(self, path: str, copied: FileCopy) -> None:
        self._own[path] = BackedUpFile(path, copied.sha256, None)

    # -- files of instances ----------------------------------------------------------------------------------

    def _latest_key(self) -> str:
        """Find the latest file; what arrives from now on is left to the next backup, unless the copy names it."""
        for shard in reversed(self._shards()):
            if keys := self._listed(shard):
                return max(keys)
        return ""

    def _shards(self) -> list[str]:
        if not self._objects.is_dir():
            return []
        return sorted(entry.name for entry in os.scandir(self._objects) if _SHARD.fullmatch(entry.name))

    def _listed(self, shard: str) -> dict[str, int]:
        """List the files of a shard with their sizes."""
        folder = self._objects / shard
        if not folder.is_dir():
            return {}
        found = {}
        for entry in os.scandir(folder):
            if manifest.KEY.fullmatch(key := f"{shard}/{entry.name}"):
                with suppress(FileNotFoundError):  # deleted since: garbage, or a discarded arrival
                    found[key] = entry.stat(follow_symlinks=False).st_size
        return found

    def _blobs(self, copy: NamedFiles | None, latest: str | None) -> Iterator[BackedUpFile]:
        """Copy the files that are not there yet; yield all that there are, by key and place.

        Parameters
        ----------
        copy : NamedFiles or None
            Without one, all files are copied.
        latest : str or None
            The last key of the files that are copied though the catalog does not name them.
        """
        aside = SetAsideListing(self._stored, self._folder.scratch)  # after the catalog, which tells what moves since
        total, done = (copy.count() + aside.count if copy else None), 0
        with ThreadPoolExecutor(_THREADS, "backup") as threads:
            for shard in sorted({*self._shards(), *(copy.shards() if copy else ()), *aside.shards}):
                named = {ref.key: ref for ref in copy.blobs(shard)} if copy else None
                garbage, listed = copy.garbage(shard) if copy else {}, self._listed(shard)
                away = aside.take(shard)
                self._add_moved(away, garbage, listed)
                files = list(files_to_back_up(named, garbage, listed, away, latest))
                self._make_shard(shard)
                for file, outcome in zip(files, threads.map(self._copy_blob, files), strict=True):
                    yield from self._counted(file, outcome)
                    done += 1
                    self._progress(done, total)
                flush_folder(self._folder.blobs / shard)

    def _add_moved(
        self, away: dict[str, dict[str, int]], garbage: Mapping[str, str], listed: Mapping[str, int]
    ) -> None:
        """Add files that were moved into the trash after that was listed, and before those in use were."""
        for key, place in garbage.items():
            if place and key not in listed and key not in away:
                with suppress(FileNotFoundError):
                    away[key] = {place: (self._stored / place / key).lstat().st_size}

    def _counted(self, file: FileToBackUp, outcome: bool | str) -> Iterator[BackedUpFile]:
        """Count a file, and yield its entries; `outcome` tells whether it was copied, or what is wrong with it."""
        report, ref = self._report, file.ref
        is_there = self._is_there(ref)
        if isinstance(outcome, str):
            if file.is_named or self._find(file) is not None:  # else it was deleted from the trash meanwhile
                report.add_damage(outcome, is_kept=is_there)
        elif outcome:
            report.new_files += 1
            report.new_bytes += ref.size
        for place in file.places if is_there else ():
            if place:
                report.set_aside += 1
                report.set_aside_bytes += ref.size
            else:
                report.files += 1
                report.bytes += ref.size
            yield BackedUpFile.of_blob(ref.key, ref.sha256, place)

    def _make_shard(self, shard: str) -> None:
        folder = self._folder.blobs / shard
        if not folder.is_dir():
            folder.mkdir(mode=0o700)
            flush_folder(self._folder.blobs)

    def _copy_blob(self, file: FileToBackUp) -> bool | str:
        """Copy a file unless the backups have it; return whether it was copied, or what is wrong with it."""
        self._check()
        ref, source = file.ref, self._find(file)
        if source is None:
            return f"{self._objects / ref.key} is missing"
        if (size := source.lstat().st_size) != ref.size:
            return f"{source} is damaged: it has {size} bytes, {ref.size} are expected"
        if self._is_there(ref):
            return False
        try:
            target = self._folder.blobs / ref.key
            copy_file(source, target, self._folder.scratch, sha256=ref.sha256, mode=STORED_MODE)
        except DamagedFile as error:
            return str(error)
        return True

    def _find(self, file: FileToBackUp) -> Path | None:
        """Find where a file lies now; it may be moved into the trash just now."""
        folders = [self._stored / (place or "objects") for place in file.found]
        return next((folder / file.ref.key for folder in folders if (folder / file.ref.key).exists()), None)

    def _is_there(self, ref: BlobRef) -> bool:
        path = self._folder.blobs / ref.key
        try:
            return path.lstat().st_size == ref.size and path.is_file() and not path.is_symlink()
        except FileNotFoundError:
            return False

    # -- the end ---------------------------------------------------------------------------------------------

    def _write(self, blobs: Iterable[BackedUpFile]) -> None:
        """Write the list of files, then the manifest."""
        digest = hashlib.sha256()
        own = [self._own[path] for path in sorted(self._own)]
        sums = self._target / manifest.SUMS
        with new_file(sums) as out:
            for files in (own, blobs):
                for file in files:
                    line = str(file).encode("ascii")
                    out.write(line)
                    digest.update(line)
            out.flush()
            os.fsync(out.fileno())
        for kind in manifest.PACKAGES:
            if (self._target / kind).is_dir():
                flush_folder(self._target / kind)
        flush_folder(self._target)
        flush_folder(self._folder.path)
        report = self._report
        document = BackupManifest(
            format=manifest.FORMAT,
            time=report.name,
            version=__version__,
            has_catalog=manifest.CATALOG in self._own,
            files=report.files,
            bytes=report.bytes,
            set_aside=report.set_aside,
            sums=digest.hexdigest(),
            damaged=report.lacking,
        ).to_document()
        write_text(self._target / manifest.MANIFEST, document, self._folder.scratch)
        flush_folder(self._target)
