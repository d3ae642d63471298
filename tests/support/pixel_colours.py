"""Files of one picture in every form that colours are stored in, also where the header contradicts the codestream."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from rle.utils import encode_pixel_data

from neurdicom.dicom.header import Layout
from tests.support.pixel_files import encapsulated, make_file

ROWS, COLUMNS = 24, 32
_Y, _X = np.mgrid[0:ROWS, 0:COLUMNS]
#: The picture: red on the left, green and blue elsewhere, without edges, so that subsampled chroma keeps it.
PICTURE = np.stack([255 - _X * 7, 40 + _Y * 6, 20 + _X * 6], axis=-1).astype("u1")

DEFLATED_FRAME = "1.2.840.10008.1.2.8.1"
_ADOBE_RGB, _ADOBE_YCBCR = (b"\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0" + bytes([transform]) for transform in (0, 1))


def to_ycbcr(rgb: np.ndarray, *, partial: bool = False) -> np.ndarray:
    """Convert by PS3.3 C.7.6.3.1.2, where it writes the equations of YBR_FULL and YBR_PARTIAL_422 out."""
    full = [[0.2990, 0.5870, 0.1140], [-0.1687, -0.3313, 0.5000], [0.5000, -0.4187, -0.0813]]
    part = [[0.2568, 0.5041, 0.0979], [-0.1482, -0.2910, 0.4392], [0.4392, -0.3678, -0.0714]]
    offset = [16, 128, 128] if partial else [0, 128, 128]
    return np.clip(np.rint(rgb @ np.array(part if partial else full).T + offset), 0, 255).astype("u1")


def to_rgb(ycbcr: np.ndarray) -> np.ndarray:
    """Convert YBR_FULL back, by the inverse of the same equations."""
    y, cb, cr = (ycbcr[..., sample].astype(float) for sample in range(3))
    rgb = np.stack([y + 1.402 * (cr - 128), y - 0.344 * (cb - 128) - 0.714 * (cr - 128), y + 1.772 * (cb - 128)], -1)
    return np.clip(np.rint(rgb), 0, 255)


def jpeg(samples: np.ndarray, subsampling: str = "444", marker: bytes = b"", ids: bytes = b"\1\2\3") -> bytes:
    """Encode three samples as they are; no marker tells what they are but the given one."""
    stream = bytes(
        imagecodecs.jpeg8_encode(samples, level=98, subsampling=subsampling, colorspace="YCBCR", outcolorspace="YCBCR")
    )
    return _named(stream, b"\xff\xc0", ids, marker)


def _named(stream: bytes, frame_header: bytes, ids: bytes, marker: bytes = b"") -> bytes:
    """Replace the first marker segment of a codestream, and the identifiers of its components."""
    stream = stream[:2] + marker + stream[4 + struct.unpack(">H", stream[4:6])[0] :]
    frame, scan = stream.index(frame_header), stream.index(b"\xff\xda")
    changed = bytearray(stream)
    for number, name in enumerate(ids):
        changed[frame + 10 + 3 * number] = changed[scan + 5 + 2 * number] = name
    return bytes(changed)


def jfif(samples: np.ndarray, subsampling: str) -> bytes:
    """Encode YCbCr with a JFIF marker."""
    return jpeg(samples, subsampling, b"\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0")


def halved(ycbcr: np.ndarray) -> bytes:
    """Pack YCbCr in 4:2:2: Y1 Y2 CB CR."""
    packed = np.empty((ROWS, COLUMNS // 2, 4), "u1")
    packed[..., 0], packed[..., 1] = ycbcr[:, 0::2, 0], ycbcr[:, 1::2, 0]
    packed[..., 2:] = (ycbcr[:, 0::2, 1:].astype(int) + ycbcr[:, 1::2, 1:]) // 2
    return packed.tobytes()


@dataclass(frozen=True)
class ColourForm:
    """A form of the picture.

    Attributes
    ----------
    name : str
    syntax : str or None
        Transfer syntax UID; None is native.
    photometric : str or None
        What the file says.
    pixels : bytes
        A codestream, or native samples.
    elements : dict
        Further elements of the file.
    """

    name: str
    syntax: str | None
    photometric: str | None
    pixels: bytes
    elements: dict[str, Any]

    def write(self, path: Path) -> tuple[Path, Layout]:
        """Write the file."""
        elements: dict[str, Any] = {
            "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7",
            "SamplesPerPixel": 3,
            "PlanarConfiguration": 0,
            "PhotometricInterpretation": self.photometric,
            "BitsAllocated": 8,
            "Rows": ROWS,
            "Columns": COLUMNS,
            "Modality": "OT",
            **self.elements,
        }
        if self.syntax is not None:
            elements["transfer_syntax"] = self.syntax
        return make_file(path, self.pixels if self.syntax is None else encapsulated([self.pixels]), **elements)


def _rle(samples: np.ndarray) -> bytes:
    return bytes(
        encode_pixel_data(
            samples.tobytes(), byteorder="<", rows=ROWS, columns=COLUMNS, samples_per_pixel=3, bits_allocated=8,
            bits_stored=8, number_of_frames=1, pixel_representation=0, photometric_interpretation="RGB",
        )
    )  # fmt: skip


def _j2k(samples: np.ndarray, *, transformed: bool) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(samples, level=0, reversible=True, codecformat="J2K", mct=transformed))


def _jp2(samples: np.ndarray) -> bytes:
    """Encode a JP2 file, which DICOM has no place for, whose own header says YCbCr."""
    return bytes(imagecodecs.jpeg2k_encode(samples, level=0, reversible=True, colorspace="SYCC", mct=False))


def _after_frame_header(stream: bytes, marker: bytes) -> bytes:
    """Move a marker segment behind the frame header, where it may be too."""
    rest = stream.replace(marker, b"", 1)
    scan = rest.index(b"\xff\xda")
    return rest[:scan] + marker + rest[scan:]


def _lossless(samples: np.ndarray, ids: bytes = b"\1\2\3") -> bytes:
    stream = imagecodecs.jpeg8_encode(samples, lossless=True, predictor=1, colorspace="RGB", outcolorspace="RGB")
    return _named(bytes(stream), b"\xff\xc3", ids)


def _deflated(samples: np.ndarray) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(samples.tobytes()) + deflater.flush()


def _palette(entries: str) -> dict[str, Any]:
    """Elements of a palette that has the picture's colours, each pixel its own."""
    colours = PICTURE.reshape(-1, 3)
    elements: dict[str, Any] = {"SamplesPerPixel": 1, "PlanarConfiguration": None, "BitsAllocated": 16}
    bits = 8 * np.dtype(entries).itemsize
    for index, colour in enumerate(("Red", "Green", "Blue")):
        elements[f"{colour}PaletteColorLookupTableDescriptor"] = [len(colours), 0, bits]
        table = colours[:, index].astype(entries) * (257 if bits == 16 else 1)
        elements[f"{colour}PaletteColorLookupTableData"] = table.astype(entries).tobytes()
    return elements


