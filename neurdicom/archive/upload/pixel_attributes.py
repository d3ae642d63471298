"""Attributes of the Image Pixel Description Macro that a sender left out (PS3.18 10.5.2)."""

from collections.abc import Mapping
from typing import Any

from neurdicom.archive.upload.bulk_part import BulkPart
from neurdicom.errors import Malformed
from neurdicom.pixels.decode.description import PixelDescription, describe_codestream

_SAMPLES, _COLOUR, _PLANES, _FRAMES, _ROWS, _COLUMNS = (
    *("00280002", "00280004", "00280006", "00280008", "00280010", "00280011"),
)
_ALLOCATED, _STORED, _HIGH_BIT, _SIGN = "00280100", "00280101", "00280102", "00280103"
#: Those that every image has.
_REQUIRED = (_SAMPLES, _COLOUR, _ROWS, _COLUMNS, _ALLOCATED, _STORED, _HIGH_BIT, _SIGN)

#: Other names of media types.
_NAMES = {"image/x-jls": "image/jls", "image/jph": "image/jphc"}


def with_pixel_attributes(dataset: Mapping[str, Any], part: BulkPart) -> Mapping[str, Any]:
    """Add the attributes of the pixels that a dataset lacks, as the codestream has them. Blocks.

    Parameters
    ----------
    dataset : Mapping[str, Any]
        The DICOM JSON model.
    part : BulkPart
        The first part of its compressed Pixel Data.

    Returns
    -------
    Mapping[str, Any]
        The dataset itself where nothing is missing. What it says is not changed.

    Raises
    ------
    Malformed
        Something is missing that the codestream does not tell: nobody could show such an image.
    """
    known = {
        str(key).upper() for key, element in dataset.items() if isinstance(element, Mapping) and _has_value(element)
    }
    video = part.media_type.startswith("video/")
    missing = [key for key in _REQUIRED if key not in known]
    if not missing and not (video and _FRAMES not in known):
        return dataset
    media_type = _NAMES.get(part.media_type, part.media_type)
    found = describe_codestream(media_type, part.read, part.length)
    if found is None and missing:
        keys = ", ".join(f"({key[:4]},{key[4:]})" for key in missing)
        raise Malformed(f"the metadata lacks {keys}, which the compressed pixel data ({part.media_type}) does not tell")
    if found is None:
        return dataset
    derived = {key: value for key, value in _elements(found, dataset).items() if key not in known}
    return {**{key: element for key, element in dataset.items() if str(key).upper() not in derived}, **derived}


def _elements(found: PixelDescription, dataset: Mapping[str, Any]) -> dict[str, Any]:
    stored = _first(dataset, _STORED) or found.bits_stored
    allocated = max(found.bits_allocated, 8 if stored <= 8 else 16 if stored <= 16 else 32)
    numbers = {
        _SAMPLES: found.samples_per_pixel,
        _ROWS: found.rows,
        _COLUMNS: found.columns,
        _ALLOCATED: allocated,
        _STORED: min(stored, _first(dataset, _ALLOCATED) or stored),
        _SIGN: int(found.signed),
    }
    if found.samples_per_pixel > 1:
        numbers[_PLANES] = 0
    numbers[_HIGH_BIT] = numbers[_STORED] - 1
    elements: dict[str, Any] = {key: {"vr": "US", "Value": [value]} for key, value in numbers.items()}
    elements[_COLOUR] = {"vr": "CS", "Value": [found.photometric_interpretation]}
    if found.number_of_frames is not None:
        elements[_FRAMES] = {"vr": "IS", "Value": [found.number_of_frames]}
    return elements


def _first(dataset: Mapping[str, Any], key: str) -> int | None:
    element = dataset.get(key)
    values = element.get("Value") if isinstance(element, Mapping) else None
    value = values[0] if isinstance(values, list) and values else None
    try:
        number = int(str(value))
    except ValueError:
        return None
    return number if 1 <= number <= 64 else None


def _has_value(element: Mapping[str, Any]) -> bool:
    values = element.get("Value")
    return not isinstance(values, list) or any(value not in (None, "") for value in values) if values else False
