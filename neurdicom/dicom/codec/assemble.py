"""Assembly of a Part 10 file (PS3.10 7.1) from a dataset in the DICOM JSON model and the bulk data that it names.

The file is produced in pieces, so that bulk data of any size passes in constant memory. It is in Explicit VR Little
Endian, or in the transfer syntax of its compressed pixel data; its text is in UTF-8, as in the model.
"""

import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from pydicom.uid import PYDICOM_IMPLEMENTATION_UID

from neurdicom.dicom.codec.charset import UTF_8
from neurdicom.dicom.codec.dictionary import KNOWN_VRS, LONG_VRS
from neurdicom.dicom.codec.encode import CHARSET_KEY, UTF_8_TERM, encode_dataset
from neurdicom.dicom.codec.stream import MAX_DEPTH, UNDEFINED
from neurdicom.dicom.codec.transfer_syntaxes import EXPLICIT
from neurdicom.dicom.codec.value_readers import STREAMS
from neurdicom.errors import Invalid, Malformed, TooLarge

_KEY = re.compile(r"[0-9A-F]{8}")
_SHORT_LIMIT = 0xFFFE
_ITEM = b"\xfe\xff\x00\xe0"
_ITEM_END = b"\xfe\xff\x0d\xe0\0\0\0\0"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
_PIXEL_DATA = "7FE00010"

Json = Mapping[str, Any]


class BulkValue(Protocol):
    """Bulk data: the value of an element, or one frame of compressed pixel data."""

    @property
    def length(self) -> int:
        """Length in bytes."""

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes in pieces of bounded size."""


FindBulk = Callable[[str, str], Sequence[BulkValue]]
"""Returns the parts of the bulk data at a BulkDataURI, in order; raises `Malformed` where there is none.

