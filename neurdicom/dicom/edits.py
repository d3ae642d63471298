"""Edits applied on the way out: to a header in DICOM JSON, to a pydicom dataset, to the bytes of a file.

An edit is a field of `dicom.attributes` with its new value, None to empty it. What comes in has been checked
(`dicom.values`). The stored bytes are never changed.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from neurdicom.dicom.attributes import BY_FIELD
from neurdicom.dicom.charset import CharacterSet, character_set
from neurdicom.dicom.dicomjson import name_groups
from neurdicom.dicom.dictionary import dictionary_vr, tag_of
from neurdicom.dicom.header import Layout
from neurdicom.dicom.query import Value
from neurdicom.dicom.rewrite import rewrite

CHARSET_KEY = "00080005"
UTF_8_TERM = "ISO_IR 192"


class FieldEdit(Protocol):
    """What is needed of an edit, such as `catalog.base.Edit`."""

    @property
    def field(self) -> str:
        """Field name."""

    @property
    def value(self) -> Value:
        """New value."""


Edits = Iterable[FieldEdit | Mapping[str, Any]]


def apply_to_json(dataset: Mapping[str, Any], edits: Edits) -> dict[str, Any]:
    """Apply edits to a dataset in the DICOM JSON model (PS3.18 F).

    Parameters
    ----------
    dataset : Mapping[str, Any]
        The model, as `orjson.loads` gives it; it stays as it is.
    edits : iterable
        Objects with `field` and `value`, or mappings with these members; the last of a field counts.

    Returns
    -------
    dict[str, Any]
        The edited model, in the order of tags. SpecificCharacterSet says what the edited file would have.
    """
    changes = _changes(edits)
    out = dict(dataset)
    values = dataset.get(CHARSET_KEY, {}).get("Value") or []
    if not _fits(character_set(tuple(str(term or "") for term in values)), changes):
        out[CHARSET_KEY] = {"vr": "CS", "Value": [UTF_8_TERM]}
    for field, value in changes.items():
        tag, vr = _element(field)
        items: list[Any] = [] if value is None else value if isinstance(value, list) else [value]
        if vr == "PN":
            items = [name_groups(str(item)) for item in items]
        out[f"{tag:08X}"] = {"vr": vr, "Value": items} if items else {"vr": vr}
    return dict(sorted(out.items()))


def edit_dataset(ds: Dataset, edits: Edits) -> None:
    """Apply edits to a pydicom dataset, in place.

    Where the character set lacks a character of a value, all text of the dataset changes to UTF-8.
    """
    changes = _changes(edits)
    terms = ds.get("SpecificCharacterSet") or []
    charset = character_set((terms,) if isinstance(terms, str) else tuple(str(term or "") for term in terms))
    if not _fits(charset, changes):
        ds.decode()
        _use_utf_8(ds)
        ds.SpecificCharacterSet = UTF_8_TERM
    for field, value in changes.items():
        tag, vr = _element(field)
        text = _text(vr, value)
        ds.add_new(tag, vr, text)


def rewrite_header(path: Path, layout: Layout, edits: Edits) -> tuple[bytes, int]:
    """Give a file's new beginning with edits applied, for the rest of the file to follow as it is.

    Only what changes is new: elements keep their bytes, unless a value needs another character set; then all text
    of the header is written in UTF-8. A deflated file is written anew as a whole. Blocks; for a thread.

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
        Empty without edits.
    copy_from : int
        Offset in the file from which on its bytes follow.

    Raises
    ------
    Malformed
        The header is broken.
    TooLarge
        A header so large that it can't be written anew in bounded memory.
    """
    changes = _changes(edits)
    if not changes:
        return b"", 0
    elements = {}
    for field, value in changes.items():
        tag, vr = _element(field)
        elements[tag] = (vr, _text(vr, value))
    return rewrite(path, layout, elements, lambda charset: _fits(charset, changes))


def _changes(edits: Edits) -> dict[str, Value]:
    return {
        str(edit["field"] if isinstance(edit, Mapping) else edit.field): (
            edit["value"] if isinstance(edit, Mapping) else edit.value
        )
        for edit in edits
    }


def _element(field: str) -> tuple[int, str]:
    key = tag_of(BY_FIELD[field].keyword)
    tag = int(key, 16)
    return tag, dictionary_vr(tag)


def _text(vr: str, value: Value) -> str:
    """Write a value as the text of its element; all editable attributes are text."""
    if value is None:
        return ""
    items = value if isinstance(value, list) else [value]
    return "\\".join(format_number_as_ds(float(item)) if vr == "DS" else str(item) for item in items)


def _fits(charset: CharacterSet, changes: Mapping[str, Value]) -> bool:
    return all(charset.encode(_text(_element(field)[1], value)) is not None for field, value in changes.items())


def _use_utf_8(ds: Dataset) -> None:
    """Let the items of sequences take over the character set of the dataset around them."""
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                _use_utf_8(item)
                if "SpecificCharacterSet" in item:
                    del item.SpecificCharacterSet
