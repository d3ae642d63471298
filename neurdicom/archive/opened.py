"""Open files on their way to a client."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

_PIECE = 256 * 1024


class OpenedFile:
    """File that is open to be sent, and is closed once it was read, or when it is dropped; its name may go meanwhile.

    Attributes
    ----------
    instance : str
        SOP Instance UID.
    size : int
        Size in bytes.
    etag : str
        Strong validator, without quotes.
    """

    def __init__(self, instance: str, path: Path, size: int, etag: str) -> None:
        self.instance = instance
        self.size = size
        self.etag = etag
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    async def read(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Stream a part in pieces of bounded size."""
        end = self.size if length is None else min(self.size, start + length)
        try:
            while start < end:
                piece = await asyncio.to_thread(os.pread, self._descriptor, min(_PIECE, end - start), start)
                if not piece:
                    return
                start += len(piece)
                yield piece
        finally:
            self.close()

    def close(self) -> None:
        """Close the file. Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()
