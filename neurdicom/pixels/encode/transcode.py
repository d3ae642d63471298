"""Transcoding of a stored file to another transfer syntax, frame by frame, with one of them in memory at a time."""

import shutil
import struct
import zlib
from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, UID

from neurdicom.dicom.codec.reencode import ConvertPixels, Replacements
from neurdicom.dicom.codec.transfer_syntaxes import DEFLATED_EXPLICIT, EXPLICIT, IMPLICIT
from neurdicom.dicom.edits.apply import rewrite_header
from neurdicom.dicom.header import Layout
from neurdicom.errors import Malformed, NotAvailable
from neurdicom.pixels.decode.elements import BROKEN
from neurdicom.pixels.decode.image_pixel import ImagePixel
from neurdicom.pixels.decode.native import native_bytes
from neurdicom.pixels.decode.source import Source
from neurdicom.pixels.encode.codecs import ENCODERS
from neurdicom.pixels.encode.dataset_bytes import DatasetBytes, open_dataset
from neurdicom.pixels.encode.description import pixel_element
from neurdicom.pixels.encode.icons import convert_item
from neurdicom.pixels.encode.native_value import NativeValue, is_native
from neurdicom.pixels.encode.outgoing import OutgoingFrames

Write = Callable[[bytes], object]

_NATIVE = (IMPLICIT, EXPLICIT, DEFLATED_EXPLICIT)
_UNDEFINED = 0xFFFFFFFF
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"

_IMAGE_TYPE, _SOP_CLASS, _SOP_INSTANCE = 0x00080008, 0x00080016, 0x00080018
_LOSSY, _LOSSY_METHOD = 0x00282110, 0x00282114


def targets() -> list[str]:
    """List the UIDs of the transfer syntaxes that files can be written in."""
    return [*_NATIVE, *ENCODERS]


def transcode(path: str | Path, layout: Layout, target: str, output: str | Path, edits: Sequence[Any] = ()) -> int:
    """Write a file in another transfer syntax, with edits applied.

    Elements keep their values, those after Pixel Data too; left out are Digital Signatures, which the new bytes would
    break, padding, and group lengths. Native pixel data stays as it is in another native transfer syntax, and all of
    it in the file's own. The compressed pixels of icons become native, and icons that can't be decoded are left out.
    A lossy target makes another SOP instance, with a SOP Instance UID of its own, the same for every call.

    Parameters
    ----------
    path : path
        The DICOM file.
    layout : Layout
        Its layout.
    target : str
        Transfer Syntax UID, one of `targets()`.
    output : path
        The file to write.
    edits : sequence
        Edits, as for `dicom.edits.apply.rewrite_header`.

    Returns
    -------
    int
        Size of `output` in bytes.

    Raises
    ------
    NotAvailable
        The transfer syntax can't be written, or can't hold these pixels, or they can't be decoded.
    NotFound
        The file is gone.
    """
    path, output = Path(path), Path(output)
    if target == layout.transfer_syntax:
        return _copy(path, layout, output, edits)
    if target not in _NATIVE and target not in ENCODERS:
        raise NotAvailable(f"files can't be given in transfer syntax {target!r}; {', '.join(targets())} are possible")
    try:
        with open_dataset(path, layout, edits) as dataset:
            return _write(path, layout, target, output, dataset)
    except Malformed as error:
        raise NotAvailable(f"the dataset can't be written, an element in it is broken: {error}") from error


def _write(path: Path, layout: Layout, target: str, output: Path, dataset: DatasetBytes) -> int:
    pixels = _pixels(path, layout, target)
    replaced: dict[int, tuple[str, bytes] | None] = {}
    if isinstance(pixels, OutgoingFrames):
        replaced.update(pixels.description())
    encoder = ENCODERS.get(target)
    if encoder is not None and encoder.lossy is not None:
        replaced.update(_derive(dataset, encoder.lossy))
    prefix = _prefix(dataset, layout, target, replaced)
    convert: ConvertPixels = partial(convert_item, transfer_syntax=layout.transfer_syntax)
    explicit = target != IMPLICIT

    def write_dataset(write: Write) -> None:
        for piece in dataset.encode_header(replaced, convert, explicit=explicit):
            write(piece)
        if pixels is not None and (encoder is None or isinstance(pixels, NativeValue)):
            _write_native(write, pixels, explicit)
        elif pixels is not None:
            _write_encapsulated(file, pixels)
        for piece in dataset.encode_tail(convert, explicit=explicit):
            write(piece)

    with output.open("wb") as file:
        file.write(prefix)
        if target != DEFLATED_EXPLICIT:
            write_dataset(file.write)
            return file.tell()
        deflater = zlib.compressobj(6, wbits=-zlib.MAX_WBITS)
        write_dataset(lambda data: file.write(deflater.compress(data)))
        file.write(deflater.flush())
        file.write(bytes(file.tell() % 2))
        return file.tell()


def _pixels(path: Path, layout: Layout, target: str) -> OutgoingFrames | NativeValue | None:
    """Prepare the pixel data to be written. Raises `NotAvailable`."""
    if layout.pixel_keyword is None:
        if target in ENCODERS:
            raise NotAvailable(
                "this instance has no pixel data, so it can't be written in a compressed transfer syntax"
            )
        return None
    if target in _NATIVE and is_native(layout):
        return NativeValue(path, layout)
    frames = OutgoingFrames(path, layout, ENCODERS.get(target))
    if target in _NATIVE and frames.length >= _UNDEFINED - 1:
        raise NotAvailable(f"the uncompressed pixel data has {frames.length} bytes; a native value has less than 4 GiB")
    if target in ENCODERS and 4 * frames.form.frames >= _UNDEFINED:
        raise NotAvailable(f"a Basic Offset Table has no room for {frames.form.frames} frames")
    return frames


