"""Transcoding of a stored file to another transfer syntax, frame by frame, with one of them in memory at a time."""

import contextlib
import shutil
import struct
import warnings
import zlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, UID

from neurdicom.dicom.codec.transfer_syntaxes import DEFLATED_EXPLICIT
from neurdicom.dicom.edits.apply import edit_dataset, rewrite_header
from neurdicom.dicom.header import Layout
from neurdicom.errors import NotAvailable
from neurdicom.pixels.decode.codecs import CODECS
from neurdicom.pixels.decode.elements import BROKEN, read_whole_header
from neurdicom.pixels.decode.image_pixel import ImagePixel
from neurdicom.pixels.decode.native import EXPLICIT, IMPLICIT, check_frames
from neurdicom.pixels.encode.codecs import ENCODERS, Encoder
from neurdicom.pixels.pipeline import load_uncoloured

Array = npt.NDArray[Any]
Write = Callable[[bytes], object]

_NATIVE = (IMPLICIT, EXPLICIT, DEFLATED_EXPLICIT)
_UNDEFINED = 0xFFFFFFFF
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"

#: Elements that no longer hold when Pixel Data is encoded anew.
_STALE = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "EncapsulatedPixelDataValueTotalLength")


def targets() -> list[str]:
    """List the UIDs of the transfer syntaxes that files can be written in."""
    return [*_NATIVE, *ENCODERS]


def transcode(path: str | Path, layout: Layout, target: str, output: str | Path, edits: Sequence[Any] = ()) -> int:
    """Write a file in another transfer syntax, with edits applied.

    In the file's own transfer syntax the pixel data is copied. Otherwise elements after it are left out: they are
    padding, or signatures that the new bytes would break. A lossy target makes another SOP instance, with a SOP
    Instance UID of its own, the same for every call.

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
        Edits, as for `dicom.edits.apply.edit_dataset`.

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
    if target == layout.transfer_syntax:
        return _copy(Path(path), layout, Path(output), edits)
    if target not in _NATIVE and target not in ENCODERS:
        raise NotAvailable(f"files can't be given in transfer syntax {target!r}; {', '.join(targets())} are possible")
    form = ImagePixel.of(layout) if layout.pixel_keyword is not None else None
    encoder = ENCODERS.get(target)
    with warnings.catch_warnings():
        # pydicom warns of unusual elements, which were known at ingest and which the client can't change.
        warnings.simplefilter("ignore")
        ds = read_whole_header(path, layout)
        if edits:
            edit_dataset(ds, edits)
        frames = _Frames(path, layout, form, encoder) if form is not None else None
        if frames is not None:
            frames.describe(ds)
        if encoder is not None and encoder.lossy is not None:
            _derive(ds, encoder.lossy)
        prefix, header = _prefix(ds, layout, target), _encoded(ds, target)
    with Path(output).open("wb") as file:
        file.write(prefix)
        if target == DEFLATED_EXPLICIT:
            deflater = zlib.compressobj(6, wbits=-zlib.MAX_WBITS)
            _write_native(lambda data: file.write(deflater.compress(data)), header, frames, target)
            file.write(deflater.flush())
            file.write(bytes(file.tell() % 2))
        elif encoder is None:
            _write_native(file.write, header, frames, target)
        else:
            _write_encapsulated(file, header, frames)
        return file.tell()


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
    form.index(number)
    frames = _Frames(path, layout, form, ENCODERS.get(target), only=number)
    return b"".join(frames.encoded() if target in ENCODERS else frames.native())


def _copy(path: Path, layout: Layout, output: Path, edits: Sequence[Any]) -> int:
    header, start = rewrite_header(path, layout, edits) if edits else (b"", 0)
    with path.open("rb") as source, output.open("wb") as file:
        file.write(header)
        source.seek(start)
        shutil.copyfileobj(source, file, 1 << 20)
        return file.tell()


class _Frames:
    """The frames of a file, or one of them, in the form of the new file, and their description for its header."""

    def __init__(
        self, path: str | Path, layout: Layout, form: ImagePixel, encoder: Encoder | None, only: int | None = None
    ) -> None:
        self._numbers = range(1, form.frames + 1) if only is None else (only,)
        self._path, self._layout, self.form, self._encoder = path, layout, form, encoder
        if layout.transfer_syntax not in CODECS and only is None:
            # Not halfway through the output.
            check_frames(layout, form)
        first, self.photometric = load_uncoloured(path, layout, self._numbers[0])
        self._first: Array | None = first
        self._rgb = self.photometric == "RGB"
        self.bits = 1 if form.bits_allocated == 1 else first.dtype.itemsize * 8
        if encoder is not None:
            if form.is_float or form.samples == 4 or self.bits not in encoder.bits:
                kind = "float" if form.is_float else f"{self.bits}-bit"
                raise NotAvailable(f"{kind} pixels of {form.samples} samples can't be given in this transfer syntax")
            if encoder.lossy and (form.signed or form.bits_stored != self.bits):
                # PS3.5 8.2.1: the values of a lossy codec may exceed fewer bits, or change their sign.
                sign = "signed" if form.signed else "unsigned"
                raise NotAvailable(
                    f"{sign} pixels with Bits Stored {form.bits_stored} can't be given in this transfer syntax; "
                    f"it takes unsigned ones of {self.bits} bits"
                )
            if encoder.lossy and form.photometric == "PALETTE COLOR":
                raise NotAvailable("a lossy transfer syntax would change the indices of a palette")
            # YBR_FULL is kept in a lossless codestream; a baseline one is 4:2:2 whatever its input was.
            if form.samples == 3 and (self._rgb or encoder.lossy):
                self.photometric = encoder.colour

    @property
    def length(self) -> int:
        """Length of the native value in bytes, before padding."""
        return (self.form.frames * self.form.count * self.bits + 7) // 8

    def describe(self, ds: Dataset) -> None:
        """Update the Image Pixel module of a dataset to the frames as they are written."""
        for keyword in _STALE:
            if keyword in ds:
                delattr(ds, keyword)
        ds.PhotometricInterpretation = self.photometric
        if self.form.samples > 1:
            ds.PlanarConfiguration = 0
        if not self.form.is_float:
            ds.BitsAllocated = self.bits
            ds.BitsStored = self.form.bits_stored
            ds.HighBit = self.form.bits_stored - 1

    def __iter__(self) -> Iterator[Array]:
        for number in self._numbers:
            first, self._first = self._first, None
            yield first if first is not None else load_uncoloured(self._path, self._layout, number)[0]

    def encoded(self) -> Iterator[bytes]:
        """Yield each frame's codestream, padded to even length."""
        assert self._encoder is not None
        for values in self:
            data = self._encoder.encode(values, self.form.bits_stored, self._rgb)
            yield data + bytes(len(data) % 2)

    def native(self) -> Iterator[bytes]:
        """Yield the bytes of the native value; frames of single bits share bytes."""
        if self.bits != 1:
            for values in self:
                yield values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
            return
        rest = np.empty(0, "u1")
        for values in self:
            bits = np.concatenate((rest, values.reshape(-1).astype("u1")))
            whole = len(bits) // 8 * 8
            yield np.packbits(bits[:whole], bitorder="little").tobytes()
            rest = bits[whole:]
        yield np.packbits(rest, bitorder="little").tobytes()


