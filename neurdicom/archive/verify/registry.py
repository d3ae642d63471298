"""The registry of damaged files: documents of the catalog, with their keys in memory for every read."""

import logging
import os
import secrets
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from neurdicom.archive.verify.damage import Damage, is_set_aside
from neurdicom.catalog.documents import DocumentQuery, Documents
from neurdicom.coordination import Periodic
from neurdicom.errors import Unavailable

log = logging.getLogger(__name__)

#: Kind of the documents of damage; their keys are those of the files.
KIND: Final = "damage"

#: Kind and key of the document that changes with every change of the others, for servers on other machines.
_REVISION: Final = ("damage_revision", "revision")

#: File in the data folder whose time changes with them, for other processes on this machine.
STAMP: Final = "damage-changed"

#: Seconds between two looks at the revision.
POLL_SECONDS: Final = 5.0

#: Shortest pause between two loads, as a multiple of the time that one takes.
_REST = 10.0
_PAGE = 5000


class DamageRegistry:
    """Registry of the damaged files of a data folder.

    Parameters
    ----------
    documents : Documents
        Documents of the catalog.
    data : Path
        The data folder, whose stamp tells of changes by other processes at once.
    announces : bool
        Whether this process tells the others at once, as commands do beside a running server.

    Attributes
    ----------
    documents : Documents
        Documents of the catalog.
    """

    def __init__(self, documents: Documents, data: Path, *, announces: bool = False) -> None:
        self.documents = documents
        self._stamp = data / STAMP
        self._announces = announces
        self._keys: set[str] = set()
        self._seen = -1
        self._revision: str | None = None
        self._changes = 0
        self._not_before = 0.0
        self._poll = Periodic(self._look, POLL_SECONDS, "changes of damaged files by other servers are not known yet")

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def in_use(self) -> int:
        """Number of those that are in use; the others lie in the trash."""
        return sum(not is_set_aside(file) for file in self._keys)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    async def open(self) -> None:
        """Load the keys, and watch for changes by other processes."""
        with suppress(OSError):  # a disk that is read-only, or full
            self._stamp.touch(mode=0o600)
        await self._load()
        if self._keys:
            log.error(
                "%d stored files are damaged, and not given out: `neurdicom verify` and GET /api/storage name them",
                len(self._keys),
            )
        self._poll.start()

    async def close(self) -> None:
        """Stop watching. Idempotent."""
        await self._poll.stop()

    async def find(self, key: str) -> Damage | None:
        """Find the damage of a file; None if none is known."""
        await self.refresh()
        if key not in self._keys:
            return None
        document = await self.documents.get(KIND, key)
        if document is None:
            self._keys.discard(key)
            return None
        return Damage.from_document(document)

    async def refresh(self) -> None:
        """Load the keys if another process on this machine has changed them."""
        if self._time_of_stamp() != self._seen and time.monotonic() >= self._not_before:
            await self._load()

    async def page(self, limit: int, after: str | None = None) -> list[Damage]:
        """List damaged files by key.

        Parameters
        ----------
        limit : int
            Most files of the page.
        after : str, optional
            Key of the last file of the previous page.
        """
        found = await self.documents.query(KIND, DocumentQuery(limit=limit, after=after, counted=False))
        return [Damage.from_document(document) for document in found.items]

    async def record(self, damage: Damage) -> Damage:
        """Record damage, with a line in the log where it is new; return it with the time when it was first found.

        Where the catalog can't be written, as on a full disk, the file is found damaged anew with the next read.
        """
        try:
            earlier = await self.documents.get(KIND, damage.file)
            if earlier is not None:
                damage = replace(damage, since=Damage.from_document(earlier).since)
                if Damage.from_document(earlier) == damage:
                    self._keys.add(damage.file)
                    return damage
            log.error(
                "the file %s of instance %s is damaged and not given out any more: %s",
                *(damage.file, damage.instance or "that is not known", damage.describe()),
            )
            await self.documents.put(KIND, {damage.file: damage.to_document()})
            self._keys.add(damage.file)
            await self._announce()
        except Unavailable as error:
            log.warning("the damage of %s could not be recorded: %s", damage.file, error)
        return damage

    async def clear(self, key: str, reason: str) -> bool:
        """Remove a file from the registry, with a line in the log; return whether it was there.

        Parameters
        ----------
        key : str
            Key of the file.
        reason : str
            Why it is not damaged any more, for the log.
        """
        self._keys.discard(key)
        if not await self.documents.delete(KIND, key):
            return False
        log.warning("the file %s is not damaged any more: %s", key, reason)
        await self._announce()
        return True

    async def _announce(self) -> None:
        self._changes += 1
        self._revision = secrets.token_hex(8)
        kind, key = _REVISION
        await self.documents.put(kind, {key: {"revision": self._revision}})
        if self._announces:
            with suppress(OSError):  # a disk that is read-only: servers look at the revision
                os.utime(self._stamp, ns=(time.time_ns(), time.time_ns()))

    async def _look(self) -> None:
        """Load the keys if another server has changed them."""
        if await self._read_revision() != self._revision:
            await self._load()

    async def _read_revision(self) -> str | None:
        document = await self.documents.get(*_REVISION)
        return None if document is None else str(document["revision"])

    async def _load(self) -> None:
        began = time.monotonic()
        while True:
            changes, self._seen, revision = self._changes, self._time_of_stamp(), await self._read_revision()
            keys: set[str] = set()
            last: str | None = None
            while page := (
                await self.documents.query(KIND, DocumentQuery(limit=_PAGE, after=last, counted=False))
            ).items:
                keys.update(document["key"] for document in page)
                last = page[-1]["key"]
            if changes == self._changes:  # otherwise it may lack what was recorded here meanwhile
                break
        self._keys, self._revision = keys, revision
        self._not_before = time.monotonic() + _REST * (time.monotonic() - began)

    def _time_of_stamp(self) -> int:
        # A look at the disk, which the system answers from memory, as for the file itself.
        try:
            return os.stat(self._stamp).st_mtime_ns  # noqa: PTH116
        except OSError:
            return 0