def _forms() -> Iterator[ColourForm]:
    full, partial = to_ycbcr(PICTURE), to_ycbcr(PICTURE, partial=True)

    def form(name: str, syntax: str | None, photometric: str | None, pixels: bytes, **elements: Any) -> ColourForm:
        return ColourForm(f"{name} as {photometric}", syntax, photometric, pixels, elements)

    for said in ("RGB", "YBR_FULL_422", "YBR_FULL", "YBR_ICT", "YBR_PARTIAL_420", "MONOCHROME2", "", None):
        yield form("JPEG 420", JPEGBaseline8Bit, said, jpeg(full, "420"))
    for subsampling in ("422", "411"):
        yield form(f"JPEG {subsampling}", JPEGBaseline8Bit, "RGB", jpeg(full, subsampling))
    yield form("JPEG 420 extended", JPEGExtended12Bit, "RGB", jpeg(full, "420"))
    yield form("JPEG 420 called lossless", JPEGLosslessSV1, "YBR_FULL", jpeg(full, "420"))
    for said in ("YBR_FULL_422", "YBR_FULL", "YBR_PARTIAL_422", None):
        yield form("JPEG 444", JPEGBaseline8Bit, said, jpeg(full))
    yield form("JPEG 444 of RGB", JPEGBaseline8Bit, "RGB", jpeg(PICTURE))
    for said in ("RGB", "YBR_FULL_422", "YBR_FULL", None):
        yield form("JPEG with JFIF", JPEGBaseline8Bit, said, jfif(full, "420"))
        yield form("JPEG with JFIF 444", JPEGBaseline8Bit, said, jfif(full, "444"))
        yield form("JPEG with Adobe 0", JPEGBaseline8Bit, said, jpeg(PICTURE, marker=_ADOBE_RGB))
        yield form("JPEG with Adobe 1", JPEGBaseline8Bit, said, jpeg(full, marker=_ADOBE_YCBCR))
        late = _after_frame_header(jpeg(PICTURE, marker=_ADOBE_RGB), _ADOBE_RGB)
        yield form("JPEG with Adobe 0 after its frame header", JPEGBaseline8Bit, said, late)
        yield form("JPEG with R, G, B", JPEGBaseline8Bit, said, jpeg(PICTURE, ids=b"RGB"))
        yield form("JPEG with r, g, b", JPEGBaseline8Bit, said, jpeg(PICTURE, ids=b"rgb"))
    for said in ("RGB", "YBR_FULL", "YBR_FULL_422"):
        yield form("lossless JPEG with R, G, B", JPEGLosslessSV1, said, _lossless(PICTURE, b"RGB"))
    for said in ("RGB", "YBR_RCT", "YBR_ICT", "YBR_FULL", "YBR_FULL_422"):
        yield form("JPEG 2000 with a transform", JPEG2000Lossless, said, _j2k(PICTURE, transformed=True))
    for said in ("RGB", "YBR_FULL"):
        yield form("JP2 of sYCC", JPEG2000Lossless, said, _jp2(full))
    for said in ("RGB", "YBR_RCT", "YBR_ICT"):
        yield form("JPEG 2000", JPEG2000Lossless, said, _j2k(PICTURE, transformed=False))
    yield form("JPEG 2000", JPEG2000Lossless, "YBR_FULL", _j2k(full, transformed=False))
    codecs = {
        "lossless JPEG": (JPEGLosslessSV1, _lossless),
        "JPEG 2000": (JPEG2000Lossless, lambda samples: _j2k(samples, transformed=False)),
        "JPEG-LS": (JPEGLSLossless, lambda samples: bytes(imagecodecs.jpegls_encode(samples))),
        "RLE": (RLELossless, _rle),
        "deflated": (DEFLATED_FRAME, _deflated),
        "native": (None, lambda samples: samples.tobytes()),
    }
    for name, (syntax, encode) in codecs.items():
        samples = {"RGB": PICTURE, "YBR_FULL": full, "YBR_FULL_422": full, "YBR_PARTIAL_422": partial}
        for said, each in samples.items():
            yield form(f"{name}, whole", syntax, said, encode(np.ascontiguousarray(each)))
    for said, each in (("RGB", PICTURE), ("YBR_FULL", full)):
        planes = np.ascontiguousarray(each.transpose(2, 0, 1)).tobytes()
        yield form("native in planes", None, said, planes, PlanarConfiguration=1)
    yield form("native, halved", None, "YBR_FULL_422", halved(full))
    yield form("native, halved", None, "YBR_PARTIAL_422", halved(partial))
    indices = np.arange(ROWS * COLUMNS, dtype="<u2").tobytes()
    for entries in ("u1", "<u2"):
        yield form(f"{entries} entries", None, "PALETTE COLOR", indices, **_palette(entries))


FORMS = list({form.name: form for form in _forms()}.values())
