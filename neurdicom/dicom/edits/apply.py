"""Application of edits on the way out: to a header in DICOM JSON, to a pydicom dataset, to the bytes of a file.

An edit is a field of `dicom.query.attributes` with its new value, None to empty it, checked by `dicom.edits.values`.
The stored bytes are never changed. An edit to the value that the file has anyway has no effect.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

from neurdicom.dicom.codec.charset import DEFAULT, CharacterSet, character_set
from neurdicom.dicom.codec.encode import TEXT_VRS
from neurdicom.dicom.codec.json_model import name_groups
from neurdicom.dicom.edits.changes import (
    MODIFICATION_REASON,
    MODIFICATION_TIME,
    MODIFIED_ATTRIBUTES,
    MODIFYING_SYSTEM,
    ORIGINAL_ATTRIBUTES,
    REASON,
    SOURCE_OF_PREVIOUS_VALUES,
    SYSTEM,
    Change,
    Edits,
    Previous,
    by_modification,
    changes_of,
    fits,
)
from neurdicom.dicom.edits.rewrite import rewrite
from neurdicom.dicom.header import Layout

_CHARSET_KEY = "00080005"
_ORIGINALS_KEY = f"{ORIGINAL_ATTRIBUTES:08X}"
_UTF_8_TERM = "ISO_IR 192"

#: pydicom raises these on values that it can't make sense of.
_BROKEN = (ValueError, TypeError, KeyError, AttributeError, OverflowError, NotImplementedError)

Json = dict[str, Any]


def apply_to_json(dataset: Mapping[str, Any], edits: Edits) -> Json:
    """Apply edits to a dataset in the DICOM JSON model (PS3.18 F).

    Parameters
    ----------
    dataset : Mapping[str, Any]
        The model, as `orjson.loads` gives it; it stays as it is.
    edits : iterable
        Objects with `field`, `value`, `user` and `time`, or mappings with these members; the last edit of a field
        counts.

    Returns
    -------
    dict[str, Any]
        The edited model, in the order of tags. SpecificCharacterSet is that of the edited file.
    """
    changes = [change for change in changes_of(edits) if change.alters(_previous_json(dataset.get(change.key)))]
    out = dict(dataset)
    if not changes:
        return out
    values = dataset.get(_CHARSET_KEY, {}).get("Value") or []
    if not fits(character_set(tuple(str(term or "") for term in values)), changes):
        out[_CHARSET_KEY] = {"vr": "CS", "Value": [_UTF_8_TERM]}
    for change in changes:
        out[change.key] = {"vr": change.vr, "Value": change.values} if change.values else {"vr": change.vr}
    earlier = dataset.get(_ORIGINALS_KEY, {})
    items = [*(earlier.get("Value") or [])] if earlier.get("vr") == "SQ" else []
    items += [_json_item(dataset, time, group) for time, group in by_modification(changes)]
    out[_ORIGINALS_KEY] = {"vr": "SQ", "Value": items}
    return dict(sorted(out.items()))


def _previous_json(element: Mapping[str, Any] | None) -> Previous | None:
    if element is None:
        return None
    is_read = element.get("vr") != "SQ" and not {"BulkDataURI", "InlineBinary"} & element.keys()
    return Previous(element["vr"], (element.get("Value") or []) if is_read else None)


def _json_item(dataset: Mapping[str, Any], time: str, changes: list[Change]) -> Json:
    modified: Json = {}
    for change in changes:
        element = dataset.get(change.key)
        previous = _previous_json(element)
        modified[change.key] = element if previous is not None and previous.is_kept else {"vr": change.vr}
    return {
        f"{MODIFIED_ATTRIBUTES:08X}": {"vr": "SQ", "Value": [modified]},
        f"{MODIFICATION_TIME:08X}": {"vr": "DT", "Value": [time]},
        f"{MODIFYING_SYSTEM:08X}": {"vr": "LO", "Value": [SYSTEM]},
        f"{SOURCE_OF_PREVIOUS_VALUES:08X}": {"vr": "LO"},
        f"{MODIFICATION_REASON:08X}": {"vr": "CS", "Value": [REASON]},
    }


def edit_dataset(ds: Dataset, edits: Edits) -> None:
    """Apply edits to a pydicom dataset, in place.

    Where the character set lacks a character of a value, all text of the dataset changes to UTF-8.
    """
    changes = changes_of(edits)
    charset = _charset_of(ds)
    if not fits(charset, changes):
        _use_utf_8(ds, charset)
        ds.SpecificCharacterSet = _UTF_8_TERM
    changes = [change for change in changes if change.alters(_previous(ds, change)[1])]
    if not changes:
        return
    earlier = ds.get(ORIGINAL_ATTRIBUTES)
    items = list(earlier.value) if earlier is not None and earlier.VR == "SQ" else []
    items += [_item(ds, time, group) for time, group in by_modification(changes)]
    for change in changes:
        ds.add_new(change.tag, change.vr, change.text)
    ds.add_new(ORIGINAL_ATTRIBUTES, "SQ", items)


def _previous(ds: Dataset, change: Change) -> tuple[DataElement | None, Previous | None]:
    """Return an element as it is, None where pydicom can't read it, and its previous values."""
    if change.tag not in ds:
        return None, None
    try:
        element = ds[change.tag]
        values = [] if element.is_empty else list(element.value) if element.VM > 1 else [element.value]
        values = [_plain(element.VR, value) for value in values]
    except _BROKEN:
        return None, Previous(change.vr, None)
    return element, Previous(element.VR, values)


