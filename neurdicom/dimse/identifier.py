"""Identifiers of queries and retrievals (PS3.4 C.4): their encoding, level and keys, and the rules of the models."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from pydicom.uid import UID

from neurdicom.dicom.codec.encode import encode_dataset
from neurdicom.dicom.codec.scan import Scanner
from neurdicom.dicom.codec.transfer_syntaxes import BIG_ENDIAN, EXPLICIT, IMPLICIT
from neurdicom.dicom.query.attributes import Level
from neurdicom.dimse.statuses import DoesNotMatch

#: Transfer syntaxes of contexts for queries and retrievals.
SYNTAXES = (EXPLICIT, IMPLICIT)

LEVEL_KEY = "00080052"
CHARSET_KEY = "00080005"

#: Names of the levels in Query/Retrieve Level (0008,0052).
LEVELS = {"PATIENT": Level.PATIENT, "STUDY": Level.STUDY, "SERIES": Level.SERIES, "IMAGE": Level.INSTANCE}
LEVEL_NAMES = {level: name for name, level in LEVELS.items()}

#: The unique key of each level (PS3.4 C.6).
UNIQUE_KEYS = {
    Level.PATIENT: "00100020",
    Level.STUDY: "0020000D",
    Level.SERIES: "0020000E",
    Level.INSTANCE: "00080018",
}
_KEYWORDS = {
    Level.PATIENT: "PatientID",
    Level.STUDY: "StudyInstanceUID",
    Level.SERIES: "SeriesInstanceUID",
    Level.INSTANCE: "SOPInstanceUID",
}

#: Attributes that describe an identifier, and are not keys.
_NO_KEYS = (LEVEL_KEY, "00080053", CHARSET_KEY, "00080201")

_ROOT = "1.2.840.10008.5.1.4.1.2"
_PATIENT_ROOT, _STUDY_ROOT, _PATIENT_STUDY_ONLY = f"{_ROOT}.1", f"{_ROOT}.2", f"{_ROOT}.3"


@dataclass(frozen=True, slots=True)
class InformationModel:
    """An information model of the Query/Retrieve service (PS3.4 C.6): its levels, and the UIDs of its SOP classes."""

    name: str
    find: str
    move: str
    get: str
    levels: tuple[Level, ...]


def _model(name: str, root: str, *levels: Level) -> InformationModel:
    return InformationModel(name, f"{root}.1", f"{root}.2", f"{root}.3", levels)


PATIENT_ROOT = _model("Patient Root", _PATIENT_ROOT, *Level)
STUDY_ROOT = _model("Study Root", _STUDY_ROOT, Level.STUDY, Level.SERIES, Level.INSTANCE)
PATIENT_STUDY_ONLY = _model("Patient/Study Only (retired)", _PATIENT_STUDY_ONLY, Level.PATIENT, Level.STUDY)
MODELS = (PATIENT_ROOT, STUDY_ROOT, PATIENT_STUDY_ONLY)

_BY_SOP_CLASS = {uid: model for model in MODELS for uid in (model.find, model.move, model.get)}


def model_of(sop_class: str) -> InformationModel:
    """Look up the information model of a SOP class."""
    return _BY_SOP_CLASS[sop_class]


def decode_identifier(data: bytes, transfer_syntax: str) -> dict[str, Any]:
    """Read an identifier into the DICOM JSON model. Raises `Malformed`."""
    order = ">" if transfer_syntax == BIG_ENDIAN else "<"
    scanned = Scanner(data, explicit=transfer_syntax != IMPLICIT, order=order).scan(0)
    dataset: dict[str, Any] = orjson.loads(orjson.dumps(scanned))  # the items of its sequences are fragments of JSON
    return dataset


def encode_identifier(dataset: Mapping[str, Any], transfer_syntax: str) -> bytes:
    """Encode an identifier of the DICOM JSON model. Raises `Invalid`."""
    return encode_dataset(dataset, explicit=not UID(transfer_syntax).is_implicit_VR)


def character_terms(dataset: Mapping[str, Any]) -> list[str]:
    """List the values of SpecificCharacterSet."""
    return [str(term or "") for term in dataset.get(CHARSET_KEY, {}).get("Value") or ()]


def level_of(dataset: Mapping[str, Any], model: InformationModel) -> Level:
    """Read the Query/Retrieve Level. Raises `DoesNotMatch` if the information model does not have it."""
    name = _level_name(dataset)
    expected = ", ".join(LEVEL_NAMES[level] for level in model.levels)
    if not name:
        raise DoesNotMatch(f"Query/Retrieve Level is missing; expected: {expected}", field="QueryRetrieveLevel")
    level = LEVELS.get(name.upper())
    if level not in model.levels:
        raise DoesNotMatch(f"Query/Retrieve Level {name:.16}; expected: {expected}", field="QueryRetrieveLevel")
    assert level is not None
    return level


def _level_name(dataset: Mapping[str, Any]) -> str:
    return " ".join(str(value) for value in dataset.get(LEVEL_KEY, {}).get("Value") or () if value).strip(" \0")


def keys_of(dataset: Mapping[str, Any], model: InformationModel, level: Level) -> dict[str, Any]:
    """Select the matching and return keys of an identifier, and add the unique keys, which are always returned.

    Parameters
    ----------
    dataset : Mapping[str, Any]
        The identifier in the DICOM JSON model.
    model : InformationModel
        Its information model.
    level : Level
        Its Query/Retrieve Level.

    Returns
    -------
    dict[str, Any]
        Tag to element; an added key is an empty element.
    """
    unique: dict[str, Any] = {UNIQUE_KEYS[one]: {} for one in model.levels[: model.levels.index(level) + 1]}
    return unique | {tag: element for tag, element in dataset.items() if tag not in _NO_KEYS}


def check_hierarchy(dataset: Mapping[str, Any], model: InformationModel, level: Level) -> None:
    """Check that a query is hierarchical: the unique key of each level above has one value (PS3.4 C.4.1.2.1).

    Parameters
    ----------
    dataset : Mapping[str, Any]
        The identifier in the DICOM JSON model.
    model : InformationModel
        Its information model.
    level : Level
        Its Query/Retrieve Level.

    Raises
    ------
    DoesNotMatch
        A unique key is missing, or has several values or a wildcard.
    """
    for above in model.levels[: model.levels.index(level)]:
        _single(dataset, above)


def _single(dataset: Mapping[str, Any], level: Level) -> str:
    keyword = _KEYWORDS[level]
    values = values_of(dataset, level)
    if len(values) != 1 or _has_wildcard(level, values):
        found = "is missing" if not values else "has several values or a wildcard"
        raise DoesNotMatch(f"{keyword} {found}; no relational queries", field=keyword)
    return values[0]


def _has_wildcard(level: Level, values: Iterable[str]) -> bool:
    """Tell whether a UID has a wildcard; in a Patient ID `*` and `?` are ordinary characters."""
    return level is not Level.PATIENT and any("*" in value or "?" in value for value in values)


def values_of(dataset: Mapping[str, Any], level: Level) -> list[str]:
    """List the values of a level's unique key."""
    values = dataset.get(UNIQUE_KEYS[level], {}).get("Value") or ()
    return [text for value in values if value is not None and (text := str(value).strip(" \0"))]


