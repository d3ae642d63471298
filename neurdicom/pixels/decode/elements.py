"""Elements before Pixel Data that determine the meaning and the presentation of pixels."""

import struct
from collections.abc import Iterator
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag

from neurdicom.dicom.codec.transfer_syntaxes import DEFLATED
from neurdicom.dicom.header import Layout
from neurdicom.errors import NotAvailable
from neurdicom.pixels.decode.frame_groups import find_groups
from neurdicom.pixels.decode.native import BIG_ENDIAN, IMPLICIT
from neurdicom.pixels.decode.source import Source

_KEYWORDS = (
    "Modality",
    "SliceThickness",
    "SeriesInstanceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "PixelAspectRatio",
    "GridFrameOffsetVector",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "SmallestImagePixelValue",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    "RescaleIntercept",
    "RescaleSlope",
    "ModalityLUTSequence",
    "PresentationLUTShape",
    "MaximumFractionalValue",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData",
    "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData",
    "SharedFunctionalGroupsSequence",
)
_TAGS = [Tag(keyword) for keyword in _KEYWORDS]
_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}

#: Most bytes of a header that are held in memory.
_MAX_HEADER = 1 << 26

#: pydicom raises these on elements that it can't make sense of.
BROKEN = (ValueError, TypeError, KeyError, AttributeError, IndexError, OSError, EOFError, struct.error,
           NotImplementedError, RecursionError)  # fmt: skip


