"""Sources of a result: the headers of the source images, and the frames in them."""

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

#: Classes whose instances have one frame by definition, so that references to them never name a frame.
_SINGLE_FRAME: Final = frozenset({
    CTImageStorage, MRImageStorage, PositronEmissionTomographyImageStorage, ComputedRadiographyImageStorage,
    SecondaryCaptureImageStorage, UltrasoundImageStorage,
})  # fmt: skip
#: Exceptions of pydicom for malformed values.
BROKEN = (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, NotImplementedError)


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """Frame that a result was computed from.

    Attributes
    ----------
    ds : Dataset
        Header of its instance, edits applied; the same for all frames of one instance.
    frame : int or None
        Frame number, from 1; None where the instance has no more than one.
    geometry : Geometry or None
        Its position in the patient, where the header has one.
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
        """Frame number for references; None where the class allows none."""
        return None if self.reference[0] in _SINGLE_FRAME else self.frame

    @property
    def count(self) -> int:
        """Number of frames of its instance."""
        return max(1, _count(self.ds))


def read_planes(sources: Iterable[Mapping[str, Any]]) -> list[SourceFrame]:
    """Read the frames of the sources, in their order.

    Parameters
    ----------
    sources : iterable of mapping
        Each with `path`, `frame` (from 1; None: all frames) and `edits`.
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
    """Read a file's header as the server shows it: text in Unicode, edits applied, without bulk and private elements.

    Our own parser reads text in all character sets and skips broken elements.
    """
    header = read_header(Path(path))
    ds = as_dataset(apply_to_json(orjson.loads(header.json), edits))
    ds.SOPClassUID = header.layout.sop_class
    return ds


def as_dataset(model: Mapping[str, Any]) -> Dataset:
    """Convert the DICOM JSON model to a dataset, without private, bulk and broken elements."""
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
