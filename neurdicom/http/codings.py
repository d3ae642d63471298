"""Content codings of request bodies (RFC 9110 8.4): what is taken, and its decoding in pieces of bounded size."""

import zlib
from collections.abc import Collection, Iterator

from neurdicom.errors import Malformed, UnsupportedCoding

GZIP = "gzip"

#: Most bytes of a decoded piece.
_PIECE = 256 * 1024
_NAMES = {"x-gzip": GZIP}


def check_coding(header: str, taken: Collection[str]) -> str | None:
    """Check the content coding of a body.

    Parameters
    ----------
    header : str
        Content-Encoding, as given; empty if absent.
    taken : collection of str
        Codings that are decoded.

    Returns
    -------
    str or None
        The coding; None for a body as it is.

    Raises
    ------
    UnsupportedCoding
        It is another, or several are applied.
    """
    coding = header.strip().lower()
    coding = _NAMES.get(coding, coding)
    if coding in ("", "identity"):
        return None
    if coding not in taken:
        expected = " or ".join((*sorted(taken), "no encoding"))
        raise UnsupportedCoding(f"Content-Encoding is {header[:40]!r}; {expected} is expected", accepted=taken)
    return coding


class GzipDecoder:
    """Decoder of a gzip stream (RFC 1952) of one member or several."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self._is_empty = True

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Decode the next bytes, in pieces of bounded size. Raises `Malformed`."""
        while data:
            try:
                if self._member.eof:
                    self._member = zlib.decompressobj(wbits=31)
                piece = self._member.decompress(data, _PIECE)
            except zlib.error as error:
                raise Malformed(f"the body is no gzip, or a broken one: {error}") from error
            self._is_empty = False
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if piece:
                yield piece

    def check_complete(self) -> None:
        """Check that the stream has ended. Raises `Malformed`."""
        if self._is_empty or not self._member.eof:
            raise Malformed("the body ends before its gzip does")
