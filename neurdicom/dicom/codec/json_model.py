"""Conversion of the DICOM JSON model (PS3.18 F) to the API's `{keyword: value}`, and of its person names."""

from collections.abc import Mapping
from typing import Any

from neurdicom.dicom.codec.dictionary import keyword

NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def to_tags(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Write a dataset of the DICOM JSON model as `{keyword: value}`.

    One value is given as itself, several as a list, none as None; the items of a sequence as a list of such objects.
    Person names are text in their DICOM form and bytes are Base64; bulk data, which the model does not contain, is
    None. Private and unknown elements, and those of repeating groups other than the first, are named by their tag in
    lower-case hexadecimal.
    """
    return {keyword(key): _tag_value(element) for key, element in dataset.items()}


def _tag_value(element: Mapping[str, Any]) -> Any:
    values = element.get("Value")
    if element.get("vr") == "SQ":
        return [to_tags(item or {}) for item in values or ()]
    if values is None:
        return element.get("InlineBinary")
    if element.get("vr") == "PN":
        values = [name_text(value) for value in values]
    return values[0] if len(values) == 1 else values


def name_text(name: object) -> str | None:
    """Write a person name of the DICOM JSON model in its DICOM form, `Alphabetic=Ideographic=Phonetic`."""
    if not isinstance(name, Mapping):
        return None if name is None else str(name)
    return "=".join(str(name.get(group) or "") for group in NAME_GROUPS).rstrip("=")


def name_groups(text: str) -> dict[str, str]:
    """Split a person name in its DICOM form into the component groups of the DICOM JSON model."""
    return {group: part for group, part in zip(NAME_GROUPS, text.split("="), strict=False) if part}
