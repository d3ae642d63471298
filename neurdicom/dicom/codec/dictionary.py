"""The data dictionary (PS3.6) in the form that the scanner of element streams needs."""

import struct
from functools import lru_cache
from typing import NamedTuple

from pydicom import datadict

from neurdicom.dicom.codec.value_readers import NUMBERS, READERS, STREAMS, Reader

#: Values longer than this are not kept in the header but named by a BulkDataURI, by the kind of VR (bytes).
STREAM_LIMIT = 1024
NUMBERS_LIMIT = 16 * 1024
TEXT_LIMIT = 1024 * 1024

#: Explicit VRs with a reserved field and a length of 32 bits (PS3.5 7.1.2).
LONG_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
KNOWN_VRS = frozenset({*READERS["<"], *STREAMS, "SQ"})

PIXEL_KEYWORDS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}


class Action:
    """The scanner's action on an element. Plain numbers: attribute access on an Enum costs too much here."""

    VALUE = 0  # text or numbers: read it
    STREAM = 1  # bytes
    SEQUENCE = 2
    CHARSET = 3  # SpecificCharacterSet
    SIGN = 4  # PixelRepresentation, which decides "US or SS"
    AMBIGUOUS = 5  # "US or SS" in implicit VR
    CREATOR = 6  # a private creator
    PRIVATE = 7  # a private element without a VR of its own
    PIXELS = 8
    DELIMITER = 9  # a tag of group FFFE
    LEAVE_OUT = 10  # group lengths, and groups that have no place in a dataset
    NO_VR = 11  # an element of an explicit dataset that lacks its VR


class Element(NamedTuple):
    """Properties of an element that follow from its tag and its explicit VR."""

    key: str  # "GGGGEEEE"
    vr: str
    read: Reader | None  # None for bytes and sequences
    plain: bool  # text or numbers, without an effect on how other elements are read
    long_form: bool
    action: int
    tag: int
    limit: int  # longest value that is kept


def describe(tag: int, vr: str | None, order: str) -> Element:
    """Describe an element by its tag and VR.

    Parameters
    ----------
    tag : int
        Group and element number, `0xGGGGEEEE`.
    vr : str or None
        The explicit VR as it is in the file, valid or not; None in implicit VR, where the dictionary decides.
    order : {"<", ">"}
        Byte order, as in struct.

    Returns
    -------
    Element
        Its action is `Action.NO_VR` where `vr` is not two upper-case letters.
    """
    known = vr in KNOWN_VRS if vr is not None else True
    long_form = vr in LONG_VRS
    key = f"{tag:08X}"
    if vr is not None and not (len(vr) == 2 and vr.isascii() and vr.isalpha() and vr.isupper()):
        return Element(key, "UN", None, False, False, Action.NO_VR, tag, STREAM_LIMIT)
    group, number = tag >> 16, tag & 0xFFFF
    private = bool(group & 1)
    if vr is None or vr == "UN" or not known:
        # A VR of UN means implicit VR little endian (PS3.5 6.2.2); the dictionary knows better for public tags.
        order = "<" if vr is not None else order
        vr = "UN" if not known else dictionary_vr(tag)
    action = _action(group, number, tag, vr, private)
    if action == Action.AMBIGUOUS:
        vr = "US"
    elif " or " in vr:
        vr, action = "OW", Action.STREAM if action == Action.VALUE else action
    read = READERS[order].get(vr)
    limit = STREAM_LIMIT if vr in STREAMS else NUMBERS_LIMIT if vr in NUMBERS else TEXT_LIMIT
    return Element(key, vr, read, action == Action.VALUE and read is not None, long_form, action, tag, limit)


def _action(group: int, number: int, tag: int, vr: str, private: bool) -> int:
    if group == 0xFFFE:
        return Action.DELIMITER
    if number == 0 or group in (0x0000, 0x0002, 0xFFFF):
        return Action.LEAVE_OUT
    if tag in PIXEL_KEYWORDS:
        return Action.PIXELS
    if vr == "SQ":
        return Action.SEQUENCE  # whatever the tag: files have sequences among the private creators, too
    if tag == 0x00080005:
        return Action.CHARSET
    if tag == 0x00280103:
        return Action.SIGN
    if private and 0x10 <= number <= 0xFF and vr not in STREAMS:
        return Action.CREATOR
    if vr == "US or SS":
        return Action.AMBIGUOUS
    if private and vr == "UN":
        return Action.PRIVATE
    return _shape(vr)


def _shape(vr: str) -> int:
    return Action.STREAM if vr in STREAMS or "OW" in vr else Action.VALUE


@lru_cache(maxsize=65536)
def dictionary_vr(tag: int) -> str:
    """Look up the VR of a public tag; `LO` for a private creator, `UN` for an unknown tag."""
    if (tag >> 16) & 1:
        return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else "UN"
    try:
        return datadict.dictionary_VR(tag)
    except KeyError:
        return "UN"


@lru_cache(maxsize=65536)
def private_vr(tag: int, creator: str) -> str:
    """Look up the VR of a private element; `UN` where the element or its creator is unknown."""
    try:
        return datadict.private_dictionary_VR(tag, creator)
    except KeyError:
        return "UN"


@lru_cache(maxsize=65536)
def keyword(key: str) -> str:
    """Look up the keyword of a tag written `GGGGEEEE`.

    Private and unknown tags are returned in lower case; so are those of repeating groups (overlays, curves) other
    than the first, since all groups share one keyword.
    """
    try:
        tag = int(key, 16)
    except ValueError:
        return key
    if tag >> 24 in (0x50, 0x60) and tag >> 16 & 0xFF:
        return key.lower()
    return datadict.keyword_for_tag(tag) or key.lower()


@lru_cache(maxsize=4096)
def tag_of(name: str) -> str:
    """Look up the tag of a keyword, written `GGGGEEEE`. Raises `KeyError`."""
    tag = datadict.tag_for_keyword(name)
    if tag is None:
        raise KeyError(name)
    return f"{tag:08X}"


class _Elements(dict[bytes, Element]):
    """Cache of descriptions by the first bytes of an element: 6 in explicit VR, 4 in implicit."""

    _MOST = 1 << 16

    def __init__(self, order: str) -> None:
        self._order: str = order

    def __missing__(self, prefix: bytes) -> Element:
        group, number = struct.unpack_from(self._order + "HH", prefix)
        tag = group << 16 | number
        element = describe(tag, prefix[4:].decode("latin_1") if len(prefix) == 6 else None, self._order)
        if len(self) >= self._MOST:  # hostile files hold every tag there is
            self.clear()
        self[prefix] = element
        return element


#: By byte order; a bounded cache, filled as tags are met.
ELEMENTS: dict[str, dict[bytes, Element]] = {order: _Elements(order) for order in "<>"}
