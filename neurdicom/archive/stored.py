"""Parts of stored files, streamed."""

import asyncio
from array import array
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from neurdicom.blobs.base import BlobStore
from neurdicom.dicom.header import Layout
from neurdicom.errors import NotAvailable
from neurdicom.pixels.decode.fragments import Fragment
from neurdicom.pixels.decode.source import Source

_PIECE = 1 << 20
_TYPECODES = {2: "H", 4: "I", 8: "Q"}


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """Bytes at one or several places of a file, joined; read in pieces of bounded size.

    Attributes
    ----------
    instance : str
        SOP Instance UID.
    etag : str
        Strong validator, without quotes.
    places : sequence of Fragment
        Offsets and lengths in the file.
    swap : int
        Size in bytes of the words whose byte order is reversed: 1 for none.
    inflate : Layout or None
        Layout of a file whose dataset is deflated; the places are then those in the inflated dataset.
    """

    instance: str
    etag: str
    places: Sequence[Fragment]
    _blobs: BlobStore
    _key: str
    swap: int = 1
    inflate: Layout | None = None

    @property
    def size(self) -> int:
        """Size in bytes."""
        return sum(place.length for place in self.places)

    async def read(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Stream a part. Raises `NotFound` if the file is gone, and `OSError` if it ends too early."""
        end = self.size if length is None else min(self.size, start + length)
        first = start - start % self.swap
        left, skip = end - first, start - first
        async for piece in self._words(first, -(-left // self.swap) * self.swap):
            piece = piece[:left]
            left -= len(piece)
            if piece[skip:]:
                yield piece[skip:]
            skip = max(skip - len(piece), 0)

    async def _words(self, start: int, length: int) -> AsyncIterator[bytes]:
        """Stream whole words in little endian."""
        pending = b""
        async for piece in self._stored(start, length):
            if self.swap == 1:
                yield piece
                continue
            data = pending + piece
            whole = len(data) // self.swap * self.swap
            words, pending = array(_TYPECODES[self.swap], data[:whole]), data[whole:]
            words.byteswap()
            yield words.tobytes()

    async def _stored(self, start: int, length: int) -> AsyncIterator[bytes]:
        position = 0
        for place in self.places:
            skip = min(max(start - position, 0), place.length)
            wanted = min(place.length - skip, start + length - position - skip)
            position += place.length
            if wanted <= 0:
                continue
            pieces = self._inflated if self.inflate else self._of_file
            done = 0
            async for piece in pieces(place.offset + skip, wanted):
                done += len(piece)
                yield piece
            if done < wanted:
                raise OSError(f"the file {self._key} ends {wanted - done} bytes before the requested part does")

    def _of_file(self, offset: int, length: int) -> AsyncIterator[bytes]:
        return self._blobs.read(self._key, offset, length)

    async def _inflated(self, offset: int, length: int) -> AsyncIterator[bytes]:
        path = await self._blobs.path(self._key)
        source = await asyncio.to_thread(_open, path, self.inflate)
        try:
            pieces = source.stream(offset, length)
            while piece := await asyncio.to_thread(next, pieces, b""):
                yield bytes(piece)
        finally:
            source.close()


def _open(path: Path, layout: Layout | None) -> Source:
    if layout is None:
        raise NotAvailable("the file is not deflated")
    return Source(path, layout)
