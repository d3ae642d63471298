"""File Meta Information (PS3.10 7.1) for datasets that arrive without one."""

import struct

from neurdicom import __version__

#: Implementation Class UID (PS3.7 D.3.3.2) of this software, made from a UUID (PS3.5 B.2).
IMPLEMENTATION_CLASS_UID = "2.25.122441384172457871861131442914288434238"
#: Implementation Version Name; 16 characters at most.
IMPLEMENTATION_VERSION_NAME = f"NEURDICOM_{__version__}"[:16]

_PREAMBLE = bytes(128) + b"DICM"
_VERSION = struct.pack("<HH2sHI", 0x0002, 0x0001, b"OB", 0, 2) + b"\x00\x01"


def file_meta(*, sop_class: str, sop_instance: str, transfer_syntax: str, source: str) -> bytes:
    """Encode the preamble and File Meta Information that a dataset follows in a Part 10 file.

    Parameters
    ----------
    sop_class, sop_instance : str
        Media Storage SOP Class UID and SOP Instance UID.
    transfer_syntax : str
        Transfer Syntax UID of the dataset.
    source : str
        Source Application Entity Title (0002,0016), the sender's; left out when empty.

    Returns
    -------
    bytes
    """
    elements = _VERSION
    elements += _element(0x0002, b"UI", sop_class)
    elements += _element(0x0003, b"UI", sop_instance)
    elements += _element(0x0010, b"UI", transfer_syntax)
    elements += _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID)
    elements += _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME)
    if source:
        elements += _element(0x0016, b"AE", source)
    return _PREAMBLE + struct.pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, len(elements)) + elements


def _element(number: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii", "replace")
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    return struct.pack("<HH2sH", 0x0002, number, vr, len(value)) + value
