"""The data folder of a server: what tells one, and one server for one folder."""

import fcntl
import os
import pwd
import uuid
from pathlib import Path

from neurdicom.errors import Conflict, Invalid

#: What a server makes in its data folder, each of which tells one; a backup may bring back only some.
_MARKS = ("blobs", "catalog.sqlite", "server-name", "lock")


def make_data_folder(folder: Path) -> None:
    """Make a data folder where there is none, for its owner alone.

    Raises
    ------
    Invalid
        There is something else, or no folder can be made or written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (FileExistsError, NotADirectoryError) as error:
        raise Invalid(
            f"data is {str(folder)!r}, where a file is in the way; a folder is expected", field="data"
        ) from error
    except OSError as error:
        raise Invalid(f"the data folder {folder} can't be made: {error.strerror}", field="data") from error
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise Invalid(f"the data folder {folder} can't be written by this user ({_user()})", field="data")


def require_data_folder(folder: Path) -> None:
    """Refuse what is no server's data folder.

    Raises
    ------
    Invalid
        There is no such folder, or no server ever started in it.
    """
    if not folder.is_dir():
        found = "is no folder" if folder.exists() else "is not there"
    elif not any((folder / mark).exists() for mark in _MARKS):
        found = "is no data folder of a NeurDICOM server"
    else:
        return
    raise Invalid(
        f"{folder} {found}; name the server's with --data or NEURDICOM_DATA (`neurdicom serve` makes one at its first "
        "start)",
        field="data",
    )


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


class FolderLock:
    """An exclusive lock on a data folder, held by this process and released by the system when it ends.

    Raises
    ------
    Conflict
        Another process holds it; the message gives its process id.
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
        """Let others have the folder. Idempotent."""
        self._file.close()


def server_name(folder: Path) -> str:
    """The name of the server on a data folder, made up at its first start: which jobs it holds in a shared catalog."""
    file = folder / "server-name"
    try:
        name = file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        name = ""
    if not name:
        name = uuid.uuid4().hex
        file.write_text(f"{name}\n", encoding="ascii")
    return name
