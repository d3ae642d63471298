"""The data folder of a server: how it is recognized, and the lock that lets one server use it."""

import fcntl
import os
import pwd
import uuid
from pathlib import Path

from neurdicom.errors import Conflict, Invalid

#: Names that a server creates in its data folder; one is enough to recognize it, since a restored backup may lack some.
_MARKS = ("blobs", "catalog.sqlite", "server-name", "lock")

#: File that a data folder has while a backup is restored into it.
_INCOMPLETE = "restore-incomplete"


def make_data_folder(folder: Path) -> None:
    """Make a data folder unless it exists, accessible to its owner only.

    Raises
    ------
    Invalid
        A file has this path, the folder can't be made or written, or a restore into it did not end.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (FileExistsError, NotADirectoryError) as error:
        raise Invalid(f"data is {str(folder)!r}, which is a file; a folder is expected", field="data") from error
    except OSError as error:
        raise Invalid(f"data folder {folder} can't be made: {error.strerror}", field="data") from error
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise Invalid(f"data folder {folder} is not readable and writable for this user ({_user()})", field="data")
    _refuse_incomplete(folder)


def require_data_folder(folder: Path) -> None:
    """Refuse a folder that is not the data folder of a server.

    Raises
    ------
    Invalid
        There is no such folder, this user can't look into it, no server ever started in it, or a restore into it did
        not end.
    """
    try:
        if not folder.is_dir():
            found = "is not a folder" if folder.exists() else "does not exist"
        elif not any((folder / mark).exists() for mark in _MARKS):
            found = "is not the data folder of a NeurDICOM server"
        else:
            _refuse_incomplete(folder)
            return
    except PermissionError as error:
        raise Invalid(
            f"data folder {folder} is not readable for this user ({_user()}); run the command as the server's user",
            field="data",
        ) from error
    raise Invalid(
        f"{folder} {found}; give the server's data folder with --data or NEURDICOM_DATA (`neurdicom serve` makes it at "
        "its first start)",
        field="data",
    )


def begin_restore(folder: Path) -> None:
    """Mark a data folder as incomplete, durably: no server and no command uses it until `end_restore`."""
    (folder / _INCOMPLETE).touch(mode=0o600)
    _flush(folder)


def end_restore(folder: Path) -> None:
    """Remove the mark of `begin_restore`, durably."""
    (folder / _INCOMPLETE).unlink()
    _flush(folder)


def _refuse_incomplete(folder: Path) -> None:
    if (folder / _INCOMPLETE).exists():
        raise Invalid(
            f"{folder} is being restored, or the restore was killed; wait for it, or empty the folder and run "
            "`neurdicom restore` again",
            field="data",
        )


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


class FolderLock:
    """An exclusive lock on a data folder, held by this process; the system releases it when the process ends.

    Raises
    ------
    Conflict
        Another process holds the lock; the message gives its process id.
    Invalid
        As `make_data_folder`.
    """

    def __init__(self, folder: Path) -> None:
        make_data_folder(folder)
        self._file = (folder / "lock").open("a+", encoding="ascii")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read().strip()
            self._file.close()
            raise Conflict(
                f"the data folder {folder} is in use by another NeurDICOM (process {holder or 'unknown'}); "
                "stop that one first, or give this one a folder of its own with --data"
            ) from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Release the lock. Idempotent."""
        self._file.close()


def server_name(folder: Path) -> str:
    """Read the name under which a server leases jobs in a shared catalog; make one up at the first start.

    Raises
    ------
    Invalid
        The file of the name is damaged.
    """
    file = folder / "server-name"
    try:
        name = file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        name = ""
    except UnicodeDecodeError as error:
        raise Invalid(f"{file} is damaged; bring it back from a backup, or delete it for a new name") from error
    if not name:
        name = uuid.uuid4().hex
        file.write_text(f"{name}\n", encoding="ascii")
    return name
