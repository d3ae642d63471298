"""Bulk data that is text, in UTF-8: the character set of metadata (PS3.18 F.2), whatever that of the file."""

import asyncio
import codecs
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from neurdicom.archive.stored import StoredBytes
from neurdicom.dicom.codec.charset import CharacterSet

#: Bytes at which text with code extensions may be cut: the initial sets are in force again after them.
_LINE_ENDS = (b"\n", b"\r", b"\f", b"\t")
#: Most bytes of such text that are held for want of a line's end.
_MOST_HELD = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class TextValue:
    """Text of a stored file that is converted to UTF-8 as it is read.

    Attributes
    ----------
    instance : str
        SOP Instance UID.
    etag : str
        Strong validator, without quotes.
    size : int
        Bytes in UTF-8.
    """

    instance: str
    etag: str
    size: int
    _stored: StoredBytes
    _charset: CharacterSet
    _codec: str

    async def read(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Stream a part of the text in UTF-8. Raises as `StoredBytes.read`."""
        end = self.size if length is None else min(self.size, start + length)
        position = 0
        async for piece in _converted(self._stored, self._charset, self._codec):
            part = piece[max(start - position, 0) : max(end - position, 0)]
            position += len(piece)
            if part:
                yield part
            if position >= end:
                return


async def to_utf_8(stored: StoredBytes, charset: CharacterSet) -> StoredBytes | TextValue:
    """Convert a value to UTF-8; its size is found by reading it.

    Parameters
    ----------
    stored : StoredBytes
        The value as the file has it.
    charset : CharacterSet
        The character set that is in force there.

    Returns
    -------
    StoredBytes or TextValue
        `stored` itself where it is in UTF-8 already.
    """
    codec = charset.codec
    if codec in ("utf_8", "ascii") and not charset.extended:
        if await _is_utf_8(stored):
            return stored
        codec = "latin_1" if codec == "ascii" else codec  # as `CharacterSet.decode` guesses
    size = 0
    async for piece in _converted(stored, charset, codec):
        size += len(piece)
    return TextValue(stored.instance, stored.etag, size, stored, charset, codec)


async def _is_utf_8(stored: StoredBytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf_8")()
    try:
        async for piece in stored.read():
            await asyncio.to_thread(decoder.decode, piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


async def _converted(stored: StoredBytes, charset: CharacterSet, codec: str) -> AsyncIterator[bytes]:
    converter = _ExtendedConverter(charset) if charset.extended else _PlainConverter(codec)
    async for piece in stored.read():
        for text in await asyncio.to_thread(list, converter.feed(piece)):
            yield text
    for text in converter.finish():
        yield text


class _PlainConverter:
    """Converter of text in one character set."""

    def __init__(self, codec: str) -> None:
        self._decoder = codecs.getincrementaldecoder(codec)("replace")

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Convert the next bytes."""
        yield self._decoder.decode(piece).encode("utf_8", "replace")

    def finish(self) -> Iterator[bytes]:
        """Convert what is left."""
        yield self._decoder.decode(b"", final=True).encode("utf_8", "replace")


class _ExtendedConverter:
    """Converter of text with code extensions (ISO 2022), line by line."""

    def __init__(self, charset: CharacterSet) -> None:
        self._charset = charset
        self._held = bytearray()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Convert the next bytes up to the last end of a line."""
        self._held += piece
        end = max(map(self._held.rfind, _LINE_ENDS)) + 1
        if not end and len(self._held) >= _MOST_HELD:
            end = len(self._held)
        if end:
            yield self._charset.decode(bytes(self._held[:end])).encode("utf_8", "replace")
            del self._held[:end]

    def finish(self) -> Iterator[bytes]:
        """Convert what is left."""
        yield self._charset.decode(bytes(self._held)).encode("utf_8", "replace")
