"""Comparison of two files element by element, by pydicom's reader: what one has, the other must have."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_sequence
from pydicom.tag import Tag

#: What the new bytes would break, padding, and what only describes how the bytes lie.
_LEFT_OUT = frozenset({0xFFFAFFFA, 0xFFFCFFFC})
#: What changes with the form of pixel data.
DESCRIPTION = frozenset({0x00280004, 0x00280006, 0x00280100, 0x00280101, 0x00280102, 0x7FE00001, 0x7FE00002, 0x7FE00003,
                         0x7FE00010})  # fmt: skip
_WORDS = {"US": 2, "SS": 2, "OW": 2, "AT": 2, "UL": 4, "SL": 4, "FL": 4, "OL": 4, "OF": 4, "FD": 8, "OD": 8, "OV": 8,
          "SV": 8, "UV": 8}  # fmt: skip

Tree = dict[int, Any]


def tree_of(path: Path) -> tuple[Dataset, Tree]:
    """Read a file: its dataset, and its elements by tag, each with its value in little endian, or a list of items."""
    ds = dcmread(path, force=True)
    big = ds.file_meta.get("TransferSyntaxUID") == "1.2.840.10008.1.2.2"
    return ds, _elements(ds, big)


def _elements(ds: Dataset, big: bool) -> Tree:
    found: Tree = {}
    tags = ds.keys()  # iterating over a dataset reads its elements
    for tag in tags:
        element = ds.get_item(tag)
        if tag.element and tag.group > 0x0002 and int(tag) not in _LEFT_OUT:
            found[int(tag)] = _value(ds, element, big)
    return found


def _value(ds: Dataset, element: Any, big: bool) -> Any:
    if element.VR == "SQ":
        return [_elements(item, big) for item in ds[element.tag].value or ()]
    if isinstance(element, DataElement):  # pydicom has read it already
        values = [element.value] if element.VM < 2 else element.value
        if element.value is not None and element.VR in ("US", "SS"):
            return np.asarray(values, "<i8").astype("<u2").tobytes()
        return "\\".join(str(each or "") for each in values).encode()
    value = element.value or b""
    size = _WORDS.get(element.VR or "", 1)
    if element.tag == 0x7FE00010 and ds.get("BitsAllocated") in (32, 64):
        size = ds.BitsAllocated // 8  # the cells, which pydicom's decoder and others swap as a whole
    if big and size > 1 and len(value) % size == 0:
        value = np.frombuffer(value, f"u{size}").byteswap().tobytes()
    return value


def differences(old: Tree, new: Tree, ignored: frozenset[int] = frozenset(), where: str = "") -> list[str]:
    """Describe each element that differs; those in `ignored` count in no dataset."""
    found = []
    for tag in sorted(old.keys() | new.keys()):
        name = f"{where}{Tag(tag)}"
        if tag in ignored:
            continue
        if tag not in old or tag not in new:
            found.append(f"{name} is {'lost' if tag in old else 'added'}")
            continue
        first, second = old[tag], new[tag]
        if isinstance(first, list) != isinstance(second, list):
            first, second = (each if isinstance(each, list) else _items(each) for each in (first, second))
        if not isinstance(first, list):
            if first != second and first.rstrip(b" \0") != second.rstrip(b" \0"):
                found.append(f"{name} was {first[:60]!r} and is {second[:60]!r}")
            continue
        if len(first) != len(second):
            found.append(f"{name} had {len(first)} items and has {len(second)}")
        for number, (before, after) in enumerate(zip(first, second, strict=False)):
            found += differences(before, after, ignored, f"{name}/{number}/")
    return found


def _items(value: bytes) -> list[Tree]:
    """Read the items of a private sequence whose VR is not known: they are in Implicit VR Little Endian."""
    items = read_sequence(BytesIO(value), True, True, len(value), "iso8859")
    return [_elements(item, False) for item in items]