def _plain(vr: str, value: Any) -> Any:
    """Convert a value of pydicom's to that of the DICOM JSON model."""
    if vr == "PN":
        return name_groups(str(value))
    if isinstance(value, str):
        return value.strip(" \0") or None if vr not in ("LT", "ST", "UT") else value.rstrip(" \0")
    return value


def _item(ds: Dataset, time: str, changes: list[Change]) -> Dataset:
    modified, item = Dataset(), Dataset()
    for change in changes:
        element, previous = _previous(ds, change)
        if element is not None and previous is not None and previous.is_kept:
            modified.add(element)
        else:
            modified.add_new(change.tag, change.vr, "")
    item.add_new(MODIFIED_ATTRIBUTES, "SQ", [modified])
    item.add_new(MODIFICATION_TIME, "DT", time)
    item.add_new(MODIFYING_SYSTEM, "LO", SYSTEM)
    item.add_new(SOURCE_OF_PREVIOUS_VALUES, "LO", "")
    item.add_new(MODIFICATION_REASON, "CS", REASON)
    return item


def _charset_of(ds: Dataset, inherited: CharacterSet = DEFAULT) -> CharacterSet:
    if "SpecificCharacterSet" not in ds:
        return inherited
    terms = ds.SpecificCharacterSet or []
    return character_set((terms,) if isinstance(terms, str) else tuple(str(term or "") for term in terms))


def _use_utf_8(ds: Dataset, charset: CharacterSet) -> None:
    """Convert all text to UTF-8, as we read it, and remove the character sets of items, which inherit that of `ds`."""
    implicit, little = ds.original_encoding
    for tag in list(ds.keys()):
        element = ds.get_item(tag)
        vr = element.VR or (dictionary_VR(tag) if dictionary_has_tag(tag) else "UN")
        if vr == "SQ":
            for item in ds[tag].value:
                _use_utf_8(item, _charset_of(item, charset))
                if "SpecificCharacterSet" in item:
                    del item.SpecificCharacterSet
        elif vr in TEXT_VRS and isinstance(element, RawDataElement) and isinstance(element.value, bytes):
            text = charset.decode(element.value).encode("utf_8", "replace")
            ds[tag] = element._replace(value=text, length=len(text))
    ds.set_original_encoding(implicit, little, ["utf_8"])


def rewrite_header(path: Path, layout: Layout, edits: Edits) -> tuple[bytes, int]:
    """Write the header of a file with edits applied; the rest of the file follows unchanged.

    Unedited elements keep their bytes, unless a value needs another character set; then all text of the header is
    written in UTF-8. A deflated file is written anew as a whole. Blocks; call it in a thread.

    Parameters
    ----------
    path : Path
        The stored file.
    layout : Layout
        Its layout.
    edits : iterable
        As for `apply_to_json`.

    Returns
    -------
    header : bytes
        The new header; empty where the edits change nothing in this file.
    copy_from : int
        Offset in the file of the bytes that follow the new header.

    Raises
    ------
    Malformed
        The header is not well-formed.
    TooLarge
        The header, or the inflated dataset of a deflated file, is longer than `edits.rewrite.MAX_HEADER`.
    """
    changes = changes_of(edits)
    return rewrite(path, layout, changes) if changes else (b"", 0)
