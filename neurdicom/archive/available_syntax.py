"""Available Transfer Syntax UID (0008,3002): how an instance is stored, which its dataset does not say.

Viewers tell by it that an instance is a video, and which frames they can have without a conversion.
"""

import re
from typing import Any

import orjson

AVAILABLE_SYNTAX = "00083002"

_KEY = f'"{AVAILABLE_SYNTAX}":'.encode()
#: The key of an element of a group up to 00FF that comes after (0008,3002), at any level.
_LATER = re.compile(
    rb'"00(?:08(?:30(?:0[3-9A-F]|[1-9A-F].)|3[1-9A-F]..|[4-9A-F]...)|(?:0[9A-F]|[1-9A-F].)....)":\{', re.DOTALL
)


def available_syntax(transfer_syntax: str) -> dict[str, Any]:
    """Make the element, in the DICOM JSON model."""
    return {"vr": "UI", "Value": [transfer_syntax]} if transfer_syntax else {"vr": "UI"}


def with_available_syntax(header: bytes, transfer_syntax: str) -> bytes:
    """Add the element to a header, in its place in the order of tags.

    Parameters
    ----------
    header : bytes
        A dataset in the DICOM JSON model, UTF-8, as the catalog has it.
    transfer_syntax : str
        UID of the transfer syntax; without one the header stays as it is.
    """
    if not transfer_syntax:
        return header
    # Braces in text may deceive the count: then the element lies in an item, or at its place by chance.
    depth, counted = 0, 0
    for later in _LATER.finditer(header):
        at = later.start()
        depth += header.count(b"{", counted, at) - header.count(b"}", counted, at)
        counted = at
        if depth == 1 and header.find(_KEY, 0, at) < 0:
            return b"%s%s%s,%s" % (header[:at], _KEY, orjson.dumps(available_syntax(transfer_syntax)), header[at:])
    return _parsed(header, transfer_syntax)


def _parsed(header: bytes, transfer_syntax: str) -> bytes:
    dataset = orjson.loads(header)
    dataset[AVAILABLE_SYNTAX] = available_syntax(transfer_syntax)
    return orjson.dumps(dict(sorted(dataset.items())))