class Elements:
    """Lenient view of a dataset or item: broken elements count as absent.

    Values are read from the bytes in the file, so that they do not depend on other elements being well-formed.
    """

    def __init__(self, ds: Dataset, *, big: bool = False, signed: bool = False) -> None:
        self._ds = ds
        self._order = ">" if big else "<"
        self._signed = signed

    def beside(self, ds: Dataset) -> "Elements":
        """Return the view of another dataset of the same file."""
        return Elements(ds, big=self._order == ">", signed=self._signed)

    def text(self, keyword: str) -> str | None:
        """Read the first value of a code string, upper case; None if absent or empty."""
        value = self._value(keyword)
        if isinstance(value, bytes):
            value = value.decode("ascii", "replace")
        text = str(value or "").split("\\")[0].strip(" \0").upper()
        return text or None

    def values(self, keyword: str) -> list[float | None]:
        """Read the values of a DS, IS, US, SS, FL or FD; one that is empty or no finite number is None."""
        value = self._value(keyword)
        try:
            if isinstance(value, bytes):
                code = _BINARY.get(self._vr(keyword) or "")
                if code is None:
                    text = value.decode("ascii", "replace").strip(" \0")
                    return [_number(part) for part in text.split("\\")] if text else []
                count = len(value) // struct.calcsize("=" + code)
                return [_number(each) for each in struct.unpack_from(f"{self._order}{count}{code}", value)]
            if isinstance(value, (str, int, float)):
                return [_number(value)]
            return [_number(each) for each in value or ()]
        except BROKEN:
            return []

    def numbers(self, keyword: str) -> list[float]:
        """Read `values`; empty unless all of them are numbers."""
        values = self.values(keyword)
        found = [number for number in values if number is not None]
        return found if len(found) == len(values) else []

    def number(self, keyword: str) -> float | None:
        """Read the first of `values`; None if there is none."""
        return next(iter(self.values(keyword)), None)

    def data(self, keyword: str) -> bytes:
        """Read the bytes of a value as they are in the file; empty if absent."""
        value = self._value(keyword)
        if isinstance(value, bytes):
            return value
        try:
            return np.atleast_1d(np.asarray(value, f"{self._order}u2")).tobytes() if value else b""
        except BROKEN:
            return b""

    def words(self, keyword: str) -> npt.NDArray[np.uint16]:
        """Read the bytes of a value as an array of uint16 in native order, shape (words,)."""
        data = self.data(keyword)
        return np.frombuffer(data, f"{self._order}u2", len(data) // 2).astype("u2")

    def items(self, keyword: str) -> "Iterator[Elements]":
        """Yield the items of a sequence."""
        index = 0
        while (item := self.item(keyword, index)) is not None:
            yield item
            index += 1

    def item(self, keyword: str, index: int = 0) -> "Elements | None":
        """Return an item of a sequence; None if there is none."""
        try:
            items = self._ds[keyword].value if keyword in self._ds else ()
            if not isinstance(items, bytes) and 0 <= index < len(items):
                return Elements(items[index], big=self._order == ">", signed=self._signed)
        except BROKEN:
            pass
        return None

    def signed(self, keyword: str) -> bool:
        """Tell whether a "US or SS" value has a sign: by its VR, or, since writers forget it, by that of the pixels."""
        return self._signed or self._vr(keyword) == "SS"

    def _element(self, keyword: str) -> Any:
        tag = tag_for_keyword(keyword)
        return self._ds.get_item(tag) if tag is not None and tag in self._ds else None

    def _value(self, keyword: str) -> Any:
        element = self._element(keyword)
        return None if element is None else element.value

    def _vr(self, keyword: str) -> str | None:
        element = self._element(keyword)
        vr = None if element is None else element.VR
        if vr in (None, "UN") and keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
            return "SS" if self._signed else "US"
        return vr


class FrameHeader:
    """Elements that apply to one frame: per-frame and shared functional groups, and the top level (PS3.3 C.7.6.16)."""

    def __init__(self, top: Elements, own: Elements | None) -> None:
        self.top = top
        groups = own, top.item("SharedFunctionalGroupsSequence")
        self._groups = [group for group in groups if group is not None]

    def having(self, macro: str, *keywords: str) -> Iterator[Elements]:
        """Yield the items of a macro that have one of the keywords, the most specific first, and then the top level."""
        for group in self._groups:
            item = group.item(macro)
            if item is not None and any(item.data(keyword) or item.item(keyword) for keyword in keywords):
                yield item
        yield self.top


def read_header(path: Path | str, layout: Layout, index: int) -> FrameHeader:
    """Read the elements that rule a frame's presentation. Broken elements count as absent.

    Parameters
    ----------
    path : path
        The DICOM file.
    layout : Layout
        Its layout.
    index : int
        Index of the frame, from 0.

    Returns
    -------
    FrameHeader

    Raises
    ------
    NotFound
        The file is gone.
    NotAvailable
        The deflated dataset is broken, or its header is longer than 64 MiB.
    """
    with Source(path, layout) as source:
        top = _read(str(path), source.identity, layout)
        groups = find_groups(str(path), source.identity, layout, _MAX_HEADER)
        try:
            own = groups.item(source, index)
        except BROKEN:
            own = None
    return FrameHeader(top, None if own is None else top.beside(own))


@lru_cache(maxsize=16)
def _read(path: str, identity: tuple[int, ...], layout: Layout) -> Elements:
    big = layout.transfer_syntax == BIG_ENDIAN
    with _open(path, layout) as stream:
        try:
            ds = read_dataset(
                stream, layout.transfer_syntax == IMPLICIT, not big, stop_when=_at_frame_groups, specific_tags=[*_TAGS]
            )
        except BROKEN:
            # Ingest has read this header; elements that pydicom can't read count as absent.
            ds = Dataset()
    return Elements(ds, big=big, signed=layout.pixel_representation == 1)


def _open(path: Path | str, layout: Layout) -> BinaryIO:
    if layout.transfer_syntax not in DEFLATED:
        file = Path(path).open("rb")  # noqa: SIM115 (the caller's to close)
        file.seek(layout.dataset_offset)
        return file
    # Without pixels the layout has only the end of the file, not that of the deflated dataset in it.
    length = layout.header_end - layout.dataset_offset if layout.pixel_keyword else _MAX_HEADER + 1
    with Source(path, layout) as source:
        header = source.read(layout.dataset_offset, min(length, _MAX_HEADER + 1))
    if len(header) > _MAX_HEADER:
        raise NotAvailable(f"the deflated header has more than {_MAX_HEADER} bytes, the most that are read")
    return BytesIO(header)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except BROKEN:
        return None
    # Python takes underscores in numbers; DICOM does not (PS3.5 6.2).
    return number if np.isfinite(number) and "_" not in str(value) else None


def _at_frame_groups(tag: BaseTag, vr: str | None, length: int) -> bool:
    # Those of a slide are no objects, and nothing that is read here comes after them.
    return int(tag) >= 0x52009230
