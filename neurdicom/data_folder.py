"""One server for one data folder."""

import fcntl
import os
import uuid
from pathlib import Path

from neurdicom.errors import Conflict


class FolderLock:
    """An exclusive lock on a data folder, held by this process and released by the system when it ends.

    Raises
    ------
    Conflict
        Another process holds it; the message gives its process id.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
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
