"""Encoder of datasets: from the DICOM JSON model (PS3.18 F) to little-endian bytes (PS3.5 chapter 7)."""

import base64
import binascii
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydicom.valuerep import format_number_as_ds

from neurdicom.dicom.codec.charset import CharacterSet, character_set
from neurdicom.dicom.codec.dictionary import KNOWN_VRS, LONG_VRS, dictionary_vr
from neurdicom.dicom.codec.json_model import name_text
from neurdicom.dicom.codec.stream import MAX_DEPTH
from neurdicom.dicom.codec.value_readers import NUMBERS, STREAMS
from neurdicom.errors import Invalid

CHARSET_KEY = "00080005"
UTF_8_TERM = "ISO_IR 192"

#: VRs whose text depends on SpecificCharacterSet (PS3.5 6.1.2.2).
TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
#: VRs of one value, in which a backslash is a character.
_SINGLE = frozenset({"LT", "ST", "UR", "UT"})
_SHORT_LIMIT = 0xFFFE


def encode_dataset(dataset: Mapping[str, Any], *, explicit: bool = True, charset: CharacterSet | None = None) -> bytes:
    """Encode a dataset, its text in the character set that the dataset declares.

    Parameters
    ----------
    dataset : Mapping[str, Any]
        The DICOM JSON model. Elements with a `BulkDataURI` are written empty.
    explicit : bool
        True for Explicit VR, False for Implicit VR.
    charset : CharacterSet, optional
        The character set to use instead of the declared one, for a part of a dataset.

    Returns
    -------
    bytes
        The elements in the order of their tags, little endian, without File Meta Information.

    Raises
    ------
    Invalid
        An element is not in the DICOM JSON model, or a value does not conform to its VR; `field` names the tag.
    """
    return _Encoder(explicit, charset or charset_of(dataset)).dataset(dataset, 0)


def charset_of(dataset: Mapping[str, Any]) -> CharacterSet:
    """Read the character set that a dataset of the DICOM JSON model declares."""
    element = dataset.get(CHARSET_KEY)
    values = element.get("Value") if isinstance(element, Mapping) else None
    return character_set(tuple(str(term or "") for term in values) if isinstance(values, list) else ())


def with_charset(dataset: Mapping[str, Any], terms: Sequence[str] = ()) -> dict[str, Any]:
    """Declare a character set that can write all text of a dataset: that of `terms` if it can, else UTF-8.

    Without terms, and where all text is ASCII, none is declared.
    """
    charset = character_set(tuple(terms))
    fits = all(_encode(charset, text) is not None for text in _texts(dataset))
    named = list(terms) if fits else [UTF_8_TERM]
    rest = {key: element for key, element in dataset.items() if key != CHARSET_KEY}
    return {CHARSET_KEY: {"vr": "CS", "Value": named}, **rest} if any(named) else rest


def _texts(dataset: Mapping[str, Any]) -> Iterable[str]:
    for element in dataset.values():
        vr, values = (element.get("vr"), element.get("Value")) if isinstance(element, Mapping) else (None, None)
        if not isinstance(values, list):
            continue
        if vr == "SQ":
            for item in values:
                yield from _texts(item or {})
        elif vr in TEXT_VRS:
            yield from (name_text(value) or "" if vr == "PN" else str(value) for value in values if value is not None)


def _encode(charset: CharacterSet, text: str) -> bytes | None:
    raw = charset.encode(text)
    return charset.encode_extended(text) if raw is None else raw


