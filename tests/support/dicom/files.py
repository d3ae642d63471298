"""DICOM files made byte by byte, so that tests can make wrong ones too."""

import struct
import zlib

LONG = {b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"UV", b"SV"}
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
#: Transfer syntaxes whose dataset is deflated as a whole: also JPIP's.
ALL_DEFLATED = (DEFLATED, "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205")
UNDEFINED = 0xFFFFFFFF


class ElementWriter:
    """Writes elements in one transfer syntax."""

    def __init__(self, syntax: str = EXPLICIT) -> None:
        self.syntax = syntax
        self.order = ">" if syntax == BIG_ENDIAN else "<"
        self.explicit = syntax != IMPLICIT

    def element(self, tag: int, vr: str, value: bytes | str, length: int | None = None) -> bytes:
        """Encode one element; a value of odd length is padded, unless the length is given."""
        raw = value.encode("latin_1") if isinstance(value, str) else value
        if length is None:
            raw += (b"\0" if vr in ("UI", "OB", "UN") else b" ") * (len(raw) & 1)
            length = len(raw)
        head = struct.pack(self.order + "HH", tag >> 16, tag & 0xFFFF)
        if not self.explicit:
            return head + struct.pack(self.order + "I", length) + raw
        if vr.encode() in LONG:
            return head + vr.encode() + b"\0\0" + struct.pack(self.order + "I", length) + raw
        return head + vr.encode() + struct.pack(self.order + "H", length) + raw

    def us(self, tag: int, *values: int) -> bytes:
        """An element of unsigned shorts."""
        return self.element(tag, "US", struct.pack(f"{self.order}{len(values)}H", *values))

    def item(self, content: bytes, *, undefined: bool = False) -> bytes:
        """An item of a sequence."""
        length = UNDEFINED if undefined else len(content)
        end = struct.pack(self.order + "HHI", 0xFFFE, 0xE00D, 0) if undefined else b""
        return struct.pack(self.order + "HHI", 0xFFFE, 0xE000, length) + content + end

    def sequence(self, tag: int, *items: bytes, undefined: bool = False, vr: str = "SQ") -> bytes:
        """A sequence of items."""
        content = b"".join(items)
        if not undefined:
            return self.element(tag, vr, content)
        end = struct.pack(self.order + "HHI", 0xFFFE, 0xE0DD, 0)
        return self.element(tag, vr, b"", UNDEFINED) + content + end

    def ids(self, study: str = "1.2.3", series: str = "1.2.3.4", instance: str = "1.2.3.4.5") -> bytes:
        """The UIDs of study and series; that of the instance comes before, in `dataset`."""
        return self.element(0x0020000D, "UI", study) + self.element(0x0020000E, "UI", series)

    def dataset(
        self, before: bytes = b"", middle: bytes = b"", after: bytes = b"", charset: str | None = None
    ) -> bytes:
        """A dataset with what every instance has: `before` follows (0008,0018), `middle` is of group 0010."""
        head = self.element(0x00080005, "CS", charset) if charset is not None else b""
        head += self.element(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.2") + self.element(
            0x00080018, "UI", "1.2.3.4.5"
        )
        return head + before + middle + self.ids() + after

    def image(self, rows: int = 2, columns: int = 3) -> bytes:
        """The Image Pixel module, and pixels of 16 bits."""
        return (
            self.us(0x00280002, 1)
            + self.element(0x00280004, "CS", "MONOCHROME2")
            + self.us(0x00280010, rows)
            + self.us(0x00280011, columns)
            + b"".join(
                self.us(tag, value) for tag, value in zip(range(0x00280100, 0x00280104), (16, 12, 11, 0), strict=True)
            )
            + self.element(0x7FE00010, "OW", bytes(2 * rows * columns))
        )

    def file(self, dataset: bytes | None = None) -> bytes:
        """A whole file."""
        dataset = self.dataset() if dataset is None else dataset
        meta = ElementWriter()
        body = (
            meta.element(0x00020001, "OB", b"\0\1")
            + meta.element(0x00020002, "UI", "1.2.840.10008.5.1.4.1.1.2")
            + meta.element(0x00020003, "UI", "1.2.3.4.5")
            + meta.element(0x00020010, "UI", self.syntax)
        )
        group_length = meta.element(0x00020000, "UL", struct.pack("<I", len(body)))
        if self.syntax in ALL_DEFLATED:
            deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            dataset = deflater.compress(dataset) + deflater.flush()
        return bytes(128) + b"DICM" + group_length + body + dataset