def _derive(ds: Dataset, method: str) -> None:
    digest = sha256(f"{ds.get('SOPInstanceUID')} {method}".encode()).digest()
    ds.SOPInstanceUID = f"2.25.{int.from_bytes(digest[:16], 'big')}"
    ds.LossyImageCompression = "01"
    with contextlib.suppress(*BROKEN):
        ds.LossyImageCompressionMethod = [*_values(ds, "LossyImageCompressionMethod"), method]
        kept = _values(ds, "ImageType")[1:]
        ds.ImageType = ["DERIVED", *(kept or ["SECONDARY"])]


def _values(ds: Dataset, keyword: str) -> list[str]:
    value = ds.get(keyword)
    return [] if not value else [value] if isinstance(value, str) else list(value)


def _prefix(ds: Dataset, layout: Layout, target: str) -> bytes:
    """Encode the preamble and File Meta Information (PS3.10 7.1)."""
    fresh = FileMetaDataset()
    fresh.MediaStorageSOPClassUID = UID(str(ds.get("SOPClassUID") or layout.sop_class))
    fresh.MediaStorageSOPInstanceUID = UID(str(ds.get("SOPInstanceUID", "")))
    fresh.TransferSyntaxUID = UID(target)
    fresh.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    buffer = DicomBytesIO()
    buffer.write(b"\0" * 128 + b"DICM")
    try:
        write_file_meta_info(buffer, fresh)
    except BROKEN as error:
        raise NotAvailable(f"the File Meta Information of this file can't be written: {error}") from error
    return buffer.getvalue()


def _encoded(ds: Dataset, target: str) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = target == IMPLICIT
    buffer.is_little_endian = True
    try:
        write_dataset(buffer, ds)
    except BROKEN as error:
        raise NotAvailable(f"the header can't be written, an element in it is broken: {error}") from error
    return buffer.getvalue()


def _write_native(write: Write, header: bytes, frames: _Frames | None, target: str) -> None:
    write(header)
    if frames is None:
        return
    length = frames.length + frames.length % 2
    if length >= _UNDEFINED:
        raise NotAvailable(f"the uncompressed pixel data has {length} bytes; a native value has less than 4 GiB")
    write(_element(frames, length, explicit=target != IMPLICIT))
    for piece in frames.native():
        write(piece)
    write(bytes(frames.length % 2))


def _write_encapsulated(file: BinaryIO, header: bytes, frames: _Frames | None) -> None:
    if frames is None:
        raise NotAvailable("this instance has no pixel data, so it can't be written in a compressed transfer syntax")
    file.write(header)
    file.write(_element(frames, _UNDEFINED, explicit=True, vr=b"OB"))
    count = frames.form.frames
    if 4 * count >= _UNDEFINED:
        raise NotAvailable(f"a Basic Offset Table has no room for {count} frames")
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


def _element(frames: _Frames, length: int, *, explicit: bool, vr: bytes | None = None) -> bytes:
    if frames.form.is_float:
        number, own = (0x0008, b"OF") if frames.bits == 32 else (0x0009, b"OD")
    else:
        number, own = 0x0010, b"OW" if frames.bits > 8 else b"OB"
    tag = struct.pack("<HH", 0x7FE0, number)
    if not explicit:
        return tag + struct.pack("<I", length)
    return tag + (vr or own) + struct.pack("<HI", 0, length)