def frame_bytes(path: str | Path, layout: Layout, number: int, target: str) -> bytes:
    """Encode one frame as the pixel data that `transcode` writes would hold it.

    Parameters
    ----------
    path : path
        The DICOM file.
    layout : Layout
        Its layout.
    number : int
        Frame number, from 1.
    target : str
        Transfer Syntax UID, one of `targets()`.

    Returns
    -------
    bytes
        Native cells or a codestream.

    Raises
    ------
    Invalid
        The frame number is out of range.
    NotAvailable, NotFound
        As `transcode`.
    """
    if target not in _NATIVE and target not in ENCODERS:
        raise NotAvailable(f"frames can't be given in transfer syntax {target!r}; {', '.join(targets())} are possible")
    form = ImagePixel.of(layout)
    index = form.index(number)
    if target in _NATIVE and is_native(layout):
        with Source(path, layout) as source:
            return native_bytes(source, layout, form, index)
    encoder = ENCODERS.get(target)
    if encoder is not None and encoder.encode_described is not None and (form.photometric, form.samples) == ("RGB", 3):
        encoder = replace(encoder, encode=encoder.encode_described)
    frames = OutgoingFrames(path, layout, encoder, only=number)
    return b"".join(frames.encoded() if target in ENCODERS else frames.native())


def _copy(path: Path, layout: Layout, output: Path, edits: Sequence[Any]) -> int:
    header, start = rewrite_header(path, layout, edits) if edits else (b"", 0)
    with path.open("rb") as source, output.open("wb") as file:
        file.write(header)
        source.seek(start)
        shutil.copyfileobj(source, file, 1 << 20)
        return file.tell()


def _derive(dataset: DatasetBytes, method: str) -> Replacements:
    """Describe another SOP instance, made by a lossy method."""
    values = dataset.values(_IMAGE_TYPE, _SOP_INSTANCE, _LOSSY_METHOD)
    digest = sha256(f"{_text(values.get(_SOP_INSTANCE, b''))} {method}".encode()).digest()
    methods = [*filter(None, [_text(values.get(_LOSSY_METHOD, b""))]), method]
    kept = _text(values.get(_IMAGE_TYPE, b"")).split("\\")[1:]
    return {
        _SOP_INSTANCE: ("UI", f"2.25.{int.from_bytes(digest[:16], 'big')}".encode()),
        _LOSSY: ("CS", b"01"),
        _LOSSY_METHOD: ("CS", "\\".join(methods).encode("latin_1")),
        _IMAGE_TYPE: ("CS", "\\".join(["DERIVED", *(kept or ["SECONDARY"])]).encode("latin_1")),
    }


def _text(value: bytes) -> str:
    return value.decode("latin_1").strip(" \0")


def _prefix(dataset: DatasetBytes, layout: Layout, target: str, replaced: Replacements) -> bytes:
    """Encode the preamble and File Meta Information (PS3.10 7.1)."""
    values = dataset.values(_SOP_CLASS, _SOP_INSTANCE)
    _, instance = replaced.get(_SOP_INSTANCE) or ("UI", values.get(_SOP_INSTANCE, b""))
    fresh = FileMetaDataset()
    fresh.MediaStorageSOPClassUID = UID(_text(values.get(_SOP_CLASS, b"")) or layout.sop_class)
    fresh.MediaStorageSOPInstanceUID = UID(_text(instance))
    fresh.TransferSyntaxUID = UID(target)
    fresh.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    buffer = DicomBytesIO()
    buffer.write(b"\0" * 128 + b"DICM")
    try:
        write_file_meta_info(buffer, fresh)
    except BROKEN as error:
        raise NotAvailable(f"the File Meta Information of this file can't be written: {error}") from error
    return buffer.getvalue()


def _write_native(write: Write, pixels: OutgoingFrames | NativeValue, explicit: bool) -> None:
    length = pixels.length + pixels.length % 2
    if isinstance(pixels, NativeValue):
        write(_head(pixels.tag, pixels.vr, length, explicit))
        pieces = pixels.pieces()
    else:
        write(_head(*pixel_element(pixels.form, pixels.bits), length, explicit))
        pieces = pixels.native()
    for piece in pieces:
        write(piece)
    write(bytes(pixels.length % 2))


def _write_encapsulated(file: BinaryIO, frames: OutgoingFrames) -> None:
    file.write(_head(0x7FE00010, "OB", _UNDEFINED, explicit=True))
    count = frames.form.frames
    file.write(_ITEM + struct.pack("<I", 4 * count))
    table = file.tell()
    base, offsets = table + 4 * count, array("I")
    # A gap for the table; it takes no room before all the frames turn out to be there.
    file.seek(base)
    for data in frames.encoded():
        offset = file.tell() - base
        if offset >= _UNDEFINED:
            raise NotAvailable("the compressed pixel data has more than the 4 GiB that a Basic Offset Table reaches")
        offsets.append(offset)
        file.write(_ITEM + struct.pack("<I", len(data)))
        file.write(data)
    file.write(_END)
    file.seek(table)
    file.write(np.asarray(offsets, "<u4").tobytes())
    file.seek(0, 2)


def _head(tag: int, vr: str, length: int, explicit: bool) -> bytes:
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    return head + (vr.encode() + struct.pack("<HI", 0, length) if explicit else struct.pack("<I", length))
