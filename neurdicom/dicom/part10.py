"""Headers of DICOM files (PS3.10), read without their bulk data."""

import math
import os
import struct
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import orjson

from neurdicom.dicom.codec.charset import DEFAULT, CharacterSet, character_set
from neurdicom.dicom.codec.dictionary import KNOWN_VRS, LONG_VRS
from neurdicom.dicom.codec.inflation import Inflation
from neurdicom.dicom.codec.pixel_end import find_pixel_end
from neurdicom.dicom.codec.scan import Dataset, Pixels, Scanner
from neurdicom.dicom.codec.stream import EndOfBuffer
from neurdicom.dicom.codec.transfer_syntaxes import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT
from neurdicom.dicom.header import Header, Layout
from neurdicom.dicom.query.indexed import attributes_of
from neurdicom.dicom.uids import check_uid
from neurdicom.errors import Invalid, Malformed, NotDicom

__all__ = ["Header", "Layout", "read_header"]

#: Read at once; most headers are shorter.
HEAD = 64 * 1024
#: Bytes of a deflated dataset that are inflated to find its Pixel Data.
MAX_INFLATED = 64 * 1024 * 1024

_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
_LONGEST_UID = 128  # longer values of File Meta Information are none

#: Where more than a line is said of the modality transformation: its LUT, and functional groups.
_ELSEWHERE = frozenset({"00283000", "00289145", "52009229", "52009230"})

_IDS = {"study_instance_uid": "0020000D", "series_instance_uid": "0020000E", "sop_instance_uid": "00080018"}
_LAYOUT_KEYS = {
    "rows": "00280010",
    "columns": "00280011",
    "samples_per_pixel": "00280002",
    "planar_configuration": "00280006",
    "bits_allocated": "00280100",
    "bits_stored": "00280101",
    "high_bit": "00280102",
    "pixel_representation": "00280103",
    "number_of_frames": "00280008",
}


def read_header(file: Path | int, head: bytes = b"", size: int = 0) -> Header:
    """Read a DICOM file's header: File Meta Information and dataset, without bulk data.

    Elements after Pixel Data are read too. Memory is bounded whatever the file holds. Blocks; call it in a thread.

    Parameters
    ----------
    file : Path or int
        A local file, or the descriptor of one that is open for reading; its position does not matter.
    head : bytes, optional
        With a descriptor: the beginning of the file, where the caller has it in memory already.
    size : int, optional
        With `head`: size of the file in bytes.

    Returns
    -------
    Header

    Raises
    ------
    NotDicom
        The file has no `DICM` prefix (PS3.10 7.1), or is a media directory (DICOMDIR).
    Malformed
        The header is cut off or broken, or the file ends within Pixel Data.
    Invalid
        The UID of the study, the series or the instance is missing or is not a valid UID; `field` names it.
    """
    if isinstance(file, int):
        return _read(file, head, size)
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _read(descriptor, b"", 0)
    finally:
        os.close(descriptor)


def media_storage(head: bytes) -> tuple[str, str]:
    """Read Media Storage SOP Class UID and SOP Instance UID from the beginning of a file; empty if one is missing."""
    try:
        meta, _ = _file_meta(head)
        return check_uid(meta.get(0x0002, ""), "sop_class_uid"), check_uid(meta.get(0x0003, ""), "sop_instance_uid")
    except (NotDicom, Malformed, Invalid):
        return "", ""


def _read(descriptor: int, head: bytes, size: int) -> Header:
    if not head:
        size = os.fstat(descriptor).st_size
        head = os.pread(descriptor, HEAD, 0)
    try:
        return _parse(head, size, descriptor)
    except EndOfBuffer:
        if size <= len(head):
            raise
    with mmap(descriptor, size, access=ACCESS_READ) as whole:
        return _parse(whole, size, descriptor)


