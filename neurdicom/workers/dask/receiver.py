"""Files that servers send to a Dask worker, piece by piece."""

import asyncio
import logging
import time
from collections import Counter
from typing import Any, Final

from neurdicom.blobs.base import Spool
from neurdicom.errors import NeurdicomError, Unavailable, reason_of
from neurdicom.workers.dask.store import FileStore, PackageStore
from neurdicom.workers.pool import WorkerPool

_log = logging.getLogger(__name__)

#: Seconds after which the files of a transfer whose server is gone are deleted.
_STALE_SECONDS: Final = 600.0


class FileReceiver:
    """Transfers of archives and stored files from servers.

    Parameters
    ----------
    files : FileStore
        Takes stored files.
    packages : PackageStore
        Takes archives.
    pool : WorkerPool
        Ends the workers of packages that make room for others.

    Attributes
    ----------
    received : Counter
        How often each file has arrived, by its SHA-256.
    """

    def __init__(self, files: FileStore, packages: PackageStore, pool: WorkerPool) -> None:
        self.received: Counter[str] = Counter()
        self._files = files
        self._packages = packages
        self._pool = pool
        self._transfers: dict[str, tuple[Spool, float]] = {}
        self._preparing = asyncio.Lock()

    def has(self, kind: str, sha256: str) -> bool:
        """Tell whether an archive or a stored file has arrived."""
        found = self._files.find(sha256) if kind == "file" else self._packages.find(sha256)
        return found is not None

    async def put(self, transfer: str, kind: str, sha256: str, offset: int, data: bytes, last: bool) -> dict[str, Any]:
        """Write a piece of an archive or a stored file; pieces come in order, and the last one completes it.

        Parameters
        ----------
        transfer : str
            Id of the transfer.
        kind : {"package", "file"}
            What is sent.
        sha256 : str
            SHA-256 of the whole, in hexadecimal.
        offset : int
            Bytes before this piece.
        data : bytes
            The piece.
        last : bool
            Whether it is the last one.

        Returns
        -------
        dict
            `error` when it was refused.
        """
        self._drop_stale()
        spool: Spool | None = None
        try:
            spool = self._spool(transfer, kind, offset)
            await asyncio.to_thread(spool.write, data)
            if not last:
                self._transfers[transfer] = spool, time.monotonic()
                return {}
            await self._keep(spool, kind, sha256)
        except (NeurdicomError, OSError) as error:
            if spool is not None:
                spool.discard()
            _log.warning("%s %s can't be stored: %s", kind, sha256, error)
            return {"error": reason_of(error)}
        spool.discard()
        return {}

    def _spool(self, transfer: str, kind: str, offset: int) -> Spool:
        """Find the file that a piece belongs to; a first piece gets a new one."""
        spool, _ = self._transfers.pop(transfer, (None, 0.0))
        if spool is None:
            spool = self._files.new_spool() if kind == "file" else self._packages.packages.new_spool()
        if spool.size != offset:
            spool.discard()
            raise Unavailable(f"a piece for offset {offset} arrived, and {spool.size} bytes are there")
        return spool

    async def _keep(self, spool: Spool, kind: str, sha256: str) -> None:
        if spool.sha256 != sha256:
            raise Unavailable(f"what arrived has the SHA-256 {spool.sha256}, and {sha256} was announced")
        self.received[sha256] += 1
        if kind == "file":
            self._files.add(spool)
            return
        async with self._preparing:
            if self._packages.find(sha256) is not None:
                return
            await asyncio.to_thread(self._packages.prepare, spool)
            for digest in self._packages.add(sha256):
                await self._pool.retire(digest)
                await asyncio.to_thread(self._packages.packages.remove, digest)

    def _drop_stale(self) -> None:
        for transfer, (spool, since) in list(self._transfers.items()):
            if time.monotonic() - since > _STALE_SECONDS:
                del self._transfers[transfer]
                spool.discard()

    def close(self) -> None:
        """Discard incomplete files."""
        for spool, _ in self._transfers.values():
            spool.discard()
