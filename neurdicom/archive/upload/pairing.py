"""Pairing of datasets with the parts that hold their bulk data (PS3.18 10.5)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from neurdicom.archive.documents import PIXEL_DATA
from neurdicom.archive.upload.bulk_part import BulkPart
from neurdicom.archive.upload.pixel_attributes import with_pixel_attributes
from neurdicom.dicom.codec.assemble import BulkValue
from neurdicom.dicom.codec.stream import MAX_DEPTH
from neurdicom.dicom.codec.transfer_syntaxes import EXPLICIT
from neurdicom.errors import Malformed


@dataclass(slots=True)
class PairedDataset:
    """Dataset in the DICOM JSON model with the parts that its BulkDataURIs name.

    Attributes
    ----------
    dataset : Any
        As parsed; it may be none.
    parts : dict
        Path of an element to its parts.
    """

    dataset: Any
    parts: dict[str, Sequence[BulkPart]] = field(default_factory=dict)
    _mixed: set[str] = field(default_factory=set)

    def find(self, uri: str, path: str) -> Sequence[BulkValue]:
        """Find the bulk data of the element at a path, for `assemble_file`. Raises `Malformed`."""
        if path in self._mixed:
            raise Malformed(
                f"a BulkDataURI names {uri[:200]!r}, as others do, and that is the Content-Location of another number "
                "of parts than they need: which is whose can't be told"
            )
        parts = self.parts.get(path)
        if parts is None:
            raise Malformed(f"a BulkDataURI names {uri[:200]!r}, which is the Content-Location of no part")
        return parts

    def set_apart(self, path: str) -> None:
        """Refuse the bulk data of an element, since it may be another's."""
        self._mixed.add(path)

    def transfer_syntax(self) -> str:
        """Determine the transfer syntax of the file. Blocks. Raises `Malformed`, `NotAvailable`."""
        parts = self.parts.get(PIXEL_DATA, ())
        syntax = parts[0].transfer_syntax() if parts else EXPLICIT
        if syntax != EXPLICIT and not parts[0].media_type.startswith("video/"):
            frames = number_of_frames(self.dataset)
            if frames != len(parts):
                raise Malformed(
                    f"there are {len(parts)} parts of compressed pixel data; {frames}, one for each frame, are expected"
                )
        return syntax

    def described(self) -> Mapping[str, Any]:
        """Complete the dataset by attributes of compressed pixels. Blocks. Raises `Malformed`."""
        parts = self.parts.get(PIXEL_DATA, ())
        compressed = parts and parts[0].transfer_syntax() != EXPLICIT and isinstance(self.dataset, Mapping)
        dataset: Mapping[str, Any] = with_pixel_attributes(self.dataset, parts[0]) if compressed else self.dataset
        return dataset


@dataclass(frozen=True, slots=True)
class _Reference:
    """A BulkDataURI: its dataset, the path of its element, and how many parts it needs."""

    dataset: PairedDataset
    path: str
    parts: int


def pair_bulk(datasets: Sequence[Any], bulk: Mapping[str, Sequence[BulkPart]]) -> list[PairedDataset]:
    """Pair datasets with parts by Content-Location, and by order where several share one.

    A location that one element names alone has all parts of it. Where several name it, the parts are theirs in order,
    if there are as many as they need. One part may be named by several, but not as the pixels of several instances.

    Parameters
    ----------
    datasets : sequence
        In the order of the body.
    bulk : Mapping[str, sequence of BulkPart]
        Content-Location to its parts, in the order of the body.
    """
    paired = [PairedDataset(dataset) for dataset in datasets]
    references: dict[str, list[_Reference]] = {}
    for each in paired:
        for path, uri in _uris(each.dataset, "", 0):
            several = path == PIXEL_DATA and any(part.is_one_frame for part in bulk.get(uri, ()))
            count = number_of_frames(each.dataset, strict=False) if several else 1
            references.setdefault(uri, []).append(_Reference(each, path, count))
    for uri, of in references.items():
        if uri in bulk:
            _assign(of, bulk[uri])
    return paired


def _assign(references: Sequence[_Reference], parts: Sequence[BulkPart]) -> None:
    images = sum(each.path == PIXEL_DATA for each in references)
    if len(references) == 1 or (len(parts) == 1 and images <= 1):
        for each in references:
            each.dataset.parts[each.path] = parts
        return
    if sum(each.parts for each in references) != len(parts):
        for each in references:
            each.dataset.set_apart(each.path)
        return
    start = 0
    for each in references:
        each.dataset.parts[each.path] = parts[start : start + each.parts]
        start += each.parts


def _uris(dataset: object, above: str, depth: int) -> Iterator[tuple[str, str]]:
    """Walk the BulkDataURIs of a dataset with the paths of their elements, in the order of tags."""
    if not isinstance(dataset, Mapping) or depth > MAX_DEPTH:
        return
    for key in sorted(dataset, key=lambda key: str(key).upper()):
        element = dataset[key]
        if not isinstance(element, Mapping):
            continue
        path = f"{above}{str(key).upper()}"
        items = element.get("Value")
        if element.get("vr") == "SQ":
            for number, item in enumerate(items if isinstance(items, list) else ()):
                yield from _uris(item, f"{path}/{number}/", depth + 1)
        elif isinstance(element.get("BulkDataURI"), str):
            yield path, element["BulkDataURI"]


def number_of_frames(dataset: Mapping[str, Any], *, strict: bool = True) -> int:
    """Read NumberOfFrames (0028,0008), 1 without it; where it is no number raise `Malformed`, or 1 if not `strict`."""
    element = dataset.get("00280008")
    values = element.get("Value") if isinstance(element, Mapping) else None
    try:
        return int(values[0]) if isinstance(values, list) and values else 1
    except (TypeError, ValueError) as error:
        if not strict:
            return 1
        raise Malformed("NumberOfFrames (0028,0008) is not a number") from error
