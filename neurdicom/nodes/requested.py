"""Comparison of what a node answers with what it was asked for: instances that it sends, matches of a query."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from neurdicom.dicom.header import Header
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.uids import is_uid
from neurdicom.errors import Invalid

log = logging.getLogger(__name__)

#: Keyword of a unique key: its tag, and the name of the field that a header has it under.
_KEYS: Final = {
    "PatientID": ("00100020", "patient_id"),
    "StudyInstanceUID": ("0020000D", "study_instance_uid"),
    "SeriesInstanceUID": ("0020000E", "series_instance_uid"),
    "SOPInstanceUID": ("00080018", "sop_instance_uid"),
}
_PADDING: Final = " \0"
_LEVEL: Final = "00080052"


class NotRequested(Invalid):
    """An instance that a node sent is not of the entity that it was asked for.

    Attributes
    ----------
    instance : str
        Its SOP Instance UID.
    """

    def __init__(self, instance: str, message: str, *, field: str) -> None:
        super().__init__(message, field=field)
        self.instance = instance


class RequestedEntity:
    """Entity that is retrieved from a node; as an observer of arrivals it refuses instances of others.

    Parameters
    ----------
    ids : Mapping[str, str]
        Keyword to value of its unique keys.
    """

    def __init__(self, ids: Mapping[str, str]) -> None:
        self._ids = {keyword: value for keyword, value in ids.items() if value and keyword in _KEYS}

    def check(self, attributes: Mapping[str, Any]) -> None:
        """Compare the attributes of an instance, by field name. Raises `NotRequested`.

        An instance without a Patient ID belongs to the patient of its study, and is taken. Patient IDs are compared as
        those of matches, without regard to case, and by their ASCII characters, since others depend on the character
        set that an instance names, rightly or not.
        """
        for keyword, wanted in self._ids.items():
            field = _KEYS[keyword][1]
            found = str(attributes.get(field) or "").strip(_PADDING)
            if keyword == "PatientID":
                is_requested = not found or _comparable(found) == _comparable(wanted)
            else:
                # A DICOMweb node of this kind names one of several entities by `UID~XXXXXXXX`.
                is_requested = found == uid_of(wanted.strip(_PADDING))
            if not is_requested:
                instance = str(attributes.get("sop_instance_uid") or "")
                message = f"instance {instance} was not asked for: its {keyword} is {found!r}; {wanted!r} was requested"
                raise NotRequested(instance, message, field=field)

    def on_header(self, header: Header) -> None:
        """Refuse an instance of another entity. Raises `NotRequested`."""
        self.check(header.attributes)

    def on_unreadable(self, head: bytes) -> None:
        """Leave a file that can't be parsed to ingest, which refuses it."""


def matches_of_query(
    where: str, keys: Mapping[str, Any], matches: Sequence[dict[str, Any]], *, level: str = ""
) -> list[dict[str, Any]]:
    """Drop matches of a query that are of other entities than its unique keys name, with a line in the log.

    Other keys are the node's to interpret: how it compares names, dates and case is its own.

    Parameters
    ----------
    where : str
        Name of the node, for the log.
    keys : Mapping[str, Any]
        Keys of the query in the DICOM JSON model.
    matches : sequence of dict
        Answers of the node in the DICOM JSON model.
    level : str, optional
        Query/Retrieve Level that was asked for, where answers have one.

    Returns
    -------
    list of dict
        The others, in their order.
    """
    wanted = {tag: values for tag, _ in _KEYS.values() if (values := _exact_values(keys, tag))}
    kept = [match for match in matches if _is_requested(match, wanted, level)]
    if len(kept) < len(matches):
        log.warning(
            "%s answered a query with %d matches of another level, patient, study, series or instance than was "
            "asked for; they are dropped",
            where,
            len(matches) - len(kept),
        )
    return kept


def _exact_values(keys: Mapping[str, Any], tag: str) -> set[str]:
    """Collect the values that a unique key matches exactly, without regard to case; empty where it matches others."""
    values = [_comparable(str(value)) for value in (keys.get(tag) or {}).get("Value") or () if value]
    of_uid = tag != _KEYS["PatientID"][0]
    if any(not is_uid(value) if of_uid else "*" in value or "?" in value for value in values):
        return set()
    return set(values)


def _is_requested(match: Mapping[str, Any], wanted: Mapping[str, set[str]], level: str) -> bool:
    """Compare one match; what it does not say is no difference."""
    found_level = _text(match, _LEVEL)
    if level and found_level and found_level != level.casefold():
        return False
    return all(not (found := _text(match, tag)) or found in values for tag, values in wanted.items())


def _text(match: Mapping[str, Any], tag: str) -> str:
    values = (match.get(tag) or {}).get("Value") or [None]
    return "" if values[0] is None else _comparable(str(values[0]))


def _comparable(value: str) -> str:
    """Reduce an id to what compares whatever the padding, case and character set."""
    return value.strip(_PADDING).encode("ascii", "ignore").decode("ascii").lower()