The second argument is the path of the element, such as `7FE00010` or `54000100/0/54001010`.
"""


def assemble_file(dataset: Json, find: FindBulk, transfer_syntax: str = EXPLICIT) -> Iterator[bytes]:
    """Write a Part 10 file in pieces.

    Parameters
    ----------
    dataset : Mapping[str, Any]
        The DICOM JSON model. Its elements of File Meta Information and its group lengths are left out.
    find : callable
        Returns bulk data by its URI and the path of its element.
    transfer_syntax : str
        Transfer Syntax UID; any but Explicit VR Little Endian means that the parts of Pixel Data are compressed frames.

    Yields
    ------
    bytes
        The next piece of the file.

    Raises
    ------
    Malformed
        The dataset is not in the DICOM JSON model, or bulk data that it names is missing.
    TooLarge
        A value is longer than its element can declare.
    """
    elements = _elements(dataset)
    yield _meta(elements, transfer_syntax)
    elements[CHARSET_KEY] = {"vr": "CS", "Value": [UTF_8_TERM]}
    for key in sorted(elements):
        if key == _PIXEL_DATA and transfer_syntax != EXPLICIT:
            yield from _encapsulated(elements[key], find)
        else:
            yield from _element(key, elements[key], find)


def _elements(dataset: object) -> dict[str, Json]:
    """Check the form of a dataset or item, and leave out File Meta Information, delimiters and group lengths."""
    if not isinstance(dataset, Mapping):
        raise Malformed(f"a dataset of the DICOM JSON model is an object, not a {type(dataset).__name__}")
    found: dict[str, Json] = {}
    for key, element in dataset.items():
        tag = str(key).upper()
        if not _KEY.fullmatch(tag):
            raise Malformed(f"{str(key)[:40]!r} is no tag; eight hexadecimal digits are expected")
        vr = element.get("vr") if isinstance(element, Mapping) else None
        if not isinstance(vr, str) or vr not in KNOWN_VRS:
            raise Malformed(f"{tag} has no value representation (vr) that is known")
        if tag in found:
            raise Malformed(f"{tag} comes twice")
        if tag[:4] not in ("0000", "0002", "FFFE") and tag[4:] != "0000":
            found[tag] = element
    return found


def _meta(elements: Mapping[str, Json], transfer_syntax: str) -> bytes:
    body = _plain(
        {
            "00020001": {"vr": "OB", "InlineBinary": "AAE="},
            "00020002": elements.get("00080016", {"vr": "UI"}),
            "00020003": elements.get("00080018", {"vr": "UI"}),
            "00020010": {"vr": "UI", "Value": [transfer_syntax]},
            "00020012": {"vr": "UI", "Value": [PYDICOM_IMPLEMENTATION_UID]},
        }
    )
    return bytes(128) + b"DICM" + _plain({"00020000": {"vr": "UL", "Value": [len(body)]}}) + body


def _element(key: str, element: Json, find: FindBulk, above: str = "") -> Iterator[bytes]:
    if element["vr"] == "SQ":
        yield from _sequence(key, element, find, above)
    elif "BulkDataURI" in element:
        yield from _bulk(key, element["vr"], find(_uri(key, element), above + key))
    else:
        yield _plain({key: element})


def _plain(elements: Json) -> bytes:
    try:
        return encode_dataset(elements, charset=UTF_8)
    except Invalid as error:
        raise Malformed(str(error), field=error.field) from error


def _sequence(key: str, element: Json, find: FindBulk, above: str) -> Iterator[bytes]:
    """Write a sequence of undefined length: the length of bulk data in it is not known beforehand."""
    items = element.get("Value")
    if above.count("/") >= 2 * MAX_DEPTH:
        raise Malformed(f"sequences are nested deeper than {MAX_DEPTH}, at {key}")
    if items is not None and not isinstance(items, list):
        raise Malformed(f"the Value of {key} is a {type(items).__name__}; a list is expected")
    yield _head(key, "SQ", UNDEFINED)
    for number, item in enumerate(items or ()):
        yield _ITEM + struct.pack("<I", UNDEFINED)
        elements = _elements({} if item is None else item)
        elements.pop(CHARSET_KEY, None)  # its text is in the dataset's
        for each in sorted(elements):
            yield from _element(each, elements[each], find, f"{above}{key}/{number}/")
        yield _ITEM_END
    yield _SEQUENCE_END


def _uri(key: str, element: Json) -> str:
    uri = element.get("BulkDataURI")
    if not isinstance(uri, str):
        raise Malformed(f"the BulkDataURI of {key} is missing, or is no text")
    return uri


def _bulk(key: str, vr: str, parts: Sequence[BulkValue]) -> Iterator[bytes]:
    length = sum(part.length for part in parts)
    yield _head(key, vr, length + (length & 1))
    for part in parts:
        yield from part.pieces()
    if length & 1:
        yield b"\0" if vr in STREAMS else b" "


def _encapsulated(element: Json, find: FindBulk) -> Iterator[bytes]:
    """Write encapsulated Pixel Data (PS3.5 A.4), one fragment a frame."""
    frames = find(_uri(_PIXEL_DATA, element), _PIXEL_DATA)
    sizes = [frame.length + (frame.length & 1) for frame in frames]
    offsets, offset = [], 0
    for size in sizes:
        offsets.append(offset)
        offset += 8 + size
    if offset >= UNDEFINED:
        raise TooLarge(f"the compressed pixel data has {offset} bytes; a Basic Offset Table reaches 4 GiB")
    yield _head(_PIXEL_DATA, "OB", UNDEFINED)
    yield _ITEM + struct.pack(f"<I{len(offsets)}I", 4 * len(offsets), *offsets)
    for frame, size in zip(frames, sizes, strict=True):
        yield _ITEM + struct.pack("<I", size)
        yield from frame.pieces()
        if frame.length & 1:
            yield b"\0"
    yield _SEQUENCE_END


def _head(key: str, vr: str, length: int) -> bytes:
    tag = struct.pack("<HH", int(key[:4], 16), int(key[4:], 16)) + vr.encode("ascii")
    if vr in LONG_VRS:
        if length > UNDEFINED:
            raise TooLarge(f"{key} has {length} bytes; a value has less than 4 GiB")
        return tag + bytes(2) + struct.pack("<I", length)
    if length > _SHORT_LIMIT:
        raise TooLarge(f"{key} has {length} bytes; a value of VR {vr} has at most {_SHORT_LIMIT}")
    return tag + struct.pack("<H", length)
