"""Inflation of a deflated dataset (PS3.5 A.5) in pieces of bounded size."""

import zlib
from mmap import mmap

from neurdicom.errors import Malformed

_PIECE = 64 * 1024


class Inflation:
    """Reader of a deflated dataset from its beginning on.

    Parameters
    ----------
    data : bytes or mmap
        The file, or its beginning.
    start : int
        Offset of the dataset.
    """

    def __init__(self, data: bytes | mmap, start: int) -> None:
        self._data = data
        self._position = start
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)

    @property
    def has_ended(self) -> bool:
        """True at the end of the dataset; False where the data ends before."""
        return self._inflater.eof

    def read(self, count: int) -> bytes:
        """Inflate up to `count` bytes; fewer at the end. Raises `Malformed` if they are broken."""
        parts = []
        inflater = self._inflater
        try:
            while count > 0 and not inflater.eof:
                piece = inflater.unconsumed_tail
                if not piece:
                    piece = self._data[self._position : self._position + _PIECE]
                    self._position += len(piece)
                part = inflater.decompress(piece, min(count, 16 * _PIECE))
                if not part and not piece:
                    break
                count -= len(part)
                parts.append(part)
        except zlib.error as error:
            raise Malformed(f"the deflated dataset is broken: {error}") from error
        return b"".join(parts)

    def skip(self, count: int) -> int:
        """Inflate and drop bytes; return how many there were. Raises as `read`."""
        left = count
        while left and (dropped := len(self.read(min(left, 16 * _PIECE)))):
            left -= dropped
        return count - left