def given_keys(dataset: Mapping[str, Any], model: InformationModel) -> dict[Level, list[str]]:
    """Read the unique keys of a retrieval that may be relational: those above may be missing or lists.

    Without a Query/Retrieve Level it is the lowest one whose unique key is given.

    Parameters
    ----------
    dataset : Mapping[str, Any]
        The identifier in the DICOM JSON model.
    model : InformationModel
        Its information model.

    Returns
    -------
    dict[Level, list[str]]
        One value or more for the level, and for each level above whose key is given.

    Raises
    ------
    DoesNotMatch
        The unique key of the level is missing or has a wildcard, or one above is a pattern.
    """
    given = [level for level in model.levels if values_of(dataset, level)]
    level = level_of(dataset, model) if _level_name(dataset) or not given else given[-1]
    keys = {}
    for each in model.levels[: model.levels.index(level) + 1]:
        values = values_of(dataset, each)
        if each is not level and (not values or "*" in values):
            continue
        if not values or _has_wildcard(each, values):
            found = "has a wildcard" if values else "is missing"
            raise DoesNotMatch(f"{_KEYWORDS[each]} {found}", field=_KEYWORDS[each])
        keys[each] = values
    return keys


def unique_keys(dataset: Mapping[str, Any], model: InformationModel, level: Level) -> dict[Level, list[str]]:
    """Read the unique keys of a retrieval (PS3.4 C.4.2.2.1).

    Parameters
    ----------
    dataset : Mapping[str, Any]
        The identifier in the DICOM JSON model.
    model : InformationModel
        Its information model.
    level : Level
        Its Query/Retrieve Level.

    Returns
    -------
    dict[Level, list[str]]
        One value for each level above, one or more for `level`.

    Raises
    ------
    DoesNotMatch
        A unique key is missing or has a wildcard, or one above has several values.
    """
    keys = {above: [_single(dataset, above)] for above in model.levels[: model.levels.index(level)]}
    values = values_of(dataset, level)
    found = "is missing" if not values else "has a wildcard" if _has_wildcard(level, values) else ""
    if found:
        raise DoesNotMatch(f"{_KEYWORDS[level]} {found}", field=_KEYWORDS[level])
    return keys | {level: values}