class _Encoder:
    """Encoder for one VR encoding and one character set."""

    def __init__(self, explicit: bool, charset: CharacterSet) -> None:
        self._explicit = explicit
        self._charset = charset

    def dataset(self, dataset: Mapping[str, Any], depth: int) -> bytes:
        """Encode elements in the order of their tags."""
        if depth > MAX_DEPTH:
            raise Invalid(f"sequences are nested deeper than {MAX_DEPTH}")
        elements = sorted((_tag(key), key, element) for key, element in dataset.items())
        return b"".join(self._element(tag, key, element, depth) for tag, key, element in elements)

    def _element(self, tag: int, key: str, element: Any, depth: int) -> bytes:
        if not isinstance(element, Mapping):
            raise Invalid(f"({key}) is {element!r:.60}; an object with vr and Value is expected", field=key)
        vr = element.get("vr") or dictionary_vr(tag)
        if not isinstance(vr, str) or vr not in KNOWN_VRS:
            raise Invalid(f"({key}) has the vr {vr!r:.20}, which PS3.5 6.2 does not define", field=key)
        if depth and tag == int(CHARSET_KEY, 16):
            return b""  # items take over that of the dataset
        try:
            content = self._content(vr, element, depth)
        except (ValueError, TypeError, struct.error, binascii.Error, OverflowError) as error:
            if isinstance(error, Invalid):
                raise
            raise Invalid(f"({key}) has a value that no {vr} can hold: {error}", field=key) from error
        return self._written(tag, vr, content)

    def _content(self, vr: str, element: Mapping[str, Any], depth: int) -> bytes:
        if "InlineBinary" in element:
            return base64.b64decode(str(element["InlineBinary"]), validate=True)
        values = element.get("Value")
        if values is None:
            return b""
        if not isinstance(values, list):
            raise TypeError(f"Value is {values!r:.60}; a list is expected")
        if vr == "SQ":
            return b"".join(self._item(value, depth) for value in values)
        if vr in NUMBERS:
            numbers = [float(value) if NUMBERS[vr] in "fd" else int(value) for value in values]
            return struct.pack(f"<{len(numbers)}{NUMBERS[vr]}", *numbers)
        if vr == "AT":
            tags = [_tag(str(value)) for value in values]
            return b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in tags)
        if vr in STREAMS:
            raise TypeError(f"a {vr} is given as InlineBinary")
        return self._text(vr, values)

    def _item(self, value: Any, depth: int) -> bytes:
        if value is not None and not isinstance(value, Mapping):
            raise TypeError(f"an item is {value!r:.60}; an object is expected")
        content = self.dataset(value or {}, depth + 1)
        return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content

    def _text(self, vr: str, values: Sequence[Any]) -> bytes:
        texts = [_value_text(vr, value) for value in values]
        text = texts[0] if vr in _SINGLE and texts else "\\".join(texts)
        if vr not in TEXT_VRS:
            return text.encode("ascii", "replace")
        raw = _encode(self._charset, text)
        return raw if raw is not None else text.encode(self._charset.codec, "replace")

    def _written(self, tag: int, vr: str, content: bytes) -> bytes:
        if len(content) & 1:
            content += b"\0" if vr == "UI" or vr in STREAMS else b" "
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        if not self._explicit:
            return head + struct.pack("<I", len(content)) + content
        if vr not in LONG_VRS and len(content) > _SHORT_LIMIT:
            vr = "UN"  # as PS3.5 6.2.2 has it
        if vr in LONG_VRS:
            return head + vr.encode() + bytes(2) + struct.pack("<I", len(content)) + content
        return head + vr.encode() + struct.pack("<H", len(content)) + content


def _tag(key: str) -> int:
    if len(key) != 8 or not key.isascii() or not key.isalnum():
        raise Invalid(f"{key!r:.40} is no tag; 8 hexadecimal digits are expected", field=key)
    try:
        return int(key, 16)
    except ValueError as error:
        raise Invalid(f"{key!r:.40} is no tag; 8 hexadecimal digits are expected", field=key) from error


def _value_text(vr: str, value: Any) -> str:
    if value is None:
        return ""
    if vr == "PN":
        return name_text(value) or ""
    if isinstance(value, Mapping | list | bool):
        raise TypeError(f"{value!r:.60} is no text")
    if vr == "DS" and isinstance(value, int | float):
        return str(value) if len(str(value)) <= 16 else format_number_as_ds(float(value))
    return str(value)
