"""Range headers (RFC 9110 section 14)."""

import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes=\s*(\d{0,19})-(\d{0,19})\s*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """Part of a file; a length of 0 means that there is no such part."""

    start: int
    length: int


def parse_range(header: str | None, size: int) -> Span | None:
    """Parse a Range header.

    Parameters
    ----------
    header : str or None
        The header's value.
    size : int
        Size of the file in bytes.

    Returns
    -------
    Span or None
        The requested part; None for the whole file, also where the header is malformed or asks for several parts, which
        a server may ignore (RFC 9110 section 14.2).
    """
    match = _RANGE.fullmatch(header or "")
    if match is None or match[0].count("-") != 1 or not (match[1] or match[2]):
        return None
    if not match[1]:
        length = min(int(match[2]), size)
        return Span(size - length, length)
    start = int(match[1])
    last = min(int(match[2]), size - 1) if match[2] else size - 1
    if match[2] and int(match[2]) < start:
        return None
    return Span(start, max(last - start + 1, 0))