def _parse(data: bytes | mmap, size: int, descriptor: int) -> Header:
    meta, start = _file_meta(data)
    if meta.get(0x0002) == _MEDIA_DIRECTORY:
        raise NotDicom("the file is a media directory (DICOMDIR), which lists instances; a single instance is expected")
    syntax = meta.get(0x0010) or _guess_syntax(data, start)
    if syntax in DEFLATED:
        dataset, pixels = _scan_deflated(data, start, size)
    else:
        scanner = Scanner(data, explicit=syntax != IMPLICIT, order=">" if syntax == BIG_ENDIAN else "<")
        dataset = scanner.scan(start)
        pixels = scanner.pixels
        if pixels is not None:
            end = find_pixel_end(descriptor, size, keyword=pixels.keyword, offset=pixels.offset, length=pixels.length)
            dataset = _scan_tail(data, end, size, descriptor, syntax, dataset) | dataset
    return _header(dataset, pixels, meta, syntax, start, size)


def _file_meta(data: bytes | mmap) -> tuple[dict[int, str], int]:
    """Read the UIDs of File Meta Information by element number, and the offset of its end.

    Its group length is wrong or missing in many files: the group ends where another group begins.
    """
    if data[128:132] != b"DICM":
        raise NotDicom("no DICM prefix at offset 128: not a DICOM file (PS3.10 7.1)")
    meta: dict[int, str] = {}
    pos = 132
    while pos + 8 <= len(data):
        group, number, vr, length = struct.unpack_from("<HH2sH", data, pos)
        if group != 0x0002:
            return meta, pos
        value = pos + 8
        name = vr.decode("latin_1")
        if name in LONG_VRS or name not in KNOWN_VRS:
            # Without a VR the length follows the tag, as in implicit VR.
            place = pos + 8 if name in LONG_VRS else pos + 4
            if place + 4 > len(data):
                break
            (length,) = struct.unpack_from("<I", data, place)
            value = place + 4
        pos = value + length
        if pos > len(data):
            raise EndOfBuffer(f"(0002,{number:04X}) of the File Meta Information is cut off")
        if length <= _LONGEST_UID:
            meta[number] = data[value:pos].decode("latin_1").strip(" \0")
    if pos != len(data) or not meta:
        raise EndOfBuffer("the File Meta Information is cut off")
    return meta, pos


def _guess_syntax(data: bytes | mmap, start: int) -> str:
    if data[start + 4 : start + 6].decode("latin_1") not in KNOWN_VRS:
        return IMPLICIT
    return BIG_ENDIAN if data[start : start + 1] == b"\0" and data[start + 1 : start + 2] != b"\0" else EXPLICIT


def _scan_deflated(data: bytes | mmap, start: int, size: int) -> tuple[Dataset, Pixels | None]:
    """Scan a deflated dataset, inflating four times as much of what lies before Pixel Data at each attempt."""
    inflation = Inflation(data, start)
    inflated = b""
    wanted = HEAD
    while True:
        inflated += inflation.read(wanted - len(inflated))
        scanner = Scanner(inflated, explicit=True, shift=start)
        complete = len(inflated) < wanted  # all there is of it at hand
        try:
            dataset = scanner.scan(0)
        except EndOfBuffer:
            if complete:
                raise
        else:
            if scanner.pixels is not None:
                tail = _scan_inflated_tail(inflation, inflated, scanner.pixels, start, dataset)
                if not inflation.has_ended and len(data) < size:
                    raise EndOfBuffer("the deflated dataset goes on")
                return tail | dataset, scanner.pixels
            if complete and not inflation.has_ended:
                raise EndOfBuffer("the deflated dataset is cut off")
            if complete:
                return dataset, None
        if wanted >= MAX_INFLATED:
            raise Malformed(f"no Pixel Data in the first {MAX_INFLATED} bytes of a deflated dataset")
        wanted *= 4


