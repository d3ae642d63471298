"""Compare our DICOM JSON with the one that pydicom gives of the same dataset."""

import base64
import math
import warnings
from typing import Any

from pydicom.dataset import Dataset

_NUMBERS = {"DS", "IS", "FL", "FD", "US", "SS", "UL", "SL", "UV", "SV"}


def differences(ours: dict[str, Any], ds: Dataset, where: str = "") -> list[str]:
    """Name every element in which a dataset of ours differs from pydicom's beyond form."""
    found = []
    theirs = {f"{tag:08X}": tag for tag in ds.keys() if tag & 0xFFFF and tag >> 16 not in (0, 2)}  # noqa: SIM118
    for key in sorted(theirs.keys() ^ ours.keys()):
        found.append(f"{where}{key} only in {'ours' if key in ours else 'pydicom'}")
    for key in sorted(theirs.keys() & ours.keys()):
        mine = ours[key]
        if "BulkDataURI" in mine:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                element = ds[theirs[key]]
                vr, value = element.VR, element.value
            except Exception as error:
                found.append(f"{where}{key} pydicom can't: {error!r:.80}")
                continue
        if mine["vr"] != vr:
            found.append(f"{where}{key} vr {mine['vr']} / {vr}")
            continue
        if vr == "SQ":
            items = mine.get("Value", [])
            if len(items) != len(value):
                found.append(f"{where}{key} items {len(items)} / {len(value)}")
            for index, (item, other) in enumerate(zip(items, value, strict=False)):
                found += differences(item, other, f"{where}{key}/{index}/")
            continue
        left, right = _ours(mine), _theirs(vr, element)
        if left != right:
            found.append(f"{where}{key} {vr} {left!r:.200} / {right!r:.200}")
    return found


def _ours(element: dict[str, Any]) -> list[Any]:
    if "InlineBinary" in element:
        return [base64.b64decode(element["InlineBinary"])]
    values = element.get("Value", [])
    if element["vr"] == "PN":
        groups = ("Alphabetic", "Ideographic", "Phonetic")
        values = ["=".join((value or {}).get(group, "") for group in groups).rstrip("=") for value in values]
    return [_plain(value) for value in values]


def _theirs(vr: str, element: Any) -> list[Any]:
    if element.is_empty:
        return []
    value = element.value
    values = list(value) if element.VM > 1 else [value]
    if vr == "AT":
        return [f"{item:08X}" for item in values]
    if vr in _NUMBERS:
        return [_number(item) for item in values]
    if isinstance(value, bytes):
        return [value]
    return [_plain(str(item)) for item in values]


def _number(item: Any) -> Any:
    try:
        return None if item in ("", None) else item if isinstance(item, int) else _plain(float(item))
    except ValueError:
        return _plain(str(item))


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return {"NaN": "nan"}.get(value, value.strip(" \0").rstrip("=").strip(" \0")) or None
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    return value
