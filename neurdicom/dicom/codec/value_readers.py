"""Readers of element values by VR: from bytes to the DICOM JSON model (PS3.5 6.2, PS3.18 F.2.3)."""

import math
import struct
from collections.abc import Callable
from typing import Any

from neurdicom.dicom.codec.charset import CharacterSet

Reader = Callable[[bytes, CharacterSet], list[Any]]

#: VRs whose value is a sequence of numbers in binary, and their struct codes.
NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
#: VRs whose value is a stream of bytes, and the size of the words that endianness swaps.
STREAMS = {"OB": 1, "OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8, "UN": 1}
#: VRs of one value, in which a backslash is a character and leading spaces count.
_SINGLE = ("LT", "ST", "UT")
_MULTIPLE = ("AE", "AS", "CS", "DA", "DT", "LO", "SH", "TM", "UC", "UI")
_PADDING = " \0"
_INT64 = 1 << 63
_NOT_FINITE = {math.inf: "inf", -math.inf: "-inf"}


def read_strings(raw: bytes, charset: CharacterSet) -> list[Any]:
    """Read text of any number of values; empty ones among several are None."""
    text = charset.decode(raw)
    if "\\" in text:
        return [part.strip(_PADDING) or None for part in text.split("\\")]
    text = text.strip(_PADDING)
    return [text] if text else []


def read_text(raw: bytes, charset: CharacterSet) -> list[Any]:
    """Read text of one value (LT, ST, UT, UR)."""
    text = charset.decode(raw).rstrip(_PADDING)
    return [text] if text else []


def read_names(raw: bytes, charset: CharacterSet) -> list[Any]:
    """Read person names as objects of their component groups (PS3.18 F.2.2)."""
    return [_name(part) for part in charset.decode(raw).split("\\")] if raw.strip(b" \0") else []


def _name(text: str) -> dict[str, str] | None:
    groups = [group.strip(_PADDING) for group in text.split("=")]
    keys = ("Alphabetic", "Ideographic", "Phonetic")
    return {key: group for key, group in zip(keys, groups, strict=False) if group} or None


def read_decimals(raw: bytes, charset: CharacterSet) -> list[Any]:
    """Read decimal strings as numbers; one that does not parse stays text."""
    return [_decimal(part) for part in read_strings(raw, charset)]


def _decimal(text: str | None) -> float | str | None:
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) and "_" not in text else text


def read_integers(raw: bytes, charset: CharacterSet) -> list[Any]:
    """Read integer strings as integers; one that does not parse stays text."""
    return [_integer(part) for part in read_strings(raw, charset)]


def _integer(text: str | None) -> int | str | None:
    if text is None:
        return None
    try:
        number = int(text)
    except ValueError:
        decimal = _decimal(text)
        if not isinstance(decimal, float) or not decimal.is_integer():
            return text
        number = int(decimal)
    return number if -_INT64 <= number < _INT64 and "_" not in text else text


def _number_reader(code: str, order: str) -> Reader:
    size = struct.calcsize(order + code)
    one = struct.Struct(order + code).unpack

    def read(raw: bytes, charset: CharacterSet) -> list[Any]:
        if len(raw) == size:
            return list(one(raw))
        count = len(raw) // size
        return list(struct.unpack_from(f"{order}{count}{code}", raw))

    if code not in "fd":
        return read

    def read_floats(raw: bytes, charset: CharacterSet) -> list[Any]:
        values = read(raw, charset)
        if all(map(math.isfinite, values)):
            return values
        return [value if math.isfinite(value) else _NOT_FINITE.get(value, "NaN") for value in values]

    return read_floats


def _tag_reader(order: str) -> Reader:
    def read(raw: bytes, charset: CharacterSet) -> list[Any]:
        count = len(raw) // 4 * 2
        words = struct.unpack_from(f"{order}{count}H", raw)
        return [f"{group:04X}{element:04X}" for group, element in zip(words[::2], words[1::2], strict=True)]

    return read


def _readers(order: str) -> dict[str, Reader]:
    readers: dict[str, Reader] = dict.fromkeys(_MULTIPLE, read_strings)
    readers |= dict.fromkeys(_SINGLE, read_text)
    readers |= {"UR": read_text, "PN": read_names, "DS": read_decimals, "IS": read_integers, "AT": _tag_reader(order)}
    return readers | {vr: _number_reader(code, order) for vr, code in NUMBERS.items()}


#: By byte order (struct's `<` or `>`) and VR; VRs of bytes and sequences are not in it.
READERS: dict[str, dict[str, Reader]] = {order: _readers(order) for order in "<>"}


def as_little_endian(raw: bytes, vr: str, order: str) -> bytes:
    """Convert the bytes of a stream to little endian, as the DICOM JSON model requires (PS3.18 F.2.7).

    Parameters
    ----------
    raw : bytes
        The value.
    vr : str
        Its VR, whose word size decides what is swapped.
    order : {"<", ">"}
        Its byte order, as in struct.

    Returns
    -------
    bytes
        `raw` itself where nothing is to be swapped, or where its length is not a multiple of the word size.
    """
    size = STREAMS.get(vr, 1)
    if order == "<" or size == 1 or len(raw) % size:
        return raw
    swapped = bytearray(len(raw))
    for index in range(size):
        swapped[index::size] = raw[size - 1 - index :: size]
    return bytes(swapped)