def _scan_inflated_tail(inflation: Inflation, inflated: bytes, pixels: Pixels, start: int, dataset: Dataset) -> Dataset:
    """Read the elements after Pixel Data of a deflated dataset. Raises `EndOfBuffer` if Pixel Data is cut off."""
    if pixels.length is None:
        return {}
    end = pixels.offset + pixels.length - start
    missing = end - len(inflated)
    if missing > 0 and inflation.skip(missing) < missing:
        raise EndOfBuffer(f"{pixels.keyword} is cut off: the deflated dataset ends before its {pixels.length} bytes")
    tail = inflated[end:] + inflation.read(MAX_INFLATED)
    try:
        return Scanner(tail, explicit=True, shift=start + end).scan(0, _charset_of(dataset))
    except Malformed:
        return {}  # padding or garbage


def _scan_tail(data: bytes | mmap, start: int, size: int, descriptor: int, syntax: str, dataset: Dataset) -> Dataset:
    """Read the elements after Pixel Data; bytes there that are not well-formed are padding or garbage, and ignored."""
    if start >= size:
        return {}
    tail = data if len(data) == size else os.pread(descriptor, HEAD, start)
    shift = 0 if len(data) == size else start
    scanner = Scanner(tail, explicit=syntax != IMPLICIT, order=">" if syntax == BIG_ENDIAN else "<", shift=shift)
    try:
        return scanner.scan(start - shift, _charset_of(dataset))
    except EndOfBuffer:
        if start + len(tail) < size and len(data) < size:
            raise
    except Malformed:
        pass
    return {}


def _charset_of(dataset: Dataset) -> CharacterSet:
    values = dataset.get("00080005", {}).get("Value")
    return character_set(tuple(str(term or "") for term in values)) if isinstance(values, list) else DEFAULT


def _header(
    dataset: Dataset, pixels: Pixels | None, meta: dict[int, str], syntax: str, start: int, size: int
) -> Header:
    attributes = attributes_of(dataset)
    for field, key in _IDS.items():
        # Several values are one with a backslash in it.
        values = dataset.get(key, {}).get("Value")
        many = isinstance(values, list) and len(values) > 1
        check_uid("\\".join(map(str, values)) if many else str(attributes[field] or ""), field)
    attributes["transfer_syntax_uid"] = syntax
    sop_class = attributes["sop_class_uid"] = attributes["sop_class_uid"] or meta.get(0x0002) or None
    layout = Layout(
        transfer_syntax=syntax,
        sop_class=str(sop_class or ""),
        dataset_offset=start,
        header_end=pixels.start if pixels else size,
        pixel_keyword=pixels.keyword if pixels else None,
        pixel_offset=pixels.offset if pixels else None,
        pixel_length=pixels.length if pixels else None,
        photometric_interpretation=_first(dataset, "00280004", str),
        **{field: _first(dataset, key, int) for field, key in _LAYOUT_KEYS.items()},
        **_rescale(dataset),
    )
    # The model has its elements in the order of tags (PS3.18 F.2.2), whatever a file has.
    return Header(attributes, orjson.dumps(dataset, option=orjson.OPT_SORT_KEYS), layout)


def _first(dataset: Dataset, key: str, kind: type) -> Any:
    values = dataset.get(key, {}).get("Value")
    return values[0] if isinstance(values, list) and values and isinstance(values[0], kind) else None


def _rescale(dataset: Dataset) -> dict[str, Any]:
    """Read slope and intercept; return nothing where there is a lookup table, values by frame, or no valid number."""
    if not _ELSEWHERE.isdisjoint(dataset):
        return {}
    found = []
    for key, otherwise in (("00281053", 1.0), ("00281052", 0.0)):
        values = dataset.get(key, {}).get("Value") or [otherwise]
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
            return {}
        found.append(float(values[0]))
    # A slope of 0 would make all pixels one; real files have it where nothing was meant.
    return {"rescale_slope": found[0] or 1.0, "rescale_intercept": found[1]}
