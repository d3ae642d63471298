"""Copies of single files, hashed on the way and durable, and checks of files by their SHA-256."""

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from neurdicom.errors import Damaged

_PIECE = 1024 * 1024


class DamagedFile(Damaged):
    """A file that is missing, can't be read, or has other bytes than it should; the message names it."""


@dataclass(frozen=True, slots=True)
class FileCopy:
    """Size in bytes and SHA-256 of a file that was copied or read."""

    size: int
    sha256: str


def copy_file(source: Path, target: Path, scratch: Path, *, sha256: str | None = None, mode: int = 0o600) -> FileCopy:
    """Copy a file, durably but for the entry of its folder: the target appears whole, or not at all.

    Neither a symbolic link nor a hard link is followed: the copy is a file of its own, with the time of the source.

    Parameters
    ----------
    source : Path
        The file.
    target : Path
        The copy; replaced if it exists.
    scratch : Path
        Folder on the target's file system for the incomplete copy.
    sha256 : str, optional
        Expected SHA-256 in hexadecimal.
    mode : int
        Permissions of the copy.

    Returns
    -------
    FileCopy

    Raises
    ------
    DamagedFile
        The source is missing, can't be read, is no regular file, or has another SHA-256.
    OSError
        The copy can't be written.
    """
    partial = scratch / secrets.token_hex(8)
    with _reading(source) as file:
        try:
            with new_file(partial) as out:
                copied = _pump(file, source, out)
                if sha256 is not None and copied.sha256 != sha256:
                    raise _other_bytes(source, copied.sha256, sha256)
                status = os.fstat(file.fileno())
                out.flush()
                os.fchmod(out.fileno(), mode)
                os.utime(out.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
                os.fsync(out.fileno())
            partial.rename(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    return copied


def read_file(path: Path, *, sha256: str | None = None) -> FileCopy:
    """Read a file for its SHA-256. Raises `DamagedFile`, also if another one is expected."""
    with _reading(path) as file:
        found = _pump(file, path, None)
    if sha256 is not None and found.sha256 != sha256:
        raise _other_bytes(path, found.sha256, sha256)
    return found


def write_text(path: Path, text: str, scratch: Path) -> None:
    """Write a text file of mode 0600, durably but for the entry of its folder, so that it appears whole.

    Parameters
    ----------
    path : Path
        The file; replaced if it exists.
    text : str
        Its content.
    scratch : Path
        Folder on the file's file system for the incomplete file.
    """
    partial = scratch / secrets.token_hex(8)
    with new_file(partial) as out:
        out.write(text.encode())
        out.flush()
        os.fsync(out.fileno())
    partial.rename(path)


def new_file(path: Path) -> BinaryIO:
    """Make a file of mode 0600 that does not exist, for writing."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def _other_bytes(path: Path, found: str, expected: str) -> DamagedFile:
    return DamagedFile(f"{path} is damaged: its SHA-256 is {found}, {expected} is expected")


@contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file that is no symbolic link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise DamagedFile(f"{path} is missing") from None
    except OSError as error:
        reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise DamagedFile(f"{path} can't be read: {reason}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DamagedFile(f"{path} can't be read: it is no regular file")
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        yield file


def _pump(file: BinaryIO, path: Path, out: BinaryIO | None) -> FileCopy:
    """Read a file to its end, into another one if given."""
    digest, size = hashlib.sha256(), 0
    while True:
        try:
            piece = file.read(_PIECE)
        except OSError as error:
            raise DamagedFile(f"{path} can't be read: {error.strerror}") from error
        if not piece:
            return FileCopy(size, digest.hexdigest())
        digest.update(piece)
        size += len(piece)
        if out is not None:
            out.write(piece)
