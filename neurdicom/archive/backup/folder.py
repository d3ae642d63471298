"""The folder of a server's backups: how it is recognized and locked, and which backups are in it.

neurdicom-backups.json   which server's backups these are
lock                     one writer at a time
.partial/                files that are being written
blobs/                   files of instances, shared by all backups, by the key that they have in the data folder
<time>/                  a backup: catalog, archives of plugins and models, settings, list of files, manifest
"""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from neurdicom.archive.backup.copying import write_text
from neurdicom.archive.backup.manifest import MANIFEST
from neurdicom.errors import Conflict, Invalid, NotFound

_MARK = "neurdicom-backups.json"
_LOCK = "lock"
_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z")

#: Entries that a folder may have before it is used: the root of a file system has the second.
_IGNORED = {_LOCK, "lost+found"}


def name_of(time: datetime) -> str:
    """Name the backup of a time."""
    utc = time.astimezone(UTC)
    return f"{utc.year:04}{utc:%m%dT%H%M%S.%f}Z"  # %Y leaves out zeros


class BackupFolder:
    """A folder of backups.

    Parameters
    ----------
    path : Path
        The folder; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.blobs = self.path / "blobs"
        self.scratch = self.path / ".partial"

    def prepare(self, data: Path, server: str) -> None:
        """Make the folder for the backups of a server, or check that it is; only its owner can open it.

        Parameters
        ----------
        data : Path
            Data folder of the server.
        server : str
            Name of the server.

        Raises
        ------
        Invalid
            The folder has other things or another server's backups, or one of the two lies in the other.
        OSError
            It can't be written.
        """
        self.require_apart(data)
        if self.path.exists() and not self.path.is_dir():
            raise Invalid(f"{self.path} is a file; a folder for backups is expected")
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark = self.path / _MARK
        if not mark.exists():
            others = sorted({entry.name for entry in self.path.iterdir()} - _IGNORED - {self.scratch.name})
            if others:
                raise Invalid(f"{self.path} has no backups, but {others[0]!r}; an empty folder is expected")
        self._make_private()
        self.scratch.mkdir(mode=0o700, exist_ok=True)
        if not mark.exists():
            write_text(mark, json.dumps({"format": 1, "server": server}) + "\n", self.scratch)
        if (owner := self._server()) != server:
            raise Invalid(
                f"{self.path} has the backups of another server ({owner}; this one is {server}); give each server a "
                "folder of its own"
            )
        self.blobs.mkdir(mode=0o700, exist_ok=True)

    def _make_private(self) -> None:
        try:
            self.path.chmod(0o700)
        except PermissionError as error:
            raise Invalid(
                f"{self.path} belongs to another user, and its mode can't be set to 0700; give a folder that this user "
                "owns, since a backup has patients' images and credentials"
            ) from error

    def _server(self) -> str:
        path = self.path / _MARK
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))["server"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            reason = f"there is no {path.name}" if not path.exists() else f"{path.name} can't be read ({error})"
            raise Invalid(f"{self.path} is no folder of `neurdicom backup`: {reason}") from error

    def require_apart(self, data: Path) -> None:
        """Refuse a data folder that lies in this folder, or around it. Raises `Invalid`."""
        here, there = self.path.resolve(), data.resolve()
        if here.is_relative_to(there) or there.is_relative_to(here):
            raise Invalid(
                f"the folder of backups {self.path} and the data folder {data} lie in one another; give the backups a "
                "folder of their own, on another disk"
            )

    def require(self) -> None:
        """Refuse a folder without backups. Raises `Invalid`."""
        if not self.path.is_dir():
            raise Invalid(f"{self.path} is no folder; the folder of `neurdicom backup` is expected")
        self._server()

    @contextmanager
    def locked(self, *, exclusive: bool) -> Iterator[None]:
        """Keep other writers out, and readers too if exclusive. Raises `Conflict`."""
        path = self.path / _LOCK
        try:
            descriptor = os.open(path, (os.O_RDWR | os.O_CREAT if exclusive else os.O_RDONLY) | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # a copy of a folder, or one that can't be written: nobody else writes it
            yield
            return
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise Conflict(f"another command uses the backups in {self.path}; try again when it has ended") from None
        try:
            yield
        finally:
            os.close(descriptor)

    def names(self) -> list[str]:
        """List the complete backups, the oldest first."""
        return sorted(name for name in self._folders() if (self.path / name / MANIFEST).exists())

    def latest(self, at: datetime | None = None) -> Path:
        """Find the latest backup, or the latest that is not later than a time. Raises `NotFound`."""
        names = self.names()
        if not names:
            raise NotFound(f"there is no complete backup in {self.path}")
        limit = name_of(at) if at is not None else names[-1]
        for name in reversed(names):
            if name <= limit:
                return self.path / name
        raise NotFound(
            f"there is no backup of {limit} or earlier in {self.path}; those that there are: {', '.join(names)}"
        )

    def delete_leftovers(self) -> None:
        """Delete what a killed backup left; call it with the exclusive lock."""
        shutil.rmtree(self.scratch)
        self.scratch.mkdir(mode=0o700)
        for name in self._folders():
            if not (self.path / name / MANIFEST).exists():
                shutil.rmtree(self.path / name)

    def _folders(self) -> list[str]:
        return [
            entry.name
            for entry in os.scandir(self.path)
            if entry.is_dir(follow_symlinks=False) and _NAME.fullmatch(entry.name)
        ]
