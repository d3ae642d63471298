"""What a result was computed from: the headers of the source images, and the frames in them."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from pydicom import DataElement, Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
)

from neurdicom.dicom.edits.apply import apply_to_json
from neurdicom.dicom.part10 import read_header
from neurdicom.processing.dicom_output.geometry import Geometry, geometry_of

#: Classes whose instances have one frame; a reference to a frame of one that has more is still not allowed.
_SINGLE_FRAME: Final = frozenset({
    CTImageStorage, MRImageStorage, PositronEmissionTomographyImageStorage, ComputedRadiographyImageStorage,
    SecondaryCaptureImageStorage, UltrasoundImageStorage,
})  # fmt: skip
#: pydicom raises these on values that it can't make sense of.
BROKEN = (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, NotImplementedError)


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """One frame that a result was computed from.

    Attributes
    ----------
    ds : Dataset
        Header of its instance, edits applied; the same for all frames of one.
    frame : int or None
        Counted from 1; None where the instance has no more than one.
    geometry : Geometry or None
        Where it lies in the patient, where the header says so.
    """

    ds: Dataset
    frame: int | None
    geometry: Geometry | None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.ds.get("Rows") or 0), int(self.ds.get("Columns") or 0)

    @property
    def reference(self) -> tuple[str, str]:
        """SOP Class and SOP Instance UID."""
        return str(self.ds.get("SOPClassUID") or ""), str(self.ds.SOPInstanceUID)

    @property
    def referenced_frame(self) -> int | None:
        """The frame's number in references; None where the class allows none."""
        return None if self.reference[0] in _SINGLE_FRAME else self.frame

    @property
    def count(self) -> int:
        """Frames of its instance."""
        return max(1, _count(self.ds))


def read_planes(sources: Iterable[Mapping[str, Any]]) -> list[SourceFrame]:
    """The frames of the sources, in their order.

    Parameters
    ----------
    sources : iterable of mapping
        Each with `path`, `frame` (counted from 1; None: all frames) and `edits`.
    """
    planes: list[SourceFrame] = []
    for source in sources:
        ds = read_source(source["path"], source.get("edits") or ())
        count = max(1, _count(ds))
        wanted = range(1, count + 1) if source.get("frame") is None else [source["frame"]]
        planes += [SourceFrame(ds, frame if count > 1 else None, geometry_of(ds, frame, count)) for frame in wanted]
    return planes


def _count(ds: Dataset) -> int:
    with contextlib.suppress(*BROKEN):
        return int(ds.get("NumberOfFrames") or 1)
    return 1


def read_source(path: str | Path, edits: Sequence[Mapping[str, Any]]) -> Dataset:
    """A file's header as the server answers it: text in Unicode, edits applied, without bulk and private elements.

    The header comes from our own parser, which reads text in all character sets and skips what is broken.
    """
    header = read_header(Path(path))
    ds = as_dataset(apply_to_json(orjson.loads(header.json), edits))
    ds.SOPClassUID = header.layout.sop_class
    return ds


def as_dataset(model: Mapping[str, Any]) -> Dataset:
    """A dataset of the DICOM JSON model, without what is private, bulk or broken."""
    ds = Dataset()
    for key, element in model.items():
        tag = int(key, 16)
        if tag >> 16 & 1 or "BulkDataURI" in element or "InlineBinary" in element:
            continue
        with contextlib.suppress(*BROKEN):
            ds.add(_element(tag, element))
    return ds


def _element(tag: int, element: Mapping[str, Any]) -> DataElement:
    vr, values = element["vr"], element.get("Value") or []
    if vr == "SQ":
        return DataElement(tag, vr, [as_dataset(item or {}) for item in values])
    if vr == "PN":
        values = ["=".join(_groups(name)).rstrip("=") for name in values]
    elif vr == "AT":
        values = [int(value, 16) for value in values]
    else:
        values = ["" if value is None else value for value in values]
    return DataElement(tag, vr, values[0] if len(values) == 1 else values or None)


def _groups(name: Any) -> list[str]:
    return [str((name or {}).get(group) or "") for group in ("Alphabetic", "Ideographic", "Phonetic")]
