"""Datasets that are no files of PS3.10: without a preamble, or without File Meta Information, which is made here."""

import struct

from neurdicom.dicom.codec.dictionary import KNOWN_VRS
from neurdicom.dicom.codec.file_meta import file_meta
from neurdicom.dicom.codec.stream import ElementStream
from neurdicom.dicom.codec.transfer_syntaxes import BIG_ENDIAN, EXPLICIT, IMPLICIT
from neurdicom.dicom.uids import is_uid
from neurdicom.errors import Malformed, NotDicom

#: Bytes that identify a file: the preamble and the prefix of PS3.10 7.1.
PROBE = 132

_PREAMBLE, _PREFIX = 128, b"DICM"
_META, _FIRST = b"\x02\x00", b"\x08\x00"
_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
#: Longest value of an element that a dataset in Implicit VR begins with; real ones have a few bytes.
_LONGEST_FIRST = 1024


def is_part10(head: bytes) -> bool:
    """Tell from its beginning whether a file has a preamble and the prefix DICM."""
    return head[_PREAMBLE:PROBE] == _PREFIX


def may_be_instance(head: bytes, *, strict: bool) -> bool:
    """Tell from its beginning whether a file may be an instance.

    Parameters
    ----------
    head : bytes
        Its first `PROBE` bytes, or more, or all.
    strict : bool
        True where it needs preamble and prefix; else a dataset with File Meta Information or without will do.
    """
    if is_part10(head) or strict:
        return is_part10(head)
    start = len(_PREFIX) if head.startswith(_PREFIX) else 0
    return _is_meta(head, start) or bool(_syntax(head, start))


def completion(head: bytes) -> tuple[bytes, int]:
    """Make what a dataset lacks to be a file of PS3.10.

    Preamble and File Meta Information that are there are kept. Where there is none, it is of our making, as that of a
    dataset that arrives by C-STORE.

    Parameters
    ----------
    head : bytes
        The beginning of the file.

    Returns
    -------
    prefix : bytes
        What the file begins with; empty where it lacks nothing.
    start : int
        Offset of the bytes that follow it in the file that arrived.

    Raises
    ------
    NotDicom
        It is no dataset: it does not begin with elements of group 0008 with SOP Class and SOP Instance UID.
    """
    start = PROBE if is_part10(head) else len(_PREFIX) if head.startswith(_PREFIX) else 0
    if start == PROBE and head.startswith(_META, start):
        return b"", 0
    if _is_meta(head, start):
        return bytes(_PREAMBLE) + _PREFIX, start
    syntax = _syntax(head, start)
    sop_class, sop_instance = _sop(head, start, syntax) if syntax else ("", "")
    if not (is_uid(sop_class) and is_uid(sop_instance)):
        if start == PROBE:  # whatever else it is, the header tells
            return b"", 0
        raise NotDicom("no DICM prefix at offset 128, and no dataset: not a DICOM file (PS3.10 7.1)")
    return file_meta(sop_class=sop_class, sop_instance=sop_instance, transfer_syntax=syntax, source=""), start


def _is_meta(head: bytes, start: int) -> bool:
    return head[start : start + 2] == _META and (_has_vr(head, start) or _has_length(head, start))


def _syntax(head: bytes, start: int) -> str:
    """Guess the transfer syntax of a dataset from its first element; empty where it is none."""
    if head[start : start + 2] == _FIRST:
        return EXPLICIT if _has_vr(head, start) else IMPLICIT if _has_length(head, start) else ""
    return BIG_ENDIAN if head[start : start + 2] == _FIRST[::-1] and _has_vr(head, start) else ""


def _has_vr(head: bytes, start: int) -> bool:
    return head[start + 4 : start + 6].decode("latin_1") in KNOWN_VRS


def _has_length(head: bytes, start: int) -> bool:
    """Tell whether an element has a length of four bytes, even and short."""
    if len(head) < start + 8:
        return False
    (length,) = struct.unpack_from("<I", head, start + 4)
    return bool(length <= _LONGEST_FIRST and length % 2 == 0)


def _sop(head: bytes, start: int, syntax: str) -> tuple[str, str]:
    """Read SOP Class and SOP Instance UID of a dataset; empty where its elements are not in order before them."""
    stream = ElementStream(head, order=">" if syntax == BIG_ENDIAN else "<")
    found = {_SOP_CLASS: "", _SOP_INSTANCE: ""}
    last = 0
    try:
        for span in stream.spans(start, len(head), explicit=syntax != IMPLICIT):
            tag = span.element.tag
            if tag <= last or tag > _SOP_INSTANCE:
                break
            last = tag
            if tag in found:
                found[tag] = head[span.value : span.stop].decode("latin_1").strip(" \0")
    except Malformed:
        pass
    return found[_SOP_CLASS], found[_SOP_INSTANCE]
