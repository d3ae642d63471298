"""The matches of a query in the DICOM JSON model (PS3.18 F), written from the catalog's entities."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, Literal

from neurdicom.dicom.codec.dictionary import dictionary_vr, tag_of
from neurdicom.dicom.codec.json_model import name_groups
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import ATTRIBUTES, Kind, Level
from neurdicom.dicom.query.keys import UID_TAGS
from neurdicom.dicom.query.matching import SINGLE_VRS
from neurdicom.dicom.query.modules import level_of

Entity = Mapping[str, Any]
Include = Literal["all"] | Collection[str]

#: Attributes that a match of each level has by default (PS3.18 10.6.3.3); RetrieveURL is added by the edge.
DEFAULTS: dict[Level, tuple[str, ...]] = {
    level: tuple(map(tag_of, keywords.split()))
    for level, keywords in {
        Level.PATIENT: """
            PatientName PatientID IssuerOfPatientID PatientBirthDate PatientSex NumberOfPatientRelatedStudies
            NumberOfPatientRelatedInstances
        """,
        Level.STUDY: """
            StudyDate StudyTime AccessionNumber InstanceAvailability ModalitiesInStudy ReferringPhysicianName
            TimezoneOffsetFromUTC StudyDescription PatientName PatientID PatientBirthDate PatientSex StudyInstanceUID
            StudyID NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances
        """,
        Level.SERIES: """
            Modality TimezoneOffsetFromUTC SeriesDate SeriesTime SeriesDescription SeriesInstanceUID SeriesNumber
            StudyInstanceUID NumberOfSeriesRelatedInstances PerformedProcedureStepStartDate
            PerformedProcedureStepStartTime InstanceAvailability RequestAttributesSequence
        """,
        Level.INSTANCE: """
            SOPClassUID SOPInstanceUID InstanceAvailability TimezoneOffsetFromUTC StudyInstanceUID SeriesInstanceUID
            InstanceNumber Rows Columns BitsAllocated NumberOfFrames
        """,
    }.items()
}
#: Those that are left out, rather than empty, where there is no value.
_OPTIONAL = frozenset(
    map(tag_of, ("TimezoneOffsetFromUTC", "Rows", "Columns", "BitsAllocated", "NumberOfFrames", "IssuerOfPatientID"))
)
MODALITY = tag_of("Modality")
REQUEST_ATTRIBUTES = tag_of("RequestAttributesSequence")
#: Attributes in the items of RequestAttributesSequence, unless the whole sequence is requested.
REQUEST_ITEM: dict[str, Any] = {tag_of("ScheduledProcedureStepID"): {}, tag_of("RequestedProcedureID"): {}}

#: Attributes that edges fill in: that all text is UTF-8, and where the match can be retrieved.
RESERVED: dict[str, dict[str, Any]] = {
    tag_of("SpecificCharacterSet"): {"vr": "CS", "Value": ["ISO_IR 192"]},
    tag_of("RetrieveURL"): {"vr": "UR"},
}

Write = Callable[[Any], list[Any]]


@dataclass(frozen=True, slots=True)
class Column:
    """An attribute that the catalog's entities hold: its level, its member's name, and how its value is written."""

    tag: str
    vr: str
    level: Level
    member: str
    write: Write


def _one(value: Any) -> list[Any]:
    return [value]


def _uid(value: Any) -> list[Any]:
    return [uid_of(value)]


def _first(value: Any) -> list[Any]:
    return list(value[:1])


def _texts(value: Any) -> list[Any]:
    return [part or None for part in value.split("\\")] if "\\" in value else [value]


def _names(value: Any) -> list[Any]:
    if type(value) is str and "=" not in value and "\\" not in value:
        return [{"Alphabetic": value}]
    names = value if isinstance(value, list) else value.split("\\")
    return [name_groups(name) or None for name in names]


_COUNTED: tuple[tuple[str, Level, str, Write], ...] = (
    ("NumberOfPatientRelatedStudies", Level.PATIENT, "studies_count", _one),
    ("NumberOfPatientRelatedSeries", Level.PATIENT, "series_count", _one),
    ("NumberOfPatientRelatedInstances", Level.PATIENT, "images_count", _one),
    ("NumberOfStudyRelatedSeries", Level.STUDY, "series_count", _one),
    ("NumberOfStudyRelatedInstances", Level.STUDY, "images_count", _one),
    ("ModalitiesInStudy", Level.STUDY, "modalities", list),
    ("SOPClassesInStudy", Level.STUDY, "sop_classes", list),
    ("NumberOfSeriesRelatedInstances", Level.SERIES, "images_count", _one),
)


def _columns() -> dict[str, Column]:
    found = {}
    for attribute in ATTRIBUTES:
        tag = tag_of(attribute.keyword)
        vr = dictionary_vr(int(tag, 16))
        write: Write = _one
        if attribute.kind is Kind.NAME:
            write = _names
        elif attribute.many:
            write = list
        elif attribute.kind is Kind.TEXT and vr not in SINGLE_VRS:
            write = _texts
        found[tag] = Column(tag, vr, attribute.level, attribute.field, write)
    for keyword, level, member, write in _COUNTED:
        tag = tag_of(keyword)
        found[tag] = Column(tag, dictionary_vr(int(tag, 16)), level, member, write)
    return found


def _seen_from(level: Level, column: Column) -> Column:
    """Adapt a column to matches of a level, whose entities hold the ids above; demographics are those of the study.

    A study's Modality, which many clients request, is the first of those in it.
    """
    if level is Level.STUDY and column.tag == MODALITY:
        return replace(column, level=level, member="modalities", write=_first)
    if column.level is level or column.tag in COUNTED:
        return column
    if column.tag in UID_TAGS:
        return replace(column, level=level, member=column.level.value, write=_uid)
    return replace(column, level=Level.STUDY) if column.level is Level.PATIENT else column


#: Tags of attributes that are counted and in no header.
COUNTED = frozenset(tag_of(keyword) for keyword, *_ in _COUNTED)
COLUMNS = _columns()
_AVAILABILITY = tag_of("InstanceAvailability")
SOP_CLASSES, PATIENT_SERIES = tag_of("SOPClassesInStudy"), tag_of("NumberOfPatientRelatedSeries")
#: Tags of attributes that are counted only when requested by name.
COSTLY = frozenset({SOP_CLASSES, PATIENT_SERIES})
#: Never answered from a header: they describe a query or a file.
_NEVER = frozenset(map(tag_of, ("SpecificCharacterSet", "QueryRetrieveLevel", "RetrieveURL", "RetrieveAETitle")))


#: Tag, place of the entity, its member, how its value is written (None: as the only one), VR, element without a value.
_Row = tuple[str, int, str, Write | None, str, dict[str, Any] | None]
_LEVELS = tuple(Level)
_PLACES = {level: place for place, level in enumerate(_LEVELS)}


def _row(column: Column, is_shown_empty: bool) -> _Row:
    # A plain tuple: this is read for every element of every match.
    write = None if column.write is _one else column.write
    return (
        column.tag,
        _PLACES[column.level],
        column.member,
        write,
        column.vr,
        {"vr": column.vr} if is_shown_empty else None,
    )


def _online(_: Any) -> list[Any]:
    return ["ONLINE"]


class ResponseTemplate:
    """Template of the matches of one query: the attributes that each holds, and where their values come from.

    Parameters
    ----------
    level : Level
        Level of the matches.
    requested : Mapping[str, Any]
        The keys of the query, tag to element; the item of a sequence names the attributes to return of its items.
    include : "all" or collection of str
        Tags to return in addition.
    defaults : bool
        True to return the default attributes of the level too.

    Attributes
    ----------
    levels : frozenset of Level
        Levels whose entities `write` needs.
    costly : frozenset of str
        Tags of `COSTLY` that are requested.
    needs_header : bool
        True if some attributes are only in the header of a stored instance.
    """

    def __init__(
        self, level: Level, requested: Mapping[str, Any], include: Include = (), *, defaults: bool = True
    ) -> None:
        reach = (*level.above, level)
        everything = include == "all"
        named = {*requested, *(() if everything else include)}
        usual = DEFAULTS[level] if defaults else ()
        wanted = {*usual, *named}
        if everything:
            wanted |= {tag for tag, column in COLUMNS.items() if column.level in reach and tag not in COSTLY}
        columns = [
            _seen_from(level, COLUMNS[tag])
            for tag in wanted
            if tag in COLUMNS and (COLUMNS[tag].level in reach or (tag == MODALITY and level is Level.STUDY))
        ]
        # Attributes that are returned empty rather than left out: required by the standard, or requested.
        empty = {tag for tag in {*usual, *named} if tag not in _OPTIONAL} | requested.keys()
        self._rows = [_row(column, column.tag in empty) for column in columns]
        if _AVAILABILITY in wanted:
            self._rows.append((_AVAILABILITY, _PLACES[level], "id", _online, "CS", None))
        if not everything:
            # An edge that adds these asks for them, and finds their places taken in the order of tags.
            self._rows += [(tag, _PLACES[level], "", None, "", RESERVED[tag]) for tag in RESERVED.keys() & {*include}]
        self._rows.sort(key=itemgetter(0))
        from_entities = {column.tag for column in columns}
        below = {tag for tag, of in UID_TAGS.items() if of not in reach}
        self._picked = {
            tag: self._items(tag, requested, include)
            for tag in wanted - from_entities - below - _NEVER - COLUMNS.keys() - {_AVAILABILITY}
        } | {tag: None for tag in named if tag in COLUMNS and tag not in from_entities | below | COUNTED}
        self._everything = everything
        self._level = level
        self.levels = frozenset(column.level for column in columns) | {level}
        self.costly = COSTLY & from_entities
        self.needs_header = everything or bool(self._picked)

    @staticmethod
    def _items(tag: str, requested: Mapping[str, Any], include: Include) -> Mapping[str, Any] | None:
        """Return the attributes that are requested of a sequence's items; None means all of them."""
        if tag in include or include == "all":
            return None
        if tag in requested:
            items = requested[tag].get("Value") if requested[tag].get("vr") == "SQ" else None
            return next((item for item in items or () if isinstance(item, Mapping) and item), None)
        return REQUEST_ITEM if tag == REQUEST_ATTRIBUTES else None

    def write(self, entities: Mapping[Level, Entity], header: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Write one match.

        Parameters
        ----------
        entities : Mapping[Level, Entity]
            The entities of `levels`.
        header : Mapping[str, Any], optional
            Header of the match's earliest instance, edits applied; given if `needs_header`.

        Returns
        -------
        dict[str, Any]
            Tag to element, in the order of tags.
        """
        out: dict[str, Any] = {} if header is None else self._from_header(header)
        found = [entities[level].get if level in self.levels else None for level in _LEVELS]
        for tag, place, member, write, vr, empty in self._rows:
            value = found[place](member)  # type: ignore[misc]
            if value is None or value == []:
                if empty is not None:
                    out.setdefault(tag, empty)
            elif write is None:
                out[tag] = {"vr": vr, "Value": [value]}
            else:
                out[tag] = {"vr": vr, "Value": write(value)}
        return out if header is None else dict(sorted(out.items()))

    def _from_header(self, header: Mapping[str, Any]) -> dict[str, Any]:
        if self._everything:
            reach = (*self._level.above, self._level)
            picked: dict[str, Any] = {tag: None for tag in header if level_of(tag) in reach and tag not in _NEVER}
            picked |= self._picked
        else:
            picked = self._picked
        out = {}
        for tag, items in picked.items():
            element = header.get(tag)
            if element is not None and "BulkDataURI" not in element:
                out[tag] = _with_items(element, items) if items else element
        return out


def _with_items(element: Mapping[str, Any], wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    """Reduce the items of a sequence to the requested attributes."""
    values = element.get("Value")
    if element.get("vr") != "SQ" or not values:
        return element
    return {"vr": "SQ", "Value": [{tag: item[tag] for tag in wanted if tag in (item or {})} for item in values]}
